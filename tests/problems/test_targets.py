"""Problems in files: what is read of a .csv, .parquet or .npz, what each mistake says, and how a
setup stays what it was."""

import math
import os
import pickle
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import fuzz_inputs
import numpy as np
import pandas as pd
import pytest
from commands import raising, spied
from hypothesis import HealthCheck, given, settings, strategies as st
from sweep_texts import made_or_told, mistakes_of

from fastbp import Setup, Sweep, SweepError
from fastbp.config import grid
from fastbp.config.conflicts import notes
from fastbp.engine import tasks
from fastbp.problems import problem, read_table, table_files, targets as targets_module
from fastbp.problems.problem import Group, Meaning, Names, Problem, ProblemData, numbered
from fastbp.problems.table_columns import DataColumn
from fastbp.store import safe_files
from fastbp.store.npz import data_digest, npz

IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def flowers() -> pd.DataFrame:
    """A table like that of Fisher's irises: three species, one apart and two that overlap."""
    rng = np.random.default_rng(20)
    species = np.repeat(["setosa", "versicolor", "virginica"], 50)
    means = [[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]]
    X = np.repeat(means, 50, axis=0) + 0.3 * rng.standard_normal((150, 4))
    return pd.DataFrame(X.round(1), columns=["sl", "sw", "pl", "pw"]).assign(species=species)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(content: str | bytes, name: str = "d.csv", targets: Any = "y", **keys: Any) -> Setup:
    """A setup of a file in the current folder with this content."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Setup(**({"problem": f"file:{name}", "targets": targets, "updates": 9} | keys))


def claiming(shape: Any) -> bytes:
    """An archive whose X is said to be of this shape, and holds nothing."""
    return fuzz_inputs.npz(dict.fromkeys("XT", fuzz_inputs.header("'<f8'", repr(shape))))


def test_files_with_many_choices_of_targets_are_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each choice has inputs of its own: a megabyte of table could take gigabytes of memory."""
    Path("d.csv").write_text("a,b,c\n" + "0,1,0\n1,0,0\n" * 5)
    setup = {"problem": "file:d.csv", "updates": 9}
    most = {"file": (60, 1), "targets": (60, 9), grid.PREPARED: (90, 0)}
    monkeypatch.setattr(grid, "MAX_DATA", most)  # two of 10 rows × 3 columns
    monkeypatch.setattr(grid, "MIN_COLUMNS", 2)
    assert len(Sweep(seeds=1, setup=setup, grid={"targets": ["a", "b"], "lr": [1, 2]}).setups) == 4
    assert mistakes_of(Sweep, seeds=1, setup=setup, grid={"targets": ["a", "b", "c"]}) == [
        "grid: given problems that make more than 60 inputs and targets, counted for each targets, "
        "as 9 rows and 2 columns or more, allowed: at most 60 in a sweep"
    ]
    for name in "ef":  # they take no room, and reading them takes time; x.csv is not there
        Path(f"{name}.csv").symlink_to("d.csv")
    files = {"problem": [f"file:{name}.csv" for name in "ddefx"], "targets": ["no"]}
    assert mistakes_of(Sweep, seeds=1, setup={"updates": 9}, grid=files) == [
        "grid: given problems that make more than 60 inputs and targets, counted for each file, "
        "as 1 rows and 2 columns or more, allowed: at most 60 in a sweep"
    ]
    setup |= {"targets": "a"}
    scales = {"scale_inputs": ["none", "minmax", "standard"], "lr": [1, 2]}
    assert len(Sweep(seeds=1, setup=setup, grid=scales).setups) == 6
    assert mistakes_of(Sweep, seeds=1, setup=setup, grid=scales | {"test": [0.2, 0.4]}) == [
        "grid: given problems that make more than 90 inputs and targets, counted for each choice "
        "of rows to hold out and of scales, as 0 rows and 2 columns or more, allowed: at "
        "most 90 in a sweep"
    ]


