"""Adaptive sweeps: bisection on invented responses, rounds of seeds on invented shares, and what is
counted of a store."""

import math
import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fake_runs import replaced, runs
from hypothesis import given, strategies as st
from stores import opened, publish

from fastbp import Setup, summary
from fastbp.adaptive import bisection as bisection_module, until_width
from fastbp.adaptive.bisection import (
    AXES,
    Bisection,
    BisectionResult,
    HalfwayPoint,
    SettingSearch,
    shortest,
)
from fastbp.analysis.statistics.proportions import (
    confidence_sequence,
    sequence_prior,
    sequence_trials,
    wilson,
)
from fastbp.config.sweep import Sweep
from fastbp.engine import backends, forecast, machine
from fastbp.engine.driver import Trained
from fastbp.engine.plan import Plan, missing
from fastbp.schema.errors import StoreError
from fastbp.schema.keys import LAST_SEED, NUMERICS_VERSION
from fastbp.schema.outcomes import OUTCOMES
from fastbp.store.store import Store

XOR = Setup(problem="xor", hidden=[2], updates=100)


def searched(bisection: Bisection, share: Callable[[float], float]) -> HalfwayPoint | None:
    """Found on a response without noise, or with noise of its own."""
    for _ in range(100):
        if not (wanted := bisection.wanted()):
            return bisection.point()
        assert wanted == sorted(set(wanted))
        assert bisection.converged.keys().isdisjoint(wanted)
        bisection.converged |= {value: round(share(value) * bisection.seeds) for value in wanted}
    raise AssertionError("it does not end")


def logistic(value: float, middle: float = 0.3, scale: float = 0.3) -> float:
    return 1 / (1 + (middle / value) ** (1 / scale)) if value > 0 else 0.0


# Where half of the seeds converge


@pytest.mark.parametrize("start", [0.3, 0.1, 2.0, 100.0, 0.001])
@pytest.mark.parametrize("rising", [True, False])
def test_the_value_and_its_bounds_are_found_from_wherever_it_starts(start, rising):
    seeds = 2000
    found = searched(
        Bisection(AXES["lr"], seeds, start), lambda v: logistic(v) if rising else 1 - logistic(v)
    )
    assert (found.rising, found.crossings, found.value) == (rising, 1, pytest.approx(0.3, rel=0.01))
    assert found.low < found.value < found.high
    # What the true curve says: Wilson's interval contains one half up to |share − ½| = z / (2
    # √(seeds + z²)).
    reach = 0.3 * math.log((0.5 + (d := 0.98 / math.sqrt(seeds))) / (0.5 - d))
    assert reach * 0.99 <= math.log(0.3 / found.low) <= reach * 1.3
    assert reach * 0.99 <= math.log(found.high / 0.3) <= reach * 1.3


@pytest.mark.parametrize(
    "same_seeds", [True, False], ids=["the same seeds at all values", "fresh seeds at each"]
)
@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_the_interval_has_the_true_value_as_often_as_it_says(same_seeds, scale):
    rng = np.random.default_rng(12)
    seeds, hits, draws = 200, 0, 150
    for _ in range(draws):
        own = 0.3 * np.exp(scale * rng.logistic(size=seeds))
        fresh = lambda value: rng.binomial(seeds, logistic(value, scale=scale)) / seeds  # noqa: E731
        same = lambda value, own=own: float((own < value).mean())  # noqa: E731
        found = searched(
            Bisection(AXES["lr"], seeds, round(float(np.exp(rng.uniform(-2, 1))), 3)),
            same if same_seeds else fresh,
        )
        hits += found.low <= 0.3 <= found.high
    assert hits / draws >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / draws)


def test_values_on_both_sides_of_the_interval_exclude_one_half():
    bisection = Bisection(AXES["lr"], 500, 0.1)
    found = searched(bisection, logistic)
    assert wilson(bisection.converged[found.low], 500)[1] < 0.5
    assert wilson(bisection.converged[found.high], 500)[0] > 0.5
    inside = [value for value in bisection.converged if found.low < value < found.high]
    assert inside
    for value in inside:
        low, high = wilson(bisection.converged[value], 500)
        assert low <= 0.5 <= high


