"""What was measured, as rows; written as one Markdown table and as CSV."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """One figure: its best and its median over some rounds."""

    measurement: str
    case: str
    best: float
    median: float
    rounds: int
    unit: str


def row(measurement: str, case: str, values: Sequence[float], unit: str, more_is_better: bool = False) -> Row:
    """A row from the values of all rounds."""
    best = max(values) if more_is_better else min(values)
    return Row(measurement, case, best, median(values), len(values), unit)


def number(value: float) -> str:
    """Three digits that count, thousands grouped."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(rows: Iterable[Row], machine: Mapping[str, str]) -> str:
    """The machine in a line, and the table."""
    lines = [
        ", ".join(f"{key} {value}" for key, value in machine.items()),
        "",
        "| measurement | case | best | median | unit | rounds |",
        "|---|---|---:|---:|---|---:|",
    ]
    lines += [f"| {r.measurement} | {r.case} | {number(r.best)} | {number(r.median)} | {r.unit} | {r.rounds} |" for r in rows]
    return "\n".join(lines)


def write_csv(path: Path, rows: Iterable[Row], machine: Mapping[str, str]) -> None:
    """One line a figure, the machine beside each."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*Row._fields, *machine])
        writer.writerows([*r, *machine.values()] for r in rows)
