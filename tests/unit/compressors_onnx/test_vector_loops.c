/* Every vector loop in two variants within one run, as the program has it on this machine and as plain code:
 * both must give the same bits, for all that can be in an array of floats. Halves against the scalar
 * reference too. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "compressors/onnx/halves.h"
#include "compressors/onnx/prune_loops.h"
#include "compressors/onnx/round_loops.h"
#include "core/formats/dtype.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023};
enum { SIZES = 7, LARGEST = 1023, GROUP = 32 };

/* Defines wide_NAME, as the library has its loops, and plain_NAME. */
#define BOTH(type, name, parameters, call)                                                                   \
    VECTOR_LOOPS static type wide_##name parameters {                                                        \
        return call;                                                                                         \
    }                                                                                                        \
    static type plain_##name parameters {                                                                    \
        return call;                                                                                         \
    }

BOTH(bool, ranges, (const float *w, size_t n, float *low, float *high), round_ranges(w, n, GROUP, low, high))
BOTH(void, encode, (const float *w, size_t n, const float *scales, const uint8_t *zeros, uint8_t *codes),
     round_encode(w, n, GROUP, scales, zeros, 15, codes))
BOTH(void, pack, (const uint8_t *codes, size_t pairs, uint8_t *out), round_pack_nibbles(codes, pairs, out))
BOTH(void, halves, (const float *x, size_t n, uint16_t *out), round_halves(x, n, out))
BOTH(size_t, finite, (const float *x, size_t n, uint16_t *out), round_halves_finite(x, n, out))

BOTH(void, int8, (const float *w, float scale, size_t n, int8_t *q), round_int8_run(w, scale, n, 127, q))
BOTH(void, int8_columns, (const float *w, const float *scales, size_t n, int8_t *q),
     round_int8_columns(w, scales, n, 127, q))
BOTH(int32_t, largest, (const float *x, size_t n), vector_largest(x, n))
BOTH(void, keys, (const float *x, size_t n, int16_t *out), prune_keys(x, n, out))
BOTH(int16_t, top, (const int16_t *keys, size_t n), prune_top(keys, n))
BOTH(size_t, count, (const int16_t *keys, size_t n, int16_t bound), prune_count(keys, n, bound))
BOTH(size_t, lows, (const float *x, const int16_t *keys, size_t n, int16_t key, int16_t *out),
     prune_lows(x, keys, n, key, out, 0))
BOTH(void, gather, (const float *x, size_t n, int32_t low, int32_t high, struct prune_between *b, float *out),
     prune_gather(x, n, low, high, b, out))
BOTH(void, mark, (const float *x, size_t n, int32_t threshold, uint8_t *keep),
     prune_mark(x, n, threshold, keep))
BOTH(size_t, clear, (const float *x, size_t n, int32_t threshold, float *w), prune_clear(x, n, threshold, w))
BOTH(void, apply, (float *w, const uint8_t *keep, size_t n), prune_apply(w, keep, n))
BOTH(void, score, (const float *w, const double *norms, size_t n, float *out), prune_score(w, norms, n, out))
BOTH(void, fours, (const float *x, size_t n, uint8_t *keep), prune_fours(x, n, 2, keep))

BOTH(void, clear_fours, (const float *x, size_t n, float *w), prune_clear_fours(x, n, 2, w))

static void cover_row(const float *low, const float *high, size_t n, float *scales, uint8_t *zeros) {
    for (size_t g = 0; g < n; g++) {
        round_cover(low[g], high[g], 15, &scales[g], &zeros[g]);
    }
}

/* --- what is in the arrays --- */

enum fill { FILL_NOISE, FILL_ZEROS, FILL_CONSTANT, FILL_DENORMAL, FILL_FINITE, FILL_ANY, FILLS };

static float special(uint32_t k) {
    static const float values[] = {NAN, -NAN, INFINITY, -INFINITY, 0, -0.0F, FLT_MIN, -FLT_TRUE_MIN, FLT_MAX};
    return values[k % (sizeof(values) / sizeof(values[0]))];
}

