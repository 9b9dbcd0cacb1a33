"""What is measured besides the race: choices one by one, runs that end early, scaling, the whole
command, what the engine spares, memory."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.children import Server, run
from benchmarks.figures import FAMILIES, Row, ratio, row
from benchmarks.race import race, tell
from benchmarks.workloads import DTYPES, EARLY, wide

WAYS = {
    "refill": "fastbp, lanes refilled",
    "waiting": "waiting for the slowest lane",
    "budget": "fastbp, to the end of the budget",
    "obvious": "the obvious `@njit(parallel=True)`, leaving early",
}
PHASES = {
    "start": "imports, reading, planning",
    "compile": "compiling or loading code",
    "train": "training and writing",
    "write": "writing the rest",
    "tables": "tables",
    "page": "page and pictures",
}
"""Phases of the command, in their order, as its `--json` names them, in words."""

COMMAND, FIRST, LATER = (
    "founding sweep, 8 × {:,} runs",
    "first time, nothing compiled",
    "later times",
)
EXECUTORS, BLOCKS = ("threads", "processes", "dask"), "blocks of half a second on all cores"
CORES, SEEDS, LANES, WIDTHS = (
    f"scaling with {what}" for what in ("cores", "seeds", "lanes", "hidden units")
)


def families(choices: Sequence[str], cores: int, rounds: int, seconds: float) -> Iterator[Row]:
    """Every activation and every optimiser: fastbp against the obvious loop with the same one."""
    work = [(name, "float64") for name in choices]
    return race(work, cores, rounds, seconds, part=FAMILIES, names=("engine", "obvious"))


def early(rounds: int, seeds: int) -> Iterator[Row]:
    """Runs that end once they have converged: fastbp against waiting, not stopping, and the obvious
    loop."""
    for dtype in DTYPES:
        times = defaultdict(list)
        with Server("benchmarks.early", dtype, seeds) as server:
            if not server.ready["agree"]:
                raise SystemExit(
                    "benchmarks: refilled lanes and waiting ones do not converge at the same "
                    f"updates in {dtype}"
                )
            for attempt in range(rounds):
                tell(f"{EARLY.title}, {dtype}, round {attempt + 1}")
                for way in WAYS:
                    times[way].append(server.ask(way))
        measurement = f"{EARLY.title}, {dtype}"
        for way, case in WAYS.items():
            yield row("early", measurement, case, times[way], "ns/useful update")
        for way in ("waiting", "budget", "obvious"):
            yield ratio(
                "early", measurement, f"{WAYS[way]} ÷ refilled", times[way], times["refill"]
            )


def scaling(
    rounds: int, sizes: Sequence[int], widths: Sequence[int], lanes: Sequence[int]
) -> Iterator[Row]:
    """One core to all, few seeds to many, few lanes to many, narrow layers to wide ones."""
    with Server("benchmarks.scaling") as server:

        def ask(seeds: int | None, **rest: object) -> dict[str, float]:
            told: dict[str, float] = server.ask(json.dumps({"seeds": seeds, **rest}))
            told["ns"] = told["seconds"] * 1e9 / told["seeds"] / told["presentations"]
            return told

        yield from _cores(ask, rounds)
        yield from _several(
            ask, rounds, SEEDS, {f"{size:,} seeds": {"seeds": size} for size in sizes}, "ns/update"
        )
        yield from _several(
            ask,
            rounds,
            LANES,
            {f"{count} lanes": {"seeds": None, "lanes": count} for count in lanes},
            "ns/update",
        )
        wider = {
            f"8-{width}-1": {"seeds": None, "setup": dict(wide(width, 8_192).setup)}
            for width in widths
        }
        yield from _several(ask, rounds, WIDTHS, wider, "ns/presentation/weight")


def _cores(ask, rounds: int) -> Iterator[Row]:
    times = defaultdict(list)
    for attempt in range(rounds):
        tell(f"one core and all, round {attempt + 1}")
        for dtype in DTYPES:
            seeds = 2 * int(ask(None, setup={"dtype": dtype})["seeds"])
            for jobs in (1, None):
                times[dtype, jobs].append(ask(seeds, jobs=jobs, setup={"dtype": dtype})["ns"])
    for (dtype, jobs), values in times.items():
        yield row(
            "scaling", CORES, f"{'one core' if jobs else 'all cores'}, {dtype}", values, "ns/update"
        )
    for dtype in DTYPES:
        yield ratio("scaling", CORES, f"one ÷ all, {dtype}", times[dtype, 1], times[dtype, None])


def _several(
    ask, rounds: int, measurement: str, cases: Mapping[str, Mapping[str, object]], unit: str
) -> Iterator[Row]:
    times = defaultdict(list)
    for attempt in range(rounds):
        for case, question in cases.items():
            seeds = question["seeds"] or 10_000
            if attempt and seeds >= 1_000_000:
                continue  # long enough that one round says it
            tell(f"{measurement}: {case}, round {attempt + 1}")
            for _ in range(
                5 if seeds < 10_000 else 1
            ):  # the less there is to do, the more a moment counts
                told = ask(**question)
                times[case].append(told["ns"] / (told["weights"] if unit.endswith("weight") else 1))
    for case, values in times.items():
        yield row("scaling", measurement, case, values, unit)


def command(rounds: int, seeds: int) -> Iterator[Row]:
    """Seconds of `python -m fastbp.sweep founding`: first with nothing compiled, then again and
    again with a fresh store."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        for attempt in range(rounds + 1):
            tell(f"the founding sweep, time {attempt + 1}")
            store, when = Path(folder, f"store-{attempt}"), LATER if attempt else FIRST
            ran = run(
                ["fastbp.sweep", "founding", "-o", store, "--seeds", seeds, "--json"],
                {"FASTBP_CACHE_DIR": f"{folder}/cache"},
            )
            spent: dict[str, float] = json.loads(ran.output)["seconds"]
            del spent["total"]
            times[when, "in all"].append(ran.seconds)
            times[when, "of it Python itself"].append(ran.seconds - sum(spent.values()))
            for phase, words in PHASES.items():
                times[when, f"of it {words}"].append(spent[phase])
    for (when, case), values in times.items():
        yield row("command", f"{COMMAND.format(seeds)}, {when}", case, values, "s")


