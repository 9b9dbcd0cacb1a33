"""The tables of a page: what of a DataFrame is shown there, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.counts import SetupCounts
from fastbp.analysis.summary import ALPHA, keys_of
from fastbp.reporting.html import Column, Row, Table
from fastbp.reporting.phrases import (
    change_of,
    is_end,
    labels,
    named,
    p_value,
    percent,
    plain,
    points,
    setting,
    shortened,
)
from fastbp.reporting.plots import COLOURS
from fastbp.reporting.sections.maps_section import is_numeric
from fastbp.reporting.sections.published_section import forms
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.outcomes import MEANINGS, OUTCOMES
from fastbp.schema.paper_figures import FIGURES
from fastbp.schema.paper_figures import MEANINGS as FIGURE_MEANINGS
from fastbp.store.provenance import read_made

MAX_ROWS = 40
"""Rows of a table."""


def listed(rows: pd.DataFrame, told: Callable[[dict[Any, Any]], str], most: int = 12) -> str:
    """What is told of each row, for somebody who does not see the picture."""
    texts = [
        f"{name}: {told(row)}"
        for name, row in zip(labels(rows), rows.to_dict("records"), strict=True)
    ]
    more = f"; and {len(texts) - most} more in the table" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more + "."


def outcomes(row: dict[Any, Any]) -> str:
    """The shares of a row of a summary, in words."""
    parts = [(outcome, row[f"{outcome.replace('-', '_')}_share"]) for outcome in COLOURS]
    return ", ".join(f"{percent(share)} {outcome}" for outcome, share in parts if share)


def _share(row: dict[Any, Any], name: str) -> str:
    return f"{percent(row[f'{name}_share'])} ({plain(row[name])})"


def _bounds(row: dict[Any, Any], name: str, told: Callable[[Any], str]) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if pd.isna(value):
        return "–"
    return f"{told(value)} [{told(low)}–{told(high)}]"


def _updates(value: Any) -> str:
    return (
        "∞"
        if not pd.isna(value) and np.isinf(value)
        else "–"
        if pd.isna(value)
        else f"{round(value):,}"
    )


def summary_table(rows: pd.DataFrame, whole: pd.DataFrame, baseline: str | None) -> Table:
    """Some rows of a whole summary."""
    keys = keys_of(whole)
    shares = [
        "collapsed",
        "one_class",
        "constant",
        "partial",
        *(["diverged"] if whole["diverged"].any() else []),
    ]
    columns = [
        *(Column(key, not is_numeric(whole[key])) for key in keys),
        Column("setup", True),
        Column("runs"),
    ]
    columns += [Column("converged [95%]"), *(Column(share.replace("_", "-")) for share in shares)]
    told = []
    for row in rows.to_dict("records"):
        interval = f" [{percent(row['converged_low'])}–{percent(row['converged_high'])}]".replace(
            "%", ""
        )
        cells = [
            *(named(row[key]) for key in keys),
            row["setup"],
            plain(row["runs"]),
            _share(row, "converged") + interval,
        ]
        cells += [_share(row, share) for share in shares]
        told.append(Row(cells, row["setup"] == baseline))
    mark = " In bold, the setup as it stands." if baseline in set(rows["setup"]) else ""
    return Table(
        "Outcomes of each setup",
        f"Share and count of runs by outcome, with Wilson's 95% interval of the share converged.{mark} All columns:",
        columns, told, "summary.csv",
    )  # fmt: skip


def waiting_table(rows: pd.DataFrame, whole: pd.DataFrame, baseline: str | None) -> Table:
    """How long the runs of some rows of a whole summary take."""
    keys = keys_of(whole)
    columns = [
        *(Column(key, not is_numeric(whole[key])) for key in keys),
        Column("setup", True),
        Column("ever converged"),
    ]
    columns += [
        Column("of these relapsed"),
        Column("median updates [95%]"),
        Column("restart at [95%]"),
        Column("restart cost [95%]"),
    ]
    told = []
    for row in rows.to_dict("records"):
        cells = [
            *(named(row[key]) for key in keys),
            row["setup"],
            plain(row["ever_converged"]),
            plain(row["relapsed"]),
        ]
        cells += [
            _bounds(row, name, _updates)
            for name in ("updates_median", "restart_at", "restart_cost")
        ]
        told.append(Row(cells, row["setup"] == baseline))
    mark = " In bold, the setup as it stands." if baseline in set(rows["setup"]) else ""
    caption = (
        "Runs that some look found converged, and those of them that did not end so; updates after which half had converged "
        "(Kaplan-Meier); and the updates after which giving up and drawing a new seed makes a success cheapest (the budget: none "
        "earlier pays), with the updates "
        f"that one then takes.{mark} All columns:"
    )
    return Table("Updates to convergence of each setup", caption, columns, told, "summary.csv")


def contrasts_table(
    contrasts: pd.DataFrame, whole: pd.DataFrame, baseline: str | None
) -> Table | None:
    """The strongest changes; None where there are none."""
    if contrasts.empty:
        return None
    start = next(iter(whole[whole["setup"] == baseline].to_dict("records")), None)
    others = [key for key in keys_of(whole) if key in contrasts.columns]

    def is_own(row: dict[Any, Any]) -> bool:
        return start is not None and is_end(
            row, "from", {key: start[key] for key in {*others, row["key"]}}
        )

    shown = contrasts.to_dict("records")
    if len(shown) > MAX_ROWS:
        shown = sorted(shown, key=lambda row: (not is_own(row), -abs(row["difference"])))[:MAX_ROWS]
    told = []
    for row in shown:
        here = [key for key in others if key != row["key"]]
        interval = f"{points(row['difference'])} [{points(row['difference_low'])}, {points(row['difference_high'])}]"
        effect = (
            ("fixes" if row["difference"] > 0 else "breaks")
            if row["p_holm"] < ALPHA
            else "not shown"
        )
        cells = [
            change_of(row),
            setting(row, here) or "–",
            plain(row["pairs"]),
            plain(row["fixed"]),
            plain(row["broken"]),
            interval,
        ]
        told.append(Row([*cells, p_value(row["p_holm"]), effect], is_own(row)))
    columns = [
        Column("change", True),
        Column("where", True),
        Column("seeds"),
        Column("fixed"),
        Column("broken"),
    ]
    columns += [Column("difference in points [95%]"), Column("p (Holm)"), Column("effect", True)]
    mark = " In bold, changes of the setup as it stands." if any(row.marked for row in told) else ""
    first = "Those first, then the strongest" if mark else "The strongest"
    many = "" if len(shown) == len(contrasts) else f" {first} of {plain(len(contrasts))}."
    return Table(
        "Single changes",
        f"Changes of one key, paired by seed.{mark}{many} All columns:",
        columns,
        told,
        "contrasts.csv",
    )


def published_tables(published: pd.DataFrame, baseline: str | None) -> list[Table]:
    """What others printed, beside ours: a table of each source."""
    return [
        Table(
            f"Published by {shortened(form.source, 60)}",
            f"{form.source}. Times in epochs.{' A ≠ is where the intervals do not overlap.' * (form.titles[0] == 'ours')}"
            f"{f' The first {MAX_ROWS} of {len(form.rows)} rows.' * (len(form.rows) > MAX_ROWS)} All columns:",
            [Column(title, i in (0, 7)) for i, title in enumerate(form.titles)],
            [
                Row(cells, marked)
                for cells, marked in zip(form.rows[:MAX_ROWS], form.marked, strict=False)
            ],
            "published.csv",
        )
        for form in (forms(published, baseline) if len(published) else [])
    ]


def _part(row: dict[Any, Any], name: str) -> str:
    """Points with their interval, which is none where no seed differs from the others."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = f" [{points(low / 100)}, {points(high / 100)}]" if low < high else ""
    return points(row[name] / 100) + interval


