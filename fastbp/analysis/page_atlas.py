"""The atlas on a page: its picture, its classes, and whether shares are equal where symmetry says so."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fastbp.analysis import plots
from fastbp.analysis.atlas import others_of
from fastbp.analysis.drawing import Drawing
from fastbp.analysis.page import Column, Row, Table
from fastbp.analysis.symmetry import NPN, SYMMETRIES
from fastbp.analysis.wording import ALPHA, evenly, p_value, percent, plain, plural, setting

MOST_SETTINGS = 8
"""Settings with a column of their own."""


def section(drawing: Drawing, table: pd.DataFrame, equal: pd.DataFrame, title: str) -> dict[str, Any]:
    """The parts of an atlas: `picture` (none where there are too many functions), `classes` and `tests`.

    Parameters: what `atlas.functions` and `atlas.equality` returned; `title`, of the sweep.
    """
    count, runs = table["bits"].nunique(), plural(int(table["runs"].sum()), "run")
    picture = None
    if count <= plots.MOST_TILES:
        large = equal[equal["symmetry"] == NPN]
        shares = large.groupby("class")["converged"].sum() / large.groupby("class")["runs"].sum()
        told = ", ".join(f"{_name(large[large['class'] == each].iloc[0])} {percent(share)}" for each, share in shares.items())
        picture = drawing(
            plots.atlas(table, title=title or None),
            "atlas",
            "Every function",
            f"A tile for each of {count} functions, by class: a cube that shows its truth table, and bars of outcomes. Converged "
            f"over all settings: {told}.",
            f"{runs} of {count:,} functions. Those below a name are one class under permuted and negated inputs and a negated "
            "output. Also as",
        )
    return {"picture": picture, "classes": _classes(table, equal), "tests": _tests(table, equal)}


def _name(row: Any) -> str:
    return f"{row['class']} ({row['function']})" if isinstance(row["function"], str) else str(row["class"])


def _settings(table: pd.DataFrame, equal: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each setting of the other keys, and its rows."""
    keys = others_of(table)
    if not keys:
        return [("", equal)]
    return [(setting(rows.iloc[0], keys), rows) for _, rows in equal.groupby(keys, sort=False, dropna=False)]


def _classes(table: pd.DataFrame, equal: pd.DataFrame) -> Table:
    """The classes under permuted and negated inputs and a negated output."""
    settings = _settings(table, equal)
    shown = [settings[i] for i in evenly(len(settings), MOST_SETTINGS).tolist()]
    large = [(name, rows[rows["symmetry"] == NPN].set_index("class")) for name, rows in shown]
    order = equal[equal["symmetry"] == NPN].groupby("class", sort=True)["converged_share"].mean()
    names = order.sort_values(ascending=False, kind="stable").index
    columns = [Column("class", True), Column("function", True), Column("members")]
    for name, _ in large:
        columns += [Column(name or "converged"), Column("its median updates" if name else "median updates")]
    columns.append(Column("collapsed" + ", all settings" * (len(settings) > 1)))
    sums = table.groupby("npn_class")[["collapsed", "runs"]].sum()
    collapsed = sums["collapsed"] / sums["runs"]
    told = []
    for each in names:
        some = next(rows.loc[each] for _, rows in large if each in rows.index)
        cells = [each, some["function"] if isinstance(some["function"], str) else "–", plain(some["members"])]
        for _, rows in large:
            row = rows.loc[each] if each in rows.index else None
            cells += ["–", "–"] if row is None else [_shares(row), plain(row["updates_median"])]
        cells.append(percent(collapsed[each]))
        told.append(Row(cells))
    caption = (
        "Classes under permuted and negated inputs and a negated output, the easiest first: the share of their runs converged, "
        "in brackets the least and the largest share of a member, the updates after which half of the runs had converged (– "
        "where fewer than half do), and the share of runs collapsed. All columns, and the smaller classes:"
    )
    return Table("Classes of functions", caption, columns, told, "classes.csv")


def _shares(row: Any) -> str:
    whole, least, most = (percent(row[f"{name}_share"]) for name in ("converged", "least", "most"))
    return whole if least == most else f"{whole} ({least}–{most})".replace("%–", "–")


def _tests(table: pd.DataFrame, equal: pd.DataFrame) -> Table:
    """In how many classes members differ, in each setting."""
    columns = [Column("setting", True), Column("alike under", True), Column("must be equal", True), Column("classes")]
    columns += [Column("tested"), Column("shown to differ"), Column("least p"), Column("least p (Holm)")]
    told = []
    for name, rows in _settings(table, equal):
        for symmetry, meaning in SYMMETRIES.items():
            own = rows[rows["symmetry"] == symmetry]
            tested = own[own["p"].notna()]
            cells = [name or "as it stands", meaning, "yes" if own["holds"].all() else "no", plain(len(own)), plain(len(tested))]
            cells += [plain(int((tested["p_holm"] < ALPHA).sum()))]
            cells += [p_value(tested[p].min()) for p in ("p", "p_holm")]
            told.append(Row(cells))
    caption = (
        "Do the functions of a class converge equally often? Cochran's Q over the seeds that all of them ran, which stands that "
        "runs of one seed are alike; tested where there are five successes and five failures for each member. All columns:"
    )
    return Table("Equal shares within classes", caption, columns, told, "classes.csv")
