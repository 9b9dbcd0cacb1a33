"""Times to an event, and when to give up: pure functions over arrays, each with its source.

Times are given as a table: each time once, ascending, and how many events there were at it.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.statistics.proportions import Real, normal_quantile

_ROUNDING = 1e-9
"""Relative error of a share that counts as rounding: far above that of a product of a million
quotients."""


class Survival(NamedTuple):
    """A Kaplan-Meier curve.

    Attributes
    ----------
    times : float64 array, [time]
        Times of events and of censored runs, ascending.
    at_risk : int64 array, [time]
        Runs without an event just before each time.
    share : float64 array, [time]
        Share of runs without an event after each time.
    low, high : float64 arrays, [time]
        Pointwise bounds of `share`; NaN where it is 1 or 0.
    """

    times: Real
    at_risk: NDArray[np.int64]
    share: Real
    low: Real
    high: Real

    def median(self) -> tuple[float, float, float]:
        """First time at which the share is at most ½, and its bounds.

        Returns
        -------
        median, low, high : float
            The bounds are the first times at which those of the curve are at most ½. Each is NaN if
            that never happens. Where the share falls from more than ½ to 0 at once, the lower bound
            is that time too.

        Notes
        -----
        R. Brookmeyer and J. Crowley (1982), Biometrics 38:29-41, doi:10.2307/2530286.
        """
        # The curve's bounds are undefined at a share of 0. The lower bound is not above the share,
        # and an earlier one above ½ shows that the median is not before the fall.
        low: Real = np.where((self.share == 0) & np.isfinite(self.low).any(), 0.0, self.low)
        # A share of ½ may come out as its neighbour in float64: n of 2n runs, each at another time,
        # as a product of n quotients.
        half = 0.5 * (1 + _ROUNDING)
        first = [np.flatnonzero(curve <= half) for curve in (self.share, low, self.high)]
        median, earliest, latest = (
            float(self.times[where[0]]) if where.size else np.nan for where in first
        )
        return median, earliest, latest


def kaplan_meier(
    times: ArrayLike, events: ArrayLike, censored: ArrayLike, level: float = 0.95
) -> Survival:
    """Estimate the share of runs without an event over time, with log-log Greenwood bounds.

    Parameters
    ----------
    times : array_like, [time]
        Ascending, each once.
    events, censored : array_like of whole numbers, [time]
        Runs with the event at each time, and runs that ended without it there. A run that is
        censored at a time was at risk at it.
    level : float
        Two-sided confidence level of the pointwise bounds.

    Returns
    -------
    Survival
        The share stays where no run is at risk any more.

    Raises
    ------
    ValueError
        For other times or counts.

    Notes
    -----
    S(t) = Π over times <= t of (1 − d/r), with d events among r at risk; V = Σ d/(r(r − d)) / ln²
    S; bounds S^exp(±z√V). E. L. Kaplan and P. Meier (1958), Journal of the American Statistical
    Association 53:457-481, doi:10.2307/2281868; bounds: J. D. Kalbfleisch and R. L. Prentice
    (2002), The Statistical Analysis of Failure Time Data, section 1.4.1.
    """
    t, d, c = _table(times, events, censored)
    ended = np.cumsum(d + c)
    r = (ended[-1] if ended.size else 0) - ended + d + c
    z = normal_quantile(level)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.cumprod(np.where(d > 0, (r - d) / r, 1.0), dtype=np.float64)
        inner = (share > 0) & (share < 1)
        spread = np.sqrt(np.cumsum(np.where(d > 0, d / (r * (r - d)), 0.0)))
        reach = np.exp(z * spread / -np.log(share))
        low = np.where(inner, share**reach, np.nan)
        high = np.where(inner, share ** (1 / reach), np.nan)
    return Survival(t, r.astype(np.int64), share, low, high)


def _table(times: ArrayLike, *counts: ArrayLike) -> list[Real]:
    """Times and counts at each as float64, after checks."""
    rows = [np.asarray(values, float) for values in (times, *counts)]
    if any(values.ndim != 1 or values.shape != rows[0].shape for values in rows):
        raise ValueError("times and counts form rows of the same length")
    finite = all(np.all((values >= 0) & (values < np.inf)) for values in rows)
    if not finite or not np.all(np.diff(rows[0]) > 0):
        raise ValueError(
            "times ascend, each once, and neither they nor counts are negative or infinite"
        )
    return rows


def restart_costs(times: ArrayLike, events: ArrayLike, total: int) -> Real:
    """Expected cost of a success if each run is given up at a time and a new seed is drawn.

    Parameters
    ----------
    times : array_like, [time]
        Ascending, each once.
    events : array_like of whole numbers, [time]
        Runs with a success at each time.
    total : int
        All runs; those without a success went on beyond the last time.

    Returns
    -------
    float64 array, [time]
        Costs in the unit of the times, ∞ before the first success.

    Raises
    ------
    ValueError
        If there are more events than runs, or for other times or counts.

    Notes
    -----
    At T: Σ min(T, t) / #{t <= T} over the runs, t a run's time to its success, ∞ without one.
    L. G. C. Hamey (1992), Benchmarking feed-forward neural networks: models and measures, NIPS
    4:1167-1174, whose restart efficiency is 1,000 epochs over this cost.
    """
    t, d = _table(times, events)
    if d.sum() > total:
        raise ValueError("there are not more events than runs")
    costs: Real = costs_of_draws(t, d[None], t * d[None], total)[0]
    return costs


def costs_of_draws(times: Real, events: Real, spent: Real, total: int) -> Real:
    """Restart costs of several draws of runs at once.

    Parameters
    ----------
    times : float64 array, [time]
        Ascending, each once.
    events, spent : float64 arrays, [draw, time]
        Successes, and the time that they took, since the time before.
    total : int
        Runs of each draw.

    Returns
    -------
    float64 array, [draw, time]
        As `restart_costs`.
    """
    done = np.cumsum(events, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        costs: Real = (np.cumsum(spent, axis=1) + times * (total - done)) / done
    return np.where(done > 0, costs, np.inf)  # at time 0 nothing is spent: 0/0


class Restart(NamedTuple):
    """The best time to give up and draw a new seed, and what a success then costs.

    All are NaN without a success. A bound of the cost is ∞ where that many draws have no success.
    """

    at: float
    at_low: float
    at_high: float
    cost: float
    cost_low: float
    cost_high: float


DRAWS = 1000
"""Bootstrap draws."""

_GROUPS = 512
"""Times that a draw distinguishes: more times are pooled into groups of about as many events."""


def restart(
    times: ArrayLike, events: ArrayLike, total: int, level: float = 0.95, seed: int = 0
) -> Restart:
    """Time of giving up that minimises the expected cost of a success, with bootstrap bounds.

    Parameters
    ----------
    times, events, total
        As for `restart_costs`.
    level : float
        Two-sided confidence level.
    seed : int
        Seed of the draws.

    Returns
    -------
    Restart
        In the unit of the times.

    Raises
    ------
    ValueError
        As `restart_costs` does.

    Notes
    -----
    The optimum lies at a time of an event: between two events only the cost grows. Each draw takes
    as many runs with replacement and has its own optimum. For the bounds alone, more than 512 times
    are pooled into about as many groups.

    Bounds of the time are percentiles of the draws. The least of several noisy costs is too low on
    average, and that of a draw once more: bounds of the cost are bias-corrected percentiles, at
    Φ(2z₀ ± z) with Φ(z₀) the share of draws below the estimate, equal ones counted half. Where
    giving up at any time costs nearly the same, they cover less often than their level (95% bounds:
    some 80%).

    L. G. C. Hamey (1992), as for `restart_costs`; bootstrap: B. Efron (1979), Annals of Statistics
    7:1-26, doi:10.1214/aos/1176344552; correction: B. Efron (1987), Journal of the American
    Statistical Association 82:171-185, doi:10.1080/01621459.1987.10478410.
    """
    t, d = _table(times, events)
    costs = restart_costs(t, d, total)
    t, costs, d = t[d > 0], costs[d > 0], d[d > 0]
    if not t.size:
        return Restart(*[np.nan] * 6)
    best = int(np.argmin(costs))
    (at_low, at_high), (cost_low, cost_high) = _bootstrap_bounds(
        t, d, best, total, normal_quantile(level), seed
    )
    return Restart(float(t[best]), at_low, at_high, float(costs[best]), cost_low, cost_high)


def _bootstrap_bounds(
    t: Real, d: Real, best: int, total: int, z: float, seed: int
) -> tuple[list[float], list[float]]:
    """Bounds of the best time to give up and of its cost."""
    ends, counts, means = _pooled(t, d, best)
    rng = np.random.default_rng(seed)
    probabilities = [*counts / total, max(0.0, 1 - d.sum() / total)]
    drawn = rng.multinomial(total, probabilities, DRAWS)[:, :-1]
    costs = costs_of_draws(ends, drawn.astype(float), drawn * means, total)
    where = np.argmin(costs, axis=1)
    cost = costs[np.arange(DRAWS), where]
    normal = NormalDist()
    at = ends[where][np.isfinite(cost)]
    at_bounds = np.quantile(at, [normal.cdf(-z), normal.cdf(z)], method="inverted_cdf")
    # Computed like the draws are: a draw of the very same runs equals it, to the bit.
    estimate = costs_of_draws(ends, counts[None], (counts * means)[None], total).min()
    below = np.mean(cost < estimate) + np.mean(cost == estimate) / 2
    z0 = normal.inv_cdf(min(max(float(below), 0.5 / DRAWS), 1 - 0.5 / DRAWS))
    levels = [normal.cdf(2 * z0 - z), normal.cdf(2 * z0 + z)]
    return at_bounds.tolist(), np.quantile(cost, levels, method="inverted_cdf").tolist()


def _pooled(t: Real, d: Real, best: int) -> tuple[Real, Real, Real]:
    """Groups of times: the last time of each, its events, and the mean time of those."""
    group = (np.cumsum(d) - d) * _GROUPS // d.sum() if t.size > _GROUPS else np.arange(t.size)
    # The optimum ends a group too: draws can give up at the end of a group only, and it may lie
    # just before a long gap.
    last = np.flatnonzero(np.append(np.diff(group + (np.arange(t.size) > best)), 1))
    counts, spent = (np.diff(np.cumsum(values)[last], prepend=0) for values in (d, t * d))
    return t[last], counts, spent / counts
