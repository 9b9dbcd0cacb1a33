"""The atlas on a page: its picture, its classes, and whether shares are equal where symmetry says
so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fastbp.analysis.summary import ALPHA, keys_of
from fastbp.analysis.symmetry import NPN, SYMMETRIES
from fastbp.reporting import plots
from fastbp.reporting.figures import Drawing
from fastbp.reporting.html import Column, Row, Table
from fastbp.reporting.phrases import (
    Record,
    aligned,
    evenly,
    extreme,
    named,
    p_value,
    percent,
    plain,
    plural,
    setting,
)

MAX_SETTINGS = 8
"""Settings with a column of their own."""


def section(
    drawing: Drawing, table: pd.DataFrame, equal: pd.DataFrame, title: str
) -> dict[str, Any]:
    """The parts of an atlas: `picture` (none where there are too many functions), `classes` and
    `tests`.

    Parameters: what `atlas.functions` and `atlas.equality` returned; `title`, of the sweep.
    """
    count, runs = table["bits"].nunique(), plural(int(table["runs"].sum()), "run")
    picture = None
    if count <= plots.MAX_TILES:
        large = equal[equal["symmetry"] == NPN]
        shares = large.groupby("class")["converged"].sum() / large.groupby("class")["runs"].sum()
        told = ", ".join(
            f"{_name(large[large['class'] == each].iloc[0])} {percent(share)}"
            for each, share in shares.items()
        )
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
    return (
        f"{row['class']} ({row['function']})"
        if isinstance(row["function"], str)
        else str(row["class"])
    )


def _settings(table: pd.DataFrame, equal: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each setting of the other keys, and its rows."""
    keys = others_of(table)
    if not keys:
        return [("", equal)]
    return [
        (setting(rows.iloc[0], keys), rows)
        for _, rows in equal.groupby(keys, sort=False, dropna=False)
    ]


def _classes(table: pd.DataFrame, equal: pd.DataFrame) -> Table:
    """The classes under permuted and negated inputs and a negated output."""
    settings = _settings(table, equal)
    shown = [settings[i] for i in evenly(len(settings), MAX_SETTINGS).tolist()]
    large = [(name, rows[rows["symmetry"] == NPN].set_index("class")) for name, rows in shown]
    order = equal[equal["symmetry"] == NPN].groupby("class", sort=True)["converged_share"].mean()
    names = order.sort_values(ascending=False, kind="stable").index
    columns = [Column("class", True), Column("function", True), Column("members")]
    for name, _ in large:
        columns += [
            Column(name or "converged"),
            Column("its median updates" if name else "median updates"),
        ]
    columns.append(Column("collapsed" + ", all settings" * (len(settings) > 1)))
    sums = table.groupby("npn_class")[["collapsed", "runs"]].sum()
    collapsed = sums["collapsed"] / sums["runs"]
    told = []
    for each in names:
        some = next(rows.loc[each] for _, rows in large if each in rows.index)
        cells = [
            each,
            some["function"] if isinstance(some["function"], str) else "–",
            plain(some["members"]),
        ]
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
    columns = [
        Column("setting", True),
        Column("alike under", True),
        Column("must be equal", True),
        Column("classes"),
    ]
    columns += [
        Column("tested"),
        Column("shown to differ"),
        Column("least p"),
        Column("least p (Holm)"),
    ]
    told = []
    for name, rows in _settings(table, equal):
        for symmetry, meaning in SYMMETRIES.items():
            own = rows[rows["symmetry"] == symmetry]
            tested = own[own["p"].notna()]
            cells = [
                name or "as it stands",
                meaning,
                "yes" if own["holds"].all() else "no",
                plain(len(own)),
                plain(len(tested)),
            ]
            cells += [plain(int((tested["p_holm"] < ALPHA).sum()))]
            cells += [p_value(tested[p].min()) for p in ("p", "p_holm")]
            told.append(Row(cells))
    caption = (
        "Do the functions of a class converge equally often? Cochran's Q over the seeds that all of them ran, which stands that "
        "runs of one seed are alike; tested where there are five successes and five failures for each member. All columns:"
    )
    return Table("Equal shares within classes", caption, columns, told, "classes.csv")


def sentences(table: pd.DataFrame, equal: pd.DataFrame) -> list[str]:
    """What an atlas says, the answer first.

    Parameters: what `functions` and `equality` returned for the same runs. Returns paragraphs.
    """
    return [_learnt(table), _collapsed(table), " ".join([_equal(equal), *_unequal(equal)])]


def console(equal: pd.DataFrame) -> str:
    """The classes under permuted and negated inputs and a negated output for a terminal, one line
    for each setting and class.

    Parameters: what `equality` returned.
    """
    keys = keys_of(equal.rename(columns={"symmetry": "setup"}))
    rows = [
        [
            *keys,
            "class",
            "function",
            "members",
            "runs",
            "converged",
            "[95%]",
            "least",
            "most",
            "p (Holm)",
            "must be equal",
        ]
    ]
    for row in equal[equal["symmetry"] == NPN].to_dict("records"):
        interval = f"[{percent(row['converged_low'])}–{percent(row['converged_high'])}]".replace(
            "%", ""
        )
        shares = [percent(row[f"{name}_share"]) for name in ("converged", "least", "most")]
        cells = [
            *(named(row[key]) for key in keys),
            row["class"],
            plain(row["function"]),
            plain(row["members"]),
            plain(row["runs"]),
        ]
        rows.append(
            [
                *cells,
                shares[0],
                interval,
                *shares[1:],
                p_value(row["p_holm"]),
                "yes" if row["holds"] else "no",
            ]
        )
    words = [i for i, key in enumerate(keys) if isinstance(equal[key].iloc[0], str)]
    return "\n".join(aligned(rows, left=[*words, len(keys), len(keys) + 1, len(rows[0]) - 1]))


