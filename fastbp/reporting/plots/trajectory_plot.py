"""Pictures of single runs: outputs and measures over updates, and the outputs at the end."""

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
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from fastbp.reporting.phrases import evenly, losses, plain
from fastbp.reporting.plots.panels import columns_of, legend, sheet, titled, width_of
from fastbp.reporting.plots.style import NARROW, SIZE, bare, clipped, log_ticks, styled
from fastbp.schema.outcomes import STACKED, Outcome

MAX_EVALUATIONS, MAX_LINES = 400, 200
"""Largest numbers of points of a curve, and of output curves of a run, that a picture shows."""

MAX_MEASURE = 1e100
"""Largest size of a measure in a picture: beyond 10¹⁵⁰ the numbers of matplotlib overflow."""

FEW_ROWS = 16
"""If a problem has at most this many rows, its curves are thick: each can be followed."""

_TARGETS = LinearSegmentedColormap.from_list(
    "targets", mpl.colormaps["cividis"](np.linspace(0, 0.8, 64))
)
"""Colours from the lowest to the highest target: the part of cividis that is visible on white."""

_CURVES: list[Any] = [{"color": "#0072B2"}, {"color": "black", "linestyle": (0, (4, 1.5))}]

_CONVERGED: Any = {"color": Outcome.CONVERGED.colour, "linewidth": 1.2, "linestyle": (0, (1, 1))}

_PANELS: list[tuple[list[str], str, bool]] = [
    (["loss"], "loss", True),
    (["max_error", "spread"], "share of range", False),
    (["saturation"], "saturation", False),
    (["grad_norm"], "gradient norm", True),
]
"""For each panel its measures, the label of its axis, and whether the axis is logarithmic."""


@styled
def trajectory(
    evaluations: pd.DataFrame,
    T: NDArray[np.float64],
    title: str,
    note: str = "",
    converged_at: int | None = None,
) -> Figure:
    """Draw the outputs, the outcome and the measures of one run over its updates.

    The panels share their updates, so they are on a figure of their own; `output_curves`,
    `outcome_strip` and `measure_curves` draw them on given axes.

    Parameters
    ----------
    evaluations : DataFrame
        One row per evaluation, as `retrain` or a trace has them.
    T : float64 array, [row, output]
        Targets.
    title, note : str
        The title, and a note below it.
    converged_at : int, optional
        Updates at the evaluation at which the run first converged.
    """
    heading = textwrap.wrap(title, 90) + textwrap.wrap(note, 130, max_lines=3, placeholder=" …")
    above, below = 0.65 + 0.18 * len(heading), 0.8
    height = above + 5.0 + below
    figure = Figure(figsize=(11, height))
    # matplotlib's constrained layout is not used: its last bits differ from one time to the next.
    figure.subplots_adjust(0.06, below / height, 0.99, 1 - above / height, wspace=0.2, hspace=0.3)
    grid = figure.add_gridspec(5, 2, height_ratios=(0.15, 1, 1, 1, 1), width_ratios=(1.15, 1))
    outputs = output_curves(evaluations, T, figure.add_subplot(grid[1:, 0]))
    outcome_strip(evaluations, figure.add_subplot(grid[0, 0], sharex=outputs), converged_at)
    panels = [figure.add_subplot(grid[i, 1], sharex=outputs) for i in range(1, 5)]
    for ax, (names, label, log) in zip(panels, _PANELS, strict=True):
        measure_curves(
            evaluations, losses(evaluations) if label == "loss" else names, ax, label, log
        )
    outputs.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    outputs.xaxis.set_major_formatter("{x:,.0f}")
    for ax in (outputs, *panels):
        if ax in (outputs, panels[-1]):
            ax.set_xlabel("updates")
        else:
            ax.tick_params(axis="x", labelbottom=False)
        if converged_at is not None:
            ax.axvline(converged_at, **_CONVERGED)
    figure.align_ylabels(panels)
    figure.suptitle("\n".join(heading), x=0.015, y=1 - 0.08 / height, ha="left", fontsize=10)
    return figure


