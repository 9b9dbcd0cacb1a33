"""Times to an event: survival, restarts, and what each of several changes did to a mean."""

import warnings
from fractions import Fraction
from itertools import pairwise, permutations
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from scipy import stats

from fastbp.analysis.statistics import kaplan_meier as kaplan_meier_module
from fastbp.analysis.statistics.kaplan_meier import (
    kaplan_meier,
    mean_time_difference,
    median_difference,
    restart,
    restart_costs,
)
from fastbp.analysis.statistics.paired import shapley, tango

Real = NDArray[np.float64]
Counts = NDArray[np.int64]

TREATED = [6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
"""Weeks of remission under 6-MP: until a relapse, and without one. Freireich et al. (1963), Blood
21:699-716."""


def counted(ended: list[int], went_on: list[int]) -> tuple[Counts, Counts, Counts]:
    """Each time once, and how many runs had the event then or were last seen then without it."""
    times = np.unique([*ended, *went_on])
    return times, *(
        (times[:, None] == np.array(found, int)).sum(axis=1) for found in (ended, went_on)
    )


RUNS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40).map(
    lambda runs: ([t for t, event in runs if event], [t for t, event in runs if not event])
)
"""Any times with and without the event, many of them alike."""


@given(RUNS, st.sampled_from([0.8, 0.95, 0.99]))
def test_kaplan_meier_is_scipys(runs: tuple[list[int], list[int]], level: float) -> None:
    ended, went_on = runs
    curve = kaplan_meier(*counted(ended, went_on), level)
    expected = stats.ecdf(
        stats.CensoredData.right_censored(
            [*ended, *went_on], [False] * len(ended) + [True] * len(went_on)
        )
    ).sf
    assert curve.times.tolist() == expected.quantiles.tolist()
    assert curve.at_risk.tolist() == [sum(end >= t for end in ended + went_on) for t in curve.times]
    np.testing.assert_allclose(curve.share, expected.probabilities, atol=1e-14)
    with warnings.catch_warnings():  # where the share is 1 or 0
        warnings.filterwarnings("ignore", "The confidence interval is undefined", RuntimeWarning)
        bounds = expected.confidence_interval(level, method="log-log")
    np.testing.assert_allclose(curve.low, bounds.low.probabilities, rtol=1e-9)
    np.testing.assert_allclose(curve.high, bounds.high.probabilities, rtol=1e-9)


@given(RUNS)
def test_kaplan_meier_does_not_depend_on_how_time_is_split(
    runs: tuple[list[int], list[int]],
) -> None:
    """Times at which nothing happens change nothing at others, not even after the last run."""
    times, events, censored = counted(*runs)
    fine = np.arange(0, 31) / 2
    place = np.searchsorted(fine, times)
    d, c = (np.bincount(place, found, fine.size) for found in (events, censored))
    curve, split = kaplan_meier(times, events, censored), kaplan_meier(fine, d, c)
    for one, other in zip(curve[1:], split[1:], strict=True):
        np.testing.assert_array_equal(one, other[place])
    last = np.searchsorted(times, fine, side="right")
    for values, start, found in (
        (curve.share, 1.0, split.share),
        (curve.low, np.nan, split.low),
        (curve.high, np.nan, split.high),
    ):
        np.testing.assert_array_equal(found, np.append(start, values)[last])
    assert str(split.median()) == str(curve.median())


