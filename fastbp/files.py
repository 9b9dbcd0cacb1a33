"""Files of runs: how one is named, sealed, written and read. Needs neither Numba nor the engine: reports read them too."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shlex
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.columns import COLUMNS, RESULT_COLUMNS, SETUP_COLUMNS, Column, schema
from fastbp.outcomes import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

FILE_NAME = re.compile(r"(?P<setup>[0-9a-f]{12})-(?P<start>\d{1,19})-(?P<count>\d{1,19})-(?P<digest>[0-9a-f]{16})\.parquet")

_MEASURED = [c.name for c in RESULT_COLUMNS if c.kind == "real"]
_REPEATED = [c.name for c in COLUMNS if c.name not in _MEASURED and c.name not in ("seed", "outputs")]

# A file ends with its footer, the footer's length in four bytes, and four letters.
_TAIL = 8

_SEAL = b"fastbp:1"
_SEAL_BYTES = len(_SEAL) + hashlib.sha256().digest_size


class StoreError(Exception):
    """A store that cannot be used, in one line: locked, of another version, or not a store at all. Exit code 3."""


class FileError(ValueError):
    """A file of runs that is of no use, in one line."""

    def __init__(self, file: Path, why: object) -> None:
        self.file, self.why = file, str(why).partition("\n")[0]
        super().__init__(f"{file} cannot be read: {self.why}")


class DamagedFileError(FileError):
    """A file of runs that is not as it was written, and the remedy, in one line."""

    def __init__(self, file: Path, why: object) -> None:
        super().__init__(file, why)
        self.args = (f"{file} is damaged ({self.why}): {remedy(file.parent.parent)}",)


def runs_folder(store: Path) -> Path:
    """Where a store has its runs. Raises FileNotFoundError, in one line, where it is no store."""
    if not os.path.isdir(store / "runs"):
        why = "is no store: it has no folder runs" if os.path.exists(store) else "is not there"
        raise FileNotFoundError(f"{store} {why}")
    return store / "runs"


def remedy(store: Path) -> str:
    """What helps a store that is not sound."""
    return f"`fastbp verify {shlex.quote(str(store))} --repair` moves such files aside, and the same sweep makes them anew"


def name_of(setup: str, start: int, rows: pa.Table, whole: str) -> str:
    """The name of the file of these rows, whose digest is `whole`."""
    return f"{setup}-{start}-{rows.num_rows}-{whole[:16]}.parquet"


def digest(rows: pa.Table) -> str:
    """sha256 (64 hex digits) over decoded rows: what they say, not how a library version happens to have written it.

    First the number of rows, then column by column in the order of `fastbp.columns`: its name; of words, their sorted set; one
    byte a row for null or not; its values, nulls as zero, as little-endian int64, float64 or bytes 0 and 1, words as the int32
    place of each in their set, lists as the int32 length of each and then all float32 in a row. Where one of these is the same
    bits in every row, it counts as one row. Names and words end with a zero byte.
    """
    hasher = hashlib.sha256(str(rows.num_rows).encode())
    for column in COLUMNS:
        hasher.update(b"\0" + column.name.encode() + b"\0")
        for content in _contents(column, rows.column(column.name).combine_chunks()):
            if isinstance(content, bytes):
                hasher.update(content)
                continue
            bits = content.view(f"u{content.itemsize}")  # 0.0 and −0.0 are two values
            alike = len(bits) == rows.num_rows and bool((bits == bits[:1]).all())
            hasher.update((content[:1] if alike else content).data)
    return hasher.hexdigest()


def _contents(column: Column, values: pa.Array, words: Sequence[str] = ()) -> Iterator[bytes | NDArray[Any]]:
    """What is hashed of a column: of words their set (by default those that occur, and `words` is not hashed), whether each value
    is valid, and the values, [row]."""
    import pyarrow as pa

    valid = values.null_count == 0
    codes: Any = None
    if column.kind == "word":
        coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        codes = (coded.indices if valid else coded.indices.fill_null(-1)).to_numpy(zero_copy_only=False)
        own = coded.dictionary.to_pylist()
        used = words or sorted({own[code] for code in np.flatnonzero(np.bincount(codes[codes >= 0]))})
        places = np.array([used.index(word) if word in used else 0 for word in own] or [0], "<i4")
        codes = np.where(codes < 0, 0, places[codes])
        if not words:
            yield "\0".join(used).encode() + b"\0"
    yield np.ones(len(values), "u1") if valid else _plain(values.is_valid(), "u1")
    match column.kind:
        case "word":
            yield codes
        case "reals":
            lengths = values.value_lengths()
            yield _plain(lengths if valid else lengths.fill_null(0), "<i4")
            yield _plain(values.flatten(), "<f4")
        case kind:
            zero: Any = False if kind == "flag" else 0
            yield _plain(values if valid else values.fill_null(zero), {"integer": "<i8", "real": "<f8", "flag": "u1"}[kind])


def _plain(values: pa.Array, dtype: str) -> NDArray[Any]:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False), dtype)


class RowsHash:
    """sha256 over all rows of a setup in the order of their seeds, however they lie in files: of the sha256 of its keys as JSON,
    and of those of each column of results: of one byte a row for null or not, of lists of their lengths, and of the values as in
    `digest`, outcomes by their place in `OUTCOMES`."""

    def __init__(self, rows: pa.Table) -> None:
        """`rows`: some of the setup's, for its keys."""
        keys = rows.slice(0, 1).select(["setup", *(c.name for c in SETUP_COLUMNS)]).to_pylist()[0]
        self.keys = json.dumps(keys, sort_keys=True)
        self._hashers = {
            c: [hashlib.sha256() for _ in range(2 + (c.kind == "reals"))] for c in RESULT_COLUMNS if c.name != "setup"
        }

    def update(self, rows: pa.Table) -> None:
        """Add the rows that come next."""
        for column, hashers in self._hashers.items():
            words = [str(outcome) for outcome in OUTCOMES] if column.kind == "word" else ()
            parts = _contents(column, rows.column(column.name).combine_chunks(), words)
            for hasher, content in zip(hashers, parts, strict=True):
                assert not isinstance(content, bytes)
                hasher.update(content.data)

    def digest(self) -> bytes:
        """Of what was added so far."""
        whole = hashlib.sha256(hashlib.sha256(self.keys.encode()).digest())
        for hasher in chain.from_iterable(self._hashers.values()):
            whole.update(hasher.digest())
        return whole.digest()


