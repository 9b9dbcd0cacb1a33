"""Compile the kernels that tests ask for, into the cache on disk: those that the first of them want
come first."""

import gc

from every_choice import UNITS
from lanes import LANES, SHIPPED_LANES, group

from fastbp import Setup

gc.disable()
SIGMOID = [
    ({"problem": "parity:3", "updates": 1, "dtype": dtype} | keys, lanes)
    for keys in ({}, {"batch": 2}, {"batch": 2, "momentum": 0.5}, {"momentum": 0.5})
    for dtype in SHIPPED_LANES
    for lanes in (SHIPPED_LANES[dtype], LANES)
]
for keys, lanes in (*SIGMOID, *((keys, LANES) for keys in UNITS)):
    runs = group(Setup(**keys), lanes=lanes)
    runs.advance(0)
    runs.measure()
