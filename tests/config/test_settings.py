"""`--set KEY=VALUE` over a sweep file."""

from operator import attrgetter

import pytest
from sweep_texts import HEAD, line_of, over

PLAIN = HEAD + "updates = 9"
GRID = PLAIN + "\n[grid]\nlr = [0.1, 0.2]\norder = ['random', 'cyclic']"
GRIDS = HEAD + "[[grid]]\nupdates = [3]\nlr = [1]\n[[grid]]\nlr = [2]\nupdates = [3]"


@pytest.mark.parametrize(
    ("text", "settings", "keys", "setups"),
    [
        # A value replaces the key everywhere.
        (
            GRID,
            ["lr=0.5", "order = shuffled", "batch=full"],
            "lr order batch",
            [(0.5, "shuffled", "full")],
        ),
        (
            GRID,
            ["epochs=3", "order=blocked:2", "lr=1"],
            "updates epochs order lr",
            [(None, 3, "blocked:2", 1)],
        ),
        (PLAIN, ["schedule=step:every=2,factor=0.5"], "schedule", ["step:every=2,factor=0.5"]),
        (PLAIN, ["problem=table:0110"], "problem", ["table:0110"]),
        (PLAIN, ['problem="table:0110"'], "problem", ["table:0110"]),
        (PLAIN, ["bias=false"], "bias", [False]),
        # A list is a grid; a shell takes quotes away.
        (
            GRID,
            ["lr=[0.3,0.4]", 'order=["shuffled"]', "momentum=[0, 0.5]"],
            "lr order momentum",
            [(lr, "shuffled", momentum) for lr in (0.3, 0.4) for momentum in (0, 0.5)],
        ),
        (PLAIN, ["lr=[0.3,0.4]"], "lr", [0.3, 0.4]),
        (PLAIN, ["order=[random, blocked:3]"], "order", ["random", "blocked:3"]),
        (GRIDS, ["epochs=[1,2]"], "lr epochs", [(1, 1), (1, 2), (2, 1), (2, 2)]),
        # The later of two settings wins.
        (GRID, ["lr=[1,2]", "lr=3", "order=cyclic"], "lr", [3]),
        (GRID, ["lr=3", "lr=[1,2]", "order=cyclic"], "lr", [1, 2]),
        (GRID, ["epochs=5", "order=cyclic", "lr=1"], "budget", [40]),
        # An integer is one layer, and a list in a list is layers.
        (PLAIN, ["hidden=[5]"], "hidden", [(5,)]),
        (PLAIN, ["hidden=5"], "hidden", [(5,)]),
        (PLAIN, ["hidden=[4, 8]"], "hidden", [(4,), (8,)]),
        (PLAIN, ["hidden=[[8, 8]]"], "hidden", [(8, 8)]),
        (PLAIN, ["hidden=[4, 8, [8, 8]]"], "hidden", [(4,), (8,), (8, 8)]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and "=" in str(value[0]) else "",
)
def test_setups_with_settings(
    text: str, settings: list[str], keys: str, setups: list[object]
) -> None:
    assert list(map(attrgetter(*keys.split()), over(*settings, text=text).setups)) == setups


def test_one_setup_that_is_left_is_the_baseline() -> None:
    sweep = over("lr=0.5", "order = shuffled")
    assert sweep.setups == (sweep.baseline,)


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
        ("lr=1\n" + "a." * 30 + "a=1", "--set lr: nested too deeply"),
        ("lr={" + "a." * 30 + "a=1}", "--set lr: nested too deeply"),
        ("lr=" + "1" * 5000, "--set lr: given an integer of more than 4,300 digits"),
        ("batch=64", "--set batch: given 64, allowed: at most the 8 rows"),
        ("order=shufled", "--set order: given 'shufled', "),
    ],
)
def test_wrong_settings(setting: str, said: str) -> None:
    assert line_of(HEAD + "updates = 9\n[grid]\nlr = [0.1, 0.2]", settings=[setting]).startswith(
        said
    )


def test_both_budgets_set_are_a_mistake():
    line = line_of(HEAD + "updates = 9", settings=["updates=5", "epochs=5"])
    assert line == "--set epochs: given together with --set updates, allowed: only one of the two"
