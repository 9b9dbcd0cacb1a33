"""JAX on the processor: `vmap` over networks, `scan` over updates, backpropagation by hand, rows
from a ready table.

Which form is quickest differs, and each workload gets its own: with the network as the last axis,
and sums over units written out, XLA makes one loop of an update where layers are small or the batch
is the same for all networks; with a batch of its own for each network, matrix products win.
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
# Two processes of one thread are quicker than one of two, and vectors of 512 bits are quicker where
# there are any.
FLAGS = (
    "--xla_cpu_multi_thread_eigen=false --xla_cpu_prefer_vector_width=512 "
    "intra_op_parallelism_threads=1"
)
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated  # noqa: E402

jax.config.update("jax_enable_x64", True)


def sigmoid(z):
    return 1 / (1 + jnp.exp(-z))


def written_out(job: Job):
    """An update of networks [..., network] on rows [position, network], or [position, 1] where all
    see the same."""
    X, T, lr = jnp.asarray(job.X.T), jnp.asarray(job.T.T), job.rate
    inputs, hidden, outputs = job.sizes

    def update(weights, rows):
        w1, b1, w2, b2 = weights
        x, t = X[:, rows], T[:, rows]
        h = sigmoid(b1[:, None] + sum(w1[:, i, None] * x[i] for i in range(inputs)))
        o = sigmoid(b2[:, None] + sum(w2[:, j, None] * h[j] for j in range(hidden)))
        d = lr * (o - t) * o * (1 - o)
        e = sum(w2[k, :, None] * d[k] for k in range(outputs)) * h * (1 - h)
        w1 -= sum(e[:, None, q] * x[None, :, q] for q in range(job.batch))
        w2 -= sum(d[:, None, q] * h[None, :, q] for q in range(job.batch))
        return (w1, b1 - e.sum(1), w2, b2 - d.sum(1)), None

    return update


def matrices(job: Job):
    """An update of networks [network, ...] on rows [network, position]; w1 and w2 are transposed:
    [network, from, to]."""
    X, T, lr = jnp.asarray(job.X), jnp.asarray(job.T), job.rate

    def one(weights, rows):
        w1, b1, w2, b2 = weights
        x, t = X[rows], T[rows]
        h = sigmoid(x @ w1 + b1)
        o = sigmoid(h @ w2 + b2)
        d = lr * (o - t) * o * (1 - o)
        e = d @ w2.T * h * (1 - h)
        return w1 - x.T @ e, b1 - e.sum(0), w2 - h.T @ d, b2 - d.sum(0)

    return lambda weights, rows: (jax.vmap(one)(weights, rows), None)


def is_written_out(job: Job) -> bool:
    """Which of the two forms is quicker."""
    return job.batch == 1 or job.order == "cyclic"


def trainer(job: Job):
    """Trains weights, whose buffers it uses up, on all rows of a table."""
    update = written_out(job) if is_written_out(job) else matrices(job)
    return jax.jit(
        lambda weights, rows: jax.lax.scan(update, weights, rows, unroll=2)[0], donate_argnums=0
    )


def inside(job: Job, weights: Weights):
    """Weights as the trainer wants them."""
    w1, b1, w2, b2 = weights
    if is_written_out(job):
        return tuple(jnp.asarray(np.moveaxis(part, 0, -1)) for part in weights)
    return tuple(map(jnp.asarray, (w1.swapaxes(1, 2), b1, w2.swapaxes(1, 2), b2)))


def outside(job: Job, weights) -> Weights:
    """The way back."""
    w1, b1, w2, b2 = map(np.asarray, weights)
    if is_written_out(job):
        return Weights(*(np.moveaxis(part, -1, 0) for part in (w1, b1, w2, b2)))
    return Weights(w1.swapaxes(1, 2), b1, w2.swapaxes(1, 2), b2)


def table(job: Job, rows):
    """Rows [network, update, position] in the order in which the trainer reads them; rows that all
    share only once."""
    if job.order == "cyclic":
        rows = rows[:1]
    return jnp.asarray(np.ascontiguousarray(np.moveaxis(rows, 0, -1 if is_written_out(job) else 1)))


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    return largest_difference(
        outside(job, trainer(job)(inside(job, job.start), table(job, job.rows))), job.end
    )


def prepare(job: Job) -> Contender:
    """As many networks as were found quickest: their weights and activations fit into the second
    cache."""
    networks = (
        192 if job.order == "cyclic" else 512 if job.batch == 1 else min(512, 8192 // job.hidden)
    )
    rows = table(job, job.draw_rows(networks, job.updates))
    weights, train = job.draw_weights(networks), trainer(job)
    return repeated(
        networks, job.updates, lambda: jax.block_until_ready(train(inside(job, weights), rows))
    )
