"""The mistakes that people make in backpropagation: at each place what may stand there instead, and
what is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.gradcheck.reference import Case, Loss, Real, prime, sigmoid


class At(NamedTuple):
    """A layer in a backward pass: what the forward pass has left, and what has come down to here.

    Lists have an entry for each layer, and first one for the inputs.
    """

    case: Case
    sums: list[Real]
    activations: list[Real]
    slopes: list[Real]
    changed: Sequence[Real]
    """The weights after the step that the function made, if it made one."""
    layer: int
    """Which it is, counted from 1."""
    error: Real
    above: Real
    """What has come down: the deltas of the layer above, and for the output layer the error."""
    carried: Real
    """That, carried back through the weights."""
    slope: Real
    delta: Real


class Word(NamedTuple):
    """What may stand at a place: what is said of it, "" where it is right, and how it is made.

    In what is said {layers} stands for the layers that it is about, {W} and {b} for the gradients
    of their weights and biases, {W_are} and {b_are} for those with a verb. `rare`: of several that
    give the same numbers that with the least is told.
    """

    told: str
    make: Callable[[At], Any]
    rare: int = 0


# The forward pass

_ANSWERS: dict[str, tuple[Callable[[Real], Any], Callable[[Real], Any]]] = {
    "": (sigmoid, lambda z: prime(sigmoid(z))),
    "linear: they answer z, not σ(z)": (lambda z: z, np.ones_like),
    "tanh, not σ": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "ReLU, not σ": (lambda z: np.maximum(z, 0), lambda z: 1.0 * (z > 0)),
    # With the loss of a softmax its derivative cancels.
    "a softmax, not σ": (lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), np.ones_like),
}
"""What units may answer, and the derivative of that."""

_LINEAR, _TANH, _RELU, _SOFTMAX = list(_ANSWERS)[1:]


class Forward(NamedTuple):
    """A forward pass, "" where it is right: what units answer, whose biases it leaves out, and
    which row it takes.
    """

    hidden: str = ""
    output: str = ""
    unused: str = ""
    row: str = ""

    @property
    def told(self) -> list[str]:
        """What is wrong, in words."""
        answers = (
            [("hidden", self.hidden), ("output", self.output)]
            if self.hidden != self.output
            else [("", self.hidden)]
        )
        told = [
            f"the {which} units are {what}".replace("  ", " ") for which, what in answers if what
        ]
        told += [f"{self.unused} missing in the forward pass"] * bool(self.unused)
        return told + [f"of the rows {self.row} alone is used"] * bool(self.row)


_UNUSED = (
    "the biases are",
    "the bias of the output layer is",
    "the biases of the hidden layers are",
)


def forwards(loss: Loss, bias: bool, rows: int) -> list[Forward]:
    """Every forward pass that is looked for, the right one first."""
    answers = [
        (hidden, output)
        for hidden in ("", _TANH, _RELU)
        for output in ("", _LINEAR, _TANH, _SOFTMAX)
    ]
    return [
        *(
            Forward(hidden, output)
            for hidden, output in answers
            if loss == "squared" or output != _TANH
        ),
        *(Forward(unused=which) for which in _UNUSED * bias),
        *(Forward(row=which) for which in ("the first", "the last") * (rows > 1)),
    ]


def passed(case: Case, forward: Forward, changed: Sequence[Real]) -> At:
    """Where the forward pass arrives: above the output layer."""
    if forward.row:
        one = slice(0, 1) if forward.row == "the first" else slice(-1, None)
        case = Case(case.layers, case.X[one], case.T[one])
    sums, activations, slopes = [case.X], [case.X], [prime(case.X)]
    for layer, (W, b) in enumerate(case.layers, 1):
        last = layer == len(case.layers)
        answer, slope = _ANSWERS[forward.output if last else forward.hidden]
        sums.append(
            activations[-1] @ W.T
            + b * (forward.unused not in (_UNUSED[0], _UNUSED[1 if last else 2]))
        )
        activations.append(answer(sums[-1]))
        slopes.append(slope(sums[-1]))
    error = activations[-1] - case.T
    return At(
        case,
        sums,
        activations,
        slopes,
        changed,
        len(case.layers),
        error,
        error,
        error,
        error,
        error,
    )


# The backward pass


def sources(layer: int, last: int, loss: Loss) -> list[Word]:
    """What comes down to a layer: the error at the output, the deltas of the layer above
    elsewhere.
    """
    if layer < last:
        error = Word(
            "what is carried back to {layers} is the error o − t, not the output's delta",
            lambda at: at.error,
        )
        return [Word("", lambda at: at.above), *[error] * (layer == last - 1 and loss == "squared")]
    found = [
        Word("", lambda at: at.error),
        Word(
            "the factor o − t is missing in the output's delta", lambda at: np.ones_like(at.error)
        ),
        Word("the sign of o − t is lost in the output's delta", lambda at: np.abs(at.error)),
        Word("of o − t only the sign is left in the output's delta", lambda at: np.sign(at.error)),
        Word(
            "the target is missing in the output's delta: it has o, not o − t",
            lambda at: at.activations[-1],
        ),
        Word(
            "o − t is summed over all outputs: each output's delta has its own",
            lambda at: at.error.sum(axis=1, keepdims=True),
        ),
    ]
    if loss == "squared":
        told = "the output's delta has the loss ½(o − t)² in it, not its derivative o − t"
        return [*found, Word(told, lambda at: at.error**2 / 2)]
    told = "only −t·log(o) of the cross-entropy is differentiated, without −(1 − t)·log(1 − o)"
    return [*found, Word(told, lambda at: -at.case.T * (1 - at.activations[-1]))]


CHANGED = "outgoing weights are changed before the hidden deltas are computed: compute all deltas first, then update"


def ways_back(layer: int, last: int, steps: bool) -> list[Word]:
    """How that is carried back through the weights above."""
    if layer == last:
        return [Word("", lambda at: at.above)]
    to, missing = (
        "deltas are carried back to {layers}",
        "the factor W is missing where deltas are carried back to {layers}",
    )
    width = "through weights that are reshaped, not transposed"
    found = [
        Word("", lambda at: at.above @ _weights(at)),
        Word(
            f"{to} through weights not transposed: of W[out, in] it is Wᵀδ",
            lambda at: at.above @ _weights(at).T,
        ),
        Word(missing, lambda at: at.above.sum(axis=1, keepdims=True)),
        Word(missing, lambda at: at.above),
        Word(
            f"{to} {width}",
            lambda at: at.above @ _weights(at).T.reshape(_weights(at).shape),
            rare=2,
        ),
        Word(
            f"{to} {width}",
            lambda at: at.above @ _weights(at).reshape(_weights(at).T.shape).T,
            rare=2,
        ),
    ]
    for other in range(last):
        if other != layer:
            told = f"{to} through the weights W{other}, which are not those above"
            found.append(Word(told, lambda at, other=other: at.above @ at.case.layers[other][0]))  # type: ignore[misc]
    return [*found, *[Word(CHANGED, lambda at: at.above @ at.changed[layer])] * steps]


def _weights(at: At) -> Real:
    return at.case.layers[at.layer][0]


def slopes(layer: int, last: int, loss: Loss) -> list[Word]:
    """What a layer's delta takes for σ′."""
    taken, own = "σ′ at {layers} is taken", ": of a = σ(z) it is a·(1 − a)"
    if layer == last and loss == "cross-entropy":
        needless = "σ′ at {layers} is one factor too many (with cross-entropy it cancels: the delta is o − t)"
        found = [
            Word("", lambda at: np.ones_like(at.error)),
            Word(needless, lambda at: at.slopes[layer]),
        ]
    else:
        instead = ' (which is right for cross-entropy, not for squared error: loss="cross-entropy" checks that)'
        found = [
            Word("", lambda at: at.slopes[layer]),
            Word(
                "σ′ is missing at {layers}" + instead * (layer == last),
                lambda at: np.ones_like(at.slopes[layer]),
            ),
            Word(
                "σ′ at {layers} is squared: it is one factor too many",
                lambda at: at.slopes[layer] ** 2,
            ),
        ]
    found += [
        Word(
            f"{taken} of an already squashed value{own}",
            lambda at: prime(sigmoid(at.activations[layer])),
        ),
        Word(f"{taken} as z·(1 − z){own}", lambda at: prime(at.sums[layer])),
        Word(
            f"{taken} as 1 − a², the slope of tanh{own}", lambda at: 1 - at.activations[layer] ** 2
        ),
        Word(
            f"{taken} as 1 − tanh(z)², the slope of tanh{own}",
            lambda at: 1 - np.tanh(at.sums[layer]) ** 2,
        ),
        Word(f"{taken} as 1 − z²{own}", lambda at: 1 - at.sums[layer] ** 2),
        Word(
            f"{taken} as 1 where z > 0, the slope of ReLU{own}",
            lambda at: 1.0 * (at.sums[layer] > 0),
            rare=2,
        ),
        Word(f"{taken} as a, which is σ itself{own}", lambda at: at.activations[layer]),
        Word(f"{taken} as 1 − a{own}", lambda at: 1 - at.activations[layer]),
        Word(
            f"{taken} as a·(1 − a), which is not that of these units",
            lambda at: prime(at.activations[layer]),
            rare=2,
        ),
    ]
    means: list[Callable[[Real], Any]] = [
        lambda a: a.mean(axis=1, keepdims=True),
        lambda a: a.mean(),
    ]  # of each row, or of all
    one = f"{taken} as one mean for all units: each unit has its own"
    found += [Word(one, lambda at, mean=mean: mean(at.slopes[layer]), rare=2) for mean in means]  # type: ignore[misc]
    wrong = "σ′ of the wrong layer: at {layers} the slope of"
    for other in range(last + 1):
        if other == layer:
            continue
        relative = {1: "the layer above", -1: "the layer below"}.get(other - layer)
        absolute = (
            "the inputs"
            if other == 0
            else "the output"
            if other == last
            else f"hidden layer {other}"
        )
        for rare, name in enumerate([relative, absolute] if relative else [absolute]):
            found += [
                Word(f"{wrong} {name} is taken", lambda at, i=other: prime(at.activations[i]), rare),  # type: ignore[misc]
                Word(f"{wrong} {name} is taken, of values already squashed" if other else f"{wrong} {name} is taken, as of z",
                     lambda at, i=other: prime(sigmoid(at.activations[i])), rare),  # type: ignore[misc]
                *(Word(f"{wrong} {name} is taken, as one mean for all units",
                       lambda at, i=other, mean=mean: mean(prime(at.activations[i])), 2 + rare) for mean in means),  # type: ignore[misc]
            ]  # fmt: skip
    return found


