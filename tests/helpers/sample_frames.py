"""Makes tidy runs for tests: DataFrames with every column of the schema, and the Parquet files of a
store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fastbp.schema.columns import schema
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.outcomes import OUTCOMES
from fastbp.store import filename, parquet

DEFAULTS: dict[str, object] = {
    "problem": "table:11101011",
    "targets": None,
    "target_kind": "auto",
    "test": 0.0,
    "test_split": "fixed",
    "scale_inputs": "none",
    "scale_targets": "none",
    "target_margin": 0.0,
    "hidden": "4",
    "init": "normal",
    "init_scale": 1.0,
    "bias": True,
    "class_weight": "none",
    "prime_offset": 0.0,
    "order": "random",
    "batch": 1,
    "reduction": "sum",
    "lr": 0.2,
    "schedule": "constant",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "epochs": None,
    "updates": 999,
    "tolerance": 0.4,
    "success": "rows",
    "success_on": "train",
    "collapse": 0.1,
    "eval_every": 10,
    "stop": "budget",
    "dtype": "float64",
}


def identity(keys: Mapping[str, object]) -> str:
    """A setup id that is the same for the same keys."""
    return hashlib.sha256(repr(sorted((DEFAULTS | dict(keys)).items())).encode()).hexdigest()[:12]


def table(
    keys: Mapping[str, object],
    outcomes: Sequence[str],
    seeds: Sequence[int] | None = None,
    ever: Sequence[bool] | None = None,
) -> pa.Table:
    """The runs of one setup: an outcome for each seed, and whether a look found it converged (else:
    where it ended so)."""
    n = len(outcomes)
    looked = np.array([o == "converged" for o in outcomes]) if ever is None else np.asarray(ever)
    results: dict[str, object] = {
        "setup": [identity(keys)] * n,
        "seed": np.arange(n) if seeds is None else np.asarray(seeds),
        "outcome": list(outcomes),
        "updates_done": np.full(n, 999),
        "converged_at": pa.array(np.full(n, 80), mask=~looked),
        "one_sided": [False] * n,
        "wrong": np.zeros(n, int),
        "outputs": [[0.5] * 8] * n,
    }
    columns = {name: [value] * n for name, value in (DEFAULTS | dict(keys)).items()} | results
    arrays = {}
    for field in schema():
        words = pa.types.is_dictionary(field.type)
        values = columns.get(field.name, ["usual"] * n if words else np.full(n, 0.25))
        array = pa.array(values, pa.string() if words else field.type)
        arrays.setdefault(field.name, array.dictionary_encode() if words else array)
    return pa.table(arrays)


def write(
    folder: Path, runs: pa.Table, parts: int = 1, said: Mapping[str, str] | None = None
) -> Path:
    """Write the runs of one setup to `folder/runs`, in `parts` files, and return the store.

    `said`: what the footers say besides the numerics version."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    for rows in np.array_split(np.arange(runs.num_rows), parts):
        part = runs.slice(rows[0], len(rows))
        start, setup = part["seed"][0].as_py(), part["setup"][0].as_py()
        content, digest = parquet.encode(
            part.cast(schema()), {"fastbp.numerics": str(NUMERICS_VERSION)} | dict(said or {})
        )
        (folder / "runs" / filename.name(setup, start, part.num_rows, digest)).write_bytes(content)
    return folder


def frame(*tables: pa.Table) -> pd.DataFrame:
    """The tidy DataFrame of several setups' runs, as pandas.read_parquet gives it."""
    return pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas()


def mixed(n: int, rng: np.random.Generator, *shares: float) -> list[str]:
    """So many outcomes with the given probabilities, in the order of `OUTCOMES`."""
    return [OUTCOMES[i].value for i in rng.choice(len(OUTCOMES), n, p=shares)]


def founding(n: int = 10_000) -> list[pa.Table]:
    """Eight setups shaped like the founding sweep's, seeds alike; the numbers are made up."""
    rng = np.random.default_rng(7)
    luck = rng.random(n)
    tables = []
    converging = {(999, 0.1): 0.0, (999, 0.2): 0.0004, (7992, 0.1): 0.61, (7992, 0.2): 0.833}
    for order, (updates, lr) in product(("random", "shuffled"), converging):
        share = converging[updates, lr] * (1 + 0.01 * (order == "shuffled"))
        won = (luck + rng.normal(0, 0.02, n)) % 1 < share
        shares = [0, 0, 0.72, 0.26, 0.02] if updates == 999 else [0, 0, 0.001, 0.1, 0.899]
        tables.append(
            table(
                {"order": order, "updates": updates, "lr": lr},
                list(np.where(won, "converged", mixed(n, rng, *shares))),
            )
        )
    return tables
