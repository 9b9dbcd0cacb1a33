"""Published figures beside ours, in tables and sentences. All times are in epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, inf, isfinite, log10
from typing import Any, NamedTuple

import pandas as pd

from fastbp.analysis.summary import keys_of
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.html_tables import MAX_ROWS
from fastbp.reporting.phrases import Record, plain, setting
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import aligned, and_, plural, shortened

MAX_NAMED = 4
"""Settings that a sentence names."""

_TEXT_COLUMNS = 0, 7
"""The columns of a table that hold text."""


class SourceTable(NamedTuple):
    """The figures of one source: titles, rows of texts, and which of them are the baseline's."""

    source: str
    titles: list[str]
    rows: list[list[str]]
    is_marked: list[bool]

    @property
    def is_by_setup(self) -> bool:
        """Whether it has a row for each setup, not for each figure."""
        return self.titles[0] == "ours"


def tables(published: pd.DataFrame, baseline: str | None = None) -> list[SourceTable]:
    """Make a table of each source.

    Where its figures belong to one setup, it has a row for each figure with both intervals. Else it
    has a row for each setup, named by what differs from the baseline, and `≠` before a figure that
    does not agree.
    """
    names = _names(published, baseline)
    return [
        _by_figure(str(source), rows)
        if rows["setup"].nunique() == 1
        else _by_setup(str(source), rows, names, baseline)
        for source, rows in published.groupby("source", sort=False)
    ]


def _by_figure(source: str, rows: pd.DataFrame) -> SourceTable:
    titles = ["figure", "published", "[95%]", "runs", "ours", "[95%]", "runs", "they"]
    lines = [_cells(row) for row in rows.to_dict("records")]
    return SourceTable(source, titles, lines, [False] * len(lines))


def _cells(row: Record) -> list[str]:
    unit = _unit(row)
    theirs, ours = (
        f"[{_number(row[f'{name}_low'], unit / 10)}–{_number(row[f'{name}_high'], unit / 10)}]"
        for name in ("published", "ours")
    )
    agrees = {True: "agree", False: "differ"}.get(row["agrees"], "–")
    return [
        _figure(row),
        _number(row["published"], unit),
        theirs,
        plain(row["published_runs"]),
        _number(row["ours"], unit / 10),
        ours,
        plain(row["runs"]),
        agrees,
    ]


def _by_setup(
    source: str, rows: pd.DataFrame, names: Mapping[str, str], baseline: str | None
) -> SourceTable:
    printed: dict[str, str] = {}
    ours: dict[str, dict[str, str]] = {}
    for row in rows.to_dict("records"):
        unit, figure = _unit(row), _figure(row)
        printed.setdefault(figure, _number(row["published"], unit))
        differs = "≠ " * (not pd.isna(row["agrees"]) and not row["agrees"])
        ours.setdefault(row["setup"], {})[figure] = differs + _number(row["ours"], unit / 10)
    order = sorted(ours, key=lambda setup: setup != baseline)
    lines = [["published", *printed.values()]]
    lines += [
        [names[setup], *(ours[setup].get(figure, "") for figure in printed)] for setup in order
    ]
    is_marked = [False, *(setup == baseline for setup in order)]
    return SourceTable(source, ["ours", *printed], lines, is_marked)


def _names(table: pd.DataFrame, baseline: str | None) -> dict[str, str]:
    """What differs from the baseline in each setup; without a baseline, all keys that vary."""
    keys = keys_of(table)[2:]
    setups = {str(row["setup"]): row for row in table.to_dict("records")}
    start = setups.get(baseline or "")
    names = {}
    for setup, row in setups.items():
        different = [key for key in keys if start is None or plain(row[key]) != plain(start[key])]
        unnamed = "baseline" if setup == baseline else f"setup {setup}"
        names[setup] = setting(row, different) or unnamed
    return names


def _figure(row: Record) -> str:
    return str(row["figure"]) + " (before)" * bool(row["evaluated_before"])


def _unit(row: Record) -> float:
    return float(row["rounded"]) or 0.01


def _number(value: float, unit: float) -> str:
    """A number to a decimal unit."""
    if not isfinite(value):
        return "∞" if value == inf else "–"
    return f"{value:,.{max(0, ceil(-log10(unit) - 1e-9))}f}"


def sentences(published: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """For each source how many figures agree with the baseline, and with which settings all do."""
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
    """How many known figures agree with a setup, and which others do not."""
    unknown = _named(rows[rows["agrees"].isna()])
    known = rows[rows["agrees"].notna()]
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
    """Which figures these are, each once."""
    names = list(dict.fromkeys(map(_figure, rows.to_dict("records"))))
    return and_(names) if names else ""


def _elsewhere(all_agree: pd.Series[Any], names: Mapping[str, str], noun: str) -> str:
    """In how many settings all figures agree, and which these are; `all_agree`: by setup."""
    ids = list(all_agree[all_agree].index)
    more = f" and {len(ids) - MAX_NAMED} more" * (len(ids) > MAX_NAMED)
    which = f" ({'; '.join(names[setup] for setup in ids[:MAX_NAMED])}{more})" * bool(ids)
    if len(all_agree) == 1:
        return f"in the one {noun} {'' if ids else 'not '}all agree{which}"
    return f"all agree in {len(ids)} of {plural(len(all_agree), noun)}{which}"


def terminal_lines(published: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """Published figures beside ours, for a terminal."""
    before = ""
    if published["evaluated_before"].any():
        before = "; (before) if evaluated before the updates of an epoch, an epoch later"
    lines = [
        "Published beside ours (times in epochs; ≠ where the 95% intervals of the two do not "
        f"overlap{before}):"
    ]
    each = zip(tables(published, baseline), sentences(published, baseline), strict=True)
    for table, sentence in each:
        rows = [table.titles, *table.rows[:MAX_ROWS]]
        lines += [sentence, *aligned(rows, left=_TEXT_COLUMNS)]
        if len(table.rows) > MAX_ROWS:
            lines.append(f"and {len(table.rows) - MAX_ROWS:,} more in published.csv")
    return lines


def _html_table(table: SourceTable) -> HtmlTable:
    differ = " A ≠ is where the intervals do not overlap." * table.is_by_setup
    first = f" The first {MAX_ROWS} of {len(table.rows)} rows." * (len(table.rows) > MAX_ROWS)
    rows = zip(table.rows[:MAX_ROWS], table.is_marked, strict=False)
    return HtmlTable(
        f"Published by {shortened(table.source, 60)}",
        f"{table.source}. Times in epochs.{differ}{first} All columns:",
        [TableColumn(title, str, i in _TEXT_COLUMNS) for i, title in enumerate(table.titles)],
        list(rows),
        "published.csv",
    )


def _content(data: ReportData) -> Content | None:
    if data.published.empty:
        return None
    return {
        "agreement": sentences(data.published, data.marked),
        "sources": [_html_table(table) for table in tables(data.published, data.marked)],
    }


SECTION = Section(
    "published",
    "Published beside ours",
    _content,
    """\
<p>Figures that papers printed about such runs, beside the same figures of our runs. Each published
figure has the 95% interval that the few runs behind it allow: the printed one, if there is one;
else exact binomial for a share, and for other figures how far so many of our runs stray from all of
them. Two figures agree where their intervals overlap.</p>
{% for text in agreement %}<p>{{ text }}</p>
{% endfor %}{% for each in sources %}{{ table(each) }}{% endfor %}""",
)
