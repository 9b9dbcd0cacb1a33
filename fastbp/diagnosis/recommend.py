"""Recommend changes: combine the best ones, and check the result on fresh seeds."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.statistics.paired import tango
from fastbp.config.setup import Setup
from fastbp.diagnosis.candidates import UNDOING, Change, changed
from fastbp.diagnosis.effects import effects, score_of
from fastbp.diagnosis.trials import (
    CONTROL,
    NO_RUNS,
    ChangeEffect,
    Experiment,
    MeasuredRuns,
    Trial,
    costs,
    guess,
)
from fastbp.engine.plan import seconds_per_run
from fastbp.problems.split import kinds_of_rows
from fastbp.schema.errors import SweepError
from fastbp.schema.text import and_

BEST = 4
"""Number of best changes, of different causes, that are combined in pairs."""

GOOD = 0.95
"""No further changes are tried if this share of the seeds converge."""

MAX_TOGETHER = 3
"""The most changes that are combined."""

FEW, FEWEST = 504, 168
"""Seeds of each combination: if some change alone fixes the setup, and if none does, so that all
pairs are tried."""

ABOUT = 0.03
"""Convergence rates that differ by less than this count as about equal."""

CHEAP = 5
"""If all pairs are tried, the cheap ones come first. A pair is cheap if its runs take at most this
many times as long as those of the setup."""

SCORES_ALIKE = 0.015
"""Accuracies, or R², that differ by no more than this count as equal: two of 150 rows."""

DEAR = 10.1
"""Changes that cost more than this many times as much are recommended only if few others do."""

HELD_OUT, MIN_HELD_OUT = 0.25, 40
"""The share of rows on which recommended changes are tried without training on them, and the fewest
rows of a table for that."""

MARGIN = 2
"""Combinations are tried only if there is time for this many times their estimated seconds."""


class Recommendation(NamedTuple):
    """Recommended changes, and the result on fresh seeds that were not used to choose them.

    `setup`: the setup with the changes. `before`, `after`: runs of the same fresh seeds without
    and with the changes; none if there was no time for this check. `held_out`: runs with the
    changes that were trained on three quarters of the rows; none if no rows were held out.
    """

    changes: tuple[Change, ...]
    setup: Setup
    before: MeasuredRuns = NO_RUNS
    after: MeasuredRuns = NO_RUNS
    held_out: MeasuredRuns = NO_RUNS

    @property
    def runs(self) -> int:
        """The number of fresh seeds."""
        return self.after.runs

    @property
    def converged(self) -> int:
        """The number of fresh seeds that converge with the changes."""
        return int(self.after.converged().sum())

    @property
    def tested(self) -> MeasuredRuns:
        """The runs that have scores on held-out rows, if any rows were held out."""
        return self.held_out if self.held_out.runs else self.after

    def held_out_rows(self) -> tuple[int, int, float]:
        """The held-out rows: their number, how many also occur among the others, and what is usual.

        The last is the accuracy of always giving the commonest class of the others, or 0, the R² of
        always giving the mean.
        """
        setup = self.setup if self.setup.test else self.setup.with_columns({"test": HELD_OUT})
        rows = kinds_of_rows(np.column_stack(setup.data()))
        classes = kinds_of_rows(setup.prepared().labels)
        copies = np.isin(rows[setup.rows :], rows[: setup.rows]).sum()
        commonest = classes[setup.rows :] == np.bincount(classes[: setup.rows]).argmax()
        return setup.test_rows, int(copies), float(commonest.mean()) if setup.groups else 0.0

    def holds(self, *measures: str) -> bool:
        """Whether fresh seeds are better by all measures; True if they were not tried."""
        if not self.runs:
            return True
        rows = [ChangeEffect("", "", self.after, (1.0, 1.0))]
        return all(effects(self.before, rows, m)["difference_low"].iloc[0] > 0 for m in measures)


class OrderComparison(NamedTuple):
    """Two orders of samples, compared on the same fresh seeds with `change` in both.

    Of `runs` seeds, `converged` converge in the setup's order and `other` in the order that the
    change `order` sets. `low`, `high`: the 95% confidence interval of the rate in that order minus
    the rate in the setup's.
    """

    change: Change
    order: Change
    runs: int
    converged: int
    other: int
    low: float
    high: float


def together(experiment: Experiment, table: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Combine changes of different causes, and try each combination on fresh seeds.

    First come pairs of the best changes, and pairs of a best change with one that undoes an unusual
    setting. If no change helps alone, all pairs are tried. While the best result so far is below a
    convergence rate of `GOOD`, each other change is added to the best changes in turn, as long as
    that improves the result. If a single change that is not `DEAR` is as good as that, nothing is
    combined: fewer changes are preferred. `table`: the effects of single changes, best first.

    Returns
    -------
    combined : DataFrame
        The effects of combinations, in the columns of `table`.
    complete : bool
        Whether there was time for all combinations.
    """
    single = [group[0] for group in experiment.groups.values()]
    best = [
        experiment.groups[name][0]
        for name in table[table["fixes"]].drop_duplicates("cause")["change"][:BEST]
    ]
    causes = {change.cause for change in best}
    undoing = [each for each in single if each.cause in UNDOING and each.cause not in causes]
    enough = table["fixes"] & (table["level"] >= GOOD) & (table["multiply_adds"] <= DEAR)
    pairs = [] if enough.any() else [*combinations(best, 2), *product(best, undoing)]
    few = min(experiment.runs, FEW if best else FEWEST)
    tried, complete = _tried(experiment, pairs, few)
    rows = table[table["cause"] != CONTROL]
    if not len(rows) or _level(rows, tried) >= GOOD:
        return tried, complete
    if not best:
        tried, complete = _all_pairs(experiment, single, few)
        if not tried["fixes"].any():
            return tried.head(0), complete
    tables = [tried if best else tried[tried["fixes"].astype(bool)]]
    top, share = _first(rows, tried), _level(rows, tried)
    while share < GOOD and len(parts := experiment.groups[top]) < MAX_TOGETHER:
        causes = {part.cause for part in parts}
        more = [(*parts, change) for change in single if change.cause not in causes]
        tried, complete = _tried(experiment, more, few)
        tables.append(tried[tried["fixes"].astype(bool)])
        if not len(tried) or _level(tried) <= share:
            break
        top, share = _first(tried), _level(tried)
    shown = pd.concat([each for each in tables if len(each)] or tables[:1], ignore_index=True)
    return (
        shown.sort_values(["level", "multiply_adds"], ascending=[False, True], ignore_index=True),
        complete,
    )


