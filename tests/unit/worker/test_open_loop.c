/* Queries on a schedule, over instances that are made up and clocks that only they move: each latency is
 * known exactly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/stats/open_queue.h"
#include "core/stats/poisson.h"
#include "profiler/worker/open_loop.h"

enum { MS = 1000 * 1000 };

/* One instance whose runs take service_ms[i]; the time is what it and the waiting make of it. */
struct stage {
    uint64_t now_ns;
    const double *service_ms;
    size_t runs, fail_at; /* 0: never */
};

static uint64_t stage_now(void *user) {
    return ((struct stage *)user)->now_ns;
}

static void stage_wait(void *user, uint64_t at_ns) {
    struct stage *s = user;
    s->now_ns = at_ns > s->now_ns ? at_ns : s->now_ns;
}

static enum rc stage_run(void *user, float *us, struct err *err) {
    struct stage *s = user;
    us[0] = 1;
    if (s->fail_at > 0 && s->runs + 1 == s->fail_at) {
        return err_set(err, RC_INPUT, "run %zu fails", s->runs + 1);
    }
    s->now_ns += (uint64_t)(s->service_ms[s->runs++] * MS);
    return RC_OK;
}

static struct scenario_instance pinned(enum rc (*run)(void *, float *, struct err *), void *user) {
    struct scenario_instance instance = {.run = run, .user = user};
    assert_int_equal(sched_getaffinity(0, sizeof(instance.cpus), &instance.cpus), 0);
    return instance;
}

static const struct rate_limit P99 = {0.99, 1e9}; /* nothing is over it */

/* Decides nothing before the end: a full one where n supports p99, else one whose looks cannot tell yet. */
static void watch_all(struct rate_watch *w, size_t n) {
    rate_watch_init(w, n >= 500 ? RATE_WATCH_FULL : RATE_WATCH_SHORT, &P99, 1, 0.95, n);
}

struct play {
    struct stage stage;
    struct open_loop_clock clock;
    struct open_loop_opts opts;
    struct rate_watch watch;
    struct open_loop_sample sample;
};

static void prepare(struct play *p, const double *at_s, const double *service_ms, size_t n) {
    *p = (struct play){.stage = {.now_ns = 12345, .service_ms = service_ms}};
    p->clock = (struct open_loop_clock){stage_now, stage_wait, &p->stage};
    p->opts = (struct open_loop_opts){.clock = &p->clock,
                                      .at_s = at_s,
                                      .queries = n,
                                      .batch = 1,
                                      .samples_per_run = 1,
                                      .waiting_most = 1000000,
                                      .end_ns = UINT64_MAX};
    watch_all(&p->watch, n);
}

static enum rc play(struct play *p, struct err *err) {
    struct scenario_instance instance = pinned(stage_run, &p->stage);
    return open_loop_run(&instance, 1, &p->opts, &p->watch, &p->sample, err);
}

static void assert_ms(float us, double ms) {
    if (fabs((double)us / 1000 - ms) > 0.001) {
        fail_msg("%g us is not %g ms", (double)us, ms);
    }
}

/* Queries every 10 ms; the third run stalls for 50 ms. A closed loop would report one long latency; those
 * that were meant to be sent meanwhile have waited too. */
static void what_waits_behind_a_stall_is_counted_from_when_it_was_meant_to_arrive(void **state) {
    (void)state;
    static const double at_s[] = {0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08};
    static const double service_ms[] = {2, 2, 50, 2, 2, 2, 2, 2, 2};
    static const double expected_ms[] = {2, 2, 50, 42, 34, 26, 18, 10, 2};
    struct play p;
    struct err err;
    prepare(&p, at_s, service_ms, 9);
    assert_int_equal(play(&p, &err), RC_OK);
    assert_int_equal(p.sample.n, 9);
    for (size_t i = 0; i < 9; i++) {
        assert_ms(p.sample.us[i], expected_ms[i]);
    }
    assert_false(p.sample.overflowed || p.sample.out_of_time);
    open_loop_sample_release(&p.sample);
}