def outcome_strip(evaluations: pd.DataFrame, ax: Axes, converged_at: int | None = None) -> Axes:
    """Draw the outcome at each evaluation as a strip of colours, with a legend above.

    Parameters
    ----------
    evaluations : DataFrame
        One row per evaluation, as `retrain` or a trace has them.
    ax : Axes
        Where to draw.
    converged_at : int, optional
        Updates at the evaluation at which the run first converged; the legend names them.
    """
    shown = _shown(evaluations)
    updates = shown["updates"].to_numpy(np.float64)
    edges = np.concatenate([updates[:1], (updates[1:] + updates[:-1]) / 2, updates[-1:]])
    outcomes = shown["outcome"].to_numpy(str)
    for first, end in pairwise(
        [0, *(np.flatnonzero(outcomes[1:] != outcomes[:-1]) + 1).tolist(), len(outcomes)]
    ):
        ax.axvspan(edges[first], edges[end], color=Outcome(outcomes[first]).colour, linewidth=0)
    handles: list[Any] = [Patch(color=o.colour, label=o) for o in STACKED if o in outcomes]
    if converged_at is not None:
        handles += [Line2D([], [], **_CONVERGED, label=f"first converged at {plain(converged_at)}")]
    legend(
        ax,
        "lower left",
        (0, 1),
        -0.05,
        handles=handles,
        ncols=columns_of([str(handle.get_label()) for handle in handles], width_of(ax)),
        handlelength=1.2,
    )
    ax.set_yticks([])
    ax.tick_params(axis="x", bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    return ax


def output_curves(evaluations: pd.DataFrame, T: NDArray[np.float64], ax: Axes) -> Axes:
    """Draw the outputs of a run over its updates, with a line for each row and output unit.

    The colour of a line shows its target. At most `MAX_LINES` lines are drawn; the label of the
    axis says how many.

    Parameters
    ----------
    evaluations : DataFrame
        One row per evaluation, as `retrain` or a trace has them. The column `outputs` has all
        outputs, row by row of the problem, or null.
    T : float64 array, [row, output]
        Targets.
    ax : Axes
        Where to draw.
    """
    shown, lines = _shown(evaluations), evenly(T.size, MAX_LINES)
    outputs = np.stack(
        [np.full(len(lines), np.nan) if o is None else o[lines] for o in shown["outputs"]]
    )
    targets, low, high = T.ravel()[lines], float(T.min()), float(T.max())
    place = Normalize(low, high if high > low else low + 1)
    style: Any = {"linewidth": 0.7, "alpha": 0.6}
    if len(T) <= FEW_ROWS:
        style = {"linewidth": 1.3, "alpha": 0.9, **_marked(shown)}
    for line in np.argsort(targets, kind="stable").tolist():
        ax.plot(shown["updates"], outputs[:, line], color=_TARGETS(place(targets[line])), **style)
    values = np.unique(T)
    for value in values[evenly(len(values), 5)].tolist():
        colour = _TARGETS(place(value))
        ax.axhline(value, color=colour, linewidth=1.2, linestyle=(0, (1, 2)), zorder=0)
        ax.plot([], [], color=colour, linewidth=1.6, label=f"target {value:.3g}")
    some = "" if len(lines) == T.size else f"{plain(len(lines))} of "
    label = f"{some}{plain(T.size)} output{'s'[: T.size != 1]} over {plain(len(T))} rows"
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    else:
        low, high = np.sort(np.append(T, outputs[np.isfinite(outputs)]))[[0, -1]].tolist()
    # outputs in a table's units may be rounded to the same large number, or differ by denormals
    margin = 0.03 * max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-300)
    ax.set(ylim=(low - margin, high + margin), ylabel=label)
    columns = min(5, int(width_of(ax) / 0.9) or 1)
    legend(ax, "upper center", (0.5, 0), 0.5, ncols=columns, handlelength=1.2, columnspacing=1.2)
    return bare(ax)


