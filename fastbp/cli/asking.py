"""What is asked of a setup again and again: `fastbp diagnose`."""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import re
import tempfile
import time
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbp.cli.console import (
    BAD_USAGE,
    COMPLETE,
    Phase,
    aside,
    cwd_missing,
    ended,
    refuse,
    say,
    shipped,
    signals_to,
    stop,
    tell,
)
from fastbp.reporting.phrases import plain, plural

if TYPE_CHECKING:
    from fastbp.config.sweep import Sweep
    from fastbp.diagnosis.candidates import Change
    from fastbp.diagnosis.diagnose import Diagnosis
    from fastbp.diagnosis.own_weights import Placement

DRAWING = 3.0
"""Seconds that are kept for a page."""


def diagnose(arguments: argparse.Namespace) -> int:
    """`fastbp diagnose`."""
    began = time.perf_counter()
    with signals_to(stop):
        if cwd_missing():
            return BAD_USAGE
        lines = []
        if not re.fullmatch("0*[1-9][0-9]{0,6}", arguments.seeds):
            lines.append(
                f"--seeds: given {arguments.seeds[:60]!r}, allowed: a number from 1 to 9,999,999"
            )
        seconds = _seconds(arguments.seconds)
        if not 1 <= seconds <= 86_400:
            lines.append(
                f"--seconds: given {arguments.seconds[:60]!r}, allowed: a number from 1 to 86,400"
            )
        if arguments.output == "":
            lines.append("-o: given '', allowed: a folder")
        if lines:
            return refuse(lines, BAD_USAGE)
        return ended(
            lambda: _diagnose(arguments, int(arguments.seeds), seconds, began),
            Path(arguments.output or "."),
        )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _diagnose(arguments: argparse.Namespace, seeds: int, seconds: float, began: float) -> int:
    from fastbp.diagnosis import diagnose as diagnose_module
    from fastbp.diagnosis import own_weights, sentences

    sweep = _sweep(arguments)
    (setup,) = sweep.setups
    for note in sweep.notes:
        say(f"note: {note}")
    if setup.targets and setup.sizes[-1] > len(setup.targets):
        say(
            f"note: targets are classes, one output each: {', '.join(map(plain, setup.names.outputs[:10]))}"
        )
    layers = own_weights.read(arguments.weights, setup) if arguments.weights else None
    phase = Phase("compiling or loading code")
    folder = Path(arguments.output) if arguments.output else None
    if folder:
        _writable(folder)

    def work() -> tuple[Diagnosis, Placement | None, list[Path], list[str]]:
        advice = answered() if arguments.data is None else ()
        left = seconds - (DRAWING if folder else 0) - time.perf_counter() + began
        share = 0.75 if layers else 1.0
        # What was spent before this, on imports, is no part of what is left.
        now = time.perf_counter()
        found = diagnose_module.diagnose(
            setup, seeds, max(share * left, 0.1), phase, advice=advice, began=now
        )
        placed = None
        if layers:
            phase("your weights in many orders")
            placed = own_weights.place(
                setup, layers, found.base, deadline=time.perf_counter() + (1 - share) * left
            )
        written: list[Path] = []
        both = "both setups" if found.recommended else "the setup"
        commands = [
            *sentences.commands(found),
            f"-o DIR writes this as a page, a sweep file of {both}, and how to replay a run",
        ]
        if folder:
            phase("drawing")
            written, commands = diagnose_module.write_files(found, placed, sweep, folder)
        return found, placed, written, commands

    found, placed, written, commands = aside(work, phase)
    if found.beyond:
        say(
            f"note: compiling, once for this machine, took {found.beyond:.0f} s more than the {seconds:g} s that were allowed"
        )
    if not found.complete:
        what = "all that there is to try"
        if found.short:
            what = f"{plural(seeds, 'seed')} of each change: {found.runs:,} were trained"
        say(f"note: {seconds:g} s were too little for {what}")
    elif found.runs < seeds and found.table["pairs"].gt(0).any() and len(found.table) > 1:
        say(f"note: {found.runs:,} seeds of each change were enough: all intervals are narrow")
    if layers and not placed:
        say(
            "note: there was no time to train your weights: allow more seconds, or a smaller budget"
        )
    if arguments.json:
        tell(
            json.dumps(
                sentences.as_json(found)
                | ({"weights": sentences.placed_json(placed)} if placed else {})
            )
        )
    else:
        tell("\n".join(sentences.screen(found, placed, commands)))
    if written:
        say(f"written: {', '.join(map(str, written))}")
    return COMPLETE


