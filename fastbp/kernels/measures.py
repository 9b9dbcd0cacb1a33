"""What is said of a network: has it converged (a look), and all measures of its state. In float64,
on the dtype's outputs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.jit import inlined, kernel, shared
from fastbp.kernels.memory import (
    load_activation,
    load_delta,
    load_lane,
    load_parameter,
    store_activation,
    store_delta,
    store_lane,
    store_parameter,
    store_result,
    wide,
)
from fastbp.kernels.network import (
    ACTIVATIONS,
    DELTAS,
    UNITS,
    columns_of,
    feedforward,
    in_samples,
    present_to_all,
)
from fastbp.kernels.real import fma, slope, sqrt, to_bits
from fastbp.kernels.tiles import BIAS, ONTO, Matrix

LOSS, SPREAD, MAX_ERROR, WRONG, ONE_SIDED, SATURATION, GRAD_NORM, WEIGHT_MAX, FINITE = range(9)
"""Rows of the measures."""

MEASURES = 9

SATURATED_BELOW, SATURATED_ABOVE = 0.05, 0.95

_EXPONENT = np.int64(0x7FF0000000000000)


class Targets(NamedTuple):
    """What outputs are held against, float64: `values`, [row, output]; per output `ranges` (max −
    min of its targets, 1 where they are constant), `middles` (their mean) and `varies` (whether
    they are not constant).
    """

    values: NDArray[np.float64]
    ranges: NDArray[np.float64]
    middles: NDArray[np.float64]
    varies: NDArray[np.bool_]
    look_at: NDArray[np.int64]
    """All rows, in the order in which a first look takes them: those with different targets first,
    and of these the rarest, for one of them tells soonest that a network has not converged."""


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
    return Targets(
        np.array(T, np.float64, order="C"),
        np.where(varies, high - low, 1.0),
        0.5 * (low + high),
        varies,
        look_at,
    )


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
    """Note the lanes that this look finds converged first: `converged_at`, int64 [lane], −1 before,
    becomes `now`, int64 [lane].

    Converged: all weights finite, and |o − t| ÷ range ≤ `tolerance` for every row and output.
    Looked at are all lanes where a look is `due`, else only those at the end of their budget.
    `within`: int64 [lane], to work with. `look_at`: all rows in the order in which they are taken,
    until one leaves no lane; that one is the first of the next look.
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
    """Values and δ of the output layer by one loss, in float64. Values take the place of the
    outputs.
    """

    @inlined
    def values(work: Any, strip: Any, samples: Any) -> None:
        last, count = samples.layers[-1], samples.layers[-1, UNITS] * samples.most * strip
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
    """Add what stands for each sample to a measure, sample after sample."""
    for sample in range(taken):
        for i in range(strip):
            sum_ = load_lane(measures, measure + i) + load_activation(
                work, first + sample * strip + i
            )
            store_lane(measures, measure + i, sum_)


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


def make_measure(losses: Callable[[Any, Any], Any], lanes: int) -> Any:
    """Compile the measures for these losses (`value_pass` of each), all of them in one kernel."""
    forward, back = in_samples(lanes)

    @kernel
    def measure(
        block: Any, work: Any, network: Any, table: Any, targets: Any, loss: Any, bias: Any,
        double: Any, double_work: Any, double_network: Any, with_gradient: Any, measures: Any, outputs: Any,
    ) -> None:  # fmt: skip
        """Measure every lane: what is a sum, and what is of the weights; the rest is `judge`'s,
        from the outputs.

        `block`, `network`, `table`: as trained. `double`: a float64 work block laid out by
        `double_network`, which has room for a gradient; `work` and `double_work`: room for its
        samples, for a strip of lanes, in both dtypes. Fills `measures`, float64 [measure, lane],
        zeros before, and `outputs`, float64 [row, output, lane], both flat.
        """
        wide()
        n, units = targets.values.shape
        samples = double_network.samples
        strip, most = len(work) // samples.rows, samples.most
        step, layers, last = most * strip, samples.layers, len(samples.layers) - 1
        a, t, d = (
            layers[last, ACTIVATIONS] * strip,
            samples.targets * strip,
            layers[1, DELTAS] * strip,
        )
        _copy_parameters(block, double, lanes, double_network)
        no_offset = measures[0]  # not a literal: it would be compiled for itself
        then = ONTO | (BIAS if bias else 0)
        hidden = 0
        for start in range(0, n, most):
            taken = min(most, n - start)
            for sample in range(taken):
                present_to_all(
                    work, strip, step, sample * strip, columns_of(network), table, start + sample
                )
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
                        o, place = (
                            a + k * step + sample * strip,
                            ((start + sample) * units + k) * lanes + lane,
                        )
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
                            saturated = (
                                1.0 if value < SATURATED_BELOW or value > SATURATED_ABOVE else 0.0
                            )
                            store_delta(
                                double_work, d + i, load_delta(double_work, d + i) + saturated
                            )
                _add_samples(double_work, d, strip, taken, measures, SATURATION * lanes + lane)
                losses(loss, (double_work, strip, samples))
                for k in range(1, units):
                    for i in range(a, a + step):
                        value = load_activation(double_work, i) + load_activation(
                            double_work, i + k * step
                        )
                        store_activation(double_work, i, value)
                _add_samples(double_work, a, strip, taken, measures, LOSS * lanes + lane)
                if with_gradient:
                    x = Matrix(double_work, 0, step, strip)
                    back(
                        double,
                        double_work,
                        double_network,
                        samples,
                        strip,
                        lane,
                        taken,
                        x,
                        no_offset,
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
    """Fill in the measures that follow from the outputs, float64 [row, output, lane], by
    comparisons and extremes alone.

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
