"""Runs that nobody trained."""

import numpy as np
import pyarrow as pa

from fastbp.columns import COLUMNS, Column, schema

ONE, OTHER = "0123456789ab", "fedcba987654"


def column(kind: Column, count: int, rng: np.random.Generator) -> pa.Array:
    """Some values of a column, with nulls where it may have them."""
    none = (rng.random(count) < 0.3) & bool(kind.nullable)
    match kind.kind:
        case "word":
            words = np.array(["alpha", "β", "gamma ray"])[rng.integers(3, size=count)]
            return coded(pa.array(words, pa.string(), mask=none))
        case "integer":
            return pa.array(rng.integers(-(2**62), 2**62, count), mask=none)
        case "real":
            return pa.array(rng.normal(size=count) * 10.0 ** rng.integers(-300, 300, count), mask=none)
        case "flag":
            return pa.array(rng.random(count) < 0.5, mask=none)
        case "reals":
            lists = [None if n else rng.random(8, np.float32) for n in none]
            return pa.array(lists, pa.list_(pa.float32()))


def rows(setup: str = ONE, start: int = 0, count: int = 200) -> pa.Table:
    """Runs that nobody trained: every column, full of variety."""
    rng = np.random.default_rng([int(setup, 16), start, count])
    columns = {kind.name: column(kind, count, rng) for kind in COLUMNS}
    columns["setup"] = coded(pa.array([setup] * count))
    columns["seed"] = pa.array(np.arange(start, start + count))
    return pa.table(columns, schema=schema())


def coded(values: pa.Array) -> pa.Array:
    return values.dictionary_encode() if pa.types.is_string(values.type) else values
