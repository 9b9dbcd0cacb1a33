"""From runs to tables: one row per setup, and curves and densities of each setup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.counts import Runs, SetupCounts, Value, count_runs, varying
from fastbp.analysis.histograms import THRESHOLDS, Histograms, pooled
from fastbp.analysis.statistics.kaplan_meier import Survival, kaplan_meier, restart
from fastbp.analysis.statistics.proportions import wilson
from fastbp.schema.outcomes import CONSTANT, OUTCOMES

LEVEL = 0.95
"""Level of every interval."""

ALPHA = 0.05
"""An effect has p_holm below this."""

SHARES: tuple[str, ...] = (*(outcome.column for outcome in OUTCOMES), "constant")
"""What the summary counts, as in its column names; `constant` is collapsed and one-class
together."""

Columns = dict[str, "pd.Series[Any]"]


def summary(runs: Runs) -> pd.DataFrame:
    """How the runs of each setup ended.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        As `count_runs` takes them.

    Returns
    -------
    DataFrame
        One row per setup, in the order of `count_runs`, with the columns:

        - the keys that vary (if some budgets were written in epochs and others in updates, all rows
          show `updates`); `setup`; `runs`;
        - for each X of diverged, converged, collapsed, one_class, partial and constant (collapsed
          and one-class together): the count `X`, the share `X_share` (0…1) and its Wilson 95%
          bounds `X_low` and `X_high`;
        - `updates_median`, after which half of the runs had converged (Kaplan-Meier, `converged_at`
          censored at the budget; null where fewer do), `updates_median_low`,
          `updates_median_high`;
        - `restart_at`, the updates after which giving up and drawing a new seed makes a success
          cheapest, and `restart_cost`, the expected updates that a success then takes, with
          bootstrap 95% bounds `…_low` and `…_high` (null without a success; a cost without upper
          bound is ∞);
        - `ever_converged`, runs that converged at some evaluation, and `relapsed`, those among them
          that did not end so.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    columns = setup_columns(counted)
    total = np.array([one.runs for one in counted], np.int64)
    columns["runs"] = pd.Series(total)
    for name, count in _counts(counted).items():
        low, high = wilson(count, total, LEVEL)
        columns |= {name: pd.Series(count), f"{name}_share": pd.Series(count / total)}
        columns |= {f"{name}_low": pd.Series(low), f"{name}_high": pd.Series(high)}
    restarts = [restart(one.times, one.events, one.runs, LEVEL) for one in counted]
    whole = _bounded("updates_median", [_survival(one).median() for one in counted])
    whole |= _bounded("restart_at", [each[:3] for each in restarts])
    columns |= {name: whole_numbers(column) for name, column in whole.items()}
    columns |= _bounded("restart_cost", [each[3:] for each in restarts])
    for name in ("ever_converged", "relapsed"):
        columns[name] = pd.Series([getattr(one, name) for one in counted], dtype=np.int64)
    return pd.DataFrame(columns)


def _counts(counted: Sequence[SetupCounts | None]) -> dict[str, NDArray[np.int64]]:
    """How many runs of each setup have each of `SHARES`; none where there is no setup."""
    rows = [one.counts if one else np.zeros(len(OUTCOMES)) for one in counted]
    counts = np.array(rows, np.int64).reshape(-1, len(OUTCOMES))
    constant = counts[:, [OUTCOMES.index(outcome) for outcome in CONSTANT]].sum(axis=1)
    return dict(zip(SHARES, (*counts.T, constant), strict=True))


def share_columns(counted: Sequence[SetupCounts | None], end: str) -> Columns:
    """Columns of runs, of those that converged, and of the shares converged and constant.

    `end` is appended to their names. Setups without runs have counts of 0 and shares of NaN.
    """
    counts = _counts(counted)
    total = np.array([one.runs if one else 0 for one in counted], np.int64)
    columns: dict[str, NDArray[Any]] = {"runs": total, "converged": counts["converged"]}
    with np.errstate(invalid="ignore"):
        columns |= {f"{name}_share": counts[name] / total for name in ("converged", "constant")}
    return {f"{name}{end}": pd.Series(values) for name, values in columns.items()}


def _bounded(name: str, values: Iterable[Sequence[float]]) -> Columns:
    """Numbers and their bounds as columns."""
    table = np.array(list(values), float).reshape(-1, 3).T
    ends = zip(("", "_low", "_high"), table, strict=True)
    return {f"{name}{end}": pd.Series(column) for end, column in ends}


def whole_numbers(values: ArrayLike | pd.Series[Any]) -> pd.Series[Any]:
    """Whole numbers as an Int64 column, NaN as null."""
    return pd.Series(pd.array(np.asarray(values, float), dtype="Int64"))


def _survival(one: SetupCounts) -> Survival:
    """Updates to convergence; a run that never converged is censored at its budget."""
    budget = one.keys.get("updates")
    last = max(budget if isinstance(budget, int) else 0, int(one.times.max(initial=1)))
    censored = one.runs - one.ever_converged
    times, events = pooled([(one.times, one.events), (np.array([last]), np.array([0]))])
    return kaplan_meier(times, events, np.where(times == last, censored, 0), LEVEL)


def pooled_median(counted: Sequence[SetupCounts]) -> float:
    """Updates after which half of the runs of some setups with one budget had converged, or NaN."""
    times, events = pooled((one.times, one.events) for one in counted)
    counts = np.sum([one.counts for one in counted], axis=0)
    return _survival(counted[0]._replace(times=times, events=events, counts=counts)).median()[0]


