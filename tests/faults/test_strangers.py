"""Stores that anybody may have made: nothing outside them is read, written, moved or removed, no
command waits or fills the memory, and what is wrong is one line."""

import base64
import copy
import errno
import hashlib
import io
import json
import os
import re
import resource
import shutil
import stat
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import command as child, environment, spied, started, succeeded
from fake_runs import ONE, as_parquet, numbered, rows
from numpy.lib import format as npy
from stores import contents_of, flip, opened, replaced_by, rows_of, unchanged

import fastbp
from fastbp import Setup
from fastbp.analysis import contrasts
from fastbp.analysis.counts import count_runs
from fastbp.config import toml_text
from fastbp.engine import integrity, stored_problems, stored_run
from fastbp.engine.merge import _remove, merge
from fastbp.problems import problem, read_table, samples, targets
from fastbp.reporting import build, gallery, svg
from fastbp.reporting.html_tables import provenance as provenance_table
from fastbp.reporting.report_data import _problem, _source
from fastbp.reporting.sections import examples_section
from fastbp.schema.errors import (
    StoreError,
    StoreFullError,
    SweepError,
    TableError,
    UnsafeFileError,
)
from fastbp.store import npz, parquet, parquet_pages, provenance, safe_files, store as store_module
from fastbp.store.digest import digest
from fastbp.store.filename import RunFile
from fastbp.store.npz import read_arrays
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


def setup_in(folder: Path) -> str:
    """The id of a setup of the store in a folder."""
    return min([*folder.glob("**/store/runs/*.parquet")]).name[:12]


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


USERS = {
    "replays": ["replay"],
    "problems": ["replay"],
    "figures": ["report"],
    "runs": ["merge", "replay", "report"],
}
"""Commands that use a folder, besides those that check the whole store before they begin."""


@pytest.mark.parametrize("name", ["runs", "tmp", "problems", "replays", "quarantine", "figures"])
def test_a_folder_that_is_a_link_is_not_followed(command, folder, name):
    replaced_by(folder / "store" / name, lambda path: path.symlink_to(folder / "theirs"))
    checking = ["sweep", "own sweep", "verify", "repair", "merge into"]
    told = attacked(command, folder, checking + USERS.get(name, []))
    why = f"fastbp: store/{name} cannot be used: it is a link, not a folder; "
    assert (set(told), set(told.values())) == (
        {*checking, *USERS.get(name, [])},
        {f"{why}move it away"},
    )


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
    "report.html": lambda store: build.is_current(store, []),
    "summary.csv": lambda store: safe_files.read(store / "summary.csv", store),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_none_is_a_line(folder, monkeypatch, name, kind):
    monkeypatch.chdir(folder)
    (folder / "store" / "report.html").write_text(PAGE)
    replaced_by(folder / "store" / name, KINDS[kind])
    store = Store("store")
    why = f"store/{name} cannot be used: it is a {kind.split()[0]}, not a file"
    for use in (store.check_usable, store.locked().__enter__, lambda: READERS[name](store.path)):
        with unchanged(folder / "theirs"), pytest.raises(UnsafeFileError, match=rf"\A{why}"):
            use()
    assert "sweeps" in gallery.text(Path(), {"store": "a command"}, "a command")


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
    assert integrity.check(store).digest == integrity.check(Store(folder / "sound")).digest


def test_a_lock_with_a_second_name_is_not_written(folder, monkeypatch):
    """Nor if one of its names is gone when it is locked."""
    lock = folder / "store" / "lock"
    lock.unlink()
    os.link(folder / "theirs" / "notes.txt", lock)
    with unchanged(folder / "theirs"), pytest.raises(UnsafeFileError, match="by a hard link; move"):
        with Store(folder / "store").locked():
            pass
    other = lock.with_name("tmp") / "other"
    for take in (lambda _: lock.unlink(), lambda _: other.rename(lock)):
        other.write_text("")
        monkeypatch.setattr(store_module, "_take", take)
        with unchanged(folder / "theirs"), pytest.raises(StoreError, match="in use by theirs: "):
            with Store(folder / "store").locked():
                pass
        lock.unlink(missing_ok=True)
        os.link(folder / "theirs" / "notes.txt", lock)


def test_a_store_may_be_reached_through_a_link(command, folder):
    (folder / "store").rename(folder / "elsewhere")
    (folder / "store").symlink_to("elsewhere")
    flip(min((folder / "store" / "runs").iterdir()))
    for name in ("repair", "sweep", "verify", "merge into", "merge"):
        succeeded(command(*COMMANDS[name]))
    assert rows_of(folder / "store") == rows_of(folder / "sound")


def test_a_store_may_be_reached_by_a_path_that_goes_up_from_a_link(command, folder):
    """Where that leads, only the system knows: here into `deep`."""
    (folder / "deep" / "down").mkdir(parents=True)
    (folder / "store").rename(folder / "deep" / "store")
    (folder / "link").symlink_to("deep/down")
    (folder / "theirs").rename(folder / "store")
    with unchanged(folder / "deep" / "store" / "problems"):
        for arguments in (["verify"], ["verify", "--repair"], ["replay", "{setup}", "1"]):
            attributes = (each.format(setup=setup_in(folder)) for each in arguments[1:])
            succeeded(command(arguments[0], "link/../store", *attributes))


def test_a_damaged_list_of_how_runs_were_made_is_kept(command, folder):
    (folder / "store" / "made.json").write_text("[{")
    succeeded(command("sweep", "mine.toml", "-o", "store", "--seeds", "4", *QUIET))
    assert (folder / "store" / "quarantine" / "made.json").read_text() == "[{"
    assert len(provenance.read_made(folder / "store")) == 1


def test_a_list_of_how_runs_were_made_keeps_its_entries(folder, monkeypatch):
    """Though it is damaged, or away, for an instant."""
    store, really, texts = Store(folder / "store"), safe_files.text_of, list[str]()
    entries = [{"when": "now"}, {"when": "then"}]
    provenance.add_made(store, entries[:1])
    monkeypatch.setattr(
        safe_files, "text_of", lambda *file: texts.pop() if texts else really(*file)
    )
    for seen in (["{"], ["{", "{"], ["[]"]):
        texts += seen
        provenance.add_made(store, entries[1:])
        assert (provenance.read_made(store.path), texts) == (entries, [])


def test_a_path_of_very_many_folders_is_refused(command, folder):
    done = command("sweep", "mine.toml", "-o", "a/" * 1_500, *QUIET)
    assert done.returncode == 3
    assert "is more than 200 folders deep" in done.stderr
    assert not (folder / "a").exists()


def test_only_drafts_of_ours_are_removed(tmp_path):
    store = opened(tmp_path / "store")
    names = ["chapter.draft", "x.1.draft.txt", "1.draft", ".draft"]
    for name in [*names, f"{ONE}.parquet.12.draft"]:
        (store.path / "tmp" / name).write_text("")
    with store.locked():
        assert sorted(os.listdir(store.path / "tmp")) == sorted(names)


# What takes more than it seems to


