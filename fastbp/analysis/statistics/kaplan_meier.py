"""Times to an event, and when to give up: pure functions over arrays, each with its source."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.statistics.proportions import Real, _deviate

_ROUNDING = 1e-9
"""Relative error of a share that counts as rounding: far above that of a product of a million
quotients."""


class Survival(NamedTuple):
    """A Kaplan-Meier curve: at each time, how many were at risk just before it, the share without
    the event after it, and its pointwise bounds. All [time]; bounds are NaN where the share is 1 or
    0.
    """

    times: Real
    at_risk: NDArray[np.int64]
    share: Real
    low: Real
    high: Real

    def median(self) -> tuple[float, float, float]:
        """The first time at which the share is at most ½, and its bounds: the first times at which
        those of the curve are.

        Each NaN where that is never. Where the share falls from more than ½ to 0 at once, the lower
        bound is that time too.

        Source: R. Brookmeyer and J. Crowley (1982), Biometrics 38:29-41, doi:10.2307/2530286.
        """
        # The curve's own bounds are undefined at a share of 0. Its lower one is not above the
        # share, and where an earlier one is above ½, it shows that the median is not before the
        # fall; without any, nothing does.
        low: Real = np.where((self.share == 0) & np.isfinite(self.low).any(), 0.0, self.low)
        # A share of ½ may come out as its neighbour in float64: n of 2n runs, each at another time,
        # as a product of n quotients.
        first = [
            np.flatnonzero(curve <= 0.5 * (1 + _ROUNDING)) for curve in (self.share, low, self.high)
        ]
        median, earliest, latest = (
            float(self.times[where[0]]) if where.size else np.nan for where in first
        )
        return median, earliest, latest


def kaplan_meier(
    times: ArrayLike, events: ArrayLike, censored: ArrayLike, level: float = 0.95
) -> Survival:
    """The share of runs that an event has not come to yet, with log-log Greenwood bounds.

    S(t) = Π over times ≤ t of (1 − d/r), with d events among r at risk; V = Σ d/(r(r − d)) / ln² S;
    bounds S^exp(±z√V). What is censored at a time was at risk at it. Where none is at risk any
    more, S stays.

    Source: E. L. Kaplan and P. Meier (1958), Journal of the American Statistical Association
    53:457-481, doi:10.2307/2281868; bounds: J. D. Kalbfleisch and R. L. Prentice (2002), The
    Statistical Analysis of Failure Time Data, section 1.4.1.

    Parameters: `times`, [time], ascending, each once; `events` and `censored`, whole numbers
    [time]. Raises ValueError where they are not that.
    """
    t, d, c = _table(times, events, censored)
    ended = np.cumsum(d + c)
    r = (ended[-1] if ended.size else 0) - ended + d + c
    z = _deviate(level)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.cumprod(np.where(d > 0, (r - d) / r, 1.0), dtype=np.float64)
        inner = (share > 0) & (share < 1)
        reach = np.exp(
            z * np.sqrt(np.cumsum(np.where(d > 0, d / (r * (r - d)), 0.0))) / -np.log(share)
        )
        low, high = (
            np.where(inner, share**reach, np.nan),
            np.where(inner, share ** (1 / reach), np.nan),
        )
    return Survival(t, r.astype(np.int64), share, low, high)


def _table(times: ArrayLike, *counts: ArrayLike) -> list[Real]:
    """Times and counts at each, checked."""
    given = [np.asarray(values, float) for values in (times, *counts)]
    if any(values.ndim != 1 or values.shape != given[0].shape for values in given):
        raise ValueError("times and counts form rows of the same length")
    if not all(np.all((values >= 0) & (values < np.inf)) for values in given) or not np.all(
        np.diff(given[0]) > 0
    ):
        raise ValueError(
            "times ascend, each once, and neither they nor counts are negative or infinite"
        )
    return given


def restart_costs(times: ArrayLike, events: ArrayLike, total: int) -> Real:
    """The expected cost of a success where a run is given up after each of these times, and a new
    seed is drawn.

    At T: Σ min(T, t) / #{t ≤ T} over the runs, t a run's time to its event, ∞ without one.

    Source: L. G. C. Hamey (1992), Benchmarking feed-forward neural networks: models and measures,
    NIPS 4:1167-1174, whose restart efficiency is 1,000 over it.

    Parameters: `times`, [time], ascending; `events` at each, whole numbers; `total`, runs, of which
    all others went on beyond the last of the times. Returns float64 [time], in the unit of the
    times, ∞ before the first event. Raises ValueError where there are more events than runs.
    """
    t, d = _table(times, events)
    if d.sum() > total:
        raise ValueError("there are not more events than runs")
    costs: Real = costs_of_draws(t, d[None], t * d[None], total)[0]
    return costs


def costs_of_draws(times: Real, events: Real, spent: Real, total: int) -> Real:
    """Costs at each time, of several draws: `events` at each and the time `spent` until them,
    [draw, time].
    """
    done = np.cumsum(events, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        costs: Real = (np.cumsum(spent, axis=1) + times * (total - done)) / done
    return np.where(done > 0, costs, np.inf)  # at time 0 nothing is spent: 0/0


def restart_efficiency(costs: ArrayLike) -> Real:
    """Hamey's restart efficiency: successes in 1,000 epochs, of costs in epochs; ∞ where they cost
    nothing.

    Source: as `restart_costs`.
    """
    with np.errstate(divide="ignore"):
        efficiency: Real = np.divide(1000.0, np.asarray(costs, float))
    return efficiency


class Restart(NamedTuple):
    """When to give up and draw a new seed (`at`), what a success then costs (`cost`), and the
    bounds of both. All NaN where there is no success; a bound of the cost is ∞ where so many draws
    have none.
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
"""Times that a draw tells apart: of more, each holds as many events as the others, near enough."""


