"""Curves over updates, a key or a threshold: a line for each setup or setting."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from fastbp.analysis.summary import keys_of, settings_of
from fastbp.reporting.phrases import evenly, labels, plain, setting
from fastbp.reporting.plots.style import (
    LINES,
    WIDTH,
    alone,
    bare,
    clipped,
    inches,
    legend,
    styled,
    titled,
    width_of,
    wrapped,
)
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural, shortened

MAX_STEPS = 240
"""Steps of a survival curve that are drawn."""

MAX_CURVES = 8
"""Settings of the other keys whose response is drawn: of more, so many evenly spaced."""

_LABEL, _ENTRY = 3.3, 3.6
"""Inches of a setup's name that are shown beside runs at risk, and in a legend."""

_AT_START: Any = {"color": "#777777", "linestyle": (0, (1, 2)), "linewidth": 1.3}


@styled
def survival_curves(
    table: pd.DataFrame,
    ax: Axes | None = None,
    title: str | None = None,
    baseline: str | None = None,
) -> Axes:
    """Draw the share of runs that have not converged yet over updates, with 95% bands.

    A line for each setup from its first update to its budget. Below the axis stand the runs at
    risk: those that had not converged and were still trained.

    Parameters
    ----------
    table : DataFrame
        From `survival`.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional
        Instead of one with the number of runs and setups.
    baseline : str, optional
        Id of the setup from which others differ if many keys vary.
    """
    setups = [rows for _, rows in table.groupby("setup", sort=False)]
    heads = table.drop_duplicates("setup")
    names = [clipped(name, _LABEL, 8.5) for name in labels(heads, baseline)] if setups else []
    left = max((inches(name, 8.5) for name in names), default=0.5) + 0.85
    below = 1.0 + 0.2 * len(setups)
    at_left = 0.0 if ax else -(left - 0.1) / (WIDTH - left - 0.3)
    ax = ax or alone(WIDTH, 3.9 + below, left=max(left, 0.9), right=0.3, top=0.6, bottom=below)
    last = float(table["after"].max()) if len(table) else 1.0
    ax.set_xlim(0, last)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= last]
    line = -0.2 / (ax.get_window_extent().height / ax.figure.dpi)
    if setups:
        text: Any = {"transform": ax.get_xaxis_transform(), "fontsize": 8.5, "va": "center"}
        ax.text(0, 3.2 * line, "runs at risk", style="italic", **text)
    for i, (rows, name, style) in enumerate(zip(setups, names, cycle(LINES))):
        _survival(ax, rows, style)
        _at_risk(ax, rows, ticks, line * 3.2 + line * (i + 1), name, style)
    ax.set(ylim=(0, 101), xlabel="updates", ylabel="not converged yet (%)")
    runs = plural(sum(int(rows["at_risk"].iloc[0]) for rows in setups), "run")
    what = f"How long it takes to converge: {runs} in {plural(len(setups), 'setup')}, 95% bands"
    lines = wrapped(title or what, width_of(ax) * (1 - at_left), 12)
    ax.set_title(lines, loc="left", fontsize=12, x=at_left, pad=14)
    bare(ax)
    ax.set_xlim(0, last)
    return ax


def _survival(ax: Axes, rows: pd.DataFrame, style: Any) -> None:
    """Draw a curve with its band, and a mark at its end."""
    shown = rows.iloc[evenly(len(rows), MAX_STEPS)]
    after = np.append(0, shown["after"])
    share = 100 * np.append(1.0, shown["share"])
    ax.step(after, share, where="post", **style, linewidth=1.4)
    mark: Any = {"marker": "|", "markersize": 9, "markeredgewidth": 1.6, "clip_on": False}
    ax.plot(after[-1], share[-1], color=style["color"], **mark)
    low, high = (100 * np.append(np.nan, shown[bound]) for bound in ("low", "high"))
    ax.fill_between(after, low, high, step="post", color=style["color"], alpha=0.15, linewidth=0)


def _at_risk(
    ax: Axes, rows: pd.DataFrame, ticks: list[float], y: float, name: str, style: Any
) -> None:
    """Below the axis, name a curve and write the runs at risk at each tick."""
    key: Any = {"linewidth": 1.4, "transform": ax.transAxes, "clip_on": False}
    ax.plot([-0.048, -0.084], [y, y], **style, **key)
    ax.text(-0.092, y, name, transform=ax.transAxes, fontsize=8.5, ha="right", va="center")
    text: Any = {"transform": ax.get_xaxis_transform(), "fontsize": 8, "ha": "center"}
    for tick in ticks:
        left = rows.loc[rows["after"] >= tick, "at_risk"]
        if len(left):
            ax.text(tick, y, plain(left.iloc[0]), va="center", **text)


