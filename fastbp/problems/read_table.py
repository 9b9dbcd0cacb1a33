"""Read a table from a .csv, .parquet or .npz file, and say what is wrong with it.

Mistakes are raised as `TableError`, which says what is allowed and what the file has. Damaged bytes
make pandas, Arrow, NumPy and zipfile raise errors of many other kinds.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.problems import MAX_ROWS
from fastbp.problems.problem import MAX_COLUMNS, Names, numbered
from fastbp.schema.errors import TableError
from fastbp.schema.keys import MAX_WORD
from fastbp.schema.text import and_, bad_byte, plain, shown
from fastbp.store.npz import MAX_BYTES, read_arrays
from fastbp.store.parquet_pages import unpacked

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_NAMES = MAX_WORD // 2  # those of targets together are a word in files of runs
MAX_FOOTER, MAX_VALUES = 8_000_000, 2**24
"""The most bytes of a Parquet footer, as of 10,000 columns from pandas, and values: 128 MB."""

_Check = Callable[[int, int], None]
NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE
)
_TYPES = re.compile(
    r"(dictionary<values=)?((?P<text>string|large_string|string_view)|"
    r"u?int\d+|halffloat|float|double|decimal\d+\(\d+, -?\d+\)|bool|null)(, indices=.*)?"
)
"""Matches the Arrow types that columns may have: text, numbers, flags, and only nulls."""

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
        (rows < 1, "one or more rows; it has none"),
        (rows > MAX_ROWS, f"at most {MAX_ROWS:,} rows; it has {rows:,}"),
        (rows * columns > MAX_VALUES, f"at most {MAX_VALUES:,} values; it has {size}"),
    ):
        if too_many:
            raise TableError(allowed)


# From bytes to columns


def first_record(lines: Iterable[str]) -> list[str]:
    """The values in the first line of a .csv that is not empty, without spaces around them."""
    return [name.strip() for name in next((record for record in csv.reader(lines) if record), [])]


def csv_frame(
    source: TextIO,
    names: Sequence[str],
    *,
    header: bool = True,
    rows: int | None = None,
) -> pd.DataFrame:
    """Read a .csv into a data frame, in which only empty cells are missing.

    Parameters
    ----------
    source
        The file; it is read from its start.
    names
        The names of its columns.
    header
        Whether its first line has names, and is skipped.
    rows
        The most rows to read; by default all.
    """
    import pandas as pd

    source.seek(0)
    records = (record for record in csv.reader(source) if record)
    row = next(islice(records, int(header), None), [])
    if len(row) > len(names):  # pandas would take the first columns for an index
        raise pd.errors.ParserError("the first row has more values than the first line")
    source.seek(0)
    # pandas 3.1 deprecates float_precision, since this precision is now its default
    with warnings.catch_warnings(action="ignore"):
        return pd.read_csv(
            source,
            header=0 if header else None,
            names=list(names),
            nrows=rows,
            float_precision="round_trip",
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            dtype_backend="numpy_nullable",
        )


def _csv(raw: bytes) -> DataTable:
    _check_encoding(raw)
    text = io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig", newline="")
    names = first_record(text)
    check_size(1, len(names))
    _check_header(names)
    _check_names(names)
    check_rows(text, names)
    frame = csv_frame(text, names, rows=MAX_ROWS + 1)
    more = raw.count(b"\n") - 1 if len(frame) > MAX_ROWS else 0
    check_size(max(len(frame), more), len(names))
    return DataTable(tuple(map(_numbers_of_text, columns_of(frame, names))))


def _check_encoding(raw: bytes) -> None:
    """Raise TableError if the bytes of a .csv are not UTF-8."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableError("UTF-8 text; it is UTF-16")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise TableError(f"UTF-8 text; it has {bad_byte(error)}") from None


