"""Say what is remarkable about data before any training, and what was done to them."""

from collections.abc import Iterator, Sequence
from itertools import compress, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.problems.problem import ProblemData
from fastbp.problems.split import kinds_of_rows
from fastbp.problems.table_columns import NUMBER
from fastbp.problems.targets import FEW_CLASSES
from fastbp.schema.text import and_, first_of, percent, plain, plural, shown

Real = NDArray[np.float64]

IMBALANCED = 0.8
"""Classes are imbalanced if more than this share of the rows have the same."""

FAR, OFF_CENTRE = 10.0, 5.0
"""An input is not scaled if its largest absolute value is above `FAR`; or if that is above 1 and
the mean is more than `OFF_CENTRE` standard deviations from 0. Such inputs saturate units, and no
weights that are learned prevent that."""

MAX_NAMES = 3
"""The most columns or classes that a note names."""


class DataNote(NamedTuple):
    """A note about data.

    Attributes
    ----------
    id : str
        The same for all notes of its kind, such as `imbalanced`.
    text : str
        The note: one sentence without its full stop.
    """

    id: str
    text: str


class OutputRange(NamedTuple):
    """What the output units of a network can answer."""

    name: str
    low: float
    """The smallest and the largest target that they can come near to."""
    high: float
    label_low: float
    """The target of the first of two classes; that of the second is 1."""


def notes(
    file: ProblemData, inputs: Real, scaled: tuple[bool, bool], units: OutputRange
) -> list[DataNote]:
    """List the notes about a problem.

    Parameters
    ----------
    file : ProblemData
        The problem, its rows in the order of the table.
    inputs : float64 array [row, input]
        The inputs as trained.
    scaled : (bool, bool)
        Whether inputs and targets are scaled.
    units : OutputRange
        The output units of the network.
    """
    found = [*_labels(file, units), *_imbalanced(file)]
    if not scaled[0]:
        found += _unscaled(inputs, file.names.inputs)
    if names := list(compress(file.names.inputs, np.ptp(file.values.X, axis=0) == 0)):
        found.append(
            DataNote(
                "constant-column", f"no network learns from {_listed(names)}: the same in every row"
            )
        )
    found += _contradicting_rows(file)
    far = {} if scaled[1] else file.out_of_range(units.low, units.high)
    for name, T in islice(far.items(), 1):
        found.append(
            DataNote(
                "out-of-range-target",
                f"{shown(name)} runs from {T.min():.4g} to {T.max():.4g}, and {units.name} outputs "
                f"only reach {units.low:g} to {units.high:g}: add "
                'scale_targets = "minmax" or output = "linear"',
            )
        )
    if copies := len(inputs) - len(np.bincount(kinds_of_rows(np.column_stack(file.values)))):
        found.append(
            DataNote(
                "duplicated-rows",
                f"{plural(copies, 'row')} repeat{'s' * (copies == 1)} another, inputs and answers "
                "alike",
            )
        )
    return found


def _listed(names: Sequence[str]) -> str:
    """Up to `MAX_NAMES` names of columns or classes, and how many more there are."""
    return and_(first_of([plain(name, 30) for name in names], MAX_NAMES))


def _labels(file: ProblemData, units: OutputRange) -> Iterator[DataNote]:
    """Note which labels became 0 and 1, and which classes became outputs."""
    for first, size, labels in file.meaning.groups:
        unit = file.names.outputs[first]
        column = unit.removesuffix(f"={labels[0 if size > 1 else -1]}")
        numbers = all(map(NUMBER.fullmatch, labels))
        if column == unit:  # 0 and 1 already
            continue
        if size > 1:
            text = f"{size:,} classes of {shown(column)} became an output each: {_listed(labels)}"
        else:
            ends = f"{units.label_low:g}/1"
            if ends == "/".join(labels):
                continue
            text = f"labels {'/'.join(plain(label, 30) for label in labels)} became {ends}"
        out = [label for label in labels if numbers and not units.low <= float(label) <= units.high]
        if size == 1 and out:
            never = max(out, key=lambda label: abs(float(label) - 0.5))
            text += f": a {units.name} output never gives {never}; in your code use {ends}"
        yield DataNote("recoded-labels", text)
        if size > FEW_CLASSES:
            rarest = int(file.values.T[:, first : first + size].sum(axis=0).min())
            text = f"{shown(column)} has {size:,} classes, the rarest in {plural(rarest, 'row')}"
            hint = '; if it is a quantity, use target_kind = "quantity"' * numbers
            yield DataNote("many-classes", text + hint)