@styled
def collapse_curves(
    table: pd.DataFrame,
    ax: Axes | None = None,
    collapse: float | None = None,
    title: str | None = None,
    baseline: str | None = None,
) -> Axes:
    """Draw the share of runs that would be collapsed, over the threshold for constant outputs.

    A line for each setup; dotted, how many were as constant before the first update.

    Parameters
    ----------
    table : DataFrame
        From `collapsing`.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    collapse : float, optional
        The threshold in use, which is marked.
    title, baseline : str, optional
        As for `outcome_bars`.
    """
    setups = [rows for _, rows in table.groupby("setup", sort=False)]
    names = labels(table.drop_duplicates("setup"), baseline) if setups else []
    columns = 2 if len(setups) > 3 else 1
    high = 0.2 * -(-(len(setups) + 1) // columns)
    ax = ax or alone(WIDTH, 4.2 + high, top=0.7, bottom=0.95 + high)
    for rows, name, style in zip(setups, names, cycle(LINES)):
        look: Any = {"linewidth": 1.5, "label": clipped(name, _ENTRY, 8.5)}
        ax.plot(rows["threshold"], 100 * rows["collapsed_share"], **style, **look)
    alike = {rows["constant_at_start_share"].to_numpy().tobytes(): rows for rows in setups[::-1]}
    for rows in reversed(alike.values()):
        ax.plot(rows["threshold"], 100 * rows["constant_at_start_share"], **_AT_START)
    ax.plot([], [], **_AT_START, label="before the first update")
    if collapse is not None:
        ax.axvline(collapse, color=Outcome.COLLAPSED.colour, linewidth=1.2)
        ax.text(collapse, 101, f" collapse = {collapse:g}", fontsize=8.5, ha="center", va="bottom")
    ax.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 100), ylabel="share of runs collapsed (%)")
    ax.set_xlabel("threshold: outputs that span less of the target range count as constant")
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    runs = plural(int(sum(rows["runs"].iloc[0] for rows in setups)), "run")
    what = "How the share of collapsed runs depends on the threshold"
    titled(ax, title or f"{what}: {runs} in {plural(len(setups), 'setup')}", 20)
    legend(
        ax, "upper left", (0, -0.24), ncols=columns, fontsize=8.5, handlelength=3, borderaxespad=0
    )
    return bare(ax)


@styled
def response_curves(
    summary: pd.DataFrame, key: str, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw the share of runs converged over a numeric key, with Wilson's bounds as a band.

    A line for each setting of the other keys. The axis is logarithmic if the key's values are
    positive and span a factor of ten. A thin line is at one half.

    Parameters
    ----------
    summary : DataFrame
        From `summary`.
    key : str
        A key that varies.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional
        Instead of one with the number of runs.
    """
    others = [name for name in keys_of(summary) if name != key]
    groups = settings_of(summary, others)
    groups = [groups[i] for i in evenly(len(groups), MAX_CURVES).tolist()]
    high = 0.1 + 0.18 * len(groups) if others else 0.0
    ax = ax or alone(WIDTH, 4.0 + high, top=0.5, bottom=0.65 + high)
    ax.axhline(50, color="#888888", linewidth=0.8)
    for group, style in zip(groups, cycle(LINES)):
        label = shortened(setting(group.iloc[0], others), 60) if others else None
        rows = group.sort_values(key, key=_floats, kind="stable")
        x = _floats(rows[key])
        look: Any = {"linewidth": 1.4, "marker": "o", "markersize": 3, "label": label}
        ax.plot(x, 100 * rows["converged_share"], **style, **look)
        low, top = (100 * rows[f"converged_{end}"] for end in ("low", "high"))
        ax.fill_between(x, low, top, color=style["color"], alpha=0.15, linewidth=0)
    least, most = _floats(summary[key]).agg(["min", "max"])
    if least > 0 and most >= 10 * least:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1,) if most > 1000 * least else (1, 3)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    if least == 0 or most < 1e6:
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set(ylim=(-1, 101), xlabel=key, ylabel="converged (%)")
    if others:
        legend(ax, "upper left", (0, -0.14), fontsize=8.5, borderaxespad=0)
    runs = plural(int(sum(rows["runs"].sum() for rows in groups)), "run")
    return bare(titled(ax, title or f"Share converged over {key}: {runs}, 95% bands", 10))


def _floats(values: pd.Series[Any]) -> pd.Series[Any]:
    return values.astype(float)
