"""Files of runs: how one is named, sealed, written and read. Needs neither Numba nor the engine:
reports read them too.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fastbp.schema.columns import COLUMNS, RESULT_COLUMNS, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
from fastbp.schema.errors import DamagedFileError, FileError, StoreError, remedy
from fastbp.store.digest import digest
from fastbp.store.filename import FILE_NAME, _held_against, listed, overlapping

_MEASURED = [c.name for c in RESULT_COLUMNS if c.kind == "real"]
_REPEATED = [
    c.name for c in COLUMNS if c.name not in _MEASURED and c.name not in ("seed", "outputs")
]

# A file ends with its footer, the footer's length in four bytes, and four letters.
_TAIL = 8

_SEAL = b"fastbp:1"
_SEAL_BYTES = len(_SEAL) + hashlib.sha256().digest_size


def encode(rows: pa.Table, said: dict[str, str]) -> tuple[bytes, str]:
    """A file of runs in memory, and the digest of its rows. `said`: what its footer says of itself
    besides.

    Pages carry checksums; measures are split by byte, words and what repeats are dictionaries:
    about 23 bytes a row.
    """
    import pyarrow.parquet as pq

    whole = digest(rows)
    buffer = io.BytesIO()
    pq.write_table(
        rows.replace_schema_metadata({**said, "fastbp.digest": whole}),
        buffer,
        compression="zstd",
        use_dictionary=_REPEATED,
        column_encoding=dict.fromkeys(_MEASURED, "BYTE_STREAM_SPLIT"),
        write_page_checksum=True,
        row_group_size=65_536,
    )
    return sealed(buffer.getvalue()), whole


def sealed(content: bytes) -> bytes:
    """A Parquet file with a sha256 of all its other bytes before its footer, where readers look
    only for what the footer names.

    Checksums of pages cover neither their headers nor the footer, and there one flipped bit can
    give a column the values of another.
    """
    at = _footer(content)
    return content[:at] + _SEAL + hashlib.sha256(content).digest() + content[at:]


def _footer(content: bytes) -> int:
    return len(content) - _TAIL - int.from_bytes(content[-_TAIL : -_TAIL + 4], "little")


def _is_whole(content: bytes) -> bool:
    end = _footer(content)
    start = end - _SEAL_BYTES
    if start < 0 or content[start : start + len(_SEAL)] != _SEAL:
        return False
    view = memoryview(content)
    hasher = hashlib.sha256(view[:start])
    hasher.update(view[end:])
    return hasher.digest() == content[start + len(_SEAL) : end]


def contents(file: Path) -> tuple[bytes, dict[str, str]]:
    """All bytes of a file of runs, held against their seal, and what its footer says of it, held
    against its name.

    Raises DamagedFileError, and FileError where nobody can tell whether it is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file() and os.path.lexists(
        file
    ):  # a folder, a pipe that would never end, a link that leads nowhere
        raise DamagedFileError(file, "it is no file")
    try:
        content = file.read_bytes()
    except OSError as error:
        kind = DamagedFileError if error.errno == errno.EIO else FileError
        raise kind(file, error.strerror or error) from error
    try:
        if not _is_whole(content):
            raise ValueError(
                "its bytes are not those that were written" if content else "it is empty"
            )
        found: dict[bytes, bytes] = pq.read_schema(pa.BufferReader(content)).metadata or {}
        said = {key.decode(): value.decode() for key, value in found.items()}
        match = FILE_NAME.fullmatch(file.name)
        if match and not said.get("fastbp.digest", "").startswith(match["digest"]):
            raise ValueError("its rows are not those of its name")
    except (
        OSError,
        pa.ArrowException,
        ValueError,
    ) as error:  # a name that is no text is a ValueError
        raise DamagedFileError(file, error) from error
    return content, said


def write(target: Path, content: bytes, drafts: Path | None = None) -> Path:
    """Write a file, whole or not at all, by way of a draft in `drafts`, a folder on the same disk:
    by default the file's own.

    Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = (drafts or target.parent) / f"{target.name}.{os.getpid()}.draft"
    try:
        with open(draft, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except OSError as error:
        raise OSError(
            error.errno, error.strerror, str(target)
        ) from error  # nobody asked for the draft
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return target


def read(file: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, dict[str, str]]:
    """The rows of a file, all columns or these, and what its footer says of it. Raises as
    `contents`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content, said = contents(file)
    try:
        with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as opened:
            rows = opened.read(columns, use_threads=False)
        expected = pa.schema([schema().field(name) for name in columns or schema().names])
        if not rows.schema.remove_metadata().equals(expected):
            raise ValueError("its columns are not those of runs")
        if match := FILE_NAME.fullmatch(file.name):
            _held_against(match, rows)
    except (
        OSError,
        pa.ArrowException,
        ValueError,
    ) as error:  # a name that is no text is a ValueError
        raise DamagedFileError(file, error) from error
    return rows, said


def read_all(store: Path) -> pa.Table:
    """All runs of a store. Raises StoreError where there are none, where a file is damaged, where
    two files have the same seeds of a setup, and where they are of several numerics versions.
    """
    import pyarrow as pa

    tables, versions = [], set()
    named = [*listed(store / "runs")]
    for file in named:
        try:
            rows, said = read(file)
        except FileError as error:
            raise StoreError(str(error)) from error
        tables.append(rows)
        versions.add(said.get("fastbp.numerics", "none"))
    if not tables:
        raise StoreError(f"{store} holds no runs")
    if len(versions) > 1:
        raise StoreError(
            f"{store} holds runs of numerics versions {' and '.join(sorted(versions))}, which do not mix"
        )
    for one, other in overlapping(named):
        raise StoreError(f"{one} and {other.name} have seeds in common: {remedy(store)}")
    return pa.concat_tables(tables).unify_dictionaries()
