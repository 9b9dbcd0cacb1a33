"""A store: a folder of results.

A run exists when a complete file with it lies in `runs/`, so there is no journal, and no mark that
could become stale.
"""

import os
import re
import time
from collections import defaultdict
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from fastbp import __version__
from fastbp.schema.columns import SCHEMA, SETUP_COLUMNS
from fastbp.schema.errors import StoreError, StoreFullError, remedy
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store import filename, parquet
from fastbp.store.filename import Range, RunFile, run_files

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Such as s3://bucket/place, in which `Path` has dropped a slash."""


class Store:
    """A folder of results. Only one process writes to it at a time.

    Parameters
    ----------
    path : path
        The folder; it need not exist.
    option : str
        How a command lets its user choose the folder, such as "-o DIR": messages name it.
    """

    def __init__(self, path: str | os.PathLike[str], option: str = "") -> None:
        self.path = Path(path)
        self.runs = self.path / "runs"
        self._another = "choose another folder" + (f" with {option}" if option else "")

    def check_usable(self, *, any_version: bool = False) -> None:
        """Check, without writing, that the path is a store or may become one.

        Parameters
        ----------
        any_version : bool
            Whether its runs may be of another numerics version.

        Raises
        ------
        StoreError
            It is something else, or holds runs of another numerics version.
        """
        if why := self._why_unusable():
            raise StoreError(f"{self.path} {why}: {self._another}")
        file = None if any_version else next(self.files(), None)
        if file:  # a store holds one version
            self._check_version(parquet.contents(file)[1], self._another)

    def _why_unusable(self) -> str:
        if re.search("[\ud800-\udfff]", str(self.path)):  # Arrow opens no such files
            return "has a name that is no text"
        if _ADDRESS.match(str(self.path)):
            return "is an address, not a folder"
        if self.path.exists() and not self.path.is_dir():
            return "is a file, not a store"
        if self.path.is_dir() and not self._is_generated():
            return "is a folder with other things in it, not a store"
        return ""

    def other_collapse(self, setup: str, stored: object, requested: float) -> StoreError:
        """The error for stored runs whose outcomes follow from another `collapse`."""
        return StoreError(
            f"{self.path} has runs of setup {setup} whose outcomes are those of collapse = "
            f"{stored}, not {requested}: {self._another}"
        )

    def open(self, *, any_version: bool = False) -> None:
        """Make the folders that are missing.

        Raises
        ------
        StoreError
            As `check_usable`.
        StoreFullError
            A folder cannot be made.
        """
        self.check_usable(any_version=any_version)
        for folder in (self.path, self.runs, self.path / "tmp"):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def remove_if_empty(self) -> None:
        """Remove what `open` has made, if nothing was written."""
        with suppress(OSError):
            for folder in (self.runs, self.path / "tmp"):
                folder.rmdir()
            (self.path / "lock").unlink(missing_ok=True)
            self.path.rmdir()

    def _is_generated(self) -> bool:
        """Whether a folder is a store, perhaps one just begun or with only its tables kept.

        In a folder of somebody's own, files with our names would be overwritten.
        """
        names = {entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")}
        begun = {"runs", "tmp", "lock", "problems", "replays", "quarantine"}
        kept = {"runs", "made.json", "summary.csv"}
        has_sweep = "sweep.toml" in names and (
            not names.isdisjoint(kept) or {"tmp", "lock"} <= names
        )
        return names <= begun or has_sweep or any(self.files())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the store. The lock of a process that died never blocks.

        Raises
        ------
        StoreError
            Another process holds it, or this system has no such locks.
        StoreFullError
            The lock's file cannot be written.
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
                holder = lock.read().strip() or "another run"
                raise StoreError(
                    f"{self.path} is in use by {holder}: wait for it, or {self._another}"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
            lock.flush()
            # drafts of a process that was killed while it wrote
            for draft in (self.path / "tmp").glob("*.draft"):
                draft.unlink(missing_ok=True)
            yield
        finally:
            _locks.discard(lock)
            lock.close()

    def run_files(self) -> Iterator[RunFile]:
        """The files of runs. Raises OSError if their folder cannot be read."""
        return run_files(self.runs)

    def files(self) -> Iterator[Path]:
        """The paths of the files of runs. Raises OSError if their folder cannot be read."""
        return (file.path for file in self.run_files())

    def present(self) -> dict[str, list[Range]]:
        """The seeds of each setup that exist, by the names of the files."""
        ranges: dict[str, list[Range]] = defaultdict(list)
        for file in self.run_files():
            ranges[file.setup].append(file.seeds)
        return ranges

    def run(self, setup: str, seed: int) -> pa.Table:
        """Read one run; only files whose names say that they hold it are opened.

        Returns
        -------
        pa.Table
            One row, with all keys of its setup and the results that its file has.

        Raises
        ------
        StoreError
            The file is damaged or of another numerics version, or several files hold the run.
        """
        rows = []
        for file in self.run_files():
            if file.setup != setup or not file.start <= seed < file.stop:
                continue
            table, metadata = parquet.read_as_written(file.path)
            self._check_version(
                metadata, f"fastbp {metadata.get('fastbp.version', 'that made them')} replays them"
            )
            table = parquet.fill(table, SETUP_COLUMNS)
            rows.append(table.filter(pc.equal(table["seed"], seed)))
        times = sum(table.num_rows for table in rows)
        if times != 1:
            raise StoreError(
                f"{self.runs} is damaged: it has seed {seed} of setup {setup} {times} times, "
                f"not once; {remedy(self.path)}"
            )
        return pa.concat_tables(rows, promote_options="default")

    def collapses(self, setups: Container[str]) -> Iterator[tuple[str, float]]:
        """The `collapse` by which stored runs of these setups have their outcomes."""
        done = set()
        for file in self.run_files():
            if file.setup in setups and file.setup not in done:
                done.add(file.setup)
                yield file.setup, parquet.read(file.path, ["collapse"])[0]["collapse"][0].as_py()

    def _check_version(self, metadata: dict[str, str], advice: str) -> None:
        version = metadata.get("fastbp.numerics")
        if version != str(NUMERICS_VERSION):
            raise StoreError(
                f"{self.path} holds runs of numerics version {version}, this fastbp makes version "
                f"{NUMERICS_VERSION}: {advice}"
            )

    def check_files(self) -> None:
        """Read every file of runs.

        Raises
        ------
        StoreError
            A file is damaged, or two hold the same seeds of a setup.
        """
        for file in self.files():
            parquet.read(file)
        if message := filename.overlap_message(self.run_files(), self.path):
            raise StoreError(message)

    def publish(
        self,
        setup: str,
        start: int,
        rows: pa.Table,
        metadata: dict[str, str] | None = None,
        problem: str = "",
    ) -> Path:
        """Write a file of runs, whole or not at all.

        Parameters
        ----------
        setup, start : str, int
            Id of the setup and first seed of the rows.
        rows : pa.Table
            The runs.
        metadata : dict, optional
            What the footer says: by default that this fastbp made it, on the `problem`.
        problem : str
            Digest of the problem.

        Raises
        ------
        StoreFullError
            The file cannot be written.
        """
        content, digest = parquet.encode(rows, metadata or footer(problem))
        name = filename.name(setup, start, rows.num_rows, digest)
        return self.write(self.runs / name, content)

    def write(self, target: Path, content: bytes) -> Path:
        """Write any file of the store by way of `tmp/`, so that nobody ever reads half of it.

        Raises
        ------
        StoreFullError
            The file cannot be written.
        """
        return write(target, content, self.path / "tmp")


def footer(problem: str = "") -> dict[str, str]:
    """What the footer of a file says that this fastbp makes; `problem` is a digest."""
    return {
        "fastbp.version": __version__,
        "fastbp.numerics": str(NUMERICS_VERSION),
        "fastbp.schema": str(SCHEMA),
    } | ({"fastbp.problem": problem} if problem else {})


def _take(lock: IO[str]) -> None:
    """Take a lock, or raise BlockingIOError: a report that tries it has it for an instant."""
    import fcntl

    for left in (2, 1, 0):
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(0.02)


_locks: set[IO[str]] = set()
"""Those that are open in this process."""


def _forget_locks() -> None:
    """Close them in a forked process: a worker that outlives its driver would hold them."""
    while _locks:
        _locks.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an OSError into a StoreFullError that names the file."""
    try:
        yield
    except OSError as error:
        raise StoreFullError(f"{target} cannot be written: {error.strerror or error}") from error


def write(target: Path, content: bytes, drafts: Path | None = None) -> Path:
    """Write a file as `parquet.write` does, but raise StoreFullError if that fails."""
    with writing(target):
        return parquet.write(target, content, drafts)


def write_if_changed(target: Path, text: str, drafts: Path | None = None) -> Path:
    """Write a text file as `write` does, unless the file there has the same content."""
    if not target.is_file() or target.read_bytes() != text.encode():
        write(target, text.encode(), drafts)
    return target
