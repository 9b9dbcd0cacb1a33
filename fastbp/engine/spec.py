"""The sweep file: from TOML to setups that are checked, expanded and identified. The one place that knows every key.

Mistakes are found per value of a key first, then per setup between keys; all are reported at once, each once, as a `SweepError`.
"""

import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from os import PathLike, fspath
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError

from fastbp.choices import inits, problems
from fastbp.choices.families import FAMILIES
from fastbp.columns import SETUP_COLUMNS
from fastbp.engine import problem, problem_files, published, reading, series
from fastbp.engine.problem import Names, Problem, Source
from fastbp.engine.problem_files import FileProblem, Mistake
from fastbp.engine.published import Published
from fastbp.engine.reading import Call, Real, SweepError, Whole, named, nearest, plain, shown
from fastbp.kernels import NUMERICS_VERSION

__all__ = ["Names", "Problem", "Seeds", "Setup", "Sweep", "SweepError", "allowed"]

MOST_SETUPS = 100_000  # a store holds at most about 10⁵ files
MOST_PARAMETERS = 1_000_000  # 8 MB a lane: beyond any network that is trained from many seeds
MOST_UPDATES = 10**12  # an hour and a half a run, at some 5 ns each
MOST_EPOCHS = 2**32 - 1  # the epoch is one 32-bit word of the random counter
MOST = 10.0**6  # far past where anything trains; finite in float32
LAST_SEED = 2**63  # seeds are int64 columns

ALTERNATIVE = {"updates": "epochs", "epochs": "updates"}
"""The two ways to write the budget: one takes the other's place."""


def _layers(value: object) -> object:
    """A list as a tuple; one layer may stand without its list."""
    layers = reading.as_list(value)
    return (value,) if layers is None else tuple(itertools.islice(layers, 17))  # one past the most is enough to refuse it


