"""Write values, names and numbers for messages; group and sort them."""

import difflib
import math
import numbers
import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from os import PathLike, fspath
from typing import Any, Literal, NamedTuple, TypeVar

_Key = TypeVar("_Key")
_Thing = TypeVar("_Thing")

SHOWN = 60
"""The most characters of a value that a message shows."""

WIDTH = 80
"""Characters per line, where the width of the terminal is not known, and of every paragraph."""

MAX_FINDING = 139
"""The most characters of a `finding`."""

_NULLS = {"None", "<NA>", "nan"}
"""How values that are not there are written, as Python, pandas and NumPy have them."""

SPLIT = 1_000
"""Numbers within a word count as numbers in so many of its first characters."""

MAX_KNOWN, MAX_SIMILAR = 300, 40
"""The most words that are compared with a wrong one, which takes some 0.1 ms each, and the most
letters of such a word."""

MIN_CELL = 10
"""A table that is too wide shortens its texts down to this many characters."""


class Screen(NamedTuple):
    """What a terminal or a file can show.

    Attributes
    ----------
    width : int
        Characters per line.
    ink : str
        How it shows the cells of a map: in `24-bit` colours, in `256` colours, as `shades` (░▒▓█),
        or as `digits`.
    """

    width: int = WIDTH
    ink: Literal["24-bit", "256", "shades", "digits"] = "shades"


_DEEP_KEY = re.compile(
    r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){20}""",
    re.MULTILINE,
)
"""Matches a key of more than twenty parts, a.a.a and so on: the parser's time and memory grow with
the square of their number."""

MAX_DOTS = 400_000
"""The most dots of a text in TOML: the parser makes a kilobyte of each part of a key."""


def is_deep(text: str) -> bool:
    """Whether keys of a text in TOML have very many parts, each or together."""
    return bool(_DEEP_KEY.search(text)) or text.count(".") > MAX_DOTS


def plain(text: str, most: int = SHOWN) -> str:
    """Text as one line of at most `most` characters, with unprintable characters escaped."""
    return escaped(text if len(text) <= most else text[: most - 1] + "…")


def escaped(text: str, kept: str = "") -> str:
    """Text in which characters that are neither printable nor `kept` are escaped, as in Python."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in text)


