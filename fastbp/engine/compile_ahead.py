"""Compile kernels before the first block needs them."""

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup
from fastbp.engine.machine import available_cores
from fastbp.engine.tasks import KernelKey, kernels, task
from fastbp.kernels.code_cache import cache_folder, is_on_disk
from fastbp.kernels.training import runs_of

compilers: dict[KernelKey, subprocess.Popen[bytes]] = {}
"""Processes that compile kernels for this process, which must end them when it ends."""

_starting = threading.Lock()


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Hold off the garbage collector.

    Compiling makes millions of objects that stay alive, and searching them takes a tenth of the
    time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_garbage_collection()
def warm_up(key: KernelKey) -> None:
    """Compile kernels or load them from disk, so that no block has to.

    If they are not on disk and there is a second core, a second process compiles the measures at
    the same time.
    """
    other = None
    if cache_folder() and not is_on_disk(kernels(key).measure) and available_cores() > 1:
        with _starting:  # keys that differ in their order only have the same measures
            other = _compiler(key._replace(order="cyclic"))
    try:
        _smallest_group(key).advance(0)
        if other:
            other.wait()
    finally:
        if other:
            other.kill()
    warm_up_measures(key)


def is_ready(key: KernelKey, deadline: float) -> bool:
    """Whether the training code for a key is there; it is compiled now if that can begin in time.

    `deadline`: the latest beginning, by `time.perf_counter`.
    """
    if not is_on_disk(kernels(key).advance):
        if time.perf_counter() > deadline:
            return False
        warm_up(key)
    return True


def _compiler(key: KernelKey) -> subprocess.Popen[bytes]:
    """The process that compiles the measures and initial weights and leaves them on disk."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from fastbp.engine.tasks import KernelKey\n"
        "from fastbp.engine.compile_ahead import warm_up_measures\n"
        f"warm_up_measures({key!r})"
    )
    quiet, command = subprocess.DEVNULL, [sys.executable, "-P", "-c", code]
    if key not in compilers:
        compilers[key] = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
    return compilers[key]


@_without_garbage_collection()
def warm_up_measures(key: KernelKey) -> None:
    """Compile or load the kernels that each run calls once: initial weights and measures."""
    group = _smallest_group(key)
    group.draw(runs_of(group.task.network, 0, key.dtype), np.zeros(0, np.uint64))
    group.measure()


def _smallest_group(key: KernelKey) -> LaneGroup:
    """Make the smallest lane group that these kernels can train: one strip of lanes."""
    return LaneGroup(
        task(Setup(problem="xor", updates=1, dtype=key.dtype))._replace(key=key, lanes=key.strip)
    )
