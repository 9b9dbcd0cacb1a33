"""Compile the kernels that tests ask for, into the cache on disk: those that the first of them want
come first."""

import gc

from lanes import LANES, OTHER_LANES, group

from fastbp import Setup

gc.disable()
for keys in ({}, {"batch": 2}, {"batch": 2, "momentum": 0.5}):
    for dtype, lanes in (("float64", LANES), ("float32", LANES), *OTHER_LANES):
        runs = group(Setup(problem="parity:3", updates=1, dtype=dtype, **keys), lanes=lanes)
        runs.advance(0)
        runs.measure()
