"""What is told of runs that are made up: each finding both ways, the ranking of changes, and the
changes themselves."""

import numpy as np
import pandas as pd
import pytest
from fake_measures import ends, made
from planted_faults import FAULTS, XOR

from fastbp import Setup, SweepError
from fastbp.analysis.histograms import constant_loss
from fastbp.diagnosis import (
    effects as effects_module,
    own_weights,
    printout,
    recommend,
    symptoms,
    trials,
)
from fastbp.diagnosis.candidates import Change, changed, changes
from fastbp.diagnosis.sentences import cost_text, score_text, times_text
from fastbp.diagnosis.symptoms import InspectedRuns
from fastbp.diagnosis.trials import (
    CONTROL,
    ChangeEffect,
    Experiment,
    MeasuredRuns,
    Trial,
)
from fastbp.engine import block
from fastbp.engine.plan import seconds_per_run
from fastbp.engine.rows import measured_columns
from fastbp.schema.columns import SCORES
from fastbp.schema.keys import KEYS
from fastbp.schema.outcomes import OUTCOMES, Outcome
from fastbp.schema.text import and_, first_of

FOUNDING = Setup(problem="table:11101011", lr=0.2, order="random", updates=999)


def said(
    runs: MeasuredRuns,
    seen: InspectedRuns | None = None,
    setup: Setup = FOUNDING,
    **slower: MeasuredRuns,
) -> dict[str, str]:
    return {finding.name: finding.text for finding in symptoms.of_runs(setup, runs, seen, slower)}


CONSTANT = 0.5 * 0.75 * 0.25
"""The loss of answering 0.75 to the founding problem."""


def test_the_best_constant_answer_has_the_loss_of_the_mean() -> None:
    assert constant_loss(FOUNDING.data().T, FOUNDING.loss) == pytest.approx(CONSTANT)
    entropy = Setup(problem="table:11101011", loss="cross-entropy", updates=9)
    assert constant_loss(entropy.data().T, entropy.loss) == pytest.approx(
        -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    )
    two = Setup.from_arrays([[0], [1]], [[0, 1], [1, 1]], updates=9, loss="cross-entropy")
    assert constant_loss(two.data().T, two.loss) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (1.04, "constant"),
        (0.96, "constant"),
        (0.9, None),
        (1.06, "worse than constant"),
        (np.nan, "worse than constant"),
    ],
)
def test_losses_beside_the_best_constant_answer(loss: float, name: str | None) -> None:
    told = said(made(ends(LOSS=loss * CONSTANT, SPREAD=0.05)))
    assert "constant" not in said(
        made(ends(LOSS=loss * CONSTANT), "partial")
    )  # some rows are told apart
    assert {"constant", "worse than constant"} & set(told) == ({name} if name else set())
    if name == "constant":
        assert told[name] == (
            "all 100 learned the best constant answer (0.75 for every row, loss 0.0938) and no more"
        )
    assert not {"constant", "worse than constant"} & set(
        said(made(ends(LOSS=np.where(np.arange(100) < 20, loss * CONSTANT, 0.02), SPREAD=0.05)))
    )
    more = np.where(np.arange(100) < 21, loss * CONSTANT, 0.02)
    if name:
        assert said(made(ends(LOSS=more, SPREAD=0.05)))[name].startswith("21 of 100 (21.0%) ")