def typed(path: str | PathLike[str]) -> str:
    """A path as an argument in a shell; it is no option, whatever its name begins with."""
    text = fspath(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def printable(text: str) -> str:
    """Text with `?` for each unprintable character, such as those that move a cursor."""
    # Most are, and some have a million characters.
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def shown(value: object) -> str:
    """Write a value for a message: about as in TOML, in at most `SHOWN` characters."""
    return plain(_spelled(value, 3))


def refusal(value: object, allowed: str) -> str:
    """The message about a wrong value: `given 'x', allowed: …`."""
    return f"given {shown(value)}, allowed: {allowed}"


def _spelled(value: Any, depth: int) -> str:  # noqa: PLR0911 - one return a type
    """A value as text. Tables and lists inside it are shown down to `depth` levels."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value[:SHOWN])
        case int() if abs(value) >= 10**SHOWN:
            return f"an integer of {int(value.bit_length() * math.log10(2)) + 1:,} digits or so"
        case numbers.Real():
            return str(value)
        case _ if hasattr(value, "tolist"):  # from NumPy
            return _spelled(list(islice(value, 30)) if value.ndim else value.item(), depth)
        case Mapping() | list() | tuple() if depth == 0:
            return "…"
        case Mapping():
            return (
                "{"
                + ", ".join(f"{k} = {_spelled(v, depth - 1)}" for k, v in islice(value.items(), 8))
                + "}"
            )
        case list() | tuple() | range():
            return "[" + ", ".join(_spelled(item, depth - 1) for item in islice(value, 30)) + "]"
        case None:
            return "None"
        case _:
            return str(value) if hasattr(value, "isoformat") else type(value).__name__


def nearest(word: object, known: Iterable[str]) -> str:
    """The hint `; did you mean 'x'?` if a known word is similar, else nothing.

    Of the first `MAX_KNOWN` known words, those of at most `MAX_SIMILAR` letters are compared.
    """
    if not isinstance(word, str):
        return ""
    short = (each for each in islice(known, MAX_KNOWN) if len(each) <= MAX_SIMILAR)
    close = difflib.get_close_matches(word[:MAX_SIMILAR].lower(), short, 1, 0.6)
    return f"; did you mean {shown(close[0])}?" if close else ""


def number(value: Any, style: str = "") -> str:
    """A number in its shortest exact form, integers without `.0`; style `,` groups digits."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return f"{value:{style}}" if isinstance(value, int) else repr(float(value))


def named(path: str | PathLike[str]) -> str:
    """A path for messages: one line of at most 200 characters."""
    return plain(str(fspath(path)), 200)


def first_line(error: BaseException, most: int = 120) -> str:
    """The first line of an error's message, or its type if it has none."""
    return plain((str(error).strip().splitlines() or [type(error).__name__])[0], most)


def bad_byte(error: UnicodeDecodeError) -> str:
    """Say which byte is not UTF-8, and in which line."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"byte 0x{error.object[error.start]:02x} in line {line}"


def percent(share: float) -> str:
    """A share as a percentage with one decimal, or with two if it is close to 0% or 100%.

    Only shares of exactly 0 and 1 become 0% and 100%.
    """
    if math.isnan(share):
        return "–"
    rounded = round(100 * share, 2)
    if rounded in (0, 100) and share not in (0, 1):
        return ">99.99%" if rounded else "<0.01%"
    digits = 0 if share in (0, 1) else 2 if min(share, 1 - share) < 0.001 else 1
    return f"{100 * share:.{digits}f}%"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign; – for NaN."""
    if math.isnan(difference):
        return "–"
    value = 100 * difference
    small = 0 < abs(value) < 0.1
    text = f"{abs(value):.{min(4, -math.floor(math.log10(abs(value)))) if small else 1}f}"
    return text if float(text) == 0 else ("+" if value > 0 else "−") + text


def p_value(value: float) -> str:
    """A p value: <0.0001, four digits below 0.1, two above; – for NaN."""
    if math.isnan(value):
        return "–"
    return "<0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def and_(texts: Sequence[str]) -> str:
    """Join texts: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def first_of(items: Sequence[str], most: int) -> list[str]:
    """The first `most` items, then a text such as `3 more`; if only one is left, all items."""
    more = len(items) - most
    return [*items[:most], f"{more:,} more"] if more > 1 else [*items]


def grouped(things: Iterable[_Thing], names: Iterable[_Key]) -> dict[_Key, list[_Thing]]:
    """Group things by name.

    Parameters
    ----------
    things, names : iterables of the same length
        Each thing, and the name of its group.

    Returns
    -------
    dict of lists
        The things of each name. Names are in the order in which they first occur.
    """
    groups: dict[_Key, list[_Thing]] = {}
    for thing, name in zip(things, names, strict=True):
        groups.setdefault(name, []).append(thing)
    return groups


def dashed(sizes: Sequence[int]) -> str:
    """Sizes of layers as in the table of runs: `8-8`."""
    return "-".join(map(str, sizes))


def plural(n: int, noun: str) -> str:
    """A count with its noun: `1 run`, `2 runs`, `10,000 runs`."""
    return f"{n:,} {noun}{'s'[: n != 1]}"


def shortened(text: str, width: int) -> str:
    """Cut a text to at most `width` characters, with … at its end if it was longer."""
    return text if len(text) <= width else text[: width - 2].rstrip() + " …"


def first_sentence(text: str) -> tuple[str, str]:
    """Split a text after its first sentence: before a capital letter, but not within brackets."""
    end = re.match(r"(?:[^()]|\([^()]*\))*?[.!?](?= [A-Z])", text)
    first = end[0] if end else text
    return first, text[len(first) :].lstrip()


def finding(text: str) -> str:
    """Shorten an answer to its first sentence, without brackets and full stop.

    Where it is longer than `MAX_FINDING` characters, it ends at a clause.
    """
    sentence = re.sub(r" ?\([^()]*\)", "", first_sentence(text)[0]).removesuffix(".")
    if len(sentence) <= MAX_FINDING:
        return sentence
    clause = re.match(rf".{{20,{MAX_FINDING}}}(?=[;:,] )", sentence, re.DOTALL)
    return clause[0] if clause else shortened(sentence, MAX_FINDING)


def wrap(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Break a text into lines of at most `width` characters; words and paths stay in one piece.

    `first`, `rest`: the start of the first line, and of the others.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def aligned(
    rows: Sequence[Sequence[str]], left: Sequence[int], width: int | None = None
) -> list[str]:
    """Align the cells of rows into lines: columns in `left` to the left, others to the right.

    If lines are longer than `width`, texts in the widest of the columns `left` are shortened, down
    to `MIN_CELL` characters.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust if i in left else str.rjust for i in range(len(widths))]
    while True:
        cut = [
            [shortened(cell, widths[i]) if i in left else cell for i, cell in enumerate(row)]
            for row in rows
        ]
        lines = [
            "  ".join(side(cell, w) for side, cell, w in zip(sides, row, widths, strict=True))
            for row in cut
        ]
        too_long = width is not None and max(len(line.rstrip()) for line in lines) > width
        widest = max(left, key=widths.__getitem__, default=None)
        if not too_long or widest is None or widths[widest] <= MIN_CELL:
            return [line.rstrip() for line in lines]
        widths[widest] -= 1


def sort_key(values: Iterable[Any]) -> list[list[tuple[int, float, str]]]:
    """Make a key that sorts rows by the values of setup keys.

    Null comes first, then numbers by size, then words. Numbers within words count as numbers:
    `parity:3` comes before `parity:10`.
    """
    return [_natural(value) for value in values]


def _natural(value: Any) -> list[tuple[int, float, str]]:
    if not isinstance(value, str):
        return [] if str(value) in _NULLS else [(0, float(value), "")]
    head, tail = value[:SPLIT], value[SPLIT:]
    parts = re.split(r"(\d+)", head)
    return [
        *((1, 0.0, part) if i % 2 == 0 else (0, float(part), "") for i, part in enumerate(parts)),
        *([(1, 0.0, tail)] if tail else []),
    ]
