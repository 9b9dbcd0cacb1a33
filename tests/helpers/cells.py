"""Cells of the matrix in one process: each trains the sweep of every choice through the engine, and
says what came of it.

As a script: a folder with `cells.json`, which gets a line of `results` for each. What workers are
asked to do carries the lanes of its cell with it and leaves a note of who did it: so workers serve
cells of any lanes, and a cell can be held to what it says.
"""

import gc
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pyarrow as pa
import pyarrow.compute as pc
from every_choice import EVERY, FEW, PARTS, SETUPS, SWEEPS, digest_of, instructions, libm_fuses

from fastbp.engine import backends, compile_ahead, driver, integrity, plan, tasks
from fastbp.engine.executor_map import Pool
from fastbp.engine.merge import merge
from fastbp.store.load import read_all
from fastbp.store.store import Store

ENGINE = {"warm_up": driver.warm_up, "train_block": driver.train_block}
SHIPPED = tasks.suggested_lanes


class WorkerCall(NamedTuple):
    """One of the functions that the engine asks of workers, with the lanes of a cell for each
    dtype, none for those that ship."""

    what: str
    lanes: dict[str, int]
    notes: str

    def __call__(self, task: Any, **named: Any) -> Any:
        use(self.lanes)
        done = ENGINE[self.what](task, **named)
        if isinstance(task, plan.Block):
            kind = tasks.kernel_key(task.setups[0])
            note = {
                "process": os.getpid(),
                "thread": threading.get_ident(),
                "lanes": [kind.dtype, tasks.layout(task.setups[0])[1]],
            }
            Path(self.notes, f"{task.setups[0].identity()}-{task.start}-{task.runs}").write_text(
                json.dumps(note | {"uses": uses(kind)})
            )
        return done


def use(lanes: dict[str, int]) -> None:
    """Have this process train so many runs side by side, and compile for them by itself: other
    cells have the other cores."""
    if _used != [lanes]:
        compile_ahead.available_cores = lambda: 1
        tasks.suggested_lanes = (lambda net, dtype: lanes[dtype.name]) if lanes else SHIPPED
        tasks.TASKS.clear()
        _used[:] = [lanes]


_used: list[dict[str, int]] = []


@cache
def uses(kind: tasks.KernelKey) -> dict[str, bool] | None:
    """What the code is made of that this process has just trained with."""
    made = instructions(tasks.kernels(kind).advance)
    if made and made["calls fma"]:
        made["libm fuses"] = libm_fuses()
    return made


def train(cell: dict[str, Any], folder: Path, pool: Pool) -> tuple[Store, int]:
    """Train the sweep in the shards of a cell, and unite them: where all is, and how many files
    were made."""
    use(cell["lanes"])
    calls = {what: WorkerCall(what, cell["lanes"], str(folder / "notes")) for what in ENGINE}
    blocks: Any = nullcontext()
    if cell["blocks"]:
        file, size = cell["blocks"]
        sizes = {
            "block_seeds": lambda setup: file,
            "min_block_seeds": lambda setup: size,
            "BLOCKS_PER_CORE": 1000,
            "FILE_SECONDS": 0,
            "MIN_BLOCK_SECONDS": 0,
        }
        blocks = patch.multiple(plan, **sizes)
    stores = [Store(folder / f"shard {number}") for number in range(1, cell["shards"] + 1)]
    sweep = SWEEPS[cell["part"]]
    files = 0
    with patch.multiple(driver, **calls), blocks:
        for number, store in enumerate(stores, 1):
            with store.locked():
                seeds = plan.shard(sweep, number, len(stores)) if len(stores) > 1 else None
                trained = driver.drive(plan.Plan(sweep, store.present(), seeds), store, pool=pool)
            assert not trained.failed, trained.failed
            files += len(list(store.files()))
    if len(stores) == 1:
        return stores[0], files
    merged = Store(folder / "merged")
    with merged.locked():
        assert merge(merged, stores).files == files
    return merged, files


def digests_of(store: Store, part: str) -> dict[str, Any]:
    """The digests of a store: of each setup of a part, of those and seeds of the first committed
    digest, and of all that it holds."""
    checked = integrity.check(store)
    assert not checked.findings, checked.findings
    rows = read_all(store.path)
    ids = rows["setup"].cast(pa.string())
    rows_of_setups = [
        rows.filter(pc.equal(ids, EVERY[at].identity())).sort_by("seed") for at in PARTS[part]
    ]
    few = [digest_of(each.slice(0, FEW)) for each, _ in zip(rows_of_setups, SETUPS, strict=False)]
    return {
        "digests": [digest_of(each) for each in rows_of_setups],
        "of few": few,
        "store": checked.digest,
        "rows": checked.runs,
    }


def make(cell: dict[str, Any], folder: Path, pool: Pool) -> dict[str, Any]:
    """What came of a cell, and what the notes say."""
    began = time.perf_counter()
    (folder / "notes").mkdir(parents=True)
    store, files = train(cell, folder, pool)
    notes = [json.loads(note.read_text()) for note in (folder / "notes").iterdir()]
    return digests_of(store, cell["part"]) | {
        "files": files,
        "blocks": len(notes),
        "lanes": sorted({tuple(note["lanes"]) for note in notes}),
        "uses": [
            dict(each) for each in {tuple(sorted((note["uses"] or {}).items())) for note in notes}
        ],
        "processes": sorted({note["process"] for note in notes}),
        "workers": len({(note["process"], note["thread"]) for note in notes}),
        "main process": os.getpid(),
        "machine": platform.machine(),
        "python": "{}.{}".format(*sys.version_info),
        "seconds": round(time.perf_counter() - began, 2),
    }


@contextmanager
def kept(executor: str, jobs: int) -> Iterator[Pool]:
    """The pool that `--executor` would have, for several sweeps: none of them ends it."""
    pool = backends.pool(executor, jobs)
    running = pool.executor
    try:
        yield replace(pool, end=None)
    finally:
        assert pool.end
        pool.end(running)


def main(folder: Path) -> None:
    """Make all cells of a folder."""
    cells = json.loads((folder / "cells.json").read_text())
    with open(folder / "results", "w") as results:
        for who, some in groupby(cells, lambda cell: (cell["executor"], cell["workers"])):
            with kept(*who) as pool:
                for cell in some:
                    print(
                        json.dumps(make(cell, folder / cell["name"], pool)),
                        file=results,
                        flush=True,
                    )


if __name__ == "__main__":
    gc.disable()  # compiling, which takes longest, is a tenth faster
    import cells  # workers must be able to import what they call, which `__main__` is not

    cells.main(Path(sys.argv[1]))
