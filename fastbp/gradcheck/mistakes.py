"""A catalogue of mistakes: what people write wrongly at each step of backpropagation."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit as sigmoid

from fastbp.choices.families import FAMILIES
from fastbp.gradcheck.reading import CheckTask
from fastbp.gradcheck.reference import Example, Kinds, Loss, Real, Terms, forward, prime


class LayerState(NamedTuple):
    """The state of a backward pass at one layer, with all results of the forward pass.

    Arrays are [row, unit]. Lists have an entry for each layer, and first one for the inputs.
    """

    example: Example
    sums: list[Real]
    activations: list[Real]
    slopes: list[Real]
    changed: Sequence[Real]
    """The weights after the step that the function made, if it made one."""
    layer: int
    """The number of this layer, counted from 1."""
    error: Real
    """o − t of the outputs."""
    above: Real
    """The deltas of the layer above; at the output layer the error."""
    carried: Real
    """The deltas of the layer above, carried back to this layer through the weights."""
    slope: Real
    """The factor σ′ of this layer's deltas."""
    delta: Real
    """The deltas of this layer: carried · slope."""

    @property
    def weights(self) -> Real:
        """The weights [out, in] from this layer to the layer above."""
        return self.example.layers[self.layer][0]


class Variant(NamedTuple):
    """One way to write a step of backpropagation.

    `text`: the mistake; empty for the right way. In it {layers}, {W} and {b} stand for the names of
    the wrong layers and gradients, {W_are} and {b_are} for the gradients with a verb. `make`:
    computes the step. `rare`: where several mistakes give the same numbers, the one with the
    smallest value is reported.
    """

    text: str
    make: Callable[[LayerState], Any]
    rare: int = 0


# The forward pass


MAX_MISTAKES = 3
"""Largest number of mistakes in one function that the search combines."""

_LEAKY = ("leaky-relu:slope=0.1", "leaky-relu:slope=0.2", "leaky-relu:slope=0.3")
"""Leaky ReLU as people write it besides the default slope."""


class ForwardVariant(NamedTuple):
    """One way to write the forward pass: its mistakes, and the example that it computes right.

    `most`: how many more mistakes, in the backward pass, the search combines with these.
    """

    texts: tuple[str, ...]
    instead: Callable[[Example], Example]
    most: int = MAX_MISTAKES


def other_units(terms: Terms) -> list[Kinds]:
    """List the units of all layers that a network may have instead of the right ones."""
    hidden = [*FAMILIES["activation"].choices, *_LEAKY] * terms.others
    # One output of a softmax is always 1.
    outputs = [o for o in FAMILIES["output"].choices if o != "softmax" or terms.sizes[-1] > 1]
    every = [
        (*[kind] * (len(terms.kinds) - 1), output) for kind, output in product(hidden, outputs)
    ]
    return [kinds for kinds in every if kinds != terms.kinds]


def forward_variants(task: CheckTask) -> list[ForwardVariant]:
    """List the forward passes that the search tries, the right one first."""
    right, last = task.terms.kinds, len(task.terms.kinds) - 1
    unused = {
        "the biases are": range(last + 1),
        "the bias of the output layer is": range(last, last + 1),
        "the biases of the hidden layers are": range(last),
    }
    return [
        ForwardVariant((), lambda example: example),
        *(
            ForwardVariant(_wrong_units(kinds, right), partial(Example._replace, kinds=kinds), 1)
            for kinds in other_units(task.terms)
        ),
        *[
            ForwardVariant((f"{biases} missing in the forward pass",), partial(_without, layers))
            for biases, layers in unused.items()
        ]
        * task.terms.bias,
        *[
            ForwardVariant((f"only the {row} row is used",), partial(_rows, only))
            for row, only in {"first": slice(0, 1), "last": slice(-1, None)}.items()
        ]
        * (task.terms.rows > 1),
    ]


def _without(unused: range, example: Example) -> Example:
    """An example without the biases of these layers."""
    return example._replace(
        layers=[(W, b * (k not in unused)) for k, (W, b) in enumerate(example.layers)]
    )


def _rows(only: slice, example: Example) -> Example:
    """An example with these rows alone."""
    return example._replace(X=example.X[only], T=example.T[only])


def _wrong_units(kinds: Kinds, right: Kinds) -> tuple[str, ...]:
    """Say which units are of another kind: all, the hidden ones or the outputs."""
    pairs = {"hidden units": (kinds[0], right[0]), "output units": (kinds[-1], right[-1])}
    if pairs["hidden units"] == pairs["output units"]:
        pairs = {"units": (kinds[0], right[0])}
    return tuple(
        f"the {name} are {kind}, not {wanted}"
        for name, (kind, wanted) in pairs.items()
        if kind != wanted
    )


