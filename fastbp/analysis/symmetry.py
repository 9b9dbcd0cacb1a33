"""Truth tables that symmetry makes alike: which functions a network must learn equally often, and
why.

Two groups act on functions of d bits:

- `pn`: inputs are permuted, the output may be negated. Of the 256 functions of three bits 40 classes are left.
- `npn`: inputs may be negated too. 14 classes are left.

A network meets the function with permuted inputs as it meets the function itself, with the columns
of its first weights permuted and the rows renamed; that with a negated output, with the signs of
its last weights and bias changed (σ(−z) = 1 − σ(z), and both losses are the same of o and t as of 1
− o and 1 − t). Where initial weights are independent, alike within a layer and symmetric about 0,
and the order of rows does not depend on how they are listed, such a network is as likely as its
image: so shares are equal within `pn` classes. An input x that is negated becomes −x where inputs
are −1 and 1, which is one more change of signs, and shares are equal within `npn` classes. Where
inputs are 0 and 1 it becomes 1 − x, which moves a weight into the bias: (b, w) becomes (b + w, −w),
which is not as likely, and only `pn` is left.

Source: D. Slepian (1953), On the number of symmetry types of Boolean functions of n variables,
Canadian Journal of Mathematics 5:185-193, doi:10.4153/CJM-1953-020-x; D. E. Knuth (2011), The Art
of Computer Programming 4A, section 7.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

PN, NPN = "pn", "npn"

SYMMETRIES = {
    PN: "inputs permuted, output negated",
    NPN: "inputs permuted or negated, output negated",
}
"""The groups, by name, from the smaller to the larger."""

MAX_BITS = 4
"""Inputs of a function: of four there are 65,536 functions and 768 elements of the group, of five
far too many of both."""

FUNCTIONS = {
    "0000": "constant",
    "0001": "x ∧ y",
    "0011": "x",
    "0110": "x ⊕ y",
    "00000000": "constant",
    "00000001": "x ∧ y ∧ z",
    "00000011": "x ∧ y",
    "00000110": "x ∧ (y ⊕ z)",
    "00000111": "x ∧ (y ∨ z)",
    "00001111": "x",
    "00010110": "exactly two of x, y, z",
    "00010111": "majority of x, y, z",
    "00011000": "(y = z) ∧ (x ≠ y)",
    "00011001": "(y = z) ∧ (x ∨ y)",
    "00011011": "z ? y : x",
    "00011110": "x ⊕ (y ∧ z)",
    "00111100": "x ⊕ y",
    "01101001": "x ⊕ y ⊕ z",
}
"""What the first function of each `npn` class of two and of three bits computes."""

_ORDERS = ("random", "shuffled")
_INITS = ("normal", "uniform", "glorot-normal", "glorot-uniform")
_LOSSES = ("squared", "cross-entropy")
_TABLE = re.compile("table:([01]+)")


def bits_of(problem: object) -> str:
    """The truth table of a problem `table:BITS` of up to four inputs; nothing of any other."""
    match = _TABLE.fullmatch(str(problem))
    bits = match[1] if match else ""
    return bits if len(bits) in [2**d for d in range(1, MAX_BITS + 1)] else ""


def classes(tables: Sequence[str], symmetry: str) -> list[str]:
    """The class of each function, named by the first of its truth tables.

    Parameters: `tables`, of functions of the same d inputs, 2^d bits each, row 00…0 first;
    `symmetry`, `pn` or `npn`. Raises ValueError where they are not that.
    """
    length = len(tables[0]) if tables else 2
    if symmetry not in SYMMETRIES or any(
        len(bits) != length or not bits_of(f"table:{bits}") for bits in tables
    ):
        raise ValueError(
            f"tables of up to {MAX_BITS} inputs, all of as many, and a symmetry of {', '.join(SYMMETRIES)}"
        )
    given = np.array([[int(bit) for bit in bits] for bits in tables], np.int64).reshape(-1, length)
    weights = 1 << np.arange(length)[::-1]
    first = np.full(len(given), 1 << length)
    for rows in _images(length.bit_length() - 1, symmetry == NPN):
        number = given[:, rows] @ weights
        first = np.minimum(first, np.minimum(number, (1 << length) - 1 - number))
    return [f"{number:0{length}b}" for number in first.tolist()]


def _images(d: int, negated: bool) -> list[NDArray[np.int64]]:
    """Which row each row becomes, for every permutation of the inputs and, if they may be, every
    choice of negated ones.
    """
    places = np.arange(d)[::-1]
    inputs = (np.arange(2**d)[:, None] >> places) & 1
    permuted = [inputs[:, order] @ (1 << places) for order in permutations(range(d))]
    return [rows ^ flipped for rows in permuted for flipped in range(2**d if negated else 1)]


def holds(symmetry: str, keys: Mapping[str, Any], rows: int) -> bool:
    """Whether shares must be equal within the classes of a symmetry, for a setup with these columns
    and so many rows.

    False where that is not so, or not known: of an order, initial weights or a loss that is none of
    those it was shown for.
    """
    mixed = keys.get("order") in _ORDERS or keys.get("batch") == rows
    alike = mixed and keys.get("init") in _INITS and keys.get("loss_function") in _LOSSES
    return alike and (symmetry == PN or keys.get("scale_inputs") == "standard")
