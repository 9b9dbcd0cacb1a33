"""Check whether a store is sound: read all its files, and move damaged ones aside."""

import hashlib
import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from statistics import mode
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastbp.engine.machine import available_cores
from fastbp.engine.stored_run import setup_of
from fastbp.problems import targets
from fastbp.schema.columns import COLUMNS, SETUP_COLUMNS
from fastbp.schema.errors import DamagedFileError, StoreError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.outcomes import DECISIVE, JUDGING, OUTCOMES, classify
from fastbp.schema.text import shown
from fastbp.store import filename, parquet, safe_files
from fastbp.store.digest import RowsHash, digest, keys_of
from fastbp.store.filename import RunFile
from fastbp.store.store import Store, writing

MAX_SPENT, TRY = 1 << 32, 200_000
"""The most bytes of problems that are read for files that do not say which is theirs, some ten
seconds, and as how many bytes each file counts for each problem."""

MAX_KEYS, MAX_WAITING = 10_000, 1 << 26
"""The most bytes of the keys of a setup that are kept, and of those that wait for problems."""

_KNOWN = {column.name for column in COLUMNS}


class StoreFault(NamedTuple):
    """A file that is damaged or should not be there, and why."""

    file: Path
    why: str


class IntegrityReport(NamedTuple):
    """The result of `check`.

    Attributes
    ----------
    files : int
        The number of all files of runs.
    runs : int
        The number of runs in sound files.
    findings : list of StoreFault
        Files that are damaged or should not be there.
    keys : dict
        The keys of each setup as JSON, by its id.
    version : str
        The numerics version of the runs; empty if no file is sound.
    types : dict
        The types of columns that only a newer fastbp knows, as text, by their names.
    digest : str
        sha256, 64 hex digits, over all rows, setup by setup and seed by seed. It does not depend on
        how rows are divided into files. Empty if there are findings.
    """

    files: int
    runs: int
    findings: list[StoreFault]
    keys: dict[str, str]
    version: str
    types: dict[str, str]
    digest: str


class _Said(NamedTuple):
    """What files say of their setup: its id, a sha256 of its keys, numerics version and problem."""

    setup: str
    keys: bytes
    version: str
    problem: str


