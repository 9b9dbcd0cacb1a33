"""Sentences about what changes of the baseline do, alone and together.

A row of a comparison is a row of `contrasts`: two setups that differ in one key.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.contrasts import GOALS
from fastbp.analysis.summary import ALPHA, keys_of, settings_of
from fastbp.reporting.phrases import (
    Record,
    apart,
    change_of,
    has_effect,
    is_end,
    named,
    plain,
    rivals,
    row_of,
    setting,
    span_of,
    starts_at,
    unchanged_keys,
)
from fastbp.schema.text import and_, first_of, grouped, percent, plural, points

_LOW, _HIGH = "difference_simultaneous_low", "difference_simultaneous_high"
"""The columns of the interval of a difference that holds in all comparisons at once."""

TASKS = (*GOALS, "problem", "targets")
"""Keys that change what a network must reach or learn: another one is no better setup."""

_PLURALS = ("updates", "epochs")
"""Keys whose names are plural."""

MAX_CHANGES = 3
"""Largest number of changes that a sentence lists one by one."""


def best_marks(summary: pd.DataFrame) -> dict[str, str]:
    """Mark, of each task, the setups that converge most often, by their ids.

    The mark is `best`, or `highest` if others may be as good. Setups that are all alike have none.
    """
    marks: dict[str, str] = {}
    for rows in settings_of(summary, [key for key in TASKS if key in keys_of(summary)]):
        highest = rows[rows["converged_share"] == rows["converged_share"].max()]
        if len(highest) < len(rows):
            mark = "highest" if rivals(rows, highest.iloc[0]) else "best"
            marks |= dict.fromkeys(highest["setup"], mark)
    return marks


class Changes(NamedTuple):
    """The changes of a single key of the baseline, and the tables that they come from.

    Attributes
    ----------
    start : mapping
        The baseline's row of the summary.
    direct : list of dict
        The rows of `contrasts` that compare the baseline with another setup.
    rows : list of dict
        All rows of `contrasts`.
    setups : list of dict
        All rows of the summary.
    keys : list of str
        Names of the keys that vary.
    """

    start: Record
    direct: list[dict[Any, Any]]
    rows: list[dict[Any, Any]]
    setups: list[dict[Any, Any]]
    keys: list[str]

    def end_of(self, row: Record) -> Record | None:
        """Find the summary's row of the setup that a change leads to; None if there is none."""
        return next((other for other in self.setups if is_end(row, "to", other)), None)

    def rates(self, row: Record, name: str = "converged") -> str:
        """Write the shares of an outcome before and after a change: ` from 0% to 84.5%`.

        Empty unless both setups ran the compared seeds and no others: then the difference is
        between other shares.
        """
        end = self.end_of(row)
        if end is None or not self.start["runs"] == end["runs"] == row["pairs"]:
            return ""
        return f" from {percent(self.start[f'{name}_share'])} to {percent(end[f'{name}_share'])}"

    def shown(self, sign: int) -> list[dict[Any, Any]]:
        """The baseline's significant changes that help (1) or harm (−1), the largest first."""
        rows = [row for row in self.direct if has_effect(row) and sign * row["difference"] > 0]
        return sorted(rows, key=lambda row: -abs(row["difference"]))


def changes_of(
    summary: pd.DataFrame, contrasts: pd.DataFrame, baseline: str | None
) -> Changes | None:
    """Collect the changes of the baseline that compare it with other setups of the same task.

    Parameters
    ----------
    summary, contrasts : DataFrame
        The results of the functions of these names for the same runs.
    baseline : str or None
        Id of the setup from which changes start.

    Returns
    -------
    Changes or None
        None without a baseline, or if none of its changes is compared.
    """
    start, rows = row_of(summary, baseline), contrasts.to_dict("records")
    direct = [row for row in rows if starts_at(row, start) and row["key"] not in TASKS]
    if start is None or not direct:
        return None
    return Changes(start, direct, rows, summary.to_dict("records"), keys_of(summary))


