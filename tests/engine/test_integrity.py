"""What `fastbp verify` promises: whatever is not as it was written is found and named, and moved
aside it is made anew."""

import dataclasses
import errno
import hashlib
import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fake_runs import as_parquet, coded, replaced, runs
from hypothesis import given, settings, strategies as st
from stores import (
    PARITY,
    XOR,
    contents_of,
    file_of,
    flip,
    opened,
    publish,
    rows_of,
)

from fastbp import Setup, Sweep
from fastbp.analysis.counts import count_runs
from fastbp.engine import (
    driver,
    integrity,
    merge as merge_module,
    plan,
    stored_problems,
    stored_run,
)
from fastbp.engine.integrity import StoreFault
from fastbp.engine.merge import compact, merge
from fastbp.problems import targets
from fastbp.problems.problem import Group, Meaning, Problem
from fastbp.schema import errors
from fastbp.schema.columns import COLUMNS
from fastbp.schema.errors import FileError, StoreError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store import filename, load, parquet, safe_files
from fastbp.store.digest import RowsHash, digest
from fastbp.store.filename import RunFile
from fastbp.store.store import Store, footer

RANGES = [(0, 7), (7, 5), (20, 8)]
"""Seeds of each file."""

SOUND = "its bytes are not those that were written"


@pytest.fixture(scope="module")
def written_once(tmp_path_factory):
    store = opened(tmp_path_factory.mktemp("sound") / "store")
    for setup in (XOR, PARITY):
        for start, count in RANGES:
            publish(store, setup, start, count)
    return store


@pytest.fixture
def store(written_once, tmp_path):
    """Two setups in three files each."""
    return Store(shutil.copytree(written_once.path, tmp_path / "store"))


def learn(store: Store) -> Setup:
    """A setup of a store whose problem is a file, which is not there any more."""
    mine = store.path.parent / "mine.csv"
    mine.write_text("a,b,t\n0,0,0\n0,1,1\n1,0,1\n1,1,0.5\n")
    sweep = Sweep(seeds=5, setup={"problem": f"file:{mine}", "targets": ["t"], "updates": 20})
    driver.write_problems(sweep, store)
    publish(store, sweep.setups[0], 0, 5)
    mine.unlink()
    return sweep.setups[0]


@pytest.fixture
def learnt(store):
    return learn(store)


def found(store: Store) -> dict[str, str]:
    """What is found, by the name of the file; nothing is called sound beside it."""
    return what(integrity.check(store))


def what(checked: integrity.IntegrityReport) -> dict[str, str]:
    """As `found`, of a check."""
    assert checked.digest == ""
    assert len({finding.file for finding in checked.findings}) == len(checked.findings), (
        "one reason each"
    )
    assert all("\n" not in finding.why for finding in checked.findings)
    return {finding.file.name: finding.why for finding in checked.findings}


# Sound


def test_a_sound_store_is_called_sound(store, learnt):
    checked = integrity.check(store)
    assert (*checked[:3], len(checked.keys)) == (7, 45, [], 3)
    assert re.fullmatch("[0-9a-f]{64}", checked.digest)
    store.runs.rename(store.path.with_name("away"))
    with pytest.raises(StoreError, match="holds no runs"):
        integrity.check(store)