def restart(
    times: ArrayLike, events: ArrayLike, total: int, level: float = 0.95, seed: int = 0
) -> Restart:
    """The time of giving up that minimises the expected cost of a success, with bootstrap bounds.

    The optimum lies at a time of an event: between two of them only the cost grows. Each draw takes
    as many runs with replacement and looks for its own optimum. For the bounds alone, more than 512
    times are pooled into about as many groups.

    Bounds of the time are percentiles of the draws. The least of several noisy costs is too low on
    average, and that of a draw once more: bounds of the cost are bias-corrected percentiles, at
    Φ(2z₀ ± z) with Φ(z₀) the share of draws below the estimate, equal ones counted half. Where
    giving up at any time costs nearly the same, they still cover less often than they claim (95%
    bounds: some 80%).

    Source: as `restart_costs`; bootstrap: B. Efron (1979), Annals of Statistics 7:1-26,
    doi:10.1214/aos/1176344552; correction: B. Efron (1987), Journal of the American Statistical
    Association 82:171-185, doi:10.1080/01621459.1987.10478410.

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
    # The optimum ends a group too: draws can give up at the end of a group only, and it may lie
    # just before a long gap.
    last = np.flatnonzero(np.append(np.diff(group + (np.arange(t.size) > best)), 1))
    counts, spent = (np.diff(np.cumsum(values)[last], prepend=0) for values in (d, t * d))
    ends, means = t[last], spent / counts
    drawn = np.random.default_rng(seed).multinomial(
        total, [*counts / total, max(0.0, 1 - d.sum() / total)], DRAWS
    )[:, :-1]
    found = costs_of_draws(ends, drawn.astype(float), drawn * means, total)
    where = np.argmin(found, axis=1)
    drawn_costs = found[np.arange(DRAWS), where]
    some = np.isfinite(drawn_costs)
    at_low, at_high = np.quantile(
        ends[where][some], [normal.cdf(-z), normal.cdf(z)], method="inverted_cdf"
    )
    # Reckoned as the draws are: a draw of the very same runs equals it, to the bit.
    estimate = costs_of_draws(ends, counts[None], (counts * means)[None], total).min()
    below = np.mean(drawn_costs < estimate) + np.mean(drawn_costs == estimate) / 2
    z0 = normal.inv_cdf(min(max(float(below), 0.5 / DRAWS), 1 - 0.5 / DRAWS))
    cost_low, cost_high = np.quantile(
        drawn_costs, [normal.cdf(2 * z0 - z), normal.cdf(2 * z0 + z)], method="inverted_cdf"
    )
    return Restart(
        float(t[best]),
        float(at_low),
        float(at_high),
        float(costs[best]),
        float(cost_low),
        float(cost_high),
    )
