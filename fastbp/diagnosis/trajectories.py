"""What is seen only in the trajectories of failing runs: whether the loss still falls, and units that
double each other.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup, task
from fastbp.kernels import measures as m

MOST = 20
"""Failing runs that are looked into, side by side."""

FALLS = 0.02
"""The share of the loss by which it falls in the second half of a run that is still learning."""

ALIKE = 0.999
"""The correlation of units that double each other: each is the other, up to a factor and a
constant."""

FLAT = 0.01
"""A unit whose answers have a smaller standard deviation than this says the same to every row."""

SLICE_SECONDS = 0.1


class Trajectories(NamedTuple):
    """What was seen of each run, [run]."""

    falling: NDArray[np.bool_]
    """Whether the loss still falls when the budget ends; false where the budget has no two
    halves."""
    distinct: NDArray[np.int64]
    """Units of the first hidden layer that neither double others nor say the same to every row."""
    units: int

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.falling)


def of(setup: Setup, seeds: NDArray[np.uint64], deadline: float = np.inf) -> Trajectories | None:
    """Train these seeds again and look into them; None where there are none, or no time."""
    if not seeds.size:
        return None
    group = LaneGroup(task(setup), seeds[: min(len(seeds), task(setup).lanes)])
    runs = min(len(seeds), group.task.lanes)
    half = setup.epochs_budget // 2
    if not to(group, half, deadline):
        return None
    middle = group.measure(with_gradient=False)[0][m.LOSS, :runs]
    if not to(group, setup.epochs_budget, deadline):
        return None
    last = group.measure(with_gradient=False)[0][m.LOSS, :runs]
    falling = (last < (1 - FALLS) * middle) & (half > 0)
    X, _ = setup.data()
    distinct = np.array(
        [_distinct(X, *group.layers(lane)[0]) for lane in range(runs)]
    )
    return Trajectories(falling, distinct, setup.hidden[0])


def to(group: LaneGroup, epochs: int, deadline: float) -> bool:
    """Train up to an epoch, in slices between which the clock is looked at; whether there was
    time.
    """
    size = 1
    while group.epochs < epochs:
        began = time.perf_counter()
        if began > deadline:
            return False
        group.advance(min(size, epochs - group.epochs))
        took = time.perf_counter() - began
        size = max(1, min(2 * size, int(size * SLICE_SECONDS / max(took, 1e-6)), 10**6))
    return True


def _distinct(X: NDArray[np.float64], W: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """Units that say what no other says: those that vary, each group that goes together counted
    once.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        a = 1 / (1 + np.exp(-(X @ W.T + b)))
    varying = a[:, a.std(axis=0) > FLAT]
    if varying.shape[1] < 2:
        return int(varying.shape[1])
    together = np.abs(np.corrcoef(varying.T)) > ALIKE
    return int((~np.tril(together, -1).any(axis=1)).sum())
