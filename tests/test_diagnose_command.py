"""`fastbp diagnose` as a user runs it: called in this process, in another where that is what is
tested."""

import json
import os
import re
import signal
import sys
import time
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import (
    any_command,
    command,
    ended,
    environment,
    in_process,
    refused,
    started,
    stopped,
    succeeded,
    until,
    until_it_computes,
)
from stores import contents_of, tree, unchanged

from fastbp import Setup, Sweep, retrain
from fastbp.diagnose import main
from fastbp.diagnosis import printout
from fastbp.diagnosis.candidates import ANSWERED, changed, changes
from fastbp.diagnosis.diagnose import usual_epochs
from fastbp.engine import machine
from fastbp.engine.lane_group import by_name
from fastbp.problems import samples
from fastbp.schema.errors import StoreFullError

here = in_process(main)
pytestmark = pytest.mark.usefixtures("without_cures")


def but_for_python(text: str) -> str:
    """What was printed, but for the lines that name the problem and its labels."""
    return re.sub(r"(a run that fails, from Python: |Data    Labels).*\n", "", text)


QUICK = ["--seeds", "40", "--epochs", "60", "--lr", "2"]
MODULE = [sys.executable, "-m", "fastbp.diagnose"]
XOR = "a,b,t\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "xor.csv").write_text(XOR)
    return "xor.csv"


def test_a_small_one_from_end_to_end(here, tmp_path) -> None:
    np.savez(
        tmp_path / "own.npz", W0=np.ones((1, 1)), b0=np.ones(1), W1=np.ones((1, 1)), b1=np.ones(1)
    )
    done = succeeded(
        here(
            "table:01",
            "--hidden",
            1,
            "--updates",
            4,
            "--seeds",
            2,
            "-o",
            "out",
            "--weights",
            "own.npz",
            "--seconds",
            600,
        )
    )
    assert "Now     100% of 2 seeds fail (" in done.stdout
    assert (tmp_path / "out" / "diagnosis.html").exists()


@pytest.mark.jit
def test_the_founding_case_needs_no_arguments(here) -> None:
    done = succeeded(here("--seeds", 336))
    answer, changes, seen, commands = done.stdout.rstrip("\n").split("\n\n")
    verdict, seen = " ".join(answer.split()), " ".join(seen.split())
    assert verdict.startswith("Wrong too few updates. 10 × the updates fixes it")
    assert re.search(r"No help .*order shuffled", seen)
    assert (
        "Order the answerer's advice, compared fairly: with 7,992 updates at rate 0.1 in both"
        in seen
    )
    assert changes.splitlines()[1].startswith("10 × the updates ")
    assert "in your own code: " in commands
    assert done.stderr == ""
    long = [line for line in done.stdout.splitlines() if len(line) > 80]
    assert all("fastbp.retrain" in line for line in long)  # a command to copy
    assert len(changes.splitlines()) <= 14


@pytest.mark.jit
def test_json(here) -> None:
    told = json.loads(here("--json", "--seeds", 50).stdout)
    assert set(told) == {
        "setup",
        "runs",
        "outcomes",
        "verdict",
        "data",
        "measure",
        "baseline",
        "symptoms",
        "changes",
        "pairs",
        "recommended",
        "orders",
        "left_out",
        "example",
        "complete",
    }
    assert (told["runs"], told["orders"]["change"]) == (50, {"updates": 7992, "lr": 0.1})
    assert (
        told["setup"]
        == Setup(problem="table:11101011", lr=0.2, order="random", updates=999).identity()
    )


@pytest.mark.jit
def test_json_has_what_was_left_out(here, tmp_path) -> None:
    (tmp_path / "own.csv").write_text(XOR + "0,,1\n")
    (note,) = json.loads(
        here("own.csv", "--targets", "t", "--json", "--seeds", 2, "--lr", 2).stdout
    )["data"]
    assert note["id"] == "missing-values"
    assert note["text"] == "missing values in row 5: 1 of 5 rows are left out"


@cache
def of_xor() -> str:
    """What is said of the problem by its name."""
    with redirect_stdout(StringIO()) as said:
        assert main(["xor", *QUICK]) == 0
    return but_for_python(said.getvalue())