def _names(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(reading.as_list(value) or ())


Layer = Annotated[Whole, Ge(1), Le(4096)]


class Setup(BaseModel):
    """One full choice of hyperparameters. `Setup(problem="xor", updates=999)`; mistakes raise `SweepError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    problem: str = Field(description="what is learnt")
    targets: Annotated[tuple[str, ...], BeforeValidator(_names), MinLen(1), MaxLen(1024)] | None = Field(
        None, description="target columns of a `file:` problem"
    )
    scale_inputs: Literal["none", "standard", "minmax"] = Field(
        "none", description="how each input column is scaled: `standard` to mean 0 and σ 1, `minmax` to 0…1"
    )
    target_margin: Annotated[Real, Ge(0), Lt(0.5)] = Field(0.0, description="m maps targets 0…1 to m…1−m")
    hidden: Annotated[tuple[Layer, ...], BeforeValidator(_layers), MinLen(1), MaxLen(16)] = Field(
        (4,), description="hidden layer sizes; input and output sizes come from the problem"
    )
    init: str = Field("normal", description="distribution of the initial weights")
    init_scale: Annotated[Real, Gt(0), Le(MOST)] = Field(1.0, description="scale of the initial weights")
    bias: bool = Field(True, description="whether units have a bias")
    loss: str = Field("squared", description="what is minimised")
    prime_offset: Annotated[Real, Ge(0), Le(MOST)] = Field(0.0, description="added to σ′ in backpropagation")
    order: str = Field("shuffled", description="how samples are presented")
    batch: Annotated[Whole, Ge(1), Le(65_536)] | Literal["full"] = Field(1, description="rows per update")
    reduction: Literal["sum", "mean"] = Field("sum", description="how gradients of a batch are put together")
    lr: Annotated[Real, Gt(0), Le(MOST)] = Field(0.1, description="learning rate before the schedule")
    schedule: str = Field("constant", description="how the learning rate moves over epochs")
    momentum: Annotated[Real, Ge(0), Lt(1)] = Field(0.0, description="α in v ← αv − lr·g")
    weight_decay: Annotated[Real, Ge(0), Le(MOST)] = Field(0.0, description="λ in g ← g + λw, weights only")
    epochs: Annotated[Whole, Ge(1), Le(MOST_EPOCHS)] | None = Field(
        None, description="the budget in epochs of ceil(rows ÷ batch) updates; or give `updates`"
    )
    updates: Annotated[Whole, Ge(1), Le(MOST_UPDATES)] | None = Field(None, description="the budget in updates; or give `epochs`")
    tolerance: Annotated[Real, Gt(0), Le(0.5)] = Field(
        0.4, description="share of the target range within which every output must be for the run to have converged"
    )
    collapse: Annotated[Real, Gt(0), Lt(1)] = Field(
        0.1, description="share of the target range below which outputs count as constant; no part of a setup's identity"
    )
    check_every: Annotated[Whole, Ge(1), Le(MOST_EPOCHS)] | None = Field(
        None, description='epochs between looks; 10 where nothing is given, 1 with batch = "full"'
    )
    stop: Literal["budget", "converged"] = Field("budget", description="when a run ends")
    dtype: Literal["float64", "float32"] = Field("float64", description="the arithmetic")

    _file: FileProblem | None = PrivateAttr(None)  # what the file held when it was read: it goes where the setup goes

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

        `file`: what it was trained on, from `problem_files.stored`, where its problem is a file; of the problems in a store it is
        the one with which the setup's identity is that of the row. Raises SweepError.
        """
        keys = {column.name: columns[column.name] for column in SETUP_COLUMNS}
        keys["loss"] = keys.pop("loss_function")
        keys["hidden"] = [int(size) for size in keys["hidden"].split("-")]
        if keys["epochs"] is not None:
            del keys["updates"]
        if file is None:
            return cls(**keys)
        lines: list[str] = []
        given = {key: Given(key, value) for key, value in keys.items() if value is not None and key not in ("problem", "targets")}
        targets = None if keys["targets"] is None else (keys["targets"],)  # joined: the file says what they are
        setup = cls.model_construct(problem=keys["problem"], targets=targets, **_checked(given, lines))
        if lines:
            raise SweepError(lines)
        setup._file = file
        return setup

    @classmethod
    def from_arrays(cls, X: Any, T: Any, **keys: Any) -> Self:
        """A setup whose problem is in memory.

        Parameters: `X`, inputs [row, input], and `T`, targets [row, output] or [row], from 0 to 1; all other keys of a setup.
        Raises SweepError with every mistake.
        """
        lines: list[str] = []
        file = problem_files.from_arrays(X, T, lines)
        given = {key: Given(plain(key), value) for key, value in keys.items() if value is not None}
        lines += [f"{key}: given beside X and T, which are the problem" for key in ("problem", "targets") if key in given]
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
        """The choice and its parameters for each of problem, init, order (resolved), schedule and loss."""
        texts = {key: getattr(self, key) for key in FAMILIES} | {"order": self.resolved_order}
        return {key: reading.read_call(family, texts[key]) for key, family in FAMILIES.items()}

    @property
    def resolved_order(self) -> str:
        """The order in which rows are really presented: as listed where a batch is all of them."""
        return "cyclic" if self.batch == "full" else self.order

    @property
    def warmup(self) -> int:
        """Epochs over which the learning rate rises before the schedule starts."""
        (epochs,) = reading.read_call(FAMILIES["schedule"], self.schedule).shared
        return int(epochs)

    def data(self) -> Problem:
        """Inputs and targets as trained: scaled, and with the target margin. Shared between calls and read-only."""
        return problem.prepared(*self._source, *self._preparation)

    @property
    def digest(self) -> str:
        """The digest of `data()`."""
        return problem.digest(*self._source, *self._preparation)

    @property
    def names(self) -> Names:
        """What inputs and outputs are called: columns of the file and classes, or x0, x1 and so on, t0, t1 and so on."""
        return self._file.names if self._file else problem.numbered(*self.shape[1:])

    @property
    def problem_name(self) -> str:
        """The problem as tables and lines show it: a file by its name alone, so that nothing depends on the folder."""
        path = _path(self.problem)
        return self.problem if path is None else f"file:{os.path.basename(path)}"

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Rows, inputs and outputs of the problem."""
        return problem.shape(*self._source)

    @property
    def _source(self) -> Source:
        if self._file:
            return problem_files.arrays, (self._file,)
        call = reading.read_call(FAMILIES["problem"], self.problem)
        return call.choice.function, call.values

    @property
    def _preparation(self) -> tuple[str, float]:
        """How inputs are scaled and what margin targets get, where that is still to be done."""
        return ("none", 0.0) if self._file and self._file.trained else (self.scale_inputs, self.target_margin)

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
        """Weights and biases of one network, biases counted where `bias` is false too: they are drawn all the same."""
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
        return self.updates if self.updates is not None else (self.epochs or 0) * self.updates_per_epoch

    @property
    def epochs_budget(self) -> int:
        """Epochs of a run that is not stopped early; the last one may be cut short."""
        return -(-self.budget // self.updates_per_epoch)

    @property
    def looks_every(self) -> int:
        """Epochs between looks."""
        return self.check_every or (1 if self.batch == "full" else 10)

    def columns(self) -> dict[str, Any]:
        """The values of `fastbp.columns.SETUP_COLUMNS`, in their order."""
        values = {
            **self.__dict__,
            "problem": self.problem_name,
            "targets": None if self.targets is None else ",".join(self.targets),
            "hidden": "-".join(map(str, self.hidden)),
            "loss_function": self.loss,
            "order": self.resolved_order,
            "batch": self.batch_rows,
            "updates": self.budget,
            "check_every": self.looks_every,
        }
        return {column.name: values[column.name] for column in SETUP_COLUMNS}

    def identity(self, numerics_version: int = NUMERICS_VERSION) -> str:
        """The setup's id: 12 hex digits over its columns, its data and the version of the numerics.

        Hashed are the columns as they stand in the table of runs, save `collapse` and, where the budget was written in epochs,
        the `updates` derived from them; what equals its default is left out, so that a key added later changes no old id. Two
        setups have one id exactly where these columns and the data are the same: `batch = "full"` and all rows in one cyclic
        batch with the same looks are one setup; `xor` and `table:0110`, or an epoch and its number of updates, are two.
        """
        if numerics_version not in self._identities:
            self._identities[numerics_version] = self._hashed(numerics_version)
        return self._identities[numerics_version]

    @cached_property
    def _identities(self) -> dict[int, str]:
        return {}  # a plan of 10⁵ setups asks for each several times

    def _hashed(self, numerics_version: int) -> str:
        keys = {key: value for key, value in self.columns().items() if key != "collapse" and value != defaults()[key]}
        if "loss_function" in keys:
            keys["loss"] = keys.pop("loss_function")  # the key's own name, whatever the table must call it
        if self.epochs is not None:
            del keys["updates"]
        keys = {key: int(v) if isinstance(v, float) and v.is_integer() else v for key, v in keys.items()}  # 1 = 1.0
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
            notes.append(f"{plain(self.problem_name)}: {shown(name)} is the same in every row: there is nothing to learn")
        return notes

    def _read(self) -> tuple[Mistake, ...]:
        """Read the file, where the problem is one: the mistakes in it."""
        path = _path(self.problem)
        if path is None or self._file:
            return ()
        found = problem_files.read(path, self.targets)
        if not isinstance(found, FileProblem):
            return found
        self._file = found
        return ()

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        """Mistakes between keys: the key to blame and the rest of the line. The file is read by the way."""
        if mistakes := self._read():
            yield from mistakes
            return
        if self.targets is not None and not self._file:
            yield "targets", f"given {shown(self.targets)}, allowed: only with problem = 'file:PATH'"
        rows = self.rows
        if self.batch != "full" and self.batch > rows:
            yield "batch", f"given {self.batch}, allowed: at most the {rows:,} rows of {plain(self.problem_name)}, or 'full'"
            return
        if (count := self.parameters) > MOST_PARAMETERS:
            sizes = "-".join(map(str, self.sizes))
            yield "hidden", f"given {shown(self.hidden)}, allowed: at most {MOST_PARAMETERS:,} parameters; {sizes} has {count:,}"
        if axes := self._missing_axes():
            yield "init", f"given {shown(self.init)}, allowed: {axes}"
        budget, each = self.budget, self.updates_per_epoch
        key = "updates" if self.epochs is None else "epochs"
        if budget > MOST_UPDATES:
            yield key, f"given {self.epochs}, allowed: at most {MOST_UPDATES:,} updates, {MOST_UPDATES // each:,} epochs"
        elif self.epochs_budget > MOST_EPOCHS:
            yield key, f"given {budget}, allowed: at most {MOST_EPOCHS:,} epochs, {MOST_EPOCHS * each:,} updates"
        if self.warmup >= self.epochs_budget:
            given = f"given {shown(self.schedule)}"
            yield "schedule", f"{given}, allowed: warmup less than the budget of {self.epochs_budget:,} epochs"

    def _missing_axes(self) -> str:
        """What the two parameters of a grid of initial weights may be, where they are not."""
        call = reading.read_call(FAMILIES["init"], self.init)
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


class Seeds(BaseModel):
    """The seeds start, start + 1, … of every setup."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start: Annotated[Whole, Ge(0), Lt(LAST_SEED)] = Field(default=0, description="the first seed")
    count: Annotated[Whole, Ge(1), Le(LAST_SEED)] = Field(description="how many")

    @property
    def stop(self) -> int:
        """One past the last seed."""
        return self.start + self.count


class Sweep(BaseModel):
    """Many setups × many seeds, as a sweep file says it. `Sweep(seeds=100, setup={…}, grid={…})`; mistakes raise `SweepError`.

    `setup` and `grid` hold what was written, checked and in canonical spelling; `baseline` and `setups` are made of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str = Field("", description="the question that the sweep answers")
    seeds: Seeds = Field(description="how many seeds, or {start = S, count = N}")
    setup: dict[str, Any] = Field(default_factory=dict, description="the baseline: any keys of a setup")
    grid: tuple[dict[str, tuple[Any, ...]], ...] = Field((), description="lists of values, crossed; of several grids, the union")
    published: tuple[Published, ...] = Field((), description="what others printed of such runs, to hold beside ours")

    _baseline: Setup | None = PrivateAttr(None)
    _setups: tuple[Setup, ...] = PrivateAttr(())
    _own: tuple[int | None, ...] = PrivateAttr(())  # how many seeds each grid says
    _counts: dict[str, int] = PrivateAttr({})  # of each setup by its id, where it is not the same for all

    def __init__(self, **data: Any) -> None:
        parts = _read_sweep(data, "", None, (), "")
        super().__init__(**parts.fields)
        self._baseline, self._setups, self._own, self._counts = parts.privates

    @property
    def baseline(self) -> Setup | None:
        """The setup that `[setup]` alone describes; None where it needs the grid to be complete."""
        return self._baseline

    @property
    def setups(self) -> tuple[Setup, ...]:
        """All setups without repeats, in the order of the file, the last key of a grid fastest."""
        return self._setups

    def seeds_of(self, setup: Setup) -> Seeds:
        """The seeds of one of the setups: of all that its grids say the most, and the sweep's own where none says any."""
        return self.seeds.model_copy(update={"count": self._counts[setup.identity()]}) if self._counts else self.seeds

    @property
    def all_seeds(self) -> Seeds:
        """The seeds that any setup has."""
        return self.seeds.model_copy(update={"count": max(self._counts.values())}) if self._counts else self.seeds

    @property
    def runs(self) -> int:
        """Setups times seeds."""
        return sum(self._counts.values()) if self._counts else len(self.setups) * self.seeds.count

    def with_seeds(self, start: int, count: int) -> Self:
        """The sweep with these seeds in every setup."""
        sweep = self.model_copy(update={"seeds": Seeds(start=start, count=count)})
        sweep._own, sweep._counts = (), {}
        return sweep

    def within(self, start: int, count: int) -> Self:
        """The sweep without other seeds than these, of which a setup may have none."""
        sweep = self.with_seeds(start, count)
        sweep._counts = {name: max(0, min(self.seeds.start + own - start, count)) for name, own in self._counts.items()}
        return sweep

    @property
    def notes(self) -> list[str]:
        """What is allowed but worth a word, each once."""
        notes = [note for setup in self.setups for note in setup.notes()]
        for i, (one, setups) in enumerate(zip(self.published, self._fitting(), strict=True)):
            if not setups:
                notes.append(f"published[{i + 1}]: no setup has {plain(reading.toml(one.where))}, so this figure is left out")
        return list(dict.fromkeys(notes))

    def _fitting(self) -> list[list[Setup]]:
        """The setups of which each published figure is."""
        return [[s for s in self.setups if all(getattr(s, k) == v for k, v in one.where.items())] for one in self.published]

    @classmethod
    def from_toml(cls, path: str | PathLike[str], seeds: int | str | Seeds | None = None, settings: Iterable[str] = ()) -> Self:
        """Read a sweep file.

        Parameters: `path`; `seeds`, in place of the file's count (its start stays) or, as `Seeds`, of both; `settings`, strings
        `KEY=VALUE` over the file: a value replaces the key in `[setup]` and takes it out of every grid, a list of several
        replaces it in every grid (and makes one where there is none), a list of one is its value.

        Raises SweepError.
        """
        try:
            text = reading.read_file(path)
        except ValueError as error:
            raise SweepError([f"{named(path)}: {error}"]) from None
        return cls.from_text(text, named(path), seeds, settings, os.path.dirname(fspath(path)))

    @classmethod
    def from_text(
        cls,
        text: str,
        name: str = "",
        seeds: int | str | Seeds | None = None,
        settings: Iterable[str] = (),
        folder: str | PathLike[str] = "",
    ) -> Self:
        """Read the text of a sweep file; `name` stands before each line of a mistake, paths in it are seen from `folder`."""
        try:
            data = reading.read_toml(text)
        except ValueError as error:
            raise SweepError([f"{name}: {error}" if name else str(error)]) from None
        return cls.from_dict(data, name, seeds, settings, folder)

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        name: str = "",
        seeds: int | str | Seeds | None = None,
        settings: Iterable[str] = (),
        folder: str | PathLike[str] = "",
    ) -> Self:
        """A sweep from what a file holds: title, seeds, setup, grid and published."""
        parts = _read_sweep(data, name, seeds, settings, fspath(folder))
        sweep = cls.model_construct(**parts.fields)
        sweep._baseline, sweep._setups, sweep._own, sweep._counts = parts.privates
        return sweep

    def to_toml(self, folder: str | PathLike[str] | None = None) -> str:
        """The sweep as a file that reads back to an equal one.

        Files of `problem` are written as seen from `folder`, where the file is to lie, so that both can move together; without
        one, by absolute path. In a folder the file also says the ids of the setups, `[resolved]`, for reports, which know none of
        the choices; reading passes over them.
        """
        setup = {key: _placed(key, value, folder) for key, value in self.setup.items()}
        whole = self.seeds.count if self.seeds.start == 0 else self.seeds.model_dump()
        lines = [f"title = {reading.toml(self.title)}"] if self.title else []
        lines.append(f"seeds = {reading.toml(whole)}")
        if setup:
            lines += ["", "[setup]", *(f"{key} = {reading.toml(value)}" for key, value in setup.items())]
        for table, own in itertools.zip_longest(self.grid, self._own[: len(self.grid)]):
            lines += ["", "[grid]" if len(self.grid) == 1 else "[[grid]]"]
            lines += [f"seeds = {own}"] if own else []
            for key, values in table.items():
                lines.append(f"{key} = {reading.toml([_in_grid(key, _placed(key, value, folder)) for value in values])}")
        for one in self.published:
            where = {key: _placed(key, value, folder) for key, value in one.where.items()}
            lines += ["", "[[published]]", *(f"{key} = {reading.toml(value)}" for key, value in one.written(where).items())]
        if folder is not None:
            lines += ["", "[resolved]"]
            if self.baseline:
                lines.append(f"baseline = {reading.toml(self.baseline.identity())}")
            lines.append(f"setups = {reading.toml([setup.identity() for setup in self.setups])}")
            if self.published:
                ids = [[setup.identity() for setup in setups] for setups in self._fitting()]
                lines.append(f"published = {reading.toml(ids)}")
            if self._counts:
                lines.append(f"seeds = {reading.toml([self.seeds_of(setup).count for setup in self.setups])}")
        return "\n".join(lines) + "\n"


