#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/stats/hierarchical.h"
#include "core/stats/quantile.h"
#include "core/stats/rng.h"

enum { MAX_PROCESSES = 12, MAX_SAMPLES = 200 };

struct world {
    float a[MAX_PROCESSES][MAX_SAMPLES], b[MAX_PROCESSES][MAX_SAMPLES];
    struct hierarchical_process processes[MAX_PROCESSES];
};

/* Lognormal times; the processes' own ratios spread by `between`. */
static void measure(struct world *w, struct rng *r, size_t n, size_t samples, double ratio, double between,
                    double within) {
    for (size_t i = 0; i < n; i++) {
        double shift = log(ratio) + between * rng_normal(r);
        for (size_t k = 0; k < samples; k++) {
            w->a[i][k] = (float)(500 * exp(shift + within * rng_normal(r)));
            w->b[i][k] = (float)(500 * exp(within * rng_normal(r)));
        }
        quantile_sort(w->a[i], samples);
        quantile_sort(w->b[i], samples);
        w->processes[i] = (struct hierarchical_process){w->a[i], w->b[i], samples, samples};
    }
}

static struct world world;

/* Shares of 400 measurements whose lower bound lies above the truth, and whose upper one below. */
static void check_error_rate(size_t n, size_t samples, double between, double within, double q,
                             uint64_t seed) {
    enum { ROUNDS = 400 };
    struct rng r;
    int above = 0, below = 0;
    rng_seed(&r, seed);
    for (int k = 0; k < ROUNDS; k++) {
        struct hierarchical_ratio ratio;
        struct err err;
        measure(&world, &r, n, samples, 1.03, between, within);
        assert_int_equal(hierarchical_ratio_of(world.processes, n, q, 0.95, (uint64_t)k, &ratio, &err),
                         RC_OK);
        above += ratio.low > 1.03;
        below += ratio.high < 1.03;
    }
    assert_in_range(above, 0, ROUNDS * 5 / 100 + 17); /* 5 % and 4 standard deviations */
    assert_in_range(below, 0, ROUNDS * 5 / 100 + 17);
    assert_true(above + below > 0 || between < within); /* not empty talk: wrong now and then */
}

static void bounds_are_wrong_as_seldom_as_they_say(void **state) {
    (void)state;
    check_error_rate(5, 40, 0.02, 0.05, 0.5, 1);
    check_error_rate(5, 40, 0.001, 0.1, 0.5, 2); /* nearly all of the noise is inside the processes */
    check_error_rate(12, 60, 0.02, 0.05, 0.9, 3);
}

/* What a resample of a resample would give, drawn the long way. */
static double brute_error(const struct world *w, size_t n, size_t samples, double q, int rounds) {
    static float a[MAX_SAMPLES], b[MAX_SAMPLES];
    struct rng r;
    double mean = 0, squares = 0;
    rng_seed(&r, 77);
    for (int k = 0; k < rounds; k++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            size_t p = rng_below(&r, (uint32_t)n);
            for (size_t s = 0; s < samples; s++) {
                a[s] = w->a[p][rng_below(&r, (uint32_t)samples)];
                b[s] = w->b[p][rng_below(&r, (uint32_t)samples)];
            }
            quantile_sort(a, samples);
            quantile_sort(b, samples);
            sum += log((double)quantile_of(a, samples, q) / (double)quantile_of(b, samples, q));
        }
        double off = sum / (double)n - mean;
        mean += off / (k + 1);
        squares += off * (sum / (double)n - mean);
    }
    return sqrt(squares / (rounds - 1) * (double)n / (double)(n - 1));
}

static void drawing_the_rank_equals_resampling(void **state) {
    (void)state;
    const double quantiles[] = {0.5, 0.9};
    struct rng r;
    rng_seed(&r, 5);
    measure(&world, &r, 6, 30, 1.0, 0.02, 0.08);
    for (size_t i = 0; i < 2; i++) {
        struct hierarchical_ratio ratio;
        struct err err;
        assert_int_equal(hierarchical_ratio_of(world.processes, 6, quantiles[i], 0.95, 3, &ratio, &err),
                         RC_OK);
        double brute = brute_error(&world, 6, 30, quantiles[i], 2000);
        assert_true(fabs(ratio.log_error / brute - 1) < 0.1); /* 4 standard deviations of either are 9 % */
    }
}

static void one_process_is_not_enough(void **state) {
    (void)state;
    struct hierarchical_ratio ratio;
    struct err err;
    struct rng r;
    rng_seed(&r, 6);
    measure(&world, &r, 2, 7, 1, 0.01, 0.01);
    assert_int_equal(hierarchical_ratio_of(world.processes, 1, 0.5, 0.95, 1, &ratio, &err), RC_SAMPLE);
    assert_int_equal(hierarchical_ratio_of(world.processes, 0, 0.5, 0.95, 1, &ratio, &err), RC_SAMPLE);
    world.processes[1].n_b = 0;
    assert_int_equal(hierarchical_ratio_of(world.processes, 2, 0.5, 0.95, 1, &ratio, &err), RC_SAMPLE);
}

static void equal_seeds_give_equal_bounds(void **state) {
    (void)state;
    struct hierarchical_ratio first, second;
    struct err err;
    struct rng r;
    rng_seed(&r, 8);
    measure(&world, &r, 5, 15, 1.05, 0.001, 0.001);
    assert_int_equal(hierarchical_ratio_of(world.processes, 5, 0.5, 0.95, 9, &first, &err), RC_OK);
    assert_int_equal(hierarchical_ratio_of(world.processes, 5, 0.5, 0.95, 9, &second, &err), RC_OK);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_true(first.low > 1.04 && first.high < 1.06 && first.low < first.ratio && first.ratio < first.high);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_wrong_as_seldom_as_they_say),
        cmocka_unit_test(drawing_the_rank_equals_resampling),
        cmocka_unit_test(one_process_is_not_enough),
        cmocka_unit_test(equal_seeds_give_equal_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
