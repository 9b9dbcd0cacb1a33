"""All setups of a sweep's grids, and the short forms of their lists."""

import time
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from commands import spied
from hypothesis import given, strategies as st
from sweep_texts import HEAD, line_of, lines_of, mistakes_of

from fastbp import Setup, Sweep, SweepError
from fastbp.choices import problems
from fastbp.config import grid, short_forms

SETUP = {"problem": "xor", "epochs": 10}


def values(key: str, value: object) -> list[Any]:
    return list(Sweep(seeds=1, setup=SETUP, grid={key: value}).grid[0][key])


@given(st.floats(1e-5, 1e5), st.floats(1.5, 1e3), st.integers(2, 40))
def test_a_log_series_is_numpys_to_three_digits(low: float, ratio: float, count: int) -> None:
    high = min(low * ratio, 1e6)
    found = values("lr", {"from": low, "to": high, "count": count, "spaced": "log"})
    assert (found[0], found[-1], found) == (low, high, sorted(set(found)))
    if len(found) == count:
        np.testing.assert_allclose(found, np.geomspace(low, high, count), rtol=5.1e-3)
    assert all(value == float(f"{value:.3g}") for value in found[1:-1])


@given(st.floats(0, 0.4), st.floats(0.5, 0.99), st.integers(2, 40))
def test_a_plain_series_is_numpys_to_a_hundredth_of_a_step(
    low: float, high: float, count: int
) -> None:
    found = values("momentum", {"from": low, "to": high, "count": count})
    np.testing.assert_allclose(
        found, np.linspace(low, high, count), atol=(high - low) / (count - 1) / 100
    )
    assert (found[0], found[-1]) == (low, high)


def test_whole_numbers_are_rounded_and_do_not_repeat() -> None:
    assert values("epochs", {"from": 1, "to": 10, "count": 8, "spaced": "log"}) == [
        1,
        2,
        3,
        4,
        5,
        7,
        10,
    ]
    assert values("batch", {"from": 1, "to": 4, "count": 4}) == [1, 2, 3, 4]


def test_networks_are_every_width_at_every_depth() -> None:
    layers = [(2,), (4,), (2, 2), (4, 4)]
    assert values("hidden", {"width": [2, 4], "depth": [1, 2]}) == layers
    series = {"from": 2, "to": 4, "count": 2, "spaced": "log"}
    assert values("hidden", {"width": series, "depth": {"from": 1, "to": 2, "count": 2}}) == layers
    assert values("hidden", {"width": 3, "depth": 2}) == [(3, 3)]


def test_a_series_is_what_its_list_is() -> None:
    text = 'seeds = 1\n[setup]\nproblem = "xor"\nepochs = 1\n'
    short = Sweep.from_text(
        text + "[grid]\nlr = {from = 1, to = 9, count = 3}\nhidden = {width = [1, 2], depth = 2}\n"
    )
    assert short == Sweep.from_text(text + "[grid]\nlr = [1, 5, 9]\nhidden = [[1, 1], [2, 2]]\n")
    assert Sweep.from_text(short.to_toml()) == short
    over = Sweep.from_text(
        text, settings=["lr={from = 1, to = 9, count = 3}", "hidden={width = [1, 2], depth = 2}"]
    )
    assert over.setups == short.setups