# Values of keys


@lru_cache(maxsize=64)
def _adapter(key: str) -> TypeAdapter[Any]:
    hint = get_type_hints(Setup, include_extras=True)[key]
    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


def allowed(key: str) -> str:
    """What a setup key may be, in words."""
    if key in FAMILIES:
        return reading.usages(FAMILIES[key])
    return reading.words(get_type_hints(Setup, include_extras=True)[key])


def _check(key: str, value: object, folder: str) -> Any:
    """The value of one key, checked by itself and in its canonical form. Raises ValueError with the rest of each line."""
    if key in FAMILIES:
        call = reading.read_call(FAMILIES[key], value)
        if call.choice.function is problems.file:
            path = problem_files.located(call.values[0], folder)
            problem_files.check(path)
            return f"file:{path}"
        if key == "problem":
            try:
                problem.shape(call.choice.function, call.values)
            except ValueError as error:  # what annotations cannot say, such as a power of two
                raise ValueError(f"given {shown(value)}, allowed: {call.choice.usage}; {plain(str(error), 120)}") from None
        return call.spelling
    try:
        return _adapter(key).validate_python(value)
    except (ValidationError, RecursionError):
        options = reading.options(get_type_hints(Setup, include_extras=True)[key])
        raise ValueError(f"given {shown(value)}, allowed: {allowed(key)}{nearest(value, options)}") from None


