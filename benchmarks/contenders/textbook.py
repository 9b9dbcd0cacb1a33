"""One network at a time, as a class with NumPy matrices: what textbooks print."""

import numpy as np

from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class Network:
    """Inputs, one hidden layer, outputs."""

    def __init__(self, w1, b1, w2, b2):
        self.w1, self.b1, self.w2, self.b2 = w1, b1, w2, b2

    def update(self, x, t, lr):
        """One step down the gradient of ½‖o − t‖², summed over the batch x [row, input]."""
        h = sigmoid(x @ self.w1.T + self.b1)
        o = sigmoid(h @ self.w2.T + self.b2)
        d = (o - t) * o * (1 - o)
        e = d @ self.w2 * h * (1 - h)
        self.w2 -= lr * (d.T @ h)
        self.b2 -= lr * d.sum(0)
        self.w1 -= lr * (e.T @ x)
        self.b1 -= lr * e.sum(0)


def train(job: Job, weights: Weights, rows) -> None:
    """Train networks in place, one after the other."""
    for *parts, order in zip(*weights, rows, strict=True):
        network = Network(*parts)
        for batch in order:
            network.update(job.X[batch], job.T[batch], job.rate)


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    weights = job.start.copy()
    train(job, weights, job.rows)
    return largest_difference(weights, job.end)


def prepare(job: Job) -> Contender:
    """One network, a part of its updates."""
    updates = min(job.updates, 2_000)
    weights, rows = job.draw_weights(1), job.draw_rows(1, updates)
    return repeated(1, updates, lambda: train(job, weights.copy(), rows))
