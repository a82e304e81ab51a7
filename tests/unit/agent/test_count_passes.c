/* Counting passes: which workers are started, what is taken from them and what is not. Small shell scripts
 * stand in the place of pare-worker, since they can also do what a good worker never does. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "profiler/agent/count_passes.h"

/* A pass counts what it is asked for: instructions 100.5, cycles 7; it writes its job down. */
#define TAKE_JOB "cat > job; cat job >> jobs; echo >> jobs\n"
#define ANSWER                                                                                               \
    "v='\"cycles\": 7'\n"                                                                                    \
    "if grep -q 'instructions' job; then v='\"instructions\": 100.5, \"intruder\": 1'; fi\n"                 \
    "echo \"{\\\"type\\\": \\\"result\\\", \\\"result\\\": {\\\"counters\\\": {\\\"available\\\": true, "    \
    "\\\"per_inference\\\": {$v}, \\\"inferences\\\": 50.0}}, \\\"files\\\": []}\"\n"
#define COUNTS TAKE_JOB ANSWER

static const char SPEC[] =
    "{\"kind\": \"profile\", \"runtime\": {\"instances\": 4, \"threads\": 1, \"batch\": 1}}";
static const char TWO_PASSES[] = "{\"counters\": {\"available\": true, \"events\": [\"instructions\", "
                                 "\"cycles\"], \"passes\": [[\"instructions\"], "
                                 "[\"cycles\"]], \"unusable\": {\"l1d_misses\": \"reads 0\"}, "
                                 "\"known_loop\": {\"instructions\": 20000216}}}";

struct fixture {
    char folder[64], program[128];
    json_t *spec, *result;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    strcpy(f->folder, "/tmp/pare-count-passes-XXXXXX");
    f->spec = json_loads(SPEC, 0, NULL);
    *state = f;
    return f->spec && mkdtemp(f->folder) ? 0 : -1;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    struct err err;
    enum rc rc = file_remove_tree(f->folder, &err);
    json_decref(f->spec);
    json_decref(f->result);
    free(f);
    return rc == RC_OK ? 0 : -1;
}

static enum rc run(struct fixture *f, const char *result, const char *body, struct err *err) {
    char text[2048];
    snprintf(f->program, sizeof(f->program), "%s/worker", f->folder);
    snprintf(text, sizeof(text), "#!/bin/sh\n%s", body);
    assert_int_equal(file_write(f->program, text, strlen(text), 0700, err), RC_OK);
    f->result = json_loads(result, 0, NULL);
    assert_non_null(f->result);
    const struct worker_process_opts opts = {.program = f->program, .folder = f->folder, .input = "not this"};
    return count_passes_run(&opts, f->spec, f->result, err);
}

static const json_t *counters(struct fixture *f) {
    return json_object_get(f->result, "counters");
}

static size_t jobs_started(struct fixture *f) {
    char path[128];
    char *text = NULL;
    size_t size = 0;
    size_t lines = 0;
    struct err err;
    snprintf(path, sizeof(path), "%s/jobs", f->folder);
    if (file_read(path, 1 << 20, &text, &size, &err) != RC_OK) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
    }
    assert_null(strstr(text, "\"instances\":4")); /* a pass counts one instance */
    free(text);
    return lines;
}

static void each_pass_gets_a_worker_and_the_counts_come_together(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    assert_int_equal(run(f, TWO_PASSES, COUNTS, &err), RC_OK);
    assert_int_equal(jobs_started(f), 2);
    const json_t *each = json_object_get(counters(f), "per_inference");
    assert_true(json_is_true(json_object_get(counters(f), "available")));
    assert_true(json_real_value(json_object_get(each, "instructions")) == 100.5);
    assert_int_equal(json_integer_value(json_object_get(each, "cycles")), 7);
    assert_int_equal(json_object_size(each), 2); /* the intruder is not among them */
    assert_int_equal(json_integer_value(json_object_get(counters(f), "passes")), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(counters(f), "unusable"), "l1d_misses")),
        "reads 0");
    assert_non_null(json_object_get(counters(f), "known_loop"));
}

static void a_failed_pass_makes_its_events_unusable_and_nothing_else(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    assert_int_equal(run(f, TWO_PASSES, TAKE_JOB "if grep -q cycles job; then exit 3; fi\n" ANSWER, &err),
                     RC_OK);
    const json_t *why = json_object_get(json_object_get(counters(f), "unusable"), "cycles");
    assert_non_null(strstr(json_string_value(why), "its counting pass failed"));
    assert_null(json_object_get(json_object_get(counters(f), "per_inference"), "cycles"));
}

static void without_any_counts_there_are_none(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    assert_int_equal(run(f, TWO_PASSES, "exit 3\n", &err), RC_OK);
    assert_true(json_is_false(json_object_get(counters(f), "available")));
    assert_non_null(json_object_get(counters(f), "reason"));
}

static void a_result_without_counters_starts_nothing(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    static const char none[] = "{\"counters\": {\"available\": false, \"reason\": \"a virtual machine\"}}";
    assert_int_equal(run(f, none, COUNTS, &err), RC_OK);
    assert_int_equal(jobs_started(f), 0);
    assert_string_equal(json_string_value(json_object_get(counters(f), "reason")), "a virtual machine");
}

static void passes_that_are_no_lists_of_names_are_refused(void **state) {
    static const char *const bad[] = {"[1]", "[[]]", "[[1]]", "[{}]", "[[\"a\"], []]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fixture *f = *state;
        struct err err = {0};
        char text[200];
        snprintf(text, sizeof(text), "{\"counters\": {\"available\": true, \"passes\": %s}}", bad[i]);
        assert_int_equal(run(f, text, COUNTS, &err), RC_INTERNAL);
        json_decref(f->result);
        f->result = NULL;
    }
}

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* as the agent does: a worker may end before it has read its job */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_pass_gets_a_worker_and_the_counts_come_together, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failed_pass_makes_its_events_unusable_and_nothing_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_any_counts_there_are_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_result_without_counters_starts_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(passes_that_are_no_lists_of_names_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
