"""From runs to tables: one row per setup, one row per single change between two setups, and both as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.sketches import THRESHOLDS
from fastbp.analysis.statistics import Survival, holm, kaplan_meier, mcnemar, restart, tango, wilson
from fastbp.analysis.statistics import attribution as attributed
from fastbp.analysis.tallies import Runs, Tally, Value, natural, tally, varying, written
from fastbp.analysis.wording import console, sentences
from fastbp.outcomes import CONSTANT, OUTCOMES

__all__ = [
    "LEVEL", "Runs", "Tally", "attribution", "collapsing", "console", "contrasts", "density", "sentences", "summary", "survival",
    "tally",
]  # fmt: skip

LEVEL = 0.95
"""Level of every interval."""

SHARES: tuple[str, ...] = (*(outcome.replace("-", "_") for outcome in OUTCOMES), "constant")
"""What the summary counts, as in its column names; `constant` is collapsed and one-class together."""

_FOLLOWS = {"check_every": "batch", "batch": "problem"}
"""Keys whose value may stem from another's: batch = "full" is stored as the problem's rows, and sets check_every's default."""

_LEARNT = ("problem", "targets", "scale_inputs", "target_margin")
"""Keys that change what is learnt."""

_ALL_PAIRS = 4
"""Values of a key up to which every two are compared."""


def summary(runs: Runs) -> pd.DataFrame:
    """How the runs of each setup ended.

    Parameters: `runs`, a DataFrame of tidy runs, the path of a store, or what `tally` returned. Returns one row per setup, in
    `tally`'s order, with the columns: the keys that vary; `setup`; `runs`; then for each X of diverged, converged, collapsed,
    one_class, partial and constant (collapsed and one-class together) the count `X`, the share `X_share` (0…1) and its Wilson 95%
    bounds `X_low` and `X_high`; `updates_median`, after which half of the runs had converged (Kaplan-Meier, `converged_at`
    censored at the budget; null where fewer do), with `updates_median_low` and `updates_median_high`; `restart_at`, the updates
    after which giving up and drawing a new seed makes a success cheapest, and `restart_cost`, the expected updates that one then
    takes, with bootstrap 95% bounds `…_low` and `…_high` (null with no success; a cost without upper bound is ∞);
    `ever_converged`, runs that some look found converged, and `relapsed`, those among them that did not end so. Where some
    budgets were written in epochs and others in updates, `updates` is shown for all. Raises as `tally` does.
    """
    tallies = tally(runs)
    columns = key_columns(tallies, varying(tallies))
    columns["setup"] = pd.Series([t.setup for t in tallies], dtype=object)
    total = np.array([t.runs for t in tallies], np.int64)
    columns["runs"] = pd.Series(total)
    for name, count in _counts(tallies).items():
        low, high = wilson(count, total, LEVEL)
        columns |= {name: pd.Series(count), f"{name}_share": pd.Series(count / total)}
        columns |= {f"{name}_low": pd.Series(low), f"{name}_high": pd.Series(high)}
    columns |= _updates("updates_median", [_survival(t).median() for t in tallies])
    restarts = [restart(t.times, t.events, t.runs, LEVEL) for t in tallies]
    columns |= _updates("restart_at", [found[:3] for found in restarts])
    for i, name in enumerate(("", "_low", "_high"), 3):
        columns[f"restart_cost{name}"] = pd.Series([found[i] for found in restarts], dtype=np.float64)
    columns["ever_converged"] = pd.Series([t.ever_converged for t in tallies], dtype=np.int64)
    columns["relapsed"] = pd.Series([t.relapsed for t in tallies], dtype=np.int64)
    return pd.DataFrame(columns)


