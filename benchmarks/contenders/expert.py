"""What an expert in Numba writes for one shape: loops over networks innermost, in which nothing
hinders the compiler from making vectors of them.

Sizes and the number of lanes are constants when it compiles; sums over units are written out; rows
come from a ready table, as bits of words that hold a column each; the sigmoid is its own, of
operations that vectors have; memory begins on a cache line. Fast-math allows all but another order
of sums, and reciprocals that are not exact. It does the arithmetic alone.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from benchmarks.contenders.c import grouped, inside, outside
from benchmarks.contenders.job import Contender, Job, largest_difference, repeated

FAST = {"contract", "nsz", "arcp", "nnan", "ninf"}
ONLINE, FULL_BATCH = (3, 4, 1), (10, 5, 10)
TILE = 5
"""Sums of a full batch that are in registers at the same time."""


@intrinsic
def power_of_two(_, x):
    """2ᵏ of a number whose last bits are those of k plus the bias of the exponent."""

    def code(context, builder, signature, arguments):
        width, fraction = (64, 52) if x == types.float64 else (32, 23)
        bits = builder.bitcast(arguments[0], ir.IntType(width))
        shifted = builder.shl(bits, ir.Constant(bits.type, fraction))
        return builder.bitcast(shifted, arguments[0].type)

    return x(x), code


@njit(fastmath=FAST, inline="always", error_model="numpy")
def sigmoid_double(x):
    y = max(min(x, 40.0), -708.0)
    shifted = y * -1.4426950408889634 + 6755399441056767.0
    k = 6755399441056767.0 - shifted
    r = k * 5.497923018708371e-14 + (k * 0.6931471805598903 - y)
    q = r * r
    c = (4.1360529755719786e-08 * q - 1.6533837315121435e-06) * q + 6.61375625027644e-05
    c = ((c * q - 0.002777777777669694) * q + 0.16666666666666555) * q + 2.0
    return (c - r) / ((c + r) * power_of_two(shifted) + (c - r))


F = np.float32


@njit(fastmath=FAST, inline="always", error_model="numpy")
def sigmoid_single(x):
    y = max(min(x, F(20.0)), F(-87.0))
    shifted = y * F(-1.442695) + F(12583039.0)
    k = F(12583039.0) - shifted
    r = k * F(-2.12194440e-4) + (k * F(0.693359375) - y)
    q = r * r
    c = (F(-0.002777777) * q + F(0.16666667)) * q + F(2.0)
    return (c - r) / ((c + r) * power_of_two(shifted) + (c - r))


SIGMOIDS = {"float64": sigmoid_double, "float32": sigmoid_single}


@cache
def online(lanes: int, dtype: str):
    """3-4-1, one row an update. Parameters P, activations h and D, which has inputs, target and δ,
    are flat, lanes last. `columns`: of each input and the target, a bit for each row."""
    L, sigmoid, number = lanes, SIGMOIDS[dtype], np.dtype(dtype).type
    one, zero, word = number(1), number(0), np.int64 if dtype == "float64" else np.int32

    @njit(fastmath=FAST, error_model="numpy")
    def train(P, h, D, columns, rows, lr):
        for u in range(len(rows)):
            for n in range(L):
                bit = word(word(1) << (rows[u, n] & 31))
                for i in range(4):
                    D[i * L + n] = one if columns[i] & bit else zero
            for j in range(4):
                for n in range(L):
                    z = P[(12 + j) * L + n] + P[3 * j * L + n] * D[n]
                    z += P[(3 * j + 1) * L + n] * D[L + n]
                    z += P[(3 * j + 2) * L + n] * D[2 * L + n]
                    h[j * L + n] = sigmoid(z)
            for n in range(L):
                z = P[20 * L + n]
                for j in range(4):
                    z += P[(16 + j) * L + n] * h[j * L + n]
                o = sigmoid(z)
                d = lr * (o - D[3 * L + n]) * o * (one - o)
                D[4 * L + n] = d
                P[20 * L + n] -= d
            for j in range(4):
                for n in range(L):
                    d, a, w = D[4 * L + n], h[j * L + n], P[(16 + j) * L + n]
                    e = w * d * a * (one - a)
                    P[(16 + j) * L + n] = w - d * a
                    P[(12 + j) * L + n] -= e
                    P[3 * j * L + n] -= e * D[n]
                    P[(3 * j + 1) * L + n] -= e * D[L + n]
                    P[(3 * j + 2) * L + n] -= e * D[2 * L + n]

    return train


def sums(rows: int, columns: int, terms: int, start: str, left: str, right: str, end: str, bias=""):
    """Lines of Python: for each row r, column c and lane n, z = start + Σ_i left_i right_i, and
    what is done with it. `bias`: what the sums of left_i are subtracted from."""
    lines = [f"  for r in range({rows}):"]
    for first in range(0, columns, TILE):
        tile, biased = range(first, first + TILE), bias and first == 0
        lines += ["   for n in range(L):"] + ["    g = zero"] * bool(biased)
        lines += [f"    z{c} = {start}" for c in tile]
        for i in range(terms):
            lines += [f"    w = {left.format(i=i)}"] + ["    g += w"] * bool(biased)
            lines += [f"    z{c} += w * {right.format(i=i, c=c)}" for c in tile]
        lines += [f"    {end.format(c=c)}" for c in tile] + [f"    {bias} -= g"] * bool(biased)
    return lines


def full_batch_lines(inputs: int, hidden: int, outputs: int, samples: int) -> list[str]:
    """The five products of matrices of an update; all arrays are flat, lanes last, but X and T."""
    here = f"[(r*{samples}+{{c}})*L+n]"  # of unit r in sample c
    there = f"[({{i}}*{samples}+{{c}})*L+n]"  # of unit i in sample c
    of_sample = f"[(r*{samples}+{{i}})*L+n]"  # of unit r in sample i
    w1, w2 = f"w1[(r*{inputs}+%s)*L+n]", f"w2[(r*{hidden}+%s)*L+n]"
    hidden_unit = f"h{here} = sigmoid(z{{c}})"
    output = f"o = sigmoid(z{{c}}); d{here} = lr * (o - T[{{c}}*{outputs}+r]) * o * (one - o)"
    slope = f"a = h{here}; e{here} = z{{c}} * a * (one - a)"
    change_1, change_2 = f"{w1 % '{c}'} -= z{{c}}", f"{w2 % '{c}'} -= z{{c}}"
    x, x_turned, h_turned = (
        f"X[{{c}}*{inputs}+{{i}}]",
        f"X[{{i}}*{inputs}+{{c}}]",
        f"h[({{c}}*{samples}+{{i}})*L+n]",
    )
    b1, b2, below = "b1[r*L+n]", "b2[r*L+n]", f"w2[({{i}}*{hidden}+r)*L+n]"
    return [
        "def train(w1, b1, w2, b2, h, d, e, X, T, updates, lr):",
        " for u in range(updates):",
        *sums(hidden, samples, inputs, b1, w1 % "{i}", x, hidden_unit),
        *sums(outputs, samples, hidden, b2, w2 % "{i}", f"h{there}", output),
        *sums(hidden, samples, outputs, "zero", below, f"d{there}", slope),
        *sums(outputs, hidden, samples, "zero", f"d{of_sample}", h_turned, change_2, b2),
        *sums(hidden, inputs, samples, "zero", f"e{of_sample}", x_turned, change_1, b1),
    ]


@cache
def full_batch(lanes: int, dtype: str):
    """10-5-10, all ten rows an update, from source that is written out."""
    number = np.dtype(dtype).type
    names = {"L": lanes, "sigmoid": SIGMOIDS[dtype], "one": number(1), "zero": number(0)}
    exec("\n".join(full_batch_lines(*FULL_BATCH, 10)), names)
    return njit(fastmath=FAST, error_model="numpy")(names["train"])


def skipped(job: Job) -> str | None:
    """Why there is nothing to time."""
    if (job.sizes, job.batch) not in ((ONLINE, 1), (FULL_BATCH, len(job.X))):
        return "written for 3-4-1 online and 10-5-10 in full batches"
    if not np.isin(job.X, (0, 1)).all() or not np.isin(job.T, (0, 1)).all():
        return "written for inputs and targets of 0 and 1"
    return None


def lanes_of(job: Job) -> int:
    """As many lanes as were found quickest."""
    return (64 if job.batch == 1 else 32) * (1 if job.dtype == "float64" else 2)


def aligned(shape: tuple[int, ...], dtype: str):
    """Memory that begins on a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    return raw[-raw.ctypes.data % 64 :][:size].view(dtype).reshape(shape)


