"""What all pictures share: fonts, colours, lines, the width of texts, and the files they become."""

import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache, wraps
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullLocator

from fastbp.analysis.axes import is_numeric
from fastbp.analysis.shape import SHAPE
from fastbp.analysis.summary import keys_of
from fastbp.reporting.phrases import evenly, labels, plain
from fastbp.schema.keys import KEYS
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import nearest, plural, refusal

# Text stays text in SVG files, dollar signs in names stay dollar signs, and ids depend on the
# content alone.
STYLE: Any = {
    "text.parse_math": False,
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fastbp",
    "axes.labelsize": 9,
    "axes.titley": 1.0,  # matplotlib need not look for ticks that a title might hit
}

INK = "#111111"
"""Colour of text on a coloured area. All other text is black, which a page changes in dark mode."""

WIDTH, PHONE = 9.6, 3.73
"""Width of a picture in inches, and of its copy for a phone: 358 pixels."""

NARROW = 5.5
"""Below this width in inches, names stand above their bars and legends have fewer columns."""

SIZE = 8.5
"""Size of the smallest texts in points: 11 pixels, so that a phone shows them legibly."""

HEADING = "heading"
"""Start of the ids of the texts above a picture, which a page leaves out: it has headings itself.
The first id ends with the height of all of them, in points."""

DPI = 200
"""Pixels per inch of a PNG file: twice what a screen usually has."""

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))

LINES: list[Any] = [
    {"color": colour, "linestyle": style}
    for style in _DASHES
    for colour in ("#0072B2", "black", "#9A6FB0", "#8A7A00")
]
"""Line styles of setups without an order; none of their colours is that of an outcome."""

_ORDERED = mpl.colormaps["viridis"]
"""Colours of ordered values; its ends, which a white or a dark page hides, are not used."""

THRESHOLD_LINE: Any = {"color": "black", "linewidth": 0.9, "linestyle": (0, (4, 2))}
"""Style of the line at the loss of the best constant answer."""

_Draw = TypeVar("_Draw", bound=Callable[..., Any])


def styled(draw: _Draw) -> _Draw:
    """Decorate a drawing function: it draws with `STYLE`, and `$` in texts starts no formula."""

    @wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with mpl.rc_context(STYLE):
            drawn = draw(*args, **kwargs)
        # Axes of the caller have texts that are older than the style.
        given = [each for each in (*args, *kwargs.values()) if isinstance(each, Axes)]
        texts: list[Any] = (
            drawn.findobj(match=lambda artist: isinstance(artist, Text)) if given else []
        )
        for text in texts:
            text.set_parse_math(False)
        return drawn

    return cast("_Draw", wrapper)


def inches(text: str, size: float) -> float:
    """Approximate width in inches of a text in DejaVu Sans of `size` points."""
    return 1.06 * sum(map(_advance, text)) * size / 72