def others_of(table: pd.DataFrame) -> list[str]:
    """The keys that vary besides the problem, of what `functions` returned."""
    keys = keys_of(table)
    return keys[keys.index("function") + 1 :]


def _called(row: Record) -> str:
    """A function and what its class computes: `01101001 (x ⊕ y ⊕ z)`."""
    if not isinstance(row["function"], str):
        return str(row["bits"])
    return (
        f"{row['bits']} ({row['function']}{', up to symmetry' * (row['bits'] != row['npn_class'])})"
    )


def _with(row: Record, keys: Sequence[str]) -> str:
    return f" with {setting(row, keys)}" if keys else ""


def _learnt(table: pd.DataFrame) -> str:
    """How many functions are learnt, the hardest, and how fast."""
    keys = others_of(table)
    best = table.sort_values("converged_share", ascending=False, kind="stable").drop_duplicates(
        "bits"
    )
    learnt, every = (
        int((best["converged"] > 0).sum()),
        int((best["converged"] == best["runs"]).sum()),
    )
    inputs = len(table["bits"].iloc[0]).bit_length() - 1
    some = (
        f" in one of {plural(len(table[keys].drop_duplicates()), 'setting')} or several"
        if keys
        else ""
    )
    every_one = f"{plural(len(best), 'function')} of {plural(inputs, 'input')}"
    who = f"All {every_one}" if learnt == len(best) else f"{plain(learnt)} of {every_one}"
    text = f"{who} are learnt from some seed{some}, {plain(every)} of them from every seed."
    hardest = extreme(best, "converged", least=True)
    if hardest["converged"] < hardest["runs"]:
        share = f"{'at most ' * bool(keys)}{percent(hardest['converged_share'])} of {plain(hardest['runs'])} runs converge"
        text += f" The hardest is {_called(hardest)}: {share}{_with(hardest, keys)}."
    groups = (
        [rows for _, rows in table.groupby(keys, sort=False, dropna=False)] if keys else [table]
    )
    most = max(groups, key=lambda rows: int(rows["converged"].sum()))
    known = most[most["updates_median"].notna()]
    medians = known["updates_median"].astype(int)
    if medians.nunique() > 1:
        fast, slow = (known.iloc[int(at)].to_dict() for at in (medians.argmin(), medians.argmax()))
        where = f"With {setting(fast, keys)}, where most converge, half" if keys else "Half"
        after, slower = plural(int(fast["updates_median"]), "update"), plain(slow["updates_median"])
        ends = f"after {after} for {_called(fast)}, after {slower} for {_called(slow)}"
        text += f" {where} of the runs had converged {ends}."
    return text


def _collapsed(table: pd.DataFrame) -> str:
    """Where networks answer the same to everything most often."""
    keys, most, constant = others_of(table), extreme(table, "collapsed"), extreme(table, "constant")
    if not constant["constant"]:
        return "No run gives the same answer to every input."
    text = f"Runs give the same answer to every input most often for {_called(constant)}: {percent(constant['constant_share'])}"
    text += _with(constant, keys)
    if not most["collapsed"]:
        return text + "."
    share = percent(most["collapsed_share"])
    if most["setup"] == constant["setup"]:
        if most["collapsed"] == constant["constant"]:
            return f"{text}, and each of these runs has collapsed to a constant."
        return f"{text}, and {share} of its runs have collapsed to a constant."
    return f"{text}; they collapse to a constant most often for {_called(most)}: {share}{_with(most, keys)}."


def _equal(equal: pd.DataFrame) -> str:
    """Whether shares are equal where they must be."""
    tested = equal[equal["holds"] & equal["p"].notna()]
    if tested.empty:
        return "Where symmetry says that shares are equal, too few runs succeed or fail to tell whether they are."
    wrong = int((tested["p_holm"] < ALPHA).sum())
    least, adjusted = (p_value(tested[p].min()) for p in ("p", "p_holm"))
    told = f"the least of {len(tested):,} p values is {least}, {adjusted} by Holm's adjustment"
    found = (
        "and no class is shown to differ"
        if not wrong
        else f"but {plain(wrong)} classes are shown to differ"
    )
    return f"Symmetry says that functions of a class converge equally often, {found}: {told}."


def _unequal(equal: pd.DataFrame) -> list[str]:
    """Where negated inputs make a difference, as they may."""
    free = equal[~equal["holds"] & (equal["symmetry"] == NPN)]
    shown = free[free["p_holm"] < ALPHA]
    if free.empty:
        return []
    if shown.empty:
        return [
            "Functions that only negated inputs make of each other need not be equal, but are not shown to differ."
        ]
    most = shown.iloc[int((shown["most_share"] - shown["least_share"]).argmax())].to_dict()
    keys = keys_of(equal.rename(columns={"symmetry": "setup"}))
    name = (
        f"{most['class']} ({most['function']})"
        if isinstance(most["function"], str)
        else most["class"]
    )
    ends = f"{percent(most['least_share'])} to {percent(most['most_share'])}"
    some, every = shown["class"].nunique(), free["class"].nunique()
    where = f"{plain(some)} of {plain(every)} classes" if every > 1 else "their one class"
    return [
        f"Functions that only negated inputs make of each other need not be equal, and in {where} they are not: those of {name} "
        f"differ most, from {ends}{_with(most, keys)}."
    ]
