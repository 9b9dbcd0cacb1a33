"""One run of a store: find it, train it again, compare the two, and export it."""

import io
import json
import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastbp import __version__
from fastbp.config.setup import Setup
from fastbp.engine import block, lane_group, tasks
from fastbp.engine.plan import missing
from fastbp.engine.retrain import Trajectory
from fastbp.engine.rows import to_arrow
from fastbp.problems import targets
from fastbp.schema.columns import schema
from fastbp.schema.errors import DamagedFileError, FileError, StoreError, SweepError
from fastbp.schema.keys import COLUMN_DEFAULTS, LAST_SEED, NUMERICS_VERSION
from fastbp.schema.text import and_, first_of, shown
from fastbp.store import parquet
from fastbp.store.npz import npz, problem_files
from fastbp.store.store import Store

MAX_BYTES = 400_000_000
"""The most bytes of the evaluations of a trajectory, and the most bytes of its `rows`, with the
copies that are made of them to write them."""

MAX_RATES = 100_000_000
"""The most learning rates of a run that is trained again."""

MAX_NAMES = 8
"""The most setups or ranges of seeds that a message names."""

MAX_TRIED = 1_000
"""How many problems are tried for a setup, if its files of runs do not name their problem."""

_EVALUATION_BYTES = 1_550
"""Bytes of an evaluation without its outputs while a run is trained again."""

_EPOCH_BYTES, _TARGET_BYTES = 100, 10
"""As how many bytes each epoch counts besides its rows if these are listed, and each target that is
a label in each evaluation: they take time."""

_ALWAYS_SHOWN = ("problem", "hidden", "init", "order", "lr")


class StoredRun(NamedTuple):
    """A run of a store."""

    setup: Setup
    seed: int
    row: dict[str, Any] | None
    """The row in the store; None if the store has only other seeds of the setup."""


def find(store: Store, setup: str, seed: str, *, held: bool = False) -> StoredRun:
    """Find the run that a user asks for.

    Parameters
    ----------
    store : Store
        Where to look.
    setup : str
        The setup's id, or its first hex digits if no other id begins with them.
    seed : str
        The seed, in digits.
    held : bool
        Refuse a seed that the setup does not have in the store.

    Raises
    ------
    SweepError
        If the setup or the seed is not valid.
    StoreError
        If the store cannot be read.
    """
    if not (present := store.present()):
        raise StoreError(f"{store.path} holds no runs: there is no file of runs in {store.runs}")
    lines = []
    matching = [identity for identity in sorted(present) if identity.startswith(setup.lower())]
    if not setup or len(matching) != 1:
        several = f", with which {len(matching):,} setups begin" if setup and matching else ""
        names = first_of(matching if setup and matching else sorted(present), MAX_NAMES)
        lines.append(
            f"SETUP: given {shown(setup)}{several}, allowed: "
            f"enough digits to tell one setup of {store.path} from the others: {and_(names)}"
        )
    if not re.fullmatch("[0-9]{1,19}", seed) or int(seed) >= LAST_SEED:
        lines.append(f"SEED: given {shown(seed)}, allowed: an integer from 0 to 2^63 - 1")
    if lines:
        raise SweepError(lines)
    (identity,), number = matching, int(seed)
    all_seeds = (0, LAST_SEED)
    ranges = missing(all_seeds, missing(all_seeds, present[identity]))  # adjacent ones joined
    is_held = any(start <= number < start + count for start, count in ranges)
    if held and not is_held:
        seeds = and_(first_of([f"{a} to {a + count - 1}" for a, count in ranges], MAX_NAMES))
        raise SweepError(
            [
                f"SEED: given {seed}, allowed: seeds of setup {identity} that {store.path} has: "
                f"{seeds}"
            ]
        )
    found = store.run(identity, number if is_held else ranges[0][0])
    return _stored(store, identity, number, is_held, found, {})


