/* rate_search.h -- the highest rate that a server sustains within its latency limits, by asking as little as
 * possible. Pure: what a probe is, and when it stops, is the caller's.
 *
 * First by short probes, which stop as soon as they are decided and may err: nothing is served faster than
 * `most_per_s` (the throughput with all instances busy); a first guess is walked up or down in growing steps
 * until one rate was met and one was not, and that bracket is halved until its ends differ by no more than
 * the resolution. Then by full ones: where the bracket's lower end is met, steps of the resolution go up
 * until one is not met; where it is not, down until one is met. So both ends of the answer rest on full
 * probes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/stats/binomial.h"
#include "core/stats/rate_watch.h"

struct rate_probe {
    enum binomial_verdict verdict; /* undecided counts as not met: it was not shown */
    uint64_t n;                    /* queries it took */
    bool out_of_time;              /* the verdict is what could be said until then; nothing more is asked */
};

/* Measures at a rate. An error ends the search. */
typedef enum rc rate_probe_function(void *user, double rate_per_s, enum rate_watch_kind kind,
                                    struct rate_probe *ret, struct err *err);

struct rate_search_opts {
    double most_per_s;  /* above 0 */
    double guess_per_s; /* where to begin; 0: at 0.7 of most_per_s */
    double least_ratio; /* of most_per_s: a rate below is not looked for */
    double resolution;  /* ends of the bracket differ by at most this ratio - 1, for example 0.03 */
};

struct rate_search_result {
    double met_per_s;    /* 0: none */
    double unmet_per_s;  /* lowest rate above it that was not met, or most_per_s */
    double lowest_per_s; /* that was probed */
    unsigned probes;
    uint64_t queries;
    bool complete; /* false: out of time. Then met_per_s, if any, may rest on a short probe, and unmet_per_s
                      may be far above it */
};

MUST_USE enum rc rate_search(const struct rate_search_opts *opts, rate_probe_function *probe, void *user,
                             struct rate_search_result *ret, struct err *err);
