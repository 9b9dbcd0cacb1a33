"""How a choice is written: `blocked:3`, `step:every=10,factor=0.5`."""

from functools import lru_cache
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from fastbp.choices.family import Choice, Family
from fastbp.schema.text import nearest, number, plain, shown

MAX_WRONG = 8
"""Mistakes in one choice that a line tells."""


# Numbers


def as_number(value: object) -> object:
    """NumPy scalars as Python's, whole floats as integers: 1 = 1.0, 1e6 counts updates, −0.0 = 0.0;
    True stays what it is.
    """
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = BeforeValidator(as_number)
Whole = Annotated[int, Number]
Real = Annotated[float, Number]


def words(hint: Any) -> str:
    """What an annotated type allows, in words: `an integer from 1 to 4,096`, `a number > 0 and ≤
    1`.
    """
    limits: tuple[Any, ...] = ()
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        for item in more:  # pydantic's Field keeps limits in its metadata
            limits += tuple(getattr(item, "metadata", (item,)))
    if get_origin(hint) is Literal:
        return ("one of " if len(get_args(hint)) > 1 else "") + ", ".join(options(hint))
    if get_origin(hint) is tuple:
        sizes = [m.min_length for m in limits if isinstance(m, MinLen)] + [
            m.max_length for m in limits if isinstance(m, MaxLen)
        ]
        return f"a list of {' to '.join(f'{s:,}' for s in sizes) or 'any length'}, each {words(get_args(hint)[0])}"
    if hint not in (bool, int, float, str):
        return " or ".join(words(part) for part in get_args(hint) if part is not NoneType)
    if hint is str and any(isinstance(m, MinLen) for m in limits):
        return "a text that is not empty"
    noun = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}[hint]
    low = [m.ge for m in limits if isinstance(m, Ge)]
    high = [m.le for m in limits if isinstance(m, Le)]
    if low and high:
        return f"{noun} from {number(low[0], ',')} to {number(high[0], ',')}"
    signs = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    bounds = [
        f"{signs[type(m)][0]} {number(getattr(m, signs[type(m)][1]), ',')}"
        for m in limits
        if type(m) in signs
    ]
    return f"{noun} {' and '.join(bounds)}".strip()


def options(hint: Any) -> list[str]:
    """The words that an annotated type allows, where it allows some."""
    if get_origin(hint) is Literal:
        return [str(option) for option in get_args(hint)]
    return [option for part in get_args(hint) for option in options(part)]


# Choices


class Call(NamedTuple):
    """A choice with its parameters: `values` of its own, in the order of its signature, and of
    those its family shares.
    """

    family: Family
    choice: Choice
    values: tuple[Any, ...]
    shared: tuple[Any, ...]

    @property
    def spelling(self) -> str:
        """The canonical spelling: parameters in the order of the signature, defaults left out,
        numbers in shortest form.
        """
        own = list(zip(self.choice.parameters, self.values, strict=True))
        all_of_them = [*own, *zip(self.family.shared, self.shared, strict=True)]
        written = [
            (p.name, v if isinstance(v, str) else number(v))
            for p, v in all_of_them
            if p.required or v != p.default
        ]
        parts = [
            v if _positional(self.choice) and name == own[0][0].name else f"{name}={v}"
            for name, v in written
        ]
        return ":".join([self.choice.name, *([",".join(parts)] if parts else [])])


def _positional(choice: Choice) -> bool:
    """Whether a choice's only parameter is written without its name, as its usage shows it."""
    return len(choice.parameters) == 1 and "=" not in choice.usage


def usages(family: Family) -> str:
    """All choices of a family as they are written, and what each may be followed by."""
    extra = (
        f" (each may take {', '.join(f'{p.name}={p.name.upper()}' for p in family.shared)})"
        if family.shared
        else ""
    )
    return ", ".join(choice.usage for choice in family.choices.values()) + extra


def read_call(family: Family, text: object) -> Call:
    """Read `name`, `name:value` or `name:key=value,key=value`. Raises ValueError that names every
    parameter that is wrong.
    """
    name, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    choice = family.choices.get(name.strip())
    if choice is None:
        raise ValueError(
            f"given {shown(text)}, allowed: {usages(family)}{nearest(name, family.choices)}"
        )
    parameters = {p.name: p for p in (*choice.parameters, *family.shared)}
    given: dict[str, str] = {}
    wrong: list[str] = []
    text_alone = [p.annotation for p in parameters.values()] == [
        str
    ]  # such as a path, which may have commas and = in it
    parts = ([rest] if text_alone else rest.split(",")) if colon else []
    for position, part in enumerate(parts):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if (
            position == 0
            and len(choice.parameters) == 1
            and (not equals or (text_alone and key not in parameters))
        ):
            key, value = choice.parameters[0].name, part.strip()
        elif key not in parameters or not equals:
            hint = nearest(key, parameters) if equals else ""
            usage = (
                "" if any(each.startswith(choice.usage) for each in wrong) else f"{choice.usage}, "
            )
            wrong.append(f"{usage}not {plain(repr(part.strip()), 30)}{hint}")
            continue
        if key in given:
            wrong.append(f"{key} once")
        given[key] = value
    values: dict[str, Any] = {}
    for key, parameter in parameters.items():
        if key not in given and parameter.required:
            if not wrong:
                wrong.append(choice.usage)
        elif key in given:
            try:
                values[key] = _adapter(parameter.annotation).validate_python(given[key])
            except ValidationError:
                wrong.append(f"{key} {words(parameter.annotation)}")
        else:
            values[key] = parameter.default
    if wrong:
        told = list(dict.fromkeys(wrong))
        more = [f"and {len(told) - MAX_WRONG:,} more"] if len(told) > MAX_WRONG else []
        raise ValueError(f"given {shown(text)}, allowed: {', '.join([*told[:MAX_WRONG], *more])}")
    return Call(
        family,
        choice,
        tuple(values[p.name] for p in choice.parameters),
        tuple(values[p.name] for p in family.shared),
    )


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))
