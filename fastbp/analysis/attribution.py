"""How much each of several changes of a setup contributes to its convergence rate.

The convergence rate is the share of runs that end converged.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.common_seeds import common_results
from fastbp.analysis.contrasts import GOALS, MOST_FLAGS, independent_keys
from fastbp.analysis.counts import Runs, SetupCounts, Value, count_runs
from fastbp.analysis.statistics.paired import (
    Contribution,
    PointsInterval,
    interaction,
    paired_difference,
    shapley,
)
from fastbp.analysis.summary import LEVEL

MAX_BOXES = 400
"""The difference from the baseline is split for at most this number of setups: the ones with the
largest difference in the convergence rate."""

MAX_CHANGES = 6
"""Largest number of keys in which such a setup may differ from the baseline: k changes need the
runs of 2^k setups."""

_ENDS = ("", "_low", "_high")

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("from", "to", "key", "from_value", "to_value"), object),
    "pairs": np.int64,
} | {
    f"{name}_points{end}": np.float64
    for name in ("total", "alone", "last", "average")
    for end in _ENDS
}  # fmt: skip

Box = tuple[list[str], list[SetupCounts]]
"""(keys, setups): the k keys that change, and the 2^k setups with every subset of the changes. Key
i is changed in `setups[n]` if bit i of n is set."""


def attribution(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """Split the difference of convergence rates between the baseline and other setups by key.

    The other setups differ from the baseline in two to six keys, but not in `stop`. Budgets are
    compared in the unit of the sweep file, epochs or updates. The setups with every subset of the
    changes must have runs; the seeds that all of them ran are compared, up to ten million runs in
    all. Of the setups that qualify, those with the most changed keys are used. Setups with fewer
    seeds than the baseline are used only if no others qualify.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table of runs, the path of a store, or the result of `count_runs`.
    baseline : str, optional
        Id of the setup to start from; by default the first in the order of `count_runs`.

    Returns
    -------
    DataFrame
        One row per other setup and changed key, with the columns: `from` and `to`, the ids of the
        baseline and of the other setup; `key`, `from_value` and `to_value`; `pairs`, the number of
        common seeds; `total_points`, the convergence rate of `to` minus that of `from`, in
        percentage points. The part of this key is `alone_points` if it is changed first,
        `last_points` if it is changed last, and `average_points` on average over all orders of
        making the changes (Shapley). All have 95% bounds `…_low` and `…_high`: Tango's, of the
        average those of Agresti & Min. The average is null where it would hide that a change does
        one thing alone and the opposite last: see `interactions`.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    rows = [row for box in _boxes(counted, _changeable(counted), baseline) for row in _rows(*box)]
    return pd.DataFrame(rows, columns=[*_TYPES], dtype=object).astype(_TYPES)


_INTERACTIONS: dict[str, Any] = {
    **dict.fromkeys(("from", "to", "key", "other"), object),
    "pairs": np.int64,
} | {f"points{end}": np.float64 for end in _ENDS}


