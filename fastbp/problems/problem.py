"""The data of a setup: inputs, targets, what they mean, which rows are held out, and how scaled.

A problem comes from a function of `fastbp.choices.problems` or from a file
(`fastbp.problems.targets`). `prepared` makes what networks are trained on.
"""

import hashlib
import json
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from threading import Lock
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import FailFast

from fastbp.problems.split import arranged, held_out, kinds_of_rows
from fastbp.schema.text import and_, first_of, shown
from fastbp.store.npz import data_digest, npz

MAX_COLUMNS = 10_000

MAX_NAMED = 3
"""The most constant outputs that a note names."""

MAX_BEYOND = 10
"""The most quantities out of range that are looked at, as each setup of a sweep looks again."""

MAX_KEPT = 1 << 28
"""Most bytes of each kind of result that is kept in memory for the next who asks."""

_Value = TypeVar("_Value")


class Kept(Generic[_Value]):
    """The last results by key: as many as take `MAX_KEPT` bytes together, or one, at most 1,024.

    `size`: of a result, the bytes that it takes.
    """

    def __init__(self, size: Callable[[_Value], int]) -> None:
        self._size, self._lock = size, Lock()
        self._found: dict[Hashable, tuple[_Value, int]] = {}

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """The result of a key: the one that was kept, or what `make` returns."""
        with self._lock:
            found = self._found.get(key)
        if found:
            return found[0]
        result = make()
        with self._lock:
            self._found[key] = result, self._size(result)
            sizes = [size for _, size in self._found.values()]
            while len(sizes) > 1024 or (len(sizes) > 1 and sum(sizes) > MAX_KEPT):
                del self._found[next(iter(self._found))], sizes[0]
        return result

    def clear(self) -> None:
        """Forget all results."""
        self._found.clear()


class Problem(NamedTuple):
    """Inputs X, float64 [row, input], and targets T, float64 [row, output]; both read-only."""

    X: NDArray[np.float64]
    T: NDArray[np.float64]


def problem(X: NDArray[Any], T: NDArray[Any]) -> Problem:
    """Make a problem of X and T: float64, contiguous, read-only, without −0.0."""
    made = Problem(
        np.ascontiguousarray(X, np.float64) + 0.0, np.ascontiguousarray(T, np.float64) + 0.0
    )
    for part in made:
        part.flags.writeable = False
    return made


