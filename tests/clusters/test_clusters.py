"""Sweeps on clusters that lose parts: a Slurm of one node, a Dask scheduler with two workers, MPI.

Whatever is lost, the command ends in bounded time: with the rows of threads, or with one line, and
then the store is free and sound, and the same command completes it.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from commands import cpu_seconds, environment, names, started, until
from stores import ROOT, by_threads, rows_of

from fastbp.engine import integrity
from fastbp.store.store import Store
from fastbp.sweep import main

pytestmark = [pytest.mark.soak, pytest.mark.jit]

SWEEP = """
seeds = 1_000

[setup]
problem = "table:11101011"

[grid]
order = ["random", "shuffled"]
updates = [10_000, 20_000]
lr = [0.1, 0.2]
"""

COMMAND = """
import sys
from fastbp.engine import dask_cluster, executor_map, slurm_steps
executor_map.MIN_PATIENCE, executor_map.PATIENCE = 10.0, 5.0
slurm_steps.START_SECONDS = dask_cluster.SILENT_SECONDS = 10.0
from fastbp import sweep
sys.exit(sweep.main(sys.argv[1:]))
"""
"""The command, which sooner gives up: a test need not wait for minutes."""

SECONDS = 90
"""Within these seconds of a fault a command that gives up ends."""

SLURM = Path(__file__).with_name("slurm.sh")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clusters")
    (folder / "mine.toml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder):
    """The rows of each setup, as threads make them."""
    return by_threads(folder)


QUIET = ["--quiet", "--no-report"]


def sweep(executor: str, store: Path, program: Sequence[str] = ("-c", COMMAND)) -> list[str]:
    options = ["mine.toml", "-o", str(store), "--executor", executor, "-j", "2", *QUIET]
    return [sys.executable, *program, *options]


def within(seconds: float, condition: Callable[[], object]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def workers(mark: str, words: str) -> list[int]:
    """Processes with these words in their command line and this text in their environment."""
    there = []
    for process in Path("/proc").iterdir():
        try:
            line, variables = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if words.encode() in line and line.startswith(sys.executable.encode()):
            there += [int(process.name)] * (mark.encode() in variables)
    return there


def busiest(mark: str, words: str) -> int:
    return max(workers(mark, words), key=cpu_seconds)


def hold(
    done: tuple[int, str, str], store: Path, told: str, undisturbed: dict[str, object]
) -> None:
    """What is promised of a command that has lost a part: its code, stdout and stderr.

    `told`: part of the one line of a command that gave up; empty for one that completes.
    """
    code, out, err = done
    if told:
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert err.startswith("fastbp: --executor: ")
        assert re.search(told, err), err
        assert "; finished work stays in " in err
        with Store(store).locked():  # nobody has it any more
            assert names(store) <= names(store.parent / "threads")
        assert main([str(store.parent / "mine.toml"), "-o", str(store), *QUIET]) == 0
    else:
        assert code == 0, err
        assert not [line for line in err.splitlines() if not re.search("trained in|^Table: ", line)]
    assert rows_of(store) == undisturbed


# Slurm


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[str]:
    """The configuration of a running Slurm."""
    place = tmp_path_factory.mktemp("slurm")
    done = subprocess.run(
        ["bash", SLURM, "start", place], capture_output=True, text=True, check=False
    )
    try:
        if done.returncode:
            pytest.skip(f"no Slurm can be started: {done.stderr.strip()}")
        yield str(place / "slurm.conf")
    finally:
        subprocess.run(["bash", SLURM, "stop", place], check=True)


def cancel(store: Path, cluster: str) -> None:
    subprocess.run(
        ["scancel", (store.parent / f"{store.name} job").read_text().strip()],
        env=environment(SLURM_CONF=cluster),
        check=True,
    )


def signal_step(number: int) -> Callable[[Path, str], None]:
    return lambda store, cluster: os.kill(busiest(cluster, "slurm_steps import serve"), number)


SLURM_CASES: dict[str, tuple[str, Callable[[Path, str], object] | None, str]] = {
    "nothing": ("", None, ""),
    "a step is killed": ("", signal_step(signal.SIGKILL), ""),
    "a step hangs": ("", signal_step(signal.SIGSTOP), ""),
    "the allocation ends early": ("scancel $SLURM_JOB_ID; sleep 1;", None, "has expired"),
    "the allocation ends late": ("", cancel, "has expired"),
    "no core is left": ("srun -n 1", None, "no step of the allocation started within 10 seconds"),
}
"""What comes before the command, what happens once it has a file, and what it says."""


@pytest.mark.parametrize("case", SLURM_CASES)
def test_a_slurm_allocation(folder, undisturbed, cluster, case):
    before, trouble, told = SLURM_CASES[case]
    store = folder / case
    script = f"""echo $SLURM_JOB_ID >"$0 job"; {before} bash -c '"$@" 2>"$0 err"' "$0" "$@\""""
    inside = ["salloc", "-Q", "-n", "2", "bash", "-c", script, str(store)]
    with started(
        *sweep("slurm", store), cwd=folder, program=inside, env=environment(SLURM_CONF=cluster)
    ) as process:
        if trouble:
            until(lambda: names(store), process)
            trouble(store, cluster)
        out, _ = process.communicate(timeout=SECONDS)  # salloc has lines of its own
    hold((process.returncode, out, Path(f"{store} err").read_text()), store, told, undisturbed)
    within(10, lambda: not workers(cluster, "slurm_steps"))


