"""Feedforward and backpropagation over lanes, for any depth and width.

Notation of Rumelhart, Hinton & Williams, "Learning internal representations by error propagation",
1986: z_k = b_k + Σ w_ki a_i, a = σ(z), δ_k = ∂E/∂z_k, and for a hidden unit δ_j = σ′(z_j) Σ_k w_kj
δ_k.

A work block holds, row after row, [row, lane]: all parameters (layer, unit, input; then that
layer's biases), gradient and velocity of each (where they are kept), activations of every layer for
one sample (the inputs first, targets behind them), and a δ for every unit past the inputs. Several
samples of a batch, whose weights are the same, lie in a block of their own, [unit, sample, lane],
with the lanes of a strip; `fastbp.kernels.tiles` takes them through the network.

Here the lane loop is always the innermost one, so no sum is ever regrouped and bits do not depend
on the number of lanes. Sums run over four units and up to four inputs at a time, which keeps
partial sums in registers; every unit still adds its terms in order.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.jit import inlined, shared
from fastbp.kernels.memory import (
    load_activation,
    load_bias,
    load_delta,
    load_lane,
    load_order,
    load_parameter,
    load_result,
    load_table,
    of_unit,
    store_activation,
    store_bias,
    store_delta,
    store_parameter,
    store_result,
    wide,
)
from fastbp.kernels.real import fma, like, masked, sigmoid, slope
from fastbp.kernels.tiles import RAW, Matrix, products, transposed

UNITS, WEIGHTS, BIASES, ACTIVATIONS, DELTAS = range(5)
"""Columns of `Network.layers`: how many units, and the first row of each kind (the input layer has
no weights and no δ)."""


_NONE, _ONE = np.uint64(0), np.uint64(1)


class Samples(NamedTuple):
    """Where several samples lie in a work block of their own, [unit, sample, lane of a vector]:
    rows as in `Network`.
    """

    layers: NDArray[np.int64]
    targets: int
    most: int
    """For how many samples there is room."""
    rows: int


class Network(NamedTuple):
    """Where everything lies in a work block. `layers`, int64 [layer, 5]; the rest are rows."""

    layers: NDArray[np.int64]
    parameters: int
    gradient: int
    """0 if none is kept."""
    velocity: int
    targets: int
    other: int
    """From the activations and targets of one sample to those of another, where a block has two of
    them; else 0."""
    presented: int
    """Inputs and targets of the samples of a batch that are taken at once, [column, sample]."""
    samples: Samples
    rows: int


def network(
    sizes: Sequence[int], at_once: int, gradient: bool = True, presented: bool = True
) -> Network:
    """Lay out the network with these layer sizes, inputs first, for online learning if `at_once` is
    0, else for batches of which so many samples are taken at once.

    `gradient`: whether there is room for the gradient and the velocity; without, weights take a
    step as soon as the sums of the gradient are whole. `presented`: whether samples differ from
    lane to lane.
    """
    layers = np.zeros((len(sizes), 5), np.int64)
    layers[:, UNITS] = sizes
    row = 0
    for layer in range(1, len(sizes)):
        layers[layer, WEIGHTS] = row
        row += sizes[layer] * sizes[layer - 1]
        layers[layer, BIASES] = row
        row += sizes[layer]
    parameters = row
    kept = parameters if at_once and gradient else 0
    first = parameters + 2 * kept
    targets, row = _lay_out_activations(layers, first, 1)
    other = 0 if at_once else row - first
    place = _lay_out_deltas(layers, row + other, 1)
    row = place + (sizes[0] + sizes[-1]) * at_once * presented
    return Network(
        layers, parameters, kept, 2 * kept, targets, other, place, _samples(sizes, at_once), row
    )


def _samples(sizes: Sequence[int], count: int) -> Samples:
    layers = np.zeros((len(sizes), 5), np.int64)
    layers[:, UNITS] = sizes
    targets, row = _lay_out_activations(layers, 0, count)
    return Samples(layers, targets, count, _lay_out_deltas(layers, row, count))


def _lay_out_activations(layers: NDArray[np.int64], row: int, samples: int) -> tuple[int, int]:
    """From a row on; returns where the targets are and the row behind all."""
    outputs = int(layers[-1, UNITS])
    # Targets right behind the inputs, so that a row of a table goes into rows that follow each
    # other.
    targets = row + int(layers[0, UNITS]) * samples
    for layer in range(len(layers)):
        layers[layer, ACTIVATIONS] = row
        row += (int(layers[layer, UNITS]) + (outputs if layer == 0 else 0)) * samples
    return targets, row


def _lay_out_deltas(layers: NDArray[np.int64], row: int, samples: int) -> int:
    """From a row on; returns the row behind all."""
    for layer in range(1, len(layers)):
        layers[layer, DELTAS] = row
        row += int(layers[layer, UNITS]) * samples
    return row


@inlined
def _count(block: Any, lanes: Any) -> Any:
    """How many lanes a short loop goes over: where they are few, in a way that hides their number
    from the compiler, which would write such a loop out lane by lane before it could be
    vectorised.
    """
    return lanes if lanes >= 100 else min(lanes, len(block))


# Tiles of four units have loops over their inputs in the lane loop, which the compiler unrolls. In
# the smaller ones of a single unit it would peel off the first lane, and misalign all others: there
# inputs are written out.


def _sums(inputs: int) -> Any:
    """A tile of a_k = σ(b_k + Σ w_ki x_i), i ascending: four units of so many inputs.

    Sums are whole, so the activations are stored at once: stores are what bounds small layers.
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
    """The same for a single unit: one input or four at a time. Tiles but the first continue what is
    in `a`; with `activate` the sum is whole.
    """

    @inlined
    def tile(block: Any, lanes: Any, b: Any, w: Any, x: Any, a: Any) -> None:
        for lane in range(_count(block, lanes)):
            z, wi, xi = a + lane, w + lane, x + lane
            s = load_bias(block, b + lane) if first else load_result(block, z)
            s = fma(load_parameter(block, wi), load_activation(block, xi), s)
            if inputs == 4:
                s = fma(load_parameter(block, wi + lanes), load_activation(block, xi + lanes), s)
                s = fma(
                    load_parameter(block, wi + 2 * lanes), load_activation(block, xi + 2 * lanes), s
                )
                s = fma(
                    load_parameter(block, wi + 3 * lanes), load_activation(block, xi + 3 * lanes), s
                )
            store_result(block, z, sigmoid(s) if activate else s)

    return tile


