"""Elementary functions with the same bits everywhere: exp, sigmoid, log, cos, normal quantile.

Built from IEEE + − × ÷ √, fused multiply-add and bit operations alone: no libm, no fastmath, no
conversion from float to integer. Each function is called from compiled code, or with the JIT off as
plain Python on NumPy scalars, and gives the same bits either way. `sigmoid` and `slope` are written
without branches, so that they also take vectors and arrays; of the others all but `normal_quantile`
choose between two values only, so that a loop over them vectorises.

Errors are in ulp, units in the last place of the exact result, as measured against mpmath
(tests/kernels/test_real.py).
"""

from typing import Any, TypeAlias

import numpy as np
from numba import types

from fastbp.kernels.jit import compiled_form, inlined
from fastbp.kernels.vector_ir import (
    F,
    Real,
    by_precision,
    choose,
    fma,
    from_bits,
    like,
    polynomial,
    precision,
    shift_left,
    sqrt,
    to_bits,
)

Double: TypeAlias = Any  # a float64


def elementary(function: F) -> F:
    """Inline a function in compiled code, and silence NumPy's warnings with the JIT off.

    Overflow to ∞ and arithmetic on NaN are meant to happen here.
    """
    silent: F = np.errstate(all="ignore")(function)
    compiled_form(silent)(lambda *_: function)
    return silent


# --- exp and the sigmoid
#
# Both write eʸ as 2ᵏ times the exponential of a small rest, k an integer. Added to ROUND = 1.5·2⁵²
# (float32 1.5·2²³) and the bias of the exponent, k stands in the last bits of the sum, and the bits
# of the sum shifted left by the width of the fraction are those of 2ᵏ. log₂e, or ln 2, is in two
# parts, or large arguments would lose the digits that k takes.
#
# exp, and the sigmoid of float32, take 2ʳ for the rest. In float64 k is the nearest integer and |r|
# ≤ ½. In float32 it is the integer below and 0 ≤ r ≤ 1: then, the coefficients being positive,
# every rounded step of Horner's rule is nondecreasing in r, and so are exp and the sigmoid over all
# float32.

LOG2E = (1.4426950408889634, 1.4426950216293335)
LOG2E_LOW = (2.0355273740931033e-17, 1.925963033500011e-08)
BIASED_ROUND = (6755399441056767.0, 12583039.0)  # ROUND + 1023, ROUND + 127
FRACTION_BITS = (52, 23)
LN2_HIGH, LN2_LOW = (
    0.6931471805598903,
    5.497923018708371e-14,
)  # the high part has 42 bits: an exponent times it is exact

# 2·2ʳ, minimax in relative error with the first coefficient held at 2. Twice, or the scale of the
# float32 sigmoid overflowed too soon.
TWICE_EXP2_DOUBLE = (
    2.0, 1.3862943611198906, 0.48045301391820217, 0.11100821732964344, 0.019236258215203215,
    0.0026667116293092722, 0.0003080706089806249, 3.0505467267893185e-05, 2.6430877676964474e-06,
    2.0356320095500383e-07, 1.4146465222605353e-08, 8.877727400055159e-10,
)  # fmt: skip
TWICE_EXP2_SINGLE = (
    2.0, 1.3862941265106201, 0.48045817017555237, 0.11097236722707748, 0.019347550347447395,
    0.002496457891538739, 0.000431319436756894,
)  # fmt: skip

# r·coth(r/2) for |r| ≤ ½ ln 2, in powers of r²; minimax in the relative error that it leaves in e^r
# (1.8·10⁻¹⁹), with the first coefficient held at 2.
R_COTH = (
    2.0, 0.16666666666666555, -0.002777777777669694, 6.61375625027644e-05, -1.6533837315121435e-06,
    4.1360529755719786e-08,
)  # fmt: skip
LOWEST = (-708.3964185322641, -87.33654)
"""Below these σ is less than the smallest normal number."""


@inlined
def _split_exponent(y: Real, log2e: Real, log2e_low: Real, biased: Real) -> tuple[Real, Real]:
    """With y·log₂e = k + r: `biased` + k, and 2·2ʳ."""
    nearest = by_precision(y, True, False)
    shifted = fma(y, log2e, biased) if nearest else fma(y, log2e, like(y, -0.5)) + biased
    r = fma(y, log2e_low, fma(y, log2e, biased - shifted))
    return shifted, polynomial(r, by_precision(y, TWICE_EXP2_DOUBLE, TWICE_EXP2_SINGLE))


