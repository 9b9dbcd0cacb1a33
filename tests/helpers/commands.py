"""Commands in the process of the tests and in others, and what every one promises."""

import contextlib
import importlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from numba import config

import fastbp
from fastbp.engine import lane_group
from fastbp.store.store import Store

ROOT = Path(fastbp.__file__).parents[1]
MODULE = [sys.executable, "-m", "fastbp.sweep"]
PATIENCE = 200
"""Seconds for anything that may compile first."""


def in_process(main: Callable[[Sequence[str]], int]) -> Any:
    """A fixture: run the command in this process, with `tmp_path` as the current folder."""

    @pytest.fixture
    def here(tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        if config.DISABLE_JIT:
            monkeypatch.setattr(
                lane_group, "suggested_lanes", lambda net, dtype: 2
            )  # rows do not depend on it, the time does

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


def refused(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """It ended with this code, and said these lines (patterns) and nothing else."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == len(said), done.stderr
    for pattern, line in zip(said, lines, strict=True):
        assert re.fullmatch(f"fastbp: {pattern}", line), line


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)} | more


def command(
    *arguments: str | Path, cwd: Path, program: list[str] | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run it to its end. What must hold for every end: no traceback."""
    more.setdefault("env", environment())
    done = subprocess.run(
        [*(program or MODULE), *map(str, arguments)],
        cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False, **more,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


@contextlib.contextmanager
def started(
    *arguments: str | Path, cwd: Path, program: list[str] | None = None, **more: Any
) -> Iterator[subprocess.Popen[str]]:
    """It, running; killed at the end if it still does."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()} | more
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


def stopped(process: subprocess.Popen[str], number: int) -> str:
    """Send a signal, hold the process to what is promised, and return what it says on stderr."""
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 1, "ends within a second"
    assert process.returncode == 128 + number
    assert out == ""
    assert "Traceback" not in err
    return err


def names(store: Path) -> set[str]:
    """Of the files of runs, which hold their digests."""
    return {file.name for file in Store(store).files()}
