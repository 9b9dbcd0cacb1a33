"""Stores that anybody may have made: nothing outside them is read, written, moved or removed, no
command waits or fills the memory, and what is wrong is one line."""

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from commands import succeeded
from fake_runs import ONE, rows
from stores import contents_of, flip, opened, rows_of, unchanged

import fastbp
from fastbp.engine import integrity
from fastbp.reporting import build, gallery
from fastbp.schema.errors import StoreError, UnsafeFileError
from fastbp.store import provenance, store as store_module
from fastbp.store.store import Store

SWEEP = """
seeds = 3
[setup]
problem = "file:mine.csv"
targets = ["t"]
hidden = [1]
[grid]
updates = [2, 3]
"""

QUIET = ["--no-report", "--quiet"]
COMMANDS = {
    "sweep": ["sweep", "mine.toml", "-o", "store", *QUIET],
    "own sweep": ["sweep", "store/sweep.toml", "-o", "store", *QUIET],
    "verify": ["verify", "store"],
    "repair": ["verify", "store", "--repair"],
    "merge": ["merge", "new", "store"],
    "merge into": ["merge", "store", "sound"],
    "replay": ["replay", "store", "{setup}", "1"],
    "report": ["report", "store"],
}


PAGE = '<h1><bdi>title</bdi></h1><section class="verdict"><p>answer</p>'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a sweep, its store, and a replayed run."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "mine.csv").write_text("a,b,t\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n")
    (folder / "mine.toml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fastbp.run(fastbp.Sweep.from_toml("mine.toml"), "store")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy, and a folder of somebody else with what a store would overwrite or move away."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    shutil.copytree(tmp_path / "store", tmp_path / "sound")
    theirs = tmp_path / "theirs"
    shutil.copytree(tmp_path / "store", theirs)
    (theirs / "mine.1.draft").write_text("theirs")
    (theirs / "notes.txt").write_text("theirs")
    return tmp_path


def replaced_by(path: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    make(path)


def attacked(command, folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Run commands; each leaves `theirs` as it is. Returns the one line of each that fails."""
    setup, told = min((folder / "sound" / "runs").iterdir()).name[:12], {}
    for name in names:
        with unchanged(folder / "theirs"):
            done = command(*(each.format(setup=setup) for each in COMMANDS[name]))
        shutil.rmtree(folder / "new", ignore_errors=True)
        if done.returncode:
            assert done.returncode == 3, (name, done)
            (told[name],) = done.stderr.splitlines()
    return told


USERS = {"replays": ["replay"], "figures": ["report"], "runs": ["merge", "replay", "report"]}
"""Commands that use a folder, besides those that check the whole store before they begin."""


@pytest.mark.parametrize("name", ["runs", "tmp", "problems", "replays", "quarantine", "figures"])
def test_a_folder_that_is_a_link_is_not_followed(command, folder, name):
    replaced_by(folder / "store" / name, lambda path: path.symlink_to(folder / "theirs"))
    checking = ["sweep", "own sweep", "verify", "repair", "merge into"]
    told = attacked(command, folder, checking + USERS.get(name, []))
    why = f"fastbp: store/{name} cannot be used: it is a link, not a folder of the store itself; "
    assert set(told) == {*checking, *USERS.get(name, [])}
    assert set(told.values()) == {f"{why}move it away"}


KINDS: dict[str, Callable[[Path], object]] = {
    "link": lambda path: path.symlink_to(path.parents[1] / "theirs" / "notes.txt"),
    "link that leads nowhere": lambda path: path.symlink_to(path.parents[1] / "theirs" / "new"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "pipe": os.mkfifo,
    "socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "folder": Path.mkdir,
}

READERS: dict[str, Callable[[Path], object]] = {
    "lock": build._is_running,
    "made.json": provenance.read_made,
    "sweep.toml": provenance.latest_sweep,
    "report.html": gallery.page_of,
    "summary.csv": lambda store: gallery.text(store.parent, {"store": "a command"}, "a command"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_none_is_a_line(folder, monkeypatch, name, kind):
    monkeypatch.chdir(folder)
    (folder / "store" / "report.html").write_text(PAGE)
    replaced_by(folder / "store" / name, KINDS[kind])
    store = Store("store")
    why = f"store/{name} cannot be used: it is a {kind.split()[0]}, not a file of the store itself"
    for use in (store.check_usable, store.locked().__enter__, lambda: READERS[name](store.path)):
        with unchanged(folder / "theirs"), pytest.raises(UnsafeFileError, match=rf"\A{why}"):
            use()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["runs", "problems"])
def test_what_takes_the_place_of_runs_or_problems_is_moved_away_as_it_is(folder, place, kind):
    store = Store(folder / "store")
    old = min((store.path / place).iterdir())
    replaced_by(old, KINDS[kind])
    with unchanged(folder / "theirs"), store.locked(any_version=True):
        (fault, *_) = integrity.check(store).findings
        assert fault.file == old
        if place == "runs":
            with pytest.raises(StoreError, match=f"is damaged .it is a {kind.split()[0]}, not"):
                fastbp.load(store.path)
        ((_, moved),) = integrity.move_aside(store, [fault])
    assert os.path.lexists(moved)
    fastbp.run(fastbp.Sweep.from_toml(folder / "mine.toml"), store.path)
    assert integrity.check(store) == integrity.check(Store(folder / "sound"))


def test_a_lock_with_a_second_name_is_not_written(folder):
    lock = folder / "store" / "lock"
    lock.unlink()
    os.link(folder / "theirs" / "notes.txt", lock)
    with unchanged(folder / "theirs"), pytest.raises(UnsafeFileError, match="by a hard link; move"):
        with Store(folder / "store").locked():
            pass


def test_a_store_may_be_reached_through_a_link(command, folder):
    (folder / "store").rename(folder / "elsewhere")
    (folder / "store").symlink_to("elsewhere")
    flip(min((folder / "store" / "runs").iterdir()))
    for name in ("repair", "sweep", "verify", "merge into", "merge"):
        succeeded(command(*COMMANDS[name]))
    assert rows_of(folder / "store") == rows_of(folder / "sound")


def test_only_drafts_of_ours_are_removed(tmp_path):
    store = opened(tmp_path / "store")
    names = ["chapter.draft", "x.1.draft.txt", "1.draft", ".draft"]
    for name in [*names, f"{ONE}.parquet.12.draft"]:
        (store.path / "tmp" / name).write_text("")
    with store.locked():
        assert sorted(os.listdir(store.path / "tmp")) == sorted(names)


# Stores that are moved while they are written


def test_a_store_that_is_moved_leaves_no_ghost(tmp_path):
    store = opened(tmp_path / "store")
    with store.locked():
        store.path.rename(tmp_path / "moved")
        with pytest.raises(Exception, match=r"store/runs/.* cannot be written: No such file"):
            store.publish(ONE, 0, rows())
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_a_store_that_another_takes_the_place_of_is_not_written(tmp_path):
    store, other = opened(tmp_path / "store"), opened(tmp_path / "other")
    with store.locked():
        store.path.rename(tmp_path / "moved")
        other.path.rename(store.path)
        with pytest.raises(StoreError, match="no longer the folder that this command locked"):
            store.publish(ONE, 0, rows())
    assert contents_of(store.path) == {}


# Stores that two commands make at once


def test_a_store_that_another_has_made_meanwhile_is_not_removed(tmp_path):
    """Neither while it is locked, nor afterwards: only who made a store removes it."""
    made, late = Store(tmp_path / "store"), Store(tmp_path / "store")
    with made.locked():
        with pytest.raises(StoreError, match="in use"), late.locked():
            pass
        late.remove_if_empty()
        assert (made.path / "lock").exists()
        made.remove_if_empty()
        assert not made.path.exists()


def test_a_lock_that_was_removed_is_not_taken(tmp_path, monkeypatch):
    """Another had opened it before, and would write into a store of somebody else."""
    store = opened(tmp_path / "store")
    take = store_module._take

    def removed(lock: object) -> None:
        take(lock)
        (store.path / "lock").unlink()

    monkeypatch.setattr(store_module, "_take", removed)
    with pytest.raises(StoreError, match="in use by another run"), store.locked():
        pass