def bomb(rows_claimed: int) -> bytes:
    """A sealed file of runs in which a few bytes stand for many equal rows."""
    equal = (
        pa.concat_tables([rows(ONE, 0, 200).slice(0, 1)] * 50_000)
        .unify_dictionaries()
        .combine_chunks()
    )
    equal = equal.drop_columns("outputs")
    with io.BytesIO() as buffer:
        with pq.ParquetWriter(buffer, equal.schema, compression="zstd") as writer:
            for _ in range(0, rows_claimed, equal.num_rows):
                writer.write_table(equal)
        return parquet.sealed(buffer.getvalue())


@pytest.mark.parametrize("count", [3_000_000, 200])
def test_runs_that_unpack_to_gigabytes_are_refused_before_they_are(tmp_path, monkeypatch, count):
    """Whether or not their name says how many they are."""
    path = tmp_path / f"{ONE}-0-{count}-{'0' * 16}.parquet"
    content = bomb(3_000_000)
    assert len(content) < 10_000_000
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(ValueError, match="bytes stand for more than they can"):
        parquet.decoded(content, None, RunFile.parse(path))


@pytest.mark.parametrize("said", [40_000_000, 200])
def test_lists_that_unpack_to_gigabytes_are_refused_before_they_are(monkeypatch, said):
    """The rows are few, and what the file says of its bytes is little; maybe of its values too."""
    table = rows(ONE, 0, 200)
    values, place = 40_000_000, table.schema.get_field_index("outputs")
    ends = np.linspace(0, values, 201).astype(np.int32)
    lists = pa.ListArray.from_arrays(ends, np.zeros(values, np.float32))
    field = table.schema.field(place)
    content = as_parquet(table.set_column(place, field, lists.cast(field.type)))
    assert len(content) < 1_000_000
    content = content.replace(numbered(values), numbered(said, len(numbered(values))))
    assert pq.read_metadata(pa.BufferReader(content)).row_group(0).column(place).num_values == said
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(ValueError, match="bytes stand for more than they can"):
        parquet.decoded(content)


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_encodings_of_texts_in_which_few_bytes_are_many_are_not_read(encoding):
    """Texts that are parts of others, here 450 MB, or a page that says how many texts it has."""
    raw = as_parquet(
        pa.table({"x": ["a" * i for i in range(30_000)]}),
        use_dictionary=False,
        column_encoding={"x": encoding},
        compression="zstd",
    )
    unread(raw, f"encoding {encoding}, not read")


def unread(raw: bytes, why: str) -> None:
    """Neither rows of runs nor a table are read from a Parquet file."""
    for read in parquet.decoded, lambda raw: read_table.parquet_frame(raw, 10**10):
        with pytest.raises(ValueError, match=why):
            read(raw)


def test_very_many_parts_and_long_names_are_not_read(monkeypatch):
    raw = as_parquet(pa.table({"n" * 100: [{f"c{i}": 1 for i in range(30)}]}))
    for most, why in (
        ("MAX_NAMES", "30 columns, in groups with names of 3,240 bytes"),
        ("MAX_STRUCTS", "100 parts"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(parquet_pages, most, 100)
            unread(raw, why)


@pytest.mark.parametrize("said", [pa.schema([("x", pa.duration("s"))]).serialize(), b""])
def test_the_schema_in_words_of_arrow_is_not_read(said):
    """In few bytes it may stand for gigabytes."""
    buffer, table = io.BytesIO(), pa.table({"x": [1]})
    with pq.ParquetWriter(buffer, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"ARROW:schemX": base64.b64encode(said)})
    raw = buffer.getvalue().replace(b"schemX", b"schema")
    with pytest.raises((AssertionError, pa.ArrowInvalid)):
        assert pq.read_table(pa.BufferReader(raw)) == table
    read = parquet.decoded(raw)
    assert (read, read.schema.metadata) == (table, {})
    assert read_table.parquet_frame(raw, 10**9)["x"].tolist() == [1]


def test_columns_that_arrow_would_mistake_for_others_are_refused():
    """It knows by their paths which columns have text, and copies words of others for each row."""
    said = json.dumps({"index_columns": ["i"], "columns": []})
    for first, name, second, why in (
        ([b"w"], "i", [1], "'i' is binary"),
        (["w"], "i", [1], "'i' occurs 2 times"),
        ([{"b": 1}], "i.b", ["w"], "'i.b' occurs 2 times"),
    ):
        table = pa.table([first, second], ["i", name])
        with pytest.raises(TableError, match=why):
            read_table.parquet_frame(
                as_parquet(table.replace_schema_metadata({"pandas": said})), 10**9
            )


def test_values_that_are_no_text_are_not_wide(monkeypatch):
    raw = as_parquet(pa.table({"x": ["w"] * 3, "y": [1, 2, 3]}), store_schema=False)
    # the text of x is a column without values, in the words of Parquet
    footer = raw[parquet_pages.footer_start(raw) : -8].replace(b"\x25\x00\x4c\x1c", b"\x6c\xbc")
    nulls = raw[: parquet_pages.footer_start(raw)] + footer + len(footer).to_bytes(4, "little")
    decimals = as_parquet(pa.table({"x": pa.array([1]).cast(pa.decimal128(38))}))
    assert len(read_table.parquet_frame(decimals, 10**9)) == 1
    monkeypatch.setattr(read_table, "MAX_WIDTH", 15)
    for wide in nulls + b"PAR1", decimals:
        with pytest.raises(TableError, match="'x' may have longer ones"):
            read_table.parquet_frame(wide, 10**9)


def test_very_long_texts_of_a_table_are_refused(monkeypatch):
    monkeypatch.setattr(read_table, "MAX_TEXT", 5)
    for dictionary in False, True:
        raw = as_parquet(pa.table({"x": ["short", None, "longer"]}), use_dictionary=dictionary)
        with pytest.raises(TableError, match="at most 5 bytes; 'x' has 6"):
            read_table.parquet_frame(raw, 10**9)


@pytest.mark.parametrize("index", [[], ["w"]])
def test_long_texts_of_tables_are_not_copied(index):
    """All copies together have ten million letters."""
    written = pd.DataFrame({"x": np.arange(1_000), "w": ["w" * 10_000] * 1_000})
    raw = (written.set_index(index) if index else written).to_parquet()
    frame = read_table.parquet_frame(raw, 10**9)
    assert frame.shape == (1_000, 2 - len(index))
    assert frame.memory_usage(index=True, deep=True).sum() < 10**6


def test_a_long_text_with_spaces_around_it_is_kept_once():
    (column,) = read_table.DECODERS[".parquet"](
        pd.DataFrame({"x": ["w" * 9_999 + " "] * 1_000}).to_parquet()
    ).columns
    assert (len({*map(id, column.values)}), column.values[0]) == (1, "w" * 9_999)


def test_what_pandas_said_of_types_is_not_read():
    """Its patterns for them may take hours, and it warns of some."""
    frame = pd.DataFrame({"x": [1, None], "w": ["a", "b"]}, index=pd.Index([1.5, 2.5], name="i"))
    table = pa.Table.from_pandas(frame)
    told = table.schema.metadata[b"pandas"].replace(
        b'"numpy_type": "float64"', b'"numpy_type": "?["'
    )
    read = read_table.parquet_frame(
        as_parquet(table.replace_schema_metadata({"pandas": told})), 10**6
    )
    assert [str(kind) for kind in read.dtypes] == ["Float64", "category"]
    assert read["x"].isna().tolist() == [False, True]


def test_keys_of_very_many_parts_together_are_refused(folder):
    text = "a = [" + "0.5, " * 400_001 + "]"
    with pytest.raises(ValueError, match="nested too deeply"):
        toml_text.read_toml(text)
    (folder / "store" / "sweep.toml").write_text(f'title = "their own"\n{text}')
    assert provenance.latest_sweep(folder / "store").title != "their own"


def test_wide_tables_of_pandas_are_read():
    """Their footers have 5 MB. An index may have periods."""
    wide = pd.DataFrame(np.ones((1, 10_000)), columns=[f"feature_{i}" for i in range(10_000)])
    assert read_table.parquet_frame(wide.to_parquet(), 10**9).shape == (1, 10_000)
    short = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.period_range("2020", periods=2, freq="M"))
    assert read_table.parquet_frame(short.to_parquet(), 10**9).shape == (2, 1)


