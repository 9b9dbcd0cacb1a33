"""Online learning over lanes, for any depth and width: each sample changes the weights.

Notation of Rumelhart, Hinton & Williams, "Learning internal representations by error propagation",
1986: z_k = b_k + Σ w_ki a_i, a = σ(z), δ_k = ∂E/∂z_k, and for a hidden unit δ_j = σ′(z_j) Σ_k w_kj
δ_k.

The lane loop is always the innermost one, so no sum is ever regrouped and bits do not depend on the
number of lanes. Sums run over four units and up to four inputs at a time, which keeps partial sums
in registers; every unit still adds its terms in order.

An update waits for the next sample: the forward pass over a layer's weights first adds the pending
update of the last sample, −(r·δ_k)·a_i. So each weight is loaded and stored once per update. Stores
limit the speed of small layers, memory that of large ones.
"""

from typing import Any

from fastbp.kernels.jit import Chosen, inlined, shared
from fastbp.kernels.layout import (
    ACTIVATIONS,
    BIASES,
    DELTAS,
    UNITS,
    WEIGHTS,
    columns_of,
    loop_lanes,
    present,
    present_to_all,
)
from fastbp.kernels.memory import (
    load_activation,
    load_bias,
    load_delta,
    load_lane,
    load_parameter,
    load_result,
    of_unit,
    store_activation,
    store_bias,
    store_delta,
    store_parameter,
    store_result,
    wide,
)
from fastbp.kernels.real import sigmoid, slope
from fastbp.kernels.vector_ir import fma, like, masked


@inlined
def activate_units(block: Any, a: Any, count: Any) -> None:
    """Replace sums by activations."""
    for i in range(count):
        store_result(block, a + i, sigmoid(load_result(block, a + i)))


def _back(above: int, first: bool, last: bool = False) -> Any:
    """Make a tile of δ_j = σ′_j Σ w_kj δ_k, k ascending: four units, so many units above.

    The last tile multiplies by σ′.
    """

    @shared
    def tile(
        block: Any, lanes: Any, w: Any, step: Any, d_above: Any, a: Any, d: Any, offset: Any
    ) -> None:
        wide()
        for lane in range(lanes):
            if first:
                s0 = s1 = s2 = s3 = like(block[0], 0.0)
            else:
                s0 = load_result(block, d + lane)
                s1 = load_result(block, d + lanes + lane)
                s2 = load_result(block, d + 2 * lanes + lane)
                s3 = load_result(block, d + 3 * lanes + lane)
            for k in range(above):
                dk = load_delta(block, d_above + k * lanes + lane)
                wk = w + k * step + lane
                s0 = fma(load_parameter(block, wk), dk, s0)
                s1 = fma(load_parameter(block, wk + lanes), dk, s1)
                s2 = fma(load_parameter(block, wk + 2 * lanes), dk, s2)
                s3 = fma(load_parameter(block, wk + 3 * lanes), dk, s3)
            if last:
                s0 = s0 * (slope(load_activation(block, a + lane)) + offset)
                s1 = s1 * (slope(load_activation(block, a + lanes + lane)) + offset)
                s2 = s2 * (slope(load_activation(block, a + 2 * lanes + lane)) + offset)
                s3 = s3 * (slope(load_activation(block, a + 3 * lanes + lane)) + offset)
            store_result(block, d + lane, s0)
            store_result(block, d + lanes + lane, s1)
            store_result(block, d + 2 * lanes + lane, s2)
            store_result(block, d + 3 * lanes + lane, s3)

    return tile


_down4_1 = _back(1, True, True)
_down4_first = _back(1, True)
_down4_more_1, _down4_more_4 = _back(1, False), _back(4, False)


@inlined
def _down1(block: Any, lanes: Any, w: Any, d_above: Any, d: Any) -> None:
    """Add a term to the sum of a single unit."""
    for lane in range(loop_lanes(block, lanes)):
        weight, dk = load_parameter(block, w + lane), load_delta(block, d_above + lane)
        store_delta(block, d + lane, fma(weight, dk, load_delta(block, d + lane)))


