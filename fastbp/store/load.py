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
from fastbp.store.filename import check_overlaps, run_files

_SHOWN = ("setup", "seed", "outcome", "updates_done", "converged_at", "loss", "spread", "max_error")


_NULLABLE = {"float": "Float32", "double": "Float64", "bool": "boolean", "int64": "Int64"}
_NULLABLE |= {"string": "string", "large_string": "string", "uint64": "UInt64", "int8": "Int8"}
_NULLABLE |= {"int16": "Int16", "int32": "Int32", "uint8": "UInt8", "uint16": "UInt16"}
_NULLABLE |= {"uint32": "UInt32"}
"""The types of pandas for numbers, flags and texts of Arrow that may be missing."""


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
    versions = {metadata.get("fastbp.numerics", "none") for _, metadata in readings}
    if not files:
        raise StoreError(f"{store} holds no runs")
    if len(versions) > 1:
        raise StoreError(
            f"{store} holds runs of numerics versions {' and '.join(sorted(versions))}, "
            "which do not mix: move those of one version to another folder"
        )
    check_overlaps(files, store)
    try:
        rows = pa.concat_tables([table for table, _ in readings], promote_options="default")
    except pa.ArrowTypeError:
        raise StoreError(f"{store} has columns of several types: {remedy(store)}") from None
    return rows.unify_dictionaries().select(in_order(rows.column_names))


def frame(rows: pa.Table) -> pd.DataFrame:
    """Convert Arrow rows to a DataFrame; integers become Int64, which may have nulls."""
    return pd.DataFrame(
        rows.to_pandas(
            types_mapper=lambda kind: pd.Int64Dtype() if kind == pa.int64() else None,
            use_threads=False,  # where none can be started, Arrow ends Python
        )
    )


def as_nullable(rows: pa.Table) -> pd.DataFrame:
    """Convert Arrow rows to a DataFrame of types that may have nulls, whatever pandas said of them.

    pandas reads what it said with patterns that may take hours.
    """

    def nullable(kind: pa.DataType) -> Any:
        name = _NULLABLE.get(str(kind))
        return name and pd.api.types.pandas_dtype(name)

    bare = rows.replace_schema_metadata(None)
    return pd.DataFrame(bare.to_pandas(types_mapper=nullable, use_threads=False))
