"""Measures of a network: against the oracle on random networks, and on networks made to be one
thing or the other."""

import math

import numpy as np
import oracle
import pytest
from lanes import JIT, LANES, group, pair

from fastbp.config.setup import Setup
from fastbp.engine.rows import Rows, to_arrow
from fastbp.kernels import measures as m
from fastbp.schema.outcomes import OUTCOMES, classify

NAMES = {
    "loss": m.LOSS,
    "spread": m.SPREAD,
    "max_error": m.MAX_ERROR,
    "wrong": m.WRONG,
    "one_sided": m.ONE_SIDED,
    "saturation": m.SATURATION,
    "grad_norm": m.GRAD_NORM,
    "weight_max": m.WEIGHT_MAX,
}
NAN_BITS = np.float64(np.nan).tobytes()


def words(setup, runs):
    """The outcome of each lane, as it is stored."""
    measured, outputs = runs.measure()
    nothing = np.full(runs.task.lanes, -1)
    kept = outputs.reshape(-1, runs.task.lanes).T
    return (
        to_arrow(setup, 0, Rows(nothing, nothing, measured, measured, measured, kept))
        .column("outcome")
        .to_pylist()
    )


def assert_measured(runs, recipe, lanes=(0, LANES - 1), relative=1e-12):
    with np.errstate(over="ignore"):
        measured, outputs = runs.measure()
    for lane in lanes:
        network = runs.layers(lane)
        wanted = oracle.measures(recipe, network)
        np.testing.assert_allclose(
            outputs[:, :, lane], oracle.outputs(recipe, network), rtol=0, atol=relative
        )
        for name, row in NAMES.items():
            assert measured[row, lane] == pytest.approx(
                float(wanted[name]), rel=relative, abs=relative, nan_ok=True
            ), (
                name,
                lane,
            )
        assert measured[m.FINITE, lane] == 1


CASES = [
    {"problem": "table:11101011", "hidden": (4,)},
    {"problem": "xor", "hidden": (1,)},
    {"problem": "xor", "hidden": (7, 3)},
    {"problem": "encoder:5", "hidden": (2,)},
    {"problem": "encoder:3", "hidden": (3, 2, 5)},
    {"problem": "table:0011", "target_margin": 0.1},
    {"problem": "parity:4", "hidden": (9,), "scale_inputs": "standard"},
    {"problem": "table:1111"},
    {"problem": "xor", "hidden": (4,), "bias": False},
]


@pytest.mark.no_cover
@pytest.mark.parametrize("keys", CASES, ids=str)
@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@pytest.mark.parametrize("scale", [1, 6, 50] if JIT else [6])
def test_measures_of_random_networks(keys, loss, scale):
    """Unsaturated, saturated in part and in whole."""
    setup, recipe = pair(**keys, loss=loss, init_scale=scale, updates=1)
    assert_measured(group(setup), recipe)


@pytest.mark.parametrize(
    "more",
    [
        {"prime_offset": 0.1},
        {"weight_decay": 0.5},
        {"batch": 2, "reduction": "mean"},
        {"momentum": 0.9},
    ],
)
def test_the_measured_gradient_has_neither_offset_nor_decay_nor_the_divisor_of_a_batch(
    more,
):
    plain = {"problem": "encoder:3", "hidden": (3,), "updates": 1}
    wanted = group(Setup(**plain)).measure()
    found = group(Setup(**plain, **more)).measure()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(found, wanted, strict=True)), more


