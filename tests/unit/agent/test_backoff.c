/* How long an agent waits before it tries again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profiler/agent/backoff.h"

static void the_longest_wait_doubles_up_to_the_maximum(void **state) {
    (void)state;
    struct backoff b = {.first_ms = 500, .max_ms = 30000};
    static const uint32_t expected[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(backoff_failed(&b, UINT32_MAX), expected[i]);
    }
}

static void the_random_number_spreads_waits_over_the_upper_half(void **state) {
    (void)state;
    struct backoff low = {.first_ms = 1000, .max_ms = 30000};
    struct backoff middle = low;
    assert_int_equal(backoff_failed(&low, 0), 500);
    assert_int_equal(backoff_failed(&middle, UINT32_MAX / 2), 749);
}

static void a_success_makes_it_short_again(void **state) {
    (void)state;
    struct backoff b = {.first_ms = 500, .max_ms = 30000};
    backoff_failed(&b, 0);
    backoff_failed(&b, 0);
    backoff_succeeded(&b);
    assert_int_equal(backoff_failed(&b, UINT32_MAX), 500);
}

static void years_of_failures_do_not_overflow(void **state) {
    (void)state;
    struct backoff b = {.first_ms = 500, .max_ms = UINT32_MAX, .failures = UINT32_MAX};
    assert_int_equal(backoff_failed(&b, UINT32_MAX), UINT32_MAX);
    assert_int_equal(b.failures, UINT32_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_wait_doubles_up_to_the_maximum),
        cmocka_unit_test(the_random_number_spreads_waits_over_the_upper_half),
        cmocka_unit_test(a_success_makes_it_short_again),
        cmocka_unit_test(years_of_failures_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
