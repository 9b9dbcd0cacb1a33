"""Histograms of a setup's runs, from which pictures are drawn: their size is fixed."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.schema.outcomes import OUTCOMES, Outcome

Integers = NDArray[np.int64]

PICTURED = ("loss", "spread", "spread_start")
"""Columns that histograms are made of, besides seeds and outcomes."""

THRESHOLDS: NDArray[np.float64] = np.round(np.logspace(-3, 0, 121), 6)
"""Values of `collapse` at which collapsed runs are counted."""

_SHAPE = (len(OUTCOMES), 75, 160)
PER_SPREAD, PER_DECADE, _MIN_LOSS = 60, 20, -6
"""Cells of the picture of spread and loss: 60 per target range, up to 1.25 of it, and 20 per factor
of ten, from 10⁻⁶ on."""

EXAMPLES = 5
"""How many seeds of each outcome are kept as examples: the first ones."""


class Histograms(NamedTuple):
    """Histograms of the runs of one setup.

    Attributes
    ----------
    collapsing, constant_at_start : int64 arrays, [threshold]
        Runs that would be collapsed at each of `THRESHOLDS`, and runs whose outputs were as
        constant before the first update.
    cells, cell_runs : int64 arrays, [cell]
        The cells of outcome, spread and loss that have runs, and how many runs each has.
    examples : dict
        The first seeds of each outcome.
    """

    collapsing: Integers
    constant_at_start: Integers
    cells: Integers
    cell_runs: Integers
    examples: dict[Outcome, list[int]]

    def points(self) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
        """Outcome, spread and loss in the middle of each cell that has runs."""
        code, across, height = np.unravel_index(self.cells, _SHAPE)
        loss = 10.0 ** ((height + 0.5) / PER_DECADE + _MIN_LOSS)
        return np.array(OUTCOMES, str)[code], (across + 0.5) / PER_SPREAD, loss


class HistogramBuilder:
    """Counts runs into histograms, part by part; seeds ascend."""

    def __init__(self) -> None:
        self._below = np.zeros((2, len(THRESHOLDS)), np.int64)
        self._cells = np.zeros(np.prod(_SHAPE), np.int64)
        self._examples: dict[Outcome, list[int]] = {}

    def add(
        self,
        seeds: Integers,
        codes: NDArray[np.integer],
        measured: Mapping[str, NDArray[np.float64]],
    ) -> None:
        """Add runs: their seeds, positions in `OUTCOMES`, and measures `PICTURED`, each [run]."""
        spread, loss = measured["spread"], measured["loss"]
        decided = [OUTCOMES.index(each) for each in (Outcome.CONVERGED, Outcome.DIVERGED)]
        self._below += [_below(spread[~np.isin(codes, decided)]), _below(measured["spread_start"])]
        finite = np.isfinite(spread) & np.isfinite(loss)
        with np.errstate(divide="ignore"):
            up = (np.log10(loss[finite]) - _MIN_LOSS) * PER_DECADE
        up = np.clip(up, 0, _SHAPE[2] - 1).astype(np.int64)
        across = np.minimum(spread[finite] * PER_SPREAD, _SHAPE[1] - 1).astype(np.int64)
        cells = np.ravel_multi_index((codes[finite], across, up), _SHAPE)
        self._cells += np.bincount(cells, minlength=self._cells.size)
        for code in np.unique(codes).tolist():
            examples = self._examples.setdefault(OUTCOMES[code], [])
            examples += seeds[codes == code][: EXAMPLES - len(examples)].tolist()

    def histograms(self) -> Histograms:
        """Return the histograms of all runs that were added."""
        cells = np.flatnonzero(self._cells)
        collapsing, at_start = self._below
        return Histograms(collapsing, at_start, cells, self._cells[cells], self._examples)


def _below(spread: NDArray[np.float64]) -> Integers:
    """Count the runs below each threshold; NaN sorts last and is below none."""
    first = np.searchsorted(THRESHOLDS, spread, "right")
    return np.asarray(np.cumsum(np.bincount(first, minlength=len(THRESHOLDS) + 1))[:-1])


def pooled(tables: Iterable[tuple[Integers, Integers]]) -> tuple[Integers, Integers]:
    """Add up tables of values and how often each occurs, values ascending."""
    values, counts = (np.concatenate(column) for column in zip(*tables, strict=True))
    values, place = np.unique(values, return_inverse=True)
    return values, np.bincount(place, counts, len(values)).astype(np.int64)


def constant_loss(T: ArrayLike, loss: str) -> float:
    """Loss of the best constant answer, which is the mean target of each output.

    Parameters
    ----------
    T : array_like, [row, output]
        Targets.
    loss : str
        `squared` or `cross-entropy`.
    """
    targets = np.asarray(T, float)
    mean = targets.mean(axis=0)
    if loss == "cross-entropy":
        inner = mean[(mean > 0) & (mean < 1)]
        return float(-(inner * np.log(inner) + (1 - inner) * np.log1p(-inner)).sum())
    return float(0.5 * ((targets - mean) ** 2).mean(axis=0).sum())
