"""Any sweep file at all: a right one runs and its store says what it was, a mistake ends with 2 and
a line that names its key."""

import re
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, given, settings, strategies as st
from numba import config

import fastbp
from fastbp import Sweep
from fastbp.config.toml_text import toml
from fastbp.engine.plan import Plan
from fastbp.store.store import Store
from fastbp.sweep import main

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "problem": st.sampled_from(["xor", "table:01", "parity:3", "encoder:3"]),
    "scale_inputs": st.sampled_from(["none", "standard", "minmax"]),
    "target_margin": st.floats(0, 0.4),
    "hidden": st.lists(st.integers(1, 4), min_size=1, max_size=3),
    "init": st.sampled_from(["normal", "uniform", "glorot-normal", "glorot-uniform"]),
    "init_scale": st.floats(0.01, 10),
    "bias": st.booleans(),
    "loss": st.sampled_from(["squared", "cross-entropy"]),
    "prime_offset": st.floats(0, 1),
    "order": st.sampled_from(["random", "shuffled", "cyclic", "blocked:3"]),
    "batch": st.integers(1, 2) | st.just("full"),
    "reduction": st.sampled_from(["sum", "mean"]),
    "lr": st.floats(0.01, 10),
    "schedule": st.sampled_from(
        ["constant", "cosine", "linear:warmup=2", "inverse:tau=3", "step:every=2,factor=0.3"]
    ),
    "momentum": st.floats(0, 0.99),
    "weight_decay": st.floats(0, 0.1),
    "tolerance": st.floats(0.01, 0.5),
    "eval_every": st.integers(1, 20),
    "stop": st.sampled_from(["budget", "converged"]),
    "dtype": st.sampled_from(["float64", "float32"]),
}
BUDGETS = {"updates": st.integers(30, 60), "epochs": st.integers(3, 20)}

BAD = {
    "problem": ["xr", "parity:60", "table:011"],
    "hidden": [[], [0], [10**9], "4"],
    "init": ["gauss"],
    "bias": [1],
    "order": ["shufled"],
    "batch": [0, -1, True, 10**6],
    "lr": [0, -1, True, "0.1", 10**400, float("nan"), float("inf")],
    "schedule": ["step:every=0,factor=1", "cosine:warmup=10_000"],
    "momentum": [1, -0.1],
    "tolerance": [0, 0.6],
    "dtype": ["float16"],
    "lrr": [0.1],
}


@st.composite
def sweeps(draw: st.DrawFn) -> Sweep:
    budget = draw(st.sampled_from(list(BUDGETS)))
    keys = draw(st.sets(st.sampled_from(list(VALUES)))) | {"problem"}
    setup = {key: draw((VALUES | BUDGETS)[key]) for key in sorted(keys | {budget})}
    crossed = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=2, unique=True))
    grid = {key: draw(st.lists(VALUES[key], min_size=1, max_size=2)) for key in crossed}
    own = draw(st.sampled_from([{}, {"seeds": 1}, {"seeds": 3}]))
    return Sweep(seeds=draw(st.integers(1, 3)), setup=setup, grid=[grid | own, {}] if own else grid)


def command(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    return code, out.getvalue(), err.getvalue()


@settings(
    max_examples=5 if config.DISABLE_JIT else 20,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(sweeps())
def test_a_right_sweep_runs_and_its_store_says_what_it_was(sweep: Sweep) -> None:
    if config.DISABLE_JIT:
        code, out, err = command_on(sweep.to_toml(), "--dry-run")
        assert (code, out != "") == (0, True), err
        return
    with tempfile.TemporaryDirectory() as folder:
        frame = fastbp.run(sweep, folder)
        assert (len(frame), Sweep.from_toml(Path(folder, "sweep.toml"))) == (sweep.runs, sweep)
        assert Plan(sweep, Store(folder).present()).runs == 0
        again = fastbp.run(sweep)
    pd.testing.assert_frame_equal(
        *(rows.drop(columns="outputs").astype(object) for rows in (frame, again))
    )


def command_on(text: str, *options: str) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mine.toml")
        file.write_text(text)
        done = command(str(file), "-o", str(Path(folder, "store")), *options)
        assert list(Path(folder).iterdir()) == [file]
    return done


@settings(max_examples=50)
@given(sweeps(), st.data())
def test_a_mistake_ends_with_2_and_names_its_key(sweep: Sweep, more: st.DataObject) -> None:
    key = more.draw(st.sampled_from(list(BAD)))
    line = f"{key} = {toml(more.draw(st.sampled_from(BAD[key])))}\n"
    text = re.sub(rf"^{key} = .*\n", "", sweep.to_toml(), flags=re.MULTILINE)
    code, out, err = command_on(text.replace("[setup]\n", "[setup]\n" + line))
    assert (code, out) == (2, "")
    # A line for each setup in which it is another mistake.
    assert re.fullmatch(rf"(fastbp: .*mine\.toml: setup\.{key}: .*\n)+", err)
