"""The convergence rates of two stores side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fastbp.analysis.statistics.proportions import wilson
from fastbp.reporting.plots.style import (
    WIDTH,
    alone,
    bare,
    clipped,
    inches,
    legend,
    name_rows,
    styled,
    titled,
)
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural

_PAIR, _NAME = 4.6, 2.6
"""Inches of a setup's and of a store's name that are shown in a picture of pairs."""


@styled
def share_pairs(
    table: pd.DataFrame,
    labels: Sequence[str],
    names: tuple[str, str],
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the share converged in two stores with 95% intervals, a line for each setup.

    A ring is the first store, a dot the second.

    Parameters
    ----------
    table : DataFrame
        From `comparison`.
    labels : sequence of str
        Names of its rows.
    names : tuple of str
        Names of the stores.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional
        Instead of one with the number of runs.
    """
    shown = [clipped(label, _PAIR, 9) for label in labels]
    left = max((inches(label, 9) for label in shown), default=0.5) + 0.4
    high = 0.34 * max(len(table), 1) + 1.6
    ax = ax or alone(max(WIDTH, left + 5), high, left=left, right=0.35, top=1.0, bottom=0.6)
    _shares(ax, table, "a", names[0])
    _shares(ax, table, "b", names[1])
    name_rows(ax, shown)
    ax.set(xlim=(-2, 102), xlabel="share of runs converged (%)")
    a, b = (plural(int(table[name].sum()), "run") for name in ("runs_a", "runs_b"))
    setups = plural(len(table), "setup")
    titled(ax, title or f"Share converged of {a} and of {b} in {setups}", 26)
    legend(ax, "lower left", (0, 1), ncols=2, fontsize=9, borderaxespad=0.3)
    ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
    return bare(ax)


def _shares(ax: Axes, table: pd.DataFrame, side: str, name: str) -> None:
    """Draw the shares of one store."""
    paired = table["pairs"].to_numpy() > 0  # the seeds that both ran, if there are any
    count = np.where(paired, table[f"paired_{side}"], table[f"converged_{side}"])
    total = np.where(paired, table["pairs"], table[f"runs_{side}"])
    some = np.flatnonzero(total > 0)
    low, high = (100 * bound for bound in wilson(count[some], total[some]))
    y, colour = some + (-0.13 if side == "a" else 0.13), Outcome.CONVERGED.colour
    ax.hlines(y, low, high, color=colour, linewidth=1.1)
    style: Any = {"edgecolor": colour, "linewidth": 1.3, "zorder": 3}
    style["label"] = f"{side.upper()}: {clipped(name, _NAME, 9)}"
    ax.scatter(100 * count[some] / total[some], y, 26, "none" if side == "a" else colour, **style)
