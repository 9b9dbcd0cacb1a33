"""A small sweep that uses every choice, and the digest of its rows. As a script: the digests and what the compiler made, as JSON.

Few lanes and updates, so that it also runs with the JIT off, and where fused multiply-adds are done in software.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
from numba import config, njit

from fastbp.engine.block import to_arrow, train, trainer
from fastbp.engine.spec import Setup
from fastbp.kernels.compiling import FLAGS
from fastbp.kernels.memory import wide
from fastbp.kernels.real import sigmoid

BOTH = [
    {"problem": "table:11101011", "lr": 0.2, "order": "random", "updates": 42},
    {"problem": "xor", "hidden": (2,), "init": "uniform", "init_scale": 2, "loss": "cross-entropy", "lr": 2, "epochs": 11},
    {"problem": "encoder:3", "hidden": (2,), "init": "glorot-normal", "order": "cyclic", "updates": 20}
    | {"schedule": "step:every=2,factor=0.5"},
    {"problem": "parity:3", "hidden": (5,), "init": "glorot-uniform", "order": "blocked:3", "prime_offset": 0.1, "updates": 21},
    {"problem": "xor", "hidden": (3, 2), "batch": 3, "momentum": 0.5, "epochs": 7}
    | {"schedule": "exponential:factor=0.75,warmup=1"},
    {"problem": "xor", "batch": "full", "schedule": "cosine:warmup=2", "weight_decay": 0.01, "bias": False, "epochs": 9},
    {"problem": "encoder:4", "hidden": (1,), "batch": 3, "reduction": "mean", "target_margin": 0.1, "updates": 13}
    | {"schedule": "linear"},
    {"problem": "table:0001", "hidden": (2, 3, 2), "schedule": "inverse:tau=2.5", "scale_inputs": "standard", "updates": 18},
    {"problem": "table:01", "hidden": (1,), "scale_inputs": "minmax", "lr": 8, "check_every": 1, "epochs": 14}
    | {"schedule": "constant:warmup=3"},
    {"problem": "table:1111", "hidden": (2,), "loss": "cross-entropy", "order": "random", "batch": 2, "updates": 11}
    | {"momentum": 0.9},
    {"problem": "parity:5", "hidden": (2,), "order": "shuffled", "updates": 33},
    {"problem": "table:01", "hidden": (1,), "order": "random", "lr": 8, "check_every": 1, "stop": "converged", "updates": 41},
    {"problem": "table:0111", "hidden": (2,), "lr": 5, "batch": 3, "momentum": 0.5, "updates": 27}
    | {"check_every": 2, "stop": "converged"},
]
DIVERGING = {"problem": "xor", "hidden": (2,), "lr": 1e6, "weight_decay": 1e6, "updates": 40}
SETUPS = [Setup(**keys, dtype=dtype) for dtype in ("float64", "float32") for keys in (*BOTH, DIVERGING)]

SEEDS = (2**32 - 1, 2)
"""First and count: the second seed has a high word."""

RESULTS = (
    "seed", "outcome", "updates_done", "converged_at", "loss", "loss_start", "spread", "spread_start", "max_error", "wrong",
    "one_sided", "saturation", "grad_norm", "weight_max", "outputs",
)  # fmt: skip
"""Columns of a row's results: a column added later, or an id made otherwise, is no change of these."""


def exactly(value):
    """Bits and all."""
    if isinstance(value, list):
        return [exactly(item) for item in value]
    return value.hex() if isinstance(value, float) else value


def digest(setup, lanes, start=SEEDS[0], count=SEEDS[1]):
    """The sha256 over the decoded rows of some seeds."""
    with np.errstate(all="ignore"):  # with the JIT off NumPy would warn of a run that diverges
        rows = train(setup, start, count, lanes=lanes)
    table = to_arrow(setup, start, rows).select(RESULTS).to_pylist()
    text = json.dumps([[exactly(row[name]) for name in RESULTS] for row in table])
    return hashlib.sha256(text.encode()).hexdigest()


def whole(digests):
    """The digest of the sweep."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@njit(**FLAGS)
def _loop(x):
    wide()
    for i in range(x.size):
        x[i] = sigmoid(x[i])


def object_code(kernel):
    """What the linker gets of a kernel, for all types that it was called with: found in its files on disk."""
    files, codegen = kernel._cache._cache_file, kernel.targetctx.codegen()
    index = files._load_index()
    names = [index[kernel._cache._index_key(signature, codegen)] for signature in kernel.signatures]
    return b"".join(Path(files._data_path(name)).read_bytes() for name in names)


def calls(code, function):
    """Whether object code names a function of the C library, or its twin for float32."""
    return re.search(rb"(?<![a-z0-9])%sf?\0" % function.encode(), code) is not None


def instructions(lanes):
    """What this process makes, None with the JIT off: 512-bit vectors, fused multiply-adds, a trainer that calls libm's fma."""
    if config.DISABLE_JIT:
        return None
    _loop(np.zeros(64))
    (assembly,) = _loop.inspect_asm().values()
    code = object_code(trainer(lanes, 0))
    return {"zmm": "zmm" in assembly, "vfmadd": "vfmadd" in assembly, "calls fma": calls(code, "fma")}


if __name__ == "__main__":
    lanes = int(sys.argv[1])
    json.dump({"digests": [digest(setup, lanes) for setup in SETUPS], "uses": instructions(lanes)}, sys.stdout)