class Names(NamedTuple):
    """Names of the columns of X and of T."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def numbered(inputs: int, outputs: int) -> Names:
    """Names for the columns of a problem that has no names: x0, x1, …, and t0, t1, …."""
    return Names(tuple(f"x{i}" for i in range(inputs)), tuple(f"t{k}" for k in range(outputs)))


class Group(NamedTuple):
    """A target whose values are classes, as output units.

    Attributes
    ----------
    first, size : int
        Its first unit, and the number of its units: 1 for two classes, else one for each class.
    labels : tuple of str
        The classes. Of a single unit: the class with target 0, and that with target 1.
    """

    first: Annotated[int, Ge(0)]
    size: Annotated[int, Ge(1), Le(MAX_COLUMNS)]
    labels: Annotated[tuple[str, ...], FailFast()]

    def class_of(self, row: NDArray[np.float64]) -> str:
        """The class that a row of T has."""
        units = row[self.first : self.first + self.size]
        return self.labels[units.argmax() if self.size > 1 else int(units[0] > 0.5)]


class Meaning(NamedTuple):
    """What the outputs of a problem mean, besides their names.

    Attributes
    ----------
    groups : tuple of Group
        The targets that are classes; all other outputs are quantities.
    units : tuple of (float, float)
        For each output, a and b in a + b · output, its value in the units of the table. Empty if
        outputs have these units.
    test_rows : int
        The number of rows, the last ones, that are held out.
    """

    groups: Annotated[tuple[Group, ...], FailFast()]
    units: Annotated[tuple[tuple[float, float], ...], FailFast()] = ()
    test_rows: int = 0


def guessed(T: NDArray[np.float64]) -> Meaning:
    """What targets mean if nothing says it: units of two values are two classes.

    The two values are 0 and 1, or the target margin m and 1 − m.
    """
    low, high = T.min(axis=0), T.max(axis=0)
    ends = np.where(low < high, low + high == 1.0, (low == 0.0) | (low == 1.0))
    two = ends & ((low == T) | (high == T)).all(axis=0)
    return Meaning(tuple(Group(unit, 1, ("0", "1")) for unit in np.flatnonzero(two).tolist()))


@dataclass(frozen=True, eq=False)
class ProblemData:
    """Inputs and targets of a problem, their names, and what the outputs mean.

    Attributes
    ----------
    values : Problem
        X and T; if `trained`, rows are held out, and scaling and margin are already applied.
    names : Names
        Names of their columns.
    meaning : Meaning
        What the outputs mean.
    trained : bool
        Whether this is what networks are trained on, as the folder `problems/` of a store has it.
    """

    values: Problem
    names: Names
    meaning: Meaning
    trained: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProblemData):
            return NotImplemented
        return (self.data_digest, self.names, self.meaning) == (
            other.data_digest,
            other.names,
            other.meaning,
        )

    def __hash__(self) -> int:
        return hash(self.data_digest)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The numbers of rows, inputs and outputs."""
        return *self.values.X.shape, self.values.T.shape[1]

    @cached_property
    def data_digest(self) -> str:
        """sha256 of `values`, 64 hex digits."""
        return data_digest(*self.values)

    @cached_property
    def digest(self) -> str:
        """sha256 of `values`, and of `meaning` if it cannot be guessed from them, 64 hex digits.

        It is the name of the file in a store.
        """
        if self.meaning == guessed(self.values.T):
            return self.data_digest
        return hashlib.sha256(f"{self.data_digest}{self._meaning_text}".encode()).hexdigest()

    @cached_property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """The first unit and the number of units of each group: there may be thousands."""
        return tuple((first, size) for first, size, _ in self.meaning.groups)

    @cached_property
    def is_truth_table(self) -> bool:
        """Whether all inputs are 0 or 1, and no two rows have the same."""
        X = self.values.X
        return bool(np.isin(X, (0, 1)).all()) and len(np.unique(X, axis=0)) == len(X)

    @cached_property
    @np.errstate(over="ignore")  # held-out rows may have numbers of any size
    def sums_to_one(self) -> bool:
        """Whether the targets of each row sum to 1, as outputs of a softmax do."""
        return np.allclose(self.values.T.sum(axis=1), 1.0)

    @cached_property
    def summaries(self) -> dict["Preparation", tuple[str, bool]]:
        """The `summary` of what was already made of this problem, by what was done to it."""
        return {}

    @property
    def nbytes(self) -> int:
        """The bytes that inputs and targets take."""
        return sum(part.nbytes for part in self.values)

    @property
    def _meaning_text(self) -> str:
        return json.dumps(self.meaning._asdict())

    @cached_property
    def constant(self) -> str:
        """The outputs with one target value, as `'y' is` or `'y' and 'z' are`; may be empty."""
        names = list(compress(self.names.outputs, np.ptp(self.values.T, axis=0) == 0))
        few = first_of([shown(name) for name in names], MAX_NAMED)
        return f"{and_(few)} {'is' if len(names) == 1 else 'are'}" if names else ""

    @cached_property
    def quantities(self) -> tuple[int, ...]:
        """The positions of the outputs that are quantities."""
        labels = {first + i for first, size, _ in self.meaning.groups for i in range(size)}
        return tuple(unit for unit in range(len(self.names.outputs)) if unit not in labels)

    @property
    def labels(self) -> NDArray[np.float64]:
        """The targets that are classes, [row, output unit]."""
        return np.delete(self.values.T, self.quantities, axis=1)

    @cached_property
    def majority(self) -> float:
        """The accuracy of always giving the commonest classes of the rows to train on, or 0."""
        labels = self.labels[: len(self.values.X) - self.meaning.test_rows]
        return (
            float(np.bincount(kinds_of_rows(labels)).max() / len(labels))
            if self.meaning.groups
            else 0.0
        )

    def out_of_range(self, low: float, high: float) -> dict[str, NDArray[np.float64]]:
        """The first `MAX_BEYOND` quantities, by name, that are not all from `low` to `high`."""
        least, greatest = self._extremes
        beyond = np.flatnonzero((least < low) | (greatest > high))[:MAX_BEYOND].tolist()
        return {
            self.names.outputs[unit]: self.values.T[:, unit]
            for unit in (self.quantities[i] for i in beyond)
        }

    @cached_property
    def _extremes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The least and the greatest target of each quantity."""
        units = list(self.quantities)
        return self.values.T.min(axis=0)[units], self.values.T.max(axis=0)[units]

    def to_npz(self) -> bytes:
        """The bytes of a file for the folder `problems/` of a store; `stored` reads it."""
        names = {name: np.array(columns) for name, columns in self.names._asdict().items()}
        return npz(**self.values._asdict(), **names, meaning=self._meaning_text)


def built_in(function: Callable[..., Any], values: tuple[Any, ...]) -> ProblemData:
    """The problem that a function of `fastbp.choices.problems` makes; all targets are classes."""
    data = problem(*function(*values))
    groups = tuple(Group(unit, 1, ("0", "1")) for unit in range(data.T.shape[1]))
    return ProblemData(data, numbered(data.X.shape[1], data.T.shape[1]), Meaning(groups))


class Preparation(NamedTuple):
    """What is done to the inputs and targets of a problem: the keys of a setup by these names.

    `split` says which rows are held out. A seed: those drawn for it. None: those drawn for the
    problem. "last": its last rows.
    """

    test: float = 0.0
    scale_inputs: str = "none"
    scale_targets: str = "none"
    target_margin: float = 0.0
    label_low: float = 0.0
    split: int | Literal["last"] | None = None


_PREPARED: Kept[ProblemData] = Kept(lambda made: made.nbytes)


def prepared(source: ProblemData, how: Preparation) -> ProblemData:
    """Make what networks are trained on, as `prepare` does, or take what a store has."""
    if source.trained or how == Preparation():
        return source
    return _PREPARED.get((source, how), lambda: prepare(source, how))


def prepare(source: ProblemData, how: Preparation) -> ProblemData:
    """Make what networks are trained on: hold rows out, scale, and apply the target margin.

    The rows that are held out come last. Scales come from the other rows. A target t becomes
    (1 − t)·m + t·(1 − m) with the margin m; then 0…1 of classes becomes `label_low`…1.
    """
    (X, T), margin, meaning = source.values, how.target_margin, source.meaning
    test_rows = held_out(len(X), how.test)
    trained = len(X) - test_rows
    if test_rows and how.split != "last":
        order = arranged(source.data_digest, source.labels, test_rows, how.split)
        X, T = X[order], T[order]
    if how.scale_inputs != "none":
        X = np.column_stack([_scaled(column, trained, how.scale_inputs) for column in X.T])
    if how.scale_targets == "minmax":
        T, units = T.copy(), [(0.0, 1.0)] * T.shape[1]
        for unit in source.quantities:
            low, high = T[:trained, unit].min(), T[:trained, unit].max()
            extent = (high - low) or 1.0
            T[:, unit] = _over(T[:, unit] - low, extent)
            factor = float(extent / (1.0 - 2.0 * margin))
            units[unit] = float(low) - margin * factor, factor
        meaning = meaning._replace(units=tuple(units))
    # exact at both ends
    T = (1.0 - T) * margin + T * (1.0 - margin) if margin else T + 0.0
    if how.label_low:
        in_classes = np.isin(np.arange(T.shape[1]), source.quantities, invert=True)
        T[:, in_classes] = how.label_low + (1.0 - how.label_low) * T[:, in_classes]
    meaning = meaning._replace(test_rows=test_rows)
    return ProblemData(problem(X, T), source.names, meaning, trained=True)


MAX_HELD_OUT = 1.7e308
"""The largest number of a held-out row, scaled as those to train on."""


def summary(source: ProblemData, how: Preparation) -> tuple[str, bool]:
    """Of X and T as `prepared` makes them, the digest, and whether targets of each row sum to 1."""
    if how not in source.summaries:
        source.summaries[how] = (made := prepared(source, how)).data_digest, made.sums_to_one
    return source.summaries[how]


def _scaled(column: NDArray[np.float64], trained: int, how: str) -> NDArray[np.float64]:
    """Scale an input column to mean 0 and σ 1, or to 0…1, by its first `trained` rows.

    If it is constant there, it becomes 0. Sums are correctly rounded, so that they do not depend on
    the order of rows.
    """
    known = column[:trained]
    low, high = known.min(), known.max()
    if how == "minmax":
        shift, unit = float(low), float(high - low)
    else:
        shift = math.fsum(known.tolist()) / trained
        unit = math.sqrt(math.fsum(((known - shift) ** 2).tolist()) / trained)
    return np.zeros_like(column) if low == high or unit == 0.0 else _over(column - shift, unit)


def _over(values: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Values in a unit; held-out ones may be so large that they would not be numbers."""
    with np.errstate(over="ignore"):
        return np.clip(values / unit, -MAX_HELD_OUT, MAX_HELD_OUT)
