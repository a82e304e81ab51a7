/* counting.h -- one counting pass: the events of one set, counted over runs of a configuration in a worker
 * that does nothing else. Which passes there are is in the profile's "counters" (counters.h); the agent
 * starts a worker for each. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/base/err.h"
#include "profiler/worker/profile.h"

/* Whether the job is a counting pass: it has "count": {"events": [names], "runs": n}, or {"by": "callgrind",
 * "runs": n}. The latter counts nothing itself: callgrind, under which the agent runs the worker, collects
 * inside counting_marked alone. */
bool counting_wanted(const json_t *job);

/* Opens the pass's counters. Before the sandbox, and before any thread. RC_INPUT, RC_UNSUPPORTED. */
MUST_USE enum rc counting_prepare(struct worker_job *job, struct err *err);

/* Warms instance 0 up, counts runs of it, and the same number of runs with everything but the model's own
 * work, which is subtracted. job->result gets "counters": {"available": true, "per_inference": {name: x},
 * "inferences": n}. */
MUST_USE enum rc counting_run(struct worker_job *job, const struct profile_subject *subject, struct err *err);
