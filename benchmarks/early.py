"""Runs that end once they have converged: what becomes of the lanes whose networks are done first.

`python -m benchmarks.early DTYPE SEEDS` answers whether refilled and waiting lanes converge at the
same updates, and with their mean; and then, for each of these words on its standard input, with the
nanoseconds of a useful update:

- `refill`: fastbp, where a lane whose run has ended takes the next seed.
- `waiting`: groups of lanes that go on until the slowest of the group has converged, with the
  same kernels and measures.
- `budget`: fastbp, to the end of the budget whatever happens.
- `obvious`: the obvious loop over seeds, which evaluates as often and leaves a network once it
  has converged.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.children import say
from benchmarks.contenders.engine import store_and_train
from benchmarks.contenders.job import Weights
from benchmarks.contenders.obvious import NO_ROWS, online, use_all_cores
from benchmarks.reference import weights_of
from benchmarks.workloads import EARLY
from fastbp import Setup, Sweep
from fastbp.engine import block, lane_group, plan, tasks
from fastbp.engine.machine import available_cores

FEWER = 16
"""The slow ways get fewer seeds, by this factor."""

EVALUATIONS_AT_ONCE = 8
"""Evaluations between which a waiting group does not return to Python: a call takes a seventh of
the time from one evaluation to the next."""


def wait(setup: Setup, seeds: int) -> Any:
    """When each run converged, −1 for never: groups, each trained until all of its runs have
    converged or used up the budget."""
    work = tasks.task(setup)

    def one(first: int) -> Any:
        used = min(work.lanes, seeds - first)
        group = lane_group.LaneGroup(work, np.arange(first, first + used, dtype=np.uint64))
        group.measure(with_gradient=False)
        while not group.done and not (group.state.converged_at >= 0).all():
            group.advance(EVALUATIONS_AT_ONCE * setup.eval_interval)
        group.measure()
        return group.state.converged_at[:used].copy()

    with ThreadPoolExecutor(available_cores()) as pool:
        return np.concatenate(list(pool.map(one, range(0, seeds, work.lanes))))


def refilled(setup: Setup, seeds: int) -> Any:
    """When each run converged by fastbp's own account."""
    size = plan.block_seeds(setup)
    with ThreadPoolExecutor(available_cores()) as pool:
        parts = pool.map(
            lambda first: block.train(setup, first, min(size, seeds - first)).converged_at,
            range(0, seeds, size),
        )
        return np.concatenate(list(parts))


class Ways:
    """The four ways to train the same work, timed."""

    def __init__(self, dtype: str, seeds: int) -> None:
        self.keys: dict[str, Any] = dict(EARLY.setup) | {"dtype": dtype}
        self.setup, self.seeds, self.dtype = Setup(**self.keys), seeds, dtype
        store_and_train(
            Sweep(seeds=1, setup=self.keys)
        )  # compiles, and imports what is imported late
        converged_at = refilled(self.setup, seeds)
        self.agree = bool((wait(self.setup, seeds) == converged_at).all())
        self.useful = float(np.where(converged_at < 0, self.setup.budget, converged_at).mean())
        self._prepare_obvious()

    def _prepare_obvious(self) -> None:
        setup, fewer = self.setup, self.seeds // FEWER
        use_all_cores()
        X, T = (part.astype(self.dtype) for part in setup.data())
        lr, tolerance = (X.dtype.type(value) for value in (setup.lr, setup.tolerance))
        train = online(
            len(X), *setup.sizes[:2], look_every=setup.eval_interval * setup.updates_per_epoch
        )
        work = tasks.task(setup)
        groups = [
            lane_group.LaneGroup(work, np.arange(at, at + work.lanes, dtype=np.uint64))
            for at in range(0, fewer, work.lanes)
        ]
        parts = [weights_of(group, setup, work.lanes) for group in groups]
        weights = Weights(*(np.concatenate(part)[:fewer] for part in zip(*parts, strict=True)))
        self._obvious = lambda: train(
            *weights.copy(), X, T, setup.budget, lr, NO_ROWS, tolerance
        ).sum()
        self._obvious()

    def refill(self) -> float:
        """Seconds a useful update."""
        return (
            self._seconds(lambda: store_and_train(Sweep(seeds=self.seeds, setup=self.keys)))
            / self.seeds
            / self.useful
        )

    def waiting(self) -> float:
        """Seconds a useful update."""
        return self._seconds(lambda: wait(self.setup, self.seeds)) / self.seeds / self.useful

    def budget(self) -> float:
        """Seconds a useful update: of runs whose useful updates would be the same on average."""
        seeds, keys = self.seeds // FEWER, self.keys | {"stop": "budget"}
        return (
            self._seconds(lambda: store_and_train(Sweep(seeds=seeds, setup=keys)))
            / seeds
            / self.useful
        )

    def obvious(self) -> float:
        """Seconds an update: all of them are useful, but the runs are not the same ones, for their
        order is not."""
        began = time.perf_counter()
        updates = self._obvious()
        return (time.perf_counter() - began) / updates

    def _seconds(self, train: Any) -> float:
        began = time.perf_counter()
        train()
        return time.perf_counter() - began


def main(dtype: str, seeds: str) -> None:
    """Serve."""
    ways = Ways(dtype, int(seeds))
    say({"agree": ways.agree, "useful": ways.useful})
    for line in sys.stdin:
        say(getattr(ways, line.strip())() * 1e9)


if __name__ == "__main__":
    main(*sys.argv[1:])
