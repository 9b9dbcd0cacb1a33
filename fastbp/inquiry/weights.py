"""Is my network unlucky? A user's own initial weights, trained in many orders of samples, among networks of fresh seeds."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.block import Group, task
from fastbp.engine.reading import SweepError, named, plain
from fastbp.engine.spec import Setup
from fastbp.inquiry.retrain import Layers
from fastbp.inquiry.trials import Measured, Trial, joined, measured, train
from fastbp.kernels import measures as m
from fastbp.kernels.network import BIASES, WEIGHTS


def read(path: str | os.PathLike[str], setup: Setup) -> Layers:
    """Weights from a .npz file: W0, b0, W1, b1, …, W[out, in]. Raises SweepError with every mistake in it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            given = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise SweepError([f"--weights: given {named(path)}, allowed: a .npz file that is there"]) from None
    except Exception as error:  # over damaged bytes NumPy and zipfile raise a dozen kinds
        why = plain((str(error).splitlines() or [type(error).__name__])[0], 120)
        raise SweepError([f"--weights: given {named(path)}, allowed: a sound .npz file; {why}"]) from None
    return fitting(given, setup)


def fitting(given: dict[str, NDArray[Any]], setup: Setup) -> Layers:
    """Weights that fit the networks of a setup. Raises SweepError with what was given and what is needed."""
    lines, layers = [], []
    for layer, (n, k) in enumerate(pairwise(setup.sizes)):
        pair = []
        for name, shape in ((f"W{layer}", (k, n)), (f"b{layer}", (k,))):
            if name not in given and name[0] == "b" and not setup.bias:
                pair.append(np.zeros(k))
                continue
            values = _numbers(given.get(name))
            if values is None:
                what = "nothing" if name not in given else "no numbers"
                lines.append(f"{name}: given {what}, needed: an array of shape {shape} ([out, in] for weights)")
            elif values.shape != shape and (name[0] == "W" or values.size != k):
                hint = ", which is the other way round: W[out, in]" if values.shape == shape[::-1] else ""
                lines.append(f"{name}: given shape {values.shape}{hint}, needed: {shape}")
            elif not np.isfinite(values).all():
                lines.append(f"{name}: given {np.count_nonzero(~np.isfinite(values))} values that are not finite, needed: none")
            else:
                pair.append(values.reshape(shape))
        layers.append(tuple(pair))
    if lines:
        sizes = "-".join(map(str, setup.sizes))
        raise SweepError([f"--weights, for a network {sizes}: {line}" for line in lines])
    return layers  # type: ignore[return-value]  # each has two: what lacks one is told above


def _numbers(values: Any) -> NDArray[np.float64] | None:
    try:
        return None if values is None else np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return None


class Placed(NamedTuple):
    """Where a network lies among networks of fresh seeds.

    `own`: its runs, one for each order of samples; `fresh`: a run of each seed. `loss_percentile`: the share of fresh networks
    with a smaller final loss than its median one, in percent; `updates_percentile`: the share that converges in fewer updates,
    those that never do counted last.
    """

    own: Measured
    fresh: Measured
    loss_percentile: float
    updates_percentile: float


def place(
    setup: Setup, layers: Layers, orders: int = 200, seeds: int = 2000, start: int = 0,
    tick: Callable[[float], None] = lambda share: None,
) -> Placed:  # fmt: skip
    """Train a network from its own weights in many orders of samples, and fresh seeds beside it."""
    own = joined([_train(setup, layers, first, min(_side(setup), orders - first)) for first in range(0, orders, _side(setup))])
    fresh = train([Trial(setup)], start, seeds, tick=tick)[Trial(setup)]
    loss = np.median(own.end[m.LOSS])
    return Placed(own, fresh, _below(fresh.end[m.LOSS], float(loss)), _below(_updates(fresh), float(np.median(_updates(own)))))


def _updates(runs: Measured) -> NDArray[np.float64]:
    return np.where(runs.converged_at >= 0, runs.converged_at, np.inf)


def _below(values: NDArray[np.float64], value: float) -> float:
    """The share of values below one, in percent; those that are equal count half, and what is no number counts as largest."""
    values = np.where(np.isnan(values), np.inf, values)
    value = np.inf if np.isnan(value) else value
    return 100 * float((values < value).mean() + 0.5 * (values == value).mean())


def _side(setup: Setup) -> int:
    return task(setup).lanes


def _train(setup: Setup, layers: Layers, first: int, count: int) -> Measured:
    """Runs from the same weights, whose orders are those of the seeds first … first + count − 1."""
    from fastbp.engine.block import Rows

    group = Group(task(setup), np.arange(first, first + count, dtype=np.uint64))
    block = group.state.block.reshape(-1, group.task.lanes)
    for layer, (W, b) in enumerate(layers, 1):
        w, at = (int(group.task.network.layers[layer, column]) for column in (WEIGHTS, BIASES))
        block[w : w + W.size], block[at : at + b.size] = W.reshape(-1, 1), b.reshape(-1, 1)
    begun = group.measure(with_gradient=False)[0][:, :count]
    while not group.done:
        group.advance(max(1, min(group.task.epochs, 100)))
    measures, _ = group.measure()
    state = group.state
    rows = Rows(state.updates[:count].copy(), state.converged_at[:count].copy(), begun, measures[:, :count], np.empty((count, 0)))
    return measured(setup, rows)
