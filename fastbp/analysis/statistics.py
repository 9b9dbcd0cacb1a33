"""Intervals and tests for shares and for times to an event: pure functions over arrays, each with its source.

Counts broadcast against each other; results have their common shape. `level` is the two-sided confidence level. Times to an event
are given as a table: each time once, ascending, and how many events there were at it.
"""

from __future__ import annotations

from math import comb
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]

_HALVINGS = 64
"""Bisections of an interval of width 2 until float64 has no finer step near any bound that matters."""


def _deviate(level: float) -> float:
    """The standard normal deviate z that a two-sided interval of this level reaches out to."""
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: a confidence level lies between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(count: ArrayLike, total: ArrayLike, level: float = 0.95) -> tuple[Real, Real]:
    """Wilson's score interval for a share.

    Bounds are the roots p of (count/total − p)² = z² p (1 − p) / total; exactly 0 where `count` is 0,
    exactly 1 where it is `total`.

    Source: E. B. Wilson (1927), Journal of the American Statistical Association 22:209-212, doi:10.1080/01621459.1927.10502953.

    Parameters: `count` of `total`, whole numbers of any common shape. Returns (low, high), shares 0…1, NaN where `total` is 0.
    Raises ValueError where not 0 ≤ count ≤ total or the level is none.
    """
    x, n = np.broadcast_arrays(np.asarray(count, float), np.asarray(total, float))
    if np.any((x < 0) | (x > n)):
        raise ValueError("a count lies between 0 and its total")
    z = _deviate(level)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (x + z * z / 2) / (n + z * z)
        reach = z / (n + z * z) * np.sqrt(x * (n - x) / n + z * z / 4)
    low = np.where(x == 0, 0.0, middle - reach)
    high = np.where(x == n, 1.0, middle + reach)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def clopper_pearson(count: ArrayLike, total: ArrayLike, level: float = 0.95) -> tuple[Real, Real]:
    """The exact binomial interval for a share: it covers at least as often as it says, with any number of trials.

    The bounds are the shares at which as many or more, and as few or fewer, have probability (1 − level)/2: quantiles of
    Beta(x, n − x + 1) and Beta(x + 1, n − x).

    Source: C. J. Clopper and E. S. Pearson (1934), Biometrika 26:404-413, doi:10.1093/biomet/26.4.404.

    Parameters, result and what is raised: as `wilson`.
    """
    from scipy.special import betaincinv

    x, n = np.broadcast_arrays(np.asarray(count, float), np.asarray(total, float))
    if np.any((x < 0) | (x > n)):
        raise ValueError("a count lies between 0 and its total")
    _deviate(level)
    with np.errstate(invalid="ignore"):
        low = np.where(x > 0, betaincinv(np.maximum(x, 1), n - x + 1, (1 - level) / 2), 0.0)
        high = np.where(x < n, betaincinv(x + 1, np.maximum(n - x, 1), (1 + level) / 2), 1.0)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def confidence_sequence(count: ArrayLike, total: ArrayLike, prior: float, level: float = 0.95) -> tuple[Real, Real]:
    """An interval for a share that may be looked at after every trial, and by which it may be decided when to stop.

    With independent trials, the intervals of all totals 1, 2, 3, … contain the share together with probability `level` or more.
    The bounds are the p at which the likelihood ratio M(p) = B(kp + x, kq + n − x) / (B(kp, kq) p^x q^(n − x)), q = 1 − p, of a
    mixture of shares Beta(kp, kq) against p itself reaches 1/(1 − level): where p is the share, M is a martingale that starts
    at 1, and exceeds that ever with at most this probability (Ville). ln M is a sum of ln(k + i/p) and ln(k + j/q), which are
    convex in p, so that M stays below on an interval; it holds x/n, where the likelihood is greatest.

    Source: H. Robbins (1970), Annals of Mathematical Statistics 41:1397-1409, doi:10.1214/aoms/1177696786; this mixture:
    S. R. Howard, A. Ramdas, J. McAuliffe and J. Sekhon (2021), Annals of Statistics 49:1055-1080, doi:10.1214/20-AOS1991, the
    two-sided beta-binomial mixture.

    Parameters: `count` of `total`, whole numbers of any common shape; `prior`, k > 0, fixed before anything is counted: how many
    trials the mixture weighs. `sequence_prior` has one for a width. Returns (low, high), shares 0…1, 0 and 1 where `total` is 0.
    Raises ValueError where not 0 ≤ count ≤ total, or k or the level is none.
    """
    x, n = np.broadcast_arrays(np.asarray(count, float), np.asarray(total, float))
    if np.any((x < 0) | (x > n)):
        raise ValueError("a count lies between 0 and its total")
    if not (0 < prior < np.inf and 0 < level < 1):
        raise ValueError(f"prior = {prior} is above 0, and level = {level} between 0 and 1")
    estimate = np.divide(x, n, out=np.full(n.shape, 0.5), where=n > 0)
    # Exchanging what is counted mirrors the interval.
    low, high = _sequence_low(x, n, estimate, prior, level), 1 - _sequence_low(n - x, n, 1 - estimate, prior, level)
    return low, high