@pytest.mark.parametrize(("share", "most"), [(0.1, True), (0.9, False)])
def test_where_there_is_no_such_value_the_whole_range_was_tried(share, most):
    bisection = Bisection(AXES["lr"], 1000, 0.1)
    assert searched(bisection, lambda value: share) is None
    assert (min(bisection.converged), max(bisection.converged)) == (
        pytest.approx(0.1 / 1024, rel=1e-3),
        102.4,
    )
    (line,) = told(bisection)
    few, sizes = (
        ("fewer", r"at most 10.0% \[8.3–12.0\]")
        if most
        else ("more", r"at least 90.0% \[88.0–91.7\]")
    )
    values = r"2\d values of lr tried, 9.766e-05 to 102.4"
    assert re.fullmatch(
        rf"{few} than half of 1,000 seeds converge at all {values}: {sizes}, at \S+", line
    )


def test_a_share_that_only_comes_near_one_half_has_no_bounds():
    bisection = Bisection(AXES["lr"], 1000, 0.1)
    assert searched(bisection, lambda value: 0.2 if value < 0.2 else 0.505) is None
    half = "half of 1,000 seeds converge somewhere, but no two of the 2"
    assert re.match(
        half + r"\d values .* have clearly fewer and clearly more: ", told(bisection)[0]
    )


@pytest.mark.parametrize("way", [1, -1])
def test_a_peak_between_doublings_is_found(way):
    """As of a rate from which both slower and faster learning get there less often."""
    share = lambda value: 0.5 + way * (0.1 - 0.4 * abs(math.log2(value / 0.55)))  # noqa: E731
    found = searched(
        Bisection(AXES["lr"], 2000, 0.1), lambda value: min(max(share(value), 0.0), 1.0)
    )
    assert (found.crossings, found.value) == (2, pytest.approx(0.55 * 2**-0.25, rel=0.02))


@pytest.mark.parametrize(
    ("start", "value", "rising"),
    [
        (0.05, 0.1, True),
        (0.5, 0.1, True),
        (0.6, 3.0, False),
        (10.0, 3.0, False),
    ],
)
def test_of_several_crossings_the_nearest_to_the_baseline_is_taken(start, value, rising):
    """As of rates: too low ones do not get there, too high ones saturate."""
    share = lambda value: logistic(value, 0.1, 0.2) * (1 - logistic(value, 3.0, 0.2))  # noqa: E731
    bisection = Bisection(AXES["lr"], 4000, start, given=[0.01, 0.55, 30])
    found = searched(bisection, share)
    assert (found.value, found.rising, found.crossings) == (
        pytest.approx(value, rel=0.02),
        rising,
        2,
    )
    assert ("fewer above it" in told(bisection)[0]) == (not rising)
    assert f"; of 2 such values it is the nearest to lr {start:g}" in told(bisection)[0]


def told(bisection: Bisection) -> list[str]:
    result = BisectionResult(
        Sweep(seeds=bisection.seeds, setup={"problem": "xor", "updates": 1}),
        Trained(0, 0, {"train": 0.0}, []),
        bisection.axis.key,
        [SettingSearch({}, XOR, bisection)],
    )
    return result.lines(pd.DataFrame({"setup": []}))


def test_between_given_values_nothing_else_is_tried():
    bisection = Bisection(AXES["lr"], 1000, 0.1, given=[0.2, 0.4])
    assert searched(bisection, logistic).value == pytest.approx(0.3, rel=0.01)
    assert all(0.2 <= value <= 0.4 for value in bisection.converged)
    far = Bisection(AXES["lr"], 1000, 0.1, given=[1e-310, 1.0])  # their ratio is no number
    assert searched(far, lambda v: logistic(max(v, 1e-9))).value == pytest.approx(0.3, rel=0.1)
    bisection = Bisection(AXES["lr"], 1000, 0.1, given=[0.4, 0.8])
    assert searched(bisection, logistic) is None
    assert all(0.4 <= value <= 0.8 for value in bisection.converged)
    hidden = Bisection(
        AXES["lr"], 1000, 0.1, given=[0.01, 100.0]
    )  # two crossings between ends that are alike
    assert searched(hidden, lambda v: logistic(v, 0.3) * (1 - logistic(v, 30.0))).crossings == 2


@pytest.mark.parametrize("start", [100, 1000, 30_000])
def test_of_whole_numbers_it_is_the_first_at_which_half_do(start):
    bisection = Bisection(AXES["epochs"], 10**9, start)  # no noise to speak of
    found = searched(bisection, lambda value: 0.3 if value < 1234 else 0.7)
    assert found == HalfwayPoint(1234, 1233, 1234, True, 1)
    assert all(isinstance(value, int) for value in bisection.converged)


def test_budgets_are_not_tried_in_vain():
    """Ten times the budget takes ten times as long: where too many converge only smaller ones are
    tried."""
    assert sorted(nowhere("updates", 1000, 0.9)) == [16, 31, 62, 125, 250, 500, 1000]
    assert max(nowhere("updates", 1000, 0.1)) == 64_000


