"""Make the tables, figures and page of a store, from its Parquet files alone."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from fastbp import __version__
from fastbp.analysis.counts import SetupCounts, count_runs
from fastbp.reporting.html import render, render_part
from fastbp.reporting.report_data import ReportData, Section
from fastbp.reporting.sections import (
    answer_section,
    atlas_section,
    changes_section,
    collapse_section,
    definitions_section,
    examples_section,
    maps_section,
    outcomes_section,
    planes_section,
    provenance_section,
    published_section,
    response_section,
    spread_section,
    survival_section,
    trajectories_section,
)
from fastbp.schema.errors import RunsError, StoreError
from fastbp.store import filename, parquet
from fastbp.store.provenance import latest_sweep
from fastbp.store.store import Store

SECTIONS: tuple[Section, ...] = (
    atlas_section.SECTION,
    outcomes_section.SECTION,
    published_section.SECTION,
    planes_section.SECTION,
    changes_section.SECTION,
    spread_section.SECTION,
    survival_section.SECTION,
    collapse_section.SECTION,
    response_section.SECTION,
    maps_section.SECTION,
    examples_section.SECTION,
    trajectories_section.SECTION,
    definitions_section.SECTION,
    provenance_section.SECTION,
)
"""The sections of the page, in order. The answer is above them."""

Write = Callable[[Path, bytes], object]
"""Writes a file completely or not at all."""

Tick = Callable[[str], None]
"""Called with the name of each phase."""


class Report(ReportData):
    """A store's tables, with the sentences and terminal tables made from them."""

    @cached_property
    def verdict(self) -> list[str]:
        """The answer, in paragraphs."""
        return answer_section.answer(self)

    def table(self) -> list[str]:
        """The table of results for a terminal: a row for each setup, or for each class."""
        if self.is_atlas:
            return atlas_section.terminal_table(self.classes)
        return outcomes_section.result_table(self.summary, self.baseline)

    def answer(self) -> list[str]:
        """The answer in short, for a terminal: one paragraph, in an atlas all."""
        return self.verdict if self.is_atlas else self.verdict[:1]

    def changes(self) -> list[str]:
        """What each change did, for a terminal; nothing in an atlas."""
        if self.is_atlas:
            return []
        return changes_section.effect_lines(self.contrasts, self.summary, self.baseline)

    def published_lines(self) -> list[str]:
        """Published figures compared with ours, for a terminal."""
        if self.published.empty:
            return []
        return published_section.terminal_lines(self.published, self.baseline)


def page_key(store: Path, setups: Sequence[str] = (), collapse: float | None = None) -> str:
    """Digest of all that a page is made from, in 16 hex digits: equal digests mean equal pages."""
    packages = ("numpy", "pandas", "matplotlib", "jinja2", "scipy")
    runs = (file.path.name for file in filename.run_files(store / "runs"))
    replays = sorted(file.name for file in (store / "replays").glob("*.parquet"))
    parts = [__version__, *map(version, packages), str(collapse), *setups, *runs, *replays]
    hasher = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape"))
    for name in ("sweep.toml", "made.json"):
        with suppress(OSError):
            hasher.update((store / name).read_bytes())
    return hasher.hexdigest()[:16]


def is_current(store: Path, key: str) -> bool:
    """Whether the store has the page with this key, and all files that the page links to.

    The page is written last, so its files are there unless somebody removed them.
    """
    try:
        text = (store / "report.html").read_text("utf-8")
    except (OSError, ValueError):
        return False
    links = re.findall(r'href="((?:figures/)?[\w.-]+)"', text)
    is_same = f'name="fastbp-made-of" content="{key}"' in text
    return is_same and all((store / link).is_file() for link in links)


def write_tables(report: Report, write: Write) -> None:
    """Write those CSV files of a report that have changed."""
    for name, table in report.tables.items():
        file, content = report.store / f"{name}.csv", table.to_csv(index=False).encode()
        if not file.is_file() or file.read_bytes() != content:
            write(file, content)
            report.written.append(file)
    if report.published.empty:  # an earlier sweep of other setups may have left the file
        (report.store / "published.csv").unlink(missing_ok=True)


