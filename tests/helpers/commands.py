"""Commands in the process of the tests and in others, and what every one promises."""

import contextlib
import importlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pages import without_png
from stores import ROOT, few_lanes

from fastbp.kernels import code_cache
from fastbp.store.store import Store

MODULE = [sys.executable, "-m", "fastbp.sweep"]
PATIENCE = 200
"""Seconds for anything that may compile first."""


def in_process(main: Callable[[Sequence[str]], int], png: bool = False) -> Any:
    """A fixture: run the command in this process, with `tmp_path` as the current folder.

    `png`: whether it draws PNG files, or leaves them empty.
    """

    @pytest.fixture
    def here(tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        few_lanes(monkeypatch)
        if not png:
            without_png(monkeypatch)

        def call(*arguments: str | int | Path) -> subprocess.CompletedProcess[str]:
            try:
                code: Any = main([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code
            return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

        return call

    return here


def any_command(arguments: Sequence[str]) -> int:
    """`fastbp COMMAND …`."""
    code: int = importlib.import_module(f"fastbp.{arguments[0]}").main(arguments[1:])
    return code


def ended(
    done: subprocess.CompletedProcess[str], code: int, **streams: str
) -> subprocess.CompletedProcess[str]:
    """It ended with this code and printed this; returned for the questions that follow."""
    assert done.returncode == code, done.stderr
    for stream, text in streams.items():
        assert getattr(done, stream) == text
    return done


def succeeded(
    done: subprocess.CompletedProcess[str], **streams: str
) -> subprocess.CompletedProcess[str]:
    return ended(done, 0, **streams)


def helps(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It printed its help, with these words in it."""
    succeeded(done, stderr="")
    assert [word for word in words if word not in done.stdout] == []
    assert done.stdout.isascii()  # a terminal may have nothing else


def spied(patch: pytest.MonkeyPatch, module: Any, name: str) -> Mock:
    """Let a function tell how it was called: its `call_count` and `call_args_list`."""
    spy = Mock(wraps=getattr(module, name))
    patch.setattr(module, name, spy)
    return spy


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises, in the place of one that works."""

    def fails(*arguments: object, **named: object) -> None:
        raise error

    return fails


def refused(done: subprocess.CompletedProcess[str], code: int, *patterns: str) -> None:
    """It ended with this code, and printed lines of these patterns on stderr and nothing else."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == len(patterns), done.stderr
    for pattern, line in zip(patterns, lines, strict=True):
        assert re.fullmatch(f"fastbp: {pattern}", line), line


def environment(**more: str) -> dict[str, str]:
    """With compiled code where it is, even if there is no home."""
    folder = code_cache.cache_folder()
    return (
        os.environ
        | {"PYTHONPATH": str(ROOT)}
        | ({"FASTBP_CACHE_DIR": str(folder.parent)} if folder else {})
        | more
    )


def hears_signals(then: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """What a child does first: take SIGINT and SIGTERM, though this process may ignore them.

    Under `nohup` or `&` SIGINT is ignored, and children inherit that.
    """

    def before() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        then()

    return before


def command(
    *arguments: str | Path, cwd: Path, program: list[str] | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run it to its end. What must hold for every end: no traceback."""
    more.setdefault("env", environment())
    more["preexec_fn"] = hears_signals(more.get("preexec_fn", lambda: None))
    done = subprocess.run(
        [*(program or MODULE), *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **more,
    )
    assert "Traceback" not in done.stderr
    return done


@contextlib.contextmanager
def started(
    *arguments: str | Path, cwd: Path, program: list[str] | None = None, **more: Any
) -> Iterator[subprocess.Popen[str]]:
    """It, running; killed at the end if it still does."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()} | more
    more["preexec_fn"] = hears_signals(more.get("preexec_fn", lambda: None))
    process = subprocess.Popen(
        [*(program or MODULE), *map(str, arguments)], cwd=cwd, text=True, **more
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something holds while a process runs."""
    began = time.monotonic()
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.005)


def until_it_imports(process: subprocess.Popen[str], module: str) -> None:
    """Wait until a process, which lists its imports, has imported a module."""
    for line in process.stderr or ():
        if line.endswith(f" {module}\n"):
            break


def without_imports(err: str) -> list[str]:
    """The lines of a process that lists its imports, without these."""
    return [line for line in err.splitlines() if not line.startswith("import time:")]


def until_it_computes(process: subprocess.Popen[str], seconds: float = 0.5) -> None:
    """Wait until a process has used so much more processor time."""
    goal = cpu_seconds(process.pid) + seconds
    until(lambda: cpu_seconds(process.pid) > goal, process)


def stopped(process: subprocess.Popen[str], number: int) -> str:
    """Send a signal, hold the process to what is promised, and return what it says on stderr."""
    out, err = ended_soon(process, number)
    assert process.returncode == 128 + number
    assert not out
    assert "Traceback" not in err
    return err


def ended_soon(process: subprocess.Popen[str], number: int) -> tuple[str, str]:
    """Send a signal; the process ends within a second of processor time, however busy the machine
    is. Returns its stdout and stderr."""
    used, reaped = cpu_seconds(process.pid), reaped_seconds()
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert reaped_seconds() - reaped - used < 1, "ends within a second of processor time"
    return out, err


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, with that of its ended children; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def reaped_seconds() -> float:
    """Processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def names(store: Path) -> set[str]:
    """Of the files of runs, which hold their digests."""
    return {file.name for file in Store(store).files()}


def answer_of(out: str) -> list[str]:
    """The paragraphs before the table, with their wrapped lines joined again."""
    return _parts(out)[0]


def tables_of(out: str) -> list[list[str]]:
    """The lines of the first table, and of each part behind it."""
    return _parts(out)[1]


def _parts(out: str) -> tuple[list[str], list[list[str]]]:
    parts = [part.splitlines() for part in out.rstrip("\n").split("\n\n")]
    first = next((i for i, lines in enumerate(parts) if "  " in lines[0]), len(parts))
    return [" ".join(lines) for lines in parts[:first]], parts[first:]
