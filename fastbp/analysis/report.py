"""From a store to its tables, pictures and page, all made of the Parquet files alone."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp import __version__, files
from fastbp.analysis import page, plots, tables
from fastbp.analysis.drawing import Drawing, Write
from fastbp.analysis.landscape import axes, curved, gaps, shaped
from fastbp.analysis.page import Picture
from fastbp.analysis.page_runs import Problems, example_groups, examples, lives, problem_of
from fastbp.analysis.page_tables import (
    attribution_table,
    contrasts_table,
    how,
    listed,
    outcomes,
    summary_table,
    waiting_table,
    words,
)
from fastbp.analysis.statistics import constant_loss
from fastbp.analysis.tables import Tally
from fastbp.analysis.verdict import verdict
from fastbp.analysis.wording import ALPHA, evenly, extreme, keys_of, labels, percent, plain, plural, setting, shortened

MOST_BARS, MOST_PANELS, MOST_MAPS = 24, 12, 6
"""Setups with a bar, setups with a panel or a curve, and pairs of keys with a map, on a page."""

TABLES = ("summary", "contrasts", "attribution")


class Sweep(NamedTuple):
    """What a store's `sweep.toml` says of the latest command."""

    title: str = ""
    seeds: int = 0
    baseline: str | None = None
    setups: tuple[str, ...] = ()


def sweep_of(store: Path) -> Sweep:
    """What the store's sweep file says; a file that is missing, damaged or somebody's own says nothing."""
    try:
        told = tomllib.loads((store / "sweep.toml").read_text("utf-8"))
        seeds, resolved = told.get("seeds", 0), told.get("resolved", {})
        count = int(seeds.get("count", 0) if isinstance(seeds, dict) else seeds)
        baseline, ids = resolved.get("baseline", ""), resolved.get("setups", [])
        if not (0 <= count < 1 << 63 and isinstance(baseline, str) and isinstance(ids, list)):
            return Sweep()
        # Whatever breaks lines or turns them round is no part of a title.
        title = plain(" ".join(str(told.get("title", "")).split()))
        return Sweep(title, count, baseline or None, tuple(str(each) for each in ids))
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Sweep()


@dataclass
class Report:
    """What was made of a store: its tables, what they say, and the files."""

    summary: pd.DataFrame
    contrasts: pd.DataFrame
    attribution: pd.DataFrame
    verdict: list[str]
    notes: list[str]
    baseline: str | None
    written: list[Path] = field(default_factory=list)


def tabulated(tallies: Sequence[Tally], baseline: str | None) -> Report:
    """The tables of runs that were counted, and what they say."""
    summary, contrasts = tables.summary(tallies), tables.contrasts(tallies, baseline)
    attribution = tables.attribution(tallies, baseline)
    told = verdict(summary, contrasts, attribution, baseline, tables.born(tallies))
    return Report(summary, contrasts, attribution, told, [], baseline)


def write_tables(store: Path, report: Report, write: Write = files.write) -> None:
    """Write the CSV files of a report where they say something else."""
    for name, table in zip(TABLES, (report.summary, report.contrasts, report.attribution), strict=True):
        file, content = store / f"{name}.csv", table.to_csv(index=False).encode()
        if not file.is_file() or file.read_bytes() != content:
            write(file, content)
            report.written.append(file)


def key(store: Path, setups: Sequence[str] = (), collapse: float | None = None) -> str:
    """What a page is made of, in 16 hex digits: the same where it would be the same page."""
    from importlib.metadata import version

    hasher = hashlib.sha256()
    packages = ("numpy", "pandas", "matplotlib", "jinja2", "scipy")
    said = [__version__, *map(version, packages), str(collapse), *setups, *(file.name for file in files.listed(store / "runs"))]
    said += sorted(file.name for file in (store / "replays").glob("*.parquet"))
    hasher.update("\0".join(said).encode("utf-8", "surrogateescape"))
    for name in ("sweep.toml", "made.json"):
        with suppress(OSError):
            hasher.update((store / name).read_bytes())
    return hasher.hexdigest()[:16]


def is_current(store: Path, made_of: str) -> bool:
    """Whether the page there is, with all that it links to, is the one that would be made. It is written last."""
    try:
        text = (store / "report.html").read_text("utf-8")
    except (OSError, ValueError):
        return False
    links = re.findall(r'href="((?:figures/)?[\w.-]+)"', text)
    return f'name="fastbp-made-of" content="{made_of}"' in text and all((store / link).is_file() for link in links)


