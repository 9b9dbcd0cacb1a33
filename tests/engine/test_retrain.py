"""One run again: the row that a sweep stores, and everything on the way to it."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numba import config

from fastbp.config.setup import Setup
from fastbp.engine import block
from fastbp.engine.retrain import retrain
from fastbp.kernels import measures as m

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT),
    reason="trains hundreds of updates in every lane: too long as plain Python",
)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"order": "random", "updates": 795},
        {"order": "blocked:2", "batch": 3, "momentum": 0.5},
        {"batch": "full", "hidden": [3, 2], "loss": "cross-entropy"},
        {"stop": "converged", "lr": 3.0, "updates": 4_000},
    ],
    ids=str,
)
def test_a_trajectory_ends_in_the_row_that_a_sweep_stores(keys: dict[str, Any]) -> None:
    setup = Setup(**({"problem": "table:11101011", "lr": 0.5, "updates": 800} | keys))
    row = block.train(setup, 11, 1)
    trajectory = retrain(setup, 11, rows=True)

    last = trajectory.evaluations.iloc[-1]
    assert last.updates == row.updates_done[0]
    assert (
        trajectory.converged_at if trajectory.converged_at is not None else -1
    ) == row.converged_at[0]
    for name, measure in (
        ("loss", m.LOSS),
        ("spread", m.SPREAD),
        ("max_error", m.MAX_ERROR),
        ("grad_norm", m.GRAD_NORM),
    ):
        assert last[name] == row.end[measure, 0]
    assert np.array_equal(last.outputs, row.outputs[0].astype(np.float32))
    assert trajectory.evaluations.loss.iloc[0] == row.start[m.LOSS, 0]
    assert trajectory.rows is not None
    assert trajectory.evaluations.updates.is_monotonic_increasing
    assert trajectory.evaluations.updates.iloc[0] == 0
    per_epoch, n = setup.updates_per_epoch, setup.rows
    whole, cut = divmod(int(last.updates), per_epoch)
    assert len(trajectory.rows) == whole * n + min(cut * setup.batch_rows, n)
    assert [w.shape for w, _ in trajectory.final] == [(b, a) for a, b in pairwise(setup.sizes)]
    assert trajectory.initial[0][0].shape == trajectory.final[0][0].shape
    assert not np.array_equal(trajectory.initial[0][0], trajectory.final[0][0])


def test_seeds_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="seed: given -1"):
        retrain(Setup(problem="xor", updates=1), -1)
