"""Elementary functions with the same bits everywhere: exp, sigmoid, log, cos, normal quantile.

Built from IEEE + − × ÷ √, fused multiply-add and bit operations alone: no libm, no fastmath, no
conversion from float to integer. Each function is called from compiled code, or with the JIT off as
plain Python on NumPy scalars, and gives the same bits either way. All but `normal_quantile` are
written without branches, so that they also take vectors and arrays, and a loop over them
vectorises.

Errors are in ulp, units in the last place of the exact result, as measured against mpmath
(tests/kernels/test_real.py).
"""

import math
from typing import Any

import numpy as np

from fastbp.kernels.jit import inlined
from fastbp.kernels.vector_ir import (
    Real,
    choose,
    elementary,
    fma,
    from_bits,
    polynomial,
    sqrt,
    to_bits,
)

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
LN2 = (
    (0.6931471805598903, 5.497923018708371e-14),
    (0.6931457519531250, 1.4286068203094172e-06),
)  # the high parts have 42 and 17 bits: an exponent times them is exact
LN2_HIGH, LN2_LOW = LN2[0]

# 2·2ʳ, minimax in relative error with the first coefficient held at 2. Twice, or the scale of the
# float32 sigmoid overflowed too soon.
TWICE_EXP2 = (
    (
        2.0, 1.3862943611198906, 0.48045301391820217, 0.11100821732964344, 0.019236258215203215,
        0.0026667116293092722, 0.0003080706089806249, 3.0505467267893185e-05,
        2.6430877676964474e-06, 2.0356320095500383e-07, 1.4146465222605353e-08,
        8.877727400055159e-10,
    ),
    (
        2.0, 1.3862941265106201, 0.48045817017555237, 0.11097236722707748, 0.019347550347447395,
        0.002496457891538739, 0.000431319436756894,
    ),
)  # fmt: skip

# r·coth(r/2) for |r| ≤ ½ ln 2, in powers of r²; minimax in the relative error that it leaves in e^r
# (1.8·10⁻¹⁹), with the first coefficient held at 2.
R_COTH = (
    2.0, 0.16666666666666555, -0.002777777777669694, 6.61375625027644e-05, -1.6533837315121435e-06,
    4.1360529755719786e-08,
)  # fmt: skip
LOWEST = (-708.3964185322641, -87.33654)
"""Below these σ is less than the smallest normal number."""


def _split_exponent(y: Real, sign: float, biased: float) -> tuple[Real, Real]:
    """With ±y·log₂e = k + r: `biased` + k, and 2·2ʳ."""
    single = y.dtype == np.float32
    log2e = sign * LOG2E[single]
    shifted = fma(y, log2e, -0.5) + biased if single else fma(y, log2e, biased)
    r = fma(y, sign * LOG2E_LOW[single], fma(y, log2e, biased - shifted))
    return shifted, polynomial(r, TWICE_EXP2[single])


@elementary
def exp(x: Real) -> Real:
    """eˣ for every float64 or float32: gradual underflow, 0 and ∞ beyond.

    Within 1.1 ulp (float32 1.6, nondecreasing).
    """
    single = x.dtype == np.float32
    biased, width = BIASED_ROUND[single], FRACTION_BITS[single]
    low, high = ((-746.0, 710.0), (-104.0, 89.0))[single]  # e^low → 0, e^high → ∞
    y = choose(x < low, low, x)
    y = choose(y > high, high, y)  # NaN passes both
    shifted, twice = _split_exponent(y, 1.0, biased)
    k = shifted - biased
    # 2^(k−1) in two factors: it may itself be out of range. Only the last product can round.
    half = fma(k, 0.5, biased)
    other = ((k - (half - biased)) - 1.0) + biased
    return twice * from_bits(to_bits(half) << width) * from_bits(to_bits(other) << width)


