"""`fastbp verify` as a user runs it, and what all other commands say of a store that is not
sound."""

import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from commands import (
    ended,
    in_process,
    raising,
    refused,
    spied,
    succeeded,
)
from fake_runs import replaced
from stores import (
    SHORT,
    SOON,
    change_a_row,
    contents_of,
    file_of,
    flip,
    opened,
    strangers,
    trained,
    unchanged,
)

import fastbp
from fastbp.engine import block, integrity
from fastbp.merge import main as merge_main
from fastbp.schema.errors import DamagedFileError, StoreError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store import parquet
from fastbp.store.store import Store
from fastbp.verify import main

here = in_process(main)

HINT = (
    r"`fastbp verify store --repair` moves damaged files aside; the same sweep then trains them "
    r"again"
)
AGAIN = "to train what is missing: the same sweep, or fastbp sweep store/sweep.toml -o store\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store that was trained: seeds 0 … 3 and 4 … 7 of one setup, 0 … 3 of another."""
    store = opened(tmp_path_factory.mktemp("made") / "store")
    for setup, start in ((SHORT, 0), (SHORT, 4), (SOON, 0)):
        store.publish(setup.identity(), start, trained(setup, start, 4))
    return store


@pytest.fixture
def store(made, tmp_path):
    """A copy of it, which is `store` from where commands are run."""
    return Store(shutil.copytree(made.path, tmp_path / "store"))


SOUND = "store: 12 runs of 2 setups in 3 files, all sound\n"


def test_a_name_of_two_lines_is_printed_in_one(here, store, capsys):
    """Else it could say anything."""
    store.path.rename(store.path.with_name("st\nnone: 9 runs"))
    assert here("st\nnone: 9 runs").stdout.startswith("st?none: 9 runs: 12 runs")
    assert merge_main(["st\nnone: 9 runs"]) == 0
    assert capsys.readouterr().out.startswith("st?none: 9 runs: 12 runs")


def test_a_sound_store_is_said_to_be_and_nothing_is_written(here, store):
    text = f"{SOUND}sha256 of all rows: {integrity.check(store).digest}\n"
    with unchanged(store.path):
        succeeded(here("store"), stdout=text, stderr="")
        assert here("store").stdout == here("store/").stdout == text


@pytest.mark.parametrize(("replays", "trained"), [("1", 1), ("12", 12), ("1000000", 12)])
def test_some_runs_are_trained_again(here, store, replays, trained):
    done = succeeded(here("store", "--replay", replays), stderr="")
    sound, again, whole = done.stdout.splitlines(keepends=True)
    assert (sound, again) == (SOUND, f"{trained} runs trained again: the same, bit for bit\n")
    assert whole.startswith("sha256 of all rows: ")


def test_the_name_of_a_store_is_no_option_in_what_is_printed(here, store):
    store.path.rename(store.path.with_name("-x"))
    flip(next(Store(store.path.with_name("-x")).files()))
    assert "`fastbp verify ./-x --repair`" in ended(here("./-x"), 3).stderr
    assert "fastbp sweep ./-x/sweep.toml -o ./-x" in succeeded(here("./-x", "--repair")).stderr


def test_what_is_not_sound_is_listed_and_stays(here, store):
    one, other = file_of(store, SHORT), file_of(store, SOON)
    flip(one)
    other.write_bytes(b"")
    (store.runs / "notes.txt").write_text("mine")
    with unchanged(store.path):
        done = ended(here("store"), 3)
    assert set(done.stdout.splitlines()) == {
        f"store/runs/{one.name}: its bytes are not those that were written",
        f"store/runs/{other.name}: it is empty",
        "store/runs/notes.txt: it is not a file of runs",
    }
    assert re.fullmatch(f"fastbp: store is not sound: {HINT}\n", done.stderr)


def test_where_much_is_not_sound_a_hundred_lines_say_so(here, store):
    for index in range(103):
        (store.runs / f"{index:03}").touch()
    lines = here("store").stdout.splitlines()
    assert (len(lines), lines[-1]) == (101, "3 more")
    assert succeeded(here("store", "--repair")).stdout.splitlines()[100:] == [
        "3 more",
        SOUND.rstrip(),
    ]


