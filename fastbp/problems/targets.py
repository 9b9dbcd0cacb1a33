"""Problems in files: a table of the user's as .csv, .parquet or .npz, read and checked.

A file is read in two steps. `check` reads it and finds what is wrong with it as a file: not there,
not a table, too large. `read` then knows the target columns and finds what is wrong in the columns.
What was read is kept, by path, times of change and size, so that each file is read once a process.
Mistakes are told as the rest of a line, "given …, allowed: …".
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.problems import MAX_ROWS
from fastbp.problems.problem import Names, Problem, numbered, problem
from fastbp.problems.read_table import (
    MAX_VALUES,
    NUMBER,
    Column,
    Table,
    UnfitError,
    _refused,
    _Stamp,
    _stamp,
    _table,
    rows_of,
)
from fastbp.schema.errors import SweepError
from fastbp.schema.text import nearest, plain, shown

MAX_LINES = 10  # about one file
MAX_CLASSES = 1024  # as many outputs as the largest encoder
LARGEST = 1e30  # finite in float32, and its square in float64


@dataclass(frozen=True, eq=False)
class FileProblem:
    """What a file holds: inputs and targets before scaling and margin, or with them where it comes
    out of a store (`trained`).

    It stays what it was when it was read, whatever becomes of the file; two are equal where what
    they hold is.
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


def read(path: str, targets: tuple[str, ...] | None) -> FileProblem | tuple[Mistake, ...]:
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


def from_arrays(X: Any, T: Any, lines: list[str]) -> FileProblem | None:
    """A problem in memory. What is wrong with it is added to `lines`."""
    arrays: dict[str, NDArray[np.float64]] = {}
    for name, given, needed in (("X", X, "[row, input]"), ("T", T, "[row, output] or [row]")):
        try:
            values = np.asarray(given)
            arrays[name] = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            lines.append(f"{name}: given {shown(given)}, allowed: numbers, {needed}")
            continue
        if name == "T" and values.ndim == 1:
            arrays[name] = arrays[name][:, None]
        if arrays[name].ndim != 2 or not arrays[name].size:
            lines.append(f"{name}: given an array of shape {values.shape}, allowed: {needed}")
            del arrays[name]
            continue
        missing = np.array([not np.isfinite(row).all() for row in arrays[name]])
        if missing.any():
            lines.append(f"{name}: given no number in {rows_of(missing)}, allowed: finite numbers")
        elif name == "X" and np.abs(arrays[name]).max() > LARGEST:
            lines.append(
                f"X: given numbers up to {np.abs(arrays[name]).max():.3g}, allowed: up to {LARGEST:g}"
            )
        elif name == "T" and (arrays[name].min() < 0 or arrays[name].max() > 1):
            ends = f"{arrays[name].min():.4g} to {arrays[name].max():.4g}"
            lines.append(f"T: given numbers from {ends}, allowed: from 0 to 1, as sigmoids answer")
    if len(arrays) == 2 and len(arrays["X"]) != len(arrays["T"]):
        lines.append(
            f"X and T: given {len(arrays['X']):,} and {len(arrays['T']):,} rows, allowed: as many rows"
        )
    elif len(arrays) == 2 and len(arrays["X"]) > MAX_ROWS:
        lines.append(f"X: given {len(arrays['X']):,} rows, allowed: at most {MAX_ROWS:,}")
    if lines or len(arrays) < 2:
        return None
    return FileProblem(
        problem(arrays["X"], arrays["T"]), numbered(arrays["X"].shape[1], arrays["T"].shape[1])
    )


# From columns to inputs and targets


@lru_cache(maxsize=1024)
def _problem(
    path: str, stamp: _Stamp, targets: tuple[str, ...] | None
) -> FileProblem | tuple[Mistake, ...]:
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
        except UnfitError as error:
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
    X = np.empty((rows, len(inputs)))
    for i, column in enumerate(inputs):
        X[:, i] = column.values
    T = np.column_stack([values for _, values in outputs])
    return FileProblem(
        problem(X, T),
        Names(tuple(column.name for column in inputs), tuple(name for name, _ in outputs)),
    )


