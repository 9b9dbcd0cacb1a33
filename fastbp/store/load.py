"""Load the runs of a store as a DataFrame. Needs neither Numba nor the engine."""

import os
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.errors import StoreError, remedy
from fastbp.schema.text import plural, printable
from fastbp.store import parquet
from fastbp.store.digest import in_order
from fastbp.store.filename import check_overlaps, check_versions, run_files

_SHOWN = ("setup", "seed", "outcome", "updates_done", "converged_at", "loss", "spread", "max_error")

_INTEGERS = {pa.int64(): pd.Int64Dtype()}
_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.float32(): pd.Float32Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
    pa.large_string(): pd.StringDtype(),
}
"""The types of pandas for integers, and for all numbers, flags and texts, that may be missing."""


class RunsFrame(pd.DataFrame):
    """A DataFrame of runs that prints first the keys in which the runs differ.

    Selections and other results of its methods are plain DataFrames.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def _parts(self) -> tuple[pd.DataFrame, str]:
        """The columns to print, and a line about the others."""
        setups = pd.DataFrame(self.drop_duplicates("setup"))
        keys = [c.name for c in SETUP_COLUMNS if c.name in self.columns]
        varying = [key for key in keys if len(setups[key].astype(object).map(repr).unique()) > 1]
        constant = {key: setups[key].iloc[0] for key in keys if key not in varying and len(setups)}
        same = [f"{key} {printable(str(v))}" for key, v in constant.items() if pd.notna(v)]
        table = pd.DataFrame(self[[*varying, *(name for name in _SHOWN if name in self.columns)]])
        more = len(self.columns) - len(table.columns)
        counts = f"{plural(len(self), 'run')} of {plural(len(setups), 'setup')}"
        line = f"{counts}; {plural(more, 'more column')}." if more else f"{counts}."
        return table, f"{line} In all: {', '.join(same)}." if same else line

    def __repr__(self) -> str:
        """The columns in which runs differ, their results, and a line about other columns."""
        if "setup" not in self.columns:
            return repr(pd.DataFrame(self))
        table, line = self._parts()
        with pd.option_context(
            "display.width", 160, "display.max_columns", 20, "display.show_dimensions", False
        ):
            return f"{table!r}\n\n{line}"

    def _repr_html_(self) -> str:
        """HTML with the content of `__repr__`, for notebooks."""
        if "setup" not in self.columns:
            return self.to_html(max_rows=10)
        table, line = self._parts()
        return f"{table.to_html(max_rows=10)}<p>{escape(line)}</p>"


def load(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Load the runs of a store.

    Parameters
    ----------
    path : path
        The folder of the store.

    Returns
    -------
    pd.DataFrame
        One row for each run, sorted by setup and seed: the same as
        `pandas.read_parquet(path + "/runs")`, but integers with nulls are pandas integers. Columns
        that older files lack have their default or null; columns of a newer fastbp come last.

    Raises
    ------
    StoreError
        If there are no runs, a file is damaged, or files do not go together.
    """
    return RunsFrame(frame(read_all(Path(path))).sort_values(["setup", "seed"], ignore_index=True))


def read_all(store: Path) -> pa.Table:
    """Read all runs of a store, in the order of the files' names.

    Raises
    ------
    StoreError
        If there are no runs, a file is damaged, two files share seeds, or files have several
        numerics versions.
    """
    files = [*run_files(store / "runs")]
    readings = [parquet.read(file.path) for file in files]
    if not files:
        raise StoreError(f"{store} holds no runs")
    check_versions({metadata.get("fastbp.numerics", "none") for _, metadata in readings}, store)
    check_overlaps(files, store)
    try:
        rows = pa.concat_tables([table for table, _ in readings], promote_options="default")
    except pa.ArrowTypeError:
        raise StoreError(f"{store} has columns of several types: {remedy(store)}") from None
    return rows.unify_dictionaries().select(in_order(rows.column_names))


def frame(rows: pa.Table) -> pd.DataFrame:
    """Convert Arrow rows to a DataFrame; integers become Int64, which may have nulls."""
    return _converted(rows, _INTEGERS)


def as_nullable(rows: pa.Table) -> pd.DataFrame:
    """Convert Arrow rows to a DataFrame of types that may have nulls, whatever pandas said of them.

    To read what it said may take pandas hours.
    """
    return _converted(rows.replace_schema_metadata(None), _NULLABLE)


def _converted(rows: pa.Table, types: dict[pa.DataType, Any]) -> pd.DataFrame:
    # Arrow ends Python where a thread cannot be started
    return pd.DataFrame(rows.to_pandas(types_mapper=types.get, use_threads=False))
