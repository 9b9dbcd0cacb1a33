"""Basic operations on real numbers as LLVM instructions, for scalars and for vectors.

Each has three forms with the same bits: plain Python on NumPy scalars and arrays with the JIT off,
an LLVM instruction in compiled code, and, called with a `Vector`, an instruction in code that is
being generated.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.jit import compiled_form

F = TypeVar("F", bound=Callable[..., Any])
# A float64 or a float32, as NumPy scalar or array: mypy takes the product of two float64 for a
# Python float.
Real: TypeAlias = Any
Bits: TypeAlias = Any  # an int64 or an int32, or an array of them


def instruction(function: Callable[..., Any]) -> Callable[[F], F]:
    """Compile calls of `function` to the LLVM code that the decorated generator builds.

    With the JIT off the body of `function` runs.
    """

    def register(generator: F) -> F:
        generated: Any = intrinsic(generator)

        def call(*arguments: Any) -> Any:
            return generated(*arguments)

        compiled_form(function)(lambda *_: call)
        return generator

    return register


def address(context: Any, builder: Any, kind: Any, memory: Any) -> Any:
    """Where an array begins, or where a pointer points."""
    if isinstance(kind, types.CPointer):
        return memory
    return context.make_array(kind)(context, builder, memory).data


def _operator(instruction: str) -> Any:
    """Make the method of an operator on two vectors from the name of its instruction."""

    def operate(self: "Vector", other: "Vector") -> "Vector":
        return Vector(self.builder, getattr(self.builder, instruction)(self.value, other.value))

    return operate


class Vector:
    """A vector of numbers in code that is being generated.

    Functions of this module and of `real` that have no branches, called with vectors, add their
    instructions to that code and return the vector that it will compute.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    @property
    def kind(self) -> type[np.float64] | type[np.float32]:
        """The NumPy type of its numbers."""
        return (
            np.float32
            if self.value.type.element in (ir.FloatType(), ir.IntType(32))
            else np.float64
        )

    def constant(self, c: Any) -> "Vector":
        """The same constant in every place."""
        element, count = self.value.type.element, self.value.type.count
        one = c if isinstance(element, ir.IntType) else float(self.kind(c))
        return Vector(
            self.builder, ir.Constant(self.value.type, [ir.Constant(element, one)] * count)
        )

    def fma(self, b: "Vector", c: "Vector") -> "Vector":
        """Multiply by b and add c, with one rounding."""
        kind = self.value.type
        name = f"llvm.fma.v{kind.count}f{64 if self.kind is np.float64 else 32}"
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        return Vector(self.builder, self.builder.call(function, [self.value, b.value, c.value]))

    def reinterpreted(self) -> "Vector":
        """Numbers as their bits, or bits as numbers."""
        size = 32 if self.kind is np.float32 else 64
        number = ir.FloatType() if size == 32 else ir.DoubleType()
        other = number if isinstance(self.value.type.element, ir.IntType) else ir.IntType(size)
        return Vector(
            self.builder,
            self.builder.bitcast(self.value, ir.VectorType(other, self.value.type.count)),
        )

    def shifted_left(self, n: int) -> "Vector":
        """Shift bits to the left."""
        return Vector(self.builder, self.builder.shl(self.value, self.constant(n).value))

    def chosen(self, a: "Vector", b: "Vector") -> "Vector":
        """Select a where this condition holds, else b."""
        return Vector(self.builder, self.builder.select(self.value, a.value, b.value))

    __add__, __sub__ = _operator("fadd"), _operator("fsub")
    __mul__, __truediv__ = _operator("fmul"), _operator("fdiv")

    def __bool__(self) -> bool:
        raise TypeError("a vector is neither true nor false: use choose() in place of a branch")

    def __neg__(self) -> "Vector":
        return Vector(self.builder, self.builder.fneg(self.value))

    def __lt__(self, other: "Vector") -> "Vector":
        return Vector(self.builder, self.builder.fcmp_ordered("<", self.value, other.value))

    def __gt__(self, other: "Vector") -> "Vector":
        return other < self

    def __le__(self, other: "Vector") -> "Vector":
        return Vector(self.builder, self.builder.fcmp_ordered("<=", self.value, other.value))


# --- Types and bits


