#include "tests/support/test.h"

#include "core/base/nearest.h"

static void distance_counts_edits_and_swaps(void **state) {
    (void)state;
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("static", "sttaic"), 1);
    assert_int_equal(nearest_distance("same", "same"), 0);
    assert_int_equal(nearest_distance("a", ""), 1);
}

static void name_gives_nothing_when_nothing_is_near(void **state) {
    (void)state;
    static const char *const known[] = {"minmax", "percentile", "entropy", "mse", NULL};
    assert_string_equal(nearest_name("entorpy", known), "entropy");
    assert_string_equal(nearest_name("precentile", known), "percentile");
    assert_null(nearest_name("zzzzzz", known));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distance_counts_edits_and_swaps),
        cmocka_unit_test(name_gives_nothing_when_nothing_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