def _wrong_targets(table: Table, targets: Sequence[str] | None, name: str) -> Iterator[Mistake]:
    names = [column.name for column in table.columns]
    columns = f"columns of {name}: {plain(', '.join(names), 200)}"
    if table.targets:
        if targets is not None:
            yield Mistake(
                "targets",
                f"given {shown(targets)}, allowed: only with columns; {name} holds its targets as T",
            )
        return
    if targets is None:
        yield Mistake("targets", f"not given, allowed: one or more {columns}")
        return
    for target in dict.fromkeys(targets):
        if target not in names:
            yield Mistake(
                "targets", f"given {shown(target)}, allowed: {columns}{nearest(target, names)}"
            )
    if len(set(targets)) < len(targets):
        yield Mistake("targets", f"given {shown(targets)}, allowed: each column once")
    if set(names) <= set(targets):
        yield Mistake(
            "targets",
            f"given {shown(targets)}, allowed: not all {columns}; the others are the inputs",
        )


def _wrong_values(column: Column) -> Iterator[str]:
    if column.foreign:
        yield f"numbers, true and false, and text; {shown(column.name)} is {plain(column.foreign)}"
    elif column.missing.any():
        yield f"a value in every row; {shown(column.name)} has none in {rows_of(column.missing)}"


def _wrong_inputs(column: Column) -> Iterator[str]:
    values, there = column.values, ~column.missing
    if values.dtype.kind == "O" and there.any():
        words = there & np.array([not NUMBER.fullmatch(text) for text in values])
        words = words if words.any() else there  # numbers that are kept as text
        yield f"numbers, true and false in all columns but targets; {shown(column.name)} has text in {_first(values, words)}"
    elif values.dtype.kind == "f" and (large := there & ~(np.abs(values) <= LARGEST)).any():
        yield f"numbers from {-LARGEST:g} to {LARGEST:g}; {shown(column.name)} is past that in {_first(values, large)}"


def _outputs(column: Column) -> list[tuple[str, NDArray[np.float64]]]:
    """The output units that a target column makes, each with its name. Raises UnfitError."""
    name, values, there = column.name, column.values, ~column.missing
    if values.dtype.kind == "f":
        outside = there & ~((values >= 0) & (values <= 1))
        if outside.any():
            whole = (
                bool((np.floor(values[there]) == values[there]).all())
                and np.abs(values[there]).max() < 2**53
            )
            hint = " (classes are integers, without a decimal point, or text)" if whole else ""
            raise UnfitError(
                f"targets from 0 to 1; {shown(name)} is outside in {_first(values, outside)}{hint}"
            )
        return [(name, values)]
    classes, codes = np.unique(values, return_inverse=True)
    if set(classes.tolist()) <= {0, 1}:
        return [(name, values.astype(np.float64))]
    if len(classes) > MAX_CLASSES:
        hint = "a quantity has a decimal point, and lies from 0 to 1"
        raise UnfitError(
            f"at most {MAX_CLASSES:,} classes; {shown(name)} has {len(classes):,} ({hint})"
        )
    if len(classes) == 1:
        return [(name, np.zeros(len(values)))]
    shown_classes = list(enumerate(classes.tolist()))[1 if len(classes) == 2 else 0 :]
    return [
        (f"{name}={label}", (codes == code).astype(np.float64)) for code, label in shown_classes
    ]


def _first(values: NDArray[Any], mask: NDArray[np.bool_]) -> str:
    """Where values are, and the first of them: `rows 3 and 7, such as 'abc'`."""
    such = ", such as" if mask.sum() > 1 else ":"
    return f"{rows_of(mask)}{such} {shown(values[np.argmax(mask)])}"
