"""Any sweep reads back as it was written, and any mistake is one line."""

import math
import tempfile
from typing import Any

import pytest
from hypothesis import given, strategies as st
from sweep_texts import HEAD, made_or_told, mistakes_of, over

from fastbp import Setup, Sweep, SweepError
from fastbp.choices.families import FAMILIES
from fastbp.config import toml_text
from fastbp.schema import paper_figures, text as text_module
from fastbp.schema.keys import KEYS

SCHEDULES = ["cosine:", "linear:", "inverse:3,", "step:every=2,factor=.3,", "exponential:factor=1,"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "problem": st.sampled_from(["xor", "table:0110", "table:11101011", "parity:3", "encoder:4"]),
    "scale_inputs": st.sampled_from(["none", "standard", "minmax"]),
    "target_margin": st.floats(0, 0.5, exclude_max=True),
    "hidden": st.lists(st.integers(1, 50), min_size=1, max_size=4),
    "init": st.sampled_from(
        ["normal", "uniform", "glorot-normal", "glorot-uniform", "grid:x=1,side=3,y=0,origin=0"]
    ),
    "init_scale": st.floats(0, 1e6, exclude_min=True),
    "bias": st.booleans(),
    "loss": st.sampled_from(list(FAMILIES["loss"].choices)),
    "prime_offset": st.floats(0, 1e6) | st.integers(0, 3),
    "order": st.sampled_from(["random", "shuffled", "cyclic", "blocked:3", "blocked:K=12"]),
    "batch": st.integers(1, 4) | st.just("full"),
    "reduction": st.sampled_from(["sum", "mean"]),
    "lr": st.floats(0, 1e6, exclude_min=True) | st.integers(1, 100),
    "schedule": st.builds(
        "{}{}".format, st.sampled_from(SCHEDULES),
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
        "source": TITLES.filter(bool),
        "figure": st.sampled_from(paper_figures.FIGURES),
        "value": st.floats(0, 1),
        "runs": st.integers(1, 10**9),
    },
    optional={
        "rounded": st.floats(0, 1, exclude_min=True),
        "plus_minus": st.floats(0, 1e12),
        "evaluated": st.sampled_from(["after", "before"]),
    },
)


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
    return {
        "title": draw(TITLES),
        "seeds": draw(SEEDS),
        "setup": setup,
        "grid": tables,
        "published": [one | {"where": where} for one in draw(st.lists(FIGURES, max_size=2))],
    }


@given(sweeps())
def test_any_sweep_reads_back_as_it_was_written(data: dict[str, Any]) -> None:
    sweep = Sweep.from_dict(data)
    text = sweep.to_toml()
    again = Sweep.from_text(text)
    assert (again, again.baseline, again.setups) == (sweep, sweep.baseline, sweep.setups)
    assert again.to_toml() == text
    ids = [setup.identity(1) for setup in sweep.setups]
    assert (len(set(ids)), [setup.identity(1) for setup in again.setups]) == (len(ids), ids)
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
    if data["grid"] and (key in KEYS and key != "collapse") and more.draw(st.booleans()):
        data["grid"][0][key] = [value, value]
    else:
        data["setup"][key] = value
    line, *others = mistakes_of(Sweep.from_dict, data, "x.toml")
    assert all("below the" in other for other in others), "it has as many parameters as the network"
    where = text_module.plain(key)
    assert line.startswith(
        (f"x.toml: setup.{where}: ", f"x.toml: grid.{where}: ", f"x.toml: grid[1].{where}: ")
    )


@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "ignore"))
)
def test_any_text_is_a_sweep_or_a_sweep_error(text: str) -> None:
    for whole in (text, HEAD + text, f"{HEAD}updates = 9\nlr = {text}"):
        made_or_told(Sweep.from_text, whole, "any.toml")


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_setting_is_read_or_refused(key: str, value: str) -> None:
    for setting in (key, f"{key}={value}", f"order={value}", f"lr={value}"):
        made_or_told(over, setting)


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
    assert toml_text.read_toml(f"x = {toml_text.toml(value)}")["x"] == value
