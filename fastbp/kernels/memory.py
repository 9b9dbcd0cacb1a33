"""Aligned memory, and loads and stores of single numbers that let loops over lanes vectorise.

Arithmetic on networks uses tiles. What remains are plain loops over lanes: drawing rows, looking
them up, counting updates. Two things keep such a loop from becoming vector code: the branch for
negative indices, and memory that might overlap. So indices are never negative here, and every
access names its region; alias scopes tell the compiler that different regions never overlap, or it
would compare addresses before each loop and keep a slow copy of it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, types
from numba.extending import intrinsic as numba_intrinsic
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.vector_ir import address

CACHE_LINE = 64
"""Bytes; also the widest vector."""

REGIONS = ("table", "lane", "order", "network")
"""Parts of memory that never overlap in one loop: tables that no kernel writes, numbers kept per
lane, the rows that lanes are to visit, and the numbers of networks."""

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


def _tag(instruction: Any, module: Any, region: str) -> None:
    """Say that an access lies in its region, and in no other."""
    domain = module.add_metadata(["fastbp"])
    scopes = {name: module.add_metadata([f"fastbp.{name}", domain]) for name in REGIONS}
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[region]]))
    apart = [scope for name, scope in scopes.items() if name != region]
    instruction.set_metadata("noalias", module.add_metadata(apart))


def _access(region: str) -> tuple[Load, Store]:
    """The pair of functions that read and write one region."""

    def load(block: NDArray[Any], i: Any) -> Any:
        return block[i]

    def store(block: NDArray[Any], i: Any, value: Any) -> None:
        block[i] = value

    def pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        begin = address(context, builder, signature.args[0], arguments[0])
        return builder.gep(begin, [arguments[1]])

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
load_number, store_number = _access("network")
