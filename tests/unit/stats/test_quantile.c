#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/quantile.h"
#include "core/stats/rng.h"

static void rank_is_the_smallest_with_a_share_q_at_or_below(void **state) {
    (void)state;
    for (size_t n = 1; n <= 1000; n++) {
        for (int percent = 1; percent <= 100; percent++) {
            size_t expected = ((size_t)percent * n + 99) / 100; /* exact integer ceiling */
            assert_int_equal(quantile_rank(n, percent / 100.0), expected);
        }
    }
    assert_int_equal(quantile_rank(1000, 0.999), 999);
    assert_int_equal(quantile_rank(1001, 0.999), 1000);
    assert_int_equal(quantile_rank(10, 0.0001), 1);
}

static void quantile_is_a_value_that_occurred(void **state) {
    (void)state;
    float values[] = {5, 1, 4, 2, 3};
    quantile_sort(values, 5);
    assert_true(quantile_of(values, 5, 0.5) == 3);
    assert_true(quantile_of(values, 5, 0.9) == 5);
    assert_true(quantile_of(values, 5, 0.2) == 1);
    assert_true(quantile_of(values, 5, 0.21) == 2);
}

static void select_agrees_with_sorting(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 11);
    const size_t sizes[] = {1, 2, 3, 7, 8, 9, 15, 17, 1023};
    for (size_t s = 0; s < 9; s++) {
        for (int round = 0; round < 20; round++) {
            double a[1023], b[1023];
            size_t n = sizes[s];
            uint32_t distinct = round % 2 ? 5 : 100000; /* many ties, or nearly none */
            for (size_t i = 0; i < n; i++) {
                a[i] = b[i] = rng_below(&r, distinct);
            }
            size_t rank = 1 + rng_below(&r, (uint32_t)n);
            quantile_sort_double(b, n);
            assert_true(quantile_select(a, n, rank) == b[rank - 1]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_is_the_smallest_with_a_share_q_at_or_below),
        cmocka_unit_test(quantile_is_a_value_that_occurred),
        cmocka_unit_test(select_agrees_with_sorting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
