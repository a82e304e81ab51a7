#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/binomial.h"
#include "core/stats/rng.h"

static double at_most(uint64_t k, uint64_t n, double p) {
    double sum = 0, term = pow(1 - p, (double)n);
    for (uint64_t i = 0; i <= k && i <= n; i++) {
        sum += term;
        term *= (double)(n - i) / (double)(i + 1) * p / (1 - p);
    }
    return sum;
}

/* MLPerf inference rules, early stopping: queries needed at 99 % confidence. */
static void min_n_matches_mlperf_early_stopping(void **state) {
    (void)state;
    assert_int_equal(binomial_min_n(0, 0.90, 0.99), 44);
    assert_int_equal(binomial_min_n(1, 0.90, 0.99), 64);
    assert_int_equal(binomial_min_n(2, 0.90, 0.99), 81);
    assert_int_equal(binomial_min_n(0, 0.95, 0.99), 90);
    assert_int_equal(binomial_min_n(1, 0.95, 0.99), 130);
    assert_int_equal(binomial_min_n(2, 0.95, 0.99), 165);
    assert_int_equal(binomial_min_n(0, 0.99, 0.99), 459);
    assert_int_equal(binomial_min_n(1, 0.99, 0.99), 662);
    assert_int_equal(binomial_min_n(2, 0.99, 0.99), 838);
    assert_int_equal(binomial_min_n(0, 0.999, 0.99), 4603);
    assert_int_equal(binomial_min_n(1, 0.999, 0.99), 6636);
    assert_int_equal(binomial_min_n(2, 0.999, 0.99), 8403);
    assert_int_equal(binomial_min_n(1, 0.999, 0.95), 4742);
}

static void verdicts_equal_direct_summation(void **state) {
    (void)state;
    const double quantiles[] = {0.5, 0.9, 0.99}, confidences[] = {0.9, 0.95, 0.99};
    for (size_t j = 0; j < 9; j++) {
        double q = quantiles[j / 3], c = confidences[j % 3];
        for (uint64_t n = 1; n <= 120; n++) {
            int64_t most = BINOMIAL_NONE;
            uint64_t broken = n + 1;
            for (uint64_t k = 0; k <= n; k++) {
                if (at_most(k, n, 1 - q) <= 1 - c) {
                    most = (int64_t)k;
                }
                if (broken > n && k > 0 && 1 - at_most(k - 1, n, 1 - q) <= 1 - c) {
                    broken = k;
                }
            }
            assert_int_equal(binomial_max_over(n, q, c), most);
            assert_int_equal(binomial_min_broken(n, q, c), broken);
            for (uint64_t k = 0; k <= n; k++) {
                enum binomial_verdict expected = (int64_t)k <= most ? BINOMIAL_MET
                                                 : k >= broken      ? BINOMIAL_BROKEN
                                                                    : BINOMIAL_UNDECIDED;
                assert_int_equal(binomial_judge(k, n, q, c), expected);
            }
        }
    }
    assert_int_equal(binomial_judge(0, 0, 0.9, 0.95), BINOMIAL_UNDECIDED);
}

static void min_n_is_the_least_that_allows_so_many_over(void **state) {
    (void)state;
    for (uint64_t over = 0; over < 20; over++) {
        uint64_t n = binomial_min_n(over, 0.95, 0.95);
        assert_true(binomial_max_over(n, 0.95, 0.95) >= (int64_t)over);
        assert_true(binomial_max_over(n - 1, 0.95, 0.95) < (int64_t)over);
    }
}

/* Two-sided 95 % intervals as in textbooks, each side at 97.5 %. */
static void clopper_pearson_matches_published_intervals(void **state) {
    (void)state;
    assert_true(fabs(binomial_lower(8, 10, 0.975) - 0.443905) < 1e-6);
    assert_true(fabs(binomial_upper(8, 10, 0.975) - 0.974789) < 1e-6);
    assert_true(fabs(binomial_upper(0, 10, 0.975) - 0.308497) < 1e-6);
    assert_true(fabs(binomial_upper(0, 100, 0.95) - (1 - pow(0.05, 0.01))) < 1e-12);
    assert_true(binomial_lower(0, 10, 0.95) == 0 && binomial_upper(10, 10, 0.95) == 1);
    assert_true(binomial_lower(0, 0, 0.95) == 0 && binomial_upper(0, 0, 0.95) == 1);
}

static void clopper_pearson_inverts_direct_summation(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 60; n += 7) {
        for (uint64_t k = 1; k < n; k++) {
            assert_true(fabs(at_most(k, n, binomial_upper(k, n, 0.95)) - 0.05) < 1e-9);
            assert_true(fabs(1 - at_most(k - 1, n, binomial_lower(k, n, 0.95)) - 0.05) < 1e-9);
        }
    }
}

static void false_met_and_false_broken_stay_within_alpha(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 3);
    int met = 0, broken = 0, rounds = 4000;
    for (int i = 0; i < rounds; i++) {
        uint64_t over = 0;
        for (int j = 0; j < 300; j++) {
            over +=
                rng_uniform(&r) < 0.1; /* exactly at the limit: neither may be claimed more often than 5 % */
        }
        enum binomial_verdict v = binomial_judge(over, 300, 0.9, 0.95);
        met += v == BINOMIAL_MET;
        broken += v == BINOMIAL_BROKEN;
    }
    assert_in_range(met, rounds * 2 / 100, rounds * 6 / 100);
    assert_in_range(broken, rounds * 2 / 100, rounds * 6 / 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(min_n_matches_mlperf_early_stopping),
        cmocka_unit_test(verdicts_equal_direct_summation),
        cmocka_unit_test(min_n_is_the_least_that_allows_so_many_over),
        cmocka_unit_test(clopper_pearson_matches_published_intervals),
        cmocka_unit_test(clopper_pearson_inverts_direct_summation),
        cmocka_unit_test(false_met_and_false_broken_stay_within_alpha),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
