"""What counts as success: evaluations while training, held against measures, plain NumPy and
scikit-learn."""

from itertools import product

import numpy as np
import pytest
from every_choice import DTYPES
from sklearn.metrics import accuracy_score, r2_score

from fastbp import Setup, retrain
from fastbp.engine import block
from fastbp.engine.lane_group import LaneGroup
from fastbp.engine.rows import measured_columns
from fastbp.engine.tasks import task
from fastbp.kernels import goals

pytestmark = pytest.mark.jit  # hundreds of runs

RNG = np.random.default_rng(3)
X = RNG.normal(size=(23, 3))
CLASSES = np.array(["a", "b", "c"])[np.argmax(X + RNG.normal(0, 0.1, X.shape), axis=1)]
ONE_HOT = (CLASSES[:, None] == np.unique(CLASSES)).astype(int)
TARGETS = {
    "classes": (ONE_HOT[:, :1], {}),
    "quantities": (1 / (1 + np.exp(-X[:, :2])), {"lr": 2.0}),
}
HOW = [{}, {"batch": 5, "momentum": 0.5}, {"batch": "full"}, {"batch": 7, "stop": "converged"}]


def three_classes(**keys):
    """A setup whose three outputs are the classes of one label."""
    setup = Setup.from_arrays(X, np.argmax(ONE_HOT, axis=1), **{"lr": 0.5, "epochs": 60} | keys)
    assert setup.groups == ((0, 3),)
    return setup


def setups(success, **keys):
    """The setups of each kind of target that may have this criterion."""
    if success[:2] != "r2":
        yield three_classes(success=success, **keys)
    T, more = TARGETS["quantities" if success[:2] == "r2" else "classes"]
    yield Setup.from_arrays(X, T, **{"epochs": 60, "success": success} | more | keys)


QUICK = {
    ("accuracy:0.9", "float64"): [HOW[0], *HOW[2:]],
    ("accuracy:0.9", "float32"): HOW[2:3],
    ("r2:0.6", "float64"): [HOW[0], HOW[2]],
    ("loss:0.05", "float64"): HOW[2:],
}
"""A kernel is compiled for each criterion, dtype and optimiser. The other combinations are
soaked."""


@pytest.mark.parametrize(
    ("success", "dtype", "how"),
    [
        *((*each, how) for each, how in QUICK.items()),
        *(
            pytest.param(success, dtype, HOW, marks=pytest.mark.soak)
            for success, dtype in product(("accuracy:0.9", "r2:0.6", "loss:0.05"), DTYPES)
        ),
    ],
)
def test_a_run_converges_at_the_first_evaluation_that_reaches_the_goal(success, dtype, how):
    column, _, level = success.partition(":")
    found = []
    for keys in how:
        for setup in setups(success, dtype=dtype, **keys):
            for seed, at in enumerate(block.train(setup, 0, 3).converged_at):
                seen = retrain(setup, seed).evaluations.iloc[1:]
                value = seen[column].to_numpy(float)
                reached = value <= float(level) if column == "loss" else value >= float(level)
                good = seen["updates"][reached]
                assert at == (good.iloc[0] if len(good) else -1)
                found.append(at)
    assert max(found) > 0


@pytest.mark.parametrize("keys", [{}, {"test": 0.25}])
def test_scores_are_those_of_scikit_learn(keys):
    for setup in (three_classes(**keys), *setups("r2:0.9", **keys)):
        rows = block.train(setup, 0, 8)
        columns = measured_columns(setup, rows.end, rows.test)
        group = LaneGroup(task(setup), np.arange(8, dtype=np.uint64))
        group.advance(setup.epochs_budget)
        parts = [("", setup.training(), False), ("test_", setup.held_out(), True)]
        for name, data, held_out in parts[: 1 + bool(keys)]:
            outputs = group.measure(held_out=held_out)[1][..., :8]
            for run in range(8):
                answers = outputs[..., run]
                if setup.groups:
                    right = accuracy_score(data.T.argmax(axis=1), answers.argmax(axis=1))
                    assert columns[f"{name}accuracy"][run] == pytest.approx(right, abs=1e-15)
                    assert held_out or columns["one_sided"][run] == (
                        len(set(answers.argmax(axis=1))) == 1
                    )
                else:
                    wanted = r2_score(data.T, answers)
                    assert columns[f"{name}r2"][run] == pytest.approx(wanted, abs=1e-12)
                    assert held_out or not columns["one_sided"][run]
        assert np.isnan(columns["r2" if setup.groups else "accuracy"]).all()


@pytest.mark.parametrize("batch", ["full", 23])
def test_a_row_counts_by_its_weight(batch):
    """One update over all rows, held against the gradient of the weighted loss."""
    T = (X[:, 0] > 0.8).astype(int)
    keys = {"hidden": [2], "lr": 0.3, "updates": 1, "class_weight": "balanced"}
    run = retrain(Setup.from_arrays(X, T, batch=batch, order="shuffled", **keys), 0)
    (W, b), (V, c) = run.initial
    hidden = 1 / (1 + np.exp(-(X @ W.T + b)))
    output = 1 / (1 + np.exp(-(hidden @ V.T + c)))[:, 0]
    delta = (len(T) / (2 * np.bincount(T))[T]) * (output - T) * output * (1 - output)
    np.testing.assert_allclose(run.final[1][0], V - 0.3 * delta @ hidden, rtol=1e-12)
    np.testing.assert_allclose(
        run.final[0][0], W - 0.3 * (delta[:, None] * V * hidden * (1 - hidden)).T @ X, rtol=1e-12
    )


def test_one_answer_to_every_row_is_no_success():
    T = np.append(1, np.zeros(22, int))
    seen = retrain(Setup.from_arrays(X, T, success="accuracy:0.9", epochs=60), 0).evaluations
    constant = seen[seen["one_sided"] & (seen["accuracy"] >= 0.9)]
    assert len(constant)
    assert set(constant["outcome"]) <= {"one-class", "collapsed"}
    assert (seen["outcome"] == "converged").any()
    # Nor does a run end there, or count as converged.
    setup = Setup.from_arrays(X, T, success="accuracy:0.9", epochs=60, stop="converged")
    rows = block.train(setup, 0, 40)
    outcomes = measured_columns(setup, rows.end, rows.test)["outcome"]
    assert ((rows.converged_at >= 0) == (outcomes == 1)).all()
    assert (outcomes == 1).sum() > 0


def test_rows_are_looked_at_in_turns_of_their_kinds():
    """The first row of each kind of targets comes first, of the rarest kind before others."""
    assert goals._row_order(np.array([[1.0], [0], [1], [1], [0], [2]])).tolist() == [
        5,
        1,
        0,
        4,
        2,
        3,
    ]
    many = RNG.normal(size=(65_536, 1))  # one by one they would take a second
    assert goals._row_order(many).tolist() == list(range(len(many)))


def test_held_out_rows_too_large_for_float32_are_missed_without_a_warning():
    setup = Setup.from_arrays(
        np.arange(3)[:, None], [0, 1e-10, 1e30], test=0.2, test_split="last", epochs=1,
        scale_targets="minmax", success="rows", dtype="float32",
    )  # fmt: skip
    assert block.train(setup, 0, 3).test is not None
