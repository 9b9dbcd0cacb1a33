import io
import itertools
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import names, raising
from stores import digests, opened, rows_of, seeds_of_blocks, stamps, unchanged

import fastbp
from fastbp import Sweep
from fastbp.config.sweep import Seeds
from fastbp.engine import backends, block, driver, plan, rows as rows_module
from fastbp.schema.columns import COLUMNS, schema
from fastbp.schema.errors import StoreError, StoreFullError, SweepError
from fastbp.store.digest import digest
from fastbp.store.store import Store

pytestmark = pytest.mark.jit  # trains for minutes without

GRID = {"order": ["random", "shuffled"], "lr": [0.5, 2]}


def sweep(seeds: int | Seeds = 700, **changes: Any) -> Sweep:
    setup = {"problem": "xor", "hidden": [2], "epochs": 30, **changes.pop("setup", {})}
    return Sweep(seeds=seeds, setup=setup, grid=changes.pop("grid", GRID))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks and files for each setup."""
    seeds_of_blocks(monkeypatch, 256)


@pytest.fixture(scope="module")
def in_memory():
    with pytest.MonkeyPatch.context() as patch:
        seeds_of_blocks(patch, 256)
        return fastbp.run(sweep())


@pytest.fixture
def store(tmp_path):
    return opened(tmp_path / "store")


def test_a_store_that_is_exchanged_before_it_is_locked_is_refused(store, monkeypatch):
    def exchange(*arguments: Any, **named: Any) -> None:
        shutil.copytree(store.path.rename(store.path.with_name("aside")), store.path)

    monkeypatch.setattr(driver.forecast, "check", exchange)
    with pytest.raises(StoreError, match="no longer the folder with which this command began"):
        fastbp.run(sweep(), store.path)


def drive(of: Sweep, store: Store | None = None, **options: Any) -> driver.Trained:
    """Train what a store lacks of a sweep."""
    return driver.drive(plan.Plan(of, store.present() if store else {}), store, **options)


def ids(of: Sweep) -> list[str]:
    return [setup.identity() for setup in of.setups]


def listed(frame: pd.DataFrame) -> list[list[Any]]:
    """A frame as plain values, to compare what pandas holds in different types."""

    def plain(value: Any) -> Any:
        return (
            value.tolist() if isinstance(value, np.ndarray) else None if pd.isna(value) else value
        )

    return [[plain(value) for value in frame[c.name]] for c in COLUMNS]


# The same rows, however they are made


def test_a_sweep_gives_each_setup_and_seed_once_in_order(in_memory):
    assert list(in_memory.columns) == [c.name for c in COLUMNS]
    assert list(in_memory["setup"]) == [setup for setup in ids(sweep()) for _ in range(700)]
    assert list(in_memory["seed"]) == list(range(700)) * 4
    for setup in sweep().setups:
        own = in_memory[in_memory["setup"] == setup.identity()]
        for name, value in setup.columns().items():
            assert own[name].isna().all() if value is None else (own[name] == value).all(), name


def test_rows_in_memory_are_the_rows_of_a_store_and_what_pandas_reads(in_memory, tmp_path):
    stored = fastbp.run(sweep(), str(tmp_path / "store"))
    assert (listed(stored), list(stored.dtypes)) == (listed(in_memory), list(in_memory.dtypes))
    frame = pd.read_parquet(tmp_path / "store" / "runs")
    place = {setup: i for i, setup in enumerate(ids(sweep()))}
    frame = frame.assign(place=frame["setup"].map(place).astype(int)).sort_values(
        ["place", "seed"], ignore_index=True
    )
    assert listed(frame) == listed(in_memory)


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_files_do_not_depend_on_the_number_of_threads(in_memory, store, jobs):
    trained = drive(sweep(), store, pool=backends.pool("threads", jobs))
    assert trained.failed == []
    assert (trained.runs, trained.updates, len(names(store.path))) == (
        4 * 700,
        4 * 700 * 120,
        4 * 3,
    )
    expected = digest(pa.Table.from_pandas(in_memory[:256], schema=schema()))
    assert f"{ids(sweep())[0]}-0-256-{expected[:16]}.parquet" in names(store.path)


@pytest.mark.parametrize("most", [256, 512, 8192])
@pytest.mark.parametrize("seconds", [0.001, 0.2])
def test_rows_do_not_depend_on_the_size_of_blocks(in_memory, monkeypatch, most, seconds):
    monkeypatch.setattr(plan, "MAX_SEEDS", most)
    monkeypatch.setattr(plan, "BLOCK_SECONDS", seconds)
    kept: list[pa.Table] = []
    drive(sweep(), keep=kept.append, pool=backends.pool("threads", 2))
    assert digests(pa.concat_tables(kept)) == digests(
        pa.Table.from_pandas(in_memory, schema=schema())
    )


def test_a_file_of_several_blocks_has_the_rows_of_its_blocks(in_memory, store, monkeypatch):
    monkeypatch.setattr(plan, "FILES_PER_SETUP", 1)
    drive(sweep(), store, pool=backends.pool("threads", 2))
    assert list(store.present().values()) == [[(0, 700)]] * 4
    assert rows_of(store.path) == digests(pa.Table.from_pandas(in_memory, schema=schema()))


def test_rows_do_not_depend_on_where_seeds_start(in_memory):
    later = fastbp.run(sweep(Seeds(start=300, count=200)))
    assert listed(later) == listed(
        in_memory[in_memory["seed"].between(300, 499)].reset_index(drop=True)
    )


# Resuming and extending


def test_a_complete_store_has_nothing_to_do(store):
    drive(sweep(), store)
    with unchanged(store.path):
        again = drive(sweep(), store)
    assert (again.runs, again.updates, again.failed) == (0, 0, [])


def test_what_is_lost_is_made_again_and_nothing_else(store):
    drive(sweep(), store)
    whole, lost = names(store.path), list(store.files())[1::4]
    runs = sum(int(file.name.split("-")[2]) for file in lost)
    for file in lost:
        file.unlink()
    kept = stamps(store.runs)
    assert (drive(sweep(), store).runs, names(store.path)) == (runs, whole)
    assert kept.items() <= stamps(store.runs).items()


WIDE = {"order": ["random", "shuffled"], "lr": [0.5, 1, 2]}
STEPS = [
    sweep(100, grid={"order": ["random"], "lr": [2]}),
    sweep(Seeds(start=300, count=450)),
    sweep(900, grid={"order": ["shuffled"], "lr": [1, 0.5]}),
    sweep(Seeds(start=130, count=200), grid=WIDE),
    sweep(900, grid=WIDE),
]


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """The rows of the last of the steps, made by itself."""
    store = opened(tmp_path_factory.mktemp("once"))
    drive(STEPS[-1], store)
    return rows_of(store.path)


def seeds_of(of: Sweep) -> set[tuple[str, int]]:
    return set(itertools.product(ids(of), range(of.seeds.start, of.seeds.stop)))


@pytest.mark.parametrize(
    "sequence", [(0, 1, 3, 4), (3, 2, 1, 0, 4), (1, 3, 0, 2, 4), (2, 0, 3, 1, 4)], ids=str
)
def test_extended_in_any_sequence_a_store_is_as_if_made_at_once(store, at_once, sequence):
    """By seeds and by values: each time what is missing, and nothing else."""
    there: set[tuple[str, int]] = set()
    for step in sequence:
        wanted = seeds_of(STEPS[step])
        assert drive(STEPS[step], store).runs == len(wanted - there)
        there |= wanted
    assert rows_of(store.path) == at_once


def test_a_run_returns_its_own_rows_of_a_larger_store(in_memory, tmp_path):
    fastbp.run(
        sweep(1000, grid={"order": ["cyclic", "shuffled", "random"], "lr": [2, 1, 0.5]}),
        tmp_path / "store",
    )
    assert listed(fastbp.run(sweep(), tmp_path / "store")) == listed(in_memory)
    assert len(fastbp.load(tmp_path / "store")) == 9 * 1000


def test_a_run_returns_as_many_seeds_of_each_setup_as_its_grid_says(tmp_path):
    own = sweep(20, grid=[{"lr": [2], "seeds": 300}, {"lr": [2, 1]}, {"lr": [0.5], "seeds": 5}])
    fastbp.run(sweep(400, grid={"lr": [2, 1, 0.5]}), tmp_path / "store")
    found = [fastbp.run(own), fastbp.run(own, tmp_path / "store")]
    assert listed(found[0]) == listed(found[1])
    assert found[0].groupby("lr")["seed"].agg(["min", "count"]).to_dict("list") == {
        "min": [0, 0, 0],
        "count": [5, 20, 300],
    }


def test_collapse_is_no_part_of_a_setup_and_outcomes_of_another_one_do_not_mix(store):
    few = sweep(10)
    drive(few, store)
    assert drive(sweep(10, setup={"collapse": 0.3}), store).runs == 0
    with pytest.raises(
        StoreError,
        match=r"outcomes were decided with collapse = 0\.1, not 0\.3: choose another folder",
    ):
        drive(sweep(20, setup={"collapse": 0.3}), store)
    assert drive(few, store).runs == 0


def test_a_store_keeps_its_sweep_and_its_problems(tmp_path):
    fastbp.run(sweep(10), tmp_path)
    assert Sweep.from_toml(tmp_path / "sweep.toml") == sweep(10)
    (file,) = (tmp_path / "problems").iterdir()
    assert file.stem == sweep().setups[0].digest
    with np.load(io.BytesIO(file.read_bytes())) as kept:
        X, T = sweep().setups[0].data()
        assert np.array_equal(kept["X"], X)
        assert np.array_equal(kept["T"], T)


def test_a_sweep_file_that_no_command_would_read_is_never_written(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "MAX_SWEEP", 100)
    with pytest.raises(SweepError, match=r"sweep\.toml: given \d+ bytes.*, allowed: at most 100$"):
        fastbp.run(sweep(), tmp_path / "store")
    assert not any((tmp_path / "store" / "runs").iterdir())


# Executors


class Here(Executor):
    """Works where it is asked, at once."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def test_an_executor_of_ones_own_is_used_and_left_open(in_memory):
    with ThreadPoolExecutor(2, "mine") as pool:
        threads = set()
        train = block.train_at_once

        def watched(*arguments: Any, **named: Any) -> list[rows_module.Rows]:
            threads.add(threading.current_thread().name)
            return train(*arguments, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(block, "train_at_once", watched)
            frame = fastbp.run(sweep(), executor=pool)
        assert listed(frame) == listed(in_memory)
        assert threads
        assert all(name.startswith("mine") for name in threads)
        assert pool.submit(int).result() == 0


@pytest.mark.parametrize("given", ["founding", {"seeds": 3}, None], ids=str)
def test_what_is_no_sweep_is_refused(given):
    with pytest.raises(
        TypeError, match=r"sweep: given .*, allowed: a Sweep \(Sweep.from_toml reads a file"
    ):
        fastbp.run(given)


def test_any_executor_will_do(in_memory):
    assert listed(fastbp.run(sweep(), executor=Here())) == listed(in_memory)


def test_processes_give_the_same_rows(in_memory, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(fastbp.__file__).parents[1]))
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert listed(fastbp.run(sweep(), executor=pool)) == listed(in_memory)


