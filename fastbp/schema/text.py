"""Values, names and numbers as messages show them."""

import difflib
import math
from collections.abc import Iterable, Mapping
from itertools import islice
from os import PathLike, fspath
from typing import Any

import numpy as np

SHOWN = 60
"""Characters of a value that a line shows."""


def plain(text: str, most: int = SHOWN) -> str:
    """Text as one line: cut to `most` characters, what is not printable escaped."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable(text: str) -> str:
    """Text with `?` for all that is not printable, such as what moves a terminal's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shown(value: object) -> str:
    """A value about as TOML writes it, in at most `SHOWN` characters."""
    return plain(_spelled(value, 3))


def refusal(value: object, allowed: str) -> str:
    """The rest of a line about a wrong value."""
    return f"given {shown(value)}, allowed: {allowed}"


def _spelled(value: object, depth: int) -> str:  # noqa: PLR0911 - one return a type
    """A value, and what it holds down to so many levels."""
    match value:
        case bool() | np.bool_():
            return "true" if value else "false"
        case str():
            return repr(value[:SHOWN])
        case int() if abs(value) >= 10**SHOWN:
            return f"an integer of {int(value.bit_length() * math.log10(2)) + 1:,} digits or so"
        case int() | float() | np.integer() | np.floating():
            return str(value)
        case np.ndarray() if value.ndim == 0:
            return _spelled(value.item(), depth)
        case Mapping() | list() | tuple() | np.ndarray() if depth == 0:
            return "…"
        case Mapping():
            return (
                "{"
                + ", ".join(f"{k} = {_spelled(v, depth - 1)}" for k, v in islice(value.items(), 8))
                + "}"
            )
        case list() | tuple() | range() | np.ndarray():
            return "[" + ", ".join(_spelled(item, depth - 1) for item in islice(value, 30)) + "]"
        case None:
            return "None"
        case _:
            return str(value) if hasattr(value, "isoformat") else type(value).__name__


def nearest(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` if one of the known words is close, else nothing."""
    if not isinstance(word, str):
        return ""
    close = difflib.get_close_matches(word[:100].lower(), list(known), 1, 0.6)
    return f"; did you mean {shown(close[0])}?" if close else ""


def number(value: Any, style: str = "") -> str:
    """A number in its shortest exact spelling, integers without `.0`; style `,` groups digits."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return f"{value:{style}}" if isinstance(value, int) else repr(float(value))


def named(path: str | PathLike[str]) -> str:
    """A path as messages show it."""
    return plain(str(fspath(path)), 200)
