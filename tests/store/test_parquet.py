"""Files of runs: what their digests say, that every byte of them is under a seal, and that anybody
can read them."""

import hashlib
import itertools
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from fake_runs import ONE, OTHER, as_parquet, coded, numbered, replaced, rows, runs
from hypothesis import given, settings, strategies as st
from stores import XOR, flip, opened

import fastbp
from fastbp.schema.columns import COLUMNS, RESULT_COLUMNS, SETUP_COLUMNS, Column, schema
from fastbp.schema.errors import DamagedFileError, FileError, TooLargeError
from fastbp.schema.outcomes import OUTCOMES
from fastbp.store import filename, parquet, parquet_pages
from fastbp.store.digest import RowsHash, digest, same
from fastbp.store.filename import RunFile

SAID = {"fastbp.version": "0", "fastbp.numerics": "7"}
SEAL = 40
"""Bytes of a seal: eight that name it, and a sha256."""


def write(folder: Path, table: pa.Table) -> Path:
    """A file of runs of one setup."""
    content, whole = parquet.encode(table, SAID)
    setup, seed = table["setup"][0].as_py(), table["seed"][0].as_py()
    path = folder / filename.name(setup, seed, table.num_rows, whole)
    path.write_bytes(content)
    return path


def damaged(path: Path, why: str, columns: list[str] | None = None) -> None:
    """It is read by nobody, and the line that says so names it, the reason and the remedy."""
    with pytest.raises(DamagedFileError) as raised:
        parquet.read(path, columns)
    assert raised.value.file == path
    assert re.fullmatch(why, raised.value.why), raised.value.why
    repair = (
        f"`fastbp verify {path.parent.parent} --repair` moves damaged files aside; the same sweep "
        "then trains them again"
    )
    assert str(raised.value) == f"{path} is damaged ({raised.value.why}): {repair}"


# Digests


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"row_group_size": 7},
        {"compression": "none", "use_dictionary": False},
        {"compression": "gzip", "use_dictionary": True, "data_page_size": 64},
        {"version": "1.0", "compression": "snappy"},
    ],
    ids=str,
)
def test_digest_says_what_rows_say_however_they_are_written(written):
    assert digest(pq.read_table(pa.BufferReader(as_parquet(rows(), **written)))) == digest(rows())


def test_digest_does_not_depend_on_chunks_or_dictionaries():
    table = rows()
    expected = digest(table)
    assert (
        digest(pa.concat_tables([table.slice(0, 3), table.slice(3, 90), table.slice(93)]))
        == expected
    )
    assert digest(pa.concat_tables([rows(OTHER), table]).slice(200)) == expected, "a slice"
    words = [c.name for c in COLUMNS if c.kind == "word"]
    texts, shuffled = table, table
    for name in words:
        values = table[name].combine_chunks().cast(pa.string())
        texts = texts.set_column(texts.column_names.index(name), name, values)
        place = {"unused": 0, "gamma ray": 1, "β": 2, "alpha": 3, ONE: 4}
        indices = pa.array([place.get(word) for word in values.to_pylist()], pa.int32())
        shuffled = replaced(
            shuffled, name, pa.DictionaryArray.from_arrays(indices, pa.array(list(place)))
        )
    assert digest(texts) == digest(shuffled) == expected


def packed(kind: Column, values: list[Any], words: Sequence[str]) -> Iterator[list[bytes]]:
    """The values of a column as they are hashed: which are there, lengths of lists, and each value;
    words by their place in a list."""

    def as_bytes(code: str, values: Iterable[Any]) -> list[bytes]:
        return [struct.pack(f"<{code}", value) for value in values]

    yield as_bytes("?", (value is not None for value in values))
    match kind.kind:
        case "word":
            yield as_bytes(
                "i", (words.index(value) if value is not None else 0 for value in values)
            )
        case "reals":
            yield as_bytes("i", (len(value or ()) for value in values))
            yield as_bytes("f", (real for value in values for real in value or ()))
        case number:
            yield as_bytes(
                {"integer": "q", "real": "d", "flag": "?"}[number], (value or 0 for value in values)
            )


