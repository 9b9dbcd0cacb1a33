"""Feedforward and backpropagation over lanes, for any depth and width.

Notation of Rumelhart, Hinton & Williams, "Learning internal representations by error propagation", 1986: z_k = b_k + Σ w_ki a_i,
a = σ(z), δ_k = ∂E/∂z_k, and for a hidden unit δ_j = σ′(z_j) Σ_k w_kj δ_k.

A work block holds, row after row, [row, lane]: all parameters (layer, unit, input; then that layer's biases), gradient and
velocity of each (where they are used), activations of every layer (the inputs first), targets, and a δ for every unit past the inputs.
The lane loop is always the innermost one, so no sum is ever regrouped and bits do not depend on the number of lanes. Sums run
over four units and up to four inputs at a time, which keeps partial sums in registers; every unit still adds its terms in order.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.compiling import inlined
from fastbp.kernels.memory import (
    Load,
    load_activation,
    load_delta,
    load_lane,
    load_order,
    load_parameter,
    load_table,
    store_activation,
    store_delta,
    store_parameter,
)
from fastbp.kernels.real import fma, like, sigmoid

UNITS, WEIGHTS, BIASES, ACTIVATIONS, DELTAS = range(5)
"""Columns of `Network.layers`: how many units, and the first row of each kind (the input layer has no weights and no δ)."""


class Network(NamedTuple):
    """Where everything lies in a work block. `layers`, int64 [layer, 5]; the rest are rows."""

    layers: NDArray[np.int64]
    parameters: int
    gradient: int
    velocity: int
    targets: int
    rows: int


def network(sizes: Sequence[int], accumulates: bool) -> Network:
    """Lay out the network with these layer sizes, inputs first; `accumulates`: with room for gradient and velocity."""
    layers = np.zeros((len(sizes), 5), np.int64)
    layers[:, UNITS] = sizes
    row = 0
    for layer in range(1, len(sizes)):
        layers[layer, WEIGHTS] = row
        row += sizes[layer] * sizes[layer - 1]
        layers[layer, BIASES] = row
        row += sizes[layer]
    parameters = row
    gradient = parameters if accumulates else 0
    velocity = 2 * gradient
    row = 3 * parameters if accumulates else parameters
    for layer, units in enumerate(sizes):
        layers[layer, ACTIVATIONS] = row
        row += units
    targets = row
    row += sizes[-1]
    for layer in range(1, len(sizes)):
        layers[layer, DELTAS] = row
        row += sizes[layer]
    return Network(layers, parameters, gradient, velocity, targets, row)


def _sums(units: int, inputs: int, load_source: Load, load_input: Load) -> Any:
    """A tile of z_k = source_k + Σ w_ki x_i, i ascending: one or four units, up to four inputs at a time.

    Forward, x are activations and the first source is the bias; backward, the sum runs over the outgoing weights, x are the δ of
    the layer above and the first source is +0. Later tiles continue what the first began.
    """
    four = units == 4

    @inlined
    def tile(block: Any, lanes: Any, source: Any, z: Any, w: Any, unit: Any, step: Any, x: Any) -> None:
        for lane in range(lanes):
            s0 = s1 = s2 = s3 = load_source(block, source + lane)
            if four:
                s1 = load_source(block, source + lanes + lane)
                s2 = load_source(block, source + 2 * lanes + lane)
                s3 = load_source(block, source + 3 * lanes + lane)
            for i in range(inputs):
                xi = load_input(block, x + i * lanes + lane)
                wi = w + i * step + lane
                s0 = fma(load_parameter(block, wi), xi, s0)
                if four:
                    s1 = fma(load_parameter(block, wi + unit), xi, s1)
                    s2 = fma(load_parameter(block, wi + 2 * unit), xi, s2)
                    s3 = fma(load_parameter(block, wi + 3 * unit), xi, s3)
            store_delta(block, z + lane, s0)
            if four:
                store_delta(block, z + lanes + lane, s1)
                store_delta(block, z + 2 * lanes + lane, s2)
                store_delta(block, z + 3 * lanes + lane, s3)

    return tile


@inlined
def _zero(block: Any, i: Any) -> Any:
    """The source of a sum that starts from +0."""
    return like(block[0], 0.0)


def _weighted_sums(load_source: Load, load_input: Load) -> Any:
    """All z of a layer, tile by tile. The tile with a remainder of inputs comes first, so that all later ones have four."""
    first = [_sums(units, inputs, load_source, load_input) for units in (4, 1) for inputs in (1, 2, 3, 4)]
    four_1, four_2, four_3, four_4, one_1, one_2, one_3, one_4 = first
    four_more, one_more = (_sums(units, 4, load_delta, load_input) for units in (4, 1))

    @inlined
    def sums(block: Any, lanes: Any, units: Any, inputs: Any, source: Any, z: Any, w: Any, unit: Any, step: Any, x: Any) -> None:
        begun = (inputs - 1) % 4 + 1
        k = 0
        while k < units:
            wk, zk, sk = w + k * unit, z + k * lanes, source + k * lanes
            if k + 4 <= units:
                if begun == 1:
                    four_1(block, lanes, sk, zk, wk, unit, step, x)
                elif begun == 2:
                    four_2(block, lanes, sk, zk, wk, unit, step, x)
                elif begun == 3:
                    four_3(block, lanes, sk, zk, wk, unit, step, x)
                else:
                    four_4(block, lanes, sk, zk, wk, unit, step, x)
                for i in range(begun, inputs, 4):
                    four_more(block, lanes, zk, zk, wk + i * step, unit, step, x + i * lanes)
                k += 4
            else:
                if begun == 1:
                    one_1(block, lanes, sk, zk, wk, unit, step, x)
                elif begun == 2:
                    one_2(block, lanes, sk, zk, wk, unit, step, x)
                elif begun == 3:
                    one_3(block, lanes, sk, zk, wk, unit, step, x)
                else:
                    one_4(block, lanes, sk, zk, wk, unit, step, x)
                for i in range(begun, inputs, 4):
                    one_more(block, lanes, zk, zk, wk + i * step, unit, step, x + i * lanes)
                k += 1

    return sums


_forward_sums = _weighted_sums(load_parameter, load_activation)
_backward_sums = _weighted_sums(_zero, load_delta)


@inlined
def present(block: Any, lanes: Any, network: Any, table: Any, n: Any, rows: Any, position: Any) -> None:
    """Copy the row that each lane has chosen for a position of its epoch into its inputs and targets.

    `table`: flat [column, row], input columns first, then targets; `rows`: flat [position, lane].
    """
    layers = network.layers
    inputs, chosen = layers[0, UNITS], position * lanes
    for column in range(inputs + layers[-1, UNITS]):
        a = (layers[0, ACTIVATIONS] + column if column < inputs else network.targets + column - inputs) * lanes
        for lane in range(lanes):
            store_activation(block, a + lane, load_table(table, column * n + load_order(rows, chosen + lane)))


@inlined
def present_to_all(block: Any, lanes: Any, network: Any, table: Any, n: Any, row: Any) -> None:
    """Copy the same row into the inputs and targets of every lane."""
    layers = network.layers
    inputs = layers[0, UNITS]
    for column in range(inputs + layers[-1, UNITS]):
        a = (layers[0, ACTIVATIONS] + column if column < inputs else network.targets + column - inputs) * lanes
        value = load_table(table, column * n + row)
        for lane in range(lanes):
            store_activation(block, a + lane, value)


@inlined
def feedforward(block: Any, lanes: Any, network: Any) -> None:
    """Activations of every layer from the inputs; the δ rows are left holding z."""
    layers = network.layers
    for layer in range(1, len(layers)):
        inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
        x, a = layers[layer - 1, ACTIVATIONS] * lanes, layers[layer, ACTIVATIONS] * lanes
        w, b, z = layers[layer, WEIGHTS] * lanes, layers[layer, BIASES] * lanes, layers[layer, DELTAS] * lanes
        _forward_sums(block, lanes, units, inputs, b, z, w, inputs * lanes, lanes, x)
        for i in range(units * lanes):
            store_activation(block, a + i, sigmoid(load_delta(block, z + i)))


@inlined
def slope(a: Any) -> Any:
    """σ′(z) from a = σ(z): a(1 − a), as fma(−a, a, a)."""
    return fma(-a, a, a)


@inlined
def hidden_deltas(block: Any, lanes: Any, layers: Any, layer: Any, prime_offset: Any) -> None:
    """δ of a hidden layer from the δ and the weights of the layer above."""
    units, above = layers[layer, UNITS], layers[layer + 1, UNITS]
    w, d = layers[layer + 1, WEIGHTS] * lanes, layers[layer, DELTAS] * lanes
    a, d_above = layers[layer, ACTIVATIONS] * lanes, layers[layer + 1, DELTAS] * lanes
    _backward_sums(block, lanes, units, above, d, d, w, lanes, units * lanes, d_above)
    if prime_offset == like(prime_offset, 0.0):
        for i in range(units * lanes):
            store_delta(block, d + i, load_delta(block, d + i) * slope(load_activation(block, a + i)))
    else:
        for i in range(units * lanes):
            store_delta(block, d + i, load_delta(block, d + i) * (slope(load_activation(block, a + i)) + prime_offset))


def _products(units: int, inputs: int) -> Any:
    """A tile of g_ki ← g_ki + c_k a_i: one or four units, up to four inputs at a time."""
    four = units == 4

    @inlined
    def tile(block: Any, lanes: Any, g: Any, unit: Any, c: Any, a: Any) -> None:
        for lane in range(lanes):
            c0 = c1 = c2 = c3 = load_delta(block, c + lane)
            if four:
                c1 = load_delta(block, c + lanes + lane)
                c2 = load_delta(block, c + 2 * lanes + lane)
                c3 = load_delta(block, c + 3 * lanes + lane)
            for i in range(inputs):
                ai = load_activation(block, a + i * lanes + lane)
                gi = g + i * lanes + lane
                store_parameter(block, gi, fma(c0, ai, load_parameter(block, gi)))
                if four:
                    store_parameter(block, gi + unit, fma(c1, ai, load_parameter(block, gi + unit)))
                    store_parameter(block, gi + 2 * unit, fma(c2, ai, load_parameter(block, gi + 2 * unit)))
                    store_parameter(block, gi + 3 * unit, fma(c3, ai, load_parameter(block, gi + 3 * unit)))

    return tile


_four_1, _four_2, _four_3, _four_4, _one_1, _one_2, _one_3, _one_4 = (_products(u, i) for u in (4, 1) for i in (1, 2, 3, 4))


@inlined
def add_products(block: Any, lanes: Any, layers: Any, layer: Any, offset: Any, bias: Any) -> None:
    """Add c_k a_i to the parameters of a layer (offset 0) or to their gradient, where the δ rows hold c.

    With c = δ and the gradient's offset that accumulates ∂E/∂w; with c = −lr·δ and no offset it is an online update.
    """
    inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
    unit, a, c = inputs * lanes, layers[layer - 1, ACTIVATIONS] * lanes, layers[layer, DELTAS] * lanes
    w, b = (offset + layers[layer, WEIGHTS]) * lanes, (offset + layers[layer, BIASES]) * lanes
    k = 0
    while k < units:
        four = k + 4 <= units
        for i in range(0, inputs, 4):
            g, ck, ai, left = w + k * unit + i * lanes, c + k * lanes, a + i * lanes, inputs - i
            if four:
                if left >= 4:
                    _four_4(block, lanes, g, unit, ck, ai)
                elif left == 3:
                    _four_3(block, lanes, g, unit, ck, ai)
                elif left == 2:
                    _four_2(block, lanes, g, unit, ck, ai)
                else:
                    _four_1(block, lanes, g, unit, ck, ai)
            elif left >= 4:
                _one_4(block, lanes, g, unit, ck, ai)
            elif left == 3:
                _one_3(block, lanes, g, unit, ck, ai)
            elif left == 2:
                _one_2(block, lanes, g, unit, ck, ai)
            else:
                _one_1(block, lanes, g, unit, ck, ai)
        k += 4 if four else 1
    if bias:
        for i in range(units * lanes):
            store_parameter(block, b + i, load_parameter(block, b + i) + load_delta(block, c + i))


@inlined
def scale_deltas(block: Any, lanes: Any, layers: Any, layer: Any, rate: Any) -> None:
    """Turn the δ of a layer into steps: s = −(lr·δ), each lane with its own rate."""
    d = layers[layer, DELTAS] * lanes
    for k in range(layers[layer, UNITS]):
        for lane in range(lanes):
            store_delta(block, d + k * lanes + lane, -(load_lane(rate, lane) * load_delta(block, d + k * lanes + lane)))