static void latencies_are_those_of_the_queue(void **state) {
    (void)state;
    enum { N = 5000 };
    static double at_s[N], service_ms[N];
    struct rng r;
    double free_at = 0;
    struct open_queue q = {&free_at, 1};
    struct play p;
    struct err err;
    poisson_schedule(3, 90, at_s, N);
    rng_seed(&r, 4);
    for (size_t i = 0; i < N; i++) {
        service_ms[i] = 10 * poisson_gap(&r);
    }
    prepare(&p, at_s, service_ms, N);
    assert_int_equal(play(&p, &err), RC_OK);
    assert_int_equal(p.sample.n, N);
    for (size_t i = 0; i < N; i++) {
        assert_ms(p.sample.us[i], 1000 * open_queue_latency_s(&q, at_s[i], service_ms[i] / 1000));
    }
    open_loop_sample_release(&p.sample);
}

static void a_run_takes_what_has_arrived_up_to_its_batch(void **state) {
    (void)state;
    static const double at_s[] = {0, 0.001, 0.002, 0.003, 0.004, 0.1};
    static const double service_ms[] = {10, 10, 10, 10, 10, 10};
    static const double expected_ms[] = {10, 19, 18, 17, 26, 10}; /* 1; 3 of 4 that wait; the last one; 1 */
    struct play p;
    struct err err;
    prepare(&p, at_s, service_ms, 6);
    p.opts.batch = 3;
    assert_int_equal(play(&p, &err), RC_OK);
    assert_int_equal(p.stage.runs, 4);
    for (size_t i = 0; i < 6; i++) {
        assert_ms(p.sample.us[i], expected_ms[i]);
    }
    open_loop_sample_release(&p.sample);
}

static void a_language_models_latency_is_that_of_a_token_with_its_wait(void **state) {
    (void)state;
    static const double at_s[] = {0, 0.004};
    static const double service_ms[] = {8, 8};
    struct play p;
    struct err err;
    prepare(&p, at_s, service_ms, 2);
    p.opts.samples_per_run = 4;
    assert_int_equal(play(&p, &err), RC_OK);
    assert_ms(p.sample.us[0], 2);
    assert_ms(p.sample.us[1], 3); /* 4 ms of waiting and 8 of generating, over 4 tokens */
    open_loop_sample_release(&p.sample);
}

static void more_than_the_queue_holds_ends_it(void **state) {
    (void)state;
    enum { N = 100 };
    double at_s[N], service_ms[N];
    struct play p;
    struct err err;
    for (size_t i = 0; i < N; i++) {
        at_s[i] = 0.001 * (double)i;
        service_ms[i] = 5; /* five times too slow: 4 more wait after every run */
    }
    prepare(&p, at_s, service_ms, N);
    p.opts.waiting_most = 20;
    assert_int_equal(play(&p, &err), RC_OK);
    assert_true(p.sample.overflowed);
    assert_int_equal(p.sample.n, 5); /* at 25 ms 26 have arrived and 21 wait */
    open_loop_sample_release(&p.sample);
}

static void what_is_decided_or_out_of_time_ends_it(void **state) {
    (void)state;
    enum { N = 2000 };
    static double at_s[N], service_ms[N];
    const struct rate_limit tight = {0.99, 1};
    struct play p;
    struct err err;
    for (size_t i = 0; i < N; i++) {
        at_s[i] = 0.01 * (double)i;
        service_ms[i] = 5;
    }
    prepare(&p, at_s, service_ms, N);
    rate_watch_init(&p.watch, RATE_WATCH_SHORT, &tight, 1, 0.95, N);
    assert_int_equal(play(&p, &err), RC_OK);
    assert_int_equal(p.watch.verdict, BINOMIAL_BROKEN);
    assert_int_equal(p.sample.n, 16);
    assert_int_equal(p.sample.n, p.watch.n);
    open_loop_sample_release(&p.sample);
    prepare(&p, at_s, service_ms, N);
    p.opts.end_ns = p.stage.now_ns + 100 * MS;
    assert_int_equal(play(&p, &err), RC_OK);
    assert_true(p.sample.out_of_time);
    assert_true(p.sample.n >= 10 && p.sample.n <= 11);
    open_loop_sample_release(&p.sample);
}

