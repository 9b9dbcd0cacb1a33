"""A run of a store again: found by its setup and seed, held against its row, and what of its trajectory
is kept in files.
"""

from __future__ import annotations

import io
import json
import random
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastbp import __version__
from fastbp.config.setup import Setup, defaults
from fastbp.config.sweep import LAST_SEED
from fastbp.engine import block, lane_group
from fastbp.engine.retrain import Trajectory
from fastbp.engine.rows import to_arrow
from fastbp.problems import targets
from fastbp.schema.columns import schema
from fastbp.schema.errors import StoreError, SweepError
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.text import shown
from fastbp.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from fastbp.store.filename import Range

MAX_BYTES = 400_000_000
"""What the looks of a trajectory may take in memory, and its order of rows."""

FEW = 8
"""Setups, or ranges of seeds, that a line names."""

_LOOK_BYTES = 1_000
"""A look without its outputs, as retraining collects it."""

_ALWAYS_TOLD = ("problem", "hidden", "init", "order", "lr")


class Stored(NamedTuple):
    """A run, by the names that a store has for it."""

    setup: Setup
    identity: str
    seed: int
    row: dict[str, Any] | None
    """What the store says of it; None where it holds other seeds of the setup alone."""


def find(store: Store, setup: str, seed: str, *, held: bool = False) -> Stored:
    """The run that these words name: the first hex digits of a setup, as many as tell it apart, and
    a seed.

    `held`: only a run that is in the store. Raises SweepError for words that name none, and
    StoreError where the store cannot be read.
    """
    present = store.present()
    if not present:
        raise StoreError(
            f"{store.path} is no store with runs: there is no {store.runs}/SETUP-START-COUNT-DIGEST.parquet"
        )
    lines = []
    known = sorted(present)
    found = [identity for identity in known if setup and identity.startswith(setup.lower())]
    if len(found) != 1:
        several = f", the start of {len(found):,} of them" if found else ""
        allowed = f"the digits of a setup of {store.path}, as many as tell it apart: {_few(found or known)}"
        lines.append(f"SETUP: given {shown(setup)}{several}, allowed: {allowed}")
    if not re.fullmatch("[0-9]{1,19}", seed) or int(seed) >= LAST_SEED:
        lines.append(f"SEED: given {shown(seed)}, allowed: an integer from 0 to 2^63 - 1")
    if lines:
        raise SweepError(lines)
    (identity,), number = found, int(seed)
    ranges = sorted(present[identity])
    there = any(start <= number < start + count for start, count in ranges)
    if held and not there:
        seeds = _few([f"{start} to {end - 1}" for start, end in _joined(ranges)])
        raise SweepError(
            [
                f"SEED: given {seed}, allowed: seeds of setup {identity} that {store.path} holds: {seeds}"
            ]
        )
    row: dict[str, Any] = store.run(identity, number if there else ranges[0][0]).to_pylist()[0]
    return Stored(setup_of(store, identity, row), identity, number, row if there else None)


def drawn(store: Store, count: int) -> Iterator[tuple[Path, Stored]]:
    """So many runs of a store, drawn at random and each at most once, and the files that they are
    in. Raises StoreError.
    """
    files = sorted(store.files())
    bounds = np.cumsum([0, *(int(file.name.split("-")[2]) for file in files)])
    for at in sorted(random.sample(range(int(bounds[-1])), min(count, int(bounds[-1])))):
        file = files[place := int(np.searchsorted(bounds, at, "right")) - 1]
        identity, start, *_ = file.name.split("-")
        yield file, find(store, identity, str(int(start) + at - int(bounds[place])), held=True)


