"""All families, by the key of the sweep file that chooses from them."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from fastbp.choices import (
    activations,
    inits,
    losses,
    optimizers,
    orders,
    outputs,
    problems,
    schedules,
    success,
)
from fastbp.choices.family import Choice, Family, Parameter, family
from fastbp.kernels.jit import inlined

WARMUP = Parameter("warmup", Annotated[int, Ge(0), Le(10**12)], 0)

FAMILIES: dict[str, Family] = {
    "problem": family("problem", problems, takes=0),
    "init": family("init", inits, takes=7),
    "activation": family("activation", activations, takes=1),
    "output": family("output", outputs, takes=1),
    "order": family("order", orders, takes=5),
    "schedule": family("schedule", schedules, takes=3, shared=(WARMUP,)),
    "loss": family("loss", losses, takes=3),
    "optimizer": family("optimizer", optimizers, takes=0),
    "success": family("success", success, takes=1),
}

ParameterArrays = tuple[NDArray[np.int64], NDArray[np.float64]]
"""The values of a choice's parameters as compiled code takes them: the integers and the reals."""


def parameter_arrays(choice: Choice, values: Sequence[float]) -> ParameterArrays:
    """The values of a choice's parameters for `compiled_choice`.

    The arrays are never empty, so that every choice has the same types.
    """
    integers: list[float] = []
    reals: list[float] = []
    for parameter, value in zip(choice.parameters, values, strict=True):
        (integers if _is_integer(parameter) else reals).append(value)
    return np.array(integers or [0], np.int64), np.array(reals or [0.0], np.float64)


def _is_integer(parameter: Parameter) -> bool:
    annotation = parameter.annotation
    return (get_args(annotation) or (annotation,))[0] is int


def compiled_choice(key: str, name: str) -> Callable[[Any, Any], Any]:
    """A choice of a family for compiled code.

    It is called with its `ParameterArrays` and a tuple of the arguments that every function of the
    family takes.
    """
    choice = FAMILIES[key].choices[name]
    function = inlined(choice.function)

    def call(_parameters: Any, arguments: Any) -> Any:
        return function(*arguments)

    kinds = [_is_integer(p) for p in choice.parameters]
    call = inlined(call)
    # The last parameter first: each call adds one to the arguments that it was called with.
    for i in reversed(range(len(kinds))):
        # The array, 0 for the integers and 1 for the reals, and the position in it.
        call = _with_one_more(call, 0 if kinds[i] else 1, kinds[:i].count(kinds[i]))
    return call


def _with_one_more(call: Callable[..., Any], kind: int, place: int) -> Callable[..., Any]:
    def longer(parameters: Any, arguments: Any) -> Any:
        return call(parameters, (*arguments, parameters[kind][place]))

    return inlined(longer)
