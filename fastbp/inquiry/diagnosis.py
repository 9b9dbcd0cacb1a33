"""Why do networks of a setup fail, and which change mends it? Tried on the same seeds, and checked on fresh ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.statistics import holm, mcnemar, tango, wilson
from fastbp.analysis.wording import ALPHA
from fastbp.engine.plan import seconds_per_run
from fastbp.engine.reading import SweepError
from fastbp.engine.spec import Setup
from fastbp.inquiry import evidence
from fastbp.inquiry.evidence import Finding
from fastbp.inquiry.remedies import Change, changed, changes
from fastbp.inquiry.trials import OTHER_ORDERS, Measured, TimeIsUpError, Trial, joined, train
from fastbp.outcomes import CONSTANT, OUTCOMES

FIRST_SEEDS = 168
"""Seeds after which it is known how long the rest takes: as many as go side by side."""

NARROW = 0.02
"""Half the width of an interval of a difference that is narrow enough."""

BEST = 4
"""Changes of which pairs are tried."""

PLACEBO = "placebo"
"""The cause of the change that changes nothing."""

COMMON = 0.9
"""A setup of whose seeds so many converge is none that fails."""


class Recommended(NamedTuple):
    """The changes that are recommended, and what came of fresh seeds that took no part in choosing them."""

    changes: tuple[Change, ...]
    setup: Setup
    runs: int
    converged: int
    before: int
    """Of the same fresh seeds, those that converge without the changes."""


class Diagnosis(NamedTuple):
    """What was found.

    `runs` and `outcomes`: of the setup as it is, how many seeds there were and how they ended. `findings`: what failing networks
    do. `table`: one row per change, best first. `pairs`: the same of pairs of the best. `recommended`: None where nothing mends
    it. `example`: a seed that fails. `complete`: whether there was time for all that was asked for.
    """

    setup: Setup
    runs: int
    outcomes: dict[str, int]
    findings: list[Finding]
    table: pd.DataFrame
    pairs: pd.DataFrame
    recommended: Recommended | None
    example: int | None
    complete: bool

    @property
    def converged(self) -> float:
        """The share of seeds that converge as it is."""
        return self.outcomes["converged"] / self.runs if self.runs else np.nan


def diagnose(
    setup: Setup, seeds: int = 2000, seconds: float = 60.0, tick: Callable[[str], None] = lambda phase: None, start: int = 0
) -> Diagnosis:
    """Diagnose a setup.

    Parameters: `seeds`, of each change, or fewer where intervals are narrow before; `seconds`, never more; `tick`, told what is
    done; `start`, the first seed. Raises SweepError where there is no time even for a few runs.
    """
    began = time.perf_counter()
    findings = evidence.of_problem(setup)
    tried = changes(setup)
    if any(finding.final for finding in findings):
        seconds, tried = min(seconds, 10.0), []
    trials = [Trial(setup), Trial(setup, OTHER_ORDERS), *(Trial(changed(setup, change)) for change in tried)]
    runs, complete = _rounds(trials, start, seeds, began + 0.6 * seconds, tick)
    base = runs[trials[0]]
    names = [("the same again, in another order of samples", PLACEBO), *((change.name, change.cause) for change in tried)]
    table = _ranked(_table(base, names, [runs[trial] for trial in trials[1:]], trials))
    findings += evidence.of_runs(setup, base, start)
    failing = np.flatnonzero(~base.converged())
    example = start + int(failing[0]) if failing.size else None
    fresh = start + seeds
    pairs, more, whole = _pairs(setup, table, tried, fresh, base.runs, began + 0.8 * seconds, tick)
    fresh += seeds
    recommended = _recommended(setup, table, pairs, tried, more, fresh, base.runs, began + seconds, tick)
    outcomes = {str(outcome): int((base.codes == i).sum()) for i, outcome in enumerate(OUTCOMES)}
    return Diagnosis(setup, base.runs, outcomes, findings, table, pairs, recommended, example, complete and whole)


def _rounds(
    trials: Sequence[Trial], start: int, seeds: int, deadline: float, tick: Callable[[str], None]
) -> tuple[dict[Trial, Measured], bool]:
    """Train some seeds, then more, until all intervals are narrow, all seeds are trained, or the time is up."""
    kept: dict[Trial, list[Measured]] = {trial: [] for trial in trials}
    done, size = 0, min(FIRST_SEEDS, seeds)
    left = deadline - time.perf_counter()
    whole = sum(seconds_per_run(trial.setup) for trial in trials)
    while size > 8 and size * whole > left:
        size //= 2
    while done < seeds:
        round_began = time.perf_counter()
        count = done

        def told(share: float, count: int = count, size: int = size) -> None:
            tick(f"{len(trials)} setups, {count + round(share * size):,} of {seeds:,} seeds each")

        try:
            found = train(trials, start + done, size, deadline, told)
        except TimeIsUpError:
            if not done:
                why = "there is no time for even a few runs of this setup: allow more seconds, or a smaller budget"
                raise SweepError([why]) from None
            return {trial: joined(parts) for trial, parts in kept.items()}, False
        for trial, each in found.items():
            kept[trial].append(each)
        done += size
        took = time.perf_counter() - round_began
        now = {trial: joined(parts) for trial, parts in kept.items()}
        if done >= FIRST_SEEDS and _is_narrow(now, trials):
            return now, True
        room = int(0.9 * (deadline - time.perf_counter()) / took * size)
        size = min(seeds - done, 3 * done, room)
        if size < 1:
            return now, done >= seeds
    return {trial: joined(parts) for trial, parts in kept.items()}, True


def _is_narrow(runs: dict[Trial, Measured], trials: Sequence[Trial]) -> bool:
    base = runs[trials[0]].converged()
    other = np.stack([runs[trial].converged() for trial in trials[1:]])
    low, high = tango((other & ~base).sum(axis=1), (base & ~other).sum(axis=1), len(base))
    return bool(((high - low) / 2 <= NARROW).all())


def _table(base: Measured, names: Sequence[tuple[str, str]], others: Sequence[Measured], trials: Sequence[Trial]) -> pd.DataFrame:
    """One row per change: what it does to the same seeds, and what it costs."""
    before = base.converged()
    after = np.stack([each.converged()[: len(before)] for each in others]) if others else np.empty((0, len(before)), bool)
    mended, broken = (after & ~before).sum(axis=1), (before & ~after).sum(axis=1)
    low, high = tango(mended, broken, len(before))
    p = mcnemar(mended, broken)
    own = trials[0].setup
    constant = [OUTCOMES.index(outcome) for outcome in CONSTANT]
    costs = np.array([[_presentations(t.setup), _presentations(t.setup) * t.setup.parameters] for t in trials[1:]]).reshape(-1, 2)
    costs = costs / [_presentations(own), _presentations(own) * own.parameters]
    return pd.DataFrame(
        {
            "change": [name for name, _ in names], "cause": [cause for _, cause in names], "pairs": len(before),
            "mended": mended, "broken": broken, "converged": after.sum(axis=1),
            "constant": [int(np.isin(each.codes, constant).sum()) for each in others],
            "difference": (mended - broken) / len(before), "difference_low": low, "difference_high": high,
            "p": p, "p_holm": holm(p), "presentations": costs[:, 0], "multiply_adds": costs[:, 1],
        }
    )  # fmt: skip


def _presentations(setup: Setup) -> float:
    return float(setup.budget) * setup.batch_rows


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Best first. An effect is what `p_holm` shows and what is beyond the placebo's interval. Changes within the interval of the
    best are equally good, as far as is seen: among these the cheapest is first, and at equal cost what was tried first."""
    placebo = table[table["cause"] == PLACEBO]
    least = float(placebo["difference_high"].max()) if len(placebo) else 0.0
    table = table.assign(mends=(table["p_holm"] < ALPHA) & (table["difference_low"] > least))
    if not len(table):
        return table
    best = int(table["difference"].to_numpy().argmax())
    alike = table["mends"] & (table["difference"] >= table["difference_low"].iloc[best])
    keys = [~alike, table["multiply_adds"].round(2).where(alike, 0.0), (-table["difference"]).where(~alike, 0.0)]
    return table.iloc[np.lexsort([key.to_numpy() for key in keys[::-1]])].reset_index(drop=True)


