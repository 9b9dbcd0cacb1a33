"""Feedforward and backpropagation over lanes, for any depth and width.

Notation of Rumelhart, Hinton & Williams, "Learning internal representations by error propagation", 1986: z_k = b_k + Σ w_ki a_i,
a = σ(z), δ_k = ∂E/∂z_k, and for a hidden unit δ_j = σ′(z_j) Σ_k w_kj δ_k.

A work block holds, row after row, [row, lane]: all parameters (layer, unit, input; then that layer's biases), gradient and
velocity of each (where they are used), activations of every layer (the inputs first), targets, and a δ for every unit past the
inputs.
The lane loop is always the innermost one, so no sum is ever regrouped and bits do not depend on the number of lanes. Sums run
over four units and up to four inputs at a time, which keeps partial sums in registers; every unit still adds its terms in order.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.compiling import inlined, shared
from fastbp.kernels.memory import (
    Load,
    load_activation,
    load_delta,
    load_lane,
    load_order,
    load_parameter,
    load_table,
    of_unit,
    store_activation,
    store_delta,
    store_parameter,
    wide,
)
from fastbp.kernels.real import fma, like, sigmoid

UNITS, WEIGHTS, BIASES, ACTIVATIONS, DELTAS = range(5)
"""Columns of `Network.layers`: how many units, and the first row of each kind (the input layer has no weights and no δ)."""


_NONE, _ONE = np.uint64(0), np.uint64(1)


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
    targets = row + sizes[0]  # right behind the inputs, so that a row of a table goes into rows that follow each other
    for layer, units in enumerate(sizes):
        layers[layer, ACTIVATIONS] = row
        row += units + (sizes[-1] if layer == 0 else 0)
    for layer in range(1, len(sizes)):
        layers[layer, DELTAS] = row
        row += sizes[layer]
    return Network(layers, parameters, gradient, velocity, targets, row)


def _sums(units: int, inputs: int, load_source: Load, load_input: Load, activate: bool = False) -> Any:
    """A tile of z_k = source_k + Σ w_ki x_i, i ascending: one or four units, up to four inputs at a time.

    Forward, x are activations and the first source is the bias; backward, the sum runs over the outgoing weights, x are the δ of
    the layer above and the first source is +0. Later tiles continue what the first began. `activate`: the sums are whole, so
    store σ(z) instead: one pass over memory less, and stores are what bounds small layers.
    """
    four, continued = units == 4, load_source is load_delta

    @inlined
    def tile(block: Any, lanes: Any, source: Any, z: Any, w: Any, unit: Any, step: Any, x: Any, a: Any) -> None:
        first = z if continued else source  # by one name: a check whether two overlap would find that they do, and not vectorise
        for lane in range(lanes):
            s0 = s1 = s2 = s3 = load_source(block, first + lane)
            if four:
                s1 = load_source(block, first + lanes + lane)
                s2 = load_source(block, first + 2 * lanes + lane)
                s3 = load_source(block, first + 3 * lanes + lane)
            for i in range(inputs):
                xi = load_input(block, x + i * lanes + lane)
                wi = w + i * step + lane
                s0 = fma(load_parameter(block, wi), xi, s0)
                if four:
                    s1 = fma(load_parameter(block, wi + unit), xi, s1)
                    s2 = fma(load_parameter(block, wi + 2 * unit), xi, s2)
                    s3 = fma(load_parameter(block, wi + 3 * unit), xi, s3)
            if activate:
                store_activation(block, a + lane, sigmoid(s0))
                if four:
                    store_activation(block, a + lanes + lane, sigmoid(s1))
                    store_activation(block, a + 2 * lanes + lane, sigmoid(s2))
                    store_activation(block, a + 3 * lanes + lane, sigmoid(s3))
            else:
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


_up4_2, _up4_3, _up4_4 = (_sums(4, inputs, load_parameter, load_activation, True) for inputs in (2, 3, 4))
_up1_4 = _sums(1, 4, load_parameter, load_activation, True)
_up4_first, _up1_first = (_sums(units, 1, load_parameter, load_activation) for units in (4, 1))
_up4_more_1, _up4_more_4 = (_sums(4, inputs, load_delta, load_activation) for inputs in (1, 4))
_up1_more = _sums(1, 1, load_delta, load_activation)
_down4_first, _down1_first = (_sums(units, 1, _zero, load_delta) for units in (4, 1))
_down4_more_1, _down4_more_4 = (_sums(4, inputs, load_delta, load_delta) for inputs in (1, 4))
_down1_more = _sums(1, 1, load_delta, load_delta)


class Table(NamedTuple):
    """A problem as lanes read it, in their dtype: input columns first, then targets.

    Columns of two values in a table of at most 64 rows (every problem of bits) are kept as a mask as well: a shift and a blend
    are several times cheaper than a gather.
    """

    rows: int
    values: NDArray[Any]
    """Flat [column, row]."""
    two_valued: bool
    masks: NDArray[np.uint64]
    """Per column, bit r is set where row r has the higher value."""
    low: NDArray[Any]
    high: NDArray[Any]


def table(X: NDArray[np.float64], T: NDArray[np.float64], dtype: DTypeLike) -> Table:
    """The table of a problem with inputs X [row, input] and targets T [row, output]."""
    columns = np.ascontiguousarray(np.hstack([X, T]).T, dtype)
    rows = columns.shape[1]
    low, high = columns.min(axis=1), columns.max(axis=1)
    is_high = columns == high[:, None]
    two_valued = rows <= 64 and bool((is_high | (columns == low[:, None])).all())
    masks = (is_high[:, :64].astype(np.uint64) << np.arange(min(rows, 64), dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
    return Table(rows, columns.ravel(), two_valued, masks, low, high)


@inlined
def _two_values(table: Any, column: Any) -> Any:
    return load_table(table.masks, column), load_table(table.low, column), load_table(table.high, column)


@inlined
def present(block: Any, lanes: Any, network: Any, table: Any, rows: Any, position: Any) -> None:
    """Copy the row that each lane has chosen for a position of its epoch into its inputs and targets.

    `rows`: flat [position, lane].
    """
    columns = network.targets - network.layers[0, ACTIVATIONS] + network.layers[-1, UNITS]
    first, chosen, column = network.layers[0, ACTIVATIONS], position * lanes, 0
    if table.two_valued:
        while column + 4 <= columns:
            a = (first + column) * lanes
            m0, l0, h0 = _two_values(table, column)
            m1, l1, h1 = _two_values(table, column + 1)
            m2, l2, h2 = _two_values(table, column + 2)
            m3, l3, h3 = _two_values(table, column + 3)
            for lane in range(lanes):
                bit = _ONE << np.uint64(load_order(rows, chosen + lane))
                store_activation(block, a + lane, h0 if m0 & bit != _NONE else l0)
                store_activation(block, a + lanes + lane, h1 if m1 & bit != _NONE else l1)
                store_activation(block, a + 2 * lanes + lane, h2 if m2 & bit != _NONE else l2)
                store_activation(block, a + 3 * lanes + lane, h3 if m3 & bit != _NONE else l3)
            column += 4
        while column < columns:
            a = (first + column) * lanes
            m0, l0, h0 = _two_values(table, column)
            for lane in range(lanes):
                bit = _ONE << np.uint64(load_order(rows, chosen + lane))
                store_activation(block, a + lane, h0 if m0 & bit != _NONE else l0)
            column += 1
    while column < columns:
        a, values = (first + column) * lanes, column * table.rows
        for lane in range(lanes):
            store_activation(block, a + lane, load_table(table.values, values + load_order(rows, chosen + lane)))
        column += 1


@inlined
def present_to_all(block: Any, lanes: Any, network: Any, table: Any, row: Any) -> None:
    """Copy the same row into the inputs and targets of every lane."""
    first = network.layers[0, ACTIVATIONS]
    for column in range(network.targets - first + network.layers[-1, UNITS]):
        a, value = (first + column) * lanes, load_table(table.values, column * table.rows + row)
        for lane in range(lanes):
            store_activation(block, a + lane, value)


@inlined
def feedforward(block: Any, lanes: Any, network: Any) -> None:
    """Activations of every layer from the inputs. The δ rows are used on the way."""
    layers = network.layers
    for layer in range(1, len(layers)):
        inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
        x, a = layers[layer - 1, ACTIVATIONS] * lanes, layers[layer, ACTIVATIONS] * lanes
        w, b, z = layers[layer, WEIGHTS] * lanes, layers[layer, BIASES] * lanes, layers[layer, DELTAS] * lanes
        unit = inputs * lanes
        k = 0
        while k + 4 <= units:
            wk, bk, zk, ak = w + k * unit, b + k * lanes, z + k * lanes, a + k * lanes
            if inputs == 2:
                _up4_2(block, lanes, bk, zk, wk, unit, lanes, x, ak)
            elif inputs == 3:
                _up4_3(block, lanes, bk, zk, wk, unit, lanes, x, ak)
            elif inputs == 4:
                _up4_4(block, lanes, bk, zk, wk, unit, lanes, x, ak)
            else:
                _up4_first(block, lanes, bk, zk, wk, unit, lanes, x, ak)
                i = 1
                while i + 4 <= inputs:
                    _up4_more_4(block, lanes, zk, zk, wk + i * lanes, unit, lanes, x + i * lanes, ak)
                    i += 4
                while i < inputs:
                    _up4_more_1(block, lanes, zk, zk, wk + i * lanes, unit, lanes, x + i * lanes, ak)
                    i += 1
                _activate(block, zk, ak, 4 * lanes)
            k += 4
        while k < units:
            wk, bk, zk, ak = w + k * unit, b + k * lanes, z + k * lanes, a + k * lanes
            if inputs == 4:
                _up1_4(block, lanes, bk, zk, wk, unit, lanes, x, ak)
            else:
                _up1_first(block, lanes, bk, zk, wk, unit, lanes, x, ak)
                for i in range(1, inputs):
                    _up1_more(block, lanes, zk, zk, wk + i * lanes, unit, lanes, x + i * lanes, ak)
                _activate(block, zk, ak, lanes)
            k += 1


@shared
def feedforward_apart(block: Any, lanes: Any, network: Any) -> None:
    """`feedforward` as a function of its own, for where it is called now and then."""
    wide()
    feedforward(block, lanes, network)


@inlined
def output_sums(block: Any, lanes: Any, network: Any) -> None:
    """What the output layer receives, z, into its δ rows, from the activations of the layer below."""
    below, last = network.layers[-2], network.layers[-1]
    inputs, x = below[UNITS], below[ACTIVATIONS] * lanes
    for k in range(last[UNITS]):
        w, b, z = (last[WEIGHTS] + k * inputs) * lanes, (last[BIASES] + k) * lanes, (last[DELTAS] + k) * lanes
        _up1_first(block, lanes, b, z, w, lanes, lanes, x, z)
        for i in range(1, inputs):
            _up1_more(block, lanes, z, z, w + i * lanes, lanes, lanes, x + i * lanes, z)


@inlined
def _activate(block: Any, z: Any, a: Any, count: Any) -> None:
    for i in range(count):
        store_activation(block, a + i, sigmoid(load_delta(block, z + i)))


@inlined
def slope(a: Any) -> Any:
    """σ′(z) from a = σ(z): a(1 − a), as fma(−a, a, a)."""
    return fma(-a, a, a)


@inlined
def hidden_deltas(block: Any, lanes: Any, layers: Any, layer: Any, prime_offset: Any) -> None:
    """δ of a hidden layer from the δ and the weights of the layer above."""
    units, above = layers[layer, UNITS], layers[layer + 1, UNITS]
    w, d, a = layers[layer + 1, WEIGHTS] * lanes, layers[layer, DELTAS] * lanes, layers[layer, ACTIVATIONS] * lanes
    d_above, step = layers[layer + 1, DELTAS] * lanes, units * lanes
    j = 0
    while j + 4 <= units:
        wj, dj, aj = w + j * lanes, d + j * lanes, a + j * lanes
        if above == 1:
            _below_one(block, lanes, dj, wj, d_above, aj, prime_offset)
        else:
            _down4_first(block, lanes, dj, dj, wj, lanes, step, d_above, dj)
            k = 1
            while k + 4 <= above:
                _down4_more_4(block, lanes, dj, dj, wj + k * step, lanes, step, d_above + k * lanes, dj)
                k += 4
            while k < above:
                _down4_more_1(block, lanes, dj, dj, wj + k * step, lanes, step, d_above + k * lanes, dj)
                k += 1
            _times_slope(block, dj, aj, 4 * lanes, prime_offset)
        j += 4
    while j < units:
        wj, dj, aj = w + j * lanes, d + j * lanes, a + j * lanes
        _down1_first(block, lanes, dj, dj, wj, lanes, step, d_above, dj)
        for k in range(1, above):
            _down1_more(block, lanes, dj, dj, wj + k * step, lanes, step, d_above + k * lanes, dj)
        _times_slope(block, dj, aj, lanes, prime_offset)
        j += 1


@inlined
def _times_slope(block: Any, d: Any, a: Any, count: Any, prime_offset: Any) -> None:
    for i in range(count):
        store_delta(block, d + i, load_delta(block, d + i) * (slope(load_activation(block, a + i)) + prime_offset))


@inlined
def _below_one(block: Any, lanes: Any, d: Any, w: Any, d_above: Any, a: Any, prime_offset: Any) -> None:
    """δ of four units below a layer of one unit, in one pass."""
    for lane in range(lanes):
        above = load_delta(block, d_above + lane)
        s0 = load_parameter(block, w + lane) * above
        s1 = load_parameter(block, w + lanes + lane) * above
        s2 = load_parameter(block, w + 2 * lanes + lane) * above
        s3 = load_parameter(block, w + 3 * lanes + lane) * above
        store_delta(block, d + lane, s0 * (slope(load_activation(block, a + lane)) + prime_offset))
        store_delta(block, d + lanes + lane, s1 * (slope(load_activation(block, a + lanes + lane)) + prime_offset))
        store_delta(block, d + 2 * lanes + lane, s2 * (slope(load_activation(block, a + 2 * lanes + lane)) + prime_offset))
        store_delta(block, d + 3 * lanes + lane, s3 * (slope(load_activation(block, a + 3 * lanes + lane)) + prime_offset))


def _products(units: int, inputs: int) -> Any:
    """A tile of g_ki ← g_ki + c_k a_i, where c_k = −(r·δ_k): one or four units, up to four inputs at a time."""
    four = units == 4
    (load_0, store_0), (load_1, store_1), (load_2, store_2), (load_3, store_3) = of_unit

    @inlined
    def tile(block: Any, lanes: Any, g: Any, unit: Any, d: Any, a: Any, rate: Any) -> None:
        for lane in range(lanes):
            r = load_lane(rate, lane)
            c0 = c1 = c2 = c3 = -(r * load_delta(block, d + lane))
            if four:
                c1 = -(r * load_delta(block, d + lanes + lane))
                c2 = -(r * load_delta(block, d + 2 * lanes + lane))
                c3 = -(r * load_delta(block, d + 3 * lanes + lane))
            for i in range(inputs):
                ai = load_activation(block, a + i * lanes + lane)
                gi = g + i * lanes + lane
                if four:
                    store_0(block, gi, fma(c0, ai, load_0(block, gi)))
                    store_1(block, gi + unit, fma(c1, ai, load_1(block, gi + unit)))
                    store_2(block, gi + 2 * unit, fma(c2, ai, load_2(block, gi + 2 * unit)))
                    store_3(block, gi + 3 * unit, fma(c3, ai, load_3(block, gi + 3 * unit)))
                else:
                    store_parameter(block, gi, fma(c0, ai, load_parameter(block, gi)))

    return tile


_four_1, _four_2, _four_3, _four_4 = (_products(4, inputs) for inputs in (1, 2, 3, 4))
_one_1, _one_4 = (_products(1, inputs) for inputs in (1, 4))


@inlined
def descend(block: Any, lanes: Any, layers: Any, layer: Any, offset: Any, rate: Any, bias: Any) -> None:
    """Add −(r·δ_k)·a_i to the weights of a layer, or (`offset`) to their gradient, −(r·δ_k) to its biases; each lane has its r.

    With the learning rates and no offset that is an online update; with rates of −1 and the gradient's offset it adds up
    ∂E/∂w, since −(−1·δ) is δ. The product r·δ is made again for every tile: stores are what bounds small layers.
    """
    inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
    unit, a, d = inputs * lanes, layers[layer - 1, ACTIVATIONS] * lanes, layers[layer, DELTAS] * lanes
    w, b = (offset + layers[layer, WEIGHTS]) * lanes, (offset + layers[layer, BIASES]) * lanes
    if bias:
        for first in range(0, units * lanes, lanes):
            for lane in range(lanes):
                i = first + lane
                step = -(load_lane(rate, lane) * load_delta(block, d + i))
                store_parameter(block, b + i, load_parameter(block, b + i) + step)
    whole = inputs - inputs % 4
    k = 0
    while k + 4 <= units:
        g, dk = w + k * unit, d + k * lanes
        for i in range(0, whole, 4):
            _four_4(block, lanes, g + i * lanes, unit, dk, a + i * lanes, rate)
        if inputs - whole == 1:
            _four_1(block, lanes, g + whole * lanes, unit, dk, a + whole * lanes, rate)
        elif inputs - whole == 2:
            _four_2(block, lanes, g + whole * lanes, unit, dk, a + whole * lanes, rate)
        elif inputs - whole == 3:
            _four_3(block, lanes, g + whole * lanes, unit, dk, a + whole * lanes, rate)
        k += 4
    while k < units:
        g, dk = w + k * unit, d + k * lanes
        for i in range(0, whole, 4):
            _one_4(block, lanes, g + i * lanes, unit, dk, a + i * lanes, rate)
        for i in range(whole, inputs):
            _one_1(block, lanes, g + i * lanes, unit, dk, a + i * lanes, rate)
        k += 1
