"""The sweep file: from TOML to setups that are checked, expanded and identified. The one place that
knows every key.

Mistakes are found per value of a key first, then per setup between keys; all are reported at once,
each once, as a `SweepError`.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Self, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
)

from fastbp.choices import inits, problems
from fastbp.choices.families import FAMILIES
from fastbp.config import choice_syntax, toml_text
from fastbp.config.choice_syntax import Call, Real, Whole
from fastbp.problems import problem as problem_module
from fastbp.problems import read_table
from fastbp.problems import targets as targets_module
from fastbp.problems.problem import Names, Problem, Source, numbered, prepared
from fastbp.problems.targets import FileProblem, Mistake, arrays, read
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.text import nearest, plain, shown

MAX_PARAMETERS = 1_000_000  # 8 MB a lane: beyond any network that is trained from many seeds
MAX_UPDATES = 10**12  # an hour and a half a run, at some 5 ns each
MAX_EPOCHS = 2**32 - 1  # the epoch is one 32-bit word of the random counter
MOST = 10.0**6  # far past where anything trains; finite in float32

SWEEP_KEYS = ("title", "seeds", "setup", "grid", "published")
"""The keys of a sweep file that stand before `[setup]`."""

ALTERNATIVE = {"updates": "epochs", "epochs": "updates"}
"""The two ways to write the budget: one takes the other's place."""


def _layers(value: object) -> object:
    """A list as a tuple; one layer may stand without its list."""
    layers = toml_text.as_list(value)
    return (
        (value,) if layers is None else tuple(itertools.islice(layers, 17))
    )  # one past the most is enough to refuse it