def digest_by_hand(table: pa.Table) -> str:
    """What the docstring of `digest` says, in plain Python."""
    hasher = hashlib.sha256(str(table.num_rows).encode())
    for kind in COLUMNS:
        values = table[kind.name].to_pylist()
        hasher.update(f"\0{kind.name}\0".encode())
        words = sorted(set(values) - {None}) if kind.kind == "word" else []
        if kind.kind == "word":
            hasher.update("\0".join(words).encode() + b"\0")
        for each in packed(kind, values, words):
            alike = len(each) == table.num_rows and len(set(each)) == 1
            hasher.update(each[0] if alike else b"".join(each))
    return hasher.hexdigest()


def variants(table: pa.Table, kind: Column, constant: bool) -> list[pa.Table]:
    """A table, and others that differ from it and from each other in some value of a column."""
    values = table[kind.name].to_pylist()
    if constant:
        values = [next(value for value in values if value is not None)] * len(values)
    changes = {
        "word": [str(outcome) for outcome in OUTCOMES]
        if kind.name == "outcome"
        else ["alph", "alphb", ""],
        "integer": [0, 1, -1],
        "real": [0.0, -0.0, 0.1 + 0.2, 0.3],
        "flag": [True, False],
        "reals": [[], [0.0], [-0.0], [0.0, 0.0], [0.1] * 8],
    }[kind.kind]
    changes += [None] * bool(kind.nullable)
    lists = [values]
    for change in changes:
        lists += [
            [*values[:77], change, *values[78:]],
            [*values[:-1], change],
            [change] * len(values),
        ]
    type_ = pa.string() if kind.kind == "word" else schema().field(kind.name).type
    different = {
        repr(values): replaced(table, kind.name, coded(pa.array(values, type_))) for values in lists
    }
    return list(different.values())


def test_digest_sees_order_and_number_of_rows():
    table = rows()
    swapped = table.take([1, 0, *range(2, 200)])
    digests = [
        digest(t)
        for t in (
            table,
            swapped,
            table.slice(0, 199),
            table.slice(0, 1),
            pa.concat_tables([table.slice(0, 1)] * 2),
            table.slice(0, 0),
        )
    ]
    assert len(set(digests)) == len(digests)


# All rows of a setup


def rows_hash(*parts: pa.Table) -> bytes:
    made = RowsHash()
    for part in parts:
        made.update(part)
    return made.digest()


def rows_hash_by_hand(table: pa.Table) -> bytes:
    """What the docstring of `RowsHash` says, in plain Python."""
    keys = {
        name: table[name][0].as_py() for name in ("setup", *(kind.name for kind in SETUP_COLUMNS))
    }
    parts = [json.dumps(keys, sort_keys=True).encode()]
    for kind in RESULT_COLUMNS[1:]:
        parts += [
            b"".join(values) for values in packed(kind, table[kind.name].to_pylist(), OUTCOMES)
        ]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


@pytest.mark.parametrize("count", [1, 2, 200])
def test_digests_are_what_their_docstrings_say(count):
    """Those of published files and what is printed of a store must mean the same for ever."""
    assert digest(rows(count=count)) == digest_by_hand(rows(count=count))
    assert rows_hash(runs(XOR, 5, count)) == rows_hash_by_hand(runs(XOR, 5, count))


@pytest.mark.parametrize("constant", [False, True], ids=["among others", "all alike"])
@pytest.mark.parametrize(
    ("of", "table", "kind"),
    [
        *(pytest.param(digest, rows, kind, id=f"digest-{kind.name}") for kind in COLUMNS),
        *(
            pytest.param(rows_hash, partial(runs, XOR, 0, 200), kind, id=f"rows-{kind.name}")
            for kind in RESULT_COLUMNS[1:]
        ),
    ],
)
def test_digests_see_every_changed_value(of, table, kind, constant):
    different = variants(table(), kind, constant)
    assert len(set(map(of, different))) == len(different)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 300), max_size=6), st.booleans())
