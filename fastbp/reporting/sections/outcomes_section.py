"""The sections on how the runs ended: bars, a table, spread and loss, the threshold of collapse."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from fastbp.analysis.histograms import constant_loss
from fastbp.analysis.summary import density, keys_of, simultaneous_bounds
from fastbp.reporting import plots
from fastbp.reporting.change_sentences import best_marks
from fastbp.reporting.html import TableColumn
from fastbp.reporting.html_tables import (
    PASTED,
    column,
    fullest_table,
    listed,
    more_in,
    setting_columns,
    setup_table,
)
from fastbp.reporting.phrases import (
    MANY_KEYS,
    Record,
    apart,
    interval,
    plain,
    row_of,
    runs_in,
)
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.columns import SCORES
from fastbp.schema.outcomes import STACKED
from fastbp.schema.text import WIDTH, percent, points, refusal

SHARES = {
    "collapsed": "collapsed",
    "one_class": "one-class",
    "constant": "constant",
    "partial": "partial",
    "diverged": "diverged",
}
"""Outcomes in the table after `converged`: their names in the summary, and their titles."""


def result_table(
    summary: pd.DataFrame,
    baseline: str | None = None,
    shown: pd.DataFrame | None = None,
    width: int = WIDTH,
) -> list[str]:
    """Make the table of results for a terminal, a line for each setup.

    Parameters
    ----------
    summary : DataFrame
        A result of `summary`.
    baseline : str, optional
        Id of the setup to mark as the baseline.
    shown : DataFrame, optional
        The rows of the summary that have a line; by default all.
    width : int
        The most characters of a line.

    Returns
    -------
    list of str
        A line with the titles, and a line for each setup: the columns of `_results`, the number of
        runs only if it varies, and the mark `baseline` or that of `best_marks`. If the keys are too
        many for the width, a setup is named as `_short_names` does.
    """
    if summary.empty:
        return ["No runs."]
    shown = summary if shown is None else shown
    marks = best_marks(summary)
    one_count = len(summary) > 1 and summary["runs"].nunique() == 1
    columns = [
        *(each for each in _results(summary) if each.title != "runs" or not one_count),
        TableColumn(
            "",
            lambda row: ", ".join(
                ["baseline"] * (row["setup"] == baseline)
                + [mark for setup, mark in marks.items() if setup == row["setup"]]
            ),
            True,
        ),
    ]
    lines = fullest_table(
        [_names(summary), *_short_names(summary, baseline)], columns, shown, width, "summary.csv"
    )
    return lines + more_in(len(summary), len(shown), "summary.csv")


def _results(summary: pd.DataFrame) -> list[TableColumn]:
    """The columns of how the runs of a setup ended, of every table that is not on a page.

    The number of runs, the share converged with its 95% interval, the share constant, the share
    diverged if any run is, and the scores that a summary has.
    """
    ends = ["constant", "diverged"] if summary["diverged"].any() else ["constant"]
    return [
        column("runs"),
        _share_column("converged"),
        TableColumn("95% CI", lambda row: interval(row, "converged")),
        *map(_share_column, ends),
        *score_columns(summary),
    ]


def _names(summary: pd.DataFrame) -> list[TableColumn]:
    """The columns that name a setup: the keys that vary, and its id if these are not enough."""
    keys = keys_of(summary)
    return setting_columns(
        keys if keys and not summary[keys].duplicated().any() else [*keys, "setup"], summary
    )


def _short_names(summary: pd.DataFrame, baseline: str | None) -> Iterator[list[TableColumn]]:
    """As `_names`, in fewer characters where many keys vary: the last of them always is enough."""
    keys, start = keys_of(summary), row_of(summary, baseline)
    if start and len(keys) > MANY_KEYS:
        apart_in = {row["setup"]: apart(row, keys, start) for row in summary.to_dict("records")}
        if len(set(apart_in.values())) == len(summary):
            yield [TableColumn("differs in", lambda row: apart_in[row["setup"]], True)]
    # A key whose values are nearly all different would determine every other one.
    strong = [key for key in keys if 2 * summary[key].nunique(dropna=False) <= len(summary)]
    for key in keys[::-1]:
        # Another key determines it if setups with the same value of that one have the same of it.
        if any(
            summary.groupby(other, dropna=False)[key].nunique(dropna=False).max() == 1
            for other in strong
            if other != key
        ):
            summary = summary.drop(columns=key)
            strong = [other for other in strong if other != key]
    yield _names(summary)


def table(summary: pd.DataFrame, format: Literal["markdown", "latex"] = "markdown") -> str:
    """Write the table of a summary as text to paste into a document.

    Parameters
    ----------
    summary : DataFrame
        A result of `fastbp.summary`; its rows keep their order.
    format : str
        `markdown`, or `latex`: a tabular that needs no package.

    Returns
    -------
    str
        A row for each setup: the keys that vary, the number of runs, the share converged with its
        95% interval (modified Wilson), the share constant, the share diverged if any run is, the
        scores that a summary has, and the median number of updates to convergence (– if fewer than
        half of the runs converge). Numbers are rounded as `fastbp sweep` prints them, and texts are
        escaped.

    Raises
    ------
    ValueError
        If the format is another one.
    """
    if format not in PASTED:
        raise ValueError(f"format: {refusal(format, ' or '.join(map(repr, PASTED)))}")
    columns = [*_names(summary), *_results(summary), column("updates_median", "median updates")]
    return PASTED[format](
        columns, [[each.cell(row) for each in columns] for row in summary.to_dict("records")]
    )


def score_columns(summary: pd.DataFrame) -> list[TableColumn]:
    """Columns of the mean scores that a summary has."""
    titles = {"r2": "R²", "test_accuracy": "held-out", "test_r2": "held-out"}
    return [
        TableColumn(
            titles.get(name, name),
            lambda row, name=name: "–" if pd.isna(row[name]) else f"{row[name]:.2f}",  # type: ignore[misc]
        )
        for name in SCORES
        if name in summary
    ]


def _share_column(name: str) -> TableColumn:
    return TableColumn(name, lambda row: percent(row[f"{name}_share"]))


def _outcomes(row: Record) -> str:
    return ", ".join(
        f"{percent(row[f'{each.column}_share'])} {each}" for each in STACKED if row[each.column]
    )


def share(row: Record, name: str) -> str:
    """Write the share and the count of the outcome `name`: `84.5% (845)`."""
    return f"{percent(row[f'{name}_share'])} ({plain(row[name])})"


def _content(data: ReportData) -> Content:
    rows, bars, baseline = data.shown, data.panels, data.marked
    bold = " The baseline is in bold." if baseline in set(rows["setup"]) else ""
    some = (
        f"{len(bars)} of {len(data.summary)} setups" + ", best first" * (data.baseline is None)
    ) * (len(bars) < len(data.summary))
    figure = data.drawing(
        lambda: plots.outcome_bars(bars, baseline=baseline, subtitle=some),
        "outcomes",
        "How the runs ended",
        f"Stacked bars of outcomes, one for each setup. {listed(bars, _outcomes)}",
        f"{some}{'. ' * bool(some)}Each bar is a setup, each colour an outcome, each number a "
        f"share of its runs.{bold}",
        png=True,
    )
    scores = ", and mean accuracy or R²" * bool(score_columns(data.summary))
    columns = [
        column("runs"),
        TableColumn(
            "converged [95%]",
            lambda row: f"{share(row, 'converged')} [{interval(row, 'converged')}]",
        ),
        *(
            TableColumn(title, lambda row, name=name: share(row, name))  # type: ignore[misc]
            for name, title in SHARES.items()
            if name != "diverged" or data.summary["diverged"].any()
        ),
        *score_columns(data.summary),
    ]
    return {
        "bars": [figure],
        "summary": setup_table(
            "Outcomes of each setup",
            "Share and count of runs by outcome, with the 95% interval of the convergence rate "
            f"(modified Wilson){scores}.",
            columns,
            rows,
            data.summary,
            baseline,
        ),
    }


def _finding(data: ReportData) -> str:
    shares = data.summary["converged_share"]
    bounds = simultaneous_bounds(data.summary, "converged")
    least, most = (
        f"{percent(shares[i])} ({' to '.join(percent(bound[i]) for bound in bounds)})"
        for i in (shares.argmin(), shares.argmax())
    )
    if shares.min() == shares.max():
        return f"{most} of the runs converge" + " in every setup" * (len(shares) > 1)
    return f"From {least} to {most} of the runs converge, depending on the setup"


SECTION = Section(
    "ended",
    "How the runs ended",
    _content,
    "{% for each in bars %}{{ figure(each) }}{% endfor %}{{ table(summary) }}",
    _finding,
    "bars",
    lambda data: True,
)


# What failing networks do


def _thresholds(data: ReportData) -> dict[str, float]:
    """The threshold of collapse of each setup that has a panel, by its id."""
    values = {t.setup: t.keys.get("collapse") for t in data.panel_counts}
    return {setup: value for setup, value in values.items() if isinstance(value, float)}


def _the_threshold(data: ReportData) -> float | None:
    """The threshold of collapse of the setups that have a panel; None if they have several."""
    values = set(_thresholds(data).values())
    return values.pop() if len(values) == 1 else None


def _spread(data: ReportData) -> Content | None:
    cells = density(data.panel_counts)
    if not len(cells):
        return None
    # The loss of the best constant answer, for each setup that has a panel, by its id.
    losses = {
        t.setup: constant_loss(problem.T, str(t.keys.get("loss_function")))
        for t in data.panel_counts
        if (problem := data.problem_of(t.setup))
    }
    return {
        "scatter": data.drawing(
            lambda: plots.spread_loss_panels(
                cells,
                {setup: data.names[setup] for setup in data.panels["setup"]},
                {setup: loss for setup, loss in losses.items() if loss},
                _thresholds(data),
                f"Where runs end: spread of outputs and loss of {runs_in(data.panels)}",
            ),
            "spread-loss",
            "Spread of outputs against loss",
            "Panels, one for each setup: loss over spread of outputs, coloured by outcome. "
            + listed(
                data.panels,
                lambda row: (
                    f"{percent(row['constant_share'])} constant, "
                    f"{percent(row['converged_share'])} converged"
                ),
            ),
            "Each cell has the colour of its most frequent outcome, the stronger the more runs it "
            "has.",
        )
    }


def _constant_finding(data: ReportData) -> str:
    failed = data.summary["runs"].sum() - data.summary["converged"].sum()
    if not failed:
        return "No run fails"
    return (
        f"Of the runs that fail, {percent(data.summary['constant'].sum() / failed)} give the same "
        "answer to every input"
    )


SPREAD = Section(
    "spread",
    "What failing networks do",
    _spread,
    """\
