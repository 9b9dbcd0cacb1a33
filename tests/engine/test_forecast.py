import os
import re
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import command, succeeded
from stores import opened, tree
from sweep_texts import mistakes_of

import fastbp
from fastbp.config.setup import Setup
from fastbp.config.sweep import Seeds, Sweep
from fastbp.engine import (
    backends,
    block,
    driver,
    forecast,
    lane_group,
    machine as machine_module,
    tasks,
)
from fastbp.engine.executor_map import Pool
from fastbp.engine.plan import Plan, seconds_per_run
from fastbp.schema.errors import StoreFullError, SweepError
from fastbp.store.store import Store

GB = 10**9


def sweep(seeds: int | Seeds = 1000, grid: dict[str, Any] | None = None, **setup: Any) -> Sweep:
    budget = {} if "epochs" in setup else {"updates": 9}
    return Sweep(seeds=seeds, setup={"problem": "xor"} | budget | setup, grid=grid or {})


# What there is

MEMINFO = {"proc/meminfo": "MemTotal: 9000000 kB\nMemFree: 1 kB\nMemAvailable: 8000000 kB\n"}
V1, V2 = {"proc/self/cgroup": "4:memory:/a/b\n2:cpu:/\n"}, {"proc/self/cgroup": "0::/a/b\n"}


def v2(folder: str, most: str, used: int, cache: int = 0) -> dict[str, str]:
    return {
        f"{folder}/memory.max": most,
        f"{folder}/memory.current": str(used),
        f"{folder}/memory.stat": f"anon 5\ninactive_file {cache}\nslab 7\n",
    }


def v1(folder: str, most: str, used: int, cache: int = 0) -> dict[str, str]:
    return {
        f"{folder}/memory.limit_in_bytes": most,
        f"{folder}/memory.usage_in_bytes": str(used),
        f"{folder}/memory.stat": f"cache 5\ntotal_inactive_file {cache}\n",
    }


