"""Activations: each function maps z, the input of a unit, to its activation a = f(z).

They have no branches. f′(z) is a function of a, and of the parameters of the choice.
"""

from typing import Annotated, Any

from annotated_types import Ge, Lt

from fastbp.choices.family import marked
from fastbp.kernels import real
from fastbp.kernels.vector_ir import choose, fma, like

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _sigmoid_slope(a: Any) -> Any:
    return fma(-a, a, a)


@marked(slope=_sigmoid_slope, saturates=(0.05, 0.95))
def sigmoid(z: Any) -> Any:
    """1/(1 + e⁻ᶻ), slope a(1 − a) (Rumelhart, Hinton & Williams 1986, equation 15)."""
    return real.sigmoid(z)


def _linear_slope(a: Any) -> Any:
    return like(a, 1.0)


@marked(slope=_linear_slope)
def linear(z: Any) -> Any:
    """No activation: z itself, slope 1."""
    return z


def _tanh_slope(a: Any) -> Any:
    return fma(-a, a, 1.0)


@marked(slope=_tanh_slope, saturates=(-0.9, 0.9))
def tanh(z: Any) -> Any:
    """The hyperbolic tangent, slope 1 − a²."""
    return real.tanh(z)


def _relu_slope(a: Any) -> Any:
    return choose(a > 0.0, like(a, 1.0), 0.0)


@marked(slope=_relu_slope)
def relu(z: Any) -> Any:
    """max(z, 0), slope 1 above 0, else 0 (Nair & Hinton 2010)."""
    return choose(z < 0.0, 0.0, z)


def _leaky_relu_slope(a: Any, slope: float) -> Any:
    return choose(a > 0.0, like(a, 1.0), slope)


@marked(slope=_leaky_relu_slope)
def leaky_relu(z: Any, slope: Annotated[float, Ge(0), Lt(1)] = 0.01) -> Any:
    """The input z above 0, else slope·z (Maas, Hannun & Ng 2013)."""
    return choose(z < 0.0, slope * z, z)


def _elu_slope(a: Any) -> Any:
    return choose(a > 0.0, 1.0, a + 1.0)


@marked(slope=_elu_slope)
def elu(z: Any) -> Any:
    """The input z above 0, else eᶻ − 1 (Clevert, Unterthiner & Hochreiter 2016)."""
    return choose(z < 0.0, real.exp(z) - 1.0, z)


def _selu_slope(a: Any) -> Any:
    return choose(a > 0.0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA)


@marked(slope=_selu_slope)
def selu(z: Any) -> Any:
    """1.0507·z above 0, else 1.7581·(eᶻ − 1) (Klambauer et al. 2017)."""
    below = SELU_SCALE * SELU_ALPHA * (real.exp(z) - 1.0)
    return choose(z < 0.0, below, SELU_SCALE * z)


def _softplus_slope(a: Any) -> Any:
    return 1.0 - real.exp(-a)


@marked(slope=_softplus_slope)
def softplus(z: Any) -> Any:
    """ln(1 + eᶻ) as max(z, 0) + ln(1 + e^−|z|), slope 1 − e⁻ᵃ (Dugas et al. 2001)."""
    size = choose(z < 0.0, -z, z)
    return choose(z < 0.0, 0.0, z) + real.log1p(real.exp(-size))


def _exponential_slope(a: Any) -> Any:
    return a


@marked(slope=_exponential_slope)
def exponential(z: Any) -> Any:
    """eᶻ, slope a."""
    return real.exp(z)
