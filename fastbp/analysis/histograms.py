"""What pictures need to know of the runs of a setup, whatever their number: counts in cells, and
some seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.schema.outcomes import OUTCOMES, Outcome

Integers = NDArray[np.int64]
Measures = Mapping[str, NDArray[np.float64]]

PICTURED = ("loss", "spread", "spread_start")
"""The columns that a histograms is made of, besides seeds and outcomes."""

THRESHOLDS: NDArray[np.float64] = np.round(np.logspace(-3, 0, 121), 6)
"""Values of `collapse` at which collapsed runs are counted."""

_SPREADS, _LOSSES = 75, 160
PER_SPREAD, PER_DECADE, _MIN_LOSS = 60, 20, -6
"""Cells of a picture of spread and loss: 60 for the target range, up to 1.25 of it; 20 for each
factor of ten from 10⁻⁶ on."""

EXAMPLES = 5
"""Seeds of each outcome that are kept, the first ones: any are as good as others."""


class Histograms(NamedTuple):
    """The runs of one setup in counts.

    `collapsing` and `constant_at_start`, int64 [threshold]: runs that would be collapsed at each of
    `THRESHOLDS`, and runs whose outputs were as alike before the first update. `cells` and
    `cell_runs`: where runs lie in the plane of spread and loss, by outcome, and how many.
    `examples`: the first seeds of each outcome.
    """

    collapsing: Integers
    constant_at_start: Integers
    cells: Integers
    cell_runs: Integers
    examples: dict[Outcome, list[int]]

    def points(self) -> tuple[list[Outcome], NDArray[np.float64], NDArray[np.float64]]:
        """The outcome, the spread and the loss in the middle of each cell in which there are
        runs.
        """
        rest, height = np.divmod(self.cells, _LOSSES)
        code, across = np.divmod(rest, _SPREADS)
        loss = 10.0 ** ((height + 0.5) / PER_DECADE + _MIN_LOSS)
        return [OUTCOMES[i] for i in code], (across + 0.5) / PER_SPREAD, loss


class HistogramBuilder:
    """Counts runs into a histograms, some at a time."""

    def __init__(self) -> None:
        self._thresholds = np.zeros((2, len(THRESHOLDS)), np.int64)
        self._cells = np.zeros(len(OUTCOMES) * _SPREADS * _LOSSES, np.int64)
        self._examples: dict[Outcome, list[int]] = {}

    def add(self, seeds: Integers, codes: NDArray[np.integer], measured: Measures) -> None:
        """Add runs: positions in `OUTCOMES` and the measures of `PICTURED`, all [run]."""
        spread, loss = measured["spread"], measured["loss"]
        settled = (codes == OUTCOMES.index(Outcome.CONVERGED)) | (
            codes == OUTCOMES.index(Outcome.DIVERGED)
        )
        for row, values in enumerate((spread[~settled], measured["spread_start"])):
            # A run is below every threshold beyond its spread; NaN, which sorts last, is below
            # none.
            first = np.searchsorted(THRESHOLDS, values, "right")
            self._thresholds[row] += np.cumsum(np.bincount(first, minlength=len(THRESHOLDS) + 1))[
                :-1
            ]
        seen = np.isfinite(spread) & np.isfinite(loss)
        with np.errstate(divide="ignore"):
            height = np.clip(
                (np.log10(loss[seen]) - _MIN_LOSS) * PER_DECADE, 0, _LOSSES - 1
            ).astype(np.int64)
        across = np.minimum(spread[seen] * PER_SPREAD, _SPREADS - 1).astype(np.int64)
        self._cells += np.bincount(
            (codes[seen].astype(np.int64) * _SPREADS + across) * _LOSSES + height,
            minlength=self._cells.size,
        )
        for code in np.flatnonzero(np.bincount(codes)).tolist():
            of = self._examples.setdefault(OUTCOMES[code], [])
            if len(of) < EXAMPLES:
                of += seeds[np.flatnonzero(codes == code)[: EXAMPLES - len(of)]].tolist()

    def histograms(self) -> Histograms:
        """Of all that was added."""
        cells = np.flatnonzero(self._cells)
        return Histograms(
            self._thresholds[0], self._thresholds[1], cells, self._cells[cells], self._examples
        )
