"""Is my network unlucky? A user's own initial weights, trained in many orders of samples, among
networks of fresh seeds.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.diagnosis.trajectories import to
from fastbp.diagnosis.trials import Measured, TimeIsUpError, joined, measured
from fastbp.engine.block import check_denormals
from fastbp.engine.lane_group import LaneGroup, Layers, task
from fastbp.engine.rows import Rows
from fastbp.kernels import measures as m
from fastbp.schema.errors import SweepError
from fastbp.schema.text import named, plain


def read(path: str | os.PathLike[str], setup: Setup) -> Layers:
    """Weights from a .npz file: W0, b0, W1, b1, …, W[out, in]. Raises SweepError with every mistake
    in it.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            given = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise SweepError(
            [f"--weights: given {named(path)}, allowed: a .npz file that is there"]
        ) from None
    except Exception as error:  # over damaged bytes NumPy and zipfile raise a dozen kinds
        why = plain((str(error).splitlines() or [type(error).__name__])[0], 120)
        raise SweepError(
            [f"--weights: given {named(path)}, allowed: a sound .npz file; {why}"]
        ) from None
    return fitting(given, setup)


def fitting(given: dict[str, NDArray[Any]], setup: Setup) -> Layers:
    """Weights that fit the networks of a setup. Raises SweepError with what was given and what is
    needed.
    """
    lines, layers = [], []
    for layer, (n, k) in enumerate(pairwise(setup.sizes)):
        pair = []
        for name, shape in ((f"W{layer}", (k, n)), (f"b{layer}", (k,))):
            values = _numbers(given.get(name))
            if name[0] == "b" and not setup.bias:
                if values is not None and values.any():
                    lines.append(
                        f"{name}: given, needed: none, or zeros, as this setup has bias = false"
                    )
                pair.append(np.zeros(k))
                continue
            if values is None:
                what = "nothing" if name not in given else "no numbers"
                lines.append(
                    f"{name}: given {what}, needed: an array of shape {shape} ([out, in] for weights)"
                )
            elif values.shape != shape and (name[0] == "W" or values.size != k):
                hint = (
                    ", which is the other way round: W[out, in]"
                    if values.shape == shape[::-1]
                    else ""
                )
                lines.append(f"{name}: given shape {values.shape}{hint}, needed: {shape}")
            elif not np.isfinite(values).all():
                lines.append(
                    f"{name}: given {np.count_nonzero(~np.isfinite(values))} values that are not finite, needed: none"
                )
            else:
                pair.append(values.reshape(shape))
        layers.append(tuple(pair))
    for name in given:
        if (more := re.fullmatch(r"[Wb](\d+)", name)) and int(more[1]) > len(setup.hidden):
            lines.append(
                f"{name}: given, needed: none, as the network has {len(setup.hidden) + 1} layers, 0 to {len(setup.hidden)}"
            )
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

    `own`: its runs, one for each order of samples; `fresh`: a run of each seed. `loss_percentile`:
    the share of fresh networks with a smaller final loss than its median one, in percent;
    `updates_percentile`: the share that converges in fewer updates than its median run. Those that
    never do count last; of equal ones half are counted. `alike`: of each hidden layer in which
    units start with the same weights, in and out, its position, how many such units, and of how
    many.
    """

    own: Measured
    fresh: Measured
    loss_percentile: float
    updates_percentile: float
    alike: tuple[tuple[int, int, int], ...] = ()

    @property
    def converges(self) -> bool:
        """Whether its median run is ever found converged."""
        return bool(np.isfinite(np.median(_updates(self.own))))


def place(
    setup: Setup,
    layers: Layers,
    fresh: Measured,
    orders: int = 200,
    start: int = 0,
    deadline: float = np.inf,
) -> Placed | None:
    """Train a network from its own weights in many orders of samples, those of the seeds from
    `start` on, beside fresh networks.

    Fewer orders where the deadline, on the clock of `time.perf_counter`, comes before; None where
    it leaves no time for any.
    """
    side = task(setup).lanes
    own: list[Measured] = []
    with suppress(TimeIsUpError):
        for first in range(0, orders, side):
            own.append(_train(setup, layers, start + first, min(side, orders - first), deadline))
    if not own:
        return None
    mine = joined(own)
    loss = float(np.median(np.where(np.isnan(mine.end[m.LOSS]), np.inf, mine.end[m.LOSS])))
    updates = float(np.median(_updates(mine)))
    return Placed(
        mine,
        fresh,
        _below(fresh.end[m.LOSS], loss),
        _below(_updates(fresh), updates),
        alike(layers),
    )


def alike(layers: Layers) -> tuple[tuple[int, int, int], ...]:
    """Hidden layers with units that are each other's double, in and out: gradients of such units
    are equal, whatever comes.
    """
    found = []
    for layer, ((W, b), (V, _)) in enumerate(pairwise(layers)):
        _, counts = np.unique(np.column_stack([W, b, V.T]), axis=0, return_counts=True)
        if doubled := int(counts[counts > 1].sum()):
            found.append((layer, doubled, len(W)))
    return tuple(found)


def _updates(runs: Measured) -> NDArray[np.float64]:
    return np.where(runs.converged_at >= 0, runs.converged_at, np.inf)


def _below(values: NDArray[np.float64], value: float) -> float:
    """The share of values below one, in percent; those that are equal count half, and what is no
    number counts as largest.
    """
    values = np.where(np.isnan(values), np.inf, values)
    return 100 * float((values < value).mean() + 0.5 * (values == value).mean())


def _train(
    setup: Setup, layers: Layers, first: int, count: int, deadline: float = np.inf
) -> Measured:
    """Runs from the same weights, whose orders are those of the seeds first … first + count − 1.
    Raises TimeIsUpError.
    """
    check_denormals()
    group = LaneGroup(task(setup), np.arange(first, first + count, dtype=np.uint64))
    group.set_layers(layers)
    begun = group.measure(with_gradient=False)[0][:, :count]
    ends = np.empty_like(begun)
    running = np.ones(count, bool)
    step = setup.eval_interval if group.task.config.refill else setup.epochs_budget
    while not group.done:
        if not to(group, min(group.epochs + step, setup.epochs_budget), deadline):
            raise TimeIsUpError
        # A run that ends once it has converged is measured there, though its lane goes on.
        over = running & (
            group.done | ((group.state.converged_at[:count] >= 0) & group.task.config.refill)
        )
        if over.any():
            ends[:, over] = group.measure()[0][:, :count][:, over]
            running &= ~over
        if not running.any():
            break
    rows = Rows(
        group.state.updates[:count].copy(),
        group.state.converged_at[:count].copy(),
        begun,
        ends,
        np.empty((count, 0)),
    )
    return measured(setup, rows)
