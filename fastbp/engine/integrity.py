"""Whether a store is sound: everything in it is read again, and what is not as it should be can be
moved aside.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastbp.engine.machine import available_cores
from fastbp.engine.stored_run import setup_of
from fastbp.problems import targets
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.errors import DamagedFileError, FileError, StoreError
from fastbp.schema.outcomes import OUTCOMES, classify
from fastbp.store import digest as digest_module
from fastbp.store import filename, parquet
from fastbp.store.digest import RowsHash
from fastbp.store.filename import FILE_NAME
from fastbp.store.store import Store, writing

if TYPE_CHECKING:
    import pyarrow as pa

_WRITES_IT = "the same sweep writes it again, from the file as it was"

Read = tuple["pa.Table", dict[str, str]]


class StoreFault(NamedTuple):
    """A file that is not as it should be, and why."""

    file: Path
    why: str


class IntegrityReport(NamedTuple):
    """What was read of a store."""

    files: int
    runs: int
    """Of sound files."""
    setups: int
    findings: list[StoreFault]
    keys: dict[str, str]
    """Of each setup, as JSON."""
    digest: str
    """sha256 (64 hex digits) over all rows, setup by setup and seed by seed: the same however they
    lie in files. Empty where there are findings."""


def check(
    store: Store, tick: Callable[[int, int], None] = lambda done, files: None
) -> IntegrityReport:
    """Read every file of a store: the seal over all its bytes, the checksums of its pages, the
    digest of its rows, schema, number of rows and seeds; whether setups have the ids of their keys,
    outcomes follow from measures, every seed is there once, and problems are those of their names.

    `tick` is called with the files done and those there are. Raises StoreError where the path is no
    store, holds no runs, or has a file that cannot be read.
    """
    store.look(into=False)
    paths = sorted((path for path in store.files() if path.is_file()), key=place)
    if not paths:
        raise StoreError(f"{store.path} holds no runs")
    findings = [*_strangers(store), *_problems(store)]
    sound: dict[Path, int] = {}
    versions: dict[Path, str] = {}
    hashes: dict[str, RowsHash] = {}
    whole = hashlib.sha256()
    last = ""
    for done, (path, read) in enumerate(_in_order(paths)):
        tick(done, len(paths))
        identity, _ = place(path)
        try:
            rows, said = read.result()
            version = said["fastbp.numerics"]
            if identity not in hashes:
                findings += _of_its_id(store, path, rows, int(version))
                if last:
                    whole.update(hashes[last].digest())
                hashes[identity], last = RowsHash(rows), identity
            if RowsHash(rows).keys != hashes[identity].keys:
                raise DamagedFileError(
                    path, "its keys are not those of the other files of its setup"
                )
        except DamagedFileError as error:
            findings.append(StoreFault(path, error.why))
        except FileError as error:
            raise StoreError(str(error)) from error
        else:
            hashes[identity].update(rows)
            versions[path] = version
            sound[path] = rows.num_rows
    tick(len(paths), len(paths))
    if last:
        whole.update(hashes[last].digest())
    findings += [*_of_another_version(versions), *_twice(sound)]
    keys = {identity: each.keys for identity, each in hashes.items()}
    return IntegrityReport(
        len(paths),
        sum(sound.values()),
        len(hashes),
        findings,
        keys,
        "" if findings else whole.hexdigest(),
    )


def place(path: Path) -> tuple[str, int]:
    """The setup of a file of runs and its first seed, by its name."""
    setup, start, *_ = path.name.split("-")
    return setup, int(start)


def _strangers(store: Store) -> Iterator[StoreFault]:
    for path in sorted(store.runs.iterdir()):
        if path.name.startswith(
            "."
        ):  # which nobody takes for runs, such as what a Mac leaves everywhere
            continue
        if not FILE_NAME.fullmatch(path.name) or not path.is_file():
            yield StoreFault(path, "it is no file of runs")


def _problems(store: Store) -> Iterator[StoreFault]:
    for path in sorted((store.path / "problems").glob("*")):
        try:
            as_named = f"{targets.stored(path).digest}.npz" == path.name
        except (ValueError, TypeError, AttributeError):
            as_named = False
        if not as_named:
            yield StoreFault(path, "its data are not those of its name")


def _in_order(paths: list[Path]) -> Iterator[tuple[Path, Future[Read]]]:
    """Read files on all cores, a few at a time."""
    cores = available_cores()
    waiting: deque[tuple[Path, Future[Read]]] = deque()
    with ThreadPoolExecutor(cores, "fastbp-verify") as pool:
        try:
            for path in paths:
                waiting.append((path, pool.submit(_whole, path)))
                if len(waiting) > 2 * cores:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(cancel_futures=True)


def _whole(path: Path) -> Read:
    """The rows of a file, whose digest is computed anew, and what it says of itself. Raises
    DamagedFileError.
    """
    rows, said = parquet.read(path)
    if digest_module.digest(rows) != said.get("fastbp.digest"):
        raise DamagedFileError(path, "its rows do not have their digest")
    if not re.fullmatch("[0-9]{1,9}", said.get("fastbp.numerics", "")):
        raise DamagedFileError(path, "it does not say its numerics version")
    for column in SETUP_COLUMNS:
        if len(rows[column.name].unique()) > 1:
            raise DamagedFileError(path, f"its rows differ in {column.name}")
    if not _follow(rows):
        raise DamagedFileError(path, "its outcomes are not those of its measures")
    return rows, said


def _follow(rows: pa.Table) -> bool:
    """Whether outcomes are those of the measures."""
    tolerance, collapse = (rows[name][0].as_py() for name in ("tolerance", "collapse"))
    errors, spreads = (rows[name].to_numpy() for name in ("max_error", "spread"))
    codes = classify(
        errors, spreads, rows["one_sided"].fill_null(False).to_numpy(), tolerance, collapse
    )
    words = rows["outcome"].combine_chunks()
    places = [
        OUTCOMES.index(word) if word in OUTCOMES else -1 for word in words.dictionary.to_pylist()
    ]
    return bool(
        np.array_equal(np.array([*places, -1])[words.indices.fill_null(len(places))], codes)
    )


def _of_its_id(store: Store, path: Path, rows: pa.Table, version: int) -> Iterator[StoreFault]:
    """Whether a setup has the id of its keys. Raises DamagedFileError where these rows are not
    those of any setup of this id.
    """
    row = rows.slice(0, 1).to_pylist()[0]
    try:
        setup_of(store, row["setup"], row, version)
    except StoreError as error:
        if not str(row["problem"]).startswith("file:"):
            raise DamagedFileError(path, "its keys are those of another setup") from error
        yield StoreFault(
            store.path / "problems",
            f"it lacks {row['problem']}, by which setup {row['setup']} was trained: {_WRITES_IT}",
        )


def _of_another_version(versions: dict[Path, str]) -> Iterator[StoreFault]:
    (usual, _), *others = Counter(versions.values()).most_common() or [("", 0)]
    if others:
        for path, version in versions.items():
            if version != usual:
                yield StoreFault(
                    path, f"its numerics version is {version}, that of most others {usual}"
                )


def _twice(sound: Iterable[Path]) -> Iterator[StoreFault]:
    for one, other in filename.overlapping(sound):
        try:
            same = agree(one, other)
        except DamagedFileError as error:  # since it was read
            yield StoreFault(error.file, error.why)
            continue
        if same:
            yield StoreFault(other, f"{one.name} has the same rows for some of its seeds")
        else:
            yield StoreFault(one, f"{other.name} has other rows for some of its seeds")
            yield StoreFault(other, f"{one.name} has other rows for some of its seeds")


def agree(one: Path, other: Path) -> bool:
    """Whether two files of a setup have the same rows for the seeds that they have in common.
    Raises DamagedFileError.
    """
    (a, from_a), (b, from_b) = ((parquet.read(path)[0], place(path)[1]) for path in (one, other))
    first, last = max(from_a, from_b), min(from_a + a.num_rows, from_b + b.num_rows)
    return digest_module.digest(a.slice(first - from_a, last - first)) == digest_module.digest(
        b.slice(first - from_b, last - first)
    )


def move_aside(store: Store, findings: Iterable[StoreFault]) -> list[tuple[StoreFault, Path]]:
    """Move files into `quarantine/` of a store: nothing is deleted, and the next sweep makes their
    runs anew.

    Returns where they are. Raises StoreFullError.
    """
    quarantine, moved = store.path / "quarantine", []
    with writing(quarantine):
        quarantine.mkdir(exist_ok=True)
        for finding in {
            finding.file: finding for finding in findings if finding.file != store.path / "problems"
        }.values():
            target, again = quarantine / finding.file.name, 0
            while os.path.lexists(target):  # a link that leads nowhere is there too
                again += 1
                target = quarantine / f"{finding.file.name}.{again}"
            os.rename(finding.file, target)
            moved.append((finding, target))
    return moved
