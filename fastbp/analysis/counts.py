"""Count how the runs of each setup ended, reading one file of runs at a time.

A setup is one value for every hyperparameter. A run is one network of a setup, from one seed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.histograms import PICTURED, HistogramBuilder, Histograms, Integers, pooled
from fastbp.schema.columns import SCORES, SETUP_COLUMNS
from fastbp.schema.keys import COLUMN_DEFAULTS
from fastbp.schema.outcomes import CONSTANT, DECISIVE, MEASURED, OUTCOMES, Outcome, classify
from fastbp.schema.text import grouped, sort_key
from fastbp.store import filename, parquet
from fastbp.store.load import frame as frame_of

Value = str | int | float | bool | None

_NEEDED = ("setup", "seed", "outcome", "converged_at")
_CONVERGED = OUTCOMES.index(Outcome.CONVERGED)
_CONSTANT = [OUTCOMES.index(outcome) for outcome in CONSTANT]
_KEYS = tuple(column.name for column in SETUP_COLUMNS)
_TYPES: dict[str, type] = {"word": str, "integer": int, "real": float, "flag": bool}


class SetupCounts(NamedTuple):
    """Counts of how the runs of one setup ended.

    Attributes
    ----------
    setup : str
        Id of the setup.
    keys : dict
        Value of each hyperparameter (setup column), as a plain Python value.
    counts : int64 array, [outcome]
        Number of runs with each outcome, in the order of `OUTCOMES`.
    times, events : int64 arrays, [time]
        Numbers of updates after which runs first converged (`converged_at`), ascending, and the
        number of runs that did so after each.
    relapsed : int
        Number of runs that converged at some evaluation but did not end converged.
    starts, lengths : int64 arrays, [range]
        The seeds as ranges of consecutive seeds, ascending: the first seed of each range, and its
        number of seeds.
    converged : uint8 array
        One bit per seed, ascending, packed by `numpy.packbits`: whether its run ended converged.
    constant : uint8 array
        The same of runs that ended constant.
    when : unsigned array, [run]
        For each seed, ascending, the place of its time in `times`; their number if it has none.
    histograms : Histograms or None
        Histograms of loss and spread, if `count_runs` was asked for pictures.
    problem : str
        Digest of the problem's rows, or empty if the files do not have it.
    scores : mapping
        Mean of each of `SCORES` that runs have, where success is not that every row is right.
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
    constant: NDArray[np.uint8]
    when: NDArray[np.unsignedinteger]
    histograms: Histograms | None = None
    problem: str = ""
    scores: Mapping[str, float] = MappingProxyType({})

    @property
    def runs(self) -> int:
        """Number of runs."""
        return int(self.counts.sum())

    @property
    def ended_converged(self) -> int:
        """Runs that ended converged."""
        return int(self.counts[_CONVERGED])

    @property
    def ever_converged(self) -> int:
        """Runs that converged at some evaluation."""
        return int(self.events.sum())

    @property
    def written(self) -> dict[str, Value]:
        """The keys as in the sweep file: `updates` is None if the budget is given in epochs."""
        return self.keys | {"updates": None} if self.keys.get("epochs") is not None else self.keys

    def seeds(self) -> Integers:
        """Every seed, int64 [run], ascending."""
        shifts: Integers = self.starts - (np.cumsum(self.lengths) - self.lengths)
        return np.arange(self.runs) + np.repeat(shifts, self.lengths)

    def results(
        self, name: str = "converged", first: int = 0, stop: int | None = None
    ) -> NDArray[Any]:
        """Whether the run of each seed ended `converged`, or `constant`, bool [run].

        `updates`: after how many it first converged, float64 [run]; ∞ if it never did. `when`: the
        place of that number in `times`. Of all runs, or of those from `first` up to `stop`.
        """
        stop = self.runs if stop is None else stop
        if name == "when":
            return self.when[first:stop]
        if name == "updates":
            updates: NDArray[np.float64] = np.append(self.times, np.inf)[self.when[first:stop]]
            return updates
        byte, bit = divmod(first, 8)
        return np.unpackbits(getattr(self, name)[byte:], count=bit + stop - first)[bit:].view(
            np.bool_
        )


Runs = pd.DataFrame | str | Path | Sequence[SetupCounts]
"""What functions accept as runs: a table with one row per run, the path of a store or of its `runs`
folder, or the result of `count_runs`."""


