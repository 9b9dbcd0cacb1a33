"""How the runs ended: bars of outcomes and a table."""

from fastbp.reporting import plots
from fastbp.reporting.html import HtmlFigure, TableColumn
from fastbp.reporting.html_tables import column, listed, setup_table
from fastbp.reporting.phrases import Record, interval, plain
from fastbp.reporting.report_data import Content, ReportData, Section, runs_in
from fastbp.schema.outcomes import STACKED
from fastbp.schema.text import percent

SHARES = {
    "collapsed": "collapsed",
    "one_class": "one-class",
    "constant": "constant",
    "partial": "partial",
    "diverged": "diverged",
}
"""The columns of shares beside `converged`, and their titles."""


def _bars(data: ReportData) -> HtmlFigure:
    rows, baseline = data.shown, data.marked
    bold = " The baseline is in bold." if baseline in set(rows["setup"]) else ""
    title = f"{data.figure_title} How {runs_in(rows)} ended".strip()
    return data.drawing(
        plots.outcome_bars(rows, title=title, baseline=baseline),
        "outcomes",
        "How the runs ended",
        f"Stacked bars of outcomes, one for each setup. {listed(rows, _outcomes)}",
        f"Each bar is a setup, each colour an outcome, each number a count of runs.{bold}",
    )


def _outcomes(row: Record) -> str:
    shares = [(each, row[f"{each.column}_share"]) for each in STACKED]
    return ", ".join(f"{percent(share)} {name}" for name, share in shares if share)


def share(row: Record, name: str) -> str:
    """A share and its count: `84.5% (845)`."""
    return f"{percent(row[f'{name}_share'])} ({plain(row[name])})"


def _content(data: ReportData) -> Content:
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
    ]
    caption = (
        "Share and count of runs by outcome, with Wilson's 95% interval of the convergence rate."
    )
    table = setup_table(
        "Outcomes of each setup", caption, columns, data.shown, data.summary, data.marked
    )
    return {"bars": _bars(data), "summary": table}


SECTION = Section("ended", "How the runs ended", _content, "{{ figure(bars) }}{{ table(summary) }}")
