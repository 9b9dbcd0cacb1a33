"""Shares: their intervals, differences and tests."""

import numpy as np
import pytest
import sample_frames as frames
from hypothesis import given, strategies as st
from scipy import optimize, special, stats

from fastbp.analysis.contrasts import contrasts
from fastbp.analysis.counts import count_runs
from fastbp.analysis.statistics.paired import (
    cochran,
    effective_trials,
    holm,
    mcnemar,
    odds_ratio,
    tango,
)
from fastbp.analysis.statistics.power import pairing_worth, seeds_to_show
from fastbp.analysis.statistics.proportions import (
    confidence_sequence,
    modified_wilson,
    newcombe,
    sequence_prior,
    sequence_trials,
    wilson,
)
from fastbp.analysis.statistics.simultaneous import FLIPS, max_t

COUNTS = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
"""Any count and total."""


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    """Any fixed, broken, pairs."""
    n = draw(st.integers(1, 2000))
    b = draw(st.integers(0, n))
    return b, draw(st.integers(0, n - b)), n


@given(COUNTS, st.sampled_from([0.8, 0.95, 0.99]))
def test_is_scipys(counts: tuple[int, int], level: float) -> None:
    expected = stats.binomtest(*counts).proportion_ci(level, "wilson")
    np.testing.assert_allclose(
        wilson(*counts, level), (expected.low, expected.high), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(("level", "lowest"), [(0.9, 0.800), (0.95, 0.838), (0.99, 0.889)])
def test_wilson_exact_coverage(level: float, lowest: float) -> None:
    """By summation. Agresti & Coull (1998), American Statistician 52:119-126: right on average,
    lowest near p = 0.18/n."""
    x = np.arange(51)
    low, high = wilson(x, 50, level)
    p = np.linspace(0.0005, 0.9995, 1000)
    covered = (low <= p[:, None]) & (p[:, None] <= high)
    assert (covered * stats.binom.pmf(x, 50, p[:, None])).sum(axis=1).mean() == pytest.approx(
        level, abs=0.006
    )

    n = 10_000
    x = np.arange(n + 1)
    low, high = wilson(x, n, level)
    worst = np.nextafter(low[1], 0)
    assert stats.binom.pmf(x, n, worst)[(low <= worst) & (worst <= high)].sum() == pytest.approx(
        lowest, abs=0.0006
    )


@pytest.mark.parametrize(
    ("n", "mean"), [(5, 0.955), (15, 0.953), (30, 0.952), (50, 0.952), (100, 0.951)]
)
def test_mean_coverage_is_the_published_one(n: int, mean: float) -> None:
    """Over p uniform from 0 to 1, exact: each count's binomial probability is integrated over
    its own interval.

    Agresti & Coull (1998), American Statistician 52:119-126, the score interval's column.
    """
    x = np.arange(n + 1)
    low, high = wilson(x, n)
    covered = special.betainc(x + 1, n - x + 1, high) - special.betainc(x + 1, n - x + 1, low)
    assert covered.mean() == pytest.approx(mean, abs=0.0005)


def test_ends_are_exact_and_nothing_gives_nothing() -> None:
    low, high = wilson([0, 7, 0], [9, 7, 0])
    assert (low[0], high[1]) == (0, 1)
    assert np.isnan([low[2], high[2]]).all()


def test_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="between 0 and its total"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="level = 95"):
        wilson(1, 2, 95)


@given(COUNTS, COUNTS, st.sampled_from([0.8, 0.95, 0.99]))
def test_is_made_of_scipys_wilson_intervals(
    one: tuple[int, int], other: tuple[int, int], level: float
) -> None:
    (p1, l1, u1), (p2, l2, u2) = (
        (test.statistic, *test.proportion_ci(level, "wilson"))
        for test in (stats.binomtest(*one), stats.binomtest(*other))
    )
    d = p2 - p1
    expected = (
        d - ((p2 - l2) ** 2 + (u1 - p1) ** 2) ** 0.5,
        d + ((u2 - p2) ** 2 + (p1 - l1) ** 2) ** 0.5,
    )
    np.testing.assert_allclose(newcombe(*one, *other, level), expected, rtol=1e-9, atol=1e-9)