def count_runs(
    runs: Runs,
    setups: Collection[str] | None = None,
    *,
    pictures: bool = False,
    collapse: float | None = None,
) -> list[SetupCounts]:
    """Count how the runs of each setup ended.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table with at least the columns setup, seed, outcome and converged_at; the path of a
        store; or counts, which are selected and sorted. The files of a store are read one after the
        other: memory holds one of them, and a few bytes for each run.
    setups : collection of str, optional
        Ids of the setups to count; by default all.
    pictures : bool
        Whether to make histograms too, from the columns loss, spread and spread_start.
    collapse : float, optional
        Threshold with which to decide outcomes anew, from tolerance and the columns `DECISIVE`.

    Returns
    -------
    list of SetupCounts
        One per setup, sorted by the keys that vary: null first, then numbers by size, then words.

    Raises
    ------
    FileNotFoundError
        If the path is no folder.
    DamagedFileError
        If a file is damaged; it is a ValueError.
    ValueError
        If a column is missing, a seed comes twice in a setup or an outcome is unknown.
    """
    if isinstance(runs, pd.DataFrame | str | Path):
        columns = [*_NEEDED, *(PICTURED if pictures else ())]
        if isinstance(runs, pd.DataFrame):
            columns += (*MEASURED, "tolerance") if collapse is not None else ()
            parts = _parts_of_frame(runs, columns)
        else:
            columns += [*SCORES, *(DECISIVE if collapse is not None else ())]
            parts = _parts_of_folder(Path(runs), setups, list(dict.fromkeys(columns)))
        runs = [_counted(*each, collapse) for each in parts if setups is None or each[0] in setups]
    counted = [one for one in runs if setups is None or one.setup in setups]
    if pictures and not all(one.histograms for one in counted):
        raise ValueError("these runs were counted without what pictures need")
    names = varying(counted)
    return sorted(counted, key=lambda one: (sort_key(one.keys[name] for name in names), one.setup))


def varying(counted: Sequence[SetupCounts]) -> list[str]:
    """Names of the keys that differ between setups, in the order of `SETUP_COLUMNS`.

    Budgets are compared in the unit of the sweep file, epochs or updates.
    """
    names = [name for name in _KEYS if all(name in one.keys for one in counted)]
    return [name for name in names if len({one.written[name] for one in counted}) > 1]


def ends(rows: pd.DataFrame) -> tuple[Integers, NDArray[np.int8], NDArray[np.float64]]:
    """Read the seeds, outcomes and times of convergence from a table of runs.

    Parameters
    ----------
    rows : DataFrame
        One row per run, with the columns seed, outcome and converged_at.

    Returns
    -------
    seeds : int64 array, [run]
        The seeds, in the order of the rows.
    codes : int8 array, [run]
        Position of each outcome in `OUTCOMES`.
    times : float64 array, [run]
        Updates after which the run first converged, NaN if it never did.

    Raises
    ------
    ValueError
        If an outcome is null or unknown, or a seed is not an integer.
    """
    seeds = rows["seed"]
    if not pd.api.types.is_integer_dtype(seeds) or seeds.hasnans:  # those of stores are integers
        whole = pd.to_numeric(seeds, errors="coerce").to_numpy(np.float64, na_value=np.nan) % 1 == 0
        if not whole.all():
            raise ValueError(f"seed {seeds[~whole].iloc[0]} is not an integer")
    codes, words = pd.factorize(rows["outcome"])
    unknown = set(words) - set(OUTCOMES)
    if unknown or np.any(codes < 0):
        raise ValueError(
            f"outcome {min(map(repr, unknown), default='null')} is none of {', '.join(OUTCOMES)}"
        )
    return (
        seeds.to_numpy(np.int64),
        np.array([OUTCOMES.index(word) for word in words], np.int8).take(codes),
        rows["converged_at"].to_numpy(np.float64, na_value=np.nan),
    )


def _reals(values: "pd.Series[Any]") -> NDArray[np.float64]:
    """Numbers and flags as float64, null as NaN."""
    return np.asarray(values.astype("float64"), np.float64)


_Parts = Iterable[tuple[pd.DataFrame, dict[str, Value], Mapping[str, str]]]
"""The runs of one setup: rows, keys (of the first) and metadata of one file after the other."""


def _counted(setup: str, parts: _Parts, collapse: float | None) -> SetupCounts:
    """Count the runs of one setup; the seeds ascend from part to part."""
    counts: list[SetupCounts] = []
    builder, sums = HistogramBuilder(), dict[str, Any]()
    for rows, first_keys, metadata in parts:
        keys = counts[0].keys if counts else first_keys
        seeds, codes, times = ends(rows)
        keys = keys if collapse is None else keys | {"collapse": collapse}
        full = COLUMN_DEFAULTS | keys  # a table may lack keys that are newer than it
        if collapse is not None:
            codes = classify({name: _reals(rows[name]) for name in DECISIVE if name in rows}, full)
        part = _count_part(setup, keys, seeds, codes, times)
        counts.append(part._replace(problem=metadata.get("fastbp.problem", "")))
        graded = full["success"] != "rows" or full["test"]
        for name in (name for name in SCORES if graded and name in rows):
            values = _reals(rows[name])
            with np.errstate(over="ignore"):  # R² has no lower bound
                known = np.array([np.nansum(values), np.count_nonzero(~np.isnan(values))])
                sums[name] = sums.get(name, 0) + known
        pictured = all(name in rows for name in PICTURED)
        if pictured:
            builder.add(seeds, codes, {name: _reals(rows[name]) for name in PICTURED})
    converged_at, events = pooled((part.times, part.events) for part in counts)
    starts, lengths = (np.concatenate([part[i] for part in counts]) for i in (6, 7))
    # Files may follow each other: their seeds are one range.
    new = np.append(True, starts[1:] != (starts + lengths)[:-1])
    return SetupCounts(
        setup,
        keys,
        np.sum([part.counts for part in counts], axis=0),
        converged_at,
        events,
        relapsed=sum(part.relapsed for part in counts),
        starts=starts[new],
        lengths=np.add.reduceat(lengths, np.flatnonzero(new)),
        converged=np.packbits(np.concatenate([part.results() for part in counts])),
        constant=np.packbits(np.concatenate([part.results("constant") for part in counts])),
        when=np.concatenate([_places(converged_at, part.results("updates")) for part in counts]),
        histograms=builder.histograms() if pictured else None,
        problem=next((part.problem for part in counts if part.problem), ""),
        scores={name: float(total / known) for name, (total, known) in sums.items() if known},
    )


