"""Evaluations: which runs have converged."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.jit import inlined, shared
from fastbp.kernels.layout import layer_of
from fastbp.kernels.memory import load_lane, load_table, store_lane
from fastbp.kernels.minibatch import SIGMA, lanes_of, weighted_sums
from fastbp.kernels.tiles import COLUMN, any_lane, elementwise, fill, load, store
from fastbp.kernels.vector_ir import choose, like


class Targets(NamedTuple):
    """What outputs are compared with."""

    values: NDArray[np.float64]
    """[row, output]."""
    ranges: NDArray[np.float64]
    """Per output, max − min of its targets; 1 where they are constant."""
    middles: NDArray[np.float64]
    """Per output, the mean of the smallest and the largest target."""
    varies: NDArray[np.bool_]
    """Per output, whether its targets differ."""
    row_order: NDArray[np.int64]
    """All rows in the order of the first evaluation: rows with different targets first, the rarest
    targets before others, because those rows show soonest that a network has not converged."""
    below: NDArray[Any]
    """Outputs within the tolerance are larger than this, [row, output] in the dtype of the network
    (flat)."""
    above: NDArray[Any]
    """Outputs within the tolerance are smaller than this."""


def targets_of(T: NDArray[np.float64], dtype: DTypeLike, tolerance: float) -> Targets:
    """Prepare the targets of a problem, T [row, output], for evaluations and measures."""
    low, high = T.min(axis=0), T.max(axis=0)
    varies = high > low
    ranges = np.where(varies, high - low, 1.0)
    _, kinds, counts = np.unique(T, axis=0, return_inverse=True, return_counts=True)
    rank = np.zeros(len(T), np.int64)
    for kind in range(kinds.max() + 1):
        alike = np.flatnonzero(kinds.ravel() == kind)
        rank[alike] = np.arange(len(alike))
    below, above = (_bound(T, ranges, tolerance, sign, np.dtype(dtype)) for sign in (-1, 1))
    return Targets(
        np.array(T, np.float64, order="C"),
        ranges,
        0.5 * (low + high),
        varies,
        np.lexsort((counts[kinds.ravel()], rank)),
        below.ravel(),
        above.ravel(),
    )


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
    nearest = T.astype(dtype)

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


@elementwise
def _if_within(pending: Any, o: Any, below: Any, above: Any) -> Any:
    """`pending` where o lies between the bounds, else 0; NaN does not."""
    nothing = like(o, 0.0)
    return choose(o > below, choose(o < above, pending, nothing), nothing)


def evaluator(lanes: int, vector: int) -> Any:
    """Make the evaluation of a strip.

    It sets `converged_at` of lanes that have just converged: all weights are finite, and every
    output of every row is within the tolerance. It takes vectors of lanes one by one, and for each
    the rows: first the one that ruled this vector out last time, then the others in the order of
    `targets.row_order`, until no lane of the vector can have converged.
    """
    rows = COLUMN[0]
    several_nets, net = weighted_sums(lanes, rows, 1), weighted_sums(lanes, 1, 1)

    @inlined
    def within(
        A: Any, network: Any, targets: Any, sample: Any, row: Any, lane: Any, left: Any
    ) -> Any:
        layer = layer_of(network, len(network.layers) - 1)
        for k in range(layer.units):
            a = ((layer.activations + k) * network.samples + sample) * lanes + lane
            o, i = load(A, a, 1, 0, 1, 0), row * layer.units + k
            below, above = load_table(targets.below, i), load_table(targets.above, i)
            left = _if_within(left, o, fill(A, below), fill(A, above))
        return left

    @inlined
    def activate(P: Any, A: Any, network: Any, table: Any, row: Any, lane: Any) -> None:
        """Compute the activations of a row in one vector, as the first sample."""
        samples = network.samples
        for i in range(network.targets):
            value = load_table(table.values, i * table.rows + row)
            store(A, i * samples * lanes + lane, 0, 0, fill(A, value))
        for at in range(len(network.layers)):
            layer = layer_of(network, at)
            end = layer.units // rows * rows
            for k in range(0, end, rows):
                a = (layer.activations + k) * samples * lanes + lane
                z = several_nets(P, A, layer, samples, k, 0, lane)
                store(A, a, samples * lanes, 0, SIGMA(z))
            for k in range(end, layer.units):
                a = (layer.activations + k) * samples * lanes + lane
                store(A, a, 0, 0, SIGMA(net(P, A, layer, samples, k, 0, lane)))

    @inlined
    def find_pending(strip: Any, due: Any, budget: Any) -> None:
        yes, no = like(strip.block[0], 1.0), like(strip.block[0], 0.0)
        for lane in range(len(strip.pending)):
            ends = due or load_lane(strip.updates, lane) >= budget
            waits = ends and load_lane(strip.converged_at, lane) < 0
            store_lane(strip.pending, lane, yes if waits else no)

    @inlined
    def record(strip: Any, network: Any) -> None:
        for lane in range(len(strip.pending)):
            if strip.pending[lane] != 0 and has_finite_weights(strip.block, lanes, network, lane):
                strip.converged_at[lane] = strip.updates[lane]

    @shared
    def evaluate(strip: Any, setting: Any, due: Any, budget: Any, forwarded: Any) -> None:
        """Evaluate lanes at the end of their budget, or all of them where an evaluation is due.

        `forwarded`: the samples in A are all rows, with their activations.
        """
        network, table, targets = setting.network, setting.table, setting.targets
        find_pending(strip, due, budget)
        for lane in range(0, lanes_of(strip.block, lanes), vector):
            left = load(strip.pending, lane, 1, 0, 1, 0)
            tried, row = 0, strip.telling[lane]
            while any_lane(left):
                if not forwarded:
                    activate(strip.block, strip.A, network, table, row, lane)
                sample = row if forwarded else 0
                left = within(strip.A, network, targets, sample, row, lane, left)
                strip.telling[lane] = row
                if tried == table.rows:
                    break
                row = targets.row_order[tried]
                tried += 1
            store(strip.pending, lane, 0, 0, left)
        record(strip, network)

    return evaluate


@inlined
def has_finite_weights(P: Any, lanes: Any, network: Any, lane: Any) -> Any:
    """Whether all parameters of a lane are finite."""
    finite = True
    for row in range(network.parameters):
        w = P[row * lanes + lane]
        finite = finite and w > like(w, -np.inf) and w < like(w, np.inf)
    return finite