def trainer(job: Job, start, rows, updates: int):
    """Trains groups of lanes when called, and returns their weights, the same array each time.
    `rows`: [group, update, lane], of online learning."""
    lanes, (inputs, hidden, outputs) = start.shape[-1], job.sizes
    end = aligned(start.shape, job.dtype)
    groups = [part.reshape(-1) for part in end]
    if job.batch == 1:
        kernel = online(lanes, job.dtype)
        h, D = (aligned((size * lanes,), job.dtype) for size in (4, 5))
        bits = np.hstack([job.X, job.T]).T @ 2.0 ** np.arange(len(job.X))
        columns = bits.astype(np.int64 if job.dtype == "float64" else np.int32)
        each = zip(groups, rows, strict=True)
        work = [(group, h, D, columns, order, job.rate) for group, order in each]
    else:
        kernel = full_batch(lanes, job.dtype)
        ends = np.cumsum([hidden * inputs, hidden, outputs * hidden]) * lanes
        sizes = [units * job.batch * lanes for units in (hidden, outputs, hidden)]
        scratch = [aligned((size,), job.dtype) for size in sizes]
        given = *scratch, job.X.ravel(), job.T.ravel(), updates, job.rate
        work = [(*np.split(group, ends), *given) for group in groups]

    def train():
        end[:] = start
        for arguments in work:
            kernel(*arguments)
        return end

    return train


def rows_of(rows, lanes: int):
    """Rows [network, update, 0] as [group, update, lane]."""
    return grouped(rows[..., 0], lanes)


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    lanes = lanes_of(job)
    train = trainer(job, inside(job.start, lanes), rows_of(job.rows, lanes), job.rows.shape[1])
    return largest_difference(outside(job, train(), len(job.rows)), job.end)


def prepare(job: Job) -> Contender:
    """One group of lanes, which stays in the first cache or the second."""
    lanes = lanes_of(job)
    rows = rows_of(job.draw_rows(lanes, job.updates), lanes)
    start = inside(job.draw_weights(lanes), lanes)
    return repeated(lanes, job.updates, trainer(job, start, rows, job.updates))
