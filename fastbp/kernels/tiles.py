"""A tile: M × N vectors of lanes as one value, held in registers.

A vector holds one number of several networks, a network in each lane. Operations on tiles broadcast
as NumPy's do: a column (M × 1) times a row (1 × N) is a tile of M × N products. Each load of a
column serves all columns of the tile, and each load of a row serves all its rows (Goto & van de
Geijn, "Anatomy of high-performance matrix multiplication", 2008). Compilers find no such tile in
loops over lanes, so here every operation is written as instructions on vectors. Every lane of every
element computes by itself: bits depend neither on the size of a tile nor on the width of a vector.

With the JIT off a tile is a NumPy array [M, N, lane].
"""

import operator
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import models, register_model
from numpy.typing import DTypeLike

from fastbp.kernels import vector_ir
from fastbp.kernels.jit import generated_by, vector_bytes
from fastbp.kernels.vector_ir import Vector, address, compiled_by

Size = tuple[int, int]

TILE: Size = (4, 4) if vector_bytes() == 64 else (4, 2)
"""Rows and columns of a tile that does not run out of registers: 32 with AVX-512, 16 with AVX2."""

COLUMN: Size = (TILE[0], 1)


def tile_for(rows: Sequence[int], columns: int) -> Size:
    """The size of a tile for matrices of these heights (`rows`) and of the same width (`columns`).

    Tiles of 5 × 5 take 31 of the 32 registers of AVX-512; they pay where nothing is left over.
    """
    fives = vector_bytes() == 64 and not any(size % 5 for size in (*rows, columns))
    return (5, 5) if fives else TILE


def lanes_in_vector(dtype: DTypeLike) -> int:
    """Lanes in one vector."""
    return vector_bytes() // np.dtype(dtype).itemsize


class Tile(types.Type):  # type: ignore[misc]
    """Numba's type of a tile."""

    def __init__(self, number: Any, rows: int, columns: int) -> None:
        self.number, self.rows, self.columns = number, rows, columns
        super().__init__(f"Tile({number}, {rows}, {columns})")

    @property
    def vector(self) -> Any:
        """LLVM's type of an element."""
        bits = self.number.bitwidth
        number = {types.float64: ir.DoubleType(), types.float32: ir.FloatType()}.get(self.number)
        return ir.VectorType(number or ir.IntType(bits), vector_bytes() * 8 // bits)

    @property
    def tile(self) -> Any:
        """LLVM's type of the tile."""
        return ir.ArrayType(self.vector, self.rows * self.columns)


@register_model(Tile)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Tile) -> None:
        super().__init__(manager, kind, kind.tile)


def _element(builder: Any, kind: Tile, tile: Any, m: int, n: int) -> Vector:
    """Element (m, n) of a tile, which may have one row or one column only."""
    place = min(m, kind.rows - 1) * kind.columns + min(n, kind.columns - 1)
    return Vector(builder, builder.extract_value(tile, place))


def _assemble(builder: Any, kind: Tile, element: Callable[[int, int], Any]) -> Any:
    """Make a tile of its elements."""
    tile = ir.Constant(kind.tile, ir.Undefined)
    for m in range(kind.rows):
        for n in range(kind.columns):
            tile = builder.insert_value(tile, element(m, n), m * kind.columns + n)
    return tile


def _all_lanes(builder: Any, vector: Any, number: Any) -> Any:
    """A vector with the same number in every lane."""
    undefined, zero = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(undefined, number, zero)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(one, undefined, mask)


# --- Arithmetic


def _result(tiles: Any, results: int = 1) -> Any:
    """Signature of an operation on tiles; None for arguments that do not fit together.

    Tiles broadcast. All must have numbers of the first one's type, which the result gets; tiles of
    integers (bits) fit to all.
    """
    if not all(
        isinstance(tile, Tile)
        and (tile.number == tiles[0].number or isinstance(tile.number, types.Integer))
        for tile in tiles
    ):
        return None
    rows, columns = max(tile.rows for tile in tiles), max(tile.columns for tile in tiles)
    if any(tile.rows not in (1, rows) or tile.columns not in (1, columns) for tile in tiles):
        return None
    made = Tile(tiles[0].number, rows, columns)
    return signature(made if results == 1 else types.UniTuple(made, results), *tiles)


def _in_every_element(function: Callable[..., Any]) -> Any:
    """Generator of the code that applies a function of `Vector`s to every element.

    A function may return several vectors: then the result is a tuple of tiles.
    """

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        @cache
        def element(m: int, n: int) -> Any:
            pairs = zip(sig.args, args, strict=True)
            return function(*(_element(builder, kind, tile, m, n) for kind, tile in pairs))

        if isinstance(sig.return_type, Tile):
            return _assemble(builder, sig.return_type, lambda m, n: element(m, n).value)
        tiles = [
            _assemble(builder, kind, partial(lambda i, m, n: element(m, n)[i].value, i))
            for i, kind in enumerate(sig.return_type)
        ]
        return context.make_tuple(builder, sig.return_type, tiles)

    return code