def test_kaplan_meier_edges() -> None:
    nothing = kaplan_meier([], [], [])
    assert nothing.share.size == 0
    assert np.isnan(nothing.median()).all()
    never = kaplan_meier([7], [0], [9])
    assert never.share.tolist() == [1]
    assert np.isnan(never.median()).all()
    for times, events, message in [
        ([2, 1], [1, 1], "ascend"),
        ([1, 1], [1, 1], "each once"),
        ([-1, 1], [1, 1], "negative"),
        ([1, 2], [1, -1], "negative"),
        ([1, inf], [1, 0], "infinite"),
        ([inf, inf], [1, 0], "infinite"),
        ([np.nan], [1], "negative"),
        ([1], [np.nan], "negative"),
        ([1, 2], [1], "same length"),
        ([[1]], [[1]], "rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            kaplan_meier(times, events, np.zeros_like(events))
    with pytest.raises(ValueError, match="level = 0"):
        kaplan_meier([1], [1], [0], 0)


def test_a_share_of_exactly_one_half_counts_though_rounded() -> None:
    """As a product of quotients, half of the runs are left only nearly: for 24 runs,
    0.5000000000000001 of them."""
    for n in range(2, 400, 2):
        assert kaplan_meier(np.arange(n), np.ones(n), np.zeros(n)).median()[0] == n / 2 - 1
    assert kaplan_meier(*counted([1, 2, 2, 4, 6, 8], [])).median()[0] == 2


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (counted(*TREATED), (23, 13, nan)),
        (([1, 2], [1, 7], [0, 20]), (nan, nan, nan)),
        # A hundred runs, of which five have ended before all others do at once: it is not
        # before that, nor known to be then.
        (([10, 20], [5, 95], [0, 0]), (20, 20, nan)),
        (([10], [3], [0]), (10, nan, nan)),
    ],
)
def test_is_open_where_the_curve_does_not_fall_so_far(runs: Any, expected: Any) -> None:
    np.testing.assert_array_equal(kaplan_meier(*runs).median(), expected)


@pytest.mark.parametrize("step", [0.001, 0.05, 0.25])
@pytest.mark.parametrize("n", [30, 200])
def test_coverage_is_what_it_should_be(n: int, step: float) -> None:
    """Runs with exponential times, looked at every `step`, against what binomial probabilities
    say.

    Without censoring before the median m, the curve's bounds at a time depend on the count
    until it alone. The interval misses m from above where the lower bound at m is still above
    ½, and from below where the upper one was not at the look before m. P(t ≤ m) ≥ ½ > P(t < m):
    the farther looks are apart, the rarer is either, and the interval is conservative.
    """
    looks = np.arange(step, 1.6, step)
    until = 1 - np.exp(-looks)
    m, k = int(np.flatnonzero(until >= 0.5)[0]), np.arange(1, n)
    bounds = [kaplan_meier([1, 2], [x, 0], [0, n - x]) for x in k]
    above = np.array([curve.low[0] > 0.5 for curve in bounds])
    below = np.array([curve.high[0] <= 0.5 for curve in bounds])
    # With no event at all the lower bound is above; with nothing but events the upper one is
    # below, but undefined.
    missed = stats.binom.pmf(k, n, until[m])[above].sum() + stats.binom.pmf(0, n, until[m])
    missed += stats.binom.pmf(k, n, until[m - 1])[below].sum()
    assert 1 - missed > 0.94
    assert (step < 0.05) == (1 - missed < 0.96)

    rng, covered = np.random.default_rng(30), []
    for counts in rng.multinomial(n, np.diff([0, *until, 1]), 800):
        censored = np.append(np.zeros(looks.size - 1), counts[-1])
        _, low, high = kaplan_meier(looks, counts[:-1], censored).median()
        covered.append(not low > looks[m] and not high < looks[m])
    assert np.mean(covered) == pytest.approx(
        1 - missed, abs=3 * np.sqrt(missed * (1 - missed) / len(covered))
    )


def cost(runs: list[float], limit: float) -> Fraction | float:
    """What a success costs where every run is given up at a limit: of single runs, in exact
    arithmetic."""
    spent, successes = Fraction(0), 0
    for t in runs:
        spent += Fraction(min(t, limit))
        successes += t <= limit
    return spent / successes if successes else inf


ENDS = st.lists(st.one_of(st.integers(0, 15), st.just(inf)), min_size=1, max_size=15)
"""Any times to an event, ∞ where it never came."""


PAIRS = st.lists(st.tuples(*[st.integers(1, 12) | st.just(inf)] * 2), min_size=1, max_size=30).map(
    lambda runs: np.array(runs, float).T
)
"""Times of the same runs before and after a change, many of them alike."""


@given(PAIRS, st.integers(1, 14))
def test_counts_stand_for_equal_runs(runs: Real, until: int) -> None:
    pairs, counts = np.unique(runs, axis=1, return_counts=True)
    for difference in (mean_time_difference, median_difference):
        np.testing.assert_array_equal(
            difference(*pairs, until, counts=counts), difference(*runs, until)
        )


