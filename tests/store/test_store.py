import errno
import fcntl
import itertools
import json
import os
import shutil
import stat
import threading
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import raising
from fake_runs import ONE, rows
from stores import flip, opened, tree, unchanged

import fastbp
from fastbp.cli import job
from fastbp.reporting import gallery
from fastbp.schema.columns import COLUMNS, schema
from fastbp.schema.errors import StoreError, StoreFullError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store import places, safe_files
from fastbp.store.digest import digest
from fastbp.store.filename import RunFile
from fastbp.store.load import read_all
from fastbp.store.safe_files import write_all
from fastbp.store.store import Store


@pytest.fixture
def store(tmp_path):
    return opened(tmp_path / "store")


# Files


def test_a_file_is_named_by_what_it_holds(store):
    start, count = 2**63 - 5, 4
    table = rows(ONE, start, count)
    path = store.publish(ONE, start, table)
    assert RunFile.parse(path) == RunFile(path, ONE, start, count, digest(table)[:16])
    assert (path.parent, list(store.files())) == (store.runs, [path])
    assert store.present() == {ONE: [(start, count)]}


def test_a_file_has_the_schema_and_says_how_it_was_made(store):
    table = pq.read_table(store.publish(ONE, 0, rows()))
    assert table.schema.remove_metadata().equals(schema())
    assert table.equals(rows())
    metadata = table.schema.metadata
    assert metadata[b"fastbp.digest"].decode() == digest(table)
    assert metadata[b"fastbp.numerics"].decode() == str(NUMERICS_VERSION)
    assert metadata[b"fastbp.version"].decode() == fastbp.__version__


def test_numbers_are_numbers_and_words_are_categories(store):
    store.publish(ONE, 0, rows())
    frame = pd.read_parquet(store.runs)
    for kind in COLUMNS:
        assert isinstance(frame[kind.name].dtype, pd.CategoricalDtype) == (kind.kind == "word")
    loaded = fastbp.load(store.path)
    assert {loaded[c.name].dtype for c in COLUMNS if c.kind == "integer"} == {pd.Int64Dtype()}
    assert {loaded[c.name].dtype for c in COLUMNS if c.kind == "real"} == {np.dtype("float64")}


# Damage


def test_a_flipped_bit_is_found_in_every_column(store):
    path = store.publish(ONE, 0, rows())
    content = path.read_bytes()
    for column in pq.read_metadata(path).schema:
        path.write_bytes(content)
        flip(path, column.path)
        for read in (store.check_files, partial(read_all, store.path)):
            with pytest.raises(StoreError, match=rf"\A.*{path.name} is damaged.*\Z"):
                read()
    path.write_bytes(content)
    store.check_files()
    assert read_all(store.path).equals(rows())


@pytest.mark.parametrize("folder", [False, True])
def test_what_cannot_be_read_is_neither_damaged_nor_empty(store, monkeypatch, folder):
    """Nobody should move a file away; what a folder holds would be trained again."""
    path = store.publish(ONE, 0, rows())
    reads = [store.check_usable, lambda: read_all(store.path)]
    if folder:
        monkeypatch.setattr(
            os, "scandir", raising(OSError(errno.EIO, os.strerror(errno.EIO), store.runs))
        )
        reads, told = [*reads, store.present], "Input/output error"
    else:
        error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        monkeypatch.setattr(safe_files, "read", raising(error))
        reads += [store.check_files, lambda: store.run(ONE, 0)]
        told = f"{path.name} cannot be read: Permission denied"
    for read in reads:
        with pytest.raises(OSError if folder else StoreError, match=told):
            read()


def test_runs_alone_make_a_store(store):
    """Whatever else was lost."""
    store.publish(ONE, 0, rows())
    (store.path / "figures").mkdir()
    store.check_usable()


def test_a_store_without_runs_says_so(store, tmp_path):
    for path in (store.path, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match="no runs"):
            fastbp.load(path)


# Publishing