static void fill(float *w, size_t n, enum fill kind) {
    uint32_t seed = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = noise_next(&seed) << 16 ^ noise_next(&seed);
        w[i] = kind == FILL_NOISE      ? noise(&seed)
               : kind == FILL_ZEROS    ? 0
               : kind == FILL_CONSTANT ? -0.75F
               : kind == FILL_DENORMAL ? noise(&seed) * 1e-39F
               : bits % 5 == 0         ? special(bits / 5)
                                       : vector_float((int32_t)bits);
        w[i] = kind == FILL_FINITE && !isfinite(w[i]) ? 1 : w[i];
    }
}

typedef void check_fn(const float *w, size_t n);

static void at_every_size(check_fn *check, enum fill last) {
    for (size_t s = 0; s < SIZES; s++) {
        for (int kind = 0; kind <= (int)last; kind++) {
            float w[LARGEST];
            fill(w, sizes[s], (enum fill)kind);
            check(w, sizes[s]);
        }
    }
}

/* --- rounding --- */

static void check_groups(const float *w, size_t n) {
    float low[2][ROUND_GROUPS_MAX], high[2][ROUND_GROUPS_MAX], scales[ROUND_GROUPS_MAX];
    uint8_t zeros[ROUND_GROUPS_MAX], codes[2][LARGEST + 1] = {{0}}, packed[2][LARGEST];
    size_t groups = (n + GROUP - 1) / GROUP;
    bool finite = wide_ranges(w, n, low[0], high[0]);
    assert_int_equal(finite, plain_ranges(w, n, low[1], high[1]));
    assert_memory_equal(low[0], low[1], groups * sizeof(float));
    assert_memory_equal(high[0], high[1], groups * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        finite = finite && isfinite(w[i]);
        assert_true(!finite || (low[0][i / GROUP] <= w[i] && w[i] <= high[0][i / GROUP]));
    }
    if (!finite) {
        return; /* and refused */
    }
    cover_row(low[0], high[0], groups, scales, zeros);
    wide_encode(w, n, scales, zeros, codes[0]);
    plain_encode(w, n, scales, zeros, codes[1]);
    assert_memory_equal(codes[0], codes[1], n);
    for (size_t i = 0; i < n; i++) {
        size_t g = i / GROUP;
        float code = round_code(w[i], round_inverse(scales[g]), zeros[g], 15);
        assert_int_equal(codes[0][i], (int)code);
    }
    wide_pack(codes[0], (n + 1) / 2, packed[0]);
    plain_pack(codes[0], (n + 1) / 2, packed[1]);
    assert_memory_equal(packed[0], packed[1], (n + 1) / 2);
}

/* What is not finite is refused before. */
static void check_int8(const float *w, size_t n) {
    static float scales[LARGEST];
    int8_t q[2][LARGEST];
    float most = vector_float(wide_largest(w, n)), scale = most > 0 ? most / 127 : 1;
    if (!isfinite(most) || !(scale >= FLT_MIN)) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        scales[i] = scale * (float)(1 + i % 3);
    }
    wide_int8(w, scale, n, q[0]);
    plain_int8(w, scale, n, q[1]);
    assert_memory_equal(q[0], q[1], n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(q[0][i], (int)fminf(fmaxf(rintf(w[i] / scale), -127), 127));
    }
    wide_int8_columns(w, scales, n, q[0]);
    plain_int8_columns(w, scales, n, q[1]);
    assert_memory_equal(q[0], q[1], n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(q[0][i], (int)fminf(fmaxf(rintf(w[i] / scales[i]), -127), 127));
    }
}

static void rounding_gives_the_same_codes(void **state) {
    (void)state;
    at_every_size(check_groups, FILL_ANY);
    at_every_size(check_int8, FILL_ANY);
}

/* --- choosing --- */

