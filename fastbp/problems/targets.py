"""Problems in files: read the table of a user, and make inputs and targets of its columns.

`check` reads a file and reports mistakes that do not depend on the targets: it does not exist, is
not a table, is too large. `read` knows the target columns and reports mistakes in the columns.
Tables are cached by path, times of change and size, so a process reads each file once. Messages
have the form "given …, allowed: …".
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import compress, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.problems import MAX_ROWS
from fastbp.problems.problem import Names, Problem, numbered, problem
from fastbp.problems.read_table import DECODERS, MAX_VALUES, NUMBER, DataColumn, DataTable, rows_of
from fastbp.schema.errors import SweepError, TableError
from fastbp.schema.text import first_line, named, nearest, plain, shown
from fastbp.store.npz import MAX_BYTES

MAX_LINES = 10  # about one file
MAX_CLASSES = 1024  # as many outputs as the largest encoder
MAX_NUMBER = 1e30  # finite in float32, and its square in float64


@dataclass(frozen=True)
class FileProblem:
    """Inputs and targets of a file at the time when it was read.

    Attributes
    ----------
    values : Problem
        X and T; if `trained`, scaling and margin are already applied.
    names : Names
        Names of their columns.
    trained : bool
        Whether the file is from the folder `problems/` of a store.
    digest : str
        sha256 of `values`, 64 hex digits.
    """

    values: Problem = field(compare=False)
    names: Names
    trained: bool = False
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", self.values.digest)

    @cached_property
    def constant(self) -> tuple[str, ...]:
        """The names of the outputs whose target is the same in every row."""
        return tuple(compress(self.names.outputs, np.ptp(self.values.T, axis=0) == 0))


def arrays(file: FileProblem) -> Problem:
    """Return X and T of a file, as functions of `fastbp.choices.problems` do for theirs."""
    return file.values


class Mistake(NamedTuple):
    """One mistake: the key whose value is wrong, and the message about it."""

    key: str
    text: str


def read(path: str, targets: tuple[str, ...] | None) -> FileProblem | tuple[Mistake, ...]:
    """Read the problem in a file, or return all mistakes in it.

    `targets`: the names of the target columns; None for an .npz file, which has them as T.
    """
    try:
        return _problem(path, _stamp(path), targets)
    except SweepError as error:
        return tuple(Mistake("problem", line) for line in error.lines)


def stored(path: str | os.PathLike[str]) -> FileProblem:
    """Read the file `problems/DIGEST.npz` of a store.

    Its scaling and target margin are already applied. Raises SweepError if it cannot be read.
    """
    result = read(os.path.abspath(path), None)
    if isinstance(result, FileProblem):
        return FileProblem(result.values, result.names, trained=True)
    raise SweepError([mistake.text for mistake in result])


def from_arrays(X: Any, T: Any, lines: list[str]) -> FileProblem | None:
    """Make a problem from X [row, input] and T [row, output] or [row].

    Returns None, and adds a message to `lines` for each mistake, if they are invalid.
    """
    pair = [
        _matrix("X: given", X, "[row, input]", (-MAX_NUMBER, MAX_NUMBER, ""), lines),
        _matrix("T: given", T, "[row, output] or [row]", (0, 1, ", as sigmoids answer"), lines),
    ]
    sizes = [len(part) for part in pair if part is not None]
    if len(set(sizes)) == 2:
        lines.append(
            f"X and T: given {sizes[0]:,} and {sizes[1]:,} rows, allowed: the same number of rows"
        )
    elif len(sizes) == 2 and sizes[0] > MAX_ROWS:
        lines.append(f"X: given {sizes[0]:,} rows, allowed: at most {MAX_ROWS:,}")
    if lines:
        return None
    values = problem(*pair)
    return FileProblem(values, numbered(values.X.shape[1], values.T.shape[1]))


def _matrix(
    start: str, given: Any, needed: str, limits: tuple[float, float, str], lines: list[str]
) -> Any:
    """Convert numbers to a float64 array [row, column], and check them.

    `needed`: the shape in words; `limits`: the smallest and the largest number, and the reason. For
    a mistake a message that begins with `start` is added to `lines`.
    """
    try:
        values = np.asarray(np.asarray(given), np.float64)
    except (TypeError, ValueError):
        lines.append(f"{start} {shown(given)}, allowed: numbers, {needed}")
        return None
    if values.ndim == 1 and needed.endswith("[row]"):
        values = values[:, None]
    if values.ndim != 2 or not values.size:
        lines.append(f"{start} an array of shape {np.shape(given)}, allowed: {needed}")
        return None
    low, high, why = limits
    missing = np.array([not np.isfinite(row).all() for row in values])
    if missing.any():
        lines.append(f"{start} no number in {rows_of(missing)}, allowed: finite numbers")
    elif values.min() < low or values.max() > high:
        ends = f"{values.min():.4g} to {values.max():.4g}"
        lines.append(f"{start} numbers from {ends}, allowed: from {low:g} to {high:g}{why}")
    return values


# Where files are

_Stamp = tuple[int, int, int]
"""The times when a file's content and metadata changed, in ns, and its size in bytes."""


