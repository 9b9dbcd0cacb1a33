"""Runs that end once they have converged: what becomes of the lanes whose networks are done first.

`python -m benchmarks.early DTYPE SEEDS` answers whether all ways agree when each run converged, and with the updates until then, on
average; and then, for each of these words on its standard input, with the nanoseconds of a useful update:

- `refill`: fastbp, where a lane whose run has ended takes the next seed.
- `waiting`: groups of lanes that go on until the slowest of the group has converged, with the same kernels and measures.
- `budget`: fastbp, to the end of the budget whatever happens.
- `obvious`: the obvious loop over seeds, which looks as often, and leaves a network once it has converged.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import config, njit, prange, set_num_threads

from benchmarks.children import say
from benchmarks.contenders.engine import store_and_train
from benchmarks.contenders.job import Weights
from benchmarks.reference import weights_of
from benchmarks.workloads import EARLY
from fastbp import Setup, Sweep
from fastbp.engine import block, plan
from fastbp.engine.cores import available_cores

FEWER = 16
"""The ways that take long get so many times fewer seeds."""

LOOKS_AT_ONCE = 8
"""Looks between which a waiting group does not come back to Python: a call costs as much as a look or two."""


def wait(setup: Setup, seeds: int) -> Any:
    """Train groups, each until all of its runs have converged or used up the budget; returns when each converged, −1 for never."""
    work = block.task(setup)

    def one(first: int) -> Any:
        used = min(work.lanes, seeds - first)
        group = block.Group(work, np.arange(first, first + used, dtype=np.uint64))
        group.measure(with_gradient=False)
        while not group.done and not (group.state.converged_at >= 0).all():
            group.advance(LOOKS_AT_ONCE * setup.looks_every)
        group.measure()
        return group.state.converged_at[:used].copy()

    with ThreadPoolExecutor(available_cores()) as pool:
        return np.concatenate(list(pool.map(one, range(0, seeds, work.lanes))))


def refilled(setup: Setup, seeds: int) -> Any:
    """When each run converged by fastbp's own account."""
    size = plan.block_seeds(setup)
    with ThreadPoolExecutor(available_cores()) as pool:
        parts = pool.map(lambda first: block.train(setup, first, min(size, seeds - first)).converged_at, range(0, seeds, size))
        return np.concatenate(list(parts))


def obvious(n: int, inputs: int, hidden: int) -> Any:
    """One network after the other, on all cores; returns the updates of each."""

    @njit(parallel=True)
    def train(W1, B1, W2, B2, X, T, budget, lr, check_every, tolerance):
        one = W1.dtype.type(1)
        done = np.empty(len(W1), np.int64)
        for s in prange(len(W1)):
            w1, b1, w2, b2 = W1[s], B1[s], W2[s, 0], B2[s]
            h = np.empty(hidden, w1.dtype)
            u, within = 0, False
            while u < budget and not within:
                for _ in range(check_every * n):
                    r = np.random.randint(0, n)  # noqa: NPY002  what Numba compiles
                    for j in range(hidden):
                        z = b1[j]
                        for i in range(inputs):
                            z += w1[j, i] * X[r, i]
                        h[j] = one / (one + np.exp(-z))
                    z = b2[0]
                    for j in range(hidden):
                        z += w2[j] * h[j]
                    o = one / (one + np.exp(-z))
                    d = (o - T[r, 0]) * o * (one - o)
                    for j in range(hidden):
                        e = d * w2[j] * h[j] * (one - h[j])
                        w2[j] -= lr * d * h[j]
                        for i in range(inputs):
                            w1[j, i] -= lr * e * X[r, i]
                        b1[j] -= lr * e
                    b2[0] -= lr * d
                u += check_every * n
                within = True
                for r in range(n):
                    z = b2[0]
                    for j in range(hidden):
                        y = b1[j]
                        for i in range(inputs):
                            y += w1[j, i] * X[r, i]
                        z += w2[j] / (one + np.exp(-y))
                    within = within and abs(one / (one + np.exp(-z)) - T[r, 0]) <= tolerance
            done[s] = u
        return done

    return train


class Ways:
    """The four ways to train the same work, timed."""

    def __init__(self, dtype: str, seeds: int) -> None:
        self.keys: dict[str, Any] = dict(EARLY.setup) | {"dtype": dtype}
        self.setup, self.seeds, self.dtype = Setup(**self.keys), seeds, dtype
        block.warm_up(block.kind_of(self.setup))
        converged_at = refilled(self.setup, seeds)
        self.agree = bool((wait(self.setup, seeds) == converged_at).all())
        self.useful = float(np.where(converged_at < 0, self.setup.budget, converged_at).mean())
        self._prepare_obvious()

    def _prepare_obvious(self) -> None:
        setup, fewer = self.setup, self.seeds // FEWER
        set_num_threads(min(available_cores(), config.NUMBA_NUM_THREADS))
        X, T = (part.astype(self.dtype) for part in setup.data())
        lr, tolerance = (X.dtype.type(value) for value in (setup.lr, setup.tolerance))
        train, work = obvious(len(X), *setup.sizes[:2]), block.task(setup)
        groups = [block.Group(work, np.arange(work.lanes, dtype=np.uint64) + np.uint64(at)) for at in range(0, fewer, work.lanes)]
        parts = [weights_of(group, work.lanes) for group in groups]
        weights = Weights(*(np.concatenate(part)[:fewer] for part in zip(*parts, strict=True)))
        self._obvious = lambda: train(*weights.copy(), X, T, setup.budget, lr, setup.looks_every, tolerance).sum()
        self._obvious()

    def refill(self) -> float:
        """Seconds a useful update."""
        return self._seconds(lambda: store_and_train(Sweep(seeds=self.seeds, setup=self.keys))) / self.seeds / self.useful

    def waiting(self) -> float:
        """Seconds a useful update."""
        return self._seconds(lambda: wait(self.setup, self.seeds)) / self.seeds / self.useful

    def budget(self) -> float:
        """Seconds a useful update: of runs whose useful updates would be the same on average."""
        seeds, keys = self.seeds // FEWER, self.keys | {"stop": "budget"}
        return self._seconds(lambda: store_and_train(Sweep(seeds=seeds, setup=keys))) / seeds / self.useful

    def obvious(self) -> float:
        """Seconds an update: all of them are useful, but the runs are not the same ones, for their order is not."""
        updates = 0

        def train() -> None:
            nonlocal updates
            updates = self._obvious()

        return self._seconds(train) / updates

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
