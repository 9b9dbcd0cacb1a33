"""Blocks over any `concurrent.futures.Executor`: never more in flight than serve, results as they
come, and workers that are lost are replaced.
"""

from __future__ import annotations

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
"""How often a task is tried beside others while workers are lost; after that once more, with
nothing beside it."""

BREAKS = 10
"""How often in a row workers may be lost with nothing coming back, until the map is given up."""

PATIENCE = 20.0
"""How many times as long as the slowest so far, for its size, a task may take until it counts as
lost."""

MIN_PATIENCE, FIRST_PATIENCE = 60.0, 900.0
"""Seconds that a task may take at least, and where none has come back yet, so that nothing is known
of the speed."""

DYING_SECONDS = 1.0
"""How long a broken pool may take to tell all its tasks."""


@dataclass
class Pool:
    """Workers, and what it takes to have new ones."""

    start: Callable[[], Executor]
    workers: int
    at_once: int = 0
    """Tasks in flight: by default one that waits."""
    end: Callable[[Executor], None] | None = None
    """End all workers, whatever they are at. None where they are somebody else's: then nothing is
    tried again."""
    lost: tuple[type[BaseException], ...] = ()
    """Errors of a task whose worker was lost, while the others go on."""
    broken: tuple[type[BaseException], ...] = (BrokenExecutor, CancelledError)
    """Errors of a task of a pool that is of no more use."""
    in_queue: bool = False
    """Whether workers may wait for hours until they start, as in the queue of a site."""
    shares_memory: bool = False
    """Whether workers share the memory of this process, and so hear its wish to stop."""
    processes: int = 0
    """How many processes of this machine the workers are."""
    _executor: Executor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.at_once = self.at_once or self.workers + 1

    @property
    def executor(self) -> Executor:
        """The executor, started if there is none. Raises LostError where it does not start."""
        if self._executor is None:
            try:
                self._executor = self.start()
            except Exception as error:  # of whatever package
                raise LostError(f"no workers can be started: {_words(error)}") from error
        return self._executor

    def close(self) -> None:
        """End all workers. The next task starts new ones."""
        if self._executor is not None and self.end:
            self.end(self._executor)
            self._executor = None


@dataclass
class _Flight(Generic[T]):
    task: T
    number: int = 0
    since: float = 0.0
    """When it may have been begun at the earliest."""
    lost: int = 0
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
    """Map `function` over `tasks`, in whatever order they finish: yields each task with its
    finished future.

    Tasks are drawn only as there is room, so a plan of any length costs no memory. `tick` is called
    at least every `seconds`; what it raises ends the map, with what is in flight left to its
    executor.

    What a task raises is its result. Where a worker is lost, or takes far longer than others have
    for the `size` of their tasks, workers are replaced and what was in flight is tried again. What
    is lost `TRIES` times is tried at the end, with nothing beside it, and then given up with a
    LostError; what finds no memory is tried at the end as well. Raises LostError where workers are
    lost whatever they do.
    """
    mapped = _Map(pool, function, iter(tasks), size, clock)
    while mapped.fill():
        done, _ = wait(mapped.flying, timeout=seconds, return_when=FIRST_COMPLETED)
        tick()
        yield from mapped.take(done)


