"""Measures of a network."""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.evaluation import add_squares
from fastbp.kernels.goals import Targets
from fastbp.kernels.jit import by_address, call, inlined, kernel
from fastbp.kernels.layout import Network, layer_of, present_to_all
from fastbp.kernels.memory import (
    empty_block,
    load_lane,
    load_number,
    store_lane,
    store_number,
)
from fastbp.kernels.minibatch import backpropagation, feedforward
from fastbp.kernels.optimizer import Step
from fastbp.kernels.tiles import COLUMN, lanes_in_vector, load, store
from fastbp.kernels.units import Pair, units_of
from fastbp.kernels.vector_ir import fma

LOSS, SPREAD, MAX_ERROR, WRONG, ONE_SIDED, SATURATION, GRAD_NORM, WEIGHT_MAX = range(8)
FINITE, R2, WRONG_LABELS, DEAD_UNITS = range(8, 12)
"""Rows of the measures."""

MEASURES = 12

DEAD_WITHIN = 1e-6
"""A hidden unit is dead if its activations over all rows differ by no more than this."""


def make_values(value: Any, loss: str) -> Any:
    """Make the losses of output units, which the kernel of the measures calls.

    `value`: of one output from its z, the output and its target, for a loss of this name.
    """
    value = inlined(value)

    def values(A: Any, D: Any, a: Any, d: Any, t: Any, count: Any) -> None:
        """Replace so many z in D from d on; outputs and targets lie in A from a and t on."""
        for i in range(count):
            o, target = load_number(A, a + i), load_number(A, t + i)
            store_number(D, d + i, value(load_number(D, d + i), o, target))

    numbers = types.CPointer(types.float64)
    return by_address(values, (numbers, numbers, *[types.int64] * 4), "values", loss)


class Scratch(NamedTuple):
    """Memory in which a strip is measured, laid out by a network with samples and a gradient."""

    A: NDArray[Any]
    """Activations in the dtype of the networks, and δ, which hold the sums of units here."""
    D: NDArray[Any]
    P64: NDArray[np.float64]
    """The same in float64: parameters and gradient, activations, δ."""
    A64: NDArray[np.float64]
    D64: NDArray[np.float64]
    low: NDArray[np.float64]
    """The smallest and the largest activation of each hidden unit so far, [unit, lane] (flat)."""
    high: NDArray[np.float64]


