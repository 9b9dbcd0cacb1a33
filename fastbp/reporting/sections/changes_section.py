"""Tables of single changes, and of the contributions of several changes made together."""

from collections.abc import Iterable, Sequence

import pandas as pd

from fastbp.analysis.contrasts import least_effect
from fastbp.analysis.statistics.power import pairing_worth
from fastbp.analysis.summary import ALPHA, keys_of
from fastbp.reporting.change_sentences import by_change, changes_of, headline
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.html_tables import (
    MAX_ROWS,
    column,
    difference,
    html_table,
    more_in,
    text_table,
)
from fastbp.reporting.phrases import (
    Record,
    change_of,
    has_effect,
    named,
    plain,
    row_of,
    setting,
    span_of,
    starts_at,
)
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import WIDTH, p_value, plural, points, wrap


def _effect(row: Record) -> str:
    """The effect of a change in a word: `fixes`, `breaks` or `not shown`."""
    if not has_effect(row):
        return "not shown"
    return "fixes" if row["difference"] > 0 else "breaks"


_CHANGE, _EFFECT = TableColumn("change", change_of, True), TableColumn("effect", _effect, True)
_COUNTS = [column("fixed"), column("broken")]

_PARTS = {"total": "all together"} | {name: name for name in ("alone", "last", "average")}
"""Numbers of points in a table of `attribution`, and the titles of their columns."""


# The tables of a terminal


def effect_lines(
    contrasts: pd.DataFrame,
    summary: pd.DataFrame,
    baseline: str | None = None,
    width: int = WIDTH,
    most: int = 2**63 - 1,
) -> list[str]:
    """Make the table of single changes for a terminal.

    Parameters
    ----------
    contrasts, summary : DataFrame
        The results of `contrasts` and `summary` for the same runs.
    baseline : str, optional
        Id of a setup. The changes that start there are listed first, then the same changes from
        other setups. Without it, all changes are listed.
    width : int
        The most characters of a line.
    most : int
        The most changes that have a line: the strongest, in their order.

    Returns
    -------
    list of str
        The lines; none if nothing can be compared. If a change was made in several settings of the
        other keys, its line has the number of settings and the range of its effects.
    """
    if contrasts.empty:
        return []
    rows = contrasts.to_dict("records")
    start = row_of(summary, baseline)
    direct = [row for row in rows if starts_at(row, start)]
    if start is None or not direct:
        return ["Each change alone:", *_effects(rows, width, most)]
    changes = {change_of(row) for row in direct}
    others = [row for row in rows if change_of(row) in changes and not starts_at(row, start)]
    more = ["The same changes from other settings:", *_ranges(by_change(others), width)]
    return [
        *wrap(f"Each change alone, from {setting(start, keys_of(summary))}:", width),
        *_effects(direct, width, most),
        *more * bool(others and len(direct) + len(more) <= most),
    ]


def _strongest(groups: Sequence[Sequence[Record]], most: int) -> list[Sequence[Record]]:
    """The groups of changes with the largest effects, in their order."""
    sizes = pd.Series([max(abs(row["difference"]) for row in group) for group in groups])
    return [
        groups[i] for i in sorted(sizes.sort_values(ascending=False, kind="stable").index[:most])
    ]


def _effects(rows: Sequence[Record], width: int, most: int) -> list[str]:
    """Make a line for each comparison, or for each change if some was made in several settings.

    The line above them says the unit, and the number of seeds where it is one for all.
    """
    groups, seeds = by_change(rows), [row["pairs"] for row in rows]
    one_count = len({*seeds}) == 1
    shown = _strongest(groups, most)
    rest = more_in(len(groups), len(shown), "contrasts.csv")
    pairs = plural(seeds[0], "common seed") if one_count else "paired by seed"
    unit = wrap(f"(points of the convergence rate, {pairs}; effect: Holm's p < {ALPHA})", width)
    if len(groups) < len(rows):
        return [*unit, *_ranges(shown, width), *rest]
    lines = text_table(
        [
            _CHANGE,
            *_COUNTS,
            *([] if one_count else [column("pairs", "seeds")]),
            TableColumn("points", lambda row: points(row["difference"])),
            TableColumn(
                "95% CI",
                lambda row: f"{points(row['difference_low'])} to {points(row['difference_high'])}",
            ),
            _EFFECT,
        ],
        [row for group in shown for row in group],
        width,
        "contrasts.csv",
    )
    return [*unit, *lines, *rest]


