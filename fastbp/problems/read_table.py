"""From the bytes of a .csv, .parquet or .npz to columns of numbers, flags and text, and what is
wrong with bytes that are none.

Everything here raises `UnfitError`, what is allowed and what was there instead; over damaged bytes
Arrow, NumPy and zipfile raise errors of their own.
"""

import io
import math
import os
import re
import stat
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fastbp.choices.problems import MAX_ROWS
from fastbp.problems.problem import Names, numbered
from fastbp.schema.errors import SweepError
from fastbp.schema.text import named, nearest, plain, shown

MAX_COLUMNS = 10_000
MAX_VALUES = 2**24  # 128 MB of inputs, and as much of targets
MAX_BYTES = 300_000_000
"""Of a file, and of one array or all columns in it where they are packed."""

MISSING = ("", "#n/a", "n/a", "na", "nan", "-nan", "null", "none", "<na>")
"""What stands for no value in a .csv, in any case: about what pandas takes for it."""

NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE
)
_INTEGER = r"[+-]?\d{1,18}"


class Column(NamedTuple):
    """One column: values (numbers, flags or text as objects; of no use where missing), or the type
    that can be none of these.
    """

    name: str
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    foreign: str = ""


class Table(NamedTuple):
    """A file as it was read: its columns, and the targets where it says itself which they are."""

    columns: tuple[Column, ...]
    targets: tuple[Column, ...] = ()


class UnfitError(Exception):
    """Bytes that are no table to train on; as a string, what is allowed and what they are."""


def rows_of(mask: NDArray[np.bool_]) -> str:
    """`row 3`, `rows 3 and 7`, `rows 3, 7, 9 and 12 more`."""
    numbers = [f"{row + 1}" for row in np.flatnonzero(mask)[:3]]
    more = int(mask.sum()) - len(numbers)
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    last = f"{more:,} more" if more else numbers.pop()
    return f"rows {', '.join(numbers)} and {last}"


def _sized(rows: int, columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise UnfitError(f"at most {MAX_COLUMNS:,} columns; it has {columns:,}")
    if rows < 1:
        raise UnfitError("one or more rows; it has none")
    if rows > MAX_ROWS:
        raise UnfitError(f"at most {MAX_ROWS:,} rows; it has {rows:,}")
    if rows * columns > MAX_VALUES:
        raise UnfitError(
            f"at most {MAX_VALUES:,} values; it has {rows:,} rows × {columns:,} columns"
        )


def _csv(raw: bytes) -> Table:
    import pyarrow as pa
    from pyarrow import csv

    header = _header(raw)
    _sized(1, len(header))
    ragged: list[str] = []

    def unlike(row: Any) -> str:
        ragged.append(
            f"row {row.number - 1:,} has {row.actual_columns:,}: {shown(row.text.rstrip())}"
        )
        return "skip"

    keys = [
        f"f{i}" for i in range(len(header))
    ]  # as Arrow names them, all text: what they are is decided below, on all rows
    try:
        found = csv.read_csv(
            pa.BufferReader(raw + b"\n"),
            read_options=csv.ReadOptions(
                use_threads=False, block_size=len(raw) + 2, autogenerate_column_names=True
            ),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=unlike),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(keys, pa.string())),
        )
        texts = [found.column(key) for key in keys]
    except pa.ArrowInvalid:  # no row is left
        if not ragged:
            raise
    if ragged:
        first = f" (the first of {len(ragged):,})" if len(ragged) > 1 else ""
        values = f"{len(header):,} value{'s' if len(header) > 1 else ''}"
        raise UnfitError(f"{values} in every row, as in the first line; {ragged[0]}{first}")
    _sized(found.num_rows - 1, len(header))
    return Table(
        tuple(_of_text(name, column.slice(1)) for name, column in zip(header, texts, strict=True))
    )


def _header(raw: bytes) -> list[str]:
    """The names in the first line of a .csv."""
    import csv

    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnfitError("UTF-8 text; it is UTF-16")
    try:
        lines = io.StringIO(raw.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnfitError(
            f"UTF-8 text; byte 0x{raw[error.start]:02x} in line {line} is none"
        ) from None
    header = [name.strip() for name in next((record for record in csv.reader(lines) if record), [])]
    if not header:
        raise UnfitError("one or more rows; it is empty")
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), "")):
        raise UnfitError(
            f"columns with commas between them; the first line has {shown(other)}: {shown(header[0])}"
        )
    if all(map(NUMBER.fullmatch, header)):
        raise UnfitError(
            f"a first line with the names of the columns; it has only numbers: {shown(','.join(header))}"
        )
    return header


