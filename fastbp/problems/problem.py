"""What a setup is trained on: inputs and targets of a problem, scaled, with the target margin.

A problem comes from a function of `fastbp.choices.problems` or from a file
(`fastbp.problems.targets`): either way it is a `Source`, a function and its arguments, so that the
same few caches serve both.
"""

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Source = tuple[Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]], tuple[Any, ...]]
"""The function that makes a problem, and its arguments."""


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
    """Names for a problem without: x0, x1 and so on, t0, t1 and so on."""
    return Names(tuple(f"x{i}" for i in range(inputs)), tuple(f"t{k}" for k in range(outputs)))


def problem(X: NDArray[Any], T: NDArray[Any]) -> Problem:
    """X and T as float64, contiguous, read-only, without −0.0."""
    made = Problem(
        np.ascontiguousarray(X, np.float64) + 0.0, np.ascontiguousarray(T, np.float64) + 0.0
    )
    for part in made:
        part.flags.writeable = False
    return made


@lru_cache(maxsize=100_000)
def shape(function: Callable[..., Any], values: tuple[Any, ...]) -> tuple[int, int, int]:
    """Rows, inputs and outputs of a source."""
    X, T = function(*values)
    return len(X), X.shape[1], T.shape[1]


@lru_cache(maxsize=8)
def prepared(
    function: Callable[..., Any], values: tuple[Any, ...], scale_inputs: str, target_margin: float
) -> Problem:
    """A source as it is trained on. Only the last few are cached: a large one takes 16 MB."""
    X, T = function(*values)
    if scale_inputs != "none":
        X = np.column_stack([_scaled(column, scale_inputs) for column in X.T])
    return problem(X, (1.0 - T) * target_margin + T * (1.0 - target_margin))  # exact at both ends


@lru_cache(maxsize=4096)
def digest(
    function: Callable[..., Any], values: tuple[Any, ...], scale_inputs: str, target_margin: float
) -> str:
    """The digest of `prepared`."""
    return prepared(function, values, scale_inputs, target_margin).digest


def _scaled(column: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    """One input column with mean 0 and σ 1, or from 0 to 1; a constant one becomes 0.

    Sums are rounded exactly, so that they do not depend on the order of rows.
    """
    low, high = column.min(), column.max()
    if how == "minmax":
        shift, unit = float(low), float(high - low)
    else:
        shift = math.fsum(column.tolist()) / len(column)
        unit = math.sqrt(math.fsum(((column - shift) ** 2).tolist()) / len(column))
    if low == high or unit == 0.0:
        return np.zeros_like(column)
    return (column - shift) / unit
