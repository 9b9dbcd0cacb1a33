"""Commands in the process of the tests, and what every one promises."""

import importlib
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from numba import config

from fastbp.engine import block


def in_process(main: Callable[[Sequence[str]], int]) -> Any:
    """A fixture: run the command in this process, with `tmp_path` as the current folder."""

    @pytest.fixture
    def here(tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        if config.DISABLE_JIT:
            monkeypatch.setattr(block, "suggested_lanes", lambda net, dtype: 2)  # rows do not depend on it, the time does

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
