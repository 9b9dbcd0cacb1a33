"""The top of the page: the answer, and notes about the runs."""

from collections.abc import Iterator

from fastbp.analysis.atlas import others_of
from fastbp.reporting.phrases import plain
from fastbp.reporting.report_data import Content, ReportData
from fastbp.reporting.sections import atlas_section, planes_section, published_section
from fastbp.reporting.verdict import verdict as answer_of_tables
from fastbp.schema.text import plural


def answer(data: ReportData) -> list[str]:
    """Write the paragraphs that answer the question of the sweep, the answer itself first."""
    lines = answer_of_tables(
        data.summary, data.contrasts, data.attribution, data.baseline, data.constant_at_start
    )
    published = published_section.sentences(data.published, data.baseline)
    if data.is_atlas:
        # Without a baseline, the first line is about the extremes, and so is that of an atlas.
        more = [*published, *lines[data.baseline is None :]]
        more = more if others_of(data.functions) else []
        lines = [*atlas_section.sentences(data.functions, data.classes), *more]
    else:
        lines = [*published, *lines]
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
    if len(data.shown) < len(data.summary):
        first = "the baseline, " * (data.baseline is not None)
        first += "those with most seeds, " * (data.summary["runs"].nunique() > 1)
        yield (
            f"Of {plain(len(data.summary))} setups the page shows {first}those before and after "
            "the strongest changes, the best and the worst; the CSV files have all."
        )
    if data.plane_counts:
        yield (
            "The runs of a grid of initial weights are the cells of one plane, not random draws: "
            "intervals and p-values do not apply to them."
        )


def content(data: ReportData, verdict: list[str]) -> Content:
    """Make the variables of the template `report.html`, except the sections."""
    runs = data.summary["runs"]
    low, high = int(runs.min()), int(runs.max())
    seeds = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
    return {
        "verdict": verdict,
        "notes": [*data.notes, *_page_notes(data)],
        "runs": plural(int(runs.sum()), "run"),
        "setups": f"{plural(len(runs), 'setup')}, {'each ' * (len(runs) > 1)}from {seeds} "
        f"seed{'s'[: high != 1]}",
        "files": [f"{name}.csv" for name in data.tables],
    }
