"""Tables and sentences that compare figures printed in papers with the same figures of our runs.

A figure is a number about many runs, such as a success rate. All times are in epochs.
"""

from collections.abc import Iterator, Mapping
from math import ceil, inf, isfinite, log10
from typing import Any

import pandas as pd

from fastbp.analysis.summary import keys_of
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.html_tables import MAX_ROWS, column, html_table, more_in, text_lines
from fastbp.reporting.phrases import BASELINE, Record, apart, plain, setting
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import WIDTH, and_, plural, shortened, wrap

MAX_LINES = 16
"""Largest number of lines of a table on a terminal."""

MIN_UNIT = 1e-15
"""The least unit that numbers are rounded to."""

MAX_NAMED = 4
"""Largest number of setups that a sentence names."""


def tables(published: pd.DataFrame, baseline: str | None = None) -> list[HtmlTable]:
    """Make a table for each source (paper).

    If the figures of a source belong to one setup, the table has a row for each figure, with both
    intervals. Otherwise it has a row for each setup, named by what differs from the baseline, with
    a `≠` before each figure that does not agree.

    Parameters
    ----------
    published : DataFrame
        A result of `published`.
    baseline : str, optional
        Id of the baseline.
    """
    names, tables = _names(published, baseline), []
    for source, rows in published.groupby("source", sort=False):
        differ, marked = "", None
        columns, shown = _COLUMNS, rows.to_dict("records")
        if rows["setup"].nunique() > 1:
            differ, marked = " A ≠ is where the intervals do not overlap.", baseline
            columns, shown = _by_setup(rows, names, baseline)
        first = f" The first {MAX_ROWS} of {len(shown)} rows." * (len(shown) > MAX_ROWS)
        tables.append(
            html_table(
                f"Published by {shortened(str(source), 60)}",
                f"{source}. Times in epochs.{differ}{first}",
                columns,
                shown,
                "published.csv",
                lambda row, marked=marked: marked is not None and row["setup"] == marked,  # type: ignore[misc]
            )
        )
    return tables


def _interval(row: Record, name: str) -> str:
    """Write the interval of a figure: of the `published` one, or of `ours`."""
    low, high = (_number(row[f"{name}_{end}"], _unit(row) / 10) for end in ("low", "high"))
    return f"[{low}–{high}]"


def _by_setup(
    rows: pd.DataFrame, names: Mapping[str, str], baseline: str | None
) -> tuple[list[TableColumn], list[dict[Any, Any]]]:
    """Make a table with a column for each figure, and a row for each setup below the printed ones.

    Rows have texts: the name of the setup as `ours`, its id as `setup`, and each figure.
    """
    setups = sorted(rows["setup"].unique(), key=lambda setup: setup != baseline)
    ours = {setup: {"ours": names[setup], "setup": setup} for setup in setups}
    printed = {"ours": "published"}
    for row in rows.to_dict("records"):
        unit, figure = _unit(row), _figure(row)
        printed.setdefault(figure, _number(row["published"], unit))
        ours[row["setup"]][figure] = "≠ " * (row["agrees"] is False) + _number(
            row["ours"], unit / 10
        )
    columns = [
        TableColumn(title, lambda row, title=title: row.get(title, ""), title == "ours")  # type: ignore[misc]
        for title in printed
    ]
    return columns, [printed | {"setup": ""}, *ours.values()]


def _names(table: pd.DataFrame, baseline: str | None) -> dict[str, str]:
    """Name each setup by what differs from the baseline, or without one by all keys that vary."""
    keys = keys_of(table)[2:]
    setups = {str(row["setup"]): row for row in table.to_dict("records")}
    start, names = setups.get(baseline or ""), {}
    for setup, row in setups.items():
        name = setting(row, keys) if start is None else apart(row, keys, start)
        names[setup] = f"setup {setup}" if setup != baseline and name in ("", BASELINE) else name
    return names


def _figure(row: Record) -> str:
    return str(row["figure"]) + " (before)" * bool(row["evaluated_before"])


def _unit(row: Record) -> float:
    return max(float(row["rounded"]) or 0.01, MIN_UNIT)


def _number(value: float, unit: float) -> str:
    """Write a number rounded to a power of ten, such as 0.01."""
    if not isfinite(value):
        return "∞" if value == inf else "–"
    return f"{value:,.{max(0, ceil(-log10(unit) - 1e-9))}f}"


_COLUMNS = [
    TableColumn("figure", _figure, True),
    TableColumn("published", lambda row: _number(row["published"], _unit(row))),
    TableColumn("[95%]", lambda row: _interval(row, "published")),
    column("published_runs", "runs"),
    TableColumn("ours", lambda row: _number(row["ours"], _unit(row) / 10)),
    TableColumn("[95%]", lambda row: _interval(row, "ours")),
    column("runs"),
    TableColumn("they", lambda row: {True: "agree", False: "differ"}.get(row["agrees"], "–"), True),
]
"""The columns of a table of figures that belong to one setup."""


