"""Runs and setups in a plane: the spread of outputs against the loss, and shares over two keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from fastbp.analysis.histograms import PER_DECADE, PER_SPREAD
from fastbp.reporting.phrases import plain
from fastbp.reporting.plots.style import (
    INK,
    STYLE,
    WIDTH,
    alone,
    bare,
    headed,
    inches,
    literal,
    sheet,
    width_of,
    wrapped,
)
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import percent, plural

FEW_VALUES = 3
"""Values of a key up to which no contour is drawn on a map: it would strike out the numbers in the
cells, which say more."""

MAX_POINTS = 2_000
"""Runs up to which each is a dot."""

_MARKERS = {
    Outcome.CONVERGED: "o", Outcome.PARTIAL: "s", Outcome.ONE_CLASS: "^", Outcome.COLLAPSED: "v", Outcome.DIVERGED: "X"
}  # fmt: skip


def spread_loss(
    points: pd.DataFrame,
    ax: Axes | None = None,
    constant_loss: float | None = None,
    collapse: float | None = None,
    title: str | None = None,
) -> Axes:
    """Draw where the runs of a setup lie: the loss over the spread of their outputs, coloured by
    outcome.

    Parameters: `points`, the columns outcome, spread and loss of runs, or what `tables.density`
    returned, with `runs` in each cell; `constant_loss`, of the best constant answer, and
    `collapse`, the threshold, each of which is marked; `title`, instead of one that says how many
    runs are seen. Up to 2,000 runs are dots; of more, each cell has the colour of its most frequent
    outcome, the stronger the more runs are in it, on a log scale. Runs without a finite loss are
    left out.
    """
    seen = points[
        np.isfinite(points["loss"].astype(float)) & np.isfinite(points["spread"].astype(float))
    ]
    total = int(seen["runs"].sum()) if "runs" in seen else len(seen)
    with mpl.rc_context(STYLE):
        ax = ax or alone(5.2, 4.4)
        ax.set_yscale("log")
        if ("runs" in seen and len(seen)) or len(seen) > MAX_POINTS:
            _cells(seen, ax)
        else:
            for outcome in STACKED:
                own = seen[seen["outcome"] == outcome]
                if len(own):
                    place: Any = {
                        "marker": _MARKERS[outcome],
                        "alpha": 0.7,
                        "linewidths": 0,
                        "label": outcome,
                    }
                    ax.scatter(own["spread"], own["loss"], 14, outcome.colour, **place)
        if constant_loss:
            ax.axhline(constant_loss, color="black", linewidth=0.9, linestyle=(0, (4, 2)), zorder=0)
        if collapse is not None:
            ax.axvline(collapse, color=Outcome.COLLAPSED.colour, linewidth=0.9, zorder=0)
        ax.set_xlim(0, max(1.02, float(seen["spread"].max()) if len(seen) else 0))
        low, high = _decades(seen["loss"], constant_loss)
        ax.set_ylim(low, high)
        ax.yaxis.set_major_locator(LogLocator(subs=(1,) if high > 300 * low else (1, 3)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # the usual ones write formulas
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("spread of outputs (share of target range)", fontsize=9)
        ax.set_ylabel("loss", fontsize=9)
        ax.set_title(
            wrapped(
                title if title is not None else f"Spread and loss of {plural(total, 'run')}",
                width_of(ax),
                10,
            ),
            loc="left",
            fontsize=10,
        )
        return literal(bare(ax))


def _decades(losses: pd.Series[Any], constant_loss: float | None) -> tuple[float, float]:
    """Limits of an axis of losses."""
    positive = losses[losses > 0].astype(float)
    if not len(positive):
        return 1e-3, 1.0
    return float(positive.min()) / 1.3, 1.3 * max(float(positive.max()), constant_loss or 0.0)


def _cells(points: pd.DataFrame, ax: Axes) -> None:
    """A density: RGBA cells, of which nothing is seen where there is no run."""
    across = np.floor(points["spread"].to_numpy(float) * PER_SPREAD).astype(int)
    up = np.floor(np.log10(np.maximum(points["loss"].to_numpy(float), 1e-300)) * PER_DECADE).astype(
        int
    )
    code = points["outcome"].map({outcome: i for i, outcome in enumerate(OUTCOMES)}).to_numpy(int)
    weight = points["runs"].to_numpy() if "runs" in points else np.ones(len(points))
    base, wide, high = up.min(), across.max() + 1, up.max() - up.min() + 1
    counts = np.zeros((len(OUTCOMES), high, wide))
    np.add.at(counts, (code, up - base, across), weight)
    total = counts.sum(axis=0)
    colours = np.array([to_rgb(outcome.colour) for outcome in OUTCOMES])
    strength = np.where(total > 0, 0.25 + 0.75 * np.log1p(total) / np.log1p(total.max()), 0)
    image = np.dstack([colours[counts.argmax(axis=0)], strength])
    x, y = np.arange(wide + 1) / PER_SPREAD, 10.0 ** ((np.arange(high + 1) + base) / PER_DECADE)
    ax.pcolormesh(x, y, image, rasterized=True, linewidth=0, antialiased=False)


def spread_loss_panels(
    density: pd.DataFrame,
    names: dict[str, str],
    constants: dict[str, float],
    collapses: dict[str, float],
    title: str,
) -> Figure:
    """A panel of spread and loss for each setup of what `tables.density` returned, all on the same
    axes.

    Parameters: `names` of the setups, by id; `constants`, losses of the best constant answer, and
    `collapses`, thresholds, as far as they are known.
    """
    columns = 4 if len(names) > 6 else min(3, len(names))
    with mpl.rc_context(STYLE):
        figure, axes = sheet(
            len(names), columns, 1.75 if columns == 4 else 2.3, top=1.25, gap=(0.15, 0.6)
        )
        limits = _decades(density["loss"], max(constants.values(), default=0.0))
        wide = max(1.02, float(density["spread"].max()) if len(density) else 0)
        for i, (ax, (setup, name)) in enumerate(zip(axes, names.items(), strict=True)):
            own = density[density["setup"] == setup]
            spread_loss(own, ax, constants.get(setup), collapses.get(setup), "")
            ax.set_title(wrapped(name, width_of(ax) + 0.1, 8, 2), loc="left", fontsize=8)
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
            ax.set_xlim(0, wide)
            ax.set_ylim(*limits)
            ax.tick_params(
                labelsize=8, labelleft=i % columns == 0, labelbottom=i + columns >= len(names)
            )
            ax.set_ylabel("loss" if i % columns == 0 else "")
            ax.set_xlabel(
                "spread (share of target range)" if i + columns >= len(names) else "", fontsize=8
            )
        present = [outcome for outcome in STACKED if (density["outcome"] == outcome).any()]
        handles: list[Any] = [
            Line2D([], [], marker="s", linestyle="", color=o.colour, label=o) for o in present
        ]
        if constants:
            handles.append(
                Line2D(
                    [],
                    [],
                    color="black",
                    linewidth=0.9,
                    linestyle=(0, (4, 2)),
                    label="loss of the best constant answer",
                )
            )
        handles.append(
            Line2D(
                [], [], color=Outcome.COLLAPSED.colour, linewidth=0.9, label="collapse threshold"
            )
        )
        height = figure.get_figheight()
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0.06, 1 - 0.5 / height), ncols=len(handles), frameon=False,
            fontsize=8.5, handlelength=1.6, columnspacing=1.2, borderaxespad=0,
        )  # fmt: skip
        return headed(figure, title)


LINE = "; black line: 50%"
"""What a title says of the contour."""

GAP = "#c4c4c8"
"""Of a cell without a setup."""

_COLOUR = {"constant": Outcome.ONE_CLASS.colour, "constant_at_start": "#5B6C8C"}
"""Of shares that are no outcome's."""


