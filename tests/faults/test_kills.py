"""A sweep that is killed or stopped at any moment goes on, and ends with the same bits as one that
nobody disturbed."""

import io
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import (
    command,
    environment,
    names,
    refused,
    started,
    stopped,
    succeeded,
    until,
)
from fault_injection import sweep_file
from stores import opened, rows_of

import fastbp
from fastbp.schema.errors import StoreError
from fastbp.store.filename import RunFile
from fastbp.store.store import Store, _locks

KILLS = [(2, 1_344), pytest.param(50, 20_000, marks=pytest.mark.soak)]
"""How many, and seeds enough that something is left to do until the last of them."""

STOPS = [(1, 1_344), pytest.param(20, 20_000, marks=pytest.mark.soak)]
"""The same for each of the two signals."""

SMALL = """
[setup]
problem = "xor"
hidden = [2]
updates = 10
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """For a number of seeds: what the command prints and the store that it makes, and the seconds
    that it takes."""
    made: dict[int, tuple[str, Path, float]] = {}

    def of(seeds: int) -> tuple[str, Path, float]:
        if seeds not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            sweep_file(folder, seeds)
            began = time.monotonic()
            made[seeds] = sweep(folder).stdout, folder / "store", time.monotonic() - began
        return made[seeds]

    return of


OPTIONS = ["mine.toml", "-o", "store", "--quiet", "--no-report", "-j", "2"]


def sweep(folder: Path) -> subprocess.CompletedProcess[str]:
    return succeeded(command(*OPTIONS, cwd=folder))


def kill(process: subprocess.Popen[str]) -> None:
    """With all that it started: a compiler may be among them."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def whole(store: Path, before: set[str]) -> set[str]:
    """The names of its files. Whatever is there is whole, and nothing is lost that was there
    before."""
    assert all(RunFile.parse(file) for file in (store / "runs").glob("*"))
    Store(store).check_files()
    there = names(store)
    assert there >= before
    return there


def assert_the_same(store: Path, other: Path) -> None:
    assert ((list((store / "tmp").iterdir()), names(store)), rows_of(store)) == (
        ([], names(other)),
        rows_of(other),
    )


@pytest.mark.parametrize(("kills", "seeds"), KILLS)
def test_killed_at_any_moment_it_ends_with_the_same_rows(tmp_path, undisturbed, kills, seeds):
    """Half of the moments are drawn; the others fall just after a draft or a file has appeared,
    while something is published. None is so late that too little is left for the rest."""
    file = sweep_file(tmp_path, seeds)
    told, other, lasted = undisturbed(seeds)
    draw, store = random.Random(5), tmp_path / "store"
    published: set[str] = set()
    for attempt in range(kills):
        with started(*OPTIONS, cwd=tmp_path, start_new_session=True) as process:
            enough = len(published) + (2 if attempt % 2 else 1)
            end = time.monotonic() + (draw.uniform(0, min(0.6 * lasted, 3)) if attempt % 2 else 200)
            while process.poll() is None and time.monotonic() < end and len(names(store)) < enough:
                if attempt % 2 == 0 and list((store / "tmp").glob("*.parquet.*.draft")):
                    break
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.02))
            kill(process)
        published = whole(store, published)
    assert sweep(tmp_path).stdout == told
    assert_the_same(store, other)
    assert set(rows_of(store)) == {s.identity() for s in fastbp.Sweep.from_toml(file).setups}


@pytest.mark.parametrize(("stops", "seeds"), STOPS)
def test_stopped_at_any_moment_it_says_how_to_go_on_and_does(tmp_path, undisturbed, stops, seeds):
    """By Ctrl-C and by SIGTERM in turn, once the store is its own. In the end the command that was
    told is run as it stands."""
    sweep_file(tmp_path, seeds)
    told, other, _ = undisturbed(seeds)
    draw, store = random.Random(6), tmp_path / "store"
    published: set[str] = set()
    for number in [signal.SIGINT, signal.SIGTERM] * stops:
        with started(*OPTIONS, cwd=tmp_path) as process:
            until(lambda: f"process {process.pid} " in lock_of(store), process)
            end = time.monotonic() + draw.uniform(0, 1)
            until(lambda: time.monotonic() > end or len(names(store)) > len(published) + 1, process)  # noqa: B023
            said = stopped(process, number)
        first, _, again = said.partition(" To resume: ")
        assert first == "interrupted; finished work stays in store."
        published = whole(store, published)
    succeeded(command(cwd=tmp_path, program=shlex.split(again)), stdout=told)
    assert_the_same(store, other)


def lock_of(store: Path) -> str:
    return (store / "lock").read_text() if (store / "lock").exists() else ""


# The lock


def test_a_second_driver_is_refused_at_once_and_disturbs_nobody(tmp_path):
    """It compiles nothing: most of what it takes, it imports."""
    sweep_file(tmp_path, 20_000)
    store, nothing = tmp_path / "store", tmp_path / "compiled"
    with started(*OPTIONS, cwd=tmp_path) as first:
        until(lambda: names(store), first)
        second = command(*OPTIONS, cwd=tmp_path, env=environment(FASTBP_CACHE_DIR=str(nothing)))
        assert not [path for path in nothing.rglob("*") if path.is_file()]
        refused(
            second,
            3,
            f"store is in use by process {first.pid} on {os.uname().nodename}: wait for it, or "
            "choose another folder with -o DIR",
        )
        published = names(store)
        until(lambda: names(store) > published, first)


def test_a_lock_that_nobody_holds_is_in_nobodys_way(tmp_path, here):
    """Not even where a process of that number lives."""
    sweep_file(tmp_path, 4, SMALL)
    store = opened(tmp_path / "store")
    (store.path / "lock").write_text(f"process {os.getppid()} on {os.uname().nodename}\n")
    assert (here("mine.toml", "-o", "store").returncode, len(fastbp.load(store.path))) == (0, 4)


DRIVER = """
import os, sys, time
from fastbp.store.store import Store
with Store(sys.argv[1]).locked():
    worker = os.fork()
    if worker:
        print(worker, flush=True)
    else:
        os.closerange(0, 3)
    time.sleep(100)
"""


def test_a_worker_that_outlives_its_killed_driver_holds_no_lock(tmp_path):
    """A pool may fork its workers while the store is locked, and they do not always hear that they
    are alone."""
    store = opened(tmp_path)
    with started(tmp_path, cwd=tmp_path, program=[sys.executable, "-c", DRIVER]) as driver:
        worker = int(driver.stdout.readline())
        try:
            with (
                pytest.raises(StoreError, match=f"in use by process {driver.pid} "),
                store.locked(),
            ):
                pass
            driver.kill()
            driver.wait()
            with store.locked():
                os.kill(worker, 0)
                # a buffer has a lock, which a thread that is not forked may keep
                assert all(isinstance(lock, io.RawIOBase) for lock in _locks)
        finally:
            os.kill(worker, signal.SIGKILL)