def _check_header(names: list[str]) -> None:
    """Raise TableError if the first line of a .csv does not have the names of columns."""
    if not names:
        raise TableError("one or more rows; it is empty")
    mark = next((mark for mark in ";\t|" if mark in names[0]), "")
    if len(names) == 1 and mark:
        raise TableError(
            f"columns with commas between them; the first line has {shown(mark)}: {shown(names[0])}"
        )
    if all(map(NUMBER.fullmatch, names)):
        raise TableError(
            "a first line with the names of the columns; it has only numbers: "
            f"{shown(','.join(names))}"
        )


def check_rows(text: TextIO, names: list[str]) -> None:
    """Raise TableError if rows of a .csv have more or fewer values than the first line.

    pandas fills up rows that are too short, and takes a quote that is never closed for one value.
    """
    text.seek(0)
    records = (record for record in csv.reader(text) if record)
    next(records)
    wrong = (
        (row, record)
        for row, record in enumerate(islice(records, MAX_ROWS), 1)
        if len(record) != len(names) or any("\n" in value for value in record)
    )
    for row, record in wrong:
        for name, value in zip(names, record, strict=False):
            if "\n" in value:
                raise TableError(
                    f"quotes that are closed in the same line; {shown(name)} has a line break in "
                    f"row {row}"
                )
        count = 1 + sum(1 for _ in wrong)
        more = f" (the first of {count:,})" if count > 1 else ""
        values = f"{len(names):,} value{'s' * (len(names) > 1)}"
        raise TableError(
            f"{values} in every row, as in the first line; row {row:,} has {len(record):,}: "
            f"{shown(','.join(record).rstrip())}{more}"
        )


def _parquet(raw: bytes) -> DataTable:
    frame = parquet_frame(raw, MAX_BYTES)
    return DataTable(columns_of(frame, list(frame.columns)))