def _sequence_low(x: Real, n: Real, estimate: Real, k: float, level: float) -> Real:
    """The lower bound of `confidence_sequence` by bisection of [0, estimate]."""
    from scipy.special import gammaln, xlog1py, xlogy

    low, high = np.zeros(n.shape), estimate.copy()
    shift = gammaln(k) - gammaln(k + n) + np.log1p(-level)
    for _ in range(_HALVINGS):
        p = np.maximum((low + high) / 2, np.finfo(float).tiny)
        a, b = k * p, k * (1 - p)
        ratio = gammaln(a + x) - gammaln(a) + gammaln(b + n - x) - gammaln(b) - xlogy(x, p) - xlog1py(n - x, -p)
        outside = ratio + shift >= 0
        low, high = np.where(outside, p, low), np.where(outside, high, p)
    return np.where(x == 0, 0.0, low)


def sequence_prior(width: float) -> float:
    """The `prior` of `confidence_sequence` that needs few trials for an interval of this width, whatever the share.

    A share of one half takes some n = (1 + k/n)(2 ln(1/(1 − level)) + ln(1 + n/k)) / width² trials, the fewest where n = 8k and
    hardly more from 4k to 30k. At k = 1/(2 width²) one half has n = 19k, and shares that take fewer trials have n nearer to 8k.
    """
    return 1 / (2 * width * width)


def sequence_trials(share: float, width: float, level: float = 0.95) -> int:
    """About how many trials `confidence_sequence` takes to be so narrow where this share of them is counted; most at one half."""

    def is_narrow(n: int) -> bool:
        low, high = confidence_sequence(share * n, n, sequence_prior(width), level)
        return bool(high - low <= width)

    few, many = 0, 1
    while not is_narrow(many):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if is_narrow(middle) else (middle, many)
    return many


