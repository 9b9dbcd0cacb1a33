"""Models of other libraries as keys of a setup; PyTorch and Keras by stand-ins with their
attributes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastbp import Setup, SweepError, explain
from fastbp.config.model_reader import keys_of_model, read_model
from fastbp.diagnosis.candidates import changes, cures

X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
T = np.array([0.0, 1, 1, 0])


def part(name, /, **attributes):
    """An object of a class of this name."""
    made = type(name, (), {})()
    vars(made).update(attributes)
    return made


def linear(inputs, outputs, bias=True):
    return part("Linear", in_features=inputs, out_features=outputs, bias=bias or None)


def sequential(*parts):
    return part("Sequential", children=lambda: iter(parts))


def torch_optimizer(name, **group):
    return part(name, param_groups=[group])


SGD = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}


def test_a_sequential_of_torch():
    model = sequential(
        linear(2, 3), part("ReLU"), linear(3, 2), part("LeakyReLU", negative_slope=0.2)
    )
    model = sequential(*model.children(), linear(2, 1), part("Sigmoid"))
    keys, notes = read_model(model, T, part("MSELoss"), torch_optimizer("SGD", **SGD))
    assert keys == {
        "hidden": [3, 2],
        "activation": ["relu", "leaky-relu:slope=0.2"],
        "output": "sigmoid",
        "init": "torch",
        "bias": True,
        "loss": "squared",
        "reduction": "mean",
        **SGD,
        "lr": 0.2,
    }
    assert notes == ("its loss is a mean over 1 output without ½: its rate 0.1 is 0.2 here",)
    Setup(problem="xor", epochs=1, **keys)


@pytest.mark.parametrize(
    ("optimizer", "spelled"),
    [
        (torch_optimizer("Adam", lr=0.01, betas=(0.9, 0.99), eps=1e-8), "adam:beta2=0.99"),
        (torch_optimizer("RMSprop", lr=0.01, alpha=0.9, eps=1e-8), "rmsprop:alpha=0.9"),
        (torch_optimizer("Adagrad", lr=0.01, eps=1e-10), "adagrad"),
        (
            torch_optimizer("Rprop", lr=0.01, etas=(0.5, 1.2), step_sizes=(1e-6, 50)),
            "rprop:step=0.01",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_optimisers_of_torch(optimizer, spelled):
    keys, _ = read_model(
        sequential(linear(2, 3), part("Tanh"), linear(3, 1)),
        T,
        part("BCEWithLogitsLoss"),
        optimizer,
    )
    setup = Setup(problem="xor", epochs=1, **keys)
    assert (setup.optimizer, setup.output, setup.loss) == (spelled, "sigmoid", "cross-entropy")


def test_what_torch_has_and_a_setup_has_not():
    _, notes = read_model(
        sequential(linear(2, 3), part("Dropout"), part("ReLU"), linear(3, 1)),
        T,
        part("HuberLoss"),
        torch_optimizer("LBFGS", lr=1),
    )
    assert notes == (
        "Dropout is left out: it cannot be said as a setup",
        "the optimiser LBFGS cannot be said as a setup",
        "the loss HuberLoss cannot be said as a setup",
    )


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            sequential(linear(2, 3), part("ELU", alpha=0.5), linear(3, 1)),
            "given the activation ELU of another alpha, allowed",
        ),
        (sequential(part("Conv2d")), "given Conv2d, allowed: Linear"),
        (sequential(linear(2, 1)), "given no hidden layer"),
        ([1], "given list, allowed: a torch"),
        ("{}", r"allowed: the to_json\(\) of a Sequential"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_model_of_a_setup_is_refused(model, told):
    with pytest.raises(SweepError, match=told):
        read_model(model, T)


@pytest.mark.parametrize(
    "parts",
    [
        {"layers": [{"class_name": "Dense", "config": {"activation": "relu"}}]},
        {"layers": [{"class_name": "Dense", "config": None}]},
        {"layers": [{"class_name": "Dense", "config": {"units": "1", "activation": "relu"}}]},
        {"layers": [{"class_name": ["Dense"], "config": {}}]},
        {"layers": 1},
        [1],
        [{"class_name": "Dense", "config": {"units": 1, "activation": {"config": 1}}}],
        [
            {"class_name": "Dense", "config": {"units": 1, "activation": "relu"}},
            {"class_name": "LeakyReLU", "config": {"negative_slope": 10**400}},
        ],
        [
            {
                "class_name": "Dense",
                "config": {
                    "units": 1,
                    "activation": "relu",
                    "kernel_initializer": {"class_name": [], "config": {}},
                },
            }
        ],
    ],
    ids=str,
)
def test_texts_of_models_that_are_not_right_are_refused(parts):
    with pytest.raises(SweepError, match=r"given a text, allowed: the to_json\(\) of a Sequential"):
        read_model(json.dumps({"config": parts}), T)


def test_a_text_that_is_too_deep_is_refused():
    with pytest.raises(SweepError, match=r"given a text, allowed: the to_json\(\)"):
        read_model("[" * 100_000, T)


def test_models_of_scikit_learn():
    keys, notes = read_model(
        MLPClassifier((4,), activation="logistic", solver="sgd", alpha=0, max_iter=7), T
    )
    setup = Setup.from_arrays(X, T, **keys)
    assert (setup.activation, setup.output, setup.loss) == ("sigmoid", "sigmoid", "cross-entropy")
    assert (setup.momentum, setup.nesterov, setup.batch, setup.epochs) == (0.9, True, 4, 7)
    several, notes = read_model(MLPClassifier((3,)), [0, 1, 2, 1])
    assert (several["output"], several["optimizer"]) == (
        "softmax",
        "adam:beta1=0.9,beta2=0.999,eps=1e-08",
    )
    assert "its penalty alpha = 0.0001 is left out" in notes
    quantities, notes = read_model(MLPRegressor((3,), solver="lbfgs"), T)
    assert (quantities["output"], quantities["loss"]) == ("linear", "squared")
    assert notes[0] == ("the solver lbfgs cannot be said as a setup: sgd takes its place")


def dense(units, activation, **config):
    return {"class_name": "Dense", "config": {"units": units, "activation": activation, **config}}


def test_the_text_of_a_keras_model():
    """As Keras 3 writes it; a stored model needs no Keras."""
    init = {"class_name": "RandomUniform", "config": {"minval": -0.05, "maxval": 0.05}}
    layers = [
        {"class_name": "InputLayer", "config": {}},
        dense(8, "relu", kernel_initializer=init, use_bias=True),
        dense(3, "softmax", kernel_initializer=init, use_bias=True),
    ]
    text = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
    keys, notes = read_model(text, T, "categorical_crossentropy", "sgd")
    setup = Setup(problem="encoder:3", epochs=1, **keys | {"batch": 3})
    assert (setup.hidden, setup.activation, setup.output) == ((8,), "relu", "softmax")
    assert (setup.init, setup.init_scale, setup.bias_init) == ("uniform", 0.05, "zeros")
    assert (setup.lr, setup.reduction, setup.loss) == (0.01, "mean", "cross-entropy")
    assert notes == ("batch = 4: the default of Keras' `fit`",)
    adam, _ = keys_of_model(text, T, {"optimizer": "adam"})
    assert (adam["lr"], adam["optimizer"]) == (0.001, "adam:beta1=0.9,beta2=0.999,eps=1e-07")


def test_a_keras_model_that_is_compiled():
    layers = [dense(2, "tanh"), dense(2, "linear"), {"class_name": "LeakyReLU", "config": {}}]
    layers += [dense(2, "sigmoid")]
    text = json.dumps({"config": layers})
    own = {"name": "adam", "learning_rate": 0.01, "beta_1": 0.8, "epsilon": 1e-7}
    model = SimpleNamespace(
        to_json=lambda: text,
        loss=part("MeanSquaredError", name="mean_squared_error", get_config=dict),
        optimizer=part("Adam", get_config=lambda: own),
    )
    keys, _ = read_model(model, T)
    assert keys["activation"] == ["tanh", "leaky-relu:slope=0.3"]
    assert (keys["optimizer"], keys["lr"]) == ("adam:beta1=0.8,beta2=0.999,eps=1e-07", 0.01)


def test_keys_given_beside_a_model_replace_its_own():
    model = sequential(linear(2, 3), part("ReLU"), linear(3, 1), part("Sigmoid"))
    given = {"lr": 0.5, "epochs": 9, "loss": part("MSELoss"), "optimizer": "adam:beta1=0.8"}
    keys, notes = keys_of_model(model, T, given)
    assert (keys["lr"], keys["epochs"], keys["loss"]) == (0.5, 9, "squared")
    assert (keys["optimizer"], keys["reduction"], notes) == ("adam:beta1=0.8", "mean", ())
    with pytest.raises(SweepError, match="explain: given 1, allowed: X and T, or a model, X and T"):
        explain(X)


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({}, set()),
        ({"activation": "relu"}, {"sigmoid hidden units", "leaky ReLU hidden units"}),
        ({"activation": "linear"}, {"sigmoid hidden units", "tanh hidden units"}),
        ({"output": "relu"}, {"sigmoid outputs", "linear outputs"}),
        ({"optimizer": "adam"}, {"sgd, rate 0.1"}),
    ],
)
def test_what_undoes_the_units_and_optimiser_of_a_user(keys, names):
    tried = {change.name for change in changes(Setup(problem="encoder:3", epochs=9, **keys))}
    every = {"leaky ReLU hidden units", "tanh hidden units", "sgd, rate 0.1"}
    every |= {"sigmoid hidden units", "sigmoid outputs", "linear outputs"}
    assert tried & every == names


def test_cures_that_people_are_told_are_tried_where_nothing_else_helps():
    names = [change.name for change in cures(Setup(problem="xor", epochs=9), [])]
    assert names[:3] == ["tanh hidden units", "ReLU hidden units", "Adam, rate 0.01"]
    one_hot = Setup.from_arrays(np.eye(4), np.eye(3)[[0, 1, 2, 1]], epochs=9)
    assert "softmax outputs" in {change.name for change in cures(one_hot, [])}
    relu = Setup(problem="xor", epochs=9, optimizer="rprop", batch="full")
    assert "Adam, rate 0.01" not in {change.name for change in cures(relu, [])}
