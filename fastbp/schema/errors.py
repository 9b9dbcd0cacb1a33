"""Errors that a user can cause. Their messages say what happened."""

from __future__ import annotations

import math
import numbers
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastbp.schema.text import refusal


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


class StoreFullError(Exception):
    """Nothing more can be written; the message is one line. Exit code 4."""


class OtherWorkerError(Exception):
    """A worker has other versions of packages than its driver; the message is one line."""


class StoreError(Exception):
    """A store is locked, damaged or not a store; the message is one line. Exit code 3."""


class RunsError(StoreError, ValueError):
    """Stored runs cannot be reported; the message is one line."""


class TableError(ValueError):
    """A table cannot be used for training; each argument says what is allowed and what it has."""


class FileError(StoreError, ValueError):
    """A file of runs cannot be read; the message is one line."""

    def __init__(self, file: Path, why: object) -> None:
        self.file, self.why = file, str(why).partition("\n")[0]
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


def remedy(store: Path) -> str:
    """Say what to type if files of a store are damaged."""
    command = f"fastbp verify {shlex.quote(str(store))} --repair"
    return f"`{command}` moves damaged files aside; the same sweep then trains them again"