def test_the_digest_of_a_store_is_that_of_its_setups_in_their_order(store):
    whole = hashlib.sha256()
    for setup in sorted((XOR, PARITY), key=Setup.identity):
        hashes = RowsHash()
        for start, count in RANGES:
            hashes.update(runs(setup, start, count))
        whole.update(hashes.digest())
    assert integrity.check(store).digest == whole.hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The digest of seeds 0 to 59 of both setups, in a file each."""
    store = opened(tmp_path_factory.mktemp("whole"))
    for setup in (XOR, PARITY):
        publish(store, setup, 0, 60)
    return integrity.check(store).digest


@settings(max_examples=8)
@given(st.lists(st.lists(st.integers(0, 60), max_size=4), min_size=2, max_size=2))
def test_the_digest_does_not_depend_on_how_rows_lie_in_files(tmp_path_factory, whole, cuts):
    store = opened(tmp_path_factory.mktemp("cut"))
    for setup, own in zip((XOR, PARITY), cuts, strict=True):
        for start, end in itertools.pairwise(sorted({0, 60, *own})):
            publish(store, setup, start, end - start)
    checked = integrity.check(store)
    assert (checked[:3], checked.digest) == ((len(list(store.files())), 120, []), whole)


def test_other_folders_of_a_store_are_no_matter(store):
    """Tables, pictures and what was moved aside can be made again, or are known not to be sound."""
    for other in (
        "quarantine/x.parquet",
        "replays/x.parquet",
        "tmp/x.draft",
        "figures/x.svg",
        "summary.csv",
        "sweep.toml",
    ):
        (store.path / other).parent.mkdir(exist_ok=True)
        (store.path / other).write_text("anything")
    assert integrity.check(store).findings == []


def test_progress_is_told_problem_by_problem_and_file_by_file(store, learnt):
    ticks = []
    integrity.check(store, ticks.append)
    files = [f"reading {store.path}: {done} of 7 files" for done in range(7)]
    assert ticks == [f"reading {store.path}: 0 of 1 problems", *files]


# Damage


def written(path: Path, rows: pa.Table, said: dict[str, str]) -> Path:
    """Another file in the place of one, which says so of itself; its name, its seal and its pages
    are right."""
    file = RunFile.parse(path)
    content, whole = parquet.encode(rows, {"fastbp.numerics": str(NUMERICS_VERSION), **said})
    path.unlink()
    other = path.with_name(filename.name(file.setup, file.start, rows.num_rows, whole))
    other.write_bytes(content)
    return other


def changed(column: str, value: object) -> Callable[[Path], Path]:
    """The same rows but for a column, sealed anew."""

    def change(path: Path) -> Path:
        rows, _ = parquet.read(path)
        kind = rows.schema.field(column).type
        values = pa.array(
            [value] * rows.num_rows, pa.string() if pa.types.is_dictionary(kind) else kind
        )
        return written(path, replaced(rows, column, coded(values)), {})

    return change


def renamed(**parts: str) -> Callable[[Path], Path]:
    def rename(path: Path) -> Path:
        file = dataclasses.replace(RunFile.parse(path), **parts)
        return path.rename(
            path.with_name(filename.name(file.setup, file.start, file.count, file.digest))
        )

    return rename


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def rewrite(path: Path) -> Path:
        path.write_bytes(change(path.read_bytes()))
        return path

    return rewrite


def of_another_digest(path: Path) -> Path:
    """Its footer and its name say another digest than its rows have, and all else is right."""
    rows, said = parquet.read(path)
    table = rows.replace_schema_metadata(said | {"fastbp.digest": "0" * 64})
    path.write_bytes(parquet.sealed(as_parquet(table, write_page_checksum=True)))
    return renamed(digest="0" * 16)(path)


def of_rows_that_differ(path: Path) -> Path:
    rows, _ = parquet.read(path)
    return written(path, replaced(rows, "lr", pa.array(np.linspace(0.1, 0.2, rows.num_rows))), {})


def of_version(numerics: str) -> Callable[[Path], Path]:
    return lambda path: written(path, parquet.read(path)[0], {"fastbp.numerics": numerics})


OTHER_KEYS = "its keys (belong to another setup|differ from those in the setup's other files)"

DAMAGE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a bit": (
        rewritten(lambda content: content[:99] + bytes([content[99] ^ 4]) + content[100:]),
        SOUND,
    ),
    "a bit of the footer": (
        rewritten(lambda content: content[:-99] + bytes([content[-99] ^ 4]) + content[-98:]),
        SOUND,
    ),
    "half of it": (rewritten(lambda content: content[: len(content) // 2]), SOUND),
    "more than it": (rewritten(lambda content: content + b"\n"), SOUND),
    "a block of zeros": (
        rewritten(lambda content: content[:512] + bytes(512) + content[1024:]),
        SOUND,
    ),
    "nothing": (rewritten(lambda content: b""), "it is empty"),
    "something else": (rewritten(lambda content: b"<html>404 not found</html>"), SOUND),
    "another start": (renamed(start="100"), "its seeds do not match its name"),
    "another count": (renamed(count="4"), r"it has \d rows"),
    "another setup": (renamed(setup="0123456789ab"), f"it holds runs of setup {XOR.identity()}"),
    "another digest of its name": (
        renamed(digest="0" * 16),
        "its rows do not match the digest in its name",
    ),
    "another digest than its rows have": (of_another_digest, "its rows do not match its digest"),
    "no version": (of_version(""), "it does not say its numerics version"),
    "words for a version": (of_version("two"), "it does not say its numerics version"),
    "rows of different keys": (of_rows_that_differ, "its rows differ in lr"),
    "another rate": (changed("lr", 0.7), OTHER_KEYS),
    "another problem": (changed("problem", "parity:2"), OTHER_KEYS),
    "no problem": (changed("problem", "what?"), OTHER_KEYS),
    "another spelling": (changed("problem", "xor\n"), OTHER_KEYS),
    "a zero below zero": (changed("momentum", -0.0), OTHER_KEYS),
    "no level of success": (
        changed("success", "accuracy:"),
        "success, tolerance or collapse are not those of a setup",
    ),
    "success on rows that it cannot be on": (
        changed("success_on", "test"),
        "success, tolerance or collapse are not those of a setup",
    ),
    "another name": (
        lambda path: path.rename(path.with_name(f"{path.stem} (1).parquet")),
        "it is not a file of runs",
    ),
}


@pytest.mark.parametrize("start", [start for start, _ in RANGES])
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_named(store, learnt, kind, start):
    """Whichever file of the setup it is, and nothing else with it."""
    damage, why = DAMAGE[kind]
    path = damage(file_of(store, XOR, start))
    checked = integrity.check(store)
    ((file, said),) = what(checked).items()
    assert file == path.name
    assert re.fullmatch(why, said), said
    assert checked.runs == 45 - dict(RANGES)[start]


OTHER_VERSION = f"its numerics version is 999, that of others {NUMERICS_VERSION}"


@pytest.mark.parametrize("start", [0, 7, 20])
def test_rows_of_another_numerics_version_among_those_of_a_setup_are_found(store, start):
    """The id of a setup holds the version."""
    path = of_version("999")(file_of(store, XOR, start))
    assert found(store) == {path.name: "its keys belong to another setup"}


def test_a_setup_of_another_numerics_version_among_others_is_found(store):
    name = publish(store, XOR, 0, 9, numerics=999).name
    assert found(store) == {name: OTHER_VERSION}
    for read in (count_runs, load.read_all):
        with pytest.raises(StoreError, match="numerics versions 2 and 999, which do not mix"):
            read(store.path)


def test_a_store_all_of_another_numerics_version_is_sound(tmp_path):
    """Ids hold the version, so they are computed with that of the file."""
    store = opened(tmp_path / "old")
    for setup in (XOR, PARITY):
        publish(store, setup, 0, 9, numerics=999)
    assert integrity.check(store).findings == []
    odd = {publish(store, XOR, start, 1, numerics=998).name for start in range(3)}
    assert {*found(store)} == odd, "they are more files, but fewer runs"


@pytest.mark.parametrize(("start", "count"), [(3, 2), (0, 8), (5, 4), (6, 20)])
def test_seeds_that_are_there_twice_are_found(store, start, count):
    """Those files are named that are not needed: with the others, every seed is there once."""
    publish(store, XOR, start, count)
    said = found(store)
    for why in said.values():
        assert re.fullmatch(
            rf"{XOR.identity()}-\d+-\d+-\w+\.parquet has the same rows for some of its seeds", why
        )
    for file in said:
        (store.runs / file).unlink()
    checked = integrity.check(store)
    assert (checked.findings, rows_of(store.path)[XOR.identity()][0]) == ([], checked.runs - 20)


def test_a_run_to_train_again_is_read_from_the_file_that_is_named(store):
    """Though another file has it by now."""
    publish(store, XOR, 0, 28)
    assert len([*stored_run.sample(store, 99)]) == 68


def test_of_runs_to_train_again_only_known_columns_are_read(store):
    """A stranger's file may have thousands of others."""
    newer(file_of(store, XOR, 7), pa.float64())
    assert not any("zz" in (run.row or {}) for _, run in stored_run.sample(store, 99))


