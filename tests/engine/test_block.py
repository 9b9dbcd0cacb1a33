"""Blocks: as many of each outcome as the textbook network has, rows as Arrow tables, and stopping
on request."""

import math
import platform
import threading
import time

import every_choice
import numpy as np
import oracle
import pyarrow as pa
import pytest
from lanes import FOUNDING, JIT, LANES, group, pair
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from stores import opened

from fastbp.config.setup import Setup
from fastbp.engine import lane_group, tasks
from fastbp.engine.block import InterruptedBlockError, check_denormals, train, train_at_once
from fastbp.engine.retrain import retrain
from fastbp.engine.rows import to_arrow
from fastbp.engine.tasks import SAMPLES, kernel_key, kernels, layout, suggested_lanes, task
from fastbp.reporting import plots
from fastbp.schema.columns import COLUMNS, schema


def table_of(setup, start=0, count=LANES):
    return to_arrow(setup, start, train(setup, start, count, lanes=LANES))


# Beginnings

SEEDS = 170 if JIT else 2


@pytest.mark.parametrize(
    "changes",
    [
        {"order": "random", "lr": 4, "eval_every": 3},
        {"order": "shuffled", "momentum": 0.9, "batch": 3, "eval_every": 2},
        {"schedule": "exponential:factor=0.9", "hidden": [5], "bias": False, "dtype": "float32"},
        {"schedule": "constant:warmup=1", "batch": 3},
        {"schedule": "step:every=2,factor=0.5", "batch": 3},
        {"schedule": "inverse:tau=3", "batch": 3},
    ][:: 1 if JIT else 2],
    ids=str,
)
def test_shorter_budgets_on_the_way_have_the_rows_of_runs_of_their_own(changes):
    """Whole epochs and parts of one, between evaluations and at them, and one budget twice."""
    budgets = (4003, 1600, 963, 83, 80, 79, 16, 8, 5) if JIT else (19, 13, 8, 5)
    keys = {"problem": "table:11101011", "tolerance": 0.45, **changes}
    setups = [Setup(**keys, updates=updates) for updates in budgets]
    setups.insert(3, Setup(**keys, epochs=2))
    setups.sort(key=lambda setup: -setup.budget)
    for setup, rows in zip(
        setups,
        train_at_once(setups, range(5, 5 + SEEDS), lanes=LANES, slice_seconds=1e-3),
        strict=True,
    ):
        assert to_arrow(setup, 5, rows).equals(
            to_arrow(setup, 5, train(setup, 5, SEEDS, lanes=LANES))
        ), setup.budget


# Outcomes


CASES = [
    FOUNDING,
    {**FOUNDING, "order": "cyclic", "lr": 4},
    {**FOUNDING, "order": "shuffled", "lr": 1, "init_scale": 3},
]


@pytest.mark.parametrize("keys", CASES, ids=["founding", "cyclic", "large weights"])
def test_outcomes_of_the_same_seeds_are_the_same(keys):
    """Which they need not be to the last bit, but no run here ends within 10⁻⁹ of a limit."""
    count, updates = (500, 999) if JIT else (2, 24)
    setup, recipe = pair(**{**keys, "updates": updates})
    ours = table_of(setup, 7, count).column("outcome").to_pylist()
    assert ours == oracle.outcomes_of_many(recipe, range(7, 7 + count))
    assert len(set(ours)) > 1 or not JIT


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_many_seeds_at_once_are_what_one_at_a_time_is(seed):
    """The oracle against itself."""
    recipe = oracle.Recipe(**{**FOUNDING, "lr": 2, "updates": 99})
    *_, (_, network) = oracle.run(recipe, seed)
    assert oracle.outcomes_of_many(recipe, [seed]) == [
        oracle.outcome(recipe, oracle.measures(recipe, network))
    ]


# Rows


CONVERGING = {"problem": "table:0111", "hidden": (2,), "lr": 20, "updates": 61}
SLOW = {"problem": "xor", "hidden": (2,), "lr": 1e-3, "updates": 9}
RESULTS_OF_A_STATE = {
    "loss",
    "spread",
    "max_error",
    "wrong",
    "one_sided",
    "saturation",
    "dead_units",
    "grad_norm",
    "weight_max",
    "accuracy",
    "outputs",
}


