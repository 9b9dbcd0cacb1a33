"""Parse and check the values of a setup: numbers, lists, and choices such as `blocked:3`.

A choice is the name of a function of `fastbp/choices`, with its parameters after a colon. A family
is all choices for one key, such as `order`. Invalid values raise ValueError with the message
"given …, allowed: …"; the caller puts the file and the key before it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import numpy as np
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from fastbp.choices import problems
from fastbp.choices.families import FAMILIES
from fastbp.choices.family import Choice, Family, Parameter
from fastbp.config.toml_text import as_list
from fastbp.problems import table_files, targets
from fastbp.schema.keys import ALTERNATIVE, KEYS
from fastbp.schema.text import first_of, nearest, number, plain, refusal

MAX_WRONG = 8
"""The most mistakes in one choice that a message names."""

MAX_ITEMS = 1025
"""The most items of a list that are checked: one more than the 1,024 that a key may have."""

SWEEP_KEYS = ("title", "seeds", "setup", "grid", "published")
"""The keys at the top level of a sweep file."""


# Values of one type


def as_number(value: object) -> object:
    """Convert NumPy scalars to Python scalars, and floats without a fraction to integers.

    So 1 and 1.0 are one value, 1e6 can be a number of updates, and −0.0 is 0. Other values, also
    True, are returned unchanged.
    """
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(as_number)]
"""An integer, which may be written as 1e6 or 1.0."""


@lru_cache(1024)  # asked for each key of each setup of a grid
def types_of(annotation: Any) -> frozenset[Any]:
    """Collect an annotation and all annotations nested in it, such as that of a list's items."""
    return frozenset({annotation}).union(*map(types_of, get_args(annotation)))


def checked_value(annotation: Any, value: object) -> Any:
    """Check a value against an annotated type, and return it in canonical form.

    Canonical are numbers as `as_number` returns them, and tuples in place of lists. Where a list is
    allowed, a single value becomes a tuple of one.

    Raises
    ------
    ValueError
        If the type does not allow the value: "given …, allowed: …".
    """
    types, prepared = types_of(annotation), value
    try:
        if any(get_origin(each) is tuple for each in types):
            items = as_list(value)
            prepared = tuple(map(as_number, [value] if items is None else items[:MAX_ITEMS]))
        elif types & {int, float}:
            prepared = as_number(value)
        return _adapter(annotation).validate_python(prepared)
    except (ValidationError, RecursionError):
        raise ValueError(
            refusal(value, words(annotation))
            + nearest(value, [each for each in types if isinstance(each, str)])  # of a Literal
        ) from None


@lru_cache(maxsize=256)
def _adapter(annotation: Any, strict: bool = True) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=ConfigDict(strict=strict, allow_inf_nan=False))


def words(annotation: Any) -> str:
    """Say what an annotated type allows: `an integer from 1 to 4,096`, `a number > 0`."""
    return _in_words(_adapter(annotation).json_schema())


