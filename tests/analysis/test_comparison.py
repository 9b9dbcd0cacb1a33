"""Two stores of the same setups: which shares moved, against plain counting and SciPy."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sample_frames as frames
from scipy import stats

from fastbp.analysis.comparison import _is_identical, comparison, only_difference
from fastbp.analysis.counts import count_runs
from fastbp.analysis.statistics.paired import holm, mcnemar, tango
from fastbp.reporting.sections.comparison_section import (
    StoreComparison,
    columns,
    compared,
    names_of,
    sentences,
)
from fastbp.schema.columns import schema
from fastbp.schema.errors import SweepError
from fastbp.schema.text import percent, points
from fastbp.store import filename, parquet

C, P = "converged", "partial"
OLD = ("old", "new")


def cells(table: pd.DataFrame) -> list[list[str]]:
    """The texts of a comparison's table."""
    return [[each.cell(row) for each in columns(table)] for row in table.to_dict("records")]


def renamed(runs: pa.Table, setup: str) -> pa.Table:
    """The same runs under another id, as other numerics give it."""
    identity = pa.array([setup] * runs.num_rows, pa.string()).dictionary_encode()
    return runs.set_column(runs.column_names.index("setup"), "setup", identity)


def drawn(seed: int, n: int = 60, start: int = 0, **keys: object) -> pa.Table:
    return frames.table(
        keys,
        frames.mixed(n, np.random.default_rng(seed), 0.05, 0.35, 0.2, 0.2, 0.2),
        np.arange(start, start + n),
    )


def said(a: pd.DataFrame | Path, b: pd.DataFrame | Path) -> list[str]:
    return sentences(comparison(a, b), OLD)


def test_is_what_pandas_merges() -> None:
    a = frames.frame(*(drawn(i, lr=lr) for i, lr in enumerate((0.1, 0.2, 0.4))))
    b = frames.frame(
        *(drawn(10 + i, n=80, start=20 * i, lr=lr) for i, lr in enumerate((0.1, 0.2, 0.4)))
    )
    table = comparison(a, b)
    assert table.columns.tolist() == [
        "lr",
        "setup_a",
        "setup_b",
        "runs_a",
        "converged_a",
        "converged_share_a",
        "constant_share_a",
        "runs_b",
        "converged_b",
        "converged_share_b",
        "constant_share_b",
        "identical",
        "pairs",
        "paired_a",
        "paired_b",
        "fixed",
        "broken",
        "difference",
        "difference_low",
        "difference_high",
        "p",
        "p_holm",
    ]
    assert (
        table["setup_a"].tolist()
        == table["setup_b"].tolist()
        == [frames.identity({"lr": lr}) for lr in (0.1, 0.2, 0.4)]
    )
    for row in table.to_dict("records"):
        one, other = (
            f[f["lr"] == row["lr"]].set_index("seed")["outcome"].astype(str) for f in (a, b)
        )
        for side, own in (("a", one), ("b", other)):
            assert (row[f"runs_{side}"], row[f"converged_{side}"]) == (
                len(own),
                (own == C).sum(),
            )
            assert row[f"converged_share_{side}"] == (own == C).mean()
            assert row[f"constant_share_{side}"] == own.isin(["collapsed", "one-class"]).mean()
        both = pd.concat([one == C, other == C], axis=1, join="inner", keys=["a", "b"])
        fixed, broken = int((~both.a & both.b).sum()), int((both.a & ~both.b).sum())
        assert (row["pairs"], row["fixed"], row["broken"]) == (len(both), fixed, broken)
        assert (row["paired_a"], row["paired_b"]) == (both.a.sum(), both.b.sum())
        assert compared(row) == (both.a.mean(), both.b.mean())
        assert row["difference"] == pytest.approx(both.b.mean() - both.a.mean())
        assert (row["difference_low"], row["difference_high"]) == tango(fixed, broken, len(both))
        assert row["p"] == mcnemar(fixed, broken)
        assert row["p"] == pytest.approx(
            stats.binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1
        )
    assert table["p_holm"].tolist() == holm(table["p"]).tolist()
    assert [row[-1] == "moved" for row in cells(table)] == (table["p_holm"] < 0.05).tolist()


