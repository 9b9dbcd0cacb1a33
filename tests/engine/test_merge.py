"""Stores united: every run once, nothing before all is checked, and a merge that was killed is gone
on with."""

import contextlib
import itertools
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fake_runs import replaced, runs
from hypothesis import given, settings, strategies as st
from stores import (
    PARITY,
    XOR,
    contents_of,
    flip,
    opened,
    publish,
    rows_of,
    unchanged,
)

import fastbp
from fastbp import Setup, Sweep
from fastbp.engine import driver, integrity, merge as merge_module
from fastbp.engine.integrity import IntegrityReport
from fastbp.engine.merge import Merged, compact, merge
from fastbp.engine.plan import missing
from fastbp.schema.errors import StoreError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store import parquet, provenance, store as store_module
from fastbp.store.digest import digest, same
from fastbp.store.filename import Range
from fastbp.store.parquet_pages import unpacked
from fastbp.store.store import Store, footer


def made(
    path: Path, *ranges: Range, setups: Iterable[Setup] = (XOR,), numerics: int = NUMERICS_VERSION
) -> Store:
    """A store with a file of each range for each setup."""
    store = opened(path)
    for setup in setups:
        for start, count in ranges:
            publish(store, setup, start, count, numerics)
    return store


@pytest.fixture
def into(tmp_path):
    return made(tmp_path / "into")


# What is united


def test_of_rows_that_are_cut_otherwise_only_missing_seeds_are_written(tmp_path, into):
    one, other = (
        made(tmp_path / "one", (0, 10), (10, 10), (40, 5)),
        made(tmp_path / "other", (5, 30), (38, 9), (50, 3)),
    )
    assert merge(into, [one, other]) == Merged(7, 47, 20)
    cut = {file.name.rpartition("-")[0]: parquet.read(file) for file in into.files()}
    assert set(cut) == {f"{XOR.identity()}-{start}-{count}" for start, count in (
        (0, 10), (10, 10), (20, 15), (38, 2), (40, 5), (45, 2), (50, 3))}  # fmt: skip
    for rows, said in cut.values():
        start, count = rows["seed"][0].as_py(), rows.num_rows
        assert same(rows, runs(XOR, start, count))
        assert said == {
            "fastbp.schema": "1",
            "fastbp.version": fastbp.__version__,
            "fastbp.numerics": str(NUMERICS_VERSION),
            "fastbp.digest": digest(rows),
        }


def test_the_same_store_twice_is_the_store(tmp_path, into):
    source = made(tmp_path / "a", (0, 10), (10, 7))
    assert (merge(into, [source, source]), contents_of(into.runs)) == (
        Merged(2, 17, 17),
        contents_of(source.runs),
    )
    assert merge(into, [Store(into.path)]) == Merged(0, 0, 17)


def test_rows_of_another_numerics_version_stay_of_it(tmp_path, into):
    """Whatever fastbp unites them: also those that it writes in new files."""
    sources = [
        made(tmp_path / "a", (0, 10), numerics=999),
        made(tmp_path / "b", (5, 10), numerics=999),
    ]
    assert merge(into, sources) == Merged(2, 15, 5)
    assert {parquet.read(file)[1]["fastbp.numerics"] for file in into.files()} == {"999"}
    assert integrity.check(into).findings == []


OLDER = ["accuracy_start", "r2"]
"""Columns that an older release did not have."""


def publish_older(store: Store, start: int, count: int) -> None:
    """Write runs of XOR as a release without some columns did."""
    store.publish(
        XOR.identity(),
        start,
        runs(XOR, start, count).drop_columns(OLDER),
        footer() | {"fastbp.schema": "1"},
    )


@pytest.mark.parametrize(
    ("older", "one", "other"),
    [
        ((10, 20), (0, 60), (10, 20)),
        ((0, 60), (0, 30), (0, 60)),
        ((0, 60), (0, 60), (20, 50)),
        ((0, 60), (20, 50), (50, 60)),
    ],
)
def test_of_files_of_older_releases_no_seed_comes_twice(tmp_path, into, older, one, other):
    """Whichever of the files have the columns that an older one lacks."""
    publish_older(into, *older)
    sources = [made(tmp_path / "one", one), made(tmp_path / "other", other)]
    merge(into, sources)
    checked = integrity.check(into)
    seeds = {seed for start, count in (older, one, other) for seed in range(start, start + count)}
    assert (checked.findings, checked.runs) == ([], len(seeds))
    assert merge(into, sources).files == 0


