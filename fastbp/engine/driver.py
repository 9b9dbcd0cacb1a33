"""Train the missing runs of a sweep on all cores, store them, and report progress."""

import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fastbp.config.sweep import Sweep
from fastbp.engine import backends, block, forecast
from fastbp.engine.compile_ahead import warm_up
from fastbp.engine.executor_map import Pool, completed
from fastbp.engine.machine import available_cores, cpu_name
from fastbp.engine.plan import Block, Plan, PlannedFile
from fastbp.engine.rows import to_arrow
from fastbp.schema.errors import OtherWorkerError, StoreError, SweepError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.text import shown
from fastbp.store.load import frame, read_all
from fastbp.store.safe_files import MAX_SWEEP, held
from fastbp.store.store import Store, is_written


@dataclass
class Progress:
    """The progress of a sweep, for `drive(tick=…)`.

    Attributes
    ----------
    runs, done : int
        The numbers of runs to train, and of finished runs.
    updates : int
        The updates that finished runs took: fewer than `budget` if runs stop when they converge.
    budget, total_budget : int
        The most updates that finished runs, and all runs, can take.
    started : float
        When the phase began, on the clock of `time.perf_counter`.
    phase : str
        The current step: planning, compiling or training.
    """

    runs: int = 0
    done: int = 0
    updates: int = 0
    budget: int = 0
    total_budget: int = 0
    started: float = field(default_factory=time.perf_counter)
    phase: str = "planning"

    @property
    def seconds(self) -> float:
        """Seconds since the phase began."""
        return time.perf_counter() - self.started

    def add(self, trained: Block, tables: list[pa.Table]) -> None:
        """Count a block that was trained."""
        self.done += trained.runs * len(tables)
        self.updates += pc.sum(tables[0]["updates_done"]).as_py()
        self.budget += trained.runs * trained.setups[0].budget


class Trained(NamedTuple):
    """The result of `drive`.

    Attributes
    ----------
    runs : int
        The number of trained runs.
    updates : int
        The updates that were computed. The rows may count more, since setups that differ only in
        their budget are trained together.
    seconds : dict
        The time of each phase: `compile` (or load), `train` (most files are written meanwhile) and
        `write` (the other files).
    failed : list of str
        A line for each setup of a block that failed.
    """

    runs: int
    updates: int
    seconds: dict[str, float]
    failed: list[str]

    @property
    def speed(self) -> float | None:
        """Updates per second; 0 or None without updates, and by a clock that stands still."""
        return self.updates and self.seconds.get("train") and self.updates / self.seconds["train"]


def add_up(parts: Sequence[Trained]) -> Trained:
    """Add up the results of several calls of `drive`, made one after the other."""
    phases = dict.fromkeys(phase for part in parts for phase in part.seconds)
    seconds = {phase: sum(part.seconds.get(phase, 0.0) for part in parts) for phase in phases}
    runs, updates = (sum(each) for each in zip(*(part[:2] for part in parts), strict=True))
    return Trained(runs, updates, seconds, [line for part in parts for line in part.failed])


def train_block(
    part: Block, stopped: Callable[[int], bool] = lambda updates: False
) -> list[pa.Table]:
    """Train a block in a worker. Returns a table of rows for each of its files, in their order."""
    trained = block.train_at_once(
        part.setups, range(part.start, part.start + part.runs), stopped=stopped
    )
    return [
        to_arrow(setup, part.start, rows) for setup, rows in zip(part.setups, trained, strict=True)
    ]


class _FileWriter:
    """Joins the rows of blocks to files, and writes the files on threads while others train."""

    def __init__(self, store: Store | None, keep: Callable[[pa.Table], None], threads: int) -> None:
        self._store, self._keep, self._threads = store, keep, threads
        self._parts: dict[PlannedFile, dict[int, pa.Table]] = {}
        self._writing: deque[Future[Any]] = deque()
        self._executor = ThreadPoolExecutor(threads, "fastbp-store")

    def add(self, trained: Block, tables: list[pa.Table]) -> None:
        """Add the rows of a block to its files, and publish those that are complete."""
        for file, table in zip(trained.files, tables, strict=True):
            parts = self._parts.setdefault(file, {})
            parts[trained.start] = table
            if sum(part.num_rows for part in parts.values()) == file.runs:
                self._publish(file, self._parts.pop(file))

    def _publish(self, file: PlannedFile, parts: dict[int, pa.Table]) -> None:
        rows = pa.concat_tables([parts[start] for start in sorted(parts)])
        rows = rows.unify_dictionaries().combine_chunks()
        if self._store:
            self._writing.append(
                self._executor.submit(
                    self._store.publish,
                    file.setup.identity(),
                    file.start,
                    rows,
                    problem=file.setup.prepared().digest,
                )
            )
            if len(self._writing) > self._threads:  # more would fill the memory with rows
                self._writing.popleft().result()
        self._keep(rows)

    def finish(self) -> None:
        """Wait for all files. Raises the error of a file that failed, such as StoreFullError."""
        while self._writing:
            self._writing.popleft().result()

    def close(self) -> None:
        """Wait for the files that are being written, and ignore their errors."""
        self._executor.shutdown()


