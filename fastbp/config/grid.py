"""Expand `[setup]`, `[grid]` and `--set` into all setups of a sweep."""

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from fastbp.config import conflicts, toml_text
from fastbp.config.choice_syntax import (
    Given,
    Placed,
    checked,
    complete,
    file_path,
    incomplete,
    problem_name,
    unknown,
)
from fastbp.config.setup import Setup, load
from fastbp.config.short_forms import MAX_SETUPS, listed, tables_of
from fastbp.config.toml_text import as_list
from fastbp.problems import targets
from fastbp.problems.problem import Preparation, ProblemData
from fastbp.problems.targets import Mistake
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import ALTERNATIVE, KEYS
from fastbp.schema.text import plain, refusal, shown

_FILE_KEYS = ("problem", "targets", "target_kind")  # what is read of a file depends on these

PREPARED = "choice of rows to hold out and of scales"
"""What is said to be counted where a problem is prepared."""

MAX_DATA = {"file": (2**26, 1_024), "targets": (2**26, 64), PREPARED: (2**29, 512)}
"""The most inputs and targets that a sweep may have of files, counted for each file, for each
`targets` and, of all problems, for each way in which rows are held out and values scaled. And as
how many rows each counts at least: columns take time, however few their rows are."""

MIN_COLUMNS = 16
"""As how many columns each of them counts at least."""

MAX_EXPANDED = 1_000_000
"""The most values that series and other short forms of a file may make, for they take memory before
it is known how many setups there are. It is more than `MAX_SETUPS`, as `--set` may replace some."""

MAX_MISTAKES, MAX_REPEATED, MAX_REFUSED = 190, 2_000, 10
"""The most mistakes that are looked for: different ones, all with those that setups repeat, and
problems. Some take long, such as files that are not there, and tables most of all."""

GridValues = dict[str, tuple[Any, ...]]
"""The checked values that one `[grid]` lists, by key."""