def test_a_repair_moves_aside_what_is_not_sound(here, store):
    one = file_of(store, SHORT)
    flip(one)
    (store.runs / "notes.txt").write_text("mine")
    damaged = {one.name: one.read_bytes(), "notes.txt": b"mine"}
    kept = {
        file: content for file, content in contents_of(store.runs).items() if file not in damaged
    }
    assert set(succeeded(here("store", "--repair"), stderr=AGAIN).stdout.splitlines()) == {
        f"moved to store/quarantine/{one.name}: its bytes are not those that were written",
        "moved to store/quarantine/notes.txt: it is not a file of runs",
        "store: 8 runs of 2 setups in 2 files, all sound",
    }
    assert (contents_of(store.path / "quarantine"), contents_of(store.runs)) == (damaged, kept)
    assert here("store").returncode == 0


def test_a_repair_of_a_sound_store_is_a_check(here, store):
    assert here("store", "--repair").stdout == here("store").stdout
    assert not (store.path / "quarantine").exists()


@pytest.mark.parametrize(("damaged", "code"), [((SHORT,), 3), ((SHORT, SOON), 0)])
def test_a_repair_leaves_what_was_mended_while_it_checked(here, store, monkeypatch, damaged, code):
    """As from a backup: who does that does not know the lock."""
    path, check = file_of(store, SHORT), integrity.check
    sound = path.read_bytes()
    for setup in damaged:
        flip(file_of(store, setup))

    def checked(*arguments):
        report = check(*arguments)
        path.write_bytes(sound)
        return report

    monkeypatch.setattr(integrity, "check", checked)
    assert here("store", "--repair").returncode == code
    assert (here("store").returncode, path.read_bytes()) == (0, sound)


def test_a_repair_leaves_no_seed_twice(here, store):
    """Where rows differ nobody knows which are right, and both files are moved; then one that has
    the same rows as one of these stays."""
    rows, said = parquet.read(file_of(store, SHORT))
    for start, some in (
        (0, rows.slice(0, 2)),
        (2, replaced(rows.slice(2, 1), "updates_done", pa.array([7]))),
    ):
        store.publish(SHORT.identity(), start, some, said)
    moved = {
        file.name
        for file in store.files()
        if re.match(rf"{SHORT.identity()}-(0-4|2-1)-", file.name)
    }
    assert (
        succeeded(here("store", "--repair")).stdout.splitlines()[-1]
        == "store: 10 runs of 2 setups in 3 files, all sound"
    )
    assert (set(contents_of(store.path / "quarantine")), len(moved)) == (moved, 2)


def test_a_repair_may_leave_nothing(here, store):
    for file in store.files():
        flip(file)
    done = succeeded(here("store", "--repair"), stderr=AGAIN)
    assert [line.split("/")[1] for line in done.stdout.splitlines()] == ["quarantine"] * 3
    refused(here("store"), 3, "store holds no runs")


def test_what_a_repair_cannot_mend_is_told(command, tmp_path):
    """Without its problem a setup cannot be trained again: that is no file to move, and whatever
    else is wrong is moved."""
    (tmp_path / "mine.csv").write_text("a,t\n0,0\n1,1\n")
    (tmp_path / "mine.toml").write_text(
        'seeds = 2\n[setup]\nproblem = "file:mine.csv"\ntargets = ["t"]\nupdates = 2\n'
    )
    assert command("sweep", "mine.toml", "-o", "store").returncode == 0
    (path,) = (tmp_path / "store" / "problems").iterdir()
    path.write_bytes(b"")
    lacks = (
        r"store/problems: it lacks file:mine.csv, on which setup \w{12} was trained: the same "
        r"sweep .*\n"
    )
    assert re.fullmatch(
        f"store/problems/{path.name}: .*\n{lacks}", command("verify", "store").stdout
    )
    for moved in (
        f"moved to store/quarantine/{path.name}: its data do not match the digest in its name\n",
        "",
    ):
        done = ended(command("verify", "store", "--repair"), 3, stderr=AGAIN)
        assert re.fullmatch(moved + lacks, done.stdout), "it is not called sound"
    assert command("sweep", "store/sweep.toml", "-o", "store").returncode == 0, (
        "which still has the file"
    )
    assert command("verify", "store", "--replay", "2").returncode == 0