def precision(x: Real) -> type[np.float64] | type[np.float32]:
    """The NumPy type of x; a Python float counts as a float64, as in Numba."""
    if isinstance(x, Vector):
        return x.kind
    return np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64


def like(x: Real, c: float) -> Real:
    """The constant c rounded once to the type of x.

    In Numba a bare 0.5 is a float64, and so would be its product with a float32.
    """
    return x.constant(c) if isinstance(x, Vector) else precision(x)(c)


@instruction(like)
def _like(typing: Any, x: Any, c: Any) -> Any:
    return x(x, c), lambda context, builder, signature, args: context.cast(builder, args[1], c, x)


def by_precision(x: Real, double: Any, single: Any) -> Any:
    """`double` where x is a float64, `single` where it is a float32, chosen at compile time."""
    return single if precision(x) is np.float32 else double


@compiled_form(by_precision)
def _by_precision(x: Any, double: Any, single: Any) -> Any:
    if x is types.float32:
        return lambda x, double, single: single
    return lambda x, double, single: double


def to_bits(x: Real) -> Bits:
    """The bits of a float64 as an int64, of a float32 as an int32."""
    if isinstance(x, Vector):
        return x.reinterpreted()
    return x.view(np.int32) if precision(x) is np.float32 else np.asarray(x).view(np.int64)[()]


def from_bits(i: Bits) -> Real:
    """The float64 that has the bits of an int64, the float32 that has those of an int32."""
    if isinstance(i, Vector):
        return i.reinterpreted()
    return i.view(np.float32 if i.dtype == np.int32 else np.float64)


BIT_VIEWS: dict[Any, tuple[Any, Any]] = {
    types.float64: (types.int64, ir.IntType(64)),
    types.float32: (types.int32, ir.IntType(32)),
    types.int64: (types.float64, ir.DoubleType()),
    types.int32: (types.float32, ir.FloatType()),
}


@instruction(to_bits)
@instruction(from_bits)
def _reinterpret(typing: Any, bits: Any) -> Any:
    view, llvm_type = BIT_VIEWS[bits]
    return view(bits), lambda context, builder, signature, args: builder.bitcast(args[0], llvm_type)


def shift_left(i: Bits, n: int) -> Bits:
    """i·2ⁿ modulo the width of i, in the type of i (Numba's own << makes every int32 an int64)."""
    return i.shifted_left(n) if isinstance(i, Vector) else i << i.dtype.type(n)


@instruction(shift_left)
def _shift_left(typing: Any, i: Any, n: Any) -> Any:
    return i(i, n), lambda context, builder, signature, args: builder.shl(
        args[0], context.cast(builder, args[1], n, i)
    )


def choose(condition: Any, a: Real, b: Real) -> Real:
    """A where the condition holds, else b."""
    if isinstance(condition, Vector):
        return condition.chosen(a, b)
    return np.where(condition, a, b) if isinstance(condition, np.ndarray) else a if condition else b


@instruction(choose)
def _choose(typing: Any, condition: Any, a: Any, b: Any) -> Any:
    return (
        (a(condition, a, b), lambda context, builder, signature, args: builder.select(*args))
        if a == b
        else None
    )


# --- Fused multiply-add


def fma(a: Real, b: Real, c: Real) -> Real:
    """a·b + c with one rounding (IEEE 754 fusedMultiplyAdd), for three float64 or three float32.

    Compiled it is llvm.fma; this body is its definition, in exact integer arithmetic.
    """
    if isinstance(a, Vector):
        return a.fma(b, c)
    if any(isinstance(x, np.ndarray) for x in (a, b, c)):
        return _fma_of_arrays(*np.broadcast_arrays(a, b, c))
    kind = precision(a)
    if not kind is precision(b) is precision(c):
        names = ", ".join(type(value).__name__ for value in (a, b, c))
        raise TypeError(f"fma takes three values of one type, not {names}")
    if math.isinf(c) and math.isfinite(a) and math.isfinite(b):
        return c  # the product is finite, even where a * b would overflow
    finite = math.isfinite(a) and math.isfinite(b) and math.isfinite(c)
    if not finite or ((a == 0 or b == 0) and c == 0):
        # Nothing to round, and IEEE gives ∞, NaN and the sign of zero.
        with np.errstate(all="ignore"):
            return kind(a * b + c)
    (p, u), (q, v), (r, w) = (float(x).as_integer_ratio() for x in (a, b, c))
    return _nearest(p * q * w + r * u * v, u * v * w, kind)