WRONG = [
    ("lr", {"from": 0, "to": 1, "count": 3, "spaced": "log"}),
    ("lr", {"from": 1, "to": 1, "count": 3}),
    ("lr", {"from": 1, "to": 2}),
    ("lr", {"from": 1, "to": 2, "count": 1}),
    ("lr", {"from": 1, "to": 2, "count": 2.5}),
    ("lr", {"from": 1, "to": 2, "count": float("nan")}),
    ("lr", {"from": 1, "to": 2, "count": 1001}),
    ("lr", {"from": 1, "to": float("inf"), "count": 3}),
    ("lr", {"from": 1, "to": 10**400, "count": 3}),
    ("lr", {"from": "a", "to": 2, "count": 3}),
    ("lr", {"from": True, "to": 2, "count": 3}),
    ("lr", {"from": 1, "to": 2, "count": 3, "spaced": "even"}),
    ("lr", {"from": 1, "to": 2, "count": 3, "steps": 3}),
    ("momentum", {"from": 0, "to": 5e-324, "count": 1000}),
    ("lr", {}),
    ("hidden", {"width": [2]}),
    ("hidden", {"width": [2], "depth": []}),
    ("hidden", {"width": ["a"], "depth": [1]}),
    ("hidden", {"width": 0, "depth": 1}),
    ("hidden", {"width": 2, "depth": 2**70}),
    ("hidden", {"width": {"from": 1}, "depth": 1}),
    ("order", {"from": 1, "to": 2, "count": 3}),
]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=str)
def test_a_wrong_series_gets_one_line(key: str, value: dict[str, object]) -> None:
    (line,) = mistakes_of(values, key, value)
    assert line.startswith(f"grid.{key}: given {{")
    assert ", allowed: a " in line


def test_a_mistake_in_a_series_over_the_file_names_where_it_is() -> None:
    with pytest.raises(
        SweepError, match=r"--set lr: given \{from = 1\}, allowed: a list or \{from = A"
    ):
        Sweep.from_dict({"seeds": 1, "setup": SETUP}, settings=["lr={from = 1}"])


def test_no_grid_is_the_baseline_alone() -> None:
    sweep = Sweep.from_text(HEAD + "updates = 9")
    assert (sweep.setups, Sweep.from_text(HEAD + "updates = 9\n[grid]").setups) == (
        (sweep.baseline,),
        sweep.setups,
    )


@pytest.mark.parametrize(
    ("grid", "keys", "setups"),
    [
        pytest.param(
            "[grid]\nmomentum = [0, 0.5, 0.0]\nlr = [1, 2, 1.0]",
            "momentum lr",
            [(0, 1), (0, 2), (0.5, 1), (0.5, 2)],
            id="the last key is fastest and repeats are dropped",
        ),
        pytest.param(
            "[[grid]]\nlr = [0.1, 0.2]\n[[grid]]\nlr = [0.2]\nmomentum = [0.0, 0.9]",
            "lr momentum",
            [(0.1, 0), (0.2, 0), (0.2, 0.9)],
            id="a union of grids",
        ),
        pytest.param(
            '[grid]\nbatch = [1, "full"]\norder = ["random", "shuffled"]',
            "batch resolved_order",
            [(1, "random"), (1, "shuffled"), ("full", "cyclic")],
            id="orders of a full batch are one setup",
        ),
        pytest.param(
            "[grid]\nepochs = [3, 4]",
            "epochs updates budget",
            [(3, None, 24), (4, None, 32)],
            id="a budget takes the other one's place",
        ),
        pytest.param(
            "[[grid]]\nepochs = [3]\n[[grid]]\nupdates = [4]\n[[grid]]",
            "budget",
            [24, 4, 9],
            id="budgets of several grids",
        ),
    ],
)
def test_setups_of_a_grid(grid: str, keys: str, setups: list[object]) -> None:
    sweep = Sweep.from_text(f"{HEAD}updates = 9\n{grid}")
    assert list(map(attrgetter(*keys.split()), sweep.setups)) == setups
    assert len({setup.identity(1) for setup in sweep.setups}) == len(setups)


def test_layers_in_a_grid() -> None:
    sweep = Sweep.from_text(HEAD + "hidden = [8, 8]\nupdates = 9\n[grid]\nhidden = [4, 8, [8, 8]]")
    assert [s.hidden for s in sweep.setups] == [(4,), (8,), (8, 8)]
    assert sweep.baseline is not None
    assert sweep.baseline.hidden == (8, 8)


def test_a_grid_may_complete_or_correct_the_setup() -> None:
    sweep = Sweep.from_dict({"seeds": 1, "grid": {"problem": ["xor"], "updates": [9]}})
    assert sweep.baseline is None
    assert len(sweep.setups) == 1
    sweep = Sweep.from_text(
        HEAD + "batch = 16\nupdates = 9\n[grid]\nproblem = ['parity:4', 'parity:5']"
    )
    assert sweep.baseline is None
    assert [s.rows for s in sweep.setups] == [16, 32]


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


