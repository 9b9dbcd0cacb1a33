"""Problems in files: make inputs and targets of the columns of a table.

`check` reads a file and reports mistakes that do not depend on the targets: it does not exist, is
not a table, is too large. `read` knows the target columns and reports mistakes in the columns.
Tables are cached by path, times of change and size, so a process reads each file once. Messages
have the form "given …, allowed: …".
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from fastbp.problems.problem import (
    Group,
    Meaning,
    Names,
    ProblemData,
    guessed,
    problem,
)
from fastbp.problems.read_table import (
    DECODERS,
    MAX_VALUES,
    NUMBER,
    DataColumn,
    DataTable,
    rows_of,
    table_of,
)
from fastbp.schema.errors import SweepError, TableError, UnsafeFileError, raise_memory_error
from fastbp.schema.text import first_line, named, nearest, plain, shown
from fastbp.store import safe_files
from fastbp.store.npz import MAX_BYTES

MAX_LINES = 10  # about one file
MAX_CLASSES = 1024  # as many outputs as the largest encoder
MAX_NUMBER = 1e30  # finite in float32, and its square in float64

FEW_CLASSES = 20
"""With `target_kind = "auto"`, integers with more different values are a quantity."""

_MEANING = TypeAdapter(Meaning)

_Stamp = tuple[int, int, int]
"""The times when a file's content and metadata changed, in ns, and its size in bytes."""


class Mistake(NamedTuple):
    """One mistake: the key whose value is wrong, and the message about it."""

    key: str
    text: str


def read(
    path: str, targets: tuple[str, ...] | None, kind: str = "auto"
) -> ProblemData | tuple[Mistake, ...]:
    """Read the problem in a file, or return all mistakes in it.

    Parameters
    ----------
    path
        The file.
    targets
        The names of the target columns; None for an .npz file, which has them as T.
    kind
        The key `target_kind` of the setup.
    """
    try:
        return _problem(path, _stamp(path), targets, kind)
    except SweepError as error:
        return tuple(Mistake("problem", line) for line in error.lines)


def stored(path: str | os.PathLike[str]) -> ProblemData:
    """Read the file `problems/DIGEST.npz` of a store.

    Raises
    ------
    ValueError
        If it cannot be read, does not have the digest, or says what cannot be of its outputs.
    """
    path = os.path.abspath(path)
    try:
        with safe_files.opened(Path(path), Path(path).parents[1]):
            return _stored(path, _stamp(path))
    except (OSError, UnsafeFileError) as error:
        raise _unreadable(path, error) from None


@lru_cache(maxsize=1024)
def _stored(path: str, stamp: _Stamp) -> ProblemData:
    """Read a problem of a store as `stored` does; `stamp` is there for the cache."""
    result = read(path, None, "quantity")
    if not isinstance(result, ProblemData):
        raise SweepError([mistake.text for mistake in result])
    text, (rows, outputs) = _table(path, stamp).meaning, result.values.T.shape
    meaning = _MEANING.validate_json(text) if text else guessed(result.values.T)
    file = ProblemData(result.values, result.names, meaning, trained=True)
    if (
        len(file.quantities) != outputs - sum(group.size for group in meaning.groups)
        or len(meaning.units) not in (0, outputs)
        or not 0 <= meaning.test_rows < rows
        or f"{file.digest}.npz" != os.path.basename(path)
    ):
        raise _refused(path, "data of the digest in its name, with meanings of outputs that it has")
    return file


def from_arrays(X: Any, T: Any, lines: list[str], kind: str = "auto") -> ProblemData | None:
    """Make a problem from X [row, input] and T [row, output] or [row].

    Returns None, and adds a message to `lines` for each mistake, if they are invalid. `kind`: the
    key `target_kind` of the setup.
    """
    try:
        table = table_of({"X": np.asarray(X), "T": np.asarray(T)})
        return _made(table.columns, table.targets, kind)
    except TableError as error:
        lines += [f"X and T: given arrays, allowed: {text}" for text in error.args]
    except ValueError:
        lines.append("X and T: given rows of different lengths, allowed: arrays of numbers")
    return None