def encode(rows: pa.Table, said: dict[str, str]) -> tuple[bytes, str]:
    """A file of runs in memory, and the digest of its rows. `said`: what its footer says of itself besides.

    Pages carry checksums; measures are split by byte, words and what repeats are dictionaries: about 23 bytes a row.
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
    """A Parquet file with a sha256 of all its other bytes before its footer, where readers look only for what the footer names.

    Checksums of pages cover neither their headers nor the footer, and there one flipped bit can give a column the values of
    another.
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
    """All bytes of a file of runs, held against their seal, and what its footer says of it, held against its name.

    Raises DamagedFileError, and FileError where nobody can tell whether it is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file() and os.path.lexists(file):  # a folder, a pipe that would never end, a link that leads nowhere
        raise DamagedFileError(file, "it is no file")
    try:
        content = file.read_bytes()
    except OSError as error:
        kind = DamagedFileError if error.errno == errno.EIO else FileError
        raise kind(file, error.strerror or error) from error
    try:
        if not _is_whole(content):
            raise ValueError("its bytes are not those that were written" if content else "it is empty")
        found: dict[bytes, bytes] = pq.read_schema(pa.BufferReader(content)).metadata or {}
        said = {key.decode(): value.decode() for key, value in found.items()}
        match = FILE_NAME.fullmatch(file.name)
        if match and not said.get("fastbp.digest", "").startswith(match["digest"]):
            raise ValueError("its rows are not those of its name")
    except (OSError, pa.ArrowException, ValueError) as error:  # a name that is no text is a ValueError
        raise DamagedFileError(file, error) from error
    return content, said


def write(target: Path, content: bytes, drafts: Path | None = None) -> Path:
    """Write a file, whole or not at all, by way of a draft in `drafts`, a folder on the same disk: by default the file's own.

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
        raise OSError(error.errno, error.strerror, str(target)) from error  # nobody asked for the draft
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
    """The rows of a file, all columns or these, and what its footer says of it. Raises as `contents`."""
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
    except (OSError, pa.ArrowException, ValueError) as error:  # a name that is no text is a ValueError
        raise DamagedFileError(file, error) from error
    return rows, said


def overlapping(of: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Pairs of files that have seeds of a setup in common, by their names. Without the second of every pair none would."""
    named = [(match, file) for file in of if (match := FILE_NAME.fullmatch(file.name))]
    ranges = sorted((match["setup"], int(match["start"]), -int(match["count"]), file) for match, file in named)
    setup, end, last = "", 0, Path()
    for own, start, negative, file in ranges:
        if own == setup and start < end:
            yield last, file
        else:
            setup, end, last = own, start - negative, file


def listed(folder: Path) -> Iterator[Path]:
    """The files of runs in a folder, by name; others have other names. None where there is no such folder.

    Raises OSError where it cannot be read: runs that nobody sees would be trained again.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (folder / name for name in sorted(names) if FILE_NAME.fullmatch(name))


def read_all(store: Path) -> pa.Table:
    """All runs of a store. Raises StoreError where there are none, where a file is damaged, where two files have the same seeds
    of a setup, and where they are of several numerics versions."""
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
        raise StoreError(f"{store} holds runs of numerics versions {' and '.join(sorted(versions))}, which do not mix")
    for one, other in overlapping(named):
        raise StoreError(f"{one} and {other.name} have seeds in common: {remedy(store)}")
    return pa.concat_tables(tables).unify_dictionaries()


def _held_against(name: re.Match[str], rows: pa.Table) -> None:
    """Raise ValueError where rows are not those that the name of their file promises, as far as their columns tell."""
    start, count = int(name["start"]), int(name["count"])
    if rows.num_rows != count or not count:
        raise ValueError(f"it has {rows.num_rows} rows")
    if "setup" in rows.column_names and (setups := rows["setup"].unique().to_pylist()) != [name["setup"]]:
        raise ValueError(f"it holds runs of setup {' and '.join(map(str, setups))}")
    if "seed" in rows.column_names and not np.array_equal(rows["seed"].to_numpy(), np.arange(start, start + count)):
        raise ValueError("its seeds are not those of its name")
