"""fastbp's kernel alone: calls that train one group of lanes, with the drawing of rows and without
evaluations, measures, threads, driver and store."""

from typing import Any

import numpy as np

from benchmarks.contenders.job import Contender, Job, largest_difference, repeated
from benchmarks.reference import weights_of
from benchmarks.workloads import WORKLOADS
from fastbp import Setup
from fastbp.engine.lane_group import LaneGroup
from fastbp.engine.tasks import task


def group_of(job: Job, updates: int) -> LaneGroup:
    """A group at the start of its runs, those of the first seeds, with a budget of so many
    updates, evaluated at its end only."""
    keys: dict[str, Any] = dict(WORKLOADS[job.workload].setup)
    keys |= {"dtype": job.dtype, "lr": job.lr, "updates": updates, "eval_every": updates + 1}
    work = task(Setup(**keys))
    return LaneGroup(work, np.arange(work.lanes, dtype=np.uint64))


def difference(job: Job) -> float:
    """How far its weights are from those of the driver's group."""
    group = group_of(job, job.rows.shape[1])
    group.advance(group.task.setup.epochs_budget)
    return largest_difference(weights_of(group, group.task.setup, len(job.rows)), job.end)


def prepare(job: Job) -> Contender:
    """One group, trained again and again from the same weights. The end of the budget, at which
    runs are evaluated, is an epoch away."""
    each = -(-len(job.X) // job.batch)
    group = group_of(job, job.updates + each)
    state, start = group.state, group.state.block.copy()

    def train() -> None:
        state.block[:] = start
        state.epochs[:] = state.updates[:] = 0
        group.advance(job.updates // each)

    return repeated(group.task.lanes, job.updates // each * each, train)
