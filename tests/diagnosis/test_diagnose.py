"""What is diagnosed is so: on twelve planted faults, on runs that are made up, and against runs
that the engine trained."""

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_measures import ends, made
from planted_faults import ASKED, FAULTS, XOR, Fault, write

import fastbp
from fastbp import Setup, Sweep, SweepError, retrain
from fastbp.diagnosis import (
    diagnose as diagnose_module,
    own_weights,
    printout,
    recommend,
    sentences as sentences_module,
    symptoms,
    trials,
)
from fastbp.diagnosis.candidates import ANSWERED, Change, changed, changes, cures, larger
from fastbp.diagnosis.diagnose import Diagnosis, diagnose as diagnosis
from fastbp.diagnosis.effects import score_of
from fastbp.diagnosis.recommend import Recommendation
from fastbp.diagnosis.trials import (
    OTHER_ORDERS,
    Experiment,
    MeasuredRuns,
    Trial,
    train,
)
from fastbp.engine import block, compile_ahead, lane_group, machine, rows as rows_module, tasks
from fastbp.engine.plan import seconds_per_run
from fastbp.kernels import measures as m
from fastbp.problems.data_notes import DataNote
from fastbp.schema.outcomes import OUTCOMES
from fastbp.schema.text import and_

pytestmark = [pytest.mark.jit, pytest.mark.usefixtures("without_cures")]  # thousands of runs

SEEDS = 336
FAR = 10**9
"""Seeds that no diagnosis has seen start here."""

HEALTHY = Setup(problem="table:0111", lr=4, epochs=200)
FOUNDING = Setup(problem="table:11101011", lr=0.2, order="random", updates=999)


def share(setup: Setup, start: int = FAR, count: int = SEEDS) -> float:
    """Of seeds that converge, trained by the engine and judged by its own rows."""
    rows = rows_module.to_arrow(setup, start, block.train(setup, start, count))
    return sum(outcome == "converged" for outcome in rows["outcome"].to_pylist()) / count


def diagnose(setup: Setup, seeds: int, seconds: float = 600, **how: Any) -> Diagnosis:
    """A diagnosis that has time for everything, on a busy machine, too."""
    return diagnosis(setup, seeds, seconds, **how)


# Twelve planted faults


@pytest.fixture(scope="module")
def found() -> dict[str, Diagnosis]:
    return {fault.name: diagnose(fault.setup(), SEEDS) for fault in FAULTS}


@pytest.fixture(scope="module")
def told() -> list[str]:
    """What the founding diagnosis said it was doing."""
    return []


@pytest.fixture(scope="module")
def founding(told: list[str]) -> Diagnosis:
    return diagnose(FOUNDING, SEEDS, tick=told.append, advice=ANSWERED)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_cause_is_named_and_the_first_remedy_mends(
    found: dict[str, Diagnosis], fault: Fault
) -> None:
    one = found[fault.name]
    text = " ".join(one.verdict)
    if fault.fixes is None:
        assert re.match(rf"Wrong: no setup can learn this: .*{fault.cause}", text)
        assert one.recommended is None
        assert printout.table(one) == []
        return
    assert re.search(rf"Wrong: {fault.cause}\b", text), text
    first = one.table.iloc[0]
    assert re.fullmatch(fault.fixes, first["change"])
    assert first["fixes"]
    tried = changes(one.setup)
    (change,) = [
        change for change in tried + larger(one.setup, tried) if change.name == first["change"]
    ]
    fixed, before = share(changed(one.setup, change)), share(one.setup)
    assert fixed > before + 0.4
    assert fixed == pytest.approx(first["converged"] / SEEDS, abs=0.12)
    assert re.match(fault.cause, one.recommended.changes[0].cause)
    assert one.recommended.converged / one.recommended.runs == pytest.approx(
        share(one.recommended.setup), abs=0.1
    )


