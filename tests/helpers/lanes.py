"""Networks in the lanes of a group, written as the oracle writes them, and setups that kernels and
oracle both understand."""

import numpy as np
from numba import config
from oracle import Recipe

from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup
from fastbp.engine.tasks import task
from fastbp.kernels.goals import Goal, targets_of
from fastbp.kernels.layout import table

JIT = not config.DISABLE_JIT

LANES = 16
"""Lanes of most tests: one number, so that few kernels are compiled. It is the smallest that fills
vectors of both dtypes; in float64 batches it makes two strips."""

OTHER_LANES = [("float64", 168), ("float32", 336), ("float64", 24)] if JIT else [("float64", 8)]
"""Lanes that give the same bits: those that most sweeps take, and another number."""

FOUNDING = {
    "problem": "table:11101011",
    "hidden": (4,),
    "lr": 0.2,
    "order": "random",
    "updates": 999,
}


def pair(**keys):
    """The same setup for the engine and for the oracle."""
    return Setup(**keys), Recipe(**keys)


def group(setup, seeds=None, lanes=LANES, data=None):
    """A group at the start of its runs. `seeds`: 0, 1, … by default; `data`: (X, T), of the
    problem's shape, in its place."""
    work = task(setup, lanes)
    if data is not None:
        X, T = (np.ascontiguousarray(part, np.float64) for part in data)
        targets = targets_of(T, setup.dtype, Goal("rows", setup.tolerance), setup.groups)
        work = work._replace(table=table(X, T, setup.dtype), targets=targets)
    return LaneGroup(work, np.array(range(lanes) if seeds is None else seeds, np.uint64))


def velocity(runs, lane):
    """The velocity in a lane; None where updates keep none."""
    velocity = runs.task.network.velocity
    return runs.layers(lane, velocity) if velocity else None