@pytest.mark.jit
@pytest.mark.parametrize("data", ["xor", "parity:2", "table:0110"])
def test_problems_by_their_names(here, data: str, tmp_path) -> None:
    (tmp_path / "xor").write_text("a file of that name is in nobody's way")
    assert but_for_python(succeeded(here(data, *QUICK)).stdout) == of_xor()
    refused(
        here(data, "--targets", "t"),
        2,
        f"--targets: given with {data}, allowed: only with a table .*",
    )


NO_NAMES = (
    "note: own.csv has numbers in its first line, not names: its columns are called c1 … c3\n"
)
LABELS = "note: labels no/yes became 0/1\n"


@pytest.mark.jit
@pytest.mark.parametrize(
    ("text", "target", "notes"),
    [
        (XOR, "t", ""),
        (XOR.replace("0\n", "no\n").replace("1\n", "yes\n"), "t", LABELS),
        (XOR.replace("\n", "\r\n"), "t", ""),
        ("\ufeff" + XOR, "t", ""),
        (XOR.partition("\n")[2], "c3", NO_NAMES),
        ("0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n", "c3", NO_NAMES + LABELS),
        ("2019,2020,t\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n", "t", ""),
    ],
    ids=["plain", "words", "Windows", "byte order mark", "no names", "no names, words", "years"],
)
def test_tables(here, text: str, target: str, notes: str, tmp_path) -> None:
    (tmp_path / "own.csv").write_text(text, newline="")
    done = succeeded(here("own.csv", "--targets", target, *QUICK), stderr=notes)
    assert but_for_python(done.stdout) == of_xor()


@pytest.mark.jit
def test_arrays_and_parquet(here, tmp_path) -> None:
    X, T = Setup(problem="xor", updates=1).data()
    np.savez(tmp_path / "own.npz", X=X, T=T)
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1], "t": T[:, 0]}), tmp_path / "own.parquet")
    for arguments in (["own.npz"], ["own.parquet", "--targets", "t"]):
        assert but_for_python(here(*arguments, *QUICK).stdout) == of_xor()


@pytest.mark.jit
def test_a_table_without_names(here, tmp_path) -> None:
    """What is beside it stays as it is."""
    (tmp_path / "own.csv").write_text(XOR.partition("\n")[2])
    assert ended(here("own.csv", *QUICK), 2).stderr.splitlines() == [
        NO_NAMES.rstrip(),
        "fastbp: --targets: not given, allowed: one or more columns of own.csv: c1, c2, c3",
    ]
    succeeded(here("own.csv", "--targets", "c3", *QUICK, "-o", "."))
    assert (tmp_path / "own.csv").read_text() == XOR.partition("\n")[2]
    assert (tmp_path / "learnt" / "own.csv").read_text() == XOR.replace("a,b,t", "c1,c2,c3")
    assert len(Sweep.from_toml(tmp_path / "fixed.toml").setups) == 2


