"""Every choice against its formula, and how choices are found, told apart and called."""

import inspect
import itertools
import math
import types
from typing import Annotated

import mpmath
import numpy as np
import oracle
import pytest
from annotated_types import Ge
from hypothesis import given, settings, strategies as st
from lanes import JIT
from numba import njit
from scipy import stats
from scipy.special import ndtri

from fastbp.choices import inits, losses, orders, problems, schedules
from fastbp.choices.families import FAMILIES, compiled_choice, parameter_arrays
from fastbp.choices.family import family
from fastbp.config.setup import Setup
from fastbp.engine.tasks import rates
from fastbp.kernels.jit import FLAGS, inlined
from fastbp.kernels.training import room_for

EXAMPLES = settings(max_examples=100)
ULP = 2.0**-53  # half a unit in the last place of 1: one rounding


def compiled(function):
    """The function as compiled code calls it."""
    helper = inlined(function)

    @njit(**FLAGS)
    def call(*arguments):
        return helper(*arguments)

    return call


# Inits

INITS = {
    "normal": lambda u, scale, fan_in, fan_out, bias: scale * ndtri(u),
    "uniform": lambda u, scale, fan_in, fan_out, bias: scale * (2 * u - 1),
    "glorot-normal": lambda u, scale, fan_in, fan_out, bias: (
        0 if bias else scale * math.sqrt(2 / (fan_in + fan_out)) * ndtri(u)
    ),
    "glorot-uniform": lambda u, scale, fan_in, fan_out, bias: (
        0 if bias else scale * math.sqrt(6 / (fan_in + fan_out)) * (2 * u - 1)
    ),
    "he-normal": lambda u, scale, fan_in, fan_out, bias: (
        0 if bias else scale * math.sqrt(2 / fan_in) * ndtri(u)
    ),
    "he-uniform": lambda u, scale, fan_in, fan_out, bias: (
        0 if bias else scale * math.sqrt(6 / fan_in) * (2 * u - 1)
    ),
    "lecun-normal": lambda u, scale, fan_in, fan_out, bias: (
        0 if bias else scale * math.sqrt(1 / fan_in) * ndtri(u)
    ),
    "lecun-uniform": lambda u, scale, fan_in, fan_out, bias: (
        0 if bias else scale * math.sqrt(3 / fan_in) * (2 * u - 1)
    ),
    "torch": lambda u, scale, fan_in, fan_out, bias: scale * math.sqrt(1 / fan_in) * (2 * u - 1),
    "zeros": lambda u, scale, fan_in, fan_out, bias: 0,
}
DRAWN = list(INITS)
DEVIATE = st.integers(0, 2**52 - 1).map(lambda k: (2 * k + 1) / 2**53)


@pytest.mark.parametrize("name", DRAWN)
@given(
    u=DEVIATE,
    scale=st.floats(1e-3, 1e3),
    sizes=st.tuples(st.integers(1, 100), st.integers(1, 100)),
    bias=st.booleans(),
)
@EXAMPLES
def test_inits(name, u, scale, sizes, bias):
    arguments = (np.float64(u), np.float64(scale), *sizes, bias)
    assert FAMILIES["init"].choices[name].function(*arguments, np.uint64(7), 8) == pytest.approx(
        INITS[name](*arguments), rel=1e-13, abs=0
    )


def test_a_grid_and_the_draws_are_all_inits():
    assert {*DRAWN, "grid", "constant"} == FAMILIES["init"].choices.keys()


@pytest.mark.jit
@pytest.mark.parametrize("name", FAMILIES["init"].choices)
def test_inits_compiled(name):
    function = FAMILIES["init"].choices[name].function
    call, own = compiled(function), {"grid": (5, 8, 3, 11), "constant": (0.5,)}.get(name, ())
    for u, bias, seed, number in itertools.product(
        (2.0**-53, 0.5, 1 - 2.0**-53), (False, True), (0, 13, 2**63 - 1), (3, 8, 9)
    ):
        arguments = (1.7, 3, 4, bias, np.uint64(seed), number, *own)
        assert call(u, *arguments) == function(np.float64(u), *arguments)


