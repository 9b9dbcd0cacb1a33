"""`fastbp sweep --all FOLDER`: many sweeps in turn, and the gallery of what they show."""

import json
import os
import re
import shutil
import signal

import pytest
from commands import PATIENCE, ended, names, refused, started, succeeded, until
from stores import opened, tree, unchanged

from fastbp.cli import job, terminal
from fastbp.schema.errors import SweepError
from fastbp.store import filename

ONE = (
    'seeds = {seeds}\ntitle = "{title}"\n[setup]\nproblem = "xor"\nhidden = [2]\nlr = '
    "{lr}\nupdates = {updates}\n"
)


def sweep(title: str, seeds: int = 8, lr: float = 1, updates: int = 4) -> str:
    return ONE.format(title=title, seeds=seeds, lr=lr, updates=updates)


@pytest.fixture
def folder(tmp_path):
    """Three small sweeps, one of them in a folder of its own."""
    for name in ("zero", "founding", "deep/first"):
        file = tmp_path / "sweeps" / f"{name}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(sweep(f"What of {name}?", lr=len(name)))
    return tmp_path / "sweeps"


NAMES = ["founding", "zero", "deep/first"]


def test_every_sweep_is_trained_into_its_own_place_and_shown(folder, tmp_path, here):
    done = succeeded(here("--all", "sweeps"))
    results = tmp_path / "results"
    for number, name in enumerate(NAMES, 1):
        assert filename.run_files(results / name / "runs")
        assert (results / name / "report.html").is_file()
        assert f"{name} ({number} of 3): 8 runs trained" in done.stderr
    assert [block.splitlines()[0] for block in done.stdout.strip().split("\n\n")] == [
        f"{name}: What of {name}?" for name in NAMES
    ]
    text = (results / "README.md").read_text()
    assert re.findall(r"report.html\">(What of .*?)</a>", text) == [
        f"What of {name}?" for name in NAMES
    ]
    assert re.findall(r"(?m)^- `(.*?)`: ", text) == [
        "python -m fastbp.sweep sweeps/founding.toml",
        "python -m fastbp.sweep sweeps/zero.toml",
        "python -m fastbp.sweep sweeps/deep/first.toml -o results/deep/first",
    ]


def test_the_same_again_trains_nothing_and_writes_nothing(folder, tmp_path, here):
    here("--all", "sweeps")
    with unchanged(tmp_path / "results"):
        again = here("--all", folder, "-o", tmp_path / "results")
    assert again.stderr.count("complete already, nothing to train") == 3


PLANE = """
title = "Do neighbours end alike?"
seeds = 400
[setup]
problem = "xor"
hidden = [2]
init = "grid:side=20,x=0,y=1,origin=9"
init_scale = 3
batch = "full"
lr = 9
momentum = 0.8
epochs = 400
stop = "converged"
"""


@pytest.mark.jit
def test_the_second_run_prints_the_same_answer(folder, tmp_path, here):
    """The answer about a plane of weights is there, though its page is not made again."""
    (folder / "zero.toml").write_text(PLANE)
    first, again = here("--all", "sweeps"), here("--all", "sweeps")
    assert first.returncode == 0, first.stderr
    assert "Of starts next to each other in the plane of two weights, " in first.stdout
    assert again.stdout == first.stdout


def test_the_commands_in_the_gallery_make_the_same(folder, tmp_path, here, monkeypatch):
    here("--all", "sweeps", "--seeds", "5", "-o", "other/place")
    place = tmp_path / "other" / "place"
    before = {name: names(place / name) for name in NAMES}
    whole, *commands = re.findall(
        r"(?m)^(?:- `)?python -m fastbp\.sweep ([^`\n]*)", (place / "README.md").read_text()
    )
    assert whole == "--all ../sweeps -o place --seeds 5"
    shutil.rmtree(place)
    monkeypatch.chdir(tmp_path / "other")
    for typed in commands:
        assert here(*typed.split()).returncode == 0
    assert {name: names(place / name) for name in NAMES} == before


def test_in_json(folder, tmp_path, here):
    done = here("--all", "sweeps", "--json")
    told = json.loads(done.stdout)
    assert (done.stderr, told["gallery"]) == ("", "results/README.md")
    assert [each["store"] for each in told["sweeps"]] == [f"results/{name}" for name in NAMES]
    assert [each["runs"] for each in told["sweeps"]] == [8, 8, 8]


def test_a_dry_run_says_what_all_take_and_writes_nothing(folder, tmp_path, here):
    blocks = succeeded(here("--all", "sweeps", "--dry-run")).stdout.strip().split("\n\n")
    assert [block.split()[0] for block in blocks] == [*NAMES, "all"]
    told = json.loads(here("--all", "sweeps", "--dry-run", "--json").stdout)
    assert [each["missing"] for each in told["sweeps"]] == [8, 8, 8]
    assert not (tmp_path / "results").exists()


