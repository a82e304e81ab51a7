#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/ratio.h"
#include "core/stats/rng.h"
#include "core/stats/special.h"

static double normal(struct rng *r) {
    return special_normal_quantile(rng_uniform(r) * 0.999998 + 1e-6);
}

static void exact_figures_compare_exactly(void **state) {
    (void)state;
    struct ratio_figure a = {.value = 103}, b = {.value = 100};
    struct ratio_bounds r;
    ratio_welch(&a, &b, 1.02, 0.95, &r);
    assert_true(fabs(r.ratio - 1.03) < 1e-12 && r.low == r.ratio && r.high == r.ratio && r.p_above == 0);
    ratio_welch(&a, &b, 1.04, 0.95, &r);
    assert_true(r.p_above == 1);
}

static void welch_uses_satterthwaites_freedom(void **state) {
    (void)state;
    struct ratio_figure a = {.value = 2, .log_error = 0.03, .freedom = 4},
                        b = {.value = 1, .log_error = 0.01, .freedom = 9};
    struct ratio_bounds r;
    ratio_welch(&a, &b, 1.9, 0.95, &r);
    double variance = 0.0009 + 0.0001,
           freedom = floor(variance * variance / (0.0009 * 0.0009 / 4 + 0.0001 * 0.0001 / 9));
    double reach = special_t_quantile(0.95, freedom) * sqrt(variance);
    assert_true(fabs(log(r.low) - (log(2) - reach)) < 1e-9);
    assert_true(fabs(r.p_above - special_t_cdf(-(log(2) - log(1.9)) / sqrt(variance), freedom)) < 1e-12);
    /* one side exact leaves the other's freedom */
    b.log_error = 0;
    b.freedom = 0;
    ratio_welch(&a, &b, 1.9, 0.95, &r);
    assert_true(fabs(log(r.high) - (log(2) + special_t_quantile(0.95, 4) * 0.03)) < 1e-9);
}

static void paired_matches_a_hand_computed_t(void **state) {
    (void)state;
    const float a[] = {110, 121, 99}, b[] = {100, 100, 100};
    double x[3] = {log(1.1), log(1.21), log(0.99)};
    double mean = (x[0] + x[1] + x[2]) / 3, squares = 0;
    for (int i = 0; i < 3; i++) {
        squares += (x[i] - mean) * (x[i] - mean);
    }
    double error = sqrt(squares / 2 / 3);
    struct ratio_bounds r;
    ratio_paired(a, b, 3, 1.02, 0.95, &r);
    assert_true(fabs(r.ratio - exp(mean)) < 1e-6);
    assert_true(fabs(r.low - exp(mean - special_t_quantile(0.95, 2) * error)) < 1e-6);
    assert_true(fabs(r.p_above - special_t_cdf(-(mean - log(1.02)) / error, 2)) < 1e-6);
}

/* What rounds have in common (a slow minute) cancels in pairs, and a ratio of exactly the margin is called
 * above in 5 %. */
static void paired_error_rate_is_alpha_and_ignores_common_noise(void **state) {
    (void)state;
    struct rng rng;
    rng_seed(&rng, 51);
    int above = 0, found = 0, rounds = 3000;
    for (int i = 0; i < rounds; i++) {
        float a[5], b[5], c[5];
        for (int j = 0; j < 5; j++) {
            double common = exp(0.2 * normal(&rng));
            b[j] = (float)(100 * common * exp(0.005 * normal(&rng)));
            a[j] = (float)(102 * common * exp(0.005 * normal(&rng)));
            c[j] = (float)(105 * common * exp(0.005 * normal(&rng)));
        }
        struct ratio_bounds r;
        ratio_paired(a, b, 5, 1.02, 0.95, &r);
        above += r.p_above <= 0.05;
        ratio_paired(c, b, 5, 1.02, 0.95, &r);
        found += r.p_above <= 0.05;
    }
    assert_in_range(above, rounds * 4 / 100, rounds * 6 / 100);
    assert_true(found > rounds * 98 / 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_figures_compare_exactly),
        cmocka_unit_test(welch_uses_satterthwaites_freedom),
        cmocka_unit_test(paired_matches_a_hand_computed_t),
        cmocka_unit_test(paired_error_rate_is_alpha_and_ignores_common_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
