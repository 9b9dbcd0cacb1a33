"""The executors that `--executor` names, each as a pool of workers that train blocks of runs."""

import itertools
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import ExitStack, suppress
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fastbp import __version__
from fastbp.engine.executor_map import Pool, error_line
from fastbp.engine.machine import available_cores
from fastbp.engine.process_pool import isolated_start, processes
from fastbp.engine.slurm_steps import SlurmSteps, StepLostError
from fastbp.schema.errors import OtherWorkerError, SweepError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.text import nearest, refusal, shown


class Backend(NamedTuple):
    """One value of `--executor`: a kind of workers, and what it needs.

    Parameters
    ----------
    pool : callable
        Takes a number of workers and an address, and makes a pool.
    packages : list of str
        The packages that it needs. The extra of fastbp that installs them has the name of the
        backend.
    address : str
        The word for its address in messages, as in dask:ADDRESS. Empty if it takes no address.
    """

    pool: Callable[[int, str], Pool]
    packages: Sequence[str] = ()
    address: str = ""


def _shutdown(executor: Executor) -> None:
    executor.shutdown(wait=False, cancel_futures=True)


def _threads(jobs: int, address: str) -> Pool:
    """Threads of this process. Compiled code releases the GIL, so they scale with the cores."""
    return Pool(
        lambda: ThreadPoolExecutor(jobs, "fastbp"), jobs, jobs + 1, _shutdown, shares_memory=True
    )


SILENT_SECONDS = 20.0
"""Within these seconds the scheduler of a Dask cluster must answer."""

START_SECONDS, WORKER_SECONDS = 50.0, 2.0
"""Within these seconds, and more for each worker, all workers of a new Dask cluster must start."""


def _dask(jobs: int, address: str) -> Pool:
    """A Dask cluster: a new one on this machine, or the one whose scheduler has this address."""
    import distributed
    from distributed.comm import CommClosedError

    from fastbp.kernels.code_cache import is_kept

    for handler in logging.getLogger("distributed").handlers:
        handler.setLevel(logging.CRITICAL + 1)  # it writes tracebacks where it only loses workers
    # of links others may change where they lead
    temp = Path(os.path.realpath(gettempdir(), strict=True))
    if address:
        jobs = _dask_workers(address)
    elif not (str(temp).isprintable() and is_kept(temp)):
        raise SweepError(
            [
                f"--executor: given 'dask', with temporary files in {shown(str(temp))}, allowed: "
                "in a folder of your own, as with  TMPDIR=FOLDER fastbp sweep … --executor dask"
            ]
        )

    folder = ExitStack()

    def start() -> Any:
        try:
            return _within(
                START_SECONDS + WORKER_SECONDS * jobs,
                partial(_dask_client, jobs, address, temp, folder),
            ).get_executor(pure=False)
        except BaseException:
            folder.close()
            raise

    def end(executor: Any) -> None:
        for each in filter(None, (executor._client, executor._client.cluster)):
            with suppress(Exception):  # all rows are there; packages raise errors of their own
                each.close(timeout=5)
        folder.close()

    return Pool(
        start,
        jobs,
        2 * jobs,
        end,
        lost=(distributed.KilledWorker,),
        broken=(BrokenExecutor, CancelledError, CommClosedError),
        in_queue=bool(address),
        processes=0 if address else jobs,
        # If the connection is lost while Dask fetches a result, that future never ends. To connect
        # again does not change this.
        is_lost=lambda executor: bool(address) and not executor._client.watch.is_alive(),
    )


def _dask_client(jobs: int, address: str, temp: Path, folder: ExitStack) -> Any:
    import distributed
    from dask import config

    quiet = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.admin.system-monitor.disk": False,
        # any user of this machine could read these pages, such as the stacks of workers
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with config.set(quiet), isolated_start("fastbp.engine.without_stderr"):
        if address:
            client = _dask_connected(address)
            client.watch = threading.Thread(
                target=_watch, args=(client, client.scheduler_comm), daemon=True
            )
            client.watch.start()
            return client
        # else any user of this machine could write where workers import from, or send them code
        scratch = TemporaryDirectory(prefix="fastbp-", dir=temp, ignore_cleanup_errors=True)
        with config.set({"temporary-directory": folder.enter_context(scratch)}):
            return distributed.Client(
                distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",  # any free port: two sweeps may run at once
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.CRITICAL,
                    security=distributed.Security.temporary(),
                ),
                set_as_default=False,
            )