def test_a_row_that_was_changed_and_sealed_anew_is_found_by_training_it_again(here, store):
    path, done = change_a_row(store, SHORT, 4), here("store")
    assert (done.returncode, done.stdout.splitlines()[0] + "\n") == (0, SOUND)
    done = ended(here("store", "--replay", "12"), 3)
    assert re.fullmatch(
        rf"store/runs/{path.name}: seed 5 trained again is not the same: loss: stored 0\.\d+, "
        r"trained again 0\.\d+\n",
        done.stdout,
    )
    assert re.fullmatch(f"fastbp: store is not sound: {HINT}\n", done.stderr)
    done = succeeded(here("store", "--replay", "12", "--repair"))
    moved, sound, again = done.stdout.splitlines()
    assert again == "8 runs trained again: the same, bit for bit"
    assert moved.startswith(
        f"moved to store/quarantine/{path.name}: seed 5 trained again is not the same: loss: "
    )
    assert sound == "store: 8 runs of 2 setups in 2 files, all sound"


def test_very_many_wrong_rows_are_found_in_a_few_rounds(here, store, monkeypatch):
    """Each round reads the store again, and trains twice as many runs as the one before."""
    rows, said = parquet.read(file_of(store, SHORT))
    for path in store.files():
        path.unlink()
    odd = replaced(rows.slice(0, 1), "loss", pa.array([0.123]))
    for seed in range(20):
        store.publish(SHORT.identity(), seed, replaced(odd, "seed", pa.array([seed])), said)
    checks = spied(monkeypatch, integrity, "check")
    assert here("store", "--repair", "--replay", "1").stdout.count("moved to ") == 20
    assert checks.call_count == 5  # of 1, 2, 4, 8 and 5 runs


def test_a_repair_ends_though_each_time_more_is_damaged(here, store):
    """Of pairs that differ in a column that other files lack, each check finds one."""
    rows, said = parquet.read_as_written(file_of(store, SHORT))
    for number, value in itertools.product(range(11), (0.0, 1.0)):
        odd = rows.append_column(f"z{number}", pa.array([value] * len(rows)))
        store.publish(SHORT.identity(), 0, odd, said | {"fastbp.schema": "9"})
    assert "\nmore may not be sound: `fastbp verify " in ended(here("store", "--repair"), 3).stdout
    assert here("store", "--repair").stdout.count("moved to ") == 2


def test_of_a_store_that_is_not_sound_nothing_is_trained_again(here, store, monkeypatch):
    flip(file_of(store, SHORT))
    monkeypatch.setattr(block, "train", None)
    assert "trained again" not in ended(here("store", "--replay", "5"), 3).stdout


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "", "1000001", "10000000000", "٣", "1e3"])
def test_a_number_of_runs_is_a_number(here, store, given):
    refused(
        here("store", "--replay", given),
        2,
        f"--replay: given '{given}', allowed: a number from 0 to 1,000,000",
    )


@pytest.mark.parametrize("options", [[], ["--repair"], ["--replay", "3"]])
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("nowhere", "nowhere: no such store"),
        ("file", "file is a file, not a store: .*"),
        ("empty", "empty holds no runs"),
        ("thesis", "thesis is a folder with other things in it, not a store: .*"),
    ],
)
def test_what_is_no_store_ends_with_3_and_is_left_alone(here, tmp_path, place, why, options):
    strangers(tmp_path)
    with unchanged(tmp_path):
        refused(here(place, *options), 3, why)


def test_a_store_without_its_empty_folders_can_be_repaired(here, store):
    """As one that was copied by way of a repository."""
    (store.path / "tmp").rmdir()
    flip(file_of(store, SHORT))
    assert here("store", "--repair").returncode == 0


