"""The seeds of a sweep and of its grids."""

import re
from pathlib import Path
from typing import Any

import pytest
from sweep_texts import HEAD, line_of

from fastbp.config.sweep import Seeds, Sweep

OF_SEEDS = (HEAD + "updates = 9").replace("seeds = 10", "seeds = {start = 100, count = 5}")


@pytest.mark.parametrize(
    ("text", "given", "seeds"),
    [
        (OF_SEEDS, None, Seeds(start=100, count=5)),
        (OF_SEEDS, 7, Seeds(start=100, count=7)),
        (OF_SEEDS, "7_000", Seeds(start=100, count=7000)),
        (OF_SEEDS, Seeds(count=2), Seeds(count=2)),
        (OF_SEEDS.partition("\n")[2], 3, Seeds(count=3)),
    ],
)
def test_seeds_over_a_file(text: str, given: object, seeds: Seeds) -> None:
    assert Sweep.from_text(text, seeds=given).seeds == seeds


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("0", "0, allowed: an integer from 1"),
        ("1" * 5000, "'1111"),
        ("many", "'many', "),
        (2**63, "9223372036854775808, "),
    ],
    ids=["none", "digits", "words", "large"],
)
def test_seeds_that_are_none(given: object, told: str) -> None:
    assert line_of(OF_SEEDS, seeds=given).startswith(f"--seeds: given {told}")


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
    assert ({sweep.seeds_of(setup).start for setup in sweep.setups}, sweep.all_seeds) == (
        {5},
        Seeds(start=5, count=1000),
    )
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
        assert (Sweep.from_text(text), counts(Sweep.from_text(text))) == (sweep, counts(sweep))
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


@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "true", '"many"', "[3]", "{start = 1, count = 3}", str(2**63 + 1)]
)
def test_wrong_seeds_of_a_grid(value: str):
    assert re.fullmatch(
        r"bad.toml: grid.seeds: given .*, allowed: an integer from 1; the first seed is "
        r"the sweep's",
        line_of(HEAD + f"updates = 9\n[grid]\nlr = [0.1, 0.2]\nseeds = {value}"),
    )
    several = HEAD + f"updates = 9\n[[grid]]\nlr = [0.1, 0.2]\n[[grid]]\nseeds = {value}"
    assert line_of(several).startswith("bad.toml: grid[2].seeds: given ")