def parquet_frame(raw: bytes, most: int, check: _Check = check_size) -> pd.DataFrame:
    """Read a Parquet file of numbers, true and false, and text; an index may have times, too.

    `most`: the most bytes that it may have, unpacked: of its pages, and a hundred for each decimal
    and 64 for each different text; and of its values, eight for each. `check` gets the numbers of
    its rows and columns first. Names of columns are without spaces around them. Raises TableError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fastbp.store.load import as_nullable

    size, values, dictionaries, distinct = unpacked(raw, MAX_FOOTER)
    file = pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True)
    check(file.metadata.num_rows, file.metadata.num_columns)
    schema = file.schema_arrow
    types = {field.name: _TYPES.fullmatch(str(field.type)) for field in schema}
    texts = [name for name, match in types.items() if match and match["text"]]
    # pandas makes an object of each decimal and of each text, one of all copies in a dictionary
    decimals = sum(pa.types.is_decimal(field.type) for field in schema)
    size += 100 * decimals * file.metadata.num_rows + 64 * sum(distinct[name] for name in texts)
    if (size := max(size, 8 * values)) > most:
        raise TableError(f"at most {most:,} bytes, unpacked; it has {size:,}")
    told = schema.pandas_metadata
    if told is not None and not (
        isinstance(told, dict)
        and all(isinstance(told.get(name), list) for name in ("index_columns", "columns"))
    ):
        raise TableError("a readable .parquet file; what it says about pandas is damaged")
    index = {name for name in told["index_columns"] if isinstance(name, str)} if told else set()
    fields = [i for i, field in enumerate(schema) if field.name not in index]
    foreign = [
        field
        for field in schema
        if not types[field.name] and not (field.name in index and _is_small(field.type))
    ]
    if foreign:  # a small file may hold any amount of lists or bytes, even if they are never used
        more = f" (the first of {len(foreign):,})" if len(foreign) > 1 else ""
        raise TableError(
            f"numbers, true and false, and text; {shown(foreign[0].name)} is "
            f"{plain(str(foreign[0].type))}{more}"
        )
    names = [schema[i].name.strip() for i in fields]
    _check_names(names)
    # all copies of a long word together may be a thousand times the file
    kept = [name for name in texts if name in dictionaries]
    source = pa.BufferReader(raw)
    file = pq.ParquetFile(source, page_checksum_verification=True, read_dictionary=kept)
    rows = file.read(use_threads=False).select(fields)
    return as_nullable(rows).set_axis(names, axis="columns")


def _is_small(kind: pa.DataType) -> bool:
    """Whether values of a type have a few bytes each, as times, periods and intervals have."""
    import pyarrow as pa

    kind = getattr(kind, "storage_type", kind)
    fields = (kind.field(i).type for i in range(kind.num_fields))
    return pa.types.is_primitive(kind) or (pa.types.is_struct(kind) and all(map(_is_small, fields)))


def npz_table(raw: bytes, reals: Sequence[str] = ()) -> DataTable:
    """Read an .npz file. `reals`, and the errors raised: as of `read_arrays`."""
    return table_of(read_arrays(raw, ("X", "T"), (*Names._fields, "meaning"), reals=reals))


def table_of(arrays: Mapping[str, NDArray[Any]]) -> DataTable:
    """Make a table of arrays X and T, and names of their columns if there are any.

    Raises TableError if their shapes do not fit.
    """
    import pandas as pd

    X, T = arrays["X"], arrays["T"]
    T = T[:, None] if T.ndim == 1 else T
    if X.ndim != 2 or T.ndim != 2 or len(X) != len(T) or 0 in (X.shape[1], T.shape[1]):
        sizes = " and ".join(
            f"{name} {'×'.join(map(str, a.shape)) or 'a single value'}"
            for name, a in (("X", X), ("T", T))
        )
        raise TableError(
            f"X [row, input] and T [row, output] with the same number of rows; it has {sizes}"
        )
    check_size(len(X), X.shape[1] + T.shape[1])
    parts = []
    usual = numbered(X.shape[1], T.shape[1])
    for key, part in (("inputs", X), ("outputs", T)):
        names: Sequence[str] = getattr(usual, key)
        given = arrays.get(key)
        if given is not None and given.shape == (len(names),) and given.dtype.kind == "U":
            names = given.tolist()
        if part.dtype.kind in "biufU":
            parts.append(columns_of(pd.DataFrame(part), names))
        else:
            none = np.zeros(len(part), bool)
            parts.append(tuple(DataColumn(name, none, none, str(part.dtype)) for name in names))
    _check_names([column.name for part in parts for column in part][: X.shape[1]])
    return DataTable(parts[0], parts[1], str(arrays.get("meaning", "")))


def columns_of(frame: pd.DataFrame, names: Sequence[str]) -> tuple[DataColumn, ...]:
    """Convert the columns of a data frame, and give them these names."""
    return tuple(_column(name, frame.iloc[:, i]) for i, name in enumerate(names))


def _column(name: str, values: pd.Series[Any]) -> DataColumn:
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
    stripped: dict[str, str] = {}  # a long text in many rows is kept once
    texts = [
        "" if gone else stripped.setdefault(text := str(value), text.strip())
        for value, gone in zip(objects, missing, strict=True)
    ]
    missing = np.array([not text for text in texts])
    return DataColumn(name, np.array(texts, object), missing)


def _numbers_of_text(column: DataColumn) -> DataColumn:
    """Convert numbers that pandas leaves as text, such as integers of 20 digits, to floats."""
    values, there = column.values, ~column.missing
    if values.dtype != object or not all(map(NUMBER.fullmatch, values[there])):
        return column
    numbers = np.zeros(len(values))
    numbers[there] = [float(value) for value in values[there]]
    return column._replace(values=numbers)


def _check_names(names: Sequence[str]) -> None:
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


DECODERS: dict[str, Callable[[bytes], DataTable]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".npz": npz_table,
}
"""Functions that make a table from the bytes of a file, by the extension of its name."""
