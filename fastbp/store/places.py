"""Tell stores from other folders, and open folders without following a link that lies in a store.

What `os.path` says of a path may no longer hold when the path is opened. Here each folder on the
way is opened from the one above.
"""

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

from fastbp.schema.errors import UnsafeFileError

FOLDERS = ("runs", "tmp", "problems", "replays", "quarantine", "figures")
"""The folders of a store."""

RUN_FILE = re.compile(r"([0-9a-f]{12})-([0-9]{1,19})-([0-9]{1,19})-([0-9a-f]{16})\.parquet")
"""The name of a file of runs: setup, first seed, number of seeds, digest."""

MAX_LINKS = 40
"""Most links on the way to a folder, as in Linux: they may lead in a circle."""

MAX_PATH = 4095
"""Most bytes in the path of a folder that is made, as in Linux."""

_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""A folder on the way need not be readable."""


def is_store(folder: Path, parent: int | None = None) -> bool:
    """Whether a folder is a store: it has `made.json`, or `runs` and also a run or a lock.

    `parent`: the descriptor of the folder where a relative path begins.
    """
    with suppress(OSError, ValueError):
        here = os.open(folder, _STEP, dir_fd=parent)
        try:
            made, lock, runs = (is_there(name, here) for name in ("made.json", "lock", "runs"))
            return made or (runs and (lock or _has_runs(here)))
        finally:
            os.close(here)
    return False


def is_there(name: str, parent: int) -> bool:
    """Whether the folder with the descriptor `parent` has such a file, folder or link."""
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=parent, follow_symlinks=False)
        return True
    return False


def _has_runs(store: int) -> bool:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    runs = os.open("runs", flags, dir_fd=store)
    try:
        with os.scandir(runs) as entries:
            return any(RUN_FILE.fullmatch(entry.name) for entry in entries)
    finally:
        os.close(runs)


def _is_below_store(folder: int) -> bool:
    """Whether a folder, or one above it as far as that can be seen, is a store."""
    up = Path()
    while not is_store(up, folder):
        try:
            here, above = (os.stat(each, dir_fd=folder) for each in (up, up / ".."))
        except OSError:
            return False
        if os.path.samestat(here, above):
            return False
        up /= ".."
    return True


def open_folder(path: Path, make: bool = False) -> int:
    """Open a folder, and return its descriptor. `make`: make what is missing on the way.

    Raises
    ------
    UnsafeFileError
        If a link on the way lies in a store.
    OSError
        If it cannot be opened or made; also if a link leads to nowhere.
    """
    if make and len(os.fsencode(path)) > MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
    names, links = [*reversed(path.parts)], 0
    at, here = Path(), os.open("/" if path.is_absolute() else ".", _STEP)
    try:
        while names:
            name = names.pop()
            try:
                below = _next(name, here, make)
            except OSError as error:
                if (target := _link(at / name, here, error)) is not None:
                    links += 1
                    if links > MAX_LINKS:
                        raise
                    names += reversed(target.parts)
                    continue
                below = os.open(name, _STEP, dir_fd=here)
            os.close(here)
            at, here = at / name, below
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(here)


def _next(name: str, parent: int, make: bool) -> int:
    with suppress(FileNotFoundError):
        return os.open(name, _STEP | os.O_NOFOLLOW, dir_fd=parent)
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
    return os.open(name, _STEP | os.O_NOFOLLOW, dir_fd=parent)


def _link(path: Path, parent: int, error: OSError) -> Path | None:
    """Where a link in the folder `parent` leads; None if only the system knows.

    Raises `error` if it is no link, and as `open_folder`.
    """
    try:
        target = os.readlink(path.name, dir_fd=parent)
    except OSError:
        raise error from None
    if _is_below_store(parent):
        raise UnsafeFileError(path, "it is a link, not a folder")
    os.stat(path.name, dir_fd=parent)  # raises if it leads to nowhere, or in a circle
    size = os.lstat(path.name, dir_fd=parent).st_size
    # /proc/PID/root says "/", also for a process that has another
    return Path(target) if size == len(os.fsencode(target)) else None


def is_in_store(path: Path) -> bool:
    """Whether a path leads into a folder that stores have, or through a link in a store."""
    try:
        with suppress(OSError, ValueError):  # it is not there, or no path
            os.close(open_folder(path))
    except UnsafeFileError:
        return True
    with suppress(OSError, ValueError):
        path = Path(os.path.realpath(path))
    folders = (each for each in (path, *path.parents) if each.name in FOLDERS)
    return any(is_store(each.parent) for each in folders)
