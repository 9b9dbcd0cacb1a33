"""The sweep file: what is allowed, what each mistake says, how setups are expanded and
identified."""

import hashlib
import json
import math
import pickle
import re
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp.choices.families import FAMILIES
from fastbp.choices.family import family
from fastbp.config import toml_text
from fastbp.config.protocols import Published
from fastbp.config.setup import Setup, allowed
from fastbp.config.sweep import Seeds, Sweep
from fastbp.schema import paper_figures
from fastbp.schema import text as text_module
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.errors import SweepError
from fastbp.sweep import main

FOUNDING = Path(__file__).parents[2] / "sweeps" / "founding.toml"
HEAD = 'seeds = 10\n[setup]\nproblem = "table:11101011"\n'  # what a broken file has right


def lines_of(text: str, **more: Any) -> list[str]:
    """The lines of the mistakes in a file called bad.toml."""
    with pytest.raises(SweepError) as caught:
        Sweep.from_text(text, "bad.toml", **more)
    assert str(caught.value) == "\n".join(caught.value.lines)
    for line in caught.value.lines:
        assert line.isprintable(), line
        assert len(line.splitlines()) == 1, line
    return caught.value.lines


def line_of(text: str, **more: Any) -> str:
    (line,) = lines_of(text, **more)
    return line


def xor(**keys: Any) -> Setup:
    return Setup(
        **(
            {"problem": "xor"}
            | keys
            | ({} if {"updates", "epochs"} & keys.keys() else {"updates": 100})
        )
    )


# The founding case


def test_founding_sweep() -> None:
    sweep = Sweep.from_toml(FOUNDING)
    assert sweep.title == "Order, updates or rate: what fixes a constant network?"
    assert sweep.seeds == Seeds(count=10_000)
    assert [(s.order, s.updates, s.lr) for s in sweep.setups] == [
        (order, updates, lr)
        for order in ("random", "shuffled")
        for updates in (999, 7992)
        for lr in (0.1, 0.2)
    ]
    assert sweep.baseline == sweep.setups[1]
    assert sweep.setups[0].sizes == (3, 4, 1)
    assert sweep.setups[0].eval_interval == 10
    assert sweep.notes == []


# Identity


def test_ids_are_what_they_were() -> None:
    """Raise the numerics version before these change: published stores are named by them."""
    assert (
        Setup(problem="table:11101011", order="random", lr=0.2, updates=999).identity(1)
        == "39ef696cdc8c"
    )
    assert Setup(problem="xor", epochs=50, batch="full").identity(1) == "97c183d94e51"
    many = Setup(
        problem="table:0001", scale_inputs="standard", target_margin=0.1, hidden=[8, 2], init="glorot-normal", init_scale=2,
        bias=False, loss="cross-entropy", prime_offset=0.1, order="blocked:3", batch=3, reduction="mean", lr=1,
        schedule="step:every=10,factor=0.5,warmup=2", momentum=0.9, weight_decay=1e-4, updates=7992, tolerance=0.3,
        eval_every=5, stop="converged", dtype="float32",
    )  # fmt: skip
    assert many.identity(1) == "12b022763b19"


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
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    assert setup.identity(3) == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_writing_a_default_changes_no_id() -> None:
    bare = xor().identity(1)
    for key, field in Setup.model_fields.items():
        if not field.is_required() and field.default is not None:
            assert xor(**{key: field.default}).identity(1) == bare, key
    assert xor(eval_every=10).identity(1) == bare
    assert xor(hidden=4).identity(1) == bare


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


def test_what_differs_has_its_own_id() -> None:
    ids = {xor(**keys).identity(version) for keys in DIFFERENT for version in (1, 2)}
    assert len(ids) == 2 * len(DIFFERENT)
    assert all(len(i) == 12 and set(i) <= set("0123456789abcdef") for i in ids)


# What follows from a setup


def test_columns_in_the_order_of_the_schema() -> None:
    columns = xor(hidden=[8, 8], batch="full", epochs=5).columns()
    assert list(columns) == [column.name for column in SETUP_COLUMNS]
    assert columns["hidden"] == "8-8"
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
    assert written.budget == epochs * written.updates_per_epoch
    assert written.epochs_budget == epochs
    cut_short = Setup(
        problem=problem, updates=written.budget - written.updates_per_epoch + 1, batch=batch
    )
    assert cut_short.epochs_budget == epochs


def test_calls() -> None:
    setup = xor(
        order="blocked:3", schedule="step:factor=0.5,every=7,warmup=2", loss="cross-entropy"
    )
    assert setup.calls["order"].values == (3,)
    assert setup.calls["schedule"].values == (7, 0.5)
    assert setup.calls["schedule"].choice is FAMILIES["schedule"].choices["step"]
    assert setup.warmup == 2
    assert setup.calls["init"].choice.name == "normal"
    assert setup.calls["loss"].choice.name == "cross-entropy"
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


def test_a_constant_column_scales_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def constant_column() -> Any:
        return np.array([[3.0, 5.0], [3.0, 9.0]]), np.array([[0.0], [1.0]])

    add(monkeypatch, "problem", constant_column, takes=0)
    for how, second in (("minmax", [0, 1]), ("standard", [-1, 1])):
        setup = Setup(problem="constant-column", scale_inputs=how, updates=1)
        assert setup.data().X.T.tolist() == [[0, 0], second]


def test_setups_are_frozen_and_travel() -> None:
    setup = xor(schedule="cosine:warmup=3", hidden=[3, 2])
    assert setup.calls
    copy = pickle.loads(pickle.dumps(setup))
    assert copy == setup
    assert hash(copy) == hash(setup)
    assert copy.identity(1) == setup.identity(1)
    with pytest.raises(ValueError, match="frozen"):
        setup.lr = 3.0
    error = SweepError(["a", "b"])
    assert pickle.loads(pickle.dumps(error)).lines == error.lines


def test_overlapping_outcomes_are_worth_a_note() -> None:
    assert xor(tolerance=0.4, collapse=0.1).notes() == []
    (note,) = xor(tolerance=0.5, collapse=0.1).notes()
    assert "tolerance = 0.5 and collapse = 0.1" in note


def test_every_key_is_described() -> None:
    for model in (Setup, Sweep, Seeds, Published):
        for key, field in model.model_fields.items():
            assert field.description, key
    assert allowed("lr") == "a number > 0 and ≤ 1,000,000"
    assert allowed("hidden") == "a list of 1 to 16, each an integer from 1 to 4,096"
    assert allowed("batch") == "an integer from 1 to 65,536 or full"
    assert allowed("stop") == "one of budget, converged"
    assert allowed("order").startswith("random, shuffled, cyclic, blocked:K")
    assert "warmup=WARMUP" in allowed("schedule")


# Choices