def passed(example: Example, changed: Sequence[Real]) -> LayerState:
    """Run the forward pass of an example; return the state at the output layer.

    `changed`: the weights after the step that the function made, if it made one.
    """
    sums, activations, slopes = forward(example)
    error = activations[-1] - example.T
    return LayerState(
        example, sums, activations, slopes, changed, len(example.layers), *[error] * 5
    )


# The backward pass


def sources(layer: int, last: int, loss: Loss) -> list[Variant]:
    """List the ways to begin a layer's deltas. Right: o − t at the output, else those above."""
    right = Variant("", lambda at: at.above)
    if layer < last:
        what = "what is carried back to {layers} is "
        error = f"{what}the error o − t, not the output's delta"
        return [
            right,
            Variant(
                f"{what}the outputs of the layer above, not its deltas",
                lambda at: at.activations[layer + 1],
            ),
            *[Variant(error, lambda at: at.error)] * (layer == last - 1 and loss == "squared"),
        ]
    of_loss = {
        "squared": Variant(
            "the output's delta has the loss ½(o − t)² in it, not its derivative o − t",
            lambda at: at.error**2 / 2,
        ),
        "cross-entropy": Variant(
            "only −t·log(o) of the cross-entropy is differentiated, without −(1 − t)·log(1 − o)",
            lambda at: -at.example.T * (1 - at.activations[-1]),
        ),
    }
    return [
        right,
        Variant(
            "the factor o − t is missing in the output's delta", lambda at: np.ones_like(at.error)
        ),
        Variant("the sign of o − t is lost in the output's delta", lambda at: np.abs(at.error)),
        Variant("the output's delta has only the sign of o − t", lambda at: np.sign(at.error)),
        Variant(
            "the target is missing in the output's delta: it has o, not o − t",
            lambda at: at.activations[-1],
        ),
        Variant(
            "o − t is summed over all outputs: each output's delta has its own",
            lambda at: at.error.sum(axis=1, keepdims=True),
        ),
        of_loss[loss],
    ]


CHANGED = (
    "outgoing weights are changed before the hidden deltas are computed: "
    "compute all deltas first, then update"
)
"""The mistake of updating weights in the middle of the backward pass."""


def ways_back(layer: int, last: int, steps: bool) -> list[Variant]:
    """List the ways to carry deltas back to a layer through the weights above it."""
    if layer == last:
        return [Variant("", lambda at: at.above)]
    carried = "deltas are carried back to {layers}"
    missing = "the factor W is missing where deltas are carried back to {layers}"
    reshaped = f"{carried} through weights that are reshaped, not transposed"
    return [
        Variant("", lambda at: at.above @ at.weights),
        Variant(
            f"{carried} through weights not transposed: of W[out, in] it is Wᵀδ",
            lambda at: at.above @ at.weights.T,
        ),
        Variant(missing, lambda at: at.above.sum(axis=1, keepdims=True)),
        Variant(missing, lambda at: at.above),
        Variant(reshaped, lambda at: at.above @ at.weights.T.reshape(at.weights.shape), 2),
        Variant(reshaped, lambda at: at.above @ at.weights.reshape(at.weights.T.shape).T, 2),
        *(
            Variant(
                f"{carried} through the weights W{k}, which are not those above",
                partial(lambda at, k: at.above @ at.example.layers[k][0], k=k),
            )
            for k in range(last)
            if k != layer
        ),
        *[Variant(CHANGED, lambda at: at.above @ at.changed[layer])] * steps,
    ]


_MEANS: tuple[Callable[[Real], Any], ...] = (
    lambda a: a.mean(axis=1, keepdims=True),
    lambda a: a.mean(),
)
"""Means that people take in place of each unit's value: over a row, or over all rows."""


