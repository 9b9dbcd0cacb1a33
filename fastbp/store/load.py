"""The runs of a store as a DataFrame. Needs neither Numba nor the engine."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.store import parquet

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = ("setup", "seed", "outcome", "updates_done", "converged_at", "loss", "spread", "max_error")


class Runs(pd.DataFrame):
    """Runs as they were read: a DataFrame in every way, which shows first what tells its runs
    apart.

    Whatever is made of it is a plain DataFrame.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def _told(self) -> tuple[pd.DataFrame, str]:
        """The columns that are shown, and what is to be said of the others."""
        setups = pd.DataFrame(self.drop_duplicates("setup"))
        keys = [c.name for c in SETUP_COLUMNS if c.name in self.columns]
        varying = [key for key in keys if len(setups[key].astype(object).map(repr).unique()) > 1]
        alike = (
            {key: setups[key].iloc[0] for key in keys if key not in varying} if len(setups) else {}
        )
        same = [f"{key} {_line(value)}" for key, value in alike.items() if pd.notna(value)]
        shown = pd.DataFrame(self[[*varying, *(name for name in _SHOWN if name in self.columns)]])
        more = len(self.columns) - len(shown.columns)
        counts = f"{_plural(len(self), 'run')} of {_plural(len(setups), 'setup')}"
        told = f"{counts}; {_plural(more, 'more column')}." if more else f"{counts}."
        return shown, f"{told} In all: {', '.join(same)}." if same else told

    def __repr__(self) -> str:
        """The columns that matter, and a line about the others."""
        if "setup" not in self.columns:
            return repr(pd.DataFrame(self))
        shown, told = self._told()
        with pd.option_context(
            "display.width", 160, "display.max_columns", 20, "display.show_dimensions", False
        ):
            return f"{shown!r}\n\n{told}"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        if "setup" not in self.columns:
            return self.to_html(max_rows=10)
        shown, told = self._told()
        return f"{shown.to_html(max_rows=10)}<p>{escape(told)}</p>"


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s'[: n != 1]}"


def _line(value: object) -> str:
    """A value as it can stand in a line, whatever is in the name of a file."""
    return "".join(c if c.isprintable() else "?" for c in str(value))


def load(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The runs of a store, one row each: the same as `pandas.read_parquet(path + "/runs")`, with
    nulls as pandas's own nulls.

    Shown, it tells first what its runs differ in. Raises StoreError where there are none, or where
    a file is damaged.
    """
    runs = frame(parquet.read_all(Path(path)))
    return Runs(runs.sort_values(["setup", "seed"], ignore_index=True))


def frame(rows: pa.Table) -> pd.DataFrame:
    """Rows as a DataFrame: whole numbers stay whole beside nulls."""
    import pyarrow as pa

    found: pd.DataFrame = rows.to_pandas(
        types_mapper=lambda kind: pd.Int64Dtype() if kind == pa.int64() else None
    )
    return found