def sweeps(rounds: int, seeds: int, most: int) -> Iterator[Row]:
    """What the engine spares: shorter budgets, runs that are there already, other shapes."""
    times = defaultdict(list)
    crossed = {"order": ["random", "shuffled"], "lr": [0.1, 0.2]}
    with Server("benchmarks.scaling") as server:
        for attempt in range(rounds):
            tell(f"budgets, round {attempt + 1}")
            for case, grid in (("longer", crossed), ("both", crossed | {"updates": [999, 7_992]})):
                times[case].append(
                    server.ask(json.dumps({"seeds": seeds, "grid": grid}))["seconds"]
                )
    budgets = f"4 setups × {seeds:,} seeds, training"
    yield row("sweeps", budgets, "7,992 updates", times["longer"], "s")
    yield row("sweeps", budgets, "999 and 7,992 updates", times["both"], "s")
    yield ratio("sweeps", budgets, "both ÷ the longer alone", times["both"], times["longer"])

    with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
        tell(f"a complete store of {most:,} runs")
        whole = [
            "fastbp.sweep",
            "founding",
            "-o",
            Path(folder, "whole"),
            "--seeds",
            most,
            "--quiet",
        ]
        whole += _settings("order=random", "lr=0.2", "updates=8")
        run(whole, {})
        values = [run(whole, {}).seconds for _ in range(rounds)]
        yield row("sweeps", f"a complete store of {most:,} runs", "to say so", values, "s")

        tell("thirty shapes")
        shapes = f"hidden={list(range(1, 31))}".replace(" ", "")
        for attempt, case in enumerate((FIRST, "later")):
            store = Path(folder, f"shapes-{attempt}")
            thirty = ["fastbp.sweep", "founding", "-o", store, "--seeds", 320, "--json"]
            thirty += _settings(shapes, "order=random", "lr=0.2", "updates=80")
            ran = run(thirty, {"FASTBP_CACHE_DIR": f"{folder}/cache"})
            yield row(
                "sweeps",
                "30 shapes, compiling or loading code",
                case,
                [json.loads(ran.output)["seconds"]["compile"]],
                "s",
            )


def store_costs(rounds: int, seeds: int, most: int) -> Iterator[Row]:
    """What it costs to store rows, to verify them, and to train elsewhere."""
    times = defaultdict(list)
    with Server("benchmarks.store_costs") as server:
        for attempt in range(2 * rounds):
            tell(f"with a store and without, round {attempt + 1}")
            for store in (True, False):
                times[store].append(server.ask(json.dumps({"store": store, "seeds": seeds})))
        for attempt in range(rounds):
            for name in EXECUTORS:
                tell(f"{name}, round {attempt + 1}")
                times[name].append(server.ask(json.dumps({"executor": name, "seeds": 12 * 1344})))
        tell(f"verifying {most:,} runs")
        rates = [server.ask(json.dumps({"verify": most})) for _ in range(rounds)]
    kept = f"founding sweep, 8 × {seeds:,} runs, training"
    yield row("store", kept, "into a store", times[True], "s")
    yield row("store", kept, "into nowhere", times[False], "s")
    yield ratio("store", kept, "into a store ÷ into nowhere", times[True], times[False])
    for name in EXECUTORS:
        yield row("store", BLOCKS, name, times[name], "s")
    for name in EXECUTORS[1:]:
        yield ratio("store", BLOCKS, f"threads ÷ {name}", times["threads"], times[name])
    yield row(
        "store",
        f"verifying {most:,} runs",
        "all read and hashed",
        rates,
        "rows/s",
        more_is_better=True,
    )


def memory(seeds: int, whole: bool) -> Iterator[Row]:
    """Peak memory of the command, few seeds and many; `whole`: of the founding sweep, not just its
    first setup."""
    one = [] if whole else _settings("order=random", "updates=999", "lr=0.2")
    measurement = f"peak memory, {'8 setups' if whole else '1 setup'}"
    peaks = []
    for count in (1_000, seeds):
        tell(f"memory with {count:,} seeds")
        with tempfile.TemporaryDirectory(prefix="fastbp-benchmark-") as folder:
            ran = run(
                [
                    "fastbp.sweep",
                    "founding",
                    "-o",
                    Path(folder, "store"),
                    "--seeds",
                    count,
                    "--quiet",
                    *one,
                ],
                {},
            )
        peaks.append(ran.peak)
        yield row("memory", measurement, f"{count:,} seeds", [ran.peak], "MB")
    yield row("memory", measurement, "more for more seeds", [peaks[1] - peaks[0]], "MB")


def _settings(*settings: str) -> list[object]:
    return [part for setting in settings for part in ("--set", setting)]
