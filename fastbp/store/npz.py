"""Write .npz files, and read those that may be damaged or hostile."""

import encodings.cp437  # noqa: F401  else zipfile loads it late, and may fail over a sound file
import hashlib
import io
import json
import math
import re
import sys
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from fastbp.schema.errors import TableError, raise_memory_error
from fastbp.schema.text import and_, plain, shown
from fastbp.store import safe_files

MAX_BYTES = 300_000_000
"""The most bytes of the arrays of a file, unpacked, and of one file with a problem."""

MAX_NUMBER = 1e30
"""The largest input and target: it is finite in float32, and its square in float64."""

MAX_MEANING = 72_000_000
"""The most bytes, twelve a character, of what a file says of the outputs of a problem."""

MAX_ARRAYS, MAX_EXTRA = 10_000, 1_000_000
"""The most arrays of a file, and the most bytes of all extra fields in its directory: the time that
`zipfile` takes grows with the square of those of one array."""

MAX_HEADER = 1 << 16
"""The most bytes before the values of an array."""

_ENTRY = b"PK\1\2"
"""The first bytes of each entry in the directory of a .zip file."""

_HEADER = re.compile(
    rb"\x93NUMPY.{4}\{'descr': '\S{1,20}', 'fortran_order': \w+, 'shape': \([\d, ]*\), \}",
    re.DOTALL,
)
"""Matches what NumPy writes before the values of an array. Of much else Python's parser says that
there is not enough memory, however much there is."""


def npz(**arrays: Any) -> bytes:
    """Make the bytes of a compressed .npz file with these arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def in_units(values: NDArray[Any], units: ArrayLike) -> NDArray[Any]:
    """Convert targets or outputs [row, output] to the units of their table, in their dtype.

    `units`: for each output a and b in a + b · value, as a problem's file has them; or nothing.
    """
    if not np.size(units):
        return values
    a, b = np.array(units).T
    most = np.finfo(values.dtype).max / 2  # pictures need some room
    converted: NDArray[Any] = np.clip(a + b * values, -most, most).astype(values.dtype)
    return converted


def check_numbers(X: NDArray[np.float64], T: NDArray[np.float64]) -> None:
    """Raise TableError if rows to train on have numbers that no such rows have."""
    if not all((np.abs(part) <= MAX_NUMBER).all() for part in (X, T)):
        raise TableError(f"numbers from {-MAX_NUMBER:g} to {MAX_NUMBER:g}")


def check_units(units: ArrayLike) -> None:
    """Raise TableError if they are not those of outputs: a and b in a + b · value, with b > 0.

    The largest of MAX_NUMBER with the largest target margin, just below ½, are 1.8·10⁴⁶.
    """
    values = np.reshape(np.asarray(units, np.float64), (-1, 2))
    if not ((np.abs(values) <= 1e20 * MAX_NUMBER).all() and (values[:, 1] > 0).all()):
        raise TableError("units with which outputs are finite")


def read_arrays(
    content: bytes,
    required: Sequence[str] = (),
    optional: Iterable[str] | None = (),
    most: int = MAX_BYTES,
    reals: Sequence[str] = (),
) -> dict[str, NDArray[Any]]:
    """Read arrays from the bytes of an .npz file, by name.

    Parameters
    ----------
    content : bytes
        The file.
    required, optional : list of str
        Names of arrays that must be there, and that may be. If `optional` is None, all are read.
    most : int
        The most bytes of the arrays that are read, unpacked; those of text count three times, and
        64 more for each.
    reals : list of str
        Names of arrays that must be of float64.

    Raises
    ------
    TableError
        If it is no .npz file, an array is missing or of another type, or one is too large.
    Exception
        NumPy and zipfile raise errors of many kinds over damaged bytes.
    """
    if not content.startswith(b"PK") or not zipfile.is_zipfile(io.BytesIO(content)):
        raise TableError("a file that numpy.savez wrote; it is not an .npz file")
    ends = (entry.end() + 26 for entry in re.finditer(_ENTRY, content))
    extra = (int.from_bytes(content[end : end + 2], "little") for end in ends)
    if content.count(_ENTRY) > MAX_ARRAYS or sum(extra) > MAX_EXTRA:
        raise TableError(f"at most {MAX_ARRAYS:,} arrays, with little else; it has more")
    with (
        np.load(io.BytesIO(content), allow_pickle=False) as file,
        warnings.catch_warnings(action="ignore"),  # headers of Python 2 are read like all others
    ):
        if sum(entry.compress_size for entry in file.zip.infolist()) > len(content):
            raise TableError("arrays beside each other; some of it is in several of them")
        if lacking := [name for name in required if name not in file.files]:
            there, none = plain(", ".join(file.files)), " and no ".join(lacking)
            others = f"; it has {there}" if there else ""
            raise TableError(f"arrays {and_(required)}; there is no {none}{others}")
        allowed = file.files if optional is None else [*required, *optional]
        names = [name for name in allowed if name in file.files]
        left = most
        for name in names:
            left -= _checked_size(file.zip, name, most, left, name in reals)
        return {name: _checked(name, file[name]) for name in names}


def _checked(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array. Raises TableError if its texts have what is no character, which breaks Python."""
    if array.dtype.kind == "U" and np.any(
        np.frombuffer(array.tobytes(), f"{array.dtype.byteorder}u4") > sys.maxunicode
    ):
        raise TableError(f"texts of Unicode characters; {shown(name)} has others")
    return array


