"""What all pictures share: fonts, axes, legends, sheets of panels, and the files they become."""

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
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

from fastbp.reporting.phrases import labels
from fastbp.schema.outcomes import Outcome
from fastbp.store import safe_files

# Text stays text in SVG files, dollar signs in names stay dollar signs, and ids depend on the
# content alone.
STYLE: Any = {
    "text.parse_math": False,
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fastbp",
}

INK = "#111111"
"""Colour of text on a coloured area. All other text is black, which a page changes in dark mode."""

WIDTH = 9.6
"""Width of a sheet in inches."""

DPI = 150
"""Pixels per inch of a PNG file."""

LINES: list[Any] = [
    {"color": colour, "linestyle": style}
    for style in ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
    for colour in ("#0072B2", "black", "#9A6FB0", "#8A7A00")
]
"""Line styles of setups; none of their colours is that of an outcome."""

THRESHOLD_LINE: Any = {"color": "black", "linewidth": 0.9, "linestyle": (0, (4, 2))}
"""Style of the line at the loss of the best constant answer."""

_Draw = TypeVar("_Draw", bound=Callable[..., Any])


def styled(draw: _Draw) -> _Draw:
    """Decorate a drawing function: it draws with `STYLE`, and `$` in texts starts no formula."""

    @wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with mpl.rc_context(STYLE):
            drawn = draw(*args, **kwargs)
        first: Artist = drawn[0] if isinstance(drawn, tuple) else drawn
        for artist in first.findobj(Text):
            artist.set_parse_math(False)
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
        rows = [*rows[: lines - 1], clipped(rows[lines - 1], wide, size, more=True)]
    return "\n".join(rows)


def width_of(ax: Axes) -> float:
    """Width of axes in inches."""
    return float(ax.get_window_extent().width / ax.get_figure(root=True).dpi)  # type: ignore[union-attr]


def alone(
    width: float,
    height: float,
    left: float = 0.75,
    right: float = 0.2,
    top: float = 0.6,
    bottom: float = 0.6,
) -> Axes:
    """Make a new figure with one axes; the margins are in inches."""
    return Figure(figsize=(width, height)).add_axes(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - top - bottom) / height,
        )
    )


