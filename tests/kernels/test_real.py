import math
import platform
import re
from fractions import Fraction
from functools import cache

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from lanes import JIT
from numba import njit
from numba.core.errors import TypingError

from fastbp.kernels import real, vector_ir
from fastbp.kernels.jit import FLAGS

POINTS = 1500 if JIT else 400
EXAMPLES = settings(max_examples=200)
SINGLE, DOUBLE = np.float32, np.float64
BOTH = (SINGLE, DOUBLE)
FUNCTIONS = [  # each with its types
    *((f, kind) for f in (real.exp, real.sigmoid, vector_ir.sqrt) for kind in BOTH),
    *((f, DOUBLE) for f in (real.log, real.log1p, real.cos, real.normal_quantile)),
]
names = pytest.mark.parametrize(("function", "kind"), FUNCTIONS, ids=lambda v: v.__name__)


@cache
def loop(function):
    """out[i] = function(x[i]), compiled where the JIT is on."""

    @njit(**FLAGS)
    def over(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return over


@njit(**FLAGS)
def fma_loop(a, b, c, out):
    for i in range(a.size):
        out[i] = vector_ir.fma(a[i], b[i], c[i])


def values(function, x):
    out = np.empty_like(x)
    loop(function)(x, out)
    return out


def fused(a, b, c):
    """real.fma as compiled."""
    out = np.empty(1, type(a))
    fma_loop(*(np.array([v]) for v in (a, b, c)), out)
    return out[0]


def bits(x):
    """The bits of x, or one and the same sign for every NaN."""
    return "NaN" if math.isnan(x) else (type(x), x.tobytes())


def neighbours(centres, kind, reach=3):
    """Each centre and the numbers next to it."""
    centres = np.asarray(centres, kind)
    view = np.int32 if kind is SINGLE else np.int64
    return np.concatenate(
        [(centres.view(view) + view(step)).view(kind) for step in range(-reach, reach + 1)]
    )


def patterns(kind):
    """Any bit pattern: NaNs with payloads, subnormals and infinities as likely as the rest."""
    top, fraction, view = (255, 23, np.uint32) if kind is SINGLE else (2047, 52, np.uint64)
    middling = st.integers(top // 2 - 30, top // 2 + 30)
    exponents = st.one_of(st.integers(0, top), st.sampled_from([0, 1, top - 1, top]), middling)
    fractions = st.one_of(st.integers(0, 2**fraction - 1), st.sampled_from([0, 1, 2**fraction - 1]))
    parts = st.tuples(st.booleans(), exponents, fractions)
    return parts.map(lambda p: view((p[0] * (top + 1) + p[1]) * 2**fraction + p[2]).view(kind))


# --- Accuracy: every error below is the largest seen, in units in the last place of the exact
# result ------------------


def largest_error(function, exact, x):
    with mpmath.workprec(160):
        worst = 0.0
        for given_x, got in zip(x, values(function, x), strict=True):
            wanted = exact(mpmath.mpf(float(given_x)))
            unit = float(np.spacing(abs(x.dtype.type(float(wanted)))))
            worst = max(worst, float(abs(mpmath.mpf(float(got)) - wanted) / unit))
        return worst


def exact_sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


REFERENCES = {
    real.exp: mpmath.exp,
    real.sigmoid: exact_sigmoid,
    vector_ir.sqrt: mpmath.sqrt,
    real.log: mpmath.log,
    real.log1p: mpmath.log1p,
    real.cos: mpmath.cos,
}
RANGES = [
    (real.exp, DOUBLE, 1.1, [(-1, 1), (-40, 40), (-708, 709.7), (-745, -708)]),
    (real.exp, SINGLE, 1.6, [(-1, 1), (-20, 20), (-87, 88.7), (-103.9, -87)]),
    (real.sigmoid, DOUBLE, 2.5, [(-1, 1), (-8, 8), (-40, 40), (-708.39, -40)]),
    (real.sigmoid, SINGLE, 2.8, [(-1, 1), (-8, 8), (-20, 20), (-87.33, -20)]),
    (vector_ir.sqrt, DOUBLE, 0.5, [(0, 1), (0, 1e300), (0, 1e-308)]),
    (vector_ir.sqrt, SINGLE, 0.5, [(0, 1), (0, 1e38), (0, 1e-38)]),
    (real.log, DOUBLE, 0.9, [(0.5, 2), (0.999, 1.001), (0, 1e300), (0, 1e-300), (0, 2.2e-308)]),
    (
        real.log1p,
        DOUBLE,
        0.9,
        [
            (-0.1, 0.1),
            (-1, 1),
            (-0.5, -0.25),
            (0.3, 0.5),
            (0, 1e300),
            (-1e-300, 1e-300),
            (-1e-320, 1e-320),
        ],
    ),
    (
        real.cos,
        DOUBLE,
        0.8,
        [(-1, 1), (-3.2, 3.2), (0.78, 0.79), (-1000, 1000), (-1.647e6, 1.647e6)],
    ),
]


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("function", "kind", "bound", "low", "high"),
    [(f, kind, bound, low, high) for f, kind, bound, ranges in RANGES for low, high in ranges],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_error_within_bound(function, kind, bound, low, high):
    assert (
        largest_error(
            function,
            REFERENCES[function],
            np.random.default_rng(1).uniform(low, high, POINTS).astype(kind),
        )
        <= bound
    )


@pytest.mark.parametrize(("kind", "bounds"), [(DOUBLE, (1.1, 2.5)), (SINGLE, (1.6, 2.8))])
def test_exp_and_sigmoid_where_the_reduction_changes(kind, bounds):
    top = 1022 if kind is DOUBLE else 125
    x = neighbours(np.arange(-2 * top, 2 * top, 1 if JIT else 97) * (math.log(2) / 2), kind)
    assert largest_error(real.exp, mpmath.exp, x) <= bounds[0]
    assert largest_error(real.sigmoid, exact_sigmoid, x[x > -top * math.log(2)]) <= bounds[1]


def test_logarithms_over_all_exponents_and_where_the_reduction_changes():
    powers = np.ldexp(1.0, np.arange(-1074, 1024, 1 if JIT else 211))
    for centre in (1.0, math.sqrt(0.5)):
        x = neighbours(powers[60:] * centre, DOUBLE)
        assert largest_error(real.log, mpmath.log, x) <= 0.9
        assert largest_error(real.log1p, mpmath.log1p, np.concatenate([x, x[x < 0.9] * -1])) <= 0.9
    assert (
        largest_error(
            real.log1p,
            mpmath.log1p,
            neighbours([math.sqrt(0.5) - 1, math.sqrt(2) - 1, -0.5, 1.0], DOUBLE),
        )
        <= 0.9
    )
    assert (
        largest_error(real.log1p, mpmath.log1p, np.ldexp(1.0, -np.arange(1.0, 54).astype(int)) - 1)
        <= 0.9
    )


def test_cos_next_to_its_zeros():
    multiples = np.random.default_rng(2).integers(-(2**20) + 1, 2**20, POINTS)
    with mpmath.workprec(160):
        x = np.array([float(mpmath.pi / 2 * int(n)) for n in [*range(-8, 9), *multiples]])
    assert largest_error(real.cos, mpmath.cos, neighbours(x, DOUBLE, reach=1)) <= 0.8


def quantile_error(p, z):
    """To first order: (Φ(z) − p)/φ(z), in units in the last place of z."""
    with mpmath.workprec(160):
        z_, p_ = mpmath.mpf(float(z)), mpmath.mpf(float(p))
        return abs(
            float(
                (mpmath.erfc(-z_ / mpmath.sqrt(2)) / 2 - p_)
                / mpmath.npdf(z_)
                / mpmath.mpf(float(np.spacing(abs(z))))
            )
        )


@pytest.mark.parametrize("case", ["all", "centre", "tail", "seams"])
def test_quantile_error(case):
    random = np.random.default_rng(3)
    p = {
        "all": random.uniform(0, 1, POINTS),
        "centre": 0.5 + np.ldexp(random.uniform(-1, 1, POINTS), random.integers(-50, -4, POINTS)),
        "tail": np.ldexp(random.uniform(0.5, 1, POINTS), random.integers(-1070, -4, POINTS)),
        "seams": neighbours([0.075, 0.925, math.exp(-25)], DOUBLE),
    }[case]
    assert (
        max(quantile_error(*pair) for pair in zip(p, values(real.normal_quantile, p), strict=True))
        <= 5
    )


@given(st.integers(1, 2**53 - 1))
@EXAMPLES
def test_quantile_is_antisymmetric_to_the_bit(k):
    p = np.array([k, 2**53 - k]) * 2.0**-53
    z = values(real.normal_quantile, p)
    assert z[0] == -z[1]
    assert (z[0] > 0) == (p[0] > 0.5)


# --- Special values

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("function", "kinds", "table"),
    [
        (
            real.exp,
            BOTH,
            [
                (0.0, 1),
                (-0.0, 1),
                (INF, INF),
                (-INF, 0),
                (NAN, NAN),
                (1000.0, INF),
                (-1000.0, 0),
                (1e-30, 1),
                (-1e-30, 1),
            ],
        ),
        (real.exp, [DOUBLE], [(709.79, INF), (-745.2, 0), (-745.1, 5e-324)]),
        (real.exp, [SINGLE], [(88.73, INF), (-103.98, 0), (-103.9, 2.0**-149)]),
        (
            real.sigmoid,
            BOTH,
            [
                (0.0, 0.5),
                (-0.0, 0.5),
                (INF, 1),
                (-INF, 0),
                (NAN, NAN),
                (1e30, 1),
                (-1e30, 0),
                (1e-30, 0.5),
                (-1e-30, 0.5),
            ],
        ),
        (real.sigmoid, [DOUBLE], [(-708.4, 0), (37.0, 1), (1e300, 1), (-1e300, 0)]),
        (real.sigmoid, [SINGLE], [(-87.34, 0), (17.0, 1)]),
        (
            vector_ir.sqrt,
            BOTH,
            [(0.0, 0), (-0.0, -0.0), (INF, INF), (-1.0, NAN), (NAN, NAN), (4.0, 2)],
        ),
        (
            real.log,
            [DOUBLE],
            [
                (1.0, 0),
                (0.0, -INF),
                (-0.0, -INF),
                (INF, INF),
                (-INF, NAN),
                (-1.0, NAN),
                (-1e-310, NAN),
                (NAN, NAN),
            ],
        ),
        (
            real.log1p,
            [DOUBLE],
            [
                (0.0, 0),
                (-1.0, -INF),
                (-1.5, NAN),
                (-INF, NAN),
                (INF, INF),
                (NAN, NAN),
                (5e-324, 5e-324),
                (-5e-324, -5e-324),
            ],
        ),
        (
            real.cos,
            [DOUBLE],
            [
                (0.0, 1),
                (-0.0, 1),
                (1e-300, 1),
                (1647100.0, NAN),
                (-1647100.0, NAN),
                (INF, NAN),
                (-INF, NAN),
                (NAN, NAN),
            ],
        ),
        (
            real.normal_quantile,
            [DOUBLE],
            [
                (0.5, 0),
                (0.0, NAN),
                (1.0, NAN),
                (-0.1, NAN),
                (1.1, NAN),
                (INF, NAN),
                (-INF, NAN),
                (NAN, NAN),
            ],
        ),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_special_values(function, kinds, table):
    for kind in kinds:
        x, wanted = np.array(table, kind).T
        np.testing.assert_array_equal(values(function, x.copy()), wanted)
        assert all(type(function(v)) is kind for v in x)


@pytest.mark.parametrize("kind", BOTH)
@given(data=st.data())
@EXAMPLES
def test_sigmoid_is_a_normal_number_in_the_unit_interval_or_zero(kind, data):
    x = data.draw(patterns(kind))
    (y,) = values(real.sigmoid, np.array([x]))
    assert math.isnan(y) if math.isnan(x) else y == 0 or np.finfo(kind).tiny <= y <= 1


@njit(**FLAGS)
def falls(function_of, first, step, before, x, out):
    """How often the sigmoid falls along the float32 whose bits are first, first + step, …, with the
    last value."""
    for i in range(x.size):
        x[i] = np.int32(first + step * i).view(np.float32)
    function_of(x, out)
    count = 0
    for i in range(x.size):
        count += not before <= out[i] <= np.float32(1)
        before = out[i]
    return count, before


def falls_between(first, step, size):
    out, sigmoid = np.empty(1 << 16, SINGLE), loop(real.sigmoid)
    before, total = SINGLE(0), 0
    for start in range(0, size, out.size):
        part = out[: min(out.size, size - start)]
        count, before = falls(
            sigmoid, first + step * start, step, before, np.empty_like(part), part
        )
        total += count
    return total


MINUS_ZERO, INFINITY_BITS = -(2**31), 0x7F800000


@pytest.mark.parametrize("x", [0.1, 0.34657, 0.6, 1.0397, 20.0])
@pytest.mark.jit
def test_float32_sigmoid_never_falls_where_its_steps_are_finest(x):
    middle = int(SINGLE(x).view(np.int32))
    assert falls_between(middle - 2**17, 1, 2**18) == 0
    assert falls_between(MINUS_ZERO + middle + 2**17, -1, 2**18) == 0


@pytest.mark.jit
@pytest.mark.soak
def test_float32_sigmoid_never_falls():
    assert falls_between(MINUS_ZERO + INFINITY_BITS, -1, INFINITY_BITS + 1) == 0
    assert falls_between(0, 1, INFINITY_BITS + 1) == 0


@njit(**FLAGS)
def largest_float32_error(first, step, size):
    """Of the float32 sigmoid, against the float64 one, in ulp."""
    worst = 0.0
    for i in range(size):
        x = np.int32(first + step * i).view(np.float32)
        exact = real.sigmoid(np.float64(x))
        exponent = np.float32(exact).view(np.int32) & np.int32(INFINITY_BITS)
        unit = np.float64(np.int32(exponent).view(np.float32)) * 2.0**-23
        worst = max(worst, abs(np.float64(real.sigmoid(x)) - exact) / unit)
    return worst


@pytest.mark.jit
@pytest.mark.soak
def test_float32_sigmoid_error_over_all_inputs():
    assert largest_float32_error(MINUS_ZERO, 1, int(SINGLE(87.3).view(np.int32))) <= 2.8
    assert largest_float32_error(0, 1, INFINITY_BITS) <= 2.8


# --- One definition, two forms


@pytest.mark.jit
@names
@given(data=st.data())
@EXAMPLES
def test_compiled_and_python_forms_agree_to_the_bit(function, kind, data):
    x = data.draw(
        st.one_of(patterns(kind), st.floats(-50, 50).map(kind), st.floats(0, 1).map(kind))
    )
    assert bits(values(function, np.array([x]))[0]) == bits(function(x))


def triples(kind):
    """Any bit patterns, and sums that cancel all but the rounding of the product."""

    def cancelling(abu):
        a, b, ulps = abu
        with np.errstate(all="ignore"):
            c = -(a * b)
            return a, b, c + kind(ulps) * np.spacing(c)

    anything = patterns(kind)
    return st.one_of(
        st.tuples(anything, anything, anything),
        st.tuples(anything, anything, st.sampled_from([-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0])).map(
            cancelling
        ),
    )


def compiled_and_python(a, b, c):
    return (fused(a, b, c), vector_ir.fma(a, b, c)) if JIT else (vector_ir.fma(a, b, c),)


@pytest.mark.parametrize("kind", BOTH)
@given(data=st.data())
@EXAMPLES
def test_fma_is_the_nearest_to_the_exact_value(kind, data):
    a, b, c = data.draw(triples(kind))
    results = compiled_and_python(a, b, c)
    assert len({bits(r) for r in results}) == 1
    result = results[0]
    if not all(map(math.isfinite, (a, b, c))):
        return
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    largest = np.finfo(kind).max
    half_step = (Fraction(float(largest)) - Fraction(float(np.nextafter(largest, kind(0))))) / 2
    if abs(exact) >= Fraction(float(largest)) + half_step:
        assert result == (INF if exact > 0 else -INF)
        return
    error = abs(Fraction(float(result)) - exact)
    for side in (-INF, INF):
        with np.errstate(all="ignore"):
            other = np.nextafter(result, kind(side))
        if math.isfinite(other):
            further = abs(Fraction(float(other)) - exact)
            assert error < further or (error == further and vector_ir.to_bits(result) & 1 == 0)


SPECIAL = [
    (0.0, 1.0, 0.0, 0.0),
    (-0.0, 1.0, 0.0, 0.0),
    (-0.0, 1.0, -0.0, -0.0),
    (2.0, 3.0, -6.0, 0.0),
    (1e38, 1e38, -INF, -INF),
    (1e38, -1e38, INF, INF),
    (INF, 0.0, 1.0, NAN),
    (INF, 1.0, -INF, NAN),
    (NAN, 1.0, 1.0, NAN),
    (1.0, 1.0, NAN, NAN),
]


def at_the_ends(kind):
    """Sums of which the product alone is out of range."""
    top, least = np.finfo(kind).max, np.finfo(kind).smallest_subnormal
    return [
        (top, 2.0, -top, top),
        (top, top, 1.0, INF),
        (top, top, -INF, -INF),
        (least, -0.25, 0.0, -0.0),
        (least, 0.5, least, 2 * least),  # halfway: to even
    ]


HALFWAY = 1 + 2.0**-12
"""Its square lies halfway between two float32."""

ROUNDED_ONCE = [
    (HALFWAY, HALFWAY, 2.0**-60, 1 + 2.0**-11 + 2.0**-23),
    (HALFWAY, HALFWAY, -(2.0**-60), 1 + 2.0**-11),
]


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        *((kind, numbers) for kind in BOTH for numbers in (*SPECIAL, *at_the_ends(kind))),
        *((SINGLE, numbers) for numbers in ROUNDED_ONCE),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_fma_special_values(kind, numbers):
    *abc, wanted = map(kind, numbers)
    for result in compiled_and_python(*abc):
        assert bits(result) == bits(wanted)


def test_fma_refuses_mixed_types():
    with pytest.raises(TypeError, match="one type, not float64, float32, float64"):
        vector_ir.fma(DOUBLE(1), SINGLE(1), DOUBLE(1))
    if JIT:
        with pytest.raises(TypingError):
            fma_loop(np.ones(1), np.ones(1, SINGLE), np.ones(1), np.empty(1))


@vector_ir.elementary
def horner(x):
    return vector_ir.polynomial(x, (0.1, 0.2, 0.3))


@vector_ir.elementary
def shifted(x):
    return vector_ir.from_bits(vector_ir.to_bits(x) << 3)


@pytest.mark.parametrize("kind", BOTH)
def test_polynomial_is_horner_with_one_rounding_a_step(kind):
    x = kind(0.7)
    wanted = vector_ir.fma(vector_ir.fma(kind(0.3), x, kind(0.2)), x, kind(0.1))
    assert bits(horner(x)) == bits(values(horner, np.array([x]))[0]) == bits(wanted)


@pytest.mark.parametrize(("kind", "whole"), [(SINGLE, np.int32), (DOUBLE, np.int64)])
def test_bit_views(kind, whole):
    x = np.array([1.0, -2.5, 0.1, 1e-40], kind)
    np.testing.assert_array_equal(values(shifted, x).view(whole), x.view(whole) << 3)
    np.testing.assert_array_equal(shifted(x).view(whole), x.view(whole) << 3)
    assert vector_ir.to_bits(kind(1.5)) == kind(1.5).view(whole)
    assert type(vector_ir.to_bits(kind(1.5))) is type(vector_ir.to_bits(kind(1.5)) << 3) is whole
    assert bits(vector_ir.from_bits(vector_ir.to_bits(kind(0.1)))) == bits(kind(0.1))


@pytest.mark.parametrize("kind", BOTH)
def test_like_rounds_a_constant_once_to_the_type(kind):
    @njit(**FLAGS)
    def constant(x, out):
        out[0] = vector_ir.like(x[0], 0.1)

    out = np.empty(1, DOUBLE)
    constant(np.ones(1, kind), out)
    assert out[0] == vector_ir.like(kind(1), 0.1) == kind(0.1)
    assert type(vector_ir.like(kind(1), 0.1)) is kind


# --- What is compiled

LIBM = re.compile(
    r"__svml|\b(?:exp|exp2|log|log2|log1p|pow|cos|sin|sqrt|ldexp|floor|round|rint)f?(?=\(|@|$)",
    re.MULTILINE,
)


def machine_code(function, kind):
    values(function, np.full(1, 0.3, kind))
    over = loop(function)
    (signature,) = (s for s in over.signatures if s[0].dtype.name == kind.__name__)
    return over.inspect_llvm(signature), over.inspect_asm(signature)


@pytest.mark.jit
@names
def test_no_call_of_libm(function, kind):
    for code in machine_code(function, kind):
        assert LIBM.findall(code) == []


@pytest.mark.jit
@pytest.mark.parametrize("function", [real.exp, real.sigmoid, vector_ir.sqrt])
def test_no_double_in_float32_code(function):
    assert "double" not in machine_code(function, SINGLE)[0]
    assert "double" in machine_code(function, DOUBLE)[0]


@pytest.mark.jit
@names
@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="looks for x86 instructions"
)
def test_loops_vectorise(function, kind):
    if "vfmadd" not in machine_code(real.sigmoid, kind)[1]:
        pytest.skip("the target has no fused multiply-add")
    packed = "vsqrtp[sd]" if function is vector_ir.sqrt else "vfmadd[0-9]+p[sd]"
    assert re.search(packed, machine_code(function, kind)[1])
