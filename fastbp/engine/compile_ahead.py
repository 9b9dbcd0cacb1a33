"""Compiling kernels before the first block needs them."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fastbp.config.setup import Setup
from fastbp.engine.machine import available_cores
from fastbp.kernels.code_cache import cache_folder, is_on_disk

if TYPE_CHECKING:
    pass
from fastbp.engine.lane_group import KernelKey, LaneGroup, task

compilers: list[subprocess.Popen[bytes]] = []
"""Processes that compile for this one, to be ended with it."""


def warm_up(kind: KernelKey) -> None:
    """Compile the kernels of a kind, or load them from disk, so that no block has to.

    Where they are not on disk and there is a second core, a second process compiles the measures
    meanwhile.
    """
    group = LaneGroup(task(_smallest(kind), kind.lanes))
    other = None
    if (
        cache_folder()
        and not is_on_disk(group.kernels.measure, kind.dtype)
        and available_cores() > 1
    ):
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            "from fastbp.engine.lane_group import KernelKey\n"
            "from fastbp.engine.compile_ahead import warm_up_measures\n"
            f"warm_up_measures({kind!r})"
        )
        quiet = subprocess.DEVNULL
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdin=quiet, stdout=quiet, stderr=quiet
        )
        compilers.append(other)
    try:
        with _no_collections():
            group.advance(0)
        if other:
            other.wait()
    finally:
        if other:
            other.kill()
    warm_up_measures(kind)


def warm_up_measures(kind: KernelKey) -> None:
    """Compile, or load, what is called once a run: initial weights and measures."""
    with _no_collections():
        LaneGroup(task(_smallest(kind), kind.lanes), np.zeros(1, np.uint64)).measure()


@contextmanager
def _no_collections() -> Iterator[None]:
    """Hold off the garbage collector: compiling makes millions of objects that live, and looking
    through them costs a tenth.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _smallest(kind: KernelKey) -> Setup:
    return Setup(problem="xor", updates=1, dtype=kind.dtype, batch=1 if kind.online else 2)
