"""Compare two stores of the same setups, such as those of two versions or two machines."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.contrasts import pair, paired_effects
from fastbp.analysis.counts import Runs, SetupCounts, count_runs, files_of, varying
from fastbp.analysis.statistics.paired import holm
from fastbp.analysis.statistics.proportions import fisher, newcombe
from fastbp.analysis.summary import LEVEL, Columns, key_columns, share_columns
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import ALTERNATIVE, KEYS
from fastbp.schema.text import and_, grouped, nearest, number, plain, refusal
from fastbp.store.filename import Range

Matches = list[tuple[SetupCounts | None, SetupCounts | None]]
"""Each setup of a store with the same one of another store; None where one of them lacks it."""

_DATA_KEYS = [column.name for column in SETUP_COLUMNS][: list(KEYS).index("hidden")]
"""The keys that change what is learnt: they come before those of the network."""


def comparison(a: Runs, b: Runs, vary: str | None = None) -> pd.DataFrame:
    """Compare the convergence rate of each setup in two stores.

    Two setups are the same if their problems and all keys except `collapse` are equal. Their ids
    may differ, for example between versions of the numerics.

    Parameters
    ----------
    a, b : DataFrame, path or list of SetupCounts
        A table of runs, the path of a store, or the result of `count_runs`.
    vary : str, optional
        A key in which the stores differ on purpose, such as `momentum`: setups that are the same
        apart from it are compared.

    Returns
    -------
    DataFrame
        One row per setup, in the order of `count_runs`, with the columns:

        - the keys that vary; `setup_a` and `setup_b`, its id in each store, null without runs;
          with `vary`, the values of that key in each store, such as `momentum_a` and `momentum_b`;
        - `runs_a`, `converged_a`, `converged_share_a`, `constant_share_a` and the same for b;
        - `identical`, whether both stores hold the same rows bit for bit, judged by the digests in
          their file names; null where these do not tell;
        - `pairs`, the number of seeds that both stores ran; `paired_a` and `paired_b`, how many of
          them converge in each store; `fixed` (converged in b only) and `broken` (in a only);
        - `difference`, the convergence rate of b minus that of a: over the pairs, with Tango's 95%
          bounds and McNemar's exact `p`, or over all runs if there are no common seeds, with
          Newcombe's bounds and Fisher's exact `p`; `p_holm`, adjusted by Holm over all rows.

    Raises
    ------
    FileNotFoundError, DamagedFileError, ValueError
        As `count_runs` does.
    SweepError
        If `vary` is no key or does not differ, or a store has several setups that differ in it
        alone. It is a ValueError.
    """
    first, second, key = count_runs(a), count_runs(b), column_of(vary)
    matches = _matched(first, second) if key is None else _varied(first, second, key)
    return _compared(matches, key, (_digests(a), _digests(b)))


def _compared(
    matches: Matches, key: str | None, digests: tuple[dict[str, dict[Range, str]], ...]
) -> pd.DataFrame:
    """Make the table of `comparison` from pairs of setups and the digests of both stores' files."""
    setups = [either for one, other in matches if (either := one or other)]
    columns = key_columns(setups, [each for each in varying(setups) if each != key])
    sides = {"_a": [one for one, _ in matches], "_b": [other for _, other in matches]}
    columns |= {
        f"setup{end}": pd.Series([one and one.setup for one in side], dtype=object)
        for end, side in sides.items()
    }
    for end, side in sides.items():
        if key:
            columns[f"{key}{end}"] = pd.Series(
                [one and one.keys.get(key) for one in side], dtype=object
            )
        columns |= share_columns(side, end)
    columns["identical"] = pd.Series(
        [_is_identical(one, other, *digests) for one, other in matches], dtype="boolean"
    )
    paired = [pair(one, other) if one and other else (0, 0, 0, 0) for one, other in matches]
    n, fixed, broken, before = np.array(paired, np.int64).reshape(-1, 4).T
    results = {"pairs": n, "paired_a": before, "paired_b": before + fixed - broken}
    results |= {"fixed": fixed, "broken": broken} | _differences(n, fixed, broken, columns)
    return pd.DataFrame(columns | {name: pd.Series(each) for name, each in results.items()})


