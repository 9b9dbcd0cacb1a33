"""Compile the kernels that tests ask for, into the cache on disk: those that the first of them want come first."""

import gc

from lanes import LANES, OTHER_LANES, group

from fastbp import Setup

if __name__ == "__main__":
    gc.disable()
    for dtype, lanes in [("float64", LANES), ("float32", LANES), ("float64", 168), ("float32", 336), *OTHER_LANES]:
        runs = group(Setup(problem="xor", updates=1, dtype=dtype), lanes=lanes)
        runs.advance(0)
        runs.measure()