@pytest.mark.parametrize(
    ("files", "free"),
    [
        pytest.param({}, None, id="nothing says"),
        pytest.param({"proc/meminfo": "MemTotal: 9 kB\n"}, None, id="an old system"),
        pytest.param(MEMINFO, 8_192_000_000, id="no control groups"),
        pytest.param(MEMINFO | V2 | v2("sys/fs/cgroup/a/b", "3000000000\n", GB), 2 * GB, id="v2"),
        pytest.param(
            MEMINFO | V2 | v2("sys/fs/cgroup/a/b", "3000000000\n", GB, GB // 2),
            2.5 * GB,
            id="v2 with file caches",
        ),
        pytest.param(
            MEMINFO | V2 | v2("sys/fs/cgroup/a/b", "max\n", GB),
            8_192_000_000,
            id="v2 without a limit",
        ),
        pytest.param(
            MEMINFO | V2 | v2("sys/fs/cgroup/a", "3000000000\n", GB),
            2 * GB,
            id="v2 limit of the group above",
        ),
        pytest.param(MEMINFO | V2 | v2("sys/fs/cgroup/a/b", "3", GB), 0, id="v2 past its limit"),
        pytest.param(
            MEMINFO | V2 | v2("sys/fs/cgroup/c", "3000000000\n", GB),
            8_192_000_000,
            id="v2 limit of somebody else",
        ),
        pytest.param(
            MEMINFO | V1 | v1("sys/fs/cgroup/memory/a/b", "3000000000\n", GB, 7),
            2 * GB + 7,
            id="v1",
        ),
        pytest.param(
            MEMINFO | V1 | v1("sys/fs/cgroup/memory", "3000000000\n", GB),
            2 * GB,
            id="v1 in a container",
        ),
        pytest.param(
            MEMINFO | V1 | v1("sys/fs/cgroup/memory/a", f"{2**63 - 4096}\n", GB),
            8_192_000_000,
            id="v1 without a limit",
        ),
    ],
)
def test_memory_is_bounded_by_control_groups(tmp_path, files, free):
    assert machine_module.memory(tree(tmp_path, files)) == free


def test_memory_counts_what_this_process_has(tmp_path):
    assert machine_module.memory(
        tree(tmp_path, MEMINFO | {"proc/self/statm": "9 2 3 0 0 0 0\n"})
    ) == 8_192_000_000 + 2 * os.sysconf("SC_PAGE_SIZE")
    if Path("/proc/meminfo").exists():
        assert 10_000_000 < machine_module.resident() < machine_module.memory()


def test_the_disk_is_that_of_the_nearest_folder(tmp_path, monkeypatch):
    asked, blocks = [], 10

    def statvfs(path: Path) -> Any:
        asked.append(path)
        return types.SimpleNamespace(
            f_blocks=blocks,
            f_bavail=5,
            f_bfree=9,
            f_frsize=1000,
            f_bsize=4000,
            f_files=100,
            f_favail=7,
        )

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert machine_module.disk(tmp_path / "deep" / "down") == (5000, 7)
    (tmp_path / "file").touch()
    machine_module.disk(tmp_path / "file" / "x")
    assert asked == [tmp_path, tmp_path]
    monkeypatch.chdir(tmp_path)
    machine_module.disk(Path("results") / "x")
    assert asked[-1] == tmp_path
    blocks = 0
    assert machine_module.disk(tmp_path) is None


def test_there_is_a_disk_here(tmp_path):
    found = machine_module.disk(tmp_path)
    assert found
    assert found.bytes > 0


# What a sweep takes


@pytest.mark.parametrize("seeds", [1, 700, Seeds(start=5000, count=70_000)])
def test_runs_updates_and_files_are_those_of_the_plan(seeds):
    some = sweep(seeds, {"updates": [9, 10_000], "lr": [0.1, 0.2, 0.3], "momentum": [0, 0.5, 0.9]})
    for present in (
        {},
        {
            some.setups[3].identity(): [(0, 100), (5100, 30)],
            "another": [(0, 9)],
        },
    ):
        planned = [file for setup in some.setups for file in Plan(some, present).files(setup)]
        plan = Plan(some, present)
        assert plan.runs == sum(p.runs for p in planned)
        assert plan.updates == sum(b.runs * b.setups[0].budget for b in plan.blocks())
        assert forecast.storage(plan).files == len(planned)


@pytest.mark.jit
@pytest.mark.parametrize(
    "setup",
    [
        {"problem": "table:11101011", "updates": 999},
        {"problem": "encoder:8", "hidden": [3]},
        {"problem": "parity:7"},
    ],
    ids=lambda setup: setup["problem"],
)
@pytest.mark.parametrize("seeds", [20, 5120])
def test_the_disk_takes_what_was_said(tmp_path, setup, seeds):
    some = sweep(seeds, **setup)
    driver.drive(Plan(some), opened(tmp_path))
    taken = sum(file.stat().st_size for file in (tmp_path / "runs").iterdir())
    assert taken / 1.7 < forecast.storage(Plan(some)).bytes < 1.7 * taken


def part(
    some: Sweep, name: str, workers: int = 2, stored: bool = True, frame: bool = False
) -> float:
    (term,) = [
        term
        for term in forecast.memory(Plan(some), threads(workers), stored, frame)
        if name in term.what
    ]
    return term.bytes


def threads(workers: int) -> Pool:
    return replace(backends.pool("threads", workers or 1), shares_memory=workers > 0)


def test_memory_is_that_of_what_is_made():
    wide = sweep(10**5, problem="encoder:64", hidden=[200])
    group = lane_group.LaneGroup(tasks.task(wide.setups[0]))
    made = group.state.block.nbytes + sum(
        part.nbytes for part in (*group.state[1:4], *group._scratch)
    )
    assert 2 * made < part(wide, "in training") < 2.6 * made
    assert part(wide, "in training", workers=1) == part(wide, "in training", workers=2) / 2
    assert part(wide, "in training", workers=0) == 0
    assert part(sweep(10, problem="encoder:64", hidden=[200]), "in training", workers=64) == part(
        wide, "in training", workers=1
    )
    assert (
        part(sweep(10**5, problem="encoder:64", hidden=[200], stop="converged"), "in training")
        > 3 * made
    )
    assert part(sweep(10**6), "DataFrame", frame=True) > 500 * 10**6
    assert part(sweep(10**6), "counts") < 100 * 10**6


@pytest.mark.parametrize(
    ("keys", "name", "numbers"),
    [
        ({"epochs": 10**6, "schedule": "cosine"}, "rates", 10**6),
        ({"epochs": 10**6, "schedule": "constant:warmup=9"}, "rates", 10),
        ({"epochs": 10**6}, "rates", 1),
        ({"problem": "parity:16"}, "problems", 17 * 2**16),
    ],
    ids=str,
)
def test_rates_and_problems_take_three_times_their_numbers(keys, name, numbers):
    assert part(sweep(**keys), name) == 3 * 8 * numbers


MEASURE = """
import resource, sys, fastbp
from pathlib import Path
from fastbp.engine import backends, forecast
from fastbp.engine.plan import Plan
some = fastbp.Sweep(seeds=int(sys.argv[1]), setup=eval(sys.argv[2]))
fastbp.run(some)
terms = forecast.memory(Plan(some), backends.pool("threads", 2), False, True)
print(sum(term.bytes for term in terms))
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peaks = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
print(1024 * int(peaks[0]) if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""Where there is a /proc, for Linux counts the process that started this one in `ru_maxrss`."""


@pytest.mark.jit
def test_memory_is_about_what_was_said(tmp_path):
    setup = {"problem": "table:11101011", "updates": 8}
    for seeds in ("1", "200000"):  # what compiles takes more, so the first one does
        done = succeeded(
            command(cwd=tmp_path, program=[sys.executable, "-c", MEASURE, seeds, repr(setup)])
        )
    said, taken = map(float, done.stdout.split())
    assert taken / 1.5 < said < 1.8 * taken


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (12_345, "12 kB"),
        (999_600, "1.0 MB"),
        (7.25e9, "7.2 GB"),
    ],
)
def test_bytes_in_words(count, said):
    assert forecast.in_bytes(count) == said


