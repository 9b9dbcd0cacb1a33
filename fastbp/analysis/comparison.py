"""Two stores of the same setups, from other versions, other numerics or other days: which setups'
shares moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.contrasts import pair
from fastbp.analysis.counts import Runs, SetupCounts, count_runs, varying, written
from fastbp.analysis.statistics.paired import holm, mcnemar, newcombe, tango
from fastbp.analysis.statistics.proportions import fisher
from fastbp.analysis.summary import LEVEL, key_columns, share_columns
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.store import filename
from fastbp.store.filename import Range


def comparison(a: Runs, b: Runs) -> pd.DataFrame:
    """What the runs of two stores say of the same setups.

    A setup is the same where all its keys are, as written, and what it learns; its id may be
    another, as with other numerics.

    Parameters: DataFrames of tidy runs, paths of stores, or what `count_runs` returned. Returns one row
    per setup, in `count_runs`'s order, with the columns: the keys that vary; `setup_a` and `setup_b`,
    null where it has no runs; `runs_a`, `converged_a`, `converged_share_a`, `constant_share_a` and
    the same of b; `identical`, whether the files of runs hold the same rows bit for bit, null where
    that is not seen from their names; `pairs`, seeds that both ran, and `paired_a` and `paired_b`,
    how many of them converge in each; `fixed` (not converged in a, converged in b) and `broken` of
    them; `difference` of the share converged, b − a, over the pairs with Tango's 95% bounds and
    McNemar's exact `p`, and where no seeds are common over all runs, with Newcombe's bounds and
    Fisher's exact `p`; `p_holm`, adjusted over the table. Raises as `count_runs` does.
    """
    found = _matched(count_runs(a), count_runs(b))
    either = [one or other for one, other in found]
    counted = [t for t in either if t]
    columns = key_columns(counted, varying(counted))
    sides = {"a": [one for one, _ in found], "b": [other for _, other in found]}
    for side, own in sides.items():
        columns[f"setup_{side}"] = pd.Series([t.setup if t else None for t in own], dtype=object)
    for side, own in sides.items():
        columns |= share_columns(own, f"_{side}")
    same = {side: _digests(runs) for side, runs in (("a", a), ("b", b))}
    alike = [_alike(one, other, same["a"], same["b"]) for one, other in found]
    columns["identical"] = pd.Series(alike, dtype="boolean")
    paired = [pair(one, other) if one and other else (0, 0, 0, 0) for one, other in found]
    n, fixed, broken, before = np.array(paired, np.int64).reshape(-1, 4).T
    columns |= {
        "pairs": pd.Series(n),
        "paired_a": pd.Series(before),
        "paired_b": pd.Series(before + fixed - broken),
    }
    columns |= {"fixed": pd.Series(fixed), "broken": pd.Series(broken)}
    runs_a, runs_b = columns["runs_a"].to_numpy(), columns["runs_b"].to_numpy()
    ended_a, ended_b = columns["converged_a"].to_numpy(), columns["converged_b"].to_numpy()
    alone = (n == 0) & (runs_a > 0) & (runs_b > 0)
    with np.errstate(invalid="ignore"):
        difference = np.where(alone, ended_b / runs_b - ended_a / runs_a, (fixed - broken) / n)
    low, high = (
        np.where(alone, *bounds)
        for bounds in zip(
            newcombe(ended_a, runs_a, ended_b, runs_b, LEVEL),
            tango(fixed, broken, n, LEVEL),
            strict=True,
        )
    )
    p = mcnemar(fixed, broken)
    for i in np.flatnonzero(alone):
        p[i] = fisher(int(ended_a[i]), int(runs_a[i]), int(ended_b[i]), int(runs_b[i]))
    told = (n > 0) | alone
    adjusted = np.full(len(p), np.nan)
    adjusted[told] = holm(p[told])
    columns |= {
        "difference": pd.Series(difference),
        "difference_low": pd.Series(low),
        "difference_high": pd.Series(high),
    }
    columns |= {"p": pd.Series(np.where(told, p, np.nan)), "p_holm": pd.Series(adjusted)}
    return pd.DataFrame(columns)


def _matched(
    a: Sequence[SetupCounts], b: Sequence[SetupCounts]
) -> list[tuple[SetupCounts | None, SetupCounts | None]]:
    """The same setups of both, then those of b alone: those of one id first, so that none takes
    another's.
    """

    def whole(one: SetupCounts) -> tuple[Any, ...]:
        keys = written(one)
        return tuple(keys.get(column.name) for column in SETUP_COLUMNS if column.name != "collapse")

    left = {t.setup: t for t in b}
    matches = {t.setup: left.pop(t.setup) for t in a if t.setup in left}
    others: dict[tuple[Any, ...], list[SetupCounts]] = {}
    for t in left.values():
        others.setdefault(whole(t), []).append(t)
    for t in a:
        if t.setup not in matches:
            same = others.get(whole(t), [])
            match = next((o for o in same if _learn_the_same(t, o)), None)
            if match:
                matches[t.setup] = match
                same.remove(match)
    used = {t.setup for t in matches.values()}
    return [*((t, matches.get(t.setup)) for t in a), *((None, t) for t in b if t.setup not in used)]


def _learn_the_same(one: SetupCounts, other: SetupCounts) -> bool:
    """Of two setups with the same keys. Files of one name may hold anything: there, only what is
    known to be the same is.
    """
    if one.problem and other.problem:
        return one.problem == other.problem
    problem = one.keys.get("problem")
    return problem is not None and not str(problem).startswith("file:")


def _digests(runs: Runs) -> dict[str, dict[Range, str]] | None:
    """The digest of the rows of each file, by its setup and its seeds."""
    if not isinstance(runs, str | Path):
        return None
    folder = Path(runs) / "runs" if (Path(runs) / "runs").is_dir() else Path(runs)
    found: dict[str, dict[Range, str]] = {}
    for file in filename.run_files(folder):
        found.setdefault(file.setup, {})[file.seeds] = file.digest
    return found


def _alike(
    one: SetupCounts | None,
    other: SetupCounts | None,
    a: dict[str, dict[Range, str]] | None,
    b: dict[str, dict[Range, str]] | None,
) -> bool | None:
    """Whether rows are the same. Where files are cut elsewhere, or the rows name other ids, names
    do not tell.
    """
    if not (one and other and a and b) or one.setup != other.setup:
        return None
    first, second = a[one.setup], b[other.setup]
    if first == second:
        return True
    return False if first.keys() == second.keys() else None
