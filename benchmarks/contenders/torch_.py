"""PyTorch on the processor: all networks in one tensor, gradients by hand and in place, rows from a
ready table.

`torch.compile` makes loops of an update where there is a C++ compiler for it; without one the same
update runs uncompiled.
"""

import shutil

import numpy as np
import torch

from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated

torch.set_num_threads(1)


def online(w1, b1, w2, b2, rows, X, T, lr):
    """One row an update. Weights [..., network], rows [network]; X and T [column, row]."""
    x, t = X[:, rows], T[:, rows]
    h = torch.sigmoid(b1 + (w1 * x).sum(1))
    o = torch.sigmoid(b2 + (w2 * h).sum(1))
    d = lr * (o - t) * o * (1 - o)
    e = (d[:, None] * w2).sum(0) * h * (1 - h)
    w2.sub_(d[:, None] * h)
    b2.sub_(d)
    w1.sub_(e[:, None] * x)
    b1.sub_(e)


def same_batch(w1, b1, w2, b2, rows, X, T, lr):
    """All networks see the same rows. Weights [..., network], rows [position]."""
    x, t = X[:, rows, None], T[:, rows, None]
    h = torch.sigmoid(b1[:, None] + sum(w1[:, i, None] * x[i] for i in range(w1.shape[1])))
    o = torch.sigmoid(b2[:, None] + sum(w2[:, j, None] * h[j] for j in range(w2.shape[1])))
    d = lr * (o - t) * o * (1 - o)
    e = sum(w2[k, :, None] * d[k] for k in range(w2.shape[0])) * h * (1 - h)
    g1 = sum(e[:, None, q] * x[None, :, q] for q in range(x.shape[1]))
    g2 = sum(d[:, None, q] * h[None, :, q] for q in range(x.shape[1]))
    w2.sub_(g2)
    b2.sub_(d.sum(1))
    w1.sub_(g1)
    b1.sub_(e.sum(1))


def own_batches(w1, b1, w2, b2, rows, X, T, lr):
    """Each network sees a batch of its own. Weights [network, to, from], rows [network, position];
    X and T [row, column]."""
    x, t = X[rows], T[rows]
    h = torch.sigmoid(torch.baddbmm(b1[:, None], x, w1.mT))
    o = torch.sigmoid(torch.baddbmm(b2[:, None], h, w2.mT))
    d = lr * (o - t) * o * (1 - o)
    e = torch.bmm(d, w2) * h * (1 - h)
    w2.baddbmm_(d.mT, h, alpha=-1)
    b2.sub_(d.sum(1))
    w1.baddbmm_(e.mT, x, alpha=-1)
    b1.sub_(e.sum(1))


def form(job: Job):
    """Which of the three trains a job."""
    return online if job.batch == 1 else same_batch if job.order == "cyclic" else own_batches


def trainer(job: Job):
    """Trains weights in place on all rows of a table."""
    update = (
        torch.compile(form(job), fullgraph=True, dynamic=False)
        if shutil.which("g++")
        else form(job)
    )
    columns_first = form(job) is not own_batches
    X, T = (torch.tensor(part.T.copy() if columns_first else part) for part in (job.X, job.T))
    lr = float(job.rate)

    @torch.no_grad()
    def train(weights, rows):
        for row in rows:
            update(*weights, row, X, T, lr)

    return train


def inside(job: Job, weights: Weights) -> list[torch.Tensor]:
    """A copy of weights as that form wants them."""
    axis = 0 if form(job) is own_batches else -1
    return [torch.tensor(np.moveaxis(part, 0, axis).copy()) for part in weights]


def outside(job: Job, weights) -> Weights:
    """The way back."""
    axis = 0 if form(job) is own_batches else -1
    return Weights(*(np.moveaxis(part.numpy(), axis, 0) for part in weights))


def table(job: Job, rows):
    """Rows [network, update, position] in the order in which that form reads them, an update
    each."""
    rows = rows.astype(np.int64)
    axes = {online: rows[..., 0].T, same_batch: rows[0], own_batches: rows.swapaxes(0, 1)}
    return list(torch.tensor(np.ascontiguousarray(axes[form(job)])))


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    weights = inside(job, job.start)
    trainer(job)(weights, table(job, job.rows))
    return largest_difference(outside(job, weights), job.end)


def prepare(job: Job) -> Contender:
    """As many networks as were found quickest, and a part of their updates."""
    networks = {online: 16_384, same_batch: 512, own_batches: max(16, 8192 // job.hidden)}[
        form(job)
    ]
    updates = min(job.updates, 32)
    weights, rows, train = (
        job.draw_weights(networks),
        table(job, job.draw_rows(networks, updates)),
        trainer(job),
    )
    return repeated(networks, updates, lambda: train(inside(job, weights), rows))
