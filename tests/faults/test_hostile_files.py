"""Whatever bytes a sweep file or a problem file holds, loading it works or ends in a SweepError of
lines. Whatever strangers did to a store, every command works or ends in one line, and what is sound
stays."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fuzz_inputs
import pytest

KINDS = {kind: [fuzz_inputs.__file__, kind] for kind in fuzz_inputs.KINDS} | {
    "store": [str(fuzz_inputs.ROOT / "tests" / "helpers" / "hostile_stores.py")]
}
"""What tries the hostile inputs of each kind."""


def failures(kind: str, first: int, count: int) -> dict[int, list[str]]:
    """What is wrong with what came of the files of these numbers, by number; where a process dies,
    its last is at fault."""
    found: dict[int, list[str]] = {}
    stop = first + count
    while first < stop and len(found) < 100:
        with tempfile.TemporaryFile() as at:
            own = {
                "PYTHONPATH": str(fuzz_inputs.ROOT),
                "PROGRESS_FD": str(at.fileno()),
                "ARROW_DEFAULT_MEMORY_POOL": "system",
                "NUMBA_DISABLE_JIT": "1",
            }
            done = subprocess.run(
                [sys.executable, *KINDS[kind], str(first), str(stop - first)],
                env=os.environ | own,
                pass_fds=[at.fileno()],
                capture_output=True,
                text=True,
                timeout=60 + count,
                check=False,
            )
            found |= dict(map(json.loads, done.stdout.splitlines()))
            last = int(os.pread(at.fileno(), 20, 0))
        if done.returncode or done.stderr:
            ended = (
                signal.Signals(-done.returncode).name
                if done.returncode < 0
                else f"ended with {done.returncode}"
            )
            found.setdefault(last, []).append(f"{ended}: {done.stderr[-2000:]}")
        first = last + 1
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_loaded_or_told(kind: str) -> None:
    """Nothing else is raised, written or run, no line is two, nothing takes 6 s or 500 MB, or 10 s
    and 1 GB for a store; `python tests/helpers/fuzz_inputs.py KIND NUMBER 1`, or of a store
    `python tests/helpers/hostile_stores.py NUMBER 1`, repeats one."""
    assert failures(kind, 0, {"npz": 60, "store": 20}.get(kind, 40)) == {}


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_many_hostile_files(kind: str) -> None:
    numbers = range(0, 100_000 if kind == "store" else 25_000, 2_500)
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda first: failures(kind, first, 2_500), numbers)
        assert {number: wrong for part in parts for number, wrong in part.items()} == {}


def test_a_number_says_all() -> None:
    """Another process makes the same file of it."""
    code = "import fuzz_inputs; print([fuzz_inputs.mutant(k, 10_007) for k in fuzz_inputs.KINDS])"
    folders = map(str, (fuzz_inputs.ROOT, Path(fuzz_inputs.__file__).parent))
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.rstrip() == str([fuzz_inputs.mutant(kind, 10_007) for kind in fuzz_inputs.KINDS])
