"""The answer to the question of a sweep, made from its tables, and notes at the top of a page."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.atlas import others_of
from fastbp.analysis.axes import with_width_and_depth
from fastbp.analysis.statistics.proportions import bonferroni, wilson
from fastbp.analysis.summary import LEVEL, keys_of, settings_of, simultaneous_bounds
from fastbp.reporting.change_sentences import (
    TASKS,
    Changes,
    all_changes,
    best_change,
    changes_of,
    effects_elsewhere,
    other_changes,
    strongest_changes,
)
from fastbp.reporting.phrases import (
    Record,
    as_best,
    as_soon,
    count_of,
    extreme,
    fastest_and_slowest,
    half_time,
    name_of,
    named,
    plain,
    row_of,
    setting,
    share_interval,
)
from fastbp.reporting.report_data import Content, ReportData
from fastbp.reporting.sections import (
    atlas_section,
    cures_section,
    planes_section,
    published_section,
)
from fastbp.reporting.sections.maps_section import map_paragraphs
from fastbp.schema.outcomes import OUTCOMES, Outcome
from fastbp.schema.text import first_sentence, percent, plural

_MANY = 4
"""If a key has more values than this, `contrasts` compares only neighbours, whose difference may be
too small to see: the averages over each value of the key are reported instead."""

_VERBS = {
    "converged": ("converges", "converge"),
    "constant": ("gives the same answer to every input", "give the same answer to every input"),
}
"""The verb phrases of an outcome: for one run, and for several runs."""


def verdict(
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    attribution: pd.DataFrame,
    baseline: str | None = None,
    constant_at_start: "pd.Series[Any] | None" = None,
) -> list[str]:
    """Answer the question of a sweep in sentences, the answer first.

    Parameters
    ----------
    summary, contrasts, attribution : DataFrame
        The results of the functions of these names for the same runs.
    baseline : str, optional
        Id of the setup from which changes start.
    constant_at_start : Series, optional
        For each row of the summary, the share of runs with constant outputs before the first
        update.

    Returns
    -------
    list of str
        The paragraphs.
    """
    if text := _without_comparison(summary):
        return [text]
    keys, start = keys_of(summary), row_of(summary, baseline)
    of_baseline = [_baseline(start, keys)] if start else []
    if not summary["converged"].any():
        return [_most_and_least(summary, "constant", keys), *of_baseline]
    rows = contrasts.to_dict("records")
    most_and_least = " ".join(_by_task(summary, keys, rows))
    # On the fine grid of a map, each single change has little effect.
    if lines := map_paragraphs(with_width_and_depth(summary), constant_at_start):
        return [lines[0], most_and_least, *lines[1:], *of_baseline]
    changes = changes_of(summary, contrasts, baseline)
    if changes is None:
        return [f"{most_and_least} {strongest_changes(rows)}", *_widest_average(summary, keys)]
    return [
        best_change(changes),
        " ".join([*of_baseline, *other_changes(changes), *effects_elsewhere(changes)]),
        *_widest_average(summary, keys),
        *all_changes(attribution, changes),
        *best_of_all(changes),
    ]


def _without_comparison(summary: pd.DataFrame) -> str:
    """The answer for a single setup, or for runs that all end alike; empty for others."""
    if summary.empty:
        return "There are no runs yet."
    if len(summary) == 1:
        return _one_setup(extreme(summary, "converged"))
    total = int(summary["runs"].sum())
    alike = [outcome for outcome in OUTCOMES if int(summary[outcome.column].sum()) == total]
    return _all_alike(summary, alike[0]) if alike else ""


def _one_setup(row: Record) -> str:
    """The answer for a single setup."""
    if row["runs"] == 1:
        outcome = next(outcome for outcome in OUTCOMES if row[outcome.column])
        return (
            f"The one run ended {outcome}: {outcome.meaning}. One run cannot show whether that is "
            "its seed or its setup."
        )
    text = f"{_share(row, 'converged')}{share_interval(row)}, and {_share(row, 'constant', True)}."
    return (
        f"{text[0].upper()}{text[1:]}{half_time(row)} There is only one setup, so there is nothing "
        "to compare it with."
    )


def _all_alike(summary: pd.DataFrame, outcome: Outcome) -> str:
    """The answer if all runs end alike."""
    runs, setups = plain(summary["runs"].sum()), plain(len(summary))
    low, _ = simultaneous_bounds(summary, outcome.column)
    text = (
        f"All {runs} runs {outcome.verb}, in each of {setups} setups; of more runs of a setup up "
        f"to {percent(1 - low.min())} may end otherwise (at 95% confidence)."
    )
    fast, slow = fastest_and_slowest(summary)
    if outcome is not Outcome.CONVERGED or fast is None or slow is None:
        return text
    updates, keys = plural(int(fast["updates_median"]), "update"), keys_of(summary)
    return (
        f"{text} They differ in speed: half had converged after {updates} with "
        f"{name_of(fast, keys)}, and after {plain(slow['updates_median'])} with "
        f"{name_of(slow, keys)}."
    )


def _share(row: Record, name: str, again: bool = False) -> str:
    """Say how many runs of a setup have an outcome; `again`: the sentence has named the runs."""
    count, runs = row[name], row["runs"]
    one, several = _VERBS[name]
    if runs == 1:
        return f"{'it' if again else 'its one run'} {one if count else f'does not {several}'}"
    who = f"{count_of(row, name)} runs"
    if again:
        who = {0: "none", runs: "all"}.get(count, percent(row[f"{name}_share"]))
    collapsed, one_class = percent(row["collapsed_share"]), percent(row["one_class_share"])
    parts = f" ({collapsed} collapsed, {one_class} one-class)"
    return f"{who} {several if count else one}{parts * (name == 'constant' and count > 0)}"


def _baseline(start: Record, keys: Sequence[str]) -> str:
    """Say what the runs of the baseline do."""
    return (
        f"At the baseline ({name_of(start, keys)}), {_share(start, 'converged')}, and "
        f"{_share(start, 'constant', True)}."
    )


def _by_task(
    summary: pd.DataFrame, keys: Sequence[str], comparisons: Sequence[Record]
) -> Iterator[str]:
    """Say where runs converge most and least often, for each of a few tasks by itself."""
    goals = [key for key in TASKS if key in keys]
    goals *= len(settings_of(summary, goals)) <= _MANY
    others = [key for key in keys if key not in goals]
    for rows in settings_of(summary, goals):
        start = rows.iloc[0].to_dict()
        text = f"{_share(start, 'converged')}{share_interval(start)}."
        text = text if len(rows) == 1 else _most_and_least(rows, "converged", others, comparisons)
        yield f"With {setting(start, goals)}, {text[0].lower()}{text[1:]}" if goals else text


def _most_and_least(
    summary: pd.DataFrame, name: str, keys: Sequence[str], comparisons: Sequence[Record] = ()
) -> str:
    """Say in which setups, named by `keys`, runs have the outcome `name` most and least often."""
    (one, several), number = _VERBS[name], plain(len(summary))
    best, worst = extreme(summary, name), extreme(summary, name, least=True)
    share = best[f"{name}_share"]
    most = percent(simultaneous_bounds(summary, "converged")[1].max())
    none = (
        f"No run converges in any of {number} setups (at most {most} of a setup's runs would, at "
        "95% confidence)" * (name == "constant")
    )
    if none and share == worst[f"{name}_share"] and share in (0, 1):
        return f"{none}, and {f'all {several}' if share else f'none {one}'}."
    before = f"{none}. " * bool(none)
    if share == worst[f"{name}_share"]:
        return (
            f"{before}In each of {plural(len(summary), 'setup')} {percent(share)} of the runs "
            f"{several}."
        )
    most, least = (
        f"with {name_of(row, keys)}: {count_of(row, name)}"
        + as_best(summary, row, name, last, comparisons)
        for row, last in ((best, False), (worst, True))
    )
    return f"{before}Runs {several} most often {most}. They do so least often {least}."


def _widest_average(summary: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """Say how far the values of one key move the convergence rate, averaged over all other keys.

    The key is the one that moves it most, among keys with many values. Each of its values must
    occur in the same number of setups, in more than one, with as many seeds: otherwise the average
    would show the effect of other keys, or there would be nothing to average. Runs of a seed may be
    alike, so an average has the interval of a share of seeds.
    """
    widest, seeds = pd.Series([0.0]), int(summary["runs"].iloc[0])
    for key in keys:
        shares = summary.groupby(key, sort=False, dropna=False)["converged_share"]
        setups, means = shares.size(), shares.mean()
        balanced = setups.nunique() == 1 and setups.iloc[0] > 1 and summary["runs"].eq(seeds).all()
        if len(setups) > _MANY and balanced and np.ptp(means) > np.ptp(widest):
            widest = means
    ends = [int(widest.argmin()), int(widest.argmax())]
    bounds = wilson(widest.iloc[ends] * seeds, seeds, bonferroni(LEVEL, len(keys) * len(widest)))
    if bounds[1][0] >= bounds[0][1]:
        return []
    low, high = (
        f"{percent(widest.iloc[at])} with {widest.index.name} {named(widest.index[at])} (95% "
        f"interval {percent(bounds[0][i])} to {percent(bounds[1][i])})"
        for i, at in enumerate(ends)
    )
    return [f"Averaged over all other keys, the convergence rate ranges from {low} to {high}."]


def best_of_all(changes: Changes) -> list[str]:
    """Say which setup converges most often; empty if it is at most one change from the baseline."""
    goals = [goal for goal in TASKS if goal in changes.keys]
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
        f"{count_of(best, 'converged')}"
        f"{as_best(pd.DataFrame(alike), best, comparisons=changes.rows)}.{half_time(best)}"
    ]


# The top of the page


def paragraphs(data: ReportData) -> list[str]:
    """Write the paragraphs that answer the question of the sweep, the answer itself first."""
    lines = verdict(
        data.summary, data.contrasts, data.attribution, data.baseline, data.constant_at_start
    )
    published = published_section.sentences(data.published, data.baseline)
    if data.is_atlas:
        # Without a baseline, the first line is about the extremes, and so is that of an atlas.
        more = [*published, *lines[data.baseline is None :]]
        more = more if others_of(data.functions) else []
        lines = [*atlas_section.sentences(data.functions, data.classes), *more]
    else:
        lines = [*published, *([] if data.baseline else cures_section.sentences(data)), *lines]
    planes = planes_section.sentences(data)
    # The other lines are about random seeds; if all setups are planes, they do not apply.
    return [*lines * (not planes or len(data.plane_counts) < len(data.summary)), *planes]


def notes(data: ReportData) -> Iterator[str]:
    """Yield notes if runs are missing, or if there are more seeds than the sweep requests."""
    sweep = data.sweep
    present = {t.setup: t.runs for t in data.counted}
    requested = sum(sweep.seeds_by_setup.values())
    done = sum(min(present.get(setup, 0), count) for setup, count in sweep.seeds_by_setup.items())
    if done < requested:
        yield f"Not complete: {plain(done)} of the {plain(requested)} requested runs are there."
    if sweep.setups and any(
        runs > sweep.seeds_by_setup.get(setup, sweep.seeds) for setup, runs in present.items()
    ):
        where = "of some setups than" if sweep.counts else f"than the {sweep.seeds:,} that"
        yield f"There are more seeds {where} the sweep requests; all are counted."


def _page_notes(data: ReportData) -> Iterator[str]:
    """Yield notes about setups that the page leaves out, and about planes of initial weights."""
    if len(data.panels) < len(data.summary):
        first = "the baseline, what its changes lead to, " * (data.baseline is not None)
        first += "those with most seeds, " * (data.summary["runs"].nunique() > 1)
        yield (
            f"Bars and curves show {len(data.panels)} of {plain(len(data.summary))} setups: "
            f"{first}the best, the worst and some between them. Tables have "
            f"{len(data.shown)}, summary.csv has all."
        )
    if data.summary["runs"].nunique() > 1 and len(data.contrasts):
        yield (
            "Setups have different numbers of seeds; a comparison is over the seeds that both of "
            "its setups ran."
        )
    if data.plane_counts:
        yield (
            "The runs of a grid of initial weights are the cells of one plane, not random draws: "
            "intervals and p-values do not apply to them."
        )


def top_of_page(data: ReportData, answer: list[str]) -> Content:
    """Make the variables of the template `report.html`, except the lead and the sections."""
    first, rest = first_sentence(answer[0])
    runs = data.summary["runs"]
    low, high = int(runs.min()), int(runs.max())
    seeds = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
    return {
        "shown": first,
        "more": [*filter(None, [rest]), *answer[1:]],
        "notes": [*data.notes, *_page_notes(data)],
        "runs": plural(int(runs.sum()), "run"),
        "setups": f"{plural(len(runs), 'setup')}, {'each ' * (len(runs) > 1)}from {seeds} "
        f"seed{'s'[: high != 1]}",
        "files": [f"{name}.csv" for name in data.tables],
    }
