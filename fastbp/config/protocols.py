"""Published figures in a sweep file: numbers from papers that reports compare with our runs.

They change no setup and no id. Each figure states its number of runs, its uncertainty, or bounds.
"""

from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel, ConfigDict, Field

from fastbp.config.choice_syntax import Given, as_number, checked, checked_value, words
from fastbp.config.toml_text import as_list
from fastbp.problems.targets import Mistake
from fastbp.schema.paper_figures import (
    MAX_FIGURES,
    MAX_PRINTED,
    MAX_RUNS,
    EvaluatedWhen,
    Figure,
)
from fastbp.schema.text import nearest, number, plain, refusal, shown

Uncertain = Annotated[float, Ge(0), Le(MAX_PRINTED)]
"""The type of a printed number, its uncertainty and its bounds: from 0 to 10¹²."""


class Published(BaseModel):
    """A table `[[published]]`: one figure that a paper printed about many runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    source: Annotated[str, MinLen(1), MaxLen(300)] = Field(description="who printed it, and where")
    figure: Figure = Field(description="which figure it is")
    value: Uncertain = Field(description="the printed number")
    rounded: Annotated[float, Gt(0), Le(MAX_PRINTED)] | None = Field(
        None,
        description="the unit it was rounded to; without it, that of the last digit written here, "
        "and a success of 0 or 1 is exact",
    )
    runs: Annotated[int, Ge(1), Le(MAX_RUNS)] | None = Field(
        None, description="the number of runs behind it"
    )
    plus_minus: Uncertain | None = Field(None, description="its uncertainty, if that was printed")
    low: Uncertain | None = Field(None, description="its lower bound, if that was printed")
    high: Uncertain | None = Field(None, description="its upper bound, if that was printed")
    evaluated: EvaluatedWhen = Field(
        "after",
        description="whether outputs were evaluated after the updates of an epoch, "
        "or in the forward pass before them",
    )
    where: dict[str, Any] = Field(
        default_factory=dict,
        description="keys of a setup: the figure belongs to all setups with these values",
    )

    def written(self, where: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of the figure's table in a sweep file, without those at their defaults.

        `where` takes the place of the attribute: its paths may be relative to another folder.
        """
        keys, defaults = {**dict(self), "where": where}, {"evaluated": "after", "where": {}}
        return {key: value for key, value in keys.items() if value != defaults.get(key)}


def read(value: object, here: str, folder: str, lines: list[str]) -> tuple[Published, ...]:
    """Read the published figures of a sweep file.

    Parameters
    ----------
    value
        The key `published` of the file: a table or a list of tables. From Python the list may
        also have `Published`.
    here
        The beginning of each message: the file's name and a colon, or nothing.
    folder
        The folder that paths in the file are relative to.
    lines
        Gets a message for each mistake.

    Returns
    -------
    tuple of Published
        The figures without mistakes.
    """
    tables = [value] if isinstance(value, Mapping) else as_list(value)
    many = tables is not None and len(tables) > MAX_FIGURES
    if tables is None or many or not all(isinstance(each, Mapping | Published) for each in tables):
        given = f"{len(tables):,} tables" if tables and many else shown(value)
        lines.append(
            f"{here}published: given {given}, allowed: tables, [[published]], "
            f"at most {MAX_FIGURES:,}"
        )
        return ()
    figures = (
        table
        if isinstance(table, Published)
        else _read(table, f"{here}published[{i + 1}]", folder, lines)
        for i, table in enumerate(tables)
    )
    return tuple(figure for figure in figures if figure)


def _read(table: Mapping[Any, Any], place: str, folder: str, lines: list[str]) -> Published | None:
    """Read one figure; return None, and add messages to `lines`, if it has mistakes."""
    hints = get_type_hints(Published, include_extras=True)
    before = len(lines)
    values: dict[str, Any] = {}
    for key, value in table.items():
        try:
            if key not in hints:
                raise ValueError(f"unknown key, allowed: {', '.join(hints)}{nearest(key, hints)}")
            if key == "where":
                if not isinstance(value, Mapping):
                    raise ValueError(refusal(value, "a table of keys of a setup"))
                keys = {
                    k: Given(f"{place}.where.{plain(str(k))}", v, folder) for k, v in value.items()
                }
                values[key] = checked(keys, lines)
            else:
                values[key] = checked_value(hints[key], value)
        except ValueError as error:
            lines.append(f"{place}.{plain(str(key))}: {error}")
    lines += [
        f"{place}.{key}: not given, allowed: {words(hints[key])}"
        for key in ("source", "figure", "value")
        if key not in table
    ]
    if len(lines) == before:
        lines += [f"{place}.{key}: {text}" for key, text in _conflicts(values)]
    return Published(**values) if len(lines) == before else None


def _conflicts(values: Mapping[str, Any]) -> list[Mistake]:
    """Find values of a figure that are valid by themselves, but not together."""
    value, low, high = as_number(values["value"]), values.get("low"), values.get("high")
    bounded = low is not None and high is not None
    bound, other = ("low", "high") if high is None else ("high", "low")
    bounds = f"from low to high, {number(low)} to {number(high)}" if bounded else ""
    mistakes = [
        (
            not values["source"].isprintable(),
            Mistake("source", refusal(values["source"], "printable characters")),
        ),
        (
            values["figure"] == "success" and values["value"] > 1,
            Mistake("value", refusal(value, "a share from 0 to 1")),
        ),
        (
            (low is None) != (high is None),
            Mistake(bound, f"given without {other}, allowed: both or neither"),
        ),
        (
            bounded and "plus_minus" in values,
            Mistake("plus_minus", "given together with low and high, allowed: one of the two"),
        ),
        (
            bounded and "plus_minus" not in values and not low <= values["value"] <= high,
            Mistake("value", refusal(value, bounds)),
        ),
        (
            not {"runs", "plus_minus", "low", "high"} & values.keys(),
            Mistake(
                "runs",
                "not given, allowed: runs, plus_minus, or low and high, which say how certain the "
                "figure is",
            ),
        ),
    ]
    return [mistake for applies, mistake in mistakes if applies]
