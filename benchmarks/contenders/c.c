/* Networks of one hidden layer by hand-written C: what the processor can do, or near it.

   Compiled for one workload: -DINPUTS -DHIDDEN -DOUTPUTS -DROWS -DBATCH are constants, -DSINGLE is float32. One network is one
   lane of a vector. Inputs and targets are 0 or 1, so a row is a word of bits, unless all networks see the same rows (-DSHARED).
   Sums run in whatever order is quickest. Needs AVX-512, or AVX2 with FMA. */

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#ifdef SINGLE
typedef float R;
typedef int32_t I;
#define FRACTION_BITS 23
#else
typedef double R;
typedef int64_t I;
#define FRACTION_BITS 52
#endif

#ifdef __AVX512F__
#define BYTES 64
#define MULTIPLY_LOW_WORDS(a, b) (Q) _mm512_mul_epu32((__m512i)(a), (__m512i)(b))
#else
#define BYTES 32
#define MULTIPLY_LOW_WORDS(a, b) (Q) _mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#endif
#if defined __AVX512F__ && defined SINGLE
#define INTRINSIC(operation) _mm512_##operation##_ps
#elif defined __AVX512F__
#define INTRINSIC(operation) _mm512_##operation##_pd
#elif defined SINGLE
#define INTRINSIC(operation) _mm256_##operation##_ps
#else
#define INTRINSIC(operation) _mm256_##operation##_pd
#endif

typedef R V __attribute__((vector_size(BYTES)));
typedef I W __attribute__((vector_size(BYTES)));
typedef uint64_t Q __attribute__((vector_size(BYTES)));

#define WIDTH ((int)(BYTES / sizeof(R)))
#define ALL(x) ((V){} + (R)(x))
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline)) /* where one function would be too much for the allocation of registers */
#define PARAMETERS (HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1))
#define UNROLLED _Pragma("GCC unroll 64")

/* sigmoid of fastbp/kernels/real.py, which explains it. Where that gives 0, this gives the smallest normal number. The constant
   comes first in max and min, so that a NaN stays one. */
INLINE V sigmoid(V x)
{
#ifdef SINGLE
    const R high = 1.4426950216293335f, low = 1.925963033500011e-08f, biased = 12583040.0f;
    static const R twice_exp2[7] = {2.0f, 1.3862941265106201f, 0.48045817017555237f, 0.11097236722707748f,
                                    0.019347550347447395f, 0.002496457891538739f, 0.000431319436756894f};
    V y = INTRINSIC(min)(ALL(20.0f), INTRINSIC(max)(ALL(-87.33654f), x));
    V shifted = (y * -high - (R)0.5) + biased;
    V r = y * -low + (y * -high + (biased - shifted));
    V p = ALL(twice_exp2[6]);
    UNROLLED for (int i = 5; i >= 0; i--) p = p * r + twice_exp2[i];
    V scale = (V)((W)shifted << FRACTION_BITS);
    return (R)4.0 / (p * scale + (R)4.0);
#else
    const R log2e = 1.4426950408889634, biased = 6755399441056767.0;
    const R ln2_high = 0.6931471805598903, ln2_low = 5.497923018708371e-14;
    static const R r_coth[6] = {2.0, 0.16666666666666555, -0.002777777777669694, 6.61375625027644e-05,
                                -1.6533837315121435e-06, 4.1360529755719786e-08};
    V y = INTRINSIC(min)(ALL(40.0), INTRINSIC(max)(ALL(-708.3964185322641), x));
    V shifted = y * -log2e + biased;
    V minus_k = biased - shifted;
    V r = minus_k * ln2_low + (minus_k * ln2_high - y);
    V square = r * r, c = ALL(r_coth[5]);
    UNROLLED for (int i = 4; i >= 0; i--) c = c * square + r_coth[i];
    V minus = c - r, plus = c + r, scale = (V)((W)shifted << FRACTION_BITS);
    return minus / (plus * scale + minus);
#endif
}

