/* scenario.h -- runs instances in closed loops and collects latencies: `single-stream` with one instance,
 * `offline` with all (MLPerf's names). Every instance has a thread of its own, pinned to its cores. */
#pragma once

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct scenario_instance {
    /* Runs once and stores the wall time of each of its parts in microseconds: us[samples_per_run]. */
    enum rc (*run)(void *user, float *us, struct err *err);
    /* A run without the model's own work, whose counts are subtracted (counting.h); NULL where nothing
     * surrounds it. */
    enum rc (*idle)(void *user, float *us, struct err *err);
    void *user;
    cpu_set_t cpus;
};

struct scenario_opts {
    size_t samples_per_run; /* at least 1 */
    uint64_t min_samples;   /* over all instances */
    uint64_t min_ns;        /* measured at least that long */
    uint64_t limit_ns;      /* warm-up and measuring; what was collected until then is the sample */
};

struct scenario_sample {
    float *us;         /* [n] in the order of completion; free() */
    size_t n;          /* at least 1 */
    double rate_per_s; /* samples a second: the sum over the instances of each one's own rate */
    uint64_t warmup_runs;
    uint64_t waited_ns; /* the instances' threads were ready and had no core, summed */
};

/* Warms every instance up until it is steady (the medians of three windows in a row within 2 %, or a fifth of
 * the limit), then measures all at once. RC_TIMEOUT when not one run fits the limit, or the error of the
 * first run that fails. */
MUST_USE enum rc scenario_run(const struct scenario_instance *instances, size_t count,
                              const struct scenario_opts *opts, struct scenario_sample *ret, struct err *err);
void scenario_sample_release(struct scenario_sample *s);
