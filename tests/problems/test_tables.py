"""Tables as people have them: classes and quantities, rows that are held out, scales, weights of
classes, and what is noted about the data."""

import io
import json
import math
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from stores import few_lanes
from sweep_texts import mistakes_of

import fastbp
from fastbp.analysis.counts import count_runs
from fastbp.config.setup import Setup
from fastbp.config.sweep import Sweep
from fastbp.engine import block, stored_run
from fastbp.problems import data_notes, samples
from fastbp.problems.problem import Group
from fastbp.problems.split import arranged, held_out
from fastbp.reporting.report_data import ReportData
from fastbp.reporting.sections.examples_section import _measured, examples
from fastbp.schema.errors import SweepError
from fastbp.schema.text import percent
from fastbp.store.store import Store


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    few_lanes(monkeypatch)
    return tmp_path


def table(*values: object, **keys: Any) -> Setup:
    """A setup of a table with these targets `y`, in which all inputs differ."""
    rows = "".join(f"{i / len(values)},{value}\n" for i, value in enumerate(values))
    Path("d.csv").write_text("x,y\n" + rows)
    return Setup(**{"problem": "file:d.csv", "targets": "y", "updates": 9} | keys)


def read(text: str) -> object:
    """A value as JSON, or as text."""
    return text if text == "u" else json.loads(text)


def ids(setup: Setup) -> dict[str, str]:
    return dict(setup.data_notes())


# Classes and quantities


@pytest.mark.parametrize(
    ("values", "kind", "groups"),
    [
        ("-1 1", "auto", [(0, 1, ("-1", "1"))]),
        ("3 700", "auto", [(0, 1, ("3", "700"))]),  # two integers, however often
        ("1 2 3 1 2 3", "auto", [(0, 3, ("1", "2", "3"))]),
        ("1 2 3 1 2", "auto", []),  # 3 only once
        (" ".join(map(str, [*range(20)] * 2)), "auto", [(0, 20, tuple(map(str, range(20))))]),
        (" ".join(map(str, [*range(21)] * 2)), "auto", []),
        ("0.0 1.0", "auto", [(0, 1, ("0", "1"))]),
        ("0.0 1.0 0.5", "auto", []),
        ("true false", "auto", [(0, 1, ("false", "true"))]),
        ("u u", "auto", [(0, 1, ("u",))]),
        ("1 2 3", "classes", [(0, 3, ("1", "2", "3"))]),
        ("2.0 1.0 3.0", "classes", [(0, 3, ("1", "2", "3"))]),
        ("0 1", "quantity", []),
        ("true false", "quantity", []),
    ],
)
def test_kinds_of_targets(values: str, kind: str, groups: list[Group]) -> None:
    setup = table(*values.split(), target_kind=kind, scale_targets="minmax")
    assert setup.source.meaning.groups == tuple(groups)
    assert setup.groups == tuple(group[:2] for group in groups)
    assert setup.quantities == (() if groups else (0,))
    Y = np.array(list(map(read, values.split())))  # the same from memory
    one = Setup.from_arrays(Y[:, None] == Y, Y, target_kind=kind, scale_targets="minmax", updates=9)
    assert one.source.meaning == setup.source.meaning


ONE_HOT = np.eye(3)[[0, 1, 2, 1]]


@pytest.mark.parametrize(
    ("T", "kind", "groups"),
    [
        (ONE_HOT.astype(int), "auto", ((0, 3),)),
        (ONE_HOT.astype(bool), "auto", ((0, 3),)),
        (ONE_HOT, "classes", ((0, 3),)),
        (ONE_HOT, "auto", ((0, 3),)),
        (0.9 * ONE_HOT, "auto", ()),
        (ONE_HOT[:, :2].astype(int), "auto", ((0, 1), (1, 1))),
    ],
)
def test_columns_that_are_one_hot_are_one_target(T: Any, kind: str, groups: Any) -> None:
    assert Setup.from_arrays(np.eye(4), T, target_kind=kind, updates=9).groups == groups


