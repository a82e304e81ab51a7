/* Queries of several samples over instances that only count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "profiler/worker/multi_stream.h"

/* Instances share the count, and see how many runs are under way at once. */
struct counting {
    atomic_uint runs;
    unsigned fail_at; /* 0: never */
};

static enum rc run(void *user, float *us, struct err *err) {
    struct counting *c = user;
    unsigned n = atomic_fetch_add(&c->runs, 1) + 1;
    us[0] = 1;
    return c->fail_at > 0 && n >= c->fail_at ? err_set(err, RC_INPUT, "run %u fails", n) : RC_OK;
}

static void instances_of(struct counting *c, struct scenario_instance *instances, size_t n) {
    for (size_t i = 0; i < n; i++) {
        instances[i] = (struct scenario_instance){.run = run, .user = c};
        assert_int_equal(sched_getaffinity(0, sizeof(instances[i].cpus), &instances[i].cpus), 0);
    }
}

static const struct multi_stream_opts OPTS = {
    .samples_per_query = 8, .batch = 1, .min_queries = 100, .min_ns = 5, .limit_ns = UINT64_MAX};

static void every_sample_of_every_query_is_answered(void **state) {
    (void)state;
    static const size_t batches[] = {1, 3, 4, 8};
    static const size_t runs_per_query[] = {8, 3, 2, 1};
    for (size_t instances = 1; instances <= 3; instances++) {
        for (size_t b = 0; b < 4; b++) {
            struct counting c = {0};
            struct scenario_instance list[3];
            struct multi_stream_opts opts = OPTS;
            struct scenario_sample sample;
            struct err err;
            instances_of(&c, list, instances);
            opts.batch = batches[b];
            assert_int_equal(multi_stream_run(list, instances, &opts, &sample, &err), RC_OK);
            assert_int_equal(sample.n, 100);
            assert_true(sample.warmup_runs >= runs_per_query[b]);
            assert_int_equal(atomic_load(&c.runs), 100 * runs_per_query[b] + sample.warmup_runs);
            assert_true(sample.rate_per_s > 0);
            for (size_t i = 0; i < sample.n; i++) {
                assert_true(sample.us[i] >= 0);
            }
            scenario_sample_release(&sample);
        }
    }
}

static void a_run_that_fails_ends_it_for_all(void **state) {
    (void)state;
    static const unsigned at[] = {1, 9, 500};
    for (size_t i = 0; i < 3; i++) {
        struct counting c = {.fail_at = at[i]};
        struct scenario_instance list[2];
        struct scenario_sample sample;
        struct err err;
        instances_of(&c, list, 2);
        assert_int_equal(multi_stream_run(list, 2, &OPTS, &sample, &err), RC_INPUT);
        assert_non_null(strstr(err.text, "fails"));
    }
}

static void the_limit_ends_it_with_what_there_is(void **state) {
    (void)state;
    struct counting c = {0};
    struct scenario_instance instance;
    struct multi_stream_opts opts = OPTS;
    struct scenario_sample sample;
    struct err err;
    instances_of(&c, &instance, 1);
    opts.min_queries = UINT64_MAX;
    opts.limit_ns = 1; /* over before it begins: one query to warm up, one that counts */
    assert_int_equal(multi_stream_run(&instance, 1, &opts, &sample, &err), RC_OK);
    assert_int_equal(sample.n, 1);
    assert_int_equal(atomic_load(&c.runs), 16);
    scenario_sample_release(&sample);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_of_every_query_is_answered),
        cmocka_unit_test(a_run_that_fails_ends_it_for_all),
        cmocka_unit_test(the_limit_ends_it_with_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
