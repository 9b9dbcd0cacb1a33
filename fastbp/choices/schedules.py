"""Schedules: the factor on the learning rate, epoch by epoch.

Arguments of every function: `previous`, the factor of the epoch before (1 before the first one);
`s`, completed epochs since the warmup; `span`, epochs from the warmup to the end of the budget.
Returns the factor of this epoch, float64: the rate is lr × factor. A schedule whose factors depend
on `span` is `marked` with `needs_horizon`.

The engine gives every schedule a warmup, `warmup=W`: the rate is lr·(e + 1)/(W + 1) in the first W
epochs, and s = e − W after them. Powers are repeated products, through `previous`.
"""

from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from fastbp.choices.family import marked
from fastbp.kernels.real import cos

Epochs = Annotated[int, Ge(1), Le(10**12)]
Factor = Annotated[float, Gt(0), Le(1)]

_PI = 3.141592653589793


def constant(previous: Any, s: Any, span: Any) -> Any:
    """The same rate in every epoch: factor 1."""
    return 1.0


def step(previous: Any, s: Any, span: Any, every: Epochs, factor: Factor) -> Any:
    """Multiply by `factor` after every `every` epochs: factor^⌊s/every⌋."""
    return previous * factor if s > 0 and s % every == 0 else previous


def exponential(previous: Any, s: Any, span: Any, factor: Factor) -> Any:
    """Multiply by `factor` after every epoch: factor^s."""
    return previous * factor if s > 0 else previous


@marked(needs_horizon=True)
def cosine(previous: Any, s: Any, span: Any) -> Any:
    """Fall to 0 along half a cosine: ½(1 + cos(πs/span)).

    Loshchilov & Hutter 2017, equation 5, without restarts.
    """
    return 0.5 * (1.0 + cos(_PI * s / span))


@marked(needs_horizon=True)
def linear(previous: Any, s: Any, span: Any) -> Any:
    """Fall to 0 along a line: 1 − s/span."""
    return 1.0 - s / span


def inverse(previous: Any, s: Any, span: Any, tau: Annotated[float, Gt(0)]) -> Any:
    """Fall like 1/s after about `tau` epochs: 1/(1 + s/tau).

    Robbins & Monro 1951; Darken & Moody 1990 call it search-then-converge.
    """
    return 1.0 / (1.0 + s / tau)
