"""From tables to pictures: functions that draw on the axes they are given, and the files they become."""

from fastbp.analysis.plots.atlas import MOST_TILES, atlas
from fastbp.analysis.plots.basin import basin
from fastbp.analysis.plots.canvas import COLOURS, encoded, save
from fastbp.analysis.plots.effects import effects
from fastbp.analysis.plots.lives import (
    MOST_LINES,
    learning_curves,
    learning_sheet,
    life,
    measure_curves,
    outcome_strip,
    output_curves,
)
from fastbp.analysis.plots.outcomes import answers, answers_sheet, collapse_curves, outcome_bars
from fastbp.analysis.plots.pairs import share_pairs
from fastbp.analysis.plots.planes import FEW_VALUES, MOST_POINTS, heatmap, heatmap_panels, spread_loss, spread_loss_panels
from fastbp.analysis.plots.responses import response_curves
from fastbp.analysis.plots.waiting import survival_curves

__all__ = [
    "COLOURS",
    "FEW_VALUES",
    "MOST_LINES",
    "MOST_POINTS",
    "MOST_TILES",
    "answers",
    "answers_sheet",
    "atlas",
    "basin",
    "collapse_curves",
    "effects",
    "encoded",
    "heatmap",
    "heatmap_panels",
    "learning_curves",
    "learning_sheet",
    "life",
    "measure_curves",
    "outcome_bars",
    "outcome_strip",
    "output_curves",
    "response_curves",
    "save",
    "share_pairs",
    "spread_loss",
    "spread_loss_panels",
    "survival_curves",
]
