"""The line about each mistake in a sweep file."""

import os
import time
from io import BufferedReader
from pathlib import Path
from typing import Any

import pytest
from sweep_texts import HEAD, XOR, line_of, lines_of, mistakes_of

from fastbp.config.sweep import Sweep
from fastbp.schema import text as text_module
from fastbp.schema.keys import KEYS
from fastbp.store import safe_files
from fastbp.sweep import main

ALL_KEYS = ", ".join(KEYS)


SEEDS_ARE = "allowed: an integer from 1, or {start = S, count = N} with S ≥ 0 and S + N ≤ 2^63"


RATES = "allowed: a number > 0 and ≤ 1,000,000"


LAYERS = "allowed: a list of 1 to 16 items, each an integer from 1 to 4,096"


TENS = [i / 1000 for i in range(1, 1001)]


MANY_TWICE = (
    f"setup.optimizer: given 'adam:{'eps=1,' * 8}eps=1…, allowed: eps once, "
    "adam:beta1=BETA1,beta2=BETA2,eps=EPS, not 'x', not 'x', not ''"
)


HUGE_GRID = f"[grid]\nlr = {TENS}\ninit_scale = {TENS[:100]}\nmomentum = {TENS[:100]}"


def problem(text: str) -> str:
    return XOR.replace("xor", text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "seeds 10",
            "not TOML: Expected '=' after a key in a key/value pair (at line 1, column 7)",
        ),
        ("x = " + "[" * 100_000, "nested too deeply, allowed: the tables setup and grid"),
        (XOR + "lrr = 0.1", f"setup.lrr: unknown key, allowed: {ALL_KEYS}; did you mean 'lr'?"),
        (
            XOR + 'order = "shufled"',
            "setup.order: given 'shufled', allowed: random, shuffled, cyclic, blocked:K; did "
            "you mean 'shuffled'?",
        ),
        (XOR + 'lr = "0.1"', f"setup.lr: given '0.1', {RATES}"),
        (XOR + f"optimizer = 'adam:{'eps=1,' * 30_000}{'x,' * 30_000}'", MANY_TWICE),
        (XOR + "lr = true", f"setup.lr: given true, {RATES}"),
        (XOR + "lr = nan", f"setup.lr: given nan, {RATES}"),
        (XOR + "lr = inf", f"setup.lr: given inf, {RATES}"),
        (XOR + "lr = 1e400", f"setup.lr: given inf, {RATES}"),
        (XOR + "lr = -0.1", f"setup.lr: given -0.1, {RATES}"),
        (XOR + "lr = 0", f"setup.lr: given 0, {RATES}"),
        (XOR + "lr = 1" + "0" * 4000, f"setup.lr: given an integer of 4,001 digits or so, {RATES}"),
        (XOR + "lr = 1" + "0" * 5000, "lr: an integer of more than 4,300 digits in line 5"),
        (
            XOR + "[grid]\nproblem = [0x" + "f" * 4000 + "]",
            "grid.problem: given an integer of 4,817 digits or so, "
            "allowed: table:BITS, xor, parity:D, encoder:N, file:PATH",
        ),
        (XOR + "hidden = []", f"setup.hidden: given [], {LAYERS}"),
        (XOR + "hidden = [0]", f"setup.hidden: given [0], {LAYERS}"),
        (XOR + "hidden = [1_000_000_000]", f"setup.hidden: given [1000000000], {LAYERS}"),
        (
            problem("table:01x1"),
            "setup.problem: given 'table:01x1', allowed: table:BITS; bits must be 0 or 1, "
            "given '01x1'",
        ),
        (
            problem("table:011"),
            "setup.problem: given 'table:011', allowed: table:BITS; "
            "the number of bits must be a power of two from 2 to 65,536, given 3",
        ),
        (
            problem("parity:60"),
            "setup.problem: given 'parity:60', allowed: d an integer from 1 to 16",
        ),
        (
            XOR + "epochs = 9",
            "setup.epochs: given together with updates, allowed: only one of the two",
        ),
        (
            XOR.replace("updates", "# "),
            "setup.updates: not given, allowed: one of updates and epochs",
        ),
        (XOR.replace("10", "0"), f"seeds: given 0, {SEEDS_ARE}"),
        (XOR.replace("10", str(2**63 + 1)), f"seeds: given 9223372036854775809, {SEEDS_ARE}"),
        (
            XOR.replace("10", f"{{start = {2**63 - 1}, count = 2}}"),
            f"seeds: given {{start = 9223372036854775807, count = 2}}, {SEEDS_ARE}",
        ),
        (XOR + "batch = 0", "setup.batch: given 0, allowed: an integer from 1 to 65,536 or full"),
        (XOR + "batch = 5", "setup.batch: given 5, allowed: at most the 4 rows of xor, or 'full'"),
        (XOR + "[grid]\nlr = []", "grid.lr: given [], allowed: a list of one or more values"),
        (XOR + HUGE_GRID, "grid: given 10,000,000 setups, allowed: at most 100,000"),
        (XOR + "momentum = 1", "setup.momentum: given 1, allowed: a number ≥ 0 and < 1"),
        (XOR + "tolerance = 0", "setup.tolerance: given 0, allowed: a number > 0 and ≤ 0.5"),
        (
            XOR + 'schedule = "cosine:warmup=250"',
            "setup.schedule: given 'cosine:warmup=250', allowed: warmup less than the budget "
            "of 250 epochs",
        ),
        (
            XOR + 'schedule = "step:every=0,factor=0.5"',
            "setup.schedule: given 'step:every=0,factor=0.5', allowed: every an integer from 1 "
            "to 1,000,000,000,000",
        ),
        (
            'title = "a\\u0000b"\n' + XOR,
            "title: given 'a\\x00b', allowed: a string of at most 1,000 printable characters",
        ),
    ],
    ids=lambda value: text_module.plain(value, 40),
)
def test_bad_input(text: str, line: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    assert line_of(text) == f"bad.toml: {line}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(text)
    begun = time.process_time()
    for options in ([], ["--dry-run"]):
        assert main(["bad.toml", *options]) == 2
        assert capsys.readouterr() == ("", f"fastbp: bad.toml: {line}\n")
    assert time.process_time() - begun < 5
    assert [file.name for file in tmp_path.iterdir()] == ["bad.toml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr = [0.1, 0.2]", "setup.lr: given [0.1, 0.2], "),
        ("lr = {a = 1}", "setup.lr: given {a = 1}, "),
        ("lr = 2024-01-01", "setup.lr: given 2024-01-01, "),
        ("learning_rate = 0.1\nlr = 0.1", "setup.learning_rate: unknown key, allowed: problem, "),
        ("hiden = [4]", "setup.hiden: unknown key, "),
        ("hiden = [4]", "; did you mean 'hidden'?"),
        ("seeds = 3", "; did you mean 'seeds' before [setup]?"),
        ('"a\\nb" = 3', "setup.a\\nb: unknown key"),
        (
            "hidden = [4096, 4096]",
            "setup.hidden: given [4096, 4096], allowed: at most 1,000,000 parameters; "
            "3-4096-4096-1 has ",
        ),
        ("hidden = [4.5]", "setup.hidden: given [4.5], "),
        ("hidden = [true]", "setup.hidden: given [true], "),
        (f"hidden = {[4] * 17}", "setup.hidden: given [4, 4, 4"),
        ("bias = 1", "setup.bias: given 1, allowed: true or false"),
        (
            'init = "grid"',
            "setup.init: given 'grid', allowed: grid:side=SIDE,x=X,y=Y,origin=ORIGIN",
        ),
        (
            'init = "grid:side=1,x=0,y=1"',
            "setup.init: given 'grid:side=1,x=0,y=1', allowed: side an integer from 2 to 4,000",
        ),
        (
            'init = "grid:side=9,x=3,y=3"',
            "setup.init: given 'grid:side=9,x=3,y=3', allowed: x and y that differ",
        ),
        (
            'init = "grid:side=9,x=20,y=21"',
            "setup.init: given 'grid:side=9,x=20,y=21', allowed: x and y below the 21 "
            "parameters of 3-4-1",
        ),
        (
            'bias = false\ninit = "grid:side=9,x=0,y=12"',
            "setup.init: given 'grid:side=9,x=0,y=12', allowed: x and y of weights where bias "
            "= false",
        ),
        ('hidden = [0]\ninit = "grid:side=9,x=0,y=30"', "setup.hidden: given [0], "),
        (
            "batch = 9",
            "setup.batch: given 9, allowed: at most the 8 rows of table:11101011, or 'full'",
        ),
        (
            'batch = "ful"',
            "setup.batch: given 'ful', allowed: an integer from 1 to 65,536 or full; did you "
            "mean 'full'?",
        ),
        ('reduction = "average"', "setup.reduction: given 'average', allowed: one of sum, mean"),
        ('stop = "convergd"', "; did you mean 'converged'?"),
        ('dtype = "float16"', "setup.dtype: given 'float16', allowed: one of float64, float32"),
        ('scale_inputs = "Standard"', "; did you mean 'standard'?"),
        ("weight_decay = -1e-9", "setup.weight_decay: given -1e-09, "),
        ("prime_offset = -1", "setup.prime_offset: given -1, "),
        ("init_scale = 0.0", "setup.init_scale: given 0.0, "),
        ("target_margin = 0.5", "setup.target_margin: given 0.5, allowed: a number ≥ 0 and < 0.5"),
        ("tolerance = 0.6", "setup.tolerance: given 0.6, "),
        ("collapse = 1", "setup.collapse: given 1, allowed: a number > 0 and < 1"),
        ("eval_every = 0", "setup.eval_every: given 0, "),
        ('targets = ["y"]', "setup.targets: given ['y'], allowed: only with problem = 'file:PATH'"),
        (
            'schedule = "cosine:warmup=125"',
            "setup.schedule: given 'cosine:warmup=125', allowed: warmup less than the budget "
            "of 125",
        ),
        ("[grid]\nlr = 0.1", "bad.toml: grid.lr: given 0.1, allowed: a list of one or more values"),
        ("[grid]\nlr = [0.1, -2, 0.3]", "bad.toml: grid.lr: given -2, "),
        ("[grid]\nlrr = [0.1]", "bad.toml: grid.lrr: unknown key, "),
        ("[grid]\nhidden = [4, [8, 0]]", "bad.toml: grid.hidden: given [8, 0], "),
        (
            "[grid]\ncollapse = [0.1, 0.2]",
            "bad.toml: grid.collapse: given a list, allowed: one value in [setup]",
        ),
        (
            "[grid]\nupdates = [9]\nepochs = [9]",
            "bad.toml: grid.epochs: given together with updates",
        ),
        ("[[grid]]\nlr = [1]\n[[grid]]\nlr = [0]", "bad.toml: grid[2].lr: given 0, "),
        ("[grid.deeper]\nlr = [1]", "bad.toml: grid.deeper: unknown key, "),
        ("[grid.lr]\nlr = [1]", "bad.toml: grid.lr: given {lr = [1]}, allowed: a list"),
        ("[other]\nlr = [1]", "bad.toml: other: unknown key, allowed: title, seeds, setup, grid"),
        ("[gird]\nlr = [1]", "; did you mean 'grid'?"),
    ],
)
def test_one_mistake_is_one_line(text: str, said: str) -> None:
    line = line_of(HEAD + "updates = 999\n" + text)
    assert said in line
    assert line.startswith("bad.toml: ")
    assert len(line) < 500


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "bad.toml: seeds: not given, allowed: an integer from 1, or {start = S, count = N}"),
        ("", "bad.toml: setup.problem: not given, allowed: table:BITS, xor"),
        ("", "bad.toml: setup.updates: not given, allowed: one of updates and epochs"),
        ("seeds = true", "seeds: given true, "),
        ("seeds = -5", "seeds: given -5, "),
        ("seeds = 1.5", "seeds: given 1.5, "),
        ('seeds = "many"', "seeds: given 'many', "),
        (f"seeds = {2**63 + 1}", "seeds: given 9223372036854775809, "),
        (
            f"seeds = {{start = {2**63 - 1}, count = 2}}",
            "seeds: given {start = 9223372036854775807, count = 2}, ",
        ),
        ("seeds = {start = -1, count = 2}", "seeds: given {start = -1, count = 2}, "),
        ("seeds = {start = 3}", "seeds: given {start = 3}, "),
        ("seeds = {begin = 3, count = 3}", "seeds: given {begin = 3, count = 3}, "),
        ("seeds = 10\nsetup = 3", "bad.toml: setup: given 3, allowed: a table"),
        ("seeds = 10\ngrid = [3]", "bad.toml: grid: given [3], allowed: a table"),
        (
            "lr = 0.1",
            "bad.toml: lr: unknown key, allowed: title, seeds, setup, grid, published; did you "
            "mean 'setup.lr'?",
        ),
        (
            "seed = 10",
            "bad.toml: seed: unknown key, allowed: title, seeds, setup, grid, published; did "
            "you mean 'seeds'?",
        ),
        ("title = 3", "bad.toml: title: given 3, allowed: a string"),
        ('title = "a\\nb"', "bad.toml: title: given 'a\\nb', allowed: a string"),
        ('title = "a\\u2028b"', "bad.toml: title: given 'a\\u2028b', allowed: a string"),
        (
            "[[grid]]\n[[grid]]\nepochs = [3]\nproblem = ['xor']",
            "bad.toml: grid[1].updates: not given",
        ),
        (
            "seeds 10",
            "bad.toml: not TOML: Expected '=' after a key in a key/value pair (at line 1, "
            "column 7)",
        ),
        (
            "order = random",
            "bad.toml: not TOML: Invalid value (at line 1, column 9); put texts in quotes",
        ),
        ("a = 1\na = 2", "bad.toml: not TOML: Cannot overwrite a value"),
        ("a = '\0'", "bad.toml: not TOML: "),
        ("x = " + "[" * 100_000, "bad.toml: nested too deeply"),
        ("x = " + "{a=" * 100_000, "bad.toml: nested too deeply"),
        ("[" + ".".join("a" * 30_000) + "]", "bad.toml: nested too deeply"),
        ("[" + ".".join([r'"a\""'] * 30_000) + "]", "bad.toml: nested too deeply"),
        ("x = [1, {" + "'a' . " * 30_000 + "a = 1}]", "bad.toml: nested too deeply"),
        ("[" + ".".join("a" * 20) + "]", "bad.toml: a: unknown key"),
        (
            "setup." + ".".join(["lr"] * 19) + " = 3",
            "bad.toml: setup.lr: given {lr = {lr = {lr = …}}}, ",
        ),
        (
            "seeds = [\n" + "1" * 5000 + "]",
            "bad.toml: seeds: an integer of more than 4,300 digits in line 2",
        ),
    ],
)
def test_mistakes_outside_the_setup(text: str, said: str) -> None:
    lines = lines_of(text)
    assert [line for line in lines if said in line], lines


