"""Compile the kernels that tests ask for, into the cache on disk: those that the first of them want come first."""

import gc

from lanes import LANES, OTHER_LANES, group

from fastbp import Setup
from fastbp.engine.block import AT_ONCE

if __name__ == "__main__":
    gc.disable()
    online, *batches = ({"batch": max(1, n), "momentum": 0.5 if n else 0} for n in (0, *AT_ONCE))
    wanted = [(dtype, LANES, keys) for dtype in ("float64", "float32") for keys in (online, *batches)]
    wanted += [(dtype, lanes, online) for dtype, lanes in OTHER_LANES]
    wanted += [(dtype, lanes, keys) for dtype, lanes in OTHER_LANES for keys in batches]
    for dtype, lanes, keys in wanted:
        runs = group(Setup(problem="parity:3", updates=1, dtype=dtype, **keys), lanes=lanes)
        runs.advance(0)
        runs.measure()
