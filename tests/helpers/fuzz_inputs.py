"""Hostile sweep files and problem files, each made anew from its kind and number, and a process
that loads them.

`python tests/helpers/fuzz_inputs.py KIND FIRST COUNT` repeats some. The first of each kind are made
by hand, all others are right files in which random bytes, numbers and words have been changed: kind
and number say all there is to know about a failure.
"""

import io
import json
import os
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]

KINDS = ("toml", "csv", "npz", "parquet")


Draw = random.Random

# Right files

SWEEP = """
seeds = 3
[setup]
problem = "file:{}"
updates = 9
"""

EVERY_KEY = """
title = "Is it the rate, or the Öffnung?"
seeds = {start = 7, count = 1_000}

[setup]
problem = "parity:3"
scale_inputs = "standard"
target_margin = 0.1
hidden = [4, 2]
init = "glorot-normal"
init_scale = 2.5
bias = false
loss = "cross-entropy"
prime_offset = 1e-1
order = "blocked:3"
batch = 3
reduction = "mean"
schedule = "step:every=10,factor=0.5,warmup=2"
momentum = 0.9
weight_decay = 1e-4
updates = 7_992
tolerance = 0.3
collapse = 0.2
eval_every = 5
stop = "converged"
dtype = "float32"

[[grid]]
lr = [0.1, 0.2, 2]
order = ["shuffled", "cyclic", "random"]

[[grid]]
hidden = [4, 8, [8, 8]]
problem = ["xor", "table:01101001", "encoder:4"]
"""

OF_FILES = """
seeds = 2
[setup]
targets = ["y"]
scale_inputs = "minmax"
epochs = 3
[grid]
problem = ["file:good.csv", "file:./good.parquet"]
batch = [1, "full"]
"""

CSV = (
    b"x,z,y\n1,2.5,0\n-3,1e3,1\n0.25,7,0\n",
    b'sepal,"petal, '
    b'length",on,y\n5.1,1.4,true,setosa\n4.9,1.4,false,virginica\n6.2,4.5,TRUE,setosa\n',
    "\ufeffy,Größe\r\n0.25,1\r\n1,2\r\n".encode(),
    b"a,y\n" + b"".join(b"%d,%d\n" % (i, i % 3) for i in range(200)),
)

