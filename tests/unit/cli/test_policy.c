#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advisor/cli/policy.h"

static char file[] = "/tmp/pare-policy-XXXXXX";

static int make_file(void **state) {
    (void)state;
    int fd = mkstemp(file);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state) {
    (void)state;
    return unlink(file);
}

static enum rc read_text(const char *text, struct policy *p, struct err *err) {
    FILE *f = fopen(file, "w");
    fputs(text, f);
    fclose(f);
    return policy_read(file, p, err);
}

static void policy_paths_are_seen_from_its_folder(void **state) {
    (void)state;
    struct policy p;
    struct err err;
    assert_int_equal(read_text("{\"name\": \"g\", \"model\": \"m.onnx\", \"data\": \"i.gz,/abs/l.gz\", "
                               "\"budgets\": [\"p99<=5ms\"]}",
                               &p, &err),
                     RC_OK);
    assert_string_equal(p.request.model_file, "/tmp/m.onnx");
    assert_string_equal(p.request.data, "/tmp/i.gz,/abs/l.gz");
    assert_null(p.request.calibration);
    assert_int_equal(p.request.budgets.count, 1);
    policy_free(&p);
}

static void policy_may_only_name_a_model_to_keep_up_with(void **state) {
    (void)state;
    struct policy p;
    struct err err;
    assert_int_equal(read_text("{\"name\": \"g\", \"model\": \"m.onnx\", \"data\": \"d\", "
                               "\"no_slower_than\": {\"model\": \"main/m.onnx\", \"margin\": 0.03}}",
                               &p, &err),
                     RC_OK);
    assert_string_equal(p.reference, "/tmp/main/m.onnx");
    assert_non_null(p.no_slower_than);
    policy_free(&p);
}

static void policy_errors_name_the_field(void **state) {
    (void)state;
    static const struct {
        const char *text, *expected;
    } bad[] = {
        {"", "JSON"},
        {"{\"name\": \"g\", \"data\": \"d\", \"floors\": [\"x\"]}", "field \"model\" is missing"},
        {"{\"name\": \"g\", \"model\": \"m\", \"data\": \"d\", \"floor\": []}", "did you mean \"floors\""},
        {"{\"name\": \"g\", \"model\": \"m\", \"data\": \"d\", \"floors\": \"x\"}",
         "field \"floors\" must be an array"},
        {"{\"name\": \"g\", \"model\": \"m\", \"data\": \"d\", \"budgets\": [1]}",
         "field \"budgets\" must hold texts"},
        {"{\"name\": \"g\", \"model\": \"m\", \"data\": \"d\"}", "nothing to check"},
        {"{\"name\": \"g\", \"model\": \"m\", \"data\": \"d\", \"floors\": [\"x\"], \"threads\": 0}",
         "from 1 to 1024"},
        {"{\"name\": \"g\", \"model\": \"m\", \"data\": \"d\", \"no_slower_than\": {}}",
         "no_slower_than: field \"model\" is missing"},
        {"{\"name\": \"g\", \"model\": \"m\", \"data\": \"d\", \"no_slower_than\": {\"model\": \"m\", "
         "\"margn\": 1}}",
         "did you mean \"margin\""},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct policy p;
        struct err err;
        assert_int_equal(read_text(bad[i].text, &p, &err), RC_INPUT);
        if (!strstr(err.text, bad[i].expected)) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i].expected);
        }
        assert_non_null(strstr(err.text, file));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_paths_are_seen_from_its_folder),
        cmocka_unit_test(policy_may_only_name_a_model_to_keep_up_with),
        cmocka_unit_test(policy_errors_name_the_field),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
