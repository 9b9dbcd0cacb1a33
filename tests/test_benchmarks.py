"""What benchmarks rest on: contenders compute what fastbp computes, and tables say what was
measured. Nothing is timed."""

from importlib import import_module
from itertools import product

import numpy as np
import pytest
from lanes import JIT, LANES
from stores import CHECKOUT

from benchmarks.__main__ import main
from benchmarks.contenders import ENTRIES, c, choices, expert, job, kernel, obvious
from benchmarks.figures import (
    COMPILING,
    CPU,
    FAILS,
    PRESENTATION,
    all_rows,
    contenders,
    families,
    headline,
    ratio,
    read_csv,
    replaced,
    row,
    without,
    write_csv,
)
from benchmarks.reference import job_of
from benchmarks.workloads import BY_CHOICE, CHECKED_UPDATES, LARGEST_DIFFERENCE, WORKLOADS
from fastbp.choices.families import FAMILIES

UPDATES = {"W1": 100, "W2": 20, "W3, H 8": 20} if JIT else {"W1": 12, "W2": 2, "W3, H 8": 2}


@pytest.fixture(scope="module")
def jobs():
    made = {
        (name, "float64"): job_of(name, "float64", LANES, updates)
        for name, updates in UPDATES.items()
    }
    return made | {("W1", "float32"): job_of("W1", "float32", LANES, UPDATES["W1"], seeds=3)}


# Contenders


def assert_right(contender, work):
    """It computes what fastbp computes, and would not with another rate."""
    largest = LARGEST_DIFFERENCE["float32" if work.X.dtype == np.float32 else "float64"]
    assert contender.difference(work) <= largest
    assert contender.difference(work._replace(lr=2 * work.lr)) > largest


def trains(contender, work, updates):
    """What is made ready for a job of so many updates, once it has trained."""
    ready = contender.prepare(work._replace(updates=updates))
    assert ready.updates == updates
    ready.train(2)
    return ready


def of_c(work):
    if reason := c.skipped(work):
        pytest.skip(reason)
    return work


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("contender", "name", "dtype"),
    [
        *product(["textbook", "vectorised", "obvious"], UPDATES, ["float64"]),
        *product(["textbook", "vectorised", "obvious"], ["W1"], ["float32"]),
        ("reordered", "W3, H 8", "float64"),
    ],
)
def test_a_contender_has_the_weights_of_fastbp_after_the_same_rows(contender, name, dtype, jobs):
    assert_right(import_module(f"benchmarks.contenders.{contender}"), jobs[name, dtype])


@pytest.mark.parametrize("contender", ["textbook", "vectorised"])
def test_a_contender_trains_what_it_says(contender, jobs):
    module = import_module(f"benchmarks.contenders.{contender}")
    assert trains(module, jobs["W3, H 8", "float64"], 2).networks >= 1


@pytest.mark.jit
@pytest.mark.parametrize("contender", [expert, kernel])
@pytest.mark.parametrize(
    ("name", "dtype"), [*product(["W1", "W2"], ["float64"]), ("W1", "float32")]
)
def test_what_must_be_compiled_has_the_weights_of_fastbp(contender, name, dtype, jobs):
    work = jobs[name, dtype]
    assert_right(contender, work)
    trains(contender, work, 16)


@pytest.mark.parametrize(("name", "dtype"), [*product(UPDATES, ["float64"]), ("W1", "float32")])
def test_c_has_the_weights_of_fastbp_and_trains_what_it_says(name, dtype, jobs):
    work = of_c(jobs[name, dtype])
    assert_right(c, work)
    trains(c, work, 2)


def test_c_draws_the_rows_that_fastbp_draws(jobs):
    work = of_c(jobs["W1", "float64"])
    _, lanes = c.library(work)
    end = c.trainer(work, c.inside(work.start, lanes), None, work.rows.shape[1])()
    drawn = c.outside(
        work, end, len(work.rows)
    )  # networks of reference.py have the seeds from 0 on, as lanes of the first group
    assert job.largest_difference(drawn, work.end) <= LARGEST_DIFFERENCE["float64"]


def test_c_is_skipped_in_words(jobs, monkeypatch):
    work = jobs["W1", "float64"]
    if c.skipped(work) is None:
        assert c.skipped(work._replace(X=work.X / 2)) == "written for inputs and targets of 0 and 1"
    monkeypatch.setattr(c, "vectors", lambda: False)
    monkeypatch.setattr(c, "compiler", lambda: "cc")
    assert c.skipped(work) == "a processor, or a compiler, without AVX-512 and AVX2"
    monkeypatch.setattr(c, "compiler", lambda: None)
    assert c.skipped(work) == "no C compiler"