def survival(runs: Runs) -> pd.DataFrame:
    """How many runs have not converged yet, over updates: Kaplan-Meier curves.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        As `count_runs` takes them.

    Returns
    -------
    DataFrame
        A row for each setup and number of updates after which runs converged, and for its budget,
        with the columns: the keys that vary; `setup`; `after`, updates; `at_risk`, runs that had
        not converged before; `share`, of runs that had not converged then, 0…1, with 95% bounds
        `low` and `high` (log-log Greenwood, null where the share is 0 or 1).

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    curves = [_survival(one) for one in counted]
    columns = _repeated(counted, [len(curve.times) for curve in curves])
    types = {"after": np.int64, "at_risk": np.int64}
    for i, name in enumerate(("after", "at_risk", "share", "low", "high")):
        columns[name] = _joined([curve[i] for curve in curves], types.get(name, np.float64))
    return pd.DataFrame(columns)


def collapsing(runs: Runs) -> pd.DataFrame:
    """How many runs other values of `collapse` would count as collapsed.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        As `count_runs` takes them, with the columns loss, spread and spread_start.

    Returns
    -------
    DataFrame
        A row for each setup and threshold, with the columns: the keys that vary; `setup`; `runs`;
        `threshold`, a share of the target range; `collapsed` and `collapsed_share`, runs that are
        neither diverged nor converged and have a `spread` below it; `constant_at_start` and
        `constant_at_start_share`, runs that have a `spread_start` below it.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted, histograms = _pictured(runs)
    columns = _repeated(counted, [len(THRESHOLDS)] * len(counted))
    total = np.repeat([one.runs for one in counted], len(THRESHOLDS))
    columns["runs"] = pd.Series(total, dtype=np.int64)
    columns["threshold"] = pd.Series(np.tile(THRESHOLDS, len(counted)))
    for name, field in (("collapsed", "collapsing"), ("constant_at_start", "constant_at_start")):
        columns[name] = _joined([getattr(each, field) for each in histograms], np.int64)
        columns[f"{name}_share"] = columns[name] / total
    return pd.DataFrame(columns)


def constant_at_start(counted: Sequence[SetupCounts]) -> pd.Series[Any] | None:
    """Share of each setup's runs that were as constant as collapsed ones before the first update.

    The nearest of the counted thresholds is used. None if some runs were counted without what
    pictures need.
    """
    shares = []
    for one in counted:
        collapse = one.keys.get("collapse")
        if one.histograms is None or not isinstance(collapse, float):
            return None
        nearest = int(np.argmin(np.abs(THRESHOLDS - collapse)))
        shares.append(one.histograms.constant_at_start[nearest] / one.runs)
    return pd.Series(shares, dtype=np.float64)


def density(runs: Runs) -> pd.DataFrame:
    """Where runs lie in the plane of the spread of their outputs and their loss.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        As `count_runs` takes them, with the columns loss, spread and spread_start.

    Returns
    -------
    DataFrame
        A row for each setup, outcome and cell of the plane that has runs, with the columns: the
        keys that vary; `setup`; `outcome`; `spread` and `loss` in the middle of the cell; `runs` in
        it.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted, histograms = _pictured(runs)
    columns = _repeated(counted, [len(each.cells) for each in histograms])
    points = [each.points() for each in histograms]
    outcomes = [str(outcome) for point in points for outcome in point[0]]
    columns |= {
        "outcome": pd.Series(outcomes, dtype=object),
        "spread": _joined([point[1] for point in points], np.float64),
        "loss": _joined([point[2] for point in points], np.float64),
        "runs": _joined([each.cell_runs for each in histograms], np.int64),
    }
    return pd.DataFrame(columns)


def _pictured(runs: Runs) -> tuple[list[SetupCounts], list[Histograms]]:
    counted = count_runs(runs, pictures=True)
    return counted, [one.histograms for one in counted if one.histograms]


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> pd.Series[Any]:
    joined: pd.Series[Any] = pd.Series(np.concatenate(parts) if parts else [], dtype=dtype)
    return joined


def _repeated(counted: Sequence[SetupCounts], times: Sequence[int]) -> Columns:
    """The varying keys and the id of each setup, repeated so many times."""
    rows = np.repeat(np.arange(len(counted)), times)
    columns = setup_columns(counted).items()
    return {name: column.iloc[rows].reset_index(drop=True) for name, column in columns}


def setup_columns(counted: Sequence[SetupCounts]) -> Columns:
    """The varying keys and the id of each setup as columns."""
    ids = pd.Series([one.setup for one in counted], dtype=object)
    return key_columns(counted, varying(counted)) | {"setup": ids}


def key_columns(counted: Sequence[SetupCounts], keys: Sequence[str]) -> Columns:
    """The given keys as columns: whole numbers stay whole beside nulls."""
    return {key: _column([one.keys[key] for one in counted]) for key in keys}


def _column(values: list[Value]) -> pd.Series[Any]:
    types = {type(value) for value in values if value is not None}
    dtype = "object" if str in types or not types else None
    if None in values and types:
        nullable = {bool: "boolean", int: "Int64", float: "float64", str: "object"}
        dtype = nullable[types.pop()]
    return pd.Series(values, dtype=dtype)


def settings_of(summary: pd.DataFrame, keys: list[str]) -> list[pd.DataFrame]:
    """The rows of each setting of some keys, all rows without keys."""
    if not keys:
        return [summary]
    return [rows for _, rows in summary.groupby(keys, sort=False, dropna=False)]


def keys_of(summary: pd.DataFrame) -> list[str]:
    """The keys that vary: the columns of a summary before `setup`."""
    return list(summary.columns[: summary.columns.get_loc("setup")])
