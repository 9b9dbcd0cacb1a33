"""How a diagnosis is printed and written: its table, what to do next, as JSON, and as files."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fastbp.config.setup import Setup
from fastbp.config.sweep import Sweep
from fastbp.config.toml_text import toml
from fastbp.diagnosis.candidates import Change
from fastbp.diagnosis.effects import score_of
from fastbp.diagnosis.recommend import Recommendation
from fastbp.diagnosis.sentences import (
    SCORE_NAMES,
    Line,
    cost_text,
    labelled,
    moved,
    score_text,
    share_text,
    times_text,
)
from fastbp.diagnosis.trials import CONTROL, MeasuredRuns
from fastbp.reporting.phrases import plain
from fastbp.reporting.sections import diagnosis_section
from fastbp.schema.errors import StoreFullError, UnsafeFileError
from fastbp.schema.keys import KEYS
from fastbp.schema.text import aligned, and_, plural, shortened, typed
from fastbp.store import safe_files
from fastbp.store.safe_files import write_all
from fastbp.store.store import writing

if TYPE_CHECKING:
    from fastbp.diagnosis.diagnose import Diagnosis

CHANGES, PAGE = "changes.csv", "diagnosis.html"
"""The names of the file with the table of changes, and of the page."""

OUTPUTS = (CHANGES, PAGE, "fixed.toml", "setup.toml", "figures/changes.svg")
"""The names of all files of a diagnosis."""

MAX_LINES = 7
"""The most changes in the table on the terminal."""

WIDTH = 80
"""Characters per line of the terminal."""

MAX_NOTES = 3
"""The most notes about data on the terminal."""

ANSWER = ("Weights", "Wrong", "Fix", "Now", "Data")
"""The labels of sentences that stand above the table."""

SWEEP_SEEDS = 2000
"""Number of seeds in the sweep file that a diagnosis writes."""


def screen(diagnosis: Diagnosis, weights: Sequence[str], next_lines: Sequence[str]) -> list[str]:
    """The lines for a terminal: the answer, the table, what else was seen, and what to do next.

    `weights`: sentences about the user's own weights.
    """
    lines = [*(("Weights", text) for text in weights), *labelled(diagnosis, MAX_NOTES)]
    # Commands stay in one line, to be copied.
    parts = (
        _sentences([line for line in lines if line[0] in ANSWER]),
        table(diagnosis),
        _sentences([line for line in lines if line[0] not in ANSWER]),
        [*chain(*[[text] if "fastbp" in text else _wrapped(text, "", 2) for text in next_lines])],
    )
    return [*chain(*(["", *part] for part in parts if part))][1:]


def _sentences(lines: Sequence[Line]) -> list[str]:
    """The lines of labelled sentences; a label that repeats is left out."""
    return [
        line
        for last, (label, text) in zip([("", ""), *lines], lines, strict=False)
        for line in _wrapped(text, f"{label if label != last[0] else '':<8}", 8)
    ]


def _wrapped(text: str, start: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


# The table

TITLES = [
    *("change", "fixed", "broken", "difference", "[95%]", "converge", "constant", "score"),
    *("presented", "mult-adds", "p (Holm)", ""),
]
"""The titles of the columns of a table of changes on a page; the last column has none."""

ON_TERMINAL = itemgetter(0, 5, 6, 7, 4, 9)
"""Takes the texts of the columns that the terminal shows."""


def table(diagnosis: Diagnosis) -> list[str]:
    """List the changes that were tried, best first, then the best pairs, one line each."""
    control = diagnosis.table["cause"] == CONTROL
    if control.all():
        return []
    shown = pd.concat([diagnosis.table[~control].head(MAX_LINES), diagnosis.table[control]])
    measure, score = diagnosis.measure, score_of(diagnosis.setup)
    short = "held-out" if score.startswith("test_") else SCORE_NAMES[score]
    judged = {"success": "converge", "constant": "constant"}.get(measure, short)
    rows = [
        ("change", "converge", "constant", short, f"{judged} 95% CI", "cost"),
        *(ON_TERMINAL(cells(row, measure, score)) for row in shown.to_dict("records")),
    ]
    room = WIDTH - 2 - max(map(len, aligned([row[1:] for row in rows], left=())))
    lines = aligned([[shortened(name, room), *others] for name, *others in rows], left=(0,))
    if more := len(diagnosis.table) - len(shown):
        lines.append(f"and {plural(more, 'change')} that did no more than the last of these")
    best = diagnosis.recommended
    name = and_([each.name for each in best.changes]) if best else ""
    pairs = sorted(diagnosis.pairs.to_dict("records"), key=lambda row: row["change"] != name)
    together = [
        f"together, {row['change']}: {share_text(row['converged'], row['pairs'])} of "
        f"{plural(row['pairs'], 'fresh seed')} converge, {cost_text(row['multiply_adds'])}"
        for row in pairs[:2]
    ]
    return [*lines, *chain(*(_wrapped(line, "", 2) for line in together))]


def cells(row: dict[Any, Any], measure: str, score: str) -> list[str]:
    """The texts in one row of a table of changes by a measure, one for each of `TITLES`."""
    difference, low, high = moved(measure, row)
    return [
        row["change"],
        plain(row["fixed"]),
        plain(row["broken"]),
        difference,
        f"{low}, {high}",
        share_text(row["converged"], row["pairs"]),
        share_text(row["constant"], row["pairs"]),
        score_text(row[score]),
        f"{times_text(row['presentations'])} ×",
        f"{times_text(row['multiply_adds'])} ×",
        "<0.0001" if row["p_holm"] < 1e-4 else f"{row['p_holm']:.2g}",
        "fixes" if row["fixes"] else CONTROL * (row["cause"] == CONTROL),
    ]


# What to do next


def settings(changes: Sequence[Change]) -> dict[str, Any]:
    """The keys that changes set, with their values, as in a sweep file."""
    names = {key.column: key.name for key in KEYS.values()}
    keys = {names[column]: v for change in changes for column, v in change.keys.items()}
    if "hidden" in keys:
        keys["hidden"] = [int(size) for size in str(keys["hidden"]).split("-")]
    return {key: value for key, value in keys.items() if value is not None}


def commands(
    diagnosis: Diagnosis, sweep_file: str = "", store: str = "", name: str = ""
) -> list[str]:
    """Say what to do next: which keys to change, and commands if there is a sweep file.

    `sweep_file`, `store`: the paths of that file and of the folder for its runs. `name`: the
    setup's name in Python, if it has one.
    """
    best, example = diagnosis.recommended, diagnosis.example
    lines = [f"in your own code: {_custom_code(best)}"] if best else []
    if sweep_file:
        what = "both setups" if best else "the setup"
        is_far = bool(diagnosis.setup.out_of_range)
        lines.append(
            f"{what} from many seeds{', with targets scaled to what outputs reach' * is_far}: "
            f"fastbp sweep {typed(sweep_file)} -o {typed(store)}"
        )
        if example is not None and not is_far:
            lines.append(
                "then a run that fails, with its picture: "
                f"fastbp replay {typed(store)} {diagnosis.setup.identity()} {example}"
            )
    elif example is not None and (setup := name or _python(diagnosis.setup)):
        lines.append(f"a run that fails, from Python: fastbp.retrain({setup}, {example})")
    return lines


def _python(setup: Setup) -> str:
    """The setup as Python code; empty if its data file, such as a sample of a table, is gone."""
    keys = setup.settings()
    if setup.problem.startswith("file:"):
        path = setup.problem.removeprefix("file:")
        if not os.path.exists(path):
            return ""
        keys["problem"] = f"file:{os.path.relpath(path)}"
    return f"fastbp.Setup({', '.join(f'{key}={value!r}' for key, value in keys.items())})"


def _custom_code(best: Recommendation) -> str:
    """List the keys to change, with what the user's own program must do for them."""
    notes = {
        "standard": "subtract each input column's mean and divide by its σ",
        "minmax": "scale each input column to 0..1",
        "sum": "sum the gradients of its rows",
        "mean": "average the gradients of its rows",
    }
    explained = {
        "scale_inputs": notes.get(best.setup.scale_inputs),
        "batch": notes[best.setup.reduction] * (best.setup.batch_rows > 1),
    }
    return ", ".join(
        f"{key} = {toml(value)}" + (f" ({explained[key]})" if explained.get(key) else "")
        for key, value in settings(best.changes).items()
    )