@given(PAIRS, st.integers(1, 14), st.sampled_from([0.8, 0.95]))
def test_mean_times_are_areas_under_scipys_curves(runs: Real, until: int, level: float) -> None:
    areas = []
    for times in runs:
        late = times > until
        ends = stats.CensoredData.right_censored(np.where(late, until, times), late)
        areas.append(stats.ecdf(ends).sf.evaluate(np.arange(until)).sum())
    found = mean_time_difference(*runs, until, level)
    assert found.value == pytest.approx(areas[1] - areas[0], abs=1e-9)
    # Agresti & Min: half a run more at either end, one at 0.
    moved = np.clip(runs[1], 0, until) - np.clip(runs[0], 0, until)
    padded, weights = [*moved, until, -until, 0], [*np.ones(moved.size), 0.5, 0.5, 1]
    mean = np.average(padded, weights=weights)
    spread = np.average((padded - mean) ** 2, weights=weights) ** 0.5
    reach = stats.norm.ppf((1 + level) / 2) * spread / (moved.size + 2) ** 0.5
    np.testing.assert_allclose(
        found[1:], np.clip([mean - reach, mean + reach], -until, until), atol=1e-9
    )


@given(PAIRS, st.integers(1, 14))
def test_median_differences_are_those_of_sorted_times(runs: Real, until: int) -> None:
    middle = np.sort(runs, axis=1)[:, (runs.shape[1] - 1) // 2]
    found = median_difference(*runs, until)
    if max(middle) > until:
        assert np.isnan(found).all()
        return
    assert found.value == middle[1] - middle[0]
    assert not found.low > found.value
    assert not found.high < found.value
    np.testing.assert_allclose(
        median_difference(*runs[::-1], until), -np.array(found)[[0, 2, 1]], atol=1e-9
    )
    np.testing.assert_allclose(
        median_difference(*8 * runs, 8 * until), 8 * np.array(found), atol=1e-6
    )


def test_intervals_of_differences_are_about_those_of_a_paired_bootstrap() -> None:
    """Of runs that share most of their luck: plain resampling of seeds."""
    rng, n, until = np.random.default_rng(48), 600, 2_000.0
    luck = rng.random(n)
    again = np.where(rng.random(n) < 0.2, rng.random(n), luck)
    runs = np.stack(
        [np.ceil(stats.gamma(4, scale=250).ppf(luck)), stats.gamma(4, scale=200).ppf(again)]
    )
    drawn = runs[:, rng.integers(0, n, (4_000, n))]
    kept = np.minimum(drawn, until).mean(axis=2)
    for found, (before, after) in (
        (mean_time_difference(*runs, until), kept),
        (median_difference(*runs, until), np.median(drawn, axis=2)),
    ):
        bounds = np.quantile(after - before, [0.025, 0.975])
        np.testing.assert_allclose(found[1:], bounds, atol=0.2 * (bounds[1] - bounds[0]))
        alone = np.hypot(*(np.std(each) for each in (before, after))) * 2 * 1.96
        assert found.high - found.low < 0.8 * alone  # pairing narrows it


def test_medians_of_other_runs_are_combined_as_independent() -> None:
    before = np.array([10.0, 20, 30, 40, 50, 60, 70, 80] * 4)
    after = np.array([15.0, 75] * 16)  # of every two runs of `before` one ends soon
    (a, a_low, a_high), (b, b_low, b_high) = (
        kaplan_meier(*counted(list(map(int, each)), [])).median() for each in (before, after)
    )
    low, high = np.hypot(b - b_low, a_high - a), np.hypot(b_high - b, a - a_low)
    step = 15  # of `after`, whose times are farther apart
    expected = b - a, b - a - step * np.ceil(low / step), b - a + step * np.ceil(high / step)
    np.testing.assert_allclose(median_difference(before, after, 100), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "step"), [(10, 1), (30, 320), (300, 80), (300, 1)])