def test_no_row_goes_before_its_fuller_copy_is_there(tmp_path, into, monkeypatch):
    """Wherever the merge is killed; then the same again ends as if it had not been."""
    publish_older(into, 0, 5)
    publish_older(into, 5, 5)
    source = made(tmp_path / "source", (0, 5), (5, 5))
    steps = 0
    for store in killed_everywhere(
        into, lambda store: merge(store, [source]), tmp_path, monkeypatch
    ):
        steps += 1
        assert missing((0, 10), store.present()[XOR.identity()]) == []
        merge(store, [source])
        assert {file.name for file in store.files()} == {file.name for file in source.files()}
    assert steps >= 4


def test_what_a_merge_onto_a_full_disk_has_written_is_gone_on_with(tmp_path):
    source, target = made(tmp_path / "source", (0, 5)), Store(tmp_path / "into")
    with target.locked():
        target.write(target.path / "sweep.toml", b"seeds = 5")
        target.remove_if_empty()
    with target.locked():
        assert merge(target, [source]).runs == 5


def test_stores_with_other_types_of_a_column_are_refused(tmp_path, into):
    """Of a newer release: together they would not be sound."""
    sources = [opened(tmp_path / "a"), opened(tmp_path / "b")]
    for store, setup, kind in zip(sources, (XOR, PARITY), (pa.float64(), pa.int64()), strict=True):
        rows = runs(setup, 0, 3)
        rows = rows.append_column("zz", pa.array([1] * 3, kind))
        store.publish(setup.identity(), 0, rows, footer() | {"fastbp.schema": "9"})
    with pytest.raises(StoreError, match="differ in the type of column 'zz'"):
        merge(into, sources)
    assert list(into.files()) == []


# One store in few files


@pytest.fixture
def many(tmp_path) -> Store:
    """A store of many small extensions, with a gap."""
    setups = {XOR: [*range(0, 20, 2), *range(30, 36, 2)], PARITY: [0, 2, 4]}
    store = opened(tmp_path / "many")
    for setup, starts in setups.items():
        for start in starts:
            publish(store, setup, start, 2)
    return store


def test_a_store_is_rewritten_in_few_files(many):
    report, rows = integrity.check(many), rows_of(many.path)
    before, after = compact(many)
    assert sorted(file.seeds for file in after) == [(0, 6), (0, 20), (30, 6)]
    assert (len(before), rows_of(many.path)) == (report.files, rows)
    assert integrity.check(many) == report._replace(files=3, sound=after)
    with unchanged(many.path):
        assert compact(many) == (sorted(after, key=lambda f: (f.setup, f.start)), after)


@pytest.mark.parametrize("forged", ["version", "versions", "columns"])
def test_no_sound_file_gives_way_to_one_that_is_not(many, tmp_path, forged):
    """It has all their rows, but another version, or other columns in the place of known ones."""
    files = [file for file in many.run_files() if file.setup == PARITY.identity()]
    read = [parquet.read_as_written(file.path) for file in files]
    rows, said = pa.concat_tables([rows for rows, _ in read]).unify_dictionaries(), read[0][1]
    if forged != "columns":
        said = said | {"fastbp.numerics": "999"}
    else:
        rows = rows.drop_columns(["accuracy_start", "r2"])
        for name in ("zz1", "zz2", "zz3"):
            rows = rows.append_column(name, pa.nulls(len(rows), pa.float64()))
        said = said | {"fastbp.schema": "1"}
    many.publish(PARITY.identity(), 0, rows.combine_chunks(), said)
    for start in range(100, 120) if forged == "versions" else ():  # they are the most
        many.publish(PARITY.identity(), start, runs(PARITY, start, 1), said)
    own = {file.path: file.path.read_bytes() for file in files}
    for use in (lambda: compact(many), lambda: merge(opened(tmp_path / "new"), [many])):
        with pytest.raises(StoreError, match="is not sound"):
            use()
        assert {path: path.read_bytes() for path in own} == own
    if forged != "columns":
        integrity.move_aside(many, integrity.check(many).findings)
        assert {path: path.read_bytes() for path in own} == own


