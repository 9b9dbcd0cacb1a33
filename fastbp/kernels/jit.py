"""Every JIT flag, and the decorators that compile functions with them."""

import platform
from collections.abc import Callable, Sequence
from inspect import unwrap
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import cfunc, config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastbp.kernels.code_cache import (
    CodeCache,
    PartCompiler,
    cache_folder,
    cpu_features,
    is_tested_numba,
    kept_cfunc,
)

F = TypeVar("F", bound=Callable[..., Any])
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
    in the helper too. With the JIT off it stays a plain Python function, with its other decorators.
    """
    overload(function, jit_options=_INLINED, strict=False, prefer_literal=True)(
        lambda *_: unwrap(function)
    )
    return function


def shared(function: F) -> F:
    """Make a helper that is never inlined.

    For helpers that are called in several places, and for loops that need all registers.
    """
    overload(function, jit_options=_CALLED, strict=False)(lambda *_: function)
    return function


def compiled_form(function: Callable[..., Any]) -> Callable[[F], F]:
    """Register the code that Numba compiles, inlined, for calls of `function`.

    The decorated function maps the types of the arguments to a Python function.
    """
    # Not strict: Numba would compare the annotations of the two functions as well as the names of
    # their arguments.
    register: Callable[[F], F] = overload(function, jit_options=_INLINED, strict=False)
    return register


def generated_by(generator: Callable[..., Any]) -> Callable[[F], F]:
    """Let compiled code use the instructions of a generator instead of the decorated function."""
    return lambda plain: plain if config.DISABLE_JIT else intrinsic(prefer_literal=True)(generator)


def kernel(*key: int | str) -> Callable[[F], F]:
    """Compile a function, and keep its machine code on disk where that is possible.

    `key` tells kernels apart that are made of the same source: it names everything that they are
    compiled for, except the types of their arguments.
    """

    def compile_kernel(function: F) -> F:
        # with the JIT off as compiled: overflow to ∞ and arithmetic on NaN give no warnings
        compiled: Any = (
            np.errstate(all="ignore")(function) if config.DISABLE_JIT else njit(**FLAGS)(function)
        )
        if (folder := cache_folder()) is not None:
            compiled._cache = CodeCache(function, folder, key)
        result: F = compiled
        return result

    return compile_kernel


def by_address(function: F, arguments: Sequence[Any], *key: int | str) -> Any:
    """Compile a function that kernels call with `call`, and keep its machine code as theirs.

    So kernels need not be compiled anew for each such function.

    Parameters
    ----------
    function : callable
        Returns nothing.
    arguments : sequence of numba.types.Type
        Types of its arguments; arrays are pointers.
    key : int or str
        As in `kernel`.

    Returns
    -------
    int or callable
        What `call` takes: the address, or with the JIT off the function.
    """
    if config.DISABLE_JIT:
        return function
    options = {name: value for name, value in FLAGS.items() if name != "no_cfunc_wrapper"}
    signature, folder = types.void(*arguments), cache_folder()
    compiled: Any = (
        cfunc(signature, **options)(function)
        if folder is None
        else kept_cfunc(function, signature, options, CodeCache(function, folder, key))
    )
    _kept.append(compiled)
    return compiled.address


_kept: list[Any] = []
"""Functions whose addresses are in use."""


def _call(typing: Any, address: Any, arguments: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [
            context.make_array(kind)(context, builder, value).data
            if isinstance(kind, types.Array)
            else value
            for kind, value in zip(arguments, cgutils.unpack_tuple(builder, args[1]), strict=True)
        ]
        pointer = ir.FunctionType(ir.VoidType(), [value.type for value in values]).as_pointer()
        builder.call(builder.inttoptr(args[0], pointer), values)
        return context.get_dummy_value()

    return types.void(address, arguments), code


@generated_by(_call)
def call(function: Any, arguments: Any) -> None:
    """Call what `by_address` returned with a tuple of arguments, arrays or numbers."""
    function(*arguments)


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
