/* Workers that behave, crash, hang and lie: small shell scripts in the place of pare-worker. */
#include <setjmp.h>
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
#include "profiler/agent/worker_process.h"

#define ANSWER "echo '{\"type\": \"result\", \"result\": {\"a\": 1}, \"files\": []}'\n"

struct fixture {
    char folder[64], program[128];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    strcpy(f->folder, "/tmp/pare-worker-process-XXXXXX");
    *state = f;
    return f && mkdtemp(f->folder) ? 0 : -1;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    struct err err;
    enum rc rc = file_remove_tree(f->folder, &err);
    free(f);
    return rc == RC_OK ? 0 : -1;
}

static enum worker_stop always(void *user) {
    (void)user;
    return WORKER_STOP;
}

static struct worker_process_opts script(struct fixture *f, const char *body) {
    struct err err;
    char text[1024];
    snprintf(f->program, sizeof(f->program), "%s/worker", f->folder);
    snprintf(text, sizeof(text), "#!/bin/sh\n%s", body);
    assert_int_equal(file_write(f->program, text, strlen(text), 0700, &err), RC_OK);
    return (struct worker_process_opts){.program = f->program, .folder = f->folder};
}

/* Runs a script; checks its code and whether it counts as a crash. */
static void expect(struct fixture *f, const char *body, enum rc rc, bool crashed) {
    struct worker_process_outcome outcome;
    struct err err = {0};
    struct worker_process_opts opts = script(f, body);
    assert_int_equal(worker_process_run(&opts, &outcome, &err), rc);
    assert_int_equal(outcome.crashed, crashed);
    assert_int_equal(outcome.result != NULL, rc == RC_OK);
    worker_process_outcome_release(&outcome);
}

static void an_answer_is_handed_over_with_the_end_of_the_log(void **state) {
    struct worker_process_outcome outcome;
    struct err err = {0};
    struct worker_process_opts opts = script(*state, "seq 1 20000 >&2; echo last words >&2\n" ANSWER);
    assert_int_equal(worker_process_run(&opts, &outcome, &err), RC_OK);
    assert_int_equal(json_integer_value(json_object_get(outcome.result, "a")), 1);
    assert_int_equal(strlen(outcome.log), WORKER_LOG_BYTES);
    assert_non_null(strstr(outcome.log, "20000\nlast words\n"));
    worker_process_outcome_release(&outcome);
}

static void input_larger_than_a_pipe_arrives_whole(void **state) {
    struct worker_process_outcome outcome;
    struct err err = {0};
    struct worker_process_opts opts =
        script(*state, "n=$(wc -c)\necho \"{\\\"type\\\": \\\"result\\\", \\\"result\\\": {\\\"n\\\": $n}, "
                       "\\\"files\\\": []}\"\n");
    enum { SIZE = 1000000 };
    char *input = malloc(SIZE + 1);
    assert_non_null(input);
    memset(input, 'x', SIZE);
    input[SIZE] = '\0';
    opts.input = input;
    assert_int_equal(worker_process_run(&opts, &outcome, &err), RC_OK);
    assert_int_equal(json_integer_value(json_object_get(outcome.result, "n")), SIZE);
    worker_process_outcome_release(&outcome);
    free(input);
}

static void a_signal_or_no_answer_is_a_crash(void **state) {
    expect(*state, "kill -SEGV $$\n", RC_CRASHED, true);
    expect(*state, "kill -XCPU $$\n", RC_CRASHED, true);
    expect(*state, "exit 0\n", RC_CRASHED, true);
    expect(*state, "exit 3\n", RC_CRASHED, true);
    expect(*state, ANSWER "exit 3\n", RC_CRASHED, true);
    expect(*state, ANSWER "kill -SEGV $$\n", RC_CRASHED, true);
}

static void somebody_who_ends_the_worker_is_no_crash(void **state) {
    expect(*state, "kill -TERM $$\n", RC_CANCELLED, false);
    expect(*state, "kill -INT $$\n", RC_CANCELLED, false);
    expect(*state, "kill -KILL $$\n", RC_CANCELLED, false);
    expect(*state, ANSWER "kill -HUP $$\n", RC_CANCELLED, false);
}

static void an_error_line_is_no_crash(void **state) {
    expect(*state,
           "echo '{\"type\": \"error\", \"error\": {\"code\": \"input\", \"text\": \"labels\"}}'; exit 1\n",
           RC_INPUT, false);
}

static void output_that_is_not_the_protocol_is_internal(void **state) {
    expect(*state, "echo hello; sleep 1000\n", RC_INTERNAL, false);
}

static void a_worker_that_hangs_is_killed(void **state) {
    struct worker_process_outcome outcome;
    struct err err = {0};
    struct worker_process_opts opts = script(*state, "sleep 1000 & sleep 1000\n");
    opts.timeout_ms = 1;
    assert_int_equal(worker_process_run(&opts, &outcome, &err), RC_TIMEOUT);
    assert_false(outcome.crashed);
    worker_process_outcome_release(&outcome);
    opts.timeout_ms = 0;
    opts.should_stop = always;
    assert_int_equal(worker_process_run(&opts, &outcome, &err), RC_CANCELLED);
    assert_false(outcome.crashed);
    worker_process_outcome_release(&outcome);
}

static void no_token_reaches_the_worker(void **state) {
    setenv("PARE_TOKEN", "secret", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    expect(*state, "env | grep -q secret && exit 9\n" ANSWER, RC_OK, false);
    unsetenv("PARE_TOKEN");
    unsetenv("AWS_SECRET_ACCESS_KEY");
}

static void a_missing_worker_is_said_with_its_path(void **state) {
    (void)state;
    char path[256];
    struct err err;
    assert_int_equal(worker_process_find("/nowhere/pare-worker", path, sizeof(path), &err), RC_IO);
    assert_non_null(strstr(err.text, "/nowhere/pare-worker"));
    assert_non_null(strstr(err.text, "PARE_WORKER"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_is_handed_over_with_the_end_of_the_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(input_larger_than_a_pipe_arrives_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_signal_or_no_answer_is_a_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(somebody_who_ends_the_worker_is_no_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_line_is_no_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(output_that_is_not_the_protocol_is_internal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_worker_that_hangs_is_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_token_reaches_the_worker, set_up, tear_down),
        cmocka_unit_test(a_missing_worker_is_said_with_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
