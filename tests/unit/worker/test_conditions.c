/* What the kernel tells in /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profiler/worker/conditions.h"
#include "profiler/worker/memory.h"

static void steal_is_the_eighth_column(void **state) {
    (void)state;
    assert_int_equal(conditions_steal_ticks("cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 0 0 0 0 0 0 0 5\n"), 88);
    assert_int_equal(conditions_steal_ticks("cpu  1 2 3\n"), 0);
    assert_int_equal(conditions_steal_ticks("intr 1\n"), 0);
    assert_int_equal(conditions_steal_ticks(""), 0);
}

static void memory_is_read_in_kib(void **state) {
    (void)state;
    uint64_t bytes = 0;
    struct err err;
    static const char text[] = "Name:\tworker\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
    assert_int_equal(memory_status_bytes(text, "VmHWM:", &bytes, &err), RC_OK);
    assert_int_equal(bytes, 2048 * 1024);
    assert_int_equal(memory_status_bytes(text, "VmRSS:", &bytes, &err), RC_OK);
    assert_int_equal(bytes, 1024 * 1024);
    assert_int_equal(memory_status_bytes(text, "VmSwap:", &bytes, &err), RC_INTERNAL);
    assert_int_equal(memory_status_bytes("VmRSS:\tmany\n", "VmRSS:", &bytes, &err), RC_INTERNAL);
}

static void a_peak_that_is_gone_is_still_seen(void **state) {
    (void)state;
#ifdef PARE_SANITIZED
    skip(); /* shadow memory is resident too */
#endif
    enum { SIZE = 64 << 20 };
    struct memory_mark mark;
    struct err err;
    uint64_t peak = 0;
    int fd = memory_open_reset();
    assert_int_equal(memory_begin(fd, &mark, &err), RC_OK);
    if (!mark.reset) {
        skip(); /* this kernel does not reset the mark */
    }
    char *block = malloc(SIZE);
    assert_non_null(block);
    memset(block, 1, SIZE);
    assert_int_equal(block[SIZE / 2], 1);
    free(block); /* a block of this size goes back to the kernel at once */
    assert_int_equal(memory_peak(&mark, &peak, &err), RC_OK);
    assert_true(peak >= (uint64_t)SIZE - (4 << 20));
    assert_true(peak <= (uint64_t)SIZE * 2);
    assert_int_equal(memory_begin(fd, &mark, &err), RC_OK); /* a new mark forgets it */
    assert_int_equal(memory_peak(&mark, &peak, &err), RC_OK);
    assert_true(peak < (uint64_t)SIZE / 2);
}

static void drift_within_the_limit_is_stable(void **state) {
    (void)state;
    struct conditions c = {.drift_ratio = 1.019};
    assert_true(conditions_stable(&c));
    c.drift_ratio = 1.021;
    assert_false(conditions_stable(&c));
    c.drift_ratio = 0.979;
    assert_false(conditions_stable(&c));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steal_is_the_eighth_column),
        cmocka_unit_test(memory_is_read_in_kib),
        cmocka_unit_test(a_peak_that_is_gone_is_still_seen),
        cmocka_unit_test(drift_within_the_limit_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