@pytest.mark.parametrize(("start", "count"), [(3, 2), (5, 4), (6, 20)])
def test_seeds_that_are_there_twice_with_other_rows_are_found_in_both_files(store, start, count):
    """Nobody knows which are right."""
    path = store.publish(
        XOR.identity(),
        start,
        replaced(runs(XOR, start, count), "updates_done", pa.array([2**53] * count)),
    )
    said = found(store)
    others = {
        file_of(store, XOR, first).name
        for first, many in RANGES
        if first < start + count and start < first + many
    }
    assert path.name in said
    assert len(said) >= 2
    assert set(said) - {path.name} <= others
    for file, why in said.items():
        assert re.fullmatch(
            rf"{XOR.identity()}-\d+-\d+-\w+\.parquet has other rows for some of its seeds", why
        ), file


def test_a_file_that_is_damaged_while_its_seeds_are_compared_is_found(store, monkeypatch):
    path = publish(store, XOR, 3, 2)

    def fails(self: object, one: RunFile, other: RunFile) -> bool:
        raise errors.DamagedFileError(other.path, "gone")

    monkeypatch.setattr(parquet.Comparison, "fuller", fails)
    assert found(store) == {path.name: "gone"}


def test_strangers_among_the_runs_are_found(store):
    own = set(store.runs.iterdir())
    (store.runs / "notes.txt").write_text("mine")
    (store.runs / "old").mkdir()
    (store.runs / "old" / "x.parquet").write_text("mine")
    (store.runs / f"{XOR.identity()}-300-5-0123456789abcdef.parquet").mkdir()
    (store.runs / f"{XOR.identity()}-0-7-0123456789abcdef.parquet.99.draft").write_text("half")
    checked = integrity.check(store)
    assert {finding.file for finding in checked.findings} == {*store.runs.iterdir()} - own
    assert ({finding.why for finding in checked.findings}, checked.runs) == (
        {"it is not a file of runs"},
        40,
    )


