"""Measures of a network."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.goals import Targets
from fastbp.kernels.jit import call, inlined, kernel
from fastbp.kernels.layout import Network, layer_of, present_to_all
from fastbp.kernels.memory import (
    empty_block,
    load_lane,
    load_number,
    store_lane,
    store_number,
)
from fastbp.kernels.minibatch import backward_pass, feedforward, forward_pass
from fastbp.kernels.optimizer import Batch
from fastbp.kernels.tiles import COLUMN, lanes_in_vector
from fastbp.kernels.units import Pair, units_of
from fastbp.kernels.vector_ir import fma

LOSS, SPREAD, MAX_ERROR, WRONG, ONE_SIDED, SATURATION, GRAD_NORM, WEIGHT_MAX = range(8)
FINITE, R2, WRONG_LABELS, DEAD_UNITS = range(8, 12)
"""Rows of the measures."""

MEASURES = 12

DEAD_WITHIN = 1e-6
"""A hidden unit is dead if its activations over all rows differ by no more than this."""


class Scratch(NamedTuple):
    """Memory in which a strip is measured, laid out by a network with samples and a gradient."""

    A: NDArray[Any]
    """Activations in the dtype of the networks, and δ, which hold the sums of output units here."""
    D: NDArray[Any]
    P64: NDArray[np.float64]
    """The same in float64: parameters and gradient, activations, δ."""
    A64: NDArray[np.float64]
    D64: NDArray[np.float64]
    totals: NDArray[np.float64]
    """Sums over output units, [lane]."""
    low: NDArray[np.float64]
    """The smallest and the largest activation of each hidden unit so far, [unit, lane] (flat)."""
    high: NDArray[np.float64]


def scratch_of(net: Network, strip: int, dtype: DTypeLike) -> Scratch:
    """Allocate memory for a strip of so many lanes."""
    a, d = (strip * net.samples * count for count in (net.activations, net.deltas))
    return Scratch(
        empty_block(a, dtype),
        empty_block(d, dtype),
        empty_block(net.rows * strip, np.float64),
        empty_block(a, np.float64),
        empty_block(d, np.float64),
        empty_block(strip, np.float64),
        empty_block(net.deltas * strip, np.float64),
        empty_block(net.deltas * strip, np.float64),
    )


def make_measure(lanes: int, dtype: str, pairs: tuple[Pair, ...], softmax: bool, name: str) -> Any:
    """Make the kernel that measures networks of a dtype in strips of so many lanes.

    Measures are computed in float64 from outputs in the dtype. `pairs` and `softmax`: their units,
    as in `units_of`; `name` tells them from others.
    """
    vector, double_vector = lanes_in_vector(dtype), lanes_in_vector(np.float64)
    units = units_of(pairs, softmax, lanes)
    forward = forward_pass(lanes, vector, units, COLUMN)
    sums = feedforward(lanes, vector, tile=COLUMN)
    backward = backward_pass(lanes, double_vector, units, None, tile=COLUMN)

    @inlined
    def take_outputs(P: Any, scratch: Any, net: Any, taken: Any, first: Any, outputs: Any) -> None:
        """Compute activations, and the last sums in D; copy all outputs to `outputs`."""
        last, samples = layer_of(net, len(net.layers) - 1), net.samples
        forward(P, scratch.A, net, taken)
        sums(P, scratch.A, scratch.D, 0, last, samples, last.units, taken)
        for sample in range(taken):
            for unit in range(last.units):
                a = ((last.activations + unit) * samples + sample) * lanes
                row = (first + sample) * last.units + unit
                for lane in range(outputs.shape[1]):
                    outputs[row, lane] = np.float64(load_number(scratch.A, a + lane))

    @inlined
    def add_losses(scratch: Any, net: Any, t: Any, losses: Any, sample: Any, sums: Any) -> None:
        """Add the loss of a sample, whose targets are t, to `sums`, [lane]."""
        last, step = layer_of(net, len(net.layers) - 1), net.samples * lanes
        a, d = last.activations * step + sample * lanes, last.deltas * step + sample * lanes
        units = scratch.D[d:], step, scratch.A[a:], step, t, len(t)
        call(losses, (*units, scratch.totals, sums, len(sums)))

    @inlined
    def in_doubles(scratch: Any, net: Any, T: Any, first: Any, taken: Any) -> None:
        """Copy activations to float64; targets are those of T."""
        for i in range(len(scratch.A)):
            store_number(scratch.A64, i, np.float64(load_number(scratch.A, i)))
        for sample in range(taken):
            for unit in range(T.shape[1]):
                t = ((net.targets + unit) * net.samples + sample) * lanes
                for lane in range(t, t + lanes):
                    store_number(scratch.A64, lane, T[first + sample, unit])

    @inlined
    def watch_hidden(scratch: Any, net: Any, limits: Any, start: Any, taken: Any, c: Any) -> None:
        """Add the number of saturated hidden units to `c`, [lane]; widen `low` and `high`."""
        for at in range(len(net.layers) - 1):
            layer = layer_of(net, at)
            for unit in range(layer.units):
                for sample in range(taken):
                    place = ((layer.activations + unit) * net.samples + sample) * lanes
                    for lane in range(len(c)):
                        a = np.float64(load_number(scratch.A, place + lane))
                        saturated = a < limits[at, 0] or a > limits[at, 1]
                        store_lane(c, lane, load_lane(c, lane) + (1.0 if saturated else 0.0))
                        i = (layer.deltas + unit) * lanes + lane
                        is_first = start + sample == 0
                        low, high = load_number(scratch.low, i), load_number(scratch.high, i)
                        store_number(scratch.low, i, a if is_first or a < low else low)
                        store_number(scratch.high, i, a if is_first or a > high else high)

    @inlined
    def count_dead(scratch: Any, net: Any, counts: Any) -> None:
        """Add the number of dead hidden units to `counts`, [lane]."""
        for unit in range(layer_of(net, len(net.layers) - 1).deltas):
            for lane in range(len(counts)):
                i = unit * lanes + lane
                spread = load_number(scratch.high, i) - load_number(scratch.low, i)
                dead = 1.0 if spread <= DEAD_WITHIN else 0.0
                store_lane(counts, lane, load_lane(counts, lane) + dead)

    @kernel("measure", lanes, dtype, name)
    def measure(
        block: Any,
        scratch: Any,
        net: Any,
        table: Any,
        targets: Any,
        losses: Any,
        deltas: Any,
        limits: Any,
        bias: Any,
        with_gradient: Any,
        measures: Any,
        outputs: Any,
    ) -> None:
        """Compute the outputs of a strip of networks, and measures that are sums.

        `net`: the layout of `scratch`. `losses`, `deltas`: from `make_losses` and, in float64,
        `make_output_deltas`. `limits`: the smallest and the largest activation that do not count as
        saturated, float64 [hidden layer, 2]. Fills `measures`, float64 [measure, lane], zeros
        before, and `outputs`, float64 [row × output, lane]. `judge` computes the other measures.
        """
        n, P = table.rows, scratch.P64
        for i in range(net.parameters * lanes):
            store_number(P, i, np.float64(load_number(block, i)))
        P[net.gradient * lanes :] = 0.0
        for start in range(0, n, net.samples):
            taken = min(net.samples, n - start)
            for sample in range(taken):
                present_to_all(scratch.A, lanes, net.samples, sample, table, start + sample)
            take_outputs(block, scratch, net, taken, start, outputs)
            for sample in range(taken):
                t = targets.values[start + sample]
                add_losses(scratch, net, t, losses, sample, measures[LOSS])
            watch_hidden(scratch, net, limits, start, taken, measures[SATURATION])
            if with_gradient:
                in_doubles(scratch, net, targets.values, start, taken)
                keep = (True, False, net.parameters, net.gradient, 0, bias, False)
                batch = Batch(0.0, P, 0.0, 0.0, 1.0, taken, *keep)
                backward(P, scratch.A64, scratch.D64, batch, net, deltas)
        count_dead(scratch, net, measures[DEAD_UNITS])
        for row in range(net.parameters):
            for lane in range(outputs.shape[1]):
                g = load_number(P, (net.gradient + row) * lanes + lane) / n
                measures[GRAD_NORM, lane] = fma(g, g, measures[GRAD_NORM, lane])

    return measure


def judge(
    outputs: NDArray[np.float64],
    weights: NDArray[np.float64],
    targets: Targets,
    hidden: tuple[int, int],
    measures: NDArray[np.float64],
) -> None:
    """Finish the sums, and fill in the measures that are comparisons and extremes only.

    Where an output is NaN, so are the largest error and the spread.

    Parameters
    ----------
    outputs : float64 array [row, output, lane]
    weights : float64 array [parameter, lane]
    targets : Targets
    hidden : (int, int)
        The number of hidden units, and of those that can saturate.
    measures : float64 array [measure, lane]
    """
    T, varies = targets.values[..., None], targets.varies
    # outputs are NaN where infinities took each other away
    measures[FINITE] = np.isfinite(weights).all(axis=0) & ~np.isnan(outputs).any(axis=(0, 1))
    measures[WEIGHT_MAX] = np.fmax.reduce(np.abs(weights), axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        measures[LOSS] /= len(outputs)
        measures[DEAD_UNITS] /= hidden[0]
        measures[SATURATION] /= len(outputs) * hidden[1] or np.nan
        measures[GRAD_NORM] = np.sqrt(measures[GRAD_NORM])
        errors = np.abs(outputs - T)
        errors /= targets.ranges[:, None]
        measures[MAX_ERROR] = errors.reshape(-1, outputs.shape[-1]).max(axis=0)
        measures[R2] = np.nan
        if targets.scales.any():
            squares = targets.scales[:, None] * (outputs - T) * (outputs - T)
            # Added up one by one, in the order of rows and outputs.
            measures[R2] = 1 - np.cumsum(squares.reshape(-1, outputs.shape[-1]), axis=0)[-1]
        _judge_classes(outputs, targets, measures)
        if varies.any():
            spans = np.ptp(outputs[:, varies], axis=0)
            measures[SPREAD] = (spans / targets.ranges[varies, None]).max(axis=0)
        else:
            measures[SPREAD] = np.nan


def _judge_classes(
    outputs: NDArray[np.float64], targets: Targets, measures: NDArray[np.float64]
) -> None:
    """Count the rows with a wrong class, and find networks that give one class to all rows.

    A quantity is on the right side of the middle or not; only labels are decisions. Arguments as in
    `judge`.
    """
    singles, quantities = targets.varies.copy(), targets.varies.copy()
    wrong_label = np.zeros((len(outputs), outputs.shape[-1]), bool)
    one_sided = np.full(outputs.shape[-1], len(targets.groups) > 0)
    for (first, units), right in zip(targets.groups, targets.classes, strict=True):
        part = outputs[:, first : first + units]
        chosen = part.argmax(axis=1) if units > 1 else part[:, 0] >= targets.middles[first]
        wrong_label |= chosen != right[:, None]
        one_sided &= (chosen == chosen[0]).all(axis=0)
        singles[first : first + units] = units == 1
        quantities[first : first + units] = False
    middles = targets.middles[singles, None]
    off_side = (outputs[:, singles] >= middles) != (targets.values[:, singles, None] >= middles)
    measures[WRONG] = (off_side.any(axis=1) | wrong_label).sum(axis=0)
    measures[WRONG_LABELS] = wrong_label.sum(axis=0)
    # Where a quantity varies there is more than a decision.
    measures[ONE_SIDED] = one_sided & (not quantities.any())
