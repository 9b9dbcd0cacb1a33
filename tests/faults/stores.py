"""What the tests of faults compare: the rows of a store, however they lie in files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import fastbp
from fastbp.engine.store import Store
from fastbp.files import digest

ROOT = Path(fastbp.__file__).parents[1]


def rows_of(path: Path) -> dict[str, tuple[int, str]]:
    """How many rows each setup has, and their digest in the order of seeds. Every seed is there once."""
    rows = Store(path).read()
    found = {}
    for setup in rows["setup"].unique().to_pylist():
        own = rows.filter(pc.equal(rows["setup"].cast(pa.string()), setup)).sort_by("seed")
        assert len(own["seed"].unique()) == own.num_rows
        found[setup] = own.num_rows, digest(own)
    return found
