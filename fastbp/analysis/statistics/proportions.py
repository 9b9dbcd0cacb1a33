"""Intervals and tests for shares and for times to an event: pure functions over arrays, each with
its source.

Counts broadcast against each other; results have their common shape. `level` is the two-sided
confidence level. Times to an event are given as a table: each time once, ascending, and how many
events there were at it.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]

_HALVINGS = 64
"""Bisections of an interval of width 2 until float64 has no finer step near any bound that
matters."""


def _deviate(level: float) -> float:
    """The standard normal deviate z that a two-sided interval of this level reaches out to."""
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: a confidence level lies between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(count: ArrayLike, total: ArrayLike, level: float = 0.95) -> tuple[Real, Real]:
    """Wilson's score interval for a share.

    Bounds are the roots p of (count/total − p)² = z² p (1 − p) / total; exactly 0 where `count` is
    0, exactly 1 where it is `total`.

    Source: E. B. Wilson (1927), Journal of the American Statistical Association 22:209-212,
    doi:10.1080/01621459.1927.10502953.

    Parameters: `count` of `total`, whole numbers of any common shape. Returns (low, high), shares
    0…1, NaN where `total` is 0. Raises ValueError where not 0 ≤ count ≤ total or the level is none.
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
    """The exact binomial interval for a share: it covers at least as often as it says, with any
    number of trials.

    The bounds are the shares at which as many or more, and as few or fewer, have probability (1 −
    level)/2: quantiles of Beta(x, n − x + 1) and Beta(x + 1, n − x).

    Source: C. J. Clopper and E. S. Pearson (1934), Biometrika 26:404-413,
    doi:10.1093/biomet/26.4.404.

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


def confidence_sequence(
    count: ArrayLike, total: ArrayLike, prior: float, level: float = 0.95
) -> tuple[Real, Real]:
    """An interval for a share that may be looked at after every trial, and by which it may be
    decided when to stop.

    With independent trials, the intervals of all totals 1, 2, 3, … contain the share together with
    probability `level` or more. The bounds are the p at which the likelihood ratio M(p) = B(kp + x,
    kq + n − x) / (B(kp, kq) p^x q^(n − x)), q = 1 − p, of a mixture of shares Beta(kp, kq) against
    p itself reaches 1/(1 − level): where p is the share, M is a martingale that starts at 1, and
    exceeds that ever with at most this probability (Ville). ln M is a sum of ln(k + i/p) and ln(k +
    j/q), which are convex in p, so that M stays below on an interval; it holds x/n, where the
    likelihood is greatest.

    Source: H. Robbins (1970), Annals of Mathematical Statistics 41:1397-1409,
    doi:10.1214/aoms/1177696786; this mixture: S. R. Howard, A. Ramdas, J. McAuliffe and J. Sekhon
    (2021), Annals of Statistics 49:1055-1080, doi:10.1214/20-AOS1991, the two-sided beta-binomial
    mixture.

    Parameters: `count` of `total`, whole numbers of any common shape; `prior`, k > 0, fixed before
    anything is counted: how many trials the mixture weighs. `sequence_prior` has one for a width.
    Returns (low, high), shares 0…1, 0 and 1 where `total` is 0. Raises ValueError where not 0 ≤
    count ≤ total, or k or the level is none.
    """
    x, n = np.broadcast_arrays(np.asarray(count, float), np.asarray(total, float))
    if np.any((x < 0) | (x > n)):
        raise ValueError("a count lies between 0 and its total")
    if not (0 < prior < np.inf and 0 < level < 1):
        raise ValueError(f"prior = {prior} is above 0, and level = {level} between 0 and 1")
    estimate = np.divide(x, n, out=np.full(n.shape, 0.5), where=n > 0)
    # Exchanging what is counted mirrors the interval.
    low, high = (
        _sequence_low(x, n, estimate, prior, level),
        1 - _sequence_low(n - x, n, 1 - estimate, prior, level),
    )
    return low, high


def _sequence_low(x: Real, n: Real, estimate: Real, k: float, level: float) -> Real:
    """The lower bound of `confidence_sequence` by bisection of [0, estimate]."""
    from scipy.special import gammaln, xlog1py, xlogy

    low, high = np.zeros(n.shape), estimate.copy()
    shift = gammaln(k) - gammaln(k + n) + np.log1p(-level)
    for _ in range(_HALVINGS):
        p = np.maximum((low + high) / 2, np.finfo(float).tiny)
        a, b = k * p, k * (1 - p)
        ratio = (
            gammaln(a + x)
            - gammaln(a)
            + gammaln(b + n - x)
            - gammaln(b)
            - xlogy(x, p)
            - xlog1py(n - x, -p)
        )
        outside = ratio + shift >= 0
        low, high = np.where(outside, p, low), np.where(outside, high, p)
    return np.where(x == 0, 0.0, low)


def sequence_prior(width: float) -> float:
    """The `prior` of `confidence_sequence` that needs few trials for an interval of this width,
    whatever the share.

    A share of one half takes some n = (1 + k/n)(2 ln(1/(1 − level)) + ln(1 + n/k)) / width² trials,
    the fewest where n = 8k and hardly more from 4k to 30k. At k = 1/(2 width²) one half has n =
    19k, and shares that take fewer trials have n nearer to 8k.
    """
    return 1 / (2 * width * width)


def sequence_trials(share: float, width: float, level: float = 0.95) -> int:
    """About how many trials `confidence_sequence` takes to be so narrow where this share of them is
    counted; most at one half.
    """

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


def fisher(count: int, total: int, other: int, others: int) -> float:
    """Fisher's exact two-sided p that two independent shares, count/total and other/others, are
    equal.

    Source: R. A. Fisher (1935), Journal of the Royal Statistical Society 98:39-82,
    doi:10.2307/2342435.
    """
    from scipy.stats import fisher_exact

    return float(fisher_exact(np.array([[count, total - count], [other, others - other]])).pvalue)


MIN_EXPECTED = 5
"""Successes, and failures, that each share must have on average for a χ² approximation (Cochran
1954, Biometrics 10:417-451)."""


def cochran(together: ArrayLike, total: int) -> float:
    """Cochran's p that several shares are equal, each seen on the same seeds: it stands any
    correlation within a seed.

    Q = (k − 1)(k ΣG² − (ΣG)²)/(k ΣL − ΣL²), with G the successes of each of k shares and L those of
    each seed. Where covariances within a seed are all alike it is about χ² with k − 1 degrees of
    freedom. Where they are not, its mean is the same, its spread is not: as Box has it, εQ is about
    χ² with ε(k − 1), ε = (tr C)²/((k − 1) tr C²), C the covariances, centred both ways.

    Source: W. G. Cochran (1950), Biometrika 37:256-266, doi:10.2307/2332378; G. E. P. Box (1954),
    Annals of Mathematical Statistics 25:484-498, doi:10.1214/aoms/1177728717; both at once: J. L.
    Myers, J. V. DiCecco, J. B. White and V. M. Borden (1982), Psychological Bulletin 92:517-525,
    doi:10.1037/0033-2909.92.2.517.

    Parameters: `together`, [share, share], on how many of `total` seeds both succeeded: its
    diagonal has the successes of each. Returns p, NaN of a single share, and where there are fewer
    than five successes or failures a share. Raises ValueError where `together` is not square.
    """
    from scipy.special import chdtrc

    both = np.asarray(together, float)
    if both.ndim != 2 or both.shape[0] != both.shape[1]:
        raise ValueError("together has a row and a column for each share")
    k, successes = len(both), np.diag(both)
    if k < 2 or min(successes.sum(), k * total - successes.sum()) < MIN_EXPECTED * k:
        return float("nan")
    within = k * successes.sum() - both.sum()
    if within <= 0:
        return float(
            "nan"
        )  # every seed succeeds in all or in none, so that no two shares can differ
    q = (k - 1) * (k * (successes**2).sum() - successes.sum() ** 2) / within
    centred = (
        both - both.mean(axis=0) - both.mean(axis=1, keepdims=True) + both.mean()
    )  # equal means go with the centring
    epsilon = np.trace(centred) ** 2 / ((k - 1) * (centred**2).sum())
    return float(chdtrc(epsilon * (k - 1), epsilon * q))


def effective_trials(together: ArrayLike, total: int) -> float:
    """How many independent trials say as much of the mean of several shares as these, which were
    seen on the same seeds.

    p(1 − p)/V, with V the variance of their mean p over seeds: from `total`, where each seed
    succeeds in all or in none, to k times as many. Where p is 0 or 1 nothing shows how alike the
    trials of a seed are, and they count as one.

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
    """Where shares in a row pass a level: positions, counted from 0, and whether they are above it
    afterwards.
    """

    at: float
    low: float
    high: float
    rising: bool