def test_a_rate_is_too_high_where_the_same_seeds_do_better_at_lower_ones() -> None:
    runs, lower, higher = (made(ends(LOSS=loss * CONSTANT)) for loss in (2.0, 1.0, 3.0))
    stuck, falling = (
        InspectedRuns(np.full(20, falls), np.full(20, 4), 4) for falls in (False, True)
    )
    both = {"rate ÷ 3": lower, "rate ÷ 10": lower}
    told = said(runs, stuck, **both)
    assert (
        "and of these seeds, 100 at rate ÷ 3 and 100 at rate ÷ 10 did better"
        in told["rate too high"]
    )
    assert "worse than constant" not in told
    for others in (
        {},
        {"rate ÷ 3": lower, "rate ÷ 10": higher},
        {"rate ÷ 3": higher, "rate ÷ 10": lower},
    ):
        told = said(runs, stuck, **others)
        assert "rate too high" not in told
        assert "worse than constant" in told
    assert "rate too high" not in said(runs, falling, **both)  # it has not stopped falling
    assert "rate too high" not in said(
        lower, stuck, **{"rate ÷ 3": made(ends()), "rate ÷ 10": made(ends())}
    )
    told = said(made(ends(LOSS=np.nan, MAX_ERROR=np.nan), "diverged"), stuck, **both)
    assert told["diverged"] == "all 100 diverged: a weight is no longer a finite number"
    assert "rate too high" in told


def test_saturation() -> None:
    assert said(made(ends(SATURATION=np.where(np.arange(100) < 21, 0.91, 0.9))))[
        "saturated"
    ].startswith("21 of 100 (21.0%) had more than 90% of the hidden")
    assert "saturated" not in said(made(ends(SATURATION=np.where(np.arange(100) < 20, 0.91, 0.9))))


def test_rows_that_are_wrong() -> None:
    assert said(made(ends(WRONG=1), "partial"))["partial"].endswith(
        "the median run has 1 row wrong"
    )
    assert said(made(ends(WRONG=2), "partial"))["partial"].endswith(
        "the median run has 2 rows wrong"
    )
    assert "partial" not in said(made(ends(WRONG=2), "one-class"))


def test_a_gradient_has_vanished_where_following_it_lowers_nothing() -> None:
    # the loss falls by 1% over the budget: rate · updates · length² = 1% of the loss
    length = np.sqrt(0.01 * 0.02 / (0.2 * 999))
    assert "vanished" in said(made(ends(GRAD_NORM=0.99 * length)))
    assert "sizeable" in said(made(ends(GRAD_NORM=1.01 * length)))
    for keys, times in (
        ({"momentum": 0.9}, 10),
        ({"batch": 4}, 4),
        ({"batch": 4, "reduction": "mean"}, 1),
    ):
        other = Setup(**{"problem": "table:11101011", "lr": 0.2, "updates": 999} | keys)
        assert "vanished" in said(made(ends(GRAD_NORM=0.99 * length / np.sqrt(times))), setup=other)
        assert "sizeable" in said(made(ends(GRAD_NORM=1.01 * length / np.sqrt(times))), setup=other)
    assert not {"vanished", "sizeable"} & set(said(made(ends(GRAD_NORM=np.nan))))


def test_lives() -> None:
    def of(falling: float, doubled: float, units: int = 4) -> dict[str, str]:
        number = np.arange(20) / 20
        return said(
            made(ends()),
            InspectedRuns(number < falling, np.where(number < doubled, 1, units), units),
        )

    assert (
        of(1, 0)["slow"]
        == "in all 20 inspected, the loss was still falling when the budget ended: slow, not stuck"
    )
    assert "slow" in of(0.55, 0)
    assert not {"slow", "stuck"} & set(of(0.5, 0))
    assert not {"slow", "stuck"} & set(of(0.3, 0))
    assert of(0.25, 0)["stuck"] == "in 15 of 20 inspected, the loss no longer fell: stuck, not slow"
    assert "1 of 4 distinct" in of(0, 0.55)["doubled"]
    assert "doubled" not in of(0, 0.5)
    assert "doubled" not in of(0, 1, units=1)


@pytest.mark.parametrize(
    ("W", "distinct"),
    [
        ([[1, 0], [0, 1], [1, 1]], 3),
        ([[1, 0], [1, 0], [0, 1]], 2),
        ([[1, 0], [-1, 0], [0, 1]], 2),  # the other way round is the same knowledge
        ([[1, 1], [1, 1], [1, 1]], 1),
        ([[0, 0], [1e-9, 0], [0, 1]], 1),  # which say the same to every row
        ([[0, 0], [0, 0], [0, 0]], 0),
    ],
)
def test_units_that_double_each_other(W: list[list[float]], distinct: int) -> None:
    assert (
        symptoms._distinct(1 / (1 + np.exp(-np.array(XOR[0]) @ np.array(W, float).T))) == distinct
    )


