"""Digests of rows: they depend on the values, not on how a library encodes them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fastbp.schema import columns
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.outcomes import OUTCOMES

KEY_COLUMNS = ["setup", *(column.name for column in SETUP_COLUMNS)]
"""The columns of the setup's id and keys, which are the same in all rows of a setup."""


def digest(rows: pa.Table) -> str:
    """Compute the digest of rows of the table of runs, such as those of a file.

    Parameters
    ----------
    rows : pa.Table
        Any columns of runs, also columns that this fastbp does not know.

    Returns
    -------
    str
        sha256, 64 hex digits.

    Notes
    -----
    The hash covers the number of rows, then each column in the order of `fastbp.schema.columns`,
    then unknown columns by name. Of a column it covers: its name; for words, their sorted set; one
    byte for each row, null or not; the values, with zero for null, as little-endian int64, float64
    or bytes 0 and 1; words as int32 positions in their set; lists as the int32 length of each, then
    all float32. If a part has the same bits in every row, it counts as one row. Names and words end
    with a zero byte.
    """
    hasher = hashlib.sha256(str(rows.num_rows).encode())
    for name in in_order(rows.column_names):
        hasher.update(b"\0" + name.encode() + b"\0")
        for content in _contents(rows.column(name).combine_chunks()):
            if isinstance(content, bytes):
                hasher.update(content)
                continue
            bits = content.view(f"u{content.itemsize}")  # 0.0 and −0.0 are two values
            constant = len(bits) == rows.num_rows and bool((bits == bits[:1]).all())
            hasher.update((content[:1] if constant else content).data)
    return hasher.hexdigest()


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables with the same columns have the same types, and the same bits in all rows.

    Two files can be made for each other that have one digest and other rows: `digest` does not say
    which parts it covers once, nor the types.
    """
    return one.num_rows == other.num_rows and all(
        a.type == b.type
        and [*map(bytes, _contents(a.combine_chunks()))]
        == [*map(bytes, _contents(b.combine_chunks()))]
        for a, b in zip(one.columns, other.columns, strict=True)
    )


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names of columns: those of the schema in its order, then unknown ones by name."""
    places = {column.name: place for place, column in enumerate(columns.COLUMNS)}
    return sorted(names, key=lambda name: (places.get(name, len(places)), name))


def stand_in(name: str, kind: pa.DataType, count: int) -> pa.Array:
    """Make `count` values for a column that a file lacks: its default, or null."""
    default = next((c.default for c in columns.COLUMNS if c.name == name), None)
    if default is None:
        return pa.nulls(count, kind)
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [default])
    return pa.repeat(pa.scalar(default, kind), count)


def _contents(values: pa.Array, words: Sequence[str] = ()) -> Iterator[bytes | NDArray[Any]]:
    """Yield the parts of a column that are hashed: words, one byte for each row, values.

    `words`: all words that the column may have, in order. If it is empty, the words in the column
    take its place, and are the first part.
    """
    if values.type == pa.string():
        values = values.dictionary_encode()
    elif pa.types.is_dictionary(values.type) and len(values) < len(values.dictionary):
        values = _trimmed(values)  # a slice has all words
    valid = values.null_count == 0
    codes: Any = None
    if pa.types.is_dictionary(values.type):
        codes = (values.indices if valid else values.indices.fill_null(-1)).to_numpy(
            zero_copy_only=False
        )
        dictionary = values.dictionary.to_pylist()
        used = words or sorted(
            {dictionary[code] for code in np.flatnonzero(np.bincount(codes[codes >= 0]))}
        )
        at = {word: place for place, word in enumerate(used)}
        codes = np.where(
            codes < 0, 0, np.array([at.get(word, 0) for word in dictionary] or [0], "<i4")[codes]
        )
        if not words:
            yield "\0".join(used).encode() + b"\0"
    yield np.ones(len(values), "u1") if valid else _plain(values.is_valid(), "u1")
    if codes is not None:
        yield codes
    elif pa.types.is_list(values.type):
        lengths = values.value_lengths()
        yield _plain(lengths if valid else lengths.fill_null(0), "<i4")
        yield _plain(values.flatten(), "<f4")
    else:
        flag = pa.types.is_boolean(values.type)
        dtype = "u1" if flag else "<i8" if pa.types.is_integer(values.type) else "<f8"
        yield _plain(values if valid else values.fill_null(False if flag else 0), dtype)


