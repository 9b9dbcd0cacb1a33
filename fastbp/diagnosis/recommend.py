"""From single changes to a setup that is recommended: pairs of the best, and checks on seeds that
took no part in choosing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.statistics.paired import tango
from fastbp.analysis.statistics.proportions import wilson
from fastbp.config.setup import Setup
from fastbp.diagnosis import ranking
from fastbp.diagnosis.candidates import UNDOING, Change, changed
from fastbp.diagnosis.ranking import ChangeEffect
from fastbp.diagnosis.trials import TimeIsUpError, Trial, train
from fastbp.engine.machine import available_cores
from fastbp.engine.plan import seconds_per_run
from fastbp.reporting.phrases import and_
from fastbp.schema.errors import SweepError

BEST = 4
"""Changes of which pairs are tried."""

GOOD = 0.95
"""The share of seeds that converge from which on no further changes are looked for."""

MAX_TOGETHER = 3
"""Changes that are made at once."""

FEW = 504
"""Seeds of which several changes are tried, where there are many such groups."""

ABOUT = 0.02
"""A share that converges is about as good as one that is larger by so much."""

FEWEST = 168
"""The same where all pairs are tried."""

CHEAP = 5
"""How many times as long runs may take of the pairs that are tried first."""

MARGIN = 2
"""How much longer than a guess says something may take."""


class Recommended(NamedTuple):
    """The changes that are recommended, and what came of fresh seeds that took no part in choosing
    them.
    """

    changes: tuple[Change, ...]
    setup: Setup
    runs: int
    converged: int
    before: int
    """Of the same fresh seeds, those that converge without the changes."""


class Judged(NamedTuple):
    """An order of samples beside the setup's own, all else changed alike: `change`, in both, and
    `order`, in one of them.

    `runs`: fresh seeds; of these, `converged` with the setup's own order and `other` with the
    other; the interval is of the difference of their shares.
    """

    change: Change
    order: Change
    runs: int
    converged: int
    other: int
    low: float
    high: float


def together(
    setup: Setup, table: pd.DataFrame, tried: Sequence[Change], start: int, count: int, deadline: float,
    tick: Callable[[str], None],
) -> tuple[pd.DataFrame, dict[str, tuple[Change, ...]], bool]:  # fmt: skip
    """Several changes at once, of different causes, on fresh seeds; by name; and whether there was
    time for them.

    Pairs of the best, and of these with what undoes a setting of somebody's own; or of all where
    none fixes anything by itself. Where still fewer than GOOD converge, all other changes are tried
    together with the best ones so far, and of these again the best is kept, as long as it gets
    better: what several faults at once need.
    """
    by_name = {change.name: change for change in tried}
    best = [by_name[name] for name in table.loc[table["fixes"], "change"]]
    best = [
        change
        for i, change in enumerate(best)
        if change.cause not in {other.cause for other in best[:i]}
    ][:BEST]
    undoing = [
        change
        for change in tried
        if change.cause in UNDOING and change.cause not in {other.cause for other in best}
    ]
    groups = [*combinations(best, 2), *product(best, undoing)]
    found, both, whole = _tried(setup, groups, start, count, deadline, tick)
    rows = table[table["cause"] != ranking.PLACEBO]
    if not len(rows) or _share(rows, found) >= GOOD:
        return found, both, whole
    tables, few = [found], min(count, FEW)
    if not best:
        pairs = [pair for pair in combinations(tried, 2) if pair[0].cause != pair[1].cause]
        few = min(count, FEWEST)
        cheap = [pair for pair in pairs if _times(setup, pair) <= CHEAP]
        found, both, whole = _tried(setup, cheap, start, few, deadline, tick)
        if _share(found) < GOOD:
            found, both, whole = _tried(setup, pairs, start, few, deadline, tick)
        if not len(found) or not found["fixes"].any():
            return ranking.nothing(), both, whole
        tables = [found[found["fixes"]]]
    top, share = _first(rows, found), _share(rows, found)
    known = {change.name: (change,) for change in tried} | both
    while share < GOOD and len(parts := known[top]) < MAX_TOGETHER:
        more = [
            (*parts, change)
            for change in tried
            if change.cause not in {part.cause for part in parts}
        ]
        found, names, whole = _tried(setup, more, start, few, deadline, tick)
        tables.append(found[found["fixes"]] if len(found) else found)
        both |= names
        known |= names
        if _share(found) <= share:
            break
        top, share = _first(found), _share(found)
    shown = pd.concat(
        [each for each in tables if len(each)] or [ranking.nothing()], ignore_index=True
    )
    order = np.lexsort([shown["multiply_adds"], -shown["converged"] / shown["pairs"]])
    return shown.iloc[order].reset_index(drop=True), both, whole


def _times(setup: Setup, changes: tuple[Change, ...]) -> float:
    """How many times as long a run takes, about; ∞ where there is no such setup."""
    try:
        return seconds_per_run(changed(setup, *changes)) / seconds_per_run(setup)
    except SweepError:
        return np.inf


def _share(*tables: pd.DataFrame) -> float:
    """The largest share that converges."""
    return max(
        (float((rows["converged"] / rows["pairs"]).max()) for rows in tables if len(rows)),
        default=0.0,
    )


def _first(*tables: pd.DataFrame) -> str:
    """The change with which most converge, or the cheapest of those with which about as many do."""
    rows = pd.concat([each for each in tables if len(each)])
    share = rows["converged"] / rows["pairs"]
    rows = rows[share >= min(GOOD, share.max() - ABOUT)]
    return str(
        rows["change"].iloc[
            int(np.lexsort((-rows["converged"] / rows["pairs"], rows["multiply_adds"]))[0])
        ]
    )


def _tried(
    setup: Setup, groups: Sequence[tuple[Change, ...]], start: int, count: int, deadline: float, tick: Callable[[str], None]
) -> tuple[pd.DataFrame, dict[str, tuple[Change, ...]], bool]:  # fmt: skip
    """Groups of changes on the same seeds, as far as they make setups and there is time, the
    cheapest first; by name; and whether there was time for all.
    """
    trials: dict[str, Trial] = {}
    both: dict[str, tuple[Change, ...]] = {}
    for group in groups:
        if any(a.keys.keys() & b.keys.keys() for a, b in combinations(group, 2)):
            continue  # the second would undo the first
        with suppress(SweepError):
            name = and_([change.name for change in group])
            trials[name], both[name] = Trial(changed(setup, *group)), group
    if not both:
        return ranking.nothing(), {}, True
    tick(f"{len(both)} groups of changes")
    names = sorted(both, key=lambda name: seconds_per_run(trials[name].setup))
    seconds = np.cumsum(
        [MARGIN * count * seconds_per_run(trials[name].setup) / available_cores() for name in names]
    )
    ready = names[: int(np.searchsorted(seconds, deadline - time.perf_counter()))]
    try:
        found = train([Trial(setup), *(trials[name] for name in ready)], start, count, deadline)
    except TimeIsUpError:
        return ranking.nothing(), {}, False
    rows = [
        ChangeEffect(name, and_([change.cause for change in both[name]]), trials[name].setup, found[trials[name]]) for name in ready
    ]  # fmt: skip
    return (
        ranking.ranked(ranking.table(setup, found[Trial(setup)], rows)),
        both,
        len(ready) == len(both),
    )


def recommended(
    setup: Setup, table: pd.DataFrame, pairs: pd.DataFrame, tried: Sequence[Change], both: dict[str, tuple[Change, ...]],
    start: int, count: int, deadline: float, tick: Callable[[str], None],
) -> Recommended | None:  # fmt: skip
    """The fewest changes, and of these the cheapest, of what is GOOD or about as good as the best,
    checked on fresh seeds.
    """
    fixing = [each[each["fixes"]] for each in (table, pairs) if each["fixes"].any()]
    if not fixing:
        return None
    options = pd.concat(fixing, ignore_index=True)
    share = options["converged"] / options["pairs"]
    best = int(share.argmax())
    low, _ = wilson(options["converged"].iloc[best], options["pairs"].iloc[best])
    enough = min(GOOD, float(low), share.iloc[best] - ABOUT)
    alike = options[share >= enough].sort_values("multiply_adds", kind="stable")
    parts = min(
        (
            both.get(name) or tuple(change for change in tried if change.name == name)
            for name in alike["change"]
        ),
        key=len,
    )
    fixed = changed(setup, *parts)
    tick("checking on fresh seeds")
    try:
        found = train([Trial(setup), Trial(fixed)], start, count, deadline)
    except TimeIsUpError:
        return Recommended(parts, fixed, 0, 0, 0)
    before, after = found[Trial(setup)].converged(), found[Trial(fixed)].converged()
    return Recommended(parts, fixed, len(after), int(after.sum()), int(before.sum()))


def judged(
    setup: Setup,
    change: Change,
    order: Change,
    start: int,
    count: int,
    deadline: float,
    tick: Callable[[str], None],
) -> Judged | None:
    """Two orders of samples where all else is changed alike; None where they are no two setups, or
    there is no time.
    """
    if setup.batch_rows == setup.rows or change.keys.keys() & {"order", "batch"}:
        return None
    try:
        trials = [Trial(changed(setup, change)), Trial(changed(setup, change, order))]
        if trials[0].setup.identity() == trials[1].setup.identity():
            return None
        tick("two orders of samples")
        found = train(trials, start, count, deadline)
    except (SweepError, TimeIsUpError):
        return None
    own, other = (found[trial].converged() for trial in trials)
    low, high = tango(np.sum(other & ~own), np.sum(own & ~other), len(own))
    return Judged(
        change, order, len(own), int(own.sum()), int(other.sum()), float(low), float(high)
    )