@inlined
def hidden_deltas(
    block: Any, lanes: Any, layers: Any, layer: Any, other: Any, prime_offset: Any
) -> None:
    """Compute δ of a hidden layer from the layer above; its activations lie past `other`."""
    units, above = layers[layer, UNITS], layers[layer + 1, UNITS]
    w, d_above = layers[layer + 1, WEIGHTS] * lanes, layers[layer + 1, DELTAS] * lanes
    a, d = (layers[layer, ACTIVATIONS] + other) * lanes, layers[layer, DELTAS] * lanes
    step = units * lanes
    if units < 4:
        for j in range(units):
            wj, dj, aj = w + j * lanes, d + j * lanes, a + j * lanes
            for i in range(dj, dj + lanes):
                store_delta(block, i, like(block[0], 0.0))
            for k in range(above):
                _down1(block, lanes, wj + k * step, d_above + k * lanes, dj)
            _times_slope(block, dj, aj, lanes, prime_offset)
    else:
        for first in range(0, units, 4):
            j = min(first, units - 4)  # units that are computed twice get the same values
            wj, dj, aj = w + j * lanes, d + j * lanes, a + j * lanes
            if above == 1:
                _down4_1(block, lanes, wj, step, d_above, aj, dj, prime_offset)
            else:
                _down4_first(block, lanes, wj, step, d_above, aj, dj, prime_offset)
                k = 1
                while k + 4 <= above:
                    wk, dk = wj + k * step, d_above + k * lanes
                    _down4_more_4(block, lanes, wk, step, dk, aj, dj, prime_offset)
                    k += 4
                while k < above:
                    wk, dk = wj + k * step, d_above + k * lanes
                    _down4_more_1(block, lanes, wk, step, dk, aj, dj, prime_offset)
                    k += 1
                _times_slope(block, dj, aj, 4 * lanes, prime_offset)


@inlined
def _times_slope(block: Any, d: Any, a: Any, count: Any, prime_offset: Any) -> None:
    for i in range(count):
        factor = slope(load_activation(block, a + i)) + prime_offset
        store_delta(block, d + i, load_delta(block, d + i) * factor)


def _fused_four(inputs: int, first: bool, activate: bool = False) -> Any:
    """Make a tile of w_ki ← w_ki − (r·δ_k)·y_i and z_k = b_k + Σ w_ki x_i: four units.

    y belongs to the last sample, x to the next one; `first` starts the sums, `activate` ends them.
    """
    (load_0, store_0), (load_1, store_1), (load_2, store_2), (load_3, store_3) = of_unit

    @shared
    def tile(
        block: Any,
        lanes: Any,
        b: Any,
        w: Any,
        unit: Any,
        d: Any,
        y: Any,
        x: Any,
        a: Any,
        rate: Any,
        biases: Any,
    ) -> None:
        wide()
        for lane in range(lanes):
            r = load_lane(rate, lane)
            c0 = -(r * load_delta(block, d + lane))
            c1 = -(r * load_delta(block, d + lanes + lane))
            c2 = -(r * load_delta(block, d + 2 * lanes + lane))
            c3 = -(r * load_delta(block, d + 3 * lanes + lane))
            z, bi = a + lane, b + lane
            if first:
                s0 = load_bias(block, bi) + masked(c0, biases)
                s1 = load_bias(block, bi + lanes) + masked(c1, biases)
                s2 = load_bias(block, bi + 2 * lanes) + masked(c2, biases)
                s3 = load_bias(block, bi + 3 * lanes) + masked(c3, biases)
                store_bias(block, bi, s0)
                store_bias(block, bi + lanes, s1)
                store_bias(block, bi + 2 * lanes, s2)
                store_bias(block, bi + 3 * lanes, s3)
            else:
                s0, s1 = load_result(block, z), load_result(block, z + lanes)
                s2, s3 = load_result(block, z + 2 * lanes), load_result(block, z + 3 * lanes)
            for i in range(inputs):
                wi = w + i * lanes + lane
                yi, xi = (
                    load_activation(block, y + i * lanes + lane),
                    load_activation(block, x + i * lanes + lane),
                )
                w0 = fma(c0, yi, load_0(block, wi))
                w1 = fma(c1, yi, load_1(block, wi + unit))
                w2 = fma(c2, yi, load_2(block, wi + 2 * unit))
                w3 = fma(c3, yi, load_3(block, wi + 3 * unit))
                store_0(block, wi, w0)
                store_1(block, wi + unit, w1)
                store_2(block, wi + 2 * unit, w2)
                store_3(block, wi + 3 * unit, w3)
                s0, s1, s2, s3 = fma(w0, xi, s0), fma(w1, xi, s1), fma(w2, xi, s2), fma(w3, xi, s3)
            store_result(block, z, sigmoid(s0) if activate else s0)
            store_result(block, z + lanes, sigmoid(s1) if activate else s1)
            store_result(block, z + 2 * lanes, sigmoid(s2) if activate else s2)
            store_result(block, z + 3 * lanes, sigmoid(s3) if activate else s3)

    return tile