@pytest.mark.parametrize("odd", ["type", "problem"])
def test_the_same_bits_of_another_type_or_problem_are_other_rows(tmp_path, odd):
    store = opened(tmp_path / "store")
    for count, is_odd in ((5, False), (6, True)):
        kind = pa.int64() if is_odd and odd == "type" else pa.float64()
        rows = runs(XOR, 0, count).append_column("zz", pa.array([0.5] * count).view(kind))
        said = footer("1" * 64 if is_odd and odd == "problem" else "0" * 64)
        store.publish(XOR.identity(), 0, rows, said | {"fastbp.schema": "9"})
    assert parquet.Comparison().fuller(*store.run_files()) is None
    with unchanged(store.path), pytest.raises(StoreError, match="is not sound"):
        compact(store)


def test_files_stay_if_what_joins_them_is_not_what_was_written(many, monkeypatch):
    before, really = contents_of(many.runs), store_module.write
    monkeypatch.setattr(
        store_module, "write", lambda file, raw, *more: really(file, raw[:-1] + b"?", *more)
    )
    with pytest.raises(StoreError, match=parquet.CHANGED):
        compact(many)
    assert before.items() < contents_of(many.runs).items()


def test_files_that_do_not_go_together_stay_apart(many, monkeypatch):
    """Of other releases, and more than a file should have."""
    (file,) = (
        file for file in many.run_files() if file.setup == PARITY.identity() and file.start == 2
    )
    rows, said = parquet.read_as_written(file.path)
    file.path.unlink()
    many.publish(PARITY.identity(), 2, rows, said | {"fastbp.version": "0.0"})
    monkeypatch.setattr(merge_module, "MAX_ROWS", 8)
    report = integrity.check(many)
    _, after = compact(many)
    assert sorted(file.seeds for file in after) == [
        (0, 2),
        (0, 8),
        (2, 2),
        (4, 2),
        (8, 8),
        (16, 4),
        (30, 6),
    ]
    assert integrity.check(many) == report._replace(files=7, sound=[*many.run_files()])


def test_files_of_which_one_would_be_refused_stay_apart(many, monkeypatch):
    report, before = integrity.check(many), [*many.run_files()]
    sizes = {file.count: unpacked(file.path.read_bytes()) for file in before}
    monkeypatch.setattr(parquet, "MAX_UNPACKED", sizes[2].bytes + 8 * sizes[2].values + 200)
    monkeypatch.setattr(parquet, "MAX_RATIO", 0)
    with unchanged(many.path):
        assert compact(many) == (before, before)
    assert integrity.check(many) == report


@pytest.mark.parametrize("repair", [False, True])
def test_wherever_it_is_killed_it_goes_on_and_nothing_is_lost(tmp_path, monkeypatch, repair):
    """By the same again, or by a repair, which moves away what is there twice."""
    many = made(tmp_path / "few", (0, 2), (2, 2), (4, 2), (30, 2), (32, 2))
    report, rows = integrity.check(many), rows_of(many.path)
    steps = 0
    for store in killed_everywhere(many, compact, tmp_path, monkeypatch):
        steps += 1
        present = store.present()
        for setup, (count, _) in rows.items():
            assert sum(size for _, size in missing((0, 99), present[setup])) == 99 - count
        if repair:
            integrity.move_aside(store, integrity.check(store).findings)
        else:
            compact(store)
        assert integrity.check(store).digest == report.digest
    assert steps > len(list(many.files()))