def test_faults_are_written_as_tables_and_commands(tmp_path) -> None:
    lines = list(write(tmp_path / "faults"))
    assert len(lines) == len(list((tmp_path / "faults").iterdir())) == len(FAULTS) == 12
    assert "--set lr=2.0" in lines[0]
    for fault, line in zip(FAULTS, lines, strict=True):
        path = re.search(r"\S+\.csv", line)[0]
        setup = Setup(problem=f"file:{path}", targets=["t0"], **fault.keys)
        for mine, theirs in zip(setup.data(), fault.setup().data(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


# What was found in them, each both ways


@pytest.mark.parametrize(
    ("name", "seen", "unseen"),
    [
        (
            "too few updates",
            {"slow", "sizeable"},
            {"stuck", "vanished", "saturated", "rate too high", "unscaled-inputs"},
        ),
        ("rate too low", {"slow", "sizeable"}, {"stuck", "vanished", "rate too high", "doubled"}),
        (
            "rate too high",
            {"rate too high", "stuck", "vanished"},
            {"slow", "constant", "worse than constant"},
        ),
        ("saturating init", {"saturated", "stuck", "vanished"}, {"slow", "unscaled-inputs"}),
        (
            "symmetric tiny init",
            {"constant", "doubled", "stuck", "vanished"},
            {"slow", "saturated", "rate too high"},
        ),
        (
            "unscaled inputs",
            {"unscaled-inputs", "saturated", "doubled", "constant"},
            {"slow", "rate too high"},
        ),
        ("contradictory labels", {"contradicting-rows"}, {"unscaled-inputs"}),
        ("one class", set(), {"contradicting-rows"}),
        (
            "too few hidden units",
            {"partial"},
            {"doubled", "saturated", "constant", "rate too high"},
        ),
        (
            "cross-entropy with a diverging rate",
            {"rate too high", "saturated"},
            {"vanished", "slow", "partial"},
        ),
        (
            "each row 1,000 times in a row",
            {"worse than constant", "slow"},
            {"rate too high", "stuck"},
        ),
        ("momentum too high", {"saturated", "stuck", "vanished"}, {"slow", "unscaled-inputs"}),
    ],
)
def test_findings_of_faults(
    found: dict[str, Diagnosis], name: str, seen: set[str], unseen: set[str]
) -> None:
    names = {symptom.name for symptom in found[name].symptoms} | dict(found[name].data).keys()
    assert seen <= names
    assert not unseen & names


def test_runs_that_really_diverge_are_said_to() -> None:
    one = diagnose(Setup(problem="xor", lr=30, weight_decay=0.1, epochs=500), 168)
    assert one.outcomes["diverged"] == 168
    assert "diverged" in {symptom.name for symptom in one.symptoms}
    text = " ".join(one.verdict)  # of which either is a cause, and neither fixes it whole
    assert "Wrong: weight decay too strong" in text
    assert re.search(r"Fix: no weight decay and rate ÷ \d", text)


def test_the_gradient_says_how_far_the_loss_falls() -> None:
    """In full batches of a small rate, what is told from the gradient is what happens."""
    rows = block.train(
        Setup(problem="xor", lr=0.05, batch="full", reduction="mean", epochs=1), 0, 168
    )
    next_rows = block.train(
        Setup(problem="xor", lr=0.05, batch="full", reduction="mean", epochs=2), 0, 168
    )
    np.testing.assert_allclose(
        rows.end[m.LOSS] - next_rows.end[m.LOSS], 0.05 * rows.end[m.GRAD_NORM] ** 2, rtol=0.02
    )


def test_lives_are_those_of_the_runs_themselves() -> None:
    setup = Setup(problem="xor", lr=2, epochs=60, hidden=(3,))
    seeds = np.array([3, 4, 9], np.uint64)
    seen = symptoms.inspect(setup, seeds)
    for at, seed in enumerate(seeds.tolist()):
        losses = retrain(setup, seed).evaluations.set_index("epoch")["loss"]
        assert seen.falling[at] == (losses[60] < 0.98 * losses[30])
    assert seen.units == 3
    assert symptoms.inspect(setup, seeds[:0]) is None
    assert symptoms.inspect(setup, seeds, deadline=time.perf_counter() - 1) is None
    assert not symptoms.inspect(
        Setup(problem="xor", updates=3), seeds
    ).falling.any()  # there are no two halves


def test_cures_are_tried_where_nothing_else_is_enough(without_cures: list[Setup]) -> None:
    stuck = Setup.from_arrays(*XOR, hidden=[1], lr=1e-5, epochs=10)
    for setup in (HEALTHY, stuck):
        diagnose(setup, 8)
    assert without_cures[-1] is stuck
    assert HEALTHY not in without_cures


@pytest.mark.soak
def test_cures_are_of_other_units_and_optimisers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose_module, "cures", cures)
    setup = Setup.from_arrays(*XOR, lr=1e-5, epochs=200)
    assert {change.name for change in cures(setup, [])} <= set(
        diagnose(setup, SEEDS).table.set_index("change").index
    )


def test_a_healthy_setup_has_nothing_wrong() -> None:
    one = diagnose(HEALTHY, SEEDS)
    text = one.verdict
    assert (one.converged, one.symptoms) == (1, [])
    assert one.example is None
    assert one.recommended is None
    assert text == [
        f"Now: all {one.runs} seeds converge (95% CI of the convergence rate: 98.9% to 100%): "
        "this setup works here: where yours fails, your code or your settings differ.",
        "Also: nothing needs fixing.",
    ]
    assert re.fullmatch(
        r"Now: it is your weights, .* all .*: the setup is not to blame\.",
        one._replace(own_fault=own_weights.STAY_EQUAL).verdict[0],
    )


# Placebo, trials and seeds


def rows_of(setup: Setup, start: int, count: int) -> pd.DataFrame:
    sweep = Sweep(
        seeds={"start": start, "count": count},
        setup=setup.settings(),
    )
    return fastbp.run(sweep).sort_values("seed")


@pytest.mark.parametrize(
    "setup",
    [
        Setup(problem="xor", updates=37, lr=2),
        Setup(problem="xor", epochs=300, lr=4, stop="converged", eval_every=7),
        Setup(problem="parity:3", epochs=20, lr=2, batch=3, momentum=0.5, dtype="float32"),
        Setup(problem="xor", lr=30, weight_decay=0.1, epochs=500),
    ],
)
def test_trials_are_the_rows_of_the_engine(setup: Setup) -> None:
    start, count = 5, 401
    found = train(
        [
            Trial(setup),
            Trial(changed(setup, Change("", "", {"lr": 1.0}))),
            Trial(setup, OTHER_ORDERS),
        ],
        start,
        count,
    )
    mine, theirs = found[Trial(setup)], rows_of(setup, start, count)
    assert [str(OUTCOMES[code]) for code in mine.codes] == theirs["outcome"].astype(str).tolist()
    for name, at in {
        "loss": m.LOSS,
        "spread": m.SPREAD,
        "grad_norm": m.GRAD_NORM,
        "weight_max": m.WEIGHT_MAX,
    }.items():
        np.testing.assert_array_equal(mine.end[at], theirs[name].to_numpy(float))
    np.testing.assert_array_equal(
        np.where(mine.converged_at < 0, -1, mine.converged_at), theirs["converged_at"].fillna(-1)
    )


def test_budgets_that_share_their_beginning_are_the_same_runs() -> None:
    setup = Setup(problem="xor", updates=99, lr=2)
    longer = [
        changed(setup, change)
        for change in changes(setup)
        if "updates" in change.name and "batch" not in change.name
    ]
    found = train([Trial(setup), *map(Trial, longer)], 0, 200)
    for one in (setup, *longer):
        np.testing.assert_array_equal(
            found[Trial(one)].end, train([Trial(one)], 0, 200)[Trial(one)].end
        )


def test_the_placebo_takes_other_orders_and_the_same_weights() -> None:
    random = Setup(problem="xor", updates=50, lr=2, order="random")
    found = train([Trial(random), Trial(random, OTHER_ORDERS)], 0, 200)
    assert (
        found[Trial(random)].end[m.LOSS] != found[Trial(random, OTHER_ORDERS)].end[m.LOSS]
    ).all()
    cyclic = Setup(problem="xor", updates=50, lr=2, order="cyclic")
    found = train([Trial(cyclic), Trial(cyclic, OTHER_ORDERS)], 0, 200)
    for mine, theirs in zip(found[Trial(cyclic)], found[Trial(cyclic, OTHER_ORDERS)], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    plain = block.train(random, 0, 200)
    (other,) = block.train_at_once([random], range(200), orders=OTHER_ORDERS)
    np.testing.assert_array_equal(
        plain.start, other.start
    )  # before the first update they are the same networks
    (same,) = block.train_at_once([random], range(200), orders=0)
    for mine, theirs in zip(plain, same, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    stopped = Setup(problem="xor", epochs=300, lr=4, stop="converged")
    (refilled,) = block.train_at_once([stopped], range(400), orders=OTHER_ORDERS)
    (one,) = block.train_at_once([stopped], range(300, 301), orders=OTHER_ORDERS)
    np.testing.assert_array_equal(refilled.end[:, 300], one.end[:, 0])


def test_orders_of_a_placebo_are_those_of_far_seeds() -> None:
    """Whose weights are drawn for one seed, and whose order for another: the first run is that of
    weights put there by hand."""
    setup = Setup(problem="xor", updates=50, lr=2, order="random")
    initial = retrain(setup, 3).initial
    placebo = train([Trial(setup, OTHER_ORDERS)], 3, 1)[Trial(setup, OTHER_ORDERS)]
    (rows,) = block.train_at_once(
        [setup], range(3 + OTHER_ORDERS, 4 + OTHER_ORDERS), layers=initial
    )
    np.testing.assert_array_equal(rows.end, placebo.end)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[Trial], range]]:
    """What is trained: which trials, and from which seeds."""
    calls: list[tuple[set[Trial], range]] = []

    def noted(
        trials_: list[Trial], start: int, count: int, *more: object
    ) -> dict[Trial, MeasuredRuns]:
        calls.append((set(trials_), range(start, start + count)))
        return train(trials_, start, count, *more)

    monkeypatch.setattr(trials, "train", noted)
    return calls


def test_what_is_recommended_is_checked_on_seeds_that_took_no_part(
    asked: list[tuple[set[Trial], range]],
) -> None:
    one = diagnose(FOUNDING, SEEDS, start=2000)  # of these no change alone is enough
    recommended = one.recommended
    checks = [
        seeds for trials_, seeds in asked if trials_ == {Trial(FOUNDING), Trial(recommended.setup)}
    ]
    (check,) = [seeds for seeds in checks if seeds.start == 2000 + 2 * SEEDS]
    for _, seeds in asked:
        if seeds != check:
            assert not set(seeds) & set(check)
    single = [seeds for trials_, seeds in asked if Trial(FOUNDING, OTHER_ORDERS) in trials_]
    pairs = [seeds for trials_, seeds in asked if seeds.start == 2000 + SEEDS]
    assert (min(seeds.start for seeds in single), max(seeds.stop for seeds in single)) == (
        2000,
        pairs[0].start,
    )
    assert len(check) == one.runs == recommended.runs == SEEDS
    assert (
        recommended.converged
        == train([Trial(recommended.setup)], check.start, SEEDS)[Trial(recommended.setup)]
        .converged()
        .sum()
    )
    assert (
        recommended.before.converged().sum()
        == train([Trial(FOUNDING)], check.start, SEEDS)[Trial(FOUNDING)].converged().sum()
    )
    # Every change was tried on every seed.
    tried = set().union(*(trials_ for trials_, seeds in asked if seeds.stop <= 2000 + SEEDS))
    assert {Trial(changed(FOUNDING, change)) for change in changes(FOUNDING)} < tried


def test_pairs_are_of_different_causes_and_undo_nothing(founding: Diagnosis) -> None:
    one = founding
    by_name = {change.name: change for change in changes(FOUNDING)}
    assert 1 <= len(one.pairs) <= 6
    for row in one.pairs.to_dict("records"):
        first, second = (by_name[name] for name in row["change"].split(" and "))
        assert first.cause != second.cause
        assert not first.keys.keys() & second.keys.keys()
        both = changed(FOUNDING, first, second)
        assert row["converged"] == train([Trial(both)], SEEDS, SEEDS)[Trial(both)].converged().sum()
    assert one.pairs["difference"].iloc[1:].is_monotonic_decreasing


# Time


SLOW = Setup(problem="parity:10", hidden=(8,), epochs=180)
"""Of which a run takes some 10 ms. It and its changes are trained by kernels that others need too:
wider ones would have some of their own."""


@pytest.mark.parametrize("seconds", [1.0, 2.5])
def test_the_time_is_never_exceeded(seconds: float) -> None:
    for setup in (
        SLOW,
        *(changed(SLOW, change) for change in changes(SLOW)),
    ):  # compiling does not count, and is not timed here
        compile_ahead.warm_up(tasks.kernel_key(setup))
    began = time.process_time()
    with suppress(SweepError):  # where other processes leave no time for even the setup as it is
        one = diagnose(SLOW, 5000, seconds)
        assert not one.complete
        assert one.left_out
        text = " ".join(one.verdict)
        assert "No time: to try " in text
        assert "None of 0 " not in text
    assert time.process_time() - began < (seconds + 1) * machine.available_cores()


@pytest.mark.parametrize(("each", "ready", "beyond"), [(14, 2, 0), (40, 1, 10)])
def test_half_of_the_time_is_left_after_compiling(monkeypatch, each, ready, beyond) -> None:
    module, clock, compiled = sys.modules[diagnosis.__module__], [0.0], []

    def warm_up(key: tasks.KernelKey) -> None:
        clock[0] += each
        compiled.append(key)

    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(module, "warm_up", warm_up)
    tried = changes(FOUNDING)
    now, late, past = module._compiled(FOUNDING, tried, 60.0, 0.0)
    assert (len(compiled), past) == (ready, beyond)
    assert {tasks.kernel_key(changed(FOUNDING, change)) for change in now} <= {*compiled}
    assert {change.name for change in tried} - {change.name for change in now} == {*late}
    assert late


def test_an_epoch_that_nothing_interrupts_is_not_begun() -> None:
    huge = Setup(problem="parity:16", hidden=(4000,), epochs=1)
    assert seconds_per_run(huge) * 56 > 5
    began = time.process_time()
    with pytest.raises(SweepError, match="no time for even a few runs"):
        trials.train_rounds(
            Experiment(huge, 0, 9, lambda phase: None, time.perf_counter(), 2, {}),
            [Trial(huge), Trial(huge, 1)],
        )
    assert time.process_time() - began < 3


@pytest.mark.parametrize("at", ["pairs", "recommended", "judged"])
def test_what_there_is_no_time_for_at_the_end_is_said(
    monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    after = {"pairs": 1, "recommended": 2, "judged": 3}[at] * 168

    def late(trials_: list[Trial], start: int, *more: object) -> dict[Trial, MeasuredRuns]:
        return {} if start >= after else train(trials_, start, *more)

    monkeypatch.setattr(trials, "train", late)
    one = diagnose(FOUNDING, 168)
    text = " ".join(one.verdict)
    assert one.pairs.empty == (at == "pairs")
    assert ("there was no time to check it on fresh seeds" in text) == (at != "judged")
    assert one.orders is None
    assert f"Wrong: {sentences_module._best(one)[0].cause}. " in text
    json.dumps(printout.as_json(one), allow_nan=False)


def test_it_stops_where_intervals_are_narrow_enough() -> None:
    one = diagnose(HEALTHY, 100_000)
    assert one.runs < 20_000
    assert one.complete
    assert (one.table["difference_high"] - one.table["difference_low"] <= 2 * trials.NARROW).all()
    few = diagnose(HEALTHY, 30)
    assert (few.runs, few.complete) == (30, True)
    assert "88.6% to 100%): up to 11.4% may still fail, so try more --seeds." in few.verdict[0]
    assert diagnose(HEALTHY, 6).verdict == [
        "Now: all 6 seeds converge (95% CI of the convergence rate: 61.0% to 100%): up to 39.0% "
        "may still fail, so try more --seeds.",
        "Also: nothing was seen to need fixing.",
    ]
    none = few._replace(outcomes=few.outcomes | {"converged": 0, "partial": 30})
    assert "0% to 11.4%): it is not your seed." in " ".join(none.verdict)
    some = few._replace(outcomes=few.outcomes | {"converged": 8, "partial": 22})
    assert "14.2% to 44.4%): it is your setup more than your seed." in " ".join(some.verdict)


# Words


def test_the_founding_diagnosis(founding: Diagnosis) -> None:
    one = founding
    text = " ".join(one.verdict)
    assert "it is not your seed" in text
    assert "Wrong: too few updates. 10 × the updates fixes it" in text
    assert re.search(r"No help: .*order shuffled", text)
    assert re.search(
        r"Order: the answerer's advice, compared fairly: with 7,992 updates at rate 0\.1 in both,",
        text,
    )
    judged, start = one.orders, 3 * SEEDS
    for order, count in (("random", judged.converged), ("shuffled", judged.other)):
        setup = Setup(problem="table:11101011", lr=0.1, order=order, updates=7992)
        assert train([Trial(setup)], start, SEEDS)[Trial(setup)].converged().sum() == count
    assert (
        f"{100 * judged.other / SEEDS:.1f}% of {SEEDS} fresh seeds converge with order shuffled"
        in text
    )
    assert f"{100 * judged.converged / SEEDS:.1f}% with order random (" in text
    lines = printout.screen(one, (), printout.commands(one))
    assert len(lines) <= 40
    assert "10 × the updates fixes it" in " ".join(lines[:3])
    assert lines.index("") <= 12  # the table follows the answer
    assert max(map(len, printout.screen(one, (), []))) <= 80


def numbers(one: Diagnosis) -> Iterator[str]:
    for row in (*one.table.to_dict("records"), *one.pairs.to_dict("records")):
        cells = printout.cells(row, one.measure, score_of(one.setup))
        yield from re.findall(r"[\d.]+", " ".join(cells).replace(",", ""))
        yield from re.findall(r"[\d.]+", sentences_module._effects(one, [row], "").replace(",", ""))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_words(found: dict[str, Diagnosis], fault: Fault) -> None:
    one = found[fault.name]
    sentences = one.verdict
    text = " ".join(sentences)
    for sentence in sentences:
        assert sentence[0].isupper() or sentence[0].isdigit()
        assert sentence.endswith(".")
        assert not re.search(r"  |\.\.|;;|nan|None|\b1 (seeds|rows|changes|runs)\b| ,", sentence), (
            sentence
        )
    # A difference in a sentence is one of the tables, or of the two orders.
    known = set(numbers(one))
    for sentence in sentences:
        if sentence.startswith(("Wrong", "Also")):
            assert set(re.findall(r"[+−]([\d.]+) points", sentence)) <= known
    fixes = set(one.table.loc[one.table["fixes"], "change"])
    idle = [sentence for sentence in sentences if sentence.startswith("No help")]
    for name in fixes:
        assert not any(
            re.search(rf"[:(,] ?{re.escape(name)}( and|,|\.|\))", sentence) for sentence in idle
        )
    for row in one.table.to_dict("records"):
        assert ("fixes" in printout.cells(row, one.measure, score_of(one.setup))[-1]) == row[
            "fixes"
        ]
    if one.recommended:
        together = set(one.pairs.loc[one.pairs["fixes"], "change"]) if len(one.pairs) else set()
        assert and_([change.name for change in one.recommended.changes]) in fixes | together
    assert len(printout.screen(one, (), printout.commands(one))) <= 44
    told = json.loads(json.dumps(printout.as_json(one), allow_nan=False))
    assert told["verdict"] == sentences
    assert [row["change"] for row in told["changes"]] == one.table["change"].tolist()
    assert told["outcomes"] == one.outcomes
    assert sum(told["outcomes"].values()) == told["runs"] == one.runs
    assert told["complete"]
    assert (told["recommended"] is None) == (fault.fixes is None)
    assert ("Fix: " in text) == (fault.fixes is not None)


def test_where_nothing_mends_nothing_is_said_to() -> None:
    X, T = np.zeros((8, 1)), np.tile([0, 1], 4)  # equal rows: no network tells them apart
    one = diagnose(Setup.from_arrays(X, T, hidden=[1], lr=0.1, updates=20), SEEDS)
    first, now, *_ = one.verdict
    assert first == (
        "Wrong: no network reaches accuracy:0.95 on these rows, where equal inputs have different "
        "answers: 50.0% is the most; lower `success`."
    )
    assert "it is the rows, not your seed" in now
    text = " ".join(one._replace(setup=one.setup.replaced(success="accuracy:0.5")).verdict)
    assert re.match(
        r"Wrong: none of \d+ single changes makes more seeds converge, nor do pairs of them\.", text
    )
    assert "Fix:" not in text
    assert printout.commands(one, name="mine") == [
        f"a run that fails, from Python: fastbp.retrain(mine, {one.example})"
    ]


def test_held_out_rows_are_compared_with_a_constant_answer_and_with_their_copies() -> None:
    X = np.tile(np.arange(20.0), 3)[:, None]
    setup = Setup.from_arrays(X, X[:, 0] < 4, updates=3, test=0.25)
    one, runs = diagnose(setup, 4), made(ends(100), "converged")
    runs.scores[:] = np.array([1.0, np.nan, 0.8, np.nan])[:, None]
    best = Recommendation(changes(setup)[:1], setup, runs, runs)
    text = " ".join(one._replace(recommended=best).verdict)
    said = "median accuracy 1.00, 0.80 on held-out rows, less than the 1.00 on the rows it was"
    always = "trained on, and no more than always giving the commonest answer (0.80)"
    assert f"{said} {always}; of 15 held-out rows, 12 also occur among the others." in text
    notes = [DataNote(name, f"note {i}") for i, name in enumerate(sentences_module.NOTES)]
    lines = printout.screen(one._replace(data=notes[::-1]), (), [])
    at = lines.index("Data    Note 0.")
    assert [line.strip() for line in lines[at + 1 : at + 4]] == [
        "Note 1.",
        "Note 2.",
        "+ 5 more in --json.",
    ]
    for success, said in (("rows", True), ("rows", False)):  # held out by the user, they count
        own = one.setup.replaced(success=success, test=0.25 * said)
        assert (
            "on held-out rows" in " ".join(one._replace(setup=own, recommended=best).verdict)
        ) == said


def test_one_seed_is_told_in_the_singular() -> None:
    text = " ".join(diagnose(FOUNDING, 1).verdict)
    assert "Now: 100% of 1 seed fails (" in text
    assert "too few seeds to say whether yours is to blame" in text
    assert re.search(
        r"is seen to make .*\. With 1 seed and \d+ single changes, effects of up to .* stay "
        r"unseen \(",
        text,
    )
    assert "1 seeds" not in text
    assert " ".join(diagnose(HEALTHY, 1).verdict).startswith(
        "Now: the one seed that was tried converges (95% CI "
    )


def test_explain_says_it_in_a_screenful() -> None:
    explained = fastbp.explain(*ASKED, hidden=[4], lr=0.2, order="random", updates=999, seeds=168)
    assert str(explained) == repr(explained)
    assert str(explained).startswith("Wrong   too few updates. 10 × the updates fixes it")
    assert "in your own code: " in str(explained)
    assert explained.table.iloc[0]["change"] == "10 × the updates"
    assert explained.recommended.setup.problem_name == "file:arrays.npz"
    mine, theirs = (
        train([Trial(explained.setup)], 0, 100),
        train([Trial(FOUNDING)], 0, 100),
    )
    np.testing.assert_array_equal(mine[Trial(explained.setup)].end, theirs[Trial(FOUNDING)].end)


def test_explain_tells_every_mistake() -> None:
    with pytest.raises(SweepError) as caught:
        fastbp.explain([[0, 1e99], [1, 1]], [0, np.inf], lr=-1, problem="xor", updates=9)
    for said_ in (
        "'x1' is outside in row 1",
        "'t0' is outside in row 2",
        "lr: given -1",
        "problem: given",
    ):
        assert said_ in "\n".join(caught.value.lines)
    for X, T in (
        ([], []),
        ([[0], [1]], [0]),
        ([[[0]]], [0]),
        ([[0], [1]], [np.nan, np.nan]),
        ("abc", 3),
        ([[1e300]], [0]),
        ([[0], [1]], [2**70, 1]),
        ([[0], [1]], [Decimal("sNaN"), 1]),
    ):
        with pytest.raises(SweepError):
            fastbp.explain(X, T, updates=9)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seeds", 0),
        ("seeds", 1.5),
        ("seeds", "a"),
        ("seeds", True),
        ("seconds", 0),
        ("seconds", "x"),
    ],
)
def test_explain_tells_numbers_that_are_none(key: str, value: object) -> None:
    with pytest.raises(SweepError, match=f"{key}: given .*, allowed: "):
        fastbp.explain(*XOR, updates=9, **{key: value})


