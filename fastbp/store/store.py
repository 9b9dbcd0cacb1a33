"""Blocks ↔ disk. A run exists when a complete file with it lies in `runs/`: there is no journal,
and no mark to go stale.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from fastbp import __version__
from fastbp.schema import errors
from fastbp.schema.errors import FileError, StoreError, StoreFullError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store import filename, parquet
from fastbp.store.filename import FILE_NAME, Range

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Such as s3://bucket/place, of which `Path` has taken a slash."""


def encode(
    rows: pa.Table, said: dict[str, str] | None = None, problem: str | None = None
) -> tuple[bytes, str]:
    """A file of runs in memory, which says what made them (by default this fastbp, on a problem),
    and the digest of its rows.
    """
    ours = {"fastbp.version": __version__, "fastbp.numerics": str(NUMERICS_VERSION)}
    return parquet.encode(rows, said or ours | ({"fastbp.problem": problem} if problem else {}))


class Store:
    """A folder of results. Only one driver writes to it at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.runs = self.path / "runs"

    def look(self, into: bool = True) -> None:
        """See that the path is a store or may become one, and write nothing. `into`: look also into
        the runs that it holds.

        Raises StoreError where it is something else or holds runs of another numerics version.
        """
        try:
            str(self.path).encode()
        except UnicodeEncodeError:  # Arrow opens no such files
            raise StoreError(
                f"{self.path} is a name that is no text: choose another with -o"
            ) from None
        if _ADDRESS.match(str(self.path)):
            raise StoreError(
                f"{self.path} is an address, not a folder: choose another place with -o"
            )
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file, not a store: choose another place with -o")
        if self.path.is_dir() and not self._is_generated():
            raise StoreError(
                f"{self.path} is a folder with other things in it, not a store: choose another with -o"
            )
        for file in self.files() if into else ():
            self._check_version(_said(file), "choose another folder with -o")
            break  # a store holds one version

    def open(self, into: bool = True) -> None:
        """Make the folders where they are missing. Raises as `look` does, and StoreFullError where
        it cannot be written.
        """
        self.look(into)
        for folder in (self.path, self.runs, self.path / "tmp"):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def unmake(self) -> None:
        """Take away what `open` has made, where nothing was written."""
        with suppress(OSError):
            for folder in (self.runs, self.path / "tmp"):
                folder.rmdir()
            (self.path / "lock").unlink(missing_ok=True)
            self.path.rmdir()

    def _is_generated(self) -> bool:
        """Whether a folder is a store, one that has only begun or one of which only the tables were
        kept, rather than anybody's: files that go by our names would be written over.
        """
        names = {entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")}
        begun = {"runs", "tmp", "lock", "problems", "replays", "quarantine"}
        kept = {"runs", "made.json", "summary.csv"}
        told = "sweep.toml" in names and (not names.isdisjoint(kept) or {"tmp", "lock"} <= names)
        return (
            names <= begun or told or any(self.files())
        )  # where there are runs, nothing else says that they are

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store's lock. Raises StoreError at once where another driver has it; a dead
        one's never blocks.
        """
        if not find_spec("fcntl"):
            raise StoreError(
                "stores need file locks (fcntl), which Windows lacks: run fastbp inside WSL"
            )
        with writing(self.path / "lock"):
            lock: IO[str] = open(self.path / "lock", "a+")  # noqa: SIM115  closed below, which unlocks
        _locks.add(lock)
        try:
            try:
                _take(lock)
            except BlockingIOError:
                lock.seek(0)
                raise StoreError(
                    f"{self.path} is in use by {lock.read().strip() or 'another run'}: wait for it, or choose -o"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
            lock.flush()
            for left in (self.path / "tmp").glob(
                "*.draft"
            ):  # of a run that was killed while it wrote
                left.unlink(missing_ok=True)
            yield
        finally:
            _locks.discard(lock)
            lock.close()

    def files(self) -> Iterator[Path]:
        """The files of runs. Raises OSError where their folder cannot be read."""
        return filename.listed(self.runs)

    def present(self) -> dict[str, list[Range]]:
        """Which seeds of each setup there are, by the names of the files."""
        ranges: dict[str, list[Range]] = defaultdict(list)
        for file in self.files():
            match = FILE_NAME.fullmatch(file.name)
            assert match
            ranges[match["setup"]].append((int(match["start"]), int(match["count"])))
        return ranges

    def run(self, setup: str, seed: int) -> pa.Table:
        """One run that is there by the name of a file, as a table of one row; no file of another
        range is opened.

        Raises StoreError where the file is damaged or of another numerics version, and where two
        files have the run.
        """
        found = []
        for file in self.files():
            match = FILE_NAME.fullmatch(file.name)
            if (
                not match
                or match["setup"] != setup
                or not 0 <= seed - int(match["start"]) < int(match["count"])
            ):
                continue
            rows, said = _read(file)
            self._check_version(
                said, f"fastbp {said.get('fastbp.version', 'that made them')} replays them"
            )
            found.append(rows.filter(pc.equal(rows["seed"], seed)))
        times = sum(table.num_rows for table in found)
        if times != 1:
            raise StoreError(
                f"{self.runs} is not sound: it has seed {seed} of setup {setup} {times} times, not once"
            )
        return pa.concat_tables(found)

    def collapses(self, setups: Container[str]) -> Iterator[tuple[str, float]]:
        """The `collapse` by which stored runs have their outcomes, of those of these setups of
        which there are any.
        """
        seen = set()
        for file in self.files():
            setup = file.name.partition("-")[0]
            if setup in setups and setup not in seen:
                seen.add(setup)
                yield setup, _read(file, ["collapse"])[0]["collapse"][0].as_py()

    def _check_version(self, metadata: dict[str, str], remedy: str) -> None:
        version = metadata.get("fastbp.numerics")
        if version != str(NUMERICS_VERSION):
            raise StoreError(
                f"{self.path} holds runs of numerics version {version}, this fastbp makes version {NUMERICS_VERSION}: {remedy}"
            )

    def check(self) -> None:
        """Read every file of runs. Raises StoreError where one is damaged, or where two have the
        same seeds of a setup.
        """
        for file in self.files():
            _read(file)
        for one, other in filename.overlapping(self.files()):
            raise StoreError(
                f"{one} and {other.name} have seeds in common: {errors.remedy(self.path)}"
            )

    def publish(
        self,
        setup: str,
        start: int,
        rows: pa.Table,
        said: dict[str, str] | None = None,
        problem: str | None = None,
    ) -> Path:
        """Write a file of runs: it is there whole, or not at all. `said`: what its footer says of
        it, by default that this fastbp made it, on the `problem` of this digest. Raises
        StoreFullError where the disk takes no more.
        """
        content, whole = encode(rows, said, problem)
        return self.write(self.runs / filename.name_of(setup, start, rows, whole), content)

    def write(self, target: Path, content: bytes) -> Path:
        """Write any file of the store by way of `tmp/`, so that nobody ever sees half of it. Raises
        StoreFullError.
        """
        return write(target, content, self.path / "tmp")


def _take(lock: IO[str]) -> None:
    """Take a lock. Raises BlockingIOError where another driver has it: a report, which only looks
    whether one does, has it for an instant.
    """
    import fcntl

    for left in (2, 1, 0):
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(0.02)


_locks: set[IO[str]] = set()
"""Open in this process."""


def _forget_locks() -> None:
    """In a process that was forked: a worker that outlives its driver would hold them."""
    while _locks:
        _locks.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Have what fails to be written raise StoreFullError, which names it."""
    try:
        yield
    except OSError as error:
        raise StoreFullError(f"{target} cannot be written: {error.strerror or error}") from error


def write(target: Path, content: bytes, drafts: Path | None = None) -> Path:
    """Write a file, whole or not at all, by way of a draft in `drafts`, a folder on the same disk:
    by default the file's own.

    Raises StoreFullError.
    """
    with writing(target):
        return parquet.write(target, content, drafts)


def _read(file: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, dict[str, str]]:
    try:
        return parquet.read(file, columns)
    except FileError as error:
        raise StoreError(str(error)) from error


def _said(file: Path) -> dict[str, str]:
    """What a file says of itself. Raises StoreError where it is damaged."""
    try:
        return parquet.contents(file)[1]
    except FileError as error:
        raise StoreError(str(error)) from error