def sentences(published: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """Say for each source how many figures agree with the baseline, and where all agree.

    The parameters are those of `tables`.
    """
    names = _names(published, baseline)
    return [
        f"{source}: {'; '.join(_parts(rows, names, baseline))}."
        for source, rows in published.groupby("source", sort=False)
    ]


def _parts(rows: pd.DataFrame, names: Mapping[str, str], baseline: str | None) -> Iterator[str]:
    if rows["setup"].nunique() == 1:
        yield _agreement(rows, "the setup")
        return
    of_baseline = rows["setup"] == baseline
    if of_baseline.any():
        yield _agreement(rows[of_baseline], "the baseline")
    known = rows[rows["agrees"].notna() & ~of_baseline]
    all_agree = known["agrees"].astype(bool).groupby(known["setup"], sort=False).all()
    if len(all_agree):
        yield _elsewhere(all_agree, names, "other setting" if of_baseline.any() else "setting")
    unknown = rows.loc[~of_baseline, "setup"].nunique() - len(all_agree)
    if unknown:
        yield f"too few figures are known to compare {plural(unknown, 'setting')}"


def _agreement(rows: pd.DataFrame, setup: str) -> str:
    """Say how many figures agree with the runs of a setup, and which do not."""
    unknown, known = _named(rows[rows["agrees"].isna()]), rows[rows["agrees"].notna()]
    if known.empty:
        return f"{unknown} cannot be compared with {setup}"
    wrong = known[~known["agrees"].astype(bool)]
    agree = len(known) - len(wrong)
    but = [f"not {_named(wrong)}"] * bool(len(wrong))
    but += [f"{unknown} cannot be compared"] * bool(unknown)
    verb = "agrees" if 1 in (agree, len(known)) else "agree"
    count = f"{agree} of {plural(len(known), 'published figure')} {verb} with {setup}"
    return count + f" ({'; '.join(but)})" * bool(but)


def _named(rows: pd.DataFrame) -> str:
    """Name the figures of some rows, each once."""
    return and_(list(dict.fromkeys(map(_figure, rows.to_dict("records")))) or [""])


def _elsewhere(all_agree: "pd.Series[Any]", names: Mapping[str, str], noun: str) -> str:
    """Say in how many setups all figures agree, and in which; `all_agree` [setup id] is bool."""
    ids = list(all_agree[all_agree].index)
    more = f" and {len(ids) - MAX_NAMED} more" * (len(ids) > MAX_NAMED)
    which = f" ({'; '.join(names[setup] for setup in ids[:MAX_NAMED])}{more})" * bool(ids)
    if len(all_agree) == 1:
        return f"in the one {noun} {'' if ids else 'not '}all agree{which}"
    return f"all agree in {len(ids)} of {plural(len(all_agree), noun)}{which}"


def terminal_lines(
    published: pd.DataFrame, baseline: str | None = None, width: int = WIDTH
) -> list[str]:
    """Compare published figures with ours, in lines for a terminal."""
    before = "; (before) if evaluated before the updates of an epoch, an epoch later"
    lines = wrap(
        "Published figures and ours (times in epochs; ≠ where the two 95% intervals do not "
        f"overlap{before * bool(published['evaluated_before'].any())}):",
        width,
    )
    for table, sentence in zip(
        tables(published, baseline), sentences(published, baseline), strict=True
    ):
        shown = [cells for cells, _ in table.rows[:MAX_LINES]]
        lines += [*wrap(sentence, width), *text_lines(table.columns, shown, width, table.file)]
        lines += more_in(len(table.rows), len(shown), table.file)
    return lines


def _content(data: ReportData) -> Content | None:
    if data.published.empty:
        return None
    return {
        "agreement": sentences(data.published, data.marked),
        "sources": [
            table._replace(rows=table.rows[:MAX_ROWS])
            for table in tables(data.published, data.marked)
        ],
    }


def _finding(data: ReportData) -> str:
    rows = data.published[data.published["agrees"].notna()]
    of_baseline = rows["setup"] == data.marked
    rows = rows[of_baseline] if of_baseline.any() else rows
    return (
        f"{plain(int(rows['agrees'].astype(bool).sum()))} of "
        f"{plural(len(rows), 'published figure')} agree with ours"
    )


SECTION = Section(
    "published",
    "Published figures and ours",
    _content,
    """\
<p>Figures that papers printed about such runs, and the same figures of our runs. Each published
figure has a 95% interval: the printed one, if there is one. If not, it follows from the number of
runs behind the figure: exact binomial bounds for a share, and for other figures the spread of
samples of our runs with this number of runs. Two figures agree if their intervals overlap.</p>
{% for text in agreement %}<p>{{ text }}</p>
{% endfor %}{% for each in sources %}{{ table(each) }}{% endfor %}""",
    _finding,
)