def test_a_store_in_use_is_read_but_not_repaired(here, store):
    flip(file_of(store, SHORT))
    with unchanged(store.runs), store.locked():
        assert "its bytes are not those that were written" in here("store").stdout
        refused(
            here("store", "--repair"),
            3,
            f"store is in use by process {os.getpid()} on {os.uname().nodename}: .*",
        )
    assert not (store.path / "quarantine").exists()


def test_a_store_of_another_numerics_version_is_sound_but_not_trained_again(here, tmp_path):
    identity = SHORT.identity(999)
    rows = replaced(trained(SHORT, 0, 2), "setup", pa.array([identity] * 2).dictionary_encode())
    opened(tmp_path / "store").publish(
        identity, 0, rows, {"fastbp.version": "9.9", "fastbp.numerics": "999"}
    )
    assert here("store").returncode == 0
    told = (
        rf"store holds runs of numerics version 999, this fastbp makes version {NUMERICS_VERSION}: "
        r"fastbp 9\.9 replays them"
    )
    refused(here("store", "--replay", "1"), 3, told)


def test_where_nothing_can_be_moved_nothing_is(here, store):
    flip(file_of(store, SHORT))
    (store.path / "quarantine").write_text("a file where a folder should be")
    told = "store/quarantine cannot be used: it is a file, not a folder; .*"
    refused(here("store", "--repair"), 3, told)
    assert file_of(store, SHORT).exists()


def test_what_cannot_be_trained_ends_with_1(here, store, monkeypatch):
    monkeypatch.setattr(
        block, "train", raising(ArithmeticError("denormal numbers are flushed to zero"))
    )
    refused(here("store", "--replay", "1"), 1, "denormal numbers are flushed to zero")


def test_the_repair_that_is_named_is_one_that_a_shell_takes(command, made, tmp_path):
    flip(file_of(Store(shutil.copytree(made.path, tmp_path / "my store's")), SHORT))
    quoted = """`fastbp verify 'my store'"'"'s' --repair`"""
    assert quoted in command("verify", "my store's").stderr
    assert quoted in command("replay", "my store's", SHORT.identity(), "1").stderr


# What others say of a store that is not sound


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit": flip,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "empty": lambda path: path.write_bytes(b""),
    "another file in its place": lambda path: shutil.copyfile(
        next(file for file in path.parent.iterdir() if file != path), path
    ),
}

SWEEP = ["sweep", "mine.toml", "-o", "store", "--no-report"]
READERS = [
    SWEEP,
    [*SWEEP, "--until-width", "0.5", "--quiet"],
    ["replay", "store", "{setup}", "1"],
    ["report", "store"],
    ["report", "store", "--all-runs"],
    ["compare", "store", "sound", "-o", "out"],
    ["compare", "sound", "store"],
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_whoever_reads_a_damaged_store_names_the_file_and_the_repair(command, tmp_path, damage):
    """And writes nothing; after the repair the same sweep makes the same files anew."""
    (tmp_path / "mine.toml").write_text(
        'seeds = 4\n[setup]\nproblem = "xor"\nhidden = [2]\n[grid]\nupdates = [2, 3]\n'
    )
    whole = succeeded(command(*SWEEP))
    shutil.copytree("store", "sound")
    store = Store("store")
    before = contents_of(store.runs)
    for path in store.files():  # one of which is looked at before anything else
        DAMAGES[damage](path)
        told = rf"{path} is damaged \(.*\): {HINT}"
        with unchanged(tmp_path):
            for reader in READERS:
                refused(command(*(each.format(setup=path.name[:12]) for each in reader)), 3, told)
        for read, error in (
            (fastbp.load, StoreError),
            (fastbp.summary, DamagedFileError),
            (fastbp.contrasts, DamagedFileError),
        ):
            with pytest.raises(error, match=rf"\A{told}\Z"):
                read("store")
        assert (
            f"store is not sound: {path} ("
            in ended(command("merge", "other", "store"), 3, stdout="").stderr
        )
        assert command("verify", "store", "--repair").returncode == 0
        assert "4 runs trained" in succeeded(command(*SWEEP), stdout=whole.stdout).stderr
        assert contents_of(store.runs) == before
