"""Counter-based random numbers: Philox4x32-10 streams of a seed, without any state.

Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
doi:10.1145/2063384.2063405.
"""

from typing import Any

import numpy as np

from fastbp.kernels.jit import inlined

WEIGHTS, ORDER = np.uint64(0), np.uint64(1)
"""Streams: word 3 of the counter."""

_MASK, _32, _12, _ZERO = map(np.uint64, (0xFFFFFFFF, 32, 12, 0))
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@inlined
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Philox4x32-10: four 32-bit words from a counter (c0, c1, c2, c3) and a key (k0, k1).

    All are uint64 that hold 32-bit words, since 32 × 32 → 64 is the one multiplication that vector
    units have.
    """
    for _ in range(10):
        p0 = c0 * _M0
        p1 = c2 * _M1
        c0 = (p1 >> _32) ^ c1 ^ k0
        c2 = (p0 >> _32) ^ c3 ^ k1
        c1 = p1 & _MASK
        c3 = p0 & _MASK
        k0 = (k0 + _W0) & _MASK
        k1 = (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@inlined
def words(seed: Any, stream: Any, epoch: Any, group: Any) -> Any:
    """Draws 4·group … 4·group + 3 of a stream.

    Counter (group, epoch, 0, stream), key (low word, high word) of the seed.
    """
    return philox(np.uint64(group), np.uint64(epoch), _ZERO, stream, seed & _MASK, seed >> _32)


@inlined
def uniform(seed: Any, stream: Any, epoch: Any, draw: Any) -> Any:
    """Uniform deviate number `draw` of a stream, in (0, 1).

    (k + ½)·2⁻⁵² with k the top 52 bits of words 2·draw (the higher one) and 2·draw + 1.
    """
    a, b, c, d = words(seed, stream, epoch, draw >> 1)
    k = (((a << _32) | b) if draw & 1 == 0 else ((c << _32) | d)) >> _12
    # k < 2⁵², so the sum is exact, and so is the product with a power of two.
    return (np.float64(k) + 0.5) * 2.220446049250313e-16


@inlined
def below(word: Any, n: Any) -> Any:
    """A number 0 … n − 1 from a 32-bit word: (word·n) >> 32. Its bias is below n·2⁻³²."""
    return np.int32((word * (np.uint64(n) & _MASK)) >> _32)