def _path(problem: str) -> str | None:
    """The path of a problem, checked already, that is a file."""
    return problem.removeprefix("file:") if problem.startswith("file:") else None


class Given(NamedTuple):
    """A value as it was written, the place that a line names (`founding.toml: setup.lr`, `--set lr`), the folder of paths."""

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
    return _checked({key: Given(f"{place}.{plain(str(key))}", value, folder) for key, value in table.items()}, lines)


def _unknown(key: object, known: Iterable[str]) -> str:
    names = list(known)
    hint = nearest(key, names)
    if not hint and key in Setup.model_fields:
        hint = f"; did you mean 'setup.{key}'?"
    if not hint and key in Sweep.model_fields:
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


# The sweep


_Grid = dict[str, tuple[Any, ...]]


class _Parts(NamedTuple):
    fields: dict[str, Any]
    privates: tuple[Setup | None, tuple[Setup, ...], tuple[int | None, ...], dict[str, int]]


def _read_sweep(
    data: Mapping[str, Any], name: str, seeds: int | str | Seeds | None, settings: Iterable[str], folder: str
) -> _Parts:
    """Check and expand a whole sweep. Raises SweepError with every mistake in it."""
    lines: list[str] = []
    here = f"{name}: " if name else ""
    for key in data:
        if key not in (*Sweep.model_fields, "resolved"):  # which says of a store's file what follows from the rest
            lines.append(f"{here}{plain(str(key))}: {_unknown(key, Sweep.model_fields)}")
    title = data.get("title", "")
    if not isinstance(title, str) or len(title) > 1000 or not all(c.isprintable() for c in title):
        lines.append(f"{here}title: given {shown(title)}, allowed: a string of at most 1,000 printable characters")
    chosen = _read_seeds(data.get("seeds"), here, seeds, lines)
    setup, tables, seeds_given = _places(data, here, folder, lines)
    own = tuple(_own_seeds(seeds_given, chosen, lines))
    own = own if seeds is None else ()
    seen: set[str] = set()
    for text in settings:
        _set(text, setup, tables, seen, lines)
    values = _checked(setup, lines)
    figures = published.read(data.get("published", ()), here, partial(_where, folder=folder, lines=lines), lines)
    lengths = [[len(given.value) for given in table.values()] for table in tables]
    total = sum(math.prod(max(length, 1) for length in each) for each in lengths)
    few = sum(map(sum, lengths)) <= MOST_SETUPS  # values, which may be few where setups are too many
    grids = [_grid_values(table, lines) for table in tables] if few else []
    if total > MOST_SETUPS or not few:
        lines.append(f"{here}grid: given {total:,} setups, allowed: at most {MOST_SETUPS:,}")
        raise SweepError(dict.fromkeys(lines))
    for index, table in enumerate(tables or [{}]):
        place = f"{here}grid[{index + 1}]." if len(tables) > 1 else f"{here}setup."
        lines += _incomplete(_outside(setup, table) | table, place)
    expanded, baseline = _expand(setup, values, tables, grids, here, lines)
    if lines or chosen is None:
        raise SweepError(dict.fromkeys(lines))
    fields = {"title": title, "seeds": chosen, "setup": values, "grid": tuple(grids), "published": figures}
    setups = tuple(one for one, _ in expanded)
    counts = [max((own[i] if i < len(own) else None) or chosen.count for i in places) for _, places in expanded]
    several = {one.identity(): count for one, count in zip(setups, counts, strict=True)} if set(counts) - {chosen.count} else {}
    return _Parts(fields, (baseline, setups, own, several))