def as_json(diagnosis: Diagnosis, weights: dict[str, Any] | None = None) -> dict[str, Any]:
    """The diagnosis as a dictionary for JSON; `weights`: what there is about the user's own."""
    best, orders = diagnosis.recommended, diagnosis.orders
    changes = diagnosis.table.to_dict("records")
    for row in changes:
        row["setting"] = settings(diagnosis.changes.get(row["change"], ()))
    content = {
        "setup": diagnosis.setup.identity(),
        "runs": diagnosis.runs,
        "outcomes": diagnosis.outcomes,
        "verdict": diagnosis.verdict,
        "data": [note._asdict() for note in (*diagnosis.notes, *diagnosis.data)],
        "measure": diagnosis.measure,
        "baseline": _graded(diagnosis.base) | {"majority": diagnosis.majority},
        "symptoms": [symptom._asdict() for symptom in diagnosis.symptoms],
        "changes": changes,
        "pairs": diagnosis.pairs.to_dict("records"),
        "recommended": best
        and {
            "setting": settings(best.changes),
            "setup": best.setup.identity(),
            "before": _graded(best.before),
            "fresh": _graded(best.after)
            | {name: best.tested.median(name) for name in ("test_accuracy", "test_r2")},
        },
        "orders": orders
        and orders._asdict() | {"change": settings([orders.change]), **settings([orders.order])},
        "left_out": diagnosis.left_out,
        "example": diagnosis.example,
        "complete": diagnosis.complete,
        **({"weights": weights} if weights else {}),
    }
    # JSON has neither NaN nor ∞.
    known: dict[str, Any] = json.loads(json.dumps(content), parse_constant=lambda name: None)
    return known


