"""What networks must reach, and the targets that their outputs are compared with."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Goal(NamedTuple):
    """What a network must reach to count as converged."""

    success: str
    """The criterion, by the name of a choice of `success`."""
    level: float
    """What it must reach; of "rows" the tolerance, as a share of the target range."""


class Targets(NamedTuple):
    """What outputs are compared with."""

    values: NDArray[np.float64]
    """[row, output]."""
    ranges: NDArray[np.float64]
    """Per output, max − min of its targets; 1 where they are constant."""
    middles: NDArray[np.float64]
    """Per output, the mean of the smallest and the largest target."""
    thresholds: NDArray[Any]
    """Per output, the smallest number in the dtype of the network that is not below the middle."""
    varies: NDArray[np.bool_]
    """Per output, whether its targets differ."""
    groups: NDArray[np.int64]
    """The labels, each (first output unit, number of units)."""
    scales: NDArray[np.float64]
    """Per output that is a quantity, 1 ÷ (Σ(t − mean t)² · number of quantities), else 0."""
    labels_only: bool
    """Whether there are labels, and no quantity varies."""
    row_order: NDArray[np.int64]
    """All rows in the order of the first evaluation: rows with different targets first, the rarest
    targets before others, because those rows show soonest that a network has not converged."""
    classes: NDArray[np.int64]
    """The right class of each label, [label, row]: the position of a unit in its group; of a single
    unit 1 where the target is not below the middle, else 0."""
    below: NDArray[Any]
    """Outputs that are near enough to the target are larger than this, [row, output] in the dtype
    of the network (flat); empty for other criteria than "rows"."""
    above: NDArray[Any]
    """Such outputs are smaller than this."""
    most_wrong: Any
    """More wrong rows than this are too many, in the dtype of the network."""
    level: NDArray[np.float64]
    """The level of the goal, alone in an array: a float32 kernel has no float64."""


def targets_of(
    T: NDArray[np.float64],
    dtype: DTypeLike,
    goal: Goal,
    groups: Sequence[tuple[int, int]],
    trained: NDArray[np.float64] | None = None,
) -> Targets:
    """Prepare the targets of rows for evaluations and measures.

    Parameters
    ----------
    T : float64 array [row, output]
        The targets.
    dtype : dtype
        Of the networks.
    goal : Goal
        What networks must reach.
    groups : sequence of (int, int)
        The labels, as in `Targets`; other outputs are quantities.
    trained : float64 array [row, output], optional
        The targets of the training rows, which give ranges and middles; by default T.
    """
    reference = T if trained is None else trained
    low, high = reference.min(axis=0), reference.max(axis=0)
    varies, kind = high > low, np.dtype(dtype)
    ranges, middles = np.where(varies, high - low, 1.0), 0.5 * (low + high)
    labels = [(first, n) for first, n in groups if varies[first : first + n].any()]
    below = above = np.empty(0, kind)
    if goal.success == "rows":
        below, above = (_bound(T, ranges, goal.level, sign, kind).ravel() for sign in (-1, 1))
    scales, is_high = _scales(T, groups), middles <= T
    chosen = [T[:, k : k + n].argmax(axis=1) if n > 1 else is_high[:, k] for k, n in labels]
    shares = (len(T) - np.arange(len(T) + 1)) / len(T)
    return Targets(
        np.array(T, np.float64, order="C"),
        ranges,
        middles,
        _thresholds(middles, kind),
        varies,
        np.array(labels, np.int64).reshape(-1, 2),
        scales,
        bool(labels) and not (scales > 0).any(),
        _row_order(T),
        np.array(chosen, np.int64).reshape(len(labels), len(T)),
        below,
        above,
        kind.type((shares >= goal.level).sum() - 1),
        np.array([goal.level]),
    )


def cast(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in a dtype, in C order. Held-out rows may be too large for float32: they become ∞."""
    with np.errstate(over="ignore"):
        return values.astype(dtype, order="C")


def _thresholds(middles: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The smallest numbers of the dtype that are not below the middles."""
    nearest = cast(middles, dtype)
    return np.where(nearest < middles, np.nextafter(nearest, dtype.type(np.inf)), nearest)


def _row_order(T: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order rows as `Targets.row_order` says."""
    _, kinds, counts = np.unique(T, axis=0, return_inverse=True, return_counts=True)
    kinds = kinds.ravel()
    rank = np.zeros(len(T), np.int64)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    rank[np.argsort(kinds, kind="stable")] = np.arange(len(T)) - firsts
    return np.lexsort((counts[kinds], rank))


def _scales(T: NDArray[np.float64], groups: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Weights of the squared errors of each output in 1 − R²; NaN if these rows have no R²."""
    is_quantity = np.ones(T.shape[1], np.bool_)
    for first, units in groups:
        is_quantity[first : first + units] = False
    with np.errstate(over="ignore", invalid="ignore"):  # held-out rows may be very large
        squares: NDArray[np.float64] = ((T - T.mean(axis=0)) ** 2).sum(axis=0) * is_quantity
        squares *= np.count_nonzero(squares)
        scales = np.divide(1, squares, out=np.zeros_like(squares), where=squares != 0)
    if not (scales.any() and np.isfinite([squares, scales]).all()):
        scales[is_quantity] = np.nan  # no network may reach what is not known
    return scales


def _bound(
    T: NDArray[np.float64],
    ranges: NDArray[np.float64],
    tolerance: float,
    sign: int,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """The numbers nearest to the targets, on one side of them, that are out of the tolerance.

    An output o is within the tolerance where |o − t| ÷ range ≤ tolerance, computed in float64. This
    error never falls as o moves away from t, so a comparison says the same without a division. The
    bound is found by bisection over the numbers of the dtype in their order.
    """
    nearest = cast(T, dtype)

    def is_within(o: NDArray[Any]) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.abs(o.astype(np.float64) - T) / ranges <= tolerance

    inside = _ordered(nearest)
    outside = np.full_like(inside, _ordered(np.array(sign * np.inf, dtype)))
    for _ in range(8 * dtype.itemsize):
        middle = (inside >> 1) + (outside >> 1) + (inside & outside & 1)
        within = is_within(_ordered(middle).view(dtype))
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return np.where(is_within(nearest), _ordered(outside).view(dtype), nearest)


def _ordered(values: NDArray[Any]) -> NDArray[Any]:
    """Integers in the order of real numbers, made from their bits. The map is its own inverse."""
    bits = values.view(f"i{values.itemsize}")
    ordered: NDArray[Any] = bits ^ ((bits >> (8 * bits.itemsize - 1)) & np.iinfo(bits.dtype).max)
    return ordered
