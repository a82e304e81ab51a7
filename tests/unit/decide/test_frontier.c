#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/frontier.h"
#include "core/stats/rng.h"

static void sort_is_stable_and_puts_unknown_costs_last(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 5);
    static struct frontier_point points[5000];
    static uint32_t order[5000];
    const size_t sizes[] = {1, 2, 17, 1023, 5000};
    for (size_t s = 0; s < 5; s++) {
        for (size_t i = 0; i < sizes[s]; i++) {
            uint32_t kind = rng_below(&r, 11);
            points[i].cost = kind == 0   ? (double)NAN
                             : kind == 1 ? 0
                             : kind < 6  ? rng_below(&r, 7) * 0.1
                             : kind < 8  ? 1 + 1e-12 * rng_below(&r, 50) /* the same float */
                                         : exp(40 * (rng_uniform(&r) - 0.5));
        }
        assert_int_equal(frontier_sort(points, sizes[s], order, NULL), RC_OK);
        for (size_t i = 1; i < sizes[s]; i++) {
            double a = points[order[i - 1]].cost, b = points[order[i]].cost;
            assert_true(isnan(b) || a <= b);
            assert_true(!(isnan(a) && !isnan(b)));
            assert_true((a != b && !(isnan(a) && isnan(b))) || order[i - 1] < order[i]);
        }
    }
    assert_int_equal(frontier_sort(NULL, 0, NULL, NULL), RC_OK);
}

static int beats(const struct frontier_point *a, const struct frontier_point *b, const double *accuracy,
                 int first) {
    double x = accuracy[a->group], y = accuracy[b->group];
    int as_good = a->cost <= b->cost && x >= y && a->latency_us <= b->latency_us;
    int same = a->cost == b->cost && x == y && a->latency_us == b->latency_us;
    return as_good && (!same || first);
}

static void frontier_equals_comparing_all_pairs(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 6);
    for (int round = 0; round < 2000; round++) {
        struct frontier_point p[60];
        double accuracy[12];
        uint32_t order[60], found[60], spread = round % 2 ? 4 : 40;
        size_t n = rng_below(&r, 60), count = 0;
        for (size_t g = 0; g < 12; g++) {
            accuracy[g] = rng_below(&r, 8) ? (double)rng_below(&r, 9)
                                           : (double)NAN; /* some groups are equally accurate */
        }
        for (size_t i = 0; i < n; i++) {
            p[i] = (struct frontier_point){1 + rng_below(&r, spread), rng_below(&r, 12),
                                           (float)rng_below(&r, spread)};
            p[i].latency_us = rng_below(&r, 10) ? p[i].latency_us : INFINITY;
            p[i].cost = rng_below(&r, 20) ? p[i].cost : NAN;
        }
        assert_int_equal(frontier_sort(p, n, order, NULL), RC_OK);
        assert_int_equal(frontier_find(p, order, n, accuracy, 12, found, &count, NULL), RC_OK);
        for (uint32_t i = 0; i < n; i++) {
            int expected = !isnan(p[i].cost) && !isnan(accuracy[p[i].group]), seen = 0;
            for (uint32_t j = 0; j < n; j++) {
                expected &= j == i || isnan(p[j].cost) || isnan(accuracy[p[j].group]) ||
                            !beats(&p[j], &p[i], accuracy, j < i);
            }
            for (size_t k = 0; k < count; k++) {
                seen += found[k] == i;
            }
            assert_int_equal(seen, expected);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sort_is_stable_and_puts_unknown_costs_last),
        cmocka_unit_test(frontier_equals_comparing_all_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
