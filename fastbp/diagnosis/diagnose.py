"""Why do networks of a setup fail, and which change fixes it? Tried on the same seeds, and checked
on fresh ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.statistics.paired import tango
from fastbp.config.setup import Setup
from fastbp.diagnosis import ranking, recommend, symptoms, trajectories
from fastbp.diagnosis.candidates import Change, changed, changes, larger
from fastbp.diagnosis.ranking import PLACEBO, ChangeEffect
from fastbp.diagnosis.recommend import Judged, Recommended
from fastbp.diagnosis.symptoms import Symptom
from fastbp.diagnosis.trials import OTHER_ORDERS, Measured, TimeIsUpError, Trial, joined, train
from fastbp.engine.compile_ahead import warm_up
from fastbp.engine.lane_group import kernel_key, layout
from fastbp.engine.machine import available_cores
from fastbp.engine.plan import seconds_per_run
from fastbp.schema.errors import SweepError
from fastbp.schema.outcomes import OUTCOMES

FIRST_SEEDS = 168
"""Seeds after which it is known how long the rest takes: as many as go side by side."""

NARROW = 0.02
"""Half the width of an interval of a difference that is narrow enough."""

USUAL_EPOCHS, FEWEST_EPOCHS, RUN_SECONDS = 1000, 10, 0.0015
"""Of a budget that nobody gave: its epochs, at least so many, and how long a run may take."""

LEFT = 10.0
"""Of the seconds that there are, so many are left to training, however long compiling took."""

MOST = 0.9
"""Where no change makes so many seeds converge, larger ones are tried."""

LOADING = 3.0
"""Loading compiled code never takes longer."""

AT_ONCE = 6
"""Changes that are tried together at first, the cheapest first: what there is no time for is left
out."""

SAME_AGAIN = "nothing but another order stream"


class Diagnosis(NamedTuple):
    """What was found.

    `base` and `outcomes`: the runs of the setup as it is, and how they ended. `findings`: what
    failing networks do. `table`: one row per change, best first. `pairs`: the same of several
    changes together. `recommended`: None where nothing fixes it. `judged`: two orders of samples
    with all else alike, and whether somebody `advised` that. `example`: a seed that fails.
    `left_out`: changes for which there was no time. `complete`: whether there was time for all that
    was asked for. `short`: whether there were fewer seeds for want of time. `beyond`: the seconds
    by which compiling went past those that were allowed.
    """

    setup: Setup
    base: Measured
    outcomes: dict[str, int]
    findings: list[Symptom]
    table: pd.DataFrame
    pairs: pd.DataFrame
    recommended: Recommended | None
    judged: Judged | None
    advised: bool
    example: int | None
    left_out: list[str]
    complete: bool
    short: bool
    beyond: float

    @property
    def runs(self) -> int:
        """How many seeds of each change there were."""
        return self.base.runs

    @property
    def converged(self) -> float:
        """The share of seeds that converge as it is."""
        return self.outcomes["converged"] / self.runs if self.runs else np.nan


def diagnose(
    setup: Setup, seeds: int = 2000, seconds: float = 60.0, tick: Callable[[str], None] = lambda phase: None, start: int = 0,
    advice: Sequence[Change] = (), began: float | None = None,
) -> Diagnosis:  # fmt: skip
    """Diagnose a setup.

    Parameters: `seeds`, of each change, or fewer where intervals are narrow before; `seconds`,
    never more, but where compiling takes them; `tick`, told what is done; `start`, the first seed;
    `advice`, a change and an order of samples that somebody gave together, to be told apart;
    `began`, on the clock of `time.perf_counter`, where the seconds count from. Raises SweepError
    where there is no time even for a few runs.
    """
    began = time.perf_counter() if began is None else began
    findings = symptoms.of_problem(setup)
    tried = changes(setup)
    if any(finding.final for finding in findings):
        seconds, tried = min(seconds, 10.0), []
    tried, uncompiled, beyond = _compiled(setup, tried, seconds, began)
    now = time.perf_counter()
    left = seconds + beyond - (now - began)

    def by(share: float) -> float:
        """When this share of the time for training is over."""
        return now + share * left

    trials = {change.name: Trial(changed(setup, change)) for change in tried}
    known = {"": Trial(setup), SAME_AGAIN: Trial(setup, OTHER_ORDERS)}
    try:
        runs, left_out, complete = _rounds(known | trials, start, seeds, by(0.5), tick)
    except SweepError as error:
        raise SweepError(
            [*error.lines, *(f"note: {finding.text}" for finding in findings)]
        ) from None
    base, placebo = runs[""], ChangeEffect(SAME_AGAIN, PLACEBO, setup, runs[SAME_AGAIN])
    rows = [
        ChangeEffect(c.name, c.cause, trials[c.name].setup, runs[c.name])
        for c in tried
        if c.name in runs
    ]
    if (
        tried
        and max((row.runs.converged().mean() for row in rows), default=0.0)
        < MOST
        > base.converged().mean()
    ):
        tick("larger changes")
        found, late = _larger(setup, larger(setup, tried), start, base.runs, by(0.6))
        tried, rows, left_out = (
            tried + [change for change, _ in found],
            rows + [row for _, row in found],
            left_out + late,
        )
    table = ranking.ranked(ranking.table(setup, base, [placebo, *rows]))
    failing = np.flatnonzero(~base.converged())
    tick("looking into failing runs")
    seen = trajectories.of(
        setup, (start + failing[: trajectories.MOST]).astype(np.uint64), by(0.65)
    )
    findings += symptoms.of_runs(
        setup, base, seen, {name: runs[name] for name in ("rate ÷ 3", "rate ÷ 10") if name in runs}
    )
    example = start + int(failing[0]) if failing.size else None
    after = start + seeds, start + 2 * seeds, start + 3 * seeds
    pairs, both, whole = recommend.together(
        setup, table, tried, after[0], base.runs, by(0.85), tick
    )
    best = recommend.recommended(
        setup, table, pairs, tried, both, after[1], base.runs, by(0.95), tick
    )
    judged = None
    if two := advice or _two_orders(setup, table, tried):
        judged = recommend.judged(setup, two[0], two[1], after[2], base.runs, by(1), tick)
    outcomes = {str(outcome): int((base.codes == i).sum()) for i, outcome in enumerate(OUTCOMES)}
    left_out += uncompiled + ["several changes at once"] * (not whole)
    short = not complete
    complete = complete and not left_out
    return Diagnosis(
        setup, base, outcomes, findings, table, pairs, best, judged, bool(advice), example, left_out, complete, short, beyond
    )  # fmt: skip


def usual_epochs(setup: Setup) -> int:
    """The budget where nobody gave one: so many epochs, or fewer where a run would take long."""
    epoch = seconds_per_run(setup) / setup.epochs_budget
    return max(FEWEST_EPOCHS, min(USUAL_EPOCHS, int(RUN_SECONDS / epoch)))


def _two_orders(setup: Setup, table: pd.DataFrame, tried: Sequence[Change]) -> tuple[Change, ...]:
    """What fixes best, and another order of samples to be tried with it."""
    by_name = {change.name: change for change in tried}
    best = [by_name[name] for name in table.loc[table["fixes"], "change"][:1]]
    others = [change for change in tried if change.keys.keys() == {"order"}]
    return (best[0], others[0]) if best and others else ()


def _compiled(
    setup: Setup, tried: Sequence[Change], seconds: float, began: float
) -> tuple[list[Change], list[str], float]:  # fmt: skip
    """Load the code that a setup and its changes need, or compile it, which happens once for a
    machine.

    Compiling counts, but however long it takes, LEFT of the seconds are left to training. Returns
    the changes that can be trained, the names of those whose code there was no time to compile, and
    by how many seconds compiling went past what was allowed.
    """
    own = kernel_key(setup)
    began_one = time.perf_counter()
    warm_up(own)
    longest, allowed = time.perf_counter() - began_one, max(0.0, seconds - LEFT)
    known, found, late = {own}, [], []
    for change in tried:
        kind = kernel_key(changed(setup, change))
        if kind not in known:
            if (
                longest > LOADING and time.perf_counter() - began + longest / 2 > allowed
            ):  # half of it is common to all
                late.append(change.name)
                continue
            began_one = time.perf_counter()
            warm_up(kind)
            known.add(kind)
            longest = max(longest, time.perf_counter() - began_one)
        found.append(change)
    past = time.perf_counter() - began - allowed
    return found, late, past if longest > LOADING and past > 0 else 0.0


def _larger(
    setup: Setup, more: Sequence[Change], start: int, count: int, deadline: float
) -> tuple[list[tuple[Change, ChangeEffect]], list[str]]:
    """Changes on the same seeds, the cheapest first, as long as there is time; and the names of
    those left out.
    """
    found: list[tuple[Change, ChangeEffect]] = []
    late: list[str] = []
    for change in sorted(more, key=lambda change: seconds_per_run(changed(setup, change))):
        trial = Trial(changed(setup, change))
        try:
            if late or _guess(trial.setup) * count / FIRST_SEEDS > deadline - time.perf_counter():
                raise TimeIsUpError
            found.append(
                (
                    change,
                    ChangeEffect(
                        change.name,
                        change.cause,
                        trial.setup,
                        train([trial], start, count, deadline)[trial],
                    ),
                )
            )
        except TimeIsUpError:
            late.append(change.name)
    return found, late


def _rounds(
    trials: dict[str, Trial], start: int, seeds: int, deadline: float, tick: Callable[[str], None]
) -> tuple[dict[str, Measured], list[str], bool]:
    """Train some seeds, then more, until all intervals are narrow, all seeds are trained, or the
    time is up.

    The first two, the setup as it is and its placebo, must be; of the others those are left out for
    which there is no time. Returns the runs by name, the names left out, and whether all seeds were
    trained or needed no more.
    """
    names = list(trials)
    size = min(layout(trials[names[0]].setup)[1], seeds)
    tick("the setup as it is")
    _expect(trials[names[0]].setup, deadline)
    began = time.perf_counter()
    try:
        found = train([trials[name] for name in names[:2]], start, size, deadline)
    except TimeIsUpError:
        raise _no_time(trials[names[0]].setup) from None
    slower = (time.perf_counter() - began) / sum(_guess(trials[name].setup) for name in names[:2])
    rest = sorted(names[2:], key=lambda name: _guess(trials[name].setup))
    for first in range(0, len(rest), AT_ONCE):
        some = [trials[name] for name in rest[first : first + AT_ONCE]]
        left = deadline - time.perf_counter()
        while some and slower * sum(_guess(trial.setup) for trial in some) > left:
            some.pop()
        if not some:
            break
        tick(f"{len(found) + len(some)} of {len(trials)} setups, {size:,} seeds each")
        try:
            found |= train(some, start, size, deadline)
        except TimeIsUpError:
            break
    kept = {name: trial for name, trial in trials.items() if trial in found}
    runs, complete = _more(
        {trial: found[trial] for trial in kept.values()}, start, seeds, deadline, tick
    )
    return (
        {name: runs[trial] for name, trial in kept.items()},
        [name for name in names if name not in kept],
        complete,
    )


def _more(
    found: dict[Trial, Measured],
    start: int,
    seeds: int,
    deadline: float,
    tick: Callable[[str], None],
) -> tuple[dict[Trial, Measured], bool]:
    """More seeds of all, as long as they are needed and there is time."""
    trials = list(found)
    done, pace = found[trials[0]].runs, 0.0
    while done < seeds and not (done >= FIRST_SEEDS and _is_narrow(found, trials)):
        round_began = time.perf_counter()
        each = pace or sum(_guess(trial.setup) for trial in trials) / FIRST_SEEDS
        size = min(seeds - done, 3 * done, int(0.9 * (deadline - round_began) / each))
        if size < 1:
            return found, False
        count = done

        def told(share: float, count: int = count, size: int = size) -> None:
            tick(f"{len(trials)} setups, {count + round(share * size):,} of {seeds:,} seeds each")

        try:
            more = train(trials, start + done, size, deadline, told)
        except TimeIsUpError:
            return found, False
        found = {trial: joined([found[trial], more[trial]]) for trial in trials}
        pace = (time.perf_counter() - round_began) / size
        done += size
    return found, True


def _guess(setup: Setup) -> float:
    """Seconds that the fewest runs of a setup may take: as many as go side by side, on one of all
    cores.
    """
    return FIRST_SEEDS * seconds_per_run(setup) / available_cores()


def _expect(setup: Setup, deadline: float) -> None:
    """Raise SweepError where a single epoch, which nothing interrupts, would go far past the
    deadline.
    """
    _, lanes = layout(setup)
    if 0.5 * lanes * seconds_per_run(setup) / setup.epochs_budget > max(
        0.0, deadline - time.perf_counter()
    ):
        raise _no_time(setup)


def _no_time(setup: Setup) -> SweepError:
    few = f"a few runs of this setup, which take some {max(1.0, 2 * _guess(setup)):,.0f} s"
    return SweepError([f"there is no time for even {few}: allow more seconds, or a smaller budget"])


def _is_narrow(runs: dict[Trial, Measured], trials: Sequence[Trial]) -> bool:
    base = runs[trials[0]].converged()
    other = np.stack([runs[trial].converged() for trial in trials[1:]])
    low, high = tango((other & ~base).sum(axis=1), (base & ~other).sum(axis=1), len(base))
    return bool(((high - low) / 2 <= NARROW).all())