# Where files are


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
            others = [e.name for e in islice(entries, 1000) if _extension(e.name) in DECODERS]
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
    """The error about a file, with a line for each text that says what is allowed."""
    return SweepError(
        f"given {shown('file:' + os.path.basename(path))}, allowed: " + each for each in allowed
    )


def _unreadable(path: str, error: OSError | UnsafeFileError) -> SweepError:
    why = getattr(error, "why", None) or getattr(error, "strerror", None) or type(error).__name__
    return _refused(path, f"a file that can be read; {named(path)}: {plain(why)}")


@lru_cache(maxsize=1024)
def _table(path: str, stamp: _Stamp) -> DataTable:
    """Read the columns of a file; `stamp` is there for the cache. Raises SweepError."""
    try:
        with open(path, "rb", opener=safe_files.without_waiting) as file:
            raw = file.read(min(stamp[2], MAX_BYTES))
    except OSError as error:
        raise_memory_error(error)
        raise _unreadable(path, error) from None
    try:
        return DECODERS[_extension(path)](raw)
    except TableError as error:
        raise _refused(path, *error.args) from None
    except Exception as error:  # over damaged bytes pandas, Arrow and zipfile raise a dozen kinds
        raise_memory_error(error)
        raise _refused(path, f"a readable {_extension(path)} file; {first_line(error)}") from None


# From columns to inputs and targets


class Target(NamedTuple):
    """A target column as output units: their names, their values [row, unit], and its classes.

    `labels` are as in `Group`; empty for a quantity.
    """

    names: list[str]
    values: NDArray[Any]
    labels: tuple[str, ...]


@lru_cache(maxsize=1024)
def _problem(
    path: str, stamp: _Stamp, targets: tuple[str, ...] | None, kind: str
) -> ProblemData | tuple[Mistake, ...]:
    """Make the problem of a file, or list mistakes in its targets. Raises SweepError."""
    table = _table(path, stamp)
    if wrong := _wrong_targets(table, targets, plain(os.path.basename(path))):
        return tuple(wrong)
    columns = {column.name: column for column in table.columns}
    chosen = table.targets or tuple(columns.pop(name) for name in targets or ())
    try:
        return _made([*columns.values()], chosen, kind)
    except TableError as error:
        raise _refused(path, *error.args) from None


