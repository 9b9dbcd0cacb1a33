"""A store of truth tables as an atlas: every function with its class, and whether shares are equal
where symmetry says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.attribution import common_flags
from fastbp.analysis.counts import Runs, SetupCounts, count_runs, natural, varying
from fastbp.analysis.statistics.paired import holm
from fastbp.analysis.statistics.proportions import cochran, effective_trials, wilson
from fastbp.analysis.summary import LEVEL, key_columns, keys_of, pooled_median, whole_numbers
from fastbp.analysis.symmetry import FUNCTIONS, NPN, PN, SYMMETRIES, bits_of, classes, holds

MIN_FUNCTIONS = 16
"""Functions that make an atlas: all of two bits."""


def is_atlas(summary: pd.DataFrame) -> bool:
    """Whether a summary is of truth tables alone, all of as many inputs, and of enough of them."""
    if "problem" not in keys_of(summary):
        return False
    tables = {bits_of(problem) for problem in summary["problem"]}
    return (
        len(tables) >= MIN_FUNCTIONS
        and "" not in tables
        and len({len(bits) for bits in tables}) == 1
    )


def functions(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary of truth tables with the classes that they are in.

    Parameters: what `tables.summary` returned, an atlas as `is_atlas` says. Returns its rows by
    class, with the columns: `bits` instead of `problem`; `pn_class` and `npn_class`, each the first
    truth table of the class; `function`, what the larger class computes, where `symmetry.FUNCTIONS`
    has a name for it; and all others of the summary.
    """
    tables = [bits_of(problem) for problem in summary["problem"]]
    small, large = classes(tables, PN), classes(tables, NPN)
    columns: dict[str, Any] = {"bits": tables, "pn_class": small, "npn_class": large}
    columns["function"] = [FUNCTIONS.get(each) for each in large]
    table = pd.concat(
        [pd.DataFrame(columns, dtype=object, index=summary.index), summary.drop(columns="problem")],
        axis=1,
    )
    return table.sort_values(["npn_class", "pn_class", "bits"], kind="stable", ignore_index=True)


def equality(runs: Runs) -> pd.DataFrame:
    """Whether the functions of each class converge equally often.

    The members of a class are trained on the same seeds: the same initial weights and the same
    sequence of rows. Such runs are not the same run, as the network meets other targets, but
    neither are they independent: so shares are compared by Cochran's Q, which stands correlation
    within a seed, and the interval of their mean is Wilson's with as many trials as they are worth.

    Parameters: as `tables.summary` takes them, of an atlas. Returns a row for each setting of the
    other keys, symmetry and class, with the columns: the other keys that vary; `symmetry`, `pn` or
    `npn`; `class`, its first truth table; `function` as in `functions`; `members`, functions that
    have runs; `runs`; `converged`; `converged_share` with 95% bounds `converged_low` and
    `converged_high`; `least_share` and `most_share` of a member; `trials`, independent ones that
    the runs are worth; `updates_median` over the runs of all members (null where fewer than half
    converge); `holds`, whether some symmetry says that shares are equal; `p`, Cochran's, over the
    seeds that all members ran (null of one member, and where there are too few successes or
    failures to tell); `p_holm`, adjusted over the table. Raises as `count_runs` does.
    """
    counted = count_runs(runs)
    others = [key for key in varying(counted) if key != "problem"]
    settings: dict[tuple[Any, ...], list[SetupCounts]] = {}
    for t in counted:
        settings.setdefault(tuple(t.keys[key] for key in others), []).append(t)
    first, rows = [], []
    for key in sorted(settings, key=lambda values: [natural(value) for value in values]):
        own = settings[key]
        tables = [bits_of(t.keys["problem"]) for t in own]
        for symmetry in SYMMETRIES:
            members: dict[str, list[SetupCounts]] = {}
            for name, t in sorted(
                zip(classes(tables, symmetry), own, strict=True), key=lambda each: each[0]
            ):
                members.setdefault(name, []).append(t)
            for name, these in members.items():
                first.append(these[0])
                rows.append({"symmetry": symmetry, "class": name, **_class(these)})
    table = pd.DataFrame(rows)
    large = classes(list(table["class"]), NPN)
    table.insert(2, "function", pd.Series([FUNCTIONS.get(each) for each in large], dtype=object))
    table["updates_median"] = whole_numbers(table["updates_median"])
    table["p_holm"] = np.nan
    tested = table["p"].notna()
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"])
    return pd.concat([pd.DataFrame(key_columns(first, others)), table], axis=1)


def _class(members: Sequence[SetupCounts]) -> dict[str, Any]:
    """The columns of a row that follow from its members."""
    tables, keys = [bits_of(t.keys["problem"]) for t in members], members[0].keys
    must = any(
        holds(each, keys, len(tables[0])) and len(set(classes(tables, each))) == 1
        for each in SYMMETRIES
    )
    counts, totals = (
        np.array([t.ended_converged for t in members]),
        np.array([t.runs for t in members]),
    )
    flags = common_flags(members)
    both, seeds, runs = _together(flags), flags.shape[1], int(totals.sum())
    worth = effective_trials(both, seeds) / (len(members) * seeds) if seeds else 1.0
    share = counts.sum() / runs
    low, high = wilson(share * worth * runs, worth * runs, LEVEL)
    shares = counts / totals
    return {
        "members": len(members), "runs": runs, "converged": int(counts.sum()), "converged_share": share,
        "converged_low": float(low), "converged_high": float(high), "least_share": shares.min(), "most_share": shares.max(),
        "trials": worth * runs, "updates_median": pooled_median(members), "holds": must,
        "p": cochran(both, seeds) if seeds else np.nan,
    }  # fmt: skip


def _together(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """On how many seeds each two of the members converged, [member, member]."""
    packed = np.packbits(flags, axis=1)
    return np.array([np.bitwise_count(packed & row).sum(axis=1, dtype=np.int64) for row in packed])
