"""Find values of a setup that are valid alone but not together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.choices import inits
from fastbp.choices.families import FAMILIES
from fastbp.config.choice_syntax import read_call
from fastbp.problems.problem import summary
from fastbp.problems.targets import FEW_CLASSES, Mistake
from fastbp.schema.keys import KEYS, MAX_EPOCHS, MAX_PARAMETERS, MAX_UPDATES
from fastbp.schema.text import dashed, plain, refusal, shown

if TYPE_CHECKING:
    from fastbp.config.setup import Setup


def notes(setup: Setup) -> list[str]:
    """Warnings about values that are allowed but probably a mistake, one line each."""
    texts = {
        f"tolerance = {setup.tolerance} and collapse = {setup.collapse} overlap: a run that is "
        "within both counts as converged": (
            setup.resolved_success == "rows" and setup.collapse > 1 - 2 * setup.tolerance
        ),
        f"tolerance = {setup.tolerance} changes nothing, as success = "
        f"{shown(setup.resolved_success)}": (
            setup.resolved_success != "rows" and setup.tolerance != KEYS["tolerance"].default
        ),
        f"init = {shown(setup.init)}: all hidden units of a layer start equal and stay equal": (
            setup.init.partition(":")[0] in ("zeros", "constant")
        ),
        f"init_scale = {shown(setup.init_scale)} changes nothing, as init = 'zeros'": (
            setup.init == "zeros" and setup.init_scale != KEYS["init_scale"].default
        ),
        "rprop goes by the sign of the gradient, and in small batches that changes from one to the "
        'next; it is made for batch = "full"': (
            setup.optimizer.startswith("rprop") and setup.batch_rows < setup.rows
        ),
    }
    constant = setup.file.constant if setup.file else ""
    texts[
        f"{plain(setup.problem_name)}: {constant} the same in every row: there is nothing to learn"
    ] = bool(constant)
    return [text for text, applies in texts.items() if applies]


Rule = tuple[object, str, str]
"""Whether the value of a key is wrong, the key, and what is allowed in its place."""


def find(setup: Setup, any_range: bool = False) -> Iterator[Mistake]:
    """Find values that are valid alone but not together. A `file:` problem must be loaded.

    `any_range`: whether targets may lie outside the range of outputs.
    """
    yield from _broken(setup, _of_data(setup))
    if not any_range:
        yield from _out_of_range(setup)
    yield from _broken(setup, [*_of_units(setup), *_of_optimizer(setup)])
    if setup.batch != "full" and setup.batch > setup.rows:
        yield _refused(
            setup,
            "batch",
            f"at most the {setup.rows:,} rows of {plain(setup.problem_name)}, or 'full'",
        )
        return
    yield from _broken(setup, [*_of_size(setup), *_of_success(setup), *_of_budget(setup)])


def _broken(setup: Setup, rules: Iterable[Rule]) -> Iterator[Mistake]:
    return (_refused(setup, key, allowed) for is_wrong, key, allowed in rules if is_wrong)


def _of_data(setup: Setup) -> list[Rule]:
    name, split = plain(setup.problem_name), "fixed, or with held-out rows: test > 0"
    return [
        *(
            (True, key, "only with problem = 'file:PATH'")
            for key in ("targets", "target_kind", "scale_targets")
            if getattr(setup, key) != KEYS[key].default and not setup.file
        ),
        (setup.test and not setup.test_rows, "test", f"0, as {name} has only one row"),
        (
            setup.file
            and setup.file.trained
            and setup.file.meaning.test_rows != (setup.test_split != "seed") * setup.test_rows,
            "test",
            "what holds out as many rows as the stored problem does",
        ),
        (setup.test_split != "fixed" and not setup.test_rows, "test_split", split),
        (
            setup.class_weight != "none" and not setup.groups,
            "class_weight",
            "none, as no target is classes",
        ),
    ]


RATE_KEYS = ("lr", "schedule")
"""The keys that only an optimiser with a learning rate has."""


@cache
def has_rate(optimizer: str) -> bool:
    """Whether an optimiser has a learning rate."""
    call = read_call(FAMILIES["optimizer"], optimizer)
    return bool(call.choice.function(*call.values).has_rate)


def unused_rate(keys: Mapping[str, Any]) -> Iterator[Mistake]:
    """Refuse a learning rate or a schedule that is written beside an optimiser without a rate."""
    if not has_rate(keys.get("optimizer", KEYS["optimizer"].default)):
        for key in RATE_KEYS:
            if keys.get(key) is not None:
                yield Mistake(
                    key,
                    refusal(keys[key], f"nothing, as {keys['optimizer']} has no learning rate"),
                )


def _of_optimizer(setup: Setup) -> list[Rule]:
    """What keys of `sgd`, and the parameters of another optimiser, must be to go together."""
    call = setup.calls["optimizer"]
    *_, step, least, most = call.values if call.choice.name == "rprop" else (0, 0, 0)
    return [
        *(
            (True, key, f"{shown(KEYS[key].default)}, as optimizer = {shown(setup.optimizer)}")
            for key in ("momentum", "nesterov", "weight_decay")
            if setup.optimizer != "sgd" and getattr(setup, key)
        ),
        (not least <= step <= most, "optimizer", "rprop with min ≤ step ≤ max"),
        (
            setup.optimizer == "sgd" and setup.nesterov and not setup.momentum,
            "nesterov",
            "false, or with momentum > 0",
        ),
    ]


def _of_units(setup: Setup) -> list[Rule]:
    """What activations, outputs and a loss must be to go together."""
    softmax, single = setup.output == "softmax", setup.shape[2] == 1
    return [
        (
            len(setup.activations) != len(setup.hidden),
            "activation",
            f"one, or one for each of the {len(setup.hidden)} hidden layers",
        ),
        (
            setup.loss == "cross-entropy" and setup.output not in ("sigmoid", "softmax"),
            "loss",
            f"squared, as output = {setup.output!r}; or output = 'sigmoid' or 'softmax'",
        ),
        (
            softmax and setup.loss != "cross-entropy",
            "loss",
            "cross-entropy, as output = 'softmax'",
        ),
        (
            softmax and single,
            "output",
            "sigmoid, as there is one output: a softmax over one output is always 1",
        ),
        (
            softmax and not single and not summary(*setup.data_key)[1],
            "output",
            "sigmoid, as softmax outputs sum to 1 and the targets of a row do not",
        ),
    ]


def _of_size(setup: Setup) -> list[Rule]:
    """What a network must be to have these weights."""
    most = f"at most {MAX_PARAMETERS:,} parameters; {dashed(setup.sizes)} has {setup.parameters:,}"
    axes = _allowed_axes(setup)
    return [(setup.parameters > MAX_PARAMETERS, "hidden", most), (axes, "init", axes)]


def _of_success(setup: Setup) -> list[Rule]:
    """What a criterion of success must be for these targets and the held-out rows."""
    name, on_test = setup.resolved_success.partition(":")[0], setup.success_on == "test"
    return [
        (
            name == "accuracy" and not setup.groups,
            "success",
            "r2, loss or rows: no target is a label",
        ),
        (
            name == "r2" and not setup.quantities,
            "success",
            "accuracy, loss or rows: no target is a quantity",
        ),
        (
            on_test and setup.test_rows and name == "rows",
            "success",
            "accuracy, r2 or loss with success_on = 'test'",
        ),
        (
            on_test and not setup.test_rows,
            "success_on",
            "train, or with held-out rows: test > 0",
        ),
    ]


def _of_budget(setup: Setup) -> list[Rule]:
    """What a budget must be, and a warmup to end within it."""
    each, epochs = setup.updates_per_epoch, setup.epochs_budget
    is_long = setup.budget > MAX_UPDATES
    return [
        (
            is_long,
            "epochs",
            f"at most {MAX_UPDATES:,} updates, {MAX_UPDATES // each:,} epochs",
        ),
        (
            epochs > MAX_EPOCHS and not is_long,
            "updates",
            f"at most {MAX_EPOCHS:,} epochs, {MAX_EPOCHS * each:,} updates",
        ),
        (
            setup.warmup >= epochs,
            "schedule",
            f"warmup less than the budget of {epochs:,} epochs",
        ),
    ]


def _out_of_range(setup: Setup) -> Iterator[Mistake]:
    """Refuse quantities that no output can reach, and say which keys help."""
    low, high = setup.reaches
    for name, T in setup.out_of_range.items():
        few = len(np.unique(T)) <= FEW_CLASSES and bool((np.floor(T) == T).all())
        yield _refused(
            setup,
            "scale_targets",
            f"minmax, as {shown(name)} of {plain(setup.problem_name)} runs from {T.min():.6g} to "
            f"{T.max():.6g} and {setup.output} outputs only reach {low:g} to {high:g}: add "
            'scale_targets = "minmax" or output = "linear"' + ' or target_kind = "classes"' * few,
        )


def _refused(setup: Setup, key: str, rule: str) -> Mistake:
    given = setup.resolved_success if key == "success" else getattr(setup, key)
    return Mistake(key, refusal(given, rule))


def _allowed_axes(setup: Setup) -> str:
    """Say what x and y of `init = 'grid:…'` may be; empty if there is nothing wrong."""
    call = setup.calls["init"]
    if call.choice.function is not inits.grid:
        return ""
    _, x, y, _ = call.values
    if x == y:
        return "x and y that differ"
    ends = itertools.accumulate((a + 1) * b for a, b in itertools.pairwise(setup.sizes))
    biases = [(end - units, end) for end, units in zip(ends, setup.sizes[1:], strict=True)]
    if not setup.bias and any(low <= each < high for low, high in biases for each in (x, y)):
        return "x and y of weights where bias = false"
    below = f"x and y below the {setup.parameters:,} parameters of {dashed(setup.sizes)}"
    return below if max(x, y) >= setup.parameters else ""
