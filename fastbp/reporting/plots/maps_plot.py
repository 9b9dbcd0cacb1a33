"""Maps: of shares over two keys, and of the runs of a plane of two initial weights.

Notes
-----
J. F. Kolen & J. B. Pollack (1990), Backpropagation is sensitive to initial conditions, Complex
Systems 4:269-280.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from fastbp.analysis.basins import Basin
from fastbp.reporting.phrases import runs_in
from fastbp.reporting.plots.panels import (
    Heading,
    axes_for,
    height_of,
    legend,
    sheet,
    width_of,
)
from fastbp.reporting.plots.style import (
    DPI,
    INK,
    NARROW,
    SIZE,
    axis_label,
    inches,
    known_keys,
    log_ticks,
    short,
    styled,
    wrapped,
)
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import percent, plural, sort_key

FEW_VALUES = 3
"""If a key has at most this many values, a heatmap has no contour: it would cross the numbers in
the cells, which say more."""

GAP = "#c4c4c8"
"""Colour of a cell without a setup."""

_COLOUR = {"constant": Outcome.ONE_CLASS.colour, "constant_at_start": "#5B6C8C"}
"""Colours for shares that do not belong to a single outcome."""


@styled
def heatmap(
    summary: pd.DataFrame,
    x: str,
    y: str,
    ax: Axes | None = None,
    outcome: str = "converged",
    title: str | None = None,
    subtitle: str = "",
) -> Axes:
    """Draw the share of runs with an outcome over two keys, with a cell for each setup.

    A contour marks a share of one half. The values of the keys are sorted and evenly spaced.

    Parameters
    ----------
    summary : DataFrame
        One row for each pair of values of the keys.
    x, y : str
        The keys across and up.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    outcome : str
        An outcome, `constant` (at the end) or `constant_at_start` (before the first update).
    title, subtitle : str, optional
        Heading; given axes have only a title.

    Raises
    ------
    ValueError
        If a key does not vary, or two rows have the same values.
    """
    known_keys(summary, x, y)
    if summary[[x, y]].duplicated().any():
        raise ValueError(f"several setups have the same {x} and {y}")
    column = outcome.replace("-", "_") + "_share"
    table = summary.pivot(index=y, columns=x, values=column)
    rows, columns = (sorted(ends, key=lambda v: sort_key([v])) for ends in table.axes)
    shares = table.reindex(index=rows, columns=columns).to_numpy(float)
    many = shares.size > 100 or len(columns) > min(10, (width_of(ax) - (ax is None)) / 0.6)
    heading = title, subtitle, f"Share {outcome} of {runs_in(summary)}"
    ax = _map_axes(ax, rows, columns, 0.75 if many else 0.15, heading)
    mesh = _cells(ax, shares, outcome)
    if has_line(summary, x, y, column):
        ax.contour(np.ma.masked_invalid(shares), [0.5], colors=INK, linewidths=1.4)
    if _name_values(ax, columns, rows) < 0.55 or many:
        _scale(ax, mesh)
    else:
        _numbers(ax, shares, mesh)
    ax.set(xlabel=axis_label(x), ylabel=axis_label(y))
    return ax


def _map_axes(
    ax: Axes | None,
    rows: Sequence[object],
    columns: Sequence[object],
    right: float,
    heading: Heading,
) -> Axes:
    """Prepare axes for a map that fits a screen, with `right` inches beside it."""
    left = 0.5 + max(inches(short(value), SIZE) for value in rows)
    wide = min(width_of(None), left + right + max(0.7 * len(columns), 3.2))
    high = 0.7 + min(3.5, max(1.6, 0.45 * len(rows)))
    return axes_for(ax, high, heading, wide=wide, left=left, right=right, bottom=0.55)


def _cells(ax: Axes, shares: NDArray[np.float64], outcome: str) -> ScalarMappable:
    ramp = LinearSegmentedColormap.from_list(
        outcome, ["#f7f7f7", _COLOUR.get(outcome) or Outcome(outcome).colour]
    )
    if np.isnan(shares).any():
        ax.set_facecolor(GAP)
    return ax.imshow(
        shares, ramp, vmin=0, vmax=1, origin="lower", interpolation="none", aspect="auto"
    )


def _scale(ax: Axes, mesh: ScalarMappable) -> None:
    """Draw the scale of colours right of the cells."""
    wide = 0.1 / width_of(ax)
    scale = ax.figure.colorbar(mesh, cax=ax.inset_axes((1 + wide, 0, wide, 1)), ticks=[0, 0.5, 1])
    scale.ax.set_yticklabels(["0%", "50%", "100%"], fontsize=SIZE)
    scale.outline.set_visible(False)


def _numbers(ax: Axes, shares: NDArray[np.float64], mesh: ScalarMappable) -> None:
    """Write the share into each cell."""
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            ax.text(
                column,
                row,
                percent(share),
                # The box keeps the contour from crossing the number.
                bbox={"facecolor": mesh.cmap(share), "edgecolor": "none", "pad": 0.8},
                ha="center",
                va="center",
                fontsize=SIZE,
                color=INK,
            )


def _name_values(ax: Axes, columns: Sequence[object], rows: Sequence[object]) -> float:
    """Label both axes with the values of the keys, as many as fit; the width of a cell."""
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for axis, values in ((ax.xaxis, columns), (ax.yaxis, rows)):
        names = [short(value) for value in values]
        widest = max(inches(name, SIZE) for name in names) + 0.12
        most = max(1, int(width_of(ax) / widest if axis is ax.xaxis else height_of(ax) / 0.16))
        decades = _decades(values, most) if len(values) > min(10, most) else {}
        ticks = decades or dict(
            list(zip(names, range(len(names)), strict=True))[:: _every(names, most)]
        )
        axis.set_ticks([*ticks.values()], [*ticks], fontsize=SIZE)
    return width_of(ax) / len(columns)


def _decades(values: Sequence[Any], most: int) -> dict[str, float]:
    """Where up to `most` powers of ten lie among evenly spaced values.

    There are none if fewer than two lie among them.
    """
    if not all(isinstance(value, int | float) and value > 0 for value in values):
        return {}
    logs = np.log10(np.array(values, float))
    tens = np.arange(np.ceil(logs[0] - 1e-9), np.floor(logs[-1] + 1e-9) + 1)
    places = np.interp(tens, logs, np.arange(len(logs)))
    step = -(-len(tens) // most)
    ticks = dict(zip([f"{10.0**ten:g}" for ten in tens], places.tolist(), strict=True))
    return dict([*ticks.items()][::step]) if len(tens) > step else {}


def has_line(rows: pd.DataFrame, x: str, y: str, column: str = "converged_share") -> bool:
    """Whether a map of these shares has a contour."""
    return int(rows[[x, y]].nunique().min()) > FEW_VALUES and bool(
        rows[column].min() < 0.5 < rows[column].max()
    )


def _every(names: Sequence[str], most: int) -> int:
    """Find the step between labelled ticks, so that at most `most` ticks are labelled.

    Of the smallest such step and steps up to three times as large, the one with the shortest labels
    is taken.
    """
    least = -(-len(names) // most)
    if least < 2:
        return 1
    steps = [step for step in range(least, 3 * least + 1) if 3 * step <= len(names)] or [least]
    return min(steps, key=lambda step: (np.mean([len(name) for name in names[::step]]), step))


@styled
def heatmap_panels(
    x: str,
    y: str,
    panels: Sequence[tuple[str, pd.DataFrame, str]],
    title: str,
    subtitle: str = "",
) -> Figure:
    """Draw several heatmaps over the same two keys on a figure of their own.

    To place maps on another figure, call `heatmap` with each of its axes.

    Parameters
    ----------
    x, y : str
        The keys across and up.
    panels : sequence of (str, DataFrame, str)
        For each panel its name, its rows of a summary, and an outcome as `heatmap` takes it.
    title, subtitle : str
        Heading of the figure.
    """
    values, wide = max(rows[y].nunique() for _, rows, _ in panels), width_of(None)
    columns = min(len(panels), 1 if wide < NARROW else 3 if len(panels) % 3 == 0 else 2)
    high = min(3.2 if columns < 3 else 2.2, max(1.3, 0.34 * values))
    style: dict[str, Any] = {"left": 0.95, "top": 0.5, "right": 0.7, "gap": (1.2, 1.0)}
    figure, axes = sheet(len(panels), columns, high, (title, subtitle), **style)
    for i, (ax, (name, rows, outcome)) in enumerate(zip(axes, panels, strict=True)):
        heatmap(rows, x, y, ax, outcome)
        ax.set_title(wrapped(name, width_of(ax) + 0.6, SIZE, 2), loc="left", fontsize=SIZE)
        ax.set_ylabel(axis_label(y) if i % columns == 0 else "")
    return figure


# Planes of initial weights

MIN_PIXELS = 800
"""Smallest number of pixels along a side: in smaller grids each run is several pixels wide."""

_DARKENED = 0.36
"""Factor that darkens the colours of outcomes: bright colours are left to converged runs."""

_MAGMA = ListedColormap(mpl.colormaps["magma"](np.linspace(0.06, 1, 256)))
"""Matplotlib's colour map magma without its darkest colours."""


