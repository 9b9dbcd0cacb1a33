"""A sweep: many setups × many seeds, as a sweep file describes them."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike, fspath
from typing import Annotated, Any, Self

from annotated_types import Ge, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fastbp.config import conflicts, protocols, toml_text
from fastbp.config.choice_syntax import (
    SWEEP_KEYS,
    Given,
    Integer,
    as_number,
    checked,
    file_path,
    unknown,
)
from fastbp.config.grid import GridValues, SweepTables
from fastbp.config.protocols import Published
from fastbp.config.setup import Setup
from fastbp.problems import table_files
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import LAST_SEED
from fastbp.schema.paper_figures import MAX_COMPARED
from fastbp.schema.text import named, plain, refusal, shown

MAX_TITLE = 1_000
"""The most characters of a title."""


class Seeds(BaseModel):
    """Consecutive seeds: start, start + 1, …, start + count − 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start: Annotated[Integer, Ge(0), Lt(LAST_SEED)] = Field(default=0, description="the first seed")
    count: Annotated[Integer, Ge(1), Le(LAST_SEED)] = Field(description="how many")

    @property
    def stop(self) -> int:
        """The seed after the last one."""
        return self.start + self.count


SeedsGiven = int | str | Seeds | None
"""Seeds in place of a file's: their number, the text of `--seeds`, or `Seeds`. None: the file's."""