def test_data() -> None:
    def notes(X: object, T: object, **keys: object) -> dict[str, str]:
        setup = Setup.from_arrays(X, T, **({"updates": 9} | keys))
        return dict(setup.data_notes()) | {"impossible": symptoms.impossible(setup)}

    X, T = XOR
    nothing = {"impossible": ""}
    assert notes(X, T) == nothing
    assert notes(X * [1, 11], T)["unscaled-inputs"].startswith(
        "inputs are not scaled: 'x1' runs from 0 to 11"
    )
    assert notes(10 * X, T) == nothing
    assert "unscaled-inputs" in notes(0.1 * X + 5, T)  # far from 0 for how little it varies
    assert notes(0.1 * X + 0.4, T) == nothing
    constant = notes(np.column_stack([X, np.full(4, 1e6)]), T)  # scaling does not help
    assert "unscaled-inputs" not in constant
    assert "constant-column" in constant
    assert "from 1000000 to 1000001;" in notes(X + 1e6, T)["unscaled-inputs"]
    assert notes(X, np.ones(4))["impossible"].startswith("there is nothing to learn")
    twice = np.vstack([X, X[:1]])
    for success, told in (("rows", True), ("accuracy:0.95", False)):
        found = notes(twice, [0, 1, 1, 0, 1], success=success)
        assert "contradicting-rows" in found
        assert told == found["impossible"].startswith(
            "2 rows contradict each other: equal inputs have different targets, such as rows 1 and "
            "5; no network"
        )
    assert notes(twice, [0, 1, 1, 0, 0.5], success="rows")["impossible"] == ""
    # each output has a range of its own
    units = np.array([[0, 0], [1000, 0.1], [0, 0.1], [500, 0.05], [10, 0]])
    assert notes(twice, units, success="rows", output="linear")["impossible"] == ""
    units[4] = [0, 0.1]
    assert (
        "such as rows 1 and 5;"
        in notes(twice, units, success="rows", output="linear")["impossible"]
    )


@pytest.mark.jit
@pytest.mark.parametrize("held_out", [[1, 1], [1, -1], [1e30, -1e30]])
def test_rows_without_an_r2_are_why_no_run_converges(held_out: list[float]) -> None:
    """They are equal, or too large when they are scaled. A warning would be an error."""
    setup = Setup.from_arrays(
        np.arange(5)[:, None],
        [0, 1e-200, 2e-200, *held_out],
        epochs=9,
        output="linear",
        scale_targets="minmax",
        success="r2:0.9",
        success_on="test",
        test=0.4,
        test_split="last",
        stop="converged",
    )
    assert symptoms.out_of_reach(setup).startswith("no network has an R² on these held-out rows")
    rows = block.train(setup, 0, 20)
    assert set(rows.converged_at) == {-1}
    assert np.isnan(measured_columns(setup, rows.end, rows.test)["test_r2"]).all()


def test_numbers_near_the_largest_are_told_without_a_warning() -> None:
    end = ends(2, GRAD_NORM=1e200)
    tiny = Setup(problem="xor", lr=5e-324, schedule="cosine", epochs=9)
    for setup in (FOUNDING, tiny):
        assert len(symptoms._of_gradient(setup, end, stuck=False)) == 1
    runs = made(end)
    runs.scores[:] = -1.7e308
    assert (score_text(runs.median("r2")), score_text(-2.5e300)) == ("–", "−2.5e+300")


# The ranking


