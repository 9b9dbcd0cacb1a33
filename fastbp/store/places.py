"""Tell stores from other folders, and open folders without following a link that lies in a store.

What `os.path` says of a path may no longer hold when the path is opened. Here each folder on the
way is opened from the one above.
"""

import errno
import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from fastbp.schema.errors import StoreError, UnsafeFileError

OWN_FOLDERS = ("runs", "problems", "tmp", "quarantine")
"""The folders of a store in which users put no files."""

FOLDERS = (*OWN_FOLDERS, "replays", "figures")
"""The folders of a store."""

RUN_FILE = re.compile(r"([0-9a-f]{12})-([0-9]{1,19})-([0-9]{1,19})-([0-9a-f]{16})\.parquet")
"""The name of a file of runs: setup, first seed, number of seeds, digest."""

MAX_LINKS = 40
"""Most links on the way to a folder, as in Linux: they may lead in a circle."""

MAX_STEPS = 5_000
"""Most folders on the way, with those that links lead through."""

REAL_STEPS = 250
"""Most folders that links add to a way for `real_path`, a millisecond: a stranger's sweep may name
thousands of tables."""

MAX_PATH = 4095
"""Most bytes in the path of a folder that is made, as in Linux."""

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
"""With these flags a folder is opened that is listed, or in which files are opened."""

SEEN = set[tuple[int | str, ...]]()
"""The inodes and devices of folders that were stores, and those of the folders above them with
their names: one stays so until no folder is held, for what makes it a store may be taken out while
a command works, or something else put in its place."""

STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""With these a folder is opened in which others are looked up or made: it need not be readable."""


def is_store(folder: Path) -> bool:
    """Whether a folder is a store: it has `made.json`, or `runs` and also a run or a lock."""
    with suppress(OSError, ValueError):
        here = os.open(folder, STEP)
        try:
            return _is_store(here)
        finally:
            os.close(here)
    return False


def _is_store(folder: int) -> bool:
    try:
        if is_there("made.json", folder):
            return True
        return is_there("runs", folder) and (is_there("lock", folder) or _has_runs(folder))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        return False


def _was_store(folder: int) -> bool:
    """Whether a folder is a store, or was one before."""
    here = os.fstat(folder)[1:3]
    SEEN.update([here] * (here not in SEEN and _is_store(folder)))
    return here in SEEN


def is_ours(names: set[str]) -> bool:
    """Whether a folder with these names, and no runs, is a store that fastbp began or made.

    In a folder of the user, files with our names would be overwritten. Of what is published only
    tables may be left.
    """
    begun = {"runs", "tmp", "lock", "problems", "replays", "quarantine"}
    has_sweep = "sweep.toml" in names and (
        not names.isdisjoint({"runs", "made.json", "summary.csv"}) or {"tmp", "lock"} <= names
    )
    return names <= begun or has_sweep


def is_there(name: str, parent: int) -> bool:
    """Whether the folder with the descriptor `parent` has such a file, folder or link."""
    return bool(_mode(name, parent))


def is_file(name: str, parent: int) -> bool:
    """Whether the folder with the descriptor `parent` has such a file, whatever its list says."""
    return stat.S_ISREG(_mode(name, parent))


def _mode(name: str, parent: int) -> int:
    """Kind and permissions of what a folder has by a name; 0 if it has no such thing."""
    with suppress(FileNotFoundError):
        return os.lstat(name, dir_fd=parent).st_mode
    return 0


def _has_runs(store: int) -> bool:
    runs = os.open("runs", OPEN | os.O_NOFOLLOW, dir_fd=store)
    try:
        with os.scandir(runs) as entries:
            return any(RUN_FILE.fullmatch(entry.name) for entry in entries)
    finally:
        os.close(runs)


def _is_below_store(folder: int) -> bool:
    """Whether a folder, or one above it, is a store.

    One in which nothing can be looked up may be a store, unless it is this user's or root's; so may
    one that does not lie below `/`.
    """
    here = os.dup(folder)
    try:
        for _ in range(MAX_PATH):  # a stranger's file system may say that each is the one above
            if _was_store(here) or os.path.samestat(os.fstat(here), os.stat("/")):
                return _was_store(here)
            try:
                above = os.open("..", STEP, dir_fd=here)
            except PermissionError:
                return os.fstat(here).st_uid not in (0, os.geteuid())
            os.close(here)
            here = above
        return True
    finally:
        os.close(here)


def open_folder(path: Path, make: bool = False, flags: int = OPEN) -> int:
    """Open a folder, and return its descriptor. `make`: make what is missing. `flags`: see `OPEN`.

    Raises
    ------
    UnsafeFileError
        If a link on the way lies in a store.
    OSError
        If it cannot be opened or made; also if a link leads to nowhere.
    """
    if make and len(os.fsencode(path)) > MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
    way = _Way(Path("/") if path.is_absolute() else Path())
    try:
        way.go(path, make)
        return os.open(".", flags, dir_fd=way.here)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        way.close()


class _Way:
    """A way from one folder to another, which goes through no link that lies in a store."""

    def __init__(self, start: Path) -> None:
        self.start = os.open(start, STEP)
        self.here = os.dup(self.start)
        self._names: list[str] = []
        self._stores: list[bool] = []
        """Whether each folder on the way was a store: it may be moved away meanwhile."""
        self._is_up = False
        """Whether the way has gone up, so that it need not be below its start."""

    def close(self) -> None:
        os.close(self.start)
        os.close(self.here)

    def go(self, path: Path, make: bool) -> None:
        """Go to a folder. Raises as `open_folder`."""
        names, links = [*reversed(path.parts)], 0
        with suppress(OSError):
            _is_below_store(self.start)  # it is remembered
        for _ in range(MAX_STEPS):
            if not names:
                return
            name = names.pop()
            try:
                # as for the system, there is nothing above a folder that is not there
                below = _next(name, self.here, make and ".." not in names)
            except OSError as error:
                target = self._target(name, error)
                links += 1
                if links > MAX_LINKS:
                    break
                if target is not None:
                    names += reversed(target.parts)
                    continue
                below = os.open(name, STEP, dir_fd=self.here)
                self._stores, self._is_up = [], True
            self._enter(name, below)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _enter(self, name: str, folder: int) -> None:
        place = (*os.fstat(self.here)[1:3], name)
        os.close(self.here)
        self.here = folder
        self._names.append(name)
        self._is_up |= name in ("/", "..")
        if name == "/":
            self._stores = []
        elif name == "..":
            del self._stores[-1:]  # another folder may be above by now
        else:
            SEEN.update([place] * _was_store(folder))
            self._stores.append(place in SEEN)

    def _target(self, name: str, error: OSError) -> Path | None:
        """Where a link leads; None if only the system knows. Raises `error` if it is no link."""
        try:
            target = os.readlink(name, dir_fd=self.here)
        except OSError as other:
            raise (other if other.errno == errno.EACCES else error) from None
        if (
            (*os.fstat(self.here)[1:3], name) in SEEN
            or any(self._stores)
            or _is_below_store(self.here if self._is_up else self.start)
        ):
            raise UnsafeFileError(Path(*self._names, name), "it is a link, not a folder")
        os.stat(name, dir_fd=self.here)  # raises if it leads to nowhere, or in a circle
        # /proc/PID/root says "/", also for a process that has another
        return (
            Path(target)
            if os.lstat(name, dir_fd=self.here).st_size == len(os.fsencode(target))
            else None
        )


def make_new(path: Path) -> bool:
    """Make a folder below one that is made too, and need not be readable; whether it is new.

    Raises as `open_folder`.
    """
    above = open_folder(path.parent, make=True, flags=STEP)
    try:
        os.mkdir(path.name, dir_fd=above)
    except FileExistsError:
        return False
    finally:
        os.close(above)
    return True


def _next(name: str, parent: int, make: bool) -> int:
    with suppress(FileNotFoundError):
        return os.open(name, STEP | os.O_NOFOLLOW, dir_fd=parent)
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
    return os.open(name, STEP | os.O_NOFOLLOW, dir_fd=parent)


def remove_folders(folder: int, names: Iterable[str]) -> None:
    """Remove an empty folder, then those above it, as long as they have these names. OSError."""
    with ExitStack() as opened_here:
        for name in names:
            above = os.open("..", OPEN, dir_fd=folder)
            opened_here.callback(os.close, above)
            if not os.path.samestat(
                os.stat(name, dir_fd=above, follow_symlinks=False), os.fstat(folder)
            ):
                return
            os.rmdir(name, dir_fd=above)
            folder = above


def is_in_store(path: Path) -> bool:
    """Whether a path leads into a folder that stores have, or through a link in a store."""
    try:
        with suppress(OSError, ValueError):  # it is not there, or no path
            os.close(open_folder(path))
    except UnsafeFileError:
        return True
    return leads_into(path, FOLDERS)


def real_path(path: str | os.PathLike[str], strict: bool = True) -> str:
    """The absolute path without links, as `os.path.realpath`, which takes any number of them.

    That may be minutes, or end in a RecursionError. Beyond `REAL_STEPS` it raises StoreError, or is
    the path as it is if not `strict`. Raises OSError if the current folder is gone.
    """
    here, names = "/", [*reversed(Path(path).absolute().parts)]
    left = len(names) + REAL_STEPS
    while 0 < len(names) <= left:
        below, left = os.path.normpath(os.path.join(here, names.pop())).replace("//", "/"), left - 1
        try:
            names += reversed(Path(os.readlink(below)).parts)
        except OSError:  # it is no link, or not there
            here = below
    if names and strict:
        raise StoreError(f"{path} cannot be used: too many links lead there")
    return os.fspath(path) if names else here


def leads_into(path: Path, folders: Collection[str]) -> bool:
    """Whether a path leads into one of these folders of any store. Raises as `real_path`."""
    with suppress(FileNotFoundError, ValueError):  # the current folder is gone, or it is no path
        path = Path(real_path(path))
    return any(each.name in folders and is_store(each.parent) for each in (path, *path.parents))
