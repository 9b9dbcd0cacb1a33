"""What a user writes, read and written back: TOML, `KEY=VALUE`, choices such as `blocked:3`; and how mistakes are said.

Everything here raises `ValueError` with the rest of a line, "given …, allowed: …"; who calls knows the file and the key and puts
them before it. A line is always one line: what was given is shortened and its control characters are escaped.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from os import PathLike, fspath
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from fastbp.choices.family import Choice, Family

MOST_BYTES = 10_000_000
"""A sweep file of 100,000 values is about 1 MB; what is larger is some other file."""

SHOWN = 60
"""Characters of a value that a line shows."""

MOST_DIGITS = 4300
"""Past this Python reads no integer, and says not where it stands."""

MOST_WRONG = 8
"""Mistakes in one choice that a line tells."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

_DEEP_KEY = re.compile(r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){20}""", re.MULTILINE)
"""A key of more than twenty parts, a.a.a and so on, for which the parser takes time and memory by their square."""

_NESTED = "nested too deeply, allowed: the tables setup and grid"


class SweepError(ValueError):
    """Every mistake found in a sweep, one line each in `lines`; as a string, the lines."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines: list[str] = list(lines)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[type["SweepError"], tuple[list[str]]]:
        return SweepError, (self.lines,)


# Numbers


def as_number(value: object) -> object:
    """NumPy scalars as Python's, whole floats as integers: 1 = 1.0, 1e6 counts updates, −0.0 = 0.0; True stays what it is."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = BeforeValidator(as_number)
Whole = Annotated[int, Number]
Real = Annotated[float, Number]


# How values are shown


def plain(text: str, most: int = SHOWN) -> str:
    """Text cut to `most` characters, with everything that is not printable escaped: never more than one line."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object) -> str:
    """A value as a line shows it, about as TOML writes it, in at most `SHOWN` characters."""
    return plain(_spelled(value, 3))


def _spelled(value: object, depth: int) -> str:
    match value:
        case bool() | np.bool_():
            return "true" if value else "false"
        case str():
            return repr(value[:SHOWN])
        case int() if abs(value) >= 10**SHOWN:
            return f"an integer of {int(value.bit_length() * math.log10(2)) + 1:,} digits or so"
        case int() | float() | np.integer() | np.floating():
            return str(value)
        case np.ndarray() if value.ndim == 0:
            return _spelled(value.item(), depth)
        case Mapping() | list() | tuple() | np.ndarray() if depth == 0:
            return "…"
        case Mapping():
            return "{" + ", ".join(f"{k} = {_spelled(v, depth - 1)}" for k, v in islice(value.items(), 8)) + "}"
        case list() | tuple() | range() | np.ndarray():
            return "[" + ", ".join(_spelled(item, depth - 1) for item in islice(value, 30)) + "]"
        case None:
            return "None"
        case _:
            return str(value) if hasattr(value, "isoformat") else type(value).__name__


def nearest(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of the known words is close, else nothing."""
    if not isinstance(word, str):
        return ""
    close = difflib.get_close_matches(word[:100].lower(), list(known), 1, 0.6)
    return f"; did you mean {shown(close[0])}?" if close else ""


def words(hint: Any) -> str:
    """What an annotated type allows, in words: `an integer from 1 to 4,096`, `a number > 0 and ≤ 1`."""
    limits: tuple[Any, ...] = ()
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        for item in more:  # pydantic's Field keeps limits in its metadata
            limits += tuple(getattr(item, "metadata", (item,)))
    if get_origin(hint) is Literal:
        return ("one of " if len(get_args(hint)) > 1 else "") + ", ".join(options(hint))
    if get_origin(hint) is tuple:
        sizes = [m.min_length for m in limits if isinstance(m, MinLen)] + [m.max_length for m in limits if isinstance(m, MaxLen)]
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
    bounds = [f"{signs[type(m)][0]} {number(getattr(m, signs[type(m)][1]), ',')}" for m in limits if type(m) in signs]
    return f"{noun} {' and '.join(bounds)}".strip()


def options(hint: Any) -> list[str]:
    """The words that an annotated type allows, where it allows some."""
    if get_origin(hint) is Literal:
        return [str(option) for option in get_args(hint)]
    return [option for part in get_args(hint) for option in options(part)]


def number(value: Any, style: str = "") -> str:
    """A number in its shortest spelling that reads back alike; whole floats without `.0`. Style `,` groups thousands."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return f"{value:{style}}" if isinstance(value, int) else repr(float(value))


# Choices


class Call(NamedTuple):
    """A choice with its parameters: `values` of its own, in the order of its signature, and of those its family shares."""

    family: Family
    choice: Choice
    values: tuple[Any, ...]
    shared: tuple[Any, ...]

    @property
    def spelling(self) -> str:
        """The canonical spelling: parameters in the order of the signature, defaults left out, numbers in shortest form."""
        own = list(zip(self.choice.parameters, self.values, strict=True))
        all_of_them = [*own, *zip(self.family.shared, self.shared, strict=True)]
        written = [(p.name, v if isinstance(v, str) else number(v)) for p, v in all_of_them if p.required or v != p.default]
        parts = [v if _positional(self.choice) and name == own[0][0].name else f"{name}={v}" for name, v in written]
        return ":".join([self.choice.name, *([",".join(parts)] if parts else [])])


def _positional(choice: Choice) -> bool:
    """Whether a choice's only parameter is written without its name, as its usage shows it."""
    return len(choice.parameters) == 1 and "=" not in choice.usage


def usages(family: Family) -> str:
    """All choices of a family as they are written, and what each may be followed by."""
    extra = f" (each may take {', '.join(f'{p.name}={p.name.upper()}' for p in family.shared)})" if family.shared else ""
    return ", ".join(choice.usage for choice in family.choices.values()) + extra


def read_call(family: Family, text: object) -> Call:
    """Read `name`, `name:value` or `name:key=value,key=value`. Raises ValueError that names every parameter that is wrong."""
    name, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    choice = family.choices.get(name.strip())
    if choice is None:
        raise ValueError(f"given {shown(text)}, allowed: {usages(family)}{nearest(name, family.choices)}")
    parameters = {p.name: p for p in (*choice.parameters, *family.shared)}
    given: dict[str, str] = {}
    wrong: list[str] = []
    text_alone = [p.annotation for p in parameters.values()] == [str]  # such as a path, which may have commas and = in it
    parts = ([rest] if text_alone else rest.split(",")) if colon else []
    for position, part in enumerate(parts):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if position == 0 and len(choice.parameters) == 1 and (not equals or (text_alone and key not in parameters)):
            key, value = choice.parameters[0].name, part.strip()
        elif key not in parameters or not equals:
            hint = nearest(key, parameters) if equals else ""
            usage = "" if any(each.startswith(choice.usage) for each in wrong) else f"{choice.usage}, "
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
        more = [f"and {len(told) - MOST_WRONG:,} more"] if len(told) > MOST_WRONG else []
        raise ValueError(f"given {shown(text)}, allowed: {', '.join([*told[:MOST_WRONG], *more])}")
    return Call(family, choice, tuple(values[p.name] for p in choice.parameters), tuple(values[p.name] for p in family.shared))


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))