def _graded(runs: MeasuredRuns) -> dict[str, Any]:
    """Counts of runs, shares of those that converge or answer constants, and median scores."""
    n = max(runs.runs, 1)
    return {
        "runs": runs.runs,
        "converged": int(runs.converged().sum()) / n,
        "constant": int(runs.constant().sum()) / n,
        "accuracy": runs.median("accuracy"),
        "r2": runs.median("r2"),
    }


# Files


def write_files(
    diagnosis: Diagnosis, weights: Sequence[str], sweep: Sweep, folder: Path
) -> tuple[list[Path], list[str]]:
    """Write a diagnosis into a folder: a page, a table, a picture and a sweep file.

    Parameters
    ----------
    diagnosis : Diagnosis
    weights : sequence of str
        Sentences about the user's own weights.
    sweep : Sweep
        The setup as a sweep; the written one also has the recommended setup.
    folder : Path

    Returns
    -------
    written : list of Path
    commands : list of str
        What to do next.

    Raises
    ------
    StoreFullError
        If a file cannot be written.
    """
    file = folder / ("fixed.toml" if diagnosis.recommended else "setup.toml")
    lines = commands(diagnosis, str(file), str(file.with_suffix("")))
    keys = {k: value for k, value in diagnosis.setup.columns().items() if value is not None}
    texts = {
        "verdict": diagnosis.verdict,
        "placed": [f"Weights: {text}" for text in weights],
        "commands": lines,
        "setup": ", ".join(f"{key} {value}" for key, value in keys.items()),
    }
    score = score_of(diagnosis.setup)
    search = score if diagnosis.measure == "constant" else diagnosis.measure
    rows = [
        [(cells(row, measure, score), bool(row["fixes"])) for row in table.to_dict("records")]
        for table, measure in ((diagnosis.table, diagnosis.measure), (diagnosis.pairs, search))
    ]
    title = f"Why it fails: {diagnosis.setup.problem_name}"
    files = {
        folder / CHANGES: diagnosis.table.to_csv(index=False).encode(),
        file: _sweep(diagnosis, sweep).to_toml(folder).encode(),
        **diagnosis_section.files(folder, title, texts, diagnosis.table, TITLES, rows),
    }
    _write(files, folder)
    return list(files), lines


def _write(files: dict[Path, bytes], folder: Path) -> None:
    """Write files, unless they would now replace others. Raises StoreFullError."""
    if others := foreign(folder):
        raise StoreFullError(f"{folder} cannot be written: {and_(others)} came into it meanwhile")
    with writing(folder):  # first the page, by which `foreign` knows the folder
        write_all(dict(reversed(files.items())), folder)


def foreign(folder: Path) -> list[str]:
    """The files in an output folder that a diagnosis would replace, unless an earlier wrote them.

    Links are among them, also that of the folder of pictures. Raises as `safe_files.listed`.
    """
    there, links = safe_files.listed(folder), list[str]()
    try:
        drawn = safe_files.listed(folder, "figures")
        there |= {f"figures/{name}": is_file for name, is_file in drawn.items()}
    except UnsafeFileError:
        links.append("figures")
    links = [*(name for name in OUTPUTS if there.get(name) is False), *links]
    with suppress(OSError, UnsafeFileError):
        if b'content="fastbp ' in safe_files.read(folder / PAGE, folder)[:4096]:
            return links
    return [name for name in (*OUTPUTS, "figures") if name in (there if name in OUTPUTS else links)]


def _sweep(diagnosis: Diagnosis, sweep: Sweep) -> Sweep:
    """Make the sweep file's sweep, of the setup and, if there is one, the recommended setup.

    Targets that outputs cannot reach are scaled, as no sweep trains on them.
    """

    def scaled(setup: Setup) -> dict[str, Any]:
        return {"scale_targets": "minmax"} if setup.out_of_range else {}

    setup, best = diagnosis.setup, diagnosis.recommended
    title, keys = plain(setup.problem_name)[:200], dict(sweep.setup)
    if best is None:
        keys |= scaled(setup)
        return Sweep(title=f"How often does {title} fail?", seeds=SWEEP_SEEDS, setup=keys)
    budget: dict[str, Any] = {key: keys.pop(key) for key in ("updates", "epochs") if key in keys}
    new = settings(best.changes)
    if not new.keys() & {"updates", "epochs"}:
        new |= budget
    columns = setup.columns() | {"loss": setup.loss, "hidden": list(setup.hidden)}
    there = (key for key in new if key not in ("updates", "epochs") and columns[key] is not None)
    old = {key: columns[key] for key in there} | budget
    if "batch" in new:  # with the full batch these have other defaults
        old |= {key: columns[key] for key in ("order", "eval_every")}
        new |= {key: best.setup.columns()[key] for key in ("order", "eval_every")}
    grid = [
        {key: [value] for key, value in each.items()}
        for each in (old | scaled(setup), new | scaled(best.setup))
    ]
    return Sweep(title=f"Does it fix {title}?", seeds=SWEEP_SEEDS, setup=keys, grid=grid)
