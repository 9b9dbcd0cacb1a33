"""Training a sweep into its store: rounds of seeds or values, tables and page."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fastbp.adaptive import bisection, until_width
from fastbp.analysis import counts
from fastbp.cli import process
from fastbp.cli.terminal import Phase, ProgressLine, print_note, speed
from fastbp.config.sweep import Sweep
from fastbp.engine import backends, driver, forecast
from fastbp.engine.executor_map import Pool
from fastbp.engine.machine import available_cores
from fastbp.kernels.code_cache import is_kept
from fastbp.kernels.jit import has_fma
from fastbp.schema.errors import StoreError
from fastbp.schema.outcomes import OUTCOMES
from fastbp.store import provenance
from fastbp.store.filename import Range
from fastbp.store.store import Store

if TYPE_CHECKING:
    from fastbp.reporting.build import Report

MAX_FAILED = 20
"""Lines about failed blocks: many blocks usually fail for the same reason."""


@dataclass(frozen=True)
class Options:
    """The options of the command, and the mistakes in them."""

    mistakes: list[str]
    sweep: str | None
    all: Path | None
    output: Path | None
    seeds: str | None
    settings: list[str]
    jobs: int | None
    executor: str
    shard: tuple[int, int] | None
    until_width: float | None
    bisect: bisection.Axis | None
    dry_run: bool
    no_report: bool
    quiet: bool
    json: bool

    @property
    def silent(self) -> bool:
        """Whether to show no progress."""
        return self.quiet or self.json

    @property
    def cores(self) -> int:
        """Blocks that run at once."""
        return self.jobs or available_cores()

    def pool(self) -> Pool:
        """The workers; a dry run starts none."""
        return backends.pool("threads" if self.dry_run else self.executor, self.cores)


class Job(NamedTuple):
    """A sweep to train: its name below `--all FOLDER`, its file, its store, its shard of seeds."""

    name: str
    file: Path
    sweep: Sweep
    store: Store
    shard: Range | None = None


class Done(NamedTuple):
    """What a job came to. `adapted`: what `--until-width` or `--bisect` determined."""

    code: int
    trained: driver.Trained
    report: Report
    adapted: until_width.Narrowed | bisection.Bisected | None

    def summary(self) -> str:
        """How many runs were trained, how fast, and how long everything took."""
        trained = self.trained
        text = "complete already, nothing to train"
        if trained.runs:
            text = f"{trained.runs:,} runs trained"
        if trained.updates:
            text += f" at {speed(trained.updates / trained.seconds['train'])}"
        return f"{text}; {trained.seconds['total']:.1f} s in all"

    def as_json(self, store: Store) -> dict[str, object]:
        """What `--json` prints."""
        trained, summary = self.trained, self.report.summary
        counted = summary.to_dict("records")
        return {
            "store": str(store.path),
            "runs": int(summary["runs"].sum()),
            "updates": trained.updates,
            "seconds": {phase: round(s, 3) for phase, s in trained.seconds.items()},
            "updates_per_second": (
                round(trained.updates / trained.seconds["train"]) if trained.updates else None
            ),
            "outcomes": {
                row["setup"]: {str(each): int(row[each.replace("-", "_")]) for each in OUTCOMES}
                for row in counted
            },
        }


def check_room(job: Job, pool: Pool, options: Options) -> None:
    """Raise SweepError for too little memory, StoreFullError for too little disk."""
    workers = options.cores if pool.shares_memory else 0
    forecast.check(job.sweep, job.store, workers, processes=pool.processes)


def with_max_seeds(job: Job, pool: Pool, options: Options) -> Sweep:
    """The sweep with the seeds that `--until-width` may train, and a note about them."""
    width, sweep = options.until_width, job.sweep
    if width is None:
        return sweep
    workers = options.cores if pool.shares_memory else 0
    most = until_width.most_seeds(sweep, job.store, width, workers, pool.processes)
    seeds = f"note: at most {most.seeds:,} seeds"
    if most.short:
        print_note(f"{seeds}, which may be too few for a width of {width:g}: {most.short}")
    elif options.dry_run or not options.silent:
        print_note(f"{seeds}, enough for a width of {width:g} whatever the shares are")
    return sweep.with_seeds(sweep.seeds.start, most.seeds)


def perform(job: Job, options: Options, pool: Pool, began: float, label: str = "") -> Done:
    """until_width.Train what a store lacks of a sweep, and write its tables and its page."""
    _print_machine_notes()
    show = ProgressLine(options.silent, name=label)
    started = time.perf_counter() - began
    if job.shard and options.shard:
        print_note(
            f"shard {options.shard[0]}/{options.shard[1]}: seeds {job.shard[0]:,} to "
            f"{sum(job.shard) - 1:,}; fastbp merge unites shards"
        )
    train = _trainer(job, options, pool, show)
    adapted = _adapt(job, options, pool, train)
    if adapted:
        job = job._replace(sweep=adapted.sweep)
        _write_if_changed(job)
    trained = adapted.trained if adapted else train(job.sweep)
    trained = trained._replace(seconds={"start": started, **trained.seconds})
    for line in trained.failed[:MAX_FAILED]:
        print_note(f"failed: {line}")
    if len(trained.failed) > MAX_FAILED:
        print_note(f"failed: and {len(trained.failed) - MAX_FAILED:,} more blocks")
    report = _report(job, options, trained, show, began)
    complete = not trained.failed and (not adapted or adapted.complete)
    return Done(process.COMPLETE if complete else process.FAILED, trained, report, adapted)


def _print_machine_notes() -> None:
    if not is_kept():
        print_note(
            "note: there is no folder to keep compiled code in, so each command compiles again "
            "(FASTBP_CACHE_DIR may name one)"
        )
    if not has_fma():
        print_note(
            "note: this processor has no fused multiply-add, so training is 17 to 3,000 times "
            "slower (the results are the same)"
        )


def _trainer(job: Job, options: Options, pool: Pool, show: ProgressLine) -> until_width.Train:
    """The function that trains what is missing of a sweep into the job's store."""
    imports = threading.Thread(target=_import_reporting, daemon=True)

    def tick(progress: driver.Progress) -> None:
        # Not while it compiles, which holds the interpreter's lock too.
        if progress.phase == "training" and imports.ident is None:
            imports.start()
        show(progress)

    def train(sweep: Sweep) -> driver.Trained:
        adapts = options.until_width or options.bisect
        # Otherwise a later round may have begun before the command was interrupted.
        if not adapts or forecast.size(sweep, job.store.present()).runs:
            if adapts:
                check_room(job._replace(sweep=sweep), pool, options)
            _write_if_changed(job._replace(sweep=sweep))
        driver.problem_files(sweep, job.store)
        trained = driver.drive(sweep, job.store, pool=pool, seeds=job.shard, tick=tick)
        show.end()
        return trained

    return train


