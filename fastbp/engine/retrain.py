"""One run again, bit for bit, with its whole trajectory to look at."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.config.sweep import LAST_SEED
from fastbp.engine.block import check_denormals
from fastbp.engine.lane_group import LaneGroup, task
from fastbp.kernels import measures as m
from fastbp.kernels.network import BIASES, WEIGHTS
from fastbp.schema.errors import SweepError
from fastbp.schema.outcomes import OUTCOMES, classify
from fastbp.schema.text import shown

if TYPE_CHECKING:
    import pandas as pd

Layers = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
"""W [out, in] and b [out] of each layer."""


class Trajectory(NamedTuple):
    """A run and its trajectory."""

    setup: Setup
    seed: int
    looks: pd.DataFrame
    """One row a look, the first before any update: updates, epoch, outcome (as if it ended there),
    the measures, outputs [row × output, row-major]. Where a weight is not finite, measures and
    outputs are null, as in the table of runs."""
    initial: Layers
    final: Layers
    rows: NDArray[np.int32] | None
    """Which row each presentation showed, [presentation]; None unless asked for."""
    converged_at: int | None


def retrain(setup: Setup, seed: int, *, rows: bool = False) -> Trajectory:
    """Train one run of a setup again, through the same kernels, and measure it at every look.

    Parameters: `seed`, 0 … 2⁶³ − 1; `rows`, whether to keep which row each presentation showed.
    Raises SweepError for another seed, and ArithmeticError where this thread flushes denormals to
    zero.
    """
    import pandas as pd

    if (
        isinstance(seed, bool)
        or not isinstance(seed, int | np.integer)
        or not 0 <= seed < LAST_SEED
    ):
        raise SweepError([f"seed: given {shown(seed)}, allowed: an integer from 0 to 2^63 - 1"])
    check_denormals()
    work = task(setup)
    group = LaneGroup(work, np.array([seed], np.uint64))
    initial = layers(group, setup.sizes)
    records = [_look(setup, group)]
    orders: list[NDArray[np.int32]] = []
    n, done = work.table.rows, False
    while not done:
        before = int(group.state.updates[0])
        group.advance(1 if rows else setup.eval_interval)
        if rows:
            presentations = min((int(group.state.updates[0]) - before) * work.rule.batch, n)
            order = (
                np.arange(n, dtype=np.int32)
                if work.rule.all_alike
                else group.state.rows.reshape(-1, work.lanes)[:n, 0]
            )
            orders.append(order[:presentations].copy())
        epoch = int(group.state.epochs[0])
        if group.done or epoch % setup.eval_interval == 0:
            records.append(_look(setup, group))
            done = group.done or (work.rule.refill and group.state.converged_at[0] >= 0)
    converged = int(group.state.converged_at[0])
    return Trajectory(
        setup, seed, pd.DataFrame(records).astype({"wrong": "Int64"}), initial, layers(group, setup.sizes),
        np.concatenate(orders) if rows else None, converged if converged >= 0 else None,
    )  # fmt: skip


def layers(group: LaneGroup, sizes: tuple[int, ...], lane: int = 0) -> Layers:
    """The weights of a lane, as people keep them."""
    own = group.state.block.reshape(-1, group.task.lanes)[:, lane].astype(np.float64)
    found = []
    for layer, (n_in, n_out) in enumerate(pairwise(sizes), 1):
        w, b = (int(group.task.network.layers[layer, column]) for column in (WEIGHTS, BIASES))
        found.append(
            (own[w : w + n_out * n_in].reshape(n_out, n_in).copy(), own[b : b + n_out].copy())
        )
    return found


def _look(setup: Setup, group: LaneGroup) -> dict[str, object]:
    measures, outputs = group.measure()
    finite = measures[m.FINITE, 0] == 1.0
    one = measures[:, 0] if finite else np.full(m.MEASURES, np.nan)
    code = classify(
        one[[m.MAX_ERROR]],
        one[[m.SPREAD]],
        one[[m.ONE_SIDED]] == 1.0,
        setup.tolerance,
        setup.collapse,
    )[0]
    return {
        "updates": int(group.state.updates[0]),
        "epoch": int(group.state.epochs[0]),
        "outcome": str(OUTCOMES[code]),
        "loss": one[m.LOSS],
        "spread": one[m.SPREAD],
        "max_error": one[m.MAX_ERROR],
        "wrong": int(one[m.WRONG]) if finite else None,
        "one_sided": bool(one[m.ONE_SIDED]) if finite else None,
        "saturation": one[m.SATURATION],
        "grad_norm": one[m.GRAD_NORM],
        "weight_max": one[m.WEIGHT_MAX],
        "outputs": outputs[..., 0].astype(np.float32).ravel() if finite else None,
    }