@given(COUNTS, COUNTS)
def test_newcombe_mirrors_and_holds_the_estimate(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    low, high = newcombe(*one, *other)
    mirrored = newcombe(*other, *one)
    assert (low, high) == (-mirrored[1], -mirrored[0])
    slack = 1e-15  # a root of squares may be off by a rounding
    assert -1 - slack <= low <= other[0] / other[1] - one[0] / one[1] <= high <= 1 + slack


@pytest.mark.parametrize(("n1", "n2"), [(20, 20), (50, 30)])
def test_newcombe_exact_coverage(n1: int, n2: int) -> None:
    """By summation. Above the nominal level on average; lowest where one share is near 0 and
    the other near 1."""
    x, y = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
    low, high = newcombe(x, n1, y, n2)
    p = np.linspace(0.02, 0.98, 25)
    one, other = (
        stats.binom.pmf(np.arange(n1 + 1), n1, p[:, None]),
        stats.binom.pmf(np.arange(n2 + 1), n2, p[:, None]),
    )
    covered = np.array(
        [
            [a @ ((low <= d) & (d <= high)) @ b for b, d in zip(other, p - q, strict=True)]
            for a, q in zip(one, p, strict=True)
        ]
    )
    assert covered.min() == min(covered[0, -1], covered[-1, 0]) > 0.87
    assert np.median(covered) > 0.945
    assert 0.95 < covered.mean() < 0.965


def test_newcombe_edges() -> None:
    low, high = newcombe([0, 3, 0], [0, 3, 4], [1, 0, 4], [2, 0, 4])
    assert np.isnan([low[:2], high[:2]]).all()
    assert (high[2], newcombe([[1], [2]], 9, [0, 1, 2], [3, 4, 5])[0].shape) == (1, (2, 3))
    with pytest.raises(ValueError, match="between 0 and its total"):
        newcombe(1, 2, 3, 2)
    with pytest.raises(ValueError, match="level = 1"):
        newcombe(1, 2, 1, 2, 1)


@pytest.mark.parametrize(("prior", "level"), [(50.0, 0.95), (2.0, 0.95), (50.0, 0.8)])
def test_it_is_left_by_the_share_less_often_than_it_says_at_any_time(
    prior: float, level: float
) -> None:
    """Exact: the probability of each count while no interval has left the share out, trial by
    trial."""
    most = 400
    n, x = np.tril_indices(most + 1)
    low, high = confidence_sequence(x, n, prior, level)
    for p in (0.5, 0.13, 0.004):
        alive, lost = np.ones(1), 0.0
        for trials in range(1, most + 1):
            alive = np.append(alive * (1 - p), 0) + np.append(0, alive * p)
            own = slice(trials * (trials + 1) // 2, (trials + 1) * (trials + 2) // 2)
            out = (p < low[own]) | (p > high[own])
            lost += alive[out].sum()
            alive[out] = 0
        assert lost + alive.sum() == pytest.approx(1)
        assert lost <= 1 - level
        if p > 0.1:
            assert lost > 0.3 * (1 - level)  # and is not much wider than need be


@given(COUNTS, st.floats(0.5, 1e6), st.sampled_from([0.8, 0.95]))
def test_bounds_are_where_the_ratio_is_what_it_says(
    counts: tuple[int, int], prior: float, level: float
) -> None:
    x, n = counts
    low, high = confidence_sequence(x, n, prior, level)
    assert 0 <= low <= x / n <= high <= 1
    assert x > 0 or low == 0
    assert x < n or high == 1

    def log_ratio(p: float) -> float:
        a, b = prior * p, prior * (1 - p)
        return float(
            special.betaln(a + x, b + n - x)
            - special.betaln(a, b)
            - special.xlogy(x, p)
            - special.xlog1py(n - x, -p)
        )

    for bound in (low, high):
        if 1e-6 < bound < 1 - 1e-6:
            assert log_ratio(float(bound)) == pytest.approx(-np.log1p(-level), abs=1e-4 + 1e-8 * n)
    np.testing.assert_allclose(
        confidence_sequence(n - x, n, prior, level), (1 - high, 1 - low), atol=1e-9
    )


@pytest.mark.parametrize("width", [0.1, 0.01])
def test_it_is_wider_than_what_holds_for_one_number_of_trials(width: float) -> None:
    n = sequence_trials(0.5, width)
    low, high = wilson(n / 2, n)
    assert 0.6 < (high - low) / width < 0.66
    assert 2.3 < n / (4 * 0.98**2 / width**2) < 2.6


def test_so_many_trials_are_as_many_as_it_takes() -> None:
    for share, width in ((0.5, 0.02), (0.1, 0.02), (0.0, 0.01)):
        n = sequence_trials(share, width)
        widths = [
            np.diff(confidence_sequence(share * m, m, sequence_prior(width)), axis=0)
            for m in (n, n - 1)
        ]
        assert widths[0] <= width < widths[1]
    assert sequence_trials(0.5, 0.01) > sequence_trials(0.7, 0.01) > sequence_trials(0.01, 0.01)


def test_nothing_counted_says_nothing() -> None:
    np.testing.assert_array_equal(confidence_sequence(0, 0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("arguments", [(-1, 2, 1.0), (3, 2, 1.0), (1, 2, 0.0), (1, 2, 1.0, 1.0)])
def test_refuses_what_is_no_count(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"count|prior"):
        confidence_sequence(*arguments)


@pytest.mark.parametrize(
    ("fixed", "broken", "pairs", "level", "low", "high", "digits"),
    [
        # Tango (1998), Statistics in Medicine 17:891-908: matched pairs of 32, and a crossover
        # trial of 44 at 90%.
        (9, 3, 32, 0.95, -0.027, 0.390, 3),
        (0, 1, 44, 0.90, -0.096, 0.037, 3),
        # Agresti & Min (2005), Statistics in Medicine 24:729-740.
        (16, 8, 86, 0.95, -0.020, 0.207, 3),
        # Fagerland, Lydersen & Laake (2014), Statistics in Medicine 33:2850-2875: airway
        # hyper-responsiveness before and after stem cell transplantation (Bentur et al. 2009),
        # and complete response (Cavo et al. 2012), the latter with the four digits that the
        # authors' R package contingencytables prints.
        (1, 7, 21, 0.95, -0.517, -0.026, 3),
        (6, 16, 161, 0.95, -0.1240, -0.0054, 4),
    ],
)
def test_tango_published_examples(
    fixed: int,
    broken: int,
    pairs: int,
    level: float,
    low: float,
    high: float,
    digits: int,
) -> None:
    np.testing.assert_allclose(
        tango(fixed, broken, pairs, level), (low, high), atol=0.5001 * 10.0**-digits
    )


@pytest.mark.parametrize(("b", "n"), [(0, 10), (0, 1000), (5, 5), (1, 1)])
def test_closed_forms(b: int, n: int) -> None:
    """With no discordant pair z²/(n + z²) either way; with all fixed the lower bound is (n −
    z²)/(n + z²)."""
    z2 = stats.norm.ppf(0.975) ** 2
    expected = (-z2 / (n + z2), z2 / (n + z2)) if b == 0 else ((n - z2) / (n + z2), 1)
    np.testing.assert_allclose(tango(b, 0, n), expected, rtol=1e-9)


@given(tables(), st.sampled_from([0.8, 0.95, 0.99]))
def test_solves_the_score_equation(counts: tuple[int, int, int], level: float) -> None:
    """An independent solution: the likelihood is maximised numerically under each difference,
    and the root is Brent's."""
    b, c, n = counts
    z = stats.norm.ppf((1 + level) / 2)

    def score(delta: float) -> float:
        roots = np.roots([2 * n, -b - c + (2 * n - b + c) * delta, -c * delta * (1 - delta)]).real
        variance = n * (2 * max(roots.max(), 0.0, -delta) + delta * (1 - delta))
        return (
            (b - c - n * delta) / np.sqrt(variance)
            if variance > 1e-15
            else np.inf * np.sign(b - c - n * delta)
        )

    low, high = (float(bound) for bound in tango(b, c, n, level))
    step = 1e-6
    if low > -1 + step:
        assert score(low - step) > z > score(low + step)
    if high < 1 - step:
        assert score(high - step) > -z > score(high + step)
    if 0 < b < n and 0 < c < n and low > -0.99:
        root = optimize.brentq(lambda d: score(d) - z, -1 + 1e-9, (b - c) / n + 1e-12)
        assert low == pytest.approx(root, abs=1e-8)


@given(tables())
def test_tango_mirrors_and_holds_the_estimate(counts: tuple[int, int, int]) -> None:
    b, c, n = counts
    low, high = tango(b, c, n)
    mirrored = tango(c, b, n)
    assert (low, high) == (-mirrored[1], -mirrored[0])
    assert -1 <= low <= (b - c) / n <= high <= 1
    wider = tango(b, c, n, 0.99)
    assert wider[0] <= low
    assert high <= wider[1]


@given(tables())
def test_more_mended_never_lowers_it(counts: tuple[int, int, int]) -> None:
    b, c, n = counts
    if b + c < n:
        assert np.all(np.array(tango(b + 1, c, n)) >= np.array(tango(b, c, n)) - 1e-12)


@pytest.mark.parametrize(("p12", "p21"), [(0.1, 0.1), (0.3, 0.1), (0.2, 0.05)])
def test_tango_exact_coverage(p12: float, p21: float) -> None:
    """Tango (1998) and Newcombe (1998, 17:2635-2650): close to the nominal level even for few
    pairs."""
    n = 40
    b, c = (a.ravel() for a in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    b, c = b[b + c <= n], c[b + c <= n]
    low, high = tango(b, c, n)
    weight = stats.multinomial.pmf(
        np.stack([b, c, n - b - c], axis=1), n, [p12, p21, 1 - p12 - p21]
    )
    assert 0.94 < weight[(low <= p12 - p21) & (p12 - p21 <= high)].sum() < 0.965


def test_tango_edges() -> None:
    assert np.isnan(tango(0, 0, 0)).all()
    assert tango(0, 3, 3)[0] == -1
    low, high = tango([[1], [2]], [0, 1, 2], 10**6)
    assert low.shape == high.shape == (2, 3)
    with pytest.raises(ValueError, match="together at most"):
        tango(2, 2, 3)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_is_the_binomial_test_on_discordant_pairs(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(
        stats.binomtest(b, b + c).pvalue if b + c else 1.0, rel=1e-9, abs=1e-300
    )


def test_odds_ratio_published_example() -> None:
    """Two media for tubercle bacilli (Armitage & Berry 1994, p. 127), with Liddell's limits as the
    manual of StatsDirect prints them."""
    np.testing.assert_allclose(odds_ratio(12, 2), (6, 1.335744, 55.197091), rtol=1e-6)


@given(st.integers(0, 3000), st.integers(0, 3000), st.sampled_from([0.8, 0.95]))
def test_bounds_of_odds_have_the_tails_that_they_claim(b: int, c: int, level: float) -> None:
    ratio, low, high = odds_ratio(b, c, level)
    if b + c == 0:
        assert np.isnan([ratio, low, high]).all()
        return
    assert low <= ratio <= high
    share_low, share_high = low / (1 + low), 1 - 1 / (1 + high)
    tail = pytest.approx((1 - level) / 2, rel=1e-6)
    assert low == 0 if b == 0 else stats.binom.sf(b - 1, b + c, share_low) == tail
    assert high == np.inf if c == 0 else stats.binom.cdf(b, b + c, share_high) == tail
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(odds_ratio(c, b, level), 1 / np.array([ratio, high, low]))
    assert (low > 1 or high < 1) == (mcnemar(b, c) < 1 - level)


def test_odds_ratios_of_any_shape() -> None:
    ratio, low, high = odds_ratio([[0], [4]], [0, 2])
    np.testing.assert_array_equal(ratio, [[np.nan, 0], [np.inf, 2]])
    assert (low.shape, high[1, 0], low[0, 1]) == ((2, 2), np.inf, 0)
    with pytest.raises(ValueError, match="between 0 and its total"):
        odds_ratio(1, -1)


def test_false_alarms_stay_below_their_level() -> None:
    """Exact, for every number of discordant pairs."""
    for n in range(1, 200):
        x = np.arange(n + 1)
        assert stats.binom.pmf(x[mcnemar(x, n - x) < 0.05], n, 0.5).sum() <= 0.05


def test_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="not be negative"):
        mcnemar(-1, 2)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_is_the_definition(p: list[float]) -> None:
    ranked = sorted(p)
    expected = [
        max(
            min(1.0, (len(p) - j) * ranked[j])
            for j in range(ranked.index(value) + ranked.count(value))
        )
        for value in p
    ]
    np.testing.assert_allclose(holm(p), expected)


def test_refuses_what_is_no_p() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="one row"):
        holm([[0.5]])


def test_what_was_not_tested_does_not_count() -> None:
    np.testing.assert_array_equal(holm([0.03, np.nan, 0.01]), [0.03, np.nan, 0.02])


def test_at_most_one_table_in_twenty_raises_a_false_alarm() -> None:
    """Twelve contrasts without any effect, 2,000 times: a change fixes as often as it breaks."""
    rng = np.random.default_rng(20)
    discordant = rng.integers(0, 400, (2000, 12))
    fixed = rng.binomial(discordant, 0.5)
    alarms = np.array([holm(p).min() < 0.05 for p in mcnemar(fixed, discordant - fixed)])
    assert alarms.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / alarms.size)


@pytest.mark.parametrize("times", [60, pytest.param(600, marks=pytest.mark.soak)])
@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_at_most_one_table_of_contrasts_in_twenty_raises_a_false_alarm(
    shared: float, times: int
) -> None:
    """Whole tables of eight setups that all converge alike, many times, by chance alone or mostly
    by the seed's own luck.

    Their contrasts depend on each other, each setup being in several of them: Holm's adjustment
    holds all the same.
    """
    rng = np.random.default_rng(21)
    seeds, keys = (
        200,
        [
            {"lr": lr, "momentum": m, "order": o}
            for lr in (0.1, 0.2)
            for m in (0.0, 0.9)
            for o in ("random", "cyclic")
        ],
    )
    counted = count_runs(frames.frame(*(frames.table(key, ["partial"] * seeds) for key in keys)))
    alarms = []
    for _ in range(times):
        luck = np.where(
            rng.random((len(keys), seeds)) < shared,
            rng.random(seeds),
            rng.random((len(keys), seeds)),
        )
        ended = np.packbits(luck < 0.6, axis=1)
        table = contrasts(
            [one._replace(converged=bits) for one, bits in zip(counted, ended, strict=True)]
        )
        alarms.append(bool((table["p_holm"] < 0.05).any()))
    assert len(table) == 12
    assert table["fixed"].sum() > 0
    assert np.mean(alarms) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(alarms))


# Several shares of the same seeds


def on_both(flags: np.ndarray) -> np.ndarray:
    """On how many seeds each two of some shares succeeded, of [seed, share]."""
    return flags.T.astype(int) @ flags


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_cochran_of_two_shares_is_mcnemar_without_correction(
    both: int, fixed: int, broken: int, neither: int
) -> None:
    p = cochran([[both + broken, both], [both, both + fixed]], both + fixed + broken + neither)
    if min(2 * both + fixed + broken, 2 * neither + fixed + broken) < 10 or not fixed + broken:
        assert np.isnan(p)
    else:
        assert p == pytest.approx(
            stats.chi2.sf((fixed - broken) ** 2 / (fixed + broken), 1), rel=1e-9, abs=1e-300
        )


def test_cochran_raises_false_alarms_as_often_as_it_says_where_some_shares_go_together() -> None:
    """Six shares in three pairs that see nearly the same: without Box's factor one test in ten
    would alarm at 5%."""
    rng, n = np.random.default_rng(5), 300
    found, plain = [], []
    for _ in range(2000):
        shared, own = np.repeat(rng.random((n, 3)), 2, axis=1), rng.random((n, 6))
        flags = np.where(rng.random((n, 6)) < 0.02, own, shared) < 0.3
        both, rows = on_both(flags), flags.sum(axis=1)
        found.append(cochran(both, n))
        q = 30 * ((flags.sum(axis=0) - flags.sum() / 6) ** 2).sum() / (rows * (6 - rows)).sum()
        plain.append(stats.chi2.sf(q, 5))
    assert 0.038 < np.mean(np.array(found) < 0.05) < 0.062
    assert np.mean(np.array(plain) < 0.05) > 0.08


def test_cochran_finds_a_share_that_differs_and_says_nothing_of_too_few() -> None:
    rng = np.random.default_rng(6)
    flags = rng.random((500, 8)) < np.array([0.3] * 7 + [0.5])
    assert cochran(on_both(flags), 500) < 1e-6
    assert np.isnan(cochran(on_both(flags[:, :1]), 500))
    few = rng.random((500, 8)) < 0.005
    assert np.isnan(cochran(on_both(few), 500))
    assert np.isnan(cochran(on_both(~few), 500))
    assert np.isnan(
        cochran(on_both(np.repeat(flags[:, :1], 4, axis=1)), 500)
    )  # each seed succeeds in all or in none
    with pytest.raises(ValueError, match="a row and a column"):
        cochran([[1, 2]], 5)


def test_trials_are_worth_what_their_spread_says() -> None:
    """As many as there are where they are independent, one a seed where they are the same or where
    nothing tells."""
    rng, n, k = np.random.default_rng(7), 20_000, 5
    alone = rng.random((n, k)) < 0.3
    same = np.repeat(rng.random((n, 1)) < 0.3, k, axis=1)
    assert effective_trials(on_both(alone), n) == pytest.approx(n * k, rel=0.05)
    assert effective_trials(on_both(same), n) == pytest.approx(n, rel=1e-9)
    assert effective_trials(np.zeros((k, k)), n) == effective_trials(np.full((k, k), n), n) == n
    half = np.where(
        rng.random((n, k)) < 0.5**0.5, same, alone
    )  # any two agree in half of the seeds, by chance else
    assert effective_trials(on_both(half), n) == pytest.approx(n * k / (1 + (k - 1) / 2), rel=0.05)


def dependent(rng: np.random.Generator, comparisons: int, runs: int, share: float) -> np.ndarray:
    """Results after changes that do nothing, minus those before, which all comparisons share."""
    base = rng.random(runs)
    before = base < 0.5
    after = (
        np.where(rng.random((comparisons, runs)) < share, rng.random((comparisons, runs)), base)
        < 0.5
    )
    return after.astype(np.int8) - before


def test_one_comparison_at_once_is_mcnemars() -> None:
    rng = np.random.default_rng(2)
    for runs in (20, 200):
        (d,) = dependent(rng, 1, runs, 0.6)
        level, p = max_t([d])
        fixed, broken = int((d > 0).sum()), int((d < 0).sum())
        assert p[0] == pytest.approx(mcnemar(fixed, broken), abs=4 * 0.5 / FLIPS**0.5)
        assert level == pytest.approx(0.95, abs=0.015)


def test_equal_comparisons_need_no_adjustment_and_others_less_than_bonferronis() -> None:
    d = dependent(np.random.default_rng(3), 8, 400, 0.5)
    one, eight, same = (max_t(each)[0] for each in (d[:1], d, d[[0] * 8]))
    assert same == one
    assert one < eight < 1 - 0.05 / 8
    assert max_t(np.zeros((3, 9))) == (pytest.approx(0.95), pytest.approx([1, 1, 1]))


def test_normal_draws_agree_with_flipped_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    d = dependent(np.random.default_rng(4), 6, 3000, 0.3)
    level, p = max_t(d)
    monkeypatch.setattr("fastbp.analysis.statistics.simultaneous._MOST_FLIPPED", 0)
    normal = max_t(d)
    assert normal[0] == pytest.approx(level, abs=2e-3)
    np.testing.assert_allclose(normal[1], p, atol=0.03)


def test_at_most_one_family_in_twenty_raises_a_false_alarm() -> None:
    rng = np.random.default_rng(5)
    alarms = sum(max_t(dependent(rng, 5, 40, 0.4))[1].min() < 0.05 for _ in range(200))
    assert stats.binom.sf(alarms - 1, 200, 0.05) > 1e-3


@pytest.mark.parametrize(("difference", "changed"), [(0.035, 0.05), (0.1, 0.5), (0.3, 0.3)])
def test_so_many_seeds_show_a_difference_in_four_of_five_cases(
    difference: float, changed: float
) -> None:
    runs = seeds_to_show(difference, changed)
    shares = [(changed + difference) / 2, (changed - difference) / 2, 1 - changed]
    fixed, broken, _ = np.random.default_rng(6).multinomial(runs, shares, 4_000).T
    assert np.mean(mcnemar(fixed, broken) < 0.05) == pytest.approx(0.8, abs=0.06)  # exact: fewer
    assert seeds_to_show(difference, changed, 0.99) > runs
    assert seeds_to_show(difference, 0) == seeds_to_show(difference, difference)


@pytest.mark.parametrize(
    ("before", "fixed", "broken", "runs"),
    [(0.84, 0.04, 0.005, 2_000), (0.5, 0.1, 0.1, 500), (0.4, 0.3, 0.2, 200), (0.0, 0.4, 0.0, 200)],
)
def test_pairing_is_worth_what_simulated_differences_say(
    before: float, fixed: float, broken: float, runs: int
) -> None:
    rng, draws = np.random.default_rng(8), 4_000
    both, after = before - broken, before + fixed - broken
    counts = rng.multinomial(runs, [fixed, broken, both, 1 - before - fixed], draws)
    apart = rng.binomial(runs, after, draws) - rng.binomial(runs, before, draws)
    truth = apart.var() / (counts[:, 0] - counts[:, 1]).var()
    found = np.array([pairing_worth(runs, b, c, same + c) for b, c, same, _ in counts[:1_000]])
    value, low, high = found.T
    assert np.median(value) == pytest.approx(truth, rel=0.08)  # a variance errs by 2%
    p, q, changed = before, after, fixed + broken
    exact = (p * (1 - p) + q * (1 - q)) / (changed - (q - p) ** 2)
    slack = 1e-9  # of a worth of exactly 1, which has no error
    assert np.mean((low <= exact + slack) & (exact - slack <= high)) > 0.93
    assert (low <= value).all()
    assert (value <= high).all()


def test_pairing_is_worth_nothing_where_runs_are_independent_and_unknown_from_few_seeds() -> None:
    assert pairing_worth(100, 25, 25, 50).value == pytest.approx(1)
    assert pairing_worth(100, 50, 50, 50).value == pytest.approx(0.5)  # all seeds change
    for nothing in ((100, 20, 9, 40), (100, 100, 0, 0)):
        assert np.isnan(pairing_worth(*nothing)).all()


@pytest.mark.parametrize("runs", [5, 10, 50, 51, 1_000])
def test_the_modified_interval_covers_rare_shares(runs: int) -> None:
    counts, shares = np.arange(runs + 1), np.geomspace(1e-3 / runs, 0.5, 2_000)[:, None]
    low, high = modified_wilson(counts, runs)
    pmf = stats.binom.pmf(counts, runs, shares)
    assert (pmf * ((low <= shares) & (shares <= high))).sum(axis=1).min() > 0.915
    many = np.minimum(counts, runs - counts) > 3
    for bound, plain in zip((low, high), wilson(counts, runs), strict=True):
        assert bound[many].tolist() == plain[many].tolist()
    np.testing.assert_allclose(1 - high[::-1], low, atol=1e-12)
    assert low[1] == pytest.approx(-np.log(0.95) / runs)