def contrasts(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """What each single change did, over the seeds that both setups ran.

    Compared are setups that differ in exactly one key as written, never `stop`: all pairs where the key has up to four values
    among setups that are otherwise alike, neighbours where a numeric key has more, and everything against `baseline`, the id of a
    setup. A change leads away from the baseline's value where that is one end of it, else upwards, words in `tally`'s order.

    Returns one row per comparison, by key, value and the other keys, with the columns: `key`, `from`, `to`; the varying keys
    (null in the row's own key; left out where only one varies); `pairs`, the seeds; `mended` (failed → converged), `broken`
    (converged → failed); `difference`, (mended − broken) / pairs, with Tango's 95% bounds `difference_low` and `difference_high`;
    `p`, McNemar's exact, and `p_holm`, adjusted over the table. Comparisons without common seeds are left out.
    Raises as `tally` does.
    """
    tallies = tally(runs)
    keys = [key for key in varying(tallies) if not _follows(tallies, key)]
    found, counts = [], []
    for key, before, after in _changes(tallies, keys, baseline):
        pairs, mended, broken, _ = pair(before, after)
        if pairs:
            found.append((key, before, after))
            counts.append((pairs, mended, broken))
    columns = {
        "key": pd.Series([key for key, _, _ in found], dtype=object),
        "from": pd.Series([before.keys[key] for key, before, _ in found], dtype=object),
        "to": pd.Series([after.keys[key] for key, _, after in found], dtype=object),
    }
    if len(keys) > 1:
        befores = [before._replace(keys=before.keys | {key: None}) for key, before, _ in found]
        columns |= key_columns(befores, keys)
    n, b, c = np.array(counts, np.int64).reshape(-1, 3).T
    low, high = tango(b, c, n, LEVEL)
    p = mcnemar(b, c)
    columns |= {"pairs": pd.Series(n), "mended": pd.Series(b), "broken": pd.Series(c), "difference": pd.Series((b - c) / n)}
    columns |= {"difference_low": pd.Series(low), "difference_high": pd.Series(high)}
    columns |= {"p": pd.Series(p), "p_holm": pd.Series(holm(p))}
    return pd.DataFrame(columns)


def _counts(tallies: Sequence[Tally | None]) -> dict[str, NDArray[np.int64]]:
    """How many runs of each setup have each of `SHARES`; none where there is no setup."""
    counts = np.array([t.counts if t else [0] * len(OUTCOMES) for t in tallies], np.int64).reshape(-1, len(OUTCOMES))
    constant = counts[:, [OUTCOMES.index(outcome) for outcome in CONSTANT]].sum(axis=1)
    return dict(zip(SHARES, (*counts.T, constant), strict=True))


def share_columns(tallies: Sequence[Tally | None], end: str) -> dict[str, pd.Series[Any]]:
    """Runs, and the shares that are looked for first, as columns whose names end so."""
    counts = _counts(tallies)
    total = np.array([t.runs if t else 0 for t in tallies], np.int64)
    with np.errstate(invalid="ignore"):
        shares = {name: counts[name] / total for name in ("converged", "constant")}
    columns = {"runs": total, "converged": counts["converged"]} | {f"{name}_share": share for name, share in shares.items()}
    return {f"{name}{end}": pd.Series(values) for name, values in columns.items()}


def _updates(name: str, values: Sequence[tuple[float, float, float]]) -> dict[str, pd.Series[Any]]:
    """Numbers of updates and their bounds as columns, NaN as null."""
    table = np.array(values, float).reshape(-1, 3).T
    return {f"{name}{bound}": whole_numbers(column) for bound, column in zip(("", "_low", "_high"), table, strict=True)}


def whole_numbers(values: ArrayLike) -> pd.Series[Any]:
    """Whole numbers as a column, NaN as null."""
    return pd.Series(np.asarray(values, float), dtype="Float64").replace(np.nan, pd.NA).astype("Int64")


def _survival(one: Tally) -> Survival:
    """Updates to convergence: a run that no look found converged is censored at its budget."""
    last = int(max(_budget(one), one.times.max(initial=1)))
    times = one.times if one.times.size and one.times[-1] == last else np.append(one.times, last)
    events = np.append(one.events, [0] * (times.size - one.times.size))
    censored = np.append(np.zeros(times.size - 1), one.runs - one.ever_converged)
    return kaplan_meier(times, events, censored, LEVEL)


def pooled_median(tallies: Sequence[Tally]) -> float:
    """The updates after which half of the runs of one or more setups with one budget had converged, NaN where fewer do."""
    times, place = np.unique(np.concatenate([t.times for t in tallies]), return_inverse=True)
    events = np.bincount(place, np.concatenate([t.events for t in tallies]), len(times)).astype(np.int64)
    counts = np.sum([t.counts for t in tallies], axis=0)
    return _survival(tallies[0]._replace(times=times, events=events, counts=counts)).median()[0]


def _budget(one: Tally) -> int:
    budget = one.keys.get("updates")
    return budget if isinstance(budget, int) else 0


def survival(runs: Runs) -> pd.DataFrame:
    """How many runs have not converged yet, over updates: Kaplan-Meier curves, runs censored at their budget.

    Returns a row for each setup and number of updates at which a look found some converged, and for its budget, with the columns:
    the keys that vary; `setup`; `after`, updates; `at_risk`, runs that had not converged before; `share`, of runs that had not
    converged then, 0…1, with 95% bounds `low` and `high` (log-log Greenwood, null where the share is 0 or 1).
    Raises as `tally` does.
    """
    tallies = tally(runs)
    curves = [_survival(t) for t in tallies]
    columns = _repeated(tallies, [len(curve.times) for curve in curves])
    for name, i in (("after", 0), ("at_risk", 1), ("share", 2), ("low", 3), ("high", 4)):
        values = np.concatenate([curve[i] for curve in curves]) if curves else np.empty(0)
        columns[name] = pd.Series(values, dtype=np.int64 if i < 2 else np.float64)
    return pd.DataFrame(columns)


def collapsing(runs: Runs) -> pd.DataFrame:
    """How many runs would be collapsed by other values of `collapse`, and how many were as constant before the first update.

    Returns a row for each setup and threshold, with the columns: the keys that vary; `setup`; `runs`; `threshold`, a share of the
    target range; `collapsed` and `collapsed_share`, runs that are neither diverged nor converged and whose spread is below it;
    `born` and `born_share`, runs whose `spread_start` is. Needs the columns loss, spread and spread_start. Raises as `tally`.
    """
    tallies = tally(runs, pictures=True)
    columns = _repeated(tallies, [len(THRESHOLDS)] * len(tallies))
    total = np.repeat([t.runs for t in tallies], len(THRESHOLDS))
    columns |= {"runs": pd.Series(total, dtype=np.int64), "threshold": pd.Series(np.tile(THRESHOLDS, len(tallies)))}
    sketches = [t.sketch for t in tallies if t.sketch]
    for name, parts in (("collapsed", [s.collapsing for s in sketches]), ("born", [s.born for s in sketches])):
        counts = np.concatenate(parts) if parts else np.empty(0)
        columns |= {name: pd.Series(counts, dtype=np.int64), f"{name}_share": pd.Series(counts / total)}
    return pd.DataFrame(columns)


def born(tallies: Sequence[Tally]) -> pd.Series[Any] | None:
    """The share of each setup's runs that were as constant as collapsed ones are before their first update.

    By the nearest of the thresholds that are counted. None where some runs were counted without what pictures need.
    """
    shares = []
    for t in tallies:
        collapse = t.keys.get("collapse")
        if t.sketch is None or not isinstance(collapse, float):
            return None
        shares.append(t.sketch.born[int(np.argmin(np.abs(THRESHOLDS - collapse)))] / t.runs)
    return pd.Series(shares, dtype=np.float64)


def density(runs: Runs) -> pd.DataFrame:
    """Where runs lie in the plane of the spread of their outputs and their loss.

    Returns a row for each setup, outcome and cell of the plane in which there are runs, with the columns: the keys that vary;
    `setup`; `outcome`; `spread` and `loss` in the middle of the cell; `runs` in it. Needs the columns loss, spread and
    spread_start. Raises as `tally` does.
    """
    tallies = tally(runs, pictures=True)
    sketches = [t.sketch for t in tallies if t.sketch]
    columns = _repeated(tallies, [len(sketch.cells) for sketch in sketches])
    points = [sketch.points() for sketch in sketches]
    columns["outcome"] = pd.Series([str(outcome) for outcomes, _, _ in points for outcome in outcomes], dtype=object)
    for i, name in enumerate(("spread", "loss"), 1):
        columns[name] = pd.Series(np.concatenate([np.asarray(point[i]) for point in points]) if points else [], dtype=np.float64)
    columns["runs"] = pd.Series(np.concatenate([s.cell_runs for s in sketches]) if sketches else [], dtype=np.int64)
    return pd.DataFrame(columns)


def _repeated(tallies: Sequence[Tally], times: Sequence[int]) -> dict[str, pd.Series[Any]]:
    """The varying keys and the id of each setup, so many times."""
    columns = key_columns(tallies, varying(tallies)) | {"setup": pd.Series([t.setup for t in tallies], dtype=object)}
    rows = np.repeat(np.arange(len(tallies)), times)
    return {name: column.iloc[rows].reset_index(drop=True) for name, column in columns.items()}


MOST_BOXES = 400
"""Setups to which the parts of changes are told: of more, those whose share differs most."""

MOST_CHANGES = 6
"""Keys of which parts are told: twice as many setups are needed for each more."""


def attribution(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """What each of several changes made at once has to do with the change of the share converged.

    From the `baseline`, the id of a setup (without one, the first in `tally`'s order), to every setup that differs from it in at
    least two keys as written, never in `stop`, where the setups with every subset of these changes are there, and in as many keys
    as any such setup does; over the seeds that all of them ran. Where a sweep has put more seeds into some setups than into
    others, only those that have no fewer than the baseline are looked at, if there is such a setup among them.

    Returns one row per such setup and key, with the columns: `from` and `to`, the two setups; `key`, `from_value` and `to_value`;
    `pairs`, the seeds; `total_points`, how many percentage points the share rose; and of these, by this change when it is made
    first, `alone_points`; when it is made last, `last_points`; and on average over all orders of making the changes (Shapley),
    `average_points`; each with Student's 95% bounds `…_low` and `…_high`. Raises as `tally` does.
    """
    tallies = tally(runs)
    keys = [key for key in varying(tallies) if not _follows(tallies, key) and key != "stop"]
    rows = []
    for start, boxes in _boxes(tallies, keys, baseline):
        for changed, corners in boxes:
            flags = common_flags(corners)
            if not flags.shape[1]:
                continue
            total = 100 * float(flags[-1].mean() - flags[0].mean())
            for key, part in zip(changed, attributed(flags, LEVEL), strict=True):
                row = {"from": start.setup, "to": corners[-1].setup, "key": key, "from_value": start.keys[key]}
                row |= {"to_value": corners[-1].keys[key], "pairs": flags.shape[1], "total_points": total}
                for name, value in part._asdict().items():
                    ends = zip(("", "_low", "_high"), value, strict=True)
                    row |= {f"{name}_points{end}": 100 * each for end, each in ends}
                rows.append(row)
    words, whole = ["from", "to", "key", "from_value", "to_value"], ["pairs"]
    reals = [f"{name}_points{end}" for name in ("alone", "last", "average") for end in ("", "_low", "_high")]
    names = [*words, *whole, "total_points", *reals]
    types: dict[str, Any] = dict.fromkeys(words, object) | dict.fromkeys(whole, np.int64)
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=types.get(name, np.float64)) for name in names})


