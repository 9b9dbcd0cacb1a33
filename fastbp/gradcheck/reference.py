"""Random networks, and their gradients by fastbp, by the textbook and by finite differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit as sigmoid, softmax

from fastbp.choices.activations import SELU_ALPHA, SELU_SCALE
from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup, Layers, by_name
from fastbp.engine.tasks import task
from fastbp.schema.text import and_, shown

if TYPE_CHECKING:
    from fastbp.gradcheck.conventions import Convention

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


Kinds = tuple[str, ...]
"""The activation of each layer, the outputs last, as in a sweep file."""


class Example(NamedTuple):
    """A network and its samples: inputs X [row, input] and targets T [row, output]."""

    layers: Layers
    X: Real
    T: Real
    kinds: Kinds


class Terms(NamedTuple):
    """What is checked: networks of these sizes, the loss, and the seed that they are drawn from.

    `rate`: the learning rate that the user gave, if any. `mean`: whether gradients are means over
    rows. `kinds`: the units of the networks. `others`: whether gradients that are right for other
    units are right.
    """

    sizes: tuple[int, ...]
    rows: int
    bias: bool
    loss: Loss
    rate: float | None
    mean: bool
    seed: int
    kinds: Kinds
    others: bool = False

    @property
    def share(self) -> float:
        """What the sums over rows are multiplied by."""
        return 1 / self.rows if self.mean else 1.0

    def of(self, kinds: Kinds) -> Self | None:
        """The same for other units; None where fastbp does not train them with this loss."""
        known = self.loss == "squared" or kinds[-1] in ("sigmoid", "softmax")
        return self._replace(kinds=kinds, others=False) if known and self.others else None


class CheckTask(NamedTuple):
    """A function to be checked, the examples it is called with, and fastbp's gradients for them.

    `ours`: the gradient of each example. `numeric`: how much it differs from finite differences.
    """

    function: Callable[..., Any]
    examples: Sequence[Example]
    ours: Sequence[Arrays]
    terms: Terms
    numeric: float


class Reading(NamedTuple):
    """One way to read the results of a function, for every example.

    `arrays`: the gradients of each example, weights as [out, in]; a gradient with the shape of the
    transpose keeps it. `noise`: how much rounding may have changed the entries of each array,
    absolute. `does`: in words, what the function does. `convention`: how it was called. `steps`:
    whether the gradients are computed from steps that the function made. `rate`: the learning rate
    of the steps, 1 for gradients; if it is None, `arrays` are the steps themselves. `changed`: the
    weights of each example after the step, [out, in] for each layer.
    """

    arrays: list[Arrays]
    noise: dict[str, float]
    does: str
    convention: "Convention"
    steps: bool = False
    rate: float | None = 1.0
    changed: list[list[Real]] = []  # noqa: RUF012


ENDS, OWN_ERROR, UNFIT, SHAPES = range(-1, 3)
"""Kinds of failed calls, the one that says most first: the function ends the program; it raises an
error that has nothing to do with shapes; its results are not gradients; it raises an error that
a call with other shapes may avoid."""


@dataclass(eq=False)
class CallFailure(Exception):  # noqa: N818
    """Why a call of the user's function failed.

    `text`: the reason, in words. `name`: the first array that does not fit, if known. `fitting`:
    the arrays of the result that fit. `rank`: the kind of failure, from `ENDS` to `SHAPES`; the
    smallest says most. `example`: the index of the example that it was called with. `reached`: the
    numbers of the lines in the traceback, from the function inwards.
    """

    text: str
    name: str = ""
    fitting: Arrays = field(default_factory=dict)
    rank: int = UNFIT
    example: int = 0
    reached: Sequence[int] = ()


def takes(function: Callable[..., Any], arguments: int) -> bool:
    """Whether the signature of a function, if it has one, allows this number of arguments."""
    try:
        signature(function).bind(*[None] * arguments)
    except (TypeError, ValueError) as error:
        return isinstance(error, ValueError)  # it has no signature
    return True


def random_example(terms: Terms, rng: np.random.Generator) -> Example:
    """Draw a random network and random samples for it.

    Weights, biases and inputs are normal, targets uniform from 0.1 to 0.9. Wide layers get smaller
    weights, because near 1 a sigmoid leaves float32 too few digits of its slope. Several targets
    add up to 1, as those of a softmax must, and one of them is 0.8 or more, so that errors have
    both signs; a single one is 0.1 or more away from the output.
    """
    sizes, rows = terms.sizes, terms.rows
    layers = [
        (rng.normal(size=(m, n)) / max(1.0, n / 3) ** 0.5, rng.normal(size=m) * terms.bias)
        for n, m in pairwise(sizes)
    ]
    X, T = rng.normal(size=(rows, sizes[0])), rng.uniform(0.1, 0.9, (rows, sizes[-1]))
    example = Example(layers, X, T, terms.kinds)
    if sizes[-1] > 1:
        classes = np.eye(sizes[-1])[rng.integers(sizes[-1], size=rows)]
        return example._replace(T=0.8 * classes + 0.2 * T / T.sum(axis=1, keepdims=True))
    # float32 also keeps few digits of a difference near 0.
    near = np.abs(forward(example)[1][-1] - T) < 0.1
    return example._replace(T=np.where(near, (T + 0.4) % 0.8 + 0.1, T))


def prime(a: Real) -> Real:
    """The derivative σ′(z) = a·(1 − a), computed from a = σ(z)."""
    return a * (1 - a)


_Units = tuple[Callable[..., Any], Callable[..., Any]]

_UNITS: dict[str, _Units] = {
    "sigmoid": (sigmoid, prime),
    "linear": (lambda z: z, np.ones_like),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda z: np.maximum(z, 0), lambda a: 1.0 * (a > 0)),
    "leaky-relu": (
        lambda z, slope=0.01: np.where(z > 0, z, slope * z),
        lambda a, slope=0.01: np.where(a > 0, 1, slope),
    ),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda a: np.where(a > 0, 1, a + 1),
    ),
    "selu": (
        lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
        lambda a: np.where(a > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA),
    ),
    "softplus": (lambda z: np.logaddexp(0, z), lambda a: -np.expm1(-a)),
    "exponential": (np.exp, lambda a: a),
    # With the loss of a softmax its derivative cancels.
    "softmax": (lambda z: softmax(z, axis=-1), np.ones_like),
}
"""The textbook's formulas for all units that there are: activations as functions of z, and their
slopes as functions of the activation. fastbp's own are in `fastbp.choices`."""