def test_explain_takes_the_rows_and_the_budget_of_the_command() -> None:
    X, T = (np.vstack([part, part[:1]]) for part in XOR)
    explained = fastbp.explain(np.where(np.arange(5)[:, None] < 4, X, np.nan), T, lr=2, seeds=100)
    assert explained.setup.epochs == 1000
    assert str(explained).startswith(
        "note: missing values in row 5: 1 of 5 rows are left out\n"
        "note: no budget was given, so each run has 1,000 epochs\n"
    )


@pytest.mark.parametrize(
    "setup",
    [
        FOUNDING,
        Setup(problem="xor", epochs=9, hidden=(3, 2), lr=2.5, batch="full", bias=False),
    ],
)
def test_the_setup_in_python_is_the_setup(setup: Setup) -> None:
    assert (
        eval(printout._python(setup), {"fastbp": fastbp}).identity() == setup.identity()
    )  # a line of ours


TWO = np.array([[20_000.0, 100], [20_000, 150], [23_000, 100], [23_000, 150]]), XOR[1]


@pytest.mark.parametrize(
    ("X", "keys", "first", "causes"),
    [
        (
            XOR[0],
            {"hidden": [2], "lr": 2, "updates": 10},
            "1,000 × the updates",
            {"too few updates"},
        ),
        (XOR[0], {"lr": 5e-4, "epochs": 1000}, "10?,000 × the rate", {"rate too low"}),
        (XOR[0], {"lr": 1, "epochs": 500, "bias": False}, "adding biases", {"no biases"}),
        (
            XOR[0],
            {"lr": 2, "epochs": 500, "weight_decay": 0.03},
            "no weight decay",
            {"weight decay too strong"},
        ),
        (TWO[0], {"lr": 1e-3, "epochs": 500}, None, {"unscaled inputs", "rate too low"}),
        (XOR[0], {"lr": 1e-5, "epochs": 200}, None, {"rate too low"}),
        (XOR[0], {"lr": 1e5, "epochs": 200}, None, {"rate too high"}),
        (
            XOR[0],
            {"lr": 2, "epochs": 1000, "schedule": "exponential:factor=0.9"},
            "a constant rate",
            {"a rate that falls too fast"},
        ),
        (
            XOR[0],
            {"lr": 0.5, "epochs": 1500, "init_scale": 30.0, "momentum": 0.999},
            None,
            {"initial weights too large", "momentum too high"},
        ),
    ],
)
def test_faults_that_are_large_or_two_or_of_ones_own_making(
    X, keys, first: str | None, causes: set[str]
) -> None:
    one = diagnose(Setup.from_arrays(X, XOR[1], **keys), SEEDS)
    text = " ".join(one.verdict)
    named = "|".join(and_(list(each)) for each in permutations(causes))
    assert re.search(f"Wrong: (judged by the share of constant answers, )?({named})\\b", text), text
    if first:
        assert re.fullmatch(first, one.table.iloc[0]["change"])
    assert {change.cause for change in one.recommended.changes} >= causes
    assert one.recommended.converged / one.recommended.runs == pytest.approx(
        share(one.recommended.setup), abs=0.1
    )
    assert share(one.recommended.setup) > 0.9