def test_mistakes_in_all_files_are_told_before_anything_is_trained(folder, tmp_path, here):
    (folder / "zero.toml").write_text(sweep("a", lr=-1))
    (folder / "founding").mkdir()
    (folder / "founding" / "deep.toml").write_text("seeds = 0")
    refused(
        here("--all", "sweeps", "--seeds", "x"), 2,
        r"--seeds: given 'x', .*",
        r"sweeps/zero.toml: setup.lr: given -1, .*",
        r"sweeps/founding/deep.toml: its results would be in the same folder as those of "
        r"founding.toml: give it another name",
        r"sweeps/founding/deep.toml: setup.problem: .*",
        r"sweeps/founding/deep.toml: setup.updates: .*",
    )  # fmt: skip
    assert not (tmp_path / "results").exists()


def test_the_sweeps_of_stores_are_not_trained_again(folder, here):
    """Also where the results are below the folder of sweeps."""
    for place in ("results/zero", "one"):
        (folder / place / "figures").mkdir(parents=True)
        (folder / place / "runs").symlink_to("nowhere")
        (folder / place / "lock").touch()
        (folder / place / "sweep.toml").write_text(sweep("Again?"))
        (folder / place / "figures" / "other.toml").write_text("damaged")
    found, mistakes = job.read_folder(folder, folder, None)
    assert ([each.name for each in found], mistakes) == (NAMES, [])
    _, mistakes = job.read_folder(folder, folder / "one" / "figures", None)
    assert mistakes == [f"-o: given {folder}/one/figures, allowed: a folder that is in no store"]


def test_a_folder_runs_beside_a_sweep_makes_no_store(folder, here):
    """A store has more: runs, a lock or `made.json`."""
    (folder / "mine" / "runs").mkdir(parents=True)
    (folder / "mine" / "sweep.toml").write_text(sweep("Mine"))
    found, _ = job.read_folder(folder, folder, None)
    assert "mine/sweep" in [each.name for each in found]


def test_hidden_files_are_no_sweeps(folder, here):
    (folder / ".#zero.toml").write_text("damaged")
    (folder / ".git").mkdir()
    (folder / ".git" / "a.toml").write_text("damaged")
    assert here("--all", "sweeps", "--dry-run").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--all", "nowhere"], ["--all: given nowhere, allowed: a folder with sweep files, .*"]),
        (
            ["--all", "sweeps/zero.toml"],
            ["--all: given sweeps/zero.toml, allowed: a folder with sweep files, .*"],
        ),
        (
            ["--all", "sweeps", "founding"],
            ["FILE or NAME: given together with --all, allowed: only with a single sweep"],
        ),
        (
            [
                "--all",
                "sweeps",
                "--set",
                "lr=1",
                "--shard",
                "1/2",
                "--until-width",
                "0.1",
                "--bisect",
                "lr",
                "--no-report",
            ],
            [
                f"--{option}: given together with --all, .*"
                for option in ("set", "shard", "until-width", "bisect", "no-report")
            ],
        ),
        (["--all", "sweeps", "-j", "0", "-o", ""], ["-j: given '0', .*", "-o: given '', .*"]),
        (
            ["--all", "sweeps", "-o", "own"],
            [
                "own/README.md: fastbp did not write this file and will not replace it: choose "
                "another folder with -o, .*"
            ],
        ),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_bad_usage_is_a_line_each_and_nothing_is_written(folder, tmp_path, here, arguments, said):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "README.md").write_text("mine")
    refused(here(*arguments), 2, *said)
    assert not (tmp_path / "results").exists()
    assert [file.name for file in (tmp_path / "own").iterdir()] == ["README.md"]


def test_each_folder_is_looked_at_once_however_deep_it_is(tmp_path, monkeypatch):
    looked_at = []
    monkeypatch.setattr(job, "is_store", looked_at.append)
    tree(tmp_path, {"/".join(["d"] * 200) + f"/{number}.toml": "" for number in range(300)})
    assert (len(job._sweep_files(tmp_path)), len(looked_at)) == (300, 201)
    names = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: names(folder) * 2)  # as a stranger's may say
    assert (len(job._sweep_files(tmp_path)), len(looked_at)) == (300, 402)
    (tmp_path / "/".join(["d"] * 201)).mkdir()
    with pytest.raises(
        SweepError, match=f"--all: given {tmp_path}, allowed: folders at most 200 deep"
    ):
        job._sweep_files(tmp_path)


def test_a_folder_that_becomes_a_link_meanwhile_is_not_searched(tmp_path, monkeypatch):
    tree(tmp_path, {f"sweeps/{name}/a.toml": "" for name in "ab"} | {"elsewhere/c.toml": ""})

    def exchange(folder):
        other = folder.with_name({"a": "b", "b": "a"}.get(folder.name, "none"))
        if other.exists():
            other.rename(tmp_path / "old")
            other.symlink_to(tmp_path / "elsewhere")

    monkeypatch.setattr(job, "is_store", exchange)
    assert len(job._sweep_files(tmp_path / "sweeps")) == 1


