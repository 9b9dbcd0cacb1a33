"""What the front doors do: from arguments to the engine, from the store to the terminal."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TextIO, TypeVar

if TYPE_CHECKING:
    from fastbp.adaptive.bisection import BisectionResult
    from fastbp.adaptive.until_width import UntilWidthResult
    from fastbp.config.sweep import Sweep
    from fastbp.engine.driver import Progress, Trained
    from fastbp.engine.executor_map import Pool
    from fastbp.engine.forecast import StorageNeed, TimeEstimate
    from fastbp.engine.retrain import Trajectory
    from fastbp.reporting.build import Report
    from fastbp.store.filename import Range
    from fastbp.store.store import Store

T = TypeVar("T")

COMPLETE, FAILED, BAD_USAGE, BAD_STORE, NOT_WRITABLE = 0, 1, 2, 3, 4

FOUNDING = "founding"
"""The sweep that is trained where none is named, and the first of all."""

MAX_FAILED = 20
"""Lines about blocks that failed; where many do, they fail alike."""

PLAIN_LINE_SECONDS = 30.0
"""How often progress is told where there is no terminal."""


def sweep(arguments: argparse.Namespace) -> int:
    """`fastbp sweep`."""
    began = time.perf_counter()
    place = ""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        stop_at(number, place)

    with signals_to(stop):
        if cwd_missing():
            return BAD_USAGE
        from fastbp.config.sweep import Sweep
        from fastbp.schema.errors import SweepError

        lines, jobs = wrong(arguments)
        lines += _adaptive(arguments)
        try:
            path = shipped(arguments.sweep or FOUNDING)
            sweep = Sweep.from_toml(path, seeds=arguments.seeds, settings=arguments.settings)
            seeds = _shard(sweep, arguments.shard)
        except SweepError as error:
            lines = [*error.lines, *lines]
        if lines:
            return refuse(lines, BAD_USAGE)
        for note in sweep.notes:
            say(f"note: {note}")

        from fastbp.engine import backends, forecast
        from fastbp.engine.plan import Plan
        from fastbp.store.store import Store

        store = Store(arguments.output or Path("results") / path.stem, "-o DIR")

        def work() -> int:
            nonlocal place
            store.check_usable()
            asked = sweep.within(*seeds) if seeds else sweep
            pool = backends.pool("threads" if arguments.dry_run else arguments.executor, jobs)
            if arguments.dry_run:
                would = dry_run(_at_most(asked, store, pool, arguments), store, pool)
                tell(json.dumps(would.as_json()) if arguments.json else would.text())
            forecast.check(Plan(asked, store.present()), store, pool)
            if arguments.dry_run:
                return COMPLETE
            store.open()
            with store.locked():
                place = str(store.path)
                done = perform(sweep, store, seeds, pool, jobs, arguments, began)
                _tell(done, sweep, store, arguments)
                return done.code

        return ended(work, store.path)


def wrong(arguments: argparse.Namespace) -> tuple[list[str], int]:
    """What is wrong with the options of any sweep, and how many blocks run at once."""
    from fastbp.engine import backends
    from fastbp.schema.errors import SweepError

    lines, jobs = _jobs(arguments.jobs)
    try:
        backends.named(arguments.executor)
    except SweepError as error:
        lines += error.lines
    if arguments.output == "":
        lines.append("-o: given '', allowed: a folder")
    return lines, jobs


def cwd_missing() -> bool:
    """Whether the current folder is gone, and say so: some packages cannot even be imported
    there.
    """
    try:
        os.getcwd()
    except OSError:
        say("fastbp: the current folder is no longer there: change to one that is")
        return True
    return False


def ended(work: Callable[[], int], place: Path) -> int:
    """The exit code of some work at a place; where it cannot be done, its lines are said."""
    import logging

    from fastbp.schema.errors import (
        LostError,
        OtherWorkerError,
        StoreError,
        StoreFullError,
        SweepError,
    )

    logging.getLogger("matplotlib").setLevel(
        logging.ERROR
    )  # where there is no home it has advice of two long lines
    try:
        return work()
    except SweepError as error:
        return refuse(error.lines, BAD_USAGE)
    except StoreError as error:
        return refuse([str(error)], BAD_STORE)
    except StoreFullError as error:
        return refuse([str(error)], NOT_WRITABLE)
    except OSError as error:
        return refuse([f"{error.filename or place}: {error.strerror or error}"], NOT_WRITABLE)
    except (OtherWorkerError, LostError) as error:
        return refuse(
            [f"--executor: {error}"], BAD_STORE if isinstance(error, OtherWorkerError) else FAILED
        )
    except ArithmeticError as error:
        return refuse([str(error)], FAILED)


def _shard(sweep: Sweep, text: str | None) -> Range | None:
    """The seeds of a shard, of `I/N`. Raises SweepError."""
    from fastbp.engine.plan import shard
    from fastbp.schema.errors import SweepError

    if text is None:
        return None
    number, of = (
        int(part) if part.isascii() and part.isdigit() and len(part) < 7 else 0
        for part in (text + "/").split("/")[:2]
    )
    if not 1 <= number <= of or text != f"{number}/{of}" or of > sweep.all_seeds.count:
        most = min(sweep.all_seeds.count, 999_999)
        raise SweepError(
            [
                f"--shard: given {text[:60]!r}, allowed: I/N, such as 1/3, with I from 1 to N and N up to {most:,}, the seeds"
            ]
        )
    return shard(sweep, number, of)


class Done(NamedTuple):
    """What a sweep came to: the exit code, what was trained, the tables and what they say, and what
    was sought and found.
    """

    code: int
    trained: Trained
    told: Report
    found: UntilWidthResult | BisectionResult | None


def perform(
    sweep: Sweep,
    store: Store,
    seeds: Range | None,
    pool: Pool,
    jobs: int,
    arguments: argparse.Namespace,
    began: float,
    name: str = "",
) -> Done:
    """Train what is missing of a sweep and publish it, with its tables and its page. `name`: of
    this one of several.
    """
    from fastbp.engine import driver, forecast
    from fastbp.engine.plan import Plan
    from fastbp.kernels.code_cache import why_not_kept
    from fastbp.kernels.jit import has_fma

    if reason := why_not_kept():
        say(f"note: {reason}")
    if not has_fma():
        say(
            "note: this processor has no fused multiply-add, so training is 17 to 3,000 times slower (the results are the same)"
        )
    show = Shown(quiet=arguments.quiet or arguments.json, name=name)
    imports = threading.Thread(target=_import_reporting, daemon=True)

    def tick(progress: Progress) -> None:
        if progress.phase == "training" and imports.ident is None:
            imports.start()  # while others train: compiling would have to share the interpreter with it
        show(progress)

    adapts = arguments.until_width is not None or arguments.bisect is not None

    def train(asked: Sweep) -> Trained:
        plan = Plan(asked, store.present(), seeds)
        if not adapts or plan.runs:  # else a later round may have been begun already
            if adapts:
                forecast.check(plan, store, pool)
            _renew(store, "sweep.toml", asked.to_toml(store.path))
        driver.write_problems(asked, store)
        done = driver.drive(plan, store, pool=pool, tick=tick)
        show.end()
        return done

    started = time.perf_counter() - began
    if seeds:
        say(
            f"shard {arguments.shard}: seeds {seeds[0]:,} to {sum(seeds) - 1:,}; fastbp merge unites shards"
        )
    found: UntilWidthResult | BisectionResult | None = None
    if adapts:
        from fastbp.adaptive import bisection, until_width

        if arguments.bisect is not None:
            found = bisection.bisect(sweep, store, bisection.read_key(arguments.bisect), train)
        else:
            most = _at_most(sweep, store, pool, arguments).seeds.count
            found = until_width.until_width(
                sweep, store, until_width.read_width(arguments.until_width), train, most
            )
        sweep = found.sweep
        _renew(store, "sweep.toml", sweep.to_toml(store.path))
    trained = found.trained if found else train(sweep)
    trained = trained._replace(seconds={"start": started, **trained.seconds})
    if trained.failed:
        for line in trained.failed[:MAX_FAILED]:
            say(f"failed: {line}")
        if len(trained.failed) > MAX_FAILED:
            say(f"failed: and {len(trained.failed) - MAX_FAILED:,} more blocks")
    told = _report(sweep, store, trained, jobs, show, began, paged=not arguments.no_report)
    return Done(
        FAILED if trained.failed or (found and not found.complete) else COMPLETE,
        trained,
        told,
        found,
    )


def _adaptive(arguments: argparse.Namespace) -> list[str]:
    """What is wrong with --until-width and --bisect, and what does not go with them."""
    from fastbp.schema.errors import SweepError

    lines: list[str] = []
    given = {"--until-width": arguments.until_width, "--bisect": arguments.bisect}
    given = {option: text for option, text in given.items() if text is not None}
    if not given:
        return lines
    from fastbp.adaptive import bisection, until_width

    for option, text in given.items():
        try:
            (until_width.read_width if option == "--until-width" else bisection.read_key)(text)
        except SweepError as error:
            lines += error.lines
    if len(given) > 1:
        lines.append("--bisect: given beside --until-width, allowed: one of the two")
    if arguments.shard is not None:
        lines.append(
            f"--shard: given beside {next(iter(given))}, allowed: without it, which goes on by what all seeds show"
        )
    if arguments.dry_run and arguments.bisect is not None:
        lines.append(
            "--dry-run: given beside --bisect, allowed: without it, which goes on by what it finds"
        )
    return lines


def _at_most(sweep: Sweep, store: Store, pool: Pool, arguments: argparse.Namespace) -> Sweep:
    """The sweep with the seeds that it may take, and say how many these are."""
    if arguments.until_width is None:
        return sweep
    from fastbp.adaptive import until_width

    width = until_width.read_width(arguments.until_width)
    most = until_width.max_seeds(sweep, store, width, pool)
    if most.short:
        say(
            f"note: at most {most.seeds:,} seeds, which may be too few for a width of {width:g}: {most.short}"
        )
    elif arguments.dry_run or not (arguments.quiet or arguments.json):
        say(
            f"note: at most {most.seeds:,} seeds, which is enough for a width of {width:g} whatever the shares are"
        )
    return sweep.with_seeds(sweep.seeds.start, most.seeds)


class DryRun(NamedTuple):
    """What a sweep would take."""

    sweep: Sweep
    store: Store
    pool: Pool
    wanted: StorageNeed
    takes: TimeEstimate
    is_new: bool
    """Whether nothing of the sweep is there yet."""

    @property
    def _memory(self) -> float:
        from fastbp.engine import forecast
        from fastbp.engine.plan import Plan

        terms = forecast.memory(Plan(self.sweep), self.pool, stored=True, frame=False)
        return sum(term.bytes for term in terms)

    def as_json(self) -> dict[str, object]:
        """As `--json` prints it."""
        from fastbp.engine import machine

        disk, takes = machine.disk(self.store.path), self.takes
        return {
            "store": str(self.store.path),
            "setups": len(self.sweep.setups),
            "runs": self.sweep.runs,
            "missing": self.wanted.runs,
            "updates": takes.updates,
            "seconds": {
                "compile": round(takes.compiling),
                "rest": float(f"{takes.all_but_compiling:.2g}"),
            },
            "jobs": self.pool.workers,
            "disk": {
                "bytes": self.wanted.bytes,
                "files": self.wanted.files,
                "free": disk and disk.bytes,
            },
            "memory": {"bytes": round(self._memory), "free": machine.memory()},
        }

    def text(self) -> str:
        """In lines."""
        from fastbp.engine import forecast, machine

        wanted, takes = self.wanted, self.takes
        disk, free = machine.disk(self.store.path), machine.memory()
        early = any(setup.stop == "converged" for setup in self.sweep.setups)
        cores = f"{self.pool.workers:,} core{'s' * (self.pool.workers > 1)}"
        compiling = (
            f", and some {duration(takes.compiling)} before it to compile, once for this machine"
            * bool(takes.compiling)
        )
        lines = {
            "setups": f"{len(self.sweep.setups):,}",
            "runs": f"{self.sweep.runs:,}"
            + (f", of which {wanted.runs:,} are missing in {self.store.path}" * (not self.is_new)),
            "updates": "at most " * early + f"{takes.updates:,}",
            "time": f"{'at most' if early else 'about'} {duration(takes.all_but_compiling)} on {cores}{compiling}",
            "disk": f"{forecast.in_bytes(wanted.bytes)} in {wanted.files:,} file{'s'[: wanted.files != 1]}"
            + (f", {forecast.in_bytes(disk.bytes)} are free" if disk else ""),
            "memory": f"{forecast.in_bytes(self._memory)}"
            + (f", {forecast.in_bytes(free)} are free" if free else ""),
        }
        return "\n".join(f"{name:<9}{line}" for name, line in lines.items())


def dry_run(sweep: Sweep, store: Store, pool: Pool) -> DryRun:
    """What a sweep would take. The store is only read, and not locked: whoever trains in it is not
    in the way.
    """
    from fastbp.engine import forecast
    from fastbp.engine.plan import Plan

    plan = Plan(sweep, store.present())
    return DryRun(
        sweep,
        store,
        pool,
        forecast.storage(plan),
        forecast.duration(plan, pool.workers),
        not plan.present,
    )


def _import_reporting() -> None:
    with suppress(Exception):  # which is told where it is needed
        import fastbp.reporting.build  # noqa: F401


def _report(
    sweep: Sweep, store: Store, trained: Trained, jobs: int, show: Shown, began: float, paged: bool
) -> Report:
    """The tables of what is there, and its page where that is wanted and not there yet."""
    started = time.perf_counter()
    from fastbp.engine import driver
    from fastbp.reporting import build
    from fastbp.store import provenance

    collapses = {setup.identity(): setup.collapse for setup in sweep.setups}
    baseline = sweep.baseline.identity() if sweep.baseline else None
    drawn, phase = started, Phase("")

    def record() -> None:
        nonlocal drawn
        drawn = time.perf_counter()
        trained.seconds["tables"] = drawn - started
        trained.seconds["total"] = drawn - began
        if trained.runs:
            provenance.add_made(store, driver.made_entry(trained, jobs))

    def tick(what: str) -> None:
        phase.phase = what
        show(phase)

    with no_collections():
        told = build.finish_sweep(
            store,
            collapses,
            baseline,
            page=paged,
            renew=trained.runs > 0,
            record=record,
            tick=tick,
        )
    if store.path / "report.html" in told.written:
        show.end()
        trained.seconds["page"] = time.perf_counter() - drawn
    asked = {setup.identity(): sweep.seeds_of(setup).count for setup in sweep.setups}
    if (told.summary["runs"] > told.summary["setup"].map(asked)).any():
        number = (
            f"than the {sweep.seeds.count:,} asked for"
            if len(set(asked.values())) == 1
            else "of some setups than asked for"
        )
        say(f"note: {store.path} holds more seeds {number}, and the tables count them all")
    trained.seconds["total"] = time.perf_counter() - began
    return told


def _tell(done: Done, sweep: Sweep, store: Store, arguments: argparse.Namespace) -> None:
    """Print what a sweep shows."""
    trained, told, found = done.trained, done.told, done.found
    answer = found.lines(told.summary) if found and not trained.failed else []
    if arguments.json:
        adapted = found.as_json() | {"said": answer} if found else {}
        tell(json.dumps(as_json(store, done) | adapted))
        return
    lines = [*told.table(), "", *told.changes(), *told.beside()]
    tell("\n".join([*lines, *([""] if answer else []), *answer]))
    page = "" if arguments.no_report else ", report.html"
    say(
        f"{done_in_words(trained)}; {store.path}/runs, {', '.join(f'{name}.csv' for name in told.tables)}{page}"
    )


def done_in_words(trained: Trained) -> str:
    """How much was trained, how fast, and how long all took."""
    new = f"{trained.runs:,} runs trained" if trained.runs else "complete already, nothing to train"
    rate = f" at {_rate(trained.updates / trained.seconds['train'])}" if trained.updates else ""
    return f"{new}{rate}; {trained.seconds['total']:.1f} s in all"


def _renew(store: Store, name: str, text: str) -> None:
    """Write a file of the store where it says something else."""
    file = store.path / name
    if not file.exists() or file.read_bytes() != text.encode():
        store.write(file, text.encode())


def as_json(store: Store, done: Done) -> dict[str, object]:
    """What a sweep came to, as `--json` prints it."""
    from fastbp.schema.outcomes import OUTCOMES

    trained, summary = done.trained, done.told.summary
    rate = trained.updates / trained.seconds["train"] if trained.updates else None
    outcomes = {
        row["setup"]: {str(outcome): int(row[outcome.column]) for outcome in OUTCOMES}
        for row in summary.to_dict("records")
    }
    return {
        "store": str(store.path),
        "runs": int(summary["runs"].sum()),
        "updates": trained.updates,
        "seconds": {phase: round(s, 3) for phase, s in trained.seconds.items()},
        "updates_per_second": rate and round(rate),
        "outcomes": outcomes,
    }


def replay(arguments: argparse.Namespace) -> int:
    """`fastbp replay`."""
    with signals_to(stop):
        if cwd_missing():
            return BAD_USAGE
        return ended(lambda: _replay(arguments), Path(arguments.store))


def _replay(arguments: argparse.Namespace) -> int:
    from fastbp.engine import compile_ahead, driver, lane_group, stored_run
    from fastbp.engine.retrain import retrain
    from fastbp.schema.errors import SweepError
    from fastbp.store.store import Store

    wrong = [
        *_wrong_suffix("--figure", arguments.figure, ".svg", ".png", ".pdf"),
        *_wrong_suffix("--export", arguments.export, ".npz"),
    ]
    if wrong:
        raise SweepError(wrong)
    store = Store(arguments.store)
    found = stored_run.find(store, arguments.setup, arguments.seed, held=arguments.check)
    only_checked = arguments.check and not (arguments.figure or arguments.export)
    progress = driver.Progress(phase="compiling")

    def work() -> tuple[Trajectory | None, list[str]]:
        compile_ahead.warm_up(lane_group.kernel_key(found.setup))
        progress.phase = "training this run again"
        large = stored_run.too_large(found, rows=bool(arguments.export))
        if large and not only_checked:
            raise SweepError(large)
        trajectory = (
            None if large else retrain(found.setup, found.seed, rows=bool(arguments.export))
        )
        return trajectory, stored_run.differences(found, trajectory) if arguments.check else []

    trajectory, different = aside(work, progress)
    if arguments.check:
        same = f"the same, bit for bit: {len(found.row or ())} columns"
        tell("\n".join(different) or same)
    if trajectory and not only_checked:
        _show(trajectory, found.identity, store, arguments)
    return BAD_STORE if different else COMPLETE


@contextmanager
def no_collections() -> Iterator[None]:
    """Let garbage lie while much is made that stays: pictures are thousands of objects, and a tenth
    of their time is the search for those that go.
    """
    import gc

    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def aside(work: Callable[[], T], progress: Progress | Phase) -> T:
    """Call it in a thread, so that this one shares_memory signals whatever is computed, and show what it is
    at.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    show = Shown()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not wait([future], 0.1).done:
            show(progress)
    show.end()
    return future.result()


