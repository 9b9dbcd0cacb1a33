"""Activations, outputs and optimisers in a sweep: what goes together, and what a grid makes."""

from typing import Any

import numpy as np
import pytest
from sweep_texts import HEAD, mistakes_of, over

from fastbp import Setup, Sweep, SweepError
from fastbp.config import conflicts

PLAIN: dict[str, Any] = {"problem": "xor", "epochs": 10}


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        (
            {"output": "softmax", "loss": "cross-entropy"},
            [
                "output: given 'softmax', allowed: sigmoid, as there is one output: a softmax over "
                "one output is always 1"
            ],
        ),
        (
            {"output": "softmax", "problem": "encoder:3"},
            ["loss: given 'squared', allowed: cross-entropy, as output = 'softmax'"],
        ),
        (
            {"output": "softmax", "loss": "cross-entropy", "problem": "encoder:3"}
            | {"target_margin": 0.1},
            [
                "output: given 'softmax', allowed: sigmoid, as softmax outputs sum to 1 and the "
                "targets of a row do not"
            ],
        ),
        (
            {"output": "tanh", "loss": "cross-entropy"},
            [
                "loss: given 'cross-entropy', allowed: squared, as output = 'tanh'; or output = "
                "'sigmoid' or 'softmax'"
            ],
        ),
        (
            {"activation": ["tanh", "relu"]},
            [
                "activation: given 'tanh | relu', allowed: one, or one for each of the 1 hidden "
                "layers"
            ],
        ),
        (
            {"optimizer": "rprop", "lr": 0.2, "schedule": "cosine"},
            [
                "lr: given 0.2, allowed: nothing, as rprop has no learning rate",
                "schedule: given 'cosine', allowed: nothing, as rprop has no learning rate",
            ],
        ),
        (
            {"optimizer": "adam", "momentum": 0.9, "weight_decay": 0.1},
            [
                "momentum: given 0.9, allowed: 0.0, as optimizer = 'adam'",
                "weight_decay: given 0.1, allowed: 0.0, as optimizer = 'adam'",
            ],
        ),
        (
            {"nesterov": True},
            ["nesterov: given true, allowed: false, or with momentum > 0"],
        ),
        (
            {"bias_init": "ones"},
            [
                "bias_init: given 'ones', allowed: one of init, zeros or a number from -1,000,000 "
                "to 1,000,000"
            ],
        ),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(keys: dict[str, Any], lines: list[str]) -> None:
    assert mistakes_of(Setup, **PLAIN | keys) == lines


def test_an_unknown_activation_gets_a_hint() -> None:
    with pytest.raises(SweepError, match=r"allowed: sigmoid, linear, tanh, .* mean 'relu'"):
        Setup(**PLAIN, activation="relo")


def test_a_list_of_activations_has_one_for_each_layer() -> None:
    setup = Setup(**PLAIN, hidden=[3, 2], activation=["tanh", "leaky-relu:slope=0.01"])
    assert (setup.activation, setup.activations) == ("tanh | leaky-relu", ("tanh", "leaky-relu"))
    alike = Setup(**PLAIN, hidden=[3, 2], activation=["relu", "relu"])
    assert alike == Setup(**PLAIN, hidden=[3, 2], activation="relu")
    for each in (setup, alike, Setup(**PLAIN, optimizer="rprop", bias_init=0.5, batch="full")):
        assert Setup.from_columns(each.columns()).activations == each.activations
        assert Setup.from_columns(each.columns()).identity() == each.identity()


def test_in_a_grid_an_inner_list_is_layers() -> None:
    sweep = over("hidden=[[3, 2]]", "activation=[relu, [tanh, relu]]", text=HEAD + "updates = 9")
    assert [setup.activation for setup in sweep.setups] == ["relu", "tanh | relu"]


def test_rates_that_an_optimiser_does_not_have_are_one_setup() -> None:
    sweep = Sweep(
        seeds=1,
        setup=PLAIN | {"batch": "full"},
        grid={"optimizer": ["sgd", "rprop"], "lr": [0.1, 0.2]},
    )
    assert [(s.optimizer, s.lr) for s in sweep.setups] == [
        ("sgd", 0.1),
        ("sgd", 0.2),
        ("rprop", None),
    ]
    row = sweep.setups[-1].columns()
    assert (row["lr"], row["schedule"]) == (None, None)


def test_notes_about_what_is_allowed_but_unwise() -> None:
    assert conflicts.notes(Setup(**PLAIN, init="constant:c=0.5")) == [
        "init = 'constant:0.5': all hidden units of a layer start equal and stay equal"
    ]
    _, scaled = conflicts.notes(Setup(**PLAIN, init="zeros", init_scale=2.0))
    assert scaled == "init_scale = 2.0 changes nothing, as init = 'zeros'"
    assert conflicts.notes(Setup(**PLAIN, tolerance=0.3, success="loss:0.01")) == [
        "tolerance = 0.3 changes nothing, as success = 'loss:0.01'"
    ]
    (signs,) = conflicts.notes(Setup(**PLAIN, optimizer="rprop", batch=2))
    assert signs.startswith("rprop goes by the sign of the gradient, and in small batches")
    assert conflicts.notes(Setup(**PLAIN, optimizer="rprop", batch="full")) == []


def test_labels_of_tanh_outputs_are_minus_one_and_one() -> None:
    np.testing.assert_allclose(
        Setup(**PLAIN, output="tanh", target_margin=0.1).data().T.ravel(),
        [-0.8, 0.8, 0.8, -0.8],
        rtol=1e-15,
    )
    quantity = Setup.from_arrays([[0.0], [1], [2]], [0.25, -0.5, 0.5], epochs=1, output="tanh")
    assert quantity.data().T.ravel().tolist() == [0.25, -0.5, 0.5]
    with pytest.raises(SweepError, match="tanh outputs only reach -1 to 1"):
        Setup.from_arrays([[0.0], [1], [2]], [0.25, -5, 0.5], epochs=1, output="tanh")
    linear = Setup.from_arrays([[0.0], [1], [2]], [25.5, -5, 0.5], epochs=1, output="linear")
    assert linear.data().T.ravel().tolist() == [25.5, -5, 0.5]
