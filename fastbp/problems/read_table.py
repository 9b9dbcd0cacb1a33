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
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.problems import MAX_ROWS
from fastbp.problems.problem import Names, numbered
from fastbp.problems.table_columns import (
    NUMBER,
    DataColumn,
    DataTable,
    check_names,
    check_size,
    columns_of,
)
from fastbp.schema.errors import TableError
from fastbp.schema.text import bad_byte, plain, shown
from fastbp.store.npz import MAX_BYTES, read_arrays
from fastbp.store.parquet_pages import longest, opened, unpacked

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_FOOTER, MAX_TEXT, MAX_WIDTH = 8_000_000, 10_000, 32
"""The most bytes of a Parquet footer, as of 10,000 columns from pandas; of a text in such a file,
which may be that of all rows; and of a number, as of decimals of 76 digits."""

_Check = Callable[[int, int], None]
_TYPES = re.compile(
    r"(?P<text>string|dictionary<values=string, .*>)|"
    r"u?int\d+|halffloat|float|double|decimal\d+\(\d+, -?\d+\)|bool|null"
)
"""Matches the types of `opened` that columns may have: text, numbers, flags, and only nulls."""


def first_record(lines: Iterable[str]) -> list[str]:
    """The values in the first line of a .csv that is not empty, without spaces around them."""
    return [name.strip() for name in next(filter(None, csv.reader(lines)), [])]


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
    row = next(islice(filter(None, csv.reader(source)), int(header), None), [])
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
    text = io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig")
    names = first_record(text)
    _check_header(names)
    check_size(1, len(names))
    check_names(names)
    check_rows(text, names)
    frame = csv_frame(text, names, rows=MAX_ROWS + 1)
    check_size(max(len(frame), raw.count(b"\n") - 1 if len(frame) > MAX_ROWS else 0), len(names))
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


def _numbers_of_text(column: DataColumn) -> DataColumn:
    """Convert numbers that pandas leaves as text, such as integers of 20 digits, to floats."""
    values, there = column.values, ~column.missing
    if values.dtype != object or not all(map(NUMBER.fullmatch, values[there])):
        return column
    numbers = np.zeros(len(values))
    numbers[there] = [float(value) for value in values[there]]
    return column._replace(values=numbers)


def check_rows(text: TextIO, names: list[str]) -> None:
    """Raise TableError if rows of a .csv have more or fewer values than the first line.

    pandas fills up rows that are too short, and takes a quote that is never closed for one value.
    """
    text.seek(0)
    records = filter(None, csv.reader(text))
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

    `most`: the most bytes that it may take: those of its pages, unpacked, or eight for each value;
    and a hundred for each decimal, 32 for each text, and 64 and three times its bytes for each that
    differs. `check` gets the numbers of its rows and columns first. Names of columns are without
    spaces around them. Raises TableError.
    """
    import pyarrow as pa

    from fastbp.store.load import as_nullable

    size, values, distinct, sizes = unpacked(raw, MAX_FOOTER)
    file = opened(raw)
    check(file.metadata.num_rows, file.metadata.num_columns)
    schema = file.schema_arrow
    types = [_TYPES.fullmatch(str(field.type)) for field in schema]
    texts = [f.name for f, match in zip(schema, types, strict=True) if match and match["text"]]
    # pandas makes an object of each decimal and of each text, one of all copies in a dictionary;
    # each character may take four bytes, and lists of the objects four times eight
    size = max(size, 8 * values) + sum(3 * sizes[name] + 64 * distinct[name] for name in texts)
    size += file.metadata.num_rows * (
        100 * sum(map(pa.types.is_decimal, schema.types)) + 32 * len(texts)
    )
    if size > most:
        raise TableError(f"at most {most:,} bytes, unpacked; it has {size:,}")
    fields = _fields(schema, types)
    names = [schema[i].name.strip() for i in fields]
    check_names(names)
    _check_leaves([*map(file.schema.column, range(len(file.schema)))], {*texts})
    rows = file.read(use_threads=False)
    _check_texts(rows, texts)
    check(rows.num_rows, len(fields))
    return as_nullable(rows.select(fields)).set_axis(names, axis="columns")


def _fields(schema: pa.Schema, types: Sequence[re.Match[str] | None]) -> list[int]:
    """The positions of columns that are no index. `types`: what `_TYPES` finds in their types.

    Raises TableError if columns have other types.
    """
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
        for field, match in zip(schema, types, strict=True)
        if not match and not (field.name in index and _is_small(field.type))
    ]
    if foreign:  # a small file may hold any amount of lists or bytes, even if they are never used
        more = f" (the first of {len(foreign):,})" if len(foreign) > 1 else ""
        raise TableError(
            f"numbers, true and false, and text; {shown(foreign[0].name)} is "
            f"{plain(str(foreign[0].type).removeprefix('dictionary<values='))}{more}"
        )
    return fields


def _check_leaves(leaves: Sequence[pq.ColumnSchema], texts: Set[str]) -> None:
    """Raise TableError for wide values, or columns that share a path, by which Arrow finds them.

    Of bytes that are no text Arrow makes a copy for each row, before it finds that they are no
    number.
    """
    for path, count in Counter(leaf.path for leaf in leaves).most_common(1):
        if count > 1:
            raise TableError(f"columns with different names; {shown(path)} occurs {count:,} times")
    for leaf in leaves:
        if leaf.length > MAX_WIDTH or (
            leaf.physical_type == "BYTE_ARRAY" and leaf.path not in texts
        ):
            raise TableError(
                f"numbers of {MAX_WIDTH} bytes or less; {shown(leaf.path)} may have longer ones"
            )


def _check_texts(rows: pa.Table, texts: Sequence[str]) -> None:
    """Raise TableError for a text that is too long."""
    for name in texts:
        if (size := longest(rows[name])) > MAX_TEXT:
            raise TableError(f"text of at most {MAX_TEXT:,} bytes; {shown(name)} has {size:,}")


def _is_small(kind: pa.DataType) -> bool:
    """Whether values of a type have a few bytes each, as times, periods and intervals have."""
    import pyarrow as pa

    return pa.types.is_primitive(kind) or (
        pa.types.is_struct(kind)
        and all(_is_small(kind.field(i).type) for i in range(kind.num_fields))
    )


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
    parts, usual = [], numbered(X.shape[1], T.shape[1])
    for key, part in (("inputs", X), ("outputs", T)):
        names: Sequence[str] = getattr(usual, key)
        given = arrays.get(key)
        if given is not None and given.shape == (len(names),) and given.dtype.kind == "U":
            names = given.tolist()
        # NumPy's own texts are all as long as the longest
        if part.dtype.kind in "biufU" or {type(value) for value in part.flat} == {str}:
            parts.append(columns_of(pd.DataFrame(part), names))
        else:
            none = np.zeros(len(part), bool)
            parts.append(tuple(DataColumn(name, none, none, str(part.dtype)) for name in names))
    check_names([column.name for part in parts for column in part][: X.shape[1]])
    return DataTable(parts[0], parts[1], str(arrays.get("meaning", "")))


DECODERS: dict[str, Callable[[bytes], DataTable]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".npz": npz_table,
}
"""Functions that make a table from the bytes of a file, by the extension of its name."""