@styled
def basin(
    runs: pd.DataFrame | Basin,
    ax: Axes | None = None,
    names: Sequence[str] = (),
    title: str | None = None,
    most: int | None = None,
    limits: tuple[float, float] | None = None,
    subtitle: str = "",
) -> Axes:
    """Draw a plane of two initial weights: the updates to convergence of each run, or its outcome.

    Each run stands at the initial values of the two weights. A converged run has a colour of the
    map magma for the updates until it converged, on a log scale, the brighter the later. A run with
    another outcome has the darkened colour of that outcome. Without `most` and `ax`, each run is a
    whole number of pixels of a PNG file with 200 pixels an inch.

    Parameters
    ----------
    runs : DataFrame or Basin
        The runs of one setup whose `init` is a grid.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    names : sequence of str
        Names of the weights across and up.
    title, subtitle : str, optional
        Heading; given axes have only a title.
    most : int, optional
        Largest number of pixels along a side. If the grid has more points, each pixel has the mean
        colour of a square of runs.
    limits : tuple of float, optional
        Updates of the darkest and the brightest colour, so that several planes can share a scale;
        by default the smallest and the largest of this plane.
    """
    map_ = runs if isinstance(runs, Basin) else Basin.of(runs)
    low, high = limits or map_.limits or (1.0, 1.0)
    norm = LogNorm(low, max(high, 1.001 * low))
    count = plural(int(np.count_nonzero(map_.present)), "run")
    below, wide = width_of(ax) < NARROW and ax is None, width_of(ax)
    side = wide - 0.95 if below else 3.6 if most else _whole_pixels(map_.plane.side)
    right, bottom = (0.2, 1.35 + 0.19 * len(map_.shares)) if below else (2.1, 0.6)
    sizes = {"wide": side + 0.75 + right, "right": right, "bottom": bottom}
    heading = title, subtitle, f"How {count} end, by where they start"
    ax = axes_for(ax, side + 0.15 + bottom, heading, **sizes)
    _show(ax, map_, norm, -(-most // 2) if most and below else most)
    across, up = names or (f"initial value of parameter {number}" for number in map_.plane[1:3])
    ax.set_xlabel(across, fontsize=9)
    ax.set_ylabel(up, fontsize=9)
    ax.spines[:].set_visible(False)
    _legend(ax, map_, norm, below)
    return ax


def _whole_pixels(side: int) -> float:
    """The inches of a plane in a PNG file where each of `side` runs has the same whole pixels."""
    return side * -(-MIN_PIXELS // side) / DPI


def _show(ax: Axes, map_: Basin, norm: LogNorm, most: int | None) -> None:
    """Draw the plane as an image."""
    side, reach = map_.plane.side, map_.plane.reach
    image, cells = _reduced(_image(map_, norm), side if most is None else most)
    # Programs that show SVG files blur large pixels into each other.
    each = 1 if most is None else max(1, MIN_PIXELS // len(image))
    image = np.repeat(np.repeat(image, each, axis=0), each, axis=1)
    edge = reach * (2 * cells / side - 1)
    ax.imshow(
        image,
        extent=(-reach, edge, -reach, edge),
        origin="lower",
        interpolation="none",
        aspect="auto",
    )
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach))


def _image(map_: Basin, norm: LogNorm) -> NDArray[np.uint8]:
    """Colours of all runs: RGBA, [row, column, 4]; transparent where there is no run."""
    with np.errstate(invalid="ignore"):
        image = _MAGMA(norm(np.ma.masked_array(map_.times, ~map_.converged)), bytes=True)
    # Where there is no run the code is −1: the last colour, which is none.
    others = np.array([*((*_dark(each), 255) for each in OUTCOMES), (0, 0, 0, 0)], np.uint8)
    return np.where(map_.converged[..., None], image, others[map_.codes])


def _dark(outcome: Outcome) -> tuple[int, ...]:
    return tuple(round(255 * _DARKENED * part) for part in to_rgb(outcome.colour))


def _reduced(image: NDArray[np.uint8], most: int) -> tuple[NDArray[np.uint8], int]:
    """Reduce a square image to at most `most` pixels a side, each the mean of a square.

    Returns
    -------
    image : uint8 array, [row, column, 4]
        The reduced image, RGBA.
    covered : int
        Number of original pixels that a side covers, including repeated ones at the edge.
    """
    side = len(image)
    each = -(-side // most)
    if each == 1:
        return image, side
    more = -side % each
    padded = np.pad(image, ((0, more), (0, more), (0, 0)), mode="edge")
    squares = padded.reshape(len(padded) // each, each, len(padded) // each, each, 4)
    return np.round(squares.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8), side + more


def _legend(ax: Axes, map_: Basin, norm: LogNorm, below: bool) -> None:
    """Draw the scale of updates and the colours of the other outcomes, right of the picture."""
    shares, step = map_.shares, 0.2 / width_of(ax)
    if share := shares.pop(Outcome.CONVERGED, 0):
        text = f"converged {percent(share)},{' ' if below else chr(10)}updates until then:"
        at = (0.0, -2.9 * step) if below else (1 + step, 0.99)
        ax.text(*at, text, transform=ax.transAxes, fontsize=9, va="top")
        high = 0.53 - 0.36 / height_of(ax)  # below two lines of text
        place = (0, -4.5 * step, 1, 0.6 * step) if below else (1 + step, 0.42, step, high)
        scale = ax.figure.colorbar(
            ScalarMappable(norm, _MAGMA),
            cax=ax.inset_axes(place),
            orientation="horizontal" if below else "vertical",
        )
        axis = scale.ax.xaxis if below else scale.ax.yaxis
        log_ticks(axis, float(norm.vmin), float(norm.vmax))  # type: ignore[arg-type]
        axis.set_major_formatter("{x:,.0f}")
        scale.ax.tick_params(labelsize=SIZE, length=2)
        scale.outline.set_visible(False)
    handles = [
        Patch(facecolor="#" + bytes(_dark(each)).hex(), label=f"{each} {percent(shares[each])}")
        for each in STACKED
        if each in shares
    ]
    if handles:
        style: dict[str, Any] = {"handlelength": 1.1, "handleheight": 1.1, "alignment": "left"}
        corner = (0.0, -6.6 * step) if below else (1 + step, 0.34)
        style |= {"title": "did not converge", "title_fontsize": 9, "handles": handles}
        legend(ax, "upper left", corner, **style)
