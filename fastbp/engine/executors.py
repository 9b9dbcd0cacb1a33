"""Blocks over any `concurrent.futures.Executor`: never more in flight than serve, results as they come."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the processor quota of its control group (Linux, versions 2 and 1)."""
    affinity: Callable[[int], Any] | None = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    for quota in _quotas(root):
        cores = min(cores, max(1, ceil(quota)))
    return cores


def _quotas(root: Path) -> Iterator[float]:
    """Processor quotas in cores, of the process's own group and those above it."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            if controllers and "cpu" not in controllers.split(","):
                continue
            group = base / path.lstrip("/")
            for folder in [group, *group.parents]:
                if not folder.is_relative_to(base):
                    break
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        if quota != "max":
            yield int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        if quota_us > 0:
            yield quota_us / int((folder / "cpu.cfs_period_us").read_text())


def completed(
    executor: Executor, function: Callable[[T], Any], tasks: Iterable[T], at_once: int, tick: Callable[[], None], seconds: float = 0.1
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