# Failures


@pytest.fixture
def broken(monkeypatch):
    """One block that fails: seeds 256 to 511 of the second setup."""
    train = block.train_at_once

    def fails(setups: Any, seeds: range, **named: Any) -> list[rows_module.Rows]:
        if setups[0] == sweep().setups[1] and seeds.start == 256:
            raise ArithmeticError("no such luck")
        return train(setups, seeds, **named)

    monkeypatch.setattr(block, "train_at_once", fails)
    return f"setup {ids(sweep())[1]}, seeds 256 to 511: ArithmeticError: no such luck"


def test_a_block_that_fails_is_reported_and_the_others_complete(broken, store, monkeypatch):
    trained = drive(sweep(), store, pool=backends.pool("threads", 2))
    assert (trained.failed, trained.runs) == ([broken], 4 * 700 - 256)
    assert (256, 256) not in store.present()[ids(sweep())[1]]
    monkeypatch.undo()
    seeds_of_blocks(monkeypatch, 256)
    assert drive(sweep(), store).runs == 256


def test_a_file_with_a_block_that_fails_is_not_made(broken, store, monkeypatch):
    monkeypatch.setattr(plan, "FILES_PER_SETUP", 1)
    assert drive(sweep(), store, pool=backends.pool("threads", 2)).failed == [broken]
    assert set(store.present()) == set(ids(sweep())) - {ids(sweep())[1]}


