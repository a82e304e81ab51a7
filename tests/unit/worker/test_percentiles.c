/* Which percentiles a sample of latencies supports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profiler/worker/percentiles.h"

/* The summary of the latencies 1 .. n in a mixed order. */
static json_t *summary(size_t n) {
    float *us = malloc(n * sizeof(float));
    json_t *object = json_object();
    struct err err;
    assert_non_null(us);
    for (size_t i = 0; i < n; i++) {
        us[i] =
            (float)((i * 7919) % n + 1); /* 7919 is prime: every value once, unless n is a multiple of it */
    }
    assert_int_equal(percentiles_summary(us, n, object, &err), RC_OK);
    free(us);
    return object;
}

static double percentile(const json_t *object, const char *name) {
    return json_number_value(json_object_get(json_object_get(object, "latency_us"), name));
}

static int has(const json_t *object, const char *name) {
    return json_object_get(json_object_get(object, "latency_us"), name) != NULL;
}

static void percentiles_are_values_that_occurred(void **state) {
    (void)state;
    json_t *object = summary(10000);
    assert_int_equal((int)percentile(object, "p50"), 5000);
    assert_int_equal((int)percentile(object, "p90"), 9000);
    assert_int_equal((int)percentile(object, "p99"), 9900);
    assert_int_equal((int)percentile(object, "p99.9"), 9990);
    assert_int_equal((int)(percentile(object, "mean") * 2), 10001);
    assert_int_equal(json_array_size(json_object_get(object, "unsupported")), 0);
    json_decref(object);
}

static void a_percentile_needs_its_sample(void **state) {
    (void)state;
    json_t *below = summary(4741);
    json_t *enough = summary(4742);
    assert_false(has(below, "p99.9"));
    assert_true(has(below, "p99"));
    assert_string_equal(json_string_value(json_array_get(json_object_get(below, "unsupported"), 0)),
                        "p99.9 needs n >= 4742");
    assert_true(has(enough, "p99.9"));
    json_decref(below);
    json_decref(enough);
    json_t *few = summary(472);
    assert_false(has(few, "p99"));
    assert_true(has(few, "p90"));
    json_decref(few);
}

static void one_run_has_a_mean_and_nothing_else(void **state) {
    (void)state;
    json_t *object = summary(1);
    assert_int_equal((int)percentile(object, "mean"), 1);
    assert_int_equal(json_object_size(json_object_get(object, "latency_us")), 1);
    assert_int_equal(json_array_size(json_object_get(object, "unsupported")), 4);
    json_decref(object);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_values_that_occurred),
        cmocka_unit_test(a_percentile_needs_its_sample),
        cmocka_unit_test(one_run_has_a_mean_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
