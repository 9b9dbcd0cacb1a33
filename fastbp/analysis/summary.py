"""Tables made from counted runs: how each setup ended, survival curves, and histograms."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.counts import Runs, SetupCounts, Value, count_runs, varying
from fastbp.analysis.histograms import THRESHOLDS, Histograms, pooled
from fastbp.analysis.shape import SHAPE, with_shape
from fastbp.analysis.statistics.kaplan_meier import Restart, Survival, kaplan_meier, restart
from fastbp.analysis.statistics.proportions import bonferroni, modified_wilson, normal_quantile
from fastbp.schema.columns import SCORES
from fastbp.schema.outcomes import CONSTANT, OUTCOMES

LEVEL = 0.95
"""Confidence level of every interval."""

ALPHA = 0.05
"""Significance level: a change has an effect if its Holm-adjusted p value is below this."""

SHARES: tuple[str, ...] = (*(outcome.column for outcome in OUTCOMES), "constant")
"""Names of the counts in a summary: all outcomes and `constant` (collapsed or one-class)."""

RESTART_SUCCESSES = 100
"""The best time to restart is estimated from at least this many runs that converged."""

Columns = dict[str, "pd.Series[Any]"]


def summary(runs: Runs) -> pd.DataFrame:
    """Count how the runs of each setup ended.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table of runs, the path of a store, or the result of `count_runs`.

    Returns
    -------
    DataFrame
        One row per setup, in the order of `count_runs`, with the columns:

        - the keys that vary (if some sweeps give budgets in epochs and others in updates, all rows
          show `updates`), and after `hidden`, if it varies, the integers `width`, the units of the
          largest hidden layer, and `depth`, the number of hidden layers; `setup`, its id; `runs`,
          their number;
        - for each X of diverged, converged, collapsed, one_class, partial and constant (collapsed
          or one-class): the count `X`, the share `X_share` (0…1) and its 95% bounds `X_low`
          and `X_high`;
        - `updates_median`, the updates after which half of the runs had converged (Kaplan-Meier,
          censored at the budget; null if fewer than half do), with bounds `…_low` and `…_high`;
        - `restart_at`, the updates after which to give up runs for new seeds, so that a success
          costs the fewest expected updates, and `restart_cost`, these expected updates, with
          bootstrap 95% bounds `…_low` and `…_high` (null with fewer than 100 successes; ∞ for a
          cost without upper bound);
        - `ever_converged`, runs that converged at some evaluation, and `relapsed`, those among them
          that did not end converged;
        - where success is not that every row is right: the means of `SCORES` that runs have.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    return with_shape(stored_summary(count_runs(runs)))


def stored_summary(counted: Sequence[SetupCounts]) -> pd.DataFrame:
    """The result of `summary` without the columns `SHAPE`, as `summary.csv` has it."""
    columns = setup_columns(counted)
    total = np.array([one.runs for one in counted], np.int64)
    columns["runs"] = pd.Series(total)
    for name, count in _counts(counted).items():
        low, high = modified_wilson(count, total, LEVEL)
        shares = {"": count, "_share": count / total, "_low": low, "_high": high}
        columns |= {f"{name}{end}": pd.Series(values) for end, values in shares.items()}
    restarts = list(map(_restart, counted))
    columns |= bounded("updates_median", [_survival(one).median() for one in counted], "Int64")
    columns |= bounded("restart_at", [each[:3] for each in restarts], "Int64")
    columns |= bounded("restart_cost", [each[3:] for each in restarts], "float64")
    for name in ("ever_converged", "relapsed"):
        columns[name] = pd.Series([getattr(one, name) for one in counted], dtype=np.int64)
    for name in (name for name in SCORES if any(name in one.scores for one in counted)):
        columns[name] = pd.Series([one.scores.get(name, np.nan) for one in counted])
    return pd.DataFrame(columns)


def _restart(one: SetupCounts) -> Restart:
    """The best time to restart; NaN with few successes: its bounds would cover it too seldom."""
    return restart(one.times, one.events * (one.events.sum() >= RESTART_SUCCESSES), one.runs, LEVEL)


def _counts(counted: Sequence[SetupCounts | None]) -> dict[str, NDArray[np.int64]]:
    """Count the runs of each setup for each of `SHARES`, int64 [setup]; 0 for None."""
    counts = np.array(
        [one.counts if one else np.zeros(len(OUTCOMES)) for one in counted], np.int64
    ).reshape(-1, len(OUTCOMES))
    constant = counts[:, [OUTCOMES.index(outcome) for outcome in CONSTANT]].sum(axis=1)
    return dict(zip(SHARES, (*counts.T, constant), strict=True))