def _ranges(groups: Iterable[Sequence[Record]], width: int) -> list[str]:
    """Make a line for each change: the number of its settings, and the range of its effects."""
    return text_table(
        [
            TableColumn("change", lambda group: change_of(group[0]), True),
            TableColumn("settings", lambda group: plain(len(group))),
            TableColumn("points", span_of, True),
            TableColumn("effect", _shown, True),
        ],
        groups,
        width,
        "contrasts.csv",
    )


def _shown(group: Sequence[Record]) -> str:
    shown = sum(map(has_effect, group))
    return {0: "not shown", len(group): "shown"}.get(shown, f"shown in {shown}")


# The tables of the page


def contrasts_table(data: ReportData) -> HtmlTable | None:
    """Make the page's table of single changes; None if there are none.

    If there are too many, it has the changes of the baseline and then the strongest ones.
    """
    if data.contrasts.empty:
        return None
    start = row_of(data.summary, data.baseline)
    keys = [key for key in keys_of(data.summary) if key in data.contrasts.columns]

    def is_of_baseline(row: Record) -> bool:
        return starts_at(row, start)

    rows = data.contrasts.to_dict("records")
    if len(rows) > MAX_ROWS:
        rows.sort(key=lambda row: (not is_of_baseline(row), -abs(row["difference"])))
    shown = rows[:MAX_ROWS]
    columns = [
        _CHANGE,
        TableColumn(
            "where", lambda row: setting(row, [k for k in keys if k != row["key"]]) or "–", True
        ),
        column("pairs", "seeds"),
        *_COUNTS,
        TableColumn("difference in points [95%]", difference),
        TableColumn("p (Holm)", lambda row: p_value(row["p_holm"])),
        _EFFECT,
    ]
    bold = " Changes of the baseline are in bold." * any(map(is_of_baseline, shown))
    first = "Those first, then the largest" if bold else "The largest"
    some = f" {first} of {plain(len(rows))} differences." * (len(shown) < len(rows))
    return html_table(
        "Single changes",
        f"Changes of one key, paired by seed.{bold}{some}",
        columns,
        shown,
        "contrasts.csv",
        is_of_baseline,
    )


