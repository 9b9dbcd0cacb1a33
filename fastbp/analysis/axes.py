"""The numeric keys of a sweep: which make curves and maps, and where half of the runs converge."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.statistics.proportions import crossings
from fastbp.analysis.summary import keys_of, settings_of

MIN_CURVE = 6
"""The fewest values of a key, with the other keys fixed, for which a curve is drawn."""

MIN_MAP = 6
"""The fewest values of both keys for which sentences say where half of the runs converge."""


def is_numeric(values: "pd.Series[Any]") -> bool:
    """Whether a key is a number in every setup: one hidden layer counts, true and false do not."""
    return values.dtype != bool and all(
        not isinstance(value, str) or value.isdigit() for value in values
    )


def with_width_and_depth(summary: pd.DataFrame) -> pd.DataFrame:
    """Replace `hidden` by `width` and `depth` if the layers of each network have equal sizes.

    The summary is unchanged if no network has several layers.
    """
    if "hidden" not in keys_of(summary):
        return summary
    layers = [str(value).split("-") for value in summary["hidden"]]
    if all(len(each) == 1 for each in layers) or any(len(set(each)) > 1 for each in layers):
        return summary
    shape = {"width": [int(each[0]) for each in layers], "depth": [len(each) for each in layers]}
    place = list(summary.columns).index("hidden")
    result = summary.drop(columns="hidden")
    for name in ("depth", "width"):
        if len(set(shape[name])) > 1:
            result.insert(place, name, shape[name])
    return result


def _numeric_keys(summary: pd.DataFrame) -> list[str]:
    """The keys that are a number in every setup."""
    return [
        key
        for key in keys_of(summary)
        if is_numeric(summary[key]) and not summary[key].isna().any()
    ]


def map_axes(summary: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of numeric keys with enough setups for a map, the key with more values first."""
    pairs = []
    for x, y in combinations(_numeric_keys(summary), 2):
        wide, high = summary[x].nunique(), summary[y].nunique()
        others = [key for key in keys_of(summary) if key not in (x, y)]
        # Setups that differ in none of the keys as written would share a cell.
        twice = summary[[x, y, *others]].duplicated().any()
        if 2 * len(summary[[x, y]].drop_duplicates()) <= wide * high or twice:
            continue
        if any(_is_plane(rows, x, y) for rows in settings_of(summary, others)):
            pairs.append((x, y) if wide >= high else (y, x))
    return pairs


def _is_plane(rows: pd.DataFrame, x: str, y: str) -> bool:
    """Whether four setups are the corners of a rectangle, so that there is more than a line."""
    there = (pd.crosstab(rows[x], rows[y]).to_numpy() > 0).astype(int)
    return bool((np.triu(there @ there.T, 1) >= 2).any())


def curve_keys(summary: pd.DataFrame) -> list[str]:
    """Numeric keys that have many values while the other keys are fixed."""

    def has_curve(key: str) -> bool:
        others = [other for other in keys_of(summary) if other != key]
        return any(rows[key].nunique() >= MIN_CURVE for rows in settings_of(summary, others))

    return list(filter(has_curve, _numeric_keys(summary)))


def the_map(summary: pd.DataFrame) -> tuple[str, str] | None:
    """The two keys of a summary that is a single map with enough values of both; else None."""
    if len(keys_of(summary)) != 2 or not (pairs := map_axes(summary)):
        return None
    x, y = pairs[0]
    return (x, y) if min(summary[x].nunique(), summary[y].nunique()) >= MIN_MAP else None


def critical(summary: pd.DataFrame, x: str, y: str, name: str = "converged") -> pd.DataFrame:
    """Find where half of the runs have an outcome, along one key, for each value of another.

    Parameters
    ----------
    summary : DataFrame
        One row for each pair of values of the two keys.
    x, y : str
        The keys.
    name : str
        The outcome, as in the summary's columns.

    Returns
    -------
    DataFrame
        One row for each value of `y` and place where the share surely passes one half: `y`; `x`,
        interpolated linearly between shares, on a log scale if the values are positive and span a
        factor of ten; `x_low` and `x_high`, the nearest values on both sides at which one half is
        outside the share's 95% interval; `rising`, whether the share is above one half to the right
        of `x`. If the values are integers, `x` is the first or the last with a share of at least
        one half.
    """
    places = []
    for value, rows in summary.groupby(y):
        line = rows.iloc[rows[x].astype(float).argsort(kind="stable")]
        values = line[x].to_numpy(float)
        log = bool(values[0] > 0 and values[-1] >= 10 * values[0])
        scale = np.log(values) if log else values
        for each in crossings(line[f"{name}_share"], line[f"{name}_low"], line[f"{name}_high"]):
            at = each.at
            if pd.api.types.is_integer_dtype(line[x]):  # there is nothing between whole numbers
                at = np.ceil(at) if each.rising else np.floor(at)
            ends = np.interp([at, each.low, each.high], np.arange(len(values)), scale)
            places.append((value, *(np.exp(ends) if log else ends), each.rising))
    return pd.DataFrame(places, columns=[y, x, f"{x}_low", f"{x}_high", "rising"])


def has_gaps(rows: pd.DataFrame, keys: Sequence[str]) -> bool:
    """Whether some combination of values has no setup."""
    return len(rows) < int(np.prod([rows[key].nunique() for key in keys]))
