"""Hand-written C with vector instructions: the limit. Compiled for each workload, which no time
includes."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated

SOURCE = Path(__file__).with_suffix(".c")
OPTIONS = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]


@cache
def compiler() -> str | None:
    """The first there is."""
    return next(
        (
            found
            for name in (os.environ.get("CC"), "cc", "gcc", "clang")
            if name and (found := shutil.which(name))
        ),
        None,
    )


@cache
def vectors() -> bool:
    """Whether the processor has the instructions."""
    told = subprocess.run(
        [compiler() or "", "-march=native", "-dM", "-E", "-x", "c", os.devnull],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return "__AVX512F__" in told or ("__AVX2__" in told and "__FMA__" in told)


def skipped(job: Job) -> str | None:
    """Why there is nothing to time."""
    if compiler() is None:
        return "no C compiler"
    if not vectors():
        return "a processor, or a compiler, without AVX-512 and AVX2"
    if not np.isin(job.X, (0, 1)).all() or not np.isin(job.T, (0, 1)).all():
        return "written for inputs and targets of 0 and 1"
    return None


def shared(job: Job) -> bool:
    """All networks see all rows in each update."""
    return job.batch == len(job.X)


@cache
def built(sizes: tuple[int, int, int], rows: int, batch: int, dtype: str) -> ctypes.CDLL:
    """The library for a workload."""
    constants = dict(
        zip(("INPUTS", "HIDDEN", "OUTPUTS", "ROWS", "BATCH"), (*sizes, rows, batch), strict=True)
    )
    flags = [f"-D{name}={value}" for name, value in constants.items()]
    flags += ["-DSINGLE"] * (dtype == "float32") + ["-DSHARED"] * (batch == rows)
    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        library = Path(folder, "c.so")
        subprocess.run(
            [compiler() or "", *OPTIONS, *flags, str(SOURCE), "-o", str(library)], check=True
        )
        return ctypes.CDLL(str(library))  # still there when the file is gone


def library(job: Job) -> tuple[ctypes.CDLL, int]:
    """The library for a job, and how many lanes its groups have."""
    made = built(job.sizes, len(job.X), job.batch, job.dtype)
    return made, ctypes.c_int.in_dll(made, "lanes").value


def grouped(array, lanes: int):
    """[network, …] as [group, …, lane]; where networks do not fill the last group, the first ones
    are there again."""
    networks = len(array)
    array = array[np.arange(-(-networks // lanes) * lanes) % networks]
    return np.ascontiguousarray(np.moveaxis(array.reshape(-1, lanes, *array.shape[1:]), 1, -1))


def inside(weights: Weights, lanes: int):
    """Weights as [group, parameter, lane]."""
    return grouped(np.concatenate([part.reshape(len(part), -1) for part in weights], axis=1), lanes)


def outside(job: Job, block, networks: int) -> Weights:
    """The way back."""
    inputs, hidden, outputs = job.sizes
    flat = np.moveaxis(block, -1, 1).reshape(-1, block.shape[1])[:networks]
    parts = np.split(flat, np.cumsum([hidden * inputs, hidden, outputs * hidden]), axis=1)
    shapes = (hidden, inputs), (hidden,), (outputs, hidden), (outputs,)
    return Weights(
        *(part.reshape(networks, *shape) for part, shape in zip(parts, shapes, strict=True))
    )


def row_dtype(job: Job):
    """Of a table of rows: online they are as wide as weights."""
    return np.dtype(np.int64 if job.batch == 1 and job.dtype == "float64" else np.int32)


def trainer(job: Job, start, rows, updates: int):
    """Trains all groups when called, and returns their weights, the same array each time. `rows`:
    None to draw them."""
    made, _ = library(job)
    rate = (ctypes.c_double if job.dtype == "float64" else ctypes.c_float)(job.rate)
    end, X, T = np.empty_like(start), np.ascontiguousarray(job.X), np.ascontiguousarray(job.T)

    def address(array):
        return ctypes.c_void_p(None if array is None else array.ctypes.data)

    def train():
        made.train(
            *map(address, (start, end)),
            ctypes.c_int64(len(start)),
            *map(address, (X, T, rows)),
            ctypes.c_int64(updates),
            rate,
        )
        return end

    return train


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    _, lanes = library(job)
    rows = None if shared(job) else grouped(job.rows, lanes).astype(row_dtype(job))
    end = trainer(job, inside(job.start, lanes), rows, job.rows.shape[1])()
    return largest_difference(outside(job, end, len(job.rows)), job.end)


def prepare(job: Job) -> Contender:
    """A few groups: what they hold stays in the caches. Online learning draws its rows itself."""
    _, lanes = library(job)
    networks = lanes * (1 if job.batch == 1 else 4)
    rows = (
        None
        if shared(job) or job.batch == 1
        else grouped(job.draw_rows(networks, job.updates), lanes)
    )
    return repeated(
        networks,
        job.updates,
        trainer(job, inside(job.draw_weights(networks), lanes), rows, job.updates),
    )
