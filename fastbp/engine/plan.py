"""What is missing, cut into files and blocks."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise
from typing import NamedTuple

from fastbp.choices.families import looks_at_the_end
from fastbp.config.setup import Setup
from fastbp.config.sweep import Sweep
from fastbp.store.filename import Range

BLOCK_SECONDS = 0.2
"""About how long a core takes for one block: short, so that cores finish together, and long enough
that handing out is free."""

MAX_BLOCK_SECONDS = 2.0
"""The same where runs end once they have converged, if none does: the longest run of a block keeps
its group waiting, and lanes are refilled only as long as the block has seeds left."""

MIN_SEEDS, MAX_SEEDS = 336, 5376
"""Bounds of a block: whole groups of runs side by side, and not so many that 10,000 seeds leave a
core without work."""

BLOCKS_PER_CORE = 3
"""How many blocks a core should have, where there are groups enough."""

FILES_PER_SETUP, FILES_PER_STORE = 100, 100_000
"""About how many files there may be at most."""


class Publication(NamedTuple):
    """One file to be: a range of seeds of a setup."""

    setup: Setup
    start: int
    runs: int


class Block(NamedTuple):
    """A range of seeds trained at once, for one file or for files of setups that differ in their
    budget alone, the longest first, of which the others are beginnings.
    """

    files: tuple[Publication, ...]
    start: int
    runs: int

    @property
    def setups(self) -> list[Setup]:
        """The setups, the longest first."""
        return [file.setup for file in self.files]


def seconds_per_run(setup: Setup) -> float:
    """A rough guess at the time of one run on one core, from the setup alone: a parameter costs
    some 0.25 ns a presentation.
    """
    presentations = setup.budget * setup.batch_rows
    return presentations * (1.5 + 0.25 * setup.parameters) * 1e-9


def block_seeds(setup: Setup) -> int:
    """How many seeds a block has: 336, doubled as the setup alone says, so that files are the same
    on any machine.
    """
    seeds, seconds = MIN_SEEDS, BLOCK_SECONDS if setup.stop == "budget" else MAX_BLOCK_SECONDS
    while seeds < MAX_SEEDS and 2 * seeds * seconds_per_run(setup) <= seconds:
        seeds *= 2
    return seeds


def least_block_seeds(setup: Setup) -> int:
    """The fewest seeds of a block: as many as go side by side."""
    return MIN_SEEDS if setup.dtype == "float32" else MIN_SEEDS // 2


def file_seeds(setup: Setup, count: int, setups: int = 1) -> int:
    """How many seeds a file has: some number of blocks, doubled until `count` seeds make at most
    about 100 files, or fewer where so many for each of the sweep's `setups` would be more than a
    store should hold.
    """
    seeds, files = block_seeds(setup), min(FILES_PER_SETUP, max(1, FILES_PER_STORE // setups))
    while seeds * files < count:
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


def cut(start: int, count: int, size: int) -> Iterator[Range]:
    """Cut a range at the multiples of `size`."""
    stop = start + count
    for a, b in pairwise(chain([start], range(start // size * size + size, stop, size), [stop])):
        yield a, b - a


class Share(NamedTuple):
    """A range of seeds that is missing of the same setups, which can be trained as one, the longest
    first.
    """

    setups: tuple[Setup, ...]
    start: int
    runs: int


Present = Mapping[str, Sequence[Range]]
"""Which seeds of each setup there are."""


def shard(sweep: Sweep, number: int, of: int) -> Range:
    """The seeds of one of so many shards of a sweep, 1 … `of`: about as many in each, the same for
    all setups, so that what one machine has is a fair sweep by itself. Where there are many, shards
    begin where files do.
    """
    seeds, step = sweep.all_seeds, 1
    for size in (MIN_SEEDS << power for power in range(32)):
        if seeds.count < 8 * of * size:
            break
        step = size
    low, high = seeds.start // step, -(-seeds.stop // step)
    bounds = ((low + (high - low) * i // of) * step for i in (number - 1, number))
    first, last = (min(max(bound, seeds.start), seeds.stop) for bound in bounds)
    return first, last - first


def only(sweep: Sweep, present: Present, seeds: Range) -> Present:
    """What there is, as if all other seeds than these were there as well."""
    whole = sweep.all_seeds
    others = [
        (start, count) for start, count in missing((whole.start, whole.count), [seeds]) if count
    ]
    return {_id(setup): [*present.get(_id(setup), ()), *others] for setup in sweep.setups}


def outstanding(setup: Setup, sweep: Sweep, present: Present) -> list[Range]:
    """The seeds of a setup that are still to be trained."""
    seeds = sweep.seeds_of(setup)
    return missing((seeds.start, seeds.count), present.get(_id(setup), ()))


def shares(sweep: Sweep, present: Present) -> Iterator[Share]:
    """Everything that is still to be trained, the longest runs first, so that short ones fill up
    the cores at the end.
    """
    for setups in families(sweep.setups):
        gaps = [outstanding(setup, sweep, present) for setup in setups]
        # At each edge some of the setups begin or end to be missing.
        edges = sorted(
            (edge, i)
            for i, own in enumerate(gaps)
            for at, count in own
            for edge in (at, at + count)
        )
        lacking: set[int] = set()
        for (at, i), (stop, _) in pairwise(edges):
            lacking ^= {i}
            if lacking and stop > at:
                yield Share(tuple(setups[i] for i in sorted(lacking)), at, stop - at)


def work(block: Block) -> float:
    """About how many seconds a core takes for a block."""
    return block.runs * seconds_per_run(block.setups[0])


def blocks(sweep: Sweep, present: Present, cores: int = 0) -> Iterator[Block]:
    """Everything that is still to be trained, in blocks, each within one file of each of its
    setups.

    Cut when asked for: 10¹⁰ runs make 10⁴ files, but tens of millions of blocks. Smaller ones where
    so many `cores` would have too few.
    """
    parts = 1
    while (
        parts < 32
        and sum(1 for _ in islice(_cuts(sweep, present, parts), BLOCKS_PER_CORE * cores))
        < BLOCKS_PER_CORE * cores
    ):
        parts *= 2
    files: dict[Setup, Iterator[Publication]] = {}
    open_: dict[Setup, Publication] = {}
    for setups, at, size in _cuts(sweep, present, parts):
        for setup in setups:
            if setup not in files:
                files[setup] = files_of(setup, sweep, present)
                open_[setup] = next(files[setup])
            while open_[setup].start + open_[setup].runs <= at:
                open_[setup] = next(files[setup])
        yield Block(tuple(open_[setup] for setup in setups), at, size)


def _cuts(sweep: Sweep, present: Present, parts: int) -> Iterator[Share]:
    """All shares cut at the bounds of blocks, each block in so many parts if it has as many groups
    of runs side by side.
    """
    for setups, start, count in shares(sweep, present):
        for at, size in cut(
            start, count, max(least_block_seeds(setups[0]), block_seeds(setups[0]) // parts)
        ):
            yield Share(setups, at, size)


def files_of(setup: Setup, sweep: Sweep, present: Present) -> Iterator[Publication]:
    """Every file of a setup that is still to be made."""
    for gap in outstanding(setup, sweep, present):
        for start, count in cut(
            *gap, file_seeds(setup, sweep.seeds_of(setup).count, len(sweep.setups))
        ):
            yield Publication(setup, start, count)


def families(setups: Iterable[Setup]) -> list[list[Setup]]:
    """Setups that can be trained as one, the longest first: they differ in their budget alone, and
    nothing depends on its end.
    """
    families: dict[Hashable, list[Setup]] = {}
    for setup in setups:
        families.setdefault(_but_for_the_budget(setup), []).append(setup)
    alike = [
        sorted(family, key=lambda setup: setup.budget, reverse=True) for family in families.values()
    ]
    return sorted(alike, key=lambda family: seconds_per_run(family[0]), reverse=True)


def _but_for_the_budget(setup: Setup) -> Hashable:
    if setup.stop == "converged" or looks_at_the_end(setup.calls["schedule"].choice):
        return _id(setup)
    columns = setup.columns()
    return setup.digest, *(
        value for key, value in columns.items() if key not in ("updates", "epochs", "collapse")
    )


def _id(setup: Setup) -> str:
    return setup.identity()