def test_is_what_scipy_says() -> None:
    a, b = drawn(1, n=70), drawn(2, n=50, start=1000)
    (row,) = comparison(frames.frame(a), frames.frame(b)).to_dict("records")
    x, y = row["converged_a"], row["converged_b"]
    assert ((row["pairs"], row["fixed"], row["broken"]), (row["paired_a"], row["paired_b"])) == (
        (0, 0, 0),
        (0, 0),
    )
    assert compared(row) == (x / 70, y / 50), "of all runs"
    assert row["difference"] == pytest.approx(y / 50 - x / 70)
    assert row["p"] == row["p_holm"] == stats.fisher_exact([[x, 70 - x], [y, 50 - y]]).pvalue
    wilson = [stats.binomtest(k, n).proportion_ci(method="wilson") for k, n in ((x, 70), (y, 50))]
    (low1, high1), (low2, high2) = ((ci.low, ci.high) for ci in wilson)
    p, q = x / 70, y / 50
    assert row["difference_low"] == pytest.approx(q - p - np.hypot(q - low2, high1 - p))
    assert row["difference_high"] == pytest.approx(q - p + np.hypot(high2 - q, p - low1))


def test_beside_pairs_in_one_table() -> None:
    a = frames.frame(frames.table({}, [P] * 30), frames.table({"lr": 0.1}, [P] * 30))
    b = frames.frame(frames.table({}, [C] * 30, range(30, 60)), frames.table({"lr": 0.1}, [C] * 30))
    table = comparison(a, b)
    assert (table["pairs"].tolist(), table["difference"].tolist()) == ([30, 0], [1, 1])
    assert table["p_holm"].tolist() == holm(table["p"]).tolist()
    assert said(a, b) == [
        "The share converged moved in 2 of 2 setups that both have, most by +100.0 points (95% "
        "interval +77.3 to +100.0): from 0% in old to 100% in new, "
        "with lr 0.1.",
        "1 setup shares no seeds: there the comparison is of independent runs.",
    ]


def test_other_ids_of_the_same_keys() -> None:
    runs = [drawn(i, lr=lr) for i, lr in enumerate((0.1, 0.2))]
    other = frames.frame(*(renamed(each, f"{i:012x}") for i, each in enumerate(runs)))
    table = comparison(frames.frame(*runs), other)
    assert (table["setup_b"].tolist(), table["difference"].tolist()) == (
        ["0" * 12, f"{1:012x}"],
        [0, 0],
    )
    assert table["identical"].isna().all()


def test_the_threshold_is_no_part_of_a_setup() -> None:
    assert (
        len(
            comparison(
                frames.frame(drawn(1)), frames.frame(renamed(drawn(1, collapse=0.2), "0" * 12))
            )
        )
        == 1
    )


def test_budgets_as_written() -> None:
    """80 updates and 10 epochs of 8 are two setups."""
    a, b = (
        frames.frame(frames.table(keys, [P]))
        for keys in ({"updates": 80}, {"updates": 80, "epochs": 10})
    )
    assert len(comparison(a, b)) == 2


def test_runs_that_do_not_say_their_keys_match_by_id() -> None:
    a, b = (
        frames.frame(drawn(1, lr=0.1), drawn(2, lr=lr))[
            ["setup", "seed", "outcome", "converged_at"]
        ]
        for lr in (0.2, 0.4)
    )
    assert comparison(a, b)["setup_b"].notna().tolist() in (
        [True, False, True],
        [False, True, True],
    )