def test_a_job_is_the_same_from_its_file(tmp_path, jobs):
    work = jobs["W1", "float32"]
    job.write(tmp_path / "job.npz", work)
    again = job.read(tmp_path / "job.npz")
    assert again._fields == work._fields
    assert (again.workload, again.order, again.batch, again.lr, again.updates) == (
        "W1",
        "random",
        1,
        0.2,
        7_992,
    )
    assert again.X.dtype == again.start.w1.dtype == np.float32
    assert np.array_equal(again.rows, work.rows)
    assert all(map(np.array_equal, again.end, work.end))
    assert (again.losses.shape, again.losses_start.w1.shape) == ((3,), (3, 4, 3))


def test_rows_are_drawn_as_the_order_says(jobs):
    random, listed, shuffled = (jobs[name, "float64"] for name in UPDATES)
    assert random.draw_rows(2, 20).shape == (2, 20, 1)
    assert np.array_equal(listed.draw_rows(2, 3), np.broadcast_to(np.arange(10), (2, 3, 10)))
    epoch = shuffled.draw_rows(2, 16).reshape(2, 256)
    assert np.array_equal(np.sort(epoch), np.broadcast_to(np.arange(256), (2, 256)))
    assert not np.array_equal(epoch[0], epoch[1])


def test_every_contender_has_its_file():
    files = {path.stem for path in (CHECKOUT / "benchmarks" / "contenders").glob("[a-z]*.py")}
    assert files - {"job", "choices"} == set(ENTRIES)


@pytest.mark.soak  # each is another kernel
@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["W1, leaky-relu", "W2, adam"])
def test_the_obvious_loop_with_another_choice_has_the_weights_of_fastbp(name):
    work = job_of(name, "float64", LANES, UPDATES[name[:2]])
    assert_right(obvious, work)
    assert obvious.difference(work._replace(workload=name[:2])) > LARGEST_DIFFERENCE["float64"]


def test_every_activation_and_every_optimizer_is_measured():
    measured = [choices.choice_of(work.setup) for work in BY_CHOICE.values()]
    forms = {"momentum", "nesterov"}  # of sgd
    assert {each.activation for each in measured} == set(FAMILIES["activation"].choices)
    assert {each.optimizer for each in measured} == set(FAMILIES["optimizer"].choices) | forms
    assert set(choices.ACTIVATIONS) == set(FAMILIES["activation"].choices)
    assert len(measured) == 2 * len({*measured})


def test_checks_reach_past_the_first_epoch():
    assert CHECKED_UPDATES == 100
    assert set(UPDATES) <= set(WORKLOADS)


# Figures

ROWS = [
    row(
        "contenders",
        "3-4-1 online, float64",
        ENTRIES["engine"].label,
        [4.0, 5.0, 4.5],
        PRESENTATION,
    ),
    row(
        "contenders",
        "3-4-1 online, float64",
        ENTRIES["obvious"].label,
        [30.0, 31.0, 32.0],
        PRESENTATION,
    ),
    row("contenders", "3-4-1 online, float64", ENTRIES["obvious"].label, [1.5], COMPILING),
    row("contenders", "3-4-1 online, float64", ENTRIES["engine"].label, [8.0, 8.5], CPU),
    row("contenders", "3-4-1 online, float64", ENTRIES["obvious"].label, [56.0, 60.0], CPU),
    without(
        "contenders",
        "3-4-1 online, float64",
        ENTRIES["jax_"].label,
        PRESENTATION,
        "not installed: jax",
    ),
    row("command", "founding sweep", "in all", [2.5], "s"),
    row("command", "founding sweep", "of it compiling", [0.25], "s"),
    ratio("early", "early", "waiting ÷ refilled", [30.0, 36.0], [10.0, 12.0]),
]
MACHINE = {"CPU": "a processor, with a comma", "cores": "2"}


def test_contenders_stand_beside_fastbp():
    head, _, line, _, below = contenders(ROWS).splitlines()
    assert head == "| ns/presentation | fastbp | obvious `@njit` | JAX |"
    assert line == "| 3-4-1 online, float64 | **4.00** | 30.0 (7.50 ×) | – |"
    assert below == "JAX `vmap` + `scan`: not installed: jax."
    assert "1.50 |" in contenders(ROWS, COMPILING)


