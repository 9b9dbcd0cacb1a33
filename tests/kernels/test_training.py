"""Training, held against the textbook network in lockstep, and to the bit against itself run in
every other way."""

import itertools
import math
import random
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import every_choice
import numpy as np
import oracle
import pytest
from lanes import (
    CHECKED,
    FOUNDING,
    JIT,
    LANES,
    OTHER_LANES,
    assert_in_step,
    assert_near,
    group,
    kept,
    pair,
)
from numba import njit
from pairs import pairs_of, pairwise

from fastbp.choices.families import FAMILIES
from fastbp.config.setup import Setup
from fastbp.engine.block import train
from fastbp.engine.tasks import of_choice, optimizer
from fastbp.kernels import measures as m
from fastbp.kernels.jit import FLAGS
from fastbp.kernels.layout import Layer
from fastbp.kernels.tiles import TILE
from fastbp.kernels.training import make_rates


def few(cases, step=7):
    """All cases; with the JIT off some of them, so that every kind is among them."""
    cases = list(cases)
    return cases if JIT else cases[::step]


# --- In lockstep with the oracle


PLAIN = {"problem": "table:11101011", "hidden": (3,), "lr": 0.5, "epochs": 4}


@pytest.mark.no_cover
@pytest.mark.parametrize("samples", few(range(1, 2 * TILE[1] + 3), 5))
@pytest.mark.parametrize("units", few(range(1, TILE[0] + 3), 4))
def test_in_step_with_every_size_of_a_tile(units, samples):
    """Of the way forward, the way back and the gradient: rows and columns of whole tiles, and what
    is left of each."""
    assert_in_step(
        {"problem": "encoder:10", "hidden": (units,), "batch": samples, "lr": 0.5, "updates": 3},
        epochs=1,
    )


SCHEDULES = [
    call + warmup
    for call, warmup in itertools.product(
        [
            "constant",
            "step:every=2,factor=0.5",
            "exponential:factor=0.75",
            "cosine",
            "linear",
            "inverse:tau=1.5",
        ],
        ["", ",warmup=1"],
    )
]
SCHEDULES = [call if ":" in call else call.replace(",", ":") for call in SCHEDULES]

OPTIONS = {
    "problem": ["table:11101011", "xor", "encoder:5", "parity:5"],
    "hidden": [(3,), (1,), (2,), (5,), (9,), (4, 3), (2, 5, 3)],
    "scale_inputs": ["none", "standard", "minmax"],
    "target_margin": [0.0, 0.1],
    "init": [
        "normal",
        "uniform",
        "glorot-normal",
        "glorot-uniform",
        "he-normal",
        "he-uniform",
        "lecun-normal",
        "lecun-uniform",
        "torch",
        "zeros",
        "constant:c=0.25",
        "grid:side=7,x=0,y=1,origin=3",
    ],
    "init_scale": [1.0, 3.0],
    "bias": [True, False],
    "loss": ["squared", "cross-entropy"],
    "prime_offset": [0.0, 0.1],
    "order": ["shuffled", "random", "cyclic", "blocked:3"],
    "batch": [1, 2, 3, "full"],
    "reduction": ["sum", "mean"],
    "schedule": SCHEDULES,
    "momentum": [0.0, 0.9],
    "weight_decay": [0.0, 0.01],
    "cut": [False, True],
}
"""Values of each key, the plainest first. `cut`: the budget ends inside an epoch."""


def resolved(options):
    """Options as keys of a setup of four epochs or so."""
    keys = {key: value for key, value in options.items() if key != "cut"}
    per_epoch = oracle.Recipe(**{**PLAIN, **keys}).updates_per_epoch
    keys = {**PLAIN, **keys}
    if options.get("cut"):
        del keys["epochs"]
        keys["updates"] = 3 * per_epoch + max(1, per_epoch // 2)
    return keys


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in OPTIONS.items() for value in values], ids=str
)
def test_in_step_with_one_option(key, value):
    assert_in_step(resolved({key: value}))


@pytest.mark.parametrize("key", ["init", "loss", "order", "schedule"])
def test_options_name_every_choice(key):
    assert {text.partition(":")[0] for text in OPTIONS[key]} == FAMILIES[key].choices.keys()


