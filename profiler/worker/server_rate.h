/* server_rate.h -- MLPerf's `server`: the highest rate of Poisson arrivals at which latency percentiles stay
 * within their limits. The search is core/stats/rate_search.h, a probe is open_loop.h, the schedule the same
 * at every rate but for its scale. The first guess is the rate that the measured service times sustain in a
 * simulated queue. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/base/err.h"
#include "core/stats/rate_search.h"
#include "core/stats/rate_watch.h"
#include "profiler/worker/scenario.h"

enum { SERVER_RATE_PROBES_MAX = 80 };

struct server_rate_opts {
    const struct rate_limit *limits; /* 1 to RATE_WATCH_LIMITS_MAX */
    size_t limit_count;
    double confidence;
    uint64_t min_queries; /* of a full probe; more where the percentiles need it */
    uint64_t limit_ns;    /* of the whole search */
    size_t batch, samples_per_run;
};

struct server_rate_probe {
    double rate_per_s;
    enum rate_watch_kind kind;
    uint64_t n, over; /* over: of the limit that most were over */
    enum binomial_verdict verdict;
};

struct server_rate_result {
    struct rate_search_result search;
    double rate_per_s; /* queries: the answer, or the lowest that was tried where none was met */
    float *us;         /* [n] latencies at that rate, in the order of completion; free() */
    size_t n;
    uint64_t waited_ns; /* over all probes: the instances' threads were ready and had no core */
    struct server_rate_probe probes[SERVER_RATE_PROBES_MAX];
    size_t probe_count;
};

/* `filled` is what all instances did in closed loops (samples in the order of completion); its rate bounds
 * the search. RC_TIMEOUT when not one query was answered in time; RC_MEMORY; the error of a run that fails.
 * Release with server_rate_release. */
MUST_USE enum rc server_rate_run(const struct scenario_instance *instances, size_t count,
                                 const struct scenario_sample *filled, const struct server_rate_opts *opts,
                                 struct server_rate_result *ret, struct err *err);
void server_rate_release(struct server_rate_result *r);

/* [{"rate_per_s", "full", "n", "over", "verdict"}] in the order in which they were run. A new reference. */
json_t *server_rate_probes_json(const struct server_rate_result *r);
