"""A sweep that is killed at any moment goes on, and ends with the same bits as one that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numba import config

import fastbp
from fastbp.engine.store import Store
from fastbp.files import FILE_NAME, digest
from fastbp.kernels import NUMERICS_VERSION

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="trains for minutes without the JIT")

ROOT = Path(fastbp.__file__).parents[1]
KILLS = 10

SWEEP = """
seeds = 2_560

[setup]
problem = "table:11101011"

[grid]
order = ["random", "shuffled"]
updates = [30_000, 60_000]
"""


def start(folder: Path, store: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fastbp.sweep", "mine.toml", "-o", store, "--quiet", "-j", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # A session of its own, so that a compiler that it may have started dies with it.
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def finish(folder: Path, store: str) -> str:
    process = start(folder, store)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out


def rows_of(store: Store) -> dict[str, str]:
    """The digest of all rows of each setup, however they lie in files; every seed is there once."""
    rows = store.read()
    found = {}
    for setup in rows["setup"].unique().to_pylist():
        own = rows.filter(pc.equal(rows["setup"].cast(pa.string()), setup)).sort_by("seed")
        assert own["seed"].to_pylist() == list(range(2_560))
        found[setup] = digest(own)
    return found


def test_killed_at_ten_moments_it_ends_with_the_same_rows(tmp_path):
    """Half of the moments are drawn; the others fall just after a draft or a file has appeared, while something is published.
    None is so late that too little is left for the rest."""
    (tmp_path / "mine.toml").write_text(SWEEP)
    began = time.monotonic()
    whole = finish(tmp_path, "whole")
    lasted = time.monotonic() - began
    draw = random.Random(5)
    store = Store(tmp_path / "killed")
    published = 0
    for attempt in range(KILLS):
        process = start(tmp_path, "killed")
        before, enough = len(list(store.files())), 2 if attempt % 2 else 1
        until = time.monotonic() + (draw.uniform(0, 0.6 * lasted) if attempt % 2 else 200)
        while process.poll() is None and time.monotonic() < until and len(list(store.files())) < before + enough:
            if attempt % 2 == 0 and list((store.path / "tmp").glob("*.parquet.*.draft")):
                break
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.02))
        kill(process)
        names = {file.name for file in store.files()}
        assert all(FILE_NAME.fullmatch(file.name) for file in store.runs.glob("*"))
        store.check()  # whatever is there is whole
        assert len(names) >= published, "nothing that was published is lost"
        published = len(names)
    assert finish(tmp_path, "killed") == whole
    assert list((store.path / "tmp").iterdir()) == []
    undisturbed = Store(tmp_path / "whole")
    assert {file.name for file in store.files()} == {file.name for file in undisturbed.files()}
    assert rows_of(store) == rows_of(undisturbed)
    assert set(rows_of(store)) == {s.identity(NUMERICS_VERSION) for s in fastbp.Sweep.from_toml(tmp_path / "mine.toml").setups}
