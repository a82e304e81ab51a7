/* The agent's roofline: measured once, kept, and measured again when the machine or the runtime is another.
 * Shell scripts in the place of pare-worker count how often they are asked. */
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "profiler/agent/roofline.h"

struct fixture {
    char folder[64], worker[128], kept[128];
    json_t *fingerprint;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    strcpy(f->folder, "/tmp/pare-roofline-XXXXXX");
    if (!mkdtemp(f->folder)) {
        return -1;
    }
    snprintf(f->worker, sizeof(f->worker), "%s/worker", f->folder);
    snprintf(f->kept, sizeof(f->kept), "%s/roofline.json", f->folder);
    f->fingerprint =
        json_pack("{s:{s:s, s:i, s:[s]}, s:I, s:{s:s}}", "cpu", "model", "Test", "cores", 2, "isa", "avx2",
                  "memory_bytes", (json_int_t)1 << 33, "runtimes", "onnxruntime", "1.30.0");
    return f->fingerprint ? 0 : -1;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    json_decref(f->fingerprint);
    enum rc rc = file_remove_tree(f->folder, NULL);
    free(f);
    return rc == RC_OK ? 0 : -1;
}

/* Answers {"run": how often it ran}; exits with 1 unless asked to calibrate. */
static void put_worker(struct fixture *f) {
    char text[512];
    snprintf(text, sizeof(text),
             "#!/bin/sh\n[ \"$1\" = --calibrate ] || exit 1\necho x >> %s/runs\n"
             "echo '{\"type\": \"result\", \"result\": {\"run\": '$(wc -l < %s/runs)'}, \"files\": []}'\n",
             f->folder, f->folder);
    assert_int_equal(file_write(f->worker, text, strlen(text), 0700, NULL), RC_OK);
}

static json_int_t run_of(struct fixture *f) {
    const struct roofline_opts opts = {f->worker, f->folder, f->folder};
    json_t *roofline = NULL;
    struct err err;
    assert_int_equal(roofline_get(&opts, f->fingerprint, &roofline, &err), RC_OK);
    json_int_t run = json_integer_value(json_object_get(roofline, "run"));
    json_decref(roofline);
    return run;
}

static void it_is_measured_once_for_a_machine_and_runtime(void **state) {
    struct fixture *f = *state;
    put_worker(f);
    assert_int_equal(run_of(f), 1);
    assert_int_equal(run_of(f), 1);
    json_object_set_new(json_object_get(f->fingerprint, "runtimes"), "onnxruntime", json_string("1.31.0"));
    assert_int_equal(run_of(f), 2);
    assert_int_equal(run_of(f), 2);
    json_object_set_new(json_object_get(f->fingerprint, "cpu"), "cores", json_integer(4));
    assert_int_equal(run_of(f), 3);
}

static void a_broken_or_missing_file_is_measured_again(void **state) {
    struct fixture *f = *state;
    static const char *const texts[] = {"", "{", "[]", "{\"key\": {}, \"roofline\": {}}",
                                        "{\"roofline\": 3}"};
    put_worker(f);
    assert_int_equal(run_of(f), 1);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(file_write(f->kept, texts[i], strlen(texts[i]), 0600, NULL), RC_OK);
        assert_int_equal(run_of(f), 2 + (json_int_t)i);
    }
    assert_int_equal(unlink(f->kept), 0);
    assert_int_equal(run_of(f), 7);
}

static void a_worker_that_fails_is_named_and_nothing_is_kept(void **state) {
    struct fixture *f = *state;
    const struct roofline_opts opts = {f->worker, f->folder, f->folder};
    static const char text[] =
        "#!/bin/sh\necho '{\"type\": \"error\", \"error\": {\"code\": \"memory\", \"text\": \"no room\"}}'\n";
    json_t *roofline = NULL;
    struct err err;
    assert_int_equal(file_write(f->worker, text, sizeof(text) - 1, 0700, NULL), RC_OK);
    assert_int_equal(roofline_get(&opts, f->fingerprint, &roofline, &err), RC_MEMORY);
    assert_non_null(strstr(err.text, "pare-worker --calibrate: "));
    assert_null(roofline);
    assert_int_equal(access(f->kept, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_measured_once_for_a_machine_and_runtime, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_or_missing_file_is_measured_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_worker_that_fails_is_named_and_nothing_is_kept, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
