"""Which Boolean functions a network must learn equally often, by symmetry.

Two groups act on functions of d bits:

- `pn`: inputs are permuted, the output may be negated. The 256 functions of three bits form 40
  classes.
- `npn`: inputs may be negated too. The 256 functions form 14 classes.

Permuting the inputs of a function is the same as permuting the columns of the first weights and
renaming the rows. Negating the output is the same as changing the signs of the last weights and
bias, because σ(−z) = 1 − σ(z), and both losses are the same for o and t as for 1 − o and 1 − t.
Suppose that initial weights are independent, identically distributed within a layer and symmetric
about 0, and that the order of rows does not depend on how they are listed. Then the changed network
is as likely as the original one, so shares are equal within `pn` classes.

A negated input x becomes −x if inputs are −1 and 1. That is one more change of signs, so shares are
equal within `npn` classes. If inputs are 0 and 1, it becomes 1 − x, which moves a weight into the
bias: (b, w) becomes (b + w, −w). This network is not as likely, so only `pn` holds.

Notes
-----
D. Slepian (1953), On the number of symmetry types of Boolean functions of n variables, Canadian
Journal of Mathematics 5:185-193, doi:10.4153/CJM-1953-020-x; D. E. Knuth (2011), The Art of
Computer Programming 4A, section 7.1.1.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

PN, NPN = "pn", "npn"

SYMMETRIES = {
    PN: "inputs permuted, output negated",
    NPN: "inputs permuted or negated, output negated",
}
"""What the symmetries of each group do, by its name. `npn` contains `pn`."""

MAX_BITS = 4
"""Largest number of inputs of a function. Four inputs have 65,536 functions and 768 symmetries;
five have far too many of both."""

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
"""Formula of each `npn` class of functions of two and three inputs x, y, z, by the truth table of
the class that is the smallest as a binary number."""

_ORDERS = ("random", "shuffled")
_INITS = ("normal", "uniform", "glorot-normal", "glorot-uniform")
_LOSSES = ("squared", "cross-entropy")
_TABLE = re.compile("table:([01]+)")


def bits_of(problem: object) -> str:
    """Truth table of a problem `table:BITS` with up to four inputs; empty for any other problem."""
    match = _TABLE.fullmatch(str(problem))
    return match[1] if match and len(match[1]) in (2**d for d in range(1, MAX_BITS + 1)) else ""


def classes(tables: Sequence[str], symmetry: str) -> list[str]:
    """Find the symmetry class of each function.

    Parameters
    ----------
    tables : sequence of str
        Truth tables of functions of d inputs, the same d for all: 2^d bits each, row 00…0 first.
    symmetry : str
        `pn` (permuted inputs, negated output) or `npn` (negated inputs too).

    Returns
    -------
    list of str
        For each function the name of its class: of the truth tables in the class, the one that is
        the smallest as a binary number.

    Raises
    ------
    ValueError
        If the tables have different lengths or more than four inputs, or for another symmetry.
    """
    length = len(tables[0]) if tables else 2
    alike = all(len(bits) == length and bits_of(f"table:{bits}") for bits in tables)
    if symmetry not in SYMMETRIES or not alike:
        raise ValueError(
            f"tables have up to {MAX_BITS} inputs, all the same number, and symmetry is one of "
            f"{', '.join(SYMMETRIES)}"
        )
    values = np.array([list(map(int, bits)) for bits in tables], np.int64).reshape(-1, length)
    weights = 1 << np.arange(length)[::-1]
    first = np.full(len(values), 1 << length)
    for rows in _images(length.bit_length() - 1, symmetry == NPN):
        number = values[:, rows] @ weights
        first = np.minimum(first, np.minimum(number, (1 << length) - 1 - number))
    return [f"{number:0{length}b}" for number in first.tolist()]


def _images(d: int, negated: bool) -> list[NDArray[np.int64]]:
    """Compute how every symmetry of d inputs maps the rows of a truth table.

    The result has an int64 array [row] for each permutation of the inputs, and for each set of
    negated inputs if `negated`: the number of the row that each row is mapped to.
    """
    places = np.arange(d)[::-1]
    inputs = (np.arange(2**d)[:, None] >> places) & 1
    permuted = [inputs[:, order] @ (1 << places) for order in permutations(range(d))]
    return [rows ^ flipped for rows in permuted for flipped in range(2**d if negated else 1)]


def holds(symmetry: str, keys: Mapping[str, object], rows: int) -> bool:
    """Whether symmetry implies that the functions of a class converge equally often.

    Parameters
    ----------
    symmetry : str
        `pn` (permuted inputs, negated output) or `npn` (negated inputs too).
    keys : mapping
        The setup's value of each key.
    rows : int
        Number of rows of its problem.

    Returns
    -------
    bool
        False too for an order, initial weights or a loss for which this has not been proved.
    """
    return (
        (keys.get("order") in _ORDERS or keys.get("batch") == rows)
        and keys.get("init") in _INITS
        and keys.get("loss_function") in _LOSSES
        and (symmetry == PN or keys.get("scale_inputs") == "standard")
    )