def test_differences_cover_what_changed_however_far_evaluations_are_apart(
    n: int, step: int
) -> None:
    """Of seeds that mostly keep their luck; a fifth never converges, and 15% after the change."""
    rng, until = np.random.default_rng(49), 4000
    laws = [(0.8, stats.gamma(4, scale=250)), (0.85, stats.gamma(4, scale=200))]
    looks = np.arange(step, until + 1, step)
    done = [success * law.cdf(looks) for success, law in laws]
    mean = float((done[0] - done[1]) @ np.diff(np.append(looks, until)))
    middle = [looks[np.argmax(each >= 0.5)] for each in done]
    draws, covered = 400, np.zeros(2)
    for _ in range(draws):
        luck = rng.random(n)
        again = np.where(rng.random(n) < 0.1, rng.random(n), luck)
        runs = [
            step * np.ceil(law.ppf(np.minimum(u / success, 1)) / step)  # ∞ above `success`
            for u, (success, law) in zip((luck, again), laws, strict=True)
        ]
        for i, (found, truth) in enumerate(
            (
                (mean_time_difference(*runs, until), mean),
                (median_difference(*runs, until), middle[1] - middle[0]),
            )
        ):
            covered[i] += not found.low > truth and not found.high < truth
    assert covered.min() > 0.92 * draws


def events(runs: list[float]) -> tuple[Counts, Counts, int]:
    """Each time once, how many events there were then, and how many runs there are."""
    times, counts = np.unique([t for t in runs if t < inf], return_counts=True)
    return times, counts, len(runs)


@given(ENDS)
def test_is_the_definition_at_every_time(runs: list[float]) -> None:
    times, counts, total = events(runs)
    np.testing.assert_allclose(
        restart_costs(times, counts, total), [float(cost(runs, t)) for t in times], rtol=1e-14
    )
    looks = np.arange(20)
    at_looks = restart_costs(looks, [runs.count(t) for t in looks], total)
    np.testing.assert_allclose(at_looks, [float(cost(runs, int(t))) for t in looks], rtol=1e-14)
    assert not np.isnan(at_looks).any()


def test_nothing_spent_and_nothing_gained() -> None:
    """Runs that need no time at all, and time 0 before any event, where nothing is spent
    either."""
    assert (
        restart_costs([0, 10], [0, 3], 5).tolist(),
        restart_costs([0, 10], [1, 3], 5).tolist(),
    ) == ([inf, 50 / 3], [0, 10])
    assert restart_costs([4], [0], 0).tolist() == [inf]


def test_restart_costs_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="not more events than runs"):
        restart_costs([1, 2], [2, 2], 3)
    with pytest.raises(ValueError, match="infinite"):
        restart_costs([1, inf], [1, 0], 3)


def brute_force(runs: list[float], draws: int, seed: int) -> tuple[Real, Real]:
    """Optimum and its cost in bootstrap draws of single runs."""
    drawn = np.sort(np.random.default_rng(seed).choice(runs, (draws, len(runs))), axis=1)
    ended = np.where(drawn < inf, drawn, 0.0)
    rank = np.arange(1, len(runs) + 1)
    # Of runs that end at the same time the last one counts: at any before it, fewer successes cost
    # as much.
    costs = np.where(
        drawn < inf, (np.cumsum(ended, axis=1) + (len(runs) - rank) * ended) / rank, inf
    )
    best = np.argmin(costs, axis=1)
    return drawn[np.arange(draws), best], costs[np.arange(draws), best]


@given(ENDS)
def test_minimises_over_every_time(runs: list[float]) -> None:
    found = restart(*events(runs))
    costs = {t: cost(runs, t) for t in range(20)}
    if min(runs) == inf:
        assert np.isnan(found).all()
    else:
        assert (found.cost, costs[int(found.at)]) == (
            pytest.approx(float(min(costs.values())), rel=1e-14),
            min(costs.values()),
        )
        assert found.at_low <= found.at_high
        assert found.cost_low <= found.cost_high


def test_quick_successes_are_worth_waiting_for_alone() -> None:
    """Six in ten runs end at 10, two at 1,000: (10 × 10)/6 against (60 + 2,000 + 2,000)/8."""
    found = restart([10, 1000], [600, 200], 1000)
    assert (found.at, found.at_low, found.at_high, found.cost) == (
        10,
        10,
        10,
        pytest.approx(50 / 3),
    )
    assert 15 < found.cost_low < 50 / 3 < found.cost_high < 18


def test_all_end() -> None:
    """At one time: certain of it. At about the same: nothing is ever given up."""
    assert (restart([7], [50], 50), restart([9], [1], 1)) == (
        (7, 7, 7, 7, 7, 7),
        (9, 9, 9, 9, 9, 9),
    )
    assert restart([100, 101, 102], [10, 10, 10], 30)[3] == 101