def _show(
    trajectory: Trajectory, identity: str, store: Store, arguments: argparse.Namespace
) -> None:
    """Print the trajectory of a run, and write what was asked for."""
    from fastbp.engine import stored_run
    from fastbp.reporting import phrases, plots
    from fastbp.schema.errors import StoreFullError
    from fastbp.store.store import write

    last = trajectory.evaluations.iloc[-1]
    updates = int(last["updates"])
    ended = f"setup {identity}, seed {trajectory.seed}: {last['outcome']} after {updates:,} update{'s'[: updates != 1]}"
    keys = ", ".join(
        f"{key} {phrases.plain(value)}" for key, value in stored_run.keys(trajectory.setup).items()
    )
    X, T = trajectory.setup.data()
    if not arguments.check:
        parts = [
            f"{ended}\n{keys}",
            phrases.trajectory(trajectory.evaluations, trajectory.converged_at),
            phrases.answers(X, T, last["outputs"]),
        ]
        tell("\n\n".join(filter(None, parts)))
    stem = store.path / "replays" / f"{identity}-{trajectory.seed}"
    pictures = (
        [Path(arguments.figure)]
        if arguments.figure
        else [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    )
    trace = stem.with_suffix(".parquet")
    files = {} if arguments.check else {trace: stored_run.trace_file(trajectory)}
    if arguments.figure or not arguments.check:
        figure = plots.trajectory(trajectory.evaluations, T, ended, keys, trajectory.converged_at)
        files |= {path: plots.encoded(figure, path.suffix.lower()[1:]) for path in pictures}
    if arguments.export:
        files[Path(arguments.export)] = stored_run.weights_file(trajectory)
    written = []
    for path, content in files.items():
        try:
            written.append(str(write(path, content)))
        except StoreFullError as error:
            if path != trace or not arguments.figure:
                raise
            say(f"note: {error}")  # a store that is only read: the picture was asked for elsewhere
    say("written: " + ", ".join(written))


def _wrong_suffix(option: str, file: str | None, *suffixes: str) -> Iterator[str]:
    from fastbp.schema.text import shown

    if file is not None and Path(file).suffix.lower() not in suffixes:
        yield f"{option}: given {shown(file)}, allowed: a file that ends in {' or '.join(suffixes)}"


def shipped(name: str) -> Path:
    """The sweep file of that path, or the shipped one of that name: inside the package, or beside
    it in a checkout.
    """
    # A folder is no sweep file: `-o founding` makes one of that name.
    if (os.path.exists(name) and not os.path.isdir(name)) or Path(name).suffix:
        return Path(name)
    package = Path(__file__).parent.parent
    folders = [package.parent / "sweeps", package / "sweeps"]  # of two of one name, the package's
    places = [(folder, file) for folder in folders for file in sorted(folder.rglob("*.toml"))]
    found = {file.stem: file for _, file in places}
    known = found | {
        file.relative_to(folder).with_suffix("").as_posix(): file for folder, file in places
    }
    if name in known:
        return known[name]
    from fastbp.schema.errors import SweepError
    from fastbp.schema.text import named

    names = sorted(found)
    raise SweepError(
        [
            f"{named(name)}: no such file, and no sweep of that name ships with fastbp; there are: {', '.join(names)}"
        ]
    )


def _jobs(text: str | None) -> tuple[list[str], int]:
    """What is wrong with -j, and how many blocks run at once."""
    from fastbp.engine.machine import available_cores

    if text is None:
        return [], available_cores()
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1024):
        return [f"-j: given {text[:60]!r}, allowed: a number from 1 to 1,024"], 1
    return [], int(text)


