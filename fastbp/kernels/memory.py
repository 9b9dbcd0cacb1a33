"""Loads and stores that let loops over lanes vectorise.

Work blocks are flat [row, lane]: one SIMD lane is one network. Three things keep such a loop from
becoming vector code: the branch for negative indices, memory that might overlap, and rows that do
not start on a cache line. So indices are never negative here, every access names its region (alias
scopes tell the compiler that different regions never overlap), and blocks are aligned.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, types
from numba.extending import intrinsic as numba_intrinsic
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.jit import compiled_form

CACHE_LINE = 64
"""Bytes; also the widest vector."""

TILE_UNITS = 4
"""Units that a tile of a sum or of an update processes at a time."""

PARAMETERS = ("bias", *map(str, range(TILE_UNITS)))
REGIONS = (
    "table",
    "lane",
    "order",
    "parameter",
    "activation",
    "delta",
    "result",
    *(f"parameter {part}" for part in PARAMETERS),
)
"""Parts of memory that never overlap in one loop: tables that no kernel writes, numbers kept per
lane, the rows that lanes are to visit, the three parts of a work block, and the activations or δ
that a loop writes without reading them. Among the parameters, weights do not overlap biases, and
those of every fourth unit of a layer do not overlap the next unit's. Without this knowledge the
compiler compares addresses before each loop and keeps a slow copy of it, or only the slow copy."""

SPARE_ROWS = 64
"""Rows behind those of an epoch that an order may draw numbers into."""

intrinsic: Callable[[Any], Any] = numba_intrinsic

Load = Callable[[NDArray[Any], Any], Any]
Store = Callable[[NDArray[Any], Any, Any], None]


def empty_block(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """A flat block of `size` zeros that starts on a cache line."""
    item = np.dtype(dtype)
    raw = np.zeros(size * item.itemsize + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size * item.itemsize].view(item)


def wide() -> None:
    """Ask for 512-bit vectors in this function where the processor has them.

    LLVM by itself prefers 256 bits on some processors.
    """


def set_wide(function: Any) -> None:
    """`wide` for a function that is being generated."""
    # llvmlite has no public call for string attributes, and its own set refuses names that it does
    # not know.
    set.add(function.attributes, '"prefer-vector-width"="512"')


@intrinsic
def _wide(typing: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        set_wide(builder.function)
        return context.get_dummy_value()

    return types.void(), code


@compiled_form(wide)
def _overload_wide() -> Any:
    return lambda: _wide()  # noqa: PLW0108  Numba takes no intrinsic for an implementation


def _tag(instruction: Any, module: Any, region: str) -> None:
    """Say that an access lies in its region, and in no other."""
    domain = module.add_metadata(["fastbp"])
    scopes = {name: module.add_metadata([f"fastbp.{name}", domain]) for name in REGIONS}
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[region]]))
    apart = [
        scope
        for name, scope in scopes.items()
        if not (name.startswith(region) or region.startswith(name))
    ]
    instruction.set_metadata("noalias", module.add_metadata(apart))


def _access(region: str) -> tuple[Load, Store]:
    """The pair of functions that read and write one region."""

    def load(block: NDArray[Any], i: Any) -> Any:
        return block[i]

    def store(block: NDArray[Any], i: Any, value: Any) -> None:
        block[i] = value

    def pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(
            context.make_array(signature.args[0])(context, builder, arguments[0]).data,
            [arguments[1]],
        )

    @intrinsic
    def compiled_load(typing: Any, block: Any, i: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = builder.load(pointer(context, builder, signature, arguments))
            _tag(value, builder.module, region)
            return value

        return block.dtype(block, i), code

    @intrinsic
    def compiled_store(typing: Any, block: Any, i: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            written = builder.store(arguments[2], pointer(context, builder, signature, arguments))
            _tag(written, builder.module, region)
            return context.get_dummy_value()

        # A value of another type is refused, not cast: a float64 in a float32 kernel is a mistake.
        return (types.void(block, i, value), code) if value == block.dtype else None

    # Compiled code calls the intrinsics themselves: one helper fewer to compile for each of its
    # many accesses.
    return (load, store) if config.DISABLE_JIT else (compiled_load, compiled_store)


load_table, _ = _access("table")
load_lane, store_lane = _access("lane")
load_order, store_order = _access("order")
load_parameter, store_parameter = _access("parameter")
of_unit = tuple(_access(f"parameter {k}") for k in range(TILE_UNITS))
"""Loads and stores of the parameters of a unit, and of their gradient, by unit modulo 4."""
load_bias, store_bias = _access("parameter bias")
load_activation, store_activation = _access("activation")
load_result, store_result = _access("result")
load_delta, store_delta = _access("delta")
