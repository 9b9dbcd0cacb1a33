"""Random networks, and their gradients by the kernels, by a textbook and by finite differences."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup, Layers, by_name
from fastbp.engine.tasks import task
from fastbp.schema.text import shown

Real = NDArray[np.float64]

Arrays = dict[str, Real]
"""Weights and biases, or their gradients: W0, b0, W1, b1, …; W[out, in], b[out]."""

Loss = Literal["squared", "cross-entropy"]


TOLERANCE = 1e-4
"""An array is right if it differs by less than this share of its largest gradient: float32 keeps
seven digits."""

KERNEL_RATE = 2.0**19
"""The rate of the step from which the kernels' gradient is computed: so large that subtracting the
weights costs no digit of the gradient."""


class Example(NamedTuple):
    """A network and its samples: inputs X [row, input] and targets T [row, output]."""

    layers: Layers
    X: Real
    T: Real


class CheckTask(NamedTuple):
    """A function to be checked, the examples, and our gradients for them.

    `rate` is the learning rate that the user gave, if any.
    """

    function: Callable[..., Any]
    examples: Sequence[Example]
    ours: Sequence[Arrays]
    loss: Loss
    bias: bool
    rate: float | None

    @property
    def rows(self) -> int:
        """Samples per call."""
        return len(self.examples[0].X)


class Reading(NamedTuple):
    """One way to read the results of a function, for every example.

    Weights are [out, in]; a gradient with the shape of the transpose keeps it. `does`: what the
    function does. `noise`: how much rounding may have changed each array. `rate`: the rate of
    steps; if it is None, `arrays` are steps, not gradients. `changed`: the weights after each step.
    """

    arrays: list[Arrays]
    noise: dict[str, float]
    does: str
    convention: str
    steps: bool = False
    rate: float | None = 1.0
    changed: list[list[Real]] = []  # noqa: RUF012


class NoGradientError(Exception):
    """What a function returned is not a gradient.

    `name`: the wrong array, if only one is wrong. `fitting`: the arrays that fit.
    """

    def __init__(self, text: str, name: str = "", fitting: Arrays | None = None) -> None:
        self.name, self.fitting = name, fitting or {}
        super().__init__(text)


def random_example(
    sizes: Sequence[int], rows: int, bias: bool, rng: np.random.Generator
) -> Example:
    """Draw a network and samples without special values.

    Wide layers get smaller weights: near 1 a sigmoid leaves float32 too few digits of its slope.
    """
    layers = [
        (rng.normal(size=(m, n)) / max(1.0, n / 3) ** 0.5, rng.normal(size=m) * bias)
        for n, m in pairwise(sizes)
    ]
    X, T = rng.normal(size=(rows, sizes[0])), rng.uniform(0.1, 0.9, (rows, sizes[-1]))
    # float32 also keeps few digits of a difference near 0.
    near = np.abs(activations(layers, X)[-1] - T) < 0.1
    return Example(layers, X, np.where(near, (T + 0.4) % 0.8 + 0.1, T))


def sigmoid(z: Real) -> Real:
    """σ(z)."""
    return 1 / (1 + np.exp(-z))


def prime(a: Real) -> Real:
    """σ′(z) where a = σ(z)."""
    return a * (1 - a)


def activations(layers: Layers, X: Real) -> list[Real]:
    """The inputs, and the outputs of each layer, [row, unit]."""
    values = [X]
    for W, b in layers:
        values.append(sigmoid(values[-1] @ W.T + b))
    return values


def loss_of(example: Example, loss: Loss) -> float:
    """½Σ(o − t)² or the cross-entropy, summed over rows and outputs."""
    a = activations(example.layers, example.X)[-1]
    if loss == "squared":
        return 0.5 * float(((a - example.T) ** 2).sum())
    return -float((example.T * np.log(a) + (1 - example.T) * np.log1p(-a)).sum())


def gradient(example: Example, loss: Loss, through: Sequence[Real]) -> Layers:
    """The gradient, summed over rows, if deltas are carried back through these weights.

    Parameters
    ----------
    example : Example
    loss : "squared" or "cross-entropy"
    through : float64 [out, in] of each layer
        The weights that carry deltas back; those of the network give the true gradient.
    """
    *below, o = activations(example.layers, example.X)
    delta = (o - example.T) * (prime(o) if loss == "squared" else 1.0)
    gradients: Layers = []
    for W, a in zip(reversed(through), reversed(below), strict=True):
        gradients.insert(0, (delta.T @ a, delta.sum(axis=0)))
        delta = (delta @ W) * prime(a)
    return gradients


def kernel_gradient(example: Example, loss: Loss, bias: bool) -> Arrays:
    """The gradient by the kernels, summed over rows: what one step subtracts from the weights."""
    setup = Setup.from_arrays(
        example.X,
        example.T,
        hidden=[len(b) for _, b in example.layers[:-1]],
        loss=loss,
        order="cyclic",
        batch="full",
        lr=KERNEL_RATE,
        updates=1,
    )
    group = LaneGroup(task(setup), np.array([0], np.uint64))
    group.set_layers(example.layers)
    group.advance(1)
    steps = [
        ((W - after) / KERNEL_RATE, (b - b_after) / KERNEL_RATE)
        for (W, b), (after, b_after) in zip(example.layers, group.layers(), strict=True)
    ]
    return by_name(steps, bias)


def numeric_difference(
    example: Example, ours: Arrays, loss: Loss, rng: np.random.Generator, step: float = 1e-3
) -> float:
    """Compare a gradient with central differences of fourth order.

    Returns the largest difference at up to 20 random entries of each array, relative to the largest
    entry of that array.
    """
    worst = 0.0
    for name, values in by_name(example.layers, "b0" in ours).items():
        for place in rng.permutation(values.size)[:20]:  # weights of each array, in each draw
            at = np.unravel_index(place, values.shape)
            kept, slope = float(values[at]), 0.0
            for offset, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                values[at] = kept + offset * step
                slope += weight * loss_of(example, loss) / (12 * step)
            values[at] = kept
            worst = max(worst, abs(slope - float(ours[name][at])) / scale_of(ours[name]))
    return worst


def scale_of(values: Real) -> float:
    """The largest absolute value, above 0."""
    return max(float(np.abs(values).max()), 1e-300)


def right_arrays(arrays: Mapping[str, Real], ours: Arrays) -> int:
    """How many of these arrays are right."""
    return sum(
        values.shape == ours[name].shape
        and float(np.abs(values - ours[name]).max()) <= TOLERANCE * scale_of(ours[name])
        for name, values in arrays.items()
    )


def equal(a: Reading, b: Reading) -> bool:
    """Whether two readings hold the same numbers."""
    return a.steps == b.steps and all(
        x[name].shape == y[name].shape and np.allclose(x[name], y[name], rtol=1e-12, atol=0)
        for x, y in zip(a.arrays, b.arrays, strict=True)
        for name in x
    )


def errors_of(
    reading: Reading, task: CheckTask, factor: float = 0.0
) -> tuple[dict[str, float], float, float]:
    """The error of each array without what rounding explains, the largest rounding, and the rate.

    Errors and rounding are shares of our largest gradient. A rate that the user did not give is
    `factor`, or the rate that fits the output layer's weights best.
    """
    pairs = list(zip(reading.arrays, task.ours, strict=False))
    rate = 1.0
    if reading.rate is None:
        last = list(task.ours[0])[-1 - task.bias]
        fit = sum(float((a[last] * o[last]).sum()) for a, o in pairs)
        size = sum(float((o[last] ** 2).sum()) for _, o in pairs)
        rate = abs(factor or fit / size) or 1.0
    errors, largest = {}, 0.0
    for name, noise in reading.noise.items():
        # Not the scale of each draw: in one the gradients may happen to cancel.
        scale = max(scale_of(ours[name]) for ours in task.ours)
        worst = max(
            float(np.abs(a[name] / rate - o[name]).max()) / scale
            if a[name].shape == o[name].shape
            else np.inf
            for a, o in pairs
        )
        errors[name] = max(worst - noise / rate / scale, 0.0)
        largest = max(largest, noise / rate / scale)
    return errors, largest, reading.rate or rate


def is_changed(after: Any, before: Real) -> bool:
    """Whether an array changed, by more than rounding."""
    try:
        values = np.asarray(after, float)
    except (TypeError, ValueError):
        return True
    limit = 1e-12 * np.abs(before).max()  # what w + ε − ε leaves is rounding
    return values.shape != before.shape or not bool(np.all(np.abs(values - before) <= limit))


def fitted(arrays: Mapping[str, Any], before: Arrays, out_in: bool, of: str) -> Arrays:
    """Copy all arrays; raise NoGradientError for the first misfit, from the output down."""
    fitted, reasons = {}, []
    for name in sorted(before, key=lambda name: (-int(name[1:]), name)):
        try:
            fitted[name] = _fit(arrays[name], before[name], name, out_in, of)
        except NoGradientError as reason:
            reasons.append(reason)
    if reasons:
        raise NoGradientError(str(reasons[0]), reasons[0].name, fitted)
    return {name: fitted[name] for name in before}


def _fit(values: Any, before: Real, name: str, out_in: bool, of: str) -> Real:
    """Copy an array as W[out, in] or b[out]; a transposed gradient keeps its shape."""
    try:
        array = np.asarray(values)
        numeric = array.dtype.kind in "biufO"
        # Larger ones stay objects: where shapes do not fit, NumPy makes tables of millions.
        if numeric and array.size == before.size:
            # float refuses None, which NumPy makes NaN.
            array = np.array([float(v) for v in array.flat]).reshape(array.shape)
    except Exception:
        numeric = False
    if not numeric:
        raise NoGradientError(
            f"{of}{name} is not an array of real numbers but {shown(values)}", name
        )
    size = before.size
    of_weights = [before.shape, *[before.shape[::-1]] * bool(of), *[(size,)] * (1 in before.shape)]
    shapes = of_weights if name[0] == "W" else [(size,), (size, 1), (1, size)]
    after = "" if of else " after the call"
    if array.shape not in shapes + [()] * (size == 1):
        had = f"{name} has" if of else "it had"
        text = f"{of}{name} has shape {array.shape}{after}, where {had} {before.shape}"
        raise NoGradientError(text, name)
    if not np.isfinite(array).all():
        counts = {"NaN": int(np.isnan(array).sum()), "infinite": int(np.isinf(array).sum())}
        text = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
        text = f"{of}{name} has {text} of {size} values{after}; needed: finite numbers"
        raise NoGradientError(text, name)
    if name[0] == "b":
        return array.reshape(-1)
    if array.shape != before.shape[::-1]:
        array = array.reshape(before.shape)
    return array if out_in else array.T
