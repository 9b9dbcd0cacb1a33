"""Intervals and tests for comparisons over the same seeds: pure functions, each with its source."""

from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, chdtrc

from fastbp.analysis.statistics.proportions import (
    HALVINGS,
    Real,
    clopper_pearson,
    normal_quantile,
)


def tango(
    fixed: ArrayLike, broken: ArrayLike, pairs: ArrayLike, level: float = 0.95
) -> tuple[Real, Real]:
    """Tango's score interval for a difference of paired proportions.

    Parameters
    ----------
    fixed, broken : array_like of whole numbers
        Pairs that changed from failure to success (b), and from success to failure (c), of any
        common shape.
    pairs : array_like of whole numbers, same shape
        All pairs (n).
    level : float
        Two-sided confidence level.

    Returns
    -------
    low, high : float64 arrays, same shape
        Bounds of (fixed − broken) / pairs, from −1 to 1; NaN where `pairs` is 0.

    Raises
    ------
    ValueError
        Unless b, c >= 0, b + c <= n and 0 < level < 1.

    Notes
    -----
    The bounds are the δ with (b − c − nδ)² = z² n (2q + δ(1 − δ)), where q, the estimate of
    P(broken) under a difference δ, is the larger root of 2n q² + ((2n − b + c)δ − b − c) q −
    cδ(1 − δ) = 0. T. Tango (1998), Statistics in Medicine 17:891-908, the score statistic and its
    restricted estimate, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.
    """
    b, c, n = np.broadcast_arrays(*(np.asarray(a, float) for a in (fixed, broken, pairs)))
    if np.any((b < 0) | (c < 0) | (b + c > n)):
        raise ValueError(
            "fixed and broken must not be negative, and together at most the number of pairs"
        )
    z = normal_quantile(level)
    some = np.where(n > 0, n, 1.0)
    # Exchanging fixed and broken mirrors the interval, so one function computes both bounds.
    low, high = _tango_low(b, c, some, z), -_tango_low(c, b, some, z)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def _tango_low(b: Real, c: Real, n: Real, z: float) -> Real:
    """Lower bound of `tango` by bisection of [−1, estimate], for n > 0."""
    low, high = np.full(n.shape, -1.0), (b - c) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(HALVINGS):
            delta = (low + high) / 2
            # q is the larger root of 2n q² + B q + C = 0, by the formula without cancellation.
            B = (2 * n - b + c) * delta - b - c
            C = -c * delta * (1 - delta)
            root = np.sqrt(np.maximum(B * B - 8 * n * C, 0.0))
            q = np.where(B > 0, np.where(C == 0, 0.0, -2 * C / (B + root)), (root - B) / (4 * n))
            spread = np.sqrt(n * np.maximum(2 * q + delta * (1 - delta), 0.0))
            below = b - c - n * delta >= z * spread
            low, high = np.where(below, delta, low), np.where(below, high, delta)
    return low


def mcnemar(fixed: ArrayLike, broken: ArrayLike) -> Real:
    """Exact two-sided p value of McNemar's test that a change fixes as many pairs as it breaks.

    Parameters
    ----------
    fixed, broken : array_like of whole numbers
        Pairs that changed from failure to success, and from success to failure, of any common
        shape.

    Returns
    -------
    float64 array, same shape
        p values; 1 where no pair changed.

    Raises
    ------
    ValueError
        If a count is negative.

    Notes
    -----
    p = min(1, 2 P(X <= min(b, c))), X binomial with b + c trials of ½. Q. McNemar (1947),
    Psychometrika 12:153-157, doi:10.1007/BF02295996; exact form: A. Agresti (2013), Categorical
    Data Analysis, section 11.1.
    """
    b, c = np.broadcast_arrays(np.asarray(fixed, float), np.asarray(broken, float))
    if np.any((b < 0) | (c < 0)):
        raise ValueError("fixed and broken must not be negative")
    fewer, more = np.minimum(b, c), np.maximum(b, c)
    # P(X <= k of n) is the incomplete beta function at (n − k, k + 1), and n − k is `more`.
    tail: Real = np.where(more > 0, betainc(np.maximum(more, 1.0), fewer + 1, 0.5), 1.0)
    return np.where(tail < 0.5, 2 * tail, 1.0)