def measure_curves(
    evaluations: pd.DataFrame, names: Sequence[str], ax: Axes, label: str, log: bool = False
) -> Axes:
    """Draw one or two measures of a run over its updates.

    Parameters
    ----------
    evaluations : DataFrame
        One row per evaluation, as `retrain` or a trace has them.
    names : sequence of str
        Columns of the evaluations: the measures to draw.
    ax : Axes
        Where to draw.
    label : str
        Label of the axis.
    log : bool
        Whether the axis is logarithmic if the positive values span a factor of 10; zeros are then
        left out. If False, the measures are shares and the axis shows 0 to 1 at least.
    """
    shown = _shown(evaluations)
    values = shown[[*names]].to_numpy(np.float64)
    positive = values[values > 0]
    logarithmic = log and positive.size > 0 and bool(positive.max() >= 10 * positive.min())
    if logarithmic:
        values = np.where(values > 0, values, np.nan)
    for name, measure, curve in zip(names, values.T, _CURVES, strict=False):
        ax.plot(
            shown["updates"],
            measure,
            **curve,
            linewidth=1.3,
            **_marked(shown),
            label=name.replace("test_", "held-out "),
        )
    if logarithmic:
        ax.set_yscale("log")
        log_ticks(ax.yaxis, positive.min(), positive.max())
    elif not log:
        ax.set_ylim(-0.04, 1.04 * max([1.0, *positive]))
    ax.set_ylabel(label)
    if len(names) > 1:
        legend(ax, "lower right", (1, 1), ncols=len(names), handlelength=2.4)
    return bare(ax)


