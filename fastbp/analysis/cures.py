"""How often networks collapse, by what they are made of: at their best rate, and at any rate."""

import pandas as pd

from fastbp.analysis.summary import keys_of
from fastbp.schema.outcomes import OUTCOMES

MADE_OF = ("activation", "optimizer", "output", "init")
"""The keys that cures change, by their weight: what a network is made of, and how it learns."""


def cure_keys(summary: pd.DataFrame) -> list[str]:
    """The keys of `MADE_OF` that vary; empty unless several do, and of these the first two."""
    keys = [key for key in MADE_OF if key in keys_of(summary)]
    return keys[:2] if len(keys) > 1 else []


def at_best_rate(summary: pd.DataFrame) -> pd.DataFrame:
    """Of each network, by all keys but the rate, the setup with the rate that converges most often.

    Of equal rates the one with the fewest constant answers counts, then the first. `summary`: a
    result of `summary`.
    """
    others = [key for key in keys_of(summary) if key != "lr"]
    ranked = summary.sort_values(
        ["converged_share", "constant_share"], ascending=[False, True], kind="stable"
    )
    best = ranked.groupby(others, dropna=False, sort=False).head(1) if others else ranked.head(1)
    return best.sort_index()


def pooled(summary: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add up the runs of all setups with the same values of some keys.

    Returns
    -------
    DataFrame
        A row for each combination of their values, in the order of `summary`: the keys, `runs`, and
        the number of runs with each outcome and with constant answers.
    """
    counts = ["runs", *(outcome.column for outcome in OUTCOMES), "constant"]
    rows: pd.DataFrame = summary.groupby(keys, dropna=False, sort=False)[counts].sum()
    return rows.reset_index()


def over_rates(summary: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The smallest and the largest share of constant answers over the rates, pooled by keys.

    Returns a row for each combination of the values of the keys, in the order of `summary`: the
    keys, `least` and `most`. A network without a rate has the same share for both.
    """
    rows = pooled(summary, [*keys, "lr"]) if "lr" in keys_of(summary) else pooled(summary, keys)
    rows["share"] = rows["constant"] / rows["runs"]
    return (
        rows.groupby(keys, dropna=False, sort=False)["share"]
        .agg(least="min", most="max")
        .reset_index()
    )