@cache
def every_pair():
    """Few sets of options in which any two values of two keys meet: of random ones, always the
    same."""
    chance = random.Random(1)
    sets = [tuple(map(chance.choice, OPTIONS.values())) for _ in range(2000)]
    return [
        dict(zip(OPTIONS, values, strict=True))
        for values in pairwise(sets, cost=lambda options: 1.0)
    ]


def test_any_two_options_meet():
    met = {pair for each in every_pair() for pair in pairs_of(each.values())}
    sizes = [len(values) for values in OPTIONS.values()]
    assert len(met) == sum(a * b for a, b in itertools.combinations(sizes, 2))


@pytest.mark.parametrize("part", range(10))
def test_in_step_with_any_two_options(part):
    """In tenths, for the sake of the output."""
    for options in few(every_pair()[part::10], 20):
        assert_in_step(resolved(options), epochs=5)


@pytest.mark.parametrize("other", few(range(1, 10), 6))
@pytest.mark.no_cover
@pytest.mark.parametrize("width", few(range(1, 10), 6))
def test_in_step_for_all_remainders_of_tiles(other, width):
    """Layers of 1 to 9 units after layers of 1 to 9, which are four at a time and what is left;
    online and in batches."""
    keys = {"problem": "xor", "hidden": (width, other), "lr": 0.5, "epochs": 2}
    assert_in_step(keys)
    assert_in_step({**keys, "batch": 3, "momentum": 0.5})


@pytest.mark.parametrize("inputs", few(range(1, 10), 5))
def test_in_step_for_numbers_of_inputs(inputs):
    """parity:6 has as many rows as a mask has bits, and larger ones do not fit."""
    keys = {"problem": f"parity:{inputs}", "hidden": (5,), "lr": 0.5, "updates": 80 if JIT else 4}
    assert_in_step(keys)
    assert_in_step({**keys, "batch": min(7, 2**inputs)})


@pytest.mark.parametrize("hidden", few([(1,), (4,), (6,), (3, 4)], 2))
@pytest.mark.parametrize("outputs", few([2, 3, 4, 5, 9], 3))
@pytest.mark.parametrize("loss", FAMILIES["loss"].choices)
def test_in_step_for_numbers_of_outputs(hidden, outputs, loss):
    assert_in_step(
        {
            "problem": f"encoder:{outputs}",
            "hidden": hidden,
            "loss": loss,
            "lr": 0.5,
            "epochs": 2,
        }
    )


@pytest.mark.parametrize("batch", [1, 3])
def test_in_step_on_real_inputs_and_targets(batch):
    chance = np.random.default_rng(5)
    assert_in_step(
        {**PLAIN, "batch": batch}, data=(chance.normal(size=(8, 3)), chance.uniform(size=(8, 1)))
    )


@pytest.mark.parametrize("loss", FAMILIES["loss"].choices)
def test_in_step_from_large_weights(loss):
    """Where units saturate, σ′ vanishes and products underflow."""
    assert_in_step({**PLAIN, "init_scale": 1000, "loss": loss})


@pytest.mark.parametrize("order", OPTIONS["order"])
@pytest.mark.parametrize("lr", [0.1, 0.5])
def test_whole_run(order, lr):
    """999 updates from the same start, never restarted.

    Kernel and oracle round every update some 10⁻¹⁶ apart. At lr ≤ 0.5 and weights like these an
    update hardly magnifies what came before (its Jacobian is 1 − lr·∂²E/∂w², and the curvature of a
    sigmoid network is small), so 10³ of them add up to 10⁻¹³ at the worst; ten times that is
    allowed. Seen: 1.3·10⁻¹⁵.
    """
    updates = 999 if JIT else 20
    setup, recipe = pair(**{**FOUNDING, "order": order, "lr": lr, "updates": updates})
    runs = group(setup)
    start = [runs.layers(lane) for lane in CHECKED]
    runs.advance(10**6)
    assert runs.done
    for lane, network in zip(CHECKED, start, strict=True):
        *_, (done, wanted) = oracle.run(recipe, lane, network)
        assert done == updates
        assert_near(runs.layers(lane), wanted, 1e-12)


# --- float32