def test_the_hash_of_rows_is_the_same_however_they_are_cut(cuts, whole):
    """Into files, chunks of a table, and tables with words in another order."""
    parts = [runs(XOR, a, b - a) for a, b in itertools.pairwise([0, *sorted(cuts), 300])]
    for index, part in enumerate(parts[1::2], 1):
        words = OUTCOMES[index % 5 :] + OUTCOMES[: index % 5]
        places = pa.array([words.index(word) for word in part["outcome"].to_pylist()], pa.int32())
        parts[2 * index - 1] = replaced(
            part, "outcome", pa.DictionaryArray.from_arrays(places, pa.array(words, pa.string()))
        )
    assert rows_hash(
        *([pa.concat_tables(parts).unify_dictionaries()] if whole else parts)
    ) == rows_hash(runs(XOR, 0, 300))


def test_of_few_rows_with_very_many_words_only_their_own_are_read():
    """As of a slice, which has all words: here one that cannot be read."""
    words = pa.DictionaryArray.from_arrays([0, 1], pa.array([b"a", b"\xff"]).view(pa.string()))
    one, other = (
        pa.table({"problem": each}) for each in (words[:1], words[:1].dictionary_decode())
    )
    assert same(one, other.cast(one.schema))


def test_a_word_is_not_copied_for_each_row():
    """It may be long, or there may be very many rows."""
    digests = [
        digest(pa.table({"targets": pa.DictionaryArray.from_arrays([0] * 3000, words)}))
        for words in (["x" * 2**20], ["x" * 2**20, *map(str, range(3000))])
    ]
    assert digests[0] == digests[1]
    many = pa.table({"zz": coded(pa.array(map(str, range(20_001))))})
    assert rows_hash(many) == rows_hash(many[:9_999], many[9_999:])


def test_the_hash_of_rows_sees_keys_order_and_number_of_rows():
    table = runs(XOR, 0, 20)
    others = [
        runs(XOR.replaced(**{key: value}), 0, 20)
        for key, value in (("lr", 0.2), ("collapse", 0.2), ("epochs", 5))
    ]
    tables = [table, table.take([1, 0, *range(2, 20)]), table.slice(0, 19), table.slice(1), *others]
    assert len({rows_hash(each) for each in tables}) == len(tables)


# Names


@pytest.mark.parametrize(
    "name",
    [
        f"{ONE}-0-200.parquet",
        f"{ONE}-0-200-0123456789abcde.parquet",
        f"{ONE}-0-200-0123456789abcdef.parquet.draft",
        f"{ONE}-0-200-0123456789abcdef (1).parquet",
        f"{ONE}-0-200-0123456789ABCDEF.parquet",
        f"{ONE[1:]}-0-200-0123456789abcdef.parquet",
        f"{ONE}--200-0123456789abcdef.parquet",
        f"{ONE}-0-{'1' * 20}-0123456789abcdef.parquet",
        f".{ONE}-0-200-0123456789abcdef.parquet",
        f"{ONE}-{2**63 - 9}-10-0123456789abcdef.parquet",  # there is no such seed
        f"{ONE}-0-\u0662-0123456789abcdef.parquet",  # an Arabic two
    ],
)
def test_other_names_are_no_names_of_runs(name):
    assert RunFile.parse(Path(name)) is None


# The seal


def unsealed(content: bytes) -> bytes:
    """A file without its seal, which lies before the footer."""
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    return content[: -footer - SEAL] + content[-footer:]


def test_a_seal_is_the_sha256_of_all_other_bytes_before_the_footer():
    content, _ = parquet.encode(runs(XOR, 0, 3), SAID)
    bare = unsealed(content)
    assert pq.read_table(pa.BufferReader(bare)).equals(runs(XOR, 0, 3))
    footer = 8 + int.from_bytes(bare[-8:-4], "little")
    assert (
        content
        == bare[:-footer] + b"fastbp:1" + hashlib.sha256(bare).digest() + bare[-footer:]
        == parquet.sealed(bare)
    )