def test_no_success_and_few() -> None:
    assert np.isnan(restart([], [], 9)).all()
    assert np.isnan(restart([5, 6], [0, 0], 9)).all()
    rare = restart([100], [1], 1000)
    assert (rare.at, rare.at_low, rare.at_high, rare.cost, rare.cost_high) == (
        100,
        100,
        100,
        100_000,
        inf,
    )
    assert 0 < rare.cost_low < 100_000


def test_draws_without_success_choose_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many runs one ends at 10, three at 11: 10 is better for draws with it and none of the
    others, 3.2% of those that have any. Draws without success are another 1.8% of all, and
    would make it the lower 4% bound."""
    monkeypatch.setattr(kaplan_meier_module, "DRAWS", 50_000)
    assert (
        restart([10, 11], [1, 3], 10**6, 0.92).at_low,
        restart([10, 11], [1, 3], 10**6, 0.95).at_low,
    ) == (11, 10)


def test_events_at_the_start() -> None:
    """One of fifty runs needs no time: drawing until such a one costs nothing, but a draw may
    well have none."""
    found = restart([0, 10], [1, 3], 50)
    assert (found.at, found.at_low, found.at_high, found.cost, found.cost_low) == (
        0,
        0,
        10,
        0,
        0,
    )
    assert found.cost_high > 100


def test_restart_does_not_depend_on_how_time_is_split() -> None:
    rng = np.random.default_rng(41)
    counts = rng.poisson(3, 40) * (rng.random(40) < 0.5)
    times = np.arange(40)
    assert restart(times, counts, 100) == restart(times[counts > 0], counts[counts > 0], 100)


@pytest.mark.parametrize("distinct", [30, 2000])
def test_units_do_not_matter(distinct: int) -> None:
    rng = np.random.default_rng(42)
    times, counts = np.cumsum(rng.integers(1, 9, distinct)), rng.integers(1, 4, distinct)
    found = restart(times, counts, 3 * distinct)
    assert restart(times * 8, counts, 3 * distinct) == tuple(8 * value for value in found)
    np.testing.assert_allclose(
        restart(times * 0.37, counts, 3 * distinct), 0.37 * np.array(found), rtol=1e-12
    )


def test_seeds() -> None:
    """The same one draws the same; others draw others, of about the same bounds; the estimate
    draws nothing."""
    args = [10, 20, 40, 400], [40, 120, 80, 120], 400
    found = restart(*args)
    assert restart(*args) == found
    other = restart(*args, seed=1)
    assert (other.at, other.cost) == (found.at, found.cost)
    assert other != found
    np.testing.assert_allclose(other, found, rtol=0.02)


def test_wider_levels_hold_narrower_ones() -> None:
    args = [10, 20, 40, 400], [10, 15, 12, 30], 100
    for narrow, wide in pairwise([restart(*args, level) for level in (0.5, 0.8, 0.95, 0.99)]):
        assert wide.at_low <= narrow.at_low <= narrow.at_high <= wide.at_high
        assert wide.cost_low < narrow.cost_low < narrow.cost_high < wide.cost_high
    with pytest.raises(ValueError, match="level = 95"):
        restart(*args, 95)


@pytest.mark.parametrize("step", [1, 40])
def test_draws_are_those_of_single_runs(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds lie where the draws of single runs have the share that they should, within three
    Monte Carlo errors.

    Times are nearly all different, or few. Equal draws may make a bound's share leap over that:
    it is not above it before the bound and not below it with it.
    """
    draws = 10_000
    monkeypatch.setattr(kaplan_meier_module, "DRAWS", draws)
    runs = [
        *map(float, step * np.ceil(np.random.default_rng(43).lognormal(5, 0.7, 60) / step)),
        *[inf] * 30,
    ]
    at, costs = brute_force(runs, draws, 44)
    at, costs = np.sort(at), np.sort(costs)
    estimate = restart(*events(runs)).cost
    same = np.isclose(costs, estimate, rtol=1e-12).mean()
    z0 = stats.norm.ppf(np.mean(costs < estimate * (1 - 1e-12)) + same / 2)
    assert z0 > 0  # a draw's least cost is too low
    for level in (0.5, 0.8, 0.95):
        found = restart(*events(runs), level)
        for tail, z in (
            (0, stats.norm.ppf((1 - level) / 2)),
            (1, stats.norm.ppf((1 + level) / 2)),
        ):
            # Both samples err, and for the cost also the shares below the estimate, which count
            # twice.
            error = np.sqrt(2 * stats.norm.cdf(z) * stats.norm.sf(z) / draws)
            bound = found[1 + tail]
            assert (
                np.mean(at < bound) - 3 * error
                <= stats.norm.cdf(z)
                <= np.mean(at <= bound) + 3 * error
            )
            shift = 2 * np.sqrt(2 * 0.25 / draws) / stats.norm.pdf(z0) * stats.norm.pdf(2 * z0 + z)
            error = np.hypot(
                np.sqrt(2 * stats.norm.cdf(2 * z0 + z) * stats.norm.sf(2 * z0 + z) / draws),
                shift,
            )
            bound, goal = found[4 + tail], stats.norm.cdf(2 * z0 + z)
            assert (
                np.mean(costs < bound * (1 - 1e-12)) - 3 * error
                <= goal
                <= np.mean(costs <= bound * (1 + 1e-12)) + 3 * error
            )