def crossings(
    share: ArrayLike, low: ArrayLike, high: ArrayLike, level: float = 0.5
) -> list[Crossing]:
    """Where shares in a row pass a level, between positions of which they are surely on different
    sides of it.

    A share is surely above the level where its lower bound is, surely below where its upper bound
    is. Between two such next to each other it passes the level an odd number of times: `at` is the
    middle one, by straight lines between shares; `low` and `high` are those two. So the interval
    inverts the test that a share is the level, and reaches out to the next positions where that is
    rejected, whatever the shares do between positions.

    Source: E. L. Lehmann and J. P. Romano (2005), Testing Statistical Hypotheses, section 3.5.

    Parameters: `share` and its bounds `low` ≤ share ≤ `high`, [position]. Raises ValueError where
    they are not of one length.
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
        found.append(
            Crossing(k + float(own[k] / (own[k] - own[k + 1])), float(i), float(j), rising)
        )
    return found


def constant_loss(T: ArrayLike, loss: str) -> float:
    """The loss of the best answer that is the same for every row: each output's mean target, by
    either loss.

    Parameters: `T`, targets, [row, output]; `loss`, `squared` or `cross-entropy`.
    """
    targets = np.asarray(T, float)
    mean = targets.mean(axis=0)
    if loss == "cross-entropy":
        inner = mean[(mean > 0) & (mean < 1)]
        return float(-(inner * np.log(inner) + (1 - inner) * np.log1p(-inner)).sum())
    return float(0.5 * ((targets - mean) ** 2).mean(axis=0).sum())
