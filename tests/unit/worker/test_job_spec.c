/* Jobs as they arrive, and jobs as they must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profiler/worker/job_spec.h"

#define MODEL                                                                                                \
    "\"model\": {\"family\": \"onnx\", \"main\": \"m.onnx\", \"files\": [{\"path\": \"w.bin\", \"local\": "  \
    "\"/dev/null\"}, "                                                                                       \
    "{\"path\": \"m.onnx\", \"local\": \"/dev/zero\"}]}"

static enum rc read_text(const char *text, struct job_spec *spec, struct err *err) {
    return job_spec_read(text, strlen(text), spec, err);
}

static void a_job_names_its_inputs(void **state) {
    (void)state;
    struct job_spec spec;
    struct err err;
    assert_int_equal(
        read_text("{\"kind\": \"evaluate\", " MODEL
                  ", \"dataset\": {\"files\": [{\"path\": \"d\", \"local\": \"/d\"}], "
                  "\"split\": {\"exclude\": {\"files\": [{\"path\": \"e\", \"local\": \"/e\"}]}}}, "
                  "\"calibration\": null, \"limits\": {\"threads\": 3, \"cpu_s\": 7}}",
                  &spec, &err),
        RC_OK);
    assert_int_equal(spec.kind, JOB_EVALUATE);
    assert_int_equal(spec.model.family, FAMILY_ONNX);
    assert_string_equal(spec.model.main_local, "/dev/zero");
    assert_int_equal(spec.model.file_count, 2);
    assert_int_equal(spec.input_count, 4); /* two of the model, the dataset's, and the excluded one's */
    assert_non_null(spec.dataset);
    assert_null(spec.calibration);
    assert_false(spec.has_reference);
    assert_int_equal(job_spec_threads(&spec), 3);
    assert_int_equal(spec.limits.cpu_s, 7);
    job_spec_release(&spec);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *named;
    } bad[] = {
        {"", "standard input"},
        {"garbage", "standard input"},
        {"{\"kind\": \"inspect\"} trailing", "standard input"},
        {"[]", "kind"},
        {"{}", "kind"},
        {"{\"kind\": 1}", "kind"},
        {"{\"kind\": \"explode\"}", "explode"},
        {"{\"kind\": \"inspect\"}", "model"},
        {"{\"kind\": \"inspect\", \"model\": {}}", "family"},
        {"{\"kind\": \"inspect\", \"model\": {\"family\": \"png\"}}", "png"},
        {"{\"kind\": \"inspect\", \"model\": {\"family\": \"onnx\", \"main\": \"a\", \"files\": []}}",
         "files"},
        {"{\"kind\": \"inspect\", \"model\": {\"family\": \"onnx\", \"main\": \"a\", \"files\": [{\"path\": "
         "\"a\"}]}}",
         "local"},
        {"{\"kind\": \"inspect\", \"model\": {\"family\": \"onnx\", \"main\": \"a\", \"files\": [{\"path\": "
         "\"a\", \"local\": \"a\"}]}}",
         "absolute"},
        {"{\"kind\": \"inspect\", \"model\": {\"family\": \"onnx\", \"main\": \"a\", \"files\": [{\"path\": "
         "\"a\", \"local\": "
         "\"/no/such\"}]}}",
         "/no/such"},
        {"{\"kind\": \"inspect\", \"model\": {\"family\": \"onnx\", \"main\": \"b\", \"files\": [{\"path\": "
         "\"a\", \"local\": "
         "\"/dev/null\"}]}}",
         "main"},
        {"{\"kind\": \"inspect\", " MODEL ", \"dataset\": 1}", "dataset"},
        {"{\"kind\": \"inspect\", " MODEL ", \"limits\": {\"memory_bytes\": -1}}", "memory_bytes"},
        {"{\"kind\": \"inspect\", " MODEL ", \"reference\": {}}", "reference"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct job_spec spec;
        struct err err = {0};
        assert_int_not_equal(read_text(bad[i].text, &spec, &err), RC_OK);
        if (!strstr(err.text, bad[i].named)) {
            fail_msg("%s: \"%s\" does not name %s", bad[i].text, err.text, bad[i].named);
        }
    }
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    char text[2000] = "{\"kind\": \"inspect\", " MODEL ", \"x\": ";
    for (int i = 0; i < 100; i++) {
        strcat(text, "[");
    }
    strcat(text, "1");
    for (int i = 0; i < 100; i++) {
        strcat(text, "]");
    }
    strcat(text, "}");
    struct job_spec spec;
    struct err err;
    assert_int_equal(read_text(text, &spec, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "nested"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_names_its_inputs),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