def test_a_tolerance_that_is_strict_is_told() -> None:
    one = diagnose(Setup(problem="xor", lr=2, epochs=500, tolerance=0.02), 168)
    assert (
        "within 0.4 of every target, the usual tolerance, and fail only because the tolerance is "
        "0.02" in " ".join(one.verdict)
    )
    assert "lenient" not in {
        symptom.name for symptom in diagnose(Setup(problem="xor", lr=2, epochs=100), 168).symptoms
    }


# Files


def test_the_sweep_file_has_both_setups_and_they_are_those_of_the_diagnosis(tmp_path) -> None:
    for at, setup in enumerate(
        [
            {"problem": "table:11101011", "lr": 0.2, "order": "random", "updates": 999},
            {"problem": "xor", "lr": 0.5, "epochs": 300, "batch": "full", "momentum": 0.999},
            {"problem": "xor", "lr": 2.0, "epochs": 60, "eval_every": 3},
            {"problem": "xor", "lr": 1.0, "epochs": 1500, "hidden": [1]},
        ]
    ):
        sweep = Sweep(seeds=1, setup=setup)
        one = diagnose(sweep.setups[0], SEEDS)
        written, commands = printout.write_files(one, (), sweep, tmp_path / str(at))
        assert {path.name for path in written} == {
            "changes.csv",
            "fixed.toml",
            "changes.svg",
            "diagnosis.html",
        }
        again = Sweep.from_toml(tmp_path / str(at) / "fixed.toml")
        assert [found.identity() for found in again.setups] == [
            one.setup.identity(),
            one.recommended.setup.identity(),
        ]
        assert any("fastbp replay" in line and one.setup.identity() in line for line in commands)
        assert (
            pd.read_csv(tmp_path / str(at) / "changes.csv")["change"].tolist()
            == one.table["change"].tolist()
        )
    assert fastbp.run(again.with_seeds(0, 20))["setup"].nunique() == 2


