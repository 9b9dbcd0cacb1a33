"""How the share of runs with an outcome follows keys: curves over one key, heatmaps over two."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastbp.analysis.summary import keys_of, settings_of
from fastbp.reporting.phrases import evenly, plain, runs_in, setting
from fastbp.reporting.plots.style import (
    INK,
    LINES,
    WIDTH,
    alone,
    bare,
    headed,
    inches,
    legend,
    log_ticks,
    sheet,
    styled,
    titled,
    width_of,
    wrapped,
)
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import percent, plural, shortened, sort_key

MAX_CURVES = 8
"""Largest number of curves. Each belongs to a combination of values of the other keys; if there are
more combinations, evenly spaced ones are drawn."""


@styled
def response_curves(
    summary: pd.DataFrame, key: str, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw the convergence rate over a numeric key, with Wilson's bounds as a band.

    The convergence rate is the share of runs that end converged. There is a line for each
    combination of values of the other keys. The axis of the key is logarithmic if its values are
    positive and span a factor of ten. A thin line marks one half.

    Parameters
    ----------
    summary : DataFrame
        A result of `summary`.
    key : str
        A numeric key that varies.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    title : str, optional
        Instead of one with the number of runs.
    """
    others = [name for name in keys_of(summary) if name != key]
    groups = settings_of(summary, others)
    groups = [groups[i] for i in evenly(len(groups), MAX_CURVES).tolist()]
    high = 0.1 + 0.18 * len(groups) if others else 0.0
    ax = ax or alone(WIDTH, 4.0 + high, top=0.5, bottom=0.65 + high)
    ax.axhline(50, color="#888888", linewidth=0.8)
    for group, style in zip(groups, cycle(LINES)):
        label = shortened(setting(group.iloc[0], others), 60) if others else None
        rows = group.sort_values(key, key=lambda values: values.astype(float), kind="stable")
        x = rows[key].astype(float)
        ax.plot(
            x, 100 * rows["converged_share"], marker="o", ms=3, **style, linewidth=1.4, label=label
        )
        low, top = (100 * rows[f"converged_{end}"] for end in ("low", "high"))
        ax.fill_between(x, low, top, color=style["color"], alpha=0.15, linewidth=0)
    least, most = summary[key].astype(float).agg(["min", "max"])
    if least > 0 and most >= 10 * least:
        ax.set_xscale("log")
        log_ticks(ax.xaxis, (1,) if most > 1000 * least else (1, 3))
    elif least == 0 or most < 1e6:
        ax.xaxis.set_major_formatter("{x:g}")
    ax.set(ylim=(-1, 101), xlabel=key, ylabel="converged (%)")
    if others:
        legend(ax, "upper left", (0, -0.14), fontsize=8.5, handlelength=4, borderaxespad=0)
    runs = plural(int(sum(rows["runs"].sum() for rows in groups)), "run")
    return bare(titled(ax, title or f"Share converged over {key}: {runs}, 95% bands", 10))


# Heatmaps

FEW_VALUES = 3
"""If a key has at most this many values, a heatmap has no contour: it would cross the numbers in
the cells, which say more."""

LINE = "; black line: 50%"
"""The end of the title of a heatmap with a contour."""

GAP = "#c4c4c8"
"""Colour of a cell without a setup."""

_COLOUR = {"constant": Outcome.ONE_CLASS.colour, "constant_at_start": "#5B6C8C"}
"""Colours for shares that do not belong to a single outcome."""


@styled
def heatmap(
    summary: pd.DataFrame,
    x: str,
    y: str,
    ax: Axes | None = None,
    outcome: str = "converged",
    title: str | None = None,
) -> Axes:
    """Draw the share of runs with an outcome over two keys, with a cell for each setup.

    A contour marks a share of one half. The values of the keys are sorted and evenly spaced.

    Parameters
    ----------
    summary : DataFrame
        One row for each pair of values of the keys.
    x, y : str
        The keys across and up.
    ax : Axes, optional
        Where to draw; by default on a new figure.
    outcome : str
        An outcome, `constant` (at the end) or `constant_at_start` (before the first update).
    title : str, optional
        By default it has the number of runs.

    Raises
    ------
    ValueError
        If two rows have the same values.
    """
    if summary[[x, y]].duplicated().any():
        raise ValueError(f"several setups have the same {x} and {y}")
    column = outcome.replace("-", "_") + "_share"
    table = summary.pivot(index=y, columns=x, values=column)
    rows, columns = (sorted(axis, key=_by_size) for axis in (table.index, table.columns))
    shares = table.reindex(index=rows, columns=columns).to_numpy(float)
    high, wide = shares.shape
    ax = ax or alone(1.6 + 0.75 * max(wide, 4), 1.6 + 0.5 * max(high, 4), left=1.0)
    mesh = _cells(ax, shares, outcome)
    if line := _has_line(summary, x, y, column):
        ax.contour(np.ma.masked_invalid(shares), [0.5], colors=INK, linewidths=1.4)
    if high * wide > 100 or wide > 10:
        _scale(ax, mesh)
    else:
        _numbers(ax, shares, mesh)
    _name_values(ax, columns, rows)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    text = f"Share {outcome} of {runs_in(summary)}{LINE * line}" if title is None else title
    return titled(ax, text, size=10)