def located(written: str, folder: str) -> str:
    """The absolute path of a problem's file; `written` is relative to `folder`.

    Links to folders are followed; if the file itself is a link, it is not.

    Raises
    ------
    ValueError
        If it cannot be a path.
    """
    try:
        if not written or "\0" in written:
            raise ValueError
        path = os.path.join(folder, os.path.expanduser(written))
        located = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        located.encode()
        return located
    except (ValueError, OSError):  # not text, or the current folder is gone
        raise ValueError(f"given {shown('file:' + written)}, allowed: file:PATH") from None


def relative(path: str, folder: str | os.PathLike[str]) -> str:
    """The path relative to a folder, with `/` between its parts; `located` makes it absolute."""
    try:
        return os.path.relpath(path, os.path.realpath(folder)).replace(os.sep, "/")
    except ValueError:  # another drive
        return path


def check(path: str) -> None:
    """Read a file, unless it is cached. Raises SweepError if it is missing or not a table."""
    _table(path, _stamp(path))


def _stamp(path: str) -> _Stamp:
    """The times of change and the size of a file. Raises SweepError if it cannot be read."""
    name = os.path.basename(path)
    if _extension(path) not in DECODERS:
        raise _refused(path, f"files that end in {', '.join(DECODERS)}")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        others: list[str] = []
        with suppress(OSError), os.scandir(os.path.dirname(path)) as entries:
            names = (entry.name for entry in islice(entries, 1000))
            others = [each for each in names if _extension(each) in DECODERS]
        raise _refused(
            path, f"an existing file; there is no {named(path)}{nearest(name, others)}"
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "device or a pipe"
        raise _refused(path, f"a file; {named(path)} is a {kind}")
    if status.st_size > MAX_BYTES:
        raise _refused(path, f"at most {MAX_BYTES:,} bytes; it has {status.st_size:,}")
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _refused(path: str, *allowed: str) -> SweepError:
    return SweepError(
        f"given {shown('file:' + os.path.basename(path))}, allowed: " + each for each in allowed
    )


def _unreadable(path: str, error: OSError) -> SweepError:
    return _refused(
        path,
        f"a file that can be read; {named(path)}: {plain(error.strerror or type(error).__name__)}",
    )


@lru_cache(maxsize=1024)
def _table(path: str, stamp: _Stamp) -> DataTable:
    """Read the columns of a file; `stamp` is there for the cache. Raises SweepError."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        return DECODERS[_extension(path)](raw)
    except TableError as error:
        raise _refused(path, *error.args) from None
    except Exception as error:  # over damaged bytes pandas, Arrow and zipfile raise a dozen kinds
        raise _refused(path, f"a readable {_extension(path)} file; {first_line(error)}") from None


# From columns to inputs and targets


@lru_cache(maxsize=1024)
def _problem(
    path: str, stamp: _Stamp, targets: tuple[str, ...] | None
) -> FileProblem | tuple[Mistake, ...]:
    """Make the problem of a file, or list mistakes in its columns. Raises SweepError."""
    table = _table(path, stamp)
    if wrong := _wrong_targets(table, targets, plain(os.path.basename(path))):
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
        except TableError as error:
            texts.append(str(error))
    rows = len(inputs[0].values)
    if rows * len(outputs) > MAX_VALUES:
        texts.append(
            f"at most {MAX_VALUES:,} target values; it has {rows:,} rows × {len(outputs):,} outputs"
        )
    if texts:
        if (more := len(texts) - MAX_LINES + 1) > 1:
            texts[MAX_LINES - 1 :] = [f"no mistakes; there are {more:,} more like these"]
        return tuple(Mistake("problem", line) for line in _refused(path, *texts).lines)
    X = np.column_stack([column.values.astype(np.float64) for column in inputs])
    T = np.column_stack([values for _, values in outputs])
    return FileProblem(
        problem(X, T),
        Names(tuple(column.name for column in inputs), tuple(name for name, _ in outputs)),
    )


def _wrong_targets(table: DataTable, targets: Sequence[str] | None, name: str) -> list[Mistake]:
    """List mistakes in the names of target columns. `name`: the file's, for messages."""
    names = [column.name for column in table.columns]
    columns = f"columns of {name}: {plain(', '.join(names), 200)}"
    given = f"given {shown(targets)}, allowed: "
    if table.targets:
        held = f"{given}only with columns; {name} holds its targets as T"
        texts = [held] * (targets is not None)
    elif targets is None:
        texts = [f"not given, allowed: one or more {columns}"]
    else:
        texts = [
            f"given {shown(target)}, allowed: {columns}{nearest(target, names)}"
            for target in dict.fromkeys(targets)
            if target not in names
        ]
        texts += [f"{given}each column once"] * (len(set(targets)) < len(targets))
        rest = f"{given}not all {columns}; the others are the inputs"
        texts += [rest] * (set(names) <= set(targets))
    return [Mistake("targets", text) for text in texts]


def _wrong_values(column: DataColumn) -> Iterator[str]:
    if column.foreign:
        yield f"numbers, true and false, and text; {shown(column.name)} is {plain(column.foreign)}"
    elif column.missing.any():
        yield f"a value in every row; {shown(column.name)} has none in {rows_of(column.missing)}"


def _wrong_inputs(column: DataColumn) -> Iterator[str]:
    values, there = column.values, ~column.missing
    if values.dtype.kind == "O" and there.any():
        words = there & np.array([not NUMBER.fullmatch(text) for text in values])
        words = words if words.any() else there  # numbers that are kept as text
        yield (
            f"numbers, true and false in all columns but targets; {shown(column.name)} has text "
            f"in {_first(values, words)}"
        )
    elif values.dtype.kind == "f" and (large := there & ~(np.abs(values) <= MAX_NUMBER)).any():
        yield (
            f"numbers from {-MAX_NUMBER:g} to {MAX_NUMBER:g}; {shown(column.name)} is outside "
            f"in {_first(values, large)}"
        )


def _outputs(column: DataColumn) -> list[tuple[str, NDArray[np.float64]]]:
    """Make the output units of a target column: the name and targets [row] of each.

    A column of floats, of flags, or of integers 0 and 1 makes one unit. Two other classes make one
    unit, which is 1 for the second; more classes make one unit each. Raises TableError.
    """
    name, values, there = column.name, column.values, ~column.missing
    if values.dtype.kind == "f":
        outside = there & ~((values >= 0) & (values <= 1))
        if outside.any():
            integers = (np.floor(values[there]) == values[there]).all()
            like_classes = integers and np.abs(values[there]).max() < 2**53
            hint = " (classes are integers, without a decimal point, or text)" * bool(like_classes)
            raise TableError(
                f"targets from 0 to 1; {shown(name)} is outside in {_first(values, outside)}{hint}"
            )
        return [(name, values)]
    classes, codes = np.unique(values, return_inverse=True)
    if set(classes.tolist()) <= {0, 1}:
        return [(name, values.astype(np.float64))]
    if len(classes) > MAX_CLASSES:
        hint = "a quantity has a decimal point, and lies from 0 to 1"
        raise TableError(
            f"at most {MAX_CLASSES:,} classes; {shown(name)} has {len(classes):,} ({hint})"
        )
    if len(classes) == 1:
        return [(name, np.zeros(len(values)))]
    shown_classes = list(enumerate(classes.tolist()))[1 if len(classes) == 2 else 0 :]
    return [
        (f"{name}={label}", (codes == code).astype(np.float64)) for code, label in shown_classes
    ]


def _first(values: NDArray[Any], mask: NDArray[np.bool_]) -> str:
    """Say in which rows values are, with the first value: `rows 3 and 7, such as 'abc'`."""
    such = ", such as" if mask.sum() > 1 else ":"
    return f"{rows_of(mask)}{such} {shown(values[np.argmax(mask)])}"
