"""Curves of the share of collapsed runs over the threshold of collapse."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fastbp.reporting.plots.style import (
    WIDTH,
    alone,
    bare,
    curves,
    legend,
    log_ticks,
    styled,
    titled,
)
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural

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