def _count_part(
    setup: str,
    keys: dict[str, Value],
    seeds: Integers,
    codes: NDArray[np.int8],
    times: NDArray[np.float64],
) -> SetupCounts:
    steps = np.diff(seeds)
    if np.any(steps <= 0):
        raise ValueError(f"setup {setup} has seed {seeds[1:][steps <= 0][0]} twice")
    ended, ever = codes == _CONVERGED, ~np.isnan(times)
    first = np.flatnonzero(np.append(True, steps != 1))
    known = np.unique(times[ever].astype(np.int64), return_counts=True)
    return SetupCounts(
        setup,
        keys,
        np.bincount(codes, minlength=len(OUTCOMES)),
        *known,
        relapsed=int(np.count_nonzero(ever & ~ended)),
        starts=seeds[first],
        lengths=np.diff(np.append(first, seeds.size)),
        converged=np.packbits(ended),
        constant=np.packbits(np.isin(codes, _CONSTANT)),
        when=_places(known[0], times),
    )


def _places(times: Integers, values: NDArray[np.float64]) -> NDArray[Any]:
    """The place of each value among the times, in as few bytes as it takes; NaN and ∞ are last."""
    return np.searchsorted(times, values).astype(np.min_scalar_type(times.size))


def _keys(row: "pd.Series[Any] | dict[str, Any]") -> dict[str, Value]:
    """Setup columns of a row as plain Python values, null as None."""
    return {
        column.name: None if pd.isna(row[column.name]) else _TYPES[column.kind](row[column.name])
        for column in SETUP_COLUMNS
        if column.name in row
    }


def _parts_of_frame(runs: pd.DataFrame, needed: Sequence[str]) -> Iterator[tuple[str, _Parts]]:
    missing = [name for name in needed if name not in runs]
    if missing:
        raise ValueError(f"these are not runs: no column {', '.join(missing)}")
    present = (name for name in (*_KEYS, *DECISIVE, *SCORES) if name in runs)
    columns = dict.fromkeys((*present, *needed))
    for setup, rows in runs[list(columns)].groupby("setup", sort=False, observed=True):
        yield str(setup), [(rows.sort_values("seed"), _keys(rows.iloc[0]), {})]


def _parts_of_folder(
    path: Path, setups: Collection[str] | None, columns: Sequence[str]
) -> Iterator[tuple[str, _Parts]]:
    import pyarrow as pa

    wanted = [file for file in files_of(path) if setups is None or file.setup in setups]
    files = grouped(wanted, [file.setup for file in wanted])
    for group in files.values():
        filename.check_overlaps(group, group[0].path.parent.parent)
    versions = set[str]()
    for setup, group in files.items():
        group.sort(key=lambda file: file.start)
        yield setup, _read([file.path for file in group], columns, versions)
        pa.default_memory_pool().release_unused()


def _read(paths: Sequence[Path], columns: Sequence[str], versions: set[str]) -> _Parts:
    """Yield rows, keys and metadata of each file of a setup; only the first is read for keys.

    `versions`: the numerics versions of all files that have been read.
    """
    for i, path in enumerate(paths):
        rows, metadata = parquet.read(path, [*(() if i else _KEYS), *columns])
        versions.add(metadata.get("fastbp.numerics", "none"))
        filename.check_versions(versions, path.parent.parent)
        yield frame_of(rows.select(columns)), _keys(rows.slice(0, 1).to_pylist()[0]), metadata


def read_runs(store: Path, setup: str) -> Iterator[pd.DataFrame]:
    """Yield the runs in each file of a setup: setup, seed, outcome and converged_at, unordered."""
    return (
        frame_of(parquet.read(file.path, _NEEDED)[0])
        for file in files_of(store)
        if file.setup == setup
    )


def files_of(path: Path) -> Iterator[filename.RunFile]:
    """Yield the Parquet files of runs in a store, or in its `runs` folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    folder = path / "runs" if (path / "runs").is_dir() else path
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: no such store or folder of runs")
    return filename.run_files(folder)