def killed_everywhere(
    store: Store, use: Callable[[Store], object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """Copies of a store, each with its use killed one step later, up to the last step."""
    for kill in itertools.count():
        copy = Store(shutil.copytree(store.path, folder / f"copy {kill}"))
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            left = itertools.chain(range(kill), [None])
            for name in ("replace", "unlink"):
                patch.setattr(os, name, killed(getattr(os, name), left))
            use(copy)
            return
        yield copy


def killed(call: Callable[..., None], left: Iterator[int | None]) -> Callable[..., None]:
    """A system call before which the process is killed, once nothing is left."""

    def instead(*arguments: object, **named: object) -> None:
        is_step = call.__name__ == "replace" or not str(arguments[0]).endswith(".draft")
        if is_step and next(left, None) is None:
            raise KeyboardInterrupt
        call(*arguments, **named)

    return instead


def test_what_is_not_sound_is_not_rewritten(many):
    flip(min(many.files()))
    with unchanged(many.path), pytest.raises(StoreError, match="is not sound"):
        compact(many)


def test_what_it_is_at_is_told(tmp_path, into):
    told: list[str] = []
    sources = [made(tmp_path / "a", (0, 10)), made(tmp_path / "b", (10, 10))]
    merge(into, sources, told.append)
    for source in sources:
        assert f"reading {source.path}: 0 of 1 files" in told
    assert told[-2:] == ["writing: 0 of 2 files", "writing: 1 of 2 files"]


def test_a_file_that_shares_seeds_with_many_is_read_a_few_times(tmp_path, into, monkeypatch):
    """Here two such, as each small file is compared with both."""
    read, told, really = Counter[Path](), list[str](), parquet.read_as_written
    monkeypatch.setattr(
        parquet, "read_as_written", lambda file: read.update([file]) or really(file)
    )
    large = [made(tmp_path / "a", (0, 60)), made(tmp_path / "b", (0, 59))]
    merge(into, [*large, made(tmp_path / "c", *((3 * i, 3) for i in range(19)))], told.append)
    assert max(read.values()) <= 4
    assert "comparing files that share seeds: 39" in told


def test_what_is_written_of_a_file_has_no_words_that_no_run_has(tmp_path, into):
    """A stranger's may have very many."""
    words = pa.DictionaryArray.from_arrays(
        pa.array([1] * 30, pa.int32()), ["and", "xor", *map(str, range(100))]
    )
    odd = opened(tmp_path / "odd")
    odd.publish(XOR.identity(), 0, replaced(runs(XOR, 0, 30), "problem", words))
    merge(into, [made(tmp_path / "known", (3, 22)), odd])
    for file in into.files():
        assert parquet.read(file)[0]["problem"].chunk(0).dictionary.to_pylist() == ["xor"]


ranges_of_a_store = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 15)), min_size=1, max_size=3
)


@settings(max_examples=5)
@given(
    st.lists(st.tuples(ranges_of_a_store, st.booleans()), min_size=1, max_size=3),
    st.lists(ranges_of_a_store, max_size=1),
)
def test_seeds_that_are_split_among_stores_are_united(tmp_path_factory, split, there):
    """However they are split, and whatever the store has already: each run once, and only what was
    missing is written."""
    folder = tmp_path_factory.mktemp("split")
    into = made(folder / "into", *apart([each for own in there for each in own]))
    before = {setup: seeds_in(into, setup) for setup in (XOR, PARITY)}
    sources = [
        made(folder / str(index), *apart(ranges), setups=(XOR, PARITY) if both else (XOR,))
        for index, (ranges, both) in enumerate(split)
    ]
    merged = merge(into, sources)
    for setup in (XOR, PARITY):
        wanted = before[setup].union(*(seeds_in(source, setup) for source in sources))
        assert seeds_in(into, setup) == wanted
        if wanted:
            assert rows_of(into.path)[setup.identity()] == (
                len(wanted),
                digest(runs(setup).take(pa.array(sorted(wanted)))),
            )
    assert merged.runs == sum(
        len(seeds_in(into, setup)) - len(before[setup]) for setup in (XOR, PARITY)
    )
    assert merged.runs + merged.there == sum(
        len(seeds_in(source, setup)) for source in sources for setup in (XOR, PARITY)
    )
    assert merge(into, sources).files == 0


def apart(ranges: Iterable[Range]) -> list[Range]:
    """Ranges of which none has seeds of another."""
    found: list[Range] = []
    for wanted in ranges:
        found += missing(wanted, found)
    return found


