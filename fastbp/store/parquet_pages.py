"""What a Parquet file unpacks to, by its footer and by the headers of its pages.

The footer says it, but Arrow unpacks what the headers say. Both are Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md) for the fields
of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

import io
import re
from typing import Any, NamedTuple

MAX_HEADERS, MAX_PAGES = 4_000_000, 100_000
"""Most bytes of a footer and of the headers of all pages together, and most pages, of a file of
runs. To read them takes time and memory."""

# Numbers of fields: of a file, an element of its schema, a row group, a column, what is said of a
# column, and a page.
_SCHEMA, _ALL_ROWS, _GROUPS, _CREATOR = 2, 3, 4, 6
_CHILDREN = 5
_COLUMNS, _ROWS = 1, 3
_SAID = 3
_PATH, _ALL_VALUES, _ALL_UNPACKED, _ALL_PACKED, _FIRST_PAGE, _DICTIONARY = 3, 5, 6, 7, 9, 11
_UNPACKED, _PACKED = 2, 3

# The same of values, of a dictionary, and of values in the second version of the format: the number
# of the field of a page that says it, and of the field of the encoding in there.
_KINDS = {5: 2, 7: 2, 8: 4}
_OF_DICTIONARY = 7
_VALUES = 1

_DELTA_BYTE_ARRAY = 7

_BITS = {4: 16, 5: 32, 6: 64}
"""Thrift's numbers for types of integers."""

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
    dictionaries : set of str
        The columns with a dictionary. Each of its values, however long, may be that of many rows.
    """

    bytes: int
    values: int
    dictionaries: set[str]


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
        of the file contradict each other, or a page has the encoding DELTA_BYTE_ARRAY: each text
        then is a part of the one before it and some more, so that a few bytes may stand for any
        number of long ones.
    OSError, pa.ArrowException
        If the footer is damaged.
    """
    try:
        columns, values = _columns(content, most)
        size = sum(int(column[_ALL_UNPACKED]) for column in columns)
        pages = _pages(content, columns, most)
        return pages._replace(bytes=max(pages.bytes, size), values=max(pages.values, values))
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("its pages cannot be found") from error


def _columns(content: bytes, most: int) -> tuple[list[dict[int, Any]], int]:
    """What the footer says of the columns of all row groups, and the number of their values."""
    end = len(content) - 8
    if end < 4 or content[-4:] != b"PAR1":
        raise ValueError("it is no Parquet file")
    length = int.from_bytes(content[-8:-4], "little")
    if length > min(most, end):
        raise ValueError(f"its footer has {length:,} bytes, more than {min(most, end):,}")
    footer = _as_arrow_reads_it(content)
    creator = footer.get(_CREATOR, b"").strip().lower()
    if b"parquet-mr" in creator and not _RECENT.match(creator):
        raise ValueError("it was written by an old version of parquet-mr")
    rows = [group[_ROWS] for group in footer[_GROUPS]]
    leaves = sum(not element.get(_CHILDREN) for element in footer[_SCHEMA][1:])
    if (
        min(rows, default=0) < 0
        or sum(rows) != footer[_ALL_ROWS]
        or any(len(group[_COLUMNS]) != leaves for group in footer[_GROUPS])
    ):
        raise ValueError("its parts have other rows or columns than it has")
    columns = [column[_SAID] for group in footer[_GROUPS] for column in group[_COLUMNS]]
    return columns, max(sum(rows) * leaves, sum(column[_ALL_VALUES] for column in columns))


def _as_arrow_reads_it(content: bytes) -> dict[int, Any]:
    """The footer of a file.

    Arrow passes over fields of other types than it expects, and reads lists as of the type that it
    expects. To ask it for what it read could end Python, but what it writes of it has one meaning.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.read_metadata(pa.BufferReader(content)).write_metadata_file(written)
    footer = written.getvalue()
    return _Thrift(footer, 4, len(footer) - 8).struct()


def _pages(content: bytes, columns: list[dict[int, Any]], most: int) -> Unpacked:
    """What the pages of columns unpack to."""
    size = values = headers = pages = 0
    dictionaries: set[str] = set()
    for column in columns:
        starts = column[_FIRST_PAGE], column.get(_DICTIONARY, 0)
        at = min((start for start in starts if start > 0), default=0)
        end = at + column[_ALL_PACKED]
        while at < end:
            thrift = _Thrift(content, at, min(end, at + most - headers))
            page = thrift.struct()
            headers, pages = headers + thrift.at - at, pages + 1
            if min(page[_UNPACKED], page[_PACKED]) < 0 or pages > MAX_PAGES:
                raise ValueError(f"its pages have no size, or are more than {MAX_PAGES:,}")
            size += page[_UNPACKED]
            for kind in _KINDS.keys() & page.keys():
                there = page[kind][_VALUES]
                if kind != _OF_DICTIONARY:
                    values += max(0, there)
                elif there > page[_UNPACKED]:
                    raise ValueError("a dictionary has more values than bytes")
                else:
                    dictionaries.add(column[_PATH][0].decode())
                if page[kind].get(_KINDS[kind]) == _DELTA_BYTE_ARRAY:
                    raise ValueError("a page has the encoding DELTA_BYTE_ARRAY, which is not read")
            at = thrift.at + page[_PACKED]
    return Unpacked(size, values, dictionaries)


class _Thrift:
    """A reader of Thrift's compact protocol, of the types that Parquet uses.

    It refuses what Arrow may read otherwise: a field that stands twice, since one of them may have
    another type, and numbers that are too large, of which Arrow takes the lowest bits.
    """

    def __init__(self, content: bytes, at: int, end: int) -> None:
        self.content, self.at, self.end = content, at, min(end, len(content))

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

    def struct(self) -> dict[int, Any]:
        """Read a struct: its values, by the numbers of its fields."""
        fields, number = dict[int, Any](), 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.integer(16)
            if number in fields or number >= 1 << 15:
                raise ValueError("a part of its footer or its pages stands twice")
            fields[number] = head & 15 == 1 if head & 15 < 3 else self.value(head & 15)
        return fields

    def value(self, kind: int) -> Any:
        if kind in _BITS:
            return self.integer(_BITS[kind])
        if kind == 12:
            return self.struct()
        if kind in (9, 10):
            head = self.byte()
            count = self.unsigned() if head >> 4 == 15 else head >> 4
            of = 3 if head & 15 in (1, 2) else head & 15  # a flag is a byte here
            return [self.value(of) for _ in range(count)]
        if kind not in (3, 7, 8):
            raise ValueError("its footer or its pages have values of an unknown type")
        # a small integer, a real number, bytes
        return self.skip({3: 1, 7: 8}.get(kind) or self.unsigned())
