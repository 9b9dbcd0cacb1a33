"""Many small networks in plain NumPy, as a textbook writes them, to check what fastbp says.

It shares no code with fastbp and has random numbers of its own: two programs that do the same agree
in distribution, not run by run. All arrays have one row of their first axis a network:
`W` [network, unit, input], activations [network, unit, row].
"""

from itertools import pairwise

import numpy as np

DEFAULTS = {
    "hidden": [4],
    "init": "normal",
    "init_scale": 1.0,
    "loss": "squared",
    "prime_offset": 0.0,
    "order": "shuffled",
    "batch": 1,
    "lr": 0.1,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "class_weight": "none",
    "scale_inputs": "none",
    "scale_targets": "none",
    "target_margin": 0.0,
}
"""The keys of a setup that `train` knows, as in a sweep file, besides `epochs` or `updates`."""


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(z, -700, 700)))


def scaled(X: np.ndarray, how: str) -> np.ndarray:
    if how == "none":
        return X
    low, size = (X.min(0), np.ptp(X, 0)) if how == "minmax" else (X.mean(0), X.std(0))
    return (X - low) / np.where(size > 0, size, 1)


def weights_of_rows(T: np.ndarray, how: str) -> np.ndarray:
    """How much each row counts."""
    _, classes, sizes = np.unique(T, axis=0, return_inverse=True, return_counts=True)
    return (len(T) / len(sizes) / sizes)[classes.ravel()] if how == "balanced" else np.ones(len(T))


def drawn(rng: np.random.Generator, runs: int, sizes: list[int], init: str, scale: float) -> list:
    """Initial weights and biases; those of Glorot and Bengio have no biases."""
    layers, uniform = [], init.endswith("uniform")
    for fan_in, fan_out in pairwise(sizes):
        shape = (runs, fan_out, fan_in + 1)
        both = scale * (rng.uniform(-1, 1, shape) if uniform else rng.normal(size=shape))
        if init.startswith("glorot"):
            both *= np.sqrt((6 if uniform else 2) / (fan_in + fan_out))
            both[..., -1] = 0
        layers.append((both[..., :-1], both[..., -1:]))
    return layers


def forward(layers: list, A: np.ndarray) -> list[np.ndarray]:
    """The activations of all layers, the inputs first."""
    activations = [A]
    for W, b in layers:
        activations.append(sigmoid(W @ activations[-1] + b))
    return activations


def rows_of_epoch(rng: np.random.Generator, runs: int, n: int, order: str) -> np.ndarray:
    """Which row is presented when, [network, position]."""
    if order == "random":
        return rng.integers(n, size=(runs, n))
    listed = np.tile(np.arange(n), (runs, 1))
    return rng.permuted(listed, axis=1) if order == "shuffled" else listed


def train(X: np.ndarray, T: np.ndarray, runs: int = 200, seed: int = 1, **given) -> np.ndarray:
    """The outputs [network, row, unit] of networks trained on X [row, input], T [row, unit].

    They are in the units of T. An update takes the sum of the gradients of its rows.
    """
    keys = DEFAULTS | given
    rng, X = np.random.default_rng(seed), scaled(X, keys["scale_inputs"])
    target = scaled(T, keys["scale_targets"])
    target = keys["target_margin"] + (1 - 2 * keys["target_margin"]) * target
    counts, n = weights_of_rows(T, keys["class_weight"]), len(X)
    size = n if keys["batch"] == "full" else min(keys["batch"], n)
    layers = drawn(
        rng, runs, [X.shape[1], *keys["hidden"], T.shape[1]], keys["init"], keys["init_scale"]
    )
    velocity = [(np.zeros_like(W), np.zeros_like(b)) for W, b in layers]
    left = keys.get("updates") or keys["epochs"] * -(-n // size)
    while left > 0:
        rows = rows_of_epoch(rng, runs, n, keys["order"])
        for first in range(0, n, size)[:left]:
            batch = rows[:, first : first + size]
            activations = forward(layers, X[batch].transpose(0, 2, 1))
            slopes = [a * (1 - a) + keys["prime_offset"] for a in activations]
            delta = (activations[-1] - target[batch].transpose(0, 2, 1)) * counts[batch][:, None]
            if keys["loss"] == "squared":
                delta = delta * slopes[-1]
            for layer in reversed(range(len(layers))):
                (W, b), (v, u) = layers[layer], velocity[layer]
                g = delta @ activations[layer].transpose(0, 2, 1) + keys["weight_decay"] * W
                v = keys["momentum"] * v - keys["lr"] * g
                u = keys["momentum"] * u - keys["lr"] * delta.sum(axis=2, keepdims=True)
                delta = (W.transpose(0, 2, 1) @ delta) * slopes[layer]
                layers[layer], velocity[layer] = (W + v, b + u), (v, u)
            left -= 1
    answers = forward(layers, np.broadcast_to(X.T, (runs, *X.T.shape)))[-1].transpose(0, 2, 1)
    return T.min(0) + np.ptp(T, 0) * answers if keys["scale_targets"] == "minmax" else answers


def right(answers: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Whether a row gets its class, [network, row]: the largest output's, or that of one's side."""
    if T.shape[1] > 1:
        return answers.argmax(axis=2) == T.argmax(axis=1)
    middle = (T.min() + T.max()) / 2
    return ((answers >= middle) == (middle <= T))[..., 0]


def mean_recall(answers: np.ndarray, T: np.ndarray) -> np.ndarray:
    """The accuracy of each class, averaged over the classes: a constant answer has 1 ÷ classes."""
    classes = np.unique(T, axis=0, return_inverse=True)[1].ravel()
    hits = [right(answers, T)[:, classes == each] for each in set(classes)]
    return np.mean([each.mean(axis=1) for each in hits], axis=0)


def r2(answers: np.ndarray, T: np.ndarray) -> np.ndarray:
    """1 − Σ(o − t)² ÷ Σ(t − mean t)² of one quantity."""
    return 1 - ((answers - T) ** 2).sum(axis=(1, 2)) / ((T - T.mean(0)) ** 2).sum()