@pytest.mark.parametrize(
    ("key", "written", "stored"),
    [
        ("order", "blocked:3", "blocked:3"),
        ("order", "blocked:K=3", "blocked:3"),
        ("order", " blocked : 03 ", "blocked:3"),
        ("schedule", "constant:warmup=5", "constant:warmup=5"),
        ("schedule", "constant:warmup=0", "constant"),
        ("schedule", "step:warmup=5, factor=.5, every=10", "step:every=10,factor=0.5,warmup=5"),
        ("schedule", "inverse:tau=100", "inverse:tau=100"),
        ("schedule", "inverse:1e2", "inverse:tau=100"),
        ("schedule", "exponential:0.999", "exponential:factor=0.999"),
        ("problem", "table:0110", "table:0110"),
        ("problem", "table:bits=0110", "table:0110"),
        ("init", "glorot-normal", "glorot-normal"),
    ],
)
def test_spellings_of_a_choice(key: str, written: str, stored: str) -> None:
    assert getattr(xor(**{key: written}), key) == stored
    assert getattr(xor(**{key: stored}), key) == stored


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('order = "shufled"', "bad.toml: setup.order: given 'shufled', allowed: random, shuffled, cyclic, blocked:K"),
        ('order = "shufled"', "; did you mean 'shuffled'?"),
        ('order = "Random"', "; did you mean 'random'?"),
        ('order = 3', "setup.order: given 3, allowed: random, "),
        ('order = ""', "setup.order: given '', allowed: random, "),
        ('order = "blocked"', "given 'blocked', allowed: blocked:K"),
        ('order = "blocked:0"', "given 'blocked:0', allowed: K an integer from 1 to 1,000,000,000"),
        ('order = "blocked:2,3"', "allowed: blocked:K, not '3'"),
        ('order = "cyclic:2"', "given 'cyclic:2', allowed: cyclic, not '2'"),
        ('init = "glorot_normal"', "did you mean 'glorot-normal'?"),
        ('loss = "crossentropy"', "did you mean 'cross-entropy'?"),
        ('schedule = "step:every=0,factor=0.5"', "allowed: every an integer from 1 to "),
        ('schedule = "step:every=0,factor=2"', ", factor a number > 0 and ≤ 1"),
        ('schedule = "step:every=5"', "allowed: step:every=EVERY,factor=FACTOR"),
        ('schedule = "step:evry=5,factor=0.5"', "not 'evry=5'; did you mean 'every'?"),
        ('schedule = "step:every=5,every=6,factor=0.5"', "allowed: every once"),
        ('schedule = "step:every=5,every=6,every=7,factor=0"', "allowed: every once, factor a number > 0 and ≤ 1"),
        ('schedule = "step:' + "a,b,c,d,e,f,g,h,i,j" + '"', "FACTOR, not 'a', not 'b', not 'c', not 'd', "),
        ('schedule = "step:' + "a,b,c,d,e,f,g,h,i,j" + '"', "not 'h', and 2 more"),
        ('schedule = "exponential:nan"', "factor a number > 0 and ≤ 1"),
        ('schedule = "inverse:tau=inf"', "tau a number > 0"),
        ('schedule = "inverse:tau=1e400"', "tau a number > 0"),
        ('schedule = "cosine:warmup=-1"', "warmup an integer from 0"),
        ('schedule = "cosine:warmup=true"', "warmup an integer from 0"),
    ],
)  # fmt: skip
def test_what_a_wrong_choice_is_told(written: str, said: str) -> None:
    assert said in line_of(HEAD + "updates = 9\n" + written)


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("table:01x0", "given 'table:01x0', allowed: table:BITS; bits must be 0 or 1"),
        ("table:011", "the number of bits must be a power of two"),
        ("table:", "the number of bits must be a power of two"),
        ("table:1", "the number of bits must be a power of two"),
        ("table:" + "01" * 65_536, "the number of bits must be a power of two"),
        ("parity:60", "given 'parity:60', allowed: d an integer from 1 to 16"),
        ("parity", "given 'parity', allowed: parity"),
        ("encoder:1", "allowed: n an integer from 2 to 1,024"),
        ("encoder:" + "9" * 5000, "allowed: n an integer from 2 to 1,024"),
        ("tabel:0110", "; did you mean 'table'?"),
        ("fil:iris.csv", "; did you mean 'file'?"),
    ],
)
def test_what_a_wrong_problem_is_told(problem: str, said: str) -> None:
    line = line_of(f'seeds = 1\n[setup]\nproblem = "{problem}"\nupdates = 9')
    assert said in line
    assert len(line) < 400


def add(monkeypatch: pytest.MonkeyPatch, key: str, function: Any, takes: int) -> None:
    """A choice added to a family, as by writing one function into its module."""
    module = types.ModuleType(function.__module__)
    setattr(module, function.__name__, function)
    added = family(key, module, takes).choices[function.__name__.replace("_", "-")]
    old = FAMILIES[key]
    monkeypatch.setitem(FAMILIES, key, old._replace(choices={**old.choices, added.name: added}))


def test_a_choice_that_is_added_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def back_and_forth(
        rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any, turn: int = 2, shift: float = 0.5
    ) -> None: ...

    with pytest.raises(SweepError):
        xor(order="back-and-forth")
    add(monkeypatch, "order", back_and_forth, takes=5)
    assert "back-and-forth:turn=TURN,shift=SHIFT" in allowed("order")
    assert xor(order="back-and-forth").calls["order"].values == (2, 0.5)
    assert xor(order="back-and-forth:shift=1,turn=2").order == "back-and-forth:shift=1"
    with pytest.raises(SweepError, match="did you mean 'back-and-forth'"):
        xor(order="back_and_fort")


# Bad input, as the issue lists it: the exact line of each

XOR = 'seeds = 10\n[setup]\nproblem = "xor"\nupdates = 999\n'
KEYS = ", ".join(Setup.model_fields)
SEEDS_ARE = "allowed: an integer from 1, or {start = S, count = N} with S ≥ 0 and S + N ≤ 2^63"
RATES = "allowed: a number > 0 and ≤ 1,000,000"
LAYERS = "allowed: a list of 1 to 16, each an integer from 1 to 4,096"
TENS = [i / 1000 for i in range(1, 1001)]
HUGE_GRID = f"[grid]\nlr = {TENS}\ninit_scale = {TENS[:100]}\nmomentum = {TENS[:100]}"