def _shown(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Choose up to `MAX_EVALUATIONS` evenly spaced evaluations.

    Their measures are limited to ±`MAX_MEASURE`, and as far below 1 to 0; infinity is missing.
    """
    shown = evaluations.iloc[evenly(len(evaluations), MAX_EVALUATIONS)]
    measures = shown.select_dtypes("float64")
    measures = measures.where(np.isfinite(measures)).clip(-MAX_MEASURE, MAX_MEASURE)
    return shown.assign(**measures.mask(measures.abs() < 1 / MAX_MEASURE, 0.0))


def _marked(shown: pd.DataFrame) -> dict[str, Any]:
    """Line style with a dot at each evaluation if there are few; empty otherwise."""
    return {"marker": "o", "markersize": 3} if len(shown) <= 30 else {}


@styled
def learning_curves(
    traces: Mapping[str, pd.DataFrame], ax: Axes, measure: str = "loss", title: str | None = None
) -> Axes:
    """Draw a measure of several runs over their updates, each run in the colour of its outcome.

    Parameters
    ----------
    traces : mapping of DataFrames
        For each name of a run its evaluations, one per row.
    ax : Axes
        Where to draw.
    measure : str
        A column of the evaluations.
    title : str, optional
        By default there is none.
    """
    _learning(traces, ax, measure, min(6.5, width_of(ax) - 1.2))
    ax.legend(fontsize=8, framealpha=0.75, edgecolor="none", handlelength=2.6)
    titled(ax, title)
    return bare(ax)


def _learning(traces: Mapping[str, pd.DataFrame], ax: Axes, measure: str, wide: float) -> None:
    """Draw the curves of runs whose names may take `wide` inches."""
    drawn: list[NDArray[np.float64]] = []
    for (name, evaluations), dash in zip(
        traces.items(), cycle(("-", (0, (5, 1.5)), (0, (1.5, 1))))
    ):
        shown = _shown(evaluations)
        drawn.append(shown.loc[shown["updates"].notna(), measure].to_numpy(float))
        outcome = Outcome(str(evaluations["outcome"].iloc[-1]))
        ax.plot(
            shown["updates"],
            shown[measure],
            color=outcome.colour,
            linestyle=dash,
            linewidth=1.4,
            label=f"{clipped(name, wide, SIZE)}: {outcome}",
        )
    all_values = np.concatenate(drawn)
    above = all_values[all_values > 0]
    # a logarithmic axis from a number to the next one is none
    if measure in ("loss", "grad_norm") and above.size and np.ptp(above) > 1e-9 * above.max():
        ax.set_yscale("log")
        log_ticks(ax.yaxis, *ax.get_ylim())
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set(xlabel="updates", ylabel=measure.replace("_", " "))


@styled
def learning_sheet(traces: Mapping[str, pd.DataFrame], title: str, subtitle: str = "") -> Figure:
    """Draw the loss and the spread of several runs over their updates, in two panels.

    To place a panel on another figure, call `learning_curves` with its axes.
    """
    wide = width_of(None)
    columns = 1 if wide < NARROW else 2
    below, gap = 0.65 + 0.18 * len(traces), (0.8, 0.6)
    figure, axes = sheet(2, columns, 2.6, (title, subtitle), gap, left=0.9, top=0.15, bottom=below)
    for ax, measure in zip(axes, ("loss", "spread"), strict=True):
        _learning(traces, bare(ax), measure, wide - 2.2)
    legend(axes[2 - columns], "upper left", (0, 0), 0.5, handlelength=2.6)
    return figure


@styled
def answers(
    outputs: NDArray[np.floating[Any]],
    T: NDArray[np.float64] | None,
    ax: Axes,
    outcome: str,
    title: str | None = None,
    ends: tuple[float, float] = (0.0, 1.0),
) -> Axes:
    """Draw the outputs of a network: a dot for each output of each row, and a line at its target.

    Parameters
    ----------
    outputs : float array, [row × output]
        All outputs of the network, row by row of the problem.
    T : float64 array, [row, output], optional
        Targets, if they are known.
    ax : Axes
        Where to draw.
    outcome : str
        The outcome, which colours the dots.
    title : str, optional
        By default there is none.
    ends : (float, float)
        The smallest and the largest output that there can be.
    """
    x = np.arange(outputs.size)
    rows, units = T.shape if T is not None else (outputs.size, 1)
    if T is not None:
        t = T.ravel()
        low, high = np.minimum(outputs, t), np.maximum(outputs, t)
        ax.vlines(x, low, high, color="#999999", linewidth=0.7, zorder=1, clip_on=False)
        ax.hlines(t, x - 0.36, x + 0.36, color="black", linewidth=1.2, zorder=2, clip_on=False)
    size, colour = 26 if outputs.size <= 16 else 9, Outcome(outcome).colour
    ax.scatter(x, outputs, size, colour, edgecolor="black", linewidth=0.4, zorder=3, clip_on=False)
    for edge in range(units, outputs.size, units) if units > 1 else ():
        ax.axvline(edge - 0.5, color="#bbbbbb", linewidth=0.5, zorder=0, clip_on=False)
    shown = evenly(rows, 4)  # more are hard to read, and each takes its time
    ax.set_xticks(shown * units + (units - 1) / 2, [str(row) for row in shown], fontsize=SIZE)
    ax.set(xlim=(-0.6, outputs.size - 0.4), ylim=_scale(ax, *ends))
    ax.set_xlabel("row", fontsize=SIZE, labelpad=1)
    titled(ax, title, SIZE, 3)
    ax.tick_params(length=2)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _scale(ax: Axes, low: float, high: float) -> tuple[float, float]:
    """Write three numbers beside the axis of outputs from low to high; returns its limits."""
    ticks, margin = [low, (low + high) / 2, high], 0.06 * (high - low)
    if (low, high) == (0.0, 1.0):
        ax.set_yticks(ticks, ["0", "½", "1"], fontsize=SIZE)
    else:  # three digits, and perhaps a letter, such as 1.25k or 30M
        ax.set_yticks(
            ticks, [EngFormatter(sep="")(float(f"{tick:.3g}")) for tick in ticks], fontsize=SIZE
        )
    return low - margin, high + margin
