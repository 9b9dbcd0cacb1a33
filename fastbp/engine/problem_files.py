"""Problems in files: a table of the user's as .csv, .parquet or .npz, read and checked.

A file is read in two steps. `check` reads it and finds what is wrong with it as a file: not there, not a table, too large. `read`
then knows the target columns and finds what is wrong in the columns. What was read is kept, by path, times of change and size, so
that each file is read once a process. Mistakes are told as the rest of a line, "given …, allowed: …".
"""

import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import compress, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.problems import MOST_ROWS
from fastbp.engine.problem import Names, Problem, numbered, problem
from fastbp.engine.reading import SweepError, named, nearest, plain, shown

MOST_BYTES = 300_000_000
MOST_VALUES = 2**24  # 128 MB of inputs, and as much of targets
MOST_LINES = 10  # about one file
MOST_CLASSES = 1024  # as many outputs as the largest encoder
LARGEST = 1e30  # finite in float32, and its square in float64

MISSING = ("", "#n/a", "n/a", "na", "nan", "-nan", "null", "none", "<na>")
"""What stands for no value in a .csv, in any case: about what pandas takes for it."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_INTEGER = r"[+-]?\d{1,18}"
_PANDAS_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")


@dataclass(frozen=True, eq=False)
class FileProblem:
    """What a file holds: inputs and targets before scaling and margin, or with them where it comes out of a store (`trained`).

    It stays what it was when it was read, whatever becomes of the file; two are equal where what they hold is.
    """

    values: Problem
    names: Names
    trained: bool = False
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", self.values.digest)

    @cached_property
    def constant(self) -> tuple[str, ...]:
        """Outputs whose target is the same in every row."""
        return tuple(compress(self.names.outputs, np.ptp(self.values.T, axis=0) == 0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileProblem) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.digest, self.names, self.trained


def arrays(file: FileProblem) -> Problem:
    """X and T of a file, as the functions of `fastbp.choices.problems` return them."""
    return file.values


class Mistake(NamedTuple):
    """One mistake: the key to blame and the rest of the line."""

    key: str
    text: str


class _Column(NamedTuple):
    """One column: values (numbers, flags or text as objects; of no use where missing), or the type that can be none of these."""

    name: str
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    foreign: str = ""


class _Table(NamedTuple):
    """A file as it was read: its columns, and the targets where it says itself which they are."""

    columns: tuple[_Column, ...]
    targets: tuple[_Column, ...] = ()


# Where files are

_Stamp = tuple[int, int, int]
"""Times of change, of what a file holds and of what is said about it, and size."""


def located(written: str, folder: str) -> str:
    """The absolute path of a file that is written relative to a folder; links are followed, save the file's own.

    Raises ValueError where that can be no path.
    """
    try:
        written.encode()
        path = os.path.join(folder, os.path.expanduser(written))
        if not written or "\0" in written:
            raise ValueError
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    except ValueError:
        raise ValueError(f"given {shown('file:' + written)}, allowed: file:PATH") from None


def relative(path: str, folder: str | os.PathLike[str]) -> str:
    """A path as it is written in a file in `folder`, such that `located` finds it again; absolute where there is no way."""
    try:
        return os.path.relpath(path, os.path.realpath(folder)).replace(os.sep, "/")
    except ValueError:  # another drive
        return path


def check(path: str) -> None:
    """Read a file, if that is still to be done. Raises SweepError with what is wrong with it, whatever its target columns are."""
    _table(path, _stamp(path))


def read(path: str, targets: tuple[str, ...] | None) -> "FileProblem | tuple[Mistake, ...]":
    """The problem that a file is with these target columns, or all mistakes in it."""
    try:
        return _problem(path, _stamp(path), targets)
    except SweepError as error:
        return tuple(Mistake("problem", line) for line in error.lines)


def stored(path: str | os.PathLike[str]) -> FileProblem:
    """A problem as it was trained, from `problems/DIGEST.npz` of a store. Raises SweepError."""
    found = read(os.path.abspath(path), None)
    if isinstance(found, FileProblem):
        return FileProblem(found.values, found.names, trained=True)
    raise SweepError([mistake.text for mistake in found])


def _stamp(path: str) -> _Stamp:
    """The state that a file is in. Raises SweepError where there is none that could be read."""
    name = os.path.basename(path)
    if _extension(path) not in _DECODERS:
        raise _refused(path, f"files that end in {', '.join(_DECODERS)}")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        folder = os.path.dirname(path)
        try:
            with os.scandir(folder) as entries:
                others = [entry.name for entry in islice(entries, 1000) if _extension(entry.name) in _DECODERS]
        except OSError:
            others = []
        raise _refused(path, f"a file that is there; there is no {named(path)}{nearest(name, others)}") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(found.st_mode):
        raise _refused(path, f"a file; {named(path)} is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, f"a file; {named(path)} is a device or a pipe")
    if found.st_size > MOST_BYTES:
        raise _refused(path, f"at most {MOST_BYTES:,} bytes; it has {found.st_size:,}")
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _refused(path: str, *allowed: str) -> SweepError:
    given = f"given {shown('file:' + os.path.basename(path))}, allowed: "
    return SweepError(given + each for each in allowed)


def _unreadable(path: str, error: OSError) -> SweepError:
    return _refused(path, f"a file that can be read; {named(path)}: {plain(error.strerror or type(error).__name__)}")


# From bytes to columns


@lru_cache(maxsize=1024)
def _table(path: str, stamp: _Stamp) -> _Table:
    """The columns of a file in this state. Raises SweepError."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        table = _DECODERS[_extension(path)](raw)
    except _UnfitError as error:
        raise _refused(path, str(error)) from None
    except Exception as error:  # over damaged bytes Arrow, NumPy and zipfile raise a dozen kinds
        said = plain((str(error).splitlines() or [type(error).__name__])[0], 120)
        raise _refused(path, f"a sound {_extension(path)} file; {said}") from None
    wrong = list(_wrong_names([column.name for column in table.columns]))
    if wrong:
        raise _refused(path, *wrong)
    return table


