"""The changes of a setup that a diagnosis tries, each of one thing, such as 10 × the updates."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, get_args

import numpy as np

from fastbp.choices.families import FAMILIES
from fastbp.config.setup import Setup
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import KEYS, MAX_EPOCHS, MAX_UPDATES

MAX_LARGER = 300_000
"""The changes to 100 and 1,000 times the updates are tried only if that is at most this number."""

MAX_BATCH = 32
"""The largest full batch that is tried with as many updates."""

MIN_RATE, MAX_RATE = 1e-3, 100.0
"""Smallest and largest learning rate that are tried if no smaller change fixes the setup."""

FALLING = "a rate that falls too fast"
CUSTOM = (
    "the target margin",
    "what is added to σ′",
    "weight decay too strong",
    "no biases",
    FALLING,
)
"""Causes of failure that come from settings which few people choose."""

UNDOING = (*CUSTOM, "momentum too high")
"""Causes of failure that are deliberate choices. Undoing such a choice is also tried together with
other changes, even if that alone fixes nothing."""

LARGE, SMALL = "initial weights too large", "initial weights too small"
RATE_HIGH, RATE_LOW = "rate too high", "rate too low"
UPDATES_FEW, UNITS_FEW = "too few updates", "too few hidden units"
DEAD, DEAD_OUTPUT = "dead ReLU units", "ReLU outputs, which answer 0 once they are dead"
OUT_OF_REACH = "targets that the output does not reach"
LINEAR = {"output": "linear", "loss_function": "squared"}


class Change(NamedTuple):
    """A change of a setup.

    `name`: what it does, such as "rate ÷ 3". `cause`: what was wrong with the setup if the change
    helps, such as "rate too high". `keys`: the columns of the setup that change, with their new
    values.
    """

    name: str
    cause: str
    keys: Mapping[str, Any]


def changed(setup: Setup, *changes: Change) -> Setup:
    """The setup with these changes. Raises SweepError if the result is not allowed."""
    return setup.with_columns({key: v for each in changes for key, v in each.keys.items()})


def changes(setup: Setup) -> list[Change]:
    """List the single changes to try, without duplicates and those that are not allowed."""
    return _distinct(
        setup,
        [],
        [
            *_of_units(setup),
            *_of_training(setup),
            *_of_weights(setup),
            *_of_data(setup),
            *_of_batch(setup),
        ],
    )


def larger(setup: Setup, tried: Sequence[Change]) -> list[Change]:
    """List much larger changes, for a setup that none of the changes in `tried` fixes."""
    lr, scale = setup.lr or 0.0, setup.init_scale
    candidates: list[Candidate] = []
    for n in (10**power for power in range(2, 8)):
        candidates += [
            (
                n < 10_000 and setup.budget * n <= MAX_LARGER,
                f"{n:,} × the updates",
                UPDATES_FEW,
                _budget(setup, n),
            ),
            (lr / n >= MIN_RATE, f"rate ÷ {n:,}", RATE_HIGH, {"lr": lr / n}),
            (lr * n <= MAX_RATE, f"{n:,} × the rate", RATE_LOW, {"lr": lr * n}),
        ]
    candidates += [
        (True, "initial weights ÷ 30", LARGE, {"init_scale": scale / 30}),
        (True, "30 × the initial weights", SMALL, {"init_scale": scale * 30}),
        (True, "4 × the hidden units", UNITS_FEW, _hidden(setup, 4)),
    ]
    return _distinct(setup, tried, candidates)


def cures(setup: Setup, tried: Sequence[Change]) -> list[Change]:
    """List what people are often advised, for a setup that no other change fixes.

    That is to change the activation, the optimiser, or the output.
    """
    (_, size), *others = setup.groups or [(0, 0)]
    plain = setup.optimizer == "sgd" and not setup.weight_decay
    return _distinct(
        setup,
        tried,
        [
            *(
                (
                    setup.activation != name,
                    f"{word} hidden units",
                    f"the activation, {setup.activation}",
                    {"activation": name},
                )
                for name, word in (("tanh", "tanh"), ("relu", "ReLU"))
            ),
            (plain, "Adam, rate 0.01", "plain gradient descent", ADAM),
            (
                size == setup.shape[2] > 1 and not others and setup.output != "softmax",
                "softmax outputs",
                f"the output, {setup.output}",
                {"output": "softmax", "loss_function": "cross-entropy"},
            ),
        ],
    )


Candidate = tuple[bool, str, str, dict[str, Any]]
"""A change that may not apply: whether it makes sense for the setup, and the fields of `Change`."""


def _distinct(
    setup: Setup, tried: Sequence[Change], candidates: Iterable[Candidate]
) -> list[Change]:
    distinct: dict[str, Change] = {}
    for change in (
        # four digits, to be copied: 0.3, not 0.30000000000000004
        Change(
            name,
            cause,
            {key: float(f"{v:.4g}") if isinstance(v, float) else v for key, v in keys.items()},
        )
        for ok, name, cause, keys in candidates
        if ok
    ):
        with suppress(SweepError):
            distinct.setdefault(changed(setup, change).identity(), change)
    known = {setup.identity(), *(changed(setup, change).identity() for change in tried)}
    return [change for identity, change in distinct.items() if identity not in known]


def _of_training(setup: Setup) -> list[Candidate]:
    online, momentum = setup.batch_rows < setup.rows, bool(setup.momentum)
    cause, rate = f"the order of samples, {setup.resolved_order}", setup.lr or 0.0
    return [
        *((True, f"{n} × the updates", UPDATES_FEW, _budget(setup, n)) for n in (3, 10)),
        *((rate > 0, f"rate ÷ {n}", RATE_HIGH, {"lr": rate / n}) for n in (3, 10)),
        *((rate > 0, f"{n} × the rate", RATE_LOW, {"lr": rate * n}) for n in (3, 10)),
        *(
            (online and order != setup.resolved_order, f"order {order}", cause, {"order": order})
            for order in ("shuffled", "random", "cyclic")
        ),
        (momentum, "no momentum", "momentum too high", {"momentum": 0.0}),
        (momentum, "momentum 0.5", "momentum too high", {"momentum": 0.5}),
        # It makes steps ten times as long.
        (not momentum, "momentum 0.9", RATE_LOW, {"momentum": 0.9}),
    ]


def _of_weights(setup: Setup) -> list[Candidate]:
    rescaled = "" if setup.init_scale == 1 else ", scale 1"
    more = ["he-normal", "torch"] * (setup.activation != "sigmoid")
    scale, single = setup.init_scale, {"hidden": str(setup.hidden[0])}
    return [
        *(
            (
                True,
                f"init {name}{rescaled}",
                _init_cause(setup, name),
                {"init": name, "init_scale": 1.0},
            )
            for name in ("normal", "uniform", "glorot-normal", "glorot-uniform", *more)
        ),
        (True, "initial weights ÷ 3", LARGE, {"init_scale": scale / 3}),
        (True, "3 × the initial weights", SMALL, {"init_scale": scale * 3}),
        (True, "2 × the hidden units", UNITS_FEW, _hidden(setup, 2)),
        (len(setup.hidden) > 1, "one hidden layer", "too many layers", single),
    ]


SGD = {"optimizer": "sgd", "lr": 0.1, "schedule": "constant"}
ADAM = {"optimizer": "adam", "lr": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


def _of_units(setup: Setup) -> list[Candidate]:
    """List what undoes a user's own activation, output or optimiser."""
    hidden, output = f"the activation, {setup.activation}", f"the output, {setup.output}"
    return [
        (setup.activation != "sigmoid", "sigmoid hidden units", hidden, {"activation": "sigmoid"}),
        (
            setup.activation.startswith("relu"),
            "leaky ReLU hidden units",
            DEAD,
            {"activation": "leaky-relu"},
        ),
        # Their outputs have no bound, and can explode.
        (
            setup.activation in ("linear", "exponential"),
            "tanh hidden units",
            hidden,
            {"activation": "tanh"},
        ),
        (setup.output == "relu", "sigmoid outputs", DEAD_OUTPUT, {"output": "sigmoid"}),
        (setup.output == "relu", "linear outputs", DEAD_OUTPUT, {"output": "linear"}),
        (setup.output == "tanh", "sigmoid outputs", output, {"output": "sigmoid"}),
        (setup.optimizer != "sgd", "sgd, rate 0.1", f"the optimiser, {setup.optimizer}", SGD),
        (bool(setup.out_of_range), "linear outputs", OUT_OF_REACH, LINEAR),
    ]