def seeds_in(store: Store, setup: Setup) -> set[int]:
    return {
        seed
        for start, count in store.present().get(setup.identity(), ())
        for seed in range(start, start + count)
    }


# What lies beside the runs


def learnt(folder: Path, *shards: Range) -> list[Store]:
    """Stores of a sweep whose problem is a file."""
    (folder / "mine.csv").write_text("a,b,t\n0,0,0\n0,1,1\n1,0,1\n1,1,0.5\n")
    sweep = Sweep(
        seeds=20, setup={"problem": f"file:{folder / 'mine.csv'}", "targets": ["t"], "updates": 20}
    )
    stores = []
    for index, (start, count) in enumerate(shards):
        store = made(folder / "deep" / str(index), (start, count), setups=sweep.setups)
        driver.write_problems(sweep, store)
        store.write(store.path / "sweep.toml", sweep.to_toml(store.path).encode())
        provenance.add_made(store, [{"when": "then", "runs": count, "by": index}])
        stores.append(store)
    return stores


def test_problems_the_sweep_and_how_runs_were_made_are_brought_along(tmp_path, into):
    sources = learnt(tmp_path, (0, 12), (12, 8))
    merge(into, sources)
    assert contents_of(into.path / "problems") == contents_of(sources[0].path / "problems")
    assert [entry["by"] for entry in json.loads((into.path / "made.json").read_text())] == [0, 1]
    again = Sweep.from_toml(into.path / "sweep.toml")
    assert again == Sweep.from_toml(sources[0].path / "sweep.toml"), (
        "the way to its file is another one from here"
    )
    assert 'problem = "file:../mine.csv"' in (into.path / "sweep.toml").read_text()
    assert (seeds_in(into, again.setups[0]), integrity.check(into).findings) == (set(range(20)), [])
    with unchanged(into.path):
        merge(into, sources)


def test_a_sweep_whose_file_is_elsewhere_is_brought_along_as_it_is(tmp_path, into):
    sources = learnt(tmp_path, (0, 12), (12, 8))
    (tmp_path / "mine.csv").unlink()
    merge(into, sources)
    assert (into.path / "sweep.toml").read_bytes() == (sources[0].path / "sweep.toml").read_bytes()
    assert integrity.check(into).findings == []


def test_what_the_store_has_beside_its_runs_stays(tmp_path, into):
    sources = learnt(tmp_path, (0, 12))
    into.write(into.path / "sweep.toml", b"its own")
    provenance.add_made(into, [{"by": "itself"}])
    merge(into, sources)
    assert (into.path / "sweep.toml").read_text() == "its own"
    assert [entry["by"] for entry in json.loads((into.path / "made.json").read_text())] == [
        "itself",
        0,
    ]


@pytest.mark.parametrize("text", ["", "{", '{"not": "a list"}'])
def test_what_is_no_list_of_how_runs_were_made_is_left_out(tmp_path, into, text):
    one, other = learnt(tmp_path, (0, 12), (12, 8))
    (one.path / "made.json").write_text(text)
    merge(into, [one, other])
    assert [entry["by"] for entry in json.loads((into.path / "made.json").read_text())] == [1]


# What is refused, with nothing written


def other_rows(store: Store, start: int, count: int) -> Path:
    return store.publish(
        XOR.identity(),
        start,
        replaced(runs(XOR, start, count), "updates_done", pa.array([2**53] * count)),
    )


def test_other_rows_for_the_same_seeds_are_refused_with_both_names(tmp_path, into):
    one, other, third = (
        made(tmp_path / "a", (0, 10)),
        made(tmp_path / "b"),
        made(tmp_path / "c", (30, 5)),
    )
    pair = re.escape(f"{other_rows(other, 9, 5)} and {next(one.files())}")
    said = (
        "for the same seeds these have different rows, or problems or columns that the other lacks"
    )
    told = rf"\A{said}: {pair}; nothing was written\Z"
    with unchanged(into.path, one.path, other.path, third.path):
        with pytest.raises(StoreError, match=told):
            merge(into, [third, one, other])
        with pytest.raises(StoreError, match=pair):
            merge(one, [other])


