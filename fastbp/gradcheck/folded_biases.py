"""A catalogue of mistakes with matrices that hold the biases, the weights of an input 1."""

from functools import partial
from typing import Any

import numpy as np

from fastbp.gradcheck.mistakes import Variant
from fastbp.gradcheck.reference import Real, units


def _shifted(values: Real, of_one: Any, end: str) -> Real:
    """Values [row, unit], and at this end that of the 1 in place of one at the other end."""
    own = np.broadcast_to(of_one, (len(values), 1))
    return np.hstack([own, values[:, :-1]] if end == "first" else [values[:, 1:], own])


def folded(joined: str, layer: int, last: int) -> dict[str, list[Variant]]:
    """List what people write wrongly where each W holds its biases, the weights of an input 1.

    `joined`: "first" or "last", the end of the inputs at which that 1 is; "" if biases are separate
    arrays, which has no such mistakes. Returns more variants of `ways_back`, `slopes`, `inputs` and
    `biases`, by these names.
    """
    if not joined:
        return {}
    wrong = {"first": "last", "last": "first"}[joined]

    dropped = (
        "the biases' part of what is carried back to {layers} is dropped at the wrong end: "
        f"the biases are the {joined} weights of each W, and the {wrong} are those of a unit"
    )
    misplaced = (
        f"in the gradients of {{layers}} the 1 of the biases is the {wrong} input, not the {joined}"
    )
    back = Variant(
        dropped,
        lambda at: _shifted(
            at.above @ at.weights, at.above @ at.example.layers[layer][1][:, None], joined
        ),
    )
    slope = Variant(
        dropped,
        lambda at: _shifted(
            at.slopes[layer], units(at.example.kinds[layer - 1])[1](np.ones(1)), joined
        ),
    )
    weights = Variant(
        misplaced, lambda at: at.delta.T @ _shifted(at.activations[layer - 1], 1.0, wrong)
    )
    by_input = [
        Variant(
            f"{{b_are}} multiplied by the {end} input of the layer, not by the 1",
            partial(lambda at, k: at.delta.T @ at.activations[layer - 1][:, k], k=k),
        )
        for end, k in (("first", 0), ("last", -1))
    ]
    own = by_input[joined == "last"]._replace(text=misplaced, rare=1)
    below = {"ways_back": [back], "slopes": [slope]} if layer < last else {}
    return below | {"inputs": [weights], "biases": [*by_input, own]}
