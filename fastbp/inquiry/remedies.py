"""Single changes of a setup that may mend it: what a person would try, each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fastbp.choices.families import FAMILIES
from fastbp.engine.reading import SweepError
from fastbp.engine.spec import MOST_EPOCHS, MOST_UPDATES, Setup

LARGE, SMALL = "initial weights too large", "initial weights too small"


class Change(NamedTuple):
    """A change of a setup. `keys`: columns of the setup and their new values; `cause`: what was wrong if it mends."""

    name: str
    cause: str
    keys: Mapping[str, Any]


def changed(setup: Setup, *changes: Change) -> Setup:
    """The setup with these changes. Raises SweepError where they make none."""
    columns = setup.columns()
    for change in changes:
        columns |= change.keys
    made = Setup.from_columns(columns, setup._file)
    if lines := [f"{key}: {text}" for key, text in made._conflicts()]:
        raise SweepError(lines)
    return made


def changes(setup: Setup) -> list[Change]:
    """All single changes that are tried, but those that make no setup, or one that is tried already."""
    found, known = [], {setup.identity()}
    for change in _changes(setup):
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
            yield Change(f"order {order}", f"the order of samples, {setup.resolved_order}", {"order": order})
    if setup.momentum:
        yield Change("no momentum", "momentum too high", {"momentum": 0.0})
        yield Change("momentum 0.5", "momentum too high", {"momentum": 0.5})
    else:
        yield Change("momentum 0.9", "rate too low", {"momentum": 0.9})  # which makes steps ten times as long
    # A grid of weights is for looking at, no remedy; it is the one that needs parameters.
    for init in [name for name, choice in FAMILIES["init"].choices.items() if not any(p.required for p in choice.parameters)]:
        yield Change(f"init {init}", _of_size(setup, init), {"init": init, "init_scale": 1.0})
    yield Change("initial weights ÷ 3", LARGE, {"init_scale": setup.init_scale / 3})
    yield Change("3 × the initial weights", SMALL, {"init_scale": setup.init_scale * 3})
    twice = "-".join(str(2 * size) for size in setup.hidden)
    yield Change("2 × the hidden units", "too few hidden units", {"hidden": twice})
    for loss in FAMILIES["loss"].choices:
        if loss != setup.loss:
            yield Change(f"loss {loss}", f"the loss, {setup.loss}", {"loss_function": loss})
    for scale in ("standard", "minmax"):
        yield Change(f"inputs scaled: {scale}", "unscaled inputs", {"scale_inputs": scale})
    margin = 0.0 if setup.target_margin else 0.1
    yield Change(f"target margin {margin:g}", "targets at the ends of the sigmoid", {"target_margin": margin})
    if not setup.prime_offset:
        yield Change("0.1 added to σ′", "flat spots of σ′", {"prime_offset": 0.1})
    if not setup.bias:
        yield Change("with biases", "no biases", {"bias": True})
    yield from _batches(setup)


def _of_size(setup: Setup, init: str) -> str:
    """What is wrong with the initial weights if those of another distribution mend it."""
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
        return {"epochs": min(MOST_EPOCHS, round(setup.epochs * factor))}
    return {"updates": min(MOST_UPDATES, round(setup.budget * factor)), "epochs": None}


def _batches(setup: Setup) -> Iterator[Change]:
    """Other batches, at equal updates and at equal presentations."""
    whole, each = setup.rows, 1
    other, name = (whole, "full batch") if setup.batch_rows == 1 else (each, "batch 1")
    presentations = setup.budget * setup.batch_rows
    if other != setup.batch_rows:
        equal: dict[str, Any] = {"batch": other, "epochs": None}
        if setup.check_every is None:
            equal["check_every"] = None  # looks come with the batch, as in a file that says nothing of them
        yield Change(f"{name}, as many updates", "the batch", equal | {"updates": setup.budget})
        yield Change(f"{name}, as many presentations", "the batch", equal | {"updates": max(1, presentations // other)})
