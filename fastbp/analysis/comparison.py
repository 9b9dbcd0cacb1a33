"""Two stores of the same setups, from other versions, other numerics or other days."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.contrasts import pair
from fastbp.analysis.counts import Runs, SetupCounts, count_runs, files_of, varying
from fastbp.analysis.statistics.paired import holm, mcnemar, tango
from fastbp.analysis.statistics.proportions import fisher, newcombe
from fastbp.analysis.summary import LEVEL, Columns, key_columns, share_columns
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.store.filename import Range

Match = tuple[SetupCounts | None, SetupCounts | None]
"""The same setup in two stores."""


def comparison(a: Runs, b: Runs) -> pd.DataFrame:
    """Compare what the runs of two stores say about the same setups.

    A setup is the same if all its keys as written are, and its problem; its id may differ, as with
    other numerics.

    Parameters
    ----------
    a, b : DataFrame, path or list of SetupCounts
        As `count_runs` takes them.

    Returns
    -------
    DataFrame
        One row per setup, in the order of `count_runs`, with the columns:

        - the keys that vary; `setup_a` and `setup_b`, null where it has no runs;
        - `runs_a`, `converged_a`, `converged_share_a`, `constant_share_a` and the same of b;
        - `identical`, whether the files of runs hold the same rows bit for bit, null where their
          names do not tell;
        - `pairs`, seeds that both ran, and `paired_a` and `paired_b`, how many of them converge in
          each; `fixed` (not converged in a, converged in b) and `broken`;
        - `difference` of the share converged, b − a: over the pairs with Tango's 95% bounds and
          McNemar's exact `p`, and without common seeds over all runs, with Newcombe's bounds and
          Fisher's exact `p`; `p_holm`, adjusted over the table.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    matches = _matched(count_runs(a), count_runs(b))
    setups = [either for one, other in matches if (either := one or other)]
    columns = key_columns(setups, varying(setups))
    sides = {"_a": [one for one, _ in matches], "_b": [other for _, other in matches]}
    for end, side in sides.items():
        columns[f"setup{end}"] = pd.Series([one and one.setup for one in side], dtype=object)
    for end, side in sides.items():
        columns |= share_columns(side, end)
    digests = _digests(a), _digests(b)
    identical = [_is_identical(one, other, *digests) for one, other in matches]
    columns["identical"] = pd.Series(identical, dtype="boolean")
    paired = [pair(one, other) if one and other else (0, 0, 0, 0) for one, other in matches]
    n, fixed, broken, before = np.array(paired, np.int64).reshape(-1, 4).T
    results = {"pairs": n, "paired_a": before, "paired_b": before + fixed - broken}
    results |= {"fixed": fixed, "broken": broken} | _differences(n, fixed, broken, columns)
    return pd.DataFrame(columns | {name: pd.Series(each) for name, each in results.items()})


def _differences(
    n: NDArray[np.int64], fixed: NDArray[np.int64], broken: NDArray[np.int64], columns: Columns
) -> dict[str, NDArray[Any]]:
    """Differences with bounds and p, paired where there are pairs, else of all runs."""
    names = ("converged_a", "runs_a", "converged_b", "runs_b")
    ended_a, runs_a, ended_b, runs_b = (columns[name].to_numpy() for name in names)
    unpaired = (n == 0) & (runs_a > 0) & (runs_b > 0)
    with np.errstate(invalid="ignore"):
        difference = np.where(unpaired, ended_b / runs_b - ended_a / runs_a, (fixed - broken) / n)
    independent = newcombe(ended_a, runs_a, ended_b, runs_b, LEVEL)
    paired = tango(fixed, broken, n, LEVEL)
    low, high = (np.where(unpaired, *each) for each in zip(independent, paired, strict=True))
    p = np.where(n > 0, mcnemar(fixed, broken), np.nan)
    for i in np.flatnonzero(unpaired):
        p[i] = fisher(int(ended_a[i]), int(runs_a[i]), int(ended_b[i]), int(runs_b[i]))
    return {
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        "p": p,
        "p_holm": holm(p),
    }


def _matched(a: Sequence[SetupCounts], b: Sequence[SetupCounts]) -> list[Match]:
    """The same setups of both, then those of b alone.

    Setups with one id are matched first, so that none takes another's.
    """
    left = {one.setup: one for one in b}
    matches = {one.setup: left.pop(one.setup) for one in a if one.setup in left}
    alike: dict[tuple[Any, ...], list[SetupCounts]] = {}
    for one in left.values():
        alike.setdefault(_identity(one), []).append(one)
    for one in a:
        if one.setup not in matches:
            others = [other for other in alike.get(_identity(one), []) if other.setup in left]
            match = next((other for other in others if _learns_the_same(one, other)), None)
            if match:
                matches[one.setup] = left.pop(match.setup)
    return [*((one, matches.get(one.setup)) for one in a), *((None, one) for one in left.values())]


def _identity(one: SetupCounts) -> tuple[Any, ...]:
    keys = one.written
    return tuple(keys.get(column.name) for column in SETUP_COLUMNS if column.name != "collapse")


def _learns_the_same(one: SetupCounts, other: SetupCounts) -> bool:
    """Whether two setups with the same keys have the same problem.

    Files of one name may hold anything: they are the same only if their digests are known.
    """
    if one.problem and other.problem:
        return one.problem == other.problem
    problem = one.keys.get("problem")
    return problem is not None and not str(problem).startswith("file:")


def _digests(runs: Runs) -> dict[str, dict[Range, str]]:
    """The digest of the rows of each file, by its setup and its seeds; nothing without files."""
    digests: dict[str, dict[Range, str]] = {}
    for file in files_of(Path(runs)) if isinstance(runs, str | Path) else ():
        digests.setdefault(file.setup, {})[file.seeds] = file.digest
    return digests


def _is_identical(
    one: SetupCounts | None,
    other: SetupCounts | None,
    a: dict[str, dict[Range, str]],
    b: dict[str, dict[Range, str]],
) -> bool | None:
    """Whether rows are the same, if the names of their files tell.

    They do not if files are cut elsewhere or the rows name other ids.
    """
    if not (one and other and a and b) or one.setup != other.setup:
        return None
    first, second = a[one.setup], b[other.setup]
    return first == second if first.keys() == second.keys() else None
