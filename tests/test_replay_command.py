"""`fastbp replay` as a user runs it: called in this process, in another where that is what is
tested."""

import errno
import os
import re
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import (
    PATIENCE,
    ended,
    in_process,
    raising,
    refused,
    started,
    stopped,
    succeeded,
    until_it_computes,
    until_it_imports,
    without_imports,
)
from stores import SHORT, SOON, change_a_row, contents_of, opened, trained, unchanged

from fastbp.config.setup import Setup
from fastbp.engine import block, rows as rows_module, stored_run
from fastbp.replay import _write, main
from fastbp.schema.columns import COLUMNS
from fastbp.schema.errors import StoreError
from fastbp.store import parquet, safe_files

here, drawn = in_process(main), in_process(main, png=True)

LONG = Setup(problem="xor", updates=10_000_000)


@pytest.fixture
def store(tmp_path):
    """A store with seeds 0 … 3 of two setups."""
    store = opened(tmp_path / "store")
    for setup in (SHORT, SOON):
        store.publish(setup.identity(), 0, trained(setup, 0, 4))
    return store


def entries(folder: Path) -> set[str]:
    """All files below a folder."""
    return set(contents_of(folder))


def test_it_shows_a_life_and_keeps_it(drawn, store, tmp_path):
    done = succeeded(drawn("store", SHORT.identity()[:6], 2))
    row = stored_run.find(store, SHORT.identity(), "2").row
    head, looks, answers = done.stdout.split("\n\n")
    assert head.splitlines() == [
        f"setup {SHORT.identity()}, seed 2: {row['outcome']} after 23 updates",
        "problem xor, hidden 2, init normal, order shuffled, lr 2, updates 23",
    ]
    titles, *lines = [line.split() for line in looks.splitlines()]
    assert titles == [
        "updates",
        "loss",
        "spread",
        "max_error",
        "saturation",
        "grad_norm",
        "weight_max",
        "wrong",
        "outcome",
    ]
    assert [line[0] for line in lines] == ["0", "23"]
    assert float(lines[-1][1]) == pytest.approx(row["loss"], rel=1e-3)
    assert lines[-1][-1] == row["outcome"]
    assert [line.split()[:4] for line in answers.splitlines()[1:]] == [
        [str(i), *inputs, target]
        for i, (inputs, target) in enumerate([("00", "0"), ("01", "1"), ("10", "1"), ("11", "0")])
    ]
    assert [float(line.split()[-1]) for line in answers.splitlines()[1:]] == pytest.approx(
        row["outputs"], abs=6e-4
    )

    stem = f"store/replays/{SHORT.identity()}-2"
    assert done.stderr == f"written: {stem}.parquet, {stem}.svg, {stem}.png\n"
    assert entries(tmp_path / "store" / "replays") == {
        f"{SHORT.identity()}-2{suffix}" for suffix in (".parquet", ".svg", ".png")
    }
    trace = pd.read_parquet(tmp_path / f"{stem}.parquet")
    assert (trace["updates"].tolist(), trace["loss"].iloc[-1]) == ([0, 23], row["loss"])
    assert f"setup {SHORT.identity()}, seed 2" in (tmp_path / f"{stem}.svg").read_text()
    assert (tmp_path / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    opened(store.path)  # which still is one


def test_the_look_that_found_it_converged_is_marked(here, store):
    seed, at = next(
        (seed, row["converged_at"])
        for seed, row in enumerate(
            stored_run.find(store, SOON.identity(), str(seed)).row for seed in range(4)
        )
        if row["converged_at"] is not None
    )
    done = succeeded(here("store", SOON.identity(), seed, "--figure", "a.svg"))
    (line,) = [line for line in done.stdout.splitlines() if "first converged" in line]
    assert line.split()[0] == str(at)


def test_twice_is_the_same_and_nothing_but_its_own_file_is_opened(here, store, tmp_path):
    for file in store.files():
        if not file.name.startswith(SHORT.identity()):
            file.write_bytes(b"damaged")
    first = here("store", SHORT.identity(), 2, "--figure", "a.svg", "--export", "made/w.npz")
    kept = {
        file: (tmp_path / file).read_bytes()
        for file in entries(tmp_path)
        if not file.endswith(".npz")
    }
    assert here("store", SHORT.identity(), 2, "--figure", "a.svg").stdout == first.stdout
    assert {file: (tmp_path / file).read_bytes() for file in kept} == kept
    with np.load(tmp_path / "made" / "w.npz") as weights:
        assert {
            "W0",
            "b0",
            "W1",
            "b1",
            "initial_W0",
            "initial_b1",
            "rows",
            "X",
            "T",
            "lr",
            "setup",
            "seed",
        } <= set(weights)
        assert (weights["W0"].shape, weights["rows"].dtype) == ((2, 2), np.int32)
        assert len(weights["rows"]) == 23


@pytest.mark.parametrize(("file", "start"), [("a.SVG", b"<?xml"), ("to/b.pdf", b"%PDF")])
def test_a_picture_where_it_is_wanted(here, store, tmp_path, file, start):
    # a seed that the store does not hold
    succeeded(here("store", SHORT.identity(), 2**63 - 1, "--figure", file))
    assert (tmp_path / file).read_bytes().startswith(start)
    assert entries(tmp_path / "store" / "replays") == {f"{SHORT.identity()}-{2**63 - 1}.parquet"}


def test_a_check_says_so_in_one_line_and_writes_what_is_asked_for(here, store, tmp_path):
    before, same = entries(tmp_path), f"the same, bit for bit: {len(COLUMNS)} columns\n"
    with unchanged(tmp_path):
        for setup in (SHORT, SOON):
            succeeded(here("store", setup.identity(), 3, "--check"), stdout=same, stderr="")
    done = here("store", SHORT.identity(), 3, "--check", "--export", "w.npz", "--figure", "p.svg")
    assert (done.stdout, entries(tmp_path) - before) == (same, {"w.npz", "p.svg"})


def test_a_check_of_a_row_that_was_changed_ends_with_3(here, store):
    loss = parquet.read(change_a_row(store, SHORT, 0))[0]["loss"][1].as_py()
    assert here("store", SHORT.identity(), 0, "--check").returncode == 0
    done = ended(here("store", SHORT.identity(), 1, "--check"), 3, stderr="")
    assert re.fullmatch(rf"loss: stored {loss}, trained again 0\.\d+\n", done.stdout)


def test_a_check_needs_no_room_for_a_whole_life(here, store, monkeypatch):
    monkeypatch.setattr(stored_run, "MAX_BYTES", 10)
    assert (
        here("store", SHORT.identity(), 1, "--check").stdout
        == f"the same, bit for bit: {len(COLUMNS)} columns\n"
    )
    refused(
        here("store", SHORT.identity(), 1, "--check", "--export", "w.npz"),
        2,
        f"SETUP: given {SHORT.identity()}, with 2 evaluations of 4 outputs, allowed: at most 0 "
        "evaluations",
        "--export: given a run of 6 epochs of 4 rows, allowed: at most 0 epochs",
    )


def test_bad_input_is_a_line_each(here, store, tmp_path):
    known = " and ".join(sorted((SHORT.identity(), SOON.identity())))
    apart = f"allowed: enough digits to tell one setup of store from the others: {known}"
    with unchanged(tmp_path):
        for arguments, lines in (
            (
                ("xyz", "-1"),
                (
                    f"SETUP: given 'xyz', {apart}",
                    "SEED: given '-1', allowed: an integer from 0 to .*",
                ),
            ),
            (
                (SHORT.identity(), "1.5"),
                (r"SEED: given '1\.5', allowed: an integer from 0 to 2\^63 - 1",),
            ),
            (
                (SHORT.identity(), 4, "--check"),
                (f"SEED: given 4, allowed: seeds of setup {SHORT.identity()} that .*: 0 to 3",),
            ),
            (
                (SHORT.identity(), 1, "--figure", "a.jpg", "--export", "w"),
                (
                    r"--figure: given 'a\.jpg', allowed: a file that ends in \.svg or \.png or "
                    r"\.pdf, not in runs, problems, .* of a store",
                    r"--export: given 'w', allowed: a file that ends in \.npz, not in runs, .*",
                ),
            ),
            (
                (
                    SHORT.identity(),
                    1,
                    "--figure",
                    "store/runs/a.svg",
                    "--export",
                    "store/tmp/a.npz",
                ),
                (
                    r"--figure: given 'store/runs/a\.svg', .*",
                    r"--export: given 'store/tmp/a\.npz', .*",
                ),
            ),
        ):
            refused(here("store", *arguments), 2, *lines)


def test_what_is_no_store_ends_with_3(here, store):
    for place in ("nosuch", "store/runs"):
        refused(here(place, "a", 1), 3, f"{place} holds no runs: .*")


def test_a_link_in_a_store_is_not_followed_however_a_path_is_spelt(
    here, store, tmp_path, monkeypatch
):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "store" / "replays").symlink_to(tmp_path / "theirs")
    (tmp_path / "link").symlink_to("store")
    for path in (
        "store/replays/w.npz",
        tmp_path / "store/replays/w.npz",
        "link/replays/w.npz",
        "store/replays/../w.npz",
    ):
        for given in ("store", "link"):
            done = ended(here(given, SHORT.identity(), 1, "--check", "--export", path), 3)
            assert "it is a link, not a folder" in done.stderr
    another = opened(tmp_path / "another")
    with another.locked():
        (another.path / "mine").symlink_to(tmp_path / "theirs")
    monkeypatch.chdir("another")
    for path in ("mine/a.svg", "../another/mine/a.svg"):
        done = ended(here("../store", SHORT.identity(), 1, "--figure", path), 3)
        assert "it is a link, not a folder" in done.stderr
    assert not list((tmp_path / "theirs").iterdir())


