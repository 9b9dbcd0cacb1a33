"""From tables to plain text: numbers as people read them, the table for a terminal, and what each
change did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import ALPHA, keys_of

Record = Mapping[Any, Any]

MAX_LETTERS = 80
"""Letters of a key's value that sentences and tables on a page show; the CSV files have all."""


def plain(value: Any) -> str:
    """A value of a key: 7992 as 7,992, 1.0 as 1, True as true, null as –; what could move a
    terminal's cursor becomes `?`.
    """
    if pd.isna(value):
        return "–"
    if isinstance(value, str):
        return "".join(c if c.isprintable() else "?" for c in value)
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    number = float(value)
    return f"{int(number):,}" if number.is_integer() and abs(number) < 1e15 else repr(number)


def percent(share: float) -> str:
    """A share as a percentage: 0% and 100% only where it is exactly that, one decimal, or two
    within 0.1 of the ends.
    """
    if share in (0, 1):
        return f"{100 * share:.0f}%"
    if np.isnan(share):
        return "–"
    digits = 2 if min(share, 1 - share) < 0.001 else 1
    if round(100 * share, 2) == 0:
        return "<0.01%"
    return ">99.99%" if round(100 * share, 2) == 100 else f"{100 * share:.{digits}f}%"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign; – where there is none."""
    if np.isnan(difference):
        return "–"
    value = 100 * difference
    digits = 2 if 0 < abs(value) < 0.1 else 1
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else "−") + text


def p_value(value: float) -> str:
    """A p value: <0.0001, four digits below 0.1, two above; – where there is none."""
    if np.isnan(value):
        return "–"
    return "<0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def and_(texts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def plural(n: int, noun: str) -> str:
    """`1 run`, `2 runs`, `10,000 runs`."""
    return f"{n:,} {noun}{'s'[: n != 1]}"


def extreme(summary: pd.DataFrame, name: str, least: bool = False) -> dict[Any, Any]:
    """The row of a summary with the largest share of an outcome, or the least: the first of
    several.
    """
    shares = summary[f"{name}_share"].to_numpy()
    row: dict[Any, Any] = summary.iloc[int(shares.argmin() if least else shares.argmax())].to_dict()
    return row


def shortened(text: str, width: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= width else text[: width - 2].rstrip() + " …"


def named(value: Any) -> str:
    """A value of a key within a sentence or a cell, where names that go on for pages are cut
    short.
    """
    return shortened(plain(value), MAX_LETTERS)


STANDS = "as it stands"

MANY_KEYS = 4
"""Keys up to which a setup is named by all that vary: of more, by those that are not as it
stands."""


def labels(summary: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """A name for each row of a summary: its varying keys, with its setup where they do not tell it
    apart. Of many keys, those that are not as in the setup `baseline`, if that is among them, which
    itself has all.
    """
    keys = keys_of(summary)
    start = (
        next(iter(summary[summary["setup"] == baseline].to_dict("records")), None)
        if len(keys) > MANY_KEYS
        else None
    )
    names = [
        setting(row, keys) if start is None else apart(row, keys, start)
        for _, row in summary.iterrows()
    ]
    names = [
        f"{name}: {setting(start, keys)}" if start and name == STANDS else name for name in names
    ]
    if keys and len(set(names)) == len(names):
        return names
    return [
        f"{name}, setup {setup}".removeprefix(", ")
        for name, setup in zip(names, summary["setup"], strict=True)
    ]


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """Rows of cells as lines, every column as wide as its widest cell; columns to the right unless
    in `left`.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust if i in left else str.rjust for i in range(len(widths))]
    return [
        "  ".join(side(cell, w) for side, cell, w in zip(sides, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def console(summary: pd.DataFrame) -> str:
    """The shares people look for first, one line per setup, for a terminal.

    Parameters: what `summary` returned. Returns lines without a newline at the end: the varying
    keys (or the setup, where they do not tell rows apart), runs, the share converged with its 95%
    interval, collapsed, one-class and their sum, partial, and diverged where a run has.
    """
    if summary.empty:
        return "No runs."
    keys = keys_of(summary)
    titled = keys if keys and not summary[keys].duplicated().any() else [*keys, "setup"]
    shares = [
        "collapsed",
        "one_class",
        "constant",
        "partial",
        *(["diverged"] if summary["diverged"].any() else []),
    ]
    titles = {"one_class": "one-class"}
    rows = [
        [*titled, "runs", "converged", "[95%]", *(titles.get(share, share) for share in shares)]
    ]
    for _, row in summary.iterrows():
        interval = f"[{percent(row['converged_low'])}–{percent(row['converged_high'])}]".replace(
            "%", ""
        )
        cells = [plain(row["runs"]), percent(row["converged_share"]), interval]
        rows.append(
            [
                *(named(row[key]) for key in titled),
                *cells,
                *(percent(row[f"{share}_share"]) for share in shares),
            ]
        )
    words = [i for i, key in enumerate(titled) if isinstance(summary[key].iloc[0], str)]
    return "\n".join(aligned(rows, left=words))


def sentences(
    contrasts: pd.DataFrame, summary: pd.DataFrame, baseline: str | None = None
) -> list[str]:
    """What each change did by itself: from the baseline, then the same changes in the other
    settings.

    Parameters: what `contrasts` and `summary` returned for the same runs, and the id of the setup
    from which changes are told. Without one, or where it is not among the runs, each change is told
    by its range over all settings. Returns lines, aligned.
    """
    if len(summary) < 2:
        return [f"{'One setup' if len(summary) else 'No runs'}: there is nothing to compare."]
    if contrasts.empty:
        return [
            "No two setups differ in exactly one key and share seeds: there is nothing to compare."
        ]
    rows = contrasts.to_dict("records")
    start = next(iter(summary[summary["setup"] == baseline].to_dict("records")), None)
    own = [row for row in rows if start is not None and is_end(row, "from", start)]
    known = {change_of(row) for row in own}
    origin = f", from {setting(start, keys_of(summary))}" if start is not None and own else ""
    lines = [
        f"What each change does by itself{origin} (share converged, paired by seed, pointwise 95% intervals):"
    ]
    if own and start is not None:
        lines += [*_each(own), _constant(start, own, summary)]
        elsewhere = [
            row
            for row in rows
            if start is not None and change_of(row) in known and not is_end(row, "from", start)
        ]
        return (
            [*lines, "The same changes elsewhere:", *_ranges(elsewhere, "other setting")]
            if elsewhere
            else lines
        )
    return lines + (
        _each(rows)
        if len({change_of(row) for row in rows}) == len(rows)
        else _ranges(rows, "setting")
    )


def setting(row: Record | pd.Series[Any], keys: Sequence[Any]) -> str:
    """The values of these keys in a row: `order random, lr 0.1`."""
    return ", ".join(f"{key} {named(row[key])}" for key in keys)


def apart(row: Record | pd.Series[Any], keys: Sequence[Any], start: Record) -> str:
    """The values of those of these keys that are not as in `start`."""
    return setting(row, [key for key in keys if plain(row[key]) != plain(start[key])]) or STANDS


def change_of(row: Record) -> str:
    """The change of a row of `contrasts`: `updates: 999 → 7,992`."""
    return f"{row['key']}: {named(row['from'])} → {named(row['to'])}"


def is_end(row: Record, end: str, setup: Record) -> bool:
    """Whether the setup with these keys is where a comparison starts (`from`) or ends (`to`)."""
    # A budget written in epochs makes `updates` of it, and a row has those of its beginning.
    own = (row["key"], "updates") if row["key"] == "epochs" else (row["key"],)
    others = [key for key in setup if key in row and key not in own]
    return all(
        plain(a) == plain(b)
        for a, b in [(row[end], setup[row["key"]]), *((row[key], setup[key]) for key in others)]
    )


def _each(rows: Sequence[Record]) -> list[str]:
    """A line for each comparison."""
    return aligned([_cells(row) for row in rows], left=(0, 9))


def _cells(row: Record) -> list[str]:
    counts = [
        "fixed",
        plain(row["fixed"]),
        "broken",
        plain(row["broken"]),
        "of",
        plain(row["pairs"]),
    ]
    interval = f"[{points(row['difference_low'])}, {points(row['difference_high'])}]"
    shown = "" if row["p_holm"] < ALPHA else "no effect shown"
    return [f"  {change_of(row)}", *counts, f"{points(row['difference'])} points", interval, shown]


def _constant(start: Record, rows: Sequence[Record], summary: pd.DataFrame) -> str:
    """How often the baseline, and what each change makes of it, gives the same answer to
    everything.
    """
    ends = [
        (row, other)
        for row in rows
        for other in summary.to_dict("records")
        if is_end(row, "to", other)
    ]
    parts = [
        f"{row['key']} {plain(row['to'])}: {percent(other['constant_share'])}"
        for row, other in ends
    ]
    return f"  constant (the same answer to everything): {percent(start['constant_share'])} as it stands; {'; '.join(parts)}"


def _ranges(rows: Sequence[Record], where: str) -> list[str]:
    """A line for each change: over how many settings it was made, and the range of what it did."""
    groups: dict[str, list[Record]] = {}
    for row in rows:
        groups.setdefault(change_of(row), []).append(row)
    return aligned(
        [_range(change, group, where) for change, group in groups.items()], left=(0, 1, 2, 3)
    )


def _range(change: str, group: Sequence[Record], where: str) -> list[str]:
    differences = sorted(row["difference"] for row in group)
    ends = " to ".join(dict.fromkeys((points(differences[0]), points(differences[-1]))))
    unshown = sum(row["p_holm"] >= ALPHA for row in group)
    note = f"no effect shown in {unshown if unshown < len(group) else 'any'}" if unshown else ""
    return [
        f"  {change}",
        f"in {len(group)} {where}{'s'[: len(group) > 1]}:",
        f"{ends} points",
        note,
    ]


def narrowed(
    width: float, widest: float, seeds: int, share: str, of: str, widest_shown: float
) -> str:
    """A line on the intervals of a sweep that went on until they were narrow.

    Parameters: `width`, as asked for; `widest`, the width of the widest that was reached, with so
    many `seeds`, that of a `share` of the setup called `of`; `widest_shown`, of Wilson's intervals,
    which the table has.
    """
    every = "every" if widest <= width else "not every"
    return (
        f"After {plural(seeds, 'seed')} {every} share has a 95% interval at most {width:g} wide: the widest is {widest:.3g}, of "
        f"{share}{f' with {of}' if of else ''}. These intervals are a confidence sequence, which holds wherever it stops; "
        f"Wilson's in the table, for a number of seeds fixed beforehand, are at most {widest_shown:.3g} wide."
    )


def half(
    key: str, setting: str, seeds: int, tried: Mapping[float, int], crossing: tuple[float, float, float, bool, int] | None,
    start: float,
) -> str:  # fmt: skip
    """A line on where half of the seeds converge.

    Parameters: `tried`, how many of `seeds` converged at each value of `key`, ascending;
    `crossing`, the value, its bounds, whether more converge above it, and how many crossings were
    seen, or None; `start`, the baseline's value.
    """
    before = f"{setting}: " if setting else ""
    if crossing:
        value, low, high, rising, of = crossing
        several = (
            f"; one of {of} values seen where half do, the nearest to {key} {plain(start)}"
            if of > 1
            else ""
        )
        where = "" if rising else ", fewer above it"
        interval = f"[{plain(low)}, {plain(high)}]"
        return f"{before}{key} = {plain(value)} {interval}: half of {plural(seeds, 'seed')} converge{where}{several}"
    by_count = sorted(tried, key=lambda value: tried[value])
    values, of_them = list(tried), f"of {plural(seeds, 'seed')} converge"
    at = f"{len(values)} values of {key} tried, {plain(values[0])} to {plain(values[-1])}"
    least, most = (_share_at(tried[value], seeds, value) for value in (by_count[0], by_count[-1]))
    if 2 * tried[by_count[-1]] < seeds:
        return f"{before}fewer than half {of_them} at all {at}: at most {most}"
    if 2 * tried[by_count[0]] > seeds:
        return f"{before}more than half {of_them} at all {at}: at least {least}"
    return f"{before}half {of_them} somewhere, but clearly fewer and clearly more at no two of the {at}: {least}, to {most}"


def _share_at(count: int, seeds: int, value: float) -> str:
    low, high = (percent(float(bound)) for bound in wilson(count, seeds))
    return f"{percent(count / seeds)} [{low}–{high}], at {plain(value)}".replace("%–", "–").replace(
        "%]", "]"
    )


MAX_EVALUATIONS = 20
"""EvaluatedWhen of a run that a terminal shows."""

MAX_ROWS, MAX_UNITS = 16, 16
"""Rows and outputs of a problem up to which a terminal shows all answers."""


def evenly(n: int, most: int) -> NDArray[np.intp]:
    """Positions of at most so many of n things, evenly apart, the first and the last among them."""
    return np.linspace(0, n - 1, min(n, most)).round().astype(np.intp)


def trajectory(looks: pd.DataFrame, converged_at: int | None = None) -> str:
    """The trajectory of a run for a terminal, one line a look.

    Parameters: `looks`, as `retrain` or a trace has them; `converged_at`, the updates at the look
    that first found it converged. Of many looks it shows 20, evenly apart, always with the first,
    the last and the one where it converged.
    """
    measures = ["loss", "spread", "max_error", "saturation", "grad_norm", "weight_max"]
    first = (
        looks["updates"] == converged_at
        if converged_at is not None
        else pd.Series(False, looks.index)
    )
    shown = sorted(
        {
            *evenly(len(looks), MAX_EVALUATIONS - int(first.any())).tolist(),
            *np.flatnonzero(first).tolist(),
        }
    )
    rows = [["updates", *measures, "wrong", "outcome"]]
    for at in shown:
        look = looks.iloc[at]
        outcome = f"{look['outcome']}{'  ← first found converged' if first.iloc[at] else ''}"
        rows.append(
            [
                plain(look["updates"]),
                *(_digits(look[name]) for name in measures),
                plain(look["wrong"]),
                outcome,
            ]
        )
    return "\n".join(aligned(rows, left=(len(rows[0]) - 1,)))


def answers(
    X: NDArray[np.float64], T: NDArray[np.float64], outputs: NDArray[np.float32] | None
) -> str:
    """What a network answers to each row, beside inputs X, [row, input], and targets T, [row,
    output], for a terminal.

    `outputs`: row-major. Empty where there are none, or too many to read.
    """
    if outputs is None or len(T) > MAX_ROWS or T.shape[1] > MAX_UNITS:
        return ""
    columns = {
        "row": [plain(row) for row in range(len(T))],
        "inputs": _numbers(X, "g"),
        "targets": _numbers(T, "g"),
    }
    columns["outputs"] = _numbers(outputs.reshape(T.shape), ".3f")
    if X.shape[1] > MAX_UNITS:
        del columns["inputs"]
    return "\n".join(
        aligned([[*columns], *map(list, zip(*columns.values(), strict=True))], left=())
    )


def _numbers(values: NDArray[Any], form: str) -> list[str]:
    """The numbers of each row."""
    return [" ".join(format(value, form) for value in row) for row in values]


def _digits(value: float) -> str:
    """A measure in four digits."""
    return "–" if pd.isna(value) else f"{value:#.4g}"
