"""Comparisons of setups that differ in a single key, over the same seeds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.common_seeds import common_results, common_times, parts_of_common_results
from fastbp.analysis.counts import Runs, SetupCounts, count_runs, varying
from fastbp.analysis.statistics.kaplan_meier import mean_time_difference, median_difference
from fastbp.analysis.statistics.paired import PointsInterval, holm, mcnemar, odds_ratio, tango
from fastbp.analysis.statistics.proportions import bonferroni
from fastbp.analysis.statistics.simultaneous import max_t
from fastbp.analysis.summary import ALPHA, LEVEL, bounded, budget_of, key_columns
from fastbp.schema.text import grouped, sort_key

_FOLLOWS = {"eval_every": "batch", "batch": "problem"}
"""Keys that may take their value from another one: `batch = "full"` is stored as the number of rows
of the problem, and sets the default of `eval_every`."""

_LEARNT = ("problem", "targets", "scale_inputs", "target_margin")
"""Keys that change what a network must learn."""

GOALS = ("stop", "success", "success_on")
"""Keys that change which runs count as converged, and not how networks learn."""

MOST_AT_ONCE, MOST_FLAGS = 300, 10**7
"""How comparisons depend on each other is computed for at most so many of them, and from at most so
many runs."""

FEW_CHANGED = 10
"""Intervals of differences with fewer changed seeds hold at once by Bonferroni's method."""

_ALL_PAIRS = 4
"""If a key has up to this many values, every two of them are compared."""


Compared = tuple[str, SetupCounts, SetupCounts, tuple[int, int, int, int]]
"""The key that changes, the setups before and after, and their counts from `pair`."""


