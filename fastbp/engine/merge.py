"""Merge stores, such as those of machines that each trained a shard of a sweep."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from fastbp.config import toml_text
from fastbp.engine import integrity
from fastbp.engine.plan import missing
from fastbp.problems import table_files, targets
from fastbp.schema.errors import DamagedFileError, StoreError, TooLargeError
from fastbp.schema.text import first_of, grouped, shown
from fastbp.store import filename, parquet, safe_files
from fastbp.store.digest import part
from fastbp.store.filename import Range, RunFile
from fastbp.store.npz import MAX_BYTES
from fastbp.store.provenance import add_made, read_made
from fastbp.store.store import Store, writing

MAX_ROWS, MAX_JOINED_BYTES = 1 << 18, 1 << 27
"""The most rows of a file that `compact` makes, and the most bytes of them in memory."""

MAX_WORK, A_PATH = 10**10, 2_000_000
"""The most bytes to read while paths in a `sweep.toml` are written anew, some seconds, and as how
many each path counts, which may go through links."""

MAX_NAMED = 3
"""The most faults or files that a message names."""


class Merged(NamedTuple):
    """The result of a merge.

    Attributes
    ----------
    files, runs : int
        The numbers of written files and runs.
    there : int
        The number of runs in the sources that the store, or an earlier source, had already.
    """

    files: int
    runs: int
    there: int


def merge(
    into: Store, sources: Sequence[Store], tick: Callable[[str], None] = lambda what: None
) -> Merged:
    """Copy all runs of some stores into one.

    Nothing is written before everything has been read and checked. If two stores have the same
    seeds, one copy is kept: of two files with equal seeds, the one with more columns. To continue
    after a merge was killed, run it again.

    Parameters
    ----------
    into : Store
        The store that gets the runs; the caller holds its lock.
    sources : list of Store
        The stores with the runs.
    tick : callable
        Called with the current step.

    Raises
    ------
    StoreError
        If a store is not sound, stores have different numerics versions, or two files have
        different rows for the same seeds, or columns that the other lacks. The message names them.
    StoreFullError
        If a file cannot be written.
    """
    with parquet.unchanged():
        _remove_joined(into, tick)
        reports = _check([into, *sources] if any(into.files()) else sources, tick)
        own, theirs = reports[: -len(sources)], reports[-len(sources) :]
        files, new = ([file for each in part for file in each.sound] for part in (own, theirs))
        wanted = _wanted(files, new, parquet.Comparison(tick))
        _refuse(
            into.path,
            [
                integrity.StoreFault(each.path, parquet.CHANGED)
                for each in {*files} ^ {*into.run_files()}  # it may have seemed empty
            ],
        )
        # before the runs: if this is killed, runs without their problems would not be sound
        _copy_other_files(into, sources, own, theirs)
        return _write(into, wanted, tick)


def _check(stores: Sequence[Store], tick: Callable[[str], None]) -> list[integrity.IntegrityReport]:
    """Check stores before their runs are merged: from now on their files must stay as they are.

    Raises StoreError if a store is not sound, or if two stores cannot be merged.
    """
    reports: list[integrity.IntegrityReport] = []
    versions: dict[str, Path] = {}
    keys: dict[str, tuple[str, Path]] = {}
    types: dict[tuple[str, str], tuple[str, Path]] = {}
    for store in stores:
        path = store.path
        report = integrity.check(store, tick)
        _refuse(path, report.findings)
        reports.append(report)
        versions.setdefault(report.version, path)
        for name, its_type in report.types.items():
            kind, first = types.setdefault(name, (its_type, path))
            if kind != its_type:
                what, of = name
                raise StoreError(f"{first} and {path} differ in the {what} {shown(of)}")
        for setup, its_keys in report.keys.items():
            known, first = keys.setdefault(setup, (its_keys, path))
            if known != its_keys:
                different = json.loads(known).items() ^ json.loads(its_keys).items()
                raise StoreError(
                    f"{first} and {path} have setup {setup} with different "
                    f"{', '.join(sorted({name for name, _ in different}))}, so their outcomes do "
                    "not mean the same"
                )
    if len(versions) > 1:
        raise StoreError(
            "; ".join(f"{path} holds runs of numerics version {v}" for v, path in versions.items())
        )
    return reports


def _refuse(store: Path, findings: Sequence[integrity.StoreFault]) -> None:
    """Raise StoreError that names files of a store that are not sound, if there are any."""
    if findings:
        faults = first_of([f"{file} ({why})" for file, why, *_ in findings], MAX_NAMED)
        raise StoreError(f"{store} is not sound: {'; '.join(faults)}; `fastbp verify` says more")


Part = tuple[RunFile, list[Range], RunFile | None]
"""A file of a source, the ranges of its seeds to write, and the file of the store that it replaces,
or None."""


def _wanted(
    into: Sequence[RunFile], sources: Sequence[RunFile], comparison: parquet.Comparison
) -> list[Part]:
    """List the files of the sources, each with the seeds that no file before it has.

    Raises
    ------
    StoreError
        If two files have different rows for the same seeds, or each has columns that the other
        lacks.
    """
    fullest, different = _fullest((*into, *sources), comparison)
    overlaps = list[tuple[RunFile, RunFile]]()
    own = {(file.setup, file.seeds): file for file in into}
    known = grouped((fullest[key] for key in own), (setup for setup, _ in own))
    parts: list[Part] = []
    for file in sources:
        key = file.setup, file.seeds
        if file.digest != fullest[key].digest:
            parts.append((file, [], None))
        elif key in own:
            old = own[key]
            is_new = file.digest != old.digest
            own[key] = file
            parts.append((file, [file.seeds] if is_new else [], old if is_new else None))
        else:
            others = known.setdefault(file.setup, [])
            overlaps += [
                (other, file)
                for other in others
                if other.start < file.stop and file.start < other.stop and other.seeds != file.seeds
            ]
            parts.append((file, missing(file.seeds, [other.seeds for other in others]), None))
            others.append(file)
    # by the larger one, which is read once: it may share seeds with thousands
    overlaps.sort(key=lambda pair: max((file.count, file.path) for file in pair))
    different += [f"{b.path} and {a.path}" for a, b in overlaps if not comparison.fuller(a, b)]
    if different:
        raise StoreError(
            "for the same seeds these have different rows, or problems or columns that the other "
            "lacks: "
            f"{', '.join(first_of(different, MAX_NAMED))}; nothing was written"
        )
    return parts


def _fullest(
    files: Iterable[RunFile], comparison: parquet.Comparison
) -> tuple[dict[tuple[str, Range], RunFile], list[str]]:
    """Find the file with the most columns among those with the same setup and range of seeds.

    Returns
    -------
    fullest : dict
        The file for each (setup id, range of seeds).
    different : list of str
        The names of each two such files whose rows differ.
    """
    fullest, different = dict[tuple[str, Range], RunFile](), list[str]()
    for file in files:
        best = fullest.setdefault((file.setup, file.seeds), file)
        if file != best:  # also if their digests are equal: somebody may have made them for that
            better = comparison.fuller(best, file)
            fullest[file.setup, file.seeds] = better or best
            different += [] if better else [f"{file.path} and {best.path}"]
    return fullest, different


def _write(into: Store, parts: Sequence[Part], tick: Callable[[str], None]) -> Merged:
    """Write the seeds in `parts` to the store. Raises FileError and StoreFullError."""
    for number, (file, gaps, replaces) in enumerate(parts):
        tick(f"writing: {number:,} of {len(parts):,} files")
        if gaps == [file.seeds]:
            content, _ = parquet.contents(file.path)
            into.write(into.runs / file.path.name, content)
            _remove(into, {replaces.path: into.runs / file.path.name} if replaces else {})
        elif gaps:
            rows, metadata = parquet.read_as_written(file.path)
            for start, count in gaps:
                into.publish(file.setup, start, part(rows, start - file.start, count), metadata)
    written = [count for _, gaps, _ in parts for _, count in gaps]
    return Merged(len(written), sum(written), sum(file.count for file, *_ in parts) - sum(written))


def _remove(store: Store, files: Mapping[Path, Path]) -> None:
    """Remove files of runs. `files`: for each, another file that has its rows.

    Raises FileError if one of the two is not what was checked or written, and StoreFullError if a
    file cannot be removed.
    """
    with writing(store.runs):
        for file, other in files.items():
            parquet.contents(file)
            if not parquet.is_as_read(files.get(other, other)):  # where that goes, too, the next
                raise DamagedFileError(other, parquet.CHANGED)
            safe_files.remove(file, store.path)


def compact(
    store: Store, tick: Callable[[str], None] = lambda what: None
) -> tuple[list[RunFile], list[RunFile]]:
    """Rewrite a store in few files: join files of a setup whose seeds follow each other.

    A joined file is on the disk before those in it are removed. To continue after this was killed,
    call it again.

    Parameters
    ----------
    store : Store
        The store; the caller holds its lock.
    tick : callable
        Called with the current step.

    Returns
    -------
    before, after : list of RunFile
        Its files.

    Raises
    ------
    StoreError, StoreFullError
        As `merge`.
    """
    before = list(store.run_files())
    with parquet.unchanged():
        _remove_joined(store, tick)
        files = _check([store], tick)[0].sound
        parts: list[_Read] = []
        count = size = 0
        for number, file in enumerate(files):
            tick(f"joining: {number:,} of {len(files):,} files")
            part = _Read(file, *parquet.read_as_written(file.path))
            own = part.rows.nbytes
            fits = count + file.count <= MAX_ROWS and size + own <= MAX_JOINED_BYTES
            if parts and not (fits and _follows(parts[-1], part)):
                _join(store, parts)
                parts, count, size = [], 0, 0
            parts.append(part)
            count, size = count + file.count, size + own
        _join(store, parts)
    return before, [*store.run_files()]


def _remove_joined(store: Store, tick: Callable[[str], None]) -> None:
    """Remove files that nobody needs, since another has all their rows: killed merges leave them.

    Raises StoreError, before that, if anything else is not sound.
    """
    fuller = parquet.Comparison(tick).fuller
    joined = dict[Path, Path]()
    for one, other in filename.overlaps(store.run_files()):
        best = fuller(one, other)
        if best == one and other.stop <= one.stop:
            joined[other.path] = one.path
        elif best == other and one.seeds == other.seeds:
            joined[one.path] = other.path
    if joined:
        _refuse(
            store.path,
            [
                fault
                for fault in integrity.check(store, tick).findings
                if not (fault.other and fault.file in joined)
            ],
        )
        _remove(store, joined)


class _Read(NamedTuple):
    """A file, its rows, and what its footer says."""

    file: RunFile
    rows: pa.Table
    metadata: dict[str, str]


def _follows(last: _Read, part: _Read) -> bool:
    """Whether the rows of a file can be joined to those of the file before it."""
    return (
        (last.file.setup, last.file.stop) == (part.file.setup, part.file.start)
        and last.rows.schema.equals(part.rows.schema)
        and last.metadata | {"fastbp.digest": part.metadata["fastbp.digest"]} == part.metadata
    )


def _join(store: Store, parts: Sequence[_Read]) -> None:
    """Write the rows of several files as one, if it may have so many, and then remove them."""
    if len(parts) > 1:
        rows = pa.concat_tables([part.rows for part in parts]).unify_dictionaries()
        first = parts[0]
        with suppress(TooLargeError):
            joined = store.publish(
                first.file.setup, first.file.start, rows.combine_chunks(), first.metadata
            )
            parquet.read(joined)  # if nobody can read it, the others stay
            _remove(store, dict.fromkeys((part.file.path for part in parts), joined))


def _copy_other_files(
    into: Store,
    sources: Sequence[Store],
    own: Sequence[integrity.IntegrityReport],
    theirs: Sequence[integrity.IntegrityReport],
) -> None:
    """Copy the other files of stores: problems, the sweep, and how runs were made.

    `own`: what was found of `into`, if it had runs. `theirs`: what was found of each source. Raises
    StoreError if a problem of a source has changed since.
    """
    there = {file.name for report in own for file in report.problems}
    for store, report in zip(sources, theirs, strict=True):
        for file in report.problems:
            if file.name not in there:
                there.add(file.name)
                try:
                    content = safe_files.read(file, store.path, MAX_BYTES)
                    targets.stored_from(str(file), content)
                except (FileNotFoundError, ValueError, TypeError, AttributeError):
                    _refuse(store.path, [integrity.StoreFault(file, parquet.CHANGED)])
                into.write(into.path / "problems" / file.name, content)
        if "sweep.toml" in safe_files.listed(into.path):
            continue
        with suppress(FileNotFoundError):
            content = safe_files.read(store.path / "sweep.toml", store.path, safe_files.MAX_SWEEP)
            into.write(into.path / "sweep.toml", _moved(content, store.path, into.path))
    add_made(into, (entry for store in sources for entry in read_made(store.path)))


def _moved(sweep: bytes, old: Path, new: Path) -> bytes:
    """A `sweep.toml` for another folder: paths to problem files are relative to it.

    The grid is not expanded, which may take minutes.
    """
    try:
        moved, todo, paths = sweep, [toml_text.read_toml(sweep.decode())], set[str]()
        while todo:
            for value in todo.pop().values():
                for item in toml_text.as_list(value) or [value]:
                    if isinstance(item, dict):
                        todo.append(item)
                    elif str(item).startswith("file:"):
                        paths.add(item)
        if len(paths) * (len(sweep) + A_PATH) > MAX_WORK:
            return sweep
        for path in paths:
            file = table_files.located(path[5:], str(old))
            if os.path.exists(file):  # else it is of another machine, and stays as it is
                here, there = (
                    toml_text.toml(each).encode()
                    for each in (path, f"file:{table_files.relative(file, new)}")
                )
                if len(moved) + moved.count(here) * (len(there) - len(here)) > safe_files.MAX_SWEEP:
                    return sweep
                moved = moved.replace(here, there)
    except ValueError:  # it is none, which is no reason not to keep it
        return sweep
    return moved
