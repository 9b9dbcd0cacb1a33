"""Short forms of a grid's lists: numbers evenly apart, and networks of each width at each depth."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from typing import Any, get_args, get_type_hints

import numpy as np

from fastbp.choices import problems
from fastbp.choices.families import FAMILIES
from fastbp.config import choice_syntax
from fastbp.config.setup import ALTERNATIVE, Given, Placed, Setup, _checked, _path, _unknown
from fastbp.config.toml_text import as_list
from fastbp.problems import read_table
from fastbp.problems.targets import FileProblem, Mistake
from fastbp.schema.text import shown

MAX_VALUES = 1_000
"""Values of one series."""

LARGEST = 1e300
"""Ends beyond it are none: their distance might not be finite."""

SPACED = ("linear", "log")

NUMBERS = '{from = A, to = B, count = N} with A < B and N from 2 to 1,000, and spaced = "linear" or "log" (A > 0)'
NETWORKS = (
    "{width = W, depth = D}, each an integer, a list of them or {from = A, to = B, count = N}"
)


def numbers(value: Mapping[Any, Any], whole: bool) -> list[float]:
    """The values of `{from = A, to = B, count = N, spaced = "log"}`, ascending.

    Between the ends, which are kept, each has three digits, so that it can be read and written: of
    its own where they are on a log scale, of a step where they are not. `whole`: for a key of whole
    numbers, to which they are rounded; what repeats goes. Raises ValueError with the rest of a
    line.
    """
    parts: Sequence[Any] = [
        value.get(key, SPACED[0]) for key in ("from", "to", "count", "spaced")
    ]  # a word is no number
    low, high, count, spaced = parts
    allowed = ValueError(f"given {shown(value)}, allowed: a list or {NUMBERS}")
    if not value.keys() <= {"from", "to", "count", "spaced"} or spaced not in SPACED:
        raise allowed
    if any(
        isinstance(each, bool) or not isinstance(each, int | float) for each in (low, high, count)
    ):
        raise allowed
    if not (
        -LARGEST <= low < high <= LARGEST
        and (low > 0 or spaced == "linear")
        and 2 <= count <= MAX_VALUES
    ):
        raise allowed
    if count != int(count) or (high - low) / count == 0:
        raise allowed
    if spaced == "log":
        inner = [float(f"{each:.3g}") for each in np.geomspace(low, high, int(count))[1:-1]]
    else:
        digits = 2 - math.floor(math.log10((high - low) / (count - 1)))
        inner = [round(each, digits) for each in np.linspace(low, high, int(count))[1:-1].tolist()]
    return list(dict.fromkeys(round(each) if whole else each for each in (low, *inner, high)))


def networks(value: Mapping[Any, Any]) -> list[list[Any]]:
    """The layers of every network of `{width = [4, 8], depth = [1, 2]}`: all of a width, and widths
    change fastest.

    Raises ValueError with the rest of a line.
    """
    if value.keys() != {"width", "depth"}:
        raise ValueError(f"given {shown(value)}, allowed: a list or {NETWORKS}")
    widths, depths = (_wholes(value, key) for key in ("width", "depth"))
    return [[width] * depth for depth in depths for width in widths]


def _wholes(value: Mapping[Any, Any], key: str) -> Sequence[int]:
    written = value[key]
    if isinstance(written, Mapping):
        written = numbers(written, whole=True)
    values = as_list(written if as_list(written) is not None else [written]) or ()
    if not 1 <= len(values) <= MAX_VALUES or any(
        isinstance(each, bool) or not isinstance(each, int) or each < 1 for each in values
    ):
        raise ValueError(f"given {shown(value)}, allowed: a list or {NETWORKS}")
    if key == "depth" and max(values) > MAX_DEPTH:
        raise ValueError(f"given {shown(value)}, allowed: a depth from 1 to {MAX_DEPTH}")
    return values


MAX_DEPTH = 16
"""Hidden layers of a network."""


MAX_SETUPS = 100_000  # a store holds at most about 10⁵ files


# The sweep


_Grid = dict[str, tuple[Any, ...]]


def _each_table(options: Sequence[Any]) -> Sequence[Any]:
    """Problems of a grid, those with `?` among their bits as every table that it stands for, 0
    before 1.

    What is wrong stays as it is, and so do more tables than a sweep has setups: a line says of each
    what is allowed.
    """
    found: list[Any] = []
    for option in options:
        bits = _unknown_bits(option)
        many = bits.count("?")
        if many and len(found) + 2**many <= MAX_SETUPS:
            pieces = (("0", "1") if bit == "?" else (bit,) for bit in bits)
            found += [f"table:{''.join(each)}" for each in itertools.product(*pieces)]
        else:
            found.append(option)
    return found


def _unknown_bits(problem: object) -> str:
    """The bits of a table, with or without `?`; nothing where it is no table, or a wrong one."""
    with suppress(ValueError):
        call = choice_syntax.read_call(FAMILIES["problem"], problem)
        if call.choice.function is problems.table:
            problems.table(call.values[0].replace("?", "0"))
            return str(call.values[0])
    return ""


def _listed(key: object, value: object) -> object:
    """A grid's values where a short form stands for them; all else as it is. Raises ValueError with
    the rest of a line.
    """
    if not isinstance(value, Mapping) or key not in Setup.model_fields:
        return value
    if key == "hidden":
        return networks(value)
    types = _types(get_type_hints(Setup, include_extras=True)[str(key)])
    return numbers(value, whole=int in types) if types & {int, float} else value


def _types(hint: Any) -> set[Any]:
    """The types that an annotation is made of."""
    return {hint}.union(*map(_types, get_args(hint)))


def _grid_values(table: Placed, lines: list[str]) -> _Grid:
    """The values of a grid that are right, keys in the order of the file."""
    values: _Grid = {}
    for key, (place, options, folder) in table.items():
        if key == "collapse":
            lines.append(
                f"{place}: given a list, allowed: one value in [setup], since no run changes with it"
            )
        elif key not in Setup.model_fields:
            lines.append(f"{place}: {_unknown(key, Setup.model_fields)}")
        else:
            checked = (_checked({key: Given(place, option, folder)}, lines) for option in options)
            values[key] = tuple(value for found in checked for value in found.values())
    return values


def _outside(setup: dict[str, Any], table: Iterable[str]) -> dict[str, Any]:
    """What a grid leaves of `[setup]`: it takes the place of its own keys, and its budget that of
    one written the other way.
    """
    taken = set(table)
    return {
        key: value
        for key, value in setup.items()
        if key not in taken and ALTERNATIVE.get(key) not in taken
    }


def _expand(
    setup: Placed,
    values: dict[str, Any],
    tables: list[Placed],
    grids: list[_Grid],
    here: str,
    lines: list[str],
) -> tuple[list[tuple[Setup, list[int]]], Setup | None]:
    """All setups without repeats, each with the positions of the grids that it is in, and the
    baseline; lines for mistakes between keys, found on what is right by itself.
    """
    found: dict[tuple[Any, ...], tuple[Setup, list[int]]] = {}
    files: _Files = {}
    baseline = Setup.model_construct(**values) if _complete(values) else None
    if baseline and any(baseline._conflicts()):
        baseline = None  # the grid may fix it; what it does not fix is said below
    for place, (table, grid) in enumerate(zip(tables or [{}], grids or [{}], strict=True)):
        fixed = _outside(values, grid)
        wrong = {key for key, options in grid.items() if not options} | (
            _outside(setup, grid).keys() - fixed.keys()
        )
        from_files = [
            problem
            for problem in grid.get("problem", (fixed.get("problem", ""),))
            if _path(problem)
        ]
        if from_files and "targets" in wrong:
            continue
        mistakes = _read_files(from_files, grid.get("targets", (fixed.get("targets"),)), files)
        lines += [
            f"{_blamed(key, table, setup, here)}: {text}" for key, text in mistakes
        ]  # whatever else is wrong
        if wrong & {"problem", "batch", "updates", "epochs"} or not _complete({**fixed, **grid}):
            continue  # said already, and what would follow from a default in its place might not be so
        crossed = {key: options for key, options in grid.items() if options}
        common = Setup.model_construct(**fixed)
        for combination in itertools.product(*crossed.values()):
            one = common.model_copy(update=dict(zip(crossed, combination, strict=True)))
            one._file = files.get((one.problem, one.targets))
            # What is wrong with the layers is said already, and axes of a grid may be right with
            # the right ones.
            conflicts = [
                (key, text)
                for key, text in one._conflicts()
                if key != "init" or "hidden" not in wrong
            ]
            lines += [f"{_blamed(key, table, setup, here)}: {text}" for key, text in conflicts]
            if not conflicts:
                found.setdefault(tuple(one.columns().values()), (one, []))[1].append(place)
    return list(found.values()), baseline


_Files = dict[tuple[str, tuple[str, ...] | None], FileProblem]
"""What was read, by problem and targets; and the first file of each name, by the name that tables
show."""


def _read_files(
    found: list[str], targets: Iterable[tuple[str, ...] | None], files: _Files
) -> Iterator[Mistake]:
    """Read the problems that are files, each with each choice of targets, into `files`: the
    mistakes in them.
    """
    for path, columns in itertools.product(found, targets):
        one = Setup.model_construct(problem=path, targets=columns)
        yield from one._read()
        if one._file:
            files[path, columns] = one._file
            if files.setdefault((one.problem_name, columns), one._file) != one._file:
                rule = "different names for different files, as tables show the name alone"
                yield Mistake(
                    "problem",
                    f"given {shown(one.problem_name)}, allowed: {rule}; {shown(path)} is the second",
                )


def _blamed(key: str, table: Placed, setup: Placed, here: str) -> str:
    """The place of a key, where it was written or would have to be."""
    return (table.get(key) or setup.get(key) or Given(f"{here}setup.{key}", None)).place


def _complete(keys: Mapping[str, Any]) -> bool:
    return "problem" in keys and len(ALTERNATIVE.keys() & keys) == 1


def _in_grid(key: str, value: Any) -> Any:
    """A value as a grid spells it: one layer without its list."""
    return value[0] if key == "hidden" and len(value) == 1 else value


def _placed(key: str, value: Any, folder: str | PathLike[str] | None) -> Any:
    """A value as a file in this folder spells it: another file by the way to it."""
    path = _path(value) if key == "problem" else None
    return value if path is None or folder is None else f"file:{read_table.relative(path, folder)}"
