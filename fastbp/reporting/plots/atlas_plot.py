"""An atlas of truth tables: a tile for each function, in the classes that symmetry makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from fastbp.analysis.summary import keys_of
from fastbp.reporting.phrases import evenly, plain, setting
from fastbp.reporting.plots.style import STYLE, WIDTH, clipped, inches, literal, wrapped
from fastbp.schema.outcomes import STACKED, Outcome
from fastbp.schema.text import and_, plural

MAX_TILES, MAX_BARS = 256, 8
"""Functions and settings that are drawn: of more settings, so many evenly apart."""

_EDGES: NDArray[np.float64] = np.array([(0.085, -0.065), (0.0, -0.15), (0.15, 0.0), (0.04, 0.05)])
"""Where an input that is 1 instead of 0 leads, in inches: into the picture, up, to the right, and
one more."""

_TILE, _CUBE, _BAR, _GAP, _NAME = 0.355, 0.25, 0.24, 0.14, 0.21
"""Inches: a tile's width, the heights of its cube and its bars, what is free beside a class, the
height of its name."""

_MARGIN, _HEAD, _LARGE = 0.12, 2.1, 2.6
"""Inches of the margin and the head, and how many times larger its tile is."""

_APART = 0.06
"""Inches between tiles."""

_BOLD = 9.8
"""Points of letters as wide as bold ones of 8.5."""

Point = tuple[float, float]


class _Tile(NamedTuple):
    """The upper left corner of a function's tile, and its rows of the table."""

    at: Point
    bits: str
    rows: pd.DataFrame