class _Setups:
    """Checks files that are added in the order of setups and seeds, and hashes their rows."""

    def __init__(self, store: Store, tick: Callable[[str], None]) -> None:
        self._store = store
        self.wrong_problems, self._problems = _problems(store, tick)
        self._named = {path.stem: path for path in self._problems}
        self._rows_hash, self._kinds = RowsHash(), dict[str, str]()
        self._files: dict[_Said, list[RunFile]] = {}
        self._lacking: dict[_Said, str] = {}
        self._waiting: list[tuple[_Said, str]] = []
        self._bytes = self._spent = 0
        self._unknown: dict[RunFile, dict[str, str]] = {}
        self.types: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.digests: dict[str, bytes] = {}
        self.sound: dict[RunFile, str] = {}

    def add(self, file: RunFile, rows: pa.Table, metadata: dict[str, str]) -> None:
        """Add a file: its rows, and what its footer says.

        Raises DamagedFileError if they belong to another setup.
        """
        row = keys_of(parquet.fill(rows, SETUP_COLUMNS))
        keys = json.dumps(row, sort_keys=True)
        version, problem = metadata["fastbp.numerics"], metadata.get("fastbp.problem", "")
        hashed = hashlib.sha256(keys.encode())
        said = _Said(file.setup, hashed.digest(), version, problem)
        if said not in self._files:
            if str(row["problem"]).startswith("file:"):
                self._waiting.append((said, keys))
                self._bytes += len(keys)
            else:
                if not self._makes(said, keys):
                    raise DamagedFileError(file.path, "its keys belong to another setup")
                self._lacking[said] = ""
            self._files[said] = []
            long = json.dumps({"keys": hashed.hexdigest()})
            self.keys[file.setup] = keys if len(keys) < MAX_KEYS else long
        self._files[said].append(file)
        self._look_up(MAX_WAITING)
        if file.setup not in self.digests:
            self._rows_hash, self._kinds = RowsHash(), {}
        # writers of Parquet have two names for what is in a list
        names = (f for f in rows.schema if f.name not in _KNOWN)
        own = {f.name: str(f.type).replace("<item:", "<element:") for f in names}
        if own:
            self._unknown[file] = own
        if own.items() <= {**own, **self._kinds}.items():  # else one of the types is wrong
            self._kinds |= own
            self._rows_hash.update(rows)
        self.digests[file.setup] = self._rows_hash.digest()
        self.sound[file] = version

    def faults(self) -> list[StoreFault]:
        """Find what is wrong with the added files together, each by itself being sound."""
        found = [*self._of_other_setups(), *_other_versions(self.sound)]
        found += self._of_other_types({fault.file for fault in found})
        wrong = {fault.file for fault in found}
        return [*found, *_seeds_twice(file for file in self.sound if file.path not in wrong)]

    def _of_other_types(self, wrong: set[Path]) -> list[StoreFault]:
        """Find files in which a column of a newer release has another type than in most runs.

        `wrong`: files that do not count.
        """
        files = [file for file in self.sound if file in self._unknown and file.path not in wrong]
        runs = Counter[tuple[str, str]]()
        for file in files:
            runs.update(dict.fromkeys(self._unknown[file].items(), file.count))
        right = self.types = dict(sorted(runs, key=lambda each: runs[each]))
        return [
            StoreFault(
                file.path, f"its column {shown(odd[0])} has another type than in other files"
            )
            for file in files
            if (odd := [name for name, kind in self._unknown[file].items() if right[name] != kind])
        ]

    def _look_up(self, most: int) -> None:
        """Look for the problems of what waits, if its keys have more than `most` bytes.

        One problem after the other: each may have a quarter of a gigabyte.
        """
        if self._bytes <= most:
            return
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        for said, keys in sorted(waiting, key=lambda each: each[0].problem):
            path = self._named.get(said.problem)
            is_there = not said.problem or (path and self._makes(said, keys, path))
            self._lacking[said] = "" if is_there else _lacks(said, keys)
        found = {
            said[:3] for said, lacking in self._lacking.items() if said.problem and not lacking
        }
        unnamed = {said: keys for said, keys in waiting if not said.problem}
        self._search({said: keys for said, keys in unnamed.items() if said[:3] not in found})

    def _search(self, wanted: dict[_Said, str]) -> None:
        """Try all problems for files that do not say which is theirs, of which keys are given."""
        is_over = False
        for path, size in self._problems.items():
            self._spent += bool(wanted) * size + TRY * len(wanted)
            if is_over := self._spent > MAX_SPENT:
                break
            wanted = {
                said: keys for said, keys in wanted.items() if not self._makes(said, keys, path)
            }
        for said, keys in wanted.items():
            name = self._files[said][0].path.name
            over = f"they are very many, and {name} does not say which is its own"
            self._lacking[said] = over if is_over else _lacks(said, keys)

    def _of_other_setups(self) -> Iterator[StoreFault]:
        """Find problems that are not there, and files that say something else than is right.

        What gives the setup its id is right, whichever of its files says it; of several such, what
        most runs say: the id does not depend on all keys.
        """
        self._look_up(-1)
        best = {said.setup: said for said in sorted(self._files, key=self._weight)}
        for said, files in self._files.items():
            right, lacking = best[said.setup], self._lacking[said]
            if said == right and lacking:
                yield StoreFault(self._store.path / "problems", lacking)
            why = ""
            if said.keys != right.keys:
                why = "its keys differ from those in the setup's other files"
            elif lacking and not self._lacking[right] and (said.problem or said[:3] != right[:3]):
                why = "its problem is not that of the setup's other files"
            for file in files if why else ():
                del self.sound[file]
                yield StoreFault(file.path, why)

    def _weight(self, said: _Said) -> tuple[bool, int]:
        return not self._lacking[said], sum(file.count for file in self._files[said])

    def _makes(self, said: _Said, keys: str, *problem: Path) -> bool:
        """Whether keys, with a problem if it is a file, make the setup of this id."""
        row, version = json.loads(keys), int(said.version)
        try:
            setup_of(self._store, said.setup, row, version, said.problem, problem)
        except StoreError:
            return False
        return True


def _lacks(said: _Said, keys: str) -> str:
    """Say what a store lacks to make the setup of a file again."""
    return (
        f"it lacks {json.loads(keys)['problem']}, on which setup {said.setup} was trained: the "
        "same sweep writes it again, if its file has not changed"
    )


def check(store: Store, tick: Callable[[str], None] = lambda step: None) -> IntegrityReport:
    """Read every file of a store and check it.

    Checked are the seal over all bytes, the checksums of pages, the digest of the rows, schema,
    number of rows and seeds; whether setups have the ids of their keys, outcomes follow from
    measures, every seed is there once, and problems have the digests in their names. A file of an
    older fastbp is checked by the columns that it has.

    Parameters
    ----------
    store : Store
        What to check.
    tick : callable
        Called with the current step: how many problems or files are read.

    Raises
    ------
    StoreError
        If the path is not a store, has no runs, or has a file that cannot be read.
    """
    store.check_usable(any_version=True, with_runs=True)
    names = safe_files.listed(store.path, "runs")
    foreign = [name for name in names if not (names[name] and RunFile.parse(store.runs / name))]
    files = [file for file in store.run_files() if names.get(file.path.name)]
    findings = [
        StoreFault(store.runs / name, "it is not a file of runs")
        for name in foreign
        if not name.startswith(".")  # as a Mac makes them
    ]
    setups = _Setups(store, tick)
    findings += setups.wrong_problems
    for done, (file, reading) in enumerate(_read_in_order(files)):
        tick(f"reading {store.path}: {done:,} of {len(files):,} files")
        try:
            rows, metadata = reading.result()
            setups.add(file, rows, metadata)
        except DamagedFileError as error:
            findings.append(StoreFault(file.path, error.why))
    findings += setups.faults()
    return IntegrityReport(
        files=len(files),
        runs=sum(file.count for file in setups.sound),
        findings=findings,
        keys=setups.keys,
        version=next(iter(setups.sound.values()), ""),
        types=setups.types,
        digest="" if findings else hashlib.sha256(b"".join(setups.digests.values())).hexdigest(),
    )