class SweepTables:
    """The tables `[setup]` and `[grid]` of a sweep file, and their expansion into setups.

    Parameters
    ----------
    data
        The content of the sweep file: its top-level keys and their values.
    here
        The beginning of each message: the file's name and a colon, or nothing.
    folder
        The folder that paths in the file are relative to.
    lines
        The list to which all methods add a message for each mistake.
    any_range
        Whether targets may lie outside the range of outputs.
    """

    def __init__(
        self, data: Mapping[str, Any], here: str, folder: str, lines: list[str], any_range: bool
    ) -> None:
        self.here, self.folder, self.lines, self.any_range = here, folder, lines, any_range
        self.grids: list[Placed] = []
        self._files: dict[tuple[Any, ...], ProblemData | tuple[Mistake, ...] | None] = {}
        self._expanded = self._bits = self._refused = 0
        self._values = Counter[str]()
        self._counted: set[tuple[Hashable, str]] = set()
        self._added, self._repeated = set[str](), 0
        self._names: dict[tuple[Any, ...], ProblemData] = {}
        self._setups: dict[tuple[Any, ...], tuple[Setup, list[int]]] = {}
        setup, grid = data.get("setup", {}), data.get("grid", [])
        if not isinstance(setup, Mapping):
            lines.append(f"{here}setup: {refusal(setup, 'a table, [setup]')}")
            setup = {}
        self.setup: Placed = {
            key: Given(f"{here}setup.{plain(str(key))}", value, folder)
            for key, value in setup.items()
        }
        grids = [grid] if isinstance(grid, Mapping) else as_list(grid)
        if grids is None or not all(isinstance(table, Mapping) for table in grids):
            lines.append(f"{here}grid: {refusal(grid, 'a table, [grid], or several, [[grid]]')}")
            grids = []
        self.seeds: list[Given | None] = [None] * len(grids)
        """The key `seeds` of each grid; None for a grid without this key."""
        for index, table in enumerate(grids):
            self._read_grid(index, f"{here}grid" + f"[{index + 1}]" * (len(grids) > 1), table)

    def _read_grid(self, index: int, place: str, table: Mapping[Any, Any]) -> None:
        """Read a grid, and expand its series and other short forms into lists."""
        placed: Placed = {}
        for key, value in table.items():
            where = f"{place}.{plain(str(key))}"
            if key == "seeds":
                self.seeds[index] = Given(where, value)
                continue
            options: Sequence[Any] = ()
            try:
                given = as_list(listed(key, value)) or ()
                if key in KEYS and not given:
                    raise ValueError(refusal(value, "a list of one or more values"))
                options = tables_of(given, self._bits) if key == "problem" else given
            except ValueError as error:
                self.lines.append(f"{where}: {error}")
            self._bits += (
                sum(len(each) for each in options if isinstance(each, str))
                if key == "problem"
                else 0
            )
            self._expanded += len(options) if isinstance(value, Mapping) or key == "problem" else 0
            if self._expanded > MAX_EXPANDED:
                self.lines.append(
                    f"{self.here}grid: given more than {MAX_EXPANDED:,} values, allowed: at most "
                    f"{MAX_SETUPS:,} setups"
                )
                raise SweepError(dict.fromkeys(self.lines))
            placed[key] = Given(where, options, self.folder)
        self.grids.append(placed)

    def override(self, text: str, before: set[str]) -> None:
        """Replace a value of the file by the `KEY=VALUE` of an option `--set`.

        A path in VALUE is relative to the current folder, not to the folder of the sweep file.
        `before`: the keys of earlier options `--set`; this KEY is added to them.
        """
        key, equals, written = (piece.strip() for piece in text.partition("="))
        place = f"--set {plain(key)}"
        if not equals or not key:
            self.lines.append(f"--set: {refusal(text, 'KEY=VALUE')}")
        elif key == "seeds":
            self.lines.append(
                f"{place}: unknown key, allowed: keys of a setup; for seeds there is --seeds"
            )
        elif ALTERNATIVE.get(key) in before:
            self.lines.append(
                f"{place}: given together with --set {ALTERNATIVE[key]}, "
                "allowed: only one of the two"
            )
        else:
            before.add(key)
            try:
                self._replace(key, place, listed(key, toml_text.read_value(written)))
            except ValueError as error:
                self.lines.append(f"{place}: {error}")

    def _replace(self, key: str, place: str, value: object) -> None:
        """Set a key in `[setup]`, or in every grid if the value is a list of several items."""
        if key == "problem":
            options = tables_of(value if isinstance(value, list) else [value])
            value = list(options) if len(options) > 1 else value
        if value == []:
            raise ValueError(refusal(value, "a list of one or more values"))
        if isinstance(value, list) and len(value) > 1:
            self.grids = self.grids or [{}]
            for table in self.grids:
                table[key] = Given(place, value)
                table.pop(ALTERNATIVE.get(key), None)
        else:
            for table in (self.setup, *self.grids):
                table.pop(ALTERNATIVE.get(key), None)
            for table in self.grids:
                table.pop(key, None)
            self.setup[key] = Given(place, value[0] if isinstance(value, list) else value)

    def expand(
        self, values: dict[str, Any]
    ) -> tuple[list[GridValues], Setup | None, list[tuple[Setup, list[int]]]]:
        """Make all setups of the sweep. `values`: the checked keys of `[setup]`.

        Returns the checked values of each grid; the setup of `[setup]` alone, None if that is
        incomplete or invalid without a grid; and all setups without repeats, each with the indices
        of the grids that contain it. Raises SweepError with all messages so far if there are more
        than `MAX_SETUPS`.
        """
        tables = self.grids or [{}]
        lengths = [[len(given.value) for given in table.values()] for table in tables]
        total = sum(math.prod(max(length, 1) for length in each) for each in lengths)
        few = sum(map(sum, lengths)) <= MAX_SETUPS  # a grid may have many values and few setups
        grids = [self._checked_grid(table) for table in tables] if few else []
        if total > MAX_SETUPS or not few:
            self.lines.append(
                f"{self.here}grid: given {total:,} setups, allowed: at most {MAX_SETUPS:,}"
            )
            raise SweepError(dict.fromkeys(self.lines))
        for index, table in enumerate(tables):
            place = f"{self.here}grid[{index + 1}]." if len(tables) > 1 else f"{self.here}setup."
            self.lines += incomplete(_outside(self.setup, table) | table, place)
        for index, (table, grid) in enumerate(zip(tables, grids, strict=True)):
            self._cross(index, table, values, grid)
        grids = grids if self.grids else []
        return grids, self._baseline(values, grids), list(self._setups.values())

    def _checked_grid(self, table: Placed) -> GridValues:
        """Check a grid, and return its valid values by key, in the order of the file."""
        values: GridValues = {}
        for key, (place, options, folder) in table.items():
            if key not in KEYS:
                self.lines.append(f"{place}: {unknown(key, KEYS)}")
            elif not KEYS[key].in_id:
                self.lines.append(
                    f"{place}: given a list, allowed: one value in [setup], since it changes no run"
                )
            else:
                right: list[Any] = []
                for option in options:
                    found = checked({key: Given(place, option, folder)}, self.lines)
                    right += found.values()
                    if key == "problem":
                        self._refused += not found
                        for path in filter(None, map(file_path, found.values())):
                            self._count(path, targets.check(path), "file")
                    self._stop_after_many()
                values[key] = tuple(right)
        return values

    def _cross(
        self, index: int, table: Placed, values: Mapping[str, Any], grid: GridValues
    ) -> None:
        """Add the valid setups of a grid, and messages about values that do not go together.

        Only values that are valid by themselves are combined.
        """
        fixed = _outside(values, grid)
        self._add(conflicts.unused_rate(fixed), table)
        wrong = {key for key, options in grid.items() if not options}
        wrong |= _outside(self.setup, grid).keys() - fixed.keys()
        paths = [p for p in grid.get("problem", (fixed.get("problem", ""),)) if file_path(p)]
        if paths and wrong & {"targets", "target_kind"}:
            return
        options = (grid.get(key, (fixed.get(key, KEYS[key].default),)) for key in _FILE_KEYS[1:])
        for each in itertools.product(paths, *options):
            self._load(each, table)
        if wrong & {"problem", "batch", "updates", "epochs"} or not complete({**fixed, **grid}):
            return  # a line says so already; defaults in their place could cause other mistakes
        crossed = {key: options for key, options in grid.items() if options}
        for combination in itertools.product(*crossed.values()):
            keys = fixed | dict(zip(crossed, combination, strict=True))
            file = self._files.get(tuple(keys.get(key, KEYS[key].default) for key in _FILE_KEYS))
            if isinstance(file, tuple):
                continue
            setup = Setup.unchecked(keys, file)
            how = setup.preparation
            # a built-in problem to which nothing is done takes no time
            if file or how != Preparation():
                self._count(
                    (id(file) if file else setup.problem, how), setup.source.shape, PREPARED
                )
            # Other layers may allow the axes of a grid of weights.
            known = wrong | {"init"} if "hidden" in wrong else wrong
            found = list(conflicts.find(setup, self.any_range))
            mistakes = [mistake for mistake in found if mistake.key not in known]
            self._repeated += len(found) - len(mistakes)  # to look for them takes as long
            self._add(mistakes, table)
            if not mistakes:
                self._setups.setdefault(tuple(setup.columns().values()), (setup, []))[1].append(
                    index
                )

    def _load(self, keys: tuple[Any, ...], table: Placed) -> None:
        """Read the file of a problem, or add messages about it. `keys`: its `_FILE_KEYS`."""
        if is_new := keys not in self._files:
            self._files[keys] = load(dict(zip(_FILE_KEYS, keys, strict=True)))
        result = self._files[keys]
        if isinstance(result, tuple):
            self._refused += is_new
            self._add(result, table)
        elif result and is_new:
            self._count(keys, result.shape, "targets")
            path, *others = keys
            name = problem_name(path)
            if self._names.setdefault((name, *others), result) != result:
                text = refusal(
                    name,
                    "different names for different files, since tables show only the name; "
                    f"{shown(path)} is the second",
                )
                self._add([Mistake("problem", text)], table)

    def _count(self, what: Hashable, shape: tuple[int, ...], each: str) -> None:
        """Count the values of something for `each`, once. `shape`: its rows, and its columns.

        Raises SweepError if all together are too many.
        """
        most, rows = MAX_DATA[each]
        size = max(rows, shape[0]) * max(MIN_COLUMNS, sum(shape[1:]))
        self._values[each] += size * ((what, each) not in self._counted)
        self._counted.add((what, each))
        if self._values[each] > most:
            self.lines.append(
                f"{self.here}grid: given problems that make more than {most:,} inputs and targets, "
                f"counted for each {each}, as {rows:,} rows and {MIN_COLUMNS} columns or "
                f"more, allowed: at most {most:,} in a sweep"
            )
            raise SweepError(dict.fromkeys(self.lines))

    def _baseline(self, values: Mapping[str, Any], grids: Sequence[GridValues]) -> Setup | None:
        """Make the setup of `[setup]` alone; None if it is no setup of the sweep.

        Some grid must have it, with every key of that grid written in `[setup]`: a default that
        nobody wrote is not what others are compared with.
        """
        has_it = not grids or any(
            all(key in values and values[key] in options for key, options in grid.items())
            for grid in grids
        )
        file = load(values) if has_it and complete(values) else ()
        if isinstance(file, tuple):
            return None
        setup = Setup.unchecked(values, file)
        return None if any(conflicts.find(setup, self.any_range)) else setup

    def _add(self, mistakes: Iterable[Mistake], table: Placed) -> None:
        """Add a message for each mistake, with the place where its key was, or should have been."""
        for key, text in mistakes:
            self._repeated += 1
            given = table.get(key) or self.setup.get(key)
            place = given.place if given else f"{self.here}setup.{key}"
            if (line := f"{place}: {text}") not in self._added:  # setups of a grid repeat them
                self._added.add(line)
                self.lines.append(line)
        self._stop_after_many()

    def _stop_after_many(self) -> None:
        """Raise SweepError if there are more mistakes than are looked for."""
        for found, most, after in (
            (len(self.lines), MAX_MISTAKES, f"{MAX_MISTAKES} mistakes"),
            (self._repeated, MAX_REPEATED, f"{MAX_REPEATED:,} mistakes, with repeats,"),
            (self._refused, MAX_REFUSED, f"{self._refused} problems that cannot be trained"),
        ):
            if found > most:
                raise SweepError(
                    [
                        *dict.fromkeys(self.lines[:MAX_MISTAKES]),
                        f"{self.here}after {after} no more were looked for",
                    ]
                )


def _outside(setup: Mapping[Any, Any], table: Iterable[str]) -> dict[Any, Any]:
    """Drop the keys that a grid sets from `setup`; `updates` and `epochs` count as one key."""
    taken = {*table, *(ALTERNATIVE[key] for key in table if key in ALTERNATIVE)}
    return {key: value for key, value in setup.items() if key not in taken}