def attribution_table(data: ReportData) -> HtmlTable | None:
    """Make the page's table of `attribution`; None if it is empty.

    If there are too many rows, it has the setups whose convergence rate differs most.
    """
    parts = data.attribution
    if parts.empty:
        return None
    keys = keys_of(data.summary)
    settings = {row["setup"]: setting(row, keys) for row in data.summary.to_dict("records")}
    order = (
        parts.groupby("to", sort=False)["total_points"]
        .first()
        .sort_values(key=abs, ascending=False, kind="stable")
        .index
    )
    ends = set(order[: max(1, MAX_ROWS // int(parts["to"].eq(parts["to"].iloc[0]).sum()))])
    columns = [
        TableColumn(
            "change",
            lambda row: f"{row['key']}: {named(row['from_value'])} → {named(row['to_value'])}",
            True,
        ),
        TableColumn("on the way to", lambda row: settings[row["to"]], True),
        column("pairs", "seeds"),
        *(
            TableColumn(
                f"{title} [95%]",
                lambda row, name=name: difference(row, f"{name}_points", 100),  # type: ignore[misc]
            )
            for name, title in _PARTS.items()
        ),
    ]
    some = f" The {len(ends)} largest of {plain(len(order))} changes." * (len(ends) < len(order))
    return html_table(
        "Parts of several changes",
        "Contributions to the convergence rate in percentage points, from "
        f"{settings[parts['from'].iloc[0]]}.{some}",
        columns,
        parts[parts["to"].isin(ends)].to_dict("records"),
        "attribution.csv",
    )


def interactions_table(data: ReportData) -> HtmlTable | None:
    """Make the page's table of `interactions`; None if it is empty."""
    if data.interactions.empty:
        return None
    settings = {
        row["setup"]: setting(row, keys_of(data.summary)) for _, row in data.summary.iterrows()
    }
    strongest = data.interactions.sort_values("points", key=abs, ascending=False, kind="stable")
    return html_table(
        "How changes depend on each other",
        "How many points more a change adds to the convergence rate if the other one is made too.",
        [
            TableColumn("change", lambda row: row["key"], True),
            TableColumn("with the change of", lambda row: row["other"], True),
            TableColumn("on the way to", lambda row: settings[row["to"]], True),
            column("pairs", "seeds"),
            TableColumn("points more [95%]", lambda row: difference(row, "points", 100)),
        ],
        strongest[:MAX_ROWS].to_dict("records"),
        "interactions.csv",
    )


def least_text(data: ReportData) -> str:
    """Say which effects the table of contrasts could have shown: of the baseline, if there is one.

    The changes of the baseline are the smaller family, and so smaller effects could be shown.
    """
    start = row_of(data.summary, data.baseline)
    direct = [starts_at(row, start) for row in data.contrasts.to_dict("records")]
    family = data.contrasts[direct] if any(direct) else data.contrasts
    least, seeds = least_effect(family), int(family["pairs"].max() if len(family) else 0)
    most = f"{plural(len(family), 'change')}{' of the baseline' * any(direct)}"
    below = "" if least > 1 else f" below {points(least).lstrip('+')} points"
    however = ", however large" * (least > 1)
    return f"With {most} and {plural(seeds, 'seed')} no effect{below} could be shown{however}."


def worth_text(data: ReportData) -> str:
    """Say what pairing is worth for the change that the page leads with; empty if that is unknown.

    It is unknown unless all runs of the baseline are compared, and said only if it is surely more
    than one.
    """
    start, rows = row_of(data.summary, data.baseline), data.contrasts.to_dict("records")
    effects = [row for row in rows if starts_at(row, start) and has_effect(row)]
    best = max(effects, key=lambda row: float(row["difference"]), default=None)
    if start is None or best is None or best["difference"] < 0 or start["runs"] != best["pairs"]:
        return ""
    worth = pairing_worth(best["pairs"], best["fixed"], best["broken"], start["converged"])
    return (
        f" For {change_of(best)}, pairing by seed is as good as {worth.value:,.1f} times the seeds "
        f"(95% interval {worth.low:,.1f} to {worth.high:,.1f})."
    ) * (worth.low > 1.05)  # not as "1.0 times"


def _content(data: ReportData) -> Content | None:
    # Steps between neighbours on a map are too small to be seen, and planes have no random seeds.
    if (
        (data.marked is None and data.map_keys)
        or (data.contrasts.empty and data.attribution.empty)
        or len(data.plane_counts) == len(data.summary)
    ):
        return None
    return {
        "contrasts": contrasts_table(data),
        "attribution": attribution_table(data),
        "interactions": interactions_table(data),
        "alpha": ALPHA,
        "planning": least_text(data) + worth_text(data),
    }


def _finding(data: ReportData) -> str:
    rows = data.contrasts.to_dict("records")
    if not rows:
        return "Several changes at once"
    if changes := changes_of(data.summary, data.contrasts, data.baseline):
        return headline(changes)
    return (
        f"{plain(sum(map(has_effect, rows)))} of {plural(len(rows), 'single change')} make a "
        "measurable difference"
    )


SECTION = Section(
    "changes",
    "What each change does on its own",
    _content,
    """\
{% if contrasts %}<p>Each row compares two setups that differ in one key, on the same seeds. The
change fixes runs that fail without it and converge with it; it breaks runs that converge without it
and fail with it. An effect has p &lt; {{ alpha }} after Holm's adjustment: changes of the baseline
are adjusted among themselves, all others among themselves. Intervals are pointwise 95% (Tango's
score interval for paired shares); those of the sentences above hold for all changes at once.
{{ planning }}</p>
{{ table(contrasts) }}{% else %}<p>No two setups differ in exactly one key and share
seeds.</p>{% endif %}
{% if attribution %}<h3>Several changes at once</h3>
<p>How much each change contributes to the convergence rate, in percentage points: if it is made
first (alone), if it is made last, and on average over all orders of making the changes (Shapley's
value). Intervals are 95%, over seeds (Tango's; of the average Agresti and Min's).</p>
{{ table(attribution) }}{% endif %}
{% if interactions %}<p>There is no average if a change does the opposite alone of what it does
last. The second table says how changes depend on each other (differences of differences, 95%,
Agresti and Min).</p>
{{ table(interactions) }}{% endif %}
""",
    _finding,
)