def _writable(folder: Path) -> None:
    """Make the folder, so that whoever may not write there shares_memory it before the work and not after.
    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def answered() -> tuple[Change, Change]:
    """The advice that the founding case got: more updates at half the rate, and another order of
    samples, all at once.
    """
    from fastbp.diagnosis.candidates import Change

    more = {"updates": 7992, "epochs": None, "lr": 0.1}
    return Change("7,992 updates at rate 0.1", "too few updates", more), Change(
        "order shuffled", "the order", {"order": "shuffled"}
    )


def _sweep(arguments: argparse.Namespace) -> Sweep:
    """The setup that is asked about, as a sweep of it alone. Raises SweepError."""
    from fastbp.config.sweep import Sweep
    from fastbp.diagnosis.diagnose import usual_epochs
    from fastbp.schema.errors import SweepError

    keys = {
        key.removeprefix("key_"): value
        for key, value in vars(arguments).items()
        if key.startswith("key_") and value is not None
    }
    if "hidden" in keys:
        layers = " ".join(keys["hidden"]).replace(",", " ").replace("-", " ").strip("[] ").split()
        keys["hidden"] = f"[[{', '.join(layers)}]]"
    named = [setting.partition("=")[0].strip() for setting in arguments.settings]
    if twice := [key for key in keys if key in named]:
        raise SweepError(
            [
                f"--{key.replace('_', '-')}: given, and --set {key} too, allowed: one of the two"
                for key in twice
            ]
        )
    settings = [*(f"{key}={value}" for key, value in keys.items()), *arguments.settings]
    has_budget = bool({*keys, *named} & {"updates", "epochs"})
    problem = next(
        (
            arguments.data
            for name in _problems()
            if (arguments.data or "").partition(":")[0] == name
        ),
        None,
    )
    if arguments.targets and (arguments.data is None or problem):
        given = "without DATA" if arguments.data is None else f"with {arguments.data[:60]}"
        raise SweepError([f"--targets: given {given}, allowed: with a table"])
    if arguments.data is None:
        return _one(dict(Sweep.from_toml(shipped("founding")).setup), settings)
    base: dict[str, Any] = {"problem": problem or f"file:{arguments.data}", "epochs": 1}
    if arguments.targets:
        base["targets"] = arguments.targets
    with tempfile.TemporaryDirectory(prefix="fastbp-") as folder:
        if not problem:
            base["problem"] = f"file:{_table(arguments, Path(folder))}"
        sweep = _one(base, settings)
        if not has_budget:
            base["epochs"] = usual_epochs(sweep.setups[0])
            sweep = _one(base, settings)
            say(
                f"note: no budget was given, so each run has {base['epochs']:,} epochs (--epochs or --updates says another)"
            )
        return sweep


def _problems() -> list[str]:
    from fastbp.choices.families import FAMILIES

    return [name for name in FAMILIES["problem"].choices if name != "file"]


def _one(base: dict[str, Any], settings: list[str]) -> Sweep:
    """A sweep of a single setup. Raises SweepError."""
    from fastbp.config.sweep import Sweep
    from fastbp.schema.errors import SweepError

    try:
        sweep = Sweep.from_dict({"seeds": 1, "setup": base}, settings=settings, folder=os.getcwd())
    except SweepError as error:  # which knows these by the names that they have in a file
        named = {"setup.problem:": "DATA:", "setup.targets:": "--targets:"}
        raise SweepError(
            [
                reduce(lambda text, name: text.replace(name, named[name], 1), named, line)
                for line in error.lines
            ]
        ) from None
    if len(sweep.setups) != 1:
        raise SweepError(
            [f"given {len(sweep.setups):,} setups, allowed: one; fastbp sweep compares several"]
        )
    return sweep


def _table(arguments: argparse.Namespace, folder: Path) -> Path:
    """The table as it can be learnt: itself, or a copy with names and fewer rows, beside what is
    written or in `folder`.
    """
    from fastbp.problems import samples
    from fastbp.store.store import write

    path = Path(arguments.data)
    found = samples.fixed(path, arguments.targets)
    if found is None:
        return path
    content, notes = found
    for note in notes:
        say(f"note: {note}")
    if arguments.output:
        _writable(folder := Path(arguments.output))
        if folder.resolve() == path.parent.resolve():
            folder /= "learnt"
    copy = folder / path.name
    write(copy, content)
    return copy.resolve()
