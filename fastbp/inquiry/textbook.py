"""Plain backpropagation in NumPy, right and with the mistakes that people make in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise, product
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

    Wide layers get smaller weights: a sigmoid that is nearly 1 leaves float32 too few digits of its slope.
    """
    layers = [(rng.normal(size=(m, n)) / max(1.0, n / 3) ** 0.5, rng.normal(size=m) * bias) for n, m in pairwise(sizes)]
    X, T = rng.normal(size=(rows, sizes[0])), rng.uniform(0.1, 0.9, (rows, sizes[-1]))
    near = np.abs(outputs(layers, X) - T) < 0.1  # of a difference of nearly 0 float32 keeps few digits, too
    return Case(layers, X, np.where(near, (T + 0.4) % 0.8 + 0.1, T))


class Slips(NamedTuple):
    """What can go wrong between the forward pass and the gradients, each by a word."""

    biases: Literal["right", "unused", "unused at the output", "unused at hidden layers"] = "right"
    error: Literal["right", "missing"] = "right"
    output: Literal["right", "missing", "needless", "of squashed", "of sums", "of the layer below"] = "right"
    hidden: Literal["right", "missing", "of squashed", "of sums", "of the layer above", "of the layer below"] = "right"
    carried: Literal["right", "error"] = "right"
    back: Literal["right", "not transposed", "summed", "as they are", "changed"] = "right"
    inputs: Literal["right", "sums", "missing"] = "right"
    only: int = -1
    """The one hidden layer, from 0, that the last four words but `carried` are about; −1: all."""

    @property
    def wrong(self) -> int:
        """How many things are wrong."""
        return sum(word != "right" for word in self[:-1])

    @property
    def told(self) -> list[str]:
        """What is wrong, in words."""
        layers = "the hidden layers" if self.only < 0 else f"hidden layer {self.only + 1}"
        wrong = [(where, word) for where, word in self._asdict().items() if where != "only" and word != "right"]
        return [_TOLD[each].format(layers=layers) for each in wrong]


_TOLD = {
    ("biases", "unused"): "the biases are missing in the forward pass",
    ("biases", "unused at the output"): "the bias of the output layer is missing in the forward pass",
    ("biases", "unused at hidden layers"): "the biases of the hidden layers are missing in the forward pass",
    ("error", "missing"): "the factor o − t is missing in the output's delta",
    ("output", "missing"): "σ′ is missing at the output layer (which is right for cross-entropy, not for squared error)",
    ("output", "needless"): "σ′ at the output layer is one factor too many (with cross-entropy it cancels: the delta is o − t)",
    ("output", "of squashed"): "σ′ at the output layer is taken of an already squashed value: of o = σ(z) it is o·(1 − o)",
    ("output", "of sums"): "σ′ at the output layer is taken as z·(1 − z): of o = σ(z) it is o·(1 − o)",
    ("output", "of the layer below"): "σ′ of the wrong layer: the output's delta takes the slope of the layer below, not its own",
    ("hidden", "missing"): "σ′ is missing at {layers}",
    ("hidden", "of squashed"): "σ′ at {layers} is taken of an already squashed value: of a = σ(z) it is a·(1 − a)",
    ("hidden", "of sums"): "σ′ at {layers} is taken as z·(1 − z): of a = σ(z) it is a·(1 − a)",
    ("hidden", "of the layer above"): "σ′ of the wrong layer: at {layers} the slope of the layer above is taken",
    ("hidden", "of the layer below"): "σ′ of the wrong layer: at {layers} the slope of the layer below is taken",
    ("carried", "error"): "what is carried back to the hidden layers is the error o − t, not the output's delta",
    ("back", "not transposed"): "deltas are carried back to {layers} through weights not transposed: of W[out, in] it is Wᵀδ",
    ("back", "summed"): "the factor W is missing where deltas are carried back to {layers}",
    ("back", "as they are"): "the factor W is missing where deltas are carried back to {layers}",
    ("back", "changed"): (
        "outgoing weights are changed before the hidden deltas are computed: compute all deltas first, then update"
    ),
    ("inputs", "sums"): "the gradients of weights above {layers} are taken with the sums z, not with σ(z)",
    ("inputs", "missing"): "the factor a, the layer's inputs, is missing in the gradients of the weights",
}  # fmt: skip


