"""What is said of a network: has it converged (a look), and all measures of its state. In float64, on the dtype's outputs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.compiling import inlined, kernel, shared
from fastbp.kernels.memory import (
    load_activation,
    load_delta,
    load_lane,
    load_parameter,
    store_activation,
    store_delta,
    store_lane,
    store_parameter,
    wide,
)
from fastbp.kernels.network import (
    ACTIVATIONS,
    BIASES,
    DELTAS,
    UNITS,
    WEIGHTS,
    columns_of,
    feedforward,
    hidden_deltas,
    output_sums,
    present_to_all,
)
from fastbp.kernels.products import BIAS, ONTO, Matrix, products
from fastbp.kernels.real import fma, slope, sqrt, to_bits

LOSS, SPREAD, MAX_ERROR, WRONG, ONE_SIDED, SATURATION, GRAD_NORM, WEIGHT_MAX, FINITE = range(9)
"""Rows of the measures."""

MEASURES = 9

SATURATED_BELOW, SATURATED_ABOVE = 0.05, 0.95

_EXPONENT = np.int64(0x7FF0000000000000)


class Targets(NamedTuple):
    """What outputs are held against, float64: `values`, [row, output]; per output `ranges` (max − min of its targets, 1 where
    they are constant), `middles` (their mean) and `varies` (whether they are not constant)."""

    values: NDArray[np.float64]
    ranges: NDArray[np.float64]
    middles: NDArray[np.float64]
    varies: NDArray[np.bool_]
    look_at: NDArray[np.int64]
    """All rows, in the order in which a first look takes them: those with different targets first, and of these the rarest, for
    one of them tells soonest that a network has not converged."""


def targets_of(T: NDArray[np.float64]) -> Targets:
    """The targets of a problem, T [row, output], with what measures need of them."""
    low, high = T.min(axis=0), T.max(axis=0)
    varies = high > low
    _, kinds, counts = np.unique(T, axis=0, return_inverse=True, return_counts=True)
    rank = np.zeros(len(T), np.int64)
    for kind in range(kinds.max() + 1):
        alike = np.flatnonzero(kinds.ravel() == kind)
        rank[alike] = np.arange(len(alike))
    look_at = np.lexsort((counts[kinds.ravel()], rank))
    return Targets(np.array(T, np.float64, order="C"), np.where(varies, high - low, 1.0), 0.5 * (low + high), varies, look_at)


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
def look(
    block: Any, lanes: Any, network: Any, table: Any, targets: Any, tolerance: Any,
    now: Any, converged_at: Any, due: Any, budget: Any, within: Any, look_at: Any,
) -> None:  # fmt: skip
    """Note the lanes that this look finds converged first: `converged_at`, int64 [lane], −1 before, becomes `now`, int64 [lane].

    Converged: all weights finite, and |o − t| ÷ range ≤ `tolerance` for every row and output. Looked at are all lanes where
    a look is `due`, else only those at the end of their budget. `within`: int64 [lane], to work with. `look_at`: all rows in the
    order in which they are taken, until one leaves no lane; that one is the first of the next look.
    """
    wide()
    n, outputs = targets.values.shape
    pending = 0
    for lane in range(lanes):
        within[lane] = 1 if converged_at[lane] < 0 and (due or now[lane] >= budget) else 0
        pending += within[lane]
    first, columns = network.layers[0, ACTIVATIONS] * lanes, columns_of(network)
    a = network.layers[-1, ACTIVATIONS] * lanes
    looked = 0
    while pending > 0 and looked < n:
        row = look_at[looked]
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
            for i in range(looked, 0, -1):
                look_at[i] = look_at[i - 1]
            look_at[0] = row
        looked += 1
    if pending > 0:
        for lane in range(lanes):
            if within[lane] == 1 and _finite_weights(block, lanes, network, lane):
                converged_at[lane] = now[lane]


def value_pass(loss: Any) -> Any:
    """Value and δ of the output layer by one loss, in float64: adds the row's sum over outputs to the LOSS of `measures`."""

    @inlined
    def values(block: Any, lanes: Any, network: Any, measures: Any) -> None:
        last = network.layers[-1]
        d, a, t = last[DELTAS] * lanes, last[ACTIVATIONS] * lanes, network.targets * lanes
        for lane in range(lanes):
            sum_ = 0.0
            for k in range(last[UNITS]):
                i = k * lanes + lane
                o = load_activation(block, a + i)
                value, delta = loss(load_delta(block, d + i), o, load_activation(block, t + i), slope(o))
                sum_ += value
                store_delta(block, d + i, delta)
            measures[LOSS, lane] += sum_

    return values


@inlined
def _copy_parameters(source: Any, block: Any, lanes: Any, network: Any) -> None:
    for i in range(network.parameters * lanes):
        store_parameter(block, i, np.float64(load_parameter(source, i)))
    for i in range(network.gradient * lanes, network.velocity * lanes):
        store_parameter(block, i, 0.0)


