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

static void texts_are_utf8_whatever_they_quote_and_wherever_they_are_cut(void **state) {
    (void)state;
    struct err err;
    err_set(&err, RC_INPUT, "the file \"%.4s\"", "a\xc3\xa9\xc3\xa9"); /* cut within the second e acute */
    assert_string_equal(err.text, "the file \"a\xc3\xa9?\"");
    err_set(&err, RC_INPUT, "%s",
            "\xff \xc0\xaf \xed\xa0\x80 \xf5\x80 \xf0\x9f\x98\x80 \xe2\x82\xac \xf0\x9f");
    assert_string_equal(err.text, "? ?? ??? ?? \xf0\x9f\x98\x80 \xe2\x82\xac ??");
    err_prefix(&err, "%.1s", "\xc3\xa9");
    assert_memory_equal(err.text, "?: ?", 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_back_to_their_codes),
        cmocka_unit_test(prefix_keeps_the_code_and_cuts_long_texts),
        cmocka_unit_test(texts_are_utf8_whatever_they_quote_and_wherever_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
