"""Stacked bars of outcomes, of setups and of networks; shares in two stores; effects of changes."""

from collections.abc import Iterable, Mapping, Sequence
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
    alone,
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
    drawn = [each for each, count in counts.items() if count.any()]
    middles = _bars(ax, summary, drawn, range(len(names)), 0.78, edgecolor="white", linewidth=0.6)
    _write(ax, counts, fits, middles, outside)
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
    ax: Axes,
    rows: pd.DataFrame,
    outcomes: Iterable[Outcome],
    y: Sequence[float],
    high: float,
    **style: Any,
) -> dict[Outcome, NDArray[np.float64]]:
    """Draw a bar of stacked shares for each row; the middles of the parts of each outcome."""
    left, middles = np.zeros(len(rows)), {}
    for outcome in outcomes:
        share = 100 * rows[outcome.column].to_numpy() / rows["runs"].to_numpy()
        ax.barh(y, share, high, left, color=outcome.colour, label=str(outcome), **style)
        middles[outcome], left = left + share / 2, left + share
    return middles


def _write(ax: Axes, counts: Counts, fits: Counts, middles: Counts, outside: Sequence[str]) -> None:
    """Write the counts into the parts of the bars, and the others beside them."""
    for outcome, middle in middles.items():
        for row in np.flatnonzero(fits[outcome]).tolist():
            ax.text(
                middle[row],
                row,
                plain(counts[outcome][row]),
                ha="center",
                va="center_baseline",
                fontsize=8.5,
                color=INK,
            )
    for row, text in enumerate(outside):
        ax.text(101, row, text, va="center_baseline", fontsize=8)


def _axes(names: Sequence[str], outside: Sequence[str]) -> Axes:
    """Make axes with bars of the same length in every figure, and room for the texts around."""
    widest = max((inches(name, 9) for name in names), default=0.0)
    left = 1.12 * widest + 0.2  # bold letters are wider
    right = max((inches(text, 8) for text in outside), default=0.0) + 0.3
    high = _ROW * max(len(names), 1)
    return alone(left + _BAR + right, 0.6 + high + 1.3, left, right, top=1.3, bottom=0.6)


# Kinds of networks

_THIN, _GAP = 0.17, 0.12
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
    high = len(groups) * (len(members) * _THIN + _GAP)
    figure = Figure(figsize=(1.9 + 2.3 * across, down * (high + 0.45) + 1.0))
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    places = {
        (g, m): i * (len(members) * _THIN + _GAP) + j * _THIN
        for i, g in enumerate(groups)
        for j, m in enumerate(members)
    }
    for ax, problem in zip(axes, problems, strict=False):
        part = rows[rows["problem"] == problem]
        y = [places[g, m] for g, m in zip(part[group], part[member], strict=True)]
        _bars(ax, part, STACKED, y, _THIN * 0.9)
        ax.set_title(problem, fontsize=9, loc="left")
        ax.set(xlim=(0, 100), ylim=(high - _GAP / 2, -_THIN))
        ax.set_xticks([0, 50, 100], ["0", "50", "100%"], fontsize=8)
        ax.set_yticks(list(places.values()), [m for _, m in places], fontsize=7)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
    for ax in axes[len(problems) :]:
        ax.set_visible(False)
    for ax in axes[::across]:
        for g in groups:
            middle = places[g, members[0]] + (len(members) - 1) * _THIN / 2
            ax.annotate(
                g, (-0.32, middle), xycoords=("axes fraction", "data"),
                ha="right", va="center", fontsize=9, fontweight="bold", annotation_clip=False,
            )  # fmt: skip
    _framed(figure, axes[0], title)
    return figure


def _framed(figure: Figure, ax: Axes, title: str) -> None:
    """Put the title and the legend, of the bars of `ax`, above all panels."""
    size = figure.get_figheight()
    legend(
        figure,
        "upper left",
        (0.0, 1 - 0.3 / size),
        handles=ax.containers,
        ncols=len(STACKED),
        fontsize=8.5,
    )
    figure.suptitle(title, x=0.01, y=1 - 0.08 / size, ha="left", va="top", fontsize=11)
    figure.subplots_adjust(
        1.75 / figure.get_figwidth(), 0.35 / size, 0.98, 1 - 0.95 / size, wspace=0.12, hspace=0.12
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
    what = f"Share converged of {a} and of {b} in {plural(len(table), 'setup')}"
    titled(ax, title or what, 26)
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
