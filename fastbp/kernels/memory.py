"""Aligned memory, and loads and stores of single numbers that let loops over lanes vectorise.

Arithmetic on networks uses tiles. What remains are plain loops over lanes: drawing rows, looking
them up, counting updates. Two things keep such a loop from becoming vector code: the branch for
negative indices, and memory that might overlap. So indices are never negative here, and every
access names its region; alias scopes tell the compiler that different regions never overlap, or it
would compare addresses before each loop and keep a slow copy of it.
"""

from typing import Any

import numpy as np
from numba import types
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.jit import generated_by
from fastbp.kernels.vector_ir import address

CACHE_LINE = 64
"""Bytes; also the widest vector."""

REGIONS = ("table", "lane", "order", "network")
"""Parts of memory that never overlap in one loop: tables that no kernel writes, numbers kept per
lane, the rows that lanes are to visit, and the numbers of networks."""

SPARE_ROWS = 64
"""Rows behind those of an epoch that an order may draw numbers into."""


def empty_block(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """A flat block of `size` zeros that starts on a cache line."""
    item = np.dtype(dtype)
    raw = np.zeros(size * item.itemsize + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size * item.itemsize].view(item)


def _tagged(instruction: Any, module: Any, region: str) -> Any:
    """Say that an access lies in its region, and in no other."""
    domain = module.add_metadata(["fastbp"])
    scopes = {name: module.add_metadata([f"fastbp.{name}", domain]) for name in REGIONS}
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[region]]))
    apart = [scope for name, scope in scopes.items() if name != region]
    instruction.set_metadata("noalias", module.add_metadata(apart))
    return instruction


def _access(region: str) -> tuple[Any, Any]:
    """The pair of functions that read and write one region."""

    def loading(typing: Any, block: Any, i: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            begin = address(context, builder, block, args[0])
            return _tagged(builder.load(builder.gep(begin, [args[1]])), builder.module, region)

        return block.dtype(block, i), code

    @generated_by(loading)
    def load(block: NDArray[Any], i: Any) -> Any:
        return block[i]

    def storing(typing: Any, block: Any, i: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            begin = address(context, builder, block, args[0])
            _tagged(builder.store(args[2], builder.gep(begin, [args[1]])), builder.module, region)
            return context.get_dummy_value()

        # A value of another type is refused, not cast: a float64 in a float32 kernel is a mistake.
        return (types.void(block, i, value), code) if value == block.dtype else None

    @generated_by(storing)
    def store(block: NDArray[Any], i: Any, value: Any) -> None:
        block[i] = value

    return load, store


load_table, _ = _access("table")
load_lane, store_lane = _access("lane")
load_order, store_order = _access("order")
load_number, store_number = _access("network")
