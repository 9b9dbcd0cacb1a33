"""Disks that fill up, turn read-only or lose what they hold under a sweep: a line says so, and the
same again completes it."""

import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import PATIENCE, command, in_process, names, refused, started, succeeded, until
from fault_injection import sweep_file
from stores import rows_of

import fastbp
from fastbp.store.store import Store
from fastbp.sweep import main

drawn = in_process(main, png=True)

SWEEP = """
[setup]
problem = "table:11101011"

[grid]
updates = [30_000, 60_000]
"""
SEEDS = 4_032
"""Two files of the longer runs: while the second is trained, something happens to the first."""

SHORT = """
[setup]
problem = "xor"
hidden = [2]

[grid]
updates = [10, 20]
"""

AGAIN = ["mine.toml", "-o", "store", "--quiet", "-j", "1"]
NO_PAGE = [*AGAIN, "--no-report"]


def undisturbed(folder: Path) -> dict[str, str]:
    """The digests of all rows that the sweep of this folder makes."""
    other = folder / "undisturbed"
    fastbp.run(fastbp.Sweep.from_toml(folder / "mine.toml"), other)
    found = rows_of(other)
    shutil.rmtree(other)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, str]:
    return undisturbed(sweep_file(tmp_path_factory.mktemp("undisturbed"), SEEDS, SWEEP).parent)


def meanwhile(
    store: Path, act: Callable[[], None], folder: Path
) -> subprocess.CompletedProcess[str]:
    """What comes of a sweep to whose store something happens once the first of its files is there,
    half a second before the next."""
    sweep_file(folder, SEEDS, SWEEP)
    with started("mine.toml", "-o", store, "-j", "1", cwd=folder) as process:
        until(lambda: names(store), process)
        act()
        out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


# Disks


