"""Processes of their own: what is measured never shares one with anything else.

The measuring process itself imports nothing heavy, because the peak memory that the system reports
of a child is at least what its parent had when it started it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

HERE = Path(__file__).parent.parent


FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that make a library take the processor for another one."""


def clean() -> dict[str, str]:
    """The environment, but for what would slow a library down."""
    return {name: value for name, value in os.environ.items() if name not in FORCED}


class EndedError(Exception):
    """A process ended before its time."""

    def __init__(self, command: Sequence[str], code: int) -> None:
        super().__init__(f"{' '.join(command)} ended with code {code}")
        self.code = code


class Server(AbstractContextManager["Server"]):
    """A process that prepares something once and then, asked with a line, does it and answers with
    a line of JSON."""

    def __init__(self, *arguments: object, environment: Mapping[str, str] = {}) -> None:
        self._command = [sys.executable, "-m", *map(str, arguments)]
        self._process = subprocess.Popen(
            self._command,
            cwd=HERE,
            env=clean() | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    @cached_property
    def ready(self) -> Any:
        """What it says once it is ready; waits for that. Raises EndedError, as do all that wait."""
        return self.answer()

    def ask(self, question: object = "") -> Any:
        """One question, one answer."""
        self.put(question)
        return self.answer()

    def put(self, question: object) -> None:
        """Ask, and do not wait for the answer."""
        _ = self.ready
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it has ended, which the answer will say
            print(question, file=self._process.stdin, flush=True)

    def answer(self) -> Any:
        """Wait for what was asked."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise EndedError(self._command[1:], self._process.wait())
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it has ended by itself
            self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def say(answer: object) -> None:
    """Answer, from inside such a process."""
    print(json.dumps(answer), flush=True)


class Ran(NamedTuple):
    """A command that ran to its end."""

    seconds: float
    """From its start to its end, by the clock on the wall."""
    peak: float
    """The most memory that it held, in MB."""
    output: str
    """What it printed on stdout."""


def run(arguments: Sequence[object], environment: Mapping[str, str]) -> Ran:
    """Run `python -m …`. Ends the benchmark where it fails."""
    command = [sys.executable, "-m", *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as printed:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=HERE,
            env=clean() | environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.PIPE,
        )
        assert process.stderr
        errors = process.stderr.read()  # to its end, which is the command's own
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        printed.seek(0)
        output = printed.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(
            f"benchmarks: {' '.join(command[1:])} ended with code "
            f"{process.returncode}\n{errors.decode()}"
        )
    bytes_each = 1 if sys.platform == "darwin" else 1024
    return Ran(seconds, usage.ru_maxrss * bytes_each / 1e6, output)
