"""The driver: plan what is missing, train it on all cores, publish it, and say so."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastbp import __version__
from fastbp.config.sweep import Sweep
from fastbp.engine import backends, block, compile_ahead, forecast, lane_group
from fastbp.engine.executor_map import Pool, completed
from fastbp.engine.machine import available_cores
from fastbp.engine.plan import Block, Present, blocks, only, shares, work
from fastbp.engine.rows import to_arrow
from fastbp.schema import errors
from fastbp.schema.errors import StoreError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.text import shown
from fastbp.store import parquet
from fastbp.store.filename import Range
from fastbp.store.load import frame
from fastbp.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
from fastbp.engine.machine import cpu_name


@dataclass
class Progress:
    """How far a sweep is, for whoever shows it."""

    runs: int = 0
    """Runs still to be trained when the sweep began."""
    done: int = 0
    updates: int = 0
    """Updates made so far."""
    budget: int = 0
    """Updates that the runs done so far might have made: more than they made, where runs stop once
    they have converged."""
    whole_budget: int = 0
    started: float = field(default_factory=time.perf_counter)
    phase: str = "planning"

    @property
    def seconds(self) -> float:
        """Since training began."""
        return time.perf_counter() - self.started


def rows_of(
    part: Block, driver: dict[str, str] | None = None, stopped: Callable[[], bool] = lambda: False
) -> list[pa.Table]:
    """Train a block, for each of its files: all that an executor is asked to do, wherever it does
    it.

    Raises OtherWorkerError where the `driver` has other versions than this process.
    """
    if driver:
        backends.compare(driver)
    trained = block.train_at_once(part.setups, part.start, part.runs, stopped=stopped)
    return [
        to_arrow(setup, part.start, rows) for setup, rows in zip(part.setups, trained, strict=True)
    ]


def prepare(kind: lane_group.KernelKey, driver: dict[str, str] | None = None) -> None:
    """Have a worker compile, or load, the kernels of a kind. Raises OtherWorkerError as `rows_of`
    does.
    """
    if driver:
        backends.compare(driver)
    compile_ahead.warm_up(kind)


class Trained(NamedTuple):
    """What a driver did."""

    runs: int
    updates: int
    """Made, which are fewer than the rows tell where setups that differ in their budget alone were
    trained at once."""
    files: int
    seconds: dict[str, float]
    """Of each phase, one after the other: `compile` (or load), `train` (most files are written
    meanwhile) and `write` (those that are left)."""
    failed: list[str]


def drive(
    sweep: Sweep,
    store: Store | None = None,
    *,
    keep: Callable[[pa.Table], None] = lambda rows: None,
    pool: Pool | None = None,
    seeds: Range | None = None,
    tick: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train what is missing of a sweep.

    Rows go into `store`, where one is given, and file by file to `keep`. `pool`: who trains blocks,
    by default threads on all cores that this process may use. `seeds`: only these of the sweep's,
    as of a shard. `tick` is called about ten times a second with the progress; what it raises ends
    the sweep within the time of one slice, and everything published so far stays. Raises
    StoreError, StoreFullError, OtherWorkerError, and LostError where workers are lost while they
    only prepare.
    """
    began = time.perf_counter()
    pool = pool or backends.threads(available_cores())
    progress = Progress()
    stop = threading.Event()
    seconds: dict[str, float] = {}

    def present() -> Present:
        there = store.present() if store else {}
        return only(sweep, there, seeds) if seeds else there

    try:
        before = present()
        progress.runs, progress.whole_budget = _outstanding(sweep, before)
        if not progress.runs:
            return Trained(0, 0, 0, {"train": 0.0}, [])
        if store:
            _same_collapse(sweep, store, before)
        progress.phase = "compiling"
        # Threads hear the wish to stop and are of this process; what runs elsewhere can only be
        # ended, and may be anything.
        driver = None if pool.shares_memory else backends.versions()
        once = _warm_ups(sweep)  # which leaves the code on disk, for the other workers
        for kinds in (once, [] if pool.shares_memory else once * pool.workers):
            for _, future in completed(
                pool, partial(prepare, driver=driver), kinds, lambda: tick(progress)
            ):
                future.result()
        seconds["compile"] = time.perf_counter() - began
        progress.phase, progress.started = "training", time.perf_counter()
        train = (
            partial(rows_of, stopped=stop.is_set)
            if pool.shares_memory
            else partial(rows_of, driver=driver)
        )
        files, failed, writing = _train(sweep, store, before, pool, train, progress, keep, tick)
        seconds |= {"train": progress.seconds - writing, "write": writing}
    finally:
        stop.set()
        pool.close()  # not waited for: whoever interrupts a sweep does not want to see a block or a compiler finish
    if store and not failed and (gone := _outstanding(sweep, present())[0]):
        raise StoreError(
            f"{store.runs} lacks {gone:,} runs that were written there: the same command makes them anew"
        )
    return Trained(progress.done, progress.updates, files, seconds, failed)