TABLES = {
    "missing.csv": b"a,b,t\n0,,0\n0,,1\n",
    "empty.csv": b"",
    "names.csv": b"a,b,t\n",
    "text.csv": b"a,t\nx,0\n1,1\n",
    "ragged.csv": b"a,t\n0,0\n1,1,1\n",
    "target.csv": b"a,u\n0,0\n1,1\n",
    **dict.fromkeys(("bytes.csv", "bytes.parquet", "bytes.npz"), bytes(range(256)) * 9),
}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            "missing.csv",
            r"a value in every row; 'b' has none in rows 1 and 2 \(drop or fill such rows\)",
        ),
        ("empty.csv", "one or more rows; it is empty"),
        ("names.csv", "one or more rows; it has none"),
        (
            "text.csv",
            r"numbers, true and false in all columns but targets; 'a' has text in row 1: 'x'",
        ),
        ("ragged.csv", "2 values in every row, .*"),
        ("bytes.csv", ".*"),
        ("bytes.parquet", ".*"),
        ("bytes.npz", ".*"),
        ("none.csv", "an existing file; .*"),
    ],
)
def test_tables_that_are_none(here, data: str, told: str, tmp_path) -> None:
    for name, content in TABLES.items():
        (tmp_path / name).write_bytes(content)
    refused(
        here(data, "--targets", "t", *QUICK),
        2,
        rf"DATA: given 'file:{re.escape(data)}', allowed: {told}",
    )


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["target.csv", "--targets", "t"],
            [r"--targets: given 't', allowed: columns of target\.csv: a, u"],
        ),
        (["zor"], [r"DATA: given 'file:zor', allowed: files that end in \.csv, \.parquet, \.npz"]),
        (["."], [r"DATA: given 'file:\.', allowed: .*"]),
        (["table:011"], ["DATA: given 'table:011', allowed: .*"]),
        (["xor", "--set", "lr=0"], [r"--set lr: given 0, allowed: .*"]),
        (
            ["xor", "--lr", "[0.1,0.2]"],
            ["given 2 setups, allowed: one; `fastbp sweep` compares several"],
        ),
        (
            ["xor", "--epochs", 9, "--updates", 9],
            ["--updates: given together with --epochs, allowed: only one of the two"],
        ),
        (["xor", "--hidden", 4, "x"], ["--hidden: .*"]),
        (
            ["xor", "--lr", 2, "--set", "lr=3"],
            ["--lr: given together with --set lr, allowed: one of the two"],
        ),
        (["xor", "--set", "wrong=1"], [".*unknown key, .*"]),
        (
            ["--seeds", 0, "--seconds", "soon", "-o", ""],
            [
                "--seeds: given '0', allowed: a number from 1 to 9,999,999",
                "--seconds: given 'soon', allowed: a number from 1 to 86,400",
                "-o: given '', allowed: a folder that is in no folder of a store",
            ],
        ),
        (["--seconds", "nan"], ["--seconds: .*"]),
        (["--targets", "t"], ["--targets: given without DATA, allowed: only with a table .*"]),
    ],
    ids=str,
)
def test_arguments_that_are_none(here, arguments: list[str], lines: list[str], tmp_path) -> None:
    (tmp_path / "target.csv").write_bytes(TABLES["target.csv"])
    refused(here(*arguments), 2, *lines)


@pytest.mark.jit
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b,t\n0,1,0\n", "there is nothing to learn, as every row has the same target"),
        (
            "a,b,t\n0,1,yes\n1,0,yes\n",
            "there is nothing to learn, as every row has the same target",
        ),
        (
            XOR + "0,0,1\n",
            "2 rows contradict each other: equal inputs have different targets, such as rows 1 and "
            "5",
        ),
    ],
)
def test_what_cannot_be_learnt(here, text: str, told: str, tmp_path) -> None:
    (tmp_path / "own.csv").write_text(text)
    done = here(
        "own.csv", "--targets", "t", *QUICK, "--success", "rows", "-o", "out"
    )  # a page and a sweep file of that, too
    assert (done.returncode, len(Sweep.from_toml(tmp_path / "out" / "setup.toml").setups)) == (0, 1)
    assert told in (tmp_path / "out" / "diagnosis.html").read_text()
    assert " ".join(done.stdout.split()).startswith(f"Wrong no setup can learn this: {told}")


