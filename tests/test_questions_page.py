"""The pages of the questions and of the Circle networks: their rules, and that tables give them."""

import sys
from runpy import run_path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_circles
from sklearn.preprocessing import MinMaxScaler
from stores import CHECKOUT
from svg_texts import texts

from fastbp.analysis.statistics.paired import PointsInterval
from fastbp.config.sweep import Sweep

FOLDER = CHECKOUT / "sweeps" / "questions"
CIRCLES = CHECKOUT / "sweeps" / "circles"

sys.path.append(str(FOLDER))
import judge  # noqa: E402
import make_counts  # noqa: E402
import make_page  # noqa: E402

SEEDS = 1_000
RATE, MORE, BOTH = {"lr": 0.02}, {"updates": 1_000}, {"lr": 0.02, "updates": 1_000}
OTHER = {"hidden": 12}


def effects(counts, ways=((RATE,),), base=0, **keys):
    """A question of `SEEDS` seeds where each change fixes and breaks so many of them.

    `counts`: pairs of (keys that change, fixed or (fixed, broken)); `base`: seeds that converge as
    asked. What is made last is compared as if the seeds that a change fixes were nested.
    """
    table = {"file": "24-tens.toml", "source": "", "date": "", "network": "", "asked": ""}
    question = judge.question({**table, "ways": ways, **keys})
    fixed = {judge.AS_ASKED: (0, 0)}
    for change, n in counts:
        fixed[judge.change_of(change)] = n if isinstance(n, tuple) else (n, 0)
    steps = [*((judge.AS_ASKED, to) for to in fixed), *question.steps()]
    made = {}
    for start, to in steps:
        before, after = (base + fixed[each][0] - fixed[each][1] for each in (start, to))
        gains = fixed[to] if start == judge.AS_ASKED else (max(after - before, 0),)
        made[start, to] = judge.Counts(
            SEEDS, before, after, gains[0], gains[1] if len(gains) > 1 else max(before - after, 0)
        )
    return judge.Effects(question, made)


BOTH_WAYS = [(RATE, 100), (MORE, 300), (BOTH, 600), (OTHER, 700)]


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (effects([(RATE, (5, 5)), (OTHER, 500)]), ("no", 1)),
        (effects([(RATE, 0), (OTHER, 0)]), ("no", 1)),
        (effects([(RATE, (0, 300)), (OTHER, 0)], base=500), ("no", 1)),
        (effects([(RATE, 59), (OTHER, 600)]), ("no", 1)),  # less than a tenth
        (effects([(RATE, 61), (OTHER, 600)]), ("in part", 5)),
        (effects([(RATE, 18), (OTHER, 20)], base=980), ("in part", 2)),
        (effects([(RATE, 18), (OTHER, 20)], base=980, seed=True), ("yes", 2)),
        (effects([(RATE, 0), (OTHER, 20)], base=980, seed=True), ("no", 1)),
        (effects([(RATE, 60), (OTHER, 60)], base=940), ("yes", 4)),  # 6% of the seeds fail
        (effects([(RATE, 900)], task=True), ("in part", 3)),
        (effects([(RATE, 0)], task=True), ("no", 1)),
        (effects([(RATE, 300), (OTHER, 600)]), ("yes", 4)),
        (effects([(RATE, 299), (OTHER, 600)]), ("in part", 5)),
        (effects(BOTH_WAYS, [[RATE, MORE]]), ("yes", 4)),
        (effects(BOTH_WAYS, [[RATE, MORE]], names=["updates"]), ("yes", 4)),
        (effects(BOTH_WAYS, [[RATE, MORE]], names=["lr"]), ("in part", 5)),  # updates do most
        (effects([(RATE, 0), (MORE, 600), (BOTH, 600)], [[RATE, MORE]]), ("in part", 5)),
        # A change that does nothing by itself may be needed by the others.
        (effects([(RATE, 0), (MORE, 200), (BOTH, 600)], [[RATE, MORE]]), ("yes", 4)),
        # The better of two ways stands for the answer.
        (effects([(RATE, 0), (OTHER, 600)], [[RATE], [OTHER]]), ("yes", 4)),
    ],
)
def test_each_rule_decides(made, wanted):
    assert judge.verdict(made)[:2] == wanted


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.51])
def test_what_diverges_is_not_judged_unless_the_asker_tells_of_it(told, share):
    made = effects([(RATE, 600)], diverges=told)
    asked = judge.AS_ASKED, judge.AS_ASKED
    made.counts[asked] = made.counts[asked]._replace(diverged=share)
    unlike = share > 0.5 and not told
    assert judge.verdict(made)[:2] == (("not judged", 0) if unlike else ("yes", 4))


