"""Curves of setups: shares over a key, runs that have not converged yet, collapse by threshold."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fastbp.analysis.axes import keys_besides
from fastbp.analysis.summary import settings_of
from fastbp.reporting.phrases import evenly, plain, setting
from fastbp.reporting.plots.style import (
    LINES,
    WIDTH,
    alone,
    bare,
    curves,
    inches,
    legend,
    log_ticks,
    styled,
    titled,
    width_of,
    wrapped,
)
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural, shortened

MAX_CURVES = 8
"""Largest number of curves. Each belongs to a combination of values of the other keys; if there are
more combinations, evenly spaced ones are drawn."""


@styled
def response_curves(
    summary: pd.DataFrame, key: str, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw the convergence rate over a numeric key, with Wilson's bounds as a band.

    The convergence rate is the share of runs that end converged. There is a line for each
    combination of values of the other keys. The axis of the key is logarithmic if its values are
    positive and span a factor of ten. A thin line marks one half.

    Parameters
    ----------
    summary : DataFrame
        A result of `summary`.
    key : str
        A numeric key that varies.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional
        Instead of one with the number of runs.
    """
    others = keys_besides(summary, key)
    groups = settings_of(summary, others)
    groups = [groups[i] for i in evenly(len(groups), MAX_CURVES).tolist()]
    high = 0.1 + 0.18 * len(groups) if others else 0.0
    ax = ax or alone(WIDTH, 4.0 + high, top=0.5, bottom=0.65 + high)
    ax.axhline(50, color="#888888", linewidth=0.8)
    for group, style in zip(groups, cycle(LINES)):
        label = shortened(setting(group.iloc[0], others), 60) if others else None
        rows = group.sort_values(key, key=lambda values: values.astype(float), kind="stable")
        x = rows[key].astype(float)
        ax.plot(
            x, 100 * rows["converged_share"], marker="o", ms=3, **style, linewidth=1.4, label=label
        )
        low, top = (100 * rows[f"converged_{end}"] for end in ("low", "high"))
        ax.fill_between(x, low, top, color=style["color"], alpha=0.15, linewidth=0)
    least, most = summary[key].astype(float).agg(["min", "max"])
    if least > 0 and most >= 10 * least:
        ax.set_xscale("log")
        log_ticks(ax.xaxis, (1,) if most > 1000 * least else (1, 3))
    elif least == 0 or most < 1e6:
        ax.xaxis.set_major_formatter("{x:g}")
    ax.set(ylim=(-1, 101), xlabel=key, ylabel="converged (%)")
    if others:
        legend(ax, "upper left", (0, -0.14), fontsize=8.5, handlelength=4, borderaxespad=0)
    runs = plural(int(sum(rows["runs"].sum() for rows in groups)), "run")
    return bare(titled(ax, title or f"Share converged over {key}: {runs}, 95% bands", 10))


# Over updates

MAX_STEPS = 240
"""Largest number of steps of a survival curve that are drawn."""

_LABEL = 3.3
"""Largest width of a setup's name, in inches."""


