"""Train in a Dask cluster: one that runs already, or a new one on this machine."""

import asyncio
import logging
import pickle
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from fastbp.engine.executor_map import Pool, error_line
from fastbp.engine.process_pool import isolated_start
from fastbp.schema.errors import OtherWorkerError, SweepError
from fastbp.schema.text import shown

ECHO_SECONDS, SILENT_SECONDS, ARRIVAL_SECONDS = 7.0, 20.0, 30.0
"""While a task takes long, the scheduler is asked every `ECHO_SECONDS` whether it is there. It must
answer within `SILENT_SECONDS`. Once a task is finished, its result must arrive within
`ARRIVAL_SECONDS`."""

MIN_FILES, WORKER_FILES = 40, 13
"""So many files Dask must be able to open, and so many more for each worker that it starts: else it
writes tracebacks and does not end. Measured were 27, and 12 for each worker."""

START_SECONDS, WORKER_SECONDS = 50.0, 2.0
"""Within these seconds, and more for each worker, all workers of a new Dask cluster must start."""


def dask_cluster(jobs: int, address: str) -> Pool:
    """Make a pool in the Dask cluster with this address; without one, in a new cluster."""
    import distributed

    from fastbp.kernels.code_cache import kept_folder

    for handler in logging.getLogger("distributed").handlers:
        handler.setLevel(logging.CRITICAL + 1)  # it writes tracebacks where it only loses workers
    temp = kept_folder(Path(gettempdir()))
    needed = MIN_FILES + (0 if address else WORKER_FILES * jobs)
    if 0 <= (most := getrlimit(RLIMIT_NOFILE)[0]) < needed:
        raise SweepError(
            [
                f"--executor: given {shown('dask:' + address if address else 'dask')}, where a "
                f"process may open {most:,} files, allowed: where it may open {needed:,}, as after "
                f" ulimit -n {needed}"
            ]
        )
    if address:
        jobs = _workers(address)
    elif not (temp and str(temp).isprintable()):
        raise SweepError(
            [
                f"--executor: given 'dask', with temporary files in {shown(gettempdir())}, "
                "allowed: in a folder of your own, "
                "as with  TMPDIR=FOLDER fastbp sweep … --executor dask"
            ]
        )

    def start() -> Executor:
        with ExitStack() as stack:
            client = (
                _connected(address)
                if address
                else _within(
                    START_SECONDS + WORKER_SECONDS * jobs, lambda: _new_cluster(jobs, temp, stack)
                )
            )
            stack.callback(client.close, timeout=5)
            return _DaskExecutor(client, stack.pop_all())

    return Pool(
        start,
        jobs,
        2 * jobs,
        lambda executor: executor.shutdown(),
        lost=(distributed.KilledWorker,),
        in_queue=bool(address),
        processes=0 if address else jobs,
    )


_CALL = "(lambda f, arguments, named: f(*arguments, **named))(*__import__('pickle').loads(call))"


class _DaskExecutor(Executor):
    """Runs tasks with a Dask client. All its futures end.

    Those of Dask do not if the scheduler does not answer, if a result does not arrive, or if the
    connection is lost while one arrives.
    """

    def __init__(self, client: Any, stack: ExitStack) -> None:
        self.client, self.stack = client, stack

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        # A worker ends if it cannot unpickle a task, as one without fastbp, and nobody hears of it.
        # In a task of Python's own that is an error like others.
        future = self.client.submit(
            eval, _CALL, {"call": pickle.dumps((function, arguments, named))}, pure=False
        )
        return asyncio.run_coroutine_threadsafe(self._result(future), self.client.loop.asyncio_loop)

    async def _result(self, future: Any) -> Any:
        """Wait for a task. Raises BrokenExecutor if the cluster does not answer in time."""
        result = asyncio.ensure_future(future.result())
        try:
            # `future` is done once the task is, `result` once it has arrived
            while not (await asyncio.wait([result], timeout=ECHO_SECONDS))[0] and not future.done():
                await asyncio.wait_for(self.client.scheduler.echo(), SILENT_SECONDS)
            return await asyncio.wait_for(result, ARRIVAL_SECONDS)
        except OSError as error:
            if future.status == "error":  # it is the task that failed
                raise
            raise BrokenExecutor("the Dask cluster does not answer in time") from error
        except (ImportError, AttributeError) as error:
            raise OtherWorkerError(f"a worker has another fastbp: {error_line(error)}") from error
        finally:
            result.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with suppress(Exception):  # all rows are there; packages raise errors of their own
            self.stack.close()


def _new_cluster(jobs: int, temp: Path | None, stack: ExitStack) -> Any:
    """A client of a new cluster on this machine."""
    import distributed
    from dask import config

    scratch = TemporaryDirectory(prefix="fastbp-", dir=temp, ignore_cleanup_errors=True)
    with (
        isolated_start("fastbp.engine.without_stderr"),
        config.set(
            {
                "distributed.scheduler.allowed-failures": 0,
                "distributed.admin.system-monitor.disk": False,
                # Else any user of this machine could read the stacks of workers, for example, write
                # where workers import from, or send them code.
                "distributed.scheduler.http.routes": [],
                "distributed.worker.http.routes": [],
                "temporary-directory": stack.enter_context(scratch),
            }
        ),
    ):
        cluster = distributed.LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            memory_limit=0,  # else Dask pauses workers, or kills them, by a limit of its own
            processes=True,
            dashboard_address="127.0.0.1:0",  # any free port: two sweeps may run at once
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
            security=distributed.Security.temporary(),
        )
        stack.callback(cluster.close, timeout=5)
        return distributed.Client(cluster, set_as_default=False)


def _connected(address: str) -> Any:
    """A client of the scheduler at an address. Raises OSError if it does not answer in time."""
    import distributed

    host, _, port = address.removeprefix("tcp://").rpartition(":")
    # a client that cannot begin leaves tracebacks behind
    socket.create_connection((host.strip("[]"), port), 5).close()
    # A scheduler that is stopped takes connections, but does not answer.
    return _within(
        SILENT_SECONDS, lambda: distributed.Client(address, timeout=5, set_as_default=False)
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


def _workers(address: str) -> int:
    """Count the threads of a Dask cluster. Raises SweepError if it does not answer."""
    given = f"--executor: given {shown('dask:' + address)}"
    if not re.fullmatch(r"(tcp://)?[^/\s]+:\d{1,5}", address):
        raise SweepError([f"{given}, allowed: dask:HOST:PORT, or dask:tcp://HOST:PORT"])
    try:
        with _connected(address) as client:
            return max(1, int(sum(_within(SILENT_SECONDS, client.nthreads).values())))
    except Exception as error:  # packages raise errors of their own
        raise SweepError([f"{given}, where no scheduler answers: {error_line(error)}"]) from error