def _read_seeds(value: object, here: str, override: int | str | Seeds | None, lines: list[str]) -> Seeds | None:
    """The seeds of a file, or those that stand in for them."""
    place, written = f"{here}seeds", value
    if isinstance(override, Seeds):
        return override
    if override is not None:
        place, written = "--seeds", override
        with suppress(ValueError):  # more digits than an integer may have: refused below as it stands
            written = reading.read_value(override) if isinstance(override, str) else override
        start = value.get("start", 0) if isinstance(value, Mapping) else 0
        value = written if isinstance(written, Mapping) else {"start": start, "count": written}
    elif isinstance(value, Seeds):
        return value
    try:
        chosen = Seeds.model_validate(value if isinstance(value, Mapping) else {"count": value})
        if chosen.stop <= LAST_SEED:
            return chosen
    except ValidationError:
        pass
    given = "not given" if written is None else f"given {shown(written)}"
    lines.append(f"{place}: {given}, allowed: an integer from 1, or {{start = S, count = N}} with S ≥ 0 and S + N ≤ 2^63")
    return None


def _own_seeds(given: Sequence[Given | None], chosen: Seeds | None, lines: list[str]) -> Iterator[int | None]:
    """How many seeds each grid says; a line for each that is wrong."""
    for each in given:
        most = LAST_SEED - (chosen.start if chosen else 0)
        count = reading.as_number(each.value) if each else None
        if each and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most):
            lines.append(f"{each.place}: given {shown(each.value)}, allowed: an integer from 1; they start where the sweep's do")
        yield count if isinstance(count, int) else None