@elementary
def sigmoid(x: Real) -> Real:
    """σ(x) = 1/(1 + e⁻ˣ) for every float64 or float32, in [0, 1].

    Within 2.5 ulp (float32 2.8, nondecreasing). Exactly 0 where σ is below the smallest normal
    number (x < −708.396, in float32 −87.336), so no result is subnormal.

    In float64 it is (C − r)/((C − r) + 2ᵏ(C + r)) where −x = k·ln 2 + r and C = r·coth(r/2): e^r =
    (C + r)/(C − r). C is even in r and needs only half the terms of e^r, and σ needs the division
    anyway. In float32 it is 4/(4 + 4e⁻ˣ): of what is computed only e⁻ˣ varies, so that σ is
    nondecreasing with it.
    """
    single = x.dtype == np.float32
    most = 20.0 if single else 40.0
    y = choose(x > most, most, x)  # σ rounds to 1; NaN passes
    if single:
        shifted, plus = _split_exponent(y, -1.0, BIASED_ROUND[1] + 1.0)  # for 2^(k+1)
        minus: Any = 4.0
    else:
        shifted = fma(y, -LOG2E[0], BIASED_ROUND[0])
        minus_k = BIASED_ROUND[0] - shifted
        r = fma(minus_k, LN2_LOW, fma(minus_k, LN2_HIGH, -y))
        c = polynomial(r * r, R_COTH)
        minus, plus = c - r, c + r
    # 2ᵏ, or nonsense where the result is 0. Multiplied, not added to the exponent bits: a NaN stays
    # one.
    scale = from_bits(to_bits(shifted) << FRACTION_BITS[single])
    return choose(x < LOWEST[single], 0.0, minus / fma(plus, scale, minus))


@elementary
def tanh(x: Real) -> Real:
    """The hyperbolic tangent of every float64 or float32, an odd function to the bit.

    Within 2.8 ulp (float32 2.5), near 0 too. With 2|x| = k·ln 2 + r and e^r = (C + r)/(C − r) as in
    `sigmoid`, it is ((2ᵏ − 1)C + (2ᵏ + 1)r)/((2ᵏ + 1)C + (2ᵏ − 1)r): for k = 0 that is r/C.
    """
    single = x.dtype == np.float32
    most = 10.0 if single else 20.0
    size = choose(x < 0.0, -x, x)
    y = choose(size > most, most, size)  # tanh rounds to 1; NaN passes
    y = y + y
    shifted = fma(y, LOG2E[0], BIASED_ROUND[single])
    minus_k = BIASED_ROUND[single] - shifted
    high, low = LN2[single]
    r = fma(minus_k, low, fma(minus_k, high, y))
    c = polynomial(r * r, R_COTH[: 4 if single else 6])
    scale = from_bits(to_bits(shifted) << FRACTION_BITS[single])
    less, more = scale - 1.0, scale + 1.0
    value = fma(less, c, more * r) / fma(less, r, more * c)
    return choose(x < 0.0, -value, value)


# --- Logarithms

ROUND = 6755399441055744.0  # 1.5·2⁵²: added to a float64 below 2⁵¹, it rounds that to an integer
ROUND_OF = (ROUND, 12582912.0)  # float32: 1.5·2²³
ROUND_BITS = (0x4338000000000000, 0x4B400000)
SQRT_HALF_BITS = (0x3FE6A09E667F3BCD, 0x3F3504F3)
SMALLEST_NORMAL = 2.2250738585072014e-308
ATANH = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
    1.479819860511658591e-01,
)  # fmt: skip


def _parts(y: Real) -> tuple[Real, Real]:
    """The k and f with y = 2ᵏ(1 + f), 1 + f in [√½, √2), of a positive normal number."""
    single = y.dtype == np.float32
    bits, width = to_bits(y), FRACTION_BITS[single]
    exponent = (bits - SQRT_HALF_BITS[single]) >> width
    k = from_bits(exponent + ROUND_BITS[single]) - ROUND_OF[single]
    return k, from_bits(bits - (exponent << width)) - 1.0


