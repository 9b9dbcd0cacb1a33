"""How much each of several changes contributes to the convergence rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.contrasts import independent_keys
from fastbp.analysis.counts import Runs, SetupCounts, common_flags, count_runs
from fastbp.analysis.statistics.paired import shapley
from fastbp.analysis.summary import LEVEL

MAX_BOXES = 400
"""At most this many setups have their changes attributed: those that differ most in how often they
converge."""

MAX_CHANGES = 6
"""At most this many changes are attributed: each further one needs twice as many setups."""

_ENDS = ("", "_low", "_high")

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("from", "to", "key", "from_value", "to_value"), object),
    "pairs": np.int64,
    "total_points": np.float64,
} | {
    f"{name}_points{end}": np.float64 for name in ("alone", "last", "average") for end in _ENDS
}  # fmt: skip

Box = tuple[list[str], list[SetupCounts]]
"""The keys that change, and a setup for every subset of the changes: bit i of a setup's position
says whether key i is changed."""


def attribution(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """Compute how much each of several changes contributes to the convergence rate.

    The changes lead from the baseline to the setups that differ from it in the most keys: in two or
    more, as written, and never in `stop`. Setups with every subset of these changes must have runs,
    and the seeds that all of them ran are compared. If some setups have more seeds than others,
    only setups with at least as many seeds as the baseline are used, unless there are none.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        As `count_runs` takes them.
    baseline : str, optional
        Id of a setup; without one, the first in the order of `count_runs`.

    Returns
    -------
    DataFrame
        One row per such setup and key, with the columns: `from` and `to`, the two setups; `key`,
        `from_value` and `to_value`; `pairs`, the number of seeds; `total_points`, by how many
        percentage points the convergence rate rises. The part of this change is `alone_points` if
        it is made first, `last_points` if it is made last, and `average_points` on average over all
        orders of making the changes (Shapley), each with Student's 95% bounds `…_low` and `…_high`.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    keys = [key for key in independent_keys(counted) if key != "stop"]
    rows = [row for box in _boxes(counted, keys, baseline) for row in _rows(*box)]
    return pd.DataFrame(rows, columns=[*_TYPES], dtype=object).astype(_TYPES)


def _rows(changed: list[str], corners: list[SetupCounts]) -> list[dict[str, Any]]:
    """Make a row for each change; there are none without common seeds."""
    flags = common_flags(corners)
    if not flags.shape[1]:
        return []
    start, end = corners[0], corners[-1]
    total = 100 * float(flags[-1].mean() - flags[0].mean())
    return [
        {
            "from": start.setup,
            "to": end.setup,
            "key": key,
            "from_value": start.keys[key],
            "to_value": end.keys[key],
            "pairs": flags.shape[1],
            "total_points": total,
        }
        | {
            f"{name}_points{bound}": 100 * value
            for name, interval in part._asdict().items()
            for bound, value in zip(_ENDS, interval, strict=True)
        }
        for key, part in zip(changed, shapley(flags, LEVEL), strict=True)
    ]


def _boxes(counted: Sequence[SetupCounts], keys: Sequence[str], baseline: str | None) -> list[Box]:
    """Find the boxes from the baseline to the setups that differ from it in the most keys."""
    if not counted:
        return []
    start = next((one for one in counted if one.setup == baseline), counted[0])
    alike = [one for one in counted if one.keys.get("stop") == start.keys.get("stop")]
    as_many = [one for one in alike if one.runs >= start.runs]
    boxes = _complete_boxes(start, as_many, keys) or _complete_boxes(start, alike, keys)
    most = max((len(changed) for changed, _ in boxes), default=0)
    farthest = [box for box in boxes if len(box[0]) == most]
    share = start.ended_converged / start.runs
    moved = [abs(box[1][-1].ended_converged / box[1][-1].runs - share) for box in farthest]
    largest = np.argsort(-np.array(moved), kind="stable")[:MAX_BOXES]
    return [farthest[i] for i in sorted(largest.tolist())]


def _complete_boxes(
    start: SetupCounts, setups: Sequence[SetupCounts], keys: Sequence[str]
) -> list[Box]:
    """Find the boxes to each of these setups that is at least two changes from the start."""
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
