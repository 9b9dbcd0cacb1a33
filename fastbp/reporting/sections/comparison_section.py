"""The page that compares the convergence rates of the setups of two stores."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fastbp.analysis import comparison
from fastbp.analysis.counts import count_runs
from fastbp.analysis.summary import ALPHA, keys_of
from fastbp.reporting import plots
from fastbp.reporting.html import Drawing, HtmlFigure, HtmlTable, TableColumn, render
from fastbp.reporting.html_tables import (
    MAX_LISTED,
    MAX_ROWS,
    column,
    difference,
    html_table,
    provenance,
    text_table,
)
from fastbp.reporting.phrases import Record, named, plain, setting
from fastbp.reporting.report_data import MAX_BARS, by_strength
from fastbp.schema.errors import RunsError
from fastbp.schema.text import WIDTH, and_, p_value, percent, plural, points, typed
from fastbp.store import filename, places
from fastbp.store.safe_files import write_all

StoreNames = tuple[str, str]
"""The names of the two stores."""


def names_of(a: Path, b: Path) -> StoreNames:
    """Name two stores by the shortest ends of their paths that differ."""
    one, other = (Path(places.real_path(path, strict=False)).parts for path in (a, b))
    longest = max(len(one), len(other))
    length = next(
        ((n for n in range(1, longest) if one[-n:] != other[-n:])), longest if one != other else 1
    )
    return plain("/".join(one[-length:])), plain("/".join(other[-length:]))


# The sentences


def sentences(table: pd.DataFrame, names: StoreNames) -> list[str]:
    """Say what a comparison of two stores shows, the answer first.

    Parameters
    ----------
    table : DataFrame
        A result of `comparison`.
    names : (str, str)
        The names of the two stores.
    """
    both = table[(table["runs_a"] > 0) & (table["runs_b"] > 0)]
    if both.empty:
        return [f"{names[0]} and {names[1]} have no setup in common: there is nothing to compare."]
    return [_answer(both, table, names), *_further(both, table, names)]


def _answer(both: pd.DataFrame, table: pd.DataFrame, names: StoreNames) -> str:
    """Say in how many setups the convergence rate moved, and where it moved most."""
    shown = both[both["p_holm"] < ALPHA]
    one = "the one setup" if len(both) == 1 else ""
    if shown.empty:
        where = one or f"any of {len(both):,} setups"
        most = both[["difference_low", "difference_high"]].abs().to_numpy().max()
        within = f" (at most {points(most).lstrip('+')} points, pointwise at 95% confidence)"
        within *= not both["identical"].fillna(False).all()
        return (
            f"The convergence rate does not change significantly in {where} that both have{within}."
        )
    most = by_strength(shown).iloc[0].to_dict()
    a, b = (
        f"{percent(share)} in {name}" for share, name in zip(compared(most), names, strict=True)
    )
    common = f" on the {plural(most['pairs'], 'seed')} that both ran" * (
        0 < most["pairs"] < max(most["runs_a"], most["runs_b"])
    )
    ends = f"{points(most['difference_low'])} to {points(most['difference_high'])}"
    by = (
        f"{', most' * (len(shown) > 1)} by {points(most['difference'])} points (95% interval "
        f"{ends}){common}"
    )
    where = one or f"{len(shown):,} of {len(both):,} setups"
    return (
        f"The share converged moved in {where} that both have{by}: from {a} to {b}, "
        f"with {label(most, table)}."
    )


def _further(both: pd.DataFrame, table: pd.DataFrame, names: StoreNames) -> Iterator[str]:
    """Say how many setups are identical, how many share no seeds, and how many one store lacks."""
    same = int(both["identical"].fillna(False).sum())
    if same:
        many = f"In {'all' if same == len(both) else plain(same)} of them every"
        yield f"{'Every' if len(both) == 1 else many} row is the same, bit for bit."
    unpaired = int((both["pairs"] == 0).sum())
    if unpaired:
        yield (
            f"{plural(unpaired, 'setup')} share{'s'[: unpaired == 1]} no seeds: there the "
            "comparison is of independent runs."
        )
    for side, name in zip("ab", names, strict=True):
        only = int((table[f"runs_{side}"] == 0).sum())
        if only:
            yield f"{plural(only, 'setup')} {'is' if only == 1 else 'are'} not in {name}."


def _valued(names: StoreNames, table: pd.DataFrame, key: str) -> StoreNames:
    """Add the value of a key that differs on purpose to the names, where a store has only one."""
    values = [table[f"{key}{end}"].dropna().map(named).unique() for end in ("_a", "_b")]
    first, second = (
        f"{name} ({key} {each[0]})" if len(each) == 1 else name
        for name, each in zip(names, values, strict=True)
    )
    return first, second


def _hint(stores: tuple[Path, Path], key: str) -> str:
    """Say in which key alone two stores differ, and what to type to compare them over it."""
    one, other = (
        and_([*dict.fromkeys(named(each.keys[key]) for each in count_runs(store))])
        for store in stores
    )
    command = " ".join(["fastbp compare --vary", shlex.quote(key), *map(typed, stores)])
    return f"The stores differ in {key} ({one} and {other}): try `{plain(command)}`"


# The table


def label(row: Record, table: pd.DataFrame) -> str:
    """Name a row of a comparison by its keys that vary, or by its id."""
    identity = row["setup_a"] if isinstance(row["setup_a"], str) else row["setup_b"]
    return setting(row, keys_of(table, "setup_a")) or f"setup {identity}"


def compared(row: Record) -> tuple[float, float]:
    """The convergence rates in both stores, over common seeds, or over all runs without any."""
    if row["pairs"]:
        return row["paired_a"] / row["pairs"], row["paired_b"] / row["pairs"]
    return row["converged_share_a"], row["converged_share_b"]


def _effect(row: Record) -> str:
    """How the rows of a setup compare, in words: `same rows`, `moved` or `not shown`."""
    if isnan(row["p_holm"]):
        return ""
    moved = "moved" if row["p_holm"] < ALPHA else "not shown"
    return "same rows" if row["identical"] is True else moved


def columns(table: pd.DataFrame) -> list[TableColumn]:
    """Make the columns of the table of a comparison, for a page and for a terminal."""
    setups = [
        TableColumn(key, lambda row, key=key: named(row[key]), True)  # type: ignore[misc]
        for key in keys_of(table, "setup_a")
    ]
    return [
        *(setups or [column("setup_a", "setup", is_text=True)]),
        TableColumn(
            "runs",
            lambda row: " → ".join(dict.fromkeys(plain(row[f"runs_{side}"]) for side in "ab")),
        ),
        TableColumn("converged", lambda row: " → ".join(map(percent, compared(row)))),
        TableColumn(
            "constant",
            lambda row: " → ".join(percent(row[f"constant_share_{side}"]) for side in "ab"),
        ),
        column("pairs"),
        column("fixed"),
        column("broken"),
        TableColumn(
            "difference in points [95%]",
            lambda row: "–" if isnan(row["p_holm"]) else difference(row),
        ),
        TableColumn("p (Holm)", lambda row: p_value(row["p_holm"])),
        TableColumn("effect", _effect, True),
    ]


# The page


class StoreComparison(NamedTuple):
    """The result of a comparison of two stores.

    Attributes
    ----------
    table : DataFrame
        The result of `comparison`.
    verdict : list of str
        Sentences, the answer first.
    written : list of Path
        The files that were written.
    """

    table: pd.DataFrame
    verdict: list[str]
    written: list[Path]

    def lines(self, width: int = WIDTH) -> list[str]:
        """The table for a terminal, one line for each setup, of many those that moved most."""
        shown = by_strength(self.table)[:MAX_BARS].sort_index()
        file = next((str(path) for path in self.written if path.suffix == ".csv"), "")
        rest = len(self.table) - len(shown)
        more = f"… and {plain(rest)} more{f' in {file}' * bool(file)}"
        return text_table(columns(self.table), shown.to_dict("records"), width, file) + [more] * (
            rest > 0
        )


def compare(
    a: Path,
    b: Path,
    folder: Path | None = None,
    tick: Callable[[str], None] = lambda phase: None,
    vary: str | None = None,
) -> StoreComparison:
    """Compare two stores, and write compare.csv, compare.html and figures/ into a folder.

    Parameters
    ----------
    a, b : Path
        The stores.
    folder : Path, optional
        Where to write the files; by default none are written.
    tick : callable
        Called with the name of each phase of the work.
    vary : str, optional
        As for `comparison`.

    Raises
    ------
    FileNotFoundError, ValueError
        If a path is no store, or the store has no runs.
    SweepError
        As `comparison` does.
    DamagedFileError, OSError
        If runs cannot be read, or files cannot be written.
    """
    for store in (a, b):
        if not any(filename.run_files(filename.runs_folder(store))):
            raise RunsError(f"{store} holds no runs")
    names = names_of(a, b)
    tick("reading")
    table = comparison.comparison(a, b, vary)
    if key := comparison.column_of(vary):
        names = _valued(names, table, key)
    verdict = sentences(table, names)
    verdict += [f"In the table, → goes from {names[0]} to {names[1]}."] * bool(vary)
    none_matches = not (table["setup_a"].notna() & table["setup_b"].notna()).any()
    if none_matches and not vary and (key := comparison.only_difference(a, b)):
        verdict.append(_hint((a, b), key))
    if folder is None:
        return StoreComparison(table, verdict, [])
    tick("drawing")
    files = _files((a, b), folder, table, names, verdict)
    write_all(files, folder)
    return StoreComparison(table, verdict, list(files))


def _files(
    stores: tuple[Path, Path],
    folder: Path,
    table: pd.DataFrame,
    names: StoreNames,
    verdict: Sequence[str],
) -> dict[Path, bytes]:
    """The files of a comparison: its table, its picture and its page."""
    drawing = Drawing(folder)
    shown = by_strength(table)[:MAX_ROWS].sort_index().reset_index(drop=True)
    content = dict(zip("ab", names, strict=True)) | {
        "verdict": verdict,
        "shares": _figure(drawing, shown, table, names),
        "rows": _table(shown, table, names),
        "sides": [
            {"name": name, **provenance(store)} for name, store in zip(names, stores, strict=True)
        ],
        "alpha": ALPHA,
    }
    return {
        folder / "compare.csv": table.to_csv(index=False).encode(),
        **drawing.drawn,
        folder / "compare.html": render("compare.html", f"{names[0]} and {names[1]}", content),
    }


def _figure(
    drawing: Drawing, shown: pd.DataFrame, table: pd.DataFrame, names: StoreNames
) -> HtmlFigure:
    rows = shown.to_dict("records")
    labels = [label(row, table) for row in rows]
    shares = [
        f"{name}: {percent(row['converged_share_a'])} and {percent(row['converged_share_b'])}"
        for name, row in zip(labels, rows, strict=True)
    ]
    return drawing(
        lambda: plots.share_pairs(shown, labels, names),
        "compare",
        "Share converged in both",
        f"Share converged in {names[0]} and in {names[1]}. {'; '.join(shares[:MAX_LISTED])}.",
        f"Rings: {names[0]}; dots: {names[1]}; lines are Wilson's 95% intervals.",
    )


def _table(shown: pd.DataFrame, table: pd.DataFrame, names: StoreNames) -> HtmlTable:
    some = f" The {MAX_ROWS} of {plain(len(table))} setups that moved most."
    return html_table(
        "Setups of both",
        f"From {names[0]} to {names[1]}. Shaded: setups that moved."
        + some * (len(shown) < len(table)),
        columns(table),
        shown.to_dict("records"),
        "compare.csv",
        lambda row: row["p_holm"] < ALPHA,
    )
