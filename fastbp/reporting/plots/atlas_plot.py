"""The picture of an atlas: a tile for each Boolean function, grouped into classes by symmetry."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from fastbp.analysis.atlas import others_of
from fastbp.analysis.counts import grouped
from fastbp.reporting.phrases import evenly, plain, setting
from fastbp.reporting.plots.panels import axes_for, columns_of, legend, width_of
from fastbp.reporting.plots.style import (
    NARROW,
    SIZE,
    inches,
    outcome_handles,
    styled,
    wrapped,
)
from fastbp.schema.outcomes import STACKED, Outcome
from fastbp.schema.text import and_, plural

MAX_TILES, MAX_BARS = 256, 8
"""Largest numbers of functions (tiles) and of bars in a tile. If there are more settings than bars,
evenly spaced ones are drawn."""

_EDGES: NDArray[np.float64] = np.array([(0.085, -0.065), (0.0, -0.15), (0.15, 0.0), (0.04, 0.05)])
"""Edges of a cube as (x, y) in inches, with y downwards. Going from 0 to 1 in an input moves along
one of them: into the picture, up, to the right, and down for a fourth input."""

_TILE, _CUBE, _BAR, _GAP, _NAME = 0.355, 0.25, 0.24, 0.14, 0.22
"""In inches: the width of a tile, the heights of its cube and its bars, the gap after a class, and
the height of its name."""

_MARGIN, _LARGE = 0.12, 2.6
"""Width of the margin in inches, and the enlargement of the tile in the head."""

_APART, _LINE = 0.06, 0.18
"""Inches between tiles, and from one line of text to the next."""

_BOLD = 9.8
"""Font size, in points, whose normal letters are as wide as bold letters of 8.5 points."""

Point = tuple[float, float]

_Bars = dict[tuple[Any, ...], tuple[float, float]]
"""The bars that every tile has: the left edge and the width, in inches, by the values of the keys
that vary besides the problem."""


class FunctionTile(NamedTuple):
    """The place and content of a tile.

    Attributes
    ----------
    at : (float, float)
        Upper left corner in inches, x to the right and y downwards.
    bits : str
        Truth table of the function.
    rows : DataFrame
        Its rows in the table of the atlas, one for each setting.
    """

    at: Point
    bits: str
    rows: pd.DataFrame


@styled
def atlas(
    table: pd.DataFrame, ax: Axes | None = None, title: str | None = None, subtitle: str = ""
) -> Axes:
    """Draw every function of an atlas as a tile: its truth table, and bars of its outcomes.

    The rows of the truth table are the corners of a cube. Below it stands a bar of outcomes for
    each setting, which is a combination of values of the keys besides the problem. Functions that
    are equal up to permuted or negated inputs and a negated output (`npn_class`) stand together
    below a name; the class with the highest convergence rate comes first. A line below the tiles
    joins functions that are equal without negated inputs (`pn_class`).

    Parameters
    ----------
    table : DataFrame
        A result of `atlas.functions`.
    ax : Axes, optional
        Where to draw, as large as fits; by default on a new figure, as high as it needs.
    title, subtitle : str, optional
        Heading; given axes have only a title.

    Returns
    -------
    Axes
        The figure is `ax.figure`.

    Raises
    ------
    ValueError
        If there are more than 256 functions.
    """
    count, wide = table["bits"].nunique(), width_of(None)
    if count > MAX_TILES:
        raise ValueError(f"an atlas has at most {MAX_TILES} tiles, given {count:,} functions")
    keys, d = others_of(table), len(table["bits"].iloc[0]).bit_length() - 1
    settings = list(dict.fromkeys(zip(*(table[key] for key in keys), strict=True))) or [()]
    settings = [settings[i] for i in evenly(len(settings), MAX_BARS).tolist()]
    bars: _Bars = dict(zip(settings, _places(settings), strict=True))
    outcomes = [each for each in STACKED if table[each.column].any()]
    lines, at, columns, high = _head(_explained(d, keys, settings), outcomes, wide)
    tiles, classes, brackets, height = _layout(table, wide, high)
    runs = plural(int(table["runs"].sum()), "run")
    what = f"{plural(count, 'function')} of {plural(d, 'input')}: how {runs} ended"
    ax = axes_for(ax, height, (title, subtitle, what), left=0, right=0, top=0, bottom=0)
    shrunk = _prepare(ax, wide, height)
    _draw_cubes(ax, tiles, shrunk, 1.0)
    _draw_bars(ax, tiles, keys, bars, 1.0)
    _draw_classes(ax, classes, brackets, shrunk)
    _draw_head_tile(ax, tiles, keys, bars, shrunk)
    _draw_head_texts(ax, lines, at, columns, outcomes, shrunk)
    return ax


def _prepare(ax: Axes, wide: float, height: float) -> float:
    """Make an inch the unit of axes; in axes of a smaller size, all is smaller by this factor."""
    box = ax.get_window_extent()
    ax.set(xlim=(0, wide), ylim=(height, 0), aspect="equal", anchor="NW")
    ax.axis("off")
    return float(min(1.0, width_of(ax) / wide, width_of(ax) / box.width * box.height / height))


def _draw_classes(
    ax: Axes,
    classes: Sequence[tuple[Point, pd.DataFrame]],
    brackets: Sequence[tuple[float, float, float]],
    shrunk: float,
) -> None:
    """Draw the names of classes, and the lines below tiles; both as `_layout` returns them."""
    for start, stop, y in brackets:
        ax.plot([start, stop], [y, y], color="#bbbbbb", linewidth=0.9 * shrunk)
    for (x, y), rows in classes:
        name, note = _named(rows)
        ax.text(x, y + 0.14, name, fontsize=SIZE * shrunk, weight="bold")
        ax.text(x + inches(name, _BOLD) + 0.08, y + 0.14, note, fontsize=SIZE * shrunk)


def _head(
    texts: Iterable[str], outcomes: Iterable[Outcome], wide: float
) -> tuple[list[str], Point, int, float]:
    """Lay out the head of a picture so many inches wide, which explains the tiles.

    Returns
    -------
    lines : list of str
        The lines of the texts.
    at : (float, float)
        Where they begin, in inches: right of the large tile or, on a phone, below it.
    columns : int
        Columns of the legend of these outcomes, which follows.
    high : float
        Height of the head in inches.
    """
    left, top = (_MARGIN + 2.5, 0.12) if wide > NARROW else (_MARGIN, 1.5)
    lines = "\n".join(wrapped(text, wide - _MARGIN - left, SIZE, 4) for text in texts).split("\n")
    names = [*map(str, outcomes)]
    columns = columns_of(names, wide - left, 0.42)
    high = top + _LINE * len(lines) + 0.2 * -(-len(names) // columns) + 0.2
    return lines, (left, top), columns, max(high, 1.55)


def _layout(
    table: pd.DataFrame, width: float, top: float
) -> tuple[
    list[FunctionTile], list[tuple[Point, pd.DataFrame]], list[tuple[float, float, float]], float
]:
    """Place all tiles, below a head of the height `top`, in a picture of this width.

    Returns
    -------
    tiles : list of FunctionTile
    classes : list of ((float, float), DataFrame)
        Place of the name of each `npn_class`, and its rows.
    brackets : list of (float, float, float)
        Left end, right end and y of the line below the tiles of a `pn_class`.
    height : float
        Height of the picture. All lengths are in inches.
    """
    tiles: list[FunctionTile] = []
    classes: list[tuple[Point, pd.DataFrame]] = []
    brackets: list[tuple[float, float, float]] = []
    x, y, high = _MARGIN, top, _CUBE + _BAR + 0.17
    for rows in _by_share(table, "npn_class"):
        parts = [(list(part["bits"].unique()), part) for part in _by_share(rows, "pn_class")]
        name, note = _named(rows)
        wide = max(
            sum(len(names) * _TILE + _GAP for names, _ in parts),
            inches(name, _BOLD) + inches(note, SIZE) + 0.25,
        )
        if x > _MARGIN and x + wide - _GAP > width - _MARGIN:
            x, y = _MARGIN, y + _NAME + high
        classes.append(((x, y), rows))
        stop = x + wide
        for names, part in parts:
            done = 0
            while done < len(names):
                some = min(len(names) - done, max(1, int((width - _MARGIN - x) / _TILE + 0.1)))
                if x > _MARGIN and done + some < len(names):
                    # A smaller class starts a new line, so that it does not go over two lines.
                    x, y = _MARGIN, y + high
                    continue
                for bits in names[done : done + some]:
                    tiles.append(FunctionTile((x, y + _NAME), bits, part[part["bits"] == bits]))
                    x += _TILE
                brackets.append((x - some * _TILE, x - _APART, y + _NAME + _CUBE + _BAR + 0.06))
                x, done = x + _GAP, done + some
        x = max(x, stop) + 0.1
    return tiles, classes, brackets, y + _NAME + high


def _named(rows: pd.DataFrame) -> tuple[str, str]:
    """The name of a class, and the note that follows it."""
    first = rows.iloc[0]
    name = first["function"] if isinstance(first["function"], str) else first["npn_class"]
    return name, f"{first['npn_class']} · {plural(rows['bits'].nunique(), 'function')}"


def _by_share(table: pd.DataFrame, key: str) -> list[pd.DataFrame]:
    """Split a table by the classes in the column `key`, the highest convergence rate first."""
    return sorted(
        (rows for _, rows in table.groupby(key, sort=True)),
        key=lambda rows: -rows["converged"].sum() / rows["runs"].sum(),
    )


def _draw_cubes(ax: Axes, tiles: Sequence[FunctionTile], shrunk: float, scale: float) -> None:
    """Draw the truth tables as cubes, with a dot at each corner with a target of 1."""
    length = len(tiles[0].bits)
    d = length.bit_length() - 1
    inputs = np.arange(length)[:, None] >> np.arange(d)[::-1] & 1
    corners = inputs @ (_EDGES[len(_EDGES) - 1 - d : -1] if d < 4 else _EDGES)
    middle = (_TILE - _APART - np.ptp(corners[:, 0])) / 2 - corners[:, 0].min()
    places = np.array([middle, _CUBE - 0.035]) + corners
    edges = [[a, a | 1 << i] for a in range(length) for i in range(d) if not a >> i & 1]
    lines = np.concatenate([t.at + scale * places[edge] for t in tiles for edge in edges])
    _shape(ax, lines, 2, facecolor="none", edgecolor="#909090", linewidth=0.6 * shrunk * scale**0.5)
    dots = np.concatenate([t.at + scale * places[[bit == "1" for bit in t.bits]] for t in tiles])
    if len(dots):
        # Lines of next to no length with round ends take a third of the bytes of markers.
        ends = np.repeat(dots, 2, axis=0)
        ends[::2] += 1e-4
        width = 3.1 * shrunk * scale
        _shape(ax, ends, 2, edgecolor="black", linewidth=width, capstyle="round")


def _places(settings: Sequence[tuple[Any, ...]]) -> list[tuple[float, float]]:
    """Left edge and width of each bar in inches, with gaps between the values of the first key."""
    groups = np.cumsum(
        [i > 0 and len(one) > 1 and one[0] != settings[i - 1][0] for i, one in enumerate(settings)]
    )
    room, apart = _TILE - _APART, 0.03
    wide = (room - apart * groups[-1]) / len(settings)
    return [(i * wide + apart * group, wide - 0.006) for i, group in enumerate(groups.tolist())]


def _draw_bars(
    ax: Axes, tiles: Sequence[FunctionTile], keys: Sequence[str], bars: _Bars, scale: float
) -> None:
    """Draw the outcomes as stacked bars, with converged runs at the bottom."""
    boxes: dict[Outcome, list[Point]] = {outcome: [] for outcome in STACKED}
    for t in tiles:
        rows = {tuple(row[key] for key in keys): row for row in t.rows.to_dict("records")}
        for setting_, (left, wide) in bars.items():
            row, top = rows.get(setting_, {}), 1.0
            x, y = t.at[0] + scale * left, t.at[1] + scale * _CUBE
            for outcome in STACKED:
                share = row.get(f"{outcome.column}_share", 0.0)
                low, high = y + scale * _BAR * top, y + scale * _BAR * (top - share)
                end = x + scale * wide
                boxes[outcome] += [(x, low), (end, low), (end, high), (x, high)] * bool(share)
                top -= share
    for outcome, corners in boxes.items():
        if corners:
            _shape(ax, np.array(corners), 4, facecolor=outcome.colour, edgecolor="none")


def _shape(ax: Axes, points: NDArray[np.float64], each: int, **style: Any) -> None:
    """Draw lines or boxes, each of `each` points, as one element: many elements are slow."""
    codes = np.full(len(points), Path.LINETO, np.uint8)
    codes[::each] = Path.MOVETO
    ax.add_patch(PathPatch(Path(points, codes), **style))


def _draw_head_tile(
    ax: Axes, tiles: Sequence[FunctionTile], keys: Sequence[str], bars: _Bars, shrunk: float
) -> None:
    """Draw a large tile that explains the small ones."""
    d = len(tiles[0].bits).bit_length() - 1
    columns = [outcome.column for outcome in STACKED]
    # The tile whose shares are the most equal has the smallest sum of squares.
    most_equal = min(
        tiles, key=lambda t: ((t.rows[columns].sum() / t.rows["runs"].sum()) ** 2).sum()
    )
    large = most_equal._replace(at=(_MARGIN + 1.45, 0.1))
    _draw_cubes(ax, [large], shrunk, _LARGE)
    _draw_bars(ax, [large], keys, bars, _LARGE)
    style: Any = {"fontsize": SIZE * shrunk, "va": "top"}
    ax.text(_MARGIN, 0.18, large.bits, weight="bold", **style)
    ax.text(_MARGIN, 0.38, f"targets of its rows,\n{'0' * d} to {'1' * d}", **style)
    ax.text(_MARGIN, 0.2 + _LARGE * _CUBE, "how its runs ended", **style)


def _draw_head_texts(
    ax: Axes,
    lines: Sequence[str],
    at: Point,
    columns: int,
    outcomes: Iterable[Outcome],
    shrunk: float,
) -> None:
    """Write the texts that explain the tiles, and the legend; `_head` has placed them."""
    (x, y), style = at, cast("Any", {"fontsize": SIZE * shrunk})
    for i, line in enumerate(lines):
        ax.text(x, y + _LINE * i, line, va="top", **style)
    below = (y + _LINE * len(lines) + 0.12) / ax.get_ylim()[0]
    style |= {"ncols": columns, "handlelength": 1, "columnspacing": 1.2}
    place = x / ax.get_xlim()[1], 1 - below
    legend(ax, "upper left", place, handles=outcome_handles(outcomes), **style)


def _explained(d: int, keys: Sequence[str], settings: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """Yield the lines that explain the parts of a tile."""
    ways = ("into the picture", "up", "to the right", "down")[3 - d if d < 4 else 0 :][:d]
    edges = and_(
        [
            f"the {name} {way}"
            for name, way in zip(("first", "second", "third", "fourth"), ways, strict=False)
        ]
    )
    yield "A corner is a row of the truth table, black where its target is 1."
    yield f"An edge leads from 0 to 1 of an input: {edges}."
    yield (
        "A line joins functions that are equal up to permuted inputs and a negated output; a name, "
        "up to negated inputs too."
    )
    if len(keys) == 1:
        yield f"Bars from left to right: {keys[0]} {', '.join(plain(one[0]) for one in settings)}."
    if len(keys) > 1:
        rests = [
            plain(one[1])
            if len(keys) == 2
            else setting(dict(zip(keys, one, strict=True)), keys[1:])
            for one in settings
        ]
        second = f"{keys[1]} " * (len(keys) == 2)
        texts = [
            f"{keys[0]} {plain(value)}: {second}{', '.join(group)}"
            for value, group in grouped(rests, [one[0] for one in settings]).items()
        ]
        yield f"Bars from left to right: {'; '.join(texts)}."
