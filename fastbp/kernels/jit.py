"""Every JIT flag, and the decorators that compile functions with them."""

import platform
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from numba import config, njit
from numba.extending import overload

from fastbp.kernels.code_cache import (
    CodeCache,
    PartCompiler,
    cache_folder,
    cpu_features,
    is_tested_numba,
)

F = TypeVar("F", bound=Callable[..., Any])
Chosen = Callable[[Any, Any], Any]
"""A choice made by `one_of`: takes the number of a function and its arguments as a tuple."""

# No fastmath of any kind: bits must not depend on how the compiler groups operations. The NumPy
# error model, because a division that may raise cannot be vectorised. No GIL, so that Python
# threads scale with the cores. No wrappers for callers in C: each contains a second copy of all
# inlined code. No reference counting: kernels make no arrays and keep none.
FLAGS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": False,
    "boundscheck": False,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}

_PART: dict[str, Any] = {**FLAGS, "no_cpython_wrapper": True}
if is_tested_numba():
    _PART["pipeline_class"] = PartCompiler
# Without forceinline=False a part would inherit the flag from its caller.
_INLINED, _CALLED = {"forceinline": True, **_PART}, {"forceinline": False, **_PART}


def inlined(function: F) -> F:
    """Make a helper that kernels call, inlined at every call.

    LLVM by itself silently stops inlining after a few calls, and loops no longer vectorise.
    Integers that the caller knows when it is compiled, such as the number of lanes, are constants
    in the helper too. With the JIT off it stays a plain Python function.
    """
    if not config.DISABLE_JIT:
        overload(function, jit_options=_INLINED, strict=False, prefer_literal=True)(
            lambda *_: function
        )
    return function


def shared(function: F) -> F:
    """Make a helper that is never inlined.

    For helpers that are called in several places, and for loops that need all registers.
    """
    if not config.DISABLE_JIT:
        overload(function, jit_options=_CALLED, strict=False, prefer_literal=True)(
            lambda *_: function
        )
    return function


def compiled_form(function: Callable[..., Any]) -> Callable[[F], F]:
    """Register the code that Numba compiles, inlined, for calls of `function`.

    The decorated function maps the types of the arguments to a Python function.
    """
    # Not strict: Numba would compare the annotations of the two functions as well as the names of
    # their arguments.
    register: Callable[[F], F] = overload(function, jit_options=_INLINED, strict=False)
    return register


def kernel(function: F) -> F:
    """Compile a function, and keep its machine code on disk where that is possible."""
    compiled = njit(**FLAGS)(function)
    if (folder := cache_folder()) is not None:
        compiled._cache = CodeCache(function, folder)
    result: F = compiled
    return result


def one_of(functions: Sequence[Callable[..., Any]]) -> Callable[[Any, Any], Any]:
    """Make a choice of functions: `chosen(code, arguments)` calls the function of that number.

    Function pointers would keep the compiler from inlining, and Numba's disk cache never finds
    kernels that take functions as arguments; a chain of comparisons has neither problem.
    """
    first, *rest = functions
    second, third, fourth = (rest + [first] * 3)[:3]
    others = one_of(rest[3:]) if len(rest) > 3 else None

    @inlined
    def chosen(code: Any, arguments: Any) -> Any:
        if code == 0:
            return first(*arguments)
        elif code == 1:
            return second(*arguments)
        elif code == 2:
            return third(*arguments)
        else:
            return fourth(*arguments)

    if others is None:
        return chosen

    @inlined
    def chosen_of_more(code: Any, arguments: Any) -> Any:
        return chosen(code, arguments) if code < 4 else others(code - 4, arguments)

    return chosen_of_more


def has_fma() -> bool:
    """Whether compiled code has a fused multiply-add instruction.

    Without, each fused multiply-add calls libm, with the same bits.
    """
    return (
        config.DISABLE_JIT
        or "+fma" in cpu_features()
        or platform.machine().lower() in ("arm64", "aarch64")
    )


def vector_bytes() -> int:
    """Bytes of the widest vectors of compiled code."""
    features = cpu_features()
    return 64 if "+avx512f" in features else 32 if "+avx" in features else 16