def test_intervals_hold_at_once():
    one, three = effects([(RATE, 60)]), effects([(RATE, 60), (MORE, 0), (OTHER, 0)])
    alone, among = (each.of(judge.change_of(RATE)) for each in (one, three))
    assert among.low < alone.low < alone.value == among.value == 0.06 < alone.high < among.high


def test_the_best_change_leaves_out_what_is_not_single_and_another_task():
    data = {"problem": "file:other.csv"}
    counts = [(RATE, 300), (MORE, 300), (BOTH, 600), (data, 900)]
    assert effects(counts).best() == judge.change_of(data)
    made = effects(counts, task=True)
    assert (made.best(), made.best(single=True)) == (judge.change_of(BOTH), judge.change_of(RATE))
    assert effects(counts, [[BOTH]]).best(single=True) == judge.change_of(data)
    assert effects(counts, [[BOTH]], task=True).best(single=True) == judge.change_of(BOTH)


@pytest.mark.parametrize(
    ("keys", "single"),
    [
        ({"lr": 1.0}, True),
        ({"optimizer": "adam", "lr": 0.01, "momentum": 0.0}, True),
        ({"init": "normal", "init_scale": 1.0}, True),
        ({"lr": 1.0, "momentum": 0.0}, False),
        ({"optimizer": "adam", "init": "normal"}, False),
    ],
)
def test_what_a_single_change_is(keys, single):
    assert effects([]).is_single(judge.change_of(keys)) is single


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"lr": 0.02}, "a higher rate"),
        ({"lr": 0.0002}, "a lower rate"),
        ({"momentum": 0.9}, "momentum"),
        ({"optimizer": "adam", "lr": 0.01}, "the optimiser"),
        ({"epochs": 50}, "the budget"),
        ({"updates": 500, "batch": 1}, "the batch"),
        ({"hidden": 12}, "more hidden units"),
        ({"hidden": 2}, "fewer hidden units"),
        ({"hidden": [3, 3]}, "the number of layers"),
        ({"init_scale": 3.0}, "the initial weights"),
        ({"output": "sigmoid", "loss": "cross-entropy", "lr": 0.01}, "the output"),
        ({"scale_inputs": "standard"}, "scale_inputs"),
        ({}, ""),
    ],
)
def test_the_kind_of_a_change(keys, kind):
    assert (
        judge.kind_of(judge.change_of(keys), {"lr": "0.002", "hidden": "3", "momentum": "0"})
        == kind
    )


NOTHING = PointsInterval(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("named", "effect", "base", "wanted"),
    [
        ({"lr": 5.0}, NOTHING, 0, "best"),  # another rate, but higher as well
        ({"epochs": 7}, NOTHING, 0, "right"),  # nine tenths
        ({"hidden": 6}, NOTHING, 0, "wrong"),
        ({"hidden": 6}, PointsInterval(0.55, 0.5, 0.6), 0, "right by its own runs"),
        ({"hidden": 6}, PointsInterval(0.3, 0.2, 0.4), 0, "wrong"),
        ({"lr": 0.0002}, NOTHING, 0, "wrong"),
        ({"order": "shuffled"}, PointsInterval(0.55, 0.5, 0.6), 0, "right"),
        ({"order": "shuffled"}, PointsInterval(0.3, 0.2, 0.4), 0, "wrong"),
        ({}, NOTHING, 0, "wrong"),
        ({"seed": "another"}, NOTHING, 0, "wrong"),
        ({"seed": "another"}, NOTHING, 390, "wrong"),
        ({"seconds": "more"}, NOTHING, 0, "wrong"),
    ],
)
def test_a_diagnosis_is_scored(named, effect, base, wanted):
    assert (
        judge.score(
            effects([(RATE, 600), (MORE, 540), (OTHER, 300)], base=base),
            judge.Diagnosed(judge.change_of(named), "", effect),
        )
        == wanted
    )


def test_a_diagnosis_where_nothing_helps_or_hardly_a_seed_fails():
    none, rate, seed = (
        judge.Diagnosed(judge.change_of(keys), "", NOTHING)
        for keys in ({}, RATE, {"seed": "another"})
    )
    useless, rare = effects([(RATE, 0)]), effects([(RATE, 20)], base=980)
    assert (judge.score(useless, none), judge.score(useless, rate)) == ("best", "wrong")
    assert (
        judge.score(useless, rate._replace(effect=PointsInterval(0.8, 0.7, 0.9)))
        == "right by its own runs"
    )
    assert (judge.score(rare, seed), judge.score(rare, rate)) == ("right", "best")


