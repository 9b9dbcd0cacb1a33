"""The sentences that answer a sweep's question, made of its tables for any sweep: with one axis,
several or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.axes import with_width_and_depth
from fastbp.analysis.summary import ALPHA, keys_of
from fastbp.reporting.phrases import (
    Record,
    and_,
    apart,
    change_of,
    extreme,
    is_end,
    named,
    percent,
    plain,
    plural,
    points,
    setting,
)
from fastbp.reporting.sections.maps_section import landscape
from fastbp.schema.outcomes import OUTCOMES, Outcome

MAX_CHANGES = 3
"""Changes of a kind that are told one by one."""

_SAME = "the same answer to every input"

_MANY = 4
"""Values of a key beyond which only neighbours are compared, so that a single change may be too
small to be seen."""

_VERBS = {"converged": ("converges", "converge"), "constant": (f"gives {_SAME}", f"give {_SAME}")}
"""What one run does, and several."""


def verdict(
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    attribution: pd.DataFrame,
    baseline: str | None = None,
    constant_at_start: pd.Series[Any] | None = None,
) -> list[str]:
    """What the runs say, in sentences: the answer first.

    Parameters: what `tables.summary`, `tables.contrasts`, `tables.attribution` and `tables.constant_at_start`
    returned for the same runs, and the id of the setup as it stands, from which changes are told.
    Returns paragraphs.
    """
    setups = summary.to_dict("records")
    if not setups:
        return ["There are no runs yet."]
    if len(setups) == 1:
        return [_alone(setups[0])]
    runs = int(summary["runs"].sum())
    for outcome in OUTCOMES:
        if int(summary[outcome.column].sum()) == runs:
            more = _fastest(summary) if outcome is Outcome.CONVERGED else ""
            every = f"All {plain(runs)} runs in {plain(len(setups))} setups {outcome.verb}"
            return [f"{every}: whatever was varied here makes no difference to that.{more}"]
    start = next((row for row in setups if row["setup"] == baseline), None)
    keys = keys_of(summary)
    if not summary["converged"].any():
        return [
            _most_and_least(summary, "constant"),
            *([_as_it_stands(start, keys)] if start else []),
        ]
    if seen := landscape(
        with_width_and_depth(summary), constant_at_start
    ):  # in so fine a grid each single change says little
        best = _most_and_least(summary, "converged")
        return [seen[0], best, *seen[1:], *([_as_it_stands(start, keys)] if start else [])]
    changes = contrasts.to_dict("records")
    own = [row for row in changes if start is not None and is_end(row, "from", start)]
    if start is None or not own:
        return [
            _most_and_least(summary, "converged"),
            *_margins(summary, keys),
            _strongest(changes),
        ]
    together = _together(attribution, summary, keys)
    return [
        _best_change(start, own, setups),
        " ".join(
            [
                _as_it_stands(start, keys),
                *_other_changes(own, setups),
                *_otherwise(start, changes, own, keys),
            ]
        ),
        *_margins(summary, keys),
        *([together] if together else []),
        *_elsewhere(summary, start, keys, own),
    ]


def _alone(row: Record) -> str:
    if row["runs"] == 1:
        outcome = next(outcome for outcome in OUTCOMES if row[outcome.column])
        return f"The one run ended {outcome}: {outcome.meaning}. One run cannot tell whether that is its seed or its setup."
    text = f"{_statement(row, 'converged')}{_interval(row, 'converged')}, and {_statement(row, 'constant', again=True)}."
    return (
        text[0].upper()
        + text[1:]
        + _waiting(row)
        + " One setup has runs: there is nothing to compare it with."
    )


def _fraction(row: Record, name: str) -> str:
    """So many of how many runs: `none of 80`, `all 80`, `2.5% of 80`."""
    count, runs = int(row[name]), int(row["runs"])
    if runs == 1:
        return f"{count} of 1"
    return (
        f"none of {runs:,}"
        if count == 0
        else f"all {runs:,}"
        if count == runs
        else f"{percent(row[f'{name}_share'])} of {runs:,}"
    )


def _statement(row: Record, name: str, again: bool = False) -> str:
    """What so many of the runs of a setup do; `again`: of the runs of which something was said just
    before.
    """
    count, runs = row[name], row["runs"]
    one, several = _VERBS[name]
    if runs == 1:
        return f"{'it' if again else 'its one run'} {one if count else f'does not {several}'}"
    who = (
        {0: "none", runs: "all"}.get(count, percent(row[f"{name}_share"]))
        if again
        else f"{_fraction(row, name)} runs"
    )
    parts = f" ({percent(row['collapsed_share'])} collapsed, {percent(row['one_class_share'])} one-class)"
    return f"{who} {several if count else one}{parts * (name == 'constant' and count > 0)}"


def _interval(row: Record, name: str) -> str:
    return f" (95% interval {percent(row[f'{name}_low'])} to {percent(row[f'{name}_high'])})"


def _waiting(row: Record) -> str:
    median = row["updates_median"]
    return "" if pd.isna(median) else f" Half had converged after {plural(int(median), 'update')}."


def _fastest(summary: pd.DataFrame) -> str:
    """Where all converge, what differs is how long it takes."""
    told = summary[summary["updates_median"].notna()]
    medians = told["updates_median"].astype(int)
    if medians.nunique() < 2:
        return ""
    keys = keys_of(summary)
    fast, slow = (told.iloc[int(at)].to_dict() for at in (medians.argmin(), medians.argmax()))
    return (
        f" It does to how long they take: half had converged after {plural(int(fast['updates_median']), 'update')} with "
        f"{_name(fast, keys)}, after {plain(slow['updates_median'])} with {_name(slow, keys)}."
    )


def _as_it_stands(start: Record, keys: Sequence[str]) -> str:
    stands = f"As it stands ({_name(start, keys)})"
    return f"{stands}, {_statement(start, 'converged')}, and {_statement(start, 'constant', again=True)}."


def _told(row: Record) -> str:
    return f"{row['key']} {named(row['from'])} → {named(row['to'])}"


def _shown(row: Record) -> bool:
    return bool(row["p_holm"] < ALPHA)


def _fixed(own: Sequence[Record]) -> list[Record]:
    return sorted(
        (row for row in own if _shown(row) and row["difference"] > 0),
        key=lambda row: -row["difference"],
    )


def _best_change(start: Record, own: Sequence[Record], setups: Sequence[Record]) -> str:
    """The answer: the single change of the setup as it stands that fixes most runs, and what it
    makes of them.
    """
    fixed = _fixed(own)
    if not fixed:
        tried = (
            and_([_told(row) for row in own])
            if len(own) <= 2 * MAX_CHANGES
            else f"{plain(len(own))} changes"
        )
        fewer = "" if any(_shown(row) for row in own) else ", or fewer"
        return f"No single change of the setup as it stands is shown to make more runs converge{fewer}: {tried}."
    best = fixed[0]
    there = next(other for other in setups if is_end(best, "to", other))
    most = "fixes the network most" if len(fixed) > 1 else "fixes the network"
    (before, after), (was, is_now) = (
        (percent(start[f"{name}_share"]), percent(there[f"{name}_share"]))
        for name in ("converged", "constant")
    )
    constant = f"stays at {was}" if was == is_now else f"goes from {was} to {is_now}"
    return (
        f"What {most} is {_told(best)}: by itself it takes the share of runs that converge from {before} to {after} "
        f"({_difference(best, start, there)}); the share that gives {_SAME} {constant}."
    )


def _other_changes(own: Sequence[Record], setups: Sequence[Record]) -> list[str]:
    """What other single changes of the setup as it stands do."""
    more = _fixed(own)[1:]
    broken = sorted(
        (row for row in own if _shown(row) and row["difference"] < 0),
        key=lambda row: row["difference"],
    )
    unshown: list[str] = []
    for row in own:
        if not _shown(row):
            constant = [
                percent(other["constant_share"]) for other in setups if is_end(row, "to", other)
            ]
            does = "do" if unshown else f"give {_SAME}"
            unshown.append(_told(row) + (f" (then {constant[0]} {does})" if constant else ""))
    lines = []
    if more:
        lines.append(f"By itself, {_listed(more, 'raises')}.")
    if broken:
        lines.append(f"By itself, {_listed(broken, 'lowers')}.")
    if unshown and len(unshown) < len(own):  # else that is the answer
        shown = (
            and_(unshown)
            if len(unshown) <= MAX_CHANGES
            else _by_key([row for row in own if not _shown(row)])
        )
        lines.append(f"No effect by itself is shown for {shown}.")
    return lines


def _by_key(rows: Sequence[Record]) -> str:
    """Many changes of the setup as it stands: `hidden → 2 or 8, order → shuffled and 7 other values
    of lr`.
    """
    values: dict[str, list[str]] = {}
    for row in rows:
        values.setdefault(row["key"], []).append(named(row["to"]))
    some = [
        f"{key} → {' or '.join(to)}"
        if len(to) <= MAX_CHANGES
        else f"{plain(len(to))} other values of {key}"
        for key, to in values.items()
    ]
    return and_(some)


def _otherwise(
    start: Record, changes: Sequence[Record], own: Sequence[Record], keys: Sequence[str]
) -> list[str]:
    """What a change of the setup as it stands does in other settings, where by itself it does
    nothing, or the opposite. Of these settings what is not as it stands is told.
    """
    told = []
    here = {id(row) for row in own}
    elsewhere: dict[str, list[Record]] = {}
    for row in changes:
        if _shown(row) and id(row) not in here:
            elsewhere.setdefault(change_of(row), []).append(row)
    for row in own:
        others = elsewhere.get(change_of(row), [])
        if _shown(row):
            others = [other for other in others if other["difference"] * row["difference"] < 0]
        if others:
            told.append(max(others, key=lambda other: abs(other["difference"])))
    if not told:
        return []
    told.sort(key=lambda row: -abs(row["difference"]))
    texts = []
    for row in told[:MAX_CHANGES]:
        verb, size = (
            "raises" if row["difference"] > 0 else "lowers",
            points(row["difference"]).lstrip("+−"),
        )
        own_keys = (row["key"], "updates") if row["key"] == "epochs" else (row["key"],)
        rest = [key for key in keys if key in row and key not in own_keys]
        where = apart(row, rest, start)
        texts.append(f"{_told(row)} {verb} the share converged by {size} points with {where}")
    more = len(told) - len(texts)
    if more:
        texts.append(
            f"{plural(more, 'more change')} {'moves' if more == 1 else 'move'} it by no more"
        )
    several = "; ".join([*texts[:-1], f"and {texts[-1]}"]) if len(texts) > 1 else texts[0]
    return [f"In other settings it is otherwise: {several}."]


def _margins(summary: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The key over whose values the share converged goes farthest, of those with so many that
    single changes are small.

    Only of keys each of whose values is in as many setups, and in several: else other keys would
    speak for it, or none is left.
    """
    found = []
    for key in keys:
        groups = summary.groupby(key, sort=False, dropna=False)
        setups = groups.size()
        if len(setups) <= _MANY or setups.nunique() > 1 or setups.iloc[0] == 1:
            continue
        totals = groups[["converged", "runs"]].sum()
        shares = totals["converged"] / totals["runs"]
        found.append((float(shares.max() - shares.min()), key, shares))
    if not found:
        return []
    reach, key, shares = max(found, key=lambda each: each[0])
    if not reach:
        return []
    ends = int(shares.argmin()), int(shares.argmax())
    low, high = (f"{percent(shares.iloc[at])} with {key} {named(shares.index[at])}" for at in ends)
    return [
        f"Averaged over everything else, the share of runs that converge ranges from {low} to {high}."
    ]


