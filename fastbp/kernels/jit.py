"""Every JIT flag and the cache folder, in one place."""

import platform
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from numba import config, njit
from numba.extending import overload

from fastbp.kernels.code_cache import _Cache, _PartCompiler, cache_folder

# Numba's hints are stricter than Numba.
_any_njit: Any = njit
_any_overload: Any = overload

F = TypeVar("F", bound=Callable[..., Any])

# No fastmath of any kind: bits must not depend on how the compiler groups operations. The NumPy
# error model, because a division that may raise cannot be vectorised. No GIL, so that Python
# threads scale with the cores. No wrappers for callers in C: each holds a second copy of what is
# inlined. No counting of references: kernels make no arrays and keep none.
FLAGS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": False,
    "boundscheck": False,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}


_PART = {**FLAGS, "no_cpython_wrapper": True, "pipeline_class": _PartCompiler}
_INLINED, _CALLED = (
    {"forceinline": True, **_PART},
    {"forceinline": False, **_PART},
)  # or parts would be what their caller is


def inlined(function: F) -> F:
    """A helper that kernels call: inlined at every call, since LLVM silently stops after a few, and
    loops no longer vectorise.

    Integers that the caller knows when it is compiled, such as the number of lanes, are constants
    in the helper too. With the JIT off it stays the plain Python function that it is.
    """
    if not config.DISABLE_JIT:
        _any_overload(function, jit_options=_INLINED, strict=False, prefer_literal=True)(
            lambda *_: function
        )
    return function


def shared(function: F) -> F:
    """The same, but never inlined: for what is called in several places, and for loops that are to
    have all registers.
    """
    if not config.DISABLE_JIT:
        _any_overload(function, jit_options=_CALLED, strict=False, prefer_literal=True)(
            lambda *_: function
        )
    return function


def compiled_form(function: Callable[..., Any]) -> Callable[[F], F]:
    """Register what Numba compiles, inlined, where compiled code calls `function`: the decorated
    function maps types to code.
    """
    # Not strict: Numba would compare the annotations of the two functions as well as the names of
    # their arguments.
    register: Callable[[F], F] = _any_overload(function, jit_options=_INLINED, strict=False)
    return register


def kernel(function: F) -> F:
    """A compiled function, whose machine code is kept on disk where there is a place for it."""
    compiled = _any_njit(**FLAGS)(function)
    if (folder := cache_folder()) is not None:
        compiled._cache = _Cache(function, folder)
    result: F = compiled
    return result


def one_of(functions: Sequence[Callable[..., Any]]) -> Callable[[Any, Any], Any]:
    """A compiled choice: `chosen(code, arguments)` calls the function of that number with the
    arguments of the tuple.

    Function pointers would keep the compiler from inlining, and kernels that take functions as
    arguments are never found in the disk cache; a chain of comparisons has neither fault.
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
    """Whether compiled code has a fused multiply-add instruction; without, each goes through libm,
    with the same bits.
    """
    return (
        config.DISABLE_JIT
        or "+fma" in _features()
        or platform.machine().lower() in ("arm64", "aarch64")
    )


def vector_bytes() -> int:
    """How wide the widest vectors of compiled code are."""
    features = _features()
    return 64 if "+avx512f" in features else 32 if "+avx" in features else 16


@lru_cache(maxsize=1)
def _features() -> list[str]:
    """Of the processor that code is compiled for, as LLVM names them."""
    from numba.core.registry import cpu_target

    return str(cpu_target.target_context.codegen().magic_tuple()[-1]).split(",")