@given(
    side=st.integers(2, 4000),
    seed=st.integers(0, 2**63 - 1),
    scale=st.floats(1e-3, 1e3),
    origin=st.integers(0, 10**12),
)
@EXAMPLES
def test_a_grid_has_a_cell_for_each_seed_and_a_network_for_the_rest(side, seed, scale, origin):
    x, y, other = (
        inits.grid(
            np.float64(0.3),
            np.float64(scale),
            2,
            2,
            False,
            np.uint64(seed),
            number,
            side,
            3,
            1,
            origin,
        )
        for number in (3, 1, 7)
    )
    column, row = seed % side, seed // side % side
    step = 2 * scale / side
    assert x == pytest.approx(-scale + (column + 0.5) * step, rel=1e-12, abs=1e-12 * scale)
    assert y == pytest.approx(-scale + (row + 0.5) * step, rel=1e-12, abs=1e-12 * scale)
    assert other == pytest.approx(scale * (2 * oracle.uniforms(origin, 8)[7] - 1), rel=1e-13, abs=0)


def test_a_grid_lies_evenly_around_zero():
    side = 10
    for axis, step in ((0, 1), (1, side)):
        seeds = np.arange(side, dtype=np.uint64) * np.uint64(step)
        values = [
            inits.grid(np.float64(0.5), 3.0, 2, 2, False, seed, axis, side, 0, 1, 0)
            for seed in seeds
        ]
        assert values == sorted(values) == [-value for value in reversed(values)]


# Losses


@pytest.mark.parametrize("name", FAMILIES["loss"].choices)
@given(z=st.floats(-800, 800), t=st.floats(0, 1))
@EXAMPLES
def test_losses(name, z, t):
    """Value and its derivative by z, against mpmath: where σ is 0 or 1 in float64 as well."""
    loss = FAMILIES["loss"].choices[name]
    with mpmath.workprec(2500):
        o = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
        if name == "squared":
            value, delta = (o - t) ** 2 / 2, (o - t) * o * (1 - o)
        else:
            value, delta = -(t * mpmath.log(o) + (1 - t) * mpmath.log(1 - o)), o - t
        output, slope = np.float64(float(o)), np.float64(float(o * (1 - o)))
        got_value = loss.function(np.float64(z), output, np.float64(t))
        got_delta = loss.mark("delta")(output, np.float64(t), slope)
        assert abs(got_value - value) <= 4 * ULP * (1 if name == "squared" else max(1, abs(z)))
        assert abs(got_delta - delta) <= 4 * ULP


@pytest.mark.parametrize(
    ("z", "t", "wanted"),
    [
        (1e300, 0.0, 1e300),
        (1e300, 1.0, 0.0),
        (-1e300, 1.0, 1e300),
        (-1e300, 0.0, 0.0),
    ],
)
def test_cross_entropy_does_not_overflow(z, t, wanted):
    assert losses.cross_entropy(np.float64(z), np.float64(z > 0), np.float64(t)) == wanted


@pytest.mark.parametrize("name", FAMILIES["loss"].choices)
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_losses_have_delta_in_the_type_of_the_outputs(name, kind):
    loss = FAMILIES["loss"].choices[name]
    pair = loss.function, loss.mark("delta")
    for value, delta in (pair, map(compiled, pair)):
        assert value(kind(0.3), kind(0.6), kind(1)) > 0
        assert delta(kind(0.6), kind(1), kind(0.24)) == pytest.approx(
            -0.4 * (0.24 if name == "squared" else 1), rel=1e-6
        )
    assert isinstance(loss.mark("delta")(kind(0.6), kind(1), kind(0.24)), kind)


# Orders

COMPILED_ORDERS = {
    name: compiled(choice.function) for name, choice in FAMILIES["order"].choices.items()
}


def presented(name, n, seeds, epochs, *own):
    """[position, lane]."""
    seeds, epochs = np.array(seeds, np.uint64), np.array(epochs, np.int64)
    lanes = len(seeds)
    rows = np.full(room_for(n) * lanes, -1, np.int32)
    COMPILED_ORDERS[name](rows, n, lanes, seeds, epochs, *own)
    return rows.reshape(-1, lanes)[:n]


NUMBERS_OF_ROWS = (*range(1, 20), 31, 32, 33, 63, 64, 65, 66, 67, 100, 130)
SEEDS = (0, 1, 2**32, 2**63 - 1)
EPOCHS = (0, 7, 2**32 - 1, 1)


@pytest.mark.parametrize("name", FAMILIES["order"].choices)
def test_orders_are_those_of_the_oracle(name):
    for n in NUMBERS_OF_ROWS:
        for K in (1, 2, 3, n, 10**9) if name == "blocked" else (None,):
            found = presented(name, n, SEEDS, EPOCHS, *([] if K is None else [K]))
            recipe = oracle.Recipe(
                "",
                order=name if K is None else f"blocked:{K}",
                data=(np.zeros((n, 1)), np.zeros((n, 1))),
            )
            wanted = [
                oracle.order(recipe, seed, epoch) for seed, epoch in zip(SEEDS, EPOCHS, strict=True)
            ]
            assert found.T.tolist() == wanted, n