_up4_1, _up4_2, _up4_3, _up4_4 = (_sums(inputs) for inputs in (1, 2, 3, 4))
_up1_4, _up1_first, _up1_more_1, _up1_more_4 = (
    _sum(4, True, True),
    _sum(1, True),
    _sum(1, False),
    _sum(4, False),
)


class Table(NamedTuple):
    """A problem as lanes read it, in their dtype: input columns first, then targets.

    Columns of two values (every problem of bits) are kept as bits as well, which are several times
    cheaper to look up than values: in a table of at most 64 rows a word for each column, and
    otherwise, of at most 64 columns, a word for each row.
    """

    rows: int
    values: NDArray[Any]
    """Flat [column, row]."""
    by_column: bool
    masks: NDArray[np.uint64]
    """Per column, bit r is set where row r has the higher value."""
    by_row: bool
    words: NDArray[np.uint64]
    """Per row, bit c is set where column c has the higher value."""
    low: NDArray[Any]
    high: NDArray[Any]


def table(X: NDArray[np.float64], T: NDArray[np.float64], dtype: DTypeLike) -> Table:
    """The table of a problem with inputs X [row, input] and targets T [row, output]."""
    columns = np.ascontiguousarray(np.hstack([X, T]).T, dtype)
    low, high = columns.min(axis=1), columns.max(axis=1)
    is_high = columns == high[:, None]
    two_valued = bool((is_high | (columns == low[:, None])).all())
    by_column = two_valued and columns.shape[1] <= 64
    by_row = two_valued and not by_column and len(columns) <= 64
    return Table(
        columns.shape[1],
        columns.ravel(),
        by_column,
        _packed(is_high),
        by_row,
        _packed(is_high.T),
        low,
        high,
    )


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """The first 64 bits of each line, the first one lowest."""
    bits = bits[:, :64]
    packed: NDArray[np.uint64] = (
        bits.astype(np.uint64) << np.arange(bits.shape[1], dtype=np.uint64)
    ).sum(axis=1)
    return packed


