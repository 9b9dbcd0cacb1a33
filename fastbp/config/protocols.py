"""What a sweep file may say of others' results: figures that a paper printed of many runs, to hold
beside ours.

They change no setup and no identity. A figure is worth as much as it is certain, so each says how
many runs are behind it, or its own bounds.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fastbp.config import choice_syntax, toml_text
from fastbp.config.choice_syntax import Real, Whole
from fastbp.schema.paper_figures import MAX_RUNS, EvaluatedWhen, Figure
from fastbp.schema.text import nearest, number, plain, shown

MOST = 1000
"""Figures in a file."""

Certain = Annotated[Real, Ge(0), Le(10.0**12)]

Where = Callable[[Mapping[Any, Any], str], dict[str, Any]]
"""Checks the keys of a setup in a table at a place, and says what is wrong."""


class Published(BaseModel):
    """A figure that somebody printed of runs like ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    source: Annotated[str, MinLen(1), MaxLen(300)] = Field(description="who printed it, and where")
    figure: Figure = Field(description="what it is")
    value: Certain = Field(description="what was printed")
    rounded: Annotated[Real, Gt(0), Le(10.0**12)] | None = Field(
        None,
        description="to what it was rounded; else the last digit written here, and a success of 0 or 1 is exact",
    )
    runs: Annotated[Whole, Ge(1), Le(MAX_RUNS)] | None = Field(
        None, description="how many runs are behind it"
    )
    plus_minus: Certain | None = Field(None, description="its uncertainty, where that was printed")
    low: Certain | None = Field(None, description="its lower bound, where that was printed")
    high: Certain | None = Field(None, description="its upper bound, where that was printed")
    looks: EvaluatedWhen = Field(
        "after",
        description="whether outputs were looked at after the updates of an epoch, or as the pass before them has them",
    )
    where: dict[str, Any] = Field(
        default_factory=dict,
        description="keys of a setup: the figure is of those setups of the sweep that have them",
    )

    def written(self, where: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in the file, its `where` spelled so."""
        keys = {
            key: value
            for key, value in self
            if value is not None and (key != "looks" or value != "after")
        }
        return {key: value for key, value in (keys | {"where": where}).items() if value != {}}


def read(value: object, here: str, where: Where, lines: list[str]) -> tuple[Published, ...]:
    """The figures of a file; a line for each mistake."""
    tables = [value] if isinstance(value, Mapping) else toml_text.as_list(value)
    if (
        tables is None
        or len(tables) > MOST
        or not all(isinstance(table, Mapping | Published) for table in tables)
    ):
        given = f"{len(tables):,} tables" if tables and len(tables) > MOST else shown(value)
        lines.append(
            f"{here}published: given {given}, allowed: tables, [[published]], at most {MOST:,}"
        )
        return ()
    found = []
    for i, table in enumerate(tables):
        one = (
            table
            if isinstance(table, Published)
            else _read(table, f"{here}published[{i + 1}]", where, lines)
        )
        found += [one] if one else []
    return tuple(found)


def _read(table: Mapping[Any, Any], place: str, where: Where, lines: list[str]) -> Published | None:
    """One figure; None where a line was added."""
    hints = get_type_hints(Published, include_extras=True)
    before = len(lines)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            lines.append(
                f"{place}.{plain(str(key))}: unknown key, allowed: {', '.join(hints)}{nearest(key, hints)}"
            )
        elif key == "where":
            if isinstance(value, Mapping):
                values[key] = where(value, f"{place}.where")
            else:
                lines.append(
                    f"{place}.where: given {shown(value)}, allowed: a table of keys of a setup"
                )
        else:
            try:
                values[key] = TypeAdapter(hints[key], config=_STRICT).validate_python(value)
            except (ValidationError, RecursionError):
                hint = nearest(value, choice_syntax.options(hints[key]))
                lines.append(
                    f"{place}.{key}: given {shown(value)}, allowed: {choice_syntax.words(hints[key])}{hint}"
                )
    for key in ("source", "figure", "value"):
        if key not in table:
            lines.append(f"{place}.{key}: not given, allowed: {choice_syntax.words(hints[key])}")
    if len(lines) == before:
        lines += [f"{place}.{key}: {text}" for key, text in _conflicts(values)]
    return Published(**values) if len(lines) == before else None


_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def _conflicts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Mistakes between keys: the key to blame and the rest of the line."""
    source, value = values["source"], values["value"]
    low, high = values.get("low"), values.get("high")
    found = []
    if not all(c.isprintable() for c in source):
        found.append(("source", f"given {shown(source)}, allowed: printable characters"))
    if values["figure"] == "success" and value > 1:
        found.append(("value", f"given {number(value)}, allowed: a share from 0 to 1"))
    if (low is None) != (high is None):
        found.append(
            (
                "low" if high is None else "high",
                f"given alone, allowed: beside {'high' if high is None else 'low'}",
            )
        )
    elif low is not None and "plus_minus" in values:
        found.append(("plus_minus", "given beside low and high, allowed: one of the two"))
    elif low is not None and high is not None and not low <= value <= high:
        bounds = f"{number(low)} to {number(high)}"
        found.append(("value", f"given {number(value)}, allowed: from low to high, {bounds}"))
    elif low is None and not values.keys() & {"runs", "plus_minus"}:
        found.append(
            (
                "runs",
                "not given, allowed: runs, plus_minus, or low and high, which say how certain the figure is",
            )
        )
    return found