WORDS = {
    "toml": [
        b"=",
        b"[",
        b"]",
        b"[[",
        b"]]",
        b"{",
        b"}",
        b'"',
        b"'",
        b'"""',
        b"'''",
        b"\\u0000",
        b"\\ud800",
        b"\\",
        b"#",
        b"\r",
        b"\0",
        b".",
        b",",
        b"\n",
        b"[grid]\n",
        b"[setup]\n",
        b"[[grid]]\n",
        b"seeds",
        b"setup",
        b"grid",
        b"nan",
        b"-inf",
        b"true",
        b"1e400",
        b"0x",
        b"0b1",
        b"1979-05-27T07:32:00Z",
        b"file:",
        b"file:good.csv",
        b"file:/dev/zero",
        b"file:good.npz",
        b"table:",
        b"full",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"../",
        b"~",
        b"warmup=",
        b"updates = ",
        b"epochs = ",
        b"a." * 50,
        b"[" * 300,
        b"{a=" * 300,
    ],
    "csv": [
        b",",
        b'"',
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"nan",
        b"inf",
        b"NA",
        b"true",
        b"1e400",
        b"-0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b" ",
        b"\xe2\x80\xa8",
        b"\xed\xa0\x80",
        b"y",
        b"y,y",
        b";",
        b"\t",
        b"__index_level_0__",
        b"Unnamed: 0",
        b'""',
        b",,,,,",
        b"\x1a",
    ],
    "npz": [
        b"PK\3\4",
        b"PK\1\2",
        b"PK\5\6",
        b"\x93NUMPY",
        b"\1\0",
        b"\3\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"|O",
        b"<U",
        b">f8",
        b"<f16",
        b"|V4",
        b"<M8[ns]",
        b"|b1",
        b"<c16",
        b"<U999999999",
        b"(2, 2)",
        b"True",
        b"-1",
        b"(99999999999, 1)",
        b"{'descr': ",
        b"[('a', '<f8')]",
        b"(" * 300,
    ],
    "parquet": [
        b"PAR1",
        b"PARE",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\x0f",
        b"\xfe\xff\xff\xff\x0f",
        b"\x15\x00",
        b"\x1c",
        b"\x19",
        b"\x18\x7f",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"ARROW:schema",
        b"pandas",
        b"y",
        b"\n",
        b"\xff\x7f",
    ],
    "json": [
        b"null",
        b"[]",
        b"{}",
        b"true",
        b"-1",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 400,
        b"9" * 5_000,
        b'"\\ud800"',
        b'"\\u0000\\u001b[2J\\u2028"',
        b'"seconds": 3, ',
        b'"versions": {"a": {}}, ',
        b'"cpu": [], ',
        b"},{",
    ],
}
"""What stands for something in a file of each kind."""


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(descr: str, shape: str, body: bytes = b"", version: int = 1) -> bytes:
    """An array as .npy that says of itself what it likes."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", len(text))
        + text
        + body
    )


@cache
def npy_members() -> tuple[dict[str, bytes], ...]:
    X = np.array([[1.5, 2], [3, 4], [0, -1]])
    return (
        {"X": npy(X), "T": npy(np.array([0.0, 1, 0]))},
        {"X": npy(np.asfortranarray(X.astype(">f4"))), "T": npy(np.array(["u", "v", "u"]))}
        | {"inputs": npy(np.array(["a", "b"])), "outputs": npy(np.array(["t"]))},
        {"X": npy(np.ones((40, 30), np.uint8)), "T": npy(np.eye(40)[:, :4].astype(bool))},
    )


def npz(members: dict[str, bytes], draw: Draw | None = None) -> bytes:
    """An archive with right checksums, whatever is in it; without them most of what is wrong would
    be found by zipfile alone."""
    kinds = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", draw.choice(kinds) if draw else kinds[0]) as archive,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, archive.compression)
    return buffer.getvalue()


def bomb(head: bytes, megabytes: int) -> bytes:
    """An .npz whose X is `head` and then many zeros, in a thousandth of their size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)]
    parts += [
        packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    ] * megabytes  # after a full flush nothing is remembered
    packed, size = b"".join(parts) + packer.flush(), len(head) + megabytes * 2**20
    whole = bytearray(npz({"T": npy(np.zeros(2)), "X": b"\0" * len(packed)}))
    start = whole.index(b"\0" * len(packed))
    whole[start : start + len(packed)] = packed
    for method in (
        start - 35 + 8,
        whole.rindex(b"PK\1\2") + 10,
    ):  # in the header of the file, and in the directory
        struct.pack_into("<H", whole, method, zipfile.ZIP_DEFLATED)
        struct.pack_into("<I", whole, method + 14, size)
    return bytes(whole)


