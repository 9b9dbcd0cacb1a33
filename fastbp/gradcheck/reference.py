"""Random networks, and their gradients by fastbp, by the textbook and by finite differences."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit as sigmoid

from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup, Layers, by_name
from fastbp.engine.tasks import task
from fastbp.schema.text import shown

Real = NDArray[np.float64]

Arrays = dict[str, Real]
"""Weights and biases, or their gradients, by name: W0, b0, W1, b1, …; W [out, in], b [out]."""

Loss = Literal["squared", "cross-entropy"]


TOLERANCE = 1e-4
"""A gradient is right if no entry differs from fastbp's by more than this share of the largest
entry of its array: float32 keeps seven digits."""

KERNEL_RATE = 2.0**19
"""Learning rate of the one update that gives fastbp's gradient, as (before − after) / rate. It is
so large that this subtraction costs no digit of the gradient."""


Kinds = tuple[str, str]
"""The activations of the hidden units and of the output units, as in a sweep file."""

SIGMOIDS: Kinds = ("sigmoid", "sigmoid")


class Example(NamedTuple):
    """A network and its samples: inputs X [row, input] and targets T [row, output]."""

    layers: Layers
    X: Real
    T: Real
    kinds: Kinds = SIGMOIDS


class CheckTask(NamedTuple):
    """A function to be checked, the examples it is called with, and fastbp's gradients for them.

    `ours`: the gradient of each example. `bias`: whether the networks have biases. `rate`: the
    learning rate that the user gave, if any.
    """

    function: Callable[..., Any]
    examples: Sequence[Example]
    ours: Sequence[Arrays]
    loss: Loss
    bias: bool
    rate: float | None

    @property
    def rows(self) -> int:
        """The number of samples per call."""
        return len(self.examples[0].X)


class Terms(NamedTuple):
    """What a gradient is, and the seed of the networks that it is checked on."""

    loss: Loss
    rate: float | None
    mean: bool
    seed: int


class Reading(NamedTuple):
    """One way to read the results of a function, for every example.

    `arrays`: the gradients of each example, weights as [out, in]; a gradient with the shape of the
    transpose keeps it. `noise`: how much rounding may have changed the entries of each array,
    absolute. `does`, `convention`: in words, what the function does and how it was called. `steps`:
    whether the gradients are computed from steps that the function made. `rate`: the learning rate
    of the steps, 1 for gradients; if it is None, `arrays` are the steps themselves. `changed`: the
    weights of each example after the step, [out, in] for each layer.
    """

    arrays: list[Arrays]
    noise: dict[str, float]
    does: str
    convention: str
    steps: bool = False
    rate: float | None = 1.0
    changed: list[list[Real]] = []  # noqa: RUF012


class NoGradientError(Exception):
    """The result of a function cannot be read as gradients.

    `name`: the first array that does not fit, if known. `fitting`: the arrays that fit.
    """

    def __init__(self, text: str, name: str = "", fitting: Arrays | None = None) -> None:
        self.name, self.fitting = name, fitting or {}
        super().__init__(text)


def takes(function: Callable[..., Any], arguments: int) -> bool:
    """Whether the signature of a function, if it has one, allows this number of arguments."""
    try:
        signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:
        pass  # it has no signature
    return True


def random_example(
    sizes: Sequence[int],
    rows: int,
    bias: bool,
    rng: np.random.Generator,
    kinds: Kinds = SIGMOIDS,
) -> Example:
    """Draw a random network and random samples for it.

    Weights, biases and inputs are normal, targets uniform from 0.1 to 0.9. Wide layers get smaller
    weights, because near 1 a sigmoid leaves float32 too few digits of its slope. Targets are 0.1 or
    more away from the outputs.
    """
    layers = [
        (rng.normal(size=(m, n)) / max(1.0, n / 3) ** 0.5, rng.normal(size=m) * bias)
        for n, m in pairwise(sizes)
    ]
    X, T = rng.normal(size=(rows, sizes[0])), rng.uniform(0.1, 0.9, (rows, sizes[-1]))
    # float32 also keeps few digits of a difference near 0.
    near = np.abs(activations(Example(layers, X, T, kinds))[-1] - T) < 0.1
    return Example(layers, X, np.where(near, (T + 0.4) % 0.8 + 0.1, T), kinds)


def prime(a: Real) -> Real:
    """The derivative σ′(z) = a·(1 − a), computed from a = σ(z)."""
    return a * (1 - a)


_UNITS: dict[str, tuple[Callable[[Real], Any], Callable[[Real], Any]]] = {
    "sigmoid": (sigmoid, prime),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda z: np.maximum(z, 0), lambda a: 1.0 * (a > 0)),
    "linear": (lambda z: z, np.ones_like),
}
"""Activations as functions of z, and their slopes as functions of the activation."""


def activations(example: Example) -> list[Real]:
    """List the inputs X and the outputs of each layer, all [row, unit]."""
    hidden, output = (_UNITS[kind][0] for kind in example.kinds)
    each = [example.X]
    for W, b in example.layers:
        f = output if len(each) == len(example.layers) else hidden
        each.append(f(each[-1] @ W.T + b))
    return each


def loss_of(example: Example, loss: Loss) -> float:
    """The loss of an example, ½Σ(o − t)² or the cross-entropy, summed over rows and outputs."""
    a = activations(example)[-1]
    if loss == "squared":
        return 0.5 * float(((a - example.T) ** 2).sum())
    return -float((example.T * np.log(a) + (1 - example.T) * np.log1p(-a)).sum())


def gradient(example: Example, loss: Loss, through: Sequence[Real]) -> Layers:
    """Compute the gradient of the loss by textbook backpropagation, summed over rows.

    Parameters
    ----------
    example : Example
    loss : "squared" or "cross-entropy"
    through : float64 [out, in] for each layer
        The weights that carry deltas back. The network's own give the true gradient; weights after
        an update give that of a function which updates too early.

    Returns
    -------
    list of (float64 [out, in], float64 [out])
        The gradients of the weights and biases of each layer.
    """
    *below, o = activations(example)
    hidden, output = (_UNITS[kind][1] for kind in example.kinds)
    delta = (o - example.T) * (output(o) if loss == "squared" else 1.0)
    gradients: Layers = []
    for W, a in zip(reversed(through), reversed(below), strict=True):
        gradients.insert(0, (delta.T @ a, delta.sum(axis=0)))
        delta = (delta @ W) * hidden(a)
    return gradients


def kernel_gradient(example: Example, loss: Loss, bias: bool) -> Arrays:
    """Compute fastbp's gradient, summed over rows, from one update by the training kernels."""
    setup = Setup.from_arrays(
        example.X,
        example.T,
        hidden=[len(b) for _, b in example.layers[:-1]],
        activation=example.kinds[0],
        output=example.kinds[1],
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
    """The largest absolute value of an array, but at least 1e-300, so that one can divide by it."""
    return max(float(np.abs(values).max()), 1e-300)


def right_arrays(arrays: Mapping[str, Real], ours: Arrays) -> int:
    """Count the arrays that equal `ours`, fastbp's gradients, up to `TOLERANCE`."""
    return sum(
        values.shape == ours[name].shape
        and float(np.abs(values - ours[name]).max()) <= TOLERANCE * scale_of(ours[name])
        for name, values in arrays.items()
    )


def equal(a: Reading, b: Reading) -> bool:
    """Whether two readings hold the same numbers, up to rounding."""
    return a.steps == b.steps and all(
        x[name].shape == y[name].shape and np.allclose(x[name], y[name], rtol=1e-12, atol=0)
        for x, y in zip(a.arrays, b.arrays, strict=True)
        for name in x
    )


def errors_of(
    reading: Reading, task: CheckTask, factor: float = 0.0
) -> tuple[dict[str, float], float, float]:
    """Compare the gradients of a reading with fastbp's.

    Errors and rounding are divided by the largest entry of fastbp's gradient of that array in all
    examples.

    Parameters
    ----------
    reading : Reading
    task : CheckTask
    factor : float
        The rate to assume if the reading has none; 0 for the rate that fits the output layer's
        weights best.

    Returns
    -------
    errors : dict
        The largest difference of each array, without what rounding explains; ∞ if shapes differ.
    rounding : float
        The largest difference that rounding explains.
    rate : float
        The learning rate, given or inferred; 1 for gradients.
    """
    pairs = list(zip(reading.arrays, task.ours, strict=False))
    rate = 1.0
    if reading.rate is None:
        last = list(task.ours[0])[-1 - task.bias]
        fit = sum(float((a[last] * o[last]).sum()) for a, o in pairs)
        rate = abs(factor or fit / sum(float((o[last] ** 2).sum()) for _, o in pairs)) or 1.0
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
    """Whether an array differs from its former values by more than rounding."""
    try:
        values = np.asarray(after, float)
    except (TypeError, ValueError):
        return True
    limit = 1e-12 * np.abs(before).max()  # what w + ε − ε leaves is rounding
    return values.shape != before.shape or not bool(np.all(np.abs(values - before) <= limit))


def fitted(arrays: Mapping[str, Any], before: Arrays, out_in: bool, of: str) -> Arrays:
    """Copy arrays that a function returned or changed as W [out, in] and b [out].

    Parameters
    ----------
    arrays : mapping from name to array
    before : Arrays
        The arguments of the call, in the layout of the function.
    out_in : bool
        Whether that layout is W[out, in].
    of : str
        "the gradient of " for gradients, which may be transposed; "" for changed arguments.

    Raises
    ------
    NoGradientError
        If an array does not fit. It tells the first, from the output layer down.
    """
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
    """Copy one array as `fitted` does; a transposed gradient keeps its shape."""
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
        raise NoGradientError(
            f"{of}{name} has shape {array.shape}{after}, where {had} {before.shape}", name
        )
    if not np.isfinite(array).all():
        counts = {"NaN": int(np.isnan(array).sum()), "infinite": int(np.isinf(array).sum())}
        held = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
        raise NoGradientError(
            f"{of}{name} has {held} of {size} values{after}; needed: finite numbers", name
        )
    if name[0] == "b":
        return array.reshape(-1)
    if array.shape != before.shape[::-1]:
        array = array.reshape(before.shape)
    return array if out_in else array.T