def _imbalanced(file: ProblemData) -> Iterator[DataNote]:
    """Note the class, or combination of classes of several targets, that most rows have."""
    if not file.meaning.groups:
        return
    kinds = kinds_of_rows(file.labels)
    counts = np.bincount(kinds)
    share, row = float(counts.max() / len(kinds)), file.values.T[kinds == counts.argmax()][0]
    if IMBALANCED < share < 1:
        most = percent(share)
        answer = _listed([group.class_of(row) for group in file.meaning.groups])
        yield DataNote(
            "imbalanced",
            f"{most} of the rows are class {answer}: always answering {answer} is {most} right",
        )


def _unscaled(X: Real, names: Sequence[str]) -> Iterator[DataNote]:
    sizes, spreads = np.abs(X).max(axis=0), X.std(axis=0)
    off = (sizes > 1) & (np.abs(X.mean(axis=0)) > OFF_CENTRE * spreads)
    far = np.where((np.ptp(X, axis=0) > 0) & ((sizes > FAR) | off), sizes, 0)
    if far.any():
        column = int(far.argmax())
        low, high = X[:, column].min(), X[:, column].max()
        # with 17 digits all numbers differ
        digits = next(n for n in (4, 10, 17) if f"{low:.{n}g}" != f"{high:.{n}g}")
        yield DataNote(
            "unscaled-inputs",
            f"inputs are not scaled: {shown(names[column])} runs from {low:.{digits}g} to "
            f'{high:.{digits}g}; add scale_inputs = "standard"',
        )


def equal_inputs(X: Real, T: Real) -> tuple[NDArray[np.intp], Real]:
    """Group rows with equal inputs.

    Returns the number of each row's group, [row], and the largest difference between targets of the
    group, [row, output].
    """
    group = kinds_of_rows(X)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    with np.errstate(over="ignore"):  # held-out rows may be very large
        ranges: Real = np.maximum.reduceat(T[order], starts) - np.minimum.reduceat(T[order], starts)
    return group, ranges[group]


def _contradicting_rows(file: ProblemData) -> Iterator[DataNote]:
    """Note rows that no network can all get right, and the best that is left: exact arithmetic."""
    rows = np.count_nonzero(equal_inputs(*file.values)[1].any(axis=1))
    if not rows:
        return
    most = best_possible(file, slice(None))
    limits = [f"at most {percent(most['accuracy'])} can be right"] if "accuracy" in most else []
    limits += [f"R² is at most {most['r2']:.3g}"] if "r2" in most else []
    yield DataNote(
        "contradicting-rows",
        f"equal inputs with different answers in {rows:,} rows: {and_(limits)}",
    )


def best_possible(file: ProblemData, rows: slice) -> dict[str, float]:
    """The best possible `accuracy` and `r2` on some rows: equal inputs get equal answers.

    One that these rows do not have is left out.
    """
    X, T, labels = file.values.X[rows], file.values.T[rows], file.labels[rows]
    group, best = equal_inputs(X, T)[0], {}
    if file.meaning.groups:
        cases, most = kinds_of_rows(np.column_stack([group, labels])), np.zeros(len(X))
        np.maximum.at(most, group, np.bincount(cases)[cases])
        best["accuracy"] = float(most.sum() / len(X))
    with np.errstate(over="ignore", invalid="ignore"):  # held-out rows may be very large
        values = T[:, file.quantities]
        squares = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
        if squares.any() and np.isfinite(squares).all():
            values, sizes = values[:, squares > 0], np.bincount(group)
            means = np.column_stack([np.bincount(group, column) / sizes for column in values.T])
            lost = ((values - means[group]) ** 2).sum(axis=0) / squares[squares > 0]
            best["r2"] = float(1 - lost.mean())
    return best
