"""Optimisers: each function returns the `Optimizer` that steps each weight.

Arguments of every step: `w`, a weight; `g`, its gradient; `rate`, the learning rate; `momentum`;
`s` and `t`, what is kept with the weight, 0 at first; `c` and `d`, what `scales` makes of 1 − βᵏ at
step k for each β in `decays`. Steps have no branches. They return the new w, s and t.
"""

from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from fastbp.kernels.optimizer import Optimizer
from fastbp.kernels.vector_ir import choose, fma, like, sqrt

_Decay = Annotated[float, Ge(0), Lt(1)]
_Small = Annotated[float, Gt(0), Le(1)]


def sgd() -> Optimizer:
    """Gradient descent, w ← w − lr·g; with momentum α, v ← αv − lr·g and w ← w + v.

    With `nesterov` w ← w + αv − lr·g with the new v, as in PyTorch (Sutskever et al. 2013).
    """

    def step(
        w: Any, g: Any, rate: Any, momentum: Any, s: Any, t: Any, c: Any, d: Any
    ) -> tuple[Any, ...]:
        return w + -(rate * g), s, t

    return Optimizer(step)


def _heavy_ball() -> Optimizer:
    """With momentum (Rumelhart, Hinton & Williams 1986, equation 16)."""

    def step(
        w: Any, g: Any, rate: Any, momentum: Any, s: Any, t: Any, c: Any, d: Any
    ) -> tuple[Any, ...]:
        v = fma(momentum, s, -(rate * g))
        return w + v, v, t

    return Optimizer(step, states=1, weight_decay=True)


def _nesterov() -> Optimizer:
    """With momentum that looks ahead (Sutskever et al. 2013)."""

    def step(
        w: Any, g: Any, rate: Any, momentum: Any, s: Any, t: Any, c: Any, d: Any
    ) -> tuple[Any, ...]:
        move = -(rate * g)
        v = fma(momentum, s, move)
        return w + fma(momentum, v, move), v, t

    return Optimizer(step, states=1, weight_decay=True)


OF_SGD = {"momentum": _heavy_ball, "nesterov": _nesterov}
"""The forms of `sgd` that keep a velocity, or divide a gradient, or let weights decay."""


def adam(beta1: _Decay = 0.9, beta2: _Decay = 0.999, eps: _Small = 1e-8) -> Optimizer:
    """Adam with bias correction (Kingma & Ba 2015, algorithm 1)."""

    def step(
        w: Any, g: Any, rate: Any, momentum: Any, s: Any, t: Any, c: Any, d: Any
    ) -> tuple[Any, ...]:
        m = fma(g, 1.0 - beta1, s * beta1)
        v = fma(g * g, 1.0 - beta2, t * beta2)
        return w - c * m / fma(sqrt(v), d, eps), m, v

    def scales(rate: Any, c: Any, d: Any) -> tuple[Any, ...]:
        return rate / c, like(d, 1.0) / sqrt(d)

    return Optimizer(step, states=2, decays=(beta1, beta2), scales=scales)


def rmsprop(alpha: _Decay = 0.99, eps: _Small = 1e-8) -> Optimizer:
    """RMSprop: w ← w − lr·g/(√v + eps), v the running mean of g² (Tieleman & Hinton 2012)."""

    def step(
        w: Any, g: Any, rate: Any, momentum: Any, s: Any, t: Any, c: Any, d: Any
    ) -> tuple[Any, ...]:
        v = fma(g * g, 1.0 - alpha, s * alpha)
        return w - rate * g / (sqrt(v) + eps), v, t

    return Optimizer(step, states=1)


def adagrad(eps: _Small = 1e-10) -> Optimizer:
    """Adagrad: w ← w − lr·g/(√Σg² + eps) (Duchi, Hazan & Singer 2011)."""

    def step(
        w: Any, g: Any, rate: Any, momentum: Any, s: Any, t: Any, c: Any, d: Any
    ) -> tuple[Any, ...]:
        total = fma(g, g, s)
        return w - rate * g / (sqrt(total) + eps), total, t

    return Optimizer(step, states=1)


def rprop(
    plus: Annotated[float, Gt(1), Le(10)] = 1.2,
    minus: Annotated[float, Gt(0), Lt(1)] = 0.5,
    step: Annotated[float, Gt(0), Le(1e6)] = 0.1,
    min: Annotated[float, Gt(0), Le(1e6)] = 1e-6,
    max: Annotated[float, Gt(0), Le(1e6)] = 50.0,
) -> Optimizer:
    """Only the sign of g counts: iRprop− (Igel & Hüsken 2003), with no learning rate.

    The change of a weight, at first `step`, is multiplied by `plus` while g keeps its sign, up to
    `max`. When the sign changes, it is multiplied by `minus`, down to `min`, and g counts as 0.
    """

    def one(
        w: Any, g: Any, rate: Any, momentum: Any, s: Any, t: Any, c: Any, d: Any
    ) -> tuple[Any, ...]:
        size = choose(s > 0.0, s, step)
        grown, shrunk = size * plus, size * minus
        grown = choose(grown > max, max, grown)
        shrunk = choose(shrunk < min, min, shrunk)
        agrees = g * t
        size = choose(agrees > 0.0, grown, choose(agrees < 0.0, shrunk, size))
        g = choose(agrees < 0.0, 0.0, g)
        move = choose(g > 0.0, -size, choose(g < 0.0, size, like(g, 0.0)))
        return w + move, size, g

    return Optimizer(one, states=2, has_rate=False)


def quickprop(mu: Annotated[float, Gt(1), Le(100)] = 1.75) -> Optimizer:
    """Jump to the minimum of the parabola through two slopes (Fahlman 1988).

    As in his program: with the last change Δ and the gradient p at that time, the new change is the
    sum of −lr·g, unless g would turn Δ round, and Δ·g/(p − g), or mu·Δ where g is beyond mu/(1 +
    mu)·p. Where Δ is 0 it is −lr·g alone.
    """
    shrink = mu / (1.0 + mu)

    def step(
        w: Any, g: Any, rate: Any, momentum: Any, s: Any, t: Any, c: Any, d: Any
    ) -> tuple[Any, ...]:
        slope = -(rate * g)
        down, up = s < 0.0, s > 0.0
        keeps = choose(down, choose(g > 0.0, slope, like(g, 0.0)), choose(up, like(g, 0.0), slope))
        keeps = choose(up, choose(g < 0.0, slope, like(g, 0.0)), keeps)
        bound = shrink * t
        jump, most = s * g / (t - g), mu * s
        jump = choose(down, choose(g >= bound, most, jump), choose(g <= bound, most, jump))
        move = keeps + choose(down, jump, choose(up, jump, like(g, 0.0)))
        return w + move, move, g

    return Optimizer(step, states=2)
