"""What tests compare of stores: their rows, however they lie in files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import fastbp
from fastbp.store.digest import digest
from fastbp.store.parquet import read_all

ROOT = Path(fastbp.__file__).parents[1]


def rows_of(path: Path) -> dict[str, tuple[int, str]]:
    """How many rows each setup has, and their digest in the order of seeds. Every seed is there
    once."""
    rows = read_all(path)
    found = {}
    for setup in rows["setup"].unique().to_pylist():
        own = rows.filter(pc.equal(rows["setup"].cast(pa.string()), setup)).sort_by("seed")
        assert len(own["seed"].unique()) == own.num_rows
        found[setup] = own.num_rows, digest(own)
    return found


def contents_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its way from there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