# Problems


def problem(store: Store) -> Path:
    (path,) = (store.path / "problems").glob("*.npz")
    return path


LACKS = (
    "it lacks file:mine.csv, on which setup {} was trained: the same sweep writes it again, if its "
    "file has not changed"
)


OTHER_DATA = "its data do not match the digest in its name"

DAMAGED_PROBLEMS: dict[str, tuple[Callable[[Path], Path], bool]] = {
    "nothing": (rewritten(lambda content: b""), True),
    "a part": (rewritten(lambda content: content[:100]), True),
    "a byte less": (rewritten(lambda content: content[:-1]), True),
    "another name": (lambda path: path.rename(path.with_name(f"{'0' * 64}.npz")), True),
}
"""And whether what the setup was trained on is lost by it."""


@pytest.mark.parametrize("kind", DAMAGED_PROBLEMS)
def test_a_damaged_problem_is_found(store, learnt, kind):
    damage, is_lost = DAMAGED_PROBLEMS[kind]
    path = damage(problem(store))
    lost = {"problems": LACKS.format(learnt.identity())} if is_lost else {}
    assert found(store) == {path.name: OTHER_DATA} | lost


def test_a_flipped_bit_of_a_problem_is_found_or_changes_nothing(tmp_path):
    """Only what says nothing, such as a time of day, may be another."""
    store = opened(tmp_path / "store")
    learn(store)
    path = problem(store)
    content, before = path.read_bytes(), integrity.check(store)
    silent, step = 0, 31
    for at in range(0, len(content), step):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        checked = integrity.check(store)
        silent += checked == before
        assert checked == before or {path, path.parent} >= {
            finding.file for finding in checked.findings
        } >= {path}
    assert silent < len(content) / step / 2


def test_a_problem_that_is_not_there_is_found(store, learnt):
    problem(store).unlink()
    assert found(store) == {"problems": LACKS.format(learnt.identity())}


def another(store: Store, **changed: Any) -> str:
    """Add a sound problem, which is that of the store but for some parts; its name."""
    data = dataclasses.replace(targets.stored(problem(store)), **changed)
    (store.path / "problems" / f"{data.digest}.npz").write_bytes(data.to_npz())
    assert integrity.check(store).findings == []
    return data.digest