@contextmanager
def signals_to(stop: Callable[[int, FrameType | None], NoReturn]) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM call `stop` in the main thread, which may write to stderr."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a stream that was closed by whoever started us: the next file of ours would take its place
    os.close(number)
    heard = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) != signal.SIG_IGN
    ]  # as by nohup
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_at(number: int, place: str) -> NoReturn:
    """End at once: what is published stays, and a thread that still computes has nothing to lose.

    Called by the signal, wherever it comes: an exception might be swallowed there by an import or a
    destructor, and a stream might be in the middle of a line.
    """
    stays = f"; what is done stays in {place}. To go on: {resume_command()}" if place else ""
    with suppress(OSError):
        os.write(2, f"{chr(10) * os.isatty(2)}interrupted{stays}\n".encode(errors="replace"))
    if block := sys.modules.get("fastbp.engine.compile_ahead"):
        for compiler in getattr(block, "compilers", ()):
            compiler.kill()
    os._exit(128 + number)


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """End at once, where nothing is half written and the same command goes on from what is
    there.
    """
    stop_at(number, "")


def resume_command() -> str:
    """The command that was typed."""
    import shlex
    import shutil

    if sys.argv[0].endswith(".py"):
        return shlex.join(sys.orig_argv)  # python -m
    program = Path(sys.argv[0]).name
    return shlex.join(
        [program if shutil.which(program) == sys.argv[0] else sys.argv[0], *sys.argv[1:]]
    )