def problem(text: str) -> str:
    return XOR.replace("xor", text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "seeds 10",
            "not TOML: Expected '=' after a key in a key/value pair (at line 1, column 7)",
        ),
        ("x = " + "[" * 100_000, "nested too deeply, allowed: the tables setup and grid"),
        (XOR + "lrr = 0.1", f"setup.lrr: unknown key, allowed: {KEYS}; did you mean 'lr'?"),
        (
            XOR + 'order = "shufled"',
            "setup.order: given 'shufled', allowed: random, shuffled, cyclic, blocked:K; did you mean 'shuffled'?",
        ),
        (XOR + 'lr = "0.1"', f"setup.lr: given '0.1', {RATES}"),
        (XOR + "lr = true", f"setup.lr: given true, {RATES}"),
        (XOR + "lr = nan", f"setup.lr: given nan, {RATES}"),
        (XOR + "lr = inf", f"setup.lr: given inf, {RATES}"),
        (XOR + "lr = 1e400", f"setup.lr: given inf, {RATES}"),
        (XOR + "lr = -0.1", f"setup.lr: given -0.1, {RATES}"),
        (XOR + "lr = 0", f"setup.lr: given 0, {RATES}"),
        (XOR + "lr = 1" + "0" * 4000, f"setup.lr: given an integer of 4,001 digits or so, {RATES}"),
        (XOR + "lr = 1" + "0" * 5000, "lr: an integer of more than 4,300 digits in line 5"),
        (XOR + "hidden = []", f"setup.hidden: given [], {LAYERS}"),
        (XOR + "hidden = [0]", f"setup.hidden: given [0], {LAYERS}"),
        (XOR + "hidden = [1_000_000_000]", f"setup.hidden: given [1000000000], {LAYERS}"),
        (
            problem("table:01x1"),
            "setup.problem: given 'table:01x1', allowed: table:BITS; bits must be 0 or 1, given '01x1'",
        ),
        (
            problem("table:011"),
            "setup.problem: given 'table:011', allowed: table:BITS; "
            "the number of bits must be a power of two from 2 to 65,536, given 3",
        ),
        (
            problem("parity:60"),
            "setup.problem: given 'parity:60', allowed: d an integer from 1 to 16",
        ),
        (
            XOR + "epochs = 9",
            "setup.epochs: given beside updates, allowed: one of updates and epochs",
        ),
        (
            XOR.replace("updates", "# "),
            "setup.updates: not given, allowed: one of updates and epochs",
        ),
        (XOR.replace("10", "0"), f"seeds: given 0, {SEEDS_ARE}"),
        (XOR.replace("10", str(2**63 + 1)), f"seeds: given 9223372036854775809, {SEEDS_ARE}"),
        (
            XOR.replace("10", f"{{start = {2**63 - 1}, count = 2}}"),
            f"seeds: given {{start = 9223372036854775807, count = 2}}, {SEEDS_ARE}",
        ),
        (XOR + "batch = 0", "setup.batch: given 0, allowed: an integer from 1 to 65,536 or full"),
        (XOR + "batch = 5", "setup.batch: given 5, allowed: at most the 4 rows of xor, or 'full'"),
        (XOR + "[grid]\nlr = []", "grid.lr: given [], allowed: a list of one or more values"),
        (XOR + HUGE_GRID, "grid: given 10,000,000 setups, allowed: at most 100,000"),
        (XOR + "momentum = 1", "setup.momentum: given 1, allowed: a number ≥ 0 and < 1"),
        (XOR + "tolerance = 0", "setup.tolerance: given 0, allowed: a number > 0 and ≤ 0.5"),
        (
            XOR + 'schedule = "cosine:warmup=250"',
            "setup.schedule: given 'cosine:warmup=250', allowed: warmup less than the budget of 250 epochs",
        ),
        (
            XOR + 'schedule = "step:every=0,factor=0.5"',
            "setup.schedule: given 'step:every=0,factor=0.5', allowed: every an integer from 1 to 1,000,000,000,000",
        ),
        (
            'title = "a\\u0000b"\n' + XOR,
            "title: given 'a\\x00b', allowed: a string of at most 1,000 printable characters",
        ),
    ],
    ids=lambda value: text_module.plain(value, 40),
)
def test_bad_input(text: str, line: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    assert line_of(text) == f"bad.toml: {line}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(text)
    begun = time.perf_counter()
    for options in ([], ["--dry-run"]):
        assert main(["bad.toml", *options]) == 2
        assert capsys.readouterr() == ("", f"fastbp: bad.toml: {line}\n")
    assert time.perf_counter() - begun < 5
    assert [file.name for file in tmp_path.iterdir()] == ["bad.toml"]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        Sweep.from_toml(tmp_path / "gone.toml")
    assert caught.value.lines == [f"{tmp_path}/gone.toml: no such file"]


# Mistakes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr = -1", "bad.toml: setup.lr: given -1, allowed: a number > 0 and ≤ 1,000,000"),
        ("lr = 0", "setup.lr: given 0, "),
        ("lr = true", "setup.lr: given true, "),
        ('lr = "0.1"', "setup.lr: given '0.1', "),
        ("lr = nan", "setup.lr: given nan, "),
        ("lr = inf", "setup.lr: given inf, "),
        ("lr = 1e400", "setup.lr: given inf, "),
        ("lr = [0.1, 0.2]", "setup.lr: given [0.1, 0.2], "),
        ("lr = {a = 1}", "setup.lr: given {a = 1}, "),
        ("lr = 2024-01-01", "setup.lr: given 2024-01-01, "),
        ("lr = 1" + "0" * 4000, "setup.lr: given an integer of 4,001 digits or so, "),
        ("lr = 1" + "0" * 5000, "bad.toml: lr: an integer of more than 4,300 digits in line 4"),
        ("learning_rate = 0.1\nlr = 0.1", "setup.learning_rate: unknown key, allowed: problem, "),
        ("hiden = [4]", "setup.hiden: unknown key, "),
        ("hiden = [4]", "; did you mean 'hidden'?"),
        ("seeds = 3", "; did you mean 'seeds' before [setup]?"),
        ('"a\\nb" = 3', "setup.a\\nb: unknown key"),
        (
            "hidden = []",
            "setup.hidden: given [], allowed: a list of 1 to 16, each an integer from 1 to 4,096",
        ),
        ("hidden = [0]", "setup.hidden: given [0], "),
        ("hidden = [1_000_000_000]", "setup.hidden: given [1000000000], "),
        (
            "hidden = [4096, 4096]",
            "setup.hidden: given [4096, 4096], allowed: at most 1,000,000 parameters; 3-4096-4096-1 has ",
        ),
        ("hidden = [4.5]", "setup.hidden: given [4.5], "),
        ("hidden = [true]", "setup.hidden: given [true], "),
        (f"hidden = {[4] * 17}", "setup.hidden: given [4, 4, 4"),
        ("bias = 1", "setup.bias: given 1, allowed: true or false"),
        (
            'init = "grid"',
            "setup.init: given 'grid', allowed: grid:side=SIDE,x=X,y=Y,origin=ORIGIN",
        ),
        (
            'init = "grid:side=1,x=0,y=1"',
            "setup.init: given 'grid:side=1,x=0,y=1', allowed: side an integer from 2 to 4,000",
        ),
        (
            'init = "grid:side=9,x=3,y=3"',
            "setup.init: given 'grid:side=9,x=3,y=3', allowed: x and y that differ",
        ),
        (
            'init = "grid:side=9,x=20,y=21"',
            "setup.init: given 'grid:side=9,x=20,y=21', allowed: x and y below the 21 parameters of 3-4-1",
        ),
        (
            'bias = false\ninit = "grid:side=9,x=0,y=12"',
            "setup.init: given 'grid:side=9,x=0,y=12', allowed: x and y of weights where bias = false",
        ),
        ('hidden = [0]\ninit = "grid:side=9,x=0,y=30"', "setup.hidden: given [0], "),
        ("batch = 0", "setup.batch: given 0, "),
        (
            "batch = 9",
            "setup.batch: given 9, allowed: at most the 8 rows of table:11101011, or 'full'",
        ),
        (
            'batch = "ful"',
            "setup.batch: given 'ful', allowed: an integer from 1 to 65,536 or full; did you mean 'full'?",
        ),
        ('reduction = "average"', "setup.reduction: given 'average', allowed: one of sum, mean"),
        ('stop = "convergd"', "; did you mean 'converged'?"),
        ('dtype = "float16"', "setup.dtype: given 'float16', allowed: one of float64, float32"),
        ('scale_inputs = "Standard"', "; did you mean 'standard'?"),
        ("momentum = 1", "setup.momentum: given 1, allowed: a number ≥ 0 and < 1"),
        ("weight_decay = -1e-9", "setup.weight_decay: given -1e-09, "),
        ("prime_offset = -1", "setup.prime_offset: given -1, "),
        ("init_scale = 0.0", "setup.init_scale: given 0.0, "),
        ("target_margin = 0.5", "setup.target_margin: given 0.5, allowed: a number ≥ 0 and < 0.5"),
        ("tolerance = 0", "setup.tolerance: given 0, allowed: a number > 0 and ≤ 0.5"),
        ("tolerance = 0.6", "setup.tolerance: given 0.6, "),
        ("collapse = 1", "setup.collapse: given 1, allowed: a number > 0 and < 1"),
        ("eval_every = 0", "setup.eval_every: given 0, "),
        ('targets = ["y"]', "setup.targets: given ['y'], allowed: only with problem = 'file:PATH'"),
        ("epochs = 3", "setup.epochs: given beside updates, allowed: one of updates and epochs"),
        (
            'schedule = "cosine:warmup=125"',
            "setup.schedule: given 'cosine:warmup=125', allowed: warmup less than the budget of 125",
        ),
        ("[grid]\nlr = []", "bad.toml: grid.lr: given [], allowed: a list of one or more values"),
        ("[grid]\nlr = 0.1", "bad.toml: grid.lr: given 0.1, allowed: a list of one or more values"),
        ("[grid]\nlr = [0.1, -2, 0.3]", "bad.toml: grid.lr: given -2, "),
        ("[grid]\nlrr = [0.1]", "bad.toml: grid.lrr: unknown key, "),
        ("[grid]\nhidden = [4, [8, 0]]", "bad.toml: grid.hidden: given [8, 0], "),
        (
            "[grid]\ncollapse = [0.1, 0.2]",
            "bad.toml: grid.collapse: given a list, allowed: one value in [setup]",
        ),
        ("[grid]\nupdates = [9]\nepochs = [9]", "bad.toml: grid.epochs: given beside updates"),
        ("[[grid]]\nlr = [1]\n[[grid]]\nlr = [0]", "bad.toml: grid[2].lr: given 0, "),
        ("[grid.deeper]\nlr = [1]", "bad.toml: grid.deeper: unknown key, "),
        ("[grid.lr]\nlr = [1]", "bad.toml: grid.lr: given {lr = [1]}, allowed: a list"),
        ("[other]\nlr = [1]", "bad.toml: other: unknown key, allowed: title, seeds, setup, grid"),
        ("[gird]\nlr = [1]", "; did you mean 'grid'?"),
    ],
)
def test_one_mistake_one_line(text: str, said: str) -> None:
    budget = "updates = 999\n"
    line = line_of(HEAD + budget + text) if "digits in line" not in said else line_of(HEAD + text)
    assert said in line
    assert line.startswith("bad.toml: ")
    assert len(line) < 500


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "bad.toml: seeds: not given, allowed: an integer from 1, or {start = S, count = N}"),
        ("", "bad.toml: setup.problem: not given, allowed: table:BITS, xor"),
        ("", "bad.toml: setup.updates: not given, allowed: one of updates and epochs"),
        ("seeds = 0", "bad.toml: seeds: given 0, allowed: an integer from 1"),
        ("seeds = true", "seeds: given true, "),
        ("seeds = -5", "seeds: given -5, "),
        ("seeds = 1.5", "seeds: given 1.5, "),
        ('seeds = "many"', "seeds: given 'many', "),
        (f"seeds = {2**63 + 1}", "seeds: given 9223372036854775809, "),
        (
            f"seeds = {{start = {2**63 - 1}, count = 2}}",
            "seeds: given {start = 9223372036854775807, count = 2}, ",
        ),
        ("seeds = {start = -1, count = 2}", "seeds: given {start = -1, count = 2}, "),
        ("seeds = {start = 3}", "seeds: given {start = 3}, "),
        ("seeds = {begin = 3, count = 3}", "seeds: given {begin = 3, count = 3}, "),
        ("seeds = 10\nsetup = 3", "bad.toml: setup: given 3, allowed: a table"),
        ("seeds = 10\ngrid = [3]", "bad.toml: grid: given [3], allowed: a table"),
        (
            "lr = 0.1",
            "bad.toml: lr: unknown key, allowed: title, seeds, setup, grid, published; did you mean 'setup.lr'?",
        ),
        (
            "seed = 10",
            "bad.toml: seed: unknown key, allowed: title, seeds, setup, grid, published; did you mean 'seeds'?",
        ),
        ("title = 3", "bad.toml: title: given 3, allowed: a string"),
        ('title = "a\\u0000b"', "bad.toml: title: given 'a\\x00b', allowed: a string"),
        ('title = "a\\nb"', "bad.toml: title: given 'a\\nb', allowed: a string"),
        ('title = "a\\u2028b"', "bad.toml: title: given 'a\\u2028b', allowed: a string"),
        (
            "[[grid]]\n[[grid]]\nepochs = [3]\nproblem = ['xor']",
            "bad.toml: grid[1].updates: not given",
        ),
    ],
)
def test_mistakes_outside_the_setup(text: str, said: str) -> None:
    assert [line for line in lines_of(text) if said in line], lines_of(text)