static void check_keys(const float *w, size_t n) {
    int16_t keys[2][LARGEST] = {{0}}, lows[2][LARGEST], middle;
    wide_keys(w, n, keys[0]);
    plain_keys(w, n, keys[1]);
    assert_memory_equal(keys[0], keys[1], n * sizeof(int16_t));
    middle = keys[0][n / 2];
    size_t below = 0, same = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(keys[0][i], vector_magnitude(w[i]) >> 16);
        below += keys[0][i] < middle;
        same += keys[0][i] == middle;
    }
    assert_int_equal(wide_top(keys[0], n), vector_largest(w, n) >> 16);
    assert_int_equal(plain_top(keys[0], n), vector_largest(w, n) >> 16);
    assert_int_equal(wide_count(keys[0], n, middle), below);
    assert_int_equal(plain_count(keys[0], n, middle), below);
    assert_int_equal(wide_lows(w, keys[0], n, middle, lows[0]), same);
    assert_int_equal(plain_lows(w, keys[0], n, middle, keys[1]), same); /* in place */
    assert_memory_equal(lows[0], keys[1], same * sizeof(int16_t));
}

static void check_gather(const float *w, size_t n) {
    struct prune_between b[2] = {{0, 0, 0}, {0, 0, 0}};
    float out[2][LARGEST];
    int32_t low = vector_magnitude(w[n / 2]) & FLOAT_INFINITY, high = low + (1 << 22);
    wide_gather(w, n, low, high, &b[0], out[0]);
    plain_gather(w, n, low, high, &b[1], out[1]);
    assert_int_equal(b[0].below, b[1].below);
    assert_int_equal(b[0].found, b[1].found);
    assert_int_equal(b[0].most, b[1].most);
    assert_int_equal(b[0].most, wide_largest(w, n));
    assert_int_equal(b[0].most, plain_largest(w, n));
    assert_memory_equal(out[0], out[1], b[0].found * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        int32_t m = vector_magnitude(w[i]);
        assert_true(m <= b[0].most);
        b[0].below -= m < low;
        b[0].found -= m >= low && m < high;
    }
    assert_true(b[0].below == 0 && b[0].found == 0);
}

/* In place, which is how magnitudes are cut. */
static void check_cut(const float *w, size_t n) {
    int32_t threshold = vector_magnitude(w[n / 2]);
    float cleared[3][LARGEST];
    uint8_t keep[2][LARGEST];
    size_t zeros = 0;
    for (int k = 0; k < 3; k++) {
        memcpy(cleared[k], w, n * sizeof(float));
    }
    wide_mark(w, n, threshold, keep[0]);
    plain_mark(w, n, threshold, keep[1]);
    assert_memory_equal(keep[0], keep[1], n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(keep[0][i], vector_magnitude(w[i]) >= threshold);
        cleared[2][i] = keep[0][i] ? w[i] : 0;
        zeros += cleared[2][i] == 0;
    }
    assert_int_equal(wide_clear(cleared[0], n, threshold, cleared[0]), zeros);
    assert_int_equal(plain_clear(cleared[1], n, threshold, cleared[1]), zeros);
    assert_memory_equal(cleared[0], cleared[2], n * sizeof(float));
    assert_memory_equal(cleared[1], cleared[2], n * sizeof(float));
    memcpy(cleared[0], w, n * sizeof(float));
    memcpy(cleared[1], w, n * sizeof(float));
    wide_apply(cleared[0], keep[0], n);
    plain_apply(cleared[1], keep[0], n);
    assert_memory_equal(cleared[0], cleared[2], n * sizeof(float));
    assert_memory_equal(cleared[1], cleared[2], n * sizeof(float));
}

static void check_scores(const float *w, size_t n) {
    static double norms[LARGEST];
    float out[2][LARGEST];
    for (size_t i = 0; i < n; i++) {
        norms[i] = 1.0 / (double)(1 + i % 7);
    }
    wide_score(w, norms, n, out[0]);
    plain_score(w, norms, n, out[1]);
    for (size_t i = 0; i < n; i++) { /* NaN may keep its payload or not */
        float expected = (float)(fabs((double)w[i]) * norms[i]);
        assert_true(isnan(w[i]) ? isnan(out[0][i]) && isnan(out[1][i])
                                : out[0][i] == expected && out[1][i] == expected);
    }
}