INLINE V slope(V a) { return a - a * a; }

/* An input is a mask where there are masks, otherwise a number. Adding under a mask is quicker than multiplying by 0 or 1: Zen 4
   adds in other units than those that multiply, which have the most to do. */
#if defined __AVX512F__ && !defined SHARED
#ifdef SINGLE
typedef __mmask16 X_;
#define ANY_BIT(words, bits) _mm512_test_epi32_mask((__m512i)(words), (__m512i)(bits))
#else
typedef __mmask8 X_;
#define ANY_BIT(words, bits) _mm512_test_epi64_mask((__m512i)(words), (__m512i)(bits))
#endif
#define NUMBER(x) INTRINSIC(maskz_mov)(x, ALL(1))
#define ADD_PRODUCT(sum, w, x) (sum) = INTRINSIC(mask_add)(sum, x, sum, w)
#else
#ifdef SHARED
typedef R X_;
#else
typedef V X_;
#endif
#define ANY_BIT(words, bits) (V)((((words) & (bits)) != 0) & (W)ALL(1))
#define NUMBER(x) (x)
#define ADD_PRODUCT(sum, w, x) (sum) += (w) * (x)
#endif

#if BATCH == 1 && OUTPUTS == 1

/* Online learning. So many lanes are a group, in passes over it that follow each other; all of it stays in the first cache.
   A pass does a weight's update and its next use together, so that each weight is read and written once an update. */

#ifndef LANES
#define LANES 160
#endif
#define STEPS (LANES / WIDTH)
#define EACH for (int v = 0; v < STEPS; v++)
#define PADDED ((ROWS + 3) / 4 * 4)
const int lanes = LANES;

typedef struct {
    V w1[HIDDEN][INPUTS][STEPS], b1[HIDDEN][STEPS], w2[HIDDEN][STEPS], b2[STEPS];
} Network;

static Network n;
static X_ x[2][INPUTS + 1][STEPS];
static V h[2][HIDDEN][STEPS], d[STEPS], e[HIDDEN][STEPS];
static W drawn[PADDED][STEPS];

/* Philox4x32-10 as in fastbp/kernels/random.py: words of 32 bits in 64, of which the upper half may hold anything until the end,
   since the multiplication does not look at it. A vector of float32 has half as many: even lanes, then odd ones. The upper word
   of the seed is the same for all lanes of a group. */
static void draw(uint64_t seed, uint64_t epoch)
{
    for (int group = 0; group < PADDED / 4; group++)
        EACH {
            W row[4];
            for (int part = 0; part < (int)(8 / sizeof(R)); part++) {
                Q key;
                for (int i = 0; i < BYTES / 8; i++) key[i] = seed + v * WIDTH + i * (8 / sizeof(R)) + part;
                Q k0 = key, c0 = (Q){} + group, c1 = (Q){} + epoch, c2 = {}, c3 = (Q){} + 1;
                uint64_t k1 = seed >> 32;
                UNROLLED for (int round = 0; round < 10; round++) {
                    Q p0 = MULTIPLY_LOW_WORDS(c0, (Q){} + 0xD2511F53), p1 = MULTIPLY_LOW_WORDS(c2, (Q){} + 0xCD9E8D57);
                    c0 = (p1 >> 32) ^ c1 ^ k0;
                    c2 = (p0 >> 32) ^ c3 ^ k1;
                    c1 = p1;
                    c3 = p0;
                    k0 += 0x9E3779B9;
                    k1 += 0xBB67AE85;
                }
                Q word[4] = {c0, c1, c2, c3};
                UNROLLED for (int i = 0; i < 4; i++) {
                    Q chosen = MULTIPLY_LOW_WORDS(word[i], (Q){} + ROWS) >> 32;
                    row[i] = part == 0 ? (W)chosen : row[i] | (W)(chosen << 32);
                }
            }
            for (int i = 0; i < 4; i++) drawn[4 * group + i][v] = row[i];
        }
}

