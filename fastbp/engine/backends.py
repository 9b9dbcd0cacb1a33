"""The executors that `--executor` names, each as a pool of workers that train blocks of runs."""

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from shutil import which
from typing import Any, NamedTuple

from fastbp import __version__
from fastbp.engine.dask_cluster import dask_cluster
from fastbp.engine.executor_map import Pool, error_line
from fastbp.engine.machine import available_cores
from fastbp.engine.process_pool import processes
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


def _mpi(jobs: int, address: str) -> Pool:
    """The MPI processes that `mpiexec … python -m mpi4py.futures` started.

    By itself mpi4py would start others, and wait without end where that fails.
    """
    if not any(word.endswith("mpi4py.futures") for word in sys.orig_argv):
        raise SweepError(
            [
                "--executor: given 'mpi' without its processes, allowed: as in  mpiexec -n "
                f"{jobs + 1} python -P -m mpi4py.futures -m fastbp.sweep … --executor mpi -j {jobs}"
            ]
        )
    from mpi4py.futures import MPIPoolExecutor

    return Pool(lambda: MPIPoolExecutor(jobs), jobs, 2 * jobs, _shutdown)


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
    "dask": Backend(dask_cluster, ["distributed", "cryptography"], "ADDRESS"),
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
    name, colon, address = str(text).partition(":")
    backend = BACKENDS.get(name)
    if backend is None or (colon and not (backend.address and address)):
        allowed = [
            known + (f", {known}:{each.address}" if each.address else "")
            for known, each in BACKENDS.items()
        ]
        raise SweepError(
            [f"--executor: {refusal(text, ', '.join(allowed))}{nearest(text, BACKENDS)}"]
        )
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
