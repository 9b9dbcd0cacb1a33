"""Initial weights. Each maps one uniform deviate to one parameter; all use the same deviates, so that inits pair by seed.

Arguments of every function: `u`, uniform in (0, 1); `scale`, the key `init_scale`; `fan_in` and `fan_out`, sizes of the layers
that the parameter joins; `bias`, whether it is a bias. Returns the parameter, float64.
"""

from typing import Any

import numpy as np

from fastbp.kernels.real import normal_quantile


def normal(u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any) -> Any:
    """N(0, scale²), weights and biases alike: scale·Φ⁻¹(u)."""
    return scale * normal_quantile(u)


def uniform(u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any) -> Any:
    """U[−scale, scale], weights and biases alike: scale·(2u − 1)."""
    return scale * (2.0 * u - 1.0)


def glorot_normal(u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any) -> Any:
    """N(0, σ²) with σ = scale·√(2/(fan_in + fan_out)), biases 0 (Glorot & Bengio 2010, equation 12)."""
    return 0.0 if bias else scale * np.sqrt(2.0 / (fan_in + fan_out)) * normal_quantile(u)


def glorot_uniform(u: Any, scale: Any, fan_in: Any, fan_out: Any, bias: Any) -> Any:
    """U[−r, r] with r = scale·√(6/(fan_in + fan_out)), biases 0 (Glorot & Bengio 2010, equation 16)."""
    return 0.0 if bias else scale * np.sqrt(6.0 / (fan_in + fan_out)) * (2.0 * u - 1.0)