def test_changes_are_read_as_they_were_written():
    change = judge.change_of({"hidden": [8, 8], "lr": 0.02, "problem": "file:a/b.csv", "x": True})
    assert judge.written(change) == "hidden=8-8; lr=0.02; problem=b.csv; x=true"
    assert (judge.read(judge.written(change)), judge.read("")) == (change, judge.AS_ASKED)


# The files

QUESTIONS = judge.questions()


def test_every_sweep_file_has_its_answer():
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.toml")}
    assert ({each.file for each in QUESTIONS}, len(QUESTIONS)) == (files | {"../founding.toml"}, 32)
    assert sum(bool(each.ways) for each in QUESTIONS) == 24
    assert len({each.store for each in QUESTIONS}) == 32


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.name)
def test_the_grid_has_what_the_rules_compare(question):
    sweep = Sweep.from_toml(FOLDER / question.file)
    assert sweep.baseline is not None
    grid = {make_counts.difference(sweep.baseline, setup) for setup in sweep.setups}
    wanted = {judge.AS_ASKED, question.instead}
    wanted |= {each for step in question.steps() for each in step}
    wanted |= {change for way in question.ways for change in (*way, judge.together(way))}
    assert wanted <= grid
    assert question.names <= {key for way in question.ways for key, _ in judge.together(way)}


def test_runs_are_counted_in_pairs():
    question = QUESTIONS[0]
    setups = Sweep.from_toml(FOLDER / question.file).setups
    rng = np.random.default_rng(0)
    ran = {each: (rng.random(50) < 0.4) for each in setups}
    rows = pd.concat(
        pd.DataFrame(
            {
                **each.columns(),
                "setup": each.identity(),
                "seed": np.arange(50),
                "outcome": np.where(converged, "converged", "partial"),
                "converged_at": np.where(converged, 1.0, np.nan),
            }
        )
        for each, converged in ran.items()
    )
    rows.loc[(rows["setup"] == setups[0].identity()) & (rows["seed"] == 7), "outcome"] = "diverged"
    ran[setups[0]][7] = False
    counts = make_counts.counted(question, rows)
    assert len(counts) == 8 + 3
    first = make_counts.difference(Sweep.from_toml(FOLDER / question.file).baseline, setups[0])
    assert counts[judge.AS_ASKED, first].diverged == 1 / 50
    by_keys = {(each.order, each.updates, each.lr): converged for each, converged in ran.items()}
    rest = judge.change_of({"updates": 7992, "lr": 0.1})
    whole = rest | judge.change_of({"order": "shuffled"})
    for (start, to), (a, b) in {
        (judge.AS_ASKED, whole): (("random", 999, 0.2), ("shuffled", 7992, 0.1)),
        (rest, whole): (("random", 7992, 0.1), ("shuffled", 7992, 0.1)),
    }.items():
        before, after = by_keys[a], by_keys[b]
        assert counts[start, to][:5] == (
            50, before.sum(), after.sum(), (after & ~before).sum(), (before & ~after).sum()
        )  # fmt: skip
    lacking = rows[rows["setup"] != setups[0].identity()]
    with pytest.raises(SystemExit, match="no runs of 1 setups"):
        make_counts.counted(question, lacking)


def circles(name):
    """What a script of the Circle networks defines."""
    sys.path.append(str(CIRCLES))
    return run_path(str(CIRCLES / name))


@pytest.mark.parametrize("folder", ["questions", "circles"])
def test_the_page_is_what_its_tables_give(tmp_path, folder):
    results = CHECKOUT / "results" / folder
    made = make_page.files(results) if folder == "questions" else circles("make_page.py")["files"]()
    assert len(made) == (3 + 2 * len(QUESTIONS) if folder == "questions" else 2)
    for name, content in made.items():
        if name.endswith(".svg"):
            (tmp_path / "new.svg").write_bytes(content)
            assert texts(tmp_path / "new.svg") == texts(results / name), name
        else:
            assert content == (results / name).read_bytes(), name


def test_circles_are_those_of_scikit_learn():
    points, inner = circles("circles.py")["data"]()
    made, classes = make_circles(1000, noise=0.1, random_state=1)
    np.testing.assert_array_equal(points, MinMaxScaler((-1, 1)).fit_transform(made))
    np.testing.assert_array_equal(inner, classes)


def test_the_tables_are_what_their_script_makes(tmp_path):
    written = {path: path.read_bytes() for path in FOLDER.rglob("*.csv")}
    make_data = run_path(str(FOLDER / "make_data.py"))
    make_data["main"].__globals__["HERE"] = tmp_path
    (tmp_path / "further").mkdir()
    make_data["main"]()
    for path, content in written.items():
        assert (tmp_path / path.relative_to(FOLDER)).read_bytes() == content, path.name
