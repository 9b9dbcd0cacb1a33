import itertools
import math
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp import Setup, Sweep
from fastbp.engine import plan
from fastbp.engine.plan import Range, block_seeds, cut, file_seeds, missing, publications
from fastbp.engine.spec import LAST_SEED, Seeds
from fastbp.kernels import NUMERICS_VERSION

small_ranges = st.tuples(st.integers(0, 60), st.integers(1, 40))
budgets = st.integers(0, 7).map(lambda power: 10**power)
seed_ranges = st.one_of(
    st.builds(Seeds, start=st.integers(0, 30_000), count=st.integers(1, 30_000)),
    st.builds(Seeds, start=st.integers(0, LAST_SEED // 2), count=st.integers(1, LAST_SEED // 2)),
)


def seeds_in(ranges: list[Range]) -> list[int]:
    return [seed for start, count in ranges for seed in range(start, start + count)]


def setup_of(updates: int, hidden: int = 2) -> Setup:
    return Setup(problem="xor", hidden=[hidden], updates=updates)


def sweep_of(seeds: Seeds, *updates: int) -> Sweep:
    return Sweep(seeds=seeds, setup={"problem": "xor", "hidden": [2]}, grid={"updates": list(updates)})


def identity(setup: Setup) -> str:
    return setup.identity(NUMERICS_VERSION)


def is_one_run(ranges: list[Range], start: int, count: int) -> bool:
    """Whether ranges, in their order, are the seeds start … start + count − 1 without a gap."""
    ends = [a + n for a, n in ranges]
    return [a for a, _ in ranges] == [start, *ends[:-1]] and ends[-1] == start + count and all(n > 0 for _, n in ranges)


# Ranges


@given(small_ranges, st.lists(small_ranges, max_size=6))
def test_missing_is_what_is_wanted_and_not_present(wanted, present):
    gaps = missing(wanted, present)
    assert seeds_in(gaps) == sorted(set(seeds_in([wanted])) - set(seeds_in(present)))  # each once, ascending
    assert all(a + n < b for (a, n), (b, _) in itertools.pairwise(gaps)), "gaps that touch are one gap"


@settings(deadline=None)
@given(st.integers(0, LAST_SEED), st.integers(1, 10**9), st.floats(0.01, 200))
def test_cut_covers_a_range_and_cuts_at_multiples(start, size, pieces):
    count = max(1, int(pieces * size))
    pieces = cut(start, count, size)
    assert is_one_run(pieces, start, count)
    assert all(n <= size for _, n in pieces)
    assert all(a % size == 0 for a, _ in pieces[1:])


# Sizes


@given(budgets, st.integers(1, 64))
def test_a_block_is_doubled_until_it_takes_about_its_time(updates, hidden):
    setup = setup_of(updates, hidden)
    seeds = block_seeds(setup)
    assert seeds % plan.LEAST_SEEDS == 0
    assert (seeds // plan.LEAST_SEEDS).bit_count() == 1
    assert plan.LEAST_SEEDS <= seeds <= plan.MOST_SEEDS
    if seeds > plan.LEAST_SEEDS:
        assert seeds * plan.seconds_per_run(setup) <= plan.BLOCK_SECONDS
    if seeds < plan.MOST_SEEDS:
        assert 2 * seeds * plan.seconds_per_run(setup) > plan.BLOCK_SECONDS


@given(budgets, st.integers(1, LAST_SEED))
def test_a_file_is_whole_blocks_and_a_setup_has_about_a_hundred(updates, count):
    setup = setup_of(updates)
    size, block = file_seeds(setup, count), block_seeds(setup)
    assert size % block == 0
    assert math.ceil(count / size) <= plan.FILES_PER_SETUP
    assert size == block or count > plan.FILES_PER_SETUP * size // 2, "no larger than that needs"


# Whole plans


@settings(deadline=None)
@given(seed_ranges, st.lists(budgets, min_size=1, max_size=3, unique=True))
def test_every_seed_of_every_setup_is_planned_once(seeds, updates):
    sweep = sweep_of(seeds, *updates)
    planned = list(publications(sweep, {}))
    for setup in sweep.setups:
        own = sorted((p for p in planned if p.setup == setup), key=lambda p: p.start)
        assert is_one_run([(p.start, p.runs) for p in own], seeds.start, seeds.count)
        assert len(own) <= plan.FILES_PER_SETUP + 1
        for inner in own[1:]:
            assert inner.start % block_seeds(setup) == 0
    assert len(planned) == sum(len([p for p in planned if p.setup == setup]) for setup in sweep.setups)


@settings(deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 200_000), budgets)
def test_the_blocks_of_a_file_make_it_up(start, count, updates):
    for publication in publications(sweep_of(Seeds(start=start, count=count), updates), {}):
        blocks = publication.blocks
        assert is_one_run(blocks, publication.start, publication.runs)
        size = block_seeds(publication.setup)
        assert all(a % size == 0 for a, _ in blocks[1:])
        assert all(n <= size for _, n in blocks)


@settings(deadline=None)
@given(st.data(), seed_ranges, st.lists(budgets, min_size=1, max_size=3, unique=True))
def test_what_is_lost_is_planned_as_it_was(data, seeds, updates):
    """Files that are deleted come back with the same ranges, so that their names and digests are the same."""
    sweep = sweep_of(seeds, *updates)
    whole = list(publications(sweep, {}))
    lost = data.draw(st.sets(st.sampled_from(range(len(whole))), max_size=8))
    present: dict[str, list[Range]] = {}
    for index, publication in enumerate(whole):
        if index not in lost:
            present.setdefault(identity(publication.setup), []).append((publication.start, publication.runs))
    again = list(publications(sweep, present))
    found = seeds_by_setup(again)
    for setup, ranges in seeds_by_setup([whole[index] for index in sorted(lost)]).items():
        assert found.pop(setup) == ranges
    assert not found


def seeds_by_setup(planned: list[plan.Publication]) -> dict[Setup, list[Range]]:
    ranges: dict[Setup, list[Range]] = {}
    for publication in planned:
        ranges.setdefault(publication.setup, []).append((publication.start, publication.runs))
    return {setup: sorted(found) for setup, found in ranges.items()}


@settings(deadline=None)
@given(st.lists(small_ranges, max_size=5), small_ranges, budgets)
def test_nothing_present_is_planned_again(present, wanted, updates):
    sweep = sweep_of(Seeds(start=wanted[0], count=wanted[1]), updates)
    planned = list(publications(sweep, {identity(sweep.setups[0]): present}))
    seeds = seeds_in([(p.start, p.runs) for p in planned])
    assert len(set(seeds)) == len(seeds)
    assert set(seeds) == set(seeds_in([wanted])) - set(seeds_in(present))


def test_files_of_a_setup_do_not_depend_on_what_else_is_in_the_sweep():
    seeds = Seeds(start=1000, count=100_000)
    alone = seeds_by_setup(list(publications(sweep_of(seeds, 8000), {})))
    among = seeds_by_setup(list(publications(sweep_of(seeds, 10, 8000, 10**6), {})))
    assert among.items() >= alone.items()


def test_a_complete_sweep_has_nothing_left_however_it_was_cut():
    sweep = sweep_of(Seeds(count=10_000), 10, 8000)
    present = {identity(setup): [(n, 7) for n in range(0, 10_000, 7)] for setup in sweep.setups}
    assert list(publications(sweep, present)) == []


def test_present_runs_of_other_setups_count_for_nothing():
    sweep = sweep_of(Seeds(count=100), 10)
    assert len(list(publications(sweep, {"0" * 12: [(0, 100)]}))) == 1


def test_the_longest_runs_come_first():
    planned = list(publications(sweep_of(Seeds(count=10), 100, 10_000, 1000), {}))
    assert [p.setup.updates for p in planned] == [10_000, 1000, 100]


@pytest.mark.parametrize("updates", [100, 10**6])
def test_ten_billion_runs_are_planned_at_once_in_little_memory(updates):
    sweep = Sweep(seeds=10**8, setup={"problem": "xor", "updates": updates}, grid={"lr": [i / 100 for i in range(1, 101)]})
    began = time.perf_counter()
    tracemalloc.start()
    try:
        planned = sum(1 for _ in publications(sweep, {}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert planned <= 100 * (plan.FILES_PER_SETUP + 1)
    assert peak < 2_000_000
    assert time.perf_counter() - began < 5