def written(columns: Any, **options: Any) -> bytes:
    """A table, or columns, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


@cache
def parquet_files() -> tuple[bytes, ...]:
    import pyarrow as pa

    plain = pa.table(
        {"x": [1.5, 2, 3], "n": pa.array([1, None, 3], pa.int8()), "y": ["u", "v", "u"]}
    )
    words = pa.table(
        {"x": pa.array(range(300)), "y": pa.array(["u", "v", "w"] * 100).dictionary_encode()}
    )
    spelt = words.cast(pa.schema({"x": pa.float64(), "y": pa.string()}))
    split = {"x": "BYTE_STREAM_SPLIT", "y": "DELTA_BYTE_ARRAY"}
    when = pa.table(
        {
            "when": pa.array([1, 2], pa.timestamp("us", "Europe/Paris")),
            "raw": [b"\xff", b"\0"],
            "y": [0, 1],
        }
    )
    odd = pa.table(
        {
            "d": pa.array([1, 2], pa.decimal128(9, 3)),
            "h": pa.array(np.float16([1, 2])),
            "b": [True, False],
            "s": pa.array([{"a": 1, "b": ["x"]}, {"a": None, "b": []}]),
            "l": pa.array([[[1.0], []], [[2, 3]]]),
            "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int32())),
            "f": pa.array([b"ab", b"cd"], pa.binary(2)),
            "u": pa.array([1, 2], pa.uint64()),
            "none": pa.nulls(2),
            "y": pa.array(["u", "v"], pa.large_string()),
        }
    )
    deep: Any = pa.array([1, 2])
    for _ in range(40):
        deep = pa.StructArray.from_arrays([deep], ["a"])
    frame = plain.to_pandas().set_index(np.array([5, 3, 1]))
    return (
        written(plain, compression="none", use_dictionary=False),
        written(plain, compression="none", version="1.0", data_page_version="2.0"),
        written(words, compression="zstd", write_page_checksum=True),
        written(words, compression="none"),
        written(
            words,
            compression="snappy",
            use_dictionary=False,
            column_encoding={"x": "DELTA_BINARY_PACKED"},
        ),
        written(spelt, compression="gzip", use_dictionary=False),
        written(spelt, compression="none", use_dictionary=False, column_encoding=split),
        written(when, compression="none"),
        written(odd, compression="none"),
        written(odd, compression="lz4", store_schema=False),
        written(pa.table({"x": deep, "y": [0, 1]}), compression="none"),
        written(pa.Table.from_pandas(frame), compression="none"),
    )


# Hostile ones made by hand


def _hostile_sweeps() -> tuple[str, ...]:
    head = 'seeds = 3\n[setup]\nproblem = "xor"\nupdates = 9\n'
    return (
        "a." * 20_000 + "a = 1",
        "[" + "a." * 20_000 + "a]",
        head + "lr." * 20_000 + "lr = 1",
        "x = " + "[" * 500_000,
        "x = " + "{a=" * 300_000,
        "[[" * 100_000,
        "x = " + "[" * 400 + "]" * 400,
        f"{head}lr = {'9' * 1_000_000}",
        f"{head}lr = 0x{'f' * 1_000_000}",
        f"{head}lr = 1e{'9' * 100_000}",
        head + "hidden = " + str([1] * 200_000),
        head + "[grid]\nlr = " + str([-i for i in range(1_000)]),
        head + "[grid]\nlr = " + str([{"a": i} for i in range(1_000)]).replace("'a':", "a ="),
        head + "".join(f"k{i} = 1\n" for i in range(1_000)),
        "".join(f"k{i} = 1\n" for i in range(1_000)) + head,
        head + "".join(f"[[grid]]\nlr = [{i}]\n" for i in range(1, 1_000)),
        head + "".join(f"[[grid]]\nk{i} = [{i}]\n" for i in range(1, 1_000)),
        head + "[grid]\nproblem = " + str([f"file:none{i}.csv" for i in range(1_000)]),
        head + "[grid]\nproblem = " + str([f"encoder:{i}" for i in range(2, 200)]),
        head + "[grid]\nproblem = " + str([f"parity:{i}" for i in range(1, 17)]),
        head + 'order = "' + "blocked:" * 50_000 + '"',
        head + 'schedule = "step:' + "every=1," * 50_000 + '"',
        head + 'schedule = "' + "step:every=1,factor=1,warmup=" + "9" * 5000 + '"',
        head.replace("xor", "table:" + "01" * 400_000),
        head.replace("xor", "file:" + "../" * 5_000 + "d.csv"),
        head.replace("xor", "file:" + "x" * 5000 + ".csv"),
        f'title = "{"t" * 1_000_000}"\n{head}',
        head + '"a\\nb\\u2028\\u0085" = 1\n"\\u001b[31m" = 2\n',
        head + "#" * 1_000_000,
        "\n" * 1_000_000 + head,
        head
        + "lr = 0001-01-01T00:00:00-23:59\nmomentum = 23:59:59.999999999\nbatch = 9999-12-31\n",
    )


def _hostile_csv() -> tuple[bytes, ...]:
    return (
        b"x,y\n" + b'"' * 100_000,
        b'"' * 99_999,
        b"x,y\n" + b"," * 1_000_000,
        b"," * 200_000,
        b"x" * 200_000 + b",y\n1,0\n",
        b"x,y\n" + b"1" * 1_000_000 + b",0\n",
        b"1" * 100_000 + b"x,y\n2,0\n",
        b"x,y\n" + b"1" * 100_000 + b"x,0\n",
        b"x,y\n" + b"0." + b"0" * 1_000_000 + b"1,0\n",
        b"x,y\n" + b"1e" + b"9" * 100_000 + b",0\n",
        b"x,y\n1," + b"v" * 1_000_000 + b"\n2,u\n",
        b"x,y\n" + b"".join(b"1,%d\n" % i for i in range(60_000)),
        b"x,y\n" + b"1,u\n" * 65_536,
        b",".join(b"x%d" % i for i in range(1_999)) + b",y\n" + b",".join([b"1"] * 2_000) + b"\n",
        b",".join(b"x%d" % i for i in range(1_999)) + b",y\n" + b",".join([b"u"] * 2_000) + b"\n",
        b"x,y\n" + b"\n" * 1_000_000,
        b"x,y\n" + b"\0" * 100_000,
        b"\0,\0\n\0,\0\n",
        b'x,"y\n1",0\n"1\n\n",1\n',
    )


def _hostile_npz() -> tuple[bytes, ...]:
    T = npy(np.zeros(2))
    many = [
        ("'<f8'", "(1000000000000, 1)"),
        ("'<f8'", "(4611686018427387904, 8)"),
        ("'<f8'", "(9999999999999999999999, 1)"),
        ("'<f8'", "(65536, 16384)"),
        ("'<f8'", "(1099511627776, 0)"),
        ("'<f8'", "(2, 0)"),
        ("'<f8'", "(-2, 2)"),
        ("'<f8'", "(-2, -2)"),
        ("'<f8'", "(True, 2)"),
        ("'<f8'", "2"),
        ("'<f8'", "(2, 2.0)"),
        ("'<f8'", "((2,), 2)"),
        ("'<f8'", "(" + "1, " * 100 + ")"),
        ("'<f8'", "(2,) * 2"),
        ("'|O'", "(2, 2)"),
        ("'<U500000000'", "(2, 1)"),
        ("'<U0'", "(2, 1)"),
        ("'|V2000000000'", "(2, 1)"),
        ("'|S9'", "(2, 1)"),
        ("'<M8[ns]'", "(2, 1)"),
        ("'<m8[25s]'", "(2, 1)"),
        ("'<f2'", "(2, 1)"),
        ("'<c32'", "(2, 1)"),
        ("'<g'", "(2, 1)"),
        ("[('a\\n', '<f8'), ('b', '|O')]", "(2,)"),
        ("[('a\\n', '<f8')]", "(2, 1)"),
        ("('<f8', (1000, 1000, 1000))", "(2, 1)"),
        ("[('a', '<f8', (100000, 100000))]", "(2, 1)"),
        ("'x'", "(2, 1)"),
        ("None", "(2, 1)"),
        ("(" * 2_000, "(2, 1)"),
        ("-" * 9_000 + "1", "(2, 1)"),
        ("'<f8'", "(" + "9" * 5_000 + ",)"),
        ("0x" + "f" * 9_000, "(2, 1)"),
    ]
    return (
        *(npz({"X": header(descr, shape, bytes(64)), "T": T}) for descr, shape in many),
        npz(
            {
                "X": header("'<f8'", "(2, 1)", bytes(16), version=2),
                "T": header("'<f8'", "(2,)", bytes(16), version=3),
            }
        ),
        npz({"X": header("'<f8'", "(2L, 1L)", bytes(16)), "T": T}),  # as Python 2 wrote it
        npz({"X": header("'<U1'", "(2, 1)", b"\xff" * 8), "T": T}),
        npz({"X": npy(np.eye(2)), "T": header("'<U1'", "(2,)", struct.pack("<2I", 0xD800, 10))}),
        npz(
            {
                "X": npy(np.eye(2)),
                "T": T,
                "inputs": header("'<U2'", "(2,)", struct.pack("<4I", 0xD800, 10, 0x2028, 0x85)),
            }
        ),
        npz({"X": npy(np.eye(2)), "T": T, "inputs": header("'<U100000000'", "(2,)")}),
        npz({"X": npy(np.array([{}, os.getcwd], object)), "T": T}),
        npz({"X": b"", "T": b"no array"}),
        npz({"../../../X": npy(np.eye(2)), "/T": T, "X": npy(np.eye(2)), "T": T}),
        npz({str(i): b"" for i in range(20_000)}),
        bomb(header("'<f8'", "(65536, 1250)"), 625),
        bomb(header("'<f8'", "(2, 40960000)"), 625),
        bomb(header("'<U80000000'", "(2, 1)"), 625),
        bomb(b"", 625),
        npy(np.eye(2)) + npz(npy_members()[0]),
        header("'<f8'", "(99999999, 9)") + npz(npy_members()[0]),
    )


def _hostile_parquet() -> Iterator[bytes]:
    import pyarrow as pa

    def nested(depth: int) -> Any:
        deep: Any = pa.array([1, 2])
        for _ in range(depth):
            deep = pa.StructArray.from_arrays([deep], ["a\n\x1b"])
        return deep

    y = pa.array([0, 1])
    for columns in (
        *({"x": nested(depth)} for depth in (1, 100, 500)),
        {"x": pa.array([1, 2], pa.timestamp("us", "a\nb\u2028"))},
        {"x\n\x1b[31m": [1, 2]},
        {"x": [1, 2], "y": ["\n\u2028", "\x1b[31m"]},
        {"x": [1, 2], "y": pa.array([b"\xff\xfe", b"\xed\xa0\x80"]).view(pa.string())},
        {f"x{i}": [i, i] for i in range(2_000)},
    ):
        yield written(columns | {"y": columns.get("y", y)})
    zeros = pa.array(np.zeros(65_536, np.int8))
    for word, store in (("v" * 10_000, True), ("v" * 10_000, False), (b"v" * 10_000, False)):
        repeated = pa.DictionaryArray.from_arrays(zeros, pa.array([word]))
        yield written({"x": zeros, "y": repeated}, store_schema=store)
        yield written({"x": repeated, "y": zeros}, store_schema=store)
    packed = pa.ListArray.from_arrays(
        [0, 65_536], pa.DictionaryArray.from_arrays(zeros, pa.array(["v" * 10_000]))
    )
    yield written({"x": packed, "y": [0]}, store_schema=False)
    size = 300_000_001
    long = pa.StringArray.from_buffers(
        1, pa.py_buffer(struct.pack("<2i", 0, size)), pa.py_buffer(bytes(size))
    )
    yield written(
        {"x": [1], "y": long}, compression="zstd", use_dictionary=False, write_statistics=False
    )
    for told in (
        b"[" * 100_000,
        b'{"index_columns": 3}',
        b'{"index_columns": [{"kind": "range"}, 3, null, ["x"]]}',
        b"{}",
        b"\xff",
    ):
        yield written(pa.table({"x": [1, 2], "y": y}).replace_schema_metadata({"pandas": told}))


HOSTILE: dict[str, Callable[[], Iterable[bytes]]] = {
    "toml": lambda: (text.encode() for text in _hostile_sweeps()),
    "csv": _hostile_csv,
    "npz": _hostile_npz,
    "parquet": _hostile_parquet,
}


@cache
def by_hand(kind: str) -> tuple[bytes, ...]:
    return tuple(HOSTILE[kind]())


# Mutants

NUMBERS = re.compile(rb"\d+")

OF_ONE = (
    b"0",
    b"-1",
    b"255",
    b"65536",
    b"2147483648",
    b"4294967295",
    b"9223372036854775807",
    b"18446744073709551616",
    b"1e308",
    b"9" * 400,
    b"1" * 5000,
)
"""What takes the place of a number in a text."""

INTEGERS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)
"""What takes the place of some bytes."""

PAIRS = (
    (b"[", b"]"),
    (b"{a=", b"}"),
    (b"(", b")"),
    (b'"', b'"'),
    (b"\x1c", b"\0"),
    (b"\x19\x1c", b"\0"),
)
"""What opens and closes something."""


RIGHT: dict[str, Callable[[Draw], bytes]] = {
    "toml": lambda draw: draw.choice(
        (
            EVERY_KEY,
            OF_FILES,
            (ROOT / "sweeps" / "founding.toml").read_text(),
            SWEEP.format("good.csv") + 'targets = "y"\n',
            SWEEP.format("good.npz"),
        )
    ).encode(),
    "csv": lambda draw: draw.choice(CSV),
    "npz": lambda draw: npz(draw.choice(npy_members()), draw),
    "parquet": lambda draw: draw.choice(parquet_files()),
    "json": lambda draw: b'[{"when": 1, "seconds": {"total": 3.5}, "jobs": 2, "runs": 4}]',
}
"""What makes a right file of each kind."""


def _nested(draw: Draw, piece: bytes, kind: str) -> bytes:
    depth, (opened, closed) = draw.choice((1, 3, 50, 5000)), draw.choice(PAIRS)
    return opened * depth + piece + closed * depth


def _spliced(draw: Draw, piece: bytes, kind: str) -> bytes:
    other = RIGHT[draw.choice(KINDS) if draw.random() < 0.1 else kind](draw)
    return other[draw.randrange(len(other)) :]


WAYS: tuple[tuple[int, Callable[[Draw, bytes, str], bytes]], ...] = (
    (1, lambda draw, piece, kind: bytes([piece[0] ^ 1 << draw.randrange(8)])),
    (1, lambda draw, piece, kind: bytes([draw.choice((0, 1, 127, 128, 255))])),
    (1, lambda draw, piece, kind: draw.randbytes(1) * draw.choice((1, 1, 4, 8))),
    (1, lambda draw, piece, kind: draw.choice(WORDS[kind]) + piece),
    (1, lambda draw, piece, kind: draw.randbytes(draw.randrange(20)) + piece),
    (4, lambda draw, piece, kind: draw.choice(WORDS[kind])),
    (2, lambda draw, piece, kind: draw.randbytes(2)),
    (4, lambda draw, piece, kind: (draw.choice(INTEGERS) % 2**32).to_bytes(4, "little")),
    (8, lambda draw, piece, kind: draw.choice(INTEGERS).to_bytes(8, "little")),
    (0, lambda draw, piece, kind: b""),
    (0, lambda draw, piece, kind: (piece * draw.choice((2, 3, 30, 1000)))[:100_000]),
    (0, lambda draw, piece, kind: NUMBERS.sub(draw.choice(OF_ONE), piece, 1)),
    (0, _nested),
    (0, _spliced),
    (1 << 40, _spliced),
    (1 << 40, lambda draw, piece, kind: b""),
)
"""How many bytes are changed, with 0 for any number of them, and what takes their place."""


def mutant(kind: str, number: int) -> bytes:
    """The hostile file of this kind and number."""
    hand = by_hand(kind)
    if number < len(hand):
        return hand[number]
    draw = Draw(f"{kind} {number}")
    if kind == "npz" and draw.random() < 0.7:  # inside the archive
        members = dict(draw.choice(npy_members()))
        name = draw.choice(list(members))
        members[name] = mutated(draw, members[name], kind)
        return npz(members, draw)
    if kind == "parquet" and draw.random() < 0.5:  # inside the footer, which no checksum covers
        raw = draw.choice(parquet_files())
        size = int.from_bytes(raw[-8:-4], "little")
        footer = mutated(draw, raw[-8 - size : -8], kind)
        return raw[: -8 - size] + footer + len(footer).to_bytes(4, "little") + raw[-4:]
    return mutated(draw, RIGHT[kind](draw), kind)


def mutated(draw: Draw, raw: bytes, kind: str) -> bytes:
    """Bytes of a file of a kind in `WORDS`, changed in some ways."""
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        size, way = draw.choice(WAYS)
        start, stop = sorted(draw.choices(range(len(raw)), k=2))
        stop = start + size if size else stop
        raw = (raw[:start] + way(draw, raw[start:stop], kind) + raw[stop:])[:1_000_000] or b" "
    return raw


# The process that loads them


def load(kind: str, folder: Path, raw: bytes) -> list[str]:
    """Load a hostile file: what is wrong with what came of it."""
    from fastbp.config.sweep import Sweep
    from fastbp.problems import problem, targets
    from fastbp.schema.errors import SweepError

    for kept in (targets._TABLES, targets._PROBLEMS, problem._PREPARED):
        kept.clear()  # by times of change, which these files are faster than
    file, sweep = folder / f"d.{kind}", folder / "d.toml"
    file.write_bytes(raw)
    if kind != "toml":
        sweep.write_text(SWEEP.format(file.name) + 'targets = "y"\n' * (kind != "npz"))
    done: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        watched.append(done)
        try:
            read = Sweep.from_toml(sweep)
            lines = read.notes
            for setup in read.setups[:20]:
                setup.identity(1)
            if Sweep.from_text(read.to_toml()) != read:
                done.append("it does not read back")
        except SweepError as error:
            lines = error.lines
            if str(error) != "\n".join(lines) or not lines:
                done.append("no lines")
        except Exception as error:
            done.append(f"{type(error).__name__}: {str(error)[:200]}")
            lines = []
        finally:
            watched.clear()
    return [
        *done,
        *(f"warning: {str(each.message)[:200]}" for each in warned),
        *(f"line: {line[:200]!r}" for line in lines if not line.isprintable() or len(line) > 2_000),
        *(f"memory: {line[:200]}" for line in lines if re.search("MemoryError|alloc", line)),
    ]


watched: list[list[str]] = []
"""Where what a file does, and may not, is noted."""


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watched and (
        event
        in (
            "os.mkdir",
            "os.rename",
            "os.remove",
            "os.symlink",
            "os.system",
            "os.exec",
            "os.fork",
            "subprocess.Popen",
            "socket.connect",
        )
        or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        or event == "pickle.find_class"
    ):
        watched[-1].append(f"{event} {str(arguments)[:200]}")


def used() -> int:
    """Bytes of address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def repeat(
    prepare: Callable[[Path], Callable[[int], list[str]]],
    first: int,
    count: int,
    seconds: float = 6.0,
    megabytes: int = 500,
) -> None:
    """Try hostile inputs, and print a line of JSON for each that is not told as it should be: its
    number and why.

    `prepare`: takes the current folder, and returns what tries the input of a number there.
    """
    at = int(os.environ.get("PROGRESS_FD", "-1"))
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "user"
        folder.mkdir()
        os.chdir(folder)
        attempt = prepare(folder)
        there = {*os.listdir(folder)}
        sys.addaudithook(watch)
        resource.setrlimit(resource.RLIMIT_AS, (used() + megabytes * 10**6,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, wherever it hangs
        for number in range(first, first + count):
            if at >= 0:
                os.pwrite(at, b"%20d" % number, 0)
            signal.setitimer(signal.ITIMER_PROF, seconds)
            done = attempt(number)
            signal.setitimer(signal.ITIMER_PROF, 0)
            if {*os.listdir(folder)} != there or os.listdir(base) != ["user"]:
                done.append(f"files: {os.listdir(folder)}")
            if done:
                print(json.dumps([number, done]), flush=True)


def loaded(kind: str, folder: Path) -> Callable[[int], list[str]]:
    """What loads the file of a kind and number in a folder, where a good one of each lies."""
    for name, raw in {"csv": CSV[0], "npz": npz(npy_members()[0]), "parquet": parquet_files()[0],
                      "toml": EVERY_KEY.encode()}.items():  # fmt: skip
        (folder / f"good.{name}").write_bytes(raw)
        assert load(name, folder, raw) == []  # everything is imported, threads have started
    by_hand(kind)
    return lambda number: load(kind, folder, mutant(kind, number))


if __name__ == "__main__":
    repeat(partial(loaded, sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
