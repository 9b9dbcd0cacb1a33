"""What each change does: the table of changes, and the measure by which they are judged."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.statistics.paired import holm, mcnemar, tango
from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import ALPHA
from fastbp.config.setup import Setup
from fastbp.diagnosis.candidates import CUSTOM
from fastbp.diagnosis.trials import CONTROL, ChangeEffect, MeasuredRuns
from fastbp.kernels import measures as m
from fastbp.schema.columns import SCORES

UNSEEN = 0.005
"""A smaller change of a mean score is no change in print."""

NEARLY = 0.75
"""Removing an unusual setting is listed first if it has this share of the best change's effect."""


def headline(setup: Setup, base: MeasuredRuns, rows: Sequence[ChangeEffect]) -> str:
    """Choose the measure by which changes are judged.

    "success", unless constant answers are common and no change makes most seeds converge, or no
    change makes more seeds converge at all: then "constant" or else a score, the first of them
    that some change improves. Of quantities the score comes first: with a wrong scale of the
    targets any varying answer helps little.
    """
    if float(wilson(int(base.converged().sum()), base.runs)[0]) >= 0.5:
        return "success"  # most seeds converge: a better score needs no change
    success = effects(base, rows, "success")
    reached = success.loc[success["fixes"], "level"].max() if success["fixes"].any() else 0.0
    low, _ = wilson(int(base.constant().sum()), base.runs)
    common = float(low) > COMMON_CONSTANT
    if reached >= 0.5 or (reached and not common):
        return "success"
    others = ["constant"] * common + ["success" if reached else score_of(setup)]
    others = others if setup.groups else [score_of(setup), *others]
    return next((each for each in others if effects(base, rows, each)["fixes"].any()), "success")


def score_of(setup: Setup) -> str:
    """The score that grades networks of a setup below success.

    It is "accuracy" or "r2", with "test_" before it if success is judged on held-out rows.
    """
    return "test_" * (setup.success_on == "test") + ("accuracy" if setup.groups else "r2")


COMMON_CONSTANT = 0.2
"""Constant answers are common if the interval of their share lies above this."""


def effects(
    base: MeasuredRuns, rows: Sequence[ChangeEffect], measure: str, *also: str
) -> pd.DataFrame:
    """Tabulate what each change does to the seeds of `base`, the runs of the setup.

    `pairs`: the number of seeds. `fixed`, `broken`: seeds that are better with the change, or
    worse, by the measure: "success", "constant" or one of `SCORES`. `converged`, `constant`: runs
    with the change that converge, or give every row the same answer. `SCORES`, `loss`: their
    medians; a run that diverged has a loss of ∞. `level`: their mean by the measure, a share or a
    score. `difference`: of the level to that without the change, with a 95% interval from
    `difference_low` to `difference_high`: Tango's for shares, the normal one for scores. `p`,
    `p_holm`: of McNemar's test on fixed and broken, and corrected by Holm for several changes.
    `presentations`, `multiply_adds`: the cost of a run relative to the setup's. `fixes`: whether
    `p_holm` shows an effect, and the intervals of the differences to the setup and to the control,
    over the same seeds, lie above 0, and of scores above `UNSEEN`, by the measure and by each of
    `also`. The rows are sorted as in `_ranked`.
    """
    table = _table(base, rows, measure)
    for each in also:
        table["fixes"] &= _table(base, rows, each)["fixes"]
    return _ranked(table)


def _table(base: MeasuredRuns, rows: Sequence[ChangeEffect], measure: str) -> pd.DataFrame:
    """The table of `effects` by one measure, in the order of the rows."""
    n, before = base.runs, base.values(measure)
    after = np.array([row.runs.values(measure) for row in rows]).reshape(len(rows), n)
    fixed, broken = (after > before).sum(axis=1), (after < before).sum(axis=1)
    difference, low, high = _interval(after - before, measure)
    # Other random orders alone may do as much: the control, where there is one, is the rival.
    controls = [row.runs.values(measure) for row in rows if row.cause == CONTROL]
    beyond = _interval(after - controls[0], measure)[1] if controls else low
    losses = [np.nan_to_num(row.runs.end[m.LOSS], nan=np.inf, posinf=np.inf) for row in rows]
    p, seen = mcnemar(fixed, broken), UNSEEN * (measure in SCORES)
    costs = np.array([row.cost for row in rows]).reshape(-1, 2)
    return pd.DataFrame(
        {
            "change": np.array([row.name for row in rows], object),
            "cause": np.array([row.cause for row in rows], object),
            "pairs": n,
            "fixed": fixed,
            "broken": broken,
            "converged": [int(row.runs.converged().sum()) for row in rows],
            "constant": [int(row.runs.constant().sum()) for row in rows],
            **{name: [row.runs.median(name) for row in rows] for name in SCORES},
            "loss": [float(np.median(each)) for each in losses],
            "level": after.sum(axis=1) / max(n, 1),
            "difference": difference,
            "difference_low": low,
            "difference_high": high,
            "p": p,
            "p_holm": holm(p),
            "presentations": costs[:, 0],
            "multiply_adds": costs[:, 1],
            "fixes": (holm(p) < ALPHA) & (np.minimum(low, beyond) > seen),
        }
    )


def _interval(moved: NDArray[np.float64], measure: str) -> tuple[NDArray[np.float64], ...]:
    """The means of differences [change, run] in a measure, and the ends of their 95% intervals."""
    n = moved.shape[1]
    mean = moved.sum(axis=1) / max(n, 1)
    if measure in ("success", "constant"):
        return mean, *tango((moved > 0).sum(axis=1), (moved < 0).sum(axis=1), n)
    error = 1.96 * moved.std(axis=1, ddof=min(1, n - 1)) / n**0.5 if n else np.zeros(len(moved))
    return mean, mean - error, mean + error


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Sort changes by effect, then cost.

    The first row is the cheapest change within the interval of the best, of those that fix it. If
    removing a setting that few people choose does NEARLY as well, it comes first, since people want
    to hear of it first.
    """
    fixes, table = table["fixes"], table.assign(later=1, cost=table["multiply_adds"].round(2))
    if fixes.any():
        difference = table["difference"]
        best = table.iloc[np.nanargmax(difference.where(fixes))]
        good = fixes & (difference >= best["difference_low"])
        custom = fixes & table["cause"].isin(CUSTOM) & (difference >= NEARLY * best["difference"])
        good = custom if custom.any() else good
        cheapest = good & (table["cost"] == table.loc[good, "cost"].min())
        table.loc[difference[cheapest].idxmax(), "later"] = 0
    return table.sort_values(
        ["later", "difference", "cost"], ascending=[True, False, True], ignore_index=True
    ).drop(columns=["later", "cost"])
