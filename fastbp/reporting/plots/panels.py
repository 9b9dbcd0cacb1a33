"""Axes and sheets of panels at the width of a page or a phone, their rows of names and legends."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from fastbp.reporting.plots.style import (
    HEADING,
    NARROW,
    PHONE,
    SIZE,
    WIDTH,
    bare,
    inches,
    wrapped,
)

_page: ContextVar[tuple[float, Callable[[], str] | None]] = ContextVar(
    "page", default=(WIDTH, None)
)


@contextmanager
def new_figures(wide: float = WIDTH, finding: Callable[[], str] | None = None) -> Iterator[None]:
    """Within the `with` block, draw new figures so many inches wide, with a finding as their title.

    The title that they would have stands below it.
    """
    token = _page.set((wide, finding))
    try:
        yield
    finally:
        _page.reset(token)


def width_of(ax: Axes | None) -> float:
    """Width in inches: of axes, or of a new figure."""
    if ax is None:
        return _page.get()[0]
    return float(ax.get_window_extent().width / ax.get_figure(root=True).dpi)  # type: ignore[union-attr]


def height_of(ax: Axes) -> float:
    """Height of axes in inches."""
    return float(ax.get_window_extent().height / ax.get_figure(root=True).dpi)  # type: ignore[union-attr]


def room_for_names(ax: Axes | None) -> tuple[float, int | None]:
    """The inches that a name in a legend may take, and how many names fit into given axes."""
    return (
        (min(3.6, width_of(None) - 0.8), None)
        if ax is None
        else (0.55 * width_of(ax), max(2, int(height_of(ax) / 0.38) - 1))
    )


def new_figure(
    high: float, title: str, subtitle: str = "", wide: float | None = None
) -> tuple[Figure, float]:
    """Make a figure with a heading, which is left out at the width of a phone.

    Parameters
    ----------
    high : float
        Height of what stands below the heading, in inches.
    title, subtitle : str
        What the picture shows, in bold, and what was measured. Within `new_figures`, a finding is
        the title, and this title and subtitle stand below it.
    wide : float, optional
        Width in inches, by default that of the page.

    Returns
    -------
    figure : Figure
    height : float
        Height of the figure in inches, with the heading.
    """
    page, finding = _page.get()
    wide = wide or page
    if page <= PHONE:
        return Figure(figsize=(wide, high)), high
    if finding:
        title, subtitle = finding(), ": ".join(filter(None, (title, subtitle)))
    first = wrapped(title, (wide - 0.2) / 1.16, 12, 3)  # bold letters are wider
    second = wrapped(subtitle, wide - 0.2, 9.5, 2)
    top = 0.1 + 0.2 * (first.count("\n") + 1)
    heading = top + (0.09 + 0.16 * (second.count("\n") + 1)) * bool(second) + 0.06
    figure = Figure(figsize=(wide, high + heading))
    x, y, style = 0.1 / wide, high + heading, cast("Any", {"va": "top", "ha": "left"})
    gid = f"{HEADING}-{72 * heading:.1f}"
    figure.text(x, 1 - 0.1 / y, first, gid=gid, fontsize=12, fontweight="bold", **style)
    if second:
        figure.text(x, 1 - (top + 0.07) / y, second, gid=HEADING, fontsize=9.5, **style)
    return figure, y


BELOW, MAX_NAME_LINES = 0.24, 4
"""How far a bar stands below its name, in rows, and the most lines of a name."""

Heading = tuple[str | None, str, str]
"""A title and a subtitle as the caller gave them, and the title of a new figure without one."""


def axes_for(
    ax: Axes | None,
    high: float,
    heading: Heading,
    *,
    wide: float | None = None,
    left: float = 0.75,
    right: float = 0.2,
    top: float = 0.15,
    bottom: float = 0.6,
) -> Axes:
    """Prepare axes: given ones, with no more than their title, or those of a `new_figure`.

    All lengths are in inches; those of given axes do not change.
    """
    if ax is not None:
        titled(ax, heading[0], pad=72 * top)
        return ax
    figure, height = new_figure(high, heading[0] or heading[2], heading[1], wide)
    wide = figure.get_figwidth()
    sizes = (wide - left - right) / wide, (high - top - bottom) / height
    return figure.add_axes((left / wide, bottom / height, *sizes))


def sheet(
    count: int,
    columns: int,
    high: float,
    heading: tuple[str, str],
    gap: tuple[float, float],
    **margins: float,
) -> tuple[Figure, list[Axes]]:
    """Make a figure of equal panels, as wide as a page; all lengths are in inches.

    Parameters
    ----------
    count : int
        Number of panels.
    columns : int
        Number of panels in a row.
    high : float
        Height of a panel.
    heading : (str, str)
        Title and subtitle.
    gap : (float, float)
        Room between panels, across and down.
    **margins : float
        Other margins than the usual ones: left, right, top, bottom.

    Returns
    -------
    figure : Figure
    axes : list of Axes
        The panels, row by row.
    """
    # matplotlib's own layouts are not used: their last bits differ from one time to the next.
    left, right, top, bottom = (
        margins.get(name, usual)
        for name, usual in {"left": 0.7, "right": 0.15, "top": 0.4, "bottom": 0.6}.items()
    )
    rows = -(-count // columns)
    below = top + bottom + rows * high + (rows - 1) * gap[1]
    figure, height = new_figure(below, *heading)
    total = figure.get_figwidth()
    wide = (total - left - right - (columns - 1) * gap[0]) / columns
    places = [
        (left + i % columns * (wide + gap[0]), below - top - i // columns * (high + gap[1]) - high)
        for i in range(count)
    ]
    return figure, [
        figure.add_axes((x / total, y / height, wide / total, high / height)) for x, y in places
    ]


def titled(ax: Axes, title: str | None, size: float = 10, pad: float | None = None) -> None:
    """Write a title, if there is one, above the left edge of axes, in lines that fit."""
    if title:
        ax.set_title(wrapped(title, width_of(ax), size), loc="left", fontsize=size, pad=pad)


def name_margin(names: Sequence[str], ax: Axes | None) -> float:
    """Inches that names of rows take on their left; 0 where they must stand above them."""
    widest, wide = max((inches(name, 9) for name in names), default=0.5), width_of(ax)
    above = widest > (0.4 if wide > NARROW else 0.0 if ax is None else 0.5) * wide
    return 0.0 if above else 1.1 * widest + 0.2  # bold is wider


def named_rows(
    ax: Axes | None, names: Sequence[str], row: float, heading: Heading, **margins: Any
) -> tuple[Axes, NDArray[np.float64]]:
    """Prepare axes with a named row for each bar or interval.

    Names stand left of their rows; where they would take too much room, above them, in up to
    `MAX_NAME_LINES` lines.

    Parameters
    ----------
    ax : Axes, optional
        The axes; by default those of a new figure.
    names : sequence of str
        Names of the rows, from the top down.
    row : float
        Height of a row of a new figure in inches, at least.
    heading : Heading
        The title and subtitle.
    **margins : float
        Margins of a new figure in inches: right, top, bottom.

    Returns
    -------
    ax : Axes
    y : float64 array, [row]
        Where to draw: in the middle of each row, or `BELOW` a name. The unit is a row with a name
        of one line.
    """
    left, wide = name_margin(names, ax), width_of(ax)
    above, margins = not left, {"right": 0.25, "top": 0.4, "bottom": 0.5} | margins
    if above:  # bold letters are wider
        names = [wrapped(name, 0.93 * (wide - 0.3), SIZE, MAX_NAME_LINES) for name in names]
    more = 0.42 * np.array([name.count("\n") for name in names] or [0]) * above
    y: NDArray[np.float64] = np.arange(len(more), dtype=np.float64) + np.cumsum(more)
    high = (y[-1] + 1) * max(row, 0.32 * above) + margins["top"] + margins["bottom"]
    ax = axes_for(ax, high, heading, left=left or 0.12, **margins)
    if above:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    else:
        ax.set_yticks(range(len(names)), names, fontsize=9, va="center_baseline")
    ax.set_ylim(y[-1] + 0.5, -0.5)
    for place, name in zip(y, names if above else (), strict=False):
        # The transform keeps the names at the left edge, whatever the limits will be; a line of
        # the axes does not cross the white box.
        style: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "bottom"}
        style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        ax.text(0, place - 0.02, name, fontsize=SIZE, linespacing=1.28, **style)
    return bare(ax), y[: len(names)] + BELOW * above


def row_names(ax: Axes) -> list[Text]:
    """The texts of the names that `named_rows` wrote."""
    return ax.get_yticklabels() or [text for text in ax.texts if text.get_position()[0] == 0]


def columns_of(names: Iterable[str], wide: float, handle: float = 0.6) -> int:
    """How many columns of a legend fit into `wide` inches, at least one.

    Each has one of these names, and a handle that takes so many inches with the gaps around it.
    """
    widths = [inches(name, SIZE) + handle for name in names]
    for columns in range(len(widths), 1, -1):
        if sum(max(part) for part in np.array_split(widths, columns)) <= wide:
            return columns
    return 1


def legend(
    where: Axes, loc: str, at: tuple[float, float], below: float = 0.0, **style: Any
) -> None:
    """Draw a legend without a frame.

    Parameters
    ----------
    where : Axes
        The axes.
    loc : str
        The corner of the legend that is placed.
    at : (float, float)
        Where it is placed, as shares of the axes.
    below : float
        Inches below `at`, which stay the same if a layout moves the axes.
    **style
        More arguments for matplotlib.
    """
    shift = ScaledTranslation(0, -below, where.get_figure(root=True).dpi_scale_trans)  # type: ignore[union-attr]
    usual: Any = {
        "loc": loc,
        "bbox_to_anchor": at,
        "bbox_transform": where.transAxes + shift,
        "fontsize": SIZE,
        "borderaxespad": 0,
        "borderpad": 0,
        "frameon": False,
    }
    where.legend(**usual | style)


def with_legend_below(
    ax: Axes | None,
    names: Sequence[str],
    high: float,
    heading: Heading,
    loc: str = "best",
    title: str = "",
) -> tuple[Axes, Callable[[], Axes]]:
    """Prepare axes for curves with a legend: below those of a new figure, within given ones.

    Parameters
    ----------
    ax : Axes, optional
        The axes; by default those of a new figure.
    names : sequence of str
        Names of the curves.
    high : float
        Height of a new figure in inches, without the legend.
    heading : Heading
        The title and subtitle.
    loc : str
        The place of the legend within given axes.
    title : str
        Heading of the legend.

    Returns
    -------
    ax : Axes
    finish : callable
        Draws the legend, when all curves have their labels, and returns the axes.
    """
    given, wide = ax is not None, width_of(ax)
    columns = columns_of(names, wide - 0.3, 0.5)
    title = wrapped(title, 0.55 * wide if given else wide - 0.4, SIZE, 3)
    below = 0.184 * (-(-len(names) // columns) + len(title.splitlines()))
    named: Any = {"title": title, "title_fontsize": SIZE, "alignment": "left"}
    ax = axes_for(
        ax, high + below, heading, left=0.75 if wide > NARROW else 0.6, bottom=0.6 + below
    )

    def finish() -> Axes:
        if names and given:
            ax.legend(
                fontsize=8,
                framealpha=0.75,
                edgecolor="none",
                handlelength=2,
                **(named | {"loc": loc}),
            )
        elif names:
            at = (-0.45 / width_of(ax) * (wide < NARROW), 0)  # a phone has no room to indent
            style = named | {"ncols": columns}
            legend(ax, "upper left", at, 0.52, handlelength=2.4, columnspacing=1, **style)
        return bare(ax)

    return ax, finish