def _of_data(setup: Setup) -> list[Candidate]:
    # With a smaller tolerance a margin would move the goal.
    margin = not setup.target_margin and setup.tolerance > 0.1
    offset, decay = setup.prime_offset, setup.weight_decay
    sigmoids = setup.activation == setup.output == "sigmoid"
    strong = "weight decay too strong"
    return [
        *(
            (loss != setup.loss, f"loss {loss}", f"the loss, {setup.loss}", {"loss_function": loss})
            for loss in FAMILIES["loss"].choices
        ),
        *(
            (scale != "none", f"inputs scaled: {scale}", "unscaled inputs", {"scale_inputs": scale})
            for scale in get_args(KEYS["scale_inputs"].annotation)
        ),
        (
            bool(setup.quantities) and setup.scale_targets == "none",
            "targets scaled: minmax",
            OUT_OF_REACH,
            {"scale_targets": "minmax"},
        ),
        (
            bool(setup.groups) and setup.class_weight == "none" and uneven(setup),
            "balanced class weights",
            "classes of unequal size",
            {"class_weight": "balanced"},
        ),
        (setup.schedule != "constant", "a constant rate", FALLING, {"schedule": "constant"}),
        (setup.target_margin > 0, "no target margin", "the target margin", {"target_margin": 0.0}),
        (
            margin,
            "target margin 0.1",
            "targets at the ends of the sigmoid",
            {"target_margin": 0.1},
        ),
        (offset > 0, "nothing added to σ′", "what is added to σ′", {"prime_offset": 0.0}),
        (sigmoids and not offset, "0.1 added to σ′", "flat spots of σ′", {"prime_offset": 0.1}),
        (decay > 0, "no weight decay", strong, {"weight_decay": 0.0}),
        (decay > 0, "weight decay ÷ 10", strong, {"weight_decay": decay / 10}),
        (not setup.bias, "adding biases", "no biases", {"bias": True}),
    ]


