/* What a worker writes, byte by byte, and what of it is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profiler/agent/worker_lines.h"

#define RESULT "{\"type\": \"result\", \"result\": {}, \"files\": []}\n"

struct seen {
    int count;
    double fraction;
    char text[WORKER_LINES_TEXT];
};

static void on_progress(void *user, double fraction, const char *text) {
    struct seen *seen = user;
    seen->count++;
    seen->fraction = fraction;
    snprintf(seen->text, sizeof(seen->text), "%s", text);
}

static enum rc feed(struct worker_lines *l, const char *text, struct err *err) {
    return worker_lines_add(l, text, strlen(text), err);
}

static void a_result_is_taken_whatever_the_pieces(void **state) {
    (void)state;
    static const char text[] =
        "{\"type\": \"progress\", \"fraction\": 0.5, \"text\": \"half\"}\n"
        "{\"type\": \"result\", \"result\": {\"a\": 1}, \"files\": [{\"path\": \"x.bin\"}]}\n";
    struct worker_lines l;
    struct err err;
    struct seen seen = {0};
    worker_lines_init(&l);
    l.on_progress = on_progress;
    l.user = &seen;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        assert_int_equal(worker_lines_add(&l, text + i, 1, &err), RC_OK);
    }
    assert_int_equal(seen.count, 1);
    assert_true(seen.fraction > 0.49 && seen.fraction < 0.51);
    assert_string_equal(seen.text, "half");
    assert_true(l.answered);
    assert_int_equal(json_integer_value(json_object_get(l.result, "a")), 1);
    assert_int_equal(json_array_size(l.files), 1);
    worker_lines_release(&l);
}

static void an_error_line_keeps_its_code_and_an_unknown_code_is_internal(void **state) {
    (void)state;
    struct worker_lines l;
    struct err err;
    worker_lines_init(&l);
    assert_int_equal(
        feed(&l, "{\"type\": \"error\", \"error\": {\"code\": \"input\", \"text\": \"no\"}}\n", &err), RC_OK);
    assert_int_equal(l.reason.rc, RC_INPUT);
    assert_string_equal(l.reason.text, "no");
    worker_lines_release(&l);
    worker_lines_init(&l);
    assert_int_equal(
        feed(&l, "{\"type\": \"error\", \"error\": {\"code\": \"ok\", \"text\": \"no\"}}\n", &err), RC_OK);
    assert_int_equal(l.reason.rc, RC_INTERNAL);
    worker_lines_release(&l);
}

static void what_is_not_the_protocol_is_an_internal_error(void **state) {
    (void)state;
    static const char *const bad[] = {"hello\n",
                                      "\n",
                                      "[]\n",
                                      "{}\n",
                                      "{\"type\": 1}\n",
                                      "{\"type\": \"other\"}\n",
                                      "{\"type\": \"result\"}\n",
                                      "{\"type\": \"result\", \"result\": {}, \"files\": {}}\n",
                                      "{\"type\": \"progress\"}\n",
                                      "{\"type\": \"error\", \"error\": \"x\"}\n",
                                      RESULT RESULT,
                                      RESULT "{\"type\": \"progress\", \"fraction\": 1}\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct worker_lines l;
        struct err err = {0};
        worker_lines_init(&l);
        assert_int_equal(feed(&l, bad[i], &err), RC_INTERNAL);
        assert_non_null(strstr(err.text, "worker's output"));
        worker_lines_release(&l);
    }
}

static void a_line_without_end_is_refused_at_the_limit(void **state) {
    (void)state;
    struct worker_lines l;
    struct err err;
    enum { PIECE = 1 << 20 };
    char *piece = malloc(PIECE);
    assert_non_null(piece);
    memset(piece, 'x', PIECE);
    worker_lines_init(&l);
    enum rc rc = RC_OK;
    size_t fed = 0;
    while (rc == RC_OK && fed <= (size_t)WORKER_LINES_LINE_BYTES) {
        rc = worker_lines_add(&l, piece, PIECE, &err);
        fed += PIECE;
    }
    assert_int_equal(rc, RC_TOO_LARGE);
    free(piece);
    worker_lines_release(&l);
}

static void a_wild_fraction_counts_as_nothing(void **state) {
    (void)state;
    struct worker_lines l;
    struct err err;
    struct seen seen = {0};
    worker_lines_init(&l);
    l.on_progress = on_progress;
    l.user = &seen;
    assert_int_equal(feed(&l, "{\"type\": \"progress\", \"fraction\": 1e300}\n", &err), RC_OK);
    assert_int_equal(seen.count, 1);
    assert_true(seen.fraction >= 0 && seen.fraction <= 0);
    worker_lines_release(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_is_taken_whatever_the_pieces),
        cmocka_unit_test(an_error_line_keeps_its_code_and_an_unknown_code_is_internal),
        cmocka_unit_test(what_is_not_the_protocol_is_an_internal_error),
        cmocka_unit_test(a_line_without_end_is_refused_at_the_limit),
        cmocka_unit_test(a_wild_fraction_counts_as_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
