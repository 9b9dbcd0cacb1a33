"""The picture of the effects of single changes of a setup, measured on the same seeds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fastbp.reporting.plots.style import interval_axes, styled, titled
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural


@styled
def effects(table: pd.DataFrame, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw how far each change of a setup moves its convergence rate, with 95% intervals.

    The first row of the table is at the top. Changes that fix the setup (`fixes`) have the colour
    of converged runs; all others are grey.

    Parameters
    ----------
    table : DataFrame
        One row per change, with the columns change (its name), cause (`placebo` if it should do
        nothing), difference of the convergence rate, difference_low, difference_high, fixes (bool)
        and pairs (number of seeds).
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional
        Instead of one with the number of seeds.
    """
    ax = interval_axes(ax, list(map(str, table["change"])), 0.26 * max(len(table), 1) + 1.5, 0.8)
    for fixes, colour in ((True, Outcome.CONVERGED.colour), (False, "#777777")):
        rows = np.flatnonzero(table["fixes"].to_numpy(bool) == fixes)
        ends = ["difference", "difference_low", "difference_high"]
        middle, low, high = 100 * table[ends].iloc[rows].to_numpy(float).T
        ax.hlines(rows, low, high, color=colour, linewidth=1.4)
        ax.scatter(middle, rows, 28, colour, zorder=3)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("change of the share of seeds that converge (percentage points)")
    seeds = plural(int(table["pairs"].max()) if len(table) else 0, "seed")
    changes = plural(int((table["cause"] != "placebo").sum()), "change")
    do = "does" if changes == "1 change" else "do"
    return titled(ax, title or f"What {changes} {do} to the same {seeds}", 10)
