"""Times to an event, and when to give up: pure functions over arrays, each with its source.

Times are given as a table: each time once, ascending, with the number of events at it.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.statistics.paired import PointsInterval, mean_difference
from fastbp.analysis.statistics.proportions import Real, normal_quantile

_ROUNDING = 1e-9
"""Relative error of a share that counts as rounding. The product of a million quotients has a far
smaller one."""


class Survival(NamedTuple):
    """A Kaplan-Meier curve.

    Attributes
    ----------
    times : float64 array, [time]
        Times of events and of censored runs, ascending.
    at_risk : int64 array, [time]
        Runs with neither an event nor censoring before each time.
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
        """Median time to the event: the first time at which the share is at most ½, and its bounds.

        Returns
        -------
        median, low, high : float
            The first times at which the share and its bounds are at most ½; each is NaN if that
            never happens. If the share falls from above ½ to 0 at one time, that time is the lower
            bound too.

        Notes
        -----
        R. Brookmeyer and J. Crowley (1982), Biometrics 38:29-41, doi:10.2307/2530286.
        """
        # The curve's bounds are undefined at a share of 0. There the lower bound is 0 as well,
        # and earlier lower bounds above ½ show that the median is not before the fall.
        low: Real = np.where((self.share == 0) & np.isfinite(self.low).any(), 0.0, self.low)
        # In float64, a share of ½ may be slightly more: the product of n quotients for n of 2n
        # runs, each with an event at another time.
        median, earliest, latest = (
            next(iter(self.times[curve <= 0.5 * (1 + _ROUNDING)].tolist()), np.nan)
            for curve in (self.share, low, self.high)
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
        Runs with the event at each time, and runs that end without it at each time. A run that is
        censored at a time counts as at risk at that time.
    level : float
        Two-sided confidence level of the pointwise bounds.

    Returns
    -------
    Survival
        The share no longer changes once no run is at risk.

    Raises
    ------
    ValueError
        If times do not ascend, if a time or count is negative or infinite, or unless
        0 < level < 1.

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
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.cumprod(np.where(d > 0, (r - d) / r, 1.0), dtype=np.float64)
        inner = (share > 0) & (share < 1)
        spread = np.sqrt(np.cumsum(np.where(d > 0, d / (r * (r - d)), 0.0)))
        reach = np.exp(normal_quantile(level) * spread / -np.log(share))
        low, high = (np.where(inner, share**power, np.nan) for power in (reach, 1 / reach))
    return Survival(t, r.astype(np.int64), share, low, high)


def mean_time_difference(
    before: Real, after: Real, until: float, level: float = 0.95, counts: ArrayLike = 1.0
) -> PointsInterval:
    """Difference of the mean times to the event, up to a horizon, of the same runs.

    Parameters
    ----------
    before, after : float64 arrays, [run]
        Times of the same runs under two conditions, whole numbers; ∞ without the event.
    until : float
        The horizon, above 0: a run without the event until then counts as taking so long.
    level : float
        Two-sided confidence level.
    counts : array_like of whole numbers, [run]
        For how many runs with the same two times each place of `before` and `after` stands.

    Notes
    -----
    The mean of min(t, until) is the area under the Kaplan-Meier curve up to the horizon, if no run
    is censored before it (restricted mean): J. O. Irwin (1949), Journal of Hygiene 47:188-189,
    doi:10.1017/S0022172400014443. A difference lies between −until and until: the interval of its
    mean is that of Agresti & Min for such values.
    """
    return mean_difference(
        np.minimum(after, until) - np.minimum(before, until), level, until, counts
    )


def median_difference(
    before: Real, after: Real, until: float, level: float = 0.95, counts: ArrayLike = 1.0
) -> PointsInterval:
    """The median time to the event after, minus that before, of the same runs.

    Parameters
    ----------
    before, after, until, level, counts
        As for `mean_time_difference`; a run without the event until the horizon is censored there.

    Returns
    -------
    PointsInterval
        NaN unless half of the runs have the event in each condition; a bound is NaN where one of
        the medians has no such bound.

    Notes
    -----
    The squares of the distances between the medians and their bounds are added, less twice the
    correlation times their product: G. Y. Zou and A. Donner (2008), Statistics in Medicine
    27:1693-1702, doi:10.1002/sim.3095. An estimated median is the true one plus a multiple of the
    share of runs that end by then (R. R. Bahadur, 1966, Annals of Mathematical Statistics
    37:577-580, doi:10.1214/aoms/1177699450), so the correlation of medians is that of having ended
    by them.

    Medians move in steps of the interval between evaluations. So the distance of each bound from
    the difference is rounded up to whole steps; without that, coverage falls to 60% in places.
    """
    weights = np.broadcast_to(np.asarray(counts, float), before.shape)
    (a, a_low, a_high, step), (b, b_low, b_high, other) = (
        _median(times, until, level, weights) for times in (before, after)
    )
    step = max(step, other, 1)
    ended = np.array([before <= a, after <= b, (before <= a) & (after <= b)])
    p, q, both = (ended * weights).sum(axis=1) / weights.sum()
    spread = np.sqrt(p * (1 - p) * q * (1 - q))
    correlation = (both - p * q) / spread if spread else 0.0

    def reach(x: float, y: float) -> float:
        square = x * x + y * y - 2 * correlation * x * y
        return step * float(np.ceil(np.sqrt(np.maximum(square, 0)) / step - _ROUNDING))

    low, high = reach(b - b_low, a_high - a), reach(b_high - b, a - a_low)
    return PointsInterval(b - a, b - a - low, b - a + high)


def _median(
    times: Real, until: float, level: float, weights: Real
) -> tuple[float, float, float, int]:
    """Median and bounds of times of which those after a horizon are censored there.

    Also the step of the times: all of them before the horizon are multiples of it.
    """
    ends, place = np.unique(np.where(times <= until, times, until + 1), return_inverse=True)
    counts = np.bincount(place, weights)
    censored = np.where(ends > until, counts, 0)
    step = int(np.gcd.reduce(ends[ends < until].astype(np.int64)))
    return *kaplan_meier(ends, counts - censored, censored, level).median(), step


def _table(times: ArrayLike, *counts: ArrayLike) -> list[Real]:
    """Check times and their counts, and return them as float64 arrays."""
    rows = [np.asarray(values, float) for values in (times, *counts)]
    if any(values.ndim != 1 or values.shape != rows[0].shape for values in rows):
        raise ValueError("times and counts must be rows of the same length")
    finite = all(np.all((values >= 0) & (values < np.inf)) for values in rows)
    if not finite or not np.all(np.diff(rows[0]) > 0):
        raise ValueError(
            "times must ascend, each once, and times and counts must not be negative or infinite"
        )
    return rows


def restart_costs(times: ArrayLike, events: ArrayLike, total: int) -> Real:
    """Expected time spent per success, if each run without one is given up at a fixed time.

    Parameters
    ----------
    times : array_like, [time]
        Ascending, each once.
    events : array_like of whole numbers, [time]
        Runs with a success at each time.
    total : int
        Number of all runs. Runs without a success continue beyond the last time.

    Returns
    -------
    float64 array, [time]
        The expected cost if runs are given up at each of `times`, in the unit of the times; ∞
        before the first success.

    Raises
    ------
    ValueError
        If there are more events than runs, if times do not ascend, or if a time or count is
        negative or infinite.

    Notes
    -----
    The cost of giving up at T is Σ min(T, t) / #{t <= T} over the runs, where t is a run's time to
    its success, or ∞. L. G. C. Hamey (1992), Benchmarking feed-forward neural networks: models and
    measures, NIPS 4:1167-1174; his restart efficiency is 1,000 epochs divided by this cost.
    """
    t, d = _table(times, events)
    if d.sum() > total:
        raise ValueError("there must be not more events than runs")
    return np.asarray(costs_of_draws(t, d[None], t * d[None], total)[0])


def costs_of_draws(times: Real, events: Real, spent: Real, total: int) -> Real:
    """Compute the restart costs of several bootstrap samples of runs at once.

    Parameters
    ----------
    times : float64 array, [time]
        Ascending, each once.
    events, spent : float64 arrays, [sample, time]
        Number of successes at each time, and the sum of the times that these took.
    total : int
        Number of runs of each sample.

    Returns
    -------
    float64 array, [sample, time]
        As `restart_costs` returns them.
    """
    done = np.cumsum(events, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        costs: Real = (np.cumsum(spent, axis=1) + times * (total - done)) / done
    return np.where(done > 0, costs, np.inf)  # at time 0 nothing is spent: 0/0


class Restart(NamedTuple):
    """The best time to give up a run for a new seed, and the expected time per success then.

    Attributes
    ----------
    at, at_low, at_high : float
        The best time and its bounds; NaN without a success.
    cost, cost_low, cost_high : float
        The expected time spent per success and its bounds; NaN without a success. A bound is ∞ if
        too many bootstrap samples have no success.
    """

    at: float
    at_low: float
    at_high: float
    cost: float
    cost_low: float
    cost_high: float


DRAWS = 1000
"""Number of bootstrap samples of runs."""

_GROUPS = 512
"""Largest number of times in a bootstrap sample. More times are pooled into about this many groups
with about equal numbers of events."""


def restart(
    times: ArrayLike, events: ArrayLike, total: int, level: float = 0.95, seed: int = 0
) -> Restart:
    """Find when to give up runs for new seeds, so that the expected time per success is least.

    Parameters
    ----------
    times, events, total
        As for `restart_costs`.
    level : float
        Two-sided confidence level.
    seed : int
        Seed of the bootstrap's random numbers.

    Returns
    -------
    Restart
        The best time and its cost with bootstrap bounds, in the unit of the times.

    Raises
    ------
    ValueError
        As `restart_costs` does.

    Notes
    -----
    The optimum lies at the time of an event, because the cost grows between two events. Each draw
    takes `total` runs with replacement and has its own optimum. For the bounds alone, more than 512
    times are pooled into about 512 groups.

    The bounds of the time are percentiles of the draws. The lowest of several noisy costs is too
    low on average, and the lowest cost of a draw is too low a second time. So the bounds of the
    cost are bias-corrected percentiles, at Φ(2z₀ ± z), where Φ(z₀) is the share of draws below the
    estimate, with equal ones counted half. If giving up costs nearly the same at all times, the
    bounds cover the cost less often than their level says (95% bounds in about 80% of cases).

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
    """Compute bounds of the best time to give up and of its cost."""
    ends, counts, means = _pooled(t, d, best)
    drawn = np.random.default_rng(seed).multinomial(
        total, [*counts / total, max(0.0, 1 - d.sum() / total)], DRAWS
    )[:, :-1]
    costs = costs_of_draws(ends, drawn.astype(float), drawn * means, total)
    where = np.argmin(costs, axis=1)
    cost = costs[np.arange(DRAWS), where]
    normal = NormalDist()
    at_bounds = np.quantile(
        ends[where][np.isfinite(cost)], [normal.cdf(-z), normal.cdf(z)], method="inverted_cdf"
    )
    # Computed in the same way as the draws, so that a draw of the same runs equals it to the bit.
    estimate = costs_of_draws(ends, counts[None], (counts * means)[None], total).min()
    below = np.mean(cost < estimate) + np.mean(cost == estimate) / 2
    z0 = normal.inv_cdf(min(max(float(below), 0.5 / DRAWS), 1 - 0.5 / DRAWS))
    return at_bounds.tolist(), np.quantile(
        cost, [normal.cdf(2 * z0 - z), normal.cdf(2 * z0 + z)], method="inverted_cdf"
    ).tolist()


def _pooled(t: Real, d: Real, best: int) -> tuple[Real, Real, Real]:
    """Pool times into groups; return the last time, number of events and mean time of each."""
    group = (np.cumsum(d) - d) * _GROUPS // d.sum() if t.size > _GROUPS else np.arange(t.size)
    # The optimum must end a group too: draws give up only at the end of a group, and a long gap
    # may follow the optimum.
    last = np.flatnonzero(np.append(np.diff(group + (np.arange(t.size) > best)), 1))
    counts, spent = (np.diff(np.cumsum(values)[last], prepend=0) for values in (d, t * d))
    return t[last], counts, spent / counts
