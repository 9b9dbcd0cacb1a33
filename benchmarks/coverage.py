"""How often intervals cover what they are to cover: `python -m benchmarks coverage`.

Coverage of shares is computed exactly; the others are simulated from fixed random numbers, so that
everybody gets the same table.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from fastbp.analysis.statistics.kaplan_meier import kaplan_meier, restart
from fastbp.analysis.statistics.paired import interaction, shapley, tango
from fastbp.analysis.statistics.proportions import (
    Real,
    clopper_pearson,
    modified_wilson,
    newcombe,
    wilson,
)
from fastbp.analysis.statistics.simultaneous import max_t

LEVEL = 0.95


class Coverage(NamedTuple):
    """A row of the table. `draws`: how many were simulated; 0 if the coverage is exact."""

    quantity: str
    interval: str
    situation: str
    covered: float
    draws: int = 0


INTERVALS = {
    "Wilson": wilson,
    "modified Wilson": modified_wilson,
    "Clopper and Pearson": clopper_pearson,
}


def of_shares(bounds: Callable[..., tuple[Real, Real]], runs: int, shares: Real) -> Real:
    """The exact coverage of an interval at each of these shares."""
    counts = np.arange(runs + 1)
    low, high = bounds(counts, runs, LEVEL)
    p = shares[:, None]
    return np.asarray((stats.binom.pmf(counts, runs, p) * ((low <= p) & (p <= high))).sum(axis=1))


def shares() -> Iterator[Coverage]:
    """Shares of outcomes: where an interval covers least, and on average."""
    for runs, (name, bounds) in product((10, 100, 1_000), INTERVALS.items()):
        covered = of_shares(bounds, runs, np.geomspace(1e-2 / runs, 0.5, 1_000))
        situation = f"any share up to ½, {runs:,} runs: the least"
        yield Coverage("share", name, situation, float(covered.min()))
        situation = "the average over shares spread evenly on a log scale"
        yield Coverage("share", name, situation, float(covered.mean()))


def picture(path: Path, runs: int = 1_000) -> None:
    """Draw the coverage of intervals over the share."""
    p = np.geomspace(1e-2 / runs, 0.5, 2_000)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    ax = figure.subplots()
    for (name, bounds), colour in zip(
        INTERVALS.items(), ("#D55E00", "#0072B2", "#999999"), strict=True
    ):
        ax.semilogx(p, of_shares(bounds, runs, p), color=colour, linewidth=1, label=name)
    ax.axhline(LEVEL, color="black", linewidth=0.8, linestyle="dashed")
    title = f"Wilson's interval covers some rare shares in 84% of cases (95% asked, {runs:,} runs)"
    ax.set(xlabel="true share", ylabel="coverage", ylim=(0.82, 1.005), title=title)
    ax.legend(loc="lower right", frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "coverage", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


def differences(draws: int = 20_000) -> Iterator[Coverage]:
    """Differences of shares, on the same seeds and on other ones."""
    for fixed, broken, runs in ((0.2, 0.1, 50), (0.01, 0.002, 1_000), (1e-4, 0.0, 10_000)):
        rng = np.random.default_rng(1)
        b, c, _ = rng.multinomial(runs, [fixed, broken, 1 - fixed - broken], draws).T
        low, high = tango(b, c, runs, LEVEL)
        covered = np.mean((low <= fixed - broken) & (fixed - broken <= high))
        situation = f"{fixed:.2%} fixed, {broken:.2%} broken, {runs:,} seeds"
        yield Coverage("paired difference", "Tango", situation, float(covered), draws)
    for p, q, runs in ((0.9, 0.8, 100), (0.01, 0.002, 1_000)):
        rng = np.random.default_rng(2)
        low, high = newcombe(
            rng.binomial(runs, p, draws), runs, rng.binomial(runs, q, draws), runs, LEVEL
        )
        covered = np.mean((low <= q - p) & (q - p <= high))
        situation = f"{p:g} and {q:g}, {runs:,} seeds each"
        yield Coverage("difference of stores", "Newcombe", situation, float(covered), draws)


def parts(draws: int = 1_000) -> Iterator[Coverage]:
    """What one of two changes contributes on average, and how they depend on each other."""
    for p, runs in ((1e-4, 10_000), (0.01, 1_000), (0.3, 30)):
        rng, covered = np.random.default_rng(3), np.zeros(2)
        chances = np.outer([1 - p, p], [0.5, 0.5]).ravel()
        for counts in rng.multinomial(runs, chances, draws):
            one, other = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], counts, axis=0).T
            corners = [np.zeros(runs), one, other, one | other]
            found = shapley(corners, LEVEL)[0].average, interaction(corners, LEVEL)
            truth = 0.75 * p, -0.5 * p
            covered += [each.low <= t <= each.high for each, t in zip(found, truth, strict=True)]
        situation = f"{p:.2%} fixed, {runs:,} seeds"
        names = ("average contribution", "interaction")
        for name, count in zip(names, covered, strict=True):
            yield Coverage(name, "Agresti and Min", situation, float(count / draws), draws)


def times(draws: int = 1_000) -> Iterator[Coverage]:
    """Medians and costs of restarts. A fifth of the runs never converge; the times of the others
    are Gamma distributed, few of them very short."""
    budget, success, law = 4_000, 0.8, stats.gamma(4, scale=250)
    # The time after which half of all runs have converged, and the least cost over all times.
    median, at = np.ceil(law.ppf(0.5 / success)), np.arange(1, budget + 1)
    done = success * law.cdf(at)
    cost = (np.cumsum(np.append(1, 1 - done[:-1])) / done).min()
    for runs in (30, 300, 3_000):
        rng, covered = np.random.default_rng(4), np.zeros(3)
        for _ in range(draws):
            when = np.ceil(law.rvs(runs, random_state=rng))
            when[(rng.random(runs) > success) | (when > budget)] = np.inf
            t, events = np.unique(when[np.isfinite(when)], return_counts=True)
            t, events = np.append(t, budget + 1), np.append(events, 0)
            censored = np.where(t > budget, runs - events.sum(), 0)
            _, low, high = kaplan_meier(t, events, censored, LEVEL).median()
            covered[0] += low <= median and not high < median
            if events.sum() >= 100 and covered[2] < 300:
                best = restart(t[:-1], events[:-1], runs, LEVEL)
                covered[1:] += [best.cost_low <= cost <= best.cost_high, 1]
        situation = f"{success:.0%} converge, {runs:,} runs"
        yield Coverage("median updates", "Kaplan-Meier", situation, covered[0] / draws, draws)
        if covered[2]:
            covered[1] /= covered[2]
            yield Coverage("restart cost", "bootstrap", situation, covered[1], int(covered[2]))


def families(draws: int = 400) -> Iterator[Coverage]:
    """All intervals of a table at once: five changes of one baseline."""
    for p, effects, runs in ((0.5, (0, 0, 0, 0, 0), 100), (0.3, (0, 0.05, 0.1, 0.3, 0.5), 400)):
        rng, all_covered = np.random.default_rng(5), {"pointwise": 0, "at once": 0}
        for _ in range(draws):
            start = rng.random(runs)
            again = np.where(rng.random((5, runs)) < 0.4, rng.random((5, runs)), start)
            after = again < p + np.array(effects)[:, None]
            d = after.astype(np.int8) - (start < p)
            for name, level in (("pointwise", LEVEL), ("at once", max_t(d, LEVEL)[0])):
                low, high = tango((d > 0).sum(axis=1), (d < 0).sum(axis=1), runs, level)
                all_covered[name] += bool(np.all((low <= effects) & (effects <= high)))
        for name, count in all_covered.items():
            situation = f"differences {', '.join(map(str, effects))}; {runs} seeds"
            yield Coverage("five differences", f"Tango, {name}", situation, count / draws, draws)


def table(rows: Sequence[Coverage]) -> str:
    """The rows in Markdown."""
    lines = ["| quantity | interval | situation | covers | simulated |", "|---|---|---|---:|---:|"]
    for row in rows:
        draws = f"{row.draws:,}" if row.draws else "exact"
        texts = (row.quantity, row.interval, row.situation, f"{row.covered:.1%}", draws)
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def all_rows() -> list[Coverage]:
    """All rows of the table."""
    return [*shares(), *differences(), *parts(), *times(), *families()]
