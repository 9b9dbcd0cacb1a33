"""Activations and optimisers as one would write them oneself with Numba: scalar code, `np.exp`, and
branches where they save work.

An activation is a pair of functions: f(z), and its slope as a function of a = f(z).

An optimiser is a pair as well. `scales(rate, k)` is what all weights share at update k = 1, 2, …
`step(w, s, t, at, d, x, scales)` changes the weight at an index by its gradient d·x, and s and t,
which are kept with the weight and 0 at first. The gradient comes as two factors so that plain
gradient descent can multiply one of them by the rate outside its loops.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from benchmarks.workloads import FIRST_STEP, MAX_GROWTH, MAX_STEP, MOMENTUM

Functions = tuple[Callable[..., Any], Callable[..., Any]]

# --- Activations. `type(z)(1)` has the dtype of z: a float32 plus an integer is a float64 in Numba.


@njit
def sigmoid(z):
    one = type(z)(1)
    return one / (one + np.exp(-z))


@njit
def _sigmoid_slope(a):
    return a * (type(a)(1) - a)


@njit
def _linear(z):
    return z


@njit
def _linear_slope(a):
    return type(a)(1)


@njit
def _tanh(z):
    return np.tanh(z)


@njit
def _tanh_slope(a):
    return 1.0 - a * a


@njit
def _relu(z):
    return max(z, 0.0)


@njit
def _relu_slope(a):
    return 1.0 if a > 0.0 else 0.0


@njit
def _leaky_relu(z):
    return z if z > 0.0 else 0.01 * z


@njit
def _leaky_relu_slope(a):
    return 1.0 if a > 0.0 else 0.01


@njit
def _elu(z):
    return z if z > 0.0 else np.exp(z) - 1.0


@njit
def _elu_slope(a):
    return 1.0 if a > 0.0 else a + 1.0


SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772


@njit
def _selu(z):
    return SCALE * z if z > 0.0 else SCALE * ALPHA * (np.exp(z) - 1.0)


@njit
def _selu_slope(a):
    return SCALE if a > 0.0 else a + SCALE * ALPHA


@njit
def _softplus(z):
    return np.log1p(np.exp(z))


@njit
def _softplus_slope(a):
    return 1.0 - np.exp(-a)


@njit
def _exponential(z):
    return np.exp(z)


@njit
def _exponential_slope(a):
    return a


ACTIVATIONS: dict[str, Functions] = {
    "sigmoid": (sigmoid, _sigmoid_slope),
    "linear": (_linear, _linear_slope),
    "tanh": (_tanh, _tanh_slope),
    "relu": (_relu, _relu_slope),
    "leaky-relu": (_leaky_relu, _leaky_relu_slope),
    "elu": (_elu, _elu_slope),
    "selu": (_selu, _selu_slope),
    "softplus": (_softplus, _softplus_slope),
    "exponential": (_exponential, _exponential_slope),
}

# --- Optimisers


@njit
def _rate_alone(rate, k):
    return rate, rate


@njit
def _sgd(w, s, t, at, d, x, scales):
    w[at] -= scales[0] * d * x


@njit
def _heavy_ball(w, s, t, at, d, x, scales):
    s[at] = MOMENTUM * s[at] - scales[0] * d * x
    w[at] += s[at]


@njit
def _nesterov(w, s, t, at, d, x, scales):
    move = scales[0] * d * x
    s[at] = MOMENTUM * s[at] - move
    w[at] += MOMENTUM * s[at] - move


@njit
def _adam_scales(rate, k):
    return rate / (1.0 - 0.9**k), 1.0 / np.sqrt(1.0 - 0.999**k)


@njit
def _adam(w, s, t, at, d, x, scales):
    g = d * x
    s[at] = 0.9 * s[at] + (1.0 - 0.9) * g
    t[at] = 0.999 * t[at] + (1.0 - 0.999) * g * g
    w[at] -= scales[0] * s[at] / (np.sqrt(t[at]) * scales[1] + 1e-8)


@njit
def _rmsprop(w, s, t, at, d, x, scales):
    g = d * x
    s[at] = 0.99 * s[at] + (1.0 - 0.99) * g * g
    w[at] -= scales[0] * g / (np.sqrt(s[at]) + 1e-8)


@njit
def _adagrad(w, s, t, at, d, x, scales):
    g = d * x
    s[at] += g * g
    w[at] -= scales[0] * g / (np.sqrt(s[at]) + 1e-10)


@njit
def _rprop(w, s, t, at, d, x, scales):
    g = d * x
    size = s[at] if s[at] > 0.0 else FIRST_STEP
    if g * t[at] > 0.0:
        size = min(1.2 * size, MAX_STEP)
    elif g * t[at] < 0.0:
        size = max(0.5 * size, 1e-6)
        g = 0.0
    if g > 0.0:
        w[at] -= size
    elif g < 0.0:
        w[at] += size
    s[at] = size
    t[at] = g


@njit
def _quickprop(w, s, t, at, d, x, scales):
    g, before, last = d * x, t[at], s[at]
    move = 0.0
    if last == 0.0 or (last > 0.0) == (g < 0.0):
        move = -scales[0] * g
    if last != 0.0:
        bound = MAX_GROWTH / (1.0 + MAX_GROWTH) * before
        if g <= bound if last > 0.0 else g >= bound:
            move += MAX_GROWTH * last
        else:
            move += last * g / (before - g)
    w[at] += move
    s[at] = move
    t[at] = g


OPTIMIZERS: dict[str, Functions] = {
    "sgd": (_rate_alone, _sgd),
    "momentum": (_rate_alone, _heavy_ball),
    "nesterov": (_rate_alone, _nesterov),
    "adam": (_adam_scales, _adam),
    "rmsprop": (_rate_alone, _rmsprop),
    "adagrad": (_rate_alone, _adagrad),
    "rprop": (_rate_alone, _rprop),
    "quickprop": (_rate_alone, _quickprop),
}


class Choice(NamedTuple):
    """What a network is made of and trained by, by name."""

    activation: str = "sigmoid"
    optimizer: str = "sgd"

    @property
    def functions(self) -> tuple[Any, ...]:
        """f, its slope, scales and step."""
        return *ACTIVATIONS[self.activation], *OPTIMIZERS[self.optimizer]


def choice_of(setup: Any) -> Choice:
    """The choice that the keys of a setup make."""
    form = next((key for key in ("nesterov", "momentum") if setup.get(key)), "sgd")
    optimizer = setup.get("optimizer", form).partition(":")[0]
    return Choice(setup.get("activation", "sigmoid"), optimizer)