def units(kind: str) -> _Units:
    """The activation and the slope of one kind of units, such as "leaky-relu:slope=0.1"."""
    name, _, slope = kind.partition(":slope=")
    f, derivative = _UNITS[name]
    given = {"slope": float(slope)} if slope else {}
    return partial(f, **given), partial(derivative, **given)


def units_text(kinds: Kinds) -> str:
    """Units that are no sigmoids in words: "tanh hidden units and linear output units"."""
    pairs = {"hidden units": and_(list(dict.fromkeys(kinds[:-1]))), "output units": kinds[-1]}
    texts = [f"{kind} {where}" for where, kind in pairs.items() if kind != "sigmoid"]
    return and_(texts) + " with the cross-entropy" * (kinds[-1] == "softmax")


def forward(example: Example) -> tuple[list[Real], list[Real], list[Real]]:
    """List the sums, the activations and the slopes of each layer [row, unit], the inputs first."""
    sums, activations, slopes = [example.X], [example.X], [prime(example.X)]
    for (W, b), kind in zip(example.layers, example.kinds, strict=True):
        f, slope = units(kind)
        sums.append(activations[-1] @ W.T + b)
        activations.append(f(sums[-1]))
        slopes.append(slope(activations[-1]))
    return sums, activations, slopes


def loss_of(example: Example, terms: Terms) -> float:
    """The loss of an example, summed over outputs; of a softmax always −Σ t·log(o)."""
    o, T, softmax = forward(example)[1][-1], example.T, example.kinds[-1] == "softmax"
    if terms.loss == "squared" and not softmax:
        return 0.5 * float(((o - T) ** 2).sum()) * terms.share
    others = 0 if softmax else (1 - T) * np.log1p(-o)
    return -float((T * np.log(o) + others).sum()) * terms.share