@styled
def survival_curves(
    table: pd.DataFrame,
    ax: Axes | None = None,
    title: str | None = None,
    baseline: str | None = None,
) -> Axes:
    """Draw the share of runs that have not converged yet over updates, with 95% bands.

    Each setup has a line from its first update to its budget. The numbers below the axis are the
    runs at risk: those that had not converged and were still in training.

    Parameters
    ----------
    table : DataFrame
        A result of `survival`.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional
        Instead of one with the number of runs and setups.
    baseline : str, optional
        Id of a setup. If many keys vary, the other names show only what differs from it.
    """
    setups = curves(table, baseline, _LABEL)
    left = max((inches(name, 8.5) for name, *_ in setups), default=0.5) + 0.85
    below = 1.0 + 0.2 * len(setups)
    at_left = 0.0 if ax else -(left - 0.1) / (WIDTH - left - 0.3)
    ax = ax or alone(WIDTH, 3.9 + below, left=max(left, 0.9), right=0.3, top=0.6, bottom=below)
    bare(ax).set_xlim(0, float(table["after"].max()) if len(table) else 1.0)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    line = -0.2 / (ax.get_window_extent().height / ax.figure.dpi)
    if setups:
        ax.text(
            0,
            3.2 * line,
            "runs at risk",
            transform=ax.get_xaxis_transform(),
            fontsize=8.5,
            va="center",
            style="italic",
        )
    for i, (name, rows, style) in enumerate(setups):
        _survival(ax, rows, style)
        _at_risk(ax, rows, line * 3.2 + line * (i + 1), name, style)
    ax.set(ylim=(0, 101), xlabel="updates", ylabel="not converged yet (%)")
    runs = plural(sum(int(rows["at_risk"].iloc[0]) for _, rows, _ in setups), "run")
    what = f"How long it takes to converge: {runs} in {plural(len(setups), 'setup')}, 95% bands"
    lines = wrapped(title or what, width_of(ax) * (1 - at_left), 12)
    ax.set_title(lines, loc="left", fontsize=12, x=at_left, pad=14)
    return ax


def _survival(ax: Axes, rows: pd.DataFrame, style: Any) -> None:
    """Draw a curve with its band, and a mark at its end."""
    shown = rows.iloc[evenly(len(rows), MAX_STEPS)]
    after, share = np.append(0, shown["after"]), 100 * np.append(1.0, shown["share"])
    ax.step(after, share, where="post", **style, linewidth=1.4)
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
    ax.text(-0.092, y, name, transform=ax.transAxes, fontsize=8.5, ha="right", va="center")
    for tick in ax.get_xticks():
        left = rows.loc[rows["after"] >= tick, "at_risk"]
        if tick >= 0 and len(left):
            ax.text(
                tick,
                y,
                plain(left.iloc[0]),
                transform=ax.get_xaxis_transform(),
                fontsize=8,
                ha="center",
                va="center",
            )


# Over thresholds

_AT_START: Any = {"color": "#777777", "linestyle": (0, (1, 2)), "linewidth": 1.3}

_ENTRY = 3.6
"""Largest width of a setup's name in the legend, in inches."""


@styled
def collapse_curves(
    table: pd.DataFrame,
    ax: Axes | None = None,
    collapse: float | None = None,
    title: str | None = None,
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
    title : str, optional
        Instead of one with the number of runs and setups.
    baseline : str, optional
        Id of the setup from which names show the differences if many keys vary.
    """
    setups = curves(table, baseline, _ENTRY)
    columns = 2 if len(setups) > 3 else 1
    high = 0.2 * -(-(len(setups) + 1) // columns)
    ax = ax or alone(WIDTH, 4.2 + high, top=0.7, bottom=0.95 + high)
    for name, rows, style in setups:
        ax.plot(
            rows["threshold"], 100 * rows["collapsed_share"], **style, linewidth=1.5, label=name
        )
    starts = {tuple(rows["constant_at_start_share"]): rows["threshold"] for _, rows, _ in setups}
    for shares, thresholds in starts.items():
        ax.plot(thresholds, 100 * np.array(shares), **_AT_START)
    ax.plot([], [], **_AT_START, label="before the first update")
    if collapse is not None:
        ax.axvline(collapse, color=Outcome.COLLAPSED.colour, linewidth=1.2)
        ax.text(collapse, 101, f" collapse = {collapse:g}", fontsize=8.5, ha="center", va="bottom")
    ax.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 100), ylabel="share of runs collapsed (%)")
    ax.set_xlabel("threshold: outputs that span less of the target range count as constant")
    log_ticks(ax.xaxis, (1,))
    runs = plural(int(sum(rows["runs"].iloc[0] for _, rows, _ in setups)), "run")
    what = "How the share of collapsed runs depends on the threshold"
    titled(ax, title or f"{what}: {runs} in {plural(len(setups), 'setup')}", 20)
    legend(
        ax, "upper left", (0, -0.24), ncols=columns, fontsize=8.5, handlelength=3, borderaxespad=0
    )
    return bare(ax)