def contrasts(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """Compare setups that differ in exactly one key, over the seeds that both ran.

    The key is any but `GOALS`; budgets are compared as the sweep file gives them, in epochs or
    updates. If the key has up to four values among setups that are otherwise alike, every two are
    compared. If it has more, each is compared with the baseline, and neighbouring numbers with each
    other. A change goes from the baseline's value to another, or else from the smaller value to the
    larger; words are sorted as in `count_runs`.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table of runs, the path of a store, or the result of `count_runs`.
    baseline : str, optional
        Id of the baseline.

    Returns
    -------
    DataFrame
        One row per comparison that has common seeds, sorted by key and its values, with the
        columns: `key`, the changed key, `from` and `to`, its values; the keys that vary (null for
        the changed key; left out if only one varies); `pairs`, the number of common seeds; `fixed`
        and `broken`, seeds that converge only after and only before the change; `difference`,
        (fixed − broken) / pairs, with Tango's 95% bounds `difference_low` and `difference_high`;
        `p` of McNemar's exact test; `p_holm`, Holm's over the baseline's changes and the others;
        of the same families `p_simultaneous` and `difference_simultaneous_low` and `…_high`, which
        hold at once; `constant_difference` with bounds and `constant_p`, of constant answers;
        `odds_ratio`, fixed / broken, with exact bounds (null if no seed changed, ∞ if none broke);
        `updates_mean_difference` and `updates_median_difference` with bounds: how many more updates
        runs take to converge after the change, up to the smaller budget of both; on average (runs
        that take longer count as taking that long) and in the median (null unless each has one).

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    keys = independent_keys(counted)
    changes = _changes(counted, keys, baseline)
    compared = [(*each, counts) for each in changes if (counts := pair(each[1], each[2]))[0]]
    columns = {
        "key": pd.Series([key for key, *_ in compared], dtype=object),
        "from": pd.Series([before.keys[key] for key, before, *_ in compared], dtype=object),
        "to": pd.Series([after.keys[key] for key, _, after, _ in compared], dtype=object),
    }
    if len(keys) > 1:
        starts = [start._replace(keys=start.keys | {key: None}) for key, start, *_ in compared]
        columns |= key_columns(starts, keys)
    return pd.DataFrame(columns | _effects(compared, baseline))


def _effects(compared: Sequence[Compared], baseline: str | None) -> dict[str, "pd.Series[Any]"]:
    """Make the columns of `contrasts` from `pairs` on."""
    n, fixed, broken, _ = np.array([row[3] for row in compared], np.int64).reshape(-1, 4).T
    results = {"pairs": n, "fixed": fixed, "broken": broken} | paired_effects(n, fixed, broken)
    results |= _adjusted(compared, results, baseline)
    more = [pair(before, after, "constant") for _, before, after, _ in compared]
    of_constant = paired_effects(*np.array(more, np.int64).reshape(-1, 4)[:, :3].T)
    results |= {f"constant_{name}": values for name, values in of_constant.items()}
    columns = {name: pd.Series(values) for name, values in results.items()}
    columns |= bounded("odds_ratio", zip(*odds_ratio(fixed, broken, LEVEL), strict=True), "float64")
    times = [_of_updates(before, after) for _, before, after, _ in compared]
    for place, kind in enumerate(("mean", "median")):
        columns |= bounded(f"updates_{kind}_difference", [each[place] for each in times], "float64")
    return columns


def _of_updates(before: SetupCounts, after: SetupCounts) -> tuple[PointsInterval, PointsInterval]:
    """The differences of mean and median updates to convergence, up to the smaller budget."""
    a, b, counts = common_times(before, after)
    until = min(budget_of(before), budget_of(after))
    return mean_time_difference(a, b, until, LEVEL, counts), median_difference(
        a, b, until, LEVEL, counts
    )


def _adjusted(
    compared: Sequence[Compared], results: dict[str, NDArray[Any]], baseline: str | None
) -> dict[str, NDArray[np.float64]]:
    """Adjust p values and intervals for the changes of the baseline, and for all others.

    So a further key of the grid does not weaken the question that was asked.
    """
    names = (
        "p_holm",
        "p_simultaneous",
        "difference_simultaneous_low",
        "difference_simultaneous_high",
    )
    adjusted = {name: np.empty(len(compared)) for name in names}
    direct = np.array([baseline in (a.setup, b.setup) for _, a, b, _ in compared], bool)
    for family in (np.flatnonzero(direct).tolist(), np.flatnonzero(~direct).tolist()):
        p, fixed, broken, n = (results[name][family] for name in ("p", "fixed", "broken", "pairs"))
        level, p_at_once = _at_once([compared[i] for i in family], p)
        # Few changed seeds say little about how they vary under other signs.
        few, most = fixed + broken < FEW_CHANGED, bonferroni(LEVEL, len(family))
        bounds = np.where(few, tango(fixed, broken, n, most), tango(fixed, broken, n, level))
        for name, each in zip(names, (holm(p), p_at_once, *bounds), strict=True):
            adjusted[name][family] = each
    return adjusted


def _at_once(
    family: Sequence[Compared], p: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """The level and p values of `max_t`; Bonferroni's for many comparisons or no common seeds."""
    level = bonferroni(LEVEL, len(family))
    setups = {each.setup: each for row in family for each in row[1:3]}
    if not 1 < len(family) <= MOST_AT_ONCE:
        return level, np.minimum(1, p * len(family))
    flags = common_results([*setups.values()], most=MOST_FLAGS)
    if not flags.shape[1]:
        return level, np.minimum(1, p * len(family))
    of = dict(zip(setups, flags.astype(np.int8), strict=True))
    at_once = max_t([of[after.setup] - of[before.setup] for _, before, after, _ in family], LEVEL)
    return min(level, at_once[0]), at_once[1]


def paired_effects(
    pairs: NDArray[np.int64], fixed: NDArray[np.int64], broken: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Compute differences of paired shares with Tango's 95% bounds and McNemar's exact p.

    Parameters
    ----------
    pairs, fixed, broken : int64 arrays, [comparison]
        Seeds that both setups ran, and seeds that converge only after and only before the change.

    Returns
    -------
    dict of float64 arrays, [comparison]
        `difference`, `difference_low`, `difference_high` and `p`; NaN without pairs.
    """
    low, high = tango(fixed, broken, pairs, LEVEL)
    with np.errstate(invalid="ignore"):
        difference = (fixed - broken) / pairs
    return {
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        "p": np.where(pairs > 0, mcnemar(fixed, broken), np.nan),
    }


def least_effect(contrasts: pd.DataFrame) -> float:
    """The smallest difference that a table of contrasts could have shown, as a share of the seeds.

    So large is the difference if as few seeds as `p_holm` needs converge only after the change, and
    none only before. It is above 1 if the table can show nothing, and NaN if it is empty.
    """
    if contrasts.empty:
        return np.nan
    # p is 2^(1 − n) where all n changed pairs are fixed
    return (math.floor(1 + math.log2(len(contrasts) / ALPHA)) + 1) / float(contrasts["pairs"].max())


def independent_keys(counted: Sequence[SetupCounts]) -> list[str]:
    """Names of the keys that vary on their own.

    Left out is `eval_every` if each `batch` has a single value of it, and `batch` if each `problem`
    has a single value of it: their values follow from the other key.
    """
    keys = varying(counted)

    def follows(key: str) -> bool:
        leader = _FOLLOWS.get(key, "")
        pairs = {(one.keys[leader], one.keys[key]) for one in counted if leader in keys}
        return 0 < len(pairs) == len({value for value, _ in pairs})

    return [key for key in keys if not follows(key)]


def _changes(
    counted: Sequence[SetupCounts], keys: Sequence[str], baseline: str | None
) -> Iterator[tuple[str, SetupCounts, SetupCounts]]:
    """Yield (key, setup before, setup after) of every comparison, in the order of the rows."""
    start = next((one.written for one in counted if one.setup == baseline), {})
    for key in keys:
        if key in GOALS:
            continue
        pairs: list[tuple[SetupCounts, SetupCounts]] = []
        others = [other for other in keys if other != key]
        names = [
            # two files may have the same name
            ("" if key in _LEARNT else one.problem, *(one.written[other] for other in others))
            for one in counted
        ]
        for group in grouped(counted, names).values():
            for one, other in _pairs(grouped(group, [one.written[key] for one in group]), baseline):
                is_back = key in start and other.written[key] == start[key]
                pairs.append((other, one) if is_back else (one, other))
        # The sort is stable: rows with the same values stay in the order of the other keys.
        for before, after in sorted(pairs, key=lambda ends: sort_key(e.keys[key] for e in ends)):
            yield key, before, after


def _pairs(
    alike: Mapping[Any, Sequence[SetupCounts]], baseline: str | None
) -> Iterator[tuple[SetupCounts, SetupCounts]]:
    """Yield the setups to compare, in order. `alike`: those with each value of the key.

    They share all other keys. Of several with one value, as of files of the same name, few count.
    """
    numeric = all(not isinstance(value, str) or value.isdecimal() for value in alike)
    setups = [
        sorted(same, key=lambda one: one.setup != baseline)[:_ALL_PAIRS] for same in alike.values()
    ]
    places = range(len(setups))
    near: set[tuple[int, int]] = set()
    if len(setups) <= _ALL_PAIRS:
        near = {*combinations(places, 2)}
    elif numeric:
        near = {*pairwise(places)}
    start = {i for i in places if setups[i][0].setup == baseline}
    for i, j in sorted(near | {(min(i, j), max(i, j)) for i in start for j in places if i != j}):
        for one, other in product(setups[i], setups[j]):
            if (i, j) in near or baseline in (one.setup, other.setup):
                yield one, other


def pair(
    before: SetupCounts, after: SetupCounts, name: str = "converged"
) -> tuple[int, int, int, int]:
    """Count the seeds that two setups both ran, and those that converge in only one of them.

    `name` "constant": those that end constant in only one of them.

    Returns
    -------
    pairs : int
        Number of seeds that both setups ran.
    fixed, broken : int
        Numbers of these seeds that converge only in `after`, and only in `before`.
    converged : int
        Number of these seeds that converge in `before`.
    """
    counts = np.zeros(4, np.int64)
    for p, q in parts_of_common_results([before, after], name):
        counts += [p.size, *(np.count_nonzero(x) for x in (~p & q, p & ~q, p))]
    pairs, fixed, broken, converged = counts.tolist()
    return pairs, fixed, broken, converged
