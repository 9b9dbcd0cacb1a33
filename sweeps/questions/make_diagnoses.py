"""Records what a diagnosis names first: `python sweeps/questions/make_diagnoses.py [NAME …]`.

Each question gets the setup as asked and its data. The rows go to results/questions/diagnose.csv;
those of other questions stay. What a diagnosis can try in its seconds depends on the machine.
"""

import sys
from typing import Any

from judge import ANOTHER_SEED, HERE, MORE_TIME, Question, questions, text_of, written
from make_counts import FOLDER, csv_of, rows_of

from fastbp.analysis.statistics.proportions import wilson
from fastbp.config.sweep import Sweep
from fastbp.diagnosis.diagnose import Diagnosis, diagnose
from fastbp.diagnosis.sentences import COMMON
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import KEYS

FILE = FOLDER / "diagnose.csv"

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


def diagnosed(question: Question) -> dict[str, Any]:
    """Diagnose a question and make its row; a minute may be too short for a few runs."""
    setup = Sweep.from_toml(HERE / question.file).baseline
    if setup is None:
        raise SystemExit(f"{question.file}: [setup] is no setup of its own")
    try:
        return row_of(question, diagnose(setup, seconds=SECONDS, start=START))
    except SweepError as error:
        why = {"change": written(MORE_TIME), "cause": error.lines[0].partition(":")[0]}
        return {"question": question.file, "seeds": 0, "converged": 0} | why


def main(names: list[str]) -> None:
    """Diagnose these questions, or all, and write the file after each."""
    every = {question.file: question for question in questions()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    known = rows_of(FILE) if FILE.exists() else []
    rows: dict[str, dict[str, Any]] = {row["question"]: {**row} for row in known}
    for question in every.values():
        if not names or question.name in names:
            rows[question.file] = diagnosed(question)
            FILE.write_text(csv_of([rows[name] for name in every if name in rows]), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