@pytest.mark.parametrize("stored", [True, False])
def test_a_run_with_a_block_that_fails_raises(broken, tmp_path, stored):
    with pytest.raises(RuntimeError, match=f"^{broken}$"):
        fastbp.run(sweep(), tmp_path / "store" if stored else None)


def test_a_full_disk_ends_a_sweep(store, monkeypatch):
    monkeypatch.setattr(store, "publish", raising(StoreFullError("no room")))
    with pytest.raises(StoreFullError, match="no room"):
        drive(sweep(), store)


def test_whoever_watches_may_stop_a_sweep_and_go_on_later(store, tmp_path):
    class EnoughError(Exception):
        pass

    long = sweep(2000, setup={"epochs": 500})

    def tick(progress: driver.Progress) -> None:
        if progress.done:
            raise EnoughError

    with pytest.raises(EnoughError):
        drive(long, store, pool=backends.pool("threads", 2), tick=tick)
    some = names(store.path)
    assert 0 < len(some) < 4 * 8
    began = time.process_time()
    while any(thread.name.startswith("fastbp") for thread in threading.enumerate()):
        time.sleep(0.01)
        assert time.process_time() - began < 2, "threads stop at their next slice"
    assert names(store.path) == some
    drive(long, store)
    whole = opened(tmp_path / "whole")
    drive(long, whole, pool=backends.pool("threads", 1))
    assert names(store.path) == names(whole.path)