JOB = re.findall(r"```sh\n(#!.*?)```", (ROOT / "docs" / "clusters.md").read_text(), re.DOTALL)[0]


@pytest.mark.parametrize("seeds", [1_000, 400_000])
def test_the_job_script_of_the_documents(folder, undisturbed, cluster, seeds):
    """It completes; or its time is over, which is a minute."""
    place = folder / f"job of {seeds}"
    place.mkdir()
    (place / "mine.toml").write_text(SWEEP.replace("1_000", f"{seeds}"))
    (place / "job.sh").write_text(JOB)
    (place / "fastbp").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m fastbp "$@"\n')
    (place / "fastbp").chmod(0o755)
    done = subprocess.run(
        ["sbatch", "--wait", "--ntasks=2", "--time=1", "job.sh"],
        cwd=place,
        env=environment(SLURM_CONF=cluster, PATH=os.pathsep.join((str(place), os.environ["PATH"]))),
        capture_output=True,
        timeout=SECONDS + 60,
        check=False,
    )
    (log,) = (file.read_text() for file in place.glob("slurm-*.out"))
    assert "Traceback" not in log
    assert (done.returncode == 0) == (seeds == 1_000), log
    if seeds == 1_000:
        assert rows_of(place / "mine") == undisturbed
        return
    assert "; finished work stays in mine. To resume: " in log
    assert names(place / "mine")
    with Store(place / "mine").locked():
        assert not integrity.check(Store(place / "mine")).findings


# Dask


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex((host, port))


def start_dask(stack: ExitStack, folder: Path, **more: str) -> tuple[str, list[int]]:
    """Start a scheduler and two workers. Returns its address, and their processes."""
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    host, port = address.split(":")
    programs = [
        ["scheduler", "--host", host, "--port", port, "--no-dashboard"],
        *[["worker", address, "--nthreads=1", "--no-nanny"]] * 2,
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    pids = []
    for name, *options in programs:
        program = [sys.executable, "-m", f"distributed.cli.dask_{name}"]
        process = started(*options, cwd=folder, program=program, env=environment() | more, **quiet)
        pids.append(stack.enter_context(process).pid)
        within(30, lambda: listens(host, int(port)))
    return address, pids


DASK_CASES: dict[str, tuple[int, int, str]] = {
    "scheduler is killed": (
        0,
        signal.SIGKILL,
        "where no scheduler answers|Timed out|Connection refused",
    ),
    "scheduler is stopped": (0, signal.SIGSTOP, "no answer within 10 seconds"),
    "worker is killed": (1, signal.SIGKILL, ""),
    "worker is stopped": (1, signal.SIGSTOP, ""),
}
"""Which process gets which signal, and what the command says."""


@pytest.mark.parametrize("case", DASK_CASES)
def test_a_dask_cluster(folder, undisturbed, case):
    which, number, told = DASK_CASES[case]
    store = folder / case
    with ExitStack() as stack:
        address, pids = start_dask(stack, folder, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="20s")
        process = stack.enter_context(started(cwd=folder, program=sweep(f"dask:{address}", store)))
        until(lambda: names(store), process)
        os.kill(pids[which], number)
        out, err = process.communicate(timeout=SECONDS)
        if number == signal.SIGSTOP:
            os.kill(pids[which], signal.SIGCONT)
    hold((process.returncode, out, err), store, told, undisturbed)


# MPI


def test_a_killed_rank(folder, undisturbed):
    """mpiexec then ends all processes, and the driver says how to resume, if it still can."""
    pytest.importorskip("mpi4py.MPI", exc_type=ImportError)
    mpiexec = shutil.which("mpiexec") or pytest.skip("there is no mpiexec")
    store = folder / "killed rank"
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    root |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}  # on fewer cores
    inside = [
        mpiexec,
        "-n",
        "3",
        *sweep("mpi", store, ("-m", "mpi4py.futures", "-m", "fastbp.sweep")),
    ]
    with started(cwd=folder, program=inside, env=environment(**root)) as process:
        until(lambda: names(store), process)
        os.kill(busiest("RANK=2", "killed rank"), signal.SIGKILL)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode
    assert "Traceback" not in err
    # the mpiexec of MPICH kills the driver too, and ends with 9, its signal
    assert err.count("interrupted; finished work stays in ") == (process.returncode != 9)
    assert (main([str(folder / "mine.toml"), "-o", str(store), *QUIET]), rows_of(store)) == (
        0,
        undisturbed,
    )
