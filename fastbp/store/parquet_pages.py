"""What a Parquet file unpacks to, by its footer and by the headers of its pages; its seal.

The footer says it, but Arrow unpacks what the headers say. Both are Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md) for the fields
of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SEAL = b"fastbp:1"
_SEAL_BYTES = len(SEAL) + hashlib.sha256().digest_size

MAX_HEADERS, MAX_PAGES = 4_000_000, 100_000
"""Most bytes of a footer and of the headers of all pages together, and most pages, of a file of
runs. To read them takes time and memory."""

MAX_LEAVES, MAX_STRUCTS = 100_000, 1_000_000
"""The most columns of a file, as Arrow takes a kilobyte for each; the most structs of a footer."""

MAX_NAMES = 1 << 23
"""The most bytes of the paths of all columns, if each has the names of all groups before it; Arrow
makes several copies of each."""

_OWN, OWN = b"ARROW:schema", b"ARROW schema"
"""The key of Arrow's own words for the columns of a file, and the one that takes its place."""

# Numbers of fields: of a file, an element of its schema, a row group, a column, what is said of a
# column, and a page.
_SCHEMA, _ALL_ROWS, _GROUPS, _PAIRS, _CREATOR = 2, 3, 4, 5, 6
_KIND, _NAME, _CHILDREN = 1, 4, 5
_COLUMNS, _ROWS = 1, 3
_SAID = 3
_ALL_VALUES, _ALL_UNPACKED, _ALL_PACKED, _FIRST_PAGE, _DICTIONARY = 5, 6, 7, 9, 11
_UNPACKED, _PACKED = 2, 3

# The same of values, of a dictionary, and of values in the second version of the format: the number
# of the field of a page that says it, and of the field of the encoding in there.
_KINDS = {5: 2, 7: 2, 8: 4}
_OF_DICTIONARY = 7
_VALUES = 1

_UNREAD = {6: "DELTA_LENGTH_BYTE_ARRAY", 7: "DELTA_BYTE_ARRAY"}
"""The encodings of texts that are refused, by number; `unpacked` says why."""

_BY_DICTIONARY = (2, 8)
"""The numbers of the encodings by places in a dictionary."""

_INT32, _INT64, _BYTES, _LIST, _STRUCT = 5, 6, 8, 9, 12
_Type = int | list[Any] | dict[int, Any]
"""The type of a field, of a list or a struct by what is in it.

Below are those of all fields that are read here, and of all lists: Arrow passes over a field of
another type, but reads every list as one of what it expects.
"""

_ANY: dict[int, _Type] = {}
_NUMBERS = _ALL_VALUES, _ALL_UNPACKED, _ALL_PACKED, _FIRST_PAGE, _DICTIONARY
_IN_SAID: dict[int, _Type] = {2: [_INT32], 3: [_BYTES], 8: [_ANY], 13: [_ANY]}
_IN_SAID |= {16: {2: [_INT64], 3: [_INT64]}, 17: {2: [_INT32]}} | dict.fromkeys(_NUMBERS, _INT64)
_IN_COLUMN: dict[int, _Type] = {_SAID: _IN_SAID, 8: {2: {1: [_BYTES]}}}
_IN_GROUP: dict[int, _Type] = {_COLUMNS: [_IN_COLUMN], _ROWS: _INT64, 4: [_ANY]}
_IN_SCHEMA: dict[int, _Type] = {_KIND: _INT32, _NAME: _BYTES, _CHILDREN: _INT32}
_IN_FILE: dict[int, _Type] = {_SCHEMA: [_IN_SCHEMA], _GROUPS: [_IN_GROUP]}
_IN_FILE |= {_ALL_ROWS: _INT64, _PAIRS: [{1: _BYTES, 2: _BYTES}], _CREATOR: _BYTES, 7: [_ANY]}
_IN_PAGE: dict[int, _Type] = {_UNPACKED: _INT32, _PACKED: _INT32}
_IN_PAGE |= {kind: {_VALUES: _INT32, encoding: _INT32} for kind, encoding in _KINDS.items()}

_BITS = {4: 16, _INT32: 32, _INT64: 64}
"""How large integers of a type are."""

_RECENT = re.compile(rb"parquet-mr version (1\.([3-9]|\d\d)|[2-9])")
"""Of older versions Arrow reads some bytes more than they say."""


class Unpacked(NamedTuple):
    """What a Parquet file unpacks to. Where footer and headers differ, it is the larger number.

    Attributes
    ----------
    bytes : int
        Those of all pages.
    values : int
        Those of all pages: one of a few bytes may have any number of equal values.
    distinct : dict
        The most different values of each column: those of its dictionaries, and those in none.
    sizes : dict
        The bytes of the pages of each column.
    """

    bytes: int
    values: int
    distinct: dict[str, int]
    sizes: dict[str, int]