def _outstanding(sweep: Sweep, present: Present) -> tuple[int, int]:
    """Runs that are still to be done, and the updates that may have to be made for them."""
    runs = updates = 0
    for setups, _, seeds in shares(sweep, present):
        runs += seeds * len(setups)
        updates += seeds * setups[0].budget
    return runs, updates


def _same_collapse(sweep: Sweep, store: Store, present: Present) -> None:
    """Raise StoreError where runs would be added to others whose outcomes mean something else:
    `collapse` is in no setup's id.
    """
    incomplete = {
        s.identity(): s.collapse for setups, _, _ in shares(sweep, present) for s in setups
    }
    for identity, there in store.collapses(incomplete):
        if there != incomplete[identity]:
            raise StoreError(
                f"{store.path} has runs of setup {identity} whose outcomes are those of collapse = {there}, "
                f"not {incomplete[identity]}: choose another folder with -o"
            )


def _warm_ups(sweep: Sweep) -> list[lane_group.KernelKey]:
    """The kernels that a sweep needs."""
    return sorted({lane_group.kernel_key(setup) for setup in sweep.setups})


def _train(
    sweep: Sweep,
    store: Store | None,
    present: Present,
    pool: Pool,
    train: Callable[[Block], list[pa.Table]],
    progress: Progress,
    keep: Callable[[pa.Table], None],
    tick: Callable[[Progress], None],
) -> tuple[int, list[str], float]:
    """Returns how many files there are, the blocks that failed, and the seconds in which there was
    nothing to do but to write.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts: dict[tuple[str, int], dict[int, pa.Table]] = {}
    files, failed = 0, []
    writing: deque[Future[Any]] = deque()
    most = min(pool.workers, available_cores())
    with ThreadPoolExecutor(
        most, "fastbp-store"
    ) as writers:  # files that are ready at once are written at once
        for (publications, start, count), future in completed(
            pool, train, blocks(sweep, present, pool.workers), lambda: tick(progress), size=work
        ):
            ids = [publication.setup.identity() for publication in publications]
            error = future.exception()
            if isinstance(error, errors.OtherWorkerError):
                raise error
            if isinstance(error, Exception):
                why = f"seeds {start} to {start + count - 1}: {type(error).__name__}: {error}"
                failed += [f"setup {setup}, {why}" for setup in ids]
                continue
            if error is not None:
                raise error
            tables: list[pa.Table] = future.result()
            progress.done += count * len(ids)
            progress.updates += pc.sum(tables[0]["updates_done"]).as_py()
            progress.budget += count * publications[0].setup.budget
            for setup, publication, table in zip(ids, publications, tables, strict=True):
                gathered = parts.setdefault((setup, publication.start), {})
                gathered[start] = table
                if sum(part.num_rows for part in gathered.values()) == publication.runs:
                    rows = (
                        pa.concat_tables([gathered[at] for at in sorted(gathered)])
                        .unify_dictionaries()
                        .combine_chunks()
                    )
                    del parts[setup, publication.start]
                    if store:
                        writing.append(
                            writers.submit(
                                store.publish,
                                setup,
                                publication.start,
                                rows,
                                problem=publication.setup.digest,
                            )
                        )
                        if len(writing) > most:
                            writing.popleft().result()
                    keep(rows)
                    files += 1
        trained = time.perf_counter()
        for written in writing:
            written.result()
    return files, failed, time.perf_counter() - trained


def run(
    sweep: Sweep,
    store: str | os.PathLike[str] | None = None,
    executor: Executor | str | None = None,
) -> pd.DataFrame:
    """Train a sweep and return its runs, one row each, in the order of its setups (the columns are
    in `fastbp.schema.columns`).

    `store`: a folder to keep them in, where those that are there already are not trained again;
    None keeps them in memory. `executor`: any `concurrent.futures.Executor`, or one of the words of
    `--executor`; by default threads on all cores. Raises SweepError where it would take more memory
    than there is, or for another word; StoreError, StoreFullError, OtherWorkerError, LostError, and
    RuntimeError where a block failed.
    """
    import pandas as pd
    import pyarrow as pa

    if not isinstance(sweep, Sweep):
        raise TypeError(
            f"sweep: given {shown(sweep)}, allowed: a Sweep (Sweep.from_toml reads a file, Sweep.from_dict a dictionary)"
        )
    pool = (
        backends.given(executor)
        if isinstance(executor, Executor)
        else backends.pool(executor or "threads")
    )
    kept: list[pa.Table] = []
    place = Store(store) if store is not None else None
    if place:
        place.check_usable()
    forecast.check(
        sweep,
        place,
        available_cores() if pool.shares_memory else 0,
        frame=True,
        processes=pool.processes,
    )
    if place is None:  # and nothing is written before all is checked
        trained = drive(sweep, keep=kept.append, pool=pool)
    else:
        place.open()
        with place.locked():
            place.write(place.path / "sweep.toml", sweep.to_toml(place.path).encode())
            problem_files(sweep, place)
            trained = drive(sweep, place, pool=pool)
    if trained.failed:
        raise RuntimeError("\n".join(trained.failed))
    order = {setup.identity(): i for i, setup in enumerate(sweep.setups)}
    if place is None:
        kept.sort(key=lambda rows: (order[rows["setup"][0].as_py()], rows["seed"][0].as_py()))
        return frame(pa.concat_tables(kept).unify_dictionaries())
    stored = frame(parquet.read_all(place.path))  # where there may be more setups and more seeds
    codes = pd.Index(list(order)).get_indexer(pd.Index(stored["setup"]))
    last = np.array([sweep.seeds_of(setup).stop - 1 for setup in sweep.setups])
    wanted = stored[
        (codes >= 0) & (stored["seed"] >= sweep.seeds.start) & (stored["seed"] <= last[codes])
    ]
    in_order: pd.DataFrame = wanted.sort_values(
        ["setup", "seed"],
        key=lambda c: c.astype(object).map(order) if c.name == "setup" else c,
        ignore_index=True,
    )
    return in_order


def made(trained: Trained, jobs: int) -> dict[str, Any]:
    """How runs were made: versions, processor, seconds by phase, updates/s."""
    from importlib.metadata import version

    packages = ("numpy", "numba", "llvmlite", "pandas", "pyarrow", "scipy", "matplotlib")
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "numerics": NUMERICS_VERSION,
        "python": platform.python_version(),
        "versions": {"fastbp": __version__} | {package: version(package) for package in packages},
        "cpu": cpu_name(),
        "jobs": jobs,
        "runs": trained.runs,
        "updates": trained.updates,
        "seconds": {phase: round(s, 3) for phase, s in trained.seconds.items()},
        "updates_per_second": round(trained.updates / trained.seconds["train"])
        if trained.seconds.get("train")
        else None,
    }


def problem_files(sweep: Sweep, store: Store) -> None:
    """Keep each problem as it is trained under `problems/`: X, T and names, so that nobody needs
    the user's file again.
    """
    import io

    seen: set[str] = set()
    for setup in sweep.setups:
        target = store.path / "problems" / f"{setup.digest}.npz"
        if setup.digest in seen or target.exists():
            continue
        seen.add(setup.digest)
        X, T = setup.data()
        buffer = io.BytesIO()
        names = setup.names
        np.savez_compressed(
            buffer, X=X, T=T, inputs=np.array(names.inputs), outputs=np.array(names.outputs)
        )
        store.write(target, buffer.getvalue())