@pytest.mark.parametrize(("start", "count"), [(5, 3), (0, 9), (0, 4), (0, 0)])
def test_files_that_name_another_problem_than_their_setup_has_are_found(
    store, learnt, start, count
):
    """Also if they come first, or have the seeds of others, or are the only ones."""
    named = another(store, values=Problem(np.eye(4, 2), np.eye(4, 1)))
    if count:
        path = store.publish(learnt.identity(), start, runs(learnt, start, count), problem=named)
    else:
        path = file_of(store, learnt, 0)
        rows, said = parquet.read_as_written(path)
        path.write_bytes(parquet.encode(rows, said | {"fastbp.problem": named})[0])
    others = {file: file.read_bytes() for file in store.files() if file != path}
    assert found(store) == {path.name: "its problem is not that of its setup"}
    integrity.move_aside(store, integrity.check(store).findings)
    assert {file: file.read_bytes() for file in store.files()} == others
    assert not integrity.check(store).findings


def test_of_two_problems_with_the_same_data_one_is_lacking(store, learnt):
    """They have other units, say, and the same setups: no file of runs is damaged."""
    first, path = problem(store), file_of(store, learnt, 0)
    rows, said = parquet.read_as_written(path)
    path.write_bytes(parquet.encode(rows, said | {"fastbp.problem": first.stem})[0])
    named = another(store, meaning=Meaning((), ((0.0, 2.0),)))
    store.publish(learnt.identity(), 5, runs(learnt, 5, 3), problem=named)
    assert integrity.check(store).findings == []
    for path in (first, first.with_name(f"{named}.npz")):
        content = path.read_bytes()
        path.unlink()
        assert found(store) == {"problems": LACKS.format(learnt.identity())}
        path.write_bytes(content)


def test_of_two_problems_with_the_same_data_and_other_classes_one_is_not_its_own(
    store, learnt, monkeypatch
):
    """The outcomes of its rows do not mean the same, which training again does not show."""
    # the file that names none, of five runs, is tried with the problem of the fewer first
    monkeypatch.setattr(stored_problems, "MAX_WAITING", 0)
    names = problem(store).stem, another(store, meaning=Meaning((Group(0, 1, ("no", "yes")),)))
    with pytest.raises(StoreError, match="with other classes, and its file does not say which"):
        stored_run.find(store, learnt.identity(), "0")
    _, odd = (
        store.publish(learnt.identity(), start, runs(learnt, start, count), problem=name)
        for start, count, name in zip((5, 9), (4, 3), sorted(names)[::-1], strict=True)
    )
    assert found(store) == {odd.name: stored_problems.MISNAMED}
    # more runs than each of the three files has, and fewer than they have together
    few = replaced(runs(learnt, 50, 10), "collapse", pa.array([0.09] * 10))
    other_keys = store.publish(learnt.identity(), 50, few, problem=names[0])
    assert {*found(store)} == {odd.name, other_keys.name}
    other_keys.unlink()
    other = Store(shutil.copytree(store.path, store.path.with_name("other")))
    for file in {*other.files()} - {other.runs / odd.name}:
        file.unlink()
    odd.unlink()
    with pytest.raises(StoreError, match=f"setup {learnt.identity()} with different classes"):
        merge(store, [other])


def test_a_file_that_names_a_lacking_problem_gives_way_to_others(store, learnt):
    """Though it has more rows."""
    others = {file: file.read_bytes() for file in store.files()}
    path = store.publish(learnt.identity(), 0, runs(learnt, 0, 6), problem="0" * 64)
    assert set(found(store)) == {path.name, "problems"}
    faults = integrity.check(store).findings
    for there in {*store.files()}, {path, problem(store)}:
        early = [fault._replace(among=there) for fault in faults]
        assert not integrity.move_aside(store, early), "a problem or runs have come since"
    with parquet.unchanged():
        integrity.check(store)
        flip(min(others))
        assert not integrity.move_aside(store, faults), "others have changed since"
    flip(min(others))
    integrity.move_aside(store, faults)
    assert {file: file.read_bytes() for file in store.files()} == others
    assert integrity.check(store).findings == []


def test_many_files_that_lack_their_problems_give_way_at_once(store, learnt):
    """Though their rows differ, so that nobody knows which of them would be right."""
    names = {"problems"}
    for number in range(4):
        rows = replaced(runs(learnt, 0, 6), "loss", pa.array([number / 10] * 6))
        names.add(store.publish(learnt.identity(), 0, rows, problem=f"{number:064x}").name)
    assert set(found(store)) == names


