"""What changes of a setup do to the same seeds, as a table: one row a change, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.statistics.paired import holm, mcnemar, tango
from fastbp.analysis.summary import ALPHA
from fastbp.config.setup import Setup
from fastbp.diagnosis.candidates import OWN
from fastbp.diagnosis.trials import Measured
from fastbp.kernels import measures as m
from fastbp.schema.outcomes import CONSTANT, OUTCOMES

NEARLY = 0.75
"""Of the share that the best change fixes."""

PLACEBO = "placebo"
"""The cause of the change that changes nothing."""


class ChangeEffect(NamedTuple):
    """A change that was tried: its name, what is wrong if it fixes, its setup, and its runs."""

    name: str
    cause: str
    setup: Setup
    runs: Measured


def table(setup: Setup, base: Measured, rows: Sequence[ChangeEffect]) -> pd.DataFrame:
    """One row per change: what it does to the seeds of `base`, and what it costs beside `setup`."""
    before = base.converged()
    after = (
        np.stack([row.runs.converged() for row in rows])
        if rows
        else np.empty((0, len(before)), bool)
    )
    fixed, broken = (after & ~before).sum(axis=1), (before & ~after).sum(axis=1)
    low, high = tango(fixed, broken, len(before))
    p = mcnemar(fixed, broken)
    constant = [OUTCOMES.index(outcome) for outcome in CONSTANT]
    costs = np.array([_costs(row.setup) for row in rows]).reshape(-1, 2) / _costs(setup)
    return pd.DataFrame(
        {
            "change": [row.name for row in rows], "cause": [row.cause for row in rows], "pairs": len(before),
            "fixed": fixed, "broken": broken, "converged": after.sum(axis=1),
            "constant": [int(np.isin(row.runs.codes, constant).sum()) for row in rows],
            "loss": [_loss(row.runs) for row in rows],
            "difference": (fixed - broken) / max(len(before), 1), "difference_low": low, "difference_high": high,
            "p": p, "p_holm": holm(p), "presentations": costs[:, 0], "multiply_adds": costs[:, 1],
        }
    )  # fmt: skip


def _loss(runs: Measured) -> float:
    """The median loss that runs end with; ∞ of those that diverge."""
    loss = runs.end[m.LOSS]
    return float(np.median(np.where(np.isfinite(loss), loss, np.inf)))


def nothing() -> pd.DataFrame:
    """The table of no change at all."""
    return pd.DataFrame(
        {
            name: pd.Series(dtype=object if name in ("change", "cause") else bool if name == "fixes" else float)
            for name in (
                "change", "cause", "pairs", "fixed", "broken", "converged", "constant", "loss", "difference",
                "difference_low", "difference_high", "p", "p_holm", "presentations", "multiply_adds", "fixes",
            )
        }
    )  # fmt: skip


def _costs(setup: Setup) -> tuple[float, float]:
    """Presentations of a run, and a number that goes with its multiply-adds."""
    presentations = float(setup.budget) * setup.batch_rows
    return presentations, presentations * setup.parameters


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """By the share fixed less the share broken, at a tie by cost, then as they were tried; and
    whether each `fixes`.

    An effect is what `p_holm` shows and what is beyond the placebo's interval. First is the
    cheapest of those that are as good as the best, as far as is seen: that lie within its interval.
    Before these come, where they do NEARLY as well, those that undo what somebody chose to do and
    others do without: it is then the first thing that they want to hear.
    """
    placebo = table[table["cause"] == PLACEBO]
    least = max(0.0, float(placebo["difference_high"].max())) if len(placebo) else 0.0
    table = table.assign(fixes=(table["p_holm"] < ALPHA) & (table["difference_low"] > least))
    if not table["fixes"].any():
        return _sorted(table, np.ones(len(table), bool))
    best = table["difference"].to_numpy().argmax()
    alike = (
        table["fixes"].to_numpy()
        & (table["difference"] >= table["difference_low"].iloc[best]).to_numpy()
    )
    own = (
        table["fixes"]
        & table["cause"].isin(OWN)
        & (table["difference"] >= NEARLY * table["difference"].iloc[best])
    )
    alike = own.to_numpy() if own.any() else alike
    cheapest = table["multiply_adds"].round(2).to_numpy()
    cheapest = alike & (cheapest == cheapest[alike].min())
    first = np.flatnonzero(cheapest)[table["difference"].to_numpy()[cheapest].argmax()]
    return _sorted(table, np.arange(len(table)) != first)


def _sorted(table: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    keys = [later, -table["difference"].to_numpy(), table["multiply_adds"].round(2).to_numpy()]
    return table.iloc[np.lexsort(keys[::-1])].reset_index(drop=True)
