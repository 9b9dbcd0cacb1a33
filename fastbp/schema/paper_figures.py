"""The kinds of figures that papers print about many runs. Times are in epochs."""

from typing import Literal, get_args

Figure = Literal["success", "mean", "sd", "median", "harmonic", "efficiency", "limit"]

FIGURES: tuple[Figure, ...] = get_args(Figure)
"""All kinds of figures."""

MEANINGS: dict[Figure, str] = {
    "success": "share of runs that converged within the budget, 0 to 1",
    "mean": "mean epochs to convergence, over the runs that converged",
    "sd": "standard deviation of the epochs to convergence, over the runs that converged",
    "median": "the epoch by which half of the runs that converged had done so",
    "harmonic": "harmonic mean of the epochs to convergence, over all runs: "
    "a run that did not converge adds 0 to the mean of 1/t",
    "efficiency": "successes in 1,000 epochs, if runs are stopped at the best time and restarted",
    "limit": "that best time, in epochs",
}

EvaluatedWhen = Literal["after", "before"]
"""Whether a paper evaluates outputs after the updates of an epoch, or in the forward pass before
them. The latter shows a success one epoch later."""

MAX_RUNS = 10**9
"""The most runs that a figure may be about."""

MAX_PRINTED = 10.0**12
"""The largest printed number, uncertainty or bound."""

MAX_FIGURES = 1000
"""The most figures of a sweep."""

MAX_COMPARED = 10_000
"""The most setups that the figures of a sweep are compared with, counted for each figure."""