@pytest.mark.parametrize(
    ("values", "keys", "line"),
    [
        (
            (12, 98, 30),
            {},
            "scale_targets: given 'none', allowed: minmax, as 'y' of file:d.csv runs from 12 to 98 "
            'and sigmoid outputs only reach 0 to 1: add scale_targets = "minmax" or output = '
            '"linear" or target_kind = "classes"',
        ),
        (
            (0.5, 1.5),
            {},
            "scale_targets: given 'none', allowed: minmax, as 'y' of file:d.csv runs from 0.5 to "
            '1.5 and sigmoid outputs only reach 0 to 1: add scale_targets = "minmax" or output = '
            '"linear"',
        ),
        (
            (0.5, 1.0),
            {"target_kind": "classes"},
            "problem: given 'file:d.csv', allowed: integers, true and false, and text as classes; "
            "'y' is none of these in row 1: 0.5",
        ),
        (
            ("u", "v"),
            {"target_kind": "quantity"},
            "problem: given 'file:d.csv', allowed: numbers, true and false in all targets with "
            "target_kind = \"quantity\"; 'y' has text in rows 1 and 2, such as 'u'",
        ),
        (
            (0.5, 0.6),
            {"class_weight": "balanced"},
            "class_weight: given 'balanced', allowed: none, as no target is classes",
        ),
        ((1,), {"test": 0.5}, "test: given 0.5, allowed: 0, as file:d.csv has only one row"),
        (
            (1, 0),
            {"test_split": "seed"},
            "test_split: given 'seed', allowed: fixed, or with held-out rows: test > 0",
        ),
        (
            (1, 0),
            {"problem": "xor", "targets": None, "target_kind": "classes"},
            "target_kind: given 'classes', allowed: only with problem = 'file:PATH'",
        ),
        (
            (1, 0),
            {"problem": "xor"},
            "targets: given ['y'], allowed: only with problem = 'file:PATH'",
        ),
    ],
)
def test_what_is_refused(values: tuple[object, ...], keys: dict[str, Any], line: str) -> None:
    assert mistakes_of(table, *values, **keys) == [line]
    base = {"problem": "file:d.csv", "targets": "y", "updates": 9} | keys
    setup = {key: value for key, value in base.items() if value is not None}
    assert mistakes_of(Sweep, seeds=1, setup=setup) == [f"setup.{line}"]


def test_a_diagnosis_takes_targets_out_of_range() -> None:
    with pytest.raises(SweepError):
        table(0.5, 98.5)
    data = {"seeds": 1, "setup": {"problem": "file:d.csv", "targets": "y", "updates": 9}}
    (setup,) = Sweep.from_dict(data, any_range=True).setups
    one = Setup.from_arrays([[0], [1]], [0.5, 98.5], any_range=True, updates=9)
    for each in (setup, one, setup.with_columns({"lr": 0.5})):
        assert each.data().T.tolist() == [[0.5], [98.5]]


@pytest.mark.parametrize(
    ("values", "success"),
    [
        ((0.5, 0.25), "r2:0.9"),
        ("aab", "accuracy:0.95"),
        (97 * "a" + "bbb", "accuracy:0.985"),
        (2999 * "a" + "b", "accuracy:0.99983"),
    ],
)
def test_success_is_more_than_the_commonest_answer(here: Path, values: Any, success: str) -> None:
    assert f'\nsuccess = "{success}"\n' in Sweep(seeds=1, setup=table(*values).settings()).to_toml(
        here
    )


# Rows that are held out


@given(st.data())
def test_held_out_rows(data: st.DataObject) -> None:
    n, test = data.draw(st.integers(2, 60)), data.draw(st.floats(0.001, 0.9))
    labels = data.draw(
        arrays(np.float64, (n, data.draw(st.integers(0, 2))), elements=st.sampled_from([0, 1]))
    )
    count = held_out(n, test)
    assert count == max(1, min(n - 1, math.floor(n * test + 0.5)))
    order = arranged(data.draw(st.text("0123456789abcdef", min_size=64)), labels, count)
    assert sorted(order) == list(range(n))
    for part in (order[: n - count], out := order[n - count :]):
        assert (np.diff(part) > 0).all()
    masks = [(labels == row).all(axis=1) for row in np.unique(labels, axis=0)]
    assert min([mask.sum() - mask[out].sum() for mask in masks]) > 0 or n - count < len(masks)
    if all(mask.mean() * (n - count) >= 1 for mask in masks):  # rounding leaves a row of each
        for mask in masks:
            assert abs(mask[out].sum() - mask.sum() * count / n) < 1


