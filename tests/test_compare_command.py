"""`fastbp compare` as a user runs it, on stores that nobody trained."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sample_frames as frames
from commands import answer_of, in_process, refused, succeeded, tables_of
from stores import contents_of, unchanged

from fastbp.analysis.comparison import comparison
from fastbp.compare import main

here = in_process(main)

REMEDY = (
    r"`fastbp verify a --repair` moves damaged files aside; the same sweep then trains them again"
)


def store(folder: Path, seed: int = 0, problem: str = "xor") -> Path:
    for i, lr in enumerate((0.1, 0.2)):
        rng = np.random.default_rng([seed, i])
        frames.write(
            folder,
            frames.table(
                {"lr": lr, "problem": problem},
                frames.mixed(60, rng, 0, 0.3 + 0.5 * (seed > 0), 0.1, 0.1, 0.5 - 0.5 * (seed > 0)),
            ),
        )
    return folder


@pytest.fixture
def both(tmp_path):
    return store(tmp_path / "a"), store(tmp_path / "b", 1)


def test_says_what_moved_and_writes_nothing(here, both, tmp_path):
    with unchanged(tmp_path):
        done = succeeded(here("a", "b"), stderr="")
        assert here("a/", "./b").stdout == done.stdout
    answer, (table,) = answer_of(done.stdout), tables_of(done.stdout)
    assert table[0].split()[:3] == ["lr", "runs", "converged"]
    assert table[1].endswith("moved")
    assert answer[0].startswith(
        "The share converged moved in 2 of 2 setups that both have, most by +"
    )
    assert answer[0].endswith(", with lr 0.1.")


def test_a_page_its_table_and_its_picture(here, both, tmp_path):
    done = succeeded(here("a", "b", "-o", "deep/out"))
    names = ["compare.csv", "compare.html", "figures/compare.svg"]
    assert sorted(contents_of(tmp_path / "deep" / "out")) == names
    assert done.stderr == "".join(
        f"written: deep/out/{name}\n" for name in [names[0], names[2], names[1]]
    )
    table = pd.read_csv(
        "deep/out/compare.csv", dtype={"setup_a": str, "setup_b": str, "identical": "boolean"}
    )
    pd.testing.assert_frame_equal(table, comparison(*both), check_dtype=False)
    html = Path("deep/out/compare.html").read_text()
    assert all(f"<p>{paragraph}</p>" in html for paragraph in answer_of(done.stdout))
    assert "<script" not in html
    assert {*re.findall(r'href="([^"#]+)"', html)} == {*names[:1], *names[2:], "data:,"}


def test_the_same_bytes_twice(here, both, tmp_path):
    for folder in ("one", "two"):
        assert here("a", "b", "-o", folder).returncode == 0
    assert contents_of(tmp_path / "one") == contents_of(tmp_path / "two")


def test_the_same_store_twice(here, both, tmp_path):
    done = succeeded(here("a", "a", "-o", "out"))
    assert done.stdout.count("same rows") == 2
    assert answer_of(done.stdout)[-1].endswith("In all of them every row is the same, bit for bit.")


def test_nothing_in_common_is_no_mistake(here, tmp_path):
    store(tmp_path / "a")
    store(tmp_path / "b", problem="parity:3")
    assert answer_of(succeeded(here("a", "b", "-o", "out")).stdout) == [
        "a and b have no setup in common: there is nothing to compare.",
        "The stores differ in problem (xor and parity:3): try `fastbp compare --vary problem a b`",
    ]


def test_two_stores_over_a_key_that_differs_on_purpose(here, both, tmp_path):
    for name, momentum in (("zero", 0.0), ("more", 0.9)):
        for lr in (0.1, 0.2):
            ends = ["converged"] * 50 * (momentum > 0) + ["partial"] * (60 - 50 * (momentum > 0))
            frames.write(tmp_path / name, frames.table({"lr": lr, "momentum": momentum}, ends))
    assert answer_of(succeeded(here("zero", "more")).stdout) == [
        "zero and more have no setup in common: there is nothing to compare.",
        "The stores differ in momentum (0 and 0.9): try `fastbp compare --vary momentum zero more`",
    ]
    assert re.search(
        r"from 0% in zero \(momentum 0\) to 83\.3% in more \(momentum 0\.9\), with lr 0\.1.*"
        r" In the table, → goes from zero \(momentum 0\) to more \(momentum 0\.9\)\. ",
        " ".join(succeeded(here("--vary", "momentum", "zero", "more", "-o", "out")).stdout.split()),
    )
    assert pd.read_csv("out/compare.csv")["momentum_b"].tolist() == [0.9, 0.9]
    refused(
        here("--vary", "momentun", "zero", "more"),
        2,
        r"--vary: given 'momentun', allowed: a key of \[setup\]; did you mean 'momentum'\?",
    )
    refused(
        here("--vary", "order", "a", "b"), 2, "--vary: given 'order', allowed: a key in which .*"
    )


def test_only_the_strongest_are_on_the_page(here, tmp_path):
    for name, outcome in (("a", "partial"), ("b", "converged")):
        for i in range(45):
            frames.write(
                tmp_path / name,
                frames.table({"lr": 0.1 + i}, [outcome if i == 44 else "partial"] * 9),
            )
    (table,) = tables_of(here("a", "b", "-o", "out").stdout)
    assert len(table) == 27, "the titles, 24 setups, what is left out, and how many more there are"
    assert table[-1] == "… and 21 more in out/compare.csv"
    html = (tmp_path / "out" / "compare.html").read_text()
    assert "The 40 of 45 setups that moved most." in html
    assert len(pd.read_csv(tmp_path / "out" / "compare.csv")) == 45
    assert "44.1" in html


def test_two_files_with_the_same_seeds(here, both, tmp_path):
    store(tmp_path / "a", 2)
    refused(
        here("a", "b"),
        3,
        rf"a/runs/\S+\.parquet and \S+\.parquet have runs of the same seeds: {REMEDY}",
    )


def test_not_writable(here, both, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "compare.csv").mkdir(parents=True)
    (tmp_path / "full" / "figures").mkdir(parents=True)
    (tmp_path / "full" / "figures" / "compare.svg").mkdir()
    refused(here("a", "b", "-o", "file"), 4, "file: Not a directory")
    refused(here("a", "b", "-o", "file/below"), 4, "file/below: Not a directory")
    refused(here("a", "b", "-o", "taken"), 4, "taken/compare.csv: Is a directory")
    refused(here("a", "b", "-o", "full"), 4, "full/figures/compare.svg: Is a directory")
    assert sorted(os.listdir(tmp_path / "taken")) == ["compare.csv"], "no draft is left"
    if os.path.isdir(
        "/proc/self"
    ):  # where no folder can be made, and the system says that there is none
        refused(
            here("a", "b", "-o", "/proc/nowhere"), 4, "/proc/nowhere: No such file or directory"
        )


def test_bad_usage(here, both, tmp_path):
    (tmp_path / "a" / "figures").symlink_to("../theirs")
    (tmp_path / "a" / "lock").touch()
    deep = "d/" * 2_100
    refused(here("a", "b", "-o", deep), 4, f"{deep[:-1]}: File name too long")
    refused(
        here("a", "b", "-o", "a/figures"),
        2,
        "-o: given 'a/figures', allowed: a folder that is in no folder of a store",
    )
    refused(
        here("a", "b", "-o", ""),
        2,
        "-o: given '', allowed: a folder that is in no folder of a store",
    )


def test_names_are_only_names(here, tmp_path):
    """Of folders and of problems; a folder's name is bytes that need be no text."""
    names = ["<script>alert('$x$')</script>"[:-9] + "&amp;", "a\nb\x1b[2J \u202e", "\u4e2d" * 60]
    names += [os.fsdecode(b"\xff\xfe")]
    problem = "file:<script>\"'&$\\frac{$\u05d0\u4e2d\u202e\x1b[31m\n" + "x" * 10_000
    for i, name in enumerate(names):
        store(tmp_path / name, i % 2, problem)
    frames.write(tmp_path / names[0], frames.table({"problem": "xor"}, ["partial"]))
    for one, other in zip(names, names[1:] + names[:1], strict=True):
        done = succeeded(here(one, other, "-o", f"out{names.index(one)}"))
        assert not set("\x1b\u202e") & set(done.stdout + done.stderr)
        html = (tmp_path / f"out{names.index(one)}" / "compare.html").read_text()
        assert "<script" not in html
        assert "\x1b" not in html
        assert len(html) < 500_000
