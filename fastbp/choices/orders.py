"""Orders: which row is presented when.

Arguments of every function: `rows`, int32, to fill with rows[j·lanes + lane] = the row (0 … n − 1) that the lane's network sees
at position j of its epoch (it has room for n rounded up to a multiple of four, the words of one draw); `n`, rows of the problem;
`lanes`; `seeds`, uint64 [lane]; `epochs`, int64 [lane], the epoch that each lane is in. A lane's rows depend on its own seed and
epoch alone.
"""

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from fastbp.kernels.memory import load_lane, load_order, store_order
from fastbp.kernels.random import ORDER, below, words


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

    Draw t (0, 1, …) exchanges positions i = n − 1 − t and (word·(i + 1)) >> 32, for i from n − 1 down to 1.
    """
    for j in range(n):
        for lane in range(lanes):
            store_order(rows, j * lanes + lane, np.int32(j))
    for group in range((n + 2) // 4):
        for lane in range(lanes):
            a, b, c, d = words(load_lane(seeds, lane), ORDER, load_lane(epochs, lane), group)
            i = n - 1 - 4 * group
            for word in (a, b, c, d):
                if i >= 1:
                    chosen = below(word, i + 1) * lanes + lane
                    last = i * lanes + lane
                    kept = load_order(rows, last)
                    store_order(rows, last, load_order(rows, chosen))
                    store_order(rows, chosen, kept)
                i -= 1


def cyclic(rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any) -> None:
    """The rows as listed, again and again."""
    for j in range(n):
        for lane in range(lanes):
            store_order(rows, j * lanes + lane, np.int32(j))


def blocked(rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any, K: Annotated[int, Ge(1), Le(10**9)]) -> None:
    """Each row K times in a row, as listed: position j of epoch e shows row ⌊(e·n + j)/K⌋ mod n."""
    for lane in range(lanes):
        done = load_lane(epochs, lane) * n
        row, left = done // K % n, K - done % K
        for j in range(n):
            store_order(rows, j * lanes + lane, np.int32(row))
            left -= 1
            if left == 0:
                row, left = (row + 1) % n, K