@dataclass(frozen=True, init=False)
class Sweep:
    """Many setups × many seeds: `Sweep(seeds=100, setup={…}, grid={…})`.

    `title`, `seeds`, `setup`, `grid` and `published` hold what a sweep file says, checked and in
    canonical spelling; the other attributes follow from them.

    Attributes
    ----------
    baseline
        The setup of `[setup]` alone; None if no grid has it with all its keys written there.
    setups
        All setups without repeats, in the order of the file; the last key changes fastest.
    grid_seeds
        The key `seeds` of each grid, None for a grid without it. Empty if the seeds of the file
        were replaced.
    seed_counts
        The number of seeds of each setup by setup id; empty if all setups have `seeds`.

    Raises
    ------
    SweepError
        If a key is missing or invalid. It lists every mistake.
    """

    title: str
    seeds: Seeds
    setup: dict[str, Any]
    grid: tuple[GridValues, ...]
    published: tuple[Published, ...]
    baseline: Setup | None = field(repr=False)
    setups: tuple[Setup, ...] = field(repr=False)
    grid_seeds: tuple[int | None, ...] = field(repr=False)
    seed_counts: dict[str, int] = field(repr=False)

    def __init__(self, **data: Any) -> None:
        self.__dict__.update(vars(self.from_dict(data)))

    def seeds_of(self, setup: Setup) -> Seeds:
        """The seeds of a setup. Of the grids that contain it, the one with the most seeds decides.

        A grid without the key `seeds` has the number of seeds of the sweep.
        """
        if not self.seed_counts:  # then no id is needed
            return self.seeds
        return self.seeds.model_copy(update={"count": self.seed_counts[setup.identity()]})

    @property
    def all_seeds(self) -> Seeds:
        """The seeds of the setup that has the most."""
        return self.seeds.model_copy(
            update={"count": max(self.seed_counts.values(), default=self.seeds.count)}
        )

    @property
    def runs(self) -> int:
        """The number of runs of all setups."""
        return sum(self.seed_counts.values()) or len(self.setups) * self.seeds.count

    def with_seeds(self, start: int, count: int) -> Self:
        """Copy the sweep with the seeds start … start + count − 1 in every setup."""
        sweep = copy(self)
        sweep.__dict__.update(seeds=Seeds(start=start, count=count), grid_seeds=(), seed_counts={})
        return sweep

    @property
    def notes(self) -> list[str]:
        """Warnings about what is allowed but probably a mistake, one line each."""
        each = (note for setup in self.setups for note in conflicts.notes(setup))
        return [
            *dict.fromkeys(each),  # without a list of what 10⁵ setups repeat
            *(
                f"published[{i}]: no setup has {plain(toml_text.toml(figure.where))}, "
                "so this figure is left out"
                for i, figure in enumerate(self.published, 1)
                if not self._matching[i - 1]
            ),
        ]

    @cached_property
    def _matching(self) -> list[list[Setup]]:
        """List for each published figure the setups that its `where` selects.

        Once there are more than `MAX_COMPARED` in all, the figures after that are left out.
        """
        having: dict[str, dict[Any, set[int]]] = {}
        for key in {key for figure in self.published for key in figure.where}:
            having[key] = {}
            for index, setup in enumerate(self.setups):
                having[key].setdefault(getattr(setup, key), set()).add(index)
        every = set(range(len(self.setups)))
        found, count = list[list[Setup]](), 0
        for figure in self.published:
            chosen = set.intersection(
                *sorted(
                    [every, *(having[k].get(v, set()) for k, v in figure.where.items())], key=len
                )
            )
            count += len(chosen)
            found.append([self.setups[index] for index in sorted(chosen)])
            if count > MAX_COMPARED:
                break
        return found

    @classmethod
    def from_toml(
        cls,
        path: str | PathLike[str],
        seeds: SeedsGiven = None,
        settings: Iterable[str] = (),
    ) -> Self:
        """Read a sweep file.

        Parameters
        ----------
        path
            The file.
        seeds
            Seeds in place of the file's: a number, which keeps the first seed, the text of
            `--seeds`, or `Seeds`.
        settings
            Strings `KEY=VALUE` that replace values of the file. A value replaces the key in
            `[setup]` and removes it from every grid. A list of several values replaces the key in
            every grid; if there is no grid, it makes one. A list of one value counts as the value.

        Raises
        ------
        SweepError
            If the file cannot be read or is invalid. It lists every mistake.
        """
        try:
            text = toml_text.read_file(path)
        except ValueError as error:
            raise SweepError([f"{named(path)}: {error}"]) from None
        return cls.from_text(text, named(path), seeds, settings, os.path.dirname(fspath(path)))

    @classmethod
    def from_text(
        cls,
        text: str,
        name: str = "",
        seeds: SeedsGiven = None,
        settings: Iterable[str] = (),
        folder: str | PathLike[str] = "",
    ) -> Self:
        """Read the text of a sweep file.

        Parameters
        ----------
        text
            The content of the file, in TOML.
        name
            The name of the file; each message begins with it.
        seeds, settings
            As in `from_toml`.
        folder
            The folder that paths in the text are relative to.

        Raises
        ------
        SweepError
            If the text is invalid. It lists every mistake.
        """
        try:
            data = toml_text.read_toml(text)
        except ValueError as error:
            raise SweepError([f"{name}: {error}" if name else str(error)]) from None
        return cls.from_dict(data, name, seeds, settings, folder)

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        name: str = "",
        seeds: SeedsGiven = None,
        settings: Iterable[str] = (),
        folder: str | PathLike[str] = "",
        any_range: bool = False,
    ) -> Self:
        """Make a sweep from a dictionary with the keys of a file: title, seeds, setup and so on.

        `any_range`: whether targets may lie outside 0…1, the range of outputs. The other parameters
        and the errors are those of `from_text`.
        """
        lines: list[str] = []
        here, folder = f"{name}: " if name else "", fspath(folder)
        _check_top(data, here, lines)
        chosen = _read_seeds(data.get("seeds"), here, seeds, lines)
        tables = SweepTables(data, here, folder, lines, any_range)
        counts = tuple(_grid_seeds(tables.seeds, chosen, lines)) if seeds is None else ()
        before: set[str] = set()
        for text in settings:
            tables.override(text, before)
        values = checked(tables.setup, lines)
        figures = protocols.read(data.get("published", ()), here, folder, lines)
        grids, baseline, setups = tables.expand(values)
        if lines or chosen is None:
            raise SweepError(dict.fromkeys(lines))
        sweep = cls.__new__(cls)
        sweep.__dict__.update(
            title=data.get("title", ""),
            seeds=chosen,
            setup=values,
            grid=tuple(grids),
            published=figures,
            baseline=baseline,
            setups=tuple(setup for setup, _ in setups),
            grid_seeds=counts,
            seed_counts=_seed_counts(setups, counts, chosen),
        )
        if (count := sum(map(len, sweep._matching))) > MAX_COMPARED:
            raise SweepError(
                [
                    f"{here}published: given figures for {count:,} setups or more together, "
                    f"allowed: at most {MAX_COMPARED:,}"
                ]
            )
        return sweep

    def to_toml(self, folder: str | PathLike[str] | None = None) -> str:
        """The sweep as the text of a sweep file; reading it gives an equal sweep.

        Parameters
        ----------
        folder
            The folder where the file will be. Paths are written relative to it, so that both can
            move together. The ids of all setups are added as `[resolved]`, which reports need and
            `from_toml` ignores. Without a folder paths are absolute, and `[resolved]` is left out.
        """
        seeds = self.seeds.count if self.seeds.start == 0 else self.seeds.model_dump()
        lines = _toml({"title": self.title} if self.title else {}) + _toml({"seeds": seeds})
        keys = self.setup | (self._resolved_success() if folder is not None else {})
        if keys:
            lines += ["", "[setup]", *_toml(_relative(keys, folder))]
        for table, count in itertools.zip_longest(self.grid, self.grid_seeds[: len(self.grid)]):
            lines += ["", "[grid]" if len(self.grid) == 1 else "[[grid]]"]
            lines += _toml({"seeds": count} if count else {})
            for key, values in table.items():
                each = [_relative({key: value}, folder)[key] for value in values]
                if key == "hidden":  # a single layer is written without its list
                    each = [layers[0] if len(layers) == 1 else layers for layers in each]
                lines += _toml({key: each})
        for figure in self.published:
            lines += ["", "[[published]]", *_toml(figure.written(_relative(figure.where, folder)))]
        if folder is not None:
            resolved = {
                "baseline": self.baseline and self.baseline.identity(),
                "setups": [setup.identity() for setup in self.setups],
                "published": [[s.identity() for s in setups] for setups in self._matching],
                "seeds": self.seed_counts and [self.seeds_of(s).count for s in self.setups],
            }
            lines += ["", "[resolved]", *_toml({k: v for k, v in resolved.items() if v})]
        return "\n".join(lines) + "\n"

    def _resolved_success(self) -> dict[str, str]:
        """The key `success` where tables decide its value and no setup says it, else nothing."""
        (one, *others) = {"" if setup.success else setup.resolved_success for setup in self.setups}
        return {} if others or one in ("", "rows") else {"success": one}


