"""A sweep and its store: read the sweep, train it, and write its tables and its page."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from fastbp.adaptive import bisection, until_width
from fastbp.cli import process
from fastbp.cli.arguments import FOUNDING, sweep_file, sweep_order
from fastbp.cli.terminal import Phase, ProgressLine, print_note, speed
from fastbp.config.grid import MAX_MISTAKES
from fastbp.config.sweep import Sweep
from fastbp.engine import backends, driver, forecast
from fastbp.engine.executor_map import Pool
from fastbp.engine.plan import Plan, shard
from fastbp.kernels.code_cache import why_not_kept
from fastbp.kernels.jit import has_fma
from fastbp.reporting import gallery
from fastbp.schema.errors import StoreError, SweepError, UnsafeFileError
from fastbp.schema.outcomes import OUTCOMES
from fastbp.schema.text import first_of, named, plural
from fastbp.store import provenance
from fastbp.store.filename import Range
from fastbp.store.places import is_in_store, is_store
from fastbp.store.safe_files import folder
from fastbp.store.store import MAX_DEPTH, Store

if TYPE_CHECKING:
    from fastbp.reporting.build import Report


MAX_FAILED = 20
"""The most lines about failed blocks of runs: many blocks usually fail for the same reason."""


@dataclass(frozen=True)
class Options:
    """The options of `fastbp sweep`.

    `mistakes`: a line for each value that is not allowed. `all`: the folder of `--all`. `shard`:
    (I, N) of `--shard I/N`.
    """

    mistakes: list[str]
    sweep: str | None
    all: Path | None
    folder: Path | None
    seeds: str | None
    settings: list[str]
    jobs: int | None
    executor: str
    shard: tuple[int, int] | None
    until_width: float | None
    bisect: bisection.SearchAxis | None
    dry_run: bool
    detect: float | None
    no_report: bool
    quiet: bool
    json: bool

    @property
    def silent(self) -> bool:
        """Whether no progress is shown."""
        return self.quiet or self.json

    def pool(self) -> Pool:
        """Make the pool of workers; for a dry run it starts none."""
        return backends.pool("threads" if self.dry_run else self.executor, self.jobs)


class Job(NamedTuple):
    """A sweep to train, and the store for its runs.

    `name`: its path below the folder of `--all`, else "". `shard`: the first seed and the number of
    seeds to train; None for all. `searches`: those of `--bisect`.
    """

    name: str
    file: Path
    sweep: Sweep
    store: Store
    shard: Range | None = None
    searches: Sequence[bisection.SettingSearch] = ()

    def plan(self) -> Plan:
        """Plan the training of the sweep's missing runs."""
        return Plan(self.sweep, self.store.present(), self.shard)


class Done(NamedTuple):
    """The result of a job.

    `code`: the exit code. `trained`: what was trained. `report`: the tables and the page.
    `adapted`: what `--until-width` or `--bisect` found; None without these options.
    """

    code: int
    trained: driver.Trained
    report: Report
    adapted: until_width.UntilWidthResult | bisection.BisectionResult | None

    def summary(self) -> str:
        """Say how many runs were trained, how fast, and how long everything took."""
        trained, took = self.trained, f"{self.trained.seconds['total']:.1f} s"
        return (
            f"{plural(trained.runs, 'run')} trained in {took}"
            + (f" ({speed(trained.speed)})" if trained.speed else "")
            if trained.runs
            else f"complete already, nothing to train ({took})"
        )

    def as_json(self, store: Store) -> dict[str, object]:
        """The result as a dictionary, as `--json` prints it."""
        trained, summary = self.trained, self.report.summary
        return {
            "store": str(store.path),
            "runs": int(summary["runs"].sum()),
            "updates": trained.updates,
            "seconds": {phase: round(s, 3) for phase, s in trained.seconds.items()},
            "updates_per_second": round(trained.speed) if trained.speed else None,
            "outcomes": {
                row["setup"]: {str(each): int(row[each.replace("-", "_")]) for each in OUTCOMES}
                for row in summary.to_dict("records")
            },
        }


# Reading


def read_job(options: Options) -> Job:
    """Make the job of a single sweep from the options: read its file, and choose its store.

    Raises SweepError if the file, a setting or the shard is wrong.
    """
    file = sweep_file(options.sweep or FOUNDING)
    sweep = Sweep.from_toml(file, seeds=options.seeds, settings=options.settings)
    seeds = None
    if options.shard:
        number, count = options.shard
        if count > (most := sweep.all_seeds.count):
            raise SweepError(
                [
                    f"--shard: given '{number}/{count}', allowed: I/N, such as 1/{most}, with N up "
                    f"to {most:,}, the number of seeds"
                ]
            )
        seeds = shard(sweep, number, count)
    return Job(
        "", file, sweep, Store(options.folder or Path("results") / file.stem, "-o DIR"), seeds
    )