@inlined
def _copy_row(source: Any, source_network: Any, block: Any, network: Any, lanes: Any, targets: Any, row: Any) -> None:
    """Activations and the outputs' z of one row, as float64; targets from the problem itself."""
    last = len(network.layers) - 1
    for layer in range(last + 1):
        s, a = source_network.layers[layer, ACTIVATIONS] * lanes, network.layers[layer, ACTIVATIONS] * lanes
        for i in range(network.layers[layer, UNITS] * lanes):
            store_activation(block, a + i, np.float64(load_activation(source, s + i)))
    s, d = source_network.layers[last, DELTAS] * lanes, network.layers[last, DELTAS] * lanes
    for i in range(network.layers[last, UNITS] * lanes):
        store_delta(block, d + i, np.float64(load_delta(source, s + i)))
    for k in range(network.layers[last, UNITS]):
        for lane in range(lanes):
            store_activation(block, (network.targets + k) * lanes + lane, targets.values[row, k])


def _row_gradient(lanes: int) -> Any:
    add = products(lanes).add_gradient

    @inlined
    def add_gradient(double: Any, network: Any, layer: Any, bias: Any) -> None:
        """Add δ_k·a_i of one row to the gradient of the weights of a layer, δ_k to that of its biases."""
        layers, gradient = network.layers, network.gradient
        inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
        a = Matrix(double, layers[layer - 1, ACTIVATIONS] * lanes, 0, lanes)
        d = Matrix(double, layers[layer, DELTAS] * lanes, lanes, 0)
        g = Matrix(double, (gradient + layers[layer, WEIGHTS]) * lanes, inputs * lanes, lanes)
        b = Matrix(double, (gradient + layers[layer, BIASES]) * lanes, lanes, 0)
        add(units, inputs, 1, lanes, g, d, a, b, b, ONTO | (BIAS if bias else 0))

    return add_gradient


def make_measure(losses: Callable[[Any, Any], Any], lanes: int) -> Any:
    """Compile the measures for these losses (`value_pass` of each), all of them in one kernel."""
    add_gradient = _row_gradient(lanes)

    @kernel
    def measure(
        block: Any, network: Any, table: Any, targets: Any, loss: Any, bias: Any,
        double: Any, double_network: Any, with_gradient: Any, measures: Any, outputs: Any,
    ) -> None:  # fmt: skip
        """Measure every lane: what is a sum, and what is of the weights; the rest is `judge`'s, from the outputs.

        `block`, `network`, `table`: as trained. `double`: a float64 work block laid out by `double_network`, which has room for a
        gradient. Fills `measures`, float64 [measure, lane], zeros before, and
        `outputs`, float64 [row, output, lane].
        """
        wide()
        n, units = targets.values.shape
        layers = double_network.layers
        last = len(layers) - 1
        first, columns = network.layers[0, ACTIVATIONS] * lanes, columns_of(network)
        _copy_parameters(block, double, lanes, double_network)
        hidden = 0
        no_offset = measures[LOSS, 0]  # not a literal: it would be compiled for itself
        for row in range(n):
            present_to_all(block, lanes, lanes, first, columns, table, row)
            feedforward(block, lanes, network)
            output_sums(block, lanes, network)
            _copy_row(block, network, double, double_network, lanes, targets, row)
            for k in range(units):
                for lane in range(lanes):
                    outputs[row, k, lane] = load_activation(double, (layers[last, ACTIVATIONS] + k) * lanes + lane)
            for layer in range(1, last):
                hidden += layers[layer, UNITS]
                for unit in range(layers[layer, UNITS]):
                    for lane in range(lanes):
                        a = load_activation(double, (layers[layer, ACTIVATIONS] + unit) * lanes + lane)
                        measures[SATURATION, lane] += 1.0 if a < SATURATED_BELOW or a > SATURATED_ABOVE else 0.0
            losses(loss, (double, lanes, double_network, measures))
            if with_gradient:
                for layer in range(last, 0, -1):
                    if layer > 1:
                        hidden_deltas(double, lanes, layers, layer - 1, 0, no_offset)
                    add_gradient(double, double_network, layer, bias)
        for lane in range(lanes):
            squares, largest = 0.0, 0.0
            for row in range(double_network.parameters):
                w = double[row * lanes + lane]
                largest = w if w > largest else (-w if -w > largest else largest)
                g = double[(double_network.gradient + row) * lanes + lane] / n
                squares = fma(g, g, squares)
            measures[LOSS, lane] /= n
            measures[SATURATION, lane] /= hidden
            measures[WEIGHT_MAX, lane] = largest
            measures[GRAD_NORM, lane] = sqrt(squares)
            measures[FINITE, lane] = 1.0 if _finite_weights(double, lanes, double_network, lane) else 0.0

    return measure


def judge(outputs: NDArray[np.float64], targets: Targets, measures: NDArray[np.float64]) -> None:
    """Fill in the measures that follow from the outputs, float64 [row, output, lane], by comparisons and extremes alone.

    Where an output is NaN, so are the largest error and the spread.
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