def scratch_of(net: Network, strip: int, dtype: DTypeLike) -> Scratch:
    """Allocate memory for a strip of so many lanes."""
    sizes = (strip * net.samples * count for count in (net.activations, net.deltas))
    a, d = sizes
    return Scratch(
        empty_block(a, dtype),
        empty_block(d, dtype),
        empty_block(net.rows * strip, np.float64),
        empty_block(a, np.float64),
        empty_block(d, np.float64),
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
    f, finish = units.f, units.finish
    sums = feedforward(lanes, vector, tile=COLUMN)
    backward = backpropagation(lanes, double_vector, units, None, tile=COLUMN)

    @inlined
    def propagate(P: Any, scratch: Any, net: Any, taken: Any) -> None:
        """Compute activations in the dtype, and copy them and the last sums to float64."""
        size = net.samples * lanes
        for at in range(len(net.layers)):
            layer = layer_of(net, at)
            sums(P, scratch.A, scratch.D, 0, layer, net.samples, layer.units, taken)
            a, d = layer.activations * size, layer.deltas * size
            for i in range(0, layer.units * size, vector):
                z = load(scratch.D, d + i, 1, 0, 1, 0)
                store(scratch.A, a + i, 0, 0, f(layer.activation, z))
        for sample in range(taken):
            for lane in range(0, lanes, vector):
                finish(scratch.A, layer_of(net, len(net.layers) - 1), net.samples, sample, lane)
        for i in range(len(scratch.A)):
            store_number(scratch.A64, i, np.float64(load_number(scratch.A, i)))
        for i in range(len(scratch.D)):
            store_number(scratch.D64, i, np.float64(load_number(scratch.D, i)))

    @inlined
    def copy_outputs(
        scratch: Any, net: Any, targets: Any, start: Any, taken: Any, outputs: Any
    ) -> None:
        """Copy the outputs of all samples to `outputs`, and their targets into float64 samples."""
        last = layer_of(net, len(net.layers) - 1)
        for sample in range(taken):
            for unit in range(last.units):
                o = ((last.activations + unit) * net.samples + sample) * lanes
                t = ((net.targets + unit) * net.samples + sample) * lanes
                target, row = targets.values[start + sample, unit], start + sample
                for lane in range(outputs.shape[1]):
                    outputs[row * last.units + unit, lane] = load_number(scratch.A64, o + lane)
                    store_number(scratch.A64, t + lane, target)

    @inlined
    def add_losses(scratch: Any, net: Any, values: Any, taken: Any, sums: Any) -> None:
        """Add the losses of all samples to `sums`, [lane]."""
        size, layer = net.samples * lanes, layer_of(net, len(net.layers) - 1)
        a, d, t = layer.activations * size, layer.deltas * size, net.targets * size
        call(values, (scratch.A64, scratch.D64, a, d, t, layer.units * size))
        for place in range(d, d + taken * lanes, lanes):
            for lane in range(len(sums)):
                total = load_number(scratch.D64, place + lane)
                for k in range(1, layer.units):
                    total += load_number(scratch.D64, place + k * size + lane)
                store_lane(sums, lane, load_lane(sums, lane) + total)

    @inlined
    def add_all_squares(
        scratch: Any, net: Any, targets: Any, start: Any, taken: Any, sums: Any
    ) -> None:
        """Add the squared errors of all samples, as shares of 1 − R², to `sums`, [lane]."""
        layer, step = layer_of(net, len(net.layers) - 1), net.samples * lanes
        for sample in range(taken):
            a = (layer.activations * net.samples + sample) * lanes
            add_squares(sums, 0, len(sums), scratch.A64, a, step, targets, start + sample)

    @inlined
    def watch_hidden(scratch: Any, net: Any, limits: Any, start: Any, taken: Any, c: Any) -> None:
        """Add the number of saturated hidden units to `c`, [lane]; widen `low` and `high`."""
        for at in range(len(net.layers) - 1):
            layer = layer_of(net, at)
            for unit in range(layer.units):
                for sample in range(taken):
                    place = ((layer.activations + unit) * net.samples + sample) * lanes
                    for lane in range(len(c)):
                        a = load_number(scratch.A64, place + lane)
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
        values: Any,
        deltas: Any,
        limits: Any,
        bias: Any,
        with_gradient: Any,
        measures: Any,
        outputs: Any,
    ) -> None:
        """Compute the outputs of a strip of networks, and measures that are sums.

        `net`: the layout of `scratch`. `values`, `deltas`: from `make_values` and, in float64,
        `make_output_deltas`. `limits`: the smallest and the largest activation that do not count as
        saturated, float64 [hidden layer, 2]. Fills `measures`, float64 [measure, lane], zeros
        before, and `outputs`, float64 [row × output, lane]. `judge` computes the other measures.
        """
        n, P = table.rows, scratch.P64
        for i in range(net.parameters * lanes):
            store_number(P, i, np.float64(load_number(block, i)))
        for i in range(net.gradient * lanes, len(P)):
            store_number(P, i, 0.0)
        for start in range(0, n, net.samples):
            taken = min(net.samples, n - start)
            for sample in range(taken):
                present_to_all(scratch.A, lanes, net.samples, sample, table, start + sample)
            propagate(block, scratch, net, taken)
            copy_outputs(scratch, net, targets, start, taken, outputs)
            watch_hidden(scratch, net, limits, start, taken, measures[SATURATION])
            add_losses(scratch, net, values, taken, measures[LOSS])
            add_all_squares(scratch, net, targets, start, taken, measures[R2])
            if with_gradient:
                keep = (True, False, 0, net.parameters, net.gradient, 0, bias, False)
                step = Step(0.0, P, 0.0, 0.0, 1.0, taken, *keep)
                backward(P, scratch.A64, scratch.D64, step, net, deltas)
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
    measures[FINITE] = np.isfinite(weights).all(axis=0)
    measures[WEIGHT_MAX] = np.fmax.reduce(np.abs(weights), axis=0)
    with np.errstate(invalid="ignore"):
        measures[LOSS] /= len(outputs)
        measures[DEAD_UNITS] /= hidden[0]
        measures[SATURATION] /= len(outputs) * hidden[1] or np.nan
        measures[GRAD_NORM] = np.sqrt(measures[GRAD_NORM])
        errors = np.abs(outputs - T)
        errors /= targets.ranges[:, None]
        measures[MAX_ERROR] = errors.reshape(-1, outputs.shape[-1]).max(axis=0)
        measures[R2] = 1 - measures[R2] if targets.scales.any() else np.nan
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
    decides = np.zeros(len(targets.ranges), bool)
    several = targets.groups[:, 1] > 1
    decides[targets.groups[~several, 0]] = True
    in_group = np.zeros_like(decides)
    for first, units in targets.groups[several]:
        in_group[first : first + units] = True
    single = targets.varies & ~in_group
    above = outputs[:, single] >= targets.middles[single, None]
    T = targets.values[:, single, None]
    off_side = above != (targets.middles[single, None] <= T)
    is_wrong, wrong_label = off_side.any(axis=1), off_side[:, decides[single]].any(axis=1)
    same = above[:, decides[single]]
    one_sided = (same.all(axis=0) | ~same.any(axis=0)).all(axis=0)
    for first, units in targets.groups[several]:
        part = slice(first, first + units)
        chosen = outputs[:, part].argmax(axis=1)
        wrong_label |= chosen != targets.values[:, part].argmax(axis=1)[:, None]
        one_sided &= (chosen == chosen[0]).all(axis=0)
    measures[WRONG] = (is_wrong | wrong_label).sum(axis=0)
    measures[WRONG_LABELS] = wrong_label.sum(axis=0)
    # Where a quantity varies there is more than a decision.
    measures[ONE_SIDED] = one_sided & bool(len(targets.groups)) & (not (single & ~decides).any())
