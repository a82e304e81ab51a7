/* What is recorded comes back in order; notes are not repeated. */
#include <string.h>

#include "core/recipes/record.h"
#include "tests/support/test.h"

static void entries_keep_their_order_and_their_texts(void **state) {
    struct record r;
    struct err err;
    (void)state;
    record_init(&r);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(record_changed(&r, &err, "conv.weight", "int%d per channel", i), RC_OK);
    }
    assert_int_equal(record_left_alone(&r, &err, "fc.bias", "a bias"), RC_OK);
    assert_int_equal(r.changed.count, 100);
    assert_string_equal(r.changed.entries[99].text, "int99 per channel");
    assert_string_equal(r.changed.entries[99].tensor, "conv.weight");
    assert_string_equal(r.left_alone.entries[0].text, "a bias");
    record_release(&r);
    assert_int_equal(r.changed.count, 0);
}

static void a_note_is_kept_once(void **state) {
    struct record r;
    struct err err;
    (void)state;
    record_init(&r);
    assert_int_equal(record_note(&r, &err, "slow on CPUs (%d)", 1), RC_OK);
    assert_int_equal(record_note(&r, &err, "slow on CPUs (%d)", 1), RC_OK);
    assert_int_equal(record_note(&r, &err, "slow on CPUs (%d)", 2), RC_OK);
    assert_int_equal(r.notes.count, 2);
    assert_null(r.notes.entries[0].tensor);
    record_release(&r);
}

static void a_reason_to_be_slow_is_a_note_too(void **state) {
    struct record r;
    struct err err;
    (void)state;
    record_init(&r);
    assert_int_equal(record_slow(&r, &err, "no kernel for %s", "ConvInteger"), RC_OK);
    assert_int_equal(record_slow(&r, &err, "no kernel for %s", "ConvInteger"), RC_OK);
    assert_int_equal(record_note(&r, &err, "other"), RC_OK);
    assert_int_equal(r.slow.count, 1);
    assert_string_equal(r.slow.entries[0].text, "no kernel for ConvInteger");
    assert_int_equal(r.notes.count, 2);
    record_release(&r);
}

static void long_texts_are_cut(void **state) {
    struct record r;
    struct err err;
    char text[3000];
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    record_init(&r);
    assert_int_equal(record_left_alone(&r, &err, "w", "%s", text), RC_OK);
    assert_int_equal(strlen(r.left_alone.entries[0].text), 1023);
    record_release(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_keep_their_order_and_their_texts),
        cmocka_unit_test(a_note_is_kept_once),
        cmocka_unit_test(a_reason_to_be_slow_is_a_note_too),
        cmocka_unit_test(long_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
