"""From runs to counts: what the tables need of each setup, read in one pass that never holds all runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp import files
from fastbp.columns import SETUP_COLUMNS
from fastbp.outcomes import OUTCOMES, Outcome

if TYPE_CHECKING:
    import pyarrow as pa

Value = str | int | float | bool | None
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

_NEEDED = ("setup", "seed", "outcome", "converged_at")
_CONVERGED = OUTCOMES.index(Outcome.CONVERGED)


class Tally(NamedTuple):
    """The runs of one setup, counted.

    `keys`: its setup columns, as Python values. `counts`, int64 [outcome] in the order of `OUTCOMES`. `ever_converged`: runs that
    some look found converged; `relapsed`: those among them that did not end so. Seeds are the ranges `starts[i]` and the
    `lengths[i] − 1` after it, ascending; `converged` holds a bit for each seed in that order, packed.
    """

    setup: str
    keys: dict[str, Value]
    counts: Integers
    ever_converged: int
    relapsed: int
    starts: Integers
    lengths: Integers
    converged: NDArray[np.uint8]

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return int(self.counts.sum())

    def seeds(self) -> Integers:
        """Every seed, int64 [run], ascending."""
        shifts: Integers = self.starts - (np.cumsum(self.lengths) - self.lengths)
        return np.arange(self.runs) + np.repeat(shifts, self.lengths)

    def flags(self) -> Flags:
        """Whether the run of each seed ended converged, bool [run]."""
        return np.unpackbits(self.converged, count=self.runs).view(np.bool_)


Runs = pd.DataFrame | str | Path | Sequence[Tally]
"""Tidy runs, the path of a store or of its `runs` folder, or runs that are counted already."""


def tally(runs: Runs, setups: Collection[str] | None = None) -> list[Tally]:
    """Count the runs of each setup.

    Parameters: `runs`, a DataFrame with (at least) the columns setup, seed, outcome and converged_at, or a path, whose files are
    streamed: what is held at once is some 50 bytes for each seed of a single setup; `setups`, ids: only these. Returns one tally
    per setup, sorted by the keys that vary: numbers as numbers, words by their letters and the numbers within them, null first.
    Raises FileNotFoundError where the path is no folder; DamagedFileError, which is a ValueError; ValueError where a column is
    missing, a seed comes twice in a setup or an outcome is none.
    """
    if isinstance(runs, pd.DataFrame):
        found = _from_frame(runs)
    elif isinstance(runs, str | Path):
        found = _from_folder(Path(runs), setups)
    else:
        found = iter(runs)
    tallies = [t for t in found if setups is None or t.setup in setups]
    names = varying(tallies)
    return sorted(tallies, key=lambda t: ([natural(t.keys[name]) for name in names], t.setup))


def written(one: Tally) -> dict[str, Value]:
    """The keys of a setup as written: `updates` is null where the budget was written in epochs."""
    return one.keys | {"updates": None} if one.keys.get("epochs") is not None else one.keys


def varying(tallies: Sequence[Tally]) -> list[str]:
    """The keys of which two setups have different values as written, in the order of the columns."""
    names = [c.name for c in SETUP_COLUMNS if all(c.name in t.keys for t in tallies)]
    return [name for name in names if len({written(t)[name] for t in tallies}) > 1]


def natural(value: Value) -> list[tuple[int, float, str]]:
    """A sort key: null, then numbers by size, then words by their parts (so that parity:3 comes before parity:10)."""
    if value is None:
        return []
    if not isinstance(value, str):
        return [(0, float(value), "")]
    parts = re.split(r"(\d+)", value)
    return [(1, 0.0, part) if i % 2 == 0 else (0, float(part), "") for i, part in enumerate(parts)]


def _count(setup: str, keys: dict[str, Value], seeds: Integers, codes: NDArray[np.integer], ever: Flags) -> Tally:
    """One tally of rows in any order: `codes` are positions in `OUTCOMES`, `ever` tells whether a look found it converged."""
    counts = np.bincount(codes, minlength=len(OUTCOMES)).astype(np.int64)
    ended = codes == _CONVERGED
    relapsed = int(np.count_nonzero(ever & ~ended))
    steps = np.diff(seeds)
    if np.any(steps <= 0):
        order = np.argsort(seeds, kind="stable")
        seeds, ended = seeds[order], ended[order]
        steps = np.diff(seeds)
        if not np.all(steps):
            raise ValueError(f"setup {setup} has seed {seeds[:-1][steps == 0][0]} twice")
    firsts = np.concatenate(([0], np.flatnonzero(steps != 1) + 1))
    lengths = np.diff(np.append(firsts, seeds.size))
    return Tally(setup, keys, counts, int(np.count_nonzero(ever)), relapsed, seeds[firsts], lengths, np.packbits(ended))


def _keys(row: Mapping[str, Any]) -> dict[str, Value]:
    """The setup columns of a row as plain Python values, null as None."""
    plain: dict[str, Callable[[Any], Value]] = {"word": str, "integer": int, "real": float, "flag": bool}
    columns = [column for column in SETUP_COLUMNS if column.name in row]
    return {c.name: None if pd.isna(row[c.name]) else plain[c.kind](row[c.name]) for c in columns}


def _outcome_codes(words: Sequence[str], codes: NDArray[np.integer]) -> NDArray[np.int8]:
    """Turn codes into `words` into positions in `OUTCOMES`."""
    unknown = set(words) - set(OUTCOMES)
    if unknown or np.any(codes < 0):
        raise ValueError(f"outcome {min(map(repr, unknown), default='null')} is none of {', '.join(OUTCOMES)}")
    place: NDArray[np.int8] = np.array([OUTCOMES.index(Outcome(word)) for word in words], np.int8)
    return place.take(codes)


def _from_frame(frame: pd.DataFrame) -> Iterator[Tally]:
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        raise ValueError(f"these are not runs: no column {', '.join(missing)}")
    codes, words = pd.factorize(frame["outcome"])
    outcomes = _outcome_codes(list(words), codes)
    ever = frame["converged_at"].notna().to_numpy()
    seeds = frame["seed"].to_numpy(np.int64)
    place, ids = pd.factorize(frame["setup"])
    order = np.argsort(place, kind="stable")
    columns = [column.name for column in SETUP_COLUMNS if column.name in frame.columns]
    for setup, rows in zip(ids, np.split(order, np.cumsum(np.bincount(place))[:-1]) if len(frame) else [], strict=True):
        row = {name: frame[name].iloc[rows[0]] for name in columns}
        yield _count(str(setup), _keys(row), seeds[rows], outcomes[rows], ever[rows])


def _from_folder(path: Path, setups: Collection[str] | None) -> Iterator[Tally]:
    import pyarrow as pa

    folder = path / "runs" if (path / "runs").is_dir() else path
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: no such store or folder of runs")
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.parquet")):
        if match := files.FILE_NAME.fullmatch(file.name):  # a copy by another name is no file of runs
            found.setdefault(match["setup"], []).append(file)
    for setup, own in found.items():
        if setups is None or setup in setups:
            yield _read(setup, own)
            pa.default_memory_pool().release_unused()


def _read(setup: str, paths: Sequence[Path]) -> Tally:
    """Count the runs of one setup from its files. Raises DamagedFileError where one is not as it was written."""
    keys: dict[str, Value] = {}
    seeds, outcomes, ever = [], [], []
    for path in paths:
        columns = () if keys else (c.name for c in SETUP_COLUMNS)
        rows, _ = files.read(path, [*columns, *_NEEDED])
        if not keys and rows.num_rows:
            keys = _keys(rows.slice(0, 1).to_pylist()[0])
        for batch in rows.to_batches():
            seeds.append(batch.column("seed").to_numpy())
            outcomes.append(_decode(batch.column("outcome")))
            ever.append(batch.column("converged_at").is_valid().to_numpy(zero_copy_only=False))
    return _count(setup, keys, np.concatenate(seeds), np.concatenate(outcomes), np.concatenate(ever))


def _decode(outcomes: pa.Array) -> NDArray[np.int8]:
    import pyarrow as pa

    words = outcomes if pa.types.is_dictionary(outcomes.type) else outcomes.dictionary_encode()
    return _outcome_codes(words.dictionary.to_pylist(), words.indices.fill_null(-1).to_numpy())