@inlined
def _two_values(table: Any, column: Any) -> Any:
    mask = load_table(table.masks, column) if table.by_column else _ONE << np.uint64(column)
    return mask, load_table(table.low, column), load_table(table.high, column)


@inlined
def _in_column(table: Any, row: Any) -> Any:
    """The bit of a row, in the mask of any column."""
    return _ONE << np.uint64(row)


@inlined
def _in_row(table: Any, row: Any) -> Any:
    """The word of a row, with a bit for each column."""
    return load_table(table.words, row)


def _present_bits(word_of: Any) -> Any:
    """`present` for columns of two values: of the word that a lane's row has, the bit of each
    column.
    """

    @inlined
    def present_bits(
        block: Any,
        lanes: Any,
        width: Any,
        first: Any,
        columns: Any,
        table: Any,
        rows: Any,
        chosen: Any,
    ) -> None:
        column = 0
        while column + 4 <= columns:
            a = first + column * width
            m0, l0, h0 = _two_values(table, column)
            m1, l1, h1 = _two_values(table, column + 1)
            m2, l2, h2 = _two_values(table, column + 2)
            m3, l3, h3 = _two_values(table, column + 3)
            for lane in range(_count(block, lanes)):
                word = word_of(table, load_order(rows, chosen + lane))
                store_activation(block, a + lane, h0 if m0 & word != _NONE else l0)
                store_activation(block, a + width + lane, h1 if m1 & word != _NONE else l1)
                store_activation(block, a + 2 * width + lane, h2 if m2 & word != _NONE else l2)
                store_activation(block, a + 3 * width + lane, h3 if m3 & word != _NONE else l3)
            column += 4
        while column < columns:
            a = first + column * width
            m0, l0, h0 = _two_values(table, column)
            for lane in range(_count(block, lanes)):
                word = word_of(table, load_order(rows, chosen + lane))
                store_activation(block, a + lane, h0 if m0 & word != _NONE else l0)
            column += 1

    return present_bits


_present_by_column, _present_by_row = _present_bits(_in_column), _present_bits(_in_row)


@inlined
def present(
    block: Any,
    lanes: Any,
    width: Any,
    first: Any,
    columns: Any,
    table: Any,
    rows: Any,
    position: Any,
) -> None:
    """Copy the row that each lane has chosen for a position of its epoch into its inputs and
    targets.

    They begin at `first` and are `width` apart. `rows`: flat [position, lane].
    """
    chosen = position * lanes
    if table.by_column:
        _present_by_column(block, lanes, width, first, columns, table, rows, chosen)
    elif table.by_row:
        _present_by_row(block, lanes, width, first, columns, table, rows, chosen)
    else:
        for column in range(columns):
            a, values = first + column * width, column * table.rows
            for lane in range(_count(block, lanes)):
                store_activation(
                    block,
                    a + lane,
                    load_table(table.values, values + load_order(rows, chosen + lane)),
                )


@inlined
def present_to_all(
    block: Any, lanes: Any, width: Any, first: Any, columns: Any, table: Any, row: Any
) -> None:
    """Copy the same row into the inputs and targets of every lane."""
    for column in range(columns):
        a, value = first + column * width, load_table(table.values, column * table.rows + row)
        for lane in range(_count(block, lanes)):
            store_activation(block, a + lane, value)


