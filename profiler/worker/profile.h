/* profile.h -- latency, throughput, memory and counters of one configuration on this machine. ONNX models are
 * prepared by profile_onnx.c, language models by profile_text.c; what they have in common is here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/stats/rate_watch.h"
#include "profiler/worker/memory.h"
#include "profiler/worker/scenario.h"
#include "profiler/worker/worker_job.h"

enum { PROFILE_MAX_INSTANCES = 256 };

struct profile_settings {
    uint32_t instances, threads, batch;
    double time_limit_s;                             /* of all measuring together */
    uint64_t min_samples;                            /* of a scenario, over all instances */
    uint32_t generate;                               /* tokens, language models */
    bool multi_stream, server;                       /* asked for, beside single-stream and offline */
    double server_limit_s;                           /* of the search for its rate, beside time_limit_s */
    struct rate_limit limits[RATE_WATCH_LIMITS_MAX]; /* that the rate has to keep */
    size_t limit_count;
    double confidence; /* of keeping them */
};

/* A configuration that is loaded and ready to run. */
struct profile_subject {
    struct scenario_instance instances[PROFILE_MAX_INSTANCES];
    size_t count;
    size_t samples_per_run;
    double units_per_sample; /* examples (tokens) that one sample stands for */
    double load_ms;
    const char *runtime_version;
    struct memory_mark mark; /* taken before the model was loaded */
};

/* Reads the keys of the job. RC_INPUT also when instances x threads are more than the cores this process may
 * use. */
MUST_USE enum rc profile_settings_read(const struct job_spec *spec, struct profile_settings *ret,
                                       struct err *err);

/* The cores of instance i: `threads` of those that this process may use, none shared with another instance.
 */
void profile_cores(const cpu_set_t *allowed, uint32_t threads, uint32_t instance, cpu_set_t *ret);

/* Measures all scenarios of a subject and fills job->result. */
MUST_USE enum rc profile_measure(struct worker_job *job, const struct profile_settings *settings,
                                 const struct profile_subject *subject, struct err *err);

/* Load the model, measure, release. */
MUST_USE enum rc profile_onnx(struct worker_job *job, const struct profile_settings *settings,
                              struct err *err);
MUST_USE enum rc profile_text(struct worker_job *job, const struct profile_settings *settings,
                              struct err *err);
