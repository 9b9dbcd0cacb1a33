"""The command as a user runs it, from a folder of its own: in another process, or called in this
one where that is the same."""

import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import (
    MODULE,
    PATIENCE,
    answer_of,
    command,
    ended,
    ended_soon,
    environment,
    helps,
    names,
    raising,
    reaped_seconds,
    refused,
    started,
    stopped,
    succeeded,
    tables_of,
    until,
    until_it_imports,
    without_imports,
)
from stores import opened, tree, unchanged
from svg_texts import texts

import fastbp
from fastbp.analysis import summary as summary_module
from fastbp.cli import terminal
from fastbp.engine import block, driver, forecast, machine as machine_module, rows
from fastbp.reporting import phrases
from fastbp.schema.columns import schema
from fastbp.schema.outcomes import CONSTANT, OUTCOMES
from fastbp.store import parquet
from fastbp.store.store import Store

SCRIPT = Path(sysconfig.get_path("scripts")) / "fastbp"


SWEEP = """
title = "Is it the rate?"
seeds = 500

[setup]
problem = "xor"
hidden = [2]
lr = 0.5
epochs = 200

[grid]
lr = [0.5, 2]
order = ["shuffled", "cyclic"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def founding(folder):
    """`fastbp sweep founding --seeds 64`, in results/founding."""
    return command("founding", "--seeds", "64", cwd=folder)


@pytest.fixture(scope="module")
def won(runs):
    """Whether each run converged: a row for each seed, a column for each setup."""
    return (
        runs.assign(won=runs["outcome"] == "converged")
        .pivot(index="seed", columns=KEYS, values="won")
        .sort_index(axis=1)
    )


@pytest.fixture(scope="module")
def store(folder, founding):
    return folder / "results" / "founding"


@pytest.fixture(scope="module")
def runs(store):
    return pd.read_parquet(store / "runs").astype({"setup": str, "order": str, "outcome": str})


# What it prints

KEYS = ["order", "lr", "updates"]


def table_of(out: str) -> list[dict[str, str]]:
    """The printed table, cells as text."""
    head, *lines = [re.split(r"\s{2,}", line.strip()) for line in tables_of(out)[0]]
    return [dict(zip([*head, "mark"], line, strict=False)) for line in lines]


def number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-").rstrip("%"))


def assert_shown(text: str, share: float) -> None:
    """A share as it is printed: exact at the ends, rounded between them."""
    if text.startswith("<"):
        assert 0 < share < 0.0001
    elif text in ("0%", "100%"):
        assert share == number(text) / 100
    else:
        assert (
            abs(number(text) - 100 * share)
            <= (0.005 if share < 0.001 or share > 0.999 else 0.05) + 1e-9
        )


@pytest.mark.jit
def test_the_founding_sweep_trains_and_says_so(founding, store, runs):
    assert (founding.returncode, len(runs)) == (0, 8 * 64)
    assert answer_of(founding.stdout)[0].startswith("More updates "), "the answer comes first"
    assert "512 runs trained" in founding.stderr
    assert founding.stderr.endswith(
        ".\nReport: results/founding/report.html\nPicture: results/founding/figures/outcomes.svg\n"
    )
    files = {
        "sweep.toml",
        "runs",
        "problems",
        "summary.csv",
        "contrasts.csv",
        "attribution.csv",
        "report.html",
        "figures",
        "made.json",
    }
    assert files <= {entry.name for entry in store.iterdir()}


@pytest.mark.jit
def test_the_table_agrees_with_pandas(founding, runs):
    table = table_of(founding.stdout)
    assert len(table) == 8
    assert [row.get("mark", "").partition(",")[0] == "baseline" for row in table] == [
        row["order"] == "random" and row["lr"] == "0.2" and row["updates"] == "999" for row in table
    ]
    for row in table:
        own = runs[
            (runs["order"] == row["order"])
            & (runs["lr"] == number(row["lr"]))
            & (runs["updates"] == number(row["updates"]))
        ]
        shares = {outcome: (own["outcome"] == outcome).mean() for outcome in OUTCOMES}
        for outcome in ("converged", "diverged"):
            if outcome in row or shares[outcome]:
                assert_shown(row[outcome], shares[outcome])
        assert_shown(row["constant"], sum(shares[outcome] for outcome in CONSTANT))
        assert len(own) == 64
        low, high = row["95% CI"].split("–")
        assert number(low) <= 100 * shares["converged"] <= number(high)


@pytest.mark.jit
def test_the_sentences_agree_with_pandas(founding, won):
    """fixed, broken and the difference of each single change, paired by seed."""
    start = {"order": "random", "lr": 0.2, "updates": 999}
    lines = tables_of(founding.stdout)[1]
    assert "from order random, lr 0.2, updates 999" in lines[0]
    assert f"{len(won)} common seeds" in lines[1], "one number for all stands above the table"
    end = lines.index("The same changes from other settings:")
    own, elsewhere = lines[3:end], lines[end + 2 :]
    seen = set()
    for line in own:
        pattern = r"(\w+) (\S+) → (\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+) to (\S+)  (.+)"
        key, before, after, fixed, broken, difference, low, high, _ = re.fullmatch(
            pattern, line
        ).groups()
        changed = start | {key: after if key == "order" else number(after)}
        assert before == phrases.plain(start[key])
        one, other = won[tuple(start.values())], won[tuple(changed.values())]
        assert (number(fixed), number(broken)) == ((~one & other).sum(), (one & ~other).sum())
        assert number(difference) == pytest.approx(100 * (other.mean() - one.mean()), abs=0.051)
        assert number(low) <= number(difference) <= number(high)
        seen.add(key)
    assert seen == set(KEYS)
    for line in elsewhere:
        key, before, after, settings, ends = re.fullmatch(
            r"(\w+) (\S+) → (\S+)\s+(\d)\s+(.+?)\s{2,}.*", line
        ).groups()
        levels = won.columns.get_level_values(key).astype(str).str.replace(r"\.0$", "", regex=True)
        one = won.loc[:, levels == before.replace(",", "")].mean().to_numpy()
        other = won.loc[:, levels == after.replace(",", "")].mean().to_numpy()
        rest = [
            100 * float(d)
            for d, c in zip(
                other - one, won.columns[levels == before.replace(",", "")], strict=True
            )
            if c != (*start.values(),)
        ]
        shown = [number(end) for end in ends.split(" to ")]
        assert int(settings) == len(rest) == 3
        assert [min(shown), max(shown)] == pytest.approx([min(rest), max(rest)], abs=0.051)


@pytest.mark.jit
def test_the_picture_names_each_setup_and_counts_its_runs(store):
    assert (store / "figures" / "outcomes.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    shown = texts(store / "figures" / "outcomes.svg")
    summary = summary_module.summary(store)
    for label in phrases.labels(summary):
        assert any(text.startswith(label) for text in shown), label
    assert any("n = 64 each" in text for text in shown)
    for outcome in OUTCOMES:
        assert (outcome in shown) == bool(summary[outcome.replace("-", "_")].any())


@pytest.mark.jit
def test_how_it_was_made_is_written_down(store):
    (made,) = json.loads((store / "made.json").read_text())
    assert (made["runs"], made["updates"]) == (512, 64 * 4 * 7992)
    assert made["updates_per_second"] > 0
    total = made["seconds"].pop("total")
    assert set(made["seconds"]) == {"start", "compile", "train", "write", "tables"}
    assert sum(made["seconds"].values()) == pytest.approx(total, abs=0.2)  # one after the other
    assert made["versions"]["fastbp"] == fastbp.__version__


@pytest.mark.jit
def test_again_it_says_that_it_is_complete_and_prints_the_same(founding, folder, store):
    used = reaped_seconds()
    with unchanged(store):
        again = command("founding", "--seeds", "64", cwd=folder)
    assert reaped_seconds() - used < 20, "it reads and counts, and draws nothing"
    succeeded(again, stdout=founding.stdout)
    assert "complete already, nothing to train" in again.stderr


def test_a_picture_is_drawn_again_only_where_it_would_change(tmp_path, here):
    file = tmp_path / "mine.toml"
    file.write_text('title = "Why?"\nseeds = 2\n[setup]\nproblem = "xor"\nupdates = 2\n')
    picture = tmp_path / "results" / "mine" / "figures" / "outcomes.svg"

    def drawn(*options: str) -> bool:
        before = picture.stat().st_mtime_ns if picture.exists() else 0
        succeeded(here("mine.toml", *options))
        return picture.stat().st_mtime_ns > before

    assert drawn()
    assert not drawn()
    file.write_text(file.read_text().replace("Why?", "Why not?"))
    assert drawn()
    assert "<bdi>Why not?</bdi>" in (picture.parent.parent / "report.html").read_text()
    assert drawn("--seeds", "3")
    (picture.parent.parent / "report.html").unlink()  # as where a command was killed before it drew
    assert drawn("--seeds", "3")
    (picture.parent / "collapse.svg").unlink()
    assert drawn("--seeds", "3")
    assert not drawn("--seeds", "3")
    assert not drawn("--seeds", "4", "--no-report")
    assert (picture.parent.parent / "summary.csv").read_text().count("\n") == 2
    assert drawn("--seeds", "4")


@pytest.mark.jit
def test_json_is_one_object_that_agrees_with_the_runs(
    founding, folder, store, runs, here, monkeypatch
):
    monkeypatch.chdir(folder)
    done = succeeded(here("founding", "--seeds", "64", "--json"), stderr="")
    assert done.stdout.count("\n") == 1
    told = json.loads(done.stdout)
    assert set(told) == {"store", "runs", "updates", "seconds", "updates_per_second", "outcomes"}
    assert (told["store"], told["runs"]) == ("results/founding", len(runs))
    counts = {
        setup: {str(o): int((own["outcome"] == o).sum()) for o in OUTCOMES}
        for setup, own in runs.groupby("setup")
    }
    assert told["outcomes"] == counts


# How it is called


@pytest.mark.jit
def test_a_file_goes_into_a_folder_of_its_name(file, tmp_path, here):
    done = succeeded(here(file.name))
    assert len(pd.read_parquet(tmp_path / "results" / "mine" / "runs")) == 4 * 500
    assert len(table_of(done.stdout)) == 4
    assert "<bdi>Is it the rate?</bdi>" in (tmp_path / "results/mine/report.html").read_text()


@pytest.mark.jit
def test_options_change_the_sweep(file, tmp_path, here):
    options = [
        "--set",
        "hidden=3",
        "--set",
        "order=random",
        "--set",
        "lr=[1, 4, 8]",
        "--seeds",
        "30",
        "-j",
        "1",
        "--json",
    ]
    done = succeeded(here(file, "-o", tmp_path / "out", *options))
    frame = fastbp.load(tmp_path / "out")
    assert len(frame) == json.loads(done.stdout)["runs"] == 90
    varied = {"hidden": {"3"}, "order": {"random"}, "lr": {1.0, 4.0, 8.0}}
    assert {key: set(frame[key]) for key in varied} == varied
    assert json.loads((tmp_path / "out" / "made.json").read_text())[0]["jobs"] == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.jit
def test_more_seeds_and_values_extend_a_store(file, tmp_path, here):
    wide = ["--seeds", "50", "--set", "lr=[0.5,1,2]", "--no-report"]
    for options, count in (
        (["--seeds", "20"], 80),
        (["--seeds", "50", "--no-report"], 120),
        (wide, 100),
    ):
        assert f"{count} runs trained" in here(file, "-o", "out", *options).stderr
    assert len(fastbp.load(tmp_path / "out")) == 300
    here(file, "-o", "once", *wide)
    once, bits = (
        fastbp.load(tmp_path / name).drop(columns="outputs").astype(object)
        for name in ("once", "out")
    )
    pd.testing.assert_frame_equal(once, bits)


@pytest.mark.jit
@pytest.mark.skipif(not SCRIPT.exists(), reason="fastbp is not installed, only importable")
def test_the_console_script_is_the_same_command(founding, folder):
    succeeded(
        command("sweep", "--seeds", "64", cwd=folder, program=[str(SCRIPT)]), stdout=founding.stdout
    )


@pytest.mark.jit
def test_a_folder_named_like_a_sweep_is_no_sweep(tmp_path, here):
    (tmp_path / "founding").mkdir()
    succeeded(here("-o", "founding", "--seeds", "2", "--set", "updates=10"))
    assert len(fastbp.load(tmp_path / "founding")) == 2 * 4


def test_one_run_is_a_sweep(tmp_path, here):
    one = ["--seeds", "1", "--set", "updates=2", "--set", "lr=1", "--set", "order=cyclic"]
    done = succeeded(here(*one, "--quiet"))
    assert "The one run ended one-class" in done.stdout
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("program", "flag"),
    [(MODULE, "-h"), ([sys.executable, "-m", "fastbp", "sweep"], "--help")],
    ids=["module", "package"],
)
def test_help(program, flag, tmp_path):
    options = ("-o", "--seeds", "--set", "-j", "--dry-run", "--quiet", "--json")
    helps(command(flag, cwd=tmp_path, program=program), *options, "founding", "130")


def test_the_package_says_what_there_is(tmp_path):
    package = [sys.executable, "-m", "fastbp"]
    told = command("--help", cwd=tmp_path, program=package).stdout
    assert "sweep" in told
    assert "replay" in told
    assert (
        command("--version", cwd=tmp_path, program=package).stdout
        == f"fastbp {fastbp.__version__}\n"
    )
    assert "'swep'" in ended(command("swep", cwd=tmp_path, program=package), 2, stdout="").stderr


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch.toml"], [r"nosuch.toml: no such file"]),
        (["nosuch"], [r"nosuch: no such file, and no sweep of this name .*`fastbp list` .*"]),
        (["foundin"], [r"foundin: .*`fastbp list` .*; did you mean 'founding'\?"]),
        (["mine.csv"], [r"mine.csv.*"]),
        (["--seeds", "0"], [r"--seeds: given 0, allowed: .*"]),
        (["--seeds", "many"], [r"--seeds: given 'many', allowed: .*"]),
        (["-j", "0"], [r"-j: given '0', allowed: a number from 1 to 1,024"]),
        (["-o", ""], [r"-o: given '', allowed: a folder"]),
        (
            ["--seeds", "0", "-j", "0", "-o", ""],
            [r"--seeds: given 0, .*", r"-j: given '0', .*", r"-o: given '', .*"],
        ),
        (["-j", "two"], [r"-j: given 'two', allowed: .*"]),
        (["--set", "lr"], [r"--set: given 'lr', allowed: KEY=VALUE"]),
        (
            ["--set", "order=shufled"],
            [r"--set order: given 'shufled', allowed: .* did you mean 'shuffled'\?"],
        ),
        (
            ["--set", "rate=1", "--set", "lr=-1", "--seeds", "0"],
            [r".*seeds: .*", r".*lr: given -1, .*", r".*rate: unknown key.*"],
        ),
        (["broken.toml"], [r"broken.toml: .*"]),
        (
            ["wrong.toml"],
            [
                r"wrong.toml: .*hiden.*did you mean 'hidden'\?",
                r"wrong.toml: setup.lr: given -1, .*",
            ],
        ),
        (["x" * 5000], [r".*: no such file, .*"]),
        (
            ["table.toml"],
            [r"table.toml: setup.targets: given 'y', allowed: columns of mine.csv: a, b"],
        ),
        (["table.toml", "--dry-run"], [r"table.toml: setup.targets: given 'y', .*"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_bad_input_is_one_line_a_mistake_and_nothing_is_written(tmp_path, arguments, said, here):
    files = {
        "broken.toml": "seeds = = 3",
        "wrong.toml": '[setup]\nproblem = "xor"\nupdates = 1\nhiden = 3\nlr = -1\n[grid]\norder = '
        '["cyclic"]\n',
        "mine.csv": "a,b\n1,2\n",
        "table.toml": 'seeds = 3\n[setup]\nproblem = "file:mine.csv"\ntargets = "y"\nupdates = 9\n',
    }
    if arguments == ["wrong.toml"]:
        files["wrong.toml"] = "seeds = 3\n" + files["wrong.toml"]
    with unchanged(tree(tmp_path, files)):
        refused(here(*arguments), 2, *said)


@pytest.mark.parametrize("option", ["--set", "--seeds", "--shard", "-o"])
def test_two_dashes_are_no_value(tmp_path, here, option):
    """Where an option needs one, argparse would take an empty list for it, or nothing at all."""
    done = ended(here(f"{option}=--" if option[1] == "-" else f"{option}--"), 2, stdout="")
    assert re.match(
        rf"fastbp: {option}.*: given '--', allowed: a value; ", done.stderr.splitlines()[-1]
    )
    assert not [*tmp_path.iterdir()]


def test_an_unknown_option_is_named_with_a_similar_one(tmp_path, here):
    done = ended(here("--sedes", "3"), 2, stdout="")
    line = (
        "fastbp: --sedes: unknown option; did you mean '--seeds'?; for all options: fastbp sweep -h"
    )
    assert done.stderr.splitlines()[-1] == line


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("thesis", "thesis is a folder with other things in it, not a store: choose .*-o DIR"),
        ("thesis/chapter.tex", "thesis/chapter.tex is a file, not a store: .*-o DIR"),
        ("thesis/chapter.tex/x", "thesis/chapter.tex/x is in a file, not in a folder: .*-o DIR"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_place_that_is_no_store_is_refused(tmp_path, here, place, told, options):
    with unchanged(tree(tmp_path, {"thesis/chapter.tex": "mine"})):
        refused(here("-o", place, *options), 3, told)


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_store_of_another_version_is_refused_and_stays(tmp_path, here, options):
    made = opened(tmp_path / "store")
    content, digest = parquet.encode(schema().empty_table(), {"fastbp.numerics": "999"})
    (made.runs / f"{'0' * 12}-0-0-{digest[:16]}.parquet").write_bytes(content)
    told = r"store holds runs of numerics version 999, this .* version \d+: .* -o DIR"
    with unchanged(made.path):
        refused(here("-o", "store", *options), 3, told)


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_what_there_is_no_room_for_is_refused_before_anything_is_written(
    tmp_path, here, monkeypatch, options
):
    monkeypatch.setattr(block, "train", None)
    machine = {"memory": 25e9, "disk": 5e6}
    monkeypatch.setattr(machine_module, "memory", lambda: machine["memory"])
    monkeypatch.setattr(
        machine_module, "disk", lambda path: machine_module.Disk(int(machine["disk"]), None)
    )
    monkeypatch.setattr(forecast, "slowness", lambda setup: None)

    def said(*arguments: str) -> tuple[int, str]:
        done = here("-o", "store", *arguments, *options)
        assert (bool(done.stdout), list(tmp_path.iterdir())) == (bool(options), [])
        return done.returncode, done.stderr

    full = (
        "fastbp: store: 80,000 runs take 7.0 MB, and 5.0 MB are free: take fewer seeds, or another "
        "disk with -o\n"
    )
    assert (said(), said("--seeds", "1000000000000")[0]) == ((4, full), 2)  # before the disk
    machine["disk"] = 1e30
    code, line = said(*["--set", "problem=encoder:1024", "--set", "hidden=480", "-j", "1024"])
    assert code == 2
    assert re.fullmatch(
        r"fastbp: the sweep needs .* [GT]B of memory \(most of it for networks in training, "
        r".*\n",
        line,
    )


# What it would take


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(tmp_path, here):
    done = succeeded(here("--dry-run", "-j", "2", "--seeds", "1_000"), stderr="")
    assert re.fullmatch(
        "setups   8\n"
        "runs     8,000\n"
        "updates  31,968,000\n"
        r"time     about .+ on 2 cores\n"
        r"(         and \d+ s first to compile, once for this machine\n)?"
        r"disk     \d+ kB in 8 files, .+ are free\n"
        r"memory   [\d.]+ [MG]B(, .+ are free)?\n",  # what this process has taken already counts
        done.stdout,
    )
    assert list(tmp_path.iterdir()) == []


def test_how_many_seeds_show_a_difference(here):
    """Of runs that are there, with the share of seeds that a change moves against its effect."""
    detect = ("--dry-run", "--detect", 3.5)
    said = (
        "detect   3.5 points, in 80% of cases, by 3 changes of the baseline:\n         "
        "4,271 seeds a setup if runs of one seed were independent\n"
    )
    assert here(*detect).stdout.endswith(said)
    here("--seeds", 500, "--no-report")
    told = json.loads(here(*detect, "--json").stdout)["detect"]
    assert (told["points"], told["changes"], told["unpaired"]) == (3.5, 3, 4271)
    assert 0 < told["reversed"] < 0.02
    assert told["seeds"] < 800
    assert f"\n         {told['seeds']:,} seeds a setup if at most " in here(*detect).stdout
    lines = "--detect: given '1e-320', allowed: a number of points from 0.001 to 100"
    refused(here("--dry-run", "--detect", "1e-320"), 2, lines)
    refused(here("--detect", 3), 2, "--detect: given without --dry-run, allowed: only with it")


def test_a_dry_run_in_json(tmp_path, here):
    told = json.loads(here("--dry-run", "--json", "-j", "2", "--set", "stop=converged").stdout)
    assert set(told) == {
        "store",
        "setups",
        "runs",
        "missing",
        "updates",
        "seconds",
        "jobs",
        "disk",
        "memory",
    }
    assert (told["setups"], told["runs"], told["missing"], told["updates"]) == (
        8,
        80_000,
        80_000,
        359_640_000,
    )
    assert told["seconds"]["rest"] > 0
    assert list(tmp_path.iterdir()) == []
    assert (
        "updates  at most 359,640,000\ntime     at most "
        in here("--dry-run", "--set", "stop=converged").stdout
    )


def test_a_dry_run_reads_a_store_that_is_in_use(tmp_path, here):
    one = [
        "--seeds",
        "1",
        "--set",
        "updates=2",
        "--set",
        "lr=1",
        "--set",
        "order=cyclic",
        "-o",
        "store",
    ]
    here(*one)
    with Store(tmp_path / "store").locked(), unchanged(tmp_path):
        assert (
            "runs     5, 4 of them missing in store\nupdates  8\n"
            in succeeded(here(*one, "--seeds", "5", "--dry-run")).stdout
        )
        assert json.loads(here(*one, "--dry-run", "--json").stdout)["missing"] == 0


@pytest.mark.jit
def test_seeds_that_are_there_twice_are_told(file, tmp_path, here):
    options = ["-o", "store", "--seeds", "10", "--no-report"]
    here(file, *options)
    store = Store(tmp_path / "store")
    path = next(store.files())
    twice = store.publish(path.name[:12], 3, parquet.read(path)[0].slice(3, 2))
    told = (
        f"store/runs/{path.name} and {twice.name} have runs of the same seeds: `fastbp verify "
        "store --repair` .*"
    )
    refused(here(file, *options), 3, told)


@pytest.mark.jit
def test_a_full_disk_ends_with_4_and_can_be_gone_on_from(file, tmp_path, here):
    """A limit on the size of files stands in for the disk."""

    done = command(
        file,
        "-o",
        "store",
        "--seeds",
        "2000",
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (12_000, resource.RLIM_INFINITY)
        ),
    )
    refused(done, 4, r"store/runs/.*\.parquet cannot be written: File too large")
    assert list((tmp_path / "store" / "tmp").iterdir()) == []
    assert here(file, "-o", "store", "--seeds", "2000").returncode == 0


@pytest.mark.jit
def test_blocks_that_fail_are_told_and_the_rest_is_there(file, here, monkeypatch):
    train = block.train_at_once

    def fails(setups: Any, seeds: range, **named: Any) -> list[rows.Rows]:
        if setups[0].lr == 2:
            raise ArithmeticError("no such luck")
        return train(setups, seeds, **named)

    with monkeypatch.context() as patch:
        patch.setattr(block, "train_at_once", fails)
        done = ended(here(file, "--seeds", "10"), 1)
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2
    assert all(
        re.fullmatch(r"failed: setup \w{12}, seeds 0 to 9: ArithmeticError: no such luck", line)
        for line in failed
    )
    counts = pd.read_csv(file.parent / "results" / file.stem / "summary.csv")["runs"]
    assert (counts.tolist(), len(table_of(done.stdout))) == ([10, 10], 2)
    assert "20 runs trained" in succeeded(here(file, "--seeds", "10")).stderr


def test_where_every_block_fails_there_is_no_table(here, monkeypatch):
    monkeypatch.setattr(block, "train_at_once", raising(ArithmeticError("no such luck")))
    monkeypatch.setattr(driver, "warm_up", lambda kind: None)
    done = ended(here("--set", "lr=[0.1,0.2,0.3,0.4,0.5,0.6,0.7]", "--seeds", "1"), 1)
    assert "failed: 8 more" in done.stderr
    assert "No runs" in done.stdout


# Interruptions


@pytest.mark.jit
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_long_sweep_ends_at_once_and_says_how_to_go_on(tmp_path, number):
    store = tmp_path / "a store"
    with started("--seeds", "1000000", "-o", store.name, cwd=tmp_path) as process:
        until(lambda: names(store), process)
        told = stopped(process, number)
    assert told == (
        "interrupted; finished work stays in a store. To resume: "
        f"{sys.executable} -m fastbp.sweep --seeds 1000000 -o 'a store'\n"
    )
    Store(store).check_files()
    with Store(store).locked():
        pass


@pytest.mark.parametrize("seconds", [0.0, 0.15, 0.3])
def test_interrupted_while_it_imports(tmp_path, seconds):
    with started(
        "--seeds",
        "1000000",
        cwd=tmp_path,
        program=[sys.executable, "-X", "importtime", *MODULE[1:]],
    ) as process:
        # what it says is lost where the pipe is full
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 1 << 20)
        until_it_imports(process, "fastbp.cli.process")  # its main() is next
        time.sleep(0.05 + seconds)  # any moment will do
        told = stopped(process, signal.SIGINT)
    assert [line[:11] for line in without_imports(told)] == ["interrupted"]


@pytest.mark.jit
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_compiles(tmp_path, number):
    cold = environment(FASTBP_CACHE_DIR=str(tmp_path / "cache"))
    with started("--seeds", "1000000", "-o", "store", cwd=tmp_path, env=cold) as process:
        until((tmp_path / "store" / "problems").is_dir, process)
        time.sleep(1.5)
        assert names(tmp_path / "store") == set()
        assert "To resume: " in stopped(process, number)


# Where it is run


@pytest.mark.jit
def test_whoever_reads_may_leave_early(founding, folder):
    with started("--seeds", "64", cwd=folder) as process:
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(PATIENCE) == 0
    assert "Traceback" not in err
    assert "Error" not in err


@pytest.mark.jit
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written_ends_with_4(founding, folder):
    with (
        open("/dev/full", "w") as full,
        started("--seeds", "64", cwd=folder, stdout=full) as process,
    ):
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (4, "fastbp: standard output: No space left on device\n")


@pytest.mark.jit
def test_a_terminal_without_arrows_gets_ascii(founding, folder):
    succeeded(
        command("--seeds", "64", cwd=folder, env=environment(PYTHONIOENCODING="ascii")),
        stdout=founding.stdout.replace("−", "-").replace("–", "-").replace("→", "->"),
    )


@pytest.mark.jit
def test_where_there_is_no_terminal_nothing_moves_a_cursor_or_has_a_colour(founding, folder):
    done = command(
        "--seeds",
        "64",
        cwd=folder,
        env=environment(NO_COLOR="", FORCE_COLOR="1", TERM="xterm-256color"),
    )
    assert done.stdout == founding.stdout
    assert done.stderr.endswith("\n")
    for text in (founding.stdout, founding.stderr, done.stderr):
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


@pytest.mark.jit
def test_on_a_terminal_progress_is_one_line_that_is_written_over(tmp_path):
    ours, theirs = pytest.importorskip("pty").openpty()
    with started("--seeds", "1000000", "-o", "store", cwd=tmp_path, stderr=theirs) as process:
        os.close(theirs)
        shown = ""
        while "updates/s" not in shown:
            shown += os.read(ours, 4096).decode()
        ended_soon(process, signal.SIGINT)
        assert process.returncode == 130
        with contextlib.suppress(OSError):  # the terminal hangs up
            while more := os.read(ours, 4096):
                shown += more.decode()
    os.close(ours)
    progress, said = shown.split("interrupted; ", 1)
    assert re.search(
        r"\r +\d+% · [\d,]+ of 8,000,000 runs · [\d,]+ (million )?updates/s · .+ left", progress
    )
    assert progress.rstrip().count("\n") == 0
    assert progress.endswith("\n"), "the last words stand on a line of their own"
    assert said.endswith("-o store\r\n")


# Progress in words

TRAINING = {
    "runs": 8,
    "done": 2,
    "updates": 10**10,
    "budget": 10**10,
    "total_budget": 4 * 10**10,
    "phase": "training",
}
A_QUARTER = " 25% · 2 of 8 runs"


def test_a_plain_line_now_and_then_where_there_is_no_terminal(capsys):
    now = 0.0
    show = terminal.ProgressLine(clock=lambda: now)
    progress = driver.Progress(runs=4000, total_budget=4_000_000, phase="training")
    for now in (1.0, 29.9, 30.1, 45.0, 60.2, 61.0):
        progress.done, progress.budget, progress.updates = (
            int(now) * 10,
            int(now) * 10_000,
            int(now) * 10_000,
        )
        show(progress)
    show.end()
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("  8% · 300 of 4,000 runs · ")
    assert second.startswith(" 15% · 600 of 4,000 runs · ")
    terminal.ProgressLine(quiet=True, clock=lambda: now)(progress)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("progress", "seconds", "said"),
    [
        ({}, 0, "planning…"),
        ({"phase": "compiling"}, 0, "compiling… (once for this machine)"),
        ({"runs": 8, "total_budget": 80, "phase": "training"}, 0, "  0% · 0 of 8 runs"),
        (TRAINING, 100, f"{A_QUARTER} · 100 million updates/s · 5 min 00 s left"),
        (TRAINING, 5, f"{A_QUARTER} · 2,000 million updates/s · 15 s left"),
        (TRAINING, 40_000, f"{A_QUARTER} · 250,000 updates/s · 33 h 20 min left"),
        # Stopped early: most of the budget was not needed.
        (TRAINING | {"updates": 10**9}, 10, f"{A_QUARTER} · 100 million updates/s · 30 s left"),
    ],
    ids=str,
)
def test_progress_names_the_phase_and_says_how_fast_and_how_long(
    monkeypatch, progress, seconds, said
):
    monkeypatch.setattr(driver.Progress, "seconds", seconds)
    assert terminal.describe(driver.Progress(**progress)) == said
