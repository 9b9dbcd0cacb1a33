"""The section with curves of the convergence rate over one numeric key."""

import pandas as pd

from fastbp.analysis.axes import curve_keys, with_width_and_depth
from fastbp.analysis.summary import keys_of
from fastbp.reporting import plots
from fastbp.reporting.html import HtmlFigure
from fastbp.reporting.phrases import extreme, runs_in, setting
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import percent


def extremes(summary: pd.DataFrame) -> str:
    """Write the lowest and the highest convergence rate, and the setups that have them."""
    rows = [extreme(summary, "converged", least) for least in (True, False)]
    return " to ".join(
        f"{percent(row['converged_share'])} with {setting(row, keys_of(summary))}" for row in rows
    )


def _figure(data: ReportData, summary: pd.DataFrame, key: str) -> HtmlFigure:
    title = f"Share converged over {key}: {runs_in(summary)}, 95% bands"
    return data.drawing(
        plots.response_curves(summary, key, title=title),
        f"response-{key}",
        f"Share converged over {key}",
        f"Curves of the share of runs converged over {key}, with 95% bands. It goes from "
        f"{extremes(summary)}.",
        "Each dot is a setup, each line a setting of the other keys. The grey line is at one half.",
    )


def _content(data: ReportData) -> Content | None:
    summary = with_width_and_depth(data.summary)
    figures = [_figure(data, summary, key) for key in curve_keys(summary)]
    return {"curves": figures} if figures else None


SECTION = Section(
    "curves",
    "Shares over one key",
    _content,
    "{% for each in curves %}{{ figure(each) }}{% endfor %}",
)
