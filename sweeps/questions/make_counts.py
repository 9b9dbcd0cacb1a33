"""Counts the runs of the questions: `python sweeps/questions/make_counts.py RESULTS`.

RESULTS is the folder of all stores, such as results. For every setup of a question it counts the
seeds that converge with and without its changes; the table is results/questions/effects.csv.
"""

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from judge import (
    AS_ASKED,
    HERE,
    Change,
    Counts,
    Question,
    Step,
    change_of,
    questions,
    read,
    written,
)

from fastbp.analysis.contrasts import pair
from fastbp.analysis.counts import Runs, count_runs
from fastbp.config.setup import Setup
from fastbp.config.sweep import Sweep
from fastbp.schema.keys import KEYS
from fastbp.schema.outcomes import CONSTANT, OUTCOMES, Outcome

FOLDER = HERE.parents[1] / "results" / "questions"

COLUMNS = (
    *("pairs", "converged_before", "converged_after", "fixed", "broken"),
    *("constant", "diverged"),
)
"""The columns of effects.csv after the question and the two setups: the fields of `Counts`."""


def difference(asked: Setup, setup: Setup) -> Change:
    """The keys in which a setup differs from the one as asked."""
    values = {key: getattr(setup, key) for key in KEYS}
    return change_of({k: v for k, v in values.items() if v != getattr(asked, k)})


def counted(question: Question, runs: Runs) -> dict[Step, Counts]:
    """Compare all setups of a question with the one as asked, and what `steps` wants.

    Raises
    ------
    SystemExit
        If a setup of the sweep file has no runs.
    """
    sweep = Sweep.from_toml(HERE / question.file)
    asked = sweep.baseline
    if asked is None:
        raise SystemExit(f"{question.file}: [setup] is no setup of its own")
    known = {one.setup: one for one in count_runs(runs)}
    if missing := [each for each in (asked, *sweep.setups) if each.identity() not in known]:
        change = written(difference(asked, missing[0])) or "as asked"
        raise SystemExit(f"{question.file}: no runs of {len(missing)} setups, such as {change}")
    every = {difference(asked, each): known[each.identity()] for each in (asked, *sweep.setups)}
    steps = [*((AS_ASKED, change) for change in every), *question.steps()]
    counts = {}
    for before, after in dict.fromkeys(steps):
        pairs, fixed, broken, converged = pair(every[before], every[after])
        ended = every[after].counts / every[after].runs
        counts[before, after] = Counts(
            *(pairs, converged, converged + fixed - broken, fixed, broken),
            round(float(sum(ended[OUTCOMES.index(each)] for each in CONSTANT)), 6),
            round(float(ended[OUTCOMES.index(Outcome.DIVERGED)]), 6),
        )
    return counts


def store_of(question: Question, results: Path) -> Path:
    """The store of a question in a folder of results."""
    return (results / "questions" / question.store).resolve()


def write_counts(results: Path) -> None:
    """Write effects.csv from the stores of all questions."""
    rows = [
        {
            "question": question.file,
            "before": written(before),
            "after": written(after),
            **dict(zip(COLUMNS, counts, strict=True)),
        }
        for question in questions()
        for (before, after), counts in counted(question, store_of(question, results)).items()
    ]
    (FOLDER / "effects.csv").write_text(csv_of(rows), encoding="utf-8")


def csv_of(rows: Sequence[dict[str, Any]]) -> str:
    """A table as the text of a CSV file."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    table = csv.DictWriter(text, [*columns], restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def rows_of(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with file.open(encoding="utf-8", newline="") as text:
        return [*csv.DictReader(text)]


def numbers_of(row: dict[str, str]) -> Iterator[Any]:
    """The numbers of a row of effects.csv."""
    yield from (int(row[name]) for name in COLUMNS[:5])
    yield from (float(row[name]) for name in COLUMNS[5:])


def counts_in(folder: Path) -> dict[str, dict[Step, Counts]]:
    """Read effects.csv: for each sweep file the counts of two setups."""
    counts: dict[str, dict[Step, Counts]] = {}
    for row in rows_of(folder / "effects.csv"):
        step = read(row["before"]), read(row["after"])
        counts.setdefault(row["question"], {})[step] = Counts(*numbers_of(row))
    return counts


if __name__ == "__main__":
    write_counts(Path(sys.argv[1]))
