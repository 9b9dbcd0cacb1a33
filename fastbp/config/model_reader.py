"""Read a model of PyTorch, scikit-learn or Keras as keys of a setup, by its public attributes.

None of these packages is imported. What cannot be said as a setup becomes a note.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastbp.choices.families import FAMILIES
from fastbp.schema.errors import SweepError, is_integer
from fastbp.schema.text import plain

HIDDEN = {
    "sigmoid": "sigmoid",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "leakyrelu": "leaky-relu",
    "leaky_relu": "leaky-relu",
    "elu": "elu",
    "selu": "selu",
    "softplus": "softplus",
    "exponential": "exponential",
    "softmax": "softmax",
    "logsoftmax": "softmax",
    "linear": "linear",
    "identity": "linear",
}
"""Activations by the names that the packages have for them, in small letters."""

INITS = {
    "GlorotNormal": "glorot-normal",
    "GlorotUniform": "glorot-uniform",
    "HeNormal": "he-normal",
    "HeUniform": "he-uniform",
    "LecunNormal": "lecun-normal",
    "LecunUniform": "lecun-uniform",
    "RandomNormal": "normal",
    "RandomUniform": "uniform",
    "Zeros": "zeros",
    "Ones": "constant:1",
}
"""Initial weights by their names in Keras."""

LOSSES = {
    "mse": "squared",
    "mean_squared_error": "squared",
    "mseloss": "squared",
    "nllloss": "cross-entropy",
    "bceloss": "cross-entropy",
    "bcewithlogitsloss": "cross-entropy",
    "crossentropyloss": "cross-entropy",
    "binary_crossentropy": "cross-entropy",
    "categorical_crossentropy": "cross-entropy",
    "sparse_categorical_crossentropy": "cross-entropy",
}
"""Losses by the names that PyTorch and Keras have for them, in small letters."""


TORCH_OPTIMIZERS = {
    **dict.fromkeys(("Adam", "AdamW"), "adam:beta1={betas[0]},beta2={betas[1]},eps={eps}"),
    "RMSprop": "rmsprop:alpha={alpha},eps={eps}",
    "Adagrad": "adagrad:eps={eps}",
    "Rprop": "rprop:plus={etas[1]},minus={etas[0]},step={lr},"
    "min={step_sizes[0]},max={step_sizes[1]}",
}
"""Optimisers of PyTorch besides SGD as a setup spells them, with PyTorch's names of parameters."""


KERAS_OPTIMIZERS = {
    "adam": "adam:beta1={beta_1},beta2={beta_2},eps={epsilon}",
    "rmsprop": "rmsprop:alpha={rho},eps={epsilon}",
    "adagrad": "adagrad:eps={epsilon}",
}
"""The same of Keras, by their names in small letters."""

Model = tuple[dict[str, Any], tuple[str, ...]]
"""Keys of a setup with their values, and notes about what was converted or cannot be said."""


def read_model(model: Any, targets: Any, loss: Any = None, optimizer: Any = None) -> Model:
    """Read a model.

    Parameters
    ----------
    model : object
        A `torch.nn.Sequential` of `Linear` layers and activations, an `MLPClassifier` or
        `MLPRegressor` of scikit-learn, fitted or not, or a `Sequential` of Keras with `Dense`
        layers, or the text of its `to_json()`.
    targets : array_like
        The targets: with two different ones a classifier of scikit-learn has one output.
    loss, optimizer : object, optional
        A loss and an optimiser of PyTorch, or their names in Keras.

    Raises
    ------
    SweepError
        If it is none of these models.
    """
    if hasattr(model, "hidden_layer_sizes"):
        return _of_scikit_learn(model, targets)
    if _is_keras(model):
        return _of_keras(model, targets, loss, optimizer)
    if type(model).__name__ == "Sequential":
        return _of_torch(model, loss, optimizer)
    raise _refused(
        plain(type(model).__name__),
        "a torch.nn.Sequential, an MLPClassifier or MLPRegressor, or a Sequential of Keras",
    )