# Own weights


@pytest.mark.parametrize(
    "setup",
    [
        FOUNDING,
        Setup(problem="xor", epochs=300, lr=4, hidden=(3,), stop="converged", eval_every=7),
        Setup(problem="xor", epochs=30, lr=2, hidden=(3, 2), momentum=0.9, dtype="float32"),
        Setup(problem="xor", epochs=30, lr=2, bias=False),
    ],
)
def test_own_weights_are_trained_as_a_seed_of_the_same_weights_and_order(
    setup: Setup, tmp_path
) -> None:
    trajectory = retrain(setup, 5)
    np.savez(tmp_path / "own.npz", **lane_group.by_name(trajectory.initial, True))
    placed = own_weights.place(
        setup, own_weights.read(tmp_path / "own.npz", setup), fresh(setup, 400)
    )
    assert (placed.custom.runs, placed.fresh.runs) == (200, 400)
    np.testing.assert_array_equal(
        placed.custom.end[:, 5], train([Trial(setup)], 5, 1)[Trial(setup)].end[:, 0]
    )
    assert placed.custom.end[m.LOSS, 5] == trajectory.evaluations["loss"].iloc[-1]
    at = placed.custom.converged_at[5]
    assert (None if at < 0 else at) == trajectory.converged_at
    assert len(np.unique(placed.custom.end[m.LOSS])) > 100  # other orders are other runs
    below = 100 * (placed.fresh.end[m.LOSS] < np.median(placed.custom.end[m.LOSS])).mean()
    assert placed.loss_percentile == pytest.approx(below, abs=0.5)


