"""Train more seeds until the intervals are narrow enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fastbp.analysis.statistics.proportions import (
    confidence_sequence,
    sequence_prior,
    sequence_trials,
)
from fastbp.analysis.summary import keys_of
from fastbp.config.sweep import LAST_SEED, Sweep
from fastbp.engine import forecast
from fastbp.engine.driver import Trained
from fastbp.reporting import phrases
from fastbp.schema.errors import StoreError, StoreFullError, SweepError
from fastbp.schema.outcomes import CONSTANT, OUTCOMES
from fastbp.schema.text import shown
from fastbp.store import parquet
from fastbp.store.filename import Range
from fastbp.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

Train = Callable[[Sweep], Trained]
"""Trains what is missing of a sweep, into the store that is asked about."""

SHARES: tuple[str, ...] = (*map(str, OUTCOMES), "constant")
"""The shares that a table shows of a setup: each outcome's, and that of those that people call
constant."""

MIN_WIDTH = 1e-4
"""Below it a share of one half takes more than a thousand million seeds."""


class Counter:
    """Counts how the first seeds of setups ended, from the files of a store, and no others that are
    there: what is decided by it does not depend on what was trained before.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[int, NDArray[np.int64]]] = {}

    def __call__(self, setups: Sequence[str], seeds: Range) -> NDArray[np.int64]:
        """Runs of each outcome, [setup, outcome]. The same first seed each time, and never fewer.

        Raises StoreError where a file is damaged, or runs are not there once each.
        """
        start, stop = seeds[0], sum(seeds)
        found = {
            setup: self._known.get(setup, (start, np.zeros(len(OUTCOMES), np.int64)))
            for setup in setups
        }
        for file in self._store.run_files():
            if file.setup not in found:
                continue
            at, counts = found[file.setup]
            first, after = max(file.start, at), min(file.stop, stop)
            if first < after:
                rows, _ = parquet.read(file.path, ["seed", "outcome"])
                outcomes = rows["outcome"].slice(first - file.start, after - first)
                for entry in pc.value_counts(outcomes).to_pylist():
                    counts = counts + entry["counts"] * (np.array(OUTCOMES) == entry["values"])
                found[file.setup] = at, counts
        for setup, (_, counts) in found.items():
            if counts.sum() != seeds[1]:
                self._store.check_files()  # which says what is there twice
                raise StoreError(
                    f"{self._store.runs} has {counts.sum():,} of {seeds[1]:,} runs of setup {setup} that were made"
                )
            self._known[setup] = stop, counts
        return np.stack([found[setup][1] for setup in setups])


def together(parts: Sequence[Trained]) -> Trained:
    """What several drivers did, one after the other."""
    seconds: dict[str, float] = {}
    for part in parts:
        for phase, took in part.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + took
    runs, updates, written = (sum(each) for each in zip(*(part[:3] for part in parts), strict=True))
    return Trained(
        runs, updates, written, seconds, [line for part in parts for line in part.failed]
    )


# Seeds until intervals are narrow


class Narrowed(NamedTuple):
    """How far the intervals of a sweep's shares were narrowed.

    `sweep`: with the seeds that were reached. `widest`: the width of the widest interval then, that
    of `share` (of `SHARES`) of `setup`, an id; NaN where blocks failed.
    """

    sweep: Sweep
    trained: Trained
    width: float
    widest: float = math.nan
    share: str = ""
    setup: str = ""

    @property
    def complete(self) -> bool:
        """Whether every interval is as narrow as was asked for."""
        return self.widest <= self.width

    def lines(self, summary: pd.DataFrame) -> list[str]:
        """What to say of it; `summary`, of these runs."""
        row = summary[summary["setup"] == self.setup].iloc[0]
        wilson_widths = [
            (summary[f"{s}_high"] - summary[f"{s}_low"]).max()
            for s in (s.replace("-", "_") for s in SHARES)
        ]
        of = phrases.setting(row, keys_of(summary))
        seeds = self.sweep.seeds.count
        return [
            phrases.narrowed(
                self.width, self.widest, seeds, self.share, of, float(max(wilson_widths))
            )
        ]

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        widest = (
            None
            if math.isnan(self.widest)
            else {"setup": self.setup, "share": self.share, "width": self.widest}
        )
        told = {
            "width": self.width,
            "reached": self.complete,
            "seeds": self.sweep.seeds.count,
            "widest": widest,
        }
        return {"until_width": told | {"interval": "confidence sequence, 95%"}}


