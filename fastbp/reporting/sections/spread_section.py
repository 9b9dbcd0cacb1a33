"""The sections on what failing networks do, and on the threshold of collapse."""

from fastbp.analysis import summary
from fastbp.analysis.histograms import constant_loss
from fastbp.reporting import plots
from fastbp.reporting.html_tables import listed
from fastbp.reporting.phrases import runs_in
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import percent


def _thresholds(data: ReportData) -> dict[str, float]:
    """The threshold of collapse of each setup that has a panel, by its id."""
    values = {t.setup: t.keys.get("collapse") for t in data.panel_counts}
    return {setup: value for setup, value in values.items() if isinstance(value, float)}


def _content(data: ReportData) -> Content | None:
    density = summary.density(data.panel_counts)
    if not len(density):
        return None
    known = [(t, problem.T) for t in data.panel_counts if (problem := data.problems[t.setup])]
    # The loss of the best constant answer, for each setup that has a panel, by its id.
    losses = {t.setup: constant_loss(T, str(t.keys.get("loss_function"))) for t, T in known}
    scatter = data.drawing(
        plots.spread_loss_panels(
            density,
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
        "Each cell has the colour of its most frequent outcome, the stronger the more runs it has.",
    )
    return {"scatter": scatter}


SECTION = Section(
    "spread",
    "What failing networks do",
    _content,
    """\
<p>The spread of each run's outputs (the largest minus the smallest over the rows, as a share of the
target range) and its loss at the end. A network that has learnt the best constant answer lies on
the left, at the dashed line; one that has learnt the targets lies at the lower right.</p>
{{ figure(scatter) }}""",
)


def _collapse(data: ReportData) -> Content | None:
    table = summary.collapsing(data.panel_counts)
    if not table[["collapsed", "constant_at_start"]].any(axis=None):
        return None
    values = set(_thresholds(data).values())
    threshold = values.pop() if len(values) == 1 else None
    return {
        "curves": data.drawing(
            plots.collapse_curves(table, collapse=threshold, baseline=data.marked),
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