def interactions(runs: Runs, parts: pd.DataFrame) -> pd.DataFrame:
    """Compute how much more a change does if another one is made as well.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table of runs, the path of a store, or the result of `count_runs`.
    parts : DataFrame
        The result of `attribution` for the same runs.

    Returns
    -------
    DataFrame
        One row for every two changes on the way from `from` to `to`, where some of the averages of
        `parts` are null, with the columns: `from`, `to`; `key` and `other`, the changed keys;
        `pairs`, the number of common seeds; `points`, the effect of `key` in percentage points if
        `other` is changed as well, minus its effect if it is not, both from `from`, with 95% bounds
        `points_low` and `points_high`.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    ways = parts[parts["average_points"].isna()][["from", "to"]].drop_duplicates().to_numpy()
    counted = count_runs(runs) if len(ways) else []
    keys = _changeable(counted)
    by_id, rows = {one.setup: one for one in counted}, []
    by_values = {(_goals(one), *map(one.written.get, keys)): one for one in counted}
    for start, end in ways:
        here, there, goals = by_id[start].written, by_id[end].written, _goals(by_id[start])
        for key, other in combinations(parts.loc[parts["to"] == end, "key"], 2):
            corners = [
                by_values[goals, *((there if name in names else here)[name] for name in keys)]
                for names in ((), (key,), (other,), (key, other))
            ]
            flags = common_results(corners, most=MOST_FLAGS)
            rows.append(
                (
                    start,
                    end,
                    key,
                    other,
                    flags.shape[1],
                    *(100 * value for value in interaction(flags, LEVEL)),
                )
            )
    return pd.DataFrame(rows, columns=[*_INTERACTIONS], dtype=object).astype(_INTERACTIONS)


def _rows(changed: list[str], corners: list[SetupCounts]) -> list[dict[str, Any]]:
    """Make the rows of one box, one for each changed key; none without common seeds."""
    flags = common_results(corners, most=MOST_FLAGS)
    if not flags.shape[1]:
        return []
    start, end = corners[0], corners[-1]
    total = paired_difference(flags[0], flags[-1], LEVEL)
    return [
        {
            "from": start.setup,
            "to": end.setup,
            "key": key,
            "from_value": start.keys[key],
            "to_value": end.keys[key],
            "pairs": flags.shape[1],
        }
        | {
            f"{name}_points{bound}": 100 * value
            for name, interval in ({"total": total} | part._asdict()).items()
            for bound, value in zip(_ENDS, interval, strict=True)
        }
        for key, part in zip(changed, map(_unless_opposed, shapley(flags, LEVEL)), strict=True)
    ]


def _changeable(counted: Sequence[SetupCounts]) -> list[str]:
    """The keys whose changes can have an effect on how networks learn."""
    return [key for key in independent_keys(counted) if key not in GOALS]


def _goals(one: SetupCounts) -> tuple[Value, ...]:
    return tuple(map(one.keys.get, GOALS))


def _unless_opposed(part: Contribution) -> Contribution:
    """Drop the average of a change that does the opposite alone of what it does last."""
    alone, last = part.alone, part.last
    return (
        part._replace(average=PointsInterval(*[np.nan] * 3))
        if alone.low > 0 > last.high or alone.high < 0 < last.low
        else part
    )


def _boxes(counted: Sequence[SetupCounts], keys: Sequence[str], baseline: str | None) -> list[Box]:
    """Find the boxes from the baseline to the setups with the most changed keys."""
    if not counted:
        return []
    start = next((one for one in counted if one.setup == baseline), counted[0])
    alike = [one for one in counted if _goals(one) == _goals(start)]
    boxes = _complete_boxes(
        start, [one for one in alike if one.runs >= start.runs], keys
    ) or _complete_boxes(start, alike, keys)
    most = max((len(changed) for changed, _ in boxes), default=0)
    farthest = [box for box in boxes if len(box[0]) == most]
    share = start.ended_converged / start.runs
    moved = [abs(box[1][-1].ended_converged / box[1][-1].runs - share) for box in farthest]
    return [
        farthest[i]
        for i in sorted(np.argsort(-np.array(moved), kind="stable")[:MAX_BOXES].tolist())
    ]


def _complete_boxes(
    start: SetupCounts, setups: Sequence[SetupCounts], keys: Sequence[str]
) -> list[Box]:
    """Find the boxes from `start` to the setups that differ from it in two to six of the keys."""
    by_values = {tuple(one.written[key] for key in keys): one for one in setups}
    if len(by_values) < len(setups):
        return []  # some setups do not differ in the keys as written
    here = start.written
    boxes: list[Box] = []
    for values in by_values:
        there = dict(zip(keys, values, strict=True))
        changed = [key for key in keys if there[key] != here[key]]
        if not 2 <= len(changed) <= MAX_CHANGES:
            continue
        subsets = [
            {key for i, key in enumerate(changed) if bits >> i & 1}
            for bits in range(1 << len(changed))
        ]
        wanted = [
            tuple(there[key] if key in subset else here[key] for key in keys) for subset in subsets
        ]
        if all(corner in by_values for corner in wanted):
            boxes.append((changed, [by_values[corner] for corner in wanted]))
    return boxes