def test_memory_that_is_short_is_told_before_anything_is_trained(folder, tmp_path, here):
    (folder / "zero.toml").write_text(sweep("Too many?", seeds=10**15))
    refused(here("--all", "sweeps"), 2, "sweeps/zero.toml: the sweep needs .*")
    assert not (tmp_path / "results").exists()


def test_the_exit_code_is_the_worst_and_the_others_are_made(folder, tmp_path, here):
    store = opened(tmp_path / "results" / "zero")
    with store.locked():
        done = here("--all", "sweeps")
    assert done.returncode == 3, done.stderr
    assert "fastbp: results/zero is in use" in done.stderr
    text = (tmp_path / "results" / "README.md").read_text()
    assert re.findall(r"report.html\">(What of .*?)</a>", text) == [
        "What of founding?",
        "What of deep/first?",
    ]
    assert text.endswith("Not there yet: `zero`.\n")


@pytest.mark.parametrize("moved", [False, True])
def test_what_comes_meanwhile_is_not_replaced(folder, tmp_path, here, monkeypatch, moved):
    """A text of the user, or another folder in the place of the results."""
    really = job.perform

    def perform(*arguments):
        done = really(*arguments)
        if moved and not (tmp_path / "aside").exists():
            (tmp_path / "results").rename(tmp_path / "aside")
            (tmp_path / "results").mkdir()
        (tmp_path / "results" / "README.md").write_text("mine")
        return done

    monkeypatch.setattr(job, "perform", perform)
    done = here("--all", "sweeps", "-o", "results")
    told = "fastbp: results/README.md cannot be written: it came there meanwhile"
    if moved:
        told = "fastbp: results is no longer the folder with which this command began"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (3 if moved else 4, told)
    assert (tmp_path / "results" / "README.md").read_text() == "mine"
    if moved:
        assert [path.name for path in (tmp_path / "results").iterdir()] == ["README.md"]


def test_what_does_not_fit_is_refused(folder, here, monkeypatch):
    monkeypatch.setattr(job, "MAX_SETUPS_OF_ALL", 2)
    told = "--all: given sweeps, allowed: sweeps with at most 2 setups in all"
    refused(here("--all", "sweeps"), 2, told)
    monkeypatch.setattr(job, "MAX_SETUPS_OF_ALL", 3)
    succeeded(here("--all", "sweeps", "--dry-run"))
    (folder / "d.csv").write_text("a,y\n0,1\n1,0\n")
    (folder / "own.toml").write_text(
        "seeds = 1\n[setup]\nproblem = 'file:d.csv'\ntargets = ['y']\nupdates = 9\n"
    )
    monkeypatch.setattr(job, "MAX_SETUPS_OF_ALL", 4)
    monkeypatch.setattr(job, "MAX_BYTES_OF_ALL", 31)
    told = (
        "--all: given sweeps, allowed: sweeps with at most 31 bytes of inputs and targets of files"
    )
    refused(here("--all", "sweeps"), 2, f"{told} in all")
    (folder / "own.toml").unlink()
    (folder / "README.md.toml").write_text(sweep("Where?"))
    monkeypatch.setattr(job, "MAX_SETUPS_OF_ALL", 4)
    refused(here("--all", "sweeps"), 2, "sweeps/README.md.toml: .* folder as the gallery: .*")


def test_what_cannot_be_written_ends_it(folder, tmp_path, here):
    (tmp_path / "results" / "zero").mkdir(parents=True)
    (tmp_path / "results" / "zero" / "runs").write_text("no folder")
    assert (
        "fastbp: results/zero/runs cannot be used: it is a file"
        in ended(here("--all", "sweeps"), 3).stderr
    )
    assert not (tmp_path / "results" / "README.md").exists(), "nothing is made before"


@pytest.mark.jit
def test_an_interrupted_command_says_how_to_go_on_and_does(folder, tmp_path, here):
    (folder / "zero.toml").write_text(sweep("Long?", seeds=200_000, updates=200_000))
    with started("--all", "sweeps", cwd=tmp_path) as process:
        until((tmp_path / "results" / "zero" / "runs").is_dir, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "founding" in out
    assert "finished work stays in results. To resume: " in err
    assert "--all sweeps" in err
    (folder / "zero.toml").write_text(sweep("Short?"))
    assert "founding (1 of 3): complete already" in succeeded(here("--all", "sweeps")).stderr


def test_progress_says_which_of_how_many(capsys):
    now = 0.0
    show = terminal.ProgressLine(clock=lambda: now, name="zero (2 of 3): ")
    now = 60.0
    show(terminal.Phase("compiling"))
    assert capsys.readouterr().err == "zero (2 of 3): compiling… (once for this machine)\n"