def fresh(setup: Setup, count: int) -> MeasuredRuns:
    return train([Trial(setup)], 0, count)[Trial(setup)]


def test_there_may_be_no_time_for_combinations_of_changes_with_bad_scores(monkeypatch) -> None:
    """An R² may be below 0."""
    table = pd.DataFrame(
        [["a", "cause", True, -1.5, 1.0]],
        columns=["change", "cause", "fixes", "level", "multiply_adds"],
    )
    experiment = SimpleNamespace(groups={"a": (Change("a", "cause", {}),)}, runs=9)
    monkeypatch.setattr(recommend, "_tried", lambda *_: (table.head(0), False))
    combined, complete = recommend.together(experiment, table)  # type: ignore[arg-type]
    assert (len(combined), complete) == (0, False)


def test_lucky_and_unlucky_weights() -> None:
    setup = Setup(problem="xor", lr=1, epochs=800)
    good = retrain(changed(setup, Change("", "", {"epochs": 4000})), 2)
    lucky = own_weights.place(setup, good.final, fresh(setup, 300))
    assert own_weights._luck(lucky) == "your network is lucky"
    assert lucky.converges
    zeros = [(np.zeros_like(W), np.zeros_like(b)) for W, b in good.final]
    unlucky = own_weights.place(setup, zeros, fresh(setup, 300))
    assert own_weights._luck(unlucky) == "your network is unlucky"
    assert not unlucky.converges
    text = " ".join(own_weights.sentences(unlucky))
    assert "yours must go: all 4 units of hidden layer 1 start with" in text
    assert "unlucky" not in text
    some = [
        (np.array([[1.0, 2], [3, 4], [1, 2]]), np.zeros(3)),
        (np.array([[5.0, 6, 5]]), np.zeros(1)),
    ]
    assert own_weights.alike(some) == ((0, 2, 3),)
    assert own_weights.alike([some[0], (np.array([[5.0, 6, 7]]), np.zeros(1))]) == ()
    assert '"alike": [{"layer": 1, "units": 4, "of": 4}]' in json.dumps(
        own_weights.as_json(unlucky), allow_nan=False
    )
    for factor, name in ((100, "large"), (1e-5, "small")):
        placed = own_weights.place(
            setup, [(factor * W, factor * b) for W, b in good.initial], unlucky.fresh
        )
        assert placed.fault == f"which are too {name}"
        text = own_weights.sentences(placed)[0]
        assert text.startswith(f"it is your weights, which are too {name}: ")
        assert re.search(f"times as {name} as random ones. Of 200 fresh .* size, 0% converge", text)
    assert (lucky.fault, unlucky.fault) == ("", own_weights.STAY_EQUAL)
    assert (
        0
        < own_weights._size(
            setup.with_columns({"init_scale": 10.0}),
            [(np.full_like(W, 5e-324), b) for W, b in good.initial],
        )
        < 1e-300
    )
    assert own_weights.place(setup, zeros, own_weights.NO_RUNS) is None  # the time was over
    for init in ("zeros", "constant:0"):
        assert own_weights._size(setup.replaced(init=init), good.initial) == 1.0
    short = Setup(problem="xor", lr=0.01, epochs=2)
    assert "and none converge" in " ".join(
        own_weights.sentences(own_weights.place(short, good.initial, fresh(short, 200)))
    )
    assert (
        own_weights.place(setup, good.initial, unlucky.fresh, deadline=time.perf_counter() - 1)
        is None
    )


