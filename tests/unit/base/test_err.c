#include "tests/support/test.h"

#include <string.h>

#include "core/base/err.h"

static void names_lead_back_to_their_codes(void **state) {
    (void)state;
#define X(code, status, name, text)                                                                          \
    assert_int_equal(rc_from_name(name), code);                                                              \
    assert_int_equal(rc_http_status(code), status);
    RC_TABLE(X)
#undef X
    assert_int_equal(rc_from_name("no such name"), RC_INTERNAL);
}

static void prefix_keeps_the_code_and_cuts_long_texts(void **state) {
    (void)state;
    struct err err;
    char long_text[1000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    assert_int_equal(err_set(&err, RC_IO, "%s", long_text), RC_IO);
    assert_int_equal(err_prefix(&err, "reading %s", "model.onnx"), RC_IO);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_memory_equal(err.text, "reading model.onnx: xxx", 23);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_back_to_their_codes),
        cmocka_unit_test(prefix_keeps_the_code_and_cuts_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
