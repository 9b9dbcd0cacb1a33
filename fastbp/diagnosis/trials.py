"""Setups trained on the same seeds, some seeds at a time, until a time is up: what questions about
a setup are answered with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.engine import block
from fastbp.engine.machine import available_cores
from fastbp.engine.plan import budget_groups, min_block_seeds, seconds_per_run
from fastbp.engine.rows import Rows
from fastbp.kernels import measures as m
from fastbp.schema.outcomes import OUTCOMES, Outcome, classify

OTHER_ORDERS = 2**62
"""How far on the seeds lie whose orders of samples a placebo takes."""


class Trial(NamedTuple):
    """A setup, and whether its seeds take the order of samples of others."""

    setup: Setup
    orders: int = 0


class Measured(NamedTuple):
    """What came of the runs of a trial, [run] each, in the order of their seeds."""

    codes: NDArray[np.int8]
    """Positions in `OUTCOMES`."""
    end: NDArray[np.float64]
    """[measure, run], as `fastbp.kernels.measures` names them."""
    converged_at: NDArray[np.int64]

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.codes)

    def converged(self) -> NDArray[np.bool_]:
        """Which ended converged."""
        converged: NDArray[np.bool_] = self.codes == OUTCOMES.index(Outcome.CONVERGED)
        return converged


def measured(setup: Setup, rows: Rows) -> Measured:
    """Rows with their outcomes."""
    end = np.where(rows.end[m.FINITE] == 1.0, rows.end, np.nan)
    codes = classify(
        end[m.MAX_ERROR], end[m.SPREAD], end[m.ONE_SIDED] == 1.0, setup.tolerance, setup.collapse
    )
    return Measured(codes, end, rows.converged_at)


class TimeIsUpError(Exception):
    """There was no time to train all that was asked for."""


def train(
    trials: Sequence[Trial],
    start: int,
    count: int,
    deadline: float = np.inf,
    tick: Callable[[float], None] = lambda share: None,
) -> dict[Trial, Measured]:
    """Train the seeds start … start + count − 1 of each trial, on all cores.

    Parameters: `deadline`, on the clock of `time.perf_counter`; `tick`, told now and then the share
    that is done. Setups that differ in their budget alone are trained once. Raises TimeIsUpError at
    the deadline.
    """
    groups: dict[Hashable, list[Trial]] = {}
    for orders in dict.fromkeys(trial.orders for trial in trials):
        own = [trial.setup for trial in trials if trial.orders == orders]
        for family in budget_groups(own):
            groups[orders, family[0].identity()] = [Trial(setup, orders) for setup in family]
    given_up = threading.Event()
    tasks = [
        (group, first, many)
        for group in groups.values()
        for first, many in _parts(group[0].setup, start, count)
    ]
    tasks.sort(key=lambda each: -each[2] * seconds_per_run(each[0][0].setup))
    whole = sum(many * seconds_per_run(group[0].setup) for group, _, many in tasks)
    found: dict[Trial, list[tuple[int, Measured]]] = {trial: [] for trial in trials}
    done = 0.0

    def stopped() -> bool:
        return given_up.is_set() or time.perf_counter() > deadline

    def work(group: list[Trial], first: int, many: int) -> list[Measured]:
        setups = [trial.setup for trial in group]
        rows = block.train_at_once(setups, first, many, stopped=stopped, orders=group[0].orders)
        return [measured(setup, each) for setup, each in zip(setups, rows, strict=True)]

    with ThreadPoolExecutor(available_cores(), "fastbp-trials") as pool:
        waiting: dict[Future[list[Measured]], tuple[list[Trial], int, int]] = {
            pool.submit(work, *each): each for each in tasks
        }
        try:
            while waiting:
                for future in wait(waiting, 0.2, FIRST_COMPLETED).done:
                    group, first, many = waiting.pop(future)
                    for trial, each in zip(group, future.result(), strict=True):
                        found[trial].append((first, each))
                    done += many * seconds_per_run(group[0].setup)
                tick(done / whole)
        except block.InterruptedBlockError:
            raise TimeIsUpError from None
        finally:
            given_up.set()  # whatever ended this, such as Ctrl-C in a notebook
            for future in waiting:
                future.cancel()
    return {
        trial: joined([each for _, each in sorted(parts, key=lambda part: part[0])])
        for trial, parts in found.items()
    }


def _parts(setup: Setup, start: int, count: int) -> list[tuple[int, int]]:
    """Seeds in parts for all cores, of as many as go side by side."""
    least = min_block_seeds(setup)
    size = least * max(1, round(count / least / (2 * available_cores())))
    return [
        (first, min(size, start + count - first)) for first in range(start, start + count, size)
    ]


def joined(parts: Sequence[Measured]) -> Measured:
    """Runs one after the other."""
    return Measured(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.end for part in parts], axis=1),
        np.concatenate([part.converged_at for part in parts]),
    )
