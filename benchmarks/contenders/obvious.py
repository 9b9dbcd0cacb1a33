"""The parallel loop over seeds that one would write oneself with Numba: one network at a time,
scalar code, `np.exp`. Activations and optimisers are those of `choices`.

What is cheap to get right is got right: the layer sizes and the number of rows are constants when
it compiles, and the constants 1 and 0 have the dtype of the weights, without which a float32
network would be computed in float64, and more slowly.
"""

from functools import cache

import numpy as np
from numba import config, njit, prange, set_num_threads

from benchmarks.contenders.choices import Choice, choice_of, sigmoid
from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated
from benchmarks.workloads import EVERY
from fastbp.engine.machine import available_cores

NO_ROWS = np.empty((0, 0, 0), np.int32)
PLAIN = Choice()


@njit
def zeros_like(w1, b1, w2, b2):
    """Something to keep with each weight."""
    return np.zeros_like(w1), np.zeros_like(b1), np.zeros_like(w2), np.zeros_like(b2)


@cache
def online(
    n: int,
    inputs: int,
    hidden: int,
    rows_given: bool = False,
    look_every: int = 0,
    choice: Choice = PLAIN,
):
    """One row an update, one output; returns the updates of each network.

    `rows_given`: rows from `rows`, [network, update, 0], in place of `np.random`. `look_every`:
    updates after which a network is left if all its outputs are within the tolerance; 0: never.
    What is not asked for is not compiled.
    """
    f, slope, scales, step = choice.functions

    @njit(parallel=True)
    def train(W1, B1, W2, B2, X, T, updates, lr, rows, tolerance):
        one = W1.dtype.type(1)
        done = np.full(len(W1), updates)
        for s in prange(len(W1)):
            w1, b1, w2, b2 = W1[s], B1[s], W2[s, 0], B2[s]
            m, v = zeros_like(w1, b1, w2, b2), zeros_like(w1, b1, w2, b2)
            h = np.empty(hidden, w1.dtype)
            for u in range(updates):
                r = rows[s, u, 0] if rows_given else np.random.randint(0, n)  # noqa: NPY002  what Numba compiles
                for j in range(hidden):
                    z = b1[j]
                    for i in range(inputs):
                        z += w1[j, i] * X[r, i]
                    h[j] = f(z)
                z = b2[0]
                for j in range(hidden):
                    z += w2[j] * h[j]
                o = sigmoid(z)
                d = (o - T[r, 0]) * o * (one - o)
                by = scales(lr, u + 1)
                for j in range(hidden):
                    e = d * w2[j] * slope(h[j])
                    step(w2, m[2], v[2], j, d, h[j], by)
                    for i in range(inputs):
                        step(w1, m[0], v[0], (j, i), e, X[r, i], by)
                    step(b1, m[1], v[1], j, e, one, by)
                step(b2, m[3], v[3], 0, d, one, by)
                if look_every and (u + 1) % look_every == 0:
                    within = True
                    for q in range(n):
                        z = b2[0]
                        for j in range(hidden):
                            y = b1[j]
                            for i in range(inputs):
                                y += w1[j, i] * X[q, i]
                            z += w2[j] * f(y)
                        within = within and abs(sigmoid(z) - T[q, 0]) <= tolerance
                    if within:
                        done[s] = u + 1
                        break
        return done

    return train


@cache
def batches(
    n: int,
    inputs: int,
    hidden: int,
    outputs: int,
    batch: int,
    shuffled: bool,
    rows_given: bool,
    choice: Choice = PLAIN,
):
    """Gradients summed over a batch, then one update. `shuffled`: anew each epoch, in place of rows
    as listed. No tolerance."""
    f, slope, scales, step = choice.functions

    @njit(parallel=True)
    def train(W1, B1, W2, B2, X, T, updates, lr, rows, tolerance):
        one, zero = W1.dtype.type(1), W1.dtype.type(0)
        for s in prange(len(W1)):
            w1, b1, w2, b2 = W1[s], B1[s], W2[s], B2[s]
            g1, c1, g2, c2 = (
                np.empty_like(w1),
                np.empty_like(b1),
                np.empty_like(w2),
                np.empty_like(b2),
            )
            m, v = zeros_like(w1, b1, w2, b2), zeros_like(w1, b1, w2, b2)
            h, d = np.empty(hidden, w1.dtype), np.empty(outputs, w1.dtype)
            order = np.arange(n)
            at = n
            for u in range(updates):
                if at == n:
                    at = 0
                    if shuffled and not rows_given:
                        np.random.shuffle(order)  # noqa: NPY002  what Numba compiles
                g1[:] = zero
                c1[:] = zero
                g2[:] = zero
                c2[:] = zero
                for q in range(batch):
                    r = rows[s, u, q] if rows_given else order[at + q]
                    for j in range(hidden):
                        z = b1[j]
                        for i in range(inputs):
                            z += w1[j, i] * X[r, i]
                        h[j] = f(z)
                    for k in range(outputs):
                        z = b2[k]
                        for j in range(hidden):
                            z += w2[k, j] * h[j]
                        o = sigmoid(z)
                        d[k] = (o - T[r, k]) * o * (one - o)
                        for j in range(hidden):
                            g2[k, j] += d[k] * h[j]
                        c2[k] += d[k]
                    for j in range(hidden):
                        e = zero
                        for k in range(outputs):
                            e += d[k] * w2[k, j]
                        e *= slope(h[j])
                        for i in range(inputs):
                            g1[j, i] += e * X[r, i]
                        c1[j] += e
                by = scales(lr, u + 1)
                for j in range(hidden):
                    for i in range(inputs):
                        step(w1, m[0], v[0], (j, i), g1[j, i], one, by)
                    step(b1, m[1], v[1], j, c1[j], one, by)
                for k in range(outputs):
                    for j in range(hidden):
                        step(w2, m[2], v[2], (k, j), g2[k, j], one, by)
                    step(b2, m[3], v[3], k, c2[k], one, by)
                at += batch

    return train


def compiled(job: Job, rows_given: bool):
    """The loop for a job."""
    inputs, hidden, outputs = job.sizes
    choice = choice_of(EVERY[job.workload].setup)
    if job.batch == 1 and outputs == 1:
        return online(len(job.X), inputs, hidden, rows_given, choice=choice)
    shuffled = job.order == "shuffled"
    return batches(len(job.X), inputs, hidden, outputs, job.batch, shuffled, rows_given, choice)


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    weights = job.start.copy()
    compiled(job, True)(*weights, job.X, job.T, job.rows.shape[1], job.rate, job.rows, job.rate)
    return largest_difference(weights, job.end)


def use_all_cores() -> int:
    """Let Numba have all cores that this process may use; returns how many."""
    cores = min(available_cores(), config.NUMBA_NUM_THREADS)
    set_num_threads(cores)
    return cores


def many(job: Job, cores: int) -> int:
    """The number of networks that keeps all of these cores busy for a moment, evenly."""
    return cores * max(8, 20_000 // (job.hidden * sum(job.sizes)))


def prepare(job: Job) -> Contender:
    """Many networks on all cores."""
    train = compiled(job, False)
    networks = many(job, use_all_cores())
    weights: Weights = job.draw_weights(networks)
    return repeated(
        networks,
        job.updates,
        lambda: train(*weights.copy(), job.X, job.T, job.updates, job.rate, NO_ROWS, job.rate),
    )