def test_too_large_a_grid_is_refused_at_once() -> None:
    begun = time.process_time()
    tens = [i / 10 for i in range(1, 11)]
    text = f"updates = 9\n[grid]\nupdates = {list(range(1, 1001))}\n"
    for key in ("lr", "init_scale", "prime_offset", "weight_decay"):
        text += f"{key} = {tens}\n"
    assert (
        line_of(HEAD + text) == "bad.toml: grid: given 10,000,000 setups, allowed: at most 100,000"
    )
    assert [line.partition(",")[0] for line in lines_of(HEAD + text + "momentum = [0, 1]")] == [
        "bad.toml: grid.momentum: given 1",
        "bad.toml: grid: given 20",
    ]
    with pytest.raises(SweepError, match="given 1,000,000,000,000 setups"):
        Sweep(seeds=1, setup={"problem": "xor"}, grid={"updates": range(10**12)})
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "text",
    [
        'problem = ["table:????????"]',
        "hidden = {width = [1, 2, 3, 4], depth = {from = 1, to = 16, count = 16}}",
        "lr = {from = 1, to = 2, count = 10}\nmomentum = {from = 0.1, to = 0.2, count = 20}",
    ],
)
def test_short_forms_of_many_grids_are_not_all_expanded(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = spied(monkeypatch, grid, "listed")
    monkeypatch.setattr(grid, "MAX_EXPANDED", 1000)
    text = f"{HEAD}updates = 9\n" + f"[[grid]]\n{text}\n" * 2000
    assert line_of(text) == (
        "bad.toml: grid: given more than 1,000 values, allowed: at most 100,000 setups"
    )
    assert made.call_count < 100


def problems_of(sweep: Sweep) -> list[str]:
    return [setup.problem for setup in sweep.setups]


def test_unknown_bits_in_a_grid_are_both() -> None:
    text = "seeds = 1\n[setup]\nupdates = 9\n[grid]\nproblem = "
    every = [f"table:{number:08b}" for number in range(256)]
    whole = Sweep.from_text(text + '["table:????????"]')
    assert problems_of(whole) == problems_of(Sweep.from_text(whole.to_toml())) == every
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
            "bits must be 0 or 1, or in a grid ? for both (up to 16 of them), given '??2?'",
        ),
        (
            "?" * 32,
            f"bits must be 0 or 1, or in a grid ? for both (up to 16 of them), given '{'?' * 32}'",
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


def test_long_tables_with_unknown_bits_are_not_all_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 65 kB would take gigabytes."""
    monkeypatch.setattr(short_forms, "MAX_BITS", 100)
    said = "tables for ? that have at most 100 bits together"
    text = f"{HEAD}updates = 9\n" + "[[grid]]\nproblem = ['table:???00000']\n" * 2
    assert line_of(text) == f"bad.toml: grid[2].problem: given 'table:???00000', allowed: {said}"
    assert line_of(HEAD + "updates = 9", settings=["problem=table:????0000"]) == (
        f"--set problem: given 'table:????0000', allowed: {said}"
    )


def test_an_unknown_bit_of_one_setup_is_a_mistake() -> None:
    for line in (
        line_of("seeds = 1\n[setup]\nproblem = 'table:1?'\nupdates = 9"),
        *mistakes_of(Setup, problem="table:1?", updates=9),
    ):
        assert line.endswith(
            "bits must be 0 or 1, or in a grid ? for both (up to 16 of them), given '1?'"
        )


def test_ends_of_a_series_may_be_whole_numbers_beyond_64_bits():
    series = {"from": 1, "to": 10**26, "count": 3}
    assert short_forms.numbers(series, False) == [1, 5e25, 10**26]
    assert short_forms.numbers(series | {"spaced": "log"}, False) == [1, 1e13, 10**26]


def test_a_problem_that_is_listed_again_and_again_is_made_a_few_times(monkeypatch):
    made = spied(monkeypatch, problems, "_bits")
    assert (
        len(Sweep(seeds=1, setup={"epochs": 1}, grid={"problem": ["parity:11"] * 50}).setups) == 1
    )
    assert made.call_count <= 2
