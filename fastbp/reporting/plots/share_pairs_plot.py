"""Pictures of intervals: shares of setups in two stores, effects of changes on the same seeds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fastbp.analysis.statistics.proportions import wilson
from fastbp.reporting.plots.style import clipped, interval_axes, legend, styled, titled
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural

_PAIR, _NAME = 4.6, 2.6
"""Largest widths of the names of a setup and of a store in this picture, in inches."""


@styled
def share_pairs(
    table: pd.DataFrame,
    labels: Sequence[str],
    names: tuple[str, str],
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the convergence rates of two stores with 95% intervals, one row for each setup.

    Rings show the first store, dots the second. Where both stores ran some of the same seeds, the
    rates are over these seeds alone.

    Parameters
    ----------
    table : DataFrame
        A result of `comparison`.
    labels : sequence of str
        A name for each of its rows.
    names : tuple of str
        Names of the stores.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional
        Instead of one with the number of runs.
    """
    ax = interval_axes(
        ax, [clipped(label, _PAIR, 9) for label in labels], 0.34 * max(len(table), 1) + 1.6, 1.0
    )
    _shares(ax, table, "a", names[0])
    _shares(ax, table, "b", names[1])
    ax.set(xlim=(-2, 102), xlabel="share of runs converged (%)")
    a, b = (plural(int(table[name].sum()), "run") for name in ("runs_a", "runs_b"))
    setups = plural(len(table), "setup")
    titled(ax, title or f"Share converged of {a} and of {b} in {setups}", 26)
    legend(ax, "lower left", (0, 1), ncols=2, fontsize=9, borderaxespad=0.3)
    return ax


def _shares(ax: Axes, table: pd.DataFrame, side: str, name: str) -> None:
    """Draw the shares of store `a` or `b`: over common seeds, or over all if there are none."""
    paired = table["pairs"].to_numpy() > 0
    count = np.where(paired, table[f"paired_{side}"], table[f"converged_{side}"])
    total = np.where(paired, table["pairs"], table[f"runs_{side}"])
    some = np.flatnonzero(total > 0)
    low, high = (100 * bound for bound in wilson(count[some], total[some]))
    y, colour = some + (-0.13 if side == "a" else 0.13), Outcome.CONVERGED.colour
    ax.hlines(y, low, high, color=colour, linewidth=1.1)
    ax.scatter(
        100 * count[some] / total[some],
        y,
        26,
        "none" if side == "a" else colour,
        edgecolor=colour,
        linewidth=1.3,
        zorder=3,
        label=f"{side.upper()}: {clipped(name, _NAME, 9)}",
    )


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