def slopes(layer: int, last: int, loss: Loss) -> list[Variant]:
    """List the ways to write the factor σ′ of a layer's deltas."""

    def taken(how: str, make: Callable[[Real, Real], Any], rare: int = 0, hint: bool = True) -> Any:
        return Variant(
            f"σ′ at {{layers}} is taken {how}{': of a = σ(z) it is a·(1 − a)' * hint}",
            lambda at: make(at.sums[layer], at.activations[layer]),
            rare,
        )

    needless = (
        "σ′ at {layers} is one factor too many (with cross-entropy it cancels: the delta is o − t)"
    )
    hint = (
        " (which is right for cross-entropy, not for squared error: "
        'loss="cross-entropy" checks that)'
    )
    one_mean = "σ′ at {layers} is taken as one mean for all units: each unit has its own"
    right = [
        Variant("", lambda at: at.slopes[layer]),
        Variant(
            "σ′ is missing at {layers}" + hint * (layer == last),
            lambda at: np.ones_like(at.slopes[layer]),
        ),
        Variant(
            "σ′ at {layers} is squared: it is one factor too many", lambda at: at.slopes[layer] ** 2
        ),
    ]
    if layer == last and loss == "cross-entropy":
        right = [Variant("", lambda at: np.ones_like(at.error)), Variant(needless, right[0].make)]
    return [
        *right,
        taken("of an already squashed value", lambda z, a: prime(sigmoid(a))),
        taken("as z·(1 − z)", lambda z, a: prime(z)),
        taken("as 1 − a², the slope of tanh", lambda z, a: 1 - a**2),
        taken("as 1 − tanh(z)², the slope of tanh", lambda z, a: 1 - np.tanh(z) ** 2),
        taken("as 1 − z²", lambda z, a: 1 - z**2),
        taken("as 1 where z > 0, the slope of ReLU", lambda z, a: 1.0 * (z > 0), 2),
        taken("as a, which is σ itself", lambda z, a: a),
        taken("as 1 − a", lambda z, a: 1 - a),
        taken("as a·(1 − a), which is not that of these units", lambda z, a: prime(a), 2, False),
        *(
            Variant(one_mean, partial(lambda at, mean: mean(at.slopes[layer]), mean=mean), 2)
            for mean in _MEANS
        ),
        *(v for other in range(last + 1) if other != layer for v in _slopes_of(other, layer, last)),
    ]


def _slopes_of(other: int, layer: int, last: int) -> Iterator[Variant]:
    """Generate the ways to take σ′ of another layer by mistake.

    Where that layer has two names, such as "the layer below" and "the inputs", there is a variant
    for each name.
    """
    absolute = {0: "the inputs", last: "the output"}.get(other, f"hidden layer {other}")
    relative = {1: "the layer above", -1: "the layer below"}.get(other - layer, absolute)
    for rare, name in enumerate(dict.fromkeys([relative, absolute])):
        wrong = f"σ′ of the wrong layer: at {{layers}} the slope of {name} is taken"
        squashed = f"{wrong}, of values already squashed" if other else f"{wrong}, as of z"
        yield Variant(wrong, lambda at: prime(at.activations[other]), rare)
        yield Variant(squashed, lambda at: prime(sigmoid(at.activations[other])), rare)
        yield from (
            Variant(
                f"{wrong}, as one mean for all units",
                partial(lambda at, mean: mean(prime(at.activations[other])), mean=mean),
                2 + rare,
            )
            for mean in _MEANS
        )


def inputs(layer: int, last: int) -> list[Variant]:
    """List the ways to write the gradient of a layer's weights. Right: deltas times inputs."""
    below = layer - 1
    names = {0: "the inputs x", layer: "the outputs of its own layer"}
    return [
        Variant("", lambda at: at.delta.T @ at.activations[below]),
        Variant(
            "the factor a, the layer's inputs, is missing in {W}",
            lambda at: at.delta.T @ np.ones_like(at.activations[below]),
        ),
        *[
            Variant(
                "{W_are} taken with the sums z, not with σ(z)",
                lambda at: at.delta.T @ at.sums[below],
            )
        ]
        * (below > 0),
        *(
            Variant(
                f"{{W_are}} taken with {names.get(k, f'a of layer {k}')}, "
                "not with the outputs of the layer below",
                partial(lambda at, k: at.delta.T @ at.activations[k], k=k),
            )
            for k in range(last + 1)
            if k != below
        ),
    ]


def biases(layer: int) -> list[Variant]:
    """List the ways to write the gradient of a layer's biases. Right: deltas, summed over rows."""
    below, hint = layer - 1, ": it is δ alone, summed over rows"
    ways: dict[str, Callable[[LayerState], Any]] = {
        "": lambda at: at.delta.sum(axis=0),
        "the factor δ is missing in {b}: 1 stands in its place": (
            lambda at: np.ones_like(at.delta).sum(axis=0)
        ),
        "{b_are} taken as the sum of the layer's inputs" + hint: (
            lambda at: np.full(at.delta.shape[1], at.activations[below].sum())
        ),
        "{b_are} multiplied by the layer's inputs" + hint: (
            lambda at: (at.delta.T @ at.activations[below]).sum(axis=1)
        ),
        "{b_are} multiplied by the biases" + hint: (
            lambda at: at.delta.sum(axis=0) * at.example.layers[below][1]
        ),
        "{b_are} taken with σ′ of the biases, not of the sums": (
            lambda at: (at.carried * prime(sigmoid(at.example.layers[below][1]))).sum(axis=0)
        ),
        "{b_are} summed over units, too" + hint: (
            lambda at: np.full(at.delta.shape[1], at.delta.sum())
        ),
        "the factor σ′ is missing in {b}": lambda at: at.carried.sum(axis=0),
        "{b_are} taken as σ′ alone, without what is carried back": lambda at: at.slope.sum(axis=0),
    }
    return [Variant(text, make) for text, make in ways.items()]
