"""What a sweep file says of others' results: what is allowed, what each mistake says, and which
setups a figure is of."""

import tomllib
from typing import Any

import pytest
from sweep_texts import mistakes_of

from fastbp.config.protocols import Published
from fastbp.config.sweep import Sweep
from fastbp.schema.paper_figures import MAX_COMPARED, MAX_FIGURES

SETUP = {"problem": "xor", "hidden": [2], "batch": "full", "lr": 7, "epochs": 20}
MEAN = {"source": "Hamey 1992", "figure": "mean", "value": 50, "runs": 10_000}


def sweep(
    *published: Any, grid: dict[str, Any] | None = None, settings: list[str] | None = None
) -> Sweep:
    data = {"seeds": 10, "setup": SETUP, "grid": grid or {}, "published": list(published)}
    return Sweep.from_dict(data, "bad.toml", settings=settings or [])


def test_a_figure_is_kept_as_it_was_written_and_changes_no_identity() -> None:
    plain, told = sweep(), sweep(MEAN | {"value": 50.0, "runs": 1e4, "where": {"lr": 7.0}})
    assert told.published == (Published(**MEAN, where={"lr": 7}),)
    assert [s.identity() for s in told.setups] == [s.identity() for s in plain.setups]
    assert Sweep.from_text(told.to_toml()) == told
    assert (
        Sweep(seeds=10, setup=SETUP, published=[MEAN]).published
        == Sweep(seeds=10, setup=SETUP, published=MEAN).published
    )
    assert sweep(*told.published) == told, "from Python a figure may be one that was read"


def test_a_figure_is_of_the_setups_that_have_its_keys() -> None:
    figures = [
        MEAN,
        MEAN | {"where": {"lr": 7.0, "hidden": [2]}},
        MEAN | {"where": {"lr": 3, "bias": True}},
    ]
    found = sweep(*figures, grid={"lr": [3, 7], "hidden": [2, 4]})
    ids = {(s.lr, s.hidden[0]): s.identity() for s in found.setups}
    resolved = tomllib.loads(found.to_toml("store"))["resolved"]["published"]
    assert (resolved, found.notes) == ([[*ids.values()], [ids[7, 2]], [ids[3, 2], ids[3, 4]]], [])


def test_a_figure_of_no_setup_is_worth_a_note() -> None:
    (note,) = sweep(MEAN, MEAN | {"where": {"lr": 7}}, settings=["lr=3"]).notes
    assert note == "published[2]: no setup has {lr = 7}, so this figure is left out"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"figure": "men"},
            "figure: given 'men', allowed: one of success, mean, sd, median, harmonic, "
            "efficiency, limit; ",
        ),
        ({"source": ""}, "source: given '', allowed: a text of 1 to 300 characters"),
        ({"source": "a\nb"}, "source: given 'a\\nb', allowed: printable characters"),
        ({"value": "50"}, "value: given '50', allowed: a number from 0 to 1,000,000,000,000"),
        ({"value": -1}, "value: given -1, allowed: a number from 0"),
        ({"value": float("nan")}, "value: given nan, allowed: a number from 0"),
        ({"runs": 0}, "runs: given 0, allowed: an integer from 1 to 1,000,000,000"),
        ({"runs": 2.5}, "runs: given 2.5, allowed: an integer"),
        ({"rounded": 0}, "rounded: given 0, allowed: a number > 0"),
        (
            {"evaluated": "befor"},
            "evaluated: given 'befor', allowed: one of after, before; did you mean 'before'?",
        ),
        ({"low": 3}, "low: given without high, allowed: both or neither"),
        ({"high": 3}, "high: given without low, allowed: both or neither"),
        ({"low": 60, "high": 70}, "value: given 50, allowed: from low to high, 60 to 70"),
        (
            {"low": 40, "high": 70, "plus_minus": 3},
            "plus_minus: given together with low and high, allowed: one of the two",
        ),
        (
            {"runs": None},
            "runs: not given, allowed: runs, plus_minus, or low and high, which say how "
            "certain the figure is",
        ),
        ({"figure": "success", "value": 76}, "value: given 76, allowed: a share from 0 to 1"),
        ({"value": None}, "value: not given, allowed: a number from 0"),
        ({"figure": None}, "figure: not given, allowed: one of success"),
        (
            {"wher": {}},
            "wher: unknown key, allowed: source, figure, value, rounded, runs, plus_minus, "
            "low, high, evaluated, where; ",
        ),
        ({"where": 3}, "where: given 3, allowed: a table of keys of a setup"),
        ({"where": {"lrr": 3}}, "where.lrr: unknown key, allowed: problem, targets"),
        ({"where": {"lr": 0}}, "where.lr: given 0, allowed: a number > 0"),
    ],
)
def test_one_mistake_is_one_line(keys: dict[str, Any], said: str) -> None:
    table = {key: value for key, value in (MEAN | keys).items() if value is not None}
    (line,) = mistakes_of(sweep, MEAN, table)
    assert line.startswith(f"bad.toml: published[2].{said}")


@pytest.mark.parametrize("value", [3, [3], [MEAN, "x"], [MEAN] * (MAX_FIGURES + 1)])
def test_values_that_are_no_tables(value: Any) -> None:
    (line,) = mistakes_of(Sweep, seeds=10, setup=SETUP, published=value)
    assert line.startswith("published: given ")
    assert line.endswith(", allowed: tables, [[published]], at most 1,000")


def test_figures_of_very_many_setups_are_refused() -> None:
    grid = {"lr": {"from": 1, "to": 9, "count": 101}}
    some = MEAN | {"where": {"lr": 1}}
    assert MAX_COMPARED == 10_000
    sweep(*[MEAN] * 99, some, grid=grid)
    (line,) = mistakes_of(sweep, *[MEAN] * 99, *[some] * 900, grid=grid)
    assert (
        line == "bad.toml: published: given figures for 10,001 setups or more together, allowed: "
        "at most 10,000"
    )


def test_all_mistakes_are_reported_at_once() -> None:
    data = {
        "seeds": 0,
        "setup": SETUP | {"lr": -1},
        "published": [MEAN | {"figure": "x", "runs": 0}, {"source": "y"}],
    }
    places = [line.split(":")[0] for line in mistakes_of(Sweep.from_dict, data)]
    wrong = [
        f"published[{i}].{key}"
        for i, key in ((1, "figure"), (1, "runs"), (2, "figure"), (2, "value"))
    ]
    assert sorted(places) == sorted(["seeds", "setup.lr", *wrong])