def test_setups_of_one_alone() -> None:
    a = frames.frame(drawn(1, lr=0.1), drawn(2, lr=0.2), drawn(3, lr=0.4))
    table = comparison(a, frames.frame(drawn(1, lr=0.1), drawn(3, lr=0.8)))
    assert (table["lr"].tolist(), table["setup_a"].isna().tolist()) == (
        [0.1, 0.2, 0.4, 0.8],
        [False, False, False, True],
    )
    assert table["setup_b"].isna().tolist() == [False, True, True, False]
    alone = table.iloc[1:]
    assert (
        alone[["difference", "difference_low", "difference_high", "p", "p_holm", "identical"]]
        .isna()
        .all(axis=None)
    )
    assert alone[["pairs", "paired_a", "paired_b", "fixed", "broken"]].eq(0).all(axis=None)
    assert table["p_holm"].iloc[0] == 1, "Holm's table has what is compared"
    assert sentences(table, OLD) == [
        "The convergence rate does not change significantly in the one setup that both have "
        "(at most 6.0 points, pointwise at 95% confidence).",
        "1 setup is not in old.",
        "2 setups are not in new.",
    ]
    assert [row[1] for row in cells(table)] == ["60", "60 → 0", "60 → 0", "0 → 60"]


def test_no_runs() -> None:
    nothing = frames.frame(drawn(1)).iloc[:0]
    table = comparison(nothing, nothing)
    assert table.empty
    assert sentences(table, OLD) == [
        "old and new have no setup in common: there is nothing to compare."
    ]
    assert len(comparison(nothing, frames.frame(drawn(1)))) == 1


def test_one_id_comes_before_the_same_keys() -> None:
    """Two files of one name: each finds itself, whichever comes first."""
    a = [renamed(drawn(i, problem="file:d.csv"), setup * 12) for i, setup in enumerate("ab")]
    for b in (a, a[::-1], [a[1]], [a[0]]):
        found = {
            (row["setup_a"], row["setup_b"])
            for row in comparison(frames.frame(*a), frames.frame(*b)).to_dict("records")
            if row["setup_b"]
        }
        assert found == {(each["setup"][0].as_py(),) * 2 for each in b}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [("a", "a", True), ("a", "b", False), ("a", "", False), ("", "", False)],
)
def test_files_of_one_name_are_the_same_where_their_data_is(
    tmp_path: Path, first: str, second: str, same: bool
) -> None:
    stores = []
    for name, digest in (("one", first), ("two", second)):
        runs = renamed(drawn(1, problem="file:d.csv"), ("1" if name == "one" else "2") * 12).cast(
            schema()
        )
        stores.append(
            frames.write(
                tmp_path / name, runs, said={"fastbp.problem": digest * 64} if digest else {}
            )
        )
    assert len(comparison(*stores)) == (1 if same else 2)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for i, lr in enumerate((0.1, 0.2)):
        frames.write(tmp_path / "a", drawn(i, lr=lr), parts=2)
    return tmp_path / "a"


def test_the_same_store_twice(store: Path) -> None:
    table = comparison(store, store)
    assert (table["identical"].tolist(), table["p"].tolist()) == ([True, True], [1, 1])
    assert sentences(table, OLD) == [
        "The convergence rate does not change significantly in any of 2 setups that both have.",
        "In all of them every row is the same, bit for bit.",
    ]
    assert [row[-1] for row in cells(table)] == ["same rows"] * 2
    assert comparison(str(store), store / "runs")["identical"].all()


def test_one_bit(store: Path, tmp_path: Path) -> None:
    other = shutil.copytree(store, tmp_path / "b")
    file = next(filename.run_files(other / "runs")).path
    rows, _ = parquet.read(file)
    loss = rows["loss"].to_numpy().copy()
    loss[0] = np.nextafter(loss[0], 1)
    file.unlink()
    frames.write(
        other,
        rows.set_column(rows.column_names.index("loss"), schema().field("loss"), pa.array(loss)),
    )
    table = comparison(store, other)
    assert sorted(table["identical"].tolist()) == [False, True]
    assert sentences(table, OLD)[1] == "In 1 of them every row is the same, bit for bit."


