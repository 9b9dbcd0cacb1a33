"""What is asked of a setup again and again: `fastbp diagnose`."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from fastbp.console import BAD_USAGE, COMPLETE, Phase, aside, ended, is_lost, refuse, say, shipped, signals_to, stop_at, tell

if TYPE_CHECKING:
    from fastbp.engine.spec import Sweep
    from fastbp.inquiry.diagnosis import Diagnosis
    from fastbp.inquiry.weights import Placed

EPOCHS = 1000
"""The budget where DATA is given and none is."""

SAMPLED = 4096
"""Rows of a table that has more than a problem may have."""


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """End at once: nothing is half written."""
    stop_at(number, "")


def diagnose(arguments: argparse.Namespace) -> int:
    """`fastbp diagnose`."""
    with signals_to(stop):
        if is_lost():
            return BAD_USAGE
        lines = []
        if not re.fullmatch("0*[1-9][0-9]{0,6}", arguments.seeds):
            lines.append(f"--seeds: given {arguments.seeds[:60]!r}, allowed: a number from 1 to 9,999,999")
        seconds = _seconds(arguments.seconds)
        if not 1 <= seconds <= 86_400:
            lines.append(f"--seconds: given {arguments.seconds[:60]!r}, allowed: a number from 1 to 86,400")
        if arguments.output == "":
            lines.append("-o: given '', allowed: a folder")
        if lines:
            return refuse(lines, BAD_USAGE)
        return ended(lambda: _diagnose(arguments, int(arguments.seeds), seconds), Path(arguments.output or "."))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _diagnose(arguments: argparse.Namespace, seeds: int, seconds: float) -> int:
    from fastbp.inquiry import diagnosis, weights, words

    with _sweep(arguments) as sweep:
        (setup,) = sweep.setups
        for note in sweep.notes:
            say(f"note: {note}")
        layers = weights.read(arguments.weights, setup) if arguments.weights else None
        phase = Phase("compiling or loading code")

        def tick(what: str) -> None:
            phase.phase = what

        def work() -> tuple[Diagnosis, Placed | None]:
            found = diagnosis.diagnose(setup, seeds, seconds, tick)
            tick("your weights in many orders")
            return found, weights.place(setup, layers, seeds=found.runs) if layers else None

        found, placed = aside(work, phase)
        written: list[Path] = []
        commands = words.commands(found)
        if arguments.output:
            from fastbp.inquiry import diagnosis_page

            written, commands = diagnosis_page.write(found, placed, sweep, Path(arguments.output))
    if not found.complete:
        say(f"note: {seconds:g} s were too little for {seeds:,} seeds of each change: {found.runs:,} were trained")
    if arguments.json:
        tell(json.dumps(words.as_json(found) | ({"weights": words.placed_json(placed)} if placed else {})))
    else:
        own = [*words.placed(placed), ""] if placed else []
        tell("\n".join([*words.verdict(found), "", *own, *words.table(found), "", *commands]).rstrip())
    if written:
        say(f"written: {', '.join(map(str, written))}")
    return COMPLETE


@contextmanager
def _sweep(arguments: argparse.Namespace) -> Iterator[Sweep]:
    """The setup that is asked about, as a sweep of it alone. Raises SweepError."""
    from fastbp.engine.spec import Sweep, SweepError

    keys = {
        key.removeprefix("key_"): value for key, value in vars(arguments).items() if key.startswith("key_") and value is not None
    }
    settings = [*(f"{key}={value}" for key, value in keys.items()), *arguments.settings]
    budgets = {setting.partition("=")[0].strip() for setting in settings} & {"updates", "epochs"}
    if arguments.data is None:
        if arguments.targets:
            raise SweepError(["--targets: given without DATA, allowed: with a table"])
        base = dict(Sweep.from_toml(shipped("founding")).setup)
    else:
        is_file = os.path.exists(arguments.data) or Path(arguments.data).suffix.lower() in (".csv", ".parquet", ".npz")
        base = {"problem": f"file:{arguments.data}" if is_file else arguments.data, "epochs": EPOCHS}
        if arguments.targets:
            base["targets"] = arguments.targets
    if budgets:
        base = {key: value for key, value in base.items() if key not in ("updates", "epochs")}
    elif arguments.data is not None:
        say(f"note: no budget was given, so each run has {EPOCHS:,} epochs (--epochs or --updates says another)")
    with tempfile.TemporaryDirectory(prefix="fastbp-") as folder:
        try:
            sweep = Sweep.from_dict({"seeds": 1, "setup": base}, settings=settings, folder=os.getcwd())
        except SweepError as error:
            smaller = (
                _sampled(arguments.data, Path(folder)) if any("at most 65,536 rows" in line for line in error.lines) else None
            )
            if smaller is None:
                raise
            sweep = Sweep.from_dict(
                {"seeds": 1, "setup": base | {"problem": f"file:{smaller}"}}, settings=settings, folder=folder
            )
        if len(sweep.setups) != 1:
            raise SweepError([f"given {len(sweep.setups):,} setups, allowed: one; fastbp sweep compares several"])
        yield sweep


def _sampled(data: str, folder: Path) -> Path | None:
    """Some rows of a table that has too many, drawn at random, as a file of the same name."""
    import numpy as np
    import pyarrow.csv
    import pyarrow.parquet as pq

    path = Path(data)
    rng = np.random.default_rng(0)
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        rows = len(arrays["X"])
        some = np.sort(rng.choice(rows, SAMPLED, replace=False))
        target = folder / path.name
        np.savez(target, **{name: values[some] if len(values) == rows else values for name, values in arrays.items()})
    else:
        table = pyarrow.csv.read_csv(path) if path.suffix.lower() == ".csv" else pq.read_table(path)
        rows = table.num_rows
        some = np.sort(rng.choice(rows, SAMPLED, replace=False))
        target = folder / f"{path.stem}.parquet"
        pq.write_table(table.take(some), target)
    say(f"note: {path.name} has {rows:,} rows: {SAMPLED:,} of them, drawn at random, are learnt")
    return target
