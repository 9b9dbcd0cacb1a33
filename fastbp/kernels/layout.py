"""Where the numbers of a network lie in memory, and how rows of the problem get there.

A work block holds one network in each lane, row after row, flat [row, lane]: all parameters (layer
by layer, unit by unit its inputs, then the biases of the layer), the gradient and the velocity of
each parameter (where they are kept), the activations of every layer for one sample (the inputs
first, the targets behind them), and a δ for every unit past the inputs. Several samples of a batch
share their weights; they lie in a block of their own, [unit, sample, lane], for one strip of lanes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.jit import inlined
from fastbp.kernels.memory import load_order, load_table, store_activation

UNITS, WEIGHTS, BIASES, ACTIVATIONS, DELTAS = range(5)
"""Columns of `Network.layers`: the number of units, and the first row of each kind. The input layer
has no weights and no δ."""

_NONE, _ONE = np.uint64(0), np.uint64(1)


class Samples(NamedTuple):
    """Layout of several samples of a batch, [unit, sample, lane of a vector], as in `Network`."""

    layers: NDArray[np.int64]
    targets: int
    capacity: int
    """Number of samples that there is room for."""
    rows: int


class Network(NamedTuple):
    """Where everything lies in a work block. `layers`, int64 [layer, 5]; the rest are rows."""

    layers: NDArray[np.int64]
    parameters: int
    gradient: int
    """0 where none is kept."""
    velocity: int
    targets: int
    other: int
    """Rows from the activations and targets of one sample to those of the other, where a block
    holds two samples; else 0."""
    presented: int
    """Inputs and targets of the samples of a batch that are processed at once, [column, sample]."""
    samples: Samples
    rows: int


def network(
    sizes: Sequence[int], at_once: int, gradient: bool = True, presented: bool = True
) -> Network:
    """Lay out a work block.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, inputs first.
    at_once : int
        Samples of a batch that are processed at once; 0 for online learning.
    gradient : bool
        Whether there is room for the gradient and the velocity. Without, weights take their step as
        soon as the sums of the gradient are complete.
    presented : bool
        Whether samples differ from lane to lane.
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
    """Place activations and targets from a row on; return the targets' row and the next free."""
    outputs = int(layers[-1, UNITS])
    # Targets right behind the inputs, so that a row of a table goes into rows that follow each
    # other.
    targets = row + int(layers[0, UNITS]) * samples
    for layer in range(len(layers)):
        layers[layer, ACTIVATIONS] = row
        row += (int(layers[layer, UNITS]) + (outputs if layer == 0 else 0)) * samples
    return targets, row


def _lay_out_deltas(layers: NDArray[np.int64], row: int, samples: int) -> int:
    """Place the δ from a row on; return the next free row."""
    for layer in range(1, len(layers)):
        layers[layer, DELTAS] = row
        row += int(layers[layer, UNITS]) * samples
    return row


@inlined
def loop_lanes(block: Any, lanes: Any) -> Any:
    """Number of lanes, hidden from the compiler where it is small.

    Otherwise the compiler unrolls a short loop lane by lane before it can vectorise it.
    """
    return lanes if lanes >= 100 else min(lanes, len(block))


class Table(NamedTuple):
    """A problem in the dtype of the lanes: input columns first, then targets.

    Columns of two values (every problem of bits) are also stored as bits, which are several times
    cheaper to look up than values: one word per column for at most 64 rows, else one word per row
    for at most 64 columns.
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
    """`present` for columns of two values: test each column's bit in the word of a lane's row."""

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
            for lane in range(loop_lanes(block, lanes)):
                word = word_of(table, load_order(rows, chosen + lane))
                store_activation(block, a + lane, h0 if m0 & word != _NONE else l0)
                store_activation(block, a + width + lane, h1 if m1 & word != _NONE else l1)
                store_activation(block, a + 2 * width + lane, h2 if m2 & word != _NONE else l2)
                store_activation(block, a + 3 * width + lane, h3 if m3 & word != _NONE else l3)
            column += 4
        while column < columns:
            a = first + column * width
            m0, l0, h0 = _two_values(table, column)
            for lane in range(loop_lanes(block, lanes)):
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
    """Copy the row that each lane visits at a position of its epoch into its inputs and targets.

    Inputs and targets begin at `first` and are `width` apart. `rows`: flat [position, lane].
    """
    chosen = position * lanes
    if table.by_column:
        _present_by_column(block, lanes, width, first, columns, table, rows, chosen)
    elif table.by_row:
        _present_by_row(block, lanes, width, first, columns, table, rows, chosen)
    else:
        for column in range(columns):
            a, values = first + column * width, column * table.rows
            for lane in range(loop_lanes(block, lanes)):
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
        for lane in range(loop_lanes(block, lanes)):
            store_activation(block, a + lane, value)


@inlined
def columns_of(network: Any) -> Any:
    """Number of inputs and targets."""
    return network.layers[0, UNITS] + network.layers[-1, UNITS]


class Targets(NamedTuple):
    """What outputs are compared with, in float64."""

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


def targets_of(T: NDArray[np.float64]) -> Targets:
    """Prepare the targets of a problem, T [row, output], for the measures."""
    low, high = T.min(axis=0), T.max(axis=0)
    varies = high > low
    _, kinds, counts = np.unique(T, axis=0, return_inverse=True, return_counts=True)
    rank = np.zeros(len(T), np.int64)
    for kind in range(kinds.max() + 1):
        alike = np.flatnonzero(kinds.ravel() == kind)
        rank[alike] = np.arange(len(alike))
    row_order = np.lexsort((counts[kinds.ravel()], rank))
    return Targets(
        np.array(T, np.float64, order="C"),
        np.where(varies, high - low, 1.0),
        0.5 * (low + high),
        varies,
        row_order,
    )
