"""Sentences about what changes of the baseline do, alone and together.

A row of a comparison is a row of `contrasts`: two setups that differ in one key.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.contrasts import GOALS
from fastbp.analysis.counts import grouped
from fastbp.reporting.phrases import (
    Record,
    apart,
    as_best,
    as_soon,
    by_change,
    change_of,
    count_of,
    half_time,
    has_effect,
    is_end,
    name_of,
    named,
    plain,
    setting,
    span_of,
    unchanged_keys,
)
from fastbp.schema.text import and_, percent, plural, points

MAX_CHANGES = 3
"""Largest number of changes that a sentence lists one by one."""


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

    def shown(self, sign: int) -> list[dict[Any, Any]]:
        """The baseline's changes with a positive (1) or negative (−1) effect, the largest first."""
        rows = [row for row in self.direct if has_effect(row) and sign * row["difference"] > 0]
        return sorted(rows, key=lambda row: -abs(row["difference"]))


def best_change(changes: Changes) -> str:
    """Say which single change of the baseline raises the convergence rate most, and by how much."""
    helpful = changes.shown(1)
    if not helpful:
        names = list(map(change_of, changes.direct))
        tried = and_(names) if len(names) <= 2 * MAX_CHANGES else f"{len(names)} changes"
        fewer = "" if any(map(has_effect, changes.direct)) else ", or fewer"
        most = max(changes.direct, key=lambda row: float(row["difference_high"]))
        gain = f"{points(most['difference_high'])} points ({change_of(most)})"
        unseen = f" A gain of up to {gain} may be unseen." * (most["difference_high"] > 0)
        return (
            f"No single change of the baseline makes measurably more runs converge{fewer}: {tried}."
            f"{unseen}"
        )
    best = helpful[0]
    end = changes.end_of(best)
    assert end is not None
    before, after = (percent(row["converged_share"]) for row in (changes.start, end))
    same_seeds = changes.start["runs"] == end["runs"] == best["pairs"]
    rates = f" from {before} to {after}" * same_seeds
    was, becomes = (percent(row["constant_share"]) for row in (changes.start, end))
    verb = "falls" if end["constant_share"] < changes.start["constant_share"] else "rises"
    constant = f"stays at {was}" if was == becomes else f"{verb} from {was} to {becomes}"
    return (
        f"{_headline(best, end, len(helpful) > 1)}: going from {named(best['from'])} to "
        f"{named(best['to'])} raises the convergence rate{rates} "
        f"({_difference(best, changes.start, end)}){_as_good(best, helpful)}; the share of runs "
        f"that give the same answer to every input {constant}."
    )


def _as_good(best: Record, helpful: Sequence[Record]) -> str:
    """Name the changes that may help as much as the one that is seen to help most."""
    ties = [row for row in helpful[1:] if row["difference_high"] >= best["difference_low"]]
    names = [change_of(row) for row in ties[:MAX_CHANGES]]
    more = len(ties) - len(names)
    names += [f"{more} more"] * (more > 0)
    return f", and {and_(names)} may raise it as much" * bool(names)


def _headline(row: Record, end: Record, several: bool) -> str:
    """Say what helps, and how much: `More updates fix it`."""
    key, before, after = row["key"], _number(row["from"]), _number(row["to"])
    subject, plural_ = f"Changing {key}", key in ("updates", "epochs")
    if before is not None and after is not None:
        words = ("More", "Fewer") if plural_ else ("A larger", "A smaller")
        subject = f"{words[after < before]} {key}"
    fixes, helps = ("fix", "help") if plural_ else ("fixes", "helps")
    verb, most = (f"{fixes} it", " best") if end["converged_share"] >= 0.5 else (helps, " most")
    return f"{subject} {verb}{most * several}"


def _number(value: Any) -> float | None:
    """A value of a key as a number, also the size of a single hidden layer; None for others."""
    if isinstance(value, str):
        return float(value) if value.isdigit() else None
    return None if value is None or isinstance(value, bool) else float(value)


