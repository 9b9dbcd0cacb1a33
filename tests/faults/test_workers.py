"""Workers that are killed, out of memory, raising, or not as their driver: nothing is lost, and
every bit is as undisturbed."""

import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from commands import (
    MODULE,
    PATIENCE,
    command,
    cpu_seconds,
    environment,
    hears_signals,
    names,
    raising,
    refused,
    succeeded,
    until,
)
from fault_injection import srun
from stores import by_threads, opened, rows_of, seeds_of_blocks

from fastbp import Sweep
from fastbp.engine import backends, dask_cluster, driver as driver_module, process_pool
from fastbp.engine.plan import Plan
from fastbp.schema.errors import LostError, SweepError
from fastbp.store.store import Store
from fastbp.sweep import main

NO_PAGE = ["--quiet", "--no-report"]

SWEEP = """
seeds = 3_600

[setup]
problem = "table:11101011"

[grid]
order = ["random", "shuffled"]
updates = [10_000, 20_000]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    (folder / "mine.toml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder):
    """The rows of each setup, as threads make them."""
    return by_threads(folder)


IMPATIENT = """
import sys
from fastbp.engine import executor_map
executor_map.MIN_PATIENCE, executor_map.PATIENCE = 40.0, 20.0
from fastbp import sweep
if __name__ == "__main__":
    sys.exit(sweep.main(sys.argv[1:]))