def _pairs(
    setup: Setup, table: pd.DataFrame, tried: Sequence[Change], start: int, count: int, deadline: float,
    tick: Callable[[str], None],
) -> tuple[pd.DataFrame, dict[str, tuple[Change, ...]], bool]:  # fmt: skip
    """Pairs of the best changes, of different causes, on fresh seeds."""
    by_name = {change.name: change for change in tried}
    best = [by_name[name] for name in table.loc[table["mends"], "change"]]
    best = [change for i, change in enumerate(best) if change.cause not in {other.cause for other in best[:i]}][:BEST]
    both: dict[str, tuple[Change, ...]] = {}
    trials = [Trial(setup)]
    for pair in combinations(best, 2):
        if pair[0].keys.keys() & pair[1].keys.keys():
            continue  # the second would undo the first
        try:
            trials.append(Trial(changed(setup, *pair)))
            both[f"{pair[0].name} and {pair[1].name}"] = pair
        except SweepError:
            continue
    if not both:
        return _ranked(_table(_nothing(), [], [], trials)), {}, True
    tick(f"{len(both)} pairs of changes")
    try:
        found = train(trials, start, count, deadline)
    except TimeIsUpError:
        return _ranked(_table(_nothing(), [], [], trials)), {}, False
    names = [(name, f"{pair[0].cause} and {pair[1].cause}") for name, pair in both.items()]
    return _ranked(_table(found[trials[0]], names, [found[t] for t in trials[1:]], trials)), both, True


def _nothing() -> Measured:
    return Measured(np.empty(0, np.int8), np.empty((0, 0)), np.empty(0, np.int64))


def _recommended(
    setup: Setup, table: pd.DataFrame, pairs: pd.DataFrame, tried: Sequence[Change], both: dict[str, tuple[Change, ...]],
    start: int, count: int, deadline: float, tick: Callable[[str], None],
) -> Recommended | None:  # fmt: skip
    """The cheapest of what is as good as the best, checked on fresh seeds."""
    options = pd.concat([table[table["mends"]], pairs[pairs["mends"]]], ignore_index=True)
    if options.empty:
        return None
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
