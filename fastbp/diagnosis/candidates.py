"""Single changes of a setup that may fix it: what a person would try, each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fastbp.choices.families import FAMILIES
from fastbp.config.setup import MAX_EPOCHS, MAX_UPDATES, Setup
from fastbp.schema.errors import SweepError

MAX_LARGER = 300_000
"""Updates up to which a hundred or a thousand times as many are tried."""

MIN_RATE, MAX_RATE = 1e-3, 100.0
"""Rates that are tried where those within ten times of the setup's own do not fix it."""

FALLING = "a rate that falls too fast"
OWN = ("the target margin", "what is added to σ′", "weight decay too strong", "no biases", FALLING)
"""Causes that are settings which few choose."""

UNDOING = (*OWN, "momentum too high")
"""Causes that are settings of somebody's own: undone together with others even where that does
nothing by itself."""

LARGE, SMALL = "initial weights too large", "initial weights too small"


class Change(NamedTuple):
    """A change of a setup. `keys`: columns of the setup and their new values; `cause`: what was
    wrong if it fixes.
    """

    name: str
    cause: str
    keys: Mapping[str, Any]


def changed(setup: Setup, *changes: Change) -> Setup:
    """The setup with these changes. Raises SweepError where they make none."""
    return setup.with_columns(
        {key: value for change in changes for key, value in change.keys.items()}
    )


def changes(setup: Setup) -> list[Change]:
    """All single changes that are tried, but those that make no setup, or one that is tried
    already.
    """
    return _distinct(setup, [], _changes(setup))


def larger(setup: Setup, tried: Sequence[Change]) -> list[Change]:
    """The same kinds of change, much larger: what is left where no change that was `tried` makes
    most seeds converge.
    """
    return _distinct(setup, tried, _larger(setup))


def _distinct(setup: Setup, tried: Sequence[Change], more: Iterator[Change]) -> list[Change]:
    found, known = [], {setup.identity(), *(changed(setup, change).identity() for change in tried)}
    for change in more:
        try:
            identity = changed(setup, change).identity()
        except SweepError:
            continue
        if identity not in known:
            found.append(change)
            known.add(identity)
    return found


def _changes(setup: Setup) -> Iterator[Change]:
    for factor in (3, 10):
        yield Change(f"{factor} × the updates", "too few updates", _budget(setup, factor))
    for part in (3, 10):
        yield Change(f"rate ÷ {part}", "rate too high", {"lr": setup.lr / part})
    for factor in (3, 10):
        yield Change(f"{factor} × the rate", "rate too low", {"lr": setup.lr * factor})
    for order in ("shuffled", "random", "cyclic"):
        if order != setup.resolved_order and setup.batch_rows < setup.rows:
            yield Change(
                f"order {order}", f"the order of samples, {setup.resolved_order}", {"order": order}
            )
    if setup.momentum:
        yield Change("no momentum", "momentum too high", {"momentum": 0.0})
        yield Change("momentum 0.5", "momentum too high", {"momentum": 0.5})
    else:
        yield Change(
            "momentum 0.9", "rate too low", {"momentum": 0.9}
        )  # which makes steps ten times as long
    rescaled = "" if setup.init_scale == 1 else ", scale 1"
    # A grid of weights is for looking at, no remedy; it is the one that needs parameters.
    for init in [
        name
        for name, choice in FAMILIES["init"].choices.items()
        if not any(p.required for p in choice.parameters)
    ]:
        yield Change(
            f"init {init}{rescaled}", _of_size(setup, init), {"init": init, "init_scale": 1.0}
        )
    yield Change("initial weights ÷ 3", LARGE, {"init_scale": setup.init_scale / 3})
    yield Change("3 × the initial weights", SMALL, {"init_scale": setup.init_scale * 3})
    twice = "-".join(str(2 * size) for size in setup.hidden)
    yield Change("2 × the hidden units", "too few hidden units", {"hidden": twice})
    if len(setup.hidden) > 1:
        yield Change("one hidden layer", "too many layers", {"hidden": str(setup.hidden[0])})
    for loss in FAMILIES["loss"].choices:
        if loss != setup.loss:
            yield Change(f"loss {loss}", f"the loss, {setup.loss}", {"loss_function": loss})
    for scale in ("standard", "minmax"):
        yield Change(f"inputs scaled: {scale}", "unscaled inputs", {"scale_inputs": scale})
    if setup.schedule != "constant":
        yield Change("a constant rate", FALLING, {"schedule": "constant"})
    if setup.target_margin:
        yield Change("no target margin", "the target margin", {"target_margin": 0.0})
    elif setup.tolerance > 0.1:  # with a smaller one it would move the goal
        yield Change(
            "target margin 0.1", "targets at the ends of the sigmoid", {"target_margin": 0.1}
        )
    if setup.prime_offset:
        yield Change("nothing added to σ′", "what is added to σ′", {"prime_offset": 0.0})
    else:
        yield Change("0.1 added to σ′", "flat spots of σ′", {"prime_offset": 0.1})
    if setup.weight_decay:
        yield Change("no weight decay", "weight decay too strong", {"weight_decay": 0.0})
        yield Change(
            "weight decay ÷ 10",
            "weight decay too strong",
            {"weight_decay": setup.weight_decay / 10},
        )
    if not setup.bias:
        yield Change("adding biases", "no biases", {"bias": True})
    yield from _batches(setup)


