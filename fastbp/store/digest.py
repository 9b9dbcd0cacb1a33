"""Digests of decoded rows: what they say, not how a library version wrote them."""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.schema.columns import COLUMNS, RESULT_COLUMNS, SETUP_COLUMNS, Column
from fastbp.schema.outcomes import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray


def digest(rows: pa.Table) -> str:
    """sha256 (64 hex digits) over decoded rows: what they say, not how a library version happens to
    have written it.

    First the number of rows, then column by column in the order of `fastbp.schema.columns`: its
    name; of words, their sorted set; one byte a row for null or not; its values, nulls as zero, as
    little-endian int64, float64 or bytes 0 and 1, words as the int32 place of each in their set,
    lists as the int32 length of each and then all float32 in a row. Where one of these is the same
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


def _contents(
    column: Column, values: pa.Array, words: Sequence[str] = ()
) -> Iterator[bytes | NDArray[Any]]:
    """What is hashed of a column: of words their set (by default those that occur, and `words` is
    not hashed), whether each value is valid, and the values, [row].
    """
    import pyarrow as pa

    valid = values.null_count == 0
    codes: Any = None
    if column.kind == "word":
        coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        codes = (coded.indices if valid else coded.indices.fill_null(-1)).to_numpy(
            zero_copy_only=False
        )
        own = coded.dictionary.to_pylist()
        used = words or sorted(
            {own[code] for code in np.flatnonzero(np.bincount(codes[codes >= 0]))}
        )
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
            yield _plain(
                values if valid else values.fill_null(zero),
                {"integer": "<i8", "real": "<f8", "flag": "u1"}[kind],
            )


def _plain(values: pa.Array, dtype: str) -> NDArray[Any]:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False), dtype)


class RowsHash:
    """sha256 over all rows of a setup in the order of their seeds, however they lie in files: of
    the sha256 of its keys as JSON, and of those of each column of results: of one byte a row for
    null or not, of lists of their lengths, and of the values as in `digest`, outcomes by their
    place in `OUTCOMES`.
    """

    def __init__(self, rows: pa.Table) -> None:
        """`rows`: some of the setup's, for its keys."""
        keys = rows.slice(0, 1).select(["setup", *(c.name for c in SETUP_COLUMNS)]).to_pylist()[0]
        self.keys = json.dumps(keys, sort_keys=True)
        self._hashers = {
            c: [hashlib.sha256() for _ in range(2 + (c.kind == "reals"))]
            for c in RESULT_COLUMNS
            if c.name != "setup"
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
