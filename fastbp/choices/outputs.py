"""Output units: each function maps z, the input of a unit, to its output.

Slopes as in `fastbp.choices.activations`. `reaches`: the smallest and the largest target that an
output can come near to.
"""

import math
from typing import Any

from fastbp.choices import activations
from fastbp.choices.family import marked


@marked(**vars(activations.sigmoid), reaches=(0.0, 1.0))
def sigmoid(z: Any) -> Any:
    """1/(1 + e⁻ᶻ), from 0 to 1."""
    return activations.sigmoid(z)


@marked(**vars(activations.tanh), reaches=(-1.0, 1.0))
def tanh(z: Any) -> Any:
    """The hyperbolic tangent, from −1 to 1; labels become −1 and 1."""
    return activations.tanh(z)


@marked(**vars(activations.linear), reaches=(-math.inf, math.inf))
def linear(z: Any) -> Any:
    """The input z itself, for quantities of any size."""
    return z


@marked(**vars(activations.linear), reaches=(0.0, 1.0))
def softmax(z: Any) -> Any:
    """e^z_k ÷ Σ_j e^z_j over all outputs, with `loss = "cross-entropy"` (Bridle 1990).

    This function leaves z as it is: the kernels divide, as they need all units of the layer.
    """
    return z


@marked(**vars(activations.relu), reaches=(0.0, math.inf))
def relu(z: Any) -> Any:
    """max(z, 0): a network whose outputs are 0 for every row learns nothing more."""
    return activations.relu(z)
