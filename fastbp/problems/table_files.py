"""The files of problems: where they are, when they changed, and why one is refused."""

import os
import stat
from contextlib import suppress
from itertools import islice

from fastbp.problems.read_table import DECODERS
from fastbp.schema.errors import StoreError, SweepError, UnsafeFileError
from fastbp.schema.text import named, nearest, plain, shown
from fastbp.store.npz import MAX_BYTES
from fastbp.store.places import real_path

Stamp = tuple[int, int, int, int, int]
"""The times when a file's content and metadata changed, in ns, its size in bytes, and which file it
is (inode and device)."""


MAX_PATH = 4_096
"""The most characters of a path. Linux opens none of more bytes."""


def located(written: str, folder: str) -> str:
    """The absolute path of a problem's file; `written` is relative to `folder`.

    Links to folders are followed; if the file itself is a link, it is not.

    Raises
    ------
    ValueError
        If it cannot be a path.
    """
    try:
        if not written or "\0" in written or len(written) > MAX_PATH:
            raise ValueError
        path = os.path.join(folder, os.path.expanduser(written))
        located = os.path.join(real_path(os.path.dirname(path)), os.path.basename(path))
        located.encode()
        return located
    except (ValueError, OSError, StoreError) as error:  # not text, or no way leads there
        why = f"; {error}" if isinstance(error, StoreError) else ""
        raise ValueError(f"given {shown('file:' + written)}, allowed: file:PATH{why}") from None


def relative(path: str, folder: str | os.PathLike[str]) -> str:
    """The path relative to a folder, with `/` between its parts; `located` makes it absolute."""
    return os.path.relpath(path, real_path(folder)).replace(os.sep, "/")


def current_stamp(path: str) -> Stamp:
    """The times of change and the size of a file. Raises SweepError if it cannot be read."""
    name = os.path.basename(path)
    if extension(path) not in DECODERS:
        raise refused(path, f"files that end in {', '.join(DECODERS)}")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        others: list[str] = []
        with suppress(OSError), os.scandir(os.path.dirname(path)) as entries:
            others = [e.name for e in islice(entries, 1000) if extension(e.name) in DECODERS]
        raise refused(
            path,
            f"an existing file; there is no {named(path)}"  # where a link to nowhere has its name
            + nearest(name, (each for each in others if each != name)),
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
    return stamp_of(path, status)


def stamp_of(path: str, status: os.stat_result) -> Stamp:
    """The same of what `stat` says. Raises SweepError if it is no file, or too large."""
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "device or a pipe"
        raise refused(path, f"a file; {named(path)} is a {kind}")
    if status.st_size > MAX_BYTES:
        raise refused(path, f"at most {MAX_BYTES:,} bytes; it has {status.st_size:,}")
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


def extension(path: str) -> str:
    """The end of a file's name, with its dot, in small letters."""
    return os.path.splitext(path)[1].lower()


def refused(path: str, *allowed: str) -> SweepError:
    """The error about a file, with a line for each text that says what is allowed."""
    return SweepError(
        f"given {shown('file:' + os.path.basename(path))}, allowed: " + each for each in allowed
    )


def unreadable(path: str, error: OSError | UnsafeFileError) -> SweepError:
    """The error about a file that cannot be read."""
    why = getattr(error, "why", None) or getattr(error, "strerror", None) or type(error).__name__
    return refused(path, f"a file that can be read; {named(path)}: {plain(why)}")
