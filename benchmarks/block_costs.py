"""What a block costs on an executor: small blocks, each of a setup of its own, against threads.

Run `python -m benchmarks.block_costs slurm` where the executor can be used, as inside an allocation
of Slurm. `-j` as for `fastbp sweep`. It prints milliseconds a block by the clock on the wall.
"""

import argparse

from benchmarks.workloads import ONLINE
from fastbp import Sweep
from fastbp.engine.backends import pool
from fastbp.engine.driver import drive
from fastbp.engine.plan import Plan

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("executor")
parser.add_argument("-j", "--jobs", type=int, default=1)
parser.add_argument("--blocks", type=int, default=1_000)
parser.add_argument("--rounds", type=int, default=3)

if __name__ == "__main__":
    given = parser.parse_args()
    rates = [0.1 + n / given.blocks for n in range(given.blocks)]
    sweep = Sweep(seeds=336, setup=ONLINE | {"updates": 99}, grid={"lr": rates})
    blocks = len(list(Plan(sweep).blocks(given.jobs)))
    least: dict[str, float] = {}
    for _ in range(given.rounds):
        for executor in ("threads", given.executor):
            spent = drive(Plan(sweep), pool=pool(executor, given.jobs)).seconds["train"]
            took = 1e3 * spent / blocks
            least[executor] = min(took, least.get(executor, took))
    for executor, took in least.items():
        print(f"{executor:10} {took:6.2f} ms a block, the best of {given.rounds}")
    print(f"{blocks:,} blocks of 336 runs, {given.jobs} at once")
