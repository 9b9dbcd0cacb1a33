"""Settings over several problems against pandas, and what a page says of them."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sample_frames as frames
from scipy import stats

from fastbp.analysis.improvement import MOST_SETTINGS, STEPS, improvement, profiles
from fastbp.reporting import build, plots
from fastbp.schema.text import percent

BUDGETS, RATES, SEEDS = {"xor": 200, "parity:3": 400, "encoder:4": 600}, (0.1, 0.2, 0.4), 40


def runs(rates: Sequence[float] = RATES) -> pd.DataFrame:
    """The larger the rate, the sooner runs converge; luck is partly the seed's. Each problem has a
    budget and a margin of its own."""
    rng, parts = np.random.default_rng(1), []
    luck = rng.random(SEEDS)
    for (problem, budget), lr in product(BUDGETS.items(), rates):
        times = np.ceil(budget / 20 * (luck + rng.random(SEEDS)) / lr**0.5) * 5
        times[(times > budget) | (rng.random(SEEDS) < 0.1)] = np.nan
        keys = {"problem": problem, "lr": lr, "updates": budget, "target_margin": budget / 1e4}
        outcomes = np.where(np.isnan(times), "partial", "converged")
        columns = {"setup": f"{problem} {lr}", "seed": np.arange(SEEDS), "outcome": outcomes}
        parts.append(pd.DataFrame(keys | columns | {"converged_at": times}))
    return pd.concat(parts)


def times_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The times of each rate, by problem and seed."""
    return frame.pivot(index=["problem", "seed"], columns="lr", values="converged_at").fillna(
        np.inf
    )


def test_improvement_is_what_pandas_counts() -> None:
    frame = runs()
    partial = frame[(frame["setup"] != "xor 0.1") | (frame["seed"] >= 3)]
    times = times_of(frame[frame["seed"] >= 3])
    table = improvement(partial)
    assert len(table) == 6
    for row in table.to_dict("records"):
        one, other = times[row["lr"]], times[row["other_lr"]]
        better, worse = one < other, one > other
        assert (row["better"], row["worse"]) == (better.sum(), worse.sum())
        assert row["improvement"] == pytest.approx((better + (one == other) / 2).mean())
        # Agresti & Min: half a seed more that is better everywhere, half one that is worse, and an
        # equal one.
        scores = ((1 + better - worse.astype(int)) / 2).groupby("seed").mean()
        values, weights = np.append(scores, [1, 0, 0.5]), np.append(scores * 0 + 1, [0.5, 0.5, 1])
        mean = np.average(values, weights=weights)
        error = (np.average((values - mean) ** 2, weights=weights) / weights.sum()) ** 0.5
        for name, level in (("", 0.95), ("_simultaneous", 1 - 0.05 / 3)):
            assert [row[f"improvement{name}_{end}"] for end in ("low", "high")] == pytest.approx(
                [*stats.norm.interval(level, mean, error)]
            )
    assert (table[["settings", "problems", "seeds"]] == [3, 3, SEEDS - 3]).all(axis=None)


def test_profiles_are_what_pandas_counts() -> None:
    table, times = profiles(runs()), times_of(runs())
    budgets = np.array([BUDGETS[problem] for problem, _ in times.index])
    assert table["lr"].tolist() == np.repeat(RATES[::-1], STEPS + 1).tolist()  # the soonest first
    for row in table.to_dict("records"):
        share = (times[row["lr"]] <= budgets * round(STEPS * row["within"]) / STEPS).mean()
        assert row["share"] == pytest.approx(share)
        count = round(share * SEEDS)
        if count == pytest.approx(share * SEEDS):
            bounds = stats.binomtest(count, SEEDS).proportion_ci(method="wilson")
            assert (row["low"], row["high"]) == pytest.approx((bounds.low, bounds.high))


def test_a_smaller_budget_ends_early_and_the_baseline_comes_first() -> None:
    frame = runs((0.1, 0.4)).assign(epochs=50)
    name = frame["setup"] + " short"
    short = frame.assign(updates=frame["updates"] // 2, epochs=25, setup=name)
    short.loc[short["converged_at"] > short["updates"], ["converged_at", "outcome"]] = (
        np.nan,
        "partial",
    )
    curves = profiles(pd.concat([frame, short]), "parity:3 0.1 short").set_index("setup")["share"]
    assert curves.index[0] == "encoder:4 0.1 short"
    early, whole = (curves[f"encoder:4 0.1{name}"].tolist() for name in (" short", ""))
    half = STEPS // 2
    assert early == whole[:half] + whole[half : half + 1] * (half + 1)


def test_what_is_compared() -> None:
    many = improvement(runs([0.05 * i for i in range(1, 16)]))
    assert len(many) == MOST_SETTINGS * (MOST_SETTINGS - 1)
    assert many["lr"].min() > 0.1  # the soonest are
    frame = runs()
    assert set(improvement(frame[frame["setup"] != "xor 0.2"])["lr"]) == {0.1, 0.4}
    for other in (
        frame[frame["problem"] == "xor"],
        frame[frame["lr"] == 0.1],
        frame.assign(stop=np.where(frame["lr"] > 0.1, "budget", "converged")),
        frame.assign(init="grid:side=9,x=0,y=1", init_scale=1.0),
    ):
        assert not plots.profile_curves(profiles(other)).lines
        assert improvement(other).empty
    assert improvement(
        frame.assign(seed=frame["seed"] + SEEDS * (frame["setup"] == "xor 0.1"))
    ).empty


@pytest.mark.usefixtures("no_png")
def test_a_page_of_several_problems_compares_settings(tmp_path: Path) -> None:
    counts = {0.1: 3, 0.2: 30, 0.4: 28}
    for problem, (lr, count) in product(BUDGETS, counts.items()):
        frames.write(
            tmp_path,
            frames.table(
                {"problem": problem, "lr": lr},
                ["converged"] * count + ["partial"] * (SEEDS - count),
            ),
        )
    made, page = build.make(tmp_path), (tmp_path / "report.html").read_text()
    assert {"improvement.csv", "profiles.svg"} <= {path.name for path in made.written}
    assert "averaged over 3 problems" in page
    said = (
        "Of 2 other settings, 0 are shown to be better than lr 0.2 and 1 to be worse; 1 may be as "
        "good."
    )
    assert said in page
    row = pd.read_csv(tmp_path / "improvement.csv").set_index(["lr", "other_lr"]).loc[(0.1, 0.2)]
    assert row["improvement"] == pytest.approx(0.5 - (30 - 3) / SEEDS / 2)
    assert f">{percent(row['improvement'])} [" in page