def _problems(
    store: Store, tick: Callable[[str], None]
) -> tuple[list[StoreFault], dict[Path, int]]:
    """Check all problems. Returns the faults, and the bytes of those that are sound."""
    faults, sound = [], dict[Path, int]()
    names = safe_files.listed(store.path, "problems")
    for done, name in enumerate(names):
        tick(f"reading {store.path}: {done:,} of {len(names):,} problems")
        path = store.path / "problems" / name
        try:
            sound[path] = targets.stored(path).nbytes
        except (ValueError, TypeError, AttributeError):
            faults.append(StoreFault(path, "its data do not match the digest in its name"))
    return faults, sound


def _read_in_order(
    files: list[RunFile],
) -> Iterator[tuple[RunFile, Future[tuple[pa.Table, dict[str, str]]]]]:
    """Read files on all cores, a few at a time."""
    cores = available_cores()
    with ThreadPoolExecutor(cores, "fastbp-verify") as pool:
        try:
            readings = ((file, pool.submit(_checked_rows, file.path)) for file in files)
            waiting = deque(islice(readings, 2 * cores))
            while waiting:
                yield waiting.popleft()
                waiting.extend(islice(readings, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _checked_rows(path: Path) -> tuple[pa.Table, dict[str, str]]:
    """Read and check one file: its rows, with the columns that it has, and its footer.

    Raises
    ------
    DamagedFileError
        If something is wrong with this file by itself.
    """
    rows, metadata = parquet.read_as_written(path)
    if digest(rows) != metadata.get("fastbp.digest"):
        raise DamagedFileError(path, "its rows do not match its digest")
    if not re.fullmatch("[0-9]{1,9}", metadata.get("fastbp.numerics", "")):
        raise DamagedFileError(path, "it does not say its numerics version")
    there = {*rows.column_names}
    for column in SETUP_COLUMNS:
        if column.name in there and len(rows[column.name].unique()) > 1:
            raise DamagedFileError(path, f"its rows differ in {column.name}")
    filled = parquet.fill(rows, COLUMNS)
    keys = {name: filled[name][0].as_py() for name in JUDGING}
    measures = {name: filled[name].cast("float64").to_numpy() for name in DECISIVE}
    stored = pc.index_in(filled["outcome"].cast(pa.string()), pa.array(map(str, OUTCOMES)))
    try:
        outcomes = classify(measures, keys)
    except ValueError as error:
        raise DamagedFileError(path, str(error)) from error
    if not np.array_equal(stored.fill_null(-1).to_numpy(), outcomes):
        raise DamagedFileError(path, "its outcomes do not follow from its measures")
    return rows, metadata


def _other_versions(sound: dict[RunFile, str]) -> list[StoreFault]:
    """Find files of another numerics version than that of this fastbp, or if none has it, most."""
    own = str(NUMERICS_VERSION)
    usual = own if own in sound.values() or not sound else mode(sound.values())
    return [
        StoreFault(file.path, f"its numerics version is {version}, that of others {usual}")
        for file, version in sound.items()
        if version != usual
    ]


def _seeds_twice(sound: Iterable[RunFile]) -> Iterator[StoreFault]:
    """Find files that share seeds: both if rows differ, else the one with fewer columns."""
    comparison = parquet.Comparison()
    for one, other in filename.overlaps(sound):
        try:
            better = comparison.fuller(one, other)
            agree = bool(better) or comparison.agree(one, other)
        except DamagedFileError as error:  # it changed since it was read
            yield StoreFault(error.file, error.why)
            continue
        rows = "the same rows" if agree else "other rows"
        if better != other or one.seeds != other.seeds:
            yield StoreFault(other.path, f"{one.path.name} has {rows} for some of its seeds")
        if not agree or (better == other and one.seeds == other.seeds):
            yield StoreFault(one.path, f"{other.path.name} has {rows} for some of its seeds")


def move_aside(store: Store, faults: Iterable[StoreFault]) -> list[tuple[StoreFault, Path]]:
    """Move files into `quarantine/` of a store, so that the next sweep trains their runs again.

    Returns
    -------
    list of (StoreFault, Path)
        The faults whose files were moved, and the new paths of these files.

    Raises
    ------
    StoreFullError
        If a file cannot be moved.
    """
    by_file = {fault.file: fault for fault in faults if fault.file != store.path / "problems"}
    with writing(store.path / "quarantine"):
        return [(fault, safe_files.set_aside(file, store.path)) for file, fault in by_file.items()]
