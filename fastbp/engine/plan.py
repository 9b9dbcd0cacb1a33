"""The plan of a sweep: which runs are missing, and the files and blocks that will hold them."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heappop, heappush
from itertools import chain, pairwise
from typing import NamedTuple

from fastbp.config.setup import Setup
from fastbp.config.sweep import Sweep
from fastbp.engine import tasks
from fastbp.schema.text import grouped
from fastbp.store.filename import Range

BLOCK_SECONDS = 0.2
"""Target time of a block on one core: short, so that all cores finish at about the same time, but
long enough that submitting blocks takes no noticeable time."""

MAX_BLOCK_SECONDS = 2.0
"""Target time of a block whose runs stop once they have converged, if none converges. Such blocks
are larger because lanes are refilled only while the block has seeds left."""

MIN_BLOCK_SECONDS = 0.01
"""A block that takes less than this is not cut: to start a block takes some 2 ms."""

FILE_SECONDS = 2.0
"""Target time to train the runs of a file on one core. Writing a file takes some 5 ms of a core
however few rows it has; a sweep that is stopped loses the files that are not complete."""

MIN_SEEDS, MAX_SEEDS = 336, 5376
"""The fewest and most seeds in a block and in a file of a small sweep: complete lane groups."""

BLOCKS_PER_CORE = 2
"""At any time, what is left of a sweep makes at least this many blocks for each core, if there are
enough lane groups. So blocks become smaller towards the end, and all cores end together."""

FILES_PER_SETUP, FILES_PER_STORE = 100, 100_000
"""About the most files that a setup and a store may have."""

FULL_SEEDS, FULL_FILES = MAX_SEEDS << 5, 1_000
"""A setup may have so many files if each has that many seeds: some files are in memory at once, at
560 bytes a row."""


class PlannedFile(NamedTuple):
    """A file to be written, with the `runs` seeds of one setup from `start` on."""

    setup: Setup
    start: int
    runs: int


class Block(NamedTuple):
    """The `runs` seeds from `start` on, which one worker trains, and the files that get the rows.

    The setups of the files differ only in their budget. The longest comes first; the runs of the
    others are beginnings of its runs.
    """

    files: tuple[PlannedFile, ...]
    start: int
    runs: int

    @property
    def setups(self) -> list[Setup]:
        """The setups, the longest first."""
        return [file.setup for file in self.files]

    @property
    def seconds(self) -> float:
        """Estimated time of the block on one core."""
        return self.runs * seconds_per_run(self.files[0].setup)


MissingRange = tuple[tuple[Setup, ...], int, int]
"""(setups, start, count): a range of seeds that is missing from all these setups. The setups differ
only in their budget and are trained together; the longest comes first."""


@dataclass(frozen=True)
class Plan:
    """The missing runs of a sweep.

    A plan holds no lists of runs: ranges, files and blocks are generated, so that 10¹⁰ runs need no
    more memory than ten.

    Parameters
    ----------
    sweep : Sweep
        The sweep to train.
    present : mapping of setup id to seed ranges
        The stored seeds of each setup.
    seeds : (start, count), optional
        Plan only these seeds, such as those of a shard.
    """

    sweep: Sweep
    present: Mapping[str, Sequence[Range]] = field(default_factory=dict)
    seeds: Range | None = None

    def requested(self, setup: Setup) -> Range:
        """The seeds of a setup that the plan covers, stored or not."""
        seeds = self.sweep.seeds_of(setup)
        if self.seeds is None:
            return seeds.start, seeds.count
        start, stop = max(seeds.start, self.seeds[0]), min(seeds.stop, sum(self.seeds))
        return start, max(0, stop - start)

    def gaps(self, setup: Setup) -> list[Range]:
        """The ranges of seeds of a setup that are not stored, in ascending order."""
        # Ids of 10⁵ setups take seconds, and an empty store needs none.
        return missing(
            self.requested(setup), (self.present.get(setup.identity(), ()) if self.present else ())
        )

    def seeds_per_file(self, setup: Setup) -> int:
        """The number of seeds in a file of a setup. It does not depend on shards."""
        return file_seeds(setup, self.sweep.seeds_of(setup).count, len(self.sweep.setups))

    @cached_property
    def _groups(self) -> list[list[Setup]]:
        return budget_groups(self.sweep.setups)

    def missing_ranges(self) -> Iterator[MissingRange]:
        """Generate all missing ranges, slow runs first: quick ones fill all cores at the end."""
        for setups, lacking, _, (start, runs) in self._lacking():
            yield tuple(setups[i] for i in sorted(lacking)), start, runs

    def shares(self) -> Iterator[tuple[Setup, int, int]]:
        """Generate for each missing range its longest setup, and its numbers of setups and seeds.

        If thousands of setups each have a number of seeds of their own, most are in each of as many
        ranges: that is quick to count, but not to list.
        """
        for setups, lacking, longest, (_, runs) in self._lacking():
            yield setups[longest], len(lacking), runs

    def _lacking(self) -> Iterator[tuple[list[Setup], set[int], int, Range]]:
        """Generate (group, which of its setups, the first of them, seeds) of all missing ranges."""
        for setups in self._groups:
            # Each end of a gap changes whether this setup is missing from there on.
            edges = sorted(
                (edge, i)
                for i, setup in enumerate(setups)
                for start, count in self.gaps(setup)
                for edge in (start, start + count)
            )
            lacking: set[int] = set()
            heap: list[int] = []  # all that lack runs, and some that no longer do
            for (start, i), (stop, _) in pairwise(edges):
                lacking ^= {i}
                heappush(heap, i)
                while heap and heap[0] not in lacking:
                    heappop(heap)
                if lacking and stop > start:
                    yield setups, lacking, heap[0], (start, stop - start)

    @property
    def requested_runs(self) -> int:
        """The number of runs that the plan covers, stored or not."""
        if self.seeds is None:
            return self.sweep.runs
        return sum(self.requested(setup)[1] for setup in self.sweep.setups)

    @cached_property
    def runs(self) -> int:
        """The number of missing runs."""
        return sum(setups * runs for _, setups, runs in self.shares())

    @cached_property
    def updates(self) -> int:
        """The most updates to compute for the missing runs.

        Of runs that are trained together, only the longest counts.
        """
        return sum(longest.budget * runs for longest, _, runs in self.shares())

    @cached_property
    def kernel_keys(self) -> list[tasks.KernelKey]:
        """The keys of the kernels that the missing runs need, sorted."""
        return sorted({tasks.kernel_key(longest) for longest, *_ in self.shares()})

    @property
    def collapses(self) -> dict[str, float]:
        """The `collapse` of each setup with missing runs, by setup id."""
        setups = (setup for group in self._groups for setup in group if self.gaps(setup))
        return {setup.identity(): setup.collapse for setup in setups}

    def files(self, setup: Setup) -> Iterator[PlannedFile]:
        """Generate the missing files of a setup."""
        size = self.seeds_per_file(setup)
        return (PlannedFile(setup, *part) for gap in self.gaps(setup) for part in cut(*gap, size))

    def blocks(self, workers: int = 0) -> Iterator[Block]:
        """Generate the blocks of all missing runs. A block lies within one file of each setup.

        Blocks are generated one by one: 10¹⁰ runs have 10⁵ files at most, but tens of millions
        of blocks.

        Parameters
        ----------
        workers : int
            Blocks are smaller where there would be too few for this number of workers.
        """
        files: dict[Setup, Iterator[PlannedFile]] = {}
        current: dict[Setup, PlannedFile] = {}
        for setups, start, runs in self._pieces(workers):
            for setup in setups:
                following = files.setdefault(setup, self.files(setup))
                while setup not in current or sum(current[setup][1:]) <= start:
                    current[setup] = next(following)
            yield Block(tuple(current[setup] for setup in setups), start, runs)

    def _pieces(self, workers: int) -> Iterator[MissingRange]:
        """Cut all missing ranges into blocks, smaller ones towards the end."""
        enough = BLOCKS_PER_CORE * workers
        left = sum(runs * seconds_per_run(longest) for longest, _, runs in self.shares())
        for setups, first, count in self.missing_ranges():
            least, size = min_block_seeds(setups[0]), block_seeds(setups[0])
            start, stop, seconds = first, first + count, seconds_per_run(setups[0])
            while start < stop:
                while size > least and (
                    size * seconds > MIN_BLOCK_SECONDS and size * seconds * enough > left
                ):
                    size = max(least, size // 2)
                end = min(start // size * size + size, stop)
                yield setups, start, end - start
                left -= (end - start) * seconds
                start = end


def shard(sweep: Sweep, number: int, of: int) -> Range:
    """The range of seeds that shard `number` (1 … `of`) of a sweep trains.

    Shards have about the same size, and the same seeds in all setups, so that each shard is a fair
    sample of the sweep. If there are many seeds, a shard begins where a file begins.
    """
    seeds, sizes = sweep.all_seeds, (MIN_SEEDS << power for power in range(32))
    step = max((size for size in sizes if 8 * of * size <= seeds.count), default=1)
    low, high = seeds.start // step, -(-seeds.stop // step)
    bounds = ((low + (high - low) * i // of) * step for i in (number - 1, number))
    first, last = (min(max(bound, seeds.start), seeds.stop) for bound in bounds)
    return first, last - first


def missing(requested: Range, present: Iterable[Range]) -> list[Range]:
    """List the parts of the range `requested` that no range in `present` covers, ascending."""
    gaps: list[Range] = []
    at, stop = requested[0], sum(requested)
    for start, count in [*sorted(present), (stop, 0)]:
        if min(start, stop) > at:
            gaps.append((at, min(start, stop) - at))
        at = max(at, start + count)
    return gaps


def cut(start: int, count: int, size: int) -> Iterator[Range]:
    """Cut the range start … start + count − 1 at the multiples of `size`."""
    stop = start + count
    for a, b in pairwise(chain([start], range(start // size * size + size, stop, size), [stop])):
        yield a, b - a


def budget_groups(setups: Sequence[Setup]) -> list[list[Setup]]:
    """Group setups that can be trained together.

    They differ only in their budget, and shorter runs are beginnings of longer ones.

    Returns
    -------
    list of groups
        The longest setup first in each group, and the slowest group first.
    """
    ordered = [
        sorted(group, key=lambda setup: setup.budget, reverse=True)
        for group in grouped(setups, map(_key_without_budget, setups)).values()
    ]
    return sorted(ordered, key=lambda group: seconds_per_run(group[0]), reverse=True)


def _key_without_budget(setup: Setup) -> Hashable:
    if setup.stop == "converged" or setup.calls["schedule"].choice.mark("needs_horizon"):
        return setup.identity()
    return setup.digest, *(
        value
        for key, value in setup.columns().items()
        if key not in ("updates", "epochs", "collapse")
    )


def seconds_per_run(setup: Setup, updates: int | None = None) -> float:
    """Estimate the seconds that one run takes on one core, from the setup alone.

    A parameter costs about 0.25 ns each time a sample is presented (AVX-512, float64).

    Parameters
    ----------
    setup : Setup
        The setup of the run.
    updates : int, optional
        The number of updates, by default the budget of the setup.
    """
    samples = (setup.budget if updates is None else updates) * setup.batch_rows
    seconds = samples * (1.5 + 0.25 * setup.parameters) * 1e-9
    # One run at a time does not fill the vectors, and its rows are prepared for it alone.
    return seconds if setup.test_split != "seed" else 20 * seconds + 0.005


def block_seeds(setup: Setup) -> int:
    """The number of seeds of a block: 336, doubled while it takes less than its target time.

    It depends on the setup alone, so that files are the same on any machine.
    """
    return _doubled(
        MIN_SEEDS, setup, BLOCK_SECONDS if setup.stop == "budget" else MAX_BLOCK_SECONDS
    )


def _doubled(seeds: int, setup: Setup, seconds: float) -> int:
    """Double a number of seeds, up to `MAX_SEEDS`, while they take at most these seconds."""
    while 2 * seeds <= MAX_SEEDS and 2 * seeds * seconds_per_run(setup) <= seconds:
        seeds *= 2
    return seeds


def min_block_seeds(setup: Setup) -> int:
    """The fewest seeds of a block: as many runs as are trained side by side in SIMD lanes."""
    return MIN_SEEDS if setup.dtype == "float32" else MIN_SEEDS // 2


def file_seeds(setup: Setup, count: int, setups: int = 1) -> int:
    """The number of seeds of a file.

    It is that of a block, doubled while the file takes less than its target time, and then until
    there are few enough files.

    Parameters
    ----------
    setup : Setup
        The setup of the file.
    count : int
        The number of seeds of the setup. They make at most about 100 files, or 1,000 large ones.
    setups : int
        The number of setups of the sweep. If there are many, each has fewer files, so that a store
        has at most about 100,000.
    """
    seeds = _doubled(block_seeds(setup), setup, FILE_SECONDS)
    most = max(1, FILES_PER_STORE // setups)
    while seeds * min(most, FILES_PER_SETUP if seeds < FULL_SEEDS else FULL_FILES) < count:
        seeds *= 2
    return seeds
