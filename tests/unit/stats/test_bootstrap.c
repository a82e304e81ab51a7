#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/bootstrap.h"
#include "core/stats/quantile.h"
#include "core/stats/rng.h"
#include "core/stats/special.h"

static double normal(struct rng *r) {
    return special_normal_quantile(rng_uniform(r) * 0.999998 + 1e-6);
}

/* Rows of (value, 1) with a mean and a spread, for variant and baseline, which share half of their noise. */
static void fill(struct rng *r, float *variant, float *baseline, size_t rows, double shift) {
    for (size_t i = 0; i < rows; i++) {
        double common = normal(r);
        variant[2 * i] = (float)(10 + shift + common + 0.5 * normal(r));
        baseline[2 * i] = (float)(10 + common + 0.5 * normal(r));
        variant[2 * i + 1] = baseline[2 * i + 1] = 1;
    }
}

static void metric_is_the_mean_over_columns_of_ratios_of_sums(void **state) {
    (void)state;
    /* three examples, classes 0 1 2; class 2 never occurs: f1 = 2tp / (2tp + fp + fn) a class */
    const float scores[] = {2, 2, 0, 0, 0, 0, /**/ 0, 1, 0, 1, 0, 0, /**/ 0, 0, 2, 2, 0, 0};
    double metric;
    assert_int_equal(bootstrap_metric(scores, 3, 3, false, &metric, NULL), RC_OK);
    assert_true(fabs(metric - (2.0 / 3 + 2.0 / 3) / 2) < 1e-12);
    const float losses[] = {6, 3, 2, 1};
    assert_int_equal(bootstrap_metric(losses, 2, 1, true, &metric, NULL), RC_OK);
    assert_true(fabs(metric - exp(8.0 / 4)) < 1e-12);
}

static void equal_seeds_give_equal_replicates(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 1);
    float v[100], b[100];
    fill(&r, v, b, 50, 0);
    struct bootstrap_data data = {.variant = v, .baseline = b, .rows = 50, .columns = 1};
    struct bootstrap x, y, z;
    assert_int_equal(bootstrap_run(&data, 200, 42, &x, NULL), RC_OK);
    assert_int_equal(bootstrap_run(&data, 200, 42, &y, NULL), RC_OK);
    assert_int_equal(bootstrap_run(&data, 200, 43, &z, NULL), RC_OK);
    assert_memory_equal(x.variant, y.variant, 200 * sizeof(float));
    assert_memory_equal(x.baseline, y.baseline, 200 * sizeof(float));
    assert_memory_not_equal(x.variant, z.variant, 200 * sizeof(float));
    bootstrap_free(&x);
    bootstrap_free(&y);
    bootstrap_free(&z);
}

static void variant_and_baseline_draw_the_same_rows(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 2);
    float v[200], b[200];
    fill(&r, v, b, 100, 0);
    for (int i = 0; i < 100; i++) {
        b[2 * i] = v[2 * i] * 2;
    }
    struct bootstrap_data data = {.variant = v, .baseline = b, .rows = 100, .columns = 1};
    struct bootstrap x;
    assert_int_equal(bootstrap_run(&data, 300, 1, &x, NULL), RC_OK);
    for (int i = 0; i < 300; i++) {
        assert_true(fabsf(x.baseline[i] - 2 * x.variant[i]) < 1e-4f);
    }
    assert_true(bootstrap_error(&x, 0.5) < 1e-5);
    bootstrap_free(&x);
}

static void p_value_inverts_the_bound(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 3);
    float v[300], b[300];
    fill(&r, v, b, 150, 0.1);
    struct bootstrap_data data = {.variant = v, .baseline = b, .rows = 150, .columns = 1};
    struct bootstrap x;
    assert_int_equal(bootstrap_run(&data, 20000, 1, &x, NULL), RC_OK);
    const double factors[] = {0.98, 1, 1.02};
    for (int i = 0; i < 3; i++) {
        double low, high;
        assert_int_equal(bootstrap_lower(&x, factors[i], 0.95, &low, NULL), RC_OK);
        assert_int_equal(bootstrap_upper(&x, factors[i], 0.95, &high, NULL), RC_OK);
        assert_true(low < high);
        assert_true(fabs(bootstrap_p_above(&x, factors[i], low) - 0.05) < 0.003);
        assert_true(fabs(bootstrap_p_below(&x, factors[i], high) - 0.05) < 0.003);
        /* close to the normal bound: the mean of 150 values is nearly normal */
        double estimate = x.variant_value - factors[i] * x.baseline_value,
               error = bootstrap_error(&x, factors[i]);
        assert_true(fabs(low - (estimate - 1.645 * error)) < 0.15 * error);
        assert_true(fabs(high - (estimate + 1.645 * error)) < 0.15 * error);
    }
    bootstrap_free(&x);
}

