#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"

static void buf_keeps_bytes_in_order(void **state) {
    (void)state;
    struct buf b;
    struct err err;
    buf_init(&b, 1000);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf_printf(&b, &err, "%d,", i % 10), RC_OK);
    }
    assert_int_equal(b.size, 200);
    buf_consume(&b, 196);
    assert_string_equal(b.data, "8,9,");
    buf_free(&b);
}

static void buf_refuses_more_than_its_maximum_and_stays_unchanged(void **state) {
    (void)state;
    struct buf b;
    struct err err;
    buf_init(&b, 4);
    assert_int_equal(buf_add(&b, "abcd", 4, &err), RC_OK);
    assert_int_equal(buf_add(&b, "e", 1, &err), RC_TOO_LARGE);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &err), RC_TOO_LARGE);
    assert_string_equal(b.data, "abcd");
    buf_free(&b);
}

static void buf_steal_of_an_empty_buffer_is_an_empty_text(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    char *text = buf_steal(&b);
    assert_string_equal(text, "");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_keeps_bytes_in_order),
        cmocka_unit_test(buf_refuses_more_than_its_maximum_and_stays_unchanged),
        cmocka_unit_test(buf_steal_of_an_empty_buffer_is_an_empty_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