@inlined
def columns_of(network: Any) -> Any:
    """Inputs and targets."""
    return network.layers[0, UNITS] + network.layers[-1, UNITS]


@shared
def feedforward(block: Any, lanes: Any, network: Any) -> None:
    """Activations of every layer from the inputs, for one sample: for looks and measures."""
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
                    _activate(block, ak, lanes)
        else:
            for first in range(0, units, 4):
                k = min(first, units - 4)  # units that are taken twice get the same
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
    """What one unit receives."""
    _up1_first(block, lanes, b, w, x, z)
    i = 1
    while i + 4 <= inputs:
        _up1_more_4(block, lanes, b, w + i * lanes, x + i * lanes, z)
        i += 4
    while i < inputs:
        _up1_more_1(block, lanes, b, w + i * lanes, x + i * lanes, z)
        i += 1


@inlined
def _activate(block: Any, a: Any, count: Any) -> None:
    for i in range(count):
        store_result(block, a + i, sigmoid(load_result(block, a + i)))


def _back(above: int, first: bool, last: bool = False) -> Any:
    """A tile of δ_j = σ′_j Σ w_kj δ_k, k ascending: four units, so many units above. The last one
    multiplies by σ′.
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
    """A term of the sum for a single unit."""
    for lane in range(_count(block, lanes)):
        dk = load_delta(block, d_above + lane)
        store_delta(
            block, d + lane, fma(load_parameter(block, w + lane), dk, load_delta(block, d + lane))
        )


@inlined
def hidden_deltas(
    block: Any, lanes: Any, layers: Any, layer: Any, other: Any, prime_offset: Any
) -> None:
    """δ of a hidden layer from the δ and the weights of the layer above; activations are those past
    `other`.
    """
    units, above = layers[layer, UNITS], layers[layer + 1, UNITS]
    w, d, a = (
        layers[layer + 1, WEIGHTS] * lanes,
        layers[layer, DELTAS] * lanes,
        (layers[layer, ACTIVATIONS] + other) * lanes,
    )
    d_above, step = layers[layer + 1, DELTAS] * lanes, units * lanes
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
            j = min(first, units - 4)  # units that are taken twice get the same
            wj, dj, aj = w + j * lanes, d + j * lanes, a + j * lanes
            if above == 1:
                _down4_1(block, lanes, wj, step, d_above, aj, dj, prime_offset)
            else:
                _down4_first(block, lanes, wj, step, d_above, aj, dj, prime_offset)
                k = 1
                while k + 4 <= above:
                    _down4_more_4(
                        block, lanes, wj + k * step, step, d_above + k * lanes, aj, dj, prime_offset
                    )
                    k += 4
                while k < above:
                    _down4_more_1(
                        block, lanes, wj + k * step, step, d_above + k * lanes, aj, dj, prime_offset
                    )
                    k += 1
                _times_slope(block, dj, aj, 4 * lanes, prime_offset)


@inlined
def _times_slope(block: Any, d: Any, a: Any, count: Any, prime_offset: Any) -> None:
    for i in range(count):
        store_delta(
            block,
            d + i,
            load_delta(block, d + i) * (slope(load_activation(block, a + i)) + prime_offset),
        )


# --- Several samples
# ----------------------------------------------------------------------------------------------------
#
# Of a strip of lanes, which begins at `lane`, so many samples as are `taken` go through the network
# at once. `inputs`: of the network, a matrix of a row each and a column a sample.


def in_samples(lanes: int) -> tuple[Any, Any]:
    """The way forward and the way back for groups of so many lanes."""
    feedforward, backpropagate, add_gradient, _ = products(lanes)

    @inlined
    def forward(
        block: Any,
        work: Any,
        network: Any,
        samples: Any,
        strip: Any,
        lane: Any,
        taken: Any,
        inputs: Any,
        raw: Any,
    ) -> None:
        """Activations of every layer past the inputs; with `raw`, what the output layer receives as
        well, into its δ.
        """
        layers, step, x = network.layers, samples.most * strip, inputs
        for layer in range(1, len(layers)):
            fan_in, units = layers[layer - 1, UNITS], layers[layer, UNITS]
            a = Matrix(work, samples.layers[layer, ACTIVATIONS] * strip, step, strip)
            w = Matrix(block, layers[layer, WEIGHTS] * lanes + lane, fan_in * lanes, lanes)
            b = Matrix(block, layers[layer, BIASES] * lanes + lane, lanes, 0)
            feedforward(units, taken, fan_in, strip, a, w, x, b, 0, 0)
            if raw and layer == len(layers) - 1:
                z = Matrix(work, samples.layers[layer, DELTAS] * strip, step, strip)
                feedforward(units, taken, fan_in, strip, z, w, x, b, 0, RAW)
            x = a

    @inlined
    def back(
        block: Any, work: Any, network: Any, samples: Any, strip: Any, lane: Any, taken: Any, inputs: Any,
        offset: Any, rate: Any, then: Any,
    ) -> None:  # fmt: skip
        """From δ of the output layer: δ of the others, and the gradient, or the step that weights
        take by it (`then`).
        """
        layers, step = network.layers, samples.most * strip
        rates = Matrix(rate, lane, 0, 0)
        for layer in range(len(layers) - 1, 0, -1):
            fan_in, units = layers[layer - 1, UNITS], layers[layer, UNITS]
            d, x = Matrix(work, samples.layers[layer, DELTAS] * strip, step, strip), inputs
            if layer > 1:
                x = Matrix(work, samples.layers[layer - 1, ACTIVATIONS] * strip, step, strip)
                below = Matrix(work, samples.layers[layer - 1, DELTAS] * strip, step, strip)
                w = Matrix(block, layers[layer, WEIGHTS] * lanes + lane, lanes, fan_in * lanes)
                backpropagate(fan_in, taken, units, strip, below, w, d, x, offset, 0)
            g = Matrix(
                block,
                (network.gradient + layers[layer, WEIGHTS]) * lanes + lane,
                fan_in * lanes,
                lanes,
            )
            b = Matrix(block, (network.gradient + layers[layer, BIASES]) * lanes + lane, lanes, 0)
            add_gradient(units, fan_in, taken, strip, g, d, transposed(x), b, rates, then)

    return forward, back


# --- Online
# -----------------------------------------------------------------------------------------------------------
#
# An update waits for the next sample: the pass over a layer's weights that takes it forward first
# adds what the last sample has left to add, −(r·δ_k)·a_i. So each weight is loaded and stored once
# an update. Stores are what bounds small layers, memory large ones.


def _fused_steps(inputs: int, first: bool, activate: bool = False) -> Any:
    """A tile of w_ki ← w_ki − (r·δ_k)·y_i, and of z_k = b_k + Σ w_ki x_i with these: as `_sums`,
    with y of the last sample.
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


