"""Intervals and tests for shares: pure functions over arrays, each with its source.

Counts broadcast against each other; results have their common shape. `level` is the two-sided confidence level.
"""

from __future__ import annotations

from statistics import NormalDist

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
