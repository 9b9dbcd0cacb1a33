"""What is told of stores that are there: `fastbp report` and `fastbp compare`. They read Parquet
files and need no Numba.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from fastbp.cli.console import (
    BAD_STORE,
    BAD_USAGE,
    COMPLETE,
    NOT_WRITABLE,
    Phase,
    aside,
    cwd_missing,
    no_collections,
    refuse,
    say,
    signals_to,
    stop,
    tell,
)


def _ended(work: Callable[[], int], place: str) -> int:
    """The exit code of some work on stores; where it cannot be done, its line is said."""
    import logging

    logging.getLogger("matplotlib").setLevel(
        logging.ERROR
    )  # where there is no home it has advice of two long lines
    with signals_to(stop):
        if cwd_missing():
            return BAD_USAGE
        try:
            return work()
        except OSError as error:
            if (
                isinstance(error, FileNotFoundError) and error.errno is None
            ):  # not the system's: there is no store
                return refuse([str(error)], BAD_STORE)
            return refuse([f"{error.filename or place}: {error.strerror or error}"], NOT_WRITABLE)
        except ValueError as error:
            return refuse([str(error)], BAD_STORE)


def report(arguments: argparse.Namespace) -> int:
    """`fastbp report`."""
    collapse = None
    if arguments.collapse is not None:
        try:
            collapse = float(arguments.collapse)
        except ValueError:
            collapse = 0.0
        if not 0 < collapse < 1:
            given = arguments.collapse[:60]
            return refuse(
                [
                    f"--collapse: given {given!r}, allowed: a number above 0 and below 1, such as 0.1"
                ],
                BAD_USAGE,
            )
    return _ended(
        lambda: _report(Path(arguments.store), collapse, arguments.all_runs), arguments.store
    )


def compare(arguments: argparse.Namespace) -> int:
    """`fastbp compare`."""
    if arguments.output == "":
        return refuse(["-o: given '', allowed: a folder"], BAD_USAGE)
    return _ended(lambda: _compare(arguments), arguments.output or arguments.a)


def _compare(arguments: argparse.Namespace) -> int:
    phase = Phase("reading")

    def work() -> tuple[str, list[Path]]:
        from fastbp.reporting.sections import comparison_section
        from fastbp.reporting.sections.comparison_section import compare

        found = compare(
            Path(arguments.a),
            Path(arguments.b),
            Path(arguments.output) if arguments.output else None,
            phase,
        )
        return "\n".join(
            [*comparison_section.terminal_table(found.table), "", *found.verdict]
        ), found.written

    told, written = aside(work, phase)
    tell(told)
    if written:
        say(f"written: {', '.join(str(path) for path in written)}")
    return COMPLETE


def _report(store: Path, collapse: float | None, all_runs: bool) -> int:
    phase = Phase("reading")

    def work() -> tuple[str, list[str], list[Path]]:
        from fastbp.reporting import build

        with no_collections():
            made = build.make(store, collapse=collapse, all_runs=all_runs, tick=phase)
        lines = [*made.table(), "", *made.verdict, *made.beside()]
        return "\n".join(lines), made.notes, made.written

    told, notes, written = aside(work, phase)
    for note in notes:
        say(f"note: {note}")
    tell(told)
    say(f"written: {store / 'report.html'}, and {len(written) - 1} more files beside it")
    return COMPLETE
