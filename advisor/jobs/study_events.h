/* study_events.h -- what a study's followers are told (SSE): progress, step, state. Written in the
 * transaction of what they tell. */
#pragma once

#include "core/base/err.h"
#include "db/store.h"
#include "db/store_jobs.h"

/* A final state also drops the study's progress events: they were only of use while it ran. */
MUST_USE enum rc study_events_state(struct store_tx *tx, const char *study, const char *state,
                                    const char *recommendation, const char *error_code,
                                    const char *error_text, struct err *err);

/* To every open study that waits for the job. */
MUST_USE enum rc study_events_progress(struct store_tx *tx, const struct store_job *j, double fraction,
                                       const char *text, struct err *err);
/* `state`: "done" or "failed". */
MUST_USE enum rc study_events_step(struct store_tx *tx, const struct store_job *j, const char *state,
                                   const char *text, struct err *err);