def keys_of_model(
    model: Any, targets: Any, given: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The keys of a setup for a model, and the notes about it.

    `given`: keys that replace those of the model. A loss or an optimiser may be one of its library:
    of PyTorch an object, of Keras always.
    """
    theirs = {
        key: given[key]
        for key in ("loss", "optimizer")
        if key in given and (_is_keras(model) or not isinstance(given[key], str))
    }
    keys, notes = read_model(model, targets, **theirs)
    if keys["output"] == "softmax" and np.ndim(targets) == 1:
        keys["target_kind"] = "classes"
    return keys | {key: value for key, value in given.items() if key not in theirs}, notes


def _refused(given: str, allowed: str) -> SweepError:
    return SweepError([f"model: given {given}, allowed: {allowed}"])


def _is_keras(model: Any) -> bool:
    return isinstance(model, str | bytes) or hasattr(model, "to_json")


def _stacked(names: Sequence[tuple[str, str]], sizes: Sequence[int]) -> dict[str, Any]:
    """The keys of the layers of a network.

    `names`: for each layer past the inputs its activation, as the package has it, and parameters.
    """
    unknown = [name for name, _ in names if name.lower() not in HIDDEN]
    if unknown:
        raise _refused(f"the activation {plain(unknown[0])}", ", ".join(HIDDEN))
    each = [HIDDEN[name.lower()] + parameters for name, parameters in names]
    if not sizes[1:-1]:
        raise _refused("no hidden layer", "one or more")
    output = each[-1].partition(":")[0]
    if output not in FAMILIES["output"].choices:
        raise _refused(f"{output} outputs", ", ".join(FAMILIES["output"].choices))
    return {"hidden": list(sizes[1:-1]), "activation": each[:-1], "output": output}


def _add_loss(keys: dict[str, Any], name: str, outputs: int, notes: list[str]) -> None:
    """Add the loss of this name, and convert the rate: it is a mean over rows and outputs."""
    if name.lower() not in LOSSES:
        notes.append(f"the loss {plain(name)} cannot be said as a setup")
        return
    keys |= {"loss": LOSSES[name.lower()], "reduction": "mean"}
    factor = 2 if keys["loss"] == "squared" else 1
    outputs = 1 if "categorical" in name or name in ("CrossEntropyLoss", "NLLLoss") else outputs
    scale = factor / outputs
    if scale != 1 and keys.get("optimizer", "sgd") == "sgd" and "lr" in keys:
        given = keys["lr"]
        keys["lr"] = float(f"{given * scale:.6g}")
        notes.append(
            f"its loss is a mean over {outputs} output{'s' * (outputs > 1)}"
            f"{' without ½' * (factor == 2)}: its rate {given:g} is {keys['lr']:g} here"
        )


# PyTorch


def _of_torch(model: Any, loss: Any, optimizer: Any) -> Model:
    notes: list[str] = []
    sizes: list[int] = []
    names: list[tuple[str, str]] = []
    bias = True
    for part in model.children():
        name = type(part).__name__
        if name == "Linear":
            sizes = [*(sizes or [part.in_features]), part.out_features]
            bias = part.bias is not None
            names.append(("linear", ""))
        elif name.lower() in HIDDEN and names:
            slope = f":slope={part.negative_slope:g}" if name == "LeakyReLU" else ""
            names[-1] = (
                " of another ".join(
                    [name, *[key for key in ("alpha", "beta") if getattr(part, key, 1) != 1]]
                ),
                slope,
            )
        elif name in ("Flatten", "Dropout"):
            notes.append(f"{name} is left out: it cannot be said as a setup")
        else:
            raise _refused(plain(name), "Linear, and after it ReLU, Tanh and Sigmoid and the like")
    name = type(loss).__name__
    if name in ("BCEWithLogitsLoss", "CrossEntropyLoss") and names[-1:] == [("linear", "")]:
        names[-1] = ("sigmoid" if name[0] == "B" else "softmax", "")  # the loss contains it
    keys = _stacked(names, sizes) | {"init": "torch", "bias": bias}
    if optimizer is not None:
        keys |= _torch_optimizer(optimizer, notes)
    if loss is not None:
        _add_loss(keys, name, sizes[-1], notes)
    return keys, tuple(notes)


def _torch_optimizer(optimizer: Any, notes: list[str]) -> dict[str, Any]:
    """The keys of an optimiser of PyTorch."""
    name, group = type(optimizer).__name__, optimizer.param_groups[0]
    if name == "SGD":
        return {key: group[key] for key in ("lr", "momentum", "nesterov", "weight_decay")}
    if name not in TORCH_OPTIMIZERS:
        notes.append(f"the optimiser {plain(name)} cannot be said as a setup")
        return {}
    if group.get("weight_decay"):
        notes.append(f"the weight decay of {name} cannot be said as a setup")
    spelled = {"optimizer": TORCH_OPTIMIZERS[name].format(**group)}
    return spelled if name == "Rprop" else {"lr": group["lr"], **spelled}


# scikit-learn


def _of_scikit_learn(model: Any, targets: Any) -> Model:
    notes: list[str] = []
    logistic, T = model.activation == "logistic", np.asarray(targets)
    several = T.ndim == 1 and len(np.unique(T)) > 2
    keys: dict[str, Any] = {
        "hidden": np.ravel(model.hidden_layer_sizes).tolist(),
        "activation": HIDDEN[model.activation],
        "init": "glorot-uniform",
        "init_scale": math.sqrt(1 / 3) if logistic else 1.0,
        "batch": min(len(T), 200 if model.batch_size == "auto" else model.batch_size),
        "reduction": "mean",
        "epochs": model.max_iter,
        "lr": model.learning_rate_init,
        "order": "shuffled" if model.shuffle else "cyclic",
    }
    if hasattr(model, "predict_proba"):
        keys |= {"output": "softmax" if several else "sigmoid", "loss": "cross-entropy"}
    else:
        keys |= {"output": "linear", "loss": "squared", "target_kind": "quantity"}
    if model.solver == "sgd":
        keys |= {
            "momentum": model.momentum,
            "nesterov": bool(model.nesterovs_momentum) and model.momentum > 0,
        }
    elif model.solver == "adam":
        keys["optimizer"] = f"adam:beta1={model.beta_1},beta2={model.beta_2},eps={model.epsilon}"
    else:
        notes.append(f"the solver {model.solver} cannot be said as a setup: sgd takes its place")
    if model.alpha > 0:
        notes.append(f"its penalty alpha = {model.alpha:g} is left out")
    notes.append("its initial biases are random; here they are 0")
    return keys, tuple(notes)


# Keras


def _of_keras(model: Any, targets: Any, loss: Any, optimizer: Any) -> Model:
    notes: list[str] = []
    try:
        sizes, names, keys = _keras_layers(model, notes)
    except SweepError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise _refused("a text", "the to_json() of a Sequential") from None
    loss = loss or getattr(model, "loss", None)
    name = str(getattr(loss, "name", loss))
    if _config(loss).get("from_logits") and names[-1:] == [("linear", "")]:
        names[-1] = ("sigmoid" if "binary" in name else "softmax", "")  # the loss contains it
    keys |= _stacked(names, sizes)
    optimizer = optimizer or getattr(model, "optimizer", None)
    keys |= _keras_optimizer(optimizer, notes) if optimizer else {}
    if loss:
        _add_loss(keys, name, sizes[-1], notes)
    keys["batch"] = min(32, len(np.atleast_1d(targets)))
    notes.append(f"batch = {keys['batch']}: the default of Keras' `fit`")
    return keys, tuple(notes)


def _keras_layers(
    model: Any, notes: list[str]
) -> tuple[list[int], list[tuple[str, str]], dict[str, Any]]:
    """The sizes of the layers, their activations with parameters, and the keys of all weights."""
    parts = json.loads(model if isinstance(model, str | bytes) else model.to_json())["config"]
    parts = parts["layers"] if isinstance(parts, Mapping) else parts
    names: list[tuple[str, str]] = []
    sizes, keys = [0], dict[str, Any]()
    for part in parts:
        kind, own = part["class_name"], part["config"]
        if kind == "Dense":
            if not is_integer(own["units"], 1):
                raise ValueError("a layer without units")
            sizes.append(own["units"])
            names.append(_keras_activation(own["activation"]))
            keys = _keras_init(own, notes)
        elif (kind == "Activation" or kind.lower() in HIDDEN) and names:
            names[-1] = _keras_activation(own["activation"] if kind == "Activation" else part)
        elif kind in ("Dropout", "Flatten"):
            notes.append(f"{kind} is left out: it cannot be said as a setup")
        elif kind != "InputLayer":
            raise _refused(f"a layer {plain(kind)}", "Dense, Activation")
    return sizes, names, keys


def _config(part: Any) -> Mapping[str, Any]:
    """The config of a loss or an optimiser of Keras; a name has none."""
    return part.get_config() if hasattr(part, "get_config") else {}


def _keras_activation(given: Any) -> tuple[str, str]:
    """The name of an activation, which may stand in a table, and its parameters."""
    if not isinstance(given, Mapping):
        return str(given), ""
    own, name = given["config"], given["class_name"]
    slope = own.get("negative_slope", own.get("alpha", 0.3)) if name == "LeakyReLU" else 0
    return str(name), f":slope={slope:g}" * (name == "LeakyReLU")


def _keras_init(layer: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The keys of the initial weights of a Dense layer."""
    init = layer.get("kernel_initializer") or {"class_name": "GlorotUniform"}
    name, own = init["class_name"], init.get("config", {})
    keys: dict[str, Any] = {"bias": layer.get("use_bias", True), "bias_init": "zeros"}
    if name in INITS:
        keys["init"] = INITS[name]
        if name.startswith("Random"):
            keys["init_scale"] = own.get("stddev", own.get("maxval", 0.05))
    elif name == "Constant":
        keys["init"] = f"constant:{own['value']}"
    else:
        notes.append(f"the initializer {plain(name)} cannot be said as a setup")
    return keys


def _keras_optimizer(optimizer: Any, notes: list[str]) -> dict[str, Any]:
    """The keys of an optimiser of Keras by its config; a name alone has Keras' defaults."""
    name = optimizer if isinstance(optimizer, str) else type(optimizer).__name__
    name, own = name.lower(), _config(optimizer)
    rate = own.get("learning_rate", 0.01 if name == "sgd" else 0.001)
    # Keras keeps rates as float32.
    keys = {"lr": float(f"{rate:.6g}")} if isinstance(rate, int | float) else {}
    if name == "sgd":
        momentum = own.get("momentum", 0.0)
        return keys | {
            "momentum": momentum,
            "nesterov": bool(own.get("nesterov")) and momentum > 0,
        }
    if name not in KERAS_OPTIMIZERS:
        notes.append(f"the optimiser {plain(name)} cannot be said as a setup")
        return {}
    defaults = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "rho": 0.9}
    return keys | {"optimizer": KERAS_OPTIMIZERS[name].format(**{**defaults, **own})}
