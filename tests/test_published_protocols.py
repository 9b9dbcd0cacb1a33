"""Others' figures beside ours, as a user has them: the published protocols, and a sweep file of
one's own."""

import re
import tomllib
from pathlib import Path

import numpy as np
import oracle
import pandas as pd
import pytest
from commands import any_command, in_process, succeeded
from stores import ROOT

import fastbp
from fastbp.analysis.counts import count_runs
from fastbp.analysis.published import published, published_figures
from fastbp.cli.arguments import sweep_file
from fastbp.store.provenance import latest_sweep

here = in_process(any_command)


FILES = sorted((ROOT / "sweeps" / "published").glob("*.toml"))
PROTOCOLS = {
    "hamey-1992-xor": 3_000,
    "hamey-1992-encoder": 300,
    "fahlman-1988-encoder": 300,
    "lu-2019-dying-relu": 300,
}
"""Published protocols, and seeds that are enough to see whether they come out."""

QUICK = ("hamey-1992-xor", "fahlman-1988-encoder")
"""Those that need no kernel which no other test needs."""

SWEEP = """
seeds = 300

[setup]
problem = "xor"
hidden = [2]
init = "uniform"
batch = "full"
lr = 7
epochs = 100
stop = "converged"

[grid]
lr = [3.5, 7]

[[published]]
source = "Mine & <others>, 1990"
figure = "success"
value = 0.47
runs = 50

[[published]]
source = "Mine & <others>, 1990"
figure = "mean"
value = 60
runs = 50
where = {lr = 7}

[[published]]
source = "Somebody"
figure = "limit"
value = 30
plus_minus = 1
where = {lr = 9}
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_protocol_is_found_by_its_name_and_has_figures(file: Path) -> None:
    assert sweep_file(file.stem) == file
    sweep = fastbp.Sweep.from_toml(file)
    assert sweep.notes == []
    assert sweep.title.endswith("?")
    assert sweep.baseline in sweep.setups
    assert sweep.published
    assert all(setup.eval_interval == 1 for setup in sweep.setups), "epochs are counted one by one"
    years = re.findall(r"\((\d{4})\)", file.read_text())
    assert {one.source.split()[1].strip(",") for one in sweep.published} <= set(years)


def test_protocols_have_conventions() -> None:
    assert {file.stem for file in FILES} == {
        name + end for name in PROTOCOLS for end in ("", "-conventions")
    }
    for name in PROTOCOLS:
        sweep, others = (
            fastbp.Sweep.from_toml(sweep_file(name + end)) for end in ("", "-conventions")
        )
        assert others.baseline == sweep.baseline
        assert all(one in others.published for one in sweep.published if one.figure != "limit")


@pytest.mark.jit
@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        pytest.param(*each, marks=[] if each[0] in QUICK else [pytest.mark.soak])
        for each in PROTOCOLS.items()
    ],
)
def test_published_figures_come_out_as_the_page_tells(
    name: str, seeds: int, here, tmp_path: Path
) -> None:
    """And each of our figures in docs/published.md lies where this smaller run says."""
    done = succeeded(here("sweep", name, "--seeds", seeds, "-o", "store", "--no-report", "--quiet"))
    found = pd.read_csv(tmp_path / "store" / "published.csv").set_index("figure")
    assert len(found) == len(fastbp.Sweep.from_toml(sweep_file(name)).published)
    assert found["agrees"].all(), found
    count = (
        f"{len(found)} of {len(found)} published figure{'s'[: len(found) != 1]} "
        f"agree{'s'[: len(found) == 1]} with the setup."
    )
    assert count in done.stdout
    block = re.search(
        rf"<!-- from the output of python -m fastbp.sweep {name} -->\n```text\n(.*?)```",
        (ROOT / "docs" / "published.md").read_text("utf-8"),
        re.DOTALL,
    )
    assert block
    told = {line.split()[0]: re.findall(r"[\d.,]+", line) for line in block[1].splitlines()[2:]}
    assert [*told] == found.index.tolist()
    for figure, row in found.iterrows():
        printed, ours = float(told[figure][0]), float(told[figure][4].replace(",", ""))
        wide = max(row["ours_high"] - row["ours_low"], 1 / seeds)
        assert printed == row["published"]
        assert row["ours_low"] - wide <= ours <= row["ours_high"] + wide, figure


@pytest.mark.jit
@pytest.mark.parametrize(("name", "most"), [("hamey-1992-xor", 120), ("hamey-1992-encoder", 140)])
def test_the_textbook_network_converges_at_the_same_epochs(name: str, most: int) -> None:
    """Plain NumPy, one network at a time, looked at after each update: what is counted is what the
    contract says."""
    sweep = fastbp.Sweep.from_toml(sweep_file(name), seeds=8, settings=[f"epochs={most}"])
    (setup,) = sweep.setups
    recipe = oracle.Recipe(
        setup.problem,
        hidden=setup.hidden,
        init=setup.init,
        init_scale=setup.init_scale,
        batch="full",
        lr=setup.lr,
        momentum=setup.momentum,
        epochs=most,
    )
    expected = []
    for seed in range(8):
        errors = (
            np.abs(oracle.outputs(recipe, net) - recipe.targets).max()
            for _, net in oracle.run(recipe, seed)
        )
        expected.append(
            next((epoch for epoch, error in enumerate(errors, 1) if error <= 0.4), None)
        )
    found = fastbp.run(sweep).sort_values("seed")["converged_at"]
    assert [None if pd.isna(epoch) else int(epoch) for epoch in found] == expected
    assert sum(epoch is not None for epoch in expected) >= 3, "enough of them converge to tell"


@pytest.mark.jit
def test_a_sweep_of_ones_own(file: Path, here, tmp_path: Path) -> None:
    done = here("sweep", file)
    store = tmp_path / "results" / "mine"
    assert done.returncode == 0, done.stderr
    assert "note: published[3]: no setup has {lr = 9}, so this figure is left out" in done.stderr
    assert (
        fastbp.Sweep.from_toml(store / "sweep.toml").published
        == fastbp.Sweep.from_toml(file).published
    )
    table = pd.read_csv(store / "published.csv")
    assert table[["figure", "lr"]].to_numpy().tolist() == [
        ["success", 3.5],
        ["success", 7],
        ["mean", 7],
    ]
    runs = fastbp.load(store)
    own = runs[runs["lr"] == 7]["converged_at"]
    assert table["ours"].tolist()[1:] == pytest.approx([own.notna().mean(), own.mean()])
    beside = done.stdout.rpartition("\n\n")[2].splitlines()
    assert beside[0].startswith("Published figures and ours")
    assert "1 of 2 published figures agrees with the baseline (not mean);" in " ".join(beside)

    html = (store / "report.html").read_text("utf-8")
    assert '<div id="published">' in html
    assert '<a href="published.csv">' in html
    assert "Mine &amp; &lt;others&gt;, 1990: 1 of 2 published figures agrees" in html
    assert "<dt>success</dt>" in html
    assert here("report", store).stdout.rpartition("\n\n")[2].splitlines() == beside
    assert (store / "report.html").read_text("utf-8") == html

    file.write_text(SWEEP.partition("[[published]]")[0])
    done = here("sweep", file, "--no-report")
    assert "nothing to train" in done.stderr, "no run changes with what others printed"
    assert "Published figures and ours" not in done.stdout
    assert not (store / "published.csv").exists()


@pytest.mark.jit
def test_budgets_in_updates_are_counted_in_epochs_too(here, tmp_path: Path) -> None:
    """Online, an epoch of xor has four updates; of batches of three, two."""
    figure = 'source = "x"\nfigure = "mean"\nvalue = 50\nruns = 9\n'
    text = (
        'seeds = 60\n[setup]\nproblem = "xor"\nlr = 3\nupdates = 4_000\neval_every = '
        "1\n[grid]\nbatch = [1, 3]\n[[published]]\n"
    )
    (tmp_path / "mine.toml").write_text(text + figure)
    assert here("sweep", "mine.toml", "--no-report").returncode == 0
    table = pd.read_csv(tmp_path / "results" / "mine" / "published.csv")
    means = fastbp.load(tmp_path / "results" / "mine").groupby("batch")["converged_at"].mean()
    assert table["ours"].tolist() == pytest.approx([means[1] / 4, means[3] / 2])


def test_a_store_file_of_somebodys_own_tells_no_figures(tmp_path: Path) -> None:
    told = 'title = "t"\n[[published]]\nsource = "x"\nfigure = "mean"\nvalue = 3\nruns = 9\n'
    (tmp_path / "sweep.toml").write_text(told)
    assert (latest_sweep(tmp_path).title, published_figures(latest_sweep(tmp_path))) == ("t", ())
    for wrong in (
        'figure = "best"',
        "value = nan",
        "runs = 0",
        'value = "x"',
        "rounded = -1",
        "plus_minus = []",
        "plus_minus = -1",
        "low = inf",
        "value = 1e308",
        "rounded = 1e308",
        'figure = "success"',  # of 3
    ):
        text = re.sub(rf"^{wrong.split()[0]} = .*\n", "", told, flags=re.MULTILINE) + wrong
        (tmp_path / "sweep.toml").write_text(text + '\n[resolved]\npublished = [["a"]]\n')
        assert published_figures(latest_sweep(tmp_path)) == ()
    (tmp_path / "sweep.toml").write_text(told + '[resolved]\npublished = [["a"]]\n')
    assert [one.setups for one in published_figures(latest_sweep(tmp_path))] == [("a",)]
    assert (
        tomllib.loads(told)["published"][0]["figure"]
        == published_figures(latest_sweep(tmp_path))[0].figure
    )
    assert published(
        count_runs(pd.DataFrame({"setup": [], "seed": [], "outcome": [], "converged_at": []})),
        (),
        {},
    ).empty