def share_columns(counted: Sequence[SetupCounts | None], end: str) -> Columns:
    """Make the columns `runs`, `converged`, `converged_share` and `constant_share` of some setups.

    Parameters
    ----------
    counted : sequence of SetupCounts or None
        The setup of each row. A row with None has counts of 0 and shares of NaN.
    end : str
        What to append to each column name.
    """
    counts = _counts(counted)
    total = np.array([one.runs if one else 0 for one in counted], np.int64)
    columns: dict[str, NDArray[Any]] = {"runs": total, "converged": counts["converged"]}
    with np.errstate(invalid="ignore"):
        columns |= {f"{name}_share": counts[name] / total for name in ("converged", "constant")}
    return {f"{name}{end}": pd.Series(values) for name, values in columns.items()}


def bounded(name: str, values: Iterable[Sequence[float]], dtype: Any) -> Columns:
    """Make the columns `{name}`, `{name}_low` and `{name}_high` from triples of numbers."""
    ends = zip(("", "_low", "_high"), np.array(list(values), float).reshape(-1, 3).T, strict=True)
    return {f"{name}{end}": pd.Series(column).astype(dtype) for end, column in ends}


def budget_of(one: SetupCounts) -> int:
    """The updates of a setup's runs; at least the last after which one of them converged."""
    budget = one.keys.get("updates")
    return max(budget if isinstance(budget, int) else 0, int(one.times.max(initial=1)))


def _survival(one: SetupCounts) -> Survival:
    """Kaplan-Meier curve of updates to convergence; other runs are censored at the budget."""
    last = budget_of(one)
    times, events = pooled([(one.times, one.events), (np.array([last]), np.array([0]))])
    return kaplan_meier(
        times, events, np.where(times == last, one.runs - one.ever_converged, 0), LEVEL
    )


def pooled_median(counted: Sequence[SetupCounts]) -> float:
    """Updates after which half of the pooled runs of setups with the same budget had converged.

    NaN if fewer than half converge.
    """
    times, events = pooled((one.times, one.events) for one in counted)
    counts = np.sum([one.counts for one in counted], axis=0)
    return _survival(counted[0]._replace(times=times, events=events, counts=counts)).median()[0]


def survival(runs: Runs) -> pd.DataFrame:
    """Kaplan-Meier curves: the share of runs that have not converged yet, over updates.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table of runs, the path of a store, or the result of `count_runs`.

    Returns
    -------
    DataFrame
        For each setup a row for every number of updates after which runs first converged, and one
        for its budget, with the columns: the keys that vary; `setup`, its id; `after`, the updates;
        `at_risk`, the number of runs that had not converged before; `share`, the share of runs that
        have not converged after these updates (0…1), with pointwise 95% bounds `low` and `high`
        (log-log Greenwood, null where the share is 0 or 1).

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    return _below_each_other(
        counted,
        list(map(_survival, counted)),
        {"after": int, "at_risk": int, "share": float, "low": float, "high": float},
    )


def collapsing(runs: Runs) -> pd.DataFrame:
    """Count the runs that would be collapsed with each of many thresholds of collapse.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table of runs with the columns loss, spread and spread_start, the path of a store, or the
        result of `count_runs` for pictures.

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
    tables = []
    for one, each in zip(counted, histograms, strict=True):
        total = np.full(len(THRESHOLDS), one.runs)
        ends, starts = each.collapsing, each.constant_at_start
        tables.append((total, THRESHOLDS, ends, ends / total, starts, starts / total))
    return _below_each_other(
        counted,
        tables,
        {
            "runs": int,
            "threshold": float,
            "collapsed": int,
            "collapsed_share": float,
            "constant_at_start": int,
            "constant_at_start_share": float,
        },
    )


def constant_at_start(counted: Sequence[SetupCounts]) -> "pd.Series[Any] | None":
    """For each setup, the share of runs with a spread below `collapse` before the first update.

    The nearest of `THRESHOLDS` stands for the setup's value of `collapse`. The result has a share
    for each of `counted`, or is None if some were counted without histograms.
    """
    shares = []
    for one in counted:
        collapse = one.keys.get("collapse")
        if one.histograms is None or not isinstance(collapse, float):
            return None
        shares.append(
            one.histograms.constant_at_start[int(np.argmin(np.abs(THRESHOLDS - collapse)))]
            / one.runs
        )
    return pd.Series(shares, dtype=np.float64)


