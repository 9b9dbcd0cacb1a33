"""Find the files of tables, and read each once.

Tables are cached by path, times of change and size. Messages have the form "given …, allowed: …".
"""

import os
import stat
from contextlib import suppress
from functools import lru_cache
from itertools import islice

from fastbp.problems.read_table import DECODERS, DataTable
from fastbp.schema.errors import SweepError, TableError
from fastbp.schema.text import first_line, named, nearest, plain, shown
from fastbp.store.npz import MAX_BYTES

Stamp = tuple[int, int, int]
"""The times when a file's content and metadata changed, in ns, and its size in bytes."""


def located(written: str, folder: str) -> str:
    """The absolute path of a problem's file; `written` is relative to `folder`.

    Links to folders are followed; if the file itself is a link, it is not.

    Raises
    ------
    ValueError
        If it cannot be a path.
    """
    try:
        if not written or "\0" in written:
            raise ValueError
        path = os.path.join(folder, os.path.expanduser(written))
        located = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        located.encode()
        return located
    except (ValueError, OSError):  # not text, or the current folder is gone
        raise ValueError(f"given {shown('file:' + written)}, allowed: file:PATH") from None


def relative(path: str, folder: str | os.PathLike[str]) -> str:
    """The path relative to a folder, with `/` between its parts; `located` makes it absolute."""
    try:
        return os.path.relpath(path, os.path.realpath(folder)).replace(os.sep, "/")
    except ValueError:  # another drive
        return path


def check(path: str) -> None:
    """Read a file, unless it is cached. Raises SweepError if it is missing or not a table."""
    table_at(path, stamp_of(path))


def stamp_of(path: str) -> Stamp:
    """The times of change and the size of a file. Raises SweepError if it cannot be read."""
    name = os.path.basename(path)
    if _extension(path) not in DECODERS:
        raise refused(path, f"files that end in {', '.join(DECODERS)}")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        others: list[str] = []
        with suppress(OSError), os.scandir(os.path.dirname(path)) as entries:
            names = (entry.name for entry in islice(entries, 1000))
            others = [each for each in names if _extension(each) in DECODERS]
        raise refused(
            path, f"an existing file; there is no {named(path)}{nearest(name, others)}"
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "device or a pipe"
        raise refused(path, f"a file; {named(path)} is a {kind}")
    if status.st_size > MAX_BYTES:
        raise refused(path, f"at most {MAX_BYTES:,} bytes; it has {status.st_size:,}")
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def refused(path: str, *allowed: str) -> SweepError:
    """The error about a file, with a line for each text that says what is allowed."""
    return SweepError(
        f"given {shown('file:' + os.path.basename(path))}, allowed: " + each for each in allowed
    )


def _unreadable(path: str, error: OSError) -> SweepError:
    return refused(
        path,
        f"a file that can be read; {named(path)}: {plain(error.strerror or type(error).__name__)}",
    )


@lru_cache(maxsize=1024)
def table_at(path: str, stamp: Stamp) -> DataTable:
    """Read the columns of a file; `stamp` is there for the cache. Raises SweepError."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        return DECODERS[_extension(path)](raw)
    except TableError as error:
        raise refused(path, *error.args) from None
    except Exception as error:  # over damaged bytes pandas, Arrow and zipfile raise a dozen kinds
        raise refused(path, f"a readable {_extension(path)} file; {first_line(error)}") from None