def test_all_mistakes_are_reported_once() -> None:
    text = """
        titel = "x"
        seeds = 0
        [setup]
        problem = "table:0110"
        lr = -1
        hidden = []
        order = "rndom"
        batch = 5
        updates = 10
        [grid]
        momentum = [0.5, 1, 0.1, 1]
        init_scale = [1, 2, 3, true]
        stop = ["budget", "convergd"]
    """
    keys = [
        "titel",
        "seeds",
        "setup.lr",
        "setup.hidden",
        "setup.order",
        "grid.momentum",
        "grid.init_scale",
        "grid.stop",
        "setup.batch",
    ]
    assert [line.split(": ")[1] for line in lines_of(text)] == keys


def test_wrong_values_hide_no_conflicts_and_make_none() -> None:
    wrong = 'seeds = 1\n[setup]\nproblem = "xor"\nupdates = 9\nlr = 0\nbatch = 5'
    assert [line.split(": ")[1] for line in lines_of(wrong)] == ["setup.lr", "setup.batch"]
    # Without its misspelt batch this budget would be too many epochs; without its problem, this
    # batch too large.
    assert "setup.batch" in line_of(
        'seeds = 1\n[setup]\nproblem = "parity:12"\nupdates = 999_999_999_999\nbatch = "ful"'
    )
    assert "grid.problem" in line_of(
        'seeds = 1\n[setup]\nproblem = "xor"\nupdates = 9\nbatch = 8\n'
        '[grid]\nproblem = ["parity:33"]'
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"title = '\xff'", "not UTF-8 text: byte 0xff in line 1, allowed: TOML"),
        (b"\n\n\x80", "not UTF-8 text: byte 0x80 in line 3"),
        (b"#" * 4_000_001, "more than 4,000,000 bytes"),
        (b"PK\x03\x04\x00", "not TOML: "),
    ],
)
def test_unreadable_files(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    (line,) = mistakes_of(Sweep.from_toml, path)
    assert line.startswith(f"{path}: {said}")


def test_paths_that_are_not_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert mistakes_of(Sweep.from_toml, tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    assert mistakes_of(Sweep.from_toml, pipe) == [f"{pipe}: cannot be read: it is a pipe"]
    assert mistakes_of(Sweep.from_toml, "a\0b") == [r"a\x00b: no such file"]
    reading, writing = os.pipe()
    os.set_blocking(reading, False)  # as some files in /proc, and those of some shares
    with open(writing, "wb", buffering=0) as file:
        file.write(b"a part")
        monkeypatch.setattr(
            safe_files, "named", lambda path: BufferedReader(safe_files._Prompt(reading))
        )
        (line,) = mistakes_of(Sweep.from_toml, "a")
    assert line == "a: cannot be read: it would have to be waited for"


def test_a_file_from_a_windows_editor(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + "updates = 9\n").replace("\n", "\r\n").encode())
    assert Sweep.from_toml(path).setups[0].updates == 9


def test_a_mistake_that_a_grid_repeats_is_reported_once() -> None:
    rates = [i / 1000 for i in range(1, 500)]
    line = line_of(
        HEAD + f'batch = 9\nupdates = 9\nschedule = "cosine:warmup=99"\n[grid]\nlr = {rates}'
    )
    assert "setup.batch" in line
    two = lines_of(
        HEAD + f"updates = 9\n[grid]\nlr = {rates}\nbatch = [1, 9, 10]\nmomentum = [0, 0.5]"
    )
    assert [line.partition(",")[0] for line in two] == [
        "bad.toml: grid.batch: given 9",
        "bad.toml: grid.batch: given 10",
    ]
    many = (
        f"batch = 9\nupdates = 9\n[grid]\nlr = {rates}\n"
        f"init_scale = {[i / 10 for i in range(1, 6)]}"
    )
    end = "bad.toml: after 2,000 mistakes, with repeats, no more were looked for"
    assert lines_of(HEAD + many)[1:] == [end]
    unsaid = many.replace("batch = 9", 'output = "softmax"') + '\nloss = ["l1"]'
    assert lines_of(HEAD + unsaid)[-1] == end
