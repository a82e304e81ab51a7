/* Powercap domains from a folder that looks like the kernel's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "profiler/worker/energy.h"

static char root[64];

static int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof(root), "/tmp/pare-powercap-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
    (void)state;
    struct err err;
    return file_remove_tree(root, &err) == RC_OK ? 0 : -1;
}

static void put(const char *entry, const char *file, const char *text) {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, entry);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/%s/%s", root, entry, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void domain(const char *entry, const char *name, const char *range, const char *now) {
    put(entry, "name", name);
    put(entry, "max_energy_range_uj", range);
    put(entry, "energy_uj", now);
}

static void no_folder_and_an_empty_one_say_so(void **state) {
    (void)state;
    struct energy_meter m;
    struct energy_reading r;
    struct err err;
    energy_open("/nonexistent/powercap", &m);
    assert_int_equal(m.count, 0);
    assert_non_null(strstr(m.reason, "no powercap domain here"));
    energy_open(root, &m);
    assert_int_equal(m.count, 0);
    assert_non_null(strstr(m.reason, "no powercap domain here"));
    assert_int_equal(energy_read(&m, &r, &err), RC_UNSUPPORTED);
    json_t *json = energy_json(&m, &(struct energy_use){.idle_w = NAN});
    assert_true(json_is_false(json_object_get(json, "available")));
    assert_string_equal(json_string_value(json_object_get(json, "reason")), m.reason);
    json_decref(json);
}

static void packages_and_memory_add_up_and_nothing_twice(void **state) {
    (void)state;
    struct energy_meter m;
    domain("intel-rapl:0", "package-0\n", "262143328850\n", "1000000\n");
    domain("intel-rapl:0:0", "core\n", "262143328850\n", "400000\n");
    domain("intel-rapl:0:1", "dram\n", "65712999613\n", "2000000\n");
    domain("intel-rapl:1", "package-1\n", "262143328850\n", "5000000\n");
    domain("intel-rapl:2", "psys\n", "262143328850\n", "9000000\n");
    domain("intel-rapl-mmio:0", "package-0\n", "262143328850\n", "1000000\n");
    put("intel-rapl", "enabled", "1\n");
    energy_open(root, &m);
    assert_int_equal(m.count, 3);
    assert_string_equal(m.domains[0].name, "package-0");
    assert_string_equal(m.domains[1].name, "dram");
    assert_string_equal(m.domains[2].name, "package-1");
    struct energy_reading before, after;
    struct err err;
    assert_int_equal(energy_read(&m, &before, &err), RC_OK);
    put("intel-rapl:0", "energy_uj", "3000000\n");
    put("intel-rapl:0:0", "energy_uj", "999000000\n");
    put("intel-rapl:0:1", "energy_uj", "2500000\n");
    put("intel-rapl:1", "energy_uj", "5250000\n");
    assert_int_equal(energy_read(&m, &after, &err), RC_OK);
    assert_float_equal(energy_between_j(&m, &before, &after), 2.75, 1e-9);
}

static void a_counter_that_began_again_is_continued(void **state) {
    (void)state;
    struct energy_meter m;
    struct energy_reading before, after;
    struct err err;
    domain("intel-rapl:0", "package-0", "10000000", "9000000");
    energy_open(root, &m);
    assert_int_equal(energy_read(&m, &before, &err), RC_OK);
    put("intel-rapl:0", "energy_uj", "500000");
    assert_int_equal(energy_read(&m, &after, &err), RC_OK);
    assert_float_equal(energy_between_j(&m, &before, &after), 1.5, 1e-9);
}

static void what_is_not_a_number_is_no_energy(void **state) {
    (void)state;
    static const char *const bad[] = {"", "\n", "-5\n", "many\n", "99999999999999999999999\n", "12 13\n"};
    struct energy_meter m;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        domain("intel-rapl:0", "package-0\n", "262143328850\n", bad[i]);
        energy_open(root, &m);
        assert_int_equal(m.count, 0);
        assert_non_null(strstr(m.reason, "package-0 cannot be read"));
    }
    struct energy_reading r;
    struct err err;
    domain("intel-rapl:0", "package-0\n", "262143328850\n", "1\n");
    energy_open(root, &m);
    assert_int_equal(m.count, 1);
    put("intel-rapl:0", "energy_uj", "gone");
    assert_int_equal(energy_read(&m, &r, &err), RC_IO);
}

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void energy_is_told_above_idle_where_idle_was_measured(void **state) {
    (void)state;
    struct energy_meter m;
    domain("intel-rapl:0", "package-0\n", "262143328850\n", "1\n");
    energy_open(root, &m);
    json_t *json =
        energy_json(&m, &(struct energy_use){.joules = 100, .seconds = 2, .idle_w = 10, .inferences = 1000});
    assert_true(json_is_true(json_object_get(json, "available")));
    assert_float_equal(number(json, "per_inference_j"), 0.08, 1e-12);
    assert_float_equal(number(json, "per_inference_total_j"), 0.1, 1e-12);
    json_decref(json);
    json =
        energy_json(&m, &(struct energy_use){.joules = 100, .seconds = 2, .idle_w = NAN, .inferences = 1000});
    assert_true(json_is_null(json_object_get(json, "per_inference_j")));
    assert_true(json_is_null(json_object_get(json, "idle_w")));
    json_decref(json);
    json = energy_json(&m, &(struct energy_use){.idle_w = 10});
    assert_true(json_is_false(json_object_get(json, "available")));
    json_decref(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_folder_and_an_empty_one_say_so, make_root, remove_root),
        cmocka_unit_test_setup_teardown(packages_and_memory_add_up_and_nothing_twice, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_counter_that_began_again_is_continued, make_root, remove_root),
        cmocka_unit_test_setup_teardown(what_is_not_a_number_is_no_energy, make_root, remove_root),
        cmocka_unit_test_setup_teardown(energy_is_told_above_idle_where_idle_was_measured, make_root,
                                        remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
