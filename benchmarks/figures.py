"""What was measured, as rows, and as CSV and Markdown."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.contenders import ENTRIES


class Row(NamedTuple):
    """One figure: its best and its median over some rounds."""

    part: str
    measurement: str
    case: str
    best: float
    median: float
    unit: str
    rounds: int
    note: str = ""
    """Why there are no figures, where there are none."""


ENTRIES_BY_LABEL = {entry.label: entry for entry in ENTRIES.values()}

PRESENTATION, CPU, COMPILING = "ns/presentation", "CPU ns/presentation", "s more, first call"
FAILS = "fails the check"
CONTENDERS, FAMILIES = "contenders", "families"
"""The parts that have tables of their own."""


def row(
    part: str,
    measurement: str,
    case: str,
    values: Sequence[float],
    unit: str,
    more_is_better: bool = False,
) -> Row:
    """A row from the values of all rounds."""
    best = max(values) if more_is_better else min(values)
    return Row(part, measurement, case, best, median(values), unit, len(values))


def without(part: str, measurement: str, case: str, unit: str, note: str) -> Row:
    """A row that says why there are no figures."""
    return Row(part, measurement, case, nan, nan, unit, 0, note)


def ratio(
    part: str, measurement: str, case: str, these: Sequence[float], those: Sequence[float]
) -> Row:
    """How many times as long these took as those."""
    a, b = (row(part, measurement, case, values, "times") for values in (these, those))
    return a._replace(best=a.best / b.best, median=a.median / b.median)


def number(value: float) -> str:
    """Three digits that count, thousands grouped."""
    if isnan(value):
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine_line(machine: Mapping[str, str]) -> str:
    """The machine in a line."""
    return ", ".join(f"{key} {value}" for key, value in machine.items())


def table(header: Sequence[str], right: Sequence[bool], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table. `right`: which columns hold numbers."""
    rule = ["---:" if number else "---" for number in right]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


def all_rows(rows: Iterable[Row]) -> str:
    """Every row of the parts that have no tables of their own."""
    return table(
        ("measurement", "case", "best", "median", "unit", "rounds"),
        (False, False, True, True, False, True),
        (
            (
                r.measurement,
                r.case,
                number(r.best),
                number(r.median),
                r.unit,
                r.note or str(r.rounds),
            )
            for r in rows
            if r.part not in (CONTENDERS, FAMILIES)
        ),
    )


def headline(rows: Sequence[Row]) -> str:
    """The table of the README: fastbp, C, and the best of all others, for each workload."""
    ours, limit = ENTRIES["engine"].label, ENTRIES["c"].label
    best = {
        (r.measurement, r.case): r.best
        for r in rows
        if r.part == CONTENDERS and r.unit == PRESENTATION and not r.note
    }
    workloads: dict[str, list[str]] = {}
    for measurement in dict.fromkeys(measurement for measurement, _ in best):
        workloads.setdefault(measurement.rpartition(", ")[0], []).append(measurement)

    def times(measurement: str, labels: Iterable[str]) -> str:
        raced = [label for label in labels if (measurement, label) in best]
        if not raced:
            return "–"
        first = min(raced, key=lambda label: best[measurement, label])
        name = "" if first == limit else f" ({ENTRIES_BY_LABEL[first].short})"
        return f"{number(best[measurement, first] / best[measurement, ours])} ×{name}"

    others = [label for label, entry in ENTRIES_BY_LABEL.items() if entry.rival]
    lines = [
        (
            workload,
            " / ".join(number(best[each, ours]) for each in measurements),
            " / ".join(times(each, [limit]) for each in measurements),
            " / ".join(times(each, others) for each in measurements),
        )
        for workload, measurements in workloads.items()
    ]
    head = ("float64 / float32", "fastbp, ns", "C with vector instructions", "best of all others")
    return table(head, (False, True, True, True), lines)


