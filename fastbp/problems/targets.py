"""Problems in files: make inputs and targets of the columns of a table.

`check` reads a file and reports mistakes that do not depend on the targets: it does not exist, is
not a table, is too large. `read` knows the target columns and reports mistakes in the columns.
Tables are cached by path, times of change and size. Messages are "given …, allowed: …".
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from fastbp.problems.problem import (
    MAX_HELD_OUT,
    Group,
    Kept,
    Meaning,
    Names,
    ProblemData,
    guessed,
    problem,
)
from fastbp.problems.read_table import DECODERS, npz_table, table_of
from fastbp.problems.table_columns import MAX_VALUES, NUMBER, DataColumn, DataTable, rows_of
from fastbp.problems.table_files import (
    Stamp,
    current_stamp,
    extension,
    refused,
    stamp_of,
    unreadable,
)
from fastbp.schema.errors import (
    SweepError,
    TableError,
    UnsafeFileError,
    raise_memory_error,
    unread,
)
from fastbp.schema.text import first_line, nearest, plain, shown
from fastbp.store import safe_files
from fastbp.store.npz import MAX_BYTES, MAX_NUMBER, check_numbers, check_units

MAX_LINES = 10  # about one file
MAX_CLASSES = 1024  # as many outputs as the largest encoder
MAX_LETTERS = 4_000_000
"""The most characters that the names and classes of a problem may have, so that its file in a store
stays below `MAX_BYTES`."""

_FEWER_LETTERS = (
    f"names and classes of at most {MAX_LETTERS:,} characters, each name as long as the longest"
)

FEW_CLASSES = 20
"""With `target_kind = "auto"`, integers with more different values are a quantity."""

_MEANING = TypeAdapter(Meaning)


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
        key = path, current_stamp(path), targets, kind
        return _PROBLEMS.get(key, lambda: _problem(*key))
    except SweepError as error:
        return tuple(Mistake("problem", line) for line in error.lines)


def stored(path: str | os.PathLike[str]) -> ProblemData:
    """Read the file `problems/DIGEST.npz` of a store.

    Raises
    ------
    ValueError
        If it does not have the digest, or says what cannot be of its outputs. FileError if it
        cannot be read, so that nobody knows.
    """
    file = Path(path)
    try:
        with safe_files.opened(file, file.parent.parent) as source:
            stamp = stamp_of(str(file), os.fstat(source.fileno()))
            # of `..` behind a link only the system knows where it leads
            return _STORED.get(
                (file.absolute(), stamp),
                lambda: stored_from(str(file), safe_files.whole(source, stamp[2])),
            )
    except UnsafeFileError as error:
        raise unreadable(str(file), error) from None
    except OSError as error:
        raise unread(file, error) from None


_STORED: Kept[ProblemData] = Kept(lambda made: made.nbytes)


def stored_from(path: str, raw: bytes) -> ProblemData:
    """Make the problem of a file of a store from its bytes. Raises ValueError as `stored`."""
    table = _decoded(path, raw, partial(npz_table, reals=("X", "T")))
    try:
        result = _made(table.columns, table.targets, "quantity", MAX_HELD_OUT)
        text, (rows, outputs) = table.meaning, result.values.T.shape
        meaning = _MEANING.validate_json(text) if text else guessed(result.values.T)
        check_units(meaning.units)
        check_numbers(*(part[: rows - meaning.test_rows] for part in result.values))
    except TableError as error:
        raise refused(path, *error.args) from None
    file = ProblemData(result.values, result.names, meaning, trained=True)
    if (
        sum(group.size for group in meaning.groups) > outputs  # before it takes long to list them
        or len(file.quantities) != outputs - sum(group.size for group in meaning.groups)
        or len(meaning.units) not in (0, outputs)
        or not 0 <= meaning.test_rows < rows
        or f"{file.digest}.npz" != os.path.basename(path)
    ):
        raise refused(path, "data of the digest in its name, with meanings of outputs that it has")
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


def check(path: str) -> tuple[int, int]:
    """Read a file, unless it is cached: the numbers of rows and columns of its table.

    Raises SweepError if it is missing or not a table.
    """
    stamp = current_stamp(path)
    return _CHECKED.get((path, stamp), lambda: _table(path, stamp).shape)


_CHECKED: Kept[tuple[int, int]] = Kept(lambda _: 0)


def _table(path: str, stamp: Stamp) -> DataTable:
    """The columns of a file, read or kept. Raises SweepError."""
    found = _TABLES.get((path, stamp), lambda: _read(path, stamp))
    if isinstance(found, SweepError):
        raise SweepError(found.lines)
    return found


_TABLES = Kept[DataTable | SweepError](lambda x: x.nbytes if isinstance(x, DataTable) else 0)


def _read(path: str, stamp: Stamp) -> DataTable | SweepError:
    """Read the columns of a file, or say why they are no table. Raises SweepError if it cannot."""
    try:
        raw = safe_files.named_file(path, min(stamp[2], MAX_BYTES))
    except OSError as error:
        raise_memory_error(error)
        raise unreadable(path, error) from None
    try:
        return _decoded(path, raw, DECODERS[extension(path)])
    except SweepError as error:
        return error


def _decoded(path: str, raw: bytes, decode: Callable[[bytes], DataTable]) -> DataTable:
    """Decode the columns of a file from its bytes. Raises SweepError."""
    try:
        return decode(raw)
    except TableError as error:
        raise refused(path, *error.args) from None
    except Exception as error:  # over damaged bytes pandas, Arrow and zipfile raise a dozen kinds
        raise_memory_error(error)
        if isinstance(error, ImportError) or getattr(error, "errno", None):
            raise  # it is about a package, not about these bytes
        raise refused(path, f"a readable {extension(path)} file; {first_line(error)}") from None


class Target(NamedTuple):
    """A target column as output units: their names, their values [row, unit], and its classes.

    `labels` are as in `Group`; empty for a quantity.
    """

    names: list[str]
    values: NDArray[Any]
    labels: tuple[str, ...]


_PROBLEMS: Kept[ProblemData | tuple[Mistake, ...]] = Kept(
    lambda made: made.nbytes if isinstance(made, ProblemData) else 0
)


def _problem(
    path: str, stamp: Stamp, targets: tuple[str, ...] | None, kind: str
) -> ProblemData | tuple[Mistake, ...]:
    """Make the problem of a file, or list mistakes in its columns. Raises SweepError."""
    table = _table(path, stamp)
    if wrong := _wrong_targets(table, targets, plain(os.path.basename(path))):
        return tuple(wrong)
    columns = {column.name: column for column in table.columns}
    chosen = table.targets or tuple(columns.pop(name) for name in targets or ())
    try:
        return _made([*columns.values()], chosen, kind)
    except TableError as error:
        return tuple(Mistake("problem", line) for line in refused(path, *error.args).lines)


def _made(
    inputs: Sequence[DataColumn],
    chosen: Sequence[DataColumn],
    kind: str,
    most: float = MAX_NUMBER,
) -> ProblemData:
    """Make the problem of columns. Raises TableError with all mistakes in them.

    If every target has two classes, and in every row exactly one of them has the second, then
    together they are one target with a class for each.
    """
    texts = [text for column in (*inputs, *chosen) for text in _wrong_values(column)]
    texts += [
        text for column in inputs for text in _wrong_numbers(column, "columns but targets", most)
    ]
    targets: list[Target] = []
    rows, outputs = len(inputs[0].values), 0
    for column in chosen:
        try:
            targets.append(_target(column, kind, most))
            outputs += len(targets[-1].names)
        except TableError as error:
            texts.append(str(error))
        if (size := rows * outputs) > MAX_VALUES:  # all may take memory for thousands more columns
            texts.append(f"at most {MAX_VALUES:,} target values; it has {size:,} or more")
            break
    names = tuple(name for each in targets for name in each.names)
    own = tuple(column.name for column in inputs)
    letters = 6 * sum(len(label) for target in targets for label in target.labels)
    letters += sum(len(each) * max(map(len, each), default=0) for each in (own, names))
    if letters > MAX_LETTERS:
        texts.append(f"{_FEWER_LETTERS}; they have {letters:,}")
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
    return ProblemData(problem(X, T), Names(own, names), Meaning(groups))


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
        chosen, there = dict.fromkeys(targets), {*names}
        wrong = [target for target in chosen if target not in there]
        texts = [
            f"given {shown(target)}, allowed: {columns}{nearest(target, names)}"
            for target in wrong[:MAX_LINES]
        ]
        if more := len(wrong[MAX_LINES:]):
            texts.append(f"given {more:,} more like these, allowed: {columns}")
        texts += [f"{given}each column once"] * (len(chosen) < len(targets))
        if there <= chosen.keys():
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


def _wrong_numbers(column: DataColumn, where: str, most: float) -> Iterator[str]:
    values, there = column.values, ~column.missing
    if values.dtype.kind == "O" and there.any():
        is_number = lru_cache(None)(NUMBER.fullmatch)  # a long text may be that of all rows
        words = there & np.array([not is_number(text) for text in values])
        words = words if words.any() else there  # numbers that are kept as text
        yield (
            f"numbers, true and false in all {where}; {shown(column.name)} has text "
            f"in {_first(values, words)}"
        )
    elif values.dtype.kind == "f" and (large := there & ~(np.abs(values) <= most)).any():
        yield (
            f"numbers from {-most:g} to {most:g}; {shown(column.name)} is outside "
            f"in {_first(values, large)}"
        )


def _target(column: DataColumn, kind: str, most: float) -> Target:
    """Make the output units of a target column; `kind` is the key `target_kind`.

    A quantity makes one unit. So do two classes: it is 1 for the second in sorted order. More
    classes make one unit each. Raises TableError.
    """
    name, values, there = column.name, column.values, ~column.missing
    if kind == "quantity" or (kind == "auto" and _is_quantity(values)):
        for text in _wrong_numbers(column, 'targets with target_kind = "quantity"', most):
            raise TableError(text)
        # a column that has no value at all is refused as text or numbers alike
        return Target([name], np.where(there, values, np.nan).astype(np.float64), ())
    if values.dtype.kind == "f":
        broken = there & ~((np.floor(values) == values) & (np.abs(values) < 2**53))
        if broken.any():
            raise TableError(
                f"integers, true and false, and text as classes; {shown(name)} is none of these in "
                f"{_first(values, broken)}"
            )
        values = values.astype(np.int64)
    known = values.tolist()
    classes = sorted({*known})  # not all rows: long texts take long to compare
    if {*classes} <= {0, 1}:
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
    labels = tuple(map(str, classes))
    if (size := len(labels) * (len(name) + max(map(len, labels)))) > MAX_LETTERS:
        raise TableError(f"{_FEWER_LETTERS}; those of {shown(name)} have {size:,}")
    if len(labels) == 1:
        return Target([name], np.zeros(len(values)), labels)
    units = range(1 if len(labels) == 2 else 0, len(labels))
    place = {each: code for code, each in enumerate(classes)}
    codes = np.array([*map(place.__getitem__, known)])[:, None]
    return Target([f"{name}={labels[u]}" for u in units], codes == np.array(units), labels)


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
