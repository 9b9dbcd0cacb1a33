"""A diagnosis from Python: arrays in, words out."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from fastbp.config.setup import Setup
from fastbp.diagnosis import sentences
from fastbp.diagnosis.diagnose import Diagnosis, diagnose, usual_epochs
from fastbp.diagnosis.recommend import Recommended
from fastbp.reporting.phrases import plural
from fastbp.schema.errors import SweepError
from fastbp.schema.text import shown


class Explanation(NamedTuple):
    """Why networks of a setup fail and what fixes it; printed, it says so in a screenful.

    `notes`: what was taken where nothing was said.
    """

    diagnosis: Diagnosis
    notes: tuple[str, ...] = ()

    @property
    def setup(self) -> Setup:
        """The setup as it is."""
        return self.diagnosis.setup

    @property
    def verdict(self) -> list[str]:
        """What is wrong, what fixes it, and what does not, in sentences."""
        return sentences.verdict(self.diagnosis)

    @property
    def table(self) -> pd.DataFrame:
        """The single changes that were tried, one row each, best first."""
        return self.diagnosis.table

    @property
    def recommended(self) -> Recommended | None:
        """The changes that are recommended, and what came of fresh seeds."""
        return self.diagnosis.recommended

    def __str__(self) -> str:
        """The verdict, the table, and what to change."""
        lines = sentences.screen(
            self.diagnosis, commands_=sentences.commands(self.diagnosis, name="why.setup")
        )
        return "\n".join([*(f"note: {note}" for note in self.notes), *lines])

    def __repr__(self) -> str:
        """The same."""
        return str(self)


def explain(
    X: Any, T: Any, *, seeds: int = 2000, seconds: float = 60.0, **setup: Any
) -> Explanation:
    """Say why a network fails on this data, and what fixes it.

    Parameters: `X`, inputs [row, input]; `T`, targets [row, output] or [row], from 0 to 1; `seeds`,
    of each change that is tried; `seconds`, never more, but where compiling, once for a machine,
    takes them; and the setup's keys as in a sweep file, such as hidden=[4], lr=0.2, order="random",
    updates=999. Without updates and epochs, a run has 1,000 epochs, or fewer where that would take
    long. Raises SweepError with every mistake.
    """
    lines = []
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        lines.append(f"seeds: given {shown(seeds)}, allowed: an integer from 1")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        lines.append(f"seconds: given {shown(seconds)}, allowed: a number above 0")
    if lines:
        raise SweepError(lines)
    notes = []
    if setup.get("updates") is None and setup.get("epochs") is None:
        setup["epochs"] = usual_epochs(Setup.from_arrays(X, T, **setup | {"epochs": 1}))
        notes.append(f"no budget was given, so each run has {plural(setup['epochs'], 'epoch')}")
    return Explanation(diagnose(Setup.from_arrays(X, T, **setup), seeds, seconds), tuple(notes))