def nowhere(key: str, start: float, share: float, **more: Any) -> dict[float, int]:
    """The values that are tried where the share is the same everywhere."""
    bisection = Bisection(AXES[key], 1000, start, **more)
    assert searched(bisection, lambda value: share) is None
    return bisection.converged


def test_keys_that_are_0_start_beside_it():
    found = searched(
        Bisection(AXES["weight_decay"], 2000, 0.0), lambda value: 1 - logistic(value, 0.003)
    )
    assert found.value == pytest.approx(0.003, rel=0.02)
    found = searched(
        Bisection(AXES["prime_offset"], 2000, 0.0), lambda value: 0.4 if value == 0 else 0.9
    )
    assert found.low == 0
    assert found.high < 1e-6


def test_momentum_nears_1_and_reaches_0():
    found = searched(
        Bisection(AXES["momentum"], 2000, 0.9), lambda value: logistic(1 - value, 0.02)
    )
    assert found.value == pytest.approx(0.98, abs=0.001)
    assert not found.rising
    tried = nowhere("momentum", 0.9, 0.1)
    assert min(tried) == 0
    assert max(tried) < 1


def test_it_stops_at_what_is_allowed():
    tried = nowhere("lr", 0.1, 0.1, allowed=lambda value: 0.03 < value < 0.5)
    assert {0.05, 0.1, 0.2, 0.4} <= tried.keys()
    assert all(0.05 <= value <= 0.4 for value in tried)
    assert max(nowhere("target_margin", 0.0, 0.1)) == 0.49


@given(st.floats(1e-12, 1e12), st.floats(1.0001, 10))
def test_a_value_between_two_has_few_digits(low, ratio):
    high = low * ratio
    for axis in (AXES["lr"], AXES["weight_decay"]):
        middle = axis.middle(low, high)
        assert low < middle < high
        assert float(f"{middle:.{math.ceil(2 - math.log10(math.log(ratio))) - 1}e}") == middle
    assert shortest(low, math.sqrt(low * high), high) <= high


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_middle_of_momenta_is_between_them(a, b):
    low, high = sorted((a * 0.9999, b * 0.9999))
    middle = AXES["momentum"].middle(low, high)
    assert middle is None or low < middle < high


# Settings


@pytest.mark.parametrize(
    ("grid", "settings", "given", "start"),
    [
        ([], [{}], [], 0.5),
        ({"lr": [0.1, 0.4]}, [{}], [0.1, 0.4], 0.5),
        ({"lr": [0.2]}, [{}], [], 0.2),
        (
            {"lr": [0.1, 0.4], "hidden": [2, [3, 3]]},
            [{"hidden": (2,)}, {"hidden": (3, 3)}],
            [0.1, 0.4],
            0.5,
        ),
        ({"order": ["random", "cyclic"]}, [{"order": "random"}, {"order": "cyclic"}], [], 0.5),
        (
            [{"lr": [1.0, 2.0]}, {"order": ["shuffled", "cyclic"]}],
            [{}, {"order": "cyclic"}],
            [1.0, 2.0],
            0.5,
        ),
    ],
)
def test_each_setting_of_the_other_keys_is_searched_once(grid, settings, given, start):
    sweep = Sweep(seeds=10, setup={"problem": "xor", "lr": 0.5, "updates": 10}, grid=grid)
    found = list(bisection_module.searches_of(sweep, AXES["lr"]))
    assert [setting.setting for setting in found] == settings
    assert (found[0].bisection.given, found[0].bisection.start) == (given, start)


@pytest.mark.parametrize(("key", "start"), [("updates", 400), ("epochs", 100)])
@pytest.mark.parametrize("written", [{"updates": 400}, {"epochs": 100}])
def test_the_budget_is_bisected_in_either_way_of_writing_it(key, start, written):
    sweep = Sweep(seeds=10, setup={"problem": "xor"} | written)
    (setting,) = bisection_module.searches_of(sweep, AXES[key])
    assert setting.bisection.wanted() == [start]
    tried = bisection_module._tried(sweep, key, [setting], [[start, 2 * start]])
    assert [getattr(setup, key) for setup in tried.setups] == [start, 2 * start]
    assert {setup.identity() for setup in tried.setups} == {
        bisection_module._changed(setting.setup, key, value).identity()
        for value in (start, 2 * start)
    }


def test_an_axis_is_a_numeric_key():
    for key, axis in AXES.items():
        assert bisection_module._allows(XOR, key, axis.low or axis.first)


# Seeds until intervals are narrow


