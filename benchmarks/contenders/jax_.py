"""JAX on the processor: `vmap` over networks, `scan` over updates, backpropagation by hand, rows
from a ready table, a sigmoid that takes fewer operations than one with `exp`.

Which form is quickest differs, and each workload gets its own. Online, each parameter is an array
of its own, [network], and inputs are bits of words that hold a column each. With the network as the
last axis, and sums over units written out, XLA makes few loops of an update where the batch is the
same for all networks; with a batch of its own for each network, matrix products win.
"""

import os
from functools import reduce
from operator import mul

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

from benchmarks.contenders.c import outside as flat_outside  # noqa: E402
from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated  # noqa: E402

jax.config.update("jax_enable_x64", True)


def sigmoid(z):
    """One division: e^−z = 2ᵏ(c + r)/(c − r), r = −z − k ln 2, c = r·coth(r/2), which is even."""
    if z.dtype == jnp.float64:
        low, high, whole, bias, fraction = -708, 40, jnp.int64, 1023, 52
        ln2 = 0.6931471805598903, 5.497923018708371e-14
        even = 4.1360529755719786e-08, -1.6533837315121435e-06, 6.61375625027644e-05
        even += -0.002777777777669694, 0.16666666666666555, 2.0
    else:
        low, high, whole, bias, fraction = -87, 20, jnp.int32, 127, 23
        ln2 = 0.693359375, -2.12194440e-4
        even = -0.002777777, 0.16666667, 2.0
    z = jnp.clip(z, low, high)
    k = jnp.round(z * -1.4426950408889634)
    r = -z - k * ln2[0] - k * ln2[1]
    q = r * r
    c = reduce(lambda total, term: total * q + term, even)
    power = jax.lax.bitcast_convert_type((k.astype(whole) + bias) << fraction, z.dtype)
    return (c - r) / ((c + r) * power + (c - r))


def binary(job: Job) -> bool:
    """Whether inputs and targets are 0 or 1, for rows that fit into a word."""
    return len(job.X) <= 31 and all(np.isin(part, (0, 1)).all() for part in (job.X, job.T))


def apart(job: Job):
    """An update of networks, a list of parameters [network], on rows [network]."""
    bits = 2 ** np.arange(len(job.X))
    columns = [int(bits @ column.astype(int)) for column in np.hstack([job.X, job.T]).T]
    (inputs, hidden, outputs), lr = job.sizes, job.rate

    def update(parameters, rows):
        given = [((jnp.int32(column) >> rows) & 1).astype(job.dtype) for column in columns]
        x, t, left = given[:inputs], given[inputs:], iter(parameters)
        w1 = [[next(left) for _ in range(inputs)] for _ in range(hidden)]
        b1 = [next(left) for _ in range(hidden)]
        w2 = [[next(left) for _ in range(hidden)] for _ in range(outputs)]
        b2 = [next(left) for _ in range(outputs)]
        h = [sigmoid(b + sum(map(mul, w, x))) for b, w in zip(b1, w1, strict=True)]
        o = [sigmoid(b + sum(map(mul, w, h))) for b, w in zip(b2, w2, strict=True)]
        d = [lr * (a - b) * a * (1 - a) for a, b in zip(o, t, strict=True)]
        back = [sum(map(mul, d, w)) for w in zip(*w2, strict=True)]
        e = [s * a * (1 - a) for s, a in zip(back, h, strict=True)]
        steps = [a * b for a in e for b in x] + e + [a * b for a in d for b in h] + d
        return [a - b for a, b in zip(parameters, steps, strict=True)], None

    return update


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


def form(job: Job):
    """Which of the three is quickest."""
    if job.batch == 1 and binary(job):
        return apart
    return written_out if job.batch == 1 or job.order == "cyclic" else matrices


def trainer(job: Job):
    """Trains weights, whose buffers it uses up, on all rows of a table."""
    update, unroll = form(job)(job), 4 if form(job) is apart else 2
    return jax.jit(
        lambda weights, rows: jax.lax.scan(update, weights, rows, unroll=unroll)[0],
        donate_argnums=0,
    )


def inside(job: Job, weights: Weights):
    """Weights as the trainer wants them."""
    w1, b1, w2, b2 = weights
    if form(job) is apart:
        return [jnp.asarray(one) for part in weights for one in part.reshape(len(part), -1).T]
    if form(job) is written_out:
        return tuple(jnp.asarray(np.moveaxis(part, 0, -1)) for part in weights)
    return tuple(map(jnp.asarray, (w1.swapaxes(1, 2), b1, w2.swapaxes(1, 2), b2)))


def outside(job: Job, weights) -> Weights:
    """The way back."""
    if form(job) is apart:
        return flat_outside(job, np.array(weights)[None], weights[0].size)
    w1, b1, w2, b2 = map(np.asarray, weights)
    if form(job) is written_out:
        return Weights(*(np.moveaxis(part, -1, 0) for part in (w1, b1, w2, b2)))
    return Weights(w1.swapaxes(1, 2), b1, w2.swapaxes(1, 2), b2)


def table(job: Job, rows):
    """Rows [network, update, position] in the order in which the trainer reads them; rows that all
    share only once."""
    if form(job) is apart:
        return jnp.asarray(np.ascontiguousarray(rows[..., 0].T))
    if job.order == "cyclic":
        rows = rows[:1]
    axis = -1 if form(job) is written_out else 1
    return jnp.asarray(np.ascontiguousarray(np.moveaxis(rows, 0, axis)))


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    return largest_difference(
        outside(job, trainer(job)(inside(job, job.start), table(job, job.rows))), job.end
    )


def many(job: Job) -> int:
    """As many networks as were found quickest: their weights and activations fit into the second
    cache."""
    if job.batch == 1:
        return 2048
    if job.order == "cyclic":
        return 192 if job.dtype == "float64" else 128
    return min(512, 8192 // job.hidden)


def prepare(job: Job) -> Contender:
    """That many networks."""
    networks = many(job)
    rows = table(job, job.draw_rows(networks, job.updates))
    weights, train = job.draw_weights(networks), trainer(job)
    return repeated(
        networks, job.updates, lambda: jax.block_until_ready(train(inside(job, weights), rows))
    )
