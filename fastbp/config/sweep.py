"""A sweep file: many setups × many seeds."""

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from os import PathLike, fspath
from typing import Annotated, Any, NamedTuple, Self

from annotated_types import Ge, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from fastbp.config import choice_syntax, protocols, toml_text
from fastbp.config.choice_syntax import Whole
from fastbp.config.grid import (
    MAX_SETUPS,
    _each_table,
    _expand,
    _grid_values,
    _in_grid,
    _listed,
    _outside,
    _placed,
)
from fastbp.config.protocols import Published
from fastbp.config.setup import (
    ALTERNATIVE,
    Given,
    Placed,
    Setup,
    _checked,
    _incomplete,
    _unknown,
    _where,
)
from fastbp.schema.errors import SweepError
from fastbp.schema.text import named, plain, shown

LAST_SEED = 2**63  # seeds are int64 columns


class Seeds(BaseModel):
    """The seeds start, start + 1, … of every setup."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start: Annotated[Whole, Ge(0), Lt(LAST_SEED)] = Field(default=0, description="the first seed")
    count: Annotated[Whole, Ge(1), Le(LAST_SEED)] = Field(description="how many")

    @property
    def stop(self) -> int:
        """One past the last seed."""
        return self.start + self.count


class Sweep(BaseModel):
    """Many setups × many seeds, as a sweep file says it. `Sweep(seeds=100, setup={…}, grid={…})`;
    mistakes raise `SweepError`.

    `setup` and `grid` hold what was written, checked and in canonical spelling; `baseline` and
    `setups` are made of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str = Field("", description="the question that the sweep answers")
    seeds: Seeds = Field(description="how many seeds, or {start = S, count = N}")
    setup: dict[str, Any] = Field(
        default_factory=dict, description="the baseline: any keys of a setup"
    )
    grid: tuple[dict[str, tuple[Any, ...]], ...] = Field(
        (), description="lists of values, crossed; of several grids, the union"
    )
    published: tuple[Published, ...] = Field(
        (), description="what others printed of such runs, to hold beside ours"
    )

    _baseline: Setup | None = PrivateAttr(None)
    _setups: tuple[Setup, ...] = PrivateAttr(())
    _own: tuple[int | None, ...] = PrivateAttr(())  # how many seeds each grid says
    _counts: dict[str, int] = PrivateAttr(
        {}
    )  # of each setup by its id, where it is not the same for all

    def __init__(self, **data: Any) -> None:
        parts = _read_sweep(data, "", None, (), "")
        super().__init__(**parts.fields)
        self._baseline, self._setups, self._own, self._counts = parts.privates

    @property
    def baseline(self) -> Setup | None:
        """The setup that `[setup]` alone describes; None where it needs the grid to be complete."""
        return self._baseline

    @property
    def setups(self) -> tuple[Setup, ...]:
        """All setups without repeats, in the order of the file, the last key of a grid fastest."""
        return self._setups

    def seeds_of(self, setup: Setup) -> Seeds:
        """The seeds of one of the setups: of all that its grids say the most, and the sweep's own
        where none says any.
        """
        return (
            self.seeds.model_copy(update={"count": self._counts[setup.identity()]})
            if self._counts
            else self.seeds
        )

    @property
    def all_seeds(self) -> Seeds:
        """The seeds that any setup has."""
        return (
            self.seeds.model_copy(update={"count": max(self._counts.values())})
            if self._counts
            else self.seeds
        )

    @property
    def runs(self) -> int:
        """Setups times seeds."""
        return sum(self._counts.values()) if self._counts else len(self.setups) * self.seeds.count

    def with_seeds(self, start: int, count: int) -> Self:
        """The sweep with these seeds in every setup."""
        sweep = self.model_copy(update={"seeds": Seeds(start=start, count=count)})
        sweep._own, sweep._counts = (), {}
        return sweep

    def within(self, start: int, count: int) -> Self:
        """The sweep without other seeds than these, of which a setup may have none."""
        sweep = self.with_seeds(start, count)
        sweep._counts = {
            name: max(0, min(self.seeds.start + own - start, count))
            for name, own in self._counts.items()
        }
        return sweep

    @property
    def notes(self) -> list[str]:
        """What is allowed but worth a word, each once."""
        notes = [note for setup in self.setups for note in setup.notes()]
        for i, (one, setups) in enumerate(zip(self.published, self._fitting(), strict=True)):
            if not setups:
                notes.append(
                    f"published[{i + 1}]: no setup has {plain(toml_text.toml(one.where))}, so this figure is left out"
                )
        return list(dict.fromkeys(notes))

    def _fitting(self) -> list[list[Setup]]:
        """The setups of which each published figure is."""
        return [
            [s for s in self.setups if all(getattr(s, k) == v for k, v in one.where.items())]
            for one in self.published
        ]

    @classmethod
    def from_toml(
        cls,
        path: str | PathLike[str],
        seeds: int | str | Seeds | None = None,
        settings: Iterable[str] = (),
    ) -> Self:
        """Read a sweep file.

        Parameters: `path`; `seeds`, in place of the file's count (its start stays) or, as `Seeds`,
        of both; `settings`, strings `KEY=VALUE` over the file: a value replaces the key in
        `[setup]` and takes it out of every grid, a list of several replaces it in every grid (and
        makes one where there is none), a list of one is its value.

        Raises SweepError.
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
        seeds: int | str | Seeds | None = None,
        settings: Iterable[str] = (),
        folder: str | PathLike[str] = "",
    ) -> Self:
        """Read the text of a sweep file; `name` stands before each line of a mistake, paths in it
        are seen from `folder`.
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
        seeds: int | str | Seeds | None = None,
        settings: Iterable[str] = (),
        folder: str | PathLike[str] = "",
    ) -> Self:
        """A sweep from what a file holds: title, seeds, setup, grid and published."""
        parts = _read_sweep(data, name, seeds, settings, fspath(folder))
        sweep = cls.model_construct(**parts.fields)
        sweep._baseline, sweep._setups, sweep._own, sweep._counts = parts.privates
        return sweep

    def to_toml(self, folder: str | PathLike[str] | None = None) -> str:
        """The sweep as a file that reads back to an equal one.

        Files of `problem` are written as seen from `folder`, where the file is to lie, so that both
        can move together; without one, by absolute path. In a folder the file also says the ids of
        the setups, `[resolved]`, for reports, which know none of the choices; reading passes over
        them.
        """
        setup = {key: _placed(key, value, folder) for key, value in self.setup.items()}
        whole = self.seeds.count if self.seeds.start == 0 else self.seeds.model_dump()
        lines = [f"title = {toml_text.toml(self.title)}"] if self.title else []
        lines.append(f"seeds = {toml_text.toml(whole)}")
        if setup:
            lines += [
                "",
                "[setup]",
                *(f"{key} = {toml_text.toml(value)}" for key, value in setup.items()),
            ]
        for table, own in itertools.zip_longest(self.grid, self._own[: len(self.grid)]):
            lines += ["", "[grid]" if len(self.grid) == 1 else "[[grid]]"]
            lines += [f"seeds = {own}"] if own else []
            for key, values in table.items():
                lines.append(
                    f"{key} = {toml_text.toml([_in_grid(key, _placed(key, value, folder)) for value in values])}"
                )
        for one in self.published:
            where = {key: _placed(key, value, folder) for key, value in one.where.items()}
            lines += [
                "",
                "[[published]]",
                *(f"{key} = {toml_text.toml(value)}" for key, value in one.written(where).items()),
            ]
        if folder is not None:
            lines += ["", "[resolved]"]
            if self.baseline:
                lines.append(f"baseline = {toml_text.toml(self.baseline.identity())}")
            lines.append(f"setups = {toml_text.toml([setup.identity() for setup in self.setups])}")
            if self.published:
                ids = [[setup.identity() for setup in setups] for setups in self._fitting()]
                lines.append(f"published = {toml_text.toml(ids)}")
            if self._counts:
                lines.append(
                    f"seeds = {toml_text.toml([self.seeds_of(setup).count for setup in self.setups])}"
                )
        return "\n".join(lines) + "\n"