def test_files_with_one_digest_and_other_rows_are_refused(tmp_path, into):
    """They can be made for each other: what is the same in all rows is hashed once."""
    following = b"\0loss_start\0\1"
    hashed = bytes(8) + following + bytes(11) + following + bytes(8)
    one, other = stores = made(tmp_path / "one"), made(tmp_path / "other")
    for store, loss, loss_start in (
        (one, [0.0] * 4, np.frombuffer(hashed[21:])),
        (other, np.frombuffer(hashed[:32]), [0.0] * 4),
    ):
        store.publish(
            XOR.identity(),
            0,
            replaced(
                replaced(runs(XOR, 0, 4), "loss", pa.array(loss)),
                "loss_start",
                pa.array(loss_start),
            ),
        )
    assert next(one.files()).name == next(other.files()).name
    with pytest.raises(StoreError, match="for the same seeds these have different rows"):
        merge(into, stores)


def test_of_many_that_differ_a_few_are_named(tmp_path, into):
    one, other = made(tmp_path / "a", *((start, 1) for start in range(5))), made(tmp_path / "b")
    other_rows(other, 0, 5)
    with pytest.raises(StoreError, match=r"\A.*, 2 more; nothing was written\Z"):
        merge(into, [one, other])
    assert not list(into.files())


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("damage", ["a bit", "a stranger", "twice"])
def test_a_store_that_is_not_sound_is_refused_with_the_file(tmp_path, place, damage):
    stores = [made(tmp_path / str(index), (10 * index, 10)) for index in range(3)]
    store = stores[place]
    (path,) = store.files()
    if damage == "a bit":
        flip(path)
    elif damage == "twice":
        path = publish(store, XOR, 10 * place + 8, 4)
    else:
        path = store.runs / "notes.txt"
        path.write_text("mine")
    into, *sources = stores
    told = re.escape(f"{store.path} is not sound: {path} (")
    with unchanged(*(each.path for each in stores)):
        with pytest.raises(StoreError, match=rf"\A{told}.*`fastbp verify` says more.*\Z"):
            merge(into, sources)


def test_of_much_that_is_not_sound_a_little_is_told(tmp_path, into):
    source = made(tmp_path / "a", (0, 5))
    for index in range(5):
        (source.runs / str(index)).touch()
    with pytest.raises(StoreError, match=r"\); 2 more; `fastbp verify` says more$"):
        merge(into, [source])


@pytest.mark.parametrize("ranges", [[(0, 10)], [(0, 10), (5, 10)]], ids=["as it is", "cut"])
def test_a_file_that_is_damaged_after_it_was_checked_is_refused(
    tmp_path, into, monkeypatch, ranges
):
    sources = [made(tmp_path / str(index), each) for index, each in enumerate(ranges)]
    (path,) = sources[-1].files()
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(
        integrity,
        "check",
        lambda store, tick: IntegrityReport(
            1, 10, [], {}, "2", False, {}, "", [*store.run_files()], []
        ),
    )
    with pytest.raises(
        StoreError, match=f"{path.name} is damaged .*`fastbp verify {sources[-1].path} --repair`"
    ):
        merge(into, sources)
    assert all(parquet.read(file) for file in into.files())


def after_the_check(monkeypatch, change: Callable[[], object]) -> None:
    """Let something happen as soon as all stores are checked."""
    really = merge_module._wanted

    def wanted(*files):
        change()
        return really(*files)

    monkeypatch.setattr(merge_module, "_wanted", wanted)


@pytest.mark.parametrize("forged", ["a row", "the version"])
def test_no_row_goes_for_a_file_that_changed_since_it_was_checked(
    tmp_path, into, monkeypatch, forged
):
    """It has still the digest that its name and its footer say."""
    publish_older(into, 0, 5)
    (source,) = sources = [made(tmp_path / "source", (0, 5))]
    (file,) = source.files()
    rows, said = parquet.read_as_written(file)
    if forged == "a row":
        rows = replaced(rows, "accuracy_start", pa.array([0.25] * 5))
    with monkeypatch.context() as patched:
        patched.setattr(parquet, "digest", lambda rows: said["fastbp.digest"])
        content, _ = parquet.encode(
            rows, said | {"fastbp.numerics": "2" + "9" * (forged != "a row")}
        )
    after_the_check(monkeypatch, lambda: file.write_bytes(content))
    with unchanged(into.path), pytest.raises(StoreError, match=f"{file.name} .*changed since"):
        merge(into, sources)