def table(
    *rows: tuple[int, int, float, str], n: int = 1000, placebo: tuple[int, int] = (0, 0)
) -> pd.DataFrame:
    """Ranked changes: fixed, broken, cost, name; after a placebo."""
    base = made(ends(n))
    base.codes[n // 2 :] = 1

    def after(fixed: int, broken: int) -> MeasuredRuns:
        one = made(ends(n))
        one.codes[:] = base.codes
        one.codes[:fixed], one.codes[n - broken :] = 1, 2
        return one

    made_rows = [ChangeEffect("nothing", CONTROL, after(*placebo), (1.0, 1.0))]
    for fixed, broken, cost, name in rows:
        made_rows.append(ChangeEffect(name, name, after(fixed, broken), (cost, cost)))
    return effects_module.effects(base, made_rows, "success")


def test_changes_are_ranked_by_mended_less_broken() -> None:
    found = table((300, 200, 1, "stirs"), (150, 0, 1, "fixes"), (0, 90, 1, "breaks"))
    assert found["change"].tolist() == ["fixes", "stirs", "nothing", "breaks"]
    assert found["fixes"].tolist() == [True, True, False, False]
    assert (found["difference"].tolist(), found["fixed"].tolist()) == (
        [0.15, 0.1, 0.0, -0.09],
        [150, 300, 0, 0],
    )
    assert found["broken"].tolist() == [0, 200, 0, 90]
    assert (found["difference_low"] <= found["difference"]).all()
    assert (found["p_holm"] >= found["p"]).all()


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        ([(400, 0, 10, "dear"), (399, 0, 1, "cheap")], ["cheap", "dear"]),
        ([(400, 0, 10, "dear"), (200, 0, 1, "cheap")], ["dear", "cheap"]),
        ([(400, 0, 1, "a"), (400, 0, 1, "b")], ["a", "b"]),  # as they were tried
        ([(390, 0, 1, "a"), (400, 0, 1, "b")], ["b", "a"]),  # at equal cost the better
    ],
)
def test_first_is_the_cheapest_of_what_is_as_good_as_the_best(rows, first) -> None:
    assert table(*rows)["change"].tolist()[:2] == first


def test_what_does_not_fix_is_not_the_best() -> None:
    """Where it has the greatest effect: p counts runs, and the interval is of their means."""
    found = table((400, 0, 1, "much"), (100, 0, 1, "surely"))
    found["fixes"] = found["change"] == "surely"
    assert effects_module._ranked(found)["change"].tolist()[0] == "surely"


def test_the_others_follow_by_what_they_fix() -> None:
    rest = table(
        (400, 0, 1, "first"), (100, 0, 10, "dear"), (100, 0, 1, "cheap"), (120, 0, 10, "more")
    )
    assert rest["change"].tolist() == ["first", "more", "cheap", "dear", "nothing"]


def test_a_remedy_must_beat_the_placebo() -> None:
    assert table((60, 0, 1, "some"))["fixes"].tolist() == [True, False]
    assert not table((60, 0, 1, "some"), placebo=(70, 20))["fixes"].any()
    assert not table((3, 0, 1, "chance"))["fixes"].any()
    # Of few seeds both intervals are wide and overlap; seed by seed, the change is better.
    few = table((20, 0, 1, "some"), n=60, placebo=(12, 4))
    assert few["difference_low"].iloc[0] < few["difference_high"].iloc[1]
    assert few["fixes"].tolist() == [True, False]


def scored(score: str, value: float, constant: int = 0) -> MeasuredRuns:
    """100 runs that do not converge, some of them constant, with a score."""
    runs = made(ends(), "partial")
    runs.codes[:constant] = OUTCOMES.index(Outcome.COLLAPSED)
    runs.scores[SCORES.index(score)] = value + np.arange(100) / 1e4
    return runs


def test_changes_are_ranked_by_held_out_rows_where_these_decide() -> None:
    X = np.arange(80.0)[:, None] / 80
    held = {"test": 0.25, "success": "accuracy:0.95", "success_on": "test", "updates": 9}
    setup = Setup.from_arrays(X, np.arange(80) > 40, **held)
    base = scored("test_accuracy", 0.8)
    rows = [
        ChangeEffect(f"to {value}", "cause", scored("test_accuracy", value), (1.0, 1.0))
        for value in (0.75, 0.9)
    ]
    measure = effects_module.headline(setup, base, rows)
    assert measure == "test_accuracy"
    found = effects_module.effects(base, rows, measure)
    assert found["change"].tolist() == ["to 0.9", "to 0.75"]
    assert found["test_accuracy"].tolist() == pytest.approx([0.905, 0.755], abs=1e-3)


