"""How choices are named and read: a module is a family, each public function in it a choice.

Nothing is registered by hand. A function `glorot_normal` in `inits.py` is the choice
`glorot-normal` of the key `init`. The engine passes the first arguments of every function. Further
arguments are parameters of the choice, which a user writes after a colon: `blocked:3`,
`step:every=10,factor=0.5`.
"""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, TypeVar, get_type_hints

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)


def marked(**marks: Any) -> Callable[[F], F]:
    """Give a choice what the engine must know of it besides its function.

    Parameters
    ----------
    **marks
        Of a schedule `needs_horizon`, if its rates depend on the budget: setups that differ in
        nothing but their budget are trained once, unless their schedule is so marked. Of a loss
        `delta`, a function of an output, its target and f′; of an activation `slope`, f′ as a
        function of a, and `saturates`, the activations between which a unit is not saturated; of an
        output unit also `reaches`, the smallest and the largest target that it can come near to.
    """

    def mark(choice: F) -> F:
        vars(choice).update(marks)
        return choice

    return mark


class Parameter(NamedTuple):
    """A parameter of a choice.

    Parameters
    ----------
    name
        How a user writes it.
    annotation
        Its type, with limits from `annotated_types`.
    default
        Its default; `inspect.Parameter.empty` where it must be written.
    """

    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        """Whether it must be written."""
        return self.default is inspect.Parameter.empty


class Choice(NamedTuple):
    """One choice of a family.

    Parameters
    ----------
    name
        How a user writes it.
    function
        The function that does it.
    parameters
        Those that a user may write after the name.
    """

    name: str
    function: Function
    parameters: tuple[Parameter, ...]

    def mark(self, name: str, default: Any = None) -> Any:
        """What the function is `marked` with."""
        return getattr(self.function, name, default)

    @property
    def usage(self) -> str:
        """How a sweep file writes it: `blocked:K`, `step:every=EVERY,factor=FACTOR`."""
        names = [p.name for p in self.parameters]
        if len(names) == 1 and (
            len(names[0]) == 1 or names[0] in ("bits", "path", "share", "level")
        ):
            return f"{self.name}:{names[0].upper()}"
        usages = ",".join(f"{name}={name.upper()}" for name in names)
        return f"{self.name}:{usages}" if usages else self.name


class Family(NamedTuple):
    """All choices of one key, by name; `shared` are parameters that each of them may take."""

    key: str
    choices: dict[str, Choice]
    shared: tuple[Parameter, ...] = ()


def family(key: str, module: ModuleType, takes: int, shared: tuple[Parameter, ...] = ()) -> Family:
    """The choices that a module defines.

    Parameters
    ----------
    key
        The key of the sweep file.
    module
        The module with a function for each choice.
    takes
        How many leading arguments the engine passes to every function.
    shared
        Parameters that every choice of the family may take, which the engine acts on.

    Raises
    ------
    ValueError
        If two functions have the same name.
    """
    choices: dict[str, Choice] = {}
    for identifier, function in vars(module).items():
        is_public = inspect.isfunction(function) and not identifier.startswith("_")
        if not is_public or function.__module__ != module.__name__:
            continue
        name = identifier.rstrip("_").replace("_", "-")
        if name in choices:
            raise ValueError(f"{module.__name__} defines the choice {name!r} twice")
        hints = get_type_hints(function, include_extras=True)
        arguments = list(inspect.signature(function).parameters.values())[takes:]
        parameters = tuple(Parameter(p.name, hints[p.name], p.default) for p in arguments)
        choices[name] = Choice(name, function, parameters)
    return Family(key, choices, shared)
