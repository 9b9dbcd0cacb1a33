"""The keys of a setup, and its data: the rows to train on, scaled, and those held out."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.families import FAMILIES
from fastbp.config.choice_syntax import Call, problem_name, read_call
from fastbp.problems import data_notes, problem as problem_module
from fastbp.problems.data_notes import DataNote
from fastbp.problems.problem import Kept, Preparation, Problem, ProblemData, built_in, prepared
from fastbp.problems.split import held_out, kinds_of_rows
from fastbp.store.npz import in_units


@lru_cache(maxsize=1024)
def parsed(family: str, text: str) -> Call:
    """A choice of a family with its parameters, shared by all setups: a truth table is large."""
    return read_call(FAMILIES[family], text)


_BUILT_IN: Kept[ProblemData] = Kept(lambda made: made.nbytes)


def _built_in(problem: str) -> ProblemData:
    """The problem that a function makes."""
    call = parsed("problem", problem)
    return _BUILT_IN.get(problem, lambda: built_in(call.choice.function, call.values))


@lru_cache(maxsize=100_000)
def _built_in_shape(problem: str) -> tuple[int, int, int]:
    """The numbers of rows, inputs and outputs of a problem without a file."""
    return _built_in(problem).shape


@dataclass(frozen=True, init=False)
class SetupData:
    """The keys of a setup and the data of its problem: the part of `Setup` about data."""

    problem: str
    targets: tuple[str, ...] | None
    target_kind: Literal["auto", "classes", "quantity"]
    test: float
    test_split: Literal["fixed", "seed", "last"]
    scale_inputs: Literal["none", "standard", "minmax"]
    scale_targets: Literal["none", "minmax"]
    target_margin: float
    hidden: tuple[int, ...]
    init: str
    init_scale: float
    bias: bool
    bias_init: Literal["init", "zeros"] | float
    activation: str
    output: str
    loss: str
    class_weight: Literal["none", "balanced"]
    prime_offset: float
    order: str
    batch: int | Literal["full"]
    reduction: Literal["sum", "mean"]
    lr: float | None
    schedule: str | None
    optimizer: str
    momentum: float
    nesterov: bool
    weight_decay: float
    epochs: int | None
    updates: int | None
    tolerance: float
    success: str | None
    success_on: Literal["train", "test"]
    collapse: float
    eval_every: int | None
    stop: Literal["budget", "converged"]
    dtype: Literal["float64", "float32"]
    file: ProblemData | None = field(repr=False)

    @property
    def source(self) -> ProblemData:
        """The problem as its file or function has it."""
        return self.file or _built_in(self.problem)

    @property
    def reaches(self) -> tuple[float, float]:
        """The smallest and the largest target that an output can come near to."""
        low, high = FAMILIES["output"].choices[self.output].mark("reaches")
        return low, high

    @property
    def label_low(self) -> float:
        """The target of an output unit where its class does not apply: −1 for tanh, else 0."""
        return -1.0 if self.reaches[0] == -1 else 0.0

    @property
    def out_of_range(self) -> dict[str, NDArray[np.float64]]:
        """The targets [row] of quantities that outputs cannot come near to, by name."""
        if self.file is None or self.scale_targets != "none":
            return {}
        return self.file.out_of_range(*self.reaches)

    @property
    def data_key(self) -> tuple[ProblemData, Preparation]:
        """What the data depend on: the arguments of `prepared`."""
        return self.source, self.preparation

    @property
    def preparation(self) -> Preparation:
        """What is done to the problem: nothing yet where each seed holds out rows of its own."""
        return Preparation() if self.test_split == "seed" else self._preparation()

    def _preparation(self, seed: int | None = None) -> Preparation:
        """What is done to the problem. `seed`: of a run that has a split of its own."""
        return Preparation(
            self.test,
            self.scale_inputs,
            self.scale_targets,
            self.target_margin,
            self.label_low,
            "last" if self.test_split == "last" else seed,
        )

    def prepared(self) -> ProblemData:
        """The problem as it is trained, and as a store keeps it in `problems/DIGEST.npz`."""
        return prepared(*self.data_key)

    def data(self) -> Problem:
        """Inputs and targets of all rows: scaled, and with the target margin.

        The first `rows` rows are trained on, the others are held out. The arrays are shared between
        calls and read-only. With `test_split = "seed"` they are those of the problem; `for_seed`
        makes a setup with the data of a run.
        """
        return self.prepared().values

    def training(self) -> Problem:
        """Inputs and targets of the rows to train on."""
        return Problem._make(part[: self.rows] for part in self.data())

    def held_out(self) -> Problem | None:
        """Inputs and targets of the rows that are held out; None if there are none."""
        return Problem._make(part[self.rows :] for part in self.data()) if self.test_rows else None

    def row_weights(self) -> NDArray[np.float64] | None:
        """How much each row to train on counts, [row]; None if all count the same.

        With `class_weight = "balanced"` it is rows ÷ (classes × rows of its class), as in
        scikit-learn. With several label targets each combination of their classes is a class.
        """
        if self.class_weight == "none":
            return None
        classes = kinds_of_rows(self.prepared().labels[: self.rows])
        sizes = np.bincount(classes)
        return self.rows / (len(sizes) * sizes[classes])

    def in_table_units(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Convert targets or outputs [row, output] to the units of the table, in their dtype."""
        return in_units(outputs, self.prepared().meaning.units)

    def data_notes(self) -> list[DataNote]:
        """What is remarkable about the data, and what was done to them."""
        units = data_notes.OutputRange(self.output, *self.reaches, self.label_low)
        return data_notes.notes(
            self.source,
            self.data().X,
            (self.scale_inputs != "none", self.scale_targets != "none"),
            units,
        )

    @property
    def digest(self) -> str:
        """sha256 of the inputs and targets that `data()` returns, 64 hex digits."""
        return problem_module.summary(*self.data_key)[0]

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """For each target that is a label, its first output unit and its number of units.

        A label of two classes has one unit; one of more classes has a unit for each class.
        """
        return self.source.groups

    @property
    def quantities(self) -> tuple[int, ...]:
        """The output units that are quantities."""
        return self.source.quantities

    @property
    def problem_name(self) -> str:
        """The problem without a folder, as tables and messages show it."""
        return problem_name(self.problem)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """The numbers of rows to train on, inputs and outputs."""
        rows, inputs, outputs = self.file.shape if self.file else _built_in_shape(self.problem)
        return rows - held_out(rows, self.test), inputs, outputs

    @property
    def rows(self) -> int:
        """The number of rows to train on."""
        return self.shape[0]

    @property
    def test_rows(self) -> int:
        """The number of rows that are held out."""
        return len(self.source.values.X) - self.rows