def test_quantities_are_ranked_by_r2_though_answers_are_constant() -> None:
    setup = Setup.from_arrays(np.arange(9.0)[:, None], np.arange(9.0), any_range=True, updates=9)
    base = scored("r2", -0.9, constant=100)
    rows = [
        ChangeEffect("varied, and poor", "a", scored("r2", -0.6), (1.0, 1.0)),
        ChangeEffect("good", "b", scored("r2", 0.7, constant=5), (1.0, 1.0)),
    ]
    measure = effects_module.headline(setup, base, rows)
    assert measure == "r2"
    row = effects_module.effects(base, rows, "constant").loc[0]
    assert printout.cells(row, "constant", "r2")[3:5] == ["−100.0", "−100.0, −92.6"]
    assert printout.cells(row, "r2", "r2")[3:5] == ["+1.000", "+0.926, +1.000"]
    assert effects_module.effects(base, rows, measure)["change"].iloc[0] == "good"


def test_what_is_recommended_is_better_by_the_score_and_gives_fewer_constant_answers() -> None:
    base = scored("accuracy", 0.5, constant=100)
    rows = [
        ChangeEffect("better, and constant", "a", scored("accuracy", 0.7, 99), (1.0, 1.0)),
        ChangeEffect("varied, and no better", "b", scored("accuracy", 0.5), (1.0, 1.0)),
        ChangeEffect("both", "c", scored("accuracy", 0.6, constant=50), (1.0, 1.0)),
    ]
    fixing = [
        set(table.loc[table["fixes"], "change"])
        for measures in (["accuracy"], ["constant"], ["accuracy", "constant"])
        for table in [effects_module.effects(base, rows, *measures)]
    ]
    assert fixing[2] == {"both"} == fixing[0] & fixing[1]
    found = [recommend.Recommendation((), FOUNDING, base, row.runs) for row in rows]
    assert [each.holds("accuracy", "constant") for each in found] == [False, False, True]


@pytest.mark.parametrize(("factor", "dear"), [(10, False), (30, False), (100, True)])
def test_a_dear_change_is_not_recommended_beside_free_ones(factor: int, dear: bool) -> None:
    more = Change("more", "too few updates", {"updates": 999 * factor})
    pair = Change("faster", "rate", {"lr": 2.0}), Change("ordered", "order", {"order": "cyclic"})
    groups = {"more": (more,), "pair": pair}
    # There is no time to check it.
    experiment = Experiment(FOUNDING, 0, 9, lambda phase: None, 0.0, 0.0, groups, runs=9)
    base, after = made(ends()), made(ends(), "converged")
    table, pairs = (
        effects_module.effects(base, [ChangeEffect(name, "", after, (cost, cost))], "success")
        for name, cost in (("more", float(factor)), ("pair", 1.0))
    )
    assert (
        recommend.recommended(experiment, table, pairs).changes
        == groups["pair" if dear else "more"]
    )


def test_the_table_of_no_change_has_the_same_columns() -> None:
    none = effects_module.effects(trials.NO_RUNS, [], "success")
    assert list(none.columns) == list(table().columns)
    assert none.empty


# What is changed