def sheet(
    panels: Sequence[int],
    columns: int,
    high: float,
    *,
    left: float = 0.7,
    right: float = 0.15,
    top: float = 0.9,
    bottom: float = 0.6,
    gap: tuple[float, float],
) -> tuple[Figure, list[Axes]]:
    """Make a figure of equal panels, as wide as a page.

    Parameters
    ----------
    panels : sequence of int
        The places of the panels, ascending, counted from 0 row by row.
    columns : int
        Number of panels in a row.
    high : float
        Height of a panel in inches.
    left, right, top, bottom : float
        Margins in inches.
    gap : tuple of float
        Inches between panels, across and down.

    Returns
    -------
    figure : Figure
    axes : list of Axes
        The panels, row by row.
    """
    # matplotlib's own layouts are not used: their last bits differ from one time to the next.
    rows = panels[-1] // columns + 1
    height = top + bottom + rows * high + (rows - 1) * gap[1]
    wide = (WIDTH - left - right - (columns - 1) * gap[0]) / columns
    figure = Figure(figsize=(WIDTH, height))
    places = [
        (left + i % columns * (wide + gap[0]), top + i // columns * (high + gap[1])) for i in panels
    ]
    return figure, [
        figure.add_axes((x / WIDTH, 1 - (y + high) / height, wide / WIDTH, high / height))
        for x, y in places
    ]


def headed(figure: Figure, title: str) -> Figure:
    """Write the title of a sheet at its top."""
    figure.text(
        0.1 / WIDTH,
        1 - 0.1 / figure.get_figheight(),
        wrapped(title, WIDTH - 0.2, 12),
        fontsize=12,
        va="top",
        ha="left",
    )
    return figure


def titled(ax: Axes, title: str, pad: float | None = None, size: float = 12) -> Axes:
    """Write the title of axes above their left edge, in lines that fit."""
    ax.set_title(wrapped(title, width_of(ax), size), loc="left", fontsize=size, pad=pad)
    return ax


def bare(ax: Axes) -> Axes:
    """Remove the spines above and on the right of axes, and set the size of tick labels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=9)
    ax.margins(x=0.01)
    return ax


def log_ticks(axis: Axis, subs: Sequence[int]) -> None:
    """Label a logarithmic axis with plain numbers: powers of ten times each of `subs`."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Label the y axis with a name for each row, from the top down."""
    ax.set_yticks(range(len(names)), names, fontsize=9, va="center_baseline")
    ax.set_ylim(max(len(names), 1) - 0.5, -0.5)


def interval_axes(ax: Axes | None, names: Sequence[str], height: float, top: float) -> Axes:
    """Prepare axes with a named row for each interval.

    Parameters
    ----------
    ax : Axes, optional
        The axes; by default those of a new figure.
    names : sequence of str
        Names of the rows, from the top down.
    height, top : float
        Height and top margin of the new figure, in inches.
    """
    if ax is None:
        left = max((inches(name, 9) for name in names), default=0.5) + 0.4
        ax = alone(max(WIDTH, left + 5), height, left=left, right=0.35, top=top, bottom=0.6)
    name_rows(ax, names)
    ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
    return bare(ax)


def curves(
    table: pd.DataFrame, baseline: str | None, wide: float
) -> list[tuple[str, pd.DataFrame, Any]]:
    """Split a table into the curves of its setups.

    Parameters
    ----------
    table : DataFrame
        Rows of several setups, with the keys that vary and `setup` as the first columns.
    baseline : str or None
        Id of a setup. If many keys vary, the other names show only what differs from it.
    wide : float
        Largest width of a name, in inches.

    Returns
    -------
    list of (str, DataFrame, dict)
        Name, rows and line style of each setup.
    """
    setups = [rows for _, rows in table.groupby("setup", sort=False)]
    names = labels(table.drop_duplicates("setup"), baseline) if setups else []
    return [
        (clipped(name, wide, 8.5), rows, style)
        for name, rows, style in zip(names, setups, cycle(LINES))
    ]


def legend(where: Axes | Figure, loc: Any, at: tuple[float, float], **style: Any) -> None:
    """Draw a legend without a frame, its corner `loc` at the point `at` of the axes or figure."""
    where.legend(loc=loc, bbox_to_anchor=at, frameon=False, **style)


def outcome_handles(outcomes: Iterable[Outcome]) -> list[Any]:
    """Make legend entries of outcomes: squares in their colours."""
    return [
        Line2D([], [], color=outcome.colour, label=outcome, marker="s", linestyle="")
        for outcome in outcomes
    ]


def encoded(figure: Figure, kind: str, tight: bool = True) -> bytes:
    """Encode a figure as a file: the same bytes for the same figure and library versions.

    Parameters
    ----------
    figure : Figure
        The figure.
    kind : str
        `svg`, `png` or `pdf`.
    tight : bool
        Whether to cut away empty margins, which takes twice the time.
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
            buffer,
            format=kind,
            dpi=DPI,
            metadata={dated[kind]: None},
            bbox_inches="tight" if tight else None,
            facecolor="white",
            **fast,
        )
    return buffer.getvalue()


def save(figure: Figure, stem: str | Path) -> tuple[Path, Path]:
    """Write a figure as `STEM.svg` and `STEM.png`, and make the folder if it is missing.

    Returns
    -------
    svg, png : Path
        The two files.

    Raises
    ------
    OSError
        If a file cannot be written. A file is written completely or not at all.
    """
    written = [Path(f"{stem}.{kind}") for kind in ("svg", "png")]
    for path in written:
        safe_files.write(path, encoded(figure, path.suffix[1:]))
    return written[0], written[1]