class _Map(Generic[T]):
    """What of a map is in flight, and what is tried again."""

    def __init__(
        self,
        pool: Pool,
        function: Callable[[T], Any],
        tasks: Iterator[T],
        size: Callable[[T], float],
        clock: Callable[[], float],
    ) -> None:
        self.pool, self.function, self.tasks, self.size, self.clock = (
            pool,
            function,
            tasks,
            size,
            clock,
        )
        self.flying: dict[Future[Any], _Flight[T]] = {}
        self.again: deque[_Flight[T]] = deque()
        self.alone: deque[_Flight[T]] = deque()
        self.submitted = self.breaks = 0
        self.slowest = 0.0
        """Seconds for a task of size 1."""
        self.first_back: int | None = None
        """How many tasks had been submitted when the first came back: their times may be those of a
        queue."""

    def fill(self) -> bool:
        """Submit tasks while there is room. Returns whether any is in flight."""
        while len(self.flying) < self.pool.at_once and (flight := self._next()):
            executor = self.pool.executor
            try:
                future = executor.submit(self.function, flight.task)
            except Exception as error:  # it broke meanwhile
                if not self.pool.end:
                    raise
                self.again.appendleft(flight)
                self._break(error)
            else:
                self.submitted += 1
                flight.number, flight.since = self.submitted, self.clock()
                self.flying[future] = flight
        return bool(self.flying)

    def _next(self) -> _Flight[T] | None:
        if any(flight.alone for flight in self.flying.values()):
            return None
        if self.again:
            return self.again.popleft()
        for task in self.tasks:
            return _Flight(task)
        if self.alone and not self.flying:
            flight = self.alone.popleft()
            flight.alone = True
            return flight
        return None

    def take(self, done: Iterable[Future[Any]]) -> Iterator[tuple[T, Future[Any]]]:
        """What has come back, and what is given up."""
        broken: BaseException | None = None
        for future in done:
            error = _error(future)
            if isinstance(error, self.pool.broken) and self.pool.end:
                broken = error
            else:
                yield from self._back(future, error)
        if broken:
            wait(
                self.flying, timeout=DYING_SECONDS
            )  # by whom it broke, nobody knows: all that were in flight may have done it
            for future in list(self.flying):
                if future.done() and not isinstance(error := _error(future), self.pool.broken):
                    yield from self._back(future, error)
                else:
                    yield from self._lost(future, _words(broken))
            self._break(broken)
        elif late := [future for future, flight in self.flying.items() if self._is_late(flight)]:
            for future in late:
                yield from self._lost(future, "it took far longer than others")
            self.again.extend(self.flying.values())
            self.flying.clear()
            self._break(TimeoutError("blocks hang"))

    def _back(
        self, future: Future[Any], error: BaseException | None
    ) -> Iterator[tuple[T, Future[Any]]]:
        """A task that its worker has answered."""
        flight, now = self.flying[future], self.clock()
        if isinstance(error, self.pool.lost):
            yield from self._lost(future, _words(error))
            return
        del self.flying[future]
        if isinstance(error, MemoryError) and not flight.alone:
            self.alone.append(flight)
            return
        self.breaks = 0
        if self.first_back is None:
            self.first_back = self.submitted
        if not error and not (self.pool.in_queue and flight.number <= self.first_back):
            self.slowest = max(
                self.slowest, (now - flight.since) / max(self.size(flight.task), 1e-9)
            )
        for other in self.flying.values():
            if other.number > flight.number:  # it may have waited for this one's worker
                other.since = now
        yield flight.task, future

    def _is_late(self, flight: _Flight[T]) -> bool:
        if not self.pool.end or self.pool.shares_memory:  # no thread can be ended
            return False
        patience = max(MIN_PATIENCE, PATIENCE * self.slowest * self.size(flight.task))
        if not self.slowest:
            patience = inf if self.pool.in_queue else FIRST_PATIENCE
        return self.clock() - flight.since > patience

    def _lost(self, future: Future[Any], why: str) -> Iterator[tuple[T, Future[Any]]]:
        flight = self.flying.pop(future)
        flight.lost += 1
        if flight.alone:
            self.breaks = 0  # it is this task's doing
            yield (
                flight.task,
                _failed(
                    f"its worker was lost {flight.lost} times, the last time with nothing beside it: {why}"
                ),
            )
        elif flight.lost >= TRIES:
            self.alone.append(flight)
        else:
            self.again.append(flight)

    def _break(self, error: BaseException) -> None:
        """Replace the workers. Raises LostError where that has not helped."""
        self.pool.close()
        self.breaks += 1
        if self.breaks > BREAKS:
            raise LostError(
                f"workers were lost {self.breaks} times in a row: {_words(error)}"
            ) from error


def _error(future: Future[Any]) -> BaseException | None:
    return CancelledError("cancelled") if future.cancelled() else future.exception()


def _words(error: BaseException) -> str:
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _failed(why: str) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(LostError(why))
    return future
