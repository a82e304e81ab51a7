#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/holm.h"
#include "core/stats/rng.h"

/* The definition, literally: reject the smallest p while p_(i) <= alpha / (m - i + 1); stop at the first that
 * is not. */
static void reject_stepwise(const double *p, size_t m, double alpha, int *rejected) {
    for (size_t i = 0; i < m; i++) {
        rejected[i] = 0;
    }
    for (size_t step = 0; step < m; step++) {
        size_t least = m;
        for (size_t i = 0; i < m; i++) {
            if (!rejected[i] && (least == m || p[i] < p[least])) {
                least = i;
            }
        }
        if (p[least] > alpha / (double)(m - step)) {
            return;
        }
        rejected[least] = 1;
    }
}

static void adjusted_values_match_a_worked_example(void **state) {
    (void)state;
    const double p[] = {0.01, 0.04, 0.03, 0.005};
    const double expected[] = {0.03, 0.06, 0.06, 0.02};
    double adjusted[4], multiplier[4];
    assert_int_equal(holm_adjust(p, 4, adjusted, multiplier, NULL), RC_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_true(fabs(adjusted[i] - expected[i]) < 1e-12);
    }
    assert_true(multiplier[3] == 4 && multiplier[0] == 3 && multiplier[2] == 2 && multiplier[1] == 1);
}

static void adjusted_values_reject_as_the_definition_does(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 8);
    for (int round = 0; round < 2000; round++) {
        double p[12], adjusted[12];
        int rejected[12];
        size_t m = 1 + rng_below(&r, 12);
        for (size_t i = 0; i < m; i++) {
            double x = rng_uniform(&r);
            p[i] = round % 2 ? x * x * x : floor(x * 10) / 100; /* with ties too */
        }
        assert_int_equal(holm_adjust(p, m, adjusted, NULL, NULL), RC_OK);
        reject_stepwise(p, m, 0.05, rejected);
        for (size_t i = 0; i < m; i++) {
            assert_int_equal(adjusted[i] <= 0.05 + 1e-15, rejected[i]);
            assert_true(adjusted[i] >= p[i] && adjusted[i] <= 1);
        }
    }
}

static void works_in_place_and_on_nothing(void **state) {
    (void)state;
    double p[] = {0.5, 0.001};
    assert_int_equal(holm_adjust(p, 2, p, NULL, NULL), RC_OK);
    assert_true(p[0] == 0.5 && p[1] == 0.002);
    assert_int_equal(holm_adjust(NULL, 0, NULL, NULL, NULL), RC_OK);
}

static void chance_of_any_false_rejection_stays_below_alpha(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 80);
    int any = 0;
    for (int round = 0; round < 5000; round++) {
        double p[10], adjusted[10];
        for (size_t i = 0; i < 10; i++) {
            p[i] = rng_uniform(&r);
        }
        assert_int_equal(holm_adjust(p, 10, adjusted, NULL, NULL), RC_OK);
        int here = 0;
        for (size_t i = 0; i < 10; i++) {
            here |= adjusted[i] <= 0.05;
        }
        any += here;
    }
    assert_in_range(any, 150, 310);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adjusted_values_match_a_worked_example),
        cmocka_unit_test(adjusted_values_reject_as_the_definition_does),
        cmocka_unit_test(works_in_place_and_on_nothing),
        cmocka_unit_test(chance_of_any_false_rejection_stays_below_alpha),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
