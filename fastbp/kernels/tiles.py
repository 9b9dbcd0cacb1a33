"""Sums of products over lanes, c_mn = Σ_k a_mk b_kn with a network in each lane: what a batch
spends its time on.

A tile of c stands in registers, one vector of lanes an element, while k ascends: each a serves all
columns of the tile and each b all its rows (Goto & van de Geijn, "Anatomy of high-performance
matrix multiplication", 2008). Compilers find no such tile by themselves, so tiles are written as
instructions on vectors. Every element is one chain of fused multiply-adds of its own, so bits
depend neither on tiles nor on the width of a vector. With the JIT off plain loops do the same.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastbp.kernels.jit import inlined, shared, vector_bytes
from fastbp.kernels.memory import load_activation, set_wide, store_result
from fastbp.kernels.real import Vector, fma, instruction, like, sigmoid, slope

# Numba's generation of code has no types.
_unpack: Any = cgutils.unpack_tuple

ROWS, COLUMNS = (5, 4) if vector_bytes() == 64 else (4, 2)
"""The largest tile: AVX-512 has 32 registers, others 16."""

STRIP_BYTES = 100_000
"""What samples of a strip of lanes may take."""

ONTO, LEARN, BIAS = 1, 2, 4
"""What becomes of a sum of a gradient, as bits: it goes on from what there is; weights take a step
by it at once; likewise for biases."""

RAW = 1
"""What a unit receives is to be stored, not its activation."""


class Matrix(NamedTuple):
    """Vectors of lanes in flat memory: that of row m and column n begins at first + m·row +
    n·column.
    """

    memory: Any
    first: Any
    row: Any
    column: Any


class Products(NamedTuple):
    """Sums of products, for a strip of lanes that begins where the matrices do. Arguments: rows,
    columns and terms of the sum (of `copy` only rows and columns), lanes in the strip, which are
    whole vectors, the matrices, and what the tiles say of the rest. Rates and biases are matrices
    of one column, with a distance of 0 to the next.
    """

    feedforward: Callable[..., None]
    """a_ks = σ(b_k + Σ_i w_ki x_is), i ascending, or the RAW sum: units, samples, inputs, strip, a,
    w, x, b, 0, then."""
    backpropagate: Callable[..., None]
    """d_js = (σ′_js + offset)·Σ_k w_jk d_ks, k ascending, σ′ from a = σ(z): units, samples, units
    above, strip, d, w, d above, a, offset, 0."""
    add_gradient: Callable[..., None]
    """g_ki = Σ_s d_ks a_si, s ascending, and what `then` says as bits: units, inputs, samples,
    strip, g, d, a, bias, rate, then. `g`, `bias`: the gradient, or to LEARN the parameters, which
    then change by −rate·gradient."""
    copy: Callable[..., None]


def lanes_in_vector(lanes: int, item: int) -> int:
    """How many lanes of a group a vector holds, of numbers of so many bytes: lanes are a multiple
    of it.
    """
    return math.gcd(lanes, vector_bytes() // item)


def strip_lanes(rows: int, lanes: int, item: int) -> int:
    """How many lanes of a group, of numbers of so many bytes, are taken one after another in every
    tile: whole vectors, the same number in every strip, with `rows` rows of work for each. Many, so
    that there are fewer calls, but no more than what the cache holds.
    """
    vector = lanes_in_vector(lanes, item)
    vectors = lanes // vector
    fits = [
        n
        for n in range(1, vectors + 1)
        if vectors % n == 0 and (n == 1 or rows * n * vector * item <= STRIP_BYTES)
    ]
    return max(fits) * vector


def work_size(rows: int, lanes: int, item: int) -> int:
    """How many numbers the work of a strip takes."""
    return rows * strip_lanes(rows, lanes, item)


@cache
def products(lanes: int) -> Products:
    """Put together what is compiled for so many lanes."""

    @shared
    def copy(rows: Any, columns: Any, strip: Any, target: Any, source: Any) -> None:
        """Copy so many rows and columns."""
        for m in range(rows):
            for n in range(columns):
                i, j = at(target, m, n), at(source, m, n)
                for lane in range(strip):
                    store_result(target.memory, i + lane, load_activation(source.memory, j + lane))

    feedforward, backpropagate, add_gradient = (
        _in_tiles(_tile(lanes, kind)) for kind in (_Sum, _Delta, _Gradient)
    )
    return Products(feedforward, backpropagate, add_gradient, copy)


def _in_tiles(tile: Any) -> Any:
    """All of c, tile by tile."""

    @shared
    def sums(
        rows: Any, columns: Any, terms: Any, strip: Any, c: Any, a: Any, b: Any, other: Any, extra: Any, then: Any
    ) -> None:  # fmt: skip
        for i in range(0, rows, ROWS):
            m = min(ROWS, rows - i)
            j = 0
            while j < columns:
                n = min(COLUMNS, columns - j)
                tiles = (columns - j) // n
                what = then if j == 0 else then & ~BIAS
                tile(
                    m,
                    n,
                    tiles,
                    terms,
                    strip,
                    part(c, i, j),
                    part(a, i, 0),
                    part(b, 0, j),
                    part(other, i, j),
                    extra,
                    what,
                )
                j += n * tiles

    return sums


@inlined
def part(matrix: Any, row: Any, column: Any) -> Any:
    """The matrix without the rows and columns before these."""
    return Matrix(
        matrix.memory,
        matrix.first + row * matrix.row + column * matrix.column,
        matrix.row,
        matrix.column,
    )


@inlined
def transposed(matrix: Any) -> Any:
    """Rows as columns."""
    return Matrix(matrix.memory, matrix.first, matrix.column, matrix.row)


# --- Tiles
# ------------------------------------------------------------------------------------------------------------
#
# Arguments of every tile: rows m and columns n of a tile, how many tiles side by side, terms, lanes
# in the strip; the matrices c, a, b and `other`; `extra` and `then` as the tile says.


@inlined
def at(matrix: Any, row: Any, column: Any) -> Any:
    """Where an element begins."""
    return matrix.first + row * matrix.row + column * matrix.column


class _Tile:
    """Generates the code of a tile: a function of its own for each size, or the compiler would mix
    them up and run out of registers. Subclasses say where sums start and what becomes of them, and
    the same as plain Python, for one element.
    """

    builder: Any
    """Where code is generated: in the caller, then in the function of one size."""

    def __init__(
        self, context: Any, builder: Any, signature: Any, arguments: Any, lanes: int
    ) -> None:
        self.builder = builder
        real = signature.args[5][0].dtype
        count = lanes_in_vector(lanes, real.bitwidth // 8)
        self.bytes = count * real.bitwidth // 8
        self.vector = ir.VectorType(context.get_value_type(real), count)
        self.index = context.get_value_type(types.intp)
        self.name = f"fastbp.{type(self).__name__}.{count}.{real.bitwidth}"

        def given(k: int) -> list[Any]:
            kind = signature.args[k]
            if isinstance(kind, types.Integer):
                return [context.cast(builder, arguments[k], kind, types.intp)]
            if not isinstance(kind, types.BaseTuple):
                return [arguments[k]]
            array, *integers = _unpack(builder, arguments[k])
            memory = context.make_array(kind[0])(context, builder, array).data
            first, *strides = (
                context.cast(builder, v, t, types.intp)
                for v, t in zip(integers, list(kind)[1:], strict=True)
            )
            return [builder.gep(memory, [first]), *strides]

        self.m, self.n = given(0)[0], given(1)[0]
        self.given = [given(k) for k in range(2, 11)]

    def code(self) -> None:
        """A call of the function for the size that is asked for."""
        builder = self.builder
        end, impossible = (
            builder.append_basic_block("end"),
            builder.append_basic_block("impossible"),
        )
        size = builder.add(builder.mul(self.m, ir.Constant(self.index, COLUMNS)), self.n)
        which = builder.switch(size, impossible)
        values = [value for values in self.given for value in values]
        for m in range(1, ROWS + 1):
            for n in range(1, COLUMNS + 1):
                block = builder.append_basic_block(f"size {m} {n}")
                which.add_case(ir.Constant(self.index, m * COLUMNS + n), block)
                builder.position_at_end(block)
                builder.call(self._function(m, n, [value.type for value in values]), values)
                builder.branch(end)
        builder.position_at_end(impossible)
        builder.unreachable()
        builder.position_at_end(end)
        self.builder = builder

    def _function(self, m: int, n: int, kinds: list[Any]) -> Any:
        name, module = f"{self.name}.{m}.{n}", self.builder.module
        if name in module.globals:
            return module.globals[name]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        set_wide(function)
        caller, self.builder = self.builder, ir.IRBuilder(function.append_basic_block("entry"))
        arguments = iter(function.args)
        (tiles,), (self.terms,), (self.strip,), c, a, b, other, self.extra, (then,) = (
            [next(arguments) for _ in values] for values in self.given
        )
        self._tiles(m, n, tiles, then, c, a, b, other)
        self.builder.ret_void()
        self.builder = caller
        return function

    def _tiles(
        self, m: int, n: int, tiles: Any, then: Any, c: Any, a: Any, b: Any, other: Any
    ) -> None:
        """One tile after another, to the right."""
        builder, before, tile = (
            self.builder,
            self.builder.block,
            self.builder.append_basic_block("tile"),
        )
        end = builder.append_basic_block("end")
        builder.branch(tile)
        builder.position_at_end(tile)
        count, self.then = builder.phi(self.index), builder.phi(self.index)
        at = [builder.phi(matrix[0].type) for matrix in (c, b, other)]
        self._strip(
            m,
            n,
            *(
                [start, *matrix[1:]]
                for start, matrix in zip((at[0], a[0], *at[1:]), (c, a, b, other), strict=True)
            ),
        )
        one, without_bias = ir.Constant(self.index, 1), ir.Constant(self.index, ~BIAS)
        following = [
            builder.add(count, one),
            builder.and_(self.then, without_bias),
            *(
                builder.gep(start, [self.times(n, matrix[2])])
                for start, matrix in zip(at, (c, b, other), strict=True)
            ),
        ]
        firsts = [ir.Constant(self.index, 0), then, c[0], b[0], other[0]]
        for phi, first, next_ in zip([count, self.then, *at], firsts, following, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(next_, builder.block)
        builder.cbranch(builder.icmp_signed("<", following[0], tiles), tile, end)
        builder.position_at_end(end)

    def _strip(self, m: int, n: int, *matrices: Any) -> None:
        """One vector after another."""
        builder, before, vector = (
            self.builder,
            self.builder.block,
            self.builder.append_basic_block("vector"),
        )
        end = builder.append_basic_block("end")
        builder.branch(vector)
        builder.position_at_end(vector)
        lane = builder.phi(self.index)
        self.c, self.a, self.b, self.other = (
            Matrix(builder.gep(first, [lane]), 0, *strides) for first, *strides in matrices
        )
        self.lane = lane
        self._vector(m, n)
        following = builder.add(lane, ir.Constant(self.index, self.vector.count))
        lane.add_incoming(ir.Constant(self.index, 0), before)
        lane.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, self.strip), vector, end)
        builder.position_at_end(end)

    def _vector(self, m: int, n: int) -> None:
        """Sums from their start to their end."""
        builder = self.builder
        starts = self.start(m, n)
        before, loop, after = (
            builder.block,
            builder.append_basic_block("terms"),
            builder.append_basic_block("sums"),
        )
        builder.branch(loop)
        builder.position_at_end(loop)
        k, a, b = (
            builder.phi(kind) for kind in (self.index, self.a.memory.type, self.b.memory.type)
        )
        sums = [[Vector(builder, builder.phi(self.vector)) for _ in row] for row in starts]
        column = [self.load(builder.gep(a, [self.times(i, self.a.row)])) for i in range(m)]
        row = [self.load(builder.gep(b, [self.times(j, self.b.column)])) for j in range(n)]
        ends = [
            [fma(x, row[j], s) if j < n else s + x for j, s in enumerate(sums[i])]
            for i, x in enumerate(column)
        ]
        flat = [
            [vector.value for line in lines for vector in line] for lines in (sums, starts, ends)
        ]
        for phi, first, following in zip(
            [k, a, b, *flat[0]],
            [ir.Constant(self.index, 0), self.a.memory, self.b.memory, *flat[1]],
            [
                builder.add(k, ir.Constant(self.index, 1)),
                builder.gep(a, [self.a.column]),
                builder.gep(b, [self.b.row]),
                *flat[2],
            ],
            strict=True,
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", k.incomings[1][0], self.terms), loop, after)
        builder.position_at_end(after)
        self.finish(ends)

    def start(self, m: int, n: int) -> list[list[Vector]]:
        """Where the sums of each row start; one more than there are columns where that of the row
        of a itself is asked for.
        """
        raise NotImplementedError

    def finish(self, sums: list[list[Vector]]) -> None:
        """Do with the sums what is to be done."""
        raise NotImplementedError

    @staticmethod
    def plain(
        terms: Any,
        c: Any,
        a: Any,
        b: Any,
        other: Any,
        extra: Any,
        then: Any,
        i: Any,
        j: Any,
        lane: Any,
    ) -> None:
        """The same in Python, for a lane of one element."""
        raise NotImplementedError

    def asked(self, bit: int) -> Any:
        """Whether a bit of `then` is set."""
        bits = self.builder.and_(self.then, ir.Constant(self.index, bit))
        return self.builder.icmp_signed("!=", bits, ir.Constant(self.index, 0))

    def times(self, k: int, stride: Any) -> Any:
        return self.builder.mul(ir.Constant(self.index, k), stride)

    def at(self, matrix: Matrix, m: int, n: int) -> Any:
        """Where an element is."""
        return self.builder.gep(
            matrix.memory,
            [self.builder.add(self.times(m, matrix.row), self.times(n, matrix.column))],
        )

    def load(self, place: Any) -> Vector:
        value = self.builder.load(self._vector_at(place))
        value.align = self.bytes
        return Vector(self.builder, value)

    def store(self, vector: Vector, place: Any) -> None:
        self.builder.store(vector.value, self._vector_at(place)).align = self.bytes

    def _vector_at(self, place: Any) -> Any:
        return self.builder.bitcast(place, self.vector.as_pointer())

    def nothing(self) -> Vector:
        """A vector of zeros."""
        return Vector(self.builder, ir.Constant(self.vector, None))

    def all_lanes(self, number: Any) -> Vector:
        """A vector of one number."""
        undefined, zero = ir.Constant(self.vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(undefined, number, zero)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), None)
        return Vector(self.builder, self.builder.shuffle_vector(one, undefined, mask))


class _Sum(_Tile):
    """c ← σ(bias + sum), or bias + sum if `then` is RAW, with the biases as `other`."""

    def start(self, m: int, n: int) -> list[list[Vector]]:
        return [[self.load(self.at(self.other, i, 0))] * n for i in range(m)]

    def finish(self, sums: list[list[Vector]]) -> None:
        with self.builder.if_else(self.asked(RAW)) as (raw, activation):
            with raw:
                self._store(sums)
            with activation:
                self._store([[sigmoid(z) for z in row] for row in sums])

    def _store(self, values: list[list[Vector]]) -> None:
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                self.store(value, self.at(self.c, i, j))

    @staticmethod
    def plain(
        terms: Any,
        c: Any,
        a: Any,
        b: Any,
        other: Any,
        extra: Any,
        then: Any,
        i: Any,
        j: Any,
        lane: Any,
    ) -> None:
        start = other.memory[at(other, i, 0) + lane]
        z = _plain_sum(start, terms, a, b, i, j, lane)
        c.memory[at(c, i, j) + lane] = z if then & RAW else sigmoid(z)


class _Delta(_Tile):
    """c ← (o(1 − o) + offset)·sum, with the activations o as `other` and the offset as `extra`."""

    def start(self, m: int, n: int) -> list[list[Vector]]:
        return [[self.nothing()] * n for _ in range(m)]

    def finish(self, sums: list[list[Vector]]) -> None:
        offset = self.all_lanes(self.extra[0])
        for i, row in enumerate(sums):
            for j, value in enumerate(row):
                o = self.load(self.at(self.other, i, j))
                self.store(value * (slope(o) + offset), self.at(self.c, i, j))

    @staticmethod
    def plain(
        terms: Any,
        c: Any,
        a: Any,
        b: Any,
        other: Any,
        extra: Any,
        then: Any,
        i: Any,
        j: Any,
        lane: Any,
    ) -> None:
        value = _plain_sum(like(c.memory[0], 0.0), terms, a, b, i, j, lane)
        c.memory[at(c, i, j) + lane] = value * (slope(other.memory[at(other, i, j) + lane]) + extra)


class _Gradient(_Tile):
    """c ← sum, or, as `then` says, c + sum or c − rate·sum; likewise `other`, of one column, with
    sums of the rows of a. The rates are `extra`, a matrix of one element.
    """

    def start(self, m: int, n: int) -> list[list[Vector]]:
        builder = self.builder
        before, onto, ready = (
            builder.block,
            builder.append_basic_block("onto"),
            builder.append_basic_block("ready"),
        )
        builder.cbranch(self.asked(ONTO), onto, ready)
        builder.position_at_end(onto)
        there = [[self.load(place) for place in row] for row in self.places(m, n)]
        builder.branch(ready)
        builder.position_at_end(ready)
        starts = [[Vector(builder, builder.phi(self.vector)) for _ in row] for row in there]
        for starting, values in zip(starts, there, strict=True):
            for start, value in zip(starting, values, strict=True):
                start.value.add_incoming(self.nothing().value, before)
                start.value.add_incoming(value.value, onto)
        return starts

    def places(self, m: int, n: int) -> list[list[Any]]:
        """Where the elements of each row are, and last its bias."""
        return [
            [*(self.at(self.c, i, j) for j in range(n)), self.at(self.other, i, 0)]
            for i in range(m)
        ]

    def finish(self, sums: list[list[Vector]]) -> None:
        places = self.places(len(sums), len(sums[0]) - 1)
        elements = [
            list(zip(values, where, strict=True))
            for values, where in zip(sums, places, strict=True)
        ]
        self._put([element for row in elements for element in row[:-1]])
        with self.builder.if_then(self.asked(BIAS)):
            self._put([row[-1] for row in elements])

    def _put(self, elements: list[tuple[Vector, Any]]) -> None:
        builder = self.builder
        with builder.if_else(self.asked(LEARN)) as (step, keep):
            with step:
                rate = self.load(builder.gep(self.extra[0], [self.lane]))
                for value, place in elements:
                    self.store(self.load(place) + -(rate * value), place)
            with keep:
                for value, place in elements:
                    self.store(value, place)

    @staticmethod
    def plain(
        terms: Any,
        c: Any,
        a: Any,
        b: Any,
        other: Any,
        extra: Any,
        then: Any,
        i: Any,
        j: Any,
        lane: Any,
    ) -> None:
        rate = extra.memory[extra.first + lane]
        place, nothing = at(c, i, j) + lane, like(c.memory[0], 0.0)
        value = _plain_sum(c.memory[place] if then & ONTO else nothing, terms, a, b, i, j, lane)
        c.memory[place] = c.memory[place] + -(rate * value) if then & LEARN else value
        if j == 0 and then & BIAS:
            place = at(other, i, 0) + lane
            value = other.memory[place] if then & ONTO else nothing
            for k in range(terms):
                value = value + a.memory[at(a, i, k) + lane]
            other.memory[place] = other.memory[place] + -(rate * value) if then & LEARN else value


def _plain_sum(start: Any, terms: Any, a: Any, b: Any, i: Any, j: Any, lane: Any) -> Any:
    value = start
    for k in range(terms):
        value = fma(a.memory[at(a, i, k) + lane], b.memory[at(b, k, j) + lane], value)
    return value


def _tile(lanes: int, kind: type[_Tile]) -> Any:
    """The function that compiled code calls for a tile of this kind, and plain Python with the JIT
    off.
    """

    def tile(
        m: Any,
        n: Any,
        tiles: Any,
        terms: Any,
        strip: Any,
        c: Any,
        a: Any,
        b: Any,
        other: Any,
        extra: Any,
        then: Any,
    ) -> None:
        for i, j in np.ndindex(m, n * tiles):
            for lane in range(strip):
                kind.plain(terms, c, a, b, other, extra, then, i, j, lane)

    @instruction(tile)
    def generated(
        typing: Any, m: Any, n: Any, tiles: Any, terms: Any, strip: Any, c: Any, a: Any, b: Any, other: Any, extra: Any, then: Any
    ) -> Any:  # fmt: skip
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind(context, builder, signature, arguments, lanes).code()
            return context.get_dummy_value()

        return types.void(m, n, tiles, terms, strip, c, a, b, other, extra, then), code

    return tile
