"""A store of truth tables as an atlas: functions with their classes, and whether shares agree."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.counts import (
    Runs,
    SetupCounts,
    common_flags,
    count_runs,
    grouped,
    sort_key,
    varying,
)
from fastbp.analysis.statistics.paired import cochran, effective_trials, holm
from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import LEVEL, key_columns, keys_of, pooled_median
from fastbp.analysis.symmetry import FUNCTIONS, NPN, PN, SYMMETRIES, bits_of, classes, holds

MIN_FUNCTIONS = 16
"""The fewest functions that make an atlas: as many as there are of two bits."""


def is_atlas(summary: pd.DataFrame) -> bool:
    """Whether all setups are truth tables of the same number of inputs, and there are enough."""
    if "problem" not in keys_of(summary):
        return False
    tables = {bits_of(problem) for problem in summary["problem"]}
    return len(tables) >= MIN_FUNCTIONS and "" not in tables and len(set(map(len, tables))) == 1


def functions(summary: pd.DataFrame) -> pd.DataFrame:
    """Add the classes of truth tables to a summary.

    Parameters
    ----------
    summary : DataFrame
        From `summary`, for which `is_atlas` is true.

    Returns
    -------
    DataFrame
        The rows of the summary, sorted by class, with these columns first: `bits` instead of
        `problem`; `pn_class` and `npn_class`, each named by the first truth table of the class;
        `function`, what the functions of the `npn` class compute, if `symmetry.FUNCTIONS` has a
        name for it. All other columns of the summary follow.
    """
    tables = [bits_of(problem) for problem in summary["problem"]]
    columns = {"bits": tables, "pn_class": classes(tables, PN), "npn_class": classes(tables, NPN)}
    names = [FUNCTIONS.get(each) for each in columns["npn_class"]]
    named = pd.DataFrame(columns | {"function": names}, dtype=object, index=summary.index)
    table = pd.concat([named, summary.drop(columns="problem")], axis=1)
    return table.sort_values(["npn_class", "pn_class", "bits"], kind="stable", ignore_index=True)


def others_of(table: pd.DataFrame) -> list[str]:
    """The keys that vary, without the problem, in a table from `functions`."""
    return keys_of(table.loc[:, "function":])[1:]


def equality(runs: Runs) -> pd.DataFrame:
    """Compare how often the functions of each class converge.

    The members of a class are trained on the same seeds: the same initial weights and the same
    sequence of rows. The runs of a seed differ in their targets only, so they are not independent.
    Shares are therefore compared by Cochran's Q, which allows for correlation within a seed, and
    the interval of their mean is Wilson's with the effective number of trials.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        Runs of an atlas, as `count_runs` takes them.

    Returns
    -------
    DataFrame
        A row for each setting of the other keys, symmetry and class, with the columns:

        - the other keys that vary; `symmetry`, `pn` or `npn`; `class`, its first truth table;
          `function` as in `functions`; `members`, functions that have runs; `runs`; `converged`;
        - `converged_share` with 95% bounds `converged_low` and `converged_high`; `min_share` and
          `max_share`, the lowest and the highest share of a member; `trials`, the effective number
          of independent trials;
        - `updates_median` over the runs of all members (null where fewer than half converge);
          `holds`, whether some symmetry says that shares are equal; `p`, Cochran's, over the seeds
          that all members ran (null for one member, and where there are too few successes or
          failures); `p_holm`, adjusted over the table.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    others = [key for key in varying(counted) if key != "problem"]
    settings = grouped(counted, [tuple(one.keys[key] for key in others) for one in counted])
    first, rows = [], []
    for key in sorted(settings, key=sort_key):
        tables = [bits_of(one.keys["problem"]) for one in settings[key]]
        for symmetry in SYMMETRIES:
            members = grouped(settings[key], classes(tables, symmetry))
            for name in sorted(members):
                first.append(members[name][0])
                rows.append({"symmetry": symmetry, "class": name} | _class(members[name]))
    table = pd.DataFrame(rows)
    names = [FUNCTIONS.get(each) for each in classes(list(table["class"]), NPN)]
    table.insert(2, "function", pd.Series(names, dtype=object))
    table["updates_median"] = table["updates_median"].astype("Int64")
    table["p_holm"] = holm(table["p"])
    return pd.concat([pd.DataFrame(key_columns(first, others)), table], axis=1)


def _class(members: Sequence[SetupCounts]) -> dict[str, Any]:
    """The columns of a row that are computed from its members."""
    tables, keys = [bits_of(one.keys["problem"]) for one in members], members[0].keys
    valid = [each for each in SYMMETRIES if holds(each, keys, len(tables[0]))]
    counts = np.array([one.ended_converged for one in members])
    totals = np.array([one.runs for one in members])
    shares, runs = counts / totals, int(totals.sum())
    flags = common_flags(members)
    packed, seeds = np.packbits(flags, axis=1), flags.shape[1]
    # On how many seeds each two of the members converged, [member, member].
    both = np.array([np.bitwise_count(packed & row).sum(axis=1, dtype=np.int64) for row in packed])
    worth = effective_trials(both, seeds) / (len(members) * seeds) if seeds else 1.0
    share = counts.sum() / runs
    low, high = wilson(share * worth * runs, worth * runs, LEVEL)
    return {
        "members": len(members),
        "runs": runs,
        "converged": int(counts.sum()),
        "converged_share": share,
        "converged_low": float(low),
        "converged_high": float(high),
        "min_share": shares.min(),
        "max_share": shares.max(),
        "trials": worth * runs,
        "updates_median": pooled_median(members),
        "holds": any(len(set(classes(tables, each))) == 1 for each in valid),
        "p": cochran(both, seeds) if seeds else np.nan,
    }
