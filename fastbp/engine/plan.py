"""What is missing, cut into files and blocks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from fastbp.engine.spec import Setup, Sweep
from fastbp.kernels import NUMERICS_VERSION

BLOCK_SECONDS = 0.2
"""About how long a core takes for one block: short, so that cores finish together, and long enough that handing out is free."""

LEAST_SEEDS, MOST_SEEDS = 320, 5120
"""Bounds of a block: whole groups of runs side by side, and not so many that 10,000 seeds leave a core without work."""

FILES_PER_SETUP = 100

Range = tuple[int, int]
"""Seeds start … start + count − 1, as (start, count)."""


class Publication(NamedTuple):
    """One file to be: a range of seeds of a setup."""

    setup: Setup
    start: int
    runs: int

    @property
    def blocks(self) -> list[Range]:
        """The blocks that it is computed in, cut when asked for: 10¹⁰ runs make 10⁴ files, but tens of millions of blocks."""
        return cut(self.start, self.runs, block_seeds(self.setup))


def seconds_per_run(setup: Setup) -> float:
    """A rough guess at the time of one run on one core, from the setup alone: a parameter costs some 0.4 ns a presentation."""
    presentations = setup.budget * setup.batch_rows
    return presentations * (2.0 + 0.35 * setup.parameters) * 1e-9


def block_seeds(setup: Setup) -> int:
    """How many seeds a block has: 320, doubled as the setup alone says, so that files are the same on any machine."""
    seeds = LEAST_SEEDS
    while seeds < MOST_SEEDS and 2 * seeds * seconds_per_run(setup) <= BLOCK_SECONDS:
        seeds *= 2
    return seeds


def file_seeds(setup: Setup, count: int) -> int:
    """How many seeds a file has: some number of blocks, doubled until `count` seeds make at most about 100 files."""
    seeds = block_seeds(setup)
    while seeds * FILES_PER_SETUP < count:
        seeds *= 2
    return seeds


def missing(wanted: Range, present: Iterable[Range]) -> list[Range]:
    """The parts of a range of seeds that no present range covers."""
    gaps: list[Range] = []
    at, stop = wanted[0], wanted[0] + wanted[1]
    for start, count in sorted(present):
        if min(start, stop) > at:
            gaps.append((at, min(start, stop) - at))
        at = max(at, start + count)
    if at < stop:
        gaps.append((at, stop - at))
    return gaps


def cut(start: int, count: int, size: int) -> list[Range]:
    """Cut a range at the multiples of `size`."""
    stop = start + count
    edges = [start, *range(start // size * size + size, stop, size), stop]
    return [(a, b - a) for a, b in pairwise(edges)]


def publications(sweep: Sweep, present: Mapping[str, Sequence[Range]]) -> Iterator[Publication]:
    """Every file that is still to be made, `present` telling which seeds of each setup there are. The longest runs come first,
    so that the short ones fill up the cores at the end."""
    seeds = sweep.seeds
    for setup in sorted(sweep.setups, key=seconds_per_run, reverse=True):
        size = file_seeds(setup, seeds.count)
        for gap in missing((seeds.start, seeds.count), present.get(setup.identity(NUMERICS_VERSION), ())):
            for start, count in cut(*gap, size):
                yield Publication(setup, start, count)
