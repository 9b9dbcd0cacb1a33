"""`--set KEY=VALUE` over a sweep file."""

import pytest
from sweep_texts import HEAD, line_of, over

from fastbp.config.setup import Setup


def test_a_value_replaces_the_key_everywhere() -> None:
    sweep = over("lr=0.5", "order = shuffled", "batch=full")
    assert [(s.lr, s.order, s.batch) for s in sweep.setups] == [(0.5, "shuffled", "full")]
    assert sweep.baseline == sweep.setups[0]
    assert over("epochs=3", "order=blocked:2", "lr=1").setups == (
        Setup(problem="table:11101011", epochs=3, order="blocked:2", lr=1),
    )
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


@pytest.mark.parametrize(
    ("setting", "networks"),
    {
        "hidden=[5]": [(5,)],
        "hidden=5": [(5,)],
        "hidden=[4, 8]": [(4,), (8,)],
        "hidden=[[8, 8]]": [(8, 8)],
        "hidden=[4, 8, [8, 8]]": [(4,), (8,), (8, 8)],
    }.items(),
)
def test_layers_in_a_setting(setting: str, networks: list[tuple[int, ...]]) -> None:
    plain = HEAD + "updates = 9"
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


def test_both_budgets_set_are_a_mistake():
    line = line_of(HEAD + "updates = 9", settings=["updates=5", "epochs=5"])
    assert line == "--set epochs: given together with --set updates, allowed: only one of the two"
