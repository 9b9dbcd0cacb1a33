"""Which settings converge soonest, on average over several problems.

A setting is what a setup is apart from its problem: the values of the keys in which setups of one
problem differ.
"""

from collections.abc import Sequence
from itertools import permutations
from math import fsum
from typing import NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.basins import plane_of
from fastbp.analysis.common_seeds import common_results
from fastbp.analysis.contrasts import GOALS
from fastbp.analysis.counts import Runs, SetupCounts, count_runs, varying
from fastbp.analysis.statistics.paired import mean_difference
from fastbp.analysis.statistics.proportions import Real, bonferroni, wilson
from fastbp.analysis.summary import LEVEL, budget_of, key_columns
from fastbp.schema.text import grouped

STEPS = 100
"""Number of equal steps into which a profile divides the budget."""

MOST_SETTINGS, MOST_RUNS = 12, 10**7
"""At most so many settings are compared with each other, from at most so many runs."""


class SettingRuns(NamedTuple):
    """A setting that every problem has, and how soon its runs converge.

    Attributes
    ----------
    setups : sequence of SetupCounts
        Its setup for each problem; the problems are the same, in the same order, in all settings.
    profile : float64 array, [step]
        Share of runs that first converged within 0, 1, …, `STEPS` steps of the budget, averaged
        over the problems.
    """

    setups: Sequence[SetupCounts]
    profile: Real


def _settings(runs: Runs, baseline: str | None) -> tuple[list[str], list[SettingRuns]]:
    """Find the settings of every problem: the baseline's first, then the quickest to converge.

    Returns
    -------
    keys : list of str
        Names of the keys in which settings differ. A key with a single value for each problem is
        not listed: it belongs to the problem.
    settings : list of SettingRuns
        Sorted by the area under their profiles. Empty with fewer than two problems or settings, and
        if keys of `GOALS` differ, since these are never ranked together. Planes of initial weights
        are left out: their starts are not drawn at random.
    """
    counted = [one for one in count_runs(runs) if not plane_of(one.keys)]
    problems = grouped(counted, [one.keys["problem"] for one in counted])
    keys = [
        key
        for key in varying(counted)
        if any(len({one.written[key] for one in each}) > 1 for each in problems.values())
    ]
    names = [tuple(one.written[key] for key in keys) for one in counted]
    whole = [
        setups
        for setups in grouped(counted, names).values()
        if [one.keys["problem"] for one in setups] == [*problems]
    ]
    if min(len(problems), len(whole)) < 2 or {*keys} & {*GOALS}:
        return keys, []
    budgets = [max(map(budget_of, each)) for each in zip(*whole, strict=True)]
    settings = [
        SettingRuns(setups, np.mean([*map(_profile, setups, budgets)], axis=0)) for setups in whole
    ]

    def place(each: SettingRuns) -> tuple[bool, float]:
        return baseline not in [one.setup for one in each.setups], -fsum(each.profile)

    return keys, sorted(settings, key=place)


