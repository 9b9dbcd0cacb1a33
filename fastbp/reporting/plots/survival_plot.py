"""How long runs take to converge: survival curves with bands and runs at risk."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from fastbp.reporting.phrases import evenly, labels, plain
from fastbp.reporting.plots.style import (
    LINES,
    WIDTH,
    alone,
    bare,
    clipped,
    inches,
    styled,
    width_of,
    wrapped,
)
from fastbp.schema.text import plural

MAX_STEPS = 240
"""Steps of a survival curve that are drawn."""

_LABEL, _ENTRY = 3.3, 3.6
"""Inches of a setup's name that are shown beside runs at risk, and in a legend."""


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
