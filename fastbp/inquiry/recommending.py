"""From single changes to a setup that is recommended: pairs of the best, and checks on seeds that took no part in choosing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.statistics import tango, wilson
from fastbp.engine.reading import SweepError
from fastbp.engine.spec import Setup
from fastbp.inquiry import ranking
from fastbp.inquiry.ranking import Row
from fastbp.inquiry.remedies import Change, changed
from fastbp.inquiry.trials import TimeIsUpError, Trial, train

BEST = 4
"""Changes of which pairs are tried."""


class Recommended(NamedTuple):
    """The changes that are recommended, and what came of fresh seeds that took no part in choosing them."""

    changes: tuple[Change, ...]
    setup: Setup
    runs: int
    converged: int
    before: int
    """Of the same fresh seeds, those that converge without the changes."""


class Judged(NamedTuple):
    """An order of samples beside the setup's own, all else changed alike: `change`, in both, and `order`, in one of them.

    `runs`: fresh seeds; of these, `converged` with the setup's own order and `other` with the other; the interval is of the
    difference of their shares.
    """

    change: Change
    order: Change
    runs: int
    converged: int
    other: int
    low: float
    high: float


def pairs(
    setup: Setup, table: pd.DataFrame, tried: Sequence[Change], start: int, count: int, deadline: float,
    tick: Callable[[str], None],
) -> tuple[pd.DataFrame, dict[str, tuple[Change, ...]], bool]:  # fmt: skip
    """Pairs of the best changes, of different causes, on fresh seeds; by name; and whether there was time for them."""
    by_name = {change.name: change for change in tried}
    best = [by_name[name] for name in table.loc[table["mends"], "change"]]
    best = [change for i, change in enumerate(best) if change.cause not in {other.cause for other in best[:i]}][:BEST]
    both: dict[str, tuple[Change, ...]] = {}
    trials: list[Trial] = []
    for pair in combinations(best, 2):
        if pair[0].keys.keys() & pair[1].keys.keys():
            continue  # the second would undo the first
        try:
            trials.append(Trial(changed(setup, *pair)))
        except SweepError:
            continue
        both[f"{pair[0].name} and {pair[1].name}"] = pair
    if not both:
        return ranking.nothing(), {}, True
    tick(f"{len(both)} pairs of changes")
    try:
        found = train([Trial(setup), *trials], start, count, deadline)
    except TimeIsUpError:
        return ranking.nothing(), {}, False
    rows = [
        Row(name, f"{pair[0].cause} and {pair[1].cause}", trial.setup, found[trial])
        for (name, pair), trial in zip(both.items(), trials, strict=True)
    ]
    return ranking.ranked(ranking.table(setup, found[Trial(setup)], rows)), both, True


def recommended(
    setup: Setup, table: pd.DataFrame, pairs: pd.DataFrame, tried: Sequence[Change], both: dict[str, tuple[Change, ...]],
    start: int, count: int, deadline: float, tick: Callable[[str], None],
) -> Recommended | None:  # fmt: skip
    """The cheapest of what is as good as the best, checked on fresh seeds."""
    mending = [each[each["mends"]] for each in (table, pairs) if each["mends"].any()]
    if not mending:
        return None
    options = pd.concat(mending, ignore_index=True)
    share = options["converged"] / options["pairs"]
    best = int(share.argmax())
    low, _ = wilson(options["converged"].iloc[best], options["pairs"].iloc[best])
    alike = options[share >= float(low)].sort_values("multiply_adds", kind="stable")
    name = str(alike["change"].iloc[0])
    parts = both.get(name) or tuple(change for change in tried if change.name == name)
    mended = changed(setup, *parts)
    tick("checking on fresh seeds")
    try:
        found = train([Trial(setup), Trial(mended)], start, count, deadline)
    except TimeIsUpError:
        return Recommended(parts, mended, 0, 0, 0)
    before, after = found[Trial(setup)].converged(), found[Trial(mended)].converged()
    return Recommended(parts, mended, len(after), int(after.sum()), int(before.sum()))


def judged(
    setup: Setup, change: Change, order: Change, start: int, count: int, deadline: float, tick: Callable[[str], None]
) -> Judged | None:
    """Two orders of samples where all else is changed alike; None where they are no two setups, or there is no time."""
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
    return Judged(change, order, len(own), int(own.sum()), int(other.sum()), float(low), float(high))
