"""Paired comparisons: intervals and tests, pure functions over arrays, each with its source."""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastbp.analysis.statistics.proportions import _HALVINGS, Real, _deviate, wilson


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


def tango(
    fixed: ArrayLike, broken: ArrayLike, pairs: ArrayLike, level: float = 0.95
) -> tuple[Real, Real]:
    """Tango's score interval for a difference of paired shares, (fixed − broken) / pairs.

    Bounds are the δ with (b − c − nδ)² = z² n (2q + δ(1 − δ)), where q, the estimate of P(broken)
    under a difference δ, is the larger root of 2n q² + ((2n − b + c)δ − b − c) q − cδ(1 − δ) = 0.

    Source: T. Tango (1998), Statistics in Medicine 17:891-908, the score statistic and its
    restricted estimate, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.

    Parameters: `fixed` (b) and `broken` (c) of `pairs` (n), whole numbers of any common shape.
    Returns (low, high), −1…1, NaN where `pairs` is 0. Raises ValueError where b, c ≥ 0 and b + c ≤
    n do not hold or the level is none.
    """
    b, c, n = np.broadcast_arrays(*(np.asarray(a, float) for a in (fixed, broken, pairs)))
    if np.any((b < 0) | (c < 0) | (b + c > n)):
        raise ValueError(
            "fixed and broken are not negative, and together at most the number of pairs"
        )
    z = _deviate(level)
    some = np.where(n > 0, n, 1.0)
    # Exchanging fixed and broken mirrors the interval: one bound's code serves both, to the bit.
    low, high = _tango_low(b, c, some, z), -_tango_low(c, b, some, z)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def mcnemar(fixed: ArrayLike, broken: ArrayLike) -> Real:
    """The exact two-sided p of McNemar's test that fixing and breaking are equally likely.

    p = min(1, 2 P(X ≤ min(b, c))), X binomial with b + c trials of ½; 1 where there is neither.

    Source: Q. McNemar (1947), Psychometrika 12:153-157, doi:10.1007/BF02295996; exact form: A.
    Agresti (2013), Categorical Data Analysis, section 11.1.

    Parameters: whole numbers ≥ 0 of any common shape. Raises ValueError where one is negative.
    """
    from scipy.special import betainc

    b, c = np.broadcast_arrays(np.asarray(fixed, float), np.asarray(broken, float))
    if np.any((b < 0) | (c < 0)):
        raise ValueError("fixed and broken are not negative")
    fewer, more = np.minimum(b, c), np.maximum(b, c)
    # P(X ≤ k of n) is the incomplete beta function at (n − k, k + 1): here n − k is the larger of
    # the two.
    tail: Real = np.where(more > 0, betainc(np.maximum(more, 1.0), fewer + 1, 0.5), 1.0)
    return np.where(tail < 0.5, 2 * tail, 1.0)


def holm(p: ArrayLike) -> Real:
    """Holm's adjustment: p values that may each be held against one level, with one false alarm
    anywhere at most at that level.

    In ascending order, adjusted p(i) = max over j ≤ i of min(1, (m − j + 1) p(j)), j from 1.

    Source: S. Holm (1979), Scandinavian Journal of Statistics 6:65-70.

    Parameters: `p`, [m], each 0…1. Returns float64 [m]. Raises ValueError for anything else.
    """
    given = np.asarray(p, float)
    if given.ndim != 1 or not np.all((given >= 0) & (given <= 1)):
        raise ValueError("p values form one row, each from 0 to 1")
    order = np.argsort(given, kind="stable")
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(
        1.0, np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    )
    return adjusted


def newcombe(
    count: ArrayLike, total: ArrayLike, other: ArrayLike, others: ArrayLike, level: float = 0.95
) -> tuple[Real, Real]:
    """Newcombe's score interval for a difference of independent shares, other/others − count/total.

    From Wilson's bounds l and u of each share p: d − √((p₂ − l₂)² + (u₁ − p₁)²) to d + √((u₂ − p₂)²
    + (p₁ − l₁)²).

    Source: R. G. Newcombe (1998), Statistics in Medicine 17:873-890, method 10,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.

    Parameters: whole numbers of any common shape. Returns (low, high), −1…1, NaN where a total is
    0. Raises as `wilson` does.
    """
    (low1, high1), (low2, high2) = wilson(count, total, level), wilson(other, others, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        p1, p2 = (
            np.divide(np.asarray(count, float), total),
            np.divide(np.asarray(other, float), others),
        )
    difference = p2 - p1
    return difference - np.hypot(p2 - low2, high1 - p1), difference + np.hypot(
        high2 - p2, p1 - low1
    )


class Part(NamedTuple):
    """An estimate of a mean and its bounds."""

    value: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Part:
    """The mean of independent values, [n], and Student's interval, mean ± t·sd/√n: bounds are NaN
    of a single value.

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
    """What one of several changes did to a mean: made first, made last, and averaged over all
    orders of making them.
    """

    alone: Part
    last: Part
    average: Part


def attribution(corners: ArrayLike, level: float = 0.95) -> list[Attribution]:
    """Each change's part where several were made, from what was seen with every subset of them.

    The average over all orders of making them is Shapley's value: Σ over subsets S without the
    change of (v(S with it) − v(S)) / (k·C(k − 1, |S|)). It is taken of each run by itself, so that
    the intervals are those of a mean.

    Source: L. S. Shapley (1953), A value for n-person games, Contributions to the Theory of Games
    II:307-317.

    Parameters: `corners`, [2^k, run]: what each run showed with a subset of the changes, whose bit
    i says that change i is made. Returns one for each of the k changes. Raises ValueError for
    another number of rows and without runs.
    """
    v = np.asarray(corners)
    changes = len(v).bit_length() - 1 if v.ndim == 2 else 0
    if changes < 1 or len(v) != 1 << changes or not v.shape[1]:
        raise ValueError(
            "there is a row for every subset of one or more changes, and a column for every run"
        )
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
        found.append(
            Attribution(*(mean_interval(values, level) for values in (alone, last, average)))
        )
    return found
