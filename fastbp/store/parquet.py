"""Encode, seal, read and check files of runs."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.vendored.version  # else it is loaded late, and may fail over sound rows

from fastbp.schema import columns
from fastbp.schema.columns import RESULT_COLUMNS, Column, schema
from fastbp.schema.errors import (
    DamagedFileError,
    FileError,
    TooLargeError,
    UnsafeFileError,
    need_memory,
    raise_memory_error,
    unread,
)
from fastbp.schema.keys import MAX_WORD
from fastbp.store import safe_files
from fastbp.store.digest import digest, in_order, lengths, same, stand_in
from fastbp.store.filename import RunFile, root_of
from fastbp.store.parquet_pages import (
    OWN,
    SEAL,
    footer_start,
    longest,
    opened,
    seal_of,
    sealed,
    unpacked,
)

_MEASURED = [c.name for c in RESULT_COLUMNS if c.kind == "real"]
_REPEATED = [c.name for c in columns.COLUMNS if c.name not in {*_MEASURED, "seed", "outputs"}]

MAX_UNPACKED, MAX_RATIO = 1 << 28, 64
"""The most bytes of the decoded rows of a file, or of those for each byte of a larger file. Runs
take some 560 bytes each, and 23 in the file."""

MAX_FOOTER = 1 << 20
"""The most bytes of the footer of a file of runs; that of sixty columns has some 10,000."""

MAX_FILE = 1 << 29
"""The most bytes of a file of runs, some ten times as many as the largest that fastbp writes."""

CHANGED = "it has changed since it was checked"

_plausible: set[bytes] = set()
"""The seals of files that may have the rows that they say they have."""

_first_seals: list[dict[Path, bytes]] = []
"""While `unchanged` lasts: the `seal_of` what each file was first, or the number of an error."""


def encode(rows: pa.Table, metadata: dict[str, str]) -> tuple[bytes, str]:
    """Encode rows as a file of runs.

    Parameters
    ----------
    rows : pa.Table
        Runs of one setup for consecutive seeds; unknown columns are kept.
    metadata : dict
        What the footer says besides the digest. A file without `fastbp.schema` has schema 1.

    Returns
    -------
    content : bytes
        The file, about 23 bytes for each row: measures are split by byte, words and values that
        repeat are dictionaries, pages have checksums.
    digest : str
        The digest of the rows.

    Raises
    ------
    TooLargeError
        If nobody would read such a file. Those of runs of this release are always read.
    """
    need_memory(2 * rows.nbytes + (1 << 25))
    rows_digest, names = digest(rows), {*rows.column_names}
    said = rows.replace_schema_metadata({**metadata, "fastbp.digest": rows_digest})
    for compression in ("zstd", "none"):
        buffer = io.BytesIO()
        pq.write_table(
            said,
            buffer,
            compression=compression,
            use_dictionary=[name for name in _REPEATED if name in names],
            column_encoding={name: "BYTE_STREAM_SPLIT" for name in _MEASURED if name in names},
            write_page_checksum=True,
            row_group_size=65_536,
        )
        content = buffer.getvalue()
        # there may be very many runs, all alike: nobody would read so few bytes
        with suppress(ValueError):
            _check_plausible(content)
            return sealed(content), rows_digest
    raise TooLargeError(
        f"{rows.num_rows:,} runs with {rows.num_columns:,} columns are too many for a file"
    )


def _check_plausible(content: bytes) -> None:
    """Raise ValueError if a file cannot have the rows that its footer and its pages say it has."""
    if len(content) - footer_start(content) > MAX_FOOTER:  # Arrow makes hundreds of times as much
        raise ValueError(f"its footer has more than {MAX_FOOTER:,} bytes")
    size, values, *_ = unpacked(content)
    if size + 8 * values > max(MAX_UNPACKED, MAX_RATIO * len(content)):
        raise ValueError(f"its {len(content):,} bytes stand for more than they can")


def is_as_read(file: Path) -> bool:
    """Whether a file is what it was when it was first read while `unchanged` lasts, if it was.

    All of it is read: a file that somebody maps into memory changes without its times.
    """
    try:
        seal = seal_of(safe_files.read(file, root_of(file.parent)[0], MAX_FILE))
    except (UnsafeFileError, OSError) as error:
        seal = str(getattr(error, "errno", "")).encode()  # of what is no file there is none
    return all(seals.get(file, b"") == seal for seals in _first_seals)


def remember(file: Path, content: bytes) -> None:
    """Take a file that was written as read with these bytes while `unchanged` lasts."""
    for seals in _first_seals:
        seals[file] = seal_of(content)


@contextmanager
def unchanged() -> Iterator[None]:
    """Let all who read a file again raise DamagedFileError if it is no longer the same bytes."""
    _first_seals.append({})
    try:
        yield
    finally:
        _first_seals.pop()


def contents(file: Path) -> tuple[bytes, dict[str, str]]:
    """Read the bytes of a file of runs and what its footer says.

    Raises
    ------
    DamagedFileError
        If the bytes are not those that were sealed, or the digest is not that of the name.
    FileError
        If the file cannot be read, so that nobody knows whether it is damaged.
    """
    return _checked(file)[:2]


def _checked(file: Path) -> tuple[bytes, dict[str, str], pa.Schema]:
    """Read a file as `contents` does; with the columns that its footer says it has."""
    try:
        content = safe_files.read(file, root_of(file.parent)[0], MAX_FILE)
    except UnsafeFileError as error:
        raise DamagedFileError(file, error.why) from error
    except OSError as error:
        for seals in _first_seals:
            seals.setdefault(file, str(error.errno).encode())
        raise unread(file, error) from error
    try:
        seal = seal_of(content)
        if any(seals.setdefault(file, seal) != seal for seals in _first_seals):
            raise ValueError(CHANGED)
        if not seal.startswith(SEAL):
            raise ValueError(
                "its bytes are not those that were written" if content else "it is empty"
            )
        if seal not in _plausible:  # before Arrow reads its footer
            _check_plausible(content)
            _plausible.add(seal)
        found = opened(content).schema_arrow
        footer = ((k, v) for k, v in (found.metadata or {}).items() if k != OWN)
        metadata = {"fastbp.schema": "1"} | {k.decode(): v.decode() for k, v in footer}
        run_file = RunFile.parse(file)
        if run_file and not metadata.get("fastbp.digest", "").startswith(run_file.digest):
            raise ValueError("its rows do not match the digest in its name")
        if not re.fullmatch("[1-9][0-9]{0,8}", metadata["fastbp.schema"]):
            raise ValueError("the number of its schema is not a number from 1")
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError) as error:
        # UnicodeDecodeError is a ValueError; types of extensions that are registered raise others
        raise_memory_error(error)
        raise DamagedFileError(file, error) from error
    return content, metadata, found


def read_as_written(
    file: Path, names: Sequence[str] | None = None
) -> tuple[pa.Table, dict[str, str]]:
    """Read the rows of a file with the columns that it has.

    Parameters
    ----------
    file : Path
        A file of runs.
    names : list of str, optional
        Columns to read; by default all, also columns that this fastbp does not know.

    Returns
    -------
    rows : pa.Table
        The rows, with columns in the order of the schema, then unknown ones by name.
    metadata : dict
        What the footer says.

    Raises
    ------
    DamagedFileError
        As `contents`; or if rows or columns do not match its name and its schema.
    FileError
        As `contents`; or if a newer fastbp made the file, with a type that this one does not know.
    """
    content, metadata, found = _checked(file)
    try:
        # before rows are decoded: each may get a copy of a long word that stands once in a file
        _check_columns(file, found, int(metadata["fastbp.schema"]), names)
        run_file = RunFile.parse(file)
        rows = _decoded(content, names, run_file)
        if run_file:
            _check_rows(run_file, rows)
        _check_values(rows)
    except FileError:
        raise
    except (OSError, pa.ArrowException, ValueError) as error:
        raise_memory_error(error)
        raise DamagedFileError(file, error) from error
    return rows.select(in_order(rows.column_names)), metadata


def decoded(
    content: bytes, names: Sequence[str] | None = None, most: int | None = None
) -> pa.Table:
    """Decode the rows of a Parquet file, if their size is plausible.

    `names`: columns to read, by default all. `most`: the most rows that it may have.

    Raises
    ------
    ValueError
        If it has more rows, columns of other types than runs have, or stands for more than it can.
    OSError, pa.ArrowException
        If it is damaged.
    """
    _check_plausible(content)
    return _decoded(content, names, most=most)


def _decoded(
    content: bytes,
    names: Sequence[str] | None,
    file: RunFile | None = None,
    most: int | None = None,
) -> pa.Table:
    need_memory(2 * len(content) + (1 << 25))
    with opened(content) as runs:
        count = runs.metadata.num_rows
        if file and count != file.count:
            raise ValueError(f"it has {count} rows")
        if most is not None and count > most:
            raise ValueError(f"it has {count:,} rows, more than {most:,}")
        read = [field for field in runs.schema_arrow if field.name in (names or ())]
        if any(field.type != schema().field(field.name).type for field in read):
            raise ValueError("its columns are not columns of runs")
        rows = runs.read(names, use_threads=False)
        rows.validate(full=True)  # of the numbers of words, for example, it has not been checked
        return rows.replace_schema_metadata(  # without what pandas is to make of the columns
            {k: v for k, v in (rows.schema.metadata or {}).items() if k not in (b"pandas", OWN)}
        )


def _check_columns(file: Path, found: pa.Schema, number: int, names: Sequence[str] | None) -> None:
    """Raise ValueError if columns of this schema are missing, or not in its order or of its types.

    FileError if one has a type that this fastbp does not know.
    """
    known = {field.name: field for field in schema()}
    required = {c.name for c in columns.COLUMNS if c.since <= number and c.name in (names or known)}
    # older releases had fewer columns with nulls
    same = all(
        known.get(field.name, field) in (field, field.with_nullable(True)) for field in found
    )
    ordered = [name for name in found.names if name in known]
    in_place = ordered == in_order(ordered) and len({*found.names}) == len(found)
    if not (same and in_place and required <= {*ordered}):
        raise ValueError("its columns are not columns of runs")
    if newer := [f for f in found if f.name not in known and f.type not in schema().types]:
        raise FileError(
            file,
            f"column {newer[0].name} has the type {newer[0].type}, which only a newer fastbp knows",
        )


def _check_rows(file: RunFile, rows: pa.Table) -> None:
    """Raise ValueError if setup, seeds or number of rows do not match the name of the file."""
    if rows.num_rows != file.count or not file.count:
        raise ValueError(f"it has {rows.num_rows} rows")
    if "setup" in rows.column_names and (setups := rows["setup"].unique().to_pylist()) != [
        file.setup
    ]:
        raise ValueError(f"it holds runs of setup {' and '.join(map(str, setups))}")
    if "seed" in rows.column_names and not np.array_equal(
        rows["seed"].to_numpy(), file.start + np.arange(file.count)
    ):
        raise ValueError("its seeds do not match its name")


def _check_values(rows: pa.Table) -> None:
    """Raise ValueError if numbers are none that a run can have: pictures and tables need them."""
    there = {*rows.column_names}  # Arrow makes the list anew each time
    for column in columns.COLUMNS:
        if column.name in there and column.kind in ("integer", "real"):
            values = rows[column.name].cast("float64", safe=False)
            if pc.any(pc.less(values, column.least)).as_py():
                raise ValueError(f"it has {column.name} below {column.least:g}")
            if pc.any(pc.greater(values, column.most)).as_py():
                raise ValueError(f"it has {column.name} above {column.most:g}")
    for name in (name for name in rows.column_names if pa.types.is_dictionary(rows[name].type)):
        most = {"targets": MAX_WORD, "problem": MAX_WORD // 10}.get(name, MAX_WORD // 500)
        if longest(rows[name]) > most:
            raise ValueError(f"it has {name} of more than {most:,} bytes")
        if any(pc.any(pc.match_substring(c.dictionary, "\0")).as_py() for c in rows[name].chunks):
            raise ValueError(f"it has {name} with null bytes, which end words in digests")
    if {"converged_at", "updates_done"} <= there and pc.any(
        pc.greater(rows["converged_at"], rows["updates_done"])
    ).as_py():
        raise ValueError("it holds runs that converged after their last update")
    if len(numbers := lengths(rows)) > 1 or numbers == {0}:
        raise ValueError("its runs have other numbers of outputs, or none")


def fill(rows: pa.Table, wanted: Sequence[Column]) -> pa.Table:
    """Add the columns `wanted` that rows of an older file lack, with their default or null."""
    there = {*rows.column_names}
    for column in wanted:
        if column.name not in there:
            field = schema().field(column.name)
            rows = rows.append_column(field, stand_in(column.name, field.type, rows.num_rows))
    return rows.select(in_order(rows.column_names))


def read(file: Path, names: Sequence[str] | None = None) -> tuple[pa.Table, dict[str, str]]:
    """Read the rows of a file like `read_as_written`, and add columns that an older file lacks."""
    rows, metadata = read_as_written(file, names)
    filled = fill(rows, [c for c in columns.COLUMNS if names is None or c.name in names])
    return filled.select(names) if names else filled, metadata


class Comparison:
    """Compares files that share seeds. The rows of the last two are kept: one may have many."""

    def __init__(self, tick: Callable[[str], None] = lambda what: None) -> None:
        self._tick, self._counter = tick, count(1)
        self._kept: dict[Path, tuple[pa.Table, dict[str, str]]] = {}

    def fuller(self, one: RunFile, other: RunFile) -> RunFile | None:
        """Choose the file that has all columns of the other, of two that share seeds of a setup.

        Which problem it was trained on counts as a column. If both have all, the first. None if
        neither has, values of shared seeds and columns differ, or their numerics versions do.

        Raises
        ------
        DamagedFileError
            If one of them is damaged.
        """
        names, others = (
            {*table.column_names, *[None] * ("fastbp.problem" in said)}  # None: no column's name
            for table, said in self._read(one, other)
        )
        if not (names <= others or others <= names) or not self.agree(one, other):
            return None
        return one if others <= names else other

    def agree(self, one: RunFile, other: RunFile) -> bool:
        """Whether shared seeds and columns, and problems, are the same. Raises DamagedFileError."""
        (a, said), (b, more) = self._read(one, other)
        shared = in_order({*a.column_names} & {*b.column_names})
        start, stop = max(one.start, other.start), min(one.stop, other.stop)
        a = a.select(shared).slice(start - one.start, stop - start)
        b = b.select(shared).slice(start - other.start, stop - start)
        return same(a, b) and all(
            len({said.get(key), more.get(key)} - {None}) < 2
            for key in ("fastbp.numerics", "fastbp.problem")
        )

    def _read(self, *files: RunFile) -> list[tuple[pa.Table, dict[str, str]]]:
        self._tick(f"comparing files that share seeds: {next(self._counter):,}")
        self._kept = {f.path: self._kept.get(f.path) or read_as_written(f.path) for f in files}
        return [self._kept[file.path] for file in files]
