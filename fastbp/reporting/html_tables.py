"""Tables of a page and of a terminal, made from the rows of a DataFrame."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fastbp.analysis.axes import is_numeric
from fastbp.analysis.summary import keys_of
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.phrases import Record, labels, named, plain
from fastbp.schema.text import WIDTH, aligned, and_, points, shortened, wrap
from fastbp.store.provenance import read_made

MAX_ROWS = 40
"""Largest number of rows of a table on a page."""

ESSENTIAL = ("change", "converged", "difference in points [95%]", "effect", "")
"""Titles of columns that a narrow table keeps."""

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


def text_table(
    columns: Sequence[TableColumn], rows: Iterable[Any], width: int = WIDTH, file: str = ""
) -> list[str]:
    """Make the lines of a table for a terminal: the titles, and a line for each row.

    Parameters
    ----------
    columns, rows
        As in `html_table`.
    width : int
        The most characters of a line. Where that is too few, columns are left out from the right:
        those behind the first of `ESSENTIAL`, except these. If that is not enough, texts are
        shortened too, and then more columns left out. A last line names these columns.
    file : str
        The CSV file that has all columns, if there is one.
    """
    return text_lines(columns, [[each.cell(row) for each in columns] for row in rows], width, file)


def text_lines(
    columns: Sequence[TableColumn],
    cells: Sequence[Sequence[str]],
    width: int = WIDTH,
    file: str = "",
) -> list[str]:
    """Make the lines of a table for a terminal from the cells of its rows, as `text_table` does."""
    titles = [each.title for each in columns]
    spare = [i for i in range(1, len(columns)) if titles[i] not in ESSENTIAL][::-1]
    first = next((i for i, title in enumerate(titles) if title in ESSENTIAL), 0)
    tries = [(spare[:many], None) for many in range(sum(i > first for i in spare) + 1)]
    for lost, shorten_to in [*tries, *((spare[:many], width) for many in range(len(spare) + 1))]:
        kept = [i for i in range(len(columns)) if i not in lost]
        lines = aligned(
            [[titles[i] for i in kept], *([row[i] for i in kept] for row in cells)],
            [place for place, i in enumerate(kept) if columns[i].is_text],
            shorten_to,
        )
        if max(map(len, lines)) <= width:
            break
    return lines + wrap(
        f"… not shown: {and_([titles[i] for i in sorted(lost)])}"
        + f"; {file} has all columns" * bool(file),
        width,
    ) * bool(lost)


def fullest_table(
    namings: Sequence[Sequence[TableColumn]],
    columns: Sequence[TableColumn],
    rows: pd.DataFrame,
    width: int,
    file: str,
) -> list[str]:
    """The first table with all its columns and whole texts; else the first with all its names.

    Parameters
    ----------
    namings : sequence of sequence of TableColumn
        Choices of the columns that name the rows. If none is narrow enough, the names are the
        values of the last one alone, and a line below the table names their keys.
    columns : sequence of TableColumn
        The other columns.
    rows : DataFrame
        The rows.
    width, file
        As in `text_table`.
    """
    last = namings[-1]
    values = TableColumn("setup", lambda row: ", ".join(each.cell(row) for each in last), True)
    note = wrap(f"… setup: {', '.join(each.title for each in last)}", width)
    tables = [
        (names, text_table([*names, *columns], rows.to_dict("records"), width, file), below)
        for names, below in [*((each, []) for each in namings), ([values], note)]
    ]
    whole = [
        lines + below
        for names, lines, below in tables
        if not any(" …" in line for line in lines)
        and all(f" {each.title} " in f" {lines[0]} " for each in names)
    ]
    full = [lines for lines in whole if not any(line.startswith("…") for line in lines)]
    return [*full, *whole, tables[-2][1]][0]


def _markdown_table(columns: Sequence[TableColumn], cells: Iterable[Sequence[str]]) -> str:
    rows = [
        [markdown(each.title) for each in columns],
        ["---" if each.is_text else "---:" for each in columns],
        *([markdown(cell) for cell in row] for row in cells),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _latex_table(columns: Sequence[TableColumn], cells: Iterable[Sequence[str]]) -> str:
    head, *lines = [
        f"{' & '.join(map(latex, row))} \\\\\n"
        for row in [[each.title for each in columns], *cells]
    ]
    sides = "".join("l" if each.is_text else "r" for each in columns)
    ruled = ["\\hline\n", head, "\\hline\n", *lines, "\\hline\n"]
    return f"\\begin{{tabular}}{{{sides}}}\n{''.join(ruled)}\\end{{tabular}}\n"


def markdown(text: str) -> str:
    """Escape a text so that Markdown shows it literally, in one line."""
    return re.sub(r"([\\`*_\[\]<>&#|~$])", r"\\\1", plain(" ".join(text.split())))


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "²": r"\textsuperscript{2}",
    "–": "--",
    "[": "{[}",  # after the end of a row, LaTeX would read a bracket or a star as part of it
    "*": "{*}",
} | {sign: "\\" + sign for sign in "&%$#_{}"}
"""What LaTeX needs in place of a character."""


def latex(text: str) -> str:
    """Escape a text so that LaTeX shows it literally."""
    return "".join(_LATEX.get(character, character) for character in text)


PASTED = {"markdown": _markdown_table, "latex": _latex_table}
"""Functions that write the columns and cells of a table as text for a document, by format."""


def more_in(total: int, shown: int, file: str) -> list[str]:
    """The line below a table that says how many rows a file has besides those that are shown."""
    return [f"… and {total - shown:,} more in {file}"] * (shown < total)


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
    return html_table(
        title,
        caption + (" The baseline is in bold." if baseline in set(rows["setup"]) else ""),
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
    which = f"last {MAX_COMMANDS} commands" if len(rows) > MAX_COMMANDS else "commands"
    return {
        "commands": html_table(
            "Commands", f"The {which} that trained these runs.", columns, rows[-MAX_COMMANDS:]
        )
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
