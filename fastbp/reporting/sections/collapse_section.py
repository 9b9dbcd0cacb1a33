"""The section with the share of collapsed runs over the threshold of collapse."""

from fastbp.analysis.summary import collapsing
from fastbp.reporting import plots
from fastbp.reporting.html_tables import listed
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.reporting.sections.spread_section import thresholds
from fastbp.schema.text import percent


def _content(data: ReportData) -> Content | None:
    table = collapsing(data.panel_counts)
    if not table[["collapsed", "constant_at_start"]].any(axis=None):
        return None
    values = set(thresholds(data).values())
    threshold = values.pop() if len(values) == 1 else None
    curves = data.drawing(
        plots.collapse_curves(table, collapse=threshold, baseline=data.marked),
        "collapse",
        "Collapsed runs by threshold",
        "Curves of the share of collapsed runs over the threshold. With the threshold in use: "
        + listed(data.panels, lambda row: f"{percent(row['collapsed_share'])} collapsed"),
        "Solid and dashed lines: at the end of the runs. Grey dots: before the first update.",
    )
    return {"curves": curves}


SECTION = Section(
    "threshold",
    "How the threshold decides what is collapsed",
    _content,
    """\
<p>A run counts as collapsed if its outputs span less of the target range than a threshold. The
curves show the share of collapsed runs for every threshold, and the share of networks that were as
constant before their first update.</p>
{{ figure(curves) }}""",
)
