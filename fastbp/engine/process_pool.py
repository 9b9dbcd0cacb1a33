"""Worker processes on this machine."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from multiprocessing import (
    connection,
    get_context,
    parent_process,
    resource_tracker,
    spawn,
)
from types import ModuleType
from typing import Any

from fastbp.engine.executor_map import Pool


def processes(jobs: int, address: str) -> Pool:
    """Worker processes on this machine."""
    return Pool(lambda: _started(jobs), jobs, 2 * jobs, _end, processes=jobs)


def _started(jobs: int) -> Executor:
    with isolated_start():
        executor = _ProcessPool(jobs, get_context("spawn"), initializer=_follow_driver)
    try:
        # Start all workers now: later ones would import packages while the others train.
        for _ in range(jobs):
            executor.submit(__import__, "fastbp.engine.driver")
    except BaseException:  # such as of a user who may have no more processes
        _end(executor)
        raise
    return executor


def _end(executor: Any) -> None:
    """Kill all workers."""
    # Python 3.14 has kill_workers() for this.
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        process.kill()
    # A worker that was killed in the middle of a result leaves the pool's thread waiting for
    # the rest of it, and this process would never end. Without a writer the pipe is at its end.
    with suppress(AttributeError):  # it has ended already
        executor._result_queue._writer.close()
    manager = getattr(executor, "_executor_manager_thread", None)
    executor.shutdown(wait=False, cancel_futures=True)
    # Python 3.11 wakes it as the process ends, through a pipe that it may be closing.
    if manager and manager.is_alive():
        manager.join(5)


class _ProcessPool(ProcessPoolExecutor):
    """A process pool that starts all its workers in `isolated_start`, later ones too."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        # The thread of the pool would start this one, and nobody hears of it if it cannot.
        self._call_queue._start_thread()  # type: ignore[attr-defined]

    def submit(self, *arguments: Any, **keywords: Any) -> Future[Any]:
        with isolated_start():
            return super().submit(*arguments, **keywords)


@contextmanager
def isolated_start(first: str | None = None) -> Iterator[None]:
    """Make processes that start in this context ignore Ctrl-C, the user's script and this folder.

    They ignore Ctrl-C from the start, also while they import packages. They find no `__main__`, so
    they do not run the user's script, and import nothing from the current folder before they know
    where the driver imports from. Their resource tracker cleans up after a killed driver without a
    warning. `first`: the module that they import before all else.
    """
    with _starting:
        main, before, prepare = (
            sys.modules["__main__"],
            dict(os.environ),
            spawn.get_preparation_data,
        )
        own = {
            "PYTHONWARNINGS": f"{before.get('PYTHONWARNINGS', '')},ignore:resource_tracker",
            "PYTHONSAFEPATH": "1",
        }
        os.environ.update(own)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        sys.modules["__main__"] = ModuleType("__main__")
        sys.modules["__main__"].__spec__ = ModuleSpec(first, None) if first else None
        try:
            # they are in this folder: to enter it once more may be forbidden, as after `su`
            spawn.get_preparation_data = lambda name: {
                key: value for key, value in prepare(name).items() if key != "dir"
            }
            resource_tracker.ensure_running()  # whoever starts it lets Ctrl-C through again
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
            yield
        finally:
            spawn.get_preparation_data = prepare
            sys.modules["__main__"] = main
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for name in own:
                del os.environ[name]
            os.environ.update({name: before[name] for name in own if name in before})


_starting = threading.RLock()
"""One start at a time: another may go on in a thread that nobody waits for any more."""


def _follow_driver() -> None:
    """Let a worker ignore Ctrl-C, and end as soon as the driver has ended for any reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    try:
        threading.Thread(target=watch, daemon=True).start()
    except RuntimeError:  # this user may have no more threads
        os._exit(1)