def narrowed(monkeypatch, shares, width, most=10**9, seeds=100):
    """What rounds of seeds do where the setups' shares converged are these, without noise; all
    others are partial."""

    def count_outcomes(store, setups, seeds):
        counts = np.zeros((len(shares), len(OUTCOMES)), np.int64)
        counts[:, 1] = np.round(np.array(shares) * seeds[1])
        counts[:, -1] = seeds[1] - counts[:, 1]
        return counts

    monkeypatch.setattr(until_width, "count_outcomes", count_outcomes)
    rounds = []

    def train(sweep):
        rounds.append(sweep.seeds.count)
        return Trained(sweep.seeds.count, 1, {"train": 1.0}, [])

    sweep = Sweep(
        seeds=seeds,
        setup={"problem": "xor", "updates": 9},
        grid={"lr": [0.1 * (i + 1) for i in range(len(shares))]},
    )
    return until_width.until_width(sweep, None, width, train, most), rounds


def test_rounds_grow_until_every_interval_is_narrow(monkeypatch):
    found, rounds = narrowed(monkeypatch, [0.02, 0.4, 0.0], 0.02)
    assert found.complete
    assert rounds[0] == 100
    assert all(before < after <= 4 * before * 1.1 for before, after in pairwise(rounds))
    assert found.sweep.seeds.count == rounds[-1] <= 1.15 * sequence_trials(0.4, 0.02)
    assert (found.share, found.setup) == ("converged", found.sweep.setups[1].identity())
    assert 0.018 < found.widest <= 0.02
    assert (found.trained.runs, found.trained.seconds) == (
        sum(rounds),
        {"train": float(len(rounds))},
    )


def test_a_sweep_that_is_narrow_is_not_gone_on_with(monkeypatch):
    found, rounds = narrowed(monkeypatch, [0.5], 0.1, seeds=2000)
    assert (found.complete, rounds) == (True, [2000])


def test_seeds_end_at_the_most(monkeypatch):
    found, rounds = narrowed(monkeypatch, [0.5], 0.02, most=5000)
    assert not found.complete
    assert rounds[-1] == found.sweep.seeds.count == 5000
    assert found.widest > 0.02
    assert sum(count > 5000 for count in rounds) == 0


def test_blocks_that_fail_end_it(tmp_path):
    failed = Trained(1, 1, {"train": 1.0}, ["setup x: no such luck"])
    sweep = Sweep(seeds=10, setup={"problem": "xor", "updates": 9})
    found = until_width.until_width(sweep, Store(tmp_path), 0.1, lambda sweep: failed, 100)
    assert (found.complete, found.trained.failed) == (False, failed.failed)
    searches = bisection_module.searches_of(sweep, AXES["lr"])
    halves = bisection_module.bisect(
        sweep, searches, Store(tmp_path), AXES["lr"], lambda sweep: failed
    )
    assert (halves.complete, halves.searches) == (False, [])


def test_so_many_seeds_are_enough_and_room_for_fewer_is_told(monkeypatch, tmp_path):
    store, sweep = (
        Store(tmp_path / "store"),
        Sweep(seeds=100, setup={"problem": "xor", "updates": 9}),
    )
    one = backends.pool("threads", 1)
    monkeypatch.setattr(machine, "memory", lambda: None)
    monkeypatch.setattr(machine, "disk", lambda path: None)
    most = partial(until_width.max_seeds, sweep, store, pool=one)
    assert most(0.01) == (95_000, "")
    assert until_width.max_seeds(sweep.with_seeds(0, 100_000), store, 0.01, one) == (100_000, "")
    monkeypatch.setattr(machine, "disk", lambda path: machine.Disk(1_000_000, None))
    seeds, short = most(0.01)
    assert 100 < seeds < 95_000
    assert "are free: take fewer seeds" in short
    forecast.check(Plan(sweep.with_seeds(0, seeds)), store, one)
    monkeypatch.setattr(machine, "disk", lambda path: None)
    monkeypatch.setattr(machine, "memory", lambda: int(forecast.LIBRARIES * 20))
    assert most(0.0001)[1].startswith("the sweep needs ")
    monkeypatch.setattr(machine, "memory", lambda: None)
    assert until_width.max_seeds(sweep.with_seeds(LAST_SEED - 1000, 10), store, 0.01, one) == (
        1000,
        "the last seed is 2^63 − 1",
    )


