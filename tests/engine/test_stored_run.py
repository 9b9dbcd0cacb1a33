"""Stored runs found and trained again: every bit, over all choices; and what is reported where that
cannot be."""

import io
import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import every_choice
import numpy as np
import oracle
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_runs import coded, replaced
from lanes import JIT
from stores import few_lanes, opened, trained
from sweep_texts import mistakes_of

from fastbp import Setup, Sweep, retrain
from fastbp.engine import block, driver, stored_run
from fastbp.schema.columns import COLUMNS
from fastbp.schema.errors import StoreError, SweepError
from fastbp.store import parquet
from fastbp.store.load import read_all
from fastbp.store.store import Store

SEEDS = (2**32 - 2, 4 if JIT else 1)

FILES: list[dict[str, Any]] = [
    {
        "targets": ["kind", "t"],
        "scale_inputs": "standard",
        "hidden": [3],
        "order": "random",
        "updates": 40,
    },
    {
        "targets": ["kind", "t"],
        "scale_inputs": "minmax",
        "target_margin": 0.1,
        "batch": 5,
        "dtype": "float32",
        "epochs": 4,
    },
    {"targets": ["t", "kind"], "loss": "cross-entropy", "batch": "full", "epochs": 5},
]

REFILLED: list[dict[str, Any]] = [
    {"problem": "xor", "hidden": [3], "lr": 4, "stop": "converged", "updates": 398},
    {
        "problem": "xor",
        "hidden": [3],
        "lr": 4,
        "stop": "converged",
        "updates": 398,
        "dtype": "float32",
        "eval_every": 3,
    },
]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    few_lanes(monkeypatch)