def _of_text(name: str, texts: Any) -> Column:
    """A column of a .csv: integers, else numbers, else true and false, else text; by all values
    that are there.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def are(texts: Any, pattern: str) -> Any:
        return pc.match_substring_regex(texts, f"^({pattern})$", ignore_case=True)

    def all_are(pattern: str) -> bool:
        return pc.all(are(there, pattern), min_count=0).as_py() is True

    texts = pc.utf8_trim_whitespace(texts)
    missing = are(texts, "|".join(map(re.escape, MISSING)))
    there = texts.filter(pc.invert(missing))
    missing = missing.to_numpy()
    if all_are(NUMBER.pattern):
        kind: type[np.generic] = np.int64 if all_are(_INTEGER) else np.float64
        try:
            known = there.cast(pa.from_numpy_dtype(kind)).to_numpy()
        except (
            pa.ArrowInvalid
        ):  # such as +1: float() says the same as Arrow, both round right, and knows more spellings
            known = [float(text) for text in there.to_pylist()]
    elif all_are("true|false"):
        kind, known = np.bool_, pc.equal(pc.utf8_lower(there), "true").to_numpy()
    else:
        values = np.array(texts.to_pylist(), object)
        if (
            broken := np.array(["\n" in text for text in values])
        ).any():  # a quote that is never closed swallows what follows
            raise UnfitError(
                f"quotes that are closed in the same line; {shown(name)} has a line break in {rows_of(broken)}"
            )
        return Column(name, values, missing)
    values = np.zeros(len(missing), kind)
    values[~missing] = known
    return Column(name, values, missing)


def _parquet(raw: bytes) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def opened(**options: Any) -> Any:
        return pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True, **options)

    file = opened()
    told, schema = file.metadata, file.schema_arrow
    _sized(told.num_rows, told.num_columns)
    # Not by column: over damaged bytes Arrow looks at one of them without a net, and takes Python
    # down with it.
    if (
        size := sum(told.row_group(i).total_byte_size for i in range(told.num_row_groups))
    ) > MAX_BYTES:
        raise UnfitError(f"at most {MAX_BYTES:,} bytes, unpacked; it has {size:,}")
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    kept = [field for field in schema if field.name not in index]
    foreign = [
        field
        for field in kept
        if not _is_text(_kind(field.type)) and not _is_number(_kind(field.type))
    ]
    if foreign:  # and of what is never used, lists or bytes, a small file may hold any amount
        more = f" (the first of {len(foreign):,})" if len(foreign) > 1 else ""
        raise UnfitError(
            f"numbers, true and false, and text; {shown(foreign[0].name)} is {plain(str(foreign[0].type))}{more}"
        )
    # A word that is there many times is read once: all of them together may be a thousand times the
    # file.
    words = [field.name for field in kept if _is_text(_kind(field.type))]
    names = None if len(kept) == len(schema) else list(dict.fromkeys(field.name for field in kept))
    table = opened(read_dictionary=words).read(names)
    return Table(tuple(map(_of_arrow, map(str.strip, table.column_names), table.columns)))


def _kind(kind: Any) -> Any:
    """The type of single values."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: Any) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _is_number(kind: Any) -> bool:
    """Whether a type is one of numbers, or of flags or of nothing at all."""
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
    return any(test(kind) for test in tests)


def _of_arrow(name: str, values: Any) -> Column:
    import pyarrow as pa

    kind = _kind(values.type)
    if _is_text(kind):
        parts = []
        for part in values.chunks:
            words = np.array([*(word.strip() for word in part.dictionary.to_pylist()), ""], object)
            parts.append(words[part.indices.fill_null(len(words) - 1).to_numpy()])
        return Column(name, np.concatenate(parts), values.is_null().to_numpy())
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        kind = pa.float64()
    values = values.cast(kind)
    missing = values.is_null(nan_is_null=True).to_numpy()
    if pa.types.is_null(kind):
        return Column(name, np.zeros(len(missing)), missing)
    return Column(
        name, values.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(), missing
    )


def _npz(raw: bytes) -> Table:
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise UnfitError("what numpy.savez writes; it is no .npz file")
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        held = {name.removesuffix(".npy"): name for name in archive.namelist()}
        if lacking := [name for name in ("X", "T") if name not in held]:
            others = f"; it has {plain(', '.join(held))}" if held else ""
            raise UnfitError(f"arrays X and T; there is no {' and no '.join(lacking)}{others}")
        X, T = (_array(archive, held[name]) for name in ("X", "T"))
        given = [_array(archive, held[name]) if name in held else None for name in Names._fields]
    T = T[:, None] if T.ndim == 1 else T
    if X.ndim != 2 or T.ndim != 2 or len(X) != len(T) or 0 in (X.shape[1], T.shape[1]):
        sizes = " and ".join(
            f"{name} {'×'.join(map(str, a.shape)) or 'a single value'}"
            for name, a in (("X", X), ("T", T))
        )
        raise UnfitError(f"X [row, input] and T [row, output] with as many rows; it has {sizes}")
    _sized(len(X), X.shape[1] + T.shape[1])
    names = [
        tuple(map(str, own.tolist()))
        if own is not None and own.shape == (len(usual),) and own.dtype.kind == "U"
        else usual
        for own, usual in zip(given, numbered(X.shape[1], T.shape[1]), strict=True)
    ]
    return Table(
        *(tuple(map(_of_array, own, part.T)) for own, part in zip(names, (X, T), strict=True))
    )


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """An array of an .npz. What it says of its size is seen to before room is made for it: that may
    be far more than the file.
    """
    with archive.open(name) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 2, whose headers are read like all others
        try:
            read = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[
                npy.read_magic(file)[0]
            ]
            shape, _, dtype = read(file)
            size = math.prod(shape) * dtype.itemsize
        except zipfile.BadZipFile:
            raise
        except Exception:  # whatever a header that is no Python makes its parser raise
            raise UnfitError(f"a sound .npz file; {shown(name)} is no array") from None
    if not 0 <= size <= MAX_BYTES:
        raise UnfitError(f"arrays of at most {MAX_BYTES:,} bytes; {shown(name)} has {shown(size)}")
    with archive.open(name) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def _of_array(name: str, values: NDArray[Any]) -> Column:
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # of more than 64 bits: found as infinite below
            values = values.astype(np.float64, copy=False)
    elif values.dtype.kind == "U":
        values = np.array([text.strip() for text in values.tolist()], object)
    elif values.dtype.kind not in "biuf":
        return Column(name, np.zeros(len(values)), missing, str(values.dtype))
    return Column(name, values, missing)