# How long it takes


@pytest.mark.jit
def test_time_grows_with_what_is_missing_and_shrinks_with_cores(monkeypatch):
    monkeypatch.setattr(forecast, "slowness", lambda setup: None)
    some = sweep(100_000, {"lr": [0.1, 0.2]}, updates=999)
    all_missing, half_missing = (
        Plan(some),
        Plan(some, {some.setups[0].identity(): [(0, 100_000)]}),
    )
    whole, half = (forecast.duration(each, 2) for each in (all_missing, half_missing))
    alone = forecast.duration(all_missing, 1)
    assert whole.compiling == half.compiling == 0
    start, store = forecast.START_SECONDS, forecast.STORE_SECONDS * 100_000
    assert half.all_but_compiling - start == pytest.approx((whole.all_but_compiling - start) / 2)
    assert alone.all_but_compiling - start - 2 * store == pytest.approx(
        2 * (whole.all_but_compiling - start - 2 * store)
    )
    assert forecast.duration(
        Plan(sweep(100, {"lr": [0.1]}), {sweep(1, lr=0.1).setups[0].identity(): [(0, 100)]}), 2
    ) == (start, 0)


@pytest.mark.parametrize("split", ["fixed", "seed"])
def test_a_run_takes_as_long_as_its_beginning_and_its_updates(split):
    """Rows that are drawn for each seed are drawn once, not for each update."""
    setup = Setup.from_arrays(
        [[i] for i in range(8)], [0, 1] * 4, updates=9999, test=0.5, test_split=split
    )
    fixed, update = forecast.expected(setup)
    assert fixed + 9999 * update == pytest.approx(seconds_per_run(setup), rel=0.2)


def test_a_run_that_takes_long_is_not_trained_to_see_how_long(monkeypatch):
    """Also if that is the measuring of many outputs for many rows, most of them held out."""
    monkeypatch.setattr(block, "train", None)
    assert (
        forecast.slowness(
            Setup.from_arrays([[0], [1]] * 1500, [[0] * 200, [1] * 200] * 1500, updates=1, test=0.9)
        )
        is None
    )


@pytest.mark.parametrize(("most", "kernels"), [(300, 4), (1, 8)])
def test_where_nothing_is_compiled_a_formula_must_do(monkeypatch, most, kernels):
    """Of very many kinds of networks only some are looked at, as if the others shared nothing."""
    monkeypatch.setattr(forecast, "MAX_KEYS", most)
    monkeypatch.setattr(forecast, "is_on_disk", lambda kernel: False)
    monkeypatch.setattr(block, "train", None)
    grid = {"dtype": ["float64", "float32"], "lr": [0.1, 0.2], "order": ["random", "shuffled"]}
    # Two kernels for each dtype, which orders share.
    assert (
        forecast.duration(Plan(sweep(1000, grid)), 2).compiling
        == kernels * forecast.COMPILE_SECONDS
    )


