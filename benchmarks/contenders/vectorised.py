"""NumPy over many networks at once, in place, rows from a ready table.

Where layers are small or all networks see the same batch, the network is the last axis, and
everything is a pass over contiguous numbers; where each network has a batch of its own, matrix
products win.
"""

import numpy as np

from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated


def sigmoid(z):
    """In place."""
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


def slope(a, out):
    """a(1 − a)."""
    np.subtract(1, a, out=out)
    out *= a


def online(job: Job, weights: Weights, rows) -> None:
    """One row an update. Weights [..., network], rows [update, network]."""
    w1, b1, w2, b2 = weights
    X, T = np.ascontiguousarray(job.X.T), np.ascontiguousarray(job.T.T)
    x, t = np.empty_like(w1[0]), np.empty_like(b2)
    p1, p2, h, s, e, o = (np.empty_like(part) for part in (w1, w2, b1, b1, b1, b2))
    for row in rows:
        np.take(X, row, axis=1, out=x, mode="clip")  # clip: without a copy in between
        np.take(T, row, axis=1, out=t, mode="clip")
        np.multiply(w1, x, out=p1)
        np.add.reduce(p1, axis=1, out=h)
        h += b1
        sigmoid(h)
        np.multiply(w2, h, out=p2)
        np.add.reduce(p2, axis=1, out=o)
        o += b2
        sigmoid(o)
        np.subtract(o, t, out=t)
        slope(o, out=s[: len(o)])
        t *= s[: len(o)]
        t *= job.rate
        np.multiply(w2, t[:, None], out=p2)
        np.add.reduce(p2, axis=0, out=e)
        slope(h, out=s)
        e *= s
        np.multiply(t[:, None], h, out=p2)
        w2 -= p2
        b2 -= t
        np.multiply(e[:, None], x, out=p1)
        w1 -= p1
        b1 -= e


def same_batch(job: Job, weights: Weights, rows) -> None:
    """All networks see the same rows. Weights [..., network] with w1 and w2 as [from, to, network],
    rows [update, position]."""
    w1, b1, w2, b2 = weights
    inputs, hidden, networks = w1.shape
    flat = w1.reshape(inputs, -1)
    h = np.empty((job.batch, hidden, networks), w1.dtype)
    s, e, step = np.empty_like(h), np.empty_like(h), np.empty_like(w1)
    o = np.empty((job.batch, *b2.shape), w1.dtype)
    p, q, g = np.empty_like(o), np.empty_like(o), np.empty_like(b2)
    for row in rows:
        x, t = job.X[row], job.T[row][..., None]
        np.matmul(x, flat, out=h.reshape(job.batch, -1))
        h += b1
        sigmoid(h)
        o[:] = b2
        for j in range(hidden):
            np.multiply(h[:, j, None], w2[j], out=p)
            o += p
        sigmoid(o)
        slope(o, out=p)
        o -= t
        o *= p
        o *= job.rate
        for j in range(hidden):
            np.multiply(o, w2[j], out=p)
            np.add.reduce(p, axis=1, out=e[:, j])
            np.multiply(o, h[:, j, None], out=q)
            np.add.reduce(q, axis=0, out=g)
            w2[j] -= g
        slope(h, out=s)
        e *= s
        np.add.reduce(o, axis=0, out=g)
        b2 -= g
        np.matmul(x.T, e.reshape(job.batch, -1), out=step.reshape(inputs, -1))
        w1 -= step
        b1 -= np.add.reduce(e, axis=0)


def own_batches(job: Job, weights: Weights, rows) -> None:
    """Each network sees its own batch. Weights [network, ...] with w1 and w2 as [from, to], rows
    [update, network, position]."""
    w1, b1, w2, b2 = weights
    networks, _, hidden = w1.shape
    h = np.empty((networks, job.batch, hidden), w1.dtype)
    s, e = np.empty_like(h), np.empty_like(h)
    o = np.empty((networks, job.batch, b2.shape[1]), w1.dtype)
    p, g1, g2 = np.empty_like(o), np.empty_like(w1), np.empty_like(w2)
    for row in rows:
        x, t = job.X[row], job.T[row]
        np.matmul(x, w1, out=h)
        h += b1[:, None]
        sigmoid(h)
        np.matmul(h, w2, out=o)
        o += b2[:, None]
        sigmoid(o)
        slope(o, out=p)
        o -= t
        o *= p
        o *= job.rate
        np.matmul(o, w2.swapaxes(1, 2), out=e)
        slope(h, out=s)
        e *= s
        np.matmul(h.swapaxes(1, 2), o, out=g2)
        w2 -= g2
        b2 -= np.add.reduce(o, axis=1)
        np.matmul(x.swapaxes(1, 2), e, out=g1)
        w1 -= g1
        b1 -= np.add.reduce(e, axis=1)


def form(job: Job):
    """Which of the three trains a job."""
    return online if job.batch == 1 else same_batch if job.order == "cyclic" else own_batches


def inside(job: Job, weights: Weights) -> Weights:
    """A copy of weights as that form wants them."""
    w1, b1, w2, b2 = weights
    if form(job) is not online:
        w1, w2 = w1.swapaxes(1, 2), w2.swapaxes(1, 2)
    axis = 0 if form(job) is own_batches else -1
    return Weights(*(np.moveaxis(part, 0, axis).copy() for part in (w1, b1, w2, b2)))


def outside(job: Job, weights: Weights) -> Weights:
    """The way back."""
    w1, b1, w2, b2 = (
        weights if form(job) is own_batches else (np.moveaxis(part, -1, 0) for part in weights)
    )
    return (
        Weights(w1, b1, w2, b2)
        if form(job) is online
        else Weights(w1.swapaxes(1, 2), b1, w2.swapaxes(1, 2), b2)
    )


def table(job: Job, rows):
    """Rows [network, update, position] in the order in which that form reads them."""
    if form(job) is online:
        return np.ascontiguousarray(rows[..., 0].T.astype(np.intp))
    return (
        rows[0]
        if form(job) is same_batch
        else np.ascontiguousarray(rows.swapaxes(0, 1).astype(np.intp))
    )


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    weights = inside(job, job.start)
    form(job)(job, weights, table(job, job.rows))
    return largest_difference(outside(job, weights), job.end)


def prepare(job: Job) -> Contender:
    """As many networks as were found quickest, and a part of their updates."""
    networks = {online: 4096, same_batch: 1024, own_batches: max(8, 8192 // job.hidden)}[form(job)]
    updates = min(job.updates, 128)
    weights, rows = job.draw_weights(networks), table(job, job.draw_rows(networks, updates))
    return repeated(networks, updates, lambda: form(job)(job, inside(job, weights), rows))