@pytest.mark.parametrize("start", [0, 5])
def test_without_its_problem_nobody_knows_which_keys_of_a_setup_are_right(store, learnt, start):
    """Nothing is moved then, and once the problem is there again, the wrong file is."""
    path = problem(store)
    content = path.read_bytes()
    wrong = replaced(runs(learnt, start, 30), "lr", pa.array([0.77] * 30))
    odd = store.publish(learnt.identity(), start, wrong, problem=path.stem)
    path.unlink()
    assert found(store) == {"problems": LACKS.format(learnt.identity())}
    path.write_bytes(content)
    assert set(found(store)) == {odd.name}


@pytest.mark.parametrize("times", [0, 1])
@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EMFILE, errno.EIO])
def test_a_problem_that_cannot_be_read_is_not_damaged(store, learnt, monkeypatch, times, number):
    """Also if it could be the first time: then nobody knows whether its runs are those of it."""
    path, left = problem(store), [None] * times
    really = safe_files.opened

    def opened(file, *how):
        if file == path and not left:
            raise OSError(number, os.strerror(number), "somewhere")
        return [left.pop() if file == path else None, really(file, *how)][1]

    monkeypatch.setattr(safe_files, "opened", opened)
    said = os.strerror(number)
    if number == errno.EIO and not times:
        assert path.name in found(store)
    else:
        with pytest.raises(FileError, match=rf"\.npz cannot be read: {said}\Z") as raised:
            integrity.check(store)
        assert not isinstance(raised.value, errors.DamagedFileError)
    store.publish(learnt.identity(), 50, runs(learnt, 50, 1), problem=path.stem)
    with pytest.raises(FileError, match=rf"{path.name} .*{said}"):
        stored_run.find(store, learnt.identity(), "50")


@pytest.mark.parametrize("problem_is_file", [False, True])
def test_keys_of_a_newer_release_are_no_damage(store, learnt, problem_is_file):
    """This release cannot make the id from them. If another file does, the newer is wrong."""
    setup = learnt if problem_is_file else XOR
    row = runs(setup, 0, 5).append_column("zz", coded(pa.array(["gelu"] * 5)))
    said = footer(problem(store).stem if problem_is_file else "") | {"fastbp.schema": "9"}
    store.publish("0" * 12, 0, replaced(row, "setup", coded(pa.array(["0" * 12] * 5))), said)
    assert integrity.check(store).findings == []
    for name, value in ("lr", 0.7), ("momentum", -0.0):
        path = store.publish(setup.identity(), 0, replaced(row, name, pa.array([value] * 5)), said)
        assert found(store)[path.name] == "its keys belong to another setup"


def test_columns_that_had_no_nulls_in_an_older_release_may_say_so(store):
    path = file_of(store, XOR, 0)
    rows, said = parquet.read_as_written(path)
    fields = [field.with_nullable(field.nullable and field.name != "lr") for field in rows.schema]
    path.write_bytes(parquet.encode(rows.cast(pa.schema(fields)), said)[0])
    assert not parquet.read_as_written(path)[0].schema.field("lr").nullable
    assert (integrity.check(store).findings, len(load.load(store.path))) == ([], 40)


def test_hidden_files_among_the_problems_are_no_matter(store, learnt):
    (store.path / "problems" / ".DS_Store").write_bytes(b"of a Mac")
    assert integrity.check(store).findings == []


def test_of_keys_that_the_id_does_not_depend_on_those_of_most_runs_are_right(store):
    path = changed("collapse", 0.25)(file_of(store, XOR, 0))
    assert found(store) == {path.name: "its keys differ from those in the setup's other files"}


