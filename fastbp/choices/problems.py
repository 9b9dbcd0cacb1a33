"""Problems: what the network learns.

Each function returns inputs X, float64 [row, input], and targets T, float64 [row, output].
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

Data = tuple[NDArray[np.float64], NDArray[np.float64]]

MAX_ROWS = 65_536


def _bits(d: int) -> NDArray[np.float64]:
    """All rows of d bits, 00…0 first, the first bit the highest."""
    return ((np.arange(2**d)[:, None] >> np.arange(d)[::-1]) & 1).astype(np.float64)


def table(bits: str) -> Data:
    """A truth table: 2^d targets 0 or 1, for the rows 00…0 to 11…1 in order. `table:0110` is xor.

    Raises
    ------
    ValueError
        If there is a character other than 0 and 1, or their number is not a power of two from 2 to
        65,536.
    """
    if len(bits) < 2 or len(bits) & (len(bits) - 1) or len(bits) > MAX_ROWS:
        raise ValueError(
            f"the number of bits must be a power of two from 2 to {MAX_ROWS:,}, given {len(bits):,}"
        )
    if set(bits) - {"0", "1"}:
        both = ", or in a grid ? for both (up to 16 of them)" if "?" in bits else ""
        raise ValueError(f"bits must be 0 or 1{both}, given {bits!r}")
    T = (np.frombuffer(bits.encode(), np.uint8) - ord("0"))[:, None].astype(np.float64)
    return _bits(len(bits).bit_length() - 1), T


def xor() -> Data:
    """Exclusive or of two bits.

    The classic that no network without a hidden layer learns (Minsky & Papert 1969).
    """
    return table("0110")


def parity(d: Annotated[int, Ge(1), Le(16)]) -> Data:
    """Whether the number of ones among d bits is odd (Rumelhart, Hinton & Williams 1986)."""
    X = _bits(d)
    return X, (X.sum(axis=1, keepdims=True) % 2).astype(np.float64)


def encoder(n: Annotated[int, Ge(2), Le(1024)]) -> Data:
    """The n–h–n encoder: one of n inputs is 1, and the target is the row itself.

    Ackley, Hinton & Sejnowski (1985).
    """
    return np.eye(n), np.eye(n)


def file(path: str) -> Data:
    """A table in a file, .csv, .parquet or .npz: `targets` names the columns that are learnt.

    All other columns are inputs.

    Notes
    -----
    `fastbp.problems.targets` reads the file, since that needs the key `targets`. This function is
    the name of the choice and its parameter.
    """
    raise NotImplementedError(f"{path} is read by fastbp.problems.targets")
