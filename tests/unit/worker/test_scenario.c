/* Closed loops over instances that do nothing but count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "profiler/worker/scenario.h"

struct counting {
    atomic_uint runs;
    unsigned fail_at; /* 0 = never */
    float us;
};

static enum rc run(void *user, float *us, struct err *err) {
    struct counting *c = user;
    unsigned n = atomic_fetch_add(&c->runs, 1) + 1;
    if (c->fail_at > 0 && n >= c->fail_at) {
        return err_set(err, RC_INPUT, "run %u fails", n);
    }
    us[0] = c->us;
    return RC_OK;
}

static enum rc run_two(void *user, float *us, struct err *err) {
    us[1] = 2;
    return run(user, us, err);
}

static struct scenario_instance instance_of(struct counting *c) {
    struct scenario_instance instance = {.run = run, .user = c};
    assert_int_equal(sched_getaffinity(0, sizeof(instance.cpus), &instance.cpus), 0);
    return instance;
}

static const struct scenario_opts OPTS = {
    .samples_per_run = 1, .min_samples = 1000, .min_ns = 1, .limit_ns = (uint64_t)3600 * 1000000000};

static void enough_samples_end_the_scenario(void **state) {
    (void)state;
    struct counting c = {.us = 5};
    struct scenario_instance instance = instance_of(&c);
    struct scenario_sample sample;
    struct err err;
    assert_int_equal(scenario_run(&instance, 1, &OPTS, &sample, &err), RC_OK);
    assert_int_equal(sample.n, 1000);
    assert_int_equal(sample.n + sample.warmup_runs, atomic_load(&c.runs));
    assert_true(sample.warmup_runs > 0);
    assert_true(sample.rate_per_s > 0);
    for (size_t i = 0; i < sample.n; i++) {
        assert_int_equal((int)sample.us[i], 5);
    }
    scenario_sample_release(&sample);
}

static void all_instances_run_and_all_their_samples_are_kept(void **state) {
    (void)state;
    struct counting c[3] = {{.us = 1}, {.us = 2}, {.us = 3}};
    struct scenario_instance instances[3] = {instance_of(&c[0]), instance_of(&c[1]), instance_of(&c[2])};
    struct scenario_sample sample;
    struct err err;
    assert_int_equal(scenario_run(instances, 3, &OPTS, &sample, &err), RC_OK);
    size_t total = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_true(atomic_load(&c[i].runs) > 0);
        total += atomic_load(&c[i].runs);
    }
    assert_int_equal(total, sample.n + sample.warmup_runs);
    assert_true(sample.n >= 1000);
    scenario_sample_release(&sample);
}

static void the_parts_of_a_run_stay_in_order(void **state) {
    (void)state;
    struct counting c = {.us = 1};
    struct scenario_instance instance = instance_of(&c);
    struct scenario_opts opts = OPTS;
    struct scenario_sample sample;
    struct err err;
    instance.run = run_two;
    opts.samples_per_run = 2;
    assert_int_equal(scenario_run(&instance, 1, &opts, &sample, &err), RC_OK);
    assert_int_equal(sample.n, 1000);
    for (size_t i = 0; i < sample.n; i++) {
        assert_int_equal((int)sample.us[i], (int)(i % 2 + 1));
    }
    scenario_sample_release(&sample);
}

static void a_run_that_fails_fails_the_scenario(void **state) {
    (void)state;
    static const unsigned at[] = {1, 500000};
    for (size_t i = 0; i < 2; i++) {
        struct counting good = {.us = 1};
        struct counting bad = {.us = 1, .fail_at = at[i]};
        struct scenario_instance instances[2] = {instance_of(&good), instance_of(&bad)};
        struct scenario_opts opts = OPTS;
        struct scenario_sample sample;
        struct err err;
        opts.min_samples = UINT64_MAX;
        assert_int_equal(scenario_run(instances, 2, &opts, &sample, &err), RC_INPUT);
        assert_non_null(strstr(err.text, "fails"));
    }
}

static void the_limit_ends_a_scenario_without_enough_samples(void **state) {
    (void)state;
    struct counting c = {.us = 1};
    struct scenario_instance instance = instance_of(&c);
    struct scenario_opts opts = OPTS;
    struct scenario_sample sample;
    struct err err;
    opts.min_samples = UINT64_MAX;
    opts.limit_ns = 1; /* over before it begins: one run to warm up, one that counts */
    assert_int_equal(scenario_run(&instance, 1, &opts, &sample, &err), RC_OK);
    assert_int_equal(sample.n, 1);
    assert_int_equal(sample.warmup_runs, 1);
    scenario_sample_release(&sample);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enough_samples_end_the_scenario),
        cmocka_unit_test(all_instances_run_and_all_their_samples_are_kept),
        cmocka_unit_test(the_parts_of_a_run_stay_in_order),
        cmocka_unit_test(a_run_that_fails_fails_the_scenario),
        cmocka_unit_test(the_limit_ends_a_scenario_without_enough_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