def _differences(
    n: NDArray[np.int64], fixed: NDArray[np.int64], broken: NDArray[np.int64], columns: Columns
) -> dict[str, NDArray[Any]]:
    """Make the columns of the difference: over the pairs, or over all runs where there are none."""
    results = paired_effects(n, fixed, broken)
    difference, low, high, p = results.values()
    counts = zip(
        *(columns[name].tolist() for name in ("converged_a", "runs_a", "converged_b", "runs_b")),
        strict=True,
    )
    for i, (ended_a, runs_a, ended_b, runs_b) in enumerate(counts):
        if not n[i] and runs_a and runs_b:
            difference[i] = ended_b / runs_b - ended_a / runs_a
            low[i], high[i] = newcombe(ended_a, runs_a, ended_b, runs_b, LEVEL)
            p[i] = fisher(ended_a, runs_a, ended_b, runs_b)
    return results | {"p_holm": holm(p)}


def _matched(
    a: Sequence[SetupCounts], b: Sequence[SetupCounts], vary: str | None = None
) -> Matches:
    """Match the setups of store a with those of store b; setups found only in b come last.

    Setups with equal ids are matched first, so that no other setup takes their match. The key
    `vary` may differ.
    """
    left = {one.setup: one for one in b}
    matches = {one.setup: left.pop(one.setup) for one in a if one.setup in left}
    alike = grouped(left.values(), (_identity(one, vary) for one in left.values()))
    for one in a:
        if one.setup not in matches:
            others = [other for other in alike.get(_identity(one, vary), []) if other.setup in left]
            if match := next(
                (each for each in others if vary in _DATA_KEYS or _learns_the_same(one, each)), None
            ):
                matches[one.setup] = left.pop(match.setup)
    return [*((one, matches.get(one.setup)) for one in a), *((None, one) for one in left.values())]


def column_of(key: str | None) -> str | None:
    """The column of a key of setups; None for None, SweepError if there is no such key."""
    columns = {each.name: each.column for each in KEYS.values() if each.in_id}
    if key is None or key in columns.values():
        return key
    if key not in columns:
        raise SweepError([f"vary: {refusal(key, 'a key of [setup]')}{nearest(key, columns)}"])
    return columns[key]


def only_difference(a: Runs, b: Runs) -> str | None:
    """The one key without which all setups of two stores match; None if there is none."""
    first, second = count_runs(a), count_runs(b)
    for key in (column.name for column in SETUP_COLUMNS if column.name != "collapse"):
        with suppress(SweepError):
            if all(one and other for one, other in _varied(first, second, key)):
                return key
    return None


def _varied(a: Sequence[SetupCounts], b: Sequence[SetupCounts], key: str) -> Matches:
    """Match setups that are the same apart from one key. Raises SweepError as `comparison` does."""
    for name, side in (("first", a), ("second", b)):
        for alike in grouped(side, (_identity(one, key) for one in side)).values():
            if len(alike) > 1:
                texts = [
                    number(value) if type(value) in (int, float) else plain(str(value))
                    for value in (one.written.get(key) for one in alike)
                ]
                values = and_([*texts[:4], f"{len(texts) - 4:,} more"] if texts[5:] else texts)
                raise SweepError(
                    [
                        f"vary: the {name} store has setups that differ in {key} alone ({values}), "
                        "allowed: one of them"
                    ]
                )
    matches = _matched(a, b, key)
    pairs = [
        (one.written.get(key), other.written.get(key)) for one, other in matches if one and other
    ]
    sides = [sorted({str(one.written.get(key)) for one in side}) for side in (a, b)]
    if all(one == other for one, other in pairs) and (pairs or sides[0] == sides[1]):
        raise SweepError([f"vary: {refusal(key, 'a key in which the two stores differ')}"])
    return matches


def _identity(one: SetupCounts, apart_from: str | None = None) -> tuple[Any, ...]:
    """The values of all keys except `collapse`: they are equal if two setups are the same.

    A key that does not count is left out, and of the two keys of the budget both.
    """
    out = {"collapse", apart_from, ALTERNATIVE.get(apart_from or "")}
    return tuple(one.written.get(each.name) for each in SETUP_COLUMNS if each.name not in out)


def _learns_the_same(one: SetupCounts, other: SetupCounts) -> bool:
    """Whether two setups with the same keys have the same problem.

    Two files of one name may differ: they count as the same only if their digests are equal.
    """
    if one.problem and other.problem:
        return one.problem == other.problem
    problem = one.keys.get("problem")
    return problem is not None and not str(problem).startswith("file:")


def _digests(runs: Runs) -> dict[str, dict[Range, str]]:
    """Digest of each file's rows, by setup id and range of seeds; empty if `runs` is not a path."""
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
    """Whether two setups have the same rows, judged by the digests `a` and `b` of their files.

    The result is None if the files cover different ranges of seeds or the ids differ.
    """
    if not (one and other and a and b) or one.setup != other.setup:
        return None
    first, second = a.get(one.setup), b.get(other.setup)  # they may have gone since
    return first == second if first and second and first.keys() == second.keys() else None