def publish(store: Store, setup: Setup, start: int, count: int, **changed: Any) -> str:
    """Train some seeds into a store; `changed`: columns whose first value is another than the
    trained one."""
    rows = trained(setup, start, count)
    for name, value in changed.items():
        kind = rows.schema.field(name).type
        rows = replaced(
            rows,
            name,
            coded(
                pa.array(
                    [value, *rows[name].to_pylist()[1:]],
                    pa.string() if pa.types.is_dictionary(kind) else kind,
                )
            ),
        )
    store.publish(setup.identity(), start, rows)
    return setup.identity()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Every choice, files that are not there any more, and blocks whose lanes took several runs."""
    folder = tmp_path_factory.mktemp("replay")
    store = opened(folder / "store")
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(12, 3)), columns=["a", "b", "c"])
    X.assign(kind=[*"uvw"] * 4, t=rng.random(12)).to_csv(folder / "mine.csv", index=False)
    for keys in FILES:
        sweep = Sweep(seeds=1, setup={"problem": f"file:{folder / 'mine.csv'}"} | keys)
        driver.write_problems(sweep, store)
        publish(store, sweep.setups[0], *SEEDS)
    (folder / "mine.csv").unlink()
    (store.path / "problems" / "0.npz").write_bytes(b"no problem at all")
    for setup in every_choice.SETUPS[:: 1 if JIT else 13]:
        publish(store, setup, *SEEDS)
    for keys in REFILLED if JIT else []:
        publish(store, Setup(**keys), 0, 400)
    return store


@pytest.fixture
def other(tmp_path):
    return opened(tmp_path / "other")


XOR = Setup(problem="xor", hidden=(2,), lr=2, updates=21)


def check_evaluations(found: stored_run.StoredRun) -> None:
    """What `retrain` measures at its first and last evaluation is what the row says."""
    trajectory = retrain(found.setup, found.seed)
    first, *_, last = pq.read_table(io.BytesIO(stored_run.trace_file(trajectory))).to_pylist() * 2
    ends = last | {
        "updates": found.setup.budget,
        "loss_start": first["loss"],
        "spread_start": first["spread"],
        "updates_done": last["updates"],
        "converged_at": trajectory.converged_at,
    }
    outputs, row = ends.pop("outputs"), found.row
    if row["outputs"] is not None:  # as of problems with many outputs
        kept = np.array(row["outputs"], np.float32).reshape(-1, found.setup.sizes[-1])
        assert repr(found.setup.in_table_units(kept).ravel().tolist()) == repr(outputs)
    assert [n for n in row if n in ends and repr(row[n]) != repr(ends[n])] == []


@pytest.mark.no_cover
def test_rows_of_every_kind_are_the_same_to_the_bit(store):
    rows = read_all(store.path).select(["setup", "seed"]).to_pylist()
    refilled = [row for row in rows if row["seed"] < SEEDS[0]]
    for row in [
        *(row for row in rows if row["seed"] >= SEEDS[0]),
        *(refilled[i] for i in np.random.default_rng(1).permutation(len(refilled))[:30]),
    ]:
        found = stored_run.find(store, row["setup"], str(row["seed"]), held=True)
        assert set(found.row) == {column.name for column in COLUMNS}
        with np.errstate(all="ignore"):
            assert stored_run.differences(found) == []
            check_evaluations(found)


@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        ("spread_start", None, r"spread_start: stored None, trained again 0\.\d+"),
        ("converged_at", 20, "converged_at: stored 20, trained again None"),
        ("outcome", "diverged", "outcome: stored 'diverged', trained again '.*'"),
        ("wrong", 17, r"wrong: stored 17, trained again \d"),
        ("one_sided", None, "one_sided: stored None, trained again (True|False)"),
        ("outputs", None, r"outputs: stored None, trained again \[.*\]"),
    ],
)
def test_what_was_tampered_with_is_named(other, column, value, line):
    identity = publish(other, XOR, 5, 2, **{column: value})
    (found,) = stored_run.differences(stored_run.find(other, identity, "5", held=True))
    assert re.fullmatch(line, found)
    assert stored_run.differences(stored_run.find(other, identity, "6")) == []


def test_one_bit_is_reported(other):
    identity = publish(other, XOR, 5, 1)
    row = stored_run.find(other, identity, "5").row
    for file in other.files():
        file.unlink()
    loss, outputs = np.nextafter(row["loss"], 1), np.array(row["outputs"], np.float32)
    outputs[2] = np.nextafter(outputs[2], np.float32(0))
    publish(other, XOR, 5, 1, loss=loss, outputs=outputs.tolist())
    assert stored_run.differences(stored_run.find(other, identity, "5")) == [
        f"loss: stored {float(loss)!r}, trained again {row['loss']!r}",
        f"outputs[2]: stored {float(outputs[2])!r}, trained again {row['outputs'][2]!r}",
    ]


# Names


def test_a_setup_has_a_name_as_short_as_tells_it_apart(store):
    known = sorted(store.present())
    for identity in known:
        shared = max(
            i for i in range(12) for one in known if one != identity and one[:i] == identity[:i]
        )
        assert (
            stored_run.find(store, identity[: shared + 1].upper(), "7").setup.identity() == identity
        )
        if shared:
            with pytest.raises(SweepError, match=f"with which .* setups begin.*{identity}"):
                stored_run.find(store, identity[:shared], "7")


@pytest.mark.parametrize(
    ("setup", "seed", "lines"),
    [
        ("", "1", ["SETUP: given '', allowed: .*"]),
        (
            "g",
            "-1",
            [
                "SETUP: given 'g', allowed: .* and \\d+ more",
                "SEED: given '-1', allowed: an integer from 0 to .*",
            ],
        ),
        (
            "*",
            str(2**63),
            ["SETUP: given '\\*', allowed: .*", f"SEED: given '{2**63}', allowed: .*"],
        ),
        ("g\n", "9" * 5000, ["SETUP: given 'g\\\\n', .*", "SEED: given '9+…, allowed: .*"]),
        ("g", "٣", [".*", "SEED: given '٣', allowed: .*"]),
        ("g", "1e3", [".*", "SEED: given '1e3', allowed: .*"]),
    ],
)
def test_words_that_name_no_run(store, monkeypatch, setup, seed, lines):
    monkeypatch.setattr(stored_run, "MAX_NAMES", 2)
    for pattern, line in zip(lines, mistakes_of(stored_run.find, store, setup, seed), strict=True):
        assert re.fullmatch(pattern, line), line


def test_a_seed_that_is_not_there_has_a_setup_all_the_same(other):
    identity = publish(other, XOR, 5, 2)
    publish(other, XOR, 7, 1)
    publish(other, XOR, 20, 1)
    found = stored_run.find(other, identity, str(2**63 - 1))
    assert found.row is None
    assert found.setup.columns() == XOR.columns()
    assert retrain(found.setup, found.seed).evaluations["updates"].iloc[-1] == 21
    with pytest.raises(
        SweepError,
        match=f"SEED: given 8, allowed: seeds of setup {identity} that .* has: 5 to 7 and 20 to 20",
    ):
        stored_run.find(other, identity, "8", held=True)


# What cannot be


def test_a_folder_without_runs(tmp_path):
    for path in (tmp_path, tmp_path / "nosuch"):
        with pytest.raises(StoreError, match="holds no runs"):
            stored_run.find(Store(path), "a", "1")


def test_a_file_of_another_version_or_twice(other):
    identity = publish(other, XOR, 5, 2)
    (file,) = other.files()
    renamed = file.with_name(file.name.replace("-5-2-", "-8-2-"))
    renamed.write_bytes(file.read_bytes())
    with pytest.raises(StoreError, match="its seeds do not match its name"):
        stored_run.find(other, identity, "9")
    renamed.unlink()
    rows = parquet.read(file)[0]
    twice = other.publish(identity, 5, rows.slice(0, 1))
    with pytest.raises(StoreError, match=f"it has seed 5 of setup {identity} 2 times"):
        stored_run.find(other, identity, "5")
    twice.unlink()
    file.write_bytes(parquet.encode(rows, {"fastbp.numerics": "0", "fastbp.version": "0.0.1"})[0])
    with pytest.raises(
        StoreError,
        match=r"numerics version 0, this fastbp makes version 2: fastbp 0\.0\.1 replays them",
    ):
        stored_run.find(other, identity, "5")
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(StoreError, match="is damaged"):
        stored_run.find(other, identity, "5")


def test_rows_of_another_setup_than_their_file_says(other):
    identity = publish(other, XOR, 5, 1, lr=3.0)
    with pytest.raises(
        StoreError,
        match=f"setup {identity} of .* cannot be trained again: "
        "its columns are those of another setup",
    ):
        stored_run.find(other, identity, "5")
    for file in other.files():
        file.unlink()
    publish(other, XOR, 5, 1, hidden="four")
    with pytest.raises(StoreError, match="its columns are those of another setup"):
        stored_run.find(other, identity, "5")


def test_a_problem_that_is_gone_and_too_many_learning_rates(other, tmp_path, monkeypatch):
    (tmp_path / "mine.csv").write_text("a,t\n0.5,1\n0.25,0\n")
    setup = Setup(problem=f"file:{tmp_path / 'mine.csv'}", targets=("t",), updates=3)
    with pytest.raises(StoreError, match="problems lacks the problem it was trained on"):
        stored_run.find(other, publish(other, setup, 0, 1), "0")
    monkeypatch.setattr(stored_run, "MAX_RATES", 0)
    with pytest.raises(StoreError, match="learning rates, allowed: at most 0"):
        stored_run.find(other, publish(other, XOR, 0, 1), "0")


def test_lives_that_are_too_large_are_refused_before_they_are_trained(monkeypatch):
    long = Setup(problem="xor", eval_every=1, updates=400_000_000)
    evaluations, order = stored_run.too_large(stored_run.StoredRun(long, 0, None), rows=True)
    assert re.fullmatch(
        f"SETUP: given {long.identity()}, with 100,000,002 evaluations of 4 outputs, "
        "allowed: at most [0-9,]+ evaluations",
        evaluations,
    )
    assert order == (
        "--export: given a run of 100,000,000 epochs of 4 rows, allowed: at most 3,030,303 epochs"
    )
    monkeypatch.setattr(
        block, "train", lambda setup, seed, count: SimpleNamespace(updates_done=np.array([48]))
    )
    assert not any(
        stored_run.too_large(stored_run.StoredRun(setup, 0, row), rows=True)
        for setup, row in ((long, {"updates_done": 40}), (long.replaced(stop="converged"), None))
    )


# What is kept


def test_the_trace_is_the_evaluations(other):
    setup = Setup(problem="xor", hidden=(2,), lr=1e6, weight_decay=1e6, updates=40, eval_every=2)
    with np.errstate(all="ignore"):
        trajectory = retrain(setup, 3)
    table = pq.read_table(
        io.BytesIO(stored_run.trace_file(trajectory)), page_checksum_verification=True
    )
    assert table.column_names[:4] == ["setup", "seed", "updates", "epoch"]
    rows = table.to_pylist()
    assert [row["updates"] for row in rows] == [0, 8, 16, 24, 32, 40]
    assert {(row["setup"], row["seed"]) for row in rows} == {(setup.identity(), 3)}
    for row, (_, evaluation) in zip(rows, trajectory.evaluations.iterrows(), strict=True):
        assert row["outcome"] == evaluation["outcome"]
        if evaluation["outcome"] == "diverged":
            assert all(
                row[name] is None
                for name in ("loss", "spread", "max_error", "wrong", "one_sided", "outputs")
            )
        else:
            assert row["outputs"] == evaluation["outputs"].tolist()
            assert (row["loss"], row["wrong"]) == (evaluation["loss"], evaluation["wrong"])
    assert rows[0]["outcome"] != "diverged"
    assert rows[-1]["outcome"] == "diverged"


ORACLES: list[dict[str, Any]] = [
    {"problem": "table:11101011", "order": "random", "lr": 0.2, "updates": 45},
    {"problem": "table:11101011", "lr": 0.5, "updates": 996},
    {
        "problem": "encoder:4",
        "hidden": (2,),
        "order": "blocked:3",
        "batch": 3,
        "momentum": 0.5,
        "updates": 203,
    }
    | {"schedule": "step:every=20,factor=0.5,warmup=3"},
    {
        "problem": "parity:3",
        "hidden": (3, 2),
        "loss": "cross-entropy",
        "reduction": "mean",
        "batch": 4,
        "weight_decay": 0.01,
    }
    | {"epochs": 60, "bias": False},
    {
        "problem": "xor",
        "batch": "full",
        "momentum": 0.9,
        "prime_offset": 0.1,
        "epochs": 80,
        "schedule": "cosine",
    }
    | {"target_margin": 0.1, "scale_inputs": "standard"},
]


@pytest.mark.parametrize("keys", ORACLES if JIT else ORACLES[:1], ids=str)
def test_what_is_exported_drives_the_textbook_network_to_the_same_weights(monkeypatch, keys):
    setup = Setup(**keys)
    with np.load(io.BytesIO(stored_run.weights_file(retrain(setup, 2**40 + 7, rows=True)))) as file:
        kept = dict(file)
    assert (str(kept["setup"]), int(kept["seed"])) == (setup.identity(), 2**40 + 7)
    n, layers = len(kept["X"]), range(len(setup.sizes) - 1)
    assert ("b0" in kept) == ("initial_b0" in kept) == setup.bias
    assert json.loads(str(kept["keys"])) == setup.columns()
    none = {
        f"{stem}b{layer}": np.zeros(setup.sizes[layer + 1])
        for layer in layers
        for stem in ("", "initial_")
    }
    initial, final = (
        [(kept[f"{stem}W{layer}"], (none | kept)[f"{stem}b{layer}"]) for layer in layers]
        for stem in ("initial_", "")
    )
    monkeypatch.setattr(oracle, "order", lambda recipe, seed, epoch: kept["rows"][epoch * n :][:n])
    monkeypatch.setattr(oracle, "rate", lambda recipe, epoch: kept["lr"][epoch])
    recipe = replace(
        oracle.Recipe(**keys), data=(kept["X"], kept["T"]), scale_inputs="none", target_margin=0.0
    )
    *_, (updates, network) = oracle.run(recipe, None, initial)
    assert updates == setup.budget
    for (W, b), (V, c) in zip(network, final, strict=True):
        assert W.shape == V.shape
        np.testing.assert_allclose(V, W, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(c, b, rtol=1e-9, atol=1e-12)


def test_keys_that_are_shown():
    assert stored_run.keys(Setup(problem="xor", epochs=3)) == {
        "problem": "xor",
        "hidden": "4",
        "init": "normal",
        "order": "shuffled",
        "lr": 0.1,
        "epochs": 3,
    }
    keys = stored_run.keys(
        Setup(
            problem="xor",
            updates=3,
            loss="cross-entropy",
            collapse=0.2,
            dtype="float32",
            batch="full",
        )
    )
    assert keys == {
        "problem": "xor",
        "hidden": "4",
        "init": "normal",
        "loss": "cross-entropy",
        "order": "cyclic",
        "batch": 4,
        "lr": 0.1,
        "updates": 3,
        "eval_every": 1,
        "dtype": "float32",
    }
