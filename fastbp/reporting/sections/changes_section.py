"""What each change does by itself, and how much each of several changes contributes."""

from fastbp.analysis.summary import ALPHA, keys_of
from fastbp.reporting.html import HtmlTable, TableColumn
from fastbp.reporting.html_tables import MAX_ROWS, column, difference, html_table
from fastbp.reporting.phrases import Record, change_of, is_end, named, plain, setting
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.text import p_value, points


def contrasts_table(data: ReportData) -> HtmlTable | None:
    """The strongest single changes, those of the baseline first; None where there are none."""
    contrasts, summary = data.contrasts, data.summary
    if contrasts.empty:
        return None
    baselines = summary[summary["setup"] == data.baseline].to_dict("records")
    keys = [key for key in keys_of(summary) if key in contrasts.columns]

    def is_of_baseline(row: Record) -> bool:
        return any(
            is_end(row, "from", {key: start[key] for key in {*keys, row["key"]}})
            for start in baselines
        )

    rows = contrasts.to_dict("records")
    if len(rows) > MAX_ROWS:
        rows.sort(key=lambda row: (not is_of_baseline(row), -abs(row["difference"])))
    rows = rows[:MAX_ROWS]
    columns = [
        TableColumn("change", change_of, True),
        TableColumn(
            "where", lambda row: setting(row, [k for k in keys if k != row["key"]]) or "–", True
        ),
        column("pairs", "seeds"),
        column("fixed"),
        column("broken"),
        TableColumn("difference in points [95%]", difference),
        TableColumn("p (Holm)", lambda row: p_value(row["p_holm"])),
        TableColumn("effect", _effect, True),
    ]
    bold = " Changes of the baseline are in bold." * any(map(is_of_baseline, rows))
    first = "Those first, then the strongest" if bold else "The strongest"
    some = f" {first} of {plain(len(contrasts))}." * (len(rows) < len(contrasts))
    caption = f"Changes of one key, paired by seed.{bold}{some}"
    return html_table("Single changes", caption, columns, rows, "contrasts.csv", is_of_baseline)


def _effect(row: Record) -> str:
    if row["p_holm"] >= ALPHA:
        return "not shown"
    return "fixes" if row["difference"] > 0 else "breaks"


def attribution_table(data: ReportData) -> HtmlTable | None:
    """The contributions to the largest changes; None where there are none."""
    parts = data.attribution
    if parts.empty:
        return None
    keys = keys_of(data.summary)
    settings = {row["setup"]: setting(row, keys) for row in data.summary.to_dict("records")}
    totals = parts.groupby("to", sort=False)["total_points"].first().abs()
    order = totals.sort_values(ascending=False, kind="stable").index
    rows_of_each = int(parts["to"].eq(parts["to"].iloc[0]).sum())
    ends = set(order[: max(1, MAX_ROWS // rows_of_each)])
    columns = [
        TableColumn("change", _change, True),
        TableColumn("on the way to", lambda row: settings[row["to"]], True),
        column("pairs", "seeds"),
        TableColumn("all together", lambda row: points(row["total_points"] / 100)),
        *(
            TableColumn(f"{name} [95%]", lambda row, name=name: _part(row, name))  # type: ignore[misc]
            for name in ("alone", "last", "average")
        ),
    ]
    some = f" The {len(ends)} largest of {plain(len(order))} changes." * (len(ends) < len(order))
    start = settings[parts["from"].iloc[0]]
    caption = f"Contributions to the convergence rate in percentage points, from {start}.{some}"
    rows = parts[parts["to"].isin(ends)].to_dict("records")
    return html_table("Parts of several changes", caption, columns, rows, "attribution.csv")


def _change(row: Record) -> str:
    return f"{row['key']}: {named(row['from_value'])} → {named(row['to_value'])}"


def _part(row: Record, name: str) -> str:
    """Points with their interval, which is left out where all seeds agree."""
    value, low, high = (row[f"{name}_points{end}"] / 100 for end in ("", "_low", "_high"))
    return f"{points(value)}" + f" [{points(low)}, {points(high)}]" * bool(low < high)


def _content(data: ReportData) -> Content:
    nothing = (
        "No two setups differ in exactly one key and share seeds: there is nothing to compare."
    )
    if len(data.summary) == 1:
        nothing = "One setup has runs: there is nothing to compare it with."
    if data.is_atlas:
        nothing = "All setups differ in the problem alone; the classes above compare functions."
    return {
        "contrasts": contrasts_table(data),
        "no_contrasts": nothing,
        "attribution": attribution_table(data),
        "alpha": ALPHA,
    }


SECTION = Section(
    "changes",
    "What each change does by itself",
    _content,
    """\
{% if contrasts %}<p>Two setups that differ in one key alone, on the same seeds: how many runs the
change fixes (they failed before and converge with it) and how many it breaks. An effect has
p &lt; {{ alpha }} after Holm's adjustment over the whole table; intervals are pointwise 95%
(Tango's score interval for paired shares).</p>
{{ table(contrasts) }}{% else %}<p>{{ no_contrasts }}</p>{% endif %}
{% if attribution %}<h3>Several changes at once</h3>
<p>How much each change contributes to the convergence rate, in percentage points: made first,
alone; made last, after all others; and on average over all orders of making them (Shapley's value).
Intervals are 95% (Student's, over seeds).</p>
{{ table(attribution) }}{% endif %}
""",
)