def _difference(row: Record, start: Record, there: Record) -> str:
    low, high = points(row["difference_low"]), points(row["difference_high"])
    some = _over(row["pairs"], "both", start, there)
    return f"{points(row['difference'])} points{some}, 95% interval {low} to {high}"


def _over(pairs: int, who: str, *ends: Record) -> str:
    """On which seeds a difference was seen, where these are not those of the shares beside it."""
    return (
        ""
        if all(end["runs"] == pairs for end in ends)
        else f" on the {plural(int(pairs), 'seed')} that {who} ran"
    )


def _listed(rows: Sequence[Record], verb: str) -> str:
    by = [points(row["difference"]).lstrip("+−") for row in rows[:MAX_CHANGES]]
    told = [
        f"{_told(row)} {verb} the share converged by {size} points"
        for row, size in zip(rows, by, strict=False)
    ]
    more = len(rows) - len(told)
    return and_(
        [*told, f"{plural(more, 'more change')} {verb if more == 1 else verb[:-1]} it by no more"]
        if more
        else told
    )


def _together(attribution: pd.DataFrame, summary: pd.DataFrame, keys: Sequence[str]) -> str:
    """All changes at once, where there is one corner of the grid to go to."""
    if attribution["to"].nunique() != 1:
        return ""
    rows = attribution.to_dict("records")
    by_id = {row["setup"]: row for row in summary.to_dict("records")}
    start, there = (by_id.get(rows[0][end]) for end in ("from", "to"))
    if start is None or there is None:
        return ""
    where = setting(there, [key for key in keys if key in {row["key"] for row in rows}])
    parts = sorted(rows, key=lambda row: -abs(row["average_points"]))
    told = and_([f"{row['key']} {points(row['average_points'] / 100)}" for row in parts])
    number = {2: "Both", 3: "All three", 4: "All four"}.get(len(rows), f"All {len(rows)}")
    made = f"make {_fraction(there, 'converged')} runs converge"
    if there["runs"] == 1:
        made = f"{'make' if there['converged'] else 'do not make'} its one run converge"
    some = _over(rows[0]["pairs"], "all setups on the way", start, there)
    return (
        f"{number} changes together ({where}) {made}, {points(rows[0]['total_points'] / 100)} points{some}: of "
        f"these, averaged over all orders of making them, {told}."
    )