# TOML


def read_file(path: str | PathLike[str]) -> str:
    """The text of a sweep file. Raises ValueError where there is none."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {plain(error.strerror or type(error).__name__)}") from None
    except ValueError:  # a null byte or a lone surrogate in the path
        raise ValueError("no such file") from None
    if len(raw) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes, allowed: a sweep file")
    try:
        return raw.decode("utf-8-sig")  # Windows editors put a mark first
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"not UTF-8 text: byte 0x{raw[error.start]:02x} in line {line}, allowed: TOML") from None


def read_toml(text: str) -> dict[str, Any]:
    """TOML as a dictionary. Raises ValueError that says where it is not TOML."""
    if _DEEP_KEY.search(text):
        raise ValueError(_NESTED)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = "; words stand in quotes" if "Invalid value" in str(error) else ""
        raise ValueError(f"not TOML: {plain(str(error), 120)}{hint}") from None
    except RecursionError:
        raise ValueError(_NESTED) from None
    except ValueError:
        long = next((run for run in re.finditer(r"[0-9_]+", text) if len(run[0]) > MOST_DIGITS), None)
        place = f" in line {text.count(chr(10), 0, long.start()) + 1}" if long else ""
        key = re.search(r"([\w.-]+)\s*=[^=\n]*$", text[: long.start()][-200:]) if long else None
        raise ValueError(f"{key[1] + ': ' if key else ''}an integer of more than {MOST_DIGITS:,} digits{place}") from None


def read_value(text: str) -> Any:
    """The VALUE of `--set KEY=VALUE`: TOML, or a bare word as a string; in a list that is not TOML, each item by this rule."""
    try:
        data = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        if not isinstance(error, tomllib.TOMLDecodeError):
            raise ValueError(f"given an integer of more than {MOST_DIGITS:,} digits") from None
        inner = text.strip()
        if inner.startswith("[") and inner.endswith("]") and not set(inner[1:-1]) & set("[]\"'"):
            return [read_value(item.strip()) for item in inner[1:-1].split(",")]
        return text.strip()
    return data["value"] if len(data) == 1 else text


def toml(value: Any) -> str:
    """A value as TOML: true, numbers, strings and lists of them, `{…}` for dictionaries."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number(value)
        case str():
            return '"' + "".join(_ESCAPES.get(c, c) if c.isprintable() else _escaped(c) for c in value) + '"'
        case Mapping():
            return "{" + ", ".join(f"{toml_key(k)} = {toml(v)}" for k, v in value.items()) + "}"
        case _:
            return "[" + ", ".join(toml(item) for item in value) + "]"


_ESCAPES = {'"': '\\"', "\\": "\\\\"}


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 2**16 else f"\\U{ord(character):08x}"


def toml_key(key: str) -> str:
    """A key as TOML writes it: bare where that is allowed, else in quotes."""
    return key if _BARE_KEY.fullmatch(key) else toml(key)


def named(path: str | PathLike[str]) -> str:
    """A path as lines show it."""
    return plain(str(fspath(path)), 200)


def as_list(value: object) -> Sequence[Any] | None:
    """A list, tuple, range or array (from Python) as a sequence; None for anything else."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim else None
    return value if isinstance(value, list | tuple | range) else None