def test_trials_end_at_the_deadline() -> None:
    assert (
        train([Trial(Setup(problem="xor", updates=10**9))], 0, 10, time.perf_counter() + 0.2) == {}
    )
    assert trials.joined([made(ends(3)), made(ends(4))]).runs == 7


def test_whatever_ends_it_ends_its_threads() -> None:
    def interrupted(share: float) -> None:
        raise KeyboardInterrupt

    began = time.process_time()
    with pytest.raises(KeyboardInterrupt):
        train(
            [Trial(Setup(problem="xor", updates=10**9)), Trial(Setup(problem="xor", updates=9))],
            0,
            10,
            tick=interrupted,
        )
    assert time.process_time() - began < 2


def test_it_tells_what_it_is_at(founding: Diagnosis, told: list[str]) -> None:
    assert told[0] == "the setup itself"
    assert any(re.fullmatch(r"\d+ setups, 336 of 336 seeds each", text) for text in told)
    assert {"inspecting failing runs", "checking on fresh seeds", "two orders of samples"} <= set(
        told
    )


def test_a_setup_under_which_few_fail_is_sound() -> None:
    one = diagnose(Setup(problem="xor", lr=2, epochs=330), 600)
    text = " ".join(one.verdict)
    assert 0.9 < one.converged < 1
    assert text.startswith("Fix: another seed: this setup seldom fails. Fix: ")
    assert re.search(
        "Now: .*: where yours does not converge, it is your seed or your code[.]", text
    )
    rare = " ".join(diagnose(Setup(problem="xor", lr=4, epochs=1000), 600).verdict)
    assert "where yours does not converge, it is your code or a rare seed." in rare
    assert re.search(r"Also: fewer seeds fail with .* points, at ", text)
    assert "Wrong" not in text + rare
