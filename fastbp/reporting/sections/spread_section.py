"""The section on what failing networks do: the spread of their outputs against their loss."""

from fastbp.analysis import summary
from fastbp.analysis.histograms import constant_loss
from fastbp.reporting import plots
from fastbp.reporting.html_tables import listed
from fastbp.reporting.phrases import Record, runs_in
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import percent


def thresholds(data: ReportData) -> dict[str, float]:
    """The threshold of collapse of each setup that has a panel, by its id."""
    values = {t.setup: t.keys.get("collapse") for t in data.panel_counts}
    return {setup: value for setup, value in values.items() if isinstance(value, float)}


def _constant_losses(data: ReportData) -> dict[str, float]:
    """The loss of the best constant answer, for each setup that has a panel, by its id."""
    known = [(t, problem[1]) for t in data.panel_counts if (problem := data.problems[t.setup])]
    losses = {t.setup: constant_loss(T, str(t.keys.get("loss_function"))) for t, T in known}
    return {setup: loss for setup, loss in losses.items() if loss}


def _shares(row: Record) -> str:
    return f"{percent(row['constant_share'])} constant, {percent(row['converged_share'])} converged"


def _content(data: ReportData) -> Content | None:
    density = summary.density(data.panel_counts)
    if not len(density):
        return None
    names = {setup: data.names[setup] for setup in data.panels["setup"]}
    title = f"Where runs end: spread of outputs and loss of {runs_in(data.panels)}"
    scatter = data.drawing(
        plots.spread_loss_panels(density, names, _constant_losses(data), thresholds(data), title),
        "spread-loss",
        "Spread of outputs against loss",
        "Panels, one for each setup: loss over spread of outputs, coloured by outcome. "
        + listed(data.panels, _shares),
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
