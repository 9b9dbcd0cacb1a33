"""A sweep to disturb, and what its store must be in the end."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fastbp.engine.store import Store, digest

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


def digests(store: Path) -> dict[str, str]:
    """Of all rows of each setup, however they lie in files. Every seed is there once, from 0 on."""
    rows = Store(store).read()
    setups = rows["setup"].cast(pa.string())
    found = {}
    for setup in sorted(set(setups.to_pylist())):
        own = rows.filter(pc.equal(setups, setup)).sort_by("seed")
        assert own["seed"].to_pylist() == list(range(own.num_rows))
        found[setup] = digest(own)
    return found