def attribution_table(attribution: pd.DataFrame, whole: pd.DataFrame) -> Table | None:
    """The parts of the largest changes; None where there are none."""
    if attribution.empty:
        return None
    keys = keys_of(whole)
    settings = {row["setup"]: setting(row, keys) for row in whole.to_dict("records")}
    far = (
        attribution.groupby("to", sort=False)["total_points"]
        .first()
        .abs()
        .sort_values(ascending=False, kind="stable")
    )
    wanted = set(
        far.index[: max(1, MAX_ROWS // int(attribution["to"].eq(attribution["to"].iloc[0]).sum()))]
    )
    told = []
    for row in attribution[attribution["to"].isin(wanted)].to_dict("records"):
        parts = [_part(row, name) for name in ("alone_points", "last_points", "average_points")]
        change = f"{row['key']}: {named(row['from_value'])} → {named(row['to_value'])}"
        told.append(
            Row(
                [
                    change,
                    settings[row["to"]],
                    plain(row["pairs"]),
                    points(row["total_points"] / 100),
                    *parts,
                ]
            )
        )
    columns = [
        Column("change", True),
        Column("on the way to", True),
        Column("seeds"),
        Column("all together"),
    ]
    columns += [Column("alone [95%]"), Column("last [95%]"), Column("average [95%]")]
    many = (
        ""
        if len(wanted) == len(far)
        else f" The {len(wanted)} largest of {plain(len(far))} changes."
    )
    start = settings[attribution["from"].iloc[0]]
    caption = f"Percentage points of the share converged, from {start}.{many} All columns:"
    return Table("Parts of several changes", caption, columns, told, "attribution.csv")


def words(varying: Sequence[str], figures: Iterable[str] = ()) -> list[dict[str, str]]:
    """What the words of a page mean, among them the keys that vary and the published figures."""
    words = [
        {"name": str(outcome), "meaning": MEANINGS[outcome], "colour": COLOURS[outcome]}
        for outcome in OUTCOMES
    ]
    more = {
        "constant": "collapsed or one-class: the same answer, or the same decision, for every input",
        "setup": "one full choice of hyperparameters, named by 12 hex digits",
        "seed": "one initial network and its own sample order; the same in every setup",
        "update": "one change of the weights",
        "spread": "largest output minus smallest, over the rows, as a share of the target range; the largest over outputs",
        "loss": "mean over rows of the sum over outputs, ½ included for squared loss",
    }
    more |= {column.name: column.meaning for column in SETUP_COLUMNS if column.name in varying}
    more |= {figure: FIGURE_MEANINGS[figure] for figure in FIGURES if figure in set(figures)}
    return words + [
        {"name": name, "meaning": meaning, "colour": ""} for name, meaning in more.items()
    ]


def how(store: Path, counted: Sequence[SetupCounts], varying: Sequence[str]) -> dict[str, Any]:
    """Versions, seeds, processor, time, updates/s; and what all setups have in common."""
    first = counted[0].keys if counted else {}
    same = {
        c.name: first[c.name] for c in SETUP_COLUMNS if c.name in first and c.name not in varying
    }
    common = ", ".join(
        f"{key} {shortened(plain(value), 200)}" for key, value in same.items() if value is not None
    )
    told: list[Row] = []
    versions: dict[str, None] = {}
    for entry in read_made(store):
        seconds = entry.get("seconds")
        seconds = seconds if isinstance(seconds, dict) else {}
        values = [
            entry.get("when"),
            entry.get("runs"),
            entry.get("updates"),
            seconds.get("train"),
            seconds.get("total"),
        ]
        values += [entry.get("updates_per_second"), entry.get("jobs"), entry.get("cpu")]
        told.append(
            Row(
                [
                    shortened(plain(value), 80) if isinstance(value, str | int | float) else "–"
                    for value in values
                ]
            )
        )
        packages = entry.get("versions")
        if isinstance(packages, dict):
            each = ", ".join(
                f"{shortened(plain(str(n)), 40)} {shortened(plain(str(v)), 40)}"
                for n, v in packages.items()
            )
            numerics, python = (
                shortened(plain(str(entry.get(name))), 40) for name in ("numerics", "python")
            )
            versions[f"Python {python}, {each}; numerics version {numerics}."] = None
    columns = [
        Column("when", True),
        Column("runs"),
        Column("updates"),
        Column("seconds of training"),
        Column("seconds in all"),
    ]
    columns += [Column("updates per second"), Column("jobs"), Column("processor", True)]
    caption = f"The {'last 20 ' if len(told) > 20 else ''}commands that trained these runs."
    made = Table("Commands", caption, columns, told[-20:]) if told else None
    return {"common": common, "made": made, "versions": [*versions][-5:]}