def _joined(ranges: Sequence[Range]) -> list[tuple[int, int]]:
    """Sorted ranges as (start, end), those that touch as one."""
    joined: list[tuple[int, int]] = []
    for start, count in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], start + count
        else:
            joined.append((start, start + count))
    return joined


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def too_large(run: Stored, *, rows: bool) -> list[str]:
    """A line where the looks of a run take more memory than is sensible, and, with `rows`, where
    its order of rows does.
    """
    setup = run.setup
    if run.row:
        updates = run.row["updates_done"]
    else:
        updates = (
            setup.budget
            if setup.stop == "budget"
            else int(block.train(setup, run.seed, 1).updates_done[0])
        )
    n, _, k = setup.shape
    epochs = -(-updates // setup.updates_per_epoch)
    looks, presentations = epochs // setup.eval_interval + 2, epochs * n
    lines = []
    most = MAX_BYTES // (_LOOK_BYTES + 4 * n * k)
    if looks > most:
        lines.append(
            f"SETUP: given {run.identity}, with {looks:,} looks at {n * k:,} outputs, allowed: at most {most:,} of them"
        )
    if rows and 4 * presentations > MAX_BYTES:
        lines.append(
            f"--export: given a run of {presentations:,} presentations, allowed: at most {MAX_BYTES // 4:,}"
        )
    return lines


def differences(run: Stored, trajectory: Trajectory | None) -> list[str]:
    """Hold a stored row, bit for bit, against the row that its setup and seed give now, and that
    against the looks of a trajectory.

    Returns a line for each value that differs.
    """
    assert run.row is not None
    (anew,) = to_arrow(run.setup, run.seed, block.train(run.setup, run.seed, 1)).to_pylist()
    lines = _unlike("stored", run.row, "trained again", anew)
    if trajectory:
        looks = trace(trajectory)
        first, last = (looks.slice(at, 1).to_pylist()[0] for at in (0, looks.num_rows - 1))
        ends = {
            **{name: last[name] for name in anew if name in last},
            **{f"{name}_start": first[name] for name in ("loss", "spread")},
            "updates_done": last["updates"],
            "converged_at": trajectory.converged_at,
        }
        del ends["updates"]
        kept = {
            name: anew[name] for name in ends if name != "outputs" or anew["outputs"] is not None
        }
        lines += _unlike("trained again", kept, "at its looks", ends)
    return lines


def _unlike(one: str, a: dict[str, Any], other: str, b: dict[str, Any]) -> list[str]:
    """A line for each value of `a` whose bits are others in `b`; of a list, for each of its
    items.
    """
    lines = []
    for name, value in a.items():
        pairs = {name: (value, b[name])}
        if isinstance(value, list) and isinstance(b[name], list) and len(value) == len(b[name]):
            pairs = {
                f"{name}[{i}]": pair for i, pair in enumerate(zip(value, b[name], strict=True))
            }
        # repr gives a number's bits, −0.0 and types included; all NaN are one.
        lines += [
            f"{key}: {one} {x!r}, {other} {y!r}"
            for key, (x, y) in pairs.items()
            if repr(x) != repr(y)
        ]
    return lines


def keys(setup: Setup) -> dict[str, Any]:
    """The columns of a setup that say what is special about it, and those that everybody asks
    for.
    """
    told = {
        name.removesuffix("_function"): value
        for name, value in setup.columns().items()
        if value is not None
        and name != "collapse"
        and (name in _ALWAYS_TOLD or value != defaults()[name])
    }
    if setup.epochs is not None:
        del told["updates"]
    return told


def trace(trajectory: Trajectory) -> pa.Table:
    """The looks of a trajectory as a table: setup, seed and the columns of `Trajectory.looks`, those of the
    table of runs typed as there.
    """
    import pyarrow as pa

    types = {field.name: field.type for field in schema()} | {"epoch": pa.int64()}
    looks = trajectory.looks.assign(setup=trajectory.setup.identity(), seed=trajectory.seed)
    names = ("setup", "seed", *trajectory.looks.columns)
    return pa.Table.from_pandas(
        looks, pa.schema([(name, types[name]) for name in names]), preserve_index=False
    )


def trace_file(trajectory: Trajectory) -> bytes:
    """`trace` as a Parquet file."""
    import pyarrow.parquet as pq

    metadata = {"fastbp.version": __version__, "fastbp.numerics": str(NUMERICS_VERSION)}
    buffer = io.BytesIO()
    pq.write_table(
        trace(trajectory).replace_schema_metadata(metadata),
        buffer,
        compression="zstd",
        write_page_checksum=True,
    )
    return buffer.getvalue()


def weights_file(trajectory: Trajectory) -> bytes:
    """What it takes to make a trajectory again elsewhere, as a .npz file. Needs a trajectory with its `rows`.

    `W0`, `b0`, `W1`, `b1` … are the final weights [out, in] and biases [out] of each layer,
    `initial_W0` … the initial ones; `rows`, int32 [presentation], is which row of `X` and `T`,
    [row, input] and [row, output] as trained, was shown when; `lr` is the learning rate of each
    epoch; `keys`, as JSON, are the columns of the setup (batch, momentum and so on). Without `bias`
    there is no `b0`.
    """
    assert trajectory.rows is not None
    arrays: dict[str, Any] = {}
    for stem, layers in (("", trajectory.final), ("initial_", trajectory.initial)):
        for layer, (W, b) in enumerate(layers):
            arrays |= {f"{stem}W{layer}": W} | (
                {f"{stem}b{layer}": b} if trajectory.setup.bias else {}
            )
    X, T = trajectory.setup.data()
    rates = lane_group.task(trajectory.setup).rule.rates
    epochs = int(trajectory.looks["epoch"].iloc[-1])
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, rows=trajectory.rows, X=X, T=T, lr=rates[np.minimum(np.arange(epochs), len(rates) - 1)],
        setup=trajectory.setup.identity(), seed=trajectory.seed, keys=json.dumps(trajectory.setup.columns()), **arrays,
    )  # fmt: skip
    return buffer.getvalue()


def setup_of(
    store: Store, identity: str, row: dict[str, Any], numerics_version: int = NUMERICS_VERSION
) -> Setup:
    """The setup of a stored row: where its problem is a file, with the one of the stored problems
    that gives it its id.

    Raises StoreError where none does.
    """
    from_file = str(row["problem"]).startswith("file:")
    folder = store.path / "problems"
    kept: list[Path | None] = [*sorted(folder.glob("*.npz"))] if from_file else [None]
    for file in kept:
        try:
            setup = Setup.from_columns(row, targets.stored(file) if file else None)
            if setup.identity(numerics_version) == identity:
                return setup
        except (ValueError, TypeError, AttributeError):  # another problem's file may be damaged
            continue
    why = (
        f"{folder} lacks the problem it was trained on"
        if from_file
        else "its columns are those of another one"
    )
    raise StoreError(f"setup {identity} of {store.path} cannot be trained again: {why}")
