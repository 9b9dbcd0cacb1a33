"""Prepare tables for a diagnosis: name columns, leave out rows with gaps, sample many rows."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.problems import read_table
from fastbp.problems.data_notes import DataNote
from fastbp.problems.table_columns import NUMBER, check_size, column_of, rows_of
from fastbp.schema.errors import TableError, raise_memory_error
from fastbp.schema.text import named
from fastbp.store import safe_files
from fastbp.store.npz import npz, read_arrays
from fastbp.store.parquet import MAX_RATIO, MAX_UNPACKED

MAX_LEARNT = 2048
"""The most rows of a table that a diagnosis trains as a whole: it trains each hundreds of thousands
of times."""

SAMPLED = 1024
"""The number of rows that are drawn from a table with more than `MAX_LEARNT`."""

MAX_BYTES = 4_000_000_000
"""The most bytes of a file from which rows are drawn: all of it is read."""

MAX_READ = 1 << 26
"""The most rows of a table from which rows are drawn."""

Changed = tuple[bytes, list[DataNote]]
"""The bytes of a changed file, and a note about each change for the user."""


_Change = tuple[Callable[[], bytes], list[DataNote]]
"""What makes the bytes of a changed file, and the notes: without a note they are not needed."""


def fixed(path: Path, targets: list[str] | None) -> Changed | None:
    """Change a table that lacks names or values, or has more than `MAX_LEARNT` rows.

    Parameters
    ----------
    path : Path
        A .csv, .parquet or .npz file.
    targets : list of str, optional
        The names of its target columns. A first line with one of them is a line of names.

    Returns
    -------
    (bytes, list of DataNote) or None
        The bytes of the changed file and a note about each change. None if nothing needs to be
        changed, or if that is impossible: then `read_table` says what is wrong.
    """
    change = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}.get(path.suffix.lower())
    try:
        with safe_files.named(path) as file:
            # the system's own files say 0 bytes and may have no end
            if not change or not 0 < os.fstat(file.fileno()).st_size <= MAX_BYTES:
                return None
            encoded, notes = change(path, file, targets)
        return (encoded(), notes) if notes else None
    except Exception as error:  # over damaged bytes pandas, Arrow and zipfile raise a dozen kinds
        raise_memory_error(error)
        return None


def fixed_arrays(X: Any, T: Any, name: str = "the table") -> tuple[Any, Any, list[DataNote]]:
    """Change arrays X and T [row, …] as `fixed` changes a table; also returns the notes about it.

    Objects, as pandas may hold them, become bool or numbers of NumPy. The arrays come back as they
    are if that is impossible: then `Setup.from_arrays` says what is wrong.
    """
    with suppress(TypeError, ValueError, ArithmeticError):
        parts = np.asarray(X), np.asarray(T)
        rows, notes = _rows(
            name,
            np.any([pd.isna(part).reshape(len(part), -1).any(axis=1) for part in parts], axis=0),
        )
        X, T = (part[rows] for part in parts)
        kinds = {type(value) for value in T.flat} if T.dtype == object else set()
        one = len(kinds) == 1 and kinds <= {bool, int, float}
        return X, T.astype(kinds.pop()) if one else T, notes
    return X, T, []


def _csv(path: Path, raw: IO[bytes], targets: list[str] | None) -> _Change:
    notes = []
    with TextIOWrapper(raw, encoding="utf-8-sig") as file:
        names = read_table.first_record(file)
        check_size(1, len(names))
        nameless = any(map(NUMBER.fullmatch, names)) and not {*(targets or ())} & {*names}
        if nameless:
            names = [f"c{i}" for i in range(1, len(names) + 1)]
            notes.append(
                DataNote(
                    "no-names",
                    f"{named(path)} has numbers in its first line, not names: its columns are "
                    f"called {' … '.join([names[0], *names[1:][-1:]])}",
                )
            )
        if (
            sum(len(names) for line in file if line.strip(" \t\r\n"))
            > os.fstat(raw.fileno()).st_size
        ):
            raise TableError("values in every row")  # pandas would fill up those that are short
        read_table.check_rows(file, names)
        frame = read_table.csv_frame(file, names, header=not nameless)
    frame, more = _chosen(path, frame)
    return lambda: frame.to_csv(index=False).encode(), notes + more


def _parquet(path: Path, file: IO[bytes], targets: list[str] | None) -> _Change:
    raw = file.read(os.fstat(file.fileno()).st_size)
    frame, notes = _chosen(path, read_table.parquet_frame(raw, _most(raw), _check_columns))
    return lambda: bytes(frame.to_parquet(index=False)), notes


def _npz(path: Path, file: IO[bytes], targets: list[str] | None) -> _Change:
    raw = file.read(os.fstat(file.fileno()).st_size)
    arrays: dict[str, Any] = read_arrays(raw, optional=None, most=_most(raw))
    X, T, notes = fixed_arrays(arrays["X"], arrays["T"], named(path))
    return lambda: npz(**(arrays | {"X": X, "T": T})), notes


def _check_columns(rows: int, columns: int) -> None:
    """Raise TableError for too many columns; of any number of rows some are chosen."""
    check_size(1, columns)


def _most(raw: bytes) -> int:
    """The most bytes to which a file may unpack."""
    return min(MAX_BYTES, max(MAX_UNPACKED, MAX_RATIO * len(raw)))


def _chosen(path: Path, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[DataNote]]:
    """Choose rows of a table, with notes about that for the user."""
    missing = (  # of one column after the other: there may be very many rows
        column.isna().to_numpy(bool)
        if column.dtype.kind in "biuf"
        else column_of(str(name), column).missing
        for name, column in frame.items()
    )
    rows, notes = _rows(named(path), reduce(np.logical_or, missing, np.zeros(len(frame), bool)))
    # categories keep the words of all rows
    words = {name: object for name, kind in frame.dtypes.items() if kind == "category"}
    return frame.iloc[rows].astype(words), notes


def _rows(name: str, missing: NDArray[np.bool_]) -> tuple[NDArray[np.intp], list[DataNote]]:
    """Choose the rows without missing values, or always the same `SAMPLED` of them.

    Returns their indices, and notes for the user. If every row lacks a value, all rows are chosen:
    `read_table` refuses them.
    """
    if len(missing) > MAX_READ:
        raise TableError(f"at most {MAX_READ:,} rows")
    rows, notes = np.flatnonzero(~missing), []
    if not len(rows):
        return np.arange(len(missing)), []
    if missing.any():
        text = (
            f"missing values in {rows_of(missing)}: {missing.sum():,} of "
            f"{len(missing):,} rows are left out"
        )
        notes.append(DataNote("missing-values", text))
    if len(rows) > MAX_LEARNT:
        notes.append(
            DataNote(
                "sampled-rows",
                f"{name} has {len(rows):,} rows, more than {MAX_LEARNT:,}: networks are trained on "
                f"{SAMPLED:,} of them, drawn at random and numbered anew; an epoch presents each "
                "once",
            )
        )
        rows = rows[np.sort(np.random.default_rng(0).choice(len(rows), SAMPLED, replace=False))]
    return rows, notes
