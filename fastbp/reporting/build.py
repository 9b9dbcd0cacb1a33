"""Make the tables, figures and page of a store, from its Parquet files alone."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

from fastbp import __version__
from fastbp.analysis.counts import count_runs
from fastbp.reporting.html import render, render_part
from fastbp.reporting.plots.panels import new_figures
from fastbp.reporting.report_data import MAX_BARS, ReportData, Section
from fastbp.reporting.sections import (
    atlas_section,
    changes_section,
    cures_section,
    definitions_section,
    examples_section,
    maps_section,
    outcomes_section,
    planes_section,
    profiles_section,
    published_section,
    survival_section,
)
from fastbp.reporting.terminal_map import map_lines
from fastbp.reporting.verdict import notes, paragraphs, top_of_page
from fastbp.schema.errors import RunsError, StoreError, UnsafeFileError
from fastbp.schema.text import Screen, finding
from fastbp.store import filename, safe_files
from fastbp.store.provenance import latest_sweep
from fastbp.store.store import Store, is_written

SECTIONS: tuple[Section, ...] = (
    atlas_section.SECTION,
    cures_section.SECTION,
    outcomes_section.SECTION,
    profiles_section.SECTION,
    published_section.SECTION,
    planes_section.SECTION,
    changes_section.SECTION,
    outcomes_section.SPREAD,
    survival_section.SECTION,
    outcomes_section.THRESHOLD,
    maps_section.CURVES,
    maps_section.SECTION,
    examples_section.SECTION,
    examples_section.TRAJECTORIES,
    definitions_section.SECTION,
    definitions_section.PROVENANCE,
)
"""The sections of the page, from the top down, below the one whose figure leads the page."""

LEADERS = (
    atlas_section.SECTION,
    cures_section.SECTION,
    planes_section.SECTION,
    maps_section.SECTION,
    maps_section.CURVES,
    outcomes_section.SECTION,
)
"""Sections with a figure that may lead the page: that of the first one that `leads` does."""

SCREENFUL = 38
"""The lines that a sweep prints, roughly, apart from those about its files."""

CHANGES_HEAD = 6
"""The lines of a table of changes besides its rows, with empty lines before and behind."""

MAX_PICTURES = 1 << 28
"""The most bytes of all pictures of a page: one of a stranger may link to any number."""

FEW = 4
"""The least rows of a table of changes, and the most of one that stands besides published
figures."""

Write = Callable[[Path, bytes], object]
"""Function of a path and a content that writes the file completely or not at all."""

Tick = Callable[[str], None]
"""Function that is called with the name of each phase of the work when it begins."""


class Report(ReportData):
    """The tables of a store, and the sentences and terminal tables made from them."""

    @cached_property
    def verdict(self) -> list[str]:
        """The answer to the question of the sweep, in paragraphs."""
        return paragraphs(self)

    def table(self, screen: Screen, most: int = MAX_BARS) -> list[str]:
        """The results for a terminal: a line for at most `most` setups, in an atlas for classes.

        Of a map it is the critical line and a picture.
        """
        if self.is_atlas:
            return atlas_section.terminal_table(self.classes, screen.width, most)
        if self.map_keys:
            return map_lines(self.sized, *self.map_keys, screen)
        return outcomes_section.result_table(
            self.summary, self.baseline, self.chosen(most), screen.width
        )

    def answer(self) -> list[str]:
        """The paragraphs of the answer for a terminal: the first one, in an atlas all."""
        return self.verdict if self.is_atlas else self.verdict[:1]

    def published_lines(self, width: int) -> list[str]:
        """The comparison of published figures with ours for a terminal; empty without any."""
        return (
            []
            if self.published.empty
            else published_section.terminal_lines(self.published, self.baseline, width)
        )

    def parts(self, screen: Screen, before: int) -> list[list[str]]:
        """The tables for a terminal, as groups of lines that leave room for `before` lines.

        Together they have about `SCREENFUL` lines. A table of single changes stands below that of
        the setups, except in an atlas, of a map, and where published figures are compared.
        """
        if self.is_atlas or not self.published.empty or self.map_keys:
            return [
                self.table(screen, MAX_BARS if self.published.empty else FEW),
                self.published_lines(screen.width),
            ]
        many = len(self.summary) > MAX_BARS and len(self.contrasts) > 0
        table = self.table(screen, MAX_BARS // 2 if many else MAX_BARS)
        room = SCREENFUL - before - len(table) - CHANGES_HEAD
        return [
            table,
            changes_section.effect_lines(
                self.contrasts, self.summary, self.baseline, screen.width, max(FEW, room)
            ),
        ]


def page_key(store: Path, setups: Sequence[str] = (), collapse: float | None = None) -> str:
    """Digest of all that a page is made from: equal digests mean equal pages.

    Parameters
    ----------
    store : Path
        The folder of the store.
    setups : sequence of str
        Ids of the setups on the page; empty for all.
    collapse : float, optional
        Threshold of collapse with which outcomes were decided anew.

    Returns
    -------
    str
        16 hex digits.
    """
    parts = [
        __version__,
        *map(version, ("numpy", "pandas", "matplotlib", "jinja2", "scipy")),
        str(collapse),
        *setups,
        *(file.path.name for file in filename.run_files(store / "runs")),
        *(name for name in safe_files.listed(store, "replays") if name.endswith(".parquet")),
    ]
    hasher = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape"))
    for name in ("sweep.toml", "made.json"):
        with suppress(OSError):
            hasher.update(safe_files.read(store / name, store))
    return hasher.hexdigest()[:16]


def is_current(store: Path, setups: Sequence[str]) -> bool:
    """Whether the page in the store has the `page_key` of these setups, and all files it links to.

    Its pictures may be of another report, which was interrupted or made at the same time; and runs
    may have been away while it was made.
    """
    try:
        text = safe_files.text_of(store / "report.html", store)
    except (OSError, ValueError):
        return False
    key = f'name="fastbp-made-of" content="{page_key(store, setups)}-'
    links = {*re.findall(r'href="((?:figures/)?[\w.-]+)"', text if key in text else "")}
    there = safe_files.listed(store) | {
        f"figures/{name}": is_file for name, is_file in safe_files.listed(store, "figures").items()
    }
    pictures = sorted(link for link in links if link.startswith("figures/"))
    wanted, files = {*setups}, filename.run_files(store / "runs")
    runs = sum(file.count for file in files if not wanted or file.setup in wanted)
    try:
        digest = _digest(((link, safe_files.read(store / link, store)) for link in pictures), runs)
    except (OSError, UnsafeFileError):
        return False
    return all(there.get(link) for link in links) and f'{key}{digest}"' in text


def _digest(files: Iterable[tuple[str, bytes]], runs: int) -> str:
    """16 hex digits for files by their names, if they are not too large together, and for runs."""
    hasher, left = hashlib.sha256(f"{runs} ".encode()), MAX_PICTURES
    for name, content in files:
        hasher.update(f"{name} {len(content)} ".encode() + content)
        left -= len(content)
        if left < 0:
            return "too large"
    return hasher.hexdigest()[:16]


def write_tables(report: Report, write: Write) -> None:
    """Write those CSV files of a report that have changed."""
    for name, table in report.tables.items():
        file, content = report.store / f"{name}.csv", table.to_csv(index=False).encode()
        if not is_written(file, content, report.store):
            write(file, content)
            report.written.append(file)
    if report.published.empty:  # an earlier sweep of other setups may have left the file
        safe_files.remove(report.store / "published.csv", report.store)


def write_page(report: Report, key: str, write: Write, tick: Tick) -> None:
    """Draw the figures and write tables, figures and page. `key`: the page's `page_key`.

    All files are written at the end, so a command that is interrupted while it draws changes
    nothing.
    """
    report.notes += notes(report)
    leader = next(section for section in LEADERS if section.leads(report))
    lead, sections = None, []
    for section in sorted(SECTIONS, key=lambda section: section is not leader):
        tick(f"drawing: {section.title.lower()}")
        finds = section.finding and partial(section.finding, report)
        if section is leader:
            finds = partial(finding, report.verdict[0])
        with new_figures(finding=finds):
            content = section.content(report)
        if content is None:
            continue
        if section is leader:
            lead = section.take_lead(content)
        sections.append(
            {
                "anchor": section.anchor,
                "title": section.title,
                "finding": section.finding(report) if section.finding else section.title,
                "html": render_part(section.template, content),
            }
        )
    tick("writing the page")
    content = top_of_page(report, report.verdict) | {"lead": lead, "sections": sections}
    drawn = report.drawing.drawn
    pictures = {path.relative_to(report.store).as_posix(): file for path, file in drawn.items()}
    digest = _digest(sorted(pictures.items()), sum(one.runs for one in report.counted))
    page = render("report.html", report.title, content, f"{key}-{digest}")
    write_tables(report, write)
    files = drawn | {report.store / "report.html": page}
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
    """Make the tables, figures and page of a store, and write them into its folder.

    `written` of the result has the paths of the files.

    Parameters
    ----------
    store : Path
        The folder of the store.
    collapse : float, optional
        Threshold of collapse, as a share of the target range, with which to decide outcomes anew.
    all_runs : bool
        Whether to report all setups, not only those of the latest sweep.
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
    key = page_key(store, ids, collapse)  # of what comes meanwhile the page has nothing
    tick("reading")
    counted = count_runs(store, setups=frozenset(ids) or None, pictures=True, collapse=collapse)
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
    write_page(report, key, partial(safe_files.write, root=store), tick)
    return report


