"""Histograms of the loss and the spread of a setup's runs, from which pictures are drawn.

The spread of a run is its largest output minus its smallest over all rows, as a share of the target
range. The size of a histogram does not depend on the number of runs.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.schema.outcomes import OUTCOMES, Outcome

Integers = NDArray[np.int64]

PICTURED = ("loss", "spread", "spread_start")
"""Columns of runs that histograms need, besides seed and outcome."""

THRESHOLDS: NDArray[np.float64] = np.round(np.logspace(-3, 0, 121), 6)
"""Thresholds of collapse, from 0.001 to 1 of the target range, at which runs are counted."""

_SHAPE = (len(OUTCOMES), 75, 160)
PER_SPREAD, PER_DECADE, _MIN_LOSS = 60, 20, -6
"""Cells of the histogram over spread and loss: 60 per unit of spread, from 0 to 1.25, and 20 per
factor of ten of the loss, from 10⁻⁶ to 100. Finite values outside count in the nearest cell."""

EXAMPLES = 5
"""Number of seeds kept as examples of each outcome: the smallest ones."""


class Histograms(NamedTuple):
    """Histograms of the runs of one setup.

    Attributes
    ----------
    collapsing : int64 array, [threshold]
        Runs that would be collapsed with each of `THRESHOLDS`: neither converged nor diverged, and
        with a smaller spread at their end.
    constant_at_start : int64 array, [threshold]
        Runs with a spread below each of `THRESHOLDS` before their first update.
    cells, cell_runs : int64 arrays, [cell]
        Flat indices, into [outcome, spread, loss], of the cells that have runs, and the number of
        runs in each.
    examples : dict of lists
        The smallest seeds of each outcome, at most `EXAMPLES`.
    """

    collapsing: Integers
    constant_at_start: Integers
    cells: Integers
    cell_runs: Integers
    examples: dict[Outcome, list[int]]

    def points(self) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
        """Outcome, spread and loss at the centre of each of `cells`, as three arrays [cell]."""
        code, across, height = np.unravel_index(self.cells, _SHAPE)
        return (
            np.array(OUTCOMES, str)[code],
            (across + 0.5) / PER_SPREAD,
            10.0 ** ((height + 0.5) / PER_DECADE + _MIN_LOSS),
        )


class HistogramBuilder:
    """Makes the histograms of a setup from parts of its runs, added with ascending seeds."""

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
        """Add runs to the histograms.

        Parameters
        ----------
        seeds, codes : integer arrays, [run]
            Seed of each run, and the position of its outcome in `OUTCOMES`.
        measured : mapping of float64 arrays, [run]
            The columns `PICTURED`.
        """
        spread, loss = measured["spread"], measured["loss"]
        decided = [OUTCOMES.index(each) for each in (Outcome.CONVERGED, Outcome.DIVERGED)]
        self._below += [_below(spread[~np.isin(codes, decided)]), _below(measured["spread_start"])]
        finite = np.isfinite(spread) & np.isfinite(loss)
        with np.errstate(divide="ignore"):
            up = (np.log10(np.maximum(loss[finite], 0)) - _MIN_LOSS) * PER_DECADE
        up = np.clip(up, 0, _SHAPE[2] - 1).astype(np.int64)
        # others than fastbp may write any number
        across = np.minimum(
            np.clip(spread[finite], 0, _SHAPE[1] / PER_SPREAD) * PER_SPREAD, _SHAPE[1] - 1
        ).astype(np.int64)
        self._cells += np.bincount(
            np.ravel_multi_index((codes[finite], across, up), _SHAPE), minlength=self._cells.size
        )
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
    return np.asarray(
        np.cumsum(
            np.bincount(np.searchsorted(THRESHOLDS, spread, "right"), minlength=len(THRESHOLDS) + 1)
        )[:-1]
    )


def pooled(tables: Iterable[tuple[Integers, Integers]]) -> tuple[Integers, Integers]:
    """Merge frequency tables: add the counts of equal values.

    Parameters
    ----------
    tables : iterable of (int64 array, int64 array)
        Values and how often each occurs.

    Returns
    -------
    values, counts : int64 arrays, [value]
        All values, ascending, each once, and how often each occurs in all tables.
    """
    values, counts = (np.concatenate(column) for column in zip(*tables, strict=True))
    values, place = np.unique(values, return_inverse=True)
    return values, np.bincount(place, counts, len(values)).astype(np.int64)


def constant_loss(T: ArrayLike, loss: str) -> float:
    """Loss of a network that gives the best constant answer: the mean target of each output.

    Parameters
    ----------
    T : array_like, [row, output]
        Targets.
    loss : str
        `squared` or `cross-entropy`.

    Returns
    -------
    float
        The mean over rows of the sum over outputs; the squared loss has the factor ½.
    """
    targets = np.asarray(T, float)
    mean = targets.mean(axis=0)
    if loss == "cross-entropy":
        inner = mean[(mean > 0) & (mean < 1)]
        return float(-(inner * np.log(inner) + (1 - inner) * np.log1p(-inner)).sum())
    return float(0.5 * ((targets - mean) ** 2).mean(axis=0).sum())