def _elsewhere(
    summary: pd.DataFrame, start: Record, keys: Sequence[str], own: Sequence[Record]
) -> list[str]:
    """The best of all setups, where it is more than one change away."""
    best = extreme(summary, "converged")
    ties = summary[summary["converged_share"] == best["converged_share"]].to_dict("records")
    if any(
        tie["setup"] == start["setup"] or any(is_end(row, "to", tie) for row in own) for tie in ties
    ):
        return []
    soon = [tie for tie in ties if not pd.isna(tie["updates_median"])]
    if len(ties) > 1 and len(soon) == len(ties) and best["converged"] == best["runs"]:
        first = min(soon, key=lambda tie: int(tie["updates_median"]))
        return [
            f"In {plain(len(ties))} of all {plain(len(summary))} setups all runs converge, soonest with {_name(first, keys)}: "
            f"half after {plural(int(first['updates_median']), 'update')}."
        ]
    return [
        f"Of all {plain(len(summary))} setups, runs converge most often with {_name(best, keys)}: "
        f"{_fraction(best, 'converged')}{_interval(best, 'converged')}.{_waiting(best)}"
    ]


def _most_and_least(summary: pd.DataFrame, name: str) -> str:
    """Where runs converge most and least often; where none does, where they give the same answer to
    everything.
    """
    keys, (one, several), number = keys_of(summary), _VERBS[name], plain(len(summary))
    best, worst = extreme(summary, name), extreme(summary, name, least=True)
    share = best[f"{name}_share"]
    none = "" if name == "converged" else f"No run converges in any of {number} setups"
    if none and share == worst[f"{name}_share"] and share in (0, 1):
        return f"{none}, and {f'all {several}' if share else f'none {one}'}."
    before = f"{none}. " if none else ""
    if share == worst[f"{name}_share"]:
        return f"{before}In each of {number} setups {percent(share)} of the runs {several}."
    most, least = (f"with {_name(row, keys)}: {_fraction(row, name)}" for row in (best, worst))
    return f"{before}Runs {several} most often {most}{_interval(best, name)}; least often {least}."