def test_what_takes_the_place_of_a_file_that_goes_stays(tmp_path, into, monkeypatch):
    publish_older(into, 0, 5)
    (older,) = into.files()
    really = Store.write

    def write(store, *file):
        really(store, *file)
        older.write_text("theirs")

    monkeypatch.setattr(Store, "write", write)
    with pytest.raises(StoreError, match=older.name):
        merge(into, [made(tmp_path / "source", (0, 5))])
    assert older.read_text() == "theirs"


@pytest.mark.parametrize("bad", [Path.write_text, Path.symlink_to])
def test_a_store_without_runs_gets_its_problems_anew(tmp_path, into, bad):
    """Nobody has checked those that it has."""
    (source,) = learnt(tmp_path, (0, 5))
    (problem,) = (source.path / "problems").iterdir()
    (into.path / "problems").mkdir()
    bad(into.path / "problems" / problem.name, str(tmp_path / "mine.csv"))
    merge(into, [source])
    assert integrity.check(into).findings == []


def test_what_comes_into_a_source_after_the_check_is_not_copied(tmp_path, into, monkeypatch):
    (source,) = sources = learnt(tmp_path, (0, 5))
    (problem,) = (source.path / "problems").iterdir()
    (file,) = source.files()
    content, other = problem.read_bytes(), file.with_name("0" + file.name[1:])
    with monkeypatch.context() as patched:
        after_the_check(patched, lambda: shutil.copy(file, other))
        assert merge(into, sources) == Merged(1, 5, 0)
    other.unlink()
    for change in (problem.unlink, lambda: problem.write_text("theirs")):
        problem.write_bytes(content)
        with monkeypatch.context() as patched, unchanged(opened(tmp_path / "new").path):
            after_the_check(patched, change)
            with pytest.raises(StoreError, match=f"{problem.name} .*changed since"):
                merge(Store(tmp_path / "new"), sources)


def test_a_store_whose_runs_were_away_for_an_instant_is_not_taken_for_empty(tmp_path, monkeypatch):
    own = made(tmp_path / "own", (0, 5))
    monkeypatch.setattr(Store, "files", lambda store: iter(()))
    with unchanged(own.path), pytest.raises(StoreError, match=r"own is not sound: .*changed since"):
        merge(own, [made(tmp_path / "source", (0, 9))])


# Killed, or out of room


def test_killed_at_any_write_the_same_again_ends_as_if_undisturbed(tmp_path, monkeypatch):
    """Also at the problem, the sweep and the list of how runs were made."""
    sources = [
        *learnt(tmp_path, (0, 12), (12, 8)),
        made(tmp_path / "a", (0, 10)),
        made(tmp_path / "b", (5, 20)),
    ]
    deep = tmp_path / "deep"
    begun, undisturbed = (made(deep / name, (2, 2)) for name in ("begun", "undisturbed"))
    expected, steps = merge(undisturbed, sources), 0
    for into in killed_everywhere(begun, lambda store: merge(store, sources), deep, monkeypatch):
        steps += 1
        assert integrity.check(into).findings == []
        again = merge(into, sources)
        assert again.runs + again.there == expected.runs + expected.there
        assert contents_of(into.path) == contents_of(undisturbed.path)
    assert steps == expected.files + 3


def test_stores_whose_outcomes_mean_something_else_are_refused(tmp_path, into):
    """`collapse` is in no setup's id."""
    one = made(tmp_path / "one", (0, 10))
    other = made(tmp_path / "other", (10, 10), setups=[XOR.replaced(collapse=0.3)])
    with pytest.raises(
        StoreError,
        match=f"{one.path} and {other.path} have setup {XOR.identity()} with different collapse",
    ):
        merge(into, [one, other])
    assert not list(into.files())
