"""Tiles of sums of products over lanes, c_mn = Σ_k a_mk b_kn, as generated vector instructions.

A tile of c stays in registers, one vector of lanes per element, while k ascends: each a serves all
columns of the tile and each b all its rows (Goto & van de Geijn, "Anatomy of high-performance
matrix multiplication", 2008). Compilers find no such tile by themselves, so tiles are written as
instructions on vectors. Every element is a chain of fused multiply-adds of its own, so bits depend
neither on tiles nor on the width of a vector. With the JIT off plain loops do the same.
"""

import math
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastbp.kernels.jit import inlined, shared, vector_bytes
from fastbp.kernels.memory import set_wide
from fastbp.kernels.vector_ir import Vector, fma

ROWS, COLUMNS = (5, 4) if vector_bytes() == 64 else (4, 2)
"""The largest tile: AVX-512 has 32 registers, others 16."""

STRIP_BYTES = 100_000
"""Memory that the samples of a strip of lanes may take."""

ONTO, LEARN, BIAS = 1, 2, 4
"""What to do with a sum of a gradient, as bits: add it to the present value; let the weights take
their step at once; do the same for the biases."""


class Matrix(NamedTuple):
    """Vectors of lanes in flat memory; element (m, n) begins at first + m·row + n·column."""

    memory: Any
    first: Any
    row: Any
    column: Any


def lanes_in_vector(lanes: int, item: int) -> int:
    """Lanes in one vector, for numbers of `item` bytes; a divisor of `lanes`."""
    return math.gcd(lanes, vector_bytes() // item)


def strip_lanes(rows: int, lanes: int, item: int) -> int:
    """Lanes of a strip, which every tile processes one vector after another.

    Parameters
    ----------
    rows : int
        Rows of work for each lane.
    lanes : int
        Lanes of the group; all strips have the same number of whole vectors.
    item : int
        Bytes of a number.

    Returns
    -------
    int
        As many as the cache holds: longer strips mean fewer calls.
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
    """Numbers in the work block of a strip."""
    return rows * strip_lanes(rows, lanes, item)


@inlined
def part(matrix: Any, row: Any, column: Any) -> Any:
    """The part of a matrix from this row and column on."""
    return Matrix(
        matrix.memory,
        matrix.first + row * matrix.row + column * matrix.column,
        matrix.row,
        matrix.column,
    )


@inlined
def transposed(matrix: Any) -> Any:
    """The transposed matrix."""
    return Matrix(matrix.memory, matrix.first, matrix.column, matrix.row)


@inlined
def at(matrix: Any, row: Any, column: Any) -> Any:
    """Index at which an element begins."""
    return matrix.first + row * matrix.row + column * matrix.column


def in_tiles(tile: Any) -> Any:
    """Compute all of c, tile by tile."""

    @shared
    def sums(
        rows: Any,
        columns: Any,
        terms: Any,
        strip: Any,
        c: Any,
        a: Any,
        b: Any,
        other: Any,
        extra: Any,
        then: Any,
    ) -> None:
        for i in range(0, rows, ROWS):
            m = min(ROWS, rows - i)
            j = 0
            while j < columns:
                n = min(COLUMNS, columns - j)
                tiles = (columns - j) // n
                what = then if j == 0 else then & ~BIAS
                cij, ai, bj, oij = part(c, i, j), part(a, i, 0), part(b, 0, j), part(other, i, j)
                tile(m, n, tiles, terms, strip, cij, ai, bj, oij, extra, what)
                j += n * tiles

    return sums


class Tile:
    """Generator of the code of a tile, c_mn = Σ_k a_mk b_kn.

    Each size of a tile gets a function of its own: otherwise the compiler mixes them up and runs
    out of registers. Subclasses define where sums start and what becomes of them, and the same in
    plain Python for one element. Arguments of every tile: its rows m and columns n, the number of
    tiles side by side, terms, lanes in the strip; the matrices c, a, b and `other`; `extra` and
    `then` have the meaning that the subclass gives them.
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
            array, *integers = cgutils.unpack_tuple(builder, arguments[k])
            memory = context.make_array(kind[0])(context, builder, array).data
            first, *strides = (
                context.cast(builder, v, t, types.intp)
                for v, t in zip(integers, list(kind)[1:], strict=True)
            )
            return [builder.gep(memory, [first]), *strides]

        self.m, self.n = given(0)[0], given(1)[0]
        self.given = [given(k) for k in range(2, 11)]

    def code(self) -> None:
        """Call the function for the size of this tile."""
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
        """Values at which the sums of each row start; one more than columns sums the row of a."""
        raise NotImplementedError

    def finish(self, sums: list[list[Vector]]) -> None:
        """Store the sums, or what follows from them."""
        raise NotImplementedError

    @staticmethod
    def plain(terms: Any, matrices: Any, extra: Any, then: Any, place: Any) -> None:
        """Compute one element in Python; `matrices`: (c, a, b, other), `place`: (m, n, lane)."""
        raise NotImplementedError

    def is_set(self, bit: int) -> Any:
        """Whether a bit of `then` is set."""
        bits = self.builder.and_(self.then, ir.Constant(self.index, bit))
        return self.builder.icmp_signed("!=", bits, ir.Constant(self.index, 0))

    def times(self, k: int, stride: Any) -> Any:
        """Multiply a stride by a constant."""
        return self.builder.mul(ir.Constant(self.index, k), stride)

    def at(self, matrix: Matrix, m: int, n: int) -> Any:
        """Address of an element."""
        return self.builder.gep(
            matrix.memory,
            [self.builder.add(self.times(m, matrix.row), self.times(n, matrix.column))],
        )

    def load(self, place: Any) -> Vector:
        """Load the vector at an address."""
        value = self.builder.load(self._vector_at(place))
        value.align = self.bytes
        return Vector(self.builder, value)

    def store(self, vector: Vector, place: Any) -> None:
        """Store a vector at an address."""
        self.builder.store(vector.value, self._vector_at(place)).align = self.bytes

    def _vector_at(self, place: Any) -> Any:
        return self.builder.bitcast(place, self.vector.as_pointer())

    def nothing(self) -> Vector:
        """A vector of zeros."""
        return Vector(self.builder, ir.Constant(self.vector, None))

    def all_lanes(self, number: Any) -> Vector:
        """A vector with the same number in every lane."""
        undefined, zero = ir.Constant(self.vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(undefined, number, zero)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), None)
        return Vector(self.builder, self.builder.shuffle_vector(one, undefined, mask))