@pytest.mark.parametrize("schedule", few(SCHEDULES, 5))
@pytest.mark.parametrize(
    "options",
    [{}, {"loss": "cross-entropy"}, {"batch": 3, "momentum": 0.9}, {"hidden": (5, 4)}],
    ids=str,
)
def test_float32_is_near_the_float64_oracle(schedule, options):
    """An epoch is 8 updates of a few dozen roundings of 6·10⁻⁸ each, most of them times lr."""
    assert_in_step({**PLAIN, **options, "schedule": schedule, "dtype": "float32"}, relative=1e-6)


@pytest.mark.parametrize("init", OPTIONS["init"])
def test_float32_starts_are_the_float64_ones_rounded_once(init):
    double, single = (
        group(Setup(**PLAIN, init=init, dtype=dtype)) for dtype in ("float64", "float32")
    )
    singles, doubles = (each.by_lane(each.state.block)[:, :LANES] for each in (single, double))
    assert singles.dtype == np.float32
    count = double.task.network.parameters
    assert (singles[:count] == doubles[:count].astype(np.float32)).all()


# --- Gradients


def complex_loss(keys, network, X, T):
    """The loss summed over rows, of complex weights: as plain as can be, and with nothing in common
    with backpropagation."""
    total = 0
    for x, t in zip(X, T, strict=True):
        a = x
        for W, b in network:
            a = 1 / (1 + np.exp(-(W @ a + b)))
        total += (
            sum((a - t) ** 2) / 2
            if keys["loss"] == "squared"
            else -sum(t * np.log(a) + (1 - t) * np.log(1 - a))
        )
    return total


def differences(keys, network, X, T, step=1e-30):
    """∂E/∂w by finite differences in the imaginary direction, which cancel nothing: Im E(w +
    ih)/h."""
    network = [(W.astype(complex), b.astype(complex)) for W, b in network]
    result = []
    for part in (part for layer in network for part in layer):
        for index in np.ndindex(part.shape):
            part[index] += 1j * step
            result.append(complex_loss(keys, network, X, T).imag / step)
            part[index] = part[index].real
    return np.array(result)


@pytest.mark.parametrize("loss", FAMILIES["loss"].choices)
@pytest.mark.parametrize("hidden", [(1,), (4,), (5,), (3, 2), (2, 6, 3)])
def test_gradient_is_that_of_finite_differences(loss, hidden):
    """The first change by a full batch is the gradient times the rate; the norm is measured."""
    rate = 1e-290
    keys = {
        "problem": "encoder:3",
        "hidden": hidden,
        "loss": loss,
        "batch": "full",
        "lr": rate,
        "epochs": 1,
        "momentum": 0.5,
    }
    setup, recipe = pair(**keys)
    runs = group(setup)
    networks = [runs.layers(lane) for lane in CHECKED]
    runs.advance(1)
    measured, _ = runs.measure()
    for lane, network in zip(CHECKED, networks, strict=True):
        wanted = differences(keys, network, recipe.inputs, recipe.targets)
        np.testing.assert_allclose(
            oracle.flat(kept(runs, lane)[0]) / -rate,
            wanted,
            rtol=0,
            atol=1e-13 * abs(wanted).max(),
        )
        assert measured[6, lane] == pytest.approx(math.sqrt(sum((wanted / 3) ** 2)), rel=1e-13)


# --- Starts


def parameters(keys):
    runs = group(Setup(**{**PLAIN, **keys}), range(LANES))
    return runs.by_lane(runs.state.block)[: runs.task.network.parameters]


def places():
    """Each layer, and the rows of its weights and of its biases."""
    for row in group(Setup(**PLAIN)).task.network.layers:
        layer = Layer(*row)
        ends = layer.weights, layer.biases, layer.biases + layer.units
        yield layer, slice(*ends[:2]), slice(*ends[1:])


def test_setups_that_differ_in_anything_but_the_start_begin_alike():
    wanted = parameters({}).tobytes()
    for key, values in OPTIONS.items():
        if key not in ("problem", "hidden", "init", "init_scale", "bias", "cut"):
            for value in values:
                assert parameters({key: value}).tobytes() == wanted, (key, value)


def test_no_bias_passes_over_its_draws():
    with_bias, without = parameters({}), parameters({"bias": False})
    for layer, weights, biases in places():
        assert with_bias[weights].tobytes() == without[weights].tobytes()
        assert without[biases].tobytes() == bytes(8 * LANES * layer.units)  # +0