def test_without_gradient_all_else_is_the_same():
    runs = group(Setup(problem="encoder:3", updates=1))
    with_it, _ = runs.measure()
    without, _ = runs.measure(with_gradient=False)
    others = [row for row in range(m.MEASURES) if row != m.GRAD_NORM]
    assert without[others].tobytes() == with_it[others].tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_measures_change_no_state(dtype):
    runs = group(Setup(problem="encoder:3", batch=2, momentum=0.5, epochs=4, dtype=dtype))
    runs.advance(2)
    before = [part.tobytes() for part in runs.state]
    one, other = runs.measure(), runs.measure()
    assert before == [part.tobytes() for part in runs.state]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "keys", [case for case in CASES if "table:1111" not in case.values()], ids=str
)
def test_float32_is_measured_in_float64_on_its_outputs(keys):
    setup, recipe = pair(**keys, dtype="float32", init_scale=2, updates=1)
    runs = group(setup)
    measured, outputs = runs.measure()
    assert (outputs == outputs.astype(np.float32)).all()
    T = recipe.targets[:, :, None]
    ranges = (T.max(axis=0) - T.min(axis=0)).astype(float)
    assert (measured[m.MAX_ERROR] == (abs(outputs - T) / ranges).max(axis=(0, 1))).all()
    assert (
        measured[m.SPREAD] == ((outputs.max(axis=0) - outputs.min(axis=0)) / ranges).max(axis=0)
    ).all()
    np.testing.assert_allclose(
        measured[m.LOSS], ((outputs - T) ** 2).sum(axis=(0, 1)) / 2 / len(T), rtol=1e-15
    )
    weights = abs(runs.by_lane(runs.state.block)[: runs.task.network.parameters].astype(float))
    assert (measured[m.WEIGHT_MAX] == weights.max(axis=0)).all()
    assert_measured(runs, recipe, relative=2e-6)


def test_float32_cross_entropy_is_measured_from_z_in_float64():
    """Where a float32 o is 1, ln(1 − o) is lost; z still knows it."""
    setup, _ = pair(
        problem="table:00", hidden=(1,), loss="cross-entropy", dtype="float32", updates=1
    )
    runs = group(setup)
    for lane in range(LANES):
        runs.set_layers(
            lane=lane,
            layers=[(np.zeros((1, 1)), np.zeros(1)), (np.zeros((1, 1)), np.array([30.0 + lane]))],
        )
    measured, outputs = runs.measure()
    assert (outputs[:, :, :LANES] == 1).all()
    for lane in range(LANES):
        assert measured[m.LOSS, lane] == pytest.approx(30 + lane, rel=1e-12)


# Networks made by hand. Two inputs, two hidden units, one output.


def by_hand(*output, hidden=((20.0, 20.0, -10.0), (20.0, 20.0, -30.0))):
    """Hidden units that are "or" and "and"; the output's two weights and bias."""
    hidden, output = np.array(hidden), np.array(output, float)
    return [
        (hidden[:, :2].copy(), hidden[:, 2].copy()),
        (output[None, :2].copy(), output[2:].copy()),
    ]


