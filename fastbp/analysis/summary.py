"""From runs to tables: one row per setup, one row per single change between two setups, and both as
plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.counts import Runs, SetupCounts, Value, count_runs, varying
from fastbp.analysis.histograms import THRESHOLDS
from fastbp.analysis.statistics.kaplan_meier import Survival, kaplan_meier, restart
from fastbp.analysis.statistics.proportions import wilson
from fastbp.schema.outcomes import CONSTANT, OUTCOMES

LEVEL = 0.95
"""Level of every interval."""

SHARES: tuple[str, ...] = (*(outcome.column for outcome in OUTCOMES), "constant")
"""What the summary counts, as in its column names; `constant` is collapsed and one-class
together."""


def summary(runs: Runs) -> pd.DataFrame:
    """How the runs of each setup ended.

    Parameters: `runs`, a DataFrame of tidy runs, the path of a store, or what `count_runs` returned.
    Returns one row per setup, in `count_runs`'s order, with the columns: the keys that vary; `setup`;
    `runs`; then for each X of diverged, converged, collapsed, one_class, partial and constant
    (collapsed and one-class together) the count `X`, the share `X_share` (0…1) and its Wilson 95%
    bounds `X_low` and `X_high`; `updates_median`, after which half of the runs had converged
    (Kaplan-Meier, `converged_at` censored at the budget; null where fewer do), with
    `updates_median_low` and `updates_median_high`; `restart_at`, the updates after which giving up
    and drawing a new seed makes a success cheapest, and `restart_cost`, the expected updates that
    one then takes, with bootstrap 95% bounds `…_low` and `…_high` (null with no success; a cost
    without upper bound is ∞); `ever_converged`, runs that some look found converged, and
    `relapsed`, those among them that did not end so. Where some budgets were written in epochs and
    others in updates, `updates` is shown for all. Raises as `count_runs` does.
    """
    counted = count_runs(runs)
    columns = key_columns(counted, varying(counted))
    columns["setup"] = pd.Series([t.setup for t in counted], dtype=object)
    total = np.array([t.runs for t in counted], np.int64)
    columns["runs"] = pd.Series(total)
    for name, count in _counts(counted).items():
        low, high = wilson(count, total, LEVEL)
        columns |= {name: pd.Series(count), f"{name}_share": pd.Series(count / total)}
        columns |= {f"{name}_low": pd.Series(low), f"{name}_high": pd.Series(high)}
    columns |= _updates("updates_median", [_survival(t).median() for t in counted])
    restarts = [restart(t.times, t.events, t.runs, LEVEL) for t in counted]
    columns |= _updates("restart_at", [found[:3] for found in restarts])
    for i, name in enumerate(("", "_low", "_high"), 3):
        columns[f"restart_cost{name}"] = pd.Series(
            [found[i] for found in restarts], dtype=np.float64
        )
    columns["ever_converged"] = pd.Series([t.ever_converged for t in counted], dtype=np.int64)
    columns["relapsed"] = pd.Series([t.relapsed for t in counted], dtype=np.int64)
    return pd.DataFrame(columns)


def _counts(counted: Sequence[SetupCounts | None]) -> dict[str, NDArray[np.int64]]:
    """How many runs of each setup have each of `SHARES`; none where there is no setup."""
    counts = np.array([t.counts if t else [0] * len(OUTCOMES) for t in counted], np.int64).reshape(
        -1, len(OUTCOMES)
    )
    constant = counts[:, [OUTCOMES.index(outcome) for outcome in CONSTANT]].sum(axis=1)
    return dict(zip(SHARES, (*counts.T, constant), strict=True))


def share_columns(counted: Sequence[SetupCounts | None], end: str) -> dict[str, pd.Series[Any]]:
    """Runs, and the shares that are looked for first, as columns whose names end so."""
    counts = _counts(counted)
    total = np.array([t.runs if t else 0 for t in counted], np.int64)
    with np.errstate(invalid="ignore"):
        shares = {name: counts[name] / total for name in ("converged", "constant")}
    columns = {"runs": total, "converged": counts["converged"]} | {
        f"{name}_share": share for name, share in shares.items()
    }
    return {f"{name}{end}": pd.Series(values) for name, values in columns.items()}


def _updates(name: str, values: Sequence[tuple[float, float, float]]) -> dict[str, pd.Series[Any]]:
    """Numbers of updates and their bounds as columns, NaN as null."""
    table = np.array(values, float).reshape(-1, 3).T
    return {
        f"{name}{bound}": whole_numbers(column)
        for bound, column in zip(("", "_low", "_high"), table, strict=True)
    }


def whole_numbers(values: ArrayLike) -> pd.Series[Any]:
    """Whole numbers as a column, NaN as null."""
    return (
        pd.Series(np.asarray(values, float), dtype="Float64").replace(np.nan, pd.NA).astype("Int64")
    )


def _survival(one: SetupCounts) -> Survival:
    """Updates to convergence: a run that no look found converged is censored at its budget."""
    last = int(max(_budget(one), one.times.max(initial=1)))
    times = one.times if one.times.size and one.times[-1] == last else np.append(one.times, last)
    events = np.append(one.events, [0] * (times.size - one.times.size))
    censored = np.append(np.zeros(times.size - 1), one.runs - one.ever_converged)
    return kaplan_meier(times, events, censored, LEVEL)


def pooled_median(counted: Sequence[SetupCounts]) -> float:
    """The updates after which half of the runs of one or more setups with one budget had converged,
    NaN where fewer do.
    """
    times, place = np.unique(np.concatenate([t.times for t in counted]), return_inverse=True)
    events = np.bincount(place, np.concatenate([t.events for t in counted]), len(times)).astype(
        np.int64
    )
    counts = np.sum([t.counts for t in counted], axis=0)
    return _survival(counted[0]._replace(times=times, events=events, counts=counts)).median()[0]


def _budget(one: SetupCounts) -> int:
    budget = one.keys.get("updates")
    return budget if isinstance(budget, int) else 0


def survival(runs: Runs) -> pd.DataFrame:
    """How many runs have not converged yet, over updates: Kaplan-Meier curves, runs censored at
    their budget.

    Returns a row for each setup and number of updates at which a look found some converged, and for
    its budget, with the columns: the keys that vary; `setup`; `after`, updates; `at_risk`, runs
    that had not converged before; `share`, of runs that had not converged then, 0…1, with 95%
    bounds `low` and `high` (log-log Greenwood, null where the share is 0 or 1). Raises as `count_runs`
    does.
    """
    counted = count_runs(runs)
    curves = [_survival(t) for t in counted]
    columns = _repeated(counted, [len(curve.times) for curve in curves])
    for name, i in (("after", 0), ("at_risk", 1), ("share", 2), ("low", 3), ("high", 4)):
        values = np.concatenate([curve[i] for curve in curves]) if curves else np.empty(0)
        columns[name] = pd.Series(values, dtype=np.int64 if i < 2 else np.float64)
    return pd.DataFrame(columns)


def collapsing(runs: Runs) -> pd.DataFrame:
    """How many runs would be collapsed by other values of `collapse`, and how many were as constant
    before the first update.

    Returns a row for each setup and threshold, with the columns: the keys that vary; `setup`;
    `runs`; `threshold`, a share of the target range; `collapsed` and `collapsed_share`, runs that
    are neither diverged nor converged and whose spread is below it; `constant_at_start` and `constant_at_start_share`, runs
    whose `spread_start` is. Needs the columns loss, spread and spread_start. Raises as `count_runs`.
    """
    counted = count_runs(runs, pictures=True)
    columns = _repeated(counted, [len(THRESHOLDS)] * len(counted))
    total = np.repeat([t.runs for t in counted], len(THRESHOLDS))
    columns |= {
        "runs": pd.Series(total, dtype=np.int64),
        "threshold": pd.Series(np.tile(THRESHOLDS, len(counted))),
    }
    histograms = [t.histograms for t in counted if t.histograms]
    for name, parts in (
        ("collapsed", [s.collapsing for s in histograms]),
        ("constant_at_start", [s.constant_at_start for s in histograms]),
    ):
        counts = np.concatenate(parts) if parts else np.empty(0)
        columns |= {
            name: pd.Series(counts, dtype=np.int64),
            f"{name}_share": pd.Series(counts / total),
        }
    return pd.DataFrame(columns)


def constant_at_start(counted: Sequence[SetupCounts]) -> pd.Series[Any] | None:
    """The share of each setup's runs that were as constant as collapsed ones are before their first
    update.

    By the nearest of the thresholds that are counted. None where some runs were counted without
    what pictures need.
    """
    shares = []
    for t in counted:
        collapse = t.keys.get("collapse")
        if t.histograms is None or not isinstance(collapse, float):
            return None
        shares.append(
            t.histograms.constant_at_start[int(np.argmin(np.abs(THRESHOLDS - collapse)))] / t.runs
        )
    return pd.Series(shares, dtype=np.float64)


def density(runs: Runs) -> pd.DataFrame:
    """Where runs lie in the plane of the spread of their outputs and their loss.

    Returns a row for each setup, outcome and cell of the plane in which there are runs, with the
    columns: the keys that vary; `setup`; `outcome`; `spread` and `loss` in the middle of the cell;
    `runs` in it. Needs the columns loss, spread and spread_start. Raises as `count_runs` does.
    """
    counted = count_runs(runs, pictures=True)
    histograms = [t.histograms for t in counted if t.histograms]
    columns = _repeated(counted, [len(histograms.cells) for histograms in histograms])
    points = [histograms.points() for histograms in histograms]
    columns["outcome"] = pd.Series(
        [str(outcome) for outcomes, _, _ in points for outcome in outcomes], dtype=object
    )
    for i, name in enumerate(("spread", "loss"), 1):
        columns[name] = pd.Series(
            np.concatenate([np.asarray(point[i]) for point in points]) if points else [],
            dtype=np.float64,
        )
    columns["runs"] = pd.Series(
        np.concatenate([s.cell_runs for s in histograms]) if histograms else [], dtype=np.int64
    )
    return pd.DataFrame(columns)


def _repeated(counted: Sequence[SetupCounts], times: Sequence[int]) -> dict[str, pd.Series[Any]]:
    """The varying keys and the id of each setup, so many times."""
    columns = key_columns(counted, varying(counted)) | {
        "setup": pd.Series([t.setup for t in counted], dtype=object)
    }
    rows = np.repeat(np.arange(len(counted)), times)
    return {name: column.iloc[rows].reset_index(drop=True) for name, column in columns.items()}


def key_columns(counted: Sequence[SetupCounts], keys: Sequence[str]) -> dict[str, pd.Series[Any]]:
    """The given keys as columns: whole numbers stay whole beside nulls."""
    return {key: _column([t.keys[key] for t in counted]) for key in keys}


def _column(values: list[Value]) -> pd.Series[Any]:
    some = {type(value) for value in values if value is not None}
    if None in values and some:
        return pd.Series(
            values,
            dtype={bool: "boolean", int: "Int64", float: "float64", str: "object"}[some.pop()],
        )
    return pd.Series(values, dtype="object" if str in some or not some else None)


ALPHA = 0.05
"""An effect is what has p_holm below this."""


def keys_of(summary: pd.DataFrame) -> list[str]:
    """The keys that vary: the columns of a summary before `setup`."""
    return list(summary.columns[: summary.columns.get_loc("setup")])