def _difference(row: Record, start: Record, end: Record) -> str:
    """The difference that a change makes, with its interval and number of seeds."""
    seeds = plural(int(row["pairs"]), "paired seed")
    if {start["runs"], end["runs"]} != {row["pairs"]}:
        seeds = f"over the {plural(int(row['pairs']), 'seed')} that both ran"
    return (
        f"{points(row['difference'])} points, 95% interval {points(row['difference_low'])} to "
        f"{points(row['difference_high'])}, {seeds}"
    )


def other_changes(changes: Changes) -> list[str]:
    """Say what the single changes of the baseline do, apart from the one that helps most."""
    lines = [
        f"On its own, {_moved(rows, verb)}."
        for rows, verb in ((changes.shown(1)[1:], "raises"), (changes.shown(-1), "lowers"))
        if rows
    ]
    without = [row for row in changes.direct if not has_effect(row)]
    if without and len(without) < len(changes.direct):  # else that is the answer
        texts = (
            and_(_with_constant(changes, without))
            if len(without) <= MAX_CHANGES
            else _by_key(without)
        )
        lines.append(f"These changes alone make no measurable difference: {texts}.")
    return lines


def _moved(rows: Sequence[Record], verb: str) -> str:
    """Say how far each of the first changes moves the convergence rate; the others are counted."""
    texts = [_moves(row, verb) for row in rows[:MAX_CHANGES]]
    more = len(rows) - len(texts)
    rest = f"{plural(more, 'more change')} {verb if more == 1 else verb[:-1]} it by no more"
    return and_([*texts, rest] if more else texts)


def _moves(row: Record, verb: str) -> str:
    """Say how far one change moves the convergence rate."""
    size = points(abs(row["difference"])).lstrip("+")
    return f"{change_of(row)} {verb} the convergence rate by {size} points"


def _with_constant(changes: Changes, rows: Sequence[Record]) -> list[str]:
    """Name changes without effect, each with the share of constant runs that it leads to."""
    texts: list[str] = []
    for row in rows:
        does = "do" if texts else "then give the same answer to every input"
        end = changes.end_of(row)
        low, high = row["constant_difference_low"], row["constant_difference_high"]
        sure = f", 95% interval of the difference {points(low)} to {points(high)}"
        does += sure * bool(low > 0 or high < 0)
        texts.append(
            change_of(row) + (f" ({percent(end['constant_share'])} {does})" if end else "")
        )
    return texts


def _by_key(rows: Sequence[Record]) -> str:
    """Name many changes: `hidden → 2 or 8, order → shuffled and 7 other values of lr`."""
    values = grouped([named(row["to"]) for row in rows], [row["key"] for row in rows])
    return and_(
        [
            f"{key} → {' or '.join(to)}"
            if len(to) <= MAX_CHANGES
            else f"{len(to)} other values of {key}"
            for key, to in values.items()
        ]
    )


def effects_elsewhere(changes: Changes) -> list[str]:
    """Say in which settings a change has an effect that it does not have at the baseline."""
    signs = {change_of(row): _sign(row) for row in changes.direct}
    different = [
        row
        for row in sorted(changes.rows, key=lambda row: -abs(row["difference"]))
        if _sign(row) not in (0, signs.get(change_of(row), 0)) and change_of(row) in signs
    ]
    largest = [rows[0] for rows in by_change(different)]
    texts = [
        f"{_moves(row, 'raises' if row['difference'] > 0 else 'lowers')} with "
        f"{apart(row, unchanged_keys(row, changes.keys), changes.start)}"
        for row in largest[:MAX_CHANGES]
    ]
    if not texts:
        return []
    more = len(largest) - len(texts)
    texts += [f"{plural(more, 'more change')} move{'s' * (more == 1)} it by no more"] * bool(more)
    several = f"{'; '.join(texts[:-1])}; and {texts[-1]}" if len(texts) > 1 else texts[0]
    return [f"In other settings it is different: {several}."]


