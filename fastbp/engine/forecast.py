"""What a sweep will take: memory, disk and time. It is asked before anything is written or trained.

Sizes are those of the arrays that the engine makes, the rest is measured; all are meant to be right
within a factor of two.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from heapq import nlargest
from typing import NamedTuple

import numpy as np

from fastbp.config.setup import Setup
from fastbp.config.sweep import Sweep
from fastbp.engine import block, compile_ahead, lane_group, machine, plan
from fastbp.engine.plan import block_seeds, cut, file_seeds, least_block_seeds, shares
from fastbp.engine.rows import kept_outputs
from fastbp.kernels.code_cache import is_on_disk
from fastbp.kernels.measures import MEASURES
from fastbp.kernels.tiles import work_size
from fastbp.schema.errors import StoreFullError, SweepError
from fastbp.store.filename import Range
from fastbp.store.store import Store

LIBRARIES = 330e6
"""Bytes of Python and its packages, all imported, with compiled code."""

CACHED = 8
"""Setups and problems that are kept ready."""

FILE_BYTES, ROW_BYTES, OUTPUT_BYTES = 12_500, 56, 3.6
"""Of a Parquet file of runs: by itself, for each run, and for each output that is stored with
it."""

START_SECONDS = 2.0
"""To import packages, to load compiled code, and for tables and a picture."""

STORE_SECONDS = 4e-6
"""To bring one run into its file and into the tables."""

COMPILE_SECONDS = 18.0
"""To compile the kernels for a dtype and a number of lanes, once for a machine."""

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")

MEASURED_SECONDS = 1.0
"""For measuring how long training takes."""


class StorageNeed(NamedTuple):
    """What is still to be stored of a sweep: runs, files, and their bytes."""

    runs: int
    files: int
    bytes: int


class MemoryTerm(NamedTuple):
    """A share of the memory: what it is, and what makes it less."""

    bytes: float
    what: str
    remedy: str


def kinds(sweep: Sweep) -> list[list[Setup]]:
    """The setups of a sweep, those together that take the same: of 10⁵ setups most differ in a rate
    or an order.
    """
    found: dict[Hashable, list[Setup]] = {}
    for setup in sweep.setups:
        found.setdefault((_kind(setup), sweep.seeds_of(setup).count), []).append(setup)
    return list(found.values())


def _kind(s: Setup) -> Hashable:
    kept = bool(s.momentum or s.weight_decay)
    return (
        s.problem,
        s.targets,
        s.hidden,
        s.batch,
        kept,
        s.dtype,
        s.schedule,
        s.stop,
        s.epochs,
        s.updates,
    )


def outstanding(
    sweep: Sweep, present: Mapping[str, Sequence[Range]]
) -> list[tuple[Setup, list[Range]]]:
    """One setup of each kind, and the ranges of seeds that setups of this kind have still to run.

    `present`: which seeds of each setup there are.
    """
    if not present:  # an id for each setup would take longer than all the rest
        return [
            (kind[0], [(sweep.seeds.start, sweep.seeds_of(kind[0]).count)] * len(kind))
            for kind in kinds(sweep)
        ]
    return [
        (kind[0], [gap for s in kind for gap in plan.outstanding(s, sweep, present)])
        for kind in kinds(sweep)
    ]


def size(sweep: Sweep, present: Mapping[str, Sequence[Range]]) -> StorageNeed:
    """What is still to be stored of a sweep."""
    runs = files = 0
    total = 0.0
    for setup, gaps in outstanding(sweep, present):
        own = sum(count for _, count in gaps)
        seeds = file_seeds(setup, sweep.seeds_of(setup).count, len(sweep.setups))
        runs += own
        files += sum(1 for gap in gaps for _ in cut(*gap, seeds))
        total += own * (ROW_BYTES + OUTPUT_BYTES * kept_outputs(setup))
    return StorageNeed(runs, files, int(total + files * FILE_BYTES))


# Memory


def memory(
    sweep: Sweep, workers: int, stored: bool, frame: bool, processes: int = 0
) -> list[MemoryTerm]:
    """The parts of the memory at its peak.

    `workers`: blocks that are trained at once in this process; `processes`: others of this machine
    that train one each; `stored`: whether rows go into a store; `frame`: whether all come back as a
    DataFrame, as from `fastbp.run`.
    """
    every = [(sweep.seeds_of(kind[0]).count, kind) for kind in kinds(sweep)]
    at_once = min(
        workers + processes,
        sum(len(kind) * -(-seeds // least_block_seeds(kind[0])) for seeds, kind in every),
    )
    budgets = len({kind[0].budget for _, kind in every})  # of runs that are trained as one
    work = max(_work_bytes(kind[0], budgets > 1) for _, kind in every)
    rates = [
        float(r) for _, kind in every for r in [_rates_bytes(kind[0])] * min(len(kind), CACHED)
    ]
    tables = [
        24.0 * s.rows * (s.shape[1] + s.shape[2]) for _, (s, *_) in every
    ]  # as given, as trained, as targets
    rows = max(
        (at_once + 1) * min(seeds, block_seeds(s)) * budgets * (410 + 12 * kept_outputs(s))
        + 3 * min(seeds, file_seeds(s, seeds, len(sweep.setups))) * (250 + 4 * kept_outputs(s))
        for seeds, (s, *_) in every
    )
    whole = sum(len(kind) * seeds * _frame_bytes(kind[0], stored) for seeds, kind in every)
    most = sweep.all_seeds.count
    return [
        MemoryTerm(
            max(LIBRARIES, machine.resident()) + processes * LIBRARIES,
            "Python and its packages" + f", in {processes + 1} processes" * bool(processes),
            "try --executor threads" if processes else "no sweep takes less",
        ),
        MemoryTerm(
            at_once * work,
            f"networks in training, on {at_once:,} core{'s' * (at_once > 1)}",
            "try smaller hidden layers or problems, float32, or a lower -j",
        ),
        MemoryTerm(
            sum(nlargest(CACHED, rates)) + at_once * max(rates),
            "learning rates of every epoch",
            "try fewer epochs, or a constant schedule",
        ),
        MemoryTerm(sum(nlargest(CACHED, tables)), "problems", "try smaller problems"),
        MemoryTerm(rows, "rows before they are stored", "try fewer seeds"),
        MemoryTerm(whole, "the DataFrame", "try fewer seeds, or a store and pandas.read_parquet") if frame
        else MemoryTerm(50 * most + sweep.runs / 8, "counts for the tables", "try fewer seeds"),
    ]  # fmt: skip


def _work_bytes(setup: Setup, others: bool) -> float:
    """What training a block takes: the group and its scratch, runs to come and ended ones, outputs
    and what judges them.

    `others`: whether other runs end on the way, in a group of their own.
    """
    net, lanes = lane_group.layout(setup)
    rows, _, units = setup.shape
    item = np.dtype(setup.dtype).itemsize
    measured = lane_group.measured_network(setup)
    samples = work_size(net.samples.rows, lanes, item) * item
    samples += work_size(measured.samples.rows, lanes, item) * (item + 8)
    group = lanes * (net.rows * item + 4 * rows + 8 * measured.rows) + samples
    if setup.stop == "converged":
        cut_short = setup.budget % setup.updates_per_epoch != 0  # for which there is a second group
        group = (1 + cut_short) * group + 3 * lanes * net.rows * item
    elif others:
        group *= 2
    return float(group + lanes * (3 * 8 * rows * units + 8 * MEASURES))


def _rates_bytes(setup: Setup) -> int:
    if setup.schedule == "constant":
        return 8
    return 8 * (setup.warmup + 1 if setup.schedule.startswith("constant:") else setup.epochs_budget)


def _frame_bytes(setup: Setup, stored: bool) -> float:
    """Of a run: as Arrow and as pandas, which makes an array of the outputs of each; sorted once
    more where it is read.
    """
    kept = kept_outputs(setup)
    return (660 + (112 + 8 * kept if kept else 0)) * (1.7 if stored else 1.0)


def check(
    sweep: Sweep, store: Store | None, workers: int, frame: bool = False, processes: int = 0
) -> None:
    """Refuse a sweep that takes more than there is. Raises SweepError for memory and StoreFullError
    for the disk.
    """
    for line in too_much_memory(memory(sweep, workers, store is not None, frame, processes)):
        raise SweepError([line])
    if store:
        there = machine.disk(store.path)
        whole = size(sweep, {})
        if too_much_disk(whole, there, store):  # perhaps most of it is there already
            for line in too_much_disk(size(sweep, store.present()), there, store):
                raise StoreFullError(line)


def too_much_memory(parts: Sequence[MemoryTerm]) -> list[str]:
    """A line where memory is short: how much there is, and what takes most of it."""
    free, needed, largest = machine.memory(), sum(part.bytes for part in parts), max(parts)
    if free is None or needed <= free:
        return []
    most = f"most of it for {largest.what}, {in_bytes(largest.bytes)}"
    return [
        f"memory: given a sweep that takes {in_bytes(needed)} ({most}), allowed: {in_bytes(free)}; {largest.remedy}"
    ]


def too_much_disk(wanted: StorageNeed, there: machine.Disk | None, store: Store) -> list[str]:
    """A line where the disk is short of bytes or of files."""
    if there and wanted.bytes > there.bytes:
        takes = f"{wanted.runs:,} runs take {in_bytes(wanted.bytes)}, and {in_bytes(there.bytes)} are free"
    elif there and there.files is not None and wanted.files > there.files:
        takes = f"{wanted.runs:,} runs make {wanted.files:,} files, and the disk has room for {there.files:,}"
    else:
        return []
    return [f"{store.path}: {takes}: take fewer seeds, or another disk with -o"]


def in_bytes(count: float) -> str:
    """A number of bytes, in words: two digits, as it is an estimate."""
    power = 0
    while count >= 999.5 and power < len(UNITS) - 1:
        count, power = count / 1000, power + 1
    return (
        f"{count:.1f} {UNITS[power]}" if power and count < 9.95 else f"{count:,.0f} {UNITS[power]}"
    )


# Time


class Speed(NamedTuple):
    """Seconds of a run on one core: for its beginning and its end, and for each update."""

    ends: float
    update: float


class TimeEstimate(NamedTuple):
    """What making the missing part of a sweep takes: updates and seconds, both at most where runs
    may stop early, and seconds of compiling before it.
    """

    updates: int
    all_but_compiling: float
    compiling: float


def duration(sweep: Sweep, present: Mapping[str, Sequence[Range]], jobs: int) -> TimeEstimate:
    """How long what is missing of a sweep takes with so many blocks at once.

    Where compiled code is on disk, the setups that weigh most are tried for a moment; for the
    others there is a formula.
    """
    runs = updates = blocks = 0
    weights: dict[Hashable, float] = {}
    examples: dict[Hashable, Setup] = {}
    for setups, _, seeds in shares(sweep, present):
        setup = examples.setdefault(_kind(setups[0]), setups[0])
        lanes, expected = lane_group.layout(setup)[1], guess(setup)
        side_by_side = (
            -(-seeds // lanes) * lanes
        )  # a lane without a run takes its time all the same
        weight = side_by_side * (_whole(expected, setup) + (len(setups) - 1) * expected.ends)
        weights[_kind(setup)] = weights.get(_kind(setup), 0.0) + weight
        runs += seeds * len(setups)
        updates += seeds * setup.budget
        blocks += -(-seeds // least_block_seeds(setup))
    ready = {
        kind: _on_disk(kind)
        for kind in {lane_group.kernel_key(setup) for setup in examples.values()}
    }
    left, tried, took = MEASURED_SECONDS, 0.0, 0.0
    for kind in sorted(weights, key=weights.__getitem__, reverse=True):
        weight, setup = weights[kind], examples[kind]
        if left <= 0:
            break
        if ready[lane_group.kernel_key(setup)]:
            compile_ahead.warm_up(lane_group.kernel_key(setup))
            began = time.perf_counter()
            if found := measured(setup):
                tried += weight
                took += weight * _whole(found, setup) / _whole(guess(setup), setup)
            left -= time.perf_counter() - began
    ratio = took / tried if tried else 1.0
    training = ratio * sum(weights.values()) / max(1, min(jobs, blocks))
    compiling = COMPILE_SECONDS * sum(not there for there in ready.values())
    return TimeEstimate(updates, START_SECONDS + runs * STORE_SECONDS + training, compiling)


def _whole(speed: Speed, setup: Setup) -> float:
    return speed.ends + setup.budget * speed.update


def _on_disk(kind: lane_group.KernelKey) -> bool:
    trainer, measure = (
        lane_group.trainer(kind.lanes, kind.online),
        lane_group.measurer(kind.lanes),
    )
    return is_on_disk(trainer, kind.dtype) and is_on_disk(measure, kind.dtype)


def guess(setup: Setup) -> Speed:
    """A formula for one core with AVX-512: a parameter costs some 0.25 ns a presentation."""
    each = (1.5 + 0.25 * setup.parameters) * 1e-9
    ends = (1000 + 60 * setup.parameters + setup.rows * (50 + setup.parameters)) * 1e-9
    return Speed(ends, setup.batch_rows * each * (0.5 if setup.dtype == "float32" else 1.0))


def measured(setup: Setup) -> Speed | None:
    """Train the first runs of a setup for some milliseconds. None where that would take longer."""
    expected, lanes = guess(setup), lane_group.layout(setup)[1]
    few = max(1, min(setup.budget, int(2e-3 / (lanes * expected.update))))
    many = min(setup.budget, 4 * few)
    if 2 * lanes * (2 * expected.ends + (few + many) * expected.update) > 0.7 * MEASURED_SECONDS:
        return None
    short, longer = (_best_of_two(setup, updates, lanes) for updates in (few, many))
    update = (longer - short) / (many - few) if many > few else expected.update
    if update <= 0:  # disturbed
        update = longer / many
    return Speed(max(short - few * update, 0.0), update)


def _best_of_two(setup: Setup, updates: int, lanes: int) -> float:
    """Seconds of a run of so many updates, on one core."""
    one = setup.model_copy(update={"epochs": None, "updates": updates, "schedule": "constant"})
    times = []
    for _ in range(2):
        began = time.perf_counter()
        block.train(one, 0, lanes)
        times.append(time.perf_counter() - began)
    return min(times) / lanes