def make(
    store: Path, *, collapse: float | None = None, all_runs: bool = False, tick: Callable[[str], None] = lambda phase: None
) -> Report:
    """The tables, pictures and page of a store.

    Parameters: `collapse`, to decide outcomes anew with this threshold; `all_runs`: all setups that are there, not only those of
    the latest sweep; `tick`, told now and then what is done. Raises FileNotFoundError where there is no store, EmptyError where
    it has no runs, DamagedFileError and ValueError as `tally` does, OSError where files cannot be written.
    """
    runs = files.runs_folder(store)
    sweep = sweep_of(store)
    ids = sweep.setups if sweep.setups and not all_runs else ()
    tick("reading")
    tallies = tables.tally(store, setups=ids or None, pictures=True, collapse=collapse)
    if not tallies and ids and any(files.listed(runs)):
        raise EmptyError(f"{store} holds no runs of its latest sweep, only of others: --all-runs reports them")
    if not tallies:
        raise EmptyError(f"{store} holds no runs")
    report = tabulated(tallies, sweep.baseline)
    if collapse is not None:
        report.notes.append(f"Outcomes were decided anew, with collapse = {collapse:g}, from the measures of each run.")
    if _is_running(store):
        report.notes.append("This sweep is still running: the page shows what is there so far.")
    return draw(store, tallies, report, key(store, ids, collapse), tick=tick)


class EmptyError(ValueError):
    """A store without runs, in one line."""


