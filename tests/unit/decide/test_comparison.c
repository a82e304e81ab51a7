#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/comparison.h"
#include "core/stats/rng.h"

static struct comparison_outcome decide(const double *logs, size_t n, double seconds) {
    const struct comparison_question q = {logs, n, 0.02, 0.95, seconds, 120};
    struct comparison_outcome o;
    comparison_decide(&q, &o);
    return o;
}

static void clear_cases_end_after_five_replicates(void **state) {
    (void)state;
    const double same[] = {0.001, -0.002, 0, 0.001, -0.001}, slower[] = {0.05, 0.049, 0.048, 0.05, 0.051},
                 faster[] = {-0.3, -0.31, -0.3, -0.29, -0.3};
    assert_int_equal(decide(same, 5, 5).verdict, COMPARISON_SAME);
    assert_int_equal(decide(slower, 5, 5).verdict, COMPARISON_SLOWER);
    assert_int_equal(decide(faster, 5, 5).verdict, COMPARISON_FASTER);
    assert_true(decide(same, 5, 5).ended && fabs(decide(slower, 5, 5).ratio - exp(0.0496)) < 1e-9);
    for (size_t n = 0; n < 5; n++) {
        struct comparison_outcome o = decide(slower, n, 5);
        assert_true(!o.ended && o.verdict == COMPARISON_UNDECIDED && o.low == 0 && isinf(o.high));
    }
}

static void it_ends_when_time_or_replicates_are_used_up(void **state) {
    (void)state;
    double logs[60];
    struct rng r;
    rng_seed(&r, 1);
    for (size_t i = 0; i < 60; i++) {
        logs[i] = log1p(0.02) + 0.05 * rng_normal(&r); /* on the margin: never decided */
    }
    assert_false(decide(logs, 59, 119).ended);
    assert_true(decide(logs, 60, 119).ended && decide(logs, 60, 119).verdict == COMPARISON_UNDECIDED);
    assert_true(decide(logs, 3, 120).ended && decide(logs, 3, 120).verdict == COMPARISON_UNDECIDED);
}

static void the_sentence_has_names_bounds_and_verdict(void **state) {
    (void)state;
    const double slower[] = {0.05, 0.049, 0.048, 0.05, 0.051};
    char text[400];
    struct comparison_question q = {slower, 5, 0.02, 0.95, 5, 120};
    struct comparison_outcome o;
    comparison_decide(&q, &o);
    comparison_text(&q, &o, "new", "old", text, sizeof(text));
    assert_non_null(strstr(text, "new takes 1.051 times as long as old (1.0"));
    assert_non_null(strstr(text, "at 95 %), 5 replicates: slower by more than 2 %."));
    q.n = 2;
    comparison_decide(&q, &o);
    comparison_text(&q, &o, "new", "old", text, sizeof(text));
    assert_non_null(strstr(text, "not decided yet"));
    q.seconds = 120;
    comparison_decide(&q, &o);
    comparison_text(&q, &o, "new", "old", text, sizeof(text));
    assert_non_null(strstr(text, "undecided after 120 s"));
    q.n = 0;
    comparison_decide(&q, &o);
    comparison_text(&q, &o, "new", "old", text, sizeof(text));
    assert_non_null(strstr(text, "is to be compared"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clear_cases_end_after_five_replicates),
        cmocka_unit_test(it_ends_when_time_or_replicates_are_used_up),
        cmocka_unit_test(the_sentence_has_names_bounds_and_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
