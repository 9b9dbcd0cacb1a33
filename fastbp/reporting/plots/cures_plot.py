"""Which networks collapse: a panel for each problem, a stacked bar for each kind of network."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastbp.reporting.plots.style import styled
from fastbp.schema.outcomes import STACKED

_ROW, _GAP = 0.17, 0.12
"""Height of a bar, and of the space between two groups of bars, in inches."""


@styled
def cures(rows: pd.DataFrame, group: str, member: str, title: str) -> Figure:
    """Draw how networks end, a panel for each problem and a group of bars for each kind.

    Parameters
    ----------
    rows : DataFrame
        A result of `fastbp.analysis.cures.pooled` by `group`, `member` and, where there are
        several, the problem.
    group, member : str
        The keys whose values name a group of bars and its bars.
    title : str
        Of the picture.
    """
    rows = rows if "problem" in rows else rows.assign(problem="")
    problems = rows["problem"].unique().tolist()
    groups, members = rows[group].unique().tolist(), rows[member].unique().tolist()
    across = min(len(problems), 4)
    down = -(-len(problems) // across)
    high = len(groups) * (len(members) * _ROW + _GAP)
    figure = Figure(figsize=(1.9 + 2.3 * across, down * (high + 0.45) + 1.0))
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    places = {
        (g, m): i * (len(members) * _ROW + _GAP) + j * _ROW
        for i, g in enumerate(groups)
        for j, m in enumerate(members)
    }
    for ax, problem in zip(axes, problems, strict=False):
        part = rows[rows["problem"] == problem]
        y = [places[g, m] for g, m in zip(part[group], part[member], strict=True)]
        _bars(ax, part, y)
        ax.set_title(problem, fontsize=9, loc="left")
        ax.set(xlim=(0, 100), ylim=(high - _GAP / 2, -_ROW))
        ax.set_xticks([0, 50, 100], ["0", "50", "100%"], fontsize=8)
        ax.set_yticks(list(places.values()), [m for _, m in places], fontsize=7)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
    for ax in axes[len(problems) :]:
        ax.set_visible(False)
    for ax in axes[::across]:
        for g in groups:
            middle = places[g, members[0]] + (len(members) - 1) * _ROW / 2
            ax.annotate(
                g, (-0.32, middle), xycoords=("axes fraction", "data"),
                ha="right", va="center", fontsize=9, fontweight="bold", annotation_clip=False,
            )  # fmt: skip
    _framed(figure, axes[0], title)
    return figure


def _bars(ax: Axes, rows: pd.DataFrame, y: list[float]) -> None:
    """Draw a stacked bar for each row."""
    left = np.zeros(len(rows))
    for outcome in STACKED:
        share = 100 * rows[outcome.column].to_numpy() / rows["runs"].to_numpy()
        ax.barh(y, share, _ROW * 0.9, left, color=outcome.colour, label=str(outcome))
        left += share


def _framed(figure: Figure, ax: Axes, title: str) -> None:
    """Put the title and the legend, of the labels of `ax`, above all panels."""
    size = figure.get_figheight()
    handles, names = ax.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - 0.3 / size),
        ncols=len(names),
        fontsize=8.5,
        frameon=False,
    )
    figure.suptitle(title, x=0.01, y=1 - 0.08 / size, ha="left", va="top", fontsize=11)
    begin = 1.75 / figure.get_figwidth()
    figure.subplots_adjust(begin, 0.35 / size, 0.98, 1 - 0.95 / size, wspace=0.12, hspace=0.12)
