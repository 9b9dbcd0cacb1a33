"""The section on settings that several problems have: which ones converge soonest on average.

A setting is what a setup is apart from its problem.
"""

from typing import Any

import pandas as pd

from fastbp.analysis.improvement import profiles
from fastbp.analysis.summary import keys_of
from fastbp.reporting import plots
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.html_tables import html_table, listed, setting_columns
from fastbp.reporting.phrases import BASELINE, Record, apart, interval, row_of, setting
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import percent, plural


def _standing(rows: pd.DataFrame, first: str) -> str:
    """Say how many settings are better than the first one, and how many are worse."""
    low, high = (rows[f"improvement_simultaneous_{end}"][1:] for end in ("low", "high"))
    better, worse = int((low > 0.5).sum()), int((high < 0.5).sum())
    return (
        f"Of {plural(len(low), 'other setting')}, {better} are shown to be better than {first} and "
        f"{worse} to be worse; {len(low) - better - worse} may be as good."
    )


def _table(rows: pd.DataFrame, keys: list[str], first: str) -> HtmlTable:
    """Make a table with a row for each setting, compared with the first one, which is in bold."""

    def is_first(row: Record) -> bool:
        return bool(row["setup"] == rows["setup"][0])

    def better(row: Record) -> str:
        return (
            "–"
            if is_first(row)
            else f"{percent(row['improvement'])} [{interval(row, 'improvement_simultaneous')}]"
        )

    columns = [
        TableColumn("converged", lambda row: percent(row["share"])),
        TableColumn("better than the one in bold [95%]", better),
    ]
    return html_table(
        "Settings over all problems",
        "The share of runs that had converged at the end of the budget, averaged over problems, "
        f"and the probability that a run is better than that of {first} with the same problem "
        "and seed. The intervals hold for every two settings at once.",
        [*setting_columns(keys, rows), *columns],
        rows.to_dict("records"),
        "improvement.csv",
        is_first,
    )


def _content(data: ReportData) -> Content | None:
    if data.improvement.empty:
        return None
    curves = profiles(data.counted, data.baseline)
    keys, ends = keys_of(curves), curves[curves["within"] == 1].reset_index(drop=True)
    # The first row of each setting but the first one compares it with the first one.
    rows = pd.concat(
        [ends, data.improvement.drop_duplicates(keys, ignore_index=True).drop(columns=keys)], axis=1
    )
    first: dict[Any, Any] = rows.iloc[0].to_dict()
    all_of, problems = int(first["settings"]), plural(first["problems"], "problem")
    start = row_of(data.summary, data.baseline)
    is_baseline = start is not None and apart(first, keys, start) == BASELINE
    name = f"the {BASELINE}" if is_baseline else setting(first, keys)
    some = f"{len(rows)}{f' of {all_of:,}' * (all_of > len(rows))} settings"
    title = f"How soon runs converge, averaged over {problems}: {some}, 95% bands"
    figure = data.drawing(
        lambda: plots.profile_curves(
            curves, title, baseline=first["setup"] if is_baseline else None
        ),
        "profiles",
        "Performance profiles",
        "Curves of the share of runs that had converged over the share of the budget. At its end: "
        + listed(rows, lambda row: f"{percent(row['share'])} converged"),
        f"{some} from the largest area under the curve on"
        f"{', the baseline first' * is_baseline}. The budget of a problem is the largest number of "
        "updates that a setting has for it.",
    )
    return {
        "problems": problems,
        "standing": _standing(rows, name),
        "curves": figure,
        "settings": _table(rows, keys, name),
    }


SECTION = Section(
    "problems",
    "Which settings are best over all problems",
    _content,
    """\
<p>The curves show how soon the runs of a setting converge, averaged over {{ problems }}. Of two
runs with the same problem and seed, the better one first converges after fewer updates; a run that
never does is worse than one that does, and equal runs count half. {{ standing }}</p>
{{ figure(curves) }}{{ table(settings) }}""",
)
