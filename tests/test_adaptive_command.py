"""`fastbp sweep --until-width` and `--bisect`, as a user runs them."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from commands import (
    answer_of,
    ended,
    names,
    refused,
    spied,
    started,
    stopped,
    succeeded,
    tables_of,
    until,
)
from stores import rows_of

import fastbp
from fastbp.adaptive import bisection
from fastbp.analysis.statistics.proportions import confidence_sequence, sequence_prior, wilson
from fastbp.config.sweep import Sweep
from fastbp.engine import block, forecast, machine
from fastbp.reporting import build
from fastbp.schema.keys import LAST_SEED
from fastbp.schema.outcomes import CONSTANT, OUTCOMES

KEYS = (
    "lr, init_scale, momentum, weight_decay, prime_offset, target_margin, tolerance, updates, "
    "epochs"
)

WIDTHS = "a number from 0.0001 and below 1, such as 0.01"

SWEEP = """
title = "Is it the rate?"
seeds = 300

[setup]
problem = "xor"
hidden = [2]
lr = 0.5
epochs = 500
"""


def seeds_of(store: Path) -> int:
    return Sweep.from_toml(store / "sweep.toml").seeds.count


# --until-width


@pytest.mark.jit
def test_seeds_are_trained_until_every_share_is_narrow(file, tmp_path, here):
    done = succeeded(here(file, "--until-width", "0.06", "--set", "lr=[0.5,2]"))
    store = tmp_path / "results" / "mine"
    seeds, frame = seeds_of(store), fastbp.load(store)
    assert len(frame) == 2 * seeds > 2 * 300
    widths = {}
    for setup, own in frame.groupby("setup", observed=True):
        shares = {str(o): (own["outcome"] == o).sum() for o in OUTCOMES} | {
            "constant": own["outcome"].isin(CONSTANT).sum()
        }
        for share, count in shares.items():
            low, high = confidence_sequence(count, seeds, sequence_prior(0.06))
            widths[setup, share] = float(high - low)
    assert max(widths.values()) <= 0.06
    (line,) = answer_of(done.stdout)
    pattern = (
        r"After (\S+) seeds every share has a 95% interval at most 0.06 wide; the widest is (\S+), "
        r"for ([\w-]+) with lr (\S+)\. .*"
    )
    told, widest, share, lr = re.fullmatch(pattern, line).groups()
    assert (told, float(widest)) == (f"{seeds:,}", pytest.approx(max(widths.values()), rel=5e-3))
    setup = frame.loc[frame["lr"] == float(lr), "setup"].iloc[0]
    assert widths[setup, share] == pytest.approx(max(widths.values()), abs=1e-9)
    table = pd.read_csv(store / "summary.csv")
    widest = max(
        (table[f"{s}_high"] - table[f"{s}_low"]).max()
        for s in ("converged", "collapsed", "one_class", "partial", "constant")
    )
    assert f"are at most {widest:.3g} wide." in line
    assert "Not complete" not in (store / "report.html").read_text()


@pytest.mark.jit
def test_again_it_trains_nothing_and_prints_the_same(file, tmp_path, here):
    first = here(file, "--until-width", "0.06", "--no-report")
    kept = (tmp_path / "results" / "mine" / "sweep.toml").read_bytes()
    again = succeeded(here(file, "--until-width", "0.06", "--no-report"), stdout=first.stdout)
    assert "complete already, nothing to train" in again.stderr
    assert (tmp_path / "results" / "mine" / "sweep.toml").read_bytes() == kept
    told = json.loads(here(file, "--until-width", "0.06", "--no-report", "--json").stdout)
    assert told["until_width"]["reached"] is True
    assert told["until_width"]["seeds"] == told["runs"] == seeds_of(tmp_path / "results" / "mine")
    assert told["answer"] == answer_of(first.stdout)
    narrower = here(
        file, "--until-width", "0.05", "--no-report", "--quiet", "-j", "1", "--executor", "threads"
    )
    assert {line.partition(": ")[0] for line in narrower.stderr.splitlines()[1:]} == {"Table"}
    assert seeds_of(tmp_path / "results" / "mine") > told["runs"]


@pytest.mark.jit
def test_what_is_there_already_changes_nothing_of_where_it_stops(file, tmp_path, here):
    """As after a kill in the middle of any round."""
    here(file, "-o", "whole", "--until-width", "0.05", "--no-report")
    here(file, "-o", "part", "--seeds", "777", "--no-report")
    assert seeds_of(tmp_path / "part") == 777 < seeds_of(tmp_path / "whole")
    done = here(file, "-o", "part", "--until-width", "0.05", "--no-report")
    assert seeds_of(tmp_path / "part") == seeds_of(tmp_path / "whole")
    assert rows_of(tmp_path / "part") == rows_of(tmp_path / "whole")
    here(file, "-o", "more", "--seeds", "5000", "--no-report")
    more = here(file, "-o", "more", "--until-width", "0.05", "--no-report")
    assert answer_of(more.stdout)[0].split(". ")[0] == answer_of(done.stdout)[0].split(". ")[0]
    assert "has more seeds than" in more.stderr


@pytest.mark.jit
@pytest.mark.parametrize(
    "options",
    [["--until-width", "0.03"], ["--bisect", "lr", "--seeds", "1000"]],
    ids=lambda o: o[0],
)
def test_a_killed_one_goes_on_and_prints_the_same(file, tmp_path, here, options):
    options = [file.name, "--no-report", *options]
    with started(*options, "-o", "killed", cwd=tmp_path) as process:
        until(lambda: len(names(tmp_path / "killed")) > 1, process)
        process.kill()
    before = names(tmp_path / "killed")
    again, whole = (here(*options, "-o", store) for store in ("killed", "whole"))
    assert again.returncode == whole.returncode == 0
    assert again.stdout == whole.stdout
    assert before <= names(tmp_path / "killed")
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "whole")
    assert (tmp_path / "killed" / "sweep.toml").read_bytes() == (
        tmp_path / "whole" / "sweep.toml"
    ).read_bytes()


@pytest.mark.jit
def test_an_interrupted_one_says_how_to_go_on(file, tmp_path):
    with started(file.name, "--until-width", "0.0002", "-o", "store", cwd=tmp_path) as process:
        until(lambda: len(names(tmp_path / "store")) > 2, process)
        assert "--until-width 0.0002 -o store" in stopped(process, 15)


@pytest.mark.jit
def test_the_most_seeds_are_told_and_where_they_end_it_ends(file, tmp_path, here, monkeypatch):
    done = here(file, "--until-width", "0.05", "--no-report")
    assert (
        "note: at most 3,800 seeds, which is enough for a width of 0.05 for any shares\n"
        in done.stderr
    )
    monkeypatch.setattr(machine, "disk", lambda path: machine.Disk(130_000, None))
    done = ended(here(file, "-o", "small", "--until-width", "0.02", "--no-report", "--json"), 1)
    note = (
        r"note: at most ([\d,]+) seeds, which may be too few for intervals 0.02 wide: small: .* "
        r"are free: take fewer seeds, or .*\n"
    )
    most = int(re.fullmatch(note, done.stderr)[1].replace(",", ""))
    told = json.loads(done.stdout)
    assert told["runs"] == most == seeds_of(tmp_path / "small")
    assert told["until_width"]["reached"] is False
    assert told["answer"][0].startswith(
        f"After {most:,} seeds not every share has a 95% interval at most 0.02 wide; the widest is "
        "0.0"
    )


@pytest.mark.jit
@pytest.mark.parametrize("options", [[], ["--until-width=0.1"], ["--bisect=lr"]], ids=str)
def test_runs_that_are_taken_away_before_the_tables_are_missed(file, here, monkeypatch, options):
    tables = build.tables_of_sweep

    def without_runs(store, *arguments, **named):
        next(store.files()).unlink()
        return tables(store, *arguments, **named)

    here(file, "--no-report", *options)
    with monkeypatch.context() as patch:
        patch.setattr(build, "tables_of_sweep", without_runs)
        assert ended(here(file, "--no-report", *options), 3).stderr.endswith(
            " runs are gone from results/mine/runs: the same command goes on\n"
        )
    assert "runs trained" in succeeded(here(file, "--no-report", *options)).stderr


@pytest.mark.jit
def test_seeds_end_at_the_last_one(file, tmp_path, here):
    file.write_text(SWEEP.replace("300", f"{{start = {LAST_SEED - 400}, count = 200}}"))
    done = ended(here(file, "--until-width", "0.01", "--no-report"), 1)
    assert (
        "note: at most 400 seeds, which may be too few for intervals 0.01 wide: the last seed is "
        "2^63 − 1\n" in done.stderr
    )
    assert len(fastbp.load(tmp_path / "results" / "mine")) == 400


def test_a_dry_run_says_what_the_most_seeds_would_take(file, tmp_path, here, monkeypatch):
    monkeypatch.setattr(forecast, "slowness", lambda setup: None)
    before = sorted(tmp_path.iterdir())
    done = succeeded(
        here(file, "--until-width", "0.01", "--dry-run", "-j", "2"),
        stderr="note: at most 95,000 seeds, which is enough for a width of 0.01 for any shares\n",
    )
    assert "runs     95,000\n" in done.stdout
    assert sorted(tmp_path.iterdir()) == before


# --bisect


@pytest.mark.jit
def test_the_rate_where_half_converge_is_found(file, tmp_path, here):
    done = succeeded(here(file, "--bisect", "lr"))
    (line,) = answer_of(done.stdout)
    value, low, high = map(
        float,
        re.fullmatch(r"lr = (\S+) \[(\S+), (\S+)\]: half of 300 seeds converge", line).groups(),
    )
    assert low < value < high
    store = tmp_path / "results" / "mine"
    frame = fastbp.load(store)
    won = (frame["outcome"] == "converged").groupby(frame["lr"]).sum()
    assert wilson(won[low], 300)[1] < 0.5 < wilson(won[high], 300)[0]
    assert all(
        0.5 - 0.06 < count / 300 < 0.5 + 0.06 for rate, count in won.items() if low < rate < high
    )
    assert [setup.lr for setup in Sweep.from_toml(store / "sweep.toml").setups] == list(won.index)
    assert (frame.groupby("lr").size() == 300).all()
    assert (store / "figures" / "response-lr.svg").exists()
    page = (store / "report.html").read_text()
    assert "Share converged over lr" in page
    assert all(f"lr {rate:g}" in page for rate in (low, high))

    again = here(file, "--bisect", "lr", "--no-report", "--json")
    told = json.loads(again.stdout)
    assert "complete" not in again.stderr
    assert (told["updates"], told["answer"]) == (0, [line])
    (found,) = told["bisect"]
    assert (found["key"], found["seeds"], found["value"], found["low"], found["high"]) == (
        "lr",
        300,
        value,
        low,
        high,
    )
    assert found["tried"] == [{"value": rate, "converged": count} for rate, count in won.items()]
    same = here(file, "--bisect", "lr", "--no-report")
    assert same.stdout == done.stdout
    assert "complete already, nothing to train" in same.stderr


@pytest.mark.jit
def test_each_setting_has_its_line(file, tmp_path, here):
    options = [
        "--set",
        "lr=[1,4]",
        "--set",
        "hidden=[2,3]",
        "--set",
        "order=[shuffled,cyclic]",
        "--no-report",
    ]
    lines = answer_of(here(file, "--bisect", "lr", "-o", "out", *options).stdout)
    assert [line.partition(": ")[0] for line in lines] == [
        "hidden 2, order shuffled",
        "hidden 2, order cyclic",
        "hidden 3, order shuffled",
        "hidden 3, order cyclic",
    ]
    assert fastbp.load(tmp_path / "out")["lr"].between(1, 4).all()


@pytest.mark.jit
def test_the_budget_where_half_converge_is_found(file, tmp_path, here):
    lines = [
        answer_of(here(file, "--bisect", key, "-o", key, "--no-report").stdout)[0]
        for key in ("updates", "epochs")
    ]
    updates, epochs = (int(re.match(r"\w+ = (\S+) \[", line)[1].replace(",", "")) for line in lines)
    assert updates == pytest.approx(4 * epochs, rel=0.05)
    assert fastbp.load(tmp_path / "updates")["epochs"].isna().all()


@pytest.mark.jit
def test_of_a_file_problem_it_is_found_from_any_folder(tmp_path, here, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "xor.csv").write_text("a,b,y\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n")
    setup = (
        'problem = "file:xor.csv"\ntargets = "y"\nhidden = [2, 2]\nbatch = "full"\nlr = '
        '2.0\nepochs = 500\nstop = "converged"\n'
    )
    (tmp_path / "data" / "mine.toml").write_text(f"seeds = 200\n[setup]\n{setup}")
    searches = spied(monkeypatch, bisection, "searches_of")
    done = here("data/mine.toml", "--bisect", "lr", "--no-report")
    assert searches.call_count == 1, "of 100,000 settings each takes half a minute"
    assert answer_of(done.stdout)[0].startswith("lr = ")
    first = rows_of(tmp_path / "results" / "mine")
    assert here("data/mine.toml", "--bisect", "lr", "--no-report").stdout == done.stdout
    assert rows_of(tmp_path / "results" / "mine") == first


@pytest.mark.jit
def test_where_there_is_no_such_value_it_says_so(file, here):
    done = succeeded(
        here(file, "--bisect", "lr", "--set", "lr=[0.01,0.02]", "--no-report", "--seeds", "50")
    )
    told = (
        "fewer than half of 50 seeds converge at all 5 values of lr tried, 0.01 to 0.02: at most "
        "0% [0–7.1], at 0.0"
    )
    (line,) = answer_of(done.stdout)
    assert line.startswith(told)


# What is wrong


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *(
            ([f"--until-width={text}"], [rf"--until-width: given '{text}', allowed: {WIDTHS}"])
            for text in ("0", "1", "2", "-0.1", "nan", "inf", "", "narrow", "1e-9")
        ),
        (["--bisect", "order"], [rf"--bisect: given 'order', allowed: {KEYS}"]),
        (["--bisect", "collapse"], [r"--bisect: given 'collapse', .*"]),
        (["--bisect", "epoch"], [rf"--bisect: given 'epoch', .*{KEYS}; did you mean 'epochs'\?"]),
        (["--bisect", "lrr"], [rf"--bisect: given 'lrr', .*{KEYS}; did you mean 'lr'\?"]),
        (
            ["--bisect", "lr", "--until-width", "0.1"],
            [r"--bisect: given together with --until-width, allowed: only one of the two"],
        ),
        (
            ["--until-width", "0.1", "--shard", "1/2"],
            [r"--shard: given together with --until-width, which needs all seeds, .*"],
        ),
        (
            ["--bisect", "lr", "--shard", "1/2"],
            [r"--shard: given together with --bisect, which needs all seeds, .*"],
        ),
        (
            ["--bisect", "lr", "--set", "optimizer=[sgd,rprop]", "--set", "batch=full"],
            [r"--bisect: lr: given \S+, allowed: nothing, as rprop has no learning rate"],
        ),
        (
            ["--bisect", "momentum", "--set", "optimizer=adam"],
            [r"--bisect: momentum: given 0\.5, allowed: 0\.0, as optimizer = 'adam'"],
        ),
        (
            ["--bisect", "lr", "--dry-run"],
            [r"--dry-run: given together with --bisect, whose runs depend on results, .*"],
        ),
        (
            ["--bisect", "x", "--set", "lr=-1", "-j", "0"],
            [r"--set lr: .*", r"--bisect: given 'x', .*", r"-j: .*"],
        ),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_bad_usage_is_one_line_a_mistake_and_nothing_is_written(
    file, tmp_path, here, options, said
):
    refused(here(file, *options), 2, *said)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.jit
def test_blocks_that_fail_end_it_with_what_there_is(file, here, monkeypatch):
    train = block.train_at_once

    def fails(setups, seeds, **named):
        if seeds.start >= 300 or setups[0].lr > 1:
            raise ArithmeticError("no such luck")
        return train(setups, seeds, **named)

    monkeypatch.setattr(block, "train_at_once", fails)
    for options in (["--until-width", "0.05"], ["--bisect", "lr"]):
        done = ended(here(file, "-o", options[0][2:], "--no-report", *options), 1)
        assert "failed: setup " in done.stderr
        assert "converge" in answer_of(done.stdout)[0], "the answer of the table"
        assert tables_of(done.stdout)[-1][0].startswith(("setup", "Each change", "No two"))
