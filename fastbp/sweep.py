"""`python -m fastbp.sweep [FILE or NAME]`: train the missing runs of a sweep, show the answer."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fastbp.cli import process
from fastbp.cli.arguments import folder, integer, lazily, number, option, value
from fastbp.cli.terminal import (
    paragraphs,
    print_answer,
    print_data,
    print_note,
    print_notes,
    screen,
)
from fastbp.schema.errors import StoreFullError, SweepError
from fastbp.schema.text import plural, printable
from fastbp.store import places, safe_files

if TYPE_CHECKING:
    from fastbp.cli.job import Done, Job, Options
    from fastbp.reporting.build import Report

SINGLE = {
    "sweep": "FILE or NAME", "settings": "--set", "shard": "--shard",
    "until_width": "--until-width", "bisect": "--bisect", "no_report": "--no-report",
    "detect": "--detect",
}  # fmt: skip
"""Options that `--all` refuses: the fields of `Options`, with their names in messages."""


def _executor(text: str) -> str:
    lazily("engine.backends:named", text)
    return text


def _shard(text: str) -> tuple[int, int] | None:
    match = re.fullmatch("([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    shard = (int(match[1]), int(match[2])) if match else (1, 0)
    return shard if shard[0] <= shard[1] else None


# One sweep


def _sweep_one(options: Options, began: float) -> int:
    from fastbp.cli.dry_run import dry_run
    from fastbp.cli.job import perform, read_job, with_max_seeds
    from fastbp.engine import forecast

    mistakes = [*options.mistakes, *_conflicts(options)]
    try:
        job = read_job(options)
    except SweepError as error:
        raise SweepError([*error.lines, *mistakes]) from None
    if mistakes:
        raise SweepError(mistakes)
    if options.bisect:  # refused here, the store is not made yet
        job = job._replace(
            searches=lazily("adaptive.bisection:searches_of", job.sweep, options.bisect)
        )
    print_notes(job.sweep.notes)
    job.store.check_usable()
    pool = options.pool()
    if options.dry_run:
        estimate = dry_run(
            job._replace(sweep=with_max_seeds(job, pool, options)).plan(),
            job.store,
            pool,
            options.detect,
        )
        print_data(json.dumps(estimate.as_json()) if options.json else estimate.text())
    forecast.check(job.plan(), job.store, pool)
    if options.dry_run:
        return process.COMPLETE
    with job.store.locked():
        process.interruption.kept_in = str(job.store.path)
        done = perform(job, options, pool, began)
        _print_result(job, done, options)
    return done.code


def _conflicts(options: Options) -> list[str]:
    """Return a line for each option that is not allowed with --until-width or --bisect."""
    adapts = options.until_width or options.bisect
    adaptive = "--until-width" if options.until_width else "--bisect"
    conflicts = (
        (options.until_width and options.bisect, "--bisect", "--until-width"),
        (adapts and options.shard, "--shard", f"{adaptive}, which needs all seeds"),
        (options.bisect and options.dry_run, "--dry-run", "--bisect, whose runs depend on results"),
    )
    return ["--detect: given without --dry-run, allowed: only with it"] * bool(
        options.detect and not options.dry_run
    ) + [
        f"{option}: given together with {other}, allowed: only one of the two"
        for wrong, option, other in conflicts
        if wrong
    ]


# What it prints


def _print_result(job: Job, done: Done, options: Options) -> None:
    report, adapted = done.report, done.adapted
    answer = adapted.lines(report.summary) if adapted and not done.trained.failed else []
    if options.json:
        print_data(
            json.dumps(
                done.as_json(job.store)
                | (adapted.as_json() | {"answer": answer} if adapted else {})
            )
        )
        return
    answer, shown = answer or report.answer(), screen()
    print_answer(answer, *report.parts(shown, len(paragraphs(answer, shown))))
    for line in (f"{done.summary()}.", *_files(job, report, options.no_report)):
        print_note(line)


def _files(job: Job, report: Report, no_page: bool) -> list[str]:
    """Say which file to open: the page and its first picture, or without a page the tables.

    Each path stands on a line of its own, which may be wider than the terminal.
    """
    from fastbp.reporting import gallery

    store = job.store.path
    if no_page or (page := gallery.page_of(store)) is None:
        return [f"Table: {store}/{name}.csv" for name in report.tables]
    picture = gallery.picture_of(store, page)
    return [f"Report: {store}/report.html", *[f"Picture: {store}/{picture}"] * bool(picture)]


# All sweeps of a folder


def _sweep_all(options: Options, source: Path, began: float) -> int:
    from fastbp.cli.dry_run import dry_run, print_dry_runs
    from fastbp.cli.job import read_folder
    from fastbp.engine import forecast

    results = options.folder or Path("results")
    jobs, mistakes = read_folder(source, results, options.seeds)
    only_single = [
        f"{spelling}: given together with --all, allowed: only with a single sweep"
        for name, spelling in SINGLE.items()
        if getattr(options, name) not in (None, False, [])
    ]
    if mistakes := [*options.mistakes, *only_single, *mistakes]:
        raise SweepError(mistakes)
    pool = options.pool()
    for job in jobs:
        print_notes(f"{job.name}: {note}" for note in job.sweep.notes)
        try:
            forecast.check(job.plan(), job.store, pool)
        except SweepError as error:
            mistakes += [f"{job.file}: {line}" for line in error.lines]
    if mistakes:
        raise SweepError(mistakes)
    if options.dry_run:
        print_dry_runs(
            {job.name: dry_run(job.plan(), job.store, pool) for job in jobs}, options.json
        )
        return process.COMPLETE
    process.interruption.kept_in = str(results)
    return _perform_all(jobs, options, source, results, began)


def _perform_all(
    jobs: Sequence[Job], options: Options, source: Path, results: Path, began: float
) -> int:
    """Train one sweep after the other and write the gallery. Returns the worst exit code."""
    from fastbp.store.store import writing

    entries: list[dict[str, object]] = []
    codes = [process.COMPLETE]
    with writing(results):
        safe_files.make(results)
    with safe_files.held(results):
        for place, job in enumerate(jobs, 1):
            label = f"{job.name} ({place:,} of {len(jobs):,})"
            codes.append(
                process.exit_code(
                    partial(_perform, job, options, label, entries),
                    job.store.path,
                    [job.store.path],
                )
            )
            with writing(results):
                safe_files.hold(results)
            if codes[-1] == process.NOT_WRITABLE:
                break  # the next could not be written either
        file = _write_gallery(jobs, options, source, results)
    seconds = time.perf_counter() - began
    if options.json:
        print_data(
            json.dumps(
                {
                    "results": str(results),
                    "gallery": str(file),
                    "seconds": round(seconds, 3),
                    "sweeps": entries,
                }
            )
        )
    else:
        print_note(f"{file}: {plural(len(jobs), 'sweep')}; {seconds:.1f} s in all")
    return max(codes)


def _perform(job: Job, options: Options, label: str, entries: list[dict[str, object]]) -> int:
    """Train a sweep of a folder. Print its question and answer, or add what `--json` prints."""
    from fastbp.cli.job import perform
    from fastbp.reporting import gallery

    began = time.perf_counter()
    with job.store.locked():
        done = perform(job, options, options.pool(), began, f"{label}: ")
    if options.json:
        entries.append(done.as_json(job.store))
        return done.code
    # From the page: it knows more than the tables, and is not drawn again if nothing was trained.
    page = gallery.page_of(job.store.path)
    answer = page[1] if page else done.report.verdict[0]
    title = f"{job.name}: {job.sweep.title}".rstrip(": ")
    page_file = printable(str(job.store.path / "report.html"))
    print_data(f"{printable(title)}\n{printable(answer)}\n{page_file}\n")
    if not options.quiet:
        print_note(f"{label}: {done.summary()}")
    return done.code


def _write_gallery(jobs: Sequence[Job], options: Options, source: Path, results: Path) -> Path:
    """Write the gallery of all stores, with the commands that make them again."""
    from fastbp.problems import table_files
    from fastbp.reporting import gallery
    from fastbp.store.store import is_written, write

    seeds = [] if options.seeds is None else ["--seeds", options.seeds]
    place = PurePosixPath(Path(places.real_path(results)).name)

    def command(path: Path, output: PurePosixPath, default: PurePosixPath, *words: str) -> str:
        return shlex.join(
            [
                "python",
                "-m",
                "fastbp.sweep",
                *words,
                # so that the current folder does not matter
                table_files.relative(places.real_path(path), results / ".."),
                *([] if output == default else ["-o", str(output)]),
                *seeds,
            ]
        )

    default = PurePosixPath("results")
    commands = {
        job.name: command(job.file, place / job.name, default / job.file.stem) for job in jobs
    }
    whole = command(source, place, default, "--all")
    file, content = results / gallery.FILE, gallery.text(results, commands, whole).encode()
    if not gallery.is_generated(results):
        raise StoreFullError(f"{file} cannot be written: it came there meanwhile")
    return file if is_written(file, content) else write(file, content)


def sweep(**given: Any) -> int:
    """Run `fastbp sweep`: train one sweep, or all of a folder. `given`: the fields of `Options`."""
    began = time.perf_counter()
    from fastbp.cli.job import Options

    options = Options(**given)
    return _sweep_all(options, options.all, began) if options.all else _sweep_one(options, began)


main = process.Command(
    "sweep",
    sweep,
    "Train every setup of a sweep from many seeds, and say how often each converges or collapses "
    "to a constant.",
    "Exit: 0 complete, 1 some blocks failed or there is no room for all seeds that a width takes, "
    "2 bad usage or file or too little memory, 3 store locked, damaged or of another version, "
    "4 disk full or not writable, 130 or 143 interrupted (the same command resumes).",
    [
        option(
            "sweep",
            nargs="?",
            metavar="FILE or NAME",
            help="a sweep file, or the name of one that ships with fastbp (see fastbp list; "
            "default: founding)",
        ),
        option(
            "--all",
            metavar="FOLDER",
            type=folder,
            help="train every sweep file below a folder, each into results/NAME by its path there, "
            "then write results/README.md, a gallery of what they show; goes with -o (instead of "
            "results), --seeds, -j, --executor, --dry-run, --quiet, --json",
        ),
        option(
            "-o", "--folder", metavar="DIR", type=folder, help="the store (default: results/NAME)"
        ),
        option(
            "--seeds",
            metavar="N",
            help="the number of seeds, in place of the file's; more seeds extend a store",
        ),
        option(
            "--set",
            action="append",
            default=[],
            dest="settings",
            metavar="KEY=VALUE",
            help="another value for a key of [setup], read as TOML; a list makes a grid: "
            "lr=[0.1,0.2]",
        ),
        option(
            "-j",
            "--jobs",
            metavar="N",
            type=integer(1, 1024),
            help="blocks that run at once (default: all cores that this process may use)",
        ),
        option(
            "--executor",
            metavar="E",
            default="threads",
            type=_executor,
            help="where to train: threads (default), processes or dask, all on this machine; "
            "dask:ADDRESS, mpi, slurm (inside an allocation) and flux reach other machines (all "
            "are tested but flux; see docs/clusters.md)",
        ),
        option(
            "--shard",
            metavar="I/N",
            type=value(
                "I/N, such as 1/3, with I from 1 to N and N at most the number of seeds", _shard
            ),
            help="train only the I-th of N parts of the seeds, so that machines without a common "
            "disk can share the work (see fastbp merge)",
        ),
        option(
            "--until-width",
            metavar="W",
            # 10⁹ seeds are enough for the narrowest one.
            type=number("a number from 0.0001 and below 1, such as 0.01", lambda w: 1e-4 <= w < 1),
            help="train more and more seeds, starting with the sweep's number, until the 95%% "
            "interval of each share is at most this wide",
        ),
        option(
            "--bisect",
            metavar="KEY",
            type=partial(lazily, "adaptive.bisection:read_key"),
            help="find the value of a numeric key, such as lr, at which half of the seeds "
            "converge: between its values in the grid, or from the baseline's value outwards",
        ),
        option(
            "--dry-run",
            action="store_true",
            help="estimate time, disk and memory; write and train nothing",
        ),
        option(
            "--detect",
            metavar="POINTS",
            type=number("a number of points from 0.001 to 100", lambda p: 0.001 <= p <= 100),
            help="with --dry-run, also say how many seeds show a difference of this many points",
        ),
        option(
            "--no-report",
            action="store_true",
            help="write tables only: no pictures and no report.html",
        ),
        option("--quiet", action="store_true", help="show no progress"),
        option(
            "--json", action="store_true", help="print one JSON object at the end instead of tables"
        ),
    ],
    place="folder",
    takes_mistakes=True,
)
main.run_if_main(__name__)