def _toml(values: Mapping[str, Any]) -> list[str]:
    """Write keys and values as TOML, one line each."""
    return [f"{key} = {toml_text.toml(value)}" for key, value in values.items()]


def _relative(values: Mapping[str, Any], folder: str | PathLike[str] | None) -> dict[str, Any]:
    """Copy keys of a setup; make the path of a `file:` problem relative to a folder, if given."""
    path = file_path(values.get("problem", ""))
    if path is not None and folder is not None:
        return {**values, "problem": f"file:{table_files.relative(path, folder)}"}
    return dict(values)


# Reading


def _check_top(data: Mapping[str, Any], here: str, lines: list[str]) -> None:
    """Check the title and the names of top-level keys; add a message for each mistake."""
    lines += [
        f"{here}{plain(str(key))}: {unknown(key, SWEEP_KEYS)}"
        for key in data
        if key not in (*SWEEP_KEYS, "resolved")  # `to_toml` adds [resolved] for other readers
    ]
    title = data.get("title", "")
    if not isinstance(title, str) or len(title) > MAX_TITLE or not title.isprintable():
        lines.append(
            f"{here}title: "
            + refusal(title, f"a string of at most {MAX_TITLE:,} printable characters")
        )


def _read_seeds(value: object, here: str, override: SeedsGiven, lines: list[str]) -> Seeds | None:
    """Read the seeds of a file, or `override`; return None, and add a message, if invalid."""
    is_replaced = override is not None
    place, given = ("--seeds", override) if is_replaced else (f"{here}seeds", value)
    if isinstance(given, Seeds):
        return given
    with suppress(ValueError):  # more digits than an integer may have: refused below
        given = toml_text.read_value(override) if isinstance(override, str) else given
    start = value.get("start", 0) if is_replaced and isinstance(value, Mapping) else 0
    with suppress(ValidationError):
        chosen = Seeds.model_validate(
            given if isinstance(given, Mapping) else {"start": start, "count": given}
        )
        if chosen.stop <= LAST_SEED:
            return chosen
    lines.append(
        f"{place}: {'not given' if given is None else f'given {shown(given)}'}, allowed: an "
        "integer from 1, or {start = S, count = N} with S ≥ 0 and S + N ≤ 2^63"
    )
    return None


def _grid_seeds(
    given: Sequence[Given | None], chosen: Seeds | None, lines: list[str]
) -> Iterator[int | None]:
    """Yield the key `seeds` of each grid, None without it; add a message for each invalid one."""
    most = LAST_SEED - (chosen.start if chosen else 0)
    for each in given:
        count = as_number(each.value) if each else None
        right = isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= most
        if each and not right:
            text = refusal(each.value, "an integer from 1; the first seed is the sweep's")
            lines.append(f"{each.place}: {text}")
        yield count if isinstance(count, int) else None


def _seed_counts(
    setups: Sequence[tuple[Setup, list[int]]], given: Sequence[int | None], seeds: Seeds
) -> dict[str, int]:
    """The number of seeds of each setup by setup id; empty if all have those of the sweep.

    `setups`: each with the indices of its grids. `given`: the key `seeds` of each grid.
    """
    grids = dict(enumerate(given))
    counts = [max(grids.get(index) or seeds.count for index in indices) for _, indices in setups]
    if set(counts) <= {seeds.count}:
        return {}  # without ids: 10⁵ of them take seconds
    return {setup.identity(): count for (setup, _), count in zip(setups, counts, strict=True)}
