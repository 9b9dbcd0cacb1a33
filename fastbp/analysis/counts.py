"""From runs to counts: what the tables need of each setup, read in one pass that never holds all
runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.histograms import PICTURED, HistogramBuilder, Histograms, Measures
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.errors import RunsError
from fastbp.schema.outcomes import OUTCOMES, Outcome, classify
from fastbp.store import filename, parquet

if TYPE_CHECKING:
    import pyarrow as pa

Value = str | int | float | bool | None
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

_NEEDED = ("setup", "seed", "outcome", "converged_at")
_CLASSIFIED = ("max_error", "spread", "one_sided", "tolerance")
_CONVERGED = OUTCOMES.index(Outcome.CONVERGED)


class SetupCounts(NamedTuple):
    """The runs of one setup, counted.

    `keys`: its setup columns, as Python values. `counts`, int64 [outcome] in the order of
    `OUTCOMES`. `times` and `events`: each `converged_at`, ascending, and how many runs have it;
    `relapsed`: those among them that did not end converged. Seeds are the ranges `starts[i]` and
    the `lengths[i] − 1` after it, ascending; `converged` holds a bit for each seed in that order,
    packed. `problem`: the digest of what was learnt, where its files say so.
    """

    setup: str
    keys: dict[str, Value]
    counts: Integers
    times: Integers
    events: Integers
    relapsed: int
    starts: Integers
    lengths: Integers
    converged: NDArray[np.uint8]
    histograms: Histograms | None = None
    problem: str = ""

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return int(self.counts.sum())

    @property
    def ended_converged(self) -> int:
        """Runs that ended converged."""
        return int(self.counts[_CONVERGED])

    @property
    def ever_converged(self) -> int:
        """Runs that some look found converged."""
        return int(self.events.sum())

    def seeds(self) -> Integers:
        """Every seed, int64 [run], ascending."""
        shifts: Integers = self.starts - (np.cumsum(self.lengths) - self.lengths)
        return np.arange(self.runs) + np.repeat(shifts, self.lengths)

    def flags(self) -> Flags:
        """Whether the run of each seed ended converged, bool [run]."""
        return np.unpackbits(self.converged, count=self.runs).view(np.bool_)


Runs = pd.DataFrame | str | Path | Sequence[SetupCounts]
"""Tidy runs, the path of a store or of its `runs` folder, or runs that are counted already."""


def count_runs(
    runs: Runs,
    setups: Collection[str] | None = None,
    *,
    pictures: bool = False,
    collapse: float | None = None,
) -> list[SetupCounts]:
    """Count the runs of each setup.

    Parameters: `runs`, a DataFrame with (at least) the columns setup, seed, outcome and
    converged_at, or a path, whose files are streamed: what is held at once is one file and a byte
    for each seed of a single setup; `setups`, ids: only these; `pictures`: also what pictures need,
    of the columns loss, spread and spread_start; `collapse`: decide outcomes anew with this
    threshold, by max_error, spread, one_sided and tolerance. Returns one count_runs per setup, sorted by
    the keys that vary: numbers as numbers, words by their letters and the numbers within them, null
    first. Raises FileNotFoundError where the path is no folder; DamagedFileError, which is a
    ValueError; ValueError where a column is missing, a seed comes twice in a setup or an outcome is
    none.
    """
    if isinstance(runs, pd.DataFrame):
        found = _from_frame(runs, pictures, collapse)
    elif isinstance(runs, str | Path):
        found = _from_folder(Path(runs), setups, pictures, collapse)
    else:
        found = iter(runs)
    counted = [t for t in found if setups is None or t.setup in setups]
    if pictures and not all(t.histograms for t in counted):
        raise ValueError("these runs were counted without what pictures need")
    names = varying(counted)
    return sorted(counted, key=lambda t: ([natural(t.keys[name]) for name in names], t.setup))


def written(one: SetupCounts) -> dict[str, Value]:
    """The keys of a setup as written: `updates` is null where the budget was written in epochs."""
    return one.keys | {"updates": None} if one.keys.get("epochs") is not None else one.keys


def varying(counted: Sequence[SetupCounts]) -> list[str]:
    """The keys of which two setups have different values as written, in the order of the
    columns.
    """
    names = [c.name for c in SETUP_COLUMNS if all(c.name in t.keys for t in counted)]
    return [name for name in names if len({written(t)[name] for t in counted}) > 1]


def natural(value: Value) -> list[tuple[int, float, str]]:
    """A sort key: null, then numbers by size, then words by their parts (so that parity:3 comes
    before parity:10).
    """
    if value is None:
        return []
    if not isinstance(value, str):
        return [(0, float(value), "")]
    parts = re.split(r"(\d+)", value)
    return [(1, 0.0, part) if i % 2 == 0 else (0, float(part), "") for i, part in enumerate(parts)]


class _Counter:
    """Counts the runs of one setup, some at a time, seeds ascending."""

    def __init__(self, setup: str, keys: dict[str, Value], collapse: float | None) -> None:
        self._setup, self._keys, self._collapse = setup, keys, collapse
        if collapse is not None:
            self._keys = keys | {"collapse": collapse}
        self._counts = np.zeros(len(OUTCOMES), np.int64)
        self._relapsed, self._last = 0, -1
        self._firsts: list[Integers] = []
        self._lengths: list[Integers] = []
        self._ended: list[Flags] = []
        self._times: list[tuple[Integers, Integers]] = []
        self._builder: HistogramBuilder | None = None

    def add(
        self,
        seeds: Integers,
        codes: NDArray[np.integer],
        times: NDArray[np.float64],
        measured: Measures,
    ) -> None:
        """Add runs: positions in `OUTCOMES`, `converged_at` or NaN, and the measures that were
        asked for, all [run].
        """
        steps = np.diff(seeds, prepend=self._last)
        if np.any(steps <= 0):
            raise ValueError(f"setup {self._setup} has seed {seeds[steps <= 0][0]} twice")
        if self._collapse is not None:
            codes = self._classified(measured)
        ended, ever = codes == _CONVERGED, ~np.isnan(times)
        self._counts += np.bincount(codes, minlength=len(OUTCOMES))
        self._relapsed += int(np.count_nonzero(ever & ~ended))
        steps[0] = 0
        firsts = np.flatnonzero(steps != 1)
        self._firsts.append(seeds[firsts])
        self._lengths.append(np.diff(np.append(firsts, seeds.size)))
        self._ended.append(ended)
        self._times.append(np.unique(times[ever].astype(np.int64), return_counts=True))
        self._last = int(seeds[-1])
        if "loss" in measured:
            self._builder = self._builder or HistogramBuilder()
            self._builder.add(seeds, codes, measured)

    def _classified(self, measured: Measures) -> NDArray[np.int8]:
        tolerance, collapse = self._keys["tolerance"], self._collapse
        assert isinstance(tolerance, float)
        assert collapse is not None
        sided = measured["one_sided"] == 1
        return classify(measured["max_error"], measured["spread"], sided, tolerance, collapse)

    def count_runs(self) -> SetupCounts:
        """Of all that was added."""
        firsts, lengths = np.concatenate(self._firsts), np.concatenate(self._lengths)
        joined = np.append(
            True, firsts[1:] != (firsts + lengths)[:-1]
        )  # of files that follow each other
        times, events = (np.concatenate(part) for part in zip(*self._times, strict=True))
        times, place = np.unique(times, return_inverse=True)
        return SetupCounts(
            self._setup, self._keys, self._counts, times, np.bincount(place, events, len(times)).astype(np.int64),
            self._relapsed, firsts[joined], np.add.reduceat(lengths, np.flatnonzero(joined)),
            np.packbits(np.concatenate(self._ended)), self._builder.histograms() if self._builder else None,
        )  # fmt: skip


def _keys(row: Mapping[str, Any]) -> dict[str, Value]:
    """The setup columns of a row as plain Python values, null as None."""
    plain: dict[str, Callable[[Any], Value]] = {
        "word": str,
        "integer": int,
        "real": float,
        "flag": bool,
    }
    columns = [column for column in SETUP_COLUMNS if column.name in row]
    return {c.name: None if pd.isna(row[c.name]) else plain[c.kind](row[c.name]) for c in columns}


def _outcome_codes(words: Sequence[str], codes: NDArray[np.integer]) -> NDArray[np.int8]:
    """Turn codes into `words` into positions in `OUTCOMES`."""
    unknown = set(words) - set(OUTCOMES)
    if unknown or np.any(codes < 0):
        raise ValueError(
            f"outcome {min(map(repr, unknown), default='null')} is none of {', '.join(OUTCOMES)}"
        )
    place: NDArray[np.int8] = np.array([OUTCOMES.index(Outcome(word)) for word in words], np.int8)
    return place.take(codes)


def _measured(pictures: bool, collapse: float | None) -> tuple[str, ...]:
    """The measures that are needed besides."""
    return tuple(
        dict.fromkeys(
            (*(PICTURED if pictures else ()), *(_CLASSIFIED[:3] if collapse is not None else ()))
        )
    )


def ends_of_frame(frame: pd.DataFrame) -> tuple[Integers, NDArray[np.int8], NDArray[np.float64]]:
    """The same of tidy runs."""
    codes, words = pd.factorize(frame["outcome"])
    times = frame["converged_at"].to_numpy(np.float64, na_value=np.nan)
    return frame["seed"].to_numpy(np.int64), _outcome_codes(list(words), codes), times


def _from_frame(
    frame: pd.DataFrame, pictures: bool, collapse: float | None
) -> Iterator[SetupCounts]:
    names = _measured(pictures, collapse)
    needed = (*_NEEDED, *names, *(("tolerance",) if collapse is not None else ()))
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise ValueError(f"these are not runs: no column {', '.join(missing)}")
    seeds, outcomes, times = ends_of_frame(frame)
    measured = {name: np.asarray(frame[name].astype("float64"), np.float64) for name in names}
    place, ids = pd.factorize(frame["setup"])
    order = np.lexsort((seeds, place))
    columns = [column.name for column in SETUP_COLUMNS if column.name in frame.columns]
    for setup, rows in zip(
        ids, np.split(order, np.cumsum(np.bincount(place))[:-1]) if len(frame) else [], strict=True
    ):
        row = {name: frame[name].iloc[rows[0]] for name in columns}
        counter = _Counter(str(setup), _keys(row), collapse)
        counter.add(
            seeds[rows],
            outcomes[rows],
            times[rows],
            {name: values[rows] for name, values in measured.items()},
        )
        yield counter.count_runs()


def _from_folder(
    path: Path, setups: Collection[str] | None, pictures: bool, collapse: float | None
) -> Iterator[SetupCounts]:
    import pyarrow as pa

    folder = path / "runs" if (path / "runs").is_dir() else path
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: no such store or folder of runs")
    files: dict[str, list[filename.RunFile]] = {}
    for file in filename.run_files(folder):
        if setups is None or file.setup in setups:
            files.setdefault(file.setup, []).append(file)
    if message := filename.overlap_message(chain.from_iterable(files.values()), folder.parent):
        raise RunsError(message)
    for setup, of_setup in files.items():
        paths = [file.path for file in sorted(of_setup, key=lambda file: file.start)]
        yield _read(setup, paths, _measured(pictures, collapse), collapse)
        pa.default_memory_pool().release_unused()


def _read(
    setup: str, paths: Sequence[Path], measures: Sequence[str], collapse: float | None
) -> SetupCounts:
    """Count the runs of one setup from its files. Raises DamagedFileError where one is not as it
    was written.
    """
    counter: _Counter | None = None
    problem = ""
    for path in paths:
        columns = () if counter else (c.name for c in SETUP_COLUMNS)
        rows, said = parquet.read(path, [*columns, *_NEEDED, *measures])
        counter = counter or _Counter(setup, _keys(rows.slice(0, 1).to_pylist()[0]), collapse)
        for batch in rows.to_batches():
            counter.add(*ends(batch), {name: _reals(batch.column(name)) for name in measures})
        problem = problem or said.get("fastbp.problem", "")
    assert counter
    return counter.count_runs()._replace(problem=problem)


def ends(rows: pa.RecordBatch) -> tuple[Integers, NDArray[np.int8], NDArray[np.float64]]:
    """The seeds of rows of a file, positions in `OUTCOMES`, and `converged_at` or NaN, all
    [run].
    """
    times = rows.column("converged_at").to_numpy(zero_copy_only=False)  # of nulls NaN
    return rows.column("seed").to_numpy(), _decode(rows.column("outcome")), times.astype(np.float64)


def _reals(values: pa.Array) -> NDArray[np.float64]:
    """Numbers and flags as float64, null as NaN."""
    import pyarrow as pa

    reals: NDArray[np.float64] = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return reals


def _decode(outcomes: pa.Array) -> NDArray[np.int8]:
    import pyarrow as pa

    words = outcomes if pa.types.is_dictionary(outcomes.type) else outcomes.dictionary_encode()
    return _outcome_codes(words.dictionary.to_pylist(), words.indices.fill_null(-1).to_numpy())
