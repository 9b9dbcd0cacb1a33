"""From runs to tables: one row per setup, one row per single change between two setups, and both as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.statistics import holm, mcnemar, tango, wilson
from fastbp.analysis.tallies import Runs, Tally, Value, natural, tally, varying, written
from fastbp.analysis.wording import console, sentences
from fastbp.outcomes import CONSTANT, OUTCOMES

__all__ = ["LEVEL", "Runs", "Tally", "console", "contrasts", "sentences", "summary", "tally"]

LEVEL = 0.95
"""Level of every interval."""

SHARES: tuple[str, ...] = (*(outcome.replace("-", "_") for outcome in OUTCOMES), "constant")
"""What the summary counts, as in its column names; `constant` is collapsed and one-class together."""

_FOLLOWS = {"check_every": "batch", "batch": "problem"}
"""Keys whose value may stem from another's: batch = "full" is stored as the problem's rows, and sets check_every's default."""

_ALL_PAIRS = 4
"""Values of a key up to which every two are compared."""


def summary(runs: Runs) -> pd.DataFrame:
    """How the runs of each setup ended.

    Parameters: `runs`, a DataFrame of tidy runs, the path of a store, or what `tally` returned. Returns one row per setup, in
    `tally`'s order, with the columns: the keys that vary; `setup`; `runs`; then for each X of diverged, converged, collapsed,
    one_class, partial and constant (collapsed and one-class together) the count `X`, the share `X_share` (0…1) and its Wilson 95%
    bounds `X_low` and `X_high`; `ever_converged`, runs that some look found converged, and `relapsed`, those among them that did
    not end so. Where some budgets were written in epochs and others in updates, `updates` is shown for all.
    Raises as `tally` does.
    """
    tallies = tally(runs)
    columns = _key_columns(tallies, varying(tallies))
    columns["setup"] = pd.Series([t.setup for t in tallies], dtype=object)
    total = np.array([t.runs for t in tallies], np.int64)
    columns["runs"] = pd.Series(total)
    counts = np.array([t.counts for t in tallies], np.int64).reshape(-1, len(OUTCOMES))
    constant = counts[:, [OUTCOMES.index(outcome) for outcome in CONSTANT]].sum(axis=1)
    for name, count in zip(SHARES, (*counts.T, constant), strict=True):
        low, high = wilson(count, total, LEVEL)
        columns |= {name: pd.Series(count), f"{name}_share": pd.Series(count / total)}
        columns |= {f"{name}_low": pd.Series(low), f"{name}_high": pd.Series(high)}
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
        pairs, mended, broken = _pair(before, after)
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
        columns |= _key_columns(befores, keys)
    n, b, c = np.array(counts, np.int64).reshape(-1, 3).T
    low, high = tango(b, c, n, LEVEL)
    p = mcnemar(b, c)
    columns |= {"pairs": pd.Series(n), "mended": pd.Series(b), "broken": pd.Series(c), "difference": pd.Series((b - c) / n)}
    columns |= {"difference_low": pd.Series(low), "difference_high": pd.Series(high)}
    columns |= {"p": pd.Series(p), "p_holm": pd.Series(holm(p))}
    return pd.DataFrame(columns)


def _key_columns(tallies: Sequence[Tally], keys: Sequence[str]) -> dict[str, pd.Series[Any]]:
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
            alike.setdefault(tuple(written(t)[other] for other in keys if other != key), []).append(t)
        found = []
        for group in alike.values():
            values = list(dict.fromkeys(written(t)[key] for t in group))  # in order, as the tallies are
            numeric = all(not isinstance(value, str) or value.isdigit() for value in values)
            for one, other in combinations(group, 2):
                step = values.index(written(other)[key]) - values.index(written(one)[key])
                near = len(values) <= _ALL_PAIRS or (numeric and step == 1)
                if step and (near or baseline in (one.setup, other.setup)):
                    back = key in base and written(other)[key] == base[key]
                    found.append((other, one) if back else (one, other))
        # The sort is stable: where the values are the same, the other keys' order stays.
        for before, after in sorted(found, key=lambda pair: [natural(t.keys[key]) for t in pair]):
            yield key, before, after


def _pair(before: Tally, after: Tally) -> tuple[int, int, int]:
    """Common seeds, and how many of them the change mended and broke."""
    same = np.array_equal(before.starts, after.starts) and np.array_equal(before.lengths, after.lengths)
    if same:  # eight seeds at a time
        a, b = before.converged, after.converged
        return before.runs, int(np.bitwise_count(~a & b).sum()), int(np.bitwise_count(a & ~b).sum())
    _, i, j = np.intersect1d(before.seeds(), after.seeds(), assume_unique=True, return_indices=True)
    p, q = before.flags()[i], after.flags()[j]
    return i.size, int(np.count_nonzero(~p & q)), int(np.count_nonzero(p & ~q))
