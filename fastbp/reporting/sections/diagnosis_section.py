"""The page of a diagnosis: its sentences, the picture of the effects, and the tables of changes."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from fastbp.reporting import html, plots
from fastbp.reporting.figures import Drawing
from fastbp.reporting.html import HtmlTable, TableColumn

Cells = Sequence[tuple[list[str], bool]]
"""The rows of a table as texts, and whether each is emphasised."""


def files(
    folder: Path,
    title: str,
    texts: Mapping[str, Any],
    table: pd.DataFrame,
    titles: Sequence[str],
    cells: Sequence[Cells],
) -> dict[Path, bytes]:
    """Draw the picture and render the page; return the files.

    Parameters
    ----------
    texts : mapping
        `verdict`, `placed`, `commands`: lists of lines; `setup`: one line.
    table, titles : DataFrame, sequence of str
        The effects of single changes, best first, and the columns of the page's tables.
    cells : (cells of single changes, cells of several changes)
    """
    drawing = Drawing(folder)
    rows = table[table["cause"] != "control"].head(12)
    effects = zip(rows["change"], rows["difference"], strict=True)
    picture = drawing(
        plots.effects(table),
        "changes",
        "What each change does",
        "Change of the convergence rate, with 95% intervals. "
        + "; ".join(f"{name}: {100 * difference:+.1f} points" for name, difference in effects),
        "Change of the convergence rate in percentage points, over the same seeds; "
        "lines are Tango's 95% intervals.",
        tight=True,
    )
    columns = [
        TableColumn(name or "effect", itemgetter(i), name in ("change", ""))
        for i, name in enumerate(titles)
    ]
    single, several = cells
    note = "Tried on the same seeds, best first. All columns:"
    page = {
        **texts,
        "shown": picture,
        "changes": HtmlTable("Single changes", note, columns, single, "changes.csv"),
        "pairs": HtmlTable("Several changes at once", "On fresh seeds.", columns, several)
        if several
        else None,
    }
    return drawing.drawn | {folder / "diagnosis.html": html.render("diagnosis.html", title, page)}