# Too much


@pytest.fixture
def machine(monkeypatch):
    """A machine with so much memory and so large a disk."""

    def has(memory: float | None = 1e15, disk: float = 1e15, files: int | None = None) -> None:
        monkeypatch.setattr(machine_module, "memory", lambda: memory)
        monkeypatch.setattr(
            machine_module, "disk", lambda path: machine_module.Disk(int(disk), files)
        )

    return has


@pytest.mark.parametrize(
    ("some", "said"),
    [
        (
            sweep(),
            r"[\d.]+ [MG]B of memory \(most of it for Python and its packages, [\d.]+ [MG]B\), and "
            r"100 MB are free: every sweep needs this much",
        ),
        (
            sweep(10**6, problem="encoder:512", hidden=[900]),
            r".* \(most of it for networks in training, on 8 cores, .* GB\), and 100 MB are "
            r"free: try smaller hidden layers .*",
        ),
        (
            sweep(epochs=4e9, schedule="linear"),
            r".* \(most of it for learning rates of every epoch, .* GB\), .*: try fewer epochs, or "
            r"a constant schedule",
        ),
        (
            sweep(10**9),
            r".* \(most of it for counts for the tables, 7\.[45] GB\), and 100 MB are free: try "
            r"fewer seeds",
        ),
    ],
    ids=["nothing", "networks", "rates", "seeds"],
)
def test_too_much_memory_is_one_line_that_names_most_of_it(tmp_path, machine, some, said):
    machine(memory=1e8)
    (line,) = mistakes_of(forecast.check, Plan(some), Store(tmp_path / "store"), threads(8))
    assert re.fullmatch(f"the sweep needs {said}", line), line
    assert list(tmp_path.iterdir()) == []


def test_where_the_system_does_not_say_nothing_is_refused(tmp_path, machine, monkeypatch):
    machine(memory=None)
    monkeypatch.setattr(machine_module, "disk", lambda path: None)
    forecast.check(Plan(sweep(10**12)), Store(tmp_path), threads(8))


def test_too_small_a_disk_is_one_line(tmp_path, machine):
    store = Store(tmp_path / "store")
    for free, told in (
        (
            {"disk": 5e6},
            f"{store.path}: 200,000 runs take 15 MB, and 5.0 MB are free: "
            "take fewer seeds, or another disk with -o",
        ),
        ({"files": 10}, ".*200,000 runs make 3[0-9] files, and the disk has room for 10: .*"),
    ):
        machine(**free)
        with pytest.raises(StoreFullError, match=rf"\A{told}\Z"):
            forecast.check(Plan(sweep(10**5, {"lr": [1, 2]})), store, threads(8))
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_takes_no_more_disk(tmp_path, machine):
    some = sweep(10**5, {"lr": [1, 2]})
    machine(disk=1e6)
    store = opened(tmp_path)
    for setup in some.setups:
        (store.runs / f"{setup.identity()}-0-99000-0123456789abcdef.parquet").touch()
    forecast.check(Plan(some, store.present()), store, threads(8))


@pytest.mark.parametrize("stored", [True, False])
def test_from_python_the_same_lines(tmp_path, machine, stored):
    place = tmp_path / "store" if stored else None
    machine(memory=1e9)
    with pytest.raises(
        SweepError,
        match=r"^the sweep needs .* \(most of it for the DataFrame, .*: try fewer seeds, or a",
    ):
        fastbp.run(sweep(10**8), place)
    machine(disk=1e6)
    if stored:
        with pytest.raises(
            StoreFullError, match=r"100,000,000 runs take 7.* GB, and 1.0 MB are free"
        ):
            fastbp.run(sweep(10**8), place)
    assert list(tmp_path.iterdir()) == []


def test_a_check_makes_no_tables_and_no_ids(tmp_path, monkeypatch):
    """Which would take seconds where setups are many."""
    monkeypatch.setattr(tasks, "task", None)
    monkeypatch.setattr(Setup, "identity", None)
    monkeypatch.setattr(Setup, "data", None)
    forecast.check(
        Plan(sweep(10, {"lr": [1, 2], "updates": list(range(1, 1001))})),
        Store(tmp_path / "store"),
        threads(8),
    )
