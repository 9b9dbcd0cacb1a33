"""Compile kernels before the first block needs them."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastbp.config.setup import Setup
from fastbp.engine.lane_group import KernelKey, LaneGroup, Task, measurer, task
from fastbp.engine.machine import available_cores
from fastbp.kernels.code_cache import cache_folder, is_on_disk

compilers: list[subprocess.Popen[bytes]] = []
"""Processes that compile for this one; they must end with it."""


def warm_up(key: KernelKey) -> None:
    """Compile kernels or load them from disk, so that no block has to.

    If they are not on disk and there is a second core, a second process compiles the measures at
    the same time.
    """
    other = None
    compiled = is_on_disk(measurer(key.lanes), key.dtype)
    if cache_folder() and not compiled and available_cores() > 1:
        other = _start_compiler(key)
    try:
        with _without_garbage_collection():
            LaneGroup(_smallest_task(key)).advance(0)
        if other:
            other.wait()
    finally:
        if other:
            other.kill()
    warm_up_measures(key)


def _start_compiler(key: KernelKey) -> subprocess.Popen[bytes]:
    """Start a process that compiles the measures and leaves them on disk."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from fastbp.engine.lane_group import KernelKey\n"
        "from fastbp.engine.compile_ahead import warm_up_measures\n"
        f"warm_up_measures({key!r})"
    )
    quiet, command = subprocess.DEVNULL, [sys.executable, "-c", code]
    compilers.append(subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet))
    return compilers[-1]


def warm_up_measures(key: KernelKey) -> None:
    """Compile or load the kernels that each run calls once: initial weights and measures."""
    with _without_garbage_collection():
        LaneGroup(_smallest_task(key), np.zeros(1, np.uint64)).measure()


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


def _smallest_task(key: KernelKey) -> Task:
    """The smallest task that needs these kernels."""
    batch = 1 if key.online else 2
    return task(Setup(problem="xor", updates=1, dtype=key.dtype, batch=batch), key.lanes)
