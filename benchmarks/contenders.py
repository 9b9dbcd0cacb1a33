"""Many 3-4-1 networks, trained online from many seeds: fastbp, and the loop that one would write oneself with Numba.

`python -m benchmarks.contenders NAME DTYPE` prepares one contender, answers how many networks it trains a round, and then trains
them once for each line on its standard input, answering with the seconds. `check` as NAME compares the two instead.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numba import config, njit, prange, set_num_threads

import fastbp
from benchmarks.children import say
from fastbp.engine import block, plan
from fastbp.engine.cores import available_cores
from fastbp.engine.spec import Setup

W1 = {"problem": "table:11101011", "hidden": [4], "order": "random", "lr": 0.2, "updates": 7_992}
CHECKED_UPDATES = 100


def obvious(n: int, rows_given: bool) -> Any:
    """The loop over seeds that one would write: one network at a time, scalar code, `np.exp`, rows from `np.random`.

    `n`: rows of the problem. `rows_given`: take them from `rows`, [seed, update], instead of drawing them. The constant 1 has the
    dtype of the arrays, without which a float32 network would be computed in float64, and more slowly.
    """

    @njit(parallel=True)
    def train(W1, B1, W2, B2, X, T, updates, lr, rows):
        one = W1.dtype.type(1)
        for s in prange(len(W1)):
            w1, b1, w2 = W1[s], B1[s], W2[s]
            h = np.empty(len(w2), w2.dtype)
            for u in range(updates):
                r = rows[s, u] if rows_given else np.random.randint(0, n)  # noqa: NPY002  what Numba compiles
                for j in range(len(w2)):
                    z = b1[j]
                    for i in range(X.shape[1]):
                        z += w1[j, i] * X[r, i]
                    h[j] = one / (one + np.exp(-z))
                z = B2[s]
                for j in range(len(w2)):
                    z += w2[j] * h[j]
                o = one / (one + np.exp(-z))
                d = (o - T[r]) * o * (one - o)
                for j in range(len(w2)):
                    dh = d * w2[j] * h[j] * (one - h[j])
                    w2[j] -= lr * d * h[j]
                    for i in range(X.shape[1]):
                        w1[j, i] -= lr * dh * X[r, i]
                    b1[j] -= lr * dh
                B2[s] -= lr * d

    return train


class Contender(NamedTuple):
    """What trains `networks` networks when it is called."""

    networks: int
    train: Callable[[], object]


def prepare_obvious(setup: Setup) -> Contender:
    """The obvious loop on all cores."""
    set_num_threads(min(available_cores(), config.NUMBA_NUM_THREADS))
    X, T = (part.astype(setup.dtype) for part in setup.data())
    count = 1024 * available_cores()
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((count, *shape)).astype(setup.dtype) for shape in ((4, 3), (4,), (4,), ())]
    train, no_rows = obvious(len(X), False), np.empty((0, 0), np.int64)
    lr = np.dtype(setup.dtype).type(setup.lr)
    return Contender(count, lambda: train(*(w.copy() for w in weights), X, T[:, 0], setup.budget, lr, no_rows))


def prepare_engine(setup: Setup) -> Contender:
    """Blocks of fastbp on a thread a core: initial weights, training, looks and measures."""
    size, cores = plan.block_seeds(setup), available_cores()
    pool = ThreadPoolExecutor(cores)
    starts = range(0, 4 * cores * size, size)
    block.warm_up(block.kind_of(setup))
    return Contender(len(starts) * size, lambda: list(pool.map(lambda start: block.train(setup, start, size), starts)))


def prepare_library(setup: Setup) -> Contender:
    """The same networks by `fastbp.run`, which returns the table of runs as a DataFrame."""
    count = prepare_engine(setup).networks
    sweep = fastbp.Sweep(seeds=count, setup=W1 | {"dtype": setup.dtype})
    return Contender(count, lambda: fastbp.run(sweep))


CONTENDERS = {"obvious": prepare_obvious, "engine": prepare_engine, "library": prepare_library}


def largest_difference(setup: Setup) -> float:
    """How far the weights of the two are apart after training on the same rows from the same weights, relative to max(1, |w|)."""
    work = block.task(setup)
    group = block.Group(work, np.arange(work.lanes, dtype=np.uint64))
    X, T = (part.astype(setup.dtype) for part in setup.data())

    def weights() -> list[Any]:
        lanes = group.state.block.reshape(-1, work.lanes)[: work.network.parameters].T.copy()
        return [lanes[:, :12].reshape(-1, 4, 3).copy(), *(lanes[:, part].copy() for part in (slice(12, 16), slice(16, 20), 20))]

    ours, rows = weights(), []
    while not group.done:
        group.advance(1)
        rows.append(group.state.rows.reshape(-1, work.lanes)[: len(X)].T.copy())
    order = np.hstack(rows).astype(np.int64)
    obvious(len(X), True)(*ours, X, T[:, 0], setup.budget, np.dtype(setup.dtype).type(setup.lr), order)
    pairs = zip(ours, weights(), strict=True)
    return max(float(np.max(abs(a - b) / np.maximum(1, abs(b)))) for a, b in pairs)


def main(name: str, dtype: str) -> None:
    """Serve one contender, or the check."""
    if name == "check":
        say(largest_difference(Setup(**W1 | {"dtype": dtype, "updates": CHECKED_UPDATES})))
        return
    contender = CONTENDERS[name](Setup(**W1, dtype=dtype))
    contender.train()
    say(contender.networks)
    for _ in sys.stdin:
        began = time.perf_counter()
        contender.train()
        say(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
