"""Train changed setups on the same seeds, and tabulate what each change does."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.analysis.statistics.paired import tango
from fastbp.config.setup import Setup
from fastbp.diagnosis.candidates import Change, changed
from fastbp.engine import backends, block
from fastbp.engine.executor_map import completed
from fastbp.engine.machine import available_cores
from fastbp.engine.plan import budget_groups, min_block_seeds, seconds_per_run
from fastbp.engine.rows import Rows, measured_columns
from fastbp.engine.tasks import layout
from fastbp.kernels import measures as m
from fastbp.schema.columns import SCORES
from fastbp.schema.errors import SweepError
from fastbp.schema.outcomes import CONSTANT, OUTCOMES, Outcome

OTHER_ORDERS = 2**62
"""In the control the run of seed s has the order of samples of seed s plus this number."""

CONTROL = "control"
"""The `cause` of the control, which is the setup itself with other random orders of samples."""

FIRST_SEEDS = 168
"""Training ends early, with narrow intervals, only after this many seeds."""

NARROW = 0.02
"""The confidence interval of a difference is narrow enough if it is ± this or less."""

AT_ONCE = 6
"""The most changes that are trained together in the first round, the cheapest first."""


class Trial(NamedTuple):
    """A setup to train. Run s has the initial weights of seed s, the order of seed s + `orders`."""

    setup: Setup
    orders: int = 0


class MeasuredRuns(NamedTuple):
    """The results of the runs of a trial, in the order of seeds."""

    codes: NDArray[np.int8]
    """The outcome of each run, as its position in `OUTCOMES`."""
    end: NDArray[np.float64]
    """Final measures [measure, run], rows as in `fastbp.kernels.measures`; NaN for runs that
    diverged."""
    converged_at: NDArray[np.int64]
    """Updates at the first evaluation at which the run had converged; −1 if there is none."""
    scores: NDArray[np.float64]
    """The columns `SCORES` [score, run]; NaN where they are null."""

    @property
    def runs(self) -> int:
        """The number of runs."""
        return len(self.codes)

    def converged(self) -> NDArray[np.bool_]:
        """Whether each run converged, bool [run]."""
        return np.isin(self.codes, OUTCOMES.index(Outcome.CONVERGED))

    def constant(self) -> NDArray[np.bool_]:
        """Whether each run gives every row the same answer, bool [run]."""
        return np.isin(self.codes, [OUTCOMES.index(outcome) for outcome in CONSTANT])

    def median(self, score: str) -> float:
        """The median of one of `SCORES`; a run without it is the worst, NaN if none has it."""
        values = self.scores[SCORES.index(score)]
        known = values[~np.isnan(values)]
        with np.errstate(over="ignore"):  # the two in the middle may have no sum
            return float(np.median(np.nan_to_num(values, nan=-np.inf))) if known.size else np.nan

    def values(self, measure: str) -> NDArray[np.float64]:
        """How good each run is by a measure of `MEASURES_OF_CHANGES`, larger is better, [run]."""
        shares = {"success": self.converged(), "constant": ~self.constant()}
        if measure in shares:
            return shares[measure].astype(np.float64)
        values: NDArray[np.float64] = np.fmax(self.scores[SCORES.index(measure)], WORST)
        return values


WORST = -1.0
"""A smaller R² counts as this, and so does a run that diverged: no single run decides a mean."""

NO_RUNS = MeasuredRuns(
    np.empty(0, np.int8),
    np.empty((m.MEASURES, 0)),
    np.empty(0, np.int64),
    np.empty((len(SCORES), 0)),
)


def measured(setup: Setup, rows: Rows) -> MeasuredRuns:
    """Decide the outcomes of trained runs from their final measures."""
    end = np.where(rows.end[m.FINITE] == 1.0, rows.end, np.nan)
    columns = measured_columns(setup, rows.end, rows.test)
    return MeasuredRuns(
        columns["outcome"], end, rows.converged_at, np.stack([columns[name] for name in SCORES])
    )


def joined(parts: Iterable[MeasuredRuns]) -> MeasuredRuns:
    """Concatenate the runs of several parts, in their order."""
    return MeasuredRuns(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def train(
    trials: Sequence[Trial],
    start: int,
    count: int,
    deadline: float = np.inf,
    tick: Callable[[float], None] = lambda share: None,
) -> dict[Trial, MeasuredRuns]:
    """Train the seeds start … start + count − 1 of each trial, on all cores.

    Parameters
    ----------
    trials : sequence of Trial
        Setups that differ in their budget only are trained once.
    start, count : int
        The first seed, and the number of seeds.
    deadline : float
        When to give up, on the clock of ``time.perf_counter``.
    tick : callable
        Called ten times a second with the share that is done.

    Returns
    -------
    dict
        The runs of each trial that was complete at the deadline.
    """
    tasks = _tasks(trials, start, count)
    total, done = sum(map(_seconds, tasks)), 0.0
    results: dict[Trial, dict[int, MeasuredRuns]] = {trial: {} for trial in trials}
    given_up = threading.Event()

    def work(task: _Task) -> list[MeasuredRuns]:
        group, first, many = task
        setups = [trial.setup for trial in group]
        rows = block.train_at_once(
            setups,
            range(first, first + many),
            stopped=lambda updates: given_up.is_set() or time.perf_counter() > deadline,
            orders=group[0].orders,
        )
        return [measured(setup, each) for setup, each in zip(setups, rows, strict=True)]

    def show() -> None:
        tick(done / total)

    pool = backends.pool()
    try:
        with suppress(block.InterruptedBlockError):
            for task, future in completed(pool, work, tasks, show):
                for trial, each in zip(task[0], future.result(), strict=True):
                    results[trial][task[1]] = each
                done += _seconds(task)
            show()
    finally:  # whatever ends this, such as Ctrl-C in a notebook
        given_up.set()
        pool.close()
    whole = {
        trial: joined(parts[first] for first in sorted(parts))
        for trial, parts in results.items()
        if parts
    }
    return {trial: runs for trial, runs in whole.items() if runs.runs == count}


_Task = tuple[list[Trial], int, int]
"""Trials that are trained together, and the first and the number of their seeds."""


def _seconds(task: _Task) -> float:
    """Estimated seconds of a task on one core."""
    return task[2] * seconds_per_run(task[0][0].setup)


def _tasks(trials: Sequence[Trial], start: int, count: int) -> list[_Task]:
    """Cut the trials and their seeds into tasks, the longest first."""
    tasks = []
    for orders in dict.fromkeys(trial.orders for trial in trials):
        for setups in budget_groups([trial.setup for trial in trials if trial.orders == orders]):
            side_by_side = min_block_seeds(setups[0])
            size = side_by_side * max(1, round(count / side_by_side / (2 * available_cores())))
            group = [Trial(setup, orders) for setup in setups]
            tasks += [
                (group, first, min(size, start + count - first))
                for first in range(start, start + count, size)
            ]
    return sorted(tasks, key=_seconds, reverse=True)


# More and more seeds


class Experiment(NamedTuple):
    """What all trials of a diagnosis share.

    `start`, `seeds`: the first seed and the most seeds of a change. `tick`: called with the name of
    the current step. `began`, `seconds`: when training began, on the clock of
    ``time.perf_counter``, and how long it may take. `groups`: the changes in each trial, one or
    several, by its name. `runs`: the number of seeds that single changes were trained on.
    `measures`: those by which changes are judged. They are ranked by the first.
    """

    setup: Setup
    start: int
    seeds: int
    tick: Callable[[str], None]
    began: float
    seconds: float
    groups: dict[str, tuple[Change, ...]]
    runs: int = 0
    measures: tuple[str, ...] = ("success",)

    def by(self, share: float) -> float:
        """The end of this share of the seconds, on the clock of ``time.perf_counter``."""
        return self.began + share * self.seconds

    def train(self, trials: Sequence[Trial], part: int, share: float) -> dict[Trial, MeasuredRuns]:
        """Train `runs` seeds of each trial; the trials that a share of the time was enough for.

        `part`: 0 for the seeds of the single changes; 1, 2 and 3 for fresh ones, others in each
        part.
        """
        return train(trials, self.start + part * self.seeds, self.runs, self.by(share))


class ChangeEffect(NamedTuple):
    """A tried change: what was wrong if it helps (`cause`), its runs, and their relative `cost`."""

    name: str
    cause: str
    runs: MeasuredRuns
    cost: tuple[float, float]
    """As `costs` gives it."""


def costs(setup: Setup, changed: Setup) -> tuple[float, float]:
    """The presentations and the multiply-adds of a run of a changed setup, relative to a setup."""
    presentations = changed.budget * changed.batch_rows / (setup.budget * setup.batch_rows)
    return presentations, presentations * changed.parameters / setup.parameters


def train_some(experiment: Experiment, more: Sequence[Change]) -> list[ChangeEffect]:
    """Try these changes one after the other, as many as there is time for."""
    rows: list[ChangeEffect] = []
    for change in more:
        trial = Trial(changed(experiment.setup, change))
        if guess(trial.setup) * experiment.runs > experiment.by(0.6) - time.perf_counter():
            break
        results = experiment.train([trial], 0, 0.6)
        if not results:
            break
        rows.append(
            ChangeEffect(
                change.name, change.cause, results[trial], costs(experiment.setup, trial.setup)
            )
        )
    return rows


def train_rounds(
    experiment: Experiment, trials: Sequence[Trial]
) -> tuple[dict[Trial, MeasuredRuns], bool]:
    """Train more and more seeds until intervals are narrow, all seeds are done, or time is up.

    The first two trials, the setup and its control, are required; others are left out if there is
    no time. Returns the runs of each trial, and whether all necessary seeds were trained.
    """
    required, others = trials[:2], trials[2:]
    setup, start, deadline = experiment.setup, experiment.start, experiment.by(0.5)
    size = min(layout(setup)[1], experiment.seeds)
    experiment.tick("the setup itself")
    # Nothing interrupts a single epoch.
    epoch = layout(setup)[1] * seconds_per_run(setup) / setup.epochs_budget
    began = time.perf_counter()
    fits = 0.5 * epoch <= max(0.0, deadline - began)
    results = train(required, start, size, deadline) if fits else {}
    if len(results) < len(required):
        takes = 2 * FIRST_SEEDS * guess(setup)
        which = f", which take about {takes:,.0f} s" if takes >= 1 else ""
        raise SweepError(
            [
                f"there is no time for even a few runs of this setup{which}: "
                "allow more seconds, or a smaller budget"
            ]
        )
    slower = (time.perf_counter() - began) / sum(guess(trial.setup) for trial in required)
    rest = sorted(others, key=lambda trial: guess(trial.setup))
    for first in range(0, len(rest), AT_ONCE):
        some = rest[first : first + AT_ONCE]
        needed = slower * np.cumsum([guess(trial.setup) for trial in some])
        some = some[: int(np.searchsorted(needed, deadline - time.perf_counter(), "right"))]
        if not some:
            break
        experiment.tick(f"{len(results) + len(some)} of {len(trials)} setups, {size:,} seeds each")
        more = train(some, start, size, deadline)
        if len(more) < len(some):
            break
        results |= more
    return _more(experiment, results)


def _more(
    experiment: Experiment, results: dict[Trial, MeasuredRuns]
) -> tuple[dict[Trial, MeasuredRuns], bool]:
    """Train more seeds of all trials as long as they are needed and there is time."""
    trials, seeds, deadline = list(results), experiment.seeds, experiment.by(0.5)
    done, pace = results[trials[0]].runs, 0.0
    while done < seeds and not (done >= FIRST_SEEDS and _is_narrow(list(results.values()))):
        began = time.perf_counter()
        each = pace or sum(guess(trial.setup) for trial in trials)
        size = min(seeds - done, 3 * done, int(0.9 * (deadline - began) / each))

        def show(share: float, done: int = done, size: int = size) -> None:
            count = done + round(share * size)
            experiment.tick(f"{len(trials)} setups, {count:,} of {seeds:,} seeds each")

        more = train(trials, experiment.start + done, size, deadline, show) if size > 0 else {}
        if len(more) < len(trials):
            return results, False
        results = {trial: joined([results[trial], more[trial]]) for trial in trials}
        pace = (time.perf_counter() - began) / size
        done += size
    return results, True


def guess(setup: Setup) -> float:
    """Estimated seconds of a run on all cores."""
    return seconds_per_run(setup) / available_cores()


def _is_narrow(runs: Sequence[MeasuredRuns]) -> bool:
    base, *others = (each.converged() for each in runs)
    other = np.stack(others)
    low, high = tango((other & ~base).sum(axis=1), (base & ~other).sum(axis=1), len(base))
    return bool(((high - low) / 2 <= NARROW).all())