def _checked_size(archive: zipfile.ZipFile, name: str, most: int, left: int, is_real: bool) -> int:
    """The size of an array, after it has been checked where it is stated, and so has its type.

    It may be much larger than the file, and its header by itself may be, too. `most`: the most
    bytes of all arrays. `left`: what the others leave of it.
    """
    if name == "meaning":
        most = left = min(left, MAX_MEANING)
    member = name if name in archive.namelist() else f"{name}.npy"
    entry = archive.getinfo(member)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise TableError(f"arrays as numpy.savez packs them; {shown(name)} is packed otherwise")
    if entry.file_size > left + MAX_HEADER:
        raise TableError(f"arrays of at most {most:,} bytes; {shown(name)} has {entry.file_size:,}")
    with archive.open(member) as file:
        try:
            shape, _, dtype = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[
                npy.read_magic(file)[0]
            ](file)
            # pandas makes an object of each text, and may make two more copies of it
            size = math.prod(shape) * (
                dtype.itemsize if dtype.kind in "biuf" else 3 * dtype.itemsize + 64
            )
        except zipfile.BadZipFile:
            raise
        except Exception as error:  # a header that is no Python makes its parser raise anything
            file.seek(0)
            if _HEADER.match(file.read(500)):
                raise_memory_error(error)
            raise TableError(f"a readable .npz file; {shown(name)} is not an array") from None
    if is_real and dtype != np.float64:
        raise TableError(f"numbers of float64; {shown(name)} has {dtype}")
    if not 0 <= size <= left:
        raise TableError(f"arrays of at most {most:,} bytes; {shown(name)} has {shown(size)}")
    return size


def data_digest(X: NDArray[np.float64], T: NDArray[np.float64]) -> str:
    """sha256 of the inputs and targets of a problem, 64 hex digits.

    Hashed are the numbers of rows, inputs and outputs as int64, then X and T as float64, all
    little-endian.
    """
    hasher = hashlib.sha256()
    for part in (np.array((*X.shape, T.shape[1]), "<i8"), X, T):
        hasher.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).data)
    return hasher.hexdigest()


def problem_files(store: Path) -> list[Path]:
    """The files of problems of a store, but no hidden ones. Raises as `safe_files.listed`."""
    return [
        store / "problems" / name
        for name in safe_files.listed(store, "problems")
        if name.endswith(".npz") and name[0] != "."
    ]


class StoredProblem(NamedTuple):
    """The inputs X [row, input] and targets T [row, output] that a setup is trained on.

    `units`: as in `in_units`.
    """

    X: NDArray[np.float64]
    T: NDArray[np.float64]
    units: NDArray[np.float64]


def read_problem(store: Path, digest: str) -> StoredProblem:
    """Read the rows to train on from the file `problems/DIGEST.npz` of a store.

    Raises
    ------
    TableError
        If it does not have this digest.
    Exception
        As `read_arrays`; UnsafeFileError and OSError if it cannot be read.
    """
    content = safe_files.read(store / "problems" / f"{digest}.npz", store, MAX_BYTES)
    arrays = read_arrays(content, ("X", "T"), ("meaning",), reals=("X", "T"))
    X, T = arrays["X"], arrays["T"]
    if not X.ndim == T.ndim == 2 or len(X) != len(T):
        raise TableError("X and T with the same number of rows")
    own, text = data_digest(X, T), str(arrays.get("meaning", '{"test_rows": 0, "units": []}'))
    meaning = json.loads(text)
    units, test_rows = np.array(meaning["units"], float), int(meaning["test_rows"])
    check_units(units)
    # a digest of the data alone says that there is no more to their meaning
    if (
        not (digest == own and not units.size and not test_rows)
        and digest != hashlib.sha256(f"{own}{text}".encode()).hexdigest()
    ):
        raise TableError("what is said in its name")
    rows = len(X) - test_rows
    if rows < 1:
        raise TableError("rows to train on")
    check_numbers(X[:rows], T[:rows])
    return StoredProblem(X[:rows], T[:rows], units.reshape(T.shape[1] * len(units[:1]), 2))
