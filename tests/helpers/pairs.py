"""Few cells of a matrix that have everything in it that two axes can do to each other."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, TypeVar

C = TypeVar("C", bound=tuple[Any, ...])


def pairs_of(cell: tuple[Any, ...]) -> set[Any]:
    """The values of a cell on every two axes."""
    return set(combinations(enumerate(cell), 2))


def pairwise(cells: Sequence[C], cost: Callable[[C], float]) -> list[C]:
    """Some of these cells, in which every pair of values occurs that occurs in any: each time the
    one with most new ones for what it costs, the first of several."""
    pairs = {cell: pairs_of(cell) for cell in cells}
    missing = set().union(*pairs.values())
    chosen = []
    while missing:
        chosen.append(max(pairs, key=lambda cell: len(pairs[cell] & missing) / cost(cell)))
        missing -= pairs[chosen[-1]]
    return chosen
