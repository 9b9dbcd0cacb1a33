"""The page of a diagnosis: which changes of a setup make its failing runs converge."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import pandas as pd

from fastbp.reporting import plots
from fastbp.reporting.html import Drawing, HtmlTable, TableColumn, render


def files(
    folder: Path,
    title: str,
    texts: Mapping[str, object],
    table: pd.DataFrame,
    titles: Sequence[str],
    cells: Sequence[Sequence[tuple[list[str], bool]]],
) -> dict[Path, bytes]:
    """Draw the picture and render the page, and return the content of each file.

    Parameters
    ----------
    folder, title : Path, str
        The folder of the files, and the title of the page.
    texts : mapping
        Variables of the template: lists of lines `verdict`, `placed`, `commands`; a line `setup`.
    table : DataFrame
        The effects of single changes, best first, with the columns that `plots.effects` needs.
    titles, cells : sequence of str, sequence of two Cells
        The titles of the columns, and the rows of single changes and of several changes at once.
    """
    drawing = Drawing(folder)
    rows = table[table["cause"] != "control"].head(12)
    effects = zip(rows["change"], rows["difference"], strict=True)
    picture = drawing(
        lambda: plots.effects(table),
        "changes",
        "What each change does",
        "Change of the convergence rate, with 95% intervals. "
        + "; ".join(f"{name}: {100 * difference:+.1f} points" for name, difference in effects),
        "Change of the convergence rate in percentage points, over the same seeds; "
        "lines are Tango's 95% intervals.",
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
    return drawing.drawn | {folder / "diagnosis.html": render("diagnosis.html", title, page)}
