#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/cost.h"
#include "core/stats/special.h"

static void cost_is_price_over_throughput(void **state) {
    (void)state;
    struct throughput t = {.per_s = 1000, .low = 800, .high = 1250};
    struct cost c = cost_of(0.36, &t);
    assert_true(fabs(c.value - 0.1) < 1e-12 && fabs(c.low - 0.08) < 1e-12 && fabs(c.high - 0.125) < 1e-12);
    t = throughput_exact(NAN);
    assert_true(isnan(cost_of(0.36, &t).value));
}

static void throughput_from_samples_has_the_error_of_their_mean(void **state) {
    (void)state;
    float samples[40];
    for (int i = 0; i < 40; i++) {
        samples[i] = (float)(100 + i / 4); /* twenty batches of two: means 100, 100, 101, 101, ... 109 */
    }
    struct throughput t;
    assert_int_equal(throughput_from_samples(2000, samples, 40, 0.95, &t, NULL), RC_OK);
    double error = sqrt(2 * 82.5 / 19 / 20) / 104.5;
    assert_int_equal(t.freedom, 19);
    assert_true(fabs(t.log_error - error) < 1e-9 && t.per_s == 2000);
    assert_true(fabs(t.low - 2000 * exp(-special_t_quantile(0.95, 19) * error)) < 1e-6);
    assert_int_equal(throughput_from_samples(2000, samples, 5, 0.95, &t, NULL), RC_OK);
    assert_true(t.freedom == 0 && t.low == 2000 && t.high == 2000);
}

static void throughput_of_a_search_is_its_lower_end_with_the_bracket_as_error(void **state) {
    (void)state;
    struct throughput t;
    struct err err;
    assert_int_equal(throughput_from_bracket(1000, 1030, 0.95, &t, NULL), RC_OK);
    assert_true(t.per_s == 1000 && fabs(t.log_error - log(1.03) / sqrt(12)) < 1e-12 && t.freedom > 100);
    assert_true(t.low < 1000 && t.low > 980 && t.high > 1000 && t.high < 1030);
    assert_int_equal(throughput_from_bracket(1000, 1000, 0.95, &t, NULL), RC_OK);
    assert_true(t.low == 1000 && t.high == 1000);
    assert_int_equal(throughput_from_bracket(10, 1000, 0.95, &t, NULL), RC_OK); /* the search ended early */
    assert_true(t.high < 10.6);
    assert_int_equal(throughput_from_bracket(1000, 999, 0.95, &t, &err), RC_INPUT);
    assert_int_equal(throughput_from_bracket(0, 10, 0.95, &t, &err), RC_INPUT);
    assert_int_equal(throughput_from_bracket(10, NAN, 0.95, &t, &err), RC_INPUT);
}

static void bad_throughputs_are_refused(void **state) {
    (void)state;
    const float samples[] = {1, -1}, rounds[] = {100, 0};
    struct throughput t;
    struct err err;
    assert_int_equal(throughput_from_samples(0, samples, 1, 0.95, &t, &err), RC_INPUT);
    assert_int_equal(throughput_from_samples(NAN, samples, 1, 0.95, &t, &err), RC_INPUT);
    assert_int_equal(throughput_from_samples(1e308, samples, 1, 0.95, &t, &err), RC_INPUT); /* would cost 0 */
    assert_int_equal(throughput_from_samples(1e-320, samples, 1, 0.95, &t, &err), RC_INPUT);
    assert_int_equal(throughput_from_samples(10, samples, 1, 0.95, &t, &err), RC_OK);
    assert_int_equal(throughput_from_samples(10, samples, 2, 0.95, &t, &err), RC_INPUT);
    assert_int_equal(throughput_from_rounds(rounds, 1, 0, 0.95, &t, &err), RC_INPUT);
    assert_int_equal(throughput_from_rounds(rounds, 2, 0, 0.95, &t, &err), RC_INPUT);
}

static void ratio_of_costs_counts_prices_and_inverts_throughputs(void **state) {
    (void)state;
    struct throughput a = throughput_exact(500), b = throughput_exact(1000);
    struct ratio_bounds r;
    cost_ratio(&a, 0.1, &b, 0.4, 1.02, 0.95, &r); /* half as fast, a quarter of the price: half the cost */
    assert_true(fabs(r.ratio - 0.5) < 1e-12 && r.p_above == 1);
    cost_ratio(&b, 0.4, &a, 0.1, 1.02, 0.95, &r);
    assert_true(fabs(r.ratio - 2) < 1e-12 && r.p_above == 0);
}

static void rounds_of_the_same_group_are_paired(void **state) {
    (void)state;
    const float a_rounds[] = {100, 50, 200, 80},
                b_rounds[] = {110, 55, 220, 88}; /* b is 10 % faster in every round */
    struct throughput a, b;
    struct ratio_bounds paired, apart;
    assert_int_equal(throughput_from_rounds(a_rounds, 4, 7, 0.95, &a, NULL), RC_OK);
    assert_int_equal(throughput_from_rounds(b_rounds, 4, 7, 0.95, &b, NULL), RC_OK);
    cost_ratio(&a, 1, &b, 1, 1.02, 0.95, &paired);
    assert_true(fabs(paired.ratio - 1.1) < 1e-5 && paired.low > 1.09 && paired.p_above < 0.001);
    b.round_group = 8;
    cost_ratio(&a, 1, &b, 1, 1.02, 0.95, &apart);
    assert_true(apart.low < 0.8 && apart.p_above > 0.1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cost_is_price_over_throughput),
        cmocka_unit_test(throughput_from_samples_has_the_error_of_their_mean),
        cmocka_unit_test(throughput_of_a_search_is_its_lower_end_with_the_bracket_as_error),
        cmocka_unit_test(bad_throughputs_are_refused),
        cmocka_unit_test(ratio_of_costs_counts_prices_and_inverts_throughputs),
        cmocka_unit_test(rounds_of_the_same_group_are_paired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
