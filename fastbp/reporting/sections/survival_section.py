"""The section on how many updates runs take to converge."""

import pandas as pd

from fastbp.analysis.summary import RESTART_SUCCESSES, survival
from fastbp.reporting import plots
from fastbp.reporting.html import TableColumn
from fastbp.reporting.html_tables import column, listed, setup_table
from fastbp.reporting.phrases import Record
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import percent, plural


def _updates(value: float | None) -> str:
    return "–" if pd.isna(value) else "∞" if value == float("inf") else f"{round(value):,}"


def _with_bounds(name: str, title: str) -> TableColumn:
    def cell(row: Record) -> str:
        value, low, high = (_updates(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
        return value if value == "–" else f"{value} [{low}–{high}]".replace("––", "–?")

    return TableColumn(f"{title} [95%]", cell)


def _content(data: ReportData) -> Content | None:
    if not data.panels["ever_converged"].any():
        return None
    table = survival(data.panel_counts)
    curves = data.drawing(
        lambda: plots.survival_curves(table, baseline=data.marked),
        "survival",
        "Updates to convergence",
        "Curves of the share of runs that had not converged yet, over updates. At the end of the "
        "budget: "
        + listed(
            data.panels, lambda row: f"{percent(1 - row['ever_converged'] / row['runs'])} had not"
        ),
        "The share of runs that had not converged at any evaluation so far. The numbers below, "
        "on wide screens, are the runs still in training that had not converged.",
    )
    times = setup_table(
        "Updates to convergence of each setup",
        "Runs that converged at some evaluation, and those among them that did not end converged; "
        "the updates after which half had converged (Kaplan-Meier); the updates after which a new "
        "seed should be drawn so that a success costs least (at the budget: no earlier restart "
        "was cheaper), and the updates that a success then costs, both only with "
        f"{RESTART_SUCCESSES} successes or more.",
        [
            column("ever_converged", "ever converged"),
            column("relapsed", "of these relapsed"),
            _with_bounds("updates_median", "median updates"),
            _with_bounds("restart_at", "restart at"),
            _with_bounds("restart_cost", "restart cost"),
        ],
        data.shown,
        data.summary,
        data.marked,
    )
    return {"curves": curves, "times": times}


def _finding(data: ReportData) -> str:
    medians = data.summary["updates_median"].dropna()
    if medians.empty:
        return "In no setup had half of the runs converged"
    first = plural(int(medians.min()), "update")
    if len(data.summary) == 1:
        return f"Half of the runs had converged after {first}"
    return f"At the earliest, half of the runs of a setup had converged after {first}"


SECTION = Section(
    "survival",
    "Slow or stuck?",
    _content,
    """\
<p>A share says how many runs had converged at the end of the budget. These curves show when. If a
curve still falls at its end, some runs are slow: more updates would help. If it has long been flat,
the other runs are probably stuck. Runs are seen to converge at their evaluations (key
<code>eval_every</code>), so updates are rounded up to the next one. The curves are Kaplan-Meier
with runs censored at their budget; bands are pointwise 95% (log-log Greenwood).</p>
{{ figure(curves) }}{{ table(times) }}""",
    _finding,
)