def say(line: str) -> None:
    """Say something that is no data, on one line, whatever is in the names of files."""
    _write("".join(c if c.isprintable() else repr(c)[1:-1] for c in line) + "\n", sys.stderr)


def tell(data: str) -> None:
    """Print data. Raises OSError where there is no room for it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
        try:
            data.encode(sys.stdout.encoding)
        except UnicodeEncodeError:  # a terminal that has no arrows
            data = data.replace("−", "-").replace("–", "-").replace("→", "->").replace("←", "<-")
    _write(data + "\n", sys.stdout)


def _write(text: str, stream: TextIO | None) -> None:
    """Write at once. That a reader has left, as `head` does, is no mistake, and what is told beside
    the data may be lost.
    """
    if stream is None:  # closed by whoever started us
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # or Python complains as it ends
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, "standard output") from error


def refuse(lines: list[str], code: int) -> int:
    """Say what is wrong, and return the exit code."""
    for line in lines:
        say(f"fastbp: {line}")
    return code


@dataclass
class Phase:
    """What is being done, where there is nothing to count. Called with what comes next."""

    phase: str

    def __call__(self, what: str) -> None:
        """Say what comes next."""
        self.phase = what


class Shown:
    """Shows progress on stderr: one line that is written over on a terminal, a plain line now and
    then elsewhere.
    """

    def __init__(
        self, quiet: bool = False, clock: Callable[[], float] = time.monotonic, name: str = ""
    ) -> None:
        self._quiet = quiet
        self._name = name
        self._clock = clock
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._last = clock()
        self._width = 0

    def __call__(self, progress: Progress | Phase) -> None:
        """Show it, if it is time to."""
        if self._quiet or self._clock() - self._last < (
            0.2 if self._terminal else PLAIN_LINE_SECONDS
        ):
            return
        self._last = self._clock()
        line = self._name + describe(progress)
        if self._terminal:
            _write("\r" + line.ljust(self._width), sys.stderr)
            self._width = len(line)
        else:
            say(line)

    def end(self) -> None:
        """Leave a clean line."""
        if self._width:
            _write("\r" + " " * self._width + "\r", sys.stderr)
            self._width = 0


def describe(progress: Progress | Phase) -> str:
    """Progress in a line: runs done, share, updates/s, time left."""
    if isinstance(progress, Phase) or progress.phase != "training":
        return f"{progress.phase}…" + (
            " (once for this machine)" if progress.phase == "compiling" else ""
        )
    share = progress.budget / progress.total_budget if progress.total_budget else 1.0
    line = f"{share:4.0%} · {progress.done:,} of {progress.runs:,} runs"
    if progress.updates and progress.seconds > 0:
        left = duration(progress.seconds * (1 - share) / share)
        line += f" · {_rate(progress.updates / progress.seconds)} · {left} left"
    return line


def _rate(updates: float) -> str:
    """Updates a second, in words."""
    return (
        f"{updates / 1e6:,.0f} million updates/s" if updates >= 1e7 else f"{updates:,.0f} updates/s"
    )


def duration(seconds: float) -> str:
    """A time in words."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min"
        if hours
        else f"{minutes} min {seconds:02d} s"
        if minutes
        else f"{seconds} s"
    )
