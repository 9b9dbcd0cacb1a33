"""The atlas: a picture of every function, the classes of functions, and tests of symmetry."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fastbp.analysis.atlas import others_of
from fastbp.analysis.summary import ALPHA, keys_of
from fastbp.analysis.symmetry import NPN, SYMMETRIES
from fastbp.reporting import plots
from fastbp.reporting.html import HtmlFigure, HtmlTable, TableColumn
from fastbp.reporting.html_tables import (
    column,
    html_table,
    more_in,
    setting_columns,
    text_table,
)
from fastbp.reporting.phrases import (
    Record,
    count_of,
    evenly,
    extreme,
    fastest_and_slowest,
    interval,
    plain,
    rivals,
    setting,
)
from fastbp.reporting.report_data import Content, ReportData, Section, settings_of
from fastbp.schema.text import WIDTH, finding, p_value, percent, plural

MAX_SETTINGS = 8
"""Largest number of settings with columns in the table of classes. A setting is a combination of
values of the keys besides the problem."""


# The figure and the tables


def _class_name(row: Record) -> str:
    function = row["function"]
    return f"{row['class']} ({function})" if isinstance(function, str) else str(row["class"])


def _figures(data: ReportData) -> list[HtmlFigure]:
    """A bar for each class of functions, and a tile for each function if they are few enough."""
    table, count = data.functions, data.functions["bits"].nunique()
    large = data.classes[data.classes["symmetry"] == NPN]
    sums = large.groupby("class").agg({"function": "first", "converged": "sum", "runs": "sum"})
    shares = ", ".join(
        f"{_class_name(row)} {percent(row['converged'] / row['runs'])}"
        for row in sums.reset_index().to_dict("records")
    )
    classes = "one class under permuted and negated inputs and a negated output"
    bars = data.drawing(
        lambda: plots.class_bars(table),
        "classes",
        "Classes of functions",
        f"Stacked bars of outcomes, one for each class of {count:,} functions. Converged over all "
        f"settings: {shares}.",
        f"Each bar is {classes}. Of each function the setting counts in which most runs converge.",
        png=True,
    )
    if count > plots.MAX_TILES:
        return [bars]
    return [
        bars,
        data.drawing(
            lambda: plots.atlas(table),
            "atlas",
            "Every function",
            f"A tile for each of {count} functions, by class: a cube that shows its truth table, "
            "and bars of outcomes.",
            f"{plural(int(table['runs'].sum()), 'run')} of {count:,} functions. The functions "
            f"below a name are {classes}.",
            png=True,
        ),
    ]


def _classes_table(functions: pd.DataFrame, classes: pd.DataFrame) -> HtmlTable:
    """Make the table of classes under permuted and negated inputs and a negated output."""
    settings = settings_of(classes, others_of(functions))
    large = classes[classes["symmetry"] == NPN]
    sums = functions.groupby("npn_class")[["collapsed", "runs"]].sum()
    columns = [
        column("class", is_text=True),
        column("function", is_text=True),
        column("members"),
    ]
    for i in evenly(len(settings), MAX_SETTINGS):
        name, rows = settings[i]
        columns += _setting_columns(
            name, rows[rows["symmetry"] == NPN].set_index("class").to_dict("index")
        )
    collapsed = sums["collapsed"] / sums["runs"]
    columns.append(
        TableColumn(
            "collapsed" + ", all settings" * (len(settings) > 1),
            lambda row: percent(collapsed[row["class"]]),
        )
    )
    easy = large.groupby("class")["converged_share"].mean()
    first = large.drop_duplicates("class").sort_values(
        "class", key=lambda names: -names.map(easy), kind="stable"
    )
    return html_table(
        "Classes of functions",
        "A class has the functions that differ by permuted or negated inputs and a negated output "
        "only; the easiest is first. Columns: the share of runs converged, in brackets the lowest "
        "and the highest of its functions; the updates after which half of the runs had converged "
        "(– if fewer than half do); the share collapsed. The file also has the smaller classes.",
        columns,
        first.to_dict("records"),
        "classes.csv",
    )


def _setting_columns(name: str, by_class: dict[Any, Record]) -> list[TableColumn]:
    """Make two columns for a setting: the share converged of each class, and its median updates."""
    cells = {each: (_shares(row), plain(row["updates_median"])) for each, row in by_class.items()}
    return [
        TableColumn(name or "converged", lambda row: cells.get(row["class"], "––")[0]),
        TableColumn(
            "its median updates" if name else "median updates",
            lambda row: cells.get(row["class"], "––")[1],
        ),
    ]


def _shares(row: Record) -> str:
    share, least, most = (percent(row[f"{name}_share"]) for name in ("converged", "min", "max"))
    return share if least == most else f"{share} ({least}–{most})".replace("%–", "–")


def _tests_table(functions: pd.DataFrame, classes: pd.DataFrame) -> HtmlTable:
    """Make the table that says in how many classes the members differ, for each setting."""
    rows = []
    for name, of_setting in settings_of(classes, others_of(functions)):
        for symmetry, meaning in SYMMETRIES.items():
            here = of_setting[of_setting["symmetry"] == symmetry]
            tested = here[here["p"].notna()]
            rows.append({
                "setting": name or "all setups",
                "alike under": meaning,
                "must be equal": "yes" if here["holds"].all() else "no",
                "classes": len(here),
                "tested": len(tested),
                "shown to differ": int((tested["p_holm"] < ALPHA).sum()),
                "lowest p": p_value(tested["p"].min()),
                "lowest p (Holm)": p_value(tested["p_holm"].min()),
            })  # fmt: skip
    texts = ("setting", "alike under", "must be equal")
    return html_table(
        "Equal shares within classes",
        "Do the functions of a class converge equally often? The test is Cochran's Q over the "
        "seeds that all of them ran. It allows for correlation between runs of one seed, and needs "
        "five successes and five failures per member.",
        [column(name, is_text=name in texts) for name in rows[0]],
        rows,
        "classes.csv",
    )


def terminal_table(classes: pd.DataFrame, width: int = WIDTH, most: int = 2**63 - 1) -> list[str]:
    """Make the table of classes for a terminal, one line for each class and setting.

    The functions of a class are equal up to permuted or negated inputs and a negated output.

    Parameters
    ----------
    classes : DataFrame
        A result of `atlas.equality`.
    width : int
        The most characters of a line.
    most : int
        The most classes that have a line. If there are more, these are some from the lowest to the
        highest share, of the setting in which most runs converge.
    """
    rows = every = classes[classes["symmetry"] == NPN]
    if len(rows) > most:
        _, rows = max(
            settings_of(rows, keys_of(classes, "symmetry")),
            key=lambda setting: int(setting[1]["converged"].sum()),
        )
        rows = rows.loc[
            sorted(
                rows["converged_share"].sort_values(kind="stable").index[evenly(len(rows), most)]
            )
        ]
    lines = text_table(
        [
            *setting_columns(keys_of(classes, "symmetry"), classes),
            column("class", is_text=True),
            column("function", is_text=True),
            column("members"),
            column("runs"),
            TableColumn("converged", lambda row: percent(row["converged_share"])),
            TableColumn("[95%]", lambda row: f"[{interval(row, 'converged')}]"),
            TableColumn("lowest", lambda row: percent(row["min_share"])),
            TableColumn("highest", lambda row: percent(row["max_share"])),
            TableColumn("p (Holm)", lambda row: p_value(row["p_holm"])),
            TableColumn("must be equal", lambda row: "yes" if row["holds"] else "no", True),
        ],
        rows.to_dict("records"),
        width,
        "classes.csv",
    )
    return lines + more_in(len(every), len(rows), "classes.csv")


# The sentences


def sentences(functions: pd.DataFrame, classes: pd.DataFrame) -> list[str]:
    """Say what an atlas shows, in paragraphs, the answer first.

    Parameters
    ----------
    functions, classes : DataFrame
        The results of `atlas.functions` and `atlas.equality` for the same runs.
    """
    return [
        _learnt(functions),
        _collapsed(functions),
        " ".join([_equal(classes), *_unequal(classes)]),
    ]


def _called(row: Record) -> str:
    """Name a function and what its class computes: `01101001 (x ⊕ y ⊕ z)`."""
    if not isinstance(row["function"], str):
        return str(row["bits"])
    return (
        f"{row['bits']} ({row['function']}{', up to symmetry' * (row['bits'] != row['npn_class'])})"
    )


def _with(row: Record, keys: Sequence[str]) -> str:
    return f" with {setting(row, keys)}" if keys else ""


def _others(table: pd.DataFrame, row: Record, name: str, least: bool = False) -> str:
    """Say of how many other setups the share may be as extreme; empty if of none."""
    others = rivals(table, row, name, least)
    return f" ({plural(others, 'other')} may have as {'few' if least else 'many'})" * (others > 0)


def _learnt(table: pd.DataFrame) -> str:
    """Say how many functions are learnt, which one is the hardest, and how fast they are."""
    keys = others_of(table)
    best = table.sort_values("converged_share", ascending=False, kind="stable").drop_duplicates(
        "bits"
    )
    learnt = int((best["converged"] > 0).sum())
    always = plain((best["converged"] == best["runs"]).sum())
    inputs = len(table["bits"].iloc[0]).bit_length() - 1
    functions = f"{plural(len(best), 'function')} of {plural(inputs, 'input')}"
    who = f"All {functions}" if learnt == len(best) else f"{plain(learnt)} of {functions}"
    settings = plural(len(table[keys].drop_duplicates()), "setting")
    some = f" in at least one of {settings}" * bool(keys)
    text = f"{who} are learnt from some seed{some}, {always} of them from every seed."
    hardest = extreme(best, "converged", least=True)
    if hardest["converged"] < hardest["runs"]:
        where = f"in its best setting ({setting(hardest, keys)}) " * bool(keys)
        text += (
            f" The hardest is {_called(hardest)}: {where}{count_of(hardest, 'converged')} runs "
            f"converge{_others(best, hardest, 'converged', least=True)}."
        )
    return text + _speed(table, keys)


def _speed(table: pd.DataFrame, keys: list[str]) -> str:
    """Say which functions are learnt fastest and slowest, where most runs converge."""
    _, rows = max(settings_of(table, keys), key=lambda setting: int(setting[1]["converged"].sum()))
    fast, slow = fastest_and_slowest(rows)
    if fast is None or slow is None:
        return ""
    where = f"With {setting(fast, keys)}, where most converge, half" if keys else "Half"
    return (
        f" {where} of the runs had converged after {plural(int(fast['updates_median']), 'update')} "
        f"for {_called(fast)}, after {plain(slow['updates_median'])} for {_called(slow)}."
    )


def _collapsed(table: pd.DataFrame) -> str:
    """Say for which function networks most often give the same answer to every input."""
    most = extreme(table, "constant")
    if not most["constant"]:
        return "No run gives the same answer to every input."
    return (
        f"Runs give the same answer to every input most often for {_called(most)}: "
        f"{count_of(most, 'constant')} runs{_with(most, others_of(table))}"
        f"{_others(table, most, 'constant')}."
    )


def _equal(classes: pd.DataFrame) -> str:
    """Say whether convergence rates are equal within the classes where symmetry implies it."""
    tested = classes[classes["holds"] & classes["p"].notna()]
    if tested.empty:
        return (
            "Where symmetry says that shares are equal, too few runs succeed or fail to test "
            "whether they are."
        )
    wrong = (tested["p_holm"] < ALPHA).sum()
    result = f"but {plain(wrong)} classes are" if wrong else "and no class is"
    least, adjusted = (p_value(tested[p].min()) for p in ("p", "p_holm"))
    return (
        f"Symmetry says that functions of a class converge equally often, {result} shown to "
        f"differ: the lowest of {len(tested):,} p values is {least}, and {adjusted} after Holm's "
        "adjustment."
    )


def _unequal(classes: pd.DataFrame) -> list[str]:
    """Say in which classes rates differ where symmetry does not imply equal ones."""
    free = classes[~classes["holds"] & (classes["symmetry"] == NPN)]
    shown = free[free["p_holm"] < ALPHA]
    if free.empty:
        return []
    start = "Functions that differ in negated inputs need not converge equally often, "
    if shown.empty:
        return [f"{start}but no class is shown to differ."]
    most = shown.iloc[int((shown["max_share"] - shown["min_share"]).argmax())].to_dict()
    some, every = shown["class"].nunique(), free["class"].nunique()
    where = f"{plain(some)} of {plain(every)} classes" if every > 1 else "their one class"
    return [
        f"{start}and in {where} they do not: those of {_class_name(most)} differ most, from "
        f"{percent(most['min_share'])} to {percent(most['max_share'])}"
        f"{_with(most, keys_of(classes, 'symmetry'))}."
    ]


def _content(data: ReportData) -> Content | None:
    if not data.is_atlas:
        return None
    return {
        "atlas": _figures(data),
        "classes": _classes_table(data.functions, data.classes),
        "tests": _tests_table(data.functions, data.classes),
    }


SECTION = Section(
    "atlas",
    "Every function",
    _content,
    """\
<p>Permuting the inputs or negating the output only exchanges weights or changes their signs. If
initial weights are symmetric, such functions must converge equally often. Negating an input does
the same if inputs are −1 and 1. If they are 0 and 1, the negated function is another task for the
network.</p>
{% for each in atlas %}{{ figure(each) }}{% endfor %}
{{ table(classes) }}{{ table(tests) }}""",
    lambda data: finding(_learnt(data.functions)),
    "atlas",
    lambda data: data.is_atlas,
)
