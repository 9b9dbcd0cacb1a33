"""The section on what networks are made of: which activations and optimisers collapse."""

from typing import Any

import pandas as pd

from fastbp.analysis.cures import at_best_rate, cure_keys, over_rates, pooled
from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import keys_of
from fastbp.reporting import plots
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.html_tables import column, html_table, setting_columns
from fastbp.reporting.phrases import named, runs_in
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import and_, percent

MAX_PANELS = 32
"""The most problems that are drawn, each with all networks."""


def _share(name: str) -> TableColumn:
    return TableColumn(name.replace("_", "-"), lambda row: percent(row[name] / row["runs"]))


def _table(best: pd.DataFrame, ends: pd.DataFrame, keys: list[str], others: str) -> HtmlTable:
    """The table of each kind of network: how it ends at its best rates, and at any."""
    rows = best.merge(ends, on=keys, how="left", sort=False)
    outcomes = ("converged", "constant", "collapsed", "one_class", "diverged")
    rates = TableColumn(
        "constant, any rate", lambda row: f"{percent(row['least'])} to {percent(row['most'])}"
    )
    return html_table(
        "How each kind of network ends",
        f"All runs of a kind of network, whatever its {others}. Each network counts at its best "
        "rate, at which most seeds converge (of equal ones, that with the fewest constant answers);"
        " the last column is from the rate with the fewest constant answers to that with the most.",
        [*setting_columns(keys, rows), column("runs"), *map(_share, outcomes), rates],
        rows.to_dict("records"),
    )


def _by_constant(best: pd.DataFrame, key: str) -> list[Any]:
    """The runs of each value of a key, those with the fewest constant answers first."""
    rows: list[Any] = pooled(best, [key]).to_dict("records")
    return sorted(rows, key=lambda row: row["constant"] / row["runs"])


def _sentence(best: pd.DataFrame, key: str) -> str:
    """Say how many constant answers each value of a key has at the best rates, in their order.

    Runs of a seed may be alike, so a share has the interval of a share of seeds.
    """
    each, seeds = [], int(best["runs"].min())
    for row in _by_constant(best, key):
        share = row["constant"] / row["runs"]
        low, high = map(float, wilson(share * seeds, seeds))
        each.append(f"{percent(share)} with {named(row[key])} ({percent(low)} to {percent(high)})")
    between = f" Between them: {and_(each[1:-1])}." if len(each) > 2 else ""
    return (
        f"Constant answers by {key}, each network at its best learning rate (95% intervals), "
        f"range from {each[0]} to {each[-1]}.{between}"
    )


def sentences(data: ReportData) -> list[str]:
    """Say which networks give constant answers, by each key that they are made of, if several vary.

    Where no setup is the baseline, this is the answer to the question of the sweep.
    """
    keys = cure_keys(data.summary)
    best = at_best_rate(data.summary) if keys else data.summary
    return [_sentence(best, key) for key in keys]


def _content(data: ReportData) -> Content | None:
    keys = cure_keys(data.summary)
    if not keys:
        return None
    best, varied = at_best_rate(data.summary), keys_of(data.summary)
    by = ["problem"] * ("problem" in varied) + keys
    rows, lines = pooled(best, by), sentences(data)
    apart = data.summary.groupby(by[:1])[varied].nunique().max() > 1
    others = and_([key for key in varied if apart[key] and key not in (*by, "lr")]) or "seed"
    title, drawn, some = f"How networks end at their best rate: {runs_in(best)}", rows, ""
    if "problem" in rows and rows["problem"].nunique() > MAX_PANELS:
        problems = rows["problem"].unique()
        drawn = rows[rows["problem"].isin(problems[:MAX_PANELS])]
        some = f" Of {len(problems):,} problems the first {MAX_PANELS} are drawn."
    figure = data.drawing(
        lambda: plots.cures(drawn, keys[0], keys[1], title),
        "cures",
        "Which networks collapse",
        f"Stacked bars of how runs end, by {and_(by)}. {' '.join(lines)}",
        "Each network counts at the rate at which most of its seeds converge. Runs of the same "
        f"{and_(by)} are added up, whatever their {others}.{some}",
    )
    return {
        "sentences": lines if data.baseline else [],  # without a baseline they stand above
        "cures": [figure],
        "kinds": _table(rows, over_rates(data.summary, by), by, others),
    }


def _finding(data: ReportData) -> str:
    key = cure_keys(data.summary)[0]
    rows = _by_constant(at_best_rate(data.summary), key)
    few, many = (
        f"{percent(row['constant'] / row['runs'])} with {named(row[key])}"
        for row in (rows[0], rows[-1])
    )
    return f"Constant answers: from {few} to {many}"


SECTION = Section(
    "cures",
    "Which networks collapse",
    _content,
    """\
{% for each in sentences %}<p>{{ each }}</p>{% endfor %}
{% for each in cures %}{{ figure(each) }}{% endfor %}{{ table(kinds) }}""",
    _finding,
    "cures",
    lambda data: bool(cure_keys(data.summary)) and not data.baseline,
)
