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
from inspect import signature as signature_of
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model
from numpy.typing import DTypeLike

from fastbp.kernels import vector_ir
from fastbp.kernels.jit import vector_bytes
from fastbp.kernels.vector_ir import Vector, address

Size = tuple[int, int]

TILE: Size = (4, 4) if vector_bytes() == 64 else (4, 2)
"""Rows and columns of a tile that does not run out of registers: 32 with AVX-512, 16 with AVX2."""

COLUMN: Size = (TILE[0], 1)


def tile_for(rows: Sequence[int], columns: int) -> Size:
    """The size of a tile for matrices with these rows and so many columns.

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


def _result(tiles: Any) -> Any:
    """Signature of an operation on tiles; None for arguments that are none."""
    if not all(isinstance(tile, Tile) and tile.number == tiles[0].number for tile in tiles):
        return None
    rows, columns = max(tile.rows for tile in tiles), max(tile.columns for tile in tiles)
    if any(tile.rows not in (1, rows) or tile.columns not in (1, columns) for tile in tiles):
        return None
    return signature(Tile(tiles[0].number, rows, columns), *tiles)


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
    if config.DISABLE_JIT:
        return np.errstate(all="ignore")(function)

    def typed(*tiles: Any) -> Any:
        sig = _result(tiles)
        if sig and results > 1:
            sig = signature(types.UniTuple(sig.return_type, results), *sig.args)
        return sig and (sig, _in_every_element(function))

    by_count: dict[int, Any] = {
        1: lambda typing, a: typed(a),
        2: lambda typing, a, b: typed(a, b),
        3: lambda typing, a, b, c: typed(a, b, c),
        4: lambda typing, a, b, c, d: typed(a, b, c, d),
        8: lambda typing, a, b, c, d, e, f, g, h: typed(a, b, c, d, e, f, g, h),
    }
    return intrinsic(by_count[len(signature_of(function).parameters)])


fma = elementwise(vector_ir.fma)


def _register(symbol: Any, count: int) -> None:
    class Typing(AbstractTemplate):  # type: ignore[misc]
        key = symbol

        def generic(self, args: Any, kws: Any) -> Any:
            return _result(args)

    infer_global(symbol)(Typing)
    lower_builtin(symbol, *[Tile] * count)(_in_every_element(symbol))


for _symbol in (operator.add, operator.sub, operator.mul, operator.truediv):
    _register(_symbol, 2)
_register(operator.neg, 1)


# --- Loads and stores: `first` is the place of element (0, 0) in flat memory, `down` the distance
# from row to row, `across` the distance from column to column, in numbers. Every element must begin
# at a multiple of the width of a vector.


def _form(generator: Callable[..., Any]) -> Callable[[Any], Any]:
    """Let compiled code use the instructions of a generator instead of the decorated function."""
    return lambda plain: plain if config.DISABLE_JIT else intrinsic(prefer_literal=True)(generator)


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


@_form(_load)
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


@_form(_store)
def store(memory: Any, first: Any, down: Any, across: Any, tile: Any) -> None:
    """Store a tile."""
    rows, columns, _ = tile.shape
    memory[_places(memory, first, rows, down, columns, across)] = tile


def _zeros(typing: Any, memory: Any, rows: Any, columns: Any) -> Any:
    kind = Tile(memory.dtype, rows.literal_value, columns.literal_value)
    return kind(memory, rows, columns), lambda *_: ir.Constant(kind.tile, None)


@_form(_zeros)
def zeros(memory: Any, rows: Any, columns: Any) -> Any:
    """A tile of zeros, of the type of the numbers in memory."""
    return np.zeros((rows, columns, lanes_in_vector(memory.dtype)), memory.dtype)


def _repeat(typing: Any, tile: Any, columns: Any) -> Any:
    kind = Tile(tile.number, tile.rows, columns.literal_value)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _assemble(builder, kind, lambda m, n: _element(builder, tile, args[0], m, n).value)

    return kind(tile, columns), code


@_form(_repeat)
def repeat(tile: Any, columns: Any) -> Any:
    """A tile whose columns are all the given one."""
    return np.repeat(tile, columns, axis=1)


def _fill(typing: Any, memory: Any, number: Any) -> Any:
    kind = Tile(memory.dtype, 1, 1)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = context.cast(builder, args[1], number, memory.dtype)
        return _assemble(builder, kind, lambda m, n: _all_lanes(builder, kind.vector, value))

    return kind(memory, number), code


@_form(_fill)
def fill(memory: Any, number: Any) -> Any:
    """A tile of 1 × 1 with the same number in every lane, of the type of those in memory."""
    return np.full((1, 1, lanes_in_vector(memory.dtype)), number, memory.dtype)


# --- Bits


def _pick(typing: Any, words: Any, masks: Any, high: Any, low: Any, first: Any, rows: Any) -> Any:
    kind = Tile(high.dtype, rows.literal_value, 1)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        index = context.get_value_type(types.intp)
        word = builder.extract_value(args[0], 0)

        def entry(k: int, m: int, vector: Any) -> Any:
            memory = address(context, builder, sig.args[k], args[k])
            at = context.cast(builder, args[4], sig.args[4], types.intp)
            number = builder.load(builder.gep(memory, [builder.add(at, ir.Constant(index, m))]))
            return _all_lanes(builder, vector, number)

        def element(m: int, n: int) -> Any:
            has = builder.and_(word, entry(1, m, word.type))
            is_set = builder.icmp_unsigned("!=", has, ir.Constant(word.type, None))
            return builder.select(is_set, entry(2, m, kind.vector), entry(3, m, kind.vector))

        return _assemble(builder, kind, element)

    return kind(words, masks, high, low, first, rows), code


@_form(_pick)
def pick(words: Any, masks: Any, high: Any, low: Any, first: Any, rows: Any) -> Any:
    """A column whose entries are high[i] where the lane's word has a bit of masks[i], else low[i].

    `words`: a tile of 1 × 1; i = first … first + rows − 1.
    """
    i = slice(first, first + rows), None, None
    return np.where(words & masks[i], high[i], low[i])


def _any_lane(typing: Any, tile: Any) -> Any:
    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = builder.extract_value(args[0], 0)
        is_set = builder.fcmp_unordered("!=", vector, ir.Constant(vector.type, None))
        bits = ir.IntType(vector.type.count)
        return builder.icmp_unsigned("!=", builder.bitcast(is_set, bits), ir.Constant(bits, 0))

    return (types.boolean(tile), code) if tile.rows == tile.columns == 1 else None


@_form(_any_lane)
def any_lane(tile: Any) -> Any:
    """Whether a tile of 1 × 1 is not 0 in some lane."""
    return bool(tile.any())