MAX_SETUPS_OF_ALL, MAX_BYTES_OF_ALL = 200_000, 2**30
"""The most setups of all sweeps of a folder, and the most bytes of the inputs and targets of their
files: they are kept at once."""


def read_folder(source: Path, results: Path, seeds: str | None) -> tuple[list[Job], list[str]]:
    """Make the jobs of all sweep files below a folder.

    Returns
    -------
    jobs : list of Job
        The founding sweep first, then the others directly in the folder, then those in subfolders.
    mistakes : list of str
        A line for each mistake in the files or the arguments.
    """
    files = _sweep_files(source)
    jobs: list[Job] = []
    mistakes: list[str] = []
    setups, tables = 0, dict[int, int]()
    for name in sorted(files, key=sweep_order):
        mistakes += _same_places(name, files)
        try:
            jobs.append(
                Job(
                    name,
                    files[name],
                    Sweep.from_toml(files[name], seeds=seeds),
                    Store(results / name, "-o DIR"),
                )
            )
            setups += len(jobs[-1].sweep.setups)
            tables |= {  # equal ones are kept as often
                id(setup.file): setup.file.nbytes for setup in jobs[-1].sweep.setups if setup.file
            }
        except SweepError as error:
            mistakes += error.lines
        data = f"{MAX_BYTES_OF_ALL:,} bytes of inputs and targets of files"
        rules = [f"{MAX_SETUPS_OF_ALL:,} setups"] * (setups > MAX_SETUPS_OF_ALL)
        rules += [data] * (sum(tables.values()) > MAX_BYTES_OF_ALL)
        mistakes += [
            f"--all: given {named(source)}, allowed: sweeps with at most {rule} in all"
            for rule in rules
        ]
        if rules or len(mistakes) > MAX_MISTAKES:
            break
    if not files:
        mistakes.append(f"--all: given {named(source)}, allowed: a folder with sweep files, *.toml")
    if is_in_store(results):
        mistakes.append(f"-o: given {named(results)}, allowed: a folder that is in no store")
    if not gallery.is_generated(results):
        mistakes.append(
            f"{named(results / gallery.FILE)}: fastbp did not write this file and will not replace "
            "it: choose another folder with -o, or move that file away"
        )
    return jobs, [*dict.fromkeys(mistakes)]  # say once that --seeds is wrong, not for each file


def _sweep_files(source: Path) -> dict[str, Path]:
    """The sweep files below a folder by their names; none is in a store, or in a folder elsewhere.

    A stranger's file system may list a name twice or as another kind of file, or an empty name.
    """
    found, todo = dict[str, Path](), [""]
    while todo:
        below = todo.pop()
        if below.count("/") > MAX_DEPTH:
            raise SweepError(
                [f"--all: given {named(source)}, allowed: folders at most {MAX_DEPTH} deep"]
            )
        with (
            suppress(FileNotFoundError, NotADirectoryError, PermissionError, UnsafeFileError),
            folder(source, *PurePosixPath(below).parts) as here,
        ):
            names = set[str]() if is_store(source / below) else {*os.listdir(here)}
            for name in (each for each in names if not each.startswith(".")):
                with suppress(FileNotFoundError):  # as an empty name
                    if stat.S_ISDIR(os.lstat(name, dir_fd=here).st_mode):
                        todo.append(f"{below}{name}/")
                    elif name.endswith(".toml"):
                        found[below + name.removesuffix(".toml")] = source / below / name
    return found


def _same_places(name: str, files: Mapping[str, Path]) -> Iterator[str]:
    """Say that the results of a sweep would be in a folder, or a file, of others."""
    for place in (name, *map(str, PurePosixPath(name).parents)):
        if place == gallery.FILE or (place in files and place != name):
            others = "the gallery" if place == gallery.FILE else f"those of {place}.toml"
            yield (
                f"{named(files[name])}: its results would be in the same folder as {others}: give "
                "it another name"
            )


# Training


def with_max_seeds(job: Job, pool: Pool, options: Options) -> Sweep:
    """The sweep with the most seeds that `--until-width` may train; print a note about them."""
    width, sweep = options.until_width, job.sweep
    if width is None:
        return sweep
    most, short = until_width.max_seeds(sweep, job.store, width, pool)
    seeds = f"note: at most {most:,} seeds"
    if short:
        print_note(f"{seeds}, which may be too few for intervals {width:g} wide: {short}")
    elif options.dry_run or not options.silent:
        print_note(f"{seeds}, which is enough for a width of {width:g} for any shares")
    return sweep.with_seeds(sweep.seeds.start, most)