def test_everything_wrong_is_said_at_once_and_once() -> None:
    text = """
        titel = "x"
        seeds = 0
        [setup]
        problem = "table:0110"
        lr = -1
        hidden = []
        order = "rndom"
        batch = 5
        updates = 10
        [grid]
        momentum = [0.5, 1, 0.1, 1]
        init_scale = [1, 2, 3, true]
        stop = ["budget", "convergd"]
    """
    keys = [
        "titel",
        "seeds",
        "setup.lr",
        "setup.hidden",
        "setup.order",
        "grid.momentum",
        "grid.init_scale",
        "grid.stop",
        "setup.batch",
    ]
    assert [line.split(": ")[1] for line in lines_of(text)] == keys


def test_what_is_wrong_by_itself_hides_no_conflict_and_makes_none() -> None:
    wrong = 'seeds = 1\n[setup]\nproblem = "xor"\nupdates = 9\nlr = 0\nbatch = 5'
    assert [line.split(": ")[1] for line in lines_of(wrong)] == ["setup.lr", "setup.batch"]
    # Without its misspelt batch this budget would be too many epochs; without its problem, this
    # batch too large.
    assert "setup.batch" in line_of(
        'seeds = 1\n[setup]\nproblem = "parity:12"\nupdates = 999_999_999_999\nbatch = "ful"'
    )
    assert "grid.problem" in line_of(
        'seeds = 1\n[setup]\nproblem = "xor"\nupdates = 9\nbatch = 8\n[grid]\nproblem = ["parity:33"]'
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "seeds 10",
            "bad.toml: not TOML: Expected '=' after a key in a key/value pair (at line 1, column 7)",
        ),
        (
            "order = random",
            "bad.toml: not TOML: Invalid value (at line 1, column 9); words stand in quotes",
        ),
        ("a = 1\na = 2", "bad.toml: not TOML: Cannot overwrite a value"),
        ("a = '\0'", "bad.toml: not TOML: "),
        ("x = " + "[" * 100_000, "bad.toml: nested too deeply"),
        ("x = " + "{a=" * 100_000, "bad.toml: nested too deeply"),
        ("[" + ".".join("a" * 30_000) + "]", "bad.toml: nested too deeply"),
        ("x = [1, {" + "'a' . " * 30_000 + "a = 1}]", "bad.toml: nested too deeply"),
        ("[" + ".".join("a" * 20) + "]", "bad.toml: a: unknown key"),
        (
            "setup." + ".".join(["lr"] * 19) + " = 3",
            "bad.toml: setup.lr: given {lr = {lr = {lr = …}}}, ",
        ),
        (
            "seeds = [\n" + "1" * 5000 + "]",
            "bad.toml: seeds: an integer of more than 4,300 digits in line 2",
        ),
    ],
)
def test_not_toml(text: str, said: str) -> None:
    assert lines_of(text)[0].startswith(said) or any(
        line.startswith(said) for line in lines_of(text)
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"title = '\xff'", "not UTF-8 text: byte 0xff in line 1, allowed: TOML"),
        (b"\n\n\x80", "not UTF-8 text: byte 0x80 in line 3"),
        (b"#" * 10_000_001, "more than 10,000,000 bytes"),
        (b"PK\x03\x04\x00", "not TOML: "),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SweepError) as caught:
        Sweep.from_toml(path)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{path}: {said}")


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="cannot be read: Is a directory"):
        Sweep.from_toml(tmp_path)
    with pytest.raises(SweepError, match=r"^a\\x00b: no such file$"):
        Sweep.from_toml("a\0b")