def _stored(
    store: Store,
    setup: str,
    seed: int,
    is_held: bool,
    found: pa.Table,
    known: dict[tuple[str, bytes], Setup],
) -> StoredRun:
    """The run of a setup and a seed, with its row `found`; if not `is_held`, that of another seed.

    `known`: setups that were made before, by their ids and problems: to make one may take long.
    """
    row: dict[str, Any] = found.to_pylist()[0]
    key = setup, (found.schema.metadata or {}).get(b"fastbp.problem", b"")
    made = known[key] = known.get(key) or setup_of(store, setup, row, key[1].decode())
    # a stranger's run may have any number
    if (count := tasks.rate_count(made, row["updates_done"] if is_held else None)) > MAX_RATES:
        raise StoreError(
            f"setup {setup} of {store.path} cannot be trained again: it has {count:,} learning "
            f"rates, allowed: at most {MAX_RATES:,}"
        )
    return StoredRun(made, seed, row if is_held else None)


def sample(store: Store, count: int) -> Iterator[tuple[Path, StoredRun]]:
    """Draw `count` different runs of a store at random, with their files. Raises StoreError."""
    files = [*store.run_files()]
    bounds = np.cumsum([0, *(file.count for file in files)])
    total, known = int(bounds[-1]), dict[tuple[str, bytes], Setup]()
    read = lru_cache(1)(_read_known)  # once for all runs that are in a file
    for at in sorted(random.sample(range(total), min(count, total))):
        index = int(np.searchsorted(bounds, at, "right")) - 1
        file, seed = files[index], files[index].start + at - int(bounds[index])
        yield (
            file.path,
            _stored(store, file.setup, seed, True, store.run(file.setup, seed, read, file), known),
        )


def _read_known(file: Path) -> tuple[pa.Table, dict[str, str]]:
    """Read the columns that this fastbp knows: a stranger's may have thousands of others."""
    rows, metadata = parquet.read_as_written(file)
    return rows.select([name for name in schema().names if name in rows.column_names]), metadata


