#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/budget.h"

static void budgets_are_read_and_printed_canonically(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"p99<=5ms", "p99<=5ms"},
        {"p99 <= 5000 us", "p99<=5ms"},
        {"P99.9<=0.8ms", "p99.9<=800us"},
        {"p50<=1.5s", "p50<=1.5s"},
        {"mean<=250us", "mean<=250us"},
        {"p90<=0.5us", "p90<=0.5us"},
        {"throughput>=200/s", "throughput>=200/s"},
        {"memory<=512MiB", "memory<=512MiB"},
        {"memory<=0.5gib", "memory<=512MiB"},
        {"memory<=2048MiB", "memory<=2GiB"},
        {"size<=20MB", "size<=20MB"},
        {"size<=20MiB", "size<=20MiB"},
        {"size<=1000000B", "size<=1MB"},
        {"size<=1KiB", "size<=1KiB"},
        {"size<=1023B", "size<=1023B"},
        {"cost<=0.5usd", "cost<=0.5usd"},
        {"cost<=0.50USD", "cost<=0.5usd"},
        {"p95<=2ms", "p95<=2ms"},
        {"instructions<=36M", "instructions<=36M"},
        {"instructions<=36m", "instructions<=36M"},
        {"instructions<=36500000", "instructions<=36.5M"},
        {"instructions<=1500M", "instructions<=1.5G"},
        {"instructions<=1200", "instructions<=1.2k"},
        {"instructions<=7", "instructions<=7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct budget b, again;
        struct err err = {0};
        char text[BUDGET_TEXT_SIZE];
        if (budget_parse(cases[i][0], &b, &err) != RC_OK) {
            fail_msg("%s: %s", cases[i][0], err.text);
        }
        budget_text(&b, text);
        assert_string_equal(text, cases[i][1]);
        assert_int_equal(budget_parse(text, &again, &err), RC_OK);
        assert_true(again.kind == b.kind && again.figure == b.figure &&
                    fabs(again.bound - b.bound) <= 1e-12 * b.bound);
    }
}

static void bad_budgets_are_refused_with_help(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"p98<=5ms", "p9"},
        {"thruput>=200/s", "throughput"},
        {"memoryx<=5MiB", "memory"},
        {"p99<=5", "unit"},
        {"p99<=5min", "ms"},
        {"memory<=512MBi", "MiB"},
        {"p99>=5ms", "p99<="},
        {"throughput<=5/s", "throughput>="},
        {"p99<=0ms", "above 0"},
        {"p99<=-5ms", "above 0"},
        {"cost<=0.5eur", "usd"},
        {"relative>=0.99", "floor"},
        {"p99<=1e305s", "above 0"},
        {"latency", ">= or <="},
        {"size<=20", "unit"},
        {"p99<=ms", "number"},
        {"p99<=1\n5ms", "control"},
        {"instructions<=36Mi", "M"},
        {"instructions>=36M", "instructions<="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct budget b;
        struct err err = {0};
        if (budget_parse(cases[i][0], &b, &err) != RC_INPUT || !strstr(err.text, cases[i][1])) {
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i][0], err.text, cases[i][1]);
        }
    }
}

static struct budget parsed(const char *text) {
    struct budget b;
    assert_int_equal(budget_parse(text, &b, NULL), RC_OK);
    return b;
}

static void figures_that_are_not_there_decide_nothing(void **state) {
    (void)state;
    const char *const texts[] = {"p99<=5ms", "throughput>=1/s", "memory<=1GiB", "size<=1GiB", "cost<=1usd"};
    struct budget_subject none = {.memory_bytes = NAN, .size_bytes = NAN, .cost = {NAN, NAN, NAN}};
    for (int i = 0; i < 5; i++) {
        struct budget b = parsed(texts[i]);
        struct check c;
        budget_judge(&b, &none, &c);
        assert_int_equal(c.verdict, VERDICT_UNDECIDED);
        assert_false(c.measured);
        assert_int_equal(budget_verdict(&b, &none), VERDICT_UNDECIDED);
    }
}

static void intervals_that_straddle_the_bound_are_undecided(void **state) {
    (void)state;
    struct throughput t = {.per_s = 200, .low = 190, .high = 211};
    struct budget_subject s = {.throughput = &t, .cost = cost_of(1, &t)};
    struct budget b = parsed("throughput>=190/s");
    assert_int_equal(budget_verdict(&b, &s), VERDICT_MET);
    b.bound = 195;
    assert_int_equal(budget_verdict(&b, &s), VERDICT_UNDECIDED);
    b.bound = 212;
    assert_int_equal(budget_verdict(&b, &s), VERDICT_BROKEN);
    b = parsed("cost<=1.4usd"); /* 1 / 3600 / 200 * 1e6 = 1.39, up to 1.46 */
    assert_int_equal(budget_verdict(&b, &s), VERDICT_UNDECIDED);
    b.bound = 1.47;
    assert_int_equal(budget_verdict(&b, &s), VERDICT_MET);
    b.bound = 1.3;
    assert_int_equal(budget_verdict(&b, &s), VERDICT_BROKEN);
}

static void a_figure_without_a_known_error_claims_no_test(void **state) {
    (void)state;
    struct throughput known = {.per_s = 200, .low = 190, .high = 211, .log_error = 0.03, .freedom = 9};
    struct throughput single = throughput_exact(200);
    struct budget b = parsed("throughput>=100/s"), cost = parsed("cost<=2usd");
    struct check c;
    budget_judge(&b, &(struct budget_subject){.throughput = &known}, &c);
    assert_string_equal(c.test, "Student's t");
    budget_judge(&b, &(struct budget_subject){.throughput = &single}, &c);
    assert_string_equal(c.test, "single figure");
    budget_judge(&cost, &(struct budget_subject){.throughput = &single, .cost = cost_of(1, &single)}, &c);
    assert_string_equal(c.test, "single figure");
}

static void exact_figures_meet_at_equality(void **state) {
    (void)state;
    struct budget_subject s = {.memory_bytes = 1048576, .size_bytes = 2e6};
    struct budget memory = parsed("memory<=1MiB"), size = parsed("size<=1.999999MB");
    assert_int_equal(budget_verdict(&memory, &s), VERDICT_MET);
    assert_int_equal(budget_verdict(&size, &s), VERDICT_BROKEN);
}

static void few_runs_say_how_many_more(void **state) {
    (void)state;
    float samples[200];
    for (int i = 0; i < 200; i++) {
        samples[i] = 1000;
    }
    struct latency l;
    assert_int_equal(latency_summarise(samples, 200, 0.95, &l, NULL), RC_OK);
    struct budget b = parsed("p99<=5ms");
    struct budget_subject s = {.latency = &l};
    struct check c;
    budget_judge(&b, &s, &c);
    assert_int_equal(c.verdict, VERDICT_UNDECIDED);
    assert_true(isnan(c.value) && isnan(c.high));
    assert_int_equal(c.more, 299 - 200); /* 0.99^299 <= 0.05 */
    assert_int_equal(c.n, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budgets_are_read_and_printed_canonically),
        cmocka_unit_test(bad_budgets_are_refused_with_help),
        cmocka_unit_test(figures_that_are_not_there_decide_nothing),
        cmocka_unit_test(intervals_that_straddle_the_bound_are_undecided),
        cmocka_unit_test(a_figure_without_a_known_error_claims_no_test),
        cmocka_unit_test(exact_figures_meet_at_equality),
        cmocka_unit_test(few_runs_say_how_many_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