def test_very_many_large_problems_are_not_read_for_each_file(store, learnt, monkeypatch):
    """They are read once; files that do not say which is theirs do not look for it."""
    (file,) = (file for file in store.files() if file.name.startswith(learnt.identity()))
    assert integrity.check(store).findings == []
    size = targets.stored(problem(store)).nbytes
    monkeypatch.setattr(stored_problems, "TRY", 0)
    monkeypatch.setattr(stored_problems, "MAX_SPENT", size + 100)  # less than its keys
    tried = list[stored_problems.Said]()
    makes = stored_problems.StoredProblems._makes
    monkeypatch.setattr(
        stored_problems.StoredProblems,
        "_makes",
        lambda problems, said, *more: [tried.append(said), makes(problems, said, *more)][1],
    )
    said = f"they are very many, and {file.name} does not say which is its own"
    assert found(store) == {"problems": said}
    assert all(one.setup != learnt.identity() for one in tried)
    few = replaced(runs(learnt, 5, 3), "collapse", pa.array([0.09] * 3))
    odd = store.publish(learnt.identity(), 5, few, problem=problem(store).stem)
    assert re.fullmatch(OTHER_KEYS, found(store)[odd.name]), "it says which is the other's"


def newer(path: Path, kind: pa.DataType, **said: str) -> Path:
    """Add a column that only a newer release knows to a file of runs."""
    store, name = Store(path.parents[1]), path.name.split("-")
    rows, footer = parquet.read_as_written(path)
    path.unlink()
    values = pa.array([[0.5] if pa.types.is_list(kind) else 0.5] * len(rows), kind)
    return store.publish(
        name[0],
        rows["seed"][0].as_py(),
        rows.append_column("zz", values),
        footer | {"fastbp.schema": "9"} | {f"fastbp.{key}": text for key, text in said.items()},
    )


def test_a_list_is_a_list_however_its_values_are_called(store):
    """Writers of Parquet call them element or item."""
    for name, (start, _) in zip(("element", "item", "element"), RANGES, strict=True):
        newer(file_of(store, XOR, start), pa.list_(pa.field(name, pa.float32())))
    assert integrity.check(store).findings == []


def test_of_the_same_rows_with_different_columns_of_newer_releases_one_copy_stays(store):
    path = newer(file_of(store, XOR, 7), pa.float64())
    rows, said = parquet.read_as_written(path)
    other = store.publish(XOR.identity(), 7, rows.rename_columns({"zz": "yy"}), said)
    ((name, why),) = found(store).items()
    assert name in (path.name, other.name)
    assert "has the same rows for some of its seeds" in why


def test_of_many_files_with_the_same_seeds_one_stays(store):
    """That with the most columns, however their names are sorted."""
    rows, said = parquet.read_as_written(file_of(store, XOR, 7))
    for number in range(5):
        rows = rows.append_column(f"z{number}", pa.array([number] * len(rows)))
        last = store.publish(XOR.identity(), 7, rows, said | {"fastbp.schema": "9"})
    assert len(others := found(store)) == 5
    assert last.name not in others


def test_columns_that_nobody_knows_do_not_count_for_those_that_this_release_has(store):
    path = file_of(store, XOR, 7)
    rows, said = parquet.read_as_written(path)
    rows = rows.drop_columns([column.name for column in COLUMNS if column.since > 1])
    said |= {"fastbp.schema": "1"}
    for number in range(8):  # whichever name is first
        rows = rows.append_column(f"z{number}", pa.array([number] * len(rows)))
        odd = store.publish(XOR.identity(), 7, rows, said)
        assert found(store) == {odd.name: f"{path.name} has the same rows for some of its seeds"}
        odd.unlink()


ODD = "its type of column 'zz' is not that in other files"


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ("another type", ODD),
        ("another version", "its keys belong to another setup"),
        ("another rate", "its keys belong to another setup"),
    ],
)
def test_columns_of_a_newer_release_have_the_same_type_in_all_files(store, first, why):
    """Else their rows could neither be joined nor hashed. That of most runs is right, whichever
    file comes first, and wrong files do not count."""
    path = file_of(store, XOR, 0)
    if first == "another rate":
        path = changed("lr", 0.7)(path)
    path = newer(
        path, pa.list_(pa.float32()), **({"numerics": "999"} if first == "another version" else {})
    )
    for start in (7, 20):
        newer(file_of(store, XOR, start), pa.float64())
    with pytest.raises(errors.StoreError, match=r"columns of several types|numerics versions"):
        load.read_all(store.path)
    assert found(store) == {path.name: why}


