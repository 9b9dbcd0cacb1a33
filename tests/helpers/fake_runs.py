"""Runs that nobody trained: every column, full of variety. Tests of files and of stores write and
read them."""

import io
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fastbp.config.setup import Setup
from fastbp.schema.columns import COLUMNS, Column, schema
from fastbp.schema.keys import NUMERICS_VERSION
from fastbp.schema.outcomes import DECISIVE, OUTCOMES, classify

ONE, OTHER = "0123456789ab", "fedcba987654"

MOST = 1000
"""Seeds of `runs`."""


def column(kind: Column, count: int, rng: np.random.Generator) -> pa.Array:
    """Some values of a column, with nulls where it may have them."""
    none = (rng.random(count) < 0.3) & bool(kind.nullable)
    match kind.kind:
        case "word":
            words = np.array(["alpha", "β", "gamma ray"])[rng.integers(3, size=count)]
            return coded(pa.array(words, pa.string(), mask=none))
        case "integer":
            return pa.array(rng.integers(int(min(kind.most, 2**62)), size=count), mask=none)
        case "real":
            numbers = rng.normal(size=count) * 10.0 ** rng.integers(-300, 300, count)
            least, most = max(kind.least, -1e300), min(kind.most, 1e300)
            return pa.array(np.clip(numbers, least, most), mask=none)
        case "flag":
            return pa.array(rng.random(count) < 0.5, mask=none)
        case "reals":
            return pa.array(
                [None if n else rng.random(8, np.float32) for n in none], pa.list_(pa.float32())
            )


def rows(setup: str = ONE, start: int = 0, count: int = 200) -> pa.Table:
    """Runs of no setup that there could be: its keys differ from row to row."""
    rng = np.random.default_rng([int(setup, 16), start, count])
    columns = {kind.name: column(kind, count, rng) for kind in COLUMNS}
    columns["setup"] = coded(pa.array([setup] * count))
    columns["seed"] = pa.array(np.arange(start, start + count))
    columns["converged_at"] = pc.min_element_wise(
        columns["converged_at"], columns["updates_done"], skip_nulls=False
    )
    return pa.table(columns, schema=schema())


def runs(
    setup: Setup, start: int = 0, count: int = MOST, numerics: int = NUMERICS_VERSION
) -> pa.Table:
    """Runs with the keys of a setup and its id. A seed below `MOST` has the same row whatever range
    it is asked for in."""
    return _runs(setup, numerics).slice(start, count)


@cache
def _runs(setup: Setup, numerics: int) -> pa.Table:
    table = rows(setup.identity(numerics), 0, MOST)
    for name, value in setup.columns().items():
        kind = schema().field(name).type
        words = pa.types.is_dictionary(kind)
        table = replaced(
            table, name, coded(pa.array([value] * MOST, pa.string() if words else kind))
        )
    codes = classify(
        {name: table[name].cast("float64").to_numpy() for name in DECISIVE}, setup.columns()
    )
    return replaced(table, "outcome", coded(pa.array(np.array(OUTCOMES)[codes], pa.string())))


def coded(values: pa.Array) -> pa.Array:
    return values.dictionary_encode() if pa.types.is_string(values.type) else values


def replaced(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), schema().field(name), values)


def as_parquet(table: pa.Table, **how: Any) -> bytes:
    """The bytes of a Parquet file of a table; `how`: as `pyarrow.parquet.write_table` takes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **how)
    return buffer.getvalue()


def numbered(value: int, size: int = 0) -> bytes:
    """A number as Thrift writes it, or in `size` bytes, which say the same."""
    value, digits = 2 * value, b""
    while value > 127 or len(digits) < size - 1:
        digits += bytes([value & 127 | 128])
        value >>= 7
    return digits + bytes([value])