def odds_ratio(fixed: ArrayLike, broken: ArrayLike, level: float = 0.95) -> tuple[Real, Real, Real]:
    """Odds ratio of success after and before a change, from matched pairs, with exact bounds.

    Parameters
    ----------
    fixed, broken
        As for `mcnemar`.
    level : float
        Two-sided confidence level.

    Returns
    -------
    ratio, low, high : float64 arrays, same shape
        fixed / broken and its bounds: NaN where no pair changed; the ratio and its upper bound are
        ∞ where none was broken.

    Raises
    ------
    ValueError
        If a count is negative, or unless 0 < level < 1.

    Notes
    -----
    A pair that changed was fixed with probability π = ψ/(1 + ψ), where ψ is the odds ratio of each
    pair. So fixed / broken is the conditional maximum-likelihood estimate of ψ, and Clopper and
    Pearson's bounds of π give those of ψ. F. D. K. Liddell (1983), Journal of Epidemiology and
    Community Health 37:82-84, doi:10.1136/jech.37.1.82.
    """
    b, c = np.asarray(fixed, float), np.asarray(broken, float)
    low, high = clopper_pearson(b, b + c, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        return b / c, low / (1 - low), high / (1 - high)


def holm(p: ArrayLike) -> Real:
    """Adjust p values for the number of tests by Holm's method (family-wise error rate).

    Parameters
    ----------
    p : array_like, [test]
        p values from 0 to 1; NaN where there was no test.

    Returns
    -------
    float64 array, [test]
        Adjusted p values, NaN where `p` is.

    Raises
    ------
    ValueError
        If `p` is not one-dimensional, or a value is not from 0 to 1.

    Notes
    -----
    In ascending order, adjusted p(i) = max over j <= i of min(1, (m − j + 1) p(j)), j from 1.
    S. Holm (1979), Scandinavian Journal of Statistics 6:65-70.
    """
    values = np.asarray(p, float)
    if values.ndim != 1 or np.any((values < 0) | (values > 1)):
        raise ValueError("p values must form one row, each from 0 to 1")
    order = np.argsort(values, kind="stable")[: np.count_nonzero(~np.isnan(values))]  # NaN is last
    adjusted = np.full(values.shape, np.nan)
    adjusted[order] = np.minimum(
        1.0, np.maximum.accumulate(values[order] * np.arange(order.size, 0, -1))
    )
    return adjusted


MIN_EXPECTED = 5
"""The χ² approximation needs this many successes, and failures, per proportion on average (Cochran
1954, Biometrics 10:417-451)."""


def cochran(together: ArrayLike, total: int) -> float:
    """Cochran's Q test that several proportions, counted on the same seeds, are equal.

    The test allows for correlation, also unequal, between the trials of a seed.

    Parameters
    ----------
    together : array_like of whole numbers, [proportion, proportion]
        Number of seeds on which both proportions have a success. The diagonal has the number of
        successes of each proportion.
    total : int
        Number of seeds.

    Returns
    -------
    float
        The p value. NaN for a single proportion, with fewer than five successes or failures per
        proportion on average, and if each seed succeeds in all proportions or in none.

    Raises
    ------
    ValueError
        If `together` is not square.

    Notes
    -----
    Q = (k − 1)(k ΣG² − (ΣG)²)/(k ΣL − ΣL²), with G the successes of each of k proportions and L
    those of each seed. If all covariances within a seed are equal, Q is about χ² with k − 1 degrees
    of freedom. If they are not, Q has the same mean but another variance. By Box, εQ is then about
    χ² with ε(k − 1) degrees of freedom, ε = (tr C)²/((k − 1) tr C²), where C are the covariances,
    centred by row and by column.

    W. G. Cochran (1950), Biometrika 37:256-266, doi:10.2307/2332378; G. E. P. Box (1954), Annals of
    Mathematical Statistics 25:484-498, doi:10.1214/aoms/1177728717; both: J. L. Myers, J. V.
    DiCecco, J. B. White and V. M. Borden (1982), Psychological Bulletin 92:517-525,
    doi:10.1037/0033-2909.92.2.517.
    """
    both = np.asarray(together, float)
    if both.ndim != 2 or both.shape[0] != both.shape[1]:
        raise ValueError("together must have a row and a column for each share")
    k, successes = len(both), np.diag(both)
    few = min(successes.sum(), k * total - successes.sum()) < MIN_EXPECTED * k
    within = k * successes.sum() - both.sum()
    # `within` is 0 if every seed succeeds in all or in none: then no two proportions can differ.
    if k < 2 or few or within <= 0:
        return float("nan")
    q = (k - 1) * (k * (successes**2).sum() - successes.sum() ** 2) / within
    centred = both - both.mean(axis=0) - both.mean(axis=1, keepdims=True) + both.mean()
    epsilon = np.trace(centred) ** 2 / ((k - 1) * (centred**2).sum())
    return float(chdtrc(epsilon * (k - 1), epsilon * q))


def effective_trials(together: ArrayLike, total: int) -> float:
    """Effective number of independent trials behind the mean of several correlated proportions.

    This number of independent trials would estimate the mean with the same variance.

    Parameters
    ----------
    together : array_like of whole numbers, [proportion, proportion]
        Number of seeds on which both proportions have a success.
    total : int
        Number of seeds.

    Returns
    -------
    float
        From `total`, if each seed succeeds in all k proportions or in none, to k × `total`.

    Notes
    -----
    The number is p(1 − p)/V, with V the variance over seeds of the mean p. If p is 0 or 1, nothing
    shows how correlated the trials of a seed are, so they count as one. E. L. Korn and B. I.
    Graubard (1998), Survey Methodology 24:193-201.
    """
    both = np.asarray(together, float)
    k = len(both)
    mean = np.trace(both) / (k * total)
    if mean in (0, 1):
        return float(total)
    variance = (both.sum() / (k * k * total) - mean * mean) / total
    trials = mean * (1 - mean) / variance if variance > 0 else np.inf
    return float(min(max(trials, total), k * total))


class PointsInterval(NamedTuple):
    """An estimate and its bounds."""

    value: float
    low: float
    high: float


def mean_difference(
    values: Real, level: float, most: float = 1.0, counts: ArrayLike = 1.0
) -> PointsInterval:
    """The interval of Agresti & Min for the mean of independent values from −most to most, [run].

    With `counts`, each value stands for as many equal ones. Half a run at `most`, half a run at
    −most and one at 0 are added, then Wald's interval is taken: it has a width even where all
    values are equal. A. Agresti and Y. Min (2005), Statistics in Medicine 24:729-740,
    doi:10.1002/sim.1781, for differences of −1, 0 and 1; others vary less.
    """
    weights = np.broadcast_to(np.asarray(counts, float), values.shape)
    n = float(weights.sum())
    value = float((weights * values).sum()) / n
    mean = value * n / (n + 2)
    variance = (float(weights * values @ values) + most * most) / (n + 2) - mean * mean
    reach = normal_quantile(level) * (variance / (n + 2)) ** 0.5
    return PointsInterval(value, max(mean - reach, -most), min(mean + reach, most))


def paired_difference(before: ArrayLike, after: ArrayLike, level: float = 0.95) -> PointsInterval:
    """The difference of two paired proportions with Tango's interval.

    Parameters
    ----------
    before, after : array_like of 0 and 1, [run]
        Whether each run succeeds without the change, and with it.
    level : float
        Two-sided confidence level.
    """
    moved = np.asarray(after, float) - np.asarray(before, float)
    low, high = tango(np.sum(moved > 0), np.sum(moved < 0), moved.size, level)
    return PointsInterval(float(moved.mean()), float(low), float(high))


def interaction(corners: ArrayLike, level: float = 0.95) -> PointsInterval:
    """How much more a change does if another one is made as well.

    Parameters
    ----------
    corners : array_like of 0 and 1, [4, run]
        Whether each run succeeds with neither change, the first, the second, and both.
    level : float
        Two-sided confidence level.

    Notes
    -----
    The mean over runs of the difference of the two differences, from −2 to 2, with the interval of
    Agresti & Min as if half of it were a difference of −1, 0 or 1.
    """
    neither, one, other, both = np.asarray(corners, float)
    return PointsInterval(
        *(2 * x for x in mean_difference((both - other - one + neither) / 2, level))
    )


class Contribution(NamedTuple):
    """How much one of several changes moves a proportion.

    Attributes
    ----------
    alone : PointsInterval
        The effect if the change is made first, with Tango's interval.
    last : PointsInterval
        The effect if the change is made last, with Tango's interval.
    average : PointsInterval
        The effect averaged over all orders of making the changes (Shapley's value).
    """

    alone: PointsInterval
    last: PointsInterval
    average: PointsInterval


def shapley(corners: ArrayLike, level: float = 0.95) -> list[Contribution]:
    """Split the effect of k changes made together into the contribution of each.

    Parameters
    ----------
    corners : array_like of 0 and 1, [2^k, run]
        Whether each run succeeds under every subset of the k changes; a column has the same seed in
        all rows. Row n has the subset with change i if bit i of n is set.
    level : float
        Two-sided confidence level.

    Returns
    -------
    list of Contribution
        One for each change.

    Raises
    ------
    ValueError
        If the number of rows is not a power of 2, or there are no runs.

    Notes
    -----
    The average over all orders is Shapley's value: Σ over subsets S without the change of
    (v(S with it) − v(S)) / (k·C(k − 1, |S|)). It is taken for each run, and its mean has the
    interval of Agresti & Min. L. S. Shapley (1953), A value for n-person games, Contributions to
    the Theory of Games II:307-317.
    """
    v = np.asarray(corners)
    changes = len(v).bit_length() - 1 if v.ndim == 2 else 0
    if changes < 1 or len(v) != 1 << changes or not v.shape[1]:
        raise ValueError(
            "corners must have a row for every subset of one or more changes, and a column for "
            "every run"
        )
    v = v.astype(float)
    result = []
    for bit in (1 << change for change in range(changes)):
        without = [subset for subset in range(len(v)) if not subset & bit]
        average = np.zeros(v.shape[1])
        for subset in without:
            average += (v[subset | bit] - v[subset]) / (
                changes * comb(changes - 1, subset.bit_count())
            )
        alone, last = (
            paired_difference(v[subset], v[subset | bit], level) for subset in (0, without[-1])
        )
        result.append(Contribution(alone, last, mean_difference(average, level)))
    return result
