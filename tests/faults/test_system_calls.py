"""Every system call of a publish fails, or is the last one: what was published stays, and the same
again completes the store."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import ROOT, names
from stores import HELPERS, opened, rows_of

from fastbp.store.filename import RunFile
from fastbp.store.store import Store

pytestmark = pytest.mark.jit  # nothing here is compiled: once is enough

FAULTS = {error: f"error={error}" for error in ("EIO", "ENOSPC", "EINTR", "EPERM")} | {
    "SIGKILL": "signal=KILL"
}
STARTS = ("new", "begun")
ALWAYS = [("begun", "SIGKILL")]
"""Every call is the last one, each time; of all others, a sample is drawn."""

SAMPLE = 40


class Ended(NamedTuple):
    """How a process ended: its exit code, the files that it had published, what it said, and its
    calls."""

    code: int
    told: list[str]
    said: str
    calls: list[str]


class Call(NamedTuple):
    """The so manieth call of a name."""

    name: str
    number: int
    line: str


Publish = Callable[..., Ended]


@pytest.fixture(scope="module")
def publish(tmp_path_factory) -> Iterator[Publish]:
    """Publish what is missing in a store; watched by strace where its options are given."""
    notes = tmp_path_factory.mktemp("notes")
    server = subprocess.Popen(
        # Arrow and NumPy keep threads, none of which a child needs.
        [sys.executable, "-W", "ignore::DeprecationWarning", HELPERS / "publisher.py"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HELPERS}"},
    )  # fmt: skip
    assert server.stdin
    assert server.stdout

    def ask(store: Path, strace: list[str] | None = None) -> Ended:
        server.stdin.write(json.dumps([str(store), str(notes), strace]) + "\n")
        server.stdin.flush()
        reply = json.loads(server.stdout.readline())
        if reply["refused"]:
            pytest.skip(f"strace may not watch here: {reply['refused'].strip()}")
        calls = [] if strace is None else (notes / "calls").read_text(errors="replace").splitlines()
        return Ended(
            reply["code"], (notes / "out").read_text().split(), (notes / "err").read_text(), calls
        )

    yield ask
    server.communicate()


@pytest.fixture(scope="module")
def stores(publish, tmp_path_factory) -> dict[str, Path]:
    """A store that nobody disturbed, and what there is at the start: nothing, or a store with its
    first file and a draft."""
    if not shutil.which("strace"):
        pytest.skip("there is no strace here")
    folder = tmp_path_factory.mktemp("stores")
    assert publish(folder / "whole")[::2] == (0, "")
    begun = opened(folder / "begun")
    first = min((folder / "whole" / "runs").iterdir())
    shutil.copy(first, begun.runs)
    (begun.path / "tmp" / f"{first.name}.1.draft").write_bytes(b"half")
    return {name: folder / name for name in ("whole", *STARTS)}


@pytest.fixture(scope="module")
def whole(stores) -> dict[str, str]:
    return rows_of(stores["whole"])


@pytest.fixture(scope="module")
def calls(publish, stores, tmp_path_factory) -> dict[str, list[Call]]:
    """For each start, all calls of an undisturbed process that name something of the store."""
    store, found = tmp_path_factory.mktemp("calls") / "store", {}
    for start in STARTS:
        set_up(stores[start], store)
        ended = publish(store, [])
        assert (ended.code, ended.said) == (0, "")
        found[start] = [call for call in counted(ended.calls) if is_of(store, call.line)]
        shutil.rmtree(store)
    return found


def is_of(store: Path, line: str) -> bool:
    """Whether a call names a store, or something in it."""
    return str(store) in line or f'<{store.parent}>, "{store.name}"' in line


def set_up(start: Path, store: Path) -> None:
    shutil.rmtree(store, ignore_errors=True)
    if start.exists():
        shutil.copytree(start, store)


def counted(lines: list[str]) -> Iterator[Call]:
    seen: Counter[str] = Counter()
    for line in lines:
        if match := re.match(r"(\w+)\(", line):
            seen[match[1]] += 1
            yield Call(match[1], seen[match[1]], line)


@pytest.fixture
def disturb(publish, stores, whole, tmp_path) -> Callable[[str, str, Call], None]:
    """Make one call fail, or the last one, and hold what is left to what is promised."""
    store = tmp_path / "store"

    def disturb(start: str, fault: str, call: Call) -> None:
        set_up(stores[start], store)
        before = names(store)
        ended = publish(store, ["-e", f"inject={call.name}:{FAULTS[fault]}:when={call.number}"])
        line = next(each.line for each in counted(ended.calls) if each[:2] == call[:2])
        where = f"{start}, {fault}: {line}\n{ended._replace(calls=[])}"
        assert is_of(store, line), where
        if fault == "SIGKILL":
            assert (ended.code, ended.said) == (-9, ""), where
        else:
            assert line.endswith("(INJECTED)"), where
            assert ended.code in (0, 3, 4), where
            assert re.fullmatch(r"fastbp: .+\n" if ended.code else "", ended.said), where
            if ended.code == 3:
                assert re.search(r"\.parquet (is damaged|cannot be read)", ended.said), where
        assert not before & {*ended.told}, f"nothing is made twice: {where}"
        assert names(store) >= before | {*ended.told}, f"what is published stays: {where}"
        assert all(RunFile.parse(file) for file in (store / "runs").glob("*")), where
        Store(store).check_files()
        again = publish(store)
        assert (again.code, again.said) == (0, ""), f"the same again is not in its own way: {where}"
        assert names(store) == names(stores["whole"]), where
        assert rows_of(store) == whole, where
        assert list((store / "tmp").iterdir()) == [], where

    return disturb


@pytest.mark.parametrize(("start", "files"), [("new", 3), ("begun", 2)])
def test_what_is_told_to_be_published_has_reached_the_disk(start, files, calls):
    """The power may fail at any time: first the draft is on the disk, then its name in `runs/`."""
    steps = [
        call.name
        for call in calls[start]
        if re.match(r"(write|fsync|renameat2?)\(.*(\.parquet|/runs>\))", call.line)
    ]
    assert [step[:6] for step in steps] == ["write", "fsync", "rename", "fsync"] * files


OTHERS = [(start, fault) for start in STARTS for fault in FAULTS if (start, fault) not in ALWAYS]


@pytest.mark.parametrize(
    ("start", "fault"),
    [*ALWAYS, *(pytest.param(*other, marks=pytest.mark.soak) for other in OTHERS)],
)
def test_whatever_call_fails_or_is_the_last_nothing_is_lost(calls, disturb, start, fault):
    for call in calls[start]:
        disturb(start, fault, call)


def test_nor_is_anything_lost_with_other_faults_and_in_a_new_store(calls, disturb):
    """A sample of all that the test before this one leaves out."""
    others = [(start, fault, call) for start, fault in OTHERS for call in calls[start]]
    for case in random.Random(9).sample(others, SAMPLE):
        disturb(*case)
    print(f"{len(others) - SAMPLE} of {len(others)} were left out: -m soak makes them all")
