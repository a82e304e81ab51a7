#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/rng.h"
#include "profiler/worker/interleave.h"

enum { MAX_CALLS = 200000 };

/* Two things whose times are made up, and a record of who was called when. */
struct stage {
    double us[2];
    double noise, interrupted; /* spread; share of runs that take ten times as long */
    double drift;              /* of both, per run */
    struct rng rng;
    char *called; /* [MAX_CALLS] 'm' or 'r' */
    size_t calls, fails_at;
};

struct actor {
    struct stage *stage;
    int who;
};

static enum rc act(void *user, float *us, struct err *err) {
    struct actor *a = user;
    struct stage *s = a->stage;
    assert_true(s->calls < MAX_CALLS);
    s->called[s->calls++] = a->who == INTERLEAVE_MODEL ? 'm' : 'r';
    if (s->calls == s->fails_at) {
        return err_set(err, RC_INPUT, "it broke");
    }
    double slow = rng_uniform(&s->rng) < s->interrupted ? 10 : 1;
    *us = (float)(s->us[a->who] * slow * exp(s->noise * rng_normal(&s->rng) + s->drift * (double)s->calls));
    return RC_OK;
}

static enum rc perform(struct stage *s, uint64_t seed, double measure_us, struct interleave_sample *ret) {
    struct err err;
    struct actor actors[2] = {{s, INTERLEAVE_MODEL}, {s, INTERLEAVE_REFERENCE}};
    const struct interleave_side sides[2] = {{act, &actors[0]}, {act, &actors[1]}};
    const struct interleave_opts opts = {measure_us, measure_us * 0.15, seed};
    free(s->called);
    s->called = malloc(MAX_CALLS);
    assert_non_null(s->called);
    s->calls = 0;
    rng_seed(&s->rng, seed + 100);
    return interleave_run(sides, &opts, ret, &err);
}

static void equal_and_slower_are_told_apart(void **state) {
    (void)state;
    struct stage s = {.us = {500, 500}, .noise = 0.02, .interrupted = 0.3};
    struct interleave_sample equal, slower;
    assert_int_equal(perform(&s, 1, 6e5, &equal), RC_OK);
    s.us[INTERLEAVE_MODEL] = 525;
    assert_int_equal(perform(&s, 2, 6e5, &slower), RC_OK);
    assert_true(fabs(equal.log_ratio) < 0.008);
    assert_true(fabs(slower.log_ratio - log(1.05)) < 0.008);
    interleave_sample_release(&equal);
    interleave_sample_release(&slower);
    free(s.called);
}

static void a_machine_that_slows_down_does_so_for_both(void **state) {
    (void)state;
    struct stage s = {.us = {500, 500}, .noise = 0.01, .drift = 1e-4}; /* 15 % over the measurement */
    double sum = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct interleave_sample sample;
        assert_int_equal(perform(&s, seed, 6e5, &sample), RC_OK);
        sum += sample.log_ratio / 20;
        interleave_sample_release(&sample);
    }
    assert_true(fabs(sum) < 0.001);
    free(s.called);
}

/* After the warm-up: blocks of equal length, each of both once in every pair, either first about as often. */
static void order_is_random_in_balanced_pairs(void **state) {
    (void)state;
    struct stage s = {.us = {500, 500}};
    struct interleave_sample sample;
    assert_int_equal(perform(&s, 3, 2e6, &sample), RC_OK);
    size_t block = sample.block_runs + sample.discarded, at = (size_t)sample.warmup_runs, model_first = 0;
    assert_int_equal(sample.n, sample.pairs * sample.block_runs);
    assert_int_equal(s.calls, at + 2 * sample.pairs * block);
    for (size_t pair = 0; pair < sample.pairs; pair++) {
        char first = s.called[at];
        model_first += first == 'm';
        for (size_t i = 0; i < 2 * block; i++, at++) {
            assert_true((s.called[at] == first) == (i < block));
        }
    }
    assert_in_range(model_first, sample.pairs / 3, sample.pairs * 2 / 3);
    interleave_sample_release(&sample);
    free(s.called);
}

static void equal_seeds_give_equal_orders(void **state) {
    (void)state;
    struct stage a = {.us = {500, 700}}, b = {.us = {500, 700}}, c = {.us = {500, 700}};
    struct interleave_sample sample;
    struct stage *stages[] = {&a, &b, &c};
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(perform(stages[i], i == 2 ? 9 : 8, 3e5, &sample), RC_OK);
        interleave_sample_release(&sample);
    }
    assert_memory_equal(a.called, b.called, a.calls);
    assert_memory_not_equal(a.called, c.called, a.calls);
    free(a.called);
    free(b.called);
    free(c.called);
}

static void long_runs_still_give_five_pairs(void **state) {
    (void)state;
    struct stage s = {.us = {2e6, 2e6}};
    struct interleave_sample sample;
    assert_int_equal(perform(&s, 4, 6e5, &sample), RC_OK);
    assert_int_equal(sample.pairs, 5);
    assert_int_equal(sample.block_runs, 1);
    assert_int_equal(sample.discarded, 0);
    interleave_sample_release(&sample);
    s.us[0] = s.us[1] = 0.5; /* half a microsecond: blocks have a limit too */
    assert_int_equal(perform(&s, 5, 1e4, &sample), RC_OK);
    assert_int_equal(sample.block_runs, 64);
    interleave_sample_release(&sample);
    free(s.called);
}

static void failures_and_nonsense_end_it(void **state) {
    (void)state;
    struct stage s = {.us = {500, 500}, .fails_at = 100};
    struct interleave_sample sample;
    assert_int_equal(perform(&s, 6, 6e5, &sample), RC_INPUT);
    assert_null(sample.us[0]);
    s.fails_at = 2; /* while warming up */
    assert_int_equal(perform(&s, 6, 6e5, &sample), RC_INPUT);
    s.fails_at = 0;
    s.us[1] = 0;
    assert_int_equal(perform(&s, 6, 6e5, &sample), RC_INTERNAL);
    s.us[1] = NAN;
    assert_int_equal(perform(&s, 6, 6e5, &sample), RC_INTERNAL);
    free(s.called);
}

/* By hand: blocks of 4, whose lower quartile is the least; 4 pairs, of which the middle two count. */
static void the_ratio_follows_its_definition(void **state) {
    (void)state;
    const float model[] = {11, 99, 99, 99, 20, 99, 99, 99, 12, 99, 99, 99, 5, 99, 99, 99};
    const float reference[] = {10, 50, 50, 50, 10, 50, 50, 50, 10, 50, 50, 50, 10, 50, 50, 50};
    struct err err;
    double ratio = 0;
    assert_int_equal(interleave_log_ratio(model, reference, 4, 4, &ratio, &err), RC_OK);
    assert_true(fabs(ratio - (log(1.1) + log(1.2)) / 2) < 1e-6);
    assert_int_equal(interleave_log_ratio(model, reference, 1, 1, &ratio, &err), RC_OK);
    assert_true(fabs(ratio - log(1.1)) < 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_and_slower_are_told_apart),
        cmocka_unit_test(a_machine_that_slows_down_does_so_for_both),
        cmocka_unit_test(order_is_random_in_balanced_pairs),
        cmocka_unit_test(equal_seeds_give_equal_orders),
        cmocka_unit_test(long_runs_still_give_five_pairs),
        cmocka_unit_test(failures_and_nonsense_end_it),
        cmocka_unit_test(the_ratio_follows_its_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
