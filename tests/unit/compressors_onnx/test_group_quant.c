/* Rounding into groups and packing, against the plainest code that does the same. */
#include <math.h>

#include "compressors/onnx/group_quant.h"
#include "compressors/onnx/nbits_pack.h"
#include "int8_fixture.h"

static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023};
static const unsigned widths[] = {2, 3, 4, 8};

enum { ROWS = 3, SIZES = 7, WIDTHS = 4 };

/* The definition, with the C library's rounding. */
static unsigned reference_code(float w, float scale, unsigned zero, unsigned bits) {
    float q = scale == 0 ? (float)zero : nearbyintf(w / scale) + (float)zero;
    return (unsigned)fminf(fmaxf(q, 0), (float)((1U << bits) - 1));
}

static void codes_are_those_of_the_definition(void **state) {
    (void)state;
    for (size_t k = 0; k < SIZES * WIDTHS * 2; k++) {
        size_t n = sizes[k % SIZES];
        const struct group_format f = {widths[k / SIZES % WIDTHS], 32,
                                       k / SIZES / WIDTHS ? GROUP_ASYMMETRIC : GROUP_SYMMETRIC};
        float *w = malloc(ROWS * n * sizeof(*w));
        struct group_quant q;
        struct err err;
        noise_fill(w, ROWS * n, (uint32_t)k, 3);
        assert_int_equal(group_round(w, ROWS, n, &f, GROUP_RANGE, NULL, 2, &q, &err), RC_OK);
        assert_int_equal(q.groups, (n + 31) / 32);
        for (size_t i = 0; i < ROWS * n; i++) {
            size_t at = i / n * q.groups + i % n / 32;
            float step = fabsf(q.scales[at]);
            unsigned code = reference_code(w[i], q.scales[at], q.zeros[at], f.bits);
            /* a weight between two codes may fall to either: 1 / scale is rounded */
            assert_true(code == q.codes[i] ||
                        fabsf(fabsf(w[i] - group_value(&q, i / n, i % n)) - step / 2) < 1e-4F * step);
            /* symmetric: the far end may be a whole step off, the code 2^bits / 2 is missing */
            assert_true(fabsf(group_value(&q, i / n, i % n) - w[i]) <= step * 1.0001F);
        }
        group_quant_release(&q);
        free(w);
    }
}

static void zeros_and_constants_are_kept_exactly(void **state) {
    float zeros[32] = {0}, same[32];
    struct err err;
    (void)state;
    for (int i = 0; i < 32; i++) {
        same[i] = -0.75F;
    }
    for (size_t k = 0; k < WIDTHS * 4; k++) {
        const struct group_format f = {widths[k % WIDTHS], 32,
                                       k / WIDTHS % 2 ? GROUP_ASYMMETRIC : GROUP_SYMMETRIC};
        enum group_choice choice = k / WIDTHS / 2 ? GROUP_LEAST : GROUP_RANGE;
        struct group_quant q;
        assert_int_equal(group_round(zeros, 1, 32, &f, choice, NULL, 1, &q, &err), RC_OK);
        assert_true(group_value(&q, 0, 5) == 0.0F);
        group_quant_release(&q);
        assert_int_equal(group_round(same, 1, 32, &f, choice, NULL, 1, &q, &err), RC_OK);
        assert_float_equal(group_value(&q, 0, 5), -0.75F, 1e-6F);
        group_quant_release(&q);
    }
}

static void weights_that_are_not_finite_are_refused(void **state) {
    const struct group_format f = {4, 16, GROUP_ASYMMETRIC};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    for (int i = 0; i < 3; i++) {
        float w[40] = {0};
        struct group_quant q;
        struct err err;
        w[37] = bad[i];
        assert_int_equal(group_round(w, 2, 20, &f, GROUP_RANGE, NULL, 1, &q, &err), RC_INPUT);
        assert_non_null(strstr(err.text, "output 1"));
    }
}

static double weighted_error(const float *w, const float *importance, size_t n, const struct group_format *f,
                             float scale, uint8_t zero) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double e = (double)w[i] - (double)scale * (group_code(w[i], scale, zero, f->bits) - zero);
        sum += (double)importance[i] * e * e;
    }
    return sum;
}

