"""Blocks ↔ disk. A run exists when a complete file with it lies in `runs/`: there is no journal, and no mark to go stale."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fastbp import __version__
from fastbp.columns import COLUMNS, RESULT_COLUMNS, schema
from fastbp.engine.plan import Range
from fastbp.kernels import NUMERICS_VERSION

FILE_NAME = re.compile(r"(?P<setup>[0-9a-f]{12})-(?P<start>\d+)-(?P<count>\d+)-(?P<digest>[0-9a-f]{16})\.parquet")

_MEASURED = [c.name for c in RESULT_COLUMNS if c.kind == "real"]
_REPEATED = [c.name for c in COLUMNS if c.name not in _MEASURED and c.name not in ("seed", "outputs")]


class StoreError(Exception):
    """A store that cannot be used, in one line: locked, of another version, or not a store at all. Exit code 3."""


class StoreFullError(Exception):
    """Nothing more can be written, in one line. Exit code 4."""


def digest(rows: pa.Table) -> str:
    """sha256 (64 hex digits) over decoded rows: what they say, not how a library version happens to have written it.

    First the number of rows, then column by column in the order of `fastbp.columns`: its name; of words, their sorted set; one
    byte a row for null or not; its values, nulls as zero, as little-endian int64, float64 or bytes 0 and 1, words as the int32
    place of each in their set, lists as the int32 length of each and then all float32 in a row. Where one of these is the same
    bits in every row, it counts as one row. Names and words end with a zero byte.
    """
    hasher = hashlib.sha256(str(rows.num_rows).encode())
    for column in COLUMNS:
        values = rows.column(column.name).combine_chunks()
        hasher.update(b"\0" + column.name.encode() + b"\0")
        parts = [(values.is_valid(), "u1")]
        match column.kind:
            case "word":
                coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
                codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
                words = coded.dictionary.to_pylist()
                used = sorted({words[code] for code in np.unique(codes) if code >= 0})
                places = np.array([used.index(word) if word in used else 0 for word in words] or [0], np.int32)
                hasher.update("\0".join(used).encode() + b"\0")
                parts.append((np.where(codes < 0, 0, places[codes]), "<i4"))
            case "reals":
                parts += [(values.value_lengths().fill_null(0), "<i4"), (values.flatten(), "<f4")]
            case kind:
                zero: Any = False if kind == "flag" else 0
                parts.append((values.fill_null(zero), {"integer": "<i8", "real": "<f8", "flag": "u1"}[kind]))
        for part, dtype in parts:
            plain = part if isinstance(part, np.ndarray) else part.to_numpy(zero_copy_only=False)
            content = np.ascontiguousarray(plain, dtype)
            bits = content.view(f"u{content.itemsize}")  # 0.0 and −0.0 are two values
            alike = len(bits) == rows.num_rows and bool((bits == bits[:1]).all())
            hasher.update((content[:1] if alike else content).tobytes())
    return hasher.hexdigest()


def encode(rows: pa.Table) -> tuple[bytes, str]:
    """A file of runs in memory, and the digest of its rows.

    Pages carry checksums; measures are split by byte, words and what repeats are dictionaries: about 23 bytes a row.
    """
    whole = digest(rows)
    metadata = {"fastbp.version": __version__, "fastbp.numerics": str(NUMERICS_VERSION), "fastbp.digest": whole}
    buffer = io.BytesIO()
    pq.write_table(
        rows.replace_schema_metadata(metadata),
        buffer,
        compression="zstd",
        use_dictionary=_REPEATED,
        column_encoding=dict.fromkeys(_MEASURED, "BYTE_STREAM_SPLIT"),
        write_page_checksum=True,
        row_group_size=65_536,
    )
    return buffer.getvalue(), whole


class Store:
    """A folder of results. Only one driver writes to it at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.runs = self.path / "runs"

    def look(self) -> None:
        """See that the path is a store or may become one, and write nothing.

        Raises StoreError where it is something else or holds runs of another numerics version.
        """
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file, not a store: choose another place with -o")
        if self.path.is_dir() and not self._is_ours():
            raise StoreError(f"{self.path} is a folder with other things in it, not a store: choose another with -o")
        for file in self.files():
            self._check_version(_metadata(file), "choose another folder with -o")
            break  # a store holds one version

    def open(self) -> None:
        """Make the folders where they are missing. Raises as `look` does, and StoreFullError where it cannot be written."""
        self.look()
        with _writing(self.path):
            for folder in (self.path, self.runs, self.path / "tmp"):
                folder.mkdir(parents=True, exist_ok=True)

    def _is_ours(self) -> bool:
        """Whether a folder is a store, one that has only begun or one of which only the tables were kept, rather than anybody's:
        files that go by our names would be written over."""
        names = {entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")}
        begun = {"runs", "tmp", "lock", "problems", "replays"}
        return names <= begun or ("sweep.toml" in names and not names.isdisjoint({"runs", "made.json", "summary.csv"}))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store's lock. Raises StoreError at once where another driver has it; a dead one's never blocks."""
        try:
            import fcntl
        except ImportError:
            raise StoreError("stores need file locks (fcntl), which Windows lacks: run fastbp inside WSL") from None
        with _writing(self.path / "lock"):
            lock: IO[str] = open(self.path / "lock", "a+")  # noqa: SIM115  closed below, which unlocks
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                raise StoreError(
                    f"{self.path} is in use by {lock.read().strip() or 'another run'}: wait for it, or choose -o"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
            lock.flush()
            for left in (self.path / "tmp").iterdir():  # of a run that was killed while it wrote
                left.unlink(missing_ok=True)
            yield
        finally:
            lock.close()

    def files(self) -> Iterator[Path]:
        """The files of runs."""
        return (file for file in sorted(self.runs.glob("*.parquet")) if FILE_NAME.fullmatch(file.name))

    def present(self) -> dict[str, list[Range]]:
        """Which seeds of each setup there are, by the names of the files."""
        ranges: dict[str, list[Range]] = defaultdict(list)
        for file in self.files():
            match = FILE_NAME.fullmatch(file.name)
            assert match
            ranges[match["setup"]].append((int(match["start"]), int(match["count"])))
        return ranges

    def run(self, setup: str, seed: int) -> pa.Table:
        """One run that is there by the name of a file, as a table of one row; no file of another range is opened.

        Raises StoreError where the file is damaged or of another numerics version, and where two files have the run.
        """
        found = []
        for file in self.files():
            match = FILE_NAME.fullmatch(file.name)
            if not match or match["setup"] != setup or not 0 <= seed - int(match["start"]) < int(match["count"]):
                continue
            metadata = _metadata(file)
            self._check_version(metadata, f"fastbp {metadata.get('fastbp.version', 'that made them')} replays them")
            rows = _whole(file)
            found.append(rows.filter(pc.equal(rows["seed"], seed)))
        times = sum(table.num_rows for table in found)
        if times != 1:
            raise StoreError(f"{self.runs} is not sound: it has seed {seed} of setup {setup} {times} times, not once")
        return pa.concat_tables(found)

    def _check_version(self, metadata: dict[str, str], remedy: str) -> None:
        version = metadata.get("fastbp.numerics")
        if version != str(NUMERICS_VERSION):
            raise StoreError(
                f"{self.path} holds runs of numerics version {version}, this fastbp makes version {NUMERICS_VERSION}: {remedy}"
            )

    def read(self) -> pa.Table:
        """All runs, every file held against its digest.

        Raises StoreError where there are none, where a file is damaged, and where they are of several numerics versions.
        """
        tables = [_whole(file) for file in sorted(self.files())]
        if not tables:
            raise StoreError(f"{self.path} holds no runs")
        versions = {(table.schema.metadata or {}).get(b"fastbp.numerics", b"none").decode(errors="replace") for table in tables}
        if len(versions) > 1:
            raise StoreError(f"{self.path} holds runs of numerics versions {' and '.join(sorted(versions))}, which do not mix")
        return pa.concat_tables(tables).unify_dictionaries()

    def check(self) -> None:
        """Read every file of runs. Raises StoreError where one is damaged."""
        for file in self.files():
            _whole(file)

    def publish(self, setup: str, start: int, rows: pa.Table) -> Path:
        """Write a file of runs: it is there whole, or not at all. Raises StoreFullError where the disk takes no more."""
        content, whole = encode(rows)
        return self.write(self.runs / f"{setup}-{start}-{rows.num_rows}-{whole[:16]}.parquet", content)

    def write(self, target: Path, content: bytes) -> Path:
        """Write any file of the store by way of `tmp/`, so that nobody ever sees half of it. Raises StoreFullError."""
        return write(target, content, self.path / "tmp")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreFullError(f"{target} cannot be written: {error.strerror or error}") from error


def write(target: Path, content: bytes, drafts: Path | None = None) -> Path:
    """Write a file, whole or not at all, by way of a draft in `drafts`, a folder on the same disk: by default the file's own.

    Raises StoreFullError.
    """
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = (drafts or target.parent) / f"{target.name}.{os.getpid()}.draft"
        try:
            with open(draft, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, target)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return target


def _whole(file: Path) -> pa.Table:
    """All rows of a file. Page checksums do not cover its footer, so rows are held against the digest in its name.

    Raises StoreError where it is damaged.
    """
    try:
        rows = pq.read_table(file, partitioning=None, page_checksum_verification=True)
        match = FILE_NAME.fullmatch(file.name)
        if not rows.schema.remove_metadata().equals(schema()):
            raise pa.ArrowInvalid("its columns are not those of runs")
        if match and not digest(rows).startswith(match["digest"]):
            raise pa.ArrowInvalid("its rows are not those of its name")
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(file, error) from error
    return rows


def _metadata(file: Path) -> dict[str, str]:
    """What a file says of itself. Raises StoreError where it is damaged."""
    try:
        found: dict[bytes, bytes] = pq.read_schema(file).metadata or {}
        return {key.decode(): value.decode() for key, value in found.items()}
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> StoreError:
    return StoreError(f"{file} is damaged ({str(error).splitlines()[0]}): move it away, and the same sweep makes it anew")
