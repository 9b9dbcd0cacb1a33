"""The sections with curves over one numeric key and with maps (heatmaps) over two.

Also the sentences about a single map.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastbp.analysis.axes import (
    critical,
    curve_keys,
    keys_besides,
    map_axes,
    the_map,
)
from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import keys_of, probably_above_half, simultaneous_bounds
from fastbp.reporting import plots
from fastbp.reporting.html import HtmlFigure, HtmlTable
from fastbp.reporting.html_tables import column, html_table
from fastbp.reporting.phrases import (
    apart,
    as_best,
    as_soon,
    evenly,
    extreme,
    named,
    place_of,
    plain,
    row_of,
    runs_in,
    setting,
)
from fastbp.reporting.report_data import Content, ReportData, Section, settings_of
from fastbp.schema.text import and_, percent, plural

MAX_MAPS, MAX_SETTINGS = 6, 4
"""Largest numbers of maps (pairs of keys) on a page, and of settings of the other keys in a map."""

Settings = list[tuple[str, pd.DataFrame]]
"""For each combination of values of the other keys: its text, and its rows of the summary."""


def map_paragraphs(
    summary: pd.DataFrame, constant_at_start: "pd.Series[Any] | None" = None
) -> list[str]:
    """Say what a map shows, in paragraphs; the list is empty if the setups form no map.

    Parameters
    ----------
    summary : DataFrame
        As `summary` or `with_width_and_depth` returned it.
    constant_at_start : Series, optional
        For each row of the summary, the share of runs that were constant before the first update.
    """
    keys = the_map(summary)
    if not keys:
        return []
    y = keys[1]
    second = (
        f"At least half of the runs converge in {_count(summary, 'converged')}."
        f"{_soonest(summary, keys)} At least half give the same answer to every input in "
        f"{_count(summary, 'constant')}."
    )
    if (simultaneous_bounds(summary, "constant")[0] >= 0.5).any():
        second += f" At least half have collapsed to a constant in {_count(summary, 'collapsed')}."
    if constant_at_start is not None:
        means = constant_at_start.groupby(summary[y]).mean()
        shown = means.iloc[evenly(len(means), 3 if means.nunique() > 1 else 1)]
        seeds = int(summary["runs"].min())  # those that a value starts with, whatever else varies
        ends = zip(*wilson(shown * seeds, seeds), strict=True)
        shares = [
            f"{percent(share)}{f' with {y} {named(value)}' * (len(shown) > 1)} ({percent(low)} to "
            f"{percent(high)})"
            for (value, share), (low, high) in zip(shown.items(), ends, strict=True)
        ]
        second += (
            " Before the first update, this share of networks is already as constant as a "
            f"collapsed one (95% intervals): {and_(shares)}."
        )
    return [_region(summary, keys), second]


def _region(summary: pd.DataFrame, keys: tuple[str, str]) -> str:
    """Say in which rectangle of the map half of the runs may converge, and in how many setups.

    Outside it surely fewer than half converge; the intervals of all setups hold at once.
    """
    low, high = simultaneous_bounds(summary, "converged")
    best, inside = extreme(summary, "converged"), np.ones(len(summary), bool)
    for key in keys:
        inside &= summary[key].between(*summary[key][high >= 0.5].agg(["min", "max"])).to_numpy()
    i = place_of(summary, best)
    ends = f"{percent(low[i])} to {percent(high[i])}"
    most = f"{percent(best['converged_share'])} ({ends}) with {setting(best, keys)}"
    if inside.all() or not inside.any() or not (low >= 0.5).any():
        return (
            f"At least half of the runs converge in {_count(summary, 'converged')}. The highest "
            f"share is {most}."
        )
    where = " and ".join(_reach(summary[key], inside) for key in keys)
    sure, more = int((low >= 0.5).sum()), int(((low < 0.5) & (high >= 0.5)).sum())
    perhaps = f", perhaps in {plain(more)} more" * (more > 0)
    return (
        f"At least half of the runs converge in {plain(sure)} of the "
        f"{plural(int(inside.sum()), 'setup')} with {where}{perhaps}, and in none of "
        f"{plain((~inside).sum())} elsewhere (at 95% confidence). The highest share is {most}."
    )


def _reach(values: "pd.Series[Any]", inside: NDArray[np.bool_]) -> str:
    """Write the range that a key has inside a part of the map: `lr 0.681 to 21.5`."""
    least, most = values[inside].min(), values[inside].max()
    if values.min() == least and values.max() == most:
        return f"any {values.name}"
    if least == most:
        return f"{values.name} {named(most)}"
    if values.max() == most:
        return f"{values.name} from {named(least)}"
    if values.min() == least:
        return f"{values.name} up to {named(most)}"
    return f"{values.name} {named(least)} to {named(most)}"


def _count(summary: pd.DataFrame, name: str) -> str:
    """Say in how many setups at least half of the runs have an outcome, as far as that is sure."""
    low, high = simultaneous_bounds(summary, name)
    sure, more = int((low >= 0.5).sum()), int(((low < 0.5) & (high >= 0.5)).sum())
    setups, found = plural(len(summary), "setup"), probably_above_half(summary, name)
    some = f"; {plain(found)} if 5% of these may be wrong" * (found > sure)
    if not sure:
        perhaps = f"perhaps {plain(more)} of {setups}, but this is shown for none{some}"
        return perhaps if more else f"none of {setups}"
    perhaps = f" (at 95% confidence{some}), and perhaps in {plain(more)} more" * (more > 0)
    return f"{plain(sure)} of {setups}{perhaps}"


def _soonest(summary: pd.DataFrame, keys: tuple[str, str]) -> str:
    """Say in which setup half of the runs converge soonest; empty if they do so in none."""
    timed = summary[summary["updates_median"].notna()]
    if timed.empty:
        return ""
    row = timed.iloc[int(timed["updates_median"].astype(int).argmin())].to_dict()
    return (
        f" Half had converged soonest with {setting(row, keys)}, after "
        f"{plural(int(row['updates_median']), 'update')}{as_soon(timed, row)}."
    )


def edges_table(summary: pd.DataFrame) -> HtmlTable | None:
    """Make a table of where half of the runs converge, or are constant, along the key across.

    Parameters
    ----------
    summary : DataFrame
        As in `map_paragraphs`.

    Returns
    -------
    HtmlTable or None
        A row for each value of the key up; None if the setups form no map.
    """
    keys = the_map(summary)
    if not keys:
        return None
    x, y = keys
    values = sorted(summary[y].unique(), key=float)
    texts = {
        f"half {verb}": _edges(summary, keys, values, name)
        for name, verb in (("converged", "converge"), ("constant", "are constant"))
    }
    return html_table(
        f"Where along {x} half of the runs converge, or are constant",
        f"For each {y}, where along {x} the share passes one half, in brackets the values of {x} "
        "between which it does: these intervals hold in the whole map at once (95%). Elsewhere the "
        "range of the shares.",
        [column(y), *(column(title, is_text=True) for title in texts)],
        [{y: value} | {t: texts[t][i] for t in texts} for i, value in enumerate(values)],
    )


def _edges(
    summary: pd.DataFrame, keys: tuple[str, str], values: Sequence[Any], name: str
) -> list[str]:
    """Say for some values of the key y at which x half of the runs have the outcome `name`."""
    x, y = keys
    lines, (low, high) = critical(summary, x, y, name), simultaneous_bounds(summary, name)
    texts = []
    for value in values:
        here = (summary[y] == value).to_numpy()
        ends = [
            f"{'from' if line['rising'] else 'up to'} {line[x]:.3g} "
            f"[{line[f'{x}_low']:.3g}, {line[f'{x}_high']:.3g}]"
            for line in lines[lines[y] == value].to_dict("records")
        ]
        texts.append(
            " ".join(ends)
            or _side(summary[f"{name}_share"][here], low[here] >= 0.5, high[here] < 0.5, x)
        )
    return texts


def _side(shares: "pd.Series[Any]", above: NDArray[Any], below: NDArray[Any], x: str) -> str:
    """Say on which side of one half the shares are, if they surely pass it at no x."""
    sure, number = int(above.sum()), len(shares)
    more = number - sure - int(below.sum())
    where = [f"at {sure} of {number} values of {x}"] * (sure > 0)
    where += [f"perhaps at {more} of {number} values of {x}"] * (more > 0)
    if not more:
        where = [f"at {'every' if sure else 'no'} {x}"]
    ends = dict.fromkeys(percent(share) for share in (shares.min(), shares.max()))
    return f"{and_(where)} ({' to '.join(ends)})"


# Curves over one key


def _extremes(summary: pd.DataFrame) -> str:
    """Write the lowest and the highest convergence rate, and the setups that have them."""
    rows = [extreme(summary, "converged", least) for least in (True, False)]
    ends = [
        f"{percent(row['converged_share'])} with {setting(row, keys_of(summary))}" for row in rows
    ]
    return " to ".join(dict.fromkeys(ends))


def _curves(data: ReportData) -> Content | None:
    summary = data.sized
    figures = [
        data.drawing(
            partial(plots.response_curves, summary, key),
            f"response-{key}",
            f"Share converged over {key}",
            f"Curves of the share of runs converged over {key}, with 95% bands. It goes from "
            f"{_extremes(summary)}.",
            "Each dot is a setup, each line a setting of the other keys. The grey line is at one "
            "half.",
        )
        for key in curve_keys(summary)
    ]
    return {"curves": figures} if figures else None


def _curves_lead(data: ReportData) -> bool:
    """Whether all setups lie on a few curves over one key."""
    return any(
        len(settings_of(data.sized, keys_besides(data.sized, key))) <= plots.MAX_CURVES
        for key in curve_keys(data.sized)
    )


def _finding(data: ReportData) -> str:
    best = extreme(data.summary, "converged")
    return (
        f"Runs converge most often with {setting(best, keys_of(data.summary))}: "
        f"{percent(best['converged_share'])}{as_best(data.summary, best)}"
    )


CURVES = Section(
    "curves",
    "Shares over one key",
    _curves,
    "{% for each in curves %}{{ figure(each) }}{% endfor %}",
    _finding,
    "curves",
    _curves_lead,
)


# Maps over two keys


def _shown(settings: Settings, others: list[str], baseline: dict[Any, Any] | None) -> Settings:
    """Choose at most `MAX_SETTINGS` settings of the other keys.

    If there are more, the baseline's setting and those that differ from it in one key are
    preferred.
    """
    if baseline and len(settings) > MAX_SETTINGS:
        changes = [
            (sum(plain(rows.iloc[0][key]) != plain(baseline[key]) for key in others), rows)
            for _, rows in settings
        ]
        near = [rows for many in (0, 1) for number, rows in changes if number == many]
        if len(near) > 1:
            settings = [(apart(rows.iloc[0], others, baseline), rows) for rows in near]
    return [settings[i] for i in evenly(len(settings), MAX_SETTINGS)]


_OUTCOMES = {
    "converged": "converged",
    "constant": "constant: collapsed or one-class",
    "collapsed": "collapsed",
    "constant_at_start": "as constant before the first update",
}
"""The outcomes that have maps, and their titles."""


def _caption(x: str, y: str, shown: Settings, outcomes: Sequence[str]) -> str:
    """The caption of maps."""
    tables = [rows for _, rows in shown]
    line = any(plots.has_line(rows, x, y, f"{o}_share") for rows in tables for o in outcomes)
    gaps = "; grey cells have no setup" * any(
        len(rows) < rows[x].nunique() * rows[y].nunique() for rows in tables
    )
    return (
        "Each cell is a setup, and its colour a share of runs"
        f"{'; the black line is at one half' * line}{gaps}."
    )


def _figures(data: ReportData, summary: pd.DataFrame, x: str, y: str) -> list[HtmlFigure]:
    """Draw the share converged over two keys, and then the shares of other outcomes."""
    others = [key for key in keys_of(summary) if key not in (x, y)]
    settings = settings_of(summary, others)
    shown = _shown(settings, others, row_of(summary, data.marked))
    some = f", {len(shown)} of {len(settings)} settings of {and_(others)}" * (
        len(shown) < len(settings)
    )
    runs, over = runs_in(summary), f"over {x} and {y}"

    def drawn(outcomes: Sequence[str], name: str, what: str) -> HtmlFigure:
        panels = [(text or _OUTCOMES[o], rows, o) for o in outcomes for text, rows in shown]
        title = f"Share of runs {what}, {over}{some}"
        draw: Callable[[], Figure | Axes]
        draw = partial(plots.heatmap_panels, x, y, panels, title, runs)
        if len(panels) == 1:
            draw = partial(plots.heatmap, shown[0][1], x, y, None, outcomes[0], title, runs)
        return data.drawing(
            draw,
            name,
            f"Shares {over}",
            f"Heatmaps of the share of runs {what}, {over}. The share converged goes from "
            f"{_extremes(summary)}.",
            _caption(x, y, shown, outcomes),
            png=outcomes[0] == "converged",
        )

    more = [o for o in _OUTCOMES if f"{o}_share" in summary][1 : None if len(shown) == 1 else 2]
    return [
        drawn(["converged"], f"map-{x}-{y}", "that converge"),
        drawn(more, f"map-{x}-{y}-constant", "that end otherwise"),
    ]


def _content(data: ReportData) -> Content | None:
    summary = data.sized
    if data.constant_at_start is not None:
        summary = summary.assign(constant_at_start_share=data.constant_at_start)
    # Of two values of both keys, the bars show as much.
    axes = [keys for keys in map_axes(summary) if summary[keys[0]].nunique() > 2][:MAX_MAPS]
    maps = [figure for x, y in axes for figure in _figures(data, summary, x, y)]
    return {"maps": maps, "edges": edges_table(summary)} if maps else None


SECTION = Section(
    "maps",
    "Shares over two keys",
    _content,
    """\
{% for each in maps %}{{ figure(each) }}{% endfor %}
{% if edges %}{{ table(edges) }}{% endif %}""",
    _finding,
    "maps",
    lambda data: bool(data.map_keys),
)
