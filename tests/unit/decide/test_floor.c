#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/floor.h"
#include "core/stats/rng.h"
#include "core/stats/special.h"
#include "tests/unit/decide/random_question.h"

static void floors_are_read_and_printed_canonically(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"top1>=0.94", "top1>=0.94"},
        {" TOP1 >= 0.940 ", "top1>=0.94"},
        {"top1>=94%", "top1>=0.94"},
        {"f1>=.9", "f1>=0.9"},
        {"agreement>=1", "agreement>=1"},
        {"relative>=0.99", "relative>=0.99"},
        {"relative>=99.5%", "relative>=0.995"},
        {"drop<=0.5", "drop<=0.5"},
        {"drop<=0", "drop<=0"},
        {"ppl<=16", "ppl<=16"},
        {"ppl_ratio<=1.02", "ppl_ratio<=1.02"},
        {"kld<=5e-2", "kld<=0.05"},
        {"mse<=0.1", "mse<=0.1"},
        {"mae<=1234.5", "mae<=1234.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct floor f;
        struct err err = {0};
        char text[FLOOR_TEXT_SIZE];
        if (floor_parse(cases[i][0], &f, &err) != RC_OK) {
            fail_msg("%s: %s", cases[i][0], err.text);
        }
        floor_text(&f, text);
        assert_string_equal(text, cases[i][1]);
    }
}

/* text, and what the error must say */
static void impossible_and_mistyped_floors_are_refused_with_help(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"tpo1>=0.9", "top1"},
        {"relatiwe>=0.99", "relative"},
        {"ppl-ratio<=1.1", "ppl_ratio"},
        {"zebra>=1", "there are top1"},
        {"relative>=1.5", "never be met"},
        {"top1>=1.2", "never be met"},
        {"top1>=94", "top1>=0.94"},
        {"top1>=-0.1", "asks for nothing"},
        {"top1>=0", "asks for nothing"},
        {"top1<=0.9", "top1>="},
        {"ppl>=16", "ppl<="},
        {"ppl<=0.5", "never be met"},
        {"kld<=0", "never be met"},
        {"kld<=-1", "never be met"},
        {"mse<=-2", "never be met"},
        {"drop<=-1", "gain"},
        {"drop<=100", "everything"},
        {"drop<=0.5%", "points"},
        {"ppl_ratio<=0.5", "no sense"},
        {"top1=>0.9", ">= or <="},
        {"top1>0.9", ">= or <="},
        {"top1>=", "number"},
        {"top1>=nan", "number"},
        {"top1>=0x1", "unit"},
        {"top1>=inf", "number"},
        {"top1>=0.9.1", "number"},
        {"top1>=0.9 ms", "unit"},
        {"", "name"},
        {">=0.9", "name"},
        {"p99<=5ms", "budget"},
        {"top1>=1e999", "number"},
        {"top1>=0.9 or anything else that goes on for a very long time, and then some more", "too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct floor f;
        struct err err = {0};
        if (floor_parse(cases[i][0], &f, &err) != RC_INPUT || !strstr(err.text, cases[i][1])) {
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i][0], err.text, cases[i][1]);
        }
    }
}

static void floors_that_do_not_fit_the_metric_are_refused(void **state) {
    (void)state;
    struct floor f;
    struct err err;
    assert_int_equal(floor_parse("drop<=1", &f, NULL), RC_OK);
    assert_int_equal(floor_fits(&f, METRIC_TOP1, &err), RC_OK);
    assert_int_equal(floor_fits(&f, METRIC_PPL, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "ppl_ratio"));
    assert_int_equal(floor_parse("ppl_ratio<=1.1", &f, NULL), RC_OK);
    assert_int_equal(floor_fits(&f, METRIC_PPL, &err), RC_OK);
    assert_int_equal(floor_fits(&f, METRIC_TOP1, &err), RC_INPUT);
}

static struct floor parsed(const char *text) {
    struct floor f;
    assert_int_equal(floor_parse(text, &f, NULL), RC_OK);
    return f;
}

static struct check judged(const char *text, const struct accuracy *a) {
    struct floor f = parsed(text);
    struct check c;
    floor_judge(&f, a, 0.95, &c);
    return c;
}

static void right_wrong_floors_use_their_tests(void **state) {
    (void)state;
    struct accuracy a = counted(9470, 6, 8, 516);
    struct check c = judged("relative>=0.99", &a);
    assert_int_equal(c.verdict, VERDICT_MET);
    assert_string_equal(c.test, "Tango score test");
    assert_true(fabs(c.value - 9476.0 / 9478) < 1e-12 && c.n == 10000);
    c = judged("drop<=0.5", &a);
    assert_int_equal(c.verdict, VERDICT_MET);
    assert_true(fabs(c.value - 0.02) < 1e-9);
    assert_true(fabs(c.p_value - paired_p_value(&a.counts, 1, -0.005)) < 1e-15);
    c = judged("top1>=0.94", &a);
    assert_int_equal(c.verdict, VERDICT_MET);
    assert_string_equal(c.test, "exact binomial bound");
    c = judged("top1>=0.96", &a);
    assert_int_equal(c.verdict, VERDICT_BROKEN);
    c = judged("top1>=0.947", &a);
    assert_int_equal(c.verdict, VERDICT_UNDECIDED);
    assert_true(c.more > 1000);
    c = judged("relative>=1", &a);
    assert_int_equal(c.verdict, VERDICT_UNDECIDED);
}

