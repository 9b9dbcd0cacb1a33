"""How a run can end: each outcome with its name, colour, place in bars, meaning and verb."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Outcome(StrEnum):
    """The state of a network at the end of its run. The first outcome that applies counts.

    The colours are from the palette of M. Okabe and K. Ito (2008), which people with any kind of
    colour vision can distinguish. Black text on each has a contrast of at least 5.
    """

    colour: str
    """Its colour in every picture and page, as `#RRGGBB`."""
    place: int
    """Its place in stacked bars, counted from 0 on the left."""
    meaning: str
    """What it means, in one sentence without its subject or full stop."""
    verb: str
    """What runs with this outcome do, as in "90% of runs …"."""

    DIVERGED = "diverged", "#CC79A7", 4, "a weight is no longer a finite number", "diverge"
    CONVERGED = (
        "converged",
        "#009E73",
        0,
        "every output of every row is within the tolerance of its target",
        "converge",
    )
    COLLAPSED = (
        "collapsed",
        "#D55E00",
        3,
        "the network gives (nearly) the same answer to every row",
        "collapse to a constant",
    )
    ONE_CLASS = (
        "one-class",
        "#E69F00",
        2,
        "the outputs vary, but every row falls on the same side of the middle: "
        "the same decision for every input",
        "give every input the same decision",
    )
    PARTIAL = (
        "partial",
        "#56B4E9",
        1,
        "the network tells some rows apart, but not all of them as it should",
        "end partial, telling some rows apart but not all as they should",
    )

    def __new__(
        cls, name: str, colour: str = "", place: int = 0, meaning: str = "", verb: str = ""
    ) -> "Outcome":
        """Make a row of the table. Type checkers need the defaults for `Outcome(name)`."""
        outcome = str.__new__(cls, name)
        outcome._value_ = name
        outcome.colour, outcome.place = colour, place
        outcome.meaning, outcome.verb = meaning, verb
        return outcome

    @property
    def column(self) -> str:
        """The column of summary tables that has the number of runs with this outcome."""
        return self.value.replace("-", "_")


OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
"""All outcomes. Row digests depend on this order."""

STACKED: tuple[Outcome, ...] = tuple(sorted(Outcome, key=lambda outcome: outcome.place))
"""All outcomes in the order of stacked bars, from the left: the constant ones are neighbours."""

CONSTANT: tuple[Outcome, Outcome] = (Outcome.COLLAPSED, Outcome.ONE_CLASS)
"""The outcomes in which a network gives the same answer to every input."""


def classify(
    max_error: NDArray[np.float64],
    spread: NDArray[np.float64],
    one_sided: NDArray[np.bool_],
    tolerance: float,
    collapse: float,
) -> NDArray[np.int8]:
    """Decide the outcome of each run from its measures.

    Parameters
    ----------
    max_error, spread : float64 array [run]
        The largest |output − target|, and the largest difference between two rows in one output:
        both as shares of the target range, NaN where a weight is not finite.
    one_sided : bool array [run]
        Whether in every output unit all rows lie on one side of the middle of the target range.
    tolerance, collapse : float
        The keys of the setup, as shares of the target range.

    Returns
    -------
    int8 array [run]
        Positions in `OUTCOMES`. Where every output unit has a constant target, `spread` is NaN and
        `one_sided` false, so no run is collapsed or one-class.
    """
    cases = [np.isnan(max_error), max_error <= tolerance, spread < collapse, one_sided]
    return np.select(cases, [np.int8(i) for i in range(len(cases))], np.int8(len(cases)))
