"""The rows of a block as they are stored: one Arrow table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.kernels import measures as m
from fastbp.schema.columns import COLUMNS, MAX_OUTPUTS, schema
from fastbp.schema.outcomes import OUTCOMES, classify

if TYPE_CHECKING:
    import pyarrow as pa


def kept_outputs(setup: Setup) -> int:
    """Outputs that are stored with each run."""
    rows, _, units = setup.shape
    return rows * units if rows * units <= MAX_OUTPUTS else 0


class Rows(NamedTuple):
    """What is measured of the runs of a block, [run] each, in the order of their seeds."""

    updates_done: NDArray[np.int64]
    converged_at: NDArray[np.int64]
    start: NDArray[np.float64]
    """Measures before the first update, [measure, run]."""
    end: NDArray[np.float64]
    outputs: NDArray[np.float64]
    """[run, row × output]; empty where there are too many to keep."""


def _rows_of(count: int, outputs: int) -> Rows:
    """Room for so many runs."""
    return Rows(
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty((m.MEASURES, count)),
        np.empty((m.MEASURES, count)),
        np.empty((count, outputs)),
    )


def to_arrow(setup: Setup, start: int, rows: Rows) -> pa.Table:
    """The rows as they are stored: one Arrow table with the columns of `fastbp.schema.columns`."""
    import pyarrow as pa

    count = len(rows.updates_done)
    finite = rows.end[m.FINITE] == 1.0
    end = np.where(finite, rows.end, np.nan)
    codes = classify(
        end[m.MAX_ERROR], end[m.SPREAD], end[m.ONE_SIDED] == 1.0, setup.tolerance, setup.collapse
    )

    def word(value: str | None) -> pa.Array:
        indices = pa.array(np.zeros(count, np.int32), mask=np.full(count, value is None))
        return pa.DictionaryArray.from_arrays(indices, pa.array([value or ""], pa.string()))

    def real(values: NDArray[np.float64]) -> pa.Array:
        return pa.array(values, pa.float64(), mask=np.isnan(values))

    columns: dict[str, pa.Array] = {}
    types = {field.name: field.type for field in schema()}
    for name, value in setup.columns().items():
        if pa.types.is_dictionary(types[name]):
            columns[name] = word(value)
        else:
            columns[name] = pa.repeat(pa.scalar(value, types[name]), count)
    columns |= {
        "setup": word(setup.identity()),
        "seed": pa.array(np.arange(start, start + count, dtype=np.int64)),
        "outcome": pa.DictionaryArray.from_arrays(
            pa.array(codes.astype(np.int32)), pa.array([str(o) for o in OUTCOMES])
        ),
        "updates_done": pa.array(rows.updates_done),
        "converged_at": pa.array(rows.converged_at, mask=rows.converged_at < 0),
        "loss": real(end[m.LOSS]),
        "loss_start": real(rows.start[m.LOSS]),
        "spread": real(end[m.SPREAD]),
        "spread_start": real(rows.start[m.SPREAD]),
        "max_error": real(end[m.MAX_ERROR]),
        "wrong": pa.array(np.where(finite, rows.end[m.WRONG], 0).astype(np.int64), mask=~finite),
        "one_sided": pa.array(end[m.ONE_SIDED] == 1.0, mask=~finite),
        "saturation": real(end[m.SATURATION]),
        "grad_norm": real(end[m.GRAD_NORM]),
        "weight_max": real(end[m.WEIGHT_MAX]),
        "outputs": lists(rows.outputs.astype(np.float32), finite),
    }
    return pa.table([columns[column.name] for column in COLUMNS], schema=schema())


def lists(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> pa.Array:
    """Rows of `values`, [run, output], as list<float32>; null where not valid or where there are
    none.
    """
    import pyarrow as pa

    width = values.shape[1]
    valid = valid & (width > 0)
    offsets = np.concatenate([[0], np.cumsum(np.where(valid, width, 0))]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(values[valid].ravel()), mask=pa.array(~valid)
    )