def _all_pairs(
    experiment: Experiment, single: Sequence[Change], count: int
) -> tuple[pd.DataFrame, bool]:
    """Try all pairs with different causes: first the cheap ones, then all if no pair is GOOD."""
    pairs = [pair for pair in combinations(single, 2) if pair[0].cause != pair[1].cause]
    tried, complete = _tried(experiment, pairs, count, CHEAP * seconds_per_run(experiment.setup))
    if _level(tried) < GOOD:
        tried, complete = _tried(experiment, pairs, count)
    return tried, complete


def _level(*tables: pd.DataFrame) -> float:
    """The largest level in the tables; 0 if they are empty."""
    return float(max((rows["level"].max() for rows in tables if len(rows)), default=0.0))


def _first(*tables: pd.DataFrame) -> str:
    """The name of the cheapest change whose level is about the largest."""
    rows = pd.concat([each for each in tables if len(each)])
    rows = rows[rows["level"] >= min(GOOD, rows["level"].max() - ABOUT)]
    rows = rows.sort_values(["multiply_adds", "level"], ascending=[True, False])
    return str(rows["change"].iloc[0])


def _tried(
    experiment: Experiment,
    groups: Iterable[tuple[Change, ...]],
    count: int,
    most: float = np.inf,
) -> tuple[pd.DataFrame, bool]:
    """Try combinations of changes on the same seeds, the cheapest first, while there is time.

    `most`: the most seconds of a run; slower combinations are not tried. Returns their effects, and
    whether there was time for all.
    """
    setup = experiment.setup
    trials: dict[str, Trial] = {}
    for group in groups:
        if any(a.keys.keys() & b.keys.keys() for a, b in combinations(group, 2)):
            continue  # the second would undo the first
        with suppress(SweepError):
            trial = Trial(changed(setup, *group))
            if seconds_per_run(trial.setup) <= most:
                name = and_([change.name for change in group])
                trials[name], experiment.groups[name] = trial, group
    if trials:
        experiment.tick(f"{len(trials)} groups of changes")
    names = sorted(trials, key=lambda name: seconds_per_run(trials[name].setup))
    needed = MARGIN * count * np.cumsum([guess(trials[name].setup) for name in names])
    ready = names[: int(np.searchsorted(needed, experiment.by(0.85) - time.perf_counter()))]
    some = [Trial(setup), *(trials[name] for name in ready)]
    results = experiment._replace(runs=count).train(some, 1, 0.85) if ready else {}
    base = results.get(some[0], NO_RUNS)
    rows = [
        ChangeEffect(
            name,
            and_([change.cause for change in experiment.groups[name]]),
            results[trials[name]],
            costs(setup, trials[name].setup),
        )
        for name in ready
        if base.runs and trials[name] in results
    ]
    return effects(base, rows, *experiment.measures), len(rows) == len(trials)


