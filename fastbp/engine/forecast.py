"""Estimate the memory, disk and time of a sweep before anything is written or trained.

Memory is computed from the arrays that the engine makes; the other constants were measured. Each
estimate should be right within a factor of two.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from heapq import nlargest
from math import inf
from timeit import repeat
from typing import NamedTuple

import numpy as np

from fastbp.config.setup import Setup
from fastbp.engine import block, compile_ahead, machine, tasks
from fastbp.engine.executor_map import Pool
from fastbp.engine.plan import Plan, block_seeds, min_block_seeds, seconds_per_run
from fastbp.engine.rows import kept_outputs
from fastbp.kernels.code_cache import is_on_disk
from fastbp.kernels.measures import MEASURES
from fastbp.schema.errors import StoreFullError, SweepError
from fastbp.schema.text import grouped
from fastbp.store.store import Store

LIBRARIES = 330e6
"""Bytes of a Python process with all packages imported and compiled code loaded."""

CACHED = 8
"""The number of setups and of problems that are kept in memory."""

FILE_BYTES, ROW_BYTES, OUTPUT_BYTES = 12_500, 56, 3.6
"""Bytes of a Parquet file: when it is empty, for each run, and for each output of a run."""

START_SECONDS = 2.0
"""Seconds to import packages, load compiled code, and make tables and a picture."""

STORE_SECONDS = 4e-6
"""Seconds to write one run into its file and to count it in the tables."""

COMPILE_SECONDS, MAX_KEYS = 8.0, 300
"""Seconds to compile a kernel, once on each machine; and of how many kinds of networks kernels are
looked for on disk: each takes a hundredth of a second, and a fifth of a MB."""

MEASURED_SECONDS = 1.0
"""Seconds that may be spent to measure how fast training is."""

SIZE_KEYS = (
    "problem", "targets", "target_kind", "test", "hidden", "batch", "dtype", "schedule",
    "stop", "epochs", "updates",
)  # fmt: skip
"""The keys that memory, files and time depend on."""

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


class StorageNeed(NamedTuple):
    """The numbers of files and bytes that a store still lacks of a sweep."""

    files: int
    bytes: int


class MemoryTerm(NamedTuple):
    """A part of the memory of a sweep: its size, its purpose, and advice how to need less."""

    bytes: float
    what: str
    remedy: str


class TimeEstimate(NamedTuple):
    """The time that the missing runs of a sweep take.

    Attributes
    ----------
    all_but_compiling : float
        Seconds to start, train and store; an upper bound if runs may stop early.
    compiling : float
        Seconds to compile kernels that are not on disk, once on each machine.
    """

    all_but_compiling: float
    compiling: float


# Storage


SimilarSetups = tuple[list[Setup], int]
"""Setups that need the same memory and files, and the number of seeds that each has."""


def _similar_setups(plan: Plan) -> list[SimilarSetups]:
    """Group the setups of a plan: of 10⁵ setups most differ only in a rate or an order."""
    names = ((_size_key(setup), plan.requested(setup)[1]) for setup in plan.sweep.setups)
    return [(setups, seeds) for (_, seeds), setups in grouped(plan.sweep.setups, names).items()]


def _size_key(setup: Setup) -> Hashable:
    return bool(setup.momentum or setup.weight_decay), *(getattr(setup, key) for key in SIZE_KEYS)


def storage(plan: Plan) -> StorageNeed:
    """Estimate the files that the missing runs of a plan will take."""
    files, row_bytes = 0, 0.0
    for setups, _ in _similar_setups(plan):
        size = plan.seeds_per_file(setups[0])
        gaps = [gap for setup in setups for gap in plan.gaps(setup)]
        files += sum((start + seeds - 1) // size - start // size + 1 for start, seeds in gaps)
        each = ROW_BYTES + OUTPUT_BYTES * kept_outputs(setups[0])
        row_bytes += each * sum(seeds for _, seeds in gaps)
    return StorageNeed(files, int(row_bytes + files * FILE_BYTES))


# Memory


def memory(plan: Plan, pool: Pool, stored: bool, frame: bool) -> list[MemoryTerm]:
    """Estimate the parts of the peak memory of all processes on this machine.

    Parameters
    ----------
    plan : Plan
        The sweep and its stored runs.
    pool : Pool
        The workers. Workers on other machines take no memory here.
    stored, frame : bool
        Whether rows go into a store; whether `fastbp.run` returns them all as one DataFrame.
    """
    groups = _similar_setups(plan)
    examples = [(setups[0], seeds) for setups, seeds in groups]
    blocks = sum(len(setups) * -(-seeds // min_block_seeds(setups[0])) for setups, seeds in groups)
    at_once = min(pool.workers if pool.shares_memory else pool.processes, blocks)
    budgets = len({setup.budget for setup, _ in examples})  # of runs that are trained together
    training = max(_training_bytes(setup, budgets > 1) for setup, _ in examples)
    rates = [8.0 * tasks.rate_count(setups[0]) for setups, _ in groups for _ in setups[:CACHED]]
    tables = [  # as given, as trained, and the targets
        24.0 * setup.rows * (setup.shape[1] + setup.shape[2]) for setup, _ in examples
    ]
    rows = max(
        (at_once + 1) * min(seeds, block_seeds(setup)) * budgets * (410 + 12 * kept_outputs(setup))
        + 3 * min(seeds, plan.seeds_per_file(setup)) * (250 + 4 * kept_outputs(setup))
        for setup, seeds in examples
    )
    more = f", in {pool.processes + 1} processes" * bool(pool.processes)
    return [
        MemoryTerm(
            max(LIBRARIES, machine.resident()) + pool.processes * LIBRARIES,
            f"Python and its packages{more}",
            "try --executor threads" if pool.processes else "every sweep needs this much",
        ),
        MemoryTerm(
            at_once * training,
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
        _frame(groups, stored) if frame else _counts(groups),
    ]


def _frame(groups: Sequence[SimilarSetups], stored: bool) -> MemoryTerm:
    """The memory of all runs in Arrow and in pandas. Runs from a store are sorted in a copy."""
    kept = ((len(setups) * seeds, kept_outputs(setups[0])) for setups, seeds in groups)
    total = sum(runs * (660 + (112 + 8 * outputs if outputs else 0)) for runs, outputs in kept)
    return MemoryTerm(
        total * (1.7 if stored else 1.0),
        "the DataFrame",
        "try fewer seeds, or a store and pandas.read_parquet",
    )


def _counts(groups: Sequence[SimilarSetups]) -> MemoryTerm:
    longest, runs = max(s for _, s in groups), sum(len(setups) * s for setups, s in groups)
    return MemoryTerm(
        # not all of the seeds are compared, or not at a time
        min(50 * longest, 2e8) + 5 * longest + 2.25 * runs,
        "counts for the tables",
        "try fewer seeds",
    )


def _training_bytes(setup: Setup, several_budgets: bool) -> float:
    """Bytes to train one block: the lane group, waiting and ended runs, outputs and measures.

    With several budgets, the last epochs of shorter runs are trained in a second group.
    """
    net, lanes = tasks.layout(setup)
    rows, _, units = setup.shape
    item = np.dtype(setup.dtype).itemsize
    measured = tasks.measured_network(setup)
    strip = tasks.kernel_key(setup).strip
    work = strip * (net.work_rows * item + measured.work_rows * (item + 8) + 8 * measured.rows)
    group = lanes * (net.rows * item + 4 * rows) + work
    if setup.stop == "converged":
        group = (
            1 + (setup.budget % setup.updates_per_epoch != 0)
        ) * group + 3 * lanes * net.rows * item
    elif several_budgets:
        group *= 2
    return float(group + lanes * (3 * 8 * rows * units + 8 * MEASURES))


# Too much


def check(plan: Plan, store: Store | None, pool: Pool, frame: bool = False) -> None:
    """Refuse a sweep that needs more memory or disk space than there is.

    Parameters
    ----------
    plan, pool, frame
        As in `memory`.
    store : Store or None
        Where rows go; None if they stay in memory.

    Raises
    ------
    SweepError
        If the sweep takes more memory than there is.
    StoreFullError
        If the missing runs take more bytes or files than the disk has free.
    """
    terms = memory(plan, pool, store is not None, frame)
    free, needed, largest = machine.memory(), sum(term.bytes for term in terms), max(terms)
    if free is not None and needed > free:
        raise SweepError(
            [
                f"the sweep needs {in_bytes(needed)} of memory (most of it for {largest.what}, "
                f"{in_bytes(largest.bytes)}), and {in_bytes(free)} are free: {largest.remedy}"
            ]
        )
    disk = machine.disk(store.path) if store else None
    if not store or not disk:
        return
    need, files = storage(plan), inf if disk.files is None else disk.files
    for is_short, short in (
        (
            need.bytes > disk.bytes,
            f"take {in_bytes(need.bytes)}, and {in_bytes(disk.bytes)} are free",
        ),
        (
            need.files > files,
            f"make {need.files:,} files, and the disk has room for {files:,}",
        ),
    ):
        if is_short:
            raise StoreFullError(
                f"{store.path}: {plan.runs:,} runs {short}: take fewer seeds, or another disk "
                "with -o"
            )


def in_bytes(count: float) -> str:
    """Write a number of bytes with its unit (1 kB = 1,000 bytes), to about two digits."""
    power = 0
    while count >= 999.5 and power < len(UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:,.{1 if power and count < 9.95 else 0}f} {UNITS[power]}"


# Time


def duration(plan: Plan, jobs: int) -> TimeEstimate:
    """Estimate how long the missing runs of a plan take with `jobs` workers.

    The setup that takes longest is trained for a moment, if its compiled code is on disk. Its time,
    divided by that of a formula, corrects the formula.
    """
    blocks = 0
    seconds: defaultdict[Hashable, float] = defaultdict(float)  # by the formula, on one core
    examples: dict[Hashable, Setup] = {}
    for setup, setups, seeds in plan.shares():
        key = _size_key(setup)
        examples.setdefault(key, setup)
        lanes, (fixed, update) = tasks.layout(setup)[1], expected(setup)
        # a lane without a run takes its time as well
        seconds[key] += -(-seeds // lanes) * lanes * (setups * fixed + setup.budget * update)
        blocks += -(-seeds // min_block_seeds(setup))
    step = -(-len(plan.kernel_keys) // MAX_KEYS) or 1
    kernels = (kernel for key in plan.kernel_keys[::step] for kernel in tasks.kernels(key)[1:])
    missing = step * sum(not is_on_disk(kernel) for kernel in set(kernels))
    training = sum(seconds.values()) / max(1, min(jobs, blocks))
    longest = examples.get(max(seconds, key=seconds.__getitem__, default=None))
    if longest and all(map(is_on_disk, tasks.kernels(tasks.kernel_key(longest))[1:])):
        compile_ahead.warm_up(tasks.kernel_key(longest))
        training *= slowness(longest) or 1.0
    return TimeEstimate(
        START_SECONDS + plan.runs * STORE_SECONDS + training, COMPILE_SECONDS * missing
    )


def expected(setup: Setup) -> tuple[float, float]:
    """Estimate the seconds of a run by a formula for one core with AVX-512.

    Returns
    -------
    fixed, update : float
        Seconds for the beginning and end of the run, and for each update.
    """
    # at its end, outputs for all rows are measured, held-out ones included
    each_row = (50 * setup.shape[2] + setup.parameters) / (1 - (setup.test or 0))
    fixed = (1000 + 60 * setup.parameters + setup.rows * each_row) * 1e-9
    start, update = seconds_per_run(setup, 0), seconds_per_run(setup, 1)
    # Twice as many float32 lanes fit into a register.
    return fixed + start, (update - start) * (0.5 if setup.dtype == "float32" else 1.0)


def slowness(setup: Setup) -> float | None:
    """Train a setup for some milliseconds. Returns its time divided by that of `expected`.

    None if that would take too long. Most of the time goes into updates, since the formula is less
    certain about the beginning and the end of a run.
    """
    (fixed, update), lanes = expected(setup), tasks.layout(setup)[1]
    most = int(max(2e-3 / lanes, 4 * fixed) / update)
    short = setup.replaced(
        epochs=None, updates=max(1, min(setup.budget, most)), schedule="constant"
    )
    seconds = lanes * (fixed + short.budget * update)
    if 2 * seconds > 0.7 * MEASURED_SECONDS:
        return None
    # the better of two: the first may be disturbed
    return min(repeat(lambda: block.train(short, 0, lanes), repeat=2, number=1)) / seconds