def _strongest(changes: Sequence[Record]) -> str:
    """What single changes do wherever they are made, without a setup to start from."""
    if not changes:
        return "No two setups differ in exactly one key and share seeds, so what a single change does cannot be told."
    groups: dict[str, list[Record]] = {}
    for row in changes:
        groups.setdefault(_told(row), []).append(row)

    def strength(group: tuple[str, list[Record]]) -> tuple[bool, float]:
        return not any(map(_shown, group[1])), -max(abs(row["difference"]) for row in group[1])

    told = [
        _range(change, rows) for change, rows in sorted(groups.items(), key=strength)[:MAX_CHANGES]
    ]
    return f"By itself, {'; '.join(told)}."


def _name(row: Record, keys: Sequence[str]) -> str:
    return setting(row, keys) or f"setup {row['setup']}"


def _range(change: str, rows: Sequence[Record]) -> str:
    shown = sum(map(_shown, rows))
    if not shown:
        return f"{change} shows no effect"
    differences = np.array([row["difference"] for row in rows])
    ends = list(dict.fromkeys((points(differences.min()), points(differences.max()))))
    where = f" in {plain(len(rows))} settings" if len(rows) > 1 else ""
    some = f", an effect in {plain(shown)} of them" if shown < len(rows) else ""
    return f"{change} changes the share converged by {' to '.join(ends)} points{where}{some}"
