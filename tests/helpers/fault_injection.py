"""A sweep to disturb, and a cluster that is none."""

import os
from pathlib import Path

SWEEP = """
[setup]
problem = "table:11101011"

[grid]
order = ["random", "shuffled"]
updates = [30_000, 60_000]
"""


def srun(folder: Path) -> dict[str, str]:
    """What makes a process a step of a Slurm allocation: a stand-in for its command, which leaves
    its options out and runs the rest here."""
    command = folder / "srun"
    command.write_text(
        "#!/bin/sh\n"
        'while :; do case "$1" in -n|-D|-N|-c) shift 2;; -*) shift;; *) exec "$@";; esac; done\n'
    )
    command.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "1"}


def sweep_file(folder: Path, seeds: int, text: str = SWEEP) -> Path:
    file = folder / "mine.toml"
    file.write_text(f"seeds = {seeds}\n{text}")
    return file