def _write_page(report: Report, key: str, write: Write, tick: Tick) -> None:
    """Draw the figures and write tables, figures and page.

    All files are written at the end, so a command that is interrupted while it draws changes
    nothing.
    """
    report.notes += answer_section.notes(report)
    sections = []
    for section in SECTIONS:
        tick(f"drawing: {section.title.lower()}")
        content = section.content(report)
        if content is not None:
            html = render_part(section.template, content)
            sections.append({"anchor": section.anchor, "title": section.title, "html": html})
    tick("writing the page")
    content = answer_section.content(report, report.verdict) | {"sections": sections}
    page = render("report.html", report.title, content, key)
    write_tables(report, write)
    files = report.drawing.drawn | {report.store / "report.html": page}
    for path, file in files.items():
        write(path, file)
    report.written += files


def make(
    store: Path,
    *,
    collapse: float | None = None,
    all_runs: bool = False,
    tick: Tick = lambda phase: None,
) -> Report:
    """Make the tables, figures and page of a store, as `fastbp report` does.

    Parameters
    ----------
    store : Path
        The folder of the store.
    collapse : float, optional
        A threshold of collapse: outcomes are decided anew with it.
    all_runs : bool
        Report all setups, not only those of the latest sweep.
    tick : callable
        Called with the name of each phase.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    DamagedFileError, ValueError
        As `count_runs` does; ValueError also if there are no runs.
    OSError
        If files cannot be written.
    """
    runs = filename.runs_folder(store)
    sweep = latest_sweep(store)
    ids = () if all_runs else sweep.setups
    tick("reading")
    counted = count_runs(store, setups=ids or None, pictures=True, collapse=collapse)
    if not counted:
        others = " of its latest sweep, only of others: --all-runs reports them"
        raise RunsError(f"{store} holds no runs{others * any(filename.run_files(runs))}")
    report = Report(store, counted, sweep.baseline, sweep)
    if collapse is not None:
        report.notes.append(
            f"Outcomes were decided anew, with collapse = {collapse:g}, from the measures of each "
            "run."
        )
    if _is_running(store):
        report.notes.append("This sweep is still running: the page shows what is there so far.")
    _write_page(report, page_key(store, ids, collapse), parquet.write, tick)
    return report


def _is_running(store: Path) -> bool:
    """Whether a sweep holds the store's lock."""
    with suppress(ImportError, OSError):
        import fcntl

        with open(store / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def finish_sweep(
    store: Store,
    collapses: Mapping[str, float],
    baseline: str | None,
    *,
    page: bool,
    renew: bool,
    record: Callable[[], None],
    tick: Tick,
) -> Report:
    """Write the tables of a sweep's runs, and its page unless the page there is current.

    Parameters
    ----------
    store : Store
        The store, locked by the caller.
    collapses : mapping
        The threshold of collapse of each setup of the sweep, by its id.
    baseline : str or None
        The id of the baseline.
    page : bool
        Whether a page is wanted.
    renew : bool
        Whether to make the page even if the old one is current, because runs were trained.
    record : callable
        Called after the tables and before the page, to write what the page says about this
        command.
    tick : callable
        Called with the name of each phase of the page.

    Raises
    ------
    StoreError
        If runs cannot be read, or have outcomes of another threshold.
    OSError
        If files cannot be written.
    """
    ids = list(collapses)
    page = page and (renew or not is_current(store.path, page_key(store.path, ids)))
    counted = _counted(store, collapses, pictures=page)
    report = Report(store.path, counted, baseline, latest_sweep(store.path))
    write_tables(report, store.write)
    record()
    if page and counted:
        _write_page(report, page_key(store.path, ids), store.write, tick)
    return report


def _counted(store: Store, collapses: Mapping[str, float], pictures: bool) -> list[SetupCounts]:
    """Count the runs of a sweep, whose outcomes must be those of its thresholds of collapse."""
    try:
        counted = count_runs(store.path, setups=[*collapses], pictures=pictures)
    except (OSError, ValueError) as error:
        store.check_files()  # its error names the file
        raise StoreError(f"{store.runs} cannot be read: {error}") from error
    for t in counted:
        if t.keys["collapse"] != collapses[t.setup]:
            raise store.other_collapse(t.setup, t.keys["collapse"], collapses[t.setup])
    return counted
