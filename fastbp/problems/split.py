"""Hold rows of a problem out: which rows networks are not trained on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def held_out(rows: int, test: float) -> int:
    """The number of rows that are held out.

    Parameters
    ----------
    rows : int
        The number of rows of the problem.
    test : float
        The share to hold out.

    Returns
    -------
    int
        rows × test, rounded half up; but at least 1 if `test` is above 0, and fewer than all.
    """
    return min(max(int(rows * test + 0.5), 1), rows - 1) if test else 0


def kinds_of_rows(values: NDArray[Any]) -> NDArray[np.intp]:
    """Number the different rows of an array [row, column] in their order, [row].

    They are the inverse of `numpy.unique`, which takes seconds for thousands of columns.
    """
    kinds, first = np.zeros(len(values), np.intp), np.zeros(1, np.intp)
    for column in values.T:
        if (column != column[first][kinds]).any():
            different, own = np.unique(column, return_inverse=True)
            kinds = kinds * len(different) + own
            _, first, kinds = np.unique(kinds, return_index=True, return_inverse=True)
    return kinds


def arranged(
    digest: str, labels: NDArray[np.float64], count: int, seed: int | None = None
) -> NDArray[np.intp]:
    """Draw the rows to hold out, and arrange all rows: those to train on first, both in order.

    The draw is stratified: each class, or combination of classes, has its share of the held-out
    rows, rounded by the method of largest remainders. But a row of each stays to train on, if there
    are as many rows to train on: other classes then have more held-out rows.

    Parameters
    ----------
    digest : str
        Hex digits of the problem's digest: the same problem always gets the same draw.
    labels : float64 array [row, label]
        The targets that are labels; there may be none.
    count : int
        The number of rows to hold out.
    seed : int, optional
        The seed of a run that has a draw of its own.

    Returns
    -------
    array [row]
        Indices of rows; the last `count` are held out.

    Notes
    -----
    Each row draws the next 64-bit word of `numpy.random.Philox` (Philox-4×64), whose key is the
    number that the first 32 digits write, and whose counter starts at 0, or at (seed + 1) · 2¹²⁸.
    In each class the rows with the smallest words are held out.
    """
    rows = len(labels)
    words = np.random.Philox(
        counter=0 if seed is None else (seed + 1) << 128, key=int(digest[:32], 16)
    ).random_raw(rows)
    classes = kinds_of_rows(labels)
    sizes = np.bincount(classes)
    shares, rests = np.divmod(sizes * count, rows)
    while left := count - shares.sum():
        spare = np.maximum(sizes - 1 - shares, 0)
        spare = spare if spare.any() else sizes - shares
        first = np.argsort(np.where(spare, -rests, 1), kind="stable")[:left]
        shares[first] += np.minimum(spare[first], max(1, left // np.count_nonzero(spare)))
    by_word = np.lexsort((words, classes))
    rank = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    out = np.empty(rows, bool)
    out[by_word] = rank < np.repeat(shares, sizes)
    return np.argsort(out, kind="stable")
