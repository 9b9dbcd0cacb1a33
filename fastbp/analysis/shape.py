"""The width and the depth of networks, as numbers."""

import pandas as pd

SHAPE = ("width", "depth")
"""Names of columns: the units of the largest hidden layer, and the number of hidden layers."""


def with_shape(summary: pd.DataFrame) -> pd.DataFrame:
    """Insert the columns `SHAPE` after `hidden`, which is a column of a summary if it varies."""
    if "hidden" not in summary or SHAPE[0] in summary:
        return summary
    layers = [[*map(int, str(value).split("-"))] for value in summary["hidden"]]
    result, place = summary.copy(), list(summary.columns).index("hidden") + 1
    result.insert(place, "depth", [len(each) for each in layers])
    result.insert(place, "width", [max(each) for each in layers])
    return result
