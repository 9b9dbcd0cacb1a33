"""A setup: what follows from its keys, its id, and the limits between keys."""

import dataclasses
import hashlib
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sweep_texts import add, mistakes_of, xor

from fastbp import Setup, SweepError
from fastbp.choices.families import FAMILIES
from fastbp.config.choice_syntax import allowed
from fastbp.config.conflicts import notes
from fastbp.config.sweep import Seeds, Sweep
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.keys import KEYS

FOUNDING = Path(__file__).parents[2] / "sweeps" / "founding.toml"


def test_founding_sweep() -> None:
    sweep = Sweep.from_toml(FOUNDING)
    assert (sweep.title, sweep.seeds) == (
        "Order, updates or rate: what fixes a constant network?",
        Seeds(count=10_000),
    )
    assert [(s.order, s.updates, s.lr) for s in sweep.setups] == [
        (order, updates, lr)
        for order in ("random", "shuffled")
        for updates in (999, 7992)
        for lr in (0.1, 0.2)
    ]
    assert (sweep.baseline, sweep.setups[0].sizes) == (sweep.setups[1], (3, 4, 1))
    assert (sweep.setups[0].eval_interval, sweep.notes) == (10, [])


@pytest.mark.parametrize(
    ("setup", "identity"),
    [
        (Setup(problem="table:11101011", order="random", lr=0.2, updates=999), "39ef696cdc8c"),
        (Setup(problem="xor", epochs=50, batch="full"), "97c183d94e51"),
        (
            Setup(
                problem="table:0001",
                scale_inputs="standard",
                target_margin=0.1,
                hidden=[8, 2],
                init="glorot-normal",
                init_scale=2,
                bias=False,
                loss="cross-entropy",
                prime_offset=0.1,
                order="blocked:3",
                batch=3,
                reduction="mean",
                lr=1,
                schedule="step:every=10,factor=0.5,warmup=2",
                momentum=0.9,
                weight_decay=1e-4,
                updates=7992,
                tolerance=0.3,
                eval_every=5,
                stop="converged",
                dtype="float32",
            ),
            "12b022763b19",
        ),
    ],
)
def test_ids_are_what_they_were(setup: Setup, identity: str) -> None:
    """Raise the numerics version before these change: published stores are named by them."""
    assert setup.identity(1) == identity


def test_id_is_the_hash_that_the_contract_describes() -> None:
    setup = Setup(problem="xor", hidden=[8, 8], lr=2.0, momentum=0.5, epochs=7, collapse=0.2)
    data = setup.data()
    raw = (
        np.array([4, 2, 1], "<i8").tobytes()
        + data.X.astype("<f8").tobytes()
        + data.T.astype("<f8").tobytes()
    )
    keys = {"epochs": 7, "hidden": "8-8", "lr": 2, "momentum": 0.5, "problem": "xor"}
    whole = {"data": hashlib.sha256(raw).hexdigest(), "numerics": 3, "setup": keys}
    assert (
        setup.identity(3)
        == hashlib.sha256(
            json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()[:12]
    )


def test_writing_a_default_changes_no_id() -> None:
    bare = xor().identity(1)
    for key in KEYS.values():
        if key.default is not None:
            assert xor(**{key.name: key.default}).identity(1) == bare, key.name
    assert xor(eval_every=10).identity(1) == xor(hidden=4).identity(1) == bare


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"lr": 1}, {"lr": 1.0}),
        ({"momentum": -0.0}, {"momentum": 0.0}),
        ({"updates": 1000}, {"updates": 1e3}),
        ({"lr": 0.1}, {"lr": np.float64(0.1)}),
        ({"batch": 2}, {"batch": np.int64(2)}),
        ({"collapse": 0.1}, {"collapse": 0.3}),
        (
            {"schedule": "step:factor=0.50,every=10"},
            {"schedule": "step:every=10,factor=0.5,warmup=0"},
        ),
        ({"batch": "full", "order": "random"}, {"batch": "full", "order": "shuffled"}),
        ({"batch": "full"}, {"batch": 4, "order": "cyclic", "eval_every": 1}),
    ],
)
def test_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert xor(**one).identity(1) == xor(**other).identity(1)