class _Parts(NamedTuple):
    fields: dict[str, Any]
    privates: tuple[Setup | None, tuple[Setup, ...], tuple[int | None, ...], dict[str, int]]


def _read_sweep(
    data: Mapping[str, Any],
    name: str,
    seeds: int | str | Seeds | None,
    settings: Iterable[str],
    folder: str,
) -> _Parts:
    """Check and expand a whole sweep. Raises SweepError with every mistake in it."""
    lines: list[str] = []
    here = f"{name}: " if name else ""
    for key in data:
        if key not in (
            *Sweep.model_fields,
            "resolved",
        ):  # which says of a store's file what follows from the rest
            lines.append(f"{here}{plain(str(key))}: {_unknown(key, Sweep.model_fields)}")
    title = data.get("title", "")
    if not isinstance(title, str) or len(title) > 1000 or not all(c.isprintable() for c in title):
        lines.append(
            f"{here}title: given {shown(title)}, allowed: a string of at most 1,000 printable characters"
        )
    chosen = _read_seeds(data.get("seeds"), here, seeds, lines)
    setup, tables, seeds_given = _places(data, here, folder, lines)
    own = tuple(_own_seeds(seeds_given, chosen, lines))
    own = own if seeds is None else ()
    seen: set[str] = set()
    for text in settings:
        _set(text, setup, tables, seen, lines)
    values = _checked(setup, lines)
    figures = protocols.read(
        data.get("published", ()), here, partial(_where, folder=folder, lines=lines), lines
    )
    lengths = [[len(given.value) for given in table.values()] for table in tables]
    total = sum(math.prod(max(length, 1) for length in each) for each in lengths)
    few = sum(map(sum, lengths)) <= MAX_SETUPS  # values, which may be few where setups are too many
    grids = [_grid_values(table, lines) for table in tables] if few else []
    if total > MAX_SETUPS or not few:
        lines.append(f"{here}grid: given {total:,} setups, allowed: at most {MAX_SETUPS:,}")
        raise SweepError(dict.fromkeys(lines))
    for index, table in enumerate(tables or [{}]):
        place = f"{here}grid[{index + 1}]." if len(tables) > 1 else f"{here}setup."
        lines += _incomplete(_outside(setup, table) | table, place)
    expanded, baseline = _expand(setup, values, tables, grids, here, lines)
    if lines or chosen is None:
        raise SweepError(dict.fromkeys(lines))
    fields = {
        "title": title,
        "seeds": chosen,
        "setup": values,
        "grid": tuple(grids),
        "published": figures,
    }
    setups = tuple(one for one, _ in expanded)
    counts = [
        max((own[i] if i < len(own) else None) or chosen.count for i in places)
        for _, places in expanded
    ]
    several = (
        {one.identity(): count for one, count in zip(setups, counts, strict=True)}
        if set(counts) - {chosen.count}
        else {}
    )
    return _Parts(fields, (baseline, setups, own, several))


