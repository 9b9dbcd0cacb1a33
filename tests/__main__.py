"""The whole suite in its modes: `python -m tests`.

Every test runs at least once. What needs no compiled code runs with the JIT off, where a kernel is
the plain Python that its source says; kernels, choices and blocks run so as well, and again
compiled. The last mode keeps on one processor what goes by their number.

Two modes run side by side, since most tests keep one core busy. A process beside them compiles the
kernels that the compiled modes need (`tests/helpers/compile_cache.py`). The output of a mode is
printed in one piece when it has ended. `--coverage`, which needs pip install '.[coverage]', also
measures which lines are run: with the JIT off, by all tests. Other arguments go to pytest.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

UNCOMPILED = [
    "tests/adaptive",
    "tests/analysis",
    "tests/browser",
    "tests/cli",
    "tests/config",
    "tests/engine/test_integrity.py",
    "tests/engine/test_merge.py",
    "tests/engine/test_plan.py",
    "tests/faults/test_hostile_files.py",
    "tests/faults/test_memory.py",
    "tests/faults/test_rot.py",
    "tests/faults/test_strangers.py",
    "tests/problems",
    "tests/reporting",
    "tests/store",
    "tests/test_compare_command.py",
    "tests/test_house.py",
    "tests/test_merge_command.py",
    "tests/test_package.py",
    "tests/test_questions_page.py",
    "tests/test_report_command.py",
    "tests/test_verify_command.py",
]
"""Nothing in these is compiled, or hardly anything: the mode without the JIT is enough."""

NUMBERS = ["tests/choices", "tests/determinism", "tests/kernels"]
"""These mostly compile and compute: they keep the other side busy."""

BENCHMARKS = "tests/test_benchmarks.py"


BY_PROCESSORS = [
    *(f"tests/engine/test_{name}.py" for name in ("driver", "executor_map", "forecast")),
    *(
        f"tests/test_sweep_command.py::test_{name}"
        for name in (
            "the_founding_sweep_trains_and_says_so",
            "how_it_was_made_is_written_down",
            "options_change_the_sweep",
            "a_dry_run_says_what_it_would_take_and_writes_nothing",
            "a_dry_run_in_json",
            "blocks_that_fail_are_told_and_the_rest_is_there",
            "a_long_sweep_ends_at_once_and_says_how_to_go_on",
            "interrupted_while_it_compiles",
            "on_a_terminal_progress_is_one_line_that_is_written_over",
        )
    ),
]
"""Threads, workers, estimates and progress go by the number of processors; a block trains in one
thread, and tables and pages are made in one."""


class Mode(NamedTuple):
    """A run of pytest: its name, its environment, its arguments."""

    name: str
    arguments: list[str]
    environment: Mapping[str, str] = MappingProxyType({})
    one_processor: bool = False
    compiled: bool = True


def modes(coverage: bool) -> list[Mode]:
    """All modes, in the order in which they start."""
    tests = [
        *UNCOMPILED,
        *NUMBERS,
        *[f"tests/engine/test_{name}.py" for name in ("block", "refill")],
    ]
    commands = sorted({*map(str, Path("tests").glob("test_*.py"))} - {*UNCOMPILED, BENCHMARKS})
    elsewhere = (*UNCOMPILED, *NUMBERS, BENCHMARKS, *commands)
    off = Mode("JIT off", tests, {"NUMBA_DISABLE_JIT": "1"}, compiled=False)
    if coverage:
        off = off._replace(
            name="JIT off, with coverage",
            arguments=["--cov=fastbp", "--cov-report=term:skip-covered"],
        )
    return [
        off,
        Mode("compiled", [f"--ignore={path}" for path in elsewhere]),
        Mode("compiled, numbers", [*NUMBERS, BENCHMARKS]),
        Mode("compiled, commands", commands),
        Mode("one processor", BY_PROCESSORS, one_processor=True),
    ]


SIDES = 2
"""Modes at once: with more, tests that limit the seconds of a process would disturb each other."""


@contextmanager
def one_processor() -> Iterator[None]:
    """Leave one processor to whatever this thread starts, where the system allows it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(mode: Mode, compiler: subprocess.Popen[bytes], arguments: list[str]) -> int:
    """Run a mode, print its output, and return its exit code."""
    if mode.compiled:
        compiler.wait()  # it would compile the same at the same time
    print(f"== {mode.name} begins", flush=True)
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        with one_processor() if mode.one_processor else nullcontext():
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *mode.arguments, *arguments],
                env={**os.environ, **mode.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        result = "passed" if done.returncode == 0 else "FAILED"
        seconds = time.perf_counter() - began
        output.seek(0)
        print(f"\n== {mode.name}\n{output.read()}== {mode.name}: {result} in {seconds:.0f} s")
        sys.stdout.flush()
    return done.returncode


def main() -> int:
    """Run all modes and return 1 if any failed."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--coverage"]
    chosen = modes("--coverage" in sys.argv)
    with tempfile.TemporaryDirectory() as bytecode, ThreadPoolExecutor(SIDES) as sides:
        # Hundreds of processes import fastbp from here: only the first one parses its sources.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        compiler = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("helpers") / "compile_cache.py"]
        )
        try:
            codes = list(sides.map(lambda mode: run(mode, compiler, arguments), chosen))
        finally:
            compiler.kill()
    failed = [mode.name for mode, code in zip(chosen, codes, strict=True) if code]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