def _fused_one(inputs: int, first: bool, activate: bool = False) -> Any:
    """The same for a single unit: one input or four at a time."""
    load_weight, store_weight = of_unit[0]

    @shared
    def tile(
        block: Any,
        lanes: Any,
        b: Any,
        w: Any,
        d: Any,
        y: Any,
        x: Any,
        a: Any,
        rate: Any,
        biases: Any,
    ) -> None:
        wide()
        for lane in range(lanes):
            z, wi, yi, xi = a + lane, w + lane, y + lane, x + lane
            c = -(load_lane(rate, lane) * load_delta(block, d + lane))
            if first:
                s = load_bias(block, b + lane) + masked(c, biases)
                store_bias(block, b + lane, s)
            else:
                s = load_result(block, z)
            weight = fma(c, load_activation(block, yi), load_weight(block, wi))
            store_weight(block, wi, weight)
            s = fma(weight, load_activation(block, xi), s)
            if inputs == 4:
                weight = fma(c, load_activation(block, yi + lanes), load_weight(block, wi + lanes))
                store_weight(block, wi + lanes, weight)
                s = fma(weight, load_activation(block, xi + lanes), s)
                weight = fma(
                    c, load_activation(block, yi + 2 * lanes), load_weight(block, wi + 2 * lanes)
                )
                store_weight(block, wi + 2 * lanes, weight)
                s = fma(weight, load_activation(block, xi + 2 * lanes), s)
                weight = fma(
                    c, load_activation(block, yi + 3 * lanes), load_weight(block, wi + 3 * lanes)
                )
                store_weight(block, wi + 3 * lanes, weight)
                s = fma(weight, load_activation(block, xi + 3 * lanes), s)
            store_result(block, z, sigmoid(s) if activate else s)

    return tile


_fused4_2, _fused4_3, _fused4_4 = (_fused_four(inputs, True, True) for inputs in (2, 3, 4))
_fused4_first = _fused_four(4, True)
_fused4_more_1, _fused4_more_4 = (_fused_four(inputs, False) for inputs in (1, 4))
_fused1_4, _fused1_first = _fused_one(4, True, True), _fused_one(1, True)
_fused1_more_1, _fused1_more_4 = (_fused_one(inputs, False) for inputs in (1, 4))