DECODERS: dict[str, Callable[[bytes], Table]] = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}


_PANDAS_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")


# Where files are

_Stamp = tuple[int, int, int]
"""Times of change, of what a file holds and of what is said about it, and size."""


def located(written: str, folder: str) -> str:
    """The absolute path of a file that is written relative to a folder; links are followed, save
    the file's own.

    Raises ValueError where that can be no path.
    """
    try:
        if not written or "\0" in written:
            raise ValueError
        path = os.path.join(folder, os.path.expanduser(written))
        found = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        found.encode()
        return found
    except (ValueError, OSError):  # no text, or seen from a current folder that is gone
        raise ValueError(f"given {shown('file:' + written)}, allowed: file:PATH") from None


def relative(path: str, folder: str | os.PathLike[str]) -> str:
    """A path as it is written in a file in `folder`, such that `located` finds it again; absolute
    where there is no way.
    """
    try:
        return os.path.relpath(path, os.path.realpath(folder)).replace(os.sep, "/")
    except ValueError:  # another drive
        return path


def check(path: str) -> None:
    """Read a file, if that is still to be done. Raises SweepError with what is wrong with it,
    whatever its target columns are.
    """
    _table(path, _stamp(path))


def _stamp(path: str) -> _Stamp:
    """The state that a file is in. Raises SweepError where there is none that could be read."""
    name = os.path.basename(path)
    if _extension(path) not in DECODERS:
        raise _refused(path, f"files that end in {', '.join(DECODERS)}")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        folder = os.path.dirname(path)
        try:
            with os.scandir(folder) as entries:
                others = [
                    entry.name
                    for entry in islice(entries, 1000)
                    if _extension(entry.name) in DECODERS
                ]
        except OSError:
            others = []
        raise _refused(
            path, f"a file that is there; there is no {named(path)}{nearest(name, others)}"
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(found.st_mode):
        raise _refused(path, f"a file; {named(path)} is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, f"a file; {named(path)} is a device or a pipe")
    if found.st_size > MAX_BYTES:
        raise _refused(path, f"at most {MAX_BYTES:,} bytes; it has {found.st_size:,}")
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _refused(path: str, *allowed: str) -> SweepError:
    given = f"given {shown('file:' + os.path.basename(path))}, allowed: "
    return SweepError(given + each for each in allowed)


def _unreadable(path: str, error: OSError) -> SweepError:
    return _refused(
        path,
        f"a file that can be read; {named(path)}: {plain(error.strerror or type(error).__name__)}",
    )


# From bytes to columns


@lru_cache(maxsize=1024)
def _table(path: str, stamp: _Stamp) -> Table:
    """The columns of a file in this state. Raises SweepError."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        table = DECODERS[_extension(path)](raw)
    except UnfitError as error:
        raise _refused(path, str(error)) from None
    except Exception as error:  # over damaged bytes Arrow, NumPy and zipfile raise a dozen kinds
        said = plain((str(error).splitlines() or [type(error).__name__])[0], 120)
        raise _refused(path, f"a sound {_extension(path)} file; {said}") from None
    wrong = list(_wrong_names([column.name for column in table.columns]))
    if wrong:
        raise _refused(path, *wrong)
    return table


def _wrong_names(names: list[str]) -> Iterator[str]:
    for position, name in enumerate(names, 1):
        if _PANDAS_INDEX.fullmatch(name):
            called = f"is called {shown(name)}" if name else "has none"
            hint = (
                " (an index? pandas leaves it out with index=False)"
                if name or position == 1
                else ""
            )
            yield f"a name for every column; column {position:,} {called}{hint}"
    for name, count in Counter(names).items():
        if count > 1 and not _PANDAS_INDEX.fullmatch(name):
            yield f"columns with different names; {shown(name)} is there {count:,} times"
