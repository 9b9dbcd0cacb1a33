"""How soon the runs of settings converge, averaged over several problems."""

import pandas as pd
from matplotlib.axes import Axes

from fastbp.reporting.plots.panels import titled, width_of, with_legend_below
from fastbp.reporting.plots.style import curves, styled


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
    settings = curves(table, baseline, width_of(ax) - 0.8)
    titled(ax, title)
    names = [name for name, *_ in settings]
    what = title or "How soon runs converge, averaged over the problems"
    ax, finish = with_legend_below(ax, names, 3.7, what, subtitle)
    for name, rows, style in settings:
        share, low, high = (100 * rows[each] for each in ("share", "low", "high"))
        ax.step(100 * rows["within"], share, where="post", **style, linewidth=1.4, label=name)
        band = {"step": "post", "color": style["color"], "alpha": 0.1, "linewidth": 0}
        ax.fill_between(100 * rows["within"], low, high, **band)
    ax.set(xlim=(0, 100), ylim=(0, 101), ylabel="runs that had converged (%)")
    ax.set_xlabel("updates (% of the largest budget)")
    return finish()
