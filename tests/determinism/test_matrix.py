"""One digest of all rows, whoever trains them: processors, threads and processes, blocks, lanes and
shards, in all pairs.

Processes that stand in for other processors make the cells of each. The long form makes every cell
of the whole product, through MPI and Slurm as well, and with another Python.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import cells
import llvmlite.binding as llvm
import pytest
from every_choice import (
    DIGESTS,
    DIGESTS_OF_MANY,
    DTYPES,
    EVERY,
    MANY,
    PARTS,
    SETUPS,
    START,
    UNITS,
    combined,
    in_two,
)
from fault_injection import srun
from lanes import LANES, SHIPPED_LANES
from pairs import pairs_of, pairwise
from stores import HELPERS, ROOT, opened

from fastbp.engine import compile_ahead
from fastbp.engine.merge import merge
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store.store import Store

OWN = "{}.{}".format(*sys.version_info)

X86 = platform.machine().lower() in ("x86_64", "amd64")
HOST = {name for name, has in llvm.get_host_cpu_features().items() if has}
HASWELL = {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt", "sse4.2"}
GLIBC = platform.libc_ver()[0] == "glibc"

NONE = {"zmm": False, "vfmadd": False, "calls fma": True}
GENERIC = {"NUMBA_CPU_NAME": "generic"}

# Without fused multiply-adds compiled code calls libm's, which picks its own way by the processor
# that it sees. The C library is told to see less; it passes over names that it does not know, and
# the first of these are those of versions before 2.33.
UNSEEN = (
    "AVX_Usable",
    "AVX2_Usable",
    "FMA_Usable",
    "FMA4_Usable",
    "AVX",
    "AVX2",
    "FMA",
    "FMA4",
    "AVX512F",
)

PROCESSORS: dict[str, tuple[dict[str, str], dict[str, bool] | None]] = {
    "native": ({}, {}),  # `expected` finds out
    # The features are written out, since a name alone leaves those of the host in force.
    "haswell": (
        {
            "NUMBA_CPU_NAME": "haswell",
            "NUMBA_CPU_FEATURES": ",".join(f"+{name}" for name in sorted(HASWELL)),
        },
        {"zmm": False, "vfmadd": True, "calls fma": False},
    ),
    "generic": (GENERIC, NONE | {"libm fuses": GLIBC and "fma" in HOST}),
    "software": (
        GENERIC | {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join(f"-{name}" for name in UNSEEN)},
        NONE | {"libm fuses": False},
    ),
    "jit off": ({"NUMBA_DISABLE_JIT": "1"}, None),
}
"""What makes a process compute as each does, and what its code then is made of; generic and
software share compiled code."""


def expected(processor: str) -> dict[str, bool]:
    """What the code of a processor is made of; empty with the JIT off."""
    uses = PROCESSORS[processor][1]
    if processor != "native":
        return uses or {}
    if X86 and "fma" not in HOST:
        return NONE | {"libm fuses": False}
    return {"zmm": "avx512f" in HOST, "vfmadd": "fma" in HOST, "calls fma": False}


EXECUTORS = ("threads", "processes", "dask")

BLOCKS = {"all": None, "3": (3, 3), "1 of 4": (4, 1), "1": (1, 1)}
"""Seeds of a file and of a block; all fit into one as it ships."""

USED: dict[str, dict[str, int]] = {
    str(LANES): dict.fromkeys(DTYPES, LANES),
    "shipped": {},
    "few": {"float64": 8, "float32": 16},
}
"""Runs side by side; the suite compiles for all of them."""


class Cell(NamedTuple):
    processor: str
    executor: str
    workers: int
    blocks: str
    lanes: str
    shards: int

    def __str__(self) -> str:
        return "{}: {} {}, blocks {}, lanes {}, shards {}".format(*self)


def is_cheap(cell: Cell) -> bool:
    """For other processors no lanes are compiled but one number, and Dask, which takes longest to
    start, is nothing to them that processes are not; without the JIT the sweep takes seconds; files
    take time, and so does every worker. With few lanes kernels have the same bits in `kernels/`,
    too."""
    if cell.processor == "jit off":
        return cell[1:4] == ("threads", 1, "all") and cell.shards == 1
    if cell.executor == "dask" and (cell.processor, cell.workers) != ("native", 2):
        return False
    if cell.workers == 3 or cell.shards == 2:
        return False
    lanes = (str(LANES), "shipped") if cell.processor == "native" else (str(LANES),)
    return cell.blocks != "1" and cell.lanes in lanes


def cost(cell: Cell) -> float:
    """About how many seconds of a core a cell takes: workers elsewhere have to start."""
    start = {"threads": 0.0, "processes": 0.5 + cell.workers, "dask": 0.5 + 2.0 * cell.workers}.get(
        cell.executor, 0.0
    )
    return (
        0.5
        + start
        + {"all": 0.4, "3": 0.7, "1 of 4": 0.8, "1": 2.0}[cell.blocks]
        * (1.0 if cell.shards == 1 else 1.6)
    )


def every(executors: Sequence[str]) -> list[Cell]:
    """The whole product of these executors with everything else, as far as it can be."""
    return [
        cell
        for cell in map(
            Cell._make, product(PROCESSORS, executors, (1, 2, 3), BLOCKS, USED, (1, 2, 3))
        )
        # without the JIT every lane costs its time, and there is nothing in a worker elsewhere that
        # a process does not have
        if cell.processor != "jit off"
        or (cell.lanes == "few" and cell.executor in ("threads", "processes"))
    ]


CHEAP = [cell for cell in every(EXECUTORS) if is_cheap(cell)]
PAIRS = sorted(pairwise(CHEAP, cost), key=CHEAP.index)


def part_of(cell: Cell) -> str:
    """Which setups a cell of the pairs trains."""
    return "all" if cell[::5] == ("native", 1) and cell.lanes == str(LANES) else "some"


def why_not(processor: str) -> str:
    """Why this machine cannot stand in for a processor; empty where it can."""
    if processor not in ("native", "jit off") and not X86:
        return "these are names of x86 processors"
    if processor == "haswell" and not HASWELL <= HOST:
        return "this processor is older than that"
    if processor == "software" and not (GLIBC and "fma" in HOST):
        return "the C library cannot be told, or computes in software anyway"
    return ""


class Made(NamedTuple):
    """What came of cells, how their process ended and what it printed."""

    results: dict[str, dict[str, Any]]
    code: int
    output: str

    def of(self, cell: Cell) -> dict[str, Any]:
        assert self.code == 0, self.output
        return self.results[str(cell)]


def make(
    of: Sequence[Cell],
    folder: Path,
    prefix: Sequence[str | Path] = (sys.executable,),
    path: Sequence[Path] = (ROOT,),
    seconds: float = 1800,
    part: Callable[[Cell], str] = part_of,
    **environment: str,
) -> Made:
    """Make cells of one processor in a process of their own, which sees its environment from the
    start."""
    folder.mkdir()
    given = [
        {
            **cell._asdict(),
            "name": str(cell),
            "blocks": BLOCKS[cell.blocks],
            "lanes": USED[cell.lanes],
            "part": part(cell),
        }
        for cell in sorted(
            of, key=lambda cell: (cell.executor != "threads", cell.executor, cell.workers)
        )
    ]
    (folder / "cells.json").write_text(json.dumps(given))
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NUMBA_", "GLIBC_TUNABLES", "PYTHON"))
    }
    clean["PYTHONPATH"] = os.pathsep.join(map(str, (HELPERS, *path)))
    command = [
        *prefix,
        "-W",
        "ignore",
        *(["-m", "mpi4py.futures"] if of[0].executor == "mpi" else []),
        cells.__file__,
        folder,
    ]
    with open(
        folder / "output", "w"
    ) as output:  # no pipe, which whatever it leaves behind would hold open
        done = subprocess.run(
            command,
            env=clean | PROCESSORS[of[0].processor][0] | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    lines = (folder / "results").read_text().splitlines() if (folder / "results").exists() else []
    results = {
        cell["name"]: json.loads(line)
        for cell, line in zip(given, lines, strict=done.returncode == 0)
    }
    return Made(results, done.returncode, (folder / "output").read_text())


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The same by threads of this process."""
    cores = compile_ahead.available_cores
    cell = {"blocks": None, "lanes": USED[str(LANES)], "shards": 1, "part": "all"}
    try:
        with cells.kept("threads", 2) as pool:
            return cells.make(cell, tmp_path_factory.mktemp("here") / "all", pool)
    finally:
        cells.use({})
        compile_ahead.available_cores = cores