@inlined
def fused_step(
    block: Any, lanes: Any, network: Any, last: Any, now: Any, rate: Any, biases: Any
) -> None:
    """Apply the pending update of one sample and compute the activations of the next.

    The activations of the samples lie past `last` and past `now`; `rate` holds the learning rate of
    each lane. `biases`: −1 where there are biases, else 0, as wide as reals.
    """
    layers = network.layers
    for layer in range(1, len(layers)):
        inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
        below, a = layers[layer - 1, ACTIVATIONS], (layers[layer, ACTIVATIONS] + now) * lanes
        y, x = (below + last) * lanes, (below + now) * lanes
        w, b = layers[layer, WEIGHTS] * lanes, layers[layer, BIASES] * lanes
        d = layers[layer, DELTAS] * lanes
        unit = inputs * lanes
        k = 0
        while k + 4 <= units and inputs > 1:
            wk, bk, dk, ak = w + k * unit, b + k * lanes, d + k * lanes, a + k * lanes
            if inputs == 2:
                _fused4_2(block, lanes, bk, wk, unit, dk, y, x, ak, rate, biases)
            elif inputs == 3:
                _fused4_3(block, lanes, bk, wk, unit, dk, y, x, ak, rate, biases)
            elif inputs == 4:
                _fused4_4(block, lanes, bk, wk, unit, dk, y, x, ak, rate, biases)
            else:
                _fused4_first(block, lanes, bk, wk, unit, dk, y, x, ak, rate, biases)
                i = 4
                while i + 4 <= inputs:
                    wi, yi, xi = wk + i * lanes, y + i * lanes, x + i * lanes
                    _fused4_more_4(block, lanes, bk, wi, unit, dk, yi, xi, ak, rate, biases)
                    i += 4
                while i < inputs:
                    wi, yi, xi = wk + i * lanes, y + i * lanes, x + i * lanes
                    _fused4_more_1(block, lanes, bk, wi, unit, dk, yi, xi, ak, rate, biases)
                    i += 1
                activate_units(block, ak, 4 * lanes)
            k += 4
        while k < units:
            wk, bk, dk, ak = w + k * unit, b + k * lanes, d + k * lanes, a + k * lanes
            if inputs == 4:
                _fused1_4(block, lanes, bk, wk, dk, y, x, ak, rate, biases)
            else:
                _fused1_first(block, lanes, bk, wk, dk, y, x, ak, rate, biases)
                i = 1
                while i + 4 <= inputs:
                    wi, yi, xi = wk + i * lanes, y + i * lanes, x + i * lanes
                    _fused1_more_4(block, lanes, bk, wi, dk, yi, xi, ak, rate, biases)
                    i += 4
                while i < inputs:
                    wi, yi, xi = wk + i * lanes, y + i * lanes, x + i * lanes
                    _fused1_more_1(block, lanes, bk, wi, dk, yi, xi, ak, rate, biases)
                    i += 1
                activate_units(block, ak, lanes)
            k += 1


@inlined
def flush_pending(block: Any, lanes: Any, network: Any, last: Any, rate: Any, biases: Any) -> None:
    """Apply the pending update of the sample past `last`, and clear it."""
    layers = network.layers
    for layer in range(1, len(layers)):
        inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
        w, b = layers[layer, WEIGHTS] * lanes, layers[layer, BIASES] * lanes
        d = layers[layer, DELTAS] * lanes
        y = (layers[layer - 1, ACTIVATIONS] + last) * lanes
        for k in range(units):
            for lane in range(lanes):
                i = k * lanes + lane
                step = -(load_lane(rate, lane) * load_delta(block, d + i))
                store_parameter(block, b + i, load_parameter(block, b + i) + masked(step, biases))
            for i in range(inputs):
                wi, yi, dk = w + (k * inputs + i) * lanes, y + i * lanes, d + k * lanes
                for lane in range(lanes):
                    step = -(load_lane(rate, lane) * load_delta(block, dk + lane))
                    yl, weight = load_activation(block, yi + lane), load_parameter(block, wi + lane)
                    store_parameter(block, wi + lane, fma(step, yl, weight))
    clear_pending(block, lanes, network, last)


@inlined
def clear_pending(block: Any, lanes: Any, network: Any, last: Any) -> None:
    """Set the pending update to 0, activations too: 0 times NaN would still be added."""
    nothing = like(block[0], 0.0)
    first = (network.layers[0, ACTIVATIONS] + last) * lanes
    for i in range(first, first + network.other * lanes):
        store_activation(block, i, nothing)
    for i in range(network.layers[1, DELTAS] * lanes, network.rows * lanes):
        store_delta(block, i, nothing)


def online_epoch(losses: Chosen, lanes: int) -> Any:
    """Make an epoch in which each sample changes the weights."""

    @inlined
    def epoch(state: Any, network: Any, table: Any, config: Any, updates: Any, last: Any) -> Any:
        """Train for one epoch; `last` is where the sample with the pending update lies."""
        block, layers, columns = state.block, network.layers, columns_of(network)
        rate = state.last_rate
        for position in range(updates):
            now = network.other - last
            first = (layers[0, ACTIVATIONS] + now) * lanes
            if config.cyclic:
                present_to_all(block, lanes, lanes, first, columns, table, position)
            else:
                present(block, lanes, lanes, first, columns, table, state.rows, position)
            fused_step(block, lanes, network, last, now, rate, config.bias_mask)
            losses(config.loss, (block, lanes, lanes, network, now, config.prime_offset))
            for layer in range(len(layers) - 2, 0, -1):
                hidden_deltas(block, lanes, layers, layer, now, config.prime_offset)
            rate, last = state.rate, now
        return last

    return epoch
