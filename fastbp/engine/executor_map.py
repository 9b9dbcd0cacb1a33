"""Run tasks on any `concurrent.futures.Executor`, and replace workers that are lost.

Tasks are submitted only as fast as the workers need them, and results come back as they are ready.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass, field
from math import inf
from typing import Any, Generic, TypeVar

from fastbp.schema.errors import LostError

T = TypeVar("T")

TRIES = 3
"""How often a task may lose its worker while other tasks run. Then it is tried once more, alone."""

BREAKS = 10
"""How often in a row workers may be replaced without any result. Then `completed` gives up."""

PATIENCE = 20.0
"""A task counts as lost when it takes this many times as long as the slowest task so far, relative
to its size."""

MIN_PATIENCE, FIRST_PATIENCE = 60.0, 900.0
"""No task counts as lost before these seconds. The second number is for tasks that run before any
task has come back, when the speed is still unknown."""

DYING_SECONDS = 1.0
"""Seconds to wait for the futures of a broken pool to fail."""


@dataclass
class Pool:
    """Workers that train blocks, and how to start, end and replace them.

    Parameters
    ----------
    start : callable
        Starts an executor.
    workers : int
        The number of its workers.
    at_once : int
        The most tasks that are submitted at once, more than workers, so that none has to wait.
    end : callable, optional
        Ends all workers, even busy ones. None if the workers belong to the caller: then no task is
        tried again.
    lost : exception types
        Errors of a task that mean that its worker was lost, but the others go on.
    broken : exception types
        Errors of a task that mean that its executor is broken.
    in_queue : bool
        Whether workers may wait for hours before they start, as in the queue of a cluster.
    shares_memory : bool
        Whether workers are threads of this process, which can be asked to stop.
    processes : int
        The number of workers that are processes on this machine.
    """

    start: Callable[[], Executor]
    workers: int
    at_once: int
    end: Callable[[Executor], None] | None = None
    lost: tuple[type[BaseException], ...] = ()
    broken: tuple[type[BaseException], ...] = (BrokenExecutor, CancelledError)
    in_queue: bool = False
    shares_memory: bool = False
    processes: int = 0
    _executor: Executor | None = field(default=None, repr=False)

    @property
    def executor(self) -> Executor:
        """The executor, started at its first use. Raises LostError if it does not start."""
        if self._executor is None:
            try:
                self._executor = self.start()
            except Exception as error:  # packages raise errors of their own
                raise LostError(f"no workers can be started: {error_line(error)}") from error
        return self._executor

    def close(self) -> None:
        """End all workers. The next use of `executor` starts new ones."""
        if self._executor is not None and self.end:
            self.end(self._executor)
            self._executor = None


@dataclass
class _Attempt(Generic[T]):
    """A task, and what happened so far when it was tried."""

    task: T
    number: int = 0
    earliest_start: float = 0.0
    losses: int = 0
    alone: bool = False


def completed(
    pool: Pool,
    function: Callable[[T], Any],
    tasks: Iterable[T],
    tick: Callable[[], None],
    *,
    size: Callable[[T], float] = lambda task: 1.0,
    seconds: float = 0.1,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[T, Future[Any]]]:
    """Run `function` on all `tasks`, and yield each task with its future as soon as it is finished.

    If a task raises an error, the error is its result. If a worker is lost, or a task takes far
    longer than others of its size, the workers are replaced and the tasks in flight are tried
    again. A task that was lost `TRIES` times is tried once more at the end, alone, and then fails
    with a LostError. A task that runs out of memory is also tried once more at the end.

    Parameters
    ----------
    pool : Pool
        The workers.
    function : callable
        Called with one task in a worker.
    tasks : iterable
        Read only as workers become free, so that a long plan takes no memory.
    tick : callable
        Called at least every `seconds`. An exception that it raises ends the map and leaves the
        tasks in flight to the executor.
    size : callable
        The expected work of a task, in any unit.
    seconds : float
        Longest time between two ticks.
    clock : callable
        Seconds from any starting point.

    Raises
    ------
    LostError
        If workers are lost again and again, also with other tasks.
    """
    running = _TaskMap(pool, function, iter(tasks), size, clock)
    while running.fill():
        done, _ = wait(running.flying, timeout=seconds, return_when=FIRST_COMPLETED)
        tick()
        yield from running.collect(done)


class _TaskMap(Generic[T]):
    """The tasks that `completed` has submitted, and those that it will try again."""

    def __init__(
        self,
        pool: Pool,
        function: Callable[[T], Any],
        tasks: Iterator[T],
        size: Callable[[T], float],
        clock: Callable[[], float],
    ) -> None:
        self.pool, self.function, self.tasks = pool, function, tasks
        self.size, self.clock = size, clock
        self.flying: dict[Future[Any], _Attempt[T]] = {}
        self.retries: deque[_Attempt[T]] = deque()
        self.suspects: deque[_Attempt[T]] = deque()  # to be tried alone, at the end
        self.slowest = 0.0  # seconds for a task of size 1
        # `first_wave`: the number of tasks that had been submitted when the first came back. Their
        # times may include the time in a queue.
        self.submitted = self.breaks = self.first_wave = 0

    def fill(self) -> bool:
        """Submit tasks while there is room. Returns whether any is in flight."""
        while len(self.flying) < self.pool.at_once and (attempt := self._next()):
            executor = self.pool.executor
            try:
                future = executor.submit(self.function, attempt.task)
            except Exception as error:  # the executor broke since the last result
                if not self.pool.end:
                    raise
                self.retries.appendleft(attempt)
                self._replace_workers(error)
            else:
                self.submitted += 1
                attempt.number, attempt.earliest_start = self.submitted, self.clock()
                self.flying[future] = attempt
        return bool(self.flying)

    def _next(self) -> _Attempt[T] | None:
        if self.retries:
            return self.retries.popleft()
        for task in self.tasks:
            return _Attempt(task)
        if self.suspects and not self.flying:
            attempt = self.suspects.popleft()
            attempt.alone = True
            return attempt
        return None

    def collect(self, done: Iterable[Future[Any]]) -> Iterator[tuple[T, Future[Any]]]:
        """Yield the tasks that came back, and those that are given up."""
        errors = [_error(future) for future in done] if self.pool.end else []
        broken = next((error for error in errors if isinstance(error, self.pool.broken)), None)
        if broken:
            # Nobody knows which task broke the workers, so every task that does not come back is
            # a suspect.
            wait(self.flying, timeout=DYING_SECONDS)
            done = list(self.flying)
        for future in done:
            yield from self._settle(future, broken)
        if broken:
            self._replace_workers(broken)
        elif late := [attempt for attempt in self.flying.values() if self._is_late(attempt)]:
            self.retries.extend(each for each in self.flying.values() if each not in late)
            self.flying.clear()
            for attempt in late:
                yield from self._lose(attempt, "it took far longer than others")
            self._replace_workers(TimeoutError("blocks hang"))

    def _settle(
        self, future: Future[Any], broken: BaseException | None
    ) -> Iterator[tuple[T, Future[Any]]]:
        """Yield a task that came back, unless it is to be tried again."""
        attempt, now = self.flying.pop(future), self.clock()
        error = _error(future) if future.done() else broken
        if self.pool.end and isinstance(error, self.pool.lost + self.pool.broken):
            yield from self._lose(attempt, error_line(error))
            return
        if isinstance(error, MemoryError) and not attempt.alone:
            self.suspects.append(attempt)
            return
        self.breaks, self.first_wave = 0, self.first_wave or self.submitted
        if not error and not (self.pool.in_queue and attempt.number <= self.first_wave):
            took = (now - attempt.earliest_start) / max(self.size(attempt.task), 1e-9)
            self.slowest = max(self.slowest, took)
        for other in self.flying.values():
            if other.number > attempt.number:  # it may have waited for this worker
                other.earliest_start = now
        yield attempt.task, future

    def _is_late(self, attempt: _Attempt[T]) -> bool:
        if not self.pool.end or self.pool.shares_memory:  # threads cannot be ended
            return False
        patience = inf if self.pool.in_queue else FIRST_PATIENCE
        if self.slowest:
            patience = max(MIN_PATIENCE, PATIENCE * self.slowest * self.size(attempt.task))
        return self.clock() - attempt.earliest_start > patience

    def _lose(self, attempt: _Attempt[T], why: str) -> Iterator[tuple[T, Future[Any]]]:
        """Put a lost task back to be tried again. Yield it if it was lost alone."""
        attempt.losses += 1
        if attempt.alone:
            self.breaks = 0  # this task broke the workers, so others will not
            failed: Future[Any] = Future()
            failed.set_exception(
                LostError(
                    f"its worker was lost {attempt.losses} times, the last time without other "
                    f"tasks: {why}"
                )
            )
            yield attempt.task, failed
        elif attempt.losses >= TRIES:
            self.suspects.append(attempt)
        else:
            self.retries.append(attempt)

    def _replace_workers(self, error: BaseException) -> None:
        """End the workers, so that new ones start. Raises LostError if that does not help."""
        self.pool.close()
        self.breaks += 1
        if self.breaks > BREAKS:
            raise LostError(
                f"workers were lost {self.breaks} times in a row: {error_line(error)}"
            ) from error


def _error(future: Future[Any]) -> BaseException | None:
    return CancelledError("cancelled") if future.cancelled() else future.exception()


def error_line(error: BaseException) -> str:
    """The type and the first line of an error."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