def _read_seeds(
    value: object, here: str, override: int | str | Seeds | None, lines: list[str]
) -> Seeds | None:
    """The seeds of a file, or those that stand in for them."""
    place, written = f"{here}seeds", value
    if isinstance(override, Seeds):
        return override
    if override is not None:
        place, written = "--seeds", override
        with suppress(
            ValueError
        ):  # more digits than an integer may have: refused below as it stands
            written = toml_text.read_value(override) if isinstance(override, str) else override
        start = value.get("start", 0) if isinstance(value, Mapping) else 0
        value = written if isinstance(written, Mapping) else {"start": start, "count": written}
    elif isinstance(value, Seeds):
        return value
    try:
        chosen = Seeds.model_validate(value if isinstance(value, Mapping) else {"count": value})
        if chosen.stop <= LAST_SEED:
            return chosen
    except ValidationError:
        pass
    given = "not given" if written is None else f"given {shown(written)}"
    lines.append(
        f"{place}: {given}, allowed: an integer from 1, or {{start = S, count = N}} with S ≥ 0 and S + N ≤ 2^63"
    )
    return None


def _own_seeds(
    given: Sequence[Given | None], chosen: Seeds | None, lines: list[str]
) -> Iterator[int | None]:
    """How many seeds each grid says; a line for each that is wrong."""
    for each in given:
        most = LAST_SEED - (chosen.start if chosen else 0)
        count = choice_syntax.as_number(each.value) if each else None
        if each and (
            isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most
        ):
            lines.append(
                f"{each.place}: given {shown(each.value)}, allowed: an integer from 1; they start where the sweep's do"
            )
        yield count if isinstance(count, int) else None


