"""Intervals and p values of several comparisons over the same seeds that hold at once."""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.statistics.proportions import Real, normal_quantile

FLIPS = 9_999
"""Number of random draws of `max_t`."""

_MOST_FLIPPED = 1_000_000
"""Signs are flipped if the comparisons have at most this many differences; else normal numbers with
the same covariance are drawn, which takes less time and by then differs little."""


def max_t(changes: ArrayLike, level: float = 0.95, seed: int = 0) -> tuple[float, Real]:
    """What intervals and p values of several paired differences need in order to hold at once.

    Parameters
    ----------
    changes : array_like of −1, 0 and 1, [comparison, run]
        Result after each change minus result before, of the same runs in all comparisons.
    level : float
        Two-sided confidence level of all intervals together.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    pointwise : float
        The level at which the interval of each difference must be taken, from `level` on.
    p : float64 array, [comparison]
        Adjusted two-sided p values of no difference, at least 1 / 10,000.

    Notes
    -----
    If a change does nothing, its difference has either sign equally often. So the largest |t| of
    all comparisons, with t = Σd / √Σd², is compared with those after the signs of whole runs are
    flipped at random, which keeps how the comparisons depend on each other; for the level,
    differences are taken from their means first. P. H. Westfall and S. S. Young (1993),
    Resampling-Based Multiple Testing, section 2.3.
    """
    d = np.asarray(changes, np.float32)
    rng, runs = np.random.default_rng(seed), d.shape[1]
    total, products = d.sum(axis=1, dtype=float), (d @ d.T).astype(float)
    squares, mean = np.diag(products), total / runs
    if d.size > _MOST_FLIPPED:
        centred, flipped = (
            _normal_maxima(each, rng) for each in (products - np.outer(total, mean), products)
        )
    else:
        sums, signs = _flipped_sums(d, rng)
        centred = _largest(sums - np.outer(signs, mean), squares - total * mean)
        flipped = _largest(sums, squares)
    t = np.abs(total) / np.sqrt(np.maximum(squares, 1))
    more = FLIPS - np.searchsorted(np.sort(flipped), t * (1 - 1e-9))
    # Rounded, since normal draws differ in their last digits from one library to another.
    c = max(round(float(np.quantile(centred, level)), 3), normal_quantile(level))
    return 2 * NormalDist().cdf(c) - 1, (1 + more) / (FLIPS + 1)


def _flipped_sums(d: NDArray[np.float32], rng: np.random.Generator) -> tuple[Real, Real]:
    """Sums of differences under random signs, [draw, comparison], and of the signs, [draw]."""
    rows = np.vstack([d, np.ones(d.shape[1], np.float32)])  # the last row: of the signs
    wide, plus = -(-d.shape[1] // 64), []  # words of 64 runs, a bit each: faster than numbers
    minus, changed = (_words(np.packbits(each, axis=1), wide) for each in (rows < 0, rows != 0))
    for draws in [40] * (FLIPS // 40) + [FLIPS % 40]:  # few, so that they stay near the processor
        # 1 keeps a difference, 0 flips it
        signs = _words(rng.integers(0, 256, (draws, 1, -(-d.shape[1] // 8)), np.uint8), wide)
        plus.append(np.bitwise_count((signs ^ minus) & changed).sum(axis=2))
    both = 2 * np.concatenate(plus).astype(float) - np.count_nonzero(rows, axis=1)
    return both[:, :-1], both[:, -1]


def _words(bits: NDArray[np.uint8], wide: int) -> NDArray[np.uint64]:
    """Pack the bits of each row into so many words."""
    ends = [*[(0, 0)] * (bits.ndim - 1), (0, 8 * wide - bits.shape[-1])]
    return np.pad(bits, ends).view(np.uint64)


def _largest(sums: Real, squares: Real) -> Real:
    """The largest |t| of each draw."""
    norm = np.sqrt(np.maximum(squares, 0))
    return np.asarray(np.max(np.abs(sums) / np.where(norm > 1e-6, norm, np.inf), axis=1))


def _normal_maxima(products: Real, rng: np.random.Generator) -> Real:
    """The largest |t| in draws of normal numbers with this covariance."""
    values, vectors = np.linalg.eigh(products)
    return _largest(
        rng.standard_normal((FLIPS, len(products))) @ (vectors * np.sqrt(np.maximum(values, 0))).T,
        np.diag(products),
    )
