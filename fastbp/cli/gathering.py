"""Every sweep of a folder, one after the other, and the gallery of what they show: `fastbp sweep
--all FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from fastbp.cli import console
from fastbp.cli.console import BAD_USAGE, COMPLETE, NOT_WRITABLE, ended, refuse, say, tell

if TYPE_CHECKING:
    from fastbp.config.sweep import Sweep
    from fastbp.store.store import Store

ALONE = ("sweep", "settings", "shard", "until_width", "bisect", "no_report")
"""Arguments of a single sweep: what they mean for several is not one thing."""


class Found(NamedTuple):
    """A sweep of the folder: its name there, its file, and the store that it goes into."""

    name: str
    file: Path
    sweep: Sweep
    store: Store


def sweep_all(arguments: argparse.Namespace) -> int:
    """`fastbp sweep --all FOLDER`."""
    began = time.perf_counter()
    results = Path(arguments.output or "results")
    place = ""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        console.stop_at(number, place)

    with console.signals_to(stop):
        if console.cwd_missing():
            return BAD_USAGE
        lines, jobs = console.wrong(arguments)
        lines += _alone(arguments)
        found = _read(Path(arguments.all), results, arguments.seeds, lines)
        if lines:
            return refuse(lines, BAD_USAGE)
        for each in found:
            for note in each.sweep.notes:
                say(f"note: {each.name}: {note}")

        def work() -> int:
            nonlocal place
            if lines := [*_too_large(found, jobs, arguments)]:
                return refuse(lines, BAD_USAGE)
            if arguments.dry_run:
                _foresee(found, jobs, arguments)
                return COMPLETE
            place = str(results)
            return _perform(found, results, jobs, arguments, began)

        return ended(work, results)


def _alone(arguments: argparse.Namespace) -> Iterator[str]:
    """A line for each argument that only a single sweep takes."""
    option = {"sweep": "FILE or NAME", "settings": "--set"}
    for name in ALONE:
        if vars(arguments)[name] not in (None, False, []):
            given = option.get(name, f"--{name.replace('_', '-')}")
            yield f"{given}: given beside --all, allowed: with a single sweep"


def _read(folder: Path, results: Path, seeds: str | None, lines: list[str]) -> list[Found]:
    """The sweeps of a folder, those of its own folders after its own; a line for each mistake in
    any of them.
    """
    from fastbp.config.sweep import Sweep
    from fastbp.reporting import gallery
    from fastbp.schema.errors import SweepError
    from fastbp.schema.text import named
    from fastbp.store.store import Store

    files = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in folder.rglob("*.toml")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    found: list[Found] = []
    wrong: dict[str, None] = {}  # what is wrong with --seeds is told once
    for name in sorted(
        files, key=lambda name: (name != console.FOUNDING, name.count("/") > 0, name)
    ):
        for parent in PurePosixPath(name).parents:
            if str(parent) in files:
                wrong[
                    f"{named(files[name])}: its results would lie in those of {parent}.toml, allowed: another name"
                ] = None
        try:
            found.append(
                Found(
                    name,
                    files[name],
                    Sweep.from_toml(files[name], seeds=seeds),
                    Store(results / name),
                )
            )
        except SweepError as error:
            wrong |= dict.fromkeys(error.lines)
    lines += wrong
    if not files:
        lines.append(f"--all: given {named(folder)}, allowed: a folder with sweep files, *.toml")
    if not gallery.is_generated(results):
        lines.append(
            f"{named(results / gallery.FILE)}: somebody's own file, allowed: another folder with -o, or that file moved away"
        )
    return found


def _too_large(found: Sequence[Found], jobs: int, arguments: argparse.Namespace) -> Iterator[str]:
    """A line for each sweep that there is no memory for. Raises StoreFullError where there is no
    disk for one.
    """
    from fastbp.engine import backends, forecast
    from fastbp.engine.plan import Plan
    from fastbp.schema.errors import SweepError

    pool = backends.pool("threads" if arguments.dry_run else arguments.executor, jobs)
    for each in found:
        try:
            forecast.check(Plan(each.sweep, each.store.present()), each.store, pool)
        except SweepError as error:
            yield from (f"{each.file}: {line}" for line in error.lines)


def _foresee(found: Sequence[Found], jobs: int, arguments: argparse.Namespace) -> None:
    """Say what each sweep would take, and all of them."""
    from fastbp.engine import backends, forecast

    pool = backends.pool("threads", jobs)
    each_would = [console.dry_run(each.sweep, each.store, pool) for each in found]
    if arguments.json:
        tell(json.dumps({"sweeps": [would.as_json() for would in each_would]}))
        return
    seconds = sum(would.takes.all_but_compiling for would in each_would)
    space = forecast.in_bytes(sum(would.wanted.bytes for would in each_would))
    parts = [f"{each.name}\n{would.text()}" for each, would in zip(found, each_would, strict=True)]
    tell("\n\n".join([*parts, f"all {len(found):,}: about {console.duration(seconds)}, {space}"]))


def _perform(
    found: Sequence[Found], results: Path, jobs: int, arguments: argparse.Namespace, began: float
) -> int:
    """Train and publish one sweep after the other, and write the gallery: the worst of their exit
    codes.
    """
    from fastbp.engine import backends
    from fastbp.reporting import gallery
    from fastbp.reporting.phrases import plural
    from fastbp.store.store import write

    codes, told = [COMPLETE], []

    def one(each: Found, of: str) -> int:
        started = time.perf_counter()
        each.store.check_usable()
        pool = backends.pool(arguments.executor, jobs)
        each.store.open()
        with each.store.locked():
            done = console.perform(
                each.sweep, each.store, None, pool, jobs, arguments, started, f"{of}: "
            )
        if arguments.json:
            told.append(console.as_json(each.store, done))
        else:
            page = each.store.path / "report.html"
            tell(
                "\n".join(
                    [
                        f"{each.name}: {each.sweep.title}".rstrip(": "),
                        done.told.verdict[0],
                        f"{page}\n",
                    ]
                )
            )
        if not (arguments.quiet or arguments.json):
            say(f"{of}: {console.done_in_words(done.trained)}")
        return done.code

    for number, each in enumerate(found, 1):
        of = f"{each.name} ({number:,} of {len(found):,})"
        codes.append(ended(lambda each=each, of=of: one(each, of), each.store.path))  # type: ignore[misc]
        if codes[-1] == NOT_WRITABLE:
            break  # the next could not be written either
    entries = [gallery.Entry(each.name, _command(each, results, arguments)) for each in found]
    text = gallery.text(
        results, entries, _typed(["--all", _seen(Path(arguments.all), results)], results, arguments)
    )
    file = results / gallery.FILE
    if not file.is_file() or file.read_bytes() != text.encode():
        write(file, text.encode())
    if arguments.json:
        seconds = round(time.perf_counter() - began, 3)
        tell(
            json.dumps(
                {"results": str(results), "gallery": str(file), "seconds": seconds, "sweeps": told}
            )
        )
    else:
        say(f"{file}: {plural(len(found), 'sweep')}; {time.perf_counter() - began:.1f} s in all")
    return max(codes)


def _command(each: Found, results: Path, arguments: argparse.Namespace) -> str:
    """The command that makes the results of one sweep, in the folder where the results lie."""
    output = PurePosixPath(results.resolve().name, each.name)
    own = [] if output == PurePosixPath("results", each.file.stem) else ["-o", str(output)]
    return _typed([_seen(each.file, results), *own], None, arguments)


def _typed(words: Sequence[str], results: Path | None, arguments: argparse.Namespace) -> str:
    name = results.resolve().name if results else "results"
    seeds = ["--seeds", arguments.seeds] if arguments.seeds is not None else []
    return shlex.join(
        [
            "python",
            "-m",
            "fastbp.sweep",
            *words,
            *(["-o", name] if name != "results" else []),
            *seeds,
        ]
    )


def _seen(path: Path, results: Path) -> str:
    """A path as seen from the folder where the results lie, so that no command depends on where
    this one was typed.
    """
    return Path(os.path.relpath(path.resolve(), results.resolve().parent)).as_posix()
