"""From a store to its tables, pictures and page, all made of the Parquet files alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp import __version__
from fastbp.analysis import atlas, counts
from fastbp.analysis import attribution as attribution_module
from fastbp.analysis import contrasts as contrasts_module
from fastbp.analysis import summary as summary_module
from fastbp.analysis.basins import (
    Basin,
    Plane,
    boundary_dimension,
    parameter,
    plane_of,
    unlike_neighbours,
)
from fastbp.analysis.counts import SetupCounts
from fastbp.analysis.statistics.proportions import constant_loss
from fastbp.analysis.summary import ALPHA, collapsing, keys_of, survival
from fastbp.reporting import phrases, plots
from fastbp.reporting.figures import Drawing, Write
from fastbp.reporting.html import Picture, render
from fastbp.reporting.html_tables import (
    attribution_table,
    contrasts_table,
    how,
    listed,
    outcomes,
    published_tables,
    summary_table,
    waiting_table,
    words,
)
from fastbp.reporting.phrases import (
    STANDS,
    and_,
    apart,
    evenly,
    extreme,
    labels,
    percent,
    plain,
    plural,
    setting,
    shortened,
)
from fastbp.reporting.sections import atlas_section, published_section
from fastbp.reporting.sections.maps_section import axes, curved, gaps, shaped
from fastbp.reporting.sections.runs_section import (
    Problem,
    Problems,
    example_groups,
    examples,
    problem_of,
    trajectories,
)
from fastbp.reporting.verdict import verdict
from fastbp.schema.outcomes import Outcome
from fastbp.store import filename, parquet
from fastbp.store.provenance import LatestSweep, latest_sweep

MAX_BARS, MAX_PANELS, MAX_MAPS, MAX_PLANES = 24, 12, 6, 4
"""Setups with a bar, setups with a panel or a curve, pairs of keys with a map, and planes of
weights, on a page."""

PLANE_PIXELS = 500, 200
"""Pixels of a side of a plane of weights on the page itself where there is one, and where there are
more: PNG files have all."""

STEPS = (1, 2, 4, 8, 16)
"""Cells between neighbours in such a plane."""

TABLES = ("summary", "contrasts", "attribution")
ATLAS = ("atlas", "classes")
"""The tables that there always are, and those of a store of truth tables."""


@dataclass
class Report:
    """What was made of a store: its tables, what they say, and the files."""

    summary: pd.DataFrame
    contrasts: pd.DataFrame
    attribution: pd.DataFrame
    verdict: list[str]
    notes: list[str]
    baseline: str | None
    published: pd.DataFrame = field(default_factory=pd.DataFrame)
    written: list[Path] = field(default_factory=list)
    atlas: pd.DataFrame | None = None
    classes: pd.DataFrame | None = None

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables, by the names of their files."""
        found = {
            name: table for name in (*TABLES, *ATLAS) if (table := getattr(self, name)) is not None
        }
        return found | ({"published": self.published} if len(self.published) else {})

    def console(self) -> str:
        """The shares people look for first, for a terminal: of classes, where there are truth
        tables alone.
        """
        return (
            phrases.console(self.summary)
            if self.classes is None
            else atlas_section.console(self.classes)
        )

    def beside(self) -> list[str]:
        """What others printed beside ours, for a terminal."""
        return (
            ["", published_section.console(self.published, self.baseline)]
            if len(self.published)
            else []
        )

    def sentences(self) -> list[str]:
        """What each change did, for a terminal; of truth tables, what the page says."""
        return (
            phrases.sentences(self.contrasts, self.summary, self.baseline)
            if self.classes is None
            else self.verdict
        )


def tabulated(counted: Sequence[SetupCounts], baseline: str | None, store: Path) -> Report:
    """The tables of a store's runs that were counted, and what they say."""
    summary, contrasts = (
        summary_module.summary(counted),
        contrasts_module.contrasts(counted, baseline),
    )
    is_atlas = atlas.is_atlas(summary)
    # Of an atlas without a setup as it stands, whichever function comes first is nobody's start.
    attribution = attribution_module.attribution(
        () if is_atlas and baseline is None else counted, baseline
    )
    told = verdict(
        summary, contrasts, attribution, baseline, summary_module.constant_at_start(counted)
    )
    beside = _published(counted, store)
    told = [*(published_section.sentences(beside, baseline) if len(beside) else []), *told]
    report = Report(summary, contrasts, attribution, told, [], baseline, beside)
    if is_atlas:
        report.atlas, report.classes = atlas.functions(summary), atlas.equality(counted)
        more = (
            told[baseline is None :] if atlas_section.others_of(report.atlas) else []
        )  # without a start it begins with the extremes
        report.verdict = [*atlas_section.sentences(report.atlas, report.classes), *more]
    return report


