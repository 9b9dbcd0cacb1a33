"""Measures of a network, and evaluations: whether it has converged.

Both are computed in float64 from the outputs in the dtype of the network.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.jit import Chosen, inlined, kernel, shared
from fastbp.kernels.layout import (
    ACTIVATIONS,
    BIASES,
    DELTAS,
    UNITS,
    WEIGHTS,
    Targets,
    columns_of,
    loop_lanes,
    present_to_all,
)
from fastbp.kernels.memory import (
    load_activation,
    load_bias,
    load_delta,
    load_lane,
    load_parameter,
    load_result,
    store_activation,
    store_delta,
    store_lane,
    store_parameter,
    store_result,
    wide,
)
from fastbp.kernels.minibatch import in_samples
from fastbp.kernels.online import activate_units
from fastbp.kernels.real import sigmoid, slope
from fastbp.kernels.tiles import BIAS, ONTO, Matrix
from fastbp.kernels.vector_ir import fma, sqrt, to_bits

LOSS, SPREAD, MAX_ERROR, WRONG, ONE_SIDED, SATURATION, GRAD_NORM, WEIGHT_MAX, FINITE = range(9)
"""Rows of the measures."""

MEASURES = 9

SATURATED_BELOW, SATURATED_ABOVE = 0.05, 0.95

_EXPONENT = np.int64(0x7FF0000000000000)


@inlined
def is_finite(x: Any) -> Any:
    """Whether a float64 is neither infinite nor NaN, by its exponent bits."""
    return (to_bits(x) & _EXPONENT) != _EXPONENT


@inlined
def _finite_weights(block: Any, lanes: Any, network: Any, lane: Any) -> Any:
    finite = True
    for row in range(network.parameters):
        finite = finite and is_finite(np.float64(block[row * lanes + lane]))
    return finite


@shared
def evaluate(
    block: Any,
    lanes: Any,
    network: Any,
    table: Any,
    targets: Any,
    tolerance: Any,
    state: Any,
    due: Any,
    budget: Any,
) -> None:
    """Set `state.converged_at` to the present updates in lanes that have just converged.

    Converged: all weights finite, and |o − t| ÷ range ≤ `tolerance` for every row and output.
    Evaluates all lanes where an evaluation is `due`, else only those at the end of their budget.
    Rows are tried in the order of `state.row_order` until one rules out the last lane; that row is
    the first of the next evaluation.
    """
    wide()
    now, converged_at = state.updates, state.converged_at
    within, row_order = state.within, state.row_order
    n, outputs = targets.values.shape
    pending = 0
    for lane in range(lanes):
        within[lane] = 1 if converged_at[lane] < 0 and (due or now[lane] >= budget) else 0
        pending += within[lane]
    first, columns = network.layers[0, ACTIVATIONS] * lanes, columns_of(network)
    a = network.layers[-1, ACTIVATIONS] * lanes
    tried = 0
    while pending > 0 and tried < n:
        row = row_order[tried]
        present_to_all(block, lanes, lanes, first, columns, table, row)
        feedforward(block, lanes, network)
        for k in range(outputs):
            t, span = targets.values[row, k], targets.ranges[k]
            pending = 0
            for lane in range(lanes):
                error = np.float64(load_activation(block, a + k * lanes + lane)) - t
                error = error if error > 0.0 else -error
                left = load_lane(within, lane) if error / span <= tolerance else 0
                store_lane(within, lane, left)
                pending += left
        if pending == 0:
            for i in range(tried, 0, -1):
                row_order[i] = row_order[i - 1]
            row_order[0] = row
        tried += 1
    if pending > 0:
        for lane in range(lanes):
            if within[lane] == 1 and _finite_weights(block, lanes, network, lane):
                converged_at[lane] = now[lane]


def value_pass(loss: Any) -> Any:
    """Make the pass that replaces outputs by their losses, in float64, and computes their δ."""

    @inlined
    def values(work: Any, strip: Any, samples: Any) -> None:
        last, count = samples.layers[-1], samples.layers[-1, UNITS] * samples.capacity * strip
        d, a, t = last[DELTAS] * strip, last[ACTIVATIONS] * strip, samples.targets * strip
        for i in range(count):
            o = load_activation(work, a + i)
            value, delta = loss(load_delta(work, d + i), o, load_activation(work, t + i), slope(o))
            store_result(work, a + i, value)
            store_delta(work, d + i, delta)

    return values


@inlined
def _add_samples(
    work: Any, first: Any, strip: Any, taken: Any, measures: Any, measure: Any
) -> None:
    """Add the value of each sample to a measure, sample after sample."""
    for sample in range(taken):
        for i in range(strip):
            value = load_activation(work, first + sample * strip + i)
            store_lane(measures, measure + i, load_lane(measures, measure + i) + value)


@inlined
def _to_double(work: Any, double: Any, first: Any, last: Any) -> None:
    for i in range(first, last):
        store_activation(double, i, np.float64(load_activation(work, i)))


@inlined
def _copy_parameters(source: Any, block: Any, lanes: Any, network: Any) -> None:
    for i in range(network.parameters * lanes):
        store_parameter(block, i, np.float64(load_parameter(source, i)))
    for i in range(network.gradient * lanes, network.velocity * lanes):
        store_parameter(block, i, 0.0)


def make_measure(losses: Chosen, lanes: int) -> Any:
    """Make the kernel that measures all lanes, for these losses (`value_pass` of each)."""
    forward, back = in_samples(lanes)

    @kernel
    def measure(
        block: Any,
        work: Any,
        network: Any,
        table: Any,
        targets: Any,
        loss: Any,
        bias: Any,
        double: Any,
        double_work: Any,
        double_network: Any,
        with_gradient: Any,
        measures: Any,
        outputs: Any,
    ) -> None:
        """Compute the outputs, and the measures that are sums or belong to the weights.

        `block`, `network`, `table`: as trained. `double`: a float64 work block laid out by
        `double_network`, which has room for a gradient; `work` and `double_work`: room for its
        samples, for a strip of lanes, in both dtypes. Fills `measures`, float64 [measure, lane],
        zeros before, and `outputs`, float64 [row, output, lane], both flat. `judge` computes the
        other measures from the outputs.
        """
        wide()
        n, units = targets.values.shape
        samples = double_network.samples
        strip, capacity = len(work) // samples.rows, samples.capacity
        step, layers, last = capacity * strip, samples.layers, len(samples.layers) - 1
        a, t = layers[last, ACTIVATIONS] * strip, samples.targets * strip
        d = layers[1, DELTAS] * strip
        _copy_parameters(block, double, lanes, double_network)
        no_offset = measures[0]  # no literal 0.0: Numba would compile the pass once more for it
        then = ONTO | (BIAS if bias else 0)
        hidden = 0
        columns = columns_of(network)
        for start in range(0, n, capacity):
            taken = min(capacity, n - start)
            for sample in range(taken):
                present_to_all(work, strip, step, sample * strip, columns, table, start + sample)
                for k in range(units):
                    target = targets.values[start + sample, k]
                    for i in range(strip):
                        store_activation(double_work, t + k * step + sample * strip + i, target)
            _to_double(work, double_work, 0, t)
            for lane in range(0, lanes, strip):
                x = Matrix(work, 0, step, strip)
                forward(block, work, network, samples, strip, lane, taken, x, True)
                _to_double(work, double_work, layers[1, ACTIVATIONS] * strip, samples.rows * strip)
                for sample in range(taken):
                    for k in range(units):
                        o = a + k * step + sample * strip
                        place = ((start + sample) * units + k) * lanes + lane
                        for i in range(strip):
                            store_lane(outputs, place + i, load_activation(double_work, o + i))
                hidden = 0
                for i in range(step):
                    store_delta(double_work, d + i, 0.0)
                for layer in range(1, last):
                    hidden += layers[layer, UNITS]
                    for unit in range(layers[layer, UNITS]):
                        place = layers[layer, ACTIVATIONS] * strip + unit * step
                        for i in range(step):
                            value = load_activation(double_work, place + i)
                            outside = value < SATURATED_BELOW or value > SATURATED_ABOVE
                            count = load_delta(double_work, d + i) + (1.0 if outside else 0.0)
                            store_delta(double_work, d + i, count)
                _add_samples(double_work, d, strip, taken, measures, SATURATION * lanes + lane)
                losses(loss, (double_work, strip, samples))
                for k in range(1, units):
                    for i in range(a, a + step):
                        value = load_activation(double_work, i + k * step)
                        store_activation(double_work, i, load_activation(double_work, i) + value)
                _add_samples(double_work, a, strip, taken, measures, LOSS * lanes + lane)
                if with_gradient:
                    x = Matrix(double_work, 0, step, strip)
                    net, offset = double_network, no_offset
                    back(
                        double,
                        double_work,
                        net,
                        samples,
                        strip,
                        lane,
                        taken,
                        x,
                        offset,
                        double,
                        then,
                    )
        for lane in range(lanes):
            squares, largest = 0.0, 0.0
            for row in range(double_network.parameters):
                w = double[row * lanes + lane]
                largest = w if w > largest else (-w if -w > largest else largest)
                g = double[(double_network.gradient + row) * lanes + lane] / n
                squares = fma(g, g, squares)
            measures[LOSS * lanes + lane] /= n
            measures[SATURATION * lanes + lane] /= n * hidden
            measures[WEIGHT_MAX * lanes + lane] = largest
            measures[GRAD_NORM * lanes + lane] = sqrt(squares)
            measures[FINITE * lanes + lane] = (
                1.0 if _finite_weights(double, lanes, double_network, lane) else 0.0
            )

    return measure


def judge(outputs: NDArray[np.float64], targets: Targets, measures: NDArray[np.float64]) -> None:
    """Fill in the measures that follow from the outputs, float64 [row, output, lane].

    They are comparisons and extremes only. Where an output is NaN, so are the largest error and the
    spread.
    """
    T, middles, varies = targets.values[..., None], targets.middles[:, None], targets.varies
    with np.errstate(invalid="ignore"):
        errors = np.abs(outputs - T)
        errors /= targets.ranges[:, None]
        measures[MAX_ERROR] = errors.reshape(-1, outputs.shape[-1]).max(axis=0)
        if not varies.all():
            outputs, T, middles = outputs[:, varies], T[:, varies], middles[varies]
        above = outputs >= middles
        wrong = above != (middles <= T)
        measures[WRONG] = (wrong[:, 0] if wrong.shape[1] == 1 else wrong.any(axis=1)).sum(axis=0)
        if varies.any():
            spans = outputs.max(axis=0) - outputs.min(axis=0)
            measures[SPREAD] = (spans / targets.ranges[varies, None]).max(axis=0)
            measures[ONE_SIDED] = (above.all(axis=0) | ~above.any(axis=0)).all(axis=0)
        else:
            measures[SPREAD] = np.nan


# Tiles of four units have loops over their inputs in the lane loop, which the compiler unrolls. In
# the smaller ones of a single unit it would peel off the first lane, and misalign all others: there
# inputs are written out.


def _sums(inputs: int) -> Any:
    """Make a tile of a_k = σ(b_k + Σ w_ki x_i), i ascending: four units of so many inputs.

    Sums are complete, so activations are stored at once: stores limit the speed of small layers.
    """

    @inlined
    def tile(block: Any, lanes: Any, b: Any, w: Any, unit: Any, x: Any, a: Any) -> None:
        for lane in range(lanes):
            s0 = load_bias(block, b + lane)
            s1 = load_bias(block, b + lanes + lane)
            s2 = load_bias(block, b + 2 * lanes + lane)
            s3 = load_bias(block, b + 3 * lanes + lane)
            for i in range(inputs):
                xi = load_activation(block, x + i * lanes + lane)
                wi = w + i * lanes + lane
                s0 = fma(load_parameter(block, wi), xi, s0)
                s1 = fma(load_parameter(block, wi + unit), xi, s1)
                s2 = fma(load_parameter(block, wi + 2 * unit), xi, s2)
                s3 = fma(load_parameter(block, wi + 3 * unit), xi, s3)
            store_result(block, a + lane, sigmoid(s0))
            store_result(block, a + lanes + lane, sigmoid(s1))
            store_result(block, a + 2 * lanes + lane, sigmoid(s2))
            store_result(block, a + 3 * lanes + lane, sigmoid(s3))

    return tile


def _sum(inputs: int, first: bool, activate: bool = False) -> Any:
    """The same for a single unit: one input or four; `first` starts the sum, `activate` ends it."""

    @inlined
    def tile(block: Any, lanes: Any, b: Any, w: Any, x: Any, a: Any) -> None:
        for lane in range(loop_lanes(block, lanes)):
            z, wi, xi = a + lane, w + lane, x + lane
            s = load_bias(block, b + lane) if first else load_result(block, z)
            s = fma(load_parameter(block, wi), load_activation(block, xi), s)
            if inputs == 4:
                s = fma(load_parameter(block, wi + lanes), load_activation(block, xi + lanes), s)
                w2, w3, x2, x3 = wi + 2 * lanes, wi + 3 * lanes, xi + 2 * lanes, xi + 3 * lanes
                s = fma(load_parameter(block, w2), load_activation(block, x2), s)
                s = fma(load_parameter(block, w3), load_activation(block, x3), s)
            store_result(block, z, sigmoid(s) if activate else s)

    return tile


_up4_1, _up4_2, _up4_3, _up4_4 = (_sums(inputs) for inputs in (1, 2, 3, 4))
_up1_4, _up1_first = _sum(4, True, True), _sum(1, True)
_up1_more_1, _up1_more_4 = (_sum(inputs, False) for inputs in (1, 4))


@shared
def feedforward(block: Any, lanes: Any, network: Any) -> None:
    """Compute the activations of every layer for one sample, for evaluations."""
    wide()
    layers = network.layers
    for layer in range(1, len(layers)):
        inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
        x, a = layers[layer - 1, ACTIVATIONS] * lanes, layers[layer, ACTIVATIONS] * lanes
        w, b = layers[layer, WEIGHTS] * lanes, layers[layer, BIASES] * lanes
        unit = inputs * lanes
        if units < 4 or inputs > 4:
            for k in range(units):
                wk, bk, ak = w + k * unit, b + k * lanes, a + k * lanes
                if inputs == 4:
                    _up1_4(block, lanes, bk, wk, x, ak)
                else:
                    _weighted_sum(block, lanes, inputs, bk, wk, x, ak)
                    activate_units(block, ak, lanes)
        else:
            for first in range(0, units, 4):
                k = min(first, units - 4)  # units that are computed twice get the same values
                wk, bk, ak = w + k * unit, b + k * lanes, a + k * lanes
                if inputs == 1:
                    _up4_1(block, lanes, bk, wk, unit, x, ak)
                elif inputs == 2:
                    _up4_2(block, lanes, bk, wk, unit, x, ak)
                elif inputs == 3:
                    _up4_3(block, lanes, bk, wk, unit, x, ak)
                else:
                    _up4_4(block, lanes, bk, wk, unit, x, ak)


@inlined
def _weighted_sum(block: Any, lanes: Any, inputs: Any, b: Any, w: Any, x: Any, z: Any) -> None:
    """Compute the sum of one unit."""
    _up1_first(block, lanes, b, w, x, z)
    i = 1
    while i + 4 <= inputs:
        _up1_more_4(block, lanes, b, w + i * lanes, x + i * lanes, z)
        i += 4
    while i < inputs:
        _up1_more_1(block, lanes, b, w + i * lanes, x + i * lanes, z)
        i += 1
