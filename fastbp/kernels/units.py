"""What the units of a network compute from their input, on tiles."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from fastbp.kernels.jit import inlined
from fastbp.kernels.real import exp
from fastbp.kernels.tiles import elementwise, fill, load, store
from fastbp.kernels.vector_ir import choose

Pair = tuple[Callable[..., Any], Callable[..., Any]]
"""An activation: f(z), and its slope f′ as a function of a = f(z)."""


class Units(NamedTuple):
    """The activations of a network, each with a number by which layers name it."""

    f: Any
    """f(number, z), z a tile."""
    prime: Any
    """f′(number, a), a a tile of activations."""
    finish: Any
    """Finishes one vector of the outputs of a sample, (A, layer, samples, sample, lane), for units
    that depend on each other."""


@cache
def units_of(pairs: Sequence[Pair], softmax: bool, lanes: int) -> Units:
    """Make the units of a network.

    Parameters
    ----------
    pairs : sequence of Pair
        The activations, by number.
    softmax : bool
        Whether outputs are a softmax; the last activation is then linear.
    lanes : int
        Lanes of a strip.
    """
    f, slopes = ([elementwise(each) for each in part] for part in zip(*pairs, strict=True))
    return Units(
        _by_number(f), _by_number(slopes), inlined(_softmax(lanes) if softmax else _nothing)
    )


def _by_number(functions: Sequence[Any]) -> Any:
    """Make one function of (number, tile) from the function for each number."""
    first, *rest = functions
    if not rest:
        return inlined(lambda number, tile: first(tile))
    others = _by_number(rest)

    @inlined
    def apply(number: Any, tile: Any) -> Any:
        if number == 0:
            return first(tile)
        return others(number - 1, tile)

    return apply


def _nothing(A: Any, layer: Any, samples: Any, sample: Any, lane: Any) -> None:
    pass


@elementwise
def larger(a: Any, b: Any) -> Any:
    """The larger one; NaN if `a` is."""
    return choose(b > a, b, a)


@elementwise
def _exp_of_difference(a: Any, b: Any) -> Any:
    return exp(a - b)


def _softmax(lanes: int) -> Any:
    """Make o_k = exp(z_k − max_j z_j) ÷ Σ_k exp(z_k − max_j z_j), k ascending.

    It replaces z_k, which lie where outputs do.
    """

    def divide(A: Any, layer: Any, samples: Any, sample: Any, lane: Any) -> None:
        first, step = (layer.activations * samples + sample) * lanes + lane, samples * lanes
        end = first + layer.units * step
        most, total = load(A, first, 1, 0, 1, 0), fill(A, 0.0, 1, 1)
        for place in range(first, end, step):
            most = larger(most, load(A, place, 1, 0, 1, 0))
        for place in range(first, end, step):
            value = _exp_of_difference(load(A, place, 1, 0, 1, 0), most)
            store(A, place, 0, 0, value)
            total = total + value
        for place in range(first, end, step):
            store(A, place, 0, 0, load(A, place, 1, 0, 1, 0) / total)

    return divide