def inputs(layer: int, last: int) -> list[Word]:
    """The gradient of a layer's weights: its deltas, times what is taken for the layer's inputs."""
    below = layer - 1
    found = [
        Word("", lambda at: at.delta.T @ at.activations[below]),
        Word(
            "the factor a, the layer's inputs, is missing in {W}",
            lambda at: at.delta.T @ np.ones_like(at.activations[below]),
        ),
    ]
    if below:
        found.append(
            Word(
                "{W_are} taken with the sums z, not with σ(z)",
                lambda at: at.delta.T @ at.sums[below],
            )
        )
    for other in range(last + 1):
        if other != below:
            name = (
                "the inputs x"
                if other == 0
                else "what its own layer answers"
                if other == layer
                else f"a of layer {other}"
            )
            told = f"{{W_are}} taken with {name}, not with what the layer below answers"
            found.append(Word(told, lambda at, i=other: at.delta.T @ at.activations[i]))  # type: ignore[misc]
    return found


def biases(layer: int) -> list[Word]:
    """The gradient of a layer's biases."""
    below, own = layer - 1, ": it is δ alone, summed over rows"
    return [
        Word("", lambda at: at.delta.sum(axis=0)),
        Word("the factor δ is missing in {b}: 1 stands in its place", lambda at: np.ones_like(at.delta).sum(axis=0)),
        Word("{b_are} taken as the sum of the layer's inputs" + own,
             lambda at: np.full(at.delta.shape[1], at.activations[below].sum())),
        Word("{b_are} multiplied by the layer's inputs" + own, lambda at: (at.delta.T @ at.activations[below]).sum(axis=1)),
        Word("{b_are} multiplied by the biases" + own, lambda at: at.delta.sum(axis=0) * at.case.layers[below][1]),
        Word("{b_are} summed over units, too" + own, lambda at: np.full(at.delta.shape[1], at.delta.sum())),
        Word("the factor σ′ is missing in {b}", lambda at: at.carried.sum(axis=0)),
        Word("{b_are} taken as σ′ alone, without what is carried back", lambda at: at.slope.sum(axis=0)),
    ]  # fmt: skip
