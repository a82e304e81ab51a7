/* Weights in 8 bits against a scalar reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/int8_weights.h"
#include "tests/support/test.h"

enum { CHANNELS = 5, LARGEST = 1023 };

static const size_t sizes[] = {1, 7, 8, 9, 15, 17, LARGEST};

static float *random_values(size_t n, uint64_t seed) {
    float *values = malloc(n * sizeof(*values));
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)((double)(seed >> 11) / 4503599627370496.0 - 1) * (float)(1 + i % CHANNELS);
    }
    return values;
}

static size_t channel_of(struct int8_view v, size_t i) {
    return i / v.inner % v.channels;
}

static void compare_with_reference(const float *w, struct int8_view v) {
    size_t n = v.outer * v.channels * v.inner;
    float *scales = calloc(v.channels, sizeof(*scales));
    float *reference = calloc(v.channels, sizeof(*reference));
    int8_t *q = malloc(n);
    struct err err;
    assert_int_equal(int8_weights_scales(w, v, scales, &err), RC_OK);
    for (size_t i = 0; i < n; i++) {
        float *m = &reference[channel_of(v, i)];
        *m = fmaxf(*m, fabsf(w[i]));
    }
    for (size_t c = 0; c < v.channels; c++) {
        assert_true(scales[c] == reference[c] / 127);
    }
    int8_weights_fill_scales(scales, v.channels);
    int8_weights_quantize(w, v, scales, q);
    for (size_t i = 0; i < n; i++) {
        float exact = rintf(w[i] / scales[channel_of(v, i)]);
        assert_int_equal(q[i], (int)fminf(fmaxf(exact, -127), 127));
    }
    free(scales);
    free(reference);
    free(q);
}

static void both_layouts_agree_with_the_reference_at_every_size(void **state) {
    (void)state;
    float *w = random_values(LARGEST * CHANNELS, 1);
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        compare_with_reference(w, (struct int8_view){1, CHANNELS, sizes[k]});
        compare_with_reference(w, (struct int8_view){sizes[k], CHANNELS, 1});
        compare_with_reference(w, (struct int8_view){1, sizes[k], CHANNELS});
        compare_with_reference(w, (struct int8_view){CHANNELS, sizes[k], 1});
    }
    free(w);
}

static void halves_go_to_the_even_neighbour_and_too_large_is_clamped(void **state) {
    (void)state;
    const float w[] = {0.5F, 1.5F, -0.5F, -2.5F, 300, -300};
    const int8_t expected[] = {0, 2, 0, -2, 127, -127};
    const float scale = 1;
    int8_t q[6];
    int8_weights_quantize(w, (struct int8_view){1, 1, 6}, &scale, q);
    assert_memory_equal(q, expected, 6);
}

static void channels_of_zeros_get_a_positive_scale(void **state) {
    (void)state;
    const float w[] = {0, 0, 0, -2, 1, 2};
    float scales[3];
    int8_t q[6];
    struct err err;
    struct int8_view v = {1, 3, 2};
    assert_int_equal(int8_weights_scales(w, v, scales, &err), RC_OK);
    assert_true(scales[0] == 0);
    int8_weights_fill_scales(scales, 3);
    assert_true(scales[0] == scales[1] && scales[0] > 0);
    int8_weights_quantize(w, v, scales, q);
    assert_int_equal(q[0], 0);
    float none[2] = {0, 0};
    int8_weights_fill_scales(none, 2);
    assert_true(none[0] == 1 && none[1] == 1);
}

static void nan_and_infinity_are_refused_wherever_they_are(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t k = 0; k < 3; k++) {
        for (size_t at = 0; at < 12; at++) {
            float w[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
            float scales[12];
            struct err err;
            w[at] = bad[k];
            assert_int_equal(int8_weights_scales(w, (struct int8_view){1, 4, 3}, scales, &err), RC_INPUT);
            assert_int_equal(int8_weights_scales(w, (struct int8_view){3, 4, 1}, scales, &err), RC_INPUT);
        }
    }
}

static void shapes_that_overflow_are_refused(void **state) {
    (void)state;
    const int64_t dims[] = {INT64_MAX, INT64_MAX, 3};
    const int64_t negative[] = {4, -1};
    struct int8_view v;
    struct err err;
    assert_int_equal(int8_weights_view(dims, 3, 2, &v, &err), RC_INPUT);
    assert_int_equal(int8_weights_view(negative, 2, 0, &v, &err), RC_INPUT);
    assert_int_equal(int8_weights_view(dims, 3, 3, &v, &err), RC_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_layouts_agree_with_the_reference_at_every_size),
        cmocka_unit_test(halves_go_to_the_even_neighbour_and_too_large_is_clamped),
        cmocka_unit_test(channels_of_zeros_get_a_positive_scale),
        cmocka_unit_test(nan_and_infinity_are_refused_wherever_they_are),
        cmocka_unit_test(shapes_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
