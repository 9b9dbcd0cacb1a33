"""From tables to pictures: functions that draw on the axes they are given, and the files they become."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from fastbp.analysis.wording import evenly, labels, plain
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


MOST_LOOKS, MOST_LINES = 400, 200
"""Points of a curve, and outputs of a run, that a picture shows."""

FEW_ROWS = 16
"""Rows of a problem up to which the line of each can be followed."""

_TARGETS = LinearSegmentedColormap.from_list("targets", mpl.colormaps["cividis"](np.linspace(0, 0.8, 64)))
"""From the lowest target to the highest; what is left out of the map is lost on white."""

_CURVES: list[Any] = [{"color": "#0072B2"}, {"color": "black", "linestyle": (0, (4, 1.5))}]

_CONVERGED: Any = {"color": COLOURS[Outcome.CONVERGED], "linewidth": 1.2, "linestyle": (0, (1, 1))}


def life(looks: pd.DataFrame, T: NDArray[np.float64], title: str, note: str = "", converged_at: int | None = None) -> Figure:
    """The life of one run in a new figure: its outputs, its outcome and its measures over its updates.

    Parameters: `looks`, one row each, as `retrain` or a trace has them; `T`, the targets, [row, output]; `title`, and a `note`
    below it; `converged_at`, the updates at the look that first found it converged.
    """
    with mpl.rc_context(_STYLE):
        heading = textwrap.wrap(title, 90) + textwrap.wrap(note, 130, max_lines=3, placeholder=" …")
        above, below, high = 0.45 + 0.18 * len(heading), 0.8, 5.0
        height = above + high + below
        # Not matplotlib's constrained layout, whose last bits differ from one time to the next.
        figure = Figure(figsize=(11, height))
        grid = figure.add_gridspec(
            5, 2, height_ratios=(0.15, 1, 1, 1, 1), width_ratios=(1.15, 1),
            left=0.06, right=0.99, bottom=below / height, top=1 - above / height, wspace=0.2, hspace=0.3,
        )  # fmt: skip
        outputs = output_curves(looks, T, figure.add_subplot(grid[1:, 0]))
        outcome_strip(looks, figure.add_subplot(grid[0, 0], sharex=outputs), converged_at)
        panels = [
            measure_curves(looks, names, figure.add_subplot(grid[row, 1], sharex=outputs), label, log)
            for row, (names, label, log) in enumerate(
                [
                    (["loss"], "loss", True),
                    (["max_error", "spread"], "share of range", False),
                    (["saturation"], "saturation", False),
                    (["grad_norm"], "gradient norm", True),
                ],
                1,
            )
        ]
        outputs.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        outputs.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        for ax in (outputs, panels[-1]):
            ax.set_xlabel("updates")
        for ax in panels[:-1]:
            ax.tick_params(axis="x", labelbottom=False)
        if converged_at is not None:
            for ax in (outputs, *panels):
                ax.axvline(converged_at, **_CONVERGED)
        figure.align_ylabels(panels)
        figure.suptitle("\n".join(heading), x=0.015, y=1 - 0.08 / height, ha="left", fontsize=10)
        for artist in figure.findobj(Text):
            artist.set_parse_math(False)
    return figure


def outcome_strip(looks: pd.DataFrame, ax: Axes, converged_at: int | None = None) -> Axes:
    """Draw what a run would have been if it had ended at each look: a strip of outcomes in their colours, a legend above.

    `converged_at` is named in the legend.
    """
    shown = looks.iloc[evenly(len(looks), MOST_LOOKS)]
    updates = shown["updates"].to_numpy(np.float64)
    edges = np.concatenate([updates[:1], (updates[1:] + updates[:-1]) / 2, updates[-1:]])
    outcomes = shown["outcome"].to_numpy(str)
    changes = np.flatnonzero(outcomes[1:] != outcomes[:-1]) + 1
    for first, end in pairwise([0, *changes.tolist(), len(outcomes)]):
        ax.axvspan(edges[first], edges[end], color=COLOURS[Outcome(outcomes[first])], linewidth=0)
    handles: list[Any] = [Patch(color=colour, label=outcome) for outcome, colour in COLOURS.items() if outcome in outcomes]
    if converged_at is not None:
        handles.append(Line2D([], [], **_CONVERGED, label=f"first found converged at {plain(converged_at)}"))
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles), frameon=False, fontsize=9,
        borderaxespad=0.2, borderpad=0, handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
    ax.set_yticks([])
    ax.tick_params(axis="x", bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    return ax


def output_curves(looks: pd.DataFrame, T: NDArray[np.float64], ax: Axes) -> Axes:
    """Draw the outputs of a run over its updates, a line for each row and output unit, coloured by its target.

    Parameters: `looks`, with `outputs` row-major or null; `T`, the targets, [row, output]. Of very many lines some are drawn, and
    the label says how many.
    """
    shown = looks.iloc[evenly(len(looks), MOST_LOOKS)]
    nothing = np.full(T.size, np.nan, np.float32)
    outputs = np.stack([nothing if values is None else values for values in shown["outputs"]])
    targets = T.ravel()
    lines = evenly(T.size, MOST_LINES)
    low, high = float(T.min()), float(T.max())
    place = Normalize(low, high if high > low else low + 1)
    style: Any = {"linewidth": 1.3, "alpha": 0.9, **_marked(shown)} if len(T) <= FEW_ROWS else {"linewidth": 0.7, "alpha": 0.6}
    for line in lines[np.argsort(targets[lines], kind="stable")].tolist():
        colour = _TARGETS(place(targets[line]))
        ax.plot(shown["updates"], outputs[:, line], color=colour, **style)
    values = np.unique(T)
    for value in values[np.unique(evenly(len(values), 5))].tolist():
        colour = _TARGETS(place(value))
        ax.axhline(value, color=colour, linewidth=1.2, linestyle=(0, (1, 2)), zorder=0)
        ax.plot([], [], color=colour, linewidth=1.6, label=f"target {value:.3g}")
    ax.set_ylim(-0.03, 1.03)
    some = "" if len(lines) == T.size else f"{plain(len(lines))} of "
    ax.set_ylabel(f"{some}{plain(T.size)} output{'s'[: T.size != 1]} over {plain(len(T))} rows")
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=5, frameon=False, fontsize=8.5, handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
    return _bare(ax)


def measure_curves(looks: pd.DataFrame, names: Sequence[str], ax: Axes, label: str, log: bool = False) -> Axes:
    """Draw one or two measures of a run over its updates.

    `log`: on a logarithmic axis, without what is 0, where they span a factor of 10 or more; else they are shares.
    """
    shown = looks.iloc[evenly(len(looks), MOST_LOOKS)]
    values = shown[[*names]].to_numpy(np.float64)
    positive = values[values > 0]
    logarithmic = log and positive.size > 0 and bool(positive.max() >= 10 * positive.min())
    if logarithmic:
        values = np.where(values > 0, values, np.nan)
    for column, (name, style) in enumerate(zip(names, _CURVES, strict=False)):
        ax.plot(shown["updates"], values[:, column], **style, **_marked(shown), linewidth=1.3, label=name)
    if logarithmic:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 3) if positive.max() < 1000 * positive.min() else (1,)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # the usual ones write formulas
        ax.yaxis.set_minor_formatter(NullFormatter())
    elif not log:
        ax.set_ylim(-0.04, 1.04 * max([1.0, *positive]))
    ax.set_ylabel(label)
    if len(names) > 1:
        ax.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=len(names), frameon=False, fontsize=8.5, handlelength=2.4,
            borderaxespad=0, borderpad=0,
        )  # fmt: skip
    return _bare(ax)


def _marked(shown: pd.DataFrame) -> dict[str, Any]:
    """Looks are dots where they are few: what is between them is drawn, not measured."""
    return {"marker": "o", "markersize": 3} if len(shown) <= 30 else {}


def _bare(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=9)
    ax.margins(x=0.01)
    return ax


def encoded(figure: Figure, kind: str) -> bytes:
    """A figure as a file in memory, `svg`, `png` or `pdf`: the same bytes for the same figure and library versions."""
    metadata: dict[str, Any] = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}[kind]
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata, bbox_inches="tight", facecolor="white")
    return buffer.getvalue()


def save(figure: Figure, stem: str | Path) -> tuple[Path, Path]:
    """Write a figure as `STEM.svg` and `STEM.png`, whole or not at all. Returns the two paths.

    Raises OSError where the folder is missing or cannot be written.
    """
    written = []
    for kind in ("svg", "png"):
        path = Path(f"{stem}.{kind}")
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(encoded(figure, kind))
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        written.append(path)
    return written[0], written[1]