def read_width(text: str) -> float:
    """A width of an interval. Raises SweepError."""
    try:
        width = float(text)
    except ValueError:
        width = math.nan
    if not MIN_WIDTH <= width < 1:
        raise SweepError(
            [
                f"--until-width: given {shown(text)}, allowed: a number from {MIN_WIDTH} and below 1, such as 0.01"
            ]
        )
    return width


class Most(NamedTuple):
    """How many seeds a sweep takes at most, and what there is no room for where that is fewer than
    may be needed.
    """

    seeds: int
    short: str = ""


def most_seeds(sweep: Sweep, store: Store, width: float, workers: int, processes: int = 0) -> Most:
    """The seeds that are enough for a share of one half, which takes the most, or as many of them
    as there is room for.

    Parameters `workers` and `processes` as of `forecast.memory`. For the sweep's own seeds there is
    room.
    """
    own, wanted = sweep.seeds.count, _rounded_up(sequence_trials(0.5, width))
    if wanted <= own:
        return Most(own)
    last, short = LAST_SEED - sweep.seeds.start, ""
    if wanted > last:
        wanted, short = last, "the last seed is 2^63 − 1"

    def too_much(count: int) -> str:
        try:
            forecast.check(
                sweep.with_seeds(sweep.seeds.start, count), store, workers, processes=processes
            )
        except (SweepError, StoreFullError) as error:
            return str(error)
        return ""

    if not (line := too_much(wanted)):
        return Most(wanted, short)
    few = own
    while wanted - few > max(1, few // 100):  # room is an estimate
        middle = (few + wanted) // 2
        if said := too_much(middle):
            wanted, line = middle, said
        else:
            few = middle
    return Most(few, line)


def until_width(sweep: Sweep, store: Store, width: float, train: Train, most: int) -> Narrowed:
    """Train a sweep's own seeds, then more in rounds, until the 95% interval of each share of each
    setup is at most so wide.

    Intervals are those of a confidence sequence, which may be looked at as often as one likes: that
    it was stopped when they were narrow takes nothing from what they claim. All setups get the same
    seeds: changes are compared over seeds that both setups have, one number in the sweep's file
    says what is complete, and most of what is narrow early (shorter budgets, which are trained on
    the way of longer ones) costs nothing. How many it takes depends on the runs alone, so that the
    same command again, or after it was killed, comes to the same number. `most`: not more seeds
    than these.
    """
    prior, counter = sequence_prior(width), Counter(store)
    ids = [setup.identity() for setup in sweep.setups]
    constant = [OUTCOMES.index(outcome) for outcome in CONSTANT]
    parts: list[Trained] = []
    sweep = sweep.with_seeds(sweep.seeds.start, sweep.seeds.count)
    while True:
        parts.append(train(sweep))
        if parts[-1].failed:
            return Narrowed(sweep, together(parts), width)
        seeds = sweep.seeds.count
        counts = counter(ids, (sweep.seeds.start, seeds))
        counts = np.hstack([counts, counts[:, constant].sum(axis=1, keepdims=True)])
        low, high = confidence_sequence(counts, seeds, prior)
        widths = high - low
        setup, share = np.unravel_index(
            int(np.argmax(widths.round(12))), widths.shape
        )  # the first of those that mirror each other
        found = Narrowed(
            sweep, together(parts), width, float(widths.max()), SHARES[share], ids[setup]
        )
        if found.complete or seeds >= most:
            return found
        sweep = sweep.with_seeds(sweep.seeds.start, min(most, _more(counts, seeds, width)))


def _more(counts: NDArray[np.int64], seeds: int, width: float) -> int:
    """How many seeds to try next: those that the shares as they look now will take, at least a
    tenth more, and at most four times as many, since few seeds tell little of it.
    """
    shares = counts / seeds
    closest = float(shares.flat[np.argmin(np.abs(shares - 0.5))])
    return _rounded_up(
        min(4 * seeds, max(seeds + -(-seeds // 10), sequence_trials(closest, width)))
    )


def _rounded_up(number: int) -> int:
    """A whole number of at most two digits and zeros, not less."""
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // unit) * unit
