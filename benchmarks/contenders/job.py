"""What contenders are given and what they give back. NumPy only, so that no contender has to import
fastbp."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Weights(NamedTuple):
    """Networks of one hidden layer; the first axis is the network."""

    w1: NDArray[Any]
    """[network, hidden unit, input]"""
    b1: NDArray[Any]
    w2: NDArray[Any]
    """[network, output, hidden unit]"""
    b2: NDArray[Any]

    def copy(self) -> Self:
        """Weights that can be trained without changing these."""
        return type(self)(*(part.copy() for part in self))


class Job(NamedTuple):
    """One workload in one dtype, with networks that fastbp has trained, to be compared with."""

    workload: str
    dtype: str
    X: NDArray[Any]
    """[row, input], in the dtype."""
    T: NDArray[Any]
    hidden: int
    batch: int
    lr: float
    updates: int
    order: str
    """`random` (with replacement), `shuffled` (anew each epoch) or `cyclic` (as listed)."""
    start: Weights
    rows: NDArray[np.int32]
    """The rows that each of these networks saw, [network, update, position in the batch]."""
    end: Weights
    log_loss_end: Weights
    """The same after cross-entropy in place of the squared error, rows as listed, gradients
    averaged over the batch."""
    losses: NDArray[np.float64]
    """Cross-entropy, a row, after some epochs of shuffled rows, gradients averaged: [seed]; empty
    where nobody asks."""
    losses_start: Weights
    """The initial weights of these."""

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Inputs, hidden units, outputs."""
        return self.X.shape[1], self.hidden, self.T.shape[1]

    @property
    def rate(self) -> Any:
        """The learning rate, a NumPy scalar of the dtype."""
        return np.dtype(self.dtype).type(self.lr)

    def draw_weights(self, networks: int) -> Weights:
        """Standard normal weights for what is timed."""
        rng = np.random.default_rng(0)
        inputs, hidden, outputs = self.sizes
        shapes = (hidden, inputs), (hidden,), (outputs, hidden), (outputs,)
        return Weights(
            *(rng.standard_normal((networks, *shape)).astype(self.dtype) for shape in shapes)
        )

    def draw_rows(self, networks: int, updates: int) -> NDArray[np.int32]:
        """A table of rows, [network, update, position], for contenders that read one; drawing it is
        not timed."""
        n = len(self.X)
        shape = networks, -(-updates * self.batch // n), n
        rng = np.random.default_rng(0)
        if self.order == "random":
            rows = rng.integers(0, n, shape, np.int32)
        else:
            rows = np.broadcast_to(np.arange(n, dtype=np.int32), shape)
            if self.order == "shuffled":
                rows = rng.permuted(rows, axis=-1)
        return np.ascontiguousarray(rows.reshape(networks, -1)[:, : updates * self.batch]).reshape(
            networks, updates, self.batch
        )


class Contender(NamedTuple):
    """Something that trains networks, ready to be timed."""

    networks: int
    updates: int
    """Updates of each network: all of the workload's, or fewer where those would take too long."""
    train: Callable[[int], object]
    """Train a number of networks, a number of times."""


def repeated(networks: int, updates: int, train: Callable[[], object]) -> Contender:
    """A contender that trains its number of networks again and again."""

    def again(times: int) -> None:
        for _ in range(times):
            train()

    return Contender(networks, updates, again)


def largest_difference(these: Weights, those: Weights) -> float:
    """How far weights are apart, relative to max(1, |w|)."""
    pairs = zip(these, those, strict=True)
    return max(float(np.max(abs(np.asarray(a) - b) / np.maximum(1, abs(b)))) for a, b in pairs)


def write(path: Path, job: Job) -> None:
    """Keep a job in a file."""
    flat: dict[str, Any] = {}
    for name, value in job._asdict().items():
        flat |= (
            {f"{name}.{part}": array for part, array in value._asdict().items()}
            if isinstance(value, Weights)
            else {name: value}
        )
    np.savez(path, **flat)


def read(path: Path) -> Job:
    """A job from its file."""
    with np.load(path) as file:

        def value(name: str) -> Any:
            if name in file:
                return file[name] if file[name].ndim else file[name].item()
            return Weights(*(file[f"{name}.{part}"] for part in Weights._fields))

        return Job(*map(value, Job._fields))