class _UnfitError(Exception):
    """Bytes that are no table to train on; as a string, what is allowed and what they are."""


def _sized(rows: int, columns: int) -> None:
    if rows < 1:
        raise _UnfitError("one or more rows; it has none")
    if rows > MOST_ROWS:
        raise _UnfitError(f"at most {MOST_ROWS:,} rows; it has {rows:,}")
    if rows * columns > MOST_VALUES:
        raise _UnfitError(f"at most {MOST_VALUES:,} values; it has {rows:,} rows × {columns:,} columns")


def _wrong_names(names: list[str]) -> Iterator[str]:
    for position, name in enumerate(names, 1):
        if _PANDAS_INDEX.fullmatch(name):
            called = f"is called {shown(name)}" if name else "has none"
            hint = " (an index? pandas leaves it out with index=False)" if name or position == 1 else ""
            yield f"a name for every column; column {position:,} {called}{hint}"
    for name in dict.fromkeys(names):
        if names.count(name) > 1 and not _PANDAS_INDEX.fullmatch(name):
            yield f"columns with different names; {shown(name)} is there {names.count(name)} times"


def _csv(raw: bytes) -> _Table:
    import pyarrow as pa
    from pyarrow import csv

    header = _header(raw)
    ragged: list[str] = []

    def unlike(row: Any) -> str:
        ragged.append(f"row {row.number - 1:,} has {row.actual_columns:,}: {shown(row.text.rstrip())}")
        return "skip"

    keys = [f"f{i}" for i in range(len(header))]  # as Arrow names them, all text: what they are is decided below, on all rows
    try:
        found = csv.read_csv(
            pa.BufferReader(raw + b"\n"),
            read_options=csv.ReadOptions(use_threads=False, block_size=len(raw) + 2, autogenerate_column_names=True),
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
        raise _UnfitError(f"{values} in every row, as in the first line; {ragged[0]}{first}")
    _sized(found.num_rows - 1, len(header))
    return _Table(tuple(_of_text(name, column.slice(1)) for name, column in zip(header, texts, strict=True)))


def _header(raw: bytes) -> list[str]:
    """The names in the first line of a .csv."""
    import csv

    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _UnfitError("UTF-8 text; it is UTF-16")
    try:
        lines = io.StringIO(raw.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _UnfitError(f"UTF-8 text; byte 0x{raw[error.start]:02x} in line {line} is none") from None
    header = [name.strip() for name in next((record for record in csv.reader(lines) if record), [])]
    if not header:
        raise _UnfitError("one or more rows; it is empty")
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), "")):
        raise _UnfitError(f"columns with commas between them; the first line has {shown(other)}: {shown(header[0])}")
    if all(map(_NUMBER.fullmatch, header)):
        raise _UnfitError(f"a first line with the names of the columns; it has only numbers: {shown(','.join(header))}")
    return header


