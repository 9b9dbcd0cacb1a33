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
    "activation": "sigmoid",
    "output": "sigmoid",
    "optimizer": "sgd",
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
        if init == "torch":
            both = rng.uniform(-1, 1, shape) / np.sqrt(fan_in)
        if init.startswith("glorot"):
            both *= np.sqrt((6 if uniform else 2) / (fan_in + fan_out))
            both[..., -1] = 0
        layers.append((both[..., :-1], both[..., -1:]))
    return layers


ACTIVATIONS = {
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "linear": (lambda z: z, np.ones_like),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: z * (z > 0), lambda z: 1.0 * (z > 0)),
    "leaky-relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1, 0.01)),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
    ),
    "selu": (
        lambda z: (
            1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0)))
        ),
        lambda z: (
            1.0507009873554805 * np.where(z > 0, 1, 1.6732632423543772 * np.exp(np.minimum(z, 0)))
        ),
    ),
    "softplus": (lambda z: np.log1p(np.exp(-abs(z))) + np.maximum(z, 0), sigmoid),
    "exponential": (np.exp, np.exp),
}
"""Each with its slope, as functions of z."""


def forward(layers: list, A: np.ndarray, keys: dict) -> tuple[list, list]:
    """The activations of all layers, the inputs first, and the slopes of those past them."""
    activations, slopes = [A], [None]
    for (W, b), name in zip(
        layers, ([keys["activation"]] * (len(layers) - 1) + [keys["output"]]), strict=True
    ):
        f, slope = ACTIVATIONS[name]
        z = W @ activations[-1] + b
        activations.append(f(z))
        slopes.append(slope(z) + keys["prime_offset"])
    return activations, slopes


def stepped(w, g, s, t, k: int, keys: dict) -> tuple:
    """Weights after step k = 1, 2, … by their gradients, and what is kept with them."""
    lr, name = keys["lr"], keys["optimizer"]
    if name == "adam":
        s, t = 0.9 * s + 0.1 * g, 0.999 * t + 0.001 * g**2
        return w - lr * s / (1 - 0.9**k) / (np.sqrt(t / (1 - 0.999**k)) + 1e-8), s, t
    if name == "rmsprop":
        s = 0.99 * s + 0.01 * g**2
        return w - lr * g / (np.sqrt(s) + 1e-8), s, t
    if name == "adagrad":
        s = s + g**2
        return w - lr * g / (np.sqrt(s) + 1e-10), s, t
    if name == "rprop":
        s = np.where(s > 0, s, 0.1) * np.select([g * t > 0, g * t < 0], [1.2, 0.5], 1.0)
        s, g = np.clip(s, 1e-6, 50), np.where(g * t < 0, 0, g)
        return w - np.sign(g) * s, s, g
    if name == "quickprop":
        with np.errstate(all="ignore"):
            jump = np.where(
                np.sign(s) * g <= np.sign(s) * t * 1.75 / 2.75, 1.75 * s, s * g / (t - g)
            )
        s = np.where(s == 0, 0, jump) - lr * g * (s * g <= 0) * ((s == 0) | (g != 0))
        return w + s, s, g
    s = keys["momentum"] * s - lr * g
    return w + s, s, t


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
    kept = [[(np.zeros_like(part), np.zeros_like(part)) for part in layer] for layer in layers]
    k = 0
    left = keys.get("updates") or keys["epochs"] * -(-n // size)
    while left > 0:
        rows = rows_of_epoch(rng, runs, n, keys["order"])
        for first in range(0, n, size)[:left]:
            batch = rows[:, first : first + size]
            k += 1
            activations, slopes = forward(layers, X[batch].transpose(0, 2, 1), keys)
            delta = (activations[-1] - target[batch].transpose(0, 2, 1)) * counts[batch][:, None]
            if keys["loss"] == "squared":
                delta = delta * slopes[-1]
            for layer in reversed(range(len(layers))):
                W = layers[layer][0]
                g = delta @ activations[layer].transpose(0, 2, 1) + keys["weight_decay"] * W
                gradients = g, delta.sum(axis=2, keepdims=True)
                if layer:
                    delta = (W.transpose(0, 2, 1) @ delta) * slopes[layer]
                each = [
                    stepped(w, g, *own, k, keys)
                    for w, g, own in zip(layers[layer], gradients, kept[layer], strict=True)
                ]
                layers[layer], kept[layer] = [w for w, *_ in each], [own for _, *own in each]
            left -= 1
    answers = forward(layers, np.broadcast_to(X.T, (runs, *X.T.shape)), keys)[0][-1].transpose(
        0, 2, 1
    )
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
