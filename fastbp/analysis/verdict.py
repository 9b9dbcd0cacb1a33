"""The sentences that answer a sweep's question, made of its tables for any sweep: with one axis, several or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fastbp.analysis.wording import ALPHA, Row, extreme, is_end, keys_of, named, percent, plain, points, setting
from fastbp.outcomes import MEANINGS, OUTCOMES, Outcome

MOST_CHANGES = 3
"""Changes of a kind that are told one by one."""

_ALL = {
    Outcome.DIVERGED: "diverge",
    Outcome.CONVERGED: "converge",
    Outcome.COLLAPSED: "collapse to a constant",
    Outcome.ONE_CLASS: "give every input the same decision",
    Outcome.PARTIAL: "end partial: they tell some rows apart, but not all as they should",
}

_CONSTANT = "the same answer to every input"


def verdict(summary: pd.DataFrame, contrasts: pd.DataFrame, attribution: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """What the runs say, in sentences: the answer first.

    Parameters: what `tables.summary`, `tables.contrasts` and `tables.attribution` returned for the same runs, and the id of the
    setup as it stands, from which changes are told. Returns paragraphs.
    """
    setups = summary.to_dict("records")
    if not setups:
        return ["There are no runs yet."]
    if len(setups) == 1:
        return [_alone(setups[0])]
    runs = int(summary["runs"].sum())
    for outcome in OUTCOMES:
        if int(summary[outcome.replace("-", "_")].sum()) == runs:
            more = _fastest(summary) if outcome is Outcome.CONVERGED else ""
            every = f"All {plain(runs)} runs in {plain(len(setups))} setups {_ALL[outcome]}"
            return [f"{every}: whatever was varied here makes no difference to that.{more}"]
    start = next((row for row in setups if row["setup"] == baseline), None)
    keys = keys_of(summary)
    changes = contrasts.to_dict("records")
    own = [row for row in changes if start is not None and is_end(row, "from", start)]
    if start is None or not own:
        return _best_and_worst(summary, changes)
    together = _together(attribution, summary, keys)
    return [
        _best_change(start, own, setups),
        " ".join([_as_it_stands(start, keys), *_other_changes(own)]),
        *([together] if together else []),
        *_elsewhere(summary, start, keys, own),
    ]


def _alone(row: Row) -> str:
    if row["runs"] == 1:
        outcome = next(outcome for outcome in OUTCOMES if row[outcome.replace("-", "_")])
        return f"The one run ended {outcome}: {MEANINGS[outcome]}. One run cannot tell whether that is its seed or its setup."
    text = f"{_share(row, 'converged')} of {plain(row['runs'])} runs converge{_interval(row, 'converged')}"
    text += f", and {_share(row, 'constant')} give {_CONSTANT} ({_parts(row)})."
    return text + _waiting(row) + " There is one setup: nothing to compare it with."


def _share(row: Row, name: str) -> str:
    """A share at the beginning of a statement about runs."""
    return "none" if row[name] == 0 else "all" if row[name] == row["runs"] else percent(row[f"{name}_share"])


def _interval(row: Row, name: str) -> str:
    return f" (95% interval {percent(row[f'{name}_low'])} to {percent(row[f'{name}_high'])})"


def _parts(row: Row) -> str:
    return f"{percent(row['collapsed_share'])} collapsed, {percent(row['one_class_share'])} one-class"


def _waiting(row: Row) -> str:
    median = plain(row["updates_median"])
    return "" if median == "–" else f" Half had converged after {median} updates."


def _fastest(summary: pd.DataFrame) -> str:
    """Where all converge, what differs is how long it takes."""
    medians = summary["updates_median"].dropna()
    if medians.empty or medians.min() == medians.max():
        return ""
    keys, rows = keys_of(summary), summary.to_dict("records")
    fast, slow = (next(row for row in rows if row["updates_median"] == end) for end in (medians.min(), medians.max()))
    return (
        f" It does to how long they take: half had converged after {plain(fast['updates_median'])} updates with "
        f"{setting(fast, keys)}, after {plain(slow['updates_median'])} with {setting(slow, keys)}."
    )


def _as_it_stands(start: Row, keys: Sequence[str]) -> str:
    return (
        f"As it stands ({setting(start, keys)}), {_share(start, 'converged')} of {plain(start['runs'])} runs "
        f"converge{'s' * (start['converged'] == 0)}, and {_share(start, 'constant')} give {_CONSTANT} ({_parts(start)})."
    )


def _told(row: Row) -> str:
    return f"{row['key']} {named(row['from'])} → {named(row['to'])}"


def _shown(row: Row) -> bool:
    return bool(row["p_holm"] < ALPHA)


def _mended(own: Sequence[Row]) -> list[Row]:
    return sorted((row for row in own if _shown(row) and row["difference"] > 0), key=lambda row: -row["difference"])


def _best_change(start: Row, own: Sequence[Row], setups: Sequence[Row]) -> str:
    """The answer: the single change of the setup as it stands that mends most runs, and what it makes of them."""
    mended = _mended(own)
    if not mended:
        tried = _and([_told(row) for row in own]) if len(own) <= 2 * MOST_CHANGES else f"{len(own)} changes"
        fewer = "" if any(_shown(row) for row in own) else ", or fewer"
        return f"No single change that was tried is shown to make more runs converge{fewer}: {tried}."
    best = mended[0]
    there = next(other for other in setups if is_end(best, "to", other))
    most = "mends it most" if len(mended) > 1 else "mends it"
    return (
        f"What {most} is {_told(best)}: by itself it takes the share of runs that converge from "
        f"{percent(start['converged_share'])} to {percent(there['converged_share'])} ({_difference(best)}), and the share that "
        f"give {_CONSTANT} from {percent(start['constant_share'])} to {percent(there['constant_share'])}."
    )


def _other_changes(own: Sequence[Row]) -> list[str]:
    """What other single changes of the setup as it stands do."""
    more = _mended(own)[1:]
    broken = sorted((row for row in own if _shown(row) and row["difference"] < 0), key=lambda row: row["difference"])
    unshown = [_told(row) for row in own if not _shown(row)]
    lines = []
    if more:
        lines.append(f"By itself, {_listed(more, 'raises')}.")
    if broken:
        lines.append(f"By itself, {_listed(broken, 'lowers')}.")
    if unshown and len(unshown) < len(own):  # else that is the answer
        shown = _and(unshown) if len(unshown) <= 2 * MOST_CHANGES else f"{len(unshown)} others"
        lines.append(f"No effect by itself is shown for {shown}.")
    return lines


def _difference(row: Row) -> str:
    low, high = points(row["difference_low"]), points(row["difference_high"])
    return f"{points(row['difference'])} points, 95% interval {low} to {high}"


def _listed(rows: Sequence[Row], verb: str) -> str:
    by = [points(row["difference"]).lstrip("+−") for row in rows[:MOST_CHANGES]]
    told = [f"{_told(row)} {verb} the share by {size} points" for row, size in zip(rows, by, strict=False)]
    more = len(rows) - len(told)
    return _and([*told, f"{more} more change{'s'[: more != 1]} {verb if more == 1 else verb[:-1]} it by less"] if more else told)


def _and(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _together(attribution: pd.DataFrame, summary: pd.DataFrame, keys: Sequence[str]) -> str:
    """All changes at once, where there is one corner of the grid to go to."""
    if attribution["to"].nunique() != 1:
        return ""
    rows = attribution.to_dict("records")
    there = next((row for row in summary.to_dict("records") if row["setup"] == rows[0]["to"]), None)
    if there is None:
        return ""
    parts = sorted(rows, key=lambda row: -abs(row["average_points"]))
    told = _and([f"{row['key']} {points(row['average_points'] / 100)}" for row in parts])
    number = {2: "Both", 3: "All three", 4: "All four"}.get(len(rows), f"All {len(rows)}")
    return (
        f"{number} changes together ({setting(there, keys)}) make {_share(there, 'converged')} of {plain(there['runs'])} runs "
        f"converge, {points(rows[0]['total_points'] / 100)} points: of these, averaged over all orders of making them, {told}."
    )


def _elsewhere(summary: pd.DataFrame, start: Row, keys: Sequence[str], own: Sequence[Row]) -> list[str]:
    """The best of all setups, where it is more than one change away."""
    best = extreme(summary, "converged")
    near = [best["setup"] == start["setup"], *(is_end(row, "to", best) for row in own)]
    if any(near) or best["converged"] == 0:
        return []
    return [
        f"Of all {plain(len(summary))} setups, runs converge most often with {setting(best, keys)}: "
        f"{_share(best, 'converged')} of {plain(best['runs'])}{_interval(best, 'converged')}.{_waiting(best)}"
    ]


def _best_and_worst(summary: pd.DataFrame, changes: Sequence[Row]) -> list[str]:
    """Without a setup to start from."""
    keys = keys_of(summary)
    name = "converged" if summary["converged"].any() else "constant"
    best, worst = extreme(summary, name), extreme(summary, name, least=True)
    what = "converge" if name == "converged" else f"give {_CONSTANT}"
    none = "" if name == "converged" else f"No run converges in any of {plain(len(summary))} setups. "
    text = (
        f"{none}Runs {what} most often with {_name(best, keys)}: {_share(best, name)} of {plain(best['runs'])}"
        f"{_interval(best, name)}; least often with {_name(worst, keys)}: {_share(worst, name)}."
    )
    groups: dict[str, list[Row]] = {}
    for row in changes:
        groups.setdefault(_told(row), []).append(row)
    strongest = sorted(groups.items(), key=lambda group: -max(abs(row["difference"]) for row in group[1]))
    told = [_range(change, rows) for change, rows in strongest[:MOST_CHANGES]]
    if not told:
        return [text, "No two setups differ in exactly one key and share seeds, so what a single change does cannot be told."]
    return [text, f"By itself, {'; '.join(told)}."]


def _name(row: Row, keys: Sequence[str]) -> str:
    return setting(row, keys) or f"setup {row['setup']}"


def _range(change: str, rows: Sequence[Row]) -> str:
    if not any(_shown(row) for row in rows):
        return f"{change} shows no effect"
    differences = np.array([row["difference"] for row in rows])
    ends = list(dict.fromkeys((points(differences.min()), points(differences.max()))))
    where = f" in {len(rows)} settings" if len(rows) > 1 else ""
    return f"{change} changes the share converged by {' to '.join(ends)} points{where}"
