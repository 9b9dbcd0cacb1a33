"""Train more seeds until confidence intervals are narrow enough."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.statistics.proportions import (
    confidence_sequence,
    sequence_prior,
    sequence_trials,
)
from fastbp.analysis.summary import SHARES, keys_of
from fastbp.config.sweep import Sweep
from fastbp.engine import forecast
from fastbp.engine.driver import Trained, add_up
from fastbp.engine.executor_map import Pool
from fastbp.engine.plan import Plan
from fastbp.reporting import phrases
from fastbp.schema.errors import DamagedFileError, StoreError, StoreFullError, SweepError
from fastbp.schema.keys import LAST_SEED
from fastbp.schema.outcomes import CONSTANT, OUTCOMES
from fastbp.schema.text import and_, plural
from fastbp.store import parquet
from fastbp.store.filename import Range
from fastbp.store.store import Store

Train = Callable[[Sweep], Trained]
"""A function that trains the missing runs of a sweep, stores them, and says what it did."""


def count_outcomes(store: Store, setups: Sequence[str], seeds: Range) -> NDArray[np.int64]:
    """Count the outcomes of a range of seeds of setups, from the files of a store.

    Other seeds in the store are ignored, so that no decision depends on what was trained before.

    Parameters
    ----------
    store : Store
    setups : sequence of str
        Ids of setups.
    seeds : (start, count)
        The first seed, and the number of seeds.

    Returns
    -------
    int64 array [setup, outcome]
        Numbers of runs; outcomes in the order of `OUTCOMES`.

    Raises
    ------
    StoreError
        If a file is damaged, or the store does not have every run exactly once.
    """
    start, stop = seeds[0], sum(seeds)
    totals = {setup: np.zeros(len(OUTCOMES), np.int64) for setup in setups}
    for file in store.run_files():
        part = range(max(file.start, start), min(file.stop, stop))
        if file.setup in totals and part:
            totals[file.setup] += _count_outcomes(file.path, part.start - file.start, len(part))
    for setup, counts in totals.items():
        if counts.sum() != seeds[1]:
            store.check_files()  # names the files that have runs twice
            raise StoreError(
                f"{store.runs} has {counts.sum():,} of the {seeds[1]:,} runs of setup {setup} that "
                "were written there: the same command trains the others again"
            )
    return np.stack([totals[setup] for setup in setups])


@cache  # files never change, so each is read once
def _count_outcomes(file: Path, offset: int, length: int) -> NDArray[np.int64]:
    """Count the outcomes in `length` rows of a file, from row `offset` on: int64 [outcome]."""
    rows, _ = parquet.read(file, ["seed", "outcome"])
    outcomes = rows["outcome"].slice(offset, length).to_pandas(use_threads=False).astype(str)
    counts = outcomes.value_counts().reindex([*map(str, OUTCOMES)], fill_value=0)
    if counts.sum() != len(outcomes):
        raise DamagedFileError(file, f"it has other outcomes than {and_([*map(str, OUTCOMES)])}")
    return np.array(counts, np.int64)


class UntilWidthResult(NamedTuple):
    """How narrow the confidence intervals of a sweep's shares became.

    Attributes
    ----------
    sweep : Sweep
        The sweep with its final number of seeds.
    trained : Trained
        What all rounds trained.
    width : float
        The requested width.
    widest : float
        The width of the widest interval; NaN if blocks failed.
    share, setup : str
        The outcome (or "constant": collapsed or one-class) and the id of the setup with the widest
        interval.
    """

    sweep: Sweep
    trained: Trained
    width: float
    widest: float = np.nan
    share: str = ""
    setup: str = ""

    @property
    def complete(self) -> bool:
        """Whether every interval is as narrow as requested."""
        return self.widest <= self.width

    def lines(self, summary: pd.DataFrame) -> list[str]:
        """Describe the result in a sentence; `summary`: the table of these runs."""
        row = summary[summary["setup"] == self.setup].iloc[0]
        wilson = max((summary[f"{s}_high"] - summary[f"{s}_low"]).max() for s in SHARES)
        setting = phrases.setting(row, keys_of(summary))
        return [
            f"After {plural(self.sweep.seeds.count, 'seed')} "
            f"{'' if self.complete else 'not '}every share has a 95% interval at "
            f"most {self.width:g} wide; the widest is {self.widest:.3g}, for {self.share}"
            f"{f' with {setting}' * bool(setting)}. These intervals are a confidence sequence, "
            "which is valid wherever it stops; Wilson's in the table, for a number of seeds fixed "
            f"beforehand, are at most {wilson:.3g} wide."
        ]

    def as_json(self) -> dict[str, object]:
        """The result as a dictionary for JSON."""
        widest = {"setup": self.setup, "share": self.share, "width": self.widest}
        return {
            "until_width": {
                "width": self.width,
                "reached": self.complete,
                "seeds": self.sweep.seeds.count,
                "widest": None if np.isnan(self.widest) else widest,
                "interval": "confidence sequence, 95%",
            }
        }


def max_seeds(sweep: Sweep, store: Store, width: float, pool: Pool) -> tuple[int, str]:
    """Find the most seeds that `until_width` may train.

    That is as many as are enough for any shares (a share of one half needs the most) or, if that is
    fewer, as many as fit into memory and disk. The seeds of the sweep itself count as fitting.

    Returns
    -------
    seeds : int
        The most seeds that the sweep may have.
    short : str
        Why that may be too few; empty if it is enough.
    """
    count, enough = sweep.seeds.count, _rounded_up(sequence_trials(0.5, width))
    if enough <= count:
        return count, ""
    short, present = "", store.present()
    if enough > LAST_SEED - sweep.seeds.start:
        enough, short = LAST_SEED - sweep.seeds.start, "the last seed is 2^63 − 1"

    def shortage(seeds: int) -> str:
        try:
            forecast.check(Plan(sweep.with_seeds(sweep.seeds.start, seeds), present), store, pool)
        except (SweepError, StoreFullError) as error:
            return str(error)
        return ""

    line = shortage(enough)
    if not line:
        return enough, short
    numbers = range(count, enough, max(1, count // 100))  # the room is an estimate
    return numbers[
        bisect_left(numbers, True, lo=1, key=lambda seeds: shortage(seeds) != "") - 1
    ], line


def until_width(
    sweep: Sweep, store: Store, width: float, train: Train, limit: int
) -> UntilWidthResult:
    """Train a sweep's seeds, then more in rounds, until all 95% intervals are narrow enough.

    All setups get the same seeds, since changes are compared over seeds that both setups have. The
    number of seeds depends on the runs alone: the same command trains the same seeds, also after it
    was killed.

    Parameters
    ----------
    sweep : Sweep
    store : Store
        Where `train` puts the runs.
    width : float
        The requested width of the interval of each outcome's share in each setup.
    train : callable
        Trains the missing runs of a sweep.
    limit : int
        The most seeds that are trained.

    Notes
    -----
    The intervals are confidence sequences, which hold at all checks together. So stopping when they
    are narrow does not weaken them.
    """
    prior = sequence_prior(width)
    ids = [setup.identity() for setup in sweep.setups]
    constant = [OUTCOMES.index(outcome) for outcome in CONSTANT]
    rounds: list[Trained] = []
    sweep = sweep.with_seeds(sweep.seeds.start, sweep.seeds.count)
    while True:
        rounds.append(train(sweep))
        if rounds[-1].failed:
            return UntilWidthResult(sweep, add_up(rounds), width)
        seeds = sweep.seeds.count
        counts = count_outcomes(store, ids, (sweep.seeds.start, seeds))
        counts = np.hstack([counts, counts[:, constant].sum(axis=1, keepdims=True)])
        low, high = confidence_sequence(counts, seeds, prior)
        widths = high - low
        # Shares p and 1 − p have equal widths but for rounding: take the first of them.
        setup, share = np.unravel_index(int(np.argmax(widths.round(12))), widths.shape)
        widest, name = float(widths.max()), SHARES[share].replace("_", "-")
        result = UntilWidthResult(sweep, add_up(rounds), width, widest, name, ids[setup])
        if result.complete or seeds >= limit:
            return result
        sweep = sweep.with_seeds(sweep.seeds.start, min(limit, _next_seeds(counts, seeds, width)))


def _next_seeds(counts: NDArray[np.int64], seeds: int, width: float) -> int:
    """The number of seeds to try next: as many as the present shares need.

    It is at least a tenth more, and at most four times as many: a few seeds give a rough estimate.
    """
    shares = counts / seeds
    closest = float(shares.flat[np.argmin(np.abs(shares - 0.5))])
    return _rounded_up(
        min(4 * seeds, max(seeds + -(-seeds // 10), sequence_trials(closest, width)))
    )


def _rounded_up(number: int) -> int:
    """Round up to a number of two digits and zeros, such as 1,234 to 1,300."""
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // unit) * unit
