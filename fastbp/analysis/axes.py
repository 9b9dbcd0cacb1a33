"""The numeric axes of a sweep: which make curves and maps, and where half the runs converge."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.statistics.proportions import crossings
from fastbp.analysis.summary import keys_of, settings_of

MIN_CURVE = 6
"""Values of a key, in one setting of the others, from which on a curve says more than bars."""

MIN_MAP = 6
"""Values of both keys from which on a map has lines that are worth a sentence."""


def is_numeric(values: pd.Series[Any]) -> bool:
    """Whether a key is a number in every setup; one hidden layer is, flags are not."""
    return values.dtype != bool and all(
        not isinstance(value, str) or value.isdigit() for value in values
    )


def with_width_and_depth(summary: pd.DataFrame) -> pd.DataFrame:
    """Replace `hidden` by `width` and `depth` where all layers of each network are alike.

    Where no network has several layers, the summary stays as it is.
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
    return [
        key
        for key in keys_of(summary)
        if is_numeric(summary[key]) and not summary[key].isna().any()
    ]


def map_axes(summary: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of numeric keys with setups enough for a map, the key with more values first."""
    pairs = []
    for x, y in combinations(_numeric_keys(summary), 2):
        wide, high = summary[x].nunique(), summary[y].nunique()
        others = [key for key in keys_of(summary) if key not in (x, y)]
        # Setups may differ in what is no key as written, and then share a cell.
        twice = summary[[x, y, *others]].duplicated().any()
        if 2 * len(summary[[x, y]].drop_duplicates()) <= wide * high or twice:
            continue
        if any(_is_plane(rows, x, y) for rows in settings_of(summary, others)):
            pairs.append((x, y) if wide >= high else (y, x))
    return pairs


def _is_plane(rows: pd.DataFrame, x: str, y: str) -> bool:
    """Whether two values of one key meet the same two of the other: else there are only lines."""
    there = (pd.crosstab(rows[x], rows[y]).to_numpy() > 0).astype(int)
    return bool((np.triu(there @ there.T, 1) >= 2).any())


def curve_keys(summary: pd.DataFrame) -> list[str]:
    """Numeric keys with many values where the other keys are alike."""
    keys = []
    for key in _numeric_keys(summary):
        others = [other for other in keys_of(summary) if other != key]
        if any(rows[key].nunique() >= MIN_CURVE for rows in settings_of(summary, others)):
            keys.append(key)
    return keys


def the_map(summary: pd.DataFrame) -> tuple[str, str] | None:
    """The two keys of a summary that is one map, and large enough to have lines in it."""
    if len(keys_of(summary)) != 2 or not (pairs := map_axes(summary)):
        return None
    x, y = pairs[0]
    return (x, y) if min(summary[x].nunique(), summary[y].nunique()) >= MIN_MAP else None


def critical(summary: pd.DataFrame, x: str, y: str, name: str = "converged") -> pd.DataFrame:
    """Where half of the runs have an outcome, along one key, for each value of another.

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
        One row for each value of `y` and place where the share surely passes one half: `y`; `x`, by
        straight lines between shares, over the logarithm of a key whose values are positive and
        span a factor of ten; `x_low` and `x_high`, the nearest values beside it at which one half
        is outside the share's 95% interval; `rising`, whether the share is more than one half above
        it. For whole numbers `x` is the first or last of them with at least one half.
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
    """Whether some pair of values has no setup."""
    return len(rows) < int(np.prod([rows[key].nunique() for key in keys]))
