"""The picture of a plane of two initial weights: when each run converges, or how it fails.

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
from matplotlib.colors import ListedColormap, LogNorm, to_rgb
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from fastbp.analysis.basins import Basin
from fastbp.reporting.plots.style import (
    DPI,
    alone,
    legend,
    log_ticks,
    styled,
    width_of,
    wrapped,
)
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import percent, plural

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
        image: NDArray[np.uint8] = _MAGMA(
            norm(np.ma.masked_array(map_.times, ~map_.converged)), bytes=True
        )
    for code, outcome in enumerate(OUTCOMES):
        if outcome != Outcome.CONVERGED:
            image[map_.codes == code] = (*_dark(outcome), 255)
    image[map_.codes < 0] = 0
    return image


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
