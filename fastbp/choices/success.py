"""Success: what a network must reach to count as converged.

Every function returns the `Goal` that evaluations compare networks with. `tolerance` is the key of
the setup. What final measures must reach stands in `fastbp.schema.outcomes.SUCCESS`.
"""

from typing import Annotated

from annotated_types import Gt, Le

from fastbp.kernels.goals import Goal

Share = Annotated[float, Gt(0), Le(1)]


def rows(tolerance: float) -> Goal:
    """Every output of every row is within the tolerance of its target (Fahlman 1988)."""
    return Goal("rows", tolerance)


def accuracy(tolerance: float, share: Share) -> Goal:
    """At least this share of the rows has the right class in every label target.

    A label with one output unit is right on its side of the middle of the target range; one with a
    unit for each class is right where the unit of its class has the largest output, the first of
    equal ones.
    """
    return Goal("accuracy", share)


def r2(tolerance: float, level: Share) -> Goal:
    """R² is at least this: the mean of 1 − Σ(o − t)² ÷ Σ(t − mean t)² over quantities."""
    return Goal("r2", level)


def loss(tolerance: float, level: Annotated[float, Gt(0), Le(1e6)]) -> Goal:
    """The loss, the mean over rows that training minimises, is at most this."""
    return Goal("loss", level)
