"""How a run can end: each outcome with its name, colour, place in bars, meaning and verb."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

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
        "the network reaches what the key `success` asks for",
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


class Success(NamedTuple):
    """What the key `success` compares."""

    column: str
    """The column of the table of runs."""
    at_most: bool
    """Whether the column must be at most the level; otherwise it must be at least the level."""
    meaning: str
    """What a converged run does, in words, with the level as {}."""


SUCCESS: dict[str, Success] = {
    "rows": Success(
        "max_error", True, "every output of every row is within the tolerance of its target"
    ),
    "accuracy": Success("accuracy", False, "at least {} of the rows get the right answer"),
    "r2": Success("r2", False, "R² is at least {}"),
    "loss": Success("loss", True, "the loss is at most {}"),
}
"""By the name of a choice of `success`."""

MEASURED = ("max_error", "spread", "one_sided")
"""Columns on which every outcome depends."""

DECISIVE: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *MEASURED,
            *(each.column for each in SUCCESS.values()),
            *("test_accuracy", "test_r2", "test_loss"),
        )
    )
)
"""All columns on which an outcome may depend."""

JUDGING = ("success", "success_on", "tolerance", "collapse")
"""Keys of a setup on which outcomes depend."""


def classify(measures: Mapping[str, NDArray[Any]], keys: Mapping[str, Any]) -> NDArray[np.int8]:
    """Decide the outcome of each run from its measures.

    Parameters
    ----------
    measures : mapping from name to array [run]
        Of the columns `DECISIVE` the first three and that of the criterion of success: numbers, NaN
        where a weight is not finite; `one_sided` is bool, or 1 and 0.
    keys : mapping from name to value
        The keys `JUDGING` of the setup.

    Returns
    -------
    int8 array [run]
        Positions in `OUTCOMES`. A network that gives every row the same answer has converged only
        under `success = "rows"`. Where every output unit has a constant target, `spread` is NaN
        and `one_sided` false, so no run is collapsed or one-class.

    Raises
    ------
    ValueError
        If `keys` are not those of any setup.
    """
    try:
        name, _, level = keys["success"].partition(":")
        limit = float(keys["tolerance"] if name == "rows" else level)
        column, collapse = SUCCESS[name].column, float(keys["collapse"])
        value = measures[f"test_{column}" if keys["success_on"] == "test" else column]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError("success, tolerance or collapse are not those of a setup") from error
    cases = {
        Outcome.DIVERGED: np.isnan(measures["max_error"]),
        Outcome.CONVERGED: value <= limit if SUCCESS[name].at_most else value >= limit,
        Outcome.COLLAPSED: measures["spread"] < collapse,
        Outcome.ONE_CLASS: measures["one_sided"] == 1,
    }
    if name != "rows":
        cases[Outcome.CONVERGED] = cases.pop(Outcome.CONVERGED)
    return np.select(
        [*cases.values()],
        [np.int8(OUTCOMES.index(outcome)) for outcome in cases],
        np.int8(OUTCOMES.index(Outcome.PARTIAL)),
    )