def test_every_byte_is_under_the_seal(tmp_path):
    """A low and a high bit of each."""
    path = write(tmp_path, runs(XOR, 7, 2))
    content = path.read_bytes()
    assert len(content) < 20_000
    unnoticed = []
    with open(path, "r+b", buffering=0) as file:
        for at, byte in enumerate(content):
            for bit in (1, 128):
                file.seek(at)
                file.write(bytes([byte ^ bit]))
                with suppress(DamagedFileError):
                    parquet.contents(path)
                    unnoticed.append((at, bit))
            file.seek(at)
            file.write(bytes([byte]))
    assert unnoticed == []
    assert parquet.read(path)[0].equals(runs(XOR, 7, 2))


def test_no_other_length_is_under_the_seal(tmp_path):
    path = write(tmp_path, runs(XOR, 7, 2))
    content = path.read_bytes()
    longer = [
        content + more for more in (b"\0", b"\n", b"PAR1", content, content[-1000:], bytes(512))
    ]
    for other in [*longer, *(content[length:] for length in (1, 4, 512, len(content) // 2))]:
        path.write_bytes(other)
        damaged(path, "its bytes are not those that were written")
    path.write_bytes(content)
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        with suppress(DamagedFileError):
            parquet.contents(path)
            raise AssertionError(length)
    damaged(path, "it is empty")
    path.unlink()
    with pytest.raises(FileError, match=f"^{path} cannot be read: No such file or directory$"):
        parquet.read(path)


# Reading


def test_what_was_written_is_read(tmp_path):
    path = write(tmp_path, runs(XOR, 7, 30))
    table, said = parquet.read(path)
    assert table.equals(runs(XOR, 7, 30))
    assert said == {**SAID, "fastbp.schema": "1", "fastbp.digest": digest(table)}
    content, told = parquet.contents(path)
    assert (content, told) == (path.read_bytes(), said)


@pytest.mark.parametrize(
    "columns",
    [
        ["seed"],
        ["outcome", "setup", "lr"],
        ["outputs", "converged_at"],
        [kind.name for kind in COLUMNS],
    ],
)
def test_some_columns_are_read_in_the_order_that_is_asked_for(columns, tmp_path):
    assert parquet.read(write(tmp_path, runs(XOR, 7, 30)), columns)[0].equals(
        runs(XOR, 7, 30).select(columns)
    )


def test_rows_of_another_name_are_found_as_far_as_the_columns_that_are_read_tell(tmp_path):
    path = write(tmp_path, runs(XOR, 7, 30))
    setup, start, count, whole = path.stem.split("-")
    for name, why, columns in (
        (f"{OTHER}-{start}-{count}-{whole}", f"it holds runs of setup {setup}", ["setup"]),
        (f"{setup}-8-{count}-{whole}", "its seeds do not match its name", ["seed"]),
        (f"{setup}-{start}-31-{whole}", "it has 30 rows", ["loss"]),
        (
            f"{setup}-{start}-{count}-{whole[::-1]}",
            "its rows do not match the digest in its name",
            ["loss"],
        ),
    ):
        path = path.rename(path.with_name(f"{name}.parquet"))
        damaged(path, why, columns)
        damaged(path, why)


def test_the_last_seeds_are_told_apart(tmp_path):
    """They have no exact doubles."""
    rows, last = runs(XOR, 7, 30), pa.array(range(2**63 - 30, 2**63), pa.int64())
    path = write(tmp_path, replaced(rows, "seed", last))
    assert parquet.read(path, ["seed"])[0]["seed"].combine_chunks() == last
    damaged(
        write(tmp_path, replaced(rows, "seed", pa.repeat(last[0], 30))),
        "its seeds do not match its name",
    )


def test_a_file_by_a_name_of_its_own_is_read_for_what_it_is(tmp_path):
    path = write(tmp_path, runs(XOR, 7, 30)).rename(tmp_path / "mine.parquet")
    assert parquet.read(path)[0].equals(runs(XOR, 7, 30))


def test_pages_have_checksums_beneath_the_seal(tmp_path):
    """Whoever seals a file anew seals what it is: a damaged page is found all the same, by other
    readers too."""
    path = write(tmp_path, runs(XOR, 7, 30))
    path.write_bytes(unsealed(path.read_bytes()))
    flip(path, "outputs.list.element")
    path.write_bytes(parquet.sealed(path.read_bytes()))
    parquet.contents(path)
    damaged(path, ".*CRC.*")
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)


@pytest.mark.parametrize(
    "changed",
    [
        lambda table: table.drop_columns("loss"),
        lambda table: table.rename_columns({"loss": "lost"}),
        lambda table: table.select(table.column_names[::-1]),
        lambda table: table.set_column(
            table.column_names.index("lr"), "lr", table["lr"].cast(pa.float32())
        ),
    ],
    ids=["one less", "another name", "another order", "another type"],
)
def test_other_columns_than_those_of_runs_are_refused(tmp_path, changed):
    path = write(tmp_path, runs(XOR, 7, 30))
    table = changed(runs(XOR, 7, 30)).replace_schema_metadata(pq.read_schema(path).metadata)
    path.write_bytes(parquet.sealed(as_parquet(table)))
    damaged(path, "its columns are not columns of runs")


def test_there_is_no_schema_before_the_first(tmp_path):
    """A file of schema 0 would need none of the columns."""
    path = tmp_path / "x.parquet"
    path.write_bytes(
        parquet.encode(
            runs(XOR, 7, 30).drop_columns(["seed", "setup"]), SAID | {"fastbp.schema": "0"}
        )[0]
    )
    damaged(path, "the number of its schema is not a number from 1")


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_sizes_of_pages_are_what_the_footer_says_but_for_their_headers(version, compression):
    """However the file is written, and with several groups of rows."""
    how = {"row_group_size": 64, "use_dictionary": False, "compression": compression}
    content = as_parquet(rows(ONE, 0, 200), data_page_version=version, **how)
    said = pq.read_metadata(pa.BufferReader(content))
    groups = [said.row_group(i) for i in range(said.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(said.num_columns)]
    told, values = parquet_pages._columns(content, 10**6)
    size = sum(column.total_uncompressed_size for column in columns)
    assert values == sum(column.num_values for column in columns) > 200 * said.num_columns
    assert parquet_pages.unpacked(content)[:2] == (size, values)
    headers = size - parquet_pages._pages(content, told, 10**6).bytes
    assert len(groups) == 4
    assert 10 * len(columns) < headers < 300 * len(columns)


def test_footers_and_pages_that_are_not_right_are_refused():
    content = as_parquet(rows(ONE, 0, 20))
    places = range(parquet_pages.footer_start(content), len(content) - 8, 41)
    flipped = [(place, bytes([content[place] ^ 0xFF])) for place in places]
    for place, other in (*flipped, (0, bytes(4) + b"\xff" * 20), (0, b"\x1c" * 5_000)):
        with suppress(ValueError):
            harmed = content[:place] + other + content[place + len(other) :]
            assert parquet_pages.unpacked(harmed).bytes >= 0
    with pytest.raises(ValueError, match="its footer has"):
        parquet_pages.unpacked(content[:-8] + b"\xff" * 4 + b"PAR1")
    with pytest.raises(ValueError, match="its pages cannot be found"):
        parquet_pages.unpacked(b"\x1c" * 5_000 + (5_000).to_bytes(4, "little") + b"PAR1")


def test_a_header_that_arrow_reads_otherwise_is_refused():
    """Arrow passes over a field of another type, and takes the lowest bits of a number."""
    rows = pa.table({"a": range(200)})
    content = as_parquet(
        rows, **{"use_dictionary": False, "compression": "none", "write_statistics": False}
    )
    size = b"\x15\x8e\x19"  # field 2, an integer of 32 bits: 1,607 bytes, unpacked
    start, at = content.index(size), parquet_pages.footer_start(content)
    told = pq.read_metadata(pa.BufferReader(content)).row_group(0).column(0).total_compressed_size
    others = {
        size: "",
        size + b"\x06\x04\x02": "stands twice",  # field 2, an integer of 64 bits: 1
        b"\x16\x02\x05\x04\x8e\x19": "another type",
        size + b"\x05" + numbered(65_538) + b"\x02": "is too long",  # field 65538, also 1
        b"\x15\x8e\x99\x80\x80\x20": "is too long",  # 2³² more
        b"\x1b\x00\x05\x04\x8e\x19": "another type",  # a map
    }
    for other, why in others.items():
        more = numbered(told + len(other) - len(size), len(numbered(told)))
        changed = (
            content[:start]
            + other
            + content[start + len(size) : at]
            + content[at:].replace(numbered(told), more)
        )
        assert pq.read_table(pa.BufferReader(changed), use_threads=False) == rows
        with pytest.raises(ValueError, match=why) if why else nullcontext():
            assert parquet_pages.unpacked(changed).bytes == told


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x19\x15\x02\x1c\x18\x01a\x00\x16\x02\x00", ""),
        (b"\x19\x18\x01a\x00", "another type"),
        (b"\x11\x00", "another type"),
        (b"\x1c\x00\x00", "another type"),
        (b"\x19\x15\x02\x1b\x00\x00", "another type"),
        (b"\x49\x10\x00\x00", "an unknown type"),
    ],
)
def test_a_part_of_another_type_is_refused(content, why):
    """Arrow reads any list as one of what it expects, and passes over all else."""
    types = {1: [5], 2: {1: 8}, 3: 6}
    with pytest.raises(ValueError, match=why) if why else nullcontext():
        assert parquet_pages._Thrift(content, 0, len(content)).struct(types) == {
            1: [1],
            2: {1: b"a"},
            3: 1,
        }
    unread = b"\x49\x1c\x11\x00\x18\x01a\x00"
    assert parquet_pages._Thrift(unread, 0, len(unread)).struct({1: 5}) == {4: None, 5: None}


def test_very_many_columns_are_refused_before_arrow_opens_them(monkeypatch):
    monkeypatch.setattr(parquet_pages, "MAX_LEAVES", 50)
    with pytest.raises(ValueError, match=r"it has 60 columns, .* at most 50 columns"):
        parquet_pages.unpacked(as_parquet(rows(ONE, 0, 20)))


def test_a_footer_that_is_too_large_is_not_opened(monkeypatch):
    """Not that of a replay either."""
    content = as_parquet(rows(ONE, 0, 20))
    monkeypatch.setattr(parquet, "MAX_FOOTER", 1_000)
    monkeypatch.setattr(pq, "ParquetFile", None)
    with pytest.raises(ValueError, match="its footer has more than 1,000 bytes"):
        parquet.decoded(content)


def test_headers_that_never_end_or_stand_for_many_columns_are_refused(monkeypatch):
    """A list of 2⁶³ values after which nothing comes; headers that are longer than all may be."""
    endless = b"\x19\xf3" + b"\xff" * 8 + b"\x7f"
    with pytest.raises(ValueError, match="its pages cannot be found"):
        parquet_pages.unpacked(b"PAR1" + endless + as_parquet(rows(ONE, 0, 20))[15:])
    content = as_parquet(rows(ONE, 0, 2_000), row_group_size=100, write_statistics=False)
    monkeypatch.setattr(parquet_pages, "MAX_PAGES", 10**9)
    most = int.from_bytes(content[-8:-4], "little")
    parquet_pages.unpacked(content, most)
    columns, _ = parquet_pages._columns(content, most)
    with pytest.raises(IndexError):
        parquet_pages._pages(content, columns * 10, most)


def test_groups_of_rows_that_are_not_those_of_the_file_are_refused():
    """Arrow believes the groups."""
    content = as_parquet(rows(ONE, 0, 4_999), row_group_size=3_000)
    at = parquet_pages.footer_start(content)
    body, footer = content[:at], content[at:]
    for said, other in ((4_999, 4_998), (1_999, 2_000)):
        old, new = ((2 * n & 127 | 128).to_bytes() + (2 * n >> 7).to_bytes() for n in (said, other))
        assert old in footer
        with pytest.raises(ValueError, match="other rows or columns than it has"):
            parquet.decoded(body + footer.replace(old, new))


def test_statistics_that_are_not_right_do_not_end_python(tmp_path):
    """Asking Arrow what a footer says of a column of lists did. A list has a number too many."""
    table, path = runs(XOR, 0, 20).select(["outputs"]), tmp_path / "a.parquet"
    pq.write_table(table, path, store_schema=False)
    content = path.read_bytes()
    at = parquet_pages.footer_start(content)
    footer = content[at:-8].replace(b"\x46", b"\x56\x00")
    path.write_bytes(content[:at] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    code = f"from fastbp.store import parquet; parquet.decoded(open({str(path)!r}, 'rb').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "histogram size mismatch" in done.stderr


def test_words_whose_number_has_no_word_are_refused():
    """Every byte of a page is changed in turn."""
    table, told = (
        pa.table({"problem": pa.array(["a", "b", "c"] * 7).dictionary_encode()}),
        set[str](),
    )
    content = as_parquet(table, compression="none", write_statistics=False)
    for place in range(4, parquet_pages.footer_start(content)):
        harmed = content[:place] + bytes([content[place] ^ 3]) + content[place + 1 :]
        try:
            digest(parquet.decoded(harmed))
        except (OSError, ValueError, pa.ArrowException) as error:
            told.add(str(error))
    assert any("Dictionary indices invalid" in each for each in told)


VALUES: dict[str, tuple[str, list[Any]]] = {
    "it has spread below 0": ("spread", [0.5, -1.0]),
    "it has test_accuracy above 1": ("test_accuracy", [0.5, 1e308]),
    "it has r2 above 1": ("r2", [-1e9, 2.0]),
    "it has lr above 1e.06": ("lr", [1e-320, 1.1e6]),
    "it has wrong below 0": ("wrong", [None, -1]),
    "it has converged_at above": ("converged_at", [None, 2**63 - 1]),
    "it holds runs that converged after": ("converged_at", [None, 2**52]),
    "its runs have other numbers of outputs": ("outputs", [[0.5], [0.5, 0.5]]),
    "it has init of more than 2,000 bytes": ("init", ["x", "y" * 2_001]),
    "it has init with null bytes": ("init", ["x", "\0y"]),
    "it has problem of more than 100,000 bytes": ("problem", ["y" * 2_001, "y" * 100_001]),
    "it has targets of more than 1,000,000 bytes": ("targets", ["y" * 200_000, "y" * 1_000_001]),
}


@pytest.mark.parametrize("why", VALUES)
def test_numbers_that_no_run_can_have_are_refused(tmp_path, why):
    """However they are sealed. The second value of each is wrong."""
    name, given = VALUES[why]
    table = replaced(runs(XOR, 0, 2), "updates_done", pa.array([9, 9]))
    table = replaced(table, "converged_at", pa.nulls(2, pa.int64()))
    kind = schema().field(name).type
    values = pa.array(given, pa.string() if pa.types.is_dictionary(kind) else kind)
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet.encode(replaced(table, name, coded(values.take([0, 0]))), {})[0])
    parquet.read_as_written(path)
    path.write_bytes(parquet.encode(replaced(table, name, coded(values)), {})[0])
    with pytest.raises(DamagedFileError, match=why):
        parquet.read_as_written(path)


def test_a_column_is_not_the_problem_of_a_footer(tmp_path):
    one, other = (RunFile(tmp_path / name, XOR.identity(), 0, 2, "") for name in "ab")
    rows, key = runs(XOR, 0, 2), "fastbp.problem"
    one.path.write_bytes(parquet.encode(rows, {key: ""})[0])
    other.path.write_bytes(parquet.encode(rows.append_column(key, pa.array([1, 2])), {})[0])
    assert parquet.Comparison().fuller(one, other) is None


def test_what_is_sealed_and_no_table_is_refused(tmp_path, monkeypatch):
    long = runs(XOR, 7, 30), {"a": "b" * 2**20}
    with pytest.raises(TooLargeError, match="30 runs with 60 columns are too many for a file"):
        parquet.encode(*long)
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "MAX_FOOTER", 1 << 22)
        (tmp_path / "wide.parquet").write_bytes(parquet.encode(*long)[0])
    damaged(tmp_path / "wide.parquet", "its footer has more than 1,048,576 bytes")
    assert len(DamagedFileError(tmp_path, "very long" * 10**5).args[0]) < 1_000
    for content in (b"PAR1" + bytes(100) + (20).to_bytes(4, "little") + b"PAR1", bytes(100)):
        (tmp_path / "no.parquet").write_bytes(parquet.sealed(content))
        damaged(tmp_path / "no.parquet", ".+")
    (tmp_path / "folder.parquet").mkdir()
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "link.parquet").symlink_to("nowhere")
    for name in ("folder", "pipe", "link"):
        damaged(tmp_path / f"{name}.parquet", f"it is a {name}, not a file")


