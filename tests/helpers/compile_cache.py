"""Compile the kernels that tests ask for, into the cache on disk: those that the first of them want
come first."""

import gc

from lanes import LANES, OTHER_LANES, group

from fastbp import Setup

if __name__ == "__main__":
    gc.disable()
    kinds = [("float64", LANES), ("float32", LANES), *OTHER_LANES]
    for dtype, lanes, keys in [(*kind, keys) for keys in ({}, {"batch": 2}) for kind in kinds]:
        runs = group(Setup(problem="parity:3", updates=1, dtype=dtype, **keys), lanes=lanes)
        runs.advance(0)
        runs.measure()