def _boxes(
    tallies: Sequence[Tally], keys: Sequence[str], baseline: str | None
) -> Iterator[tuple[Tally, list[tuple[list[str], list[Tally]]]]]:
    """The start, and of each setup farthest from it the keys that differ and the setups with every subset of these changes, where
    bit i says that key i is changed."""
    start = next((t for t in tallies if t.setup == baseline), tallies[0] if tallies else None)
    if start is None:
        return
    alike = [t for t in tallies if t.keys.get("stop") == start.keys.get("stop")]
    found = _cornered(start, [t for t in alike if t.runs >= start.runs], keys) or _cornered(start, alike, keys)
    most = max((len(changed) for changed, _ in found), default=0)
    farthest = [box for box in found if len(box[0]) == most]
    share = _shares([start, *(corners[-1] for _, corners in farthest)])
    largest = np.argsort(-np.abs(share[1:] - share[0]), kind="stable")[:MOST_BOXES]
    yield start, [farthest[i] for i in sorted(largest.tolist())]


def _cornered(start: Tally, alike: Sequence[Tally], keys: Sequence[str]) -> list[tuple[list[str], list[Tally]]]:
    """Of each of these setups that is two changes or more away from the start: what `_boxes` says."""
    of = {tuple(written(t)[key] for key in keys): t for t in alike}
    if len(of) < len(alike):
        return []  # setups that differ in what is no key as written
    here = written(start)
    found: list[tuple[list[str], list[Tally]]] = []
    for values in of:
        changed = [key for key, value in zip(keys, values, strict=True) if value != here[key]]
        if not 2 <= len(changed) <= MOST_CHANGES:
            continue
        there = dict(zip(keys, values, strict=True))
        subsets = [[key for i, key in enumerate(changed) if bits >> i & 1] for bits in range(1 << len(changed))]
        corners = [of.get(tuple(there[key] if key in subset else here[key] for key in keys)) for subset in subsets]
        if None not in corners:
            found.append((changed, [corner for corner in corners if corner]))
    return found