@pytest.mark.parametrize("n", NUMBERS_OF_ROWS)
def test_shuffled_shows_each_row_once_an_epoch(n):
    assert (
        np.sort(presented("shuffled", n, range(50), range(50)), axis=0) == np.arange(n)[:, None]
    ).all()


def test_blocked_shows_each_row_so_many_times_in_a_row_across_epochs():
    shown = np.concatenate([presented("blocked", 5, [0], [epoch], 3)[:, 0] for epoch in range(6)])
    assert shown.tolist() == ([0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3) * 2


@pytest.mark.parametrize("along", ["seeds", "epochs"])
def test_shuffled_gives_all_permutations_alike(along):
    count = 24_000 if JIT else 1_200
    seeds, epochs = (
        (np.arange(count), np.full(count, 3))
        if along == "seeds"
        else (np.full(count, 3), np.arange(count))
    )
    _, often = np.unique(presented("shuffled", 4, seeds, epochs), axis=1, return_counts=True)
    assert len(often) == 24
    assert stats.chisquare(often).pvalue > 1e-3


@pytest.mark.parametrize("n", [9, 16, 17])
def test_shuffled_puts_any_row_anywhere_alike(n):
    """Either side of the sizes at which it is done otherwise. Of n × n cells (n − 1)² are free."""
    count = 20_000 if JIT else 500
    found = presented("shuffled", n, np.arange(count), np.arange(count) % 7)
    often = np.array([np.bincount(row, minlength=n) for row in found])
    statistic = ((often - count / n) ** 2 / (count / n)).sum() * (n - 1) / n
    assert stats.chi2.sf(statistic, (n - 1) ** 2) > 1e-3


@pytest.mark.parametrize("n", [2, 5, 8, 13])
def test_random_is_uniform_and_independent_of_the_draw_before(n):
    count = 20_000 if JIT else 1_000
    for seeds, epochs in ((np.arange(count), np.zeros(count)), (np.zeros(count), np.arange(count))):
        found = presented("random", n, seeds, epochs)
        assert stats.chisquare(np.bincount(found.ravel(), minlength=n)).pvalue > 1e-3
        pairs = np.bincount((found[0] * n + found[1]).ravel(), minlength=n * n)
        assert stats.chisquare(pairs).pvalue > 1e-3


# Schedules

SCHEDULES = [
    "constant",
    "step:every=7,factor=0.3",
    "step:every=1,factor=0.5",
    "exponential:factor=0.97",
    "exponential:factor=1",
    "cosine",
    "linear",
    "inverse:tau=12.5",
]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 10])
@pytest.mark.parametrize("epochs", [11, 12, 200])
def test_schedules_follow_their_closed_form(schedule, warmup, epochs):
    text = schedule + (":" if ":" not in schedule else ",") + f"warmup={warmup}"
    keys = {"problem": "xor", "lr": 0.3, "schedule": text, "epochs": epochs}
    found = rates(Setup(**keys))
    wanted = np.array([oracle.rate(oracle.Recipe(**keys), epoch) for epoch in range(epochs)])
    if schedule == "constant":
        assert len(found) == warmup + 1  # the last holds for the rest
        found = np.append(found, np.full(epochs - len(found), found[-1]))
    roundings = (
        np.arange(epochs) + 4
    )  # repeated multiplication rounds once a factor; others a few times in all
    error = abs(found - wanted)
    if schedule[:4] in ("step", "expo"):
        assert (error <= roundings * ULP * wanted).all()
    else:
        assert (error <= 4 * ULP * 0.3).all()
    assert (found > 0).all()  # the horizon is the end of the run: only there would a rate be 0
    assert found[warmup] == 0.3  # the full rate, exactly


