"""The data of a setup: inputs and targets of its problem, scaled, with the target margin.

A problem comes from a function of `fastbp.choices.problems` or from a file
(`fastbp.problems.targets`). Both are a `Source`, a function and its arguments, so that the same
caches serve both.
"""

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Source = tuple[Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]], tuple[Any, ...]]
"""The function that returns X and T of a problem, and its arguments."""


class Problem(NamedTuple):
    """Inputs X, float64 [row, input], and targets T, float64 [row, output]; both read-only."""

    X: NDArray[np.float64]
    T: NDArray[np.float64]

    @property
    def digest(self) -> str:
        """sha256, 64 hex digits, over X and T.

        Hashed are the numbers of rows, inputs and outputs as int64, then X and T as float64, all
        little-endian.
        """
        shape = np.array([*self.X.shape, self.T.shape[1]], "<i8")
        hasher = hashlib.sha256()
        for part in (shape, self.X, self.T):
            hasher.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).data)
        return hasher.hexdigest()


class Names(NamedTuple):
    """Names of the columns of X and of T."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def numbered(inputs: int, outputs: int) -> Names:
    """Names for the columns of a problem that has no names: x0, x1, …, and t0, t1, …."""
    return Names(tuple(f"x{i}" for i in range(inputs)), tuple(f"t{k}" for k in range(outputs)))


def problem(X: NDArray[Any], T: NDArray[Any]) -> Problem:
    """Make a problem of X and T: float64, contiguous, read-only, without −0.0."""
    made = Problem(
        np.ascontiguousarray(X, np.float64) + 0.0, np.ascontiguousarray(T, np.float64) + 0.0
    )
    for part in made:
        part.flags.writeable = False
    return made


@lru_cache(maxsize=100_000)
def shape(function: Callable[..., Any], values: tuple[Any, ...]) -> tuple[int, int, int]:
    """The numbers of rows, inputs and outputs of the problem that `function(*values)` makes."""
    X, T = function(*values)
    return len(X), X.shape[1], T.shape[1]


@lru_cache(maxsize=8)
def prepared(
    function: Callable[..., Any], values: tuple[Any, ...], scale_inputs: str, target_margin: float
) -> Problem:
    """Make the problem of `function(*values)`, scale its inputs, and apply the target margin.

    A target t becomes (1 − t)·m + t·(1 − m) with the margin m. Only a few problems are cached, as
    they may be large.
    """
    X, T = function(*values)
    if scale_inputs != "none":
        X = np.column_stack([_scaled(column, scale_inputs) for column in X.T])
    return problem(X, (1.0 - T) * target_margin + T * (1.0 - target_margin))  # exact at both ends


@lru_cache(maxsize=4096)
def digest(
    function: Callable[..., Any], values: tuple[Any, ...], scale_inputs: str, target_margin: float
) -> str:
    """The digest of the problem that `prepared` makes of the same arguments."""
    return prepared(function, values, scale_inputs, target_margin).digest


def _scaled(column: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    """Scale an input column to mean 0 and σ 1, or to 0…1; a constant column becomes 0.

    Sums are correctly rounded, so that they do not depend on the order of rows.
    """
    low, high = column.min(), column.max()
    if how == "minmax":
        shift, unit = float(low), float(high - low)
    else:
        shift = math.fsum(column.tolist()) / len(column)
        unit = math.sqrt(math.fsum(((column - shift) ** 2).tolist()) / len(column))
    constant = low == high or unit == 0.0
    return np.zeros_like(column) if constant else (column - shift) / unit
