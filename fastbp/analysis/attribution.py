"""How much each of several changes contributes to the convergence rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.contrasts import _follows
from fastbp.analysis.counts import Runs, SetupCounts, count_runs, varying, written
from fastbp.analysis.statistics.paired import attribution as attributed
from fastbp.analysis.summary import LEVEL, _counts

MAX_BOXES = 400
"""Setups to which the parts of changes are told: of more, those whose share differs most."""

MAX_CHANGES = 6
"""Keys of which parts are told: twice as many setups are needed for each more."""


def attribution(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """What each of several changes made at once has to do with the change of the share converged.

    From the `baseline`, the id of a setup (without one, the first in `count_runs`'s order), to every
    setup that differs from it in at least two keys as written, never in `stop`, where the setups
    with every subset of these changes are there, and in as many keys as any such setup does; over
    the seeds that all of them ran. Where a sweep has put more seeds into some setups than into
    others, only those that have no fewer than the baseline are looked at, if there is such a setup
    among them.

    Returns one row per such setup and key, with the columns: `from` and `to`, the two setups;
    `key`, `from_value` and `to_value`; `pairs`, the seeds; `total_points`, how many percentage
    points the share rose; and of these, by this change when it is made first, `alone_points`; when
    it is made last, `last_points`; and on average over all orders of making the changes (Shapley),
    `average_points`; each with Student's 95% bounds `…_low` and `…_high`. Raises as `count_runs` does.
    """
    counted = count_runs(runs)
    keys = [key for key in varying(counted) if not _follows(counted, key) and key != "stop"]
    rows = []
    for start, boxes in _boxes(counted, keys, baseline):
        for changed, corners in boxes:
            flags = common_flags(corners)
            if not flags.shape[1]:
                continue
            total = 100 * float(flags[-1].mean() - flags[0].mean())
            for key, part in zip(changed, attributed(flags, LEVEL), strict=True):
                row = {
                    "from": start.setup,
                    "to": corners[-1].setup,
                    "key": key,
                    "from_value": start.keys[key],
                }
                row |= {
                    "to_value": corners[-1].keys[key],
                    "pairs": flags.shape[1],
                    "total_points": total,
                }
                for name, value in part._asdict().items():
                    ends = zip(("", "_low", "_high"), value, strict=True)
                    row |= {f"{name}_points{end}": 100 * each for end, each in ends}
                rows.append(row)
    words, whole = ["from", "to", "key", "from_value", "to_value"], ["pairs"]
    reals = [
        f"{name}_points{end}"
        for name in ("alone", "last", "average")
        for end in ("", "_low", "_high")
    ]
    names = [*words, *whole, "total_points", *reals]
    types: dict[str, Any] = dict.fromkeys(words, object) | dict.fromkeys(whole, np.int64)
    return pd.DataFrame(
        {
            name: pd.Series([row[name] for row in rows], dtype=types.get(name, np.float64))
            for name in names
        }
    )


def _boxes(
    counted: Sequence[SetupCounts], keys: Sequence[str], baseline: str | None
) -> Iterator[tuple[SetupCounts, list[tuple[list[str], list[SetupCounts]]]]]:
    """The start, and of each setup farthest from it the keys that differ and the setups with every
    subset of these changes, where bit i says that key i is changed.
    """
    start = next((t for t in counted if t.setup == baseline), counted[0] if counted else None)
    if start is None:
        return
    alike = [t for t in counted if t.keys.get("stop") == start.keys.get("stop")]
    found = _cornered(start, [t for t in alike if t.runs >= start.runs], keys) or _cornered(
        start, alike, keys
    )
    most = max((len(changed) for changed, _ in found), default=0)
    farthest = [box for box in found if len(box[0]) == most]
    share = _shares([start, *(corners[-1] for _, corners in farthest)])
    largest = np.argsort(-np.abs(share[1:] - share[0]), kind="stable")[:MAX_BOXES]
    yield start, [farthest[i] for i in sorted(largest.tolist())]


def _cornered(
    start: SetupCounts, alike: Sequence[SetupCounts], keys: Sequence[str]
) -> list[tuple[list[str], list[SetupCounts]]]:
    """Of each of these setups that is two changes or more away from the start: what `_boxes`
    says.
    """
    of = {tuple(written(t)[key] for key in keys): t for t in alike}
    if len(of) < len(alike):
        return []  # setups that differ in what is no key as written
    here = written(start)
    found: list[tuple[list[str], list[SetupCounts]]] = []
    for values in of:
        changed = [key for key, value in zip(keys, values, strict=True) if value != here[key]]
        if not 2 <= len(changed) <= MAX_CHANGES:
            continue
        there = dict(zip(keys, values, strict=True))
        subsets = [
            [key for i, key in enumerate(changed) if bits >> i & 1]
            for bits in range(1 << len(changed))
        ]
        corners = [
            of.get(tuple(there[key] if key in subset else here[key] for key in keys))
            for subset in subsets
        ]
        if None not in corners:
            found.append((changed, [corner for corner in corners if corner]))
    return found


def _shares(counted: Sequence[SetupCounts]) -> NDArray[np.float64]:
    """The share of each setup that converges."""
    shares: NDArray[np.float64] = _counts(counted)["converged"] / np.array(
        [t.runs for t in counted]
    )
    return shares


def common_flags(counted: Sequence[SetupCounts]) -> NDArray[np.bool_]:
    """Which runs converged, [setup, seed], of the seeds that all of one or more setups ran."""
    first = counted[0]
    if all(
        np.array_equal(first.starts, t.starts) and np.array_equal(first.lengths, t.lengths)
        for t in counted
    ):
        return np.stack([t.flags() for t in counted])
    seeds = first.seeds()
    for other in counted[1:]:
        seeds = np.intersect1d(seeds, other.seeds(), assume_unique=True)
    return np.stack([t.flags()[np.searchsorted(t.seeds(), seeds)] for t in counted])