def test_very_many_decimals_are_refused_before_they_are_read(monkeypatch):
    """Each becomes an object of a hundred bytes."""
    raw = as_parquet(pa.table({"x": pa.array([1] * 60_000).cast(pa.decimal128(20))}))
    assert len(read_table.parquet_frame(raw, 10**7)) == 60_000
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(TableError, match="at most 1,000,000 bytes, unpacked; it has 6,"):
        read_table.parquet_frame(raw, 10**6)


def test_a_diagnosis_reads_no_table_of_very_many_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(pd, "read_csv", None)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    (tmp_path / "wide.csv").write_text(",".join(f"c{i}" for i in range(10_001)) + "\n")
    pq.write_table(pa.table({f"c{i}": [1] for i in range(10_001)}), tmp_path / "wide.parquet")
    for path in tmp_path.iterdir():
        assert samples.fixed(path, None) is None
        with pytest.raises(SweepError, match="at most 10,000 columns"):
            targets.check(str(path))


@pytest.mark.parametrize("said", [5, [], {}, {"index_columns": 5, "columns": []}])
def test_what_a_table_says_of_pandas_may_be_damaged(said):
    table = pa.table({"x": [1, 2]}).replace_schema_metadata({"pandas": json.dumps(said)})
    with pytest.raises(TableError, match="what it says about pandas is damaged"):
        read_table.parquet_frame(as_parquet(table), 10**9)


def test_short_rows_are_not_filled_up(tmp_path):
    """A hundred kilobytes would become gigabytes."""
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"c{i}" for i in range(9_999)) + ",y\n" + "1\n" * 20_000)
    tracemalloc.start()
    assert samples.fixed(path, ["y"]) is None
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    path.write_text("a,y\n1,2\n\n\n\n3,\n")
    assert samples.fixed(path, ["y"])[0] == b"a,y\n1,2\n"  # empty lines are none
    path.write_text('a,y\n1,2\n"3,4\n5,6"\n7,\n')
    assert samples.fixed(path, ["y"]) is None  # else a row would be left out unsaid


def test_of_a_folder_that_cannot_be_listed_the_path_is_said(folder, monkeypatch):
    def stale(place):
        raise OSError(errno.ESTALE, "Stale file handle", place)

    monkeypatch.setattr(os, "scandir", stale)
    with pytest.raises(OSError, match=r"Stale file handle: '.*/store/runs'"):
        safe_files.listed(folder / "store", "runs")


def test_very_many_rows_of_a_diagnosis_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MAX_READ", 2_999)
    np.savez(tmp_path / "a.npz", X=np.zeros((3_000, 1)), T=np.zeros(3_000))
    assert samples.fixed(tmp_path / "a.npz", None) is None
    monkeypatch.setattr(samples, "MAX_READ", 3_000)
    assert samples.fixed(tmp_path / "a.npz", None)


def test_texts_of_a_column_count_for_what_pandas_makes_of_them():
    raw = as_parquet(pa.table({"x": ["a"] * 60_000}), use_dictionary=False)
    read_table.parquet_frame(raw, 7_200_000)
    with pytest.raises(TableError, match="at most 5,000,000 bytes, unpacked; it has "):
        read_table.parquet_frame(raw, 5_000_000)
    # a small dictionary, then pages without one
    raw = as_parquet(
        pa.table({"x": [f"{i}" for i in range(60_000)]}), dictionary_pagesize_limit=10_000
    )
    with pytest.raises(TableError, match="at most 5,000,000 bytes, unpacked; it has 7"):
        read_table.parquet_frame(raw, 5_000_000)


def test_an_index_of_pandas_has_no_lists():
    said = {"index_columns": ["w"], "columns": [], "column_indexes": [], "pandas_version": "2"}
    raw = as_parquet(
        pa.table({"x": [1, 2], "w": [[1], [2]]}).replace_schema_metadata(
            {"pandas": json.dumps(said)}
        )
    )
    with pytest.raises(TableError, match="'w' is list<"):
        read_table.parquet_frame(raw, 10**9)


def test_pages_that_unpack_to_more_than_the_footer_says_are_refused_before_they_are(monkeypatch):
    """Here it says 5,000 bytes, and one word has ten million letters."""
    table = rows(ONE, 0, 200)
    place = table.schema.get_field_index("problem")
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), ["x" * 10_000_000, "y"])
    table = table.set_column(place, table.schema.field(place), words)
    content = as_parquet(
        table, compression="zstd", write_statistics=False, dictionary_pagesize_limit=1 << 30
    )
    group, at = (
        pq.read_metadata(pa.BufferReader(content)).row_group(0),
        parquet_pages.footer_start(content),
    )
    footer = content[at:]
    for size in (group.total_byte_size, group.column(place).total_uncompressed_size):
        footer = footer.replace(numbered(size), numbered(5_000, len(numbered(size))))
    assert pq.read_metadata(pa.BufferReader(content[:at] + footer)).row_group(0).total_byte_size
    monkeypatch.setattr(parquet, "MAX_UNPACKED", 1 << 20)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(ValueError, match="bytes stand for more than they can"):
        parquet.decoded(content[:at] + footer)