@given(st.integers(2, 40), st.floats(0.001, 0.9))
def test_the_last_rows_can_be_held_out(n: int, test: float) -> None:
    X, T = np.arange(n)[:, None], np.arange(n) % 2
    setup = Setup.from_arrays(X, T, updates=9, test=test, test_split="last")
    assert (setup.data().X == X).all()
    assert setup.rows == n - held_out(n, test)
    assert setup.for_seed(3) is setup


def test_a_split_never_changes() -> None:
    """Known answers: the words of Philox are the same in every release of NumPy."""
    assert arranged("6" * 64, np.zeros((10, 0)), 3)[-3:].tolist() == [0, 7, 9]
    assert arranged("6" * 64, np.eye(10)[:, :1], 3)[-3:].tolist() == [1, 7, 9]
    for keys in ({"lr": 2}, {"scale_inputs": "minmax"}, {"hidden": [2], "target_margin": 0.1}):
        setup = Setup(problem="parity:3", updates=9, test=0.25, **keys)
        assert setup.held_out().X.tolist() == [[0, 0, 1], [0, 1, 1]]
    assert Setup(problem="parity:3", updates=9).held_out() is None


PRICES = (3.5, 9.0, 4.0, 1.0, 50.0, 12.0, 7.0, 8.0)
SCALED: dict[str, Any] = {"scale_inputs": "minmax", "scale_targets": "minmax", "test": 0.4}


@pytest.mark.parametrize("margin", [0, 0.1])
def test_scales_come_from_the_rows_to_train_on(margin: float) -> None:
    setup = table(*PRICES, **SCALED, target_margin=margin)
    assert (setup.rows, setup.test_rows, setup.updates_per_epoch) == (5, 3, 5)
    (X, T), out = setup.training(), setup.held_out()
    assert (X.min(), X.max()) == (0, 1)
    np.testing.assert_allclose((T.min(), T.max()), (margin, 1 - margin), rtol=1e-15)
    assert np.concatenate([T, out.T]).tolist() == setup.data().T.tolist()
    np.testing.assert_allclose(
        sorted(setup.in_table_units(setup.data().T).ravel()), sorted(PRICES), rtol=1e-14
    )


def test_held_out_rows_change_no_run() -> None:
    setup = table(*PRICES, **SCALED)
    alone = fastbp.retrain(Setup.from_arrays(*setup.training(), updates=9), 3)
    run = fastbp.retrain(setup, 3)
    assert pickle.dumps(run.final) == pickle.dumps(alone.final)
    outputs = alone.evaluations["outputs"].iloc[-1]
    low, high = setup.in_table_units(np.array([[0.0], [1.0]])).ravel()
    answers = run.evaluations["outputs"].iloc[-1]
    np.testing.assert_allclose(answers, low + outputs * (high - low), rtol=1e-6)
    fastbp.run(Sweep(seeds={"start": 3, "count": 1}, setup=setup.settings()), "store")
    (shown,) = examples(ReportData(Path("store"), count_runs(Path("store"), pictures=True), None))
    np.testing.assert_allclose(shown["outputs"], answers, rtol=1e-6)  # a page shows the same
    np.testing.assert_allclose(shown["targets"], setup.in_table_units(setup.training().T))
    np.testing.assert_allclose(shown["ends"], (low, high))
    assert _measured(shown | {"loss": 0.0, "spread": 0.0}) == ", loss 0, spread 0"
    assert _measured(shown | {"loss": 0.5, "spread": None}) == ", loss 0.5"