STATES = {
    "converged": [by_hand(20, -20, -10), by_hand(3, -3, -1.5), by_hand(1e300, -1e300, -5e299)],
    "collapsed": [by_hand(0, 0, 2), by_hand(0.01, 0, -1), by_hand(0, 0, 1e308), by_hand(0.3, 0, 0)],
    "one-class": [by_hand(3, 0, 0.5), by_hand(3, 0, -4), by_hand(-2, -2, 4.5)],
    "partial": [by_hand(20, 0, -10), by_hand(3, 0, -1), by_hand(-20, 20, 10)],
    "diverged": [
        by_hand(math.nan, 0, 0),
        by_hand(20, -20, math.inf),
        by_hand(math.inf, -20, -10),
        by_hand(0, 0, -math.inf),
    ],
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("wanted", STATES)
def test_states_made_by_hand(wanted, dtype):
    setup, recipe = pair(problem="xor", hidden=(2,), dtype=dtype, updates=1)
    runs = group(setup)
    for network in STATES[wanted]:
        with np.errstate(all="ignore"):
            runs.set_layers(lane=0, layers=network)  # 10³⁰⁰ becomes ∞ in float32
            found = words(setup, runs)[0]
        assert found == (
            "diverged" if dtype == "float32" and max(abs(oracle.flat(network))) > 1e39 else wanted
        )
        with np.errstate(all="ignore"):
            assert found == oracle.outcome(recipe, oracle.measures(recipe, runs.layers(0)))


def test_every_outcome_is_made_by_hand():
    assert STATES.keys() == set(OUTCOMES)


def test_outputs_at_the_middle_are_above_it():
    """All outputs ½ exactly: one side, and the rows with the low target are wrong."""
    setup, recipe = pair(problem="table:0111", hidden=(2,), updates=1, tolerance=0.5)
    runs = group(setup)
    runs.set_layers(lane=0, layers=by_hand(0, 0, 0))
    measured, outputs = runs.measure()
    assert (outputs[:, :, 0] == 0.5).all()
    assert (measured[m.ONE_SIDED, 0], measured[m.WRONG, 0]) == (1, 1)
    assert (measured[m.SPREAD, 0], measured[m.MAX_ERROR, 0]) == (0, 0.5)
    assert words(setup, runs)[0] == "converged"  # within the tolerance means up to it
    assert_measured(runs, recipe, lanes=[0])
    runs.set_layers(lane=0, layers=by_hand(0, 0, -1e-15))
    assert runs.measure()[0][m.WRONG, 0] == 3


def test_the_middle_of_unequal_targets_is_that_of_their_ends():
    """Targets 0.1, 0.2, 0.2 and 0.9: middle 0.5, range 0.8."""
    T = np.array([[0.1], [0.2], [0.2], [0.9]])
    setup, _ = pair(problem="xor", hidden=(2,), updates=1)
    X = oracle.problem("xor")[0]
    recipe = oracle.Recipe("xor", hidden=(2,), updates=1, data=(X, T))
    runs = group(setup, data=(X, T))
    for lane in range(LANES):
        runs.set_layers(lane=lane, layers=by_hand(0, 0.4 * lane, 0.1))
    measured, _ = runs.measure()
    assert_measured(runs, recipe)
    assert measured[m.WRONG, 0] == 3
    assert measured[m.MAX_ERROR, 0] == pytest.approx(
        ((1 / (1 + math.exp(-0.1))) - 0.1) / 0.8, rel=1e-14
    )


def test_columns_of_constant_targets_count_in_neither_spread_nor_sides_nor_wrong():
    T = np.array([[1, 0, 0.5], [1, 1, 0.5], [1, 0, 0.5]])
    setup, _ = pair(problem="encoder:3", hidden=(2,), updates=1, init_scale=3)
    recipe = oracle.Recipe("encoder:3", hidden=(2,), updates=1, init_scale=3, data=(np.eye(3), T))
    runs = group(setup, data=(np.eye(3), T))
    assert_measured(runs, recipe)
    network = runs.layers(0)
    network[1][0][1], network[1][1][1] = (
        0,
        3,
    )  # the one output that counts says the same of every row
    runs.set_layers(lane=0, layers=network)
    measured, outputs = runs.measure()
    assert (outputs[:, [0, 2], 0].std(axis=0) > 0.001).all()
    assert (measured[m.SPREAD, 0], measured[m.ONE_SIDED, 0], measured[m.WRONG, 0]) == (0, 1, 2)
    assert (
        measured[m.MAX_ERROR, 0] == abs(outputs[:, :, 0] - T).max()
    )  # there all of them count, with a range of 1
    assert words(setup, runs)[0] == "collapsed"


@pytest.mark.parametrize("bias", [-9.0, 0.1, 9.0])
def test_where_all_targets_are_constant_nothing_is_collapsed_or_one_class(bias):
    setup, recipe = pair(problem="table:1111", hidden=(2,), updates=1)
    runs = group(setup)
    runs.set_layers(lane=0, layers=by_hand(0, 0, bias))
    measured, _ = runs.measure()
    assert measured[m.SPREAD, 0].tobytes() == NAN_BITS
    assert (measured[m.ONE_SIDED, 0], measured[m.WRONG, 0]) == (0, 0)
    assert_measured(runs, recipe, lanes=[0])
    assert words(setup, runs)[0] == ("converged" if bias == 9 else "partial")


def test_saturation_counts_units_past_its_ends():
    """Of rows × hidden units, outside 0.05…0.95: σ(±ln 19)."""
    setup, recipe = pair(problem="xor", hidden=(2,), updates=1)
    runs = group(setup)
    for lane, b in enumerate((4.0, -4.0, 2.9, -2.9, 3.0, 0.0, -3.0, 1e9)[:LANES]):
        runs.set_layers(lane=lane, layers=by_hand(0, 0, 0, hidden=((0, 0, b), (0, 0, 0))))
        assert runs.measure()[0][m.SATURATION, lane] == (0.5 if abs(b) > math.log(19) else 0)
    assert_measured(runs, recipe)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_weight_that_is_not_finite_is_enough_and_concerns_its_lane_alone(value, dtype):
    setup = Setup(problem="xor", hidden=(2,), dtype=dtype, updates=1)
    runs = group(setup)
    clean, clean_outputs = runs.measure()
    rows = runs.state.block.reshape(-1, runs.task.key.strip)  # of the first strip
    for parameter in range(runs.task.network.parameters):
        kept = rows[parameter, 1]
        rows[parameter, 1] = value
        with np.errstate(all="ignore"):
            measured, outputs = runs.measure()
            assert words(setup, runs)[1] == "diverged"
        assert measured[m.FINITE, 1] == 0
        rest = [lane for lane in range(LANES) if lane != 1]
        assert measured[:, rest].tobytes() == clean[:, rest].tobytes()
        assert outputs[:, :, rest].tobytes() == clean_outputs[:, :, rest].tobytes()
        rows[parameter, 1] = kept
    assert runs.measure()[0].tobytes() == clean.tobytes()


@pytest.mark.parametrize("tolerance", [0.4, 0.2, 0.01])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_look_finds_what_the_measures_say(tolerance, dtype):
    """With a rate so small that nothing changes: within the tolerance, and every weight finite."""
    setup = Setup(
        problem="xor", hidden=(2,), lr=1e-300, updates=1, tolerance=tolerance, dtype=dtype
    )
    for networks in STATES.values():
        runs = group(setup)
        with np.errstate(all="ignore"):
            for lane, network in enumerate(networks):
                runs.set_layers(lane=lane, layers=network)
            runs.advance(1)
            found = words(setup, runs)
        for lane in range(len(networks)):
            assert (runs.state.converged_at[lane] == 1) == (found[lane] == "converged")


def test_right_answers_from_infinite_weights_are_not_converged():
    """A hidden unit that is always 1, by a bias of ∞: all outputs are right, but do not count."""
    setup = Setup(problem="xor", hidden=(3,), lr=1e-300, updates=1)
    runs = group(setup)
    solved = by_hand(20, -20, -10)
    for lane, bias in enumerate((math.inf, 100.0)):
        hidden = (np.vstack([solved[0][0], [[0, 0]]]), np.append(solved[0][1], bias))
        runs.set_layers(lane=lane, layers=[hidden, (np.array([[20, -20, -10.0]]), np.zeros(1))])
    with np.errstate(all="ignore"):
        runs.advance(1)
        measured, outputs = runs.measure()
        assert words(setup, runs)[:2] == ["diverged", "converged"]
    assert (abs(outputs[:, 0, 0] - [0, 1, 1, 0]) < 0.01).all()
    assert measured[m.MAX_ERROR, 0] < 0.01
    assert list(runs.state.converged_at[:2]) == [-1, 1]


def test_classify_at_its_limits():
    """In this order, the tolerance included and the collapse not; not a number is diverged."""
    nan = math.nan
    cases = [  # max_error, spread, one_sided, wanted
        (0.4, 0.0, True, "converged"),
        (math.nextafter(0.4, 1), 0.05, True, "collapsed"),
        (0.9, math.nextafter(0.1, 0), False, "collapsed"),
        (0.9, 0.1, True, "one-class"),
        (0.9, 0.1, False, "partial"),
        (0.9, nan, False, "partial"),
        (nan, nan, False, "diverged"),
        (nan, 0.0, True, "diverged"),
        (math.inf, 0.5, False, "partial"),
    ]
    errors, spreads, sides, wanted = zip(*cases, strict=True)
    measures = {"max_error": errors, "spread": spreads, "one_sided": sides}
    found = classify(
        {k: np.array(v) for k, v in measures.items()}, Setup(problem="xor", updates=1).columns()
    )
    assert (found.dtype, [OUTCOMES[code] for code in found]) == (np.int8, list(wanted))