def recommended(
    experiment: Experiment, table: pd.DataFrame, pairs: pd.DataFrame
) -> Recommendation | None:
    """Choose the fewest, then cheapest, changes whose level is about `GOOD` or about the best.

    Beyond DEAR times the cost, each further factor of ten counts as two more changes. Where success
    is not that every row is right, they must also score about as well as the best. The first change
    in the table is preferred to other single ones, so that the cause it points to is the one that
    is fixed. They are checked on fresh seeds. None if nothing fixes the setup.
    """
    options = pd.concat(
        [each for each in (table, pairs) if len(each)] or [table], ignore_index=True
    )
    options = options[options["fixes"].astype(bool)]
    if options.empty:
        return None
    level, score = options["level"], options[score_of(experiment.setup)]
    good = level >= min(GOOD, level.max()) - ABOUT
    if experiment.setup.resolved_success != "rows":
        good &= ~(score < score[good].max() - SCORES_ALIKE)
    options = options[good].assign(other=options["change"] != table["change"].iloc[0])
    options["dear"] = 2 * np.log10(np.maximum(options["multiply_adds"] / DEAR, 1.0)).round(1)
    options["dear"] += [len(experiment.groups[name]) for name in options["change"]]
    changes = experiment.groups[
        options.sort_values(["dear", "other", "multiply_adds"])["change"].iloc[0]
    ]
    setup = changed(experiment.setup, *changes)
    experiment.tick("checking on fresh seeds")
    results = experiment.train([Trial(experiment.setup), Trial(setup)], 2, 0.95)
    if len(results) < 2:
        return Recommendation(changes, setup)
    before, after = results.values()
    return Recommendation(changes, setup, before, after, _held_out(experiment, setup))


def _held_out(experiment: Experiment, setup: Setup) -> MeasuredRuns:
    """Train fresh seeds on three quarters of the rows of a file, for a score on the others."""
    if not setup.file or setup.rows < MIN_HELD_OUT or setup.test:
        return NO_RUNS
    fewer = experiment._replace(runs=min(experiment.runs, FEW))
    with suppress(SweepError):
        trial = Trial(setup.with_columns({"test": HELD_OUT}))
        return fewer.train([trial], 2, 0.97).get(trial, NO_RUNS)
    return NO_RUNS


def compared_orders(
    experiment: Experiment, change: Change, order: Change
) -> OrderComparison | None:
    """Compare the setup's order of samples with another, on fresh seeds, with a change in both.

    None if the setup's runs do not depend on the order, or if there is no time.
    """
    setup = experiment.setup
    if setup.batch_rows == setup.rows or change.keys.keys() & {"order", "batch"}:
        return None
    try:
        trials = [Trial(changed(setup, change)), Trial(changed(setup, change, order))]
    except SweepError:
        return None
    if trials[0].setup.identity() == trials[1].setup.identity():
        return None
    experiment.tick("two orders of samples")
    results = experiment.train(trials, 3, 1.0)
    if len(results) < 2:
        return None
    usual, other = (runs.converged() for runs in results.values())
    bounds = tango(np.sum(other & ~usual), np.sum(usual & ~other), len(usual))
    return OrderComparison(
        change, order, len(usual), int(usual.sum()), int(other.sum()), *map(float, bounds)
    )
