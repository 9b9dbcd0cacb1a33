"""Blocks over any `concurrent.futures.Executor`: never more in flight than serve, results as they come."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any, TypeVar

T = TypeVar("T")


def completed(
    executor: Executor,
    function: Callable[[T], Any],
    tasks: Iterable[T],
    at_once: int,
    tick: Callable[[], None],
    seconds: float = 0.1,
) -> Iterator[tuple[T, Future[Any]]]:
    """Map `function` over `tasks`, in whatever order they finish: yields each task with its finished future.

    At most `at_once` are in flight, and tasks are drawn only as there is room, so a plan of any length costs no memory. `tick` is
    called at least every `seconds`; what it raises ends the map, with what is in flight left to its executor.
    """
    waiting = iter(tasks)
    flying: dict[Future[Any], T] = {}
    exhausted = False
    while True:
        while not exhausted and len(flying) < at_once:
            try:
                task = next(waiting)
            except StopIteration:
                exhausted = True
            else:
                flying[executor.submit(function, task)] = task
        if not flying:
            return
        done, _ = wait(flying, timeout=seconds, return_when=FIRST_COMPLETED)
        tick()
        for future in done:
            yield flying.pop(future), future
