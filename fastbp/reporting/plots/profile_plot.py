"""How soon the runs of settings converge, averaged over several problems."""

import pandas as pd
from matplotlib.axes import Axes

from fastbp.reporting.plots.style import (
    WIDTH,
    alone,
    bare,
    curves,
    inches,
    legend,
    styled,
    titled,
)

_ENTRY, _HALF = WIDTH - 1.6, 3.6
"""Largest width of a setting's name in the legend in inches, and with two columns of names."""


@styled
def profile_curves(
    table: pd.DataFrame, title: str, ax: Axes | None = None, baseline: str | None = None
) -> Axes:
    """Draw the share of runs that have converged over the share of the budget, with 95% bands.

    Parameters
    ----------
    table : DataFrame
        A result of `profiles`.
    title : str
        Of the picture.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    baseline : str, optional
        Value of `setup` from which names show the differences if many keys vary.
    """
    settings = curves(table, baseline, _ENTRY)
    columns = 2 if max(inches(name, 8.5) for name, *_ in settings) <= _HALF else 1
    below = 0.75 + 0.2 * -(-len(settings) // columns)
    ax = ax or alone(WIDTH, 3.6 + below, bottom=below)
    for name, rows, style in settings:
        share, low, high = (100 * rows[each] for each in ("share", "low", "high"))
        ax.step(100 * rows["within"], share, where="post", **style, linewidth=1.4, label=name)
        band = {"step": "post", "color": style["color"], "alpha": 0.1, "linewidth": 0}
        ax.fill_between(100 * rows["within"], low, high, **band)
    ax.set(xlim=(0, 100), ylim=(0, 101), ylabel="runs that had converged (%)")
    ax.set_xlabel("updates (% of the largest budget of the problem)")
    titled(ax, title)
    legend(
        ax, "upper left", (0, -0.2), ncols=columns, fontsize=8.5, handlelength=3, borderaxespad=0
    )
    return bare(ax)