def test_a_file_from_a_windows_editor(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + "updates = 9\n").replace("\n", "\r\n").encode())
    assert Sweep.from_toml(path).setups[0].updates == 9


def test_from_python_the_same_lines_without_a_file() -> None:
    with pytest.raises(SweepError) as caught:
        Setup(problem="xr", lr=True, updates=3, hiden=3)
    assert [line.split(":")[0] for line in caught.value.lines] == ["problem", "lr", "hiden"]
    with pytest.raises(SweepError, match=r"^problem: not given.*\nupdates: not given"):
        Setup()
    with pytest.raises(SweepError, match=r"^batch: given 5, allowed: at most the 4 rows of xor"):
        xor(batch=5)
    with pytest.raises(SweepError, match=r"^setup.lr: given 0, "):
        Sweep(seeds=3, setup={"problem": "xor", "updates": 3, "lr": 0})
    with pytest.raises(SweepError, match=r"^grid.lr: given object, "):
        Sweep(seeds=3, setup={"problem": "xor", "updates": 3}, grid={"lr": [object()]})


def test_huge_numbers_from_python() -> None:
    for value in (10**5000, -(10**5000)):
        with pytest.raises(SweepError, match="given an integer of 5,001 digits or so"):
            xor(lr=value)
    assert "10^" not in allowed("updates")


# Limits between keys


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"updates": 10**12},
            "updates: given 1000000000000, allowed: at most 4,294,967,295 epochs, 17,179,869,180 updates",
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
    with pytest.raises(SweepError) as caught:
        xor(**keys)
    assert caught.value.lines[0].startswith(said)


def test_the_largest_budgets_are_allowed() -> None:
    assert xor(epochs=2**32 - 1).epochs_budget == 2**32 - 1
    assert Setup(problem="parity:16", updates=10**12).budget == 10**12
    assert Seeds(start=2**63 - 1, count=1).stop == 2**63
    assert Sweep(seeds=2**63, setup={"problem": "xor", "updates": 1}).seeds.stop == 2**63


# Grids


def test_no_grid_is_the_baseline_alone() -> None:
    sweep = Sweep.from_text(HEAD + "updates = 9")
    assert sweep.setups == (sweep.baseline,)
    assert Sweep.from_text(HEAD + "updates = 9\n[grid]").setups == sweep.setups


def test_the_last_key_is_fastest_and_repeats_are_dropped() -> None:
    sweep = Sweep.from_text(
        HEAD + "updates = 9\n[grid]\nmomentum = [0, 0.5, 0.0]\nlr = [1, 2, 1.0]"
    )
    assert [(s.momentum, s.lr) for s in sweep.setups] == [(0, 1), (0, 2), (0.5, 1), (0.5, 2)]


def test_a_union_of_grids() -> None:
    sweep = Sweep.from_text(
        HEAD + "updates = 9\n[[grid]]\nlr = [0.1, 0.2]\n[[grid]]\nlr = [0.2]\nmomentum = [0.0, 0.9]"
    )
    assert [(s.lr, s.momentum) for s in sweep.setups] == [(0.1, 0), (0.2, 0), (0.2, 0.9)]


def test_orders_of_a_full_batch_are_one_setup() -> None:
    sweep = Sweep.from_text(
        HEAD + 'updates = 9\n[grid]\nbatch = [1, "full"]\norder = ["random", "shuffled"]'
    )
    assert [(s.batch, s.resolved_order) for s in sweep.setups] == [
        (1, "random"),
        (1, "shuffled"),
        ("full", "cyclic"),
    ]
    assert len({s.identity(1) for s in sweep.setups}) == 3


def test_layers_in_a_grid() -> None:
    sweep = Sweep.from_text(HEAD + "hidden = [8, 8]\nupdates = 9\n[grid]\nhidden = [4, 8, [8, 8]]")
    assert [s.hidden for s in sweep.setups] == [(4,), (8,), (8, 8)]
    assert sweep.baseline is not None
    assert sweep.baseline.hidden == (8, 8)


def test_a_grid_may_complete_or_mend_the_setup() -> None:
    sweep = Sweep.from_dict({"seeds": 1, "grid": {"problem": ["xor"], "updates": [9]}})
    assert sweep.baseline is None
    assert len(sweep.setups) == 1
    sweep = Sweep.from_text(
        HEAD + "batch = 16\nupdates = 9\n[grid]\nproblem = ['parity:4', 'parity:5']"
    )
    assert sweep.baseline is None
    assert [s.rows for s in sweep.setups] == [16, 32]
    sweep = Sweep.from_text(
        HEAD + "updates = 9\n[grid]\nepochs = [3, 4]"
    )  # the grid's budget takes the other's place
    assert [(s.epochs, s.updates, s.budget) for s in sweep.setups] == [(3, None, 24), (4, None, 32)]
    sweep = Sweep.from_text(
        HEAD + "updates = 9\n[[grid]]\nepochs = [3]\n[[grid]]\nupdates = [4]\n[[grid]]"
    )
    assert [s.budget for s in sweep.setups] == [24, 4, 9]


def test_arrays_serve_as_grids() -> None:
    sweep = Sweep(
        seeds=np.int64(5),
        setup={"problem": "xor", "updates": 9},
        grid={"lr": np.array([0.5, 1]), "hidden": range(1, 4)},
    )
    assert [(s.lr, s.hidden) for s in sweep.setups] == [
        (lr, (h,)) for lr in (0.5, 1.0) for h in (1, 2, 3)
    ]
    assert Sweep.from_text(sweep.to_toml()) == sweep


def test_a_mistake_that_a_grid_repeats_is_said_once() -> None:
    rates = [i / 1000 for i in range(1, 500)]
    line = line_of(
        HEAD + f'batch = 9\nupdates = 9\nschedule = "cosine:warmup=99"\n[grid]\nlr = {rates}'
    )
    assert "setup.batch" in line
    two = lines_of(
        HEAD + f"updates = 9\n[grid]\nlr = {rates}\nbatch = [1, 9, 10]\nmomentum = [0, 0.5]"
    )
    assert [line.partition(",")[0] for line in two] == [
        "bad.toml: grid.batch: given 9",
        "bad.toml: grid.batch: given 10",
    ]


