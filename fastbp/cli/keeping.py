"""What is done to stores that are there: `fastbp verify` and `fastbp merge`."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fastbp.cli.console import (
    BAD_STORE,
    BAD_USAGE,
    COMPLETE,
    aside,
    cwd_missing,
    ended,
    refuse,
    say,
    signals_to,
    stop,
    tell,
)
from fastbp.schema.errors import remedy

if TYPE_CHECKING:
    from fastbp.engine.integrity import IntegrityReport, StoreFault
    from fastbp.store.store import Store

MAX_SYMPTOMS = 100
"""Lines about what was found: where a disk is rotten they are many."""


def verify(arguments: argparse.Namespace) -> int:
    """`fastbp verify`."""
    with signals_to(stop):
        if cwd_missing():
            return BAD_USAGE
        if not re.fullmatch("0*[0-9]{1,6}|1000000", arguments.replay):
            return refuse(
                [
                    f"--replay: given {arguments.replay[:60]!r}, allowed: a number of runs up to 1,000,000"
                ],
                BAD_USAGE,
            )
        return ended(lambda: _verify(arguments, int(arguments.replay)), Path(arguments.store))


def _verify(arguments: argparse.Namespace, replays: int) -> int:
    from contextlib import nullcontext

    from fastbp.schema.errors import StoreError
    from fastbp.store.store import Store

    store = Store(arguments.store)
    if not store.path.exists():
        raise StoreError(f"{store.path}: no such store")
    store.check_usable(
        any_version=True
    )  # before anything is locked, which clears away what a store's own folder for drafts holds
    if not any(store.files()):
        raise StoreError(f"{store.path} holds no runs")
    with store.locked() if arguments.repair else nullcontext():
        checked, lines = _checked(store, replays)
        if checked.findings and arguments.repair:
            return _repair(store, checked, replays)
    for finding in checked.findings[:MAX_SYMPTOMS]:
        tell(f"{finding.file}: {finding.why}")
    if len(checked.findings) > MAX_SYMPTOMS:
        tell(f"and {len(checked.findings) - MAX_SYMPTOMS:,} more")
    if checked.findings:
        helps = any(finding.file != store.path / "problems" for finding in checked.findings)
        say(f"fastbp: {store.path} is not sound" + f": {remedy(store.path)}" * helps)
        return BAD_STORE
    tell("\n".join([_sound(store, checked), *lines, f"sha256 of all rows: {checked.digest}"]))
    return COMPLETE


def _checked(store: Store, replays: int) -> tuple[IntegrityReport, list[str]]:
    """What is found in a store, also by training some of its runs again, and what to say of
    these.
    """
    from fastbp.engine import driver, integrity, stored_run

    progress = driver.Progress(phase="reading")

    def tick(done: int, files: int) -> None:
        progress.phase = f"reading: {done:,} of {files:,} files"

    def work() -> tuple[IntegrityReport, list[str]]:
        checked = integrity.check(store, tick)
        if not replays or checked.findings:
            return checked, []
        trained, findings = 0, []
        for file, found in stored_run.sample(store, replays):
            progress.phase = f"training again: {trained:,} of {replays:,} runs"
            if lines := stored_run.differences(found, None):
                why = f"seed {found.seed} trained again is not the same: {lines[0]}"
                findings.append(integrity.StoreFault(file, why))
            trained += 1
        return checked._replace(findings=findings), [
            f"{trained:,} runs trained again: the same, bit for bit"
        ]

    return aside(work, progress)


def _repair(store: Store, checked: IntegrityReport, replays: int) -> int:
    """Move aside what was found, until nothing more is."""
    from fastbp.engine import integrity

    left: list[StoreFault] = []
    lines: list[str] = []
    while checked.findings:
        moved = integrity.move_aside(store, checked.findings)
        for finding, target in moved[:MAX_SYMPTOMS]:
            tell(f"moved to {target}: {finding.why}")
        if len(moved) > MAX_SYMPTOMS:
            tell(f"and {len(moved) - MAX_SYMPTOMS:,} more")
        left = [
            finding
            for finding in checked.findings
            if finding.file not in {each.file for each, _ in moved}
        ]
        if not moved or not any(store.files()):
            break
        checked, lines = _checked(store, replays)
    for finding in left:
        tell(f"{finding.file}: {finding.why}")
    if any(store.files()) and not left:
        tell("\n".join([_sound(store, checked), *lines]))
    path = shlex.quote(str(store.path))
    say(
        f"to make anew what is missing: the same sweep, or fastbp sweep {path}/sweep.toml -o {path}"
    )
    return BAD_STORE if left else COMPLETE


def _sound(store: Store, checked: IntegrityReport) -> str:
    plural = "s" * (checked.setups != 1)
    files = f"{checked.files:,} file{'s' * (checked.files != 1)}"
    return f"{store.path}: {checked.runs:,} runs of {checked.setups:,} setup{plural} in {files}, all sound"


def merge(arguments: argparse.Namespace) -> int:
    """`fastbp merge`."""
    with signals_to(stop):
        if cwd_missing():
            return BAD_USAGE
        return ended(lambda: _merge(arguments), Path(arguments.into))


def _merge(arguments: argparse.Namespace) -> int:
    from fastbp.engine import driver
    from fastbp.engine import merge as merge_module
    from fastbp.schema.errors import StoreError
    from fastbp.store.store import Store

    into, sources = Store(arguments.into), [Store(source) for source in arguments.sources]
    for source in sources:
        source.check_usable(any_version=True)
        if not any(source.files()):
            raise StoreError(f"{source.path} holds no runs")  # before anything is made
    new = not into.path.exists()
    into.open(any_version=True)
    progress = driver.Progress(phase="reading")

    def tick(what: str) -> None:
        progress.phase = what

    try:
        with into.locked():
            merged = aside(lambda: merge_module.merge(into, sources, tick), progress)
    except StoreError:
        if new:
            into.remove_if_empty()
        raise
    files = f"{merged.files:,} file{'s' * (merged.files != 1)}"
    tell(
        f"{into.path}: {merged.runs:,} runs written in {files}, {merged.there:,} were there already"
    )
    path = shlex.quote(str(into.path))
    say(
        f"for its tables, and for what is missing: the same sweep, or fastbp sweep {path}/sweep.toml -o {path}"
    )
    return COMPLETE
