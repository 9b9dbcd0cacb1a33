"""Where blocks are trained, by name: each a function that gives a pool of workers, through that
kind's own package.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

from fastbp import __version__
from fastbp.engine.executor_map import Pool
from fastbp.engine.machine import available_cores
from fastbp.schema.errors import OtherWorkerError, SweepError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.text import nearest, shown


class Backend(NamedTuple):
    """A kind of workers: what makes a pool of so many, at an address, and the package that it
    needs.
    """

    pool: Callable[[int, str], Pool]
    package: str = ""
    extra: str = ""
    address: str = ""
    """What an address of it is called; empty where it has none."""


def threads(jobs: int, address: str = "") -> Pool:
    """Threads of this process. Compiled code holds no lock of Python's, so they scale with the
    cores.
    """

    def end(executor: Executor) -> None:
        executor.shutdown(wait=False, cancel_futures=True)

    return Pool(lambda: ThreadPoolExecutor(jobs, "fastbp"), jobs, end=end, shares_memory=True)


def processes(jobs: int, address: str = "") -> Pool:
    """Processes of this machine."""
    from multiprocessing import get_context

    class Processes(ProcessPoolExecutor):
        def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
            with _undisturbed():  # it starts processes as they are needed
                return super().submit(*arguments, **named)

    def start() -> Executor:
        with _undisturbed():
            executor = Processes(jobs, get_context("spawn"), initializer=_serve)
        for _ in range(
            jobs
        ):  # or some would only be started once there is work, and import while others train
            executor.submit(_import_all)
        return executor

    def end(executor: Executor) -> None:
        for process in list(
            (getattr(executor, "_processes", None) or {}).values()
        ):  # from Python 3.14: kill_workers()
            process.kill()
        executor.shutdown(wait=False, cancel_futures=True)

    return Pool(start, jobs, 2 * jobs, end, processes=jobs)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that are started meanwhile never hear Ctrl-C, not even while they import; nor are
    they told of the user's script, which they need for nothing and would run again; and their
    helper clears away without a word what a killed driver leaves.
    """
    warnings, main = "PYTHONWARNINGS", sys.modules["__main__"]
    given = os.environ.get(warnings)
    os.environ[warnings] = ",".join(filter(None, [given, "ignore:resource_tracker"]))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which children inherit
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if given is None:
            del os.environ[warnings]
        else:
            os.environ[warnings] = given


def _serve() -> None:
    """Leave Ctrl-C to the driver, and end with it, however it ends."""
    from multiprocessing import connection, parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _import_all() -> None:
    import pyarrow  # noqa: F401

    import fastbp.engine.block  # noqa: F401


def dask(jobs: int, address: str = "") -> Pool:
    """Dask: a cluster on this machine, or the one whose scheduler has this address."""
    import logging

    import distributed
    from dask import config
    from distributed.comm import CommClosedError

    clients: dict[int, Any] = {}

    def start() -> Executor:
        quiet = {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.admin.system-monitor.disk": False,
        }
        with config.set(quiet), _undisturbed():
            if address:
                client = distributed.Client(address, timeout=5, set_as_default=False)
            else:
                cluster = distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
                client = distributed.Client(cluster, set_as_default=False)
        executor: Executor = client.get_executor(pure=False)
        clients[id(executor)] = client
        return executor

    def end(executor: Executor) -> None:
        client = clients.pop(id(executor))
        cluster = client.cluster
        client.close(timeout=5)
        if cluster:
            cluster.close(timeout=5)

    if address:
        if not re.fullmatch(r"([a-z]+://)?[^/\s]+:\d{1,5}", address):
            raise SweepError(
                [
                    f"--executor: given {shown('dask:' + address)}, allowed: dask:HOST:PORT, or dask:tcp://HOST:PORT"
                ]
            )
        try:
            with distributed.Client(address, timeout=5, set_as_default=False) as client:
                there = sum(client.nthreads().values())
        except (OSError, ValueError) as error:
            raise SweepError(
                [f"--executor: given 'dask:{address}', where no scheduler answers: {error}"]
            ) from error
        jobs = max(1, there)
    lost = (distributed.KilledWorker,)
    broken = (BrokenExecutor, CancelledError, CommClosedError)
    return Pool(
        start,
        jobs,
        2 * jobs,
        end,
        lost,
        broken,
        in_queue=bool(address),
        processes=0 if address else jobs,
    )


