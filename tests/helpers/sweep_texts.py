"""Sweep files as text, and the lines of their mistakes."""

import types
from collections.abc import Callable
from typing import Any

import pytest

from fastbp import Setup, Sweep, SweepError
from fastbp.choices.families import FAMILIES
from fastbp.choices.family import family

HEAD = 'seeds = 10\n[setup]\nproblem = "table:11101011"\n'  # what a broken file has right


XOR = 'seeds = 10\n[setup]\nproblem = "xor"\nupdates = 999\n'


def mistakes_of(make: Callable[..., object], *arguments: Any, **named: Any) -> list[str]:
    """What is wrong with something that cannot be made: lines that a terminal can show."""
    with pytest.raises(SweepError) as caught:
        make(*arguments, **named)
    assert str(caught.value) == "\n".join(caught.value.lines)
    for line in caught.value.lines:
        assert line.isprintable(), line
        assert len(line.splitlines()) == 1, line
    return caught.value.lines


def made_or_told(make: Callable[..., object], *arguments: Any, **named: Any) -> None:
    """Something can be made, or what is wrong with it is told."""
    try:
        make(*arguments, **named)
    except SweepError as error:
        assert all(line.isprintable() for line in error.lines)  # noqa: PT017


def lines_of(text: str, **more: Any) -> list[str]:
    """The lines of the mistakes in a file called bad.toml."""
    return mistakes_of(Sweep.from_text, text, "bad.toml", **more)


def line_of(text: str, **more: Any) -> str:
    (line,) = lines_of(text, **more)
    return line


def xor(**keys: Any) -> Setup:
    return Setup(
        **(
            {"problem": "xor"}
            | keys
            | ({} if {"updates", "epochs"} & keys.keys() else {"updates": 100})
        )
    )


def over(
    *settings: str,
    text: str = HEAD + "updates = 9\n[grid]\nlr = [0.1, 0.2]\norder = ['random', 'cyclic']",
) -> Sweep:
    return Sweep.from_text(text, "bad.toml", settings=settings)


def add(monkeypatch: pytest.MonkeyPatch, key: str, function: Any, takes: int) -> None:
    """A choice added to a family, as by writing one function into its module."""
    module = types.ModuleType(function.__module__)
    setattr(module, function.__name__, function)
    added = family(key, module, takes).choices[function.__name__.replace("_", "-")]
    old = FAMILIES[key]
    monkeypatch.setitem(FAMILIES, key, old._replace(choices={**old.choices, added.name: added}))