def _profile(one: SetupCounts, budget: int) -> Real:
    """Share of a setup's runs that had converged after each step of a budget, [step]."""
    places = np.searchsorted(one.times, np.arange(STEPS + 1) * budget // STEPS, side="right")
    return np.asarray(np.append(0, np.cumsum(one.events))[places] / one.runs)


def profiles(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """Share of runs that converged within each share of the budget, averaged over problems.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table of runs, the path of a store, or the result of `count_runs`.
    baseline : str, optional
        Id of a setup, whose setting comes first.

    Returns
    -------
    DataFrame
        A row for each of the first `MOST_SETTINGS` settings that every problem has, from the
        largest area under the curve on, and each step, with the columns: the keys in which settings
        differ; `setup`, the id of the setting's setup for the first problem; `within`, the share of
        the budget, which is the largest that a setting has for the problem; `share`, the share of
        runs that first converged within it, with pointwise 95% bounds `low` and `high`. Empty with
        fewer than two problems or settings.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.

    Notes
    -----
    R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville and M. G. Bellemare (2021), Deep
    reinforcement learning at the edge of the statistical precipice, NeurIPS 34, section 4.2. The
    bounds are Wilson's for as many trials as there are seeds, since runs of one seed may depend on
    each other: however they do, their mean varies no more than a single run.
    """
    keys, settings = _settings(runs, baseline)
    tables = [pd.DataFrame(columns=["setup", "within", "share", "low", "high"])]
    for setups, profile in settings[:MOST_SETTINGS]:
        seeds = min(one.runs for one in setups)
        low, high = wilson(profile * seeds, seeds, LEVEL)
        name = key_columns(setups[:1], keys) | {"setup": pd.Series([setups[0].setup])}
        curve = {"within": np.arange(STEPS + 1) / STEPS, "share": profile, "low": low, "high": high}
        tables.append(pd.DataFrame(name).merge(pd.DataFrame(curve), how="cross"))
    return pd.concat(tables[bool(settings) :], ignore_index=True)


def improvement(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """How probably one setting is better than another, averaged over the problems.

    Of two runs with the same problem and seed, the better one first converges after fewer updates.
    A run that never does is worse than one that does; two such runs are equal. The probability
    counts equal runs half.

    Parameters
    ----------
    runs, baseline
        As for `profiles`.

    Returns
    -------
    DataFrame
        A row for each ordered pair of the settings of `profiles`, over the seeds that all of them
        ran with all problems: the keys of the setting; each key of the other one, as `other_…`;
        `settings`, how many every problem has; `problems`; `seeds`; `better` and `worse`, the
        number of pairs of runs of which the setting's is better, and worse; `improvement`, the
        probability, with 95% bounds `…_low` and `…_high`, and with `…_simultaneous_low` and
        `…_simultaneous_high`, which hold at once for every two settings. Empty with fewer than two
        problems or settings, and without common seeds.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.

    Notes
    -----
    Agarwal et al. (2021), as for `profiles`, section 4.3. They compare every two runs of a problem,
    and resample them problem by problem, since their runs share no seeds. Here runs of one seed are
    compared, and a seed counts as one independent value, its number of problems with a better run
    minus that with a worse one: however its runs depend on each other, the interval holds. It is
    that of `mean_difference`, at the level of `bonferroni` where it holds for all settings.
    """
    keys, settings = _settings(runs, baseline)
    compared = [setups for setups, _ in settings[:MOST_SETTINGS]]
    ends = [*permutations([setups[0] for setups in compared], 2)]
    if not ends or (table := _probabilities(compared, len(settings))).empty:
        return pd.DataFrame()
    one, other = (pd.DataFrame(key_columns(each, keys)) for each in zip(*ends, strict=True))
    return pd.concat([one, other.add_prefix("other_"), table], axis=1)


def _probabilities(compared: Sequence[Sequence[SetupCounts]], settings: int) -> pd.DataFrame:
    """Make the columns of `improvement` from `settings` on, from setups [setting][problem]."""
    times = common_results([one for each in compared for one in each], "updates", MOST_RUNS)
    problems, seeds = len(compared[0]), times.shape[1]
    if not seeds:
        return pd.DataFrame()
    levels = LEVEL, bonferroni(LEVEL, settings * (settings - 1) // 2)
    rows = []
    for one, other in permutations(times.reshape(len(compared), problems, seeds), 2):
        better, worse = (one < other).sum(axis=0), (one > other).sum(axis=0)
        # Sums of whole numbers are exact, so the bounds are the same on every machine.
        pointwise, at_once = (
            mean_difference((better - worse).astype(float), level, problems) for level in levels
        )
        bounds = [(1 + value / problems) / 2 for value in (*pointwise, *at_once[1:])]
        rows.append((settings, problems, seeds, better.sum(), worse.sum(), *bounds))
    ends = ("", "_low", "_high", "_simultaneous_low", "_simultaneous_high")
    return pd.DataFrame(
        rows,
        columns=[
            "settings",
            "problems",
            "seeds",
            "better",
            "worse",
            *("improvement" + e for e in ends),
        ],
    )
