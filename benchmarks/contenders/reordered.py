"""The obvious loop as those would write it who know what the compiler vectorises: loops over hidden
units innermost.

Sums over inputs then run over contiguous units, and nothing is regrouped. The weights of the first
layer are [input, unit].
"""

from functools import cache

import numpy as np
from numba import njit, prange

from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated
from benchmarks.contenders.obvious import NO_ROWS, many, use_all_cores


@cache
def batches(n: int, inputs: int, hidden: int, outputs: int, batch: int, rows_given: bool):
    """Gradients summed over a batch of shuffled rows, then one update."""

    @njit(parallel=True)
    def train(W1, B1, W2, B2, X, T, updates, lr, rows):
        one, zero = W1.dtype.type(1), W1.dtype.type(0)
        for s in prange(len(W1)):
            w1, b1, w2, b2 = W1[s], B1[s], W2[s], B2[s]
            g1, c1, g2, c2 = (
                np.empty_like(w1),
                np.empty_like(b1),
                np.empty_like(w2),
                np.empty_like(b2),
            )
            h, e, d = np.empty_like(b1), np.empty_like(b1), np.empty_like(b2)
            order = np.arange(n)
            at = n
            for u in range(updates):
                if at == n:
                    at = 0
                    if not rows_given:
                        np.random.shuffle(order)  # noqa: NPY002  what Numba compiles
                g1[:] = zero
                c1[:] = zero
                g2[:] = zero
                c2[:] = zero
                for q in range(batch):
                    r = rows[s, u, q] if rows_given else order[at + q]
                    for j in range(hidden):
                        h[j] = b1[j]
                    for i in range(inputs):
                        for j in range(hidden):
                            h[j] += w1[i, j] * X[r, i]
                    for j in range(hidden):
                        h[j] = one / (one + np.exp(-h[j]))
                        e[j] = zero
                    for k in range(outputs):
                        z = b2[k]
                        for j in range(hidden):
                            z += w2[k, j] * h[j]
                        o = one / (one + np.exp(-z))
                        d[k] = (o - T[r, k]) * o * (one - o)
                        for j in range(hidden):
                            g2[k, j] += d[k] * h[j]
                            e[j] += d[k] * w2[k, j]
                        c2[k] += d[k]
                    for j in range(hidden):
                        e[j] *= h[j] * (one - h[j])
                        c1[j] += e[j]
                    for i in range(inputs):
                        for j in range(hidden):
                            g1[i, j] += e[j] * X[r, i]
                for i in range(inputs):
                    for j in range(hidden):
                        w1[i, j] -= lr * g1[i, j]
                for j in range(hidden):
                    b1[j] -= lr * c1[j]
                for k in range(outputs):
                    for j in range(hidden):
                        w2[k, j] -= lr * g2[k, j]
                    b2[k] -= lr * c2[k]
                at += batch

    return train


def skipped(job: Job) -> str | None:
    """Where layers are small there is nothing to vectorise."""
    return None if job.order == "shuffled" else "nothing to gain with so few units"


def turned(weights: Weights) -> Weights:
    """A copy with the first layer the other way round."""
    return weights.copy()._replace(w1=np.ascontiguousarray(weights.w1.swapaxes(1, 2)))


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    weights, train = turned(job.start), batches(len(job.X), *job.sizes, job.batch, True)
    train(*weights, job.X, job.T, job.rows.shape[1], job.rate, job.rows)
    return largest_difference(turned(weights), job.end)


def prepare(job: Job) -> Contender:
    """Many networks on all cores."""
    networks, train = many(job, use_all_cores()), batches(len(job.X), *job.sizes, job.batch, False)
    weights = turned(job.draw_weights(networks))
    return repeated(
        networks,
        job.updates,
        lambda: train(*weights.copy(), job.X, job.T, job.updates, job.rate, NO_ROWS),
    )
