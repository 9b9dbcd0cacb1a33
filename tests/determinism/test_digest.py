"""The committed digests of the sweep that uses every choice, and that they are of every bit."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from every_choice import (
    DIGESTS,
    DIGESTS_OF_MANY,
    EVERY,
    MANY,
    RESULTS,
    SETUPS,
    SWEEPS,
    UNITS,
    combined,
    digest_of,
    rows_of,
)
from lanes import LANES

from fastbp.choices.families import FAMILIES
from fastbp.engine import block, lane_group
from fastbp.engine.plan import budget_groups
from fastbp.schema.keys import NUMERICS_VERSION


def test_the_sweep_uses_every_choice():
    """But files: those are tables of numbers by the time that anything trains."""
    for key, family in FAMILIES.items():
        if key == "success":  # it changes no bit of a network: tests/kernels/test_goals.py
            continue
        texts = " | ".join(
            value for value in [getattr(setup, key) for setup in EVERY] if value
        ).split(" | ")
        assert {text.partition(":")[0] for text in texts} == family.choices.keys() - {"file"}, key


def test_the_engine_is_given_the_same_setups_and_trains_some_as_one():
    sweep = SWEEPS["all"]
    assert {setup.identity(NUMERICS_VERSION) for setup in sweep.setups} == {
        setup.identity(NUMERICS_VERSION) for setup in EVERY
    }
    assert len(sweep.setups) == len(EVERY)
    assert sorted(map(len, budget_groups(sweep.setups)))[-5:] == [1, 2, 2, 2, 2]


def test_digest():
    digests = [digest_of(rows_of(setup, LANES)) for setup in SETUPS]
    assert combined(digests) == DIGESTS[NUMERICS_VERSION], digests


def test_digest_of_units_and_optimisers():
    digests = [digest_of(rows_of(setup, LANES, count=MANY)) for setup in EVERY[-len(UNITS) :]]
    assert combined(digests) == DIGESTS_OF_MANY[NUMERICS_VERSION][1], digests


# That nothing could change unseen


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Two runs that converged and one that did not, with every column."""
    made = rows_of(SETUPS[8], LANES, count=3)
    assert made["outcome"].to_pylist() == ["partial", "converged", "converged"]
    return made


def other_bits(value: Any) -> Iterator[Any]:
    """A value with one bit flipped, for each of its bits; any other value of what has no bits."""
    if value is None:
        yield 0
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value ^ (1 << bit) for bit in range(63))
    elif isinstance(value, float):
        bits = np.float64(value).view(np.uint64)
        yield from (float((bits ^ np.uint64(1 << bit)).view(np.float64)) for bit in range(64))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            bits = np.float32(item).view(np.uint32)
            for bit in range(32):
                yield [
                    *value[:i],
                    float((bits ^ np.uint32(1 << bit)).view(np.float32)),
                    *value[i + 1 :],
                ]
    else:
        yield f"{value} "


@pytest.mark.parametrize("name", RESULTS)
def test_one_bit_of_one_row_is_another_digest(rows, name):
    given = rows.to_pylist()
    column, seen = rows.schema.get_field_index(name), {digest_of(rows)}
    flipped = 0
    for at, row in enumerate(given):
        for value in other_bits(row[name]):
            if isinstance(value, float) and math.isnan(value):
                continue  # no NaN is ever stored
            values = [value if i == at else other[name] for i, other in enumerate(given)]
            kind = pa.string() if isinstance(value, str) else rows.schema.field(column).type
            seen.add(digest_of(rows.set_column(column, name, pa.array(values, kind))))
            flipped += 1
    assert len(seen) == 1 + flipped
    assert flipped >= len(given)


def test_two_seeds_exchanged_are_another_digest(rows):
    """Their rows, and their results alone."""
    exchanged = rows.take([1, 0, 2])
    assert rows["loss"][0] != rows["loss"][1]
    relabelled = exchanged.set_column(rows.schema.get_field_index("seed"), "seed", rows["seed"])
    assert len({digest_of(each) for each in (rows, exchanged, relabelled)}) == 3


def test_two_setups_exchanged_are_another_digest():
    assert combined(["a", "b"]) != combined(["b", "a"])


def test_what_is_no_result_is_no_part_of_it(rows):
    """A column added later, and an id made otherwise."""
    more = rows.append_column("later", pa.array(range(3)))
    other = more.set_column(
        more.schema.get_field_index("setup"), "setup", pa.array(["another"] * 3)
    )
    assert digest_of(other) == digest_of(rows)


def test_one_bit_of_one_weight_is_another_digest(monkeypatch):
    """The last of an initial weight, of one run of three: a whole run later the rows tell."""
    before = [
        digest_of(rows_of(setup, LANES, count=3)) for setup in (SETUPS[0], SETUPS[len(SETUPS) // 2])
    ]

    class Disturbed(lane_group.LaneGroup):
        def start(self, seeds):
            super().start(seeds)
            self.state.block.view(f"u{self.state.block.itemsize}")[1] ^= 1

    monkeypatch.setattr(block, "LaneGroup", Disturbed)
    after = [
        digest_of(rows_of(setup, LANES, count=3)) for setup in (SETUPS[0], SETUPS[len(SETUPS) // 2])
    ]
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_another_numerics_version_wants_its_own_digests():
    """And never those of another."""
    assert max(DIGESTS) == max(DIGESTS_OF_MANY) == NUMERICS_VERSION
    for digests in (DIGESTS, DIGESTS_OF_MANY):
        assert len(set(digests.values())) == len(digests)
