"""One run again: the row that a sweep stores, and everything on the way to it."""

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numba import config

from fastbp import Setup, retrain
from fastbp.engine.stored_run import _EVALUATION_BYTES

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
def test_a_trajectory_has_every_evaluation_row_and_weight(keys: dict[str, Any]) -> None:
    """That its ends are what a sweep stores is tested with stored runs of every choice."""
    setup = Setup(**({"problem": "table:11101011", "lr": 0.5, "updates": 800} | keys))
    trajectory = retrain(setup, 11, rows=True)
    updates = trajectory.evaluations.updates
    assert updates.is_monotonic_increasing
    assert updates.iloc[0] == 0
    per_epoch, n = setup.updates_per_epoch, setup.rows
    whole, cut = divmod(int(updates.iloc[-1]), per_epoch)
    assert len(trajectory.rows) == whole * n + min(cut * setup.batch_rows, n)
    assert [w.shape for w, _ in trajectory.final] == [(b, a) for a, b in pairwise(setup.sizes)]
    assert trajectory.initial[0][0].shape == trajectory.final[0][0].shape
    assert not np.array_equal(trajectory.initial[0][0], trajectory.final[0][0])


def test_evaluations_take_no_more_memory_than_is_counted() -> None:
    def peak(epochs: int) -> int:
        tracemalloc.reset_peak()
        retrain(Setup(problem="xor", epochs=epochs, eval_every=1), 0)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        peak(300)  # what is made once
        assert peak(300) - peak(100) <= 200 * (_EVALUATION_BYTES + 4 * 4)
    finally:
        tracemalloc.stop()


def test_seeds_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="seed: given -1"):
        retrain(Setup(problem="xor", updates=1), -1)