def _dask_connected(address: str) -> Any:
    """A client of the scheduler at an address. Raises OSError if it does not answer in time."""
    import distributed

    place = urlsplit(address if "://" in address else f"tcp://{address}")
    # a client that cannot begin leaves tracebacks behind
    socket.create_connection((place.hostname, place.port), 5).close()
    # A scheduler that is stopped takes connections, but does not answer.
    return _within(
        SILENT_SECONDS, partial(distributed.Client, address, timeout=5, set_as_default=False)
    )


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Call a function in a thread of its own, so that Ctrl-C is heard in this one meanwhile.

    Raises OSError if it takes longer than these seconds.
    """
    made: Future[Any] = Future()

    def call() -> None:
        try:
            made.set_result(work())
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    if not wait([made], seconds).done:
        raise OSError(f"no answer within {seconds:g} seconds")
    return made.result()


def _watch(client: Any, connection: Any) -> None:
    """Return once the scheduler gives no answer, or a client has lost this connection to it."""
    with suppress(Exception):  # packages raise errors of their own
        while client.scheduler_comm is connection:
            client.sync(client.scheduler.echo, callback_timeout=SILENT_SECONDS)
            time.sleep(SILENT_SECONDS / 3)


def _dask_workers(address: str) -> int:
    """Count the threads of a Dask cluster. Raises SweepError if it does not answer."""
    given = f"--executor: given {shown('dask:' + address)}"
    if not re.fullmatch(r"(tcp://)?[^/\s]+:\d{1,5}", address):
        raise SweepError([f"{given}, allowed: dask:HOST:PORT, or dask:tcp://HOST:PORT"])
    try:
        with _dask_connected(address) as client:
            return max(1, int(sum(_within(SILENT_SECONDS, client.nthreads).values())))
    except Exception as error:  # packages raise errors of their own
        raise SweepError([f"{given}, where no scheduler answers: {error_line(error)}"]) from error


def _mpi(jobs: int, address: str) -> Pool:
    """MPI processes: those that `mpiexec … python -m mpi4py.futures` started, else new ones."""
    from mpi4py.futures import MPIPoolExecutor

    return Pool(
        lambda: MPIPoolExecutor(jobs),
        jobs,
        2 * jobs,
        _shutdown,
        processes=0 if getattr(sys.modules.get("mpi4py.futures"), "_shared_pool", None) else jobs,
    )


def _slurm(jobs: int, address: str) -> Pool:
    """Steps of the Slurm allocation in which this process is."""
    if "SLURM_JOB_ID" not in os.environ or not which("srun"):
        raise SweepError(
            [
                "--executor: given 'slurm' outside an allocation of Slurm, allowed: inside one, as "
                f"with  salloc -n {jobs} fastbp sweep … --executor slurm -j {jobs}"
            ]
        )
    return Pool(lambda: SlurmSteps(jobs), jobs, 2 * jobs, _shutdown, lost=(StepLostError,))


def _flux(jobs: int, address: str) -> Pool:
    """Jobs of the Flux instance in which this process runs."""
    import executorlib
    from executorlib.standalone.interactive.communication import ExecutorlibSocketError

    return Pool(
        lambda: executorlib.FluxJobExecutor(max_workers=jobs, block_allocation=True),
        jobs,
        2 * jobs,
        _shutdown,
        broken=(BrokenExecutor, CancelledError, ExecutorlibSocketError),
        in_queue=True,
    )


BACKENDS: dict[str, Backend] = {
    "threads": Backend(_threads),
    "processes": Backend(processes),
    "dask": Backend(_dask, ["distributed", "cryptography"], "ADDRESS"),
    "mpi": Backend(_mpi, ["mpi4py"]),
    "slurm": Backend(_slurm),
    "flux": Backend(_flux, ["executorlib"]),
}
"""The backends by name: the values of `--executor`."""


def named(text: str) -> tuple[Backend, str]:
    """Find the backend that `--executor` names, and its address.

    Raises
    ------
    SweepError
        If there is no backend of that name, or its package is not installed.
    """
    name, colon, address = text.partition(":")
    backend = BACKENDS.get(name)
    if backend is None or (colon and not (backend.address and address)):
        allowed = [
            known + (f", {known}:{each.address}" if each.address else "")
            for known, each in BACKENDS.items()
        ]
        hint = nearest(text, BACKENDS)
        raise SweepError([f"--executor: {refusal(text, ', '.join(allowed))}{hint}"])
    for package in itertools.filterfalse(find_spec, backend.packages):
        raise SweepError(
            [
                f"--executor: given {shown(text)}, which needs the package {package}: "
                f"pip install 'fastbp[{name}]'"
            ]
        )
    return backend, address


def pool(text: str | Executor = "threads", jobs: int | None = None) -> Pool:
    """Make the pool that `--executor` names.

    Parameters
    ----------
    text : str or Executor
        A name of `BACKENDS`, or ``NAME:ADDRESS``; or an executor that the caller made and will end.
    jobs : int, optional
        Number of workers, by default one for each core that this process may use.

    Raises
    ------
    SweepError
        If there is no such backend, its package is missing, or it cannot be reached.
    """
    if isinstance(text, Executor):
        cores, shares_memory = available_cores(), isinstance(text, ThreadPoolExecutor)
        return Pool(lambda: text, cores, cores + 1, shares_memory=shares_memory)
    backend, address = named(text)
    try:
        return backend.pool(jobs or available_cores(), address)
    except (SweepError, MemoryError):
        raise
    except Exception as error:  # such as a machine without MPI; packages raise errors of their own
        raise SweepError(
            [f"--executor: given {shown(text)}, which does not start: {error_line(error)}"]
        ) from error


def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of fastbp and of these packages, by name."""
    return {"fastbp": __version__} | {package: version(package) for package in packages}


@cache
def versions() -> dict[str, str]:
    """The versions that decide which numbers this process computes, by name."""
    from fastbp.kernels.code_cache import sources

    return {
        "numerics version": str(NUMERICS_VERSION),
        "kernels and choices": sources(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    } | package_versions(("numpy", "numba", "llvmlite", "pyarrow"))


def in_worker(function: Callable[[Any], Any], driver: dict[str, str], task: Any) -> Any:
    """Call `function(task)` in a worker process.

    Raises OtherWorkerError if the driver computes with other versions than this process.
    """
    different = [
        f"{name} {versions()[name]}, not {value}"
        for name, value in driver.items()
        if versions().get(name) != value
    ]
    if different:
        raise OtherWorkerError(
            f"the worker {os.uname().nodename} (process {os.getpid()}) has {'; '.join(different)}"
        )
    return function(task)
