"""`fastbp sweep --shard` and `fastbp merge` as a user runs them: machines that share nothing, and
then one store."""

import errno
import json
import os
import re
import resource

import pytest
from commands import in_process, refused, succeeded
from stores import XOR, contents_of, opened, publish, rows_of, strangers, unchanged

from fastbp.cli import process
from fastbp.cli.arguments import shipped_sweeps
from fastbp.config.sweep import Sweep
from fastbp.engine import forecast, integrity, machine
from fastbp.engine.plan import Plan, shard
from fastbp.merge import main
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store.store import Store

here = in_process(main)


pytestmark = pytest.mark.usefixtures("file")

SWEEP = """
seeds = 10

[setup]
problem = "xor"
hidden = [2]

[grid]
updates = [2, 3]
"""

SWEEP_INTO = ["sweep", "mine.toml", "--no-report", "-o"]

NEXT = (
    r"to make its tables and train what is missing: the same sweep, or fastbp sweep "
    r"{0}/sweep\.toml -o {0}" + "\n"
)


def store(path: str, *ranges: tuple[int, int], numerics: int = NUMERICS_VERSION) -> Store:
    """A store in the current folder, with a file of each range of seeds."""
    made = opened(path)
    for start, count in ranges:
        publish(made, XOR, start, count, numerics)
    return made


# Shards


@pytest.mark.parametrize("shards", [2, 3])
def test_shards_that_are_merged_are_the_sweep(command, tmp_path, shards):
    whole = command(*SWEEP_INTO, "whole")
    seeds = []
    for number in range(1, shards + 1):
        shard = [*SWEEP_INTO, f"shard {number}", "--shard", f"{number}/{shards}"]
        done = succeeded(command(*shard))
        told = (
            rf"shard {number}/{shards}: seeds (\d) to (\d); fastbp merge unites shards\n(\d+) runs "
            r"trained"
        )
        first, last, trained = map(int, re.match(told, done.stderr).groups())
        assert trained == 2 * (last - first + 1)
        seeds += range(first, last + 1)
        assert "complete already, nothing to train" in command(*shard).stderr
    assert seeds == list(range(10))
    done = succeeded(
        command("merge", "united", *(f"shard {number}" for number in range(1, shards + 1))),
        stdout=f"united: 20 runs written in {2 * shards} files, 0 were there already\n",
    )
    assert re.fullmatch(NEXT.format("united"), done.stderr)
    assert rows_of(tmp_path / "united") == rows_of(tmp_path / "whole")
    for sweep in ("mine.toml", "united/sweep.toml"):
        again = succeeded(command("sweep", sweep, "-o", "united"), stdout=whole.stdout)
        assert "complete already, nothing to train" in again.stderr
    assert command("verify", "united", "--replay", "3").returncode == 0


def test_a_shard_that_is_missing_is_trained_by_the_sweep(command, tmp_path):
    whole = command(*SWEEP_INTO, "whole")
    for number in (1, 3):
        command(*SWEEP_INTO, str(number), "--shard", f"{number}/3")
    command("merge", "united", "1", "3")
    assert "6 runs trained" in succeeded(command(*SWEEP_INTO, "united"), stdout=whole.stdout).stderr
    assert rows_of(tmp_path / "united") == rows_of(tmp_path / "whole")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "1",
        "1/",
        "/2",
        "0/2",
        "3/2",
        "1/0",
        "-1/2",
        "a/b",
        "1/2/3",
        "1/2/",
        "01/2",
        "1/2 ",
        "1,2",
        "1/1000000",
        "١/2",
    ],
)
@pytest.mark.parametrize("words", [["--shard={}"], ["--shard", "{}"]], ids=["=", "space"])
def test_a_shard_that_there_is_not_is_a_line(command, tmp_path, given, words):
    allowed = "allowed: I/N, such as 1/3, with I from 1 to N and N at most the number of seeds"
    refused(
        command("sweep", "mine.toml", "-o", "store", *(word.format(given) for word in words)),
        2,
        f"--shard: given '{given}', {allowed}",
    )
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("given", "allowed"),
    [("1/11", "I/N, such as 1/10, with N up to 10, the number of seeds"), ("2/1", ".*")],
)
def test_a_shard_that_there_is_not_is_reported_with_what_else_is_wrong(command, given, allowed):
    lines = f"--shard: given '{given}', allowed: {allowed}", "-j: given '0', .*"
    refused(command("sweep", "mine.toml", "--shard", given, "-j", "0"), 2, *lines)


def test_a_dry_run_of_a_shard_counts_its_own_runs(command, tmp_path, monkeypatch):
    done = succeeded(command("sweep", "mine.toml", "-o", "store", "--shard", "1/2", "--dry-run"))
    assert "runs     10\nupdates  15\n" in done.stdout
    many = ("sweep", "published/hamey-1992-xor", "--shard", "1/2", "--dry-run", "--json")
    sweep = Sweep.from_toml(shipped_sweeps()[many[1]])
    files = sum(len([*Plan(sweep, {}, shard(sweep, 1, 2)).files(setup)]) for setup in sweep.setups)
    assert json.loads(command(*many).stdout)["disk"]["files"] == files
    monkeypatch.setattr(forecast, "slowness", lambda setup: None)
    monkeypatch.setattr(machine, "disk", lambda path: machine.Disk(5_000_000, None))
    assert command("sweep", "-o", "store", "--dry-run").returncode == 4
    assert command("sweep", "-o", "store", "--shard", "2/2", "--dry-run").returncode == 0
    assert not (tmp_path / "store").exists()


