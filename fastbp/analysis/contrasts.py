"""One row per single change between two setups."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from fastbp.analysis.counts import (
    Runs,
    SetupCounts,
    Value,
    common_flags,
    count_runs,
    sort_key,
    varying,
)
from fastbp.analysis.statistics.paired import holm, mcnemar, tango
from fastbp.analysis.summary import LEVEL, key_columns

_FOLLOWS = {"eval_every": "batch", "batch": "problem"}
"""Keys that may take their value from another: batch = "full" is stored as the problem's rows, and
sets eval_every's default."""

_LEARNT = ("problem", "targets", "scale_inputs", "target_margin")
"""Keys that change what is learnt."""

_ALL_PAIRS = 4
"""Values of a key up to which every two are compared."""


def contrasts(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """What each single change did, over the seeds that both setups ran.

    Setups are compared if they differ in exactly one key as written, never in `stop`: all pairs if
    the key has up to four values among setups that are otherwise alike, neighbours if a numeric key
    has more, and everything against the baseline. A change leads away from the baseline's value,
    else upwards, words in the order of `count_runs`.

    Parameters
    ----------
    runs : DataFrame, path or list of SetupCounts
        As `count_runs` takes them.
    baseline : str, optional

    Returns
    -------
    DataFrame
        One row per comparison that has common seeds, by key, value and the other keys, with the
        columns: `key`, `from`, `to`; the varying keys (null for the row's own key; left out if only
        one varies); `pairs`, the seeds; `fixed` (failed → converged), `broken` (converged →
        failed); `difference`, (fixed − broken) / pairs, with Tango's 95% bounds `difference_low`
        and `difference_high`; `p`, McNemar's exact, and `p_holm`, adjusted over the table.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    """
    counted = count_runs(runs)
    keys = independent_keys(counted)
    changes, counts = [], []
    for key, before, after in _changes(counted, keys, baseline):
        pairs, fixed, broken, _ = pair(before, after)
        if pairs:
            changes.append((key, before, after))
            counts.append((pairs, fixed, broken))
    ends = [(key, before.keys[key], after.keys[key]) for key, before, after in changes]
    columns = {
        name: pd.Series([end[i] for end in ends], dtype=object)
        for i, name in enumerate(("key", "from", "to"))
    }
    if len(keys) > 1:
        befores = [before._replace(keys=before.keys | {key: None}) for key, before, _ in changes]
        columns |= key_columns(befores, keys)
    n, b, c = np.array(counts, np.int64).reshape(-1, 3).T
    low, high = tango(b, c, n, LEVEL)
    p = mcnemar(b, c)
    results = {"pairs": n, "fixed": b, "broken": c, "difference": (b - c) / n}
    results |= {"difference_low": low, "difference_high": high, "p": p, "p_holm": holm(p)}
    return pd.DataFrame(columns | {name: pd.Series(each) for name, each in results.items()})


def independent_keys(counted: Sequence[SetupCounts]) -> list[str]:
    """Keys that vary, without those that vary only because another key does.

    Such a key has one value for each value of the other.
    """
    keys = varying(counted)
    result = []
    for key in keys:
        leader = _FOLLOWS.get(key)
        leaders = [one.keys[leader] for one in counted] if leader in keys else []
        pairs = {(value, one.keys[key]) for value, one in zip(leaders, counted, strict=False)}
        if not leaders or len(pairs) != len(set(leaders)):
            result.append(key)
    return result


def _changes(
    counted: Sequence[SetupCounts], keys: Sequence[str], baseline: str | None
) -> Iterator[tuple[str, SetupCounts, SetupCounts]]:
    """Every (key, from, to) that `contrasts` compares, in the order of its rows."""
    start = next((one.written for one in counted if one.setup == baseline), {})
    for key in keys:
        if key == "stop":
            continue
        pairs: list[tuple[SetupCounts, SetupCounts]] = []
        for group in _alike(counted, keys, key):
            values = [one.written[key] for one in group]
            place = {value: i for i, value in enumerate(dict.fromkeys(values))}  # sorted already
            numeric = all(not isinstance(value, str) or value.isdigit() for value in place)
            for (one, a), (other, b) in combinations(zip(group, values, strict=True), 2):
                step = place[b] - place[a]
                near = len(place) <= _ALL_PAIRS or (numeric and step == 1)
                if step and (near or baseline in (one.setup, other.setup)):
                    back = key in start and b == start[key]
                    pairs.append((other, one) if back else (one, other))
        # The sort is stable: where the values are the same, the other keys' order stays.
        for before, after in sorted(pairs, key=lambda ends: sort_key(e.keys[key] for e in ends)):
            yield key, before, after


def _alike(
    counted: Sequence[SetupCounts], keys: Sequence[str], key: str
) -> list[list[SetupCounts]]:
    """Groups of setups that differ in at most this one of the keys."""
    groups: dict[tuple[Value, ...], list[SetupCounts]] = {}
    for one in counted:
        learnt = "" if key in _LEARNT else one.problem  # two files may have one name
        others = (one.written[other] for other in keys if other != key)
        groups.setdefault((learnt, *others), []).append(one)
    return list(groups.values())


def pair(before: SetupCounts, after: SetupCounts) -> tuple[int, int, int, int]:
    """Compare two setups over the seeds that both ran.

    Returns
    -------
    pairs, fixed, broken, converged : int
        Common seeds, those that the change fixed and broke, and those that converged before it.
    """
    p, q = common_flags([before, after])
    fixed, broken, converged = (np.count_nonzero(x) for x in (~p & q, p & ~q, p))
    return p.size, int(fixed), int(broken), int(converged)