static void a_run_that_fails_fails_it(void **state) {
    (void)state;
    static const double at_s[] = {0, 0.01, 0.02};
    static const double service_ms[] = {1, 1, 1};
    struct play p;
    struct err err;
    prepare(&p, at_s, service_ms, 3);
    p.stage.fail_at = 2;
    assert_int_equal(play(&p, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "run 2 fails"));
}

/* ---- the real clock and several threads: only what holds on any machine ---- */

struct sleeper {
    atomic_uint runs;
    unsigned stall_at;
};

static enum rc sleeper_run(void *user, float *us, struct err *err) {
    struct sleeper *s = user;
    (void)err;
    us[0] = 1;
    if (atomic_fetch_add(&s->runs, 1) == s->stall_at) {
        usleep(60 * 1000);
    }
    return RC_OK;
}

static void a_real_stall_shows_in_all_that_was_meant_to_arrive_during_it(void **state) {
    (void)state;
    enum { N = 60 };
    double at_s[N];
    struct sleeper s = {.stall_at = 5};
    struct scenario_instance instance = pinned(sleeper_run, &s);
    struct rate_watch w;
    struct open_loop_sample sample;
    struct err err;
    for (size_t i = 0; i < N; i++) {
        at_s[i] = 0.002 * (double)i; /* the stall begins at 10 ms or later, and 30 are due in 60 ms */
    }
    const struct open_loop_opts opts = {.clock = &OPEN_LOOP_CLOCK,
                                        .at_s = at_s,
                                        .queries = N,
                                        .batch = 1,
                                        .samples_per_run = 1,
                                        .waiting_most = N,
                                        .end_ns = UINT64_MAX};
    watch_all(&w, N);
    assert_int_equal(open_loop_run(&instance, 1, &opts, &w, &sample, &err), RC_OK);
    assert_int_equal(sample.n, N);
    for (size_t i = 5; i < 35; i++) { /* meant at 2i ms, ended at 70 ms or later */
        assert_true((double)sample.us[i] >= 1000 * (70 - 2 * (double)i) - 1);
    }
    open_loop_sample_release(&sample);
}

static void several_instances_answer_every_query_once(void **state) {
    (void)state;
    enum { N = 3000 };
    static double at_s[N];
    struct sleeper s[3] = {{.stall_at = UINT32_MAX}, {.stall_at = UINT32_MAX}, {.stall_at = UINT32_MAX}};
    struct scenario_instance instances[3];
    struct rate_watch w;
    struct open_loop_sample sample;
    struct err err;
    for (size_t i = 0; i < 3; i++) {
        instances[i] = pinned(sleeper_run, &s[i]);
    }
    poisson_schedule(1, 1e5, at_s, N);
    const struct open_loop_opts opts = {.clock = &OPEN_LOOP_CLOCK,
                                        .at_s = at_s,
                                        .queries = N,
                                        .batch = 4,
                                        .samples_per_run = 1,
                                        .waiting_most = N,
                                        .end_ns = UINT64_MAX};
    watch_all(&w, N);
    uint64_t before = clock_mono_ns();
    assert_int_equal(open_loop_run(instances, 3, &opts, &w, &sample, &err), RC_OK);
    assert_int_equal(sample.n, N);
    assert_true((double)(clock_mono_ns() - before) / 1e9 >= at_s[N - 1]); /* nothing is begun early */
    for (size_t i = 0; i < N; i++) {
        assert_true(sample.us[i] >= 0);
    }
    open_loop_sample_release(&sample);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_behind_a_stall_is_counted_from_when_it_was_meant_to_arrive),
        cmocka_unit_test(latencies_are_those_of_the_queue),
        cmocka_unit_test(a_run_takes_what_has_arrived_up_to_its_batch),
        cmocka_unit_test(a_language_models_latency_is_that_of_a_token_with_its_wait),
        cmocka_unit_test(more_than_the_queue_holds_ends_it),
        cmocka_unit_test(what_is_decided_or_out_of_time_ends_it),
        cmocka_unit_test(a_run_that_fails_fails_it),
        cmocka_unit_test(a_real_stall_shows_in_all_that_was_meant_to_arrive_during_it),
        cmocka_unit_test(several_instances_answer_every_query_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
