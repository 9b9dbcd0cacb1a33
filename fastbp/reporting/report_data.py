"""What a report is made of: a store's runs, counted once, and all tables made from them."""

from __future__ import annotations

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
from fastbp.reporting.figures import Drawing
from fastbp.reporting.phrases import evenly, labels, plain, setting
from fastbp.schema.text import shortened
from fastbp.store.npz import read_arrays
from fastbp.store.provenance import LatestSweep

MAX_BARS, MAX_PANELS, MAX_PLANES = 24, 12, 4
"""Setups with a bar, setups with a panel or a curve, and planes of weights."""

STEPS = (1, 2, 4, 8, 16)
"""Distances, in cells of a plane, at which the ends of two starts are compared."""

Content = dict[str, Any]
"""The variables of a template."""

Arrays = tuple[NDArray[np.float64], NDArray[np.float64]]
"""X, [row, input], and T, [row, output], of a problem."""


class StartPlane(NamedTuple):
    """The runs that start in a plane of initial weights, and how often neighbours end differently.

    `name`: of the setup, empty where it is the only one; `unlike`: the share of pairs of starts
    that end differently, for each of `STEPS`.
    """

    one: SetupCounts
    name: str
    basin: Basin
    unlike: list[float]


@dataclass
class ReportData:
    """A store's runs and what was made from them; each table is made when first used.

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

    @cached_property
    def summary(self) -> pd.DataFrame:
        """How the runs of each setup ended."""
        return summary.summary(self.counted)

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """What each single change does."""
        return contrasts.contrasts(self.counted, self.baseline)

    @cached_property
    def is_atlas(self) -> bool:
        """Whether the setups are truth tables."""
        return atlas.is_atlas(self.summary)

    @cached_property
    def attribution(self) -> pd.DataFrame:
        """How much each of several changes contributes."""
        # The first function of an atlas without a baseline is no start for changes.
        no_start = self.is_atlas and self.baseline is None
        return attribution.attribution(() if no_start else self.counted, self.baseline)

    @cached_property
    def functions(self) -> pd.DataFrame:
        """The runs of each truth table, where the setups are truth tables."""
        return atlas.functions(self.summary)

    @cached_property
    def classes(self) -> pd.DataFrame:
        """The classes of truth tables that symmetry makes equal."""
        return atlas.equality(self.counted)

    @cached_property
    def constant_at_start(self) -> pd.Series[Any] | None:
        """The share of runs of each setup that were constant before the first update."""
        return summary.constant_at_start(self.counted)

    @cached_property
    def published(self) -> pd.DataFrame:
        """The published figures of the sweep file beside ours."""
        figures = published_figures(self.sweep)
        wanted = {setup for one in figures for setup in one.setups}
        epochs = {t.setup: self._updates_per_epoch(t) for t in self.counted if t.setup in wanted}
        known = {setup: updates for setup, updates in epochs.items() if updates}
        return published(self.counted, figures, known)

    def _updates_per_epoch(self, t: SetupCounts) -> int | None:
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

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of the CSV files, by their names."""
        return {
            "summary": self.summary,
            "contrasts": self.contrasts,
            "attribution": self.attribution,
            **({"atlas": self.functions, "classes": self.classes} if self.is_atlas else {}),
            **({"published": self.published} if len(self.published) else {}),
        }

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
        """The title of the sweep in a figure, empty where it has none."""
        return shortened(self.title, 120) if self.sweep.title else ""

    @property
    def marked(self) -> str | None:
        """The setup that tables and figures mark: the baseline, unless it is the only setup."""
        return self.baseline if len(self.summary) > 1 else None

    @cached_property
    def names(self) -> dict[str, str]:
        """A name for each setup."""
        return dict(zip(self.summary["setup"], labels(self.summary, self.marked), strict=True))

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The rows of the summary that have a bar and a row on the page."""
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
        """The counts of the setups with a panel whose runs start in a plane of weights."""
        return [t for t in self.panel_counts if plane_of(t.keys)]

    @cached_property
    def planes(self) -> list[StartPlane]:
        """The runs of the first planes of initial weights, read from the store."""
        planes = []
        for one in self.plane_counts[:MAX_PLANES]:
            basin = Basin.read(self.store, one)
            unlike = unlike_neighbours(basin.converged, basin.present, STEPS).tolist()
            name = self.names[one.setup] if len(self.summary) > 1 else ""
            planes.append(StartPlane(one, name, basin, unlike))
        return planes

    def chosen(self, most: int) -> pd.DataFrame:
        """Choose at most so many rows of the summary, in its order.

        The baseline, the setups with most seeds, those at the ends of the strongest changes, the
        worst and the best, and some between them.
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
        for many in range(1, len(order) + 1):  # the worst, the best, and evenly between them
            wanted |= dict.fromkeys(order[evenly(len(order), many)].tolist())
            if len(wanted) >= most:
                break
        return rows.iloc[sorted([*wanted][:most])].reset_index(drop=True)

    def _ends_of_changes(self) -> list[int]:
        """Rows of the summary at the ends of changes with an effect, the strongest first."""
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
    file = store / "problems" / f"{one.problem}.npz"
    if not re.fullmatch("[0-9a-f]{64}", one.problem) or not file.is_file():
        return None
    with suppress(Exception):  # whatever is wrong with the file, `fastbp verify` reports it
        arrays = read_arrays(file.read_bytes(), ("X", "T"))
        X, T = np.asarray(arrays["X"], float), np.asarray(arrays["T"], float)
        if T.ndim == 2 and X.ndim == 2 and len(X) == len(T) and T.size:
            return X, T
    return None


def by_strength(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of differences, the largest first, unknown ones last."""
    return table.sort_values("difference", key=abs, ascending=False, kind="stable")


def settings_of(table: pd.DataFrame, keys: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each setting of some keys, by its name."""
    if not keys:
        return [("", table)]
    groups = table.groupby(keys, sort=False, dropna=False)
    return [(setting(rows.iloc[0], keys), rows) for _, rows in groups]


class Section(NamedTuple):
    """A section of the page.

    `anchor`: the id of its heading; `title`: the heading; `content`: what its template shows, or
    None where the section does not apply; `template`: its HTML, in which `figure` and `table` are
    the macros of `parts.html`.
    """

    anchor: str
    title: str
    content: Callable[[ReportData], Content | None]
    template: str