def test_files_that_are_cut_elsewhere_do_not_tell(store: Path, tmp_path: Path) -> None:
    frames.write(tmp_path / "b", drawn(0, lr=0.1))
    assert comparison(store, tmp_path / "b")["identical"].isna().all()
    assert comparison(pd.read_parquet(store / "runs"), store)["identical"].isna().all()
    assert comparison(count_runs(store), count_runs(store))["identical"].isna().all()
    one, two = count_runs(store)
    there, gone = ({each.setup: {(0, 1): "digest"}} for each in (one, two))
    assert _is_identical(one, one, there, gone) is _is_identical(one, one, gone, there) is None


def test_the_strongest_is_told() -> None:
    a = frames.frame(*(frames.table({"lr": lr}, [P] * 40) for lr in (0.1, 0.2, 0.4)))
    b = frames.frame(
        *(
            frames.table({"lr": lr}, [C] * n + [P] * (40 - n))
            for lr, n in ((0.1, 12), (0.2, 36), (0.4, 1))
        )
    )
    table = comparison(a, b)
    assert sentences(table, OLD) == [
        "The share converged moved in 2 of 3 setups that both have, most by +90.0 points (95% "
        "interval +73.4 to +96.0): from 0% in old to 90.0% in new, "
        "with lr 0.2."
    ]
    assert [row[-1] for row in cells(table)] == ["moved", "moved", "not shown"]
    assert said(b, a)[0].startswith(
        "The share converged moved in 2 of 3 setups that both have, most by −90.0 points (95% "
        "interval −96.0 to −73.4): from 90.0%"
    )


def test_shares_of_other_seeds_are_told_apart() -> None:
    """Of b's runs 25% converge, of those of a's seeds 80%."""
    a, b = (
        frames.frame(frames.table({}, [P] * 30)),
        frames.frame(frames.table({}, [C] * 24 + [P] * 75 + [C])),
    )
    (row,) = comparison(a, b).to_dict("records")
    assert said(a, b) == [
        "The share converged moved in the one setup that both have by "
        f"{points(row['difference'])} points (95% interval {points(row['difference_low'])} to "
        f"{points(row['difference_high'])}) on the 30 seeds "
        f"that both ran: from 0% in old to {percent(24 / 30)} in new, with setup "
        f"{frames.identity({})}."
    ]
    (cell,) = cells(comparison(a, b))
    assert cell[1:3] == ["30 → 100", "0% → 80.0%"]


def test_one_setup_that_is_the_same(tmp_path: Path) -> None:
    frames.write(tmp_path, drawn(1))
    assert said(tmp_path, tmp_path) == [
        "The convergence rate does not change significantly in the one setup that both have.",
        "Every row is the same, bit for bit.",
    ]


def test_no_seeds_in_common() -> None:
    a = frames.frame(drawn(1, lr=0.1), drawn(1, lr=0.2))
    b = frames.frame(drawn(1, start=100, lr=0.1), drawn(1, start=100, lr=0.2))
    assert said(a, b)[1] == "2 setups share no seeds: there the comparison is of independent runs."


def test_the_terminal_has_a_line_for_each() -> None:
    table = comparison(
        frames.frame(drawn(1, lr=0.1)), frames.frame(drawn(2, lr=0.1), drawn(2, lr=0.2))
    )
    lines = StoreComparison(table, [], []).lines(200)  # at 80 columns some are left out
    assert " ".join(lines[0].split()) == (
        "lr runs converged constant pairs fixed broken difference in points [95%] p (Holm) effect"
    )
    assert (len(lines), lines[2].split()[:5]) == (3, ["0.2", "0", "→", "60", "–"])


# Over a key in which the stores differ on purpose


