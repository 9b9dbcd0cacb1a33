"""How many seeds it takes to show a difference, and what pairing them spares: pure functions."""

import math

import numpy as np

from fastbp.analysis.statistics.paired import PointsInterval
from fastbp.analysis.statistics.proportions import normal_quantile


def seeds_to_show(
    difference: float, changed: float, level: float = 0.95, power: float = 0.8
) -> int:
    """Number of pairs with which McNemar's test shows a difference of paired proportions.

    Parameters
    ----------
    difference : float
        The difference to show, above 0 and at most 1.
    changed : float
        Share of the pairs that change, in either direction; at least the difference.
    level, power : float
        One minus the significance level, and the probability that the difference is shown.

    Notes
    -----
    R. J. Connor (1987), Biometrics 43:207-211, doi:10.2307/2531961.
    """
    z, w = normal_quantile(level), normal_quantile(2 * power - 1)
    changed = min(1.0, max(changed, difference))
    reach = z * math.sqrt(changed) + w * math.sqrt(changed - difference**2)
    return math.ceil((reach / difference) ** 2)


MIN_CHANGED = 30
"""`pairing_worth` is said to be unknown with fewer pairs that change."""


def pairing_worth(
    pairs: int, fixed: int, broken: int, before: int, level: float = 0.95
) -> PointsInterval:
    """How many times as many seeds a comparison would take if its seeds were not paired.

    Parameters
    ----------
    pairs, fixed, broken, before : int
        All pairs; those that changed from failure to success, and from success to failure; and
        those that succeeded before the change.
    level : float
        Two-sided confidence level.

    Returns
    -------
    PointsInterval
        The variance of the difference of two proportions of `pairs` other seeds each, divided by
        that of the paired difference. NaN with fewer than `MIN_CHANGED` pairs that changed, or if
        all did and in one direction.

    Notes
    -----
    (p(1 − p) + q(1 − q)) / (P(fixed) + P(broken) − (q − p)²), with p and q the proportions before
    and after. The interval is that of its logarithm by the delta method: each run's part in it is
    ((x − p)² + (y − q)²)/numerator − (y − x − q + p)²/denominator, with x and y its results. A.
    Agresti (2013), Categorical Data Analysis, section 11.1 (the variances), 16.1 (the method).
    """
    counts = np.array([pairs - before - fixed, fixed, broken, before - broken])
    x, y = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    p, q = before / pairs, (before + fixed - broken) / pairs
    apart = p * (1 - p) + q * (1 - q)
    together = (fixed + broken) / pairs - (q - p) ** 2
    if fixed + broken < MIN_CHANGED or together <= 0:
        return PointsInterval(*[math.nan] * 3)
    part = ((x - p) ** 2 + (y - q) ** 2) / apart - (y - x - q + p) ** 2 / together
    reach = math.exp(normal_quantile(level) * math.sqrt(float(counts @ part**2)) / pairs)
    worth = apart / together
    return PointsInterval(worth, worth / reach, worth * reach)