def too_large(run: StoredRun, *, rows: bool) -> list[str]:
    """Check that the evaluations of a run, and with `rows` its presented rows, fit into memory.

    Returns
    -------
    list of str
        A message about each of the two that does not fit.
    """
    setup = run.setup
    updates = run.row["updates_done"] if run.row else setup.budget
    if not run.row and setup.stop != "budget":
        updates = int(block.train(setup, run.seed, 1).updates_done[0])
    n, _, k = setup.shape
    epochs = -(-updates // setup.updates_per_epoch)
    evaluations = epochs // setup.eval_interval + 2
    most = MAX_BYTES // (_EVALUATION_BYTES + 8 * n * k + _TARGET_BYTES * len(setup.groups))
    longest = MAX_BYTES // (_EPOCH_BYTES + 8 * n)
    kept = (
        f"SETUP: given {setup.identity()}, with {evaluations:,} evaluations of {n * k:,} outputs, "
        f"allowed: at most {most:,} evaluations"
    )
    exported = (
        f"--export: given a run of {epochs:,} epochs of {n:,} rows, allowed: at most {longest:,} "
        "epochs"
    )
    return [kept] * (evaluations > most) + [exported] * (rows and epochs > longest)


def differences(run: StoredRun) -> list[str]:
    """Train a stored run again, and compare the result with its row.

    Parameters
    ----------
    run : StoredRun
        The run; `row` must be there.

    Returns
    -------
    list of str
        A line for each value, or item of a list, whose bits differ.
    """
    assert run.row is not None
    updates = run.row["updates_done"]
    try:  # somebody may have made up a run without end
        rows = block.train(
            run.setup, run.seed, 1, stopped=lambda done: done > updates, most=updates
        )
    except block.InterruptedBlockError:
        return [f"updates_done: stored {updates:,}, trained again more"]
    (again,) = to_arrow(run.setup, run.seed, rows).to_pylist()
    lines = []
    for name in (name for name in run.row if name in again):
        old, new = run.row[name], again[name]
        pairs = {name: (old, new)}
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            pairs = {f"{name}[{i}]": pair for i, pair in enumerate(zip(old, new, strict=True))}
        # repr shows a number's bits, −0.0 and types included; all NaN are equal.
        lines += [
            f"{key}: stored {x!r}, trained again {y!r}"
            for key, (x, y) in pairs.items()
            if repr(x) != repr(y)
        ]
    return lines


def keys(setup: Setup) -> dict[str, Any]:
    """The main keys of a setup, and all keys that differ from their defaults, with their values."""
    return {
        name.removesuffix("_function"): value
        for name, value in setup.columns().items()
        if value is not None
        and name not in ("collapse", "" if setup.epochs is None else "updates")
        and (name in _ALWAYS_SHOWN or value != COLUMN_DEFAULTS[name])
    }


def trace_file(trajectory: Trajectory) -> bytes:
    """Make a Parquet file of a trajectory's evaluations, with setup, seed and the store's types."""
    types = {field.name: field.type for field in schema()} | {"epoch": pa.int64()}
    table = pa.Table.from_pandas(
        trajectory.evaluations.assign(setup=trajectory.setup.identity(), seed=trajectory.seed),
        pa.schema(
            [(name, types[name]) for name in ("setup", "seed", *trajectory.evaluations.columns)]
        ),
        preserve_index=False,
    ).replace_schema_metadata(
        {"fastbp.version": __version__, "fastbp.numerics": str(NUMERICS_VERSION)}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def weights_file(trajectory: Trajectory) -> bytes:
    """Make an .npz file with everything that another program needs to train a run again.

    Parameters
    ----------
    trajectory : Trajectory
        A run retrained with `rows`.

    Returns
    -------
    bytes
        `W0`, `b0`, `W1`, … are the final weights [out, in] and biases [out] of each layer, and
        `initial_W0`, … the initial ones, without `b…` if the setup has no biases. `X` [row, input]
        and `T` [row, output] are the data as trained; the last `test_rows` rows are held out.
        `units` [output, 2] has a and b for each output: a + b · output is in the units of the
        table; it is empty if outputs are. `rows`, int32 [presentation], are the rows of X and T in
        the order in which they were presented. `lr` [epoch] are the learning rates.
        `setup` and `seed` identify the run. `keys` are the columns of the setup, as JSON.
    """
    assert trajectory.rows is not None
    setup = trajectory.setup
    arrays: dict[str, Any] = {
        f"{stem}{name}": values
        for stem, layers in (("", trajectory.final), ("initial_", trajectory.initial))
        for name, values in lane_group.by_name(layers, setup.bias).items()
    }
    updates, epochs = map(int, trajectory.evaluations[["updates", "epoch"]].iloc[-1])
    work = tasks.task_of_run(setup, trajectory.seed, updates)
    (X, T), rates = work.setup.data(), work.config.rates
    return npz(
        rows=trajectory.rows,
        X=X,
        T=T,
        units=np.array(work.setup.prepared().meaning.units),
        test_rows=setup.test_rows,
        lr=np.pad(rates[:epochs], (0, max(0, epochs - len(rates))), "edge"),
        setup=setup.identity(),
        seed=trajectory.seed,
        keys=json.dumps(setup.columns()),
        **arrays,
    )


def setup_of(
    store: Store,
    identity: str,
    row: dict[str, Any],
    problem: str = "",
) -> Setup:
    """Make the setup of a stored row.

    If its problem is a file, that of the digest `problem` is taken. If none is given, at most
    `MAX_TRIED` of the stored problems are tried: all with which the setup has the id `identity`
    must have the same outputs as classes.

    Raises
    ------
    StoreError
        If no setup has this id, several have it whose outputs that are classes differ, a problem
        cannot be read, or the folder of problems is a link.
    """
    from_file = str(row["problem"]).startswith("file:")
    folder = store.path / "problems"
    files: list[Path | None] = [None]
    if from_file:
        files = [file for file in problem_files(store.path) if problem in ("", file.stem)]
    unread: FileError | None = None
    made = dict[tuple[tuple[int, int], ...], Setup]()
    for file in files if problem else files[:MAX_TRIED]:
        try:
            setup = Setup.from_columns(row, targets.stored(file) if file else None)
            if setup.identity() == identity:
                made.setdefault(setup.groups, setup)
        except (ValueError, TypeError, AttributeError) as error:
            # a damaged one may be another problem's
            if isinstance(error, FileError) and (
                problem or not isinstance(error, DamagedFileError)
            ):
                unread = error
    if len(made) == 1:
        return next(iter(made.values()))
    if unread:
        raise unread
    who = f"setup {identity} of {store.path}"
    why = (
        f"problems in {folder} have its data with other classes, and its file does not say which "
        "one is its own"
        if made
        else f"{folder} lacks the problem it was trained on, or a newer fastbp made it"
        if from_file
        else "its columns are those of another setup, or a newer fastbp made it"
    )
    raise StoreError(f"{who} cannot be trained again: {why}")