# Merging


def test_again_it_says_that_all_is_there(here, tmp_path):
    with unchanged(store("a", (0, 10)).path, store("b", (5, 10)).path):
        assert (
            here("into", "a", "b").stdout
            == "into: 15 runs written in 2 files, 5 were there already\n"
        )
        with unchanged(tmp_path / "into"):
            done = succeeded(
                here("into", "a", "b"),
                stdout="into: 0 runs written in 0 files, 20 were there already\n",
            )
        assert re.fullmatch(NEXT.format("into"), done.stderr)


def test_a_store_alone_is_rewritten(here, tmp_path):
    made = store("a", (0, 4), (4, 3), (7, 1))
    digest = integrity.check(made).digest
    succeeded(here("a"), stdout="a: 8 runs in 1 file, before 3\n", stderr="")
    assert integrity.check(made).digest == digest
    refused(here("nowhere"), 3, "nowhere holds no runs")
    assert not (tmp_path / "nowhere").exists()


def test_one_run_is_one_file(here):
    store("a", (0, 1))
    assert here("into", "a").stdout == "into: 1 runs written in 1 file, 0 were there already\n"


def test_into_one_of_the_sources(here, tmp_path):
    store("a", (0, 10)), store("b", (5, 10))
    assert here("a", "a/", "b").stdout == "a: 5 runs written in 1 file, 15 were there already\n"
    assert rows_of(tmp_path / "a") == rows_of(store("whole", (0, 15)).path)


def test_very_many_stores_need_few_open_files(here, monkeypatch):
    names = [str(store(f"s{number}", (number, 1)).path) for number in range(60)]
    monkeypatch.setattr(process, "MAX_HELD", 10)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 40, before[1]))
    try:
        assert here("into", *names).stdout.startswith("into: 60 runs written")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_next_command_is_one_that_a_shell_takes(here):
    store("a", (0, 1))
    assert "fastbp sweep 'all of it'/sweep.toml -o 'all of it'" in here("all of it", "a").stderr


def test_a_store_in_use_gets_no_runs_and_gives_them(here):
    source, into = store("a", (0, 10)), store("into", (20, 5))
    with unchanged(into.runs), into.locked():
        refused(
            here("into", "a"),
            3,
            f"into is in use by process {os.getpid()} on {os.uname().nodename}: .*",
        )
    with source.locked():
        assert here("into", "a").returncode == 0


def test_other_numerics_versions_are_refused(here):
    stores = store("a", (0, 10)), store("b", (10, 10), numerics=999)
    versions = {"a": NUMERICS_VERSION, "b": 999}
    for names in (["into", "a", "b"], ["into", "b", "a"], ["a", "b"], ["b", "a"]):
        holds = [f"{name} holds runs of numerics version {versions[name]}" for name in names[-2:]]
        with unchanged(*(each.runs for each in stores)):
            refused(here(*names), 3, "; ".join(holds))
    assert (here("old", "b").returncode, integrity.check(Store("old")).findings) == (0, [])


def test_what_is_no_store_ends_with_3_and_is_left_alone(here, tmp_path):
    store("a", (0, 10))
    strangers(tmp_path)
    before = contents_of(tmp_path)
    for place, told in (
        ("file", "file is a file, not a store: .*"),
        ("thesis", "thesis is a folder with .*, not a store: .*"),
    ):
        refused(here(place, "a"), 3, told)
        refused(here("into", "a", place), 3, told)
    for place in ("nowhere", "empty"):
        refused(here("into", "a", place), 3, f"{place} holds no runs")
    refused(here("into", "a/runs"), 3, "a/runs is in a folder of a store: .*")
    assert {
        file: content for file, content in contents_of(tmp_path).items() if file != "into/lock"
    } == before


@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_full_disk_ends_with_4_and_is_gone_on_from(here, tmp_path, monkeypatch, room):
    store("a", (0, 10)), store("b", (5, 10)), store("c", (30, 5))
    into, replace = store("into"), os.replace
    rooms = iter(range(room))

    def full(draft: str, target: str, **folders: int) -> None:
        if next(rooms, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(draft, target, **folders)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        told = r"into/runs/.*\.parquet cannot be written: No space left on device"
        refused(here("into", "a", "b", "c"), 4, told)
    assert (len(list(into.files())), list((into.path / "tmp").iterdir())) == (room, [])
    assert sorted(path.name for path in into.path.iterdir()) == ["lock", "runs", "tmp"]
    files = f"written in {3 - room} file{'s'[: room < 2]}, "
    assert files in succeeded(here("into", "a", "b", "c")).stdout
    assert rows_of(into.path)[XOR.identity()][0] == 20
    monkeypatch.setattr(os, "replace", full)
    refused(here("new", "c"), 4, told.replace("into", "new"))
    assert not (tmp_path / "new").exists()


def test_a_merge_that_is_refused_leaves_nothing(here, tmp_path):
    """Where there was nothing before."""
    (path,) = store("one", (0, 3)).files()
    path.write_bytes(path.read_bytes()[:-1])
    assert here("new", "one").returncode == 3
    assert not (tmp_path / "new").exists()