def _published(counted: Sequence[SetupCounts], store: Path) -> pd.DataFrame:
    """What the store's sweep file says that others printed, beside ours."""
    figures = published_section.printed(latest_sweep(store))
    wanted = {setup for one in figures for setup in one.setups}
    epochs: dict[str, int] = {}
    for t in counted:
        updates, budget, batch = (t.keys[key] for key in ("updates", "epochs", "batch"))
        if t.setup in wanted and isinstance(updates, int) and isinstance(batch, int):
            known = None if budget else problem_of(store, t)
            if isinstance(budget, int):
                epochs[t.setup] = updates // budget
            elif known:
                epochs[t.setup] = -(-len(known[0]) // batch)
    return published_section.table(counted, figures, epochs)


def write_tables(store: Path, report: Report, write: Write = parquet.write) -> None:
    """Write the CSV files of a report where they say something else."""
    for name, table in report.tables.items():
        file, content = store / f"{name}.csv", table.to_csv(index=False).encode()
        if not file.is_file() or file.read_bytes() != content:
            write(file, content)
            report.written.append(file)
    if not len(report.published):
        (store / "published.csv").unlink(
            missing_ok=True
        )  # of an earlier sweep, whose setups these are not


def key(store: Path, setups: Sequence[str] = (), collapse: float | None = None) -> str:
    """What a page is made of, in 16 hex digits: the same where it would be the same page."""
    from importlib.metadata import version

    hasher = hashlib.sha256()
    packages = ("numpy", "pandas", "matplotlib", "jinja2", "scipy")
    said = [
        __version__,
        *map(version, packages),
        str(collapse),
        *setups,
        *(file.path.name for file in filename.run_files(store / "runs")),
    ]
    said += sorted(file.name for file in (store / "replays").glob("*.parquet"))
    hasher.update("\0".join(said).encode("utf-8", "surrogateescape"))
    for name in ("sweep.toml", "made.json"):
        with suppress(OSError):
            hasher.update((store / name).read_bytes())
    return hasher.hexdigest()[:16]


def is_current(store: Path, made_of: str) -> bool:
    """Whether the page there is, with all that it links to, is the one that would be made. It is
    written last.
    """
    try:
        text = (store / "report.html").read_text("utf-8")
    except (OSError, ValueError):
        return False
    links = re.findall(r'href="((?:figures/)?[\w.-]+)"', text)
    return f'name="fastbp-made-of" content="{made_of}"' in text and all(
        (store / link).is_file() for link in links
    )


def make(
    store: Path,
    *,
    collapse: float | None = None,
    all_runs: bool = False,
    tick: Callable[[str], None] = lambda phase: None,
) -> Report:
    """The tables, pictures and page of a store.

    Parameters: `collapse`, to decide outcomes anew with this threshold; `all_runs`: all setups that
    are there, not only those of the latest sweep; `tick`, told now and then what is done. Raises
    FileNotFoundError where there is no store, EmptyError where it has no runs, DamagedFileError and
    ValueError as `count_runs` does, OSError where files cannot be written.
    """
    runs = filename.runs_folder(store)
    sweep = latest_sweep(store)
    ids = sweep.setups if sweep.setups and not all_runs else ()
    tick("reading")
    counted = counts.count_runs(store, setups=ids or None, pictures=True, collapse=collapse)
    if not counted and ids and any(filename.run_files(runs)):
        raise EmptyError(
            f"{store} holds no runs of its latest sweep, only of others: --all-runs reports them"
        )
    if not counted:
        raise EmptyError(f"{store} holds no runs")
    report = tabulated(counted, sweep.baseline, store)
    if collapse is not None:
        report.notes.append(
            f"Outcomes were decided anew, with collapse = {collapse:g}, from the measures of each run."
        )
    if _is_running(store):
        report.notes.append("This sweep is still running: the page shows what is there so far.")
    return draw(store, counted, report, key(store, ids, collapse), tick=tick)


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


def _notes(sweep: LatestSweep, counted: Sequence[SetupCounts]) -> Iterator[str]:
    """What a reader must know of how many runs there are."""
    there = {t.setup: t.runs for t in counted}
    present = sum(min(there.get(setup, 0), count) for setup, count in sweep.seeds_by_setup.items())
    asked = sum(sweep.seeds_by_setup.values())
    if present < asked:
        yield f"Not complete: {plain(present)} of {plain(asked)} runs that the sweep asks for are there."
    if sweep.setups and any(
        runs > sweep.seeds_by_setup.get(setup, sweep.seeds) for setup, runs in there.items()
    ):
        number = "of some setups than" if sweep.counts else f"than the {plain(sweep.seeds)} that"
        yield f"There are more seeds {number} the sweep asks for, and all are counted."


def draw(
    store: Path,
    counted: Sequence[SetupCounts],
    report: Report,
    made_of: str,
    *,
    write: Write = parquet.write,
    tick: Callable[[str], None] = lambda phase: None,
) -> Report:
    """The pictures and the page of runs that were counted with what pictures need, and tabulated.

    Parameters: `made_of`, what `key` returned; `write`, which writes a file whole or not at all;
    `tick` as in `make`.
    """
    sweep = latest_sweep(store)
    drawing = Drawing(store)
    whole = report.summary
    few, fewer = chosen(report, MAX_BARS), chosen(report, MAX_PANELS)
    by_id = {t.setup: t for t in counted}
    some = [by_id[setup] for setup in fewer["setup"]]
    problems = {t.setup: problem_of(store, t) for t in counted}
    title = shortened(
        plain(" ".join((sweep.title or f"Sweep {store.resolve().name}").split())), 300
    )
    baseline = report.baseline if len(whole) > 1 else None  # one setup needs no mark
    names = dict(zip(whole["setup"], labels(whole, baseline), strict=True))
    report.notes += _notes(sweep, counted)
    content: dict[str, Any] = {
        "verdict": report.verdict,
        "notes": list(report.notes),
        "alpha": ALPHA,
    }
    content |= {
        "runs": plural(int(whole["runs"].sum()), "run"),
        "setups": _seeds(whole),
        "files": [f"{name}.csv" for name in report.tables],
        "atlas": None,
    }
    if len(few) < len(whole):
        first = "the one as it stands, " * (report.baseline is not None)
        first += "those with most seeds, " * (whole["runs"].nunique() > 1)
        content["notes"].append(
            f"Of {plain(len(whole))} setups the page shows {first}those at the ends of the strongest changes, the best and the "
            "worst; the CSV files have all."
        )
    tick("drawing outcomes")
    content["bars"] = _bars(drawing, few, title if sweep.title else "", baseline)
    content["summary"] = summary_table(few, whole, baseline)
    if report.atlas is not None and report.classes is not None:
        tick("drawing every function")
        content["atlas"] = atlas_section.section(
            drawing, report.atlas, report.classes, shortened(sweep.title and title, 120)
        )
    content["published"] = published_tables(report.published, baseline)
    content["agreeing"] = (
        published_section.sentences(report.published, baseline) if len(report.published) else []
    )
    content["contrasts"] = contrasts_table(report.contrasts, whole, report.baseline)
    content["no_contrasts"] = (
        "No two setups differ in exactly one key and share seeds: there is nothing to compare."
    )
    if len(whole) == 1:
        content["no_contrasts"] = "One setup has runs: there is nothing to compare it with."
    if report.atlas is not None:
        content["no_contrasts"] = (
            "No two setups differ in another key than the problem; the classes above compare functions."
        )
    content["attribution"] = attribution_table(report.attribution, whole)
    tick("drawing planes of weights")
    planes = [t for t in some if plane_of(t.keys)]
    basins = [Basin.read(store, one) for one in planes[:MAX_PLANES]]
    ends = [end for basin in basins for end in basin.limits or ()]
    limits = (min(ends), max(ends)) if ends else None
    drawn = [
        _plane(
            drawing,
            one,
            basin,
            problems[one.setup],
            names[one.setup] if len(whole) > 1 else "",
            len(basins),
            limits,
        )
        for one, basin in zip(planes, basins, strict=False)
    ]
    content["planes"] = [picture for picture, _ in drawn]
    said = _boundaries([boundary for _, boundary in drawn])
    if said and len(planes) == len(
        whole
    ):  # of planes alone: what is said of draws does not hold of cells
        which = [f" with {names[setup]}" if len(whole) > 1 else "" for setup in whole["setup"]]
        shares = [
            f"{percent(share)} of the starts converge{name}"
            for share, name in zip(whole["converged_share"], which, strict=True)
        ]
        said = [*said, f"{and_(shares)}."]
    else:
        said = [*report.verdict, *said]
    report.verdict = content["verdict"] = said
    if planes:
        content["notes"].append(
            "The runs of a grid of initial weights are the cells of one plane, no draws: intervals and p-values, which are about "
            "draws, do not apply to them."
        )
    tick("drawing spread and loss")
    content["scatter"] = _scatter(drawing, some, fewer, problems, names)
    tick("drawing survival")
    content["waiting"] = _waiting(drawing, some, fewer, baseline)
    content["times"] = waiting_table(few, whole, baseline)
    tick("drawing thresholds")
    content["collapse"] = _collapse(drawing, some, fewer, baseline)
    content["curves"] = []
    plane = shaped(whole)
    for each in curved(plane):
        tick(f"drawing {each}")
        content["curves"].append(_curves(drawing, plane, each))
    content["maps"] = []
    constant_at_start = summary_module.constant_at_start(counted)
    for x, y in axes(plane)[:MAX_MAPS]:
        tick(f"drawing {x} and {y}")
        content["maps"].append(
            _map(
                drawing,
                plane
                if constant_at_start is None
                else plane.assign(constant_at_start_share=constant_at_start),
                x,
                y,
                baseline,
            )
        )
    tick("drawing single runs")
    found = examples(store, counted, report.baseline)
    content["examples"] = (
        example_groups(drawing, found, problems, names, shown_path(store)) if found else []
    )
    content["trajectories"] = trajectories(drawing, store, names)
    content["words"] = words(
        keys_of(whole), report.published["figure"] if len(report.published) else ()
    )
    content |= how(store, counted, keys_of(whole))
    tick("writing the page")
    html = render("report.html", title, content, made_of)
    write_tables(
        store, report, write
    )  # all at once: whoever is interrupted while drawing leaves what was there
    report.written += [*drawing.write(write), store / "report.html"]
    write(store / "report.html", html)
    return report


def _seen(rows: pd.DataFrame) -> str:
    return f"{plural(int(rows['runs'].sum()), 'run')} in {plural(len(rows), 'setup')}"


def _bars(drawing: Drawing, rows: pd.DataFrame, title: str, baseline: str | None) -> Picture:
    mark = " The setup as it stands is in bold." if baseline in set(rows["setup"]) else ""
    return drawing(
        plots.outcome_bars(
            rows,
            title=f"{shortened(title, 120)} How {_seen(rows)} ended".strip(),
            baseline=baseline,
        ),
        "outcomes",
        "How the runs ended",
        "Stacked bars of outcomes, one for each setup. " + listed(rows, outcomes),
        f"Each bar is a setup, each colour an outcome, each number a count of runs.{mark} Also as",
    )


class Boundary(NamedTuple):
    """Between the runs of a plane that converge and the others: the setup's name, the shares of
    starts one cell and several cells apart that end differently, and the dimension.
    """

    name: str
    near: float
    far: float
    dimension: float


def _plane(
    drawing: Drawing,
    one: SetupCounts,
    basin: Basin,
    problem: Problem | None,
    name: str,
    planes: int,
    limits: tuple[float, float] | None,
) -> tuple[Picture, Boundary]:
    axes = _axes_of(basin.plane, one, problem)
    unlike = unlike_neighbours(basin.converged, basin.there, STEPS)
    boundary = Boundary(
        name, float(unlike[0]), float(unlike[-1]), boundary_dimension(STEPS, unlike)
    )
    title = f"How {plural(one.runs, 'run')} end, by where they start" + (
        f": {name}" if name else ""
    )
    differ = f"Of starts next to each other {percent(boundary.near)} end differently, of those {STEPS[-1]} cells apart "
    picture = drawing(
        plots.basin(basin, names=axes, title=title, most=PLANE_PIXELS[planes > 1], limits=limits),
        "basin" if planes == 1 else f"basin-{one.setup}",
        f"A plane of initial weights{': ' + name if name else ''}",
        f"Map of {plural(one.runs, 'run')} over the initial values of {and_(axes)}, from {-basin.plane.reach:g} to "
        f"{basin.plane.reach:g}: {percent(basin.shares.get(Outcome.CONVERGED, 0.0))} converged.",
        f"Each run stands at the initial values of its {and_(axes)}; all other parameters start alike. {differ}"
        f"{percent(boundary.far)}. The PNG file has every run as a pixel or more. Also as",
        whole=plots.basin(basin, names=axes, title=title, limits=limits),
    )
    return picture, boundary


def _boundaries(found: Sequence[Boundary]) -> list[str]:
    """How alike neighbours end, in a sentence, where some do not."""
    known = [each for each in found if np.isfinite(each.dimension)]
    if not known:
        return []
    near = _span([(each.near, percent(each.near), each.name) for each in known])
    dimension = _span([(each.dimension, f"{each.dimension:.2f}", each.name) for each in known])
    return [
        f"Of starts next to each other in the plane of two weights, {near} end differently, one converging and the other not: "
        f"the boundary between the two has a dimension of {dimension}, where a smooth line has 1."
    ]


def _span(found: Sequence[tuple[float, str, str]]) -> str:
    """From the least to the largest of some numbers, each with its spelling and the name of whose
    it is.
    """
    (_, least, lowest), (_, most, highest) = min(found), max(found)
    return most if len(found) == 1 else f"{least} ({lowest}) to {most} ({highest})"


def _axes_of(plane: Plane, one: SetupCounts, problem: Problem | None) -> list[str]:
    """The names of the two weights; their numbers where it is not known what network they belong
    to.
    """
    if problem is None:
        return [f"parameter {number}" for number in (plane.x, plane.y)]
    sizes = [
        problem[0].shape[1],
        *map(int, str(one.keys["hidden"]).split("-")),
        problem[1].shape[1],
    ]
    return [parameter(sizes, number) for number in (plane.x, plane.y)]


def _scatter(
    drawing: Drawing,
    some: Sequence[SetupCounts],
    rows: pd.DataFrame,
    problems: Problems,
    names: Mapping[str, str],
) -> Picture | None:
    density = summary_module.density(some)
    if not len(density):
        return None
    constants = {
        t.setup: loss
        for t in some
        if (known := problems[t.setup])
        and (loss := constant_loss(known[1], str(t.keys.get("loss_function"))))
    }
    own = {setup: names[setup] for setup in rows["setup"]}
    title = f"Where runs end: spread of outputs and loss of {_seen(rows)}"
    return drawing(
        plots.spread_loss_panels(density, own, constants, _collapses(some), title),
        "spread-loss",
        "Spread of outputs against loss",
        "Panels, one for each setup: loss over spread of outputs, coloured by outcome. "
        + listed(
            rows,
            lambda row: (
                f"{percent(row['constant_share'])} constant, {percent(row['converged_share'])} converged"
            ),
        ),
        "Each cell has the colour of its most frequent outcome, the stronger the more runs are in it. Also as",
    )


def _collapses(counted: Sequence[SetupCounts]) -> dict[str, float]:
    return {t.setup: value for t in counted if isinstance(value := t.keys.get("collapse"), float)}


def _waiting(
    drawing: Drawing, some: Sequence[SetupCounts], rows: pd.DataFrame, baseline: str | None
) -> Picture | None:
    if not rows["ever_converged"].any():
        return None
    return drawing(
        plots.survival_curves(survival(some), baseline=baseline),
        "survival",
        "Updates to convergence",
        "Curves of the share of runs that had not converged yet, over updates. At the end of the budget: "
        + listed(rows, lambda row: f"{percent(1 - row['ever_converged'] / row['runs'])} had not"),
        "The share of runs that no look had found converged yet, and below it how many of them were still trained. Also as",
    )


def _collapse(
    drawing: Drawing, some: Sequence[SetupCounts], rows: pd.DataFrame, baseline: str | None
) -> Picture | None:
    table = collapsing(some)
    if not (table["collapsed"].any() or table["constant_at_start"].any()):
        return None
    thresholds = set(_collapses(some).values())
    return drawing(
        plots.collapse_curves(
            table, collapse=thresholds.pop() if len(thresholds) == 1 else None, baseline=baseline
        ),
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
    """So many rows of the summary, in its order: the setup as it stands, those into which the sweep
    has put most seeds, those at the ends of the strongest changes, the worst and the best, and some
    between them.
    """
    whole = report.summary
    if len(whole) <= most:
        return whole
    wanted: dict[int, None] = {}
    if report.baseline is not None:
        wanted |= dict.fromkeys(np.flatnonzero(whole["setup"] == report.baseline).tolist())
    main = np.flatnonzero(whole["runs"] == whole["runs"].max()).tolist()
    if len(main) < most:
        wanted |= dict.fromkeys(main)
    keys = keys_of(whole)
    places = {
        tuple(plain(row[key]) for key in keys): i for i, row in enumerate(whole.to_dict("records"))
    }
    strongest = report.contrasts[report.contrasts["p_holm"] < ALPHA]
    for row in strongest.loc[
        strongest["difference"].abs().sort_values(ascending=False, kind="stable").index
    ].to_dict("records"):
        for end in ("from", "to"):
            place = places.get(
                tuple(plain(row[end] if key == row["key"] else row.get(key)) for key in keys)
            )
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
    told = " to ".join(
        f"{percent(row['converged_share'])} with {setting(row, keys_of(summary))}" for row in ends
    )
    return drawing(
        plots.response_curves(
            summary, key, title=f"Share converged over {key}: {_seen(summary)}, 95% bands"
        ),
        f"response-{key}",
        f"Share converged over {key}",
        f"Curves of the share of runs converged over {key}, with 95% bands. It goes from {told}.",
        "A dot is a setup, a line a setting of the other keys; the grey line is at one half. Also as",
    )


def _map(drawing: Drawing, summary: pd.DataFrame, x: str, y: str, baseline: str | None) -> Picture:
    others = [key for key in keys_of(summary) if key not in (x, y)]
    groups = [("", summary)]
    if others:
        groups = [
            (setting(rows.iloc[0], others), rows)
            for _, rows in summary.groupby(others, sort=False, dropna=False)
        ]
    shown = [groups[i] for i in evenly(len(groups), 4).tolist()]
    start = next(iter(summary[summary["setup"] == baseline].to_dict("records")), None)
    if start and len(shown) < len(
        groups
    ):  # the setting as it stands, and those that differ from it in one key
        near = [
            (apart(rows.iloc[0], others, start), rows)
            for _, rows in groups
            if sum(plain(rows.iloc[0][key]) != plain(start[key]) for key in others) <= 1
        ]
        near.sort(key=lambda each: each[0] != STANDS)
        if len(near) > 1:
            shown = [near[i] for i in evenly(len(near), 4).tolist()]
    some = (
        f", {len(shown)} of {len(groups)} settings of {and_(others)}"
        if len(shown) < len(groups)
        else ""
    )
    ends = [extreme(summary, "converged", least) for least in (True, False)]
    told = " to ".join(
        f"{percent(row['converged_share'])} with {setting(row, keys_of(summary))}" for row in ends
    )
    title = f"Share of runs by how they end, over {x} and {y}{some}: {_seen(summary)}"
    caption = "Above the share converged, below the share constant"
    if len(shown) == 1:
        caption = (
            "The share converged, the share constant (collapsed or one-class), the share collapsed"
        )
        caption += ", and how many were as constant before the first update" * (
            "constant_at_start_share" in summary
        )
    wide = any(rows[[x, y]].nunique().min() > plots.FEW_VALUES for _, rows in shown)
    caption += "; a black line is where it is one half" * wide
    caption += "; grey cells have no setup" * any(gaps(rows, (x, y)) for _, rows in shown)
    return drawing(
        plots.heatmap_panels(x, y, shown, title),
        f"map-{x}-{y}",
        f"Shares over {x} and {y}",
        f"Heatmaps of the share of runs over {x} and {y}. The share converged goes from {told}.",
        f"{caption}. Also as",
    )