static void what_was_not_measured_is_undecided(void **state) {
    (void)state;
    struct check c = judged("relative>=0.99", NULL);
    assert_int_equal(c.verdict, VERDICT_UNDECIDED);
    assert_false(c.measured);
    struct accuracy alone = counted(0, 95, 0, 5);
    alone.paired = false;
    c = judged("relative>=0.99", &alone);
    assert_false(c.measured);
    c = judged("top1>=0.8", &alone);
    assert_int_equal(c.verdict, VERDICT_MET);
}

/* Without labels the baseline agrees with itself: relative and drop are held against 1. */
static void agreement_needs_no_baseline(void **state) {
    (void)state;
    struct accuracy a = counted(0, 9950, 0, 50);
    a.paired = false;
    a.metric = METRIC_AGREEMENT;
    struct check relative = judged("relative>=0.99", &a), absolute = judged("agreement>=0.99", &a),
                 drop = judged("drop<=1", &a);
    assert_int_equal(relative.verdict, VERDICT_MET);
    assert_true(relative.p_value == absolute.p_value && fabs(drop.p_value - absolute.p_value) < 1e-12);
    assert_true(fabs(drop.value - 0.5) < 1e-9);
}

/* Chunks of text: (negative log likelihood, tokens). */
static struct accuracy text_accuracy(double factor, size_t rows, uint64_t seed) {
    struct rng r;
    rng_seed(&r, seed);
    float *v = calloc(rows, 2 * sizeof *v), *b = calloc(rows, 2 * sizeof *b);
    struct accuracy a;
    assert_true(v && b);
    for (size_t i = 0; i < rows; i++) {
        double nll = 2.7 + 0.3 * (rng_uniform(&r) - 0.5);
        b[2 * i] = (float)(nll * 500);
        v[2 * i] = (float)((nll + log(factor) + 0.01 * (rng_uniform(&r) - 0.5)) * 500);
        v[2 * i + 1] = b[2 * i + 1] = 500;
    }
    assert_int_equal(accuracy_summarise(METRIC_PPL, v, b, rows, 1, &a, NULL), RC_OK);
    free(v);
    free(b);
    return a;
}

static void perplexity_floors_go_the_other_way(void **state) {
    (void)state;
    struct accuracy a = text_accuracy(1.01, 100, 1);
    assert_true(fabs(a.value / a.baseline - 1.01) < 0.002);
    assert_int_equal(judged("ppl_ratio<=1.02", &a).verdict, VERDICT_MET);
    assert_int_equal(judged("ppl_ratio<=1.005", &a).verdict, VERDICT_BROKEN);
    assert_int_equal(judged("relative>=0.98", &a).verdict, VERDICT_MET);
    assert_int_equal(judged("relative>=0.995", &a).verdict, VERDICT_BROKEN);
    assert_int_equal(judged("ppl<=20", &a).verdict, VERDICT_MET);
    assert_int_equal(judged("ppl<=12", &a).verdict, VERDICT_BROKEN);
    assert_string_equal(judged("ppl_ratio<=1.02", &a).test, "paired bootstrap (BCa)");
    accuracy_free(&a);
}

static void a_bootstrap_of_few_rows_decides_nothing(void **state) {
    (void)state;
    struct accuracy a = text_accuracy(1.0, 12, 2);
    struct check c = judged("ppl_ratio<=1.5", &a);
    assert_int_equal(c.verdict, VERDICT_UNDECIDED);
    assert_int_equal(c.more, 8);
    accuracy_free(&a);
}

/* `right` of the 10 positions of every row. */
static struct accuracy positions_accuracy(size_t rows, float right, const float *baseline) {
    float *v = calloc(rows, 2 * sizeof *v), *b = baseline ? calloc(rows, 2 * sizeof *b) : NULL;
    struct accuracy a;
    assert_non_null(v);
    for (size_t i = 0; i < rows; i++) {
        v[2 * i] = right;
        v[2 * i + 1] = 10;
        if (b) {
            b[2 * i] = *baseline;
            b[2 * i + 1] = 10;
        }
    }
    assert_int_equal(accuracy_summarise(METRIC_TOP1, v, b, rows, 1, &a, NULL), RC_OK);
    assert_int_equal(a.kind, ACCURACY_BOOTSTRAP);
    free(v);
    free(b);
    return a;
}

