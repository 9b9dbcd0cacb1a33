"""Stores that another release wrote: older files lack columns, newer ones have unknown ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import any_command, ended, in_process, raising, succeeded
from stores import contents_of, few_lanes, unchanged

import fastbp
from fastbp.cli import process
from fastbp.engine import integrity
from fastbp.reporting import build
from fastbp.schema import columns
from fastbp.store import filename, parquet, store as store_module
from fastbp.store.digest import digest
from fastbp.store.store import Store

here = in_process(any_command)

SWEEP = """
seeds = 12
[setup]
problem = "xor"
hidden = 2
updates = 23
[grid]
lr = [0.5, 2.0]
"""
ADDED = {"weight_max": None, "reduction": "sum"}
"""Columns that older files lack, and their defaults."""


@pytest.fixture(scope="module", autouse=True)
def two_schemas():
    """A release whose second schema has added a column of results and a key."""
    changed = tuple(
        c._replace(since=2, default=ADDED[c.name]) if c.name in ADDED else c
        for c in columns.COLUMNS
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "COLUMNS", changed)
        patch.setattr(store_module, "SCHEMA", 2)
        yield


@pytest.fixture(scope="module")
def made(two_schemas, tmp_path_factory):
    """A folder with a trained store and its page."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "mine.toml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        few_lanes(patch)
        patch.chdir(folder)
        assert any_command(["sweep", "mine.toml", "-o", "store"]) == 0
    return folder


