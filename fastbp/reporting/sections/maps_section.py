"""Maps of outcomes over two numeric keys: their figures, and what a single map shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.axes import critical, has_gaps, map_axes, the_map, with_width_and_depth
from fastbp.analysis.summary import keys_of
from fastbp.reporting import plots
from fastbp.reporting.html import HtmlFigure
from fastbp.reporting.phrases import apart, evenly, named, plain, row_of
from fastbp.reporting.report_data import Content, ReportData, Section, runs_in, settings_of
from fastbp.reporting.sections.response_section import extremes
from fastbp.schema.text import and_, percent, plural

MAX_MAPS, MAX_SETTINGS = 6, 4
"""Pairs of keys with a map, and settings of the other keys in it."""

_HALF = 0.5

Settings = list[tuple[str, pd.DataFrame]]
"""The rows of each setting of the other keys, by its name."""


def landscape(summary: pd.DataFrame, constant_at_start: pd.Series[Any] | None = None) -> list[str]:
    """What a map shows, in paragraphs; none where the setups are no map.

    Parameters
    ----------
    summary : DataFrame
        As `summary` or `with_width_and_depth` returned it.
    constant_at_start : Series, optional
        For each of its rows the share of runs that were constant before their first update.
    """
    keys = the_map(summary)
    if not keys:
        return []
    x, y = keys
    values = sorted(summary[y].unique(), key=float)
    best = summary[y].iloc[int(np.argmax(summary["converged_share"]))]
    shown = sorted({*(values[i] for i in evenly(len(values), 3).tolist()), best}, key=float)
    where = _where(summary, (x, y), shown, "converged")
    first = f"Half of the runs or more converge: {where}. {_extent(summary, x, y)}"
    many, collapsed = (summary[f"{name}_share"] >= _HALF for name in ("constant", "collapsed"))
    second = (
        f"In {plain(int(many.sum()))} of {plural(len(summary), 'setup')} half of the runs or more "
        f"give the same answer to every input, in {plain(int(collapsed.sum()))} of these their "
        "outputs are collapsed to a constant."
    )
    if many.any():
        second += f" They do so: {_where(summary, (x, y), shown, 'constant')}."
    if constant_at_start is not None:
        means = [float(constant_at_start[summary[y] == value].mean()) for value in shown]
        shares = [
            f"{percent(mean)} with {y} {named(value)}"
            for mean, value in zip(means, shown, strict=True)
        ]
        second += (
            f" Before the first update, this share of networks is as constant: {and_(shares)}."
        )
    return [first, second]


def _where(summary: pd.DataFrame, keys: tuple[str, str], values: Sequence[Any], name: str) -> str:
    """For some values of one key, where along the other half of the runs have an outcome."""
    x, y = keys
    lines = critical(summary, x, y, name)
    spans = [
        _spans(summary[summary[y] == value], lines[lines[y] == value], x, name) for value in values
    ]
    return "; ".join(
        f"with {y} {named(value)}, {span}" for value, span in zip(values, spans, strict=True)
    )


def _spans(rows: pd.DataFrame, lines: pd.DataFrame, x: str, name: str) -> str:
    """The same for one value: `from lr 0.28 [0.22, 0.32] to 26 [22, 32]`."""
    shares = rows[f"{name}_share"]
    most, least = float(shares.max()), float(shares.min())
    if lines.empty and least >= _HALF:
        return f"at every {x}"
    if lines.empty and most >= _HALF:
        ends = f"{percent(least)} to {percent(most)}"
        return f"at some {x}, but surely more and surely fewer nowhere ({ends})"
    if lines.empty:
        highest = (
            f" (at most {percent(most)}, with {x} {named(rows[x].iloc[int(shares.argmax())])})"
        )
        return f"at no {x}{highest * (most > 0)}"
    texts, opened = [], ""
    for line in lines.to_dict("records"):
        at = f"{line[x]:.3g} [{line[f'{x}_low']:.3g}, {line[f'{x}_high']:.3g}]"
        if line["rising"]:
            opened = f"from {x} {at}"
        else:
            texts.append(f"{opened} to {at}" if opened else f"up to {x} {at}")
            opened = ""
    return and_([*texts, f"{opened} on"] if opened else texts)


def _extent(summary: pd.DataFrame, x: str, y: str) -> str:
    """In how many setups half of the runs converge, and where runs converge soonest."""
    good = summary[summary["converged_share"] >= _HALF]
    if good.empty:
        return "In no setup do half of the runs converge."
    text = f"That is so in {plain(len(good))} of {plural(len(summary), 'setup')}"
    soon = good[good["updates_median"].notna()]
    if len(soon):
        row = soon.iloc[int(np.argmin(soon["updates_median"].astype(int)))]
        half = plural(int(row["updates_median"]), "update")
        where = f"with {x} {named(row[x])}, {y} {named(row[y])}"
        text += f", and soonest {where}: half had converged after {half}"
    return f"{text}."


# Figures


def _shown(settings: Settings, others: list[str], baseline: dict[Any, Any] | None) -> Settings:
    """The settings that fit: the baseline's and those one key from it, else some of all."""
    if baseline and len(settings) > MAX_SETTINGS:
        near = []
        for _, rows in settings:
            row = rows.iloc[0]
            different = [key for key in others if plain(row[key]) != plain(baseline[key])]
            if len(different) <= 1:
                near.append((len(different), (apart(row, others, baseline), rows)))
        if len(near) > 1:
            settings = [each for _, each in sorted(near, key=lambda each: each[0])]
    return [settings[i] for i in evenly(len(settings), MAX_SETTINGS).tolist()]


def _caption(x: str, y: str, shown: Settings, has_starts: bool) -> str:
    caption = "Above the share converged, below the share constant"
    if len(shown) == 1:
        caption = (
            "The share converged, the share constant (collapsed or one-class), the share collapsed"
        )
        caption += ", and how many were as constant before the first update" * has_starts
    if any(rows[[x, y]].nunique().min() > plots.FEW_VALUES for _, rows in shown):
        caption += "; a black line is where it is one half"
    if any(has_gaps(rows, (x, y)) for _, rows in shown):
        caption += "; grey cells have no setup"
    return f"{caption}."


def _figure(data: ReportData, summary: pd.DataFrame, x: str, y: str) -> HtmlFigure:
    others = [key for key in keys_of(summary) if key not in (x, y)]
    settings = settings_of(summary, others)
    shown = _shown(settings, others, row_of(summary, data.marked))
    some = ""
    if len(shown) < len(settings):
        some = f", {len(shown)} of {len(settings)} settings of {and_(others)}"
    title = f"Share of runs by how they end, over {x} and {y}{some}: {runs_in(summary)}"
    return data.drawing(
        plots.heatmap_panels(x, y, shown, title),
        f"map-{x}-{y}",
        f"Shares over {x} and {y}",
        f"Heatmaps of the share of runs over {x} and {y}. The share converged goes from "
        f"{extremes(summary)}.",
        _caption(x, y, shown, "constant_at_start_share" in summary),
    )


def _content(data: ReportData) -> Content | None:
    summary = with_width_and_depth(data.summary)
    pairs = map_axes(summary)[:MAX_MAPS]
    if pairs and data.constant_at_start is not None:
        summary = summary.assign(constant_at_start_share=data.constant_at_start)
    maps = [_figure(data, summary, x, y) for x, y in pairs]
    return {"maps": maps} if maps else None


SECTION = Section(
    "maps",
    "Shares over two keys",
    _content,
    "{% for each in maps %}{{ figure(each) }}{% endfor %}",
)