def test_nobody_sees_half_a_file(store, monkeypatch):
    """Before the rename there is nothing in `runs/`; the draft in `tmp/` does not look like a
    table."""
    seen, replace = [], os.replace

    def rename(draft: str, target: str, **folders: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{folders['src_dir_fd']}"), draft)
        seen.append((list(store.runs.iterdir()), path))
        assert pq.read_table(path).num_rows == 200, "whole before it is renamed"
        replace(draft, target, **folders)

    monkeypatch.setattr(os, "replace", rename)
    path = store.publish(ONE, 0, rows())
    ((before, draft),) = seen
    assert (before, draft.parent) == ([], store.path / "tmp")
    assert draft.suffix != ".parquet"
    assert (list(store.runs.iterdir()), list((store.path / "tmp").iterdir())) == ([path], [])


def test_a_folder_whose_list_is_wrong(store, monkeypatch):
    """As that of a stranger's file system: an empty name would be the folder itself."""
    name = store.publish(ONE, 0, rows()).name
    no_files = [SimpleNamespace(name=each, is_file=lambda **_: False) for each in ("", name, "x")]
    monkeypatch.setattr(os, "scandir", lambda folder: nullcontext(no_files))
    assert safe_files.listed(store.path, "runs") == {name: True, "x": False}
    monkeypatch.setattr(os, "listdir", lambda folder: [""])
    assert job._sweep_files(store.path.parent) == {}


def test_a_file_that_joins_others_while_they_are_listed_is_found(store, monkeypatch):
    """The list comes to its place before it is there, and to theirs when they are gone."""
    path, really = store.publish(ONE, 0, rows()), os.scandir

    def join(folder):
        monkeypatch.setattr(os, "scandir", really)
        path.rename(store.runs / "joined")
        return nullcontext([])

    monkeypatch.setattr(os, "scandir", join)
    assert safe_files.listed(store.path, "runs") == {"joined": True}
    monkeypatch.setattr(os, "scandir", lambda folder: nullcontext([]))
    with pytest.raises(OSError, match="names vanish whenever it is listed"):
        safe_files.listed(store.path, "runs")


def test_a_file_with_more_bytes_than_it_says_is_not_read_in_part():
    with pytest.raises(OSError, match="says that it has 0 bytes, but it has more"):
        safe_files.read(Path("/proc/self/status"))


def test_whoever_reads_meanwhile_finds_whole_files(store):
    stop = threading.Event()
    found: list[int] = []

    def read() -> None:
        while not stop.is_set():
            for file in store.files():
                found.append(
                    pq.read_table(file, columns=["seed"], page_checksum_verification=True).num_rows
                )

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for start in range(0, 4000, 200):
            store.publish(ONE, start, rows(ONE, start))
    finally:
        stop.set()
        reader.join()
    assert set(found) <= {200}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind(store, monkeypatch, call):
    monkeypatch.setattr(os, call, raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    told = rf"{ONE}-0-200-\w+.parquet.*No space left on device"
    with pytest.raises(StoreFullError, match=told):
        store.publish(ONE, 0, rows())
    assert (store.present(), list((store.path / "tmp").iterdir())) == ({}, [])


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_disk_that_cannot_flush_folders_is_no_failure(store, monkeypatch, number):
    """Some file systems refuse it; an error of the disk is one."""
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    if number == errno.EIO:
        with pytest.raises(StoreFullError, match="Input/output error"):
            store.publish(ONE, 0, rows())
    else:
        assert [store.publish(ONE, 0, rows())] == list(store.files())


def test_the_same_rows_again_are_the_same_file(store):
    assert list({store.publish(ONE, 0, rows()) for _ in range(3)}) == list(store.runs.iterdir())


# What may be a store


def test_a_new_store_makes_its_folders(tmp_path):
    store = opened(tmp_path / "deep" / "down" / "store")
    opened(store.path)
    assert store.present() == {}


@pytest.mark.parametrize(
    "entries",
    [
        {"thesis.tex": ""},
        {"figures/one.png": "", "summary.csv": "my own"},
        {"sweep.toml": "my own sweep file, beside which nothing was run yet"},
        {"runs/events.out": "", "train.py": ""},
        {"lock": "", "package.json": ""},
    ],
    ids=" ".join,
)
def test_a_folder_of_something_else_is_left_alone(tmp_path, entries):
    folder = tree(tmp_path / "mine", entries)
    with unchanged(folder), pytest.raises(StoreError, match="not a store: choose another"):
        opened(folder)


@pytest.mark.parametrize(
    "names",
    [
        [],
        [".DS_Store"],
        ["runs"],
        ["runs", "tmp", "lock"],
        ["runs", "problems"],
        ["sweep.toml", "tmp", "lock", "problems"],
        ["sweep.toml", "summary.csv", "contrasts.csv", "figures", "made.json"],
        ["sweep.toml", "runs", "tmp", "lock", "problems", "summary.csv", "report.html"],
    ],
    ids=lambda names: " ".join(names) or "empty",
)
def test_a_store_that_has_begun_or_of_which_a_part_was_kept_goes_on(tmp_path, names):
    """A command may have been killed at any time; what is published in a repository has no runs;
    `runs/` may be a copy."""
    for name in names:
        (tmp_path / name).touch() if "." in name or name == "lock" else (tmp_path / name).mkdir()
    opened(tmp_path)
    assert (tmp_path / "runs").is_dir()


@pytest.mark.parametrize("place", ["runs", "runs/a/b", "quarantine/a", "figures"])
def test_no_store_is_in_a_folder_of_another(store, place):
    """That would not be sound any more."""
    with store.locked():
        pass
    with pytest.raises(StoreError, match="folder of a store: choose another folder"):
        opened(store.path / place)
    assert not (store.path / place).exists() or place == "runs"
    (store.path.parent / "link").symlink_to(store.path)
    with pytest.raises(StoreError, match="is in a folder of a store"):
        opened(store.path.parent / "link" / place)


def test_what_is_checked_is_what_is_written_to(store, tmp_path, monkeypatch):
    """Though somebody exchanges what is there meanwhile."""
    mine = tree(tmp_path / "mine", {"summary.csv": "my own", "tmp/a.csv.1.draft": ""})
    new, link = Store(tmp_path / "new"), Store(tmp_path / "link")
    monkeypatch.setattr(places, "make_new", lambda root: root.symlink_to(mine))
    with unchanged(mine), pytest.raises(StoreError, match="other things in it"), new.locked():
        pass
    link.path.symlink_to(mine)
    with store.locked(), safe_files.held(link.path):
        link.path.unlink()
        link.path.symlink_to(store.path)
        with pytest.raises(StoreError, match="no longer the folder with which"):
            link.check_usable()
    late = tmp_path / "late"
    with safe_files.held(late):
        late.mkdir()
        assert safe_files.listed(late) == {}  # it is held from here on
        late.rename(tmp_path / "away")
        for reads in (safe_files.listed, gallery.is_generated):
            with pytest.raises(StoreError, match="late is no longer the folder with which"):
                reads(late)
    assert gallery.is_generated(late)
    first, second = safe_files.held(late), safe_files.held(late)  # of two threads
    with second:
        with first:
            late.mkdir()
            assert safe_files.listed(late) == {}
        late.rename(tmp_path / "gone")
        with pytest.raises(StoreError, match="late is no longer the folder with which"):
            safe_files.listed(late)


@pytest.mark.parametrize("is_copy", [True, False])
def test_a_folder_of_runs_that_is_away_or_was_exchanged_is_not_written(store, is_copy):
    """It is not taken for an empty one. What is removed in one folder would have been read in the
    other. An empty one may get the number of the one that it replaces, unless that is still
    open."""
    path = store.publish(ONE, 0, rows())
    with store.locked():
        assert [*store.files()] == [path]
        aside = shutil.move(store.runs, store.path.with_name("aside"))
        for use in (store.files, lambda: [store.publish(ONE, 60, rows())]):
            with pytest.raises(StoreError, match="runs is no longer the folder with which this"):
                [*use()]
        shutil.copytree(aside, store.runs) if is_copy else shutil.rmtree(aside)
        store.runs.mkdir(exist_ok=is_copy)  # nothing was made in its place
        with pytest.raises(StoreError, match="runs is no longer the folder with which this"):
            safe_files.remove(path, store.path)
    assert [*store.files()] == [path] * is_copy


def test_only_the_folder_that_is_open_is_removed(tmp_path):
    """And those above it, as long as they have the names that they had."""
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    with safe_files.folder(tmp_path / "a" / "b" / "c") as folder:
        (tmp_path / "a").rename(tmp_path / "moved")
        (tmp_path / "a").mkdir()
        places.remove_folders(folder, ["c", "b", "a"])
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a", "moved"]
    assert not any((tmp_path / "moved").iterdir())


def test_a_file_system_where_all_is_the_same_file(store, monkeypatch):
    """As a stranger's may say: the folder above is then not known by that."""
    with store.locked():
        (store.path / "tmp" / "link").symlink_to("../..")
        same = os.stat(store.path)
    monkeypatch.chdir(store.path / "tmp")
    monkeypatch.setattr(os, "fstat", lambda descriptor: same)
    with pytest.raises(StoreError, match="it is a link, not a folder"):
        places.open_folder(Path("link/new"), make=True)


def test_a_link_in_the_place_of_a_folder_of_a_store_is_not_followed(store):
    """Though what it leads to is in no store."""
    with store.locked():
        pass
    beside, theirs = store.path.parent, store.path.parent / "theirs"
    theirs.mkdir()
    for place in ("quarantine", "figures"):
        (store.path / place).symlink_to(theirs)
        with pytest.raises(StoreError, match="it is a link, not a folder"):
            opened(store.path / place / "new")
    (store.path / "runs").rmdir()
    (store.path / "runs").symlink_to("nowhere")
    assert places.is_in_store(store.path / "figures" / ".." / "new")
    assert not places.is_in_store(store.path)
    assert not places.is_in_store(store.path / "tmp" / ".." / "..")
    os.close(places.open_folder(Path("/") / "." / ".."))
    for number in range(1_500):  # more than a thousand, for which `os.path.realpath` has no room
        (beside / f"{number}").symlink_to(f"{number - 1}" if number else ".")
    assert places.real_path(beside / "9" / "new" / ".." / "x") == str(beside / "x")
    (beside / "long").symlink_to("a/../" * 300 + "store/runs")
    (beside / "round").symlink_to("round")
    for name in ("1499", "long", "round"):
        with pytest.raises(StoreError, match="too many links lead there"):
            places.leads_into(beside / name / "x", places.FOLDERS)
    (store.path / "lock").rename(store.path / "made.json")
    (store.path / "runs").unlink()
    (store.path / "mine").symlink_to(theirs)
    (store.path.parent / "link").symlink_to(store.path / "mine")
    assert places.is_in_store(store.path.parent / "link")
    with pytest.raises(StoreError, match="it is a link, not a folder"):
        opened(store.path / "mine" / "new")
    with pytest.raises(StoreError, match="it is a link, not a folder"):
        write_all({store.path / "mine" / "new" / "a": b""}, store.path / "mine" / "new")
    assert [*theirs.iterdir()] == []
    (store.path / "mine").unlink()
    (store.path / "mine").symlink_to(opened(store.path.parent / "another").path)
    with pytest.raises(StoreError, match="it is a link, not a folder"):
        Store(store.path / "mine").check_usable()


def test_a_link_is_in_a_store_however_far_below(store, monkeypatch, tmp_path):
    """Also where too few files can be opened to find out."""
    with store.locked():
        pass
    (store.path / "one").symlink_to(tmp_path)
    monkeypatch.chdir(store.path / "runs")
    with pytest.raises(StoreError, match="it is a link, not a folder"):
        safe_files.make(Path("../runs/../one/x"))
    monkeypatch.chdir(store.path)
    for _ in range(1_400):  # a path of so many `..` is longer than paths may be
        os.mkdir("a")
        os.chdir("a")
    os.symlink(tmp_path, "link")
    with pytest.raises(StoreError, match="it is a link, not a folder"):
        safe_files.make(Path("link/x"))
    monkeypatch.setattr(places, "is_there", raising(OSError(errno.EMFILE, "Too many open files")))
    with pytest.raises(OSError, match="Too many open files"):
        safe_files.make(Path("link/x"))
    os.unlink("link")
    for _ in range(1_400):  # pytest could not
        os.chdir("..")
        os.rmdir("a")
    assert not (tmp_path / "x").exists()


def test_nothing_is_above_a_folder_that_is_not_there(tmp_path, monkeypatch):
    """As the system says: what is there would be used without a look at it."""
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    for path in ("new/../there", "new/..", "there/a/../../b"):
        with pytest.raises(StoreError, match="goes up from a folder that is not there"):
            opened(path)
        with pytest.raises(FileNotFoundError):
            safe_files.make(Path(path))
    opened("there/../results/a/mine")
    assert sorted(os.listdir()) == ["results", "there"]


def test_links_elsewhere_are_followed_as_the_system_does(tmp_path, monkeypatch):
    """To a folder, not in a circle, and no folder is made at the end of one to nowhere."""
    monkeypatch.chdir(tmp_path)
    for name, target in {
        "link": "a/../real",
        "round": "round",
        "there": "back",
        "back": "there",
        "nowhere": "gone",
    }.items():
        Path(name).symlink_to(target)
    Path("a/b").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="link/x"):
        safe_files.make(Path("link/x"))
    Path("real").mkdir()
    safe_files.make(Path("a/b/../../link/x/y"))
    safe_files.make(tmp_path / "link" / "x" / "z")
    assert sorted(os.listdir("real/x")) == ["y", "z"]
    for path in ("round/x", "there/x"):
        with pytest.raises(OSError, match=f"symbolic links: '{path}'"):
            safe_files.make(Path(path))
    with pytest.raises(FileNotFoundError):
        safe_files.make(Path("nowhere/x"))
    safe_files.make(Path("/proc/self/cwd/real/here"))
    assert Path("real/here").is_dir()
    Path("file").touch()
    for path in ("file", "file/x"):
        with pytest.raises(NotADirectoryError, match=path):
            safe_files.make(Path(path))
    with pytest.raises(OSError, match="File name too long"):
        safe_files.make(Path("a/" * 3000))
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("call", ["mkdir", "open", "stat", "readlink", "rmdir"])
def test_a_folder_that_becomes_a_link_of_a_store_leads_nowhere_else(
    store, call, monkeypatch, tmp_path
):
    """Before whichever call of the system, also if what makes it a store is taken out with it, or
    the store itself becomes a link: what is written gets into the folder or nowhere."""
    with store.locked():
        pass
    lock, aside = store.path / "lock", tmp_path / "lock"
    mine, spare, theirs = store.path / "mine", store.path / "spare", tmp_path / "theirs"
    mine.mkdir()
    (theirs / "new").mkdir(parents=True)
    for link in (spare, tmp_path / "link"):
        link.symlink_to(theirs)
    real, times = getattr(os, call), itertools.count()

    def exchange() -> None:
        here, other = (mine, spare) if nth % 3 else (store.path, tmp_path / "link")
        here.rename(tmp_path / "aside")
        other.rename(here)
        (tmp_path / "aside").rename(other)
        if nth % 3 == 1:
            (lock if lock.exists() else aside).rename(aside if lock.exists() else lock)

    def exchanging(*arguments, **named):
        if next(times) == 0:
            exchange()
        return real(*arguments, **named)

    for nth in range(400):
        times = itertools.count(-nth)
        with (
            monkeypatch.context() as patched,
            suppress(StoreError, StoreFullError, OSError),
            safe_files.held(store.path),
        ):
            patched.setattr(os, call, exchanging)
            write_all({mine / "new" / "a": b"", mine / "other" / "b": b""}, mine)
            with Store(mine / "new" / "store").locked():
                pass
            Store(mine / "new" / "store").remove_if_empty()
        if not spare.is_symlink():
            exchange()
        shutil.rmtree(mine)
        mine.mkdir()
    assert next(times) < 0
    assert [*theirs.iterdir()] == [theirs / "new"]
    assert not [*(theirs / "new").iterdir()]


def test_a_store_in_a_folder_that_looks_like_another_is_used(store):
    store.publish(ONE, 0, rows())
    (store.path.parent / "lock").touch()
    (store.path.parent / "runs").mkdir()
    Store(store.path.rename(store.path.parent / "runs" / "mine")).check_usable()


def test_what_was_made_for_a_store_goes_with_it(tmp_path):
    (tmp_path / "there").mkdir()
    store = Store(tmp_path / "there" / "new" / "newer" / "store")
    with store.locked():
        store.remove_if_empty()
    assert list((tmp_path / "there").iterdir()) == []


def test_a_store_that_is_gone_since_a_command_began_is_not_made_again(store, tmp_path):
    with safe_files.held(store.path):
        store.path.rename(tmp_path / "moved")
        with pytest.raises(StoreError, match="is no longer the folder"), store.locked():
            pass
    assert not store.path.exists()


def test_a_lock_that_cannot_be_written_is_a_full_store(store, monkeypatch):
    monkeypatch.setattr(
        safe_files, "opened", raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    )
    with pytest.raises(StoreFullError, match="lock cannot be written"), store.locked():
        pass


# The lock


def test_a_lock_holds_in_one_process_too_and_is_given_back_after_an_error(store):
    class OwnError(Exception):
        pass

    with store.locked():
        for _ in range(2):  # and the refusal took nothing away
            told = f"process {os.getpid()} "
            with pytest.raises(StoreError, match=told), Store(store.path).locked():
                pass
    with pytest.raises(OwnError), store.locked():
        raise OwnError
    with store.locked():
        pass


def test_a_machine_may_have_a_name_that_is_no_text(store, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="a\udcff"))
    with store.locked():
        assert (store.path / "lock").read_text() == f"process {os.getpid()} on a?\n"


