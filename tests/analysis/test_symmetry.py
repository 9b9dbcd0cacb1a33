"""Classes of truth tables: as many as there must be, and whatever is in one is what symmetry makes
of it."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fastbp.analysis.symmetry import FUNCTIONS, MAX_BITS, SYMMETRIES, bits_of, classes, holds
from fastbp.choices.families import FAMILIES

COMPUTED = {
    "constant": lambda x, y, z: False,
    "x": lambda x, y, z: x,
    "x ∧ y": lambda x, y, z: x and y,
    "x ⊕ y": lambda x, y, z: x != y,
    "x ∧ y ∧ z": lambda x, y, z: x and y and z,
    "x ∧ (y ⊕ z)": lambda x, y, z: x and y != z,
    "x ∧ (y ∨ z)": lambda x, y, z: x and (y or z),
    "exactly two of x, y, z": lambda x, y, z: x + y + z == 2,
    "majority of x, y, z": lambda x, y, z: x + y + z >= 2,
    "(y = z) ∧ (x ≠ y)": lambda x, y, z: y == z and x != y,
    "(y = z) ∧ (x ∨ y)": lambda x, y, z: y == z and (x or y),
    "z ? y : x": lambda x, y, z: y if z else x,
    "x ⊕ (y ∧ z)": lambda x, y, z: x != (y and z),
    "x ⊕ y ⊕ z": lambda x, y, z: (x + y + z) % 2 == 1,
}


def every(d: int) -> list[str]:
    return [f"{number:0{2**d}b}" for number in range(2**2**d)]


def counted(d: int, symmetry: str) -> int:
    """Classes by Burnside's lemma: the mean, over the group, of how many functions an element
    leaves as they are."""
    places, fixed, size = np.arange(d)[::-1], 0, 0
    for order in permutations(range(d)):
        for flipped in range(2**d if symmetry == "npn" else 1):
            image = [
                sum(((row >> places[i]) & 1) << places[j] for j, i in enumerate(order)) ^ flipped
                for row in range(2**d)
            ]
            lengths, left = [], set(range(2**d))
            while left:
                row, length = left.pop(), 1
                while image[row] in left:
                    row, length = image[row], length + 1
                    left.remove(row)
                lengths.append(length)
            size += 2
            fixed += 2 ** len(lengths)  # constant on every cycle
            fixed += (
                2 ** len(lengths) if all(length % 2 == 0 for length in lengths) else 0
            )  # the output negated at each step
    assert fixed % size == 0
    return fixed // size


@pytest.mark.parametrize(
    ("d", "small", "large"),
    [(1, 2, 2), (2, 6, 4), (3, 40, 14), pytest.param(4, 1992, 222, marks=pytest.mark.soak)],
)
def test_there_are_as_many_classes_as_there_must_be(d: int, small: int, large: int) -> None:
    for symmetry, many in (("pn", small), ("npn", large)):
        assert len(set(classes(every(d), symmetry))) == many == counted(d, symmetry)


@given(st.integers(1, MAX_BITS), st.data())
def test_a_class_has_every_image_of_its_functions_and_is_named_by_the_first(
    d: int, data: st.DataObject
) -> None:
    bits = data.draw(st.text("01", min_size=2**d, max_size=2**d))
    order = data.draw(st.permutations(range(d)))
    flips, negated = data.draw(st.tuples(*[st.booleans()] * d)), data.draw(st.booleans())
    values = np.array([int(bit) for bit in bits]).reshape((2,) * d)  # one axis an input
    permuted = np.transpose(values, order) ^ negated
    flipped = permuted[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)]
    small, large = (
        ["".join(map(str, image.ravel())) for image in (values, each)]
        for each in (permuted, flipped)
    )
    assert (len(set(classes(small, "pn"))), len(set(classes(large, "npn")))) == (1, 1)
    assert classes(small, "pn")[0] <= min(small)
    assert classes(large, "npn")[0] <= min(classes(large, "pn"))
    first = classes([bits], "npn")
    assert classes(first, "npn") == first


def test_each_class_of_two_and_three_bits_has_the_name_of_what_it_computes() -> None:
    for d in (2, 3):
        assert {bits for bits in FUNCTIONS if len(bits) == 2**d} == set(classes(every(d), "npn"))
    for bits, name in FUNCTIONS.items():
        d = len(bits).bit_length() - 1
        rows = [
            [row >> place & 1 for place in range(d - 1, -1, -1)] + [0] * (3 - d)
            for row in range(2**d)
        ]
        assert "".join(str(int(bool(COMPUTED[name](*row)))) for row in rows) == bits, name


def test_what_is_no_table_has_no_bits() -> None:
    assert bits_of("table:0110") == "0110"
    for other in (
        "xor",
        "table:011",
        "table:01x0",
        "table:",
        "parity:3",
        "file:table:01",
        None,
        "table:" + "01" * 16,
    ):
        assert bits_of(other) == ""
    with pytest.raises(ValueError, match="tables have up to 4 inputs"):
        classes(["01", "0110"], "pn")
    with pytest.raises(ValueError, match="symmetry is one of pn, npn"):
        classes(["01"], "np")


PLAIN = {
    "order": "shuffled",
    "batch": 1,
    "init": "normal",
    "loss_function": "squared",
    "scale_inputs": "none",
}


@pytest.mark.parametrize(
    ("changes", "small", "large"),
    [
        ({}, True, False),
        ({"scale_inputs": "standard"}, True, True),
        ({"scale_inputs": "minmax"}, True, False),
        (
            {"order": "random", "scale_inputs": "standard", "loss_function": "cross-entropy"},
            True,
            True,
        ),
        ({"order": "cyclic", "scale_inputs": "standard"}, False, False),
        ({"order": "cyclic", "batch": 8, "scale_inputs": "standard"}, True, True),
        ({"order": "blocked:3"}, False, False),
        ({"init": "my-own", "scale_inputs": "standard"}, False, False),
        ({"loss_function": "my-own"}, False, False),
    ],
    ids=str,
)
def test_where_shares_must_be_equal(changes: dict[str, object], small: bool, large: bool) -> None:
    assert [holds(symmetry, PLAIN | changes, 8) for symmetry in SYMMETRIES] == [small, large]


@pytest.mark.parametrize(
    ("key", "column", "names"),
    [
        ("init", "init", ("normal", "uniform", "glorot-normal", "glorot-uniform")),
        ("order", "order", ("random", "shuffled")),
        ("loss", "loss_function", ("squared", "cross-entropy")),
    ],
)
def test_choices_that_keep_symmetry_are_there(
    key: str, column: str, names: tuple[str, ...]
) -> None:
    for name in names:
        assert name in FAMILIES[key].choices
        assert holds("pn", PLAIN | {column: name}, 8)
