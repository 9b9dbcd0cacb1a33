"""Slow or stuck: how many updates runs take to converge."""

from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.summary import survival
from fastbp.reporting import plots
from fastbp.reporting.html import TableColumn
from fastbp.reporting.html_tables import column, listed, setup_table
from fastbp.reporting.phrases import Record
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import percent


def _updates(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return "∞" if np.isinf(value) else f"{round(value):,}"


def _with_bounds(name: str, title: str) -> TableColumn:
    def cell(row: Record) -> str:
        value, low, high = (_updates(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
        return value if value == "–" else f"{value} [{low}–{high}]"

    return TableColumn(f"{title} [95%]", cell)


def _unconverged(row: Record) -> str:
    return f"{percent(1 - row['ever_converged'] / row['runs'])} had not"


def _content(data: ReportData) -> Content | None:
    if not data.panels["ever_converged"].any():
        return None
    curves = data.drawing(
        plots.survival_curves(survival(data.panel_counts), baseline=data.marked),
        "survival",
        "Updates to convergence",
        "Curves of the share of runs that had not converged yet, over updates. At the end of the "
        f"budget: {listed(data.panels, _unconverged)}",
        "The share of runs that had not converged at any evaluation so far, and below it how many "
        "runs were still in training.",
    )
    columns = [
        column("ever_converged", "ever converged"),
        column("relapsed", "of these relapsed"),
        _with_bounds("updates_median", "median updates"),
        _with_bounds("restart_at", "restart at"),
        _with_bounds("restart_cost", "restart cost"),
    ]
    caption = (
        "Runs that converged at some evaluation, and those among them that did not end converged; "
        "updates after which half had converged (Kaplan-Meier); and the updates after which giving "
        "up and drawing a new seed makes a success cheapest (the budget: no earlier restart pays), "
        "with the updates that a success then takes."
    )
    name = "Updates to convergence of each setup"
    times = setup_table(name, caption, columns, data.shown, data.summary, data.marked)
    return {"curves": curves, "times": times}


SECTION = Section(
    "waiting",
    "Slow or stuck?",
    _content,
    """\
<p>A share says how many runs had converged when the budget ended. These curves say when: runs whose
curve still falls at its end are slow, runs whose curve has become flat are stuck. Kaplan-Meier,
runs censored at their budget; bands are pointwise 95% (log-log Greenwood).</p>
{{ figure(curves) }}{{ table(times) }}""",
)
