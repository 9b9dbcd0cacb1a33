"""How runs ended: bars of outcomes, where the line of a collapse is drawn, and what single networks
answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from fastbp.reporting.phrases import evenly, labels, plain
from fastbp.reporting.plots.style import (
    INK,
    LINES,
    STYLE,
    WIDTH,
    alone,
    bare,
    clipped,
    headed,
    inches,
    literal,
    sheet,
    width_of,
    wrapped,
)
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import plural

_BAR = 6.4
_ROW = 0.42
"""Inches of a whole bar's length and of its row."""

_LABEL, _ENTRY = 6.6, 3.6
"""Inches of a setup's name that are shown beside its bar, and in a legend."""


def outcome_bars(
    summary: pd.DataFrame,
    ax: Axes | None = None,
    title: str | None = None,
    baseline: str | None = None,
) -> Axes:
    """Draw how the runs of each setup ended: a bar of stacked shares for each row of a summary,
    with the counts.

    Parameters: `summary`, what `tables.summary` returned; `ax`, where to draw (none: a new figure,
    as large as it needs); `title`, instead of one that says how many runs and setups are seen;
    `baseline`, the id of a setup whose name is bold, and from which others are told where many keys
    vary. Counts stand in their segment, or, where that is too narrow, right of the bar; counts of 0
    are left out. Returns the axes; the figure is `ax.figure`.
    """
    total = summary["runs"].to_numpy()
    names = [clipped(name, _LABEL, 9) for name in labels(summary, baseline)]
    names = [f"{name}  (n = {plain(n)})" for name, n in zip(names, total, strict=True)]
    bar = _BAR if ax is None else width_of(ax)
    counts = {outcome: summary[outcome.column].to_numpy() for outcome in STACKED}
    inside = {
        o: count / total * bar > [inches(plain(n), 8.5) + 0.08 for n in count]
        for o, count in counts.items()
    }
    beside = [
        " · ".join(
            f"{plain(counts[o][row])} {o}" for o in STACKED if counts[o][row] and not inside[o][row]
        )
        for row in range(len(summary))
    ]
    with mpl.rc_context(STYLE):
        if ax is None:
            ax = _axes(names, beside)
        left = np.zeros(len(summary))
        for outcome, count in counts.items():
            if not count.any():
                continue
            share = 100 * count / total
            ax.barh(
                range(len(share)),
                share,
                0.78,
                left,
                color=outcome.colour,
                edgecolor="white",
                linewidth=0.6,
                label=outcome,
            )
            for row in np.flatnonzero(inside[outcome]).tolist():
                ax.text(
                    left[row] + share[row] / 2,
                    row,
                    plain(count[row]),
                    ha="center",
                    va="center_baseline",
                    fontsize=8.5,
                    color=INK,
                )
            left += share
        for row, text in enumerate(beside):
            ax.text(101, row, text, va="center_baseline", fontsize=8)
        ax.set_yticks(range(len(names)), names, fontsize=9, va="center_baseline")
        for label, setup in zip(ax.get_yticklabels(), summary["setup"], strict=True):
            label.set_fontweight("bold" if setup == baseline else "normal")
        ax.set_xlim(0, 100)
        ax.set_ylim(max(len(summary), 1) - 0.5, -0.5)
        ax.set_xlabel("share of runs (%)")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        runs, setups = int(total.sum()), len(summary)
        seen = title or f"How {plural(runs, 'run')} in {plural(setups, 'setup')} ended"
        ax.set_title(wrapped(seen, width_of(ax), 12), loc="left", fontsize=12, pad=28)
        if setups:
            ax.legend(
                loc="lower left",
                bbox_to_anchor=(0, 1),
                ncols=len(OUTCOMES),
                frameon=False,
                fontsize=9,
                borderaxespad=0.3,
            )
    return literal(ax)


def _axes(names: Sequence[str], beside: Sequence[str]) -> Axes:
    """Axes whose bars are equally long in every figure, with room for the texts around them."""
    left = (
        1.12 * max((inches(name, 9) for name in names), default=0.0) + 0.2
    )  # bold letters are wider
    right = max((inches(text, 8) for text in beside), default=0.0) + 0.3
    below, above, high = 0.6, 1.3, _ROW * max(len(names), 1)
    width, height = left + _BAR + right, below + high + above
    figure = Figure(figsize=(width, height))
    return figure.add_axes((left / width, below / height, _BAR / width, high / height))


