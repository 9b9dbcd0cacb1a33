"""Maps: of shares over two keys, and of the runs of a plane of two initial weights.

Notes
-----
J. F. Kolen & J. B. Pollack (1990), Backpropagation is sensitive to initial conditions, Complex
Systems 4:269-280.
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from fastbp.analysis.basins import Basin
from fastbp.reporting.phrases import plain, runs_in
from fastbp.reporting.plots.style import (
    DPI,
    INK,
    WIDTH,
    alone,
    headed,
    inches,
    legend,
    log_ticks,
    sheet,
    styled,
    titled,
    width_of,
    wrapped,
)
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import percent, plural, sort_key

FEW_VALUES = 3
"""If a key has at most this many values, a heatmap has no contour: it would cross the numbers in
the cells, which say more."""

LINE = "; black line: 50%"
"""The end of the title of a heatmap with a contour."""

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
    title : str, optional
        By default it has the number of runs.

    Raises
    ------
    ValueError
        If two rows have the same values.
    """
    if summary[[x, y]].duplicated().any():
        raise ValueError(f"several setups have the same {x} and {y}")
    column = outcome.replace("-", "_") + "_share"
    table = summary.pivot(index=y, columns=x, values=column)
    rows = sorted(table.index, key=lambda value: sort_key([value]))
    columns = sorted(table.columns, key=lambda value: sort_key([value]))
    shares = table.reindex(index=rows, columns=columns).to_numpy(float)
    ax = ax or alone(1.6 + 0.75 * max(len(columns), 4), 1.6 + 0.5 * max(len(rows), 4), left=1.0)
    mesh = _cells(ax, shares, outcome)
    if line := _has_line(summary, x, y, column):
        ax.contour(np.ma.masked_invalid(shares), [0.5], colors=INK, linewidths=1.4)
    if shares.size > 100 or len(columns) > 10:
        _scale(ax, mesh)
    else:
        _numbers(ax, shares, mesh)
    _name_values(ax, columns, rows)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    text = f"Share {outcome} of {runs_in(summary)}{LINE * line}" if title is None else title
    return titled(ax, text, size=10)


def _cells(ax: Axes, shares: NDArray[np.float64], outcome: str) -> QuadMesh:
    ramp = LinearSegmentedColormap.from_list(
        outcome, ["#f7f7f7", _COLOUR.get(outcome) or Outcome(outcome).colour]
    )
    if np.isnan(shares).any():
        ax.set_facecolor(GAP)
    y, x = (np.arange(size + 1) - 0.5 for size in shares.shape)
    return ax.pcolormesh(x, y, shares, cmap=ramp, vmin=0, vmax=1, rasterized=shares.size > 400)


def _scale(ax: Axes, mesh: QuadMesh) -> None:
    """Draw the scale of colours right of the cells."""
    scale = ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0, 0.035, 1)), ticks=[0, 0.5, 1])
    scale.ax.set_yticklabels(["0%", "50%", "100%"], fontsize=7.5)
    scale.outline.set_visible(False)


def _numbers(ax: Axes, shares: NDArray[np.float64], mesh: QuadMesh) -> None:
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
                fontsize=7.5,
                color=INK,
            )


def _name_values(ax: Axes, columns: Sequence[object], rows: Sequence[object]) -> None:
    """Label both axes with the values of the keys, as many as fit."""
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for axis, values in ((ax.xaxis, columns), (ax.yaxis, rows)):
        names = [f"{v:.4g}" if isinstance(v, float) else plain(v) for v in values]
        wide = max(inches(name, 8) for name in names) + 0.12
        room = min(12.0, width_of(ax) / wide) if axis is ax.xaxis else 12.0
        every = _every(names, max(1, int(room)))
        axis.set_ticks(np.arange(len(values))[::every], names[::every], fontsize=8)


