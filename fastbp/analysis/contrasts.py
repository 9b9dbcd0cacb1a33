"""One row per single change between two setups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from fastbp.analysis.counts import Runs, SetupCounts, Value, count_runs, natural, varying, written
from fastbp.analysis.statistics.paired import holm, mcnemar, tango
from fastbp.analysis.summary import LEVEL, key_columns

_FOLLOWS = {"eval_every": "batch", "batch": "problem"}
"""Keys whose value may stem from another's: batch = "full" is stored as the problem's rows, and
sets eval_every's default."""

_LEARNT = ("problem", "targets", "scale_inputs", "target_margin")
"""Keys that change what is learnt."""

_ALL_PAIRS = 4
"""Values of a key up to which every two are compared."""


def contrasts(runs: Runs, baseline: str | None = None) -> pd.DataFrame:
    """What each single change did, over the seeds that both setups ran.

    Compared are setups that differ in exactly one key as written, never `stop`: all pairs where the
    key has up to four values among setups that are otherwise alike, neighbours where a numeric key
    has more, and everything against `baseline`, the id of a setup. A change leads away from the
    baseline's value where that is one end of it, else upwards, words in `count_runs`'s order.

    Returns one row per comparison, by key, value and the other keys, with the columns: `key`,
    `from`, `to`; the varying keys (null in the row's own key; left out where only one varies);
    `pairs`, the seeds; `fixed` (failed → converged), `broken` (converged → failed); `difference`,
    (fixed − broken) / pairs, with Tango's 95% bounds `difference_low` and `difference_high`; `p`,
    McNemar's exact, and `p_holm`, adjusted over the table. Comparisons without common seeds are
    left out. Raises as `count_runs` does.
    """
    counted = count_runs(runs)
    keys = [key for key in varying(counted) if not _follows(counted, key)]
    found, counts = [], []
    for key, before, after in _changes(counted, keys, baseline):
        pairs, fixed, broken, _ = pair(before, after)
        if pairs:
            found.append((key, before, after))
            counts.append((pairs, fixed, broken))
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
    columns |= {
        "pairs": pd.Series(n),
        "fixed": pd.Series(b),
        "broken": pd.Series(c),
        "difference": pd.Series((b - c) / n),
    }
    columns |= {"difference_low": pd.Series(low), "difference_high": pd.Series(high)}
    columns |= {"p": pd.Series(p), "p_holm": pd.Series(holm(p))}
    return pd.DataFrame(columns)


def _follows(counted: Sequence[SetupCounts], key: str) -> bool:
    """Whether the key only varies because another does: each value of that one comes with one value
    of this.
    """
    leader = _FOLLOWS.get(key)
    if leader is None or leader not in varying(counted):
        return False
    return len({(t.keys[leader], t.keys[key]) for t in counted}) == len(
        {t.keys[leader] for t in counted}
    )


def _changes(
    counted: Sequence[SetupCounts], keys: Sequence[str], baseline: str | None
) -> Iterator[tuple[str, SetupCounts, SetupCounts]]:
    """Every (key, from, to) that `contrasts` compares, in the order of its rows."""
    base = next((written(t) for t in counted if t.setup == baseline), {})
    for key in keys:
        if key == "stop":
            continue
        alike: dict[tuple[Value, ...], list[SetupCounts]] = {}
        for t in counted:
            learnt = "" if key in _LEARNT else t.problem  # two files may have one name
            alike.setdefault(
                (learnt, *(written(t)[other] for other in keys if other != key)), []
            ).append(t)
        found = []
        for group in alike.values():
            own = [written(t)[key] for t in group]
            values = {
                value: i for i, value in enumerate(dict.fromkeys(own))
            }  # in order, as the counted are
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


def pair(before: SetupCounts, after: SetupCounts) -> tuple[int, int, int, int]:
    """Common seeds, how many of them the change fixed and broke, and how many converged before
    it.
    """
    same = np.array_equal(before.starts, after.starts) and np.array_equal(
        before.lengths, after.lengths
    )
    if same:  # eight seeds at a time
        a, b = before.converged, after.converged
        fixed, broken, own = (int(np.bitwise_count(each).sum()) for each in (~a & b, a & ~b, a))
        return before.runs, fixed, broken, own
    if before.starts.size == after.starts.size == 1:  # as sweeps make them: no seeds need be sorted
        firsts = [int(t.starts[0]) for t in (before, after)]
        start, stop = (
            max(firsts),
            min(first + t.runs for first, t in zip(firsts, (before, after), strict=True)),
        )
        p, q = (
            t.flags()[start - first : max(start, stop) - first]
            for first, t in zip(firsts, (before, after), strict=True)
        )
    else:
        _, i, j = np.intersect1d(
            before.seeds(), after.seeds(), assume_unique=True, return_indices=True
        )
        p, q = before.flags()[i], after.flags()[j]
    return (
        p.size,
        int(np.count_nonzero(~p & q)),
        int(np.count_nonzero(p & ~q)),
        int(np.count_nonzero(p)),
    )
