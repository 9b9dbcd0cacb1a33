import itertools
import math
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings, strategies as st

from fastbp import Setup, Sweep
from fastbp.config.sweep import Seeds
from fastbp.engine import plan
from fastbp.engine.forecast import duration
from fastbp.engine.plan import Plan, block_seeds, cut, file_seeds, missing, shard
from fastbp.schema.keys import LAST_SEED
from fastbp.store.filename import Range

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
    return Sweep(
        seeds=seeds, setup={"problem": "xor", "hidden": [2]}, grid={"updates": list(updates)}
    )


def planned_files(planned: Plan) -> Iterator[plan.PlannedFile]:
    """Every file that is still to be made."""
    return itertools.chain.from_iterable(planned.files(setup) for setup in planned.sweep.setups)


def is_one_run(ranges: list[Range], start: int, count: int) -> bool:
    """Whether ranges, in their order, are the seeds start … start + count − 1 without a gap."""
    ends = [a + n for a, n in ranges]
    return (
        [a for a, _ in ranges] == [start, *ends[:-1]]
        and ends[-1] == start + count
        and all(n > 0 for _, n in ranges)
    )


# Ranges


@given(small_ranges, st.lists(small_ranges, max_size=6))
def test_missing_is_what_is_wanted_and_not_present(wanted, present):
    gaps = missing(wanted, present)
    assert seeds_in(gaps) == sorted(
        set(seeds_in([wanted])) - set(seeds_in(present))
    )  # each once, ascending
    assert all(a + n < b for (a, n), (b, _) in itertools.pairwise(gaps)), (
        "gaps that touch are one gap"
    )


@given(st.integers(0, LAST_SEED), st.integers(1, 10**9), st.floats(0.01, 200))
def test_cut_covers_a_range_and_cuts_at_multiples(start, size, pieces):
    count = max(1, int(pieces * size))
    pieces = list(cut(start, count, size))
    assert is_one_run(pieces, start, count)
    assert all(n <= size for _, n in pieces)
    assert all(a % size == 0 for a, _ in pieces[1:])


# Sizes


