"""From tables to pictures: functions that draw on the axes they are given, and the files they become."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from fastbp.analysis.wording import labels, plain
from fastbp.outcomes import OUTCOMES, Outcome

COLOURS: dict[Outcome, str] = {
    Outcome.CONVERGED: "#009E73",
    Outcome.PARTIAL: "#56B4E9",
    Outcome.ONE_CLASS: "#E69F00",
    Outcome.COLLAPSED: "#D55E00",
    Outcome.DIVERGED: "#CC79A7",
}
"""A colour for each outcome, the same in every picture, from the palette of M. Okabe and K. Ito (2008), which people with any
kind of colour vision tell apart; black text on each has a contrast of at least 5. In the order in which bars stack: the good end
on the left, the two constant outcomes side by side."""

# Text stays text in SVG files, and dollar signs in names stay dollar signs; ids come from the content alone.
_STYLE: Any = {"text.parse_math": False, "text.usetex": False, "svg.fonttype": "none", "svg.hashsalt": "fastbp"}

_BAR = 6.4
_ROW = 0.42
"""Inches of a whole bar's length and of its row."""

_LABEL = 80
"""Characters of a row's label that are shown."""


def _inches(text: str, size: float) -> float:
    """The width of a text of so many points, near enough: DejaVu Sans runs at 0.6 of its size a character."""
    return len(text) * 0.6 * size / 72


def outcome_bars(summary: pd.DataFrame, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw how the runs of each setup ended: a bar of stacked shares for each row of a summary, with the counts.

    Parameters: `summary`, what `tables.summary` returned; `ax`, where to draw (none: a new figure, as large as it needs);
    `title`, instead of one that says how many runs and setups are seen. Counts stand in their segment, or, where that is too
    narrow, right of the bar; counts of 0 are left out. Returns the axes; the figure is `ax.figure`.
    """
    total = summary["runs"].to_numpy()
    names = [textwrap.shorten(name, _LABEL, placeholder=" …") for name in labels(summary)]
    names = [f"{name}  (n = {plain(n)})" for name, n in zip(names, total, strict=True)]
    bar = _BAR if ax is None else ax.get_window_extent().width / ax.figure.dpi
    counts = {outcome: summary[outcome.replace("-", "_")].to_numpy() for outcome in COLOURS}
    inside = {o: count / total * bar > [_inches(plain(n), 8.5) + 0.08 for n in count] for o, count in counts.items()}
    beside = [
        " · ".join(f"{plain(counts[o][row])} {o}" for o in COLOURS if counts[o][row] and not inside[o][row])
        for row in range(len(summary))
    ]
    with mpl.rc_context(_STYLE):
        if ax is None:
            ax = _axes(names, beside)
        left = np.zeros(len(summary))
        for outcome, count in counts.items():
            if not count.any():
                continue
            share = 100 * count / total
            ax.barh(range(len(share)), share, 0.78, left, color=COLOURS[outcome], edgecolor="white", linewidth=0.6, label=outcome)
            for row in np.flatnonzero(inside[outcome]).tolist():
                ax.text(left[row] + share[row] / 2, row, plain(count[row]), ha="center", va="center_baseline", fontsize=8.5)
            left += share
        for row, text in enumerate(beside):
            ax.text(101, row, text, va="center_baseline", fontsize=8)
        ax.set_yticks(range(len(names)), names, fontsize=9, va="center_baseline")
        ax.set_xlim(0, 100)
        ax.set_ylim(max(len(summary), 1) - 0.5, -0.5)
        ax.set_xlabel("share of runs (%)")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        runs, setups = int(total.sum()), len(summary)
        seen = title or f"How {plain(runs)} run{'s'[: runs != 1]} in {setups} setup{'s'[: setups != 1]} ended"
        ax.set_title("\n".join(textwrap.wrap(seen, 68, max_lines=3, placeholder=" …")), loc="left", fontsize=12, pad=28)
        if setups:
            ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(OUTCOMES), frameon=False, fontsize=9, borderaxespad=0.3)
        for artist in ax.findobj(Text):
            artist.set_parse_math(False)  # also what was there before, on axes made elsewhere
    return ax


def _axes(names: Sequence[str], beside: Sequence[str]) -> Axes:
    """Axes whose bars are equally long in every figure, with room for the texts around them."""
    left = max((_inches(name, 9) for name in names), default=0.0) + 0.3
    right = max((_inches(text, 8) for text in beside), default=0.0) + 0.3
    below, above, high = 0.6, 1.3, _ROW * max(len(names), 1)
    width, height = left + _BAR + right, below + high + above
    figure = Figure(figsize=(width, height))
    return figure.add_axes((left / width, below / height, _BAR / width, high / height))


def save(figure: Figure, stem: str | Path) -> tuple[Path, Path]:
    """Write a figure as `STEM.svg` and `STEM.png`, whole or not at all, the same bytes for the same figure and library versions.

    Returns the two paths. Raises OSError where the folder is missing or cannot be written.
    """
    written = []
    for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        path = Path(f"{stem}.{kind}")
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with mpl.rc_context(_STYLE):
                figure.savefig(unfinished, format=kind, dpi=150, metadata=metadata, bbox_inches="tight", facecolor="white")
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        written.append(path)
    return written[0], written[1]