def _places(data: Mapping[str, Any], here: str, folder: str, lines: list[str]) -> tuple[Placed, list[Placed], list[Given | None]]:
    """The tables of a file with the place of each value, and the seeds of each grid; a line for what should be a table and is
    not."""
    setup, grid = data.get("setup", {}), data.get("grid", [])
    if not isinstance(setup, Mapping):
        lines.append(f"{here}setup: given {shown(setup)}, allowed: a table, [setup]")
        setup = {}
    grids = [grid] if isinstance(grid, Mapping) else reading.as_list(grid)
    if grids is None or not all(isinstance(table, Mapping) for table in grids):
        lines.append(f"{here}grid: given {shown(grid)}, allowed: a table, [grid], or several, [[grid]]")
        grids = []
    tables: list[Placed] = []
    seeds: list[Given | None] = []
    for index, table in enumerate(grids):
        place = f"{here}grid" if len(grids) == 1 else f"{here}grid[{index + 1}]"
        tables.append({})
        seeds.append(Given(f"{place}.seeds", table["seeds"]) if "seeds" in table else None)
        for key, value in table.items():
            if key == "seeds":
                continue
            where = f"{place}.{plain(str(key))}"
            options = None
            try:
                options = reading.as_list(_listed(key, value))
                if key in Setup.model_fields and not options:
                    lines.append(f"{where}: given {shown(value)}, allowed: a list of one or more values")
            except ValueError as error:
                lines.append(f"{where}: {error}")
            tables[-1][key] = Given(where, _each_table(options or ()) if key == "problem" else options or (), folder)
    return {key: Given(f"{here}setup.{plain(str(key))}", value, folder) for key, value in setup.items()}, tables, seeds