def _tango_low(b: Real, c: Real, n: Real, z: float) -> Real:
    """The lower bound of `tango` by bisection of [−1, estimate], for n > 0."""
    low, high = np.full(n.shape, -1.0), (b - c) / n
    for _ in range(_HALVINGS):
        delta = (low + high) / 2
        # q, the larger root of 2n q² + B q + C = 0, by the formula that does not cancel.
        B = (2 * n - b + c) * delta - b - c
        C = -c * delta * (1 - delta)
        root = np.sqrt(np.maximum(B * B - 8 * n * C, 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            q = np.where(B > 0, np.where(C == 0, 0.0, -2 * C / (B + root)), (root - B) / (4 * n))
        variance = n * np.maximum(2 * q + delta * (1 - delta), 0.0)
        below = b - c - n * delta >= z * np.sqrt(variance)
        low, high = np.where(below, delta, low), np.where(below, high, delta)
    return low


def tango(mended: ArrayLike, broken: ArrayLike, pairs: ArrayLike, level: float = 0.95) -> tuple[Real, Real]:
    """Tango's score interval for a difference of paired shares, (mended − broken) / pairs.

    Bounds are the δ with (b − c − nδ)² = z² n (2q + δ(1 − δ)), where q, the estimate of P(broken) under a difference δ, is the
    larger root of 2n q² + ((2n − b + c)δ − b − c) q − cδ(1 − δ) = 0.

    Source: T. Tango (1998), Statistics in Medicine 17:891-908, the score statistic and its restricted estimate,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.

    Parameters: `mended` (b) and `broken` (c) of `pairs` (n), whole numbers of any common shape. Returns (low, high), −1…1, NaN
    where `pairs` is 0. Raises ValueError where b, c ≥ 0 and b + c ≤ n do not hold or the level is none.
    """
    b, c, n = np.broadcast_arrays(*(np.asarray(a, float) for a in (mended, broken, pairs)))
    if np.any((b < 0) | (c < 0) | (b + c > n)):
        raise ValueError("mended and broken are not negative, and together at most the number of pairs")
    z = _deviate(level)
    some = np.where(n > 0, n, 1.0)
    # Exchanging mended and broken mirrors the interval: one bound's code serves both, to the bit.
    low, high = _tango_low(b, c, some, z), -_tango_low(c, b, some, z)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def mcnemar(mended: ArrayLike, broken: ArrayLike) -> Real:
    """The exact two-sided p of McNemar's test that mending and breaking are equally likely.

    p = min(1, 2 P(X ≤ min(b, c))), X binomial with b + c trials of ½; 1 where there is neither.

    Source: Q. McNemar (1947), Psychometrika 12:153-157, doi:10.1007/BF02295996; exact form: A. Agresti (2013), Categorical Data
    Analysis, section 11.1.

    Parameters: whole numbers ≥ 0 of any common shape. Raises ValueError where one is negative.
    """
    from scipy.special import betainc

    b, c = np.broadcast_arrays(np.asarray(mended, float), np.asarray(broken, float))
    if np.any((b < 0) | (c < 0)):
        raise ValueError("mended and broken are not negative")
    fewer, more = np.minimum(b, c), np.maximum(b, c)
    # P(X ≤ k of n) is the incomplete beta function at (n − k, k + 1): here n − k is the larger of the two.
    tail: Real = np.where(more > 0, betainc(np.maximum(more, 1.0), fewer + 1, 0.5), 1.0)
    return np.where(tail < 0.5, 2 * tail, 1.0)


def fisher(count: int, total: int, other: int, others: int) -> float:
    """Fisher's exact two-sided p that two independent shares, count/total and other/others, are equal.

    Source: R. A. Fisher (1935), Journal of the Royal Statistical Society 98:39-82, doi:10.2307/2342435.
    """
    from scipy.stats import fisher_exact

    return float(fisher_exact(np.array([[count, total - count], [other, others - other]])).pvalue)


LEAST_EXPECTED = 5
"""Successes, and failures, that each share must have on average for a χ² approximation (Cochran 1954, Biometrics 10:417-451)."""


def cochran(together: ArrayLike, total: int) -> float:
    """Cochran's p that several shares are equal, each seen on the same seeds: it stands any correlation within a seed.

    Q = (k − 1)(k ΣG² − (ΣG)²)/(k ΣL − ΣL²), with G the successes of each of k shares and L those of each seed. Where covariances
    within a seed are all alike it is about χ² with k − 1 degrees of freedom. Where they are not, its mean is the same, its spread
    is not: as Box has it, εQ is about χ² with ε(k − 1), ε = (tr C)²/((k − 1) tr C²), C the covariances, centred both ways.

    Source: W. G. Cochran (1950), Biometrika 37:256-266, doi:10.2307/2332378; G. E. P. Box (1954), Annals of Mathematical
    Statistics 25:484-498, doi:10.1214/aoms/1177728717; both at once: J. L. Myers, J. V. DiCecco, J. B. White and V. M. Borden
    (1982), Psychological Bulletin 92:517-525, doi:10.1037/0033-2909.92.2.517.

    Parameters: `together`, [share, share], on how many of `total` seeds both succeeded: its diagonal has the successes of each.
    Returns p, NaN of a single share, and where there are fewer than five successes or failures a share. Raises ValueError where
    `together` is not square.
    """
    from scipy.special import chdtrc

    both = np.asarray(together, float)
    if both.ndim != 2 or both.shape[0] != both.shape[1]:
        raise ValueError("together has a row and a column for each share")
    k, successes = len(both), np.diag(both)
    if k < 2 or min(successes.sum(), k * total - successes.sum()) < LEAST_EXPECTED * k:
        return float("nan")
    within = k * successes.sum() - both.sum()
    if within <= 0:
        return float("nan")  # every seed succeeds in all or in none, so that no two shares can differ
    q = (k - 1) * (k * (successes**2).sum() - successes.sum() ** 2) / within
    centred = both - both.mean(axis=0) - both.mean(axis=1, keepdims=True) + both.mean()  # equal means go with the centring
    epsilon = np.trace(centred) ** 2 / ((k - 1) * (centred**2).sum())
    return float(chdtrc(epsilon * (k - 1), epsilon * q))


def effective_trials(together: ArrayLike, total: int) -> float:
    """How many independent trials say as much of the mean of several shares as these, which were seen on the same seeds.

    p(1 − p)/V, with V the variance of their mean p over seeds: from `total`, where each seed succeeds in all or in none, to k
    times as many. Where p is 0 or 1 nothing shows how alike the trials of a seed are, and they count as one.

    Source: E. L. Korn and B. I. Graubard (1998), Survey Methodology 24:193-201.

    Parameters: as `cochran`.
    """
    both = np.asarray(together, float)
    k = len(both)
    mean = np.trace(both) / (k * total)
    variance = (both.sum() / (k * k * total) - mean * mean) / total
    if mean in (0, 1) or variance <= 0:
        return float(total if mean in (0, 1) else k * total)
    return float(min(max(mean * (1 - mean) / variance, total), k * total))


class Crossing(NamedTuple):
    """Where shares in a row pass a level: positions, counted from 0, and whether they are above it afterwards."""

    at: float
    low: float
    high: float
    rising: bool


def crossings(share: ArrayLike, low: ArrayLike, high: ArrayLike, level: float = 0.5) -> list[Crossing]:
    """Where shares in a row pass a level, between positions of which they are surely on different sides of it.

    A share is surely above the level where its lower bound is, surely below where its upper bound is. Between two such next to
    each other it passes the level an odd number of times: `at` is the middle one, by straight lines between shares; `low` and
    `high` are those two. So the interval inverts the test that a share is the level, and reaches out to the next positions where
    that is rejected, whatever the shares do between positions.

    Source: E. L. Lehmann and J. P. Romano (2005), Testing Statistical Hypotheses, section 3.5.

    Parameters: `share` and its bounds `low` ≤ share ≤ `high`, [position]. Raises ValueError where they are not of one length.
    """
    rows = [np.asarray(each, float) - level for each in (share, low, high)]
    if any(each.ndim != 1 or each.shape != rows[0].shape for each in rows):
        raise ValueError("shares and their bounds form rows of the same length")
    sure = np.where(rows[1] > 0, 1, np.where(rows[2] < 0, -1, 0))
    some = np.flatnonzero(sure)
    found = []
    for i, j in zip(some[:-1].tolist(), some[1:].tolist(), strict=True):
        if sure[i] == sure[j]:
            continue
        rising = bool(sure[j] > 0)
        own = rows[0] if rising else -rows[0]
        passes = i + np.flatnonzero((own[i:j] < 0) & (own[i + 1 : j + 1] >= 0))
        k = int(passes[len(passes) // 2])
        found.append(Crossing(k + float(own[k] / (own[k] - own[k + 1])), float(i), float(j), rising))
    return found


def holm(p: ArrayLike) -> Real:
    """Holm's adjustment: p values that may each be held against one level, with one false alarm anywhere at most at that level.

    In ascending order, adjusted p(i) = max over j ≤ i of min(1, (m − j + 1) p(j)), j from 1.

    Source: S. Holm (1979), Scandinavian Journal of Statistics 6:65-70.

    Parameters: `p`, [m], each 0…1. Returns float64 [m]. Raises ValueError for anything else.
    """
    given = np.asarray(p, float)
    if given.ndim != 1 or not np.all((given >= 0) & (given <= 1)):
        raise ValueError("p values form one row, each from 0 to 1")
    order = np.argsort(given, kind="stable")
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1)))
    return adjusted


def newcombe(count: ArrayLike, total: ArrayLike, other: ArrayLike, others: ArrayLike, level: float = 0.95) -> tuple[Real, Real]:
    """Newcombe's score interval for a difference of independent shares, other/others − count/total.

    From Wilson's bounds l and u of each share p: d − √((p₂ − l₂)² + (u₁ − p₁)²) to d + √((u₂ − p₂)² + (p₁ − l₁)²).

    Source: R. G. Newcombe (1998), Statistics in Medicine 17:873-890, method 10,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.

    Parameters: whole numbers of any common shape. Returns (low, high), −1…1, NaN where a total is 0. Raises as `wilson` does.
    """
    (low1, high1), (low2, high2) = wilson(count, total, level), wilson(other, others, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        p1, p2 = np.divide(np.asarray(count, float), total), np.divide(np.asarray(other, float), others)
    difference = p2 - p1
    return difference - np.hypot(p2 - low2, high1 - p1), difference + np.hypot(high2 - p2, p1 - low1)


_ROUNDING = 1e-9
"""Relative error of a share that counts as rounding: far above that of a product of a million quotients."""


class Survival(NamedTuple):
    """A Kaplan-Meier curve: at each time, how many were at risk just before it, the share without the event after it, and its
    pointwise bounds. All [time]; bounds are NaN where the share is 1 or 0."""

    times: Real
    at_risk: NDArray[np.int64]
    share: Real
    low: Real
    high: Real

    def median(self) -> tuple[float, float, float]:
        """The first time at which the share is at most ½, and its bounds: the first times at which those of the curve are.

        Each NaN where that is never. Where the share falls from more than ½ to 0 at once, the lower bound is that time too.

        Source: R. Brookmeyer and J. Crowley (1982), Biometrics 38:29-41, doi:10.2307/2530286.
        """
        # The curve's own bounds are undefined at a share of 0. Its lower one is not above the share, and where an earlier one is
        # above ½, it shows that the median is not before the fall; without any, nothing does.
        low: Real = np.where((self.share == 0) & np.isfinite(self.low).any(), 0.0, self.low)
        # A share of ½ may come out as its neighbour in float64: n of 2n runs, each at another time, as a product of n quotients.
        first = [np.flatnonzero(curve <= 0.5 * (1 + _ROUNDING)) for curve in (self.share, low, self.high)]
        median, earliest, latest = (float(self.times[where[0]]) if where.size else np.nan for where in first)
        return median, earliest, latest


def kaplan_meier(times: ArrayLike, events: ArrayLike, censored: ArrayLike, level: float = 0.95) -> Survival:
    """The share of runs that an event has not come to yet, with log-log Greenwood bounds.

    S(t) = Π over times ≤ t of (1 − d/r), with d events among r at risk; V = Σ d/(r(r − d)) / ln² S; bounds S^exp(±z√V). What is
    censored at a time was at risk at it. Where none is at risk any more, S stays.

    Source: E. L. Kaplan and P. Meier (1958), Journal of the American Statistical Association 53:457-481, doi:10.2307/2281868;
    bounds: J. D. Kalbfleisch and R. L. Prentice (2002), The Statistical Analysis of Failure Time Data, section 1.4.1.

    Parameters: `times`, [time], ascending, each once; `events` and `censored`, whole numbers [time]. Raises ValueError where they
    are not that.
    """
    t, d, c = _table(times, events, censored)
    ended = np.cumsum(d + c)
    r = (ended[-1] if ended.size else 0) - ended + d + c
    z = _deviate(level)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.cumprod(np.where(d > 0, (r - d) / r, 1.0), dtype=np.float64)
        inner = (share > 0) & (share < 1)
        reach = np.exp(z * np.sqrt(np.cumsum(np.where(d > 0, d / (r * (r - d)), 0.0))) / -np.log(share))
        low, high = np.where(inner, share**reach, np.nan), np.where(inner, share ** (1 / reach), np.nan)
    return Survival(t, r.astype(np.int64), share, low, high)


def _table(times: ArrayLike, *counts: ArrayLike) -> list[Real]:
    """Times and counts at each, checked."""
    given = [np.asarray(values, float) for values in (times, *counts)]
    if any(values.ndim != 1 or values.shape != given[0].shape for values in given):
        raise ValueError("times and counts form rows of the same length")
    if not all(np.all((values >= 0) & (values < np.inf)) for values in given) or not np.all(np.diff(given[0]) > 0):
        raise ValueError("times ascend, each once, and neither they nor counts are negative or infinite")
    return given


def restart_costs(times: ArrayLike, events: ArrayLike, total: int) -> Real:
    """The expected cost of a success where a run is given up after each of these times, and a new seed is drawn.

    At T: Σ min(T, t) / #{t ≤ T} over the runs, t a run's time to its event, ∞ without one.

    Source: L. G. C. Hamey (1992), Benchmarking feed-forward neural networks: models and measures, NIPS 4:1167-1174, whose restart
    efficiency is 1,000 over it.

    Parameters: `times`, [time], ascending; `events` at each, whole numbers; `total`, runs, of which all others went on beyond the
    last of the times. Returns float64 [time], in the unit of the times, ∞ before the first event. Raises ValueError where there
    are more events than runs.
    """
    t, d = _table(times, events)
    if d.sum() > total:
        raise ValueError("there are not more events than runs")
    costs: Real = costs_of_draws(t, d[None], t * d[None], total)[0]
    return costs


def costs_of_draws(times: Real, events: Real, spent: Real, total: int) -> Real:
    """Costs at each time, of several draws: `events` at each and the time `spent` until them, [draw, time]."""
    done = np.cumsum(events, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        costs: Real = (np.cumsum(spent, axis=1) + times * (total - done)) / done
    return np.where(done > 0, costs, np.inf)  # at time 0 nothing is spent: 0/0


def restart_efficiency(costs: ArrayLike) -> Real:
    """Hamey's restart efficiency: successes in 1,000 epochs, of costs in epochs; ∞ where they cost nothing.

    Source: as `restart_costs`.
    """
    with np.errstate(divide="ignore"):
        efficiency: Real = np.divide(1000.0, np.asarray(costs, float))
    return efficiency


class Restart(NamedTuple):
    """When to give up and draw a new seed (`at`), what a success then costs (`cost`), and the bounds of both. All NaN where there
    is no success; a bound of the cost is ∞ where so many draws have none."""

    at: float
    at_low: float
    at_high: float
    cost: float
    cost_low: float
    cost_high: float


DRAWS = 1000
"""Bootstrap draws."""

_GROUPS = 512
"""Times that a draw tells apart: of more, each holds as many events as the others, near enough."""


def restart(times: ArrayLike, events: ArrayLike, total: int, level: float = 0.95, seed: int = 0) -> Restart:
    """The time of giving up that minimises the expected cost of a success, with bootstrap bounds.

    The optimum lies at a time of an event: between two of them only the cost grows. Each draw takes as many runs with
    replacement and looks for its own optimum. For the bounds alone, more than 512 times are pooled into about as many groups.

    Bounds of the time are percentiles of the draws. The least of several noisy costs is too low on average, and that of a draw
    once more: bounds of the cost are bias-corrected percentiles, at Φ(2z₀ ± z) with Φ(z₀) the share of draws below the estimate,
    equal ones counted half. Where giving up at any time costs nearly the same, they still cover less often than they claim
    (95% bounds: some 80%).

    Source: as `restart_costs`; bootstrap: B. Efron (1979), Annals of Statistics 7:1-26, doi:10.1214/aos/1176344552; correction:
    B. Efron (1987), Journal of the American Statistical Association 82:171-185, doi:10.1080/01621459.1987.10478410.

    Parameters: as `restart_costs`; `seed`, of the draws. Raises as it does.
    """
    z, normal = _deviate(level), NormalDist()
    t, d = _table(times, events)
    costs = restart_costs(t, d, total)
    t, costs, d = t[d > 0], costs[d > 0], d[d > 0]
    if not t.size:
        return Restart(*[np.nan] * 6)
    best = int(np.argmin(costs))
    group = (np.cumsum(d) - d) * _GROUPS // d.sum() if t.size > _GROUPS else np.arange(t.size)
    # The optimum ends a group too: draws can give up at the end of a group only, and it may lie just before a long gap.
    last = np.flatnonzero(np.append(np.diff(group + (np.arange(t.size) > best)), 1))
    counts, spent = (np.diff(np.cumsum(values)[last], prepend=0) for values in (d, t * d))
    ends, means = t[last], spent / counts
    drawn = np.random.default_rng(seed).multinomial(total, [*counts / total, max(0.0, 1 - d.sum() / total)], DRAWS)[:, :-1]
    found = costs_of_draws(ends, drawn.astype(float), drawn * means, total)
    where = np.argmin(found, axis=1)
    drawn_costs = found[np.arange(DRAWS), where]
    some = np.isfinite(drawn_costs)
    at_low, at_high = np.quantile(ends[where][some], [normal.cdf(-z), normal.cdf(z)], method="inverted_cdf")
    # Reckoned as the draws are: a draw of the very same runs equals it, to the bit.
    estimate = costs_of_draws(ends, counts[None], (counts * means)[None], total).min()
    below = np.mean(drawn_costs < estimate) + np.mean(drawn_costs == estimate) / 2
    z0 = normal.inv_cdf(min(max(float(below), 0.5 / DRAWS), 1 - 0.5 / DRAWS))
    cost_low, cost_high = np.quantile(drawn_costs, [normal.cdf(2 * z0 - z), normal.cdf(2 * z0 + z)], method="inverted_cdf")
    return Restart(float(t[best]), float(at_low), float(at_high), float(costs[best]), float(cost_low), float(cost_high))


class Part(NamedTuple):
    """An estimate of a mean and its bounds."""

    value: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Part:
    """The mean of independent values, [n], and Student's interval, mean ± t·sd/√n: bounds are NaN of a single value.

    Source: Student (1908), Biometrika 6:1-25, doi:10.1093/biomet/6.1.1.
    """
    from scipy.special import stdtrit

    _deviate(level)
    x = np.asarray(values, float)
    if x.ndim != 1 or not x.size:
        raise ValueError("values form a row")
    mean = float(x.mean())
    if x.size == 1:
        return Part(mean, np.nan, np.nan)
    reach = float(stdtrit(x.size - 1, (1 + level) / 2)) * float(x.std(ddof=1)) / x.size**0.5
    return Part(mean, mean - reach, mean + reach)


class Attribution(NamedTuple):
    """What one of several changes did to a mean: made first, made last, and averaged over all orders of making them."""

    alone: Part
    last: Part
    average: Part


def attribution(corners: ArrayLike, level: float = 0.95) -> list[Attribution]:
    """Each change's part where several were made, from what was seen with every subset of them.

    The average over all orders of making them is Shapley's value: Σ over subsets S without the change of
    (v(S with it) − v(S)) / (k·C(k − 1, |S|)). It is taken of each run by itself, so that the intervals are those of a mean.

    Source: L. S. Shapley (1953), A value for n-person games, Contributions to the Theory of Games II:307-317.

    Parameters: `corners`, [2^k, run]: what each run showed with a subset of the changes, whose bit i says that change i is made.
    Returns one for each of the k changes. Raises ValueError for another number of rows and without runs.
    """
    v = np.asarray(corners)
    changes = len(v).bit_length() - 1 if v.ndim == 2 else 0
    if changes < 1 or len(v) != 1 << changes or not v.shape[1]:
        raise ValueError("there is a row for every subset of one or more changes, and a column for every run")
    full = len(v) - 1
    found = []
    for change in range(changes):
        bit = 1 << change
        average = np.zeros(v.shape[1])
        for subset in range(len(v)):
            if not subset & bit:
                step = v[subset | bit].astype(float) - v[subset]
                average += step / (changes * comb(changes - 1, subset.bit_count()))
        alone, last = v[bit].astype(float) - v[0], v[full].astype(float) - v[full ^ bit]
        found.append(Attribution(*(mean_interval(values, level) for values in (alone, last, average))))
    return found


def constant_loss(T: ArrayLike, loss: str) -> float:
    """The loss of the best answer that is the same for every row: each output's mean target, by either loss.

    Parameters: `T`, targets, [row, output]; `loss`, `squared` or `cross-entropy`.
    """
    targets = np.asarray(T, float)
    mean = targets.mean(axis=0)
    if loss == "cross-entropy":
        inner = mean[(mean > 0) & (mean < 1)]
        return float(-(inner * np.log(inner) + (1 - inner) * np.log1p(-inner)).sum())
    return float(0.5 * ((targets - mean) ** 2).mean(axis=0).sum())


def unlike_neighbours(flags: ArrayLike, there: ArrayLike, distances: ArrayLike) -> Real:
    """How many of the pairs of points on a grid, so many cells apart across or up, have unlike flags.

    Parameters: `flags`, bool [row, column]; `there`, whether a point has a flag at all; `distances`, in cells, from 1. Returns
    shares 0…1 [distance], NaN where there is no pair.
    """
    flag, known = np.asarray(flags, bool), np.asarray(there, bool)
    shares = []
    for distance in np.asarray(distances, int).ravel():
        unlike = pairs = 0
        for one, two in ((np.s_[distance:, :], np.s_[:-distance, :]), (np.s_[:, distance:], np.s_[:, :-distance])):
            both = known[one] & known[two]
            pairs += int(np.count_nonzero(both))
            unlike += int(np.count_nonzero(both & (flag[one] ^ flag[two])))
        shares.append(unlike / pairs if pairs else np.nan)
    return np.array(shares)


def boundary_dimension(distances: ArrayLike, shares: ArrayLike) -> float:
    """The dimension of the boundary between the two kinds of points of a plane: 1 of a smooth line, 2 where it is everywhere.

    The share of points that a step of ε takes to the other kind grows as ε^α; the dimension is 2 − α, with α the slope of a line
    of least squares through the logarithms.

    Source: S. W. McDonald, C. Grebogi, E. Ott & J. A. Yorke (1985), Fractal basin boundaries, Physica D 17:125-153,
    doi:10.1016/0167-2789(85)90001-6.

    Parameters: what `unlike_neighbours` was given and what it returned. NaN where there are less than two shares, or one is 0.
    """
    step, share = np.asarray(distances, float), np.asarray(shares, float)
    if len(step) < 2 or not np.all(share > 0):
        return float("nan")
    return 2.0 - float(np.polyfit(np.log(step), np.log(share), 1)[0])