def density(runs: Runs) -> pd.DataFrame:
    """Count the runs of each outcome in each cell of the plane of spread and loss.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        A table of runs with the columns loss, spread and spread_start, the path of a store, or the
        result of `count_runs` for pictures.

    Returns
    -------
    DataFrame
        A row for each setup, outcome and cell of the plane that has runs, with the columns: the
        keys that vary; `setup`, its id; `outcome`; `spread` and `loss` at the centre of the cell;
        `runs`, the number of runs in it.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted, histograms = _pictured(runs)
    return _below_each_other(
        counted,
        [(*each.points(), each.cell_runs) for each in histograms],
        {"outcome": object, "spread": float, "loss": float, "runs": int},
    )


def _pictured(runs: Runs) -> tuple[list[SetupCounts], list[Histograms]]:
    """Count runs with histograms, and return the counts and the histograms of each setup."""
    counted = count_runs(runs, pictures=True)
    return counted, [one.histograms for one in counted if one.histograms]


def _below_each_other(
    counted: Sequence[SetupCounts],
    tables: Sequence[Sequence[NDArray[Any]]],
    types: Mapping[str, type],
) -> pd.DataFrame:
    """Stack one table per setup into one DataFrame, with the varying keys and the id in front.

    Each table is a sequence of columns; `types` has their names and types.
    """
    rows = np.repeat(np.arange(len(counted)), [len(table[0]) for table in tables])
    columns = pd.DataFrame(setup_columns(counted)).iloc[rows].reset_index(drop=True)
    for i, (name, dtype) in enumerate(types.items()):
        parts = [table[i] for table in tables]
        columns[name] = pd.Series(np.concatenate(parts) if parts else [], dtype=dtype)
    return columns


def setup_columns(counted: Sequence[SetupCounts]) -> Columns:
    """Make the columns of the keys that vary and of the id, with a row for each setup."""
    return key_columns(counted, varying(counted)) | {
        "setup": pd.Series([one.setup for one in counted], dtype=object)
    }


def key_columns(counted: Sequence[SetupCounts], keys: Sequence[str]) -> Columns:
    """Make a column for each of these keys; integers stay integers in a column with nulls."""
    return {key: _column([one.keys[key] for one in counted]) for key in keys}


_NULLABLE = {bool: "boolean", int: "Int64", float: "float64", str: "object"}


def _column(values: list[Value]) -> "pd.Series[Any]":
    types = {type(value) for value in values if value is not None}
    dtype = "object" if str in types or not types else None
    if None in values and types:
        dtype = _NULLABLE[types.pop()]
    return pd.Series(values, dtype=dtype)


def simultaneous_bounds(
    summary: pd.DataFrame, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of the share of an outcome in each setup that hold in all setups at once.

    Parameters
    ----------
    summary : DataFrame
        Its columns `runs` and `name` are read.
    name : str
        One of `SHARES`.

    Returns
    -------
    low, high : float64 arrays, [setup]
        All shares lie within their bounds with a probability of about 95% or more.

    Notes
    -----
    The intervals of the summary, at the level of `bonferroni`.
    """
    return modified_wilson(summary[name], summary["runs"], bonferroni(LEVEL, len(summary)))


def probably_above_half(summary: pd.DataFrame, name: str) -> int:
    """Count the setups in which more than half of the runs have an outcome, with few errors.

    On average at most 5% of the setups that are counted do not belong there: the false discovery
    rate is controlled, not the probability of a single error. In large tables this counts more
    setups than `simultaneous_bounds` are certain of.

    Parameters
    ----------
    summary, name
        As for `simultaneous_bounds`.

    Notes
    -----
    One-sided exact binomial tests of one half, so that setups far below it do not help others, with
    Benjamini and Hochberg's procedure. Y. Benjamini and Y. Hochberg (1995), Journal of the Royal
    Statistical Society B 57:289-300. It holds for independent setups, and for setups that share
    seeds if these depend on each other positively: Y. Benjamini and D. Yekutieli (2001), Annals of
    Statistics 29:1165-1188, doi:10.1214/aos/1013699998.
    """
    from scipy.stats import binom, false_discovery_control

    return int(
        (false_discovery_control(binom.sf(summary[name] - 1, summary["runs"], 0.5)) < ALPHA).sum()
    )


def simultaneous_medians(summary: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of `updates_median` in each setup that hold in all setups at once, nearly.

    Returns
    -------
    low, high : float64 arrays, [setup]
        The intervals of the summary, wider by the ratio of the normal quantiles of both levels, as
        in `simultaneous_bounds`; NaN where a summary has none.
    """
    middle, low, high = (
        summary[f"updates_median{end}"].to_numpy(float, na_value=np.nan)
        for end in ("", "_low", "_high")
    )
    wider = normal_quantile(bonferroni(LEVEL, len(summary))) / normal_quantile(LEVEL)
    return middle - wider * (middle - low), middle + wider * (high - middle)


def settings_of(summary: pd.DataFrame, keys: list[str]) -> list[pd.DataFrame]:
    """Split a summary by the combinations of values of some keys; without keys, into one table."""
    groups = summary.groupby(keys, sort=False, dropna=False) if keys else [((), summary)]
    return [rows for _, rows in groups]


def keys_of(summary: pd.DataFrame, end: str = "setup") -> list[str]:
    """Names of the keys that vary: the columns of a summary before the column `end`.

    The columns `SHAPE` are none if they stand beside `hidden`.
    """
    keys = list(summary.columns[: summary.columns.get_loc(end)])
    return [key for key in keys if key not in SHAPE or "hidden" not in keys]
