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

from fastbp.analysis.statistics.kaplan_meier import (
    kaplan_meier,
    mean_time_difference,
    median_difference,
    restart,
)
from fastbp.analysis.statistics.paired import (
    interaction,
    mean_difference,
    odds_ratio,
    shapley,
    tango,
)
from fastbp.analysis.statistics.power import pairing_worth
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


def changed_seeds(draws: int = 2_000) -> Iterator[Coverage]:
    """Odds ratios, and what pairing is worth, from runs that depend on their seed."""
    for before, fixed, broken, runs in ((0.5, 0.2, 0.1, 100), (0.8, 0.04, 0.01, 1_000)):
        rng, covered = np.random.default_rng(6), np.zeros(2)
        after = before + fixed - broken
        apart = before * (1 - before) + after * (1 - after)
        truths = fixed / broken, apart / (fixed + broken - (after - before) ** 2)
        shares = [fixed, broken, before - broken, 1 - before - fixed]
        for b, c, both, _ in rng.multinomial(runs, shares, draws):
            _, *odds = odds_ratio(b, c, LEVEL)
            _, *worth = pairing_worth(runs, b, c, both + c, LEVEL)
            covered += [
                not t < low and not t > high
                for t, (low, high) in zip(truths, (odds, worth), strict=True)
            ]
        situation = f"{before:.0%} converge, {fixed:.0%} fixed, {broken:.0%} broken, {runs:,} seeds"
        names = ("odds ratio", "Clopper and Pearson"), ("pairing's worth", "delta method")
        for name, count in zip(names, covered, strict=True):
            yield Coverage(*name, situation, float(count / draws), draws)


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


def changed_times(draws: int = 1_000) -> Iterator[Coverage]:
    """Differences of updates over the same seeds. After the change more runs converge, a fifth
    sooner; seven of ten seeds keep their luck, and runs are evaluated every 80 updates."""
    until, step = 4_000, 80
    setups = [(0.8, stats.gamma(4, scale=250)), (0.85, stats.gamma(4, scale=200))]
    done = [success * law.cdf(np.arange(0, until, step)) for success, law in setups]
    mean = step * float((done[0] - done[1]).sum())
    median = step * float(np.subtract(*(np.argmax(each >= 0.5) for each in done[::-1])))
    for runs in (10, 30, 300, 3_000):
        rng, covered = np.random.default_rng(7), np.zeros(3)
        for _ in range(draws):
            luck = rng.random(runs)
            again = np.where(rng.random(runs) < 0.3, rng.random(runs), luck)
            times = [
                step * np.ceil(law.ppf(np.minimum(u / success, 1)) / step)  # ∞ above `success`
                for u, (success, law) in zip((luck, again), setups, strict=True)
            ]
            _, low, high = mean_time_difference(*times, until, LEVEL)
            covered[0] += low <= mean <= high
            value, low, high = median_difference(*times, until, LEVEL)
            known = not np.isnan(value)
            covered[1:] += [known and not low > median and not high < median, known]
        situation = f"80% and 85% converge, {runs:,} seeds"
        for name, method, share in (
            ("difference of mean updates", "Agresti and Min", covered[0] / draws),
            ("difference of median updates", "Zou and Donner", covered[1] / covered[2]),
        ):
            yield Coverage(name, method, situation, float(share), draws)


def rare_failures(draws: int = 1_000) -> Iterator[Coverage]:
    """Differences of mean updates where failures are too rare to be seen in each sample."""
    until = 4_000
    mean = -20 + until / 1_000
    for runs in (100, 1_000):
        rng = np.random.default_rng(8)
        moved = rng.normal(-20, 40, (draws, runs)) + until * (rng.random((draws, runs)) < 1e-3)
        situation = f"all converge soon, one in 1,000 never after the change, {runs:,} seeds"
        for method, bounds in (
            ("Student's t", [_student(each) for each in moved]),
            ("Agresti and Min", [mean_difference(each, LEVEL, until)[1:] for each in moved]),
        ):
            low, high = np.transpose(bounds)
            share = np.mean((low <= mean) & (mean <= high))
            yield Coverage("difference of mean updates", method, situation, float(share), draws)


def _student(values: Real) -> tuple[float, float]:
    """The usual interval of a mean."""
    error = float(stats.sem(values))
    low, high = stats.t.interval(LEVEL, values.size - 1, values.mean(), error)
    return float(low), float(high)


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


def improvements(draws: int = 400) -> Iterator[Coverage]:
    """How probably a setting is better over problems that share seeds, and half of the luck."""
    cases = ((4, 30, 0.2, 0.5), (32, 100, 0.2, 0.5), (4, 1_000, 0.0, 1e-4))
    for problems, seeds, worse, better in cases:
        rng, bootstrap = np.random.default_rng(6), np.random.default_rng(7)
        covered, truth = np.zeros(3), better - worse
        for _ in range(draws):
            is_shared = rng.random((problems, seeds)) < 0.5
            luck = np.where(is_shared, rng.random(seeds), rng.random((problems, seeds)))
            moved = (luck >= 1 - better).astype(int) - (luck < worse)
            score, values = moved.sum(axis=0), np.arange(-problems, problems + 1)
            of_seeds = np.bincount(score + problems, minlength=values.size) / seeds
            means = [bootstrap.multinomial(seeds, of_seeds, 1_000) @ values / seeds / problems]
            each = [[(row == value).mean() for value in (-1, 0, 1)] for row in moved]
            drawn = (bootstrap.multinomial(seeds, row, 1_000) @ [-1, 0, 1] for row in each)
            means.append(np.sum([*drawn], axis=0) / seeds / problems)
            _, low, high = mean_difference(score.astype(float), LEVEL, problems)
            bounds = [np.quantile(one, [0.025, 0.975]) for one in means]
            bounds.append(np.array([low, high]) / problems)
            covered += [one <= truth <= other for one, other in bounds]
        chances = f"better in {better:.2%} and worse in {worse:.2%}"
        situation = f"{problems} problems, {chances} of runs, {seeds:,} seeds"
        names = ("bootstrap of seeds", "bootstrap of each problem", "Agresti and Min")
        for name, count in zip(names, covered, strict=True):
            yield Coverage("improvement", name, situation, float(count / draws), draws)


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
    return [
        *shares(),
        *differences(),
        *changed_seeds(),
        *parts(),
        *times(),
        *changed_times(),
        *rare_failures(),
        *families(),
        *improvements(),
    ]