@given(budgets, st.integers(1, 64))
def test_a_block_is_doubled_until_it_takes_about_its_time(updates, hidden):
    setup = setup_of(updates, hidden)
    seeds = block_seeds(setup)
    assert (seeds % plan.MIN_SEEDS, (seeds // plan.MIN_SEEDS).bit_count()) == (0, 1)
    assert plan.MIN_SEEDS <= seeds <= plan.MAX_SEEDS
    if seeds > plan.MIN_SEEDS:
        assert seeds * plan.seconds_per_run(setup) <= plan.BLOCK_SECONDS
    if seeds < plan.MAX_SEEDS:
        assert 2 * seeds * plan.seconds_per_run(setup) > plan.BLOCK_SECONDS


@given(budgets, st.integers(1, LAST_SEED), st.one_of(st.just(1), st.integers(1, 100_000)))
def test_a_file_is_whole_blocks_a_setup_has_about_a_hundred_and_a_store_no_more_than_a_disk_likes(
    updates, count, setups
):
    setup = setup_of(updates)
    size, least = file_seeds(setup, count, setups), file_seeds(setup, 1)
    assert size % least == least % block_seeds(setup) == 0
    assert least == block_seeds(setup) or least * plan.seconds_per_run(setup) <= plan.FILE_SECONDS
    assert least <= plan.MAX_SEEDS < 2 * least or (
        2 * least * plan.seconds_per_run(setup) > plan.FILE_SECONDS
    )
    files = math.ceil(count / size)
    assert files <= (plan.FILES_PER_SETUP if size < plan.FULL_SEEDS else plan.FULL_FILES)
    assert files * setups <= plan.FILES_PER_STORE
    few = plan.FILES_PER_SETUP if size // 2 < plan.FULL_SEEDS else plan.FULL_FILES
    assert size == least or count > min(few, plan.FILES_PER_STORE // setups) * size // 2, (
        "no larger than that needs"
    )


# Whole plans


@given(seed_ranges, st.lists(budgets, min_size=1, max_size=3, unique=True))
def test_every_seed_of_every_setup_is_planned_once(seeds, updates):
    sweep = sweep_of(seeds, *updates)
    planned = list(planned_files(Plan(sweep)))
    for setup in sweep.setups:
        own = sorted((p for p in planned if p.setup == setup), key=lambda p: p.start)
        assert is_one_run([(p.start, p.runs) for p in own], seeds.start, seeds.count)
        assert len(own) <= plan.FULL_FILES + 1
        for inner in own[1:]:
            assert inner.start % block_seeds(setup) == 0
    assert len(planned) == sum(
        len([p for p in planned if p.setup == setup]) for setup in sweep.setups
    )


@given(
    st.integers(0, 100_000),
    st.integers(1, 200_000),
    st.lists(budgets, min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_blocks_make_up_the_files(start, count, updates, data):
    """Each file of each setup once, whatever is there already, and each block within one file of
    each of its setups."""
    sweep = sweep_of(Seeds(start=start, count=count), *updates)
    gap = st.tuples(st.integers(start - 9, start + count), st.integers(1, count)).map(
        lambda r: (max(0, r[0]), r[1])
    )
    present = {setup.identity(): data.draw(st.lists(gap, max_size=3)) for setup in sweep.setups}
    made: dict[plan.PlannedFile, list[Range]] = {}
    for files, at, runs in Plan(sweep, present).blocks():
        assert len({file.setup for file in files}) == len(files)
        assert sorted(files, key=lambda file: -file.setup.budget) == list(files)
        size = block_seeds(files[0].setup)
        assert at // size == (at + runs - 1) // size
        for file in files:
            assert file.start <= at
            assert at + runs <= file.start + file.runs
            made.setdefault(file, []).append((at, runs))
    assert set(made) == set(planned_files(Plan(sweep, present)))
    for file, ranges in made.items():
        assert is_one_run(ranges, file.start, file.runs)


@given(st.lists(st.lists(small_ranges, max_size=3), min_size=1, max_size=5))
def test_shares_are_of_the_missing_ranges(present):
    sweep = sweep_of(Seeds(count=100), *range(1, len(present) + 1))
    planned = Plan(sweep, {s.identity(): p for s, p in zip(sweep.setups, present, strict=True)})
    ranges = list(planned.missing_ranges())
    assert list(planned.shares()) == [(setups[0], len(setups), runs) for setups, _, runs in ranges]
    assert planned.collapses.keys() == {s.identity() for setups, *_ in ranges for s in setups}


def test_setups_of_many_ranges_are_counted_and_not_listed(monkeypatch):
    """Each range has all setups with more seeds: their lists together grow with the square."""
    planned = Plan(
        Sweep(
            seeds=1,
            setup={"problem": "xor"},
            grid=[{"updates": [n], "seeds": n} for n in range(1, 301)],
        )
    )
    assert len(list(planned.missing_ranges())) == 300
    monkeypatch.setattr(Plan, "missing_ranges", lambda _: pytest.fail("all are listed"))
    assert (planned.runs, planned.updates, len(planned.collapses)) == (45_150, 300 * 300, 300)
    assert len(planned.kernel_keys) == 1
    assert duration(planned, 1).all_but_compiling > 0


def test_what_differs_in_its_budget_alone_is_trained_once():
    sweep = Sweep(
        seeds=1000,
        setup={"problem": "xor", "hidden": [2], "updates": 100},
        grid={"updates": [100, 70, 400], "lr": [0.1, 0.2]},
    )
    assert [[s.budget for s in setups] for setups, *_ in Plan(sweep).missing_ranges()] == [
        [400, 100, 70]
    ] * 2
    present = {
        sweep.setups[0].identity(): [(0, 300)],
        sweep.setups[4].identity(): [(200, 200), (900, 100)],
    }
    first = [share for share in Plan(sweep, present).missing_ranges() if share[0][0].lr == 0.1]
    assert [([s.budget for s in setups], at, runs) for setups, at, runs in first] == [
        ([400, 70], 0, 200),
        ([70], 200, 100),
        ([100, 70], 300, 100),
        ([400, 100, 70], 400, 500),
        ([100, 70], 900, 100),
    ]


@pytest.mark.parametrize(
    ("changes", "together"),
    [
        ({"schedule": "step:every=3,factor=0.5"}, True),
        ({"schedule": "exponential:factor=0.9,warmup=2"}, True),
        ({"schedule": "inverse:tau=5"}, True),
        ({"schedule": "cosine"}, False),
        ({"schedule": "linear:warmup=2"}, False),
        ({"stop": "converged"}, False),
    ],
    ids=str,
)
def test_what_depends_on_its_end_is_trained_by_itself(changes, together):
    sweep = Sweep(seeds=10, setup={"problem": "xor", **changes}, grid={"updates": [100, 200]})
    assert len(list(Plan(sweep).missing_ranges())) == (1 if together else 2)


@given(st.data(), seed_ranges, st.lists(budgets, min_size=1, max_size=3, unique=True))
def test_what_is_lost_is_planned_as_it_was(data, seeds, updates):
    """Files that are deleted come back with the same ranges, so that their names and digests are
    the same."""
    sweep = sweep_of(seeds, *updates)
    whole = list(planned_files(Plan(sweep)))
    lost = data.draw(st.sets(st.sampled_from(range(len(whole))), max_size=8))
    present: dict[str, list[Range]] = {}
    for index, publication in enumerate(whole):
        if index not in lost:
            present.setdefault(publication.setup.identity(), []).append(
                (publication.start, publication.runs)
            )
    found = seeds_by_setup(list(planned_files(Plan(sweep, present))))
    for setup, ranges in seeds_by_setup([whole[index] for index in sorted(lost)]).items():
        assert found.pop(setup) == ranges
    assert not found


def seeds_by_setup(planned: list[plan.PlannedFile]) -> dict[Setup, list[Range]]:
    ranges: dict[Setup, list[Range]] = {}
    for publication in planned:
        ranges.setdefault(publication.setup, []).append((publication.start, publication.runs))
    return {setup: sorted(found) for setup, found in ranges.items()}


@given(st.lists(small_ranges, max_size=5), small_ranges, budgets)
def test_nothing_present_is_planned_again(present, wanted, updates):
    sweep = sweep_of(Seeds(start=wanted[0], count=wanted[1]), updates)
    planned = list(planned_files(Plan(sweep, {sweep.setups[0].identity(): present})))
    seeds = seeds_in([(p.start, p.runs) for p in planned])
    assert (len(set(seeds)), set(seeds)) == (
        len(seeds),
        set(seeds_in([wanted])) - set(seeds_in(present)),
    )


def test_files_of_a_setup_do_not_depend_on_what_else_is_in_the_sweep():
    seeds = Seeds(start=1000, count=100_000)
    alone = seeds_by_setup(list(planned_files(Plan(sweep_of(seeds, 8000)))))
    assert (
        seeds_by_setup(list(planned_files(Plan(sweep_of(seeds, 10, 8000, 10**6))))).items()
        >= alone.items()
    )


def test_a_complete_sweep_has_nothing_left_however_it_was_cut():
    sweep = sweep_of(Seeds(count=10_000), 10, 8000)
    present = {setup.identity(): [(n, 7) for n in range(0, 10_000, 7)] for setup in sweep.setups}
    assert list(planned_files(Plan(sweep, present))) == []


def test_the_longest_runs_come_first():
    lr = (
        {"updates": 100, "lr": [0.3]},
        {"updates": 10_000, "lr": [0.1]},
        {"updates": 1000, "lr": [0.2]},
    )
    sweep = Sweep(
        seeds=10,
        setup={"problem": "xor"},
        grid=[{k: v if k == "lr" else [v] for k, v in grid.items()} for grid in lr],
    )
    assert [setups[0].updates for setups, *_ in Plan(sweep).missing_ranges()] == [
        10_000,
        1000,
        100,
    ]


@pytest.mark.parametrize("updates", [100, 10**6])
def test_ten_billion_runs_are_planned_at_once_in_little_memory(updates):
    sweep = Sweep(
        seeds=10**8,
        setup={"problem": "xor", "updates": updates},
        grid={"lr": [i / 100 for i in range(1, 101)]},
    )
    began = time.process_time()
    tracemalloc.start()
    try:
        planned = sum(1 for _ in planned_files(Plan(sweep)))
        assert sum(runs for _, _, runs in Plan(sweep).missing_ranges()) == 10**10
        assert sum(1 for _ in zip(Plan(sweep).blocks(), range(10_000), strict=False)) == 10_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert planned <= 100 * (plan.FULL_FILES + 1)
    assert peak < 2_000_000
    assert time.process_time() - began < 5


# Shards

many = st.one_of(st.integers(1, 12), st.integers(1, 400))
"""Into how many shards."""

starts = st.one_of(st.just(0), st.integers(0, 10**12))


@st.composite
def sharded(draw: st.DrawFn, most: int = 10**9) -> tuple[Sweep, int]:
    """A sweep, and into how many shards it is to be cut."""
    of = draw(many)
    return sweep_of(
        Seeds(start=draw(starts), count=of + int(draw(st.floats(0, 1)) ** 6 * most)), 8000
    ), of


@given(sharded())
def test_shards_are_all_seeds_once(case):
    sweep, of = case
    assert is_one_run(
        [shard(sweep, number, of) for number in range(1, of + 1)],
        sweep.seeds.start,
        sweep.seeds.count,
    )


@given(sharded())
def test_shards_are_of_about_one_size(case):
    """Two differ by at most one seed, or by less than a quarter of what each has on average: an
    eighth where seeds begin at 0."""
    sweep, of = case
    counts = [shard(sweep, number, of)[1] for number in range(1, of + 1)]
    difference = max(counts) - min(counts)
    assert difference <= 1 or difference * of * (4 if sweep.seeds.start else 8) < sweep.seeds.count


@given(sharded())
def test_where_there_are_many_seeds_shards_begin_where_blocks_do(case):
    sweep, of = case
    if sweep.seeds.count >= 8 * plan.MIN_SEEDS * of:
        assert all(shard(sweep, number, of)[0] % plan.MIN_SEEDS == 0 for number in range(2, of + 1))


@pytest.mark.parametrize("start", [0, 1000])
def test_a_few_shards_of_many_seeds_begin_where_files_do(start):
    """So that the files of all of them are those of the whole sweep."""
    sweep = sweep_of(Seeds(start=start, count=1_000_000), 10, 8000)
    own = [planned_files(Plan(sweep, seeds=shard(sweep, number, 3))) for number in (1, 2, 3)]
    assert seeds_by_setup([*itertools.chain(*own)]) == seeds_by_setup(
        list(planned_files(Plan(sweep)))
    )


def own_seeds(seeds: Seeds, **counts: int) -> Sweep:
    """A sweep of two budgets and rates, whose grids have so many seeds."""
    return Sweep(
        seeds=seeds,
        setup={"problem": "xor"},
        grid=[
            {"lr": [float(lr[1:])], "updates": [10, 20], "seeds": count}
            for lr, count in counts.items()
        ],
    )


@given(starts, st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5))
def test_each_setup_is_planned_for_its_own_seeds_however_it_is_sharded(start, few, many, of):
    sweep = own_seeds(Seeds(start=start, count=7), _1=few, _2=many)
    of = min(of, sweep.all_seeds.count)
    parts = [Plan(sweep, seeds=shard(sweep, number, of)) for number in range(1, of + 1)]
    for setup in sweep.setups:
        count = few if setup.lr == 1 else many
        assert is_one_run(
            [(file.start, file.runs) for file in Plan(sweep).files(setup)], start, count
        )
        sharded = [(file.start, file.runs) for part in parts for file in part.files(setup)]
        assert is_one_run(sharded, start, count)
        trained = [
            (block.start, block.runs) for block in Plan(sweep).blocks() if setup in block.setups
        ]
        assert is_one_run(trained, start, count)


@given(small_ranges, small_ranges, st.lists(small_ranges, max_size=4))
def test_only_some_seeds_are_planned_as_if_all_others_were_there(wanted, some, present):
    sweep = sweep_of(Seeds(start=wanted[0], count=wanted[1]), 10, 20)
    one, other = sweep.setups
    part = Plan(sweep, {one.identity(): present, "0" * 12: [(0, 100)]}, some)
    both = set(seeds_in([wanted])) & set(seeds_in([some]))
    assert set(seeds_in(part.gaps(one))) == both - set(seeds_in(present))
    assert set(seeds_in(part.gaps(other))) == both
    assert part.runs == len(seeds_in(part.gaps(one))) + len(seeds_in(part.gaps(other)))


@settings(max_examples=50)
@given(sharded(10**6), st.data())
def test_files_of_a_shard_are_those_of_the_sweep_cut_at_its_bounds(case, data):
    sweep, of = case
    first, count = shard(sweep, data.draw(st.integers(1, of)), of)
    cuts = [
        (max(p.start, first), min(p.start + p.runs, first + count))
        for p in planned_files(Plan(sweep))
    ]
    expected = [(start, stop - start) for start, stop in cuts if start < stop]
    assert [(p.start, p.runs) for p in planned_files(Plan(sweep, seeds=(first, count)))] == expected
