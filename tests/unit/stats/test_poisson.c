/* Arrivals: mean, exponential gaps, independence; all with fixed seeds, so that each run is the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/stats/poisson.h"
#include "core/stats/quantile.h"

enum { N = 20000 };

static double *gaps_of(uint64_t seed, double rate) {
    double *at = malloc(N * sizeof(*at));
    assert_non_null(at);
    poisson_schedule(seed, rate, at, N);
    for (size_t i = N - 1; i > 0; i--) {
        assert_true(at[i] >= at[i - 1]);
        at[i] -= at[i - 1];
    }
    return at;
}

static void mean_and_spread_are_those_of_the_rate(void **state) {
    (void)state;
    static const double rates[] = {0.5, 3, 1800};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        double rate = rates[seed % 3], sum = 0, squares = 0;
        double *gaps = gaps_of(seed, rate);
        for (size_t i = 0; i < N; i++) {
            sum += gaps[i];
        }
        double mean = sum / N;
        for (size_t i = 0; i < N; i++) {
            squares += (gaps[i] - mean) * (gaps[i] - mean);
        }
        /* four standard errors: of the mean 1 / sqrt(n), of the deviation of an exponential sqrt(2 / n) */
        assert_true(fabs(mean * rate - 1) < 4 / sqrt(N));
        assert_true(fabs(sqrt(squares / N) * rate - 1) < 4 * sqrt(2.0 / N));
        free(gaps);
    }
}

/* Kolmogorov (1933): at n = 20000 the largest distance exceeds 1.95 / sqrt(n) once in a thousand. */
static void gaps_are_exponential(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        double *gaps = gaps_of(seed, 40), most = 0;
        quantile_sort_double(gaps, N);
        for (size_t i = 0; i < N; i++) {
            double expected = 1 - exp(-40 * gaps[i]);
            most = fmax(most, fmax(fabs(expected - (double)i / N), fabs(expected - (double)(i + 1) / N)));
        }
        assert_true(most < 1.95 / sqrt(N));
        free(gaps);
    }
}

static void a_gap_does_not_tell_the_next(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        double *gaps = gaps_of(seed, 1), sum = 0;
        for (size_t i = 1; i < N; i++) {
            sum += (gaps[i] - 1) * (gaps[i - 1] - 1);
        }
        assert_true(fabs(sum / N) < 4 / sqrt(N));
        free(gaps);
    }
}

static void equal_seeds_give_schedules_that_differ_in_scale_alone(void **state) {
    (void)state;
    double slow[64], fast[64], other[64];
    poisson_schedule(7, 10, slow, 64);
    poisson_schedule(7, 100, fast, 64);
    poisson_schedule(8, 10, other, 64);
    for (size_t i = 0; i < 64; i++) {
        assert_true(fabs(slow[i] - fast[i] * 10) < 1e-9);
    }
    assert_true(slow[0] != other[0]);
    poisson_schedule(7, 10, fast, 64);
    assert_memory_equal(slow, fast, sizeof(slow));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_and_spread_are_those_of_the_rate),
        cmocka_unit_test(gaps_are_exponential),
        cmocka_unit_test(a_gap_does_not_tell_the_next),
        cmocka_unit_test(equal_seeds_give_schedules_that_differ_in_scale_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
