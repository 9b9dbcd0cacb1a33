"""The whole suite, in its modes: `python -m tests`.

Compiled code does not count in coverage, so the first mode has the JIT off; the second is the suite
as it stands, but for what the first has said already; the third is the rest of it, of which little
is timed; the last holds the engine and the command to one processor. Arguments go to pytest.

Two modes run side by side, since most tests keep one core busy. Half of the second would be
compiling, so a process beside the first does that ahead (`tests/helpers/compile_cache.py`). What a
mode says is printed in one piece when it has ended.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

UNCOMPILED = [
    "tests/adaptive",
    "tests/analysis",
    "tests/browser",
    "tests/config",
    "tests/engine/test_integrity.py",
    "tests/engine/test_merge.py",
    "tests/engine/test_plan.py",
    "tests/faults/test_hostile_files.py",
    "tests/faults/test_rot.py",
    "tests/problems",
    "tests/reporting",
    "tests/store",
    "tests/test_compare_command.py",
    "tests/test_merge_command.py",
    "tests/test_package.py",
    "tests/test_report_command.py",
    "tests/test_verify_command.py",
]
"""Nothing in these is compiled, or hardly anything: the first mode says it all."""

NUMBERS = ["tests/choices", "tests/determinism", "tests/kernels", "tests/test_benchmarks.py"]
"""What takes long in these is compiling and computing, whatever else the machine does: they keep
the other side busy."""

RUNNING = [
    f"tests/engine/test_{what}.py"
    for what in ("block", "driver", "executor_map", "forecast", "refill")
]

MODES: dict[str, tuple[dict[str, str], list[str]]] = {
    "JIT off, with coverage": (
        {"NUMBA_DISABLE_JIT": "1"},
        ["--cov=fastbp", "--cov-report=term:skip-covered"],
    ),
    "full": ({}, [f"--ignore={path}" for path in (*UNCOMPILED, *NUMBERS)]),
    "full, of numbers": ({}, NUMBERS),
    "one processor": ({}, [*RUNNING, "tests/test_sweep_command.py"]),
}
"""In the order in which they start: by then what a mode needs is compiled."""

SIDES = 2
"""More would have tests wait for each other that say how soon something ends."""


@contextmanager
def one_processor() -> Iterator[None]:
    """Leave what this thread starts a single processor, where the system lets us say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(mode: str, ahead: subprocess.Popen[bytes]) -> int:
    """Run a mode, print what it has said, and return its code."""
    environment, arguments = MODES[mode]
    if mode == "full":
        ahead.wait()  # it would compile the same at the same time
    print(f"== {mode} begins", flush=True)
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        with one_processor() if mode == "one processor" else nullcontext():
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments, *sys.argv[1:]],
                env=os.environ | environment, stdout=said, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        how = "passed" if done.returncode == 0 else "FAILED"
        said.seek(0)
        print(
            f"\n== {mode}\n{said.read()}== {mode}: {how} in {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    return done.returncode


def main() -> int:
    """Run all modes and return 1 if any failed."""
    ahead = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("helpers") / "compile_cache.py"]
    )
    try:
        with ThreadPoolExecutor(SIDES) as sides:
            codes = list(sides.map(lambda mode: run(mode, ahead), MODES))
    finally:
        ahead.kill()
    failed = [mode for mode, code in zip(MODES, codes, strict=True) if code]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