def test_the_engine_makes_the_committed_digests(here):
    assert combined(here["of few"]) == DIGESTS[NUMERICS_VERSION], here["of few"]
    assert in_two(here["digests"]) == DIGESTS_OF_MANY[NUMERICS_VERSION], here["digests"]


def ranges(cell: Cell, size: int) -> int:
    """In how many parts the seeds of a setup are cut."""
    bounds = [MANY * i // cell.shards for i in range(cell.shards + 1)]
    return len({(sum(bound <= n for bound in bounds), (START + n) // size) for n in range(MANY)})


def hold(cell: Cell, made: dict[str, Any], here: dict[str, Any], part: str) -> None:
    """A cell is what it is meant to be, and its rows are those of all others."""
    places = PARTS[part]
    longest = [at for at in places if not len(SETUPS) <= at < len(EVERY) - len(UNITS)]
    assert made["uses"] == [expected(cell.processor)]
    lanes = USED[cell.lanes] or SHIPPED_LANES
    assert made["lanes"] == sorted([dtype, lanes[dtype]] for dtype in DTYPES)
    file, size = BLOCKS[cell.blocks] or (336, 336)
    assert (made["files"], made["blocks"]) == (
        ranges(cell, file) * len(places),
        ranges(cell, size) * len(longest),
    )
    assert (made["processes"] == [made["main process"]]) == (cell.executor == "threads")
    assert cell.executor == "threads" or made["main process"] not in made["processes"]
    assert made["workers"] <= cell.workers or cell.executor != "threads"
    assert len(made["processes"]) <= cell.workers
    assert made["rows"] == MANY * len(places)
    digests = zip(places, made["digests"], strict=True)
    assert not [EVERY[at] for at, digest in digests if digest != here["digests"][at]]
    if part == "all":
        assert (made["of few"], made["store"]) == (here["of few"], here["store"])


# The pairs


def test_pairs_are_all_that_there_are():
    assert {pair for cell in PAIRS for pair in pairs_of(cell)} == {
        pair for cell in CHEAP for pair in pairs_of(cell)
    }
    assert [set(axis) for axis in zip(*CHEAP, strict=True)] == [
        set(PROCESSORS),
        set(EXECUTORS),
        {1, 2},
        set(BLOCKS) - {"1"},
        set(USED),
        {1, 3},
    ]
    assert len(PAIRS) < len(CHEAP) / 5
    assert pairwise(CHEAP, cost) == pairwise(CHEAP, cost)


class Pairs(NamedTuple):
    """The cells that this session asks for, and what came of them."""

    folder: Path
    requested: list[Cell]
    futures: dict[str, Future[Made]]

    def of(self, cell: Cell) -> dict[str, Any]:
        return self.futures[cell.processor].result().of(cell)


@pytest.fixture(scope="module")
def pairs(request, tmp_path_factory):
    """A process for each processor, two side by side."""
    folder = tmp_path_factory.mktemp("pairs")
    items = [
        item
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    given = {item.callspec.params.get("cell") for item in items}
    requested = [cell for cell in PAIRS if cell in given and not why_not(cell.processor)]
    futures: dict[str, Future[Made]] = {}

    def made(processor: str) -> Made:
        if processor == "software" and "generic" in futures:
            futures["generic"].result()  # which compiles for both
        return make([cell for cell in requested if cell.processor == processor], folder / processor)

    with ThreadPoolExecutor(2) as two:
        for processor in ("generic", "haswell", "native", "jit off", "software"):
            if any(cell.processor == processor for cell in requested):
                futures[processor] = two.submit(made, processor)
        yield Pairs(folder, requested, futures)


@pytest.mark.parametrize("cell", PAIRS, ids=str)
def test_every_pair(pairs, here, cell):
    if reason := why_not(cell.processor):
        pytest.skip(reason)
    hold(cell, pairs.of(cell), here, part_of(cell))


def test_workers_of_every_kind_were_several(pairs):
    """In some cell at least: in any one of them the first to start may have done it all."""
    if any(cell not in pairs.requested for cell in PAIRS if not why_not(cell.processor)):
        pytest.skip("not all pairs were requested")
    for executor in EXECUTORS:
        assert (
            max(pairs.of(cell)["workers"] for cell in pairs.requested if cell.executor == executor)
            > 1
        ), executor


def test_shards_of_three_processors_are_one_sweep(pairs, here, tmp_path):
    """Each from another one, as machines that share nothing."""
    made = {cell.processor: cell for cell in pairs.requested if cell.shards == 3}
    if len(made) < 3:
        pytest.skip("this machine cannot stand in for so many, or was not requested to do so")
    merged_store, parts = opened(tmp_path / "merged"), []
    for number, cell in enumerate(list(made.values())[:3], 1):
        assert pairs.of(cell)
        parts.append(Store(pairs.folder / cell.processor / str(cell) / f"shard {number}"))
    with merged_store.locked():
        merged = merge(merged_store, parts)
    some = PARTS["some"]
    assert (merged.runs, merged.there) == (MANY * len(some), 0)
    assert cells.digests_of(merged_store, "some")["digests"] == [here["digests"][at] for at in some]


# The whole


def hold_all(
    some: Sequence[Cell], folder: Path, here: dict[str, Any], python: str = OWN, **how: Any
) -> None:
    """Make these cells in one process, and hold each."""
    made = make(some, folder, seconds=4 * 3600, part=lambda cell: "all", **how)
    for cell in some:
        hold(cell, made.of(cell), here, "all")
        assert made.of(cell)["python"] == python
    print(f"{len(some)} cells: {some[0]} … {some[-1]}")


WHOLE = every((*EXECUTORS, *("mpi", "slurm")))


@pytest.mark.soak
@pytest.mark.parametrize(
    "group",
    sorted(dict.fromkeys(cell[:3] for cell in WHOLE), key=lambda group: group[1] != "threads"),
    ids=lambda group: "{} {} {}".format(*group),
)
def test_every_cell(here, tmp_path, group):
    processor, executor, workers = group
    if reason := why_not(processor):
        pytest.skip(reason)
    how: dict[str, Any] = srun(tmp_path) if executor == "slurm" else {}
    if executor == "mpi":
        mpiexec = shutil.which(
            "mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        )
        if not mpiexec:
            pytest.skip("there is no mpiexec")
        how["prefix"] = (mpiexec, "-n", str(workers + 1), sys.executable)
    hold_all([cell for cell in WHOLE if cell[:3] == group], tmp_path / "cells", here, **how)


@pytest.mark.soak
@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_another_python(here, tmp_path, version):
    """In an environment of its own, with the newest of everything that it may have."""
    python = shutil.which(f"python{version}", path=os.defpath) or shutil.which(f"python{version}")
    if version == OWN or not python:
        pytest.skip(
            f"these tests run on it: {sys.executable}"
            if version == OWN
            else "this machine has none"
        )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = tmp_path / "environment"
    for command in (
        [python, "-m", "venv", environment],
        [environment / "bin/pip", "install", "-q", f"{ROOT}[dask]"],
    ):
        done = subprocess.run(
            command,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no environment can be made: {done.stdout[-300:]}")
    hold_all(
        pairwise([cell for cell in CHEAP if cell.processor == "native"], cost),
        tmp_path / "cells",
        here,
        version,
        prefix=(environment / "bin/python",),
        path=(),
    )


@pytest.mark.soak
@pytest.mark.parametrize("processor", ["jit off", "native"])
def test_another_architecture(here, tmp_path, processor):
    """64-bit Arm, emulated, in one process: with the JIT off in minutes, compiled in hours."""
    done = subprocess.run(
        ["bash", Path(__file__).with_name("arm.sh"), tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no Arm can be emulated: {done.stderr.strip()[-300:]}")
    usr = tmp_path / "root" / "usr"
    libraries = usr / "lib" / "aarch64-linux-gnu"
    cell = Cell(processor, "threads", 1, "all", str(LANES), 1)
    made = make(
        [cell],
        tmp_path / "cells",
        prefix=(
            "qemu-aarch64",  # without -L, with which paths from / lead into that folder
            libraries / "ld-linux-aarch64.so.1",
            "--library-path",
            libraries,
            usr / "bin" / "python3.13",
        ),
        path=(ROOT, tmp_path / "site"),
        seconds=4 * 3600,
        part=lambda cell: "all",
        PYTHONHOME=str(usr),
        FASTBP_CACHE_DIR=str(tmp_path / "cache"),
    ).of(cell)
    assert made["machine"] == "aarch64"
    assert (made["digests"], made["of few"]) == (here["digests"], here["of few"])
    assert made["store"] == here["store"]