def _shares(tallies: Sequence[Tally]) -> NDArray[np.float64]:
    """The share of each setup that converges."""
    shares: NDArray[np.float64] = _counts(tallies)["converged"] / np.array([t.runs for t in tallies])
    return shares


def common_flags(tallies: Sequence[Tally]) -> NDArray[np.bool_]:
    """Which runs converged, [setup, seed], of the seeds that all of one or more setups ran."""
    first = tallies[0]
    if all(np.array_equal(first.starts, t.starts) and np.array_equal(first.lengths, t.lengths) for t in tallies):
        return np.stack([t.flags() for t in tallies])
    seeds = first.seeds()
    for other in tallies[1:]:
        seeds = np.intersect1d(seeds, other.seeds(), assume_unique=True)
    return np.stack([t.flags()[np.searchsorted(t.seeds(), seeds)] for t in tallies])


def key_columns(tallies: Sequence[Tally], keys: Sequence[str]) -> dict[str, pd.Series[Any]]:
    """The given keys as columns: whole numbers stay whole beside nulls."""
    return {key: _column([t.keys[key] for t in tallies]) for key in keys}


def _column(values: list[Value]) -> pd.Series[Any]:
    some = {type(value) for value in values if value is not None}
    if None in values and some:
        return pd.Series(values, dtype={bool: "boolean", int: "Int64", float: "float64", str: "object"}[some.pop()])
    return pd.Series(values, dtype="object" if str in some or not some else None)