def test_pooling_hardly_changes_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 times, of 3,000 runs: in 512 groups against each by itself. The estimate is not
    pooled at all."""
    args = events(
        [*map(float, np.ceil(np.random.default_rng(45).lognormal(9, 0.6, 2200))), *[inf] * 800]
    )
    assert args[0].size > 1500
    monkeypatch.setattr(kaplan_meier_module, "DRAWS", 2000)
    pooled = restart(*args)
    monkeypatch.setattr(kaplan_meier_module, "_GROUPS", 10**9)
    single = restart(*args)
    assert (pooled.at, pooled.cost) == (single.at, single.cost)
    width = single.cost_high - single.cost_low
    # Monte Carlo error of a 2.5% bound of 2,000 draws is some 2% of the width; of either, and
    # of what shifts them.
    np.testing.assert_allclose(pooled[4:], single[4:], atol=0.1 * width)
    np.testing.assert_allclose(pooled[1:3], single[1:3], rtol=0.1)
    # Runs of a group have spent their own mean, not all of it: even few groups keep the cost of
    # giving up at the optimum.
    monkeypatch.setattr(kaplan_meier_module, "_GROUPS", 6)
    np.testing.assert_allclose(restart(*args)[4:], single[4:], atol=0.15 * width)


def test_pooled_draws_can_choose_the_optimum() -> None:
    """It lies just before a long gap, in the midst of events: no group may reach over that."""
    found = restart(np.append(1000 + np.arange(301), 10**6 + np.arange(700)), np.ones(1001), 1100)
    assert found.at == 1300
    assert found.at_low <= 1300 <= found.at_high < 10**6
    assert found.cost_low < found.cost < found.cost_high < 1.2 * found.cost


@pytest.mark.parametrize(("n", "nominal"), [(1000, 0.95), (60, 0.93)])
@pytest.mark.parametrize("shares", [[0.1, 0.3, 0.2, 0.3], [0.1, 0.1, 0.2, 0.3]])
def test_restart_coverage(n: int, nominal: float, shares: list[float]) -> None:
    """Times of which the optimum is known: of a thousand runs, the cost is covered as often as
    claimed.

    Costs at the four: 100, 47.5, 51.7, 194; or 100, 95, 87.5, 359, two of them near each other.
    Of few runs, as with any bootstrap, up to 2 in 100 less often. The time is one of four: its
    bounds hold it more often than claimed.
    """
    times, p = np.array([10.0, 20, 40, 400]), np.array(shares)
    costs = (np.cumsum(times * p) + times * (1 - np.cumsum(p))) / np.cumsum(p)
    best = int(np.argmin(costs))
    drawn = np.random.default_rng(46).multinomial(n, [*p, 1 - p.sum()], 1000)[:, :-1]
    found = np.array([restart(times, counts, n, seed=i) for i, counts in enumerate(drawn)])
    error = np.sqrt(0.05 * 0.95 / len(found))
    covered = np.mean((found[:, 4] <= costs[best]) & (costs[best] <= found[:, 5]))
    assert nominal - 3 * error <= covered <= 0.95 + 3 * error
    assert np.mean((found[:, 1] <= times[best]) & (times[best] <= found[:, 2])) >= 0.95 - 3 * error


@pytest.mark.soak
def test_coverage_where_the_time_does_not_matter() -> None:
    """The worst case, a constant hazard: every time costs 1,000/3. The cost's bounds cover it
    in some 80% of cases."""
    p = 0.03 * 0.97 ** np.arange(40)
    drawn = np.random.default_rng(47).multinomial(400, [*p, 1 - p.sum()], 1000)[:, :-1]
    found = np.array(
        [restart(10 * np.arange(1, 41), counts, 400, seed=i) for i, counts in enumerate(drawn)]
    )
    assert np.mean((found[:, 4] <= 1000 / 3) & (found[:, 5] >= 1000 / 3)) == pytest.approx(
        0.8, abs=0.05
    )


@st.composite
def corners(draw: st.DrawFn) -> Real:
    """What any runs showed under every subset of one to four changes."""
    changes, runs = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    return (
        np.random.default_rng(draw(st.integers(0, 2**32)))
        .integers(0, 2, (1 << changes, runs))
        .astype(float)
    )


@given(corners())
def test_average_over_all_orders_done_literally(v: Real) -> None:
    changes = len(v).bit_length() - 1
    steps: list[list[Real]] = [[] for _ in range(changes)]
    for order in permutations(range(changes)):
        made = 0
        for change in order:
            steps[change].append(v[made | 1 << change] - v[made])
            made |= 1 << change
    for change, part in enumerate(shapley(v)):
        expected = np.mean(steps[change], axis=0)
        assert part.average.value == pytest.approx(expected.mean())
        assert part.alone.value == pytest.approx((v[1 << change] - v[0]).mean())
        assert part.last.value == pytest.approx((v[-1] - v[len(v) - 1 - (1 << change)]).mean())
        ends = (0, 1 << change), (len(v) - 1 - (1 << change), len(v) - 1)
        for (before, after), found in zip(ends, part, strict=False):
            moved = v[after] - v[before]
            assert found[1:] == tango((moved > 0).sum(), (moved < 0).sum(), moved.size)
        # Agresti & Min: half a run more at 1, half a run at -1, one at 0.
        weights = [*np.ones(expected.size), 0.5, 0.5, 1]
        padded = np.array([*expected, 1, -1, 0])
        mean = np.average(padded, weights=weights)
        spread = np.average((padded - mean) ** 2, weights=weights) ** 0.5
        reach = stats.norm.ppf(0.975) * spread / (expected.size + 2) ** 0.5
        np.testing.assert_allclose(
            part.average[1:], np.clip([mean - reach, mean + reach], -1, 1), atol=1e-12
        )
        assert part.average.low <= part.average.value <= part.average.high


@pytest.mark.parametrize(
    ("share", "runs"), [(1e-4, 10_000), (1e-3, 1_000), (0.01, 1_000), (0.3, 30)]
)
def test_contributions_cover_rare_changes(share: float, runs: int) -> None:
    """One change fixes this share of the runs, another half of them."""
    rng = np.random.default_rng(1)
    covered = np.zeros(3)
    for counts in rng.multinomial(runs, np.outer([1 - share, share], [0.5, 0.5]).ravel(), 300):
        one, other = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], counts, axis=0).T
        part, _ = shapley([np.zeros(runs), one, other, one | other])
        covered += [
            each.low <= true <= each.high
            for each, true in zip(part, (share, share / 2, 0.75 * share), strict=True)
        ]
    assert covered.min() >= 0.9 * 300


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int8, np.float32])
def test_indicators_of_any_kind(kind: type) -> None:
    v = np.array([[1, 1, 0, 1], [0, 1, 0, 0]])
    assert (shapley(v.astype(kind)), shapley(v)[0].alone.value) == (shapley(v), -0.5)


def test_one_run_says_little() -> None:
    (part,) = shapley([[0], [1]])
    assert part.average.value == 1
    assert part.average.low < 0


@pytest.mark.parametrize("shape", [(), (4,), (1, 5), (3, 5), (0, 5), (4, 0), (2, 2, 2)])
def test_attribution_refuses_nonsense(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a row for every subset"):
        shapley(np.zeros(shape))
