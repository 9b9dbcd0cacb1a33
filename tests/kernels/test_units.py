"""Activations, output units and optimisers, held against the textbook network in lockstep."""

import itertools

import every_choice
import numpy as np
import numpy_networks
import oracle
import pytest
from lanes import JIT, LANES, assert_in_step

from fastbp.choices.families import FAMILIES
from fastbp.config.setup import Setup
from fastbp.engine.block import train
from fastbp.engine.rows import to_arrow
from fastbp.engine.tasks import activation
from fastbp.kernels.vector_ir import like

ACTIVATIONS = [
    "leaky-relu:slope=0.1" if name == "leaky-relu" else name
    for name in FAMILIES["activation"].choices
]
OPTIMIZERS = list(FAMILIES["optimizer"].choices)
PLAIN = {"problem": "parity:3", "hidden": (3,), "lr": 0.25, "epochs": 3}
Z = np.concatenate([np.linspace(-6, 6, 97), [-700.0, -40.0, -1e-9, 0.0, 1e-9, 40.0]])


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_activation_and_slope_are_those_of_the_textbook(name, dtype):
    """The slope is a function of a: where that loses digits it is near in absolute terms."""
    f, slope = activation(name)
    z = Z[:-1].astype(dtype)  # e⁴⁰ is out of the range of the tolerance
    with np.errstate(all="ignore"):
        a = f(z)
        got = slope(a) + like(z, 0.0)
        wanted, wanted_slope = oracle.activation(name, z.astype(np.float64))
    tolerance = 8 * np.finfo(dtype).eps
    assert a.dtype == got.dtype == dtype
    np.testing.assert_allclose(a, wanted, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got, wanted_slope, rtol=tolerance, atol=2 * tolerance)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_nan(name):
    f, _ = activation(name)
    assert np.isnan(f(np.float64(np.nan)))


def in_step(**keys):
    """In float64 and in float32, at a rate at which rounding errors hardly grow."""
    name = keys.get("optimizer", "sgd").partition(":")[0]
    rate = {"rprop": None, "sgd": 0.25, "quickprop": 0.25}.get(name, 0.0625)
    keys = {**PLAIN, **keys, "lr": rate}
    assert_in_step(keys)
    assert_in_step({**keys, "dtype": "float32"}, relative=2e-5)


@pytest.mark.parametrize("keys", every_choice.UNITS, ids=lambda keys: keys["problem"])
def test_in_step_with_every_choice(keys):
    """Those of the sweep whose digests are committed: compiled, they are few kernels."""
    assert_in_step(keys, relative=2e-5 if keys.get("dtype") == "float32" else 1e-12)


@pytest.mark.skipif(JIT, reason="every pair is a kernel: the same source as plain Python is enough")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_in_step_with_any_activation_and_optimiser(name, optimizer):
    in_step(activation=name, optimizer=optimizer, batch=4, init="torch")


@pytest.mark.skipif(JIT, reason="as above")
@pytest.mark.parametrize("batch", [1, 3, "full"])
@pytest.mark.parametrize("output", ["tanh", "linear", "relu", "softmax"])
def test_in_step_with_any_output(output, batch):
    softmax = {"problem": "encoder:3", "loss": "cross-entropy"} if output == "softmax" else {}
    in_step(output=output, batch=batch, activation="tanh", prime_offset=0.125, **softmax)
    in_step(output=output, batch=batch, activation=["relu", "tanh"], hidden=(3, 2), **softmax)


@pytest.mark.skipif(JIT, reason="as above")
@pytest.mark.parametrize(
    "optimizer",
    [
        "adam:beta1=0.5,beta2=0.75,eps=0.001",
        "rmsprop:alpha=0.5,eps=0.01",
        "adagrad:eps=0.1",
        "rprop:plus=1.5,minus=0.25,step=0.5,min=0.01,max=1",
        "quickprop:mu=2",
    ],
)
def test_in_step_with_other_parameters(optimizer):
    in_step(optimizer=optimizer, batch="full", epochs=6)
    in_step(optimizer=optimizer, batch=3, reduction="mean", hidden=(2, 2))


def test_full_batches_and_evaluations_share_a_forward_pass_for_softmax_too():
    """Whether outputs are there already or computed for an evaluation, they have the same bits."""
    keys = every_choice.UNITS[2] | {"batch": "full", "epochs": 20}  # a kernel that there is
    assert keys["output"] == "softmax"
    often, seldom = (Setup(**keys, eval_every=every) for every in (1, 20))
    rows = [to_arrow(setup, 0, train(setup, 0, 8, lanes=LANES)) for setup in (often, seldom)]
    for name in ("loss", "outputs", "weight_max"):
        assert rows[0][name].equals(rows[1][name])


RATES = {"sgd": 0.5, "adam": 0.05, "rmsprop": 0.02, "adagrad": 0.2, "rprop": None, "quickprop": 0.2}
QUICK = [("sigmoid", "sgd"), ("sigmoid", "quickprop")]
"""These need no kernels of their own: other tests compile the same."""


def shares(name, optimizer):
    """How many of 2,000 networks on XOR converge and collapse: fastbp's, and those in plain
    NumPy."""
    runs, lr = 2000, RATES[optimizer]
    keys = {"hidden": (2,), "activation": name, "optimizer": optimizer, "batch": "full"}
    keys |= {"init": "torch", "epochs": 300}
    setup = Setup(problem="xor", **keys, lr=lr)
    X, T = setup.data()
    with np.errstate(all="ignore"):
        answers = numpy_networks.train(X, T, runs=runs, **keys, lr=lr or 0.0)
    error, spread = abs(answers - T).max(axis=(1, 2)), np.ptp(answers, axis=(1, 2))
    outcomes = np.array(to_arrow(setup, 0, train(setup, 0, runs))["outcome"].to_pylist())
    got = [(outcomes == word).mean() for word in ("converged", "collapsed")]
    return runs, got, [(error <= 0.4).mean(), ((error > 0.4) & (spread < 0.1)).mean()]


@pytest.mark.jit
@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        pytest.param(*each, marks=[] if each in QUICK else pytest.mark.soak)
        for each in itertools.product(numpy_networks.ACTIVATIONS, RATES)
    ],
)
def test_rates_are_those_of_an_independent_program(name, optimizer):
    """Other random numbers, so that shares differ by sampling error: within 4.5 of its sizes."""
    runs, got, wanted = shares(name, optimizer)
    for a, b in zip(got, wanted, strict=True):
        mean = (a + b) / 2
        assert abs(a - b) <= 4.5 * np.sqrt(2 * (mean * (1 - mean) + 1 / runs) / runs), (got, wanted)
