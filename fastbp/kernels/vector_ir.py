"""Basic operations on real numbers as LLVM instructions, for scalars and for vectors.

Each has two forms with the same bits: plain Python on NumPy scalars and arrays, and, called with a
`Vector`, an instruction in code that is being generated. Functions that are built of them and have
no branches have both forms too.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin
from numba.np.numpy_support import as_dtype

from fastbp.kernels.jit import compiled_form

F = TypeVar("F", bound=Callable[..., Any])
# A float64 or a float32, as NumPy scalar or array, or as `Vector`: mypy takes the product of two
# float64 for a Python float.
Real: TypeAlias = Any


def address(context: Any, builder: Any, kind: Any, memory: Any) -> Any:
    """Where an array begins, or where a pointer points."""
    is_pointer = isinstance(kind, types.CPointer)
    return memory if is_pointer else context.make_array(kind)(context, builder, memory).data


LLVM_TYPES: dict[np.dtype[Any], Any] = {
    np.dtype(np.float64): ir.DoubleType(),
    np.dtype(np.float32): ir.FloatType(),
    np.dtype(np.int64): ir.IntType(64),
    np.dtype(np.int32): ir.IntType(32),
}


def _operator(real: str, whole: str = "", symbol: str = "", swapped: bool = False) -> Any:
    """Make the method of an operator from the names of its instructions on reals and integers.

    `symbol`: that of a comparison, which is false for NaN.
    """

    def operate(self: "Vector", other: Any) -> "Vector":
        instruction = getattr(self.builder, real if self.dtype.kind == "f" else whole)
        values = (self.value, self.constant(other).value)[:: -1 if swapped else 1]
        return Vector(self.builder, instruction(*filter(None, [symbol]), *values))

    return operate


class Vector:
    """Numbers in code that is being generated: an LLVM vector, or a scalar as a vector of one.

    Functions of this module and of `real` that have no branches, called with vectors, add their
    instructions to that code and return the vector that it will compute. A Python number beside a
    vector is a constant, rounded once to the type of the vector.
    """

    __array_ufunc__ = None  # so that a NumPy scalar leaves operators with a vector to the vector

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of its numbers."""
        kind = self.value.type
        number = kind.element if isinstance(kind, ir.VectorType) else kind
        return next(dtype for dtype, each in LLVM_TYPES.items() if each == number)

    def constant(self, c: Any) -> "Vector":
        """The same constant in every place; a vector remains what it is."""
        if isinstance(c, Vector):
            return c
        kind, number = self.value.type, self.dtype.type(c).item()
        numbers = [number] * kind.count if isinstance(kind, ir.VectorType) else number
        return Vector(self.builder, ir.Constant(kind, numbers))

    def call(self, name: str, *others: Any) -> "Vector":
        """Call LLVM's function of this name with the vector and others."""
        kind, bits = self.value.type, 8 * self.dtype.itemsize
        suffix = f"v{kind.count}f{bits}" if isinstance(kind, ir.VectorType) else f"f{bits}"
        values = [self.constant(each).value for each in (self, *others)]
        function_type = ir.FunctionType(kind, [kind] * len(values))
        function = cgutils.get_or_insert_function(
            self.builder.module, function_type, f"llvm.{name}.{suffix}"
        )
        return Vector(self.builder, self.builder.call(function, values))

    def view(self, dtype: Any) -> "Vector":
        """The same bits as numbers of another type."""
        kind, number = self.value.type, LLVM_TYPES[np.dtype(dtype)]
        other = ir.VectorType(number, kind.count) if isinstance(kind, ir.VectorType) else number
        return Vector(self.builder, self.builder.bitcast(self.value, other))

    __add__ = __radd__ = _operator("fadd", "add")
    __sub__, __rsub__ = _operator("fsub", "sub"), _operator("fsub", "sub", swapped=True)
    __mul__ = __rmul__ = _operator("fmul")
    __truediv__, __rtruediv__ = _operator("fdiv"), _operator("fdiv", swapped=True)
    __and__, __lshift__, __rshift__ = (_operator("", name) for name in ("and_", "shl", "ashr"))
    __lt__, __gt__, __le__, __ge__, __eq__ = (
        _operator("fcmp_ordered", "icmp_signed", symbol) for symbol in ("<", ">", "<=", ">=", "==")
    )

    def __bool__(self) -> bool:
        raise TypeError("a vector is neither true nor false: use choose() in place of a branch")

    def __neg__(self) -> "Vector":
        return Vector(self.builder, self.builder.fneg(self.value))


def elementary(function: F) -> F:
    """Let compiled code call a function of real numbers that has no branches.

    Its arguments and its result have one type, float64 or float32. The function itself generates
    its compiled form, called with vectors. With NumPy's numbers it gives no warnings: overflow to ∞
    and arithmetic on NaN are meant to happen here.
    """
    silent: F = np.errstate(all="ignore")(function)

    def typed(kinds: Any) -> Any:
        alike = isinstance(kinds[0], types.Float) and len(set(kinds)) == 1
        return signature(kinds[0], *kinds) if alike else None

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return function(*(Vector(builder, value) for value in args)).value

    compiled_by(code, silent, types.Float, typed)
    return silent


