"""Tables of an atlas: a sweep whose setups learn Boolean functions, given as truth tables.

Functions that symmetry makes equivalent form a class (see `symmetry`). The tables list each
function with its classes, and test whether the functions of a class converge equally often.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fastbp.analysis.common_seeds import common_results
from fastbp.analysis.counts import Runs, SetupCounts, count_runs, varying
from fastbp.analysis.statistics.paired import cochran, effective_trials, holm
from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import LEVEL, key_columns, keys_of, pooled_median
from fastbp.analysis.symmetry import FUNCTIONS, NPN, PN, SYMMETRIES, bits_of, classes, holds
from fastbp.schema.text import grouped, sort_key

MIN_FUNCTIONS = 16
"""Smallest number of functions in an atlas: there are 2⁴ = 16 functions of two bits."""


def is_atlas(summary: pd.DataFrame) -> bool:
    """Whether the setups learn 16 or more truth tables, all of the same number of inputs."""
    if "problem" not in keys_of(summary):
        return False
    tables = {bits_of(problem) for problem in summary["problem"]}
    return len(tables) >= MIN_FUNCTIONS and "" not in tables and len(set(map(len, tables))) == 1


def functions(summary: pd.DataFrame) -> pd.DataFrame:
    """Add to each row of a summary the symmetry classes of the function that it learns.

    Parameters
    ----------
    summary : DataFrame
        A result of `summary` for which `is_atlas` is true.

    Returns
    -------
    DataFrame
        The rows of the summary, sorted by class, with these columns first:

        - `bits`, the truth table, instead of `problem`;
        - `pn_class`, the class of functions that are equal up to permuted inputs and a negated
          output, and `npn_class`, up to negated inputs too; each class is named by its truth table
          that is the smallest as a binary number;
        - `function`, the formula of the `npn_class` in `symmetry.FUNCTIONS`, or null.

        All other columns of the summary follow.
    """
    tables = [bits_of(problem) for problem in summary["problem"]]
    columns = {"bits": tables, "pn_class": classes(tables, PN), "npn_class": classes(tables, NPN)}
    named = pd.DataFrame(
        columns | {"function": [FUNCTIONS.get(each) for each in columns["npn_class"]]},
        dtype=object,
        index=summary.index,
    )
    return pd.concat([named, summary.drop(columns="problem")], axis=1).sort_values(
        ["npn_class", "pn_class", "bits"], kind="stable", ignore_index=True
    )


def others_of(table: pd.DataFrame) -> list[str]:
    """Names of the keys that vary, apart from `problem`, in a table that `functions` made."""
    return keys_of(table.loc[:, "function":])[1:]


def equality(runs: Runs) -> pd.DataFrame:
    """Test whether the functions of each symmetry class converge equally often.

    All functions are trained on the same seeds: the same initial weights and the same sequence of
    rows. The runs of a seed differ only in their targets, so they are correlated. Cochran's Q
    compares convergence rates under such correlation; the mean rate of a class has Wilson's
    interval with the effective number of independent trials.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        Runs of an atlas: a table, the path of a store, or the result of `count_runs`.

    Returns
    -------
    DataFrame
        A row per class, for each symmetry and each combination of values of the other keys:

        - the keys that vary except `problem`; `symmetry` (`pn`: permuted inputs, negated output;
          `npn`: negated inputs too); `class`, its smallest truth table; `function` as in
          `functions`; `members`, the number of its functions that have runs; `runs`; `converged`;
        - `converged_share` with 95% bounds `converged_low` and `converged_high`; `min_share` and
          `max_share` over the members; `trials`, the effective number of independent trials;
        - `updates_median` over the runs of all members (null if fewer than half converge); `holds`,
          whether symmetry implies equal rates; `p` of Cochran's test over the seeds that all
          members ran (null for one member, and with too few successes or failures); `p_holm`, `p`
          adjusted by Holm's method over all rows.

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


def _class(members: Sequence[SetupCounts]) -> dict[str, object]:
    """Compute the cells of a row of `equality` from the counts of the functions of a class."""
    tables, keys = [bits_of(one.keys["problem"]) for one in members], members[0].keys
    valid = [each for each in SYMMETRIES if holds(each, keys, len(tables[0]))]
    counts = np.array([one.ended_converged for one in members])
    totals = np.array([one.runs for one in members])
    shares, runs = counts / totals, int(totals.sum())
    flags = common_results(members)
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