DIFFERENT: list[dict[str, Any]] = [
    {},
    {"problem": "table:0110"},
    {"problem": "table:1001"},
    {"scale_inputs": "minmax", "target_margin": 0.1},
    {"target_margin": 0.1},
    {"hidden": [5]},
    {"hidden": [4, 4]},
    {"bias": False},
    {"batch": 4, "order": "cyclic"},
    {"batch": "full"},
    {"epochs": 25},  # 25 epochs of 4 are the default's 100 updates: other words, another setup
    {"eval_every": 1},
    {"lr": math.nextafter(0.1, 1)},
    {"dtype": "float32"},
]


def test_different_setups_have_different_ids() -> None:
    ids = {xor(**keys).identity(version) for keys in DIFFERENT for version in (1, 2)}
    assert len(ids) == 2 * len(DIFFERENT)
    assert all(len(i) == 12 and set(i) <= set("0123456789abcdef") for i in ids)


def test_columns_in_the_order_of_the_schema() -> None:
    columns = xor(hidden=[8, 8], batch="full", epochs=5).columns()
    assert (list(columns), columns["hidden"]) == ([column.name for column in SETUP_COLUMNS], "8-8")
    assert (columns["batch"], columns["order"], columns["eval_every"]) == (4, "cyclic", 1)
    assert (columns["epochs"], columns["updates"], columns["targets"]) == (5, 5, None)
    assert (xor().columns()["epochs"], xor().columns()["updates"]) == (None, 100)
    kinds = {"word": str, "integer": int, "real": float, "flag": bool}
    for column in SETUP_COLUMNS:
        assert columns[column.name] is None or type(columns[column.name]) is kinds[column.kind], (
            column.name
        )


@given(st.integers(1, 300), st.sampled_from(["xor", "parity:3", "encoder:5"]), st.integers(1, 4))
def test_budget_in_updates_and_epochs(epochs: int, problem: str, batch: int) -> None:
    written = Setup(problem=problem, epochs=epochs, batch=batch)
    assert written.updates_per_epoch == math.ceil(written.rows / batch)
    assert (written.budget, written.epochs_budget) == (epochs * written.updates_per_epoch, epochs)
    cut_short = Setup(
        problem=problem, updates=written.budget - written.updates_per_epoch + 1, batch=batch
    )
    assert cut_short.epochs_budget == epochs


def test_calls() -> None:
    setup = xor(
        order="blocked:3", schedule="step:factor=0.5,every=7,warmup=2", loss="cross-entropy"
    )
    assert (setup.calls["order"].values, setup.calls["schedule"].values) == ((3,), (7, 0.5))
    assert setup.calls["schedule"].choice is FAMILIES["schedule"].choices["step"]
    assert (setup.warmup, setup.calls["init"].choice.name) == (2, "normal")
    assert setup.calls["loss"] is xor(loss="cross-entropy", lr=9.0).calls["loss"], "one for all"
    assert xor(order="blocked:3", batch="full").calls["order"].choice.name == "cyclic"


def test_scaling_and_margin() -> None:
    table = Setup(
        problem="table:1000000000000000", updates=1, target_margin=0.1, scale_inputs="standard"
    )
    X, T = table.data()
    np.testing.assert_array_equal(
        X, [[2 * int(bit) - 1 for bit in f"{row:04b}"] for row in range(16)]
    )
    assert T.ravel().tolist() == [0.9] + [0.1] * 15
    assert (
        Setup(problem="encoder:3", updates=1, scale_inputs="minmax").data().X.tolist()
        == np.eye(3).tolist()
    )
    X = Setup(problem="encoder:5", updates=1, scale_inputs="standard").data().X
    assert np.abs(X.mean(axis=0)).max() < 1e-15
    np.testing.assert_allclose(X.std(axis=0), 1, rtol=1e-15)
    with pytest.raises(ValueError, match="read-only"):
        X[0, 0] = 3