def by_change(rows: Sequence[Record]) -> list[list[Record]]:
    """Group rows of `contrasts` with the same key, `from` and `to`; other keys may differ."""
    return list(grouped(rows, map(change_of, rows)).values())


def headline(changes: Changes) -> str:
    """Say in a few words which single change helps: `More updates help in every setting`."""
    helpful = changes.shown(1)
    if not helpful:
        return "No single change measurably helps"
    best, end = helpful[0], changes.end_of(helpful[0])
    assert end is not None
    alike = [row for row in changes.rows if change_of(row) == change_of(best)]
    if len(alike) > 1 and all(_sign(row) > 0 for row in alike):
        return f"{_subject(best)} {'help' if best['key'] in _PLURALS else 'helps'} in every setting"
    return _headline(best, end, alone=False)


def best_change(changes: Changes) -> str:
    """Say which single change of the baseline raises the convergence rate most, and by how much."""
    helpful = changes.shown(1)
    if not helpful:
        return _no_help(changes.direct)
    best = helpful[0]
    end = changes.end_of(best)
    assert end is not None
    ties = [
        change_of(row) for row in changes.direct if row is not best and row[_HIGH] >= best[_LOW]
    ]
    as_good = f", and {and_(first_of(ties, MAX_CHANGES))} may raise it as much" * bool(ties)
    return (
        f"{_headline(best, end, len(helpful) > 1 and not ties)}: going from {named(best['from'])} "
        f"to {named(best['to'])} raises the convergence rate{changes.rates(best)} "
        f"({_difference(changes, best)}){as_good}; the share of runs that give the same answer to "
        f"every input {_constant(changes, best) or 'does not measurably change'}."
    )


def _no_help(direct: Sequence[Record]) -> str:
    """Say that no single change of the baseline is seen to help, and what may be unseen."""
    names = list(map(change_of, direct))
    tried = and_(names) if len(names) <= 2 * MAX_CHANGES else f"{len(names)} changes"
    fewer = "" if any(map(has_effect, direct)) else ", or fewer"
    gain, loss = max(row[_HIGH] for row in direct), min(row[_LOW] for row in direct)
    unseen = f" A gain of up to {_size(gain)}" * (gain > 0)
    unseen += f" or a loss of up to {_size(loss)}" * bool(unseen and fewer)
    return (
        f"No single change of the baseline makes measurably more runs converge{fewer}: {tried}."
        + f"{unseen} may be unseen." * bool(unseen)
    )


def _size(difference: float) -> str:
    """Write how large a difference is, without its sign: `3.5 points`."""
    return f"{points(abs(difference)).lstrip('+')} points"


def _constant(changes: Changes, row: Record, tests: int = 1) -> str:
    """Say how a change moves the share of constant answers; empty if that is not shown.

    `tests`: the number of changes of which it is tested (Bonferroni).
    """
    if not row["constant_p"] * tests < ALPHA:
        return ""
    rates = changes.rates(row, "constant") or f" by {_size(row['constant_difference'])}"
    return f"{'rises' if row['constant_difference'] > 0 else 'falls'}{rates}"


def _headline(row: Record, end: Record, alone: bool) -> str:
    """Say what helps, and how much: `More updates fix it`; `alone`: surely more than others do."""
    fixes, helps = ("fix", "help") if row["key"] in _PLURALS else ("fixes", "helps")
    verb, most = (f"{fixes} it", " best") if end["converged_low"] >= 0.5 else (helps, " most")
    return f"{_subject(row)} {verb}{most * alone}"


def _subject(row: Record) -> str:
    """Name a change to begin a sentence: `More updates`, `A smaller lr`, `Changing order`."""
    key, before, after = row["key"], _number(row["from"]), _number(row["to"])
    if before is None or after is None:
        return f"Changing {key}"
    words = ("More", "Fewer") if key in _PLURALS else ("A larger", "A smaller")
    return f"{words[after < before]} {key}"


