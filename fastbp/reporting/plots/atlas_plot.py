"""The picture of an atlas: a tile for each Boolean function, grouped into classes by symmetry."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from fastbp.analysis.atlas import others_of
from fastbp.analysis.cures import pooled
from fastbp.reporting.phrases import evenly, plain, setting
from fastbp.reporting.plots.outcomes_plot import outcome_rows
from fastbp.reporting.plots.panels import axes_for, columns_of, legend, width_of
from fastbp.reporting.plots.style import (
    SIZE,
    inches,
    outcome_handles,
    styled,
    wrapped,
)
from fastbp.schema.outcomes import STACKED, Outcome
from fastbp.schema.text import and_, grouped, plural

MAX_TILES, MAX_BARS = 256, 8
"""Largest numbers of functions (tiles) and of bars in a tile. If there are more settings than bars,
evenly spaced ones are drawn."""

_EDGES: NDArray[np.float64] = np.array([(0.085, -0.065), (0.0, -0.15), (0.15, 0.0), (0.04, 0.05)])
"""Edges of a cube as (x, y) in inches, with y downwards. Going from 0 to 1 in an input moves along
one of them: into the picture, up, to the right, and down for a fourth input."""

_TILE, _CUBE, _BAR, _GAP, _NAME = 0.355, 0.25, 0.24, 0.14, 0.22
"""In inches: the width of a tile, the heights of its cube and its bars, the gap after a class, and
the height of its name."""

_MARGIN = 0.12
"""Width of the margin in inches."""

_APART, _LINE = 0.06, 0.18
"""Inches between tiles, and from one line of text to the next."""

_BOLD = 9.8
"""Font size, in points, whose normal letters are as wide as bold letters of 8.5 points."""

Point = tuple[float, float]

_Bars = dict[tuple[Any, ...], tuple[float, float]]
"""The bars that every tile has: the left edge and the width, in inches, by the values of the keys
that vary besides the problem."""


_Tile = tuple[Point, str, pd.DataFrame]
"""The upper left corner of a tile in inches, y downwards; the truth table of its function; its rows
in the table of the atlas, one for each setting."""


@styled
def atlas(
    table: pd.DataFrame, ax: Axes | None = None, title: str | None = None, subtitle: str = ""
) -> Axes:
    """Draw every function of an atlas as a tile: its truth table, and bars of its outcomes.

    The rows of the truth table are the corners of a cube. Below it stands a bar for each setting of
    the keys besides the problem. Functions that are equal up to permuted or negated inputs and a
    negated output (`npn_class`) stand together; the class with the highest convergence rate comes
    first. A line joins functions that are equal without negated inputs (`pn_class`).

    Parameters
    ----------
    table : DataFrame
        A result of `atlas.functions`.
    ax : Axes, optional
        Where to draw, as large as fits; by default on a new figure, as high as it needs.
    title, subtitle : str, optional
        Heading; given axes have only a title.

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
    room = wide - 2 * _MARGIN
    text = "\n".join(wrapped(each, room, SIZE, 4) for each in _explained(d, keys, settings))
    columns = columns_of(map(str, outcomes), wide - _MARGIN, 0.42)
    below = 0.12 + _LINE * (1 + text.count("\n"))
    top = below + 0.2 * -(-len(outcomes) // columns) + 0.2
    tiles, classes, brackets, height = _layout(table, wide, top)
    runs = plural(int(table["runs"].sum()), "run")
    what = f"{plural(count, 'function')} of {plural(d, 'input')}: how {runs} ended"
    ax = axes_for(ax, height, (title, subtitle, what), left=0, right=0, top=0, bottom=0)
    shrunk = _prepare(ax, wide, height)
    _draw_cubes(ax, tiles, shrunk)
    _draw_bars(ax, tiles, keys, bars)
    _draw_classes(ax, classes, brackets, shrunk)
    ax.text(_MARGIN, 0.12, text, va="top", fontsize=SIZE * shrunk, linespacing=1.3)
    style: Any = {"ncols": columns, "columnspacing": 1.2, "fontsize": SIZE * shrunk}
    place = _MARGIN / wide, 1 - (below + 0.12) / height
    legend(ax, "upper left", place, handles=outcome_handles(outcomes), handlelength=1, **style)
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


def _layout(
    table: pd.DataFrame, width: float, top: float
) -> tuple[list[_Tile], list[tuple[Point, pd.DataFrame]], list[tuple[float, float, float]], float]:
    """Place all tiles, below a head of the height `top`, in a picture of this width.

    A class starts a new line where the rest of one has not room for all of it.

    Returns
    -------
    tiles : list of _Tile
    classes : list of ((float, float), DataFrame)
        Place of the name of each `npn_class`, and its rows.
    brackets : list of (float, float, float)
        Left end, right end and y of the line below the tiles of a `pn_class`.
    height : float
        Height of the picture. All lengths are in inches.
    """
    tiles: list[_Tile] = []
    classes: list[tuple[Point, pd.DataFrame]] = []
    brackets: list[tuple[float, float, float]] = []
    x, y, high = _MARGIN, top, _CUBE + _BAR + 0.17
    for rows in _by_share(table, "npn_class"):
        room = sum(_GAP + _TILE * part["bits"].nunique() for part in _by_share(rows, "pn_class"))
        room = max(room, inches("".join(_named(rows)), _BOLD) + 0.25)
        if x > _MARGIN and x + room > width - _MARGIN + _GAP:
            x, y = _MARGIN, y + _NAME + high
        classes.append(((x, y), rows))
        stop = x + room
        for part in _by_share(rows, "pn_class"):
            for bits, here in part.groupby("bits", sort=False):
                if x + _TILE > width - _MARGIN + _APART:
                    x, y = _MARGIN, y + high
                tiles.append(((x, y + _NAME), str(bits), here))
                brackets.append((x, x + _TILE, y + _NAME + _CUBE + _BAR + 0.06))
                x += _TILE
            brackets[-1] = (x - _TILE, x - _APART, brackets[-1][2])
            x += _GAP
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


def _draw_cubes(ax: Axes, tiles: Sequence[_Tile], shrunk: float) -> None:
    """Draw the truth tables as cubes, with a dot at each corner with a target of 1."""
    length = len(tiles[0][1])
    d = length.bit_length() - 1
    inputs = np.arange(length)[:, None] >> np.arange(d)[::-1] & 1
    corners = inputs @ (_EDGES[len(_EDGES) - 1 - d : -1] if d < 4 else _EDGES)
    middle = (_TILE - _APART - np.ptp(corners[:, 0])) / 2 - corners[:, 0].min()
    places = np.array([middle, _CUBE - 0.035]) + corners
    edges = [[a, a | 1 << i] for a in range(length) for i in range(d) if not a >> i & 1]
    lines = np.concatenate([at + places[edge] for at, *_ in tiles for edge in edges])
    _shape(ax, lines, 2, facecolor="none", edgecolor="#909090", linewidth=0.6 * shrunk)
    dots = np.concatenate([at + places[[bit == "1" for bit in bits]] for at, bits, _ in tiles])
    if len(dots):
        # Lines of next to no length with round ends take a third of the bytes of markers.
        ends = np.repeat(dots, 2, axis=0)
        ends[::2] += 1e-4
        _shape(ax, ends, 2, edgecolor="black", linewidth=3.1 * shrunk, capstyle="round")


def _places(settings: Sequence[tuple[Any, ...]]) -> list[tuple[float, float]]:
    """Left edge and width of each bar in inches, with gaps between the values of the first key."""
    groups = np.cumsum(
        [i > 0 and len(one) > 1 and one[0] != settings[i - 1][0] for i, one in enumerate(settings)]
    )
    room, apart = _TILE - _APART, 0.03
    wide = (room - apart * groups[-1]) / len(settings)
    return [(i * wide + apart * group, wide - 0.006) for i, group in enumerate(groups.tolist())]


def _draw_bars(ax: Axes, tiles: Sequence[_Tile], keys: Sequence[str], bars: _Bars) -> None:
    """Draw the outcomes as stacked bars, with converged runs at the bottom."""
    boxes: dict[Outcome, list[Point]] = {outcome: [] for outcome in STACKED}
    for at, _, table in tiles:
        rows = {tuple(row[key] for key in keys): row for row in table.to_dict("records")}
        for setting_, (left, wide) in bars.items():
            row, top = rows.get(setting_, {}), 1.0
            x, y = at[0] + left, at[1] + _CUBE
            for outcome in STACKED:
                share = row.get(f"{outcome.column}_share", 0.0)
                low, high, end = y + _BAR * top, y + _BAR * (top - share), x + wide
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


# Classes

MAX_CLASSES = 14
"""Largest number of classes in a picture: all of the functions of three inputs."""


@styled
def class_bars(
    functions: pd.DataFrame, ax: Axes | None = None, title: str | None = None, subtitle: str = ""
) -> Axes:
    """Draw how networks end that learn Boolean functions: a bar for each class of functions.

    Of each function the setting counts in which most runs converge. The class with the highest
    convergence rate is at the top; of many classes some from the highest to the lowest are drawn.

    Parameters
    ----------
    functions : DataFrame
        A result of `fastbp.analysis.atlas.functions`.
    ax : Axes, optional
        Where to draw; by default on a new figure, as high as it needs.
    title, subtitle : str, optional
        Heading; given axes have only a title.
    """
    best = functions.sort_values("converged_share", ascending=False, kind="stable")
    best = best.drop_duplicates("bits")
    rows = pooled(best.fillna({"function": best["npn_class"]}), ["npn_class", "function"])
    order = (-rows["converged"] / rows["runs"]).sort_values(kind="stable").index
    rows = rows.loc[order[evenly(len(rows), MAX_CLASSES)]].reset_index(drop=True)
    counts = best["npn_class"].value_counts()
    names = [
        f"{name} · {plural(int(counts[each]), 'function')}"
        for each, name in zip(rows["npn_class"], rows["function"], strict=True)
    ]
    runs = f"{plural(int(best['runs'].sum()), 'run')} of {plural(len(best), 'function')}"
    heading = title, subtitle, f"How {runs} end, each in its best setting, by class"
    return outcome_rows(ax, rows, names, [False] * len(rows), heading)