def test_small_tables_count_as_larger(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file, each choice of targets and each scale takes time, most by its columns."""
    names, row = (",".join(f"{letter}{i}" for i in range(100)) for letter in "c0")
    Path("wide.csv").write_text(f"{names}\n{row}\n{row}\n")
    Path("d.csv").write_text("a,b,c\n0,1,0\n1,0,0\n")
    for i in range(9):
        Path(f"{i}.csv").symlink_to("d.csv")
    setup = {"problem": "file:d.csv", "targets": "a", "updates": 9}
    wide, files = setup | {"problem": "file:wide.csv"}, [f"file:{i}.csv" for i in range(9)]
    for each, own, key, values, fit in (
        ("targets", wide, "targets", names.split(","), 10),
        ("file", setup, "problem", files, 4),
        (grid.PREPARED, setup, "target_margin", [i / 99 for i in range(10)], 8),
    ):
        monkeypatch.setitem(grid.MAX_DATA, each, (2**16, grid.MAX_DATA[each][1]))
        assert len(Sweep(seeds=1, setup=own, grid={key: values[:fit]}).setups) == fit
        found = mistakes_of(Sweep, seeds=1, setup=own, grid={key: values[: fit + 1]})
        assert f"make more than 65,536 inputs and targets, counted for each {each}" in found[0]


def test_what_was_prepared_last_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, *others = (
        made("a,y\n1,0\n2,1\n", scale_inputs=how, target_margin=0.1)
        for how in ("none", "standard", "minmax")
    )
    first = one.prepared()
    assert one.prepared() is first
    monkeypatch.setattr(problem, "MAX_KEPT", first.nbytes)
    assert [each.prepared() for each in others] == [each.prepared() for each in others]
    again = one.prepared()
    assert again is not first
    assert again == first
    assert one.prepared() is again
    prepare = spied(monkeypatch, problem, "prepare")
    Path("d.csv").write_text("a,y\n" + "1,p\n2,q\n3,r\n" * 5)
    sweep = Sweep(
        seeds=1,
        setup={
            "problem": "file:d.csv",
            "targets": ["y"],
            "updates": 9,
            "output": "softmax",
            "loss": "cross-entropy",
        },
        grid={"lr": [1, 2, 3], "scale_inputs": ["standard", "minmax"]},
    )
    assert (len(sweep.setups), prepare.call_count) == (6, 2), "each asks what its targets sum to"
    for shared in (lambda each: each.groups, lambda each: each.columns()["targets"]):
        assert len({id(shared(each)) for each in sweep.setups}) == 1, "it may be long"


# A user's table


def test_a_users_csv(here: Path) -> None:
    table = flowers()
    table.to_csv("iris.csv", index=False)
    Path("mine.toml").write_text("""
        seeds = 5
        [setup]
        problem = "file:iris.csv"
        targets = ["species"]
        scale_inputs = "standard"
        epochs = 3
        [grid]
        hidden = [2, 8]
        target_margin = [0.0, 0.1]
    """)
    sweep = Sweep.from_toml("mine.toml")
    assert [setup.sizes for setup in sweep.setups] == [(4, 2, 3), (4, 2, 3), (4, 8, 3), (4, 8, 3)]
    setup, with_margin = sweep.setups[:2]
    assert ((setup.rows, setup.budget), setup.columns()["problem"]) == ((150, 450), "file:iris.csv")
    assert setup.columns()["targets"] == "species"
    names = [str(name) for name in table.columns[:-1]]
    assert setup.source.names == Names(
        tuple(names), ("species=setosa", "species=versicolor", "species=virginica")
    )
    X, T = setup.data()
    for column, values in zip(X.T.tolist(), (table[name].tolist() for name in names), strict=True):
        mean = math.fsum(values) / 150
        sigma = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / 150)
        assert column == [(x - mean) / sigma for x in values]
    assert T.argmax(axis=1).tolist() == np.unique(table.species, return_inverse=True)[1].tolist()
    assert T.sum(axis=1).tolist() == [1.0] * 150
    assert set(with_margin.data().T.ravel().tolist()) == {0.1, 0.9}
    assert with_margin.data().X.tobytes() == X.tobytes()


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "float": st.floats(-1e30, 1e30),
    "integer": st.integers(-(2**62), 2**62),
    "flag": st.booleans(),
    "share": st.floats(0, 1),
    "word": st.sampled_from(["setosa", "Virginica", "ü", "a,b", 'a "b"', "1st"]),
    "class": st.integers(-2, 2),
}

SCALES = {"scale_inputs": ["none", "standard", "minmax"], "scale_targets": ["minmax"]}


@IN_TMP
@given(st.data())
def test_the_same_data_in_each_format(here: Path, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 6))
    kinds = [
        *data.draw(st.lists(st.sampled_from(["float", "integer", "flag"]), min_size=1, max_size=4)),
        "float",
        "share",
    ]
    kind_of_target = data.draw(st.sampled_from(["flag", "share", "word", "class"]))

    def column(kind: str) -> list[Any]:
        return data.draw(st.lists(VALUES[kind], min_size=rows, max_size=rows))

    frame = pd.DataFrame(
        {f"{kind}{i}": column(kind) for i, kind in enumerate(kinds)} | {"y": column(kind_of_target)}
    )
    scale = {key: data.draw(st.sampled_from(SCALES[key])) for key in SCALES}
    one = made(frame.to_csv(index=False), **scale)
    other = made(frame.to_parquet(), "d.parquet", **scale)
    X = frame.iloc[:, :-1].to_numpy(float)
    third = made(npz(X=X, T=np.array(frame.y.tolist())), "d.npz", None, **scale)
    assert one.digest == other.digest == third.digest
    assert (one.source.names, one.source.values.X.tolist()) == (other.source.names, X.tolist())


@pytest.mark.parametrize(
    ("values", "outputs", "targets"),
    [
        ("b a b", ["y=b"], [[1], [0], [1]]),
        ("b a c a", ["y=a", "y=b", "y=c"], [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]),
        ("a B", ["y=a"], [[1], [0]]),  # by code point
        ("10 9 9", ["y=10"], [[1], [0], [0]]),  # by size
        ("-1 1", ["y=1"], [[0], [1]]),
        ("2 0 1 2 1 0", ["y=0", "y=1", "y=2"], np.eye(3)[[2, 0, 1, 2, 1, 0]].tolist()),
        ("1 0", ["y"], [[1], [0]]),
        ("1 1", ["y"], [[1], [1]]),
        ("true FALSE True", ["y"], [[1], [0], [1]]),
        ("0.25 1. .5 1e-1 +1", ["y"], [[0.25], [1], [0.5], [0.1], [1]]),
        ("u u", ["y"], [[0], [0]]),
        ("NA None NA", ["y=None"], [[0], [1], [0]]),  # words like all others
        ("7 7", ["y"], [[0], [0]]),
        ("true 1", ["y=true"], [[1], [0]]),  # both kinds: text
    ],
)
def test_labels_and_shares(
    here: Path, values: str, outputs: list[str], targets: list[list[float]]
) -> None:
    setup = made("y,x\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values.split())))
    assert (setup.source.names, setup.data().T.tolist()) == (Names(("x",), tuple(outputs)), targets)
    assert setup.sizes == (1, 4, len(outputs))


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffx,y\r\n1,0\r\n2,1\r\n",
        "x,y\r1,0\r2,1",
        "\n\n x , y \n\n1,0\n 2 ,1\n\n",
        '"x","y"\n"1","0"\n"2","1"\n',
        "x,y\n+1,0\n2e0,1\n",
        "x,y\n1,false\n2,TRUE\n",
    ],
)
def test_ways_to_write_a_csv(here: Path, content: str) -> None:
    X, T = made(content).data()
    assert (X.tolist(), T.tolist()) == ([[1], [2]], [[0], [1]])


ROWS, SHARES = np.array([[1, 2], [3, 4]], np.uint8), np.array([[0.25, 1], [0, 0]], np.float32)
AB = np.array(["a", "b"])


@pytest.mark.parametrize(
    ("content", "names", "X", "T"),
    [
        (npz(X=ROWS, T=SHARES, other=AB), (("x0", "x1"), ("t0", "t1")), ROWS, SHARES),
        (npz(X=ROWS, T=SHARES[:, 0], inputs=AB), (("a", "b"), ("t0",)), ROWS, SHARES[:, :1]),
        (npz(X=ROWS > 1, T=AB), (("x0", "x1"), ("t0=b",)), ROWS > 1, [[0], [1]]),
        ("a,x,b,z\n0.25,1,u,2\n0,3,v,4\n", (("x", "z"), ("b=v", "a")), ROWS, [[0, 0.25], [1, 0]]),
    ],
)
def test_several_targets(here: Path, content: Any, names: Any, X: Any, T: Any) -> None:
    text = isinstance(content, str)
    setup = made(content, *(("d.csv", ["b", "a"]) if text else ("d.npz", None)))
    assert setup.source.names == Names(*names)
    assert [part.tolist() for part in setup.data()] == [
        np.asarray(each).tolist() for each in (X, T)
    ]
    assert setup.columns()["targets"] == ("b,a" if text else None)


def test_columns_of_a_parquet_file(here: Path) -> None:
    import pyarrow as pa

    frame = pd.DataFrame(
        {"x": np.float16([0.5, 2]), "z": pd.array([1, 2], "Int8"), "y": pd.Categorical(["v", "u"])}
    )
    when = pd.DatetimeIndex(["2024-01-01", "2025-01-01"], name="when")
    for index in (
        None,
        pd.Index([5, 3]),
        pd.Index([5, 3], name="id"),
        when,
    ):  # what pandas keeps of an index is no input
        setup = made((frame if index is None else frame.set_index(index)).to_parquet(), "d.parquet")
        assert setup.source.names == Names(("x", "z"), ("y=v",))
        assert setup.data().X.tolist() == [[0.5, 1], [2, 2]]
    assert lines_about("d.parquet", frame[[]].set_index(when).to_parquet()) == [
        "problem: given 'file:d.parquet', allowed: one or more columns; it has none"
    ]
    columns = {
        "x": pa.array([1, 2], pa.decimal128(5, 2)),
        "y": pa.array(["u", "v"], pa.large_string()),
    }
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), "d.parquet")
    assert Setup(problem="file:d.parquet", targets="y", updates=9).data().X.tolist() == [[1], [2]]


# Mistakes

HEAD = "seeds = 1\n[setup]\nproblem = 'file:{}'\nupdates = 9\n"


def lines_about(
    name: str, content: str | bytes, targets: str = '["y"]', more: str = ""
) -> list[str]:
    """What a sweep file says about a data file beside it."""
    Path(name).write_bytes(
        content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    )
    text = HEAD.format(name) + (f"targets = {targets}\n" if targets else "") + more
    lines = mistakes_of(Sweep.from_text, text, "bad.toml")
    assert all(line.startswith("bad.toml: setup.") for line in lines)
    return [line.removeprefix("bad.toml: setup.") for line in lines]


def rows(count: int, row: str = "{},1\n") -> str:
    return "".join(row.format(i) for i in range(count))


NAMES = "a first line with the names of the columns; it has"
NUMBERS = "numbers, true and false in all columns but targets"
NO_PARQUET = "a readable .parquet file; it is no Parquet file"
GAPS = " (drop or fill such rows)"
INDEX = "a name for every column; column 1"


@pytest.mark.parametrize(
    ("content", "allowed"),
    [
        ("x,y\n", "one or more rows; it has none"),
        ("x,y", "one or more rows; it has none"),
        ("", "one or more rows; it is empty"),
        ("\n\n", "one or more rows; it is empty"),
        (
            "x,z,y\n1,2,0\n1,2\n3,4,1\n",
            "3 values in every row, as in the first line; row 2 has 2: '1,2'",
        ),
        (
            "x,y\n1,0\n2,1,\n3\n4,0\n,,,\n",
            "2 values in every row, as in the first line; row 2 has 3: '2,1,' (the first of 3)",
        ),
        ("x\n1,2\n", "1 value in every row, as in the first line; row 1 has 2: '1,2'"),
        (
            'x,y\n"1,0\n2,1\n',
            "quotes that are closed in the same line; 'x' has a line break in row 1",
        ),
        (
            'x,y\n1,u\n1,"v\n2,v\n3,u\n',
            "quotes that are closed in the same line; 'y' has a line break in row 2",
        ),
        ("x,y\n1,0\nabc,1\n", f"{NUMBERS}; 'x' has text in row 2: 'abc'"),
        (
            "x,y\n1_0,0\n2,1\n1\u00a00,1\n",
            f"{NUMBERS}; 'x' has text in rows 1 and 3, such as '1_0'",
        ),
        (
            "x,y\n" + rows(9, "a{},1\n"),
            f"{NUMBERS}; 'x' has text in rows 1, 2, 3 and 6 more, such as 'a0'",
        ),
        ("x,y\n0x1F,0\n", f"{NUMBERS}; 'x' has text in row 1: '0x1F'"),
        ("x,y\n2024-01-01,0\n", f"{NUMBERS}; 'x' has text in row 1: '2024-01-01'"),
        ("x,y\n1,0\n,1\n", f"a value in every row; 'x' has none in row 2{GAPS}"),
        ("x,y\n1,0\nNA,1\n3,1\nnan,0\n", f"{NUMBERS}; 'x' has text in rows 2 and 4, such as 'NA'"),
        ("x,y\n1,0\n\r,1\n", f"a value in every row; 'x' has none in row 2{GAPS}"),
        ("x,y\n1,0\n  ,1\n", f"a value in every row; 'x' has none in row 2{GAPS}"),
        (
            "x,y\n" + rows(5, ",{}\n"),
            f"a value in every row; 'x' has none in rows 1, 2, 3 and 2 more{GAPS}",
        ),
        ("x,y\n1,u\n2,\n3,v\n", f"a value in every row; 'y' has none in row 2{GAPS}"),
        ("x,y\n1,-0.5\n2,inf\n", "numbers from -1e+30 to 1e+30; 'y' is outside in row 2: inf"),
        ("x,y\n" + rows(70_000), "at most 65,536 rows; it has 70,000"),
        ("x,y\n" + rows(1025, "1,a{}\n"), "at most 1,024 classes; 'y' has 1,025"),
        ("x,y\ninf,0\n", "numbers from -1e+30 to 1e+30; 'x' is outside in row 1: inf"),
        (
            "x,y\n0,0\n1e400,0\n-2e30,1\n",
            "numbers from -1e+30 to 1e+30; 'x' is outside in rows 2 and 3, such as inf",
        ),
        (
            "x,y\n" + "1" * 5000 + ",0\n",
            "numbers from -1e+30 to 1e+30; 'x' is outside in row 1: inf",
        ),
        (
            "x,y\n" + "1" * 100_000 + "x,0\n",
            f"{NUMBERS}; 'x' has text in row 1: '{'1' * 58}…",
        ),  # at once
        ("1.5,0\n2,1\n", f"{NAMES} only numbers: '1.5,0'"),
        ("x;y\n1;0\n", "columns with commas between them; the first line has ';': 'x;y'"),
        ("x\ty\n1\t0\n", "columns with commas between them; the first line has '\\t': 'x\\ty'"),
        (
            ",".join(f"x{i}" for i in range(10_000)) + ",y\n",
            "at most 10,000 columns; it has 10,001",
        ),
        ("x,x,y\n1,2,0\n", "columns with different names; 'x' occurs 2 times"),
        (",x,y\n0,1,0\n", f"{INDEX} has none (an index? pandas leaves it out with index=False)"),
        (
            "Unnamed: 0,x,y\n0,1,0\n",
            f"{INDEX} is called 'Unnamed: 0' (an index? pandas leaves it out with index=False)",
        ),
        ("x,y,\n0,1,0\n", "a name for every column; column 3 has none"),
        (
            ",".join(letter * 100_000 for letter in "abcde") + "\n0,1,0,1,0\n",
            "names of at most 500,000 bytes; all together have 500,004",
        ),
        ("x,y\n1,0\n".encode("utf-16"), "UTF-8 text; it is UTF-16"),
        (b"x,y\n1,0\n2,\xe9\n", "UTF-8 text; it has byte 0xe9 in line 3"),
    ],
)
def test_a_wrong_csv(here: Path, content: str | bytes, allowed: str) -> None:
    assert lines_about("d.csv", content) == [f"problem: given 'file:d.csv', allowed: {allowed}"]


GOOD = pd.DataFrame({"x": [1.5, 2.0], "y": ["u", "v"]})


ONES = np.ones((2, 2))
SHAPES = "X [row, input] and T [row, output] with the same number of rows; it has"


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), ImportError("not there")])
def test_errors_of_packages_are_not_those_of_a_table(here, monkeypatch, error):
    """Else `verify --repair` would move a sound file."""
    (here / "d.npz").write_bytes(npz(X=ONES, T=ONES))
    monkeypatch.setitem(targets_module.DECODERS, ".npz", raising(error))
    with pytest.raises(type(error)):
        targets_module.check(str(here / "d.npz"))


@pytest.mark.parametrize(
    ("content", "allowed"),
    [
        (b"", "a file that numpy.savez wrote; it is not an .npz file"),
        (b"PK\x03\x04 no more than that", "a file that numpy.savez wrote; it is not an .npz file"),
        (pickle.dumps({"X": 1}), "a file that numpy.savez wrote; it is not an .npz file"),
        (
            npz(X=ONES, T=np.array([{}, {}])),
            "a readable .npz file; Object arrays cannot be loaded when allow_pickle=False",
        ),
        (npz(X=ONES), "arrays X and T; there is no T; it has X"),
        (npz(x=ONES, t=ONES), "arrays X and T; there is no X and no T; it has x, t"),
        (npz(), "arrays X and T; there is no X and no T"),
        (npz(X=np.ones(2), T=ONES), f"{SHAPES} X 2 and T 2×2"),
        (npz(X=np.ones((2, 2, 2)), T=ONES), f"{SHAPES} X 2×2×2 and T 2×2"),
        (npz(X=ONES, T=np.ones(3)), f"{SHAPES} X 2×2 and T 3×1"),
        (npz(X=ONES, T=np.float64(1)), f"{SHAPES} X 2×2 and T a single value"),
        (npz(X=np.ones((2, 0)), T=ONES), f"{SHAPES} X 2×0 and T 2×2"),
        (npz(X=np.ones((0, 2)), T=np.ones((0, 2))), "one or more rows; it has none"),
        (npz(X=np.ones((70_000, 1)), T=np.ones(70_000)), "at most 65,536 rows; it has 70,000"),
        (
            npz(X=ONES[:1] * np.nan, T=ONES[:1]),
            f"a value in every row; 'x0' has none in row 1{GAPS}",
        ),
        (
            npz(X=ONES[:1] * np.inf, T=ONES[:1]),
            "numbers from -1e+30 to 1e+30; 'x0' is outside in row 1: inf",
        ),
        (npz(X=ONES[:1] * 1j, T=ONES[:1]), "numbers, true and false, and text; 'x0' is complex128"),
        (npz(X=np.array([["1"]]), T=ONES[:1, 0]), f"{NUMBERS}; 'x0' has text in row 1: '1'"),
        (
            claiming((99_999_999_999, 2)),
            "arrays of at most 300,000,000 bytes; 'X' has 1599999999984",
        ),
        (claiming("2"), "a readable .npz file; 'X' is not an array"),
        (
            npz(X=ONES[:, :1], T=ONES, inputs=np.array([0x110000], ">u4").view(">U1")),
            "texts of Unicode characters; 'inputs' has others",
        ),
    ],
)
def test_a_wrong_npz_file(here: Path, content: bytes, allowed: str) -> None:
    assert (
        lines_about("d.npz", content, "")[0] == f"problem: given 'file:d.npz', allowed: {allowed}"
    )


@pytest.mark.parametrize(
    ("content", "allowed"),
    [
        (GOOD.assign(x=[None, 1.0]), f"a value in every row; 'x' has none in row 1{GAPS}"),
        (GOOD.assign(x=[math.nan, math.inf]), f"a value in every row; 'x' has none in row 1{GAPS}"),
        (GOOD.assign(x=["1", "2"]), f"{NUMBERS}; 'x' has text in rows 1 and 2, such as '1'"),
        (
            GOOD.assign(x=pd.to_datetime(["2024", "2025"]).as_unit("us")),
            "numbers, true and false, and text; 'x' is timestamp[us]",
        ),
        (
            GOOD.assign(x=[[1], [2, 3]]),
            "numbers, true and false, and text; 'x' is list<element: int64>",
        ),
        (
            GOOD.assign(x=[{"a\n": 1}] * 2, z=[b"", b""]),
            "numbers, true and false, and text; 'x' is struct<a\\n: int64> (the first of 2)",
        ),
        (GOOD[:0], "one or more rows; it has none"),
        (pd.DataFrame({"x": np.zeros(70_000), "y": 0}), "at most 65,536 rows; it has 70,000"),
        (
            pd.DataFrame(np.zeros((60_000, 400), np.int8)),
            "at most 16,777,216 values; it has 60,000 rows × 400 columns",
        ),
        (b"", NO_PARQUET),
        (b"x,y\n1,0\n2,1\n", NO_PARQUET),
        (GOOD.to_parquet()[:-9], NO_PARQUET),
    ],
)
def test_a_wrong_parquet_file(here: Path, content: Any, allowed: str) -> None:
    if isinstance(content, pd.DataFrame):
        content = content.rename(columns=str).to_parquet()
    lines = lines_about("d.parquet", content)
    assert lines[0].startswith(f"problem: given 'file:d.parquet', allowed: {allowed}")


@pytest.mark.parametrize(
    ("targets", "lines"),
    [
        (
            '["specie"]',
            ["given 'specie', allowed: columns of d.csv: length, species; did you mean 'species'?"],
        ),
        ("", ["not given, allowed: one or more columns of d.csv: length, species"]),
        ("[]", ["given [], allowed: a list of 1 to 1,024 items, each a string"]),
        ("3", ["given 3, allowed: a list of 1 to 1,024 items, each a string"]),
        ('["species", "species"]', ["given ['species', 'species'], allowed: each column once"]),
        (
            '["species", "length"]',
            [
                "given ['species', 'length'], allowed: not all columns of d.csv: length, species; "
                "the others are the inputs"
            ],
        ),
        (
            '["width", "Length"]',
            [
                "given 'width', allowed: columns of d.csv: length, species",
                "given 'Length', allowed: columns of d.csv: length, species; did you mean "
                "'length'?",
            ],
        ),
    ],
)
def test_wrong_targets(here: Path, targets: str, lines: list[str]) -> None:
    assert lines_about("d.csv", "length,species\n1,u\n2,v\n", targets) == [
        f"targets: {line}" for line in lines
    ]


def test_targets_of_what_has_no_columns(here: Path) -> None:
    (line,) = lines_about("d.npz", npz(X=ONES, T=ONES))
    assert line == "targets: given ['y'], allowed: only with columns; d.npz holds its targets as T"


def test_texts_of_which_none_says_anything_are_no_quantity(here: Path) -> None:
    (line,) = lines_about(
        "d.npz", npz(X=ONES, T=np.full(len(ONES), "")), "", 'target_kind = "quantity"'
    )
    assert "a value in every row; 't0' has none in rows 1 and 2" in line


def test_where_there_is_no_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("iris.csv", "notes.txt"):
        Path(name).write_text("x,y\n1,0\n")
    Path("folder.csv").mkdir()
    os.mkfifo("pipe.csv")
    Path("loop.csv").symlink_to("loop.csv")
    Path("ghost.csv").symlink_to("nowhere.csv")
    here = here.resolve()
    for path, allowed in {
        "zebra.npz": f"an existing file; there is no {here}/zebra.npz",
        "iriss.csv": f"an existing file; there is no {here}/iriss.csv; did you mean 'iris.csv'?",
        "ghost.csv": f"an existing file; there is no {here}/ghost.csv",
        "no/such/iris.csv": f"an existing file; there is no {here}/no/such/iris.csv",
        "folder.csv": f"a file; {here}/folder.csv is a folder",
        "pipe.csv": f"a file; {here}/pipe.csv is a device or a pipe",
        "loop.csv": f"a file that can be read; {here}/loop.csv: Too many levels of symbolic links",
        "x" * 300 + ".csv": None,
        "notes.txt": "files that end in .csv, .parquet, .npz",
        "iris.csv.gz": "files that end in .csv, .parquet, .npz",
        "..": "files that end in .csv, .parquet, .npz",
        "": "file:PATH",
        "a\0b.csv": "file:PATH",
        "a\udce9.csv": "file:PATH",
        "/" * 2_000_000: None,
    }.items():
        (line,) = mistakes_of(Setup, problem=f"file:{path}", targets="y", updates=9)
        if allowed:
            shown = Path(path).name.replace("\0", "\\x00").replace("\udce9", "\\udce9")
            assert line == f"problem: given 'file:{shown}', allowed: {allowed}"

    refuse = raising(PermissionError(13, "Permission denied"))
    for name, value, allowed in (
        ("_Prompt", refuse, f"a file that can be read; {here}/iris.csv: Permission denied"),
        ("MAX_BYTES", 7, "at most 7 bytes; it has 8"),
    ):
        for module in (targets_module, table_files, safe_files):
            monkeypatch.setattr(module, name, value, raising=False)
        (line,) = mistakes_of(Setup, problem="file:iris.csv", targets="y", updates=9)
        assert line == f"problem: given 'file:iris.csv', allowed: {allowed}"


def test_everything_wrong_in_a_file_is_said_at_once(here: Path) -> None:
    assert lines_about("d.csv", "name,when,x,y\nu,,1,0.5\nv,2,inf,1.5\nw,3,3,\n") == [
        f"problem: given 'file:d.csv', allowed: {allowed}"
        for allowed in (
            f"a value in every row; 'when' has none in row 1{GAPS}",
            f"a value in every row; 'y' has none in row 3{GAPS}",
            f"{NUMBERS}; 'name' has text in rows 1, 2 and 3, such as 'u'",
            "numbers from -1e+30 to 1e+30; 'x' is outside in row 2: inf",
        )
    ]
    Path("d.csv").write_text(",".join(f"x{i}" for i in range(40)) + ",y\n" + "u," * 40 + "1\n")
    lines = mistakes_of(
        lambda: Sweep.from_text(
            HEAD.format("d.csv") + "targets = ['y']\nlr = 0\nbatch = 'ful'", "bad.toml"
        )
    )
    assert [line.split(":")[1] for line in lines] == [" setup.lr", " setup.batch"] + [
        " setup.problem"
    ] * 10
    assert (
        lines[-1]
        == "bad.toml: setup.problem: given 'file:d.csv', allowed: no mistakes; there are 31 more "
        "like these"
    )


def test_a_mistake_that_a_grid_repeats_is_said_once(here: Path) -> None:
    Path("d.csv").write_text("x,y\n1,\n")
    grid = {"lr": [0.1, 0.2], "problem": ["file:d.csv", "xor", "file:e.csv"]}
    lines = mistakes_of(
        lambda: Sweep(
            seeds=1, setup={"updates": 9}, grid=[grid, {**grid, "targets": ["y", ["y"], "z"]}]
        )
    )
    assert lines[:2] == [
        f"grid[{i}].problem: given 'file:e.csv', allowed: an existing file; there is no "
        f"{here.resolve()}/e.csv; "
        "did you mean 'd.csv'?"
        for i in (1, 2)
    ]
    assert lines[2:] == [
        "setup.targets: not given, allowed: one or more columns of d.csv: x, y",
        "grid[2].problem: given 'file:d.csv', allowed: a value in every row; 'y' has none in row 1"
        + GAPS,
        "grid[2].targets: given 'z', allowed: columns of d.csv: x, y",
        "grid[2].targets: given ['y'], allowed: only with problem = 'file:PATH'",
        "grid[2].targets: given ['z'], allowed: only with problem = 'file:PATH'",
    ]


def test_what_cannot_be_kept_in_a_store_is_refused(here: Path) -> None:
    (here / "d.csv").write_text("a,a\0,y\n1,2,0\n2,1,1\n")
    (line,) = mistakes_of(Setup, problem="file:d.csv", targets=["y"], updates=9)
    assert "names without null bytes; column 2 is 'a\\x00'" in line
    classes = [f"{letter * 130_000}" for letter in "uvwxyz"]
    (here / "d.csv").write_text("x,y\n" + "".join(f"{i},{c}\n" for i, c in enumerate(classes)))
    (line,) = mistakes_of(Setup, problem="file:d.csv", targets=["y"], updates=9)
    told = "allowed: names and classes of at most 4,000,000 characters, each name as long as the "
    assert f"{told}longest; they have 5,460,013" in line
    name = "n" * 130_000
    (here / "d.csv").write_text(f"x,{name}\n" + "".join(f"{i},{i}b\n" for i in range(40)))
    (line,) = mistakes_of(Setup, problem="file:d.csv", targets=[name], updates=9)
    assert f"{told}longest; those of '" in line


def test_what_is_as_large_as_may_be_is_kept_in_a_store(here: Path) -> None:
    names = [f"{'n' * 45_000}{i}" for i in range(10)]
    (here / "d.csv").write_text(
        f"{','.join(names)},x\n" + "".join(f"{','.join('abc'[i % 3] * 10)},{i}\n" for i in range(9))
    )
    setup = Setup(problem="file:d.csv", targets=names, updates=9)
    (here / "problems").mkdir()
    path = here / "problems" / f"{setup.prepared().digest}.npz"
    path.write_bytes(setup.prepared().to_npz())
    assert targets_module.stored(path).names == setup.prepared().names


@pytest.mark.parametrize("scale", [{"scale_inputs": "minmax"}, {"scale_targets": "minmax"}])
def test_held_out_rows_beyond_all_numbers_are_large(here: Path, scale: dict[str, str]) -> None:
    """Warnings are errors here."""
    (here / "d.csv").write_text("x,y\n0,0\n1e-300,1e-300\n-1e30,-1e30\n1e30,1e30\n")
    keys = {"target_kind": "quantity", "test": 0.5, "test_split": "last", "output": "linear"}
    setup = Setup(problem="file:d.csv", targets=["y"], updates=9, **keys, **scale)  # type: ignore[arg-type]
    assert all(np.isfinite(part).all() for part in setup.data())
    assert tasks.task(setup).held_out


def test_of_very_many_mistakes_only_some_are_looked_for(here: Path) -> None:
    """To look for names that are like each of them takes long."""
    (here / "d.csv").write_text("x,y\n1,0\n2,1\n")
    wrong = [f"z{number}" for number in range(1_000)]
    *some, last = mistakes_of(Setup, problem="file:d.csv", targets=wrong, updates=9)
    assert len(some) == 10
    assert last == "targets: given 990 more like these, allowed: columns of d.csv: x, y"
    grid = {"problem": [f"file:{name}.csv" for name in wrong], "targets": ["y"]}
    lines = mistakes_of(lambda: Sweep(seeds=1, setup={"updates": 9}, grid=grid))
    last = "after 11 problems that cannot be trained no more were looked for"
    assert (len(lines), lines[-1]) == (12, last)
    (here / "e.csv").write_text("x,y\n1,\n2,1\n")
    grid = {"problem": ["file:e.csv"], "targets": ["y", *([name] for name in wrong)]}
    lines = mistakes_of(lambda: Sweep(seeds=1, setup={"updates": 9}, grid=grid))
    assert (len(lines), lines[-1]) == (12, last)


def test_columns_are_not_made_when_there_are_too_many_targets(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of 600 kB may have a thousand times as many classes as values."""
    monkeypatch.setattr(targets_module, "MAX_VALUES", 10)
    (line,) = mistakes_of(
        made,
        "x,u,v,w\n1,a,a,0.5\n1,b,b,0.5\n1,c,c,0.5\n",
        targets=["u", "v", "w"],
        target_kind="classes",
    )
    assert line.endswith("allowed: at most 10 target values; it has 18 or more")


def test_of_classes_only_those_that_differ_are_compared() -> None:
    """Those of all rows may be the same ten thousand characters."""
    compared: list[str] = []
    text = type("", (str,), {"__lt__": lambda a, b: compared.append(a) or f"{a}" < f"{b}"})
    column = DataColumn("t", np.array([*map(text, "ab")] * 500, object), np.zeros(1000, bool))
    assert targets_module._target(column, "auto", 1e30).labels == ("a", "b")
    assert len(compared) == 1


def test_of_texts_their_characters_count(here: Path) -> None:
    path = here / "d.csv"
    path.write_text("x,y\n" + f"1,{'a' * 9_000}\n2,{'b' * 9_000}\n" * 5)
    table = targets_module._table(str(path), table_files.current_stamp(str(path)))
    assert (table.shape, 18_000 < table.nbytes < 19_000) == ((10, 2), True)


def test_nothing_to_learn_is_worth_a_note(here: Path) -> None:
    assert notes(made("x,y\n1,0\n2,1\n")) == []
    assert notes(made("x,y\n1,u\n2,u\n")) == [
        "file:d.csv: 'y' is the same in every row: there is nothing to learn"
    ]
    assert notes(made("x,y,z\n1,0,1\n2,0,1\n", targets=["y", "z"])) == [
        "file:d.csv: 'y' and 'z' are the same in every row: there is nothing to learn"
    ]


def test_of_many_columns_with_nothing_to_learn_a_note_names_the_first(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each table, however many setups have it."""
    np.savez("d.npz", X=[[0.0], [1.0]], T=np.zeros((2, 9)))
    looks = spied(monkeypatch, np, "ptp")
    keys = {"problem": "file:d.npz", "updates": 9}
    assert Sweep(seeds=1, setup=keys, grid={"lr": range(1, 20)}).notes == [
        "file:d.npz: 't0', 't1', 't2' and 6 more are the same in every row: there is nothing to "
        "learn"
    ]
    assert looks.call_count == 1


class Counted(np.ndarray):
    """An array that counts how often its minimum, or that of a column, is asked for."""

    looks = 0

    def min(self, *arguments: Any, **keys: Any) -> Any:
        Counted.looks += 1
        return super().min(*arguments, **keys)


@given(st.data())
def test_quantities_out_of_range_are_found_in_one_look_at_the_data(data: st.DataObject) -> None:
    """However many columns there are, and however many setups ask."""
    numbers = st.sampled_from([-1.0, 0.0, 0.3, 1.0, 2.0])
    T = np.array(data.draw(st.lists(st.tuples(*[numbers] * 4), min_size=1, max_size=4)))
    groups = data.draw(st.sampled_from([(), (Group(0, 2, ("a", "b")),), (Group(0, 4, ("a",)),)]))
    table = ProblemData(Problem(T, T.view(Counted)), numbered(4, 4), Meaning(groups))
    Counted.looks = 0
    for low, high in ((0, 1), (-1, 1), (-math.inf, math.inf)):
        fits = ((low <= T) & (high >= T)).all(axis=0)
        found = table.out_of_range(low, high)
        assert list(found) == [f"t{unit}" for unit in table.quantities if not fits[unit]]
        assert all((column == T[:, int(name[1:])]).all() for name, column in found.items())
    assert Counted.looks == 1


@IN_TMP
@given(st.sampled_from(["csv", "parquet", "npz"]), st.data())
def test_any_bytes_are_a_problem_or_a_sweep_error(
    here: Path, kind: str, data: st.DataObject
) -> None:
    whole = {
        "csv": GOOD.to_csv(index=False).encode(),
        "parquet": GOOD.to_parquet(),
        "npz": npz(X=ONES, T=ONES[0]),
    }[kind]
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    start, stop = data.draw(st.integers(0, 3)), data.draw(st.integers(0, len(raw)))
    text = data.draw(st.text(st.sampled_from('xyn1.,"\n\r -'), max_size=60)).encode()
    some = data.draw(st.binary(max_size=30))
    for content in (bytes(raw), bytes(raw[start:stop]), some, text, b"x,y" + text):
        made_or_told(made, content, f"d.{kind}", None if kind == "npz" else "y")


# Where files are


def write_sweep(folder: Path, problem: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "s.toml").write_text(
        f'seeds = 1\n[setup]\nproblem = "file:{problem}"\ntargets = ["y"]\nupdates = 9\n'
    )
    return folder / "s.toml"


def test_paths_are_seen_from_the_sweep_file(here: Path) -> None:
    (here / "data").mkdir()
    (here / "data" / "d.csv").write_text("x,y\n1,0\n2,1\n")
    from_file = Sweep.from_toml(write_sweep(here / "a" / "b", "../../data/d.csv"))
    in_the_same_folder = Sweep.from_toml(write_sweep(here / "data", "d.csv"))
    by_hand = Setup(problem="file:data/d.csv", targets=["y"], updates=9)
    assert by_hand.replaced(success="rows").identity(1) == "d28007a5e203"
    set_by_hand = Sweep.from_text(
        "seeds = 1\n[setup]\nupdates = 9",
        folder="/",
        settings=["problem=file:data/d.csv", "targets=y"],
    )
    from_text = Sweep.from_text(write_sweep(here, "data/d.csv").read_text())
    for setups in (
        from_file.setups,
        in_the_same_folder.setups,
        set_by_hand.setups,
        from_text.setups,
    ):
        assert (setups, setups[0].identity(1)) == ((by_hand,), by_hand.identity(1))
    assert by_hand.columns()["problem"] == by_hand.problem_name == "file:d.csv"
    assert by_hand.problem == f"file:{here.resolve()}/data/d.csv"


@pytest.mark.parametrize(
    "name", ["a,b=c;d: e.CSV", "x=y.csv", "./path=x.csv", "ü 'q'.csv", "~/home.csv"]
)
def test_odd_names(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    path = Path(name).expanduser()
    path.write_text("x,y\n1,0\n2,1\n")
    setup = Setup(problem=f"file:{name}", targets="y", updates=9)
    assert setup.problem_name == f"file:{path.name}"
    sweep = Sweep(seeds=1, setup={"problem": f"file:{name}", "targets": "y", "updates": 9})
    assert (sweep.setups, Sweep.from_text(sweep.to_toml())) == ((setup,), sweep)


def test_the_resolved_sweep_leads_to_the_data(here: Path) -> None:
    place = here / "project"
    (place / "data").mkdir(parents=True)
    (place / "data" / "d.csv").write_text("x,y\n1,0\n2,1\n")
    (place / "data" / "e.csv").write_text("x,y\n1,0\n3,1\n")
    text = (
        "seeds = 1\n[setup]\ntargets = ['y']\nupdates = 9\n[grid]\nproblem = ['file:data/d.csv', "
        "'file:data/e.csv']"
    )
    sweep = Sweep.from_text(text, folder=place)
    assert Sweep.from_text(sweep.to_toml()) == sweep  # by absolute path, from anywhere
    store = place / "results" / "s"
    store.mkdir(parents=True)
    written = sweep.to_toml(store)
    assert 'problem = ["file:../../data/d.csv", "file:../../data/e.csv"]' in written
    (store / "sweep.toml").write_text(written)
    ids = [setup.identity(1) for setup in sweep.setups]
    for where in ("project", "moved"):
        place = place.rename(here / where)
        again = Sweep.from_toml(place / "results" / "s" / "sweep.toml")
        assert [setup.identity(1) for setup in again.setups] == ids


def test_links(here: Path) -> None:
    """A store behind a link has the data where it really is; a file that is a link keeps the name
    it is called by."""
    (here / "real" / "deep").mkdir(parents=True)
    (here / "link").symlink_to("real/deep")
    (here / "0f3a.csv").write_text("x,y\n1,0\n2,1\n")
    (here / "d.csv").symlink_to("0f3a.csv")
    sweep = Sweep.from_toml(write_sweep(here, "d.csv"))
    assert sweep.setups[0].problem_name == "file:d.csv"
    (here / "link" / "sweep.toml").write_text(sweep.to_toml("link"))
    assert "file:../../d.csv" in (here / "link" / "sweep.toml").read_text()
    (again,) = Sweep.from_toml(here / "link" / "sweep.toml").setups
    assert again.identity(1) == sweep.setups[0].identity(1)


def test_files_of_one_name(here: Path) -> None:
    for folder, value in (("a", 1), ("b", 2), ("c", 1)):
        (here / folder).mkdir()
        (here / folder / "d.csv").write_text(f"x,y\n{value},0\n3,1\n")

    def sweep(*folders: str) -> Sweep:
        return Sweep(
            seeds=1,
            setup={"targets": "y", "updates": 9},
            grid={"problem": [f"file:{folder}/d.csv" for folder in folders]},
        )

    assert len(sweep("a", "c").setups) == 1  # the same data under the same name is the same setup
    (line,) = mistakes_of(sweep, "a", "b", "c")
    assert line.startswith(
        "grid.problem: given 'file:d.csv', allowed: different names for different files, since "
        "tables show only the name"
    )
    (line,) = mistakes_of(sweep, "b", "a")


# A setup stays what it was


def test_each_file_is_read_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("d.csv").write_text("x,y,z\n1,0,1\n2,1,1\n")
    decode = Mock(wraps=read_table.DECODERS[".csv"])
    monkeypatch.setitem(read_table.DECODERS, ".csv", decode)
    grid = {"lr": [0.1, 0.2, 0.3], "targets": ["y", "z"], "batch": [1, "full"]}
    for _ in range(3):
        Sweep(seeds=1, setup={"problem": "file:d.csv", "updates": 9}, grid=grid)
    Path("wrong.csv").write_text("x,y,z\n1,0\n")
    for _ in range(3):
        with pytest.raises(SweepError, match="3 values in every row"):
            Sweep(seeds=1, setup={"problem": "file:wrong.csv", "updates": 9}, grid=grid)
    assert decode.call_count == 2


def test_a_file_that_changes_makes_another_setup(here: Path) -> None:
    before = made("x,y\n1,0\n2,1\n")
    identity, X = before.identity(1), before.data().X.tolist()
    travelled = pickle.dumps(before)
    after = made("x,y\n1,0\n2.5,1\n")
    assert after.data().X.tolist() == [[1], [2.5]]
    assert after != before
    assert after.identity(1) != identity
    Path("d.csv").unlink()
    for setup in (before, pickle.loads(travelled)):
        assert setup.data().X.tolist() == X
        assert (setup.identity(1), setup) == (identity, before)
        assert hash(setup) == hash(before)


@pytest.mark.parametrize("test", [0, 0.34])
def test_a_setup_from_a_row_and_a_store(here: Path, test: float) -> None:
    keys: dict[str, Any] = {
        "scale_inputs": "standard",
        "scale_targets": "minmax",
        "target_margin": 0.1,
        "hidden": [3, 2],
        "loss": "cross-entropy",
        "test": test,
    }
    setup = made("x,z,y,p\n1,5,u,9.5\n2,7,v,8\n4,9,w,1\n", targets=["y", "p"], **keys)
    kept = setup.prepared()
    name = f"{kept.digest}.npz"
    Path(name).write_bytes(kept.to_npz())
    Path("d.csv").unlink()
    file = targets_module.stored(name)
    again = Setup.from_columns(setup.columns() | {"setup": "0", "seed": 3}, file)
    assert (again.prepared(), again.prepared().data_digest) == (kept, setup.digest)
    assert (again.identity(1), again.columns()) == (setup.identity(1), setup.columns())
    assert (
        (again.shape, again.test_rows)
        == (setup.shape, setup.test_rows)
        == ((3 - (test > 0), 2, 4), test > 0)
    )
    assert (again.groups, again.quantities) == (((0, 3),), (3,))
    assert sorted(again.in_table_units(again.data().T)[:, 3].round(9)) == [1, 8, 9.5]
    for budget in ({"epochs": 3}, {"updates": 9, "batch": "full"}):
        plain = Setup(problem="xor", **budget)
        assert Setup.from_columns(plain.columns()).identity(1) == plain.identity(1)
    with pytest.raises(SweepError, match="only with its data"):
        Setup.from_columns(setup.columns())
    for key, value in (("lr", 0), ("test", 0.34 - test)):
        with pytest.raises(SweepError, match=f"^{key}: given {value}, "):
            Setup.from_columns(setup.columns() | {key: value}, file)


@pytest.mark.parametrize(
    "meaning",
    [
        "{",
        '{"groups": [[0, 9, []]]}',
        '{"groups": [[0, 1, []], [0, 1, []]]}',
        '{"groups": [], "test_rows": 2}',
        '{"groups": [], "units": [[0, 1]]}',
    ],
)
def test_stored_problems_that_are_older_or_damaged(here: Path, meaning: str) -> None:
    X, T = ONES, np.array([[0, 0.1, 0.5], [1, 0.9, 0]])
    older = Path(f"{data_digest(np.asarray(X, float), T)}.npz")
    older.write_bytes(npz(X=X, T=T))
    assert [group.first for group in targets_module.stored(older).meaning.groups] == [0, 1]
    Path("e.npz").write_bytes(npz(X=X, T=T, meaning=meaning))
    for name in ("e.npz", "gone.npz"):
        with pytest.raises(ValueError, match=r"[Mm]eaning|No such file"):
            targets_module.stored(name)