def _places(
    data: Mapping[str, Any], here: str, folder: str, lines: list[str]
) -> tuple[Placed, list[Placed], list[Given | None]]:
    """The tables of a file with the place of each value, and the seeds of each grid; a line for
    what should be a table and is not.
    """
    setup, grid = data.get("setup", {}), data.get("grid", [])
    if not isinstance(setup, Mapping):
        lines.append(f"{here}setup: given {shown(setup)}, allowed: a table, [setup]")
        setup = {}
    grids = [grid] if isinstance(grid, Mapping) else toml_text.as_list(grid)
    if grids is None or not all(isinstance(table, Mapping) for table in grids):
        lines.append(
            f"{here}grid: given {shown(grid)}, allowed: a table, [grid], or several, [[grid]]"
        )
        grids = []
    tables: list[Placed] = []
    seeds: list[Given | None] = []
    for index, table in enumerate(grids):
        place = f"{here}grid" if len(grids) == 1 else f"{here}grid[{index + 1}]"
        tables.append({})
        seeds.append(Given(f"{place}.seeds", table["seeds"]) if "seeds" in table else None)
        for key, value in table.items():
            if key == "seeds":
                continue
            where = f"{place}.{plain(str(key))}"
            options = None
            try:
                options = toml_text.as_list(_listed(key, value))
                if key in Setup.model_fields and not options:
                    lines.append(
                        f"{where}: given {shown(value)}, allowed: a list of one or more values"
                    )
            except ValueError as error:
                lines.append(f"{where}: {error}")
            tables[-1][key] = Given(
                where, _each_table(options or ()) if key == "problem" else options or (), folder
            )
    return (
        {
            key: Given(f"{here}setup.{plain(str(key))}", value, folder)
            for key, value in setup.items()
        },
        tables,
        seeds,
    )


def _set(text: str, setup: Placed, tables: list[Placed], seen: set[str], lines: list[str]) -> None:
    """Lay one `KEY=VALUE` over a sweep. A path in it is seen from the current folder, wherever the
    sweep file lies.
    """
    key, equals, written = (piece.strip() for piece in text.partition("="))
    if not equals or not key:
        lines.append(f"--set: given {shown(text)}, allowed: KEY=VALUE")
        return
    place = f"--set {plain(key)}"
    if key == "seeds":
        lines.append(f"{place}: unknown key, allowed: keys of a setup; for seeds there is --seeds")
        return
    if ALTERNATIVE.get(key) in seen:
        lines.append(
            f"{place}: given beside --set {ALTERNATIVE[key]}, allowed: one of updates and epochs"
        )
        return
    seen.add(key)
    try:
        value = _listed(key, toml_text.read_value(written))
    except ValueError as error:
        lines.append(f"{place}: {error}")
        return
    if key == "problem":
        many = _each_table(value if isinstance(value, list) else [value])
        value = [*many] if len(many) > 1 else value
    if value == []:
        lines.append(f"{place}: given [], allowed: a list of one or more values")
    elif isinstance(value, list) and len(value) > 1:
        tables.extend([] if tables else [{}])
        for table in tables:
            table[key] = Given(place, value)
            table.pop(ALTERNATIVE.get(key), None)
    else:
        setup[key] = Given(place, value[0] if isinstance(value, list) else value)
        for given in (setup, *tables):
            given.pop(ALTERNATIVE.get(key), None)
        for table in tables:
            table.pop(key, None)
