"""All families, by the key of the sweep file that chooses from them."""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, get_args

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from fastbp.choices import inits, losses, orders, problems, schedules
from fastbp.choices.family import Choice, Family, Parameter, family
from fastbp.kernels.jit import inlined, one_of

WARMUP = Parameter("warmup", Annotated[int, Ge(0), Le(10**12)], 0)

PROBLEMS = family("problem", problems, takes=0)
INITS = family("init", inits, takes=7)
ORDERS = family("order", orders, takes=5)
SCHEDULES = family("schedule", schedules, takes=3, shared=(WARMUP,))
LOSSES = family("loss", losses, takes=4)

FAMILIES: dict[str, Family] = {f.key: f for f in (PROBLEMS, INITS, ORDERS, SCHEDULES, LOSSES)}

Own = tuple[NDArray[np.int64], NDArray[np.float64]]
"""The values of a choice's own parameters, as compiled code takes them: the integers, and the
reals."""


def own_values(choice: Choice, values: Sequence[float]) -> Own:
    """The values of a choice's own parameters, for `compiled`. The arrays are never empty, so that
    they always have one type.
    """
    integers = [v for p, v in zip(choice.parameters, values, strict=True) if _is_integer(p)]
    reals = [v for p, v in zip(choice.parameters, values, strict=True) if not _is_integer(p)]
    return np.array(integers or [0], np.int64), np.array(reals or [0.0], np.float64)


@cache
def looks_at_the_end(schedule: Choice) -> bool:
    """Whether a schedule's rates depend on the budget: not where its function calls that argument
    `_span`.
    """
    return not list(inspect.signature(schedule.function).parameters)[2].startswith("_")


@cache
def compiled_choices(key: str) -> Callable[[Any, Any], Any]:
    """All functions of a family as one, for compiled code: `chosen(code, (own, arguments))`."""
    return one_of([_with_own(choice) for choice in FAMILIES[key].choices.values()])


def _is_integer(parameter: Parameter) -> bool:
    annotation = parameter.annotation
    return (get_args(annotation) or (annotation,))[0] is int


def _with_own(choice: Choice) -> Callable[..., Any]:
    function = inlined(choice.function)

    def call(_own: Any, given: Any) -> Any:
        return function(*given)

    kinds = [_is_integer(p) for p in choice.parameters]
    # The last of its own parameters first: each call hands on what it was given, and one more.
    call = inlined(call)
    for i in reversed(range(len(kinds))):
        # Where the value lies: 0 for the integers, 1 for the reals, and its position there.
        call = _with_one_more(call, 0 if kinds[i] else 1, kinds[:i].count(kinds[i]))
    return call


def _with_one_more(call: Callable[..., Any], kind: int, place: int) -> Callable[..., Any]:
    def longer(own: Any, given: Any) -> Any:
        return call(own, (*given, own[kind][place]))

    return inlined(longer)