def heatmap(
    summary: pd.DataFrame,
    x: str,
    y: str,
    ax: Axes | None = None,
    outcome: str = "converged",
    title: str | None = None,
) -> Axes:
    """Draw the share of runs with an outcome over two keys, a cell for each setup, and a contour
    where it is one half.

    Parameters: `summary`, one row for each pair of values of the keys `x` and `y`; `outcome`, one
    of them or `constant`; `title`, instead of one that says how many runs are seen. Values stand in
    their order, evenly apart. Raises ValueError where two rows have the same values.
    """
    if summary[[x, y]].duplicated().any():
        raise ValueError(f"several setups have the same {x} and {y}")
    column = outcome.replace("-", "_") + "_share"
    table = summary.pivot(index=y, columns=x, values=column)
    table = table.reindex(
        index=sorted(table.index, key=_size), columns=sorted(table.columns, key=_size)
    )
    shares = table.to_numpy(float)
    colour = _COLOUR.get(outcome) or Outcome(outcome).colour
    ramp = LinearSegmentedColormap.from_list(outcome, ["#f7f7f7", colour])
    high, wide = shares.shape
    with mpl.rc_context(STYLE):
        ax = ax or alone(1.6 + 0.75 * max(wide, 4), 1.6 + 0.5 * max(high, 4), left=1.0)
        style: Any = {"cmap": ramp, "vmin": 0, "vmax": 1, "rasterized": high * wide > 400}
        if np.isnan(shares).any():
            ax.set_facecolor(GAP)
        mesh = ax.pcolormesh(np.arange(wide + 1) - 0.5, np.arange(high + 1) - 0.5, shares, **style)
        line = _has_line(summary, x, y, column)
        if line:
            ax.contour(np.ma.masked_invalid(shares), [0.5], colors=INK, linewidths=1.4)
        if high * wide > 100 or wide > 10:
            scale = ax.figure.colorbar(
                mesh, cax=ax.inset_axes((1.03, 0, 0.035, 1)), ticks=[0, 0.5, 1]
            )
            scale.ax.set_yticklabels(["0%", "50%", "100%"], fontsize=7.5)
            scale.outline.set_visible(False)
        else:
            for (row, column_), share in np.ndenumerate(shares):
                if np.isfinite(share):
                    under: Any = {
                        "facecolor": ramp(share),
                        "edgecolor": "none",
                        "pad": 0.8,
                    }  # no line strikes a number out
                    ax.text(
                        column_,
                        row,
                        percent(share),
                        ha="center",
                        va="center",
                        fontsize=7.5,
                        color=INK,
                        bbox=under,
                    )
        for axis, values in ((ax.xaxis, table.columns), (ax.yaxis, table.index)):
            names = [
                f"{value:.4g}" if isinstance(value, float) else plain(value) for value in values
            ]
            room = (
                width_of(ax) / (max(inches(name, 8) for name in names) + 0.12)
                if axis is ax.xaxis
                else 12
            )
            every = _every(names, max(1, int(min(room, 12))))
            axis.set_ticks(np.arange(len(values))[::every], names[::every], fontsize=8)
        ax.set_xlabel(x, fontsize=9)
        ax.set_ylabel(y, fontsize=9)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        runs = int(summary["runs"].sum())
        seen = (
            f"Share {outcome} of {plural(runs, 'run')} in {plural(len(summary), 'setup')}"
            + LINE * line
        )
        ax.set_title(
            wrapped(title if title is not None else seen, width_of(ax), 10), loc="left", fontsize=10
        )
        return literal(ax)


