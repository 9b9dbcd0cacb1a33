"""Random networks, and their gradients: by fastbp, the textbook, finite differences and torch.

torch is not imported: everything is done by methods of a module and of its tensors.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import partial
from inspect import signature
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit as sigmoid, softmax

from fastbp.choices.activations import SELU_ALPHA, SELU_SCALE
from fastbp.config.model_reader import read_model
from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup, Layers, by_name
from fastbp.engine.tasks import task
from fastbp.schema.errors import SweepError, is_integer, refuse_wrong
from fastbp.schema.text import and_

Real = NDArray[np.float64]

Arrays = dict[str, Real]
"""Weights and biases, or their gradients, by name: W0, b0, W1, b1, …; W [out, in], b [out]."""

Loss = Literal["squared", "cross-entropy"]


MAX_UNITS, MAX_HIDDEN, MAX_ROWS = 64, 8, 256
"""Largest numbers of units per layer, of hidden layers, and of samples per call."""

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


def check_arguments(
    function: Any, sizes: Any, loss: Any, rows: Any, lr: Any, bias: Any, reduction: Any, seed: Any
) -> None:
    """Raise SweepError with every wrong argument of `check_gradients`."""
    layers = isinstance(sizes, list | tuple | range) or (
        isinstance(sizes, np.ndarray) and sizes.ndim == 1
    )
    layers = layers and 3 <= len(sizes) <= MAX_HIDDEN + 2
    real = isinstance(lr, int | float | np.integer | np.floating) and not isinstance(lr, bool)
    rate = real and 2**-100 < lr < 2**100
    refuse_wrong(
        [
            (
                "function",
                function,
                callable(function) and not hasattr(function, "to_json"),
                "a function to call as function(W, b, x, t), or a torch.nn.Module",
            ),
            (
                "sizes",
                sizes,
                layers and all(is_integer(n, 1, MAX_UNITS) for n in sizes),
                f"units of inputs, of 1 to {MAX_HIDDEN} hidden layers and of outputs, such as "
                f"(3, 4, 1), each from 1 to {MAX_UNITS}",
            ),
            (
                "loss",
                loss,
                isinstance(loss, str) and loss in get_args(Loss),
                ", ".join(get_args(Loss)),
            ),
            ("rows", rows, is_integer(rows, 1, MAX_ROWS), f"an integer from 1 to {MAX_ROWS}"),
            # Steps of smaller rates do not overflow.
            ("lr", lr, lr is None or rate, "a number above 2⁻¹⁰⁰, below 2¹⁰⁰"),
            ("bias", bias, isinstance(bias, bool | np.bool_), "true or false"),
            (
                "reduction",
                reduction,
                isinstance(reduction, str) and reduction in ("sum", "mean"),
                "sum, mean",
            ),
            ("seed", seed, is_integer(seed, 0), "an integer from 0"),
        ]
    )


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
    """Units that are no sigmoids in words: ", for tanh hidden units and linear output units"."""
    pairs = {"hidden units": and_(list(dict.fromkeys(kinds[:-1]))), "output units": kinds[-1]}
    texts = [f"{kind} {where}" for where, kind in pairs.items() if kind != "sigmoid"]
    loss = " with the cross-entropy" * (kinds[-1] == "softmax")
    return f", for {and_(texts)}{loss}" * bool(texts)


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
    before, after = (by_name(each, terms.bias) for each in (example.layers, group.layers()))
    return {name: (before[name] - after[name]) / KERNEL_RATE for name in before}


def numeric_difference(
    example: Example, ours: Arrays, terms: Terms, rng: np.random.Generator
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
                values[at] = kept + offset * 1e-3
                slope += weight * loss_of(example, terms) / (12 * 1e-3)
            values[at] = kept
            worst = max(worst, abs(slope - float(ours[name][at])) / scale_of(ours[name]))
    return worst


def scale_of(values: Real) -> float:
    """The largest absolute value of an array, but at least 1e-300, so that one can divide by it."""
    return max(float(np.abs(values).max()), 1e-300)


# The gradients of a torch module

_CLOSE = 1e-3
"""Where the outputs of every row add up to 1, within this, they are those of a softmax."""


def is_module(function: Any) -> bool:
    """Whether an object is a torch module; a Keras model may be one, too, and is not meant."""
    return (
        hasattr(function, "named_parameters")
        and not hasattr(function, "to_json")
        and not isinstance(function, type)
    )


class ModuleGradients:
    """The gradients of a copy of a torch module, called as ``function(W, b, x, t)``.

    Its parameters must be weights [out, in] and, if it has any, biases [out] in turn. Without
    biases it is called as ``function(W, x, t)``. Dropout is off.

    Raises
    ------
    SweepError
        If its parameters are others.
    """

    def __init__(self, module: Any, loss: Loss) -> None:
        self._module, self._loss = deepcopy(module).eval(), loss
        self._parameters = list(self._module.parameters())
        shapes = [tuple(each.shape) for each in self._parameters]
        self.bias = any(len(shape) == 1 for shape in shapes)
        self.sizes = (
            tuple(shape[-1] for shape in shapes[:1])
            + tuple(shape[0] for shape in shapes[:: 1 + self.bias])
            if all(shapes)  # else one is a scalar
            else ()
        )
        fit = [
            shape
            for below, above in pairwise(self.sizes)
            for shape in [(above, below), (above,)][: 1 + self.bias]
        ]
        if shapes != fit:
            raise SweepError(
                [
                    f"function: given a module with parameters {shapes}, needed: weights [out, in] "
                    "of Linear layers in the order of their use, all with a bias or all without"
                ]
            )

    @property
    def kinds(self) -> Kinds:
        """The units, if the module says them, as a Sequential does; else none."""
        with suppress(SweepError):
            keys, _ = read_model(self._module, ())
            output, of_loss = keys["output"], "softmax" if self.sizes[-1] > 1 else "sigmoid"
            in_loss = output == "linear" and self._loss == "cross-entropy"
            return (*keys["activation"], of_loss if in_loss else output)
        return ()

    def __call__(self, W: list[Real], *rest: Any) -> list[Any]:
        """The gradients W0, b0, W1, b1, …, summed over rows."""
        *b, x, t = rest
        values = [array for pair in zip(W, *b, strict=True) for array in pair]
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.data.copy_(parameter.new_tensor(value))
            parameter.grad = None
        new, inputs = self._parameters[0].new_tensor, self.sizes[0]
        outputs = self._module(new(np.atleast_2d(x)))
        # What the outputs are shows far from 0.
        far = self._module(new(np.random.default_rng(0).normal(0, 10, (64, inputs))))
        t = np.atleast_2d(t)
        error = self._error(_array(outputs).reshape(t.shape), t, _array(far).reshape(64, -1))
        outputs.backward(new(error.reshape(outputs.shape)))
        return [
            np.zeros(value.shape) if each.grad is None else _array(each.grad)
            for each, value in zip(self._parameters, values, strict=True)
        ]

    def _error(self, o: Real, t: Real, far: Real) -> Real:
        """The derivative of the loss by the outputs; of a softmax always the cross-entropy."""
        if np.abs(np.exp(far).sum(axis=1) - 1).max() < _CLOSE:
            return -t  # o are logarithms
        if np.abs(far.sum(axis=1) - 1).max() < _CLOSE:
            return -t / o
        if self._loss == "squared":
            return o - t
        if far.min() >= 0 and far.max() <= 1:
            return (o - t) / (o * (1 - o))
        return (softmax(o, axis=1) if t.shape[1] > 1 else sigmoid(o)) - t


def _array(tensor: Any) -> Real:
    return np.asarray(tensor.detach().cpu().tolist(), np.float64)