/* In pairs of a score and its place, the larger first: the definition. */
static void check_fours(const float *w, size_t n) {
    uint8_t keep[2][LARGEST];
    float cleared[3][LARGEST];
    wide_fours(w, n / 4, keep[0]);
    plain_fours(w, n / 4, keep[1]);
    assert_memory_equal(keep[0], keep[1], n / 4 * 4);
    for (size_t i = 0; i < n / 4 * 4; i++) {
        int beaten = 0;
        for (size_t j = i / 4 * 4; j < i / 4 * 4 + 4; j++) {
            float a = isnan(w[i]) ? -1 : fabsf(w[i]), b = isnan(w[j]) ? -1 : fabsf(w[j]);
            beaten += b > a || (b == a && j > i);
        }
        assert_int_equal(keep[0][i], beaten < 2);
    }
    memcpy(cleared[0], w, n * sizeof(float));
    memcpy(cleared[1], w, n * sizeof(float));
    memcpy(cleared[2], w, n * sizeof(float));
    wide_clear_fours(w, n / 4, cleared[0]);
    plain_clear_fours(w, n / 4, cleared[1]);
    plain_apply(cleared[2], keep[0], n / 4 * 4);
    assert_memory_equal(cleared[0], cleared[2], n * sizeof(float));
    assert_memory_equal(cleared[1], cleared[2], n * sizeof(float));
}

static void choosing_finds_the_same(void **state) {
    static check_fn *const checks[] = {check_keys, check_gather, check_cut, check_scores, check_fours};
    (void)state;
    for (size_t c = 0; c < sizeof(checks) / sizeof(checks[0]); c++) {
        at_every_size(checks[c], FILL_ANY);
    }
}

/* --- halves --- */

static void check_halves(const float *w, size_t n) {
    uint16_t out[2][LARGEST];
    wide_halves(w, n, out[0]);
    plain_halves(w, n, out[1]);
    assert_memory_equal(out[0], out[1], n * sizeof(uint16_t));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(out[0][i], dtype_half_of_float(w[i]));
    }
    assert_int_equal(wide_finite(w, n, out[0]), plain_finite(w, n, out[1]));
    assert_memory_equal(out[0], out[1], n * sizeof(uint16_t));
    for (size_t i = 0; i < n; i++) {
        assert_true(isfinite(w[i]) == isfinite(dtype_float_of_half(out[0][i])));
    }
}

static void halves_are_those_of_the_reference(void **state) {
    (void)state;
    at_every_size(check_halves, FILL_ANY);
}

/* Around every value that a half can have, and in the middle of two. */
static void halves_round_to_even(void **state) {
    enum { NEAR = 5 };
    (void)state;
    for (uint32_t h = 0; h < 1u << 16; h++) {
        float x[NEAR] = {dtype_float_of_half((uint16_t)h)};
        uint16_t out[NEAR];
        for (int32_t k = 1; k < NEAR; k++) {
            x[k] = vector_float(vector_bits(x[0]) + (1 << 12) + k - 2);
        }
        halves_of_floats(x, NEAR, out);
        for (size_t k = 0; k < NEAR; k++) {
            assert_int_equal(out[k], dtype_half_of_float(x[k]));
        }
    }
}

static void what_is_finite_stays_finite(void **state) {
    const float x[] = {65519, 65520, -1e30F, INFINITY, NAN};
    static const uint16_t expected[] = {0x7bff, 0x7bff, 0xfbff, 0x7c00, 0x7e00};
    uint16_t out[5];
    (void)state;
    assert_int_equal(halves_of_floats_finite(x, 5, out), 2);
    assert_memory_equal(out, expected, sizeof(out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_gives_the_same_codes),     cmocka_unit_test(choosing_finds_the_same),
        cmocka_unit_test(halves_are_those_of_the_reference), cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(what_is_finite_stays_finite),
    };
#ifdef VECTOR_CLONES
    __builtin_cpu_init();
    print_message("the vector variant is %s\n",
                  __builtin_cpu_supports("avx2") ? "AVX2" : "the plain one here");
#else
    print_message("this build has the plain variant alone\n");
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
