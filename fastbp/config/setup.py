"""A setup: all hyperparameters of a network and its training, and the id of the setup."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any, Self

from fastbp.choices.families import FAMILIES
from fastbp.config import conflicts
from fastbp.config.choice_syntax import (
    LAYERS,
    Call,
    Given,
    checked,
    file_path,
    incomplete,
)
from fastbp.config.setup_data import SetupData, parsed
from fastbp.problems import targets as targets_module
from fastbp.problems.problem import ProblemData, prepare
from fastbp.problems.targets import Mistake
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import (
    COLUMN_DEFAULTS,
    KEYS,
    NUMERICS_VERSION,
)
from fastbp.schema.text import dashed, plain, refusal


@dataclass(frozen=True, init=False)
class Setup(SetupData):
    """All hyperparameters of a network and its training: `Setup(problem="xor", updates=999)`.

    The arguments are the keys of `[setup]` in a sweep file: `fastbp.schema.keys.KEYS` describes
    them and has the defaults. The attribute `file` has the data of a `file:` problem, else None.

    Raises
    ------
    SweepError
        If a key is missing or invalid. It lists every mistake.
    """

    def __init__(self, **keys: Any) -> None:
        self.__dict__.update(vars(_built(keys, {}, [])))

    @classmethod
    def unchecked(cls, values: Mapping[str, Any], file: ProblemData | None = None) -> Self:
        """Make a setup of canonical values without checking them; other keys get defaults."""
        setup = cls.__new__(cls)
        setup.__dict__.update(_DEFAULTS | {"file": file} | dict(values))
        if not conflicts.has_rate(setup.optimizer):
            setup.__dict__.update(dict.fromkeys(conflicts.RATE_KEYS))
        return setup

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any], file: ProblemData | None = None) -> Self:
        """Make the setup of a row of the table of runs.

        Parameters
        ----------
        columns
            The values of the row by column name; None where a column is null.
        file
            The data of a `file:` problem (`fastbp.problems.targets.stored`). They are the right
            ones if the setup gets the id that the row has.

        Raises
        ------
        SweepError
            If the values make no setup.
        """
        keys = {key.name: columns[key.column] for key in KEYS.values()}
        keys["hidden"] = [int(size) for size in keys["hidden"].split("-")]
        if keys["epochs"] is not None:
            del keys["updates"]
        if file is None:
            if str(keys["problem"]).partition(":")[0].strip() == "file":
                # a row may come from a stranger: no path of it is read
                raise SweepError([f"problem: {refusal(keys['problem'], 'only with its data')}"])
            return cls(**keys)
        # The column joins the targets with commas; the file knows what they are.
        known = {
            "problem": keys["problem"],
            "targets": None if keys["targets"] is None else (keys["targets"],),
            "file": file,
        }
        return cls.unchecked(vars(_built(keys, known, [], any_range=True)))

    @classmethod
    def from_arrays(cls, X: Any, T: Any, *, any_range: bool = False, **keys: Any) -> Self:
        """Make a setup from data in memory.

        Parameters
        ----------
        X : array [row, input]
            Inputs, from −10³⁰ to 10³⁰.
        T : array [row, output] or [row]
            Targets, classes or quantities as `target_kind` says; quantities are from 0 to 1.
        any_range
            Whether quantities may lie outside 0…1, where no output comes near them.
        **keys
            The keys of the setup, without `problem` and `targets`.

        Raises
        ------
        SweepError
            If an array or a key is invalid. It lists every mistake.
        """
        lines: list[str] = []
        file = targets_module.from_arrays(X, T, lines, keys.get("target_kind") or "auto")
        lines += [
            f"{key}: given together with X and T, which are the problem already"
            for key in ("problem", "targets")
            if keys.get(key) is not None
        ]
        return cls.unchecked(
            vars(
                _built(
                    keys,
                    {"problem": "file:arrays.npz", "targets": None, "file": file},
                    lines,
                    any_range,
                )
            )
        )

    def replaced(self, **values: Any) -> Self:
        """Copy the setup with other values for some keys, which are not checked."""
        return self.unchecked(
            {each.name: getattr(self, each.name) for each in fields(self)} | values
        )

    def for_seed(self, seed: int) -> Self:
        """The setup with the data of one run: its rows are split as the run's seed says."""
        if self.test_split != "seed":
            return self
        return self.replaced(
            file=prepare(self.source, self._preparation(seed)),
            test_split="fixed",
            success=self.resolved_success,
        )

    def with_columns(self, changes: Mapping[str, Any]) -> Self:
        """Copy the setup with other values in columns of the table of runs. Raises SweepError."""
        return self.from_columns({**self.columns(), **changes}, self.file)

    def settings(self) -> dict[str, Any]:
        """The keys that differ from their defaults, with their values."""
        return {
            name: getattr(self, name)
            for name, key in KEYS.items()
            if getattr(self, name) not in (None, key.default)
        }

    # What follows from the keys

    @cached_property
    def calls(self) -> dict[str, Call]:
        """The parsed choices of all families by key; order and success are resolved."""
        texts = {key: getattr(self, key) for key in FAMILIES} | {
            "order": self.resolved_order,
            "success": self.resolved_success,
            "activation": self.activations[0],
            "schedule": self.schedule or KEYS["schedule"].default,
        }
        return {family: parsed(family, texts[family]) for family in FAMILIES}

    @property
    def resolved_order(self) -> str:
        """The order in which rows are presented: `cyclic` with `batch = "full"`, else `order`."""
        return "cyclic" if self.batch == "full" else self.order

    @cached_property
    def resolved_success(self) -> str:
        """The criterion of success: `success`, or the default for the problem.

        The default is `rows` for a built-in problem and for a truth table: its inputs are 0 and 1,
        and no two rows have the same. For other tables the default is `r2:0.9` for quantities, and
        for labels `accuracy:0.95` or, if more, halfway between 1 and the accuracy of always giving
        the commonest answer.
        """
        if self.success is not None:
            return self.success
        if not self.file or self.file.is_truth_table:
            return "rows"
        wrong = min(0.05, float(f"{(1 - self.file.majority) / 2:.2g}"))
        return f"accuracy:{1 - wrong:g}" if self.groups else "r2:0.9"

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each hidden layer."""
        each = tuple(self.activation.split(LAYERS))
        return each * len(self.hidden) if len(each) == 1 else each

    @property
    def fixed_bias(self) -> float:
        """The initial value of all biases; NaN if `init` draws them, 0 if there are none."""
        if self.bias and self.bias_init == "init":
            return math.nan
        return float(self.bias_init) if self.bias and self.bias_init != "zeros" else 0.0

    @property
    def warmup(self) -> int:
        """Epochs over which the learning rate rises before the schedule starts."""
        return int(self.calls["schedule"].shared[0])

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of units in each layer, inputs and outputs included."""
        _, inputs, outputs = self.shape
        return (inputs, *self.hidden, outputs)

    @property
    def parameters(self) -> int:
        """The number of weights and biases of a network; unused biases count, as they are drawn."""
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(self.sizes))

    @property
    def batch_rows(self) -> int:
        """The number of rows per update."""
        return self.rows if self.batch == "full" else self.batch

    @property
    def updates_per_epoch(self) -> int:
        """The number of updates in an epoch; the last batch of an epoch may be smaller."""
        return -(-self.rows // self.batch_rows)

    @property
    def budget(self) -> int:
        """The number of updates of a run that is not stopped early."""
        return self.updates or (self.epochs or 0) * self.updates_per_epoch

    @property
    def epochs_budget(self) -> int:
        """The number of epochs of a run that is not stopped early; the last may be incomplete."""
        return -(-self.budget // self.updates_per_epoch)

    @property
    def eval_interval(self) -> int:
        """The number of epochs between evaluations."""
        # With "rows", evaluations of full batches cost almost nothing.
        return self.eval_every or (
            1 if self.batch == "full" and self.resolved_success == "rows" else 10
        )

    def columns(self) -> dict[str, Any]:
        """The setup as in the table of runs: values by column, in the order of `SETUP_COLUMNS`."""
        values = {
            **self.__dict__,
            "problem": self.problem_name,
            "targets": None if self.targets is None else _joined(self.targets),
            "hidden": dashed(self.hidden),
            "bias_init": str(self.bias_init),
            "order": self.resolved_order,
            "success": self.resolved_success,
            "batch": self.batch_rows,
            "updates": self.budget,
            "eval_every": self.eval_interval,
        }
        return {key.column: values[key.name] for key in KEYS.values()}

    def identity(self, numerics_version: int = NUMERICS_VERSION) -> str:
        """The setup's id: 12 hex digits over its columns, its data and the numerics version.

        Notes
        -----
        The hash covers the columns as the table of runs has them, except `collapse` and, if the
        budget was written in epochs, the `updates` derived from them. Columns at their defaults
        are left out, so a key that is added later changes no old id. Two setups have one id exactly
        if these columns and the data are equal: `batch = "full"` and all rows in one cyclic
        batch with equal evaluations are one setup; `xor` and `table:0110`, or an epoch and its
        number of updates, are two.
        """
        # Kept, because a plan of 10⁵ setups needs each several times.
        known: dict[int, str] = self.__dict__.setdefault("_identities", {})
        if numerics_version not in known:
            known[numerics_version] = self._hashed(numerics_version)
        return known[numerics_version]

    def _hashed(self, numerics_version: int) -> str:
        columns = self.columns()
        keys: dict[str, Any] = {}
        for key in KEYS.values():
            value = columns[key.column]
            derived = key.name == "updates" and self.epochs is not None
            if key.in_id and not derived and value != COLUMN_DEFAULTS[key.column]:
                keys[key.name] = (
                    int(value) if isinstance(value, float) and value.is_integer() else value
                )  # 1 = 1.0
        text = json.dumps(
            {"data": self.digest, "numerics": numerics_version, "setup": keys},
            sort_keys=True, separators=(",", ":"), ensure_ascii=False,
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()[:12]


_joined = lru_cache(maxsize=1024)(",".join)
"""The names of targets as one word: thousands of setups share it, and it may be long."""

_DEFAULTS = {key.name: key.default for key in KEYS.values()}


def load(keys: Mapping[str, Any]) -> ProblemData | tuple[Mistake, ...] | None:
    """Read the `file:` problem of checked keys.

    Returns its data or its mistakes; None for any other problem.
    """
    path = file_path(keys["problem"])
    if path is None:
        return None
    return targets_module.read(path, keys.get("targets"), keys.get("target_kind", "auto"))


def _built(
    keys: Mapping[str, Any], known: Mapping[str, Any], lines: list[str], any_range: bool = False
) -> Setup:
    """Check keys, read the problem's file, and check that the values go together.

    `known`: checked fields, which take the place of `keys`; `lines`: messages so far; `any_range`:
    whether targets may lie outside the range of outputs. Raises SweepError with every mistake.
    """
    given = {
        key: Given(plain(key), value)
        for key, value in keys.items()
        if value is not None and key not in known
    }
    values = {**checked(given, lines), **known}
    lines += [f"{key}: {text}" for key, text in conflicts.unused_rate(values)]
    lines += incomplete({**dict.fromkeys(known, Given("", None)), **given}, "")
    if lines:
        raise SweepError(lines)
    file = known.get("file") or load(values)
    mistakes = file if isinstance(file, tuple) else ()
    setup = Setup.unchecked(values | {"file": None if mistakes else file})
    lines += [f"{key}: {text}" for key, text in mistakes or conflicts.find(setup, any_range)]
    if lines:
        raise SweepError(lines)
    return setup
