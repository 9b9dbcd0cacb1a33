"""What the tables reckon beyond single changes, against plain pandas on the runs themselves."""

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sample_frames as frames

from fastbp.analysis.attribution import attribution, interactions
from fastbp.analysis.contrasts import contrasts
from fastbp.analysis.counts import count_runs
from fastbp.analysis.histograms import EXAMPLES, THRESHOLDS
from fastbp.analysis.statistics.kaplan_meier import kaplan_meier, restart
from fastbp.analysis.statistics.paired import tango
from fastbp.analysis.summary import collapsing, density, summary, survival
from fastbp.reporting.verdict import verdict
from fastbp.schema.columns import SETUP_COLUMNS, schema
from fastbp.schema.outcomes import MEASURED, OUTCOMES, classify

Keys = Mapping[str, object]


def grid(axes: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def measured(keys: Keys, n: int, seed: int, seeds: Sequence[int] | None = None) -> pa.Table:
    """Runs of one setup whose measures vary and whose outcomes follow from them; some are diverged,
    some never converge."""
    rng = np.random.default_rng(seed)
    spread, loss = rng.random(n) ** 3 * 1.3, 10.0 ** rng.uniform(-9, 1, n)
    spread[rng.random(n) < 0.1], loss[rng.random(n) < 0.05] = 0.1, 0.0  # at the very threshold
    error, start = rng.random(n), rng.random(n) ** 2
    gone, sided = rng.random(n) < 0.1, rng.random(n) < 0.4
    values = frames.DEFAULTS | dict(keys)
    measures = {"max_error": error, "spread": spread, "one_sided": sided}
    codes = classify({k: np.where(gone, np.nan, v) for k, v in measures.items()}, values)
    runs = frames.table(keys, [OUTCOMES[code].value for code in codes], seeds)
    looked = (codes == 1) | (rng.random(n) < 0.2)
    columns = {
        "spread": pa.array(spread, mask=gone),
        "loss": pa.array(loss, mask=gone),
        "max_error": pa.array(error, mask=gone),
        "one_sided": pa.array(sided, mask=gone),
        "spread_start": pa.array(start, mask=rng.random(n) < 0.1),
        "converged_at": pa.array(rng.integers(1, 12, n) * 80, mask=~looked),
    }
    for name, values_ in columns.items():
        runs = runs.set_column(runs.column_names.index(name), schema().field(name), values_)
    return runs


AXES: dict[str, Sequence[object]] = {
    "lr": [0.1, 0.2],
    "collapse": [0.1],
    "momentum": [0.0, 0.9],
    "tolerance": [0.4],
}


@pytest.fixture(scope="module")
def tables() -> list[pa.Table]:
    return [measured(keys, 700, i) for i, keys in enumerate(grid(AXES))]


@pytest.fixture(scope="module")
def frame(tables: list[pa.Table]) -> pd.DataFrame:
    return frames.frame(*tables)


@pytest.fixture(scope="module")
def store(tables: list[pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    for i, runs in enumerate(tables):
        frames.write(folder, runs, parts=1 + 3 * i)
    return folder


def literal(runs: pd.DataFrame, start: Keys, to: Keys) -> pd.DataFrame:
    """Every order of making the changes, one after the other, for every seed by itself."""
    changed = [key for key in to if start[key] != to[key]]
    won = {}
    for values in product(*({start[key], to[key]} for key in to)):
        here = (runs[list(to)] == pd.Series(dict(zip(to, values, strict=True)))).all(axis=1)
        won[values] = runs[here].set_index("seed")["outcome"] == "converged"
    seeds = sorted(set.intersection(*(set(each.index) for each in won.values())))
    steps: dict[str, list[pd.Series]] = {key: [] for key in changed}
    first: dict[str, pd.Series] = {}
    last: dict[str, pd.Series] = {}
    for order in permutations(changed):
        at = dict(start)
        for i, key in enumerate(order):
            before = won[tuple(at.values())][seeds].astype(float)
            at[key] = to[key]
            step = won[tuple(at.values())][seeds].astype(float) - before
            steps[key].append(step)
            if i == 0:
                first[key] = step
            if i == len(order) - 1:
                last[key] = step
    rows = []
    for key in changed:
        row: dict[str, object] = {"key": key, "pairs": len(seeds)}
        for name, each in (
            ("alone", first[key]),
            ("last", last[key]),
            ("average", sum(steps[key]) / len(steps[key])),
        ):
            n, more = len(seeds), [*each, 0.5**0.5, -(0.5**0.5), 0]
            middle, spread = np.mean(more) * (n + 3) / (n + 2), np.sum(np.square(more)) / (n + 2)
            reach = NormalDist().inv_cdf(0.975) * ((spread - middle**2) / (n + 2)) ** 0.5
            bounds = np.clip([middle - reach, middle + reach], -1, 1)
            if name != "average":
                bounds = tango((each > 0).sum(), (each < 0).sum(), n)
            for end, value in zip(("", "_low", "_high"), (each.mean(), *bounds), strict=True):
                row[f"{name}_points{end}"] = 100 * value
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("changes", [2, 3, 4])
def test_is_the_average_over_all_orders(changes: int) -> None:
    names: dict[str, Sequence[object]] = {
        "order": ["random", "shuffled"],
        "lr": [0.2, 0.1],
        "momentum": [0.0, 0.9],
        "updates": [999, 7992],
    }
    axes = dict(list(names.items())[:changes])
    rng = np.random.default_rng(changes)
    runs = frames.frame(
        *(
            frames.table(keys, frames.mixed(60, rng, 0, p := rng.random(), 0, 0, 1 - p))
            for keys in grid(axes)
        )
    )
    start, to = ({key: values[end] for key, values in axes.items()} for end in (0, 1))
    found = attribution(runs, frames.identity(start))
    assert (set(found["from"]), set(found["to"])) == (
        {frames.identity(start)},
        {frames.identity(to)},
    )
    expected = literal(runs, start, to).set_index("key").loc[found["key"]].reset_index()
    low, high = (expected[[f"alone_points{end}", f"last_points{end}"]] for end in ("_low", "_high"))
    opposed = (low.max(axis=1) > 0) & (high.min(axis=1) < 0)
    expected.loc[opposed, [f"average_points{end}" for end in ("", "_low", "_high")]] = np.nan
    pd.testing.assert_frame_equal(
        found[expected.columns], expected, check_dtype=False, rtol=1e-9, atol=1e-9
    )
    assert found["from_value"].tolist() == [start[key] for key in found["key"]]
    assert found["to_value"].tolist() == [to[key] for key in found["key"]]
    table = summary(runs).set_index("setup")["converged_share"]
    if not opposed.any():
        assert found["average_points"].sum() == pytest.approx(found["total_points"].iloc[0])
    assert found["total_points"].iloc[0] == pytest.approx(
        100 * (table[frames.identity(to)] - table[frames.identity(start)])
    )


def test_where_changes_are_opposed_differences_of_differences_take_the_place_of_averages() -> None:
    """Momentum helps at the lower rate and does harm at the higher one."""
    shares = {(0.2, 0.0): 10, (0.2, 0.9): 80, (0.1, 0.0): 60, (0.1, 0.9): 5}
    rng = np.random.default_rng(3)
    tables, won = [], []
    for (lr, momentum), count in shares.items():
        order = rng.permutation(100)
        tables.append(
            frames.table(
                {"lr": lr, "momentum": momentum},
                ["converged" if place < count else "partial" for place in order],
            )
        )
        won.append(order < count)
    runs = frames.frame(*tables)
    parts = attribution(runs, frames.identity({}))
    assert parts["average_points"].isna().all()
    (row,) = interactions(runs, parts).to_dict("records")
    neither, momentum_, lr_, both = (each.astype(float) for each in won)
    each = both - lr_ - momentum_ + neither
    assert row["points"] == pytest.approx(100 * each.mean()) == -125
    assert ({row["key"], row["other"]}, row["pairs"]) == ({"lr", "momentum"}, 100)
    spread = NormalDist().inv_cdf(0.975) * each.std() / 10
    assert row["points_low"] == pytest.approx(100 * (each.mean() - spread), abs=4)
    assert row["points_high"] == pytest.approx(100 * (each.mean() + spread), abs=4)
    other = runs["lr"] == 0.1
    followed = runs.assign(
        lr=0.2, batch=np.where(other, 4, 1), eval_every=np.where(other, 2, 8)
    )  # evaluations that follow from the batch are no change of their own
    again = interactions(followed, attribution(followed, frames.identity({})))
    assert again["points"].tolist() == [row["points"]]
    counted = count_runs(runs)
    told = verdict(
        summary(counted), contrasts(counted, frames.identity({})), parts, parts["from"][0]
    )
    assert (
        " What a change does depends on the others: lr +50.0 alone but −75.0 after the "
        "others and momentum +70.0 alone but −55.0 after the others." in " ".join(told)
    )
    alike = frames.frame(
        *(
            frames.table({"lr": lr, "momentum": m}, ["converged"] * n + ["partial"] * (100 - n))
            for (lr, m), n in {**shares, (0.1, 0.9): 99}.items()
        )
    )
    assert interactions(alike, attribution(alike, frames.identity({}))).empty


def test_only_seeds_that_all_corners_ran() -> None:
    rng = np.random.default_rng(5)
    axes: dict[str, Sequence[object]] = {"lr": [0.2, 0.1], "momentum": [0.0, 0.9]}
    tables = []
    for i, keys in enumerate(grid(axes)):
        seeds = np.arange(i, 40 + 3 * i)
        tables.append(
            frames.table(keys, frames.mixed(len(seeds), rng, 0, 0.5, 0.1, 0.2, 0.2), seeds)
        )
    runs = frames.frame(*tables)
    found = attribution(runs, frames.identity({}))
    expected = literal(runs, {"lr": 0.2, "momentum": 0.0}, {"lr": 0.1, "momentum": 0.9})
    pd.testing.assert_frame_equal(
        found[expected.columns], expected, check_dtype=False, rtol=1e-9, atol=1e-9
    )
    assert set(found["pairs"]) == {37}


def test_goes_to_the_corners_that_are_farthest() -> None:
    runs = frames.frame(
        *(
            frames.table(keys, ["partial"] * 3)
            for keys in grid({"lr": [0.1, 0.2, 0.4], "momentum": [0.0, 0.5]})
        )
    )
    found = attribution(runs, frames.identity({}))
    corners = [frames.identity({"lr": lr, "momentum": 0.5}) for lr in (0.1, 0.4)]
    assert found["to"].tolist() == [corners[0]] * 2 + [corners[1]] * 2
    three = {"lr": [0.1, 0.2], "momentum": [0.0, 0.5], "order": ["random", "shuffled"]}
    found = attribution(
        frames.frame(*(frames.table(keys, ["partial"]) for keys in grid(three))),
        frames.identity({}),
    )
    assert (
        found["to"].tolist()
        == [frames.identity({"lr": 0.1, "momentum": 0.5, "order": "shuffled"})] * 3
    )


def test_where_some_have_more_seeds_only_over_those() -> None:
    """Momentum was tried with few seeds, in all settings of what many were put into."""
    axes: dict[str, Sequence[object]] = {
        "lr": [0.2, 0.1],
        "order": ["random", "shuffled"],
        "momentum": [0.0, 0.9],
    }
    tables = [
        frames.table(keys, ["partial"] * (9 if keys["momentum"] else 50)) for keys in grid(axes)
    ]
    found = attribution(frames.frame(*tables), frames.identity({}))
    assert (found["to"].tolist(), set(found["pairs"])) == (
        [frames.identity({"lr": 0.1, "order": "shuffled"})] * 2,
        {50},
    )
    turned = [
        frames.table(keys, ["partial"] * (50 if keys["momentum"] else 9)) for keys in grid(axes)
    ]
    assert set(attribution(frames.frame(*turned), frames.identity({}))["pairs"]) == {9}, (
        "all have as many as the baseline"
    )
    star = [
        frames.table(keys, ["partial"] * (50 if keys == grid(axes)[0] else 9))
        for keys in grid(axes)
    ]
    assert set(attribution(frames.frame(*star), frames.identity({}))["pairs"]) == {9}, "or none has"


@pytest.mark.parametrize("baseline", [None, "0" * 12])
def test_without_a_baseline_from_the_first(baseline: str | None) -> None:
    runs = frames.frame(
        *(
            frames.table(keys, ["partial"])
            for keys in grid({"lr": [0.1, 0.2], "momentum": [0.0, 0.5]})
        )
    )
    found = attribution(runs, baseline)
    assert set(found["from"]) == {summary(runs)["setup"].iloc[0]} == {frames.identity({"lr": 0.1})}


def test_boxes_that_lack_a_corner_are_left_out() -> None:
    axes: dict[str, Sequence[object]] = {
        "lr": [0.2, 0.1],
        "momentum": [0.0, 0.9],
        "order": ["random", "shuffled"],
    }
    every = grid(axes)
    lacking = [keys for keys in every if keys != {"lr": 0.1, "momentum": 0.9, "order": "random"}]
    found = attribution(
        frames.frame(*(frames.table(keys, ["partial"]) for keys in lacking)),
        frames.identity({}),
    )
    assert found.groupby("to", sort=False)["key"].apply(set).tolist() == [
        {"order", "lr"},
        {"order", "momentum"},
    ]
    star = [keys for keys in every if sum(keys[key] != axes[key][0] for key in axes) < 2]
    empty = attribution(
        frames.frame(*(frames.table(keys, ["partial"]) for keys in star)), frames.identity({})
    )
    assert empty.empty
    assert (empty.columns.tolist(), empty.dtypes.tolist()) == (
        found.columns.tolist(),
        found.dtypes.tolist(),
    )


def test_one_seed_says_little() -> None:
    ends = {
        (0.2, 0.0): "partial",
        (0.1, 0.0): "converged",
        (0.2, 0.9): "partial",
        (0.1, 0.9): "converged",
    }
    runs = frames.frame(
        *(frames.table({"lr": lr, "momentum": m}, [how]) for (lr, m), how in ends.items())
    )
    found = attribution(runs, frames.identity({})).set_index("key")
    assert found["average_points"].to_dict() == {"lr": 100.0, "momentum": 0.0}
    assert (found["average_points_low"] < 0).all()
    assert found.loc["momentum", "alone_points_high"] > 0


def test_no_common_seeds() -> None:
    runs = frames.frame(
        *(
            frames.table(keys, ["partial"], [i])
            for i, keys in enumerate(grid({"lr": [0.2, 0.1], "momentum": [0.0, 0.9]}))
        )
    )
    assert attribution(runs, frames.identity({})).empty


def test_never_across_stop() -> None:
    axes: dict[str, Sequence[object]] = {
        "lr": [0.2, 0.1],
        "momentum": [0.0, 0.9],
        "stop": ["budget", "converged"],
    }
    found = attribution(
        frames.frame(*(frames.table(keys, ["partial"]) for keys in grid(axes))),
        frames.identity({}),
    )
    assert found["to"].tolist() == [frames.identity({"lr": 0.1, "momentum": 0.9})] * 2
    assert found["key"].tolist() == ["lr", "momentum"]
    assert attribution(
        frames.frame(
            *(
                frames.table(keys, ["partial"])
                for keys in grid({"lr": [0.2, 0.1], "stop": ["budget", "converged"]})
            )
        ),
        frames.identity({}),
    ).empty


def test_check_every_that_follows_the_batch_is_no_change() -> None:
    batches: list[dict[str, object]] = [
        {"batch": 1, "eval_every": 10},
        {"batch": 8, "eval_every": 1},
    ]
    keys = [batch | {"lr": lr} for batch in batches for lr in (0.2, 0.1)]
    found = attribution(
        frames.frame(*(frames.table(k, ["partial"]) for k in keys)), frames.identity(keys[0])
    )
    assert (found["key"].tolist(), found["to"].tolist()) == (
        ["batch", "lr"],
        [frames.identity(keys[3])] * 2,
    )


def test_budgets_in_epochs() -> None:
    keys = [{"epochs": e, "updates": 8 * e, "lr": lr} for e in (5, 10) for lr in (0.1, 0.2)]
    found = attribution(
        frames.frame(*(frames.table(k, ["partial"]) for k in keys)), frames.identity(keys[0])
    )
    assert found[["key", "from_value", "to_value"]].to_numpy().tolist() == [
        ["lr", 0.1, 0.2],
        ["epochs", 5, 10],
    ]


@pytest.mark.parametrize("table", [attribution, survival, density, collapsing])
def test_no_runs(table: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    assert table(frames.frame(frames.table({}, ["partial"])).iloc[:0]).empty


def test_medians_and_restarts_are_those_of_the_times(frame: pd.DataFrame) -> None:
    table = summary(frame).set_index("setup")
    for setup, runs in frame.groupby("setup", observed=True):
        times = runs["converged_at"].dropna().astype(int)
        t, d = np.unique(times, return_counts=True)
        whole = np.unique([*t, 999])
        events = [int((times == at).sum()) for at in whole]
        curve = kaplan_meier(
            whole, events, [0] * (len(whole) - 1) + [int(runs["converged_at"].isna().sum())]
        )
        row = table.loc[setup]
        names = ("updates_median", "updates_median_low", "updates_median_high")
        for name, value in zip(names, curve.median(), strict=True):
            assert (pd.isna(row[name]) and np.isnan(value)) or row[name] == value
        share = [(times <= at).sum() / len(runs) for at in t]
        half = [at for at, each in zip(t, share, strict=True) if each >= 0.5]
        assert (row["updates_median"] if half else None) == (half[0] if half else None)
        best = restart(t, d, len(runs))
        costs = [
            np.minimum(runs["converged_at"].fillna(np.inf), at).sum() / (times <= at).sum()
            for at in t
        ]
        assert (row["restart_cost"], row["restart_at"]) == (
            pytest.approx(min(costs)),
            t[int(np.argmin(costs))],
        )
        assert (row["restart_at_low"], row["restart_at_high"]) == (best.at_low, best.at_high)
        assert (row["restart_cost_low"], row["restart_cost_high"]) == (
            best.cost_low,
            best.cost_high,
        )
        relapsed = runs["converged_at"].notna() & (runs["outcome"] != "converged")
        assert (row["ever_converged"], row["relapsed"]) == (len(times), relapsed.sum())


@pytest.mark.parametrize("name", ["updates_median", "restart_at", "restart_cost"])
def test_null_without_success(name: str) -> None:
    (row,) = summary(frames.frame(frames.table({}, ["partial", "diverged"]))).to_dict("records")
    assert all(pd.isna(row[name + end]) for end in ("", "_low", "_high"))


def test_survival_counts_who_is_left(frame: pd.DataFrame) -> None:
    table = survival(frame)
    assert table.columns.tolist() == [
        "lr",
        "momentum",
        "setup",
        "after",
        "at_risk",
        "share",
        "low",
        "high",
    ]
    for setup, curve in table.groupby("setup"):
        times = frame[frame["setup"] == setup]["converged_at"]
        assert curve["after"].tolist() == [*sorted(times.dropna().unique()), 999]
        left = [(~(times <= at)).sum() for at in curve["after"]]
        assert curve["share"].to_numpy() == pytest.approx(np.array(left) / len(times))
        assert curve["at_risk"].tolist() == [(~(times < at)).sum() for at in curve["after"]]
        inner = curve[(curve["share"] > 0) & (curve["share"] < 1)]
        assert ((inner["low"] < inner["share"]) & (inner["share"] < inner["high"])).all()


def test_a_curve_that_nobody_leaves() -> None:
    (row,) = survival(frames.frame(frames.table({}, ["partial"] * 3))).to_dict("records")
    assert (row["after"], row["at_risk"], row["share"]) == (999, 3, 1.0)
    assert np.isnan(row["low"])


def test_thresholds_count_exactly(frame: pd.DataFrame) -> None:
    table = collapsing(frame)
    assert table.columns.tolist() == [
        "lr",
        "momentum",
        "setup",
        "runs",
        "threshold",
        "collapsed",
        "collapsed_share",
        "constant_at_start",
        "constant_at_start_share",
    ]
    for setup, curve in table.groupby("setup"):
        runs = frame[frame["setup"] == setup]
        stuck = runs[~runs["outcome"].isin(["converged", "diverged"])]["spread"]
        assert curve["threshold"].tolist() == THRESHOLDS.tolist()
        assert curve["collapsed"].tolist() == [int((stuck < at).sum()) for at in THRESHOLDS]
        assert curve["constant_at_start"].tolist() == [
            int((runs["spread_start"] < at).sum()) for at in THRESHOLDS
        ]
        assert curve["collapsed_share"].tolist() == (curve["collapsed"] / len(runs)).tolist()
        assert (
            curve["constant_at_start_share"].tolist()
            == (curve["constant_at_start"] / len(runs)).tolist()
        )
        at = int(np.flatnonzero(THRESHOLDS == 0.1)[0])
        assert curve["collapsed"].iloc[at] == (runs["outcome"] == "collapsed").sum()


def test_cells_count_exactly(frame: pd.DataFrame) -> None:
    table = density(frame)
    assert table.columns.tolist() == [
        "lr",
        "momentum",
        "setup",
        "outcome",
        "spread",
        "loss",
        "runs",
    ]
    seen = frame[frame["spread"].notna() & frame["loss"].notna()]
    with np.errstate(divide="ignore"):
        height = np.clip(np.floor(20 * (np.log10(seen["loss"]) + 6)), 0, 159)
    cells = pd.DataFrame(
        {
            "setup": seen["setup"].astype(str),
            "outcome": seen["outcome"].astype(str),
            "spread": ((np.minimum(np.floor(seen["spread"] * 60), 74) + 0.5) / 60).round(9),
            "loss": (20 * (height + 0.5) / 20).round(6),
        }
    )
    expected = cells.value_counts().sort_index()
    found = table.assign(
        spread=table["spread"].round(9), loss=(20 * (np.log10(table["loss"]) + 6)).round(6)
    )
    counts = found.set_index(["setup", "outcome", "spread", "loss"])["runs"].sort_index()
    assert ((counts.index.tolist(), counts.tolist()), counts.sum()) == (
        (expected.index.tolist(), expected.tolist()),
        len(seen),
    )


def test_a_cell_holds_its_runs() -> None:
    runs = frames.table({}, ["partial"] * 2)
    runs = runs.set_column(runs.column_names.index("loss"), "loss", pa.array([0.125, np.inf]))
    (row,) = density(frames.frame(runs)).to_dict("records")
    assert ((row["runs"], row["spread"]), row["loss"]) == (
        (1, pytest.approx(0.25, abs=1 / 60)),
        pytest.approx(0.125, rel=0.13),
    )


def test_the_mean_of_very_low_scores_may_be_infinite() -> None:
    """R² has no lower bound. A warning would be an error."""
    runs = frames.table({"success": "r2:0.5"}, ["partial"] * 2)
    (one,) = count_runs(
        frames.frame(runs.set_column(runs.column_names.index("r2"), "r2", pa.array([-1e308] * 2)))
    )
    assert one.scores["r2"] == -np.inf


def test_any_number_counts_in_the_nearest_cell() -> None:
    """Those that no fastbp writes too; a warning would be an error."""
    runs = frames.table({}, ["partial"] * 4)
    for name in ("loss", "spread"):
        runs = runs.set_column(
            runs.column_names.index(name), name, pa.array([1e308, -1e308, -0.0, -1.0])
        )
    cells = density(frames.frame(runs))
    assert (cells["runs"].tolist(), cells["spread"].tolist()) == (
        [3, 1],
        pytest.approx([0.5 / 60, 74.5 / 60]),
    )


def test_examples_are_the_first_seeds(frame: pd.DataFrame, store: Path) -> None:
    for runs in (frame, store):
        for one in count_runs(runs, pictures=True):
            own = frame[frame["setup"] == one.setup]
            assert one.histograms is not None
            expected = {
                o: own[own["outcome"] == o]["seed"].sort_values()[:EXAMPLES].tolist()
                for o in OUTCOMES
            }
            assert one.histograms.examples == {o: seeds for o, seeds in expected.items() if seeds}


def test_pictures_need_their_columns(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no column loss, spread_start"):
        density(frame.drop(columns=["loss", "spread_start"]))
    with pytest.raises(ValueError, match="counted without what pictures need"):
        density(count_runs(frame))


@pytest.mark.parametrize("table", [summary, contrasts, attribution, survival, collapsing, density])
def test_the_same_of_frames_files_and_tallies(table, frame: pd.DataFrame, store: Path) -> None:  # type: ignore[no-untyped-def]
    expected = table(frame)
    assert len(expected)
    for runs in (
        store,
        pd.read_parquet(store / "runs"),
        frame.sample(frac=1, random_state=1),
        count_runs(store, pictures=True),
    ):
        pd.testing.assert_frame_equal(table(runs), expected)


def test_nulls_of_every_kind(frame: pd.DataFrame) -> None:
    """As pyarrow reads them, as pandas's own nulls, and as plain NumPy has them."""
    for runs in (
        frame.convert_dtypes(),
        frame.astype(dict.fromkeys(["one_sided", "outcome", "setup"], object)),
    ):
        pd.testing.assert_frame_equal(density(runs), density(frame))
        for collapse in (None, 0.3):
            found = [one.counts.tolist() for one in count_runs(runs, collapse=collapse)]
            assert found == [one.counts.tolist() for one in count_runs(frame, collapse=collapse)]


def test_two_files_of_one_name_are_two_problems(tmp_path: Path) -> None:
    """A row has only the base name of its problem's file; what was learnt stands in the
    footer."""
    for digest, setup in (("a" * 64, "a"), ("b" * 64, "b")):
        for i, lr in enumerate((0.1, 0.2)):
            runs = frames.table({"problem": "file:data.csv", "lr": lr}, ["partial"] * 3)
            identity = pa.array([setup * 11 + str(i)] * 3).dictionary_encode()
            runs = runs.set_column(runs.column_names.index("setup"), "setup", identity).cast(
                schema()
            )
            frames.write(tmp_path, runs, said={"fastbp.problem": digest})
    counted = count_runs(tmp_path)
    assert ([one.problem for one in counted], len(contrasts(counted))) == (
        ["a" * 64, "b" * 64] * 2,
        2,
    )


@pytest.mark.parametrize("collapse", [0.001, 0.1, 0.37, 0.999])
@pytest.mark.parametrize("pictures", [False, True])
def test_is_what_classify_says(
    frame: pd.DataFrame, store: Path, collapse: float, pictures: bool
) -> None:
    for runs in (frame, store):
        for one in count_runs(runs, collapse=collapse, pictures=pictures):
            own = frame[frame["setup"] == one.setup].sort_values("seed")
            measures = {name: own[name].to_numpy("float64", na_value=np.nan) for name in MEASURED}
            codes = classify(measures, frames.DEFAULTS | {"collapse": collapse})
            assert one.counts.tolist() == np.bincount(codes, minlength=5).tolist()
            assert (one.results().tolist(), one.keys["collapse"]) == (
                (codes == 1).tolist(),
                collapse,
            )
            if one.histograms:
                picked = {
                    o: own["seed"][codes == i][:EXAMPLES].tolist() for i, o in enumerate(OUTCOMES)
                }
                assert one.histograms.examples == {o: seeds for o, seeds in picked.items() if seeds}


def test_the_same_threshold_changes_nothing(store: Path) -> None:
    pd.testing.assert_frame_equal(summary(count_runs(store, collapse=0.1)), summary(store))


def test_each_setup_has_its_own_tolerance() -> None:
    tables = [measured({"tolerance": at}, 300, 9) for at in (0.2, 0.4)]
    found = count_runs(frames.frame(*tables), collapse=0.5)
    for one, table in zip(found, tables, strict=True):
        assert one.counts[1] == (table["max_error"].to_pandas() <= one.keys["tolerance"]).sum()
    assert found[0].counts[1] < found[1].counts[1]


def test_measures_are_needed(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no column max_error, one_sided"):
        count_runs(frame.drop(columns=["max_error", "one_sided"]), collapse=0.2)


def test_no_target_varies() -> None:
    """Then there is no spread, and nothing is ever collapsed."""
    runs = frames.table({}, ["partial"] * 4)
    for name in ("spread", "spread_start"):
        runs = runs.set_column(
            runs.column_names.index(name), schema().field(name), pa.nulls(4, pa.float64())
        )
    frame = frames.frame(runs)
    (one,) = count_runs(frame, pictures=True, collapse=0.9)
    assert one.counts.tolist() == [0, 4, 0, 0, 0]  # max_error is 0.25
    assert not collapsing(frame)[["collapsed", "constant_at_start"]].any(axis=None)
    assert density(frame).empty


def test_holds_no_more_than_one_file_and_a_byte_a_seed(tmp_path: Path) -> None:
    """A store of forty files, of which each is some 300 kB in memory."""
    n, parts = 2000, 40
    runs = measured({}, n * parts, 3)
    frames.write(tmp_path, runs, parts=parts)
    one = frames.write(tmp_path / "one", runs.slice(0, n))

    def peak(path: Path) -> int:
        pool = pa.default_memory_pool()
        before = pool.bytes_allocated()
        tracemalloc.start()
        count_runs(path, pictures=True, collapse=0.2)
        traced = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pool.bytes_allocated() <= before + 1000  # what Arrow held of files is gone
        return traced

    peak(one)  # imports, caches
    assert (
        peak(tmp_path) <= peak(one) + 3 * n * parts + 1000 * parts
    )  # a byte a seed, once more to join them, and packed; and the name and the seal of a file


def test_every_setup_column_is_a_key() -> None:
    (one,) = count_runs(frames.frame(frames.table({}, ["partial"])))
    assert list(one.keys) == [column.name for column in SETUP_COLUMNS]
