"""Is my network unlucky? A user's initial weights in many orders of samples, among fresh seeds."""

import os
import re
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.diagnosis.symptoms import advance
from fastbp.diagnosis.trials import MeasuredRuns, TimeIsUpError, joined, measured
from fastbp.engine.block import check_denormals
from fastbp.engine.lane_group import LaneGroup, Layers, task
from fastbp.engine.rows import Rows
from fastbp.kernels import measures as m
from fastbp.schema.errors import SweepError
from fastbp.schema.text import named, percent, plain, plural


def read(path: str | os.PathLike[str], setup: Setup) -> Layers:
    """Read weights from a .npz file: W0, b0, W1, b1, …, W[out, in].

    Raises
    ------
    SweepError
        With every mistake in the file.
    """
    refusal = f"--weights: given {named(path)}, allowed:"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise SweepError([f"{refusal} an existing .npz file"]) from None
    except Exception as error:  # over damaged bytes NumPy and zipfile raise a dozen kinds
        why = plain((str(error).splitlines() or [type(error).__name__])[0], 120)
        raise SweepError([f"{refusal} a sound .npz file; {why}"]) from None
    return fitting(arrays, setup)


def fitting(arrays: dict[str, NDArray[Any]], setup: Setup) -> Layers:
    """Check that weights fit the networks of a setup. Raises SweepError with every mistake."""
    lines: list[str] = []
    layers: Layers = []
    for layer, (n, k) in enumerate(pairwise(setup.sizes)):
        W, b = _checked(arrays, f"W{layer}", (k, n), lines), np.zeros(k)
        if setup.bias:
            b = _checked(arrays, f"b{layer}", (k,), lines)
        elif np.any(arrays.get(f"b{layer}", 0)):
            needed = "needed: none, or zeros, as this setup has bias = false"
            lines.append(f"b{layer}: given, {needed}")
        layers.append((W, b))
    last = len(setup.hidden)
    lines += [
        f"{name}: given, needed: none, as the network has {last + 1} layers, 0 to {last}"
        for name in arrays
        if re.fullmatch(r"[Wb]\d+", name) and int(name[1:]) > last
    ]
    if lines:
        sizes = "-".join(map(str, setup.sizes))
        raise SweepError([f"--weights, for a network {sizes}: {line}" for line in lines])
    return layers


def _checked(
    arrays: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...], lines: list[str]
) -> NDArray[np.float64]:
    """An array in its shape; what is wrong with it is added to `lines`."""
    values = None
    with suppress(KeyError, TypeError, ValueError):
        values = np.asarray(arrays[name], np.float64)
    if values is None:
        given = "no numbers" if name in arrays else "nothing"
        problem = f"given {given}, needed: an array of shape {shape} ([out, in] for weights)"
    elif values.shape != shape and (name[0] == "W" or values.size != shape[0]):
        swapped = ", which is the other way round: W[out, in]" * (values.shape == shape[::-1])
        problem = f"given shape {values.shape}{swapped}, needed: {shape}"
    elif not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        problem = f"given {count} values that are not finite, needed: none"
    else:
        return values.reshape(shape)
    lines.append(f"{name}: {problem}")
    return np.zeros(shape)


class Placement(NamedTuple):
    """The runs of a user's weights, in many orders of samples, among runs of fresh seeds.

    `loss_percentile`: percent of fresh networks with a smaller final loss than the median of the
    user's runs. `updates_percentile`: percent that converge in fewer updates; runs that never
    converge count last, and half of the equal ones count. `alike`: for each hidden layer in which
    units start with the same weights, in and out: its position, how many such units, and how many
    units in all.
    """

    custom: MeasuredRuns
    fresh: MeasuredRuns
    loss_percentile: float
    updates_percentile: float
    alike: tuple[tuple[int, int, int], ...] = ()

    @property
    def converges(self) -> bool:
        """Whether the median run of the user's weights converges."""
        return bool(np.isfinite(np.median(_updates(self.custom))))


def place(
    setup: Setup,
    layers: Layers,
    fresh: MeasuredRuns,
    orders: int = 200,
    start: int = 0,
    deadline: float = np.inf,
) -> Placement | None:
    """Train a user's weights in many orders of samples, and compare them with fresh seeds.

    Parameters
    ----------
    setup : Setup
    layers : list of (W [out, in], b [out])
        The initial weights.
    fresh : MeasuredRuns
        Runs of fresh seeds.
    orders, start : int
        How many orders of samples, and the seed of the first.
    deadline : float
        On the clock of ``time.perf_counter``.

    Returns
    -------
    Placement or None
        Of fewer orders where time is short; None where there is no time for any.
    """
    side_by_side = task(setup).lanes
    parts: list[MeasuredRuns] = []
    with suppress(TimeIsUpError):
        for first in range(0, orders, side_by_side):
            count = min(side_by_side, orders - first)
            parts.append(_train(setup, layers, start + first, count, deadline))
    if not parts:
        return None
    custom = joined(parts)
    return Placement(
        custom,
        fresh,
        _percentile(fresh.end[m.LOSS], custom.end[m.LOSS]),
        _percentile(_updates(fresh), _updates(custom)),
        alike(layers),
    )