def uneven(setup: Setup) -> bool:
    """Whether the classes of a label differ in their numbers of rows."""
    T = setup.training().T
    sizes = (T[:, first : first + n].sum(axis=0) / len(T) for first, n in setup.groups)
    return any(bool(np.abs(size - 1 / max(len(size), 2)).max() > 0.1) for size in sizes)


def _of_batch(setup: Setup) -> list[Candidate]:
    """List changes to another batch size, with as many updates and with as many presentations."""
    batch, name = (setup.rows, "full batch") if setup.batch_rows == 1 else (1, "batch 1")
    keys: dict[str, Any] = {"batch": batch, "epochs": None}
    if setup.eval_every is None:
        keys["eval_every"] = None  # the default depends on the batch
    few = ", or too few presentations" * (batch > setup.batch_rows)
    applies = batch != setup.batch_rows
    return [
        # With many rows that is above all more presentations, which other changes try.
        (
            applies and batch <= MAX_BATCH,
            f"{name}, as many updates",
            f"the batch{few}",
            keys | {"updates": setup.budget},
        ),
        (
            applies,
            f"{name}, as many samples",
            "the batch",
            keys | {"updates": max(1, setup.budget * setup.batch_rows // batch)},
        ),
    ]


def _init_cause(setup: Setup, init: str) -> str:
    """Say what is wrong with the initial weights if another distribution helps."""
    inputs, units = setup.sizes[:2]
    glorot = (2 / (inputs + units)) ** 0.5
    sizes = {"uniform": 3**-0.5, "glorot-normal": glorot, "glorot-uniform": glorot}
    sizes |= {"he-normal": (2 / inputs) ** 0.5, "torch": (3 * inputs) ** -0.5}
    size, other = setup.init_scale * sizes.get(setup.init, 1.0), sizes.get(init, 1.0)
    return (
        f"the distribution of the initial weights, {setup.init}"
        if (max(size, other) < 1.5 * min(size, other))
        else (LARGE if size > other else SMALL)
    )


def _hidden(setup: Setup, factor: int) -> dict[str, Any]:
    """The key for hidden layers with `factor` times as many units."""
    return {"hidden": "-".join(str(factor * size) for size in setup.hidden)}


def _budget(setup: Setup, factor: int) -> dict[str, Any]:
    """The keys for `factor` times the budget, in epochs if the setup has them, else in updates."""
    epochs = setup.epochs and {"epochs": min(MAX_EPOCHS, round(setup.epochs * factor))}
    return epochs or {"updates": min(MAX_UPDATES, round(setup.budget * factor)), "epochs": None}


ANSWERED = (
    Change("7,992 updates at rate 0.1", UPDATES_FEW, {"updates": 7992, "epochs": None, "lr": 0.1}),
    Change("order shuffled", "the order", {"order": "shuffled"}),
)
"""The two changes that the accepted answer to the question of the founding sweep advised: more
updates at half the rate, and another order of samples."""
