#include "advisor/ask/ask_words.h"
#include "advisor/decide/budget.h"
#include "advisor/decide/floor.h"
#include "core/base/container.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

/* Everything found, as "floor floor | budget budget"; each must be a floor or a budget that is understood. */
static void read_limits(const char *text, char *out, size_t size) {
    struct ask_limits l;
    struct err err = {0};
    struct floor f;
    struct budget b;
    if (ask_words_read(text, &l, &err) != RC_OK) {
        fail_msg("%s: %s", text, err.text);
    }
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < l.floor_count; i++) {
        assert_int_equal(floor_parse(l.floors[i], &f, &err), RC_OK);
        n += (size_t)snprintf(out + n, size - n, "%s ", l.floors[i]);
    }
    n += (size_t)snprintf(out + n, size - n, "|");
    for (size_t i = 0; i < l.budget_count; i++) {
        assert_int_equal(budget_parse(l.budgets[i], &b, &err), RC_OK);
        n += (size_t)snprintf(out + n, size - n, " %s", l.budgets[i]);
    }
}

static void limits_are_read_out_of_plain_words(void **state) {
    (void)state;
    static const struct {
        const char *text, *limits;
    } cases[] = {
        {"What is the cheapest way to serve resnet?", "|"},
        {"p99 under 5 ms", "| p99<=5ms"},
        {"latency below 5ms, please", "| p99<=5ms"},
        {"the median must stay under 800us", "| p50<=800us"},
        {"p95 within 0.2 seconds and p50 under 10 ms", "| p95<=0.2s p50<=10ms"},
        {"at least 200 per second", "| throughput>=200/s"},
        {"I need 200 requests per second.", "| throughput>=200/s"},
        {"1500 qps", "| throughput>=1500/s"},
        {"200 predictions/s in 512 MB of memory", "| throughput>=200/s memory<=512MiB"},
        {"a file smaller than 20MB", "| size<=20MiB"},
        {"no more than 2 GiB of RAM", "| memory<=2GiB"},
        {"below $0.5 per million", "| cost<=0.5usd"},
        {"for 0.3 USD a million predictions", "| cost<=0.3usd"},
        {"keep 99 % of the accuracy", "relative>=0.99 |"},
        {"at least 94% accuracy", "top1>=0.94 |"},
        {"accuracy of 0.94 or better", "top1>=0.94 |"},
        {"99.5% of its accuracy", "relative>=0.995 |"},
        {"top1 at least 0.94", "top1>=0.94 |"},
        {"lose at most 0.5 points", "drop<=0.5 |"},
        {"it may lose 1 % accuracy", "drop<=1 |"},
        {"perplexity up to 16", "ppl<=16 |"},
        {"Cheapest with at least 94 % accuracy, p99 under 5 ms, on 2 cores?", "top1>=0.94 | p99<=5ms"},
        {"why not int8:dynamic?", "|"},
        {"is 8-bit slower than 4 bits?", "|"},
    };
    char out[600];
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        read_limits(cases[i].text, out, sizeof(out));
        if (strcmp(out, cases[i].limits) != 0) {
            fail_msg("%s: %s, not %s", cases[i].text, out, cases[i].limits);
        }
    }
}

static void what_is_not_clear_is_asked_back(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "ask something"},
        {" ?! ", "ask something"},
        {"under 5", "give it a unit"},
        {"under 20 MB", "of memory"},
        {"with 99 %", "say \"accuracy\""},
        {"1 ms 2 ms 3 ms 4 ms 5 ms 6 ms 7 ms 8 ms 9 ms", "more than 8 limits"},
    };
    struct ask_limits l;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        assert_int_equal(ask_words_read(cases[i].text, &l, &err), RC_INPUT);
        if (!strstr(err.text, cases[i].says)) {
            fail_msg("%s: %s", cases[i].text, err.text);
        }
    }
}

static void a_question_beyond_measure_is_refused(void **state) {
    (void)state;
    char text[ASK_TEXT_MAX + 2];
    struct ask_limits l;
    struct err err = {0};
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(ask_words_read(text, &l, &err), RC_INPUT);
    for (size_t i = 0; i + 2 < sizeof(text); i += 2) {
        text[i + 1] = ' ';
    }
    text[ASK_TEXT_MAX] = '\0';
    assert_int_equal(ask_words_read(text, &l, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "words"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_read_out_of_plain_words),
        cmocka_unit_test(what_is_not_clear_is_asked_back),
        cmocka_unit_test(a_question_beyond_measure_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