def test_a_store_in_use_is_refused(store):
    with store.locked(), pytest.raises(StoreError, match=f"in use by process {os.getpid()} "):
        fastbp.run(sweep(), store.path)


# Progress


def test_progress_goes_from_nothing_to_all():
    phases, done, whole = set(), [], set()

    def tick(progress: driver.Progress) -> None:
        phases.add(progress.phase)
        done.append((progress.done, progress.updates, progress.budget))
        whole.add((progress.runs, progress.total_budget))

    trained = drive(sweep(3000, setup={"epochs": 100}), pool=backends.pool("threads", 2), tick=tick)
    assert (trained.runs, trained.updates) == (12_000, 12_000 * 400)
    assert set(trained.seconds) == {"compile", "train", "write"}
    assert trained.speed == trained.updates / trained.seconds["train"]
    assert not trained._replace(seconds={"train": 0.0}).speed  # the clock stands still
    assert phases <= {"compiling", "training"}
    assert (whole, done) == ({(12_000, 12_000 * 400)}, sorted(done))
    assert done[-1] <= (12_000, 12_000 * 400, 12_000 * 400)
    assert all(updates == budget for _, updates, budget in done)


def test_only_updates_that_were_made_are_counted():
    early = sweep(setup={"stop": "converged", "epochs": 2000}, grid={"lr": [2]})
    rows: list[pa.Table] = []
    trained = drive(early, keep=rows.append)
    made = pa.concat_tables(rows)["updates_done"].to_numpy()
    assert made.min() < made.max() == 8000
    assert trained.updates == made.sum() < 700 * 8000