def _number(value: Any) -> float | None:
    """A value of a key as a number, also the size of a single hidden layer; None for others."""
    if isinstance(value, str):
        return float(value) if value.isdecimal() else None
    return None if value is None or isinstance(value, bool) else float(value)


def _difference(changes: Changes, row: Record) -> str:
    """The difference that the best change makes, with its interval and number of seeds."""
    seeds, many = plural(int(row["pairs"]), "paired seed"), len(changes.direct)
    if not changes.rates(row):
        seeds = f"over the {plural(int(row['pairs']), 'seed')} that both ran"
    best = f" for the best of {many:,} changes" * (many > 1)
    return (
        f"{points(row['difference'])} points, 95% interval{best} {points(row[_LOW])} to "
        f"{points(row[_HIGH])}, {seeds}"
    )


def other_changes(changes: Changes) -> list[str]:
    """Say what the single changes of the baseline do, apart from the one that helps most."""
    lines = [
        f"On its own, {_moved(rows)}." for rows in (changes.shown(1)[1:], changes.shown(-1)) if rows
    ]
    without = [row for row in changes.direct if not has_effect(row)]
    if without and len(without) < len(changes.direct):  # else that is the answer
        without.sort(key=lambda row: float(row["constant_p"]))
        texts = first_of([_with_constant(changes, row) for row in without], MAX_CHANGES)
        lines.append(
            "These changes alone make no measurable difference "
            f"({_at_most(without)}): {and_(texts)}."
        )
    return lines


def _at_most(rows: Sequence[Record]) -> str:
    """Say how large differences may be that are not significant."""
    most = max(abs(row[end]) for row in rows for end in (_LOW, _HIGH))
    return f"at most {_size(most)}, at 95% confidence"


def _moved(rows: Sequence[Record]) -> str:
    """Say how far the first changes move the convergence rate in their direction; count others."""
    texts = [_moves(row, row is rows[0]) for row in rows[:MAX_CHANGES]]
    more, verb = len(rows) - len(texts), "raise" if rows[0]["difference"] > 0 else "lower"
    rest = f"{plural(more, 'more change')} {verb}{'s' * (more == 1)} it too"
    return and_([*texts, rest] if more else texts)


def _moves(row: Record, first: bool = True) -> str:
    """Say how far one change moves the convergence rate; `first`: it is the first in a list."""
    rate, label = ("the convergence rate", "simultaneous 95% interval ") if first else ("it", "")
    return (
        f"{change_of(row)} {'raises' if row['difference'] > 0 else 'lowers'} {rate} by "
        f"{_size(row['difference'])} ({label}{points(row[_LOW])} to {points(row[_HIGH])})"
    )


def _with_constant(changes: Changes, row: Record) -> str:
    """Name a change without effect, and say what it does to the share of constant answers."""
    moved = _constant(changes, row, len(changes.direct))
    low, high = points(row["constant_difference_low"]), points(row["constant_difference_high"])
    but = (
        f" (but the share that give the same answer to every input {moved}, 95% interval of the "
        f"difference {low} to {high})"
    )
    return change_of(row) + but * bool(moved)


def effects_elsewhere(changes: Changes) -> list[str]:
    """Say in which settings a change has an effect that is not shown at the baseline."""
    signs = {change_of(row): _sign(row) for row in changes.direct}
    different = [
        row
        for row in sorted(changes.rows, key=lambda row: -abs(row["difference"]))
        if _sign(row) not in (0, signs.get(change_of(row), 0)) and change_of(row) in signs
    ]
    largest = [rows[0] for rows in by_change(different)]
    texts = [
        f"{_moves(row, row is largest[0])} with "
        f"{apart(row, unchanged_keys(row, changes.keys), changes.start)}"
        for row in largest[:MAX_CHANGES]
    ]
    if not texts:
        return []
    more = len(largest) - len(texts)
    texts += [plural(more, "more change")] * bool(more)
    several = f"{'; '.join(texts[:-1])}; and {texts[-1]}" if len(texts) > 1 else texts[0]
    return [f"In other settings changes have effects that the baseline does not show: {several}."]


