"""One block of runs, setup + seeds → rows: the one caller of the kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import MAX_EPOCHS, Setup
from fastbp.kernels.training import Runs, runs_of

if TYPE_CHECKING:
    pass
from fastbp.engine.lane_group import LaneGroup, task
from fastbp.engine.rows import Rows, _rows_of, kept_outputs

SLICE_SECONDS = 0.1
"""About how long one call into compiled code may take: between calls the driver's wish to stop is
heard."""


class InterruptedBlockError(Exception):
    """The driver wishes to stop; the block is given up."""


def train(
    setup: Setup,
    start: int,
    count: int,
    *,
    lanes: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    slice_seconds: float = SLICE_SECONDS,
) -> Rows:
    """Train the seeds start … start + count − 1 of a setup.

    Raises InterruptedBlockError soon after `stopped()` becomes true, and ArithmeticError where this
    thread flushes denormals to zero.
    """
    (rows,) = train_at_once(
        [setup], start, count, lanes=lanes, stopped=stopped, slice_seconds=slice_seconds
    )
    return rows


def train_at_once(
    setups: Sequence[Setup],
    start: int,
    count: int,
    *,
    lanes: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    slice_seconds: float = SLICE_SECONDS,
    orders: int = 0,
) -> list[Rows]:
    """Train the seeds start … start + count − 1 of setups that differ in their budget alone, the
    longest first: the rows of each.

    The others are beginnings of the first, so only that one is trained whole (`plan` says which
    setups these are). Of each other one the last epoch is done on a copy, by its own task: it may
    be cut short, and a run looks at its end. `orders`: the initial weights of a seed go with the
    order of samples of another, so many further on. Raises as `train`.
    """
    check_denormals()
    *shorter, work = (
        task(setup, lanes) for _, setup in sorted({setup.budget: setup for setup in setups}.items())
    )
    rows = {part.budget: _rows_of(count, kept_outputs(setups[0])) for part in (work, *shorter)}
    pace = _Pace(stopped, slice_seconds)
    group = LaneGroup(work, orders=orders)
    if (
        work.rule.refill and work.budget >= work.updates_per_epoch
    ):  # with less than an epoch there is but one look
        _train_refilled(group, start, rows[work.budget], pace)
        return [rows[work.budget]]
    for first in range(0, count, work.lanes):
        used = min(work.lanes, count - first)
        group.start(np.arange(start + first, start + first + used, dtype=np.uint64))
        here, columns = np.arange(first, first + used), np.arange(used)
        begun = group.measure(with_gradient=False)[0][:, :used]
        for part in shorter:
            while group.epochs < part.epochs - 1:
                pace(group.advance, part.epochs - 1 - group.epochs)
            _record(rows[part.budget], here, group.finished(part), columns)
        while not group.done:
            pace(group.advance)
        _record(rows[work.budget], here, group, columns)
        for each in rows.values():
            each.start[:, here] = begun
    return [rows[setup.budget] for setup in setups]


class _Pace:
    """How many epochs a call into compiled code gets, so that it takes about as long as a slice."""

    def __init__(self, stopped: Callable[[], bool], seconds: float) -> None:
        self._stopped = stopped
        self._seconds = seconds
        self._epochs = 1

    def __call__(self, advance: Callable[[int], None], most: int = MAX_EPOCHS) -> None:
        """Call `advance` with a number of epochs. Raises InterruptedBlockError where the driver
        wishes to stop.
        """
        if self._stopped():
            raise InterruptedBlockError
        epochs = min(self._epochs, most)
        began = time.perf_counter()
        advance(epochs)
        took = time.perf_counter() - began
        # Doubling at most: the first call may have been a cold one.
        self._epochs = max(
            1, min(MAX_EPOCHS, int(epochs * min(2.0, self._seconds / max(took, 1e-9))))
        )


def _record(
    rows: Rows,
    here: NDArray[np.intp],
    group: LaneGroup,
    columns: NDArray[np.intp],
    runs: Runs | None = None,
) -> None:
    """Measure runs that have ended, the columns of a group or of `runs`, into the rows `here`."""
    measures, outputs = group.measure(block=runs.block if runs else None)
    state = runs or group.state
    rows.end[:, here] = measures[:, columns]
    rows.updates_done[here] = state.updates[columns]
    rows.converged_at[here] = state.converged_at[columns]
    if rows.outputs.shape[1]:
        rows.outputs[here] = outputs[..., columns].reshape(rows.outputs.shape[1], -1).T


def _train_refilled(group: LaneGroup, start: int, rows: Rows, pace: _Pace) -> None:
    """Train until each run has converged or used up its budget; a lane whose run has ended takes
    the next seed at a look.
    """
    work, state = group.task, group.state
    dtype = work.table.values.dtype
    waiting, ended, cut_short = (runs_of(work.network, work.lanes, dtype) for _ in range(3))
    count, drawn, first = len(rows.updates_done), 0, np.uint64(start) + group.orders

    def draw() -> None:
        nonlocal drawn
        used = min(work.lanes, count - drawn)
        waiting.filled[:] = 0, used
        if used:
            seeds = np.arange(start + drawn, start + drawn + used, dtype=np.uint64)
            group.draw(waiting.block, waiting.seeds, seeds)
            rows.start[:, drawn : drawn + used] = group.measure(
                with_gradient=False, block=waiting.block
            )[0][:, :used]
            drawn += used

    def collect() -> None:
        columns = np.arange(ended.filled[1])
        whole = (ended.converged_at[columns] >= 0) | (ended.updates[columns] == work.budget)
        here = (ended.seeds[columns] - first).astype(np.intp)
        _record(rows, here[whole], group, columns[whole], ended)
        for column in columns[~whole]:  # their last epoch is not a whole one
            to = cut_short.filled[1]
            cut_short.block.reshape(-1, work.lanes)[:, to] = ended.block.reshape(-1, work.lanes)[
                :, column
            ]
            cut_short.seeds[to] = ended.seeds[column]
            cut_short.filled[1] += 1
            if cut_short.filled[1] == work.lanes:
                finish()
        ended.filled[:] = 0

    def finish() -> None:
        used = int(cut_short.filled[1])
        if used:
            last = LaneGroup(work)
            cut_short.seeds[used:] = cut_short.seeds[0]
            cut_short.converged_at[:] = -1
            last.resume(cut_short, work.epochs - 1, (work.epochs - 1) * work.updates_per_epoch)
            last.advance(1)
            columns = np.arange(used)
            _record(rows, (cut_short.seeds[columns] - first).astype(np.intp), last, columns)
            cut_short.filled[:] = 0

    while True:
        if waiting.filled[0] == waiting.filled[1]:
            draw()
        pace(lambda epochs: group.refill(epochs, waiting, ended))
        over = drawn == count and waiting.filled[0] == waiting.filled[1] and not state.running.any()
        if over or ended.filled[1] == work.lanes:
            collect()
        if over:
            finish()
            return


def check_denormals() -> None:
    """Raise ArithmeticError where a library has switched off denormals on this thread: results
    would differ in last bits.
    """
    smallest_normal = np.array([np.finfo(np.float64).tiny])
    if smallest_normal[0] * 0.5 == 0.0:
        raise ArithmeticError(
            "denormal numbers are flushed to zero on this thread (some library switched them off, usually with -ffast-math): "
            "results would not be the same bits as elsewhere"
        )