def _by_size(value: str | float) -> list[list[tuple[int, float, str]]]:
    """A sort key: numbers by size, then words."""
    return sort_key([value])


def _cells(ax: Axes, shares: NDArray[np.float64], outcome: str) -> QuadMesh:
    ramp = LinearSegmentedColormap.from_list(
        outcome, ["#f7f7f7", _COLOUR.get(outcome) or Outcome(outcome).colour]
    )
    if np.isnan(shares).any():
        ax.set_facecolor(GAP)
    y, x = (np.arange(size + 1) - 0.5 for size in shares.shape)
    return ax.pcolormesh(x, y, shares, cmap=ramp, vmin=0, vmax=1, rasterized=shares.size > 400)


def _scale(ax: Axes, mesh: QuadMesh) -> None:
    """Draw the scale of colours right of the cells."""
    scale = ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0, 0.035, 1)), ticks=[0, 0.5, 1])
    scale.ax.set_yticklabels(["0%", "50%", "100%"], fontsize=7.5)
    scale.outline.set_visible(False)


def _numbers(ax: Axes, shares: NDArray[np.float64], mesh: QuadMesh) -> None:
    """Write the share into each cell."""
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            ax.text(
                column,
                row,
                percent(share),
                # The box keeps the contour from crossing the number.
                bbox={"facecolor": mesh.cmap(share), "edgecolor": "none", "pad": 0.8},
                ha="center",
                va="center",
                fontsize=7.5,
                color=INK,
            )


def _name_values(ax: Axes, columns: Sequence[object], rows: Sequence[object]) -> None:
    """Label both axes with the values of the keys, as many as fit."""
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for axis, values in ((ax.xaxis, columns), (ax.yaxis, rows)):
        names = [f"{v:.4g}" if isinstance(v, float) else plain(v) for v in values]
        wide = max(inches(name, 8) for name in names) + 0.12
        room = min(12.0, width_of(ax) / wide) if axis is ax.xaxis else 12.0
        every = _every(names, max(1, int(room)))
        axis.set_ticks(np.arange(len(values))[::every], names[::every], fontsize=8)


def _has_line(rows: pd.DataFrame, x: str, y: str, column: str) -> bool:
    """Whether a map of these shares has a contour."""
    many = int(rows[[x, y]].nunique().min()) > FEW_VALUES
    return many and bool(rows[column].min() < 0.5 < rows[column].max())


def _every(names: Sequence[str], most: int) -> int:
    """Find the step between labelled ticks, so that at most `most` ticks are labelled.

    Of the smallest such step and steps up to three times as large, the one with the shortest labels
    is taken.
    """
    least = -(-len(names) // most)
    if least < 2:
        return 1
    steps = [step for step in range(least, 3 * least + 1) if 3 * step <= len(names)] or [least]
    return min(steps, key=lambda step: (np.mean([len(name) for name in names[::step]]), step))


@styled
def heatmap_panels(
    x: str, y: str, panels: Sequence[tuple[str, pd.DataFrame]], title: str
) -> Figure:
    """Draw heatmaps over two keys: the share converged and, below it, the share constant.

    There is a column for each setting, which is a combination of values of the other keys. A single
    setting has more panels: the share collapsed and, if the rows have `constant_at_start_share`,
    the share that was constant before the first update.

    Parameters
    ----------
    x, y : str
        The keys across and up.
    panels : sequence of (str, DataFrame)
        The name of each setting and its rows of a summary.
    title : str
        Title of the sheet.
    """
    drawn = [
        (outcome, f"{outcome}: {name}", rows)
        for outcome in ("converged", "constant")
        for name, rows in panels
    ]
    if len(panels) == 1:
        rows = panels[0][1]
        names = {
            "converged": "converged",
            "constant": "constant: collapsed or one-class",
            "collapsed": "collapsed",
            "constant_at_start": "as constant before the first update",
        }
        drawn = [(o, name, rows) for o, name in names.items() if f"{o}_share" in rows]
    columns = max(len(panels), 2)
    title += LINE * any(_has_line(rows, x, y, f"{outcome}_share") for outcome, _, rows in drawn)
    high = min(3.2, max(1.3, 0.34 * max(rows[y].nunique() for _, rows in panels)))
    top = 0.8 + 0.2 * wrapped(title, WIDTH - 0.2, 12).count("\n")
    figure, axes = sheet(len(drawn), columns, high, left=0.95, top=top, right=0.7, gap=(0.95, 0.75))
    for i, (ax, (outcome, name, rows)) in enumerate(zip(axes, drawn, strict=True)):
        heatmap(rows, x, y, ax, outcome, "")
        ax.set_title(wrapped(name, width_of(ax), 8.5, 2), loc="left", fontsize=8.5)
        ax.set_ylabel(y if i % columns == 0 else "")
    return headed(figure, title)
