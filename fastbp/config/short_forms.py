"""Expand the short forms of lists in a `[grid]`: series, sizes of networks, truth tables."""

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le, MaxLen, MinLen

from fastbp.choices import problems
from fastbp.choices.families import FAMILIES
from fastbp.config.choice_syntax import checked_value, read_call, types_of
from fastbp.schema.keys import KEYS, MAX_LAYERS
from fastbp.schema.text import refusal

MAX_SETUPS = 100_000  # a store holds at most about 10⁵ files
MAX_VALUES = 1_000
"""The most values of a series `{from = A, to = B, count = N}`."""

MAX_BITS = 1 << 24
"""The most bits of all tables that problems like `table:01?0` of a sweep make, a byte each."""

MAX_END = 1e300
"""The largest absolute value of either end of a series: their difference must be finite."""

SERIES = {"from": None, "to": None, "count": None, "spaced": "linear"}
"""The keys of a series and their defaults."""

NUMBERS = (
    "{from = A, to = B, count = N} with A < B and N from 2 to 1,000, "
    'and spaced = "linear" or "log" (A > 0)'
)
NETWORKS = (
    "{width = W, depth = D} with D up to 16, "
    "each an integer, a list of them or {from = A, to = B, count = N}"
)

_SIZES = {
    "width": Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1), MaxLen(MAX_VALUES)],
    "depth": Annotated[
        tuple[Annotated[int, Ge(1), Le(MAX_LAYERS)], ...], MinLen(1), MaxLen(MAX_VALUES)
    ],
}


def numbers(value: Mapping[Any, Any], integers: bool) -> list[float]:
    """Expand a series `{from = A, to = B, count = N, spaced = "log"}` into ascending numbers.

    Parameters
    ----------
    value
        The series as the user wrote it.
    integers
        Whether to round all values to integers, and drop repeats.

    Returns
    -------
    list of float
        A, B and the values between, rounded: on a log scale to three significant digits, on a
        linear one to three significant digits of the step.

    Raises
    ------
    ValueError
        "given …, allowed: …".
    """
    low, high, count, spaced = (value.get(key, default) for key, default in SERIES.items())
    if (
        not value.keys() <= SERIES.keys()
        or spaced not in ("linear", "log")
        or not all(isinstance(each, int | float) for each in (low, high, count))
        or any(isinstance(each, bool) for each in (low, high, count))
        or not -MAX_END <= low < high <= MAX_END
        or (low <= 0 and spaced == "log")
        or not 2 <= count <= MAX_VALUES
        or count != int(count)
        or (high - low) / count == 0
    ):
        raise ValueError(refusal(value, f"a list or {NUMBERS}"))
    # whole numbers beyond 64 bits would be objects to NumPy
    ends, size = (float(low), float(high)), int(count)
    if spaced == "log":
        inner = [float(f"{each:.3g}") for each in np.geomspace(*ends, size)[1:-1]]
    else:
        digits = 2 - math.floor(math.log10((high - low) / (count - 1)))
        inner = [round(each, digits) for each in np.linspace(*ends, size)[1:-1].tolist()]
    return list(dict.fromkeys(round(each) if integers else each for each in (low, *inner, high)))


def networks(value: Mapping[Any, Any]) -> list[list[Any]]:
    """Expand `{width = [4, 8], depth = [1, 2]}` into hidden layers: [4], [8], [4, 4], [8, 8].

    The hidden layers of a network have one width; widths change fastest. Raises ValueError "given
    …, allowed: …".
    """
    try:
        if value.keys() != _SIZES.keys():
            raise ValueError
        sizes = {k: numbers(v, True) if isinstance(v, Mapping) else v for k, v in value.items()}
        widths, depths = (checked_value(_SIZES[key], sizes[key]) for key in _SIZES)
    except ValueError:
        raise ValueError(refusal(value, f"a list or {NETWORKS}")) from None
    return [[width] * depth for depth in depths for width in widths]


def listed(key: object, value: object) -> object:
    """Expand a series, or widths and depths, into a list; keep other values. Raises ValueError."""
    if not isinstance(value, Mapping) or key not in KEYS:
        return value
    if key == "hidden":
        return networks(value)
    types = types_of(KEYS[str(key)].annotation)
    return numbers(value, integers=int in types) if types & {int, float} else value


def tables_of(options: Sequence[Any], before: int = 0) -> Sequence[Any]:
    """Replace each problem like `table:01?0` in a list by all tables with 0 and 1 for each `?`.

    Invalid problems are kept, and so is a problem that would make the list longer than
    `MAX_SETUPS`: later checks refuse them. Raises ValueError "given …, allowed: …" if the tables
    have more than `MAX_BITS` bits, together with those that were made `before`.
    """
    results: list[Any] = []
    for option in options:
        bits = _unknown_bits(option)
        count = bits.count("?")
        if count and len(results) + 2**count <= MAX_SETUPS:
            before += 2**count * len(bits)
            if before > MAX_BITS:
                raise ValueError(
                    refusal(option, f"tables for ? that have at most {MAX_BITS:,} bits together")
                )
            results += [
                f"table:{''.join(each)}"
                for each in itertools.product(*("01" if bit == "?" else bit for bit in bits))
            ]
        else:
            results.append(option)
    return results


def _unknown_bits(problem: object) -> str:
    """The bits of a problem `table:BITS`, with any `?`; empty if it is not a valid table."""
    with suppress(ValueError):
        call = read_call(FAMILIES["problem"], problem)
        if call.choice.function is problems.table:
            problems.table(call.values[0].replace("?", "0"))
            return str(call.values[0])
    return ""