def gradient(example: Example, terms: Terms, through: Sequence[Real]) -> Arrays:
    """Compute the gradient of the loss by textbook backpropagation.

    Parameters
    ----------
    example : Example
    terms : Terms
    through : float64 [out, in] for each layer
        The weights that carry deltas back. The network's own give the true gradient; weights after
        an update give that of a function which updates too early.

    Returns
    -------
    Arrays
        The gradients of the weights and biases of each layer.
    """
    _, (*below, o), (*slopes, slope) = forward(example)
    delta = (o - example.T) * (slope if terms.loss == "squared" else 1.0) * terms.share
    gradients: Layers = []
    for W, a, slope in zip(reversed(through), reversed(below), reversed(slopes), strict=True):
        gradients.insert(0, (delta.T @ a, delta.sum(axis=0)))
        delta = (delta @ W) * slope
    return by_name(gradients, terms.bias)


def kernel_gradient(example: Example, terms: Terms) -> Arrays:
    """Compute fastbp's gradient from one update by the training kernels."""
    *activations, output = example.kinds
    setup = Setup.from_arrays(
        example.X,
        example.T,
        hidden=[len(b) for _, b in example.layers[:-1]],
        activation=activations,
        output=output,
        loss="cross-entropy" if output == "softmax" else terms.loss,
        order="cyclic",
        batch="full",
        reduction="mean" if terms.mean else "sum",
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
    return by_name(steps, terms.bias)


def numeric_difference(
    example: Example, ours: Arrays, terms: Terms, rng: np.random.Generator, step: float = 1e-3
) -> float:
    """Compare a gradient with central differences of fourth order.

    Returns the largest difference at up to 20 random entries of each array, relative to the largest
    entry of that array.
    """
    worst = 0.0
    for name, values in by_name(example.layers, terms.bias).items():
        for place in rng.permutation(values.size)[:20]:  # weights of each array, in each draw
            at = np.unravel_index(place, values.shape)
            kept, slope = float(values[at]), 0.0
            for offset, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                values[at] = kept + offset * step
                slope += weight * loss_of(example, terms) / (12 * step)
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
        last = list(task.ours[0])[-1 - task.terms.bias]
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
    CallFailure
        If an array does not fit. It tells the first, from the output layer down.
    """
    fitted, reasons = {}, []
    for name in sorted(before, key=lambda name: (-int(name[1:]), name)):
        try:
            fitted[name] = _fit(arrays[name], before[name], name, out_in, of)
        except CallFailure as reason:
            reasons.append(reason)
    if reasons:
        raise CallFailure(reasons[0].text, reasons[0].name, fitted)
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
        raise CallFailure(f"{of}{name} is not an array of real numbers but {shown(values)}", name)
    size = before.size
    of_weights = [before.shape, *[before.shape[::-1]] * bool(of), *[(size,)] * (1 in before.shape)]
    shapes = of_weights if name[0] == "W" else [(size,), (size, 1), (1, size)]
    after = "" if of else " after the call"
    if array.shape not in shapes + [()] * (size == 1):
        had = f"{name} has" if of else "it had"
        units = 0 if out_in else -1
        wide = array.ndim == 2 and array.shape[units] == before.shape[units] + 1
        kept = ": of what is carried back the biases' part is not dropped" * wide
        raise CallFailure(
            f"{of}{name} has shape {array.shape}{after}, where {had} {before.shape}{kept}", name
        )
    if not np.isfinite(array).all():
        counts = {"NaN": int(np.isnan(array).sum()), "infinite": int(np.isinf(array).sum())}
        held = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
        raise CallFailure(
            f"{of}{name} has {held} of {size} values{after}; needed: finite numbers", name
        )
    if name[0] == "b":
        return array.reshape(-1)
    if array.shape != before.shape[::-1]:
        array = array.reshape(before.shape)
    return array if out_in else array.T
