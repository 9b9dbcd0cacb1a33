"""A map on a terminal: its critical line as a small table, and a picture in characters."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from fastbp.analysis.axes import critical
from fastbp.reporting.html import TableColumn
from fastbp.reporting.html_tables import text_table
from fastbp.reporting.phrases import evenly, extreme, named
from fastbp.schema.text import Screen, percent, wrap

LINES = 8
"""The most lines of a picture, and of its table."""

MAX_CELL = 3
"""The most characters across a cell of a picture."""

SHADES, DIGITS = "░▒▓█", "0123456789"
"""Signs of a share, from the lowest to the highest; each stands for an equal part of 0 to 1."""


ENDS = {"from": True, "up to": False}
"""The ends of the values of a key at which half of the runs converge, and whether the share rises
there."""


def map_lines(summary: pd.DataFrame, x: str, y: str, screen: Screen) -> list[str]:
    """Show a map of the share of runs that converge, for a terminal.

    Parameters
    ----------
    summary : DataFrame
        One row for each pair of values of the two numeric keys.
    x, y : str
        The keys across and up.
    screen : Screen
        What the terminal can show.

    Returns
    -------
    list of str
        The table of `critical`, a line for each of at most `LINES` values of y; an empty line; and
        the picture, with at most `LINES` lines of cells.
    """
    return [*_critical_lines(summary, x, y, screen.width), "", *_picture(summary, x, y, screen)]


def _short(value: Any) -> str:
    """Write a value of a numeric key with three digits."""
    return named(float(f"{float(value):.3g}"))


def _critical_lines(summary: pd.DataFrame, x: str, y: str, width: int) -> list[str]:
    """The table of the critical line, the largest value of y first, as in the picture."""
    lines = critical(summary, x, y).to_dict("records")
    values = sorted(summary[y].unique(), key=float, reverse=True)
    shown = [values[i] for i in evenly(len(values), LINES)]
    best = {value: extreme(summary[summary[y] == value], "converged") for value in shown}

    def ends(value: Any, rising: bool) -> str:
        places = [
            f"{_short(line[x])} [{_short(line[f'{x}_low'])}–{_short(line[f'{x}_high'])}]"
            for line in lines
            if line[y] == value and line["rising"] is rising
        ]
        return ", ".join(places) or "–"

    some = f" ({len(shown)} of {len(values)} values of {y})" * (len(shown) < len(values))
    title = f"Half of the runs converge at this {x}{some}:"
    if not lines:
        title = f"At no {x} it is shown that half of the runs converge{some}:"
    sides = [
        TableColumn(name, lambda value, rising=rising: ends(value, rising))  # type: ignore[misc]
        for name, rising in ENDS.items()
        if any(line["rising"] is rising for line in lines)
    ]
    return [
        *wrap(title, width),
        *text_table(
            [
                TableColumn(y, _short),
                *sides,
                TableColumn("most", lambda value: percent(best[value]["converged_share"])),
                TableColumn(f"at {x}", lambda value: _short(best[value][x])),
            ],
            shown,
            width,
        ),
    ]


# The picture


def _picture(summary: pd.DataFrame, x: str, y: str, screen: Screen) -> list[str]:
    """Draw the shares, with y up and x across; in colour, a line shows two values of y."""
    shares = summary.pivot(index=y, columns=x, values="converged_share")
    rows = sorted(shares.index, key=float, reverse=True)
    columns = sorted(shares.columns, key=float)
    in_colour = screen.ink in ("24-bit", "256")
    rows = [rows[i] for i in evenly(len(rows), LINES * (1 + in_colour))]
    margin = max(len(_short(rows[0])), len(_short(rows[-1]))) + 2
    room = screen.width - margin
    wide = min(MAX_CELL, max(1, room // len(columns)))
    columns = [columns[i] for i in evenly(len(columns), room // wide)]
    cells = shares.loc[rows, columns].to_numpy(float)
    lines = _coloured(cells, wide, screen.ink) if in_colour else _shaded(cells, wide, screen.ink)
    labels = [_short(rows[0]), *[""] * (len(lines) - 2), _short(rows[-1])][: len(lines)]
    left, right = _short(columns[0]), _short(columns[-1])
    across = f"{left} {x} {right}"
    if (gap := wide * len(columns) - len(left) - len(right)) > len(x):
        across = f"{left}{x:^{gap}}{right}"
    return [
        *_legend(screen),
        y,
        *(f"{label:>{margin - 2}}  {line}" for label, line in zip(labels, lines, strict=True)),
        " " * margin + across,
    ]


def _legend(screen: Screen) -> list[str]:
    """The line that says what the signs or the colours mean; narrow screens need two."""
    if screen.ink in ("24-bit", "256"):
        marks = (f"{_block(share, share, 1, screen.ink)} {share:.0%}" for share in (0.0, 0.5, 1.0))
        return [f"Share converged: {'  '.join(marks)}"]
    signs, every = (DIGITS, 10) if screen.ink == "digits" else (SHADES, 25)
    steps = [f"{signs[i]} from {every * i}%" for i in range(1, len(signs))]
    return wrap(
        "Share converged: " + ", ".join([f"{signs[0]} below {every}%", *steps[-3:]]), screen.width
    )


def _shaded(cells: Any, wide: int, ink: str) -> list[str]:
    """Draw rows of shares without colours; a cell without runs is empty."""
    signs = DIGITS if ink == "digits" else SHADES
    return [
        "".join(
            (" " if np.isnan(share) else signs[min(int(share * len(signs)), len(signs) - 1)]) * wide
            for share in row
        )
        for row in cells
    ]


def _coloured(cells: Any, wide: int, ink: str) -> list[str]:
    """Draw two rows of shares in a line: the upper half of a character, and the lower one."""
    if len(cells) % 2:
        cells = np.vstack([cells, np.full_like(cells[:1], np.nan)])
    return [
        "".join(_block(*pair, wide, ink) for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(cells[::2], cells[1::2], strict=True)
    ]


def _block(upper: float, lower: float, wide: int, ink: str) -> str:
    """A cell of two shares; half of it is empty where there are no runs."""
    if np.isnan(upper) and np.isnan(lower):
        return " " * wide
    if np.isnan(upper):
        return f"\x1b[38;{_colour(lower, ink)}m{'▄' * wide}\x1b[0m"
    below = "" if np.isnan(lower) else f";48;{_colour(lower, ink)}"
    return f"\x1b[38;{_colour(upper, ink)}{below}m{'▀' * wide}\x1b[0m"


def _colour(share: float, ink: str) -> str:
    """The colour of a share as a terminal reads it: of the scale viridis, from violet to yellow."""
    levels = [round(255 * level) for level in mpl.colormaps["viridis"](share)[:3]]
    if ink == "24-bit":
        return "2;" + ";".join(map(str, levels))
    # 6 × 6 × 6 colours of the levels 0, 95, 135, 175, 215 and 255.
    red, green, blue = (0 if v < 48 else 1 if v < 115 else (v - 35) // 40 for v in levels)
    return f"5;{16 + 36 * red + 6 * green + blue}"
