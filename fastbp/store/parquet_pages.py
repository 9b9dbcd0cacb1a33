"""What the pages of a Parquet file unpack to, by the pages' own headers.

The footer says it too, but Arrow unpacks what the headers say. They are Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md) for the fields
of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

import re
from typing import Any

MAX_FOOTER, MAX_PAGES = 4_000_000, 100_000
"""Largest number of bytes of a footer, and of pages of a file: each takes some time to read."""

# Numbers of fields: of a file, a row group, a column, what is said of a column, a page, and of what
# is said of a page of values, a dictionary, and of values in the second version of the format.
_GROUPS, _CREATOR = 4, 6
_COLUMNS = 1
_SAID = 3
_PACKED_BYTES, _FIRST_PAGE, _DICTIONARY = 7, 9, 11
_UNPACKED, _PACKED = 2, 3
_PAGES = {5: 2, 7: 2, 8: 4}  # with the number of the field of the encoding
_VALUES = 1

_DELTA_BYTE_ARRAY = 7

_RECENT = re.compile(rb"parquet-mr version (1\.([3-9]|\d\d)|[2-9])")
"""Of older versions Arrow reads some bytes more than they say."""


def unpacked_bytes(content: bytes) -> int:
    """Add up the bytes of all pages of a Parquet file, and eight bytes for each of their values.

    A page of a few bytes may have any number of equal values.

    Parameters
    ----------
    content : bytes
        The file.

    Raises
    ------
    ValueError
        If pages cannot be found, the footer or the number of pages is too large, or a page has the
        encoding DELTA_BYTE_ARRAY: each text then is a part of the one before it and some more, so
        that a few bytes may stand for any number of long ones.
    """
    length = int.from_bytes(content[-8:-4], "little")
    if length > min(MAX_FOOTER, len(content) - 8):
        raise ValueError(f"its footer has {length:,} bytes, more than {MAX_FOOTER:,}")
    try:
        footer = _Thrift(content, len(content) - 8 - length).struct()
        creator = footer.get(_CREATOR, b"").strip().lower()
        if b"parquet-mr" in creator and not _RECENT.match(creator):
            raise ValueError("it was written by an old version of parquet-mr")
        sizes: list[int] = []
        for group in footer[_GROUPS]:
            for column in group[_COLUMNS]:
                _add_pages(content, column[_SAID], sizes)
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("its pages cannot be found") from error
    return sum(sizes)


def _add_pages(content: bytes, said: dict[int, Any], sizes: list[int]) -> None:
    """Append the bytes of each page of a column, and of its values."""
    starts = said[_FIRST_PAGE], said.get(_DICTIONARY, 0)
    thrift = _Thrift(content, min((at for at in starts if at > 0), default=0))
    end = thrift.at + said[_PACKED_BYTES]
    while thrift.at < end:
        page = thrift.struct()
        if min(page[_UNPACKED], page[_PACKED]) < 0 or len(sizes) >= MAX_PAGES:
            raise ValueError(f"its pages have no size, or are more than {MAX_PAGES:,}")
        values = 0
        for each in _PAGES.keys() & page.keys():
            values += max(0, page[each][_VALUES])
            if page[each].get(_PAGES[each]) == _DELTA_BYTE_ARRAY:
                raise ValueError("a page has the encoding DELTA_BYTE_ARRAY, which is not read")
        sizes.append(page[_UNPACKED] + 8 * values)
        thrift.at += page[_PACKED]


class _Thrift:
    """A reader of Thrift's compact protocol, of the types that Parquet uses."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at

    def byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while (byte := self.byte()) & 128:
            value |= (byte & 127) << shift
            if (shift := shift + 7) > 63:
                raise ValueError("a number of its footer or its pages is too long")
        return value | byte << shift

    def integer(self) -> int:
        value = self.unsigned()
        return value >> 1 ^ -(value & 1)

    def struct(self) -> dict[int, Any]:
        """Read a struct: its values, by the numbers of its fields."""
        fields, number = dict[int, Any](), 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            fields[number] = head & 15 == 1 if head & 15 < 3 else self.value(head & 15)
        return fields

    def value(self, kind: int) -> Any:
        if kind in (4, 5, 6):
            return self.integer()
        if kind == 12:
            return self.struct()
        if kind in (9, 10):
            head = self.byte()
            count = self.unsigned() if head >> 4 == 15 else head >> 4
            return [self.value(max(3, head & 15)) for _ in range(count)]  # a flag is a byte here
        if kind not in (3, 7, 8):
            raise ValueError("its footer or its pages have values of an unknown type")
        length = {3: 1, 7: 8}.get(kind) or self.unsigned()  # a small integer, a real number, bytes
        self.at += length
        return self.content[self.at - length : self.at]