def _is_running(store: Path) -> bool:
    """Whether a driver holds the store's lock."""
    try:
        import fcntl

        with open(store / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        pass
    return False


def _notes(sweep: Sweep, tallies: Sequence[Tally]) -> Iterator[str]:
    """What a reader must know of how many runs there are."""
    asked = sweep.seeds * len(sweep.setups)
    there = {t.setup: t.runs for t in tallies}
    present = sum(min(there.get(setup, 0), sweep.seeds) for setup in sweep.setups)
    if present < asked:
        yield f"Not complete: {plain(present)} of {plain(asked)} runs that the sweep asks for are there."
    if sweep.setups and max(there.values(), default=0) > sweep.seeds:
        yield f"There are more seeds than the {plain(sweep.seeds)} that the sweep asks for, and all are counted."


def draw(
    store: Path,
    tallies: Sequence[Tally],
    report: Report,
    made_of: str,
    *,
    write: Write = files.write,
    tick: Callable[[str], None] = lambda phase: None,
) -> Report:
    """The pictures and the page of runs that were counted with what pictures need, and tabulated.

    Parameters: `made_of`, what `key` returned; `write`, which writes a file whole or not at all; `tick` as in `make`.
    """
    sweep = sweep_of(store)
    drawing = Drawing(store)
    whole = report.summary
    few, fewer = chosen(report, MOST_BARS), chosen(report, MOST_PANELS)
    by_id = {t.setup: t for t in tallies}
    some = [by_id[setup] for setup in fewer["setup"]]
    problems = {t.setup: problem_of(store, t) for t in tallies}
    names = dict(zip(whole["setup"], labels(whole), strict=True))
    title = shortened(plain(" ".join((sweep.title or f"Sweep {store.resolve().name}").split())), 300)
    baseline = report.baseline if len(whole) > 1 else None  # one setup needs no mark
    report.notes += _notes(sweep, tallies)
    content: dict[str, Any] = {"verdict": report.verdict, "notes": list(report.notes), "alpha": ALPHA}
    content |= {
        "runs": plural(int(whole["runs"].sum()), "run"),
        "setups": _seeds(whole),
        "files": [f"{name}.csv" for name in TABLES],
    }
    if len(few) < len(whole):
        content["notes"].append(
            f"Of {plain(len(whole))} setups the page shows the one as it stands, those at the ends of the strongest changes, the "
            "best and the worst; the CSV files have all."
        )
    tick("drawing outcomes")
    content["bars"] = _bars(drawing, few, title if sweep.title else "", baseline)
    content["summary"] = summary_table(few, whole, baseline)
    content["contrasts"] = contrasts_table(report.contrasts, whole, report.baseline)
    content["no_contrasts"] = "No two setups differ in exactly one key and share seeds: there is nothing to compare."
    if len(whole) == 1:
        content["no_contrasts"] = "One setup has runs: there is nothing to compare it with."
    content["attribution"] = attribution_table(report.attribution, whole)
    tick("drawing spread and loss")
    content["scatter"] = _scatter(drawing, some, fewer, problems, names)
    tick("drawing survival")
    content["waiting"] = _waiting(drawing, some, fewer)
    content["times"] = waiting_table(few, whole, baseline)
    tick("drawing thresholds")
    content["collapse"] = _collapse(drawing, some, fewer)
    content["curves"] = []
    plane = shaped(whole)
    for each in curved(plane):
        tick(f"drawing {each}")
        content["curves"].append(_curves(drawing, plane, each))
    content["maps"] = []
    born = tables.born(tallies)
    for x, y in axes(plane)[:MOST_MAPS]:
        tick(f"drawing {x} and {y}")
        content["maps"].append(_map(drawing, plane if born is None else plane.assign(born_share=born), x, y))
    tick("drawing single runs")
    found = examples(store, tallies, report.baseline)
    content["examples"] = example_groups(drawing, found, problems, names, shown_path(store)) if found else []
    content["lives"] = lives(drawing, store, names)
    content["words"] = words(keys_of(whole))
    content |= how(store, tallies, keys_of(whole))
    tick("writing the page")
    html = page.render("report.html", title, content, made_of)
    write_tables(store, report, write)  # all at once: whoever is interrupted while drawing leaves what was there
    report.written += [*drawing.write(write), store / "report.html"]
    write(store / "report.html", html)
    return report


def _seen(rows: pd.DataFrame) -> str:
    return f"{plural(int(rows['runs'].sum()), 'run')} in {plural(len(rows), 'setup')}"


def _bars(drawing: Drawing, rows: pd.DataFrame, title: str, baseline: str | None) -> Picture:
    mark = " The setup as it stands is in bold." if baseline in set(rows["setup"]) else ""
    return drawing(
        plots.outcome_bars(rows, title=f"{shortened(title, 120)} How {_seen(rows)} ended".strip(), baseline=baseline),
        "outcomes",
        "How the runs ended",
        "Stacked bars of outcomes, one for each setup. " + listed(rows, outcomes),
        f"Each bar is a setup, each colour an outcome, each number a count of runs.{mark} Also as",
    )


def _scatter(
    drawing: Drawing, some: Sequence[Tally], rows: pd.DataFrame, problems: Problems, names: Mapping[str, str]
) -> Picture | None:
    density = tables.density(some)
    if not len(density):
        return None
    constants = {
        t.setup: loss
        for t in some
        if (known := problems[t.setup]) and (loss := constant_loss(known[1], str(t.keys.get("loss_function"))))
    }
    own = {setup: names[setup] for setup in rows["setup"]}
    title = f"Where runs end: spread of outputs and loss of {_seen(rows)}"
    return drawing(
        plots.spread_loss_panels(density, own, constants, _collapses(some), title),
        "spread-loss",
        "Spread of outputs against loss",
        "Panels, one for each setup: loss over spread of outputs, coloured by outcome. "
        + listed(rows, lambda row: f"{percent(row['constant_share'])} constant, {percent(row['converged_share'])} converged"),
        "Each cell has the colour of its most frequent outcome, the stronger the more runs are in it. Also as",
    )


def _collapses(tallies: Sequence[Tally]) -> dict[str, float]:
    return {t.setup: value for t in tallies if isinstance(value := t.keys.get("collapse"), float)}


def _waiting(drawing: Drawing, some: Sequence[Tally], rows: pd.DataFrame) -> Picture | None:
    if not rows["ever_converged"].any():
        return None
    return drawing(
        plots.survival_curves(tables.survival(some)),
        "survival",
        "Updates to convergence",
        "Curves of the share of runs that had not converged yet, over updates. At the end of the budget: "
        + listed(rows, lambda row: f"{percent(1 - row['ever_converged'] / row['runs'])} had not"),
        "The share of runs that no look had found converged yet, and below it how many of them were still trained. Also as",
    )


def _collapse(drawing: Drawing, some: Sequence[Tally], rows: pd.DataFrame) -> Picture | None:
    table = tables.collapsing(some)
    if not (table["collapsed"].any() or table["born"].any()):
        return None
    thresholds = set(_collapses(some).values())
    return drawing(
        plots.collapse_curves(table, collapse=thresholds.pop() if len(thresholds) == 1 else None),
        "collapse",
        "Collapsed runs by threshold",
        "Curves of the share of collapsed runs over the threshold. With the threshold in use: "
        + listed(rows, lambda row: f"{percent(row['collapsed_share'])} collapsed"),
        "Lines: at the end of the runs; dots: before the first update. Also as",
    )


def shown_path(store: Path) -> str:
    """The store as commands name it, which does not depend on where this one was typed."""
    whole = store.resolve()
    return f"results/{whole.name}" if whole.parent.name == "results" else whole.name


def _seeds(summary: pd.DataFrame) -> str:
    """How many setups and seeds there are."""
    low, high = int(summary["runs"].min()), int(summary["runs"].max())
    each = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
    return f"{plural(len(summary), 'setup')}, {'each ' * (len(summary) > 1)}from {each} seed{'s'[: high != 1]}"


def chosen(report: Report, most: int) -> pd.DataFrame:
    """So many rows of the summary, in its order: the setup as it stands, those at the ends of the strongest changes, the worst
    and the best, and some between them."""
    whole = report.summary
    if len(whole) <= most:
        return whole
    wanted: dict[int, None] = {}
    if report.baseline is not None:
        wanted |= dict.fromkeys(np.flatnonzero(whole["setup"] == report.baseline).tolist())
    keys = keys_of(whole)
    places = {tuple(plain(row[key]) for key in keys): i for i, row in enumerate(whole.to_dict("records"))}
    strongest = report.contrasts[report.contrasts["p_holm"] < ALPHA]
    for row in strongest.loc[strongest["difference"].abs().sort_values(ascending=False, kind="stable").index].to_dict("records"):
        for end in ("from", "to"):
            place = places.get(tuple(plain(row[end] if key == row["key"] else row.get(key)) for key in keys))
            if place is not None and len(wanted) < most // 2:
                wanted[place] = None
    order = whole["converged_share"].sort_values(kind="stable").index.to_numpy()
    for many in range(1, len(order) + 1):  # the worst, the best, and evenly between them
        wanted |= dict.fromkeys(order[evenly(len(order), many)].tolist())
        if len(wanted) >= most:
            break
    return whole.iloc[sorted([*wanted][:most])].reset_index(drop=True)


def _curves(drawing: Drawing, summary: pd.DataFrame, key: str) -> Picture:
    ends = [extreme(summary, "converged", least) for least in (True, False)]
    told = " to ".join(f"{percent(row['converged_share'])} with {setting(row, keys_of(summary))}" for row in ends)
    return drawing(
        plots.response_curves(summary, key, title=f"Share converged over {key}: {_seen(summary)}, 95% bands"),
        f"response-{key}",
        f"Share converged over {key}",
        f"Curves of the share of runs converged over {key}, with 95% bands. It goes from {told}.",
        "A dot is a setup, a line a setting of the other keys; the grey line is at one half. Also as",
    )


def _map(drawing: Drawing, summary: pd.DataFrame, x: str, y: str) -> Picture:
    others = [key for key in keys_of(summary) if key not in (x, y)]
    groups = [("", summary)]
    if others:
        groups = [(setting(rows.iloc[0], others), rows) for _, rows in summary.groupby(others, sort=False, dropna=False)]
    shown = [groups[i] for i in evenly(len(groups), 4).tolist()]
    some = f", {len(shown)} of {len(groups)} settings of {' and '.join(others)}" if len(shown) < len(groups) else ""
    ends = [extreme(summary, "converged", least) for least in (True, False)]
    told = " to ".join(f"{percent(row['converged_share'])} with {setting(row, keys_of(summary))}" for row in ends)
    title = f"Share of runs by how they end, over {x} and {y}{some}: {_seen(summary)}"
    caption = "Above the share converged, below the share constant"
    if len(shown) == 1:
        caption = "The share converged, the share constant (collapsed or one-class), the share collapsed"
        caption += ", and how many were as constant before the first update" * ("born_share" in summary)
    caption += "; a black line is where it is one half" * any(rows[[x, y]].nunique().min() > 2 for _, rows in shown)
    caption += "; grey cells have no setup" * any(gaps(rows, (x, y)) for _, rows in shown)
    return drawing(
        plots.heatmap_panels(x, y, shown, title),
        f"map-{x}-{y}",
        f"Shares over {x} and {y}",
        f"Heatmaps of the share of runs over {x} and {y}. The share converged goes from {told}.",
        f"{caption}. Also as",
    )