def test_nothing_is_written_into_another_folder_in_the_place_of_the_store(here, store, tmp_path):
    """However the path is spelt."""
    place = Path("store")
    with safe_files.held(place):
        (tmp_path / "store").rename(tmp_path / "moved")
        (tmp_path / "store").mkdir()
        for path in ("store/a.svg", f"../{tmp_path.name}/store/b.svg", tmp_path / "store/c.svg"):
            with pytest.raises(StoreError, match="is no longer the folder"):
                _write({Path(path): b""}, place, None)
    assert not [*(tmp_path / "store").iterdir()]


def test_a_link_of_the_user_beside_the_store_is_followed(here, store, tmp_path):
    """Also where the way to it goes through the store."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for path in ("link/a.npz", "store/../link/b.npz"):
        succeeded(here("store", SHORT.identity(), 1, "--check", "--export", path))
    assert entries(tmp_path / "real") == {"a.npz", "b.npz"}


def test_a_file_where_a_folder_should_be_ends_with_3(here, store, tmp_path):
    (tmp_path / "store" / "replays").write_text("a file where a folder should be")
    assert ended(here("store", SHORT.identity(), 1), 3).stderr.startswith(
        "fastbp: store/replays cannot be used: it is a file"
    )


@pytest.fixture
def read_only(monkeypatch):
    """The folder of replays cannot be written."""
    write = safe_files.write

    def refuse(target, *rest):
        if target.parent.name == "replays":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return write(target, *rest)

    monkeypatch.setattr(safe_files, "write", refuse)


def test_a_place_that_cannot_be_written_ends_with_4(here, store, read_only):
    done = ended(here("store", SHORT.identity(), 1), 4)
    assert re.fullmatch(r"fastbp: store/replays/.*\.parquet cannot be written: .*\n", done.stderr)
    assert done.stdout.startswith("setup ")


def test_a_store_that_is_only_read_is_no_matter_to_a_picture_elsewhere(
    here, store, read_only, tmp_path
):
    done = succeeded(here("store", SHORT.identity(), 1, "--figure", "a.svg"))
    assert re.fullmatch(
        r"note: store/replays/.*\.parquet cannot be written: .*\nwritten: a\.svg\n", done.stderr
    )
    assert (tmp_path / "a.svg").exists()


def test_what_cannot_be_trained_ends_with_1(here, store, monkeypatch):
    monkeypatch.setattr(
        block, "train", raising(ArithmeticError("denormal numbers are flushed to zero"))
    )
    refused(
        here("store", SHORT.identity(), 1, "--check"), 1, "denormal numbers are flushed to zero"
    )


# In a process of its own


def program(name: str) -> list[str]:
    return [sys.executable, "-X", "importtime", "-m", f"fastbp.{name}"]


@pytest.mark.jit
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("name", "arguments"), [("replay", [LONG.identity(), "1"]), ("verify", ["--replay", "1"])]
)
def test_a_long_run_ends_at_once(tmp_path, name, arguments, number):
    # as it would be, but for the time that it takes
    short = block.train(SHORT, 0, 1)._replace(updates_done=np.array([LONG.budget]))
    opened(tmp_path / "store").publish(LONG.identity(), 0, rows_module.to_arrow(LONG, 0, short))
    with started("store", *arguments, cwd=tmp_path, program=program(name)) as process:
        until_it_imports(process, "fastbp.engine.stored_run")  # training is next
        until_it_computes(process)
        err = stopped(process, number)
    assert without_imports(err) == ["interrupted"]
    assert not (tmp_path / "store" / "replays").exists()


@pytest.mark.jit  # without, another process would train in more lanes
def test_a_full_disk_ends_with_4(store, tmp_path):
    """A limit on the size of files stands in for the disk."""

    with started(
        "store",
        SHORT.identity(),
        "1",
        cwd=tmp_path,
        program=program("replay"),
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (12_000, resource.RLIM_INFINITY)
        ),
    ) as process:
        out, err = process.communicate(timeout=PATIENCE)
    (line,) = without_imports(err)
    assert process.returncode == 4
    assert (
        line == f"fastbp: store/replays/{SHORT.identity()}-1.svg cannot be written: File too large"
    )
    assert out.startswith("setup ")
    assert entries(tmp_path / "store" / "replays") == {f"{SHORT.identity()}-1.parquet"}
