"""Tables that are no problems as they stand: without names in their first line, or with too many
rows.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.problems.read_table import MISSING, NUMBER, rows_of
from fastbp.schema.errors import SweepError
from fastbp.schema.text import named, shown

MAX_LEARNT = 2048
"""Rows up to which a table is learnt whole: a diagnosis trains it hundreds of thousands of
times."""

SAMPLED = 1024
"""Rows that are drawn of a table that has more than a problem may have."""

MAX_BYTES = 4_000_000_000
"""Of a table that rows are drawn of: it is read whole."""


def fixed(path: Path, targets: list[str] | None) -> tuple[bytes, list[str]] | None:
    """The table with names in its first line and not too many rows, as the bytes of a file, and
    what was done to it.

    None where nothing is to be done, or nothing can be: the engine says then what is wrong. Raises
    SweepError where rows miss values, which have other numbers in what is drawn.
    """
    try:
        if not path.is_file() or os.path.getsize(path) > MAX_BYTES:
            return None
        kind = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}.get(path.suffix.lower())
        return kind(path, targets) if kind else None
    except SweepError:
        raise
    except Exception:  # over damaged bytes Arrow, NumPy and zipfile raise a dozen kinds, which the engine knows to tell
        return None


def _drawn(rows: int) -> NDArray[np.intp]:
    """Which rows are drawn of so many, the same ones whenever."""
    return np.sort(np.random.default_rng(0).choice(rows, SAMPLED, replace=False))


def _said(path: Path, rows: int) -> str:
    drawn = f"{SAMPLED:,} of them, drawn at random, are learnt, numbered anew, and an epoch shows as many"
    return f"{named(path)} has {rows:,} rows, learnt whole: up to {MAX_LEARNT:,}; {drawn}"


def _refuse(path: Path, missing: dict[str, NDArray[np.bool_]]) -> None:
    """Raise SweepError where values are missing, with the rows of the whole table."""
    lines = [
        f"DATA: given {shown('file:' + path.name)}, allowed: a value in every row; {shown(name)} has none in {rows_of(mask)}"
        for name, mask in missing.items() if mask.any()
    ]  # fmt: skip
    if lines:
        raise SweepError(lines[:10])


def _csv(path: Path, targets: list[str] | None) -> tuple[bytes, list[str]] | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    with open(path, encoding="utf-8-sig", newline="") as file:
        first = [
            text.strip() for text in next((record for record in csv.reader(file) if record), [])
        ]
    nameless = any(map(NUMBER.fullmatch, first)) and not set(targets or ()) & set(first)
    names = [f"c{i}" for i in range(1, len(first) + 1)] if nameless else first
    notes = []
    if nameless:
        called = (
            names[0]
            if len(names) == 1
            else f"{names[0]} … {names[-1]}"
            if len(names) > 2
            else " and ".join(names)
        )
        notes.append(
            f"{named(path)} has no names in its first line, as there are numbers in it: its columns are called {called}"
        )
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if raw.count(b"\n") <= MAX_LEARNT:
        return (",".join(names).encode() + b"\n" + raw, notes) if nameless else None
    table = _texts(raw, names, nameless)
    if table.num_rows <= MAX_LEARNT:
        return (",".join(names).encode() + b"\n" + raw, notes) if nameless else None
    none = pa.array(MISSING)
    marks = [
        pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(column)), none).to_numpy()
        for column in table.columns
    ]
    _refuse(path, dict(zip(names, marks, strict=True)))
    columns = [column.to_pylist() for column in table.take(_drawn(table.num_rows)).columns]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue().encode(), [*notes, _said(path, table.num_rows)]


def _texts(raw: bytes, names: list[str], nameless: bool) -> Any:
    """A .csv as Arrow reads it, every column as text."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    keys = [f"f{i}" for i in range(len(names))]
    return arrow.read_csv(
        pa.BufferReader(raw),
        read_options=arrow.ReadOptions(column_names=keys, skip_rows=0 if nameless else 1),
        convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(keys, pa.string())),
    )


def _parquet(path: Path, targets: list[str] | None) -> tuple[bytes, list[str]] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_metadata(path).num_rows
    if rows <= MAX_LEARNT:
        return None
    table = pq.read_table(path)
    _refuse(path, {name: table.column(name).is_null().to_numpy() for name in table.column_names})
    out = pa.BufferOutputStream()
    pq.write_table(table.take(_drawn(rows)), out)
    return out.getvalue().to_pybytes(), [_said(path, rows)]


def _npz(path: Path, targets: list[str] | None) -> tuple[bytes, list[str]] | None:
    with np.load(path, allow_pickle=False) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    rows = len(arrays["X"])
    if rows <= MAX_LEARNT or len(arrays["T"]) != rows:
        return None
    _refuse(
        path,
        {name: ~np.isfinite(arrays[name].reshape(rows, -1)).all(axis=1) for name in ("X", "T")},
    )
    some, out = _drawn(rows), io.BytesIO()
    np.savez(out, **(arrays | {name: arrays[name][some] for name in ("X", "T")}))
    return out.getvalue(), [_said(path, rows)]
