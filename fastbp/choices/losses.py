"""Losses of one output unit.

Arguments of every function: `z`, the input of the unit; `o`, its output; `t`, its target. Returns
the value. Its δ = ∂value/∂z is a function of o, t and `slope`, f′ as backpropagation takes it (with
prime_offset); it has no branches.
"""

from typing import Any

import numpy as np

from fastbp.choices.family import marked
from fastbp.kernels.real import SMALLEST_NORMAL, exp, log, log1p
from fastbp.kernels.vector_ir import like


def _squared_delta(o: Any, t: Any, slope: Any) -> Any:
    return (o - t) * slope


@marked(delta=_squared_delta)
def squared(z: Any, o: Any, t: Any) -> Any:
    """½(o − t)², δ = (o − t)·f′ (Rumelhart, Hinton & Williams 1986, equations 2 and 13)."""
    error = o - t
    return like(o, 0.5) * error * error


def _cross_entropy_delta(o: Any, t: Any, slope: Any) -> Any:
    return o - t


def _of_softmax(z: Any, o: Any, t: Any) -> Any:
    return -t * log(o if o > SMALLEST_NORMAL else SMALLEST_NORMAL)


@marked(delta=_cross_entropy_delta, of_softmax=_of_softmax)
def cross_entropy(z: Any, o: Any, t: Any) -> Any:
    """−t·ln o − (1 − t)·ln(1 − o) in nats, δ = o − t (Hinton 1989).

    Computed from z as max(z, 0) − z·t + ln(1 + e^−|z|), for sigmoid outputs. With softmax outputs
    it is −t·ln o (Bridle 1990), where o counts as 2.2·10⁻³⁰⁸ at least.
    """
    zero = like(z, 0.0)
    positive = z if z > zero else zero
    magnitude = z if z > zero else -z
    return positive - z * t + log1p(np.float64(exp(-magnitude)))
