"""`python -m fastbp.verify STORE`: check every file of a store, and move damaged files aside."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from fastbp.cli import process
from fastbp.cli.arguments import STORE, integer, option
from fastbp.cli.terminal import Phase, print_data, print_note
from fastbp.schema.errors import StoreError, remedy
from fastbp.schema.text import escaped, first_of, plural, printable

if TYPE_CHECKING:
    from fastbp.engine.integrity import IntegrityReport, StoreFault
    from fastbp.store.store import Store

    Moved = list[tuple[StoreFault, Path]]

MAX_LINES = 100
"""The most lines about faults that are printed: on a failing disk there may be thousands."""


def verify(store: Path, repair: bool, replay: int) -> int:
    """Check a store, repair it if requested, and print what is wrong."""
    from fastbp.store.store import Store

    checked = Store(store)
    if not store.exists():
        raise StoreError(f"{store}: no such store")
    # before the lock, which deletes old drafts
    checked.check_usable(any_version=True, with_runs=True)
    with checked.locked(any_version=True) if repair else nullcontext():
        report, lines, moved = _check(checked, replay, repair)
        if report.findings and repair:
            return _repair(checked, report, lines, moved, replay)
    if report.findings:
        _print_faults(f"{fault.file}: {fault.why}" for fault in report.findings)
        movable = any(fault.file != store / "problems" for fault in report.findings)
        print_note(f"fastbp: {store} is not sound" + f": {remedy(store)}" * movable)
        return process.BAD_STORE
    print_data("\n".join([_sound(store, report), *lines, f"sha256 of all rows: {report.digest}"]))
    return process.COMPLETE


def _check(store: Store, replays: int, repair: bool) -> tuple[IntegrityReport, list[str], Moved]:
    """Check all files and train some runs again; move what is not sound, if `repair`.

    Returns the report, a line about the runs, and what was moved.
    """
    from fastbp.engine import integrity, stored_run
    from fastbp.store import parquet

    def work(phase: Phase) -> tuple[IntegrityReport, list[str]]:
        report = integrity.check(store, phase)
        if not replays or report.findings:
            return report, []
        faults, count = [], 0
        for count, (file, run) in enumerate(stored_run.sample(store, replays), 1):
            phase(f"training again: {count:,} of {replays:,} runs")
            if lines := stored_run.differences(run):
                faults.append(
                    integrity.StoreFault(
                        file, f"seed {run.seed} trained again is not the same: {lines[0]}"
                    )
                )
        return report._replace(findings=faults), [
            f"{count:,} runs trained again: the same, bit for bit"
        ]

    with parquet.unchanged():
        report, lines = process.in_thread(work)
        return report, lines, integrity.move_aside(store, report.findings) if repair else []


def _repair(
    store: Store,
    report: IntegrityReport,
    lines: list[str],
    moved: Moved,
    replays: int,
    rounds: int = 10,
) -> int:
    """Say what was moved and check again, until no more is; return the exit code.

    `report`, `lines`, `moved`: as `_check` found them first. `rounds`: the most times; a stranger's
    files may be such that each is damaged only when others are gone. The caller holds the lock.
    """
    left: list[str] = []
    while report.findings:
        _print_faults(f"moved to {target}: {fault.why}" for fault, target in moved)
        rounds -= 1
        if not moved or not any(store.files()) or not rounds:
            files = {fault.file for fault, _ in moved}
            left = [f"{one.file}: {one.why}" for one in report.findings if one.file not in files]
            left += [f"more may not be sound: {remedy(store.path)}"] * (not rounds)
            break
        if lines:  # else very many wrong runs would be found a few at a time
            replays *= 2
        report, lines, moved = _check(store, replays, repair=True)
    if left:
        _print_faults(left)
    elif any(store.files()):
        print_data("\n".join([_sound(store.path, report), *lines]))
    print_note(f"to train what is missing: {process.resweep(store.path)}")
    return process.BAD_STORE if left else process.COMPLETE


def _print_faults(lines: Iterable[str]) -> None:
    for line in first_of([*lines], MAX_LINES):
        print_data(escaped(line))


def _sound(store: Path, report: IntegrityReport) -> str:
    setups, files = plural(len(report.keys), "setup"), plural(report.files, "file")
    return f"{printable(str(store))}: {report.runs:,} runs of {setups} in {files}, all sound"


main = process.Command(
    "verify",
    verify,
    "Read everything in a store again and check it: the seal over all bytes of a file, the "
    "checksums of its pages, the sha256 of its rows, schema, seeds (each exactly once), ids of "
    "setups, and the problems. Prints what is not sound, or the sha256 of all rows, which does "
    "not depend on how they are divided into files.",
    "Exit: 0 sound, or repaired, 2 bad usage, 3 something is not sound, or the store is "
    "locked, 4 disk full or not writable, 130 or 143 interrupted.",
    [
        STORE,
        option(
            "--repair",
            action="store_true",
            help="move what is not sound into STORE/quarantine (nothing is deleted): the same "
            "sweep then trains only that again",
        ),
        option(
            "--replay",
            metavar="N",
            type=integer(0, 1_000_000),
            default=0,
            help="also train N runs, drawn at random, again and compare every bit; with --repair "
            "twice as many after each time that wrong ones are moved (default: 0)",
        ),
    ],
    place="store",
)
main.run_if_main(__name__)
