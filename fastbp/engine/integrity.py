"""Check whether a store is sound: read all its files, and move damaged ones aside."""

import hashlib
import json
import re
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastbp.engine import stored_problems
from fastbp.engine.machine import available_cores
from fastbp.engine.stored_problems import MISNAMED, OTHER_KEYS, Said, StoredProblems, size_of
from fastbp.schema.columns import COLUMNS, SCHEMA, SETUP_COLUMNS
from fastbp.schema.errors import DamagedFileError, StoreError, StoreFullError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.outcomes import DECISIVE, JUDGING, OUTCOMES, classify
from fastbp.schema.text import shown
from fastbp.store import filename, parquet, safe_files
from fastbp.store.digest import RowsHash, digest, keys_of, lengths
from fastbp.store.filename import RunFile
from fastbp.store.store import Store, writing

MAX_KEYS = 10_000
"""The most bytes of the keys of a setup that are kept."""

_KNOWN = {column.name for column in COLUMNS}


class StoreFault(NamedTuple):
    """A file that is damaged or should not be there, and why.

    `other`: the file that has its rows, if that alone is why. `among`: all sound files of runs and
    problems that the store had, if these are why.
    """

    file: Path
    why: str
    other: Path | None = None
    among: Set[Path] | None = None


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
    is_newer : bool
        Whether a newer fastbp made some of the runs.
    types : dict
        What is the same in all files, as text, by kind and name: types of columns that only a newer
        fastbp knows, and numbers of outputs of setups.
    digest : str
        sha256, 64 hex digits, over all rows, setup by setup and seed by seed. It does not depend on
        how rows are divided into files. Empty if there are findings.
    sound : list of RunFile
        The files that are sound, by setup and seeds.
    problems : list of Path
        The problems that are sound.
    """

    files: int
    runs: int
    findings: list[StoreFault]
    keys: dict[str, str]
    version: str
    is_newer: bool
    types: dict[tuple[str, str], str]
    digest: str
    sound: list[RunFile]
    problems: list[Path]


class _Setups:
    """Checks files that are added in the order of setups and seeds, and hashes their rows."""

    def __init__(self, store: Store, problems: StoredProblems) -> None:
        self._store, self._problems = store, problems
        self._rows_hash = RowsHash()
        self.said: dict[Said, list[RunFile]] = {}
        self._types: dict[RunFile, dict[tuple[str, str], str]] = {}
        self._newer = set[RunFile]()
        self.types: dict[tuple[str, str], str] = {}
        self.keys: dict[str, str] = {}
        self.digests: dict[str, bytes] = {}
        self.sound: dict[RunFile, str] = {}

    def add(self, file: RunFile, rows: pa.Table, metadata: dict[str, str]) -> None:
        """Add a file, its rows and footer. Raises DamagedFileError if another setup has them."""
        keys = json.dumps(keys_of(parquet.fill(rows, SETUP_COLUMNS)), sort_keys=True)
        version, problem = metadata["fastbp.numerics"], metadata.get("fastbp.problem", "")
        hashed, is_newer = hashlib.sha256(keys.encode()), int(metadata["fastbp.schema"]) > SCHEMA
        said = Said(file.setup, hashed.digest(), version, problem, is_newer)
        if said not in self.said:
            self._problems.add(said, keys, file.path)
            self.said[said] = []
            long = json.dumps({"keys": hashed.hexdigest()})
            self.keys[file.setup] = keys if len(keys) < MAX_KEYS else long
        self.said[said].append(file)
        if file.setup not in self.digests:
            self._finish()
            self.digests[file.setup], self._rows_hash = b"", RowsHash()
        # writers of Parquet have two names for what is in a list
        newer = ((f.name, str(f.type)) for f in rows.schema if f.name not in _KNOWN)
        own = {("type of column", n): kind.replace("<item:", "<element:") for n, kind in newer}
        self._newer |= {file} if own else set()
        for number in lengths(rows):
            own["number of outputs of setup", file.setup] = str(number)
        self._types[file] = own
        self._rows_hash.update(rows)
        self.sound[file] = version

    def _finish(self) -> None:
        """Hash the rows of the latest setup."""
        if self.digests:
            self.digests[next(reversed(self.digests))] = self._rows_hash.digest()

    def faults(self, tick: Callable[[str], None]) -> list[StoreFault]:
        """Find what is wrong with the added files together, each by itself being sound."""
        self._finish()
        among = {file.path for file in self.sound}.union(self._problems.sound)
        found = [*self._of_other_setups(), *_other_versions(self.sound)]
        found += self._of_other_types({fault.file for fault in found})
        wrong = {fault.file for fault in found}
        why = self._problems.lacking
        unsure = {f.path: why[said] for said, fs in self.said.items() if why[said] for f in fs}
        sound = (file for file in self.sound if file.path not in wrong)
        found += _seeds_twice(sound, unsure, self._newer, tick)
        return [fault._replace(among=among) for fault in found]

    def _of_other_types(self, wrong: set[Path]) -> list[StoreFault]:
        """Find files that differ from most runs in `types`. `wrong`: files that do not count."""
        files = [file for file in self.sound if file.path not in wrong]
        runs = Counter[tuple[tuple[str, str], str]]()
        for file in files:
            runs.update(dict.fromkeys(self._types[file].items(), file.count))
        right = self.types = dict(sorted(runs, key=lambda each: runs[each]))
        return [
            StoreFault(file.path, f"its {odd[0][0]} {shown(odd[0][1])} is not that in other files")
            for file in files
            if (odd := [name for name, kind in self._types[file].items() if right[name] != kind])
        ]

    def _of_other_setups(self) -> Iterator[StoreFault]:
        """Find problems that are not there, and files that say something else than is right.

        What gives the setup its id is right, whichever of its files says it; of several such, what
        most runs say: the id does not depend on all keys.
        """
        self._problems.look_up()
        known, lack, runs = self._problems.classes, self._problems.lacking, Counter[object]()
        for said, files in self.said.items():
            # for files that name no problem, the classes are a guess, and do not count
            of_classes = said.setup, said.problem and known.get(said)
            runs.update(dict.fromkeys((said[:2], of_classes), sum(file.count for file in files)))
        weight = {one: (not lack[one], lack[one] != MISNAMED, runs[one[:2]]) for one in self.said}
        best = {said.setup: said for said in sorted(self.said, key=weight.__getitem__)}
        sure = sorted(known, key=lambda said: (said.problem != "", runs[said.setup, known[said]]))
        classes = {said.setup: known[said] for said in sure}
        for setup, its_classes in classes.items():
            self.keys[setup] = json.dumps(json.loads(self.keys[setup]) | {"classes": its_classes})
        lacks = dict[str, None]()
        for said, files in self.said.items():
            right, lacking = best[said.setup], lack[said]
            is_known = not lack[right]  # which keys are right
            why = ""
            if lacking == MISNAMED or (lacking == OTHER_KEYS and is_known):
                why = lacking
            elif said.keys != right.keys and (is_known or lacking == OTHER_KEYS):
                why = "its keys differ from those in the setup's other files"
            elif (lacking and is_known and said[:3] != right[:3]) or (
                said.problem and said in known and known[said] != classes[said.setup]
            ):
                why = MISNAMED
            elif lacking and lacking != OTHER_KEYS:
                lacks[lacking] = None
            for file in files if why else ():
                del self.sound[file]
                yield StoreFault(file.path, why)
        yield from (StoreFault(self._store.path / "problems", why) for why in lacks)


def check(store: Store, tick: Callable[[str], None] = lambda step: None) -> IntegrityReport:
    """Read every file of a store and check it.

    Checked are the seal over all bytes, checksums of pages, the digest of the rows, schema and
    seeds; whether setups have the ids of their keys, outcomes follow from measures, every seed is
    there once, and problems have the digests in their names. What older files lack is not missed.

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
    store.check_usable(any_version=True)
    names = filename.all_names(store.path)
    files = sorted(filter(None, names.values()), key=lambda file: (file.setup, file.start))
    if not names:
        raise StoreError(f"{store.path} holds no runs")
    setups = _Setups(store, problems := StoredProblems(store, tick))
    why = "its data do not match the digest in its name"
    findings = [StoreFault(at, why) for at in problems.damaged]
    findings += [StoreFault(a, "it is not a file of runs") for a, file in names.items() if not file]
    for done, (file, reading) in enumerate(_read_in_order(files)):
        tick(f"reading {store.path}: {done:,} of {len(files):,} files")
        try:
            setups.add(file, *reading.result())
        except DamagedFileError as error:
            findings.append(StoreFault(file.path, error.why))
    findings += setups.faults(tick)
    return IntegrityReport(
        files=len(files),
        runs=sum(file.count for file in setups.sound),
        findings=findings,
        keys=setups.keys,
        version=next(iter(setups.sound.values()), ""),
        is_newer=any(said.is_newer for said in setups.said),
        types=setups.types,
        digest="" if findings else hashlib.sha256(b"".join(setups.digests.values())).hexdigest(),
        sound=[*setups.sound],
        problems=[*problems.sound],
    )


