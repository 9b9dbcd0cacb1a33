"""All contenders on the same work: checked first, then timed in turns.

Each has a process of its own; those that do not spread over the cores by themselves have one of one
thread for each core, held to it, and these work at the same time. A round times each once, so that
a slow minute of the machine strikes all of them.
"""

import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

from benchmarks.children import EndedError, Server
from benchmarks.contenders import ENTRIES
from benchmarks.figures import (
    COMPILING,
    CONTENDERS,
    CPU,
    FAILS,
    PRESENTATION,
    Row,
    row,
    without,
)
from benchmarks.workloads import EVERY, LARGEST_DIFFERENCE

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB")}


class Crew:
    """The processes of one contender."""

    def __init__(self, stack: ExitStack, name: str, job: str, cores: Sequence[object]) -> None:
        def start(core: object) -> Server:
            environment = {} if ENTRIES[name].alone else ONE_THREAD
            return stack.enter_context(
                Server("benchmarks.contenders", name, job, core, environment=environment)
            )

        self.label = ENTRIES[name].label
        self._servers = [
            start(core) for core in (["all"] if ENTRIES[name].alone else cores)
        ]  # all of them import at once
        self.skipped: str | None = self._servers[0].ready

    def check(self) -> float:
        """How far its weights are from fastbp's."""
        return float(self._servers[0].ask("check"))

    def prepare(self, seconds: float) -> float:
        """Get ready for rounds of about this many seconds; returns how many seconds a first call
        took more than a later one."""
        told = self._ask("prepare")
        self.networks, self._updates = sum(one["networks"] for one in told), told[0]["updates"]
        later = max(one["later"] for one in told)
        self._times = max(1, round(seconds / later))
        return max(0.0, max(one["first"] for one in told) - later)

    def time(self, batch: int) -> dict[str, float]:
        """Nanoseconds a presentation of one network: by the clock on the wall, and of CPU time."""
        began = time.perf_counter()
        cpu = sum(self._ask(self._times))
        wall = time.perf_counter() - began
        scale = 1e9 / (self._times * self.networks * self._updates * batch)
        return {PRESENTATION: wall * scale, CPU: cpu * scale}

    def _ask(self, question: object) -> list[Any]:
        for server in self._servers:
            server.put(question)
        return [server.answer() for server in self._servers]


def race(
    work: Sequence[tuple[str, str]],
    cores: int,
    rounds: int,
    seconds: float,
    ks_seeds: int = 0,
    part: str = CONTENDERS,
    names: Iterable[str] = tuple(ENTRIES),
) -> Iterator[Row]:
    """Run these workloads, each in its dtype. `names`: those of the contenders."""
    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        tell("training what contenders are checked against")
        with Server(
            "benchmarks.reference", folder, ks_seeds, *chain.from_iterable(work)
        ) as reference:
            jobs = reference.ready
        for (name, dtype), job in zip(work, jobs, strict=True):
            measurement = f"{EVERY[name].title}, {dtype}"
            for r in _race(measurement, dtype, job, cores, rounds, seconds, names):
                yield r._replace(part=part)


def not_the_same(difference: float, dtype: str) -> str | None:
    """In words, that weights are too far apart, if they are."""
    return (
        None
        if difference <= LARGEST_DIFFERENCE[dtype]
        else f"{FAILS}: {difference:.1e} from fastbp's weights"
    )


def _race(
    measurement: str,
    dtype: str,
    job: dict[str, Any],
    cores: int,
    rounds: int,
    seconds: float,
    names: Iterable[str],
) -> Iterator[Row]:
    here = (
        sorted(os.sched_getaffinity(0))[:cores]
        if hasattr(os, "sched_getaffinity")
        else ["any"] * cores
    )
    times = defaultdict(list)
    with ExitStack() as stack:
        crews = []
        for contender in names:
            label = ENTRIES[contender].label
            try:
                crew = Crew(stack, contender, job["path"], here)
                reason = crew.skipped or not_the_same(crew.check(), dtype)
                if not reason:
                    yield row(CONTENDERS, measurement, label, [crew.prepare(seconds)], COMPILING)
            except EndedError as error:
                reason = f"{FAILS}: ended with code {error.code}"
            if reason:
                tell(f"{measurement}: {label} is left out, {reason}")
                yield without(CONTENDERS, measurement, label, PRESENTATION, reason)
                continue
            crews.append(crew)
        tell(f"{measurement}: {rounds} rounds of {len(crews)} contenders")
        for _ in range(rounds):
            for crew in crews:
                for unit, value in crew.time(job["batch"]).items():
                    times[crew.label, unit].append(value)
    for (label, unit), values in times.items():
        yield row(CONTENDERS, measurement, label, values, unit)


def tell(line: str) -> None:
    """Say how far it is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