@pytest.mark.parametrize("keys", [{}, {"batch": 2, "stop": "converged"}, {"dtype": "float32"}])
def test_each_seed_may_have_a_split_of_its_own(here: Path, keys: dict[str, Any]) -> None:
    keys = {"updates": 23, "lr": 2, "success": "r2:0.5"} | keys
    setup = table(*PRICES, **SCALED | keys, test_split="seed")
    rows, own = block.train(setup, 0, 4), [setup.for_seed(seed) for seed in range(4)]
    assert len({each.held_out().X.tobytes() for each in own}) > 2
    for seed, each in enumerate(own):  # the same as of these rows alone
        alone = block.train(Setup.from_arrays(*each.training(), **keys), seed, 1)
        for mine, theirs in zip(rows[:4], alone[:4], strict=True):
            np.testing.assert_array_equal(mine[..., [seed]], theirs)
        np.testing.assert_array_equal(rows.outputs[seed], alone.outputs[0])
    fastbp.run(Sweep(seeds=4, setup=setup.settings()), "store")
    assert (
        stored_run.differences(
            stored_run.find(Store(Path("store")), setup.identity(), "3", held=True)
        )
        == []
    )


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=30))
def test_balanced_classes_count_the_same(labels: list[str]) -> None:
    keys: dict[str, Any] = {"class_weight": "balanced", "updates": 9}
    setup = Setup.from_arrays(np.arange(len(labels))[:, None], np.array(labels), **keys)
    weights = setup.row_weights()
    totals = [weights[np.array(labels) == label].sum() for label in {*labels}]
    np.testing.assert_allclose(totals, len(labels) / len(totals))
    assert setup.replaced(class_weight="none").row_weights() is None


# Notes


X = np.array([[0, 20, 5], [1, 30, 5], [0, 20, 5], [1, 30, 5], [1, 30, 5]])
ONLY = "sigmoid outputs only reach 0 to 1"
EQUAL = "equal inputs with different answers in 3 rows"


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (
            lambda: table(-1, 1),
            {
                "recoded-labels": "labels -1/1 became 0/1: a sigmoid output never gives -1; in "
                "your code use 0/1"
            },
        ),
        (lambda: table("no", "yes"), {"recoded-labels": "labels no/yes became 0/1"}),
        (lambda: table(0, 1), {}),
        (lambda: table(True, False), {}),
        (lambda: table(0.5, 0.25), {}),
        (
            lambda: table(*[0] * 19, 1),
            {
                "imbalanced": "95.0% of the rows are class 0: always answering 0 is 95.0% right",
            },
        ),
        (lambda: table(*[0] * 4, 1), {}),
        (
            lambda: table(*range(30), target_kind="classes"),
            {
                "recoded-labels": "30 classes of 'y' became an output each: 0, 1, 2 and 27 more",
                "many-classes": "'y' has 30 classes, the rarest in 1 row; if it is a quantity, use "
                'target_kind = "quantity"',
            },
        ),
        (
            lambda: Setup.from_arrays(X, [0, 1, 0, 1, 0], updates=9),
            {
                "unscaled-inputs": "inputs are not scaled: 'x1' runs from 20 to 30; add "
                'scale_inputs = "standard"',
                "constant-column": "no network learns from x2: the same in every row",
                "contradicting-rows": f"{EQUAL}: at most 80.0% can be right",
                "duplicated-rows": "2 rows repeat another, inputs and answers alike",
            },
        ),
        (
            lambda: Setup.from_arrays(
                X[:, :1], [0, 1.5, 0.5, 0.5, 1.5], updates=9, scale_inputs="minmax", any_range=True
            ),
            {
                "out-of-range-target": f"'t0' runs from 0 to 1.5, and {ONLY}: add scale_targets = "
                '"minmax" or output = "linear"',
                "contradicting-rows": f"{EQUAL.replace('3', '5')}: R² is at most 0.56",
                "duplicated-rows": "1 row repeats another, inputs and answers alike",
            },
        ),
        (
            lambda: Setup.from_arrays([[1e15], [1e15 + 8], [1e15 + 1]], [0, 1, 0], updates=9),
            {
                "unscaled-inputs": "inputs are not scaled: 'x0' runs from 1000000000000000 to "
                '1000000000000008; add scale_inputs = "standard"',
            },
        ),
        (lambda: Setup(problem="encoder:8", updates=9), {}),
        (lambda: Setup(problem="parity:4", updates=9), {}),
    ],
)
def test_notes_about_data(setup: Callable[[], Setup], expected: dict[str, str]) -> None:
    assert ids(setup()) == expected