def _sign(row: Record) -> int:
    """The direction of an effect: −1 or 1, or 0 if there is none."""
    return int(row["difference"] > 0) - int(row["difference"] < 0) if has_effect(row) else 0


def all_changes(attribution: pd.DataFrame, changes: Changes) -> list[str]:
    """Say what all changes of the baseline do together; empty unless they lead to one setup."""
    if attribution["to"].nunique() != 1 or attribution["key"].isin(TASKS).any():
        return []
    rows = attribution.to_dict("records")
    by_id = {row["setup"]: row for row in changes.setups}
    end = by_id.get(rows[0]["to"])
    if end is None or rows[0]["from"] not in by_id:
        return []
    where = setting(end, [key for key in changes.keys if key in {row["key"] for row in rows}])
    parts = sorted(rows, key=lambda row: -abs(np.nan_to_num(row["average_points"])))
    each = and_(
        [
            f"{row['key']} {points(row['average_points'] / 100)} "
            f"({_between(row, 'average_points')})"
            for row in parts
            if not math.isnan(row["average_points"])
        ]
    )
    opposed = [
        f"{row['key']} {points(row['alone_points'] / 100)} alone but "
        f"{points(row['last_points'] / 100)} after the others"
        for row in parts
        if math.isnan(row["average_points"])
    ]
    split = (
        " Averaged over all orders of making the changes, they contribute these points (95% "
        f"interval): {each}." * bool(each)
    )
    depends = f" What a change does depends on the others: {and_(opposed)}." * bool(opposed)
    number = {2: "Both", 3: "All three", 4: "All four"}.get(len(rows), f"All {len(rows)}")
    low, high, seeds = rows[0]["total_points_low"], rows[0]["total_points_high"], rows[0]["pairs"]
    does = f"{'raise' if low > 0 else 'lower'} the convergence rate"
    if by_id[rows[0]["from"]]["runs"] == end["runs"] == seeds:
        does += f" to {percent(end['converged_share'])}"
    does = does if low > 0 or high < 0 else "make no measurable difference"
    return [
        f"{number} changes together ({where}) {does} ({points(rows[0]['total_points'] / 100)} "
        f"points, 95% interval {_between(rows[0], 'total_points')}, "
        f"{plural(int(seeds), 'paired seed')}).{depends or split}"
    ]


def _between(row: Record, name: str) -> str:
    """Write the bounds of a number of points."""
    return f"{points(row[f'{name}_low'] / 100)} to {points(row[f'{name}_high'] / 100)}"


def strongest_changes(rows: Sequence[Record]) -> str:
    """Say what the strongest single changes do, over all settings."""
    if not rows:
        return (
            "No two setups differ in exactly one key and share seeds, so the effect of a single "
            "change is unknown."
        )

    rows = [row for row in rows if row["key"] not in TASKS] or rows

    def strength(group: Sequence[Record]) -> tuple[bool, float]:
        return not any(map(has_effect, group)), -max(abs(row["difference"]) for row in group)

    return (
        "On its own, "
        + "; ".join(map(_effect, sorted(by_change(rows), key=strength)[:MAX_CHANGES]))
        + "."
    )


def _effect(rows: Sequence[Record]) -> str:
    """Say what one change does in several settings."""
    change, shown = change_of(rows[0]), sum(map(has_effect, rows))
    if not shown:
        return f"{change} shows no effect ({_at_most(rows)})"
    if len(rows) == 1:
        return _moves(rows[0])
    where = "each" if shown == len(rows) else plain(shown)
    span = span_of(list(filter(has_effect, rows)))
    return (
        f"{change} shows an effect in {where} of {plain(len(rows))} settings (an estimated {span} "
        "points)"
    )
