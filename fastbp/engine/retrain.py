"""Train one run again, bit for bit, and measure it at every evaluation."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.engine.block import check_denormals
from fastbp.engine.lane_group import LaneGroup, Layers
from fastbp.engine.rows import measured_columns
from fastbp.engine.tasks import task_of_run
from fastbp.kernels import measures as m
from fastbp.kernels.evaluation import UNDECIDED
from fastbp.schema.errors import StoreError, is_integer, refuse_wrong
from fastbp.schema.keys import LAST_SEED
from fastbp.schema.outcomes import OUTCOMES


class Trajectory(NamedTuple):
    """A run that was trained again, and its measures at every evaluation."""

    setup: Setup
    seed: int
    evaluations: pd.DataFrame
    """One row per evaluation, the first before any update. Columns: updates, epoch, outcome (as if
    the run ended there), the measures, and the outputs, float32 [row × output], row by row.
    Measures and outputs are null if a weight is not finite, as in the table of runs. Outputs that
    were trained on scaled targets are in the units of the table."""
    initial: Layers
    """Weights and biases before the first update."""
    final: Layers
    """Weights and biases after the last update."""
    rows: NDArray[np.int32] | None
    """The row of the problem that was presented, int32 [presentation]; None if not requested."""
    converged_at: int | None
    """Updates at the first evaluation at which the run had converged; None if it never had."""


def retrain(setup: Setup, seed: int, *, rows: bool = False, most: int | None = None) -> Trajectory:
    """Train one run of a setup again with the same kernels, and measure it at every evaluation.

    Parameters
    ----------
    setup : Setup
        The setup of the run.
    seed : int
        The seed of the run, 0 … 2⁶³ − 1.
    rows : bool
        Whether to return the row of the problem that was presented each time.
    most : int, optional
        The most updates of the run, if that is known.

    Returns
    -------
    Trajectory
        The run and its measures at every evaluation.

    Raises
    ------
    SweepError
        If the seed is not an integer within these bounds.
    StoreError
        If the run has more updates than `most`.
    ArithmeticError
        If this thread flushes denormal numbers to zero.
    """
    refuse_wrong(
        [("seed", seed, is_integer(seed, 0, LAST_SEED - 1), "an integer from 0 to 2^63 - 1")]
    )
    check_denormals()
    group = LaneGroup(task_of_run(setup, seed, most), np.array([seed], np.uint64))
    initial, state = group.layers(), group.state
    states, orders, done = [_state(group)], [], False
    while not done:
        orders += _advanced(group, rows, setup.budget if most is None else most)
        states.append(_state(group))
        done = group.done or (setup.stop == "converged" and state.converged_at[0] != UNDECIDED)
    converged = int(state.converged_at[0])
    return Trajectory(
        setup,
        seed,
        _table(setup, states),
        initial,
        group.layers(),
        np.concatenate(orders) if rows else None,
        converged if converged >= 0 else None,
    )


def _advanced(group: LaneGroup, rows: bool, most: int) -> list[NDArray[np.int32]]:
    """Train until the next evaluation; with `rows`, list the rows that are presented.

    Raises StoreError soon after `most` updates: a run that somebody made up may have no end.
    """
    setup = group.task.setup
    last = min(setup.epochs_budget, most // setup.updates_per_epoch + 1)
    epochs = min(setup.eval_interval, last - group.epochs)
    presented = [_presented(group, epochs)] if rows else []
    if not rows:
        group.advance(epochs)
    if group.state.updates[0] > most:
        raise StoreError(
            f"setup {setup.identity()}: trained again this run has more updates than the {most:,} "
            "of its row"
        )
    return presented


def _presented(group: LaneGroup, epochs: int) -> NDArray[np.int32]:
    """Train for some epochs, and list the rows that the first lane is presented."""
    n, config, before = group.task.table.rows, group.task.config, group.epochs
    rows = np.empty((epochs, n), np.int32)
    if config.cyclic:
        rows[:] = np.arange(n)
        group.advance(epochs)
    else:
        for epoch in rows:
            group.advance(1)
            epoch[:] = group.by_lane(group.state.rows)[:n, 0]
    # the last epoch may be incomplete
    full, rest = divmod(int(group.state.updates[0]), group.task.setup.updates_per_epoch)
    return rows.ravel()[: (full - before) * n + rest * config.batch]


def _state(group: LaneGroup) -> tuple[int, int, Any, Any, NDArray[np.float32] | None]:
    """The updates, epoch, measures, those of held-out rows, and outputs of the first lane.

    The outputs are None if a weight is not finite.
    """
    measures, outputs = group.measure()
    test = np.full_like(measures, np.nan)
    if group.task.held_out:
        test, _ = group.measure(with_gradient=False, held_out=True)
    kept = None
    if measures[m.FINITE, 0] == 1.0:
        with np.errstate(over="ignore"):  # larger ones are infinite there
            kept = group.task.setup.in_table_units(outputs[..., 0].astype(np.float32)).ravel()
    return int(group.state.updates[0]), group.epochs, measures[:, 0].copy(), test[:, 0].copy(), kept


def _table(setup: Setup, states: list[Any]) -> pd.DataFrame:
    """Make the table of evaluations."""
    updates, epochs, measures, test, outputs = zip(*states, strict=True)
    columns = measured_columns(setup, np.stack(measures, axis=1), np.stack(test, axis=1))
    columns["outcome"] = [str(OUTCOMES[code]) for code in columns["outcome"]]
    columns["wrong"] = pd.array(columns["wrong"].tolist(), "Int64")
    columns["one_sided"] = columns["one_sided"].tolist()
    frame = pd.DataFrame({"updates": updates, "epoch": epochs, **columns})
    return frame.assign(outputs=pd.Series(outputs, dtype=object))
