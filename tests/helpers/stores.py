"""Stores of tests: how they are made, and what is compared of them, however rows lie in files."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fake_runs import replaced, runs
from numba import config

import fastbp
from fastbp.config.setup import Setup
from fastbp.engine import block, plan, rows as rows_module, tasks
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.store import load, parquet
from fastbp.store.digest import digest
from fastbp.store.store import Store
from fastbp.sweep import main

ROOT = Path(fastbp.__file__).parents[1]
CHECKOUT = Path(__file__).parents[2]
HELPERS = Path(__file__).parent

XOR = Setup(problem="xor", hidden=(2,), updates=20)
PARITY = Setup(problem="parity:3", epochs=5, batch="full", dtype="float32")
SHORT = Setup(problem="xor", hidden=(2,), lr=2, updates=23)
SOON = Setup(problem="table:01", hidden=(1,), lr=8, eval_every=1, stop="converged", updates=41)


def by_threads(folder: Path) -> dict[str, tuple[int, str]]:
    """Train the `mine.toml` of a folder with threads; the `rows_of` the store."""
    assert not main([f"{folder}/mine.toml", "-o", f"{folder}/threads", "--quiet", "--no-report"])
    return rows_of(folder / "threads")


def rows_of(path: Path) -> dict[str, tuple[int, str]]:
    """As `digests`, of a store."""
    return digests(load.read_all(path))


def digests(rows: pa.Table) -> dict[str, tuple[int, str]]:
    """How many rows each setup has, and their digest in the order of seeds. Every seed is there
    once."""
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


def stamps(folder: Path) -> dict[Path, int]:
    """When each file below a folder was written, but for locks, which say who has them."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {file: file.stat().st_mtime_ns for file in files}


@contextlib.contextmanager
def unchanged(*folders: Path) -> Iterator[None]:
    """No file and no folder below these is made, written or removed."""

    def state() -> list[object]:
        return [
            (
                {file: (file.read_bytes(), when) for file, when in stamps(folder).items()},
                sorted(folder.rglob("*")),
            )
            for folder in folders
        ]

    before = state()
    yield
    assert state() == before


def opened(path: Path | str) -> Store:
    """The store of a path, which is made where there is none."""
    store = Store(path)
    with store.locked():
        return store


def publish(
    store: Store, setup: Setup, start: int, count: int, numerics: int = NUMERICS_VERSION
) -> Path:
    """A file of runs that nobody trained."""
    metadata = {"fastbp.version": fastbp.__version__, "fastbp.numerics": str(numerics)}
    return store.publish(
        setup.identity(numerics), start, runs(setup, start, count, numerics), metadata
    )


def trained(setup: Setup, start: int, count: int) -> pa.Table:
    """Rows of a setup, in few lanes where nothing is compiled: they do not depend on it."""
    rows = block.train(setup, start, count, lanes=2 if config.DISABLE_JIT else None)
    return rows_module.to_arrow(setup, start, rows)


def file_of(store: Store, setup: Setup, start: int = 0) -> Path:
    (path,) = store.runs.glob(f"{setup.identity()}-{start}-*")
    return path


def change_a_row(store: Store, setup: Setup, start: int) -> Path:
    """Publish a file anew in which the second row was never trained, digest, name and seal as they
    should be."""
    path = file_of(store, setup, start)
    rows, said = parquet.read(path)
    loss = rows["loss"].to_numpy().copy()
    loss[1] = np.nextafter(loss[1], 0)
    path.unlink()
    return store.publish(setup.identity(), start, replaced(rows, "loss", pa.array(loss)), said)


def flip(path: Path, column: str = "") -> None:
    """Change a bit in the middle of a file, or the last one of a column."""
    content = bytearray(path.read_bytes())
    at = len(content) // 2
    if column:
        group = pq.read_metadata(path).row_group(0)
        columns = map(group.column, range(group.num_columns))
        (chunk,) = [each for each in columns if each.path_in_schema == column]
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        at = start + chunk.total_compressed_size - 1
    content[at] ^= 1
    path.write_bytes(content)


def seeds_of_blocks(patch: pytest.MonkeyPatch, seeds: int) -> None:
    """Blocks and files have so many seeds."""
    patch.setattr(plan, "MIN_SEEDS", seeds)
    patch.setattr(plan, "MAX_SEEDS", seeds)


def few_lanes(patch: pytest.MonkeyPatch) -> None:
    """Where nothing is compiled: rows do not depend on it, the time does."""
    if config.DISABLE_JIT:
        patch.setattr(tasks, "suggested_lanes", lambda net, dtype: 16)


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """A folder with these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def replaced_by(path: Path, make: Callable[[Path], object]) -> None:
    """What `make` makes of a path takes the place of whatever is there."""
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    make(path)


def strangers(folder: Path) -> None:
    """Places that are no store: a file, an empty folder, and a thesis with a folder like one of a
    store."""
    (folder / "empty").mkdir()
    tree(folder, dict.fromkeys(("file", "thesis/tmp/chapter.tex", "thesis/thesis.tex"), "mine"))