def _fused_step(inputs: int, first: bool, activate: bool = False) -> Any:
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


_turn4_2, _turn4_3, _turn4_4 = (_fused_steps(inputs, True, True) for inputs in (2, 3, 4))
_turn4_first = _fused_steps(4, True)
_turn4_more_1, _turn4_more_4 = (_fused_steps(inputs, False) for inputs in (1, 4))
_turn1_4, _turn1_first = _fused_step(4, True, True), _fused_step(1, True)
_turn1_more_1, _turn1_more_4 = (_fused_step(inputs, False) for inputs in (1, 4))


@inlined
def fused_step(
    block: Any, lanes: Any, network: Any, last: Any, now: Any, rate: Any, biases: Any
) -> None:
    """From one sample, whose activations lie past `last`, to another, past `now`: add what the one
    has left to add, with the learning rate of each lane, and take the other forward. `biases`: −1
    where there are biases, or else 0, as wide as reals.
    """
    layers = network.layers
    for layer in range(1, len(layers)):
        inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
        below, a = layers[layer - 1, ACTIVATIONS], (layers[layer, ACTIVATIONS] + now) * lanes
        y, x = (below + last) * lanes, (below + now) * lanes
        w, b, d = (
            layers[layer, WEIGHTS] * lanes,
            layers[layer, BIASES] * lanes,
            layers[layer, DELTAS] * lanes,
        )
        unit = inputs * lanes
        k = 0
        while k + 4 <= units and inputs > 1:
            wk, bk, dk, ak = w + k * unit, b + k * lanes, d + k * lanes, a + k * lanes
            if inputs == 2:
                _turn4_2(block, lanes, bk, wk, unit, dk, y, x, ak, rate, biases)
            elif inputs == 3:
                _turn4_3(block, lanes, bk, wk, unit, dk, y, x, ak, rate, biases)
            elif inputs == 4:
                _turn4_4(block, lanes, bk, wk, unit, dk, y, x, ak, rate, biases)
            else:
                _turn4_first(block, lanes, bk, wk, unit, dk, y, x, ak, rate, biases)
                i = 4
                while i + 4 <= inputs:
                    _turn4_more_4(
                        block,
                        lanes,
                        bk,
                        wk + i * lanes,
                        unit,
                        dk,
                        y + i * lanes,
                        x + i * lanes,
                        ak,
                        rate,
                        biases,
                    )
                    i += 4
                while i < inputs:
                    _turn4_more_1(
                        block,
                        lanes,
                        bk,
                        wk + i * lanes,
                        unit,
                        dk,
                        y + i * lanes,
                        x + i * lanes,
                        ak,
                        rate,
                        biases,
                    )
                    i += 1
                _activate(block, ak, 4 * lanes)
            k += 4
        while k < units:
            wk, bk, dk, ak = w + k * unit, b + k * lanes, d + k * lanes, a + k * lanes
            if inputs == 4:
                _turn1_4(block, lanes, bk, wk, dk, y, x, ak, rate, biases)
            else:
                _turn1_first(block, lanes, bk, wk, dk, y, x, ak, rate, biases)
                i = 1
                while i + 4 <= inputs:
                    _turn1_more_4(
                        block,
                        lanes,
                        bk,
                        wk + i * lanes,
                        dk,
                        y + i * lanes,
                        x + i * lanes,
                        ak,
                        rate,
                        biases,
                    )
                    i += 4
                while i < inputs:
                    _turn1_more_1(
                        block,
                        lanes,
                        bk,
                        wk + i * lanes,
                        dk,
                        y + i * lanes,
                        x + i * lanes,
                        ak,
                        rate,
                        biases,
                    )
                    i += 1
                _activate(block, ak, lanes)
            k += 1


@inlined
def flush_pending(block: Any, lanes: Any, network: Any, last: Any, rate: Any, biases: Any) -> None:
    """Add what the sample past `last` has left to add, and leave nothing: its activations and δ
    become 0.
    """
    layers = network.layers
    for layer in range(1, len(layers)):
        inputs, units = layers[layer - 1, UNITS], layers[layer, UNITS]
        w, b, d = (
            layers[layer, WEIGHTS] * lanes,
            layers[layer, BIASES] * lanes,
            layers[layer, DELTAS] * lanes,
        )
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
                    weight = fma(
                        step, load_activation(block, yi + lane), load_parameter(block, wi + lane)
                    )
                    store_parameter(block, wi + lane, weight)
    clear_pending(block, lanes, network, last)


@inlined
def clear_pending(block: Any, lanes: Any, network: Any, last: Any) -> None:
    """Leave nothing to add. Activations too: 0 times what is not a number would be added."""
    nothing = like(block[0], 0.0)
    first = (network.layers[0, ACTIVATIONS] + last) * lanes
    for i in range(first, first + network.other * lanes):
        store_activation(block, i, nothing)
    for i in range(network.layers[1, DELTAS] * lanes, network.rows * lanes):
        store_delta(block, i, nothing)