def test_notes_are_short() -> None:
    texts = ids(table(*(f"{i}" * 500 for i in range(30)), *["z" * 500] * 300))
    assert texts.keys() == {"recoded-labels", "many-classes", "imbalanced"}
    assert max(map(len, texts.values())) <= 200


@pytest.mark.parametrize(("unit", "r2"), [(1e-200, None), (1e-100, 0.75), (0.1, 0.75)])
def test_small_quantities_have_a_best_possible_score(unit: float, r2: float | None) -> None:
    """If their squares are not 0. A warning would be an error."""
    setup = Setup.from_arrays([[1], [1], [2]], [unit, 3 * unit, 5 * unit], updates=9)
    assert data_notes.best_possible(setup.source, slice(None)).get("r2") == (
        r2 and pytest.approx(r2)
    )


def test_a_table_that_became_a_pipe_or_has_no_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    os.symlink("/proc/self/pagemap", tmp_path / "endless.csv")
    for name in ("pipe.csv", "endless.csv"):
        assert samples.fixed(tmp_path / name, None) is None


def test_a_copy_of_a_table_of_pandas_has_no_index(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [1.0, None, 3.0], "y": [0, 1, 0]})
    table.index = pd.RangeIndex(3, name=5)
    with warnings.catch_warnings(action="ignore"):  # of the name of the index
        table.to_parquet(tmp_path / "a.parquet")
    copied = samples.fixed(tmp_path / "a.parquet", ["y"])
    assert copied
    assert pd.read_parquet(io.BytesIO(copied[0])).to_dict("list") == {"x": [1.0, 3.0], "y": [0, 0]}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=9))
def test_at_most_so_many_can_be_right(rows: list[tuple[int, int]]) -> None:
    X, y = np.array(rows).T
    setup = Setup.from_arrays(X[:, None], y, target_kind="classes", updates=9)
    best = sum(max((y[x == X] == answer).sum() for answer in range(3)) for x in {*X.tolist()})
    note = ids(setup).get("contradicting-rows", "at most 100% can be right")
    assert note.endswith(f"at most {percent(best / len(rows))} can be right")


@pytest.mark.parametrize("dtype", [object, "str", "category", "boolean", None])
def test_a_diagnosis_takes_labels_as_pandas_holds_them(dtype: str | type | None) -> None:
    labels = pd.Series(["no", "yes", "yes", "no"])
    labels = labels == "yes" if dtype == "boolean" else labels
    T = list(labels) if dtype is None else labels.astype(dtype)
    X, T, notes = samples.fixed_arrays(pd.DataFrame({"a": range(4)}), T)
    assert notes == []
    assert Setup.from_arrays(X, T, updates=9).data().T.ravel().tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("suffix", ["npz", "parquet", "csv"])
def test_rows_with_gaps_are_left_out_of_a_diagnosis(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"a": [0, 1, np.nan, 1], "t": [0.0, np.nan, 1, 1]})
    path = Path(f"d.{suffix}")
    if suffix == "npz":
        np.savez(path, X=frame[["a"]], T=frame["t"])
    else:
        {"csv": frame.to_csv, "parquet": frame.to_parquet}[suffix](path, index=False)
    content, notes = samples.fixed(path, ["t"])
    assert notes == [("missing-values", "missing values in rows 2 and 3: 2 of 4 rows are left out")]
    monkeypatch.setattr(samples, "MAX_LEARNT", 1)
    monkeypatch.setattr(samples, "SAMPLED", 1)
    assert samples.fixed(path, ["t"])[1][1].text.startswith(f"d.{suffix} has 2 rows, more than 1: ")
    path.write_bytes(content)
    setup = Setup(problem=f"file:{path}", targets=None if suffix == "npz" else "t", updates=9)
    assert [part.tolist() for part in setup.data()] == [[[0], [1]], [[0], [1]]]