def _is_running(store: Path) -> bool:
    """Whether a sweep holds the store's lock."""
    try:
        import fcntl

        with safe_files.opened(store / "lock", store) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, OSError) as error:
        return isinstance(error, BlockingIOError)
    return False


def tables_of_sweep(
    store: Store, collapses: Mapping[str, float], baseline: str | None, *, pictures: bool
) -> Report:
    """Count the runs of a sweep, and write their tables.

    Parameters
    ----------
    store : Store
        The store, locked by the caller.
    collapses : mapping
        Threshold of collapse of each setup of the sweep, by setup id.
    baseline : str or None
        Id of the baseline.
    pictures : bool
        Whether a page will be written.

    Raises
    ------
    StoreError
        If runs cannot be read, or have outcomes of another threshold.
    OSError
        If files cannot be written.
    """
    try:
        counted = count_runs(store.path, setups=[*collapses], pictures=pictures)
    except (OSError, ValueError) as error:
        store.check_files()  # its error names the file
        raise StoreError(f"{store.runs} cannot be read: {error}") from error
    for t in counted:
        if t.keys["collapse"] != collapses[t.setup]:
            raise store.other_collapse(t.setup, t.keys["collapse"], collapses[t.setup])
    report = Report(store.path, counted, baseline, latest_sweep(store.path))
    write_tables(report, store.write)
    return report
