"""The data of a report: the counted runs of a store, and the tables made from them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis import atlas, attribution, contrasts, summary
from fastbp.analysis.axes import the_map, with_width_and_depth
from fastbp.analysis.basins import Basin, plane_of, unlike_neighbours
from fastbp.analysis.counts import SetupCounts
from fastbp.analysis.improvement import improvement
from fastbp.analysis.published import published, published_figures
from fastbp.reporting.change_sentences import changes_of
from fastbp.reporting.html import Drawing, HtmlFigure
from fastbp.reporting.phrases import evenly, labels, place_of, plain, setting
from fastbp.schema.errors import damage_ignored
from fastbp.schema.text import shortened
from fastbp.store.npz import StoredProblem, read_problem
from fastbp.store.places import real_path
from fastbp.store.provenance import LatestSweep

MAX_BARS, MAX_PANELS, MAX_PLANES = 24, 12, 4
"""A page has at most this many bars, this many panels or curves, and this many planes of initial
weights."""

STEPS = (1, 2, 4, 8, 16)
"""Distances between two starting points in a plane, in steps of its grid, at which their outcomes
are compared."""

Content = dict[str, Any]
"""The variables of a template, by name."""


class StartPlane(NamedTuple):
    """The runs that start in a plane of initial weights, and how often neighbours end differently.

    Attributes
    ----------
    one : SetupCounts
        The counts of the setup.
    name : str
        Name of the setup, empty if there is only one.
    basin : Basin
        How the run from each point of the plane ended.
    unlike : list of float
        For each distance in `STEPS` the share of the pairs of starting points of which one run
        converges and the other does not.
    """

    one: SetupCounts
    name: str
    basin: Basin
    unlike: list[float]


@dataclass
class ReportData:
    """A store's runs, and the tables made from them.

    Parameters
    ----------
    store : Path
        The folder of the store.
    counted : sequence of SetupCounts
        The result of `count_runs`; a page needs counts with histograms.
    baseline : str or None
        Id of the setup that others are compared with.
    sweep : LatestSweep
        The latest sweep of the store.
    """

    store: Path
    counted: Sequence[SetupCounts]
    baseline: str | None
    sweep: LatestSweep = field(default_factory=LatestSweep)
    notes: list[str] = field(default_factory=list)
    """What a reader must know about these runs."""
    written: list[Path] = field(default_factory=list)
    """The files that were written."""

    def __post_init__(self) -> None:
        """Make the tables."""
        if self.baseline not in {t.setup for t in self.counted}:
            self.baseline = None  # it is no part of the grid, or has no runs yet
        self._by_id = {t.setup: t for t in self.counted}
        self._rows: dict[str, int] = {}
        self._last: tuple[str, StoredProblem | None] = "", None
        self.drawing = Drawing(self.store)
        """Draws the figures of the page and keeps their files."""
        self.summary = summary.stored_summary(self.counted)
        self.contrasts = contrasts.contrasts(self.counted, self.baseline)
        self.is_atlas = atlas.is_atlas(self.summary)
        # Without a baseline, several changes would start at the first setup, which nobody chose.
        self.attribution = attribution.attribution(
            self.counted if self.baseline else (), self.baseline
        )
        self.interactions = attribution.interactions(self.counted, self.attribution)
        self.improvement = improvement(self.counted, self.baseline)
        self.constant_at_start = summary.constant_at_start(self.counted)
        figures = published_figures(self.sweep)
        wanted = {setup for one in figures for setup in one.setups}
        known = {
            t.setup: updates
            for t in self.counted
            if t.setup in wanted and (updates := self._updates_per_epoch(t))
        }
        self.published = published(self.counted, figures, known)
        self.tables = {
            "summary": self.summary,
            "contrasts": self.contrasts,
            "attribution": self.attribution,
        }
        """The tables of the CSV files, by their names."""
        if self.is_atlas:
            self.functions, self.classes = (
                atlas.functions(self.summary),
                atlas.equality(self.counted),
            )
            self.tables |= {"atlas": self.functions, "classes": self.classes}
        more = {
            "interactions": self.interactions,
            "improvement": self.improvement,
            "published": self.published,
        }
        self.tables |= {name: table for name, table in more.items() if len(table)}

    def _updates_per_epoch(self, t: SetupCounts) -> int | None:
        """Number of updates in an epoch of a setup; None if it is not known."""
        updates, epochs, batch = (t.keys[key] for key in ("updates", "epochs", "batch"))
        if not (isinstance(updates, int) and isinstance(batch, int)):
            return None
        if epochs and isinstance(epochs, int):
            return updates // epochs
        source = _source(t)
        if source not in self._rows:
            problem = self.problem_of(t.setup)
            self._rows[source] = len(problem.X) if problem else 0
        rows = self._rows[source]
        return -(-rows // batch) if rows else None

    def problem_of(self, setup: str) -> StoredProblem | None:
        """The problem of a setup; None if the store does not have it.

        Only the last one is kept: each may have a quarter of a gigabyte.
        """
        source = _source(self._by_id[setup])
        if self._last[0] != source:
            self._last = source, None  # two would be in memory
            self._last = source, _problem(self.store, source)
        return self._last[1]

    # What a page shows

    @cached_property
    def sized(self) -> pd.DataFrame:
        """The summary with the width and depth of networks in place of their layers, if it can."""
        return with_width_and_depth(self.summary)

    @cached_property
    def map_keys(self) -> tuple[str, str] | None:
        """The keys across and up if the setups form one map, as `the_map` finds them."""
        return the_map(self.sized)

    @cached_property
    def title(self) -> str:
        """The title of the page."""
        words = ["Sweep", *Path(real_path(self.store, strict=False)).name.split()]
        return shortened(plain(self.sweep.title or " ".join(words)), 300)

    @property
    def marked(self) -> str | None:
        """The id of the setup to mark: the baseline, unless it is the only setup."""
        return self.baseline if len(self.summary) > 1 else None

    @cached_property
    def names(self) -> dict[str, str]:
        """The name of each setup, by its id."""
        return dict(zip(self.summary["setup"], labels(self.summary, self.marked), strict=True))

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The rows of the summary whose setups have a bar, and a row in the tables, on the page."""
        return self.chosen(MAX_BARS)

    @cached_property
    def panels(self) -> pd.DataFrame:
        """The rows of the summary whose setups have a panel or a curve on the page."""
        return self.chosen(MAX_PANELS)

    @cached_property
    def panel_counts(self) -> list[SetupCounts]:
        """The counts of the setups that have a panel or a curve."""
        return [self._by_id[setup] for setup in self.panels["setup"]]

    @property
    def plane_counts(self) -> list[SetupCounts]:
        """The counts of setups with a panel that start in a plane of initial weights."""
        return [t for t in self.panel_counts if plane_of(t.keys)]

    @cached_property
    def planes(self) -> list[StartPlane]:
        """The planes of initial weights that the page shows, read from the store.

        One with a run for less than a tenth of its points is not: of side 4,000 it takes 1.2 GB.
        """
        seen = (
            t
            for t in self.plane_counts
            if (plane := plane_of(t.keys)) and 10 * t.runs >= plane.side**2
        )
        basins = [(t, Basin.read(self.store, t)) for t in islice(seen, MAX_PLANES)]
        return [
            StartPlane(
                t,
                self.names.get(t.setup, "") if len(self.summary) > 1 else "",
                basin,
                unlike_neighbours(basin.converged, basin.present, STEPS).tolist(),
            )
            for t, basin in basins
        ]

    @cached_property
    def collapsing(self) -> pd.DataFrame:
        """The runs of these setups that would be collapsed with each of many thresholds."""
        return summary.collapsing(self.panel_counts)

    def chosen(self, most: int) -> pd.DataFrame:
        """Choose at most `most` rows of the summary, and keep their order.

        In this order of preference: the baseline, the best and the worst; the setups with the most
        seeds, if they are few; those that the baseline's changes lead to, up to half of the rows;
        and some between the best and the worst. Without a baseline the best one comes first.
        """
        rows = self.summary
        if len(rows) <= most:
            return rows
        main = np.flatnonzero(rows["runs"] == rows["runs"].max()).tolist()
        shares = rows["converged_share"]
        first = np.flatnonzero(rows["setup"] == self.baseline).tolist()
        first += [int(shares.argmax()), int(shares.argmin()), *main * (len(main) < most)]
        places = [*dict.fromkeys(first + self._ends_of_changes())]
        wanted = dict.fromkeys(places[: max(len(set(first)), most // 2)])
        order = shares.sort_values(kind="stable").index.to_numpy()
        for many in range(1, len(order) + 1):  # the worst, the best, and more between them
            wanted |= dict.fromkeys(order[evenly(len(order), many)].tolist())
            if len(wanted) >= most:
                break
        places = sorted([*wanted][:most])
        if self.baseline is None:
            places.sort(key=shares.__getitem__, reverse=True)
        return rows.iloc[places].reset_index(drop=True)

    def _ends_of_changes(self) -> list[int]:
        """Positions of the setups that changes of the baseline with an effect lead to."""
        changes = changes_of(self.summary, self.contrasts, self.baseline)
        if changes is None:
            return []
        ends = [changes.end_of(row) for sign in (1, -1) for row in changes.shown(sign)]
        return [place_of(self.summary, end) for end in ends if end]


def _source(one: SetupCounts) -> str:
    """The digest of the problem with the rows that a setup is trained on; empty if none is stored.

    The store has only the whole problem if each seed is trained on other rows.
    """
    known = re.fullmatch("[0-9a-f]{64}", one.problem) and one.keys.get("test_split") != "seed"
    return one.problem if known else ""


def _problem(store: Path, digest: str) -> StoredProblem | None:
    """Read the problem of a digest; None if the store does not have it, or there is no digest."""
    problem: StoredProblem | None = None
    with damage_ignored():  # `fastbp verify` reports it
        problem = read_problem(store, digest) if digest else None
    return problem


def by_strength(table: pd.DataFrame) -> pd.DataFrame:
    """Sort a table by the absolute value of `difference`, the largest first, NaN last."""
    return table.sort_values("difference", key=abs, ascending=False, kind="stable")


def settings_of(table: pd.DataFrame, keys: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """Split a table by the values of some keys: the values as a text, and the rows with them."""
    return [(setting(rows.iloc[0], keys), rows) for rows in summary.settings_of(table, keys)]


class Section(NamedTuple):
    """A section of the page.

    Attributes
    ----------
    anchor : str
        Id of its heading, to link to.
    title : str
        What the section is about, in a few words.
    content : callable
        Takes the ReportData and returns the variables of the template, or None if the page does not
        need the section.
    template : str
        Jinja template of its HTML; it may use the macros `figure` and `table` of `parts.html`.
    finding : callable, optional
        Takes the ReportData and returns what the section shows in a short sentence without a full
        stop: its heading, and the title of its pictures. By default the title is the heading.
    lead : str
        The variable of the template that has the figures. The first may lead the page.
    leads : callable
        Takes the ReportData and returns whether this figure answers the question of the sweep best.
    """

    anchor: str
    title: str
    content: Callable[[ReportData], Content | None]
    template: str
    finding: Callable[[ReportData], str] | None = None
    lead: str = ""
    leads: Callable[[ReportData], bool] = lambda data: False

    def take_lead(self, content: Content) -> HtmlFigure:
        """Take the figure that may lead the page out of the variables of the template."""
        lead: HtmlFigure
        lead, *content[self.lead] = content[self.lead]
        return lead