@pytest.mark.parametrize(("how", "second"), [("minmax", [0, 1]), ("standard", [-1, 1])])
def test_a_constant_column_scales_to_zero(
    how: str, second: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def constant_column() -> Any:
        return np.array([[3.0, 5.0], [3.0, 9.0]]), np.array([[0.0], [1.0]])

    add(monkeypatch, "problem", constant_column, takes=0)
    assert Setup(problem="constant-column", scale_inputs=how, updates=1).data().X.T.tolist() == [
        [0, 0],
        second,
    ]


def test_setups_are_frozen_and_travel() -> None:
    setup = xor(schedule="cosine:warmup=3", hidden=[3, 2])
    assert setup.calls
    copy = pickle.loads(pickle.dumps(setup))
    assert (copy, hash(copy), copy.identity(1)) == (setup, hash(setup), setup.identity(1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setup.lr = 3.0
    error = SweepError(["a", "b"])
    assert pickle.loads(pickle.dumps(error)).lines == error.lines


def test_overlapping_outcomes_are_worth_a_note() -> None:
    assert notes(xor(tolerance=0.4, collapse=0.1)) == []
    (note,) = notes(xor(tolerance=0.5, collapse=0.1))
    assert "tolerance = 0.5 and collapse = 0.1" in note


def test_python_gets_the_same_lines_without_a_file() -> None:
    lines = mistakes_of(Setup, problem="xr", lr=True, updates=3, hiden=3)
    assert [line.split(":")[0] for line in lines] == ["problem", "lr", "hiden"]
    wrong = {"problem": "xor", "updates": 3, "lr": 0}
    grid = {"lr": [object()]}
    for make, lines in (
        (Setup, r"^problem: not given.*\nupdates: not given"),
        (lambda: xor(batch=5), r"^batch: given 5, allowed: at most the 4 rows of xor"),
        (lambda: Sweep(seeds=3, setup=wrong), r"^setup.lr: given 0, "),
        (lambda: Sweep(seeds=3, setup=wrong | {"lr": 1}, grid=grid), r"^grid.lr: given object, "),
    ):
        with pytest.raises(SweepError, match=lines):
            make()


def test_huge_numbers_from_python() -> None:
    for value in (10**5000, -(10**5000)):
        with pytest.raises(SweepError, match="given an integer of 5,001 digits or so"):
            xor(lr=value)
    assert "10^" not in allowed("updates")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"updates": 10**12},
            "updates: given 1000000000000, allowed: at most 4,294,967,295 epochs, "
            "17,179,869,180 updates",
        ),
        (
            {"problem": "parity:16", "epochs": 10**9},
            "epochs: given 1000000000, allowed: at most 1,000,000,000,000 updates, 15,258,789",
        ),
        ({"epochs": 2**32}, "epochs: given 4294967296, "),
        (
            {"updates": 10**12 + 1},
            "updates: given 1000000000001, allowed: an integer from 1 to 1,000,000,000,000",
        ),
        (
            {"problem": "encoder:1024", "hidden": [600]},
            "hidden: given [600], allowed: at most 1,000,000 parameters",
        ),
    ],
)
def test_bounds(keys: dict[str, Any], said: str) -> None:
    assert mistakes_of(xor, **keys)[0].startswith(said)


def test_the_largest_budgets_are_allowed() -> None:
    assert xor(epochs=2**32 - 1).epochs_budget == 2**32 - 1
    assert Setup(problem="parity:16", updates=10**12).budget == 10**12
    assert Seeds(start=2**63 - 1, count=1).stop == 2**63
    assert Sweep(seeds=2**63, setup={"problem": "xor", "updates": 1}).seeds.stop == 2**63