<p>The spread of each run's outputs (the largest minus the smallest over the rows, as a share of the
target range) and its loss at the end. A network that has learnt the best constant answer lies on
the left, at the dashed line; one that has learnt the targets lies at the lower right.</p>
{{ figure(scatter) }}""",
    _constant_finding,
)


def _collapse(data: ReportData) -> Content | None:
    table = data.collapsing
    if not table[["collapsed", "constant_at_start"]].any(axis=None):
        return None
    return {
        "curves": data.drawing(
            lambda: plots.collapse_curves(
                table, collapse=_the_threshold(data), baseline=data.marked
            ),
            "collapse",
            "Collapsed runs by threshold",
            "Curves of the share of collapsed runs over the threshold. With the threshold in use: "
            + listed(data.panels, lambda row: f"{percent(row['collapsed_share'])} collapsed"),
            "Solid and dashed lines: at the end of the runs. Grey dots: before the first update.",
        ),
    }


def _threshold_finding(data: ReportData) -> str:
    """Say how far the share of collapsed runs moves with half and with twice the threshold."""
    moved, threshold = 0.0, _the_threshold(data)
    if threshold is None:
        return THRESHOLD.title
    for _, rows in data.collapsing.groupby("setup"):
        ends = np.interp(
            np.log(threshold) + np.log([0.5, 1, 2]),  # half the least number is zero
            np.log(rows["threshold"]),
            rows["collapsed_share"],
        )
        moved = max(moved, float(np.ptp(ends)))
    if points(moved) == points(0):
        return "Half or twice the threshold would leave the share of collapsed runs as it is"
    return (
        "Half or twice the threshold would move the share of collapsed runs by up to "
        f"{points(moved).lstrip('+')} points"
    )


THRESHOLD = Section(
    "threshold",
    "How the threshold decides what is collapsed",
    _collapse,
    """\
<p>A run counts as collapsed if its outputs span less of the target range than a threshold. The
curves show the share of collapsed runs for every threshold, and the share of networks that were as
constant before their first update.</p>
{{ figure(curves) }}""",
    _threshold_finding,
)
