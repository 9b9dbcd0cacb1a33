"""Two stores side by side."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fastbp.analysis.statistics.proportions import wilson
from fastbp.reporting.plots.style import (
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
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import plural

_LABEL, _NAME = 4.6, 2.6
"""Inches of a setup's and of a store's name that are shown."""


def share_pairs(
    table: pd.DataFrame,
    labels: Sequence[str],
    names: tuple[str, str],
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the share converged in two stores, a line for each setup: a ring for the first, a dot
    for the second, Wilson's 95%.

    Parameters: `table`, what `comparison` returned; `labels`, of its rows; `names`, of the stores;
    `title`, instead of one that says how many runs are seen.
    """
    shown = [clipped(label, _LABEL, 9) for label in labels]
    left = max((inches(label, 9) for label in shown), default=0.5) + 0.4
    high = 0.34 * max(len(table), 1)
    with mpl.rc_context(STYLE):
        ax = ax or alone(
            max(WIDTH, left + 5), high + 1.6, left=left, right=0.35, top=1.0, bottom=0.6
        )
        colour = Outcome.CONVERGED.colour
        for side, name, shift, face in (
            ("a", names[0], -0.13, "none"),
            ("b", names[1], 0.13, colour),
        ):
            both = table["pairs"].to_numpy() > 0  # the seeds that both ran, where there are any
            count = np.where(both, table[f"paired_{side}"], table[f"converged_{side}"])
            total = np.where(both, table["pairs"], table[f"runs_{side}"])
            some = np.flatnonzero(total > 0)
            low, high_ = (100 * bound for bound in wilson(count[some], total[some]))
            share = 100 * count[some] / total[some]
            ax.hlines(some + shift, low, high_, color=colour, linewidth=1.1)
            told = f"{side.upper()}: {clipped(name, _NAME, 9)}"
            ax.scatter(
                share, some + shift, 26, face, edgecolor=colour, linewidth=1.3, zorder=3, label=told
            )
        ax.set_yticks(range(len(shown)), shown, fontsize=9, va="center_baseline")
        ax.set_ylim(max(len(table), 1) - 0.5, -0.5)
        ax.set_xlim(-2, 102)
        ax.set_xlabel("share of runs converged (%)")
        runs = int(table["runs_a"].sum()), int(table["runs_b"].sum())
        seen = f"Share converged of {plural(runs[0], 'run')} and of {plural(runs[1], 'run')} in {plural(len(table), 'setup')}"
        ax.set_title(wrapped(title or seen, width_of(ax), 12), loc="left", fontsize=12, pad=26)
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            frameon=False,
            fontsize=9,
            borderaxespad=0.3,
        )
        ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
        return literal(bare(ax))