def mpi(jobs: int, address: str = "") -> Pool:
    """MPI: the other processes of `mpiexec … python -m mpi4py.futures -m fastbp.sweep`, or new ones
    where there are none.
    """
    from mpi4py.futures import MPIPoolExecutor

    def end(executor: Executor) -> None:
        executor.shutdown(wait=False, cancel_futures=True)

    alone = "mpi4py.futures" not in sys.modules or not getattr(
        sys.modules["mpi4py.futures"], "_shared_pool", None
    )
    return Pool(lambda: MPIPoolExecutor(jobs), jobs, 2 * jobs, end, processes=jobs if alone else 0)


def slurm(jobs: int, address: str = "") -> Pool:
    """Slurm: steps of the allocation that this runs in, or jobs of their own where it runs in
    none.
    """
    import executorlib

    inside = "SLURM_JOB_ID" in os.environ
    kind = executorlib.SlurmJobExecutor if inside else executorlib.SlurmClusterExecutor
    return _from_executorlib(lambda: kind(max_workers=jobs, block_allocation=True), jobs)


def flux(jobs: int, address: str = "") -> Pool:
    """Flux: jobs of the instance that this runs in."""
    import executorlib

    return _from_executorlib(
        lambda: executorlib.FluxJobExecutor(max_workers=jobs, block_allocation=True), jobs
    )


def _from_executorlib(start: Callable[[], Executor], jobs: int) -> Pool:
    from executorlib.standalone.interactive.communication import ExecutorlibSocketError

    def end(executor: Executor) -> None:
        executor.shutdown(wait=False, cancel_futures=True)

    return Pool(
        start,
        jobs,
        2 * jobs,
        end,
        broken=(BrokenExecutor, CancelledError, ExecutorlibSocketError),
        in_queue=True,
    )


BACKENDS: dict[str, Backend] = {
    "threads": Backend(threads),
    "processes": Backend(processes),
    "dask": Backend(dask, "distributed", "dask", "ADDRESS"),
    "mpi": Backend(mpi, "mpi4py", "mpi"),
    "slurm": Backend(slurm, "executorlib", "slurm"),
    "flux": Backend(flux, "executorlib", "flux"),
}


def named(text: str) -> tuple[Backend, str]:
    """The kind of workers that `--executor` names, and their address.

    Raises SweepError where there is none of that name, and where its package is not installed.
    """
    name, colon, address = text.partition(":")
    kind = BACKENDS.get(name)
    if kind is None or (colon and not (kind.address and address)):
        allowed = [
            known + (f", {known}:{each.address}" if each.address else "")
            for known, each in BACKENDS.items()
        ]
        raise SweepError(
            [
                f"--executor: given {shown(text)}, allowed: {', '.join(allowed)}{nearest(text, BACKENDS)}"
            ]
        )
    if kind.package and not find_spec(kind.package):
        remedy = f"pip install 'fastbp[{kind.extra}]'"
        raise SweepError(
            [f"--executor: given {shown(text)}, which needs the package {kind.package}: {remedy}"]
        )
    return kind, address


def pool(text: str, jobs: int | None = None) -> Pool:
    """The pool that `--executor` names, of so many workers, by default one a core that this process
    may use.

    Raises SweepError as `named` does, and where it cannot be reached.
    """
    kind, address = named(text)
    try:
        return kind.pool(jobs or available_cores(), address)
    except (ImportError, RuntimeError, OSError) as error:  # as where there is no MPI
        first = str(error).partition("\n")[0]
        raise SweepError(
            [
                f"--executor: given {shown(text)}, which does not start: {type(error).__name__}: {first}"
            ]
        ) from error


def given(executor: Executor) -> Pool:
    """The pool of an executor that somebody else made, and ends."""
    return Pool(
        lambda: executor, available_cores(), shares_memory=isinstance(executor, ThreadPoolExecutor)
    )


@cache
def versions() -> dict[str, str]:
    """What this process computes with."""
    from importlib.metadata import version

    from fastbp.kernels.code_cache import sources

    packages = ("numpy", "numba", "llvmlite", "pyarrow")
    return {
        "numerics version": str(NUMERICS_VERSION),
        "fastbp": __version__,
        "kernels and choices": sources(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    } | {package: version(package) for package in packages}


def compare(driver: dict[str, str]) -> None:
    """Raise OtherWorkerError where the driver computes with something else than this process."""
    here = versions()
    different = [
        f"{name} {here[name]}, not {value}"
        for name, value in driver.items()
        if here.get(name) != value
    ]
    if different:
        raise OtherWorkerError(
            f"the worker {os.uname().nodename} (process {os.getpid()}) has {'; '.join(different)}"
        )