_RIGHT = Slips()


def slips(loss: Loss, bias: bool, steps: bool, hidden: int, most: int) -> list[Slips]:
    """Right first, then everything that may be wrong with so many hidden layers, up to `most` at once, the fewest first."""
    words: list[tuple[str, Sequence[str]]] = [
        ("biases", ("unused", "unused at the output", "unused at hidden layers") if bias else ()),
        ("error", ("missing",)),
        ("output", (*(("missing",) if loss == "squared" else ("needless",)), "of squashed", "of sums", "of the layer below")),
        ("hidden", ("missing", "of squashed", "of sums", "of the layer above", "of the layer below")),
        ("carried", ("error",)),
        ("back", ("not transposed", "summed", "as they are", *(("changed",) if steps else ()))),
        ("inputs", ("sums", "missing")),
    ]
    found = []
    for count in range(most + 1):
        for places in combinations(words, count):
            for chosen in product(*(each for _, each in places)):
                one = Slips(**dict(zip((where for where, _ in places), chosen, strict=True)))  # type: ignore[arg-type]
                found.append(one)
                if hidden > 1 and count < 3 and (one.hidden, one.back, one.inputs) != ("right",) * 3:
                    found += [one._replace(only=layer) for layer in range(hidden)]
    return found


def sigmoid(z: Real) -> Real:
    """σ(z)."""
    return 1 / (1 + np.exp(-z))


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


def gradient(case: Case, loss: Loss, slips: Slips, changed: Sequence[Real] = ()) -> Layers:
    """The gradient with these slips, summed over rows; `changed`: the weights after the step that the function made.

    Raises ValueError where shapes do not fit: that mistake nobody can have made.
    """
    sums, activations = [], [case.X]
    last = len(case.layers) - 1
    for layer, (W, b) in enumerate(case.layers):
        part = "unused at the output" if layer == last else "unused at hidden layers"
        sums.append(activations[-1] @ W.T + b * (slips.biases not in ("unused", part)))
        activations.append(sigmoid(sums[-1]))
    o = activations[-1]
    error = o - case.T
    delta = error if slips.error == "right" else np.ones_like(o)
    if slips.output == "right":
        slope = _slope("right", last, sums, activations) if loss == "squared" else np.ones_like(o)
    elif slips.output == "missing":
        slope = np.ones_like(o)
    else:
        slope = _slope(slips.output, last, sums, activations)
    delta = delta * slope
    if delta.shape != o.shape:
        raise ValueError("another shape")
    found: Layers = []
    for layer in range(last, -1, -1):
        W, _ = case.layers[layer]
        a = activations[layer]
        here = slips if slips.only in (-1, layer - 1) else _RIGHT
        below = {"right": a, "sums": sums[layer - 1] if layer else a, "missing": np.ones_like(a)}[here.inputs]
        found.insert(0, (delta.T @ below, delta.sum(axis=0)))
        if layer:
            carried = error if slips.carried == "error" and layer == last else delta
            if here.back == "summed":
                carried = carried.sum(axis=1, keepdims=True) * np.ones_like(a)
            elif here.back != "as they are":
                carried = carried @ {"right": W, "not transposed": W.T, "changed": changed[layer] if changed else W}[here.back]
            delta = carried if here.hidden == "missing" else carried * _slope(here.hidden, layer - 1, sums, activations)
            if delta.shape != a.shape:
                raise ValueError("another shape")
    return found


def _slope(word: str, layer: int, sums: Sequence[Real], activations: Sequence[Real]) -> Real:
    """σ′ of a layer, counted from 0, or what is taken for it."""
    at = {"of the layer below": layer, "of the layer above": layer + 2}.get(word, layer + 1)
    a = sums[layer] if word == "of sums" else sigmoid(activations[at]) if word == "of squashed" else activations[at]
    return a * (1 - a)