def _import_reporting() -> None:
    with suppress(Exception):  # raised again where the import is needed
        import fastbp.reporting.build  # noqa: F401


def _adapt(
    job: Job, options: Options, pool: Pool, train: until_width.Train
) -> until_width.Narrowed | bisection.Bisected | None:
    """Run --until-width or --bisect."""
    if options.bisect:
        return bisection.bisect(job.sweep, job.store, options.bisect, train)
    if options.until_width:
        most = with_max_seeds(job, pool, options).seeds.count
        return until_width.until_width(job.sweep, job.store, options.until_width, train, most)
    return None


def _write_if_changed(job: Job) -> None:
    """Write the store's sweep file unless it says the same."""
    file, content = job.store.path / "sweep.toml", job.sweep.to_toml(job.store.path).encode()
    if not file.exists() or file.read_bytes() != content:
        job.store.write(file, content)


def _report(
    job: Job, options: Options, trained: driver.Trained, show: ProgressLine, began: float
) -> Report:
    """Write the tables, made.json, and the page unless it is up to date."""
    started = time.perf_counter()
    from fastbp.reporting import build

    sweep, store = job.sweep, job.store
    setups = {setup.identity(): setup for setup in sweep.setups}
    has_page = not options.no_report and (
        trained.runs > 0 or not build.is_current(store.path, build.key(store.path, [*setups]))
    )
    try:
        counted = counts.count_runs(store.path, setups=[*setups], pictures=has_page)
    except (OSError, ValueError) as error:
        store.check()  # names the file
        raise StoreError(f"{store.runs} cannot be read: {error}") from error
    for each in counted:
        stored, requested = each.keys["collapse"], setups[each.setup].collapse
        if stored != requested:
            raise store.other_collapse(each.setup, stored, requested)
    baseline = sweep.baseline.identity() if sweep.baseline else None
    report = build.tabulated(counted, baseline, store.path)
    build.write_tables(store.path, report, store.write)
    trained.seconds["tables"] = time.perf_counter() - started
    trained.seconds["total"] = time.perf_counter() - began
    if trained.runs:
        provenance.add_made(store, driver.made(trained, options.cores))
    wanted = {name: sweep.seeds_of(setup).count for name, setup in setups.items()}
    if any(each.runs > wanted[each.setup] for each in counted):
        number = f"than the {sweep.seeds.count:,} requested"
        if len(set(wanted.values())) > 1:
            number = "of some setups than requested"
        print_note(f"note: {store.path} holds more seeds {number}; the tables count all of them")
    if has_page and counted:
        _draw(job, report, counted, show)
    trained.seconds["total"] = time.perf_counter() - began
    return report


def _draw(
    job: Job, report: Report, counted: Sequence[counts.SetupCounts], show: ProgressLine
) -> None:
    from fastbp.reporting import build

    phase = Phase("")

    def tick(what: str) -> None:
        phase(what)
        show(phase)

    path = job.store.path
    key = build.key(path, [setup.identity() for setup in job.sweep.setups])
    with process.gc_paused():
        build.draw(path, counted, report, key, write=job.store.write, tick=tick)
    show.end()