@pytest.fixture
def store(made, tmp_path):
    """A copy of the store, and another, `full`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    shutil.copytree(tmp_path / "store", tmp_path / "full")
    return Store(tmp_path / "store")


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], number: int) -> Path:
    """Write a file anew as another release would."""
    rows, metadata = parquet.read_as_written(path)
    content, name = parquet.encode(rows := change(rows), metadata | {"fastbp.schema": str(number)})
    file = filename.RunFile.parse(path)
    path.unlink()
    new = path.with_name(filename.name(file.setup, file.start, rows.num_rows, name))
    new.write_bytes(content)
    return new


def older(path: Path) -> Path:
    return rewrite(path, lambda rows: rows.drop_columns([*ADDED]), 1)


def newer(path: Path) -> Path:
    def add(rows: pa.Table) -> pa.Table:
        some = {
            "depth": pa.array(np.arange(rows.num_rows)),
            "how": pa.array(["a", None] * (rows.num_rows // 2)).dictionary_encode(),
            "trail": pa.array([[0.5, 1.0]] * rows.num_rows, pa.list_(pa.float32())),
        }
        for name, values in some.items():
            rows = rows.add_column(3, name, values)
        return rows

    return rewrite(path, add, 9)


RELEASES = {
    "older": lambda files: [older(file) for file in files],
    "newer": lambda files: [newer(file) for file in files],
    "mixed": lambda files: [older(files[0]), *(newer(file) for file in files[1:])],
}


@pytest.fixture(params=RELEASES)
def release(request, store):
    """Which releases wrote the files of the store."""
    RELEASES[request.param](sorted(store.files()))
    return request.param


def test_such_stores_are_loaded(store, release):
    runs, full = fastbp.load(store.path), fastbp.load(store.path.parent / "full")
    assert [*runs.columns] == [
        *full.columns,
        *(["depth", "how", "trail"] if release != "older" else []),
    ]
    lacking = [*ADDED] if release == "older" else []
    assert runs[full.columns.drop([*ADDED])].equals(full.drop(columns=[*ADDED]))
    for name in lacking:
        assert runs[name].isna().all() if ADDED[name] is None else (runs[name] == "sum").all()
    if release == "mixed":
        assert runs["weight_max"].isna().equals(runs["depth"].isna())


def test_such_stores_are_sound_and_stay_as_they_are(here, store, release):
    verify = ("verify", "store", "--replay", "5")
    with unchanged(store.runs):
        plain, repair = here(*verify), here(*verify, "--repair")
    assert plain.returncode == repair.returncode == 0, plain.stderr
    assert "all sound" in plain.stdout
    assert not (store.path / "quarantine").exists()
    compared = len(columns.COLUMNS) - (release != "newer")
    again = here("replay", "store", next(iter(store.present())), "3", "--check")
    succeeded(again, stdout=f"the same, bit for bit: {compared} columns\n")


def test_such_stores_are_reported_and_resumed(here, store, release, tmp_path):
    assert here("report", "store").returncode == 0
    for table in ("summary.csv", "contrasts.csv"):
        assert (store.path / table).read_bytes() == (tmp_path / "full" / table).read_bytes()
    before = contents_of(store.runs)
    succeeded(here("sweep", "mine.toml", "-o", "store", "--seeds", "20"))
    assert before.items() <= contents_of(store.runs).items()
    present = store.present()
    assert {setup: sorted(ranges) for setup, ranges in present.items()} == {
        setup: [(0, 12), (12, 8)] for setup in present
    }
    assert here("verify", "store").returncode == 0


@pytest.mark.parametrize("into", ["store", "full", "new"])
def test_of_files_that_agree_a_merge_keeps_the_fuller(here, store, release, into, tmp_path):
    sources = [name for name in ("store", "full") if name != into]
    fullest = {"older": contents_of(tmp_path / "full" / "runs")}.get(
        release, contents_of(store.runs)
    )
    for _ in range(2):
        succeeded(here("merge", into, *sources))
        kept = contents_of(tmp_path / into / "runs")
        assert len(kept) == 2
        if release != "mixed":
            assert kept == fullest
    assert here("verify", into).returncode == 0


def test_of_files_that_agree_a_repair_keeps_the_fuller(here, store, tmp_path):
    full = contents_of(store.runs)
    for file in sorted(store.files()):
        content = file.read_bytes()
        older(file)
        file.write_bytes(content)
    assert here("verify", "store").returncode == 3
    assert (here("verify", "store", "--repair").returncode, contents_of(store.runs)) == (0, full)
    assert len([*(store.path / "quarantine").iterdir()]) == 2


def test_the_digest_is_that_of_the_columns_a_file_has(store):
    rows, metadata = parquet.read_as_written(older(min(store.files())))
    assert metadata["fastbp.digest"] == digest(rows)
    assert digest(parquet.fill(rows, columns.COLUMNS)) != digest(rows)
    rows, _ = parquet.read_as_written(newer(max(store.files())))
    assert digest(rows) == digest(rows.select(rows.column_names[::-1]))
    assert digest(rows) != digest(rows.drop_columns(["how"]))


def test_the_hash_of_all_rows_outlives_a_release(store, release):
    """It goes by the columns that the files have, however the rows are divided among them."""
    report = integrity.check(store)
    for file in sorted(store.files()):
        rows, metadata = parquet.read_as_written(file)
        setup = filename.RunFile.parse(file).setup
        file.unlink()
        for start in (0, 4):
            store.publish(setup, start, rows.slice(start, 4 if start == 0 else 8), metadata)
    assert integrity.check(store).digest == report.digest


def test_a_file_that_lacks_a_column_of_its_schema_is_damaged(here, store):
    file = rewrite(next(store.files()), lambda rows: rows.drop_columns([*ADDED]), 2)
    assert (
        f"{file.name}: its columns are not columns of runs"
        in ended(here("verify", "store"), 3).stdout
    )


def test_a_type_that_only_a_newer_release_knows_is_not_called_damaged(here, store):
    path = next(store.files())
    rows, metadata = parquet.read_as_written(path)
    dated = rows.append_column("when", rows["seed"].cast(pa.timestamp("us")))
    buffer = pa.BufferOutputStream()
    pq.write_table(dated.replace_schema_metadata(metadata), buffer)
    path.write_bytes(parquet.sealed(buffer.getvalue().to_pybytes()))
    assert "which only a newer fastbp knows" in ended(here("verify", "store", "--repair"), 3).stderr
    assert path.exists()


@pytest.mark.parametrize(
    "error",
    [ValueError("invalid literal"), ZeroDivisionError("integer division by zero")],
    ids=repr,
)
def test_what_only_a_newer_release_can_read_ends_a_command_with_a_line(
    here, store, monkeypatch, error
):
    newer(next(store.files()))
    assert "all sound" in here("verify", "store").stdout
    monkeypatch.setattr(build, "make", raising(error))
    line = "fastbp: store has runs of a newer fastbp, which this one cannot read: install it\n"
    assert ended(here("report", "store"), 3).stderr == line
    monkeypatch.setattr(process.interruption, "kept_in", "store")
    assert process.exit_code(raising(error), Path()) == 3
