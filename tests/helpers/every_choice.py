"""A small sweep that uses every choice, and the digests of its rows.

Few updates, so that it also runs with the JIT off, and where fused multiply-adds are done in
software.
"""

import ctypes
import hashlib
import json
import re
from ctypes.util import find_library

import numpy as np
import pyarrow as pa
from numba import config, njit

from fastbp import Setup, Sweep
from fastbp.engine.block import train
from fastbp.engine.rows import to_arrow
from fastbp.engine.tasks import optimizer
from fastbp.kernels.jit import FLAGS
from fastbp.kernels.memory import empty_block
from fastbp.kernels.tiles import fma, load, store

BOTH = [
    {"problem": "table:11101011", "lr": 0.2, "order": "random", "updates": 42},
    {
        "problem": "xor",
        "hidden": (2,),
        "init": "uniform",
        "init_scale": 2,
        "loss": "cross-entropy",
        "lr": 2,
        "epochs": 11,
    },
    {
        "problem": "encoder:3",
        "hidden": (2,),
        "init": "glorot-normal",
        "order": "cyclic",
        "updates": 20,
    }
    | {"schedule": "step:every=2,factor=0.5"},
    {
        "problem": "parity:3",
        "hidden": (5,),
        "init": "glorot-uniform",
        "order": "blocked:3",
        "prime_offset": 0.1,
        "updates": 21,
    },
    {"problem": "xor", "hidden": (3, 2), "batch": 3, "momentum": 0.5, "epochs": 7}
    | {"schedule": "exponential:factor=0.75,warmup=1"},
    {
        "problem": "xor",
        "batch": "full",
        "schedule": "cosine:warmup=2",
        "weight_decay": 0.01,
        "bias": False,
        "epochs": 9,
    },
    {
        "problem": "encoder:4",
        "hidden": (1,),
        "batch": 3,
        "reduction": "mean",
        "target_margin": 0.1,
        "updates": 13,
    }
    | {"schedule": "linear"},
    {
        "problem": "table:0001",
        "hidden": (2, 3, 2),
        "schedule": "inverse:tau=2.5",
        "scale_inputs": "standard",
        "updates": 18,
    },
    {
        "problem": "table:01",
        "hidden": (1,),
        "scale_inputs": "minmax",
        "lr": 8,
        "eval_every": 1,
        "epochs": 14,
    }
    | {"schedule": "constant:warmup=3"},
    {
        "problem": "table:1111",
        "hidden": (2,),
        "loss": "cross-entropy",
        "order": "random",
        "batch": 2,
        "updates": 11,
    }
    | {"momentum": 0.9},
    {"problem": "parity:5", "hidden": (2,), "order": "shuffled", "updates": 33},
    {
        "problem": "table:01",
        "hidden": (1,),
        "order": "random",
        "lr": 8,
        "eval_every": 1,
        "stop": "converged",
        "updates": 41,
    },
    {"problem": "table:0111", "hidden": (2,), "lr": 5, "batch": 3, "momentum": 0.5, "updates": 27}
    | {"eval_every": 2, "stop": "converged"},
    {
        "problem": "xor",
        "hidden": (2,),
        "init": "grid:side=3,x=8,y=2,origin=5",
        "init_scale": 3,
        "batch": "full",
        "epochs": 9,
    }
    | {"lr": 9, "momentum": 0.8, "stop": "converged"},
]
DIVERGING = {"problem": "xor", "hidden": (2,), "lr": 1e6, "weight_decay": 1e6, "updates": 40}
DTYPES = ("float64", "float32")
BEGINNINGS = [{**BOTH[0], "updates": 21}, {**BOTH[4], "epochs": 3}]
"""The same as others but for the budget: the engine trains the two as one. The first ends inside an
epoch."""

UNITS = [
    {"problem": "parity:3", "hidden": (3, 2), "activation": ["tanh", "relu"], "output": "tanh"}
    | {"optimizer": "adam:beta2=0.99", "batch": 2, "init": "he-normal", "epochs": 4},
    {"problem": "parity:3", "hidden": (2, 3), "activation": ["leaky-relu:slope=0.125", "elu"]}
    | {"output": "linear", "optimizer": "rmsprop", "batch": 3, "init": "lecun-uniform"}
    | {"bias_init": 0.125, "epochs": 3, "dtype": "float32"},
    {"problem": "encoder:3", "hidden": (2, 2), "activation": ["selu", "softplus"], "lr": 0.5}
    | {"output": "softmax", "loss": "cross-entropy", "optimizer": "adagrad", "epochs": 6}
    | {"init": "lecun-normal", "bias_init": "zeros"},
    {"problem": "parity:3", "hidden": (2, 2), "activation": ["exponential", "linear"]}
    | {"output": "relu", "optimizer": "rprop", "batch": "full", "init": "he-uniform"}
    | {"epochs": 9, "dtype": "float32"},
    {"problem": "xor", "hidden": (2,), "optimizer": "quickprop", "batch": "full", "lr": 0.5}
    | {"init": "torch", "init_scale": 2, "epochs": 12},
    {"problem": "xor", "hidden": (3,), "activation": "relu", "momentum": 0.5, "nesterov": True}
    | {"batch": 2, "init": "constant:c=0.25", "epochs": 8, "dtype": "float32"},
    {"problem": "xor", "hidden": (3,), "activation": "tanh", "output": "linear", "epochs": 9}
    | {"init": "zeros", "bias_init": 0.5},
]
"""Every activation, output, optimiser and init that the others do not have."""