/* Exponential data: the plain percentile bound covers too little above, BCa less so. The mean of 40 has
 * skewness 0.3. */
static void bounds_cover_skewed_data(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 4);
    int low_holds = 0, high_holds = 0, rounds = 300;
    for (int round = 0; round < rounds; round++) {
        float v[80];
        for (int i = 0; i < 40; i++) {
            v[2 * i] = (float)-log(1 - rng_uniform(&r));
            v[2 * i + 1] = 1;
        }
        struct bootstrap_data data = {.variant = v, .rows = 40, .columns = 1};
        struct bootstrap x;
        assert_int_equal(bootstrap_run(&data, 500, (uint64_t)round, &x, NULL), RC_OK);
        double low, high;
        assert_int_equal(bootstrap_lower(&x, 1, 0.95, &low, NULL), RC_OK);
        assert_int_equal(bootstrap_upper(&x, 1, 0.95, &high, NULL), RC_OK);
        low_holds += low <= 1;
        high_holds += high >= 1;
        bootstrap_free(&x);
    }
    assert_in_range(low_holds, rounds * 90 / 100, rounds * 98 / 100);
    assert_in_range(high_holds, rounds * 89 / 100, rounds * 98 / 100);
}

/* To the right of a right-skewed estimate more room is needed than the plain percentiles give. */
static void acceleration_leans_towards_the_long_tail(void **state) {
    (void)state;
    float v[40];
    for (int i = 0; i < 20; i++) {
        v[2 * i] = (float)-log(1 - (i + 0.5) / 20); /* quantiles of the exponential distribution */
        v[2 * i + 1] = 1;
    }
    struct bootstrap_data data = {.variant = v, .rows = 20, .columns = 1};
    struct bootstrap x;
    assert_int_equal(bootstrap_run(&data, 20000, 1, &x, NULL), RC_OK);
    double high, low, percentiles[20000];
    assert_int_equal(bootstrap_upper(&x, 1, 0.95, &high, NULL), RC_OK);
    assert_int_equal(bootstrap_lower(&x, 1, 0.95, &low, NULL), RC_OK);
    for (int i = 0; i < 20000; i++) {
        percentiles[i] = (double)x.variant[i];
    }
    quantile_sort_double(percentiles, 20000);
    double error = bootstrap_error(&x, 1);
    assert_true(high > percentiles[19000] + 0.15 * error && low > percentiles[1000] + 0.05 * error);
    bootstrap_free(&x);
}

static void paired_false_claims_stay_near_alpha(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 6);
    int claims = 0, rounds = 300;
    for (int round = 0; round < rounds; round++) {
        float v[160], b[160];
        fill(&r, v, b, 80, -0.1); /* E[variant] = 0.99 E[baseline] */
        struct bootstrap_data data = {.variant = v, .baseline = b, .rows = 80, .columns = 1};
        struct bootstrap x;
        assert_int_equal(bootstrap_run(&data, 400, (uint64_t)round, &x, NULL), RC_OK);
        claims += bootstrap_p_above(&x, 0.99, 0) <= 0.05;
        bootstrap_free(&x);
    }
    assert_in_range(claims, rounds * 2 / 100, rounds * 8 / 100);
}

/* Labels per position agree within a row: rows, not positions, are the unit, and the error must be that of 30
 * rows. */