def _nearest(numerator: int, denominator: int, kind: type[np.float64] | type[np.float32]) -> Real:
    """Round a fraction once, ties to even; its denominator is a power of two."""
    digits, lowest = (24, -149) if kind is np.float32 else (53, -1074)
    size = abs(numerator)
    places = denominator.bit_length() - 1
    unit = max(size.bit_length() - places - digits, lowest)  # the exponent of the last place kept
    dropped = places + unit
    kept = size << max(-dropped, 0) >> max(dropped, 0)
    if dropped > 0:
        rest, half = size - (kept << dropped), 1 << (dropped - 1)
        kept += rest > half or (rest == half and kept & 1)
    with np.errstate(all="ignore"):  # kept·2^unit is a number of that type, or is ∞
        return kind(np.ldexp(math.copysign(kept, -1 if numerator < 0 else 1), unit))


SAFE = 2.0**500, 2.0**-900
"""Between these sizes neither factors nor products overflow or lose bits when they are split."""


@np.errstate(all="ignore")
def _fma_of_arrays(a: Real, b: Real, c: Real) -> Real:
    """`fma` of arrays of one shape, by sums that are exact (Boldo & Melquiond 2008, algorithm 5).

    Elements of extreme size are computed one by one.
    """
    if a.dtype == np.float32:
        return _sum_to_odd(a.astype(np.float64) * b, c.astype(np.float64)).astype(np.float32)
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    rest = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    high, low = _two_sum(c, rest)
    total, error = _two_sum(product, high)
    result = total + _sum_to_odd(error, low)
    zero = (a == 0) | (b == 0)
    result = np.where(zero, product + c, result)
    sizes = np.abs((a, b, c))
    safe = (sizes < SAFE[0]).all(axis=0) & (zero | (np.abs(product) > SAFE[1]))
    for place in np.argwhere(~safe):
        i = tuple(place)
        result[i] = fma(a[i], b[i], c[i])
    return result


def _halves(x: Real) -> tuple[Real, Real]:
    """Two numbers of half as many bits whose sum is x (Veltkamp 1968)."""
    scaled = x * 134217729.0  # 2²⁷ + 1
    high = scaled - (scaled - x)
    return high, x - high


def _two_sum(x: Real, y: Real) -> tuple[Real, Real]:
    """The sum of x and y, and its rounding error (Knuth 1969)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def _sum_to_odd(x: Real, y: Real) -> Real:
    """Add x and y; a sum that is not exact is rounded to the neighbour whose last bit is 1."""
    total, error = _two_sum(x, y)
    even = (error != 0) & np.isfinite(total) & ((total.view(np.int64) & 1) == 0)
    return np.where(even, np.nextafter(total, np.copysign(np.inf, error)), total)


@instruction(fma)
def _fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    if not (a == b == c and isinstance(a, types.Float)):
        return None
    return a(a, a, a), lambda context, builder, signature, args: builder.fma(*args)


def polynomial(x: Real, coefficients: tuple[float, ...]) -> Real:
    """Σ coefficients[i]·xⁱ by Horner's rule with `fma`, in the type of x."""
    value = like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = fma(value, x, like(x, coefficient))
    return value


@instruction(polynomial)
def _polynomial(typing: Any, x: Any, coefficients: Any) -> Any:
    def horner(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = cgutils.unpack_tuple(builder, args[1])
        constants = [context.cast(builder, part, types.float64, x) for part in parts]
        value = constants.pop()
        while constants:
            value = builder.fma(value, args[0], constants.pop())
        return value

    return x(x, coefficients), horner


@np.errstate(invalid="ignore")
def sqrt(x: Real) -> Real:
    """√x as IEEE rounds it, for a float64 or a float32.

    Numba's own calls libm, although LLVM knows how to replace that call.
    """
    return np.sqrt(x)


@instruction(sqrt)
def _sqrt(typing: Any, x: Any) -> Any:
    def root(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [args[0].type]), args)

    return x(x), root