def compiled_by(code: Callable[..., Any], operation: Any, kind: Any, typed: Any) -> None:
    """Let compiled code call an operation on values of one kind of Numba's types.

    `code` generates its instructions, as `numba.extending.lower_builtin` says. `typed` makes the
    signature from the types of the arguments; None for types that the operation does not take.
    """

    class Typing(AbstractTemplate):  # type: ignore[misc]
        key = operation

        def generic(self, args: Any, kws: Any) -> Any:
            return typed(args)

    infer_global(operation, types.Function(Typing))
    lower_builtin(operation, types.VarArg(kind))(code)


# --- Types and bits


def like(x: Real, c: float) -> Real:
    """The constant c rounded once to the type of x.

    In Numba a bare 0.5 is a float64, and so would be its product with a float32.
    """
    return x.constant(c) if isinstance(x, Vector) else x.dtype.type(c)


@compiled_form(like)
def _like(x: Any, c: Any) -> Any:
    kind = as_dtype(x).type
    return lambda x, c: kind(c)


def to_bits(x: Real) -> Any:
    """The bits of a float64 as an int64, of a float32 as an int32."""
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


def from_bits(i: Any) -> Real:
    """The float64 that has the bits of an int64, the float32 that has those of an int32."""
    return i.view(np.float32 if i.dtype == np.int32 else np.float64)


def choose(condition: Any, a: Real, b: Real) -> Real:
    """A where the condition holds, else b; of two choices for a `Vector`, one is a `Vector`."""
    if not isinstance(condition, Vector):
        return np.where(condition, a, b)[()]  # type: ignore[call-overload]
    kind = a if isinstance(a, Vector) else b
    values = kind.constant(a).value, kind.constant(b).value
    return Vector(condition.builder, condition.builder.select(condition.value, *values))


# --- Fused multiply-add


@elementary
def fma(a: Real, b: Real, c: Real) -> Real:
    """a·b + c with one rounding (IEEE 754 fusedMultiplyAdd), for three float64 or three float32.

    Compiled it is llvm.fma; this body is its definition, in exact arithmetic. Python numbers are
    constants, as beside a `Vector`.
    """
    if isinstance(a, Vector):
        return a.call("fma", b, c)
    if len({each.dtype for each in (a, b, c) if hasattr(each, "dtype")}) > 1:
        names = ", ".join(type(value).__name__ for value in (a, b, c))
        raise TypeError(f"fma takes three values of one type, not {names}")
    if a.dtype == np.float32:
        # The product of two float32 is exact in float64.
        single = [np.asarray(each, np.float32).astype(np.float64) for each in (a, b, c)]
        return _sum_to_odd(single[0] * single[1], single[2]).astype(np.float32)[()]
    return np.asarray(_fused(a, b, c), np.float64)[()]


def _fma_of_doubles(a: float, b: float, c: float) -> float:
    """`fma` of Python floats: a quotient of integers is rounded once, ties to even."""
    if a == 0 or b == 0 or not (math.isfinite(a) and math.isfinite(b)):
        return a * b + c  # nothing to round, and IEEE gives ∞, NaN and the sign of zero
    if not math.isfinite(c):
        return c  # the product is finite, even where a * b would overflow
    (p, u), (q, v), (r, w) = (x.as_integer_ratio() for x in (a, b, c))
    numerator = p * q * w + r * u * v
    try:
        return numerator / (u * v * w)
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


_fused = np.frompyfunc(_fma_of_doubles, 3, 1)


def _sum_to_odd(x: Real, y: Real) -> Real:
    """Add float64; a sum that is not exact is rounded to the neighbour whose last bit is 1.

    Rounded again to float32 it is what rounding the exact sum once gives (Boldo & Melquiond 2008).
    The error of the sum is by Knuth (1969).
    """
    total = x + y
    part = total - x
    error = (x - (total - part)) + (y - part)
    even = (error != 0) & np.isfinite(total) & ((total.view(np.int64) & 1) == 0)
    return np.where(even, np.nextafter(total, np.copysign(np.inf, error)), total)


def polynomial(x: Real, coefficients: tuple[float, ...]) -> Real:
    """Σ coefficients[i]·xⁱ by Horner's rule with `fma`, in the type of x; two or more terms."""
    value = fma(x, coefficients[-1], coefficients[-2])
    for coefficient in coefficients[-3::-1]:
        value = fma(value, x, coefficient)
    return value


@elementary
def sqrt(x: Real) -> Real:
    """√x as IEEE rounds it, for a float64 or a float32.

    Numba's own calls libm, although LLVM knows how to replace that call.
    """
    return x.call("sqrt") if isinstance(x, Vector) else np.sqrt(x)