static void rows_that_are_all_right_show_no_more_than_their_number(void **state) {
    (void)state;
    const float all = 10, none = 0;
    struct accuracy few = positions_accuracy(30, 10, NULL), many = positions_accuracy(60, 10, NULL);
    assert_int_equal(judged("top1>=0.94", &few).verdict, VERDICT_UNDECIDED); /* 0.94^30 = 0.16 */
    assert_int_equal(judged("top1>=0.94", &many).verdict, VERDICT_MET);      /* 0.94^60 = 0.02 */
    assert_true(fabs(judged("top1>=0.94", &many).p_value - pow(0.94, 60)) < 1e-12);
    accuracy_free(&few);
    accuracy_free(&many);
    few = positions_accuracy(100, 10, &all);
    many = positions_accuracy(300, 10, &all);
    assert_int_equal(judged("relative>=0.99", &few).verdict, VERDICT_UNDECIDED);
    assert_int_equal(judged("relative>=0.99", &many).verdict, VERDICT_MET);
    assert_int_equal(judged("drop<=1", &few).verdict, VERDICT_UNDECIDED);
    assert_int_equal(judged("drop<=1", &many).verdict, VERDICT_MET);
    accuracy_free(&few);
    accuracy_free(&many);
    many = positions_accuracy(60, 0, &none); /* all wrong, as the baseline */
    assert_int_equal(judged("top1>=0.94", &many).verdict, VERDICT_BROKEN);
    assert_int_equal(judged("relative>=0.99", &many).verdict, VERDICT_UNDECIDED);
    assert_true(judged("relative>=0.99", &many).value == 1);
    accuracy_free(&many);
}

static void bounds_that_the_data_do_not_support_are_left_out(void **state) {
    (void)state;
    struct accuracy few = text_accuracy(1.0, 12, 2), far = text_accuracy(50, 100, 3);
    struct floor f = parsed("ppl_ratio<=1.02");
    struct check c;
    floor_judge(&f, &few, 0.95, &c);
    floor_bounds(&f, &few, 0.95, &c);
    assert_true(isnan(c.low) && isnan(c.high));
    floor_judge(&f, &far, 0.95, &c);
    floor_bounds(&f, &far, 0.95, &c);
    assert_true(fabs(c.value - 50) < 2);
    assert_true(c.low <= c.value && c.high >= c.value && c.high < 55);
    accuracy_free(&few);
    accuracy_free(&far);
}

/* A floor just inside a bound is met (or broken), just outside it is not. */
static void bounds_are_where_the_verdict_turns(void **state) {
    (void)state;
    struct accuracy accuracies[] = {counted(9470, 6, 8, 516), counted(880, 20, 60, 40),
                                    text_accuracy(1.01, 200, 3)};
    const char *const texts[][4] = {{"relative>=0.99", "drop<=1", "top1>=0.9", NULL},
                                    {"relative>=0.99", "drop<=1", "top1>=0.9", NULL},
                                    {"ppl_ratio<=1.02", "relative>=0.9", "ppl<=16", NULL}};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; texts[i][k]; k++) {
            struct floor f = parsed(texts[i][k]), tried = f;
            struct check c, other;
            floor_judge(&f, &accuracies[i], 0.95, &c);
            floor_bounds(&f, &accuracies[i], 0.95, &c);
            assert_true(c.low <= c.value && c.value <= c.high);
            int at_least = strchr(texts[i][k], '>') != NULL;
            double step = 1e-3 * fabs(c.high - c.low);
            const double bounds[] = {c.low - step, c.low + step, c.high - step, c.high + step};
            const enum verdict up[] = {VERDICT_MET, VERDICT_UNDECIDED, VERDICT_UNDECIDED, VERDICT_BROKEN};
            for (int j = 0; j < 4; j++) {
                tried.bound = bounds[j];
                floor_judge(&tried, &accuracies[i], 0.95, &other);
                assert_int_equal(other.verdict, at_least ? up[j] : up[3 - j]);
            }
        }
        accuracy_free(&accuracies[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floors_are_read_and_printed_canonically),
        cmocka_unit_test(impossible_and_mistyped_floors_are_refused_with_help),
        cmocka_unit_test(floors_that_do_not_fit_the_metric_are_refused),
        cmocka_unit_test(right_wrong_floors_use_their_tests),
        cmocka_unit_test(what_was_not_measured_is_undecided),
        cmocka_unit_test(agreement_needs_no_baseline),
        cmocka_unit_test(perplexity_floors_go_the_other_way),
        cmocka_unit_test(a_bootstrap_of_few_rows_decides_nothing),
        cmocka_unit_test(rows_that_are_all_right_show_no_more_than_their_number),
        cmocka_unit_test(bounds_that_the_data_do_not_support_are_left_out),
        cmocka_unit_test(bounds_are_where_the_verdict_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
