"""Write .npz files, and read those that may be damaged or hostile."""

import io
import math
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from fastbp.schema.errors import TableError
from fastbp.schema.text import and_, plain, shown

MAX_BYTES = 300_000_000
"""The most bytes of one array, and of one file with a problem."""


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
    converted: NDArray[Any] = (a + b * values).astype(values.dtype)
    return converted


def read_arrays(
    content: bytes,
    required: Sequence[str] = (),
    optional: Iterable[str] | None = (),
    most: int = MAX_BYTES,
) -> dict[str, NDArray[Any]]:
    """Read arrays from the bytes of an .npz file.

    Parameters
    ----------
    content : bytes
        The file.
    required, optional : list of str
        Names of arrays that must be, and that may be, in the file. No others are read; but if
        `optional` is None, all are.
    most : int
        The most bytes of one array, unpacked.

    Returns
    -------
    dict
        The arrays by name.

    Raises
    ------
    TableError
        If it is no .npz file, an array is missing, or one is too large.
    Exception
        NumPy and zipfile raise errors of many kinds over damaged bytes.
    """
    if not content.startswith(b"PK") or not zipfile.is_zipfile(io.BytesIO(content)):
        raise TableError("a file that numpy.savez wrote; it is not an .npz file")
    with (
        np.load(io.BytesIO(content), allow_pickle=False) as file,
        warnings.catch_warnings(action="ignore"),  # headers of Python 2 are read like all others
    ):
        if lacking := [name for name in required if name not in file.files]:
            others = f"; it has {plain(', '.join(file.files))}" if file.files else ""
            needed, none = and_(required), " and no ".join(lacking)
            raise TableError(f"arrays {needed}; there is no {none}{others}")
        allowed = file.files if optional is None else [*required, *optional]
        names = [name for name in allowed if name in file.files]
        for name in names:
            _check_size(file.zip, name, most)
        return {name: file[name] for name in names}


def _check_size(archive: zipfile.ZipFile, name: str, most: int) -> None:
    """Check the size that an array's header states: it may be much larger than the file."""
    member = name if name in archive.namelist() else f"{name}.npy"
    with archive.open(member) as file:
        try:
            shape, _, dtype = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[
                npy.read_magic(file)[0]
            ](file)
            size = math.prod(shape) * dtype.itemsize
        except zipfile.BadZipFile:
            raise
        except Exception:  # a header that is no Python makes its parser raise anything
            raise TableError(f"a readable .npz file; {shown(name)} is not an array") from None
    if not 0 <= size <= most:
        raise TableError(f"arrays of at most {most:,} bytes; {shown(name)} has {shown(size)}")