def _log_of_parts(k: Real, f: Real, correction: Real, x: Real, pole: float) -> Real:
    """log(2ᵏ(1 + f)) + correction for 1 + f in [√½, √2), by 2 artanh(s), s = f/(2 + f).

    As in FreeBSD's e_log.c (Ng, 1993). Where x is the pole it is −∞, below it NaN.
    """
    high, low = LN2[f.dtype == np.float32]
    half_square = 0.5 * f * f
    s = f / (2.0 + f)
    z = s * s
    rest = z * polynomial(z, ATANH)
    value = fma(k, high, f - (half_square - fma(s, half_square + rest, fma(k, low, correction))))
    value = choose(x < math.inf, value, x)
    return choose(x > pole, value, choose(x < pole, math.nan, x - math.inf))


@elementary
def log(x: Real) -> Real:
    """The natural logarithm of a float64: 0 gives −∞, a negative number NaN; within 0.9 ulp."""
    subnormal = x < SMALLEST_NORMAL
    k, f = _parts(choose(subnormal, x * 18014398509481984.0, x))  # 2⁵⁴
    return _log_of_parts(choose(subnormal, k - 54.0, k), f, 0.0, x, 0.0)


@elementary
def log1p(x: Real) -> Real:
    """The natural logarithm of 1 + x, a float64 or float32: −1 gives −∞, less NaN.

    Within 0.9 ulp (float32 1.0), near 0 too.
    """
    u = 1.0 + x
    lost = choose(x > 1.0, 1.0 - (u - x), x - (u - 1.0))  # what rounding u lost, exactly
    k, f = _parts(u)
    near = k * k < 1.0  # k = 0: then f is x itself
    return _log_of_parts(k, choose(near, x, f), choose(near, 0.0, lost / u), x, -1.0)


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
def cos(x: Real) -> Real:
    """The cosine of a float64, |x| ≤ 1,647,099 (2²⁰·π/2), beyond it NaN.

    Within 0.8 ulp, near the zeros too. The remainder r + t of x by π/2, then sine or cosine of it
    as in FreeBSD's k_sin.c and k_cos.c (Sun Microsystems, 1993).
    """
    y = choose(x <= COS_LIMIT, x, math.nan)
    y = choose(y >= -COS_LIMIT, y, math.nan)
    shifted = fma(y, TWO_OVER_PI, ROUND)
    n = shifted - ROUND
    quadrant = to_bits(shifted) & 3
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
    size = choose((quadrant & 1) > 0, sine, cosine)
    return choose(((quadrant + 1) & 2) > 0, -size, size)


# --- Normal quantile


def _ratio(numerator: tuple[float, ...], denominator: tuple[float, ...]) -> Any:
    """Make c times a rational function of r, from its coefficients, constant term first."""
    return elementary(lambda c, r: c * polynomial(r, numerator) / polynomial(r, denominator))


_centre = _ratio(
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
_shoulder = _ratio(
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
_tail = _ratio(
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


@inlined
@np.errstate(invalid="ignore")
def normal_quantile(p: Real) -> Real:
    """The z below which a standard normal deviate falls with probability p, 0 < p < 1 (else NaN).

    Within 4.6 ulp. Wichura, "Algorithm AS 241", Applied Statistics 37 (1988) 477–484, routine
    PPND16. It is computed from the half nearer 0, so normal_quantile(1 − p) = −normal_quantile(p)
    to the bit wherever 1 − p is exact.
    """
    tail = 1.0 - p if p > 0.5 else p
    q = 0.5 - tail
    if q <= 0.425:
        z = _centre(q, fma(-q, q, 0.180625))
    else:
        r = sqrt(-log(tail))
        z = _shoulder(1.0, r - 1.6) if r <= 5.0 else _tail(1.0, r - 5.0)
    return z if p > 0.5 else -z
