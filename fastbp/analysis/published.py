"""Compare figures that papers printed with the same figures computed from our runs.

A figure is a number about many runs, such as the share that converged or the mean epochs until then
(`paper_figures` has all kinds). All times are in epochs. Two figures agree if their 95% intervals
overlap. The interval of a published figure is the printed one, or else follows from the number of
runs behind it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cache, cached_property
from math import ceil, floor, inf, isfinite, isnan, nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.counts import SetupCounts, varying
from fastbp.analysis.statistics.kaplan_meier import DRAWS, Restart, costs_of_draws, restart
from fastbp.analysis.statistics.proportions import Real, clopper_pearson
from fastbp.analysis.summary import LEVEL, key_columns
from fastbp.schema.paper_figures import (
    FIGURES,
    MAX_COMPARED,
    MAX_FIGURES,
    MAX_PRINTED,
    MAX_RUNS,
)
from fastbp.schema.text import printable
from fastbp.store.provenance import LatestSweep


class PublishedFigure(NamedTuple):
    """A figure as a paper printed it.

    Attributes
    ----------
    source : str
        The paper.
    figure : str
        The kind of figure, one of `FIGURES`.
    value : float
        The printed number.
    unit : float
        The unit that it was rounded to, such as 0.01; 0 if it is exact.
    runs : int or None
        Number of runs behind it, if known.
    low, high : float
        Printed bounds, or NaN.
    shift : int
        Epochs to add to our times, so that they are counted as in the paper: 1 if the paper
        evaluates before the updates of an epoch, else 0.
    setups : tuple of str
        Ids of the setups that it is compared with.
    """

    source: str
    figure: str
    value: float
    unit: float
    runs: int | None
    low: float
    high: float
    shift: int
    setups: tuple[str, ...]


def published_figures(sweep: LatestSweep) -> tuple[PublishedFigure, ...]:
    """Read the published figures of a store's sweep file.

    None if an entry is malformed, or if they are more than a sweep may have.
    """
    compared = sum(len(setups) for _, setups in sweep.published)
    if len(sweep.published) > MAX_FIGURES or compared > MAX_COMPARED:
        return ()
    with suppress(ValueError, TypeError, KeyError, OverflowError):
        return tuple(_figure(entry, setups) for entry, setups in sweep.published)
    return ()


def _figure(entry: Mapping[str, Any], setups: tuple[str, ...]) -> PublishedFigure:
    figure, value = str(entry["figure"]), _printed(entry["value"])
    runs = None if entry.get("runs") is None else int(entry["runs"])
    if (
        figure not in FIGURES
        or (figure == "success" and value > 1)
        or not (runs is None or 1 <= runs <= MAX_RUNS)
    ):
        raise ValueError(f"no published figure: {entry}")
    reach, low, high = (
        _printed(entry[name]) if name in entry else nan for name in ("plus_minus", "low", "high")
    )
    return PublishedFigure(
        source=printable(" ".join(str(entry["source"]).split())),
        figure=figure,
        value=value,
        unit=_unit(figure, value, entry.get("rounded")),
        runs=runs,
        low=value - reach if isnan(low) else low,
        high=value + reach if isnan(high) else high,
        shift=int(entry.get("evaluated") == "before"),
        setups=setups,
    )


def _printed(number: Any) -> float:
    """A number that a paper may have printed. Raises ValueError and TypeError."""
    if not 0 <= float(number) <= MAX_PRINTED:
        raise ValueError(f"no printed number: {number}")
    return float(number)


def _unit(figure: str, value: float, rounded: float | None) -> float:
    """The unit that a figure was rounded to: `rounded`, or else the unit of its last digit.

    A share of 0 or 1 is exact: its unit is 0.
    """
    if rounded is not None:
        if not float(rounded) > 0:
            raise ValueError(f"rounded to {rounded}")
        return _printed(rounded)
    if figure == "success" and value in (0, 1):
        return 0.0
    return 10.0 ** int(
        Decimal(repr(int(value) if value.is_integer() else value)).as_tuple().exponent
    )


# The figures of our runs


def measures(epochs: Real, counts: Real, runs: int) -> dict[str, Real]:
    """Compute every one of `FIGURES` for several samples of runs.

    Parameters
    ----------
    epochs : float64 array, [time]
        Numbers of epochs, ascending.
    counts : float64 array, [sample, time]
        Runs of each sample that converged after this number of epochs.
    runs : int
        Number of all runs of a sample, those that never converged included.

    Returns
    -------
    dict of float64 arrays, [sample]
        Each figure. For a sample without a converged run it is NaN, or the value for infinite
        times.
    """
    done, total = counts.cumsum(axis=1), counts.sum(axis=1)
    costs = costs_of_draws(epochs, counts, counts * epochs, runs)
    least = costs.min(axis=1)
    half = epochs[np.argmax(2 * done >= done[:, -1:], axis=1)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = counts @ epochs / total
        return {
            "success": total / runs,
            "mean": mean,
            "sd": np.sqrt((counts * (epochs - mean[:, None]) ** 2).sum(axis=1) / (total - 1)),
            "median": np.where(total > 0, half, nan),
            "harmonic": runs / (counts @ (1 / epochs)),
            "efficiency": 1000 / least,
            "limit": np.where(np.isfinite(least), epochs[costs.argmin(axis=1)], nan),
        }


_CELLS = 2_000_000
"""Largest number of elements of an array [sample, time] that memory holds at once."""


MAX_TIMES = 200_000
"""How many times to convergence are drawn from for one table, which takes 20 to 45 seconds. The
different times of a setup count once for each number of runs of a sample."""


class _OurFigures:
    """Computes figures from the runs of one setup, with `shift` epochs added to each time.

    `left`: how many of the `MAX_TIMES` of a table are left, a list of one number that all share.
    """

    def __init__(
        self, one: SetupCounts, updates_per_epoch: int, shift: int, left: list[int]
    ) -> None:
        self.runs, self._left = one.runs, left
        # The last evaluation of a budget may lie within an epoch.
        times, place = np.unique(
            np.ceil(one.times / updates_per_epoch) + shift, return_inverse=True
        )
        # Without any success, one time remains, with no events.
        self._times: Real = times if times.size else np.ones(1)
        self._events: Real = np.bincount(place, one.events, self._times.size).astype(float)
        self.successes = int(self._events.sum())
        self._drawn: dict[int, dict[str, Real]] = {}
        ours = measures(self._times, self._events[None], self.runs)
        self.values = {figure: float(values[0]) for figure, values in ours.items()}
        """Each figure of all our runs."""

    def interval(self, figure: str) -> tuple[float, float]:
        """The 95% bounds of a figure.

        `success` has exact binomial bounds, `efficiency` and `limit` have the bootstrap bounds of
        `restart`, and all other figures have bootstrap percentiles.
        """
        if figure == "success":
            low, high = clopper_pearson(self._events.sum(), self.runs, LEVEL)
            return float(low), float(high)
        if figure == "limit":
            return self._best.at_low, self._best.at_high
        if figure != "efficiency":
            return self.spread(figure, self.runs)
        costs = self._best.cost_high, self._best.cost_low
        least, most = (1000 / cost if cost else inf for cost in costs)
        return least, most

    @cached_property
    def _best(self) -> Restart:
        """The best time to restart, made once for all figures."""
        return restart(self._times, self._events, self.runs, LEVEL)

    def spread(self, figure: str, runs: int) -> tuple[float, float]:
        """Bounds of the figure in 95% of samples of this number of our runs.

        NaN if samples may not have a success, or if the table already has too many samples.
        """
        if runs not in self._drawn:
            if self._left[0] < self._times.size:
                return nan, nan
            self._left[0] -= self._times.size
        drawn = self._draws(runs)[figure]
        if np.isnan(drawn).any():
            return nan, nan
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
        return float(low), float(high)

    def _draws(self, runs: int) -> dict[str, Real]:
        """Each figure of many samples of this number of runs, drawn with replacement: [sample]."""
        if runs not in self._drawn:
            rng = np.random.default_rng(0)
            shares = [*self._events / self.runs, max(0.0, 1 - self._events.sum() / self.runs)]
            some, parts = max(1, _CELLS // len(shares)), []
            for start in range(0, DRAWS, some):
                drawn = rng.multinomial(runs, shares, min(some, DRAWS - start))
                parts.append(measures(self._times, drawn[:, :-1].astype(float), runs))
            self._drawn[runs] = {
                figure: np.concatenate([part[figure] for part in parts]) for figure in FIGURES
            }
        return self._drawn[runs]


def _printed_interval(one: PublishedFigure, ours: _OurFigures) -> tuple[float, float]:
    """The 95% bounds of a published figure: the printed ones, or else computed from its runs.

    `success` has exact binomial bounds, over all counts that round to the printed share. For other
    figures, samples with the paper's number of runs are drawn from our runs. Their spread around
    our figure, mirrored at the printed value (the basic bootstrap), plus half the rounding unit on
    each side, gives the bounds. They are NaN if the number of runs is not known.
    """
    if isfinite(one.low) and isfinite(one.high):
        return one.low, one.high
    if one.runs is None:
        return nan, nan
    if one.figure == "success":
        half = one.unit / 2 * one.runs
        slack = 1e-9 * one.runs  # in float64, 0.755 × 1,000 may be just below 755
        fewest = max(0, ceil(one.value * one.runs - half - slack))
        most = min(one.runs, floor(one.value * one.runs + half + slack))
        # If no count rounds to it, because there are few runs, these are the two nearest counts.
        lows, highs = clopper_pearson([min(fewest, most), max(fewest, most)], one.runs, LEVEL)
        return float(lows[0]), float(highs[1])
    centre = ours.values[one.figure]
    if not (ours.successes and isfinite(centre)):
        return nan, nan  # runs that never succeed do not show how far a figure spreads
    low, high = ours.spread(one.figure, one.runs)
    if isnan(low):
        return nan, nan  # not 0 and NaN, as `max` has it
    half = one.unit / 2
    return max(0.0, one.value - (high - centre) - half), one.value + (centre - low) + half


_TYPES = {
    "source": "object", "figure": "object", "published": "float64", "published_low": "float64",
    "published_high": "float64", "published_runs": "Int64", "rounded": "float64", "ours": "float64",
    "ours_low": "float64", "ours_high": "float64", "runs": "int64", "evaluated_before": "bool",
    "agrees": "boolean",
}  # fmt: skip
"""The columns of `published` and their types; the columns of the setup come after `figure`."""


def published(
    counted: Sequence[SetupCounts],
    figures: Sequence[PublishedFigure],
    updates_per_epoch: Mapping[str, int],
) -> pd.DataFrame:
    """Compare each published figure with the same figure of our runs.

    Parameters
    ----------
    counted : sequence of SetupCounts
        As `count_runs` returns them.
    figures : sequence of PublishedFigure
        As `published_figures` returns them.
    updates_per_epoch : mapping
        Number of updates in an epoch, by setup id. Setups without an entry are left out.

    Returns
    -------
    DataFrame
        A row for each figure and each of its setups, sorted by figure. Columns: `source`; `figure`;
        the keys that vary; `setup`; `published`, the printed number, with its 95% bounds
        `published_low` and `published_high` and the number of runs behind it, `published_runs`;
        `rounded`, the rounding unit; `ours`, `ours_low`, `ours_high` and `runs`, the same for our
        runs; `evaluated_before`, whether the paper evaluates before the updates of an epoch, which
        adds one epoch to our times; `agrees`, whether the two intervals overlap, null if one is
        missing.
    """
    order = {t.setup: i for i, t in enumerate(counted) if t.setup in updates_per_epoch}
    left = [MAX_TIMES]

    @cache
    def ours(setup: str, shift: int) -> _OurFigures:
        return _OurFigures(counted[order[setup]], updates_per_epoch[setup], shift, left)

    compared = [
        (one, counted[i])
        for one in figures
        for i in sorted({order[setup] for setup in one.setups if setup in order})
    ]
    table = pd.DataFrame(
        [_row(one, ours(t.setup, one.shift)) for one, t in compared],
        columns=[*_TYPES],
        dtype=object,
    ).astype(_TYPES)
    setups = [t for _, t in compared]
    keys = pd.DataFrame(key_columns(setups, varying(counted)))
    keys["setup"] = pd.Series([t.setup for t in setups], dtype=object)
    return pd.concat([table.iloc[:, :2], keys, table.iloc[:, 2:]], axis=1)


def _row(one: PublishedFigure, ours: _OurFigures) -> tuple[Any, ...]:
    """Make the cells of a row of `published`, except the keys and id of its setup."""
    theirs, mine = _printed_interval(one, ours), ours.interval(one.figure)
    agrees = None
    if not np.isnan([*theirs, *mine]).any():
        agrees = bool(theirs[0] <= mine[1] and mine[0] <= theirs[1])
    return (
        one.source, one.figure, one.value, *theirs, one.runs, one.unit,
        ours.values[one.figure], *mine, ours.runs, bool(one.shift), agrees,
    )  # fmt: skip