def atlas(table: pd.DataFrame, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw every function of an atlas: its truth table as the corners of a cube, below it a bar of
    outcomes for each setting.

    Parameters: `table`, what `analysis.atlas.functions` returned; `ax`, where to draw (none: a new
    figure, as large as it needs); `title`, instead of one that says what is seen. Classes under
    permuted and negated inputs and a negated output (`npn_class`) stand below each other, those of
    which most runs converge first; a line joins what permuted inputs and a negated output alone
    leave together (`pn_class`). Returns the axes; the figure is `ax.figure`. Raises ValueError
    where there are more than 256 functions.
    """
    if table["bits"].nunique() > MAX_TILES:
        raise ValueError(
            f"an atlas has at most {MAX_TILES} tiles, given {table['bits'].nunique():,} functions"
        )
    keys = keys_of(table)[keys_of(table).index("function") + 1 :]
    settings = (
        [tuple(row) for row in table[keys].drop_duplicates().itertuples(index=False)]
        if keys
        else [()]
    )
    shown = [settings[i] for i in evenly(len(settings), MAX_BARS).tolist()]
    tiles, classes, brackets, height = _laid_out(table)
    bars = _places(shown)
    with mpl.rc_context(STYLE):
        if ax is None:
            ax = Figure(figsize=(WIDTH, height)).add_axes((0, 0, 1, 1))
        ax.set_xlim(0, WIDTH)
        ax.set_ylim(height, 0)
        ax.set_aspect("equal")
        ax.axis("off")
        _cubes(ax, tiles, 1.0)
        _bars(ax, tiles, keys, shown, bars, 1.0)
        for start, stop, y in brackets:
            ax.plot([start, stop], [y, y], color="#bbbbbb", linewidth=0.9)
        for (x, y), rows in classes:
            name, told = _named(rows)
            ax.text(x, y + 0.12, name, fontsize=8.5, weight="bold")
            ax.text(x + inches(name, _BOLD) + 0.08, y + 0.12, told, fontsize=7)
        _head(ax, table, tiles, keys, shown, bars, title)
        return literal(ax)


class _Layout(NamedTuple):
    """Tiles, classes with the place of their names, the lines under smaller classes, and the height
    of all.
    """

    tiles: list[_Tile]
    classes: list[tuple[Point, pd.DataFrame]]
    brackets: list[tuple[float, float, float]]
    height: float


def _laid_out(table: pd.DataFrame) -> _Layout:
    tiles: list[_Tile] = []
    classes: list[tuple[Point, pd.DataFrame]] = []
    brackets: list[tuple[float, float, float]] = []
    x, y, high = _MARGIN, _HEAD, _CUBE + _BAR + 0.17
    for _, rows in _by_share(table, "npn_class"):
        parts = [(list(dict.fromkeys(own["bits"])), own) for _, own in _by_share(rows, "pn_class")]
        name, told = _named(rows)
        wide = max(
            sum(len(names) * _TILE + _GAP for names, _ in parts),
            inches(name, _BOLD) + inches(told, 7) + 0.25,
        )
        if x > _MARGIN and x + wide - _GAP > WIDTH - _MARGIN:
            x, y = _MARGIN, y + _NAME + high
        classes.append(((x, y), rows))
        stop = x + wide
        for names, own in parts:
            done = 0
            while done < len(names):
                some = min(len(names) - done, max(1, int((WIDTH - _MARGIN - x) / _TILE + 0.1)))
                if x > _MARGIN and done + some < len(names):
                    x, y = (
                        _MARGIN,
                        y + high,
                    )  # a smaller class begins a new line rather than go over two
                    continue
                for bits in names[done : done + some]:
                    tiles.append(_Tile((x, y + _NAME), bits, own[own["bits"] == bits]))
                    x += _TILE
                brackets.append((x - some * _TILE, x - _APART, y + _NAME + _CUBE + _BAR + 0.06))
                x, done = x + _GAP, done + some
        x = max(x, stop) + 0.1
    return _Layout(tiles, classes, brackets, y + _NAME + high)


def _named(rows: pd.DataFrame) -> tuple[str, str]:
    """The name of a class, and what is told beside it."""
    first = rows.iloc[0]
    name = first["function"] if isinstance(first["function"], str) else first["npn_class"]
    return name, f"{first['npn_class']} · {plural(rows['bits'].nunique(), 'function')}"


def _by_share(table: pd.DataFrame, key: str) -> list[tuple[str, pd.DataFrame]]:
    """The classes of a table, those of which most runs converge first."""
    groups = [(str(name), rows) for name, rows in table.groupby(key, sort=True)]
    return sorted(groups, key=lambda group: -group[1]["converged"].sum() / group[1]["runs"].sum())


def _corner(row: int, d: int) -> NDArray[np.float64]:
    """Where a row of the truth table lies in its cube, from the corner of row 0."""
    inputs = [row >> place & 1 for place in range(d - 1, -1, -1)]
    place: NDArray[np.float64] = (
        np.array(inputs, float) @ _EDGES[len(_EDGES) - 1 - d : -1] if d < 4 else inputs @ _EDGES
    )
    return place


def _cubes(ax: Axes, tiles: Sequence[_Tile], scale: float) -> None:
    """The truth tables: edges between rows that differ in one input, a dot on each row whose target
    is 1.
    """
    length = len(tiles[0].bits)
    d = length.bit_length() - 1
    corners = np.array([_corner(row, d) for row in range(length)])
    shift = np.array(
        [(_TILE - _APART - np.ptp(corners[:, 0])) / 2 - corners[:, 0].min(), _CUBE - 0.035]
    )
    edges = [(a, b) for a, b in combinations(range(length), 2) if (a ^ b).bit_count() == 1]
    lines = np.concatenate(
        [t.at + scale * (shift + corners[[*edge]]) for t in tiles for edge in edges]
    )
    _shape(ax, lines, 2, facecolor="none", edgecolor="#909090", linewidth=0.6 * scale**0.5)
    dots = np.array(
        [
            t.at + scale * (shift + corners[row])
            for t in tiles
            for row in range(length)
            if t.bits[row] == "1"
        ]
    )
    if len(dots):
        ax.plot(
            *dots.T,
            linestyle="",
            marker="o",
            markersize=3.1 * scale,
            color="black",
            markeredgewidth=0,
        )


def _places(settings: Sequence[tuple[Any, ...]]) -> list[tuple[float, float]]:
    """Left edge and width of the bar of each setting in a tile; a gap where the first key
    changes.
    """
    groups = np.cumsum(
        [i > 0 and len(one) > 1 and one[0] != settings[i - 1][0] for i, one in enumerate(settings)]
    )
    room, apart = _TILE - _APART, 0.03
    wide = (room - apart * groups[-1]) / len(settings)
    return [(i * wide + apart * group, wide - 0.006) for i, group in enumerate(groups.tolist())]


def _bars(
    ax: Axes, tiles: Sequence[_Tile], keys: Sequence[str], settings: Sequence[tuple[Any, ...]],
    places: Sequence[tuple[float, float]], scale: float,
) -> None:  # fmt: skip
    """The outcomes: stacked bars, the converged at the bottom."""
    boxes: dict[Outcome, list[Any]] = {outcome: [] for outcome in STACKED}
    for t in tiles:
        of: dict[Any, dict[Any, Any]] = {
            tuple(row[key] for key in keys): row for row in t.rows.to_dict("records")
        }
        for each, (left, wide) in zip(settings, places, strict=True):
            row, top = of.get(each), 1.0
            for outcome in STACKED:
                if row is None:
                    continue
                share = row[f"{outcome.column}_share"]
                if share:
                    x, y = t.at[0] + scale * left, t.at[1] + scale * _CUBE
                    low, high = y + scale * _BAR * top, y + scale * _BAR * (top - share)
                    boxes[outcome] += [
                        (x, low),
                        (x + scale * wide, low),
                        (x + scale * wide, high),
                        (x, high),
                    ]
                    top -= share
    for outcome, corners in boxes.items():
        if corners:
            _shape(ax, np.array(corners), 4, facecolor=outcome.colour, edgecolor="none")


def _shape(ax: Axes, points: NDArray[np.float64], each: int, **style: Any) -> None:
    """Lines or boxes of so many points each, as one element of the file: thousands would be slow to
    show.
    """
    codes = np.full(len(points), Path.LINETO, np.uint8)
    codes[::each] = Path.MOVETO
    ax.add_patch(PathPatch(Path(points, codes), **style))


def _head(
    ax: Axes, table: pd.DataFrame, tiles: Sequence[_Tile], keys: Sequence[str], settings: Sequence[tuple[Any, ...]],
    places: Sequence[tuple[float, float]], title: str | None,
) -> None:  # fmt: skip
    """The title, and a large tile that says what the small ones show."""
    count, runs = len(tiles), int(table["runs"].sum())
    seen = f"{plural(count, 'function')} of {len(tiles[0].bits).bit_length() - 1} inputs: how {plural(runs, 'run')} ended"
    ax.text(0.1, 0.1, wrapped(title or seen, WIDTH - 0.2, 12, 2), fontsize=12, va="top")
    outcomes = [outcome.column for outcome in STACKED]
    most = min(
        tiles, key=lambda t: float(((t.rows[outcomes].sum() / t.rows["runs"].sum()) ** 2).sum())
    )  # of the most kinds
    scale, at = _LARGE, (_MARGIN + 1.35, 0.55)
    _cubes(ax, [most._replace(at=at)], scale)
    _bars(ax, [most._replace(at=at)], keys, settings, places, scale)
    d = len(most.bits).bit_length() - 1
    ax.text(_MARGIN, at[1] + 0.12, most.bits, fontsize=8.5, va="top", weight="bold")
    ax.text(
        _MARGIN,
        at[1] + 0.3,
        f"targets of its rows,\n{'0' * d} to {'1' * d}",
        fontsize=7.5,
        va="top",
    )
    ax.text(_MARGIN, at[1] + scale * _CUBE + 0.1, "how its runs ended", fontsize=7.5, va="top")
    x = at[0] + scale * _TILE + 0.15
    for i, text in enumerate(_told(d, keys, settings)):
        ax.text(
            x, at[1] + 0.12 + 0.19 * i, clipped(text, WIDTH - _MARGIN - x, 8), fontsize=8, va="top"
        )
    drawn = [outcome for outcome in STACKED if table[outcome.column].any()]
    handles: list[Any] = [
        Line2D([], [], marker="s", linestyle="", color=o.colour, label=o) for o in drawn
    ]
    place = (x / WIDTH - 0.008, 1 - (at[1] + scale * (_CUBE + _BAR) - 0.15) / ax.get_ylim()[0])
    ax.legend(
        handles=handles, loc="center left", bbox_to_anchor=place, ncols=len(handles), frameon=False, fontsize=8.5, handlelength=1,
        columnspacing=1.2, handletextpad=0.3, borderaxespad=0,
    )  # fmt: skip


def _told(d: int, keys: Sequence[str], settings: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """What the parts of a tile are, in lines."""
    ways = ("into the picture", "up", "to the right", "down")[3 - d if d < 4 else 0 :][:d]
    edges = and_(
        [
            f"the {name} {way}"
            for name, way in zip(("first", "second", "third", "fourth"), ways, strict=False)
        ]
    )
    yield "A corner is a row of the truth table, black where its target is 1."
    yield f"An edge leads from 0 to 1 of an input: {edges}."
    yield "A line joins what permuted inputs and a negated output make alike, a name what negated inputs too make alike."
    if not keys:
        return
    if len(keys) == 1:
        yield f"Bars from left to right: {keys[0]} {', '.join(plain(one[0]) for one in settings)}."
        return
    groups: dict[Any, list[str]] = {}
    for one in settings:
        rest = setting(dict(zip(keys[1:], one[1:], strict=True)), keys[1:])
        groups.setdefault(one[0], []).append(rest if len(keys) > 2 else plain(one[1]))
    told = [
        f"{keys[0]} {plain(value)}: {(keys[1] + ' ') * (len(keys) == 2)}{', '.join(own)}"
        for value, own in groups.items()
    ]
    yield f"Bars from left to right: {'; '.join(told)}."