def test_setups_are_matched_apart_from_a_key() -> None:
    before = frames.frame(*(drawn(i, lr=lr, momentum=0.0) for i, lr in enumerate((0.1, 0.2))))
    after = frames.frame(*(drawn(9 + i, lr=lr, momentum=0.9) for i, lr in enumerate((0.1, 0.2))))
    table = comparison(before, after, "momentum")
    assert table.columns[:5].tolist() == ["lr", "setup_a", "setup_b", "momentum_a", "runs_a"]
    assert table[["lr", "momentum_a", "momentum_b", "pairs"]].to_numpy().tolist() == [
        [0.1, 0.0, 0.9, 60],
        [0.2, 0.0, 0.9, 60],
    ]
    alike = comparison(before, after.assign(momentum=0.0))  # the same runs as if they were alike
    same = ["runs_a", "converged_a", "runs_b", "converged_b", "fixed", "broken", "p_holm"]
    pd.testing.assert_frame_equal(table[same], alike[same])
    assert (only_difference(before, after), comparison(before, after)["pairs"].sum()) == (
        "momentum",
        0,
    )


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("updates", {"updates": 80}, {"updates": 160}),
        ("updates", {"updates": 80}, {"updates": 80, "epochs": 10}),
        ("epochs", {"updates": 80, "epochs": 10}, {"updates": 160, "epochs": 20}),
        ("loss", {"loss_function": "squared"}, {"loss_function": "cross-entropy"}),
        ("problem", {"problem": "file:a.csv"}, {"problem": "file:b.csv"}),
        ("scale_inputs", {"problem": "xor"}, {"problem": "xor", "scale_inputs": "standard"}),
    ],
)
def test_a_budget_a_loss_or_the_data_may_be_what_differs(
    key: str, one: dict[str, object], other: dict[str, object]
) -> None:
    a, b = frames.frame(drawn(1, **one)), frames.frame(drawn(2, **other))
    assert (
        comparison(a, b, key)["pairs"].tolist(),
        comparison(a, b, only_difference(a, b))["pairs"].tolist(),
    ) == ([60], [60])


def test_what_cannot_be_varied_is_refused() -> None:
    a = frames.frame(drawn(1, lr=0.1), drawn(2, lr=0.2))
    b = frames.frame(drawn(1, lr=0.1, momentum=0.9), drawn(2, lr=0.2, momentum=0.9))
    for first, second, key, said in (
        (a, b, "momentun", "given 'momentun', allowed: a key of .setup.; did you mean 'momentum'?"),
        (a, b, "collapse", "given 'collapse', allowed: a key of .setup."),
        (a, b, "lr", r"the first store has setups that differ in lr alone \(0.1 and 0.2\)"),
        (a, a, "momentum", "given 'momentum', allowed: a key in which the two stores differ"),
    ):
        with pytest.raises(SweepError, match=f"vary: {said}"):
            comparison(first, second, key)


def test_stores_that_differ_in_two_keys_have_no_only_difference() -> None:
    a, b = frames.frame(drawn(1)), frames.frame(drawn(1, lr=0.7, momentum=0.9))
    assert only_difference(a, b) is None
    assert only_difference(a, a) is None


@pytest.mark.parametrize(
    ("a", "b", "names"),
    [
        ("x/one", "x/two", ("one", "two")),
        ("one/run", "two/run", ("one/run", "two/run")),
        ("p/q/one/r/s", "p/q/two/r/s", ("one/r/s", "two/r/s")),
        ("same", "same", ("same", "same")),
        ("a", "a/a", ("a", "a")),
        ("a\nb", "c\x1b[2J", ("a?b", "c?[2J")),
        ("\u202ea", "\udcff", ("?a", "?")),
    ],
)
def test_shortest_ends_that_differ(tmp_path: Path, a: str, b: str, names: tuple[str, str]) -> None:
    found = names_of(tmp_path / a, tmp_path / b)
    if a in b and a != b:
        assert found[0] != found[1]
        assert tuple(each.rsplit("/", 1)[-1] for each in found) == names
    else:
        assert found == names
