"""Tables of a page and of a terminal, made from the rows of a DataFrame."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fastbp.analysis.axes import is_numeric
from fastbp.analysis.summary import keys_of
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.phrases import Record, labels, named, plain
from fastbp.schema.text import aligned, points, shortened
from fastbp.store.provenance import read_made

MAX_ROWS = 40
"""Largest number of rows of a table on a page."""

MAX_LISTED = 12
"""Largest number of setups in the text of a figure for screen readers."""

MAX_COMMANDS, MAX_VERSIONS = 20, 5
"""A page shows at most this many commands and sets of package versions: the latest."""


def column(name: str, title: str = "", is_text: bool = False) -> TableColumn:
    """Make a column that shows the values of the DataFrame's column `name`."""
    return TableColumn(title or name, lambda row: plain(row[name]), is_text)


def setting_columns(keys: Iterable[str], table: pd.DataFrame) -> list[TableColumn]:
    """Make a column for each of these keys; it is aligned right if all its values are numbers."""
    return [
        TableColumn(key, lambda row, key=key: named(row[key]), not is_numeric(table[key]))  # type: ignore[misc]
        for key in keys
    ]


def html_table(
    title: str,
    caption: str,
    columns: Sequence[TableColumn],
    rows: Iterable[Record],
    file: str = "",
    is_marked: Callable[[Record], bool] = lambda row: False,
) -> HtmlTable:
    """Make the table of a page.

    Parameters
    ----------
    title : str
        The name of the table for screen readers.
    caption : str
        The text above it.
    columns : sequence of TableColumn
        The columns.
    rows : iterable of mapping
        The rows of a DataFrame, as records.
    file : str
        The CSV file that has all columns; the caption links to it.
    is_marked : callable
        Takes a row and returns whether it is marked, as the baseline is.
    """
    cells = [([each.cell(row) for each in columns], bool(is_marked(row))) for row in rows]
    return HtmlTable(title, caption + " All columns:" * bool(file), columns, cells, file)


def text_table(columns: Sequence[TableColumn], rows: Iterable[Any]) -> list[str]:
    """Make the lines of a table for a terminal: the titles, and a line for each row."""
    return text_lines(columns, ([each.cell(row) for each in columns] for row in rows))


def text_lines(columns: Sequence[TableColumn], cells: Iterable[Sequence[str]]) -> list[str]:
    """Make the lines of a table for a terminal from the cells of its rows."""
    return aligned(
        [[each.title for each in columns], *cells],
        left=[i for i, each in enumerate(columns) if each.is_text],
    )


def setup_table(
    title: str,
    caption: str,
    columns: Sequence[TableColumn],
    rows: pd.DataFrame,
    summary: pd.DataFrame,
    baseline: str | None,
) -> HtmlTable:
    """Make a table with a row for each setup, the baseline in bold.

    Parameters
    ----------
    title, caption, columns
        As in `html_table`; columns for the keys and the setup are added in front.
    rows, summary : DataFrame
        The rows of the summary to show, and the whole summary, which has the varying keys.
    baseline : str or None
        The id of the baseline.
    """
    keys = [*setting_columns(keys_of(summary), summary), column("setup", is_text=True)]
    bold = " The baseline is in bold." if baseline in set(rows["setup"]) else ""
    return html_table(
        title,
        caption + bold,
        [*keys, *columns],
        rows.to_dict("records"),
        "summary.csv",
        lambda row: row["setup"] == baseline,
    )


def difference(row: Record, name: str = "difference", unit: float = 1.0) -> str:
    """Write a difference in points with its 95% interval: `+2.0 [+1.1, +3.0]`; – for NaN.

    `unit`: what the columns `name`, `name_low` and `name_high` have for a difference of 1.
    """
    value, low, high = (points(row[f"{name}{end}"] / unit) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]" if value != "–" else value


def listed(rows: pd.DataFrame, text: Callable[[Record], str]) -> str:
    """List the rows of a summary in one text for screen readers, as `name: text; name: text`.

    At most `MAX_LISTED` rows are listed; the others are counted. `text` makes the text of a row.
    """
    each = zip(labels(rows), rows.head(MAX_LISTED).to_dict("records"), strict=False)
    more = f"; and {len(rows) - MAX_LISTED} more in the table" * (len(rows) > MAX_LISTED)
    return "; ".join(f"{name}: {text(row)}" for name, row in each) + more + "."


# How the runs were made

_COMMANDS = {
    "when": "when",
    "runs": "runs",
    "updates": "updates",
    "train": "seconds of training",
    "total": "seconds in all",
    "updates_per_second": "updates per second",
    "jobs": "jobs",
    "cpu": "processor",
}
"""The fields of a command in `made.json` that a page shows, and the titles of their columns."""


def provenance(store: Path) -> dict[str, Any]:
    """Make the template variables about the commands that trained a store's runs.

    Returns
    -------
    dict
        `commands`: an HtmlTable of the latest commands, or None if `made.json` has none.
        `versions`: a list of lines about the versions of Python, packages and numerics.
    """
    rows = read_made(store)
    columns = [
        TableColumn(title, lambda row, name=name: _cell(row, name), name in ("when", "cpu"))  # type: ignore[misc]
        for name, title in _COMMANDS.items()
    ]
    last = f"last {MAX_COMMANDS} " * (len(rows) > MAX_COMMANDS)
    caption = f"The {last}commands that trained these runs."
    return {
        "commands": html_table("Commands", caption, columns, rows[-MAX_COMMANDS:])
        if rows
        else None,
        "versions": list(filter(None, dict.fromkeys(map(_versions, rows))))[-MAX_VERSIONS:],
    }


def _cell(entry: Record, name: str) -> str:
    """The cell of a command: the field `name` of its entry in `made.json`, or of its `seconds`."""
    seconds = entry.get("seconds")
    value = (seconds if isinstance(seconds, dict) and name in seconds else entry).get(name)
    is_plain = isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63)
    return shortened(plain(value), 80) if is_plain else "–"


def _versions(entry: Record) -> str:
    packages = entry.get("versions")
    if not isinstance(packages, dict):
        return ""
    python, numerics = (_short(entry.get(name)) for name in ("python", "numerics"))
    each = ", ".join(f"{_short(name)} {_short(version)}" for name, version in packages.items())
    return f"Python {python}, {each}; numerics version {numerics}."


def _short(value: Any) -> str:
    return shortened(plain(str(value)), 40)