def _names(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(toml_text.as_list(value) or ())


Layer = Annotated[Whole, Ge(1), Le(4096)]


class Setup(BaseModel):
    """One full choice of hyperparameters. `Setup(problem="xor", updates=999)`; mistakes raise
    `SweepError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    problem: str = Field(description="what is learnt")
    targets: Annotated[tuple[str, ...], BeforeValidator(_names), MinLen(1), MaxLen(1024)] | None = (
        Field(None, description="target columns of a `file:` problem")
    )
    scale_inputs: Literal["none", "standard", "minmax"] = Field(
        "none",
        description="how each input column is scaled: `standard` to mean 0 and σ 1, `minmax` to 0…1",
    )
    target_margin: Annotated[Real, Ge(0), Lt(0.5)] = Field(
        0.0, description="m maps targets 0…1 to m…1−m"
    )
    hidden: Annotated[tuple[Layer, ...], BeforeValidator(_layers), MinLen(1), MaxLen(16)] = Field(
        (4,), description="hidden layer sizes; input and output sizes come from the problem"
    )
    init: str = Field("normal", description="distribution of the initial weights")
    init_scale: Annotated[Real, Gt(0), Le(MOST)] = Field(
        1.0, description="scale of the initial weights"
    )
    bias: bool = Field(True, description="whether units have a bias")
    loss: str = Field("squared", description="what is minimised")
    prime_offset: Annotated[Real, Ge(0), Le(MOST)] = Field(
        0.0, description="added to σ′ in backpropagation"
    )
    order: str = Field("shuffled", description="how samples are presented")
    batch: Annotated[Whole, Ge(1), Le(65_536)] | Literal["full"] = Field(
        1, description="rows per update"
    )
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="how gradients of a batch are put together"
    )
    lr: Annotated[Real, Gt(0), Le(MOST)] = Field(
        0.1, description="learning rate before the schedule"
    )
    schedule: str = Field("constant", description="how the learning rate moves over epochs")
    momentum: Annotated[Real, Ge(0), Lt(1)] = Field(0.0, description="α in v ← αv − lr·g")
    weight_decay: Annotated[Real, Ge(0), Le(MOST)] = Field(
        0.0, description="λ in g ← g + λw, weights only"
    )
    epochs: Annotated[Whole, Ge(1), Le(MAX_EPOCHS)] | None = Field(
        None, description="the budget in epochs of ceil(rows ÷ batch) updates; or give `updates`"
    )
    updates: Annotated[Whole, Ge(1), Le(MAX_UPDATES)] | None = Field(
        None, description="the budget in updates; or give `epochs`"
    )
    tolerance: Annotated[Real, Gt(0), Le(0.5)] = Field(
        0.4,
        description="share of the target range within which every output must be for the run to have converged",
    )
    collapse: Annotated[Real, Gt(0), Lt(1)] = Field(
        0.1,
        description="share of the target range below which outputs count as constant; no part of a setup's identity",
    )
    eval_every: Annotated[Whole, Ge(1), Le(MAX_EPOCHS)] | None = Field(
        None, description='epochs between looks; 10 where nothing is given, 1 with batch = "full"'
    )
    stop: Literal["budget", "converged"] = Field("budget", description="when a run ends")
    dtype: Literal["float64", "float32"] = Field("float64", description="the arithmetic")

    _file: FileProblem | None = PrivateAttr(
        None
    )  # what the file held when it was read: it goes where the setup goes

    def __init__(self, **data: Any) -> None:
        lines: list[str] = []
        given = {key: Given(plain(key), value) for key, value in data.items() if value is not None}
        values = _checked(given, lines)
        lines += _incomplete(given, "")
        if not lines:
            super().__init__(**values)
            lines = [f"{key}: {text}" for key, text in self._conflicts()]
        if lines:
            raise SweepError(lines)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any], file: FileProblem | None = None) -> Self:
        """The setup of a row of `runs/`, nulls as None.

        `file`: what it was trained on, from `problem_files.stored`, where its problem is a file; of
        the problems in a store it is the one with which the setup's identity is that of the row.
        Raises SweepError.
        """
        keys = {column.name: columns[column.name] for column in SETUP_COLUMNS}
        keys["loss"] = keys.pop("loss_function")
        keys["hidden"] = [int(size) for size in keys["hidden"].split("-")]
        if keys["epochs"] is not None:
            del keys["updates"]
        if file is None:
            return cls(**keys)
        lines: list[str] = []
        given = {
            key: Given(key, value)
            for key, value in keys.items()
            if value is not None and key not in ("problem", "targets")
        }
        targets = (
            None if keys["targets"] is None else (keys["targets"],)
        )  # joined: the file says what they are
        setup = cls.model_construct(
            problem=keys["problem"], targets=targets, **_checked(given, lines)
        )
        if lines:
            raise SweepError(lines)
        setup._file = file
        return setup

    @classmethod
    def from_arrays(cls, X: Any, T: Any, **keys: Any) -> Self:
        """A setup whose problem is in memory.

        Parameters: `X`, inputs [row, input], and `T`, targets [row, output] or [row], from 0 to 1;
        all other keys of a setup. Raises SweepError with every mistake.
        """
        lines: list[str] = []
        file = targets_module.from_arrays(X, T, lines)
        given = {key: Given(plain(key), value) for key, value in keys.items() if value is not None}
        lines += [
            f"{key}: given beside X and T, which are the problem"
            for key in ("problem", "targets")
            if key in given
        ]
        values = _checked(given, lines)
        lines += _incomplete({**given, "problem": Given("problem", "")}, "")
        if lines or file is None:
            raise SweepError(lines)
        setup = cls.model_construct(problem="file:arrays.npz", targets=None, **values)
        setup._file = file
        if lines := [f"{key}: {text}" for key, text in setup._conflicts()]:
            raise SweepError(lines)
        return setup

    @cached_property
    def calls(self) -> dict[str, Call]:
        """The choice and its parameters for each of problem, init, order (resolved), schedule and
        loss.
        """
        texts = {key: getattr(self, key) for key in FAMILIES} | {"order": self.resolved_order}
        return {
            key: choice_syntax.read_call(family, texts[key]) for key, family in FAMILIES.items()
        }

    @property
    def resolved_order(self) -> str:
        """The order in which rows are really presented: as listed where a batch is all of them."""
        return "cyclic" if self.batch == "full" else self.order

    @property
    def warmup(self) -> int:
        """Epochs over which the learning rate rises before the schedule starts."""
        (epochs,) = choice_syntax.read_call(FAMILIES["schedule"], self.schedule).shared
        return int(epochs)

    def data(self) -> Problem:
        """Inputs and targets as trained: scaled, and with the target margin. Shared between calls
        and read-only.
        """
        return prepared(*self._source, *self._preparation)

    @property
    def digest(self) -> str:
        """The digest of `data()`."""
        return problem_module.digest(*self._source, *self._preparation)

    @property
    def names(self) -> Names:
        """What inputs and outputs are called: columns of the file and classes, or x0, x1 and so on,
        t0, t1 and so on.
        """
        return self._file.names if self._file else numbered(*self.shape[1:])

    @property
    def problem_name(self) -> str:
        """The problem as tables and lines show it: a file by its name alone, so that nothing
        depends on the folder.
        """
        path = _path(self.problem)
        return self.problem if path is None else f"file:{os.path.basename(path)}"

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Rows, inputs and outputs of the problem."""
        return problem_module.shape(*self._source)

    @property
    def _source(self) -> Source:
        if self._file:
            return arrays, (self._file,)
        call = choice_syntax.read_call(FAMILIES["problem"], self.problem)
        return call.choice.function, call.values

    @property
    def _preparation(self) -> tuple[str, float]:
        """How inputs are scaled and what margin targets get, where that is still to be done."""
        return (
            ("none", 0.0)
            if self._file and self._file.trained
            else (self.scale_inputs, self.target_margin)
        )

    @property
    def rows(self) -> int:
        """Rows of the problem."""
        return self.shape[0]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each layer, inputs and outputs included."""
        _, inputs, outputs = self.shape
        return (inputs, *self.hidden, outputs)

    @property
    def parameters(self) -> int:
        """Weights and biases of one network, biases counted where `bias` is false too: they are
        drawn all the same.
        """
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(self.sizes))

    @property
    def batch_rows(self) -> int:
        """Rows per update."""
        return self.rows if self.batch == "full" else self.batch

    @property
    def updates_per_epoch(self) -> int:
        """Updates in an epoch whose last batch holds what is left."""
        return -(-self.rows // self.batch_rows)

    @property
    def budget(self) -> int:
        """Updates of a run that is not stopped early."""
        return (
            self.updates
            if self.updates is not None
            else (self.epochs or 0) * self.updates_per_epoch
        )

    @property
    def epochs_budget(self) -> int:
        """Epochs of a run that is not stopped early; the last one may be cut short."""
        return -(-self.budget // self.updates_per_epoch)

    @property
    def eval_interval(self) -> int:
        """Epochs between looks."""
        return self.eval_every or (1 if self.batch == "full" else 10)

    def columns(self) -> dict[str, Any]:
        """The values of `fastbp.schema.columns.SETUP_COLUMNS`, in their order."""
        values = {
            **self.__dict__,
            "problem": self.problem_name,
            "targets": None if self.targets is None else ",".join(self.targets),
            "hidden": "-".join(map(str, self.hidden)),
            "loss_function": self.loss,
            "order": self.resolved_order,
            "batch": self.batch_rows,
            "updates": self.budget,
            "eval_every": self.eval_interval,
        }
        return {column.name: values[column.name] for column in SETUP_COLUMNS}

    def with_columns(self, changes: Mapping[str, Any]) -> Self:
        """The setup with other values in these of its columns. Raises SweepError where they make
        none.
        """
        made = self.from_columns({**self.columns(), **changes}, self._file)
        if lines := [f"{key}: {text}" for key, text in made._conflicts()]:
            raise SweepError(lines)
        return made

    def identity(self, numerics_version: int = NUMERICS_VERSION) -> str:
        """The setup's id: 12 hex digits over its columns, its data and the version of the numerics.

        Hashed are the columns as they stand in the table of runs, save `collapse` and, where the
        budget was written in epochs, the `updates` derived from them; what equals its default is
        left out, so that a key added later changes no old id. Two setups have one id exactly where
        these columns and the data are the same: `batch = "full"` and all rows in one cyclic batch
        with the same looks are one setup; `xor` and `table:0110`, or an epoch and its number of
        updates, are two.
        """
        if numerics_version not in self._identities:
            self._identities[numerics_version] = self._hashed(numerics_version)
        return self._identities[numerics_version]

    @cached_property
    def _identities(self) -> dict[int, str]:
        return {}  # a plan of 10⁵ setups asks for each several times

    def _hashed(self, numerics_version: int) -> str:
        keys = {
            key: value
            for key, value in self.columns().items()
            if key != "collapse" and value != defaults()[key]
        }
        if "loss_function" in keys:
            keys["loss"] = keys.pop(
                "loss_function"
            )  # the key's own name, whatever the table must call it
        if self.epochs is not None:
            del keys["updates"]
        keys = {
            key: int(v) if isinstance(v, float) and v.is_integer() else v for key, v in keys.items()
        }  # 1 = 1.0
        text = json.dumps(
            {"data": self.digest, "numerics": numerics_version, "setup": keys},
            sort_keys=True, separators=(",", ":"), ensure_ascii=False,
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def notes(self) -> list[str]:
        """What is allowed but worth a word."""
        notes = []
        if self.collapse > 1 - 2 * self.tolerance:
            both = f"tolerance = {self.tolerance} and collapse = {self.collapse}"
            notes.append(f"{both} overlap: a run that is within both counts as converged")
        for name in self._file.constant if self._file else ():
            notes.append(
                f"{plain(self.problem_name)}: {shown(name)} is the same in every row: there is nothing to learn"
            )
        return notes

    def _read(self) -> tuple[Mistake, ...]:
        """Read the file, where the problem is one: the mistakes in it."""
        path = _path(self.problem)
        if path is None or self._file:
            return ()
        found = read(path, self.targets)
        if not isinstance(found, FileProblem):
            return found
        self._file = found
        return ()

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        """Mistakes between keys: the key to blame and the rest of the line. The file is read by the
        way.
        """
        if mistakes := self._read():
            yield from mistakes
            return
        if self.targets is not None and not self._file:
            yield (
                "targets",
                f"given {shown(self.targets)}, allowed: only with problem = 'file:PATH'",
            )
        rows = self.rows
        if self.batch != "full" and self.batch > rows:
            yield (
                "batch",
                f"given {self.batch}, allowed: at most the {rows:,} rows of {plain(self.problem_name)}, or 'full'",
            )
            return
        if (count := self.parameters) > MAX_PARAMETERS:
            sizes = "-".join(map(str, self.sizes))
            yield (
                "hidden",
                f"given {shown(self.hidden)}, allowed: at most {MAX_PARAMETERS:,} parameters; {sizes} has {count:,}",
            )
        if axes := self._missing_axes():
            yield "init", f"given {shown(self.init)}, allowed: {axes}"
        budget, each = self.budget, self.updates_per_epoch
        key = "updates" if self.epochs is None else "epochs"
        if budget > MAX_UPDATES:
            yield (
                key,
                f"given {self.epochs}, allowed: at most {MAX_UPDATES:,} updates, {MAX_UPDATES // each:,} epochs",
            )
        elif self.epochs_budget > MAX_EPOCHS:
            yield (
                key,
                f"given {budget}, allowed: at most {MAX_EPOCHS:,} epochs, {MAX_EPOCHS * each:,} updates",
            )
        if self.warmup >= self.epochs_budget:
            given = f"given {shown(self.schedule)}"
            yield (
                "schedule",
                f"{given}, allowed: warmup less than the budget of {self.epochs_budget:,} epochs",
            )

    def _missing_axes(self) -> str:
        """What the two parameters of a grid of initial weights may be, where they are not."""
        call = choice_syntax.read_call(FAMILIES["init"], self.init)
        if call.choice.function is not inits.grid:
            return ""
        _, *axes, _ = call.values
        if axes[0] == axes[1]:
            return "x and y that differ"
        sizes, start = "-".join(map(str, self.sizes)), 0
        for fan_in, fan_out in itertools.pairwise(self.sizes):
            biases = range(start + fan_in * fan_out, start + (fan_in + 1) * fan_out)
            if not self.bias and any(axis in biases for axis in axes):
                return "x and y of weights where bias = false"
            start = biases.stop
        return f"x and y below the {start:,} parameters of {sizes}" if max(axes) >= start else ""


# Values of keys


@lru_cache(maxsize=64)
def _adapter(key: str) -> TypeAdapter[Any]:
    hint = get_type_hints(Setup, include_extras=True)[key]
    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


def allowed(key: str) -> str:
    """What a setup key may be, in words."""
    if key in FAMILIES:
        return choice_syntax.usages(FAMILIES[key])
    return choice_syntax.words(get_type_hints(Setup, include_extras=True)[key])


def _check(key: str, value: object, folder: str) -> Any:
    """The value of one key, checked by itself and in its canonical form. Raises ValueError with the
    rest of each line.
    """
    if key in FAMILIES:
        call = choice_syntax.read_call(FAMILIES[key], value)
        if call.choice.function is problems.file:
            path = read_table.located(call.values[0], folder)
            read_table.check(path)
            return f"file:{path}"
        if key == "problem":
            try:
                problem_module.shape(call.choice.function, call.values)
            except ValueError as error:  # what annotations cannot say, such as a power of two
                raise ValueError(
                    f"given {shown(value)}, allowed: {call.choice.usage}; {plain(str(error), 120)}"
                ) from None
        return call.spelling
    try:
        return _adapter(key).validate_python(value)
    except (ValidationError, RecursionError):
        options = choice_syntax.options(get_type_hints(Setup, include_extras=True)[key])
        raise ValueError(
            f"given {shown(value)}, allowed: {allowed(key)}{nearest(value, options)}"
        ) from None


def _path(problem: str) -> str | None:
    """The path of a problem, checked already, that is a file."""
    return problem.removeprefix("file:") if problem.startswith("file:") else None


class Given(NamedTuple):
    """A value as it was written, the place that a line names (`founding.toml: setup.lr`, `--set
    lr`), the folder of paths.
    """

    place: str
    value: Any
    folder: str = ""


Placed = dict[Any, Given]
"""Values by key."""


def _checked(given: Placed, lines: list[str]) -> dict[str, Any]:
    """The values that are right; a line for each that is not."""
    values: dict[str, Any] = {}
    for key, (place, value, folder) in given.items():
        if key not in Setup.model_fields:
            lines.append(f"{place}: {_unknown(key, Setup.model_fields)}")
            continue
        try:
            values[key] = _check(key, value, folder)
        except ValueError as error:
            lines += [f"{place}: {text}" for text in str(error).split("\n")]
    return values


def _where(table: Mapping[Any, Any], place: str, folder: str, lines: list[str]) -> dict[str, Any]:
    """The keys of a setup that a table in the file names, checked."""
    return _checked(
        {key: Given(f"{place}.{plain(str(key))}", value, folder) for key, value in table.items()},
        lines,
    )


def _unknown(key: object, known: Iterable[str]) -> str:
    names = list(known)
    hint = nearest(key, names)
    if not hint and key in Setup.model_fields:
        hint = f"; did you mean 'setup.{key}'?"
    if not hint and key in SWEEP_KEYS:
        hint = f"; did you mean '{key}' before [setup]?"
    return f"unknown key, allowed: {', '.join(names)}{hint}"


def _incomplete(given: Placed, place: str) -> Iterator[str]:
    """A line where the problem or the budget is missing, or the budget is there twice."""
    if "problem" not in given:
        yield f"{place}problem: not given, allowed: {allowed('problem')}"
    budget = given.keys() & ALTERNATIVE
    if not budget:
        yield f"{place}updates: not given, allowed: one of updates and epochs"
    if len(budget) == 2:
        yield f"{given['epochs'].place}: given beside updates, allowed: one of updates and epochs"


@lru_cache(maxsize=1)
def defaults() -> dict[str, Any]:
    """Columns of a setup of which nothing is written; null where there is no default."""
    fields = {
        key: None if field.is_required() else field.default
        for key, field in Setup.model_fields.items()
    }
    return {**fields, "hidden": "4", "eval_every": 10, "loss_function": fields["loss"]}