def test_too_large_a_grid_is_refused_at_once() -> None:
    begun = time.perf_counter()
    tens = [i / 10 for i in range(1, 11)]
    text = f"updates = 9\n[grid]\nlr = {tens}\ninit_scale = {tens}\nprime_offset = {tens}\nweight_decay = {tens}\n"
    text += f"updates = {list(range(1, 1001))}\n"
    assert (
        line_of(HEAD + text) == "bad.toml: grid: given 10,000,000 setups, allowed: at most 100,000"
    )
    assert [line.partition(",")[0] for line in lines_of(HEAD + text + "momentum = [0, 1]")] == [
        "bad.toml: grid.momentum: given 1",
        "bad.toml: grid: given 20",
    ]
    with pytest.raises(SweepError, match="given 1,000,000,000,000 setups"):
        Sweep(seeds=1, setup={"problem": "xor"}, grid={"updates": range(10**12)})
    assert time.perf_counter() - begun < 2


# Settings over a file


def over(
    *settings: str,
    text: str = HEAD + "updates = 9\n[grid]\nlr = [0.1, 0.2]\norder = ['random', 'cyclic']",
) -> Sweep:
    return Sweep.from_text(text, "bad.toml", settings=settings)


def test_a_value_replaces_the_key_everywhere() -> None:
    sweep = over("lr=0.5", "order = shuffled", "batch=full")
    assert [(s.lr, s.order, s.batch) for s in sweep.setups] == [(0.5, "shuffled", "full")]
    assert sweep.baseline == sweep.setups[0]
    assert over("epochs=3", "order=blocked:2", "lr=1").setups == (
        Setup(problem="table:11101011", epochs=3, order="blocked:2", lr=1),
    )  # fmt: skip
    assert over("schedule=step:every=2,factor=0.5").setups[0].schedule == "step:every=2,factor=0.5"
    assert over("problem=table:0110").setups[0].problem == "table:0110"
    assert over('problem="table:0110"').setups[0].problem == "table:0110"
    assert over("bias=false").setups[0].bias is False


def test_a_list_is_a_grid() -> None:
    sweep = over("lr=[0.3,0.4]", 'order=["shuffled"]', "momentum=[0, 0.5]")
    assert [(s.lr, s.order, s.momentum) for s in sweep.setups] == [
        (lr, "shuffled", momentum) for lr in (0.3, 0.4) for momentum in (0, 0.5)
    ]
    sweep = over("lr=[0.3,0.4]", text=HEAD + "updates = 9")
    assert [s.lr for s in sweep.setups] == [0.3, 0.4]
    sweep = over(
        "order=[random, blocked:3]", text=HEAD + "updates = 9"
    )  # a shell takes the quotes away
    assert [s.order for s in sweep.setups] == ["random", "blocked:3"]
    sweep = over(
        "epochs=[1,2]",
        text=HEAD + "[[grid]]\nupdates = [3]\nlr = [1]\n[[grid]]\nlr = [2]\nupdates = [3]",
    )
    assert [(s.lr, s.epochs) for s in sweep.setups] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_layers_in_a_setting() -> None:
    plain = HEAD + "updates = 9"
    for setting, networks in {
        "hidden=[5]": [(5,)],
        "hidden=5": [(5,)],
        "hidden=[4, 8]": [(4,), (8,)],
        "hidden=[[8, 8]]": [(8, 8)],
        "hidden=[4, 8, [8, 8]]": [(4,), (8,), (8, 8)],
    }.items():
        assert [s.hidden for s in over(setting, text=plain).setups] == networks, setting


def test_later_settings_win() -> None:
    assert [s.lr for s in over("lr=[1,2]", "lr=3", "order=cyclic").setups] == [3]
    assert [s.lr for s in over("lr=3", "lr=[1,2]", "order=cyclic").setups] == [1, 2]
    assert [s.budget for s in over("epochs=5", "order=cyclic", "lr=1").setups] == [40]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("lr", "--set: given 'lr', allowed: KEY=VALUE"),
        ("=3", "--set: given '=3', allowed: KEY=VALUE"),
        ("lrr=3", "--set lrr: unknown key, allowed: "),
        ("lrr=[3,4]", "--set lrr: unknown key, allowed: "),
        (
            "seeds=3",
            "--set seeds: unknown key, allowed: keys of a setup; for seeds there is --seeds",
        ),
        ("lr=-3", "--set lr: given -3, allowed: a number > 0"),
        ("lr=[0.1,-3]", "--set lr: given -3, allowed: a number > 0"),
        ("lr=abc", "--set lr: given 'abc', allowed: a number > 0"),
        ("lr=[]", "--set lr: given [], allowed: a list of one or more values"),
        ("lr=3\nmomentum=1", "--set lr: given "),
        ("lr=" + "[" * 100_000, "--set lr: nested too deeply"),
        ("lr=" + "1" * 5000, "--set lr: given an integer of more than 4,300 digits"),
        ("batch=64", "--set batch: given 64, allowed: at most the 8 rows"),
        ("order=shufled", "--set order: given 'shufled', "),
    ],
)
def test_wrong_settings(setting: str, said: str) -> None:
    line = line_of(HEAD + "updates = 9\n[grid]\nlr = [0.1, 0.2]", settings=[setting])
    assert line.startswith(said)


def problems_of(sweep: Sweep) -> list[str]:
    return [setup.problem for setup in sweep.setups]


def test_unknown_bits_in_a_grid_are_both() -> None:
    text = "seeds = 1\n[setup]\nupdates = 9\n[grid]\nproblem = "
    every = [f"table:{number:08b}" for number in range(256)]
    whole = Sweep.from_text(text + '["table:????????"]')
    assert problems_of(whole) == every
    assert problems_of(Sweep.from_text(whole.to_toml())) == every
    assert [setup.identity() for setup in whole.setups] == [
        Setup(problem=each, updates=9).identity() for each in every
    ]
    some = Sweep.from_text(text + '["table:0110", "table:1??0", "xor", "table:bits=0?10"]')
    assert problems_of(some) == [
        "table:0110",
        *(f"table:1{bits}0" for bits in ("00", "01", "10", "11")),
        "xor",
        "table:0010",
    ]
    from_python = Sweep(seeds=1, setup={"updates": 9}, grid={"problem": ["table:?1"]})
    assert problems_of(from_python) == ["table:01", "table:11"]
    for setting in ("problem=table:1?", "problem=[table:1?]", "problem=['table:1?', 'table:11']"):
        assert problems_of(Sweep.from_text(HEAD + "updates = 9", settings=[setting])) == [
            "table:10",
            "table:11",
        ]


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ("???", "the number of bits must be a power of two from 2 to 65,536, given 3"),
        (
            "??2?",
            "bits must be 0 or 1, in a grid also up to 16 ? for each of the two, given '??2?'",
        ),
        (
            "?" * 32,
            f"bits must be 0 or 1, in a grid also up to 16 ? for each of the two, given '{'?' * 32}'",
        ),
        ("?" * 5000, "the number of bits must be a power of two from 2 to 65,536, given 5,000"),
    ],
)
def test_wrong_tables_with_unknown_bits(bits: str, said: str) -> None:
    problem = f"table:{bits}"
    line = line_of(f"seeds = 1\n[setup]\nupdates = 9\n[grid]\nproblem = ['xor', '{problem}']")
    assert line.startswith("bad.toml: grid.problem: given 'table:")
    assert line.endswith(said)
    assert line_of(HEAD + "updates = 9", settings=[f"problem={problem}"]).endswith(said)