def an_npz(folder: Path, pack: int, header: bytes | None = None, **arrays: int) -> Path:
    """A file with arrays of so many zeros, or with another header."""
    file = folder / f"{'0' * 64}.npz"
    with zipfile.ZipFile(file, "w", pack) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if header is None:
                    npy.write_array_header_1_0(
                        member, {"descr": "|u1", "fortran_order": False, "shape": (values, 1)}
                    )
                else:
                    member.write(header)
                for _ in range(values // 1_000_000):
                    member.write(bytes(1_000_000))
    return file


LARGE_HEADER = b"\x93NUMPY\x02\x00" + (400_000_000).to_bytes(4, "little")
EMPTY_TEXTS = b"\x93NUMPY\x01\x00\x76\x00" + (
    b"{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000, 1)}".ljust(117) + b"\n"
)


@pytest.mark.parametrize(
    ("told", "make"),
    [
        ("at most 300,000,000 bytes; 'T' has", {"X": 200_000_000, "T": 200_000_000}),
        ("at most 300,000,000 bytes; 'X' has", {"header": LARGE_HEADER, "X": 400_000_000, "T": 1}),
        ("at most 300,000,000 bytes; 'X' has", {"header": EMPTY_TEXTS, "X": 1, "T": 1}),
        ("packed otherwise", {"pack": zipfile.ZIP_BZIP2, "X": 1_000_000, "T": 1_000_000}),
    ],
    ids=["together", "header", "empty", "packed"],
)
def test_arrays_that_unpack_to_gigabytes_are_refused_before_they_are(tmp_path, told, make):
    file = an_npz(tmp_path, **{"pack": zipfile.ZIP_DEFLATED} | make)
    assert file.stat().st_size < 1_000_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TableError, match=told):
        read_arrays(file.read_bytes(), ("X", "T"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 50_000


def test_a_directory_of_very_many_arrays_is_refused(tmp_path):
    with pytest.raises(TableError, match="at most 10,000 arrays"):
        read_arrays(an_npz(tmp_path, zipfile.ZIP_STORED, X=0).read_bytes() + b"PK\1\2" * 10_001)


def test_texts_count_as_the_objects_that_pandas_makes_of_them(tmp_path):
    """Here each is a character. No problem of a store has any."""
    content = npz.npz(X=np.full((5_000, 1_000), "1"), T=np.ones((5_000, 1)))
    with pytest.raises(TableError, match="at most 300,000,000 bytes; 'X' has 380000000"):
        read_arrays(content, ("X", "T"))
    (tmp_path / "problems").mkdir()
    path = tmp_path / "problems" / f"{'0' * 64}.npz"
    path.write_bytes(npz.npz(X=np.full((5, 1), "1"), T=np.ones((5, 1))))
    with pytest.raises(SweepError, match="allowed: numbers of float64; 'X' has <U1"):
        targets.stored(path)
    with pytest.raises(TableError, match="numbers of float64; 'X' has <U1"):
        npz.read_problem(tmp_path, "0" * 64)


def test_arrays_that_overlap_are_refused(tmp_path):
    """Else a file may be unpacked as often as it has names for its bytes."""
    path = an_npz(tmp_path, zipfile.ZIP_STORED, X=1_000_000)
    with zipfile.ZipFile(path, "a") as archive:
        again = copy.copy(archive.filelist[0])
        again.filename = "T.npy"
        archive.filelist.append(again)
        archive.writestr("meaning", b"")
    with pytest.raises(TableError, match="some of it is in several of them"):
        read_arrays(path.read_bytes(), optional=None)


@pytest.mark.parametrize("error", [MemoryError(), zlib.error("Error -4 while decompressing data")])
def test_no_memory_for_an_array_is_no_damage(monkeypatch, error):
    """Unless Python's parser says so of a header that NumPy does not write."""
    raw, (odd,) = npz.npz(X=np.eye(2)), [npz.npz(X=np.zeros(2, "f8,f8"))]
    with monkeypatch.context() as patch:
        patch.setattr(npy, "read_array_header_1_0", lambda file: raised(error))
        with pytest.raises(MemoryError):
            read_arrays(raw, ["X"])
        with pytest.raises(TableError, match="'X' is not an array"):
            read_arrays(odd, ["X"])


def raised(error: Exception) -> None:
    raise error


def test_what_a_directory_says_of_arrays_besides_is_bounded():
    raw, most = io.BytesIO(npz.npz(X=np.eye(2))), 64_000
    with zipfile.ZipFile(raw, "a") as archive:
        for number in range(20):
            entry = zipfile.ZipInfo(f"a{number}.npy")
            entry.extra = struct.pack("<HH", 7, most) + bytes(most)
            archive.writestr(entry, b"")
    with pytest.raises(TableError, match="10,000 arrays, with little else; it has more"):
        read_arrays(raw.getvalue(), ["X"])


def test_rows_that_are_all_too_long_are_counted_and_not_kept(tmp_path):
    names, text = ["x", "y"], io.StringIO("x,y\n" + "1,2,3\n" * 100_000)
    tracemalloc.start()
    with pytest.raises(TableError, match=r"row 1 has 3: '1,2,3' \(the first of 65,536\)"):
        read_table.check_rows(text, names)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_side_file_that_is_too_large_is_not_read(folder):
    """Nor one of very many parts, which each take memory."""
    (folder / "store" / "made.json").write_text(f"[{'{},' * 4_000_000}{{}}]")
    assert provenance.read_made(folder / "store") == []
    os.truncate(folder / "store" / "made.json", 1 << 40)
    with pytest.raises(UnsafeFileError, match="it has 1,099,511,627,776 bytes, more than"):
        provenance.read_made(folder / "store")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_side_files_count_as_damaged(folder, text):
    (folder / "store" / "made.json").write_text(text)
    assert provenance.read_made(folder / "store") == []
    for toml in (f"x = {text}", "a." * 100_000 + "a = 1\n", f"[{'a.' * 100_000}a]\n"):
        (folder / "store" / "sweep.toml").write_text(toml)
        assert provenance.latest_sweep(folder / "store") == provenance.LatestSweep()
        succeeded_merge = merge(opened(folder / "new"), [Store(folder / "store")])
        assert succeeded_merge.files + succeeded_merge.runs + succeeded_merge.there
        assert (folder / "new" / "sweep.toml").read_text() == toml
        shutil.rmtree(folder / "new")


def test_pages_and_entries_that_are_made_to_take_long_do_not(folder, monkeypatch):
    """A page that matches a pattern in very many ways, and very many columns and entries."""
    store = folder / "store"
    (store / "summary.csv").write_text("runs," * 200_000 + "\n7\n")
    assert gallery._runs_of(store) == [7]
    (store / "made.json").write_text('[{"a": ' + "[" * 900 + "0," * 10**6 + "0" + "]" * 900 + "}]")
    began = time.process_time()
    provenance.add_made(Store(store), [{"when": "now"}])
    assert time.process_time() - began < 5
    assert provenance.read_made(store)[1:] == [{"when": "now"}]
    figure = '<figure>aria-label="a figure" href="figures/one.svg"'
    hostile = "<h1><bdi>" * 50_000 + '<figure aria-label="" <figure>' + 'aria-label="" ' * 200_000
    for page, expected in ((PAGE + figure, {"one": "a figure"}), (PAGE + hostile, {})):
        (store / "report.html").write_text(page)
        began = time.process_time()
        assert gallery.page_of(store) == ("title", "answer", expected)
        assert time.process_time() - began < 5
    (store / "report.html").write_text(PAGE + "a" * (1 << 25))
    assert gallery.page_of(store) is None
    entries = [{"when": number, "runs": 10**400} for number in range(30_000)]
    (store / "made.json").write_text(json.dumps(entries))
    provenance.add_made(Store(store), [*entries[::-1], {"when": "now"}])
    assert provenance.read_made(store) == [*entries, {"when": "now"}]
    assert provenance_table(store)["commands"]
    for name, most in ("MAX_MADE", 15_000_000), ("MAX_PARTS", 50_000):
        monkeypatch.setattr(provenance, name, most)
        (store / "made.json").write_text(json.dumps(entries[: most // 5]))
        provenance.add_made(Store(store), [*entries[-7_000:], {"when": name}])
        assert provenance.read_made(store)[-2:] == [entries[-1], {"when": name}]


def test_a_huge_grid_is_not_expanded_by_a_merge(folder):
    """It takes minutes; only the paths of its problems are written anew."""
    sweep = (folder / "store" / "sweep.toml").read_text()
    grid = f"[grid]\nlr = {[1 / n for n in range(1, 90_001)]}\n"
    (folder / "store" / "sweep.toml").write_text(sweep.replace("[grid]", grid, 1))
    began = time.process_time()
    merge(opened(folder / "deep" / "new"), [Store(folder / "store")])
    assert time.process_time() - began < 20
    assert (folder / "deep" / "new" / "sweep.toml").read_text() == (
        folder / "store" / "sweep.toml"
    ).read_text().replace("../", "../../")


ZEROS_AND_ONES = str.maketrans({"0": "/", "1": "./"})


@pytest.mark.parametrize(
    "paths",
    [["file:a"] * 50_000, [f"file:./{n:013b}a".translate(ZEROS_AND_ONES) for n in range(8_000)]],
    ids=["far", "many"],
)
def test_paths_that_become_very_many_bytes_are_copied_as_they_are(folder, paths):
    """The folder of the merge is far away: each path would become a thousand times longer."""
    sweep = folder / "store" / "sweep.toml"
    text = sweep.read_text().replace("[grid]", f"[grid]\nother = {paths}", 1)
    sweep.write_text(text.replace("'", '"'))
    (folder / "store" / "a").write_text("")
    into = opened(folder / "far" / "/".join(["n" * 50] * 20) / "new")
    merge(into, [Store(folder / "store")])
    assert (into.path / "sweep.toml").read_bytes() == sweep.read_bytes()


def test_what_a_store_says_in_the_gallery_is_bounded(folder):
    store = folder / "store"
    fine = {"seconds": {"total": 2}, "cpu": "a", "updates": 3, "jobs": 1, "runs": 6}
    odd = [
        {"cpu": "\ud800" * 20_000},
        {"seconds": {"total": 1e308}},
        {"updates": 2**63 - 1},
        {"jobs": -1},
    ]
    (store / "made.json").write_text(json.dumps([fine, *(fine | each for each in odd)]))
    efforts = gallery.efforts_of(store)
    assert (efforts["cpu"].tolist(), efforts["updates"].tolist()) == (["a", "?" * 10_000], [3, 3])
    for count, expected in (("7", [7]), ("9" * 4_300, []), ("-1", [])):
        (store / "summary.csv").write_text(f"runs\n{count}\n")
        assert gallery._runs_of(store) == expected
    (store / "figures").symlink_to(folder / "theirs")
    for stem in ("a" * 300, "notes"):
        assert gallery.picture_of(store, ("t", "a", {stem: "f"})) == ""


@pytest.mark.parametrize("name", ["made.json", "runs"])
def test_what_cannot_be_read_is_not_damaged(folder, monkeypatch, name):
    store = Store(folder / "store")

    def refusing(call):
        def refuse(path, *how, **more):
            if os.path.basename(path) == name:
                raise PermissionError(errno.EACCES, "Permission denied")
            return call(path, *how, **more)

        return refuse

    before = provenance.read_made(store.path)
    monkeypatch.setattr(os, "open", refusing(os.open))
    monkeypatch.setattr(os, "stat", refusing(os.stat) if name == "runs" else os.stat)
    if name == "runs":
        with pytest.raises(PermissionError):
            fastbp.load(store.path)
    else:
        with pytest.raises(PermissionError):  # nor is it left out of a merge
            provenance.read_made(store.path)
        with pytest.raises(StoreFullError, match=r"made.json cannot be written: Permission denied"):
            provenance.add_made(store, [{"when": "now"}])
        monkeypatch.undo()
        assert provenance.read_made(store.path) == before


# Problems


def swapped(store: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Change the file of the problem; returns its digest."""
    (file,) = (store / "problems").iterdir()
    arrays = dict(np.load(file))
    change(arrays)
    file.write_bytes(npz.npz(**arrays))
    return file.stem


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "targets": lambda arrays: arrays.update(T=1 - arrays["T"]),
    "rows": lambda arrays: arrays.update(X=arrays["X"][::-1], T=arrays["T"]),
    "meaning": lambda arrays: arrays.update(
        meaning=str(arrays["meaning"]).replace('"test_rows": 0', '"test_rows": 2')
    ),
    "type": lambda arrays: arrays.update(X=arrays["X"].astype("f4")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_problem_that_was_swapped_is_used_by_nobody(folder, change):
    store = Store(folder / "store")
    (file,) = (store.path / "problems").iterdir()
    assert npz.read_problem(store.path, file.stem).X.shape == (4, 2)
    digest = swapped(store.path, CHANGES[change])
    with pytest.raises(TableError):
        npz.read_problem(store.path, digest)
    if change != "type":  # the same numbers
        with pytest.raises(SweepError, match="data of the digest in its name"):
            targets.stored(file)
        assert integrity.check(store).findings[0].file == file
    (counted, *_) = count_runs(store.path)
    assert counted.problem == digest
    assert _problem(store.path, _source(counted)) is None
    assert _problem(folder / "sound", _source(counted)) is not None


UNITS = [(np.nan, 1.0), (0.0, np.inf), (1e308, 1e308), (1e51, 1.0), (0.0, 0.0), (0.0, -1.0)]


@pytest.mark.parametrize("units", UNITS, ids=str)
def test_a_problem_in_units_without_end_is_used_by_nobody(folder, units):
    """Its digest is right, and no picture could have such an axis."""
    problems, Xs = folder / "store" / "problems", [[0.0], [1.0]]
    meaning = json.dumps({"groups": [], "units": [units], "test_rows": 0})
    digest = hashlib.sha256(
        f"{npz.data_digest(np.array(Xs), np.array(Xs))}{meaning}".encode()
    ).hexdigest()
    content = npz.npz(X=np.array(Xs), T=np.array(Xs), inputs=["a"], outputs=["t"], meaning=meaning)
    (problems / f"{digest}.npz").write_bytes(content)
    with pytest.raises(TableError, match="units with which outputs are finite"):
        npz.read_problem(folder / "store", digest)
    with pytest.raises(SweepError, match="units with which outputs are finite"):
        targets.stored(problems / f"{digest}.npz")


def test_whatever_a_row_calls_its_problem_no_table_is_read(folder, monkeypatch):
    def is_read(*arguments: object) -> None:
        raise AssertionError("a table is read")

    monkeypatch.setattr(targets, "read", is_read)
    store = Store(folder / "store")
    row = store.run(setup_in(folder), 0).to_pylist()[0]
    for name in (" file:d.csv", "\tfile :d.csv ", "file:d.csv"):
        with pytest.raises(SweepError, match="allowed: only with its data"):
            Setup.from_columns(row | {"problem": name})
        with pytest.raises(StoreError, match="cannot be trained again"):
            stored_run.setup_of(store, setup_in(folder), row | {"problem": name}, problem="0" * 64)


def test_of_very_many_problems_only_some_are_tried(folder, monkeypatch):
    """Where the files of runs do not say which one is theirs."""
    tried = spied(monkeypatch, targets, "stored")
    store = Store(folder / "store")
    row = store.run(setup_in(folder), 0).to_pylist()[0]
    assert stored_run.setup_of(store, setup_in(folder), row).identity() == setup_in(folder)
    monkeypatch.setattr(stored_problems, "MAX_SPENT", 0)
    monkeypatch.setattr(stored_run, "MAX_TRIED", 0)
    with pytest.raises(StoreError, match="lacks the problem it was trained on"):
        stored_run.setup_of(store, setup_in(folder), row)
    assert tried.call_count == 1
    # their files say which
    assert stored_run.find(store, setup_in(folder), "0").setup.identity() == setup_in(folder)
    tried.reset_mock()
    really_read = spied(monkeypatch, parquet, "read_as_written")
    drawn = [run.setup.identity() for _, run in stored_run.sample(store, 9)]
    assert len(drawn) > tried.call_count == really_read.call_count == len({*drawn})
    assert not integrity.check(store).findings

    def without(path):
        rows, said = really_read(path)
        return rows, {name: text for name, text in said.items() if name != "fastbp.problem"}

    monkeypatch.setattr(parquet, "read_as_written", without)
    for file, why, *_ in integrity.check(store).findings:
        assert (file.name, "very many, and " in why) == ("problems", True)


def test_a_problem_without_rows_is_used_by_nobody(folder):
    X, T = np.empty((0, 2)), np.empty((0, 1))
    digest = npz.data_digest(X, T)
    (folder / "store" / "problems" / f"{digest}.npz").write_bytes(npz.npz(X=X, T=T))
    with pytest.raises(TableError, match="rows to train on"):
        npz.read_problem(folder / "store", digest)


def test_very_many_words_or_names_take_no_long_time(folder, monkeypatch):
    """Of a column of runs, of files in quarantine, and of links in a page."""
    table = pa.table(
        {"other": pa.array([f"word {number}" for number in range(200_000)]).dictionary_encode()}
    )
    began = time.process_time()
    digest(table)
    assert time.process_time() - began < 10
    store = opened(folder / "store")
    (store.path / "quarantine").mkdir()
    name = f"{'n' * 251}.csv"
    for number in ("", *(f".{number}" for number in range(1, 100))):
        (store.path / "quarantine" / f"{name[: 255 - len(number)]}{number}").touch()
    (store.runs / name).write_text("another")
    assert safe_files.set_aside(store.runs / name, store.path).read_text() == "another"
    of = f"{build.page_key(store.path, [])}-{build._digest([], 6)}"
    key = f'name="fastbp-made-of" content="{of}"'
    for href, expected in (("sweep.toml", True), ("n" * 300, False), ("runs", False)):
        (store.path / "report.html").write_text(f'{key} href="{href}"')
        assert build.is_current(store.path, []) is expected
    assert build._digest([("a.svg", b"a" * (1 << 20))] * 257, 6) == "too large"


def test_groups_of_outputs_and_setups_that_are_alike_take_no_long_time(folder):
    """Of a problem that says that it has very many labels, and of setups with the same keys."""
    meaning = json.dumps({"test_rows": 0, "units": [], "groups": [[0, 10_000, []]] * 100_000})
    (file,) = (folder / "store" / "problems").iterdir()
    arrays = read_arrays(file.read_bytes(), ("X", "T"))
    file.write_bytes(npz.npz(**arrays, meaning=meaning))
    began = time.process_time()
    with pytest.raises(SweepError, match="meanings of outputs that it has"):
        targets.stored(file)
    for many, told in ((1_000_000, "groups.0"), (7_000_000, "at most 72,000,000 bytes")):
        file.write_bytes(npz.npz(**arrays, meaning=f'{{"groups": [{"[]," * many}[]]}}'))
        with pytest.raises(ValueError, match=told):
            targets.stored(file)
    assert time.process_time() - began < 10
    alike: Any = {rate: [SimpleNamespace(setup=str(n)) for n in range(500)] for rate in (1, 2)}
    assert len([*contrasts._pairs(alike, None)]) == 16


def test_a_run_that_is_longer_than_its_row_says_is_not_kept():
    setup = fastbp.Setup(problem="xor", hidden=(1,), updates=8)
    assert len(fastbp.retrain(setup, 0, most=8).evaluations) > 1
    most = 2**32 - 1  # epochs
    # all of its learning rates would take 34 GB
    endless = setup.replaced(updates=None, epochs=most, eval_every=most, schedule="cosine")
    for each in (setup, endless):
        for listed in (False, True):
            with pytest.raises(StoreError, match="this run has more updates than the 7 of its row"):
                fastbp.retrain(each, 0, rows=listed, most=7)
        line, *_ = stored_run.differences(stored_run.StoredRun(each, 0, {"updates_done": 7}))
        assert re.fullmatch("updates_done: stored 7, trained again (8|more)", line)


def test_outputs_beyond_all_numbers_are_drawn():
    """Warnings are errors here."""
    assert "<circle" in svg.dots(np.array([9e307, 0.0]), None, (0.0, 9e307), "#000", "two dots")


def test_a_problem_is_read_from_the_file_that_was_opened(folder, monkeypatch):
    """Then its folder is exchanged for a link to another."""
    (file,) = (folder / "store" / "problems").iterdir()
    (folder / "theirs" / "problems" / file.name).write_text("theirs")
    really = os.fstat

    def exchange(descriptor):
        if file.parent.is_symlink() or not stat.S_ISREG(really(descriptor).st_mode):
            return really(descriptor)
        file.parent.rename(folder / "aside")
        file.parent.symlink_to(folder / "theirs" / "problems")
        return really(descriptor)

    monkeypatch.setattr(os, "fstat", exchange)
    assert targets.stored(file).shape == (4, 2, 1)
    assert file.parent.is_symlink()


def test_a_problem_is_read_from_the_store_that_is_held(folder, monkeypatch):
    """By the path that the user gave: folders above the current one are nobody's business."""
    monkeypatch.chdir(folder)
    store = Path("store")
    (name,) = os.listdir(store / "problems")
    with safe_files.held(store):
        store.rename("aside")
        shutil.copytree("sound", store)
        with pytest.raises(StoreError, match="no longer the folder with which this command"):
            targets.stored(store / "problems" / name)
    monkeypatch.chdir(store / "problems")
    assert targets.stored(name).shape == (4, 2, 1)


def test_problems_of_stores_are_kept_only_as_far_as_there_is_room(folder, monkeypatch):
    (file,) = (folder / "store" / "problems").iterdir()
    copies = [folder / str(i) / "problems" / file.name for i in range(3)]
    for place in copies:
        place.parent.mkdir(parents=True)
        place.write_bytes(file.read_bytes())
    kept = targets.stored(file)
    assert targets.stored(file) is kept
    monkeypatch.setattr(problem, "MAX_KEPT", 2 * kept.nbytes)
    first, second, third = map(targets.stored, copies)
    assert first == second == third == kept
    assert targets.stored(copies[2]) is third
    assert targets.stored(copies[1]) is second
    assert targets.stored(copies[0]) is not first


def test_only_the_problem_that_runs_name_is_tried(command, folder, monkeypatch):
    """Others may be many, and large."""
    for number in range(5):
        arrays = {"X": np.full((4, 2), float(number)), "T": np.arange(4.0)[:, None]}
        digest = npz.data_digest(*(np.asarray(each, float) for each in arrays.values()))
        (folder / "store" / "problems" / f"{digest}.npz").write_bytes(npz.npz(**arrays))
    tried = spied(monkeypatch, targets, "stored")
    succeeded(command("verify", "store"))
    assert tried.call_count == 6 + 2  # each once, and that of the two setups


@pytest.mark.parametrize("margin", [0.0, np.nextafter(0.5, 0.0)])
def test_held_out_rows_may_be_far_outside(tmp_path, monkeypatch, margin):
    """They are scaled as the others: the store of such a sweep is sound, and replays draw it."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{a},0,{t}\n" for a, t in [(0, 0), ("1e-5", 1), (0, 3e29), ("1e-5", 1e30)] * 2)
    Path("mine.csv").write_text(f"a,b,t\n{rows}1e26,0,0\n")
    keys = {"test": 0.1, "test_split": "last", "scale_inputs": "minmax", "scale_targets": "minmax"}
    keys |= {"problem": "file:mine.csv", "targets": "t", "hidden": 1, "updates": 4}
    keys |= {"output": "linear", "lr": 3.0, "target_margin": float(margin)}
    sweep = fastbp.Sweep(seeds=2, setup=keys)
    fastbp.run(sweep, "store")
    assert not integrity.check(Store(tmp_path / "store")).findings
    (problem,) = (tmp_path / "store" / "problems").iterdir()
    assert npz.read_problem(tmp_path / "store", problem.stem).X.shape == (8, 2)
    assert np.isfinite(np.stack(fastbp.retrain(sweep.setups[0], 0).evaluations["outputs"])).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_are_finite_in_any_units(dtype):
    converted = npz.in_units(np.array([0, 1, -50, 1e30, np.nan, np.inf], dtype), [(0.0, 1e38)])
    assert np.isfinite(converted).tolist() == [True] * 4 + [False, True]
    assert (converted.dtype, converted[1]) == (dtype, np.asarray(1e38, dtype))


# Trajectories

LAST = {"updates": pa.array([0, 9]), "loss": pa.array([0.5, 0.2]), "spread": pa.array([0.5, 0.2])}
LONG = pa.DictionaryArray.from_arrays(np.zeros(2, np.int32), ["x" * 10**6]).cast(pa.string())
TRACES: dict[str, dict[str, list[Any]]] = {
    "odd numbers": {
        "loss": [
            [1e308, 5e-324],
            [-1.0, 0.0],
            [np.nan, np.inf],
            [None, None],
            [2.0282409603651670e31, 2.0282409603651666e31],
        ],
        "spread": [[1.7e308, -1e308], [np.inf, -np.inf], [None, 1e200]],
        "updates": [[2**63 - 1, -(2**63)], [-1, -1]],
    },
    "other types": {
        "loss": [["x", "y"], pa.nulls(2), [1, 2]],
        "spread": [[[0.5], [0.2]], [True, False]],
        "updates": [["1", "2"]],
        "outcome": [LONG],
    },
    "other words": {"outcome": [LONG.dictionary_encode(), pa.nulls(2, pa.string())]},
    "no column": {name: [None] for name in (*LAST, "outcome")},
}


@pytest.mark.parametrize("kind", TRACES)
def test_trajectories_that_no_run_has_are_drawn_or_left_out(command, folder, kind):
    """A warning would be an error."""
    setup = min((folder / "store" / "runs").iterdir()).name[:12]
    word = parquet.schema().field("outcome").type
    for name, columns in TRACES[kind].items():
        (folder / "store" / "replays").mkdir(exist_ok=True)
        for seed, values in enumerate(columns):
            changed = {"outcome": pa.array(["partial"] * 2).cast(word), **LAST, name: values}
            if kind == "other words":
                changed["outcome"] = changed["outcome"].cast(word)
            there = {name: values for name, values in changed.items() if values is not None}
            pq.write_table(pa.table(there), f"store/replays/{setup}-{seed}.parquet")
        assert "Warning" not in succeeded(command("report", "store")).stderr
        assert ("replayed runs" in (folder / "store" / "report.html").read_text()) == (
            kind == "odd numbers"
        )
        shutil.rmtree(folder / "store" / "replays")


@pytest.mark.parametrize("seed", ["\x1b", "\udcff", "7" * 20, "-1", "1.0", ""])
def test_trajectories_of_what_is_no_seed_are_left_out(command, folder, seed):
    (folder / "store" / "replays").mkdir()
    word = parquet.schema().field("outcome").type
    trace = pa.table({"outcome": pa.array(["partial"] * 2).cast(word), **LAST})
    with open(f"store/replays/{setup_in(folder)}-{seed}.parquet", "wb") as file:
        pq.write_table(trace, file)
    succeeded(command("report", "store"))
    assert "replayed runs" not in (folder / "store" / "report.html").read_text()


def test_a_trajectory_of_very_many_evaluations_is_left_out(command, folder, monkeypatch):
    (folder / "store" / "replays").mkdir()
    word = parquet.schema().field("outcome").type
    trace = pa.table({"outcome": pa.array(["partial"] * 2).cast(word), **LAST})
    for seed in range(3):
        pq.write_table(trace, f"store/replays/{setup_in(folder)}-{seed}.parquet")
    odd = trace.set_column(0, "outcome", pa.array(["odd"] * 2).cast(word))
    for most, count in ((6, 3), (5, 2), (4, 1)):
        if most == 4:  # it is read, but not drawn
            pq.write_table(odd, f"store/replays/{setup_in(folder)}-0.parquet")
        monkeypatch.setattr(examples_section, "MAX_EVALUATIONS", most)
        succeeded(command("report", "store"))
        page = (folder / "store" / "report.html").read_text()
        assert len({*re.findall(r"seed (\d) ended partial with loss 0.2", page)}) == count
    size = os.path.getsize(f"store/replays/{setup_in(folder)}-0.parquet")  # the odd one
    monkeypatch.setattr(examples_section, "MAX_TRACES", size + 9)
    succeeded(command("report", "store"))
    assert "replayed run" not in (folder / "store" / "report.html").read_text()


def test_a_big_file_beside_many_small_ones_is_read_once(tmp_path, monkeypatch):
    store = opened(tmp_path / "store")
    for start, count in ((0, 200), *((start, 1) for start in range(0, 200, 40))):
        store.publish(ONE, start, rows(ONE, 0, 200).slice(start, count))
    big, *small = sorted(store.run_files(), key=lambda file: -file.count)
    read = spied(monkeypatch, parquet, "read_as_written")
    fuller = parquet.Comparison().fuller
    assert [fuller(big, file) for file in small] == [big] * 5
    assert sorted(path for (path,), _ in read.call_args_list) == sorted(
        file.path for file in (big, *small)
    )


# Names


def test_a_name_without_room_for_a_number_is_moved(command, folder):
    name = "ü" * 127
    for text in ("one", "other", "third"):
        (folder / "store" / "runs" / name).write_text(text)
        succeeded(command("verify", "store", "--repair"))
    moved = (folder / "store" / "quarantine").iterdir()
    assert sorted(path.read_text() for path in moved) == ["one", "other", "third"]


@pytest.mark.parametrize("name", ["\x1b[2J\x1b]0;mine\x07", "two\nlines", "\u202egnp", "\x9b31m"])
def test_names_do_not_reach_the_terminal_as_they_are(command, folder, name):
    (folder / "store" / "runs" / name).write_text("theirs")
    safe = repr(name)[1:-1]
    for options, place in ([], "runs"), (["--repair"], "quarantine"):
        done = command("verify", "store", *options)
        assert done.stdout.splitlines()[0].removeprefix("moved to ") == (
            f"store/{place}/{safe}: it is not a file of runs"
        )
        assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())


# Code


def test_no_process_runs_code_of_the_current_folder(folder):
    """Modules that Python, NumPy and Arrow import lie there, and worker processes start."""
    for name in ("pickle", "random", "secrets", "numbers", "zipfile", "struct", "numpy", "pandas"):
        (folder / f"{name}.py").write_text("open('ran', 'a').write(__name__)\nraise ImportError")
    script = folder / "bin" / "fastbp"
    script.parent.mkdir()
    script.write_text("import sys\nfrom fastbp.__main__ import main\nsys.exit(main())")
    program = [sys.executable, str(script), "sweep"]
    options = ["mine.toml", "-o", "other", *QUIET, "--executor", "processes", "-j", "1"]
    succeeded(child(*options, cwd=folder, program=program))
    assert not (folder / "ran").exists()
    assert rows_of(folder / "other") == rows_of(folder / "sound")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_text("a: [\n")])
def test_no_command_reads_settings_of_the_current_folder(folder, make):
    """Those of matplotlib are not needed; Numba reads its own in each process."""
    make(folder / "matplotlibrc")
    done = succeeded(
        child(
            "store",
            cwd=folder,
            program=[sys.executable, "-m", "fastbp.report"],
            env=environment(HOME="/dev/null"),
        )
    )
    assert "atplotlib" not in done.stderr
    make(folder / ".numba_config.yaml")
    done = child("store", cwd=folder, program=[sys.executable, "-m", "fastbp.verify"])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done


def test_settings_that_come_into_the_current_folder_during_a_command_are_not_read(folder):
    for name in ("matplotlibrc", ".numba_config.yaml"):
        (folder / name).write_bytes(b"\xff")
    imports = "import fastbp.reporting.plots, fastbp.kernels"
    compiles = "; import numba; numba.njit(lambda: 1)()"
    succeeded(
        child(
            cwd=folder,
            program=[sys.executable, "-c", imports + compiles],
            env=environment(FASTBP_COMMAND="1", MPLCONFIGDIR="mine"),
        )
    )
    assert (folder / "mine").is_dir()


def test_a_program_stays_in_its_folder_while_packages_are_imported(folder):
    """Its other threads may use paths relative to it."""
    stays = "import os; os.chdir = None; import fastbp.reporting.plots, fastbp.kernels"
    succeeded(
        child(
            cwd=folder,
            program=[sys.executable, "-c", stays],
            env=environment(PYTHONSAFEPATH="1"),
        )
    )


# Stores that somebody changes while commands use them

EXCHANGE = """
import itertools, os, random, sys, time
from contextlib import suppress
draw = random.Random(0)
for number in itertools.count():
    name, aside = draw.choice(sys.argv[1:]), f"aside {number}"
    with suppress(OSError):  # it is not there, or a command has made it anew
        os.rename(f"store/{name}", aside)
        os.symlink(draw.choice((f"../theirs/{name}", "../theirs/notes.txt")), f"store/{name}")
        time.sleep(draw.random() / 200)
        os.unlink(f"store/{name}")
    with suppress(OSError):
        os.rename(aside, f"store/{name}")
"""


def test_parts_that_are_exchanged_for_links_again_and_again(command, folder):
    """At any step of a command a link may stand where a folder or a file was checked."""
    names = sorted({*os.listdir(folder / "store"), "tmp", "quarantine", "figures"})
    with started(*names, cwd=folder, program=[sys.executable, "-c", EXCHANGE]) as exchange:
        for name in ("sweep", "repair", "merge", "merge into", "report", "verify") * 2:
            with unchanged(folder / "theirs"):
                done = command(*COMMANDS[name])
            shutil.rmtree(folder / "new", ignore_errors=True)
            assert done.returncode in (0, 3, 4), (name, done)
            errors = [line for line in done.stderr.splitlines() if line.startswith("fastbp: ")]
            assert len(errors) == (done.returncode > 0), (name, done)
        assert exchange.poll() is None


# Stores that are moved while they are written


def test_a_store_that_is_moved_leaves_no_ghost(tmp_path):
    store = opened(tmp_path / "store")
    with store.locked():
        store.path.rename(tmp_path / "moved")
        with pytest.raises(Exception, match=r"store is no longer the folder with which"):
            store.publish(ONE, 0, rows())
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_a_store_that_another_takes_the_place_of_is_not_written(tmp_path):
    store, other = Store(tmp_path / "store"), opened(tmp_path / "other")
    own = store.runs / other.publish(ONE, 0, rows()).name
    with store.locked():
        before = contents_of(other.path)
        store.path.rename(tmp_path / "moved")
        other.path.rename(store.path)
        for use in (
            lambda: store.publish(ONE, 0, rows()),
            lambda: _remove(store, {own: own}),
            lambda: integrity.move_aside(store, [integrity.StoreFault(own, "it is damaged")]),
        ):
            with pytest.raises(StoreError, match="no longer the folder with which this command"):
                use()
        store.remove_if_empty()
    assert contents_of(store.path) == before


@pytest.mark.parametrize("name", ["report", "replay", "repair"])
def test_a_store_that_another_takes_the_place_of_while_it_is_read(
    command, folder, monkeypatch, name
):
    """As if a backup was restored meanwhile."""
    monkeypatch.chdir(folder)
    shutil.copytree("store", "other")
    Path("other/published.csv").write_text("theirs")
    identity, (file, *_) = setup_in(folder), Path("store/runs").iterdir()
    if name == "repair":
        file.write_bytes(file.read_bytes()[:-1])
    before, really = contents_of(folder / "other"), safe_files.read

    def exchange(path: Path, *more: Any) -> bytes:
        content = really(path, *more)
        if path.suffix == ".parquet" and not Path("aside").exists():
            os.rename("store", "aside")
            os.rename("other", "store")
        return content

    monkeypatch.setattr(safe_files, "read", exchange)
    monkeypatch.setattr(integrity, "available_cores", lambda: 1)  # nobody reads between renames
    done = command(*(text.format(setup=identity) for text in COMMANDS[name]))
    assert done.returncode == 3, done
    assert "no longer the folder with which this command began" in done.stderr
    assert contents_of(folder / "store") == before


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
    store, take = opened(tmp_path / "store"), store_module._take

    def removed(lock: object) -> None:
        take(lock)
        (store.path / "lock").unlink()

    monkeypatch.setattr(store_module, "_take", removed)
    with pytest.raises(StoreError, match="in use by"), store.locked():
        pass