def _sign(row: Record) -> int:
    """The direction of an effect: −1 or 1, or 0 if there is none."""
    return int(row["difference"] > 0) - int(row["difference"] < 0) if has_effect(row) else 0


def all_changes(attribution: pd.DataFrame, changes: Changes) -> list[str]:
    """Say what all changes of the baseline do together; empty unless they lead to one setup."""
    if attribution["to"].nunique() != 1:
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
            f"{row['key']} {points(row['average_points'] / 100)}"
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
    split = f" Averaged over all orders of making the changes, they contribute {each}." * bool(each)
    depends = f" What a change does depends on the others: {and_(opposed)}." * bool(opposed)
    number = {2: "Both", 3: "All three", 4: "All four"}.get(len(rows), f"All {len(rows)}")
    effect = f"make {count_of(end, 'converged')} runs converge"
    if end["runs"] == 1:
        effect = f"{'make' if end['converged'] else 'do not make'} its one run converge"
    total, seeds = points(rows[0]["total_points"] / 100), plural(int(rows[0]["pairs"]), "seed")
    return [
        f"{number} changes together ({where}) {effect}, {total} points on {seeds}."
        f"{depends or split}"
    ]


def best_of_all(changes: Changes) -> list[str]:
    """Say which setup converges most often; empty if it is at most one change from the baseline."""
    goals = [goal for goal in GOALS if goal in changes.keys]
    alike = [row for row in changes.setups if all(row[g] == changes.start[g] for g in goals)]
    best = max(alike, key=lambda row: row["converged_share"])
    ties = [row for row in alike if row["converged_share"] == best["converged_share"]]
    near = {
        changes.start["setup"],
        *(end["setup"] for end in map(changes.end_of, changes.direct) if end),
    }
    if any(row["setup"] in near for row in ties):
        return []
    setups = f"{plain(len(alike))} setups" + f" with {setting(best, goals)}" * bool(goals)
    timed = [row for row in ties if not pd.isna(row["updates_median"])]
    if len(ties) > 1 and len(timed) == len(ties) and best["converged"] == best["runs"]:
        first = min(timed, key=lambda row: int(row["updates_median"]))
        updates = plural(int(first["updates_median"]), "update")
        return [
            f"In {plain(len(ties))} of all {setups} all runs converge, soonest with "
            f"{name_of(first, changes.keys)}: half after {updates}"
            f"{as_soon(pd.DataFrame(ties), first)}."
        ]
    return [
        f"Of all {setups}, runs converge most often with {name_of(best, changes.keys)}: "
        f"{count_of(best, 'converged')}{as_best(pd.DataFrame(alike), best)}.{half_time(best)}"
    ]


def strongest_changes(rows: Sequence[Record]) -> str:
    """Say what the strongest single changes do, over all settings."""
    if not rows:
        return (
            "No two setups differ in exactly one key and share seeds, so the effect of a single "
            "change is unknown."
        )

    def strength(group: Sequence[Record]) -> tuple[bool, float]:
        return not any(map(has_effect, group)), -max(abs(row["difference"]) for row in group)

    strongest = sorted(by_change(rows), key=strength)[:MAX_CHANGES]
    return f"On its own, {'; '.join(map(_effect, strongest))}."


def _effect(rows: Sequence[Record]) -> str:
    """Say what one change does in several settings."""
    change, shown = change_of(rows[0]), sum(map(has_effect, rows))
    if not shown:
        return f"{change} shows no effect"
    where = f" in {plain(len(rows))} settings" * (len(rows) > 1)
    some = f", an effect in {plain(shown)} of them" * (shown < len(rows))
    return f"{change} changes the convergence rate by {span_of(rows)} points{where}{some}"