static void the_least_range_is_never_worse_than_the_whole_range(void **state) {
    (void)state;
    double whole_sum = 0, least_sum = 0;
    for (uint32_t k = 0; k < 400; k++) {
        const struct group_format f = {widths[k % WIDTHS], 64,
                                       k % 8 < 4 ? GROUP_ASYMMETRIC : GROUP_SYMMETRIC};
        float w[64], importance[64], scale;
        size_t n = 1 + k % 64;
        uint8_t zero;
        noise_fill(w, n, k, 1);
        noise_fill(importance, n, k + 1000, 1);
        for (size_t i = 0; i < n; i++) {
            w[i] = w[i] * w[i] * w[i];
            importance[i] = 1 + importance[i];
        }
        group_choose_range(w, n, &f, &scale, &zero);
        double whole = weighted_error(w, importance, n, &f, scale, zero);
        group_choose_least(w, importance, n, &f, &scale, &zero);
        double least = weighted_error(w, importance, n, &f, scale, zero);
        assert_true(least <= whole * 1.0001 + 1e-9);
        whole_sum += whole;
        least_sum += least;
    }
    assert_true(least_sum < 0.9 * whole_sum);
}

static unsigned bits_at(const uint8_t *bytes, size_t bit, unsigned width) {
    return ((unsigned)bytes[bit / 8] >> bit % 8) & ((1U << width) - 1);
}

static void packed_codes_lie_where_the_kernel_looks(void **state) {
    static const unsigned packable[] = {2, 4, 8};
    (void)state;
    for (size_t k = 0; k < SIZES * 3; k++) {
        size_t n = sizes[k % SIZES];
        const struct group_format f = {packable[k / SIZES], 16, GROUP_ASYMMETRIC};
        float *w = malloc(ROWS * n * sizeof(*w));
        struct group_quant q;
        struct err err;
        noise_fill(w, ROWS * n, (uint32_t)k, 1);
        assert_int_equal(group_round(w, ROWS, n, &f, GROUP_RANGE, NULL, 1, &q, &err), RC_OK);
        uint8_t *matrix = malloc(nbits_matrix_bytes(&q)), *zeros = malloc(nbits_zeros_bytes(&q));
        nbits_pack_matrix(&q, matrix);
        nbits_pack_zeros(&q, zeros);
        for (size_t i = 0; i < ROWS * q.groups * 16; i++) {
            size_t row = i / (q.groups * 16), column = i % (q.groups * 16);
            unsigned wanted = column < n ? q.codes[row * n + column] : q.zeros[row * q.groups + column / 16];
            assert_int_equal(bits_at(matrix, i * f.bits, f.bits), wanted);
        }
        for (size_t i = 0; i < ROWS * q.groups; i++) {
            size_t row_bits = nbits_bytes(q.groups, f.bits) * 8;
            assert_int_equal(bits_at(zeros, i / q.groups * row_bits + i % q.groups * f.bits, f.bits),
                             q.zeros[i]);
        }
        free(matrix);
        free(zeros);
        group_quant_release(&q);
        free(w);
    }
}

static void planes_hold_parts_of_a_code(void **state) {
    uint8_t codes[11], low[6], high[6];
    (void)state;
    for (size_t i = 0; i < 11; i++) {
        codes[i] = (uint8_t)(i * 5 % 8);
    }
    nbits_pack(codes, 11, 0, 1, low);
    nbits_pack(codes, 11, 1, 2, high);
    for (size_t i = 0; i < 11; i++) {
        assert_int_equal(bits_at(low, i, 1) + 2 * bits_at(high, 2 * i, 2), codes[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_definition),
        cmocka_unit_test(zeros_and_constants_are_kept_exactly),
        cmocka_unit_test(weights_that_are_not_finite_are_refused),
        cmocka_unit_test(the_least_range_is_never_worse_than_the_whole_range),
        cmocka_unit_test(packed_codes_lie_where_the_kernel_looks),
        cmocka_unit_test(planes_hold_parts_of_a_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
