#include "tests/support/test.h"

#include <math.h>
#include <string.h>

#include "core/base/json.h"

static json_t *parsed(const char *text) {
    json_t *value = NULL;
    struct err err;
    assert_int_equal(json_parse(text, strlen(text), &value, &err), RC_OK);
    return value;
}

static void parse_refuses_duplicates_garbage_and_trailing_bytes(void **state) {
    (void)state;
    static const char *const bad[] = {"",    "{", "{\"a\":1,\"a\":2}", "{} x", "1", "{\"a\":\"\\ud800\"}",
                                      "[1,]"};
    struct err err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *value = NULL;
        assert_int_equal(json_parse(bad[i], strlen(bad[i]), &value, &err), RC_INPUT);
        assert_non_null(strstr(err.text, "line"));
    }
}

static void getters_name_the_field_and_the_type(void **state) {
    (void)state;
    json_t *o = parsed("{\"n\": 7, \"s\": \"x\", \"none\": null}");
    struct err err;
    int64_t n = 0;
    const char *s = "kept";
    assert_int_equal(json_get_int(o, "n", 0, 10, &n, &err), RC_OK);
    assert_int_equal(n, 7);
    assert_int_equal(json_get_int(o, "n", 0, 6, &n, &err), RC_INPUT);
    assert_string_equal(err.text, "field \"n\" must be a whole number from 0 to 6");
    assert_int_equal(json_get_string(o, "n", &s, &err), RC_INPUT);
    assert_string_equal(err.text, "field \"n\" must be a string");
    assert_int_equal(json_get_string(o, "none", &s, &err), RC_INPUT);
    assert_int_equal(json_opt_string(o, "none", &s, &err), RC_OK);
    assert_string_equal(s, "kept");
    json_decref(o);
}

static void what_is_shown_may_be_absent(void **state) {
    (void)state;
    json_t *o = parsed("{\"n\": 7.5, \"s\": \"x\"}");
    assert_string_equal(json_shown_text(o, "s"), "x");
    assert_string_equal(json_shown_text(o, "n"), "");
    assert_string_equal(json_shown_text(NULL, "s"), "");
    assert_true(json_shown_number(o, "n") == 7.5);
    assert_true(isnan(json_shown_number(o, "s")));
    json_decref(o);
}

static void only_keys_suggests_the_nearest(void **state) {
    (void)state;
    static const char *const keys[] = {"floors", "budgets", NULL};
    json_t *o = parsed("{\"flors\": []}");
    struct err err;
    assert_int_equal(json_only_keys(o, keys, &err), RC_INPUT);
    assert_string_equal(err.text, "unknown field \"flors\"; did you mean \"floors\"?");
    json_decref(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_refuses_duplicates_garbage_and_trailing_bytes),
        cmocka_unit_test(getters_name_the_field_and_the_type),
        cmocka_unit_test(what_is_shown_may_be_absent),
        cmocka_unit_test(only_keys_suggests_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
