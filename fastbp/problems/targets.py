"""Problems in files: make inputs and targets of the columns of a table.

`read` knows the target columns, and reports all mistakes in the columns. Messages have the form
"given …, allowed: …".
"""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from fastbp.choices.problems import MAX_ROWS
from fastbp.problems.problem import (
    Group,
    Meaning,
    Names,
    ProblemData,
    guessed,
    numbered,
    problem,
)
from fastbp.problems.read_table import MAX_VALUES, NUMBER, DataColumn, DataTable, rows_of
from fastbp.problems.table_file import Stamp, refused, stamp_of, table_at
from fastbp.schema.errors import SweepError, TableError
from fastbp.schema.text import nearest, plain, shown

MAX_LINES = 10  # about one file
MAX_CLASSES = 1024  # as many outputs as the largest encoder
MAX_NUMBER = 1e30  # finite in float32, and its square in float64

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
        return _problem(path, stamp_of(path), targets, kind)
    except SweepError as error:
        return tuple(Mistake("problem", line) for line in error.lines)


def stored(path: str | os.PathLike[str]) -> ProblemData:
    """Read the file `problems/DIGEST.npz` of a store.

    Raises
    ------
    ValueError
        If it cannot be read, or says what cannot be of its outputs.
    """
    path = os.path.abspath(path)
    result = read(path, None, "quantity")
    if not isinstance(result, ProblemData):
        raise SweepError([mistake.text for mistake in result])
    text, (rows, outputs) = table_at(path, stamp_of(path)).meaning, result.values.T.shape
    meaning = _MEANING.validate_json(text) if text else guessed(result.values.T)
    file = ProblemData(result.values, result.names, meaning, trained=True)
    in_groups = sum(group.size for group in meaning.groups)
    if (
        len(file.quantities) != outputs - in_groups
        or len(meaning.units) not in (0, outputs)
        or not 0 <= meaning.test_rows < rows
    ):
        raise SweepError([f"{plain(os.path.basename(path))}: what it says of its outputs is wrong"])
    return file


def from_arrays(X: Any, T: Any, lines: list[str], kind: str = "auto") -> ProblemData | None:
    """Make a problem from X [row, input] and T [row, output] or [row].

    Returns None, and adds a message to `lines` for each mistake, if they are invalid. `kind`: the
    key `target_kind` of the setup.
    """
    pair = [
        _matrix("X: given", X, "[row, input]", lines),
        _matrix("T: given", T, "[row, output] or [row]", lines),
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
    given = np.asarray(T)
    given = given.reshape(pair[1].shape) if given.dtype.kind in "biu" else pair[1]
    names, none = numbered(pair[0].shape[1], given.shape[1]), np.zeros(len(given), bool)
    try:
        outputs = [
            _target(DataColumn(name, column, none), kind)
            for name, column in zip(names.outputs, given.T, strict=True)
        ]
    except TableError as error:
        lines.append(f"T: allowed: {error}")
        return None
    return _made(pair[0], names.inputs, outputs)


def _matrix(start: str, given: Any, needed: str, lines: list[str]) -> Any:
    """Convert numbers to a float64 array [row, column], and check them.

    `needed`: the shape in words. For a mistake a message that begins with `start` is added to
    `lines`.
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
    missing = np.array([not np.isfinite(row).all() for row in values])
    if missing.any():
        lines.append(f"{start} no number in {rows_of(missing)}, allowed: finite numbers")
    elif np.abs(values).max() > MAX_NUMBER:
        ends = f"{values.min():.4g} to {values.max():.4g}"
        limits = f"{-MAX_NUMBER:g} to {MAX_NUMBER:g}"
        lines.append(f"{start} numbers from {ends}, allowed: from {limits}")
    return values


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
    path: str, stamp: Stamp, targets: tuple[str, ...] | None, kind: str
) -> ProblemData | tuple[Mistake, ...]:
    """Make the problem of a file, or list mistakes in its columns. Raises SweepError."""
    table = table_at(path, stamp)
    if wrong := _wrong_targets(table, targets, plain(os.path.basename(path))):
        return tuple(wrong)
    columns = {column.name: column for column in table.columns}
    chosen = table.targets or tuple(columns.pop(name) for name in targets or ())
    inputs = list(columns.values())
    texts = [text for column in (*inputs, *chosen) for text in _wrong_values(column)]
    texts += [text for column in inputs for text in _wrong_numbers(column, "columns but targets")]
    outputs: list[Target] = []
    for column in chosen:
        try:
            outputs.append(_target(column, kind))
        except TableError as error:
            texts.append(str(error))
    rows, units = len(inputs[0].values), sum(len(each.names) for each in outputs)
    if rows * units > MAX_VALUES:
        texts.append(
            f"at most {MAX_VALUES:,} target values; it has {rows:,} rows × {units:,} outputs"
        )
    if texts:
        if (more := len(texts) - MAX_LINES + 1) > 1:
            texts[MAX_LINES - 1 :] = [f"no mistakes; there are {more:,} more like these"]
        return tuple(Mistake("problem", line) for line in refused(path, *texts).lines)
    X = np.column_stack([column.values.astype(np.float64) for column in inputs])
    return _made(X, tuple(column.name for column in inputs), outputs)


def _made(
    X: NDArray[np.float64], inputs: tuple[str, ...], targets: Sequence[Target]
) -> ProblemData:
    """Make the problem of inputs, their names, and targets.

    If every target has two classes, and in every row exactly one of them has the second, then
    together they are one target with a class for each.
    """
    T = np.column_stack([target.values for target in targets])
    names = tuple(name for target in targets for name in target.names)
    first = np.cumsum([0, *(len(target.names) for target in targets)]).tolist()
    groups = tuple(
        Group(unit, len(target.names), target.labels)
        for unit, target in zip(first, targets, strict=False)
        if target.labels
    )
    if 1 < len(groups) == len(names) and (T.sum(axis=1) == 1).all():
        groups = (Group(0, len(names), names),)
    return ProblemData(problem(X, T), Names(inputs, names), Meaning(groups))


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
        where = f"{shown(column.name)} has none in {rows_of(column.missing)}"
        yield f"a value in every row; {where} (drop or fill such rows)"


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
        truth = ("false", "true") if values.dtype == bool else ("0", "1")
        return Target([name], values.astype(bool), truth)
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

    Floats that are all 0 or 1 are classes: .npz files and arrays often have them as floats.
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
