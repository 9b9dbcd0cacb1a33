"""Prepare tables for a diagnosis: name columns without names, draw a sample of many rows."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fastbp.problems import read_table
from fastbp.problems.read_table import NUMBER, rows_of
from fastbp.schema.errors import SweepError
from fastbp.schema.text import named, shown
from fastbp.store.npz import npz, read_arrays

MAX_LEARNT = 2048
"""The most rows of a table that a diagnosis trains as a whole: it trains each hundreds of thousands
of times."""

SAMPLED = 1024
"""The number of rows that are drawn from a table with more than `MAX_LEARNT`."""

MAX_BYTES = 4_000_000_000
"""The most bytes of a file from which rows are drawn: all of it is read."""

Changed = tuple[bytes, list[str]]
"""The bytes of a changed file, and a line about each change for the user."""


def fixed(path: Path, targets: list[str] | None) -> Changed | None:
    """Change a table that lacks names of columns or has more than `MAX_LEARNT` rows.

    Parameters
    ----------
    path : Path
        A .csv, .parquet or .npz file.
    targets : list of str, optional
        The names of its target columns. A first line with one of them is a line of names.

    Returns
    -------
    (bytes, list of str) or None
        The bytes of the changed file and a line about each change. None if nothing needs to be
        changed, or if that is impossible: then `read_table` says what is wrong.

    Raises
    ------
    SweepError
        If rows are to be drawn from a table with missing values. The message has the numbers of
        rows in the whole table, since drawn rows are numbered anew.
    """
    change = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}.get(path.suffix.lower())
    try:
        if not change or not path.is_file() or os.path.getsize(path) > MAX_BYTES:
            return None
        return change(path, targets)
    except SweepError:
        raise
    except Exception:  # over damaged bytes pandas, Arrow and zipfile raise a dozen kinds
        return None


def _csv(path: Path, targets: list[str] | None) -> Changed | None:
    raw = path.read_bytes()
    notes = []
    with open(path, encoding="utf-8-sig", newline="") as file:
        names = read_table.first_record(file)
        nameless = any(map(NUMBER.fullmatch, names)) and not {*(targets or ())} & {*names}
        if nameless:
            names = [f"c{i}" for i in range(1, len(names) + 1)]
            called = " … ".join([names[0], *names[1:][-1:]])
            notes.append(
                f"{named(path)} has numbers in its first line, not names: "
                f"its columns are called {called}"
            )
        if raw.count(b"\n") > MAX_LEARNT:
            frame = read_table.csv_frame(file, names, header=not nameless)
            if len(frame) > MAX_LEARNT:
                rows, note = _draw(path, frame)
                return rows.to_csv(index=False).encode(), [*notes, note]
    content = ",".join(names).encode() + b"\n" + raw.removeprefix(b"\xef\xbb\xbf")
    return (content, notes) if nameless else None


def _parquet(path: Path, targets: list[str] | None) -> Changed | None:
    if pq.read_metadata(path).num_rows <= MAX_LEARNT:
        return None
    rows, note = _draw(path, pd.read_parquet(path, dtype_backend="numpy_nullable"))
    return rows.to_parquet(), [note]


def _npz(path: Path, targets: list[str] | None) -> Changed | None:
    arrays: dict[str, Any] = read_arrays(path.read_bytes(), optional=None, most=MAX_BYTES)
    rows = len(arrays["X"])
    if rows <= MAX_LEARNT or len(arrays["T"]) != rows:
        return None
    parts = {name: arrays[name].reshape(rows, -1) for name in ("X", "T")}
    _refuse(path, {name: ~np.isfinite(part).all(axis=1) for name, part in parts.items()})
    drawn, note = _drawn(path, rows)
    return npz(**(arrays | {name: arrays[name][drawn] for name in parts})), [note]


def _draw(path: Path, frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Draw `SAMPLED` rows of a table, and describe that in a line for the user.

    Raises SweepError if values of the table are missing.
    """
    columns = read_table.columns_of(frame, [str(name) for name in frame.columns])
    _refuse(path, {column.name: column.missing for column in columns})
    drawn, note = _drawn(path, len(frame))
    return frame.iloc[drawn], note


def _drawn(path: Path, rows: int) -> tuple[NDArray[np.intp], str]:
    """Draw `SAMPLED` row indices below `rows`, always the same; add a line for the user."""
    drawn = np.sort(np.random.default_rng(0).choice(rows, SAMPLED, replace=False))
    return drawn, (
        f"{named(path)} has {rows:,} rows, more than {MAX_LEARNT:,}: networks are trained on "
        f"{SAMPLED:,} of them, drawn at random and numbered anew; an epoch presents each once"
    )


def _refuse(path: Path, missing: dict[str, NDArray[np.bool_]]) -> None:
    """Raise SweepError if values are missing. The message has row numbers of the whole table."""
    given = shown("file:" + path.name)
    lines = [
        f"DATA: given {given}, allowed: a value in every row; {shown(name)} has none in "
        f"{rows_of(mask)}"
        for name, mask in missing.items()
        if mask.any()
    ]
    if lines:
        raise SweepError(lines[:10])
