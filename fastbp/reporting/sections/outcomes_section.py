"""The sections on how the runs ended: bars, a table, spread and loss, the threshold of collapse."""

import pandas as pd

from fastbp.analysis.histograms import constant_loss
from fastbp.analysis.summary import collapsing, density, keys_of
from fastbp.reporting import plots
from fastbp.reporting.change_sentences import best_marks
from fastbp.reporting.html import TableColumn
from fastbp.reporting.html_tables import column, listed, setting_columns, setup_table, text_table
from fastbp.reporting.phrases import Record, interval, plain, runs_in
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.columns import SCORES
from fastbp.schema.outcomes import STACKED
from fastbp.schema.text import percent

SHARES = {
    "collapsed": "collapsed",
    "one_class": "one-class",
    "constant": "constant",
    "partial": "partial",
    "diverged": "diverged",
}
"""Outcomes in the table after `converged`: their names in the summary, and their titles."""


def result_table(summary: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """Make the table of results for a terminal, a line for each setup.

    Parameters
    ----------
    summary : DataFrame
        A result of `summary`.
    baseline : str, optional
        Id of the setup to mark as the baseline.

    Returns
    -------
    list of str
        A line with the titles, and a line for each setup. The columns are the keys that vary (and
        the setup's id, if they do not distinguish the rows), the number of runs if it varies, the
        share converged with its 95% interval, the share constant, the share diverged if any run
        is, and marks for the baseline and, of each task, for the setups that converge most often:
        `best`, or `highest` if others may be as good.
    """
    if summary.empty:
        return ["No runs."]
    keys = keys_of(summary)
    named_by = keys if keys and not summary[keys].duplicated().any() else [*keys, "setup"]
    one_count = len(summary) > 1 and summary["runs"].nunique() == 1
    marks = best_marks(summary)
    ends = ["constant", "diverged"] if summary["diverged"].any() else ["constant"]
    columns = [
        *setting_columns(named_by, summary),
        *([] if one_count else [column("runs")]),
        _share_column("converged"),
        TableColumn("95% CI", lambda row: interval(row, "converged")),
        *map(_share_column, ends),
        *score_columns(summary),
        TableColumn(
            "",
            lambda row: ", ".join(
                ["baseline"] * (row["setup"] == baseline)
                + [mark for setup, mark in marks.items() if setup == row["setup"]]
            ),
            True,
        ),
    ]
    return text_table(columns, summary.to_dict("records"))


def score_columns(summary: pd.DataFrame) -> list[TableColumn]:
    """Columns of the mean scores that a summary has."""
    titles = {"r2": "R²", "test_accuracy": "held-out", "test_r2": "held-out"}
    return [
        TableColumn(titles.get(name, name), lambda row, name=name: _score(row[name]))  # type: ignore[misc]
        for name in SCORES
        if name in summary
    ]


def _score(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _share_column(name: str) -> TableColumn:
    return TableColumn(name, lambda row: percent(row[f"{name}_share"]))


def _outcomes(row: Record) -> str:
    shares = [(each, row[f"{each.column}_share"]) for each in STACKED]
    return ", ".join(f"{percent(share)} {name}" for name, share in shares if share)


def share(row: Record, name: str) -> str:
    """Write the share and the count of the outcome `name`: `84.5% (845)`."""
    return f"{percent(row[f'{name}_share'])} ({plain(row[name])})"


def _content(data: ReportData) -> Content:
    rows, baseline = data.shown, data.marked
    bold = " The baseline is in bold." if baseline in set(rows["setup"]) else ""
    finding, measure = data.finding or data.figure_title or None, f"How {runs_in(rows)} ended"
    bars = data.drawing(
        lambda: plots.outcome_bars(rows, title=finding, subtitle=measure, baseline=baseline),
        "outcomes",
        "How the runs ended",
        f"Stacked bars of outcomes, one for each setup. {listed(rows, _outcomes)}",
        f"Each bar is a setup, each colour an outcome, each number a share of its runs.{bold}",
        png=True,
    )
    scores = ", and means of scores" * bool(score_columns(data.summary))
    some_diverged = data.summary["diverged"].any()
    columns = [
        column("runs"),
        TableColumn(
            "converged [95%]",
            lambda row: f"{share(row, 'converged')} [{interval(row, 'converged')}]",
        ),
        *(
            TableColumn(title, lambda row, name=name: share(row, name))  # type: ignore[misc]
            for name, title in SHARES.items()
            if name != "diverged" or some_diverged
        ),
        *score_columns(data.summary),
    ]
    return {
        "bars": bars,
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


SECTION = Section("ended", "How the runs ended", _content, "{{ figure(bars) }}{{ table(summary) }}")


# What failing networks do


def _thresholds(data: ReportData) -> dict[str, float]:
    """The threshold of collapse of each setup that has a panel, by its id."""
    values = {t.setup: t.keys.get("collapse") for t in data.panel_counts}
    return {setup: value for setup, value in values.items() if isinstance(value, float)}


def _spread(data: ReportData) -> Content | None:
    cells = density(data.panel_counts)
    if not len(cells):
        return None
    known = [(t, problem.T) for t in data.panel_counts if (problem := data.problems[t.setup])]
    # The loss of the best constant answer, for each setup that has a panel, by its id.
    losses = {t.setup: constant_loss(T, str(t.keys.get("loss_function"))) for t, T in known}
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


SPREAD = Section(
    "spread",
    "What failing networks do",
    _spread,
    """\
<p>The spread of each run's outputs (the largest minus the smallest over the rows, as a share of the
target range) and its loss at the end. A network that has learnt the best constant answer lies on
the left, at the dashed line; one that has learnt the targets lies at the lower right.</p>
{{ figure(scatter) }}""",
)


def _collapse(data: ReportData) -> Content | None:
    table = collapsing(data.panel_counts)
    if not table[["collapsed", "constant_at_start"]].any(axis=None):
        return None
    values = set(_thresholds(data).values())
    threshold = values.pop() if len(values) == 1 else None
    return {
        "curves": data.drawing(
            lambda: plots.collapse_curves(table, collapse=threshold, baseline=data.marked),
            "collapse",
            "Collapsed runs by threshold",
            "Curves of the share of collapsed runs over the threshold. With the threshold in use: "
            + listed(data.panels, lambda row: f"{percent(row['collapsed_share'])} collapsed"),
            "Solid and dashed lines: at the end of the runs. Grey dots: before the first update.",
        )
    }


THRESHOLD = Section(
    "threshold",
    "How the threshold decides what is collapsed",
    _collapse,
    """\
<p>A run counts as collapsed if its outputs span less of the target range than a threshold. The
curves show the share of collapsed runs for every threshold, and the share of networks that were as
constant before their first update.</p>
{{ figure(curves) }}""",
)