def test_changes_are_of_one_thing_each_and_none_twice() -> None:
    for setup in (
        FOUNDING,
        *(fault.setup() for fault in FAULTS),
        Setup(problem="xor", epochs=9, batch="full", momentum=0.5, bias=False),
    ):
        made_ = [changed(setup, change) for change in changes(setup)]
        ids = [one.identity() for one in made_]
        assert len(set(ids)) == len(ids)
        assert setup.identity() not in ids
        own = setup.columns()
        for change, one in zip(changes(setup), made_, strict=True):
            moved = {key for key, value in one.columns().items() if value != own[key]}
            if "updates" in change.keys or "epochs" in change.keys:
                moved -= {"updates", "epochs"}
            assert moved <= change.keys.keys(), change.name
            floats = [value for value in change.keys.values() if isinstance(value, float)]
            assert all(value == float(f"{value:.4g}") for value in floats)  # to be copied
    assert {
        "3 × the updates",
        "10 × the updates",
        "rate ÷ 3",
        "3 × the rate",
        "10 × the rate",
        "order shuffled",
        "momentum 0.9",
        "2 × the hidden units",
        "loss cross-entropy",
        "inputs scaled: standard",
        "target margin 0.1",
        "0.1 added to σ′",
        "full batch, as many updates",
        "full batch, as many samples",
    } <= {change.name for change in changes(FOUNDING)}


def test_changes_are_of_keys_of_the_table() -> None:
    """All keys, but those that say what is learned and how it is judged."""
    setup = Setup(
        problem="xor",
        hidden=(3, 2),
        updates=9,
        lr=0.1,
        momentum=0.5,
        weight_decay=0.1,
        bias=False,
        schedule="exponential:factor=0.9",
    )
    keys = {key for change in changes(setup) for key in printout.settings([change])}
    fixed = {
        "problem",
        "targets",
        "target_kind",
        "test",
        "test_split",
        "success",
        "success_on",
        "class_weight",  # of tables
        "scale_targets",
        "reduction",
        "warmup",
        "tolerance",
        "collapse",
        "eval_every",
        "stop",
        "dtype",
        "epochs",
        "bias_init",
        "activation",  # what a user has of these is undone
        "output",
        "optimizer",
        "nesterov",
    }
    assert keys == set(KEYS) - fixed


def test_batches_at_equal_updates_and_at_equal_presentations() -> None:
    by_name = {change.name: changed(FOUNDING, change) for change in changes(FOUNDING)}
    assert by_name["full batch, as many updates"].budget == 999
    assert by_name["full batch, as many samples"].budget == 999 // 8
    full = Setup(problem="xor", batch="full", epochs=100)
    by_name = {change.name: changed(full, change) for change in changes(full)}
    assert (
        by_name["batch 1, as many updates"].budget,
        by_name["batch 1, as many samples"].budget,
    ) == (100, 400)
    assert by_name["batch 1, as many updates"].eval_interval == 10


def test_a_slow_first_round_leaves_out_the_dearest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def train_(
        trials_: list[Trial], start: int, count: int, deadline: float, *more: object
    ) -> dict[Trial, MeasuredRuns]:
        clock[0] += (
            sum(seconds_per_run(trial.setup) for trial in trials_) * count * 1000
        )  # far slower than was guessed
        if clock[0] > deadline:
            clock[0] = deadline
            return {}
        return {trial: made(ends(count)) for trial in trials_}

    monkeypatch.setattr(trials, "train", train_)
    monkeypatch.setattr(trials.time, "perf_counter", lambda: clock[0])
    base = Trial(FOUNDING)
    others = {change.name: Trial(changed(FOUNDING, change)) for change in changes(FOUNDING)}
    one = seconds_per_run(FOUNDING) * 168 * 1000
    experiment = Experiment(FOUNDING, 0, 2000, lambda phase: None, 0, 50 * one, {})
    runs, complete = trials.train_rounds(experiment, [base, Trial(FOUNDING, 1), *others.values()])
    assert not {others["10 × the updates"], others["full batch, as many updates"]} & runs.keys()
    assert not complete
    assert {others["rate ÷ 3"], others["order shuffled"]} <= runs.keys()
    assert clock[0] <= 25 * one
    with pytest.raises(SweepError, match="no time"):
        trials.train_rounds(
            experiment._replace(began=clock[0], seconds=one),
            [base, Trial(FOUNDING, 1)],
        )


