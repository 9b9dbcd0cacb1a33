"""Records what a diagnosis names first: `python sweeps/questions/diagnose_all.py [NAME …]`.

Each question gets the setup as asked and its data. The rows go to results/questions/diagnose.csv;
those of other questions stay. What a diagnosis can try in its seconds depends on the machine.
"""

import csv
import sys
from pathlib import Path
from typing import Any

from judge import ANOTHER_SEED, HERE, Question, questions, text_of, written

from fastbp.config.sweep import Sweep
from fastbp.diagnosis.diagnose import Diagnosis, diagnose
from fastbp.diagnosis.sentences import COMMON
from fastbp.analysis.statistics.proportions import wilson
from fastbp.schema.keys import KEYS

FILE = HERE.parents[1] / "results" / "questions" / "diagnose.csv"

COLUMNS = (
    "question seeds converged measure change cause name after difference low high recommended"
).split()

START, SECONDS = 1_000_000, 60.0


def keys_of(diagnosis: Diagnosis, name: str) -> str:
    """The keys that a change of a diagnosis gives other values, with these, as one text."""
    columns, asked = {key.column: key.name for key in KEYS.values()}, diagnosis.setup.columns()
    keys = {
        columns[column]: text_of(columns[column], value)
        for (change,) in [diagnosis.changes[name]]
        for column, value in change.keys.items()
        if value is not None and value != asked[column]
    }
    return written(frozenset(keys.items()))


def row_of(question: Question, diagnosis: Diagnosis) -> dict[str, Any]:
    """The row of a question: what the diagnosis names first, and what that does."""
    converged, seeds, best = diagnosis.outcomes["converged"], diagnosis.runs, diagnosis.recommended
    row: dict[str, Any] = {
        "question": question.file,
        "seeds": seeds,
        "converged": converged,
        "measure": diagnosis.measure,
        "recommended": " + ".join(each.name for each in best.changes) if best else "",
    }
    if float(wilson(converged, seeds)[0]) >= COMMON:
        return row | {"change": written(ANOTHER_SEED), "cause": "it seldom fails"}
    fixes = diagnosis.table[diagnosis.table["fixes"]]["change"]
    name = best.changes[0].name if best else next(iter(fixes), "")
    if not name or diagnosis.impossible:
        return row | {"cause": diagnosis.impossible}
    first = diagnosis.table[diagnosis.table["change"] == name].to_dict("records")[0]
    gain = (int(first["converged"]) - converged) / seeds
    paired = diagnosis.measure == "success"
    ends = [first["difference_low"], first["difference_high"]] if paired else [gain, gain]
    return row | {
        "change": keys_of(diagnosis, name),
        "cause": first["cause"],
        "name": name,
        "after": first["converged"],
        **dict(zip(("difference", "low", "high"), (gain, *ends), strict=True)),
    }


def main(names: list[str]) -> None:
    """Diagnose these questions, or all, and write the file after each."""
    every = {question.file: question for question in questions()}
    FILE.parent.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    if FILE.exists():
        with FILE.open(encoding="utf-8", newline="") as file:
            rows = {row["question"]: row for row in csv.DictReader(file)}
    for question in every.values():
        if names and question.name not in names:
            continue
        setup = Sweep.from_toml(Path(HERE, question.file)).baseline
        assert setup is not None
        rows[question.file] = row_of(question, diagnose(setup, seconds=SECONDS, start=START))
        with FILE.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            table.writeheader()
            table.writerows(rows[name] for name in every if name in rows)


if __name__ == "__main__":
    main(sys.argv[1:])
