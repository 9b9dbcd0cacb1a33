"""Errors that a user can cause. Their messages say what happened."""

from __future__ import annotations

import errno
import math
import mmap
import numbers
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastbp.schema.text import plain, refusal, typed


class LostError(Exception):
    """Workers died or hung too often, so training ended; the message is one line."""


class SweepError(ValueError):
    """A sweep has mistakes. `lines` has one line for each; the message has them all."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines: list[str] = list(lines)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[type[SweepError], tuple[list[str]]]:
        return SweepError, (self.lines,)


def is_integer(value: Any, low: int, high: float = math.inf) -> bool:
    """Whether a value is an integer, of Python or NumPy, from `low` to `high`; True is none."""
    return (
        not isinstance(value, bool)
        and isinstance(value, numbers.Integral)
        and low <= int(value) <= high
    )


def refuse_wrong(arguments: Iterable[tuple[str, Any, bool, str]]) -> None:
    """Raise SweepError with a line for each argument that is not allowed, if there are any.

    `arguments`: names, values, whether each is allowed, and what is allowed, in words.
    """
    lines = [
        f"{name}: {refusal(given, rule)}" for name, given, right, rule in arguments if not right
    ]
    if lines:
        raise SweepError(lines)


_NO_MEMORY = re.compile(
    "not enough memory|out of memory|can(not|'t) allocate|can't start new thread|Error -4 while|"
    "launch worker thread|failed to map segment|without (setting an exception|exception set)",
    re.IGNORECASE,
)
"""What packages and the system say where there is no memory, in errors of other classes."""


NO_MEMORY = (
    "there is not enough memory: close other programs, or train fewer blocks at once with -j; the "
    "same command goes on"
)


def need_memory(size: int) -> None:
    """Raise MemoryError if so many bytes are not to be had.

    Libraries in C that find no memory may end Python, or try for ever: OpenBLAS where it is
    loaded, Arrow where it compresses.
    """
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise MemoryError(NO_MEMORY) from error


def raise_memory_error(error: BaseException) -> None:
    """Raise MemoryError if an error means that there is not enough memory.

    To whoever catches errors of many kinds it must not look like damage.
    """
    link: BaseException | None = error
    while link:
        if (
            isinstance(link, MemoryError)
            or getattr(link, "errno", None) == errno.ENOMEM
            or (
                (
                    isinstance(link, OSError | RuntimeError | ImportError | SystemError)
                    or type(link).__module__ in ("pyarrow.lib", "zlib")
                )
                and _NO_MEMORY.search(str(link))
            )
        ):
            raise MemoryError(NO_MEMORY) from error
        link = link.__cause__ or link.__context__


@contextmanager
def damage_ignored() -> Iterator[None]:
    """Ignore all that goes wrong while a damaged file is read, but not that there is no memory."""
    try:
        yield
    except Exception as error:
        raise_memory_error(error)


class StoreFullError(Exception):
    """Nothing more can be written; the message is one line. Exit code 4."""


class OtherWorkerError(Exception):
    """A worker has other versions of packages than its driver; the message is one line."""


class StoreError(Exception):
    """A store is locked, damaged or not a store; the message is one line. Exit code 3."""


class TooLargeError(StoreError):
    """Rows are too many for a file of runs; the message is one line."""


class RunsError(StoreError, ValueError):
    """Stored runs cannot be reported; the message is one line."""


class TableError(ValueError):
    """A table cannot be used for training; each argument says what is allowed and what it has."""


class FileError(StoreError, ValueError):
    """A file of runs cannot be read; the message is one line."""

    def __init__(self, file: Path, why: object) -> None:
        self.file, self.why = file, plain(str(why).partition("\n")[0], 500)
        super().__init__(f"{file} cannot be read: {self.why}")


class UnsafeFileError(StoreError):
    """A file or folder of a store leads elsewhere, or would never end; the message is one line."""

    def __init__(self, path: Path, why: str) -> None:
        self.why = why
        super().__init__(f"{path} cannot be used: {why}; move it away")


class DamagedFileError(FileError):
    """A file of runs has changed since it was written; the message has the remedy."""

    def __init__(self, file: Path, why: object) -> None:
        super().__init__(file, why)
        self.args = (f"{file} is damaged ({self.why}): {remedy(file.parent.parent)}",)


def unread(file: Path, error: OSError) -> FileError:
    """Make the error about a file of a store that the system cannot read.

    Raises MemoryError if there is not enough memory.
    """
    raise_memory_error(error)
    return (DamagedFileError if error.errno == errno.EIO else FileError)(
        file, error.strerror or error
    )


def remedy(store: Path) -> str:
    """Say what to type if files of a store are damaged."""
    return (
        f"`fastbp verify {typed(store)} --repair` moves damaged files aside; the same sweep then "
        "trains them again"
    )