/* rows[update][lane] are given, or drawn where there are none. */
static void online(const R *X, const R *T, const I *rows, uint64_t seed, int64_t updates, R rate)
{
    I bits[INPUTS + 1] = {0};
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < INPUTS; i++) bits[i] |= (I)(X[r * INPUTS + i] != 0) << r;
        bits[INPUTS] |= (I)(T[r] != 0) << r;
    }
    memset(x, 0, sizeof x), memset(h, 0, sizeof h), memset(d, 0, sizeof d), memset(e, 0, sizeof e);
    for (int64_t u = -1; u < updates; u++) {
        int now = u & 1, next = !now, at = (u + 1) % ROWS;
        if (u >= 0) {
            /* The output, with what the row before has left to add to its weights. */
            EACH {
                V step = d[v], z = n.b2[v] = n.b2[v] + step;
                UNROLLED for (int j = 0; j < HIDDEN; j++) {
                    V w = n.w2[j][v] = n.w2[j][v] + step * h[next][j][v];
                    z += w * h[now][j][v];
                }
                V o = sigmoid(z);
                d[v] = (o - NUMBER(x[now][INPUTS][v])) * -rate * slope(o);
            }
            EACH UNROLLED for (int j = 0; j < HIDDEN; j++) e[j][v] = n.w2[j][v] * d[v] * slope(h[now][j][v]);
        }
        if (rows)
            memcpy(drawn[at], rows + LANES * (u + 1 < updates ? u + 1 : u), LANES * sizeof(I));
        else if (at == 0)
            draw(seed, (u + 1) / ROWS);
        EACH {
            W row = ((W){} + 1) << drawn[at][v];
            UNROLLED for (int i = 0; i <= INPUTS; i++) x[next][i][v] = ANY_BIT(row, (W){} + bits[i]);
        }
        EACH UNROLLED for (int j = 0; j < HIDDEN; j++) {
            V step = e[j][v], z = n.b1[j][v] = n.b1[j][v] + step;
            UNROLLED for (int i = 0; i < INPUTS; i++) {
                V w = n.w1[j][i][v];
                ADD_PRODUCT(w, step, x[now][i][v]);
                ADD_PRODUCT(z, w, x[next][i][v]);
                n.w1[j][i][v] = w;
            }
            h[next][j][v] = sigmoid(z);
        }
    }
    int last = (updates - 1) & 1;
    EACH {
        n.b2[v] += d[v];
        for (int j = 0; j < HIDDEN; j++) n.w2[j][v] += d[v] * h[last][j][v];
    }
}

/* Groups of [parameter][lane]. rows: [group][update][lane], or none. */
void train(const R *start, R *end, int64_t groups, const R *X, const R *T, const I *rows, int64_t updates, R rate)
{
    for (int64_t g = 0; g < groups; g++) {
        memcpy(&n, start + g * PARAMETERS * LANES, sizeof n);
        online(X, T, rows ? rows + g * updates * LANES : NULL, g * LANES, updates, rate);
        memcpy(end + g * PARAMETERS * LANES, &n, sizeof n);
    }
}

#else

/* Batches. One vector of lanes is a group: the samples of the batch are what there is to do side by side. In one pass over the
   hidden units, a tile of them at a time, weights get the gradient of the batch before and serve the next one at once.
   Sums stand in registers: units × inputs for a gradient, units × samples for activations. */

