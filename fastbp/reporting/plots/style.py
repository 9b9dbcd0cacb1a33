"""What all pictures share: colours, letters, sheets of panels, and the files they become."""

from __future__ import annotations

import io
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.text import Text

from fastbp.store import parquet

# Text stays text in SVG files, and dollar signs in names stay dollar signs; ids come from the
# content alone.
STYLE: Any = {
    "text.parse_math": False,
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fastbp",
}

INK = "#111111"
"""Text on a colour; all other text is black, which a page may turn."""

WIDTH = 9.6
"""Inches of a sheet."""

DPI = 150
"""Pixels of an inch of a PNG file."""

LINES: list[Any] = [
    {"color": colour, "linestyle": style}
    for style in ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
    for colour in ("#0072B2", "black", "#9A6FB0", "#8A7A00")
]
"""Of setups: none has the colour of an outcome."""


def inches(text: str, size: float) -> float:
    """The width of a text of so many points in DejaVu Sans, and in the fonts like it that a browser
    takes, near enough.
    """
    return 1.06 * sum(map(_advance, text)) * size / 72


@cache
def _advance(letter: str) -> float:
    """The width of a letter as a share of the size; what DejaVu Sans has not is taken as wide as
    the widest scripts.
    """
    font = _font()
    if not font.get_char_index(ord(letter)):
        return 1.0
    return font.load_char(ord(letter), LoadFlags.NO_SCALE).horiAdvance / font.units_per_EM


@cache
def _font() -> FT2Font:
    return FT2Font(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))


def clipped(text: str, wide: float, size: float, more: bool = False) -> str:
    """The beginning of a text of so many points, as much as there is room for in so many inches.
    `more`: there is more of it.
    """
    if inches(text, size) <= wide and not more:
        return text
    ends = np.cumsum([inches(letter, size) for letter in text])
    return text[: int(np.searchsorted(ends, wide - inches(" …", size)))].rstrip() + " …"


def wrapped(text: str, wide: float, size: float, lines: int = 3) -> str:
    """A text of so many points in lines of so many inches, and not in too many: broken at spaces,
    where it has any.
    """
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}" if rows[-1] else word
        if inches(longer, size) <= wide:
            rows[-1] = longer
            continue
        if rows[-1]:
            rows.append("")
        for letter in word:
            if rows[-1] and inches(rows[-1] + letter, size) > wide:
                rows.append("")
            rows[-1] += letter
            if len(rows) > lines:
                break
        if len(rows) > lines:
            break
    if len(rows) > lines:
        rows = [*rows[: lines - 1], clipped(rows[lines - 1], wide, size, more=True)]
    return "\n".join(rows)


def literal(ax: Axes) -> Axes:
    """Axes whose texts, also those that were there before, are taken as they stand: `$` is no
    formula.
    """
    for artist in ax.findobj(Text):
        artist.set_parse_math(False)
    return ax


def width_of(ax: Axes) -> float:
    """The inches that axes are wide."""
    return float(ax.get_window_extent().width / ax.get_figure(root=True).dpi)  # type: ignore[union-attr]


def alone(
    width: float,
    height: float,
    left: float = 0.75,
    right: float = 0.2,
    top: float = 0.6,
    bottom: float = 0.6,
) -> Axes:
    """Axes of a new figure, with these margins in inches."""
    figure = Figure(figsize=(width, height))
    return figure.add_axes(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - top - bottom) / height,
        )
    )


def sheet(
    panels: int,
    columns: int,
    high: float,
    *,
    left: float = 0.7,
    right: float = 0.15,
    top: float = 0.9,
    bottom: float = 0.6,
    gap: tuple[float, float],
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels, `high` inches each, with these margins around and `gap` inches
    beside and between them.

    Not by matplotlib's own layouts, whose last bits differ from one time to the next.
    """
    rows = -(-panels // columns)
    height = top + bottom + rows * high + (rows - 1) * gap[1]
    wide = (WIDTH - left - right - (columns - 1) * gap[0]) / columns
    figure = Figure(figsize=(WIDTH, height))
    places = [
        (left + i % columns * (wide + gap[0]), top + i // columns * (high + gap[1]))
        for i in range(panels)
    ]
    return figure, [
        figure.add_axes((x / WIDTH, 1 - (y + high) / height, wide / WIDTH, high / height))
        for x, y in places
    ]


def headed(figure: Figure, title: str) -> Figure:
    """A sheet with its title above."""
    height = figure.get_figheight()
    figure.text(
        0.1 / WIDTH,
        1 - 0.1 / height,
        wrapped(title, WIDTH - 0.2, 12),
        fontsize=12,
        va="top",
        ha="left",
    )
    for artist in figure.findobj(Text):
        artist.set_parse_math(False)
    return figure


def bare(ax: Axes) -> Axes:
    """Axes without what says nothing."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=9)
    ax.margins(x=0.01)
    return ax


def encoded(figure: Figure, kind: str, tight: bool = True) -> bytes:
    """A figure as a file in memory, `svg`, `png` or `pdf`: the same bytes for the same figure and
    library versions.

    `tight`: cut to what is drawn, which takes twice the time; else as large as the figure says.
    """
    metadata: dict[str, Any] = {
        "svg": {"Date": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None},
    }[kind]
    buffer = io.BytesIO()
    fast: Any = (
        {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
    )  # half the time, a tenth more bytes
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A file may be named in any script; browsers have letters for it, and nobody can do
        # anything about those of a PNG file.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(
            buffer,
            format=kind,
            dpi=DPI,
            metadata=metadata,
            bbox_inches="tight" if tight else None,
            facecolor="white",
            **fast,
        )
    return buffer.getvalue()


def save(figure: Figure, stem: str | Path) -> tuple[Path, Path]:
    """Write a figure as `STEM.svg` and `STEM.png`, each whole or not at all, in a folder that is
    made where it is missing.

    Returns the two paths. Raises OSError where they cannot be written.
    """
    written = [Path(f"{stem}.{kind}") for kind in ("svg", "png")]
    for path in written:
        parquet.write(path, encoded(figure, path.suffix[1:]))
    return written[0], written[1]
