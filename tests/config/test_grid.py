"""Short forms of a grid's lists."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp.config.sweep import Sweep
from fastbp.schema.errors import SweepError

SETUP = {"problem": "xor", "epochs": 10}


def values(key: str, value: object) -> list[Any]:
    return list(Sweep(seeds=1, setup=SETUP, grid={key: value}).grid[0][key])


@given(st.floats(1e-5, 1e5), st.floats(1.5, 1e3), st.integers(2, 40))
def test_a_log_series_is_numpys_to_three_digits(low: float, ratio: float, count: int) -> None:
    high = min(low * ratio, 1e6)
    found = values("lr", {"from": low, "to": high, "count": count, "spaced": "log"})
    assert (found[0], found[-1]) == (low, high)
    assert found == sorted(set(found))
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
def test_what_is_no_series_gets_one_line(key: str, value: dict[str, object]) -> None:
    with pytest.raises(SweepError) as caught:
        values(key, value)
    (line,) = caught.value.lines
    assert line.startswith(f"grid.{key}: given {{")
    assert ", allowed: a " in line
    assert "\n" not in line


def test_a_mistake_in_a_series_over_the_file_names_where_it_is() -> None:
    with pytest.raises(
        SweepError, match=r"--set lr: given \{from = 1\}, allowed: a list or \{from = A"
    ):
        Sweep.from_dict({"seeds": 1, "setup": SETUP}, settings=["lr={from = 1}"])
