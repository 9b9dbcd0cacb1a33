"""Two stores side by side: which setups' shares moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fastbp.analysis import comparison
from fastbp.analysis.summary import ALPHA
from fastbp.reporting import plots
from fastbp.reporting.figures import Drawing
from fastbp.reporting.html import Column, Row, Table, render
from fastbp.reporting.html_tables import how
from fastbp.reporting.phrases import aligned, named, percent, plain, plural, points, setting
from fastbp.store import filename, parquet


class Names(NamedTuple):
    """What the two stores are called."""

    a: str
    b: str


def names_of(a: Path, b: Path) -> Names:
    """The shortest ends of two paths that tell them apart, without what could move a terminal's
    cursor.
    """
    one, other = (path.resolve().parts for path in (a, b))
    longest = max(len(one), len(other))
    length = next(
        (n for n in range(1, longest) if one[-n:] != other[-n:]), longest if one != other else 1
    )
    return Names(*(plain("/".join(parts[-length:])) for parts in (one, other)))


def moved(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a comparison show an effect."""
    return table["p_holm"] < ALPHA


def sentences(table: pd.DataFrame, names: Names) -> list[str]:
    """What a comparison says, the answer first."""
    both = table[(table["runs_a"] > 0) & (table["runs_b"] > 0)]
    if both.empty:
        return [f"{names.a} and {names.b} have no setup in common: there is nothing to compare."]
    shown = both[moved(both)]
    where = f"any of {len(both):,} setups" if len(both) > 1 else "the one setup"
    if shown.empty:
        lines = [f"No change of the share converged is shown in {where} that both have."]
    else:
        rows = shown.loc[
            shown["difference"].abs().sort_values(ascending=False, kind="stable").index
        ].to_dict("records")
        most, many = rows[0], f"{len(shown):,} of {len(both):,} setups" if len(both) > 1 else where
        ends = [
            f"{percent(share)} in {name}" for share, name in zip(compared(most), names, strict=True)
        ]
        n = most["pairs"]  # said where some seeds are of one store alone
        some = (
            f" on the {plural(n, 'seed')} that both ran"
            if 0 < n < max(most["runs_a"], most["runs_b"])
            else ""
        )
        by = f"{', most' * (len(rows) > 1)} by {points(most['difference'])} points{some}"
        lines = [
            f"The share converged moved in {many} that both have{by}: from {ends[0]} to {ends[1]}, with {label(most, table)}."
        ]
    same = int(both["identical"].fillna(False).sum())
    if same:
        inside = (
            "" if len(both) == 1 else f"In {'all' if same == len(both) else plain(same)} of them "
        )
        lines.append(f"{inside}{'every' if inside else 'Every'} row is the same, bit for bit.")
    unpaired = int((both["pairs"] == 0).sum())
    if unpaired:
        share = "1 setup shares" if unpaired == 1 else f"{unpaired:,} setups share"
        lines.append(f"{share} no seeds: there the comparison is of independent runs.")
    for side, name in (("a", names.a), ("b", names.b)):
        only = int((table[f"runs_{side}"] == 0).sum())
        if only:
            lines.append(f"{plural(only, 'setup')} {'is' if only == 1 else 'are'} not in {name}.")
    return lines


def label(row: Any, table: pd.DataFrame) -> str:
    """A name for a row of a comparison: its varying keys, or its id."""
    keys = list(table.columns[: table.columns.get_loc("setup_a")])
    identity = row["setup_a"] if isinstance(row["setup_a"], str) else row["setup_b"]
    return setting(row, keys) or f"setup {identity}"


def compared(row: Any) -> tuple[float, float]:
    """The shares converged that the difference is of: over the seeds that both ran, or over all
    runs where there are none.
    """
    if row["pairs"]:
        return row["paired_a"] / row["pairs"], row["paired_b"] / row["pairs"]
    return row["converged_share_a"], row["converged_share_b"]


def constant_of(row: Any) -> str:
    """The shares constant, over all runs."""
    return " → ".join(percent(row[f"constant_share_{side}"]) for side in "ab")


def cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A comparison as texts: the titles of columns, and rows."""
    keys = list(table.columns[: table.columns.get_loc("setup_a")]) or ["setup_a"]
    titles = [
        *("setup" if key == "setup_a" else key for key in keys),
        "runs",
        "converged",
        "constant",
        "pairs",
        "fixed",
        "broken",
    ]
    rows = []
    for row in table.to_dict("records"):
        shares = [" → ".join(percent(share) for share in compared(row)), constant_of(row)]
        runs = [plain(row["runs_a"]), plain(row["runs_b"])]
        told = [
            *(named(row[key]) for key in keys),
            runs[0] if runs[0] == runs[1] else " → ".join(runs),
            *shares,
        ]
        told += [plain(row[name]) for name in ("pairs", "fixed", "broken")]
        if pd.isna(row["p_holm"]):
            told += ["–", "–", ""]
        else:
            bounds = f"[{points(row['difference_low'])}, {points(row['difference_high'])}]"
            effect = (
                "same rows"
                if row["identical"] is True
                else "moved"
                if row["p_holm"] < ALPHA
                else "not shown"
            )
            told += [f"{points(row['difference'])} {bounds}", f"{row['p_holm']:.2g}", effect]
        rows.append(told)
    return [*titles, "difference in points [95%]", "p (Holm)", "effect"], rows


def console(table: pd.DataFrame) -> str:
    """A comparison for a terminal, one line per setup."""
    titles, rows = cells(table)
    words = len(table.columns[: table.columns.get_loc("setup_a")]) or 1
    return "\n".join(aligned([titles, *rows], left=(*range(words), len(titles) - 1)))


MAX_ROWS = 40
"""Setups on a page: those that moved most."""


class Compared(NamedTuple):
    """What a comparison found: its table, what it says, and the files."""

    table: pd.DataFrame
    verdict: list[str]
    written: list[Path]


def compare(
    a: Path, b: Path, folder: Path | None = None, tick: Callable[[str], None] = lambda phase: None
) -> Compared:
    """Compare two stores; with a `folder`, write compare.csv, compare.html and figures/ there.

    Raises FileNotFoundError where one is no store, ValueError where one has no runs,
    DamagedFileError as `count_runs` does, OSError where files cannot be written.
    """
    for store in (a, b):
        if not any(filename.run_files(filename.runs_folder(store))):
            raise ValueError(f"{store} holds no runs")
    names = names_of(a, b)
    tick("reading")
    table = comparison.comparison(a, b)
    verdict = sentences(table, names)
    if folder is None:
        return Compared(table, verdict, [])
    tick("drawing")
    drawing = Drawing(folder)
    strongest = (
        table["difference"]
        .abs()
        .sort_values(ascending=False, kind="stable", na_position="last")
        .index[:MAX_ROWS]
    )
    shown = table.loc[sorted(strongest)].reset_index(drop=True)
    labels = [label(row, table) for row in shown.to_dict("records")]
    told = [
        f"{label}: {percent(row['converged_share_a'])} and {percent(row['converged_share_b'])}"
        for label, row in zip(labels, shown.to_dict("records"), strict=True)
    ]
    picture = drawing(
        plots.share_pairs(shown, labels, names),
        "compare",
        "Share converged in both",
        f"Share converged in {names.a} and in {names.b}. " + "; ".join(told[:12]) + ".",
        f"Rings: {names.a}; dots: {names.b}; lines are Wilson's 95% intervals. Also as",
        tight=True,
    )
    titles, rows = cells(shown)
    numbers = len(table.columns[: table.columns.get_loc("setup_a")]) or 1
    columns = [Column(name, i < numbers or name == "effect") for i, name in enumerate(titles)]
    some = (
        ""
        if len(shown) == len(table)
        else f" The {MAX_ROWS} of {plain(len(table))} setups that moved most."
    )
    marked = [Row(cells, bool(moved)) for cells, moved in zip(rows, moved(shown), strict=True)]
    caption = f"From {names.a} to {names.b}. Shaded: setups that moved.{some} All columns:"
    content = {
        "verdict": verdict,
        "shares": picture,
        "rows": Table("Setups of both", caption, columns, marked, "compare.csv"),
        "sides": [
            {"name": name, **how(store, [], ())} for name, store in zip(names, (a, b), strict=True)
        ],
        "alpha": ALPHA,
        "a": names.a,
        "b": names.b,
    }
    html = render("compare.html", f"{names.a} and {names.b}", content)
    parquet.write(folder / "compare.csv", table.to_csv(index=False).encode())
    pictures = drawing.write(parquet.write)
    parquet.write(folder / "compare.html", html)
    return Compared(table, verdict, [folder / "compare.csv", *pictures, folder / "compare.html"])
