"""`python -m benchmarks`: fastbp beside everything one could pick instead, the whole command first
and later, few seeds and many.

Every contender has a process of its own, rounds are interleaved so that a slow minute of the
machine strikes all of them, and what counts is the best of the rounds. Contenders that do not
compute the same are named, and not timed.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmarks import coverage, parts
from benchmarks.children import HERE, EndedError, Server, clean
from benchmarks.figures import (
    COMPILING,
    CONTENDERS,
    CPU,
    FAILS,
    FAMILIES,
    PRESENTATION,
    Row,
    all_rows,
    contenders,
    families,
    headline,
    machine_line,
    read_csv,
    replaced,
    write_csv,
)
from benchmarks.race import race
from benchmarks.workloads import BY_CHOICE, DTYPES, KS_SEEDS, WORKLOADS

PARTS = (CONTENDERS, FAMILIES, "early", "scaling", "command", "sweeps", "store", "memory")
COVERAGE = "coverage"
PAGE = HERE / "benchmarks" / "README.md"
FIGURES, FIGURES_OF_FAMILIES = PAGE.with_name("figures.csv"), PAGE.with_name("families.csv")


class Size(NamedTuple):
    """How much is measured."""

    parts: Sequence[str]
    """Where none is named."""
    work: Sequence[tuple[str, str]]
    """Workloads, each in a dtype."""
    choices: Sequence[str]
    """Workloads with a choice, all in float64."""
    rounds: int
    seconds: float
    """About how long a contender works in a round."""
    ks_seeds: int
    early_seeds: int
    few_rounds: int
    """Of what takes longer."""
    sizes: Sequence[int]
    widths: Sequence[int]
    lanes: Sequence[int]
    runs: int
    """Seeds of a setup of the founding sweep."""
    most: int
    whole_memory: bool


DEFAULT = Size(
    parts=PARTS,
    work=tuple(product(WORKLOADS, DTYPES)),
    choices=tuple(BY_CHOICE),
    rounds=5,
    seconds=0.35,
    ks_seeds=KS_SEEDS,
    early_seeds=20_480,
    few_rounds=2,
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    widths=(4, 8, 16, 32, 64, 128, 256),
    lanes=(),
    runs=10_000,
    most=1_000_000,
    whole_memory=False,
)
QUICK = Size(
    parts=(CONTENDERS, FAMILIES, "early", "scaling", "command"),
    work=(("W1", "float64"), ("W1", "float32"), ("W3, H 32", "float64")),
    choices=("W1, tanh", "W2, adam"),
    rounds=2,
    seconds=0.2,
    ks_seeds=200,
    early_seeds=5_120,
    few_rounds=1,
    sizes=(1_000, 10_000),
    widths=(8, 32),
    lanes=(),
    runs=1_000,
    most=100_000,
    whole_memory=False,
)
FULL = DEFAULT._replace(
    rounds=11, seconds=0.7, few_rounds=3, lanes=(8, 32, 96, 160, 256), whole_memory=True
)


def measure(part: str, size: Size, cores: int) -> list[Row]:
    """All rows of a part."""
    measurements = {
        CONTENDERS: lambda: race(size.work, cores, size.rounds, size.seconds, size.ks_seeds),
        FAMILIES: lambda: parts.families(size.choices, cores, size.rounds, size.seconds),
        "early": lambda: parts.early(size.few_rounds, size.early_seeds),
        "scaling": lambda: parts.scaling(size.few_rounds, size.sizes, size.widths, size.lanes),
        "command": lambda: parts.command(size.few_rounds, size.runs),
        "sweeps": lambda: parts.sweeps(size.few_rounds, size.runs, size.most),
        "store": lambda: parts.store_costs(size.few_rounds, size.runs, size.most),
        "memory": lambda: parts.memory(size.most, size.whole_memory),
    }
    return list(measurements[part]())


def page(rows: list[Row], machine: dict[str, str]) -> str:
    """All tables."""
    measured = {row.part for row in rows}
    units = (PRESENTATION, CPU, COMPILING)
    tables = [contenders(rows, unit) for unit in units if CONTENDERS in measured]
    tables += [families(rows)] * (FAMILIES in measured)
    tables += [all_rows(rows)] * bool(measured - {CONTENDERS, FAMILIES})
    return "\n\n".join([machine_line(machine), *tables])


def write_pages(rows: list[Row], machine: dict[str, str]) -> None:
    """Figures, pictures, and the tables between the markers of the two pages.

    The table of families compares rows with each other only, so it may come from a run of its own.
    """
    apart = [row for row in rows if row.part == FAMILIES]
    rows = [row for row in rows if row.part != FAMILIES]
    if apart:
        write_csv(FIGURES_OF_FAMILIES, apart, machine)
        write(PAGE, FAMILIES, page(apart, machine))
    if not rows:
        return
    write_csv(FIGURES, rows, machine)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.pictures", FIGURES, FIGURES.parent],
        cwd=HERE,
        env=clean(),
        check=True,
    )
    write(HERE / "README.md", "headline", headline(rows))
    write(PAGE, "figures", page(rows, machine))


def write(path: Path, name: str, content: str) -> None:
    """Replace what stands between the markers of this name on a page."""
    path.write_text(replaced(path.read_text(encoding="utf-8"), name, content), encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)} (default: all); {COVERAGE}, which times "
        "nothing, says how often the intervals of tables cover what they are to cover",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_true",
        help="fewer of all: to see that it runs, not to quote (2 minutes)",
    )
    size.add_argument(
        "--full",
        action="store_true",
        help="more rounds, numbers of lanes, memory of the whole sweep",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="CSV", help="write the figures there as well"
    )
    parser.add_argument(
        "--read", type=Path, metavar="CSV", help="measure nothing: take the figures from there"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="write figures, pictures and tables into this checkout's pages: of all parts, or of "
        f"{FAMILIES} alone",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code: 1 where a contender does not compute the same."""
    options = parser().parse_args(arguments)
    if options.parts == [COVERAGE]:
        text = coverage.table(coverage.all_rows())
        print(text)
        if options.write:
            coverage.picture(HERE / "docs" / "coverage.svg")
            write(HERE / "docs" / "statistics.md", COVERAGE, text)
        return 0
    if unknown := set(options.parts) - set(PARTS):
        parser().error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    if options.write and options.parts not in ([], [FAMILIES]):
        parser().error(
            f"--write takes all parts, or {FAMILIES} alone: figures side by side come from one run"
        )
    if options.read:
        rows, machine = read_csv(options.read)
    else:
        load = f"{os.getloadavg()[0]:.1f}"
        with Server("benchmarks.machine") as server:
            machine = {"date": time.strftime("%Y-%m-%d"), **server.ready, "load at the start": load}
        size = QUICK if options.quick else FULL if options.full else DEFAULT
        rows = [
            row
            for part in options.parts or size.parts
            for row in measure(part, size, int(machine["cores"]))
        ]
    print(page(rows, machine))
    if options.output:
        write_csv(options.output, rows, machine)
    if options.write:
        write_pages(rows, machine)
    return 1 if any(row.note.startswith(FAILS) for row in rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EndedError as error:
        sys.exit(f"benchmarks: {error}")
