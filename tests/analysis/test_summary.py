import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sample_frames as frames

from fastbp import contrasts, summary
from fastbp.analysis.counts import count_runs
from fastbp.analysis.statistics.kaplan_meier import mean_time_difference, median_difference
from fastbp.analysis.statistics.paired import holm, mcnemar, odds_ratio, tango
from fastbp.analysis.statistics.proportions import modified_wilson
from fastbp.reporting.phrases import plain
from fastbp.reporting.sections.changes_section import effect_lines
from fastbp.reporting.sections.outcomes_section import result_table
from fastbp.schema.columns import schema
from fastbp.schema.outcomes import OUTCOMES
from fastbp.schema.text import percent, points

BASE = frames.identity({})


@pytest.fixture(scope="module")
def founding() -> list[pa.Table]:
    return frames.founding(2000)


@pytest.fixture(scope="module")
def store(founding: list[pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("founding")
    for i, runs in enumerate(founding):
        frames.write(folder, runs, parts=1 + i % 3)
    return folder


def sweep(axes: dict[str, list[object]], n: int = 8, outcome: str = "partial") -> pd.DataFrame:
    """A full grid of setups whose runs all end alike."""
    rows: list[dict[str, object]] = [{}]
    for key, values in axes.items():
        rows = [row | {key: value} for row in rows for value in values]
    return frames.frame(*(frames.table(row, [outcome] * n) for row in rows))


def changes(table: pd.DataFrame) -> list[tuple[object, ...]]:
    return list(table[["key", "from", "to"]].itertuples(index=False, name=None))


def test_is_the_same_from_files_and_from_frames(founding: list[pa.Table], store: Path) -> None:
    for runs in (
        store,
        str(store),
        store / "runs",
        pd.read_parquet(store / "runs"),
        frames.frame(*founding).sample(frac=1, random_state=0),
    ):
        for one, other in zip(count_runs(runs), count_runs(frames.frame(*founding)), strict=True):
            assert one[:2] == other[:2]
            assert all(np.array_equal(a, b) for a, b in zip(one[2:], other[2:], strict=True))


def test_keeps_the_seeds_as_ranges() -> None:
    seeds = [7, 3, 4, 100, 5]
    ended = ["converged", "partial", "converged", "converged", "diverged"]
    (one,) = count_runs(
        frames.frame(frames.table({}, ended, seeds, ever=[True, True, True, True, False]))
    )
    assert ((one.starts.tolist(), one.lengths.tolist()), one.seeds().tolist()) == (
        ([3, 7, 100], [3, 1, 1]),
        sorted(seeds),
    )
    assert one.results().tolist() == [False, True, False, True, True]
    assert (one.runs, one.ever_converged, one.relapsed) == (5, 4, 1)
    assert dict(zip(OUTCOMES, one.counts.tolist(), strict=True)) == {
        "diverged": 1,
        "converged": 3,
        "collapsed": 0,
        "one-class": 0,
        "partial": 1,
    }


def test_keys_are_plain_values() -> None:
    (one,) = count_runs(frames.frame(frames.table({"epochs": 3, "updates": 24}, ["partial"])))
    assert one.keys["epochs"] == 3
    assert one.keys["targets"] is None
    assert (one.keys["bias"], one.keys["lr"], one.keys["hidden"]) == (True, 0.2, "4")
    assert {type(value) for value in one.keys.values()} == {int, float, bool, str, type(None)}


def test_only_the_setups_asked_for(store: Path) -> None:
    assert [one.setup for one in count_runs(store, setups={BASE})] == [BASE]


def test_reads_words_that_are_no_dictionaries(tmp_path: Path) -> None:
    runs = frames.table({}, ["partial", "converged"])
    runs = runs.set_column(
        runs.column_names.index("outcome"), "outcome", runs["outcome"].cast(pa.string())
    )
    assert count_runs(frames.write(tmp_path, runs))[0].counts.tolist() == [0, 1, 0, 0, 1]


def test_copies_by_other_names_are_no_runs(store: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(store, tmp_path / "copied")
    for file in [*(copied / "runs").iterdir()]:
        shutil.copy(file, file.with_name(f"{file.stem} (1).parquet"))
        shutil.copy(file, file.with_name(f"copy of {file.name}"))
    assert [(one.setup, one.runs) for one in count_runs(copied)] == [
        (one.setup, one.runs) for one in count_runs(store)
    ]


def test_order_of_setups_is_natural() -> None:
    axes: dict[str, list[object]] = {"hidden": ["16", "4", "8-8"], "lr": [1.0, 10.0, 2.5]}
    table = summary(sweep(axes))
    assert (table["hidden"].unique().tolist(), table["lr"].tolist()) == (
        ["4", "8-8", "16"],
        [1.0, 2.5, 10.0] * 3,
    )


def test_mistakes(tmp_path: Path) -> None:
    runs = frames.frame(frames.table({}, ["partial", "converged"]))
    for wrong, line in (
        (runs.drop(columns=["outcome", "converged_at"]), "no column outcome, converged_at"),
        (pd.concat([runs, runs]), f"setup {BASE} has seed 0 twice"),
        (runs.assign(seed=[0, np.nan]), "seed nan is not an integer"),
        (runs.assign(seed=[0, 0.5]), "seed 0.5 is not an integer"),
        (runs.assign(seed=["a", "b"]), "seed a is not an integer"),
        (runs.assign(outcome="fine"), "outcome 'fine' is none of diverged, converged"),
    ):
        with pytest.raises(ValueError, match=line):
            count_runs(wrong)
    with pytest.raises(FileNotFoundError, match="no such store"):
        count_runs(tmp_path / "nowhere")
    for outcomes in (["partial"], ["partial", "converged"]):
        twice = frames.write(tmp_path / "twice", frames.table({}, outcomes))
    with pytest.raises(
        ValueError,
        match=r"runs/\S+ and \S+\.parquet have runs of the same seeds: `fastbp verify "
        r"\S+ --repair`",
    ):
        count_runs(twice)
    assert count_runs(twice, setups=["0" * 12]) == []
    store = frames.write(tmp_path, frames.table({}, ["partial"]))
    (file,) = (store / "runs").iterdir()
    file.rename(file.with_name(file.name.replace(BASE, "0" * 12)))
    with pytest.raises(
        ValueError, match=f"000000000000.* is damaged .it holds runs of setup {BASE}"
    ):
        count_runs(store)


def test_is_what_pandas_counts(founding: list[pa.Table]) -> None:
    runs = frames.frame(*founding)
    table = summary(runs).set_index("setup")
    counts = runs.groupby(["setup", "outcome"], observed=False).size().unstack(fill_value=0)
    counts["constant"] = counts["collapsed"] + counts["one-class"]
    assert (table.columns[:4].tolist(), set(table["runs"])) == (
        ["order", "lr", "updates", "runs"],
        {2000},
    )
    for outcome in ("converged", "collapsed", "one-class", "partial", "constant"):
        name = outcome.replace("-", "_")
        expected = counts[outcome].reindex(table.index)
        assert (table[name].tolist(), table[f"{name}_share"].tolist()) == (
            expected.tolist(),
            (expected / 2000).tolist(),
        )
        low, high = modified_wilson(expected, 2000)
        assert (table[f"{name}_low"].tolist(), table[f"{name}_high"].tolist()) == (
            low.tolist(),
            high.tolist(),
        )
    assert table["diverged"].tolist() == [0] * 8
    assert (
        table["ever_converged"].tolist()
        == runs.groupby("setup", observed=True)["converged_at"]
        .count()
        .reindex(table.index)
        .tolist()
    )


def test_one_setup_has_no_keys() -> None:
    assert summary(sweep({})).columns[:2].tolist() == ["setup", "runs"]


def test_budgets_are_shown_as_written() -> None:
    both = [frames.table({"epochs": e, "updates": 8 * e}, ["partial"]) for e in (10, 5)]
    table = summary(frames.frame(*both))
    assert (table.columns[:2].tolist(), table["epochs"].tolist()) == (["epochs", "setup"], [5, 10])
    mixed = summary(frames.frame(*both, frames.table({"updates": 7}, ["partial"])))
    assert mixed.columns[:2].tolist() == ["epochs", "updates"]
    assert (mixed["updates"].tolist(), mixed["epochs"].dtype) == ([7, 40, 80], "Int64")
    assert changes(contrasts(frames.frame(*both, frames.table({"updates": 7}, ["partial"])))) == [
        ("epochs", 5, 10)
    ]


def test_no_runs() -> None:
    nothing = sweep({}).iloc[:0]
    assert summary(nothing).empty
    assert contrasts(nothing).empty
    assert (result_table(summary(nothing)), effect_lines(contrasts(nothing), summary(nothing))) == (
        ["No runs."],
        [],
    )


def test_is_what_pandas_merges(founding: list[pa.Table], store: Path) -> None:
    runs = frames.frame(*founding).assign(won=lambda f: f["outcome"] == "converged")
    table = contrasts(store, BASE)
    assert len(table) == 12
    for _, row in table.iterrows():
        ends = []
        for value in (row["from"], row["to"]):
            keys = {key: row[key] for key in ("order", "lr", "updates")} | {row["key"]: value}
            ends.append(runs[(runs[list(keys)] == pd.Series(keys)).all(axis=1)][["seed", "won"]])
        both = ends[0].merge(ends[1], on="seed")
        fixed, broken = (
            int((~both.won_x & both.won_y).sum()),
            int((both.won_x & ~both.won_y).sum()),
        )
        assert (row["pairs"], row["fixed"], row["broken"]) == (len(both), fixed, broken)
        assert row["difference"] == pytest.approx(both.won_y.mean() - both.won_x.mean())
        assert (row["difference_low"], row["difference_high"]) == tango(fixed, broken, len(both))
        assert row["p"] == mcnemar(fixed, broken)
        np.testing.assert_array_equal(
            row[["odds_ratio", "odds_ratio_low", "odds_ratio_high"]].astype(float),
            odds_ratio(fixed, broken),
        )
        assert row["difference_simultaneous_low"] <= row["difference_low"]
        assert row["difference_simultaneous_high"] >= row["difference_high"]
    start = dict(zip(("order", "lr", "updates"), ("random", 0.2, 999), strict=True))
    direct = np.array(
        [
            all((row["from"] if key == row["key"] else row[key]) == start[key] for key in start)
            for _, row in table.iterrows()
        ]
    )
    assert direct.sum() == 3
    for family in (direct, ~direct):
        assert table["p_holm"][family].tolist() == holm(table["p"][family]).tolist()


def test_columns(store: Path) -> None:
    table = contrasts(store, BASE)
    assert table.columns.tolist() == [
        "key",
        "from",
        "to",
        "order",
        "lr",
        "updates",
        "pairs",
        "fixed",
        "broken",
        "difference",
        "difference_low",
        "difference_high",
        "p",
        "p_holm",
        "p_simultaneous",
        "difference_simultaneous_low",
        "difference_simultaneous_high",
        "constant_difference",
        "constant_difference_low",
        "constant_difference_high",
        "constant_p",
        "odds_ratio",
        "odds_ratio_low",
        "odds_ratio_high",
        "updates_mean_difference",
        "updates_mean_difference_low",
        "updates_mean_difference_high",
        "updates_median_difference",
        "updates_median_difference_low",
        "updates_median_difference_high",
    ]
    for key in ("order", "lr", "updates"):
        assert table.loc[table["key"] == key, key].isna().all()
        assert table.loc[table["key"] != key, key].notna().all()


def test_only_common_seeds_count() -> None:
    one = frames.table({"lr": 0.1}, ["partial"] * 5 + ["converged"] * 5, seeds=range(10))
    other = frames.table(
        {"lr": 0.2}, ["converged"] * 4 + ["partial"] * 4, seeds=[2, 3, 4, 5, 6, 7, 50, 51]
    )
    (row,) = contrasts(frames.frame(one, other)).itertuples()
    assert (row.pairs, row.fixed, row.broken) == (6, 3, 2)
    assert contrasts(frames.frame(one, frames.table({"lr": 0.2}, ["converged"], seeds=[50]))).empty


def test_many_seeds_are_compared_in_parts(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contrasts(store, BASE)
    monkeypatch.setattr("fastbp.analysis.common_seeds.SEEDS_AT_ONCE", 3)
    assert whole["pairs"].min() > 3
    pd.testing.assert_frame_equal(contrasts(store, BASE), whole)


def timed(updates: int, seeds: range, late: int) -> tuple[pa.Table, pd.Series]:
    """Runs of any times up to `late`: those after the budget have not converged."""
    times = np.random.default_rng(updates).integers(1, late, len(seeds)).astype(float)
    times[times > updates] = np.inf
    done = np.isfinite(times)
    runs = frames.table({"updates": updates}, [*np.where(done, "converged", "partial")], [*seeds])
    place, field = runs.column_names.index("converged_at"), schema().field("converged_at")
    return runs.set_column(
        place, field, pa.array(np.where(done, times, 0).astype(int), mask=~done)
    ), pd.Series(times, seeds)


def test_updates_are_compared_seed_by_seed_up_to_the_smaller_budget(tmp_path: Path) -> None:
    """Setups have other seeds, and their files other times."""
    (soon, one), (late, other) = timed(400, range(100, 700), 700), timed(900, range(500), 600)
    frames.write(tmp_path, soon, parts=4)
    (row,) = contrasts(frames.write(tmp_path, late, parts=3)).to_dict("records")
    both = pd.DataFrame({"before": one, "after": other}).dropna()
    assert (row["from"], row["to"], row["pairs"]) == (400, 900, len(both))
    assert len(both) == 400
    kept, middle = both.clip(upper=400).mean(), both.apply(np.sort).iloc[199]
    assert row["updates_mean_difference"] == pytest.approx(kept["after"] - kept["before"])
    assert row["updates_median_difference"] == middle["after"] - middle["before"]
    for name, found in (("mean", mean_time_difference), ("median", median_difference)):
        ends = [row[f"updates_{name}_difference{end}"] for end in ("", "_low", "_high")]
        assert ends == [*found(both["before"].to_numpy(), both["after"].to_numpy(), 400.0)]
    pd.testing.assert_frame_equal(
        contrasts(frames.frame(soon, late)), contrasts(tmp_path), check_dtype=False
    )


def test_directions_of_the_founding_sweep(store: Path) -> None:
    expected = [("order", "random", "shuffled"), ("lr", 0.2, 0.1), ("updates", 999, 7992)]
    assert changes(contrasts(store, BASE)) == [change for change in expected for _ in range(4)]
    upwards = [("order", "random", "shuffled"), ("lr", 0.1, 0.2), ("updates", 999, 7992)]
    assert changes(contrasts(store)) == [change for change in upwards for _ in range(4)]


def test_all_pairs_of_up_to_four_values() -> None:
    assert changes(contrasts(sweep({"lr": [0.1, 0.2, 0.4, 0.8]}))) == [
        ("lr", a, b) for a in (0.1, 0.2, 0.4, 0.8) for b in (0.1, 0.2, 0.4, 0.8) if a < b
    ]


def test_neighbours_of_more_numbers_and_everything_against_the_baseline() -> None:
    rates: list[object] = [0.1, 0.2, 0.4, 0.8, 1.6]
    runs = sweep({"lr": rates})
    assert changes(contrasts(runs)) == [("lr", a, b) for a, b in pairwise(rates)]
    assert changes(contrasts(runs, BASE)) == [
        ("lr", a, b)
        for a, b in [(0.2, 0.1), (0.2, 0.4), (0.2, 0.8), (0.2, 1.6), (0.4, 0.8), (0.8, 1.6)]
    ]


def test_more_words_only_against_the_baseline() -> None:
    orders: list[object] = ["random", "shuffled", "cyclic", "blocked:2", "blocked:10"]
    runs = sweep({"order": orders})
    assert contrasts(runs).empty
    expected = [("order", "random", o) for o in ("blocked:2", "blocked:10", "cyclic", "shuffled")]
    assert changes(contrasts(runs, BASE)) == expected


def test_widths_are_numbers() -> None:
    assert changes(contrasts(sweep({"hidden": ["2", "4", "8", "16", "32"]}))) == [
        ("hidden", "2", "4"),
        ("hidden", "4", "8"),
        ("hidden", "8", "16"),
        ("hidden", "16", "32"),
    ]


def test_never_across_stop_nor_two_keys() -> None:
    assert contrasts(sweep({"stop": ["budget", "converged"]})).empty
    two = frames.frame(
        frames.table({"lr": 0.1, "momentum": 0.9}, ["partial"]), frames.table({}, ["partial"])
    )
    assert contrasts(two).empty


def test_full_batches_are_one_change() -> None:
    """`batch = "full"` is stored as the problem's rows and makes eval_every 1: as written,
    only the batch differs."""
    runs = frames.frame(
        frames.table({"batch": 1}, ["partial"]),
        frames.table({"batch": 8, "eval_every": 1}, ["partial"]),
    )
    assert (changes(contrasts(runs)), summary(runs).columns[:2].tolist()) == (
        [("batch", 1, 8)],
        ["batch", "eval_every"],
    )
    crossed = changes(contrasts(sweep({"batch": [1, 8], "eval_every": [1, 10]})))
    assert crossed == [("batch", 1, 8)] * 2 + [("eval_every", 1, 10)] * 2


def test_setups_with_the_same_keys_are_not_compared() -> None:
    """Two files of the same base name."""
    runs = frames.frame(frames.table({}, ["partial"]), frames.table({}, ["partial"]))
    runs["setup"] = ["a" * 12, "b" * 12]
    assert contrasts(runs).empty
    assert "aaaaaaaaaaaa" in result_table(summary(runs))[1]


def test_console_founding(store: Path) -> None:
    table = summary(store)
    lines = result_table(table, BASE)
    assert len(lines) == 9
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["order", "lr", "updates", "converged", "95%", "CI", "constant"]
    assert len({line.index("%") for line in lines[1:]}) == 1
    assert "7,992" in lines[2]
    row = table.iloc[2]
    assert lines[3].split()[3:] == [
        percent(row["converged_share"]),
        f"{percent(row['converged_low'])}–{percent(row['converged_high'])}".replace("%", ""),
        percent(row["constant_share"]),
        "baseline",
    ]
    assert [i for i, line in enumerate(lines[1:]) if line.endswith("highest")] == [
        int(table["converged_share"].argmax())
    ]


def test_runs_only_where_their_number_varies() -> None:
    more = frames.frame(
        frames.table({}, ["partial"] * 9), frames.table({"lr": 0.1}, ["partial"] * 10)
    )
    assert [line.split()[1] for line in result_table(summary(more))] == ["runs", "10", "9"]


def test_diverged_only_where_there_is_one() -> None:
    assert "diverged" not in result_table(summary(sweep({})))[0]
    assert result_table(summary(sweep({}, outcome="diverged")))[1].endswith("100%")


def test_one_setup_is_named_by_its_id() -> None:
    assert result_table(summary(sweep({})))[1].startswith(BASE)


def test_no_escape_reaches_the_terminal() -> None:
    assert "\x1b" not in "\n".join(
        result_table(summary(sweep({"problem": ["file:\x1b[2J.csv", "xor"]})))
    )


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [
        (0, 10, "0%"),
        (10, 10, "100%"),
        (1, 3, "33.3%"),
        (1, 10_000, "0.01%"),
        (1, 10**6, "<0.01%"),
        (9_999, 10_000, "99.99%"),
        (10**6 - 1, 10**6, ">99.99%"),
        (999, 1000, "99.9%"),
        (9995, 10_000, "99.95%"),
    ],
)
def test_only_nothing_is_0_and_only_all_is_100(count: int, total: int, text: str) -> None:
    assert percent(count / total) == text


def test_numbers_as_people_read_them() -> None:
    assert [
        plain(v)
        for v in (7992, 1.0, 0.1, True, np.True_, None, np.nan, pd.NA, np.int64(10**6), "a\nb")
    ] == [
        "7,992",
        "1",
        "0.1",
        "true",
        "true",
        "–",
        "–",
        "–",
        "1,000,000",
        "a?b",
    ]
    assert [points(v) for v in (0.7012, -0.004, 0.0003, 0.0, -1e-9)] == [
        "+70.1",
        "−0.4",
        "+0.03",
        "0.0",
        "0.0000",
    ]


def lines_of(runs: pd.DataFrame | Path, baseline: str | None = BASE) -> list[str]:
    return effect_lines(contrasts(runs, baseline), summary(runs), baseline)


def test_founding(store: Path) -> None:
    lines = lines_of(store)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "Each change alone, from order random, lr 0.2, updates 999:"
    assert [line.split("  ")[0] for line in lines[3:6]] == [
        "order random → shuffled",
        "lr 0.2 → 0.1",
        "updates 999 → 7,992",
    ]
    table = contrasts(store, BASE).query("key == 'updates'")
    of_baseline = (table["order"] == "random") & (table["lr"] == 0.2)
    row = table[of_baseline].iloc[0]
    assert lines[5].split()[4:] == [
        plain(row.fixed),
        plain(row.broken),
        points(row.difference),
        points(row.difference_low),
        "to",
        points(row.difference_high),
        "fixes",
    ]
    assert lines[3].endswith("not shown")
    assert "2,000 common seeds" in lines[1], "one number for all needs no column"
    others = table[~of_baseline]["difference"]
    assert lines[-1].split()[4:] == [
        "3",
        points(others.min()),
        "to",
        points(others.max()),
        "shown",
    ]


def test_one_axis() -> None:
    runs = frames.frame(
        frames.table({"lr": 0.1}, ["partial"] * 9), frames.table({"lr": 0.2}, ["converged"] * 9)
    )
    lines = lines_of(runs)
    assert (len(lines), " ".join(lines[3].split())) == (
        4,
        "lr 0.2 → 0.1 0 9 −100.0 −100.0 to −40.2 breaks",
    )
    assert lines_of(runs, None)[3].split()[:4] == ["lr", "0.1", "→", "0.2"]


def test_no_axis() -> None:
    assert lines_of(sweep({})) == []


def test_nothing_differs_in_one_key_alone() -> None:
    two = frames.frame(
        frames.table({"lr": 0.1, "momentum": 0.9}, ["partial"]), frames.table({}, ["partial"])
    )
    assert lines_of(two) == []


@pytest.mark.parametrize("outcome", ["converged", "diverged"])
@pytest.mark.parametrize("n", [1, 500])
def test_all_alike(outcome: str, n: int) -> None:
    lines = lines_of(sweep({"lr": [0.1, 0.2], "order": ["random", "shuffled"]}, n, outcome))
    assert [line.endswith("not shown") for line in lines[3:5]] == [True, True]
    assert lines[-1].split() == ["lr", "0.2", "→", "0.1", "1", "0.0", "not", "shown"]


def test_a_baseline_that_was_not_run() -> None:
    lines = lines_of(sweep({"lr": [0.1, 0.3], "momentum": [0.0, 0.5]}), "0" * 12)
    assert (lines[0], lines[3].split()) == (
        "Each change alone:",
        ["lr", "0.1", "→", "0.3", "2", "0.0", "not", "shown"],
    )


def test_budgets_in_epochs_and_in_updates() -> None:
    keys: list[dict[str, object]] = [
        {"epochs": 10, "updates": 80},
        {"epochs": 5, "updates": 40},
        {"updates": 7},
    ]
    assert (
        "epochs 10 → 5"
        in lines_of(
            frames.frame(*(frames.table(k, ["partial"]) for k in keys)), frames.identity(keys[0])
        )[3]
    )