def _made(inputs: Sequence[DataColumn], chosen: Sequence[DataColumn], kind: str) -> ProblemData:
    """Make the problem of columns. Raises TableError with all mistakes in them.

    If every target has two classes, and in every row exactly one of them has the second, then
    together they are one target with a class for each.
    """
    texts = [text for column in (*inputs, *chosen) for text in _wrong_values(column)]
    texts += [text for column in inputs for text in _wrong_numbers(column, "columns but targets")]
    targets: list[Target] = []
    for column in chosen:
        try:
            targets.append(_target(column, kind))
        except TableError as error:
            texts.append(str(error))
    rows, names = len(inputs[0].values), tuple(name for each in targets for name in each.names)
    if rows * len(names) > MAX_VALUES:
        texts.append(
            f"at most {MAX_VALUES:,} target values; it has {rows:,} rows × {len(names):,} outputs"
        )
    if (more := len(texts) - MAX_LINES + 1) > 1:
        texts[MAX_LINES - 1 :] = [f"no mistakes; there are {more:,} more like these"]
    if texts:
        raise TableError(*texts)
    X = np.column_stack([column.values.astype(np.float64) for column in inputs])
    T = np.column_stack([target.values for target in targets])
    first = np.cumsum([0, *(len(target.names) for target in targets)]).tolist()
    groups = tuple(
        Group(unit, len(target.names), target.labels)
        for unit, target in zip(first, targets, strict=False)
        if target.labels
    )
    if 1 < len(groups) == len(names) and (T.sum(axis=1) == 1).all():
        groups = (Group(0, len(names), names),)
    return ProblemData(
        problem(X, T), Names(tuple(column.name for column in inputs), names), Meaning(groups)
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
        if set(names) <= set(targets):
            texts.append(f"{given}not all {columns}; the others are the inputs")
    return [Mistake("targets", text) for text in texts]


def _wrong_values(column: DataColumn) -> Iterator[str]:
    if column.foreign:
        yield f"numbers, true and false, and text; {shown(column.name)} is {plain(column.foreign)}"
    elif column.missing.any():
        yield (
            f"a value in every row; {shown(column.name)} has none in {rows_of(column.missing)} "
            "(drop or fill such rows)"
        )


def _wrong_numbers(column: DataColumn, where: str) -> Iterator[str]:
    values, there = column.values, ~column.missing
    if values.dtype.kind == "O" and there.any():
        words = there & np.array([not NUMBER.fullmatch(text) for text in values])
        words = words if words.any() else there  # numbers that are kept as text
        yield (
            f"numbers, true and false in all {where}; {shown(column.name)} has text "
            f"in {_first(values, words)}"
        )
    elif values.dtype.kind == "f" and (large := there & ~(np.abs(values) <= MAX_NUMBER)).any():
        yield (
            f"numbers from {-MAX_NUMBER:g} to {MAX_NUMBER:g}; {shown(column.name)} is outside "
            f"in {_first(values, large)}"
        )


def _target(column: DataColumn, kind: str) -> Target:
    """Make the output units of a target column; `kind` is the key `target_kind`.

    A quantity makes one unit. So do two classes: it is 1 for the second in sorted order. More
    classes make one unit each. Raises TableError.
    """
    name, values, there = column.name, column.values, ~column.missing
    if kind == "quantity" or (kind == "auto" and _is_quantity(values)):
        for text in _wrong_numbers(column, 'targets with target_kind = "quantity"'):
            raise TableError(text)
        return Target([name], values.astype(np.float64), ())
    if values.dtype.kind == "f":
        broken = there & ~((np.floor(values) == values) & (np.abs(values) < 2**53))
        if broken.any():
            raise TableError(
                f"integers, true and false, and text as classes; {shown(name)} is none of these in "
                f"{_first(values, broken)}"
            )
        values = values.astype(np.int64)
    classes, codes = np.unique(values, return_inverse=True)
    if set(classes.tolist()) <= {0, 1}:
        return Target(
            [name],
            values.astype(bool),
            ("false", "true") if values.dtype == bool else ("0", "1"),
        )
    if len(classes) > MAX_CLASSES:
        hint = ' (target_kind = "quantity" makes it a quantity)' * (values.dtype != object)
        raise TableError(
            f"at most {MAX_CLASSES:,} classes; {shown(name)} has {len(classes):,}{hint}"
        )
    labels = tuple(map(str, classes.tolist()))
    if len(labels) == 1:
        return Target([name], np.zeros(len(values)), labels)
    units = range(1 if len(labels) == 2 else 0, len(labels))
    return Target([f"{name}={labels[u]}" for u in units], codes[:, None] == np.array(units), labels)


def _is_quantity(values: NDArray[Any]) -> bool:
    """Whether `target_kind = "auto"` takes a column for a quantity.

    Floats that are all 0 or 1 are classes, which .npz files and arrays often store as floats.
    """
    if values.dtype.kind == "f":
        return not np.isin(values, (0, 1)).all()
    if values.dtype.kind not in "iu":
        return False
    counts = np.unique(values, return_counts=True)[1]
    return len(counts) > 2 and bool(len(counts) > FEW_CLASSES or counts.min() < 2)


def _first(values: NDArray[Any], mask: NDArray[np.bool_]) -> str:
    """Say in which rows values are, with the first value: `rows 3 and 7, such as 'abc'`."""
    such = ", such as" if mask.sum() > 1 else ":"
    return f"{rows_of(mask)}{such} {shown(values[np.argmax(mask)])}"