def _larger(setup: Setup) -> Iterator[Change]:
    for power in range(2, 8):
        factor = 10**power
        if power < 4 and setup.budget * factor <= MAX_LARGER:
            yield Change(f"{factor:,} × the updates", "too few updates", _budget(setup, factor))
        if setup.lr / factor >= MIN_RATE:
            yield Change(f"rate ÷ {factor:,}", "rate too high", {"lr": setup.lr / factor})
        if setup.lr * factor <= MAX_RATE:
            yield Change(f"{factor:,} × the rate", "rate too low", {"lr": setup.lr * factor})
    yield Change("initial weights ÷ 30", LARGE, {"init_scale": setup.init_scale / 30})
    yield Change("30 × the initial weights", SMALL, {"init_scale": setup.init_scale * 30})
    several = "-".join(str(4 * size) for size in setup.hidden)
    yield Change("4 × the hidden units", "too few hidden units", {"hidden": several})


def _of_size(setup: Setup, init: str) -> str:
    """What is wrong with the initial weights if those of another distribution fix it."""
    inputs, units = setup.sizes[:2]
    sizes = {"normal": 1.0, "uniform": 3**-0.5} | dict.fromkeys(
        ("glorot-normal", "glorot-uniform"), (2 / (inputs + units)) ** 0.5
    )
    own, other = setup.init_scale * sizes.get(setup.init, 1.0), sizes.get(init, 1.0)
    if max(own, other) < 1.5 * min(own, other):
        return f"the distribution of the initial weights, {setup.init}"
    return LARGE if own > other else SMALL


def _budget(setup: Setup, factor: float) -> dict[str, Any]:
    """The budget in the key that it was written in."""
    if setup.epochs is not None:
        return {"epochs": min(MAX_EPOCHS, round(setup.epochs * factor))}
    return {"updates": min(MAX_UPDATES, round(setup.budget * factor)), "epochs": None}


def _batches(setup: Setup) -> Iterator[Change]:
    """Other batches, at equal updates and at equal presentations."""
    whole, each = setup.rows, 1
    other, name = (whole, "full batch") if setup.batch_rows == 1 else (each, "batch 1")
    presentations = setup.budget * setup.batch_rows
    if other != setup.batch_rows:
        equal: dict[str, Any] = {"batch": other, "epochs": None}
        if setup.eval_every is None:
            equal["eval_every"] = (
                None  # looks come with the batch, as in a file that says nothing of them
            )
        cause = "the batch, or too few presentations" if other > setup.batch_rows else "the batch"
        yield Change(f"{name}, as many updates", cause, equal | {"updates": setup.budget})
        yield Change(
            f"{name}, as many presentations",
            "the batch",
            equal | {"updates": max(1, presentations // other)},
        )
