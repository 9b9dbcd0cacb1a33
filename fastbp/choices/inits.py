"""Initial weights: each function maps one uniform deviate to one parameter.

Arguments of every function: `u`, the uniform deviate in (0, 1) of this seed and parameter; `scale`,
the key `init_scale`; `fan_in` and `fan_out`, the sizes of the layers that the parameter joins;
`bias`, whether it is a bias; `seed`, uint64, and `number`, the position of the parameter in its
network. Returns the parameter, float64. All inits that draw use the same deviates, so they pair by
seed.
"""

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from fastbp.kernels.random import WEIGHTS, uniform as deviate
from fastbp.kernels.real import normal_quantile
from fastbp.schema.keys import MAX_SIDE

_Number = Annotated[int, Ge(0), Le(999_999)]  # of at most MAX_PARAMETERS


def normal(u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any) -> Any:
    """N(0, scale²), weights and biases alike: scale·Φ⁻¹(u)."""
    return scale * normal_quantile(u)


def uniform(
    u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any
) -> Any:
    """U[−scale, scale], weights and biases alike: scale·(2u − 1)."""
    return scale * (2.0 * u - 1.0)


def glorot_normal(
    u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any
) -> Any:
    """N(0, σ²) with σ = scale·√(2/(fan_in + fan_out)), biases 0.

    Glorot & Bengio (2010), equation 12.
    """
    return 0.0 if bias else scale * np.sqrt(2.0 / (fan_in + fan_out)) * normal_quantile(u)


def glorot_uniform(
    u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any
) -> Any:
    """U[−r, r] with r = scale·√(6/(fan_in + fan_out)), biases 0.

    Glorot & Bengio (2010), equation 16.
    """
    return 0.0 if bias else scale * np.sqrt(6.0 / (fan_in + fan_out)) * (2.0 * u - 1.0)


def he_normal(
    u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any
) -> Any:
    """N(0, σ²) with σ = scale·√(2/fan_in), biases 0 (He, Zhang, Ren & Sun 2015, equation 10)."""
    return 0.0 if bias else scale * np.sqrt(2.0 / fan_in) * normal_quantile(u)


def he_uniform(
    u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any
) -> Any:
    """U[−r, r] with r = scale·√(6/fan_in), biases 0: the variance of `he-normal`."""
    return 0.0 if bias else scale * np.sqrt(6.0 / fan_in) * (2.0 * u - 1.0)


def lecun_normal(
    u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any
) -> Any:
    """N(0, σ²) with σ = scale·√(1/fan_in), biases 0 (LeCun, Bottou, Orr & Müller 1998)."""
    return 0.0 if bias else scale * np.sqrt(1.0 / fan_in) * normal_quantile(u)


def lecun_uniform(
    u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any
) -> Any:
    """U[−r, r] with r = scale·√(3/fan_in), biases 0: the variance of `lecun-normal`."""
    return 0.0 if bias else scale * np.sqrt(3.0 / fan_in) * (2.0 * u - 1.0)


def torch(u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any) -> Any:
    """U[−r, r] with r = scale·√(1/fan_in), weights and biases alike: PyTorch's `Linear`."""
    return scale * np.sqrt(1.0 / fan_in) * (2.0 * u - 1.0)


def zeros(u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any, seed: Any, number: Any) -> Any:
    """All weights and biases 0: hidden units stay equal."""
    return 0.0


def constant(
    u: Any,
    scale: Any,
    fan_in: Any,
    fan_out: Any,
    bias: Any,
    seed: Any,
    number: Any,
    c: Annotated[float, Ge(-1e6), Le(1e6)],
) -> Any:
    """All weights and biases scale·c: hidden units stay equal."""
    return scale * c


def grid(
    u: Any,
    scale: Any,
    fan_in: Any,
    fan_out: Any,
    bias: Any,
    seed: Any,
    number: Any,
    side: Annotated[int, Ge(2), Le(MAX_SIDE)],
    x: _Number,
    y: _Number,
    origin: Annotated[int, Ge(0), Le(10**12)] = 0,
) -> Any:
    """A plane: the seed places parameters x and y on a grid over −scale…scale.

    All other parameters are `uniform` with the seed `origin`. Seed s is the middle of the cell in
    column s mod side and row ⌊s ÷ side⌋ mod side: x is scale·((2·column + 1 − side) ÷ side), and
    y the same with the row. Kolen & Pollack (1990), Complex Systems 4, 269-280.
    """
    if number in (x, y):
        place = np.int64(seed) if number == x else np.int64(seed) // side
        return scale * ((2.0 * (place % side) + 1.0 - side) / side)
    return scale * (2.0 * deviate(np.uint64(origin), WEIGHTS, np.uint64(0), number) - 1.0)
