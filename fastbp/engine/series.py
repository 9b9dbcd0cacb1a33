"""Short forms of a grid's lists: numbers evenly apart, and networks of each width at each depth."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastbp.engine.reading import as_list, shown

MOST_VALUES = 1_000
"""Values of one series."""

LARGEST = 1e300
"""Ends beyond it are none: their distance might not be finite."""

SPACED = ("linear", "log")

NUMBERS = '{from = A, to = B, count = N} with A < B and N from 2 to 1,000, and spaced = "linear" or "log" (A > 0)'
NETWORKS = "{width = W, depth = D}, each an integer, a list of them or {from = A, to = B, count = N}"


def numbers(value: Mapping[Any, Any], whole: bool) -> list[float]:
    """The values of `{from = A, to = B, count = N, spaced = "log"}`, ascending.

    Between the ends, which are kept, each has three digits, so that it can be read and written: of its own where they are on a
    log scale, of a step where they are not. `whole`: for a key of whole numbers, to which they are rounded; what repeats goes.
    Raises ValueError with the rest of a line.
    """
    parts: Sequence[Any] = [value.get(key, SPACED[0]) for key in ("from", "to", "count", "spaced")]  # a word is no number
    low, high, count, spaced = parts
    allowed = ValueError(f"given {shown(value)}, allowed: a list or {NUMBERS}")
    if not value.keys() <= {"from", "to", "count", "spaced"} or spaced not in SPACED:
        raise allowed
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (low, high, count)):
        raise allowed
    if not (-LARGEST <= low < high <= LARGEST and (low > 0 or spaced == "linear") and 2 <= count <= MOST_VALUES):
        raise allowed
    if count != int(count) or (high - low) / count == 0:
        raise allowed
    if spaced == "log":
        inner = [float(f"{each:.3g}") for each in np.geomspace(low, high, int(count))[1:-1]]
    else:
        digits = 2 - math.floor(math.log10((high - low) / (count - 1)))
        inner = [round(each, digits) for each in np.linspace(low, high, int(count))[1:-1].tolist()]
    return list(dict.fromkeys(round(each) if whole else each for each in (low, *inner, high)))


def networks(value: Mapping[Any, Any]) -> list[list[Any]]:
    """The layers of every network of `{width = [4, 8], depth = [1, 2]}`: all of a width, and widths change fastest.

    Raises ValueError with the rest of a line.
    """
    if value.keys() != {"width", "depth"}:
        raise ValueError(f"given {shown(value)}, allowed: a list or {NETWORKS}")
    widths, depths = (_wholes(value, key) for key in ("width", "depth"))
    return [[width] * depth for depth in depths for width in widths]


def _wholes(value: Mapping[Any, Any], key: str) -> Sequence[int]:
    written = value[key]
    if isinstance(written, Mapping):
        written = numbers(written, whole=True)
    values = as_list(written if as_list(written) is not None else [written]) or ()
    if not 1 <= len(values) <= MOST_VALUES or any(
        isinstance(each, bool) or not isinstance(each, int) or each < 1 for each in values
    ):
        raise ValueError(f"given {shown(value)}, allowed: a list or {NETWORKS}")
    if key == "depth" and max(values) > MOST_DEPTH:
        raise ValueError(f"given {shown(value)}, allowed: a depth from 1 to {MOST_DEPTH}")
    return values


MOST_DEPTH = 16
"""Hidden layers of a network."""
