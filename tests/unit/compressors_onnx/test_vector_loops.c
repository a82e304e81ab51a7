/* Every vector loop in two variants within one run, as the program has it on this machine and as plain code:
 * both must give the same bits, for all that can be in an array of floats. Halves against the scalar
 * reference too. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "compressors/onnx/halves.h"
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
                                       : round_float((int32_t)bits);
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
        float code = round_code(w[i], round_inverse(scales[i / GROUP]), zeros[i / GROUP], 15);
        assert_int_equal(codes[0][i], (int)code);
    }
    wide_pack(codes[0], (n + 1) / 2, packed[0]);
    plain_pack(codes[0], (n + 1) / 2, packed[1]);
    assert_memory_equal(packed[0], packed[1], (n + 1) / 2);
}

static void groups_round_to_the_same_codes(void **state) {
    (void)state;
    at_every_size(check_groups, FILL_ANY);
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
            x[k] = round_float(round_bits(x[0]) + (1 << 12) + k - 2);
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
        cmocka_unit_test(groups_round_to_the_same_codes),
        cmocka_unit_test(halves_are_those_of_the_reference),
        cmocka_unit_test(halves_round_to_even),
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
