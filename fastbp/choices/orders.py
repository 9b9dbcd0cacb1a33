"""Orders: which row is presented when.

Arguments of every function: `rows`, int32 with `room_for(n)` elements a lane, to fill with
rows[j·lanes + lane] = the row (0 … n − 1) that the lane's network gets at position j of its epoch;
`n`, rows of the problem; `lanes`; `seeds`, uint64 [lane]; `epochs`, int64 [lane], the epoch that
each lane is in. The rows of a lane depend on its own seed and epoch alone.
"""

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from fastbp.kernels.jit import inlined
from fastbp.kernels.memory import SPARE_ROWS, load_lane, load_order, store_order
from fastbp.kernels.random import ORDER, below, words

_IDENTITY = np.uint64(0xFEDCBA9876543210)
_DIGIT, _SEVEN = np.uint64(0xF), np.uint64(0xFFFFFFF)


def random(rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any) -> None:
    """Each presentation drawn uniformly with replacement."""
    for group in range((n + 3) // 4):
        first = 4 * group * lanes
        for lane in range(lanes):
            a, b, c, d = words(load_lane(seeds, lane), ORDER, load_lane(epochs, lane), group)
            store_order(rows, first + lane, below(a, n))
            store_order(rows, first + lanes + lane, below(b, n))
            store_order(rows, first + 2 * lanes + lane, below(c, n))
            store_order(rows, first + 3 * lanes + lane, below(d, n))


def shuffled(rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any) -> None:
    """A fresh permutation each epoch: Fisher–Yates from the end (Durstenfeld 1964, algorithm 235).

    Draw t (0, 1, …) exchanges positions i = n − 1 − t and (word·(i + 1)) >> 32, for i from n − 1
    down to 1.
    """
    if n <= 9:
        _shuffle_packed(rows, n, lanes, seeds, epochs, 2)
        return
    if n <= 16:
        _shuffle_packed(rows, n, lanes, seeds, epochs, 4)
        return
    for j in range(n):
        for lane in range(lanes):
            store_order(rows, j * lanes + lane, np.int32(j))
    # First the draws of all lanes, side by side, then the exchanges, one by one.
    spare = (n + 3) // 4 * 4 * lanes
    for first in range(0, n - 1, SPARE_ROWS):
        for group in range(first // 4, min(first + SPARE_ROWS, n + 2) // 4):
            i, drawn = n - 1 - 4 * group, spare + (4 * group - first) * lanes
            for lane in range(lanes):
                a, b, c, d = words(load_lane(seeds, lane), ORDER, load_lane(epochs, lane), group)
                store_order(rows, drawn + lane, below(a, i + 1))
                store_order(rows, drawn + lanes + lane, below(b, max(i, 1)))
                store_order(rows, drawn + 2 * lanes + lane, below(c, max(i - 1, 1)))
                store_order(rows, drawn + 3 * lanes + lane, below(d, max(i - 2, 1)))
        for t in range(first, min(first + SPARE_ROWS, n - 1)):
            last, drawn = (n - 1 - t) * lanes, spare + (t - first) * lanes
            for lane in range(lanes):
                chosen = load_order(rows, drawn + lane) * lanes + lane
                kept = load_order(rows, last + lane)
                store_order(rows, last + lane, load_order(rows, chosen))
                store_order(rows, chosen, kept)


@inlined
def _shuffle_packed(rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any, groups: Any) -> None:
    """`shuffled` for up to 16 rows: the permutation as hexadecimal digits of one word.

    So all lanes take the same steps, side by side. `groups`: the number of words of four draws,
    known when this is compiled.
    """
    for lane in range(lanes):
        digits = _IDENTITY
        for group in range(groups):
            i = n - 1 - 4 * group
            a, b, c, d = words(load_lane(seeds, lane), ORDER, load_lane(epochs, lane), group)
            digits = _exchange(digits, i, a)
            digits = _exchange(digits, i - 1, b)
            digits = _exchange(digits, i - 2, c)
            digits = _exchange(digits, i - 3, d)
        # Seven digits each, at the first three positions, which are unpacked last.
        store_order(rows, lane, np.int32(digits & _SEVEN))
        store_order(rows, lanes + lane, np.int32((digits >> np.uint64(28)) & _SEVEN))
        store_order(rows, 2 * lanes + lane, np.int32(digits >> np.uint64(56)))
    for j in range(n - 1, 2, -1):
        packed, shift = j // 7 * lanes, np.int32(4 * (j % 7))
        for lane in range(lanes):
            store_order(
                rows,
                j * lanes + lane,
                np.int32((load_order(rows, packed + lane) >> shift) & np.int32(15)),
            )
    for lane in range(lanes):
        packed_0 = load_order(rows, lane)
        store_order(rows, 2 * lanes + lane, np.int32((packed_0 >> np.int32(8)) & np.int32(15)))
        store_order(rows, lanes + lane, np.int32((packed_0 >> np.int32(4)) & np.int32(15)))
        store_order(rows, lane, np.int32(packed_0 & np.int32(15)))


@inlined
def _exchange(digits: Any, i: Any, word: Any) -> Any:
    """Exchange digit i with one of those up to it; nothing where i < 1."""
    last = np.uint64(4 * max(i, 0))
    chosen = np.uint64(below(word, max(i, 0) + 1)) << np.uint64(2)
    difference = ((digits >> last) ^ (digits >> chosen)) & _DIGIT
    return digits ^ (difference << last) ^ (difference << chosen)


def cyclic(rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any) -> None:
    """The rows as listed, in every epoch."""
    for j in range(n):
        for lane in range(lanes):
            store_order(rows, j * lanes + lane, np.int32(j))


def blocked(
    rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any, K: Annotated[int, Ge(1), Le(10**9)]
) -> None:
    """Each row K times in succession: position j of epoch e has row ⌊(e·n + j)/K⌋ mod n."""
    for lane in range(lanes):
        done = load_lane(epochs, lane) * n
        row, left = done // K % n, K - done % K
        for j in range(n):
            store_order(rows, j * lanes + lane, np.int32(row))
            left -= 1
            if left == 0:
                row, left = (row + 1) % n, K
