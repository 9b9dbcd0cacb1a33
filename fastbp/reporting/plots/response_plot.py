"""How the share that converges goes over the values of one key."""

from __future__ import annotations

from itertools import cycle

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from fastbp.analysis.summary import keys_of
from fastbp.reporting.phrases import evenly, setting
from fastbp.reporting.plots.style import (
    LINES,
    STYLE,
    WIDTH,
    alone,
    bare,
    literal,
    width_of,
    wrapped,
)
from fastbp.schema.text import plural, shortened

MAX_CURVES = 8
"""Settings of the other keys that are drawn, of more evenly apart."""


def response_curves(
    summary: pd.DataFrame, key: str, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw the share of runs converged over a numeric key, with Wilson's bounds as a band, a line
    for each setting of the others.

    Parameters: `summary`, what `tables.summary` returned; `key`, one that varies; `title`, instead
    of one that says what is seen. The axis of the key is logarithmic where its values are positive
    and span a factor of ten. A thin line is at one half.
    """
    others = [name for name in keys_of(summary) if name != key]
    groups = (
        [rows for _, rows in summary.groupby(others, sort=False, dropna=False)]
        if others
        else [summary]
    )
    groups = [groups[i] for i in evenly(len(groups), MAX_CURVES).tolist()]
    values = summary[key].astype(float)
    with mpl.rc_context(STYLE):
        if ax is None:
            named = 0.1 + 0.18 * len(groups) if others else 0.0
            ax = alone(WIDTH, 4.0 + named, top=0.5, bottom=0.65 + named)
        ax.axhline(50, color="#888888", linewidth=0.8)
        for rows, style in zip(groups, cycle(LINES)):
            rows = rows.iloc[rows[key].astype(float).argsort(kind="stable")]  # noqa: PLW2901
            x = rows[key].astype(float)
            label = shortened(setting(rows.iloc[0], others), 60) if others else None
            ax.plot(
                x,
                100 * rows["converged_share"],
                **style,
                linewidth=1.4,
                marker="o",
                markersize=3,
                label=label,
            )
            low, high = (100 * rows[f"converged_{end}"] for end in ("low", "high"))
            ax.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
        if values.min() > 0 and values.max() >= 10 * values.min():
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(
                LogLocator(subs=(1,) if values.max() > 1000 * values.min() else (1, 3))
            )
            ax.xaxis.set_minor_formatter(NullFormatter())
        if values.min() == 0 or values.max() < 1e6:
            ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.set_ylim(-1, 101)
        ax.set_xlabel(key)
        ax.set_ylabel("converged (%)")
        if others:
            ax.legend(
                fontsize=8.5,
                frameon=False,
                loc="upper left",
                bbox_to_anchor=(0, -0.14),
                borderaxespad=0,
            )
        runs = plural(int(sum(rows["runs"].sum() for rows in groups)), "run")
        seen = f"Share converged over {key}: {runs}, 95% bands"
        ax.set_title(wrapped(title or seen, width_of(ax), 12), loc="left", fontsize=12, pad=10)
        return literal(bare(ax))
