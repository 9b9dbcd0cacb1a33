"""Which numeric keys of a sweep make curves and maps, and where half of the runs converge."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.shape import SHAPE, with_shape
from fastbp.analysis.statistics.proportions import crossings
from fastbp.analysis.summary import keys_of, settings_of, simultaneous_bounds

MIN_CURVE = 6
"""A curve needs at least this many values of its key while the other keys are fixed."""

MIN_MAP = 6
"""Sentences about a map need at least this many values of both keys."""


def is_numeric(values: "pd.Series[Any]") -> bool:
    """Whether all values of a key are numbers, null, or strings of digits; booleans do not count.

    A string of digits is the size of a single hidden layer: `hidden = "8"`.
    """
    return values.dtype != bool and all(
        not isinstance(value, str) or value.isdecimal() for value in values
    )


def with_width_and_depth(summary: pd.DataFrame) -> pd.DataFrame:
    """Replace the column `hidden`, such as `8-8`, by the columns `width` (8) and `depth` (2).

    The summary is returned unchanged if a network has layers of different sizes, or if none has
    several layers. A width or depth that is the same in all setups gets no column.
    """
    if "hidden" not in keys_of(summary):
        return summary
    layers = [str(value).split("-") for value in summary["hidden"]]
    if all(len(each) == 1 for each in layers) or any(len(set(each)) > 1 for each in layers):
        return summary
    shaped = with_shape(summary)
    return shaped.drop(columns=["hidden", *[name for name in SHAPE if shaped[name].nunique() == 1]])


def keys_besides(summary: pd.DataFrame, key: str) -> list[str]:
    """The keys that vary besides one of them, or besides the width or the depth.

    The other of these two then stands for `hidden`, unless several networks have the same.
    """
    others = [other for other in keys_of(summary) if other != key]
    if key in SHAPE and "hidden" in others:
        networks = summary[["hidden", *SHAPE]].drop_duplicates()
        if not networks[[*SHAPE]].duplicated().any():
            more = [name for name in SHAPE if name != key and networks[name].nunique() > 1]
            others = [other for other in others if other != "hidden"] + more
    return others


def _numeric_keys(summary: pd.DataFrame) -> list[str]:
    """The keys that vary and are a number in every setup."""
    return [
        key
        for key in keys_of(summary)
        if is_numeric(summary[key]) and not summary[key].isna().any()
    ]


def map_axes(summary: pd.DataFrame) -> list[tuple[str, str]]:
    """Find the pairs of numeric keys over which the setups form a map.

    More than half of the pairs of values must have a setup. With the other keys fixed, some four
    setups must be the corners of a rectangle, and no two may have the same pair of values. The key
    with more values comes first.
    """
    pairs = []
    for x, y in combinations(_numeric_keys(summary), 2):
        wide, high = summary[x].nunique(), summary[y].nunique()
        others = [key for key in keys_of(summary) if key not in (x, y)]
        # Setups that differ in none of the keys as written would share a cell.
        if (
            2 * len(summary[[x, y]].drop_duplicates()) <= wide * high
            or summary[[x, y, *others]].duplicated().any()
        ):
            continue
        if any(_is_plane(rows, x, y) for rows in settings_of(summary, others)):
            pairs.append((x, y) if wide >= high else (y, x))
    return pairs


def _is_plane(rows: pd.DataFrame, x: str, y: str) -> bool:
    """Whether some four setups are the corners of a rectangle over the keys x and y."""
    there = (pd.crosstab(rows[x], rows[y]).to_numpy() > 0).astype(int)
    few = there if len(there) <= there.shape[1] else there.T
    return bool((np.triu(few @ few.T, 1) >= 2).any())


def curve_keys(summary: pd.DataFrame) -> list[str]:
    """Numeric keys that take at least `MIN_CURVE` values while all other keys are fixed."""
    return [
        key
        for key in _numeric_keys(summary)
        if any(
            rows[key].nunique() >= MIN_CURVE
            for rows in settings_of(summary, [other for other in keys_of(summary) if other != key])
        )
    ]


def the_map(summary: pd.DataFrame) -> tuple[str, str] | None:
    """The keys across and up, if exactly two keys vary and form a map; None otherwise.

    Both keys must have at least `MIN_MAP` values.
    """
    if len(keys_of(summary)) != 2 or not (pairs := map_axes(summary)):
        return None
    x, y = pairs[0]
    return (x, y) if min(summary[x].nunique(), summary[y].nunique()) >= MIN_MAP else None


def critical(summary: pd.DataFrame, x: str, y: str, name: str = "converged") -> pd.DataFrame:
    """For each value of `y`, find where along `x` the share of an outcome passes one half.

    Parameters
    ----------
    summary : DataFrame
        One row for each pair of values of the two keys.
    x, y : str
        Names of the two keys.
    name : str
        The outcome, as in the summary's columns `{name}` and `{name}_share`.

    Returns
    -------
    DataFrame
        One row per crossing, which is a place where the share passes one half between two values of
        `x` whose intervals lie on opposite sides of one half; those of all setups hold at once.
        The columns `{x}_low` and `{x}_high` have these two values. `{y}` has the value of y, and
        `{x}` the crossing, interpolated linearly (on a log scale if the values of x are positive
        and span a factor of ten). If they are integers, it is rounded to the integer on the side of
        larger shares. `rising`: whether the share is above one half to the right of the crossing.
    """
    low, high = simultaneous_bounds(summary, name)
    places = []
    for value, rows in summary.assign(low=low, high=high).groupby(y):
        line = rows.iloc[rows[x].astype(float).argsort(kind="stable")]
        values = line[x].to_numpy(float)
        log = bool(values[0] > 0 and values[-1] >= 10 * values[0])
        scale = np.log(values) if log else values
        for each in crossings(line[f"{name}_share"], line["low"], line["high"]):
            at = each.at
            if pd.api.types.is_integer_dtype(line[x]):  # there is nothing between whole numbers
                at = np.ceil(at) if each.rising else np.floor(at)
            ends = np.interp([at, each.low, each.high], np.arange(len(values)), scale)
            places.append((value, *(np.exp(ends) if log else ends), each.rising))
    return pd.DataFrame(places, columns=[y, x, f"{x}_low", f"{x}_high", "rising"])