def _of_text(name: str, texts: Any) -> _Column:
    """A column of a .csv: integers, else numbers, else true and false, else text; by all values that are there."""
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
    if all_are(_NUMBER.pattern):
        kind: type[np.generic] = np.int64 if all_are(_INTEGER) else np.float64
        try:
            known = there.cast(pa.from_numpy_dtype(kind)).to_numpy()
        except pa.ArrowInvalid:  # such as +1: float() says the same as Arrow, both round right, and knows more spellings
            known = [float(text) for text in there.to_pylist()]
    elif all_are("true|false"):
        kind, known = np.bool_, pc.equal(pc.utf8_lower(there), "true").to_numpy()
    else:
        values = np.array(texts.to_pylist(), object)
        if (broken := np.array(["\n" in text for text in values])).any():  # a quote that is never closed swallows what follows
            raise _UnfitError(f"quotes that are closed in the same line; {shown(name)} has a line break in {_rows(broken)}")
        return _Column(name, values, missing)
    values = np.zeros(len(missing), kind)
    values[~missing] = known
    return _Column(name, values, missing)


def _parquet(raw: bytes) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True)
    _sized(file.metadata.num_rows, file.metadata.num_columns)
    table = file.read()
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    columns = zip(table.column_names, table.columns, strict=True)
    return _Table(tuple(_of_arrow(name.strip(), column) for name, column in columns if name not in index))


def _of_arrow(name: str, values: Any) -> _Column:
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        kind = pa.float64()
    values = values.cast(kind)
    missing = values.is_null(nan_is_null=True).to_numpy()
    if pa.types.is_null(kind):
        return _Column(name, np.zeros(len(missing)), missing)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _Column(name, values.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(), missing)
    if str(kind) in ("string", "large_string", "string_view"):
        return _Column(name, np.array([(text or "").strip() for text in values.to_pylist()], object), missing)
    return _Column(name, np.zeros(len(missing)), missing, str(kind))


def _npz(raw: bytes) -> _Table:
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise _UnfitError("what numpy.savez writes; it is no .npz file")
    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        held = list(archive.files)
        if lacking := [name for name in ("X", "T") if name not in held]:
            others = f"; it has {plain(', '.join(held))}" if held else ""
            raise _UnfitError(f"arrays X and T; there is no {' and no '.join(lacking)}{others}")
        X, T = archive["X"], archive["T"]
        given = [archive[name] if name in held else None for name in Names._fields]
    T = T[:, None] if T.ndim == 1 else T
    if X.ndim != 2 or T.ndim != 2 or len(X) != len(T) or 0 in (X.shape[1], T.shape[1]):
        sizes = " and ".join(f"{name} {'×'.join(map(str, a.shape)) or 'a single value'}" for name, a in (("X", X), ("T", T)))
        raise _UnfitError(f"X [row, input] and T [row, output] with as many rows; it has {sizes}")
    _sized(len(X), X.shape[1] + T.shape[1])
    names = [
        tuple(map(str, own.tolist())) if own is not None and own.shape == (len(usual),) and own.dtype.kind == "U" else usual
        for own, usual in zip(given, numbered(X.shape[1], T.shape[1]), strict=True)
    ]
    return _Table(*(tuple(map(_of_array, own, part.T)) for own, part in zip(names, (X, T), strict=True)))


def _of_array(name: str, values: NDArray[Any]) -> _Column:
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # of more than 64 bits: found as infinite below
            values = values.astype(np.float64)
    elif values.dtype.kind == "U":
        values = np.array([text.strip() for text in values.tolist()], object)
    elif values.dtype.kind not in "biuf":
        return _Column(name, np.zeros(len(values)), missing, str(values.dtype))
    return _Column(name, values, missing)


_DECODERS: dict[str, Callable[[bytes], _Table]] = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}


# From columns to inputs and targets


@lru_cache(maxsize=1024)
def _problem(path: str, stamp: _Stamp, targets: tuple[str, ...] | None) -> FileProblem | tuple[Mistake, ...]:
    table = _table(path, stamp)
    wrong = list(_wrong_targets(table, targets, plain(os.path.basename(path))))
    if wrong:
        return tuple(wrong)
    columns = {column.name: column for column in table.columns}
    chosen = table.targets or tuple(columns.pop(name) for name in targets or ())
    inputs = list(columns.values())
    texts = [text for column in (*inputs, *chosen) for text in _wrong_values(column)]
    texts += [text for column in inputs for text in _wrong_inputs(column)]
    outputs: list[tuple[str, NDArray[np.float64]]] = []
    for column in chosen:
        try:
            outputs += _outputs(column)
        except _UnfitError as error:
            texts.append(str(error))
    rows = len(inputs[0].values)
    if rows * len(outputs) > MOST_VALUES:
        texts.append(f"at most {MOST_VALUES:,} target values; it has {rows:,} rows × {len(outputs):,} outputs")
    if texts:
        if (more := len(texts) - MOST_LINES + 1) > 1:
            texts[MOST_LINES - 1 :] = [f"no mistakes; there are {more:,} more like these"]
        return tuple(Mistake("problem", line) for line in _refused(path, *texts).lines)
    X = np.column_stack([column.values.astype(np.float64) for column in inputs])
    T = np.column_stack([values for _, values in outputs])
    return FileProblem(problem(X, T), Names(tuple(column.name for column in inputs), tuple(name for name, _ in outputs)))


