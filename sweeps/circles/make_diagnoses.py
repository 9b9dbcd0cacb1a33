"""Diagnoses the Circle networks: `python sweeps/circles/make_diagnoses.py [SECONDS]`.

Each kind of network gets so many seconds, 60 by default. The rows go to diagnoses.csv in
results/circles; kinds that are there already stay as they are. What a diagnosis can try depends on
the machine.
"""

import sys
from typing import Any

import pandas as pd
from circles import RESULTS, Kind, kinds, setup_of

from fastbp.diagnosis.diagnose import Diagnosis, diagnose

FILE = RESULTS / "diagnoses.csv"


def row_of(kind: Kind, one: Diagnosis) -> dict[str, Any]:
    """What a diagnosis says of a kind of network."""
    best, base = one.recommended, one.base
    first = (
        best.changes[0].name if best else next(iter(one.table[one.table["fixes"]]["change"]), "")
    )
    cause = one.table.set_index("change")["cause"].get(first, "")
    row: dict[str, Any] = {
        "network": str(kind),
        "runs": one.runs,
        "converged": one.outcomes["converged"],
        "constant": int(base.constant().sum()),
        "diverged": one.outcomes["diverged"],
        "accuracy": round(base.median("test_accuracy"), 4),
        "cause": cause,
        "changes": " + ".join(each.name for each in best.changes) if best else "",
        "left_out": len(one.left_out),
    }
    if best and best.runs:
        row |= {
            "fresh_runs": best.runs,
            "fresh_before": int(best.before.converged().sum()),
            "fresh_converged": best.converged,
            "fresh_accuracy": round(best.after.median("test_accuracy"), 4),
        }
    return row


def main(seconds: float) -> None:
    """Diagnose the kinds that are not in the file yet, and write it after each."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(FILE).to_dict("records") if FILE.exists() else []
    known = {row["network"] for row in rows}
    for kind in kinds():
        if str(kind) in known:
            continue
        rows.append(row_of(kind, diagnose(setup_of(kind), seconds=seconds)))
        table = pd.DataFrame(rows).convert_dtypes()
        table.to_csv(FILE, index=False, lineterminator="\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