class Disk(NamedTuple):
    """A small disk in a mount namespace of its own, which lives as long as a process there."""

    process: subprocess.Popen[str]
    place: Path

    @property
    def path(self) -> Path:
        """From outside."""
        return Path(f"/proc/{self.process.pid}/root{self.place}")

    def run(self, *arguments: str | Path) -> None:
        subprocess.run(
            ["nsenter", "-t", str(self.process.pid), "-m", *arguments], cwd="/", check=True
        )


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """Room for 4 MB and 100 files."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        pytest.skip("there are no mount namespaces here")
    place = tmp_path / "disk"
    place.mkdir()
    script = 'mount -t tmpfs -o size=4m,nr_inodes=100 none "$0" && echo mounted && exec cat'
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script, place], **pipes) as process:
        if process.stdout.readline() != "mounted\n":
            pytest.skip(f"nobody may mount a disk here: {process.stderr.read().strip()}")
        yield Disk(process, place)
        process.stdin.close()


def fill(disk: Disk, leave: int = 0) -> None:
    filler = disk.path / "filler"
    with suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with open(filler, "r+b") as file:
        file.truncate(filler.stat().st_size - leave)


def use_up_files(disk: Disk) -> None:
    with suppress(OSError):
        for number in range(1000):
            (disk.path / f"filler{number}").touch()


def clear(disk: Disk) -> None:
    for filler in disk.path.glob("filler*"):
        filler.unlink()


def protect(disk: Disk) -> None:
    """As a disk becomes after an error. What is open for writing, as the lock, stays so."""
    disk.run("mount", "--bind", disk.place / "store", disk.place / "store")
    disk.run("mount", "-o", "remount,bind,ro", disk.place / "store")


@pytest.mark.parametrize(
    ("act", "said", "undo"),
    [
        (fill, "No space left on device", clear),
        pytest.param(use_up_files, "No space left on device", clear, marks=pytest.mark.soak),
        (protect, "Read-only file system", lambda disk: disk.run("umount", disk.place / "store")),
    ],
    ids=["full", "no more files", "read-only"],
)
def test_a_disk_that_takes_no_more_ends_a_sweep_with_4(
    tmp_path, here, whole, disk, act, said, undo
):
    store = disk.path / "store"
    refused(
        meanwhile(store, lambda: act(disk), tmp_path),
        4,
        rf"{store}/runs/\S+\.parquet cannot be written: {said}",
    )
    assert names(store)
    Store(store).check_files()
    assert list((store / "tmp").iterdir()) == []
    undo(disk)
    assert (here("mine.toml", "-o", store).returncode, rows_of(store)) == (0, whole)


def test_a_disk_that_is_full_when_only_the_picture_is_left_ends_with_4(tmp_path, drawn, disk):
    sweep_file(tmp_path, 10, SHORT)
    store = disk.path / "store"
    assert (done := drawn("mine.toml", "-o", store)).returncode == 0
    shutil.rmtree(store / "figures")
    fill(disk, leave=16_384)
    refused(
        drawn("mine.toml", "-o", store),
        4,
        rf"{store}\S* cannot be written: No space left on device",
    )
    clear(disk)
    assert drawn("mine.toml", "-o", store).stdout == done.stdout
    assert all((store / "figures" / f"outcomes.{kind}").stat().st_size for kind in ("svg", "png"))


def test_a_disk_that_is_full_already_is_told_before_anything_is_written(tmp_path, here, disk):
    sweep_file(tmp_path, SEEDS, SWEEP)
    fill(disk)
    refused(
        here("mine.toml", "-o", disk.path / "store"),
        4,
        r"\S+/store: 8,064 runs take .* kB, and 0 bytes are free: .*",
    )
    assert not (disk.path / "store").exists()


# Folders


def remove(path: Path) -> None:
    """Whatever is written there meanwhile."""
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)


def replace(path: Path) -> None:
    """By a file."""
    path.rename(path.parents[1] / "away")
    path.write_text("mine")


@pytest.mark.parametrize(
    ("act", "name"),
    [
        pytest.param(remove, ".", id="store removed", marks=pytest.mark.soak),
        pytest.param(remove, "runs", id="runs removed"),
        pytest.param(lambda runs: min(runs.iterdir()).unlink(), "runs", id="a file removed"),
        pytest.param(replace, "runs", id="runs replaced"),
        pytest.param(remove, "tmp", id="tmp removed", marks=pytest.mark.soak),
        pytest.param(replace, "tmp", id="tmp replaced", marks=pytest.mark.soak),
    ],
)
def test_a_store_that_is_changed_under_a_sweep_ends_it_without_a_table(
    tmp_path, here, whole, act, name
):
    """Rows that it published and that are gone are nothing to sum up."""
    store = tmp_path / "store"
    done = meanwhile(store, lambda: act(store / name), tmp_path)
    assert done.returncode in (3, 4), done
    refused(done, done.returncode, ".*")
    if (store / name).is_file():
        refused(here(*NO_PAGE), 3, f"store/{name} cannot be used: it is a file, not a folder; .*")
        (store / name).unlink()
    Store(store).check_files()
    assert (here(*NO_PAGE).returncode, rows_of(store)) == (0, whole)


LOSSES: dict[str, Callable[[Path, Path, Path], None]] = {
    "the store": lambda store, own, other: remove(store),
    "all runs": lambda store, own, other: remove(store / "runs"),
    "its own file": lambda store, own, other: own.unlink(),
    "a file that was there": lambda store, own, other: other.unlink(),
}


@pytest.mark.parametrize("gone", LOSSES)
def test_what_is_gone_once_all_is_published_is_missed(tmp_path, here, monkeypatch, gone):
    """The last moment at which a sweep may see it."""
    sweep_file(tmp_path, 30, SHORT)
    whole, store = undisturbed(tmp_path), tmp_path / "store"
    fastbp.run(fastbp.Sweep.from_toml(tmp_path / "mine.toml", seeds=10), store)
    there = min((store / "runs").iterdir())
    publish, one, published = Store.publish, threading.Lock(), []

    def publish_and_lose(self: Store, setup: str, start: int, rows: pa.Table, **named: str) -> Path:
        path = publish(self, setup, start, rows, **named)
        with one:
            published.append(path)
            if len(published) == 2:
                LOSSES[gone](store, path, there)
        return path

    monkeypatch.setattr(Store, "publish", publish_and_lose)
    done = here(*NO_PAGE)
    assert done.returncode in (3, 4), done
    refused(done, done.returncode, ".*")
    monkeypatch.setattr(Store, "publish", publish)
    assert (here(*NO_PAGE).returncode, rows_of(store)) == (0, whole)


# Open files


def test_a_store_of_more_files_than_may_be_open_is_extended(tmp_path, here):
    sweep_file(tmp_path, 80, SHORT)
    store = Store(tmp_path / "store")
    fastbp.run(fastbp.Sweep.from_toml(tmp_path / "mine.toml", seeds=70), store.path)
    file = min(store.files())
    rows = pq.read_table(file)
    file.unlink()
    for seed in range(70):
        store.publish(file.name.split("-")[0], seed, rows.slice(seed, 1))
    assert len(names(store.path)) == 71

    done = command(
        *AGAIN,
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    succeeded(done)
    assert rows_of(store.path) == undisturbed(tmp_path)