def drive(
    plan: Plan,
    store: Store | None = None,
    *,
    keep: Callable[[pa.Table], None] = lambda rows: None,
    pool: Pool | None = None,
    tick: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train the missing runs of a sweep.

    Parameters
    ----------
    plan : Plan
        Says which runs are missing.
    store : Store, optional
        Gets the rows. The caller must hold its lock.
    keep : callable
        Called with the rows of each complete file.
    pool : Pool, optional
        The workers, which are ended afterwards; by default threads on all cores.
    tick : callable
        Called ten times a second. An exception that it raises ends the sweep; published files stay.

    Raises
    ------
    StoreError, StoreFullError, OtherWorkerError, LostError
        If the store or the workers cannot be used, or no longer.
    """
    if not plan.runs:
        return Trained(0, 0, {"train": 0.0}, [])
    if store:
        store.check_collapse(plan.collapses)
    pool, stop = pool or backends.pool(), threading.Event()
    progress = Progress(plan.runs, total_budget=plan.updates, phase="compiling")
    files = _FileWriter(store, keep, min(pool.workers, available_cores()))
    try:
        _compile(plan, pool, partial(tick, progress))
        seconds = {"compile": progress.seconds}
        progress.phase, progress.started = "training", time.perf_counter()
        failed = _train(plan, pool, files, progress, partial(tick, progress), stop)
        seconds["train"] = progress.seconds
        files.finish()
        seconds["write"] = progress.seconds - seconds["train"]
    finally:
        stop.set()
        files.close()
        pool.close()  # does not wait for blocks or compilers, which may take long
    if store and not failed:
        _check_stored(plan, store)
    return Trained(progress.done, progress.updates, seconds, failed)


def _check_stored(plan: Plan, store: Store) -> None:
    """Raise StoreError if runs that were written are no longer in the store."""
    if gone := Plan(plan.sweep, store.present(), plan.seeds).runs:
        raise StoreError(
            f"{gone:,} runs that were written to {store.runs} are gone: "
            "the same command trains them again"
        )


def _compile(plan: Plan, pool: Pool, tick: Callable[[], None]) -> None:
    """Compile the kernels once, then load them in every worker process."""
    work, rounds = warm_up, [plan.kernel_keys]
    if not pool.shares_memory:
        work = partial(backends.in_worker, warm_up, backends.versions())
        rounds.append(plan.kernel_keys * pool.workers)
    for keys in rounds:
        for _, future in completed(pool, work, keys, tick):
            future.result()


def _train(
    plan: Plan,
    pool: Pool,
    files: _FileWriter,
    progress: Progress,
    tick: Callable[[], None],
    stop: threading.Event,
) -> list[str]:
    """Train all blocks. Returns a line for each setup of a block that failed."""
    # Threads can be asked to stop, and have this version. Other workers can only be ended.
    work: Callable[[Block], Any] = (
        partial(train_block, stopped=lambda updates: stop.is_set())
        if pool.shares_memory
        else partial(backends.in_worker, train_block, backends.versions())
    )
    failed: list[str] = []
    for part, future in completed(
        pool, work, plan.blocks(pool.workers), tick, size=lambda each: each.seconds
    ):
        error = future.exception()
        if isinstance(error, Exception) and not isinstance(error, OtherWorkerError):
            failed += [
                f"setup {setup.identity()}, seeds {part.start} to {part.start + part.runs - 1}: "
                f"{type(error).__name__}: {error}"
                for setup in part.setups
            ]
        else:
            tables = future.result()
            progress.add(part, tables)
            files.add(part, tables)
    return failed


def run(
    sweep: Sweep,
    store: str | os.PathLike[str] | None = None,
    executor: Executor | str | None = None,
) -> pd.DataFrame:
    """Train a sweep and return its runs.

    Parameters
    ----------
    sweep : Sweep
        The setups and seeds to train.
    store : path, optional
        A folder that keeps the runs. Runs that it has already are not trained again. By default
        runs are kept in memory only.
    executor : Executor or str, optional
        Any `concurrent.futures.Executor`, or a value of `--executor`. By default threads on all
        cores.

    Returns
    -------
    pd.DataFrame
        One row for each run, in the order of the sweep's setups and seeds, with the columns of
        `fastbp.schema.columns`.

    Raises
    ------
    SweepError
        If the sweep takes more memory than there is, or there is no such executor.
    StoreError, StoreFullError
        If the store cannot be used, or is full.
    OtherWorkerError, LostError
        If workers have other versions, or are lost again and again.
    RuntimeError
        If a block failed.
    """
    if not isinstance(sweep, Sweep):
        raise TypeError(
            f"sweep: given {shown(sweep)}, allowed: a Sweep (Sweep.from_toml reads a file, "
            "Sweep.from_dict a dictionary)"
        )
    pool = backends.pool(executor or "threads")
    return (
        _run_in_memory(sweep, pool) if store is None else _run_in_store(sweep, Store(store), pool)
    )


def _run_in_memory(sweep: Sweep, pool: Pool) -> pd.DataFrame:
    plan, kept = Plan(sweep), list[pa.Table]()
    forecast.check(plan, None, pool, frame=True)
    _raise_failed(drive(plan, keep=kept.append, pool=pool))
    order = {setup.identity(): i for i, setup in enumerate(sweep.setups)}
    kept.sort(key=lambda rows: (order[rows["setup"][0].as_py()], rows["seed"][0].as_py()))
    return frame(pa.concat_tables(kept).unify_dictionaries())


def _run_in_store(sweep: Sweep, store: Store, pool: Pool) -> pd.DataFrame:
    with held(store.path):
        store.check_usable()
        # Nothing is written before everything is checked.
        forecast.check(Plan(sweep, store.present()), store, pool, frame=True)
        with store.locked():
            write_sweep(sweep, store)
            _raise_failed(drive(Plan(sweep, store.present()), store, pool=pool))
    return _rows_of_sweep(frame(read_all(store.path)), sweep)


def _raise_failed(trained: Trained) -> None:
    if trained.failed:
        raise RuntimeError("\n".join(trained.failed))


def _rows_of_sweep(stored: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """Select the rows of a sweep from those of a store, in the order of its setups and seeds."""
    ids = pd.Index([setup.identity() for setup in sweep.setups])
    setups, seeds = ids.get_indexer(pd.Index(stored["setup"])), stored["seed"].to_numpy()
    stops = np.array([sweep.seeds_of(setup).stop for setup in sweep.setups])
    wanted = (setups >= 0) & (seeds >= sweep.seeds.start) & (seeds < stops[setups])
    order = np.lexsort((seeds, setups))
    return stored.take(order[wanted[order]]).reset_index(drop=True)


def write_sweep(sweep: Sweep, store: Store) -> None:
    """Write what a sweep is into a store: `sweep.toml`, unless it is there, and the problems.

    Raises SweepError if no command would read that file, as it is too large.
    """
    file, content = store.path / "sweep.toml", sweep.to_toml(store.path).encode()
    if len(content) > MAX_SWEEP:
        raise SweepError(
            [
                f"{file}: given {len(content):,} bytes of keys, ids of setups and paths of tables, "
                f"allowed: at most {MAX_SWEEP:,}"
            ]
        )
    if not is_written(file, content, store.path):
        store.write(file, content)
    write_problems(sweep, store)


def write_problems(sweep: Sweep, store: Store) -> None:
    """Write each problem of a sweep to `problems/`: X, T and names as they are trained.

    Runs can then be trained again without the user's file.
    """
    for setup in {setup.data_key: setup for setup in sweep.setups}.values():
        problem = setup.prepared()
        target = store.path / "problems" / f"{problem.digest}.npz"
        if not target.exists():
            store.write(target, problem.to_npz())


def made_entry(trained: Trained, jobs: int) -> dict[str, Any]:
    """Describe how runs were made, for `store.provenance`: versions, processor, times, speed."""
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "numerics": NUMERICS_VERSION,
        "python": platform.python_version(),
        "versions": backends.package_versions(
            ("numpy", "numba", "llvmlite", "pandas", "pyarrow", "scipy", "matplotlib")
        ),
        "cpu": cpu_name(),
        "jobs": jobs,
        "runs": trained.runs,
        "updates": trained.updates,
        "seconds": {phase: round(seconds, 3) for phase, seconds in trained.seconds.items()},
        "updates_per_second": round(trained.speed) if trained.speed else None,
    }