def _read_in_order(files: list[RunFile]) -> Iterator[tuple[RunFile, Future[Any]]]:
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

    Raises DamagedFileError if something is wrong with this file by itself.
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
    measures = {name: filled[name].cast("float64").to_numpy() for name in DECISIVE}
    words = filled["outcome"].combine_chunks()
    stored = pc.index_in(words.dictionary, pa.array(map(str, OUTCOMES))).take(words.indices)
    try:
        outcomes = classify(measures, {name: filled[name][0].as_py() for name in JUDGING})
    except ValueError as error:
        raise DamagedFileError(path, str(error)) from error
    if not np.array_equal(stored.fill_null(-1).to_numpy(), outcomes):
        raise DamagedFileError(path, "its outcomes do not follow from its measures")
    return rows, metadata


def _other_versions(sound: dict[RunFile, str]) -> list[StoreFault]:
    """Find files of another numerics version than that of this fastbp, or if none has it, most."""
    runs = Counter[str]()
    for file, version in sound.items():
        runs[version] += file.count
    usual = max(runs, key=lambda each: (each == str(NUMERICS_VERSION), runs[each]), default="")
    return [
        StoreFault(file.path, f"its numerics version is {version}, that of others {usual}")
        for file, version in sound.items()
        if version != usual
    ]


