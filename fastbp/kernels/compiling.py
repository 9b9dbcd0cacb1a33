"""Every JIT flag and the cache folder, in one place."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from numba import config, njit
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])

# No fastmath of any kind: bits must not depend on how the compiler groups operations. The NumPy error model, because a
# division that may raise cannot be vectorised. No GIL, so that Python threads scale with the cores.
FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, "boundscheck": False}


def inlined(function: F) -> F:
    """A helper that kernels call: inlined at every call, because LLVM silently stops inlining after a few and loops then no longer vectorise.

    Integers that the caller knows when it is compiled, such as the number of lanes, are constants in the helper too. With the
    JIT off it stays the plain Python function that it is.
    """
    if not config.DISABLE_JIT:
        overload(function, jit_options={"forceinline": True, **FLAGS}, strict=False, prefer_literal=True)(lambda *_: function)
    return function


def shared(function: F) -> F:
    """A large part of several kernels: called, not inlined, so that it is there once in each; otherwise as `inlined`."""
    if not config.DISABLE_JIT:
        overload(function, jit_options=FLAGS, strict=False, prefer_literal=True)(lambda *_: function)
    return function


def compiled_form(function: Callable[..., Any]) -> Callable[[F], F]:
    """Register what Numba compiles, inlined, where compiled code calls `function`: the decorated function maps types to code."""
    # Not strict: Numba would compare the annotations of the two functions as well as the names of their arguments.
    register: Callable[[F], F] = overload(function, jit_options={"forceinline": True, **FLAGS}, strict=False)
    return register


def kernel(function: F) -> F:
    """A compiled function, with its machine code kept on disk."""
    compiled: F = njit(**FLAGS)(function)
    return compiled


def one_of(functions: Sequence[Callable[..., Any]]) -> Callable[[Any, Any], Any]:
    """A compiled choice: `chosen(code, arguments)` calls the function of that number with the arguments of the tuple.

    Function pointers would keep the compiler from inlining, and kernels that take functions as arguments are never found in
    the disk cache; a chain of comparisons has neither fault.
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