@elementary
def exp(x: Real) -> Real:
    """eˣ for every float64 or float32: gradual underflow, 0 and ∞ beyond.

    Within 1.1 ulp (float32 1.6, nondecreasing).
    """
    biased = like(x, by_precision(x, BIASED_ROUND[0], BIASED_ROUND[1]))
    width = by_precision(x, FRACTION_BITS[0], FRACTION_BITS[1])
    log2e = like(x, by_precision(x, LOG2E[0], LOG2E[1]))
    low, high = (
        like(x, by_precision(x, -746.0, -104.0)),
        like(x, by_precision(x, 710.0, 89.0)),
    )  # e^low → 0, e^high → ∞
    y = low if x < low else x
    y = high if y > high else y  # NaN passes both
    shifted, twice = _split_exponent(
        y, log2e, like(x, by_precision(x, LOG2E_LOW[0], LOG2E_LOW[1])), biased
    )
    k = shifted - biased
    # 2^(k−1) in two factors: it may itself be out of range. Only the last product can round.
    half = fma(k, like(x, 0.5), biased)
    other = ((k - (half - biased)) - like(x, 1.0)) + biased
    return (
        twice
        * from_bits(shift_left(to_bits(half), width))
        * from_bits(shift_left(to_bits(other), width))
    )


def sigmoid(x: Real) -> Real:
    """σ(x) = 1/(1 + e⁻ˣ) for every float64 or float32, in [0, 1].

    Within 2.5 ulp (float32 2.8, nondecreasing).

    Exactly 0 where σ is below the smallest normal number (x < −708.396, in float32 −87.336), so no
    result is subnormal.
    """
    return _single_sigmoid(x) if precision(x) is np.float32 else _double_sigmoid(x)


@np.errstate(all="ignore")
def _double_sigmoid(x: Double) -> Double:
    """(C − r)/((C − r) + 2ᵏ(C + r)) where −x = k·ln 2 + r and C = r·coth(r/2).

    e^r = (C + r)/(C − r). C is even in r and needs only half the terms of e^r, and σ needs the
    division anyway.
    """
    most, biased = like(x, 40.0), like(x, BIASED_ROUND[0])
    y = choose(x > most, most, x)  # σ rounds to 1; NaN passes
    shifted = fma(y, like(x, -LOG2E[0]), biased)
    minus_k = biased - shifted
    r = fma(minus_k, like(x, LN2_LOW), fma(minus_k, like(x, LN2_HIGH), -y))
    c = polynomial(r * r, R_COTH)
    minus, plus = c - r, c + r
    scale = from_bits(
        shift_left(to_bits(shifted), FRACTION_BITS[0])
    )  # 2ᵏ, or nonsense, where the result is 0
    quotient = minus / fma(
        plus, scale, minus
    )  # multiplied, not added to the exponent bits: a NaN stays one
    return choose(x < like(x, LOWEST[0]), like(x, 0.0), quotient)


@np.errstate(all="ignore")
def _single_sigmoid(x: Real) -> Real:
    """4/(4 + 4e⁻ˣ): of what is computed only e⁻ˣ varies, so that σ is nondecreasing with it."""
    most, four = like(x, 20.0), like(x, 4.0)
    y = choose(x > most, most, x)  # σ rounds to 1; NaN passes
    log2e, log2e_low = like(x, -LOG2E[1]), like(x, -LOG2E_LOW[1])
    shifted, twice = _split_exponent(y, log2e, log2e_low, like(x, BIASED_ROUND[1] + 1.0))
    scale = from_bits(shift_left(to_bits(shifted), FRACTION_BITS[1]))  # 2^(k+1)
    quotient = four / fma(twice, scale, four)
    return choose(x < like(x, LOWEST[1]), like(x, 0.0), quotient)


@compiled_form(sigmoid)
def _sigmoid(x: Any) -> Any:
    return _single_sigmoid.__wrapped__ if x is types.float32 else _double_sigmoid.__wrapped__  # type: ignore[attr-defined]


@inlined
def slope(a: Real) -> Real:
    """σ′(z) from a = σ(z): a(1 − a), as fma(−a, a, a)."""
    return fma(-a, a, a)


# --- Logarithms

ROUND = 6755399441055744.0  # 1.5·2⁵²: added to a float64 below 2⁵¹, it rounds that to an integer
ROUND_BITS = np.int64(0x4338000000000000)
INFINITY, NAN = np.float64(np.inf), np.float64(np.nan)
SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
SMALLEST_NORMAL = 2.2250738585072014e-308
ATANH = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
    1.479819860511658591e-01,
)  # fmt: skip


@inlined
def _log_of_parts(k: Double, f: Double, correction: Double) -> Double:
    """log(2ᵏ(1 + f)) + correction for 1 + f in [√½, √2), by 2 artanh(s), s = f/(2 + f).

    As in FreeBSD's e_log.c (Ng, 1993).
    """
    half_square = 0.5 * f * f
    s = f / (2.0 + f)
    z = s * s
    rest = z * polynomial(z, ATANH)
    return fma(
        k, LN2_HIGH, f - (half_square - fma(s, half_square + rest, fma(k, LN2_LOW, correction)))
    )