@pytest.mark.jit
@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("o", [(), ("-o", "out")])
def test_a_million_rows_are_sampled(
    here, suffix: str, o: tuple[str, ...], tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(samples, "SAMPLED", 16)
    n = 1_000_000 if suffix == "parquet" else 70_000
    a, b = np.arange(n) % 2, np.arange(n) // 2 % 2
    columns = {"a": a, "b": b, "t": a ^ b}
    if suffix == "npz":
        np.savez(tmp_path / "own.npz", X=np.column_stack([a, b]), T=(a ^ b)[:, None])
    elif suffix == "parquet":
        pq.write_table(pa.table(columns), tmp_path / "own.parquet")
    else:
        np.savetxt(
            tmp_path / "own.csv",
            np.column_stack(list(columns.values())),
            "%d",
            ",",
            header="a,b,t",
            comments="",
        )
    more = [] if suffix == "npz" else ["--targets", "t"]
    done = succeeded(here(f"own.{suffix}", *more, *QUICK, *o))
    note = (
        f"note: own.{suffix} has {n:,} rows, more than 2,048: networks are trained on 16 of them, "
        "drawn at random and numbered anew; an epoch presents each once"
    )
    assert done.stderr.splitlines()[0] == note
    assert here(f"own.{suffix}", *more, *QUICK, *o).stdout == done.stdout  # the same ones
    if o:  # the sweep file learns what was learnt
        (file,) = (tmp_path / "out").glob("*.toml")
        sweep = Sweep.from_toml(file)
        assert sweep.setups[0].rows == 16
        assert sweep.setups[0].identity() in done.stdout


@pytest.mark.soak  # kernels of so wide networks are its own
@pytest.mark.jit
def test_a_thousand_columns(here, tmp_path) -> None:
    X = np.random.default_rng(0).normal(size=(10, 1000))
    np.savetxt(
        tmp_path / "own.csv",
        np.column_stack([X, X[:, 0] > 0]),
        ["%.3f"] * 1000 + ["%d"],
        ",",
        header=",".join([*(f"x{i}" for i in range(1000)), "t"]),
        comments="",
    )
    began = time.process_time()
    assert (
        "note: no budget was given, so each run has 149 epochs (change it with --epochs or "
        "--updates)"
    ) in succeeded(here("own.csv", "--targets", "t", "--seeds", 60, "--seconds", 30)).stderr
    assert time.process_time() - began < 60  # the first time something is compiled


def test_wide_networks_have_fewer_epochs() -> None:
    wide, usual = (
        Setup.from_arrays(np.zeros((10, n)), np.arange(10) % 2, epochs=1) for n in (1000, 10)
    )
    assert (usual_epochs(wide), usual_epochs(usual)) == (149, 1000)


@pytest.mark.jit
def test_options_are_keys(here, table: str) -> None:
    done = here(table, "--targets", "t", *QUICK, "--hidden", 3, 2, "--json")
    (setup,) = Sweep.from_dict(
        {"seeds": 1, "setup": {"problem": "xor", "hidden": [3, 2], "lr": 2, "epochs": 60}}
    ).setups
    told = here(
        "xor",
        "--set",
        "hidden=[[3,2]]",
        "--set",
        "lr=2",
        "--set",
        "epochs=60",
        "--seeds",
        40,
        "--json",
    ).stdout
    assert json.loads(told)["setup"] == setup.identity()
    assert json.loads(done.stdout)["outcomes"] == json.loads(told)["outcomes"]


def test_help_on_a_terminal_without_greek_letters(tmp_path) -> None:
    done = succeeded(
        command("-h", cwd=tmp_path, program=MODULE, env=environment(PYTHONIOENCODING="ascii")),
        stderr="",
    )
    assert done.stdout.isascii()
    assert "--weight-decay" in done.stdout


@pytest.mark.jit
def test_seconds_hold_for_the_whole_command(here) -> None:
    here("--seeds", 1)  # everything is loaded
    began = time.process_time()
    done = here("parity:10", "--hidden", 8, "--epochs", 180, "--seconds", 3)
    # On cores that others share, time counts for more; without a limit it takes many minutes.
    assert time.process_time() - began < 10 * machine.available_cores()
    assert done.returncode in (0, 2)
    if done.returncode == 0:
        assert re.search(
            r"note: \d+ of 1,000 seeds of each change were trained; all would take more than "
            r"--seconds 3 allows\n",
            done.stderr,
        )
    refused(
        here("parity:16", "--hidden", 4, "--epochs", 9_000, "--seconds", 1),
        2,
        r"there is no time for even a few runs of this setup, which take about [\d,]+ s: allow "
        r"more seconds, or a smaller budget",
    )


# Own weights


@pytest.mark.jit
def test_own_weights(here, tmp_path) -> None:
    setup = Setup(problem="table:11101011", lr=0.2, order="random", updates=999)
    np.savez(tmp_path / "own.npz", **by_name(retrain(setup, 7).initial, True))
    done = succeeded(here("--weights", "own.npz", "--seeds", 168))
    text = " ".join(done.stdout.split())
    assert re.search(
        r"Weights from yours, in 200 orders of samples, \S+ converge; of 168 fresh seeds, \S+ do\.",
        text,
    )
    assert re.search(
        r"\d+% of fresh networks end with a smaller loss, and none converge: your network is \w+",
        text,
    )
    told = json.loads(here("--weights", "own.npz", "--seeds", 168, "--json").stdout)["weights"]
    assert (told["orders"], told["fresh"]) == (200, 168)
    done = here("--weights", "own.npz", "--seeds", 168, "-o", "out")
    assert (
        "Weights: from yours, in 200 orders of samples"
        in (tmp_path / "out" / "diagnosis.html").read_text()
    )


def test_weights_of_wrong_shapes(here, tmp_path) -> None:
    np.savez(tmp_path / "own.npz", W0=np.zeros((3, 4)), b0=np.zeros(4), W1=np.zeros((2, 4)))
    refused(
        here("--weights", "own.npz"),
        2,
        r"--weights, for a network 3-4-1: W0: given shape \(3, 4\), which is transposed: "
        r"W\[out, in\], needed: \(4, 3\)",
        r"--weights, for a network 3-4-1: W1: given shape \(2, 4\), needed: \(1, 4\)",
        r"--weights, for a network 3-4-1: b1: given nothing, needed: an array of shape \(1,\) .*",
    )
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with open(tmp_path / "one.npz", "wb") as file:
        np.save(file, np.zeros(3))
    os.mkfifo(tmp_path / "pipe.npz")
    for given, allowed in (
        ("pipe.npz", "a readable .npz file; it is a pipe"),
        (".", "a readable .npz file; Is a directory"),
        ("bad.npz", "a readable .npz file; .*"),
        ("one.npz", "a readable .npz file; .*"),
        ("none.npz", "an existing .npz file"),
    ):
        told = rf"--weights: given .*{re.escape(given)}.*, allowed: {allowed}"
        refused(here("--weights", given), 2, told)


# What is written


@pytest.mark.jit
def test_of_targets_that_no_output_reaches_the_sweep_scales_them(here, tmp_path) -> None:
    """No sweep would train on them as they are."""
    (tmp_path / "far.csv").write_text("x,y\n0,-3\n1,0.5\n2,5\n3,2\n")
    done = succeeded(here("far.csv", "--targets", "y", "--hidden", "2", *QUICK, "-o", "out"))
    assert "from many seeds, with targets scaled to what outputs reach: fastbp sweep" in done.stdout
    assert "fastbp replay" not in done.stdout
    for setup in Sweep.from_toml(tmp_path / "out" / "fixed.toml").setups:
        assert setup.scale_targets == "minmax" or setup.output == "linear"


@pytest.mark.parametrize(
    "keys",
    [{}, {"batch": "full"}, {"batch": "full", "success": "loss:0.1"}, {"batch": 2}]
    + [{"optimizer": name} for name in ("rprop", "adam", "quickprop")],
    ids=str,
)
def test_the_sweep_has_the_setups_that_were_diagnosed(keys: dict[str, Any]) -> None:
    """Also where other keys depend on the one that changes, or it has no value before."""
    before = Sweep(seeds=1, setup={"problem": "xor", "hidden": [2], "epochs": 40} | keys)
    (setup,) = before.setups
    for change in changes(setup):
        best = SimpleNamespace(changes=(change,), setup=changed(setup, change))
        diagnosis: Any = SimpleNamespace(setup=setup, recommended=best)
        made = {each.identity() for each in printout._sweep(diagnosis, before).setups}
        assert made == {setup.identity(), best.setup.identity()}, change


@pytest.mark.jit
def test_twice_is_the_same_bytes_and_the_sweep_runs(here, table: str, tmp_path) -> None:
    arguments = [table, "--targets", "t", *QUICK, "-o", "out"]
    first = succeeded(here(*arguments))
    files = [
        "changes.csv",
        "fixed.toml",
        "figures/changes.svg",
        "diagnosis.html",
    ]
    assert first.stderr == f"written: {', '.join(f'out/{file}' for file in files)}\n"
    kept = {file: (tmp_path / "out" / file).read_bytes() for file in files}
    again = here(*arguments)
    assert (again.stdout, again.stderr) == (first.stdout, first.stderr)
    assert {file: (tmp_path / "out" / file).read_bytes() for file in files} == kept
    # Its own commands, as they were said.
    lines = re.findall(r"fastbp (sweep|replay) (.*)", first.stdout)
    assert [name for name, _ in lines] == ["sweep", "replay"]
    for name, rest in lines:
        more = ["--seeds", "20"] if name == "sweep" else []
        assert any_command([name, *rest.split(), *more]) == 0
    page = kept["diagnosis.html"].decode()
    assert "<script" not in page
    assert "Wrong: " in page


@pytest.mark.jit
def test_nothing_is_written_without_o(here, table: str, tmp_path) -> None:
    here(table, "--targets", "t", *QUICK)
    assert {path.name for path in tmp_path.iterdir()} == {table}


@pytest.mark.jit
def test_names_and_paths_that_are_unusual(here, tmp_path) -> None:
    name = "a $x^2$ & <b> 'q'.csv"
    (tmp_path / name).write_text("a <i>,b & c,t\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n")
    succeeded(here(name, "--targets", "t", *QUICK, "-o", "to a <place>"))
    assert "<b>" not in (tmp_path / "to a <place>" / "diagnosis.html").read_text().replace(
        "<bdi>", ""
    )
    assert len(Sweep.from_toml(tmp_path / "to a <place>" / "fixed.toml").setups) == 2


@pytest.mark.jit
@pytest.mark.skipif(not os.path.exists("/proc"), reason="no place that nobody may write to")
def test_a_place_that_cannot_be_written(here, table: str, tmp_path) -> None:
    began = time.process_time()
    refused(here(table, "--targets", "t", *QUICK, "-o", "/proc/nowhere"), 4, r"/proc/nowhere: .*")
    refused(here(table, "--targets", "t", *QUICK, "-o", table), 4, rf".*{table}: .*")
    assert time.process_time() - began < 2  # before anything is trained


# Signals


@pytest.mark.jit
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once(number: int, tmp_path) -> None:
    with started("parity:8", "--epochs", "100000", cwd=tmp_path, program=MODULE) as process:
        until(
            lambda: len(list(Path(f"/proc/{process.pid}/task").iterdir())) > 3, process
        )  # it trains
        until_it_computes(process)
        err = stopped(process, number)
    assert (err.splitlines()[-1], list(tmp_path.iterdir())) == ("interrupted", [])


@pytest.mark.jit
def test_a_killed_one_leaves_nothing_half_written(table: str, tmp_path) -> None:
    with started(
        table, "--targets", "t", "-o", "out", "--seeds", "200", cwd=tmp_path, program=MODULE
    ) as process:
        until((tmp_path / "out" / "diagnosis.html").exists, process)
        process.kill()
        process.communicate()
    succeeded(
        command(
            table, "--targets", "t", "-o", "out", "--seeds", "200", cwd=tmp_path, program=MODULE
        )
    )
    whole = {
        path.name
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    assert {"changes.csv", "fixed.toml", "diagnosis.html"} <= whole


def test_the_advice_is_the_answerers() -> None:
    change, order = ANSWERED
    assert (change.keys["updates"], change.keys["lr"], order.keys) == (
        7992,
        0.1,
        {"order": "shuffled"},
    )


# The documents

DOCS = Path(__file__).parent.parent


def blocks(name: str) -> list[str]:
    """What stands in a document as text that was printed."""
    return re.findall(r"```text\n(.*?)\n```", (DOCS / name).read_text("utf-8"), re.DOTALL)


@pytest.mark.jit
def test_the_document_says_what_the_command_says_of_weights(here, tmp_path) -> None:
    *_, own = blocks("docs/diagnose.md")  # test_documents checks the others
    np.savez(
        tmp_path / "own.npz",
        **by_name(retrain(Setup(problem="xor", hidden=(2,), lr=2, epochs=1000), 1).initial, True),
    )
    done = here(
        "xor", "--hidden", 2, "--lr", 2, "--epochs", 1000, "--weights", "own.npz", "--seconds", 600
    )
    assert own in done.stdout


@pytest.mark.jit
def test_the_document_names_every_option(here) -> None:
    text = (DOCS / "docs/diagnose.md").read_text("utf-8")
    assert all(f"`{name}`" in text for name in json.loads(here("--json", "--seeds", 2).stdout))
    for option in (
        "--targets",
        "--set",
        "--weights",
        "--seeds",
        "--seconds",
        "-o DIR",
        "--json",
        "--hidden",
    ):
        assert option in text


def test_a_table_is_not_overwritten_by_the_table_of_changes(tmp_path, here):
    """It has the same name, and lies in the folder that the result goes into."""
    text = "a,y\n" + "0,1\n1,0\n" * 4
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "changes.csv").write_text(text)
    done = here("own/changes.csv", "--targets", "y", "-o", "own", "--seconds", "1")
    refused(
        done, 2, r"DATA: given 'own/changes.csv', allowed: a file that -o does not overwrite: .*"
    )
    assert (tmp_path / "own" / "changes.csv").read_text() == text
    assert [entry.name for entry in (tmp_path / "own").iterdir()] == ["changes.csv"]


GAPS = "a,b,y\n1,2,0\n3,4,1\n,8,1\n5,6,0\n"
FAST = ["--targets", "y", "--hidden", "1", "--epochs", "1", "--seeds", "2", "--seconds", "1"]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("own/t.csv", "learnt-3"),
        ("own/learnt/t.csv", "learnt-3"),
        ("in/t.csv", "learnt-3"),
        ("in/link.csv", "learnt"),
    ],
)
def test_a_copy_of_a_table_takes_the_place_of_nothing(tmp_path, here, data, place) -> None:
    """The table has gaps, so another one is learnt: it goes into the folder of the result."""
    others = {"own/t.csv": GAPS, "own/link.csv": GAPS, "own/learnt/t.csv": GAPS + "7,8,1\n"}
    tree(tmp_path, {**others, "in/t.csv": "a,b,y\n9,9,\n" + GAPS[6:], "other/x": "theirs"})
    (tmp_path / "in" / "link.csv").symlink_to("../own/link.csv")
    (tmp_path / "own" / "learnt-2").symlink_to("../other")
    before = {name: (tmp_path / name).read_text() for name in [*others, "in/t.csv", "other/x"]}
    for _ in range(2):
        here(data, *FAST, "-o", "own")
        assert {name: (tmp_path / name).read_text() for name in before} == before
        assert [path.name for path in (tmp_path / "other").iterdir()] == ["x"]
        copy = tmp_path / "own" / place / Path(data).name
        assert copy.read_text() == "a,b,y\n1,2,0\n3,4,1\n5,6,0\n" + "7,8,1\n" * ("learnt" in data)
        assert not (tmp_path / "own" / "learnt-4").exists()


def test_files_that_come_meanwhile_are_not_replaced(tmp_path) -> None:
    tree(tmp_path, {"changes.csv": "mine"})
    with pytest.raises(StoreFullError, match=r"changes\.csv came into it meanwhile"):
        printout._write({tmp_path / "changes.csv": b"ours"}, tmp_path)
    assert contents_of(tmp_path) == {"changes.csv": b"mine"}


@pytest.mark.parametrize(
    "name", ["setup.toml", "changes.csv", "diagnosis.html", "figures", "figures/changes.svg"]
)
def test_a_folder_with_such_files_of_another_program_is_refused(tmp_path, here, name) -> None:
    (tmp_path / "own").mkdir()
    if name == "figures":
        (tmp_path / "theirs").mkdir()
        (tmp_path / "own" / name).symlink_to("../theirs")
    else:
        tree(tmp_path, {f"own/{name}": "mine"})
    with unchanged(tmp_path):
        refused(
            here("xor", *FAST[2:], "-o", "own"),
            2,
            f"-o: given 'own', where {name} would be replaced, allowed: a folder of earlier .*",
        )
