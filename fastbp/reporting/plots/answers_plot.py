"""What single networks answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastbp.reporting.phrases import evenly
from fastbp.reporting.plots.style import headed, sheet, styled
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural

Box = tuple[float, float, float, float]
"""Left, top, width and height in points."""

_COLUMNS = 5


@styled
def answers(
    outputs: NDArray[np.floating[Any]],
    T: NDArray[np.float64] | None,
    ax: Axes,
    outcome: str,
    title: str | None = None,
) -> Axes:
    """Draw what a network answers: a dot for each output of each row, a line at its target.

    Parameters
    ----------
    outputs : float array
        Row-major.
    T : float64 array, [row, output], optional
        Targets, if they are known.
    ax : Axes
        Where to draw.
    outcome : str
        The dots have its colour.
    title : str, optional
        Instead of one with the number of outputs.
    """
    x = np.arange(outputs.size)
    rows, units = T.shape if T is not None else (outputs.size, 1)
    if T is not None:
        targets = T.ravel()
        low, high = np.minimum(outputs, targets), np.maximum(outputs, targets)
        ax.vlines(x, low, high, color="#999999", linewidth=0.7, zorder=1, clip_on=False)
        style: Any = {"color": "black", "linewidth": 1.2, "zorder": 2, "clip_on": False}
        ax.hlines(targets, x - 0.36, x + 0.36, **style)
    style = {"edgecolor": "black", "linewidth": 0.4, "zorder": 3, "clip_on": False}
    ax.scatter(x, outputs, 26 if outputs.size <= 16 else 9, Outcome(outcome).colour, **style)
    for edge in range(units, outputs.size, units) if units > 1 else ():
        ax.axvline(edge - 0.5, color="#bbbbbb", linewidth=0.5, zorder=0, clip_on=False)
    shown = evenly(rows, 4)  # more are hard to read, and each takes its time
    ax.set_xticks(shown * units + (units - 1) / 2, [str(row) for row in shown], fontsize=7.5)
    ax.set_yticks([0, 0.5, 1], ["0", "½", "1"], fontsize=7.5)
    ax.set_xlim(-0.6, outputs.size - 0.4)
    ax.set_ylim(-0.06, 1.06)
    ax.set_xlabel("row", fontsize=8, labelpad=1)
    text = f"{plural(outputs.size, 'output')}: {outcome}" if title is None else title
    ax.set_title(text, loc="left", fontsize=8.5, pad=3)
    ax.tick_params(length=2)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@styled
def answers_sheet(
    runs: Sequence[tuple[NDArray[np.floating[Any]], NDArray[np.float64] | None, str]],
    names: Sequence[str],
    title: str,
) -> tuple[Figure, list[Box]]:
    """Draw what several networks answer: five in a row, each outcome in rows of its own.

    Parameters
    ----------
    runs : sequence
        Outputs, targets and outcome of each, as `answers` takes them.
    names : sequence of str
        A name for each.
    title : str
        Of the sheet.

    Returns
    -------
    figure : Figure
    boxes : list
        The box of each of the axes with its labels, without the name.
    """
    places: list[int] = []
    for i, (_, _, outcome) in enumerate(runs):
        next_place = places[-1] + 1 if places else 0
        same = not i or outcome == runs[i - 1][2]
        places.append(next_place if same else -(-next_place // _COLUMNS) * _COLUMNS)
    panels = -(-(places[-1] + 1) // _COLUMNS) * _COLUMNS
    figure, axes = sheet(panels, _COLUMNS, 1.1, left=0.4, top=0.85, gap=(0.35, 0.65))
    for i in sorted(set(range(len(axes))) - set(places), reverse=True):
        axes.pop(i).remove()
    width, height = figure.get_figwidth(), figure.get_figheight()
    boxes = []
    for ax, (outputs, T, outcome), name in zip(axes, runs, names, strict=True):
        answers(outputs, T, ax, outcome, "")
        x, y, x1, y1 = ax.get_position().extents
        figure.text(x, y1 + 0.09 / height, name, fontsize=7.5, va="bottom", ha="left")
        left, top = x * width - 0.27, (1 - y1) * height - 0.06
        right, bottom = x1 * width + 0.06, (1 - y) * height + 0.36
        boxes.append((72 * left, 72 * top, 72 * (right - left), 72 * (bottom - top)))
    return headed(figure, title), boxes