def perform(job: Job, options: Options, pool: Pool, began: float, label: str = "") -> Done:
    """Train the missing runs of a sweep, and write its tables and its page.

    `began`: when the command began, on the clock of ``time.perf_counter``. `label`: printed before
    each line about progress.
    """
    if reason := why_not_kept():
        print_note(f"note: {reason}")
    if not has_fma():
        print_note(
            "note: this processor has no fused multiply-add, so training is 17 to 3,000 times "
            "slower (the results are the same)"
        )
    if job.shard and options.shard:
        number, count = options.shard
        print_note(
            f"shard {number}/{count}: seeds {job.shard[0]:,} to {sum(job.shard) - 1:,}; "
            "fastbp merge unites shards"
        )
    show = ProgressLine(options.silent, name=label)
    seconds = {"start": time.perf_counter() - began}
    train = _trainer(job, pool, show, adapts=bool(options.until_width or options.bisect))
    adapted: until_width.UntilWidthResult | bisection.BisectionResult | None = None
    if options.bisect:
        adapted = bisection.bisect(job.sweep, job.searches, job.store, options.bisect, train)
    elif options.until_width:
        adapted = until_width.until_width(
            job.sweep,
            job.store,
            options.until_width,
            train,
            with_max_seeds(job, pool, options).seeds.count,
        )
    if adapted:
        job = job._replace(sweep=adapted.sweep)
        driver.write_sweep(job.sweep, job.store)
    trained = adapted.trained if adapted else train(job.sweep)
    trained = trained._replace(seconds=seconds | trained.seconds)
    for line in first_of(trained.failed, MAX_FAILED):
        print_note(f"failed: {line}")
    return Done(
        process.COMPLETE
        if not trained.failed and (not adapted or adapted.complete)
        else process.FAILED,
        trained,
        _report(job, not options.no_report, pool.workers, trained, show, began),
        adapted,
    )


def _trainer(job: Job, pool: Pool, show: ProgressLine, adapts: bool) -> until_width.Train:
    """Make the function that trains the missing runs of a sweep and stores them."""
    imports = threading.Thread(target=_import_reporting, daemon=True)

    def tick(progress: driver.Progress) -> None:
        # Not while it compiles: both hold the interpreter's lock.
        if progress.phase == "training" and imports.ident is None:
            imports.start()
        show(progress)

    def train(sweep: Sweep) -> driver.Trained:
        plan = job._replace(sweep=sweep).plan()
        # After a complete round there may be one that an interrupted command began.
        if plan.runs or not adapts:
            if adapts:
                forecast.check(plan, job.store, pool)
            driver.write_sweep(sweep, job.store)
        trained = driver.drive(plan, job.store, pool=pool, tick=tick)
        show.end()
        return trained

    return train


def _import_reporting() -> None:
    with suppress(Exception):  # raised again where the import is needed
        import fastbp.reporting.build  # noqa: F401


def _report(
    job: Job, page: bool, jobs: int, trained: driver.Trained, show: ProgressLine, began: float
) -> Report:
    """Write the tables, made.json, and the page if it is not up to date.

    Raises StoreError if runs were taken away before they were counted.
    """
    started = time.perf_counter()
    from fastbp.reporting import build

    sweep, store, seconds = job.sweep, job.store, trained.seconds
    setups = {setup.identity(): setup for setup in sweep.setups}
    baseline = sweep.baseline.identity() if sweep.baseline else None
    page = page and (trained.runs > 0 or not build.is_current(store.path, [*setups]))
    report = build.tables_of_sweep(
        store,
        {name: setup.collapse for name, setup in setups.items()},
        baseline,
        pictures=page,
    )
    written = time.perf_counter()
    seconds["tables"], seconds["total"] = written - started, written - began
    if trained.runs:
        provenance.add_made(store, [driver.made_entry(trained, jobs)])
    counted = dict(zip(report.summary["setup"], report.summary["runs"], strict=True))
    wanted = Plan(sweep, seeds=job.shard).requested
    gone = sum(max(0, wanted(setup)[1] - counted.get(name, 0)) for name, setup in setups.items())
    if gone and not trained.failed:
        raise StoreError(f"{gone:,} runs are gone from {store.runs}: the same command goes on")
    if page and report.counted:
        build.write_page(
            report,
            build.page_key(store.path, [*setups]),
            store.write,
            lambda phase: show(Phase(phase)),
        )
        show.end()
        seconds["page"] = time.perf_counter() - written
    requested = {name: sweep.seeds_of(setup).count for name, setup in setups.items()}
    if (report.summary["runs"] > report.summary["setup"].map(requested)).any():
        number = (
            "requested for some setups"
            if len({*requested.values()}) > 1
            else f"the {sweep.seeds.count:,} requested"
        )
        print_note(f"note: {store.path} has more seeds than {number}; the tables count all of them")
    seconds["total"] = time.perf_counter() - began
    return report