def test_a_lock_that_cannot_be_had_is_not_one_that_another_holds(store, monkeypatch):
    """As on some disks behind a network."""
    monkeypatch.setattr(fcntl, "flock", raising(OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))))
    with pytest.raises(OSError, match="No locks available"), store.locked():
        pass


def test_what_a_killed_driver_left_is_cleared_away(store):
    (store.path / "tmp" / f"{ONE}-0-200-0123456789abcdef.parquet.99.draft").write_bytes(b"half")
    (store.path / "tmp" / "chapter.tex").write_text("mine, of a folder that held nothing else")
    with store.locked():
        assert [path.name for path in (store.path / "tmp").iterdir()] == ["chapter.tex"]


def test_any_file_of_a_store_is_written_whole(store):
    target = store.write(store.path / "problems" / "some.json", json.dumps({"a": 1}).encode())
    assert json.loads(target.read_text()) == {"a": 1}
    store.write(target, b"new")
    assert (target.read_bytes(), list((store.path / "tmp").iterdir())) == (b"new", [])


def test_a_name_may_have_all_255_bytes(tmp_path):
    """Its draft has a shorter one."""
    path = tmp_path / f"{'é' * 127}n"
    assert (safe_files.write(path, b"1").read_bytes(), [*tmp_path.iterdir()]) == (b"1", [path])
