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
"""Setups whose changes are attributed: of more, those whose convergence rate differs most."""

MAX_CHANGES = 6
"""Changes that are attributed: each more needs twice as many setups."""

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("from", "to", "key", "from_value", "to_value"), object),
    "pairs": np.int64,
    "total_points": np.float64,
}

_ENDS = ("", "_low", "_high")

Box = tuple[list[str], list[SetupCounts]]
"""Keys that change, and the setups with every subset of the changes: bit i says that key i is
changed."""


def attribution(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """How much each of several changes contributes to the convergence rate.

    From the baseline to every setup that differs from it in at least two keys as written, never in
    `stop`, and in as many keys as any such setup does, provided that setups with every subset of
    these changes have runs; over the seeds that all of them ran. If a sweep put more seeds into
    some setups than into others, only setups that have no fewer than the baseline count, provided
    that there is such a setup.

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
        `from_value` and `to_value`; `pairs`, the seeds; `total_points`, the rise of the convergence
        rate in percentage points; and the part of this change if it is made first, `alone_points`;
        if it is made last, `last_points`; and on average over all orders of making the changes
        (Shapley), `average_points`; each with Student's 95% bounds `…_low` and `…_high`.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    keys = [key for key in independent_keys(counted) if key != "stop"]
    rows = [row for box in _boxes(counted, keys, baseline) for row in _rows(*box)]
    parts = [f"{name}_points{end}" for name in ("alone", "last", "average") for end in _ENDS]
    types = _TYPES | dict.fromkeys(parts, np.float64)
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=type_) for name, type_ in types.items()}
    )


def _rows(changed: list[str], corners: list[SetupCounts]) -> list[dict[str, Any]]:
    """A row for each change, none without common seeds."""
    flags = common_flags(corners)
    if not flags.shape[1]:
        return []
    start, end = corners[0], corners[-1]
    total = 100 * float(flags[-1].mean() - flags[0].mean())
    rows = []
    for key, part in zip(changed, shapley(flags, LEVEL), strict=True):
        row: dict[str, Any] = {
            "from": start.setup,
            "to": end.setup,
            "key": key,
            "from_value": start.keys[key],
            "to_value": end.keys[key],
            "pairs": flags.shape[1],
            "total_points": total,
        }
        for name, interval in part._asdict().items():
            bounds = zip(_ENDS, interval, strict=True)
            row |= {f"{name}_points{bound}": 100 * value for bound, value in bounds}
        rows.append(row)
    return rows


def _boxes(counted: Sequence[SetupCounts], keys: Sequence[str], baseline: str | None) -> list[Box]:
    """Boxes from the baseline to the setups that differ from it in the most keys."""
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
    """Boxes to each of these setups that is two changes or more from the start."""
    by_values = {tuple(one.written[key] for key in keys): one for one in setups}
    if len(by_values) < len(setups):
        return []  # setups that differ in something else than keys as written
    here = start.written
    boxes: list[Box] = []
    for values in by_values:
        there = dict(zip(keys, values, strict=True))
        changed = [key for key in keys if there[key] != here[key]]
        if not 2 <= len(changed) <= MAX_CHANGES:
            continue
        corners = []
        for bits in range(1 << len(changed)):
            subset = {key for i, key in enumerate(changed) if bits >> i & 1}
            corner = tuple(there[key] if key in subset else here[key] for key in keys)
            corners.append(by_values.get(corner))
        if None not in corners:
            boxes.append((changed, [corner for corner in corners if corner]))
    return boxes
