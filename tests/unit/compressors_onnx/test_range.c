/* Statistics of activations and the ranges chosen from them, against plain loops over the values. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/range.h"
#include "tests/support/test.h"

enum { MANY = 20000 };

static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023, 1025};

/* Sums of uniform numbers: near a normal distribution, the same on every machine. */
static float *normal_values(size_t n, uint64_t seed) {
    float *values = malloc(n * sizeof(*values));
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) {
        double sum = -6;
        for (int k = 0; k < 12; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            sum += (double)(seed >> 11) / 9007199254740992.0;
        }
        values[i] = (float)sum;
    }
    return values;
}

static struct range_stats stats_of(const float *values, size_t n) {
    struct range_stats s;
    struct err err;
    assert_int_equal(range_stats_init(&s, RANGE_WITH_BINS, &err), RC_OK);
    range_stats_add(&s, values, n, 1);
    return s;
}

static uint64_t in_bins(const struct range_stats *s) {
    uint64_t sum = 0;
    for (size_t i = 0; i < RANGE_BINS; i++) {
        sum += s->bins[i];
    }
    return sum;
}

static void counts_agree_with_a_plain_loop_at_every_size(void **state) {
    (void)state;
    float *values = normal_values(1025, 1);
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        float min = INFINITY;
        float max = -INFINITY;
        for (size_t i = 0; i < sizes[k]; i++) {
            min = fminf(min, values[i]);
            max = fmaxf(max, values[i]);
        }
        struct range_stats s = stats_of(values, sizes[k]);
        assert_int_equal(s.count, sizes[k]);
        assert_int_equal(in_bins(&s), sizes[k] - s.zeros);
        assert_true(s.min == min && s.max == max);
        range_stats_release(&s);
    }
    free(values);
}

static void every_value_lies_in_the_bin_that_counts_it(void **state) {
    (void)state;
    const float values[] = {-3.5F, -1e-9F, 1e-9F, 0.24999F, 0.25F, 3.9999998F, -4, 100, -100, FLT_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct range_stats s = stats_of(&values[i], 1);
        double bin = floor(ldexp((double)values[i], -s.exponent));
        assert_true(bin >= -RANGE_HALF && bin < RANGE_HALF);
        assert_int_equal(s.bins[(int)bin + RANGE_HALF], 1);
        range_stats_release(&s);
    }
}

static void nan_and_infinities_are_counted_apart(void **state) {
    (void)state;
    const float values[] = {1, NAN, -INFINITY, INFINITY, -2, 0, -0.0F, 3};
    struct range_stats s = stats_of(values, 8);
    assert_int_equal(s.nonfinite, 3);
    assert_int_equal(s.count, 5);
    assert_int_equal(s.zeros, 2);
    assert_int_equal(in_bins(&s), 3);
    assert_true(s.min == -2 && s.max == 3);
    assert_true(range_is_wrecked(&s));
    range_stats_release(&s);
}

static void order_and_division_among_threads_change_nothing(void **state) {
    (void)state;
    float *values = normal_values(MANY, 2);
    for (size_t i = 0; i < MANY; i += 997) {
        values[i] *= 1000; /* so that the bins widen on the way */
    }
    struct range_stats whole = stats_of(values, MANY);
    struct range_stats front = stats_of(values, 700);
    struct range_stats back = stats_of(values + 700, MANY - 700);
    range_stats_merge(&back, &front);
    assert_int_equal(whole.count, back.count);
    assert_int_equal(whole.exponent, back.exponent);
    assert_true(whole.min == back.min && whole.max == back.max);
    assert_memory_equal(whole.bins, back.bins, RANGE_BINS * sizeof(*whole.bins));
    range_stats_release(&whole);
    range_stats_release(&front);
    range_stats_release(&back);
    free(values);
}

