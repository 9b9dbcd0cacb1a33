"""The whole suite, in its three modes: `python -m tests`.

Compiled code does not count in coverage, so the first mode has the JIT off; the second is the suite as it stands, but for what
the first has said already; the third holds the engine and the command to one processor. Arguments go to pytest.

Half of the second mode would be compiling, so a process beside the first mode does that ahead (`tests/ahead.py`).
"""

import os
import subprocess
import sys
import time
from pathlib import Path

UNCOMPILED = [
    "tests/analysis", "tests/engine/test_files.py", "tests/engine/test_merging.py", "tests/engine/test_plan.py",
    "tests/engine/test_problem_files.py", "tests/engine/test_soundness.py", "tests/engine/test_spec.py",
    "tests/engine/test_store.py", "tests/faults/test_hostile_files.py", "tests/faults/test_rot.py", "tests/test_merge_command.py",
    "tests/test_compare_command.py", "tests/test_package.py", "tests/test_report_command.py", "tests/test_runs.py",
    "tests/test_verify_command.py",
]  # fmt: skip
"""Nothing in these is compiled, or hardly anything: the first mode says it all."""

RUNNING = [f"tests/engine/test_{what}.py" for what in ("block", "executors", "forecast", "refill", "run")]

MODES: dict[str, tuple[dict[str, str], list[str]]] = {
    "JIT off, with coverage": ({"NUMBA_DISABLE_JIT": "1"}, ["--cov=fastbp", "--cov-report=term:skip-covered"]),
    "full": ({}, [f"--ignore={path}" for path in UNCOMPILED]),
    "one processor": ({}, [*RUNNING, "tests/test_sweep_command.py"]),
}


def one_processor() -> None:
    """Leave this process a single processor, where the system lets us say so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> int:
    """Run all modes and return 1 if any failed."""
    failed = []
    ahead = subprocess.Popen([sys.executable, Path(__file__).with_name("ahead.py")])
    for mode, (environment, arguments) in MODES.items():
        print(f"\n== {mode}", flush=True)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, *sys.argv[1:]],
            env=os.environ | environment,
            preexec_fn=one_processor if mode == "one processor" else None,
            check=False,
        )
        print(f"== {mode}: {'passed' if done.returncode == 0 else 'FAILED'} in {time.perf_counter() - began:.0f} s", flush=True)
        if done.returncode:
            failed.append(mode)
    ahead.kill()
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