def _follows(tallies: Sequence[Tally], key: str) -> bool:
    """Whether the key only varies because another does: each value of that one comes with one value of this."""
    leader = _FOLLOWS.get(key)
    if leader is None or leader not in varying(tallies):
        return False
    return len({(t.keys[leader], t.keys[key]) for t in tallies}) == len({t.keys[leader] for t in tallies})


def _changes(tallies: Sequence[Tally], keys: Sequence[str], baseline: str | None) -> Iterator[tuple[str, Tally, Tally]]:
    """Every (key, from, to) that `contrasts` compares, in the order of its rows."""
    base = next((written(t) for t in tallies if t.setup == baseline), {})
    for key in keys:
        if key == "stop":
            continue
        alike: dict[tuple[Value, ...], list[Tally]] = {}
        for t in tallies:
            learnt = "" if key in _LEARNT else t.problem  # two files may have one name
            alike.setdefault((learnt, *(written(t)[other] for other in keys if other != key)), []).append(t)
        found = []
        for group in alike.values():
            own = [written(t)[key] for t in group]
            values = {value: i for i, value in enumerate(dict.fromkeys(own))}  # in order, as the tallies are
            numeric = all(not isinstance(value, str) or value.isdigit() for value in values)
            for (one, a), (other, b) in combinations(zip(group, own, strict=True), 2):
                step = values[b] - values[a]
                near = len(values) <= _ALL_PAIRS or (numeric and step == 1)
                if step and (near or baseline in (one.setup, other.setup)):
                    back = key in base and b == base[key]
                    found.append((other, one) if back else (one, other))
        # The sort is stable: where the values are the same, the other keys' order stays.
        for before, after in sorted(found, key=lambda pair: [natural(t.keys[key]) for t in pair]):
            yield key, before, after


def pair(before: Tally, after: Tally) -> tuple[int, int, int, int]:
    """Common seeds, how many of them the change mended and broke, and how many converged before it."""
    same = np.array_equal(before.starts, after.starts) and np.array_equal(before.lengths, after.lengths)
    if same:  # eight seeds at a time
        a, b = before.converged, after.converged
        mended, broken, own = (int(np.bitwise_count(each).sum()) for each in (~a & b, a & ~b, a))
        return before.runs, mended, broken, own
    if before.starts.size == after.starts.size == 1:  # as sweeps make them: no seeds need be sorted
        firsts = [int(t.starts[0]) for t in (before, after)]
        start, stop = max(firsts), min(first + t.runs for first, t in zip(firsts, (before, after), strict=True))
        p, q = (t.flags()[start - first : max(start, stop) - first] for first, t in zip(firsts, (before, after), strict=True))
    else:
        _, i, j = np.intersect1d(before.seeds(), after.seeds(), assume_unique=True, return_indices=True)
        p, q = before.flags()[i], after.flags()[j]
    return p.size, int(np.count_nonzero(~p & q)), int(np.count_nonzero(p & ~q)), int(np.count_nonzero(p))
