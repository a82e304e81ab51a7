/* What the kernel tells in /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
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

static void stolen_time_beyond_the_limit_is_a_mark_with_its_share(void **state) {
    (void)state;
    struct conditions c = {.drift_ratio = 1, .wall_ms = 1000, .cpus = 2, .steal_ms = 39};
    assert_true(conditions_stable(&c));
    c.steal_ms = 100;
    assert_false(conditions_stable(&c));
    c.drift_ratio = 0.95;
    json_t *json = conditions_json(&c);
    const json_t *why = json_object_get(json, "unstable");
    assert_true(json_is_false(json_object_get(json, "stable")));
    assert_int_equal(json_array_size(why), 2);
    assert_non_null(strstr(json_string_value(json_array_get(why, 0)), "5.0 % less time"));
    assert_non_null(strstr(json_string_value(json_array_get(why, 1)), "5.0 % of the time"));
    json_decref(json);
}

static void waiting_for_a_core_is_the_second_number_and_a_mark(void **state) {
    (void)state;
    assert_int_equal(conditions_schedstat_waited_ns("12 345 6\n"), 345);
    assert_int_equal(conditions_schedstat_waited_ns(""), 0);
    assert_int_equal(conditions_schedstat_waited_ns("none"), 0);
    struct conditions c = {.drift_ratio = 1, .wall_ms = 1000, .cpus = 2, .cores = 2, .waited_ms = 40};
    assert_true(conditions_stable(&c));
    c.waited_ms = 600;
    json_t *json = conditions_json(&c);
    const char *why = json_string_value(json_array_get(json_object_get(json, "unstable"), 0));
    assert_true(json_is_false(json_object_get(json, "stable")));
    assert_string_equal(why, "other work held its cores for 30.0 % of the time");
    json_decref(json);
}

static void what_happens_to_the_process_is_counted(void **state) {
    (void)state;
    enum { PAGES = 256, PAGE = 4096 };
    struct conditions c;
    conditions_begin(&c);
    char *fresh = calloc(PAGES, PAGE);
    assert_non_null(fresh);
    for (size_t i = 0; i < PAGES; i++) {
        ((volatile char *)fresh)[i * PAGE] = 1;
    }
    conditions_end(&c);
    free(fresh);
    assert_true(c.minor_faults >= 1);
    assert_true(c.minor_faults < UINT32_MAX && c.major_faults < UINT32_MAX);
    assert_true(c.preemptions < UINT32_MAX && c.waits < UINT32_MAX);
    json_t *json = conditions_json(&c);
    assert_true(json_is_object(json_object_get(json, "cpu_mhz")) ||
                json_is_string(json_object_get(json, "cpu_mhz_absent")));
    json_decref(json);
}

static void the_clock_is_the_mean_of_the_cores_that_tell(void **state) {
    (void)state;
    char root[] = "/tmp/pare-cpufreq-XXXXXX", path[256];
    static const char *const khz[] = {"3000000\n", "2000000\n"};
    static const unsigned cpus[] = {0, 1, 7};
    struct err err;
    assert_non_null(mkdtemp(root));
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/cpu%u/cpufreq", root, i);
        assert_int_equal(file_make_folder(path, &err), RC_OK);
        snprintf(path, sizeof(path), "%s/cpu%u/cpufreq/scaling_cur_freq", root, i);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(khz[i], f);
        fclose(f);
    }
    assert_float_equal(conditions_mhz(root, cpus, 3), 2500, 1e-9);
    assert_float_equal(conditions_mhz(root, cpus + 2, 1), 0, 0);
    assert_int_equal(file_remove_tree(root, &err), RC_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steal_is_the_eighth_column),
        cmocka_unit_test(memory_is_read_in_kib),
        cmocka_unit_test(a_peak_that_is_gone_is_still_seen),
        cmocka_unit_test(drift_within_the_limit_is_stable),
        cmocka_unit_test(stolen_time_beyond_the_limit_is_a_mark_with_its_share),
        cmocka_unit_test(waiting_for_a_core_is_the_second_number_and_a_mark),
        cmocka_unit_test(what_happens_to_the_process_is_counted),
        cmocka_unit_test(the_clock_is_the_mean_of_the_cores_that_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