def test_an_unknown_bit_of_one_setup_is_a_mistake() -> None:
    for line in (
        line_of("seeds = 1\n[setup]\nproblem = 'table:1?'\nupdates = 9"),
        line_of_setup(problem="table:1?", updates=9),
    ):
        assert line.endswith(
            "bits must be 0 or 1, in a grid also up to 16 ? for each of the two, given '1?'"
        )


def line_of_setup(**keys: Any) -> str:
    with pytest.raises(SweepError) as caught:
        Setup(**keys)
    (line,) = caught.value.lines
    return line


def test_both_budgets_set_are_a_mistake():
    line = line_of(HEAD + "updates = 9", settings=["updates=5", "epochs=5"])
    assert line == "--set epochs: given beside --set updates, allowed: one of updates and epochs"


def test_seeds_over_a_file() -> None:
    text = (HEAD + "updates = 9").replace("seeds = 10", "seeds = {start = 100, count = 5}")
    assert Sweep.from_text(text).seeds == Seeds(start=100, count=5)
    assert Sweep.from_text(text, seeds=7).seeds == Seeds(start=100, count=7)
    assert Sweep.from_text(text, seeds="7_000").seeds == Seeds(start=100, count=7000)
    assert Sweep.from_text(text, seeds=Seeds(count=2)).seeds == Seeds(count=2)
    assert Sweep.from_text(text.partition("\n")[2], seeds=3).seeds == Seeds(count=3)
    assert line_of(text, seeds="0").startswith("--seeds: given 0, allowed: an integer from 1")
    assert line_of(text, seeds="1" * 5000).startswith("--seeds: given '1111")
    assert line_of(text, seeds="many").startswith("--seeds: given 'many', ")
    assert line_of(text, seeds=2**63).startswith("--seeds: given 9223372036854775808, ")


SEVERAL = """
seeds = {start = 5, count = 10}
[setup]
problem = "xor"
updates = 9
[[grid]]
seeds = 1_000
lr = [1, 2]
[[grid]]
lr = [2, 3]
[[grid]]
seeds = 3
lr = [3, 4]
[[grid]]
seeds = 20
"""


def counts(sweep: Sweep) -> dict[float, int]:
    return {setup.lr: sweep.seeds_of(setup).count for setup in sweep.setups}


def test_a_grid_may_have_seeds_of_its_own_and_a_setup_has_the_most():
    sweep = Sweep.from_text(SEVERAL)
    assert counts(sweep) == {1: 1000, 2: 1000, 3: 10, 4: 3, 0.1: 20}
    assert {sweep.seeds_of(setup).start for setup in sweep.setups} == {5}
    assert sweep.all_seeds == Seeds(start=5, count=1000)
    assert sweep.runs == sum(counts(sweep).values())


def test_seeds_of_grids_change_no_setup_and_read_back(tmp_path: Path):
    sweep, plain = (
        Sweep.from_text(SEVERAL),
        Sweep.from_text(SEVERAL.replace("seeds = 1_000", "").replace("seeds = 3\n", "")),
    )
    assert [setup.identity() for setup in sweep.setups] == [
        setup.identity() for setup in plain.setups
    ]
    assert sweep != plain
    for text in (sweep.to_toml(), sweep.to_toml(tmp_path)):
        assert Sweep.from_text(text) == sweep
        assert counts(Sweep.from_text(text)) == counts(sweep)
    assert "seeds = [1000, 1000, 10, 3, 20]" in sweep.to_toml(tmp_path).partition("[resolved]")[2]
    assert "seeds" not in plain.with_seeds(5, 10).to_toml(tmp_path).partition("[resolved]")[2]


def test_seeds_of_grids_from_python():
    sweep = Sweep(
        seeds=10,
        setup={"problem": "xor", "updates": 9},
        grid=[{"lr": [1], "seeds": 1e3}, {"lr": [2]}],
    )
    assert counts(sweep) == {1: 1000, 2: 10}
    assert "seeds" not in sweep.grid[0]


@pytest.mark.parametrize("seeds", [7, "7", Seeds(start=5, count=7)])
def test_seeds_over_a_file_are_those_of_all_grids(seeds: Any):
    assert set(counts(Sweep.from_text(SEVERAL, seeds=seeds)).values()) == {7}


def test_settings_leave_the_seeds_of_grids():
    assert counts(Sweep.from_text(SEVERAL, settings=["lr=[8,9]"])) == {8: 1000, 9: 1000}
    assert counts(Sweep.from_text(SEVERAL, settings=["lr=8"])) == {8: 1000}


def test_other_seeds_for_all():
    sweep = Sweep.from_text(SEVERAL)
    assert set(counts(sweep.with_seeds(0, 7)).values()) == {7}
    assert counts(sweep) == {1: 1000, 2: 1000, 3: 10, 4: 3, 0.1: 20}, "the sweep is as it was"
    assert counts(sweep.within(10, 12)) == {1: 12, 2: 12, 3: 5, 4: 0, 0.1: 12}


@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "true", '"many"', "[3]", "{start = 1, count = 3}", str(2**63 + 1)]
)
def test_wrong_seeds_of_a_grid(value: str):
    line = line_of(HEAD + f"updates = 9\n[grid]\nlr = [0.1, 0.2]\nseeds = {value}")
    assert re.fullmatch(
        r"bad.toml: grid.seeds: given .*, allowed: an integer from 1; they start where the sweep's do",
        line,
    )
    several = HEAD + f"updates = 9\n[[grid]]\nlr = [0.1, 0.2]\n[[grid]]\nseeds = {value}"
    assert line_of(several).startswith("bad.toml: grid[2].seeds: given ")


# Any sweep at all

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "problem": st.sampled_from(["xor", "table:0110", "table:11101011", "parity:3", "encoder:4"]),
    "scale_inputs": st.sampled_from(["none", "standard", "minmax"]),
    "target_margin": st.floats(0, 0.5, exclude_max=True),
    "hidden": st.lists(st.integers(1, 50), min_size=1, max_size=4),
    "init": st.sampled_from(["normal", "uniform", "glorot-normal", "glorot-uniform", "grid:x=1,side=3,y=0,origin=0"]),
    "init_scale": st.floats(0, 1e6, exclude_min=True),
    "bias": st.booleans(),
    "loss": st.sampled_from(list(FAMILIES["loss"].choices)),
    "prime_offset": st.floats(0, 1e6) | st.integers(0, 3),
    "order": st.sampled_from(["random", "shuffled", "cyclic", "blocked:3", "blocked:K=12"]),
    "batch": st.integers(1, 4) | st.just("full"),
    "reduction": st.sampled_from(["sum", "mean"]),
    "lr": st.floats(0, 1e6, exclude_min=True) | st.integers(1, 100),
    "schedule": st.builds(
        "{}{}".format, st.sampled_from(["cosine:", "linear:", "inverse:3,", "step:every=2,factor=.3,", "exponential:factor=1,"]),
        st.integers(0, 20).map("warmup={}".format),
    ),
    "momentum": st.floats(0, 1, exclude_max=True),
    "weight_decay": st.floats(0, 1e6),
    "tolerance": st.floats(0, 0.5, exclude_min=True),
    "eval_every": st.integers(1, 2**32 - 1),
    "stop": st.sampled_from(["budget", "converged"]),
    "dtype": st.sampled_from(["float64", "float32"]),
}  # fmt: skip
BUDGETS: dict[str, st.SearchStrategy[Any]] = {
    "updates": st.integers(200, 10**9),
    "epochs": st.integers(25, 10**9),
}
TITLES = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=40)
FIGURES = st.fixed_dictionaries(
    {
        "source": TITLES.filter(bool), "figure": st.sampled_from(paper_figures.FIGURES), "value": st.floats(0, 1),
        "runs": st.integers(1, 10**9),
    },
    optional={
        "rounded": st.floats(0, 1, exclude_min=True), "plus_minus": st.floats(0, 1e12),
        "looks": st.sampled_from(["after", "before"]),
    },
)  # fmt: skip
SEEDS = st.integers(1, 2**63) | st.builds(
    lambda a, b: {"start": a, "count": b}, st.integers(0, 2**62), st.integers(1, 2**62)
)