@pytest.mark.parametrize(
    ("keys", "null"),
    [
        (CONVERGING, {"targets", "epochs"}),
        (SLOW, {"targets", "epochs", "converged_at"}),
        ({**SLOW, "updates": None, "epochs": 3}, {"targets", "converged_at"}),
        (every_choice.DIVERGING, {"targets", "epochs", "converged_at"} | RESULTS_OF_A_STATE),
        (
            {**SLOW, "problem": "table:1111", "tolerance": 1e-6},
            {"targets", "epochs", "converged_at", "spread", "spread_start"},
        ),
        (
            {**SLOW, "problem": "encoder:8", "hidden": 2, "tolerance": 0.01},
            {"targets", "epochs", "converged_at"},
        ),
        (
            {**SLOW, "problem": "encoder:9", "hidden": 2, "tolerance": 0.01},
            {"targets", "epochs", "converged_at", "outputs"},
        ),
        (
            {**SLOW, "problem": "parity:7", "tolerance": 0.01},
            {"targets", "epochs", "converged_at", "outputs"},
        ),
    ],
    ids=[
        "converging",
        "slow",
        "epochs",
        "diverging",
        "constant targets",
        "64 outputs",
        "81 outputs",
        "128 rows",
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_have_the_schema_and_are_null_where_it_says(keys, null, dtype):
    table = table_of(Setup(**keys, dtype=dtype), 2**40, 3)
    table.validate(full=True)
    assert table.schema.equals(schema(), check_metadata=True)
    assert table.num_rows == 3
    # This problem has labels only, and no row is held out.
    null = null | {"r2", "r2_start", "test_accuracy", "test_r2", "test_loss"}
    for column in COLUMNS:
        nulls = table.column(column.name).null_count
        if column.name == "converged_at" and column.name not in null:
            assert nulls < 3
        else:
            assert nulls == (3 if column.name in null else 0), column.name
        assert column.nullable or nulls == 0, column.name
    for field, values in zip(table.schema, table.columns, strict=True):
        if pa.types.is_floating(field.type):
            assert not any(
                value is not None and math.isnan(value) for value in values.to_pylist()
            ), field.name


def test_rows_hold_the_setup_and_the_seeds():
    setup = Setup(**SLOW, schedule="step:factor=0.5,every=2")
    rows = table_of(setup, 2**62, 3).to_pylist()
    assert [row["seed"] for row in rows] == [2**62, 2**62 + 1, 2**62 + 2]
    for row in rows:
        assert ({key: row[key] for key in setup.columns()}, row["schedule"]) == (
            setup.columns(),
            "step:every=2,factor=0.5",
        )
        assert (row["setup"], row["updates_done"]) == (setup.identity(), 9)


@pytest.mark.parametrize(
    "keys",
    [
        {"problem": "encoder:3", "hidden": (2,), "lr": 0.5, "epochs": 3},
        *(keys for keys in every_choice.UNITS if not JIT or "dtype" not in keys),
    ],
    ids=str,
)
def test_rows_hold_the_measures_of_the_oracle(keys):
    """And outputs row after row, each with its units side by side. Compiled, only with kernels that
    other tests have, too."""
    setup, recipe = pair(**keys | {"dtype": "float64"})
    rows, runs = table_of(setup).to_pylist(), group(setup)
    lanes = range(0, LANES, 4)
    starts = [oracle.measures(recipe, runs.layers(lane)) for lane in lanes]
    runs.advance(setup.epochs_budget)
    apart = setup.eval_interval * setup.updates_per_epoch
    for lane, start in zip(lanes, starts, strict=True):
        row, network = rows[lane], runs.layers(lane)
        wanted = oracle.measures(recipe, network)
        begun = {f"{name}_start": start[name] for name in ("loss", "spread")}
        for name, value in (wanted | begun).items():
            assert (row[name] is None and np.isnan(value)) or row[name] == pytest.approx(
                value, rel=1e-12, abs=1e-12
            ), name
        assert row["outcome"] == oracle.outcome(recipe, wanted)
        outputs = oracle.outputs(recipe, network)
        np.testing.assert_allclose(np.reshape(row["outputs"], outputs.shape), outputs, rtol=2**-23)
        assert row["converged_at"] in (None, *range(apart, setup.budget, apart), setup.budget)


@pytest.mark.jit
def test_outputs_that_are_no_numbers_are_not_kept():
    """The weights are finite, but infinities took each other away."""
    net = {"hidden": [2, 2, 2], "activation": "exponential", "init_scale": 2, "bias": False}
    setup = Setup(problem="parity:4", lr=0.1, order="random", updates=1, **net)
    rows = to_arrow(setup, 1, train(setup, 1, 1)).to_pylist()
    assert np.isfinite(retrain(setup, 1).final[0][0]).all()
    assert [
        (row["outcome"], *map(row.get, ("outputs", "loss", "wrong", "weight_max", "dead_units")))
        for row in rows
    ] == [("diverged", *[None] * 5)]


def test_a_diverged_run_keeps_what_was_before():
    row = table_of(Setup(**every_choice.DIVERGING)).to_pylist()[0]
    assert (row["outcome"], row["updates_done"]) == ("diverged", 40)
    start = table_of(Setup(problem="xor", hidden=(2,), updates=1)).to_pylist()[0]
    assert (row["loss_start"], row["spread_start"]) == (start["loss_start"], start["spread_start"])


@pytest.mark.jit
def test_a_network_that_overflows_before_its_first_update_has_a_row(tmp_path):
    """Its first loss is infinite; a run that diverges later can be trained again and drawn."""
    setup = Setup(problem="xor", activation="exponential", init_scale=1e4, updates=8)
    table = to_arrow(setup, 0, train(setup, 0, 8))
    assert np.isposinf(table["loss_start"].to_numpy()).any()
    opened(tmp_path / "store").publish(setup.identity(), 0, table)
    setup = Setup(problem="xor", output="linear", hidden=(2,), lr=10, epochs=30, eval_every=1)
    run = retrain(setup, 0)
    assert any(np.isinf(each).any() for each in run.evaluations["outputs"] if each is not None)
    plots.trajectory(run.evaluations, 10 * setup.training()[1], "it diverges", "")


def test_outcome_words_follow_the_collapse_of_the_setup_alone():
    """The measures of a run do not know it."""
    narrow, wide = (
        table_of(Setup(**FOUNDING | {"updates": 40, "collapse": c})).to_pylist()
        for c in (1e-6, 0.99)
    )
    assert {row["outcome"] for row in narrow} <= {"converged", "one-class", "partial"}
    assert {row["outcome"] for row in wide} <= {"converged", "collapsed"}
    for one, other in zip(narrow, wide, strict=True):
        for name in RESULTS_OF_A_STATE:
            assert one[name] == other[name]


# Groups


@pytest.mark.parametrize("count", [1, LANES - 1, LANES, LANES + 1, 3 * LANES])
def test_a_block_may_have_any_number_of_seeds(count):
    table = table_of(Setup(**SLOW), 5, count)
    assert table.column("seed").to_pylist() == list(range(5, 5 + count))
    assert len(set(table.column("loss").to_pylist())) == count


@pytest.mark.parametrize(("dtype", "many", "few"), [("float64", 168, 56), ("float32", 336, 112)])
def test_wide_networks_take_fewer_lanes(dtype, many, few):
    kind = np.dtype(dtype)
    assert suggested_lanes(task(Setup(**FOUNDING, dtype=dtype), LANES).network, kind) == many
    assert (
        suggested_lanes(
            task(Setup(**FOUNDING | {"hidden": (999,)}, dtype=dtype), LANES).network, kind
        )
        == few
    )


def test_networks_with_very_many_outputs_take_few_lanes_and_are_judged_a_few_at_a_time(monkeypatch):
    setup = Setup(problem="encoder:8", hidden=(3,), updates=800 if JIT else 8, batch=2)
    count = 20 if JIT else 2
    expected, lanes = to_arrow(setup, 0, train(setup, 0, count)), layout(setup)[1]
    monkeypatch.setattr(tasks, "GROUP_BYTES", 0)
    monkeypatch.setattr(lane_group, "JUDGED", 1)
    tasks.TASKS.clear()
    assert layout(setup)[1] < lanes
    assert to_arrow(setup, 0, train(setup, 0, count)).equals(expected)
    tasks.TASKS.clear()


# Stopping


ENDLESS = Setup(problem="table:11101011", updates=3 * 10**10, order="shuffled")


def test_a_block_that_is_stopped_already_trains_nothing():
    with pytest.raises(InterruptedBlockError):
        train(ENDLESS, 0, LANES, lanes=LANES, stopped=lambda updates: True)


def test_a_block_stops_soon_after_it_is_asked():
    """Within a second of processor time, while compiled code is at work, since it is asked about
    ten times a second."""
    table_of(Setup(**FOUNDING | {"updates": 8}))  # compiled before the clock runs
    since, questions = [], []

    def stopped(updates):
        questions.append(bool(since))
        return questions[-1]

    threading.Timer(0.7, lambda: since.append(time.process_time())).start()
    with pytest.raises(InterruptedBlockError):
        train(ENDLESS, 0, LANES, lanes=LANES, stopped=stopped)
    assert time.process_time() - since[0] < 1
    assert len(questions) > 3


# Denormals


@intrinsic
def set_control_word(typing, value):
    """Write MXCSR, which says among other things whether denormals are flushed to zero."""

    def code(context, builder, signature, args):
        place = builder.alloca(ir.IntType(32))
        builder.store(args[0], place)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        function = builder.module.declare_intrinsic("llvm.x86.sse.ldmxcsr", (), kind)
        builder.call(function, [builder.bitcast(place, ir.IntType(8).as_pointer())])
        return context.get_dummy_value()

    return types.void(types.uint32), code


@njit
def control(value):
    set_control_word(value)


@pytest.mark.jit
@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="sets a control word of x86"
)
@pytest.mark.parametrize("flag", [0x8000, 0x0040], ids=["flush to zero", "denormals are zero"])
def test_a_thread_that_flushes_denormals_is_refused(flag):
    control(np.uint32(0x1F80))  # compiled on this thread, and its default
    caught = []

    def work():
        control(np.uint32(0x1F80 | flag))
        try:
            train(Setup(**SLOW), 0, 1, lanes=LANES)
        except ArithmeticError as error:
            caught.append(str(error))
        control(np.uint32(0x1F80))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (line,) = caught
    assert "denormal" in line
    assert "\n" not in line
    check_denormals()  # other threads are as they were


# One kernel for all shapes


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_thirty_shapes_are_one_compilation(dtype):
    """A sweep of many shapes does not wait for the compiler: kernels know the dtype and the lanes,
    everything else is an argument."""
    shapes = [
        (inputs, hidden)
        for inputs in (2, 3, 4)
        for hidden in (1, 2, 3, 5, 8, 13, (4, 2), (3, 3), (2, 3, 2), (20, 1))
    ]
    problems = [f"table:{'01' * 2 ** (inputs - 1)}" for inputs, _ in shapes]
    more = [
        {},
        {"order": "random"},
        {"loss": "cross-entropy"},
        {"bias": False},
        {"order": "cyclic"},
    ]
    setups = [
        Setup(problem=problem, hidden=hidden, dtype=dtype, updates=9, **more[i % 5])
        for i, (problem, (_, hidden)) in enumerate(zip(problems, shapes, strict=True))
    ]
    assert len({setup.sizes for setup in setups}) == 30
    (used,) = {kernels(kernel_key(setup)) for setup in setups}
    for setup in setups:
        train(setup, 0, 3)
    assert sum(dtype in str(block) for block, *_ in used.initialise.signatures) == 1
    assert len(used.advance.signatures) == len(used.measure.signatures) == 1


def test_batches_of_all_sizes_are_one_compilation():
    """And samples are taken at once in equal parts, as many as may be."""
    setups = {batch: Setup(problem="parity:8", updates=1, batch=batch) for batch in range(2, 257)}
    assert {kernel_key(setup) for setup in setups.values()} == {kernel_key(setups[2])}
    for batch, setup in setups.items():
        at_once = layout(setup)[0].samples
        assert 1 <= at_once <= SAMPLES
        assert -(-batch // at_once) == -(-batch // SAMPLES)
    assert kernel_key(Setup(problem="parity:8", updates=1)).optimizer == "online"
    assert kernel_key(Setup(problem="parity:8", updates=1, momentum=0.5)).optimizer == "momentum"


def test_outputs_beyond_float32_are_infinite_without_a_warning():
    """A linear output unit diverges; a warning would be an error."""
    setup = Setup(problem="xor", hidden=[2], output="linear", lr=50, epochs=30)
    assert np.isinf(
        to_arrow(setup, 0, train(setup, 0, 5, lanes=LANES))["outputs"]
        .combine_chunks()
        .flatten()
        .to_numpy()
    ).any()