KEYS = [
    *({**keys, "dtype": dtype} for dtype in DTYPES for keys in (*BOTH, DIVERGING)),
    *({**keys, "dtype": dtype} for dtype in DTYPES for keys in BEGINNINGS),
    *UNITS,
]
EVERY = [Setup(**keys) for keys in KEYS]
SETUPS = EVERY[: -len(UNITS) - len(DTYPES) * len(BEGINNINGS)]

START, FEW, MANY = 2**32 - 1, 2, 5
"""The first seed, and how many there are: the second one has a high word."""

OF_SOME = {
    ("float64", "online", "sigmoid"),
    ("float32", "momentum", "sigmoid"),
    ("float32", "rmsprop", "linear"),
}

PARTS: dict[str, list[int]] = {
    "all": [*range(len(EVERY))],
    "some": [
        at
        for at, setup in enumerate(EVERY)
        if (setup.dtype, optimizer(setup), setup.output) in OF_SOME
    ],
}
"""Which of `EVERY`: all, or those of three kernels, which train in both ways and in both dtypes."""

SWEEPS = {
    part: Sweep(
        seeds={"start": START, "count": MANY},
        grid=[{key: [value] for key, value in KEYS[at].items()} for at in places],
    )
    for part, places in PARTS.items()
}
"""These from `MANY` seeds, as the engine takes them."""

# By numerics version. Where a test of these fails, a bit of some result has changed, and published
# rows cannot be made again. It fails until the change is undone, or NUMERICS_VERSION in
# fastbp/kernels is raised and the new digests stand here as well.
DIGESTS = {
    1: "f48904ccfc864e4a3ed49cb23fd386a4c9e079f52dfba067c2ab498787d864a4",
    2: "97fcf70b90b5afa285c6bc3747ebabde5e3b02f1002f36daa7982903932d4a1f",
}
"""Of `SETUPS` from `FEW` seeds."""

DIGESTS_OF_MANY = {
    2: (
        "565a900c5f8bed95334da0f65b255d8c1d7261f9d200ad67b27a2b02d376a3d5",
        "a4386268f980ee4ac775237dd76f86178def74c027e70f9e2f52848c7e62d654",
    ),
}
"""Of `EVERY` from `MANY` seeds: of those before `UNITS`, and of these."""

RESULTS = (
    "seed",
    "outcome",
    "updates_done",
    "converged_at",
    "loss",
    "loss_start",
    "spread",
    "spread_start",
    "max_error",
    "wrong",
    "one_sided",
    "saturation",
    "grad_norm",
    "weight_max",
    "outputs",
)
"""Columns of a row's results: a column added later, or an id made otherwise, is no change of
these."""


def exactly(value):
    """Bits and all."""
    if isinstance(value, list):
        return [exactly(item) for item in value]
    return value.hex() if isinstance(value, float) else value


def rows_of(setup, lanes, start=START, count=FEW):
    """The rows of some seeds, as they are stored."""
    with np.errstate(all="ignore"):  # with the JIT off NumPy would warn of a run that diverges
        return to_arrow(setup, start, train(setup, start, count, lanes=lanes))


def digest_of(rows: pa.Table) -> str:
    """The sha256 over decoded rows, in the order in which they stand."""
    text = json.dumps(
        [[exactly(row[name]) for name in RESULTS] for row in rows.select(RESULTS).to_pylist()]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def combined(digests):
    """The digest of the sweep."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def in_two(digests):
    """Those of the setups before `UNITS`, and of these, as `DIGESTS_OF_MANY` has them."""
    return combined(digests[: -len(UNITS)]), combined(digests[-len(UNITS) :])


@njit(**FLAGS)
def _one_tile(x):
    tile = load(x, 0, 1, 0, 1, 0)
    store(x, 0, 0, 0, fma(tile, tile, tile))


def object_code(kernel):
    """What the linker gets of a kernel, for all types that it was called with: as compiled here, or
    as it lies on disk."""
    return b"".join(
        compiled.library._compiled_object or kernel._cache.file(signature).read_bytes()
        for signature, compiled in kernel.overloads.items()
    )


def calls(code, function):
    """Whether object code names a function of the C library, or its twin for float32."""
    return re.search(rb"(?<![a-z0-9])%sf?\0" % function.encode(), code) is not None


def instructions(advance):
    """What this process makes, None with the JIT off: 512-bit vectors, fused multiply-adds, a
    trainer, which must have been called, that calls libm's fma."""
    if config.DISABLE_JIT:
        return None
    _one_tile(empty_block(64, np.float64))
    (assembly,) = _one_tile.inspect_asm().values()
    code = object_code(advance)
    return {
        "zmm": "zmm" in assembly,
        "vfmadd": "vfmadd" in assembly,
        "calls fma": calls(code, "fma"),
    }


def libm_fuses():
    """Whether libm's own fma, on x86, is the instruction, by how the functions begin that it has
    chosen for this process."""
    libm = ctypes.CDLL(find_library("m"))
    begins = [
        ctypes.string_at(ctypes.cast(function, ctypes.c_void_p).value, 16)
        for function in (libm.fma, libm.fmaf)
    ]
    fused = {
        re.search(rb"\xc4\xe2.[\x98-\x9b\xa8-\xab\xb8-\xbb]", code, re.DOTALL) is not None
        for code in begins
    }
    assert len(fused) == 1
    return fused.pop()