def test_anybody_reads_what_is_sealed(tmp_path):
    """pandas, Polars, DuckDB and Arrow's data sets look where the footer says, and not at the seal;
    `fastbp.load` gives what they give."""
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    folder = opened(tmp_path / "store").runs
    tables = [rows(setup, start) for setup in (ONE, OTHER) for start in (0, 200)]
    for table in tables:
        write(folder, table)
    names = [c.name for c in COLUMNS]
    expected = [row for table in tables for row in table.to_pylist()]
    found = polars.read_parquet(folder / "*.parquet").with_columns(
        polars.col("setup").cast(polars.String)
    )
    assert found.select(names).sort("setup", "seed").to_dicts() == expected
    relation = duckdb.sql(f"SELECT * FROM read_parquet('{folder}/*.parquet') ORDER BY setup, seed")
    assert relation.columns == names
    assert [dict(zip(names, row, strict=True)) for row in relation.fetchall()] == expected
    by_setup_and_seed = {"key": lambda row: (row["setup"], row["seed"])}
    assert (
        sorted(pyarrow.dataset.dataset(folder).to_table().to_pylist(), **by_setup_and_seed)
        == expected
    )
    plain = (
        pd.read_parquet(folder)
        .astype({"setup": str})
        .sort_values(["setup", "seed"], ignore_index=True)
    )
    loaded = fastbp.load(folder.parent)
    for frame, kind in itertools.product((plain, loaded), COLUMNS):
        values = [row[kind.name] for row in expected]
        if kind.kind == "reals":
            assert [None if v is None else v.tolist() for v in frame[kind.name]] == values
        elif frame is loaded or not (kind.kind == "integer" and kind.nullable):
            # pandas rounds integers beside nulls to float64.
            assert [None if pd.isna(v) else v for v in frame[kind.name]] == values


def test_runs_that_are_all_alike_can_be_read_again(monkeypatch):
    """Though so few bytes stand for so many that others would be refused."""
    monkeypatch.setattr(parquet, "MAX_UNPACKED", 1_000)
    monkeypatch.setattr(parquet, "MAX_RATIO", 10)
    alike = pa.concat_tables([rows(count=1)] * 5_000).unify_dictionaries().combine_chunks()
    content, _ = parquet.encode(alike, SAID)
    assert parquet.decoded(content).equals(alike)


def test_files_are_small():
    content, _ = parquet.encode(rows(count=20_000), SAID)
    assert len(content) < 20_000 * 8 * len(COLUMNS)
