"""The trajectory of single runs: what they answer, and their measures, over their updates."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
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

from fastbp.reporting.phrases import evenly, plain
from fastbp.reporting.plots.style import STYLE, bare, clipped, headed, literal, sheet
from fastbp.schema.outcomes import STACKED, Outcome
from fastbp.schema.text import plural

MAX_EVALUATIONS, MAX_LINES = 400, 200
"""Points of a curve, and outputs of a run, that a picture shows."""

FEW_ROWS = 16
"""Rows of a problem up to which the line of each can be followed."""

_TARGETS = LinearSegmentedColormap.from_list(
    "targets", mpl.colormaps["cividis"](np.linspace(0, 0.8, 64))
)
"""From the lowest target to the highest; what is left out of the map is lost on white."""

_CURVES: list[Any] = [{"color": "#0072B2"}, {"color": "black", "linestyle": (0, (4, 1.5))}]

_CONVERGED: Any = {"color": Outcome.CONVERGED.colour, "linewidth": 1.2, "linestyle": (0, (1, 1))}


def trajectory(
    looks: pd.DataFrame,
    T: NDArray[np.float64],
    title: str,
    note: str = "",
    converged_at: int | None = None,
) -> Figure:
    """The trajectory of one run in a new figure: its outputs, its outcome and its measures over its
    updates.

    Parameters: `looks`, one row each, as `retrain` or a trace has them; `T`, the targets, [row,
    output]; `title`, and a `note` below it; `converged_at`, the updates at the look that first
    found it converged.
    """
    with mpl.rc_context(STYLE):
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
            measure_curves(
                looks, names, figure.add_subplot(grid[row, 1], sharex=outputs), label, log
            )
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
    """Draw what a run would have been if it had ended at each look: a strip of outcomes in their
    colours, a legend above.

    `converged_at` is named in the legend.
    """
    shown = looks.iloc[evenly(len(looks), MAX_EVALUATIONS)]
    updates = shown["updates"].to_numpy(np.float64)
    edges = np.concatenate([updates[:1], (updates[1:] + updates[:-1]) / 2, updates[-1:]])
    outcomes = shown["outcome"].to_numpy(str)
    changes = np.flatnonzero(outcomes[1:] != outcomes[:-1]) + 1
    for first, end in pairwise([0, *changes.tolist(), len(outcomes)]):
        ax.axvspan(edges[first], edges[end], color=Outcome(outcomes[first]).colour, linewidth=0)
    handles: list[Any] = [
        Patch(color=outcome.colour, label=outcome) for outcome in STACKED if outcome in outcomes
    ]
    if converged_at is not None:
        handles.append(
            Line2D([], [], **_CONVERGED, label=f"first found converged at {plain(converged_at)}")
        )
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles), frameon=False, fontsize=9,
        borderaxespad=0.2, borderpad=0, handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
    ax.set_yticks([])
    ax.tick_params(axis="x", bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    return ax


def output_curves(looks: pd.DataFrame, T: NDArray[np.float64], ax: Axes) -> Axes:
    """Draw the outputs of a run over its updates, a line for each row and output unit, coloured by
    its target.

    Parameters: `looks`, with `outputs` row-major or null; `T`, the targets, [row, output]. Of very
    many lines some are drawn, and the label says how many.
    """
    shown = looks.iloc[evenly(len(looks), MAX_EVALUATIONS)]
    nothing = np.full(T.size, np.nan, np.float32)
    outputs = np.stack([nothing if values is None else values for values in shown["outputs"]])
    targets = T.ravel()
    lines = evenly(T.size, MAX_LINES)
    low, high = float(T.min()), float(T.max())
    place = Normalize(low, high if high > low else low + 1)
    style: Any = (
        {"linewidth": 1.3, "alpha": 0.9, **_marked(shown)}
        if len(T) <= FEW_ROWS
        else {"linewidth": 0.7, "alpha": 0.6}
    )
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
    return bare(ax)


def measure_curves(
    looks: pd.DataFrame, names: Sequence[str], ax: Axes, label: str, log: bool = False
) -> Axes:
    """Draw one or two measures of a run over its updates.

    `log`: on a logarithmic axis, without what is 0, where they span a factor of 10 or more; else
    they are shares.
    """
    shown = looks.iloc[evenly(len(looks), MAX_EVALUATIONS)]
    values = shown[[*names]].to_numpy(np.float64)
    positive = values[values > 0]
    logarithmic = log and positive.size > 0 and bool(positive.max() >= 10 * positive.min())
    if logarithmic:
        values = np.where(values > 0, values, np.nan)
    for column, (name, style) in enumerate(zip(names, _CURVES, strict=False)):
        ax.plot(
            shown["updates"],
            values[:, column],
            **style,
            **_marked(shown),
            linewidth=1.3,
            label=name,
        )
    if logarithmic:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(
            LogLocator(subs=(1, 3) if positive.max() < 1000 * positive.min() else (1,))
        )
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
    return bare(ax)


def _marked(shown: pd.DataFrame) -> dict[str, Any]:
    """EvaluatedWhen are dots where they are few: what is between them is drawn, not measured."""
    return {"marker": "o", "markersize": 3} if len(shown) <= 30 else {}


def learning_curves(
    traces: Mapping[str, pd.DataFrame], ax: Axes, measure: str = "loss", title: str | None = None
) -> Axes:
    """Draw a measure of several runs over their updates, each in the colour of its outcome, dashed
    where it had another before.

    Parameters: `traces`, by the name of a run its looks, as `retrain` or a trace has them.
    """
    with mpl.rc_context(STYLE):
        for (name, looks), dashes in zip(
            traces.items(), cycle(("-", (0, (5, 1.5)), (0, (1.5, 1)))), strict=False
        ):
            shown = looks.iloc[evenly(len(looks), MAX_EVALUATIONS)]
            outcome = Outcome(str(looks["outcome"].iloc[-1]))
            ax.plot(
                shown["updates"],
                shown[measure],
                color=outcome.colour,
                linestyle=dashes,
                linewidth=1.4,
                label=f"{clipped(name, 6.5, 8)}: {outcome}",
            )
        if measure in ("loss", "grad_norm"):
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.set_xlabel("updates")
        ax.set_ylabel(measure.replace("_", " "))
        seen = f"{measure.replace('_', ' ')} of {plural(len(traces), 'run')} over their updates"
        ax.set_title(title if title is not None else seen, loc="left", fontsize=10)
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(0, -0.16),
            frameon=False,
            fontsize=8,
            handlelength=2.6,
            borderaxespad=0,
        )
        return literal(bare(ax))


def learning_sheet(traces: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """The loss and the spread of several runs, side by side."""
    with mpl.rc_context(STYLE):
        figure, axes = sheet(2, 2, 2.8, top=0.9, bottom=0.75 + 0.18 * len(traces), gap=(0.8, 0))
        for ax, measure in zip(axes, ("loss", "spread"), strict=True):
            learning_curves(traces, ax, measure, "")
        axes[1].get_legend().remove()  # type: ignore[union-attr]  # the same as the first's
        return headed(figure, title)