static void a_sample_keeps_the_extremes_of_all_values(void **state) {
    (void)state;
    float *values = normal_values(MANY, 3);
    values[1] = 50;
    values[MANY - 1] = -60;
    struct range_stats s;
    struct err err;
    assert_int_equal(range_stats_init(&s, RANGE_WITH_BINS, &err), RC_OK);
    range_stats_add(&s, values, MANY, 7);
    assert_true(s.max == 50 && s.min == -60);
    assert_int_equal(s.count, (MANY + 6) / 7);
    range_stats_release(&s);
    free(values);
}

/* --- ranges --- */

/* Mean squared error of really quantizing the values. */
static double quantization_error(const float *values, size_t n, float low, float high) {
    struct range_params p = range_params_of(low, high, RANGE_UINT8);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double q = nearbyint((double)values[i] / (double)p.scale) + p.zero_point;
        q = q < 0 ? 0 : q > 255 ? 255 : q;
        double error = (double)values[i] - (double)p.scale * (q - p.zero_point);
        sum += error * error;
    }
    return sum / (double)n;
}

static double best_of_grid(const float *values, size_t n, float min, float max) {
    double best = INFINITY;
    for (int i = 1; i <= 40; i++) {
        for (int j = 1; j <= 40; j++) {
            double error = quantization_error(values, n, min * (float)i / 40, max * (float)j / 40);
            best = error < best ? error : best;
        }
    }
    return best;
}

static void mse_is_as_good_as_trying_every_range(void **state) {
    (void)state;
    enum { N = 3000 };
    float *values = normal_values(N, 4);
    values[5] = 40; /* an outlier that is not worth its steps */
    values[6] = -15;
    struct range_stats s = stats_of(values, N);
    float low;
    float high;
    range_choose(&s, RANGE_MSE, 0, &low, &high);
    assert_true(low < 0 && high > 0 && high < 40);
    double chosen = quantization_error(values, N, low, high);
    assert_true(chosen <= 1.03 * best_of_grid(values, N, s.min, s.max));
    assert_true(chosen < quantization_error(values, N, s.min, s.max));
    range_stats_release(&s);
    free(values);
}

static void minmax_is_the_whole_range_and_holds_zero(void **state) {
    (void)state;
    const float values[] = {2, 3, 5};
    struct range_stats s = stats_of(values, 3);
    float low;
    float high;
    range_choose(&s, RANGE_MINMAX, 0, &low, &high);
    assert_true(low == 0 && high == 5);
    range_stats_release(&s);
}

static int by_magnitude(const void *a, const void *b) {
    const float *x = a;
    const float *y = b;
    return fabsf(*x) < fabsf(*y) ? -1 : fabsf(*x) > fabsf(*y);
}

static void percentile_holds_the_part_asked_for(void **state) {
    (void)state;
    float *values = normal_values(MANY, 5);
    struct range_stats s = stats_of(values, MANY);
    float low;
    float high;
    range_choose(&s, RANGE_PERCENTILE, 99, &low, &high);
    qsort(values, MANY, sizeof(*values), by_magnitude);
    float exact = fabsf(values[MANY / 100 * 99]);
    assert_true(fabsf(high - exact) < 0.02F && fabsf(low + exact) < 0.02F);
    range_stats_release(&s);
    free(values);
}

static void entropy_clips_outliers_but_never_much_of_the_values(void **state) {
    (void)state;
    float *values = normal_values(MANY, 6);
    for (size_t i = 0; i < MANY / 2; i++) {
        values[i] = -0.8F; /* the background of an image: a peak must not become the threshold */
    }
    values[MANY - 1] = 60;
    struct range_stats s = stats_of(values, MANY);
    float low;
    float high;
    size_t clipped = 0;
    range_choose(&s, RANGE_ENTROPY, 0, &low, &high);
    for (size_t i = 0; i < MANY; i++) {
        clipped += values[i] < low || values[i] > high;
    }
    assert_true(high < 60);
    assert_true(clipped <= MANY / 100);
    range_stats_release(&s);
    free(values);
}

