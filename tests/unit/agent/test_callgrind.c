/* What is read out of a callgrind file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profiler/agent/callgrind.h"

static void the_total_of_a_file_is_found(void **state) {
    (void)state;
    double total = 0;
    assert_true(callgrind_total(
        "# callgrind format\nversion: 1\nevents: Ir\nsummary: 7\n\nfn=(1) a\n3 5\ntotals: 32979509\n",
        &total));
    assert_true(total == 32979509);
    assert_true(callgrind_total("version: 1\nsummary: 12\n", &total)); /* cut before its end */
    assert_true(total == 12);
}

static void a_file_without_a_total_has_none(void **state) {
    static const char *const bad[] = {
        "", "totals: 5", "\ntotals: ", "\ntotals: x", "\ntotals: 0\n", "\ntotals: -3\n", "\nsubtotals: 4\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        double total = -1;
        assert_false(callgrind_total(bad[i], &total));
        assert_true(total == -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_total_of_a_file_is_found),
        cmocka_unit_test(a_file_without_a_total_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