def contenders(rows: Sequence[Row], unit: str = PRESENTATION) -> str:
    """Workloads down, contenders across: the best of each, and how many times fastbp's that is;
    below it, who is missing and why.

    With the unit `CPU`: CPU time of all threads and processes in place of time by the clock on the
    wall. With `COMPILING`: what the first call took more, of those that compile. Nothing is below.
    """
    cells = {(r.measurement, r.case): r for r in rows if r.part == CONTENDERS and r.unit == unit}
    measurements = dict.fromkeys(measurement for measurement, _ in cells)
    entries = [
        entry
        for entry in ENTRIES.values()
        if any(r.case == entry.label and _is_told(r) for r in cells.values())
    ]
    ours = ENTRIES["engine"].label

    def cell(measurement: str, label: str) -> str:
        here, fastbp = cells.get((measurement, label)), cells.get((measurement, ours))
        if here is None or here.note:
            return "fails" if here and here.note.startswith(FAILS) else "–"
        if label == ours:
            return f"**{number(here.best)}**"
        times = f" ({number(here.best / fastbp.best)} ×)" if fastbp and unit != COMPILING else ""
        return number(here.best) + times

    lines = [
        (measurement, *(cell(measurement, entry.label) for entry in entries))
        for measurement in measurements
    ]
    head = table(
        (unit, *(entry.short for entry in entries)), (False, *(True for _ in entries)), lines
    )
    return "\n\n".join([head, *_reasons(cells.values(), len(measurements))])


def families(rows: Sequence[Row]) -> str:
    """Workloads down, each with one choice; fastbp and the obvious loop across, with how many times
    fastbp's time the loop's is; below it, who is missing and why."""
    units, names = (PRESENTATION, CPU), ("engine", "obvious")
    here = [r for r in rows if r.part == FAMILIES and r.unit in units]
    cells = {(r.measurement, r.case, r.unit): r for r in here}
    measurements = list(dict.fromkeys(r.measurement for r in here))

    def line(measurement: str) -> Iterable[str]:
        yield measurement
        for unit in units:
            found = [cells.get((measurement, ENTRIES[name].label, unit)) for name in names]
            yield from ("fails" if r and r.note else number(r.best if r else nan) for r in found)
            best = [r.best if r else nan for r in found]
            yield f"**{number(best[1] / best[0])}**"

    short = [ENTRIES[name].short for name in names]
    head = ["ns/presentation", *short, "times", *(f"{name}, CPU" for name in short), "times"]
    right = [False, *(True for _ in head[1:])]
    made = table(head, right, (tuple(line(measurement)) for measurement in measurements))
    return "\n\n".join([made, *_reasons(here, len(measurements))])


def _is_told(r: Row) -> bool:
    """Whether a contender deserves a column: not where nothing is compiled."""
    return r.unit != COMPILING or r.best >= 0.05


def _reasons(rows: Iterable[Row], measurements: int) -> list[str]:
    """In words, who was not timed and why."""
    where: dict[str, list[str]] = {}
    for r in rows:
        if r.note:
            where.setdefault(f"{r.case}: {r.note}", []).append(r.measurement)
    titles = {
        reason: dict.fromkeys(measurement.rpartition(", ")[0] for measurement in of)
        for reason, of in where.items()
    }
    return [
        f"{reason}." if len(of) == measurements else f"{reason} ({'; '.join(titles[reason])})."
        for reason, of in where.items()
    ]


def write_csv(path: Path, rows: Iterable[Row], machine: Mapping[str, str]) -> None:
    """One line a figure, the machine beside each."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*Row._fields, *machine])
        for r in rows:
            figures = {"best": "", "median": ""} if isnan(r.best) else {}
            writer.writerow([*(r._asdict() | figures).values(), *machine.values()])


def read_csv(path: Path) -> tuple[list[Row], dict[str, str]]:
    """Rows and machine from such a file."""
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rows = [
        Row(
            *(
                kind(line[name])
                for name, kind in zip(
                    Row._fields, (str, str, str, _real, _real, str, int, str), strict=True
                )
            )
        )
        for line in lines
    ]
    return rows, {
        name: value for name, value in lines[0].items() if name not in Row._fields
    } if lines else {}


def _real(text: str) -> float:
    return float(text) if text else nan


def replaced(text: str, name: str, content: str) -> str:
    """A page with what stands between the markers of this name replaced. Raises ValueError where
    they are not there once."""
    pattern = rf"(<!-- {name}: [^>]*-->\n).*?(\n<!-- end of {name} -->)"
    page, count = re.subn(
        pattern, lambda found: f"{found[1]}{content}{found[2]}", text, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the markers of {name} are there {count} times")
    return page
