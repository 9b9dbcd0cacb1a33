"""Where the numbers of a network lie in memory, and how rows of a problem get there.

A strip is a number of networks that are trained side by side, one in each lane. Its memory is flat
[row, lane]. The block of a strip holds what a run keeps: all parameters (layer by layer, unit by
unit its weights, then the biases of the layer), and after them what the optimiser keeps with each
parameter, the gradients where they are kept, and what the optimiser counts. The work memory of a
strip, [row, sample, lane], holds the activations of a sample (the inputs first, the targets behind
them, the weight of the row if rows have weights, then layer by layer) and a δ for every unit past
the inputs.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.goals import cast
from fastbp.kernels.jit import inlined, shared
from fastbp.kernels.memory import load_order, load_table, store_lane, store_number
from fastbp.kernels.tiles import elementwise, fill, lanes_in_vector, load, store
from fastbp.kernels.vector_ir import choose


class Layer(NamedTuple):
    """Sizes of a layer past the inputs, and the first row of everything that belongs to it."""

    units: int
    inputs: int
    """Units of the layer below."""
    weights: int
    """Row of the weight of unit k and input i: weights + k·inputs + i."""
    biases: int
    below: int
    """Activations of the layer below."""
    activations: int
    deltas_below: int
    deltas: int
    activation: int
    """The number of its activation in the `Units` of the kernel."""
    activation_below: int


class Network(NamedTuple):
    """Where everything lies in the memory of a strip; all numbers but sizes are rows."""

    layers: NDArray[np.int64]
    """A `Layer` in each row."""
    parameters: int
    states: int
    """The first number that an optimiser keeps with each parameter, the second one behind it; 0
    where none is kept."""
    gradient: int
    """0 where none is kept."""
    counts: int
    """What an optimiser counts for the whole network; 0 where it does not."""
    rows: int
    """Size of the block."""
    targets: int
    row_weights: int
    """Of the work memory, where rows have weights; 0 where they have none."""
    activations: int
    """Number of activations, targets and weights."""
    deltas: int
    """Number of δ."""
    samples: int
    """Samples that are processed at once."""
    alternates: bool
    """Whether the work memory has room for the activations of a second sample."""

    @property
    def work_rows(self) -> int:
        """Size of the work memory."""
        return self.activations * (self.samples + self.alternates) + self.deltas * self.samples


def network(
    sizes: Sequence[int],
    samples: int = 1,
    *,
    activations: Sequence[int] = (),
    states: int = 0,
    counts: int = 0,
    gradient: bool = False,
    alternates: bool = False,
    weighted: bool = False,
) -> Network:
    """Lay out the memory of networks with these units per layer, inputs first.

    `activations`: the number of the activation of each layer past the inputs, by default 0.
    """
    row_weights = (sizes[0] + sizes[-1]) * weighted
    kinds = (0, *(activations or [0] * (len(sizes) - 1)))
    layers, row, below, unit, delta = [], 0, 0, sizes[0] + sizes[-1] + weighted, 0
    for (inputs, units), (kind_below, kind) in zip(pairwise(sizes), pairwise(kinds), strict=True):
        biases, places = row + units * inputs, (below, unit, delta - inputs, delta)
        layers.append(Layer(units, inputs, row, biases, *places, kind, kind_below))
        row, below, unit, delta = biases + units, unit, unit + units, delta + units
    kept = row * (1 + states + gradient)
    return Network(
        np.array(layers, np.int64),
        parameters=row,
        states=row * (states > 0),
        gradient=row * (1 + states) * gradient,
        counts=kept * (counts > 0),
        rows=kept + counts,
        targets=sizes[0],
        row_weights=row_weights,
        activations=unit,
        deltas=delta,
        samples=samples,
        alternates=alternates,
    )


@inlined
def layer_of(network: Any, at: Any) -> Any:
    """A layer of a network, in compiled code."""
    row = network.layers[at]
    return Layer(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9])


@inlined
def lanes_of(P: Any, lanes: Any) -> Any:
    """The number of lanes, hidden from the compiler.

    If it knew the number, it would unroll every loop over the vectors of a strip, which makes
    nothing faster and takes seconds.
    """
    return min(lanes, len(P))


class Table(NamedTuple):
    """A problem in the dtype of the lanes: input columns first, then targets, then weights.

    Columns of two values (every problem of bits) are also stored as bits, which are several times
    cheaper to look up than values. Each row has a word, as wide as the numbers, and each column a
    mask: the row has the higher value of the column where its word has a bit of the mask.
    """

    rows: int
    columns: int
    values: NDArray[Any]
    """Flat [column, row]."""
    by_row_number: bool
    """Whether the word of row r is 2^r, so that it need not be looked up."""
    packed: bool
    """Whether there are words and masks."""
    words: NDArray[Any]
    masks: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]


def table(
    X: NDArray[np.float64],
    T: NDArray[np.float64],
    dtype: DTypeLike,
    weights: NDArray[np.float64] | None = None,
) -> Table:
    """The table of a problem with inputs X [row, input], targets T [row, output], weights [row]."""
    parts = [X, T] if weights is None else [X, T, weights[:, None]]
    columns = cast(np.hstack(parts).T, np.dtype(dtype))
    low, high = columns.min(axis=1), columns.max(axis=1)
    is_high = columns == high[:, None]
    count, rows = columns.shape
    bits = 8 * columns.itemsize
    two_valued = bool((is_high | (columns == low[:, None])).all())
    by_row_number = two_valued and rows <= bits
    packed = by_row_number or (two_valued and count <= bits)
    # Each line of `lines` is a mask or a word, its first entry in the lowest bit.
    lines = is_high if by_row_number else is_high.T
    powers = 2 ** np.arange(bits, dtype=f"u{columns.itemsize}")
    numbers = (lines[:, :bits] * powers[: lines.shape[1]]).sum(axis=1, dtype=powers.dtype)
    return Table(
        rows,
        count,
        columns.ravel(),
        by_row_number,
        packed,
        words=powers if by_row_number else numbers,
        masks=numbers if by_row_number else powers,
        low=low,
        high=high,
    )


@elementwise
def _if_without(low: Any, bits: Any, mask: Any, high: Any) -> Any:
    """`low` where no bit of the mask is set, else `high`."""
    return choose((bits & mask) == 0, low, high)


@cache
def presenter(lanes: int, dtype: DTypeLike) -> Any:
    """Make the function that copies rows of a problem into inputs and targets, for a dtype."""
    vector, word = lanes_in_vector(dtype), np.dtype(f"u{np.dtype(dtype).itemsize}").type
    one = word(1)

    @shared
    def present(
        A: Any, samples: Any, sample: Any, table: Any, rows: Any, position: Any, words: Any
    ) -> None:
        """Copy the row that each lane visits at a position of its epoch into a sample of A.

        A: activations, flat [unit, sample, lane]. `rows`: flat [position, lane]. `words`: scratch
        memory, [lane].
        """
        if not table.packed:
            for column in range(table.columns):
                a, values = (column * samples + sample) * lanes, column * table.rows
                for lane in range(lanes):
                    row = load_order(rows, position * lanes + lane)
                    store_number(A, a + lane, load_table(table.values, values + row))
            return
        for lane in range(lanes):
            row = load_order(rows, position * lanes + lane)
            if table.by_row_number:  # NumPy's types: a shift of 32 bits has 64 in Numba
                store_lane(words, lane, word(one << word(row)))
            else:
                store_lane(words, lane, load_table(table.words, row))
        for lane in range(0, lanes, vector):
            bits = load(words, lane, 1, 0, 1, 0)
            for column in range(table.columns):
                mask = fill(words, load_table(table.masks, column), 1, 1)
                high = fill(A, load_table(table.high, column), 1, 1)
                low = fill(A, load_table(table.low, column), 1, 1)
                a = (column * samples + sample) * lanes + lane
                store(A, a, 0, 0, _if_without(low, bits, mask, high))

    return present


@inlined
def present_to_all(A: Any, lanes: Any, samples: Any, sample: Any, table: Any, row: Any) -> None:
    """Copy the same row into the inputs and targets of a sample of every lane."""
    for column in range(table.columns):
        a = (column * samples + sample) * lanes
        value = load_table(table.values, column * table.rows + row)
        for lane in range(lanes):
            store_number(A, a + lane, value)
