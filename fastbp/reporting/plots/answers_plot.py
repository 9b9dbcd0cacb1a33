"""Pictures of the outputs of networks at the end of their runs, beside their targets."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from fastbp.reporting.phrases import evenly
from fastbp.reporting.plots.style import headed, sheet, styled
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural

Box = tuple[float, float, float, float]
"""(left, top, width, height) in points, from the upper left corner of the figure."""

_COLUMNS = 5
"""Number of networks in a row of `answers_sheet`."""


@styled
def answers(
    outputs: NDArray[np.floating[Any]],
    T: NDArray[np.float64] | None,
    ax: Axes,
    outcome: str,
    title: str | None = None,
    ends: tuple[float, float] = (0.0, 1.0),
) -> Axes:
    """Draw the outputs of a network: a dot for each output of each row, and a line at its target.

    Parameters
    ----------
    outputs : float array, [row × output]
        All outputs of the network, row by row of the problem.
    T : float64 array, [row, output], optional
        Targets, if they are known.
    ax : Axes
        Where to draw.
    outcome : str
        The outcome, which colours the dots.
    title : str, optional
        By default the number of outputs.
    ends : (float, float)
        The smallest and the largest output that there can be.
    """
    x = np.arange(outputs.size)
    rows, units = T.shape if T is not None else (outputs.size, 1)
    if T is not None:
        targets = T.ravel()
        low, high = np.minimum(outputs, targets), np.maximum(outputs, targets)
        ax.vlines(x, low, high, color="#999999", linewidth=0.7, zorder=1, clip_on=False)
        ax.hlines(
            targets, x - 0.36, x + 0.36, color="black", linewidth=1.2, zorder=2, clip_on=False
        )
    size, colour = 26 if outputs.size <= 16 else 9, Outcome(outcome).colour
    ax.scatter(x, outputs, size, colour, edgecolor="black", linewidth=0.4, zorder=3, clip_on=False)
    for edge in range(units, outputs.size, units) if units > 1 else ():
        ax.axvline(edge - 0.5, color="#bbbbbb", linewidth=0.5, zorder=0, clip_on=False)
    shown = evenly(rows, 4)  # more are hard to read, and each takes its time
    ax.set_xticks(shown * units + (units - 1) / 2, [str(row) for row in shown], fontsize=7.5)
    ax.set(xlim=(-0.6, outputs.size - 0.4), ylim=_scale(ax, *ends))
    ax.set_xlabel("row", fontsize=8, labelpad=1)
    title = f"{plural(outputs.size, 'output')}: {outcome}" if title is None else title
    ax.set_title(title, loc="left", fontsize=8.5, pad=3)
    ax.tick_params(length=2)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _scale(ax: Axes, low: float, high: float) -> tuple[float, float]:
    """Write three numbers beside the axis of outputs from low to high; returns its limits."""
    ticks, margin = [low, (low + high) / 2, high], 0.06 * (high - low)
    if (low, high) == (0.0, 1.0):
        ax.set_yticks(ticks, ["0", "½", "1"], fontsize=7.5)
    else:  # three digits, and perhaps a letter, such as 1.25k or 30M
        short = EngFormatter(sep="")
        ax.set_yticks(ticks, [short(float(f"{tick:.3g}")) for tick in ticks], fontsize=6)
    return low - margin, high + margin


@styled
def answers_sheet(
    runs: Sequence[
        tuple[NDArray[np.floating[Any]], NDArray[np.float64] | None, str, tuple[float, float]]
    ],
    names: Sequence[str],
    title: str,
) -> tuple[Figure, list[Box]]:
    """Draw the outputs of several networks, five in a row; each outcome starts a new row.

    Parameters
    ----------
    runs : sequence of (array, array or None, str, (float, float))
        Outputs, targets, outcome and ends of each network, as `answers` takes them, sorted by
        outcome.
    names : sequence of str
        A name for each network.
    title : str
        Title of the sheet.

    Returns
    -------
    figure : Figure
        The sheet.
    boxes : list of Box
        The part of the sheet with the axes and labels of each network, without its name.
    """
    places: list[int] = []
    for _, same in groupby(run[2] for run in runs):
        start = -(-(places[-1] + 1) // _COLUMNS) * _COLUMNS if places else 0
        places += range(start, start + len(list(same)))
    panels = -(-(places[-1] + 1) // _COLUMNS) * _COLUMNS
    figure, axes = sheet(panels, _COLUMNS, 1.1, left=0.4, top=0.85, gap=(0.35, 0.65))
    for i in sorted(set(range(len(axes))) - set(places), reverse=True):
        axes.pop(i).remove()
    width, height = figure.get_figwidth(), figure.get_figheight()
    boxes = []
    for ax, (outputs, T, outcome, ends), name in zip(axes, runs, names, strict=True):
        answers(outputs, T, ax, outcome, "", ends)
        x, y, x1, y1 = ax.get_position().extents
        figure.text(x, y1 + 0.09 / height, name, fontsize=7.5, va="bottom", ha="left")
        left, top = x * width - 0.33, (1 - y1) * height - 0.06
        right, bottom = x1 * width + 0.06, (1 - y) * height + 0.36
        boxes.append((72 * left, 72 * top, 72 * (right - left), 72 * (bottom - top)))
    return headed(figure, title), boxes
