/* replicate.h -- one replicate of a comparison: a model and a reference, both loaded into one fresh process
 * and timed in turns (interleave.h). Replicates are put together by the service (core/stats/sequential.h).
 *
 * Idle pools that spin disturb the other session, so neither does: with equal threads both share one pool,
 * with different ones each has its own that sleeps, and one thread needs none. Which of the two is loaded
 * first is random as well: the first gets other memory. */
#pragma once

#include <stdint.h>

#include "core/base/err.h"
#include "profiler/worker/interleave.h"
#include "profiler/worker/pooled_run.h"
#include "profiler/worker/replicate_text.h"
#include "profiler/worker/worker_job.h"

struct replicate_settings {
    uint32_t threads[INTERLEAVE_SIDES], batch;
    uint64_t seed;
    double measure_s; /* of one attempt */
};

/* Both, ready to run. Cores are those of the larger of the two. */
struct replicate_pair {
    struct onnxruntime *runtime;
    struct input_pool pools[INTERLEAVE_SIDES];
    struct pooled_run runs[INTERLEAVE_SIDES];
    struct replicate_text texts; /* instead of the above, language models */
    struct interleave_side sides[INTERLEAVE_SIDES];
};

/* Reads the keys of the job. RC_INPUT, also for more threads than there are cores; RC_UNSUPPORTED for models
 * of two kinds. */
MUST_USE enum rc replicate_settings_read(const struct job_spec *spec, struct replicate_settings *ret,
                                         struct err *err);

/* Loads both. `ret` must stay where it is; release with replicate_close, also after a failure. */
MUST_USE enum rc replicate_open(const struct job_spec *spec, const struct replicate_settings *settings,
                                struct replicate_pair *ret, struct err *err);
void replicate_close(struct replicate_pair *p);

/* Measures, again once where the machine was not steady, and fills job->result and job->files. */
MUST_USE enum rc replicate_measure(struct worker_job *job, const struct replicate_settings *settings,
                                   const struct replicate_pair *pair, struct err *err);
