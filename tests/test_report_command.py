"""`fastbp report` as a user runs it, on stores that nobody trained."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sample_frames as frames
from commands import (
    answer_of,
    any_command,
    command,
    ended,
    environment,
    in_process,
    refused,
    succeeded,
    tables_of,
)
from pages import without_png
from stores import contents_of, opened, tree, unchanged

import fastbp
from fastbp import attribution, contrasts, summary
from fastbp.analysis.counts import count_runs
from fastbp.reporting import build
from fastbp.reporting.report_data import ReportData
from fastbp.reporting.sections import comparison_section, examples_section
from fastbp.reporting.sections.changes_section import contrasts_table, worth_text
from fastbp.schema.columns import schema
from fastbp.store.provenance import LatestSweep, latest_sweep

here, drawn = in_process(any_command), in_process(any_command, png=True)


def rows_of(setup: fastbp.Setup, count: int = 40) -> pa.Table:
    """Runs with a setup's keys and its id, whose outcomes are those of their measures."""
    shuffled = setup.order == "shuffled"
    rng = np.random.default_rng([int(10 * setup.lr), shuffled])
    spread, error, ever = (
        rng.random(count),
        rng.random(count) ** (1 + shuffled),
        rng.random(count) < 0.3,
    )
    words = np.where(
        error <= 0.4, "converged", np.where(spread < setup.collapse, "collapsed", "partial")
    )
    runs = frames.table(setup.columns(), list(words), ever=(words == "converged") | ever)
    values = {
        "setup": pa.array([setup.identity()] * count, pa.string()).dictionary_encode(),
        "spread": pa.array(spread),
        "max_error": pa.array(error),
        "loss": pa.array(error**2 / 2),
    }
    for name, column in values.items():
        runs = runs.set_column(runs.column_names.index(name), schema().field(name), column)
    return runs.cast(schema())


def test_of_many_setups_those_with_most_seeds_are_shown(tmp_path):
    counted = count_runs(
        frames.frame(
            *(
                frames.table({"lr": lr / 10}, ["partial"] * (9 if lr in (7, 11) else 3))
                for lr in range(1, 31)
            )
        )
    )
    data = ReportData(tmp_path, counted, frames.identity({"lr": 3.0}))
    for most in (4, 12, 24):
        rows = data.chosen(most)
        assert len(rows) == most
        assert {0.7, 1.1, 3.0} <= set(rows["lr"])
    assert len(data.chosen(30)) == 30


def test_of_many_changes_those_of_the_baseline_come_first(tmp_path):
    """They do nothing, and others much."""
    wins = {(lr, momentum): lr + momentum > 20 for lr in range(1, 31) for momentum in (0.0, 0.5)}
    tables = [
        frames.table({"lr": float(lr), "momentum": m}, ["converged" if won else "partial"] * 9)
        for (lr, m), won in wins.items()
    ]
    data = ReportData(
        tmp_path, count_runs(frames.frame(*tables)), frames.identity({"lr": 1.0, "momentum": 0.0})
    )
    table = contrasts_table(data)
    own = [is_marked for _, is_marked in table.rows]
    assert len(data.contrasts) > len(own) == 40
    assert (own, sum(own)) == (sorted(own, reverse=True), 30)
    assert "Those first, then the largest of " in table.caption


def test_pairing_is_said_to_be_worth_something_where_it_surely_is(tmp_path):
    """Of 200 seeds 100 converge before the change, it fixes 50 and breaks 10: variances 0.46 and
    0.26."""
    ends = [["converged"] * 100 + ["partial"] * 100]
    ends += [["partial"] * 10 + ["converged"] * 140 + ["partial"] * 50]

    def text(*ends):
        runs = [frames.table({"lr": lr}, each) for lr, each in zip((0.1, 0.2), ends, strict=True)]
        return worth_text(
            ReportData(tmp_path, count_runs(frames.frame(*runs)), frames.identity({"lr": 0.1}))
        )

    said = " For lr 0.1 → 0.2, pairing by seed is as good as 1.8 times the seeds (95% interval "
    assert text(*ends).startswith(said)
    assert text(*ends[::-1]) == ""  # no change helps
    # not all seeds of the baseline are compared; and worth 1.0: as if seeds were not paired
    assert (text(ends[0], ends[1][:190]), text(["partial"] * 200, ends[1])) == ("", "")
    assert text(ends[0], ends[0]) == ""