static void rows_are_the_clusters(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    float v[60];
    for (int i = 0; i < 30; i++) {
        v[2 * i] = rng_uniform(&r) < 0.5 ? 100 : 0; /* all 100 positions right or all wrong */
        v[2 * i + 1] = 100;
    }
    struct bootstrap_data data = {.variant = v, .rows = 30, .columns = 1};
    struct bootstrap x;
    assert_int_equal(bootstrap_run(&data, 1000, 1, &x, NULL), RC_OK);
    double error = bootstrap_error(&x, 1);
    assert_true(error > 0.07 && error < 0.11); /* 0.5 / sqrt(30) = 0.091; of 3,000 positions 0.009 */
    bootstrap_free(&x);
}

static void empty_columns_of_a_resample_are_left_out(void **state) {
    (void)state;
    const float v[] = {1, 1, 0, 0, /**/ 0, 0, 1, 1}; /* each row has one column of its own */
    struct bootstrap_data data = {.variant = v, .rows = 2, .columns = 2};
    struct bootstrap x;
    assert_int_equal(bootstrap_run(&data, 50, 1, &x, NULL), RC_OK);
    for (int i = 0; i < 50; i++) {
        assert_true(x.variant[i] == 1.0f);
    }
    bootstrap_free(&x);
}

static void bad_scores_are_refused(void **state) {
    (void)state;
    struct err err;
    struct bootstrap x;
    const float nan[] = {NAN, 1}, negative[] = {1, -1}, empty[] = {0, 0}, huge[] = {3e38f, 1e-38f};
    const float *bad[] = {nan, negative, empty};
    for (int i = 0; i < 3; i++) {
        struct bootstrap_data data = {.variant = bad[i], .rows = 1, .columns = 1};
        assert_int_equal(bootstrap_run(&data, 10, 1, &x, &err), RC_INPUT);
        assert_true(err.text[0] != 0);
    }
    struct bootstrap_data overflow = {.variant = huge, .rows = 1, .columns = 1, .exponential = true};
    assert_int_equal(bootstrap_run(&overflow, 10, 1, &x, &err), RC_INPUT);
    struct bootstrap_data none = {.variant = nan, .rows = 0, .columns = 1};
    assert_int_equal(bootstrap_run(&none, 10, 1, &x, &err), RC_INPUT);
}

/* An infinite replicate would make differences NAN, which no comparison counts: any claim would look sure. */
static void figures_beyond_a_float_never_become_infinite(void **state) {
    (void)state;
    struct err err;
    struct bootstrap x;
    float far[] = {90, 1}; /* exp(90) is more than a float holds */
    struct bootstrap_data data = {.variant = far, .rows = 1, .columns = 1, .exponential = true};
    double metric;
    assert_int_equal(bootstrap_run(&data, 10, 1, &x, &err), RC_INPUT);
    assert_int_equal(bootstrap_metric(far, 1, 1, true, &metric, &err), RC_INPUT);
    float apart[] = {0, 1, 170, 1}; /* exp(85) on all rows, exp(170) on a resample of the second alone */
    data = (struct bootstrap_data){.variant = apart, .baseline = apart, .rows = 2, .columns = 1};
    data.exponential = true;
    assert_int_equal(bootstrap_run(&data, 50, 1, &x, &err), RC_OK);
    for (int i = 0; i < 50; i++) {
        assert_true(isfinite(x.variant[i]) && isfinite(x.baseline[i]));
    }
    assert_true(bootstrap_p_below(&x, 0, 16) > 0.5);
    bootstrap_free(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metric_is_the_mean_over_columns_of_ratios_of_sums),
        cmocka_unit_test(equal_seeds_give_equal_replicates),
        cmocka_unit_test(variant_and_baseline_draw_the_same_rows),
        cmocka_unit_test(p_value_inverts_the_bound),
        cmocka_unit_test(bounds_cover_skewed_data),
        cmocka_unit_test(acceleration_leans_towards_the_long_tail),
        cmocka_unit_test(paired_false_claims_stay_near_alpha),
        cmocka_unit_test(rows_are_the_clusters),
        cmocka_unit_test(empty_columns_of_a_resample_are_left_out),
        cmocka_unit_test(bad_scores_are_refused),
        cmocka_unit_test(figures_beyond_a_float_never_become_infinite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
