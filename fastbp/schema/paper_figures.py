"""What papers print of many runs: the words that sweep files, tables and pages share. Times are in
epochs.
"""

from typing import Literal, get_args

Figure = Literal["success", "mean", "sd", "median", "harmonic", "efficiency", "limit"]

FIGURES: tuple[Figure, ...] = get_args(Figure)

MEANINGS: dict[Figure, str] = {
    "success": "share of runs that some look found converged within the budget, 0 to 1",
    "mean": "mean epochs to convergence, over the runs that converged",
    "sd": "standard deviation of the epochs to convergence, over the runs that converged",
    "median": "the epoch by which half of the runs that converged had done so",
    "harmonic": "harmonic mean of the epochs to convergence, over all runs: one that did not converge adds 0 to the mean of 1/t",
    "efficiency": "successes in 1,000 epochs where runs are given up at the best time and drawn anew",
    "limit": "that best time, in epochs",
}

EvaluatedWhen = Literal["after", "before"]
"""Whether outputs are looked at after the updates of an epoch or, as the pass before them computes
them, one epoch later."""

MAX_RUNS = 10**9
"""Runs behind a figure."""
