"""How the runs of several setups ended on the seeds that all of them ran."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.analysis.counts import SetupCounts
from fastbp.analysis.histograms import Integers, pooled

SEEDS_AT_ONCE = 2**20
"""Two setups are compared on so many seeds at a time."""


def common_results(
    counted: Sequence[SetupCounts], name: str = "converged", most: int = 2**63 - 1
) -> NDArray[Any]:
    """The `results` of seeds that all setups ran, [setup, seed]; of a range `most` in all."""
    return np.concatenate([*parts_of_common_results(counted, name, most)], axis=1)


def parts_of_common_results(
    counted: Sequence[SetupCounts], name: str = "converged", most: int = 2**63 - 1
) -> Iterator[NDArray[Any]]:
    """Yield `common_results` part by part: a range of many seeds takes little memory at a time."""
    if all(one.starts.size == 1 for one in counted):  # the usual case needs no search for seeds
        firsts = [int(one.starts[0]) for one in counted]
        start = max(firsts)
        stop = max(
            start,
            min(int(one.starts[0]) + min(one.runs, most // len(counted)) for one in counted),
        )
        for low in range(start, max(stop, start + 1), SEEDS_AT_ONCE):
            high = min(low + SEEDS_AT_ONCE, stop)
            yield np.stack(
                [
                    one.results(name, low - first, high - first)
                    for first, one in zip(firsts, counted, strict=True)
                ]
            )
        return
    seeds = counted[0].seeds()
    for other in counted[1:]:
        seeds = np.intersect1d(seeds, other.seeds(), assume_unique=True)
    yield np.stack([one.results(name)[np.searchsorted(one.seeds(), seeds)] for one in counted])


def common_times(
    before: SetupCounts, after: SetupCounts
) -> tuple[NDArray[np.float64], NDArray[np.float64], Integers]:
    """Count how often two setups first converge after these and those numbers of updates.

    Returns
    -------
    before, after : float64 arrays, [pair]
        Updates of the same seed in the two setups, each pair of numbers once; ∞ without converging.
    counts : int64 array, [pair]
        The number of seeds with these updates.
    """
    width = after.times.size + 1
    parts = parts_of_common_results((before, after), "when")
    coded, counts = pooled(
        np.unique(one.astype(np.int64) * width + other, return_counts=True) for one, other in parts
    )
    ones, others = np.divmod(coded, width)
    return np.append(before.times, np.inf)[ones], np.append(after.times, np.inf)[others], counts
