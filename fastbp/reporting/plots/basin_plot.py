"""Runs on a grid of two initial weights: how soon each converges, or how it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm, to_rgb
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from fastbp.analysis.basins import Basin
from fastbp.reporting.plots.style import DPI, STYLE, alone, literal, width_of, wrapped
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import percent, plural

MIN_PIXELS = 800
"""Pixels of a side of the picture, at least: smaller grids get several for each run."""

_NIGHT = 0.36
"""Of the light of an outcome's colour, what is left here: all light belongs to the runs that
converge."""


def basin(
    runs: pd.DataFrame | Basin,
    ax: Axes | None = None,
    names: Sequence[str] = (),
    title: str | None = None,
    most: int | None = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draw the plane of two initial weights: the updates to convergence of each run, or how it
    ended instead.

    Parameters: `runs`, tidy runs of one setup whose `init` is a grid, or a `Basin`; `names` of the
    two weights; `title`, instead of one that says how many runs are seen; `most`, pixels of a side
    that the picture may hold: where the grid has more, each is the mean colour of several runs;
    `limits`, updates of the first colour and of the last (none: the plane's own), which planes that
    are compared share. Without `most`, and without `ax`, each run is a whole number of pixels of a
    PNG file. The colours of updates are magma's, whose lightness rises evenly, on a log scale;
    those of outcomes are theirs, darkened.

    Sources: J. F. Kolen & J. B. Pollack (1990), Backpropagation is sensitive to initial conditions,
    Complex Systems 4:269-280.
    """
    map_ = runs if isinstance(runs, Basin) else Basin.of(runs)
    side, reach = map_.plane.side, map_.plane.reach
    colours = ListedColormap(mpl.colormaps["magma"](np.linspace(0.06, 1, 256)))
    low, high = limits or map_.limits or (1.0, 1.0)
    high = max(high, 1.001 * low)
    norm, subs = LogNorm(low, high), (1,) if high > 300 * low else (1, 2, 5)
    image, cells = _reduced(_image(map_, norm, colours), side if most is None else most)
    if (
        most is not None
    ):  # or whatever shows the SVG file blurs one of few large pixels into the next
        image = np.repeat(
            np.repeat(image, each := max(1, MIN_PIXELS // len(image)), axis=0), each, axis=1
        )
    with mpl.rc_context(STYLE):
        if ax is None:
            high = side * -(-MIN_PIXELS // side) / DPI
            ax = alone(high + 2.8, high + 1.2, left=0.8, right=2.0, top=0.6, bottom=0.6)
        edge = reach * (2 * cells / side - 1)
        ax.imshow(
            image,
            origin="lower",
            interpolation="none",
            extent=(-reach, edge, -reach, edge),
            aspect="auto",
        )
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        across, up = names or (f"initial value of parameter {number}" for number in map_.plane[1:3])
        ax.set_xlabel(across, fontsize=9)
        ax.set_ylabel(up, fontsize=9)
        ax.tick_params(labelsize=9)
        ax.spines[:].set_visible(False)
        _legend(ax, map_, norm, colours, subs)
        if title is None:
            title = (
                f"How {plural(int(np.count_nonzero(map_.present)), 'run')} end, by where they start"
            )
        ax.set_title(wrapped(title, width_of(ax) + 1.8, 12), loc="left", fontsize=12)
        return literal(ax)


def _image(map_: Basin, norm: LogNorm, colours: Colormap) -> NDArray[np.uint8]:
    """RGBA, [row, column, 4]; nothing where there is no run."""
    with np.errstate(invalid="ignore"):
        image: NDArray[np.uint8] = colours(
            norm(np.ma.masked_array(map_.times, ~map_.converged)), bytes=True
        )
    for code, outcome in enumerate(OUTCOMES):
        if outcome != Outcome.CONVERGED:
            image[map_.codes == code] = (*_dark(outcome), 255)
    image[map_.codes < 0] = 0
    return image


def _dark(outcome: Outcome) -> tuple[int, ...]:
    return tuple(round(255 * _NIGHT * part) for part in to_rgb(outcome.colour))


def _reduced(image: NDArray[np.uint8], most: int) -> tuple[NDArray[np.uint8], int]:
    """An image of at most so many pixels a side, each the mean of a square of pixels, and how many
    of those it covers.
    """
    side = len(image)
    each = -(-side // most)
    if each == 1:
        return image, side
    more = -side % each
    whole = np.pad(image, ((0, more), (0, more), (0, 0)), mode="edge")
    squares = whole.reshape(len(whole) // each, each, len(whole) // each, each, 4)
    return np.round(squares.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8), side + more


def _legend(ax: Axes, map_: Basin, norm: LogNorm, colours: Colormap, subs: tuple[int, ...]) -> None:
    """Beside the picture: the scale of updates and, below it, what the other runs are."""
    shares, step = map_.shares, 0.2 / width_of(ax)
    if share := shares.pop(Outcome.CONVERGED, 0):
        told = f"converged {percent(share)}\nafter so many updates"
        ax.text(1 + step, 0.99, told, transform=ax.transAxes, fontsize=9, va="top")
        scale = ax.figure.colorbar(
            ScalarMappable(norm, colours), cax=ax.inset_axes((1 + step, 0.42, step, 0.5))
        )
        scale.ax.yaxis.set_major_locator(LogLocator(subs=subs))
        scale.ax.yaxis.set_minor_locator(NullLocator())
        scale.ax.yaxis.set_major_formatter(
            StrMethodFormatter("{x:,.0f}")
        )  # the usual ones write formulas
        scale.ax.tick_params(labelsize=8.5, length=2)
        scale.outline.set_visible(False)
    handles = [
        Patch(
            facecolor="#" + bytes(_dark(outcome)).hex(),
            label=f"{outcome} {percent(shares[outcome])}",
        )
        for outcome in STACKED
        if outcome in shares
    ]
    if handles:
        bare: Any = {
            "frameon": False,
            "borderpad": 0,
            "borderaxespad": 0,
            "handlelength": 1.1,
            "handleheight": 1.1,
        }
        place: Any = {"loc": "upper left", "bbox_to_anchor": (1 + step, 0.36), "alignment": "left"}
        ax.legend(
            handles=handles, title="did not converge", fontsize=9, title_fontsize=9, **bare, **place
        )