def collapse_curves(
    table: pd.DataFrame,
    ax: Axes | None = None,
    collapse: float | None = None,
    title: str | None = None,
    baseline: str | None = None,
) -> Axes:
    """Draw the share of runs that would be collapsed over the threshold below which outputs count
    as constant.

    Parameters: `table`, what `tables.collapsing` returned; `collapse`, the threshold in use, which
    is marked; `title`, instead of one that says what is seen; `baseline`, the id of the setup from
    which others are told where many keys vary. A line for each setup; dotted, how many were as
    constant before the first update.
    """
    setups = list(table.groupby("setup", sort=False))
    names = labels(pd.concat([rows.head(1) for _, rows in setups]), baseline) if setups else []
    high = -(-(len(setups) + 1) // (1 + (len(setups) > 3)))
    with mpl.rc_context(STYLE):
        ax = ax or alone(WIDTH, 4.2 + 0.2 * high, top=0.7, bottom=0.95 + 0.2 * high)
        constant_at_start: dict[bytes, str] = {}
        for (_, rows), name, style in zip(setups, names, cycle(LINES)):
            ax.plot(
                rows["threshold"],
                100 * rows["collapsed_share"],
                **style,
                linewidth=1.5,
                label=clipped(name, _ENTRY, 8.5),
            )
            constant_at_start.setdefault(rows["constant_at_start_share"].to_numpy().tobytes(), name)
        for _, rows in setups:
            if constant_at_start.pop(rows["constant_at_start_share"].to_numpy().tobytes(), None):
                ax.plot(
                    rows["threshold"],
                    100 * rows["constant_at_start_share"],
                    color="#777777",
                    linestyle=(0, (1, 2)),
                    linewidth=1.3,
                )
        ax.plot(
            [],
            [],
            color="#777777",
            linestyle=(0, (1, 2)),
            linewidth=1.3,
            label="before the first update",
        )
        if collapse is not None:
            ax.axvline(collapse, color=Outcome.COLLAPSED.colour, linewidth=1.2)
            ax.text(
                collapse, 101, f" collapse = {collapse:g}", fontsize=8.5, ha="center", va="bottom"
            )
        ax.set_xscale("log")
        ax.set_xlim(1e-3, 1)
        ax.set_ylim(0, 100)
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("threshold: outputs that span less of the target range count as constant")
        ax.set_ylabel("share of runs collapsed (%)")
        runs = int(table.groupby("setup")["runs"].first().sum())
        seen = f"How the share of collapsed runs depends on the threshold: {plural(runs, 'run')} in {plural(len(setups), 'setup')}"
        ax.set_title(wrapped(title or seen, width_of(ax), 12), loc="left", fontsize=12, pad=20)
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(0, -0.24),
            frameon=False,
            fontsize=8.5,
            handlelength=3,
            borderaxespad=0,
            ncols=1 + (len(setups) > 3),
        )
        return literal(bare(ax))


def answers(
    outputs: NDArray[np.floating[Any]],
    T: NDArray[np.float64] | None,
    ax: Axes,
    outcome: str,
    title: str | None = None,
) -> Axes:
    """Draw what one network answers: a dot for each output of each row, and a line where its target
    is.

    Parameters: `outputs`, row-major; `T`, targets, [row, output], or None where they are not known;
    `outcome`, whose colour the dots have; `title`, instead of one that says how many there are.
    """
    x = np.arange(outputs.size)
    rows, units = T.shape if T is not None else (outputs.size, 1)
    with mpl.rc_context(STYLE):
        if T is not None:
            ends: Any = {"zorder": 1, "clip_on": False}
            ax.vlines(
                x,
                np.minimum(outputs, T.ravel()),
                np.maximum(outputs, T.ravel()),
                color="#999999",
                linewidth=0.7,
                **ends,
            )
            ax.hlines(
                T.ravel(), x - 0.36, x + 0.36, color="black", linewidth=1.2, zorder=2, clip_on=False
            )
        style: Any = {"edgecolor": "black", "linewidth": 0.4, "zorder": 3, "clip_on": False}
        ax.scatter(x, outputs, 26 if outputs.size <= 16 else 9, Outcome(outcome).colour, **style)
        for edge in range(units, outputs.size, units) if units > 1 else ():
            ax.axvline(edge - 0.5, color="#bbbbbb", linewidth=0.5, zorder=0, clip_on=False)
        shown = evenly(rows, 4)  # more are hard to read, and each takes its time
        ax.set_xticks(shown * units + (units - 1) / 2, [str(row) for row in shown], fontsize=7.5)
        ax.set_yticks([0, 0.5, 1], ["0", "½", "1"], fontsize=7.5)
        ax.set_xlim(-0.6, outputs.size - 0.4)
        ax.set_ylim(-0.06, 1.06)
        ax.set_xlabel("row", fontsize=8, labelpad=1)
        ax.set_title(
            f"{plural(outputs.size, 'output')}: {outcome}" if title is None else title,
            loc="left",
            fontsize=8.5,
            pad=3,
        )
        ax.tick_params(length=2)
        ax.spines[["top", "right"]].set_visible(False)
        return literal(ax)


Box = tuple[float, float, float, float]


def answers_sheet(
    runs: Sequence[tuple[NDArray[np.floating[Any]], NDArray[np.float64] | None, str]],
    names: Sequence[str],
    title: str,
) -> tuple[Figure, list[Box]]:
    """What several networks answer: five in a row, each outcome in rows of its own.

    Parameters: `runs`, the outputs, the targets and the outcome of each, as `answers` takes them;
    `names`, of each. Returns the figure, and the box of each of the axes with its labels, without
    the name: left, top, width and height in points.
    """
    places: list[int] = []
    for i, (_, _, outcome) in enumerate(runs):
        last = places[-1] + 1 if places else 0
        places.append(-(-last // 5) * 5 if i and outcome != runs[i - 1][2] else last)
    with mpl.rc_context(STYLE):
        figure, axes = sheet(
            -(-(places[-1] + 1) // 5) * 5, 5, 1.1, left=0.4, top=0.85, gap=(0.35, 0.65)
        )
        for i in sorted(set(range(len(axes))) - set(places), reverse=True):
            axes.pop(i).remove()
        width, height = figure.get_figwidth(), figure.get_figheight()
        boxes = []
        for ax, (outputs, T, outcome), name in zip(axes, runs, names, strict=True):
            answers(outputs, T, ax, outcome, "")
            x, y, x1, y1 = ax.get_position().extents
            figure.text(
                x, y1 + 0.09 / height, name, fontsize=7.5, va="bottom", ha="left", parse_math=False
            )
            left, top = x * width - 0.27, (1 - y1) * height - 0.06
            boxes.append(
                (
                    72 * left,
                    72 * top,
                    72 * (x1 * width + 0.06 - left),
                    72 * ((1 - y) * height + 0.36 - top),
                )
            )
        return headed(figure, title), boxes
