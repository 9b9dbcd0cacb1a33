"""A table of one's own from beginning to end: Fisher's iris as a CSV file, through the command, to
pandas as in the README."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp import replay
from fastbp.schema.columns import COLUMNS
from fastbp.sweep import main

pytestmark = pytest.mark.jit  # trains for minutes without

SWEEP = """
title = "Does scaling the inputs matter on iris?"
seeds = 320

[setup]
problem = "file:iris.csv"
targets = ["species"]
hidden = [3]
lr = 0.1
epochs = 20

[grid]
scale_inputs = ["none", "standard"]
"""


@pytest.fixture
def iris(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from sklearn.datasets import load_iris

    bunch = load_iris(as_frame=True)
    frame = bunch.data.assign(species=pd.Series(bunch.target_names[bunch.target], dtype=object))
    frame.to_csv("iris.csv", index=False)
    Path("flowers.toml").write_text(SWEEP)
    return frame


def swept(capsys: pytest.CaptureFixture[str], *options: str) -> int:
    """Run the sweep, and return how many runs it trained."""
    store = Path("results/flowers/made.json")
    before = json.loads(store.read_text()) if store.exists() else []
    assert (main(["flowers.toml", "--json", *options]), capsys.readouterr().err) == (0, "")
    return sum(entry["runs"] for entry in json.loads(store.read_text())[len(before) :])


def test_from_a_table_to_tidy_runs(iris, capsys):
    store = Path("results/flowers")
    assert swept(capsys) == 2 * 320
    first = pd.DataFrame(fastbp.load(store))

    # What was trained is what the table says.
    for file in (store / "problems").iterdir():
        with np.load(io.BytesIO(file.read_bytes())) as kept:
            assert kept["inputs"].tolist() == list(iris.columns[:4])
            assert kept["outputs"].tolist() == [
                f"species={name}" for name in ("setosa", "versicolor", "virginica")
            ]
            assert np.array_equal(kept["T"].argmax(axis=1), pd.factorize(iris["species"])[0])
            X = iris.iloc[:, :4].to_numpy()
            scaled = (X - X.mean(axis=0)) / X.std(axis=0)
            assert np.array_equal(kept["X"], X) or np.allclose(kept["X"], scaled, rtol=1e-12)

    # Resume: what is lost is made again, and nothing else.
    max((store / "runs").iterdir()).unlink()
    assert (swept(capsys), swept(capsys)) == (320, 0)
    pd.testing.assert_frame_equal(fastbp.load(store), first)

    # Extend.
    assert swept(capsys, "--seeds", "500") == 2 * 180
    runs = pd.read_parquet("results/flowers/runs")
    assert len(runs) == 2 * 500
    assert not runs.duplicated(["setup", "seed"]).any()
    tidy = fastbp.load(store)
    pd.testing.assert_frame_equal(tidy[tidy["seed"] < 320].reset_index(drop=True), first)

    # What it shows.
    assert (set(runs["problem"]), set(runs["targets"])) == ({"file:iris.csv"}, {"species"})
    assert list(fastbp.summary(store).set_index("scale_inputs")["runs"]) == [500, 500]
    wrong = runs.groupby("scale_inputs", observed=True)["wrong"].median()
    assert wrong["standard"] < wrong["none"]
    assert (runs["outcome"] != "diverged").all()
    # One of its runs again.
    trajectory = fastbp.retrain(fastbp.Sweep.from_toml("flowers.toml").setups[1], seed=7)
    own = tidy[(tidy["scale_inputs"] == "standard") & (tidy["seed"] == 7)]
    assert trajectory.evaluations["loss"].iloc[-1] == own["loss"].item()
    Path("iris.csv").unlink()  # the store has all that it takes
    assert replay.main(["results/flowers", own["setup"].item(), "7", "--check"]) == 0
    assert capsys.readouterr().out == f"the same, bit for bit: {len(COLUMNS)} columns\n"
