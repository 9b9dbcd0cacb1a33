"""Collapsed runs over the threshold of collapse."""

from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from fastbp.reporting.phrases import labels
from fastbp.reporting.plots.style import (
    LINES,
    WIDTH,
    alone,
    bare,
    clipped,
    legend,
    styled,
    titled,
)
from fastbp.reporting.plots.survival_plot import _ENTRY
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural

_AT_START: Any = {"color": "#777777", "linestyle": (0, (1, 2)), "linewidth": 1.3}


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