def _plain(values: pa.Array, dtype: str) -> NDArray[Any]:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False), dtype)


def part(rows: pa.Table, start: int, count: int) -> pa.Table:
    """Some rows, without words that only others have: a slice has those of all rows."""
    columns = (
        _trimmed(column.combine_chunks()) if pa.types.is_dictionary(column.type) else column
        for column in rows.slice(start, count).columns
    )
    return pa.Table.from_arrays([*columns], schema=rows.schema)


def _trimmed(values: pa.Array) -> pa.Array:
    used = values.indices.unique().drop_null().sort()
    return pa.DictionaryArray.from_arrays(
        pc.index_in(values.indices, used), values.dictionary.take(used)
    )


def keys_of(rows: pa.Table) -> dict[str, Any]:
    """The columns `KEY_COLUMNS` of the first row, as far as they exist, by name."""
    return next(
        iter(rows.slice(0, 1).select([*({*rows.column_names} & {*KEY_COLUMNS})]).to_pylist()), {}
    )


def lengths(rows: pa.Table) -> set[int]:
    """The numbers of outputs that runs have. Older files lack the outputs."""
    if "outputs" not in rows.column_names:
        return set()
    return {*pc.list_value_length(rows["outputs"]).unique().to_pylist()} - {None}


class RowsHash:
    """Computes the sha256 of all rows of a setup, which are added in the order of seeds.

    It does not depend on how the rows are divided into files.

    Notes
    -----
    The hash covers the sha256 of the setup's id and keys as JSON. Then it covers, for each column
    of results, the sha256 of one byte for each row, null or not; for lists the sha256 of their
    lengths; and the sha256 of the values as in `digest`, but outcomes by their position in
    `OUTCOMES`, and other words as text. Only columns that some file of the setup has count; files
    that lack one of these have its default or null.
    """

    def __init__(self) -> None:
        self._keys: dict[str, Any] = {}
        self._columns: dict[str, tuple[pa.DataType, list[Any]]] = {}
        self._rows, self._done = 0, dict[str, int]()

    def update(self, rows: pa.Table) -> None:
        """Add the next rows, with the columns that their file has."""
        self._keys |= keys_of(rows)
        for name in {*rows.column_names} - {*KEY_COLUMNS}:
            if name not in self._columns:
                kind = rows.schema.field(name).type
                self._columns[name] = (
                    kind,
                    [hashlib.sha256() for _ in range(2 + pa.types.is_list(kind))],
                )
            self._catch_up(name)
            self._hash(name, rows[name].combine_chunks())
        self._rows += rows.num_rows

    def _catch_up(self, name: str) -> None:
        """Hash what files without a column have: a stranger's may each have thousands of others."""
        if count := self._rows - self._done.get(name, 0):
            self._hash(name, stand_in(name, self._columns[name][0], count))

    def _hash(self, name: str, values: pa.Array) -> None:
        contents = [*_contents(values, [str(outcome) for outcome in OUTCOMES])]
        kind, hashers = self._columns[name]
        if name != "outcome" and str(kind).startswith("dictionary"):  # other words have no places
            del contents[-1]
            for at in range(0, len(values), 10_000):  # all at once may be gigabytes
                hashers[-1].update(
                    "".join(f"{word}\0" for word in values[at : at + 10_000].to_pylist()).encode()
                )
        # a file with another type has more or fewer: it is at fault, and the hash of no use
        for hasher, content in zip(hashers, contents, strict=False):
            hasher.update(content)
        self._done[name] = self._done.get(name, 0) + len(values)

    def digest(self) -> bytes:
        """The sha256, 32 bytes, over all rows so far."""
        total = hashlib.sha256(
            hashlib.sha256(json.dumps(self._keys, sort_keys=True).encode()).digest()
        )
        for name in in_order(self._columns):
            self._catch_up(name)
            for hasher in self._columns[name][1]:
                total.update(hasher.digest())
        return total.digest()