def test_cpu_time_has_a_table_of_its_own():
    assert contenders(ROWS, CPU).splitlines()[::2] == [
        "| CPU ns/presentation | fastbp | obvious `@njit` |",
        "| 3-4-1 online, float64 | **8.00** | 56.0 (7.00 ×) |",
    ]


def test_neither_the_kernel_alone_nor_c_is_a_rival():
    quick = ROWS[0]._replace(best=3.0)
    assert headline([*ROWS, quick._replace(case=ENTRIES["kernel"].label)]) == headline(ROWS)
    assert {name for name, entry in ENTRIES.items() if not entry.rival} == {"engine", "kernel", "c"}


def test_choices_stand_beside_the_obvious_loop():
    ours, loop = (ENTRIES[name].label for name in ("engine", "obvious"))
    tanh, relu = (f"3-4-1 online, {name}, float64" for name in ("tanh", "relu"))
    rows = [
        *ROWS,
        row("families", tanh, ours, [0.1], COMPILING),
        row("families", tanh, ours, [4.0, 5.0], PRESENTATION),
        row("families", tanh, ours, [8.0, 9.0], CPU),
        row("families", tanh, loop, [30.0, 32.0], PRESENTATION),
        row("families", tanh, loop, [56.0, 60.0], CPU),
        row("families", relu, ours, [2.0], PRESENTATION),
        row("families", relu, ours, [4.0], CPU),
        without("families", relu, loop, PRESENTATION, f"{FAILS}: 1.0e+00 from fastbp's weights"),
    ]
    name = "obvious `@njit`"
    assert families(rows).splitlines() == [
        f"| ns/presentation | fastbp | {name} | times | fastbp, CPU | {name}, CPU | times |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| {tanh} | 4.00 | 30.0 | **7.50** | 8.00 | 56.0 | **7.00** |",
        f"| {relu} | 2.00 | fails | **–** | 4.00 | – | **–** |",
        "",
        f"{loop}: {FAILS}: 1.0e+00 from fastbp's weights (3-4-1 online, relu).",
    ]
    assert contenders(rows) == contenders(ROWS)
    assert contenders(rows, COMPILING) == contenders(ROWS, COMPILING)
    assert (headline(rows), all_rows(rows)) == (headline(ROWS), all_rows(ROWS))


def test_the_other_rows_have_a_table():
    assert all_rows(ROWS).splitlines()[2:] == [
        "| founding sweep | in all | 2.50 | 2.50 | s | 1 |",
        "| founding sweep | of it compiling | 0.25 | 0.25 | s | 1 |",
        "| early | waiting ÷ refilled | 3.00 | 3.00 | times | 2 |",
    ]


def test_the_readme_has_fastbp_c_and_the_best_of_the_others():
    assert headline(ROWS).splitlines()[2:] == [
        "| 3-4-1 online | 4.00 | – | 7.50 × (obvious `@njit`) |"
    ]


def test_figures_are_the_same_from_their_file(tmp_path):
    write_csv(tmp_path / "figures.csv", ROWS, MACHINE)
    rows, machine = read_csv(tmp_path / "figures.csv")
    assert (machine, list(map(repr, rows))) == (MACHINE, list(map(repr, ROWS)))


def test_who_does_not_compute_the_same_is_named_and_the_command_fails(tmp_path, capsys):
    failing = without(
        "contenders",
        "3-4-1 online, float64",
        ENTRIES["torch_"].label,
        PRESENTATION,
        f"{FAILS}, 1.0e+00 away",
    )
    write_csv(tmp_path / "figures.csv", [*ROWS, failing], MACHINE)
    assert main(["--read", str(tmp_path / "figures.csv")]) == 1
    assert "| fails |" in capsys.readouterr().out
    write_csv(tmp_path / "figures.csv", ROWS, MACHINE)
    assert main(["--read", str(tmp_path / "figures.csv"), "-o", str(tmp_path / "again.csv")]) == 0
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "figures.csv").read_text()


@pytest.mark.parametrize("arguments", [["nothing"], ["early", "--write"], ["--quick", "--full"]])
def test_mistakes_end_with_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m benchmarks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("README.md", "headline"),
        ("benchmarks/README.md", "figures"),
        ("benchmarks/README.md", "families"),
    ],
)
def test_pages_have_room_for_figures(page, name):
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    changed = replaced(text, name, "new")
    assert f"by hand -->\nnew\n<!-- end of {name} -->" in changed
    assert replaced(changed, name, "new") == changed
    with pytest.raises(ValueError, match="there 0 times"):
        replaced(text, "nothing", "new")