def test_step_by_half_is_exact():
    found = rates(Setup(problem="xor", lr=0.3, schedule="step:every=3,factor=0.5", epochs=300))
    assert found.tolist() == [0.3 * 0.5 ** (epoch // 3) for epoch in range(300)]


@pytest.mark.parametrize("name", FAMILIES["schedule"].choices)
def test_schedules_are_marked_where_they_depend_on_the_budget(name):
    """Setups that differ in their budget alone are trained once if their schedule has no mark."""
    choice = FAMILIES["schedule"].choices[name]
    own = [2 if p.name == "every" else 0.5 for p in choice.parameters]
    factors = {
        span: [choice.function(0.7, s, span, *own) for s in range(1, 10)] for span in (10, 11, 500)
    }
    assert bool(choice.mark("needs_horizon")) == (
        len({tuple(each) for each in factors.values()}) > 1
    )
    assert bool(choice.mark("needs_horizon")) == (name in ("cosine", "linear"))


# Problems


@pytest.mark.parametrize(
    "text",
    [
        "xor",
        "table:01",
        "table:0110",
        "table:11101011",
        "table:" + "01" * 8,
        "parity:1",
        "parity:2",
        "parity:5",
        "encoder:2",
        "encoder:7",
    ],
)
def test_problems_are_those_of_the_oracle(text):
    X, T = Setup(problem=text, updates=1).data()
    wanted_X, wanted_T = oracle.problem(text)
    assert X.dtype == T.dtype == np.float64
    assert (X.tolist(), T.tolist()) == (wanted_X.tolist(), wanted_T.tolist())


@pytest.mark.parametrize("bits", ["", "1", "011", "01x1", "0" * 131_072, "٠١"])
def test_table_refuses(bits):
    with pytest.raises(ValueError, match=r"bits must be 0 or 1|power of two from 2 to 65,536"):
        problems.table(bits)


def test_table_of_the_most_rows():
    X, T = problems.table("01" * 32_768)
    assert (X.shape, T.shape) == ((65_536, 16), (65_536, 1))
    assert X[0b1010_0000_0000_0001].tolist() == [1, 0, 1, *[0] * 12, 1]


# How choices are found


def module_of(source, name="trial"):
    module = types.ModuleType(name)
    module.__dict__["Annotated"], module.__dict__["Ge"] = Annotated, Ge
    exec(inspect.cleandoc(source), module.__dict__)
    return module


def test_a_function_added_to_a_module_is_a_choice():
    module = module_of(
        """
        from math import sqrt  # made elsewhere: no choice

        def cyclic(rows, n, lanes, seeds, epochs):
            for j in range(n):
                for lane in range(lanes):
                    rows[j * lanes + lane] = j

        def upside_down_(rows, n, lanes, seeds, epochs, skip: Annotated[int, Ge(0)] = 0):
            for j in range(n):
                for lane in range(lanes):
                    rows[j * lanes + lane] = n - 1 - (j + skip) % n

        def _helper():
            pass

        CONSTANT = 3
        """
    )
    found = family("order", module, takes=5)
    assert list(found.choices) == ["cyclic", "upside-down"]
    functions = [choice.function for choice in found.choices.values()]
    assert functions == [module.cyclic, module.upside_down_]
    (skip,) = found.choices["upside-down"].parameters
    assert (skip.name, skip.default, skip.required) == ("skip", 0, False)
    assert (found.choices["upside-down"].usage, found.choices["cyclic"].usage) == (
        "upside-down:skip=SKIP",
        "cyclic",
    )
    rows = np.zeros(8, np.int32)
    compiled(functions[1])(rows, 4, 2, rows, rows, 1)
    assert rows.reshape(4, 2)[:, 0].tolist() == [2, 1, 0, 3]


def test_two_choices_of_one_name_are_refused():
    module = module_of("def one_class(): ...\ndef one_class_(): ...")
    with pytest.raises(ValueError, match="trial defines the choice 'one-class' twice"):
        family("order", module, takes=0)


def test_every_choice_and_family_says_what_it_does():
    for module in (problems, inits, orders, schedules, losses):
        assert inspect.getdoc(module)
    for found in FAMILIES.values():
        for choice in found.choices.values():
            text = inspect.getdoc(choice.function)
            assert text, choice.name
            assert text.rstrip().endswith("."), choice.name


# How choices are called


@pytest.mark.parametrize("choice", FAMILIES["schedule"].choices.values())
def test_own_parameters_reach_their_function(choice):
    """Integers and reals lie in two arrays; each choice finds its own."""
    values = {"every": 3, "factor": 0.25, "tau": 2.5}
    chosen = compiled_choice("schedule", choice.name)
    call = compiled(chosen)
    given_values = [values[p.name] for p in choice.parameters]
    own = parameter_arrays(choice, given_values)
    assert [part.dtype for part in own] == [np.int64, np.float64]
    assert all(part.size for part in own)
    for s in (0, 1, 2, 3, 4):
        assert (
            call(own, (0.5, s, 8))
            == chosen(own, (0.5, s, 8))
            == choice.function(0.5, s, 8, *given_values)
        )


def test_own_values_keep_the_order_of_each_kind():
    module = module_of("def function(x, a: int, b: float, c: Annotated[int, Ge(0)], d: float): ...")
    integers, reals = parameter_arrays(
        family("trial", module, takes=1).choices["function"], [1, 2.5, 3, 4.5]
    )
    assert (integers.tolist(), reals.tolist()) == ([1, 3], [2.5, 4.5])
