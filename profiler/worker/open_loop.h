/* open_loop.h -- queries that arrive at times of their own, as in MLPerf's `server`: an answer that is late
 * does not delay the next question.
 *
 * The schedule is drawn before anything runs (core/stats/poisson.h), and a query's latency is counted from
 * the moment at which it was meant to arrive, whenever an instance came to it: what waits behind a stall is
 * counted with its wait (no coordinated omission). There is no thread that generates: each idle instance
 * takes the next query of the schedule and waits for its time, on its own cores. That is one queue, first
 * come first served, and nothing runs beside the instances that would take their time. The queue is bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/stats/rate_watch.h"
#include "profiler/worker/scenario.h"

/* Where the time comes from; tests have one of their own. */
struct open_loop_clock {
    uint64_t (*now_ns)(void *user);
    void (*wait_until)(void *user, uint64_t at_ns); /* returns at once when that is past */
    void *user;
};

/* The monotonic clock. It sleeps until shortly before the time and then looks at the clock, so that a query
 * is begun when it arrives and not when a timer fires. */
extern const struct open_loop_clock OPEN_LOOP_CLOCK;

struct open_loop_opts {
    const struct open_loop_clock *clock;
    const double *at_s; /* [queries] ascending: when each arrives, after the start */
    size_t queries;
    size_t batch;           /* queries that one run takes at most, of those that have arrived */
    size_t samples_per_run; /* parts of a run that a query's latency is divided by: generated tokens */
    size_t waiting_most;    /* queries; when more wait, the rate is too high and the run ends */
    uint64_t end_ns;        /* of the clock: nothing is begun later */
};

struct open_loop_sample {
    float *us; /* [n], in the order of completion; free() */
    size_t n;
    uint64_t waited_ns; /* the instances' threads were ready and had no core, summed */
    bool overflowed;    /* more waited than the queue holds */
    bool out_of_time;
};

/* Runs until `watch` (borrowed; sees every latency in the order of completion) has decided, the schedule is
 * used up, the queue overflows or time is up. RC_MEMORY, or the error of the first run that fails. */
MUST_USE enum rc open_loop_run(const struct scenario_instance *instances, size_t count,
                               const struct open_loop_opts *opts, struct rate_watch *watch,
                               struct open_loop_sample *ret, struct err *err);
void open_loop_sample_release(struct open_loop_sample *s);
