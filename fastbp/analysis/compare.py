"""From two stores to the table, picture and page of what moved between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fastbp import files
from fastbp.analysis import comparison, page, plots
from fastbp.analysis.drawing import Drawing
from fastbp.analysis.page import Column, Row, Table
from fastbp.analysis.page_tables import how
from fastbp.analysis.wording import ALPHA, percent, plain

MOST_ROWS = 40
"""Setups on a page: those that moved most."""


class Compared(NamedTuple):
    """What a comparison found: its table, what it says, and the files."""

    table: pd.DataFrame
    verdict: list[str]
    written: list[Path]


def compare(a: Path, b: Path, folder: Path | None = None, tick: Callable[[str], None] = lambda phase: None) -> Compared:
    """Compare two stores; with a `folder`, write compare.csv, compare.html and figures/ there.

    Raises FileNotFoundError where one is no store, ValueError where one has no runs, DamagedFileError as `tally` does, OSError
    where files cannot be written.
    """
    for store in (a, b):
        if not any(files.listed(files.runs_folder(store))):
            raise ValueError(f"{store} holds no runs")
    names = comparison.names_of(a, b)
    tick("reading")
    table = comparison.comparison(a, b)
    verdict = comparison.sentences(table, names)
    if folder is None:
        return Compared(table, verdict, [])
    tick("drawing")
    drawing = Drawing(folder)
    strongest = table["difference"].abs().sort_values(ascending=False, kind="stable", na_position="last").index[:MOST_ROWS]
    shown = table.loc[sorted(strongest)].reset_index(drop=True)
    labels = [comparison.label(row, table) for row in shown.to_dict("records")]
    told = [
        f"{label}: {percent(row['converged_share_a'])} and {percent(row['converged_share_b'])}"
        for label, row in zip(labels, shown.to_dict("records"), strict=True)
    ]
    picture = drawing(
        plots.share_pairs(shown, labels, names),
        "compare",
        "Share converged in both",
        f"Share converged in {names.a} and in {names.b}. " + "; ".join(told[:12]) + ".",
        f"Rings: {names.a}; dots: {names.b}; lines are Wilson's 95% intervals. Also as",
        tight=True,
    )
    titles, rows = comparison.cells(shown)
    numbers = len(table.columns[: table.columns.get_loc("setup_a")]) or 1
    columns = [Column(name, i < numbers or name == "effect") for i, name in enumerate(titles)]
    some = "" if len(shown) == len(table) else f" The {MOST_ROWS} of {plain(len(table))} setups that moved most."
    marked = [Row(cells, bool(moved)) for cells, moved in zip(rows, comparison.moved(shown), strict=True)]
    caption = f"From {names.a} to {names.b}. Shaded: setups that moved.{some} All columns:"
    content = {
        "verdict": verdict,
        "shares": picture,
        "rows": Table("Setups of both", caption, columns, marked, "compare.csv"),
        "sides": [{"name": name, **how(store, [], ())} for name, store in zip(names, (a, b), strict=True)],
        "alpha": ALPHA,
        "a": names.a,
        "b": names.b,
    }
    html = page.render("compare.html", f"{names.a} and {names.b}", content)
    files.write(folder / "compare.csv", table.to_csv(index=False).encode())
    pictures = drawing.write(files.write)
    files.write(folder / "compare.html", html)
    return Compared(table, verdict, [folder / "compare.csv", *pictures, folder / "compare.html"])
