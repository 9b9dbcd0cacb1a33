"""A diagnosis as files: a page, a table, a picture and a sweep file."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from fastbp.config.sweep import Sweep
from fastbp.diagnosis import sentences
from fastbp.diagnosis.diagnose import Diagnosis
from fastbp.diagnosis.own_weights import Placed
from fastbp.diagnosis.ranking import PLACEBO
from fastbp.reporting import html, plots
from fastbp.reporting.figures import Drawing
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.phrases import plain
from fastbp.store.store import write as write_file

SEEDS = 2000
"""Of the sweep file."""


def write(
    found: Diagnosis, placed: Placed | None, sweep: Sweep, folder: Path
) -> tuple[list[Path], list[str]]:
    """Write all of them, and return them and the commands to go on with. Raises StoreFullError."""
    written: list[Path] = []

    def keep(path: Path, content: bytes) -> None:
        write_file(path, content)
        written.append(path)

    keep(folder / "changes.csv", found.table.to_csv(index=False).encode())
    file = folder / ("fixed.toml" if found.recommended else "asked.toml")
    keep(file, _sweep(found, sweep).to_toml(folder).encode())
    commands = sentences.commands(found, str(file), str(file.with_suffix("")))
    drawing = Drawing(folder)
    rows = [row for row in found.table.to_dict("records") if row["cause"] != PLACEBO]
    picture = drawing(
        plots.effects(found.table),
        "changes",
        "What each change does",
        "Change of the share of seeds that converge, with 95% intervals. "
        + "; ".join(f"{row['change']}: {100 * row['difference']:+.1f} points" for row in rows[:12]),
        "Percentage points of the share that converges, over the same seeds; lines are Tango's 95% intervals.",
        tight=True,
    )
    columns = [
        TableColumn(name or "effect", itemgetter(i), name in ("change", ""))
        for i, name in enumerate(sentences.TITLES)
    ]
    content: dict[str, Any] = {
        "verdict": sentences.verdict(found),
        "placed": sentences.placed(placed) if placed else [],
        "shown": picture,
        "changes": HtmlTable(
            "Single changes",
            "Tried on the same seeds, best first. All columns:",
            columns,
            _rows(found.table),
            "changes.csv",
        ),
        "pairs": HtmlTable(
            "Several changes at once", "On fresh seeds.", columns, _rows(found.pairs)
        )
        if len(found.pairs)
        else None,
        "commands": commands,
        "setup": ", ".join(f"{key} {value}" for key, value in found.setup.columns().items() if value is not None),
    }  # fmt: skip
    drawing.write(keep)
    keep(
        folder / "diagnosis.html",
        html.render("diagnosis.html", f"Why it fails: {found.setup.problem_name}", content),
    )
    return written, commands


def _rows(table: pd.DataFrame) -> list[tuple[list[str], bool]]:
    """The cells of each change, and whether it fixes the network."""
    return [(sentences.cells(row), bool(row["fixes"])) for row in table.to_dict("records")]


def _sweep(found: Diagnosis, sweep: Sweep) -> Sweep:
    """A sweep of the setup as it is, and of the recommended one."""
    title, keys = plain(found.setup.problem_name)[:200], dict(sweep.setup)
    if found.recommended is None:
        return Sweep(title=f"How often does {title} fail?", seeds=SEEDS, setup=keys)
    budget: dict[str, Any] = {key: keys.pop(key) for key in ("updates", "epochs") if key in keys}
    new = sentences.settings(found.recommended.changes)
    if not new.keys() & {"updates", "epochs"}:
        new |= budget
    columns = found.setup.columns()
    own = {
        key: columns["loss_function" if key == "loss" else key]
        for key in new
        if key not in ("hidden", "updates", "epochs")
    }
    own |= budget | ({"hidden": list(found.setup.hidden)} if "hidden" in new else {})
    grid = [{key: [value] for key, value in each.items()} for each in (own, new)]
    return Sweep(title=f"Does it fix {title}?", seeds=SEEDS, setup=keys, grid=grid)
