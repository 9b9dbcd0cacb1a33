"""What `fastbp.load` gives: a DataFrame that shows first what its runs differ in."""

import copy
import pickle
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sample_frames as frames

import fastbp
from fastbp.store import parquet
from fastbp.store.load import RunsFrame


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for lr in (0.1, 0.2):
        frames.write(tmp_path, frames.table({"lr": lr}, ["partial", "converged"] * 10), parts=2)
    return tmp_path


@pytest.fixture
def runs(store: Path) -> pd.DataFrame:
    return fastbp.load(store)


def test_is_what_pandas_reads(runs: pd.DataFrame, store: Path) -> None:
    read = pd.read_parquet(store / "runs").sort_values(["setup", "seed"], ignore_index=True)
    assert runs.columns.tolist() == read.columns.tolist()
    pd.testing.assert_frame_equal(pd.DataFrame(runs), read, check_dtype=False)
    assert runs["converged_at"].dtype == "Int64"
    assert fastbp.load(str(store)).equals(runs)


@pytest.mark.parametrize("said", ["{", "[]", '{"index_columns": ["seed"], "columns": []}'])
def test_what_a_file_tells_pandas_of_its_columns_is_no_matter(
    store: Path, runs: pd.DataFrame, said: str
) -> None:
    """pandas would take columns as an index, or fail."""
    for file in (store / "runs").iterdir():
        rows, footer = parquet.read_as_written(file)
        file.write_bytes(parquet.encode(rows, footer | {"pandas": said})[0])
    assert fastbp.load(store).equals(runs)


def test_shows_what_its_runs_differ_in(runs: pd.DataFrame) -> None:
    lines = repr(runs).splitlines()
    assert lines[0].split() == [
        "lr",
        "setup",
        "seed",
        "outcome",
        "updates_done",
        "converged_at",
        "loss",
        "spread",
        "max_error",
    ]
    assert lines[-2] == ""
    assert lines[-1].startswith(
        f"40 runs of 2 setups; {len(runs.columns) - 9} more columns. In all: problem "
        "table:11101011, "
    )
    assert ", order random, " in lines[-1]
    assert " targets " not in lines[-1], "null says nothing"
    assert "rows x" not in repr(runs)
    assert str(runs) == repr(runs)


def test_one_run(tmp_path: Path) -> None:
    frames.write(tmp_path, frames.table({}, ["partial"]))
    assert "\n\n1 run of 1 setup; 52 more columns. In all: problem table:11101011, " in repr(
        fastbp.load(tmp_path)
    )


def test_what_is_made_of_it_is_a_plain_frame(runs: pd.DataFrame) -> None:
    assert type(runs) is RunsFrame
    made = (
        runs.head(),
        runs[runs["lr"] == 0.1],
        runs[["seed", "loss"]],
        runs.copy(),
        runs.assign(x=1),
        runs.drop(columns="lr"),
        runs.sort_values("loss"),
        runs.reset_index(),
        pd.concat([runs, runs]),
        runs.merge(runs, on=["setup", "seed"]),
        runs.groupby("lr").head(2),
        runs.iloc[:3],
        runs.loc[:3],
        runs.query("lr == 0.1"),
        runs.astype({"loss": "float32"}),
    )
    assert {type(each) for each in made} == {pd.DataFrame}
    assert type(runs["seed"]) is pd.Series
    assert repr(runs.head()) == repr(pd.DataFrame(runs).head())


def test_is_a_frame_for_everything_else(runs: pd.DataFrame, tmp_path: Path) -> None:
    assert isinstance(runs, pd.DataFrame)
    pd.testing.assert_frame_equal(runs, runs.copy(), check_frame_type=False)
    for again in (pickle.loads(pickle.dumps(runs)), copy.copy(runs), copy.deepcopy(runs)):
        assert again.equals(runs)
    runs.to_parquet(tmp_path / "again.parquet")
    assert pd.read_parquet(tmp_path / "again.parquet")["seed"].tolist() == runs["seed"].tolist()
    for table in (fastbp.summary, fastbp.contrasts, fastbp.attribution, fastbp.survival):
        pd.testing.assert_frame_equal(table(runs), table(pd.DataFrame(runs)))
    assert fastbp.comparison(runs, runs)["difference"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "column", ["setup", "seed", "outcome", "lr", "problem", "max_error", "outputs"]
)
def test_columns_that_are_gone(runs: pd.DataFrame, column: str) -> None:
    del runs[column]
    assert type(runs) is RunsFrame
    assert column not in repr(runs).split("\n", 1)[0].split()
    assert ("In all: " in repr(runs)) == (column != "setup")
    assert "<table" in runs._repr_html_()


def test_only_some_columns_are_left(runs: pd.DataFrame) -> None:
    for column in runs.columns.difference(["setup", "loss"]):
        del runs[column]
    assert repr(runs).endswith("\n\n40 runs of 2 setups.")
    del runs["setup"]
    del runs["loss"]
    assert "Empty DataFrame" in repr(runs)
    assert "<table" in runs._repr_html_()


def test_no_rows(runs: pd.DataFrame) -> None:
    none = RunsFrame(runs.iloc[:0])
    assert repr(none).endswith(f"0 runs of 0 setups; {len(runs.columns) - 8} more columns.")
    assert "<p>0 runs of 0 setups; " in none._repr_html_()


def test_columns_that_are_added(runs: pd.DataFrame) -> None:
    runs["mine"] = np.arange(len(runs))
    assert type(runs) is RunsFrame
    assert "mine" not in repr(runs).split("\n", 1)[0]
    assert f"{len(runs.columns) - 9} more columns" in repr(runs)


@pytest.fixture
def hostile(tmp_path: Path) -> pd.DataFrame:
    frames.write(
        tmp_path,
        frames.table(
            {"problem": "file:<script>alert(1)</script>&\"'$\x1b[2J\n\u202e.csv"}, ["partial"] * 3
        ),
    )
    return fastbp.load(tmp_path)


def test_are_one_line_of_a_terminal(hostile: pd.DataFrame) -> None:
    last = repr(hostile).splitlines()[-1]
    assert last.startswith("3 runs of 1 setup; ")
    assert "problem file:<script>alert(1)</script>&\"'$?[2J??.csv, target_kind auto" in last


def test_are_only_text_in_a_notebook(hostile: pd.DataFrame, tmp_path: Path) -> None:
    frames.write(tmp_path, frames.table({"problem": "xor"}, ["partial"]))
    for runs in (hostile, fastbp.load(tmp_path)):  # once as what all have, once in cells
        html = runs._repr_html_()
        assert "<script" not in html
        assert "&lt;script&gt;" in html
        tags: set[str] = set()

        class Reader(HTMLParser):
            def handle_starttag(self, tag: str, attrs: object) -> None:
                tags.add(tag)  # noqa: B023

        Reader().feed(html)
        assert tags <= {"table", "thead", "tbody", "tr", "th", "td", "p", "div"}


def test_notebooks_show_few_rows(runs: pd.DataFrame) -> None:
    html = runs._repr_html_()
    assert 10 < html.count("<tr") < 15
    assert html.endswith(".</p>")
    assert "<p>40 runs of 2 setups; " in html
