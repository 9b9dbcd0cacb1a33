"""What a report is made of: the counted runs of a store, and the tables made from them."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis import atlas, attribution, contrasts, summary
from fastbp.analysis.basins import Basin, plane_of, unlike_neighbours
from fastbp.analysis.counts import SetupCounts
from fastbp.analysis.published import published, published_figures
from fastbp.analysis.summary import ALPHA, keys_of
from fastbp.reporting.html import Drawing
from fastbp.reporting.phrases import evenly, labels, plain, setting
from fastbp.schema.text import shortened
from fastbp.store.npz import read_arrays
from fastbp.store.provenance import LatestSweep

MAX_BARS, MAX_PANELS, MAX_PLANES = 24, 12, 4
"""The most setups with a bar, setups with a panel or a curve, and planes of weights."""

STEPS = (1, 2, 4, 8, 16)
"""Distances, in cells of a plane, at which the ends of two starts are compared."""

Content = dict[str, Any]
"""The variables of a template."""

Arrays = tuple[NDArray[np.float64], NDArray[np.float64]]
"""X, [row, input], and T, [row, output], of a problem."""


class StartPlane(NamedTuple):
    """The runs that start in a plane of initial weights, and how often neighbours end differently.

    `name`: the name of the setup, empty if there is only one; `unlike`: the share of pairs of
    starts that end differently, for each distance in `STEPS`.
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
        As `count_runs` returned them; pictures need those with histograms.
    baseline : str or None
        The id of the setup that others are compared with.
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
        self.summary = summary.summary(self.counted)
        self.contrasts = contrasts.contrasts(self.counted, self.baseline)
        self.is_atlas = atlas.is_atlas(self.summary)
        # Without a baseline, changes would start at the first function of an atlas: that says
        # nothing.
        has_start = self.baseline is not None or not self.is_atlas
        self.attribution = attribution.attribution(self.counted if has_start else (), self.baseline)
        self.constant_at_start = summary.constant_at_start(self.counted)
        figures = published_figures(self.sweep)
        wanted = {setup for one in figures for setup in one.setups}
        epochs = {t.setup: self._updates_per_epoch(t) for t in self.counted if t.setup in wanted}
        known = {setup: updates for setup, updates in epochs.items() if updates}
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
        if len(self.published):
            self.tables["published"] = self.published

    def _updates_per_epoch(self, t: SetupCounts) -> int | None:
        """Updates in an epoch of a setup; None if they are not known."""
        updates, epochs, batch = (t.keys[key] for key in ("updates", "epochs", "batch"))
        if not (isinstance(updates, int) and isinstance(batch, int)):
            return None
        if epochs and isinstance(epochs, int):
            return updates // epochs
        problem = self.problems[t.setup]
        return -(-len(problem[0]) // batch) if problem else None

    @cached_property
    def problems(self) -> dict[str, Arrays | None]:
        """X and T of each setup, where the store has them."""
        return {t.setup: _problem(self.store, t) for t in self.counted}

    # What a page shows

    @cached_property
    def drawing(self) -> Drawing:
        """Draws the figures of the page."""
        return Drawing(self.store)

    @cached_property
    def title(self) -> str:
        """The title of the page."""
        name = " ".join(self.store.resolve().name.split())
        return shortened(plain(self.sweep.title or f"Sweep {name}"), 300)

    @property
    def figure_title(self) -> str:
        """The title of the sweep for a figure; empty if the sweep has none."""
        return shortened(self.title, 120) if self.sweep.title else ""

    @property
    def marked(self) -> str | None:
        """The id of the setup to mark: the baseline, unless it is the only setup."""
        return self.baseline if len(self.summary) > 1 else None

    @cached_property
    def names(self) -> dict[str, str]:
        """A name for each setup."""
        return dict(zip(self.summary["setup"], labels(self.summary, self.marked), strict=True))

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The rows of the summary that have a bar and a row in the tables of the page."""
        return self.chosen(MAX_BARS)

    @cached_property
    def panels(self) -> pd.DataFrame:
        """The rows of the summary that have a panel or a curve."""
        return self.chosen(MAX_PANELS)

    @cached_property
    def panel_counts(self) -> list[SetupCounts]:
        """The counts of the setups that have a panel or a curve."""
        by_id = {t.setup: t for t in self.counted}
        return [by_id[setup] for setup in self.panels["setup"]]

    @property
    def plane_counts(self) -> list[SetupCounts]:
        """The counts of setups with a panel that start in a plane of initial weights."""
        return [t for t in self.panel_counts if plane_of(t.keys)]

    @cached_property
    def planes(self) -> list[StartPlane]:
        """The planes of initial weights that the page shows, read from the store."""
        planes = []
        for one in self.plane_counts[:MAX_PLANES]:
            basin = Basin.read(self.store, one)
            unlike = unlike_neighbours(basin.converged, basin.present, STEPS).tolist()
            name = self.names[one.setup] if len(self.summary) > 1 else ""
            planes.append(StartPlane(one, name, basin, unlike))
        return planes

    def chosen(self, most: int) -> pd.DataFrame:
        """Choose at most `most` rows of the summary, and keep their order.

        Chosen are the baseline, the setups with most seeds, those at the ends of the strongest
        changes, the worst and the best, and some between these two.
        """
        rows = self.summary
        if len(rows) <= most:
            return rows
        wanted = dict.fromkeys(np.flatnonzero(rows["setup"] == self.baseline).tolist())
        main = np.flatnonzero(rows["runs"] == rows["runs"].max()).tolist()
        if len(main) < most:
            wanted |= dict.fromkeys(main)
        for place in self._ends_of_changes():
            if len(wanted) < most // 2:
                wanted[place] = None
        order = rows["converged_share"].sort_values(kind="stable").index.to_numpy()
        for many in range(1, len(order) + 1):  # the worst, the best, and more between them
            wanted |= dict.fromkeys(order[evenly(len(order), many)].tolist())
            if len(wanted) >= most:
                break
        return rows.iloc[sorted([*wanted][:most])].reset_index(drop=True)

    def _ends_of_changes(self) -> list[int]:
        """Positions of the setups before and after changes with an effect, the strongest first."""
        keys = keys_of(self.summary)
        rows = self.summary.to_dict("records")
        places = {tuple(plain(row[key]) for key in keys): i for i, row in enumerate(rows)}
        strong = self.contrasts[self.contrasts["p_holm"] < ALPHA]
        ends = [
            tuple(plain(row[end] if key == row["key"] else row.get(key)) for key in keys)
            for row in by_strength(strong).to_dict("records")
            for end in ("from", "to")
        ]
        return [places[end] for end in ends if end in places]


def _problem(store: Path, one: SetupCounts) -> Arrays | None:
    """Read X and T of a setup's problem; None if the store does not have them."""
    file = store / "problems" / f"{one.problem}.npz"
    if not re.fullmatch("[0-9a-f]{64}", one.problem) or not file.is_file():
        return None
    with suppress(Exception):  # a damaged file is reported by `fastbp verify`
        arrays = read_arrays(file.read_bytes(), ("X", "T"))
        X, T = np.asarray(arrays["X"], float), np.asarray(arrays["T"], float)
        if T.ndim == 2 and X.ndim == 2 and len(X) == len(T) and T.size:
            return X, T
    return None


def by_strength(table: pd.DataFrame) -> pd.DataFrame:
    """Sort a table of differences: the largest first, unknown ones last."""
    return table.sort_values("difference", key=abs, ascending=False, kind="stable")


def settings_of(table: pd.DataFrame, keys: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """The name and the rows of each setting of some keys."""
    return [(setting(rows.iloc[0], keys), rows) for rows in summary.settings_of(table, keys)]


class Section(NamedTuple):
    """A section of the page.

    `anchor`: the id of its heading; `title`: the heading; `content`: makes the variables of the
    template, or None if the section does not apply; `template`: its HTML, which may use the macros
    `figure` and `table` of `parts.html`.
    """

    anchor: str
    title: str
    content: Callable[[ReportData], Content | None]
    template: str
