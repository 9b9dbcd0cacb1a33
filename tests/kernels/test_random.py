"""Counter-based random numbers: known answers, the definition of every deviate, distributions, and
integers all the way."""

import re
from fractions import Fraction
from functools import cache

import numpy as np
import oracle
import pytest
from hypothesis import given, settings, strategies as st
from lanes import JIT
from numba import njit, types
from scipy import stats

from fastbp.choices import inits, orders
from fastbp.kernels import random
from fastbp.kernels.jit import FLAGS, inlined

EXAMPLES = settings(max_examples=200)
WORD = st.integers(0, 2**32 - 1)
SEED = st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 20), st.just(2**63 - 1))
DRAWN = 10**6 if JIT else 2 * 10**3


@cache
def forms(function):
    """As plain Python, and as compiled."""

    @njit(**FLAGS)
    def compiled(*arguments):
        return function(*arguments)

    return function, compiled


# Bits


@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [  # kat_vectors of Random123, for philox4x32-10
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter, key, wanted):
    numbers = [np.uint64(word) for word in (*counter, *key)]
    for words in (
        *(philox(*numbers) for philox in forms(random.philox)),
        oracle.philox(counter, key),
    ):
        assert " ".join(f"{int(word):08x}" for word in words) == wanted


@given(st.tuples(WORD, WORD, WORD, WORD), st.tuples(WORD, WORD))
@EXAMPLES
def test_philox_is_that_of_the_definition(counter, key):
    numbers = [np.uint64(word) for word in (*counter, *key)]
    for philox in forms(random.philox):
        assert tuple(map(int, philox(*numbers))) == oracle.philox(counter, key)


@given(SEED, st.integers(0, 1), WORD, st.integers(0, 2**31 - 1))
@EXAMPLES
def test_words_of_a_stream_have_their_seed_as_key_and_group_epoch_and_stream_as_counter(
    seed, stream, epoch, group
):
    wanted = oracle.philox((group, epoch, 0, stream), (seed % 2**32, seed >> 32))
    for words in forms(random.words):
        found = words(np.uint64(seed), np.uint64(stream), np.int64(epoch), group)
        assert tuple(map(int, found)) == wanted


def test_streams_epochs_and_seeds_share_no_block():
    blocks = {
        tuple(map(int, random.words(np.uint64(seed), stream, np.int64(epoch), group)))
        for seed in (0, 1, 2**32, 2**32 + 1, 2**63 - 1)
        for stream in (random.WEIGHTS, random.ORDER)
        for epoch in (0, 1, 2, 2**32 - 1)
        for group in (0, 1, 2)
    }
    assert len(blocks) == 5 * 2 * 4 * 3


@given(SEED, st.integers(0, 2000))
@EXAMPLES
def test_uniform_is_the_middle_of_one_of_2_to_the_52_cells(seed, draw):
    high, low = oracle.draws(seed, 0, 0, 2 * draw + 2)[-2:]
    wanted = Fraction(2 * ((high * 2**32 + low) // 2**12) + 1, 2**53)
    for uniform in forms(random.uniform):
        found = uniform(np.uint64(seed), random.WEIGHTS, np.uint64(0), draw)
        assert Fraction(float(found)) == wanted
        assert 0 < found < 1
        assert isinstance(found, float)


@given(WORD, st.integers(1, 2**31 - 1))
@EXAMPLES
def test_below_is_the_high_word_of_the_product(word, n):
    plain, compiled = (below(np.uint64(word), n) for below in forms(random.below))
    assert int(compiled) == int(plain) == word * n >> 32 < n
    assert plain.dtype == np.int32


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 1000, 65_536])
def test_below_reaches_first_and_last(n):
    assert (random.below(np.uint64(0), n), random.below(np.uint64(2**32 - 1), n)) == (0, n - 1)


# Types


@njit(**FLAGS)
def chain(seeds, epochs, rows, out):
    for lane in range(len(seeds)):
        a, b, c, d = random.words(seeds[lane], random.ORDER, epochs[lane], lane)
        rows[lane] = random.below(a, len(seeds))
        out[lane] = (b << np.uint64(32)) | (c ^ d)


FLOATS = re.compile(r"\b(?:double|float|half|[us]itofp|fpto[us]i)\b")


def assert_no_float(function, *arguments):
    """Neither among Numba's types of the function itself nor in the code of all that it calls."""
    function(*arguments)
    (signature,) = function.signatures
    typed = function.overloads[signature].type_annotation.typemap.values()
    assert not [t for t in typed if isinstance(t, types.Float | types.Complex)]
    code = function.inspect_llvm(signature)
    assert "mul" in code  # the rounds are here, not in some other module
    assert FLOATS.findall(code) == []


def integers(n, lanes):
    return (
        np.zeros((n + 4) * lanes, np.int32),
        n,
        lanes,
        np.arange(lanes, dtype=np.uint64),
        np.zeros(lanes, np.int64),
    )


@pytest.mark.jit
def test_no_float_in_the_chain_from_seed_to_word():
    rows, _, lanes, seeds, epochs = integers(0, 8)
    assert_no_float(chain, seeds, epochs, rows, np.zeros(lanes, np.uint64))


@pytest.mark.jit
@pytest.mark.parametrize(("name", "own"), [("random", ()), ("shuffled", ()), ("blocked", (3,))])
def test_no_float_in_an_order(name, own):
    order = inlined(getattr(orders, name))

    @njit(**FLAGS)
    def compiled(rows, n, lanes, seeds, epochs):
        order(rows, n, lanes, seeds, epochs, *own)

    assert_no_float(compiled, *integers(7, 8))


# Distributions


@njit(**FLAGS)
def fill(seeds, uniform, normal):
    """Draws of every seed, [seed, draw]."""
    for i in range(len(seeds)):
        for j in range(uniform.shape[1]):
            u = random.uniform(seeds[i], random.WEIGHTS, np.uint64(0), j)
            uniform[i, j] = u
            normal[i, j] = init(u, 1.0, 1, 1, False, seeds[i], j)


init = inlined(inits.normal)


@pytest.fixture(scope="module", params=[1, 50, 1000], ids=lambda draws: f"{draws} a seed")
def drawn(request):
    """A million uniform and normal deviates, [seed, draw], of neighbouring seeds from 2³² − 500
    on."""
    seeds = np.arange(2**32 - 500, 2**32 - 500 + DRAWN // request.param, dtype=np.uint64)
    uniform = np.empty((len(seeds), request.param))
    normal = np.empty_like(uniform)
    fill(seeds, uniform, normal)
    return uniform, normal


def five_errors(samples, wanted):
    """Whether the mean of independent samples is what is wanted, within five standard errors."""
    return abs(samples.mean() - wanted) <= 5 * samples.std() / np.sqrt(samples.size)


@pytest.mark.parametrize("power", [1, 2, 3, 4])
def test_moments_of_uniform(power, drawn):
    u, _ = drawn
    assert five_errors(u**power, 1 / (power + 1)), power


@pytest.mark.parametrize(("power", "wanted"), [(1, 0), (2, 1), (3, 0), (4, 3), (6, 15)])
def test_moments_of_normal(power, wanted, drawn):
    _, z = drawn
    assert five_errors(z**power, wanted), power


def test_kolmogorov_smirnov(drawn):
    u, z = drawn
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3


def test_neighbours_are_uncorrelated(drawn):
    """The next draw of a seed, and the same draw of the next seed."""
    u, _ = drawn
    for one, other in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:])):
        if one.size > 100:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(one.size)