/* Tiles, as found quickest: they divide what there is. An AVX2 processor has 16 registers, not 32. */
#define FIRST(n, a, b) ((n) % (a) == 0 ? (a) : (n) % (b) == 0 ? (b) : 1)
#if !defined __AVX512F__
#define UNITS FIRST(HIDDEN, 4, 5)
#define SAMPLES FIRST(BATCH, 2, 1)
#define SOME FIRST(INPUTS, 2, 1)
#elif defined SHARED
#define UNITS FIRST(HIDDEN, 5, 4)
#define SAMPLES FIRST(BATCH, 5, 4)
#define SOME FIRST(INPUTS, 2, 1)
#else
#define UNITS FIRST(HIDDEN, 2, 1)
#define SAMPLES FIRST(BATCH, 4, 2)
#define SOME FIRST(INPUTS, 8, 4)
#endif
#define EACH_UNIT UNROLLED for (int j = 0; j < UNITS; j++)
#define EACH_SAMPLE UNROLLED for (int s = 0; s < SAMPLES; s++)
#define EACH_INPUT UNROLLED for (int i = 0; i < SOME; i++)
#define EACH_OUTPUT for (int k = 0; k < OUTPUTS; k++)
const int lanes = WIDTH;

typedef struct {
    V w1[HIDDEN][INPUTS], b1[HIDDEN], w2[OUTPUTS][HIDDEN], b2[OUTPUTS];
} Network;

static Network n;
static X_ x[2][BATCH][INPUTS], t[BATCH][OUTPUTS];
static V h[HIDDEN][BATCH], d[OUTPUTS][BATCH], z[OUTPUTS][BATCH], e[UNITS][BATCH];

/* What the hidden units from `first` on add to weights. `d` and `e` are what biases get, with the rate and the sign. */
APART void learn(int first, X_ (*x)[INPUTS])
{
    V bias[UNITS];
    EACH_UNIT bias[j] = n.b1[first + j];
#if OUTPUTS == 1
    V back[UNITS], weight[UNITS];
    EACH_UNIT back[j] = weight[j] = n.w2[0][first + j];
    for (int r = 0; r < BATCH; r++)
        EACH_UNIT {
            V a = h[first + j][r], step = back[j] * d[0][r] * slope(a);
            e[j][r] = step;
            bias[j] += step;
            weight[j] += d[0][r] * a;
        }
    EACH_UNIT n.w2[0][first + j] = weight[j];
#else
    for (int r = 0; r < BATCH; r += SAMPLES) {
        V sum[UNITS][SAMPLES] = {};
        EACH_OUTPUT EACH_UNIT EACH_SAMPLE sum[j][s] += d[k][r + s] * n.w2[k][first + j];
        EACH_UNIT EACH_SAMPLE e[j][r + s] = sum[j][s] * slope(h[first + j][r + s]);
    }
    EACH_OUTPUT {
        V sum[UNITS];
        EACH_UNIT sum[j] = n.w2[k][first + j];
        for (int r = 0; r < BATCH; r++) EACH_UNIT sum[j] += d[k][r] * h[first + j][r];
        EACH_UNIT n.w2[k][first + j] = sum[j];
    }
    for (int r = 0; r < BATCH; r++) EACH_UNIT bias[j] += e[j][r];
#endif
    EACH_UNIT n.b1[first + j] = bias[j];
    for (int a = 0; a < INPUTS; a += SOME) {
        V sum[UNITS][SOME];
        EACH_UNIT EACH_INPUT sum[j][i] = n.w1[first + j][a + i];
        for (int r = 0; r < BATCH; r++) EACH_UNIT EACH_INPUT ADD_PRODUCT(sum[j][i], e[j][r], x[r][a + i]);
        EACH_UNIT EACH_INPUT n.w1[first + j][a + i] = sum[j][i];
    }
}