def elementwise(function: Callable[..., Any], results: int = 1) -> Any:
    """Make an operation on tiles from a function of numbers that has no branches.

    With several `results` the function returns a tuple.
    """
    operation = np.errstate(all="ignore")(function)
    compiled_by(_in_every_element(function), operation, Tile, partial(_result, results=results))
    return operation


fma = elementwise(vector_ir.fma)
for _symbol in (operator.add, operator.sub, operator.mul, operator.truediv, operator.neg):
    compiled_by(_in_every_element(_symbol), _symbol, Tile, _result)


# --- Loads and stores: `first` is the place of element (0, 0) in flat memory, `down` the distance
# from row to row, `across` the distance from column to column, in numbers. Every element must begin
# at a multiple of the width of a vector. `load(memory, first, 1, 0, 1, 0)` is a single vector.


def _places(memory: Any, first: Any, rows: Any, down: Any, columns: Any, across: Any) -> Any:
    """Indices [row, column, lane] of a tile in memory."""
    corner = first + np.arange(rows)[:, None] * down + np.arange(columns) * across
    return corner[..., None] + np.arange(lanes_in_vector(memory.dtype))


def _pointer(context: Any, builder: Any, kinds: Any, values: Any, vector: Any) -> Any:
    """A function of (m, n): the address of an element; from memory, first, down and across."""
    memory = address(context, builder, kinds[0], values[0])
    index = context.get_value_type(types.intp)
    first, *strides = (
        context.cast(builder, value, kind, types.intp)
        for value, kind in zip(values[1:], kinds[1:], strict=True)
    )

    def pointer(*place: int) -> Any:
        at = first
        for k, stride in zip(place, strides, strict=True):
            at = builder.add(at, builder.mul(ir.Constant(index, k), stride)) if k else at
        return builder.bitcast(builder.gep(memory, [at]), vector.as_pointer())

    return pointer


def _load(
    typing: Any, memory: Any, first: Any, rows: Any, down: Any, columns: Any, across: Any
) -> Any:
    kind = Tile(memory.dtype, rows.literal_value, columns.literal_value)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kinds, values = ([every[i] for i in (0, 1, 3, 5)] for every in (sig.args, args))
        pointer = _pointer(context, builder, kinds, values, kind.vector)

        def element(m: int, n: int) -> Any:
            value = builder.load(pointer(m, n))
            value.align = vector_bytes()
            return value

        return _assemble(builder, kind, element)

    return kind(memory, first, rows, down, columns, across), code


@generated_by(_load)
def load(memory: Any, first: Any, rows: Any, down: Any, columns: Any, across: Any) -> Any:
    """Load a tile."""
    return memory[_places(memory, first, rows, down, columns, across)]


def _store(typing: Any, memory: Any, first: Any, down: Any, across: Any, tile: Any) -> Any:
    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[:4], args[:4], tile.vector)
        for m in range(tile.rows):
            for n in range(tile.columns):
                value = _element(builder, tile, args[4], m, n).value
                builder.store(value, pointer(m, n)).align = vector_bytes()
        return context.get_dummy_value()

    # A tile of another type is refused: a float64 in a float32 kernel is a mistake.
    fits = memory.dtype == tile.number
    return (types.void(memory, first, down, across, tile), code) if fits else None


@generated_by(_store)
def store(memory: Any, first: Any, down: Any, across: Any, tile: Any) -> None:
    """Store a tile."""
    rows, columns, _ = tile.shape
    memory[_places(memory, first, rows, down, columns, across)] = tile


def _fill(typing: Any, memory: Any, number: Any, rows: Any, columns: Any) -> Any:
    kind = Tile(memory.dtype, rows.literal_value, columns.literal_value)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = context.cast(builder, args[1], sig.args[1], memory.dtype)
        vector = _all_lanes(builder, kind.vector, value)
        return _assemble(builder, kind, lambda m, n: vector)

    return kind(memory, number, rows, columns), code


@generated_by(_fill)
def fill(memory: Any, number: Any, rows: Any, columns: Any) -> Any:
    """A tile with the same number in all its lanes, of the type of the numbers in memory."""
    return np.full((rows, columns, lanes_in_vector(memory.dtype)), number, memory.dtype)


def _any_lane(typing: Any, tile: Any) -> Any:
    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = builder.extract_value(args[0], 0)
        is_set = builder.fcmp_unordered("!=", vector, ir.Constant(vector.type, None))
        bits = ir.IntType(vector.type.count)
        return builder.icmp_unsigned("!=", builder.bitcast(is_set, bits), ir.Constant(bits, 0))

    return (types.boolean(tile), code) if tile.rows == tile.columns == 1 else None


@generated_by(_any_lane)
def any_lane(tile: Any) -> Any:
    """Whether a tile of 1 × 1 is not 0 in some lane."""
    return bool(tile.any())
