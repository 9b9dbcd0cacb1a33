"""How long runs take: who has not converged yet, over updates."""

from __future__ import annotations

from itertools import cycle

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from fastbp.reporting.phrases import evenly, labels, plain
from fastbp.reporting.plots.style import (
    LINES,
    STYLE,
    WIDTH,
    alone,
    bare,
    clipped,
    inches,
    literal,
    width_of,
    wrapped,
)
from fastbp.schema.text import plural

MAX_STEPS = 240
"""Steps of a curve that are drawn."""

_LABEL = 3.3
"""Inches of a setup's name that are shown."""


def survival_curves(
    table: pd.DataFrame,
    ax: Axes | None = None,
    title: str | None = None,
    baseline: str | None = None,
) -> Axes:
    """Draw the share of runs that have not converged yet over updates, with bands, and how many are
    at risk.

    Parameters: `table`, what `tables.survival` returned; `title`, instead of one that says what is
    seen; `baseline`, the id of the setup from which others are told where many keys vary. Steps, a
    line for each setup from its first update to its budget; bands are pointwise 95%. Below the axis
    stand the runs at risk: those that had not converged and were still trained.
    """
    setups = list(table.groupby("setup", sort=False))
    heads = pd.concat([rows.head(1) for _, rows in setups]) if setups else table
    names = [clipped(name, _LABEL, 8.5) for name in labels(heads, baseline)] if setups else []
    left = max((inches(name, 8.5) for name in names), default=0.5) + 0.85
    with mpl.rc_context(STYLE):
        below = 1.0 + 0.2 * len(setups)
        at_left = 0.0
        if ax is None:
            ax = alone(
                WIDTH, 3.3 + 0.6 + below, left=max(left, 0.9), right=0.3, top=0.6, bottom=below
            )
            at_left = -(left - 0.1) / (WIDTH - left - 0.3)
        last = float(table["after"].max()) if len(table) else 1.0
        ax.set_xlim(0, last)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= last]
        line = -0.2 / (ax.get_window_extent().height / ax.figure.dpi)
        first = line * 3.2
        if setups:
            ax.text(
                0,
                first,
                "runs at risk",
                transform=ax.get_xaxis_transform(),
                fontsize=8.5,
                ha="left",
                va="center",
                style="italic",
            )
        runs = 0
        for i, ((_, rows), name, style) in enumerate(zip(setups, names, cycle(LINES))):
            runs += int(rows["at_risk"].iloc[0])
            shown = rows.iloc[evenly(len(rows), MAX_STEPS)]
            after = np.append(0, shown["after"])
            share = np.append(1.0, shown["share"])
            ax.step(after, 100 * share, where="post", **style, linewidth=1.4)
            ax.plot(
                after[-1],
                100 * share[-1],
                marker="|",
                markersize=9,
                color=style["color"],
                markeredgewidth=1.6,
                clip_on=False,
            )
            low, high = (np.append(np.nan, shown[bound]) for bound in ("low", "high"))
            ax.fill_between(
                after,
                100 * low,
                100 * high,
                step="post",
                color=style["color"],
                alpha=0.15,
                linewidth=0,
            )
            y = first + line * (i + 1)
            place = ax.get_xaxis_transform()
            ax.plot(
                [-0.048, -0.084],
                [y, y],
                **style,
                linewidth=1.4,
                transform=ax.transAxes,
                clip_on=False,
            )
            ax.text(-0.092, y, name, transform=ax.transAxes, fontsize=8.5, ha="right", va="center")
            ends = rows["after"].to_numpy()
            for tick in ticks:
                at = int(np.searchsorted(ends, tick))
                if at < len(ends):
                    ax.text(
                        tick,
                        y,
                        plain(rows["at_risk"].iloc[at]),
                        transform=place,
                        fontsize=8,
                        ha="center",
                        va="center",
                    )
        ax.set_ylim(0, 101)
        ax.set_xlabel("updates")
        ax.set_ylabel("not converged yet (%)")
        seen = f"How long it takes to converge: {plural(runs, 'run')} in {plural(len(setups), 'setup')}, 95% bands"
        ax.set_title(
            wrapped(title or seen, width_of(ax) * (1 - at_left), 12),
            loc="left",
            fontsize=12,
            x=at_left,
            pad=14,
        )
        literal(bare(ax))
        ax.set_xlim(0, last)
        return ax