def _each_table(options: Sequence[Any]) -> Sequence[Any]:
    """Problems of a grid, those with `?` among their bits as every table that it stands for, 0 before 1.

    What is wrong stays as it is, and so do more tables than a sweep has setups: a line says of each what is allowed.
    """
    found: list[Any] = []
    for option in options:
        bits = _unknown_bits(option)
        many = bits.count("?")
        if many and len(found) + 2**many <= MOST_SETUPS:
            pieces = (("0", "1") if bit == "?" else (bit,) for bit in bits)
            found += [f"table:{''.join(each)}" for each in itertools.product(*pieces)]
        else:
            found.append(option)
    return found


def _unknown_bits(problem: object) -> str:
    """The bits of a table, with or without `?`; nothing where it is no table, or a wrong one."""
    with suppress(ValueError):
        call = reading.read_call(FAMILIES["problem"], problem)
        if call.choice.function is problems.table:
            problems.table(call.values[0].replace("?", "0"))
            return str(call.values[0])
    return ""


def _listed(key: object, value: object) -> object:
    """A grid's values where a short form stands for them; all else as it is. Raises ValueError with the rest of a line."""
    if not isinstance(value, Mapping) or key not in Setup.model_fields:
        return value
    if key == "hidden":
        return series.networks(value)
    types = _types(get_type_hints(Setup, include_extras=True)[str(key)])
    return series.numbers(value, whole=int in types) if types & {int, float} else value


def _types(hint: Any) -> set[Any]:
    """The types that an annotation is made of."""
    return {hint}.union(*map(_types, get_args(hint)))


def _set(text: str, setup: Placed, tables: list[Placed], seen: set[str], lines: list[str]) -> None:
    """Lay one `KEY=VALUE` over a sweep. A path in it is seen from the current folder, wherever the sweep file lies."""
    key, equals, written = (piece.strip() for piece in text.partition("="))
    if not equals or not key:
        lines.append(f"--set: given {shown(text)}, allowed: KEY=VALUE")
        return
    place = f"--set {plain(key)}"
    if key == "seeds":
        lines.append(f"{place}: unknown key, allowed: keys of a setup; for seeds there is --seeds")
        return
    if ALTERNATIVE.get(key) in seen:
        lines.append(f"{place}: given beside --set {ALTERNATIVE[key]}, allowed: one of updates and epochs")
        return
    seen.add(key)
    try:
        value = _listed(key, reading.read_value(written))
    except ValueError as error:
        lines.append(f"{place}: {error}")
        return
    if key == "problem":
        many = _each_table(value if isinstance(value, list) else [value])
        value = [*many] if len(many) > 1 else value
    if value == []:
        lines.append(f"{place}: given [], allowed: a list of one or more values")
    elif isinstance(value, list) and len(value) > 1:
        tables.extend([] if tables else [{}])
        for table in tables:
            table[key] = Given(place, value)
            table.pop(ALTERNATIVE.get(key), None)
    else:
        setup[key] = Given(place, value[0] if isinstance(value, list) else value)
        for given in (setup, *tables):
            given.pop(ALTERNATIVE.get(key), None)
        for table in tables:
            table.pop(key, None)


def _grid_values(table: Placed, lines: list[str]) -> _Grid:
    """The values of a grid that are right, keys in the order of the file."""
    values: _Grid = {}
    for key, (place, options, folder) in table.items():
        if key == "collapse":
            lines.append(f"{place}: given a list, allowed: one value in [setup], since no run changes with it")
        elif key not in Setup.model_fields:
            lines.append(f"{place}: {_unknown(key, Setup.model_fields)}")
        else:
            checked = (_checked({key: Given(place, option, folder)}, lines) for option in options)
            values[key] = tuple(value for found in checked for value in found.values())
    return values


