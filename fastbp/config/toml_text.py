"""Read and write TOML and `KEY=VALUE`.

If something is wrong, functions raise `ValueError` with a message of one line. The caller puts the
file and the key before it.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from fastbp.schema.text import bad_byte, is_deep, number, plain
from fastbp.store.safe_files import MAX_SWEEP, named_file

MAX_DIGITS = 4300
"""The most digits of an integer: Python refuses more, and does not say where they are."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

_WORD_LIST = re.compile(r"""\[(?:[^\[\]"']|\[[^\[\]"']*\])*\]""")
_INNER_LIST = re.compile(r"\[[^\]]*\]")

_NESTED = "nested too deeply, allowed: the tables setup and grid"


def read_file(path: str | PathLike[str]) -> str:
    """The text of a sweep file. Raises ValueError if it cannot be read."""
    try:
        raw = named_file(path, MAX_SWEEP + 1)
    except (FileNotFoundError, ValueError):  # ValueError: a null byte or a lone surrogate
        raise ValueError("no such file") from None
    except OSError as error:
        raise ValueError(
            f"cannot be read: {plain(error.strerror or type(error).__name__)}"
        ) from None
    if len(raw) > MAX_SWEEP:
        raise ValueError(f"more than {MAX_SWEEP:,} bytes, allowed: a sweep file")
    try:
        return raw.decode("utf-8-sig")  # Windows editors put a mark first
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: {bad_byte(error)}, allowed: TOML") from None


def read_toml(text: str) -> dict[str, Any]:
    """Read TOML into a dictionary. Raises ValueError that says where the text is not TOML."""
    if is_deep(text):
        raise ValueError(_NESTED)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = "; put texts in quotes" if "Invalid value" in str(error) else ""
        raise ValueError(f"not TOML: {plain(str(error), 120)}{hint}") from None
    except RecursionError:
        raise ValueError(_NESTED) from None
    except ValueError:
        raise ValueError(_long_integer(text)) from None


def _long_integer(text: str) -> str:
    """Say which integer in a text has more than `MAX_DIGITS`, and in which line."""
    start = next(
        (run.start() for run in re.finditer(r"[0-9_]+", text) if len(run[0]) > MAX_DIGITS),
        len(text),
    )
    key = re.search(r"([\w.-]+)\s*=[^=\n]*$", text[:start][-200:])
    line = text.count("\n", 0, start) + 1
    before = f"{key[1]}: " if key else ""
    return f"{before}an integer of more than {MAX_DIGITS:,} digits in line {line}"


def read_value(text: str) -> Any:
    """Read the VALUE of `--set KEY=VALUE`: TOML, or a word without quotes.

    In a list each item may be a word without quotes, or a list of such words.
    """
    if is_deep(line := f"value = {text}"):
        raise ValueError("nested too deeply")
    try:
        data = tomllib.loads(line)
        return data["value"] if len(data) == 1 else text
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except tomllib.TOMLDecodeError:
        inner = text.strip()
        if _WORD_LIST.fullmatch(inner):
            # only commas outside of inner lists divide it; no argument has a null byte
            held = _INNER_LIST.sub(lambda found: found[0].replace(",", "\0"), inner[1:-1])
            return [read_value(item.replace("\0", ",").strip()) for item in held.split(",")]
        return inner
    except ValueError:
        raise ValueError(f"given an integer of more than {MAX_DIGITS:,} digits") from None


def toml(value: Any) -> str:
    """Write a value as TOML; a dictionary becomes `{…}`."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number(value)
        case str():
            return f'"{"".join(map(_escaped, value))}"'
        case Mapping():
            return (
                "{"
                + ", ".join(
                    f"{k if _BARE_KEY.fullmatch(k) else toml(k)} = {toml(v)}"
                    for k, v in value.items()
                )
                + "}"
            )
        case _:
            return "[" + ", ".join(map(toml, value)) + "]"


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 2**16 else f"\\U{ord(character):08x}"


def as_list(value: object) -> Sequence[Any] | None:
    """A list, tuple, range or array as a sequence; None for any other value."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    return value if isinstance(value, list | tuple | range) else None
