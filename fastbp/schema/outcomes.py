"""How a run can end: the words that files, tables, pictures and pages share."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Outcome(StrEnum):
    """The state of a network at the end of its run, in the order in which the cases are decided."""

    DIVERGED = "diverged"
    CONVERGED = "converged"
    COLLAPSED = "collapsed"
    ONE_CLASS = "one-class"
    PARTIAL = "partial"


OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)

MEANINGS: dict[Outcome, str] = {
    Outcome.DIVERGED: "a weight is no longer a finite number",
    Outcome.CONVERGED: "every output of every row is within the tolerance of its target",
    Outcome.COLLAPSED: "the network gives (nearly) the same answer to every row",
    Outcome.ONE_CLASS: "the outputs vary, but every row falls on the same side of the middle: the same decision for every input",
    Outcome.PARTIAL: "the network tells some rows apart, but not all of them as it should",
}

CONSTANT: tuple[Outcome, Outcome] = (Outcome.COLLAPSED, Outcome.ONE_CLASS)
"""The outcomes that people mean by "the same answer to everything"."""


def classify(
    max_error: NDArray[np.float64],
    spread: NDArray[np.float64],
    one_sided: NDArray[np.bool_],
    tolerance: float,
    collapse: float,
) -> NDArray[np.int8]:
    """Decide the outcome of each run from its measures.

    Parameters: `max_error` and `spread`, float64 [run], as shares of the target range, NaN where a
    weight is not finite; `one_sided`, bool [run]; `tolerance` and `collapse`, shares of the target
    range. Where every output unit has a constant target, `spread` is NaN and `one_sided` false, so
    neither collapsed nor one-class is ever given.

    Returns int8 [run]: positions in `OUTCOMES`.
    """
    cases = [np.isnan(max_error), max_error <= tolerance, spread < collapse, one_sided]
    return np.select(cases, [np.int8(i) for i in range(len(cases))], np.int8(len(cases)))