static void every_method_survives_nothing_zeros_and_constants(void **state) {
    (void)state;
    const float zeros[9] = {0};
    const float threes[9] = {3, 3, 3, 3, 3, 3, 3, 3, 3};
    const float tiny[2] = {1e-40F, -1e-42F};
    const float huge[2] = {FLT_MAX, -FLT_MAX};
    for (int method = RANGE_MINMAX; method <= RANGE_MSE; method++) {
        struct range_stats cases[] = {stats_of(zeros, 0), stats_of(zeros, 9), stats_of(threes, 9),
                                      stats_of(tiny, 2), stats_of(huge, 2)};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            float low;
            float high;
            range_choose(&cases[i], (enum range_method)method, 99.99, &low, &high);
            assert_true(low <= 0 && high >= 0 && isfinite(low) && isfinite(high));
            struct range_params p = range_params_of(low, high, RANGE_INT8);
            assert_true(p.scale > 0 && isfinite(p.scale));
            assert_in_range(p.zero_point + 128, 0, 255);
            range_stats_release(&cases[i]);
        }
    }
}

static void masks_wreck_a_range_and_ordinary_outliers_do_not(void **state) {
    (void)state;
    float *values = normal_values(MANY, 7);
    values[3] = 40;
    struct range_stats ordinary = stats_of(values, MANY);
    values[3] = -3.4028235e38F;
    struct range_stats lowest = stats_of(values, MANY);
    for (size_t i = 0; i < MANY; i++) {
        values[i] = i % 2000 == 0 ? -10000 : values[i];
    }
    struct range_stats tens = stats_of(values, MANY);
    for (size_t i = 0; i < MANY; i++) {
        values[i] = i % 2 == 0 ? -10000 : values[i];
    }
    struct range_stats half = stats_of(values, MANY);
    assert_false(range_is_wrecked(&ordinary));
    assert_true(range_is_wrecked(&lowest));
    assert_true(range_is_wrecked(&tens));
    assert_true(range_is_wrecked(&half));
    range_stats_release(&half);
    range_stats_release(&ordinary);
    range_stats_release(&lowest);
    range_stats_release(&tens);
    free(values);
}

static void zero_is_exact_in_both_types(void **state) {
    (void)state;
    const float ranges[][2] = {{0, 6}, {-3, 0}, {-1.7F, 2.9F}, {-1e-3F, 1e3F}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        struct range_params u = range_params_of(ranges[i][0], ranges[i][1], RANGE_UINT8);
        struct range_params s = range_params_of(ranges[i][0], ranges[i][1], RANGE_INT8);
        assert_in_range(u.zero_point, 0, 255);
        assert_int_equal(u.zero_point - 128, s.zero_point);
        double top = (double)u.scale * (255 - u.zero_point);
        assert_true(fabs(top - (double)ranges[i][1]) <= (double)u.scale);
    }
    assert_int_equal(range_params_of(0, 6, RANGE_UINT8).zero_point, 0);
    assert_int_equal(range_params_of(0, 6, RANGE_INT8).zero_point, -128);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_agree_with_a_plain_loop_at_every_size),
        cmocka_unit_test(every_value_lies_in_the_bin_that_counts_it),
        cmocka_unit_test(nan_and_infinities_are_counted_apart),
        cmocka_unit_test(order_and_division_among_threads_change_nothing),
        cmocka_unit_test(a_sample_keeps_the_extremes_of_all_values),
        cmocka_unit_test(mse_is_as_good_as_trying_every_range),
        cmocka_unit_test(minmax_is_the_whole_range_and_holds_zero),
        cmocka_unit_test(percentile_holds_the_part_asked_for),
        cmocka_unit_test(entropy_clips_outliers_but_never_much_of_the_values),
        cmocka_unit_test(every_method_survives_nothing_zeros_and_constants),
        cmocka_unit_test(masks_wreck_a_range_and_ordinary_outliers_do_not),
        cmocka_unit_test(zero_is_exact_in_both_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
