"""Networks and samples for functions to be tried on, and plain backpropagation in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

Layers = list[tuple[Real, Real]]
"""Of each layer its weights [out, in] and its biases [out]."""

Loss = Literal["squared", "cross-entropy"]


class Case(NamedTuple):
    """A network, and samples: inputs X [row, input] and targets T [row, output]."""

    layers: Layers
    X: Real
    T: Real


def random_case(sizes: Sequence[int], rows: int, bias: bool, rng: np.random.Generator) -> Case:
    """A random network and samples, no value of which is special.

    Wide layers get smaller weights: a sigmoid that is nearly 1 leaves float32 too few digits of its
    slope.
    """
    layers = [
        (rng.normal(size=(m, n)) / max(1.0, n / 3) ** 0.5, rng.normal(size=m) * bias)
        for n, m in pairwise(sizes)
    ]
    X, T = rng.normal(size=(rows, sizes[0])), rng.uniform(0.1, 0.9, (rows, sizes[-1]))
    near = (
        np.abs(outputs(layers, X) - T) < 0.1
    )  # of a difference of nearly 0 float32 keeps few digits, too
    return Case(layers, X, np.where(near, (T + 0.4) % 0.8 + 0.1, T))


def sigmoid(z: Real) -> Real:
    """σ(z)."""
    return 1 / (1 + np.exp(-z))


def prime(a: Real) -> Real:
    """σ′(z) where a = σ(z)."""
    return a * (1 - a)


def outputs(layers: Layers, X: Real) -> Real:
    """What a network answers, [row, output]."""
    for W, b in layers:
        X = sigmoid(X @ W.T + b)
    return X


def loss_of(case: Case, loss: Loss) -> float:
    """½Σ(o − t)², or the cross-entropy, summed over rows and outputs."""
    a = outputs(case.layers, case.X)
    if loss == "squared":
        return 0.5 * float(((a - case.T) ** 2).sum())
    return -float((case.T * np.log(a) + (1 - case.T) * np.log1p(-a)).sum())


def gradient(case: Case, loss: Loss, through: Sequence[Real]) -> Layers:
    """The gradient, summed over rows, where deltas are carried back through these weights, one
    array for each layer.
    """
    activations = [case.X]
    for W, b in case.layers:
        activations.append(sigmoid(activations[-1] @ W.T + b))
    delta = (activations[-1] - case.T) * (prime(activations[-1]) if loss == "squared" else 1.0)
    found: Layers = []
    for W, a in zip(reversed(through), reversed(activations[:-1]), strict=True):
        found.insert(0, (delta.T @ a, delta.sum(axis=0)))
        delta = (delta @ W) * prime(a)
    return found
