"""What a grid of two numeric keys looks like: which axes it has, where half of the runs converge,
and what is seen in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.statistics.proportions import crossings
from fastbp.analysis.summary import keys_of
from fastbp.reporting.phrases import and_, evenly, named, percent, plain, plural

CURVED = 6
"""Values of a key, in one setting of the others, from which on a curve says more than bars."""

MAPPED = 6
"""Values of both keys from which on a map has lines that are worth a sentence."""

_HALF = 0.5


def is_numeric(values: pd.Series[Any]) -> bool:
    """Whether a key is a number in every setup; one hidden layer is, flags are not."""
    return values.dtype != bool and all(
        not isinstance(value, str) or value.isdigit() for value in values
    )


def shaped(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary that has `width` and `depth` in place of `hidden`, where all layers of each network
    are alike and some networks have several; else the summary as it is.
    """
    if "hidden" not in keys_of(summary):
        return summary
    layers = [str(value).split("-") for value in summary["hidden"]]
    if all(len(each) == 1 for each in layers) or any(len(set(each)) > 1 for each in layers):
        return summary
    found = summary.rename(columns={"hidden": "width"}).assign(
        width=[int(each[0]) for each in layers]
    )
    found.insert(
        int(found.columns.get_indexer(pd.Index(["width"]))[0]) + 1,
        "depth",
        [len(each) for each in layers],
    )
    return found.drop(columns=[name for name in ("width", "depth") if found[name].nunique() == 1])