def sentences(placement: Placement) -> list[str]:
    """Say how a user's own weights compare with fresh seeds."""
    custom, fresh = placement.custom, placement.fresh
    rates = percent(custom.converged().mean()), percent(fresh.converged().mean())
    first = (
        f"Your weights, in {plural(custom.runs, 'order')} of samples: {rates[0]} converge; of "
        f"{plural(fresh.runs, 'fresh seed')}, {rates[1]} do."
    )
    if placement.converges:
        ends = f"{placement.updates_percentile:.0f}% converge in fewer updates"
    else:
        ends = "in most orders yours never converge" if fresh.converged().any() else "none converge"
    ends = f"{placement.loss_percentile:.0f}% of fresh networks end with a smaller loss, and {ends}"
    if not placement.alike:
        return [first, f"{ends}: {_luck(placement)}."]
    layer, units, total = placement.alike[0]
    same = f"{'all ' * (units == total)}{units} units of hidden layer {layer + 1}"
    return [
        first,
        f"{ends}. That is not bad luck: {same} start with the same weights, in and out. They "
        "always get the same updates and stay one unit, in every order. Draw initial weights at "
        "random.",
    ]


def _luck(placement: Placement) -> str:
    """Whether the network is at an end of the fresh ones, or does what most of them do not."""
    custom, fresh = placement.custom.converged(), placement.fresh.converged()
    worst = max(placement.loss_percentile, placement.updates_percentile * fresh.any())
    often, usual = custom.mean() > 0.5, fresh.mean() > 0.5
    if worst >= 95 or (usual and not often):
        return "your network is unlucky"
    lucky = worst <= 5 or (often and not usual)
    return "your network is lucky" if lucky else "your network is like others"


def as_json(placement: Placement) -> dict[str, Any]:
    """The comparison for programs."""
    return {
        "orders": placement.custom.runs,
        "converged": int(placement.custom.converged().sum()),
        "fresh": placement.fresh.runs,
        "fresh_converged": int(placement.fresh.converged().sum()),
        "loss_percentile": placement.loss_percentile,
        "updates_percentile": placement.updates_percentile,
    }


def alike(layers: Layers) -> tuple[tuple[int, int, int], ...]:
    """Hidden layers with units of equal weights, in and out: their gradients stay equal."""
    counts = [
        np.unique(np.column_stack([W, b, V.T]), axis=0, return_counts=True)[1]
        for (W, b), (V, _) in pairwise(layers)
    ]
    return tuple(
        (layer, int(each[each > 1].sum()), int(each.sum()))
        for layer, each in enumerate(counts)
        if each.max() > 1
    )


def _updates(runs: MeasuredRuns) -> NDArray[np.float64]:
    return np.where(runs.converged_at >= 0, runs.converged_at, np.inf)


def _percentile(fresh: NDArray[np.float64], custom: NDArray[np.float64]) -> float:
    """Percent of fresh values below the median of custom ones; equal ones count half, NaN as ∞."""
    fresh, custom = (np.where(np.isnan(values), np.inf, values) for values in (fresh, custom))
    median = np.median(custom)
    return 100 * float((fresh < median).mean() + 0.5 * (fresh == median).mean())


def _train(
    setup: Setup, layers: Layers, first: int, count: int, deadline: float = np.inf
) -> MeasuredRuns:
    """Train the same weights in the orders of `count` seeds from `first`. Raises TimeIsUpError."""
    check_denormals()
    group = LaneGroup(task(setup), np.arange(first, first + count, dtype=np.uint64))
    group.set_layers(layers)
    starts = group.measure(with_gradient=False)[0][:, :count]
    ends = np.empty_like(starts)
    running = np.ones(count, bool)
    refill, last = group.task.config.refill, setup.epochs_budget
    step = setup.eval_interval if refill else last
    while running.any() and not group.done:
        if not advance(group, min(group.epochs + step, last), deadline):
            raise TimeIsUpError
        # A run that ends once it has converged is measured there, though its lane goes on.
        over = running & (group.done | ((group.state.converged_at[:count] >= 0) & refill))
        if over.any():
            ends[:, over] = group.measure()[0][:, :count][:, over]
            running &= ~over
    done = group.state.updates[:count].copy(), group.state.converged_at[:count].copy()
    return measured(setup, Rows(*done, starts, ends, np.empty((count, 0))))
