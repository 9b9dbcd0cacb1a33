"""A diagnosis from Python: arrays in, words out."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from fastbp.engine.spec import Setup
from fastbp.inquiry import words
from fastbp.inquiry.diagnosis import Diagnosis, diagnose
from fastbp.inquiry.recommending import Recommended


class Explanation(NamedTuple):
    """Why networks of a setup fail and what mends it; printed, it says so in a screenful."""

    diagnosis: Diagnosis

    @property
    def verdict(self) -> list[str]:
        """What is wrong, what mends it, and what does not, in sentences."""
        return words.verdict(self.diagnosis)

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
        return "\n".join(words.screen(self.diagnosis))

    def __repr__(self) -> str:
        """The same."""
        return str(self)


def explain(X: Any, T: Any, *, seeds: int = 2000, seconds: float = 60.0, **setup: Any) -> Explanation:
    """Say why a network fails on this data, and what mends it.

    Parameters: `X`, inputs [row, input]; `T`, targets [row, output] or [row], from 0 to 1; `seeds`, of each change that is tried;
    `seconds`, never more; and the setup's keys as in a sweep file, such as hidden=[4], lr=0.2, order="random", updates=999.
    Raises SweepError with every mistake.
    """
    return Explanation(diagnose(Setup.from_arrays(X, T, **setup), seeds, seconds))