def without_most_pictures(patch: pytest.MonkeyPatch) -> None:
    """A page without the sections whose figures take most time."""
    patch.setattr(
        build,
        "SECTIONS",
        [
            each
            for each in build.SECTIONS
            if each.anchor not in ("spread", "waiting", "threshold", "runs")
        ],
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A store whose sweep found all runs there, and made its tables and its page, without most
    pictures."""
    folder = tmp_path_factory.mktemp("swept")
    sweep = fastbp.Sweep(
        title="Does shuffling help?",
        seeds=40,
        setup={"problem": "table:11101011", "lr": 0.2, "order": "random", "updates": 999},
        grid={"lr": [0.1, 0.2], "order": ["random", "shuffled"]},
    )
    (folder / "mine.toml").write_text(sweep.to_toml())
    store = opened(folder / "store")
    for setup in sweep.setups:
        store.publish(setup.identity(), 0, rows_of(setup))
    with pytest.MonkeyPatch.context() as patch:
        without_most_pictures(patch)
        without_png(patch)
        assert any_command(["sweep", str(folder / "mine.toml"), "-o", str(store.path)]) == 0
    return store.path


@pytest.fixture
def store(swept, tmp_path, monkeypatch):
    """A copy of it, of which reports have the same few pictures."""
    without_most_pictures(monkeypatch)
    return shutil.copytree(swept, tmp_path / "store")


def attributes(html: str) -> set[str]:
    """Of all elements of a page."""
    found: set[str] = set()

    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attrs: found.update(name for name, _ in attrs)  # type: ignore[method-assign]
    reader.feed(html)
    return found


def results(store: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents_of(store).items() if name not in ("lock",)}


def page(store: Path) -> str:
    return (store / "report.html").read_text()


def test_the_page_that_the_sweep_made(drawn, swept, tmp_path):
    store = shutil.copytree(swept, tmp_path / "store")
    (store / "report.html").unlink()
    assert drawn("sweep", "store/sweep.toml", "-o", "store").returncode == 0
    made = results(store)
    kinds = ("outcomes", "spread-loss", "survival", "collapse")
    assert {"report.html", *(f"figures/{kind}.svg" for kind in kinds)} <= {*made}
    for name in made:
        if not name.startswith(("runs", "sweep.toml", "problems", "made.json")):
            (store / name).unlink()
    assert (drawn("report", "store").returncode, results(store)) == (0, made)
    assert drawn("sweep", "store/sweep.toml", "-o", "store").returncode == 0
    assert results(store) == made


def test_what_it_says(here, store):
    done = here("report", "store")
    verdict, (table,) = answer_of(done.stdout), tables_of(done.stdout)
    assert done.stdout.startswith(verdict[0].split()[0]), "the answer comes first"
    assert all(len(line) <= 80 for line in done.stdout.partition("\norder")[0].splitlines())
    assert (table[0].split()[:3], len(table)) == (["order", "lr", "converged"], 5)
    assert verdict[0].startswith(
        ("More updates fix it", "More updates help", "Changing order", "No single change")
    )
    # The page splits the first paragraph after its first sentence, and the picture stands between.
    assert " ".join(verdict) in " ".join(re.findall("<p>(.*?)</p>", page(store), re.DOTALL))
    assert re.fullmatch(
        r"written: store/report.html\nand \d+ more files in the same folder\n", done.stderr
    )
    assert "<title>Does shuffling help?" in page(store)


def test_tables_are_those_of_the_runs(here, store):
    here("report", "store")
    base = latest_sweep(store).baseline
    for name, made in (
        ("summary", summary(store)),
        ("contrasts", contrasts(store, base)),
        ("attribution", attribution(store, base)),
    ):
        assert (store / f"{name}.csv").read_text() == made.to_csv(index=False)


def test_a_store_without_its_sweep_file(here, tmp_path):
    """Such as one that `merge` or a copy of `runs` made."""
    for i in range(2):
        frames.write(
            tmp_path / "bare",
            frames.table({"lr": 0.1 + i}, ["partial"] * 30 + ["converged"] * (30 * i)),
        )
    assert "Runs converge most often with lr 1.1" in succeeded(here("report", "bare")).stdout
    assert "<title>Sweep bare" in page(tmp_path / "bare")


@pytest.mark.parametrize("outcome", ["diverged", "collapsed"])
def test_one_row_of_one_outcome(here, tmp_path, outcome):
    """Of a diverged run there is no measure."""
    runs = frames.table({}, [outcome])
    if outcome == "diverged":
        for name in (
            "loss",
            "spread",
            "max_error",
            "saturation",
            "grad_norm",
            "weight_max",
            "wrong",
            "one_sided",
            "outputs",
        ):
            field = schema().field(name)
            runs = runs.set_column(runs.column_names.index(name), field, pa.nulls(1, field.type))
    frames.write(tmp_path / "one", runs)
    assert f"The one run ended {outcome}: " in succeeded(here("report", "one")).stdout
    assert "nan" not in page(tmp_path / "one").lower().replace("finance", "")


def test_decides_anew_and_back_again(here, store):
    made, before = results(store), here("report", "store").stdout
    done = succeeded(here("report", "store", "--collapse", "0.5"))
    assert done.stderr.splitlines()[0] == (
        "note: Outcomes were decided anew, with collapse = 0.5, from the measures of each run."
    )
    assert done.stdout != before
    anew, old = (
        pd.read_csv(source) for source in (store / "summary.csv", BytesIO(made["summary.csv"]))
    )
    runs = pd.read_parquet(store / "runs")
    stuck = runs[(runs["max_error"] > 0.4) & (runs["spread"] < 0.5)]
    assert anew["collapsed"].sum() == len(stuck) > old["collapsed"].sum()
    assert anew["converged"].tolist() == old["converged"].tolist()
    assert "Outcomes were decided anew, with collapse = 0.5" in page(store)
    assert results(store) != made
    assert (here("report", "store").stdout, results(store)) == (before, made)


def test_the_name_of_a_store_is_quoted_in_the_commands_of_a_page(tmp_path):
    assert examples_section.shown_path(Path("a b$(x)")) == "'a b$(x)'"
    assert examples_section.shown_path(Path("results/xor")) == "results/xor"
    os.symlink("loop", tmp_path / "loop")  # strangers may put one there meanwhile
    assert examples_section.shown_path(tmp_path / "loop") == "loop"
    assert comparison_section.names_of(tmp_path / "loop", tmp_path / "a") == ("loop", "a")


def test_the_next_sweep_has_its_own_page_again(here, store):
    made = results(store)
    here("report", "store", "--collapse", "0.5")
    assert (here("sweep", "store/sweep.toml", "-o", "store").returncode, results(store)) == (
        0,
        made,
    )


@pytest.mark.parametrize("given", ["0", "1", "-0.1", "nan", "inf", "", "ten", "10%", "1e999"])
def test_allowed(here, store, given):
    told = f"--collapse: given {given!r}, allowed: a number above 0 and below 1, such as 0.1"
    with unchanged(store):
        refused(here("report", "store", f"--collapse={given}"), 2, re.escape(told))


def test_others_only_where_all_are_asked_for(here, store):
    plain = here("report", "store").stdout
    frames.write(store, frames.table({"lr": 7.0}, ["partial"] * 9))
    assert here("report", "store").stdout == plain
    assert len(tables_of(here("report", "store", "--all-runs").stdout)[0]) == 6
    assert "5 setups" in page(store)
    assert here("report", "store").stdout == plain


def test_only_others(here, tmp_path):
    frames.write(tmp_path / "store", frames.table({}, ["partial"] * 9))
    (tmp_path / "store" / "sweep.toml").write_text(
        'seeds = 9\n[resolved]\nsetups = ["0123456789ab"]\n'
    )
    why = "store holds no runs of its latest sweep, only of others: --all-runs reports them"
    refused(here("report", "store"), 3, why)
    assert here("report", "store", "--all-runs").returncode == 0


@pytest.mark.parametrize(
    ("seeds", "of_each", "said"),
    [
        (80, "", "Not complete: 160 of the 320 requested runs"),
        (9, "", "There are more seeds than the 9 that the sweep requests"),
        (40, [40, 40, 41, 40], "Not complete: 160 of the 161 requested runs"),
        (
            40,
            [40, 39, 40, 40],
            "There are more seeds of some setups than the sweep requests",
        ),
    ],
)
def test_not_complete_and_more_than_asked_for(here, store, seeds, of_each, said):
    text = (store / "sweep.toml").read_text().replace("seeds = 40", f"seeds = {seeds}")
    (store / "sweep.toml").write_text(f"{text}seeds = {of_each}\n" if of_each else text)
    assert here("report", "store").returncode == 0
    assert said in page(store)


@pytest.mark.parametrize(
    "text",
    [
        "[resolved]\nsetups = []\nseeds = [1]",
        "[resolved]\nseeds = [-1]",
        "[resolved]\nseeds = 1",
        "",
        "title",
        "seeds = inf",
        "seeds = nan",
        "seeds = -1",
        f"seeds = {10**400}",
        'seeds = "many"',
        "seeds = []",
        "seeds = {count = []}",
        "resolved = 3",
        "[resolved]\nsetups = 3",
        '[resolved]\nsetups = "abc"',
        "\x00",
        "\ufeff[]",
        "[resolved]\nbaseline = []",
        "[resolved]\nbaseline = {a = 1}",
        "title = [1]\nseeds = true",
        "a = " + "[" * 5000,
    ],
)
def test_anybodys_sweep_file_says_nothing(tmp_path, text):
    (tmp_path / "sweep.toml").write_text(text)
    said = latest_sweep(tmp_path)
    assert said.setups == ()
    assert said.baseline is None
    assert 0 <= said.seeds <= 1


def test_no_text_at_all(tmp_path):
    assert latest_sweep(tmp_path) == LatestSweep()
    (tmp_path / "sweep.toml").write_bytes(b"title = '\xff'")
    assert latest_sweep(tmp_path) == LatestSweep()


def test_titles_are_one_line(tmp_path):
    (tmp_path / "sweep.toml").write_text('title = """\n two\n  lines\\u202e\\u0000 """', "utf-8")
    assert latest_sweep(tmp_path).title == "two lines??"


def test_says_so_and_reports_what_is_there(here, store):
    holder = (
        "import fcntl, sys\nlock = open(sys.argv[1], 'a')\nfcntl.flock(lock, "
        "fcntl.LOCK_EX)\nprint('held', flush=True)\n"
        "sys.stdin.read()"
    )
    made = results(store)
    said = "This sweep is still running: the page shows what is there so far."
    process = subprocess.Popen(
        [sys.executable, "-c", holder, store / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        done = here("report", "store")
        process.communicate("")
    assert done.returncode == 0
    assert f"note: {said}\n" in done.stderr
    assert said in page(store)
    assert (here("report", "store").returncode, results(store)) == (0, made)


@pytest.mark.parametrize("was_there", [False, True])
def test_a_page_lacks_runs_that_came_meanwhile_and_says_so(store, monkeypatch, tmp_path, was_there):
    """Else the next sweep would leave it as it is. They may have been away for an instant only."""
    late, *_ = (store / "runs").iterdir()
    aside, really = tmp_path / late.name, count_runs
    if not was_there:
        late.rename(aside)

    def counted(*arguments, **options):
        if was_there:
            late.rename(aside)
        found = really(*arguments, **options)
        aside.rename(late)
        return found

    monkeypatch.setattr(build, "count_runs", counted)
    build.make(store)
    assert late.exists()
    assert not build.is_current(store, latest_sweep(store).setups)


def test_a_page_never_seems_current_beside_pictures_of_another(store, monkeypatch):
    """Here the page cannot be written, after its pictures."""
    write = build.safe_files.write

    def written(target, *arguments, **options):
        if target.suffix == ".html":
            raise OSError("no room")
        return write(target, *arguments, **options)

    build.make(store)
    picture = store / "figures" / "outcomes.svg"
    for other, expected in ((b"of another report", False), (picture.read_bytes(), True)):
        picture.write_bytes(other)
        assert build.is_current(store, latest_sweep(store).setups) is expected
    monkeypatch.setattr(build.safe_files, "write", written)
    with pytest.raises(OSError, match="no room"):
        build.make(store)
    assert build.is_current(store, latest_sweep(store).setups)
    with pytest.raises(OSError, match="no room"):
        build.make(store, collapse=0.5)
    assert (store / "report.html").exists()
    assert not build.is_current(store, latest_sweep(store).setups)


def test_a_lock_that_nobody_holds(here, store):
    (store / "lock").write_text("process 1 on elsewhere\n")
    assert "running" not in here("report", "store").stderr


@pytest.mark.parametrize(
    "reader",
    ["report {}", "report {} --all-runs", "compare {} a", "compare a {} -o out"],
)
def test_no_store(here, tmp_path, reader):
    frames.write(tmp_path / "a", frames.table({}, ["partial"]))
    tree(tmp_path, {"empty/runs/notes.parquet": "mine", "folder/notes": "mine", "file": "mine"})
    os.symlink("loop", tmp_path / "loop")
    with unchanged(tmp_path):
        for name, why in {
            "gone": "gone does not exist$",
            "emtpy": r"emtpy does not exist; did you mean 'empty'\?",
            "folder": "folder is not a store: it has no folder runs",
            "empty": "empty holds no runs",
            "file": "file is not a store: it has no folder runs",
            "file/x": "file/x does not exist",
            "loop": "loop is not a store: it has no folder runs",
            "x" * 5000: "x{5000} does not exist",
            "a/runs": "a/runs is not a store: it has no folder runs",
        }.items():
            refused(here(*reader.format(name).split()), 3, why)


def test_not_writable(here, store):
    for name in ("report.html", "figures/outcomes.png"):
        (store / name).unlink()
        (store / name).mkdir()
        refused(here("report", "store"), 4, f"store/{name}: Is a directory")
        (store / name).rmdir()
    for name in ("summary.csv", "published.csv"):
        (store / name).unlink(missing_ok=True)
        (store / name).mkdir()  # it is read, to see whether it would change, or removed
        refused(here("report", "store"), 3, rf"store/{name} cannot be used: it is a folder, .*")
        (store / name).rmdir()
    shutil.rmtree(store / "figures")
    (store / "figures").touch()
    refused(
        here("report", "store"), 3, "store/figures cannot be used: it is a file, not a folder.*"
    )
    assert not list(store.glob("*.draft")), "no draft is left"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs limits on the size of files")
def test_no_room(swept, tmp_path):
    """A disk that is full, as far as the command can tell: no file may be larger than 20 kB."""
    shutil.copytree(swept, tmp_path / "store")
    code = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from fastbp.report import main\nsys.exit(main(['store']))"
    )
    done = ended(
        command(
            cwd=tmp_path,
            program=[sys.executable, "-c", code],
            env=environment(MPLCONFIGDIR=str(tmp_path)),
        ),
        4,
    )
    assert re.fullmatch(r"fastbp: store/\S+: File too large\n", done.stderr)
    assert page(tmp_path / "store") == page(swept)


def test_names_are_only_names(here, tmp_path):
    """Of problems, of their targets and of sweeps."""
    names = [
        "<script>alert(1)</script>",
        "$x$ & $\\frac{",
        '"\'` onload="x"',
        "a\nb\r\x1b[31m",
        "\u202eevil \u05d0\u05d1",
        "\u4e2d\u6587 \U0001f600",
        "&lt;b&gt; ]]> --> <!--",
        "\ufffe\u2028\x85",
        "x" * 10_000,
    ]
    outcomes = ["converged", "partial", "collapsed", "one-class", "diverged"] * 4
    for i, name in enumerate(names):
        frames.write(
            tmp_path / "store",
            frames.table({"problem": f"file:{name}", "targets": name}, outcomes[i % 5 :]),
        )
    title = json.dumps("".join(names)).replace("\\ud83d\\ude00", "\\U0001f600")
    (tmp_path / "store" / "sweep.toml").write_text(f"title = {title}\nseeds = 20\n")
    assert "<script>" in latest_sweep(tmp_path / "store").title
    done = succeeded(here("report", "store"))
    assert done.stderr.startswith("written: ")
    html = page(tmp_path / "store")
    for text in (done.stdout, html):
        assert not {*"\x1b\x00\u202e\u2028\ufffe"} & {*text}
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not [name for name in attributes(html) if name.startswith("on")]
    assert len(html) < 1_000_000
    assert max(map(len, done.stdout.splitlines())) < 1000


def test_numba_is_never_imported(store, tmp_path):
    """Nor anything of the engine: whoever only reads needs none of it."""
    code = (
        "import sys\nfor name in ('numba', 'llvmlite', 'pydantic'):\n    sys.modules[name] = None\n"
        "import fastbp\nfrom fastbp import report, compare\n"
        "assert report.main(['store']) == compare.main(['store', 'store', '-o', 'out']) == 0\n"
        "assert len(fastbp.load('store')) == len(fastbp.summary('store')) * 40 == 160\n"
        "assert not [name for name in sys.modules if name.startswith(('fastbp.engine', "
        "'fastbp.kernels', 'fastbp.choices'))]"
    )
    succeeded(command(cwd=tmp_path, program=[sys.executable, "-W", "error", "-c", code]))
