"""The rows of a block: the measures of its runs, and their Arrow table for the store."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastbp.config.setup import Setup
from fastbp.kernels import measures as m
from fastbp.schema.columns import MAX_OUTPUTS, schema
from fastbp.schema.outcomes import MEASURED, OUTCOMES, classify


def kept_outputs(setup: Setup) -> int:
    """The number of outputs stored with each run: rows × output units, 0 above `MAX_OUTPUTS`."""
    rows, _, units = setup.shape
    return rows * units if rows * units <= MAX_OUTPUTS else 0


class Rows(NamedTuple):
    """The measures of the runs of a block, in the order of their seeds.

    The index [measure] is one of the constants `LOSS`, `SPREAD` … of `fastbp.kernels.measures`.
    """

    updates_done: NDArray[np.int64]
    """The number of updates made, [run]."""
    converged_at: NDArray[np.int64]
    """Updates at the first evaluation at which the run had converged, or −1 if none, [run]."""
    start: NDArray[np.float64]
    """Measures before the first update, [measure, run]."""
    end: NDArray[np.float64]
    """Measures after the last update, [measure, run]."""
    test: NDArray[np.float64]
    """The same over the held-out rows, NaN if there are none."""
    outputs: NDArray[np.float64]
    """Outputs after the last update, [run, row × output], or [run, 0] if too many to store."""


def empty_rows(count: int, outputs: int) -> Rows:
    """Allocate the rows of `count` runs, each with `outputs` outputs."""
    return Rows(
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty((m.MEASURES, count)),
        np.empty((m.MEASURES, count)),
        np.full((m.MEASURES, count), np.nan),
        np.empty((count, outputs)),
    )


def joined(parts: Iterable[Rows]) -> Rows:
    """Concatenate the rows of several blocks of runs."""
    *measured, outputs = zip(*parts, strict=True)
    return Rows._make(
        [*(np.concatenate(each, axis=-1) for each in measured), np.concatenate(outputs)]
    )


def measured_columns(
    setup: Setup, measures: NDArray[np.float64], test: NDArray[np.float64]
) -> dict[str, Any]:
    """Compute the columns that follow from the measures of runs at one time.

    Parameters
    ----------
    setup : Setup
        Their setup, whose `success`, `tolerance` and `collapse` decide the outcome.
    measures, test : float64 array [measure, run]
        Over the training rows and over the held-out rows, NaN if there are none. The constants
        `LOSS`, `SPREAD` … of `fastbp.kernels.measures` are the row indices.

    Returns
    -------
    dict
        For each column an array [run]. `outcome` has positions in `OUTCOMES`. If a weight is not
        finite, reals are NaN and the other columns are masked.
    """
    finite = measures[m.FINITE] == 1.0
    values = np.where(finite, measures, np.nan)
    wrong = np.where(finite, measures[m.WRONG], 0).astype(np.int64)
    columns = {
        "loss": values[m.LOSS],
        "spread": values[m.SPREAD],
        "max_error": values[m.MAX_ERROR],
        "wrong": np.ma.masked_array(wrong, ~finite),
        "one_sided": np.ma.masked_array(values[m.ONE_SIDED] == 1.0, ~finite),
        "accuracy": accuracy(setup, values, setup.rows),
        "r2": values[m.R2],
        "test_accuracy": accuracy(setup, test, setup.test_rows),
        "test_r2": test[m.R2],
        "test_loss": test[m.LOSS],
        "saturation": values[m.SATURATION],
        "dead_units": values[m.DEAD_UNITS],
        "grad_norm": values[m.GRAD_NORM],
        "weight_max": values[m.WEIGHT_MAX],
    }
    decisive = {name: np.ma.filled(columns[name], 0) for name in MEASURED}
    return {"outcome": classify(columns | decisive, setup.columns()), **columns}


def accuracy(setup: Setup, measures: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """The share of rows with the right labels, [run]; NaN if no target is a label."""
    share: NDArray[np.float64] = (rows - measures[m.WRONG_LABELS]) / max(rows, 1)
    return share if setup.groups else np.full_like(share, np.nan)


def to_arrow(setup: Setup, start: int, rows: Rows) -> pa.Table:
    """Make the table for the store: the columns of `fastbp.schema.columns`, one row per seed."""
    count = len(rows.updates_done)
    with np.errstate(over="ignore"):  # larger ones are infinite there
        outputs = rows.outputs.astype(np.float32)
    columns = setup.columns() | {
        "setup": setup.identity(),
        "seed": np.arange(start, start + count, dtype=np.int64),
        "updates_done": rows.updates_done,
        "converged_at": np.ma.masked_less(rows.converged_at, 0),
        "loss_start": np.where(np.isnan(rows.start[m.LOSS]), np.inf, rows.start[m.LOSS]),
        "accuracy_start": accuracy(setup, rows.start, setup.rows),
        "r2_start": rows.start[m.R2],
        "spread_start": rows.start[m.SPREAD],
        "outputs": _lists(outputs, rows.end[m.FINITE] == 1.0),
        **measured_columns(setup, rows.end, rows.test),
    }
    columns["outcome"] = pa.DictionaryArray.from_arrays(
        columns["outcome"].astype(np.int32), [str(o) for o in OUTCOMES]
    )
    return pa.table(
        [_array(columns[field.name], field.type, count) for field in schema()], schema=schema()
    )


def _array(value: Any, kind: pa.DataType, count: int) -> pa.Array:
    """Make the Arrow array of a column from an array, or from a value that all rows have."""
    if isinstance(value, pa.Array):
        return value
    if isinstance(value, np.ndarray):
        return pa.array(value, kind, from_pandas=True)  # null where NaN or masked
    if pa.types.is_dictionary(kind):
        indices = pa.array(np.zeros(count, np.int32), mask=np.full(count, value is None))
        return pa.DictionaryArray.from_arrays(indices, pa.array([value or ""], pa.string()))
    return pa.repeat(pa.scalar(value, kind), count)


def _lists(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> pa.Array:
    """Make a list<float32> for each run; null if it is not valid or if there are no outputs."""
    width = values.shape[1]
    valid = valid & (width > 0)
    offsets = np.concatenate([[0], np.cumsum(np.where(valid, width, 0))]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(values[valid].ravel()), mask=pa.array(~valid)
    )
