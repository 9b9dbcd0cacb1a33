"""`stop = "converged"`: the runs of `stop = "budget"`, ended when they are found converged."""

from typing import Any

import numpy as np
import pytest
from numba import config

from fastbp import Setup, retrain
from fastbp.engine import block
from fastbp.kernels import measures as m

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="trains thousands of updates: too long as plain Python"
)

BASE: dict[str, Any] = {
    "problem": "table:11101011",
    "order": "shuffled",
    "lr": 0.5,
    "updates": 4_000,
}


@pytest.mark.parametrize(
    ("count", "keys"),
    [
        (700, {}),
        (
            700,
            {"updates": 4_003},
        ),  # the last epoch is cut short, and that for more runs than there are lanes
        (300, {"updates": 3_995, "eval_every": 7}),
        (300, {"updates": 2_001, "momentum": 0.5}),
        (300, {"updates": 1_500, "batch": "full", "lr": 2.0}),
        (300, {"updates": 1_200, "batch": 3, "lr": 1.0}),
        (300, {"schedule": "cosine:warmup=20", "lr": 1.0}),
        (130, {"lr": 3.0}),
        (300, {"updates": 40}),  # none converges
        (300, {"updates": 4}),  # less than an epoch
        (1, {}),
    ],
    ids=str,
)
def test_converged_runs_are_those_of_the_budget_cut_at_their_evaluation(
    count: int, keys: dict[str, Any]
) -> None:
    start = 5
    full = block.train(Setup(**(BASE | keys)), start, count)
    ended = block.train(Setup(**(BASE | keys), stop="converged"), start, count)

    assert np.array_equal(full.converged_at, ended.converged_at)
    assert np.array_equal(full.start, ended.start, equal_nan=True)
    never = full.converged_at < 0
    assert np.array_equal(ended.updates_done, np.where(never, full.updates_done, full.converged_at))
    assert np.array_equal(full.end[:, never], ended.end[:, never], equal_nan=True)
    assert np.array_equal(full.outputs[never], ended.outputs[never])
    for i in np.flatnonzero(~never)[:3]:
        # A run that ends at an evaluation is the run with that budget; without a horizon its rates
        # do not depend on the budget.
        if "schedule" not in keys:
            cut = block.train(
                Setup(**(BASE | keys | {"updates": int(full.converged_at[i])})), start + int(i), 1
            )
            assert np.array_equal(cut.end[:, 0], ended.end[:, i], equal_nan=True)
            assert np.array_equal(cut.outputs[0], ended.outputs[i])


def test_blocks_and_slices_change_nothing() -> None:
    setup = Setup(**(BASE | {"updates": 4_003}), stop="converged")
    full = block.train(setup, 0, 500)
    parts = [block.train(setup, 0, 190, slice_seconds=1e-6), block.train(setup, 190, 310)]
    for column in ("updates_done", "converged_at", "start", "end"):
        joined = np.concatenate([getattr(part, column) for part in parts], axis=-1)
        np.testing.assert_array_equal(getattr(full, column), joined)


def test_a_run_ends_soon_after_it_has_diverged() -> None:
    keys = {"lr": 1.0, "weight_decay": 1e4, "updates": 2_000}  # weights grow ten thousandfold
    setup = Setup(**(BASE | keys | {"eval_every": 1}), stop="converged")
    rows = block.train(setup, 0, 300)
    gone = rows.end[m.FINITE] == 0
    # Weights are looked at after 1, 2, 4, 8 … epochs of 8 updates, and are too large after ten.
    # Before that a few networks have all answers by chance.
    assert (gone.sum() > 200, set(rows.updates_done[gone])) == (True, {128})
    assert (rows.converged_at[~gone] >= 0).all()
    seed = int(np.flatnonzero(gone)[0])
    for updates, is_gone in ((128, True), (64, False)):
        cut = block.train(Setup(**(BASE | keys | {"updates": updates})), seed, 1)
        assert (cut.end[m.FINITE, 0] == 0) == is_gone
    assert retrain(setup, seed).evaluations["updates"].iloc[-1] == 128
