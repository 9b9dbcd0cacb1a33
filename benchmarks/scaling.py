"""One setup, or some that differ in a key, by the driver, written to a fresh store.

`python -m benchmarks.scaling` answers with the updates of a run, and then, for each line "SEEDS [SETUP [GRID]]" on its standard
input, trains so many seeds of that setup (JSON; what is not said is as in `SETUP`) and answers with the seconds.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from benchmarks.children import say
from fastbp.engine.run import drive
from fastbp.engine.spec import Sweep
from fastbp.engine.store import Store

SETUP = {"problem": "table:11101011", "hidden": [4], "order": "random", "lr": 0.2, "updates": 999}


def seconds(seeds: int, setup: Mapping[str, Any] = {}, grid: Mapping[str, Any] = {}) -> float:
    """Seconds to train and store so many runs; everything is compiled already."""
    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        store = Store(folder)
        store.open()
        return drive(Sweep(seeds=seeds, setup=SETUP | setup, grid=grid), store).seconds["train"]


def main() -> None:
    """Serve."""
    seconds(1_000)
    say(SETUP["updates"])
    for line in sys.stdin:
        say(seconds(*map(json.loads, line.split())))


if __name__ == "__main__":
    main()
