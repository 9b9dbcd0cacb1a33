"""Functions that draw pictures of tables with matplotlib; `ax.figure.savefig` writes them."""

from fastbp.reporting.plots.atlas_plot import MAX_TILES, atlas, class_bars
from fastbp.reporting.plots.curves_plot import (
    MAX_CURVES,
    collapse_curves,
    profile_curves,
    response_curves,
    survival_curves,
)
from fastbp.reporting.plots.maps_plot import basin, has_line, heatmap, heatmap_panels
from fastbp.reporting.plots.outcomes_plot import cures, effects, outcome_bars, share_pairs
from fastbp.reporting.plots.spread_loss_plot import MAX_POINTS, spread_loss, spread_loss_panels
from fastbp.reporting.plots.style import encoded
from fastbp.reporting.plots.trajectory_plot import (
    MAX_LINES,
    answers,
    learning_curves,
    learning_sheet,
    measure_curves,
    outcome_strip,
    output_curves,
    trajectory,
)

__all__ = [
    "MAX_CURVES",
    "MAX_LINES",
    "MAX_POINTS",
    "MAX_TILES",
    "answers",
    "atlas",
    "basin",
    "class_bars",
    "collapse_curves",
    "cures",
    "effects",
    "encoded",
    "has_line",
    "heatmap",
    "heatmap_panels",
    "learning_curves",
    "learning_sheet",
    "measure_curves",
    "outcome_bars",
    "outcome_strip",
    "output_curves",
    "profile_curves",
    "response_curves",
    "share_pairs",
    "spread_loss",
    "spread_loss_panels",
    "survival_curves",
    "trajectory",
]
