"""Rows of setups: stacked bars of outcomes, shares in two stores, and effects of changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastbp.analysis.statistics.proportions import modified_wilson
from fastbp.reporting.phrases import labels, plain, runs_in
from fastbp.reporting.plots.style import (
    INK,
    clipped,
    inches,
    interval_axes,
    legend,
    name_rows,
    styled,
    titled,
    width_of,
)
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import plural

_BAR = 6.4
_ROW = 0.42
"""Length of a bar of 100% and height of its row, in inches."""

_LABEL = 6.6
"""Largest width of a setup's name in this picture, in inches."""

Counts = Mapping[Outcome, NDArray[Any]]
"""An array [setup] for each outcome."""


@styled
def outcome_bars(
    summary: pd.DataFrame,
    ax: Axes | None = None,
    title: str | None = None,
    baseline: str | None = None,
) -> Axes:
    """Draw how the runs of each setup ended: a bar of stacked shares, with the counts.

    Counts are written in their segments, or right of the bar if the segment is too narrow. Counts
    of 0 are not written.

    Parameters
    ----------
    summary : DataFrame
        A result of `summary`.
    ax : Axes, optional
        Where to draw; by default on a new figure, as large as it needs.
    title : str, optional
        Instead of one with the number of runs and setups.
    baseline : str, optional
        Id of a setup. Its name is bold, and if many keys vary, the other names show only what
        differs from it.
    """
    total = summary["runs"].to_numpy()
    names = [
        f"{clipped(name, _LABEL, 9)}  (n = {plain(n)})"
        for name, n in zip(labels(summary, baseline), total, strict=True)
    ]
    counts = {each: summary[each.column].to_numpy() for each in STACKED}
    bar = _BAR if ax is None else width_of(ax)
    fits = {
        each: count / total * bar > [inches(plain(n), 8.5) + 0.08 for n in count]
        for each, count in counts.items()
    }
    outside = [_outside(counts, fits, row) for row in range(len(summary))]
    ax = ax or _axes(names, outside)
    _bars(ax, counts, total, fits, outside)
    name_rows(ax, names)
    for label, setup in zip(ax.get_yticklabels(), summary["setup"], strict=True):
        label.set_fontweight("bold" if setup == baseline else "normal")
    ax.set(xlim=(0, 100), xlabel="share of runs (%)")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    titled(ax, title or f"How {runs_in(summary)} ended", 28)
    if len(summary):
        legend(ax, "lower left", (0, 1), ncols=len(OUTCOMES), fontsize=9, borderaxespad=0.3)
    return ax


def _outside(counts: Counts, fits: Counts, row: int) -> str:
    """The counts of a setup that do not fit into its bar."""
    shown = [each for each in STACKED if counts[each][row] and not fits[each][row]]
    return " · ".join(f"{plain(counts[each][row])} {each}" for each in shown)


def _bars(
    ax: Axes, counts: Counts, total: NDArray[Any], fits: Counts, outside: Sequence[str]
) -> None:
    """Draw the bars and write the counts."""
    left = np.zeros(len(total))
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
        for row in np.flatnonzero(fits[outcome]).tolist():
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
    for row, counted in enumerate(outside):
        ax.text(101, row, counted, va="center_baseline", fontsize=8)


def _axes(names: Sequence[str], outside: Sequence[str]) -> Axes:
    """Make axes with bars of the same length in every figure, and room for the texts around."""
    widest = max((inches(name, 9) for name in names), default=0.0)
    left = 1.12 * widest + 0.2  # bold letters are wider
    right = max((inches(text, 8) for text in outside), default=0.0) + 0.3
    below, above, high = 0.6, 1.3, _ROW * max(len(names), 1)
    width, height = left + _BAR + right, below + high + above
    return Figure(figsize=(width, height)).add_axes(
        (left / width, below / height, _BAR / width, high / height)
    )


# Intervals

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
    low, high = (100 * bound for bound in modified_wilson(count[some], total[some]))
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