def _outside(setup: dict[str, Any], table: Iterable[str]) -> dict[str, Any]:
    """What a grid leaves of `[setup]`: it takes the place of its own keys, and its budget that of one written the other way."""
    taken = set(table)
    return {key: value for key, value in setup.items() if key not in taken and ALTERNATIVE.get(key) not in taken}


def _expand(
    setup: Placed, values: dict[str, Any], tables: list[Placed], grids: list[_Grid], here: str, lines: list[str]
) -> tuple[list[tuple[Setup, list[int]]], Setup | None]:
    """All setups without repeats, each with the positions of the grids that it is in, and the baseline; lines for mistakes
    between keys, found on what is right by itself."""
    found: dict[tuple[Any, ...], tuple[Setup, list[int]]] = {}
    files: _Files = {}
    baseline = Setup.model_construct(**values) if _complete(values) else None
    if baseline and any(baseline._conflicts()):
        baseline = None  # the grid may mend it; what it does not mend is said below
    for place, (table, grid) in enumerate(zip(tables or [{}], grids or [{}], strict=True)):
        fixed = _outside(values, grid)
        wrong = {key for key, options in grid.items() if not options} | (_outside(setup, grid).keys() - fixed.keys())
        from_files = [problem for problem in grid.get("problem", (fixed.get("problem", ""),)) if _path(problem)]
        if from_files and "targets" in wrong:
            continue
        mistakes = _read_files(from_files, grid.get("targets", (fixed.get("targets"),)), files)
        lines += [f"{_blamed(key, table, setup, here)}: {text}" for key, text in mistakes]  # whatever else is wrong
        if wrong & {"problem", "batch", "updates", "epochs"} or not _complete({**fixed, **grid}):
            continue  # said already, and what would follow from a default in its place might not be so
        crossed = {key: options for key, options in grid.items() if options}
        common = Setup.model_construct(**fixed)
        for combination in itertools.product(*crossed.values()):
            one = common.model_copy(update=dict(zip(crossed, combination, strict=True)))
            one._file = files.get((one.problem, one.targets))
            # What is wrong with the layers is said already, and axes of a grid may be right with the right ones.
            conflicts = [(key, text) for key, text in one._conflicts() if key != "init" or "hidden" not in wrong]
            lines += [f"{_blamed(key, table, setup, here)}: {text}" for key, text in conflicts]
            if not conflicts:
                found.setdefault(tuple(one.columns().values()), (one, []))[1].append(place)
    return list(found.values()), baseline


_Files = dict[tuple[str, tuple[str, ...] | None], FileProblem]
"""What was read, by problem and targets; and the first file of each name, by the name that tables show."""


def _read_files(found: list[str], targets: Iterable[tuple[str, ...] | None], files: _Files) -> Iterator[Mistake]:
    """Read the problems that are files, each with each choice of targets, into `files`: the mistakes in them."""
    for path, columns in itertools.product(found, targets):
        one = Setup.model_construct(problem=path, targets=columns)
        yield from one._read()
        if one._file:
            files[path, columns] = one._file
            if files.setdefault((one.problem_name, columns), one._file) != one._file:
                rule = "different names for different files, as tables show the name alone"
                yield Mistake("problem", f"given {shown(one.problem_name)}, allowed: {rule}; {shown(path)} is the second")


def _blamed(key: str, table: Placed, setup: Placed, here: str) -> str:
    """The place of a key, where it was written or would have to be."""
    return (table.get(key) or setup.get(key) or Given(f"{here}setup.{key}", None)).place


def _complete(keys: Mapping[str, Any]) -> bool:
    return "problem" in keys and len(ALTERNATIVE.keys() & keys) == 1


def _in_grid(key: str, value: Any) -> Any:
    """A value as a grid spells it: one layer without its list."""
    return value[0] if key == "hidden" and len(value) == 1 else value


def _placed(key: str, value: Any, folder: str | PathLike[str] | None) -> Any:
    """A value as a file in this folder spells it: another file by the way to it."""
    path = _path(value) if key == "problem" else None
    return value if path is None or folder is None else f"file:{problem_files.relative(path, folder)}"


@lru_cache(maxsize=1)
def defaults() -> dict[str, Any]:
    """Columns of a setup of which nothing is written; null where there is no default."""
    fields = {key: None if field.is_required() else field.default for key, field in Setup.model_fields.items()}
    return {**fields, "hidden": "4", "check_every": 10, "loss_function": fields["loss"]}
