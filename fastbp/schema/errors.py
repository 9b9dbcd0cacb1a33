"""Errors that a user can cause, each with the lines that say what happened."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path


class LostError(Exception):
    """Workers that were lost again and again, in one line."""


class SweepError(ValueError):
    """Every mistake found in a sweep, one line each in `lines`; as a string, the lines."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines: list[str] = list(lines)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[type[SweepError], tuple[list[str]]]:
        return SweepError, (self.lines,)


class StoreFullError(Exception):
    """Nothing more can be written, in one line. Exit code 4."""


# What workers must share with their driver


class OtherWorkerError(Exception):
    """A worker whose versions differ from the driver's, in one line."""


class StoreError(Exception):
    """A store that cannot be used, in one line: locked, damaged or no store. Exit code 3."""


class RunsError(StoreError, ValueError):
    """Stored runs that cannot be reported, in one line."""


class TableError(ValueError):
    """A table that cannot be trained on; each argument says what is allowed and what it has."""


class FileError(StoreError, ValueError):
    """A file of runs that cannot be read, in one line."""

    def __init__(self, file: Path, why: object) -> None:
        self.file, self.why = file, str(why).partition("\n")[0]
        super().__init__(f"{file} cannot be read: {self.why}")


class DamagedFileError(FileError):
    """A file of runs that is not as it was written, in one line with the remedy."""

    def __init__(self, file: Path, why: object) -> None:
        super().__init__(file, why)
        self.args = (f"{file} is damaged ({self.why}): {remedy(file.parent.parent)}",)


def remedy(store: Path) -> str:
    """What to type where files of a store are damaged."""
    command = f"fastbp verify {shlex.quote(str(store))} --repair"
    return f"`{command}` moves damaged files aside; the same sweep then trains them again"