def unpacked(content: bytes, most: int = MAX_HEADERS) -> Unpacked:
    """Read the footer and the headers of all pages of a Parquet file.

    Parameters
    ----------
    content : bytes
        The file.
    most : int
        The most bytes of the footer, and of the headers of all pages together.

    Raises
    ------
    ValueError
        If pages cannot be found, the footer, the headers or the number of pages is too large, parts
        of the file contradict each other, or a page has an encoding of texts in which a few bytes
        may stand for any number of them: DELTA_BYTE_ARRAY, where each is a part of the one before
        it and some more, or DELTA_LENGTH_BYTE_ARRAY, where the number of lengths is in the page.
    """
    try:
        columns, values = _columns(content, most)
        size = sum(int(column[_ALL_UNPACKED]) for column in columns)
        pages = _pages(content, columns, most)
        return pages._replace(bytes=max(pages.bytes, size), values=max(pages.values, values))
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("its pages cannot be found") from error


def footer_start(content: bytes | memoryview) -> int:
    """The index of the first byte of the footer of a Parquet file.

    A file ends with its footer, the footer's length in four bytes, and four letters.
    """
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def sealed(content: bytes) -> bytes:
    """Insert a sha256 of all bytes into a Parquet file, before its footer, where readers skip it.

    Checksums of pages do not cover their headers and the footer, where one flipped bit can give a
    column the values of another.
    """
    at = footer_start(content)
    return content[:at] + SEAL + hashlib.sha256(content).digest() + content[at:]


def seal_of(content: bytes) -> bytes:
    """The seal of a file, which begins with `SEAL`; if it is wrong, the sha256 of all bytes."""
    view, footer = memoryview(content), footer_start(content)
    hasher = hashlib.sha256(view[: max(0, footer - _SEAL_BYTES)])
    hasher.update(view[max(0, footer) :])
    seal = SEAL + hasher.digest()
    return (
        seal
        if content[max(0, footer - _SEAL_BYTES) : footer] == seal
        else hashlib.sha256(content).digest()
    )


