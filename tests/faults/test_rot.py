"""Disks that rot: whatever becomes of the bytes of a store, all of it is found, and none of it is
ever read as runs."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stores import few_lanes, opened, seeds_of_blocks

import fastbp
from fastbp import Sweep
from fastbp.analysis.counts import count_runs
from fastbp.engine import driver, integrity, plan
from fastbp.store import parquet
from fastbp.store.load import read_all
from fastbp.store.store import Store

BLOCK = 512
"""Bytes that a disk loses at once."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with a few files of runs that were trained."""
    store = opened(tmp_path_factory.mktemp("rot") / "store")
    with pytest.MonkeyPatch.context() as patch:
        seeds_of_blocks(patch, 4)
        few_lanes(patch)
        sweep = Sweep(
            seeds=7, setup={"problem": "xor", "hidden": [2], "updates": 9}, grid={"lr": [0.5, 2.0]}
        )
        driver.drive(plan.Plan(sweep), store)
    assert len(list(store.files())) == 4
    return store


def damages(contents: dict[str, bytes], draw: random.Random) -> Iterator[dict[str, bytes]]:
    """What may become of some files, again and again: of one, or of two that change places. Never
    what was written."""
    names = sorted(contents)

    def bits(content: bytes) -> bytes:
        other = bytearray(content)
        for at in draw.sample(range(8 * len(content)), draw.randint(1, 3)):
            other[at // 8] ^= 1 << at % 8
        return bytes(other)

    def zeros(content: bytes) -> bytes:
        at = draw.randrange(0, len(content), BLOCK)
        return content[:at] + bytes(len(content[at : at + BLOCK])) + content[at + BLOCK :]

    kinds: list[Callable[[bytes], bytes]] = [
        bits,
        lambda content: content[: draw.randrange(len(content))],
        lambda content: content + draw.randbytes(draw.choice([1, 4, 8, 100, BLOCK])),
        zeros,
    ]
    while True:
        kind = draw.randrange(len(kinds) + 1)
        one, other = draw.sample(names, 2)
        found = (
            {one: contents[other], other: contents[one]}
            if kind == len(kinds)
            else {one: kinds[kind](contents[one])}
        )
        if all(content != contents[name] for name, content in found.items()):
            yield found


@pytest.mark.no_cover
@pytest.mark.parametrize("times", [40, pytest.param(10_000, marks=pytest.mark.soak)])
def test_all_rot_is_found(made, tmp_path, times):
    """In just the files that it befell, and after each time the store is sound again."""
    store = Store(shutil.copytree(made.path, tmp_path / "store"))
    contents = {file.name: file.read_bytes() for file in store.files()}
    sound = integrity.check(store)
    assert sound.findings == []
    for _, damage in zip(range(times), damages(contents, random.Random(times)), strict=False):
        for name, content in damage.items():
            (store.runs / name).write_bytes(content)
        assert {finding.file.name for finding in integrity.check(store).findings} == set(damage)
        for name in damage:
            (store.runs / name).write_bytes(contents[name])
    assert integrity.check(store) == sound


READERS: dict[str, Callable[[Path], object]] = {
    "a file": parquet.read,
    "some columns": lambda path: parquet.read(path, ["setup", "seed", "outcome", "converged_at"]),
    "a store": lambda path: read_all(path.parent.parent),
    "counts": lambda path: count_runs(path.parent.parent),
    "load": lambda path: fastbp.load(path.parent.parent),
}


@pytest.mark.no_cover
@pytest.mark.parametrize("times", [200, pytest.param(10_000, marks=pytest.mark.soak)])
def test_rot_is_never_read_as_runs(made, tmp_path, times):
    """By whatever reads runs: each raises what a user reads, and names the file."""
    contents = {file.name: file.read_bytes() for file in made.files()}
    stores = {name: Store(tmp_path / name.partition(".")[0]) for name in contents}
    for name, store in stores.items():  # a store for each file, so that nothing else is read
        opened(store.path)
        (store.runs / name).write_bytes(contents[name])
        for read in READERS.values():
            read(store.runs / name)
    unnoticed = []
    for index, damage in zip(range(times), damages(contents, random.Random(times)), strict=False):
        for name, content in damage.items():
            path = stores[name].runs / name
            path.write_bytes(content)
            for reader, read in READERS.items():
                try:
                    read(path)
                    unnoticed.append((index, name, reader))
                except Exception as error:
                    if not str(error).startswith(f"{path} is damaged ("):
                        unnoticed.append((index, name, reader, error))
            path.write_bytes(contents[name])
    assert unnoticed == []
