"""The picture of the loss of runs over the spread of their outputs.

The spread is the largest output minus the smallest over all rows, as a share of the target range.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fastbp.analysis.histograms import PER_DECADE, PER_SPREAD
from fastbp.reporting.plots.panels import (
    axes_for,
    columns_of,
    legend,
    sheet,
    width_of,
)
from fastbp.reporting.plots.style import (
    NARROW,
    SIZE,
    THRESHOLD_LINE,
    bare,
    log_ticks,
    outcome_handles,
    styled,
    wrapped,
)
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import plural

MAX_POINTS = 2_000
"""Up to this many runs are drawn as dots, more as a density."""

MAX_SPREAD, MIN_LOSS, MAX_LOSS = 10.0, 1e-30, 1e30
"""Finite values outside are drawn here: others than fastbp may write any number."""

_MARKERS = {
    Outcome.CONVERGED: "o",
    Outcome.PARTIAL: "s",
    Outcome.ONE_CLASS: "^",
    Outcome.COLLAPSED: "v",
    Outcome.DIVERGED: "X",
}

_COLLAPSE_LINE: Any = {"color": Outcome.COLLAPSED.colour, "linewidth": 0.9}


@styled
def spread_loss(
    points: pd.DataFrame,
    ax: Axes | None = None,
    constant_loss: float | None = None,
    collapse: float | None = None,
    title: str | None = None,
    subtitle: str = "",
) -> Axes:
    """Draw the loss of runs over the spread of their outputs, coloured by outcome.

    Up to 2,000 runs are dots. More runs are counted in cells: a cell has the colour of its most
    frequent outcome, the stronger the more runs it has, on a log scale. Runs without a finite loss
    are left out; larger spreads than 10 are drawn there, and losses from 10⁻³⁰ to 10³⁰.

    Parameters
    ----------
    points : DataFrame
        One row per run with the columns outcome, spread and loss; or a result of `density`, whose
        column `runs` has the number of runs in each cell.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    constant_loss, collapse : float, optional
        Loss of the best constant answer, and the threshold of collapse; both are marked by lines.
    title, subtitle : str, optional
        Heading; given axes have only a title.
    """
    if "seed" in points:  # rows of runs, which may have a column of that name from a newer release
        points = points.drop(columns="runs", errors="ignore")
    total = int(points["runs"].sum()) if "runs" in points else len(points)
    heading = title, subtitle, f"Spread and loss of {plural(total, 'run')}"
    ax = axes_for(ax, 3.8, heading, wide=min(5.2, width_of(None)))
    points = _points(ax, points, constant_loss, collapse)
    _scale(ax, points, constant_loss)
    ax.set_xlabel("spread of outputs (share of target range)", fontsize=9)
    ax.set_ylabel("loss", fontsize=9)
    ax.legend(
        loc="lower left",
        handles=outcome_handles(each for each in STACKED if (points["outcome"] == each).any()),
        fontsize=SIZE,
        framealpha=0.75,
        edgecolor="none",
        handlelength=1,
    )
    return bare(ax)


def _points(
    ax: Axes, points: pd.DataFrame, constant_loss: float | None, collapse: float | None
) -> pd.DataFrame:
    """Draw runs with a finite loss, and the lines of thresholds; those runs."""
    points = points[np.isfinite(points[["loss", "spread"]].to_numpy(float)).all(axis=1)].assign(
        loss=lambda finite: finite["loss"].astype(float).clip(upper=MAX_LOSS),
        spread=lambda finite: finite["spread"].astype(float).clip(0, MAX_SPREAD),
    )
    ax.set_yscale("log")
    ax.autoscale(False)  # the caller sets the limits; those of Matplotlib may overflow
    if ("runs" in points and len(points)) or len(points) > MAX_POINTS:
        _cells(points, ax)
    else:
        _dots(points, ax)
    if constant_loss:
        ax.axhline(constant_loss, **THRESHOLD_LINE, zorder=0)
    if collapse is not None:
        ax.axvline(collapse, **_COLLAPSE_LINE, zorder=0)
    return points


def _scale(ax: Axes, points: pd.DataFrame, constant_loss: float | None) -> None:
    """Make room on both axes for these points and, if given, the constant loss."""
    low, high, losses = 1e-3, 1.0, points["loss"][points["loss"] > 0].astype(float)
    if len(losses):
        losses = losses.clip(MIN_LOSS, MAX_LOSS)
        low, high = losses.min() / 1.3, 1.3 * max(losses.max(), constant_loss or 0.0)
    ax.set(xlim=(0, points["spread"].to_numpy(float).max(initial=1.02)), ylim=(low, high))
    log_ticks(ax.yaxis, low, high)


def _dots(points: pd.DataFrame, ax: Axes) -> None:
    for outcome in STACKED:
        some = points[points["outcome"] == outcome]
        if len(some):
            ax.scatter(
                some["spread"],
                some["loss"],
                14,
                outcome.colour,
                marker=_MARKERS[outcome],
                alpha=0.7,
                linewidths=0,
                label=outcome,
            )


def _cells(points: pd.DataFrame, ax: Axes) -> None:
    """Draw cells in the colour of their most frequent outcome, transparent without runs."""
    across = np.floor(points["spread"].to_numpy(float) * PER_SPREAD).astype(int)
    loss = np.maximum(points["loss"].to_numpy(float), MIN_LOSS)
    up = np.floor(np.log10(loss) * PER_DECADE).astype(int)
    weight = points["runs"].to_numpy() if "runs" in points else 1
    base, wide, high = up.min(), across.max() + 1, up.max() - up.min() + 1
    counts = np.zeros((len(OUTCOMES), high, wide))
    np.add.at(counts, (points["outcome"].map(OUTCOMES.index), up - base, across), weight)
    total = counts.sum(axis=0)
    colours = np.array([to_rgb(outcome.colour) for outcome in OUTCOMES])
    strength = np.where(total > 0, 0.25 + 0.75 * np.log1p(total) / np.log1p(total.max()), 0)
    ax.imshow(
        np.dstack([colours[counts.argmax(axis=0)], strength]),
        extent=(0, wide / PER_SPREAD, base / PER_DECADE, (base + high) / PER_DECADE),
        transform=ax.transLimits + ax.transAxes,  # behind the logarithm: a cell is a pixel
        origin="lower",
        interpolation="none",
        aspect="auto",
    )


@styled
def spread_loss_panels(
    density: pd.DataFrame,
    names: Mapping[str, str],
    constants: Mapping[str, float],
    collapses: Mapping[str, float],
    title: str,
    subtitle: str = "",
) -> Figure:
    """Draw a panel of spread and loss for each setup, all with the same limits.

    The panels share their axes on a figure of their own; `spread_loss` draws on given axes.

    Parameters
    ----------
    density : DataFrame
        A result of `density`.
    names : mapping
        Name of each setup, by its id.
    constants, collapses : mapping
        Loss of the best constant answer, and threshold of collapse, by setup, where known.
    title, subtitle : str
        Heading of the sheet.
    """
    wide = width_of(None)
    columns = min(2 if wide < NARROW else 4 if len(names) > 6 else 3, len(names))
    handles = outcome_handles(each for each in STACKED if (density["outcome"] == each).any())
    handles += [
        *[Line2D([], [], **THRESHOLD_LINE, label="best constant answer")] * bool(constants),
        Line2D([], [], **_COLLAPSE_LINE, label="collapse threshold"),
    ]
    across = columns_of([str(handle.get_label()) for handle in handles], wide - 0.3)
    top = 0.5 + 0.2 * -(-len(handles) // across)
    figure, axes = sheet(
        len(names),
        columns,
        2.3 if columns == 3 else 1.6,
        (title, subtitle),
        gap=(0.15, 0.6),
        left=0.9,
        top=top,
    )
    most = max(constants.values(), default=0.0)
    for i, (ax, (setup, name)) in enumerate(zip(axes, names.items(), strict=True)):
        _points(ax, density[density["setup"] == setup], constants.get(setup), collapses.get(setup))
        _scale(ax, density, most)
        ax.set_title(wrapped(name, width_of(ax) + 0.1, SIZE, 2), loc="left", fontsize=SIZE)
        _label(ax, i % columns == 0, i + columns >= len(names))
    legend(axes[0], "upper left", (0, 1), 0.1 - top, ncols=across, handles=handles, columnspacing=1)
    return figure


def _label(ax: Axes, left: bool, bottom: bool) -> None:
    """Label the axes of a panel that stands on the left or at the bottom of a sheet."""
    bare(ax).tick_params(labelsize=SIZE)
    ax.xaxis.set_visible(bottom)
    ax.yaxis.set_visible(left)
    ax.set_xticks([0, 0.5, 1] * bottom, ["0", "½", "1"] * bottom)
    ax.set_ylabel("loss", fontsize=9)
    ax.set_xlabel("spread of outputs", fontsize=SIZE)
