"""`python -m benchmarks`: fastbp beside the obvious loop, the whole command first and later, few seeds and many.

Every contender has a process of its own, rounds are interleaved so that a slow minute of the machine strikes all of them, and
what counts is the best of the rounds. Nothing is reported of contenders that do not compute the same.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.children import Server, run
from benchmarks.figures import Row, markdown, row, write_csv

UPDATES = 7_992
LARGEST_DIFFERENCE = {"float64": 1e-6, "float32": 1e-3}
CONTENDERS = {
    "obvious": "the obvious `@njit(parallel=True)`",
    "engine": "fastbp, blocks on threads",
    "library": "`fastbp.run`, to a DataFrame",
}
PARTS = ("network", "command", "sweeps", "scaling", "memory")


def network(rounds: int) -> Iterator[Row]:
    """Time of one update of one network, on all cores: fastbp and the obvious loop."""
    for dtype, limit in LARGEST_DIFFERENCE.items():
        with Server("benchmarks.contenders", "check", dtype) as check:
            difference = check.ready
        if not difference <= limit:
            raise SystemExit(f"benchmarks: not the same networks in {dtype}: {difference:.1e} apart after 100 updates")
        tell(f"{dtype}: the same weights within {difference:.0e} after 100 updates")
        times = defaultdict(list)
        with ExitStack() as stack:
            servers = {name: stack.enter_context(Server("benchmarks.contenders", name, dtype)) for name in CONTENDERS}
            for _ in range(rounds):
                for name, server in servers.items():
                    times[name].append(server.ask() * 1e9 / server.ready / UPDATES)
        for name, values in times.items():
            yield row(f"3-4-1 online, {dtype}", CONTENDERS[name], values, "ns/update")
        yield ratio(f"3-4-1 online, {dtype}", "obvious ÷ fastbp", times["obvious"], times["engine"])


def command(rounds: int, seeds: int) -> Iterator[Row]:
    """Seconds of `python -m fastbp.sweep founding`: first with nothing compiled, then again and again with a fresh store."""
    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        environment = {"FASTBP_CACHE_DIR": f"{folder}/cache"}
        times = defaultdict(list)
        for attempt in range(rounds + 1):
            tell(f"the founding sweep, time {attempt + 1}")
            store = Path(folder, f"store-{attempt}")
            ran = run(["fastbp.sweep", "founding", "-o", store, "--seeds", seeds, "--quiet"], environment)
            made = json.loads((store / "made.json").read_text())[-1]
            spent = made["seconds"]
            named = sum(spent[phase] for phase in ("compile", "train", "report"))
            times[attempt > 0, "in all"].append(ran.seconds)
            times[attempt > 0, "of it compiling or loading code"].append(spent["compile"])
            times[attempt > 0, "of it training and storing"].append(spent["train"])
            times[attempt > 0, "of it tables and picture"].append(spent["report"])
            times[attempt > 0, "of it starting, reading, ending"].append(ran.seconds - named)
    for (again, case), values in times.items():
        when = "later times" if again else "first time, nothing compiled"
        yield row(f"founding sweep, 8 × {seeds:,} runs, {when}", case, values, "s")


def sweeps(rounds: int, seeds: int, most: int) -> Iterator[Row]:
    """What the engine spares: shorter budgets, runs that have converged, runs that are there already, other shapes."""
    times = defaultdict(list)
    with Server("benchmarks.scaling") as server:

        def train(seeds: int, setup: Mapping[str, object], grid: Mapping[str, object]) -> float:
            return float(server.ask(" ".join(json.dumps(part, separators=(",", ":")) for part in (seeds, setup, grid))))

        crossed = {"order": ["random", "shuffled"], "lr": [0.1, 0.2]}
        for attempt in range(rounds):
            tell(f"budgets and early stopping, round {attempt + 1}")
            times["longer"].append(train(seeds, {"updates": UPDATES}, crossed))
            times["both"].append(train(seeds, {"updates": UPDATES}, crossed | {"updates": [999, UPDATES]}))
            for stop in ("budget", "converged"):
                times[stop].append(train(2 * seeds, {"updates": 10 * UPDATES, "stop": stop}, {}))
    budgets = f"4 setups × {seeds:,} seeds, training"
    yield row(budgets, "7,992 updates", times["longer"], "s")
    yield row(budgets, "999 and 7,992 updates", times["both"], "s")
    yield ratio(budgets, "both ÷ the longer alone", times["both"], times["longer"])
    early = f"3-4-1, rate 0.2, 79,920 updates, {2 * seeds:,} seeds, training"
    yield row(early, '`stop = "budget"`', times["budget"], "s")
    yield row(early, '`stop = "converged"`', times["converged"], "s")
    yield ratio(early, "budget ÷ converged", times["budget"], times["converged"])

    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        tell(f"a complete store of {most:,} runs")
        whole = ["fastbp.sweep", "founding", "-o", Path(folder, "whole"), "--seeds", most, "--quiet"]
        whole += [part for setting in ("order=random", "lr=0.2", "updates=8") for part in ("--set", setting)]
        run(whole, {})
        yield row(f"a complete store of {most:,} runs", "to say so", [run(whole, {}).seconds for _ in range(rounds)], "s")

        tell("thirty shapes")
        shapes = f"hidden={list(range(1, 31))}".replace(" ", ""), "order=random", "lr=0.2", "updates=80"
        for attempt, case in enumerate(("first time, nothing compiled", "later")):
            store = Path(folder, f"shapes-{attempt}")
            options = [part for setting in shapes for part in ("--set", setting)]
            run(
                ["fastbp.sweep", "founding", "-o", store, "--seeds", 320, "--quiet", *options],
                {"FASTBP_CACHE_DIR": f"{folder}/cache"},
            )
            spent = json.loads((store / "made.json").read_text())[-1]["seconds"]
            yield row("30 shapes, compiling or loading code", case, [spent["compile"]], "s")


def ratio(measurement: str, case: str, these: Sequence[float], those: Sequence[float]) -> Row:
    """How many times as long these took as those."""
    a, b = (row(measurement, case, values, "times") for values in (these, those))
    return a._replace(best=a.best / b.best, median=a.median / b.median)


def scaling(rounds: int, most: int) -> Iterator[Row]:
    """Throughput of one setup, from 10,000 seeds to a million."""
    sizes = [seeds for seeds in (10_000, 100_000, 1_000_000) if seeds <= most]
    rates = defaultdict(list)
    with Server("benchmarks.scaling") as server:
        for _ in range(rounds):
            for seeds in sizes:
                tell(f"{seeds:,} seeds")
                # The less there is to do, the more a moment counts.
                for _ in range(5 if seeds < 100_000 else 1):
                    rates[seeds].append(seeds * server.ready / server.ask(seeds) / 1e6)
    for seeds, values in rates.items():
        yield row("throughput, 3-4-1, 999 updates", f"{seeds:,} seeds", values, "million updates/s", more_is_better=True)


def memory(seeds: int, whole: bool) -> Iterator[Row]:
    """Peak memory of the command, few seeds and many; `whole`: of the founding sweep, not just its first setup."""
    one = () if whole else ("--set", "order=random", "--set", "updates=999", "--set", "lr=0.2")
    peaks = []
    for count in (1_000, seeds):
        tell(f"memory with {count:,} seeds")
        with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
            ran = run(["fastbp.sweep", "founding", "-o", Path(folder, "store"), "--seeds", count, "--quiet", *one], {})
        peaks.append(ran.peak)
        yield row(f"peak memory, {'8 setups' if whole else '1 setup'}", f"{count:,} seeds", [ran.peak], "MB")
    yield row(f"peak memory, {'8 setups' if whole else '1 setup'}", "more for more seeds", [peaks[1] - peaks[0]], "MB")


def tell(line: str) -> None:
    """Say how far it is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer rounds and seeds: to see that it runs, not to quote")
    size.add_argument("--full", action="store_true", help="more rounds, and memory on the whole founding sweep (10 minutes more)")
    parser.add_argument("-o", "--output", type=Path, metavar="CSV", help="write the figures there as well")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = parser().parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser().error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    rounds = 3 if options.quick else 15 if options.full else 7
    most = 100_000 if options.quick else 1_000_000
    measurements = {
        "network": lambda: network(rounds),
        "command": lambda: command(1 if options.quick else 3, 1_000 if options.quick else 10_000),
        "sweeps": lambda: sweeps(1 if options.quick else 3, 1_000 if options.quick else 10_000, most),
        "scaling": lambda: scaling(2 if options.quick else 3, most),
        "memory": lambda: memory(most, options.full),
    }
    load = f"{os.getloadavg()[0]:.1f}"
    with Server("benchmarks.machine") as server:
        machine = {"date": time.strftime("%Y-%m-%d"), **server.ready, "load at the start": load}
    rows: list[Row] = []
    for part in options.parts or PARTS:
        rows += measurements[part]()
    print(markdown(rows, machine))
    if options.output:
        write_csv(options.output, rows, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
