"""Diagnoses the Circle networks: `python sweeps/circles/make_diagnoses.py [SECONDS]`.

Each kind of network gets so many seconds, 60 by default. Then it is trained from 1,000 fresh seeds,
as published and with what the diagnosis recommends. If more than half of them fail either way, and
there was no time for some changes, it is diagnosed once more, with four times the seconds. The rows
go to diagnoses.csv in results/circles; kinds that are there already stay as they are. What a
diagnosis can try depends on the machine.
"""

import sys
from typing import Any

import pandas as pd
from circles import RESULTS, Kind, kinds, setup_of

from fastbp.diagnosis.diagnose import Diagnosis, diagnose
from fastbp.diagnosis.trials import Trial, train
from fastbp.schema.outcomes import OUTCOMES, Outcome

FILE = RESULTS / "diagnoses.csv"

START, SEEDS = 1_000_000, 1000
"""The fresh seeds: a diagnosis takes its own from 0."""


def row_of(kind: Kind, one: Diagnosis) -> dict[Any, Any]:
    """What a diagnosis says of a kind of network, and what that does from fresh seeds."""
    best = one.recommended
    first = (
        best.changes[0].name if best else next(iter(one.table[one.table["fixes"]]["change"]), "")
    )
    trials = [Trial(one.setup), *([Trial(best.setup)] if best else [])]
    trained = train(trials, START, SEEDS)
    base, *after = (trained[trial] for trial in trials)
    row: dict[Any, Any] = {
        "network": str(kind),
        "runs": base.runs,
        "converged": int(base.converged().sum()),
        "constant": int(base.constant().sum()),
        "diverged": int((base.codes == OUTCOMES.index(Outcome.DIVERGED)).sum()),
        "accuracy": round(base.median("test_accuracy"), 4),
        "cause": one.table.set_index("change")["cause"].get(first, ""),
        "changes": " + ".join(each.name for each in best.changes) if best else "",
        "seeds_of_diagnosis": one.runs,
        "left_out": len(one.left_out),
    }
    for each in after:
        row |= {
            "fresh_runs": each.runs,
            "fresh_converged": int(each.converged().sum()),
            "fresh_accuracy": round(each.median("test_accuracy"), 4),
        }
    return row


def main(seconds: float) -> None:
    """Diagnose the kinds that are not in the file yet, and write it after each."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(FILE).to_dict("records") if FILE.exists() else []
    known, order = {row["network"] for row in rows}, [str(kind) for kind in kinds()]
    for kind in kinds():
        if str(kind) in known:
            continue
        for allowed in (seconds, 4 * seconds):
            row = row_of(kind, diagnose(setup_of(kind), seconds=allowed)) | {"seconds": allowed}
            most = max(row["converged"], row.get("fresh_converged", 0))
            if most > SEEDS / 2 or not row["left_out"]:
                break
        rows = sorted([*rows, row], key=lambda each: order.index(each["network"]))
        table = pd.DataFrame(rows).convert_dtypes()
        table.to_csv(FILE, index=False, lineterminator="\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
