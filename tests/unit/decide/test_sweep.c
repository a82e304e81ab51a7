#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/sweep.h"

static const struct sweep_effort FULL = {"standard", false, 0.05, 0.75};
static const struct sweep_effort ENDS = {"quick", true, 0.05, 0.75};
static const uint32_t BATCHES[] = {1, 4, 16};

static void splits_fill_the_cores(void **state) {
    (void)state;
    static const struct {
        uint32_t cores;
        const char *splits;
    } cases[] = {{1, "1x1 "},
                 {2, "1x2 2x1 "},
                 {4, "1x4 2x2 4x1 "},
                 {6, "1x6 2x3 3x2 6x1 "},
                 {7, "1x7 3x2 7x1 "}, /* 4 threads would leave 3 of 7 idle */
                 {9, "1x9 1x8 2x4 3x3 4x2 9x1 "},
                 {16, "1x16 2x8 4x4 8x2 16x1 "}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sweep_split s[SWEEP_SPLITS_MAX];
        char text[256] = "";
        size_t n = sweep_splits(cases[i].cores, s);
        for (size_t k = 0; k < n; k++) {
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%ux%u ", s[k].instances,
                     s[k].threads);
        }
        assert_string_equal(text, cases[i].splits);
    }
}

static void any_number_of_cores_has_its_ends_and_fits(void **state) {
    (void)state;
    for (uint32_t cores = 1; cores <= 1024; cores++) {
        struct sweep_split s[SWEEP_SPLITS_MAX];
        size_t n = sweep_splits(cores, s);
        assert_true(n >= 1 && n <= SWEEP_SPLITS_MAX);
        assert_true(s[0].threads == cores && s[n - 1].instances == cores);
        for (size_t i = 0; i < n; i++) {
            assert_true(s[i].instances * s[i].threads <= cores);
            assert_true(s[i].instances * s[i].threads * 4 >= cores * 3);
            assert_true(i == 0 || s[i].threads < s[i - 1].threads);
        }
    }
}

/* A machine whose throughput is known: measures what is wanted until nothing is. Returns how many it took. */
static int play(const struct sweep_effort *e, size_t splits, const double *per_s, struct sweep_step *steps) {
    static const struct sweep_split SPLITS[] = {{1, 4}, {2, 2}, {4, 1}};
    int measured = 0;
    for (bool any = true; any;) {
        any = false;
        sweep_decide(e, SPLITS, splits, BATCHES, 3, steps);
        for (size_t i = 0; i < splits * 3; i++) {
            if (steps[i].state == SWEEP_WANTED) {
                steps[i].measured = any = true;
                steps[i].per_s = per_s[i];
                measured++;
            }
        }
    }
    return measured;
}

static void a_batch_grows_while_it_pays(void **state) {
    (void)state;
    static const double per_s[] = {100, 104, 900, /**/ 100, 120, 150, /**/ 60, 600, 700};
    struct sweep_step steps[9] = {0};
    assert_int_equal(play(&FULL, 3, per_s, steps), 6);
    assert_int_equal(steps[1].state, SWEEP_MEASURED);
    assert_int_equal(steps[2].state, SWEEP_SKIPPED);
    assert_string_equal(steps[2].why,
                        "batch 4 gave 4.0 % more than batch 1; a larger one is tried from 5 % more on");
    assert_int_equal(steps[5].state, SWEEP_MEASURED);
    assert_int_equal(steps[7].state, SWEEP_SKIPPED); /* the third split is far behind at batch 1 */
    assert_string_equal(
        steps[7].why, "4 x 1 reaches 60 % of the best split at batch 1; larger ones are tried from 75 % on");
}

static void larger_batches_wait_for_every_split_and_for_the_smaller(void **state) {
    (void)state;
    static const struct sweep_split SPLITS[] = {{1, 4}, {4, 1}};
    struct sweep_step steps[6] = {{.measured = true, .per_s = 100}};
    sweep_decide(&FULL, SPLITS, 2, BATCHES, 3, steps);
    assert_int_equal(steps[3].state, SWEEP_WANTED);
    assert_int_equal(steps[1].state, SWEEP_LATER);
    steps[3] = (struct sweep_step){.failed = true};
    sweep_decide(&FULL, SPLITS, 2, BATCHES, 3, steps);
    assert_int_equal(steps[1].state, SWEEP_WANTED);
    assert_int_equal(steps[2].state, SWEEP_LATER);
    assert_int_equal(steps[3].state, SWEEP_FAILED);
    assert_string_equal(steps[4].why, "batch 1 could not be measured");
}

static void a_broken_budget_ends_the_growth(void **state) {
    (void)state;
    static const struct sweep_split SPLITS[] = {{1, 1}};
    struct sweep_step steps[3] = {{.measured = true, .per_s = 100},
                                  {.measured = true, .per_s = 200, .breaks_latency = true}};
    sweep_decide(&FULL, SPLITS, 1, BATCHES, 3, steps);
    assert_int_equal(steps[2].state, SWEEP_SKIPPED);
    assert_string_equal(steps[2].why, "batch 4 breaks a latency budget already");
}

static void quick_tries_the_ends_and_says_so(void **state) {
    (void)state;
    static const double per_s[] = {100, 150, 200, /**/ 0, 0, 0, /**/ 110, 0, 0};
    struct sweep_step steps[9] = {0};
    assert_int_equal(play(&ENDS, 3, per_s, steps), 4);
    for (size_t i = 3; i < 6; i++) {
        assert_int_equal(steps[i].state, SWEEP_SKIPPED);
        assert_non_null(strstr(steps[i].why, "preset quick"));
    }
    assert_int_equal(steps[7].state, SWEEP_SKIPPED);
    assert_non_null(strstr(steps[7].why, "larger batches with one instance only"));
}

static void what_others_measured_counts_and_nothing_is_without_a_reason(void **state) {
    (void)state;
    static const struct sweep_split SPLITS[] = {{1, 4}, {2, 2}, {4, 1}};
    for (unsigned mask = 0; mask < 512; mask++) {
        struct sweep_step steps[9] = {0};
        for (size_t i = 0; i < 9; i++) {
            steps[i].measured = mask >> i & 1;
            steps[i].per_s = 100 + 10 * (double)(i % 4);
        }
        sweep_decide(mask % 2 ? &FULL : &ENDS, SPLITS, 3, BATCHES, 3, steps);
        for (size_t i = 0; i < 9; i++) {
            assert_int_equal(steps[i].measured, steps[i].state == SWEEP_MEASURED);
            assert_int_equal(steps[i].state == SWEEP_SKIPPED, steps[i].why[0] != '\0');
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_fill_the_cores),
        cmocka_unit_test(any_number_of_cores_has_its_ends_and_fits),
        cmocka_unit_test(a_batch_grows_while_it_pays),
        cmocka_unit_test(larger_batches_wait_for_every_split_and_for_the_smaller),
        cmocka_unit_test(a_broken_budget_ends_the_growth),
        cmocka_unit_test(quick_tries_the_ends_and_says_so),
        cmocka_unit_test(what_others_measured_counts_and_nothing_is_without_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
