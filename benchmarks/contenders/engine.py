"""fastbp as users run it: the driver, with orders, looks, measures, threads, and rows written to a
fresh store as Parquet."""

import tempfile

from benchmarks.contenders.job import Contender, Job
from benchmarks.workloads import EVERY
from fastbp import Setup, Sweep
from fastbp.engine import plan
from fastbp.engine.backends import pool
from fastbp.engine.driver import Trained, drive
from fastbp.engine.machine import available_cores
from fastbp.store.store import Store


def sweep_of(setup: dict[str, object], seeds: int) -> Sweep:
    """One setup and a number of seeds."""
    return Sweep(seeds=seeds, setup=setup)


def store_and_train(sweep: Sweep, jobs: int | None = None, executor: str = "threads") -> Trained:
    """Train a sweep into a store of its own, which is thrown away."""
    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        store = Store(folder)
        store.open()
        return drive(plan.Plan(sweep), store, pool=pool(executor, jobs))


def difference(job: Job) -> float:
    """None: it is fastbp that the others are compared with."""
    return 0.0


def prepare(job: Job) -> Contender:
    """A block for each core, or several."""
    keys = dict(EVERY[job.workload].setup) | {"dtype": job.dtype}
    setup = Setup(**keys)
    networks = available_cores() * plan.block_seeds(setup)
    return Contender(
        networks, setup.budget, lambda times: store_and_train(sweep_of(keys, times * networks))
    )
