"""One setup, or some that differ in a key, trained and written to a fresh store, or trained with a
number of lanes.

`python -m benchmarks.scaling` takes a line of JSON with `seeds`, `setup` (keys that differ from
those of 3-4-1 online), `grid`, `jobs` and `lanes`, all but the first optional, and answers with the
seconds. `seeds` may be null: as many as keep all cores busy for a moment; they come back with the
answer, and with the presentations of a run and its number of weights.
"""

import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

from benchmarks.children import say
from benchmarks.contenders.engine import store_and_train
from benchmarks.workloads import ONLINE
from fastbp import Setup, Sweep
from fastbp.engine import block, plan
from fastbp.engine.machine import available_cores


def trained(setup: Setup, seeds: int, lanes: int) -> None:
    """Train blocks on all cores with a number of lanes; nothing is written."""
    size = plan.block_seeds(setup)
    with ThreadPoolExecutor(available_cores()) as pool:
        list(
            pool.map(
                lambda start: block.train(setup, start, min(size, seeds - start), lanes=lanes),
                range(0, seeds, size),
            )
        )


NOTHING: Mapping[str, Any] = MappingProxyType({})


def measured(
    seeds: int | None,
    setup: Mapping[str, Any] = NOTHING,
    grid: Mapping[str, Any] = NOTHING,
    jobs: int | None = None,
    lanes: int | None = None,
) -> dict[str, float]:
    """Train, and say how long it took but for compiling."""
    keys = ONLINE | dict(setup)
    one = Setup(**keys)
    seeds = seeds or available_cores() * plan.block_seeds(one)
    if lanes:
        trained(one, 1, lanes)  # compiles
        began = time.perf_counter()
        trained(one, seeds, lanes)
        seconds = time.perf_counter() - began
    else:
        began = time.perf_counter()
        phases = store_and_train(Sweep(seeds=seeds, setup=keys, grid=dict(grid)), jobs).seconds
        seconds = time.perf_counter() - began - phases["compile"]
    return {
        "seconds": seconds,
        "seeds": seeds,
        "presentations": one.budget * one.batch_rows,
        "weights": one.parameters,
    }


if __name__ == "__main__":
    measured(1)  # imports what is imported late
    say(None)
    for line in sys.stdin:
        say(measured(**json.loads(line)))
