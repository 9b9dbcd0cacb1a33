"""The section on what networks are made of: which activations and optimisers collapse."""

import pandas as pd

from fastbp.analysis.cures import at_best_rate, cure_keys, over_rates, pooled
from fastbp.analysis.summary import keys_of
from fastbp.reporting import plots
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.html_tables import column, html_table, setting_columns
from fastbp.reporting.phrases import Record, named, runs_in
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import and_, percent


def _share(name: str, title: str) -> TableColumn:
    return TableColumn(title, lambda row: percent(row[name] / row["runs"]))


def _table(best: pd.DataFrame, ends: pd.DataFrame, keys: list[str], others: str) -> HtmlTable:
    """The table of each kind of network: how it ends at its best rates, and at any."""
    rows = best.merge(ends, on=keys, how="left", sort=False)
    rates = TableColumn(
        "constant, any rate", lambda row: f"{percent(row['least'])} to {percent(row['most'])}"
    )
    shares = [_share(name, name.replace("_", "-")) for name in ("converged", "constant")]
    parts = [
        _share(name, name.replace("_", "-")) for name in ("collapsed", "one_class", "diverged")
    ]
    return html_table(
        "How each kind of network ends",
        f"All runs of a kind of network, whatever its {others}. Each network counts at its best "
        "rate, at which most seeds converge; the last column is from the rate with the fewest "
        "constant answers to that with the most.",
        [*setting_columns(keys, rows), column("runs"), *shares, *parts, rates],
        rows.to_dict("records"),
    )


def _sentence(best: pd.DataFrame, key: str) -> str:
    """Say which values of a key have the fewest and the most constant answers at the best rates."""
    rows: list[Record] = pooled(best, [key]).to_dict("records")
    rows.sort(key=lambda row: row["constant"] / row["runs"])
    each = [f"{percent(row['constant'] / row['runs'])} with {named(row[key])}" for row in rows]
    return f"Constant answers by {key}, from the fewest to the most: {and_(each)}."


def _content(data: ReportData) -> Content | None:
    keys = cure_keys(data.summary)
    if not keys:
        return None
    best = at_best_rate(data.summary)
    by = ["problem", *keys] if "problem" in keys_of(data.summary) else keys
    rows = pooled(best, by)
    if "problem" not in rows:
        rows.insert(
            0, "problem", data.summary["problem"].iloc[0] if "problem" in data.summary else ""
        )
    others = and_([key for key in keys_of(data.summary) if key not in (*by, "lr")]) or "seed"
    sentences = [_sentence(best, key) for key in keys]
    figure = data.drawing(
        plots.cures(rows, *keys, f"How networks end at their best rate: {runs_in(best)}"),
        "cures",
        "Which networks collapse",
        f"Stacked bars of how runs end, by {and_(by)}. {' '.join(sentences)}",
        f"Each network, by {others}, at the rate at which most of its seeds converge. Runs of "
        f"the same {and_(by)} are added up.",
    )
    table = _table(
        rows.drop(columns=[] if by[0] == "problem" else "problem"),
        over_rates(data.summary, by),
        by,
        others,
    )
    return {"sentences": sentences, "cures": figure, "kinds": table}


SECTION = Section(
    "cures",
    "Which networks collapse",
    _content,
    "{% for each in sentences %}<p>{{ each }}</p>{% endfor %}{{ figure(cures) }}{{ table(kinds) }}",
)
