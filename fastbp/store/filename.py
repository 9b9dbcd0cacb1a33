"""The name of a file of runs: SETUP-START-COUNT-DIGEST.parquet, built and parsed here alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa


Range = tuple[int, int]
"""Seeds start … start + count − 1, as (start, count)."""


FILE_NAME = re.compile(
    r"(?P<setup>[0-9a-f]{12})-(?P<start>\d{1,19})-(?P<count>\d{1,19})-(?P<digest>[0-9a-f]{16})\.parquet"
)


def runs_folder(store: Path) -> Path:
    """Where a store has its runs. Raises FileNotFoundError, in one line, where it is no store."""
    if not os.path.isdir(store / "runs"):
        why = "is no store: it has no folder runs" if os.path.exists(store) else "is not there"
        raise FileNotFoundError(f"{store} {why}")
    return store / "runs"


def name_of(setup: str, start: int, rows: pa.Table, whole: str) -> str:
    """The name of the file of these rows, whose digest is `whole`."""
    return f"{setup}-{start}-{rows.num_rows}-{whole[:16]}.parquet"


def overlapping(of: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Pairs of files that have seeds of a setup in common, by their names. Without the second of
    every pair none would.
    """
    named = [(match, file) for file in of if (match := FILE_NAME.fullmatch(file.name))]
    ranges = sorted(
        (match["setup"], int(match["start"]), -int(match["count"]), file) for match, file in named
    )
    setup, end, last = "", 0, Path()
    for own, start, negative, file in ranges:
        if own == setup and start < end:
            yield last, file
        else:
            setup, end, last = own, start - negative, file


def listed(folder: Path) -> Iterator[Path]:
    """The files of runs in a folder, by name; others have other names. None where there is no such
    folder.

    Raises OSError where it cannot be read: runs that nobody sees would be trained again.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (folder / name for name in sorted(names) if FILE_NAME.fullmatch(name))


def _held_against(name: re.Match[str], rows: pa.Table) -> None:
    """Raise ValueError where rows are not those that the name of their file promises, as far as
    their columns tell.
    """
    start, count = int(name["start"]), int(name["count"])
    if rows.num_rows != count or not count:
        raise ValueError(f"it has {rows.num_rows} rows")
    if "setup" in rows.column_names and (setups := rows["setup"].unique().to_pylist()) != [
        name["setup"]
    ]:
        raise ValueError(f"it holds runs of setup {' and '.join(map(str, setups))}")
    if "seed" in rows.column_names and not np.array_equal(
        rows["seed"].to_numpy(), np.arange(start, start + count)
    ):
        raise ValueError("its seeds are not those of its name")