def _in_words(schema: Mapping[str, Any]) -> str:
    """Say what a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(_in_words(part) for part in schema["anyOf"] if part != {"type": "null"})
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "items" in schema:
        return (
            f"a list of {schema['minItems']:,} to {schema['maxItems']:,} items, "
            f"each {_in_words(schema['items'])}"
        )
    noun = _NOUNS["text" if "maxLength" in schema else schema["type"]].format_map(schema)
    if schema.keys() >= {"minimum", "maximum"}:
        return f"{noun} from {number(schema['minimum'], ',')} to {number(schema['maximum'], ',')}"
    limits = [f"{sign} {number(schema[key], ',')}" for key, sign in _SIGNS if key in schema]
    return f"{noun} {' and '.join(limits)}".strip()


_NOUNS = {
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "text": "a text of {minLength} to {maxLength} characters",
}
_SIGNS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


# Choices


class Call(NamedTuple):
    """A choice and the values of its parameters, parsed from a text such as `blocked:3`.

    Parameters
    ----------
    family
        All choices for the same key.
    choice
        The chosen one.
    values
        The values of its own parameters, in the order of its signature.
    shared
        The values of the parameters that every choice of the family takes, such as `warmup`.
    """

    family: Family
    choice: Choice
    values: tuple[Any, ...]
    shared: tuple[Any, ...]

    @property
    def spelling(self) -> str:
        """The call as text in canonical form, which `read_call` accepts.

        Parameters are in the order of the signature, those at their defaults are left out, and
        numbers are in their shortest form.
        """
        parameters = (*self.choice.parameters, *self.family.shared)
        parts = []
        for parameter, value in zip(parameters, (*self.values, *self.shared), strict=True):
            if parameter.required or value != parameter.default:
                written = value if isinstance(value, str) else number(value)
                bare = self.choice.usage == f"{self.choice.name}:{parameter.name.upper()}"
                parts.append(written if bare else f"{parameter.name}={written}")
        return f"{self.choice.name}:{','.join(parts)}" if parts else self.choice.name


def usages(family: Family) -> str:
    """List all choices of a family as users write them, and the parameters that each may take."""
    text = ", ".join(choice.usage for choice in family.choices.values())
    shared = ", ".join(f"{p.name}={p.name.upper()}" for p in family.shared)
    return f"{text} (each may take {shared})" if shared else text


def read_call(family: Family, text: object) -> Call:
    """Parse a choice written as `name`, `name:value` or `name:key=value,key=value`.

    Raises
    ------
    ValueError
        If the text is invalid. The message "given …, allowed: …" names up to `MAX_WRONG` mistakes.
    """
    name, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    choice = family.choices.get(name.strip())
    if choice is None:
        raise ValueError(refusal(text, usages(family) + nearest(name, family.choices)))
    parameters = {p.name: p for p in (*choice.parameters, *family.shared)}
    wrong: list[str] = []
    written = _written(choice, parameters, rest, wrong) if colon else {}
    values = _values(choice, parameters, written, wrong)
    if wrong:
        raise ValueError(refusal(text, ", ".join(first_of([*dict.fromkeys(wrong)], MAX_WRONG))))
    count = len(choice.parameters)
    return Call(family, choice, tuple(values[:count]), tuple(values[count:]))


def _written(
    choice: Choice, parameters: Mapping[str, Parameter], rest: str, wrong: list[str]
) -> dict[str, str]:
    """Split the text after the colon of a choice into one text for each parameter.

    Returns the texts by the parameter's name. Mistakes are added to `wrong`.
    """
    # A text that is the only parameter, such as a path, may contain commas and =.
    is_text = [p.annotation for p in parameters.values()] == [str]
    written: dict[str, str] = {}
    is_told = any(text.startswith(choice.usage) for text in wrong)
    for position, part in enumerate([rest] if is_text else rest.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        unnamed = not equals or (is_text and key not in parameters)
        if position == 0 and len(choice.parameters) == 1 and unnamed:
            key, value = choice.parameters[0].name, part.strip()
        elif key not in parameters or not equals:
            usage, is_told = "" if is_told else f"{choice.usage}, ", True
            wrong.append(
                f"{usage}not {plain(repr(part.strip()), 30)}"
                f"{nearest(key, parameters) if equals else ''}"
            )
            continue
        if key in written:
            wrong.append(f"{key} once")
        written[key] = value
    return written


def _values(
    choice: Choice,
    parameters: Mapping[str, Parameter],
    written: Mapping[str, str],
    wrong: list[str],
) -> list[Any]:
    """Convert the texts in `written` to values, in the order of `parameters`.

    Invalid and missing parameters are left out; mistakes are added to `wrong`.
    """
    values = []
    for name, parameter in parameters.items():
        if name in written:
            try:
                values.append(
                    _adapter(parameter.annotation, strict=False).validate_python(written[name])
                )
            except ValidationError:
                wrong.append(f"{name} {words(parameter.annotation)}")
        elif not parameter.required:
            values.append(parameter.default)
        elif not wrong:
            wrong.append(choice.usage)
    return values


# Keys of a setup


class Given(NamedTuple):
    """A value as the user wrote it, before it is checked.

    Parameters
    ----------
    place
        Where the user wrote it, for messages: `founding.toml: setup.lr`, `--set lr`.
    value
        The value.
    folder
        The folder that paths in the value are relative to.
    """

    place: str
    value: Any
    folder: str = ""


Placed = dict[Any, Given]
"""Values as the user wrote them, by key."""


def allowed(key: str) -> str:
    """Say which values a key of a setup may have."""
    return usages(FAMILIES[key]) if key in FAMILIES else words(KEYS[key].annotation)


def checked(given: Placed, lines: list[str]) -> dict[str, Any]:
    """Check keys of a setup and their values.

    Parameters
    ----------
    given
        The values as written, by key.
    lines
        Gets a message for each unknown key and each invalid value.

    Returns
    -------
    dict
        The valid values in canonical form, by key.
    """
    values: dict[str, Any] = {}
    for key, (place, value, folder) in given.items():
        try:
            if key not in KEYS:
                raise ValueError(unknown(key, KEYS))
            values[key] = _checked_key(key, value, folder)
        except ValueError as error:
            lines += [f"{place}: {text}" for text in str(error).split("\n")]
    return values


def _checked_key(key: str, value: object, folder: str) -> Any:
    """Check the value of one key, and return it in canonical form.

    `folder`: the folder that a path in the value is relative to. Raises ValueError "given …,
    allowed: …", with one line for each mistake.
    """
    if key == "activation":
        layers = value.split(LAYERS) if isinstance(value, str) else as_list(value) or [value]
        return joined([read_call(FAMILIES[key], each).spelling for each in layers[:MAX_ITEMS]])
    if key == "bias_init" and isinstance(value, str) and value not in ("init", "zeros"):
        with suppress(ValueError):
            value = float(value)  # as the table of runs has it
    if key not in FAMILIES:
        return checked_value(KEYS[key].annotation, value)
    call = read_call(FAMILIES[key], value)
    if call.choice.function is problems.file:
        path = table_files.located(call.values[0], folder)
        targets.check(path)
        return f"file:{path}"
    if key == "problem" and (why := _wrong_problem(call.choice.function, tuple(call.values))):
        raise ValueError(refusal(value, f"{call.choice.usage}; {plain(why, 120)}"))
    return call.spelling


@lru_cache(1024)  # a list may have the same problem many times
def _wrong_problem(function: Callable[..., object], values: tuple[object, ...]) -> str:
    """What is wrong with the values of a problem; annotations cannot say all, as a power of two."""
    try:
        function(*values)
    except ValueError as error:
        return str(error)
    return ""


LAYERS = " | "
"""What stands between the activations of hidden layers that differ."""


def joined(activations: Sequence[str]) -> str:
    """The activations of all hidden layers as one text: one of them where all are the same."""
    return activations[0] if len(set(activations)) == 1 else LAYERS.join(activations)


def file_path(problem: str) -> str | None:
    """The PATH of a problem `file:PATH`; None for any other problem."""
    return problem.removeprefix("file:") if problem.startswith("file:") else None


def problem_name(problem: str) -> str:
    """The problem as tables and messages show it: `file:NAME`, without the file's folder."""
    path = file_path(problem)
    return problem if path is None else f"file:{os.path.basename(path)}"


def unknown(key: object, known: Iterable[str]) -> str:
    """The message about an unknown key: the known ones, and a hint at a similar one."""
    names = list(known)
    elsewhere = f"; did you mean 'setup.{key}'?" * (key in KEYS)
    before = f"; did you mean '{key}' before [setup]?" * (key in SWEEP_KEYS)
    return f"unknown key, allowed: {', '.join(names)}{nearest(key, names) or elsewhere or before}"


def incomplete(given: Placed, place: str) -> Iterator[str]:
    """Yield a message if the problem or the budget is missing, or if the budget is given twice.

    `place`: the beginning of messages about a missing key, such as `founding.toml: setup.`.
    """
    if "problem" not in given:
        yield f"{place}problem: not given, allowed: {allowed('problem')}"
    if not given.keys() & {"updates", "epochs"}:
        yield f"{place}updates: not given, allowed: one of updates and epochs"
    if given.keys() >= {"updates", "epochs"}:
        yield f"{given['epochs'].place}: given together with updates, allowed: only one of the two"


def complete(keys: Mapping[str, Any]) -> bool:
    """Whether these keys have a problem, and either `updates` or `epochs`."""
    return "problem" in keys and len(ALTERNATIVE.keys() & keys.keys()) == 1
