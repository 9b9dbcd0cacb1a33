"""A sweep to disturb."""

from pathlib import Path

SWEEP = """
[setup]
problem = "table:11101011"

[grid]
order = ["random", "shuffled"]
updates = [30_000, 60_000]
"""


def sweep_file(folder: Path, seeds: int, text: str = SWEEP) -> Path:
    file = folder / "mine.toml"
    file.write_text(f"seeds = {seeds}\n{text}")
    return file
