"""`fastbp diagnose` on tables as people have them: the fault is named, and networks in plain NumPy,
from seeds of their own, agree that it is one and that the recommended setting mends it."""

import json
import re

import numpy as np
import pytest
from numpy_networks import mean_recall, r2, right, train
from real_tables import TABLES, RealTable

pytestmark = [pytest.mark.jit, pytest.mark.usefixtures("without_cures")]  # thousands of runs

QUICK = ("wine unscaled",)


def agree(told: dict[str, float], scores: np.ndarray, converged: np.ndarray) -> None:
    """The same networks from other seeds: shares and medians differ as samples do (4 σ)."""
    error = 4 * (1 / len(scores) + 1 / told["runs"]) ** 0.5
    share = (converged.sum() + told["converged"] * told["runs"] + 1) / (
        len(scores) + told["runs"] + 2
    )
    assert abs(converged.mean() - told["converged"]) < error * (share * (1 - share)) ** 0.5
    low, high = np.quantile(scores, [0.5 - error / 2, 0.5 + error / 2])
    assert low - 1e-6 <= (told["accuracy"] if told["r2"] is None else told["r2"]) <= high + 1e-6


@pytest.mark.parametrize(
    ("own", "seeds"),
    [(each, 168) for each in TABLES if each.name in QUICK]
    + [pytest.param(each, 2000, marks=pytest.mark.soak) for each in TABLES],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_fault_is_named_and_mended(command, tmp_path, own: RealTable, seeds: int) -> None:
    few = ["--seconds", 600] * (seeds < 2000)  # few seeds need no more than 60 s, but on busy cores
    asked = ["diagnose", *own.command(tmp_path), "--seeds", seeds, *few]
    told = json.loads(command(*asked, "--json").stdout)
    said = next((line for line in told["verdict"] if line.startswith("Wrong: ")), "")
    if own.mistake:  # only the text says what is wrong with initial weights
        said = " ".join(command(*asked).stdout.split())
    assert re.search(own.cause, said)
    assert own.note in ["", *(note["id"] for note in told["data"])]
    if told["recommended"] and told["recommended"]["fresh"]["converged"] > 0.5:
        assert "best that was found" not in " ".join(told["verdict"])
    (X, T), quantity = own.arrays(), own.table()[1].dtype.kind == "f"
    level = (
        0.9
        if quantity
        else max(0.95, (1 + own.frame()["y"].value_counts(normalize=True).max()) / 2)
    )
    encoded = own.fault | ({} if quantity else {"scale_targets": "minmax"})  # labels as 0 and 1
    best = told["recommended"] or {"setting": {}, "fresh": told["baseline"]}
    programs = own.fault | own.mistake, encoded, encoded | own.good, encoded | best["setting"]
    ends = [train(X, T, 60 if few else 150, seed, **keys) for seed, keys in enumerate(programs)]
    for theirs, answers in ((told["baseline"], ends[1]), (best["fresh"], ends[3])):
        scores = r2(answers, T) if quantity else right(answers, T).mean(axis=1)
        # Giving one class to every row is no success, however common the class.
        agree(theirs, scores, (quantity or mean_recall(answers, T) > 0.51) & (scores >= level))
    levels = [(r2 if quantity else mean_recall)(answers, T) for answers in ends]
    faulty, _, good, mended = np.median(levels, axis=1)
    assert mended > good - (0.03 if own.note == "imbalanced" else 0.02)  # one rare row is 0.042
    # What no setting can mend is said to be so, in an exact number.
    limit = own.frame().groupby(own.frame().columns[:-1].tolist())["y"].agg(
        lambda y: y.value_counts().max()
    ).sum() / len(X)
    assert faulty < good - 0.05 or f"at most {limit:.1%} can be right" in str(told["data"])