def _has_line(rows: pd.DataFrame, x: str, y: str, column: str) -> bool:
    """Whether a map of these shares has a contour."""
    many = int(rows[[x, y]].nunique().min()) > FEW_VALUES
    return many and bool(rows[column].min() < 0.5 < rows[column].max())


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
    x: str, y: str, panels: Sequence[tuple[str, pd.DataFrame]], title: str
) -> Figure:
    """Draw heatmaps over two keys: the share converged and, below it, the share constant.

    There is a column for each setting, which is a combination of values of the other keys. A single
    setting has more panels: the share collapsed and, if the rows have `constant_at_start_share`,
    the share that was constant before the first update.

    Parameters
    ----------
    x, y : str
        The keys across and up.
    panels : sequence of (str, DataFrame)
        The name of each setting and its rows of a summary.
    title : str
        Title of the sheet.
    """
    drawn = [
        (outcome, f"{outcome}: {name}", rows)
        for outcome in ("converged", "constant")
        for name, rows in panels
    ]
    if len(panels) == 1:
        rows = panels[0][1]
        names = {
            "converged": "converged",
            "constant": "constant: collapsed or one-class",
            "collapsed": "collapsed",
            "constant_at_start": "as constant before the first update",
        }
        drawn = [(o, name, rows) for o, name in names.items() if f"{o}_share" in rows]
    columns = max(len(panels), 2)
    title += LINE * any(_has_line(rows, x, y, f"{outcome}_share") for outcome, _, rows in drawn)
    high = min(3.2, max(1.3, 0.34 * max(rows[y].nunique() for _, rows in panels)))
    top = 0.8 + 0.2 * wrapped(title, WIDTH - 0.2, 12).count("\n")
    figure, axes = sheet(
        range(len(drawn)), columns, high, left=0.95, top=top, right=0.7, gap=(0.95, 0.75)
    )
    for i, (ax, (outcome, name, rows)) in enumerate(zip(axes, drawn, strict=True)):
        heatmap(rows, x, y, ax, outcome, "")
        ax.set_title(wrapped(name, width_of(ax), 8.5, 2), loc="left", fontsize=8.5)
        ax.set_ylabel(y if i % columns == 0 else "")
    return headed(figure, title)


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
) -> Axes:
    """Draw a plane of two initial weights: the updates to convergence of each run, or its outcome.

    Each run stands at the initial values of the two weights. A converged run has a colour of the
    map magma for the updates until it converged, on a log scale, the brighter the later. A run with
    another outcome has the darkened colour of that outcome. Without `most` and `ax`, each run is a
    whole number of pixels of a PNG file.

    Parameters
    ----------
    runs : DataFrame or Basin
        The runs of one setup whose `init` is a grid.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    names : sequence of str
        Names of the weights across and up.
    title : str, optional
        Instead of one with the number of runs.
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
    if ax is None:
        side = map_.plane.side * -(-MIN_PIXELS // map_.plane.side) / DPI
        ax = alone(side + 2.8, side + 1.2, left=0.8, right=2.0, top=0.6, bottom=0.6)
    _show(ax, map_, norm, most)
    across, up = names or (f"initial value of parameter {number}" for number in map_.plane[1:3])
    ax.set_xlabel(across, fontsize=9)
    ax.set_ylabel(up, fontsize=9)
    ax.tick_params(labelsize=9)
    ax.spines[:].set_visible(False)
    _legend(ax, map_, norm)
    count = plural(int(np.count_nonzero(map_.present)), "run")
    text = f"How {count} end, by where they start" if title is None else title
    ax.set_title(wrapped(text, width_of(ax) + 1.8, 12), loc="left", fontsize=12)
    return ax


def _show(ax: Axes, map_: Basin, norm: LogNorm, most: int | None) -> None:
    """Draw the plane as an image."""
    side, reach = map_.plane.side, map_.plane.reach
    image, cells = _reduced(_image(map_, norm), side if most is None else most)
    if most is not None:
        # Programs that show SVG files blur large pixels into each other.
        each = max(1, MIN_PIXELS // len(image))
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


def _legend(ax: Axes, map_: Basin, norm: LogNorm) -> None:
    """Draw, right of the picture, the scale of updates and the colours of the other outcomes."""
    shares, step = map_.shares, 0.2 / width_of(ax)
    if share := shares.pop(Outcome.CONVERGED, 0):
        ax.text(
            1 + step,
            0.99,
            f"converged {percent(share)}\nupdates until then:",
            transform=ax.transAxes,
            fontsize=9,
            va="top",
        )
        scale = ax.figure.colorbar(
            ScalarMappable(norm, _MAGMA), cax=ax.inset_axes((1 + step, 0.42, step, 0.5))
        )
        wide = float(norm.vmax) > 300 * float(norm.vmin)  # type: ignore[arg-type]
        log_ticks(scale.ax.yaxis, (1,) if wide else (1, 2, 5))
        scale.ax.yaxis.set_minor_locator(NullLocator())
        scale.ax.yaxis.set_major_formatter("{x:,.0f}")
        scale.ax.tick_params(labelsize=8.5, length=2)
        scale.outline.set_visible(False)
    handles = [
        Patch(facecolor="#" + bytes(_dark(each)).hex(), label=f"{each} {percent(shares[each])}")
        for each in STACKED
        if each in shares
    ]
    if handles:
        legend(
            ax,
            "upper left",
            (1 + step, 0.36),
            handles=handles,
            title="did not converge",
            alignment="left",
            fontsize=9,
            title_fontsize=9,
            handlelength=1.1,
            handleheight=1.1,
            borderpad=0,
            borderaxespad=0,
        )
