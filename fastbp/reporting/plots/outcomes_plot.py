"""Stacked bars of outcomes, of setups and of networks; shares in two stores; effects of changes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastbp.analysis.statistics.proportions import modified_wilson
from fastbp.analysis.summary import keys_of
from fastbp.reporting.change_sentences import best_marks
from fastbp.reporting.phrases import evenly, labels, plain, runs_in
from fastbp.reporting.plots.panels import (
    BELOW,
    Heading,
    columns_of,
    height_of,
    legend,
    name_margin,
    named_rows,
    row_names,
    sheet,
    width_of,
)
from fastbp.reporting.plots.style import (
    INK,
    NARROW,
    SIZE,
    clipped,
    inches,
    outcome_handles,
    some_of,
    styled,
    told_apart,
    wrapped,
)
from fastbp.schema.outcomes import STACKED, Outcome
from fastbp.schema.text import percent, plural

_OUTSIDE = 2.2
"""Largest width right of bars, in inches, of the shares that do not fit into them."""

_LEAST = 0.01
"""Smaller shares are not written; tables have them."""

Shares = Mapping[Outcome, NDArray[Any]]
"""An array [setup] for each outcome."""


@styled
def outcome_bars(
    summary: pd.DataFrame,
    ax: Axes | None = None,
    title: str | None = None,
    subtitle: str = "",
    baseline: str | None = None,
) -> Axes:
    """Draw how the runs of each setup ended: a bar of stacked shares, in percent.

    Shares from 1% on are written in their segments; those of narrow segments beside the bar, or
    above it if there is room. The setup with the highest convergence rate is marked. Given axes
    without room for all setups show some from the best to the worst, and say how many.

    Parameters
    ----------
    summary : DataFrame
        A result of `summary`.
    ax : Axes, optional
        Where to draw; by default on a new figure, as high as it needs.
    title, subtitle : str, optional
        Heading; given axes have only a title.
    baseline : str, optional
        Id of the setup with a bold name, from which other names differ if many keys vary.
    """
    heading = title, subtitle, f"How {runs_in(summary)} ended"
    names = _names(summary, baseline)
    if ax is None or _rows_that_fit(names, ax) >= len(names):
        return outcome_rows(ax, summary, names, (summary["setup"] == baseline).tolist(), heading)
    names, keys = told_apart(summary, keys_of(summary), 0.5 * width_of(ax), labels(summary))
    ranked = summary.assign(name=names).sort_values(
        "converged_share", ascending=False, kind="stable"
    )
    rows = ranked.iloc[evenly(len(ranked), _rows_that_fit(names, ax))]
    outcome_rows(ax, rows, rows["name"].tolist(), (rows["setup"] == baseline).tolist(), heading)
    some = some_of(len(rows), len(summary), "setup") or "all setups"
    ax.set(xlabel=f"{ax.get_xlabel()}\n{some}, best first", ylabel=wrapped(keys, height_of(ax), 9))
    return ax


def _rows_that_fit(names: Sequence[str], ax: Axes) -> int:
    """How many rows with such names given axes have room for, beside or above their bars."""
    return max(2, int((height_of(ax) - 0.3) / (0.17 if name_margin(names, ax) else 0.4)))


def outcome_rows(
    ax: Axes | None,
    rows: pd.DataFrame,
    names: Sequence[str],
    bold: Sequence[bool],
    heading: Heading,
) -> Axes:
    """Draw a bar of outcomes for each row, with these names, some of them bold."""
    wide, count = width_of(ax), len(rows)
    shares = {o: rows[o.column].to_numpy() / rows["runs"].to_numpy() for o in STACKED}
    drawn = [outcome for outcome, share in shares.items() if share.any()]
    columns = columns_of(drawn, wide - 0.2, 0.42)
    top = 0.12 + 0.2 * -(-len(drawn) // columns)
    room = min(0.42, 3.5 / count) if 0 < count <= 12 else 0.25
    margin, beside = name_margin(names, ax), min(_OUTSIDE, wide / 4)
    # A layout gives axes room for the names, and most of it is beside them already.
    bar = wide - (margin + beside) * (1 if ax is None else 0.5) if margin else wide - 0.3
    outside, fits = _beside(
        shares, bar, [beside if margin else bar - inches(name, 10) for name in names]
    )
    right = 0.2 + max((inches(text, SIZE) for text in outside), default=0.0) * (margin > 0)
    ax, places = named_rows(ax, names, room, heading, right=right, top=top)
    middles = _bars(ax, rows, drawn, places, 0.78 if margin else 0.44, edge="white")
    _write(ax, shares, middles, fits, outside, places, bool(margin))
    for label, is_bold in zip(row_names(ax), bold, strict=True):
        label.set_fontweight("bold" if is_bold else "normal")
    same = rows["runs"].nunique() == 1
    each = f", n = {plain(rows['runs'].iloc[0])}{' each' * (count > 1)}" if same else ""
    ax.set(xlim=(0, 100), xlabel=f"share of runs (%){each}")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    if drawn:
        legend(ax, "lower left", (0, 1), -0.06, ncols=columns, handlelength=1.2, columnspacing=1.2)
    return ax


def _names(summary: pd.DataFrame, baseline: str | None) -> list[str]:
    """Names of the setups, with what is special about each."""
    marks, same, names = best_marks(summary), summary["runs"].nunique() == 1, []
    for name, row in zip(labels(summary, baseline), summary.to_dict("records"), strict=True):
        setup, is_named = row["setup"], name.startswith("baseline")
        notes = [
            "baseline" * (setup == baseline and not is_named),
            marks.get(setup, ""),
            f"n = {plain(row['runs'])}" * (not same),
        ]
        names.append(" · ".join(filter(None, [name, *notes])))
    return names


def _bars(
    ax: Axes,
    rows: pd.DataFrame,
    outcomes: Iterable[Outcome],
    y: NDArray[Any],
    high: float,
    edge: str = "none",
) -> dict[Outcome, NDArray[np.float64]]:
    """Draw a bar of stacked shares for each row; the middles of the parts of each outcome."""
    left, middles = np.zeros(len(rows)), {}
    for outcome in outcomes:
        share = 100 * rows[outcome.column].to_numpy() / rows["runs"].to_numpy()
        ax.barh(
            y[share > 0],
            share[share > 0],
            high,
            left[share > 0],
            color=outcome.colour,
            edgecolor=edge,
            linewidth=0.6,
            label=str(outcome),
        )
        middles[outcome], left = left + share / 2, left + share
    return middles


def _beside(shares: Shares, bar: float, rooms: Sequence[float]) -> tuple[list[str], Shares]:
    """Decide where the shares of each setup are written.

    Parameters
    ----------
    shares : mapping
        The shares.
    bar : float
        Length of a bar of 100% in inches, at least.
    rooms : sequence of float
        Inches beside the bar of each setup.

    Returns
    -------
    outside : list of str
        The text beside each bar.
    fits : mapping
        Whether a share fits into its segment.
    """
    fits = {o: s * bar > [inches(percent(n), SIZE) + 0.06 for n in s] for o, s in shares.items()}
    outside = []
    for row, room in enumerate(rooms):
        small = [o for o in STACKED if shares[o][row] >= _LEAST and not fits[o][row]]
        text = " · ".join(f"{percent(shares[o][row])} {o}" for o in small)
        outside.append(text if inches(text, SIZE) < room else "")
    return outside, fits


def _write(
    ax: Axes,
    shares: Shares,
    middles: Shares,
    fits: Shares,
    outside: Sequence[str],
    places: NDArray[np.float64],
    is_beside: bool,
) -> None:
    """Write the shares into the parts of the bars, and the others beside or above them."""
    style: dict[str, Any] = {"fontsize": SIZE, "va": "center_baseline"}
    for outcome, middle in middles.items():
        for row in np.flatnonzero(fits[outcome]).tolist():
            text = percent(shares[outcome][row])
            ax.text(middle[row], places[row], text, ha="center", color=INK, **style)
    for place, text in zip(places, outside, strict=True):
        if is_beside:
            ax.text(101, place, text, **style)
        else:
            ax.text(100, place - BELOW - 0.02, text, ha="right", va="bottom", fontsize=SIZE)


# Kinds of networks

_THIN, _ACROSS, MAX_KINDS = 0.155, 4, 150
"""Height of a bar in inches, and largest numbers of panels in a row and of bars in a panel."""


@styled
def cures(rows: pd.DataFrame, group: str, member: str, title: str, subtitle: str = "") -> Figure:
    """Draw how networks end, a panel for each problem and a group of bars for each kind.

    The panels share their rows, so the picture is a figure of its own.

    Parameters
    ----------
    rows : DataFrame
        A result of `fastbp.analysis.cures.pooled` by `group`, `member` and, where there are
        several, the problem.
    group, member : str
        The keys whose values name a group of bars and its bars.
    title, subtitle : str
        Heading of the picture.
    """
    rows = rows if "problem" in rows else rows.assign(problem="")
    every = _kinds(rows[group].tolist(), rows[member].tolist())
    places = {kind: place for place, kind in enumerate(every[:MAX_KINDS])}
    kinds = [*places]
    shown, total = (sum(m is not None for _, m in some) for some in (kinds, every))
    rows = rows[[kind in places for kind in zip(rows[group], rows[member], strict=True)]]
    problems = rows["problem"].unique().tolist()
    heading = (title, subtitle or some_of(shown, total, "network"))
    names = [clipped(plain(g if m is None else m), 1.6, SIZE) for g, m in kinds]
    drawn = [outcome for outcome in STACKED if rows[outcome.column].any()]
    across, wide = min(len(problems), _ACROSS), width_of(None)
    columns = columns_of(drawn, wide - 0.2, 0.42)
    top = 0.5 + 0.2 * -(-len(drawn) // columns)
    left = 0.15 + max(inches(name, 9.5) for name in names)
    margins = {"left": left, "top": top, "bottom": 0.35, "right": 0.3}
    figure, axes = sheet(len(problems), across, len(kinds) * _THIN, heading, (0.3, 0.6), **margins)
    for i, (ax, problem) in enumerate(zip(axes, problems, strict=True)):
        part = rows[rows["problem"] == problem]
        y = [places[kind] for kind in zip(part[group], part[member], strict=True)]
        _bars(ax, part, drawn, np.array(y), 0.85)
        ax.set_title(wrapped(plain(problem), width_of(ax) + 0.1, SIZE, 2), loc="left", size=SIZE)
        ax.set_ylim(len(kinds) - 0.4, -0.6)
        ax.set_yticks(range(len(kinds)), names if i % across == 0 else [], fontsize=SIZE)
        for label, (_, m) in zip(ax.get_yticklabels(), kinds, strict=False):
            label.set_fontweight("bold" if m is None else "normal")
        _percents(ax, [0, 100] if wide < NARROW and across > 2 else [0, 50, 100])
    shift = {"handlelength": 1.2, "columnspacing": 1.2, "handles": outcome_handles(drawn)}
    legend(axes[0], "upper left", (0, 1), 0.1 - top, ncols=columns, **shift)
    return figure


def _kinds(groups: list[Any], members: list[Any]) -> list[tuple[Any, Any]]:
    """The rows of the picture: the name of each group, None, and below it its members."""
    first = {member: place for place, member in enumerate(dict.fromkeys(members))}
    there: dict[Any, set[Any]] = {group: set() for group in groups}
    for one, member in zip(groups, members, strict=True):
        there[one].add(member)
    return [(g, m) for g in there for m in (None, *sorted(there[g], key=first.__getitem__))]


def _percents(ax: Axes, ticks: Sequence[int]) -> None:
    """Label the axis of shares, and remove other lines."""
    ax.set_xlim(0, 100)
    ax.set_xticks(ticks, [f"{tick}{'%' * (tick == 100)}" for tick in ticks], fontsize=SIZE)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


# Intervals

_NAME = 2.6
"""Largest width of the name of a store in this picture, in inches."""


@styled
def share_pairs(
    table: pd.DataFrame,
    labels: Sequence[str],
    names: tuple[str, str],
    ax: Axes | None = None,
    title: str | None = None,
    subtitle: str = "",
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
    title, subtitle : str, optional
        Heading; given axes have only a title.
    """
    a, b = (plural(int(table[name].sum()), "run") for name in ("runs_a", "runs_b"))
    what = f"Share converged of {a} and of {b} in {plural(len(table), 'setup')}"
    sides = [
        f"{side}: {clipped(name, _NAME, SIZE)}" for side, name in zip("AB", names, strict=True)
    ]
    columns = columns_of(sides, width_of(ax) - 0.2)
    top = 0.12 + 0.2 * -(-len(sides) // columns)
    ax, places = named_rows(ax, labels, 0.34, (title, subtitle, what), top=top)
    for side, name, shift in zip("ab", sides, (-0.13, 0.13), strict=True):
        _shares(ax, table, side, name, places + shift)
    ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
    ax.set(xlim=(-2, 102), xlabel="share of runs converged (%)")
    legend(ax, "lower left", (0, 1), -0.06, ncols=columns)
    return ax


def _shares(
    ax: Axes, table: pd.DataFrame, side: str, name: str, places: NDArray[np.float64]
) -> None:
    """Draw the shares of store `a` or `b`: over common seeds, or over all if there are none."""
    paired = table["pairs"].to_numpy() > 0
    count = np.where(paired, table[f"paired_{side}"], table[f"converged_{side}"])
    total = np.where(paired, table["pairs"], table[f"runs_{side}"])
    some = np.flatnonzero(total > 0)
    low, high = (100 * bound for bound in modified_wilson(count[some], total[some]))
    colour = Outcome.CONVERGED.colour
    ax.hlines(places[some], low, high, color=colour, linewidth=1.1)
    ax.scatter(
        100 * count[some] / total[some],
        places[some],
        26,
        "none" if side == "a" else colour,
        edgecolor=colour,
        linewidth=1.3,
        zorder=3,
        label=name,
    )


@styled
def effects(
    table: pd.DataFrame, ax: Axes | None = None, title: str | None = None, subtitle: str = ""
) -> Axes:
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
    title, subtitle : str, optional
        Heading; given axes have only a title.
    """
    seeds = plural(int(table["pairs"].max()) if len(table) else 0, "seed")
    changes = plural(int((table["cause"] != "placebo").sum()), "change")
    what = f"What {changes} {'does' if changes == '1 change' else 'do'} to the same {seeds}"
    heading, names = (title, subtitle, what), [*map(str, table["change"])]
    ax, places = named_rows(ax, names, 0.26, heading, top=0.15)
    for fixes, colour in ((True, Outcome.CONVERGED.colour), (False, "#777777")):
        rows = np.flatnonzero(table["fixes"].to_numpy(bool) == fixes)
        ends = ["difference", "difference_low", "difference_high"]
        middle, low, high = 100 * table[ends].iloc[rows].to_numpy(float).T
        ax.hlines(places[rows], low, high, color=colour, linewidth=1.4)
        ax.scatter(middle, places[rows], 28, colour, zorder=3)
    ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("change of the convergence rate (points)")
    return ax
