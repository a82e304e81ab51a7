/* worker_job.h -- what the kinds of jobs share: the spec, where progress goes, and the result being
 * built. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "profiler/worker/job_spec.h"
#include "profiler/worker/lines.h"

struct counters; /* profiler/worker/counters.h */

struct worker_job {
    const struct job_spec *spec;
    struct lines *lines;
    struct counters *counters; /* opened before the sandbox was entered */
    int clear_refs_fd; /* /proc/self/clear_refs, opened before the sandbox was entered; -1 where it is not to
                          be had */
    json_t *result;    /* object: filled by the job */
    json_t *files;     /* array of {"path"}: files in the working directory that belong to the result */
};

/* Each fills job->result and job->files (docs/protocol.md). */
MUST_USE enum rc inspect_run(struct worker_job *job, struct err *err);
MUST_USE enum rc compress_run(struct worker_job *job, struct err *err);
MUST_USE enum rc evaluate_run(struct worker_job *job, struct err *err);
MUST_USE enum rc profile_run(struct worker_job *job, struct err *err);
MUST_USE enum rc replicate_run(struct worker_job *job, struct err *err);

/* Sets one key of job->result, giving `value` away (NULL counts as out of memory). */
MUST_USE static inline enum rc worker_job_set(struct worker_job *job, const char *key, json_t *value,
                                              struct err *err) {
    return json_object_set_new(job->result, key, value) == 0 ? RC_OK : err_memory(err);
}
