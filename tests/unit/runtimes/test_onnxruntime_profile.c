/* ONNX Runtime's profile: of a session that really ran, and texts that it might have written. */
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtimes/onnxruntime.h"
#include "runtimes/onnxruntime_profile.h"

static const char example[] = "examples/fashion-mnist/fmnist-resnet.onnx";

#define NODE(us, name, op, in, out)                                                                          \
    "{\"cat\" : \"Node\",\"dur\" :" us ",\"name\" :\"" name "_kernel_time\",\"args\" : {\"op_name\" : \"" op \
    "\",\"activation_size\" : \"8\",\"output_size\" : \"4\",\"input_type_shape\" : [{" in                    \
    "}],\"output_type_shape\" : [{" out "}]}},\n"
#define RUN(us) "{\"cat\" : \"Session\",\"dur\" :" us ",\"name\" :\"model_run\",\"args\" : {}},\n"

static enum rc parse(const char *text, uint64_t skip, struct onnxruntime_profile *p, struct err *err) {
    return onnxruntime_profile_parse(text, strlen(text), skip, p, err);
}

static void medians_over_the_runs_that_count(void **state) {
    (void)state;
    static const char text[] = "[\n" NODE("9000", "a", "Conv", "\"float\":[1,2]", "\"float\":[1,3]")
        RUN("9999") NODE("10", "a", "Conv", "\"float\":[1,2]", "\"float\":[1,3]")
            NODE("5", "b", "MatMul", "\"float\":[2,8]", "\"uint8\":[2,4,6]") RUN("20")
                NODE("11", "a", "Conv", "\"float\":[1,2]", "\"float\":[1,3]")
                    NODE("7", "b", "MatMul", "\"float\":[2,8]", "\"uint8\":[2,4,6]") RUN("22")
                        NODE("500", "a", "Conv", "\"float\":[1,2]", "\"float\":[1,3]")
                            NODE("4", "b", "MatMul", "\"float\":[2,8]", "\"uint8\":[2,4,6]")
                                NODE("2", "b", "MatMul", "\"float\":[2,8]", "\"uint8\":[2,4,6]")
                                    RUN("600") "]";
    struct onnxruntime_profile p;
    assert_int_equal(parse(text, 1, &p, NULL), RC_OK);
    assert_int_equal(p.runs, 3);
    assert_true(p.run_us == 22);
    assert_int_equal(p.count, 2);
    const struct onnxruntime_operator *a = &p.operators[0], *b = &p.operators[1];
    assert_string_equal(a->node, "a");
    assert_string_equal(a->op, "Conv");
    assert_true(a->us == 11 && a->calls == 1 && a->activation_bytes == 12);
    assert_int_equal(a->dtype, DTYPE_FLOAT32);
    assert_true(b->us == 6); /* of 5, 7 and 4 + 2 */
    assert_true(b->first_input == 16 && b->first_output == 48 && b->last_dim == 6);
    assert_int_equal(b->dtype, DTYPE_UINT8);
    onnxruntime_profile_release(&p);
    assert_int_equal(parse(text, 4, &p, NULL), RC_SAMPLE);
}

static void bad_texts_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum rc rc;
    } cases[] = {
        {"", RC_SAMPLE},
        {"[\n]", RC_SAMPLE},
        {"[\nnonsense\n]", RC_INPUT},
        {"[\n{\"cat\" : \"Node\",\"name\" :\"a\"b_kernel_time\"},\n" RUN("1") "]", RC_INPUT},
        {"[\n{\"cat\" : \"Session\",\"name\" :\"model_run\"}\n]", RC_INPUT},
        {"[\n" NODE("-1", "a", "Conv", "\"float\":[1]", "\"float\":[1]") RUN("1") "]", RC_INPUT},
        {"[\n" NODE("1", "a", "Conv", "\"float\":[-1]", "\"float\":[1]") RUN("1") "]", RC_INPUT},
        {"[\n" NODE("1", "a", "Conv", "\"float\":[1]", "\"float\":3") RUN("1") "]", RC_INPUT},
        {"[\n" NODE("1", "a", "Conv", "\"float\":[99999999999]", "\"float\":[1]") RUN("1") "]", RC_INPUT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct onnxruntime_profile p;
        struct err err;
        assert_int_equal(parse(cases[i].text, 0, &p, &err), cases[i].rc);
    }
}

static void what_is_not_shown_is_zero(void **state) {
    (void)state;
    struct onnxruntime_profile p;
    static const char text[] = "{\"cat\" : \"Node\",\"dur\" :3,\"name\" :\"a_kernel_time\"},\n" RUN("4");
    assert_int_equal(parse(text, 0, &p, NULL), RC_OK);
    assert_int_equal(p.count, 1);
    assert_true(p.operators[0].first_input == 0 && p.operators[0].activation_bytes == 0);
    assert_int_equal(p.operators[0].dtype, DTYPE_OTHER);
    assert_string_equal(p.operators[0].op, "");
    onnxruntime_profile_release(&p);
}

static void a_real_session_tells_its_convolutions(void **state) {
    (void)state;
    struct onnxruntime *r = NULL;
    struct onnxruntime_session *s = NULL;
    struct onnxruntime_binding *b = NULL;
    struct onnxruntime_profile p;
    struct err err;
    char prefix[64], *path = NULL;
    float *pixels = calloc(28 * 28, sizeof(float));
    struct onnxruntime_tensor image = {DTYPE_FLOAT32, 4, {1, 1, 28, 28}, pixels, 28 * 28 * sizeof(float)};
    snprintf(prefix, sizeof(prefix), "/tmp/pare-profile-%ld", (long)getpid());
    const struct onnxruntime_session_opts opts = {.threads = 1, .profile_prefix = prefix};
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    assert_int_equal(onnxruntime_open(r, example, &opts, &s, &err), RC_OK);
    assert_int_equal(onnxruntime_binding_new(s, &image, &b, &err), RC_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(onnxruntime_binding_run(b, &err), RC_OK);
    }
    assert_int_equal(onnxruntime_end_profile(s, &path, &err), RC_OK);
    assert_int_equal(onnxruntime_profile_read(path, 1, &p, &err), RC_OK);
    assert_int_equal(p.runs, 4);
    size_t convolutions = 0;
    for (size_t i = 0; i < p.count; i++) {
        bool conv = strcmp(p.operators[i].op, "Conv") == 0;
        convolutions += conv;
        assert_true(p.operators[i].calls == 1);
        assert_true(!conv || (p.operators[i].first_output > 0 && p.operators[i].activation_bytes > 0));
    }
    assert_int_equal(convolutions, 15);
    unlink(path);
    free(path);
    free(pixels);
    onnxruntime_profile_release(&p);
    onnxruntime_binding_free(b);
    onnxruntime_close(s);
    onnxruntime_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(medians_over_the_runs_that_count),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(what_is_not_shown_is_zero),
        cmocka_unit_test(a_real_session_tells_its_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