@st.composite
def sweeps(draw: st.DrawFn) -> dict[str, Any]:
    """What a right sweep file may hold."""
    budget = draw(st.sampled_from(list(BUDGETS)))
    keys = draw(st.sets(st.sampled_from(list(VALUES)))) | {"problem"}
    setup = {key: draw((VALUES | BUDGETS)[key]) for key in sorted(keys | {budget})}
    setup |= {"collapse": draw(st.floats(0, 1, exclude_min=True, exclude_max=True))}
    tables = []
    for _ in range(draw(st.integers(0, 2))):
        crossed = draw(st.lists(st.sampled_from([*VALUES, budget]), max_size=3, unique=True))
        tables.append(
            {
                key: draw(st.lists((VALUES | BUDGETS)[key], min_size=1, max_size=3))
                for key in crossed
            }
        )
    where = {key: setup[key] for key in draw(st.sets(st.sampled_from(sorted(setup))))}
    published = [one | {"where": where} for one in draw(st.lists(FIGURES, max_size=2))]
    return {
        "title": draw(TITLES),
        "seeds": draw(SEEDS),
        "setup": setup,
        "grid": tables,
        "published": published,
    }


@given(sweeps())
def test_any_sweep_reads_back_as_it_was_written(data: dict[str, Any]) -> None:
    sweep = Sweep.from_dict(data)
    text = sweep.to_toml()
    again = Sweep.from_text(text)
    assert again == sweep
    assert again.baseline == sweep.baseline
    assert again.setups == sweep.setups
    assert again.to_toml() == text
    ids = [setup.identity(1) for setup in sweep.setups]
    assert len(set(ids)) == len(ids)
    assert [setup.identity(1) for setup in again.setups] == ids
    assert Sweep(**data) == sweep


@given(sweeps(), st.data())
def test_any_setup_reads_back_from_its_columns(data: dict[str, Any], more: st.DataObject) -> None:
    setup = more.draw(st.sampled_from(Sweep.from_dict(data).setups))
    columns = setup.columns()
    columns.pop("epochs" if columns["epochs"] is None else "updates")
    columns["hidden"] = [int(size) for size in columns["hidden"].split("-")]
    columns["loss"] = columns.pop("loss_function")
    assert Setup(**columns).identity(1) == setup.identity(1)


BAD: dict[str, list[Any]] = {
    "problem": ["", "xr", "table:012", "parity:17", 3, True, "file:x.csv"],
    "scale_inputs": ["None", 0, False],
    "target_margin": [-0.1, 0.5, math.nan, True, "0.1"],
    "hidden": [0, [], [0], [True], [4, -1], [10**9], "4", [[4]]],
    "init": [
        "gauss",
        0,
        "grid",
        "grid:side=1,x=0,y=1",
        "grid:side=9,x=1,y=1",
        "grid:side=9,x=0,y=10_000",
    ],
    "init_scale": [0, -1, math.inf, 10**400],
    "bias": [0, 1, "true"],
    "loss": ["mse", 1],
    "prime_offset": [-1e-300, math.nan],
    "order": ["shuffle!", "blocked:0", ["random"]],
    "batch": [0, -1, 2.5, True, "all", 10**6],
    "reduction": ["avg"],
    "lr": [0, -0.0, -1, math.nan, math.inf, True, "0.1", [0.1], {}, 10**400, 1e7],
    "schedule": ["step:every=0,factor=1", "cosine:warmup=x", "step", 5],
    "momentum": [1, -0.1, 2],
    "weight_decay": [-1, math.inf],
    "tolerance": [0, 0.51],
    "collapse": [0, 1, -1],
    "eval_every": [0, 2**32, 1.5, True],
    "stop": ["never"],
    "dtype": ["float16", 64],
    "updates": [0, -1, 1.5, True, "9", 10**13],
    "learning_rates": [1],
    "x\ny\0": [1],
}


@given(sweeps(), st.data())
def test_any_single_mistake_is_one_line_that_names_its_key(
    data: dict[str, Any], more: st.DataObject
) -> None:
    key = more.draw(st.sampled_from(list(BAD)))
    value = more.draw(st.sampled_from(BAD[key]))
    if key == "updates":  # right in [setup], for the grids that are not given the mistake
        data["setup"].pop("epochs", None)
        data["setup"]["updates"] = 999
    for table in data["grid"]:
        table.pop(key, None)
        if key == "updates":
            table.pop("epochs", None)
    known = key in Setup.model_fields and key != "collapse"
    if data["grid"] and known and more.draw(st.booleans()):
        data["grid"][0][key] = [value, value]
    else:
        data["setup"][key] = value
    with pytest.raises(SweepError) as caught:
        Sweep.from_dict(data, "x.toml")
    (line,) = caught.value.lines
    where = text_module.plain(key)
    assert line.startswith(
        (f"x.toml: setup.{where}: ", f"x.toml: grid.{where}: ", f"x.toml: grid[1].{where}: ")
    )
    assert line.isprintable()


@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "ignore"))
)
def test_any_text_is_a_sweep_or_a_sweep_error(text: str) -> None:
    for whole in (text, HEAD + text, f"{HEAD}updates = 9\nlr = {text}"):
        try:
            Sweep.from_text(whole, "any.toml")
        except SweepError as error:
            assert all(line.isprintable() for line in error.lines)  # noqa: PT017


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_setting_is_read_or_refused(key: str, value: str) -> None:
    for setting in (key, f"{key}={value}", f"order={value}", f"lr={value}"):
        try:
            over(setting)
        except SweepError as error:
            assert all(line.isprintable() for line in error.lines)  # noqa: PT017


@given(st.binary(max_size=60))
def test_any_bytes_are_a_file_or_a_sweep_error(raw: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(raw)
        file.flush()
        with pytest.raises(SweepError):
            Sweep.from_toml(file.name)


@given(st.text() | st.integers() | st.floats(allow_nan=False) | st.lists(st.booleans()))
def test_toml_values_read_back(value: Any) -> None:
    if isinstance(value, str):
        value = value.encode("utf-8", "ignore").decode()  # TOML has no lone surrogates
    back = toml_text.read_toml(f"x = {toml_text.toml(value)}")["x"]
    assert back == value


def test_importing_the_spec_is_light() -> None:
    import subprocess

    code = "import sys, fastbp.config.setup; print([m for m in ('pandas', 'pyarrow', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