@cache
def _advance(letter: str) -> float:
    """The width of a letter as a share of the font size; 1 if DejaVu Sans lacks the letter."""
    font = get_font(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    if not font.get_char_index(ord(letter)):
        return 1.0
    return font.load_char(ord(letter), LoadFlags.NO_SCALE).horiAdvance / font.units_per_EM


MAX_NAME = 2_000
"""Most letters of a name that are looked at."""


def clipped(text: str, wide: float, size: float, more: bool = False) -> str:
    """Cut a text to a width, with … at its end.

    Parameters
    ----------
    text : str
        The text. It is returned unchanged if it is narrow enough, unless `more`.
    wide : float
        Largest width in inches.
    size : float
        Font size in points.
    more : bool
        Whether more text would follow, so that … is needed in any case.
    """
    text, more = text[:MAX_NAME], more or len(text) > MAX_NAME  # a long one takes its time
    if inches(text, size) <= wide and not more:
        return text
    ends = np.cumsum([inches(letter, size) for letter in text])
    return text[: int(np.searchsorted(ends, wide - inches(" …", size)))].rstrip() + " …"


def wrapped(text: str, wide: float, size: float, lines: int = 3) -> str:
    """Break a text into lines: at spaces, or within words that are wider than a line.

    Parameters
    ----------
    text : str
        The text.
    wide : float
        Width of a line in inches.
    size : float
        Font size in points.
    lines : int
        Largest number of lines; the last one ends with … if there would be more.
    """
    rows: list[str] = []
    for word in text.split():
        longer = f"{rows[-1]} {word}" if rows else word
        if inches(longer, size) <= wide:
            rows[-1:] = [longer]
            continue
        rows.append("")
        for letter in word:
            if rows[-1] and inches(rows[-1] + letter, size) > wide:
                rows.append("")
            rows[-1] += letter
        if len(rows) > lines:
            break
    if len(rows) > lines:
        rows = [*rows[: lines - 1], clipped(rows[lines - 1], wide, size, more=True)]
    return "\n".join(rows)


def bare(ax: Axes) -> Axes:
    """Remove the spines above and on the right of axes, and set the size of tick labels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=9)
    ax.margins(x=0.01)
    return ax


def axis_label(key: str) -> str:
    """The spoken name of a key, such as `learning rate`."""
    return KEYS[key].spoken if key in KEYS else key.replace("_", " ")


def short(value: object) -> str:
    """Write a value of a key beside an axis: `0.2154`."""
    return f"{value:.4g}" if isinstance(value, float) else plain(value)


def known_keys(summary: pd.DataFrame, *keys: str) -> list[str]:
    """The keys that vary in a summary; a ValueError if these are not among them."""
    known = [*summary.columns]
    if "setup" in known:  # of networks of several layers, also their width and depth
        known = [*keys_of(summary), *(name for name in SHAPE if name in known)]
    for key in keys:
        if key not in known:
            hint = "; it does not vary" if key in [*KEYS] else nearest(key, [*known, *KEYS])
            raise ValueError(
                refusal(key, f"the keys that vary: {', '.join(known) or 'there are none'}") + hint
            )
    return known


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers: decades, and where they are few, between."""
    axis.set_major_locator(LogLocator(subs=(1,) if high > 300 * low else (1, 3)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())  # many ticks take their time


def told_apart(
    rows: pd.DataFrame, keys: Sequence[str], wide: float, names: Sequence[str] = ()
) -> tuple[list[str], str]:
    """Fit names into `wide` inches; if that would cut several, to only the values of their keys.

    Parameters
    ----------
    rows : DataFrame
        A row for each name.
    keys : sequence of str
        The columns that a name is made of.
    wide : float
        Largest width of a name.
    names : sequence of str
        The names, by default the keys and their values.

    Returns
    -------
    names : list of str
        Such as `hidden 3, order cyclic`, or `3, cyclic`.
    keys : str
        The keys if the names are only their values, else empty.
    """
    columns = [*keys, *["setup"] * bool(keys and rows[[*keys]].duplicated().any())]
    cells = [[short(value) for value in row] for row in rows[columns].to_numpy(object)]
    names = names or [", ".join(map(" ".join, zip(keys, row, strict=False))) for row in cells]
    if sum(inches(name, SIZE) > wide for name in names) < 2:
        return [clipped(name, wide, SIZE) for name in names], ""
    return [clipped(", ".join(row), wide, SIZE) for row in cells], ", ".join(columns)


def some_of(shown: int, total: int, what: str, keys: str = "") -> str:
    """The heading of names: `8 of 24 setups: hidden, order`; without what need not be said."""
    return ": ".join(filter(None, [f"{shown} of {plural(total, what)}" * (shown < total), keys]))


def curves(
    table: pd.DataFrame, baseline: str | None, wide: float, most: int | None = None
) -> tuple[list[tuple[str, pd.DataFrame, Any]], str]:
    """Split a table into the curves of its setups.

    Parameters
    ----------
    table : DataFrame
        Rows of several setups, with the keys that vary and `setup` as the first columns.
    baseline : str or None
        Id of a setup. If many keys vary, the other names show only what differs from it.
    wide : float
        Largest width of a name, in inches.
    most : int, optional
        Largest number of curves; if there are more setups, evenly spaced ones are drawn.

    Returns
    -------
    curves : list of (str, DataFrame, dict)
        Name, rows and line style of each setup.
    heading : str
        Heading of the names, if they need one.
    """
    setups, keys = dict(iter(table.groupby("setup", sort=False))), keys_of(table)
    first = table.drop_duplicates("setup")
    first = first.iloc[evenly(len(first), len(first) if most is None else most)]
    names, values = told_apart(first, keys, wide, labels(first, baseline))
    drawn = [
        (name, setups[setup], style)
        for name, setup, style in zip(names, first["setup"], line_styles(first, keys), strict=True)
    ]
    return drawn, some_of(len(first), len(setups), "setup", values)


def line_styles(rows: pd.DataFrame, keys: Sequence[str]) -> list[Any]:
    """Choose the line style of each row by its values of these keys.

    The numeric key with the most values has ordered colours, and the others dashes. If there are
    more combinations of the others than dashes, or no numeric key, the styles have no order.
    """
    numeric = [key for key in keys if is_numeric(rows[key]) and rows[key].nunique() > 1]
    key = max(numeric, key=lambda each: rows[each].nunique(), default=None)
    others = list(rows[[each for each in keys if each != key]].itertuples(False, None))
    kinds = dict(zip(dict.fromkeys(map(str, others)), _DASHES, strict=False))
    if key is None or len(kinds) < len(set(map(str, others))):
        return [style for _, style in zip(others, cycle(LINES), strict=False)]
    values = rows[key].astype(float)
    place = np.searchsorted(np.unique(values), values) / max(values.nunique() - 1, 1)
    return [
        {"color": colour, "linestyle": kinds[str(other)]}
        for colour, other in zip(map(to_hex, _ORDERED(0.2 + 0.6 * place)), others, strict=True)
    ]


def outcome_handles(outcomes: Iterable[Outcome]) -> list[Any]:
    """Make legend entries of outcomes: squares in their colours."""
    return [
        Line2D([], [], color=outcome.colour, label=outcome, marker="s", linestyle="")
        for outcome in outcomes
    ]


def encoded(figure: Figure, kind: str) -> bytes:
    """Encode a figure as a file: the same bytes for the same figure and library versions.

    Parameters
    ----------
    figure : Figure
        The figure.
    kind : str
        `svg`, `png` or `pdf`.
    """
    dated = {"svg": "Date", "png": "Software", "pdf": "CreationDate"}
    buffer = io.BytesIO()
    # Level 3 takes half the time of the usual one, for a tenth more bytes.
    fast: Any = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Names may be in any script. Browsers have letters for it; a PNG file without them cannot
        # be helped.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(
            buffer, format=kind, dpi=DPI, metadata={dated[kind]: None}, facecolor="white", **fast
        )
    return buffer.getvalue()
