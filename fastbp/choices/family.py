"""How choices are found, named and read: a module is a family, each public function in it is a
choice.

Nothing is registered by hand. A function `glorot_normal` in `inits.py` is the choice
`glorot-normal` of the key `init`; its arguments past those that the family's engine passes are its
own parameters, written after a colon: `blocked:3`, `step:every=10,factor=0.5`.
"""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, get_type_hints

Function = Callable[..., Any]


class Parameter(NamedTuple):
    """A parameter of a choice: its name, its annotated type (with limits, as `annotated_types`
    writes them), its default.
    """

    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        """Whether it must be written."""
        return self.default is inspect.Parameter.empty


class Choice(NamedTuple):
    """One choice of a family: its number in the family, its function and the parameters that are
    its own.
    """

    name: str
    code: int
    function: Function
    parameters: tuple[Parameter, ...]

    @property
    def usage(self) -> str:
        """How it is written in a sweep file: `blocked:K`, `step:every=EVERY,factor=FACTOR`."""
        match self.parameters:
            case ():
                return self.name
            case (only,) if len(only.name) == 1 or only.name in ("bits", "path"):
                return f"{self.name}:{only.name.upper()}"
            case several:
                return self.name + ":" + ",".join(f"{p.name}={p.name.upper()}" for p in several)


class Family(NamedTuple):
    """All choices of one key, by name."""

    key: str
    choices: dict[str, Choice]
    shared: tuple[Parameter, ...] = ()

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions in the order of their codes."""
        return tuple(choice.function for choice in self.choices.values())


def family(key: str, module: ModuleType, takes: int, shared: tuple[Parameter, ...] = ()) -> Family:
    """The choices that a module defines.

    Parameters: `key` of the sweep file; `takes`, how many leading arguments the engine passes to
    every function of the family; `shared`, parameters that every choice of the family also takes,
    handled by the engine.

    Raises ValueError where two functions would have the same name.
    """
    choices: dict[str, Choice] = {}
    for identifier, function in vars(module).items():
        if (
            identifier.startswith("_")
            or not inspect.isfunction(function)
            or function.__module__ != module.__name__
        ):
            continue
        name = identifier.rstrip("_").replace("_", "-")
        if name in choices:
            raise ValueError(f"{module.__name__} defines the choice {name!r} twice")
        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[takes:]
        parameters = tuple(Parameter(p.name, hints[p.name], p.default) for p in own)
        choices[name] = Choice(name, len(choices), function, parameters)
    return Family(key, choices, shared)