def test_only_the_first_seeds_are_counted(tmp_path):
    store = opened(tmp_path)
    other = Setup(problem="xor", hidden=[3], updates=100)
    for setup in (XOR, other):
        for start, count in ((0, 100), (100, 50), (150, 250)):
            publish(store, setup, start, count)
    words = np.array(runs(XOR, 0, 400)["outcome"].to_pylist())
    count = partial(until_width.count_outcomes, store)
    for stop in (120, 150, 151, 399, 400):
        (counts,) = count([XOR.identity()], (0, stop))
        assert counts.tolist() == [(words[:stop] == str(outcome)).sum() for outcome in OUTCOMES]
    later = count([other.identity(), XOR.identity()], (120, 100))
    assert later[1].tolist() == [(words[120:220] == str(outcome)).sum() for outcome in OUTCOMES]
    with pytest.raises(StoreError, match=r"has 400 of the 401 runs of setup"):
        count([XOR.identity()], (0, 401))
    publish(store, XOR, 390, 20)
    with pytest.raises(StoreError, match="have runs of the same seeds"):
        count([XOR.identity()], (0, 405))
    forged = replaced(runs(XOR, 410, 2), "outcome", pa.array(["other"] * 2).dictionary_encode())
    store.publish(XOR.identity(), 410, forged, {"fastbp.numerics": str(NUMERICS_VERSION)})
    with pytest.raises(StoreError, match="it has other outcomes than "):
        count([XOR.identity()], (410, 2))


def test_found_as_json_has_every_value():
    bisection = Bisection(AXES["lr"], 10, 0.1)
    bisection.converged = {0.1: 3}
    assert SettingSearch({"hidden": (2,)}, XOR, bisection).as_json() == {
        "setting": {"hidden": (2,)},
        "value": None,
        "low": None,
        "high": None,
        "rising": None,
        "crossings": None,
        "tried": [{"value": 0.1, "converged": 3}],
    }


# Through a store


@pytest.fixture
def invented(tmp_path):
    """A store, and what stands in for training: runs that nobody trained, of which about as many
    converge with any setup."""
    store = opened(tmp_path / "store")

    def train(sweep: Sweep) -> Trained:
        made, present = 0, store.present()
        for setup in sweep.setups:
            for start, count in missing((0, sweep.seeds.count), present.get(setup.identity(), ())):
                rows = replaced(
                    runs(setup, start, count), "converged_at", pa.nulls(count, pa.int64())
                )
                store.publish(setup.identity(), start, rows)
                made += count
        return Trained(made, made, {"train": 1.0}, [])

    return store, train


def test_until_narrow_through_a_store(invented):
    store, train = invented
    sweep = Sweep(seeds=20, setup={"problem": "xor", "updates": 9}, grid={"lr": [0.1, 0.2]})
    found = until_width.until_width(sweep, store, 0.2, train, 900)
    seeds = found.sweep.seeds.count
    assert (found.complete, found.trained.runs) == (True, 2 * seeds)
    table = summary(store.path)
    row = table[table["setup"] == found.setup].iloc[0]
    low, high = confidence_sequence(row[found.share.replace("-", "_")], seeds, sequence_prior(0.2))
    assert found.widest == pytest.approx(float(high - low))
    assert found.lines(table)[0].startswith(
        f"After {seeds} seeds every share has a 95% interval at most 0.2 wide; the widest is "
        f"{found.widest:.3g}, for {found.share} with lr {row['lr']}."
    )
    told = found.as_json()["until_width"]
    assert (told["reached"], told["seeds"], told["widest"]["setup"]) == (True, seeds, found.setup)
    again = until_width.until_width(sweep, store, 0.2, train, 900)
    assert (again.sweep, again.widest, again.trained.runs) == (found.sweep, found.widest, 0)


def test_bisected_through_a_store(invented):
    store, train = invented
    sweep = Sweep(
        seeds=40, setup={"problem": "xor", "updates": 9}, grid={"hidden": [2, 3], "lr": [0.1, 0.4]}
    )
    found, again = (
        bisection_module.bisect(
            sweep, bisection_module.searches_of(sweep, AXES["lr"]), store, AXES["lr"], train
        )
        for _ in range(2)
    )
    assert found.complete
    assert [each.setting for each in found.searches] == [{"hidden": (2,)}, {"hidden": (3,)}]
    table = summary(store.path)
    for each in found.searches:
        rows = table[table["hidden"] == each.setup.columns()["hidden"]]
        assert dict(zip(rows["lr"], rows["converged"], strict=True)) == each.bisection.converged
    assert [line.partition(": ")[0] for line in found.lines(table)] == ["hidden 2", "hidden 3"]
    assert len(found.as_json()["bisect"]) == 2
    assert {setup.identity() for setup in found.sweep.setups} == set(table["setup"])
    assert (again.as_json(), again.trained.runs) == (found.as_json(), 0)
