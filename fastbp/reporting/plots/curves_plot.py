"""Curves of setups: shares over a key, over updates, by threshold of collapse, over budgets."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fastbp.analysis.axes import keys_besides
from fastbp.analysis.summary import settings_of
from fastbp.reporting.phrases import evenly, plain, runs_in
from fastbp.reporting.plots.panels import (
    axes_for,
    height_of,
    room_for_names,
    width_of,
    with_legend_below,
)
from fastbp.reporting.plots.style import (
    NARROW,
    SIZE,
    axis_label,
    bare,
    curves,
    inches,
    known_keys,
    line_styles,
    log_ticks,
    some_of,
    styled,
    told_apart,
    wrapped,
)
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural

MAX_CURVES = 8
"""Largest number of curves. Each belongs to a combination of values of the other keys; if there are
more combinations, evenly spaced ones are drawn."""


@styled
def response_curves(
    summary: pd.DataFrame,
    key: str,
    ax: Axes | None = None,
    title: str | None = None,
    subtitle: str = "",
) -> Axes:
    """Draw the convergence rate over a numeric key, with Wilson's bounds as a band.

    There is a line for each combination of values of the other keys. The axis of the key is
    logarithmic if its values are positive and span a factor of ten. A thin line marks one half.

    Parameters
    ----------
    summary : DataFrame
        A result of `summary`.
    key : str
        A numeric key that varies.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title, subtitle : str, optional
        Heading; given axes have only a title.

    Raises
    ------
    ValueError
        If the key does not vary.
    """
    known_keys(summary, key)
    groups = settings_of(summary, others := keys_besides(summary, key))
    total, (wide, most) = len(groups), room_for_names(ax)
    groups = [groups[i] for i in evenly(total, min(MAX_CURVES, most or MAX_CURVES)).tolist()]
    first = pd.concat([rows.iloc[:1] for rows in groups])
    names, values = told_apart(first, others, wide)
    heading = title, subtitle, f"Share converged over {key}: {runs_in(summary)}, 95% bands"
    ax, finish = with_legend_below(
        ax, names * bool(others), 3.8, heading, title=some_of(len(groups), total, "setting", values)
    )
    ax.axhline(50, color="#888888", linewidth=0.8)
    styles = line_styles(first, others)
    for label, group, style in zip(names, groups, styles, strict=True):
        rows = group.sort_values(key, key=lambda values: values.astype(float), kind="stable")
        x, y = rows[key].astype(float), 100 * rows["converged_share"]
        ax.plot(x, y, marker="o", ms=3, **style, linewidth=1.4, label=label)
        low, top = (100 * rows[f"converged_{end}"] for end in ("low", "high"))
        ax.fill_between(x, low, top, color=style["color"], alpha=0.15, linewidth=0)
    _scale(ax, summary[key].astype(float))
    ax.set(ylim=(-1, 101), xlabel=axis_label(key), ylabel="converged (%)")
    return finish()


def _scale(ax: Axes, values: "pd.Series[float]") -> None:
    """Choose the scale of the axis of a key with these values."""
    least, most = values.agg(["min", "max"])
    if least > 1e-280 and most >= 10 * least:  # there is room below for the margin of the axis
        ax.set_xscale("log")
        log_ticks(ax.xaxis, least, most)
    elif least == 0 or most < 1e6:
        ax.xaxis.set_major_formatter("{x:g}")


MAX_STEPS = 150
"""Largest number of steps of a survival curve that are drawn."""


@styled
def survival_curves(
    table: pd.DataFrame,
    ax: Axes | None = None,
    title: str | None = None,
    subtitle: str = "",
    baseline: str | None = None,
) -> Axes:
    """Draw the share of runs that have not converged yet over updates, with 95% bands.

    Each setup has a line from its first update to its budget. Where there is room, the numbers
    below the axis are the runs at risk: those that had not converged and were still in training.

    Parameters
    ----------
    table : DataFrame
        A result of `survival`.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title, subtitle : str, optional
        Heading; given axes have only a title.
    baseline : str, optional
        Id of a setup. If many keys vary, the other names show only what differs from it.
    """
    has_room = ax is None and width_of(ax) > NARROW
    setups, named = curves(table, baseline, *room_for_names(ax))
    runs = plural(sum(int(rows["at_risk"].iloc[0]) for _, rows, _ in setups), "run")
    what = f"How long it takes to converge: {runs} in {plural(len(setups), 'setup')}, 95% bands"
    names, heading = [name for name, *_ in setups], (title, subtitle, what)
    if has_room:
        named = wrapped(named, 3.6, SIZE, 1)
        left = 0.85 + max(inches(name, SIZE) for name in [named, *names])
        below, finish = 0.9 + 0.2 * len(setups), None
        ax = axes_for(ax, 3.3 + below, heading, left=left, right=0.3, bottom=below)
    else:
        ax, finish = with_legend_below(ax, names, 3.3, heading, "lower left", named)
    bare(ax).set_xlim(0, float(table["after"].max()) if len(table) else 1.0)
    ax.xaxis.set_major_locator(MaxNLocator(6 if width_of(ax) > 4 else 3, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    for name, rows, style in setups:
        _survival(ax, rows, style, name)
    ax.set(ylim=(0, 101), xlabel="updates", ylabel="not converged yet (%)")
    if finish:
        return finish()
    texts: Any = {"fontsize": SIZE, "va": "center", "style": "italic"}
    line = -0.2 / height_of(ax)
    for x, text, side in ((0, "runs at risk" * bool(setups), "left"), (-0.092, named, "right")):
        ax.text(x, 3.2 * line, text, transform=ax.transAxes, ha=side, **texts)
    for i, (name, rows, look) in enumerate(setups):
        _at_risk(ax, rows, line * (4.2 + i), name, look)
    return ax


def _survival(ax: Axes, rows: pd.DataFrame, style: Any, name: str) -> None:
    """Draw a curve with its band, and a mark at its end."""
    shown = rows.iloc[evenly(len(rows), MAX_STEPS)]
    after, share = np.append(0, shown["after"]), 100 * np.append(1.0, shown["share"])
    ax.step(after, share, where="post", **style, linewidth=1.4, label=name)
    ax.plot(
        after[-1],
        share[-1],
        color=style["color"],
        marker="|",
        markersize=9,
        markeredgewidth=1.6,
        clip_on=False,
    )
    low, high = (100 * np.append(np.nan, shown[bound]) for bound in ("low", "high"))
    ax.fill_between(after, low, high, step="post", color=style["color"], alpha=0.15, linewidth=0)


def _at_risk(ax: Axes, rows: pd.DataFrame, y: float, name: str, style: Any) -> None:
    """Name a curve below the axis, and write its runs at risk at each tick."""
    ax.plot([-0.048, -0.084], [y, y], **style, linewidth=1.4, transform=ax.transAxes, clip_on=False)
    ax.text(-0.092, y, name, transform=ax.transAxes, fontsize=SIZE, ha="right", va="center")
    for tick in ax.get_xticks():
        left = rows.loc[rows["after"] >= tick, "at_risk"]
        if tick >= 0 and len(left):
            ax.text(
                tick,
                y,
                plain(left.iloc[0]),
                transform=ax.get_xaxis_transform(),
                fontsize=SIZE,
                ha="center",
                va="center",
            )


# Over thresholds

_AT_START: Any = {"color": "#777777", "linestyle": (0, (1, 2)), "linewidth": 1.3}


@styled
def collapse_curves(
    table: pd.DataFrame,
    ax: Axes | None = None,
    collapse: float | None = None,
    title: str | None = None,
    subtitle: str = "",
    baseline: str | None = None,
) -> Axes:
    """Draw the share of runs that would be collapsed over the threshold of collapse.

    The threshold is the spread of outputs below which they count as constant. There is a line for
    each setup. A dotted line shows the share of runs below the threshold before the first update.

    Parameters
    ----------
    table : DataFrame
        A result of `collapsing`.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    collapse : float, optional
        The threshold in use; a line marks it.
    title, subtitle : str, optional
        Heading; given axes have only a title.
    baseline : str, optional
        Id of the setup from which names show the differences if many keys vary.
    """
    setups, named = curves(table, baseline, *room_for_names(ax))
    runs = plural(int(sum(rows["runs"].iloc[0] for _, rows, _ in setups)), "run")
    what = (
        f"How the share of collapsed runs depends on the threshold: {runs} in "
        f"{plural(len(setups), 'setup')}"
    )
    starts = {tuple(rows["constant_at_start_share"]): rows["threshold"] for _, rows, _ in setups}
    before = "before the first update"
    names = [*(name for name, *_ in setups), before]
    ax, finish = with_legend_below(ax, names, 4.0, (title, subtitle, what), "upper left", named)
    for name, rows, style in setups:
        ax.plot(
            rows["threshold"], 100 * rows["collapsed_share"], **style, linewidth=1.5, label=name
        )
    for start, thresholds in starts.items():
        ax.plot(thresholds, 100 * np.array(start), **_AT_START)
    ax.plot([], [], **_AT_START, label=before)
    if collapse is not None:
        ax.axvline(collapse, color=Outcome.COLLAPSED.colour, linewidth=1.2)
        ax.text(collapse, 99, f"collapse = {collapse:g} ", fontsize=SIZE, ha="right", va="top")
    ax.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 100), ylabel="collapsed runs (%)")
    ax.set_xlabel("threshold: share of the target range")
    log_ticks(ax.xaxis, 1e-3, 1)
    return finish()


# Over shares of budgets


@styled
def profile_curves(
    table: pd.DataFrame,
    title: str | None = None,
    ax: Axes | None = None,
    baseline: str | None = None,
    subtitle: str = "",
) -> Axes:
    """Draw the share of runs that have converged over the share of the budget, with 95% bands.

    Parameters
    ----------
    table : DataFrame
        A result of `profiles`.
    title, subtitle : str, optional
        Heading of a new figure; given axes have only a title, and by default none.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    baseline : str, optional
        Value of `setup` from which names show the differences if many keys vary.
    """
    settings, named = curves(table, baseline, *room_for_names(ax))
    heading = title, subtitle, "How soon runs converge, averaged over the problems"
    ax, finish = with_legend_below(
        ax, [name for name, *_ in settings], 3.7, heading, "upper left", named
    )
    for name, rows, style in settings:
        share, low, high = (100 * rows[each] for each in ("share", "low", "high"))
        ax.step(100 * rows["within"], share, where="post", **style, linewidth=1.4, label=name)
        band = {"step": "post", "color": style["color"], "alpha": 0.1, "linewidth": 0}
        ax.fill_between(100 * rows["within"], low, high, **band)
    ax.set(xlim=(0, 100), ylim=(0, 101), ylabel="runs that had converged (%)")
    ax.set_xlabel("updates (% of the largest budget)")
    return finish()