def opened(content: bytes) -> pq.ParquetFile:
    """Open a Parquet file for Arrow, with text as dictionaries, but not with Arrow's own schema.

    A few bytes of that may stand for gigabytes, as many columns may be stored as the same bytes.
    Without it the types are those of Parquet, which has no durations: they are integers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = pq.read_metadata(
        pa.BufferReader(b"PAR1" + content[footer_start(content) :].replace(_OWN, OWN))
    )
    return pq.ParquetFile(
        pa.BufferReader(content),
        metadata=told,
        read_dictionary=[
            leaf.path
            for leaf in map(told.schema.column, range(told.num_columns))
            if leaf.physical_type == "BYTE_ARRAY"
        ],
        page_checksum_verification=True,
    )


def longest(texts: pa.ChunkedArray) -> int:
    """The bytes of the longest text of a column of `opened`; 0 if it has none."""
    import pyarrow.compute as pc

    return max(
        (pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0 for chunk in texts.chunks),
        default=0,
    )


def _columns(content: bytes, most: int) -> tuple[list[dict[int, Any]], int]:
    """What the footer says of the columns of all row groups, and the number of their values."""
    end = len(content) - 8
    if end < 4 or content[-4:] != b"PAR1":
        raise ValueError("it is no Parquet file")
    length = int.from_bytes(content[-8:-4], "little")
    if length > min(most, end):
        raise ValueError(f"its footer has {length:,} bytes, more than {min(most, end):,}")
    footer = _Thrift(content, end - length, end).struct(_IN_FILE)
    creator = footer.get(_CREATOR, b"").strip().lower()
    if b"parquet-mr" in creator and not _RECENT.match(creator):
        raise ValueError("it was written by an old version of parquet-mr")
    rows = [group[_ROWS] for group in footer[_GROUPS]]
    leaves = [element for element in footer[_SCHEMA][1:] if not element.get(_CHILDREN)]
    above = sum(len(each[_NAME]) + 1 for each in footer[_SCHEMA] if each.get(_CHILDREN))
    if len(leaves) > MAX_LEAVES or len(leaves) * above > MAX_NAMES:
        raise ValueError(
            f"it has {len(leaves):,} columns, in groups with names of {len(leaves) * above:,} "
            f"bytes; at most {MAX_LEAVES:,} columns and {MAX_NAMES:,} bytes are read"
        )
    if (
        min(rows, default=0) < 0
        or sum(rows) != footer[_ALL_ROWS]
        or any(len(group[_COLUMNS]) != len(leaves) for group in footer[_GROUPS])
        or not all(_KIND in leaf for leaf in leaves)
    ):
        raise ValueError("its parts have other rows or columns than it has")
    # Arrow goes by the schema, whatever a column says of its name
    columns = [
        column[_SAID] | {_NAME: leaf[_NAME].decode()}
        for group in footer[_GROUPS]
        for leaf, column in zip(leaves, group[_COLUMNS], strict=True)
    ]
    return columns, max(sum(rows) * len(leaves), sum(column[_ALL_VALUES] for column in columns))


def _pages(content: bytes, columns: list[dict[int, Any]], most: int) -> Unpacked:
    """What the pages of columns unpack to."""
    values = headers = pages = 0
    distinct, sizes = Counter[str](), Counter[str]()
    for column in columns:
        starts = column[_FIRST_PAGE], column.get(_DICTIONARY, 0)
        at = min((start for start in starts if start > 0), default=0)
        end = at + column[_ALL_PACKED]
        while at < end:
            thrift = _Thrift(content, at, min(end, at + most - headers))
            page = thrift.struct(_IN_PAGE)
            headers, pages = headers + thrift.at - at, pages + 1
            if min(page[_UNPACKED], page[_PACKED]) < 0 or pages > MAX_PAGES:
                raise ValueError(f"its pages have no size, or are more than {MAX_PAGES:,}")
            sizes[column[_NAME]] += page[_UNPACKED]
            for kind in _KINDS.keys() & page.keys():
                there, encoding = max(0, page[kind][_VALUES]), page[kind].get(_KINDS[kind])
                if kind != _OF_DICTIONARY:
                    values += there
                elif there > page[_UNPACKED]:
                    raise ValueError("a dictionary has more values than bytes")
                if encoding in _UNREAD:
                    raise ValueError(f"a page has the encoding {_UNREAD[encoding]}, not read here")
                if kind == _OF_DICTIONARY or encoding not in _BY_DICTIONARY:
                    distinct[column[_NAME]] += there
            at = thrift.at + page[_PACKED]
    return Unpacked(sizes.total(), values, distinct, sizes)


class _Thrift:
    """A reader of Thrift's compact protocol, of the types that Parquet uses.

    It refuses what Arrow would read otherwise: a field that stands twice, a field of another type,
    and a number that is too large for its type: Arrow would drop its highest bits.
    """

    def __init__(self, content: bytes, at: int, end: int) -> None:
        self.content, self.at, self.end = content, at, min(end, len(content))
        self.left = MAX_STRUCTS

    def skip(self, count: int) -> bytes:
        self.at += count
        if self.at > self.end:
            raise IndexError
        return self.content[self.at - count : self.at]

    def byte(self) -> int:
        self.at += 1
        if self.at > self.end:
            raise IndexError
        return self.content[self.at - 1]

    def unsigned(self, bits: int = 64) -> int:
        value = shift = 0
        while (byte := self.byte()) & 128 and shift < 63:
            value |= (byte & 127) << shift
            shift += 7
        value |= byte << shift
        if value >> bits:
            raise ValueError("a number of its footer or its pages is too long")
        return value

    def integer(self, bits: int) -> int:
        value = self.unsigned(bits)
        return value >> 1 ^ -(value & 1)

    def struct(self, types: dict[int, _Type]) -> dict[int, Any]:
        """Read a struct: its values, by the numbers of its fields, which have these types."""
        fields, number = dict[int, Any](), 0
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"its footer has more than {MAX_STRUCTS:,} parts")
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.integer(16)
            if number in fields or number >= 1 << 15:
                raise ValueError("a part of its footer or its pages stands twice")
            fields[number] = self.value(head & 15, types.get(number))
        return fields

    def value(self, kind: int, of: _Type | None) -> Any:
        """Read a value of a type, which must be `of` if there is any; None of what nobody reads."""
        if kind != {int: of, list: _LIST, dict: _STRUCT}.get(type(of), kind):
            raise ValueError("a part of its footer or its pages has another type")
        value: Any = None
        if kind in _BITS:
            value = self.integer(_BITS[kind])
        elif kind == _STRUCT:
            value = self.struct(of if isinstance(of, dict) else _ANY)
        elif kind in (_LIST, 10):
            head = self.byte()
            count = self.unsigned() if head >> 4 == 15 else head >> 4
            kind = 3 if head & 15 in (1, 2) else head & 15  # a flag is a byte here
            each = of[0] if isinstance(of, list) else None
            value = [self.value(kind, each) for _ in range(count)]
        elif kind in (3, 7, _BYTES):  # a small integer, a real number, bytes
            value = self.skip({3: 1, 7: 8}.get(kind) or self.unsigned())
        elif kind not in (1, 2):  # a flag, which has no bytes
            raise ValueError("its footer or its pages have values of an unknown type")
        return value if of else None