def _wrong_targets(table: _Table, targets: Sequence[str] | None, name: str) -> Iterator[Mistake]:
    names = [column.name for column in table.columns]
    columns = f"columns of {name}: {plain(', '.join(names), 200)}"
    if table.targets:
        if targets is not None:
            yield Mistake("targets", f"given {shown(targets)}, allowed: only with columns; {name} holds its targets as T")
        return
    if targets is None:
        yield Mistake("targets", f"not given, allowed: one or more {columns}")
        return
    for target in dict.fromkeys(targets):
        if target not in names:
            yield Mistake("targets", f"given {shown(target)}, allowed: {columns}{nearest(target, names)}")
    if len(set(targets)) < len(targets):
        yield Mistake("targets", f"given {shown(targets)}, allowed: each column once")
    if set(names) <= set(targets):
        yield Mistake("targets", f"given {shown(targets)}, allowed: not all {columns}; the others are the inputs")


def _wrong_values(column: _Column) -> Iterator[str]:
    if column.foreign:
        yield f"numbers, true and false, and text; {shown(column.name)} is {column.foreign}"
    elif column.missing.any():
        yield f"a value in every row; {shown(column.name)} has none in {_rows(column.missing)}"


def _wrong_inputs(column: _Column) -> Iterator[str]:
    values, there = column.values, ~column.missing
    if values.dtype.kind == "O":
        words = there & np.array([not _NUMBER.fullmatch(text) for text in values])
        words = words if words.any() else there  # numbers that are kept as text
        yield f"numbers, true and false in all columns but targets; {shown(column.name)} has text in {_first(values, words)}"
    elif values.dtype.kind == "f" and (large := there & ~(np.abs(values) <= LARGEST)).any():
        yield f"numbers from {-LARGEST:g} to {LARGEST:g}; {shown(column.name)} is past that in {_first(values, large)}"


def _outputs(column: _Column) -> list[tuple[str, NDArray[np.float64]]]:
    """The output units that a target column makes, each with its name. Raises _UnfitError."""
    name, values, there = column.name, column.values, ~column.missing
    if values.dtype.kind == "f":
        outside = there & ~((values >= 0) & (values <= 1))
        if outside.any():
            whole = bool((np.floor(values[there]) == values[there]).all()) and np.abs(values[there]).max() < 2**53
            hint = " (classes are integers, without a decimal point, or text)" if whole else ""
            raise _UnfitError(f"targets from 0 to 1; {shown(name)} is outside in {_first(values, outside)}{hint}")
        return [(name, values)]
    classes, codes = np.unique(values, return_inverse=True)
    if set(classes.tolist()) <= {0, 1}:
        return [(name, values.astype(np.float64))]
    if len(classes) > MOST_CLASSES:
        hint = "a quantity has a decimal point, and lies from 0 to 1"
        raise _UnfitError(f"at most {MOST_CLASSES:,} classes; {shown(name)} has {len(classes):,} ({hint})")
    if len(classes) == 1:
        return [(name, np.zeros(len(values)))]
    shown_classes = list(enumerate(classes.tolist()))[1 if len(classes) == 2 else 0 :]
    return [(f"{name}={label}", (codes == code).astype(np.float64)) for code, label in shown_classes]


def _rows(mask: NDArray[np.bool_]) -> str:
    """`row 3`, `rows 3 and 7`, `rows 3, 7, 9 and 12 more`."""
    numbers = [f"{row + 1}" for row in np.flatnonzero(mask)[:3]]
    more = int(mask.sum()) - len(numbers)
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    last = f"{more:,} more" if more else numbers.pop()
    return f"rows {', '.join(numbers)} and {last}"


def _first(values: NDArray[Any], mask: NDArray[np.bool_]) -> str:
    """Where values are, and the first of them: `rows 3 and 7, such as 'abc'`."""
    such = ", such as" if mask.sum() > 1 else ":"
    return f"{_rows(mask)}{such} {shown(values[np.argmax(mask)])}"
