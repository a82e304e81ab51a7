/* multi_stream.h -- MLPerf's `multi-stream`: queries of several samples, the next one when the last sample of
 * the one before is answered. What counts is the time of a whole query. All instances work on it: each takes
 * `batch` samples at a time until none is left. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "profiler/worker/scenario.h"

enum { MULTI_STREAM_SAMPLES = 8 }; /* of a query, as MLPerf has it */

struct multi_stream_opts {
    size_t samples_per_query; /* at least 1 */
    size_t batch;             /* of a run; the last run of a query may be padded */
    uint64_t min_queries;
    uint64_t min_ns;   /* measured at least that long */
    uint64_t limit_ns; /* warm-up and measuring; what was collected until then is the sample */
};

/* Warm-up: whole queries for a fifth of the limit or of min_ns, whichever is less; at least one. On success
 * ret->us holds microseconds a query and ret->rate_per_s samples (not queries) a second. At least one query
 * is measured, however late. RC_MEMORY, or the error of the first run that fails. */
MUST_USE enum rc multi_stream_run(const struct scenario_instance *instances, size_t count,
                                  const struct multi_stream_opts *opts, struct scenario_sample *ret,
                                  struct err *err);
