"""What changes of a setup do to the same seeds."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fastbp.reporting.phrases import plain
from fastbp.reporting.plots.style import (
    STYLE,
    WIDTH,
    alone,
    bare,
    inches,
    literal,
    width_of,
    wrapped,
)
from fastbp.schema.outcomes import Outcome


def effects(table: pd.DataFrame, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw the change of the share converged that each change of a setup makes, with its interval,
    best first.

    Parameters: `table`, with the columns change, cause, difference, difference_low,
    difference_high, fixes and pairs; `title`, instead of one that says how many seeds are seen.
    What fixes is drawn in the colour of converged runs, all else in grey.
    """
    names = [str(name) for name in table["change"]]
    left = max((inches(name, 9) for name in names), default=0.5) + 0.4
    with mpl.rc_context(STYLE):
        ax = ax or alone(
            max(WIDTH, left + 5),
            0.26 * max(len(names), 1) + 1.5,
            left=left,
            right=0.35,
            top=0.8,
            bottom=0.6,
        )
        for fixes, colour in ((True, Outcome.CONVERGED.colour), (False, "#777777")):
            rows = np.flatnonzero(table["fixes"].to_numpy(bool) == fixes)
            own = table.iloc[rows]
            ax.hlines(
                rows,
                100 * own["difference_low"],
                100 * own["difference_high"],
                color=colour,
                linewidth=1.4,
            )
            ax.scatter(100 * own["difference"], rows, 28, colour, zorder=3)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_yticks(range(len(names)), names, fontsize=9, va="center_baseline")
        ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
        ax.set_xlabel("change of the share of seeds that converge (percentage points)")
        seeds = int(table["pairs"].max()) if len(table) else 0
        count = int((table["cause"] != "control").sum())
        seen = f"What {count} change{'s do' if count != 1 else ' does'} to the same {plain(seeds)} seed{'s'[: seeds != 1]}"
        ax.set_title(wrapped(title or seen, width_of(ax), 12), loc="left", fontsize=12, pad=10)
        ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
        return literal(bare(ax))
