"""A store: a folder with the runs of sweeps, one row each in the files of `runs/`.

A run exists if a complete file in `runs/` has it. There is no journal and no marker that could
become outdated.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pyarrow as pa

from fastbp import __version__
from fastbp.schema.columns import SCHEMA, SETUP_COLUMNS
from fastbp.schema.errors import (
    StoreError,
    StoreFullError,
    UnsafeFileError,
    raise_memory_error,
    remedy,
)
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.text import grouped, printable
from fastbp.store import filename, parquet, places, safe_files
from fastbp.store.filename import Range, RunFile, run_files
from fastbp.store.places import FOLDERS, is_in_store, is_ours

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""An address such as s3://bucket/place, from which `Path` has removed a slash."""

MAX_DEPTH = 200
"""Most folders in the path of a store: they are made one in another."""

_DRAFT = re.compile(r".+\.(parquet|npz|json|toml|csv|html|svg|png|md|txt)\.[0-9]+\.draft")
"""The name of a draft, with a random number."""

_KINDS = dict.fromkeys(FOLDERS, "a folder") | dict.fromkeys(
    ("lock", "sweep.toml", "made.json", "report.html", "summary.csv"), "a file"
)
"""What the entries of a store are. Nothing in a store is a link."""


class Store:
    """A folder of results. Only one process writes to it at a time.

    Parameters
    ----------
    path : path
        The folder; it need not exist.
    option : str
        The option that chooses the folder, such as "-o DIR", for messages.
    """

    def __init__(self, path: str | os.PathLike[str], option: str = "") -> None:
        self.path = Path(path)
        self.runs = self.path / "runs"
        self._another = "choose another folder" + (f" with {option}" if option else "")
        self._made: list[Path] = []

    def check_usable(self, *, any_version: bool = False, with_runs: bool = False) -> None:
        """Check, without writing, that the path is a store or may become one.

        Parameters
        ----------
        any_version : bool
            Accept runs of another numerics version.
        with_runs : bool
            Refuse a store without runs.

        Raises
        ------
        StoreError
            If it is something else, if a file or folder in it is a link, or if its runs have
            another numerics version.
        """
        name, is_folder = str(self.path), self.path.is_dir()
        reasons = {
            # Arrow opens no such files
            "has a name that is not valid text": re.search("[\ud800-\udfff]", name),
            "is an address, not a folder": _ADDRESS.match(name),
            "is a file, not a store": self.path.exists() and not is_folder,
            f"is more than {MAX_DEPTH} folders deep": len(self.path.parts) > MAX_DEPTH,
            "goes up from a folder that is not there": any(
                each.name == ".." and not each.parent.exists()
                for each in (self.path, *self.path.parents)
            ),
            "is in a file, not in a folder": any(above.is_file() for above in self.path.parents),
            "is in a folder of a store": is_in_store(self.path) and not any(self.files()),
        }
        if why := next((why for why, applies in reasons.items() if applies), ""):
            raise StoreError(f"{self.path} {why}: {self._another}")
        if is_folder:
            self._check_entries()
        if with_runs and not (is_folder and any(self.files())):
            raise StoreError(f"{self.path} holds no runs")
        file = None if any_version or not is_folder else next(self.files(), None)
        if file:  # a store holds one version
            self._check_version(parquet.contents(file)[1], self._another)

    def other_collapse(self, setup: str, stored: object, requested: float) -> StoreError:
        """Make the error about stored runs whose outcomes were decided with another `collapse`."""
        return StoreError(
            f"{self.path} has runs of setup {setup} whose outcomes were decided with collapse = "
            f"{stored}, not {requested}: {self._another}"
        )

    def _open(self, *, any_version: bool) -> None:
        """Make the folders of the store that are missing, and hold it until `safe_files.held` ends.

        `any_version`: as in `check_usable`.

        Raises
        ------
        StoreError
            As `check_usable`.
        StoreFullError
            If a folder cannot be made.
        """
        missing = [each for each in (self.path, *self.path.parents) if not each.exists()]
        if not self.path.is_dir():
            self.check_usable(any_version=any_version)  # before anything is made
            with suppress(OSError):
                safe_files.hold(self.path)  # StoreError if it was there when this command began
            with writing(self.path):
                self._made = missing if places.make_new(self.path) else []
        # what is there now may not be what was made: it is held, checked, and then written to
        with writing(self.path):
            self._check_entries()
        self.check_usable(any_version=any_version)
        for name in ("runs", "tmp"):
            with writing(self.path / name), safe_files.folder(self.path, name, make=True):
                pass

    def remove_if_empty(self) -> None:
        """Remove the folders that `locked` made, if it made the store and nothing was written.

        The caller holds the lock.
        """
        if not self._made:
            return
        with suppress(OSError, StoreError), safe_files.folder(self.path) as folder:
            if {*os.listdir(folder)} - {"runs", "tmp", "lock"}:
                return  # of a merge, which then goes on with it
            for name in ("runs", "tmp"):
                os.rmdir(name, dir_fd=folder)
            safe_files.remove(self.path / "lock", self.path)
            places.remove_folders(folder, [made.name for made in self._made])

    def _check_entries(self) -> None:
        """Raise StoreError if the folder is not one of ours, or has a link in it."""
        with safe_files.folder(self.path) as folder, os.scandir(folder) as scanned:
            entries = [entry for entry in scanned if entry.name[:1] not in ("", ".")]
            if not (is_ours({entry.name for entry in entries}) or any(self.files())):
                raise StoreError(
                    f"{self.path} is a folder with other things in it, not a store: {self._another}"
                )
            for entry in (entry for entry in entries if entry.name in _KINDS):
                safe_files.check(entry, self.path / entry.name, _KINDS[entry.name])

    @contextmanager
    def locked(self, *, any_version: bool = False) -> Iterator[None]:
        """Open the store, and hold it and its lock, so that no other process writes to it.

        The lock of a process that dies is released. `any_version`: as in `check_usable`.

        Raises
        ------
        StoreError
            As `check_usable`; or if another process holds the lock, or this system has no such
            locks.
        StoreFullError
            If a folder cannot be made, or the file of the lock cannot be written.
        """
        with safe_files.held(self.path, with_folders=True), ExitStack() as stack:
            self._open(any_version=any_version)
            if not find_spec("fcntl"):
                raise StoreError(
                    "stores need file locks (fcntl), which Windows lacks: run fastbp inside WSL"
                )
            import fcntl

            with writing(self.path / "lock"):
                lock = stack.enter_context(safe_files.opened(self.path / "lock", self.path, "r+b"))
            _locks.add(lock)
            stack.callback(_locks.discard, lock)
            # closing it would not unlock it if a process that was forked just now has it, too
            stack.callback(lambda: lock.closed or fcntl.flock(lock, fcntl.LOCK_UN))  # type: ignore[func-returns-value]
            self._hold(lock)
            with safe_files.folder(self.path, "tmp") as drafts:
                # of a process that was killed while it wrote
                for draft in filter(_DRAFT.fullmatch, os.listdir(drafts)):
                    with suppress(OSError):
                        os.unlink(draft, dir_fd=drafts)
            yield

    def _hold(self, lock: IO[bytes]) -> None:
        """Take the lock and write into it who has it. Raises StoreError if another has it."""
        try:
            _take(lock)
            with safe_files.folder(self.path) as folder:
                named = os.stat("lock", dir_fd=folder, follow_symlinks=False)
            if not os.path.samestat(named, os.fstat(lock.fileno())):
                raise BlockingIOError  # who had it has removed the store
        except (BlockingIOError, FileNotFoundError):
            raise StoreError(
                f"{self.path} is in use by "
                f"{printable(lock.read(200).decode(errors='replace').strip()) or 'another run'}: "
                f"wait for it, or {self._another}"
            ) from None
        if named.st_nlink > 1:  # what is written into it would be written there too
            raise UnsafeFileError(self.path / "lock", "it is also a file elsewhere, by a hard link")
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {os.uname().nodename}\n".encode(errors="replace"))
        lock.flush()

    def run_files(self) -> Iterator[RunFile]:
        """The files of runs, by setup and seeds. Raises OSError if their folder cannot be read."""
        return iter(sorted(run_files(self.runs), key=lambda file: (file.setup, file.start)))

    def files(self) -> Iterator[Path]:
        """The paths of the files of runs. Raises OSError if their folder cannot be read."""
        return (file.path for file in self.run_files())

    def present(self) -> dict[str, list[Range]]:
        """The stored ranges of seeds of each setup by setup id, taken from the names of files."""
        files = [*self.run_files()]
        return grouped((file.seeds for file in files), (file.setup for file in files))

    def run(
        self,
        setup: str,
        seed: int,
        read: Callable[[Path], tuple[pa.Table, dict[str, str]]] = parquet.read_as_written,
        *only: RunFile,
    ) -> pa.Table:
        """Read the row of one run from all files whose names say that they have it, or `only` some.

        Returns
        -------
        pa.Table
            One row, with all keys of its setup and the results that its file has. The metadata of
            its schema are what the footer of the file says.

        Raises
        ------
        StoreError
            If the file is damaged or has another numerics version, or several files have the run.
        """
        rows, files = [], (file for file in only or self.run_files() if file.setup == setup)
        for file in (file for file in files if file.start <= seed < file.stop):
            table, metadata = read(file.path)
            self._check_version(
                metadata, f"fastbp {metadata.get('fastbp.version', 'that made them')} replays them"
            )
            row = table.slice(seed - file.start, 1)
            rows.append(parquet.fill(row, SETUP_COLUMNS).replace_schema_metadata(metadata))
        if (times := sum(table.num_rows for table in rows)) != 1:
            raise StoreError(
                f"{self.runs} is damaged: it has seed {seed} of setup {setup} {times} times, "
                f"not once; {remedy(self.path)}"
            )
        return pa.concat_tables(rows, promote_options="default")

    def check_collapse(self, requested: Mapping[str, float]) -> None:
        """Raise StoreError if stored runs of setups have outcomes of another `collapse`.

        `requested`: the `collapse` of each setup by setup id. It is not part of the id, since no
        run depends on it.
        """
        files = {file.setup: file.path for file in self.run_files() if file.setup in requested}
        for setup, path in files.items():
            stored = parquet.read(path, ["collapse"])[0]["collapse"][0].as_py()
            if stored != requested[setup]:
                raise self.other_collapse(setup, stored, requested[setup])

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
            If a file is damaged, or two have the same seeds of a setup.
        """
        for file in self.files():
            parquet.read(file)
        filename.check_overlaps(self.run_files(), self.path)

    def publish(
        self,
        setup: str,
        start: int,
        rows: pa.Table,
        metadata: dict[str, str] | None = None,
        problem: str = "",
    ) -> Path:
        """Write a file of runs atomically.

        Parameters
        ----------
        setup, start : str, int
            Id of the setup and first seed of the rows.
        rows : pa.Table
            The runs.
        metadata : dict, optional
            What the footer says; by default `footer(problem)`.
        problem : str
            Digest of the problem on which the runs were trained.

        Raises
        ------
        StoreFullError
            If the file cannot be written.
        """
        content, digest = parquet.encode(rows, metadata or footer(problem))
        return self.write(self.runs / filename.name(setup, start, rows.num_rows, digest), content)

    def write(self, target: Path, content: bytes) -> Path:
        """Write any file of the store atomically, with its draft in `tmp/`.

        Raises
        ------
        StoreError
            If another folder has taken the place of the store since it was locked.
        StoreFullError
            If the file cannot be written.
        """
        parquet.remember(target, content)
        return write(target, content, self.path, self.path / "tmp")


def footer(problem: str = "") -> dict[str, str]:
    """The metadata of a file of runs that this fastbp makes. `problem`: the problem's digest."""
    return {
        "fastbp.version": __version__,
        "fastbp.numerics": str(NUMERICS_VERSION),
        "fastbp.schema": str(SCHEMA),
    } | ({"fastbp.problem": problem} if problem else {})


def _take(lock: IO[bytes]) -> None:
    """Take a lock or raise BlockingIOError, after three tries: a report holds it for an instant."""
    import fcntl

    for _ in range(2):
        with suppress(BlockingIOError):
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.02)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


_locks: set[IO[bytes]] = set()
"""The locks that this process holds."""


def _forget_locks() -> None:
    """Close all locks in a forked process: a worker that outlives its driver would keep them."""
    while _locks:
        _locks.pop().close()


os.register_at_fork(after_in_child=_forget_locks)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an OSError into a StoreFullError that names the file."""
    try:
        yield
    except OSError as error:
        raise_memory_error(error)
        raise StoreFullError(f"{target} cannot be written: {error.strerror or error}") from error


def write(
    target: Path, content: bytes, root: Path | None = None, drafts: Path | None = None
) -> Path:
    """Write a file as `safe_files.write` does, but raise StoreFullError on failure."""
    with writing(target):
        return safe_files.write(target, content, root, drafts)


def is_written(target: Path, content: bytes, root: Path | None = None) -> bool:
    """Whether a file below `root` has this content already. Raises UnsafeFileError."""
    with suppress(OSError):
        return safe_files.read(target, root) == content
    return False
