"""What fastbp is compared with, each written as well as those who know its tools would write it;
one file each.

A file has `prepare(job)`, which returns a `Contender` ready to be timed, and `difference(job)`, how
far its weights are from fastbp's; and, where it is not always there, `skipped(job)`, which says in
words why not. `python -m benchmarks.contenders` serves one of them.
"""

from typing import NamedTuple


class Entry(NamedTuple):
    """What the measuring process must know of a contender without importing it."""

    label: str
    short: str
    """The same for the head of a column."""
    packages: tuple[str, ...] = ()
    """What has to be installed."""
    alone: bool = False
    """It spreads over all cores by itself. Others get a process of one thread for each core."""
    rival: bool = True
    """It is something that one could use in place of fastbp."""


ENTRIES = {
    "engine": Entry("fastbp, as users run it", "fastbp", alone=True, rival=False),
    "kernel": Entry("fastbp, kernel alone", "kernel alone", rival=False),
    "c": Entry("C with vector instructions", "C", rival=False),
    "expert": Entry("Numba by an expert", "Numba, expert"),
    "obvious": Entry("the obvious `@njit(parallel=True)`", "obvious `@njit`", alone=True),
    "reordered": Entry("`@njit`, loops reordered for vectors", "`@njit`, reordered", alone=True),
    "jax_": Entry("JAX `vmap` + `scan`", "JAX", ("jax",)),
    "torch_": Entry("PyTorch, batched", "PyTorch", ("torch",)),
    "vectorised": Entry("NumPy over networks", "NumPy, vectorised"),
    "textbook": Entry("textbook NumPy class", "NumPy, textbook"),
    "sklearn_": Entry("scikit-learn `MLPClassifier`", "scikit-learn", ("sklearn",)),
}
