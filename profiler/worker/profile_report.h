/* profile_report.h -- what was measured, as the result of the job (docs/protocol.md). */
#pragma once

#include "core/base/err.h"
#include "profiler/worker/profile_scenarios.h"
#include "profiler/worker/worker_job.h"

/* Writes the samples into the job folder and fills job->result. */
MUST_USE enum rc profile_report(struct worker_job *job, const struct profile_settings *settings,
                                const struct profile_subject *subject, const struct profile_measured *m,
                                struct err *err);