"""
"""The command, which sooner takes a worker for lost: a test need not wait for a minute."""


def sweep_with(executor: str, store: str = "") -> list[str]:
    """What the command is given."""
    return ["mine.toml", "-o", store or executor, *["--executor", executor, *NO_PAGE, "-j", "2"]]


def start(folder: Path, executor: str, *options: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *sweep_with(executor), *options],
        cwd=folder,
        env=environment(**more),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_signals(),
    )


def children(pid: int) -> list[int]:
    """The processes that this one has started, and those that they have."""
    try:
        own = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return own + [each for child in own for each in children(child)]


def assert_they_end(group: list[int]) -> None:
    end = time.monotonic() + PATIENCE
    while any(
        Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_text()
        for pid in group
    ):
        assert time.monotonic() < end, "workers that outlive their driver"
        time.sleep(0.05)


@pytest.mark.parametrize("executor", ["processes", pytest.param("dask", marks=pytest.mark.soak)])
def test_workers_that_are_killed_lose_nothing(folder, undisturbed, executor):
    """The busiest of its processes is a worker, now and then while it trains."""
    draw, process = random.Random(7), start(folder, executor)
    killed: set[int] = set()
    while process.poll() is None and len(killed) < 2:
        time.sleep(draw.uniform(0.05, 0.3))
        if any((folder / executor / "runs").glob("*.parquet")):
            busiest = max(children(process.pid), key=cpu_seconds, default=0)
            if busiest and busiest not in killed and cpu_seconds(busiest) > 1.0:
                os.kill(busiest, signal.SIGKILL)
                killed.add(busiest)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert killed, "some were killed"
    assert "Traceback" not in err
    assert rows_of(folder / executor) == undisturbed
    assert out


@pytest.mark.parametrize("executor", ["dask", pytest.param("processes", marks=pytest.mark.soak)])
def test_an_interrupted_driver_ends_at_once_and_leaves_no_workers(folder, undisturbed, executor):
    """A terminal sends its signal to all processes of the command."""
    process = start(folder, executor, "-o", f"stopped-{executor}")
    until(lambda: names(folder / f"stopped-{executor}"), process)
    group = children(process.pid)
    assert group
    used = cpu_seconds(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    while process.poll() is None:  # what it computes after the signal, however busy the machine is
        assert cpu_seconds(process.pid) - used < 1.0
        time.sleep(0.02)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGINT
    assert len(err.splitlines()) == 1, err
    assert "To resume: " in err
    assert_they_end(group)
    assert (
        main([str(folder / "mine.toml"), "-o", str(folder / f"stopped-{executor}"), *NO_PAGE]) == 0
    )
    assert rows_of(folder / f"stopped-{executor}") == undisturbed


def test_a_script_needs_no_guard(tmp_path):
    """Nor is it run again in the workers."""
    (tmp_path / "mine.py").write_text(
        "import fastbp\nprint('once')\n"
        "sweep = fastbp.Sweep(seeds=50, setup={'problem': 'xor', 'updates': 40})\n"
        "print(fastbp.run(sweep, executor='processes').equals(fastbp.run(sweep)))\n"
    )
    succeeded(
        command(cwd=tmp_path, program=[sys.executable, "mine.py"]), stdout="once\nTrue\n", stderr=""
    )


def test_steps_of_a_slurm_allocation(folder, undisturbed, tmp_path):
    process = start(folder, "slurm", **srun(tmp_path))
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert rows_of(folder / "slurm") == undisturbed


def test_a_step_that_takes_parts_of_a_task_gets_all_of_it(tmp_path):
    """As a pipe does if its writer is stopped meanwhile."""
    code = (
        "import os, subprocess\nfrom types import SimpleNamespace\n"
        "from fastbp.engine import slurm_steps\n"
        "class Slow(subprocess.Popen):\n"
        "    def __init__(self, *given, **named):\n"
        "        super().__init__(*given, **named)\n"
        "        write = self.stdin.write\n"
        "        self.stdin = SimpleNamespace(write=lambda rest: write(rest[:9]))\n"
        "slurm_steps.Popen = Slow\n"
        "steps = slurm_steps.SlurmSteps(1)\n"
        "assert steps.submit(len, 'as long as it is').result(60) == 16\n"
        "steps.shutdown()\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | srun(tmp_path), check=True)


@pytest.mark.soak
def test_mpi(folder, undisturbed):
    """Workers are the processes that mpiexec has started."""
    assert pytest.importorskip("mpi4py.MPI", exc_type=ImportError).Get_version()
    mpiexec = shutil.which("mpiexec") or pytest.skip("there is no mpiexec")
    succeeded(
        command(
            *sweep_with("mpi", "mpi"),
            cwd=folder,
            program=[mpiexec, "-n", "3", MODULE[0], "-P", "-m", "mpi4py.futures", *MODULE[1:]],
        )
    )
    assert rows_of(folder / "mpi") == undisturbed


def test_mpi_without_its_processes_is_refused(here, monkeypatch):
    """mpi4py would start some itself, and waits without end where that fails."""
    monkeypatch.setattr(backends, "find_spec", lambda name: True)
    refused(
        here("founding", "-o", "store", "--executor", "mpi", "-j", "2"),
        2,
        "--executor: given 'mpi' without its processes, allowed: as in  mpiexec -n 3 .* -j 2",
    )
    assert not Path("store").exists()


def test_a_killed_driver_leaves_no_workers(folder):
    process = start(folder, "processes", "-o", "killed")
    until(lambda: names(folder / "killed"), process)
    group = children(process.pid)
    process.kill()
    process.communicate()
    assert_they_end(group)


def few(**keys: object) -> Sweep:
    return Sweep(
        seeds=700,
        setup={"problem": "xor", "hidden": [2], "updates": 40, **keys},
        grid={"lr": [0.5, 1.0]},
    )


class Trouble:
    """What happens to a block, in a process of its own: `seeds` says to which."""

    def __init__(self, kind: str, start: int, mark: Path) -> None:
        self.kind, self.start, self.mark = kind, start, mark

    def __call__(self, part):
        if part.start == self.start and part.setups[0].lr == 1.0:
            tries = len(list(self.mark.iterdir()))
            (self.mark / str(tries)).touch()
            if self.kind == "raises":
                raise ZeroDivisionError("one of those things")
            if self.kind == "memory" and tries == 0:
                bytearray(1 << 60)
            if self.kind == "kills" or (self.kind == "kills once" and tries == 0):
                os.kill(os.getpid(), signal.SIGKILL)
            if self.kind == "hangs" and tries == 0:
                time.sleep(600)
        return driver_module.train_block(part)


ALL = [
    (kind, executor)
    for executor in ("processes", "dask")
    for kind in ("raises", "memory", "kills", "kills once", "hangs")
]
QUICK = [("kills once", "processes"), ("memory", "processes"), ("raises", "dask")]


@pytest.mark.parametrize(
    ("kind", "executor"),
    [pytest.param(*each, marks=[] if each in QUICK else [pytest.mark.soak]) for each in ALL],
)
def test_trouble_in_one_block_costs_at_most_that_block(tmp_path, monkeypatch, executor, kind):
    seeds_of_blocks(monkeypatch, 168)
    if kind == "hangs":  # a busy machine is slow to start workers
        monkeypatch.setattr("fastbp.engine.executor_map.MIN_PATIENCE", 3.0)
        monkeypatch.setattr("fastbp.engine.executor_map.PATIENCE", 3.0)
    whole, store = opened(tmp_path / "whole"), opened(tmp_path / "store")
    mark = tmp_path / "mark"
    mark.mkdir()
    driver_module.drive(Plan(few()), whole)
    with monkeypatch.context() as patch:  # of this process alone: workers import the original
        patch.setattr(driver_module, "train_block", Trouble(kind, 336, mark))
        trained = driver_module.drive(Plan(few()), store, pool=backends.pool(executor, 2))
    tries = len(list(mark.iterdir()))
    if kind in ("raises", "kills"):
        (failed,) = trained.failed
        assert "seeds 336 to" in failed
        assert {
            "raises": "ZeroDivisionError: one of those things",
            "kills": "its worker was lost 4 times",
        }[kind] in failed
        assert tries == {"raises": 1, "kills": 4}[kind]
        assert {file.name for file in store.files()} < {file.name for file in whole.files()}, (
            "the rest is there"
        )
        assert driver_module.drive(Plan(few(), store.present()), store).failed == []
    else:
        assert (trained.failed, tries) == ([], 2)
    assert rows_of(store.path) == rows_of(whole.path)


def test_workers_with_other_versions_are_refused_at_the_start(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backends, "NUMERICS_VERSION", 999)
    backends.versions.cache_clear()
    try:
        assert main(["founding", "-o", "store", "--seeds", "5", "--executor", "processes"]) == 3
    finally:
        backends.versions.cache_clear()
    err = capfd.readouterr().err
    assert f"fastbp: --executor: the worker {os.uname().nodename} (process " in err
    assert "has numerics version 2, not 999" in err
    assert "Traceback" not in err
    assert list(Store("store").files()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "thread",
            "given 'thread', allowed: threads, processes, dask, dask:ADDRESS, mpi, slurm, flux; "
            r"did you mean 'threads'\?",
        ),
        ("processes:3", "given 'processes:3', allowed: threads, "),
        ("dask:", "given 'dask:', allowed: threads, "),
        ("dask:ws://127.0.0.1:9", "given 'dask:ws://127.0.0.1:9', allowed: dask:HOST:PORT, or "),
        ("dask:tcp://a..b:9", "given 'dask:tcp://a..b:9', where no scheduler answers: "),
        ("dask:127.0.0.1:99999", "given 'dask:127.0.0.1:99999', where no scheduler answers: "),
        (
            "dask:tls://127.0.0.1:9",
            "given 'dask:tls://127.0.0.1:9', allowed: dask:HOST:PORT, or dask:tcp:",
        ),
        ("slurm", "given 'slurm' outside an allocation of Slurm, allowed: inside one, as with"),
        ("dask:tcp://127.0.0.1:9", "given 'dask:tcp://127.0.0.1:9', where no scheduler answers"),
    ],
)
def test_executors_that_there_are_not(here, given, said):
    refused(here("founding", "-o", "store", "--executor", given), 2, f"--executor: {said}.*")
    assert not Path("store").exists()


def test_a_package_that_is_not_there_is_named(here, monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    told = r"--executor: .*which needs the package executorlib: pip install 'fastbp\[flux\]'.*"
    refused(here("founding", "--executor", "flux"), 2, told)


def test_nobody_else_may_use_the_dask_cluster_that_a_command_starts():
    """Whoever may, runs code as this user."""
    pytest.importorskip("distributed")
    pool = backends.pool("dask", 1)
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        client: Any = pool.executor
        place = urlsplit(client.client.scheduler.address)
        with (
            socket.create_connection((place.hostname, place.port), 60) as connection,
            pytest.raises(ssl.SSLError, match="certificate required"),
            anybody.wrap_socket(connection) as secured,
        ):
            secured.recv(1)
    finally:
        pool.close()


@pytest.mark.parametrize("place", ["", "dask-scratch-space/a"])
def test_workers_of_dask_import_from_no_folder_that_others_may_make(tmp_path, monkeypatch, place):
    """Dask has one for all users, and a worker imports from what lies in it. Its pages are none."""
    pytest.importorskip("distributed")
    (tmp_path / "dask-scratch-space" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / place)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    theirs = {*tmp_path.rglob("*")}
    pool = backends.pool("dask", 1)
    try:
        paths = pool.executor.submit(eval, "__import__('sys').path").result(60)
        (tmp_path / "link").unlink()
        (own,) = {*(tmp_path / place).iterdir()} - theirs
        assert own.stat().st_mode & 0o777 == 0o700
        beside = [path for path in paths if Path(path).is_relative_to(tmp_path)]
        assert beside
        assert all(Path(path).is_relative_to(own) for path in beside)
        client: Any = pool.executor
        port = client.client.cluster.scheduler.http_server.port
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/json/counts.json", timeout=60)
    finally:
        pool.close()
    assert {*tmp_path.rglob("*")} == theirs - {tmp_path / "link"}


def test_workers_that_are_there_end_if_the_next_cannot_be_started(monkeypatch):
    """Else they say so as the driver ends."""
    ended = list[Any]()
    monkeypatch.setattr(process_pool, "_end", ended.append)
    monkeypatch.setattr(
        process_pool._ProcessPool, "submit", raising(RuntimeError("can't start new thread"))
    )
    with pytest.raises(LostError, match="no workers can be started: RuntimeError: can't start"):
        _ = backends.pool("processes", 2).executor
    assert len(ended) == 1


def test_nothing_of_a_pool_of_processes_is_left():
    """Its thread would close a pipe through which Python wakes it at the end."""
    pool = backends.pool("processes", 1)
    executor: Any = pool.executor
    manager = executor._executor_manager_thread
    assert manager.is_alive()
    pool.close()
    assert not manager.is_alive()


@pytest.mark.parametrize(("place", "mode"), [("open", 0o777), ("no \udcff text", 0o700)])
def test_dask_is_refused_where_its_files_are_not_safe(tmp_path, monkeypatch, place, mode):
    """Others could exchange them; and Dask needs a path that is text."""
    pytest.importorskip("distributed")
    (tmp_path / place).mkdir()
    (tmp_path / place).chmod(mode)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / place))
    with pytest.raises(
        SweepError, match=r"temporary files in .*, allowed: in a folder of your own"
    ):
        backends.pool("dask", 1)


@pytest.mark.parametrize(("address", "needed"), [("", 66), ("tcp://127.0.0.1:9", 40)])
def test_dask_is_refused_where_it_may_open_too_few_files(monkeypatch, address, needed):
    """It would write tracebacks, and never end."""
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask_cluster, "getrlimit", lambda kind: (needed - 1, 4096))
    with pytest.raises(SweepError, match=f"may open {needed - 1} files, allowed: where it may op"):
        dask_cluster.dask_cluster(2, address)


def test_a_cluster_that_does_not_start_is_given_up():
    with pytest.raises(OSError, match=r"^no answer within 0\.1 seconds$"):
        dask_cluster._within(0.1, threading.Event().wait)


def test_two_dask_clusters_run_side_by_side_and_neither_is_waited_for_without_end(monkeypatch):
    """Neither needs a port that the other has.

    Then a worker lacks a module, a result never arrives, and the scheduler never answers.
    """
    pytest.importorskip("distributed")
    pools = [backends.pool("dask", 1) for _ in range(2)]
    try:
        assert [pool.executor.submit(sum, [1, 2]).result(60) for pool in pools] == [3, 3]
        executor: Any = pools[0].executor
        assert [
            worker["memory_limit"]
            for worker in executor.client.scheduler_info()["workers"].values()
        ] == [0], "else Dask pauses it"
        never = executor.client.loop.asyncio_loop.create_future
        monkeypatch.setattr(executor.client, "_gather", lambda futures: never())
        for name, task, told in (
            (
                "ECHO",
                (bool, type("Unknown", (), {"__reduce__": lambda self: (__import__, ("gone",))})()),
                "another fastbp: ModuleNotFoundError",
            ),
            ("ARRIVAL", (sum, [1]), "not answer in time"),
            ("SILENT", (time.sleep, 60), "not answer in time"),
        ):
            monkeypatch.setattr(dask_cluster, f"{name}_SECONDS", 0)
            assert told in str(executor.submit(*task).exception(60))
    finally:
        for pool in pools:
            pool.close()


def test_workers_of_packages_that_print_tracebacks_do_not_print(capfd):
    """Dask's do where they may start no thread."""
    with process_pool.isolated_start("fastbp.engine.without_stderr"):
        process = get_context("spawn").Process(target=os.write, args=(2, b"a traceback\n"))
        process.start()
    process.join(60)
    assert process.exitcode == 0
    assert not capfd.readouterr().err


def test_processes_start_without_ctrl_c():
    """Whoever starts the resource tracker of Python lets it through again."""
    code = (
        "from multiprocessing import resource_tracker\nimport signal\n"
        "from fastbp.engine.process_pool import isolated_start\n"
        "with isolated_start():\n    resource_tracker.ensure_running()\n"
        "    assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