def test_lists_in_words() -> None:
    for letters, told in {
        "a": "a",
        "ab": "a and b",
        "abc": "a, b and c",
        "abcdef": "a, b, c, d, e and f",
        "abcdefg": "a, b, c, d, e, f and g",
        "abcdefghi": "a, b, c, d, e, f and 3 more",
    }.items():
        assert and_(first_of(list(letters), 6)) == told
    assert [cost_text(times) for times in (1, 1.004, 10, 0.5)] == [
        "at no cost",
        "at no cost",
        "at 10 × the multiply-adds",
        "at 0.5 × the multiply-adds",
    ]
    told = [times_text(times) for times in (99.46, 12345.6, 2e9, 5e300, np.inf)]
    assert told == ["99.5", "12,346", "2e+09", "5e+300", "more than 1e+308"]


def test_weights_that_do_not_fit_are_told() -> None:
    setup = Setup(problem="xor", updates=9, hidden=(3,))
    good = {"W0": np.ones((3, 2)), "b0": np.ones(3), "W1": np.ones((1, 3)), "b1": np.ones(1)}
    assert [(W.shape, b.shape) for W, b in own_weights.fitting(good, setup)] == [
        ((3, 2), (3,)),
        ((1, 3), (1,)),
    ]
    own_weights.fitting(
        good | {"b0": np.ones((3, 1), "f2"), "rows": np.zeros(4)}, setup
    )  # columns of biases, and what else is there

    def refused(**more: object) -> str:
        with pytest.raises(SweepError) as caught:
            own_weights.fitting(
                {name: values for name, values in (good | more).items() if values is not None},
                setup,
            )
        assert all(
            line.startswith("--weights, for a network 2-3-1: ") for line in caught.value.lines
        )
        return "\n".join(caught.value.lines)

    for name, values, told in (
        ("W0", np.ones((2, 3)), "shape (2, 3), which is transposed: W[out, in], needed: (3, 2)"),
        ("b1", np.ones(2), "shape (2,), needed: (1,)"),
        ("b1", None, "nothing, needed: an array of shape (1,)"),
        ("W1", np.array([["a", "b", "c"]]), "no real numbers"),
        ("W1", np.array([["1", "2", "3"]]), "no real numbers"),
        ("W1", np.ones((1, 3), complex), "no real numbers"),
        ("W1", np.ones((1, 3), bool), "no real numbers"),
        ("W1", np.ones((1, 3), "M8[s]"), "no real numbers"),
        ("W1", np.broadcast_to(np.int8(0), 10**12), "shape (1000000000000,), needed: (1, 3)"),
        ("W0", np.array([[np.nan, 0], [0, 0], [0, 0]]), "1 value not from -1e+30 to 1e+30"),
        ("b0", np.array([np.longdouble("1e4000"), 1e308, 1e30]), "2 values not from -1e+30"),
    ):
        assert f"{name}: given {told}" in refused(**{name: values})
    assert "W2: given, but the network has 2 layers, 0 to 1; needed: none" in refused(
        W2=np.ones((1, 1))
    )
    own_weights.fitting(good | {"W" + "9" * 5_000: np.ones(1)}, setup)
    assert len(refused(W0=np.ones((9, 9)), b0=np.ones(9)).splitlines()) == 2
    setup = Setup(problem="xor", updates=9, hidden=(3,), bias=False)
    own_weights.fitting(good | {"b0": np.zeros(3), "b1": np.zeros(1)}, setup)
    assert not any(
        np.any(b)
        for _, b in own_weights.fitting({name: good[name] for name in ("W0", "W1")}, setup)
    )
    told = "this setup has bias = false; needed: none, or zeros"
    assert refused(b1=None) == f"--weights, for a network 2-3-1: b0: given, but {told}"
    assert "b0: given no real numbers" in refused(b0=np.array(["a"] * 3))


@pytest.mark.parametrize(
    ("value", "percent"), [(2.0, 50), (0.5, 0), (3.0, 75), (np.inf, 87.5), (np.nan, 87.5)]
)
def test_shares_below_count_ties_by_half(value: float, percent: float) -> None:
    assert own_weights._percentile(np.array([1.0, 2.0, 2.0, np.nan]), np.array([value])) == percent
