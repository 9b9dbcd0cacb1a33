"""What it costs to store rows, to verify them, and to train elsewhere.

`python -m benchmarks.store_costs` takes a line of JSON and answers with seconds, or rows/s:
`{"store": true or false, "seeds": N}` trains the founding sweep into a store or into nowhere,
`{"verify": N}` checks a store of N runs of one setup, and `{"executor": NAME, "seeds": N}` trains
one setup in blocks of half a second, and takes only the time of training.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.children import say
from benchmarks.contenders.engine import store_and_train
from benchmarks.workloads import ONLINE
from fastbp import Sweep
from fastbp.cli.arguments import sweep_file
from fastbp.engine import integrity, plan
from fastbp.engine.driver import drive
from fastbp.store.store import Store

LONG = ONLINE | {"updates": 79_920}
"""Half a second is 336 seeds of these, or 672."""


def founding(store: bool, seeds: int) -> float:
    """Seconds of training, and of writing what is left."""
    sweep = Sweep.from_toml(sweep_file("founding"), seeds=seeds)
    spent = (store_and_train(sweep) if store else drive(plan.Plan(sweep))).seconds
    return spent["train"] + spent["write"]


def executor(name: str, seeds: int) -> float:
    """Seconds of training."""
    usual, plan.BLOCK_SECONDS = plan.BLOCK_SECONDS, 0.5
    try:
        return store_and_train(Sweep(seeds=seeds, setup=dict(LONG)), executor=name).seconds["train"]
    finally:
        plan.BLOCK_SECONDS = usual


def verified(runs: int) -> float:
    """Rows checked in a second."""
    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        store = Store(Path(folder, "store"))
        store.open()
        drive(plan.Plan(Sweep(seeds=runs, setup=ONLINE | {"updates": 8})), store)
        began = time.perf_counter()
        checked = integrity.check(store)
        took = time.perf_counter() - began
    assert checked.runs == runs
    assert not checked.findings
    return runs / took


if __name__ == "__main__":
    founding(True, 100)  # imports what is imported late
    say(None)
    for line in sys.stdin:
        question = json.loads(line)
        if "verify" in question:
            say(verified(question["verify"]))
        elif "executor" in question:
            say(executor(question["executor"], question["seeds"]))
        else:
            say(founding(question["store"], question["seeds"]))