def axes(summary: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of numeric keys over which there are setups enough for a map, the one with more values
    first.
    """
    numeric = [
        key
        for key in keys_of(summary)
        if is_numeric(summary[key]) and not summary[key].isna().any()
    ]
    pairs = []
    for x, y in combinations(numeric, 2):
        wide, high = summary[x].nunique(), summary[y].nunique()
        others = [key for key in keys_of(summary) if key not in (x, y)]
        twice = (
            summary[[x, y, *others]].duplicated().any()
        )  # setups that differ in what is no key as written
        if (
            2 * len(summary[[x, y]].drop_duplicates()) > wide * high
            and not twice
            and _is_plane(summary, x, y, others)
        ):
            pairs.append((x, y) if wide >= high else (y, x))
    return pairs


def _is_plane(summary: pd.DataFrame, x: str, y: str, others: list[str]) -> bool:
    """Whether in some setting of the others two values of one key meet the same two of the other:
    else there are but lines.
    """
    groups = [rows for _, rows in summary.groupby(others, dropna=False)] if others else [summary]
    for rows in groups:
        there = pd.crosstab(rows[x], rows[y]).to_numpy() > 0
        if (np.triu(there.astype(int) @ there.T.astype(int), 1) >= 2).any():
            return True
    return False


def curved(summary: pd.DataFrame) -> list[str]:
    """Numeric keys of which there are many values where the other keys are alike."""
    found = []
    for each in keys_of(summary):
        others = [key for key in keys_of(summary) if key != each]
        if not is_numeric(summary[each]) or summary[each].isna().any():
            continue
        values = (
            summary.groupby(others, dropna=False)[each].nunique().max()
            if others
            else summary[each].nunique()
        )
        if values >= CURVED:
            found.append(each)
    return found


def mapped(summary: pd.DataFrame) -> tuple[str, str] | None:
    """The two keys of a summary that is one map, and large enough to have lines in it."""
    if len(keys_of(summary)) != 2 or not (pairs := axes(summary)):
        return None
    x, y = pairs[0]
    return (x, y) if min(summary[x].nunique(), summary[y].nunique()) >= MAPPED else None


def critical(summary: pd.DataFrame, x: str, y: str, name: str = "converged") -> pd.DataFrame:
    """Where half of the runs have an outcome, along a key, for each value of another.

    Parameters: `summary`, one row for each pair of values of the two keys; `name` of a share in it.
    Returns one row for each value of `y` and place where the share surely passes one half: `y`;
    `x`, by straight lines between shares, over the logarithm of a key whose values are positive and
    span a factor of ten; `x_low` and `x_high`, the nearest values beside it at which one half is
    outside the share's 95% interval; `rising`, whether the share is more than one half above it. Of
    whole numbers `x` is the first or last of them with at least one half.
    """
    found = []
    for value, rows in summary.groupby(y):
        own = rows.iloc[rows[x].astype(float).argsort(kind="stable")]
        values = own[x].to_numpy(float)
        log = bool(values[0] > 0 and values[-1] >= 10 * values[0])
        scale = np.log(values) if log else values
        for each in crossings(own[f"{name}_share"], own[f"{name}_low"], own[f"{name}_high"]):
            at = each.at
            if pd.api.types.is_integer_dtype(own[x]):  # there is nothing between whole numbers
                at = np.ceil(at) if each.rising else np.floor(at)
            places = np.interp([at, each.low, each.high], np.arange(len(values)), scale)
            found.append((value, *(np.exp(places) if log else places), each.rising))
    return pd.DataFrame(found, columns=[y, x, f"{x}_low", f"{x}_high", "rising"])


def landscape(summary: pd.DataFrame, constant_at_start: pd.Series[Any] | None = None) -> list[str]:
    """What is seen in a map, in paragraphs; none where the setups are no map.

    Parameters: `summary`, what `tables.summary` or `shaped` returned; `constant_at_start`, for each of its rows
    the share of runs that were as constant as collapsed ones are before their first update.
    """
    keys = mapped(summary)
    if not keys:
        return []
    x, y = keys
    values = sorted(summary[y].unique(), key=float)
    best = summary[y].iloc[int(np.argmax(summary["converged_share"]))]
    shown = sorted({*(values[i] for i in evenly(len(values), 3).tolist()), best}, key=float)
    lines, walls = (critical(summary, x, y, name) for name in ("converged", "constant"))
    first = f"Half of the runs or more converge: {_over(summary, lines, x, y, shown, 'converged')}. {_widest(summary, x, y)}"
    many = summary["constant_share"] >= _HALF
    collapsed = summary["collapsed_share"] >= _HALF
    second = (
        f"In {plain(int(many.sum()))} of {plural(len(summary), 'setup')} half of the runs or more give the same answer to every "
        f"input, in {plain(int(collapsed.sum()))} of these their outputs are collapsed to a constant."
    )
    if many.any():
        second += f" They do so: {_over(summary, walls, x, y, shown, 'constant')}."
    if constant_at_start is not None:
        at_birth = [
            f"{percent(float(constant_at_start[summary[y] == value].mean()))} with {y} {named(value)}"
            for value in shown
        ]
        second += f" Before the first update so many networks are as constant: {and_(at_birth)}."
    return [first, second]


def _over(
    summary: pd.DataFrame, lines: pd.DataFrame, x: str, y: str, values: Sequence[Any], name: str
) -> str:
    """For some values of a key, where along the other half of the runs or more have an outcome."""
    spans = [
        _spans(summary[summary[y] == value], lines[lines[y] == value], x, name) for value in values
    ]
    return "; ".join(
        f"with {y} {named(value)}, {span}" for value, span in zip(values, spans, strict=True)
    )


def _spans(rows: pd.DataFrame, lines: pd.DataFrame, x: str, name: str) -> str:
    """The same for one value: `from lr 0.28 [0.22, 0.32] to 26 [22, 32]`."""
    shares = rows[f"{name}_share"]
    if lines.empty:
        most, least = float(shares.max()), float(shares.min())
        if least >= _HALF:
            return f"at every {x}"
        if most >= _HALF:
            return f"at some {x}, but surely more and surely fewer nowhere ({percent(least)} to {percent(most)})"
        return f"at no {x}" + (
            f" (at most {percent(most)}, with {x} {named(rows[x].iloc[int(shares.argmax())])})"
            if most
            else ""
        )
    texts, opened = [], ""
    for i, line in enumerate(lines.to_dict("records")):
        at = f"{line[x]:.3g} [{line[f'{x}_low']:.3g}, {line[f'{x}_high']:.3g}]"
        if line["rising"]:
            opened = f"from {x} {at}"
            if i == len(lines) - 1:
                texts.append(f"{opened} on")
        else:
            texts.append(f"{opened} to {at}" if opened else f"up to {x} {at}")
            opened = ""
    return and_(texts)


def _widest(summary: pd.DataFrame, x: str, y: str) -> str:
    """How much of the map is on the good side, and where in it runs converge soonest."""
    good = summary[summary["converged_share"] >= _HALF]
    if good.empty:
        return "In no setup do half of the runs converge."
    soon = good[good["updates_median"].notna()]
    text = f"That is so in {plain(len(good))} of {plural(len(summary), 'setup')}"
    if len(soon):
        row = soon.iloc[int(np.argmin(soon["updates_median"].astype(int)))]
        text += (
            f", and soonest with {x} {named(row[x])}, {y} {named(row[y])}: half had converged after "
            f"{plural(int(row['updates_median']), 'update')}"
        )
    return f"{text}."


def gaps(rows: pd.DataFrame, keys: Sequence[str]) -> bool:
    """Whether some pair of values has no setup."""
    return len(rows) < int(np.prod([rows[key].nunique() for key in keys]))