@elementary
def log(x: Double) -> Double:
    """The natural logarithm of a float64: 0 gives −∞, a negative number NaN; within 0.9 ulp."""
    y = x if x > 0.0 else like(x, 1.0)
    y = y if y < INFINITY else like(x, 1.0)
    subnormal = y < SMALLEST_NORMAL
    bits = to_bits(y * (18014398509481984.0 if subnormal else 1.0))  # 2⁵⁴
    exponent = (bits - SQRT_HALF_BITS) >> np.int64(52)
    k = from_bits(exponent + ROUND_BITS) - ROUND - (54.0 if subnormal else 0.0)
    value = _log_of_parts(k, from_bits(bits - shift_left(exponent, 52)) - 1.0, 0.0)
    value = value if x < INFINITY else x
    return value if x > 0.0 else (-INFINITY if x == 0.0 else NAN)


@elementary
def log1p(x: Double) -> Double:
    """The natural logarithm of 1 + x, a float64: −1 gives −∞, less NaN.

    Within 0.9 ulp, near 0 too.
    """
    y = x if x > -1.0 else like(x, 0.0)
    y = y if y < INFINITY else like(x, 0.0)
    u = 1.0 + y
    lost = (1.0 - (u - y)) if y > 1.0 else (y - (u - 1.0))  # what rounding u lost, exactly
    bits = to_bits(u)
    exponent = (bits - SQRT_HALF_BITS) >> np.int64(52)
    k = from_bits(exponent + ROUND_BITS) - ROUND
    near = k == 0.0  # then f is y itself
    f = y if near else from_bits(bits - shift_left(exponent, 52)) - 1.0
    value = _log_of_parts(k, f, 0.0 if near else lost / u)
    value = value if x < INFINITY else x
    return value if x > -1.0 else (-INFINITY if x == -1.0 else NAN)


# --- Cosine

COS_LIMIT = 1647099.0  # 2²⁰·π/2
TWO_OVER_PI = 0.6366197723675814
# π/2 in three parts (Cody & Waite, 1980): n times the first leaves x − that exact, n times the
# second (32 bits) is exact
HALF_PI = (1.5707963267948966, 6.12323399667708e-17, -9.403137205957857e-27)
SIN = (
    -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
    2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10,
)  # fmt: skip
COS = (
    4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
    -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11,
)  # fmt: skip


@elementary
def cos(x: Double) -> Double:
    """The cosine of a float64, |x| ≤ 1,647,099 (2²⁰·π/2), beyond it NaN.

    Within 0.8 ulp, near the zeros too. The remainder r + t of x by π/2, then sine or cosine of it
    as in FreeBSD's k_sin.c and k_cos.c (Sun Microsystems, 1993).
    """
    y = x if x <= COS_LIMIT else NAN
    y = y if y >= -COS_LIMIT else NAN
    shifted = fma(y, TWO_OVER_PI, ROUND)
    n = shifted - ROUND
    quadrant = to_bits(shifted) & np.int64(3)
    first = fma(-n, HALF_PI[0], y)
    second = n * HALF_PI[1]
    r = first - second
    t = fma(-n, HALF_PI[2], (first - r) - second)
    z = r * r
    cube = z * r
    sine_rest = polynomial(z, SIN[1:])
    sine = r - (fma(z, fma(-cube, sine_rest, 0.5 * t), -t) - cube * SIN[0])
    half_square = 0.5 * z
    leading = 1.0 - half_square
    cosine = leading + (((1.0 - leading) - half_square) + fma(z * z, polynomial(z, COS), -(r * t)))
    size = cosine if (quadrant & np.int64(1)) == np.int64(0) else sine
    return size if ((quadrant + np.int64(1)) & np.int64(2)) == np.int64(0) else -size


# --- Normal quantile

# Numerator and denominator of the rational functions of PPND16, constant term first.
CENTRE = (
    (
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
        1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
        3.3430575583588128105e4, 2.5090809287301226727e3,
    ),
    (
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
        2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)  # fmt: skip
SHOULDER = (
    (
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
        3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
        2.27238449892691845833e-2, 7.74545014278341407640e-4,
    ),
    (
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
        1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)  # fmt: skip
TAIL = (
    (
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
        2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
        2.71155556874348757815e-5, 2.01033439929228813265e-7,
    ),
    (
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
        7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)  # fmt: skip


@elementary
def normal_quantile(p: Double) -> Double:
    """The z below which a standard normal deviate falls with probability p, 0 < p < 1 (else NaN).

    Within 4.6 ulp. Wichura, "Algorithm AS 241", Applied Statistics 37 (1988) 477–484, routine
    PPND16. It is computed from the half nearer 0, so normal_quantile(1 − p) = −normal_quantile(p)
    to the bit wherever 1 − p is exact.
    """
    tail = 1.0 - p if p > 0.5 else p
    q = 0.5 - tail
    if q <= 0.425:
        r = fma(-q, q, 0.180625)
        z = q * polynomial(r, CENTRE[0]) / polynomial(r, CENTRE[1])
    else:
        r = sqrt(-log(tail))
        shoulder = polynomial(r - 1.6, SHOULDER[0]) / polynomial(r - 1.6, SHOULDER[1])
        z = shoulder if r <= 5.0 else polynomial(r - 5.0, TAIL[0]) / polynomial(r - 5.0, TAIL[1])
    return z if p > 0.5 else -z