def test_files_of_a_setup_have_the_same_number_of_outputs(store):
    """Joined, they would be a file that nobody reads."""
    path = changed("outputs", [0.5] * 5)(file_of(store, XOR, 7))
    why = f"its number of outputs of setup '{XOR.identity()}' is not that in other files"
    assert found(store) == {path.name: why}
    files = [RunFile.parse(each) for each in (file_of(store, XOR, 0), path)]
    parts = [merge_module._Read(file, *parquet.read_as_written(file.path)) for file in files]
    before = contents_of(store.runs)
    for join, odd in (
        (lambda: compact(store), why),
        (lambda: merge_module._join(store, parts), "its runs have other"),
    ):
        with pytest.raises(StoreError, match=odd):
            join()
        assert before.items() <= contents_of(store.runs).items()


def test_strangers_among_the_problems_are_found(store, learnt):
    (store.path / "problems" / "notes.txt").write_text("mine")
    (store.path / "problems" / "old").mkdir()
    assert found(store) == dict.fromkeys(("notes.txt", "old"), OTHER_DATA)
    sound = [StoreFault(file, "why") for file in (store.path / "problems").glob("*.npz")]
    assert (len(sound), integrity.move_aside(store, sound)) == (1, []), "it may have been restored"


# Moving aside


def test_what_is_moved_aside_is_not_deleted(store):
    """Also where something of that name, or a link of that name that leads nowhere, was moved aside
    before."""
    path = file_of(store, XOR, 0)
    quarantine = store.path / "quarantine"
    kept = {}
    for again in range(3):
        path.write_bytes(f"damaged {again}".encode())
        ((finding, target),) = integrity.move_aside(
            store, [StoreFault(path, "why"), StoreFault(path, "why not")]
        )
        assert finding == StoreFault(path, "why not"), (
            "a file is moved once, whatever is found of it"
        )
        assert target.parent == quarantine
        assert not path.exists()
        kept[target.name] = f"damaged {again}".encode()
        assert contents_of(quarantine) == kept
    assert set(kept) == {path.name, f"{path.name}.1", f"{path.name}.2"}
    link = quarantine / f"{path.name}.3"
    link.symlink_to("nowhere")
    path.write_bytes(b"damaged 4")
    integrity.move_aside(store, [StoreFault(path, "why")])
    assert (os.readlink(link), (quarantine / f"{path.name}.4").read_bytes()) == (
        "nowhere",
        b"damaged 4",
    )


def test_what_was_moved_aside_is_told_though_no_more_can_be(store, monkeypatch):
    paths, really = sorted(store.files()), os.rename
    faults = [StoreFault(path, "why") for path in paths[:2]]
    kept = [StoreFault(paths[0], "why", paths[2]), StoreFault(paths[1], parquet.CHANGED)]
    with parquet.unchanged():
        integrity.check(store)
        flip(paths[2])
        assert not integrity.move_aside(store, kept), "they may be sound by now"

    def fail(*file):
        raise OSError(errno.EIO, "Input/output error")

    with parquet.unchanged(), monkeypatch.context() as patched:
        patched.setattr(safe_files, "read", fail)
        assert not integrity.move_aside(store, faults), "they were not read before, nor now"

    def rename(name, *more, **where):
        if name == paths[1].name:
            fail()
        really(name, *more, **where)

    monkeypatch.setattr(os, "rename", rename)
    assert [fault for fault, _ in integrity.move_aside(store, faults)] == faults[:1]
    with pytest.raises(errors.StoreFullError, match="quarantine cannot be written"):
        integrity.move_aside(store, faults[1:])


def test_a_folder_is_moved_aside_with_all_that_is_in_it(store):
    folder = store.runs / "old"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x").write_text("mine")
    integrity.move_aside(store, integrity.check(store).findings)
    assert contents_of(store.path / "quarantine") == {"old/deep/x": b"mine"}
    assert integrity.check(store).findings == []


def test_what_is_moved_aside_of_seeds_that_are_there_twice_leaves_none_twice(store):
    """Though perhaps some of them not at all: the next sweep makes these anew."""
    for start, count in ((0, 12), (5, 3), (7, 21)):
        publish(store, XOR, start, count)
    while (checked := integrity.check(store)).findings:
        assert integrity.move_aside(store, checked.findings)
    for start, count in plan.missing((0, 28), store.present()[XOR.identity()]):
        publish(store, XOR, start, count)
    assert rows_of(store.path)[XOR.identity()] == (28, digest(runs(XOR, 0, 28)))
