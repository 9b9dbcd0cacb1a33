"""An executor whose workers are steps of a Slurm allocation.

`srun` starts each step, and its pipes carry the tasks and their results. So a step needs no port
and no name of a host, and it ends when its driver ends.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from io import BufferedReader
from queue import SimpleQueue
from subprocess import PIPE, Popen
from tempfile import TemporaryFile
from threading import Thread, local
from typing import Any

COMMAND = (
    *("srun", "--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--exact"),
    "--mem=0",  # steps share the memory of the allocation: else the first takes all of it
    "--unbuffered",  # else a result waits for the end of a line
)
"""Starts a step on one core."""

START_SECONDS = 120.0
"""Within these seconds one step must start."""

_WORKER = ("-P", "-c", "from fastbp.engine.slurm_steps import serve; serve()")

_READY = b"fastbp is ready\n"
"""A step prints this line when it waits for tasks. Slurm may print lines of its own before."""


class StepLostError(Exception):
    """A step of a Slurm allocation ended; the message is one line."""


class SlurmSteps(ThreadPoolExecutor):
    """Calls functions in steps of the Slurm allocation in which this process is.

    Each thread of the pool has a step, which it starts before it takes tasks: where the allocation
    has no core for it, it waits and takes none.

    Parameters
    ----------
    steps : int
        The number of steps at once.

    Raises
    ------
    BrokenExecutor
        If no step starts. Tasks raise it if none starts in the place of one that ended.
    """

    def __init__(self, steps: int) -> None:
        self._own, self._started = local(), list[Popen[bytes]]()
        super().__init__(steps, "fastbp", self._start)
        try:
            self.submit(int).result(START_SECONDS)
        except Exception as error:
            self.shutdown()
            raise BrokenExecutor(
                str(error)
                or f"no step of the allocation started within {START_SECONDS:g} seconds, as where "
                "other steps have all its cores"
            ) from error

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        """Have a step call a function."""
        return super().submit(self._call, pickle.dumps((function, given, named)))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all steps, even busy ones, and wait for none."""
        super().shutdown(wait=False, cancel_futures=True)
        for step in self._started:
            step.terminate()  # srun then kills its step

    def _start(self) -> None:
        """Start the step of this thread, and wait until it is ready or has ended."""
        own = self._own
        own.log = TemporaryFile()  # noqa: SIM115 - the thread has it until its next step
        # In a session of its own, so that Ctrl-C in a terminal does not reach it.
        own.step = Popen(
            [*COMMAND, sys.executable, *_WORKER],
            bufsize=0,
            stdin=PIPE,
            stdout=PIPE,
            stderr=own.log,
            start_new_session=True,
        )
        self._started.append(own.step)
        own.results = BufferedReader(own.step.stdout)
        own.is_ready = _READY in iter(own.results.readline, b"")

    def _call(self, task: bytes) -> Any:
        """Have the step of this thread run a task."""
        own = self._own
        try:
            left = memoryview(pickle.dumps(task))
            while left:  # a process that was stopped meanwhile may have written a part
                left = left[own.step.stdin.write(left) :]
            result, error = pickle.load(own.results)
        except Exception:  # the pipes ended, in the middle of anything
            own.step.terminate()
            own.log.seek(0)
            why = next(
                (
                    line
                    for line in own.log.read().decode(errors="replace").splitlines()
                    if "error" in line.lower()
                ),
                "it ended",
            )
            if not own.is_ready:
                raise BrokenExecutor(why) from None
            self._start()
            raise StepLostError(why) from None
        if error:
            raise error
        return result


def serve() -> None:
    """Call the functions that come in on stdin, in a step, and end when stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that nothing that is printed gets among the results
    tasks: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_receive, args=(tasks,), daemon=True).start()
    results.write(_READY)
    while True:
        results.flush()
        try:
            function, given, named = pickle.loads(tasks.get())
            outcome = pickle.dumps((function(*given, **named), None))
        except Exception as error:
            outcome = pickle.dumps((None, error))
        results.write(outcome)


def _receive(tasks: SimpleQueue[bytes]) -> None:
    """Receive tasks until the driver or its `srun` has ended, then end, even while one is busy."""
    try:
        while True:
            tasks.put(pickle.load(sys.stdin.buffer))
    finally:
        os._exit(1)
