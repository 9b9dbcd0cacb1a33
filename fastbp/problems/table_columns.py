"""Columns of tables: their names, and their values as integers, floats, flags and text.

Mistakes are raised as `TableError`, which says what is allowed and what the file has.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.problems import MAX_ROWS
from fastbp.problems.problem import MAX_COLUMNS
from fastbp.schema.errors import TableError
from fastbp.schema.keys import MAX_WORD
from fastbp.schema.text import and_, shown

if TYPE_CHECKING:
    import pandas as pd

MAX_NAMES = MAX_WORD // 2  # those of targets together are a word in files of runs

MAX_VALUES = 2**24
"""The most values: 128 MB."""

NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE
)
_PANDAS_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Matches the names that pandas gives to the column of an index; one is empty."""


class DataColumn(NamedTuple):
    """One column of a table.

    Attributes
    ----------
    name : str
        Its name.
    values : array [row]
        Integers, floats, flags, or text as objects; any value where missing.
    missing : bool array [row]
        Whether the row has no value.
    foreign : str
        The name of the column's type if it is none of these, and cannot be trained; else empty.
    """

    name: str
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    foreign: str = ""


class DataTable(NamedTuple):
    """The columns of a file. Of an .npz file: the columns of X, and as `targets` those of T.

    `meaning` is what an .npz file in a store says of its outputs.
    """

    columns: tuple[DataColumn, ...]
    targets: tuple[DataColumn, ...] = ()
    meaning: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns."""
        return len(self.columns[0].values), len(self.columns) + len(self.targets)

    @property
    def nbytes(self) -> int:
        """The bytes that the values take, of texts once for all that are the same."""
        parts = [column.values for column in (*self.columns, *self.targets)]
        return sum(part.nbytes for part in parts) + sum(
            sum(map(sys.getsizeof, {*part})) for part in parts if part.dtype == object
        )


def rows_of(mask: NDArray[np.bool_]) -> str:
    """Name the rows where a mask is true, counted from 1.

    Such as `row 3`, `rows 3 and 7`, `rows 3, 7, 9 and 12 more`.
    """
    rows = np.flatnonzero(mask)
    names = [*(f"{row + 1}" for row in rows[:3]), f"{len(rows) - 3:,} more"]
    return f"row{'s' * (len(rows) > 1)} {and_(names if len(rows) > 3 else names[:-1])}"


def check_size(rows: int, columns: int) -> None:
    """Raise TableError if a table of so many rows and columns is too large, or has no rows."""
    size = f"{rows:,} rows × {columns:,} columns"
    for too_many, allowed in (
        (columns > MAX_COLUMNS, f"at most {MAX_COLUMNS:,} columns; it has {columns:,}"),
        (columns < 1, "one or more columns; it has none"),
        (rows < 1, "one or more rows; it has none"),
        (rows > MAX_ROWS, f"at most {MAX_ROWS:,} rows; it has {rows:,}"),
        (rows * columns > MAX_VALUES, f"at most {MAX_VALUES:,} values; it has {size}"),
    ):
        if too_many:
            raise TableError(allowed)


def columns_of(frame: pd.DataFrame, names: Sequence[str]) -> tuple[DataColumn, ...]:
    """Convert the columns of a data frame, and give them these names."""
    return tuple(column_of(name, frame.iloc[:, i]) for i, name in enumerate(names))


def column_of(name: str, values: pd.Series[Any]) -> DataColumn:
    """Convert a column to integers, floats or flags, or to text without spaces around it."""
    import pandas as pd

    missing = values.isna().to_numpy(bool)
    if values.dtype.kind in "biuf":
        dtype = {"f": "f8", "b": "bool", "i": "i8", "u": "u8"}[values.dtype.kind]
        with np.errstate(over="ignore"):  # floats of more than 64 bits become infinite
            return DataColumn(name, values.to_numpy(dtype, na_value=0), missing)
    objects = values.astype(object).to_numpy()
    kind = pd.api.types.infer_dtype(objects[~missing], skipna=False)
    types: dict[str, type] = {
        "decimal": float, "floating": float, "empty": float, "integer": np.int64, "boolean": bool
    }  # fmt: skip
    if kind in types:
        numbers: NDArray[Any] = np.zeros(len(values), types[kind])
        numbers[~missing] = objects[~missing]
        return DataColumn(name, numbers, missing)
    strip = lru_cache(None)(str.strip)  # a long text in many rows is kept once
    texts = ["" if gone else strip(str(v)) for v, gone in zip(objects, missing, strict=True)]
    missing = np.array([not text for text in texts])
    return DataColumn(name, np.array(texts, object), missing)


def check_names(names: Sequence[str]) -> None:
    """Raise TableError if columns have no names, the same name, or very long ones."""
    wrong, size = [], len(",".join(names).encode(errors="replace"))
    if size > MAX_NAMES:
        wrong.append(f"names of at most {MAX_NAMES:,} bytes; all together have {size:,}")
    for position, name in enumerate(names, 1):
        if "\0" in name:  # which NumPy drops from the end of a text
            wrong.append(f"names without null bytes; column {position:,} is {shown(name)}")
        if _PANDAS_INDEX.fullmatch(name):
            called = f"is called {shown(name)}" if name else "has none"
            if name or position == 1:
                called += " (an index? pandas leaves it out with index=False)"
            wrong.append(f"a name for every column; column {position:,} {called}")
    wrong += [
        f"columns with different names; {shown(name)} occurs {count:,} times"
        for name, count in Counter(names).items()
        if count > 1 and not _PANDAS_INDEX.fullmatch(name)
    ]
    if wrong:
        raise TableError(*wrong)