/* Their activations, and what they add to the outputs. */
APART void activate(int first, X_ (*x)[INPUTS])
{
    for (int r = 0; r < BATCH; r += SAMPLES) {
        V sum[UNITS][SAMPLES];
        EACH_UNIT EACH_SAMPLE sum[j][s] = n.b1[first + j];
        UNROLLED for (int i = 0; i < INPUTS; i++) EACH_UNIT EACH_SAMPLE ADD_PRODUCT(sum[j][s], n.w1[first + j][i], x[r + s][i]);
#if OUTPUTS == 1
        EACH_UNIT EACH_SAMPLE {
            V a = h[first + j][r + s] = sigmoid(sum[j][s]);
            z[0][r + s] += n.w2[0][first + j] * a;
        }
    }
#else
        EACH_UNIT EACH_SAMPLE h[first + j][r + s] = sum[j][s];
    }
    V *a = h[first];
    for (int i = 0; i < UNITS * BATCH; i++) a[i] = sigmoid(a[i]);
    for (int r = 0; r < BATCH; r += SAMPLES)
        EACH_OUTPUT {
            V sum[SAMPLES];
            EACH_SAMPLE sum[s] = z[k][r + s];
            EACH_UNIT EACH_SAMPLE sum[s] += n.w2[k][first + j] * h[first + j][r + s];
            EACH_SAMPLE z[k][r + s] = sum[s];
        }
#endif
}

#ifndef SHARED
/* The rows of a batch, [sample][lane]: each lane's word of bits, then inputs and targets. */
static void present(X_ (*x)[INPUTS], const int32_t *rows, const I *words)
{
    I word[BATCH][WIDTH] __attribute__((aligned(BYTES)));
    for (int r = 0; r < BATCH; r++)
        for (int lane = 0; lane < WIDTH; lane++) word[r][lane] = words[rows[r * WIDTH + lane]];
    for (int r = 0; r < BATCH; r++) {
        W all = *(W *)word[r];
        UNROLLED for (int i = 0; i < INPUTS; i++) x[r][i] = ANY_BIT(all, (W){} + ((I)1 << i));
        UNROLLED for (int k = 0; k < OUTPUTS; k++) t[r][k] = ANY_BIT(all, (W){} + ((I)1 << (INPUTS + k)));
    }
}
#endif

static void batches(const int32_t *rows, const I *words, int64_t updates, R rate)
{
    (void)rows, (void)words;
    memset(h, 0, sizeof h), memset(d, 0, sizeof d);
    for (int64_t u = 0; u <= updates; u++) { /* at the last, only what is left to add */
        X_(*before)[INPUTS] = x[0], (*now)[INPUTS] = x[0];
#ifndef SHARED
        before = x[!(u & 1)], now = x[u & 1];
        present(now, rows + (u < updates ? u : u - 1) * BATCH * WIDTH, words);
#endif
        EACH_OUTPUT {
            V sum = n.b2[k];
            UNROLLED for (int r = 0; r < BATCH; r++) sum += d[k][r];
            n.b2[k] = sum;
            UNROLLED for (int r = 0; r < BATCH; r++) z[k][r] = sum;
        }
        for (int first = 0; first < HIDDEN; first += UNITS) {
            learn(first, before);
            activate(first, now);
        }
        EACH_OUTPUT for (int r = 0; r < BATCH; r++) {
            V o = sigmoid(z[k][r]);
            d[k][r] = (o - NUMBER(t[r][k])) * -rate * slope(o);
        }
    }
}

/* Groups of [parameter][lane]. rows: [group][update][sample][lane], or none where all networks see all rows. */
void train(const R *start, R *end, int64_t groups, const R *X, const R *T, const int32_t *rows, int64_t updates, R rate)
{
    I words[ROWS] = {0};
#ifdef SHARED
    memcpy(x[0], X, sizeof x[0]), memcpy(t, T, sizeof t);
#else
    memset(x, 0, sizeof x);
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < INPUTS; i++) words[r] |= (I)(X[r * INPUTS + i] != 0) << i;
        for (int k = 0; k < OUTPUTS; k++) words[r] |= (I)(T[r * OUTPUTS + k] != 0) << (INPUTS + k);
    }
#endif
    for (int64_t g = 0; g < groups; g++) {
        memcpy(&n, start + g * PARAMETERS * WIDTH, sizeof n);
        batches(rows + g * updates * BATCH * WIDTH, words, updates, rate);
        memcpy(end + g * PARAMETERS * WIDTH, &n, sizeof n);
    }
}

#endif
