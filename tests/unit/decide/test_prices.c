#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/json.h"

static void every_price_is_dated_quoted_and_plausible(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    json_t *root = NULL, *items = NULL;
    struct err err = {0};
    assert_int_equal(file_read("advisor/decide/prices.json", 1 << 20, &text, &size, &err), RC_OK);
    assert_int_equal(json_parse(text, size, &root, &err), RC_OK);
    assert_int_equal(json_get_array(root, "items", &items, &err), RC_OK);
    assert_in_range(json_array_size(items), 35, 60);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *name, *other, *date, *provenance, *source, *cpu;
        double vcpus, memory, usd;
        assert_int_equal(json_get_string(item, "name", &name, &err), RC_OK);
        assert_int_equal(json_get_string(item, "as_of", &date, &err), RC_OK);
        assert_int_equal(json_get_string(item, "provenance", &provenance, &err), RC_OK);
        assert_int_equal(json_get_string(item, "source", &source, &err), RC_OK);
        assert_int_equal(json_get_string(item, "cpu", &cpu, &err), RC_OK);
        assert_int_equal(json_get_number(item, "vcpus", &vcpus, &err), RC_OK);
        assert_int_equal(json_get_number(item, "memory_gib", &memory, &err), RC_OK);
        assert_int_equal(json_get_number(item, "usd_per_hour", &usd, &err), RC_OK);
        assert_int_equal(strlen(date), 10);
        assert_string_equal(provenance, "quoted");
        if (!(usd / vcpus > 0.01 && usd / vcpus < 0.1 && memory / vcpus >= 1 && memory / vcpus <= 8)) {
            fail_msg("%s: %g USD for %g CPUs and %g GiB", name, usd, vcpus, memory);
        }
        for (size_t j = 0; j < i; j++) {
            assert_int_equal(json_get_string(json_array_get(items, j), "name", &other, &err), RC_OK);
            assert_string_not_equal(name, other);
        }
    }
    json_decref(root);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_price_is_dated_quoted_and_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