def _has_line(rows: pd.DataFrame, x: str, y: str, column: str) -> bool:
    """Whether a map of these shares has a contour."""
    many = int(rows[[x, y]].nunique().min()) > FEW_VALUES
    return many and bool(rows[column].min() < 0.5 < rows[column].max())


def _every(names: Sequence[str], most: int) -> int:
    """Every how many-th tick has its name, so that there are at most so many: of up to three times
    as few, the shortest names.
    """
    least = -(-len(names) // most)
    if least < 2:
        return 1
    steps = [step for step in range(least, 3 * least + 1) if 3 * step <= len(names)] or [least]
    return min(steps, key=lambda step: (np.mean([len(name) for name in names[::step]]), step))


def _size(value: object) -> tuple[float, str]:
    text = str(value)
    try:
        return float(text), ""
    except ValueError:
        return np.inf, text


def heatmap_panels(
    x: str, y: str, panels: Sequence[tuple[str, pd.DataFrame]], title: str
) -> Figure:
    """Heatmaps over two keys: the share converged and, below, the share constant, a column for each
    setting of the other keys.

    Parameters: `panels`, the name of each setting and its rows of a summary. Of a single setting
    there is a panel too for the share collapsed, and where the rows have `constant_at_start_share`, for the runs
    that were constant before the first update.
    """
    drawn = [
        (outcome, f"{outcome}: {name}", rows)
        for outcome in ("converged", "constant")
        for name, rows in panels
    ]
    if len(panels) == 1:
        names = {
            "converged": "converged",
            "constant": "constant: collapsed or one-class",
            "collapsed": "collapsed",
        }
        names |= (
            {"constant_at_start": "as constant before the first update"}
            if "constant_at_start_share" in panels[0][1]
            else {}
        )
        drawn = [(outcome, name, panels[0][1]) for outcome, name in names.items()]
    columns = max(len(panels), 2)
    title += LINE * any(
        _has_line(rows, x, y, f"{outcome.replace('-', '_')}_share") for outcome, _, rows in drawn
    )
    values = max(rows[y].nunique() for _, rows in panels)
    with mpl.rc_context(STYLE):
        high = min(3.2, max(1.3, 0.34 * values))
        top = 0.8 + 0.2 * wrapped(title, WIDTH - 0.2, 12).count("\n")
        figure, axes = sheet(
            len(drawn), columns, high, left=0.95, top=top, gap=(0.95, 0.75), right=0.7
        )
        for i, (ax, (outcome, name, own)) in enumerate(zip(axes, drawn, strict=True)):
            heatmap(own, x, y, ax, outcome, "")
            ax.set_title(wrapped(name, width_of(ax), 8.5, 2), loc="left", fontsize=8.5)
            ax.set_ylabel(y if i % columns == 0 else "")
        return headed(figure, title)
