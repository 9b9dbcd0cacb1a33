"""Train one block: consecutive seeds of one setup, or of several that differ in their budget."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup, Layers, after_last_epoch
from fastbp.engine.rows import Rows, empty_rows, joined, kept_outputs
from fastbp.engine.tasks import Task, layout, task
from fastbp.kernels.evaluation import UNDECIDED
from fastbp.kernels.training import Lanes, Runs, runs_of
from fastbp.schema.keys import MAX_EPOCHS

SLICE_SECONDS = 0.1
"""Target seconds of one call into compiled code. Between two calls a block can be stopped."""


class InterruptedBlockError(Exception):
    """A block was stopped before its end."""


class Pace:
    """Chooses how many epochs each call into compiled code trains.

    Parameters
    ----------
    stopped : callable
        Says whether to stop. It is called before each call.
    seconds : float
        Target time of a call.
    """

    def __init__(self, stopped: Callable[[], bool], seconds: float = SLICE_SECONDS) -> None:
        self._stopped, self._seconds, self._epochs = stopped, seconds, 1

    def __call__(self, advance: Callable[[int], None], most: int = MAX_EPOCHS) -> None:
        """Call `advance` with up to `most` epochs. Raises InterruptedBlockError when stopped."""
        if self._stopped():
            raise InterruptedBlockError
        epochs = min(self._epochs, most)
        began = time.perf_counter()
        advance(epochs)
        seconds = time.perf_counter() - began
        # At most doubled: the first call may have been slow because nothing was in the cache.
        self._epochs = max(
            1, min(MAX_EPOCHS, int(epochs * min(2.0, self._seconds / max(seconds, 1e-9))))
        )


def train(
    setup: Setup,
    start: int,
    count: int,
    *,
    lanes: int | None = None,
    stopped: Callable[[int], bool] = lambda updates: False,
    slice_seconds: float = SLICE_SECONDS,
    most: int | None = None,
) -> Rows:
    """Train the seeds start … start + count − 1 of a setup.

    Parameters
    ----------
    setup : Setup
        What to train.
    start, count : int
        The first seed, and the number of seeds.
    lanes : int, optional
        The number of runs that are trained side by side in SIMD lanes, by default one that suits
        the cache. It does not change the rows.
    stopped : callable
        Says whether to stop, by the most updates of a run so far. It is called between two calls
        into compiled code.
    slice_seconds : float
        Target time of one call into compiled code.
    most : int, optional
        The most updates that a run will have, if that is known. A run with more would have wrong
        learning rates.

    Returns
    -------
    Rows
        The measures of the runs.

    Raises
    ------
    InterruptedBlockError
        Soon after `stopped(…)` becomes true.
    ArithmeticError
        If this thread flushes denormal numbers to zero.
    """
    return train_at_once(
        [setup],
        range(start, start + count),
        lanes=lanes,
        stopped=stopped,
        slice_seconds=slice_seconds,
        most=most,
    )[0]


def train_at_once(
    setups: Sequence[Setup],
    seeds: range,
    *,
    lanes: int | None = None,
    stopped: Callable[[int], bool] = lambda updates: False,
    slice_seconds: float = SLICE_SECONDS,
    most: int | None = None,
    orders: int = 0,
    layers: Layers | None = None,
) -> list[Rows]:
    """Train the same seeds of setups that differ only in their budget.

    A run of a shorter setup is the beginning of a run of the longest: only the longest is trained.
    The last epoch of a shorter run may be incomplete: it is trained and evaluated on a copy.

    Parameters
    ----------
    setups : sequence of Setup
        The longest first; several only with `stop = "budget"`.
    seeds : range
        The seeds, one after the other.
    lanes, stopped, slice_seconds, most
        As in `train`, which also has the errors.
    orders, layers
        As in `LaneGroup`.

    Returns
    -------
    list of Rows
        The measures of the runs of each setup.
    """
    check_denormals()
    if setups[0].test_split == "seed":
        how = {"stopped": stopped, "slice_seconds": slice_seconds, "most": most, "layers": layers}
        return _one_by_one(setups, seeds, orders=orders, **how)
    budgets = {setup.budget: setup for setup in setups}
    *shorter, work = (task(setup, lanes, most) for _, setup in sorted(budgets.items()))
    rows = {budget: empty_rows(len(seeds), kept_outputs(setups[0])) for budget in budgets}
    group = LaneGroup(work, orders=orders, layers=layers)
    pace = Pace(lambda: stopped(int(group.state.updates.max())), slice_seconds)
    # In less than one epoch there is only one evaluation.
    if work.config.refill and work.setup.budget >= work.setup.updates_per_epoch:
        _RefilledBlock(group, seeds.start, rows[work.setup.budget], pace).train()
    else:
        for first in range(0, len(seeds), work.lanes):
            runs = np.arange(first, min(first + work.lanes, len(seeds)))
            group.start((seeds.start + runs).astype(np.uint64))
            _train_group(group, shorter, runs, rows, pace)
    return [rows[setup.budget] for setup in setups]


def _one_by_one(setups: Sequence[Setup], seeds: range, **how: Any) -> list[Rows]:
    """Train the run of each seed by itself, on its own rows; `how` is as in `train_at_once`."""
    lanes = layout(setups[0])[1]
    each = [
        train_at_once(
            [setup.for_seed(seed) for setup in setups], range(seed, seed + 1), lanes=lanes, **how
        )
        for seed in seeds
    ]
    return [joined(parts) for parts in zip(*each, strict=True)]


def _train_group(
    group: LaneGroup,
    shorter: Sequence[Task],
    runs: NDArray[np.intp],
    rows: dict[int, Rows],
    pace: Pace,
) -> None:
    """Train the runs of a lane group to the end, and record where those of `shorter` end."""
    lanes = np.arange(len(runs))
    at_start = group.measure(with_gradient=False)[0][:, lanes]
    for each in rows.values():
        each.start[:, runs] = at_start
    for part in shorter:
        while (left := part.setup.epochs_budget - 1 - group.epochs) > 0:
            pace(group.advance, left)
        last = after_last_epoch(part, group.state)
        _record(rows[part.setup.budget], runs, last, last.state, lanes)
    while not group.done:
        pace(group.advance)
    _record(rows[group.task.setup.budget], runs, group, group.state, lanes)


def _record(
    rows: Rows,
    runs: NDArray[np.intp],
    group: LaneGroup,
    state: Lanes | Runs,
    columns: NDArray[np.intp],
) -> None:
    """Measure the ended runs in `columns` of `state`, and write them to `runs` of `rows`."""
    measures, outputs = group.measure(block=state.block)
    rows.end[:, runs] = measures[:, columns]
    if group.task.held_out:
        test, _ = group.measure(with_gradient=False, block=state.block, held_out=True)
        rows.test[:, runs] = test[:, columns]
    rows.updates_done[runs] = state.updates[columns]
    rows.converged_at[runs] = state.converged_at[columns]
    if rows.outputs.shape[1]:
        rows.outputs[runs] = outputs[..., columns].reshape(rows.outputs.shape[1], -1).T


class _RefilledBlock:
    """A block whose runs end once they have converged or diverged.

    Each lane then takes the next seed. If the last epoch is incomplete, runs leave their lanes
    before it, and a second group trains that epoch.
    """

    def __init__(self, group: LaneGroup, start: int, rows: Rows, pace: Pace) -> None:
        work = group.task
        self._group, self._start, self._rows, self._pace = group, start, rows, pace
        self._drawn, self._count = 0, len(rows.updates_done)
        self._waiting, self._ended = (
            runs_of(work.network, work.lanes, work.table.values.dtype) for _ in range(2)
        )

    def train(self) -> None:
        """Train all runs of the block."""
        group, waiting, ended = self._group, self._waiting, self._ended
        over = False
        while not over:
            if waiting.filled[0] == waiting.filled[1]:
                self._draw()
            self._pace(lambda epochs: group.advance(epochs, waiting, ended))
            none_left = waiting.filled[0] == waiting.filled[1] and self._drawn == self._count
            over = none_left and not group.state.running.any()
            if over or ended.filled[1] == group.task.lanes:
                self._collect()

    def _draw(self) -> None:
        """Fill the waiting columns with the next seeds."""
        runs = np.arange(self._drawn, min(self._drawn + self._group.task.lanes, self._count))
        self._waiting.filled[:] = 0, len(runs)
        if runs.size:
            self._group.draw(self._waiting, (self._start + runs).astype(np.uint64))
            measures, _ = self._group.measure(with_gradient=False, block=self._waiting.block)
            self._rows.start[:, runs] = measures[:, : len(runs)]
            self._drawn += len(runs)

    def _collect(self) -> None:
        """Record the runs that have ended, after training the last epoch where it is missing."""
        ended, work = self._ended, self._group.task
        columns = np.arange(ended.filled[1])
        first = np.uint64(self._start) + self._group.orders
        runs = (ended.seeds[columns] - first).astype(np.intp)
        complete = (ended.converged_at[columns] != UNDECIDED) | (
            ended.updates[columns] == work.setup.budget
        )
        _record(self._rows, runs[complete], self._group, ended, columns[complete])
        if not complete.all():
            last = after_last_epoch(work, ended)
            _record(self._rows, runs[~complete], last, last.state, columns[~complete])
        ended.filled[:] = 0


def check_denormals() -> None:
    """Check that this thread computes with denormal numbers.

    Raises
    ------
    ArithmeticError
        If a library has switched them off: results would differ in their last bits.
    """
    if np.finfo(np.float64).tiny * 0.5 == 0.0:
        raise ArithmeticError(
            "this thread flushes denormal numbers to zero, so results would differ in their last "
            "bits from those elsewhere; a library set this, usually one compiled with -ffast-math: "
            "train in a process that does not load it"
        )
