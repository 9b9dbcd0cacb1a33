"""The gradients that a torch module has by its autograd, as a function that can be checked.

torch is not imported: everything is done by methods of the module and of its tensors.
"""

from contextlib import suppress
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit as sigmoid, softmax

from fastbp.config.model_reader import read_model
from fastbp.gradcheck.reference import Kinds, Loss, Real
from fastbp.schema.errors import SweepError

_CLOSE = 1e-3
"""Where the outputs of every row add up to 1, within this, they are those of a softmax."""


def is_module(function: Any) -> bool:
    """Whether an object is a torch module; a Keras model may be one, too, and is not meant."""
    return hasattr(function, "named_parameters") and not hasattr(function, "to_json")


class ModuleGradients:
    """The gradients of a copy of a torch module, called as ``function(W, b, x, t)``.

    Its parameters must be weights [out, in] and, if it has any, biases [out] in turn. Without
    biases it is called as ``function(W, x, t)``. Dropout is off.

    Raises
    ------
    SweepError
        If its parameters are others.
    """

    def __init__(self, module: Any, loss: Loss) -> None:
        self._module, self._loss = deepcopy(module).eval(), loss
        self._parameters = list(self._module.parameters())
        shapes = [tuple(each.shape) for each in self._parameters]
        self.bias = any(len(shape) == 1 for shape in shapes)
        self.sizes = tuple(shape[-1] for shape in shapes[:1]) + tuple(
            shape[0] for shape in shapes[:: 1 + self.bias]
        )
        fit = [
            shape
            for below, above in pairwise(self.sizes)
            for shape in [(above, below), (above,)][: 1 + self.bias]
        ]
        if shapes != fit:
            rule = (
                "weights [out, in] of Linear layers in the order of their use, all with a bias or "
                "all without"
            )
            raise SweepError([f"function: given a module with parameters {shapes}, needed: {rule}"])

    @property
    def kinds(self) -> Kinds:
        """The units, if the module says them, as a Sequential does; else none."""
        with suppress(SweepError):
            keys, _ = read_model(self._module, ())
            output, of_loss = keys["output"], "softmax" if self.sizes[-1] > 1 else "sigmoid"
            in_loss = output == "linear" and self._loss == "cross-entropy"
            return (*keys["activation"], of_loss if in_loss else output)
        return ()

    def __call__(self, W: list[Real], *rest: Any) -> list[Any]:
        """The gradients W0, b0, W1, b1, …, summed over rows."""
        *b, x, t = rest
        values = [array for pair in zip(W, *b, strict=True) for array in pair]
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.data.copy_(parameter.new_tensor(value))
            parameter.grad = None
        new, inputs = self._parameters[0].new_tensor, self.sizes[0]
        outputs = self._module(new(np.atleast_2d(x)))
        # What the outputs are shows far from 0.
        far = self._module(new(np.random.default_rng(0).normal(0, 10, (64, inputs))))
        t = np.atleast_2d(t)
        error = self._error(_array(outputs).reshape(t.shape), t, _array(far).reshape(64, -1))
        outputs.backward(new(error.reshape(outputs.shape)))
        return [
            np.zeros(value.shape) if each.grad is None else _array(each.grad)
            for each, value in zip(self._parameters, values, strict=True)
        ]

    def _error(self, o: Real, t: Real, far: Real) -> Real:
        """The derivative of the loss by the outputs; of a softmax always the cross-entropy."""
        if np.abs(np.exp(far).sum(axis=1) - 1).max() < _CLOSE:
            return -t  # o are logarithms
        if np.abs(far.sum(axis=1) - 1).max() < _CLOSE:
            return -t / o
        if self._loss == "squared":
            return o - t
        if far.min() >= 0 and far.max() <= 1:
            return (o - t) / (o * (1 - o))
        return (softmax(o, axis=1) if t.shape[1] > 1 else sigmoid(o)) - t


def _array(tensor: Any) -> Real:
    return np.asarray(tensor.detach().cpu().tolist(), np.float64)
