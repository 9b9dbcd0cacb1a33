"""Curves of the convergence rate over the values of one numeric key."""

from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes

from fastbp.analysis.summary import keys_of, settings_of
from fastbp.reporting.phrases import evenly, setting
from fastbp.reporting.plots.style import (
    LINES,
    WIDTH,
    alone,
    bare,
    legend,
    log_ticks,
    styled,
    titled,
)
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
    others = [name for name in keys_of(summary) if name != key]
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
