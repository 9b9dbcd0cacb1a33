"""Intervals and tests for proportions: pure functions over arrays, each with its source.

Counts are broadcast against each other, and results have their common shape. `level` is the
two-sided confidence level.
"""

from bisect import bisect_left
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, chdtri, gammaln, xlog1py, xlogy

Real = NDArray[np.float64]

HALVINGS = 64
"""After this many bisections of an interval of width 2, float64 has no finer step near any relevant
bound."""


def normal_quantile(level: float) -> float:
    """The z for which a standard normal variable lies in ±z with probability `level`.

    Raises
    ------
    ValueError
        Unless 0 < level < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: a confidence level lies between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def bonferroni(level: float, intervals: int) -> float:
    """The level at which so many intervals must be taken to hold at once with at least `level`.

    C. E. Bonferroni (1936), Pubblicazioni del R. Istituto superiore di scienze economiche e
    commerciali di Firenze 8:3-62.
    """
    return 1 - (1 - level) / max(1, intervals)


def _checked(count: ArrayLike, total: ArrayLike) -> tuple[Real, Real]:
    """Check counts and totals, and return them as float64 arrays of their common shape."""
    x, n = np.broadcast_arrays(np.asarray(count, float), np.asarray(total, float))
    if np.any((x < 0) | (x > n)):
        raise ValueError("a count must lie between 0 and its total")
    return x, n


def wilson(count: ArrayLike, total: ArrayLike, level: float = 0.95) -> tuple[Real, Real]:
    """Wilson's score interval for a proportion.

    Parameters
    ----------
    count, total : array_like of whole numbers
        Successes and trials, of any common shape.
    level : float
        Two-sided confidence level.

    Returns
    -------
    low, high : float64 arrays, same shape
        Bounds from 0 to 1; NaN where `total` is 0, exactly 0 where `count` is 0, exactly 1 where
        it is `total`.

    Raises
    ------
    ValueError
        Unless 0 <= count <= total and 0 < level < 1.

    Notes
    -----
    The bounds are the roots p of (count/total − p)² = z² p (1 − p) / total. E. B. Wilson (1927),
    Journal of the American Statistical Association 22:209-212, doi:10.1080/01621459.1927.10502953.
    """
    x, n = _checked(count, total)
    z = normal_quantile(level)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (x + z * z / 2) / (n + z * z)
        reach = z / (n + z * z) * np.sqrt(x * (n - x) / n + z * z / 4)
    low = np.where(x == 0, 0.0, middle - reach)
    high = np.where(x == n, 1.0, middle + reach)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def modified_wilson(count: ArrayLike, total: ArrayLike, level: float = 0.95) -> tuple[Real, Real]:
    """Wilson's interval, wider where there are only one to three successes or failures.

    There Wilson's own lower bound is too high: its 95% interval covers a rare share in 84% of cases
    only, and this one in 91% or more.

    Parameters
    ----------
    count, total, level
        As for `wilson`.

    Returns
    -------
    low, high : float64 arrays, same shape
        As from `wilson`.

    Raises
    ------
    ValueError
        Unless 0 <= count <= total and 0 < level < 1.

    Notes
    -----
    For x successes of n, with x from 1 to 3 (to 2 if n <= 50) and at most n/2, the lower bound is
    λ/n, where P(X <= x − 1) = level for a Poisson X with mean λ; failures likewise. L. D. Brown, T.
    T. Cai and A. DasGupta (2001), Statistical Science 16:101-133, section 4.1.1.
    """
    x, n = _checked(count, total)
    low, high = wilson(x, n, level)
    few = np.minimum(np.where(n > 50, 3, 2), n / 2)
    for number in (1.0, 2.0, 3.0):
        with np.errstate(invalid="ignore", divide="ignore"):
            bound = chdtri(2 * number, level) / 2 / n
        low = np.where((x == number) & (x <= few), bound, low)
        high = np.where((n - x == number) & (n - x <= few), 1 - bound, high)
    return low, high


def clopper_pearson(count: ArrayLike, total: ArrayLike, level: float = 0.95) -> tuple[Real, Real]:
    """Exact binomial interval for a proportion, with a coverage of at least its level.

    Parameters
    ----------
    count, total : array_like of whole numbers
        Successes and trials, of any common shape.
    level : float
        Two-sided confidence level.

    Returns
    -------
    low, high : float64 arrays, same shape
        Bounds from 0 to 1; NaN where `total` is 0.

    Raises
    ------
    ValueError
        Unless 0 <= count <= total and 0 < level < 1.

    Notes
    -----
    At the lower bound, `count` or more successes have probability (1 − level)/2; at the upper
    bound, `count` or fewer have. They are quantiles of Beta(x, n − x + 1) and Beta(x + 1, n − x).
    C. J. Clopper and E. S. Pearson (1934), Biometrika 26:404-413, doi:10.1093/biomet/26.4.404.
    """
    x, n = _checked(count, total)
    normal_quantile(level)
    with np.errstate(invalid="ignore"):
        low = np.where(x > 0, betaincinv(np.maximum(x, 1), n - x + 1, (1 - level) / 2), 0.0)
        high = np.where(x < n, betaincinv(x + 1, np.maximum(n - x, 1), (1 + level) / 2), 1.0)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def confidence_sequence(
    count: ArrayLike, total: ArrayLike, prior: float, level: float = 0.95
) -> tuple[Real, Real]:
    """Interval for a proportion that may be computed after every trial (a confidence sequence).

    With independent trials, the intervals after 1, 2, 3, … trials all contain the proportion with
    probability `level` or more. So an interval may decide when to stop.

    Parameters
    ----------
    count, total : array_like of whole numbers
        Successes and trials, of any common shape.
    prior : float
        The weight k > 0 of the mixture, in trials, fixed before anything is counted.
        `sequence_prior` computes a good one for a width.
    level : float
        Two-sided confidence level.

    Returns
    -------
    low, high : float64 arrays, same shape
        Bounds from 0 to 1; 0 and 1 where `total` is 0.

    Raises
    ------
    ValueError
        Unless 0 <= count <= total, 0 < prior < ∞ and 0 < level < 1.

    Notes
    -----
    The bounds are the p at which the likelihood ratio M(p) = B(kp + x, kq + n − x) / (B(kp, kq) p^x
    q^(n − x)), q = 1 − p, of a mixture of proportions Beta(kp, kq) against p reaches 1/(1 − level).
    For the true p, M is a martingale that starts at 1 and ever exceeds that bound with at most
    probability 1 − level (Ville). ln M is a sum of ln(k + i/p) and ln(k + j/q), which are convex in
    p, so M is small on an interval; it contains x/n, where the likelihood is greatest.

    H. Robbins (1970), Annals of Mathematical Statistics 41:1397-1409, doi:10.1214/aoms/1177696786;
    this mixture: S. R. Howard, A. Ramdas, J. McAuliffe and J. Sekhon (2021), Annals of Statistics
    49:1055-1080, doi:10.1214/20-AOS1991, the two-sided beta-binomial mixture.
    """
    x, n = _checked(count, total)
    if not (0 < prior < np.inf and 0 < level < 1):
        raise ValueError(
            f"prior = {prior} must be above 0 and finite, and level = {level} between 0 and 1"
        )
    estimate = np.divide(x, n, out=np.full(n.shape, 0.5), where=n > 0)
    # Exchanging successes and failures mirrors the interval.
    low = _sequence_low(x, n, estimate, prior, level)
    return low, 1 - _sequence_low(n - x, n, 1 - estimate, prior, level)


def _sequence_low(x: Real, n: Real, estimate: Real, k: float, level: float) -> Real:
    """Find the lower bound of `confidence_sequence` by bisection of [0, estimate]."""
    low, high = np.zeros(n.shape), estimate.copy()
    shift = gammaln(k) - gammaln(k + n) + np.log1p(-level)
    for _ in range(HALVINGS):
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
    """A `prior` with which `confidence_sequence` needs few trials for an interval of this width.

    Parameters
    ----------
    width : float
        Upper bound minus lower bound of the interval, above 0.

    Returns
    -------
    float
        The weight k = 1/(2 width²), in trials.

    Notes
    -----
    A proportion of one half needs about n = (1 + k/n)(2 ln(1/(1 − level)) + ln(1 + n/k)) / width²
    trials. That is fewest where n = 8k, and hardly more from 4k to 30k. At k = 1/(2 width²) one
    half has n = 19k, and proportions that need fewer trials have n nearer to 8k.
    """
    return 1 / (2 * width * width)


def sequence_trials(share: float, width: float, level: float = 0.95) -> int:
    """About how many trials `confidence_sequence` needs until its interval is at most `width` wide.

    Parameters
    ----------
    share : float
        Share of the trials that succeed, 0 to 1. One half needs the most trials.
    width : float
        Width of the interval, above 0.
    level : float
        Two-sided confidence level.
    """

    def is_narrow(n: int) -> bool:
        low, high = confidence_sequence(share * n, n, sequence_prior(width), level)
        return bool(high - low <= width)

    many = 1
    while not is_narrow(many):
        many *= 2
    return bisect_left(range(many), True, many // 2 + 1, key=is_narrow)


def newcombe(
    count: ArrayLike, total: ArrayLike, other: ArrayLike, others: ArrayLike, level: float = 0.95
) -> tuple[Real, Real]:
    """Newcombe's score interval for a difference of independent proportions.

    Parameters
    ----------
    count, total, other, others : array_like of whole numbers
        Successes and trials of the first and of the second proportion, of any common shape.
    level : float
        Two-sided confidence level.

    Returns
    -------
    low, high : float64 arrays, same shape
        Bounds of other/others − count/total, from −1 to 1; NaN where a total is 0.

    Raises
    ------
    ValueError
        As `wilson` does.

    Notes
    -----
    From Wilson's bounds l and u of each proportion p: d − √((p₂ − l₂)² + (u₁ − p₁)²) to
    d + √((u₂ − p₂)² + (p₁ − l₁)²). R. G. Newcombe (1998), Statistics in Medicine 17:873-890, method
    10, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
    """
    (low1, high1), (low2, high2) = wilson(count, total, level), wilson(other, others, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        p1 = np.divide(np.asarray(count, float), total)
        p2 = np.divide(np.asarray(other, float), others)
    below, above = np.hypot(p2 - low2, high1 - p1), np.hypot(high2 - p2, p1 - low1)
    return p2 - p1 - below, p2 - p1 + above


def fisher(count: int, total: int, other: int, others: int) -> float:
    """Two-sided p value of Fisher's exact test that two independent proportions are equal.

    Parameters
    ----------
    count, total, other, others : int
        Successes and trials of the first and of the second proportion.

    Notes
    -----
    R. A. Fisher (1935), Journal of the Royal Statistical Society 98:39-82, doi:10.2307/2342435.
    """
    from scipy.stats import fisher_exact

    return float(fisher_exact(np.array([[count, total - count], [other, others - other]])).pvalue)


class LevelCrossing(NamedTuple):
    """A place where a row of proportions passes a level.

    Attributes
    ----------
    at, low, high : float
        The crossing and its bounds, as positions in the row, counted from 0.
    rising : bool
        Whether the proportions are above the level after it.
    """

    at: float
    low: float
    high: float
    rising: bool


def crossings(
    share: ArrayLike, low: ArrayLike, high: ArrayLike, level: float = 0.5
) -> list[LevelCrossing]:
    """Find where a row of proportions surely passes a level, judged by their intervals.

    A proportion is surely above the level if its lower bound is, and surely below if its upper
    bound is. Take two sure proportions on different sides of the level with no other sure one
    between them: the row passes the level an odd number of times between them. `at` is the middle
    crossing, interpolated linearly; `low` and `high` are the positions of the two proportions. So
    the interval inverts the test that a proportion equals the level: it reaches to the next
    positions at which the test rejects.

    Parameters
    ----------
    share, low, high : array_like, [position]
        Proportions and their bounds, low <= share <= high.
    level : float
        The level to pass.

    Returns
    -------
    list of LevelCrossing
        In ascending order.

    Raises
    ------
    ValueError
        If the three are not rows of one length.

    Notes
    -----
    E. L. Lehmann and J. P. Romano (2005), Testing Statistical Hypotheses, section 3.5.
    """
    rows = [np.asarray(each, float) - level for each in (share, low, high)]
    if any(each.ndim != 1 or each.shape != rows[0].shape for each in rows):
        raise ValueError("shares and their bounds must be rows of the same length")
    sure = np.where(rows[1] > 0, 1, np.where(rows[2] < 0, -1, 0))
    positions, result = np.flatnonzero(sure), []
    for i, j in zip(positions[:-1].tolist(), positions[1:].tolist(), strict=True):
        if sure[i] == sure[j]:
            continue
        rising = bool(sure[j] > 0)
        excess = rows[0] if rising else -rows[0]
        passes = i + np.flatnonzero((excess[i:j] < 0) & (excess[i + 1 : j + 1] >= 0))
        k = int(passes[len(passes) // 2])
        at = k + float(excess[k] / (excess[k] - excess[k + 1]))
        result.append(LevelCrossing(at, float(i), float(j), rising))
    return result