def _seeds_twice(
    sound: Iterable[RunFile],
    unsure: Mapping[Path, str],
    newer: Collection[RunFile],
    tick: Callable[[str], None],
) -> Iterator[StoreFault]:
    """Find files that share seeds: both if rows differ, else the one with fewer seeds or columns.

    Parameters
    ----------
    unsure : dict
        Files that may be wrong, and why. If only one of two is among them, it is the fault; if both
        lack their problems, it is not known yet which of different rows are right.
    newer : collection of RunFile
        Files with columns that this fastbp does not know. If each of two has columns that the
        other lacks, one without such columns stays.
    """
    comparison, kept = parquet.Comparison(tick), dict[str, list[RunFile]]()
    # each is compared with one that stays, else a check would find only one of many
    for file in sorted(sound, key=lambda f: (f.path in unsure, f.setup, f.start, -f.count)):
        its = kept.setdefault(file.setup, [])
        at = bisect_left(its, file.stop, key=lambda f: f.start)
        if not at or its[at - 1].stop <= file.start:
            its.insert(at, file)
            continue
        stays, fault = its[at - 1], file
        try:
            fuller = comparison.fuller(stays, file)
            agree = bool(fuller) or comparison.agree(stays, file)
        except DamagedFileError as error:  # it changed since it was read
            yield StoreFault(error.file, error.why)
            continue
        doubts = {unsure.get(stays.path), unsure.get(file.path)}
        is_less_sure = len(doubts) > 1 and None in doubts
        if not agree and None not in doubts and doubts != {OTHER_KEYS}:
            continue
        is_fuller = fuller == file or (not fuller and stays in newer and file not in newer)
        if agree and is_fuller and stays.seeds == file.seeds and not is_less_sure:
            its[at - 1], stays, fault = file, file, stays
        why = f"has {'the same' if agree else 'other'} rows for some of its seeds"
        yield StoreFault(fault.path, f"{stays.path.name} {why}", stays.path if agree else None)
        if not agree and not is_less_sure:
            yield StoreFault(stays.path, f"{fault.path.name} {why}")


def move_aside(store: Store, faults: Iterable[StoreFault]) -> list[tuple[StoreFault, Path]]:
    """Move files into `quarantine/` of a store, so that the next sweep trains their runs again.

    A file stays if it is no longer what was read while `parquet.unchanged` lasts, and a problem if
    it is sound by now: somebody may have restored it. What another file has, too, stays if that is
    gone, and what does not go together with others if files have come or changed since, or were
    damaged: it looks at most a hundred times. Moving ends at the first that cannot be moved.

    Parameters
    ----------
    store : Store
        The store; the caller holds its lock.
    faults : iterable of StoreFault
        What is wrong.

    Returns
    -------
    list of (StoreFault, Path)
        The faults whose files were moved, and the new paths of these files.

    Raises
    ------
    StoreError, StoreFullError
        If none can be moved.
    """
    by_file = {fault.file: fault for fault in faults if fault.file != store.path / "problems"}
    known = next((fault.among for fault in by_file.values() if fault.among is not None), set())
    has_changed = bool(known) and stored_problems.has_changed(store, known)
    moved: list[tuple[StoreFault, Path]] = []
    # first those that do not depend on others
    in_order = sorted(by_file.items(), key=lambda each: each[1].other is not None)
    for i, (file, fault) in enumerate(in_order):
        try:
            with writing(store.path / "quarantine"):
                has_changed |= i % (1 + len(by_file) // 100) == 0 and not {*store.files()} <= known
                if _is_as_found(fault) and not (fault.among and has_changed):
                    moved.append((fault, safe_files.set_aside(file, store.path)))
        except (StoreError, StoreFullError):
            if not moved:
                raise
            break  # the caller, who goes on, has to say first what was moved
    return moved


def _is_as_found(fault: StoreFault) -> bool:
    return (
        size_of(fault.file) is None
        if fault.file.parent.name == "problems"
        else fault.why != parquet.CHANGED
        and (not RunFile.parse(fault.file) or parquet.is_as_read(fault.file))
        and (fault.other is None or parquet.is_as_read(fault.other))
    )