# --- The same bits, however it is run


def same(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def joined(parts):
    """Blocks of neighbouring seeds as one."""
    return [
        np.concatenate(part, axis=axis)
        for part, axis in zip(zip(*parts, strict=True), (0, 0, 1, 1, 1, 0), strict=True)
    ]


def quietly(setup, start, count, **more):
    with np.errstate(all="ignore"):
        return train(setup, start, count, **more)


SEEDS = 12 if JIT else 3
BITS = few(every_choice.SETUPS, 9)


@pytest.fixture(scope="module")
def by_lanes():
    """The rows of each setup by the usual number of lanes."""
    return [quietly(setup, 5, SEEDS, lanes=LANES) for setup in BITS]


@pytest.mark.no_cover
@pytest.mark.parametrize(("dtype", "lanes"), OTHER_LANES)
def test_same_bits_for_any_number_of_lanes(by_lanes, dtype, lanes):
    """Of few lanes in batches alone, which otherwise are strips of the same size."""
    for setup, wanted in zip(BITS, by_lanes, strict=True):
        if setup.dtype == dtype and (lanes > LANES or optimizer(setup) != "online"):
            assert same(quietly(setup, 5, SEEDS, lanes=lanes), wanted), setup


def in_blocks(setup, *ends, each=map, **more):
    """The rows of a setup, in blocks that end before these seeds."""

    def block(start, end):
        return quietly(setup, 5 + start, end - start, lanes=LANES, **more)

    return joined(each(block, (0, *ends), (*ends, SEEDS)))


def in_threads(setup):
    """Both halves at once, in many slices."""
    with ThreadPoolExecutor(2) as threads:
        return in_blocks(setup, SEEDS // 2, each=threads.map, slice_seconds=1e-4)


WAYS = {
    "three blocks": lambda setup: in_blocks(setup, 1, SEEDS // 2),
    "two threads": in_threads,
    "a slice for each epoch": lambda setup: in_blocks(setup, slice_seconds=0),
    "one slice": lambda setup: in_blocks(setup, slice_seconds=1e9),
}


@pytest.mark.no_cover
@pytest.mark.parametrize("way", WAYS)
def test_same_bits_in_any_blocks_and_slices(by_lanes, way):
    for setup, wanted in zip(BITS, by_lanes, strict=True):
        assert same(WAYS[way](setup), wanted), setup


def test_runs_of_a_block_do_not_depend_on_those_before_them():
    """A group is used again for the next seeds: nothing is left behind, be it velocity, a gradient
    or not a number."""
    setup = Setup(**{**PLAIN, "batch": 3, "momentum": 0.9, "epochs": 2})
    used, wild = group(setup), group(Setup(**every_choice.DIVERGING, momentum=0.9))
    with np.errstate(all="ignore"):
        wild.advance(10**6)
    used.state.block[:] = np.resize(wild.state.block, used.state.block.size)
    for scratch in (*used.state[1:4], *used._scratch):
        scratch[:] = np.nan
    used.start(np.arange(LANES, dtype=np.uint64))
    fresh = group(setup)
    for runs in (used, fresh):
        runs.advance(10**6)
    assert used.state.block.tobytes() == fresh.state.block.tobytes()
    assert same(used.measure(), fresh.measure())


# --- What is compiled

LIBM = (
    "exp",
    "exp2",
    "log",
    "log2",
    "log1p",
    "expm1",
    "pow",
    "powi",
    "cos",
    "sin",
    "tanh",
    "sqrt",
    "ldexp",
    "floor",
    "round",
    "rint",
)


@pytest.mark.jit
def test_kernels_call_no_libm_and_no_svml():
    """By the names in their object code, which are those of the functions that it calls."""
    for dtype in ("float64", "float32"):
        runs = group(Setup(**{**PLAIN, "dtype": dtype}))
        runs.advance(1)
        runs.measure()
    made = {**runs._kernels._asdict(), "rates": of_choice(make_rates, "schedule", "cosine")}
    group(Setup(**{**PLAIN, "schedule": "cosine"}))
    del made["advance"]  # its test is the next
    for name, kernel in made.items():
        code = every_choice.object_code(kernel)
        assert re.search(rb"_ZN\w*%s" % name.encode(), code)  # names are readable
        assert b"svml" not in code, name
        for function in LIBM:
            assert not every_choice.calls(code, function), (name, function)


@pytest.mark.jit
def test_float32_is_trained_in_float32():
    """No double in the trainer, evaluations included."""
    runs = group(Setup(**{**PLAIN, "dtype": "float32"}))
    runs.advance(1)
    advance = runs._kernels.advance
    fresh = njit(**FLAGS)(advance.py_func)  # code from the disk has no text
    (signature,) = advance.signatures
    fresh.compile(signature)
    code, assembly = fresh.inspect_llvm(signature), fresh.inspect_asm(signature)
    assert code.count("float") > 1000
    functions = r"^define [^@\n]*@\"?(_ZN6fastbp[\w.$]+)[^\n]*\{\n(.*?)^\}"
    for name, body in re.findall(functions, code, re.MULTILINE | re.DOTALL):
        assert not re.search(r"\bdouble\b|f64\b", body), name
    assert "__svml" not in code + assembly
    if every_choice.instructions(advance)["vfmadd"]:
        assert re.search(r"vfmadd\w+ps", assembly)


# --- Evaluations


@pytest.mark.no_cover
@pytest.mark.parametrize("eval_every", few([1, 3, 10], 2))
@pytest.mark.parametrize("tolerance", few([0.4, 0.2]))
@pytest.mark.parametrize(
    "keys",
    [
        {"problem": "table:01", "hidden": (1,), "lr": 9, "updates": 81},
        {
            "problem": "table:0111",
            "hidden": (2,),
            "lr": 5,
            "batch": 3,
            "momentum": 0.5,
            "updates": 121,
        },
        {"problem": "xor", "hidden": (3,), "lr": 9, "order": "random", "updates": 1201},
    ],
    ids=lambda keys: keys["problem"],
)
def test_converged_at_is_the_first_look_that_finds_it_converged(keys, eval_every, tolerance):
    """By brute force: the oracle judges the weights after every epoch."""
    keys = {**keys, "eval_every": eval_every, "tolerance": tolerance}
    if not JIT:
        keys["updates"] = 21
    setup, recipe = pair(**keys)
    runs = group(setup)
    judged = range(0, LANES, 4)
    wanted = dict.fromkeys(judged, -1)
    for epoch in range(1, recipe.budget_in_epochs + 1):
        runs.advance(1)
        done = min(epoch * recipe.updates_per_epoch, recipe.budget)
        if epoch % eval_every == 0 or done == recipe.budget:
            for lane in judged:
                error = oracle.measures(recipe, runs.layers(lane))["max_error"]
                if wanted[lane] < 0 and error <= tolerance:
                    wanted[lane] = done
    found = [runs.state.converged_at, train(setup, 0, LANES, lanes=LANES).converged_at]
    assert [list(each[judged]) for each in found] == [list(wanted.values())] * 2
    if JIT:
        assert max(wanted.values()) > 0


@pytest.mark.parametrize("batch", [1, "full"])
@pytest.mark.parametrize("order", ["cyclic", "shuffled"])
def test_a_problem_of_one_row_is_evaluated_after_its_update(batch, order):
    runs = group(
        Setup.from_arrays(
            [[1.0, 0.0]],
            [[0.9]],
            hidden=[2],
            batch=batch,
            order=order,
            eval_every=1,
            lr=0.5,
            updates=500,
            tolerance=0.1,
        )
    )
    for _ in range(500 if JIT else 9):
        runs.advance(1)
        assert ((runs.measure()[0][m.MAX_ERROR] <= 0.1) == (runs.state.converged_at >= 0)).all()


@pytest.mark.parametrize(("updates", "first"), [(1, 1), (2, 2), (8, 2)])
def test_no_look_before_the_first_update(updates, first):
    """A network that is converged at birth is found so after the first epoch, or at the end of a
    budget within it."""
    runs = group(Setup(problem="table:01", hidden=(1,), lr=1e-300, updates=updates, eval_every=1))
    runs.set_layers([(np.array([[20.0]]), np.array([-10.0]))] * 2)
    runs.advance(0)
    assert (runs.state.converged_at == -1).all()
    runs.advance(10**6)
    assert (runs.state.converged_at == first).all()
